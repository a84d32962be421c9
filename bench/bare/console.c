/*
 * The serial port: a 16550 at COM1.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdarg.h>

#include "clock.h"
#include "console.h"
#include "io.h"
#include "pci.h"

#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define DATA_READY 0x01
#define THR_EMPTY 0x20
#define LOOK_US 100

static void put_char(char c)
{
    while (!(inb(LINE_STATUS) & THR_EMPTY)) {
        /* the host reads slowly */
    }
    outb(COM1, c);
}

static void put_string(const char *s)
{
    while (*s) {
        put_char(*s++);
    }
}

static void put_unsigned(uint32_t n)
{
    char digits[11];
    char *p = digits + sizeof(digits) - 1;

    *p = '\0';
    do {
        *--p = '0' + n % 10;
        n /= 10;
    } while (n);
    put_string(p);
}

static void print_list(const char *format, va_list args)
{
    for (; *format; format++) {
        if (*format != '%') {
            put_char(*format);
        } else if (*++format == 's') {
            put_string(va_arg(args, const char *));
        } else {
            put_unsigned(va_arg(args, uint32_t));
        }
    }
}

void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_list(format, args);
    va_end(args);
}

/*
 * Each look at the port takes QEMU's big lock, which the thread that has the
 * byte for us wants as well: so not all the time.
 */
uint8_t console_wait(void)
{
    while (!(inb(LINE_STATUS) & DATA_READY)) {
        uint64_t next = ticks() + LOOK_US * ticks_per_us;

        while (ticks() < next) {
            /* let others have it */
        }
    }
    return inb(COM1);
}

void fail(const char *format, ...)
{
    va_list args;

    print("@@ FAIL ");
    va_start(args, format);
    print_list(format, args);
    va_end(args);
    print("\n");
    power_off();
}

/*
 * ACPI's S5 on a q35 machine: the chipset's ISA bridge, function 1f.0, has the
 * base of the power management ports in register 0x40 (Intel ICH9 datasheet,
 * 13.1.12). SLP_EN is bit 13 of PM1_CNT; QEMU's sleep type for S5 is 0.
 */
void power_off(void)
{
    uint16_t base = pci_read(PCI_ADDRESS(0, 0x1f, 0), 0x40) & 0xff80;

    outw(base + 4, 1 << 13);
    for (;;) {
        __asm__ volatile("hlt");
    }
}
