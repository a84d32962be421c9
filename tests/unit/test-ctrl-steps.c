/*
 * I/O commands that may need more than one request to the volume: Compare,
 * Verify, Write Zeroes and Dataset Management (NVM Command Set 1.0 section
 * 3.2), also when they end in the middle.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-io-world.h"

#define KiB 1024u
#define PIECE (128 * KiB)       /* of what is read here, see compare.c */
#define ZEROES (64 * KiB)       /* see zeroes.c */

#define RANGE SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE)
#define MEDIA(sc) SN_NVME_STATUS(NVME_SCT_MEDIA, sc)
#define COMPARE_FAILED (MEDIA(NVME_SC_COMPARE_FAILED) | SN_NVME_STATUS_DNR)

/* ---- compare, verify ---- */

static uint8_t byte_at(uint64_t offset)
{
    return offset + (offset >> 8) * 3 + (offset >> 16) * 5;
}

/* Puts into the one request what the volume has. */
static void answer(SnIo *io)
{
    uint64_t at = io->offset;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        uint8_t *to = io->iov[i].iov_base;

        for (size_t b = 0; b < io->iov[i].iov_len; b++) {
            to[b] = byte_at(at++);
        }
    }
}

static void test_compare_native(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = io_rw(&t, nvme_cmd_compare, 8, 24);

    io_expect(io_begin(&t, &sqe), SN_IO_COMPARE, 0, 8 * WORLD_BLOCK,
              24 * WORLD_BLOCK);
    io_end(&t, 0, 0);
    io_begin(&t, &sqe);
    io_end(&t, -EILSEQ, COMPARE_FAILED);
    world_free(t.w);
}

/* A volume without compare is read, a piece at a time. */
static void compare_here(IoWorld *t, SnNvmeSqe sqe, unsigned pieces,
                         unsigned status)
{
    uint64_t offset = GUINT32_FROM_LE(sqe.cdw10) * WORLD_BLOCK;
    uint64_t left = (GUINT32_FROM_LE(sqe.cdw12) + 1) * WORLD_BLOCK;
    SnIo *io = io_begin(t, &sqe);

    for (unsigned p = 1; ; p++) {
        uint64_t len = MIN(left, PIECE);

        io_expect(io, SN_IO_READ, 0, offset, len);
        answer(io);
        if (p == pieces) {
            break;
        }
        io = io_next(t);
        offset += len;
        left -= len;
    }
    io_end(t, 0, status);
}

/* What the volume has from its beginning on. */
static void fill_memory(uint8_t *memory, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        memory[i] = byte_at(i);
    }
}

static void test_compare_here(void)
{
    IoWorld t = io_world_new();
    uint8_t *memory;
    SnNvmeSqe sqe;

    t.be->info.compare = false;
    io_world_start(&t);
    memory = world_at(t.w, t.buffer);
    fill_memory(memory, 1024 * KiB);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, 1), 1, 0);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, 256), 1, 0);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, 257), 2, 0);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, IO_BLOCKS), 8, 0);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 1, 1), 1, COMPARE_FAILED);
    /* The first difference ends it. */
    memory[1024 * KiB - 1] ^= 1;
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, IO_BLOCKS), 8,
                 COMPARE_FAILED);
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, IO_BLOCKS - 1), 8, 0);
    /* A piece ends in the middle of a page; the difference is behind that. */
    fill_memory(memory + 512, 1024 * KiB - 512);
    sqe = io_rw(&t, nvme_cmd_compare, 0, IO_BLOCKS - 1);
    sqe.prp1 = GUINT64_TO_LE(t.buffer + 512);
    compare_here(&t, sqe, 8, 0);
    memory[512 + 2 * PIECE] ^= 0x80;
    compare_here(&t, sqe, 3, COMPARE_FAILED);
    fill_memory(memory, 1024 * KiB);
    memory[2 * PIECE] ^= 0x80;
    compare_here(&t, io_rw(&t, nvme_cmd_compare, 0, IO_BLOCKS), 3,
                 COMPARE_FAILED);
    world_free(t.w);
}

static void test_compare_here_errors(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;

    t.be->info.compare = false;
    io_world_start(&t);
    sqe = io_rw(&t, nvme_cmd_compare, 0, 512);
    answer(io_begin(&t, &sqe));
    io_end(&t, -EIO, MEDIA(NVME_SC_READ_ERROR));
    sqe = io_rw(&t, nvme_cmd_compare, IO_BLOCKS, 1);
    io_expect_refused(&t, &sqe, RANGE);
    sqe = io_rw(&t, nvme_cmd_compare, 0, 8);
    sqe.prp1 = GUINT64_TO_LE(WORLD_HOLE);
    io_expect_refused(&t, &sqe, SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR));
    world_free(t.w);
}

static void test_verify(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;
    SnIo *io;

    t.be->info.size = 1 << 30;
    io_world_start(&t);
    sqe = io_rw(&t, nvme_cmd_verify, 100, 65536);
    sqe.prp1 = GUINT64_TO_LE(WORLD_HOLE);       /* it has no data */
    io = io_begin(&t, &sqe);
    for (unsigned p = 0; p < 256; p++) {
        io_expect(io, SN_IO_READ, 0, 100 * WORLD_BLOCK + p * PIECE, PIECE);
        world_expect_unmapped(t.w);
        io = p < 255 ? io_next(&t) : io;
    }
    io_end(&t, 0, 0);
    sqe = io_rw(&t, nvme_cmd_verify, 1, 257);
    io_begin(&t, &sqe);
    io_expect(io_next(&t), SN_IO_READ, 0, 257 * WORLD_BLOCK, WORLD_BLOCK);
    io_end(&t, -EIO, MEDIA(NVME_SC_READ_ERROR));
    world_free(t.w);
}

/* ---- write zeroes ---- */

static void set_control(SnNvmeSqe *sqe, unsigned control)
{
    sqe->cdw12 |= GUINT32_TO_LE(control << 16);
}

static void test_zeroes(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = io_rw(&t, nvme_cmd_write_zeroes, 3, 5);
    const unsigned at = 3 * WORLD_BLOCK, len = 5 * WORLD_BLOCK;

    sqe.prp1 = GUINT64_TO_LE(WORLD_HOLE);       /* it has no data */
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE_ZEROES, 0, at, len);
    io_end(&t, 0, 0);
    set_control(&sqe, NVME_IO_DEAC);
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE_ZEROES, SN_IO_UNMAP, at, len);
    io_end(&t, 0, 0);
    set_control(&sqe, NVME_IO_FUA);
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE_ZEROES, SN_IO_UNMAP | SN_IO_FUA,
              at, len);
    io_end(&t, 0, 0);
    world_free(t.w);
}

static void expect_zeroes(const SnIo *io)
{
    for (unsigned i = 0; i < io->iovcnt; i++) {
        const uint8_t *data = io->iov[i].iov_base;

        for (size_t b = 0; b < io->iov[i].iov_len; b++) {
            g_assert_cmphex(data[b], ==, 0);
        }
    }
}

/* A volume without it gets zeroes written. */
static void test_zeroes_here(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;
    SnIo *io;

    t.be->info.max_write_zeroes = 0;
    io_world_start(&t);
    sqe = io_rw(&t, nvme_cmd_write_zeroes, 1, 300);
    set_control(&sqe, NVME_IO_DEAC | NVME_IO_FUA);
    io = io_begin(&t, &sqe);
    for (unsigned at = 0; at < 300 * WORLD_BLOCK; at += ZEROES) {
        io = at ? io_next(&t) : io;
        io_expect(io, SN_IO_WRITE, SN_IO_FUA, WORLD_BLOCK + at,
                  MIN(300 * WORLD_BLOCK - at, ZEROES));
        expect_zeroes(io);
    }
    io_end(&t, 0, 0);
    io_begin(&t, &sqe);
    io_next(&t);
    io_end(&t, -ENOSPC, SN_CTRL_GENERIC(NVME_SC_CAP_EXCEEDED));
    world_free(t.w);
}

/* ---- dataset management ---- */

static void put_range(IoWorld *t, unsigned i, uint64_t slba, uint32_t blocks)
{
    const struct nvme_dsm_range range = {
        .cattr = 0xffffffff, .nlb = GUINT32_TO_LE(blocks),
        .slba = GUINT64_TO_LE(slba),
    };

    memcpy(world_at(t->w, t->buffer + 16 * i), &range, sizeof(range));
}

static SnNvmeSqe dsm(const IoWorld *t, unsigned ranges, unsigned attributes)
{
    return (SnNvmeSqe){
        .opcode = nvme_cmd_dsm, .nsid = GUINT32_TO_LE(1),
        .prp1 = GUINT64_TO_LE(t->buffer),
        .cdw10 = GUINT32_TO_LE(0xffffff00 | (ranges - 1)),
        .cdw11 = GUINT32_TO_LE(attributes),
    };
}

static void test_dsm(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = dsm(&t, 4, NVME_DSMGMT_AD);

    put_range(&t, 0, 0, 0);
    put_range(&t, 1, 8, 1);
    put_range(&t, 2, IO_BLOCKS, 0);
    put_range(&t, 3, 0, IO_BLOCKS);
    io_expect(io_begin(&t, &sqe), SN_IO_DISCARD, 0, 8 * WORLD_BLOCK,
              WORLD_BLOCK);
    /* The ranges were read once, and nothing stays mapped. */
    world_expect_unmapped(t.w);
    memset(world_at(t.w, t.buffer), 0xff, 64);
    io_expect(io_next(&t), SN_IO_DISCARD, 0, 0, 1024 * KiB);
    io_end(&t, 0, 0);
    /* All 256 of them, in two pages */
    for (unsigned i = 0; i < 256; i++) {
        put_range(&t, i, 4 * i, 2);
    }
    memmove(world_at(t.w, t.buffer + 8), world_at(t.w, t.buffer), 4096);
    sqe = dsm(&t, 256, NVME_DSMGMT_AD | NVME_DSMGMT_IDR);
    sqe.prp1 = GUINT64_TO_LE(t.buffer + 8);
    sqe.prp2 = GUINT64_TO_LE(t.buffer + WORLD_PAGE);
    io_begin(&t, &sqe);
    for (unsigned i = 1; i < 256; i++) {
        io_expect(io_next(&t), SN_IO_DISCARD, 0, 4 * i * WORLD_BLOCK,
                  2 * WORLD_BLOCK);
    }
    io_end(&t, 0, 0);
    /* Nothing to do */
    put_range(&t, 0, 0, 0);
    sqe = dsm(&t, 1, NVME_DSMGMT_AD);
    io_expect_refused(&t, &sqe, 0);
    /* One that fails is the last one. */
    sqe = dsm(&t, 2, NVME_DSMGMT_AD);
    put_range(&t, 0, 0, 1);
    put_range(&t, 1, 1, 1);
    io_begin(&t, &sqe);
    io_end(&t, -EIO, MEDIA(NVME_SC_WRITE_FAULT));
    world_free(t.w);
}

static void test_dsm_nothing(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;

    t.be->info.max_discard = 0;
    io_world_start(&t);
    put_range(&t, 0, 0, 8);
    sqe = dsm(&t, 1, NVME_DSMGMT_IDW | NVME_DSMGMT_IDR);
    io_expect_refused(&t, &sqe, 0);        /* hints */
    sqe = dsm(&t, 1, NVME_DSMGMT_AD);
    io_expect_refused(&t, &sqe, 0);        /* not offered, which is allowed */
    put_range(&t, 0, 0, 0);
    io_expect_refused(&t, &sqe, 0);
    g_assert_cmpuint(t.be->submits, ==, 0);
    world_free(t.w);
}

static void test_dsm_errors(void)
{
    static const struct {
        uint64_t slba;
        uint32_t blocks;
    } cases[] = {
        { IO_BLOCKS, 1 }, { IO_BLOCKS - 7, 8 }, { UINT64_MAX, 1 },
        { UINT64_MAX, UINT32_MAX }, { 1ULL << 55, 1 }, { 0, UINT32_MAX },
    };
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = dsm(&t, 2, NVME_DSMGMT_AD);

    put_range(&t, 0, 0, 8);             /* is not discarded either */
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        put_range(&t, 1, cases[i].slba, cases[i].blocks);
        io_expect_refused(&t, &sqe, RANGE);
    }
    sqe.prp1 = GUINT64_TO_LE(WORLD_HOLE);
    io_expect_refused(&t, &sqe, SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR));
    g_assert_cmpuint(t.be->submits, ==, 0);
    world_free(t.w);
}

/* ---- commands of several steps, in the middle ---- */

typedef SnNvmeSqe MakeFunc(IoWorld *t);

static SnNvmeSqe make_compare(IoWorld *t)
{
    return io_rw(t, nvme_cmd_compare, 0, IO_BLOCKS);
}

static SnNvmeSqe make_verify(IoWorld *t)
{
    return io_rw(t, nvme_cmd_verify, 0, IO_BLOCKS);
}

static SnNvmeSqe make_zeroes(IoWorld *t)
{
    return io_rw(t, nvme_cmd_write_zeroes, 0, IO_BLOCKS);
}

static SnNvmeSqe make_dsm(IoWorld *t)
{
    put_range(t, 0, 0, 1);
    put_range(t, 1, 1, 1);
    return dsm(t, 2, NVME_DSMGMT_AD);
}

/* From the first step to the second; the volume and memory have zeroes. */
static void go_on(IoWorld *t)
{
    SnIo *io = t->be->ios[0];

    g_assert_cmpuint(io->offset, ==, 0);
    if (io->op == SN_IO_READ) {
        memset(io->iov->iov_base, 0, io->len);
    }
    g_assert_cmpuint(io_next(t)->offset, >, 0);
}

static void begin_second(IoWorld *t, MakeFunc *make)
{
    SnNvmeSqe sqe = make(t);

    io_begin(t, &sqe);
    go_on(t);
}

static IoWorld open_stepwise(void)
{
    IoWorld t = io_world_new();

    t.be->info.compare = false;
    t.be->info.max_write_zeroes = 0;
    io_world_start(&t);
    return t;
}

static void check_middle(MakeFunc *make)
{
    SnNvmeSqe cmd = { .opcode = nvme_admin_abort_cmd };
    IoWorld t = open_stepwise();
    SnNvmeCqe cqe;

    begin_second(&t, make);
    cmd.cdw10 = GUINT32_TO_LE((t.w->next_cid - 1u) << 16 | 1);
    cqe = world_admin(t.w, &cmd);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmpuint(GUINT32_FROM_LE(cqe.dw0) & 1, ==, 0);
    g_assert_cmpuint(t.be->cancels, ==, 1);
    cqe = world_wait_cqe(t.w, 1);
    g_assert_cmphex(world_cqe_status(&cqe) & 0x7ff, ==, NVME_SC_ABORT_REQ);
    world_expect_unmapped(t.w);

    /* Stopped, it begins again. */
    begin_second(&t, make);
    world_set_running(t.w, false);
    g_assert_cmpuint(t.be->n, ==, 0);
    world_set_running(t.w, true);
    world_run(t.w);
    g_assert_cmpuint(t.be->n, ==, 1);
    go_on(&t);

    /* Its queue goes, and with another one the controller. */
    cmd = (SnNvmeSqe){ .opcode = nvme_admin_delete_sq,
                       .cdw10 = GUINT32_TO_LE(1) };
    g_assert_cmphex(world_admin_status(t.w, &cmd), ==, 0);
    g_assert_cmpuint(t.be->n, ==, 0);
    world_expect_unmapped(t.w);
    cmd.opcode = nvme_admin_delete_cq;
    g_assert_cmphex(world_admin_status(t.w, &cmd), ==, 0);
    world_create_queue(t.w, 1, 16, 0);
    begin_second(&t, make);
    world_free_ctrl(t.w);
    world_free(t.w);
}

static void test_middle(void)
{
    check_middle(make_compare);
    check_middle(make_verify);
    check_middle(make_zeroes);
    check_middle(make_dsm);
}

/* The path is lost in the middle: the step waits, and then goes on. */
static void test_middle_lost(void)
{
    IoWorld t = open_stepwise();

    begin_second(&t, make_zeroes);
    wb_lost(t.be, false);
    world_advance_ms(t.w, 60000);
    world_expect_no_cqe(t.w, 1);
    g_assert_true(t.be->started);
    wb_ready(t.be);
    world_run(t.w);
    g_assert_cmpuint(t.be->n, ==, 1);
    g_assert_cmpuint(t.be->ios[0]->offset, ==, ZEROES);
    while (t.be->n) {
        wb_done(t.be, 0, 0);
        world_run(t.w);
    }
    io_expect_status(&t, 0);
    world_free(t.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/steps/compare-native", test_compare_native);
    g_test_add_func("/steps/compare-here", test_compare_here);
    g_test_add_func("/steps/compare-here-errors", test_compare_here_errors);
    g_test_add_func("/steps/verify", test_verify);
    g_test_add_func("/steps/zeroes", test_zeroes);
    g_test_add_func("/steps/zeroes-here", test_zeroes_here);
    g_test_add_func("/steps/dsm", test_dsm);
    g_test_add_func("/steps/dsm-nothing", test_dsm_nothing);
    g_test_add_func("/steps/dsm-errors", test_dsm_errors);
    g_test_add_func("/steps/middle", test_middle);
    g_test_add_func("/steps/middle-lost", test_middle_lost);
    return g_test_run();
}
