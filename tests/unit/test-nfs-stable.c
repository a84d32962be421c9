/*
 * The NFS backend and what is not stable yet: UNSTABLE writes, COMMIT, and
 * verifiers that change.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nfs-world.h"
#include "smartnic/log.h"

/* What was not committed is written again, in its order, and only once. */
static void test_restart_loses_nothing(void)
{
    World *w = nfs_world_new(5);
    NfsDouble *d = w->nfs;
    uint8_t buf[4096];

    nfs_world_open_ready(w, "");
    for (unsigned i = 0; i < 16; i++) {
        memset(buf, i + 1, sizeof(buf));
        /* Each overlaps the one before. */
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, i * 2048, 4096, buf), ==,
                        0);
    }
    nfs_double_crash(d);
    g_assert_cmpuint(d->disk[0], ==, 0);
    world_settle(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    for (unsigned i = 0; i < 16; i++) {
        g_assert_cmpuint(d->stable[i * 2048], ==, i + 1);
        g_assert_cmpuint(d->stable[i * 2048 + 2047], ==, i + 1);
    }
    /* And it is done with. */
    d->calls[NFS_WRITE] = 0;
    nfs_world_restart(w);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 0);
    nfs_world_free(w);
}

/* The connection stays; only the verifier tells. */
static void check_new_verifier(bool by_commit)
{
    World *w = nfs_world_new(6);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[4096];

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, a), ==, 0);
    memset(d->disk, 0, NFS_DOUBLE_SIZE);
    d->verf++;
    if (!by_commit) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 8192, 4096, b), ==, 0);
    }
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    g_assert_cmpmem(d->stable, 4096, a, 4096);
    if (!by_commit) {
        g_assert_cmpmem(d->stable + 8192, 4096, b, 4096);
    }
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

static void test_new_verifier(void)
{
    check_new_verifier(true);
    check_new_verifier(false);
}

/* Whoever is in flight then, on whichever connection, comes behind it. */
static void test_new_verifier_in_flight(void)
{
    World *w = nfs_world_new(43);
    NfsDouble *d = w->nfs;
    Req reqs[6] = { 0 };
    uint8_t buf[4096];

    nfs_world_open_ready(w, "connections=3");
    memset(buf, 0xff, sizeof(buf));
    for (unsigned i = 0; i < 6; i++) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, i * 4096, 4096, buf), ==,
                        0);
    }
    d->hold = true;
    for (unsigned i = 0; i < 6; i++) {
        memset(buf, i + 1, sizeof(buf));
        submit_write(w, &reqs[i], i & 1 ? SN_IO_FUA : 0, i * 4096, buf);
    }
    req_cancel(&reqs[2]);
    d->verf++;
    nfs_double_release(d);
    world_settle(w);
    for (unsigned i = 0; i < 6; i++) {
        if (i != 2) {
            check_done(&reqs[i], 0);
        }
        g_assert_cmpuint(d->stable[i * 4096], ==, i + 1);
        g_assert_cmpuint(d->stable[i * 4096 + 4095], ==, i + 1);
    }
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

/* The COMMIT that waits has no place in what comes instead of it. */
static void test_verifier_while_commit_waits(void)
{
    World *w = nfs_world_new(24);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[4096];
    Req flush = { 0 }, r = { 0 };

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, a), ==, 0);
    nfs_double_fail(d, NFS_COMMIT, 1, NFS_JUKEBOX);
    submit_flush(w, &flush);
    memset(d->disk, 0, NFS_DOUBLE_SIZE);
    d->verf++;
    d->hold = true;
    d->hold_proc = NFS_WRITE;
    submit_write(w, &r, 0, 2048, b);
    nfs_world_release_and_hold(w);
    check_done(&r, 0);
    test_loop_advance(w->loop, 2 * SN_NS_PER_S);
    g_assert_cmpuint(d->held.length, ==, 1);
    nfs_double_release(d);
    world_settle(w);
    check_done(&flush, 0);
    g_assert_cmpmem(d->stable, 2048, a, 2048);
    g_assert_cmpmem(d->stable + 2048, 4096, b, 4096);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

/* Nobody else goes before what the server asked to wait with. */
static void test_commit_waits(void)
{
    World *w = nfs_world_new(25);
    NfsDouble *d = w->nfs;
    Req reqs[2] = { 0 };
    uint8_t buf[4096] = { 1 };

    nfs_world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, buf), ==, 0);
    nfs_double_fail(d, NFS_COMMIT, 1, NFS_JUKEBOX);
    submit_flush(w, &reqs[0]);
    submit_flush(w, &reqs[1]);
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 1);
    test_loop_advance(w->loop, SN_NS_PER_S);
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 2);
    check_done(&reqs[0], 0);
    check_done(&reqs[1], 0);
    nfs_world_free(w);
}

/* A flush that waits for its turn has it even when the one before fails. */
static void test_flush_after_failed_one(void)
{
    World *w = nfs_world_new(26);
    NfsDouble *d = w->nfs;
    Req reqs[2] = { 0 };
    uint8_t buf[4096] = { 1 };

    nfs_world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, buf), ==, 0);
    d->hold = true;
    nfs_double_fail(d, NFS_COMMIT, 1, NFS_NOSPC);
    submit_flush(w, &reqs[0]);
    submit_flush(w, &reqs[1]);
    g_assert_cmpuint(d->held.length, ==, 1);
    nfs_double_release(d);
    world_settle(w);
    check_done(&reqs[0], -ENOSPC);
    check_done(&reqs[1], 0);
    g_assert_cmpuint(d->stable[0], ==, 1);
    nfs_world_free(w);
}

/* An old write that is written again must not undo a newer, stable one. */
static void test_rewrite_keeps_order(void)
{
    World *w = nfs_world_new(7);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[512];

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, a), ==, 0);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 512, 512, b), ==, 0);
    nfs_world_restart(w);
    g_assert_cmpuint(d->stable[0], ==, 0xaa);
    g_assert_cmpmem(d->stable + 512, 512, b, 512);
    g_assert_cmpuint(d->stable[1024], ==, 0xaa);
    nfs_world_free(w);
}

/* After its restart the server takes less at a time, and not all of that. */
static void test_rewrite_in_parts(void)
{
    World *w = nfs_world_new(27);
    NfsDouble *d = w->nfs;
    g_autofree uint8_t *buf = g_malloc(128 * 1024);

    nfs_world_open_ready(w, "");
    memset(buf, 0xaa, 128 * 1024);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 128 * 1024, buf), ==, 0);
    d->max = 16 * 1024;
    d->short_bytes = 10000;
    nfs_double_fail(d, NFS_WRITE, 1, NFS_JUKEBOX);
    nfs_world_restart(w);
    g_assert_cmpmem(d->stable, 128 * 1024, buf, 128 * 1024);
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 1);
    nfs_world_free(w);
}

/* The part that is through would be written over by what is older. */
static void test_rewrite_under_waiting_write(void)
{
    World *w = nfs_world_new(28);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[4096];
    Req r = { 0 };

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, a), ==, 0);
    d->hold = true;
    submit_write(w, &r, SN_IO_FUA, 0, b);
    d->short_bytes = 1000;
    nfs_world_release_and_hold(w);
    d->short_bytes = 0;
    nfs_double_fail(d, NFS_WRITE, 1, NFS_JUKEBOX);
    nfs_double_release(d);
    world_settle(w);
    g_assert_true(r.busy);
    d->verf++;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 8192, 4096, a), ==, 0);
    world_settle(w);
    g_assert_cmpmem(d->stable, 4096, a, 4096);
    test_loop_advance(w->loop, SN_NS_PER_S);
    check_done(&r, 0);
    g_assert_cmpmem(d->stable, 4096, b, 4096);
    nfs_world_free(w);
}

/* What the server made safe unasked is not kept. */
static void test_stable_by_itself(void)
{
    World *w = nfs_world_new(45);
    NfsDouble *d = w->nfs;
    uint8_t buf[4096] = { 1 };

    nfs_world_open_ready(w, "");
    d->always_stable = true;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, buf), ==, 0);
    g_assert_cmpuint(d->last_stable, ==, 0);
    nfs_world_restart(w);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 1);
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 0);
    g_assert_cmpuint(d->stable[0], ==, 1);
    nfs_world_free(w);
}

/* More than may be kept: COMMIT in between, or stable at once. */
static void test_uncommitted_is_bounded(void)
{
    World *w = nfs_world_new(9);
    NfsDouble *d = w->nfs;
    g_autofree uint8_t *buf = g_malloc0(128 * 1024);

    nfs_world_open_ready(w, "uncommitted=1M");
    for (unsigned i = 0; i < 32; i++) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, i * 128 * 1024, 128 * 1024,
                                buf), ==, 0);
    }
    g_assert_cmpuint(d->calls[NFS_COMMIT], >=, 3);
    nfs_world_free(w);
}

/* While no COMMIT succeeds, memory for stable writes ends as well. */
static void test_no_commit_no_writes(void)
{
    World *w = nfs_world_new(30);
    NfsDouble *d = w->nfs;
    uint8_t a[4096] = { 0xaa }, b[4096] = { 0xbb };
    g_autofree uint8_t *big = g_malloc0(128 * 1024);
    unsigned n = 0;
    Req r = { 0 };

    nfs_world_open_ready(w, "uncommitted=1M&io-timeout=off");
    nfs_double_fail(d, NFS_COMMIT, G_MAXUINT, NFS_IO);
    while (!r.busy) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 512 * 1024,
                                128 * 1024, big), ==, 0);
        g_assert_cmpuint(n++, <, 20);
        submit_write(w, &r, 0, 512 * 1024, a);
    }
    g_assert_cmpuint(n, >, 15);
    test_loop_advance(w->loop, 60 * SN_NS_PER_S);
    g_assert_true(r.busy);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    d->fail_count = 0;
    test_loop_advance(w->loop, 2 * SN_NS_PER_S);
    check_done(&r, 0);
    g_assert_cmpmem(d->disk + 512 * 1024, 4096, a, 4096);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, b), ==, 0);
    nfs_world_free(w);
}

/* No flush waits for it, and nothing else looks at the connection. */
static void test_commit_without_answer(void)
{
    World *w = nfs_world_new(31);
    NfsDouble *d = w->nfs;
    g_autofree uint8_t *buf = g_malloc0(128 * 1024);

    nfs_world_open_ready(w, "uncommitted=1M&keep-alive-tmo=0");
    d->hold = true;
    d->hold_proc = NFS_COMMIT;
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, i * 128 * 1024, 128 * 1024,
                                buf), ==, 0);
    }
    world_settle(w);
    g_assert_cmpuint(d->held.length, ==, 1);
    test_loop_advance(w->loop, 29 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    d->hold = false;
    test_loop_advance(w->loop, 3 * SN_NS_PER_S);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "no answer to COMMIT from server within 30 s"));
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 1);
    nfs_world_free(w);
}

/* Data that cannot be written again: the next flush says so, once. */
static void test_lost_data_is_told(void)
{
    World *w = nfs_world_new(8);
    NfsDouble *d = w->nfs;
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
    nfs_double_fail(d, NFS_WRITE, 1, NFS_NOSPC);
    nfs_world_restart(w);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, -ENOSPC);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    nfs_world_free(w);
}

static unsigned lines_about_lost;

static void count_lost(SnLogLevel level, const char *line)
{
    lines_about_lost += strstr(line, "cannot be made safe") != NULL;
}

/* However much is lost. */
static void test_lost_data_is_told_briefly(void)
{
    World *w = nfs_world_new(29);
    NfsDouble *d = w->nfs;
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "");
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, i * 512, 512, buf), ==, 0);
    }
    lines_about_lost = 0;
    sn_log_set_func(count_lost);
    nfs_double_fail(d, NFS_WRITE, 10, NFS_NOSPC);
    nfs_world_restart(w);
    g_assert_cmpuint(d->stable[9 * 512], ==, 0);
    g_assert_cmpuint(d->stable[10 * 512], ==, 1);
    g_assert_cmpuint(lines_about_lost, ==, 3);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, -ENOSPC);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    nfs_world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nfs-stable/restart-loses-nothing",
                    test_restart_loses_nothing);
    g_test_add_func("/nfs-stable/new-verifier", test_new_verifier);
    g_test_add_func("/nfs-stable/new-verifier-in-flight",
                    test_new_verifier_in_flight);
    g_test_add_func("/nfs-stable/verifier-while-commit-waits",
                    test_verifier_while_commit_waits);
    g_test_add_func("/nfs-stable/commit-waits", test_commit_waits);
    g_test_add_func("/nfs-stable/flush-after-failed-one",
                    test_flush_after_failed_one);
    g_test_add_func("/nfs-stable/rewrite-keeps-order",
                    test_rewrite_keeps_order);
    g_test_add_func("/nfs-stable/rewrite-in-parts", test_rewrite_in_parts);
    g_test_add_func("/nfs-stable/rewrite-under-waiting-write",
                    test_rewrite_under_waiting_write);
    g_test_add_func("/nfs-stable/stable-by-itself", test_stable_by_itself);
    g_test_add_func("/nfs-stable/uncommitted-is-bounded",
                    test_uncommitted_is_bounded);
    g_test_add_func("/nfs-stable/no-commit-no-writes",
                    test_no_commit_no_writes);
    g_test_add_func("/nfs-stable/commit-without-answer",
                    test_commit_without_answer);
    g_test_add_func("/nfs-stable/lost-data-is-told", test_lost_data_is_told);
    g_test_add_func("/nfs-stable/lost-data-is-told-briefly",
                    test_lost_data_is_told_briefly);
    return g_test_run();
}
