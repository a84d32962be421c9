/*
 * Unit tests of the NVMe controller's queues: doorbells, completion entries,
 * interrupts.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-world.h"

#define RDY 1u
#define CFS 2u
#define AER_ERROR_TYPE 0        /* dword 0 of an event: type, and info << 8 */
#define AER_BAD_REGISTER 0
#define AER_BAD_VALUE 1

static SnNvmeSqe a_read(World *w, uint64_t slba)
{
    return world_rw(nvme_cmd_read, 1, slba, 1, WORLD_HEAP - WORLD_PAGE, 0);
}

/* Submits @n reads of the blocks @first and up, with one doorbell. */
static void push_reads(World *w, unsigned qid, unsigned n, unsigned first)
{
    for (unsigned i = 0; i < n; i++) {
        SnNvmeSqe sqe = a_read(w, first + i);

        sqe.cid = GUINT16_TO_LE(first + i);
        world_push_cid(w, qid, &sqe);
    }
}

static void submit_reads(World *w, unsigned qid, unsigned n, unsigned first)
{
    push_reads(w, qid, n, first);
    world_ring(w, qid);
    world_run(w);
}

static void set_feature(World *w, uint8_t fid, uint32_t cdw11)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features, .cdw10 = fid,
                      .cdw11 = cdw11 };

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
}

/* A controller with one queue pair on a scripted volume. */
static World *queue_world(unsigned entries, WorldBackend **be)
{
    World *w = world_new();

    *be = world_add_scripted_ready(w, 1);
    world_enable(w);
    world_create_queues(w, 1, entries);
    return w;
}

/* ------------------------------------------------------- round and round */

static void test_wraparound(void)
{
    for (unsigned entries = 2; entries <= 5; entries++) {
        World *w = world_new();

        world_add_mem(w, 1);
        world_enable(w);
        world_create_queues(w, 1, entries);
        for (unsigned i = 0; i < 8 * entries; i++) {
            unsigned n = 1 + i % (entries - 1);

            for (unsigned k = 0; k < n; k++) {
                SnNvmeSqe sqe = a_read(w, k);

                world_push(w, 1, &sqe);
            }
            world_ring(w, 1);
            for (unsigned k = 0; k < n; k++) {
                SnNvmeCqe cqe = world_wait_cqe(w, 1);

                g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==,
                                 (uint16_t)(w->next_cid - n + k));
                g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
                g_assert_cmpuint(cqe.dw1, ==, 0);
            }
            g_assert_cmpuint(w->queues[1].sq_head, ==, w->queues[1].tail);
            world_expect_no_cqe(w, 1);
        }
        world_expect_unmapped(w);
        world_free(w);
    }
}

/* ------------------------------------------------------- no room */

static void expect_cids(World *w, unsigned qid, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        SnNvmeCqe cqe;

        g_assert_true(world_take_cqe(w, qid, &cqe));
        g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==, first + i);
        g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    }
}

static void test_cq_full(void)
{
    WorldBackend *be;
    World *w = queue_world(4, &be);
    unsigned notifies;

    submit_reads(w, 1, 3, 0);
    submit_reads(w, 1, 2, 3);
    g_assert_cmpuint(be->n, ==, 5);
    wb_done_all(be, 0);
    world_run(w);
    expect_cids(w, 1, 0, 3);
    world_expect_no_cqe(w, 1);
    world_expect_unmapped(w);   /* those that wait have let go */

    /* Who takes no completions gets no more work done. */
    submit_reads(w, 1, 1, 5);
    g_assert_cmpuint(be->n, ==, 0);

    notifies = w->notifies[1];
    world_ring_cq(w, 1);
    world_run(w);
    expect_cids(w, 1, 3, 2);
    g_assert_cmpuint(w->notifies[1], ==, notifies + 1);
    world_ring_cq(w, 1);
    world_run(w);
    g_assert_cmpuint(be->n, ==, 1);
    wb_done_all(be, 0);
    world_run(w);
    expect_cids(w, 1, 5, 1);
    world_free(w);
}

/* A few at a time, in order, as the guest makes room. */
static void test_cq_trickle(void)
{
    WorldBackend *be;
    World *w = queue_world(4, &be);

    for (unsigned i = 0; i < 4; i++) {
        submit_reads(w, 1, 3, 3 * i);
    }
    wb_done_all(be, 0);
    for (unsigned i = 0; i < 12; i++) {
        world_run(w);
        expect_cids(w, 1, i, 1);
        world_ring_cq(w, 1);
    }
    world_expect_no_cqe(w, 1);
    world_free(w);
}

/* ------------------------------------------------------- rings that go */

static void test_ring_goes(void)
{
    for (unsigned which = 0; which < 2; which++) {
        WorldBackend *be;
        World *w = queue_world(8, &be);
        uint64_t ring = which ? w->queues[1].cq : w->queues[1].sq;

        submit_reads(w, 1, 2, 0);
        g_assert_cmpuint(be->n, ==, 2);
        w->hole = ring;
        w->hole_end = ring + WORLD_PAGE;
        if (which) {
            wb_done_all(be, 0);
        } else {
            submit_reads(w, 1, 1, 2);
        }
        world_run(w);
        g_assert_cmphex(world_read32(w, NVME_REG_CSTS) & CFS, ==, CFS);
        g_assert_nonnull(strstr(w->log->str, "nvme0"));
        /* Nothing more is fetched, posted, or told. */
        w->hole = w->hole_end = 0;
        world_ring(w, 1);
        world_ring(w, 0);
        world_run(w);
        world_expect_no_cqe(w, 1);
        world_expect_no_cqe(w, 0);
        world_disable(w);
        world_expect_unmapped(w);
        world_enable(w);
        world_free(w);
    }
}

/* A ring may lie across a place that is not contiguous for the host. */
static void test_ring_across_seam(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .entries = 128 });

    world_add_mem(w, 1);
    world_enable(w);
    world_create_queues(w, 1, 64);
    world_admin(w, &(SnNvmeSqe){ .opcode = nvme_admin_delete_sq, .cdw10 = 1 });
    world_admin(w, &(SnNvmeSqe){ .opcode = nvme_admin_delete_cq, .cdw10 = 1 });
    /* 128 commands are two pages; the seam is between them. */
    w->queues[1] = (WorldQueue){
        .sq = WORLD_SEAM - WORLD_PAGE, .cq = world_page(w), .entries = 128,
        .phase = 1,
    };
    g_assert_cmphex(world_admin_status(w, &(SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = w->queues[1].cq,
        .cdw10 = 127 << 16 | 1, .cdw11 = 1 << 16 | 3 }), ==, 0);
    g_assert_cmphex(world_admin_status(w, &(SnNvmeSqe){
        .opcode = nvme_admin_create_sq, .prp1 = w->queues[1].sq,
        .cdw10 = 127 << 16 | 1, .cdw11 = 1 << 16 | 1 }), ==, 0);
    for (unsigned round = 0; round < 4; round++) {
        push_reads(w, 1, 60, 100 * round);
        world_ring(w, 1);
        for (unsigned i = 0; i < 60; i++) {
            SnNvmeCqe cqe = world_wait_cqe(w, 1);

            g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
        }
    }
    world_free(w);
}

/* ------------------------------------------------------- bad doorbells */

static uint16_t request_event(World *w)
{
    uint16_t cid = world_ask_event(w);

    world_expect_no_cqe(w, 0);
    return cid;
}

static void expect_event(World *w, uint16_t cid, unsigned info)
{
    SnNvmeSqe log = { .opcode = nvme_admin_get_log_page, .nsid = UINT32_MAX,
                      .prp1 = world_page(w),
                      .cdw10 = NVME_LOG_LID_ERROR | 15 << 16 };
    SnNvmeCqe cqe = world_wait_cqe(w, 0);

    g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==, cid);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(GUINT32_FROM_LE(cqe.dw0) & 0xffff, ==,
                    AER_ERROR_TYPE | info << 8);
    /* Its type comes again when the log was read. */
    g_assert_cmphex(world_admin_status(w, &log), ==, 0);
}

static void test_bad_doorbells(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);
    const struct {
        unsigned offset;
        uint32_t value;
        unsigned info;
    } bad[] = {
        { world_sq_doorbell(2), 1, AER_BAD_REGISTER },
        { world_cq_doorbell(2), 1, AER_BAD_REGISTER },
        { world_sq_doorbell(64), 0, AER_BAD_REGISTER },
        { world_sq_doorbell(65), 0, AER_BAD_REGISTER },
        { SN_CTRL_REGS_SIZE - 4, 0, AER_BAD_REGISTER },
        { world_sq_doorbell(1), 8, AER_BAD_VALUE },
        { world_sq_doorbell(1), 0xffff, AER_BAD_VALUE },
        { world_cq_doorbell(1), 8, AER_BAD_VALUE },
        { world_cq_doorbell(1), 3, AER_BAD_VALUE },     /* 2 were posted */
        { world_cq_doorbell(0), 31, AER_BAD_VALUE },
    };

    submit_reads(w, 1, 2, 0);
    wb_done_all(be, 0);
    world_run(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint16_t cid = request_event(w);

        world_write32(w, bad[i].offset, bad[i].value);
        world_run(w);
        expect_event(w, cid, bad[i].info);
    }
    g_assert_cmpuint(be->n, ==, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    expect_cids(w, 1, 0, 2);
    world_ring_cq(w, 1);
    submit_reads(w, 1, 1, 2);
    g_assert_cmpuint(be->n, ==, 1);
    world_free(w);
}

/* The event comes with an interrupt, whoever rang. */
static void test_event_interrupts(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);
    uint16_t cid = request_event(w);
    unsigned before = w->notifies[0];

    world_write32(w, world_sq_doorbell(9), 0);
    world_run(w);
    g_assert_cmpuint(w->notifies[0], ==, before + 1);
    expect_event(w, cid, AER_BAD_REGISTER);
    world_free(w);
}

static void test_odd_doorbells(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);
    uint16_t cid = request_event(w);

    push_reads(w, 1, 2, 0);
    for (unsigned size = 1; size <= 8; size++) {
        for (unsigned at = 0; at < 8; at++) {
            if (size != 4 || at % 4) {
                sn_ctrl_write(w->ctrl, world_sq_doorbell(1) + at, 2, size);
            }
        }
    }
    /* The same value again is no error. */
    world_write32(w, world_sq_doorbell(1), 0);
    world_write32(w, world_cq_doorbell(1), 0);
    world_run(w);
    g_assert_cmpuint(be->n, ==, 0);
    world_expect_no_cqe(w, 0);
    world_ring(w, 1);
    world_run(w);
    g_assert_cmpuint(be->n, ==, 2);
    world_write32(w, world_sq_doorbell(3), 0);
    expect_event(w, cid, AER_BAD_REGISTER);
    world_free(w);
}

/* ------------------------------------------------------- identifiers */

static void test_duplicate_cid(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);
    SnNvmeCqe cqe;

    submit_reads(w, 1, 1, 5);
    submit_reads(w, 1, 1, 5);
    g_assert_cmpuint(be->n, ==, 1);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==, 5);
    g_assert_cmphex(world_cqe_status(&cqe) & 0x7ff, ==,
                    NVME_SC_CMDID_CONFLICT);
    /* That it ended does not make the identifier free. */
    submit_reads(w, 1, 1, 5);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(world_cqe_status(&cqe) & 0x7ff, ==,
                    NVME_SC_CMDID_CONFLICT);
    wb_done_all(be, 0);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    submit_reads(w, 1, 1, 5);
    g_assert_cmpuint(be->n, ==, 1);
    world_free(w);
}

/* The same identifiers on two queues are different commands. */
static void test_same_cid_elsewhere(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);

    world_enable(w);
    world_create_queues(w, 2, 8);
    submit_reads(w, 1, 4, 0);
    submit_reads(w, 2, 4, 0);
    g_assert_cmpuint(be->n, ==, 8);
    world_free(w);
}

/* ------------------------------------------------------- limits */

static void test_outstanding_limit(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .entries = 512 });
    WorldBackend *be = world_add_scripted(w, 1);
    SnNvmeSqe sqe = { .opcode = 0xff };

    be->info.queue_depth = 4096;
    wb_ready(be);
    world_enable(w);
    world_create_queues(w, 4, 512);
    for (unsigned qid = 1; qid <= 4; qid++) {
        submit_reads(w, qid, 511, 0);
    }
    g_assert_cmpuint(be->n, ==, 1024);
    /* The admin queue goes on. */
    g_assert_cmphex(world_admin_status(w, &sqe) & 0x7ff, ==,
                    NVME_SC_INVALID_OPCODE);
    wb_done(be, 0, 0);
    world_run(w);
    g_assert_cmpuint(be->n, ==, 1024);
    g_assert_cmpuint(be->submits, ==, 1025);
    while (be->n) {
        wb_done_all(be, 0);
        world_run(w);
    }
    g_assert_cmpuint(be->submits, ==, 4 * 511);
    for (unsigned qid = 1; qid <= 4; qid++) {
        for (unsigned i = 0; i < 511; i++) {
            world_wait_cqe(w, qid);
        }
    }
    world_free(w);
}

/* Not even admin commands can fill memory. */
static void test_admin_limit(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted(w, 1);
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_lba_status, .nsid = 1,
                      .prp1 = 0x1000, .cdw12 = 15 };

    be->info.nvme.passthrough = true;
    wb_ready(be);
    world_run(w);
    world_enable(w);
    for (unsigned i = 0; i < 1040; i++) {
        world_submit(w, 0, &sqe);
        world_run(w);
    }
    g_assert_cmpuint(be->n, ==, 1024);
    wb_done(be, 0, -EIO);
    world_run(w);
    g_assert_cmpuint(be->n, ==, 1024);
    for (unsigned i = 0; i < 1040; i++) {
        if (be->n) {
            wb_done(be, 0, -EIO);
        }
        world_wait_cqe(w, 0);
    }
    g_assert_cmpuint(be->submits, ==, 1040);
    world_free(w);
}

static void test_latency(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);
    const SnLatency *lat = sn_ctrl_queue_latency(w->ctrl, 1);

    g_assert_null(sn_ctrl_queue_latency(w->ctrl, 2));
    g_assert_null(sn_ctrl_queue_latency(w->ctrl, 0));
    g_assert_null(sn_ctrl_queue_latency(w->ctrl, 65));
    submit_reads(w, 1, 2, 0);
    wb_done(be, 0, 0);
    world_run(w);
    world_advance_ms(w, 3);
    wb_done(be, 0, -EIO);
    world_run(w);
    g_assert_cmpuint(lat->count, ==, 2);
    g_assert_cmpuint(lat->buckets[0], ==, 1);
    g_assert_cmpuint(lat->buckets[12], ==, 1);  /* from 2048 to 4096 us */
    g_assert_cmpuint(lat->sum_ns, ==, 3 * SN_NS_PER_MS);
    g_assert_cmpuint(lat->max_ns, ==, 3 * SN_NS_PER_MS);
    world_free(w);
}

/* ------------------------------------------------------- interrupts */

static void test_one_interrupt_per_batch(void)
{
    WorldBackend *be;
    World *w = queue_world(16, &be);

    submit_reads(w, 1, 10, 0);
    g_assert_cmpuint(w->notifies[1], ==, 0);
    wb_done_all(be, 0);
    world_run(w);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    expect_cids(w, 1, 0, 10);
    world_ring_cq(w, 1);
    world_run(w);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    /* Commands that end at once are a batch as well. */
    for (unsigned i = 0; i < 5; i++) {
        SnNvmeSqe sqe = { .opcode = 0x7f, .nsid = 1 };

        world_push(w, 1, &sqe);
    }
    world_ring(w, 1);
    world_run(w);
    g_assert_cmpuint(w->notifies[1], ==, 2);
    world_free(w);
}

/* Two queues on one vector, and one that wants no interrupts. */
static void test_shared_vector(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .vectors = 1 });
    WorldBackend *be = world_add_scripted_ready(w, 1);
    SnNvmeSqe sqe;
    unsigned before;

    world_enable(w);
    world_create_queues(w, 3, 8);
    world_admin(w, &(SnNvmeSqe){ .opcode = nvme_admin_delete_sq, .cdw10 = 3 });
    world_admin(w, &(SnNvmeSqe){ .opcode = nvme_admin_delete_cq, .cdw10 = 3 });
    sqe = (SnNvmeSqe){ .opcode = nvme_admin_create_cq,
                       .prp1 = w->queues[3].cq, .cdw10 = 7 << 16 | 3,
                       .cdw11 = 1 };
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    sqe = (SnNvmeSqe){ .opcode = nvme_admin_create_sq,
                       .prp1 = w->queues[3].sq, .cdw10 = 7 << 16 | 3,
                       .cdw11 = 3 << 16 | 1 };
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    before = w->notify_total;
    submit_reads(w, 1, 2, 0);
    submit_reads(w, 2, 2, 0);
    wb_done_all(be, 0);
    world_run(w);
    g_assert_cmpuint(w->notify_total, ==, before + 1);
    submit_reads(w, 3, 2, 0);
    wb_done_all(be, 0);
    world_run(w);
    expect_cids(w, 3, 0, 2);
    g_assert_cmpuint(w->notify_total, ==, before + 1);
    world_free(w);
}

static void complete_reads(World *w, WorldBackend *be, unsigned n,
                           unsigned first)
{
    submit_reads(w, 1, n, first);
    wb_done_all(be, 0);
    world_run(w);
}

static void test_coalescing(void)
{
    WorldBackend *be;
    World *w = queue_world(64, &be);
    unsigned admin;

    /* Four entries, or 1 ms. */
    set_feature(w, NVME_FEAT_FID_IRQ_COALESCE, 10 << 8 | 3);
    complete_reads(w, be, 3, 0);
    g_assert_cmpuint(w->notifies[1], ==, 0);
    complete_reads(w, be, 1, 3);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    complete_reads(w, be, 1, 4);
    test_loop_advance(w->loop, SN_NS_PER_MS / 2);
    complete_reads(w, be, 1, 5);
    test_loop_advance(w->loop, SN_NS_PER_MS / 2 - 1);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    test_loop_advance(w->loop, 1);
    g_assert_cmpuint(w->notifies[1], ==, 2);
    world_advance_ms(w, 100);
    g_assert_cmpuint(w->notifies[1], ==, 2);

    /* Never the admin queue. */
    admin = w->notifies[0];
    set_feature(w, NVME_FEAT_FID_IRQ_CONFIG, 1 << 16 | 1);
    g_assert_cmpuint(w->notifies[0], ==, admin + 1);
    complete_reads(w, be, 1, 6);
    g_assert_cmpuint(w->notifies[1], ==, 3);
    set_feature(w, NVME_FEAT_FID_IRQ_CONFIG, 1);
    complete_reads(w, be, 1, 7);
    g_assert_cmpuint(w->notifies[1], ==, 3);

    /* What waits for the time is told to nobody after a reset. */
    world_disable(w);
    world_advance_ms(w, 100);
    g_assert_cmpuint(w->notifies[1], ==, 3);
    world_free(w);
}

static void test_pin(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);

    g_assert_false(w->pin);
    complete_reads(w, be, 3, 0);
    g_assert_true(w->pin);
    expect_cids(w, 1, 0, 1);
    world_ring_cq(w, 1);
    g_assert_true(w->pin);
    world_write32(w, NVME_REG_INTMS, 1 << 0);
    g_assert_true(w->pin);
    world_write32(w, NVME_REG_INTMS, 1 << 1);
    g_assert_false(w->pin);
    world_write32(w, NVME_REG_INTMC, 1 << 1);
    g_assert_true(w->pin);
    expect_cids(w, 1, 1, 2);
    world_ring_cq(w, 1);
    g_assert_false(w->pin);

    /* With messages nobody looks. */
    complete_reads(w, be, 1, 3);
    g_assert_true(w->pin);
    sn_ctrl_use_interrupts(w->ctrl, SN_CTRL_MSIX);
    g_assert_false(w->pin);
    complete_reads(w, be, 1, 4);
    g_assert_false(w->pin);
    sn_ctrl_use_interrupts(w->ctrl, SN_CTRL_PIN);
    g_assert_true(w->pin);
    world_set_running(w, false);
    world_set_running(w, true);
    g_assert_true(w->pin);
    world_disable(w);
    g_assert_false(w->pin);
    world_free(w);
}

/* INTMS is about the pin, and about MSI; MSI-X has a table for it. */
static void test_message_masks(void)
{
    WorldBackend *be;
    World *w = queue_world(8, &be);

    sn_ctrl_use_interrupts(w->ctrl, SN_CTRL_MSI);
    world_write32(w, NVME_REG_INTMS, 1 << 1);
    complete_reads(w, be, 2, 0);
    g_assert_cmpuint(w->notifies[1], ==, 0);
    world_write32(w, NVME_REG_INTMC, 1 << 0);
    g_assert_cmpuint(w->notifies[1], ==, 0);
    world_write32(w, NVME_REG_INTMC, 1 << 1);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    world_write32(w, NVME_REG_INTMC, 1 << 1);
    g_assert_cmpuint(w->notifies[1], ==, 1);
    g_assert_false(w->pin);
    sn_ctrl_use_interrupts(w->ctrl, SN_CTRL_MSIX);
    world_write32(w, NVME_REG_INTMS, 1 << 1);
    complete_reads(w, be, 1, 2);
    g_assert_cmpuint(w->notifies[1], ==, 2);
    world_free(w);
}

/* A message that was directed at the controller's own registers. */
static void reset_from_notify(World *w, unsigned vector)
{
    w->on_notify = NULL;
    sn_ctrl_reset(w->ctrl);
}

static void test_reset_from_notify(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);
    unsigned before;

    world_enable(w);
    world_create_queues(w, 3, 8);
    for (unsigned qid = 1; qid <= 3; qid++) {
        submit_reads(w, qid, 2, 0);
    }
    w->on_notify = reset_from_notify;
    before = w->notify_total;
    wb_done_all(be, 0);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    g_assert_cmpuint(w->notify_total, ==, before + 1);
    g_assert_false(w->pin);
    world_expect_unmapped(w);
    world_enable(w);

    /* From a doorbell, which is nearer. */
    w->on_notify = reset_from_notify;
    world_submit(w, 0, &(SnNvmeSqe){ .opcode = 0xff });
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_enable(w);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-queue/wraparound", test_wraparound);
    g_test_add_func("/ctrl-queue/cq-full", test_cq_full);
    g_test_add_func("/ctrl-queue/cq-trickle", test_cq_trickle);
    g_test_add_func("/ctrl-queue/ring-goes", test_ring_goes);
    g_test_add_func("/ctrl-queue/ring-across-seam", test_ring_across_seam);
    g_test_add_func("/ctrl-queue/bad-doorbells", test_bad_doorbells);
    g_test_add_func("/ctrl-queue/event-interrupts", test_event_interrupts);
    g_test_add_func("/ctrl-queue/odd-doorbells", test_odd_doorbells);
    g_test_add_func("/ctrl-queue/duplicate-cid", test_duplicate_cid);
    g_test_add_func("/ctrl-queue/same-cid-elsewhere",
                    test_same_cid_elsewhere);
    g_test_add_func("/ctrl-queue/outstanding-limit", test_outstanding_limit);
    g_test_add_func("/ctrl-queue/admin-limit", test_admin_limit);
    g_test_add_func("/ctrl-queue/latency", test_latency);
    g_test_add_func("/ctrl-queue/one-interrupt", test_one_interrupt_per_batch);
    g_test_add_func("/ctrl-queue/shared-vector", test_shared_vector);
    g_test_add_func("/ctrl-queue/coalescing", test_coalescing);
    g_test_add_func("/ctrl-queue/pin", test_pin);
    g_test_add_func("/ctrl-queue/message-masks", test_message_masks);
    g_test_add_func("/ctrl-queue/reset-from-notify", test_reset_from_notify);
    return g_test_run();
}
