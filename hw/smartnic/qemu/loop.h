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

/* Calls @cb once from a bottom half, which cannot be taken back. */
void sn_qemu_loop_once(SnLoopFunc *cb, void *opaque);

/*
 * Around what may write to a place of the guest's choice, while the card's code
 * is on the stack: bottom halves wait for release(), even when such a write
 * ends in a main loop of its own. So whoever is on the stack is not called
 * again, nor torn down, meanwhile. May be nested. Callbacks of the loop have it
 * around them already.
 */
void sn_qemu_loop_hold(void);
void sn_qemu_loop_release(void);

/*
 * Around what a vCPU does in the card: the bottom halves that it schedules run
 * in leave(), in the vCPU's thread, instead of waking another. Only for an
 * access of the vCPU itself, with nothing else of a device on its stack. May
 * unplug whatever it was that was accessed.
 */
void sn_qemu_loop_enter(void);
void sn_qemu_loop_leave(void);

#endif
