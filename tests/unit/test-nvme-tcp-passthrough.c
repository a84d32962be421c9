/*
 * The NVMe/TCP initiator: commands that are passed on as they are, and what
 * the far side says of any request.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nvme-world.h"

#define VERIFY 0x0c
#define WRITE_UNCORRECTABLE 0x04
#define COMPARE 0x05
#define REGISTER 0x0d
#define REPORT 0x0e
#define ACQUIRE 0x11
#define RELEASE 0x15
#define VENDOR 0x80
#define IDENTIFY 0x06           /* these are admin commands */
#define SET_FEATURES 0x09
#define GET_FEATURES 0x0a
#define LBA_STATUS 0x86

#define RESV_PERSIST 0x83       /* a feature of the namespace's */

/* A request that is such a command. */
typedef struct Passed {
    Req req;
    SnNvmeCommand cmd;
} Passed;

/* Fills in a command whose every field that is not its own is wrong. */
static void pass_init(Passed *p, uint8_t opcode, uint64_t slba, uint32_t nlb)
{
    g_assert_false(p->req.busy);
    memset(&p->cmd, 0xee, sizeof(p->cmd));
    p->cmd.sqe.opcode = opcode;
    p->cmd.sqe.cdw2 = p->cmd.sqe.cdw3 = 0;
    p->cmd.sqe.cdw10 = GUINT32_TO_LE((uint32_t)slba);
    p->cmd.sqe.cdw11 = GUINT32_TO_LE((uint32_t)(slba >> 32));
    p->cmd.sqe.cdw12 = GUINT32_TO_LE(nlb - 1);
    p->cmd.admin = opcode == IDENTIFY || opcode == LBA_STATUS ||
                   opcode == SET_FEATURES || opcode == GET_FEATURES;
    p->cmd.dir = SN_NVME_NO_DATA;
}

static void pass_submit(World *w, Passed *p, unsigned flags, uint32_t len)
{
    SnNvmeDir dir = p->cmd.dir;

    /* Whatever the memory is for, it is there and can be seen to change. */
    req_prepare(&p->req, SN_IO_NVME, flags, 0, len, w->d->rand);
    if (len) {
        memset(p->req.data, dir == SN_NVME_OUT ? 0x77 : 0x5c, len);
    }
    p->req.io.nvme = &p->cmd;
    req_start(w, &p->req);
    sn_volume_kick(w->vol);
}

/* Submits without data, lets all happen that needs no time. */
static void pass_quick(World *w, Passed *p, uint8_t opcode, unsigned flags)
{
    pass_init(p, opcode, 0, 1);
    pass_submit(w, p, flags, 0);
    world_settle(w);
}

static bool is_over(void *opaque)
{
    return !((Passed *)opaque)->req.busy;
}

static void pass_wait(World *w, Passed *p)
{
    g_assert_true(test_loop_run_until(w->loop, is_over, p,
                                      10 * SN_NS_PER_S));
}

static void assert_result(const Passed *p, int ret, uint16_t status)
{
    g_assert_false(p->req.busy);
    g_assert_cmpint(p->req.ret, ==, ret);
    g_assert_cmphex(p->req.io.nvme_status, ==, status);
}

/* ------------------------------------------------------- kinds */

typedef struct Kind {
    uint8_t opcode;
    SnNvmeDir dir;
    uint32_t len;
} Kind;

static const Kind kinds[] = {
    { VERIFY }, { WRITE_UNCORRECTABLE }, { VENDOR },
    { REGISTER, SN_NVME_OUT, 16 }, { ACQUIRE, SN_NVME_OUT, 16 },
    { RELEASE, SN_NVME_OUT, 8 }, { REPORT, SN_NVME_IN, 4096 },
    { REPORT, SN_NVME_IN, 64 }, { COMPARE, SN_NVME_OUT, 8192 },
    { LBA_STATUS, SN_NVME_IN, 4096 }, { IDENTIFY, SN_NVME_IN, 4096 },
    { SET_FEATURES }, { GET_FEATURES },
};

/* Dword 10, and 11 above: blocks, unless it must be something else. */
static uint64_t slba_of(const Kind *kind)
{
    switch (kind->opcode) {
    case IDENTIFY:
        return 0;
    case SET_FEATURES:
    case GET_FEATURES:
        return RESV_PERSIST;
    default:
        return 3;
    }
}

/* The far side has the command, in it only what is ours replaced. */
static void check_passed(World *w, const Kind *kind, const Passed *p)
{
    const uint8_t *sqe = w->d->passed;

    g_assert_cmphex(sqe[0], ==, kind->opcode);
    g_assert_cmphex(sqe[1], ==, 0x40);
    g_assert_cmpmem(sqe + 8, 8, &p->cmd.sqe.cdw2, 8);
    g_assert_cmpmem(sqe + 40, 24, &p->cmd.sqe.cdw10, 24);
    g_assert_cmpuint(w->d->passed_qid != 0, ==, !p->cmd.admin);
    if (kind->dir == SN_NVME_OUT) {
        g_assert_cmpmem(w->d->passed_data, kind->len, p->req.data, kind->len);
    }
}

static void run_kinds(const char *params)
{
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, params);
    memset(w->d->disk, 0x77, WORLD_SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const Kind *kind = &kinds[i];

        pass_init(&p, kind->opcode, slba_of(kind),
                  kind->opcode == COMPARE ? 16 : 1);
        p.cmd.dir = kind->dir;
        w->d->result = 0x12345678 + i;
        pass_submit(w, &p, i & 1 ? SN_IO_ONCE : 0, kind->len);
        pass_wait(w, &p);
        assert_result(&p, 0, 0);
        g_assert_cmphex(sn_nvme_status(&p.cmd.cqe), ==, 0);
        if (kind->opcode == IDENTIFY || kind->opcode == COMPARE) {
            continue;               /* the double has its own idea of them */
        }
        check_passed(w, kind, &p);
        if (kind->dir == SN_NVME_IN) {
            g_assert_cmphex(p.req.data[0], ==, 0x3c);
            g_assert_cmphex(p.req.data[kind->len - 1], ==, 0x3c);
        } else {
            g_assert_cmphex(GUINT32_FROM_LE(p.cmd.cqe.dw0), ==,
                            0x12345678 + i);
        }
    }
    g_assert_cmpuint(sn_volume_latency(w->vol, SN_IO_NVME)->count, ==,
                     G_N_ELEMENTS(kinds));
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    req_clear(&p.req);
    world_free(w);
}

static void test_kinds(void)
{
    run_kinds("");
    run_kinds("hdgst=on&ddgst=on&queues=3");
}

/* Identify as the guest asks for it. */
static void test_identify(void)
{
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "");
    pass_init(&p, IDENTIFY, 0, 1);
    p.cmd.dir = SN_NVME_IN;
    pass_submit(w, &p, 0, 4096);
    pass_wait(w, &p);
    assert_result(&p, 0, 0);
    g_assert_cmpuint(p.req.data[31], ==, 0x7e);
    req_clear(&p.req);
    world_free(w);
}

static void test_not_as_it_should_be(void)
{
    static const struct {
        uint8_t opcode;
        SnNvmeDir dir;
        uint32_t len;
        int ret;
    } cases[] = {
        { VERIFY, SN_NVME_NO_DATA, 4, -EINVAL },
        { REGISTER, SN_NVME_OUT, 0, -EINVAL },
        { REGISTER, SN_NVME_OUT, 15, -EINVAL },
        { COMPARE, SN_NVME_OUT, (4096 << DOUBLE_MDTS) + 512, -EINVAL },
        { LBA_STATUS, SN_NVME_OUT, 4096, -EOPNOTSUPP },
        { 0x7f, SN_NVME_NO_DATA, 0, -EOPNOTSUPP },
        { COMPARE, SN_NVME_OUT, 4096 << DOUBLE_MDTS, 0 },
    };
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "");
    memset(w->d->disk, 0x77, WORLD_SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        pass_init(&p, cases[i].opcode, 0, cases[i].len / 512);
        p.cmd.dir = cases[i].dir;
        pass_submit(w, &p, 0, cases[i].len);
        pass_wait(w, &p);
        assert_result(&p, cases[i].ret, 0);
    }
    g_assert_cmpuint(w->d->commands[COMPARE], ==, 1);
    req_clear(&p.req);
    world_free(w);
}

/* ------------------------------------------------------- statuses */

static void test_refusals(void)
{
    static const struct {
        uint16_t status;        /* with DNR at bit 14 */
        int ret;
    } cases[] = {
        { 0x4083, -EBADE }, { 0x0083, -EBADE }, { 0x4281, -EIO },
        { 0x0281, -EIO }, { 0x0285, -EILSEQ }, { 0x4002, -EIO },
        { 0x0007, -EIO }, { 0x0082, -EIO }, { 0x0006, -EIO },
        { 0x4080, -EINVAL }, { 0x0018, -EIO }, { 0x4302, -EIO },
        { 0x07ff, -EIO }, { 0x400b, -EIO }, { 0x4001, -EOPNOTSUPP },
        { 0x001b, -EBADE },
    };
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        w->d->commands[VERIFY] = 0;
        w->d->io_status = w->d->admin_status = cases[i].status;
        w->d->io_failures = 1;
        pass_quick(w, &p, VERIFY, 0);
        assert_result(&p, cases[i].ret, cases[i].status);
        g_assert_cmpuint(w->d->commands[VERIFY], ==, 1);
        pass_quick(w, &p, LBA_STATUS, 0);
        assert_result(&p, cases[i].ret, cases[i].status);
        w->d->admin_status = 0;
        pass_quick(w, &p, VERIFY, 0);
        assert_result(&p, 0, 0);
    }
    /* The namespace was looked at, and is there. */
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    req_clear(&p.req);
    world_free(w);
}

/* What has no way is sent again, and so is what was garbled on the way. */
static void test_sent_again(void)
{
    static const struct {
        uint16_t status;
        unsigned flags;
        unsigned times;         /* that it is sent */
        int ret;
    } cases[] = {
        { 0x0302, 0, 4, 0 }, { 0x0303, SN_IO_ONCE, 4, 0 }, { 0x0360, 0, 4, 0 },
        { 0x0022, 0, 4, 0 }, { 0x0022, SN_IO_ONCE, 1, -EIO },
        { 0x4022, 0, 1, -EIO },
    };
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        w->d->commands[VERIFY] = 0;
        w->d->io_status = cases[i].status;
        w->d->io_failures = 3;
        pass_init(&p, VERIFY, 0, 1);
        pass_submit(w, &p, cases[i].flags, 0);
        pass_wait(w, &p);
        assert_result(&p, cases[i].ret, cases[i].ret ? cases[i].status : 0);
        g_assert_cmpuint(w->d->commands[VERIFY], ==, cases[i].times);
    }
    req_clear(&p.req);
    world_free(w);
}

/* Requests of the usual kinds tell what the far side said, too. */
static void test_status_of_others(void)
{
    static const struct {
        uint16_t status;
        int ret;
        unsigned times;
    } cases[] = {
        { 0x4083, -EBADE, 1 }, { 0x0083, -EBADE, 1 }, { 0x4281, -EIO, 1 },
        { 0x0281, -EIO, 6 }, { 0x4120, -EIO, 1 }, { 0x4081, -ENOSPC, 1 },
        { 0x001b, -EBADE, 1 },
    };
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        w->d->commands[1] = 0;
        w->d->io_status = cases[i].status;
        w->d->io_failures = cases[i].times;
        req_submit(w, &p.req, SN_IO_WRITE, 0, 0, 512, w->d->disk, w->d->rand);
        sn_volume_kick(w->vol);
        pass_wait(w, &p);
        assert_result(&p, cases[i].ret, cases[i].status);
        g_assert_cmpuint(w->d->commands[1], ==, cases[i].times);
    }
    /* One part of many. */
    w->d->io_status = 0x4281;
    w->d->io_failures = 1;
    req_submit(w, &p.req, SN_IO_READ, 0, 0, WORLD_SIZE, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    pass_wait(w, &p);
    assert_result(&p, -EIO, 0x4281);
    /* The far side did not say anything to this. */
    req_submit(w, &p.req, SN_IO_READ, 0, WORLD_SIZE, 512, NULL, w->d->rand);
    pass_wait(w, &p);
    assert_result(&p, -EINVAL, 0);
    /* Refused a few times, and then not. */
    w->d->io_status = 0x0006;
    w->d->io_failures = 3;
    req_submit(w, &p.req, SN_IO_READ, 0, 0, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    pass_wait(w, &p);
    assert_result(&p, 0, 0);
    req_clear(&p.req);
    world_free(w);
}

/* ------------------------------------------------------- loss */

static void test_loss(void)
{
    World *w = world_new(1);
    Passed again = { 0 }, once = { 0 }, admin = { 0 }, later = { 0 };

    world_open_ready(w, "");
    w->d->hold = w->d->hold_admin = true;
    pass_quick(w, &again, VERIFY, 0);
    pass_quick(w, &once, ACQUIRE, SN_IO_ONCE);
    pass_quick(w, &admin, LBA_STATUS, SN_IO_ONCE);
    g_assert_cmpuint(nvme_double_pending(w->d), ==, 2);
    memory_net_end_all(w->d->net, -ECONNRESET);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
    world_settle(w);
    assert_result(&once, -ECONNRESET, 0);
    assert_result(&admin, -ECONNRESET, 0);
    g_assert_true(again.req.busy);
    /* It has not been sent yet, so it is sent, once. */
    pass_quick(w, &later, RELEASE, SN_IO_ONCE);
    g_assert_true(later.req.busy);
    w->d->hold = w->d->hold_admin = false;
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    pass_wait(w, &again);
    pass_wait(w, &later);
    assert_result(&again, 0, 0);
    assert_result(&later, 0, 0);
    g_assert_cmpuint(w->d->commands[VERIFY], ==, 2);
    g_assert_cmpuint(w->d->commands[ACQUIRE], ==, 1);
    g_assert_cmpuint(w->d->commands[RELEASE], ==, 1);
    req_clear(&again.req);
    req_clear(&once.req);
    req_clear(&admin.req);
    req_clear(&later.req);
    world_free(w);
}

/* Refused for the path until that is given up: it waits for another one. */
static void test_refused_until_loss(void)
{
    World *w = world_new(1);
    Passed p = { 0 };

    world_open_ready(w, "io-timeout=3");
    w->d->io_status = 0x0303;
    w->d->io_failures = UINT32_MAX;
    pass_quick(w, &p, ACQUIRE, SN_IO_ONCE);
    test_loop_advance(w->loop, 9 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_READY);
    g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 2));
    world_settle(w);
    g_assert_true(p.req.busy);
    w->d->io_failures = 0;
    pass_wait(w, &p);
    assert_result(&p, 0, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);

    /* Sent again, it may have been carried out. */
    w->d->io_failures = 1;
    pass_quick(w, &p, ACQUIRE, SN_IO_ONCE);
    w->d->hold = true;
    test_loop_advance(w->loop, SN_NS_PER_S);
    g_assert_cmpuint(nvme_double_pending(w->d), ==, 1);
    memory_net_end_all(w->d->net, 0);
    world_settle(w);
    assert_result(&p, -ECONNRESET, 0);
    req_clear(&p.req);
    world_free(w);
}

/* The same when it is the answer that does not come. */
static void test_no_answer(void)
{
    World *w = world_new(1);
    Passed once = { 0 };

    world_open_ready(w, "io-timeout=2");
    w->d->hold = true;
    pass_quick(w, &once, REGISTER, SN_IO_ONCE);
    test_loop_advance(w->loop, 2 * SN_NS_PER_S);
    assert_result(&once, -ECONNRESET, 0);
    g_assert_cmpstr(sn_volume_last_error(w->vol), ==,
                    "no answer to a passthrough command within 2 s");
    req_clear(&once.req);
    world_free(w);
}

/* A reservation that may still be acquired is waited for as a write is. */
static void test_fence(void)
{
    static const struct {
        uint8_t opcode;
        bool fenced;
    } cases[] = {
        { ACQUIRE, true }, { WRITE_UNCORRECTABLE, true }, { VENDOR, true },
        { VERIFY, false }, { REPORT, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new(1);
        Passed p = { 0 };

        w->d->cqt = 3000;
        world_open_ready(w, "");
        test_loop_advance(w->loop, 10 * SN_NS_PER_S);
        w->d->hold = true;
        pass_quick(w, &p, cases[i].opcode, SN_IO_ONCE);
        memory_net_end_all(w->d->net, 0);
        g_assert_true(world_wait_state(w, SN_VOLUME_LOST, 1));
        nvme_double_release(w->d);
        g_assert_cmpint(world_wait_state(w, SN_VOLUME_READY, 2), ==,
                        !cases[i].fenced);
        g_assert_true(world_wait_state(w, SN_VOLUME_READY, 4));
        assert_result(&p, -ECONNRESET, 0);
        req_clear(&p.req);
        world_free(w);
    }
}

/* ------------------------------------------------------- cancelling */

static void test_cancel(void)
{
    World *w = world_new(1);
    Passed held[4] = { 0 }, waits = { 0 }, next = { 0 };

    world_open_ready(w, "");
    w->d->hold = w->d->hold_admin = true;
    pass_quick(w, &held[0], VERIFY, 0);
    pass_quick(w, &held[1], REGISTER, SN_IO_ONCE);
    pass_init(&held[2], REPORT, 0, 1);
    held[2].cmd.dir = SN_NVME_IN;
    pass_submit(w, &held[2], 0, 4096);
    pass_init(&held[3], LBA_STATUS, 0, 1);
    held[3].cmd.dir = SN_NVME_IN;
    pass_submit(w, &held[3], 0, 4096);
    world_settle(w);
    /* Their memory, the command's too, is gone at once. */
    for (unsigned i = 0; i < G_N_ELEMENTS(held); i++) {
        req_cancel(&held[i].req);
        memset(&held[i], 0xff, sizeof(held[i]));
        world_settle(w);
    }
    g_assert_cmpuint(w->d->aborts, ==, 4);
    w->d->hold = w->d->hold_admin = false;
    nvme_double_release(w->d);
    world_settle(w);
    /* And one that is to be sent again. */
    w->d->io_status = 0x0302;
    w->d->io_failures = 1;
    pass_quick(w, &waits, VERIFY, 0);
    req_cancel(&waits.req);
    pass_quick(w, &next, VERIFY, 0);
    assert_result(&next, 0, 0);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    req_clear(&next.req);
    world_free(w);
}

/* What a cancelled command may still do must not overtake what comes next. */
typedef struct OldCommand {
    uint8_t opcode;
    uint64_t slba;
    uint32_t nlb;
    bool waits;                 /* what is about block 8 */
} OldCommand;

static const OldCommand old_commands[] = {
    { WRITE_UNCORRECTABLE, 8, 1, true },
    { WRITE_UNCORRECTABLE, 7, 2, true },
    { WRITE_UNCORRECTABLE, 9, 1 },
    { WRITE_UNCORRECTABLE, 0, 8 },
    { WRITE_UNCORRECTABLE, UINT64_MAX, 0x10000 },
    { VENDOR, 1000, 1, true },
    { VERIFY, 8, 1 },
    { COMPARE, 8, 1 },
    { ACQUIRE, 8, 1, true },
};

/* Sends and cancels it; the far side still has it. */
static void leave_behind(World *w, const OldCommand *old)
{
    Passed p = { 0 };

    w->d->hold = true;
    pass_init(&p, old->opcode, old->slba, old->nlb);
    if (old->opcode == COMPARE) {
        p.cmd.dir = SN_NVME_OUT;
    }
    pass_submit(w, &p, 0, old->opcode == COMPARE ? 512 : 0);
    world_settle(w);
    req_cancel(&p.req);
    memset(w->d->commands, 0, sizeof(w->d->commands));
}

/* What touches no block does not wait. */
static void run_without_blocks(World *w)
{
    Passed report = { 0 }, admin = { 0 }, flush = { 0 };

    pass_quick(w, &report, REPORT, 0);
    g_assert_cmpuint(w->d->commands[REPORT], ==, 1);
    pass_quick(w, &admin, LBA_STATUS, 0);
    assert_result(&admin, 0, 0);
    req_submit(w, &flush.req, SN_IO_FLUSH, 0, 0, 0, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(w->d->commands[0], ==, 1);
    req_cancel(&report.req);
    req_cancel(&flush.req);
    req_clear(&admin.req);
}

static void run_after(const OldCommand *old)
{
    World *w = world_new(1);
    Passed uncor = { 0 }, read = { 0 };

    world_open_ready(w, "");
    leave_behind(w, old);
    run_without_blocks(w);
    memset(w->d->commands, 0, sizeof(w->d->commands));
    pass_init(&uncor, WRITE_UNCORRECTABLE, 8, 1);
    pass_submit(w, &uncor, 0, 0);
    req_submit(w, &read.req, SN_IO_READ, 0, 8 * 512, 512, NULL, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(w->d->commands[WRITE_UNCORRECTABLE], ==, !old->waits);
    g_assert_cmpuint(w->d->commands[2], ==, !old->waits);
    nvme_double_release(w->d);
    world_settle(w);
    assert_result(&uncor, 0, 0);
    assert_result(&read, 0, 0);
    req_clear(&uncor.req);
    req_clear(&read.req);
    world_free(w);
}

static void test_cancelled_still_happens(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(old_commands); i++) {
        g_test_message("case %u", i);
        run_after(&old_commands[i]);
    }
}

/*
 * A reservation that is let go of or taken is about all blocks: no write that
 * was cancelled may come after it, and no reservation that was.
 */
static void test_reservations_wait(void)
{
    static const uint8_t later[] = { REGISTER, ACQUIRE, RELEASE };
    static const OldCommand old[] = {
        { WRITE_UNCORRECTABLE, 1000, 1, true }, { VENDOR, 0, 1, true },
        { REGISTER, 0, 1, true }, { ACQUIRE, 0, 1, true },
        { RELEASE, 0, 1, true }, { VERIFY, 8, 1 }, { COMPARE, 8, 1 },
        { REPORT, 0, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(old) * G_N_ELEMENTS(later); i++) {
        const OldCommand *o = &old[i / G_N_ELEMENTS(later)];
        uint8_t opcode = later[i % G_N_ELEMENTS(later)];
        World *w = world_new(1);
        Passed p = { 0 };

        g_test_message("0x%02x after 0x%02x", opcode, o->opcode);
        world_open_ready(w, "queues=2");
        leave_behind(w, o);
        pass_quick(w, &p, opcode, SN_IO_ONCE);
        g_assert_cmpuint(w->d->commands[opcode], ==, !o->waits);
        nvme_double_release(w->d);
        world_settle(w);
        assert_result(&p, 0, 0);
        g_assert_cmpuint(w->d->commands[opcode], ==, 1);
        req_clear(&p.req);
        world_free(w);
    }
}

/* ------------------------------------------------------- the admin queue */

/* However many a guest has there, our own commands have room. */
static void test_admin_queue_is_shared(void)
{
    enum { N = 100 };
    World *w = world_new(1);
    Passed *p = g_new0(Passed, N);

    world_open_ready(w, "keep-alive-tmo=2");
    w->d->hold_admin = true;
    for (unsigned i = 0; i < N; i++) {
        pass_init(&p[i], LBA_STATUS, 0, 1);
        p[i].cmd.dir = SN_NVME_IN;
        pass_submit(w, &p[i], 0, 64);
    }
    for (unsigned i = 0; i < 8; i++) {
        req_cancel(&p[i].req);
    }
    w->d->keep_alives = 0;
    w->d->size = WORLD_SIZE / 2;
    test_loop_advance(w->loop, 10 * SN_NS_PER_S);
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 1);
    g_assert_cmpuint(w->d->keep_alives, >=, 9);
    w->d->hold_admin = false;
    nvme_double_release(w->d);
    world_settle(w);
    for (unsigned i = 8; i < N; i++) {
        assert_result(&p[i], 0, 0);
        req_clear(&p[i].req);
    }
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    g_free(p);
    world_free(w);
}

/* ------------------------------------------------------- what it is */

static void test_info(void)
{
    World *w = world_new(1);
    const SnVolumeNvme *n;

    world_open_ready(w, "");
    n = &sn_volume_info(w->vol)->nvme;
    g_assert_true(n->passthrough);
    g_assert_cmphex(n->oncs, ==, 0xaf);
    g_assert_cmphex(n->nsfeat, ==, 0x12);
    g_assert_cmphex(n->nmic, ==, 1);
    g_assert_cmphex(n->rescap, ==, 0x7e);
    g_assert_cmphex(n->fpi, ==, 0x80);
    g_assert_cmphex(n->dlfeat, ==, 9);
    g_assert_cmphex(n->nawun, ==, 0x100 + 34);
    g_assert_cmphex(n->nawupf, ==, 0x100 + 36);
    g_assert_cmphex(n->nacwu, ==, 0x100 + 38);
    g_assert_cmphex(n->nabsn, ==, 0x100 + 40);
    g_assert_cmphex(n->nabo, ==, 0x100 + 42);
    g_assert_cmphex(n->nabspf, ==, 0x100 + 44);
    g_assert_cmphex(n->noiob, ==, 0x100 + 46);
    g_assert_cmpuint(n->npwg, ==, 7);
    g_assert_cmpuint(n->npwa, ==, 3);
    g_assert_cmpuint(n->npdg, ==, 15);
    g_assert_cmpuint(n->npda, ==, 5);
    g_assert_cmpuint(n->nows, ==, 31);
    g_assert_cmphex(n->ncap, ==, 0x1234567);
    g_assert_cmphex(n->nuse, ==, 0x123456);
    world_free(w);
}

/* Who we are to the target. */
static void test_host(void)
{
    static const uint8_t id[16] = {
        0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
        0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
    };
#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define UUID_NQN "nqn.2014-08.org.nvmexpress:uuid:" UUID
    static const struct {
        const char *host, *params, *nqn;
    } cases[] = {
        { UUID, "", UUID_NQN },
        { NULL, "hostnqn=" UUID_NQN, UUID_NQN },
        { "another", "hostnqn=" UUID_NQN, UUID_NQN },
        { "vm1", "" }, { "vm2", "" }, { NULL, "" },
        { UUID, "hostnqn=nqn.2026-11.test:me", "nqn.2026-11.test:me" },
    };
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                       g_free, NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new(1);

        w->host = cases[i].host;
        world_open_ready(w, cases[i].params);
        if (cases[i].nqn) {
            g_assert_cmpstr(w->d->hostnqn, ==, cases[i].nqn);
        }
        g_assert_cmpint(!memcmp(w->d->hostid, id, 16), ==,
                        !g_strcmp0(w->d->hostnqn, UUID_NQN));
        g_hash_table_add(seen, g_strdup(w->d->hostnqn));
        world_free(w);
    }
    g_assert_cmpuint(g_hash_table_size(seen), ==, 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/passthrough/kinds", test_kinds);
    g_test_add_func("/nvme-tcp/passthrough/identify", test_identify);
    g_test_add_func("/nvme-tcp/passthrough/not-as-it-should-be",
                    test_not_as_it_should_be);
    g_test_add_func("/nvme-tcp/passthrough/refusals", test_refusals);
    g_test_add_func("/nvme-tcp/passthrough/sent-again", test_sent_again);
    g_test_add_func("/nvme-tcp/passthrough/status-of-others",
                    test_status_of_others);
    g_test_add_func("/nvme-tcp/passthrough/loss", test_loss);
    g_test_add_func("/nvme-tcp/passthrough/refused-until-loss",
                    test_refused_until_loss);
    g_test_add_func("/nvme-tcp/passthrough/no-answer", test_no_answer);
    g_test_add_func("/nvme-tcp/passthrough/fence", test_fence);
    g_test_add_func("/nvme-tcp/passthrough/cancel", test_cancel);
    g_test_add_func("/nvme-tcp/passthrough/cancelled-still-happens",
                    test_cancelled_still_happens);
    g_test_add_func("/nvme-tcp/passthrough/reservations-wait",
                    test_reservations_wait);
    g_test_add_func("/nvme-tcp/passthrough/admin-queue-is-shared",
                    test_admin_queue_is_shared);
    g_test_add_func("/nvme-tcp/passthrough/info", test_info);
    g_test_add_func("/nvme-tcp/passthrough/host", test_host);
    return g_test_run();
}
