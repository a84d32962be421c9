/*
 * SnLoop on QEMU's main loop.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_LOOP_H
#define SMARTNIC_QEMU_LOOP_H

#include "smartnic/loop.h"

/*
 * The one loop that all cards share; lives as long as the process. Its
 * functions are called, and its callbacks run, with the BQL held.
 */
SnLoop *sn_qemu_loop(void);

#endif
