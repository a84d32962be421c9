/*
 * The iSCSI backend against a target double: good ones, ones that refuse, are
 * slow or gone, and ones that are wrong.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend-checks.h"
#include "iscsi-double.h"

static void test_bring_up(void)
{
    World *w = iscsi_world_new(1);
    const SnVolumeInfo *info;
    uint8_t isid[6], nguid[16];

    memset(nguid, 0x6b, 16);
    w->host = "machine";
    iscsi_world_open_ready(w, "");
    info = sn_volume_info(w->vol);
    g_assert_cmpuint(info->size, ==, ISCSI_DOUBLE_SIZE);
    g_assert_cmpuint(info->block_size, ==, 512);
    g_assert_cmpuint(info->phys_block_size, ==, 4096);
    g_assert_cmpuint(info->max_transfer, ==, 256 * 512);
    g_assert_cmpuint(info->opt_io_size, ==, 64 * 512);
    g_assert_cmpuint(info->max_discard, ==, 1024 * 512);
    g_assert_cmpuint(info->discard_granularity, ==, 8 * 512);
    g_assert_cmpuint(info->max_write_zeroes, ==, 2048 * 512);
    g_assert_true(info->write_cache && info->fua);
    g_assert_false(info->read_only || info->compare);
    g_assert_cmpstr(info->serial, ==, "SN77");
    g_assert_cmpmem(info->nguid, 16, nguid, 16);
    g_assert_nonnull(strstr(w->iscsi->keys,
                            "InitiatorName=iqn.2008-11.org.linux-kvm:machine"));
    g_assert_nonnull(strstr(w->iscsi->keys,
                            "TargetName=" ISCSI_DOUBLE_TARGET));
    /* The same session again: the target drops what it has of the old one. */
    memcpy(isid, w->iscsi->isid, 6);
    memory_net_end_all(w->net, -ECONNRESET);
    world_settle(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(w->iscsi->logins, ==, 2);
    g_assert_cmpmem(w->iscsi->isid, 6, isid, 6);
    iscsi_world_free(w);
}

/* Whatever a machine is called, its initiator has a name that targets take. */
static void test_initiator_name(void)
{
    g_autofree char *host = g_strnfill(300, 'x');
    World *w = iscsi_world_new(39);
    g_autofree char *name = NULL;

    w->host = "My VM/1";
    iscsi_world_open_ready(w, "");
    g_assert_nonnull(strstr(w->iscsi->keys,
                            "=iqn.2008-11.org.linux-kvm:My-VM-1 "));
    iscsi_world_free(w);
    w = iscsi_world_new(40);
    w->host = host;
    iscsi_world_open_ready(w, "");
    name = g_strndup(host, 223 - strlen("iqn.2008-11.org.linux-kvm:"));
    g_assert_nonnull(strstr(strstr(w->iscsi->keys, name), "x "));
    g_assert_null(strstr(w->iscsi->keys, host));
    iscsi_world_free(w);
}

/* Without a better name, the serial number tells disks apart. */
static void test_no_names(void)
{
    World *w = iscsi_world_new(41);
    uint8_t none[16] = { 0 };

    w->iscsi->no_names = true;
    iscsi_world_open_ready(w, "");
    g_assert_true(memcmp(sn_volume_info(w->vol)->uuid, none, 16));
    iscsi_world_free(w);
}

static void test_operations(void)
{
    World *w = iscsi_world_new(2);
    IscsiDouble *d = w->iscsi;
    uint8_t buf[8192], zero[8192] = { 0 };

    iscsi_world_open_ready(w, "");
    memset(buf, 0x77, sizeof(buf));
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 8192, buf), ==, 0);
    g_assert_cmpmem(d->disk + 4096, 8192, buf, 8192);
    g_assert_cmphex(d->cdb[1], ==, 0);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 512, 512, buf), ==, 0);
    g_assert_cmphex(d->cdb[1], ==, 1 << 3);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 8192, buf), ==, 0);
    g_assert_cmpmem(d->disk, 8192, buf, 8192);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    g_assert_cmpuint(d->calls[0x91], ==, 1);
    g_assert_cmpint(req_run(w, SN_IO_DISCARD, 0, 4096, 4096, NULL), ==, 0);
    g_assert_cmpmem(d->disk + 4096, 4096, zero, 4096);
    g_assert_cmpuint(d->disk[8192], ==, 0x77);
    g_assert_cmpint(req_run(w, SN_IO_WRITE_ZEROES, SN_IO_UNMAP, 8192, 4096,
                            NULL), ==, 0);
    g_assert_cmpmem(d->disk + 8192, 4096, zero, 4096);
    g_assert_cmphex(d->cdb[1], ==, 1 << 3);
    /* WRITE SAME has no FUA: a flush follows. */
    g_assert_cmpint(req_run(w, SN_IO_WRITE_ZEROES, SN_IO_FUA, 8192, 4096,
                            NULL), ==, 0);
    g_assert_cmpuint(d->calls[0x93], ==, 2);
    g_assert_cmpuint(d->calls[0x91], ==, 2);
    iscsi_world_free(w);
}

/* FUA is in a command only where the unit knows it: with a cache, a flush
 * follows; without one, every write is as good. */
static void test_no_fua(void)
{
    for (unsigned cache = 0; cache < 2; cache++) {
        World *w = iscsi_world_new(23);
        IscsiDouble *d = w->iscsi;
        uint8_t both[1024] = { 0 };

        d->no_fua = true;
        d->no_cache = !cache;
        iscsi_world_open_ready(w, "");
        g_assert_false(sn_volume_info(w->vol)->fua);
        g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 512, 512, both),
                        ==, 0);
        g_assert_cmpint(req_run(w, SN_IO_READ, SN_IO_FUA, 512, 512, both),
                        ==, 0);
        g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
        g_assert_cmpuint(d->calls[0x91] > 0, ==, cache);
        g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, SN_IO_FUA, 0, 512,
                                both), ==, cache ? -EOPNOTSUPP : 0);
        iscsi_world_free(w);
    }
}

/* Bytes of the target's longest; both halves are more than the first burst. */
#define HALF (32 * 512)

/* Blocks to compare with, and blocks to write, in one command. */
static void fill_both(uint8_t *both, uint8_t compare, uint8_t write)
{
    memset(both, compare, HALF);
    memset(both + HALF, write, HALF);
}

static void test_compare_and_write(void)
{
    World *w = iscsi_world_new(20);
    IscsiDouble *d = w->iscsi;
    uint8_t both[2 * HALF];

    iscsi_world_open_ready(w, "");
    g_assert_cmpuint(sn_volume_info(w->vol)->max_compare_and_write, ==, HALF);
    w->net->grain = 700;
    fill_both(both, 0, 0x22);
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 1024, HALF, both),
                    ==, 0);
    g_assert_cmpmem(d->disk + 1024, HALF, both + HALF, HALF);
    g_assert_cmphex(d->cdb[1], ==, 0);
    g_assert_cmpuint(d->disk[1024 + HALF], ==, 0);
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 1024, HALF, both),
                    ==, -EILSEQ);
    fill_both(both, 0x22, 0x33);
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, SN_IO_FUA, 1024, HALF,
                            both), ==, 0);
    g_assert_cmphex(d->cdb[1], ==, 1 << 3);
    g_assert_cmpuint(d->disk[1024], ==, 0x33);
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF + 512,
                            (uint8_t[2 * HALF + 1024]){ 0 }), ==, -EINVAL);
    iscsi_world_free(w);
}

/* Carried out or not: nobody knows, so it is not sent again. */
static void test_compare_and_write_once(void)
{
    World *w = iscsi_world_new(21);
    IscsiDouble *d = w->iscsi;
    uint8_t both[2 * HALF];
    Req r = { 0 };

    iscsi_world_open_ready(w, "");
    fill_both(both, 0, 0x22);
    d->hold = true;
    req_submit(w, &r, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF, both, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    memory_net_end_all(w->net, -ECONNRESET);
    world_settle(w);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, -ECONNRESET);
    req_clear(&r);
    d->hold = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
    g_assert_cmpuint(d->calls[0x89], ==, 0);
    /* The same when the target has aborted it; but not begun is not done. */
    d->fail_op = 0x89;
    d->fail_status = 2;
    d->key = 0xb;
    d->fail_count = 1;
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF, both), ==,
                    -ECONNRESET);
    d->fail_status = 0x40;      /* TASK ABORTED */
    d->fail_count = 1;
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF, both), ==,
                    -ECONNRESET);
    d->attention = 0x2900;
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF, both), ==,
                    0);
    g_assert_cmpuint(d->disk[0], ==, 0x22);
    /* Cancelled: its memory is freed at once, the command goes on. */
    d->hold = true;
    fill_both(both, 0x22, 0x33);
    req_submit(w, &r, SN_IO_COMPARE_AND_WRITE, 0, 0, HALF, both, w->rand);
    sn_volume_kick(w->vol);
    req_cancel(&r);
    world_settle(w);
    iscsi_double_release(d);
    world_settle(w);
    g_assert_cmpuint(d->disk[0], ==, 0x33);
    iscsi_world_free(w);
}

/* One that announces it and does not have it is taken at its second word. */
static void test_no_compare_and_write(void)
{
    World *w = iscsi_world_new(22);
    IscsiDouble *d = w->iscsi;
    uint8_t both[1024] = { 0 };

    iscsi_world_open_ready(w, "");
    d->fail_op = 0x89;
    d->fail_status = 2;
    d->key = 5;
    d->ascq = 0x2000;
    d->fail_count = 1;
    g_assert_cmpint(req_run(w, SN_IO_COMPARE_AND_WRITE, 0, 0, 512, both), ==,
                    -EOPNOTSUPP);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 1);
    g_assert_cmpuint(sn_volume_info(w->vol)->max_compare_and_write, ==, 0);
    memory_net_end_all(w->net, -ECONNRESET);
    world_settle(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(sn_volume_info(w->vol)->max_compare_and_write, ==, 0);
    iscsi_world_free(w);
}

/* Larger than the first burst: what follows is asked for. */
static void test_large(void)
{
    World *w = iscsi_world_new(3);
    g_autofree uint8_t *buf = g_malloc(512 * 1024);
    g_autofree uint8_t *back = g_malloc(512 * 1024);

    iscsi_world_open_ready(w, "");
    for (unsigned i = 0; i < 512 * 1024; i++) {
        buf[i] = i * 11 + (i >> 9);
    }
    w->net->grain = 1000;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512 * 1024, buf), ==, 0);
    g_assert_cmpmem(w->iscsi->disk, 512 * 1024, buf, 512 * 1024);
    g_assert_cmpuint(w->iscsi->data_outs, >, 4);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512 * 1024, back), ==, 0);
    g_assert_cmpmem(back, 512 * 1024, buf, 512 * 1024);
    iscsi_world_free(w);
}

static void test_statuses(void)
{
    static const struct {
        unsigned op, status;
        uint8_t key;
        uint16_t ascq;
        SnIoOp io;
        int ret;
        uint8_t sense_type;
        unsigned sent;          /* so often; 0: does not matter */
    } cases[] = {
        { 0x88, 0x08, 0, 0, SN_IO_READ, 0 },            /* BUSY: again */
        { 0x8a, 0x28, 0, 0, SN_IO_WRITE, 0 },           /* TASK SET FULL */
        { 0x8a, 0x18, 0, 0, SN_IO_WRITE, -EBADE },      /* reserved */
        { 0x88, 0x02, 3, 0x1100, SN_IO_READ, -EIO },    /* medium error */
        { 0x8a, 0x02, 7, 0x2700, SN_IO_WRITE, -EROFS }, /* write protected */
        { 0x8a, 0x02, 7, 0x2707, SN_IO_WRITE, -ENOSPC },
        { 0x88, 0x02, 5, 0x2100, SN_IO_READ, -EINVAL }, /* out of range */
        { 0x91, 0x02, 5, 0x2000, SN_IO_FLUSH, -EOPNOTSUPP },
        { 0x88, 0x02, 2, 0x0401, SN_IO_READ, 0 },       /* becoming ready */
        { 0x88, 0x02, 2, 0x0402, SN_IO_READ, -EIO },    /* not started */
        { 0x88, 0x02, 2, 0x3a00, SN_IO_READ, -EIO },    /* no medium */
        { 0x88, 0x02, 6, 0x2900, SN_IO_READ, 0 },       /* after a reset */
        { 0x88, 0x02, 0xb, 0x0000, SN_IO_READ, 0 },     /* aborted: again */
        { 0x8a, 0x02, 1, 0x0c00, SN_IO_WRITE, 0 },      /* recovered */
        { 0x88, 0x02, 1, 0x1700, SN_IO_READ, -EIO },    /* but no data */
        { 0x88, 0x00, 0, 0, SN_IO_READ, -EIO },
        /* Sense data with descriptors, deferred, and of no known format. */
        { 0x8a, 0x02, 7, 0x2707, SN_IO_WRITE, -ENOSPC, 0x72 },
        { 0x8a, 0x02, 0, 0, SN_IO_WRITE, 0, 0x72, 1 },
        { 0x8a, 0x02, 1, 0x0c00, SN_IO_WRITE, 0, 0x71, 2 },
        { 0x8a, 0x02, 3, 0x0c00, SN_IO_WRITE, 0, 0x73, 2 },
        { 0x8a, 0x02, 0, 0, SN_IO_WRITE, 0, 0x7f, 2 },
    };
    uint8_t buf[512] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = iscsi_world_new(4);
        bool flush = cases[i].io == SN_IO_FLUSH;

        iscsi_world_open_ready(w, "");
        w->iscsi->fail_op = cases[i].op;
        w->iscsi->fail_status = cases[i].status;
        w->iscsi->key = cases[i].key;
        w->iscsi->ascq = cases[i].ascq;
        w->iscsi->sense_type = cases[i].sense_type;
        w->iscsi->fail_count = 1;
        g_assert_cmpint(req_run(w, cases[i].io, 0, 0, flush ? 0 : 512,
                                flush ? NULL : buf), ==, cases[i].ret);
        g_assert_cmpuint(w->iscsi->fail_count, ==, 0);
        if (cases[i].sent) {
            g_assert_cmpuint(w->iscsi->calls[cases[i].op], ==, cases[i].sent);
        }
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        iscsi_world_free(w);
    }
}

static void test_overflow(void)
{
    World *w = iscsi_world_new(30);
    uint8_t buf[512] = { 0 };

    iscsi_world_open_ready(w, "");
    w->iscsi->overflow = true;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, -EIO);
    w->iscsi->key = 1;
    w->iscsi->fail_op = 0x8a;
    w->iscsi->fail_status = 2;
    w->iscsi->fail_count = 1;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, -EIO);
    iscsi_world_free(w);
}

static void test_resize(void)
{
    World *w = iscsi_world_new(5);
    uint8_t buf[512];

    iscsi_world_open_ready(w, "keep-alive-tmo=5");
    /* One that says nothing. */
    w->iscsi->size /= 2;
    test_loop_advance(w->loop, 6 * SN_NS_PER_S);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, ISCSI_DOUBLE_SIZE / 2);
    /* CAPACITY DATA HAS CHANGED, told to a request. */
    w->iscsi->size /= 2;
    w->iscsi->attention = 0x2a09;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
    world_settle(w);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, ISCSI_DOUBLE_SIZE / 4);
    g_assert_cmpuint(w->info_changes, ==, 2);
    iscsi_world_free(w);
}

static void test_set_up_errors(void)
{
    World *w = iscsi_world_new(6);
    const char *url = "iscsi://portal/" ISCSI_DOUBLE_TARGET "/1";

    w->iscsi->login_status = 0x0203;
    check_error(w, url, SN_VOLUME_CONNECTING,
                "the portal offers iqn.2026-11.test:other, "
                ISCSI_DOUBLE_TARGET);
    w->iscsi->login_status = 0x0202;
    check_error(w, url, SN_VOLUME_CONNECTING, "login to " ISCSI_DOUBLE_TARGET);
    w->iscsi->login_status = 0;
    w->iscsi->device_type = 0x7f;
    check_error(w, url, SN_VOLUME_CONNECTING, "has no LUN 1");
    w->iscsi->device_type = 0x05;
    check_error(w, url, SN_VOLUME_FAILED, "not a disk (device type 0x05)");
    w->iscsi->device_type = 0;
    w->iscsi->block_size = 2048;
    check_error(w, url, SN_VOLUME_CONNECTING, "not 512 or 4096");
    iscsi_world_free(w);
}

/* The portal does not answer what else it has, or hangs up after its no. */
static void test_refused(void)
{
    World *w = iscsi_world_new(33);
    const char *url = "iscsi://portal/" ISCSI_DOUBLE_TARGET "/1";

    w->iscsi->login_status = 0x0203;
    w->iscsi->close_refused = true;
    check_error(w, url, SN_VOLUME_CONNECTING,
                "Target not found(515); the portal offers "
                "iqn.2026-11.test:other, " ISCSI_DOUBLE_TARGET);
    w->iscsi->mute_discovery = true;
    iscsi_world_open(w, "");
    test_loop_advance(w->loop, 16 * SN_NS_PER_S);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol),
                            "Target not found"));
    iscsi_world_free(w);
}

static void test_redirect(void)
{
    for (unsigned closes = 0; closes < 2; closes++) {
        World *w = iscsi_world_new(7);

        w->iscsi->login_status = 0x0101;
        w->iscsi->close_refused = closes;
        w->iscsi->redirect = "10.0.0.9:3261,1";
        iscsi_world_open_ready(w, "");
        g_assert_cmpuint(w->iscsi->logins, ==, 2);
        g_assert_cmpstr(memory_stream_host(w->net->streams->data), ==,
                        "10.0.0.9");
        iscsi_world_free(w);
    }
}

static void test_bad_redirect(void)
{
    World *w = iscsi_world_new(34);

    w->iscsi->login_status = 0x0101;
    w->iscsi->redirect = "10.0.0.9\n\x1b[1m:3261,1";
    check_error(w, "iscsi://portal/" ISCSI_DOUBLE_TARGET "/1",
                SN_VOLUME_CONNECTING, "portal:3260 redirects to nowhere");
    iscsi_world_free(w);
}

static void test_urls(void)
{
    static const char *const bad[] = {
        "iscsi://", "iscsi://host", "iscsi://host/iqn.x", "iscsi://host/x/1",
        "iscsi://host/iqn.x/256", "iscsi://host/iqn.x/-1",
        "iscsi://me@host/iqn.x/1", "iscsi://host/iqn.x/1?mutual-user=a",
        "iscsi://host/iqn.x/1?header-digest=on",
        "iscsi://host/iqn.x/1?queue-depth=0",
        "iscsi://host/iqn.x/1?initiator-name=me",
        "iscsi://host/iqn.x/1?unknown=1",
    };
    World *w = iscsi_world_new(8);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        check_refused(w, bad[i], "");
    }
    iscsi_world_free(w);
}

static void test_silence(void)
{
    World *w = iscsi_world_new(9);

    iscsi_world_open_ready(w, "keep-alive-tmo=3");
    test_loop_advance(w->loop, 10 * SN_NS_PER_S);
    g_assert_cmpuint(w->iscsi->nops, ==, 3);
    w->iscsi->silent = true;
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 7));
    test_loop_advance(w->loop, 20 * SN_NS_PER_S);
    g_assert_nonnull(strstr(sn_volume_last_error(w->vol), "within 15 s"));
    w->iscsi->silent = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 30));
    iscsi_world_free(w);
}

/* It has all the commands that it takes, and is busy with them. */
static void test_busy(void)
{
    World *w = iscsi_world_new(31);
    IscsiDouble *d = w->iscsi;
    uint8_t b[512] = { 0xbb };
    Req reqs[8] = { 0 };

    d->window = 4;
    iscsi_world_open_ready(w, "keep-alive-tmo=3&io-timeout=0");
    d->hold = true;
    for (unsigned i = 0; i < 8; i++) {
        req_submit(w, &reqs[i], SN_IO_WRITE, 0, i * 512, 512, b, w->rand);
    }
    sn_volume_kick(w->vol);
    test_loop_advance(w->loop, 20 * SN_NS_PER_S);
    g_assert_cmpuint(d->held.length, ==, 4);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    iscsi_double_release(d);
    test_loop_advance(w->loop, 10 * SN_NS_PER_S);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_false(reqs[i].busy);
        req_clear(&reqs[i]);
    }
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    /* But not for ever. */
    d->hold = true;
    for (unsigned i = 0; i < 8; i++) {
        req_submit(w, &reqs[i], SN_IO_WRITE, 0, i * 512, 512, b, w->rand);
    }
    sn_volume_kick(w->vol);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 45));
    for (unsigned i = 0; i < 8; i++) {
        req_cancel(&reqs[i]);
    }
    iscsi_world_free(w);
}

/* It does not come to answer the NOP-Out, but it sends. */
static void test_slow(void)
{
    World *w = iscsi_world_new(32);

    iscsi_world_open_ready(w, "keep-alive-tmo=3");
    w->iscsi->silent = true;
    for (unsigned i = 0; i < 10; i++) {
        test_loop_advance(w->loop, 2 * SN_NS_PER_S);
        iscsi_double_tell_event(w->iscsi, 0);
        world_settle(w);
    }
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 7));
    iscsi_world_free(w);
}

/* Memory of cancelled requests is freed at once, also that of half a write. */
static void test_cancel(void)
{
    World *w = iscsi_world_new(10);
    IscsiDouble *d = w->iscsi;
    g_autofree uint8_t *big = g_malloc(64 * 1024);
    uint8_t b[512];
    Req reqs[4] = { 0 };

    iscsi_world_open_ready(w, "");
    memset(big, 0xaa, 64 * 1024);
    memset(b, 0xbb, 512);
    d->hold = true;
    req_submit(w, &reqs[0], SN_IO_WRITE, 0, 0, 64 * 1024, big, w->rand);
    req_submit(w, &reqs[1], SN_IO_READ, 0, 1 << 20, 4096, NULL, w->rand);
    req_submit(w, &reqs[2], SN_IO_FLUSH, 0, 0, 0, NULL, w->rand);
    sn_volume_kick(w->vol);
    /* Part of the data is on its way. */
    w->net->grain = 700;
    test_loop_advance(w->loop, 0);
    for (unsigned i = 0; i < 3; i++) {
        req_cancel(&reqs[i]);
    }
    req_submit(w, &reqs[3], SN_IO_WRITE, 0, 0, 512, b, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_true(reqs[3].busy);
    iscsi_double_release(d);
    test_loop_advance(w->loop, SN_NS_PER_S);
    g_assert_false(reqs[3].busy);
    g_assert_cmpint(reqs[3].ret, ==, 0);
    g_assert_cmpmem(d->disk, 512, b, 512);
    g_assert_cmpuint(d->disk[512], ==, 0xaa);
    req_clear(&reqs[3]);
    iscsi_world_free(w);
}

static void release(World *w)
{
    iscsi_double_release(w->iscsi);
}

static void lose(World *w)
{
    memory_net_end_all(w->net, -ECONNRESET);
}

/* In a small window. */
static void test_many(void)
{
    World *w = iscsi_world_new(11);

    w->iscsi->window = 16;
    iscsi_world_open_ready(w, "");
    check_many(w, &(ManySide){ &w->iscsi->hold, release, lose,
                               w->iscsi->disk });
    iscsi_world_free(w);
}

/* ---------------------------------------------------------- wrong answers */

static void unknown_opcode(GByteArray *pdu)
{
    pdu->data[0] = 0x3f;
}

static void huge_data(GByteArray *pdu)
{
    pdu->data[5] = 0xff;
}

static void other_tag(GByteArray *pdu)
{
    pdu->data[16] ^= 0x55;
}

static void far_offset(GByteArray *pdu)
{
    pdu->data[40] = 0x7f;
}

static void test_wrong_answers(void)
{
    static void (*const ways[])(GByteArray *) = {
        unknown_opcode, huge_data, other_tag, far_offset,
    };
    uint8_t buf[512];

    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        World *w = iscsi_world_new(12);
        int ret;

        iscsi_world_open_ready(w, "io-timeout=5&keep-alive-tmo=2");
        w->net->mangle = ways[i];
        ret = req_run(w, SN_IO_READ, 0, 0, 512, buf);
        g_assert_true(ret == 0 || ret == -EIO);
        g_assert_null(w->net->mangle);
        g_assert_cmpint(sn_volume_state(w->vol), !=, SN_VOLUME_FAILED);
        iscsi_world_free(w);
    }
}

static GRand *noise;

static void flip_some(GByteArray *pdu)
{
    flip_bits(pdu, 0, noise);
}

/* Whatever comes while a session begins, it ends in a message or works. */
static void test_noise(void)
{
    noise = g_rand_new_with_seed(99);
    for (unsigned i = 0; i < 300; i++) {
        World *w = iscsi_world_new(i);

        w->net->mangle = flip_some;
        w->net->mangle_skip = g_rand_int_range(noise, 0, 30);
        iscsi_world_open(w, "io-timeout=5");
        test_loop_advance(w->loop, 20 * SN_NS_PER_S);
        iscsi_world_free(w);
    }
    g_rand_free(noise);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iscsi/bring-up", test_bring_up);
    g_test_add_func("/iscsi/initiator-name", test_initiator_name);
    g_test_add_func("/iscsi/no-names", test_no_names);
    g_test_add_func("/iscsi/operations", test_operations);
    g_test_add_func("/iscsi/no-fua", test_no_fua);
    g_test_add_func("/iscsi/compare-and-write", test_compare_and_write);
    g_test_add_func("/iscsi/compare-and-write-once",
                    test_compare_and_write_once);
    g_test_add_func("/iscsi/no-compare-and-write", test_no_compare_and_write);
    g_test_add_func("/iscsi/large", test_large);
    g_test_add_func("/iscsi/statuses", test_statuses);
    g_test_add_func("/iscsi/overflow", test_overflow);
    g_test_add_func("/iscsi/resize", test_resize);
    g_test_add_func("/iscsi/set-up-errors", test_set_up_errors);
    g_test_add_func("/iscsi/refused", test_refused);
    g_test_add_func("/iscsi/redirect", test_redirect);
    g_test_add_func("/iscsi/bad-redirect", test_bad_redirect);
    g_test_add_func("/iscsi/urls", test_urls);
    g_test_add_func("/iscsi/silence", test_silence);
    g_test_add_func("/iscsi/busy", test_busy);
    g_test_add_func("/iscsi/slow", test_slow);
    g_test_add_func("/iscsi/cancel", test_cancel);
    g_test_add_func("/iscsi/many", test_many);
    g_test_add_func("/iscsi/wrong-answers", test_wrong_answers);
    g_test_add_func("/iscsi/noise", test_noise);
    return g_test_run();
}
