/*
 * Read, Write and Flush of the NVMe controller, what is refused of any I/O
 * command, and what a volume's errors are to the guest (NVM Command Set 1.0
 * section 3.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-io-world.h"

#define KiB 1024u
#define ALL 0xffffffffu

#define INVALID_OPCODE SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE)
#define RANGE SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE)
#define MEDIA(sc) SN_NVME_STATUS(NVME_SCT_MEDIA, sc)
#define COMPARE_FAILED (MEDIA(NVME_SC_COMPARE_FAILED) | SN_NVME_STATUS_DNR)
#define PATH_ERROR \
    SN_NVME_STATUS(NVME_SCT_PATH, NVME_SC_ANA_INTERNAL_PATH_ERROR)

/* ---- read, write, flush ---- */

static void test_read_write(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = io_rw(&t, nvme_cmd_read, 17, 16);
    SnIo *io = io_begin(&t, &sqe);

    io_expect(io, SN_IO_READ, 0, 17 * WORLD_BLOCK, 16 * WORLD_BLOCK);
    g_assert_true(io->iov[0].iov_base == world_at(t.w, t.buffer));
    io_end(&t, 0, 0);
    sqe = io_rw(&t, nvme_cmd_write, IO_BLOCKS - 1, 1);
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE, 0, (IO_BLOCKS - 1) * WORLD_BLOCK,
              WORLD_BLOCK);
    io_end(&t, 0, 0);
    /* Limited Retry, and what is reserved, is ignored. */
    sqe = io_rw(&t, nvme_cmd_write, 0, IO_BLOCKS);
    sqe.cdw12 |= GUINT32_TO_LE((uint32_t)(NVME_IO_FUA | NVME_IO_LR) << 16);
    sqe.cdw2 = sqe.cdw3 = sqe.cdw13 = sqe.cdw14 = sqe.cdw15 = 0xffffffff;
    sqe.mptr = UINT64_MAX;
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE, SN_IO_FUA, 0, 1024 * KiB);
    io_end(&t, 0, 0);
    world_free(t.w);
}

/* What is read is stable when FUA is asked for (section 3.2.4). */
static void test_read_fua(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;

    io_world_start(&t);
    sqe = io_rw(&t, nvme_cmd_read, 3, 8);
    sqe.cdw12 |= GUINT32_TO_LE((uint32_t)NVME_IO_FUA << 16);
    io_expect(io_begin(&t, &sqe), SN_IO_READ, 0, 3 * WORLD_BLOCK, 4096);
    io_expect(io_next(&t), SN_IO_FLUSH, 0, 0, 0);
    io_end(&t, 0, 0);
    io_begin(&t, &sqe);
    io_end(&t, -EIO, MEDIA(NVME_SC_READ_ERROR));
    io_begin(&t, &sqe);
    io_next(&t);
    io_end(&t, -ENOSPC, SN_CTRL_GENERIC(NVME_SC_CAP_EXCEEDED));
    world_free(t.w);

    /* Without a cache it is anyway. */
    t = io_world_new();
    t.be->info.write_cache = false;
    io_world_start(&t);
    sqe = io_rw(&t, nvme_cmd_read, 3, 8);
    sqe.cdw12 |= GUINT32_TO_LE((uint32_t)NVME_IO_FUA << 16);
    io_begin(&t, &sqe);
    io_end(&t, 0, 0);
    world_free(t.w);
}

/* Feature 06h: with the cache switched off, writes are stable at their end. */
static void test_cache_off(void)
{
    SnNvmeSqe set = {
        .opcode = nvme_admin_set_features,
        .cdw10 = GUINT32_TO_LE(NVME_FEAT_FID_VOLATILE_WC),
    };
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = io_rw(&t, nvme_cmd_write, 0, 8);

    world_submit(t.w, 0, &set);         /* flushes what was written before */
    world_run(t.w);
    wb_done_all(t.be, 0);
    world_wait_cqe(t.w, 0);
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE, SN_IO_FUA, 0, 4096);
    io_end(&t, 0, 0);
    sqe.opcode = nvme_cmd_write_zeroes;
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE_ZEROES, SN_IO_FUA, 0, 4096);
    io_end(&t, 0, 0);
    set.cdw11 = GUINT32_TO_LE(1);
    g_assert_cmphex(world_admin_status(t.w, &set), ==, 0);
    sqe.opcode = nvme_cmd_write;
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE, 0, 0, 4096);
    io_end(&t, 0, 0);
    world_free(t.w);
}

static void test_flush(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = { .opcode = nvme_cmd_flush, .nsid = GUINT32_TO_LE(1),
                      .cdw10 = UINT32_MAX, .cdw12 = UINT32_MAX,
                      .prp1 = UINT64_MAX };

    io_expect(io_begin(&t, &sqe), SN_IO_FLUSH, 0, 0, 0);
    io_end(&t, 0, 0);
    io_begin(&t, &sqe);
    io_end(&t, -EIO, MEDIA(NVME_SC_WRITE_FAULT));
    world_free(t.w);
}

/* NSID ffffffffh: every namespace, one after the other. */
static void test_flush_all(void)
{
    SnNvmeSqe sqe = { .opcode = nvme_cmd_flush, .nsid = ALL };
    IoWorld t = { .w = world_new() };
    WorldBackend *be[3];
    SnNvmeCqe cqe;

    world_enable(t.w);
    world_create_queues(t.w, 1, 64);
    g_assert_cmphex(world_io_status(t.w, 1, &sqe), ==, 0);      /* of none */
    be[0] = world_add_scripted_ready(t.w, 256);
    be[1] = world_add_scripted_ready(t.w, 7);
    be[2] = world_add_scripted_ready(t.w, 8);
    world_add_scripted(t.w, 9);         /* nobody has written there yet */
    world_submit(t.w, 1, &sqe);
    for (unsigned i = 0; i < 3; i++) {
        WorldBackend *now = be[(i + 1) % 3];

        world_expect_no_cqe(t.w, 1);
        g_assert_cmpuint(now->n, ==, 1);
        g_assert_cmpuint(now->kicks, ==, 1);
        g_assert_cmpuint(be[0]->n + be[1]->n + be[2]->n, ==, 1);
        io_expect(now->ios[0], SN_IO_FLUSH, 0, 0, 0);
        wb_done(now, 0, 0);
    }
    cqe = world_wait_cqe(t.w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    /* One that fails is the command's failure. */
    world_submit(t.w, 1, &sqe);
    wb_done(be[1], 0, 0);
    world_run(t.w);
    wb_done(be[2], 0, -ENOSPC);
    cqe = world_wait_cqe(t.w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==,
                    SN_CTRL_GENERIC(NVME_SC_CAP_EXCEEDED));
    g_assert_cmpuint(be[0]->submits, ==, 1);
    world_free(t.w);
}

/* ---- what is refused ---- */

static void test_refused(void)
{
    static const uint8_t opcodes[] = {
        nvme_cmd_read, nvme_cmd_write, nvme_cmd_compare, nvme_cmd_verify,
        nvme_cmd_write_zeroes,
    };
    static const struct {
        uint64_t slba;
        unsigned blocks;
    } ranges[] = {
        { IO_BLOCKS, 1 }, { IO_BLOCKS - 1, 2 }, { 0, IO_BLOCKS + 1 },
        { UINT64_MAX, 1 }, { UINT64_MAX - 1, 65536 },
        { UINT64_MAX / WORLD_BLOCK + 1, 1 }, { 1ULL << 32, 1 },
    };
    IoWorld t = io_world_new_started();

    for (unsigned o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        SnNvmeSqe sqe;

        for (unsigned r = 0; r < G_N_ELEMENTS(ranges); r++) {
            sqe = io_rw(&t, opcodes[o], ranges[r].slba, ranges[r].blocks);
            io_expect_refused(&t, &sqe, RANGE);
        }
        sqe = io_rw(&t, opcodes[o], 0, 1);
        sqe.flags = SN_NVME_FUSE_MASK;
        io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    }
    g_assert_cmpuint(t.be->submits, ==, 0);
    world_free(t.w);
}

/* MDTS is of the data; what has none may be longer. */
static void test_too_long(void)
{
    static const uint8_t opcodes[] = {
        nvme_cmd_read, nvme_cmd_write, nvme_cmd_compare,
    };
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;

    t.be->info.size = t.be->info.max_write_zeroes = 1 << 30;
    io_world_start(&t);
    for (unsigned o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        sqe = io_rw(&t, opcodes[o], 0, IO_BLOCKS + 1);
        io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
        sqe = io_rw(&t, opcodes[o], 0, 65536);
        io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    }
    sqe = io_rw(&t, nvme_cmd_write_zeroes, 5, 65536);
    io_expect(io_begin(&t, &sqe), SN_IO_WRITE_ZEROES, 0, 5 * WORLD_BLOCK,
              65536 * WORLD_BLOCK);
    io_end(&t, 0, 0);
    world_free(t.w);
}

static void test_unknown(void)
{
    IoWorld t = io_world_new_started();

    for (unsigned opcode = 0; opcode < 256; opcode++) {
        SnNvmeSqe sqe = io_rw(&t, opcode, 0, 1);

        switch (opcode) {
        case nvme_cmd_flush:
        case nvme_cmd_write:
        case nvme_cmd_read:
        case nvme_cmd_compare:
        case nvme_cmd_write_zeroes:
        case nvme_cmd_dsm:
        case nvme_cmd_verify:
            break;
        default:
            io_expect_refused(&t, &sqe, INVALID_OPCODE);
        }
    }
    world_free(t.w);
}

/* ---- statuses ---- */

static void test_statuses(void)
{
    const unsigned no = SN_NVME_STATUS_DNR;
    const struct {
        int ret;
        uint8_t opcode;
        unsigned far, status;
    } cases[] = {
        { -EIO, nvme_cmd_read, 0, MEDIA(NVME_SC_READ_ERROR) },
        { -EIO, nvme_cmd_compare, 0, MEDIA(NVME_SC_READ_ERROR) },
        { -EIO, nvme_cmd_verify, 0, MEDIA(NVME_SC_READ_ERROR) },
        { -EIO, nvme_cmd_write, 0, MEDIA(NVME_SC_WRITE_FAULT) },
        { -EIO, nvme_cmd_write_zeroes, 0, MEDIA(NVME_SC_WRITE_FAULT) },
        { -ENOMEM, nvme_cmd_write, 0, MEDIA(NVME_SC_WRITE_FAULT) },
        { -ENOSPC, nvme_cmd_write, 0, NVME_SC_CAP_EXCEEDED },
        { -EROFS, nvme_cmd_write, 0, NVME_SC_NS_WRITE_PROTECTED | no },
        { -EINVAL, nvme_cmd_read, 0, RANGE },
        { -EOPNOTSUPP, nvme_cmd_write_zeroes, 0, INVALID_OPCODE },
        { -EILSEQ, nvme_cmd_compare, 0, COMPARE_FAILED },
        { -ENODEV, nvme_cmd_read, 0, NVME_SC_NS_NOT_READY | no },
        { -EBADE, nvme_cmd_write, 0, NVME_SC_RESERVATION_CONFLICT | no },
        { -ETIMEDOUT, nvme_cmd_read, 0, PATH_ERROR },
        { -ECONNRESET, nvme_cmd_write, 0, PATH_ERROR },
        /* What an NVMe far side says goes through as it is. */
        { -EIO, nvme_cmd_read, MEDIA(NVME_SC_GUARD_CHECK),
          MEDIA(NVME_SC_GUARD_CHECK) },
        { -EINVAL, nvme_cmd_read, 0x7c1 | no, 0x7c1 | no },
        { -EBADE, nvme_cmd_write, NVME_SC_RESERVATION_CONFLICT,
          NVME_SC_RESERVATION_CONFLICT },
    };
    IoWorld t = io_world_new_started();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe sqe = io_rw(&t, cases[i].opcode, 0, 1);

        g_test_message("opcode %u, errno %d, far status 0x%x",
                       cases[i].opcode, -cases[i].ret, cases[i].far);
        io_begin(&t, &sqe)->nvme_status = cases[i].far;
        io_end(&t, cases[i].ret, cases[i].status);
        /* It is not the next one's. */
        io_begin(&t, &sqe);
        io_end(&t, 0, 0);
    }
    world_free(t.w);
}

/* The volume itself refuses. */
static void test_read_only(void)
{
    static const uint8_t opcodes[] = { nvme_cmd_write, nvme_cmd_write_zeroes };
    IoWorld t = io_world_new();

    t.be->info.read_only = true;
    io_world_start(&t);
    for (unsigned o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        SnNvmeSqe sqe = io_rw(&t, opcodes[o], 0, 8);

        io_expect_refused(&t, &sqe,
                       SN_CTRL_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED));
    }
    world_free(t.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/read-write", test_read_write);
    g_test_add_func("/io/read-fua", test_read_fua);
    g_test_add_func("/io/cache-off", test_cache_off);
    g_test_add_func("/io/flush", test_flush);
    g_test_add_func("/io/flush-all", test_flush_all);
    g_test_add_func("/io/refused", test_refused);
    g_test_add_func("/io/too-long", test_too_long);
    g_test_add_func("/io/unknown", test_unknown);
    g_test_add_func("/io/statuses", test_statuses);
    g_test_add_func("/io/read-only", test_read_only);
    return g_test_run();
}
