/*
 * Fabrics commands: Connect, properties, Disconnect (NVMe Base section 6).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_FABRICS_H
#define TARGET_FABRICS_H

#include "request.h"

Op fabrics_op(const Sqe *sqe);
/* Any command on a connection that may have no controller yet. */
void fabrics_command(Request *r);

#endif
