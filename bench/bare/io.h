/*
 * Ports and barriers of an x86 processor.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_IO_H
#define BARE_IO_H

#include <stdint.h>

static inline void outb(uint16_t port, uint8_t val)
{
    __asm__ volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t val)
{
    __asm__ volatile("outw %0, %1" : : "a"(val), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t val)
{
    __asm__ volatile("outl %0, %1" : : "a"(val), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t val;

    __asm__ volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t val;

    __asm__ volatile("inl %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

/* The compiler keeps the order of accesses across it; x86 does anyway, except
 * that a load may overtake an earlier store. */
static inline void barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/*
 * No load overtakes a store across it. Not the cheaper "lock; or": QEMU's TCG
 * makes plain accesses of that in a machine with one processor, though devices
 * run beside it.
 */
static inline void full_barrier(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

#endif /* BARE_IO_H */
