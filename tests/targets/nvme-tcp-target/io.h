/*
 * I/O commands (NVM Command Set section 3.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_IO_H
#define TARGET_IO_H

#include "request.h"

Op io_op(const Sqe *sqe);
/* A command on an I/O queue. */
void io_command(Request *r);

#endif
