/*
 * Admin commands (NVMe Base section 5), but for what Identify and Get Log Page
 * return.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_ADMIN_H
#define TARGET_ADMIN_H

#include "request.h"

Op admin_op(const Sqe *sqe);
/* A command on the admin queue of a controller. */
void admin_command(Request *r);

/* identify.c */
void identify(Request *r);
/* log-page.c */
void get_log_page(Request *r);

#endif
