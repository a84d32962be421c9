/*
 * Unit tests of NVMe commands that go through a volume as they are, and of the
 * status that an NVMe far side gives any request.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "scripted-backend.h"

#define S SN_NS_PER_S

#define VERIFY 0x0c
#define ACQUIRE 0x11
#define REPORT 0x0e

/* One at a time per opcode is enough here. */
static SnNvmeCommand commands[256];

static SbVolume *open_ready(const char *params)
{
    g_autofree char *url = g_strdup_printf("scripted://?%s", params);
    SbVolume *v = sb_open(url, NULL);

    g_assert_nonnull(v);
    v->info.nvme.passthrough = true;
    sb_run(v);
    sb_ready(v);
    test_loop_advance(v->loop, 10 * S);
    return v;
}

/* Not submitted yet; with a block of data when @dir says so. */
static TestIo *command_new(SbVolume *v, char name, uint8_t opcode,
                           SnNvmeDir dir, unsigned flags)
{
    TestIo *t = tio_new(v, name, SN_IO_NVME, 0, dir != SN_NVME_NO_DATA);

    commands[opcode] = (SnNvmeCommand){ .sqe = { .opcode = opcode },
                                        .dir = dir };
    t->io.nvme = &commands[opcode];
    t->io.flags = flags;
    return t;
}

static TestIo *submit_command(SbVolume *v, char name, uint8_t opcode,
                              unsigned flags)
{
    TestIo *t = command_new(v, name, opcode, SN_NVME_NO_DATA, flags);

    tio_submit(t);
    return t;
}

/* As tio_expect(), and the status. */
static void expect(TestIo *t, int ret, uint16_t status)
{
    g_assert_cmphex(t->io.nvme_status, ==, status);
    tio_expect(t, ret);
}

/* The answer to the oldest request. */
static void refuse_oldest(SbVolume *v, int ret, uint16_t status)
{
    v->be->ios[0]->nvme_status = status;
    sb_done(v, 0, ret);
    sb_run(v);
}

/* ------------------------------------------------------- checks */

static void test_checks(void)
{
    static const struct {
        SnNvmeDir dir;
        bool admin;
        uint8_t opcode;
        uint64_t len;
        int ret;
    } cases[] = {
        { SN_NVME_NO_DATA, false, VERIFY, SB_BLOCK, -EINVAL },
        { SN_NVME_IN, false, REPORT, 0, -EINVAL },
        { SN_NVME_OUT, false, ACQUIRE, 0, -EINVAL },
        { SN_NVME_OUT, false, ACQUIRE, 15, -EINVAL },
        { SN_NVME_IN, false, REPORT, 17 * SB_BLOCK, -EINVAL },
        { SN_NVME_IN, true, REPORT, 17 * SB_BLOCK, -EINVAL },
        { SN_NVME_IN, false, REPORT, UINT64_MAX - 3, -EINVAL },
        { SN_NVME_OUT, true, 0x81, 16, -EOPNOTSUPP },
        { SN_NVME_NO_DATA, false, 0x7f, 0, -EOPNOTSUPP },
        { SN_NVME_NO_DATA, true, 0x7f, 0, -EOPNOTSUPP },
    };
    SbVolume *v = open_ready("");

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TestIo *t = command_new(v, 'x', cases[i].opcode, cases[i].dir, 0);

        t->io.nvme->admin = cases[i].admin;
        t->io.len = cases[i].len;
        tio_submit(t);
        sb_run(v);
        expect(t, cases[i].ret, 0);
    }
    g_assert_cmpuint(v->be->submits, ==, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* Offered at first, and not any more after a loss. */
static void test_not_offered(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = submit_command(v, 'a', VERIFY, 0), *b;

    sb_expect_in_flight(v, " 0c");
    v->info.nvme.passthrough = false;
    sb_flap(v);
    expect(a, -EOPNOTSUPP, 0);
    b = submit_command(v, 'b', VERIFY, 0);
    sb_run(v);
    expect(b, -EOPNOTSUPP, 0);
    g_assert_cmpuint(v->be->submits, ==, 1);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* ------------------------------------------------------- as it is */

/* One command, whatever would make another request several. */
static void test_in_one_piece(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b;

    v->info.fua = false;
    v->info.write_cache = true;
    v->info.max_transfer = SB_BLOCK;
    v->info.read_only = true;           /* the far side knows that, too */
    sb_flap(v);
    a = command_new(v, 'a', ACQUIRE, SN_NVME_OUT, SN_IO_FUA);
    tio_submit(a);
    b = command_new(v, 'b', VERIFY, SN_NVME_NO_DATA, SN_IO_FUA);
    tio_submit(b);
    sb_kick(v);
    sb_expect_in_flight(v, " 11 0c");
    g_assert_true(v->be->ios[0] == &a->io && v->be->ios[1] == &b->io);
    sb_done_all(v, 0);
    sb_expect_completed("ab");
    expect(a, 0, 0);
    expect(b, 0, 0);
    g_assert_cmpuint(sn_volume_latency(v->vol, SN_IO_NVME)->count, ==, 2);
    sb_close(v);
}

/* In their turn among the others. */
static void test_order(void)
{
    SbVolume *v = open_ready("");
    TestIo *io[4];

    v->be->capacity = 1;
    io[0] = tio_write_new(v, 'a', 1);
    io[1] = submit_command(v, 'b', VERIFY, 0);
    io[2] = tio_write_new(v, 'c', 2);
    io[3] = submit_command(v, 'd', ACQUIRE, SN_IO_ONCE);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const in_flight[] = { " 1+1", " 0c", " 2+1",
                                                 " 11" };

        sb_expect_in_flight(v, in_flight[i]);
        sb_done_all(v, 0);
        expect(io[i], 0, 0);
    }
    sb_expect_completed("abcd");
    sb_close(v);
}

/* ------------------------------------------------------- statuses */

static void test_status(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = submit_command(v, 'a', VERIFY, 0);
    TestIo *b = tio_write_new(v, 'b', 0);

    sb_kick(v);
    refuse_oldest(v, -EIO, 0x4281);
    expect(a, -EIO, 0x4281);
    refuse_oldest(v, -EBADE, 0x0083);
    expect(b, -EBADE, 0x0083);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* Of the part that failed first, and not of a try before a loss. */
static void test_status_of_split(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 64);

    sb_kick(v);
    sb_expect_in_flight(v, " 0+16 16+16 32+16 48+16");
    sb_done(v, 0, 0);
    refuse_oldest(v, -EIO, 0x4281);
    refuse_oldest(v, -ENOSPC, 0x4081);
    sb_done_all(v, 0);
    expect(a, -EIO, 0x4281);

    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 32);
    sb_kick(v);
    refuse_oldest(v, -EIO, 0x4281);
    sb_flap(v);
    sb_expect_in_flight(v, " 0+16 16+16");
    sb_done_all(v, 0);
    expect(a, 0, 0);

    /* Refused without a status, though its part's memory has seen one. */
    a = tio_submit_new(v, 'a', SN_IO_WRITE, 0, 32);
    sb_kick(v);
    sb_done_all(v, -EIO);
    expect(a, -EIO, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* ------------------------------------------------------- loss */

static void test_loss(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b, *c, *d, *e;

    a = submit_command(v, 'a', ACQUIRE, SN_IO_ONCE);
    b = submit_command(v, 'b', VERIFY, 0);
    v->be->capacity = 2;
    /* These two have not been sent when the path is lost. */
    c = submit_command(v, 'c', 0x15, SN_IO_ONCE);
    sb_kick(v);
    sb_lost(v, false);
    d = submit_command(v, 'd', 0x0d, SN_IO_ONCE);
    sb_run(v);
    sb_expect_completed("a");
    expect(a, -ECONNRESET, 0);
    v->be->capacity = SB_MAX_IN_FLIGHT;
    test_loop_advance(v->loop, 2 * S);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " 0c 15 0d");
    /* SN_IO_ONCE is about these commands only. */
    e = tio_new(v, 'e', SN_IO_WRITE, 7, 1);
    e->io.flags = SN_IO_ONCE;
    tio_submit(e);
    sb_flap(v);
    sb_expect_completed("dc");
    expect(c, -ECONNRESET, 0);
    expect(d, -ECONNRESET, 0);
    sb_expect_in_flight(v, " 0c 7+1");
    sb_done_all(v, 0);
    expect(b, 0, 0);
    expect(e, 0, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void test_loss_for_good(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = submit_command(v, 'a', ACQUIRE, SN_IO_ONCE);
    TestIo *b = submit_command(v, 'b', VERIFY, 0), *c;

    sb_lost(v, true);
    c = submit_command(v, 'c', REPORT, SN_IO_ONCE);
    sb_run(v);
    expect(a, -ECONNRESET, 0);
    expect(b, -ENODEV, 0);
    expect(c, -ENODEV, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void test_fast_io_fail(void)
{
    SbVolume *v = open_ready("fast-io-fail-tmo=3");
    TestIo *a = submit_command(v, 'a', VERIFY, 0), *b;

    sb_lost(v, false);
    b = submit_command(v, 'b', ACQUIRE, SN_IO_ONCE);
    test_loop_advance(v->loop, 4 * S);
    expect(a, -ETIMEDOUT, 0);
    expect(b, -ETIMEDOUT, 0);
    a = submit_command(v, 'a', VERIFY, 0);
    sb_run(v);
    expect(a, -ETIMEDOUT, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

static void test_io_timeout(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = submit_command(v, 'a', VERIFY, 0);
    TestIo *b = submit_command(v, 'b', ACQUIRE, SN_IO_ONCE);

    sb_kick(v);
    test_loop_advance(v->loop, 30 * S);
    g_assert_cmpstr(sn_volume_last_error(v->vol), ==,
                    "no answer to a passthrough command within 30 s");
    expect(b, -ECONNRESET, 0);
    test_loop_advance(v->loop, 2 * S);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, " 0c");
    sb_done_all(v, 0);
    expect(a, 0, 0);
    g_string_truncate(sb_completed, 0);
    sb_close(v);
}

/* In flight, waiting for room, done, and waiting for the path. */
static void test_cancel(void)
{
    SbVolume *v = open_ready("");
    TestIo *a, *b, *c;

    v->be->capacity = 1;
    a = submit_command(v, 'a', VERIFY, 0);
    b = submit_command(v, 'b', ACQUIRE, SN_IO_ONCE);
    tio_cancel_free(b);
    tio_cancel_free(a);
    sb_expect_in_flight(v, "");
    a = submit_command(v, 'a', REPORT, 0);
    sb_done(v, 0, 0);
    tio_cancel_free(a);
    b = submit_command(v, 'b', ACQUIRE, SN_IO_ONCE);
    sb_lost(v, false);
    c = submit_command(v, 'c', VERIFY, 0);
    /* Over, but not told yet: the memory may go. */
    tio_cancel_free(b);
    tio_cancel_free(c);
    test_loop_advance(v->loop, 2 * S);
    sb_ready(v);
    sb_run(v);
    sb_expect_in_flight(v, "");
    sb_expect_completed("");
    sb_close(v);
}

/* One that was refused for now has not been carried out. */
static void test_refused_for_now(void)
{
    SbVolume *v = open_ready("");
    TestIo *a = submit_command(v, 'a', ACQUIRE, SN_IO_ONCE);

    sb_kick(v);
    sb_refuse(v, 0, S);
    sb_flap(v);
    sb_expect_in_flight(v, " 11");
    sb_refuse(v, 0, S);
    sb_flap(v);
    sb_expect_completed("");
    sb_expect_in_flight(v, " 11");
    /* From when it is sent again nobody knows, whoever has sent it. */
    sb_flap(v);
    sb_expect_completed("a");
    expect(a, -ECONNRESET, 0);
    a = submit_command(v, 'a', ACQUIRE, SN_IO_ONCE);
    sb_kick(v);
    sb_refuse(v, 0, S);
    sb_send_again(v, 0);
    sb_flap(v);
    sb_expect_completed("a");
    expect(a, -ECONNRESET, 0);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume/nvme/checks", test_checks);
    g_test_add_func("/volume/nvme/not-offered", test_not_offered);
    g_test_add_func("/volume/nvme/in-one-piece", test_in_one_piece);
    g_test_add_func("/volume/nvme/order", test_order);
    g_test_add_func("/volume/nvme/status", test_status);
    g_test_add_func("/volume/nvme/status-of-split", test_status_of_split);
    g_test_add_func("/volume/nvme/loss", test_loss);
    g_test_add_func("/volume/nvme/loss-for-good", test_loss_for_good);
    g_test_add_func("/volume/nvme/fast-io-fail", test_fast_io_fail);
    g_test_add_func("/volume/nvme/io-timeout", test_io_timeout);
    g_test_add_func("/volume/nvme/cancel", test_cancel);
    g_test_add_func("/volume/nvme/refused-for-now", test_refused_for_now);
    return g_test_run();
}
