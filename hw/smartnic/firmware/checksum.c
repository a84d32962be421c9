/*
 * The Internet checksum's sum (RFC 1071), for lwIP.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "lwip/arch.h"

/*
 * The one's complement sum of @len bytes as 16-bit words in memory order, not
 * inverted. An odd last byte is the first of its word. Words of 32 bits are
 * added up in 64, which RFC 1071 section 2 (C) allows; @len is below 2^31, so
 * the sum does not overflow.
 */
uint16_t sn_fw_chksum(const void *data, int len)
{
    const uint8_t *p = data;
    uint64_t sum = 0, sum2 = 0;
    uint32_t w[4];
    uint16_t last = 0;

    for (; len >= 16; len -= 16, p += 16) {
        memcpy(w, p, sizeof(w));
        sum += (uint64_t)w[0] + w[1];
        sum2 += (uint64_t)w[2] + w[3];
    }
    sum += sum2;
    for (; len >= 4; len -= 4, p += 4) {
        memcpy(w, p, 4);
        sum += w[0];
    }
    for (; len >= 2; len -= 2, p += 2) {
        memcpy(&last, p, 2);
        sum += last;
    }
    if (len > 0) {
        last = 0;
        memcpy(&last, p, 1);
        sum += last;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}
