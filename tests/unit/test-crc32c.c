/*
 * CRC32C.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "crc32c.h"

typedef uint32_t CrcFunc(uint32_t crc, const void *buf, size_t len);

static CrcFunc *const implementations[] = { sn_crc32c, sn_crc32c_portable };

/* RFC 3720 section B.4; the digests there are in the order of the wire. */
static void test_rfc_vectors(void)
{
    uint8_t zeroes[32] = { 0 }, ones[32], up[32], down[32];
    static const uint8_t scsi_read[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18,
        [32] = 0x28, [40] = 0x02
    };

    memset(ones, 0xff, sizeof(ones));
    for (unsigned i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = 31 - i;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(implementations); i++) {
        CrcFunc *crc = implementations[i];

        g_assert_cmphex(crc(0, zeroes, 32), ==, 0x8a9136aa);
        g_assert_cmphex(crc(0, ones, 32), ==, 0x62a8ab43);
        g_assert_cmphex(crc(0, up, 32), ==, 0x46dd794e);
        g_assert_cmphex(crc(0, down, 32), ==, 0x113fdb5c);
        g_assert_cmphex(crc(0, scsi_read, 48), ==, 0xd9963a56);
        g_assert_cmphex(crc(0, "123456789", 9), ==, 0xe3069283);
        g_assert_cmphex(crc(0, NULL, 0), ==, 0);
    }
}

/* Any length and alignment, in any pieces: both say the same. */
static void test_pieces(void)
{
    uint8_t buf[300];

    for (unsigned turn = 0; turn < 2000; turn++) {
        unsigned start = g_test_rand_int_range(0, 16);
        unsigned len = g_test_rand_int_range(0, sizeof(buf) - 16);
        unsigned cut = g_test_rand_int_range(0, len + 1);
        uint32_t want;

        for (unsigned i = 0; i < sizeof(buf); i++) {
            buf[i] = g_test_rand_int();
        }
        want = sn_crc32c_portable(0, buf + start, len);
        for (unsigned i = 0; i < G_N_ELEMENTS(implementations); i++) {
            CrcFunc *crc = implementations[i];

            g_assert_cmphex(crc(0, buf + start, len), ==, want);
            g_assert_cmphex(crc(crc(0, buf + start, cut), buf + start + cut,
                                len - cut), ==, want);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/crc32c/rfc-vectors", test_rfc_vectors);
    g_test_add_func("/crc32c/pieces", test_pieces);
    return g_test_run();
}
