/*
 * The firmware's streams in bad times: partial acknowledgements, addresses
 * that go, links that come back, peers that move.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "firmware-world.h"
#include "fw-stream.h"

#include "lwip/mem.h"
#include "lwip/priv/tcp_priv.h"

/* ---- segments that are acknowledged in part ---- */

/* The peer acknowledges the first @len bytes that @u sent. */
static void inject_ack(World *w, User *u, uint32_t first, uint32_t len)
{
    const struct tcp_pcb *pcb = ((FwStream *)u->s)->pcb;
    SnOffload o = { .flags = SN_OFFLOAD_DATA_VALID };
    uint8_t f[54] = { 0 };

    put_eth(f, mac_c, 0x0800);
    put_ip4(f + 14, 40, 6, IP_S, IP_C);
    sn_put_be16(f + 34, pcb->remote_port);
    sn_put_be16(f + 36, pcb->local_port);
    sn_put_be32(f + 38, pcb->rcv_nxt);
    sn_put_be32(f + 42, first + len);
    f[46] = 5 << 4;
    f[47] = ACK;
    sn_put_be16(f + 48, 1000);
    g_assert_true(inject(&w->client, f, sizeof(f), &o));
    test_loop_run_bhs(w->loop);
}

/*
 * Two writes in one segment, which is lost. The peer claims to have @ack bytes
 * of it; then the first write is taken back if it is not done. TCP sends the
 * segment again from its start, so all its bytes must still be there.
 */
static void partial_ack(uint32_t ack)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Amount all = { srv->rx, 1400 };
    uint32_t first;
    Write *a, *b;

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 100 * MS);
    first = ((FwStream *)u->s)->pcb->snd_nxt;
    w->loss = 1;
    w->fate = fate_lossy;
    a = user_write(w, u, 1000, sum);
    b = user_write(w, u, 400, sum);
    user_push(u);
    test_loop_advance(w->loop, MS);
    inject_ack(w, u, first, ack);
    if (!a->done) {
        user_detach(u, a);
    }
    w->loss = 0;
    run_until(w, has_amount, &all, 5 * SEC);
    assert_bytes(srv->rx, sum);
    test_loop_advance(w->loop, SEC);
    g_assert_true(b->done);
    user_free(u);
    g_free(a);
    g_free(b);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

static void test_partial_ack(void)
{
    partial_ack(1);
    partial_ack(500);
    partial_ack(1000);
    partial_ack(1399);
}

/* ---- addresses ---- */

/*
 * Two cards with one address, as two -netdev user give them: one loses it, and
 * only its own connections end.
 */
static void test_address_lost(void)
{
    World *w = world_new(1), *x = world_bare(2);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420), *v;
    SnFirmwareConfig c = node_config(&x->client);
    GByteArray *sum = g_byte_array_new();
    Write *wr;

    c.loop = w->loop;
    node_start(&x->client, &c);
    x->client.blocked = true;
    v = user_new(&x->client, "192.0.2.2", 4420);
    run_until(w, is_connected, u, SEC);
    sn_fw_enter();
    netif_set_addr(&x->client.fw->netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4,
                   IP4_ADDR_ANY4);
    sn_fw_leave();
    run_until(w, is_closed, v, SEC);
    g_assert_cmpint(v->err, ==, -ENETDOWN);
    g_assert_false(u->closed);
    wr = user_write(w, u, 1000, sum);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    assert_bytes(u->rx, sum);
    user_free(u);
    user_free(v);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    sn_fw_free(x->client.fw);
    x->client.fw = NULL;
    world_free(x);
    world_free(w);
}

/* ---- the link ---- */

static Fate fate_slow(World *w, Node *from, const uint8_t *f, size_t len)
{
    return (Fate){ 1, 60 * MS };
}

/*
 * The link comes back when TCP was about to give up: the peer gets its time
 * to answer.
 */
static void test_link_back_late(void)
{
    World *w = world_new(2);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Amount all = { srv->rx, 1000 };
    Write *wr;

    run_until(w, is_connected, u, SEC);
    w->loss = 1;
    w->fate = fate_lossy;
    sn_fw_set_link(w->client.fw, false);
    wr = user_write(w, u, 1000, sum);
    user_push(u);
    while (((FwStream *)u->s)->pcb->nrtx < TCP_MAXRTX - 1) {
        test_loop_advance(w->loop, 10 * MS);
    }
    w->fate = fate_slow;
    sn_fw_set_link(w->client.fw, true);
    run_until(w, has_amount, &all, 200 * MS);
    test_loop_advance(w->loop, SEC);
    g_assert_true(wr->done);
    g_assert_false(u->closed);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* The same while connecting: the SYN is repeated at once. */
static void test_link_back_syn(void)
{
    World *w = world_new(3);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u;

    for (int64_t phase = 0; phase < 100; phase += 10) {
        w->loss = 1;
        w->fate = fate_lossy;
        sn_fw_set_link(w->client.fw, false);
        u = user_new(&w->client, "192.0.2.2", 4420);
        test_loop_advance(w->loop, 10 * SEC + phase * MS);
        w->loss = 0;
        sn_fw_set_link(w->client.fw, true);
        run_until(w, is_connected, u, 60 * MS);
        user_free(u);
    }
    server_free(srv);
    world_free(w);
}

/* ---- a peer that moves to another MAC without telling ---- */

static const uint8_t mac_new[6] = { 0x52, 0x54, 0, 1, 2, 5 };

static bool tap_moved(World *w, Node *from, const uint8_t *f, size_t len,
                      const SnOffload *offload)
{
    g_autofree uint8_t *c = g_memdup2(f, len);

    if (from == &w->client && !memcmp(f, mac_new, 6)) {
        memcpy(c, mac_s, 6);
        wire_send(w, &w->server, c, len, offload, 10000);
        return true;
    }
    if (from == &w->server && sn_get_be16(f + 12) == 0x0806) {
        memcpy(c + 6, mac_new, 6);
        memcpy(c + 22, mac_new, 6);
        wire_send(w, &w->client, c, len, offload, 10000);
        return true;
    }
    return from == &w->client && !memcmp(f, mac_s, 6);
}

static void test_peer_moved(void)
{
    World *w = world_new(4);
    Server *srv = server_new(&w->server, 4420, SERVE_SINK);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    GByteArray *sum = g_byte_array_new();
    Amount all = { srv->rx, 1000 };
    Write *wr;

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, SEC);
    w->tap = tap_moved;
    wr = user_write(w, u, 1000, sum);
    user_push(u);
    run_until(w, has_amount, &all, 5 * SEC);
    assert_bytes(srv->rx, sum);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

/* ---- no memory ---- */

/* Takes all memory that lwIP may have. */
static GPtrArray *hog(void)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(mem_free);

    for (size_t size = 4096; size >= 16; size /= 2) {
        void *p;

        while ((p = mem_malloc(size))) {
            g_ptr_array_add(all, p);
        }
    }
    return all;
}

/* Connections outlive it, new ones fail, and then everything goes on. */
static void test_no_memory(void)
{
    World *w = world_new(5);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420), *v;
    GByteArray *sum = g_byte_array_new();
    Amount all = { u->rx, 300000 };
    GPtrArray *memory;
    Write *wr;

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 100 * MS);
    memory = hog();
    wr = user_write(w, u, 300000, sum);
    user_push(u);
    v = user_new(&w->client, "192.0.2.2", 4420);
    run_until(w, is_closed, v, SEC);
    g_assert_cmpint(v->err, ==, -ENOMEM);
    test_loop_advance(w->loop, 5 * SEC);
    g_assert_cmpuint(u->rx->len, ==, 0);
    g_assert_false(u->closed);
    g_ptr_array_unref(memory);
    run_until(w, has_amount, &all, 2 * SEC);
    assert_bytes(u->rx, sum);
    user_free(u);
    user_free(v);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware-life/partial-ack", test_partial_ack);
    g_test_add_func("/firmware-life/address-lost", test_address_lost);
    g_test_add_func("/firmware-life/link-back-late", test_link_back_late);
    g_test_add_func("/firmware-life/link-back-syn", test_link_back_syn);
    g_test_add_func("/firmware-life/peer-moved", test_peer_moved);
    g_test_add_func("/firmware-life/no-memory", test_no_memory);
    return g_test_run();
}
