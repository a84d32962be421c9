/*
 * Fused Compare and Write (NVMe Base 1.4 section 4.12): pairs, what is none,
 * and pairs that end in the middle.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-io-world.h"

#define BLOCKS 8u               /* of a pair */
#define LEN (BLOCKS * WORLD_BLOCK)

#define MISSING SN_CTRL_GENERIC(NVME_SC_FUSED_MISSING)
#define FAILED SN_CTRL_GENERIC(NVME_SC_FUSED_FAIL)
#define ABORTED SN_CTRL_GENERIC(NVME_SC_ABORT_REQ)
#define COMPARE_FAILED \
    (SN_NVME_STATUS(NVME_SCT_MEDIA, NVME_SC_COMPARE_FAILED) | \
     SN_NVME_STATUS_DNR)
#define PATH SN_NVME_STATUS(NVME_SCT_PATH, NVME_SC_ANA_INTERNAL_PATH_ERROR)

/* The commands of a pair: of the first 4 KiB of t->buffer, and the next. */
static SnNvmeSqe first_of(const IoWorld *t)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_compare, 1, 16, BLOCKS, t->buffer, 0);

    sqe.flags = SN_NVME_FUSE_FIRST;
    return sqe;
}

static SnNvmeSqe second_of(const IoWorld *t)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, 1, 16, BLOCKS, t->buffer + LEN, 0);

    sqe.flags = SN_NVME_FUSE_SECOND;
    return sqe;
}

static void expect_cqe(IoWorld *t, unsigned qid, uint16_t cid, unsigned status)
{
    SnNvmeCqe cqe = world_wait_cqe(t->w, qid);

    g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==, cid);
    g_assert_cmphex(world_cqe_status(&cqe), ==, status);
}

/* Nothing is left of what was submitted. */
static void expect_end(IoWorld *t)
{
    world_expect_no_cqe(t->w, 1);
    g_assert_cmpuint(t->be->n, ==, 0);
    world_expect_unmapped(t->w);
    g_assert_cmpuint(t->w->ctrl->outstanding, ==, 0);
}

/* A pair on its way, whose request this is; its first CID is *@cid. */
static SnIo *begin_with(IoWorld *t, const SnNvmeSqe *first,
                        const SnNvmeSqe *second, uint16_t *cid)
{
    *cid = world_push(t->w, 1, first);
    world_push(t->w, 1, second);
    world_ring(t->w, 1);
    world_expect_no_cqe(t->w, 1);
    g_assert_cmpuint(t->be->n, ==, 1);
    return t->be->ios[0];
}

static SnIo *begin(IoWorld *t, uint16_t *cid)
{
    SnNvmeSqe first = first_of(t), second = second_of(t);

    return begin_with(t, &first, &second, cid);
}

/* It ends with @ret for the volume, and this for the guest. */
static void end(IoWorld *t, uint16_t cid, int ret, unsigned first,
                unsigned second)
{
    wb_done(t->be, 0, ret);
    expect_cqe(t, 1, cid, first);
    expect_cqe(t, 1, cid + 1, second);
    expect_end(t);
}

static void test_pair(void)
{
    IoWorld t = io_world_new_started();
    uint8_t *memory = world_at(t.w, t.buffer), both[2 * LEN], *to = both;
    uint16_t cid;
    SnIo *io;

    memset(memory, 0x11, LEN);
    memset(memory + LEN, 0x22, LEN);
    io = begin(&t, &cid);
    io_expect(io, SN_IO_COMPARE_AND_WRITE, 0, 16 * WORLD_BLOCK, LEN);
    for (unsigned i = 0; i < io->iovcnt; i++) {
        memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
        to += io->iov[i].iov_len;
    }
    g_assert_cmpmem(both, sizeof(both), memory, 2 * LEN);
    end(&t, cid, 0, 0, 0);
    begin(&t, &cid);
    end(&t, cid, -EILSEQ, COMPARE_FAILED, FAILED);
    begin(&t, &cid);
    end(&t, cid, -EROFS, SN_CTRL_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED),
        FAILED);
    begin(&t, &cid);
    end(&t, cid, -ECONNRESET, PATH, FAILED);
    world_free(t.w);
}

/* SMART counts both, if they were carried out. */
static void test_counted(void)
{
    IoWorld t = io_world_new_started();
    const SnCtrlCounters *c = &t.w->ctrl->counters;
    uint16_t cid;

    begin(&t, &cid);
    end(&t, cid, -EILSEQ, COMPARE_FAILED, FAILED);
    g_assert_cmpuint(c->reads + c->writes, ==, 0);
    begin(&t, &cid);
    end(&t, cid, 0, 0, 0);
    g_assert_cmpuint(c->reads, ==, 1);
    g_assert_cmpuint(c->writes, ==, 1);
    g_assert_cmpuint(c->read_bytes, ==, LEN);
    g_assert_cmpuint(c->written_bytes, ==, LEN);
    world_free(t.w);
}

/* FUA is the write's. */
static void test_fua(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe first = first_of(&t), second = second_of(&t);
    uint32_t fua = GUINT32_TO_LE((uint32_t)NVME_IO_FUA << 16);
    uint16_t cid;

    first.cdw12 |= fua;
    g_assert_cmphex(begin_with(&t, &first, &second, &cid)->flags, ==, 0);
    end(&t, cid, 0, 0, 0);
    first.cdw12 &= ~fua;
    second.cdw12 |= fua;
    g_assert_cmphex(begin_with(&t, &first, &second, &cid)->flags, ==,
                    SN_IO_FUA);
    end(&t, cid, 0, 0, 0);
    world_free(t.w);
}

static void test_missing(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe first = first_of(&t), second = second_of(&t);
    SnNvmeSqe read = io_rw(&t, nvme_cmd_read, 0, 1);
    uint16_t cid;

    /* Each for itself, though the other one follows. */
    io_expect_refused(&t, &first, MISSING);
    io_expect_refused(&t, &second, MISSING);
    cid = world_push(t.w, 1, &first);
    world_push(t.w, 1, &read);
    world_push(t.w, 1, &second);
    world_ring(t.w, 1);
    expect_cqe(&t, 1, cid, MISSING);
    expect_cqe(&t, 1, cid + 2, MISSING);
    g_assert_cmpuint(t.be->n, ==, 1);
    wb_done(t.be, 0, 0);
    expect_cqe(&t, 1, cid + 1, 0);
    /* The second of two first ones has a partner. */
    cid = world_push(t.w, 1, &first);
    world_push(t.w, 1, &first);
    world_push(t.w, 1, &second);
    world_ring(t.w, 1);
    expect_cqe(&t, 1, cid, MISSING);
    end(&t, cid + 1, 0, 0, 0);
    world_free(t.w);
}

/* Partners in two queues are none; pairs in two queues are. */
static void test_two_queues(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe first = first_of(&t), second = second_of(&t);
    uint16_t cid[2];

    world_disable(t.w);
    world_enable(t.w);
    world_create_queues(t.w, 2, 16);
    cid[0] = world_push(t.w, 1, &first);
    cid[1] = world_push(t.w, 2, &second);
    world_ring(t.w, 1);
    world_ring(t.w, 2);
    expect_cqe(&t, 1, cid[0], MISSING);
    expect_cqe(&t, 2, cid[1], MISSING);
    for (unsigned i = 0; i < 2; i++) {
        cid[i] = world_push(t.w, 1 + i, &first);
        world_push(t.w, 1 + i, &second);
    }
    world_ring(t.w, 2);
    world_ring(t.w, 1);
    g_assert_cmpuint(t.be->n, ==, 2);
    wb_done_all(t.be, 0);
    for (unsigned i = 0; i < 2; i++) {
        expect_cqe(&t, 1 + i, cid[i], 0);
        expect_cqe(&t, 1 + i, cid[i] + 1, 0);
    }
    expect_end(&t);
    world_free(t.w);
}

/* Also where the ring ends between them. */
static void test_many(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe second = second_of(&t);
    uint16_t cid;

    io_expect_refused(&t, &second, MISSING);    /* an odd number of entries */
    for (unsigned i = 0; i < 3 * t.w->queues[1].entries; i++) {
        begin(&t, &cid);
        end(&t, cid, 0, 0, 0);
    }
    world_free(t.w);
}

static void expect_wrong(IoWorld *t, const SnNvmeSqe *first,
                         const SnNvmeSqe *second, unsigned status)
{
    uint16_t cid = world_push(t->w, 1, first);

    world_push(t->w, 1, second);
    world_ring(t->w, 1);
    expect_cqe(t, 1, cid + 1, status);
    expect_cqe(t, 1, cid, FAILED);
    expect_end(t);
}

static void test_wrong_pairs(void)
{
    IoWorld t = io_world_new_started();
    const SnNvmeSqe a = first_of(&t), b = second_of(&t);
    SnNvmeSqe first, second;

    second = b;
    second.cdw10 = GUINT32_TO_LE(17);
    expect_wrong(&t, &a, &second, SN_CTRL_INVALID_FIELD);
    second = b;
    second.cdw12 = GUINT32_TO_LE(BLOCKS);
    expect_wrong(&t, &a, &second, SN_CTRL_INVALID_FIELD);
    second = b;
    second.nsid = GUINT32_TO_LE(2);
    expect_wrong(&t, &a, &second, SN_CTRL_INVALID_FIELD);
    second = b;
    second.opcode = nvme_cmd_read;
    expect_wrong(&t, &a, &second, SN_CTRL_INVALID_FIELD);
    second = b;
    second.opcode = 0x7f;
    expect_wrong(&t, &a, &second, SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    second = b;
    second.prp1 = GUINT64_TO_LE(WORLD_HOLE);
    expect_wrong(&t, &a, &second, SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR));
    first = a;
    first.prp1 = GUINT64_TO_LE(WORLD_HOLE);
    expect_wrong(&t, &first, &b, SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR));
    first = a;
    second = b;
    first.nsid = second.nsid = GUINT32_TO_LE(2);
    expect_wrong(&t, &first, &second, SN_CTRL_INVALID_NS);
    first = a;
    second = b;
    first.cdw10 = second.cdw10 = GUINT32_TO_LE(IO_BLOCKS - 1);
    expect_wrong(&t, &first, &second, SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE));
    /* More than one step can be. */
    first = a;
    second = b;
    first.cdw12 = second.cdw12 = GUINT32_TO_LE(128);
    expect_wrong(&t, &first, &second,
                 SN_CTRL_GENERIC_DNR(NVME_SC_AWU_EXCEEDED));
    world_free(t.w);
}

/* Neither begins a pair. */
static void test_wrong_flags(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = first_of(&t);

    sqe.opcode = nvme_cmd_write;
    io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    sqe = first_of(&t);
    sqe.flags = SN_NVME_FUSE_MASK;
    io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    world_free(t.w);
}

static void test_same_cid(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe first = first_of(&t), second = second_of(&t);

    first.cid = second.cid = GUINT16_TO_LE(7);
    world_push_cid(t.w, 1, &first);
    world_push_cid(t.w, 1, &second);
    world_ring(t.w, 1);
    expect_cqe(&t, 1, 7, SN_CTRL_GENERIC_DNR(NVME_SC_CMDID_CONFLICT));
    expect_cqe(&t, 1, 7, FAILED);
    expect_end(&t);
    world_free(t.w);
}

/* Where a namespace cannot, the controller says so and refuses. */
static void test_not_offered(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe first, second;

    t.be->info.max_compare_and_write = 0;
    io_world_start(&t);
    g_assert_cmpuint(sn_ctrl_fuses(t.w->ctrl), ==, 0);
    first = first_of(&t);
    second = second_of(&t);
    io_expect_refused(&t, &first, SN_CTRL_INVALID_FIELD);
    io_expect_refused(&t, &second, SN_CTRL_INVALID_FIELD);
    world_free(t.w);
}

/* ---- pairs that end in the middle ---- */

static void test_abort(void)
{
    IoWorld t = io_world_new_started();
    uint16_t cid;

    for (unsigned which = 0; which < 2; which++) {
        SnNvmeSqe abort = { .opcode = nvme_admin_abort_cmd };

        begin(&t, &cid);
        abort.cdw10 = GUINT32_TO_LE(1 | (uint32_t)(cid + which) << 16);
        g_assert_cmpuint(world_admin_status(t.w, &abort), ==, 0);
        expect_cqe(&t, 1, cid + which, ABORTED);
        expect_cqe(&t, 1, cid + !which, FAILED);
        expect_end(&t);
        /*
         * Neither command's memory was let go of before the request; the third
         * is the admin queue, from which Abort comes.
         */
        g_assert_cmpuint(t.be->holds_at_cancel, ==, 3);
    }
    g_assert_cmpuint(t.be->cancels, ==, 2);
    world_free(t.w);
}

/* Nobody knows what became of it: it is not sent again. */
static void test_pause(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe read = io_rw(&t, nvme_cmd_read, 0, 1);
    uint16_t cid;

    begin(&t, &cid);
    world_submit(t.w, 1, &read);
    world_set_running(t.w, false);
    world_expect_no_cqe(t.w, 1);
    world_expect_unmapped(t.w);
    world_set_running(t.w, true);
    expect_cqe(&t, 1, cid, PATH);
    expect_cqe(&t, 1, cid + 1, FAILED);
    world_expect_no_cqe(t.w, 1);
    g_assert_cmpuint(t.be->n, ==, 1);
    g_assert_cmpint(t.be->ios[0]->op, ==, SN_IO_READ);
    wb_done(t.be, 0, 0);
    expect_cqe(&t, 1, cid + 2, 0);
    expect_end(&t);
    world_free(t.w);
}

static void test_lost(void)
{
    IoWorld t = io_world_new_started();
    uint16_t cid;

    begin(&t, &cid);
    wb_lost(t.be, false);
    expect_cqe(&t, 1, cid, PATH);
    expect_cqe(&t, 1, cid + 1, FAILED);
    expect_end(&t);
    world_free(t.w);
}

static void test_namespace_removed(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe read = io_rw(&t, nvme_cmd_read, 0, 1);
    uint16_t cid;

    begin(&t, &cid);
    world_submit(t.w, 1, &read);
    sn_ctrl_remove_namespace(t.w->ctrl, t.w->ctrl->ns[1]);
    expect_cqe(&t, 1, cid, SN_CTRL_INVALID_NS);
    expect_cqe(&t, 1, cid + 1, FAILED);
    expect_cqe(&t, 1, cid + 2, SN_CTRL_INVALID_NS);
    world_expect_unmapped(t.w);
    world_free(t.w);
}

static void test_reset(void)
{
    IoWorld t = io_world_new_started();
    uint16_t cid;

    begin(&t, &cid);
    world_disable(t.w);
    g_assert_cmpuint(t.be->n, ==, 0);
    world_expect_unmapped(t.w);
    world_free(t.w);
}

static void test_delete_queue(void)
{
    IoWorld t = io_world_new_started();
    SnNvmeSqe sqe = { .opcode = nvme_admin_delete_sq,
                      .cdw10 = GUINT32_TO_LE(1) };
    uint16_t cid;

    begin(&t, &cid);
    g_assert_cmpuint(world_admin_status(t.w, &sqe), ==, 0);
    expect_cqe(&t, 1, cid, SN_CTRL_GENERIC(NVME_SC_ABORT_QUEUE));
    expect_cqe(&t, 1, cid + 1, FAILED);
    expect_end(&t);
    world_free(t.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-fused/pair", test_pair);
    g_test_add_func("/ctrl-fused/counted", test_counted);
    g_test_add_func("/ctrl-fused/fua", test_fua);
    g_test_add_func("/ctrl-fused/missing", test_missing);
    g_test_add_func("/ctrl-fused/two-queues", test_two_queues);
    g_test_add_func("/ctrl-fused/many", test_many);
    g_test_add_func("/ctrl-fused/wrong-pairs", test_wrong_pairs);
    g_test_add_func("/ctrl-fused/wrong-flags", test_wrong_flags);
    g_test_add_func("/ctrl-fused/same-cid", test_same_cid);
    g_test_add_func("/ctrl-fused/not-offered", test_not_offered);
    g_test_add_func("/ctrl-fused/abort", test_abort);
    g_test_add_func("/ctrl-fused/pause", test_pause);
    g_test_add_func("/ctrl-fused/lost", test_lost);
    g_test_add_func("/ctrl-fused/namespace-removed", test_namespace_removed);
    g_test_add_func("/ctrl-fused/reset", test_reset);
    g_test_add_func("/ctrl-fused/delete-queue", test_delete_queue);
    return g_test_run();
}
