/*
 * Unit tests of VLANs in the embedded switch.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "switch-bed.h"

static void test_untagged_firmware(void)
{
    bed_up(0);
    feed(&bed->uplink, FW PEER TAG("00 05") PLAIN);     /* not its VLAN */
    assert_got("h");
    feed(&bed->uplink, BCAST PEER TAG("00 05") PLAIN);
    assert_got("h");
    feed(&bed->host, BCAST HOST TAG("00 05") PLAIN);
    assert_frame(&bed->uplink, BCAST HOST TAG("00 05") PLAIN);
    assert_got("u");

    /* Priority-tagged is untagged (802.1Q section 6.9). */
    feed(&bed->uplink, FW PEER TAG("e0 00") PLAIN);
    assert_frame(&bed->fw, FW PEER PLAIN);
    assert_got("f");
    feed(&bed->host, BCAST HOST TAG("20 00") PLAIN);
    assert_frame(&bed->uplink, BCAST HOST TAG("20 00") PLAIN);
    assert_frame(&bed->fw, BCAST HOST PLAIN);
    assert_got("uf");

    /* A provider's tag is no 802.1Q tag, whatever its VLAN. */
    feed(&bed->uplink, FW PEER "88 a8 00 00 " PLAIN);
    assert_got("");
    bed_down();
}

static void test_storage_vlan(void)
{
    bed_up(100);
    feed(&bed->fw, BCAST FW PLAIN);
    assert_frame(&bed->uplink, BCAST FW TAG("00 64") PLAIN);
    assert_got("u");
    feed(&bed->fw, PEER FW PLAIN);
    assert_frame(&bed->uplink, PEER FW TAG("00 64") PLAIN);
    assert_got("u");

    feed(&bed->uplink, FW PEER TAG("00 64") PLAIN);
    assert_frame(&bed->fw, FW PEER PLAIN);
    assert_got("f");
    feed(&bed->uplink, BCAST PEER TAG("a0 64") PLAIN);
    assert_frame(&bed->fw, BCAST PEER PLAIN);
    assert_got("f");
    /* Only one tag comes off. */
    feed(&bed->uplink, FW PEER TAG("00 64") TAG("00 05") PLAIN);
    assert_frame(&bed->fw, FW PEER TAG("00 05") PLAIN);
    assert_got("f");

    /* Everything else is not for the firmware. */
    feed(&bed->uplink, BCAST PEER PLAIN);
    assert_got("h");
    feed(&bed->uplink, BCAST PEER TAG("00 00") PLAIN);
    assert_got("h");
    feed(&bed->uplink, FW PEER PLAIN);
    assert_got("h");
    feed(&bed->uplink, FW PEER TAG("00 65") PLAIN);
    assert_got("h");
    feed(&bed->uplink, FW PEER "88 a8 00 64 " PLAIN);
    assert_got("");
    feed(&bed->host, BCAST HOST PLAIN);
    assert_got("u");
    feed(&bed->host, FW HOST PLAIN);
    assert_got("u");

    /* Nor is its MAC learned there from what comes back. */
    feed(&bed->uplink, BCAST FW PLAIN);
    clear();
    feed(&bed->uplink, FW PEER PLAIN);
    assert_got("h");
    bed_down();
}

static void test_storage_vlan_is_private(void)
{
    static const char *const from_host[] = {
        BCAST HOST TAG("00 64") PLAIN,
        FW HOST TAG("00 64") PLAIN,
        PEER HOST TAG("e0 64") PLAIN,
        PEER HOST "88 a8 00 64 " PLAIN,
        PEER HOST "91 00 00 64 " PLAIN,
        /* Behind a tag that the next switch may take off. */
        PEER HOST TAG("00 00") TAG("00 64") PLAIN,
        PEER HOST TAG("00 05") TAG("00 64") PLAIN,
        PEER HOST "88 a8 00 05 " TAG("00 64") PLAIN,
        PEER HOST TAG("00 05") TAG("00 06") TAG("00 07") TAG("00 64") PLAIN,
        /* More tags than are looked at. */
        PEER HOST TAG("00 05") TAG("00 06") TAG("00 07") TAG("00 08")
            TAG("00 64") PLAIN,
        PEER HOST TAG("00 05") TAG("00 06") TAG("00 07") TAG("00 08")
            TAG("00 09") PLAIN,
    };

    bed_up(100);
    for (size_t i = 0; i < G_N_ELEMENTS(from_host); i++) {
        feed(&bed->host, from_host[i]);
        assert_got("");
        g_assert_cmpuint(bed->host.port.counters.rx_dropped, ==, i + 1);
    }
    feed(&bed->host, PEER HOST TAG("00 05") TAG("00 06") PLAIN);
    assert_got("u");

    /* Nor does the host listen in: not on unknown ones, nor by its MAC. */
    feed(&bed->host, BCAST HOST PLAIN);
    clear();
    feed(&bed->uplink, OTHER PEER TAG("00 64") PLAIN);
    assert_got("");
    feed(&bed->uplink, HOST PEER TAG("00 64") PLAIN);
    assert_got("");
    feed(&bed->uplink, HOST PEER TAG("00 00") TAG("00 64") PLAIN);
    assert_got("");
    feed(&bed->uplink, HOST PEER TAG("00 05") TAG("00 05") TAG("00 05")
         TAG("00 05") TAG("00 64") PLAIN);
    assert_got("");
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("u");

    /* A guest that sends from a target's MAC does not get its frames. */
    feed(&bed->uplink, FW PEER TAG("00 64") PLAIN);
    feed(&bed->host, BCAST PEER PLAIN);
    clear();
    feed(&bed->fw, PEER FW PLAIN);
    assert_got("u");
    bed_down();
}

static void test_split_headers(void)
{
    static const char in[] = FW PEER TAG("00 64") PLAIN;
    static const char out[] = FW PEER PLAIN;
    static const char untagged[] = PEER FW PLAIN;
    static const char tagged[] = PEER FW TAG("00 64") PLAIN;

    bed_up(100);
    for (size_t piece = 1; piece < 30; piece++) {
        feed_split(&bed->uplink, in, piece, (SnOffload) { });
        assert_frame(&bed->fw, out);
        clear();
        feed_split(&bed->fw, untagged, piece, (SnOffload) { });
        assert_frame(&bed->uplink, tagged);
        clear();
    }
    bed_down();
}

/* Long frames, in as many pieces as one likes. */
static void test_many_pieces(void)
{
    static const size_t lens[] = { 250, 256, 257, 260, 1514, 65549 };
    static const size_t pieces[] = { 0, 1, 2, 11, 12, 13, 255, 516, 4096 };

    bed_up(100);
    for (size_t l = 0; l < G_N_ELEMENTS(lens); l++) {
        g_autoptr(GByteArray) frame = from_hex(PEER FW PLAIN);
        g_autoptr(GByteArray) tagged = from_hex(PEER FW TAG("00 64"));

        g_byte_array_set_size(frame, lens[l]);
        for (size_t i = 14; i < lens[l]; i++) {
            frame->data[i] = i * 7 + (i >> 8);
        }
        g_byte_array_append(tagged, frame->data + 12, lens[l] - 12);

        for (size_t p = 0; p < G_N_ELEMENTS(pieces); p++) {
            GByteArray *got;

            feed_bytes(&bed->fw, frame->data, frame->len, pieces[p],
                       (SnOffload) { });
            g_assert_cmpuint(bed->uplink.frames->len, ==, 1);
            got = g_ptr_array_index(bed->uplink.frames, 0);
            g_assert_cmpmem(got->data, got->len, tagged->data, tagged->len);
            clear();

            memcpy(tagged->data, frame->data, 12);
            memmove(frame->data, frame->data + 6, 6);
            memcpy(frame->data + 6, tagged->data, 6);
            memcpy(tagged->data, frame->data, 12);
            feed_bytes(&bed->uplink, tagged->data, tagged->len, pieces[p],
                       (SnOffload) { });
            g_assert_cmpuint(bed->fw.frames->len, ==, 1);
            got = g_ptr_array_index(bed->fw.frames, 0);
            g_assert_cmpmem(got->data, got->len, frame->data, frame->len);
            clear();

            memmove(frame->data, frame->data + 6, 6);
            memcpy(frame->data + 6, tagged->data, 6);
            memcpy(tagged->data, frame->data, 12);
        }
    }
    bed_down();
}

/* The payload travels by reference. */
static void test_no_copy(void)
{
    g_autofree uint8_t *payload = g_malloc0(4096);
    g_autoptr(GByteArray) head = from_hex(PEER FW PLAIN);
    struct iovec iov[] = { { head->data, head->len }, { payload, 4096 } };
    SnFrame frame = { .iov = iov, .iovcnt = 2, .len = head->len + 4096 };
    size_t copied = 256 - head->len;

    bed_up(100);
    sn_switch_input(bed->sw, &bed->fw.port, &frame);
    g_assert_cmpuint(bed->uplink.iovcnt, ==, 2);
    g_assert_true(bed->uplink.bases[1] == payload + copied);
    bed_down();
}

#define ZEROES10 "00 00 00 00 00 00 00 00 00 00 "
#define ZEROES40 ZEROES10 ZEROES10 ZEROES10 ZEROES10

static void test_offload(void)
{
    const SnOffload tcp = {
        .flags = SN_OFFLOAD_NEEDS_CSUM, .gso_type = 1, .hdr_len = 54,
        .gso_size = 1448, .csum_start = 34, .csum_offset = 16,
    };
    const SnOffload valid = { .flags = SN_OFFLOAD_DATA_VALID };
    SnOffload offload;

    bed_up(100);
    feed_split(&bed->fw, PEER FW PLAIN, 0, tcp);
    g_assert_cmpuint(bed->uplink.offload.csum_start, ==, 38);
    g_assert_cmpuint(bed->uplink.offload.hdr_len, ==, 58);
    g_assert_cmpuint(bed->uplink.offload.csum_offset, ==, 16);
    g_assert_cmpuint(bed->uplink.offload.gso_size, ==, 1448);
    g_assert_cmpuint(bed->uplink.offload.gso_type, ==, 1);
    g_assert_cmpuint(bed->uplink.offload.flags, ==, SN_OFFLOAD_NEEDS_CSUM);

    feed_split(&bed->uplink, FW PEER TAG("00 64") PLAIN, 0,
               bed->uplink.offload);
    g_assert_cmpmem(&bed->fw.offload, sizeof(tcp), &tcp, sizeof(tcp));

    /* Nothing to move. */
    feed_split(&bed->fw, PEER FW PLAIN, 0, valid);
    g_assert_cmpmem(&bed->uplink.offload, sizeof(valid), &valid,
                    sizeof(valid));
    feed_split(&bed->uplink, FW PEER TAG("00 64") PLAIN, 0, valid);
    g_assert_cmpmem(&bed->fw.offload, sizeof(valid), &valid, sizeof(valid));

    /* Other ports' frames keep theirs. */
    feed_split(&bed->host, PEER HOST PLAIN ZEROES40, 0, tcp);
    g_assert_cmpmem(&bed->uplink.offload, sizeof(tcp), &tcp, sizeof(tcp));
    clear();

    /* A checksum that starts within the headers that were there. */
    offload = tcp;
    for (unsigned start = 0; start < 18; start++) {
        offload.csum_start = start;
        feed_split(&bed->uplink, FW PEER TAG("00 64") PLAIN, 0, offload);
    }
    assert_got("");
    g_assert_cmpuint(bed->fw.port.counters.tx_dropped, ==, 18);
    offload.csum_start = 18;
    offload.hdr_len = 3;
    feed_split(&bed->uplink, FW PEER TAG("00 64") PLAIN, 0, offload);
    assert_got("f");
    g_assert_cmpuint(bed->fw.offload.csum_start, ==, 14);
    g_assert_cmpuint(bed->fw.offload.hdr_len, ==, 0);
    bed_down();
}

/* Two firmwares, one card: each has its VLAN and its protected addresses. */
static void test_two_firmwares(void)
{
    TestPort second;

    bed_up(100);
    port_init(&second, "second", SN_PORT_FIRMWARE);
    port_set_mac(&second, OTHER);
    second.port.vlan = 200;
    g_assert_true(sn_switch_attach(bed->sw, &second.port));

    feed(&second, BCAST OTHER PLAIN);
    assert_frame(&bed->uplink, BCAST OTHER TAG("00 c8") PLAIN);
    assert_got("u");
    feed(&bed->uplink, OTHER PEER TAG("00 c8") PLAIN);
    g_assert_cmpuint(second.frames->len, ==, 1);
    assert_got("");
    feed(&bed->host, PEER HOST TAG("00 c8") PLAIN);
    feed(&bed->host, PEER OTHER PLAIN);
    assert_got("");

    /* The first one goes; what belongs to the second stays right. */
    sn_switch_detach(bed->sw, &bed->fw.port);
    feed(&bed->host, PEER OTHER PLAIN);
    assert_got("");
    feed(&bed->host, PEER FW PLAIN);
    feed(&bed->host, PEER HOST TAG("00 64") PLAIN);
    assert_got("uu");
    feed(&bed->uplink, OTHER PEER TAG("00 c8") PLAIN);
    g_assert_cmpuint(second.frames->len, ==, 2);
    port_done(&second);
    bed_down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/switch/vlan/untagged", test_untagged_firmware);
    g_test_add_func("/switch/vlan/storage", test_storage_vlan);
    g_test_add_func("/switch/vlan/private", test_storage_vlan_is_private);
    g_test_add_func("/switch/vlan/split-headers", test_split_headers);
    g_test_add_func("/switch/vlan/many-pieces", test_many_pieces);
    g_test_add_func("/switch/vlan/no-copy", test_no_copy);
    g_test_add_func("/switch/vlan/offload", test_offload);
    g_test_add_func("/switch/vlan/two-firmwares", test_two_firmwares);
    return g_test_run();
}
