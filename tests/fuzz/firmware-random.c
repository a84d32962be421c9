/*
 * Numbers that the fuzzer can guess, in place of the firmware's random.c: the
 * same input has to do the same thing each time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "firmware-random.h"
#include "fw.h"
#include "lwip-hooks.h"

static uint32_t state;

void firmware_random_reset(void)
{
    state = 1;
}

u32_t sn_fw_rand(void)
{
    state = state * 1664525 + 1013904223;
    return state >> 16 | state << 16;
}

u32_t sn_fw_tcp_isn(const ip_addr_t *local, u16_t local_port,
                    const ip_addr_t *remote, u16_t remote_port)
{
    return 0xfffff000;          /* wraps around soon */
}
