/*
 * Unit tests of the embedded switch: who gets which frame.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "switch-bed.h"

/* ------------------------------------------------------- learning */

static void test_flooding(void)
{
    bed_up(0);
    feed(&bed->uplink, BCAST PEER PLAIN);
    assert_got("hf");
    feed(&bed->host, BCAST HOST PLAIN);
    assert_got("uf");
    feed(&bed->fw, BCAST FW PLAIN);
    assert_got("uh");
    feed(&bed->uplink, MCAST PEER PLAIN);
    assert_got("hf");
    feed(&bed->host, MCAST HOST PLAIN);
    assert_got("uf");

    /* Unicast that nobody is known for. */
    feed(&bed->uplink, OTHER PEER PLAIN);
    assert_got("h");
    feed(&bed->host, OTHER HOST PLAIN);
    assert_got("u");
    feed(&bed->fw, OTHER FW PLAIN);
    assert_got("u");
    bed_down();
}

static void test_firmware_mac(void)
{
    bed_up(0);
    feed(&bed->uplink, FW PEER PLAIN);
    assert_frame(&bed->fw, FW PEER PLAIN);
    assert_got("f");
    feed(&bed->host, FW HOST PLAIN);
    assert_got("f");
    feed(&bed->fw, FW FW PLAIN);
    assert_got("");

    /* Another sender behind the firmware's port is not learned there. */
    feed(&bed->fw, BCAST OTHER PLAIN);
    clear();
    feed(&bed->uplink, OTHER PEER PLAIN);
    assert_got("h");

    /* Heard elsewhere: a loop, or a lie. It stays where it is. */
    feed(&bed->uplink, HOST FW PLAIN);
    assert_got("h");
    feed(&bed->uplink, FW PEER PLAIN);
    assert_got("f");
    bed_down();
}

static void test_learning(void)
{
    bed_up(0);
    feed(&bed->host, BCAST HOST PLAIN);
    feed(&bed->uplink, BCAST PEER PLAIN);
    clear();
    feed(&bed->uplink, HOST PEER PLAIN);
    assert_got("h");
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("h");
    feed(&bed->fw, PEER FW PLAIN);
    assert_got("u");
    /* Never back to where it came from. */
    feed(&bed->host, HOST OTHER PLAIN);
    assert_got("");
    feed(&bed->uplink, PEER OTHER PLAIN);
    assert_got("");
    bed_down();
}

/* Two host ports: known stations get theirs, others do not listen in. */
static void test_second_host(void)
{
    TestPort second;

    bed_up(0);
    port_init(&second, "second", SN_PORT_HOST);
    g_assert_true(sn_switch_attach(bed->sw, &second.port));
    feed(&second, BCAST OTHER PLAIN);
    assert_got("uhf");
    feed(&bed->host, OTHER HOST PLAIN);
    assert_got("");
    g_assert_cmpuint(second.frames->len, ==, 1);
    feed(&bed->host, PEER HOST PLAIN);
    assert_got("u");
    g_assert_cmpuint(second.frames->len, ==, 1);
    feed(&bed->uplink, PEER OTHER PLAIN);       /* unknown: to both */
    assert_got("h");
    g_assert_cmpuint(second.frames->len, ==, 2);

    /* Detached: its stations are unknown again, and it gets nothing. */
    feed(&second, BCAST OTHER PLAIN);
    clear();
    sn_switch_detach(bed->sw, &second.port);
    feed(&bed->host, OTHER HOST PLAIN);
    assert_got("u");
    feed(&bed->uplink, BCAST PEER PLAIN);
    assert_got("hf");
    g_assert_cmpuint(second.frames->len, ==, 2);
    feed(&second, BCAST OTHER PLAIN);
    assert_got("");
    g_assert_cmpuint(second.port.counters.rx_dropped, ==, 1);
    sn_switch_detach(bed->sw, &second.port);
    port_done(&second);
    bed_down();
}

static void test_move(void)
{
    bed_up(0);
    feed(&bed->uplink, BCAST OTHER PLAIN);
    clear();
    feed(&bed->fw, OTHER FW PLAIN);
    assert_got("u");
    feed(&bed->host, BCAST OTHER PLAIN);
    clear();
    feed(&bed->fw, OTHER FW PLAIN);
    assert_got("h");
    feed(&bed->uplink, BCAST OTHER PLAIN);
    clear();
    feed(&bed->fw, OTHER FW PLAIN);
    assert_got("u");
    bed_down();
}

static void test_aging(void)
{
    bed_up(0);
    feed(&bed->host, BCAST HOST PLAIN);
    clear();
    test_loop_advance(bed->loop, SN_SWITCH_AGE_NS - 1);
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("h");
    test_loop_advance(bed->loop, 1);
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("u");

    /* Every frame makes it young again. */
    feed(&bed->host, BCAST HOST PLAIN);
    test_loop_advance(bed->loop, SN_SWITCH_AGE_NS - 1);
    feed(&bed->host, BCAST HOST PLAIN);
    test_loop_advance(bed->loop, SN_SWITCH_AGE_NS - 1);
    clear();
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("h");
    bed_down();
}

static void test_learning_per_vlan(void)
{
    bed_up(0);
    feed(&bed->host, BCAST OTHER TAG("00 05") PLAIN);
    feed(&bed->uplink, BCAST OTHER TAG("00 06") PLAIN);
    clear();
    feed(&bed->uplink, OTHER PEER TAG("00 05") PLAIN);
    assert_got("h");
    feed(&bed->host, OTHER HOST TAG("00 06") PLAIN);
    assert_got("u");
    feed(&bed->uplink, OTHER PEER TAG("00 06") PLAIN);
    assert_got("");
    /* The priority bits are not part of the VLAN. */
    feed(&bed->uplink, OTHER PEER TAG("e0 06") PLAIN);
    assert_got("");
    bed_down();
}

static void feed_numbered(TestPort *from, unsigned n)
{
    g_autoptr(GByteArray) bytes = from_hex(BCAST OTHER PLAIN);

    bytes->data[9] = n >> 16;
    bytes->data[10] = n >> 8;
    bytes->data[11] = n;
    feed_bytes(from, bytes->data, bytes->len, 0, (SnOffload) { });
}

static bool is_known_at_host(unsigned n)
{
    g_autoptr(GByteArray) bytes = from_hex(OTHER FW PLAIN);
    bool known;

    bytes->data[3] = n >> 16;
    bytes->data[4] = n >> 8;
    bytes->data[5] = n;
    clear();
    feed_bytes(&bed->fw, bytes->data, bytes->len, 0, (SnOffload) { });
    known = bed->host.frames->len;
    g_assert_cmpuint(known + bed->uplink.frames->len, ==, 1);
    return known;
}

/* A guest with endless addresses neither breaks nor blocks anything. */
static void test_full_table(void)
{
    unsigned known = 0;

    bed_up(0);
    for (unsigned n = 0; n < 512; n++) {
        feed_numbered(&bed->host, n);
    }
    for (unsigned n = 0; n < 512; n++) {
        known += is_known_at_host(n);
    }
    g_assert_cmpuint(known, >=, 480);

    for (unsigned n = 0; n < 20000; n++) {
        test_loop_advance(bed->loop, 1);
        feed_numbered(&bed->host, n);
        clear();
    }
    known = 0;
    for (unsigned n = 0; n < 20000; n++) {
        known += is_known_at_host(n);
    }
    g_assert_cmpuint(known, >=, 900);
    g_assert_cmpuint(known, <=, 1024);
    /* Those that spoke last are among them. */
    known = 0;
    for (unsigned n = 20000 - 512; n < 20000; n++) {
        known += is_known_at_host(n);
    }
    g_assert_cmpuint(known, >=, 480);

    /* The silent ones make room. */
    feed(&bed->uplink, BCAST PEER PLAIN);
    clear();
    feed(&bed->host, PEER HOST PLAIN);
    assert_got("u");
    feed(&bed->host, FW HOST PLAIN);
    assert_got("f");
    bed_down();
}

/* ------------------------------------------------------- what is no frame */

static void test_bad_sources(void)
{
    bed_up(0);
    feed(&bed->uplink, HOST BCAST PLAIN);
    feed(&bed->uplink, HOST MCAST PLAIN);
    feed(&bed->uplink, HOST "00 00 00 00 00 00 " PLAIN);
    assert_got("");
    g_assert_cmpuint(bed->uplink.port.counters.rx_dropped, ==, 3);
    g_assert_cmpuint(bed->uplink.port.counters.rx_frames, ==, 0);
    bed_down();
}

static void test_lengths(void)
{
    g_autoptr(GByteArray) bytes = from_hex(BCAST PEER PLAIN);
    g_autoptr(GByteArray) tagged = from_hex(BCAST PEER TAG("00 05") PLAIN);
    SnPortCounters *count;
    unsigned dropped = 0;

    bed_up(0);
    count = &bed->uplink.port.counters;
    for (size_t len = 0; len <= 13; len++) {
        feed_bytes(&bed->uplink, bytes->data, len, 0, (SnOffload) { });
        feed_bytes(&bed->uplink, bytes->data, len, 1, (SnOffload) { });
        dropped += 2;
    }
    for (size_t len = 14; len <= 17; len++) {   /* ends within its tag */
        feed_bytes(&bed->uplink, tagged->data, len, 0, (SnOffload) { });
        dropped++;
    }
    assert_got("");
    g_assert_cmpuint(count->rx_dropped, ==, dropped);

    feed_bytes(&bed->uplink, bytes->data, 14, 0, (SnOffload) { });
    assert_got("hf");
    feed_bytes(&bed->uplink, tagged->data, 18, 0, (SnOffload) { });
    assert_got("h");

    g_byte_array_set_size(bytes, SN_SWITCH_MAX_FRAME + 1);
    memset(bytes->data + 14, 0x55, bytes->len - 14);
    feed_bytes(&bed->uplink, bytes->data, bytes->len - 1, 0, (SnOffload) { });
    assert_got("hf");
    feed_bytes(&bed->uplink, bytes->data, bytes->len, 0, (SnOffload) { });
    assert_got("");
    g_assert_cmpuint(count->rx_dropped, ==, dropped + 1);
    bed_down();
}

static void test_empty_pieces(void)
{
    g_autoptr(GByteArray) bytes = from_hex(BCAST HOST PLAIN);
    struct iovec iov[] = {
        { NULL, 0 }, { bytes->data, 13 }, { NULL, 0 },
        { bytes->data + 13, bytes->len - 13 }, { NULL, 0 },
    };
    SnFrame frame = { .iov = iov, .iovcnt = 5, .len = bytes->len };
    SnFrame none = { };

    bed_up(0);
    sn_switch_input(bed->sw, &bed->host.port, &frame);
    assert_frame(&bed->fw, BCAST HOST PLAIN);
    assert_got("uf");
    sn_switch_input(bed->sw, &bed->host.port, &none);
    assert_got("");
    bed_down();
}

/* ------------------------------------------------------- links, counters */

static void test_link(void)
{
    bed_up(0);
    feed(&bed->host, BCAST HOST PLAIN);
    clear();
    sn_switch_set_link(bed->sw, &bed->host.port, false);
    g_assert_false(bed->host.port.link_up);
    feed(&bed->uplink, BCAST PEER PLAIN);
    assert_got("f");
    g_assert_cmpuint(bed->host.port.counters.tx_dropped, ==, 1);
    feed(&bed->host, BCAST HOST PLAIN);
    assert_got("");
    g_assert_cmpuint(bed->host.port.counters.rx_dropped, ==, 1);
    feed(&bed->fw, HOST FW PLAIN);      /* forgotten: perhaps it moved */
    assert_got("u");

    sn_switch_set_link(bed->sw, &bed->host.port, true);
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("u");
    feed(&bed->host, BCAST HOST PLAIN);
    clear();
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("h");

    /* The port's owner may have noticed before the switch. */
    bed->host.port.link_up = false;
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("");
    sn_switch_set_link(bed->sw, &bed->host.port, false);
    feed(&bed->fw, HOST FW PLAIN);
    assert_got("u");

    sn_switch_set_link(bed->sw, &bed->fw.port, false);
    feed(&bed->uplink, FW PEER PLAIN);
    assert_got("");
    feed(&bed->fw, PEER FW PLAIN);
    assert_got("");
    bed_down();
}

static void test_counters(void)
{
    SnPortCounters *up, *host, *fw;

    bed_up(100);
    up = &bed->uplink.port.counters;
    host = &bed->host.port.counters;
    fw = &bed->fw.port.counters;

    feed(&bed->fw, PEER FW PLAIN);              /* 18 bytes, 22 with tag */
    g_assert_cmpuint(fw->rx_frames, ==, 1);
    g_assert_cmpuint(fw->rx_bytes, ==, 18);
    g_assert_cmpuint(up->tx_frames, ==, 1);
    g_assert_cmpuint(up->tx_bytes, ==, 22);
    feed(&bed->uplink, FW PEER TAG("00 64") PLAIN);
    g_assert_cmpuint(up->rx_frames, ==, 1);
    g_assert_cmpuint(up->rx_bytes, ==, 22);
    g_assert_cmpuint(fw->tx_frames, ==, 1);
    g_assert_cmpuint(fw->tx_bytes, ==, 18);

    feed(&bed->host, BCAST FW PLAIN);
    g_assert_cmpuint(host->rx_dropped, ==, 1);
    g_assert_cmpuint(host->rx_frames, ==, 0);
    g_assert_cmpuint(host->rx_bytes, ==, 0);

    bed->uplink.refuse = true;
    feed(&bed->host, PEER HOST PLAIN);
    g_assert_cmpuint(host->rx_frames, ==, 1);
    g_assert_cmpuint(up->tx_dropped, ==, 1);
    g_assert_cmpuint(up->tx_frames, ==, 1);
    g_assert_cmpuint(up->tx_bytes, ==, 22);
    bed_down();
}

static void test_full_switch(void)
{
    TestPort more[SN_SWITCH_MAX_PORTS];

    bed_up(0);
    for (unsigned i = 0; i < SN_SWITCH_MAX_PORTS; i++) {
        port_init(&more[i], "more", SN_PORT_HOST);
        g_assert_cmpint(sn_switch_attach(bed->sw, &more[i].port), ==,
                        i < SN_SWITCH_MAX_PORTS - 3);
    }
    feed(&bed->host, BCAST HOST PLAIN);
    g_assert_cmpuint(more[12].frames->len, ==, 1);
    g_assert_cmpuint(more[13].frames->len, ==, 0);

    /* A place that is free again is used again. */
    sn_switch_detach(bed->sw, &more[5].port);
    g_assert_true(sn_switch_attach(bed->sw, &more[13].port));
    feed(&bed->host, BCAST HOST PLAIN);
    g_assert_cmpuint(more[13].frames->len, ==, 1);
    g_assert_cmpuint(more[5].frames->len, ==, 1);
    for (unsigned i = 0; i < SN_SWITCH_MAX_PORTS; i++) {
        port_done(&more[i]);
    }
    bed_down();
}

/* ------------------------------------------------------- nesting */

/* slirp: answers ARP while the question is being delivered. */
static void answer_firmware(TestPort *tp)
{
    feed(&bed->uplink, FW PEER TAG("00 64") PLAIN);
}

static void test_nested_answer(void)
{
    bed_up(100);
    bed->uplink.hook = answer_firmware;
    feed(&bed->fw, BCAST FW PLAIN);
    assert_frame(&bed->uplink, BCAST FW TAG("00 64") PLAIN);
    assert_frame(&bed->fw, FW PEER PLAIN);
    assert_got("uf");
    bed_down();
}

static void say_again(TestPort *tp)
{
    feed(tp, BCAST PEER PLAIN);
}

static void say_again_as_host(TestPort *tp)
{
    feed(tp, BCAST HOST PLAIN);
}

/* Two that answer each other for ever are stopped, and then all is well. */
static void test_nesting_is_bounded(void)
{
    bed_up(0);
    bed->uplink.hook = say_again;
    bed->host.hook = say_again_as_host;
    feed(&bed->uplink, BCAST PEER PLAIN);
    g_assert_cmpuint(bed->uplink.frames->len + bed->host.frames->len, ==, 8);
    g_assert_cmpuint(bed->uplink.port.counters.rx_dropped +
                     bed->host.port.counters.rx_dropped, ==, 1);
    clear();
    bed->uplink.hook = bed->host.hook = NULL;
    feed(&bed->uplink, BCAST PEER PLAIN);
    assert_got("hf");
    bed_down();
}

static void detach_others(TestPort *tp)
{
    sn_switch_detach(bed->sw, &bed->host.port);
    sn_switch_detach(bed->sw, &bed->fw.port);
    sn_switch_detach(bed->sw, &bed->uplink.port);
}

/* Ports that go away while a frame is under way get nothing any more. */
static void test_detach_while_delivering(void)
{
    bed_up(0);
    bed->uplink.hook = detach_others;
    feed(&bed->host, BCAST HOST PLAIN);
    assert_got("u");
    g_assert_cmpuint(bed->uplink.port.counters.tx_frames, ==, 0);
    bed_down();
}

static bool nest_big;

static void feed_big(TestPort *from, size_t piece)
{
    g_autoptr(GByteArray) bytes = from_hex(PEER FW PLAIN);

    g_byte_array_set_size(bytes, 1500);
    memset(bytes->data + 18, piece, bytes->len - 18);
    feed_bytes(from, bytes->data, bytes->len, piece, (SnOffload) { });
}

static void nest_once(TestPort *tp)
{
    if (nest_big) {
        nest_big = false;
        feed_big(&bed->fw, 2);
    }
}

/* The buffer for frames in many pieces is never overwritten while in use. */
static void test_nested_buffer(void)
{
    GByteArray *got;

    bed_up(100);
    bed->uplink.hook = nest_once;
    nest_big = true;
    feed_big(&bed->fw, 1);
    g_assert_cmpuint(bed->uplink.frames->len, ==, 1);
    got = g_ptr_array_index(bed->uplink.frames, 0);
    g_assert_cmpuint(got->data[1503], ==, 1);
    g_assert_cmpuint(bed->uplink.port.counters.tx_dropped, ==, 1);
    clear();
    feed_big(&bed->fw, 3);
    g_assert_cmpuint(bed->uplink.frames->len, ==, 1);
    bed_down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/switch/flooding", test_flooding);
    g_test_add_func("/switch/firmware-mac", test_firmware_mac);
    g_test_add_func("/switch/learning", test_learning);
    g_test_add_func("/switch/second-host", test_second_host);
    g_test_add_func("/switch/move", test_move);
    g_test_add_func("/switch/aging", test_aging);
    g_test_add_func("/switch/learning-per-vlan", test_learning_per_vlan);
    g_test_add_func("/switch/full-table", test_full_table);
    g_test_add_func("/switch/bad-sources", test_bad_sources);
    g_test_add_func("/switch/lengths", test_lengths);
    g_test_add_func("/switch/empty-pieces", test_empty_pieces);
    g_test_add_func("/switch/link", test_link);
    g_test_add_func("/switch/counters", test_counters);
    g_test_add_func("/switch/full-switch", test_full_switch);
    g_test_add_func("/switch/nesting/answer", test_nested_answer);
    g_test_add_func("/switch/nesting/bounded", test_nesting_is_bounded);
    g_test_add_func("/switch/nesting/detach", test_detach_while_delivering);
    g_test_add_func("/switch/nesting/buffer", test_nested_buffer);
    return g_test_run();
}
