/*
 * The NVMe/TCP initiator against a target double that does wrong, refuses,
 * fails or falls silent.
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

typedef struct FaultCase {
    NvmeFault fault;
    const char *text;           /* in the message */
    uint16_t fes;               /* of our H2CTermReq */
    SnIoOp op;
    uint32_t fei;               /* the offset of the wrong field */
} FaultCase;

static const FaultCase fault_cases[] = {
    /* ICResp, on reconnecting */
    { { 1, 0, 8, 2, 1 }, "PFV", 6, SN_IO_READ, 8 },
    { { 1, 0, 10, 1, 32 }, "CPDA", 1, SN_IO_READ, 10 },
    { { 1, 0, 12, 4, 2048 }, "MAXH2CDATA", 1, SN_IO_READ, 12 },
    { { 1, 0, 11, 1, 1 }, "DGST", 6, SN_IO_READ, 11 },
    { { 1, 0, 0, 1, 5 }, "PDU-Type", 2, SN_IO_READ, 0 },
    { { 1, 0, 4, 4, 0 }, "PLEN", 1, SN_IO_READ, 4 },
    /* CapsuleResp */
    { { 5, 0, 20, 2, 63 }, "CID", 1, SN_IO_WRITE, 20 },
    { { 5, 0, 20, 2, 65535 }, "CID", 1, SN_IO_WRITE, 20 },
    { { 5, 0, 0, 1, 11 }, "PDU-Type", 1, SN_IO_WRITE, 0 },
    { { 5, 0, 2, 1, 16 }, "HLEN", 1, SN_IO_WRITE, 2 },
    { { 5, 0, 4, 4, 0xffffffff }, "PLEN", 1, SN_IO_WRITE, 4 },
    { { 5, 0, 1, 1, 1 }, "FLAGS", 1, SN_IO_WRITE, 1 },
    /* C2HData */
    { { 7, 0, 8, 2, 9 }, "CCCID", 1, SN_IO_READ, 8 },
    { { 7, 1, 12, 4, 0 }, "DATAO", 4, SN_IO_READ, 12 },
    { { 7, 1, 12, 4, 0xfffffff0 }, "DATAO", 4, SN_IO_READ, 12 },
    { { 7, 0, 16, 4, 0 }, "DATAL", 1, SN_IO_READ, 16 },
    { { 7, 0, 16, 4, 0xffffffff }, "PLEN", 1, SN_IO_READ, 4 },
    { { 7, 0, 3, 1, 23 }, "PDO", 1, SN_IO_READ, 3 },
    { { 7, 0, 1, 1, 4 }, "CCCID", 2, SN_IO_READ, 8 },
    /* R2T */
    { { 9, 0, 8, 2, 5 }, "CCCID", 1, SN_IO_WRITE, 8 },
    { { 9, 0, 12, 4, 512 }, "R2TO", 4, SN_IO_WRITE, 12 },
    { { 9, 0, 16, 4, 0 }, "R2TL", 4, SN_IO_WRITE, 16 },
    { { 9, 0, 16, 4, 16385 }, "R2TL", 4, SN_IO_WRITE, 16 },
    { { 9, 0, 16, 4, 0xffffffff }, "R2TL", 4, SN_IO_WRITE, 16 },
};

/* The connection is given up, the target is told why; the request survives. */
static void run_fault(const FaultCase *c, size_t grain)
{
    World *w = world_new(1);
    g_autofree uint8_t *buf = g_malloc0(16384);

    w->d->net->grain = grain;
    w->d->c2h_max = 4096;
    world_open_ready(w, "");
    world_settle(w);
    w->d->fault = c->fault;
    if (c->fault.type == 1) {
        memory_net_end_all(w->d->net, -ECONNRESET);
        world_settle(w);
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    } else {
        g_assert_cmpint(req_run(w, c->op, 0, 4096, 16384, buf), ==, 0);
    }
    assert_error(w, c->text);
    g_assert_cmpuint(w->d->term_fes, ==, c->fes);
    /* Where the wrong field is, and the header that has it. */
    g_assert_cmpuint(w->d->term_fei, ==, c->fei);
    g_assert_cmpuint(w->d->term_len, >=, 8);
    g_assert_cmpuint(w->d->term_type, ==, c->fault.offset ? c->fault.type
                                                          : c->fault.value);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
    g_assert_cmpuint(w->d->fault.type, ==, 0);
    world_free(w);
}

static void test_malformed(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fault_cases); i++) {
        g_test_message("%s", fault_cases[i].text);
        run_fault(&fault_cases[i], SIZE_MAX);
        run_fault(&fault_cases[i], 3);
    }
}

/* Bytes without any sense, at any place: no crash, and it recovers. */
static void test_garbage(void)
{
    for (unsigned seed = 0; seed < 200; seed++) {
        World *w = world_new(seed);
        guint32 junk[64];

        world_open_ready(w, seed % 2 ? "hdgst=on" : "");
        world_settle(w);
        for (unsigned i = 0; i < G_N_ELEMENTS(junk); i++) {
            junk[i] = g_rand_int(w->d->rand);
        }
        ((uint8_t *)junk)[0] %= 12;
        nvme_double_inject(w->d, junk, sizeof(junk));
        world_settle(w);
        g_assert_cmpint(sn_volume_state(w->vol), !=, SN_VOLUME_FAILED);
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        world_free(w);
    }
}

static void test_term_req(void)
{
    static const uint8_t pdu[28] = { 3, 0, 24, 0, 28, 0, 0, 0, 5, 0, 0x34,
                                     0x12 };
    World *w = world_new(1);

    world_open_ready(w, "");
    world_settle(w);
    nvme_double_inject(w->d, pdu, sizeof(pdu));
    world_settle(w);
    assert_error(w, "the target ended the connection: data transfer limit "
                 "exceeded (FES 0x5, FEI 0x1234)");
    g_assert_cmpuint(w->d->term_fes, ==, 0);
    world_free(w);
}

static void test_header_digest(void)
{
    World *w = world_new(1);

    world_open_ready(w, "hdgst=on");
    w->d->fault = (NvmeFault){ 7, 0, 24, 1, 0x55 };
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, NULL), ==, 0);
    assert_error(w, "HDGST");
    g_assert_cmpuint(w->d->term_fes, ==, 3);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
    world_free(w);
}

/* Fails the command, and only that; it is sent again. */
static void test_data_digest(void)
{
    for (unsigned success = 0; success < 2; success++) {
        World *w = world_new(1);
        uint8_t buf[4096];

        w->d->success = success;
        w->d->c2h_max = 2048;
        memset(w->d->disk, 0x11, 4096);
        world_open_ready(w, "ddgst=on");
        w->d->fault = (NvmeFault){ 7, 0, 24 + 100, 1, 0x55 };
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, buf), ==, 0);
        g_assert_cmpmem(buf, 4096, w->d->disk, 4096);
        g_assert_cmpuint(w->d->commands[2], ==, 2);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        world_free(w);
    }
}

static void test_short_read(void)
{
    for (unsigned success = 0; success < 2; success++) {
        World *w = world_new(1);

        w->d->success = success;
        world_open_ready(w, "");
        w->d->short_read = true;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, NULL), ==, -EIO);
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, -EIO);
        w->d->short_read = false;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, NULL), ==, 0);
        world_free(w);
    }
}

/* A write that "succeeds" without its data has not written it. */
static void test_write_without_data(void)
{
    World *w = world_new(1);
    g_autofree uint8_t *buf = g_malloc0(65536);

    world_open_ready(w, "");
    w->d->skip_data = true;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 65536, buf), ==, -EIO);
    g_assert_cmpuint(w->d->commands[1], ==, 6);
    w->d->skip_data = false;
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 65536, buf), ==, 0);
    world_free(w);
}

/* One R2T at a time was agreed on: MAXR2T is 0. */
static void test_overlapping_r2ts(void)
{
    g_autofree uint8_t *buf = g_malloc0(131072);
    unsigned limit = 0;

    /*
     * Its answer takes 32 PDUs, which do not fit at once: the second R2T is
     * one too many, or comes when all data has left and is out of order.
     */
    for (unsigned seed = 0; seed < 20; seed++) {
        World *w = world_new(seed);

        world_open_ready(w, "queue-size=2");
        w->d->double_r2t = true;
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 131072, buf), ==, 0);
        if (w->d->term_fes == 5) {
            assert_error(w, "CCCID in R2T");
            limit++;
        } else {
            assert_error(w, "R2TO in R2T");
            g_assert_cmpuint(w->d->term_fes, ==, 4);
        }
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        world_free(w);
    }
    g_assert_cmpuint(limit, >, 0);
}

/* A CID is not used again while its cancelled command is not answered. */
static void test_cancelled_cids(void)
{
    World *w = world_new(1);
    Req r[4] = { 0 }, next = { 0 };

    world_open_ready(w, "queue-size=5");
    memset(w->d->disk, 0x66, 4096);
    w->d->hold = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
        req_submit(w, &r[i], SN_IO_READ, 0, 4096, 4096, NULL, w->d->rand);
    }
    sn_volume_kick(w->vol);
    world_settle(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
        req_cancel(&r[i]);
    }
    req_submit(w, &next, SN_IO_READ, 0, 0, 4096, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(w->d->commands[2], ==, 4);
    nvme_double_release(w->d);
    world_settle(w);
    g_assert_false(next.busy);
    g_assert_cmpint(next.ret, ==, 0);
    g_assert_cmpmem(next.data, 4096, w->d->disk, 4096);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    req_clear(&next);
    world_free(w);
}

static void test_long_read(void)
{
    for (unsigned pieces = 0; pieces < 2; pieces++) {
        World *w = world_new(1);

        w->d->c2h_max = pieces ? 512 : UINT32_MAX;
        world_open_ready(w, "");
        w->d->long_read = true;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 4096, NULL), ==, 0);
        assert_error(w, "DATAL");
        g_assert_cmpuint(w->d->term_fes, ==, 4);
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
        world_free(w);
    }
}

static void test_statuses(void)
{
    static const struct {
        uint16_t status;
        int err;
    } cases[] = {
        { 0x0001, -EOPNOTSUPP }, { 0x4006, -EIO }, { 0x0080, -EINVAL },
        { 0x0081, -ENOSPC }, { 0x0020, -EROFS }, { 0x0182, -EROFS },
        { 0x4280, -EIO }, { 0x4281, -EIO }, { 0x0285, -EILSEQ },
        { 0x4082, -EIO }, { 0x4302, -EIO }, { 0x001b, -EBADE },
    };
    World *w = world_new(1);

    world_open_ready(w, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        int64_t start = sn_loop_now(w->loop);

        w->d->io_status = cases[i].status;
        w->d->io_failures = 1;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==,
                        cases[i].err);
        g_assert_cmpint(sn_loop_now(w->loop), ==, start);
    }
    world_free(w);
}

/* What may pass is tried five times more, 100 ms apart (virtual time). */
static void test_retries(void)
{
    static const uint16_t transient[] = { 0x0082, 0x0021, 0x0022, 0x0006,
                                          0x0281 };

    for (unsigned i = 0; i < G_N_ELEMENTS(transient); i++) {
        World *w = world_new(1);
        Req r = { 0 };

        world_open_ready(w, "");
        w->d->io_status = transient[i];
        w->d->io_failures = 5;
        g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, (uint8_t[512]){ 7 }),
                        ==, 0);
        g_assert_cmpuint(w->d->commands[1], ==, 6);
        g_assert_cmpuint(w->d->disk[0], ==, 7);
        w->d->io_failures = 6;
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, NULL), ==, -EIO);
        g_assert_cmpuint(w->d->io_failures, ==, 0);

        /* One that waits can be cancelled, and is not lost with the path. */
        w->d->io_failures = 2;
        req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
        sn_volume_kick(w->vol);
        world_settle(w);
        req_cancel(&r);
        req_submit(w, &r, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
        sn_volume_kick(w->vol);
        world_settle(w);
        memory_net_end_all(w->d->net, 0);
        test_loop_advance(w->loop, SN_NS_PER_S);
        g_assert_false(r.busy);
        g_assert_cmpint(r.ret, ==, 0);
        req_clear(&r);
        world_free(w);
    }
}

static void test_silence(void)
{
    World *w = world_new(1);

    /* Nobody answers the connection attempt. */
    w->d->net->dead = true;
    world_open(w, "keep-alive-tmo=5");
    test_loop_advance(w->loop, 11 * SN_NS_PER_S);
    assert_error(w, "connecting took longer than 10 s");
    w->d->net->dead = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));

    /* One that answers I/O is alive, whatever its admin queue does. */
    w->d->deaf = true;
    for (unsigned i = 0; i < 20; i++) {
        uint8_t block[512];

        test_loop_advance(w->loop, SN_NS_PER_S);
        g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, sizeof(block), block),
                        ==, 0);
    }
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);

    /* One that stops to answer anything is found within 2.5 + 5 s. */
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 8));
    assert_error(w, "did not answer a Keep Alive within 5 s");
    w->d->deaf = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 15));

    /* So is one that says nothing at all. */
    w->d->net->stalled = true;
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 8));
    world_free(w);
}

static void test_never_ready(void)
{
    World *w = world_new(1);

    w->d->not_ready = UINT32_MAX;
    world_open(w, "keep-alive-tmo=0");
    test_loop_advance(w->loop, 11 * SN_NS_PER_S);
    assert_error(w, "waiting for CSTS.RDY took longer than 10 s");
    w->d->not_ready = 0;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_free(w);
}

static void test_refused(void)
{
    static const struct {
        uint16_t status;
        uint32_t dw0;
        const char *text;
    } cases[] = {
        { 0x4182, 1 << 16 | 256, "does not know the subsystem NQN" },
        { 0x4182, 1 << 16 | 512, "the host NQN" },
        { 0x4184, 0, "does not allow our host NQN" },
        { 0x0181, 0, "Controller Busy" },
        { 0x4191, 0, "authentication required" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new(1);

        w->d->connect_status = cases[i].status;
        w->d->connect_dw0 = cases[i].dw0;
        world_open(w, "");
        test_loop_advance(w->loop, SN_NS_PER_S);
        assert_error(w, cases[i].text);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
        w->d->connect_status = 0;
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
        world_free(w);
    }
}

/* One that is not there (yet) is waited for. */
static void test_absent_namespace(void)
{
    World *w = world_new(1);

    w->d->size = 0;
    world_open(w, "");
    test_loop_advance(w->loop, SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
    assert_error(w, "does not exist");
    w->d->size = WORLD_SIZE;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    world_free(w);
}

static void test_urls(void)
{
    static const struct {
        const char *url, *text;
    } cases[] = {
        { "nvme+tcp://h/vol", "nqn." },
        { "nvme+tcp:///nqn.a", "host" },
        { "nvme+tcp://u@h/nqn.a", "user" },
        { "nvme+tcp://h/nqn.a?hostnqn=me", "hostnqn" },
        { "nvme+tcp://h/nqn.a?nsid=0", "nsid" },
        { "nvme+tcp://h/nqn.a?queues=17", "queues" },
        { "nvme+tcp://h/nqn.a?queue-size=1", "queue-size" },
        { "nvme+tcp://h/nqn.a?queue-size=1025", "queue-size" },
        { "nvme+tcp://h/nqn.a?hdgst=maybe", "hdgst" },
        { "nvme+tcp://h/nqn.a?tls=on", "tls" },
    };
    World *w = world_new(1);

    for (unsigned i = 0; i <= G_N_ELEMENTS(cases); i++) {
        g_autofree char *nqn = g_strnfill(220, 'x');
        g_autofree char *longest = g_strconcat("nvme+tcp://h/nqn.", nqn, NULL);
        SnVolumeConfig config = { .id = "nic0", .net = &w->d->net->net,
                                  .loop = w->loop };
        g_autoptr(GError) err = NULL;

        config.url = i < G_N_ELEMENTS(cases) ? cases[i].url : longest;
        g_assert_null(sn_volume_open(&config, &err));
        g_assert_nonnull(err);
        g_assert_null(strchr(err->message, '\n'));
        g_assert_nonnull(strstr(err->message, i < G_N_ELEMENTS(cases) ?
                                cases[i].text : "223"));
    }
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/malformed", test_malformed);
    g_test_add_func("/nvme-tcp/garbage", test_garbage);
    g_test_add_func("/nvme-tcp/term-req", test_term_req);
    g_test_add_func("/nvme-tcp/header-digest", test_header_digest);
    g_test_add_func("/nvme-tcp/data-digest", test_data_digest);
    g_test_add_func("/nvme-tcp/short-read", test_short_read);
    g_test_add_func("/nvme-tcp/write-without-data", test_write_without_data);
    g_test_add_func("/nvme-tcp/overlapping-r2ts", test_overlapping_r2ts);
    g_test_add_func("/nvme-tcp/cancelled-cids", test_cancelled_cids);
    g_test_add_func("/nvme-tcp/long-read", test_long_read);
    g_test_add_func("/nvme-tcp/statuses", test_statuses);
    g_test_add_func("/nvme-tcp/retries", test_retries);
    g_test_add_func("/nvme-tcp/silence", test_silence);
    g_test_add_func("/nvme-tcp/never-ready", test_never_ready);
    g_test_add_func("/nvme-tcp/refused", test_refused);
    g_test_add_func("/nvme-tcp/absent-namespace", test_absent_namespace);
    g_test_add_func("/nvme-tcp/urls", test_urls);
    return g_test_run();
}
