/*
 * The benchmark's wire to a kernel: a tap in a network namespace of its own,
 * and a process that is the target with ordinary sockets.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BENCH_FIRMWARE_TAP_WIRE_H
#define BENCH_FIRMWARE_TAP_WIRE_H

#include "smartnic/port.h"

#include "firmware.h"

/*
 * Makes the tap (needs root, or the right to have user namespaces) and starts
 * the target on 192.0.2.2:4420. False, with a line on standard error, when
 * that cannot be.
 */
bool tap_wire_open(void);
/* SnFirmwareConfig's transmit(). */
bool tap_wire_transmit(void *opaque, const SnFrame *frame);
/* Gives @fw what has arrived. False when there was nothing. */
bool tap_wire_receive(SnFirmware *fw);
/* Waits for a frame, at most @ms. */
void tap_wire_wait(int ms);

#endif
