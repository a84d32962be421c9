/*
 * The plugin's side of backend modules (see smartnic/module.h): finding and
 * opening them. Main thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_MODULES_H
#define SMARTNIC_MODULES_H

#include "smartnic/backend.h"
#include "smartnic/trace.h"

/* Where modules are: copied. NULL, as at first: there are none. */
void sn_modules_set_folder(const char *folder);

/*
 * The backend for @scheme, whose module is opened if need be. NULL and @err
 * when it cannot be used; NULL without @err when there is no such module.
 */
const SnBackendOps *sn_modules_find(const char *scheme, GError **err);

/* Adds ", iscsi://" and so on to @list for all modules that are there. */
void sn_modules_list(GString *list);

/*
 * As sn_trace_enable() and sn_trace_foreach(), for the events of all modules
 * that are there and can be opened.
 */
unsigned sn_modules_trace_enable(const char *pattern);
void sn_modules_trace_foreach(void (*func)(const SnTraceEvent *event,
                                           void *opaque), void *opaque);

#endif
