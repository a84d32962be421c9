/*
 * The plugin's argument trace=PATTERN.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_TRACE_H
#define SMARTNIC_QEMU_TRACE_H

/*
 * Switches on the events that @pattern names; their lines go to QEMU's log.
 * "list" or "help" lists the events on standard output and ends QEMU, as
 * `-trace help` does; -plugin itself answers "help", so there it is "list". A
 * pattern that matches no event ends QEMU with one line.
 */
void sn_qemu_trace(const char *pattern);

#endif
