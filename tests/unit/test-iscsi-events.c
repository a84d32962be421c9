/*
 * The iSCSI backend when things happen at the target: the unit changes or is
 * reset, commands are answered early or never, sessions end.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend-checks.h"
#include "iscsi-double.h"

/* ------------------------------------------------ what the unit tells of */

/* Another disk under this LUN: a write that was told so must not get there. */
static void test_other_disk(void)
{
    static const uint16_t attentions[] = { 0x2a01, 0x3f03, 0x3f0e };
    uint8_t b[512] = { 0xbb };
    Req r = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(attentions); i++) {
        World *w = iscsi_world_new(35);
        IscsiDouble *d = w->iscsi;

        iscsi_world_open_ready(w, "");
        d->attention = attentions[i];
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 512, 512, b), ==, 0);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        d->attention = attentions[i];
        d->naa = 0x7c;
        req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, b, w->rand);
        sn_volume_kick(w->vol);
        test_loop_advance(w->loop, 3 * SN_NS_PER_S);
        g_assert_cmpuint(d->disk[0], ==, 0);
        g_assert_cmpint(sn_volume_state(w->vol), !=, SN_VOLUME_READY);
        if (r.busy) {
            req_cancel(&r);
        } else {
            req_clear(&r);
        }
        iscsi_world_free(w);
    }
}

/* A target that is busy has answered: its path is not given up. */
static void test_busy_for_long(void)
{
    World *w = iscsi_world_new(37);
    IscsiDouble *d = w->iscsi;
    uint8_t b[512] = { 0xbb };
    Req r = { 0 };

    iscsi_world_open_ready(w, "io-timeout=2");
    d->fail_op = 0x8a;
    d->fail_status = 8;
    d->fail_count = 100;
    req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, b, w->rand);
    sn_volume_kick(w->vol);
    test_loop_advance(w->loop, 60 * SN_NS_PER_S);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    req_clear(&r);
    iscsi_world_free(w);
}

/* LOGICAL UNIT NOT SUPPORTED, while the target has it not mapped. */
static void test_unmapped(void)
{
    World *w = iscsi_world_new(36);
    IscsiDouble *d = w->iscsi;
    uint8_t b[512] = { 0xbb };
    Req r = { 0 };

    iscsi_world_open_ready(w, "");
    d->fail_op = 0x8a;
    d->fail_status = 2;
    d->key = 5;
    d->ascq = 0x2500;
    d->fail_count = 1;
    d->device_type = 0x7f;
    req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, b, w->rand);
    sn_volume_kick(w->vol);
    test_loop_advance(w->loop, 3 * SN_NS_PER_S);
    g_assert_true(r.busy);
    d->device_type = 0;
    test_loop_advance(w->loop, 20 * SN_NS_PER_S);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, 0);
    req_clear(&r);
    iscsi_world_free(w);
}

/* Commands that a reset took without a word (TAS=0) are sent again. */
static void test_dropped(void)
{
    static const uint16_t attentions[] = { 0x2903, 0x2f00 };
    uint8_t b[512] = { 0xbb };

    for (size_t i = 0; i < G_N_ELEMENTS(attentions); i++) {
        World *w = iscsi_world_new(37);
        IscsiDouble *d = w->iscsi;
        Req r = { 0 };

        iscsi_world_open_ready(w, "io-timeout=0");
        d->hold = true;
        req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, b, w->rand);
        sn_volume_kick(w->vol);
        world_settle(w);
        d->hold = false;
        iscsi_double_drop(d);
        d->attention = attentions[i];
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 512, 512, b), ==, 0);
        test_loop_advance(w->loop, 12 * SN_NS_PER_S);
        g_assert_false(r.busy);
        g_assert_cmpint(r.ret, ==, 0);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        req_clear(&r);
        /* All were answered: nothing happens. */
        d->attention = attentions[i];
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 512, 512, b), ==, 0);
        test_loop_advance(w->loop, 12 * SN_NS_PER_S);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        iscsi_world_free(w);
    }
}

/* One command does not keep the unit busy for minutes. */
static void test_no_limits(void)
{
    World *w = iscsi_world_new(38);

    w->iscsi->no_limits = true;
    iscsi_world_open_ready(w, "");
    g_assert_cmpuint(sn_volume_info(w->vol)->max_discard, ==, 1 << 30);
    g_assert_cmpuint(sn_volume_info(w->vol)->max_write_zeroes, ==, 64 << 20);
    iscsi_world_free(w);
}

/* ------------------------------------------------- early and no answers */

/* Writes until the socket takes no more of their data. */
static void fill_socket(World *w, Req *reqs, unsigned n, uint8_t byte)
{
    g_autofree uint8_t *data = g_malloc(128 * 1024);

    memset(data, byte, 128 * 1024);
    w->iscsi->r2t_max = 128 * 1024;
    w->net->no_acks = true;
    for (unsigned i = 0; i < n; i++) {
        req_submit(w, &reqs[i], SN_IO_WRITE, 0, i * 128 * 1024, 128 * 1024,
                   data, w->rand);
    }
    sn_volume_kick(w->vol);
    world_settle(w);
}

static void drain_socket(World *w)
{
    w->net->no_acks = false;
    memory_net_wake(w->net);
    world_settle(w);
}

/* The request is over and its memory gone; the data goes on all the same. */
static void test_early_error(void)
{
    World *w = iscsi_world_new(24);
    IscsiDouble *d = w->iscsi;
    uint8_t buf[512];
    Req reqs[16] = { 0 };
    unsigned failed = 0;

    iscsi_world_open_ready(w, "");
    fill_socket(w, reqs, 16, 0x77);
    d->key = 3;
    d->ascq = 0x0c00;
    d->late_byte = 0x77;
    iscsi_double_answer_all(d, 2);
    world_settle(w);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_false(reqs[i].busy);
        failed += reqs[i].ret == -EIO;
        req_clear(&reqs[i]);
    }
    g_assert_cmpuint(failed, >, 1);
    drain_socket(w);
    g_assert_cmpuint(d->late_data_outs, >, 0);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    iscsi_world_free(w);
}

/* It cannot have been written: that is the end of the session. */
static void test_early_good(void)
{
    World *w = iscsi_world_new(25);
    Req reqs[16] = { 0 };

    iscsi_world_open_ready(w, "");
    fill_socket(w, reqs, 16, 0x77);
    w->iscsi->late_byte = 0x77;
    iscsi_double_answer_all(w->iscsi, 0);
    world_settle(w);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_false(reqs[i].busy);
        req_clear(&reqs[i]);
    }
    drain_socket(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
    iscsi_world_free(w);
}

/* A write and a read in flight, and a cancelled write. */
static void start_three(World *w, Req *reqs)
{
    uint8_t b[512] = { 0xbb };

    w->iscsi->hold = true;
    req_submit(w, &reqs[0], SN_IO_WRITE, 0, 0, 512, b, w->rand);
    req_submit(w, &reqs[1], SN_IO_READ, 0, 1 << 20, 512, NULL, w->rand);
    req_submit(w, &reqs[2], SN_IO_WRITE, 0, 4096, 512, b, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    req_cancel(&reqs[2]);
}

/* The target wants a logout: what it has goes to the next session. */
static void test_events(void)
{
    static const uint8_t events[] = { 1, 4 };

    for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
        World *w = iscsi_world_new(26);
        IscsiDouble *d = w->iscsi;
        Req reqs[3] = { 0 };
        uint8_t b[512] = { 0 };

        iscsi_world_open_ready(w, "queue-depth=3");
        start_three(w, reqs);
        iscsi_double_tell_event(d, events[i]);
        g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 11));
        d->hold = false;
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        world_settle(w);
        for (unsigned k = 0; k < 2; k++) {
            g_assert_false(reqs[k].busy);
            g_assert_cmpint(reqs[k].ret, ==, 0);
            req_clear(&reqs[k]);
        }
        g_assert_cmpuint(d->disk[0], ==, 0xbb);
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 512, b), ==, 0);
        start_three(w, reqs);   /* as many as ever */
        g_assert_cmpuint(d->held.length, ==, 3);
        iscsi_double_release(d);
        world_settle(w);
        req_clear(&reqs[0]);
        req_clear(&reqs[1]);
        iscsi_world_free(w);
    }
}

/* Ends that are told, and ones that are not the session's. */
static void test_other_events(void)
{
    World *w = iscsi_world_new(27);

    iscsi_world_open_ready(w, "");
    for (uint8_t event = 0; event < 4; event++) {
        if (event != 1) {
            iscsi_double_tell_event(w->iscsi, event);
        }
    }
    test_loop_advance(w->loop, 12 * SN_NS_PER_S);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    iscsi_world_free(w);
}

/* An error that only a cancelled command hears of. */
static void test_error_for_orphan(void)
{
    static const uint8_t reject[48] = { 0x3f, 0x80, 0x09 };
    World *w = iscsi_world_new(28);
    uint8_t b[512] = { 0xbb };
    Req r = { 0 };

    iscsi_world_open_ready(w, "keep-alive-tmo=0&io-timeout=0");
    w->iscsi->hold = true;
    req_submit(w, &r, SN_IO_WRITE, 0, 4096, 512, b, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    req_cancel(&r);
    iscsi_double_send(w->iscsi, reject, (uint8_t[48]){ 0 }, 48);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "Can not match REJECT"));
    iscsi_world_free(w);
}

/* An end in order, and not what the library had to say before that. */
static void test_end_in_order(void)
{
    World *w = iscsi_world_new(29);
    uint8_t buf[512];

    iscsi_world_open_ready(w, "");
    w->iscsi->attention = 0x2900;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
    w->iscsi->silent = true;
    memory_net_end_all(w->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "the target ended the connection"));
    iscsi_world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iscsi-events/other-disk", test_other_disk);
    g_test_add_func("/iscsi-events/busy-for-long", test_busy_for_long);
    g_test_add_func("/iscsi-events/unmapped", test_unmapped);
    g_test_add_func("/iscsi-events/dropped", test_dropped);
    g_test_add_func("/iscsi-events/no-limits", test_no_limits);
    g_test_add_func("/iscsi-events/early-error", test_early_error);
    g_test_add_func("/iscsi-events/early-good", test_early_good);
    g_test_add_func("/iscsi-events/events", test_events);
    g_test_add_func("/iscsi-events/other-events", test_other_events);
    g_test_add_func("/iscsi-events/error-for-orphan", test_error_for_orphan);
    g_test_add_func("/iscsi-events/end-in-order", test_end_in_order);
    return g_test_run();
}
