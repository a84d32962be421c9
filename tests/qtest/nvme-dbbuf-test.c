/*
 * The NVMe function's Doorbell Buffer Config (NVMe Base 1.4 sections 5.7 and
 * B.5): doorbells in memory, written only when the controller asks for it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define NOWHERE 0x7fff00000000ULL
#define DEPTH   16

typedef struct Dbbuf {
    Nvme n;
    Machine m;
    uint64_t shadow, event_index;       /* a page each */
    unsigned rung;                      /* doorbells that had to be written */
} Dbbuf;

static unsigned config(Dbbuf *d, uint64_t prp1, uint64_t prp2)
{
    return nvme_admin(&d->n, (SnNvmeSqe) { .opcode = OP_DBBUF, .prp1 = prp1,
                                           .prp2 = prp2 });
}

static void enable(Dbbuf *d, bool before_queues)
{
    nvme_enable(&d->n);
    qtest_memset(d->m.qts, d->shadow, 0, 2 * 4096);
    if (before_queues) {
        nvme_assert_status(config(d, d->shadow, d->event_index), ST_OK);
    }
    nvme_create_queues(&d->n, 1, DEPTH);
    if (!before_queues) {
        nvme_assert_status(config(d, d->shadow, d->event_index), ST_OK);
    }
}

static void open_with(Dbbuf *d, const char *args)
{
    *d = (Dbbuf) { };
    nvme_start(&d->n, &d->m, args);
    d->shadow = d->n.list;
    d->event_index = d->n.list + 4096;
    enable(d, false);
}

static void open_ctrl(Dbbuf *d)
{
    open_with(d, CARD_NVME(""));
}

/*
 * What section B.5 has a host do: write the copy, then look whether the
 * controller has asked for the doorbell between the old value and the new.
 */
static void update(Dbbuf *d, uint64_t doorbell, uint16_t value)
{
    uint64_t at = doorbell - REG_DOORBELLS;
    uint16_t old = qtest_readl(d->m.qts, d->shadow + at);
    uint16_t event;

    qtest_writel(d->m.qts, d->shadow + at, value);
    event = qtest_readl(d->m.qts, d->event_index + at);
    if ((uint16_t)(value - event - 1) < (uint16_t)(value - old)) {
        d->rung++;
        nvme_set(&d->n, doorbell, value);
    }
}

static void submit(Dbbuf *d, unsigned qid)
{
    nvme_put(&d->n, qid, nvme_rw_cmd(&d->n, OP_READ, 1, 0, 1));
    update(d, nvme_sq_doorbell(qid), d->n.queues[qid].tail);
}

/* Waits for a completion, which the head does not tell yet. */
static void await(Dbbuf *d, unsigned qid)
{
    gint64 deadline = machine_deadline();
    SnNvmeCqe cqe;

    while (!nvme_peek(&d->n, qid, &cqe)) {
        if (!machine_before(deadline)) {
            g_error("a command was not seen");
        }
    }
    nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
}

static void update_head(Dbbuf *d, unsigned qid)
{
    update(d, nvme_cq_doorbell(qid), d->n.queues[qid].head);
}

static void close_all(Dbbuf *d)
{
    nvme_stop(&d->n);
}

static void test_errors(void)
{
    const struct {
        const char *name;
        uint64_t prp1, prp2;    /* + a good address below 2^16 */
    } cases[] = {
        { "shadow + 4", 4, 0 }, { "event index + 4", 0, 4 },
        { "shadow + 2048", 2048, 0 }, { "both odd", 1, 1 },
        { "shadow nowhere", NOWHERE, 0 }, { "event index nowhere", 0, NOWHERE },
        { "event index in ROM", 0, 0xfffff000 },
        { "shadow at the end", 0xfffffffffffff000, 0 },
        { "event index at the end", 0, 0xfffffffffffff000 },
    };
    Dbbuf d;

    open_ctrl(&d);
    nvme_enable(&d.n);
    nvme_create_queues(&d.n, 1, DEPTH);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t prp1 = cases[i].prp1, prp2 = cases[i].prp2;
        unsigned status = config(&d, prp1 < 65536 ? prp1 + d.shadow : prp1,
                                 prp2 < 65536 ? prp2 + d.event_index : prp2);

        g_test_message("%s: status 0x%x", cases[i].name, status);
        if (!status) {
            g_error("%s was accepted", cases[i].name);
        }
    }
    /* None of them has changed anything. */
    for (unsigned i = 0; i < 2 * DEPTH; i++) {
        nvme_assert_status(nvme_command(&d.n, 1, nvme_rw_cmd(&d.n, OP_READ, 1,
                                                             0, 1)), ST_OK);
    }
    close_all(&d);
}

/*
 * One at a time, several at a time, with the head kept and not; doorbells that
 * are events of the host and doorbells that are writes to a register
 */
static void test_commands(void)
{
    for (unsigned order = 0; order < 4; order++) {
        Dbbuf d;

        open_with(&d, order & 2
                  ? "-global smartnic-nvme.ioeventfd=off " CARD_NVME("")
                  : CARD_NVME(""));
        enable(&d, order & 1);
        for (unsigned round = 0; round < 200; round++) {
            unsigned count = 1 + round % (DEPTH - 1);

            for (unsigned i = 0; i < count; i++) {
                submit(&d, 1);
            }
            for (unsigned i = 0; i < count; i++) {
                await(&d, 1);
                if (round & 1) {
                    update_head(&d, 1);
                }
            }
            update_head(&d, 1);
        }
        g_test_message("%u doorbells were written", d.rung);
        close_all(&d);
    }
}

/* What counts is in memory: three commands, and a doorbell for the first. */
static void test_memory_counts(void)
{
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned i = 0; i < 3 * DEPTH; i++) {
        uint16_t first = (d.n.queues[1].tail + 1) % DEPTH;

        for (unsigned c = 0; c < 3; c++) {
            nvme_put(&d.n, 1, nvme_rw_cmd(&d.n, OP_READ, 1, 0, 1));
        }
        qtest_writel(d.m.qts, d.shadow + 8, d.n.queues[1].tail);
        nvme_set(&d.n, nvme_sq_doorbell(1), first);
        for (unsigned c = 0; c < 3; c++) {
            await(&d, 1);
        }
        update_head(&d, 1);
    }
    close_all(&d);
}

/*
 * Commands that come while others are under way: whatever the host sees in the
 * event index, none of them is forgotten. (qtest takes turns with QEMU; the
 * race with a guest that runs at the same time is for a unit test.)
 */
static void test_interleaved(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(42);
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned waiting = 0;

        for (unsigned i = 0; i < 6; i++) {
            SnNvmeCqe cqe;

            submit(&d, 1);
            waiting++;
            for (unsigned l = g_rand_int_range(rand, 0, 3); l; l--) {
                waiting -= nvme_peek(&d.n, 1, &cqe);
            }
        }
        for (; waiting; waiting--) {
            await(&d, 1);
        }
        update_head(&d, 1);
    }
    g_test_message("%u of 6000 doorbells were written", d.rung);
    close_all(&d);
}

/* A full completion queue goes on when the head in memory says so. */
static void test_full(void)
{
    Dbbuf d;

    open_ctrl(&d);
    nvme_queue_alloc(&d.n, 2, 32, 4);
    nvme_admin_ok(&d.n, nvme_create_cq_cmd(&d.n, 2));
    nvme_admin_ok(&d.n, nvme_create_sq_cmd(&d.n, 2, 2));
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 20; i++) {
            submit(&d, 2);
        }
        for (unsigned i = 0; i < 20; i++) {
            await(&d, 2);
            if (i % 3 == 2) {
                update_head(&d, 2);
            }
        }
        update_head(&d, 2);
    }
    close_all(&d);
}

/* Values that are none; an event may tell, and a reset helps. */
static void test_bad_values(void)
{
    static const uint32_t values[] = {
        DEPTH, DEPTH + 1, 0xffff, 0x10000, 0x7fffffff, 0xffffffff,
    };
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        for (unsigned half = 0; half < 8; half += 4) {
            enable(&d, i & 1);
            qtest_writel(d.m.qts, d.shadow + 8 + half, values[i]);
            nvme_set(&d.n, REG_DOORBELLS + 8 + half, 1);
            for (unsigned a = 0; a < 4; a++) {
                machine_assert_alive(&d.m);
            }
            nvme_admin_ok(&d.n, (SnNvmeSqe) { .opcode = OP_GET_FEATURES,
                                              .cdw10 = 7 });
        }
    }
    close_all(&d);
}

/* After a reset the pages are the guest's again, and doorbells doorbells. */
static void test_reset(void)
{
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t pages[2 * 4096];

        enable(&d, i & 1);
        submit(&d, 1);
        await(&d, 1);
        update_head(&d, 1);
        submit(&d, 1);
        nvme_enable(&d.n);
        qtest_memset(d.m.qts, d.shadow, 0xee, sizeof(pages));
        nvme_create_queues(&d.n, 1, DEPTH);
        for (unsigned c = 0; c < 2 * DEPTH; c++) {
            nvme_assert_status(nvme_command(&d.n, 1,
                nvme_rw_cmd(&d.n, OP_READ, 1, 0, 1)), ST_OK);
        }
        qtest_memread(d.m.qts, d.shadow, pages, sizeof(pages));
        for (unsigned b = 0; b < sizeof(pages); b++) {
            g_assert_cmphex(pages[b], ==, 0xee);
        }
    }
    close_all(&d);
}

/* Queues go while their doorbells are in memory, and others take their place */
static void test_queues_come_and_go(void)
{
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned i = 0; i < 20; i++) {
        submit(&d, 1);
        if (i % 2) {
            await(&d, 1);
            update_head(&d, 1);
        }
        nvme_delete_queues(&d.n, 1);
        /* A host begins at 0 again: section 5.7 */
        qtest_writeq(d.m.qts, d.shadow + 8, 0);
        qtest_writeq(d.m.qts, d.event_index + 8, 0);
        nvme_create_queues(&d.n, 1, DEPTH);
    }
    submit(&d, 1);
    await(&d, 1);
    close_all(&d);
}

/* Without bus mastering for a while */
static void test_paused(void)
{
    Dbbuf d;

    open_ctrl(&d);
    for (unsigned i = 0; i < 10; i++) {
        nvme_bus_master(&d.n, false);
        submit(&d, 1);
        if (i & 1) {                    /* whatever the index said */
            nvme_set(&d.n, nvme_sq_doorbell(1), d.n.queues[1].tail);
        }
        nvme_assert_quiet(&d.n);
        nvme_bus_master(&d.n, true);
        await(&d, 1);
        update_head(&d, 1);
    }
    close_all(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dbbuf/errors", test_errors);
    g_test_add_func("/dbbuf/commands", test_commands);
    g_test_add_func("/dbbuf/memory-counts", test_memory_counts);
    g_test_add_func("/dbbuf/interleaved", test_interleaved);
    g_test_add_func("/dbbuf/full", test_full);
    g_test_add_func("/dbbuf/bad-values", test_bad_values);
    g_test_add_func("/dbbuf/reset", test_reset);
    g_test_add_func("/dbbuf/queues-come-and-go", test_queues_come_and_go);
    g_test_add_func("/dbbuf/paused", test_paused);
    return g_test_run();
}
