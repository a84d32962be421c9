/*
 * Unit tests of Doorbell Buffer Config (NVMe Base 1.4 section 7.13): doorbells
 * in the guest's memory.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define CFS 2u
#define NO_PRP 0x1000

/* A guest that keeps to the rule of the event index. */
typedef struct Bed {
    World *w;
    WorldBackend *be;
    uint64_t shadow, event;     /* guest addresses of the two pages */
    unsigned rings;             /* doorbells that were written */
} Bed;

static uint32_t *dword(Bed *b, uint64_t page, unsigned doorbell)
{
    return world_at(b->w, page + doorbell - SN_CTRL_DOORBELLS);
}

static unsigned config(Bed *b, uint64_t shadow, uint64_t event)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_dbbuf, .prp1 = shadow,
                      .prp2 = event };

    return world_admin_status(b->w, &sqe);
}

static void bed_init(Bed *b, unsigned queues, unsigned entries)
{
    World *w = world_new();

    *b = (Bed){ .w = w, .be = world_add_scripted_ready(w, 1) };
    world_enable(w);
    world_create_queues(w, queues, entries);
    b->shadow = world_page(w);
    b->event = world_page(w);
    sn_ctrl_use_interrupts(w->ctrl, SN_CTRL_MSIX);
}

static Bed bed_new(unsigned queues, unsigned entries)
{
    Bed b;

    bed_init(&b, queues, entries);
    g_assert_cmphex(config(&b, b.shadow, b.event), ==, 0);
    return b;
}

static void push(Bed *b, unsigned qid, unsigned n)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, 0, 1, NO_PRP, 0);

    while (n--) {
        world_push(b->w, qid, &sqe);
    }
}

/*
 * Writes the doorbell to memory, and to the register when the event index lies
 * between the old and the new value.
 */
static void tell(Bed *b, unsigned doorbell, uint16_t value)
{
    uint32_t *mem = dword(b, b->shadow, doorbell);
    uint16_t old = GUINT32_FROM_LE(*mem);
    uint16_t event;

    *mem = GUINT32_TO_LE(value);
    event = GUINT32_FROM_LE(*dword(b, b->event, doorbell));
    if ((uint16_t)(value - event - 1) >= (uint16_t)(value - old)) {
        return;
    }
    b->rings++;
    if (g_hash_table_contains(b->w->events, GUINT_TO_POINTER(doorbell))) {
        sn_ctrl_doorbell_event(b->w->ctrl, doorbell);
    } else {
        world_write32(b->w, doorbell, value);
    }
}

static void tell_tail(Bed *b, unsigned qid)
{
    tell(b, world_sq_doorbell(qid), b->w->queues[qid].tail);
}

static void tell_head(Bed *b, unsigned qid)
{
    tell(b, world_cq_doorbell(qid), b->w->queues[qid].head);
}

static unsigned take_all(Bed *b, unsigned qid)
{
    SnNvmeCqe cqe;
    unsigned n = 0;

    while (world_take_cqe(b->w, qid, &cqe)) {
        g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
        n++;
    }
    return n;
}

/* ------------------------------------------------------- the command */

static void test_bad_addresses(void)
{
    Bed b;

    bed_init(&b, 1, 8);
    g_assert_cmphex(config(&b, b.shadow + 4, b.event), !=, 0);
    g_assert_cmphex(config(&b, b.shadow, b.event + 64), !=, 0);
    g_assert_cmphex(config(&b, WORLD_HOLE, b.event), !=, 0);
    g_assert_cmphex(config(&b, b.shadow, WORLD_ROM), !=, 0);
    g_assert_cmphex(config(&b, b.shadow, WORLD_RAM), !=, 0);
    g_assert_cmpuint(g_hash_table_size(b.w->events), ==, 0);
    /* The registers work as before. */
    push(&b, 1, 1);
    world_ring(b.w, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 1);
    world_free(b.w);
}

/* Not between zero and the first use, and the admin queue never. */
static void test_admin_queue_is_not_in_it(void)
{
    Bed b = bed_new(1, 8);

    *dword(&b, b.shadow, world_sq_doorbell(0)) = GUINT32_TO_LE(9);
    *dword(&b, b.shadow, world_cq_doorbell(0)) = GUINT32_TO_LE(9);
    world_run(b.w);
    for (unsigned i = 0; i < 100; i++) {
        SnNvmeSqe sqe = { .opcode = 0xff };

        g_assert_cmphex(world_admin_status(b.w, &sqe) & 0x7ff, ==,
                        NVME_SC_INVALID_OPCODE);
    }
    g_assert_false(g_hash_table_contains(
        b.w->events, GUINT_TO_POINTER(world_sq_doorbell(0))));
    world_free(b.w);
}

/* ------------------------------------------------------- submission */

static void test_tail_in_memory(void)
{
    Bed b = bed_new(1, 8);

    push(&b, 1, 3);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmpuint(b.rings, ==, 1);
    g_assert_cmpuint(b.be->n, ==, 3);
    /* All was taken: where to ring again is told. */
    g_assert_cmpuint(*dword(&b, b.event, world_sq_doorbell(1)), ==,
                     GUINT32_TO_LE(3));
    push(&b, 1, 1);
    tell_tail(&b, 1);
    g_assert_cmpuint(b.rings, ==, 2);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 4);

    /* What is written to the register is not what counts. */
    push(&b, 1, 2);
    *dword(&b, b.shadow, world_sq_doorbell(1)) = GUINT32_TO_LE(6);
    world_write32(b.w, world_sq_doorbell(1), 5);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 6);
    world_free(b.w);
}

/* Queues in use when the command comes go on from where they are. */
static void test_begins_in_the_middle(void)
{
    Bed b;

    bed_init(&b, 2, 8);
    push(&b, 1, 5);
    world_ring(b.w, 1);
    world_run(b.w);
    wb_done_all(b.be, 0);
    world_run(b.w);
    g_assert_cmpuint(take_all(&b, 1), ==, 5);
    world_ring_cq(b.w, 1);
    /* Dirty memory: the guest need not have cleared it. */
    memset(world_at(b.w, b.shadow), 0x03, WORLD_PAGE);
    memset(world_at(b.w, b.event), 0x03, WORLD_PAGE);
    g_assert_cmphex(config(&b, b.shadow, b.event), ==, 0);
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 5);
    push(&b, 1, 2);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 2);
    push(&b, 2, 1);
    tell_tail(&b, 2);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 3);
    world_free(b.w);
}

/* The guest moves the buffer, in the middle of everything. */
static void test_configured_again(void)
{
    Bed b = bed_new(1, 8);

    push(&b, 1, 3);
    tell_tail(&b, 1);
    world_run(b.w);
    b.shadow = world_page(b.w);
    b.event = world_page(b.w);
    g_assert_cmphex(config(&b, b.shadow, b.event), ==, 0);
    g_assert_cmphex(config(&b, b.shadow, b.event), ==, 0);
    push(&b, 1, 3);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 6);
    world_free(b.w);
}

/* A queue that is made later, over what an older one has left behind. */
static void test_new_queue(void)
{
    Bed b = bed_new(1, 8);
    SnNvmeSqe del = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };

    push(&b, 1, 5);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    del.opcode = nvme_admin_delete_cq;
    g_assert_cmphex(world_admin_status(b.w, &del), ==, 0);
    g_assert_cmpuint(g_hash_table_size(b.w->events), ==, 0);
    world_create_queue(b.w, 1, 8, 0);
    world_expect_no_cqe(b.w, 1);
    g_assert_cmpuint(b.be->submits, ==, 5);
    g_assert_cmpuint(b.be->n, ==, 0);
    push(&b, 1, 1);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 6);
    world_free(b.w);
}

static Bed *racing;

/*
 * Right after the event index was published: the guest has written its tail
 * before, so it saw the old index, and does not ring.
 */
static void race(World *w, uint64_t addr, size_t len)
{
    Bed *b = racing;
    unsigned at = world_sq_doorbell(1);

    if (addr == b->event + at - SN_CTRL_DOORBELLS) {
        w->on_write = NULL;
        push(b, 1, 2);
        *dword(b, b->shadow, at) = GUINT32_TO_LE(w->queues[1].tail);
    }
}

static void test_race(void)
{
    Bed b = bed_new(1, 8);

    racing = &b;
    b.w->on_write = race;
    push(&b, 1, 1);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_null(b.w->on_write);
    g_assert_cmpuint(b.be->n, ==, 3);
    world_free(b.w);
}

/* The same while the controller is only just told of the buffer. */
static void test_race_with_command(void)
{
    Bed b;

    bed_init(&b, 1, 8);
    racing = &b;
    b.w->on_write = race;
    g_assert_cmphex(config(&b, b.shadow, b.event), ==, 0);
    world_run(b.w);
    g_assert_null(b.w->on_write);
    g_assert_cmpuint(b.be->n, ==, 2);
    world_free(b.w);
}

/* Its doorbell was rung, and before that is looked at it is gone. */
static void test_deleted_after_ring(void)
{
    Bed b = bed_new(2, 8);
    SnNvmeSqe del = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };
    SnNvmeCqe cqe;

    world_set_running(b.w, false);
    push(&b, 1, 3);
    tell_tail(&b, 1);
    push(&b, 2, 3);
    tell_tail(&b, 2);
    world_submit(b.w, 0, &del);
    world_set_running(b.w, true);
    cqe = world_wait_cqe(b.w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 3);
    world_free(b.w);
}

static void test_bad_tail(void)
{
    Bed b = bed_new(1, 8);
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };
    SnNvmeCqe cqe;

    world_submit(b.w, 0, &sqe);
    *dword(&b, b.shadow, world_sq_doorbell(1)) = GUINT32_TO_LE(8);
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(1));
    cqe = world_wait_cqe(b.w, 0);
    g_assert_cmphex(GUINT32_FROM_LE(cqe.dw0) & 0xffff, ==, 0x0100);
    g_assert_cmpuint(b.be->submits, ==, 0);
    *dword(&b, b.shadow, world_sq_doorbell(1)) = UINT32_MAX;
    world_write32(b.w, world_sq_doorbell(1), 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 0);
    /* It may still be put right. */
    *dword(&b, b.shadow, world_sq_doorbell(1)) = 0;
    push(&b, 1, 1);
    *dword(&b, b.shadow, world_sq_doorbell(1)) = GUINT32_TO_LE(1);
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(1));
    world_run(b.w);
    g_assert_cmpuint(b.be->submits, ==, 1);
    world_free(b.w);
}

/* ------------------------------------------------------- completion */

/* Room is looked up in memory; the guest is asked to ring only without. */
static void test_head_in_memory(void)
{
    Bed b = bed_new(1, 4);

    for (unsigned i = 0; i < 40; i++) {
        push(&b, 1, 3);
        tell_tail(&b, 1);
        world_run(b.w);
        wb_done_all(b.be, 0);
        world_run(b.w);
        g_assert_cmpuint(take_all(&b, 1), ==, 3);
        *dword(&b, b.shadow, world_cq_doorbell(1)) =
            GUINT32_TO_LE(b.w->queues[1].head);
    }
    g_assert_cmpuint(b.be->submits, ==, 120);
    world_free(b.w);
}

static void test_cq_full(void)
{
    Bed b = bed_new(1, 4);
    unsigned got = 0;

    for (unsigned i = 0; i < 3; i++) {
        push(&b, 1, 3);
        tell_tail(&b, 1);
        world_run(b.w);
    }
    g_assert_cmpuint(b.be->n, ==, 9);
    wb_done_all(b.be, 0);
    world_run(b.w);
    for (unsigned i = 0; i < 3; i++) {
        got += take_all(&b, 1);
        tell_head(&b, 1);
        world_run(b.w);
    }
    g_assert_cmpuint(got, ==, 9);
    world_free(b.w);
}

/* The head moved right after we asked to be told of the next move. */
static void race_head(World *w, uint64_t addr, size_t len)
{
    Bed *b = racing;
    unsigned at = world_cq_doorbell(1);

    if (addr == b->event + at - SN_CTRL_DOORBELLS) {
        w->on_write = NULL;
        g_assert_cmpuint(take_all(b, 1), ==, 3);
        *dword(b, b->shadow, at) = GUINT32_TO_LE(w->queues[1].head);
    }
}

static void test_cq_race(void)
{
    Bed b = bed_new(1, 4);

    racing = &b;
    for (unsigned i = 0; i < 2; i++) {
        push(&b, 1, 3);
        tell_tail(&b, 1);
        world_run(b.w);
    }
    b.w->on_write = race_head;
    wb_done_all(b.be, 0);
    world_run(b.w);
    g_assert_null(b.w->on_write);
    g_assert_cmpuint(take_all(&b, 1), ==, 3);
    world_free(b.w);
}

static void test_bad_head(void)
{
    Bed b = bed_new(1, 4);

    push(&b, 1, 3);
    tell_tail(&b, 1);
    world_run(b.w);
    push(&b, 1, 2);
    tell_tail(&b, 1);
    world_run(b.w);
    for (uint32_t head = 4; head; head <<= 4) {
        *dword(&b, b.shadow, world_cq_doorbell(1)) = GUINT32_TO_LE(head);
        world_write32(b.w, world_cq_doorbell(1), 3);
        sn_ctrl_doorbell_event(b.w->ctrl, world_cq_doorbell(1));
    }
    *dword(&b, b.shadow, world_cq_doorbell(1)) = 0;
    wb_done_all(b.be, 0);
    world_run(b.w);
    g_assert_cmpuint(take_all(&b, 1), ==, 3);
    world_free(b.w);
}

/* The pin depends on the head: with it the guest has to tell. */
static void test_pin(void)
{
    Bed b = bed_new(1, 8);

    sn_ctrl_use_interrupts(b.w->ctrl, SN_CTRL_PIN);
    world_run(b.w);
    for (unsigned i = 0; i < 20; i++) {
        push(&b, 1, 3);
        tell_tail(&b, 1);
        world_run(b.w);
        wb_done_all(b.be, 0);
        world_run(b.w);
        g_assert_true(b.w->pin);
        g_assert_cmpuint(take_all(&b, 1), ==, 3);
        tell_head(&b, 1);
        world_run(b.w);
        g_assert_false(b.w->pin);
    }
    world_free(b.w);
}

/* ------------------------------------------------------- all together */

/* Nothing is ever stuck with a guest that keeps to the rule. */
static void test_random(void)
{
    for (unsigned seed = 0; seed < 50; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Bed b = bed_new(3, 2 + seed % 9);
        unsigned in_flight[4] = { 0 };

        for (unsigned i = 0; i < 2000; i++) {
            unsigned qid = g_rand_int_range(rand, 1, 4);
            unsigned got;

            switch (g_rand_int_range(rand, 0, 4)) {
            case 0:
                if (in_flight[qid] < b.w->queues[qid].entries - 1) {
                    unsigned n = g_rand_int_range(
                        rand, 1, b.w->queues[qid].entries - in_flight[qid]);

                    push(&b, qid, n);
                    in_flight[qid] += n;
                    tell_tail(&b, qid);
                }
                break;
            case 1:
                wb_done_all(b.be, 0);
                break;
            case 2:
                world_run(b.w);
                break;
            case 3:
                got = take_all(&b, qid);
                g_assert_cmpuint(got, <=, in_flight[qid]);
                in_flight[qid] -= got;
                tell_head(&b, qid);
                break;
            }
        }
        for (unsigned i = 0; i < 30; i++) {
            world_run(b.w);
            wb_done_all(b.be, 0);
            world_run(b.w);
            for (unsigned qid = 1; qid < 4; qid++) {
                in_flight[qid] -= take_all(&b, qid);
                tell_head(&b, qid);
            }
        }
        for (unsigned qid = 1; qid < 4; qid++) {
            g_assert_cmpuint(in_flight[qid], ==, 0);
        }
        g_assert_cmpstr(b.w->log->str, ==, "");
        world_free(b.w);
    }
}

/* Who submits while the controller is busy need not ring. */
static void test_saves_rings(void)
{
    Bed b = bed_new(1, 64);
    unsigned rings;

    world_set_running(b.w, false);
    push(&b, 1, 1);
    tell_tail(&b, 1);
    rings = b.rings;
    for (unsigned i = 0; i < 40; i++) {
        push(&b, 1, 1);
        tell_tail(&b, 1);
    }
    g_assert_cmpuint(b.rings, ==, rings);
    world_set_running(b.w, true);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 41);
    world_free(b.w);
}

static unsigned maps_of_one_read(unsigned queues)
{
    Bed b = bed_new(queues, 8);
    unsigned before;

    for (unsigned qid = 1; qid <= queues; qid++) {
        push(&b, qid, 1);
        tell_tail(&b, qid);
        world_run(b.w);
    }
    before = b.w->maps;
    push(&b, 1, 1);
    tell_tail(&b, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, queues + 1);
    before = b.w->maps - before;
    world_free(b.w);
    return before;
}

/* Queues that rest cost nothing: they will ring. */
static void test_idle_queues(void)
{
    g_assert_cmpuint(maps_of_one_read(4), ==, maps_of_one_read(1));
}

/* ------------------------------------------------------- and after */

static void test_cleared_by_reset(void)
{
    Bed b = bed_new(2, 8);
    void *before;

    push(&b, 1, 3);
    tell_tail(&b, 1);
    g_assert_cmpuint(g_hash_table_size(b.w->events), >=, 2);
    world_disable(b.w);
    g_assert_cmpuint(g_hash_table_size(b.w->events), ==, 0);
    /* On its way when the queue went. */
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(1));
    memset(world_at(b.w, b.shadow), 0xff, 2 * WORLD_PAGE);
    before = g_memdup2(world_at(b.w, b.shadow), 2 * WORLD_PAGE);
    b.w->next_free = b.event + WORLD_PAGE;
    world_enable(b.w);
    b.w->next_free = MAX(b.w->next_free, b.event + WORLD_PAGE);
    world_create_queues(b.w, 2, 8);
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(1));
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(64));
    sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(65));
    sn_ctrl_doorbell_event(b.w->ctrl, SN_CTRL_REGS_SIZE);
    sn_ctrl_doorbell_event(b.w->ctrl, 0);
    push(&b, 1, 2);
    world_ring(b.w, 1);
    world_run(b.w);
    g_assert_cmpuint(b.be->n, ==, 2);
    g_assert_true(!memcmp(before, world_at(b.w, b.shadow), 2 * WORLD_PAGE));
    g_free(before);
    world_free(b.w);
}

/* The pages are not memory any more. */
static void test_buffer_goes(void)
{
    for (unsigned which = 0; which < 2; which++) {
        Bed b = bed_new(1, 8);
        uint64_t page = which ? b.event : b.shadow;

        push(&b, 1, 1);
        tell_tail(&b, 1);
        world_run(b.w);
        b.w->hole = page;
        b.w->hole_end = page + WORLD_PAGE;
        push(&b, 1, 1);
        *dword(&b, b.shadow, world_sq_doorbell(1)) = GUINT32_TO_LE(2);
        sn_ctrl_doorbell_event(b.w->ctrl, world_sq_doorbell(1));
        world_run(b.w);
        g_assert_cmphex(world_read32(b.w, NVME_REG_CSTS) & CFS, ==, CFS);
        world_disable(b.w);
        world_expect_unmapped(b.w);
        world_free(b.w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-dbbuf/bad-addresses", test_bad_addresses);
    g_test_add_func("/ctrl-dbbuf/admin-queue", test_admin_queue_is_not_in_it);
    g_test_add_func("/ctrl-dbbuf/tail-in-memory", test_tail_in_memory);
    g_test_add_func("/ctrl-dbbuf/in-the-middle", test_begins_in_the_middle);
    g_test_add_func("/ctrl-dbbuf/configured-again", test_configured_again);
    g_test_add_func("/ctrl-dbbuf/new-queue", test_new_queue);
    g_test_add_func("/ctrl-dbbuf/race", test_race);
    g_test_add_func("/ctrl-dbbuf/race-with-command", test_race_with_command);
    g_test_add_func("/ctrl-dbbuf/deleted-after-ring",
                    test_deleted_after_ring);
    g_test_add_func("/ctrl-dbbuf/bad-tail", test_bad_tail);
    g_test_add_func("/ctrl-dbbuf/head-in-memory", test_head_in_memory);
    g_test_add_func("/ctrl-dbbuf/cq-full", test_cq_full);
    g_test_add_func("/ctrl-dbbuf/cq-race", test_cq_race);
    g_test_add_func("/ctrl-dbbuf/bad-head", test_bad_head);
    g_test_add_func("/ctrl-dbbuf/pin", test_pin);
    g_test_add_func("/ctrl-dbbuf/random", test_random);
    g_test_add_func("/ctrl-dbbuf/saves-rings", test_saves_rings);
    g_test_add_func("/ctrl-dbbuf/idle-queues", test_idle_queues);
    g_test_add_func("/ctrl-dbbuf/cleared-by-reset", test_cleared_by_reset);
    g_test_add_func("/ctrl-dbbuf/buffer-goes", test_buffer_goes);
    return g_test_run();
}
