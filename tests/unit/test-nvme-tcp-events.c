/*
 * The NVMe/TCP initiator: events that the controller sends by itself, changes
 * of the namespace, ways to it that come and go, and what is sent again.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nvme-world.h"

#define assert_error(w, text) \
    g_test_message("%s", sn_volume_last_error((w)->vol)); \
    g_assert_nonnull(strstr(sn_volume_last_error((w)->vol), text))

/* Type and information of an event, and its log page. */
#define EVENT(type, info, log) ((type) | (info) << 8 | (log) << 16)
#define ANA_CHANGED EVENT(2, 3, 0x0c)
#define RESERVATION EVENT(6, 0, 0x80)

static World *ready_world(void)
{
    World *w = world_new(1);

    w->d->ana_state = 1;
    world_open_ready(w, "");
    world_settle(w);
    g_assert_true(w->d->have_event);
    return w;
}

/* Of no interest, but its log page is read, which clears it. */
static void test_other_events(void)
{
    static const uint32_t events[] = {
        EVENT(0, 3, 0x01), EVENT(1, 1, 0x02), EVENT(2, 1, 0x03),
        EVENT(6, 1, 0x81), EVENT(7, 0x55, 0xc0), EVENT(5, 0xff, 0xff),
    };
    World *w = ready_world();

    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
        nvme_double_raw_event(w->d, events[i]);
        world_settle(w);
        g_assert_cmphex(w->d->last_log, ==, events[i] >> 16);
        g_assert_true(w->d->have_event);
    }
    w->d->log_reads = 0;
    nvme_double_raw_event(w->d, EVENT(7, 0, 0));
    world_settle(w);
    g_assert_cmpuint(w->d->log_reads, ==, 0);
    g_assert_true(w->d->have_event);
    g_assert_cmpuint(w->info_changes, ==, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    world_free(w);
}

/* ---- reservations that others took away ---- */

/* The event, and how often the log was read for it. */
static unsigned notice_event(World *w)
{
    w->d->log_reads = 0;
    nvme_double_raw_event(w->d, RESERVATION);
    world_settle(w);
    g_assert_cmphex(w->d->last_log, ==, 0x80);
    g_assert_true(w->d->have_event);
    return w->d->log_reads;
}

static void add_notice(World *w, uint32_t nsid, uint8_t type)
{
    unsigned i = w->d->n_notices++;

    w->d->notices[i].nsid = nsid;
    w->d->notices[i].type = type;
}

static void expect_notices(World *w, unsigned one, unsigned two,
                           unsigned three)
{
    g_assert_cmpuint(w->notices[1], ==, one);
    g_assert_cmpuint(w->notices[2], ==, two);
    g_assert_cmpuint(w->notices[3], ==, three);
    memset(w->notices, 0, sizeof(w->notices));
}

/* All that are there, up to an empty page. */
static void test_reservations(void)
{
    World *w = ready_world();

    g_assert_cmpuint(notice_event(w), ==, 1);
    expect_notices(w, 0, 0, 0);
    for (unsigned type = 1; type <= 3; type++) {
        add_notice(w, 1, type);
    }
    add_notice(w, 1, 2);
    g_assert_cmpuint(notice_event(w), ==, 5);
    expect_notices(w, 1, 2, 1);
    add_notice(w, 1, 3);
    g_assert_cmpuint(notice_event(w), ==, 2);
    expect_notices(w, 0, 0, 1);
    world_free(w);
}

/* Of another namespace, of all, or of a type that there is not. */
static void test_reservations_not_ours(void)
{
    World *w = ready_world();

    add_notice(w, 2, 1);
    add_notice(w, 0, 1);
    add_notice(w, 0xffffffff, 1);
    add_notice(w, 1, 4);
    add_notice(w, 1, 255);
    add_notice(w, 1, 1);
    g_assert_cmpuint(notice_event(w), ==, 7);
    expect_notices(w, 1, 0, 0);
    world_free(w);
}

/* A target that never comes to an end, or has no such log. */
static void test_reservations_wrong(void)
{
    World *w = ready_world();

    add_notice(w, 1, 2);
    w->d->endless_notices = true;
    g_assert_cmpuint(notice_event(w), ==, 256);
    expect_notices(w, 0, 256, 0);
    w->d->notice_status = 0x4109;
    g_assert_cmpuint(notice_event(w), ==, 1);
    expect_notices(w, 0, 0, 0);
    w->d->notice_status = 0;
    w->d->endless_notices = false;
    g_assert_cmpuint(notice_event(w), ==, 2);
    expect_notices(w, 0, 1, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    world_free(w);
}

/* The connection ends in the middle: what comes after it is told. */
static void test_reservations_and_loss(void)
{
    World *w = ready_world();

    add_notice(w, 1, 1);
    nvme_double_raw_event(w->d, RESERVATION);
    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    w->d->n_notices = 0;
    w->d->have_event = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_settle(w);
    expect_notices(w, 0, 0, 0);
    add_notice(w, 1, 2);
    notice_event(w);
    expect_notices(w, 0, 1, 0);
    world_free(w);
}

static void test_rearm(void)
{
    World *w = ready_world();

    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    w->d->have_event = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_settle(w);
    for (unsigned i = 1; i < 4; i++) {
        w->d->size = WORLD_SIZE - i * 4096;
        nvme_double_event(w->d);
        world_settle(w);
        g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, w->d->size);
        g_assert_cmpuint(w->info_changes, ==, i);
    }
    world_free(w);
}

/* Another namespace of the subsystem has changed. */
static void test_not_ours(void)
{
    World *w = ready_world();

    w->d->size = WORLD_SIZE / 2;
    w->d->changed_nsid = 2;
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 0);
    g_assert_true(w->d->have_event);
    w->d->changed_nsid = 1;
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 1);
    world_free(w);
}

/* What is to be read never comes, and everything else does. */
static void test_lost_answer(void)
{
    static const uint8_t lost[] = { 0x02, 0x06 };

    for (unsigned i = 0; i < G_N_ELEMENTS(lost); i++) {
        World *w = ready_world();

        w->d->lost_admin = lost[i];
        w->d->size = WORLD_SIZE / 2;
        nvme_double_event(w->d);
        for (unsigned s = 0; s < 60; s++) {
            g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, 0);
            g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
            test_loop_advance(w->loop, SN_NS_PER_S);
        }
        assert_error(w, "reading what has changed took longer than 60 s");
        w->d->lost_admin = 0;
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));
        g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, WORLD_SIZE / 2);
        /* With what was read in time, the limit is over. */
        world_settle(w);
        nvme_double_event(w->d);
        world_settle(w);
        test_loop_advance(w->loop, 100 * SN_NS_PER_S);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        world_free(w);
    }
}

/* Shrunk under requests: they fail, those that wait as well. */
static void test_shrink(void)
{
    World *w = ready_world();
    Req in_flight = { 0 }, later = { 0 };

    w->d->io_status = 0x4080;
    w->d->io_failures = 1;
    w->d->hold = true;
    req_submit(w, &in_flight, SN_IO_READ, 0, WORLD_SIZE - 512, 512, NULL,
               w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    w->d->size = WORLD_SIZE / 2;
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 1);
    req_submit(w, &later, SN_IO_READ, 0, WORLD_SIZE - 512, 512, NULL,
               w->d->rand);
    nvme_double_release(w->d);
    world_settle(w);
    g_assert_false(in_flight.busy || later.busy);
    g_assert_cmpint(in_flight.ret, ==, -EINVAL);
    g_assert_cmpint(later.ret, ==, -EINVAL);
    req_clear(&in_flight);
    req_clear(&later);
    world_free(w);
}

/* Resized while the path is lost: known as soon as it is back. */
static void test_resize_during_loss(void)
{
    World *w = ready_world();
    Req out = { 0 }, in = { 0 };

    memory_net_end_all(w->d->net, 0);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    w->d->size = WORLD_SIZE / 2;
    req_submit(w, &out, SN_IO_READ, 0, WORLD_SIZE - 512, 512, NULL,
               w->d->rand);
    req_submit(w, &in, SN_IO_READ, 0, WORLD_SIZE / 2 - 512, 512, NULL,
               w->d->rand);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, WORLD_SIZE / 2);
    world_settle(w);
    g_assert_cmpint(out.ret, ==, -EINVAL);
    g_assert_cmpint(in.ret, ==, 0);
    g_assert_false(out.busy || in.busy);
    req_clear(&out);
    req_clear(&in);
    world_free(w);
}

static void test_removed(void)
{
    for (unsigned how = 0; how < 3; how++) {
        World *w = ready_world();
        Req r = { 0 };

        w->d->hold = true;
        req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
        sn_volume_kick(w->vol);
        world_settle(w);
        if (how == 1) {
            w->d->size = 0;
        } else {
            w->d->removed = true;
        }
        if (how == 2) {
            /* No event, but the command says so. */
            w->d->io_status = 0x400b;
            w->d->io_failures = 1;
            nvme_double_release(w->d);
        } else {
            nvme_double_event(w->d);
        }
        world_settle(w);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
        assert_error(w, how == 1 ? "namespace 1 of the target: it does not "
                     "exist" : "namespace 1 of the target: it was removed");
        g_assert_false(r.busy);
        g_assert_cmpint(r.ret, ==, -ENODEV);
        req_clear(&r);
        world_free(w);
    }
}

/* A command was refused, but the namespace is there. */
static void test_not_removed(void)
{
    World *w = ready_world();

    w->d->io_status = 0x400b;
    w->d->io_failures = 1;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, 0);
    w->d->io_failures = 6;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, -EIO);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    world_free(w);
}

/* Another namespace with the same number must not get what is waiting. */
static void run_replaced(World *w, uint8_t *identifier)
{
    uint8_t before = *identifier;
    Req r = { 0 };

    *identifier = 0xce;
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    req_submit(w, &r, SN_IO_WRITE, 0, 0, 512, (uint8_t[512]){ 9 },
               w->d->rand);
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    assert_error(w, "another disk answers under this URL");
    g_assert_cmpuint(w->d->disk[0], ==, 0);
    *identifier = before;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_settle(w);
    g_assert_false(r.busy);
    g_assert_cmpuint(w->d->disk[0], ==, 9);
    req_clear(&r);
    world_free(w);
}

static void test_replaced(void)
{
    World *w = ready_world();

    run_replaced(w, &w->d->nsid_byte);
    w = ready_world();
    run_replaced(w, &w->d->nguid_byte);
    /* Without descriptors. */
    w = world_new(1);
    w->d->descs_status = 0x4002;
    w->d->descs_failures = UINT32_MAX;
    world_open_ready(w, "");
    world_settle(w);
    run_replaced(w, &w->d->nguid_byte);
}

/*
 * Its descriptors cannot be had: for now, which is waited for, since a disk
 * that is known by less would be another one after the next loss; or never.
 */
static void test_no_descriptors(void)
{
    static const struct {
        uint16_t status;
        bool final;
    } cases[] = {
        { 0x0006 }, { 0x0007 }, { 0x0082 }, { 0x07ff },
        { 0x0001, true }, { 0x0002, true }, { 0x4006, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new(1);

        w->d->descs_status = cases[i].status;
        w->d->descs_failures = cases[i].final ? UINT32_MAX : 1;
        world_open_ready(w, "");
        g_assert_cmpuint(w->d->connects, ==, cases[i].final ? 2 : 3);
        g_assert_cmpuint(sn_volume_info(w->vol)->uuid[0], ==,
                         cases[i].final ? 0 : 0xcd);
        world_settle(w);
        memory_net_end_all(w->d->net, 0);
        g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        world_settle(w);

        /* The same when it is read again. */
        w->d->descs_failures = cases[i].final ? UINT32_MAX : 1;
        w->d->size = WORLD_SIZE / 2;
        nvme_double_event(w->d);
        world_settle(w);
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, WORLD_SIZE / 2);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==,
                         cases[i].final ? 1 : 2);
        world_free(w);
    }
}

/*
 * Formatted with other blocks: no command may leave that counts in the new
 * ones, however long the answers take that are about the rest.
 */
static void test_formatted(void)
{
    World *w = ready_world();
    Req r = { 0 };

    w->d->block_shift = 12;
    w->d->answers = 5;          /* event, list and namespace, not the rest */
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->d->answers, ==, 0);
    req_submit(w, &r, SN_IO_WRITE_ZEROES, SN_IO_FUA, 512, 512, NULL,
               w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(w->d->commands[8], ==, 0);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    assert_error(w, "was formatted or replaced");
    w->d->block_shift = 9;
    w->d->answers = UINT32_MAX;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));
    world_settle(w);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, 0);
    g_assert_cmphex(w->d->last_cdw12, ==, 1u << 30);
    req_clear(&r);
    world_free(w);
}

static void test_ana(void)
{
    static const unsigned groups[] = { 1, 127, 128, 255, 256, 600 };
    static const uint8_t states[] = { 3, 4, 15 };

    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        World *w = world_new(1);

        w->d->ana_groups = groups[i];
        w->d->ana_state = 1;
        world_open_ready(w, "");
        g_assert_cmphex(w->d->event_config, ==, 1 << 8 | 1 << 11);
        world_settle(w);
        for (unsigned j = 0; j < G_N_ELEMENTS(states); j++) {
            bool change = states[j] == 15;

            w->d->ana_state = states[j];
            nvme_double_raw_event(w->d, ANA_CHANGED);
            world_settle(w);
            /* A change is waited for with open connections. */
            g_assert_cmpint(sn_volume_state(w->vol), ==, change ?
                            SN_VOLUME_READY : SN_VOLUME_LOST);
            if (!change) {
                test_loop_advance(w->loop, 30 * SN_NS_PER_S);
                g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
                assert_error(w, "cannot be reached through this controller "
                             "(ANA state: ");
            }
            w->d->ana_state = 2;
            g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
            world_settle(w);
        }
        world_free(w);
    }
}

/* Garbage for a log page says nothing. */
static void test_ana_unknown(void)
{
    World *w = world_new(1);

    w->d->ana_state = 3;
    w->d->ana_groups = 0;
    world_open_ready(w, "");
    world_free(w);
}

/* Refused for the path: longer than any number of retries, then a loss. */
static void test_path_statuses(void)
{
    static const uint16_t statuses[] = { 0x0300, 0x0302, 0x0303, 0x0360 };

    for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++) {
        World *w = world_new(1);
        Req r = { 0 };

        world_open_ready(w, "");
        w->d->io_status = statuses[i];
        w->d->io_failures = 90;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, 0);
        g_assert_cmpuint(w->d->io_failures, ==, 0);
        w->d->io_failures = UINT32_MAX;
        req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
        sn_volume_kick(w->vol);
        test_loop_advance(w->loop, 9 * SN_NS_PER_S);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
        g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 2));
        assert_error(w, "namespace 1 of the target: ");
        w->d->io_failures = 0;
        test_loop_advance(w->loop, 5 * SN_NS_PER_S);
        g_assert_false(r.busy);
        g_assert_cmpint(r.ret, ==, 0);
        req_clear(&r);
        world_free(w);
    }
}

/* CRD says when: CRDT2 is 1.5 s. */
static void test_retry_delay(void)
{
    World *w = world_new(1);
    Req r = { 0 }, other = { 0 };
    int64_t start;

    w->d->crdt = 15;
    world_open_ready(w, "");
    start = sn_loop_now(w->loop);
    w->d->io_status = 0x0821;           /* Command Interrupted, CRD 1 */
    w->d->io_failures = 1;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, 0);
    g_assert_cmpint(sn_loop_now(w->loop) - start, ==, 100 * SN_NS_PER_MS);

    start = sn_loop_now(w->loop);
    w->d->io_status = 0x1021;           /* CRD 2 */
    w->d->io_failures = 1;
    req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    w->d->io_status = 0x0021;           /* of a later one: not held back */
    w->d->io_failures = 1;
    req_submit(w, &other, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    test_loop_advance(w->loop, 1400 * SN_NS_PER_MS);
    g_assert_true(r.busy && !other.busy);
    test_loop_advance(w->loop, 200 * SN_NS_PER_MS);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret | other.ret, ==, 0);
    req_clear(&r);
    req_clear(&other);
    world_free(w);
}

/* Longer than io-timeout: nobody else is disturbed by it. */
static void test_long_delay(void)
{
    World *w = world_new(1);
    Req r = { 0 };
    int64_t start;

    w->d->crdt = 150;
    world_open_ready(w, "io-timeout=2");
    start = sn_loop_now(w->loop);
    w->d->io_status = 0x1021;
    w->d->io_failures = 1;
    req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    for (unsigned i = 0; i < 15; i++) {
        world_settle(w);
        g_assert_true(r.busy);
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 512, 512, NULL), ==, 0);
        test_loop_advance(w->loop, SN_NS_PER_S);
    }
    g_assert_cmpint(sn_loop_now(w->loop) - start, ==, 15 * SN_NS_PER_S);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);

    /* From when it is sent again, an answer is due as to any other. */
    w->d->io_failures = 1;
    req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    w->d->hold = true;
    test_loop_advance(w->loop, 17 * SN_NS_PER_S - 1);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    test_loop_advance(w->loop, 1);
    assert_error(w, "no answer to a read within 2 s");
    req_cancel(&r);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/events/other", test_other_events);
    g_test_add_func("/nvme-tcp/events/reservations", test_reservations);
    g_test_add_func("/nvme-tcp/events/reservations-not-ours",
                    test_reservations_not_ours);
    g_test_add_func("/nvme-tcp/events/reservations-wrong",
                    test_reservations_wrong);
    g_test_add_func("/nvme-tcp/events/reservations-and-loss",
                    test_reservations_and_loss);
    g_test_add_func("/nvme-tcp/events/rearm", test_rearm);
    g_test_add_func("/nvme-tcp/events/not-ours", test_not_ours);
    g_test_add_func("/nvme-tcp/events/lost-answer", test_lost_answer);
    g_test_add_func("/nvme-tcp/events/shrink", test_shrink);
    g_test_add_func("/nvme-tcp/events/resize-during-loss",
                    test_resize_during_loss);
    g_test_add_func("/nvme-tcp/events/removed", test_removed);
    g_test_add_func("/nvme-tcp/events/not-removed", test_not_removed);
    g_test_add_func("/nvme-tcp/events/replaced", test_replaced);
    g_test_add_func("/nvme-tcp/events/no-descriptors", test_no_descriptors);
    g_test_add_func("/nvme-tcp/events/formatted", test_formatted);
    g_test_add_func("/nvme-tcp/events/ana", test_ana);
    g_test_add_func("/nvme-tcp/events/ana-unknown", test_ana_unknown);
    g_test_add_func("/nvme-tcp/events/path-statuses", test_path_statuses);
    g_test_add_func("/nvme-tcp/events/retry-delay", test_retry_delay);
    g_test_add_func("/nvme-tcp/events/long-delay", test_long_delay);
    return g_test_run();
}
