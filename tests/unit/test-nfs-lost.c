/*
 * The NFS backend when a session is lost: how it is noticed, what becomes of
 * calls without an answer, and whether the file is still the same.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nfs-world.h"

/* A write, carried out, and its answer lost with the connection. */
static void lose_answer(World *w, Req *r, uint64_t offset, uint32_t len,
                        uint8_t *buf)
{
    w->nfs->swallow = true;
    req_submit(w, r, SN_IO_WRITE, 0, offset, len, buf, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_true(r->busy);
    w->nfs->swallow = false;
    memory_net_end_all(w->net, -ECONNRESET);
}

static void wait_back(World *w, Req *r, int ret)
{
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    world_settle(w);
    check_done(r, ret);
}

/* By its number, its port and its bytes a server knows a repeated call. */
static void test_same_call(void)
{
    World *w = nfs_world_new(20);
    NfsDouble *d = w->nfs;
    g_autofree uint8_t *buf = g_malloc(256 * 1024);
    Req r = { 0 };

    nfs_world_open_ready(w, "connections=3");
    memset(buf, 0xaa, 256 * 1024);
    lose_answer(w, &r, 4096, 4096, buf);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 1);
    wait_back(w, &r, 0);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 1);
    g_assert_cmpuint(d->replays, ==, 1);
    g_assert_cmpmem(d->disk + 4096, 4096, buf, 4096);
    /* And all over again, in two parts. */
    lose_answer(w, &r, 0, 256 * 1024, buf);
    wait_back(w, &r, 0);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 3);
    g_assert_cmpuint(d->replays, ==, 3);
    /* Once it is answered, the same write is another call. */
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 4096, buf), ==, 0);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 4);
    nfs_world_free(w);
}

/* A newer write there, or a stable one: not the call that was lost. */
static void test_not_the_same_call(void)
{
    static const struct {
        unsigned flags;
        uint8_t byte;
        uint64_t offset;
        uint32_t len;
    } cases[] = {
        { 0, 0xbb, 4096, 4096 },
        { SN_IO_FUA, 0xaa, 4096, 4096 },
        { 0, 0xaa, 4096, 512 },
        { 0, 0xaa, 512, 4096 },
    };
    uint8_t buf[4096], other[4096];

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = nfs_world_new(21);
        NfsDouble *d = w->nfs;
        Req r = { 0 };

        nfs_world_open_ready(w, "connections=3");
        memset(buf, 0xaa, sizeof(buf));
        lose_answer(w, &r, 4096, 4096, buf);
        g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
        req_cancel(&r);
        memset(other, cases[i].byte, sizeof(other));
        g_assert_cmpint(req_run(w, SN_IO_WRITE, cases[i].flags, cases[i].offset,
                                cases[i].len, other), ==, 0);
        /* The server was asked whether it is through with the lost one. */
        g_assert_cmpuint(d->replays, ==, 1);
        g_assert_cmpmem(d->disk + cases[i].offset, cases[i].len, other,
                        cases[i].len);
        /* And that was all about it: this writes. */
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 4096, buf), ==, 0);
        g_assert_cmpuint(d->replays, ==, 1);
        g_assert_cmpmem(d->disk + 4096, 4096, buf, 4096);
        nfs_world_free(w);
    }
}

/* A write that was cancelled, and then its connection was lost. */
static void test_lost_orphan(void)
{
    World *w = nfs_world_new(41);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[4096];
    Req r = { 0 };

    nfs_world_open_ready(w, "connections=3");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    d->hold = true;
    submit_write(w, &r, 0, 4096, a);
    req_cancel(&r);
    memory_net_end_all(w->net, -ECONNRESET);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    /* What is not there does not wait, */
    submit_write(w, &r, 0, 0, b);
    g_assert_cmpuint(d->held.length, ==, 1);
    nfs_world_release_and_hold(w);
    check_done(&r, 0);
    /* what is there waits for the old one. */
    submit_write(w, &r, 0, 2048, b);
    nfs_world_release_and_hold(w);
    g_assert_true(r.busy);
    g_assert_cmpmem(d->disk + 4096, 4096, a, 4096);
    nfs_double_release(d);
    world_settle(w);
    check_done(&r, 0);
    g_assert_cmpmem(d->disk + 2048, 4096, b, 4096);
    nfs_world_free(w);
}

/* Nobody is asked about it for ever, with keep-alive or without. */
static void check_lost_is_forgotten(const char *params)
{
    World *w = nfs_world_new(42);
    NfsDouble *d = w->nfs;
    uint8_t a[4096] = { 0xaa }, b[4096] = { 0xbb };
    Req r = { 0 };

    nfs_world_open_ready(w, params);
    lose_answer(w, &r, 0, 4096, a);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    req_cancel(&r);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    test_loop_advance(w->loop, 6 * SN_NS_PER_S);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, b), ==, 0);
    g_assert_cmpuint(d->replays, ==, 0);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 2);
    nfs_world_free(w);
}

static void test_lost_is_forgotten(void)
{
    check_lost_is_forgotten("keep-alive-tmo=5");
    check_lost_is_forgotten("keep-alive-tmo=0");
}

/*
 * A server with a new verifier that still remembers its answers: what is
 * written again first must not stay where the lost write was.
 */
static void test_rewrite_before_same_call(void)
{
    World *w = nfs_world_new(22);
    NfsDouble *d = w->nfs;
    uint8_t a[4096], b[4096];
    Req r = { 0 };

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, sizeof(a));
    memset(b, 0xbb, sizeof(b));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, a), ==, 0);
    lose_answer(w, &r, 0, 4096, b);
    d->verf++;
    wait_back(w, &r, 0);
    g_assert_cmpmem(d->disk, 4096, b, 4096);
    g_assert_cmpuint(d->replays, ==, 0);
    nfs_world_free(w);
}

/* When nobody answers, a connection comes from elsewhere once in a while. */
static void test_other_port(void)
{
    World *w = nfs_world_new(23);
    NfsDouble *d = w->nfs;

    world_open_url(w, "nfs://server:2049/disk.img?handle=726f6f746964&"
                   "connections=1&reconnect-delay=1");
    world_wait_ready(w);
    g_assert_cmpuint(d->from_anywhere, ==, 1);
    d->silent = true;
    nfs_double_crash(d);
    while (d->connections < 10) {
        test_loop_advance(w->loop, SN_NS_PER_S);
    }
    g_assert_cmpuint(d->from_anywhere, ==, 3);
    nfs_world_free(w);
}

static void test_another_file(void)
{
    World *w = nfs_world_new(15);
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
    w->nfs->fileid++;
    w->nfs->calls[NFS_WRITE] = 0;
    nfs_double_crash(w->nfs);
    world_settle(w);
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol), "another file"));
    g_assert_cmpuint(w->nfs->calls[NFS_WRITE], ==, 0);
    w->nfs->fileid--;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    g_assert_cmpuint(w->nfs->stable[0], ==, 1);
    nfs_world_free(w);
}

/* With the number of the old one, as many file systems do it. */
static void test_replaced_file(void)
{
    World *w = nfs_world_new(37);
    NfsDouble *d = w->nfs;
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "keep-alive-tmo=3");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
    d->generation = 1;
    memset(d->disk, 0, NFS_DOUBLE_SIZE);
    test_loop_advance(w->loop, 10 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "replaced by another file"));
    nfs_double_crash(d);
    test_loop_advance(w->loop, 10 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_LOST);
    g_assert_cmpuint(d->disk[0], ==, 0);
    /* Or it was only not exported. */
    d->generation = 0;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    g_assert_cmpuint(d->stable[0], ==, 1);
    nfs_world_free(w);
}

/* One that could not be used is none yet: its successor may be better. */
static void test_replaced_before_ready(void)
{
    World *w = nfs_world_new(38);

    w->nfs->size = 0;
    nfs_world_open(w, "");
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
    w->nfs->size = NFS_DOUBLE_SIZE;
    w->nfs->fileid++;
    w->nfs->generation = 1;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    nfs_world_free(w);
}

/* Once the file is known, neither MOUNT nor a name is needed. */
static void test_reconnect_without_mount(void)
{
    World *w = nfs_world_new(39);
    NfsDouble *d = w->nfs;
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
    d->no_mount = true;
    d->mounts = d->calls[NFS_LOOKUP] = 0;
    nfs_world_restart(w);
    g_assert_cmpuint(d->stable[0], ==, 1);
    g_assert_cmpuint(d->mounts, ==, 0);
    g_assert_cmpuint(d->calls[NFS_LOOKUP], ==, 0);
    nfs_world_free(w);
}

static void test_silence(void)
{
    World *w = nfs_world_new(16);

    nfs_world_open_ready(w, "keep-alive-tmo=3");
    w->nfs->silent = true;
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 7));
    /* Each step of coming back has its time. */
    test_loop_advance(w->loop, 20 * SN_NS_PER_S);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "no answer from server within 15 s"));
    w->nfs->silent = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 30));
    nfs_world_free(w);
}

static int64_t (*true_now)(SnLoop *loop);

static int64_t late_now(SnLoop *loop)
{
    return true_now(loop) + 600 * SN_NS_PER_S;
}

/* Time passes while the loop is stuck. */
static void advance_stuck(World *w, int64_t ns)
{
    true_now = w->loop->now;
    w->loop->now = late_now;
    test_loop_advance(w->loop, ns);
    w->loop->now = true_now;
}

/* Answers that the loop had no time to read are not missing. */
static void test_stuck_loop(void)
{
    World *w = nfs_world_new(32);
    uint8_t buf[4096] = { 1 };
    Req flush = { 0 };

    nfs_world_open_ready(w, "keep-alive-tmo=20&io-timeout=off");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, buf), ==, 0);
    w->nfs->hold = true;
    test_loop_advance(w->loop, 12 * SN_NS_PER_S);
    submit_flush(w, &flush);
    w->net->stalled = true;
    test_loop_advance(w->loop, 27 * SN_NS_PER_S);
    /* Both are due: the look at the connection, and soon the COMMIT. */
    advance_stuck(w, 4 * SN_NS_PER_S);
    w->net->stalled = false;
    nfs_double_release(w->nfs);
    test_loop_advance(w->loop, SN_NS_PER_S);
    check_done(&flush, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    nfs_world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nfs-lost/same-call", test_same_call);
    g_test_add_func("/nfs-lost/not-the-same-call", test_not_the_same_call);
    g_test_add_func("/nfs-lost/lost-orphan", test_lost_orphan);
    g_test_add_func("/nfs-lost/lost-is-forgotten", test_lost_is_forgotten);
    g_test_add_func("/nfs-lost/rewrite-before-same-call",
                    test_rewrite_before_same_call);
    g_test_add_func("/nfs-lost/other-port", test_other_port);
    g_test_add_func("/nfs-lost/another-file", test_another_file);
    g_test_add_func("/nfs-lost/replaced-file", test_replaced_file);
    g_test_add_func("/nfs-lost/replaced-before-ready",
                    test_replaced_before_ready);
    g_test_add_func("/nfs-lost/reconnect-without-mount",
                    test_reconnect_without_mount);
    g_test_add_func("/nfs-lost/silence", test_silence);
    g_test_add_func("/nfs-lost/stuck-loop", test_stuck_loop);
    return g_test_run();
}
