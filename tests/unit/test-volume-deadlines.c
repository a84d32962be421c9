/*
 * Unit tests of what a volume waits for, and how long: fast-io-fail-tmo,
 * ctrl-loss-tmo and io-timeout.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"
#include "volume-internal.h"

#define S SN_NS_PER_S
#define MS SN_NS_PER_MS

/* A connected volume with these parameters; it has held for a while. */
static SbVolume *open_ready(const char *params)
{
    g_autofree char *url = g_strdup_printf("scripted://?%s", params);
    SbVolume *v = sb_open(url, NULL);

    g_assert_nonnull(v);
    sb_run(v);
    sb_ready(v);
    test_loop_advance(v->loop, 10 * S);
    return v;
}

/* Forgets the lines so far. */
static void expect_log(SbVolume *v, const char *lines)
{
    g_assert_cmpstr(v->log->str, ==, lines);
    g_string_truncate(v->log, 0);
}

static int64_t skew;
static int64_t (*unskewed)(SnLoop *loop);

static int64_t skewed(SnLoop *loop)
{
    return unskewed(loop) + skew;
}

/* From now on the clock is @ns ahead of what timers were set for. */
static void skew_loop(SbVolume *v, int64_t ns)
{
    if (v->loop->now != skewed) {
        unskewed = v->loop->now;
        v->loop->now = skewed;
    }
    skew = ns;
}

/* ------------------------------------------------------- parameters */

static void test_params(void)
{
    static const struct {
        const char *params, *message;
    } bad[] = {
        { "fast-io-fail-tmo=x", "parameter fast-io-fail-tmo=\"x\" is not a "
          "number of seconds from 0 to 2147483647, or off" },
        { "fast-io-fail-tmo=-2", "fast-io-fail-tmo=\"-2\"" },
        { "fast-io-fail-tmo=", "fast-io-fail-tmo=\"\"" },
        { "ctrl-loss-tmo=2147483648", "ctrl-loss-tmo=\"2147483648\"" },
        { "ctrl-loss-tmo=1s", "ctrl-loss-tmo=\"1s\"" },
        { "io-timeout=on", "io-timeout=\"on\"" },
        { "fast-io-fail-tmo=5&ctrl-loss-tmo=5",
          "fast-io-fail-tmo=5 must be below ctrl-loss-tmo=5" },
        { "fast-io-fail-tmo=0&ctrl-loss-tmo=0", "must be below" },
    };
    static const char *const good[] = {
        "fast-io-fail-tmo=off", "fast-io-fail-tmo=-1&ctrl-loss-tmo=off",
        "fast-io-fail-tmo=off&ctrl-loss-tmo=0", "fast-io-fail-tmo=2147483647",
        "fast-io-fail-tmo=4&ctrl-loss-tmo=5", "ctrl-loss-tmo=2147483647",
        "io-timeout=0", "io-timeout=off", "io-timeout=2147483647",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *url = g_strdup_printf("scripted://?%s",
                                               bad[i].params);
        g_autoptr(GError) err = NULL;

        g_assert_null(sb_open(url, &err));
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, bad[i].message));
        g_assert_null(strchr(err->message, '\n'));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        sb_close(open_ready(good[i]));
    }
}

/* ------------------------------------------------------- fast-io-fail-tmo */

static void test_fast_fail(void)
{
    SbVolume *v = open_ready("fast-io-fail-tmo=5&reconnect-delay=1");
    TestIo *a = tio_write_new(v, 'a', 1);
    TestIo *b, *c, *d;

    sb_kick(v);
    sb_lost(v, false);
    b = tio_write_new(v, 'b', 2);
    test_loop_advance(v->loop, S);
    sb_lost(v, false);
    test_loop_advance(v->loop, 4 * S - 1);
    sb_expect_completed("");
    g_string_truncate(v->log, 0);
    test_loop_advance(v->loop, 1);
    sb_expect_completed("ab");
    tio_expect(a, -ETIMEDOUT);
    tio_expect(b, -ETIMEDOUT);
    expect_log(v, "W volume v0: no path for 5 s (fast-io-fail-tmo): requests "
               "fail from now on, 2 at once\n");
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_LOST);

    /* New ones fail at once, without a line of their own. */
    sb_in_call = true;
    c = tio_write_new(v, 'c', 3);
    sb_in_call = false;
    sb_run(v);
    sb_expect_completed("c");
    tio_expect(c, -ETIMEDOUT);
    expect_log(v, "");

    /* It goes on trying, and all is well when that works. */
    test_loop_advance(v->loop, 10 * S);
    sb_ready(v);
    expect_log(v, "I volume v0: reconnected after 15.0 s; 3 requests failed "
               "meanwhile\n");
    d = tio_write_new(v, 'd', 4);
    sb_run(v);
    sb_expect_in_flight(v, " 4+1");
    sb_done_all(v, 0);
    sb_expect_completed("d");
    tio_expect(d, 0);

    /* The next loss counts anew. */
    d = tio_write_new(v, 'd', 4);
    test_loop_advance(v->loop, 10 * S);
    sb_lost(v, false);
    test_loop_advance(v->loop, 5 * S - 1);
    sb_expect_completed("");
    sb_ready(v);
    test_loop_advance(v->loop, 10 * S);
    sb_expect_completed("");
    sb_done_all(v, 0);
    tio_expect(d, 0);
    sb_close(v);
}

/* While it connects for the first time, the limit counts from opening. */
static void test_fast_fail_connecting(void)
{
    SbVolume *v = sb_open("scripted://?fast-io-fail-tmo=5", NULL);
    TestIo *a, *b;

    test_loop_advance(v->loop, 3 * S);
    a = tio_write_new(v, 'a', 1);
    test_loop_advance(v->loop, 2 * S - 1);
    sb_expect_completed("");
    test_loop_advance(v->loop, 1);
    sb_expect_completed("a");
    tio_expect(a, -ETIMEDOUT);
    g_string_truncate(v->log, 0);
    sb_ready(v);
    expect_log(v, "I volume v0: connected; 1 requests failed meanwhile\n");
    b = tio_write_new(v, 'b', 1);
    sb_run(v);
    sb_done_all(v, 0);
    tio_expect(b, 0);
    sb_close(v);
}

static void test_fast_fail_at_once(void)
{
    SbVolume *v = open_ready("fast-io-fail-tmo=0");
    TestIo *a = tio_write_new(v, 'a', 1);

    sb_lost(v, false);
    sb_expect_completed("");
    test_loop_advance(v->loop, 0);
    sb_expect_completed("a");
    tio_expect(a, -ETIMEDOUT);
    sb_close(v);
}

/* ------------------------------------------------------- ctrl-loss-tmo */

static void test_ctrl_loss(void)
{
    SbVolume *v = open_ready("fast-io-fail-tmo=2&ctrl-loss-tmo=7");
    TestIo *a = tio_write_new(v, 'a', 1);
    TestIo *b;
    unsigned starts;

    sb_lost(v, false);
    test_loop_advance(v->loop, 2 * S);
    sb_expect_completed("a");
    tio_expect(a, -ETIMEDOUT);
    test_loop_advance(v->loop, 5 * S - 1);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_LOST);
    g_assert_true(v->be->started);
    g_string_truncate(v->log, 0);
    test_loop_advance(v->loop, 1);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_FAILED);
    expect_log(v, "E volume v0: failed: no path for 7 s (ctrl-loss-tmo): the "
               "cable broke\n");
    /* The try that was under way is over, and there are no more. */
    g_assert_false(v->be->started);
    starts = v->be->starts;
    b = tio_write_new(v, 'b', 1);
    test_loop_advance(v->loop, 1000 * S);
    sb_expect_completed("b");
    tio_expect(b, -ENODEV);
    g_assert_cmpuint(v->be->starts, ==, starts);
    g_assert_cmpstr(v->states->str, ==, "RLF");
    sb_close(v);
}

/* Also between two tries, and with requests that wait. */
static void test_ctrl_loss_between_tries(void)
{
    SbVolume *v = open_ready("ctrl-loss-tmo=60&reconnect-delay=600");
    TestIo *a = tio_write_new(v, 'a', 1);

    sb_lost(v, false);
    while (v->be->starts < 10 && sn_volume_state(v->vol) == SN_VOLUME_LOST) {
        sb_run(v);
        if (v->be->started) {
            sb_lost(v, false);
        }
        test_loop_advance(v->loop, 100 * MS);
    }
    g_assert_cmpint(sn_loop_now(v->loop) / (100 * MS), ==, 710);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_FAILED);
    sb_expect_completed("a");
    tio_expect(a, -ENODEV);
    sb_close(v);
}

static void test_ctrl_loss_connecting(void)
{
    SbVolume *v = sb_open("scripted://?ctrl-loss-tmo=5", NULL);
    TestIo *a = tio_write_new(v, 'a', 1);

    test_loop_advance(v->loop, 5 * S);
    sb_expect_completed("a");
    tio_expect(a, -ENODEV);
    expect_log(v, "E volume v0: failed: no path for 5 s (ctrl-loss-tmo): no "
               "answer at all\n");
    sb_close(v);

    /* One that connects in time is not touched. */
    v = sb_open("scripted://?ctrl-loss-tmo=5", NULL);
    test_loop_advance(v->loop, 5 * S - 1);
    sb_ready(v);
    test_loop_advance(v->loop, 100 * S);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    sb_close(v);
}

/* 0: no second try, but the first one may take its time. */
static void test_ctrl_loss_zero(void)
{
    SbVolume *v = sb_open("scripted://?ctrl-loss-tmo=0", NULL);

    test_loop_advance(v->loop, 100 * S);
    sb_ready(v);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    sb_lost(v, false);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_FAILED);
    expect_log(v, "E volume v0: failed: the cable broke\n");
    sb_close(v);

    v = sb_open("scripted://?ctrl-loss-tmo=0", NULL);
    sb_run(v);
    sb_lost(v, false);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_FAILED);
    sb_close(v);
}

/* The loop was stuck, and takes the end before the start of a try. */
static void test_start_after_failure(void)
{
    SbVolume *v = open_ready("ctrl-loss-tmo=5");

    sb_lost(v, false);
    skew_loop(v, 10 * S);
    sn_volume_path_deadline(v->vol);
    g_assert_cmpstr(v->states->str, ==, "RLF");
    test_loop_advance(v->loop, 100 * S);
    g_assert_cmpuint(v->be->starts, ==, 1);
    sb_close(v);
}

/* ------------------------------------------------------- io-timeout */

static void test_io_timeout(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b, *c, *d;

    a = tio_submit_new(v, 'a', SN_IO_FLUSH, 0, 0);
    sb_kick(v);
    test_loop_advance(v->loop, 10 * S);
    b = tio_write_new(v, 'b', 2);
    c = tio_write_new(v, 'c', 3);
    v->be->capacity = 3;
    d = tio_write_new(v, 'd', 4);
    sb_kick(v);
    test_loop_advance(v->loop, 20 * S - 1);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    test_loop_advance(v->loop, 1);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_LOST);
    g_assert_cmpuint(v->be->stops, ==, 1);
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==,
                    "no answer to a flush within 30 s");
    expect_log(v, "W volume v0: connection lost: no answer to a flush within "
               "30 s; reconnecting\n");
    sb_expect_in_flight(v, "");

    /* Everything is sent again, in order, and has its 30 s again. */
    sb_run(v);
    g_assert_true(v->be->started);
    test_loop_advance(v->loop, 5 * S);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " - 2+1 3+1");
    test_loop_advance(v->loop, 30 * S - 1);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    sb_done_all(v, 0);
    sb_done_all(v, 0);
    sb_expect_completed("abcd");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(c, 0);
    tio_expect(d, 0);
    test_loop_advance(v->loop, 100 * S);
    g_assert_cmpstr(v->states->str, ==, "RLR");
    sb_close(v);
}

/* A busy volume whose every request is answered in time loses nothing. */
static void test_io_timeout_busy(void)
{
    SbVolume *v = open_ready("io-timeout=1");
    TestIo *a = tio_write_new(v, 'a', 0);

    for (unsigned i = 0; i < 100; i++) {
        TestIo *next = tio_write_new(v, 'a', i);

        sb_kick(v);
        test_loop_advance(v->loop, 450 * MS);
        sb_done(v, 0, 0);
        sb_run(v);
        tio_expect(a, 0);
        a = next;
        /* One at 500 ms of age, and another one that is new, at any time. */
        test_loop_advance(v->loop, 50 * MS);
    }
    g_assert_cmpstr(v->states->str, ==, "R");
    tio_cancel_free(a);
    g_string_truncate(sb_completed, 0);
    test_loop_advance(v->loop, 100 * S);
    g_assert_cmpint(test_loop_next_deadline(v->loop), ==, SN_TIMER_NEVER);
    g_assert_cmpstr(v->states->str, ==, "R");
    sb_close(v);
}

static void test_io_timeout_off(void)
{
    SbVolume *v = open_ready("io-timeout=0");
    TestIo *a = tio_write_new(v, 'a', 0);

    sb_kick(v);
    test_loop_advance(v->loop, 100000 * S);
    g_assert_cmpstr(v->states->str, ==, "R");
    tio_cancel_free(a);
    sb_close(v);
}

/* A long request counts per command: parts that move along are no timeout. */
static void test_io_timeout_split(void)
{
    SbVolume *v = open_ready("io-timeout=1");
    TestIo *a;

    v->info.max_transfer = SB_BLOCK;
    sb_flap(v);
    g_string_truncate(v->states, 0);
    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 20);
    sb_kick(v);
    for (unsigned i = 0; i < 20; i++) {
        test_loop_advance(v->loop, 100 * MS);
        sb_done(v, 0, 0);
        sb_run(v);
    }
    sb_expect_completed("a");
    tio_expect(a, 0);
    g_assert_cmpstr(v->states->str, ==, "");

    /* One that does not is, however lively the others are. */
    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 20);
    sb_kick(v);
    for (unsigned i = 0; i < 9; i++) {
        test_loop_advance(v->loop, 100 * MS);
        sb_done(v, 1, 0);
        sb_run(v);
    }
    test_loop_advance(v->loop, 100 * MS - 1);
    g_assert_cmpstr(v->states->str, ==, "");
    test_loop_advance(v->loop, 1);
    g_assert_cmpstr(v->states->str, ==, "L");
    tio_cancel_free(a);
    sb_close(v);
}

/* One that is told to wait is no reason to give up the path of the others. */
static void test_io_timeout_refused(void)
{
    SbVolume *v = open_ready("io-timeout=1");
    TestIo *a = tio_write_new(v, 'a', 1);
    TestIo *b;

    v->info.max_transfer = SB_BLOCK;
    sb_flap(v);
    b = tio_submit_new(v, 'b', SN_IO_WRITE, 2, 2);
    sb_kick(v);
    g_string_truncate(v->states, 0);
    sb_expect_in_flight(v, " 1+1 2+1 3+1");
    sb_refuse(v, 0, 10 * S);
    sb_refuse(v, 2, 10 * S);
    sb_done(v, 1, 0);
    test_loop_advance(v->loop, 10 * S);
    g_assert_cmpstr(v->states->str, ==, "");
    sb_send_again(v, 0);
    sb_send_again(v, 1);
    test_loop_advance(v->loop, S - 1);
    sb_done(v, 1, 0);
    sb_run(v);
    sb_expect_completed("b");
    tio_expect(b, 0);
    g_assert_cmpstr(v->states->str, ==, "");
    test_loop_advance(v->loop, 1);
    g_assert_cmpstr(v->states->str, ==, "L");
    tio_cancel_free(a);

    /* Nor if it is not sent again when it should be. */
    test_loop_advance(v->loop, 0);
    sb_ready(v);
    g_string_truncate(v->states, 0);
    a = tio_write_new(v, 'a', 1);
    sb_kick(v);
    sb_refuse(v, 0, 2 * S);
    test_loop_advance(v->loop, 3 * S - 1);
    g_assert_cmpstr(v->states->str, ==, "");
    test_loop_advance(v->loop, 1);
    g_assert_cmpstr(v->states->str, ==, "L");
    tio_cancel_free(a);
    sb_close(v);
}

/* A backend that has room for nothing is as dead as one that is silent. */
static void test_no_room(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b;

    v->be->capacity = 0;
    a = tio_write_new(v, 'a', 0);
    test_loop_advance(v->loop, 20 * S);
    tio_cancel_free(a);
    sb_run(v);
    /* Nobody waited in between. */
    a = tio_write_new(v, 'a', 0);
    b = tio_submit_new(v, 'b', SN_IO_READ, 0, 1);
    sb_kick(v);
    test_loop_advance(v->loop, 29 * S);
    tio_cancel_free(a);
    sb_run(v);
    g_assert_cmpstr(v->states->str, ==, "R");
    test_loop_advance(v->loop, S);
    g_assert_cmpstr(v->states->str, ==, "RL");
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==,
                    "no room for a read within 30 s");
    v->be->capacity = 1;
    test_loop_advance(v->loop, 0);
    sb_ready(v);
    sb_run(v);
    sb_done_all(v, 0);
    sb_expect_completed("b");
    tio_expect(b, 0);
    sb_close(v);
}

/* A new path has its 30 s again. */
static void test_no_room_again(void)
{
    SbVolume *v = open_ready("");
    TestIo *a;

    v->be->capacity = 0;
    a = tio_write_new(v, 'a', 0);
    test_loop_advance(v->loop, 20 * S);
    sb_lost(v, false);
    test_loop_advance(v->loop, 2 * S);
    sb_ready(v);
    test_loop_advance(v->loop, 30 * S - 1);
    g_assert_cmpstr(v->states->str, ==, "RLR");
    test_loop_advance(v->loop, 1);
    g_assert_cmpstr(v->states->str, ==, "RLRL");
    tio_cancel_free(a);
    sb_close(v);
}

/* It had room in between: then it is slow, not dead. */
static void test_little_room(void)
{
    SbVolume *v = open_ready("");
    TestIo *io[10];

    v->be->capacity = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(io); i++) {
        io[i] = tio_write_new(v, 'a', i);
    }
    sb_kick(v);
    for (unsigned i = 0; i < G_N_ELEMENTS(io); i++) {
        test_loop_advance(v->loop, 29 * S);
        sb_done_all(v, 0);
        tio_expect(io[i], 0);
    }
    g_assert_cmpstr(v->states->str, ==, "R");
    sb_close(v);
}

/* A loop that was stuck itself gets a second to read the answers. */
static void test_stuck_loop(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b;

    a = tio_write_new(v, 'a', 0);
    sb_kick(v);
    test_loop_advance(v->loop, 29 * S);
    skew_loop(v, 600 * S);
    test_loop_advance(v->loop, S);
    skew_loop(v, 0);
    g_assert_cmpstr(v->states->str, ==, "R");
    sb_done_all(v, 0);
    tio_expect(a, 0);
    test_loop_advance(v->loop, 1000 * S);
    g_assert_cmpstr(v->states->str, ==, "R");

    /* No longer than that. */
    b = tio_write_new(v, 'b', 0);
    sb_kick(v);
    test_loop_advance(v->loop, 29 * S);
    skew_loop(v, 2 * S);
    test_loop_advance(v->loop, S);
    skew_loop(v, 0);
    g_assert_cmpstr(v->states->str, ==, "R");
    test_loop_advance(v->loop, 3 * S);
    g_assert_cmpstr(v->states->str, ==, "RL");
    tio_cancel_free(b);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* ------------------------------------------------------- one stuck command */

/* The far side answers all but this one request of @blocks at block 0. */
static void one_stuck(unsigned blocks)
{
    SbVolume *v = open_ready("");
    TestIo *stuck = tio_submit_new(v, 's', SN_IO_READ, 0, blocks);
    TestIo *other, *later;

    sb_kick(v);
    /* It is sent six times, on connections that work for the others. */
    for (unsigned i = 1; i <= 6; i++) {
        g_assert_cmpuint(stuck->completions, ==, 0);
        g_assert_cmpuint(v->be->n, ==, (blocks + 15) / 16);
        test_loop_advance(v->loop, 1);
        other = tio_write_new(v, 'o', 100);
        sb_kick(v);
        sb_done(v, v->be->n - 1, 0);
        sb_run(v);
        tio_expect(other, 0);
        /* This one just happens to be there, though others overtake it. */
        test_loop_advance(v->loop, 20 * S);
        other = tio_write_new(v, 'o', 100);
        sb_kick(v);
        test_loop_advance(v->loop, 1);
        later = tio_write_new(v, 'l', 101);
        sb_kick(v);
        sb_done(v, v->be->n - 1, 0);
        sb_run(v);
        tio_expect(later, 0);
        test_loop_advance(v->loop, 10 * S);
        g_assert_cmpuint(other->io.timeouts, ==, 0);
        sb_ready(v);
        sb_run(v);
        sb_done(v, v->be->n - 1, 0);
        sb_run(v);
        tio_expect(other, 0);
    }
    tio_expect(stuck, -ETIMEDOUT);
    sb_expect_completed("oloolooloolooloolso");
    g_assert_nonnull(strstr(v->log->str, "W volume v0: a read at byte 0 "
                            "fails: no answer on 6 connections\n"));
    sb_expect_in_flight(v, "");
    sb_close(v);
}

static void test_one_stuck(void)
{
    one_stuck(1);
    one_stuck(40);
}

/* Ten times in a row, nothing is answered by a far side that lets us in. */
static void stuck_alone(const char *params, unsigned expected_sends)
{
    SbVolume *v = open_ready(params);
    TestIo *a = tio_write_new(v, 'a', 0);
    TestIo *b = tio_write_new(v, 'b', 1);
    unsigned sends = 1;

    sb_kick(v);
    for (unsigned i = 0; i < 10; i++) {
        test_loop_advance(v->loop, 30 * S);
        if (v->be->started) {
            sb_ready(v);
            sb_run(v);
            sends += v->be->n == 2;
        }
    }
    g_assert_cmpuint(sends, ==, expected_sends);
    if (a->completions) {
        tio_expect(a, -ETIMEDOUT);
        tio_expect(b, -ETIMEDOUT);
    } else {
        tio_cancel_free(a);
        tio_cancel_free(b);
    }
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* Perhaps all of the far side hangs: the guest waits, as it wants to. */
static void test_all_stuck(void)
{
    stuck_alone("", 11);
}

/* Unless it said that it does not want to. */
static void test_all_stuck_impatient(void)
{
    stuck_alone("fast-io-fail-tmo=5", 6);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-deadlines/params", test_params);
    g_test_add_func("/volume-deadlines/fast-fail", test_fast_fail);
    g_test_add_func("/volume-deadlines/fast-fail-connecting",
                    test_fast_fail_connecting);
    g_test_add_func("/volume-deadlines/fast-fail-at-once",
                    test_fast_fail_at_once);
    g_test_add_func("/volume-deadlines/ctrl-loss", test_ctrl_loss);
    g_test_add_func("/volume-deadlines/ctrl-loss-between-tries",
                    test_ctrl_loss_between_tries);
    g_test_add_func("/volume-deadlines/ctrl-loss-connecting",
                    test_ctrl_loss_connecting);
    g_test_add_func("/volume-deadlines/ctrl-loss-zero", test_ctrl_loss_zero);
    g_test_add_func("/volume-deadlines/start-after-failure",
                    test_start_after_failure);
    g_test_add_func("/volume-deadlines/io-timeout", test_io_timeout);
    g_test_add_func("/volume-deadlines/io-timeout-busy", test_io_timeout_busy);
    g_test_add_func("/volume-deadlines/io-timeout-off", test_io_timeout_off);
    g_test_add_func("/volume-deadlines/io-timeout-split",
                    test_io_timeout_split);
    g_test_add_func("/volume-deadlines/io-timeout-refused",
                    test_io_timeout_refused);
    g_test_add_func("/volume-deadlines/no-room", test_no_room);
    g_test_add_func("/volume-deadlines/no-room-again", test_no_room_again);
    g_test_add_func("/volume-deadlines/little-room", test_little_room);
    g_test_add_func("/volume-deadlines/stuck-loop", test_stuck_loop);
    g_test_add_func("/volume-deadlines/one-stuck", test_one_stuck);
    g_test_add_func("/volume-deadlines/all-stuck", test_all_stuck);
    g_test_add_func("/volume-deadlines/all-stuck-impatient",
                    test_all_stuck_impatient);
    return g_test_run();
}
