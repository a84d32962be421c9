/*
 * Unit tests of a volume's path: connecting, losing it, connecting again.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"
#include "smartnic/trace.h"

static void test_connect(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    TestIo *a, *b, *c;

    g_assert_cmpuint(v->be->starts, ==, 0);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_CONNECTING);
    a = tio_write_new(v, 'a', 1);
    b = tio_submit_new(v, 'b', SN_IO_FLUSH, 0, 0);
    c = tio_write_new(v, 'c', SB_SIZE / SB_BLOCK);
    sb_kick(v);
    sb_run(v);
    g_assert_cmpuint(v->be->starts, ==, 1);
    g_assert_cmpuint(v->be->submits, ==, 0);
    g_assert_cmpuint(v->be->kicks, ==, 0);

    /* Nothing goes to the backend while it is still telling us. */
    sb_ready(v);
    g_assert_cmpstr(v->states->str, ==, "R");
    g_assert_cmpuint(v->be->submits, ==, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 1+1 -");
    g_assert_cmpuint(v->be->kicks, ==, 1);
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    g_assert_cmpuint(sn_volume_info(v->vol)->size, ==, SB_SIZE);
    /* The check that had to wait for the size. */
    sb_expect_completed("c");
    tio_expect(c, -EINVAL);
    sb_done_all(v, 0);
    sb_expect_completed("ab");
    tio_expect(a, 0);
    tio_expect(b, 0);
    /* A first connection that works is not worth a line. */
    g_assert_cmpstr(v->log->str, ==, "");
    sb_close(v);
}

static int64_t next_delay(SbVolume *v)
{
    return test_loop_next_deadline(v->loop) - sn_loop_now(v->loop);
}

/* The try that is due fails after @ms. */
static void failing_try(SbVolume *v, int64_t expected_delay_ms)
{
    unsigned starts = v->be->starts;

    g_assert_cmpint(next_delay(v), ==, expected_delay_ms * SN_NS_PER_MS);
    test_loop_advance(v->loop, expected_delay_ms * SN_NS_PER_MS - 1);
    g_assert_cmpuint(v->be->starts, ==, starts);
    test_loop_advance(v->loop, 1);
    g_assert_cmpuint(v->be->starts, ==, starts + 1);
    sb_lost(v, false);
}

static unsigned log_lines(SbVolume *v)
{
    unsigned lines = 0;

    for (const char *p = v->log->str; *p; p++) {
        lines += *p == '\n';
    }
    return lines;
}

static void test_first_tries_fail(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    static const int delays[] = { 250, 500, 1000, 2000, 2000 };

    sb_run(v);
    sb_lost(v, false);
    for (size_t i = 0; i < G_N_ELEMENTS(delays); i++) {
        failing_try(v, delays[i]);
    }
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_CONNECTING);
    g_assert_cmpstr(v->states->str, ==, "");
    g_assert_cmpstr(v->log->str, ==,
                    "W volume v0: cannot connect: the cable broke; "
                    "trying again\n");
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==, "the cable broke");

    /* About one line a minute, however many tries. */
    g_string_truncate(v->log, 0);
    for (int i = 0; i < 150; i++) {
        failing_try(v, 2000);
    }
    g_assert_nonnull(strstr(v->log->str, "cannot connect"));
    g_assert_cmpuint(log_lines(v), >=, 4);
    g_assert_cmpuint(log_lines(v), <=, 6);

    g_string_truncate(v->log, 0);
    test_loop_advance(v->loop, 2 * SN_NS_PER_S);
    sb_ready(v);
    g_assert_cmpstr(v->log->str, ==, "I volume v0: connected\n");
    g_assert_cmpuint(sn_volume_reconnects(v->vol), ==, 0);
    sb_close(v);
}

static void test_reconnect(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *io[5];

    test_loop_advance(v->loop, 10 * SN_NS_PER_S);
    for (int i = 0; i < 3; i++) {
        io[i] = tio_write_new(v, "abc"[i], i);
    }
    sb_kick(v);
    sb_done(v, 0, 0);
    sb_lost(v, false);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_LOST);
    g_assert_cmpstr(v->log->str, ==, "W volume v0: connection lost: "
                    "the cable broke; reconnecting\n");
    /* What is new waits behind what was in flight; kick has no one to go to. */
    io[3] = tio_write_new(v, 'd', 3);
    sb_kick(v);
    /* The first try is immediate; what was answered is not sent again. */
    sb_run(v);
    sb_expect_completed("a");
    g_assert_cmpuint(v->be->starts, ==, 2);
    sb_lost(v, false);
    failing_try(v, 250);
    failing_try(v, 500);
    test_loop_advance(v->loop, SN_NS_PER_S);
    g_string_truncate(v->log, 0);
    sb_ready(v);
    g_assert_cmpstr(v->log->str, ==,
                    "I volume v0: reconnected after 1.8 s\n");
    io[4] = tio_write_new(v, 'e', 4);
    sb_run(v);
    sb_expect_in_flight(v, " 1+1 2+1 3+1 4+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_done_all(v, 0);
    sb_expect_completed("bcde");
    g_assert_cmpstr(v->states->str, ==, "RLR");
    g_assert_cmpuint(sn_volume_reconnects(v->vol), ==, 1);
    for (int i = 0; i < 5; i++) {
        tio_expect(io[i], 0);
    }
    sb_close(v);
}

/* What waits is not for another disk that answers under the same name. */
static void test_other_disk(void)
{
    SbVolume *v = sb_open_ready();
    SnVolumeInfo first = v->info;
    TestIo *io;

    test_loop_advance(v->loop, 10 * SN_NS_PER_S);
    io = tio_write_new(v, 'a', 1);
    sb_kick(v);
    sb_lost(v, false);
    sb_run(v);
    v->info.uuid[3] ^= 1;
    sb_ready(v);
    sb_run(v);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_LOST);
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==,
                    "another disk answers under this URL");
    g_assert_cmpuint(v->be->stops, ==, 1);
    sb_expect_in_flight(v, "");

    /* The right one comes back, with another size, which may be. */
    test_loop_advance(v->loop, SN_NS_PER_S);
    first.size *= 2;
    v->info = first;
    sb_ready(v);
    sb_run(v);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    sb_expect_in_flight(v, " 1+1");
    sb_done_all(v, 0);
    sb_expect_completed("a");
    tio_expect(io, 0);
    sb_close(v);
}

/* A far side that accepts and drops us at once is not asked in a loop. */
static void test_flapping(void)
{
    SbVolume *v = sb_open_ready();
    static const int delays[] = { 0, 250, 500, 1000, 2000, 2000 };

    for (size_t i = 0; i < G_N_ELEMENTS(delays); i++) {
        unsigned starts = v->be->starts;

        sb_lost(v, false);
        if (delays[i]) {
            g_assert_cmpint(next_delay(v), ==, delays[i] * SN_NS_PER_MS);
            test_loop_advance(v->loop, next_delay(v));
        }
        sb_run(v);
        g_assert_cmpuint(v->be->starts, ==, starts + 1);
        sb_ready(v);
    }
    /* Once it has held for a while, a loss is an accident again. */
    test_loop_advance(v->loop, 2 * SN_NS_PER_S);
    sb_lost(v, false);
    g_assert_cmpint(test_loop_next_deadline(v->loop), ==, SN_TIMER_NEVER);
    sb_run(v);
    g_assert_true(v->be->started);
    sb_close(v);
}

/*
 * An hour with a loss every @seconds. There are few lines, and what is told
 * last is how it is: a return is told exactly when its loss was.
 */
static void flap_for_an_hour(unsigned seconds, unsigned max_losses_told)
{
    SbVolume *v = sb_open_ready();
    int64_t end = sn_loop_now(v->loop) + 3600 * SN_NS_PER_S;
    g_auto(GStrv) lines = NULL;
    unsigned n = 0;

    for (unsigned i = 0; sn_loop_now(v->loop) < end; i++) {
        sb_lost(v, false);
        while (!v->be->started) {
            test_loop_advance(v->loop, 100 * SN_NS_PER_MS);
        }
        test_loop_advance(v->loop, i % 5 * 150 * SN_NS_PER_MS);
        sb_ready(v);
        test_loop_advance(v->loop, seconds * SN_NS_PER_S);
    }
    lines = g_strsplit(v->log->str, "\n", -1);
    for (; *lines[n]; n++) {
        g_assert_nonnull(strstr(lines[n], n % 2 ? "I volume v0: reconnected"
                                                : "W volume v0: connection "
                                                  "lost: the cable broke"));
    }
    g_assert_cmpuint(n % 2, ==, 0);
    g_assert_cmpuint(n / 2, >=, 2);
    g_assert_cmpuint(n / 2, <=, max_losses_told);
    sb_close(v);
}

static void test_flapping_log(void)
{
    flap_for_an_hour(1, 70);
    flap_for_an_hour(7, 70);
    flap_for_an_hour(59, 61);
    flap_for_an_hour(600, 6);
}

/* With everything that there can be lines about. */
static void test_log_flood(void)
{
    SbVolume *v = sb_open("scripted://?fast-io-fail-tmo=0&io-timeout=1", NULL);
    TestIo *t = NULL;

    for (unsigned i = 0; i < 3600; i++) {
        test_loop_advance(v->loop, SN_NS_PER_S);
        if (v->be->started && i % 3) {
            v->info.size = (500 + i % 2) * SB_BLOCK;
            v->info.read_only = i % 4 / 2;
            sb_ready(v);
        } else if (v->be->started) {
            sb_lost(v, false);
        }
        if (t && t->completions) {
            tio_free(t);
            t = NULL;
        }
        if (!t) {
            t = tio_submit_new(v, 'a', SN_IO_READ, 0, 1);
            sb_kick(v);
        }
    }
    tio_cancel_free(t);
    g_test_message("%u lines in an hour", log_lines(v));
    /* Each kind one in a minute, after ten at the beginning. */
    g_assert_cmpuint(log_lines(v), <, 6 * 71);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void test_reconnect_delay(void)
{
    SbVolume *v = sb_open("scripted://?reconnect-delay=1&mine=1", NULL);
    GError *err = NULL;

    sb_run(v);
    sb_lost(v, false);
    failing_try(v, 250);
    failing_try(v, 500);
    failing_try(v, 1000);
    failing_try(v, 1000);
    sb_close(v);

    /* 0 is as fast as can be without being a busy loop. */
    v = sb_open("scripted://?reconnect-delay=0", NULL);
    sb_run(v);
    sb_lost(v, false);
    failing_try(v, 10);
    failing_try(v, 10);
    sb_close(v);

    g_assert_null(sb_open("scripted://?reconnect-delay=601", &err));
    g_assert_nonnull(strstr(err->message, "reconnect-delay"));
    g_clear_error(&err);
    g_assert_null(sb_open("scripted://?nonsense=1", &err));
    g_assert_nonnull(strstr(err->message, "nonsense"));
    g_clear_error(&err);
}

/* A loss that is reported twice leads to one new try. */
static void test_lost_twice(void)
{
    SbVolume *v = sb_open_ready();

    sb_lost(v, false);
    sn_backend_lost(v->vol, false, "again");
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==, "the cable broke");
    test_loop_advance(v->loop, 10 * SN_NS_PER_S);
    g_assert_cmpuint(v->be->starts, ==, 2);
    g_assert_cmpstr(v->states->str, ==, "RL");
    sb_close(v);
}

static void test_failed(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a, *b, *c;

    v->be->capacity = 1;
    a = tio_write_new(v, 'a', 0);
    b = tio_write_new(v, 'b', 1);
    sb_in_call = true;
    sb_lost(v, true);
    sb_in_call = false;
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_FAILED);
    g_assert_cmpstr(v->log->str, ==,
                    "E volume v0: failed: the cable broke\n");
    c = tio_submit_new(v, 'c', SN_IO_FLUSH, 0, 0);
    sb_kick(v);
    test_loop_advance(v->loop, 1000 * SN_NS_PER_S);
    sb_expect_completed("abc");
    tio_expect(a, -ENODEV);
    tio_expect(b, -ENODEV);
    tio_expect(c, -ENODEV);
    g_assert_cmpuint(v->be->starts, ==, 1);
    g_assert_cmpstr(v->states->str, ==, "RF");
    sb_close(v);

    /* At the first try. */
    v = sb_open("scripted://", NULL);
    a = tio_write_new(v, 'a', 0);
    sb_run(v);
    sb_lost(v, true);
    sb_run(v);
    sb_expect_completed("a");
    tio_expect(a, -ENODEV);
    sb_close(v);
}

static void submit_and_cancel(SbVolume *v, SnVolumeState state)
{
    TestIo *cancelled;

    tio_submit(v->opaque);
    cancelled = tio_write_new(v, 'x', 9);
    sb_kick(v);
    tio_cancel_free(cancelled);
}

/* The next event will submit this one. */
static TestIo *for_next_event(SbVolume *v, char name, uint64_t block)
{
    TestIo *t = tio_new(v, name, SN_IO_WRITE, block, 1);

    v->on_state = submit_and_cancel;
    v->opaque = t;
    return t;
}

/* state_changed() may submit and cancel, in every state. */
static void test_submit_in_event(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    TestIo *a, *b, *c, *d;

    sb_run(v);
    a = for_next_event(v, 'a', 1);
    sb_ready(v);
    /* The backend is still telling us: it must not be called now. */
    g_assert_cmpuint(v->be->submits, ==, 0);
    sb_run(v);
    b = for_next_event(v, 'b', 2);
    sb_lost(v, false);
    sb_run(v);
    c = for_next_event(v, 'c', 3);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " 1+1 2+1 3+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    sb_done_all(v, 0);
    d = for_next_event(v, 'd', 4);
    sb_lost(v, true);
    sb_run(v);
    sb_expect_completed("abcd");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(c, 0);
    tio_expect(d, -ENODEV);
    sb_close(v);
}

static void test_info_changed(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a, *b, *c;

    v->be->capacity = 1;
    a = tio_write_new(v, 'a', 0);
    b = tio_write_new(v, 'b', 100);
    c = tio_write_new(v, 'c', 99);
    v->info.size = 100 * SB_BLOCK;
    sn_backend_info_changed(v->vol, &v->info);
    g_assert_cmpuint(v->infos, ==, 0);
    sb_run(v);
    g_assert_cmpuint(v->infos, ==, 1);
    g_assert_cmpuint(sn_volume_info(v->vol)->size, ==, 100 * SB_BLOCK);
    sb_done_all(v, 0);
    sb_run(v);
    sb_expect_in_flight(v, " 99+1");
    sb_expect_completed("ba");
    tio_expect(a, 0);
    tio_expect(b, -EINVAL);

    /* Sent again to a volume that came back smaller. */
    v->info.size = 99 * SB_BLOCK;
    sb_flap(v);
    sb_expect_in_flight(v, "");
    sb_run(v);
    tio_expect(c, -EINVAL);
    sb_expect_completed("c");
    g_assert_cmpuint(v->infos, ==, 1);

    /* A loss comes first: the event of being ready again tells all. */
    sn_backend_info_changed(v->vol, &v->info);
    sb_flap(v);
    g_assert_cmpuint(v->infos, ==, 1);
    sb_close(v);
}

/* While there is no path, or no user any more, nobody is told. */
static void test_reservation(void)
{
    SbVolume *v = sb_open("scripted://", NULL);

    sb_run(v);
    sn_backend_reservation(v->vol, 1);
    sb_ready(v);
    sn_backend_reservation(v->vol, 2);
    sb_lost(v, false);
    sn_backend_reservation(v->vol, 1);
    sb_run(v);
    sb_ready(v);
    sn_backend_reservation(v->vol, 3);
    g_assert_cmpstr(v->states->str, ==, "R2LR3");
    sb_close(v);
}

/* What a person has to know about a change, when ready and when back. */
static void test_info_log(void)
{
    SbVolume *v = sb_open_ready();

    g_assert_cmpstr(v->log->str, ==, "");
    v->info.size = 100 * SB_BLOCK;
    sn_backend_info_changed(v->vol, &v->info);
    sn_backend_info_changed(v->vol, &v->info);
    v->info.read_only = true;
    sn_backend_info_changed(v->vol, &v->info);
    g_assert_cmpstr(v->log->str, ==,
                    "I volume v0: resized from 524288 to 51200 bytes\n"
                    "I volume v0: read-only now\n");
    g_string_truncate(v->log, 0);
    v->info.size = 200 * SB_BLOCK;
    v->info.read_only = false;
    sb_flap(v);
    g_assert_cmpstr(v->log->str, ==,
                    "W volume v0: connection lost: the cable broke; "
                    "reconnecting\n"
                    "I volume v0: reconnected after 2.0 s\n"
                    "I volume v0: resized from 51200 to 102400 bytes\n"
                    "I volume v0: writable now\n");
    sb_close(v);
}

static GString *traced;

static void on_trace(const char *line)
{
    const char *name = line + strcspn(line, "_") + 1;

    g_string_append_len(traced, name, strcspn(name, " "));
    g_string_append_c(traced, ' ');
}

/* What happened can be followed. */
static void test_trace(void)
{
    SbVolume *v;
    TestIo *a;

    traced = g_string_new(NULL);
    sn_trace_set_func(on_trace);
    g_assert_cmpuint(sn_trace_enable("volume_*"), ==, 9);
    v = sb_open("scripted://?fast-io-fail-tmo=1&io-timeout=1", NULL);
    sb_run(v);
    sb_ready(v);
    a = tio_write_new(v, 'a', 1);
    tio_cancel_free(tio_write_new(v, 'b', 1));
    test_loop_advance(v->loop, 3 * SN_NS_PER_S);
    tio_expect(a, -ETIMEDOUT);
    sb_close(v);
    g_assert_cmpstr(traced->str, ==,
                    "volume_start volume_info volume_state "
                    "volume_io_submit volume_io_submit volume_io_cancel "
                    "volume_io_timeout volume_requeue volume_state "
                    "volume_start volume_fast_fail volume_io_complete ");
    sn_trace_set_func(NULL);
    g_string_free(traced, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-path/connect", test_connect);
    g_test_add_func("/volume-path/first-tries-fail", test_first_tries_fail);
    g_test_add_func("/volume-path/reconnect", test_reconnect);
    g_test_add_func("/volume-path/other-disk", test_other_disk);
    g_test_add_func("/volume-path/flapping", test_flapping);
    g_test_add_func("/volume-path/flapping-log", test_flapping_log);
    g_test_add_func("/volume-path/log-flood", test_log_flood);
    g_test_add_func("/volume-path/reconnect-delay", test_reconnect_delay);
    g_test_add_func("/volume-path/lost-twice", test_lost_twice);
    g_test_add_func("/volume-path/failed", test_failed);
    g_test_add_func("/volume-path/submit-in-event", test_submit_in_event);
    g_test_add_func("/volume-path/info-changed", test_info_changed);
    g_test_add_func("/volume-path/reservation", test_reservation);
    g_test_add_func("/volume-path/info-log", test_info_log);
    /* Last: nothing switches the events off again. */
    g_test_add_func("/volume-path/trace", test_trace);
    return g_test_run();
}
