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

/*
 * Around what a vCPU does in the card: the bottom halves that it schedules run
 * in leave(), in the vCPU's thread, instead of waking another. Only for an
 * access of the vCPU itself, with nothing else of a device on its stack, and
 * not nested. May unplug whatever it was that was accessed.
 */
void sn_qemu_loop_enter(void);
void sn_qemu_loop_leave(void);

#endif
