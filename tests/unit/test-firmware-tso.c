/*
 * The firmware's long segments, which somebody behind the card cuts: here a
 * tap on the wire does, and loses some of the pieces.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "firmware-world.h"
#include "fw-stream.h"

#include "lwip/priv/tcp_priv.h"

typedef struct Cutter {
    bool v6;
    unsigned long_frames;
    size_t longest;             /* payload, bytes */
} Cutter;

static uint32_t pseudo6(const uint8_t *ip, size_t len)
{
    return slow_sum(ip + 8, 32, 6 + len);
}

/* One piece: @n bytes of payload at @off of frame @f. */
static void send_piece(World *w, const uint8_t *f, size_t head, size_t tcp,
                       size_t off, size_t n, bool last)
{
    g_autofree uint8_t *c = g_malloc(head + n);
    Fate fate = { 1, 10000 };

    memcpy(c, f, head);
    memcpy(c + head, f + head + off, n);
    if (tcp == 34) {
        sn_put_be16(c + 16, head + n - 14);
        sn_put_be16(c + 24, 0);
        sn_put_be16(c + 24, ~slow_sum(c + 14, 20, 0));
    } else {
        sn_put_be16(c + 18, head + n - 54);
    }
    sn_put_be32(c + tcp + 4, sn_get_be32(c + tcp + 4) + off);
    if (!last) {
        c[tcp + 13] &= ~(FIN | 8);
    }
    sn_put_be16(c + tcp + 16, 0);
    sn_put_be16(c + tcp + 16, ~slow_sum(c + tcp, head + n - tcp, tcp == 34 ?
          pseudo4(c + 14, head + n - tcp) : pseudo6(c + 14, head + n - tcp)));
    if (w->fate) {
        fate = w->fate(w, &w->client, c, head + n);
    }
    while (fate.copies-- > 0) {
        wire_send(w, &w->server, c, head + n, NULL, fate.delay);
    }
}

static bool tap_cut(World *w, Node *from, const uint8_t *f, size_t len,
                    const SnOffload *o)
{
    Cutter *cut = w->tap_opaque;
    size_t tcp = cut->v6 ? 54 : 34, head;

    if (from != &w->client || !(o->flags & SN_OFFLOAD_NEEDS_CSUM)) {
        g_assert_cmpuint(o->gso_type, ==, 0);
        return false;
    }
    head = tcp + (f[tcp + 12] >> 4) * 4;
    g_assert_cmpuint(o->csum_start, ==, tcp);
    g_assert_cmpuint(o->csum_offset, ==, 16);
    /* The pseudo header's sum is that of the whole. */
    g_assert_cmpuint(sn_get_be16(f + tcp + 16), ==, cut->v6 ?
                     pseudo6(f + 14, len - tcp) : pseudo4(f + 14, len - tcp));
    if (!o->gso_type) {
        g_assert_cmpuint(len, <=, 1514);
        send_piece(w, f, head, tcp, 0, len - head, true);
        return true;
    }
    g_assert_cmpuint(len, >, 1514);
    g_assert_cmpuint(o->gso_type, ==, cut->v6 ? 4 : 1);
    g_assert_cmpuint(o->gso_size, ==, cut->v6 ? 1440 : 1460);
    g_assert_cmpuint(o->hdr_len, ==, head);
    cut->long_frames++;
    cut->longest = MAX(cut->longest, len - head);
    for (size_t off = 0; off < len - head; off += o->gso_size) {
        size_t n = MIN(o->gso_size, len - head - off);

        send_piece(w, f, head, tcp, off, n, off + n == len - head);
    }
    return true;
}

static World *world_tso(uint32_t seed, Cutter *cut)
{
    World *w = world_bare(seed);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);

    if (cut->v6) {
        c.ip6 = "2001:db8::1/64";
        s.ip6 = "2001:db8::2/64";
    }
    node_start(&w->client, &c);
    node_start(&w->server, &s);
    sn_fw_set_tx_checksum(w->client.fw, true);
    sn_fw_set_tx_segmentation(w->client.fw, true);
    w->tap = tap_cut;
    w->tap_opaque = cut;
    return w;
}

static User *connect_to(World *w, const Cutter *cut)
{
    User *u = user_new(&w->client, cut->v6 ? "2001:db8::2" : "192.0.2.2",
                       4420);

    run_until(w, is_connected, u, 10 * SEC);
    return u;
}

/* About @total bytes, in pieces of random size; some are taken back. */
static void transfer(uint32_t seed, double loss, bool v6, size_t total)
{
    Cutter cut = { .v6 = v6 };
    World *w = world_tso(seed, &cut);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = connect_to(w, &cut);
    GByteArray *sum = g_byte_array_new();
    GPtrArray *writes = g_ptr_array_new_with_free_func(g_free);
    Amount all = { srv->rx, 0 };

    w->fate = fate_lossy;
    w->loss = loss;
    while (sum->len < total) {
        Write *wr = user_write(w, u, random_size(w), sum);

        g_ptr_array_add(writes, wr);
        user_push(u);
        test_loop_advance(w->loop, g_rand_int_range(w->rand, 0, 100000));
        if (g_rand_int_range(w->rand, 0, 4) == 0 && !wr->done) {
            user_detach(u, wr);
        }
    }
    all.want = sum->len;
    run_until(w, has_amount, &all, 600 * SEC);
    assert_bytes(srv->rx, sum);
    test_loop_advance(w->loop, SEC);
    for (unsigned i = 0; i < writes->len; i++) {
        Write *wr = writes->pdata[i];

        g_assert_true(wr->done != wr->detached);
    }
    g_assert_cmpuint(cut.long_frames, >, 0);
    g_assert_cmpuint(cut.longest, <=, 60000);
    user_free(u);
    server_free(srv);
    g_ptr_array_unref(writes);
    g_byte_array_unref(sum);
    world_free(w);
}

static void test_transfer(void)
{
    transfer(1, 0, false, 4 << 20);
    transfer(2, 0, true, 1 << 20);
}

static void test_loss(void)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        transfer(seed, seed % 2 ? 0.01 : 0.06, seed % 3 == 0, 1 << 20);
    }
}

/* The peer reads @len bytes more, and says so. */
static void server_reads(Server *srv, u16_t len)
{
    sn_fw_enter();
    srv->unread -= len;
    tcp_recved(srv->pcb, len);
    tcp_ack_now(srv->pcb);
    tcp_output(srv->pcb);
    sn_fw_leave();
}

/*
 * A closed window opens by less than the segments are long that wait for it:
 * what fits leaves at once.
 */
static void test_small_window(void)
{
    Cutter cut = { 0 };
    World *w = world_tso(3, &cut);
    Server *srv = server_new(&w->server, 4420, SERVE_DEAF);
    User *u = connect_to(w, &cut);
    GByteArray *sum = g_byte_array_new();
    Amount more = { srv->rx, 0 };
    Write *wr;

    wr = user_write(w, u, 4 << 20, sum);
    user_push(u);
    test_loop_advance(w->loop, 10 * SEC);
    g_assert_cmpuint(cut.longest, ==, 41 * 1460);
    for (int i = 0; i < 20; i++) {
        more.want = srv->rx->len + 4096 - 64;       /* the window's unit */
        server_reads(srv, 4096);
        run_until(w, has_amount, &more, 80 * MS);
        g_assert_cmpmem(srv->rx->data, srv->rx->len, sum->data,
                        srv->rx->len);
    }
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* After a loss of everything one short segment is tried, not a burst. */
static void test_after_timeout(void)
{
    Cutter cut = { 0 };
    World *w = world_tso(4, &cut);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = connect_to(w, &cut);
    GByteArray *sum = g_byte_array_new();
    Amount all = { srv->rx, 1 << 20 };
    Write *a, *b;

    a = user_write(w, u, all.want, sum);
    user_push(u);
    run_until(w, has_amount, &all, SEC);
    test_loop_advance(w->loop, 100 * MS);
    w->fate = fate_lossy;
    w->loss = 1;
    b = user_write(w, u, 100000, sum);
    user_push(u);
    test_loop_advance(w->loop, 150 * MS);
    cut.longest = 0;
    test_loop_advance(w->loop, 3 * SEC);
    g_assert_cmpuint(cut.longest, ==, 0);
    w->loss = 0;
    all.want += 100000;
    run_until(w, has_amount, &all, 3 * SEC);
    assert_bytes(srv->rx, sum);
    user_free(u);
    g_free(a);
    g_free(b);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware-tso/transfer", test_transfer);
    g_test_add_func("/firmware-tso/loss", test_loss);
    g_test_add_func("/firmware-tso/small-window", test_small_window);
    g_test_add_func("/firmware-tso/after-timeout", test_after_timeout);
    return g_test_run();
}
