/*
 * Secrets (passwords), from any box, by the id that the user gave them.
 *
 * The adapter looks them up among QEMU's secret objects. They never appear in
 * URLs, messages, traces or properties: only their ids do.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SECRET_H
#define SMARTNIC_SECRET_H

#include <glib.h>

/* See sn_secret_lookup(). */
typedef char *SnSecretFunc(const char *id, GError **err);

/* Who knows the secrets; NULL: nobody, every look-up fails. Main thread. */
void sn_secret_set_func(SnSecretFunc *func);

/*
 * The secret @id as text. The caller gives it back with sn_secret_free() as
 * soon as it can. NULL and @err, one line, when there is none. Main thread.
 */
char *sn_secret_lookup(const char *id, GError **err);

/* Overwrites and frees; NULL is fine. */
void sn_secret_free(char *secret);

#endif
