/*
 * What the fuzz targets have in common.
 *
 * Each target is one LLVMFuzzerTestOneInput(). libFuzzer calls it with inputs
 * that it makes up (`make fuzz`), main.c with those of the corpus (`make
 * check`). An input is read front to back as a list of decisions; one that is
 * too short is continued with zeroes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <glib.h>
#include <stdint.h>

#include "smartnic/log.h"

/* Returns 0. Whatever is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input. */
typedef struct FuzzIn {
    const uint8_t *p;
    size_t len;
} FuzzIn;

static inline uint8_t fuzz_u8(FuzzIn *in)
{
    if (!in->len) {
        return 0;
    }
    in->len--;
    return *in->p++;
}

static inline uint16_t fuzz_u16(FuzzIn *in)
{
    uint16_t high = fuzz_u8(in);

    return high << 8 | fuzz_u8(in);
}

static inline uint32_t fuzz_u32(FuzzIn *in)
{
    uint32_t high = fuzz_u16(in);

    return high << 16 | fuzz_u16(in);
}

/* Up to @max bytes where they lie; *@len says how many there are. */
static inline const uint8_t *fuzz_bytes(FuzzIn *in, size_t max, size_t *len)
{
    const uint8_t *p = in->p;

    *len = MIN(max, in->len);
    in->p += *len;
    in->len -= *len;
    return p;
}

/* What is left as decisions, up to @max, each after a byte for which it is. */
static inline void fuzz_steps(FuzzIn *in, unsigned max, void (*step)(uint8_t))
{
    for (unsigned n = 0; in->len && n < max; n++) {
        step(fuzz_u8(in));
    }
}

/* For sn_log_set_func(): what a peer sent is escaped in messages. */
static inline void fuzz_log(SnLogLevel level, const char *line)
{
    for (const char *p = line; *p; p++) {
        g_assert_false(g_ascii_iscntrl(*p));
    }
}

#endif
