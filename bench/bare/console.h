/*
 * The serial port: lines out, single bytes in.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_CONSOLE_H
#define BARE_CONSOLE_H

#include <stdint.h>

/* Prints text; %s and %u (unsigned, 32 bits) are all the formats there are. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until a byte arrives and takes it. */
uint8_t console_wait(void);

/* Prints "@@ FAIL ..." in the manner of print() and powers off. */
void fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* Ends the machine. */
void power_off(void) __attribute__((noreturn));

#endif /* BARE_CONSOLE_H */
