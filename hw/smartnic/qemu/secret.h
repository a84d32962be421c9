/*
 * Secrets: QEMU's secret objects.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_SECRET_H
#define SMARTNIC_QEMU_SECRET_H

#include <glib.h>

/* For sn_secret_set_func(): looks among the objects of `-object secret`. */
char *sn_qemu_secret(const char *id, GError **err);

#endif
