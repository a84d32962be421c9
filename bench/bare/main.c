/*
 * The bare guest: measures an NVMe function, or without one a virtio-blk
 * function, without an operating system in the way.
 *
 * Command line: "ms=MILLISECONDS", perhaps "dbbuf", for NVMe with shadow
 * doorbells, and any number of "OPERATION:BYTES:DEPTH", where OPERATION is
 * "read" or "write", or of "compare-and-write". On the serial port:
 *
 *   @@ READY driver=NAME sectors=N         once
 *   @@ BEGIN OPERATION:BYTES:DEPTH         before each case
 *   @@ END requests=N us=N                 after it; the guest goes on from
 *                                          both when it gets any byte
 *   @@ COMPARED                            compare and write works
 *   @@ DONE                                and the machine is switched off
 *   @@ FAIL reason                         likewise, when something is wrong
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>

#include "blk.h"
#include "clock.h"
#include "console.h"
#include "virtio-net.h"

#define WARM_UP 5               /* a fifth of the time, before it counts */

#define DBBUF "dbbuf"

/* Multiboot 0.6.96, section 3.3 */
typedef struct BootInfo {
    uint32_t flags;
    uint32_t mem_lower;
    uint32_t mem_upper;
    uint32_t boot_device;
    const char *cmdline;
} BootInfo;

#define INFO_CMDLINE 0x4

void bare_main(const BootInfo *info);

/* Skips @prefix at *@s, and tells whether it was there. */
static bool skip(const char **s, const char *prefix)
{
    const char *p = *s;

    while (*prefix) {
        if (*p++ != *prefix++) {
            return false;
        }
    }
    *s = p;
    return true;
}

static uint32_t number(const char **s)
{
    uint32_t n = 0;

    while (**s >= '0' && **s <= '9') {
        n = n * 10 + (*(*s)++ - '0');
    }
    return n;
}

/* Whether @word, which ends with a space or the line, is in @line. */
static bool has_word(const char *line, const char *word)
{
    while (*line) {
        const char *p = line;

        if (skip(&p, word) && (*p == ' ' || *p == '\0')) {
            return true;
        }
        while (*line && *line++ != ' ') {
            /* to the next word */
        }
    }
    return false;
}

static bool parse_case(const char **s, BlkCase *c)
{
    if (skip(s, "write:")) {
        c->write = true;
    } else if (skip(s, "read:")) {
        c->write = false;
    } else {
        return false;
    }
    c->bytes = number(s);
    if (!skip(s, ":")) {
        return false;
    }
    c->depth = number(s);
    return c->bytes >= BLK_SECTOR && c->bytes <= BLK_MAX_BYTES &&
           c->bytes % BLK_SECTOR == 0 &&
           c->depth >= 1 && c->depth <= BLK_MAX_DEPTH;
}

static void measure(const BlkCase *c, uint32_t ms)
{
    uint32_t requests, us;

    blk_run(c, ms / WARM_UP, &us);
    print("@@ BEGIN %s:%u:%u\n", c->write ? "write" : "read", c->bytes,
          c->depth);
    console_wait();
    requests = blk_run(c, ms, &us);
    print("@@ END requests=%u us=%u\n", requests, us);
    console_wait();
}

void bare_main(const BootInfo *info)
{
    const char *p = info->flags & INFO_CMDLINE ? info->cmdline : "";
    const char *driver;
    uint32_t ms = 1000;
    BlkCase c;

    clock_init();
    net_accept_offloads();
    driver = blk_init(has_word(p, DBBUF));
    print("@@ READY driver=%s sectors=%u\n", driver,
          (uint32_t)blk_sectors());
    if (blk_sectors() < BLK_MAX_BYTES / BLK_SECTOR) {
        fail("the disk is too small");
    }
    while (*p && *p != ' ') {
        p++;                    /* the name of the program */
    }
    while (*p) {
        const char *word = p;

        if (skip(&p, " ") || skip(&p, DBBUF)) {
            continue;
        }
        if (skip(&p, "ms=")) {
            ms = number(&p);
        } else if (skip(&p, "compare-and-write")) {
            blk_compare_and_write();
            print("@@ COMPARED\n");
        } else if (parse_case(&p, &c)) {
            measure(&c, ms);
        } else {
            fail("the command line is wrong at \"%s\"", word);
        }
    }
    print("@@ DONE\n");
    power_off();
}
