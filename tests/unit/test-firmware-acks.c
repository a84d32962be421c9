/*
 * What the firmware acknowledges, and when.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "firmware-world.h"

/* Of the frames of either side. */
typedef struct Acks {
    uint32_t end;               /* what the server sent last ended there */
    uint32_t ack;               /* the client's latest */
    unsigned pure;              /* frames of the client without payload */
} Acks;

static bool tap_acks(World *w, Node *from, const uint8_t *f, size_t len,
                     const SnOffload *offload)
{
    Acks *acks = w->tap_opaque;
    TcpView v;

    if (view_tcp(&v, f, len)) {
        if (from == &w->server) {
            acks->end = v.seq + v.payload;
        } else {
            acks->ack = v.ack;
            acks->pure += v.payload == 0;
        }
    }
    return false;
}

static void send_bytes(Server *srv, size_t len)
{
    size_t had = srv->out->len;

    g_byte_array_set_size(srv->out, had + len);
    memset(srv->out->data + had, had % 251, len);
    sn_fw_enter();
    server_pump(srv);
    tcp_output(srv->pcb);
    sn_fw_leave();
}

/* @len bytes from the server, which must come in without waiting. */
static void answer(World *w, Server *srv, User *u, size_t len)
{
    Amount all = { u->rx, u->rx->len + len };

    send_bytes(srv, len);
    run_until(w, has_amount, &all, MS / 2);
    test_loop_run_bhs(w->loop);
}

static void request(World *w, Server *srv, User *u, size_t len)
{
    Amount all = { srv->rx, srv->rx->len + len };
    GByteArray *sum = g_byte_array_new();
    Write *wr = user_write(w, u, len, sum);

    user_push(u);
    run_until(w, has_amount, &all, MS / 2);
    user_detach(u, wr);
    g_free(wr);
    g_byte_array_unref(sum);
}

/* A request carries the ACK of the answer before it, though it was long. */
static void test_with_request(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SOURCE);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    Acks acks = { 0 };

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 100 * MS);
    w->tap = tap_acks;
    w->tap_opaque = &acks;
    for (int i = 0; i < 50; i++) {
        answer(w, srv, u, 4096 + 48);
        request(w, srv, u, 100);
        g_assert_cmpuint(acks.ack, ==, acks.end);
        test_loop_advance(w->loop, i % 3 * MS);
    }
    g_assert_cmpuint(acks.pure, ==, 0);
    user_free(u);
    server_free(srv);
    world_free(w);
}

/* With no request that goes out, the ACK does by itself, soon and once. */
static void test_alone(void)
{
    World *w = world_new(1);
    Server *srv = server_new(&w->server, 4420, SERVE_SOURCE);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    User *other = user_new(&w->client, "192.0.2.2", 4420);
    Acks acks = { 0 };

    /* The server talks to the last that connected. */
    run_until(w, is_connected, u, SEC);
    run_until(w, is_connected, other, SEC);
    test_loop_advance(w->loop, 100 * MS);
    w->tap = tap_acks;
    w->tap_opaque = &acks;
    answer(w, srv, other, 4096 + 48);
    g_assert_cmpuint(acks.pure, ==, 0);
    test_loop_advance(w->loop, MS);
    g_assert_cmpuint(acks.pure, ==, 1);
    g_assert_cmpuint(acks.ack, ==, acks.end);
    test_loop_advance(w->loop, SEC);
    g_assert_cmpuint(acks.pure, ==, 1);

    /* Much does not wait. */
    srv->pcb->cwnd = 1 << 20;
    answer(w, srv, other, 9000);
    g_assert_cmpuint(acks.pure, ==, 1 + 1);
    g_assert_cmpuint(acks.ack, ==, acks.end);
    test_loop_advance(w->loop, SEC);
    g_assert_cmpuint(acks.pure, ==, 1 + 1);

    /* Nor do pieces that add up to much. */
    for (int i = 0; i < 3; i++) {
        answer(w, srv, other, 3000);
    }
    g_assert_cmpuint(acks.pure, ==, 1 + 1 + 1);
    g_assert_cmpuint(acks.ack, ==, acks.end);

    /* Nor what the peer cannot go on without. */
    srv->pcb->cwnd = 2 * 1460;
    srv->pcb->ssthresh = 0;
    answer(w, srv, other, 8000);

    /* A stream that is gone before its ACK is due. */
    answer(w, srv, other, 4096 + 48);
    user_free(other);
    test_loop_advance(w->loop, SEC);
    user_free(u);
    server_free(srv);
    world_free(w);
}

/* 90 segments arrive in one batch or few: one ACK answers a batch. */
static void test_batch(void)
{
    World *w = world_new(11);
    Server *srv = server_new(&w->server, 4420, SERVE_SOURCE);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    unsigned sent;

    run_until(w, is_connected, u, SEC);
    test_loop_advance(w->loop, 100 * MS);
    sent = w->client.sent;
    srv->pcb->cwnd = 1 << 20;
    send_bytes(srv, 90 * 1460);
    test_loop_advance(w->loop, 5 * MS);
    g_assert_cmpuint(u->rx->len, ==, 90 * 1460);
    g_assert_cmpuint(w->client.sent - sent, <=, 4);
    user_free(u);
    server_free(srv);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware-acks/with-request", test_with_request);
    g_test_add_func("/firmware-acks/alone", test_alone);
    g_test_add_func("/firmware-acks/batch", test_batch);
    return g_test_run();
}
