/*
 * Unit tests of the NVMe controller's resets, shutdown, and pausing: with a
 * volume that never answers, at every stage.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-world.h"

#define RDY 1u
#define CFS 2u
#define SHN_NORMAL (1u << NVME_CC_SHN_SHIFT)
#define SHN_ABRUPT (2u << NVME_CC_SHN_SHIFT)

typedef struct Bed {
    World *w;
    WorldBackend *be;
    uint64_t data;              /* of the commands */
} Bed;

static void submit(Bed *b, uint8_t opcode, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        SnNvmeSqe sqe = world_rw(opcode, 1, i, 1, b->data, 0);

        world_push(b->w, 1, &sqe);
    }
    world_ring(b->w, 1);
    world_run(b->w);
}

static void submit_event_request(Bed *b)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };

    world_submit(b->w, 0, &sqe);
    world_run(b->w);
}

static unsigned shst(Bed *b)
{
    return NVME_CSTS_SHST(world_read32(b->w, NVME_REG_CSTS));
}

static void set_cc(Bed *b, uint32_t bits)
{
    world_write32(b->w, NVME_REG_CC,
                  (world_read32(b->w, NVME_REG_CC) &
                   ~(NVME_CC_SHN_MASK << NVME_CC_SHN_SHIFT)) | bits);
}

/* ------------------------------------------------------- stages */

static void nothing(Bed *b)
{
}

static void enabling(Bed *b)
{
    world_add_scripted(b->w, 3);
    world_enable_cc(b->w, 0);
    g_assert_cmphex(world_read32(b->w, NVME_REG_CSTS), ==, 0);
}

static void ready(Bed *b)
{
    world_enable(b->w);
    b->data = WORLD_RAM - WORLD_PAGE;
}

static void with_queues(Bed *b)
{
    ready(b);
    world_create_queues(b->w, 2, 16);
}

static void in_flight(Bed *b)
{
    with_queues(b);
    submit(b, nvme_cmd_read, 5);
    submit(b, nvme_cmd_write, 5);
    g_assert_cmpuint(b->be->n, ==, 10);
    g_assert_cmpuint(b->w->holds, >, 0);
}

static void path_lost(Bed *b)
{
    in_flight(b);
    wb_lost(b->be, false);
    world_run(b->w);
}

static void event_requests(Bed *b)
{
    in_flight(b);
    submit_event_request(b);
    submit_event_request(b);
}

static void cq_full(Bed *b)
{
    with_queues(b);
    submit(b, nvme_cmd_read, 15);
    submit(b, nvme_cmd_read, 10);
    wb_done_all(b->be, 0);
    world_run(b->w);
}

static void not_taken_yet(Bed *b)
{
    in_flight(b);
    world_set_running(b->w, false);
    submit(b, nvme_cmd_read, 5);
}

static void paused(Bed *b)
{
    in_flight(b);
    world_set_running(b->w, false);
}

static void coalesced(Bed *b)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features,
                      .cdw10 = NVME_FEAT_FID_IRQ_COALESCE,
                      .cdw11 = 10 << 8 | 100 };

    with_queues(b);
    g_assert_cmphex(world_admin_status(b->w, &sqe), ==, 0);
    submit(b, nvme_cmd_read, 2);
    wb_done_all(b->be, 0);
    world_run(b->w);
}

static void shadow_doorbells(Bed *b)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_dbbuf };

    in_flight(b);
    sqe.prp1 = world_page(b->w);
    sqe.prp2 = world_page(b->w);
    g_assert_cmphex(world_admin_status(b->w, &sqe), ==, 0);
}

static void shutting_down(Bed *b)
{
    in_flight(b);
    set_cc(b, SHN_NORMAL);
    g_assert_cmpuint(shst(b), ==, NVME_CSTS_SHST_OCCUR);
}

static void shut_down(Bed *b)
{
    with_queues(b);
    set_cc(b, SHN_NORMAL);
    world_run(b->w);
    wb_done_all(b->be, 0);
    world_run(b->w);
    g_assert_cmpuint(shst(b), ==, NVME_CSTS_SHST_CMPLT);
}

static void fatal(Bed *b)
{
    in_flight(b);
    b->w->hole = b->w->queues[1].sq;
    b->w->hole_end = b->w->hole + WORLD_PAGE;
    submit(b, nvme_cmd_read, 1);
    b->w->hole = b->w->hole_end = 0;
    g_assert_cmphex(world_read32(b->w, NVME_REG_CSTS) & CFS, ==, CFS);
}

static const struct {
    const char *name;
    void (*go)(Bed *b);
} stages[] = {
    { "nothing", nothing },
    { "enabling", enabling },
    { "ready", ready },
    { "with-queues", with_queues },
    { "in-flight", in_flight },
    { "path-lost", path_lost },
    { "event-requests", event_requests },
    { "cq-full", cq_full },
    { "not-taken-yet", not_taken_yet },
    { "paused", paused },
    { "coalesced", coalesced },
    { "shadow-doorbells", shadow_doorbells },
    { "shutting-down", shutting_down },
    { "shut-down", shut_down },
    { "fatal", fatal },
};

static Bed bed_new(void)
{
    World *w = world_new();

    return (Bed){ .w = w, .be = world_add_scripted_ready(w, 1) };
}

static void by_disabling(World *w)
{
    world_write32(w, NVME_REG_CC, 0);
}

static void by_reset(World *w)
{
    sn_ctrl_reset(w->ctrl);
}

static void expect_reset(Bed *b)
{
    World *w = b->w;
    unsigned notifies = w->notify_total;

    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    g_assert_false(w->pin);
    g_assert_cmpuint(g_hash_table_size(w->events), ==, 0);
    /* No DMA and no interrupt, whatever still happens. */
    world_freeze(w);
    if (b->be->ready) {
        g_assert_cmpuint(b->be->n, ==, 0);
    }
    world_ring(w, 0);
    world_write32(w, world_sq_doorbell(1), 3);
    sn_ctrl_doorbell_event(w->ctrl, world_sq_doorbell(1));
    world_advance_ms(w, 60000);
    world_expect_frozen(w);
    g_assert_cmpuint(w->notify_total, ==, notifies);
}

/* It works afterwards as if nothing had been. */
static void expect_works(Bed *b)
{
    World *w = b->w;
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_features,
                      .cdw10 = NVME_FEAT_FID_IRQ_COALESCE };
    SnNvmeCqe cqe;

    world_set_running(w, true);
    world_add_mem(w, 2);
    world_enable_cc(w, 0);
    world_advance_ms(w, 5000);          /* a volume may be waited for */
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    cqe = world_admin(w, &sqe);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(cqe.dw0, ==, 0);
    world_create_queues(w, 4, 8);
    for (unsigned qid = 1; qid <= 4; qid++) {
        sqe = world_rw(nvme_cmd_write, 2, 7, 1, b->data, 0);
        g_assert_cmphex(world_io_status(w, qid, &sqe), ==, 0);
        g_assert_cmpuint(w->queues[qid].sq_head, ==, 1);
    }
}

static void test_stages(void (*reset)(World *w))
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stages); i++) {
        Bed b = bed_new();

        g_test_message("%s", stages[i].name);
        stages[i].go(&b);
        b.w->forgotten = 0;
        reset(b.w);
        if (stages[i].go != nothing) {
            g_assert_cmpuint(b.w->forgotten, >, 0);
        }
        expect_reset(&b);
        expect_works(&b);
        world_free(b.w);
    }
}

static void test_disable(void)
{
    test_stages(by_disabling);
}

static void test_reset(void)
{
    test_stages(by_reset);
}

/* Unplugged: nothing is left, not even when it is paused. */
static void test_free(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stages); i++) {
        Bed b = bed_new();

        g_test_message("%s", stages[i].name);
        stages[i].go(&b);
        world_free_ctrl(b.w);
        world_freeze(b.w);
        world_advance_ms(b.w, 60000);
        world_expect_frozen(b.w);
        world_free(b.w);
    }
}

/* With a namespace that goes while commands are in flight. */
static void test_remove_at_stages(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stages); i++) {
        Bed b = bed_new();

        g_test_message("%s", stages[i].name);
        stages[i].go(&b);
        sn_ctrl_remove_namespace(b.w->ctrl, b.w->ctrl->ns[1]);
        world_advance_ms(b.w, 10000);
        world_set_running(b.w, true);
        world_advance_ms(b.w, 10000);
        g_assert_cmpuint(b.w->ctrl->outstanding, <=, 25);
        by_disabling(b.w);
        world_expect_unmapped(b.w);
        expect_works(&b);
        world_free(b.w);
    }
}

/* ------------------------------------------------------- queues */

static void test_delete_in_flight(void)
{
    Bed b = bed_new();
    SnNvmeSqe del = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };
    SnNvmeCqe cqe;

    path_lost(&b);
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    world_expect_unmapped(b.w);
    for (unsigned i = 0; i < 10; i++) {
        g_assert_true(world_take_cqe(b.w, 1, &cqe));
        g_assert_cmphex(world_cqe_status(&cqe), ==, NVME_SC_ABORT_QUEUE);
    }
    world_expect_no_cqe(b.w, 1);
    del.opcode = nvme_admin_delete_cq;
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    world_free(b.w);
}

/* Its completion queue has no room for what is aborted. */
static void test_delete_without_room(void)
{
    Bed b = bed_new();
    SnNvmeSqe del = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };
    SnNvmeCqe cqe;
    unsigned n = 0;

    with_queues(&b);
    submit(&b, nvme_cmd_read, 15);
    submit(&b, nvme_cmd_read, 15);
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    while (world_take_cqe(b.w, 1, &cqe)) {
        n++;
    }
    g_assert_cmpuint(n, ==, 15);
    world_ring_cq(b.w, 1);
    world_expect_no_cqe(b.w, 1);
    world_free(b.w);
}

/* ------------------------------------------------------- pausing */

static void test_pause(void)
{
    Bed b = bed_new();
    World *w = b.w;

    event_requests(&b);
    world_set_running(w, false);
    g_assert_cmpuint(b.be->n, ==, 0);
    g_assert_cmpuint(b.be->cancels, ==, 10);
    world_freeze(w);
    world_advance_ms(w, 10000);
    world_expect_frozen(w);
    world_set_running(w, true);
    world_run(w);
    /* Again, in order. */
    g_assert_cmpuint(b.be->n, ==, 10);
    g_assert_cmpuint(b.be->ios[3]->offset, ==, 3 * WORLD_BLOCK);
    g_assert_cmpint(b.be->ios[9]->op, ==, SN_IO_WRITE);
    g_assert_cmpuint(b.be->kicks, ==, 3);
    wb_done_all(b.be, 0);
    for (unsigned i = 0; i < 10; i++) {
        SnNvmeCqe cqe = world_wait_cqe(w, 1);

        g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    }
    /* The event requests are where they were. */
    world_expect_no_cqe(w, 0);
    world_write32(w, world_sq_doorbell(9), 0);
    world_wait_cqe(w, 0);
    world_free(w);
}

/* The queue's doorbell is rung meanwhile, and what it is rung for waits. */
static void test_doorbells_while_paused(void)
{
    Bed b = bed_new();

    with_queues(&b);
    world_set_running(b.w, false);
    submit(&b, nvme_cmd_read, 3);
    g_assert_cmpuint(b.be->n, ==, 0);
    world_set_running(b.w, true);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 3);
    world_free(b.w);
}

static void test_pause_many_times(void)
{
    Bed b = bed_new();

    in_flight(&b);
    for (unsigned i = 0; i < 100; i++) {
        world_set_running(b.w, false);
        world_set_running(b.w, false);
        if (i & 1) {
            world_run(b.w);
        }
        world_set_running(b.w, true);
        if (i & 2) {
            world_run(b.w);
        }
    }
    world_run(b.w);
    wb_done_all(b.be, 0);
    for (unsigned i = 0; i < 10; i++) {
        world_wait_cqe(b.w, 1);
    }
    world_expect_no_cqe(b.w, 1);
    g_assert_cmpuint(b.w->ctrl->outstanding, ==, 0);
    world_free(b.w);
}

/* What must not be carried out twice is not; the guest may ask again. */
static void test_pause_once(void)
{
    World *w = world_new();
    Bed b = { .w = w, .be = world_add_scripted(w, 1) };
    SnNvmeSqe sqe = { .opcode = nvme_cmd_resv_register, .nsid = 1 };
    SnNvmeCqe cqe;

    b.be->info.nvme.passthrough = true;
    b.be->info.nvme.rescap = 0xff;
    b.be->info.nvme.oncs = 0xff;
    wb_ready(b.be);
    with_queues(&b);
    sqe.prp1 = b.data;
    world_submit(w, 1, &sqe);
    world_run(w);
    g_assert_cmpuint(b.be->n, ==, 1);
    g_assert_cmphex(b.be->ios[0]->flags & SN_IO_ONCE, ==, SN_IO_ONCE);
    world_set_running(w, false);
    world_expect_no_cqe(w, 1);
    g_assert_cmpuint(b.be->n, ==, 0);
    world_set_running(w, true);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==,
                    SN_NVME_STATUS(NVME_SCT_PATH,
                                   NVME_SC_ANA_INTERNAL_PATH_ERROR));
    g_assert_cmpuint(b.be->submits, ==, 1);
    world_free(w);
}

/* ------------------------------------------------------- shutdown */

static void test_shutdown(void)
{
    Bed b = bed_new();

    with_queues(&b);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_NORMAL);
    set_cc(&b, SHN_NORMAL);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_OCCUR);
    g_assert_cmpuint(b.be->n, ==, 1);
    g_assert_cmpint(b.be->ios[0]->op, ==, SN_IO_FLUSH);
    g_assert_cmpuint(b.be->kicks, ==, 1);
    set_cc(&b, SHN_NORMAL);
    g_assert_cmpuint(b.be->n, ==, 1);
    wb_done_all(b.be, 0);
    world_run(b.w);
    g_assert_cmphex(world_read32(b.w, NVME_REG_CSTS), ==,
                    RDY | NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT);
    sn_ctrl_reset(b.w->ctrl);
    g_assert_cmpuint(b.w->ctrl->counters.unsafe_shutdowns, ==, 0);
    world_free(b.w);
}

/* A volume that does not answer is given 3 s. */
static void test_shutdown_gives_up(void)
{
    Bed b = bed_new();

    with_queues(&b);
    set_cc(&b, SHN_NORMAL);
    world_advance_ms(b.w, 2999);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_OCCUR);
    world_advance_ms(b.w, 1);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
    world_free(b.w);
}

static void test_shutdown_without_flush(void)
{
    World *w = world_new();
    Bed b = { .w = w, .be = world_add_scripted(w, 1) };
    WorldBackend *lost = world_add_scripted_ready(w, 2);

    b.be->info.write_cache = false;
    wb_ready(b.be);
    world_run(w);
    wb_lost(lost, false);
    world_run(w);
    world_enable(w);
    set_cc(&b, SHN_NORMAL);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
    g_assert_cmpuint(b.be->submits + lost->submits, ==, 0);
    /* Once more after a reset, this time without enabling. */
    world_disable(w);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_NORMAL);
    set_cc(&b, SHN_ABRUPT);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
    world_enable(w);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_NORMAL);
    world_free(w);
}

static const struct {
    uint32_t how;
    bool in_time;               /* the volume flushes */
} shutdowns[] = {
    { SHN_NORMAL, true }, { SHN_NORMAL, false }, { SHN_ABRUPT, false },
};

/* The cache is flushed while the commands before it are still under way. */
static void end_shutdown(Bed *b, bool in_time)
{
    if (in_time) {
        wb_done(b->be, b->be->n - 1, 0);
    } else {
        world_advance_ms(b->w, 3000);
    }
    world_run(b->w);
    g_assert_cmphex(world_read32(b->w, NVME_REG_CSTS), ==,
                    RDY | NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT);
}

/*
 * When it is told to be complete, the guest's memory is its own: neither what
 * was under way nor what is submitted now touches it.
 */
static void test_quiet_after_shutdown(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shutdowns); i++) {
        Bed b = bed_new();
        unsigned notifies;

        coalesced(&b);          /* has interrupts to come */
        submit(&b, nvme_cmd_read, 5);
        submit_event_request(&b);
        b.w->forgotten = 0;
        set_cc(&b, shutdowns[i].how);
        end_shutdown(&b, shutdowns[i].in_time);
        g_assert_cmpuint(b.w->forgotten, >, 0);
        g_assert_cmpuint(b.be->n, ==, 0);
        g_assert_false(b.w->pin);
        notifies = b.w->notify_total;
        submit_event_request(&b);
        submit(&b, nvme_cmd_read, 1);
        world_freeze(b.w);
        world_ring(b.w, 1);
        world_write32(b.w, world_sq_doorbell(3), 3);
        world_add_mem(b.w, 4);
        world_set_running(b.w, false);
        world_set_running(b.w, true);
        world_advance_ms(b.w, 60000);
        world_expect_frozen(b.w);
        g_assert_cmpuint(b.w->notify_total, ==, notifies);
        world_disable(b.w);
        expect_works(&b);
        world_free(b.w);
    }
}

/* What waits for the controller to run, or for room, goes as well. */
static void test_shutdown_of_waiting(void)
{
    static void (*const waiting[])(Bed *b) = { paused, cq_full, enabling };

    for (unsigned i = 0; i < G_N_ELEMENTS(waiting); i++) {
        Bed b = bed_new();

        waiting[i](&b);
        set_cc(&b, SHN_ABRUPT);
        g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
        world_freeze(b.w);
        world_set_running(b.w, true);
        if (b.w->queues[1].cq) {
            world_ring_cq(b.w, 1);
        }
        world_advance_ms(b.w, 60000);
        world_expect_frozen(b.w);
        world_disable(b.w);
        expect_works(&b);
        world_free(b.w);
    }
}

/* Several volumes, one of which goes meanwhile, one is lost. */
static void test_shutdown_of_many(void)
{
    World *w = world_new();
    Bed b = { .w = w, .be = world_add_scripted_ready(w, 1) };
    WorldBackend *second = world_add_scripted_ready(w, 2);
    WorldBackend *third = world_add_scripted_ready(w, 3);

    world_enable(w);
    set_cc(&b, SHN_NORMAL);
    g_assert_cmpuint(b.be->n + second->n + third->n, ==, 3);
    wb_lost(third, false);
    world_run(w);
    wb_done_all(b.be, -EIO);
    world_run(w);
    sn_ctrl_remove_namespace(w->ctrl, w->ctrl->ns[2]);
    world_run(w);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_OCCUR);
    world_advance_ms(w, 3000);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
    world_free(w);
}

/* The last one that is waited for is removed. */
static void test_shutdown_remove_last(void)
{
    Bed b = bed_new();

    ready(&b);
    set_cc(&b, SHN_NORMAL);
    sn_ctrl_remove_namespace(b.w->ctrl, b.w->ctrl->ns[1]);
    g_assert_cmpuint(shst(&b), ==, NVME_CSTS_SHST_CMPLT);
    world_free(b.w);
}

/*
 * A machine that is started anew waits for its volumes as at first; a driver
 * that resets the controller, as Linux does after the firmware, does not.
 */
static void test_waits_again(void)
{
    World *w = world_new();

    world_add_scripted(w, 1);
    for (unsigned boot = 0; boot < 2; boot++) {
        world_enable_cc(w, 0);
        world_advance_ms(w, 4999);
        g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
        world_advance_ms(w, 1);
        g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
        world_disable(w);
        world_enable(w);
        sn_ctrl_reset(w->ctrl);
    }
    world_free(w);
}

static void test_unsafe_shutdowns(void)
{
    Bed b = bed_new();
    const uint64_t *unsafe = &b.w->ctrl->counters.unsafe_shutdowns;

    sn_ctrl_reset(b.w->ctrl);
    g_assert_cmpuint(*unsafe, ==, 0);
    ready(&b);
    world_disable(b.w);
    sn_ctrl_reset(b.w->ctrl);
    g_assert_cmpuint(*unsafe, ==, 0);
    ready(&b);
    sn_ctrl_reset(b.w->ctrl);
    g_assert_cmpuint(*unsafe, ==, 1);
    world_free(b.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-reset/disable", test_disable);
    g_test_add_func("/ctrl-reset/reset", test_reset);
    g_test_add_func("/ctrl-reset/free", test_free);
    g_test_add_func("/ctrl-reset/remove", test_remove_at_stages);
    g_test_add_func("/ctrl-reset/delete-in-flight", test_delete_in_flight);
    g_test_add_func("/ctrl-reset/delete-without-room",
                    test_delete_without_room);
    g_test_add_func("/ctrl-reset/pause", test_pause);
    g_test_add_func("/ctrl-reset/doorbells-while-paused",
                    test_doorbells_while_paused);
    g_test_add_func("/ctrl-reset/pause-many-times", test_pause_many_times);
    g_test_add_func("/ctrl-reset/pause-once", test_pause_once);
    g_test_add_func("/ctrl-reset/shutdown", test_shutdown);
    g_test_add_func("/ctrl-reset/shutdown-gives-up", test_shutdown_gives_up);
    g_test_add_func("/ctrl-reset/shutdown-without-flush",
                    test_shutdown_without_flush);
    g_test_add_func("/ctrl-reset/quiet-after-shutdown",
                    test_quiet_after_shutdown);
    g_test_add_func("/ctrl-reset/shutdown-of-waiting",
                    test_shutdown_of_waiting);
    g_test_add_func("/ctrl-reset/shutdown-of-many", test_shutdown_of_many);
    g_test_add_func("/ctrl-reset/shutdown-remove-last",
                    test_shutdown_remove_last);
    g_test_add_func("/ctrl-reset/waits-again", test_waits_again);
    g_test_add_func("/ctrl-reset/unsafe-shutdowns", test_unsafe_shutdowns);
    return g_test_run();
}
