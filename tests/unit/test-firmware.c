/*
 * The firmware's TCP streams: data, ends, windows and times.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "firmware-world.h"
#include "fw-stream.h"

#include "lwip/etharp.h"
#include "lwip/priv/tcp_priv.h"

/* Echo of about @total random bytes in random writes. */
static void echo(World *w, size_t total)
{
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    GPtrArray *writes = g_ptr_array_new_with_free_func(g_free);
    Amount back = { u->rx, 0 };

    g_assert_false(u->connected);
    run_until(w, is_connected, u, 60 * SEC);
    while (sum->len < total) {
        for (int n = g_rand_int_range(w->rand, 1, 5); n > 0; n--) {
            g_ptr_array_add(writes, user_write(w, u, random_size(w), sum));
        }
        user_push(u);
        test_loop_advance(w->loop, g_rand_int_range(w->rand, 0, 200000));
    }
    back.want = sum->len;
    run_until(w, has_amount, &back, 600 * SEC);
    assert_bytes(u->rx, sum);
    test_loop_advance(w->loop, SEC);
    g_assert_cmpuint(u->done, ==, writes->len);
    g_assert_false(u->closed);
    user_free(u);
    server_free(srv);
    g_ptr_array_unref(writes);
    g_byte_array_unref(sum);
}

static void test_echo(void)
{
    World *w = world_new(1);

    echo(w, 4 << 20);
    world_free(w);
    w = world_new_mtu(2, 9000);
    echo(w, 4 << 20);
    world_free(w);
}

static void test_loss(void)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        World *w = world_new(seed);

        w->fate = fate_lossy;
        w->loss = seed <= 6 ? 0.01 : 0.06;
        echo(w, 600000);
        world_free(w);
    }
}

static void test_detach(void)
{
    for (uint32_t seed = 1; seed <= 30; seed++) {
        World *w = world_new(seed);
        Server *srv = server_new(&w->server, 4420, SERVE_SINK);
        User *u = user_new(&w->client, "192.0.2.2", 4420);
        GByteArray *sum = g_byte_array_new();
        GPtrArray *writes = g_ptr_array_new_with_free_func(g_free);
        Amount all = { srv->rx, 0 };

        w->fate = fate_lossy;
        w->loss = seed % 3 * 0.02;
        run_until(w, is_connected, u, 60 * SEC);
        while (sum->len < 500000) {
            g_ptr_array_add(writes, user_write(w, u, random_size(w), sum));
            if (g_rand_boolean(w->rand)) {
                user_push(u);
            }
            test_loop_advance(w->loop, g_rand_int_range(w->rand, 0, 30000));
            if (g_rand_int_range(w->rand, 0, 3) == 0) {
                Write *wr = writes->pdata[g_rand_int_range(w->rand, 0,
                                                           writes->len)];

                if (!wr->done && !wr->detached) {
                    user_detach(u, wr);
                }
            }
        }
        user_push(u);
        all.want = sum->len;
        run_until(w, has_amount, &all, 600 * SEC);
        assert_bytes(srv->rx, sum);
        test_loop_advance(w->loop, SEC);
        for (unsigned i = 0; i < writes->len; i++) {
            Write *wr = writes->pdata[i];

            g_assert_true(wr->done != wr->detached);
        }
        g_assert_cmpuint(((FwStream *)u->s)->copied, ==, 0);
        user_free(u);
        server_free(srv);
        g_ptr_array_unref(writes);
        g_byte_array_unref(sum);
        world_free(w);
    }
}

/* A peer that reads nothing does not get all memory kept for it. */
static void test_detach_limit(void)
{
    enum { LEN = 1 << 20, LIMIT = 256 };
    World *w = world_new(2);
    Server *srv = server_new(&w->server, 4420, SERVE_DEAF);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    g_autofree uint8_t *mem = g_malloc0(LEN);
    struct iovec iov = { mem, LEN };
    SnTx tx;

    run_until(w, is_connected, u, SEC);
    for (unsigned i = 0; i < 2 * LIMIT; i++) {
        tx = (SnTx){ &iov, 1 };
        sn_stream_write(u->s, &tx);
        user_push(u);
        u->in_call = true;
        sn_stream_tx_detach(u->s, &tx);
        u->in_call = false;
        if (i == LIMIT - 2) {
            test_loop_advance(w->loop, SEC);
            g_assert_false(u->closed);
        }
    }
    g_assert_cmpuint(((FwStream *)u->s)->copied, <, (LIMIT + 1) * LEN);
    g_assert_false(u->closed);
    test_loop_advance(w->loop, 0);
    g_assert_true(u->closed);
    g_assert_cmpint(u->err, ==, -ENOBUFS);
    user_free(u);
    server_free(srv);
    world_free(w);
}

/* Two writes that follow each other in memory; the first is taken back. */
static void test_detach_adjacent(void)
{
    World *w = world_new(3);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    uint8_t *mem = g_malloc(3000), want[3000];
    struct iovec iov[2] = { { mem, 1000 }, { mem + 1000, 2000 } };
    SnTx tx[2] = { { &iov[0], 1 }, { &iov[1], 1 } };
    Amount all = { srv->rx, 3000 };

    for (int i = 0; i < 3000; i++) {
        mem[i] = want[i] = i * 7 + i / 256;
    }
    run_until(w, is_connected, u, SEC);
    w->loss = 1;
    w->fate = fate_lossy;
    sn_stream_write(u->s, &tx[0]);
    sn_stream_write(u->s, &tx[1]);
    sn_stream_push(u->s);
    sn_stream_tx_detach(u->s, &tx[0]);
    memset(mem, 0xee, 1000);
    w->loss = 0;
    run_until(w, has_amount, &all, 10 * SEC);
    g_assert_cmpmem(srv->rx->data, 3000, want, 3000);
    /* Harmless: done already, and never written. */
    sn_stream_tx_detach(u->s, &tx[0]);
    tx[0] = (SnTx){ 0 };
    sn_stream_tx_detach(u->s, &tx[0]);
    user_free(u);
    g_free(mem);
    server_free(srv);
    world_free(w);
}

static void close_after(uint32_t seed)
{
    World *w = world_new(seed);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    GPtrArray *writes = g_ptr_array_new_with_free_func(g_free);
    int64_t life = g_rand_int_range(w->rand, 0, seed % 2 ? 100000 : 3000000);
    unsigned sent;

    w->fate = fate_lossy;
    w->loss = seed % 4 * 0.05;
    u->close_in = seed % 5;
    u->greedy = seed % 7;
    srv->close_after = seed % 11 == 0;
    for (int i = 0; i < 20 && u->s; i++) {
        if (u->connected && !u->closed) {
            g_ptr_array_add(writes, user_write(w, u, random_size(w), sum));
            user_push(u);
        }
        test_loop_advance(w->loop, life / 20);
    }
    user_close(u);
    /* Nothing of the caller's memory may be looked at from now on. */
    g_ptr_array_unref(writes);
    sent = w->client.sent;
    test_loop_advance(w->loop, 3 * SEC);
    /* At most the RST, or FIN and some repetitions of it. */
    g_assert_cmpuint(w->client.sent - sent, <, 40);
    user_free(u);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

static void test_close(void)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        close_after(seed);
    }
}

/* A packet that waits for ARP must not point into the caller's memory. */
static Fate fate_no_arp(World *w, Node *from, const uint8_t *f, size_t len)
{
    return (Fate){ sn_get_be16(f + 12) != 0x0806, 10000 };
}

static void test_close_unresolved(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;

    run_until(w, is_connected, u, SEC);
    sn_fw_enter();
    netif_set_link_down(&w->client.fw->netif);
    etharp_cleanup_netif(&w->client.fw->netif);
    netif_set_link_up(&w->client.fw->netif);
    sn_fw_leave();
    w->fate = fate_no_arp;
    wr = user_write(w, u, 1000, sum);
    user_push(u);
    test_loop_run_bhs(w->loop);
    user_close(u);
    g_free(wr);
    w->fate = NULL;
    test_loop_advance(w->loop, 5 * SEC);
    user_free(u);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* ---- how connections end ---- */

/* From where servers trust the user's id; else from the dynamic ports. */
static void test_reserved_port(void)
{
    World *w = world_new(1);

    for (unsigned i = 0; i < 20; i++) {
        Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
        User *u = user_new_flags(&w->client, "192.0.2.2", 4420,
                                 i % 2 ? SN_NET_RESERVED_PORT : 0);

        run_until(w, is_connected, u, SEC);
        test_loop_advance(w->loop, 10 * MS);    /* the last ACK */
        g_assert_nonnull(srv->pcb);
        if (i % 2) {
            g_assert_cmpuint(srv->pcb->remote_port, >=, 512);
            g_assert_cmpuint(srv->pcb->remote_port, <, 1024);
        } else {
            g_assert_cmpuint(srv->pcb->remote_port, >=, 49152);
        }
        user_free(u);
        server_free(srv);
    }
    world_free(w);
}

/* Connects from @port, and tells from where it did. */
static uint16_t connect_from(World *w, Server *srv, uint16_t port, User **u)
{
    uint16_t from;

    *u = user_new_flags(&w->client, "192.0.2.2", 4420, SN_NET_FROM_PORT(port));
    run_until(w, is_connected, *u, SEC);
    test_loop_advance(w->loop, 10 * MS);
    g_assert_false((*u)->closed);
    from = sn_stream_local_port((*u)->s);
    g_assert_cmpuint(from, ==, srv->pcb->remote_port);
    return from;
}

static Fate lose_all(World *w, Node *from, const uint8_t *frame, size_t len)
{
    return (Fate){ .copies = 0 };
}

static void test_from_port(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *a, *b;

    g_assert_cmpuint(connect_from(w, srv, 700, &a), ==, 700);
    /* It is taken: another will do. */
    g_assert_cmpuint(connect_from(w, srv, 700, &b), >=, 49152);
    user_free(b);
    user_free(a);
    g_assert_cmpuint(connect_from(w, srv, 700, &a), ==, 700);
    /* The server does not hear of the end until somebody comes from there. */
    srv->reset = false;
    w->fate = lose_all;
    user_free(a);
    test_loop_advance(w->loop, 10 * MS);
    g_assert_false(srv->reset);
    w->fate = NULL;
    g_assert_cmpuint(connect_from(w, srv, 700, &a), ==, 700);
    g_assert_true(srv->reset);
    user_free(a);
    server_free(srv);
    world_free(w);
}

static void test_refused(void)
{
    World *w = world_new(1);
    User *u = user_new(&w->client, "192.0.2.2", 1);

    run_until(w, is_closed, u, SEC);
    g_assert_cmpint(u->err, ==, -ECONNREFUSED);
    g_assert_false(u->connected);
    user_free(u);
    world_free(w);
}

static void test_unreachable(void)
{
    World *w = world_new(1);
    User *u = user_new(&w->client, "192.0.2.77", 4420);

    run_until(w, is_closed, u, 60 * SEC);
    g_assert_cmpint(u->err, ==, -ETIMEDOUT);
    user_free(u);

    /* No IPv6 at all, ever. */
    u = user_new(&w->client, "2001:db8::1", 4420);
    run_until(w, is_closed, u, SEC);
    g_assert_cmpint(u->err, ==, -ENETDOWN);
    user_free(u);
    world_free(w);
}

static void test_reset(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 10 * MS);
    sn_fw_enter();
    tcp_err(srv->pcb, NULL);
    tcp_abort(srv->pcb);
    srv->pcb = NULL;
    sn_fw_leave();
    run_until(w, is_closed, u, SEC);
    g_assert_cmpint(u->err, ==, -ECONNRESET);
    /* Ignored, and not referenced. */
    wr = user_write(w, u, 100, sum);
    g_free(wr);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    user_free(u);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* The peer closes in order: bytes before that stay readable. */
static void test_fin(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SOURCE);
    User *u = user_new(&w->client, "192.0.2.2", 4420);

    for (int i = 0; i < 100000; i++) {
        g_byte_array_append(srv->out, (uint8_t[]){ i ^ i >> 8 }, 1);
    }
    srv->close_after = true;
    u->greedy = false;
    run_until(w, is_closed, u, SEC);
    g_assert_cmpint(u->err, ==, 0);
    user_read(u);
    assert_bytes(u->rx, srv->out);
    user_close(u);
    test_loop_advance(w->loop, 5 * SEC);
    /* Finished on both sides: no RST. */
    g_assert_true(srv->fin);
    g_assert_false(srv->reset);
    user_free(u);
    server_free(srv);
    world_free(w);
}

/* ---- windows ---- */

static void fill_random(World *w, GByteArray *a, size_t len)
{
    g_byte_array_set_size(a, len);
    for (size_t i = 0; i < len; i++) {
        a->data[i] = g_rand_int(w->rand);
    }
}

static void backpressure(size_t total, size_t piece)
{
    World *w = world_new(5);
    Server *srv = server_new(&w->server, 4420, SERVE_SOURCE);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    Amount all = { u->rx, total };
    SnFirmwareStats stats;
    struct iovec iov[4096];
    size_t sum = 0;
    unsigned n;

    fill_random(w, srv->out, total);
    srv->piece = piece;
    u->greedy = false;
    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 30 * SEC);
    sn_fw_stats(w->client.fw, &stats);
    g_assert_cmpuint(stats.rx_memory_peak, <=, RX_POOL_MAX);
    n = sn_stream_peek(u->s, iov, G_N_ELEMENTS(iov));
    for (unsigned i = 0; i < n; i++) {
        sum += iov[i].iov_len;
    }
    g_assert_cmpuint(sum, >=, MIN(total, TCP_WND) / 2);
    g_assert_cmpuint(sum, <=, TCP_WND);
    u->greedy = true;
    user_read(u);
    run_until(w, has_amount, &all, 600 * SEC);
    assert_bytes(u->rx, srv->out);
    user_free(u);
    server_free(srv);
    world_free(w);
}

static void test_backpressure(void)
{
    backpressure(8 << 20, 0);
}

/* Very small segments must not cost a buffer each. */
static void test_tiny_segments(void)
{
    backpressure(60000, 8);
}

static void test_zero_window(void)
{
    World *w = world_new(6);
    Server *srv = server_new(&w->server, 4420, SERVE_DEAF);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;
    Amount all = { srv->rx, 4 << 20 };

    run_until(w, is_connected, u, SEC);
    wr = user_write(w, u, 4 << 20, sum);
    user_push(u);
    test_loop_advance(w->loop, 60 * SEC);
    g_assert_cmpuint(srv->rx->len, <=, TCP_WND);
    g_assert_false(wr->done || u->closed);
    srv->mode = SERVE_SINK;
    sn_fw_enter();
    while (srv->unread) {
        u16_t n = MIN(srv->unread, 0xffff);

        tcp_recved(srv->pcb, n);
        srv->unread -= n;
    }
    sn_fw_leave();
    run_until(w, has_amount, &all, 60 * SEC);
    assert_bytes(srv->rx, sum);
    test_loop_advance(w->loop, SEC);
    g_assert_true(wr->done);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* A port that takes nothing for a while: TCP repeats. */
static void test_tx_blocked(void)
{
    World *w = world_new(7);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;
    Amount all = { srv->rx, 50000 };

    run_until(w, is_connected, u, SEC);
    w->client.blocked = true;
    wr = user_write(w, u, 50000, sum);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    g_assert_cmpuint(srv->rx->len, ==, 0);
    w->client.blocked = false;
    all.want = 1460;
    /* Tried at every tick, not only when it counts as lost. */
    run_until(w, has_amount, &all, 60 * MS);
    all.want = 50000;
    run_until(w, has_amount, &all, 5 * SEC);
    assert_bytes(srv->rx, sum);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

static void test_link(void)
{
    World *w = world_new(8);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *a, *b;
    Amount all = { srv->rx, 2000 };

    run_until(w, is_connected, u, SEC);
    sn_fw_set_link(w->client.fw, false);
    w->loss = 1;
    w->fate = fate_lossy;
    a = user_write(w, u, 1000, sum);
    user_push(u);
    test_loop_advance(w->loop, 10 * SEC);
    g_assert_false(u->closed);
    w->loss = 0;
    sn_fw_set_link(w->client.fw, true);
    b = user_write(w, u, 1000, sum);
    user_push(u);
    run_until(w, has_amount, &all, 250 * MS);
    assert_bytes(srv->rx, sum);
    user_free(u);
    g_free(a);
    g_free(b);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* ---- time ---- */

static unsigned wakeups(World *w, int64_t ns)
{
    int64_t end = sn_loop_now(w->loop) + ns;
    unsigned n = 0;

    test_loop_run_bhs(w->loop);
    while (test_loop_next_deadline(w->loop) <= end) {
        test_loop_advance(w->loop, test_loop_next_deadline(w->loop) -
                          sn_loop_now(w->loop));
        n++;
    }
    return n;
}

static void test_idle(void)
{
    World *w = world_new(9);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;
    Amount back = { u->rx, 500 };

    run_until(w, is_connected, u, SEC);
    wr = user_write(w, u, 500, sum);
    user_push(u);
    run_until(w, has_amount, &back, SEC);
    test_loop_advance(w->loop, 3 * SEC);
    g_assert_cmpuint(wakeups(w, 10 * SEC), <=, 11);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/*
 * Loses chosen frames of the client once and measures how soon the same bytes
 * are seen again.
 */
typedef struct Watch {
    unsigned lose_from, lose_to;    /* data frames, counted from 0 */
    bool lose_syn;
    unsigned data_frames;
    uint32_t seq;                   /* of the first one lost */
    int64_t lost_at, again_at;
} Watch;

static bool watch_tap(World *w, Node *from, const uint8_t *f, size_t len,
                      const SnOffload *offload)
{
    Watch *x = w->tap_opaque;
    TcpView v;
    bool lose;

    if (from != &w->client || !view_tcp(&v, f, len) ||
        !(v.payload || (v.flags & SYN))) {
        return false;
    }
    if (x->lost_at && !x->again_at && v.seq == x->seq) {
        x->again_at = sn_loop_now(w->loop);
        return false;
    }
    if (v.flags & SYN) {
        lose = x->lose_syn && !x->lost_at;
    } else {
        lose = !x->lose_syn && x->data_frames >= x->lose_from &&
               x->data_frames < x->lose_to;
        x->data_frames++;
    }
    if (lose && !x->lost_at) {
        x->lost_at = sn_loop_now(w->loop);
        x->seq = v.seq;
    }
    return lose;
}

static void retransmit(Watch x, size_t len, int64_t limit, int64_t idle)
{
    World *w = world_new(10);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u;
    GByteArray *sum = g_byte_array_new();
    Write *wr;
    Amount all = { srv->rx, len };

    w->tap = watch_tap;
    w->tap_opaque = &x;
    u = user_new(&w->client, "192.0.2.2", 4420);
    run_until(w, is_connected, u, 5 * SEC);
    test_loop_advance(w->loop, idle);
    wr = user_write(w, u, len, sum);
    user_push(u);
    run_until(w, has_amount, &all, 5 * SEC);
    assert_bytes(srv->rx, sum);
    g_assert_cmpint(x.lost_at, !=, 0);
    g_assert_cmpint(x.again_at, !=, 0);
    g_assert_cmpint(x.again_at - x.lost_at, <=, limit);
    test_loop_advance(w->loop, SEC);
    g_assert_true(wr->done);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

static void test_retransmit(void)
{
    /* The only frame, at different phases of the ticks. */
    for (int64_t idle = 0; idle < 300 * MS; idle += 7 * MS) {
        retransmit((Watch){ 0, 1 }, 500, 250 * MS, idle);
    }
    /* After a long silence the clock has to be right again. */
    retransmit((Watch){ 0, 1 }, 500, 250 * MS, 3600 * SEC);
    /* The last of a burst; several of them. */
    retransmit((Watch){ 7, 8 }, 8 * 1460, 250 * MS, 0);
    retransmit((Watch){ 4, 8 }, 8 * 1460, 250 * MS, 0);
    /* The SYN. */
    retransmit((Watch){ .lose_syn = true }, 500, 250 * MS, 0);
    /* Within a burst: by duplicate ACKs, without waiting. */
    retransmit((Watch){ 2, 3 }, 8 * 1460, 5 * MS, 0);
}

/* However long the path was gone, it is tried every two seconds. */
static void test_retransmit_ceiling(void)
{
    World *w = world_new(12);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Write *wr;
    Amount all = { srv->rx, 500 };

    run_until(w, is_connected, u, SEC);
    w->loss = 1;
    w->fate = fate_lossy;
    wr = user_write(w, u, 500, sum);
    user_push(u);
    test_loop_advance(w->loop, 12 * SEC);
    w->loss = 0;
    run_until(w, has_amount, &all, 2 * SEC + 50 * MS);
    /* With no end of it, the stream ends. */
    user_free(u);
    g_free(wr);
    u = user_new(&w->client, "192.0.2.2", 4420);
    run_until(w, is_connected, u, SEC);
    w->loss = 1;
    wr = user_write(w, u, 500, sum);
    user_push(u);
    run_until(w, is_closed, u, 30 * SEC);
    g_assert_cmpint(u->err, ==, -ETIMEDOUT);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware/echo", test_echo);
    g_test_add_func("/firmware/loss", test_loss);
    g_test_add_func("/firmware/detach", test_detach);
    g_test_add_func("/firmware/detach-limit", test_detach_limit);
    g_test_add_func("/firmware/detach-adjacent", test_detach_adjacent);
    g_test_add_func("/firmware/close", test_close);
    g_test_add_func("/firmware/close-unresolved", test_close_unresolved);
    g_test_add_func("/firmware/reserved-port", test_reserved_port);
    g_test_add_func("/firmware/from-port", test_from_port);
    g_test_add_func("/firmware/refused", test_refused);
    g_test_add_func("/firmware/unreachable", test_unreachable);
    g_test_add_func("/firmware/reset", test_reset);
    g_test_add_func("/firmware/fin", test_fin);
    g_test_add_func("/firmware/backpressure", test_backpressure);
    g_test_add_func("/firmware/tiny-segments", test_tiny_segments);
    g_test_add_func("/firmware/zero-window", test_zero_window);
    g_test_add_func("/firmware/tx-blocked", test_tx_blocked);
    g_test_add_func("/firmware/link", test_link);
    g_test_add_func("/firmware/idle", test_idle);
    g_test_add_func("/firmware/retransmit", test_retransmit);
    g_test_add_func("/firmware/retransmit-ceiling", test_retransmit_ceiling);
    return g_test_run();
}
