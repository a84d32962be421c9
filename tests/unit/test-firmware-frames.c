/*
 * The firmware and its frames: bounds, checksums, offloads, hostile bytes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "firmware-world.h"
#include "fw-stream.h"

#include "lwip/priv/tcp_priv.h"

static void test_checksum(void)
{
    uint8_t buf[200];
    GRand *rand = g_rand_new_with_seed(1);

    for (int round = 0; round < 2000; round++) {
        size_t off = g_rand_int_range(rand, 0, 16);
        size_t len = g_rand_int_range(rand, 0, sizeof(buf) - 16);
        uint32_t want;

        for (size_t i = 0; i < sizeof(buf); i++) {
            buf[i] = round % 3 ? g_rand_int(rand) : 0xff;
        }
        want = slow_sum(buf + off, len, 0);
        g_assert_cmpuint(GUINT16_FROM_BE(sn_fw_chksum(buf + off, len)), ==,
                         want);
    }
    g_rand_free(rand);
}

/* Frames for others, and any while the link is down, are not taken. */
static void test_not_for_us(void)
{
    World *w = world_alone("192.0.2.1/24", "none");
    uint8_t f[60] = { 0 };

    put_eth(f, mac_s, 0x0800);
    g_assert_false(inject(&w->client, f, sizeof(f), NULL));
    put_eth(f, mac_c, 0x0800);
    g_assert_true(inject(&w->client, f, sizeof(f), NULL));
    g_assert_false(inject(&w->client, f, 13, NULL));
    g_assert_false(inject(&w->client, f, 0, NULL));
    sn_fw_set_link(w->client.fw, false);
    g_assert_false(inject(&w->client, f, sizeof(f), NULL));
    test_loop_run_bhs(w->loop);
    world_alone_free(w);
}

/* The queue is bounded, says so, and tells when it has room again. */
static void test_queue_bound(void)
{
    World *w = world_alone("192.0.2.1/24", "none");
    uint8_t f[60] = { 0 };
    SnFirmwareStats stats;
    unsigned taken = 0;

    put_eth(f, mac_c, 0x0800);
    while (sn_fw_can_input(w->client.fw)) {
        g_assert_true(inject(&w->client, f, sizeof(f), NULL));
        taken++;
        g_assert_cmpuint(taken, <=, 5000);
    }
    g_assert_cmpuint(taken, >, 1000);
    g_assert_false(inject(&w->client, f, sizeof(f), NULL));
    sn_fw_stats(w->client.fw, &stats);
    g_assert_cmpuint(stats.rx_memory, <=, 5 << 20);
    g_assert_cmpuint(w->client.ready, ==, 0);
    test_loop_run_bhs(w->loop);
    g_assert_cmpuint(w->client.ready, ==, 1);
    g_assert_true(sn_fw_can_input(w->client.fw));
    sn_fw_stats(w->client.fw, &stats);
    g_assert_cmpuint(stats.rx_memory, ==, 0);
    test_loop_run_bhs(w->loop);
    g_assert_cmpuint(w->client.ready, ==, 1);
    world_alone_free(w);
}

/* A segment of @u's connection, one byte long, @ahead of what is expected. */
static bool inject_ahead(World *w, User *u, uint32_t ahead)
{
    const struct tcp_pcb *pcb = ((FwStream *)u->s)->pcb;
    SnOffload o = { .flags = SN_OFFLOAD_DATA_VALID };
    uint8_t f[55] = { 0 };

    put_eth(f, mac_c, 0x0800);
    put_ip4(f + 14, 41, 6, IP_S, IP_C);
    sn_put_be16(f + 34, pcb->remote_port);
    sn_put_be16(f + 36, pcb->local_port);
    sn_put_be32(f + 38, pcb->rcv_nxt + ahead);
    sn_put_be32(f + 42, pcb->snd_nxt);
    f[46] = 5 << 4;
    f[47] = ACK;
    sn_put_be16(f + 48, 1000);
    f[54] = ahead;
    return inject(&w->client, f, sizeof(f), &o);
}

/*
 * Bytes out of order may use up all buffers; then the ones in order, which
 * would set them free, must still come in.
 */
static void test_out_of_order_flood(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    bool taken = true;
    unsigned n = 0;
    User *u[6];

    for (; n < G_N_ELEMENTS(u) && taken; n++) {
        u[n] = user_new(&w->client, "192.0.2.2", 4420);
        run_until(w, is_connected, u[n], SEC);
        for (unsigned k = 0; k < 1000 && taken; k++) {
            test_loop_run_bhs(w->loop);
            taken = inject_ahead(w, u[n], 10 + 2 * k);
        }
    }
    g_assert_false(taken);
    test_loop_run_bhs(w->loop);
    g_assert_true(inject_ahead(w, u[0], 0));
    test_loop_run_bhs(w->loop);
    g_assert_cmpuint(u[0]->rx->len, ==, 1);
    while (n > 0) {
        user_free(u[--n]);
    }
    server_free(srv);
    world_free(w);
}

/* ---- checksums ---- */

/*
 * On the way from the client: completes what was left open; then the frame
 * must be right. On the way to it: breaks the checksum, with or without saying
 * that it does not count.
 */
typedef struct Sums {
    unsigned completed;
    SnOffload to_client;
} Sums;

static bool tap_sums(World *w, Node *from, const uint8_t *f, size_t len,
                     const SnOffload *offload)
{
    Sums *sums = w->tap_opaque;
    g_autofree uint8_t *c = g_memdup2(f, len);
    size_t tcp;
    TcpView v;

    if (!view_tcp(&v, f, len)) {
        g_assert_cmpuint(offload->flags, ==, 0);
        return false;
    }
    tcp = 14 + (f[14] & 15) * 4;
    if (from == &w->server) {
        c[tcp + 16] ^= 0x55;
        wire_send(w, &w->client, c, len, &sums->to_client, 10000);
        return true;
    }
    g_assert_cmpuint(offload->flags, ==, SN_OFFLOAD_NEEDS_CSUM);
    g_assert_cmpuint(offload->gso_type, ==, 0);
    g_assert_cmpuint(offload->csum_start, ==, tcp);
    g_assert_cmpuint(offload->csum_offset, ==, 16);
    sn_put_be16(c + tcp + 16, ~slow_sum(c + tcp, len - tcp, 0));
    g_assert_cmpuint(slow_sum(c + tcp, len - tcp,
                              pseudo4(c + 14, len - tcp)), ==, 0xffff);
    sums->completed++;
    wire_send(w, &w->server, c, len, NULL, 10000);
    return true;
}

static void test_offload(void)
{
    Sums sums = { .to_client = { .flags = SN_OFFLOAD_NEEDS_CSUM } };
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    GByteArray *sum = g_byte_array_new();
    User *u;
    Write *wr;

    sn_fw_set_tx_checksum(w->client.fw, true);
    w->tap = tap_sums;
    w->tap_opaque = &sums;
    u = user_new(&w->client, "192.0.2.2", 4420);
    run_until(w, is_connected, u, SEC);
    wr = user_write(w, u, 100001, sum);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    assert_bytes(u->rx, sum);
    g_assert_cmpuint(sums.completed, >, 68);
    g_free(wr);

    /* The checksum counts: nothing comes through. */
    sums.to_client.flags = 0;
    wr = user_write(w, u, 10, sum);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    g_assert_cmpuint(u->rx->len, ==, 100001);
    sums.to_client.flags = SN_OFFLOAD_DATA_VALID;
    test_loop_advance(w->loop, 5 * SEC);
    assert_bytes(u->rx, sum);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* ---- segmentation offload ---- */

/* Gathers the server's segments into frames as long as IP allows. */
typedef struct Gather {
    bool v6;
    GByteArray *bytes;          /* headers, then payload in order */
    uint32_t next;
    unsigned long_frames;
} Gather;

static void gather_flush(World *w, Gather *g, bool all)
{
    size_t head = g->v6 ? 74 : 54;
    size_t limit = g->v6 ? 65535 - 20 : 65535 - 40;

    while (g->bytes->len >= head + (all ? 1 : limit)) {
        size_t n = MIN(g->bytes->len - head, limit);
        g_autofree uint8_t *f = g_memdup2(g->bytes->data, head + n);
        SnOffload o = { .flags = SN_OFFLOAD_NEEDS_CSUM, .gso_size = 1000,
                        .gso_type = g->v6 ? 4 : 1 };

        if (g->v6) {
            sn_put_be16(f + 18, n + 20);
        } else {
            put_ip4(f + 14, 40 + n, 6, IP_S, IP_C);
        }
        sn_put_be16(f + head - 4, 0xdead);            /* no checksum */
        wire_send(w, &w->client, f, head + n, &o, 10000);
        g->long_frames += head + n > 65535;
        sn_put_be32(g->bytes->data + head - 16,
              sn_get_be32(g->bytes->data + head - 16) + n);
        g_byte_array_remove_range(g->bytes, head, n);
    }
}

static bool tap_gather(World *w, Node *from, const uint8_t *f, size_t len,
                       const SnOffload *offload)
{
    Gather *g = w->tap_opaque;
    size_t head = g->v6 ? 74 : 54;

    if (from != &w->server || len <= head || (f[head - 7] & (SYN | FIN)) ||
        f[head - 8] != 5 << 4 || f[g->v6 ? 20 : 23] != 6) {
        return false;
    }
    if (g->bytes->len && sn_get_be32(f + head - 16) != g->next) {
        return true;            /* a repetition: the bytes are here */
    }
    if (!g->bytes->len) {
        g_byte_array_append(g->bytes, f, head);
    }
    g_byte_array_append(g->bytes, f + head, len - head);
    g->next = sn_get_be32(f + head - 16) + len - head;
    gather_flush(w, g, false);
    return true;
}

static void gso_in(bool v6)
{
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    Gather g = { .v6 = v6, .bytes = g_byte_array_new() };
    Server *srv;
    User *u;

    c.ip6 = "2001:db8::1/64";
    s.ip6 = "2001:db8::2/64";
    node_start(&w->client, &c);
    node_start(&w->server, &s);
    srv = server_new(&w->server, 4420, SERVE_SOURCE);
    u = user_new(&w->client, v6 ? "2001:db8::2" : "192.0.2.2", 4420);
    run_until(w, is_connected, u, 10 * SEC);
    test_loop_advance(w->loop, SEC);
    w->tap = tap_gather;
    w->tap_opaque = &g;
    sn_fw_enter();
    srv->pcb->cwnd = 4 << 20;
    for (int i = 0; i < 900000; i++) {
        g_byte_array_append(srv->out, (uint8_t[]){ i * 3 ^ i >> 7 }, 1);
    }
    server_pump(srv);
    tcp_output(srv->pcb);
    sn_fw_leave();
    for (int i = 0; i < 20; i++) {
        test_loop_advance(w->loop, 30 * MS);
        gather_flush(w, &g, true);
    }
    assert_bytes(u->rx, srv->out);
    g_assert_cmpuint(g.long_frames, >, 3);
    user_free(u);
    server_free(srv);
    world_free(w);
    g_byte_array_unref(g.bytes);
}

static void test_gso_in(void)
{
    gso_in(false);
    gso_in(true);
}

/* ---- hostile bytes ---- */

/* Bends frames that are under way, and makes up some. */
static Fate fate_fuzz(World *w, Node *from, const uint8_t *f, size_t len)
{
    g_autofree uint8_t *bad = g_memdup2(f, len);
    SnOffload o = { .flags = g_rand_int_range(w->rand, 0, 4) };
    int flips = g_rand_int_range(w->rand, 1, 5);

    if (from != &w->server || g_rand_int_range(w->rand, 0, 3)) {
        return (Fate){ 1, 10000 };
    }
    while (flips-- > 0) {
        size_t at = g_rand_int_range(w->rand, 12, MIN(len, 90));

        bad[at] = g_rand_boolean(w->rand) ? g_rand_int(w->rand) :
                  bad[at] ^ 1 << g_rand_int_range(w->rand, 0, 8);
    }
    if (sn_get_be16(bad + 12) == 0x0800 && g_rand_boolean(w->rand)) {
        sn_put_be16(bad + 24, 0);
        sn_put_be16(bad + 24, ~slow_sum(bad + 14, 20, 0));
    }
    o.flags |= SN_OFFLOAD_DATA_VALID;
    if (g_rand_int_range(w->rand, 0, 4) == 0) {
        o.gso_type = g_rand_int_range(w->rand, 0, 8);
        o.gso_size = g_rand_int(w->rand);
    }
    wire_send(w, from->peer, bad, g_rand_int_range(w->rand, 0, 4) ? len :
              g_rand_int_range(w->rand, 0, len), &o,
              g_rand_int_range(w->rand, 0, 100000));
    return (Fate){ 1, 10000 };
}

static void fuzz(uint32_t seed)
{
    World *w = world_bare(seed);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    GByteArray *sum = g_byte_array_new();
    GPtrArray *writes = g_ptr_array_new_with_free_func(g_free);
    bool v6 = seed % 2;
    SnFirmwareStats stats;
    Server *srv;
    User *u;

    c.ip6 = "2001:db8::1/64";
    s.ip6 = "2001:db8::2/64";
    node_start(&w->client, &c);
    node_start(&w->server, &s);
    srv = server_new(&w->server, 4420, SERVE_ECHO);
    test_loop_advance(w->loop, 2 * SEC);
    w->fate = fate_fuzz;
    u = user_new(&w->client, v6 ? "2001:db8::2" : "192.0.2.2", 4420);
    for (int i = 0; i < 60; i++) {
        if (u->connected && !u->closed) {
            g_ptr_array_add(writes, user_write(w, u, random_size(w), sum));
            user_push(u);
        }
        test_loop_advance(w->loop, 2 * MS);
    }
    sn_fw_stats(w->client.fw, &stats);
    g_assert_cmpuint(stats.rx_memory_peak, <=, RX_POOL_MAX);
    g_assert_cmpuint(sn_fw_alloc_bytes(), <=, SN_FW_ALLOC_MAX);
    user_free(u);
    g_ptr_array_unref(writes);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

static void test_fuzz(void)
{
    for (uint32_t seed = 1; seed <= 120; seed++) {
        fuzz(seed);
    }
}

static void test_fuzz_random(void)
{
    World *w = world_alone("192.0.2.1/24", "2001:db8::1/64");
    static const uint16_t types[] = { 0x0800, 0x0806, 0x86dd, 0x8100 };

    test_loop_advance(w->loop, 2 * SEC);
    for (int i = 0; i < 30000; i++) {
        uint8_t f[200];
        size_t len = g_rand_int_range(w->rand, 14, sizeof(f));
        SnOffload o = { .flags = g_rand_int_range(w->rand, 0, 3) };

        for (size_t k = 0; k < len; k++) {
            f[k] = g_rand_int(w->rand);
        }
        put_eth(f, g_rand_boolean(w->rand) ? mac_c : everyone,
                types[g_rand_int_range(w->rand, 0, 4)]);
        f[14] = sn_get_be16(f + 12) == 0x0800 ? 0x45 : f[14];
        if (len > 60 && sn_get_be16(f + 12) == 0x0800) {
            static const uint8_t protos[] = { 1, 6, 17, 2 };
            uint16_t frag = g_rand_int_range(w->rand, 0, 4);

            put_ip4(f + 14, len - 14, protos[g_rand_int_range(w->rand, 0, 4)],
                    IP_S, IP_C);
            sn_put_be16(f + 20, frag << 13 | g_rand_int_range(w->rand, 0, 30));
            sn_put_be16(f + 24, 0);
            sn_put_be16(f + 24, ~slow_sum(f + 14, 20, 0));
        } else if (len > 80 && sn_get_be16(f + 12) == 0x86dd) {
            static const uint8_t next[] = { 0, 6, 17, 43, 44, 58, 60 };

            f[14] = 0x60;
            sn_put_be16(f + 18, len - 54);
            f[20] = next[g_rand_int_range(w->rand, 0, 7)];
            f[21] = 255;
            sn_fw_ip6(w->client.fw, i % 2, f + 38);
        }
        inject(&w->client, f, len, &o);
        if (i % 7 == 0) {
            test_loop_advance(w->loop, i % 70 ? 0 : 10 * MS);
        }
        if (i % 100 == 0) {
            forget_frames(w);
        }
    }
    /* Still there. */
    forget_frames(w);
    test_loop_advance(w->loop, 60 * SEC);
    arp_request(w);
    {
        size_t len;

        g_assert_nonnull(find_frame(w, 0x0806, 21, 2, &len));
    }
    world_alone_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware-frames/checksum", test_checksum);
    g_test_add_func("/firmware-frames/not-for-us", test_not_for_us);
    g_test_add_func("/firmware-frames/queue-bound", test_queue_bound);
    g_test_add_func("/firmware-frames/out-of-order-flood",
                    test_out_of_order_flood);
    g_test_add_func("/firmware-frames/offload", test_offload);
    g_test_add_func("/firmware-frames/gso-in", test_gso_in);
    g_test_add_func("/firmware-frames/fuzz", test_fuzz);
    g_test_add_func("/firmware-frames/fuzz-random", test_fuzz_random);
    return g_test_run();
}
