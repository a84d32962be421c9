/*
 * SnNet and SnLoop over the kernel's sockets and clock: backends against real
 * targets without QEMU, for benchmarks and checks by hand.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef POSIX_NET_H
#define POSIX_NET_H

#include <stdbool.h>

#include "smartnic/loop.h"
#include "smartnic/stream.h"

typedef struct PosixNet {
    SnNet net;
    SnLoop loop;
    /* private */
    GList *streams, *timers, *bhs;
} PosixNet;

PosixNet *posix_net_new(void);
/* Everything made from it must be gone. */
void posix_net_free(PosixNet *net);
/* Waits for what comes next and handles it. */
void posix_net_run_once(PosixNet *net);

#endif
