/*
 * Unit tests of closing a volume, which is possible in every callback, and of
 * submitting and cancelling there.
 *
 * test_loop_free() and AddressSanitizer notice what is left behind.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "scripted-backend.h"

static void close_in_state(SbVolume *v, SnVolumeState state)
{
    if (v->opaque) {
        tio_cancel_free(v->opaque);
        v->opaque = NULL;
    }
    sb_close_volume(v);
}

static void close_in_event(SbVolume *v)
{
    sb_close_volume(v);
}

/* The volume is closed, and so is the connection at the latest now. */
static void expect_closed(SbVolume *v)
{
    unsigned destroyed = sb_destroyed;

    sb_close(v);
    g_assert_cmpuint(sb_destroyed, ==, destroyed + 1);
}

static void expect_closed_already(SbVolume *v)
{
    unsigned destroyed = sb_destroyed;

    sb_close(v);
    g_assert_cmpuint(sb_destroyed, ==, destroyed);
}

/* ------------------------------------------------------- state_changed() */

static void test_ready(void)
{
    SbVolume *v = sb_open("scripted://", NULL);
    unsigned destroyed = sb_destroyed;

    sb_run(v);
    v->opaque = tio_write_new(v, 'a', 1);
    v->on_state = close_in_state;
    sb_ready(v);
    /* The backend is still telling us: it is destroyed afterwards. */
    g_assert_cmpuint(sb_destroyed, ==, destroyed);
    expect_closed(v);
}

static void test_lost(void)
{
    SbVolume *v = sb_open_ready();

    v->opaque = tio_write_new(v, 'a', 1);
    v->on_state = close_in_state;
    sb_lost(v, false);
    expect_closed(v);
}

/* By then the request is about to complete, with an error. */
static void test_failed(void)
{
    SbVolume *v = sb_open_ready();

    v->opaque = tio_write_new(v, 'a', 1);
    v->on_state = close_in_state;
    sb_lost(v, true);
    expect_closed(v);
}

static void test_limits(void)
{
    static const struct {
        const char *url;
        bool lose;
    } cases[] = {
        { "scripted://?io-timeout=5", false },
        { "scripted://?ctrl-loss-tmo=5", true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        SbVolume *v = sb_open(cases[i].url, NULL);

        sb_run(v);
        sb_ready(v);
        sb_run(v);
        v->opaque = tio_write_new(v, 'a', 1);
        sb_kick(v);
        if (cases[i].lose) {
            sb_lost(v, false);
        }
        v->on_state = close_in_state;
        test_loop_advance(v->loop, 5 * SN_NS_PER_S);
        g_assert_null(v->vol);
        expect_closed_already(v);
    }
}

static void test_ctrl_loss_zero(void)
{
    SbVolume *v = sb_open("scripted://?ctrl-loss-tmo=0", NULL);

    sb_run(v);
    sb_ready(v);
    v->on_state = close_in_state;
    sb_lost(v, false);
    g_assert_null(v->vol);
    expect_closed(v);
}

/* From the bottom half that leaves another disk: its own end comes next. */
static void test_other_disk(void)
{
    SbVolume *v = sb_open("scripted://?ctrl-loss-tmo=9", NULL);

    sb_run(v);
    sb_ready(v);
    sb_lost(v, false);
    sb_run(v);
    v->info.uuid[3] ^= 1;
    sb_ready(v);
    v->on_state = close_in_state;
    test_loop_advance(v->loop, 9 * SN_NS_PER_S);
    g_assert_null(v->vol);
    expect_closed_already(v);
}

/* What the backend still tells until it is stopped is for nobody. */
static void test_backend_goes_on(void)
{
    SbVolume *v = sb_open_ready();
    SnVolume *vol = v->vol;

    sn_backend_batch_begin(vol);
    sb_close_volume(v);
    v->info.size += SB_BLOCK;
    sn_backend_info_changed(vol, &v->info);
    sn_backend_lost(vol, false, "this %s", "too");
    sn_backend_batch_begin(vol);
    sn_backend_batch_end(vol);
    g_assert_false(v->be->stopped);
    sn_backend_batch_end(vol);
    g_assert_cmpstr(v->states->str, ==, "R");
    g_assert_cmpstr(v->log->str, ==, "");
    expect_closed(v);

    v = sb_open("scripted://?ctrl-loss-tmo=5", NULL);
    vol = v->vol;
    sb_run(v);
    sn_backend_batch_begin(vol);
    sb_close_volume(v);
    g_assert_cmpint(test_loop_next_deadline(v->loop), ==, SN_TIMER_NEVER);
    sn_backend_ready(vol, &v->info);
    sn_backend_batch_end(vol);
    expect_closed(v);
}

/* ------------------------------------------------------- complete() */

static void then_close(TestIo *t)
{
    for (TestIo *other; (other = t->other);) {
        t->other = other->other;
        tio_cancel_free(other);
    }
    sb_close_volume(t->v);
}

/*
 * a closes when it completes. At that time b is over too, c is in flight, d is
 * a long request that is partly in flight, and e waits.
 */
static void close_in_complete(bool batch)
{
    SbVolume *v = sb_open_ready();
    unsigned destroyed = sb_destroyed;
    TestIo *a, *b, *c, *d, *e;

    v->be->capacity = 4;
    a = tio_write_new(v, 'a', 1);
    b = tio_write_new(v, 'b', 2);
    c = tio_write_new(v, 'c', 3);
    d = tio_submit_new(v, 'd', SN_IO_WRITE, 100, 40);
    e = tio_write_new(v, 'e', 5);
    a->then = then_close;
    a->other = b;
    b->other = c;
    c->other = d;
    d->other = e;
    if (batch) {
        sn_backend_batch_begin(v->vol);
    }
    sn_backend_info_changed(v->vol, &v->info);
    sb_done(v, 0, 0);
    sb_done(v, 0, 0);
    if (batch) {
        sn_backend_batch_end(v->vol);
    } else {
        sb_run(v);
    }
    /* At once: whoever closes may free what the volume was given. */
    g_assert_cmpuint(sb_destroyed, ==, destroyed + 1);
    sb_expect_completed("a");
    tio_expect(a, 0);
    g_assert_cmpuint(v->batches, ==, 0);
    sb_close(v);
}

static void test_complete_batch(void)
{
    close_in_complete(true);
}

static void test_complete_loop(void)
{
    close_in_complete(false);
}

/* A loop nested in complete() finds the loss, and that event closes. */
static void then_lose(TestIo *t)
{
    sb_lost(t->v, false);
    test_loop_run_bhs(t->v->loop);
}

static void test_nested(void)
{
    SbVolume *v = sb_open_ready();
    unsigned destroyed = sb_destroyed;
    TestIo *a = tio_write_new(v, 'a', 1);

    v->opaque = tio_write_new(v, 'b', 2);
    v->on_state = close_in_state;
    a->then = then_lose;
    sb_done(v, 0, 0);
    sb_run(v);
    g_assert_cmpuint(sb_destroyed, ==, destroyed + 1);
    sb_expect_completed("a");
    tio_expect(a, 0);
    sb_close(v);
}

/* ------------------------------------------------------- other events */

static void test_info_changed(void)
{
    SbVolume *v = sb_open_ready();

    v->on_info = close_in_event;
    sn_backend_info_changed(v->vol, &v->info);
    sb_run(v);
    g_assert_null(v->vol);
    expect_closed_already(v);
}

/* The backend, which goes on, is on the stack. */
static void test_reservation(void)
{
    SbVolume *v = sb_open_ready();
    SnVolume *vol = v->vol;

    v->on_reservation = close_in_event;
    sn_backend_reservation(vol, 1);
    g_assert_null(v->vol);
    g_assert_false(v->be->stopped);
    sn_backend_reservation(vol, 1);
    g_assert_cmpstr(v->states->str, ==, "R1");
    expect_closed(v);
}

static void test_batch_done(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_write_new(v, 'a', 1);

    v->on_batch = close_in_event;
    sb_done_all(v, 0);
    g_assert_null(v->vol);
    tio_expect(a, 0);
    expect_closed_already(v);
}

static void submit_and_cancel(SbVolume *v)
{
    TestIo *cancelled = tio_write_new(v, 'x', 9);

    tio_submit(v->opaque);
    sb_kick(v);
    tio_cancel_free(cancelled);
    v->on_info = v->on_batch = v->on_reservation = NULL;
}

/* What events submit is not left lying, and what they cancel does not come. */
static void test_submit_in_events(void)
{
    SbVolume *v = sb_open_ready();
    TestIo *a = tio_new(v, 'a', SN_IO_WRITE, 1, 1);
    TestIo *b = tio_new(v, 'b', SN_IO_WRITE, 2, 40);
    TestIo *bad = tio_new(v, 'c', SN_IO_WRITE, SB_SIZE / SB_BLOCK, 1);
    TestIo *d = tio_new(v, 'd', SN_IO_WRITE, 3, 1);

    v->on_info = submit_and_cancel;
    v->opaque = a;
    sn_backend_info_changed(v->vol, &v->info);
    sb_run(v);
    sb_expect_in_flight(v, " 1+1");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    v->on_batch = submit_and_cancel;
    v->opaque = b;
    sb_done_all(v, 0);
    sb_expect_in_flight(v, " 2+16 18+16 34+8");
    g_assert_cmpuint(v->be->unkicked, ==, 0);
    v->on_batch = submit_and_cancel;
    v->opaque = bad;
    sb_done_all(v, 0);
    sb_run(v);
    v->on_reservation = submit_and_cancel;
    v->opaque = d;
    sn_backend_reservation(v->vol, 1);
    sb_expect_in_flight(v, "");
    sb_run(v);
    sb_expect_in_flight(v, " 3+1");
    sb_done_all(v, 0);
    sb_expect_completed("abcd");
    tio_expect(a, 0);
    tio_expect(b, 0);
    tio_expect(bad, -EINVAL);
    tio_expect(d, 0);
    sb_close(v);
}

/* ------------------------------------------------------- whenever */

static void test_any_state(void)
{
    SbVolume *v = sb_open("scripted://", NULL);

    /* Before the first pass of the loop, and before an answer. */
    sb_close(v);
    v = sb_open("scripted://", NULL);
    sb_run(v);
    sb_close(v);
    /* Between two tries, and when failed. */
    v = sb_open_ready();
    sb_lost(v, false);
    sb_run(v);
    sb_lost(v, false);
    sb_close(v);
    v = sb_open_ready();
    sb_lost(v, true);
    sb_close(v);
    /* With an event that is due. */
    v = sb_open_ready();
    sn_backend_info_changed(v->vol, &v->info);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-close/ready", test_ready);
    g_test_add_func("/volume-close/lost", test_lost);
    g_test_add_func("/volume-close/failed", test_failed);
    g_test_add_func("/volume-close/limits", test_limits);
    g_test_add_func("/volume-close/ctrl-loss-zero", test_ctrl_loss_zero);
    g_test_add_func("/volume-close/other-disk", test_other_disk);
    g_test_add_func("/volume-close/backend-goes-on", test_backend_goes_on);
    g_test_add_func("/volume-close/complete-batch", test_complete_batch);
    g_test_add_func("/volume-close/complete-loop", test_complete_loop);
    g_test_add_func("/volume-close/nested", test_nested);
    g_test_add_func("/volume-close/info-changed", test_info_changed);
    g_test_add_func("/volume-close/reservation", test_reservation);
    g_test_add_func("/volume-close/batch-done", test_batch_done);
    g_test_add_func("/volume-close/submit-in-events", test_submit_in_events);
    g_test_add_func("/volume-close/any-state", test_any_state);
    return g_test_run();
}
