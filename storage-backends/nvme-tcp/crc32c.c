/*
 * CRC32C: polynomial 1EDC6F41h, reflected, inverted before and after
 * (RFC 3720 section 12.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "crc32c.h"

#include <string.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u          /* bits reflected */

/* table[i]: what byte i does to the remainder. */
static uint32_t table[256];

/* Constructors run before any thread of ours: no lock is needed. */
__attribute__((constructor))
static void fill_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t rem = i;

        for (int bit = 0; bit < 8; bit++) {
            rem = rem >> 1 ^ (rem & 1 ? POLYNOMIAL : 0);
        }
        table[i] = rem;
    }
}

uint32_t sn_crc32c_portable(uint32_t crc, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    crc = ~crc;
    while (len--) {
        crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    }
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2")))
static uint32_t crc32c_sse42(uint32_t crc, const void *buf, size_t len)
{
    const uint8_t *p = buf;
    uint64_t rem = ~crc;

    for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, p, sizeof(word));
        rem = _mm_crc32_u64(rem, word);
        p += sizeof(word);
    }
    while (len--) {
        rem = _mm_crc32_u8(rem, *p++);
    }
    return ~(uint32_t)rem;
}
#endif

uint32_t sn_crc32c(uint32_t crc, const void *buf, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42(crc, buf, len);
    }
#endif
    return sn_crc32c_portable(crc, buf, len);
}
