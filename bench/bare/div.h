/*
 * A 64-bit division for 32-bit code without a run-time library.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_DIV_H
#define BARE_DIV_H

#include <stdint.h>

/* @n / @by, of which the lower 32 bits are returned; @by is not 0. */
static inline uint32_t div64(uint64_t n, uint32_t by)
{
    uint32_t quotient, rest;

    /* What is left of the upper half is below @by: no overflow. */
    __asm__("divl %4" : "=a"(quotient), "=d"(rest)
            : "0"((uint32_t)n), "1"((uint32_t)(n >> 32) % by), "rm"(by)
            : "cc");
    return quotient;
}

#endif /* BARE_DIV_H */
