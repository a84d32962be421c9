/*
 * Time: a clock to trust, and a cheap one for loops.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_CLOCK_H
#define BARE_CLOCK_H

#include <stdint.h>

/* Starts the clocks; takes 20 ms. Fails without an HPET. */
void clock_init(void);

/* Microseconds since clock_init(); wraps after 71 minutes. Takes an exit. */
uint32_t clock_us(void);

/* Ticks of the time stamp counter; costs a few instructions. */
static inline uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* How many ticks() a microsecond has; a loop may end by it, no figure may. */
extern uint32_t ticks_per_us;

#endif /* BARE_CLOCK_H */
