/*
 * What lies next to the plugin, and is no backend module of it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifdef OLD
/* As of another ABI: it refuses the plugin. */
const void *smartnic_module_init(const void *services);
const void *smartnic_module_init(const void *services)
{
    return 0;
}
#endif
#ifdef LACKING
int something_gone(void);
int use_something_gone(void);
int use_something_gone(void)
{
    return something_gone();
}
#endif
#ifdef GONE
int something_gone(void);
int something_gone(void)
{
    return 1;
}
#endif
/* ISO C forbids an empty translation unit. */
extern const int smartnic_test_bad_module;
const int smartnic_test_bad_module = 1;
