/*
 * The NFS backend against a server double: setting up, I/O, and answers that
 * refuse, put off, or are wrong.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend-checks.h"
#include "nfs-world.h"

static void test_bring_up(void)
{
    World *w = nfs_world_new(1);
    const SnVolumeInfo *info;

    nfs_world_open_ready(w, "uid=12&gid=34&connections=3");
    info = sn_volume_info(w->vol);
    g_assert_cmpuint(info->size, ==, NFS_DOUBLE_SIZE);
    g_assert_cmpuint(info->block_size, ==, 512);
    g_assert_cmpuint(info->max_transfer, ==, 128 * 1024);
    g_assert_true(info->write_cache && info->fua);
    g_assert_false(info->read_only);
    g_assert_cmpuint(info->max_discard, ==, 0);
    g_assert_cmpuint(info->queues, ==, 3);
    /* /export/images is refused, then /export is mounted. */
    g_assert_cmpuint(w->nfs->mounts, ==, 2);
    g_assert_cmpuint(w->nfs->calls[NFS_LOOKUP], ==, 2);
    g_assert_cmpuint(w->nfs->last_uid, ==, 12);
    g_assert_cmpuint(w->nfs->last_gid, ==, 34);
    /* Servers trust a user's id only from below port 1024. */
    g_assert_cmphex(w->nfs->last_flags, ==, SN_NET_RESERVED_PORT);
    nfs_world_free(w);
}

static void test_ports_and_handle(void)
{
    World *w = nfs_world_new(2);

    w->nfs->no_mapper = true;
    world_open_url(w, "nfs://server:2049/export/images/disk.img"
                   "?mountport=20048&connections=1");
    world_wait_ready(w);
    g_assert_cmpuint(w->nfs->connections, ==, 2);
    sn_volume_close(w->vol);
    /* A handle needs neither MOUNT nor LOOKUP. */
    w->nfs->mounts = 0;
    world_open_url(w, "nfs://server:2049/any/name?handle=726f6f746964");
    world_wait_ready(w);
    g_assert_cmpuint(w->nfs->mounts, ==, 0);
    g_assert_cmpuint(w->nfs->calls[NFS_LOOKUP], ==, 2);
    nfs_world_free(w);
}

static void test_operations(void)
{
    World *w = nfs_world_new(3);
    NfsDouble *d = w->nfs;
    uint8_t buf[8192];

    nfs_world_open_ready(w, "");
    memset(buf, 0x77, sizeof(buf));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 8192, buf), ==, 0);
    g_assert_cmpuint(d->last_stable, ==, 0);
    g_assert_cmpmem(d->disk + 4096, 8192, buf, 8192);
    g_assert_cmpuint(d->stable[4096], ==, 0);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    g_assert_cmpmem(d->stable + 4096, 8192, buf, 8192);
    memset(buf, 0x66, 512);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 512, 512, buf), ==, 0);
    g_assert_cmpuint(d->last_stable, ==, 2);
    g_assert_cmpmem(d->stable + 512, 512, buf, 512);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 8192, buf), ==, 0);
    g_assert_cmpmem(buf, 8192, d->disk, 8192);
    nfs_world_free(w);
}

/* READ and WRITE that do less than was asked for go on. */
static void test_short(void)
{
    World *w = nfs_world_new(4);
    uint8_t buf[4096];

    nfs_world_open_ready(w, "");
    w->nfs->short_bytes = 1000;
    memset(buf, 0x11, sizeof(buf));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 4096, buf), ==, 0);
    g_assert_cmpmem(w->nfs->stable, 4096, buf, 4096);
    memset(buf, 0, sizeof(buf));
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, buf), ==, 0);
    g_assert_cmpmem(w->nfs->disk, 4096, buf, 4096);
    g_assert_cmpuint(w->nfs->calls[NFS_READ], ==, 5);
    nfs_world_free(w);
}

/* A server that puts a request off has answered: its path is not given up. */
static void test_put_off_for_long(void)
{
    World *w = nfs_world_new(61);
    NfsDouble *d = w->nfs;
    uint8_t a[4096] = { 0xaa };
    Req r = { 0 };

    nfs_world_open_ready(w, "io-timeout=2");
    nfs_double_fail(d, NFS_WRITE, 20, NFS_JUKEBOX);
    submit_write(w, &r, 0, 0, a);
    test_loop_advance(w->loop, 30 * SN_NS_PER_S);
    check_done(&r, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

static void test_statuses(void)
{
    static const struct {
        unsigned proc, status;
        SnIoOp op;
        int ret;
    } cases[] = {
        { NFS_WRITE, 28, SN_IO_WRITE, -ENOSPC },        /* NOSPC */
        { NFS_WRITE, 69, SN_IO_WRITE, -ENOSPC },        /* DQUOT */
        { NFS_WRITE, 27, SN_IO_WRITE, -ENOSPC },        /* FBIG */
        { NFS_WRITE, 30, SN_IO_WRITE, -EROFS },         /* ROFS */
        { NFS_WRITE, 13, SN_IO_WRITE, -EROFS },         /* ACCES */
        { NFS_WRITE, 5, SN_IO_WRITE, -EIO },            /* IO */
        { NFS_READ, 13, SN_IO_READ, -EIO },
        { NFS_READ, 5, SN_IO_READ, -EIO },
        { NFS_COMMIT, 28, SN_IO_FLUSH, -ENOSPC },
        { NFS_READ, 10008, SN_IO_READ, 0 },             /* JUKEBOX */
        { NFS_WRITE, 10008, SN_IO_WRITE, 0 },
        { NFS_COMMIT, 10008, SN_IO_FLUSH, 0 },
        { NFS_READ, 70, SN_IO_READ, 0 },                /* STALE: is tried */
        { NFS_WRITE, 70, SN_IO_WRITE, 0 },              /* anew */
        { NFS_COMMIT, 70, SN_IO_FLUSH, 0 },
    };
    uint8_t buf[512] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = nfs_world_new(10);
        bool flush = cases[i].op == SN_IO_FLUSH;

        nfs_world_open_ready(w, "");
        nfs_double_fail(w->nfs, cases[i].proc, 1, cases[i].status);
        g_assert_cmpint(req_run(w, cases[i].op, 0, 0, flush ? 0 : 512,
                                flush ? NULL : buf), ==, cases[i].ret);
        g_assert_cmpuint(w->nfs->fail_count, ==, 0);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==,
                         cases[i].status == NFS_STALE);
        nfs_world_free(w);
    }
}

static void test_set_up_errors(void)
{
    World *w = nfs_world_new(11);
    const char *url = "nfs://server/export/images/disk.img";

    check_error(w, "nfs://server/elsewhere/disk.img", SN_VOLUME_CONNECTING,
                "MNT of /elsewhere is refused (MNT3ERR_ACCES); server exports "
                "/export, /bad\\nname");
    check_error(w, "nfs://server/export/images/other.img", SN_VOLUME_CONNECTING,
                "LOOKUP of /export/images/other.img: NFS3ERR_NOENT");
    w->nfs->type = 2;
    check_error(w, url, SN_VOLUME_CONNECTING, "not a regular file");
    w->nfs->type = 1;
    w->nfs->access = 0;
    check_error(w, url, SN_VOLUME_CONNECTING,
                "must not be read by uid 0, gid 0");
    w->nfs->access = 0x3f;
    w->nfs->size = 100;
    check_error(w, url, SN_VOLUME_CONNECTING, "has no 512 bytes");
    w->nfs->size = NFS_DOUBLE_SIZE;
    w->nfs->max = 256;
    check_error(w, url, SN_VOLUME_CONNECTING, "takes 256 bytes at most");
    w->nfs->max = 4096;
    w->nfs->no_mapper = true;
    check_error(w, url, SN_VOLUME_CONNECTING,
                "connecting to the MOUNT service: Connection refused");
    nfs_world_free(w);
}

static void test_urls(void)
{
    static const char *const bad[] = {
        "nfs:///export/disk.img", "nfs://server", "nfs://server/",
        "nfs://me@server/a/b", "nfs://server/a/../b", "nfs://server/a/./b",
        "nfs://server/a?handle=", "nfs://server/a?handle=1",
        "nfs://server/a?handle=zz", "nfs://server/a?uid=-1",
        "nfs://server/a?connections=0", "nfs://server/a?connections=17",
        "nfs://server/a?block-size=1024", "nfs://server/a?size=1000",
        "nfs://server/a?uncommitted=1K", "nfs://server/a?mountport=0",
        "nfs://server/a?unknown=1", "nfs://server/a?queue-depth=0",
    };
    World *w = nfs_world_new(12);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        check_refused(w, bad[i], "");
    }
    nfs_world_free(w);
}

static void test_read_only_and_sizes(void)
{
    World *w = nfs_world_new(13);

    w->nfs->access = 1;
    w->nfs->size = 1000;        /* and half a block */
    nfs_world_open_ready(w, "");
    g_assert_true(sn_volume_info(w->vol)->read_only);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, 512);
    g_clear_pointer(&w->vol, sn_volume_close);
    world_settle(w);
    nfs_world_open_ready(w, "size=1M");
    g_assert_cmpuint(w->nfs->calls[NFS_SETATTR], ==, 1);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, 1 << 20);
    nfs_world_free(w);
}

/* The rights change while the volume is in use. */
static void test_read_only_and_back(void)
{
    World *w = nfs_world_new(40);
    NfsDouble *d = w->nfs;
    uint8_t buf[512] = { 1 };

    nfs_world_open_ready(w, "keep-alive-tmo=5");
    /* A write finds it out at once, */
    d->access = 1;
    nfs_double_fail(d, NFS_WRITE, 1, NFS_ROFS);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, -EROFS);
    world_settle(w);
    g_assert_true(sn_volume_info(w->vol)->read_only);
    g_assert_cmpuint(w->info_changes, ==, 1);
    d->access = 0x3f;
    test_loop_advance(w->loop, 6 * SN_NS_PER_S);
    g_assert_false(sn_volume_info(w->vol)->read_only);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
    /* and without one it is found out, too. */
    d->access = 1;
    test_loop_advance(w->loop, 6 * SN_NS_PER_S);
    g_assert_true(sn_volume_info(w->vol)->read_only);
    g_assert_cmpuint(w->info_changes, ==, 3);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

/* size= never makes a file shorter, whoever else makes it longer meanwhile. */
static void test_size_races(void)
{
    World *w = nfs_world_new(36);

    w->nfs->size = 1000;
    w->nfs->grows_to = 3 << 20;
    nfs_world_open_ready(w, "size=1M");
    g_assert_cmpuint(w->nfs->calls[NFS_SETATTR], ==, 1);
    g_assert_cmpuint(w->nfs->size, ==, 3 << 20);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, 3 << 20);
    nfs_world_free(w);
}

static void test_resize_and_truncation(void)
{
    World *w = nfs_world_new(14);
    uint8_t buf[4096];

    nfs_world_open_ready(w, "keep-alive-tmo=5");
    w->nfs->size = NFS_DOUBLE_SIZE / 2;
    test_loop_advance(w->loop, 6 * SN_NS_PER_S);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, NFS_DOUBLE_SIZE / 2);
    g_assert_cmpuint(w->info_changes, ==, 1);
    /* A read that meets the end finds it out at once. */
    w->nfs->size = 2048;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, buf), ==, -EIO);
    world_settle(w);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, 2048);
    nfs_world_free(w);
}

/* Memory of cancelled requests is freed at once; overlapping ones wait. */
static void test_cancel(void)
{
    World *w = nfs_world_new(17);
    NfsDouble *d = w->nfs;
    uint8_t a[512], b[512];
    Req reqs[4] = { 0 };

    nfs_world_open_ready(w, "");
    memset(a, 0xaa, 512);
    memset(b, 0xbb, 512);
    d->hold = true;
    req_submit(w, &reqs[0], SN_IO_WRITE, 0, 0, 512, a, w->rand);
    req_submit(w, &reqs[1], SN_IO_READ, 0, 4096, 512, NULL, w->rand);
    req_submit(w, &reqs[2], SN_IO_FLUSH, 0, 0, 0, NULL, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    for (unsigned i = 0; i < 3; i++) {
        req_cancel(&reqs[i]);
    }
    req_submit(w, &reqs[3], SN_IO_WRITE, 0, 0, 512, b, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_true(reqs[3].busy);
    g_assert_cmpuint(d->held.length, ==, 3);
    nfs_double_release(d);
    test_loop_advance(w->loop, SN_NS_PER_S);
    check_done(&reqs[3], 0);
    g_assert_cmpmem(d->disk, 512, b, 512);
    nfs_world_free(w);
}

/* Of what is not with the server: a write put off, a flush that has no turn. */
static void test_cancel_waiting(void)
{
    World *w = nfs_world_new(44);
    NfsDouble *d = w->nfs;
    uint8_t buf[4096] = { 1 };
    Req reqs[3] = { 0 };

    nfs_world_open_ready(w, "");
    nfs_double_fail(d, NFS_WRITE, 1, NFS_JUKEBOX);
    submit_write(w, &reqs[0], 0, 0, buf);
    req_cancel(&reqs[0]);
    d->hold = true;
    submit_flush(w, &reqs[1]);
    submit_flush(w, &reqs[2]);
    req_cancel(&reqs[2]);
    nfs_double_release(d);
    test_loop_advance(w->loop, 2 * SN_NS_PER_S);
    check_done(&reqs[1], 0);
    g_assert_cmpuint(d->calls[NFS_WRITE], ==, 1);
    g_assert_cmpuint(d->calls[NFS_COMMIT], ==, 1);
    nfs_world_free(w);
}

static void release(World *w)
{
    nfs_double_release(w->nfs);
}

static void lose(World *w)
{
    nfs_double_crash(w->nfs);
}

/* On several connections. */
static void test_many(void)
{
    World *w = nfs_world_new(18);

    nfs_world_open_ready(w, "connections=4");
    check_many(w, &(ManySide){ &w->nfs->hold, release, lose, w->nfs->disk });
    nfs_world_free(w);
}

/* ---------------------------------------------------------- wrong answers */

static void more_data(GByteArray *a)
{
    /* READ's count of bytes, where 512 follow: far more than there are. */
    memcpy(a->data + a->len - 512 - 4, "\0\1\0\0", 4);
}

static void cut_short(GByteArray *a)
{
    uint32_t mark;

    g_byte_array_set_size(a, 32);
    mark = GUINT32_TO_BE(0x80000000 | 28);
    memcpy(a->data, &mark, 4);
}

static void huge_mark(GByteArray *a)
{
    memset(a->data, 0xff, 4);
}

static void other_xid(GByteArray *a)
{
    a->data[4] ^= 0xff;
}

static void denied(GByteArray *a)
{
    a->data[4 + 8 + 3] = 1;     /* MSG_DENIED */
}

static void test_wrong_answers(void)
{
    static void (*const ways[])(GByteArray *) = {
        more_data, cut_short, huge_mark, other_xid, denied,
    };
    uint8_t buf[512];

    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        World *w = nfs_world_new(19);

        nfs_world_open_ready(w, "io-timeout=5");
        w->net->mangle = ways[i];
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
        g_assert_null(w->net->mangle);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        nfs_world_free(w);
    }
}

/* Of WRITE, without attributes. */
enum { WRITE_COUNT = 40, WRITE_COMMITTED = 44 };

static void took_nothing(GByteArray *a)
{
    memset(a->data + WRITE_COUNT, 0, 4);
}

static void took_more(GByteArray *a)
{
    a->data[WRITE_COUNT]++;
}

static void is_unstable(GByteArray *a)
{
    a->data[WRITE_COMMITTED + 3] = 0;
}

static void is_data_sync(GByteArray *a)
{
    a->data[WRITE_COMMITTED + 3] = 1;
}

static void is_nonsense(GByteArray *a)
{
    a->data[WRITE_COMMITTED + 3] = 3;
}

/* Answers to a WRITE that must be stable: of a request, and of a rewrite. */
static void test_wrong_writes(void)
{
    static const struct {
        void (*way)(GByteArray *);
        int ret;
        unsigned reconnects;
    } cases[] = {
        { took_nothing, -EIO, 0 },
        { took_more, 0, 1 },
        { is_unstable, -EIO, 0 },
        { is_data_sync, 0, 0 },
        { is_nonsense, 0, 1 },
    };
    uint8_t buf[512] = { 1 };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = nfs_world_new(33);

        nfs_world_open_ready(w, "");
        w->net->mangle = cases[i].way;
        g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 0, 512, buf), ==,
                        cases[i].ret);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==,
                         cases[i].reconnects);
        g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
        /* And of one that is written again: COMMIT's answer comes first. */
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, 0);
        w->nfs->verf++;
        w->net->mangle = cases[i].way;
        w->net->mangle_skip = 1;
        g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==,
                        cases[i].ret);
        g_assert_null(w->net->mangle);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==,
                         2 * cases[i].reconnects);
        nfs_world_free(w);
    }
}

static void read_nothing(GByteArray *a)
{
    uint32_t mark = GUINT32_TO_BE(0x80000000 | (a->len - 512 - 4));

    /* No end of the file, and no bytes: eof, and two lengths. */
    memset(a->data + a->len - 512 - 12, 0, 12);
    g_byte_array_set_size(a, a->len - 512);
    memcpy(a->data, &mark, 4);
}

static void test_read_nothing(void)
{
    World *w = nfs_world_new(34);
    uint8_t buf[512];

    nfs_world_open_ready(w, "");
    w->net->mangle = read_nothing;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, -EIO);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    nfs_world_free(w);
}

/* Replaces what follows the number of the call (RFC 5531 section 9). */
static void say(GByteArray *a, const uint32_t *words, unsigned n)
{
    uint32_t mark = GUINT32_TO_BE(0x80000000 | (4 + n * 4));

    g_byte_array_set_size(a, 8);
    memcpy(a->data, &mark, 4);
    for (unsigned i = 0; i < n; i++) {
        uint32_t word = GUINT32_TO_BE(words[i]);

        g_byte_array_append(a, (uint8_t *)&word, 4);
    }
}

static void other_version(GByteArray *a)
{
    /* REPLY, accepted, no verifier, PROG_MISMATCH, from 4 to 4 */
    say(a, (uint32_t[]){ 1, 0, 0, 0, 2, 4, 4 }, 7);
}

static void too_weak(GByteArray *a)
{
    /* REPLY, denied, AUTH_ERROR, AUTH_TOOWEAK */
    say(a, (uint32_t[]){ 1, 1, 1, 5 }, 4);
}

/* A server that has no NFSv3, or wants better credentials, is named so. */
static void test_refused_calls(void)
{
    World *w = nfs_world_new(35);
    const char *url = "nfs://server:2049/disk.img?handle=726f6f746964";

    w->net->mangle = other_version;
    check_error(w, url, SN_VOLUME_CONNECTING, "version mismatch");
    w->net->mangle = too_weak;
    check_error(w, url, SN_VOLUME_CONNECTING, "not accepted by the server");
    nfs_world_free(w);
}

static GRand *noise;

static void flip_some(GByteArray *a)
{
    /* Not the record mark: that would be mostly silence. */
    flip_bits(a, 4, noise);
}

/* Whatever comes while a session begins, it ends in a message or works. */
static void test_noise(void)
{
    noise = g_rand_new_with_seed(99);
    for (unsigned i = 0; i < 200; i++) {
        World *w = nfs_world_new(i);

        w->net->mangle = flip_some;
        w->net->mangle_skip = g_rand_int_range(noise, 0, 30);
        nfs_world_open(w, "io-timeout=5");
        test_loop_advance(w->loop, 20 * SN_NS_PER_S);
        g_assert_cmpint(sn_volume_state(w->vol), !=, SN_VOLUME_FAILED);
        nfs_world_free(w);
    }
    g_rand_free(noise);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nfs/bring-up", test_bring_up);
    g_test_add_func("/nfs/ports-and-handle", test_ports_and_handle);
    g_test_add_func("/nfs/operations", test_operations);
    g_test_add_func("/nfs/short", test_short);
    g_test_add_func("/nfs/put-off-for-long", test_put_off_for_long);
    g_test_add_func("/nfs/statuses", test_statuses);
    g_test_add_func("/nfs/set-up-errors", test_set_up_errors);
    g_test_add_func("/nfs/urls", test_urls);
    g_test_add_func("/nfs/read-only-and-sizes", test_read_only_and_sizes);
    g_test_add_func("/nfs/read-only-and-back", test_read_only_and_back);
    g_test_add_func("/nfs/size-races", test_size_races);
    g_test_add_func("/nfs/resize-and-truncation", test_resize_and_truncation);
    g_test_add_func("/nfs/cancel", test_cancel);
    g_test_add_func("/nfs/cancel-waiting", test_cancel_waiting);
    g_test_add_func("/nfs/many", test_many);
    g_test_add_func("/nfs/wrong-answers", test_wrong_answers);
    g_test_add_func("/nfs/wrong-writes", test_wrong_writes);
    g_test_add_func("/nfs/read-nothing", test_read_nothing);
    g_test_add_func("/nfs/refused-calls", test_refused_calls);
    g_test_add_func("/nfs/noise", test_noise);
    return g_test_run();
}
