/*
 * Time from the HPET (IA-PC HPET specification 1.0a), which QEMU runs off the
 * host's clock whatever executes the guest. The rate of the time stamp counter
 * is a property of the accelerator, so it is only measured against the HPET and
 * used where a few per cent do not matter.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "clock.h"
#include "console.h"
#include "div.h"

#define HPET ((volatile uint32_t *)0xfed00000)  /* where PCs have it */
#define PERIOD (0x004 / 4)      /* femtoseconds per tick */
#define CONFIG (0x010 / 4)
#define COUNTER_LOW (0x0f0 / 4)
#define COUNTER_HIGH (0x0f4 / 4)
#define ENABLE 1
#define FS_PER_US 1000000000u

uint32_t ticks_per_us;
static uint32_t hpet_per_us;

static uint64_t hpet_counter(void)
{
    uint32_t high, low;

    do {
        high = HPET[COUNTER_HIGH];
        low = HPET[COUNTER_LOW];
    } while (high != HPET[COUNTER_HIGH]);
    return (uint64_t)high << 32 | low;
}

uint32_t clock_us(void)
{
    return div64(hpet_counter(), hpet_per_us);
}

void clock_init(void)
{
    uint32_t period = HPET[PERIOD], start;
    uint64_t from;

    if (period == 0 || FS_PER_US % period) {
        fail("no HPET that divides a microsecond: period %u fs", period);
    }
    hpet_per_us = FS_PER_US / period;
    HPET[CONFIG] |= ENABLE;

    start = clock_us();
    from = ticks();
    while (clock_us() - start < 20000) {
        /* as long as it takes */
    }
    ticks_per_us = div64(ticks() - from, clock_us() - start);
}
