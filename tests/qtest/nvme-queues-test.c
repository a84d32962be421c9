/*
 * The NVMe function's queues (NVMe Base 1.4 sections 4.1, 5.3 to 5.6): how
 * they come and go, full ones, and doorbells that are rung wrongly.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

/* Far beyond the machine's memory and its PCI windows. */
#define NOWHERE 0x7fff00000000ULL
#define ROM     0xfffff000ULL

/* Any status but success */
#define ST_ERROR 0xffff

/* Dword 0 of the completion of an Asynchronous Event Request: figure 148 */
#define EVENT_BAD_REGISTER 0x010000
#define EVENT_BAD_VALUE    0x010100

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, CARD_NVME(""));
    nvme_enable(n);
}

static unsigned max_entries(Nvme *n)
{
    return (nvme_get64(n, REG_CAP) & 0xffff) + 1;
}

static void check_status(const char *name, unsigned got, unsigned expected)
{
    g_test_message("%s: status 0x%x", name, got);
    if (expected == ST_ERROR ? !got : got != expected) {
        g_error("%s: status 0x%x, not 0x%x", name, got, expected);
    }
}

static SnNvmeSqe read_cmd(Nvme *n, uint64_t slba)
{
    return nvme_rw_cmd(n, OP_READ, 1, slba, 1);
}

/* ---- creating ---- */

static void test_create_cq_errors(void)
{
    const struct {
        const char *name;
        uint32_t cdw10, cdw11;
        uint64_t prp1;                  /* 0: a good one, else + 1 */
        unsigned expected;
    } cases[] = {
        { "qid 0", 7 << 16 | 0, 1, 0, ST_QID },
        { "qid 65", 7 << 16 | 65, 1, 0, ST_QID },
        { "qid 65535", 7 << 16 | 65535, 1, 0, ST_QID },
        { "qid in use", 7 << 16 | 1, 1, 0, ST_QID },
        { "one entry", 0 << 16 | 2, 1, 0, ST_QUEUE_SIZE },
        { "65536 entries", 0xffffu << 16 | 2, 1, 0, ST_QUEUE_SIZE },
        { "not contiguous", 7 << 16 | 2, 0, 0, ST_INVALID_FIELD },
        { "vector 65535", 7 << 16 | 2, 0xffffu << 16 | 3, 0, ST_VECTOR },
        { "vector 2048", 7 << 16 | 2, 2048u << 16 | 3, 0, ST_VECTOR },
        { "offset 4", 7 << 16 | 2, 1, 1 + 0x100004, ST_PRP_OFFSET },
        { "offset 2048", 7 << 16 | 2, 1, 1 + 0x100800, ST_PRP_OFFSET },
        { "nowhere", 7 << 16 | 2, 1, 1 + NOWHERE, ST_ERROR },
        { "in ROM", 7 << 16 | 2, 1, 1 + ROM, ST_ERROR },
        { "at the end", 255 << 16 | 2, 1, 1 + 0xfffffffffffff000, ST_ERROR },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe cmd = {
            .opcode = OP_CREATE_CQ,
            .prp1 = cases[i].prp1 ? cases[i].prp1 - 1 : n.buffer,
            .cdw10 = cases[i].cdw10,
            .cdw11 = cases[i].cdw11,
        };

        check_status(cases[i].name, nvme_admin(&n, cmd), cases[i].expected);
    }
    /* One more than CAP.MQES, and exactly that */
    nvme_queue_alloc(&n, 2, 8, max_entries(&n) + 1);
    check_status("MQES + 1", nvme_admin(&n, nvme_create_cq_cmd(&n, 2)),
                 max_entries(&n) < 65536 ? ST_QUEUE_SIZE : 0);
    nvme_queue_alloc(&n, 2, max_entries(&n), max_entries(&n));
    nvme_admin_ok(&n, nvme_create_cq_cmd(&n, 2));
    nvme_admin_ok(&n, nvme_create_sq_cmd(&n, 2, 2));
    nvme_assert_status(nvme_command(&n, 2, read_cmd(&n, 0)), ST_OK);
    nvme_stop(&n);
}

static void test_create_sq_errors(void)
{
    const struct {
        const char *name;
        uint32_t cdw10, cdw11;
        uint64_t prp1;
        unsigned expected;
    } cases[] = {
        { "qid 0", 7 << 16 | 0, 1 << 16 | 1, 0, ST_QID },
        { "qid 65", 7 << 16 | 65, 1 << 16 | 1, 0, ST_QID },
        { "qid 65535", 7 << 16 | 65535, 1 << 16 | 1, 0, ST_QID },
        { "qid in use", 7 << 16 | 1, 1 << 16 | 1, 0, ST_QID },
        { "one entry", 0 << 16 | 2, 1 << 16 | 1, 0, ST_QUEUE_SIZE },
        { "65536 entries", 0xffffu << 16 | 2, 1 << 16 | 1, 0, ST_QUEUE_SIZE },
        { "not contiguous", 7 << 16 | 2, 1 << 16, 0, ST_INVALID_FIELD },
        { "the admin CQ", 7 << 16 | 2, 1, 0, ST_QID },
        { "CQ out of range", 7 << 16 | 2, 9999 << 16 | 1, 0, ST_QID },
        { "CQ unknown", 7 << 16 | 2, 2 << 16 | 1, 0, ST_CQ_INVALID },
        { "offset 4", 7 << 16 | 2, 1 << 16 | 1, 1 + 0x100004, ST_PRP_OFFSET },
        { "nowhere", 7 << 16 | 2, 1 << 16 | 1, 1 + NOWHERE, ST_ERROR },
        { "at the end", 63 << 16 | 2, 1 << 16 | 1, 1 + 0xfffffffffffff000,
          ST_ERROR },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe cmd = {
            .opcode = OP_CREATE_SQ,
            .prp1 = cases[i].prp1 ? cases[i].prp1 - 1 : n.buffer,
            .cdw10 = cases[i].cdw10,
            .cdw11 = cases[i].cdw11,
        };

        check_status(cases[i].name, nvme_admin(&n, cmd), cases[i].expected);
    }
    nvme_assert_status(nvme_command(&n, 1, read_cmd(&n, 0)), ST_OK);
    nvme_stop(&n);
}

static void test_delete_errors(void)
{
    static const struct {
        const char *name;
        uint8_t opcode;
        uint32_t qid;
        unsigned expected;
    } cases[] = {
        { "SQ 0", OP_DELETE_SQ, 0, ST_QID },
        { "SQ unknown", OP_DELETE_SQ, 2, ST_QID },
        { "SQ 65535", OP_DELETE_SQ, 65535, ST_QID },
        { "CQ 0", OP_DELETE_CQ, 0, ST_QID },
        { "CQ unknown", OP_DELETE_CQ, 2, ST_QID },
        { "CQ 65535", OP_DELETE_CQ, 65535, ST_QID },
        { "CQ in use", OP_DELETE_CQ, 1, ST_QUEUE_DELETION },
        { "SQ", OP_DELETE_SQ, 1, ST_OK },
        { "SQ again", OP_DELETE_SQ, 1, ST_QID },
        { "CQ", OP_DELETE_CQ, 1, ST_OK },
        { "CQ again", OP_DELETE_CQ, 1, ST_QID },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_status(cases[i].name,
                     nvme_admin(&n, (SnNvmeSqe) { .opcode = cases[i].opcode,
                                                  .cdw10 = cases[i].qid }),
                     cases[i].expected);
    }
    nvme_stop(&n);
}

static void set_sizes(Nvme *n, unsigned sqes, unsigned cqes)
{
    nvme_set(n, REG_CC, CC_EN | sqes << 16 | cqes << 20);
}

/*
 * CC.IOSQES and IOCQES are looked at when a queue is made; they may be set
 * after enabling (section 3.1.5).
 */
static void test_entry_sizes(void)
{
    static const unsigned wrong[] = { 0, 3, 5, 7, 15 };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        nvme_queue_alloc(&n, 1, 8, 8);
        set_sizes(&n, 6, wrong[i]);
        check_status("CQ", nvme_admin(&n, nvme_create_cq_cmd(&n, 1)),
                     ST_QUEUE_SIZE);
        set_sizes(&n, 6, 4);
        nvme_admin_ok(&n, nvme_create_cq_cmd(&n, 1));
        set_sizes(&n, wrong[i], 4);
        check_status("SQ", nvme_admin(&n, nvme_create_sq_cmd(&n, 1, 1)),
                     ST_QUEUE_SIZE);
        set_sizes(&n, 6, 4);
        nvme_admin_ok(&n, nvme_create_sq_cmd(&n, 1, 1));
        nvme_assert_status(nvme_command(&n, 1, read_cmd(&n, 0)), ST_OK);
        nvme_delete_queues(&n, 1);
    }
    nvme_stop(&n);
}

/* Set Features, Number of Queues: no more than it granted. */
static void test_granted(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_set_feature(&n, 7, 1 << 16 | 1), ST_OK);
    g_assert_cmphex(n.result & 0xffff, >=, 1);
    g_assert_cmphex(n.result >> 16, >=, 1);
    nvme_create_queues(&n, (n.result & 0xffff) + 1, 8);
    /* Too late: section 5.21.1.7 */
    nvme_assert_status(nvme_set_feature(&n, 7, 3 << 16 | 3), ST_SEQUENCE);
    nvme_stop(&n);
}

static void test_all_pairs(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_set_feature(&n, 7, 63 << 16 | 63), ST_OK);
    g_assert_cmphex(n.result, ==, 63 << 16 | 63);
    for (unsigned q = 1; q <= 64; q++) {
        nvme_create_queues(&n, q, 2 + q);
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned q = 1; q <= 64; q++) {
            nvme_submit(&n, q, read_cmd(&n, q));
        }
        for (unsigned q = 1; q <= 64; q++) {
            SnNvmeCqe cqe = nvme_wait_any(&n, q);

            g_assert_cmpuint(cqe.sqid, ==, q);
            nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
        }
    }
    for (unsigned q = 64; q > 0; q--) {
        nvme_delete_queues(&n, q);
    }
    nvme_stop(&n);
}

/* ---- wrapping, filling ---- */

static void test_wraparound(void)
{
    static const unsigned sizes[] = { 2, 3, 4, 5, 17 };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned s = 0; s < G_N_ELEMENTS(sizes); s++) {
        nvme_create_queues(&n, 1, sizes[s]);
        for (unsigned i = 0; i < 5 * sizes[s]; i++) {
            uint16_t cid = nvme_submit(&n, 1, read_cmd(&n, i));
            SnNvmeCqe cqe = nvme_wait_any(&n, 1);

            g_assert_cmphex(cqe.cid, ==, cid);
            g_assert_cmpuint(cqe.sqhd, ==, n.queues[1].tail);
            g_assert_cmphex(cqe.dw1, ==, 0);
        }
        nvme_delete_queues(&n, 1);
    }
    nvme_stop(&n);
}

/* The largest queues, filled in one go. */
static void test_largest(void)
{
    uint8_t seen[65536] = { };
    unsigned entries;
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-global smartnic-nvme.queue-entries=4096 "
               CARD_NVME(""));
    nvme_enable(&n);
    entries = max_entries(&n);
    g_assert_cmpuint(entries, ==, 4096);
    nvme_create_queues(&n, 1, entries);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < entries - 1; i++) {
            nvme_put(&n, 1, read_cmd(&n, i));
        }
        nvme_ring(&n, 1);
        for (unsigned i = 0; i < entries - 1; i++) {
            SnNvmeCqe cqe = nvme_wait_any(&n, 1);

            nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
            g_assert_cmpuint(seen[cqe.cid]++, ==, 0);
        }
    }
    nvme_stop(&n);
}

/* Completions wait for room, and none is lost or written over. */
static void test_cq_full(void)
{
    SnNvmeCqe cqe;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_queue_alloc(&n, 1, 32, 4);
    nvme_admin_ok(&n, nvme_create_cq_cmd(&n, 1));
    nvme_admin_ok(&n, nvme_create_sq_cmd(&n, 1, 1));
    for (unsigned round = 0; round < 4; round++) {
        unsigned seen = 0;

        for (unsigned i = 0; i < 20; i++) {
            nvme_put(&n, 1, read_cmd(&n, i));
        }
        nvme_ring(&n, 1);
        for (gint64 end = machine_deadline(); seen < 3; ) {
            seen += nvme_peek(&n, 1, &cqe);
            g_assert_true(machine_before(end));
        }
        nvme_assert_quiet(&n);          /* there is no fourth */
        nvme_ring_head(&n, 1);
        for (; seen < 20; seen++) {
            nvme_wait_any(&n, 1);
        }
        nvme_assert_quiet(&n);
    }
    nvme_stop(&n);
}

/* The queue is full, and its commands are over: deleting drops them. */
static void test_delete_full(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned round = 0; round < 3; round++) {
        nvme_queue_alloc(&n, 1, 32, 2);
        nvme_admin_ok(&n, nvme_create_cq_cmd(&n, 1));
        nvme_admin_ok(&n, nvme_create_sq_cmd(&n, 1, 1));
        for (unsigned i = 0; i < 20; i++) {
            nvme_put(&n, 1, read_cmd(&n, i));
        }
        nvme_ring(&n, 1);
        nvme_delete_queues(&n, 1);
    }
    nvme_stop(&n);
}

static void put_get_features(Nvme *n, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        nvme_put(n, 0, (SnNvmeSqe) { .opcode = OP_GET_FEATURES,
                                     .cdw10 = 7 });
    }
    nvme_ring(n, 0);
}

/* The admin completion queue without room */
static void test_admin_full(void)
{
    const unsigned full = NVME_ADMIN_ENTRIES - 1;
    gint64 deadline = machine_deadline();
    SnNvmeCqe cqe;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned round = 0; round < 3; round++) {
        put_get_features(&n, full);
        for (unsigned seen = 0; seen < full; ) {
            seen += nvme_peek(&n, 0, &cqe);
            g_assert_true(machine_before(deadline));
        }
        put_get_features(&n, 10);
        nvme_assert_quiet(&n);
        nvme_ring_head(&n, 0);
        for (unsigned i = 0; i < 10; i++) {
            nvme_wait_any(&n, 0);
        }
        nvme_assert_quiet(&n);
    }
    nvme_stop(&n);
}

static void test_shared_cq(void)
{
    unsigned count[4] = { };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_queue_alloc(&n, 1, 16, 64);
    nvme_admin_ok(&n, nvme_create_cq_cmd(&n, 1));
    for (unsigned q = 1; q < 4; q++) {
        if (q > 1) {
            nvme_queue_alloc(&n, q, 16, 2);
        }
        nvme_admin_ok(&n, nvme_create_sq_cmd(&n, q, 1));
        for (unsigned i = 0; i < 10; i++) {
            nvme_put(&n, q, read_cmd(&n, i));
        }
    }
    for (unsigned q = 1; q < 4; q++) {
        nvme_ring(&n, q);
    }
    for (unsigned i = 0; i < 30; i++) {
        SnNvmeCqe cqe = nvme_wait_any(&n, 1);

        g_assert_cmpuint(cqe.sqid, <, 4);
        count[cqe.sqid]++;
    }
    for (unsigned q = 1; q < 4; q++) {
        SnNvmeSqe cmd = { .opcode = OP_DELETE_CQ, .cdw10 = 1 };

        g_assert_cmpuint(count[q], ==, 10);
        nvme_assert_status(nvme_admin(&n, cmd), ST_QUEUE_DELETION);
        nvme_admin_ok(&n, (SnNvmeSqe) { .opcode = OP_DELETE_SQ, .cdw10 = q });
    }
    nvme_admin_ok(&n, (SnNvmeSqe) { .opcode = OP_DELETE_CQ, .cdw10 = 1 });
    nvme_stop(&n);
}

/* Weighted round robin with urgent: every priority gets its turn. */
static void test_priorities(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable_with(&n, CC_AMS(1));
    nvme_assert_status(nvme_set_feature(&n, 1, 0x03010001), ST_OK);
    for (unsigned q = 1; q <= 8; q++) {
        SnNvmeSqe cmd;

        nvme_queue_alloc(&n, q, 64, 64);
        nvme_admin_ok(&n, nvme_create_cq_cmd(&n, q));
        cmd = nvme_create_sq_cmd(&n, q, q);
        cmd.cdw11 |= (q % 4) << 1;
        nvme_admin_ok(&n, cmd);
        for (unsigned i = 0; i < 60; i++) {
            nvme_put(&n, q, read_cmd(&n, i));
        }
    }
    for (unsigned q = 1; q <= 8; q++) {
        nvme_ring(&n, q);
    }
    for (unsigned q = 1; q <= 8; q++) {
        for (unsigned i = 0; i < 60; i++) {
            nvme_wait_any(&n, q);
        }
    }
    nvme_stop(&n);
}

/* ---- doorbells ---- */

static uint16_t ask_event(Nvme *n)
{
    return nvme_submit(n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
}

static void check_event(Nvme *n, const char *name, uint32_t event)
{
    static uint8_t log[64];

    nvme_wait_any(n, 0);
    if (n->result != event) {
        g_error("%s: event 0x%x, not 0x%x", name, n->result, event);
    }
    /* Reading the log lets the next event of this kind come. */
    nvme_assert_status(nvme_get_log(n, 1, 0, log, sizeof(log)), ST_OK);
}

static void test_bad_doorbells(void)
{
    static const struct {
        const char *name;
        unsigned reg;
        uint32_t value, event;
    } cases[] = {
        { "SQ tail = entries", REG_DOORBELLS + 8, 8, EVENT_BAD_VALUE },
        { "SQ tail 65535", REG_DOORBELLS + 8, 65535, EVENT_BAD_VALUE },
        { "CQ head = entries", REG_DOORBELLS + 12, 8, EVENT_BAD_VALUE },
        { "CQ head 65535", REG_DOORBELLS + 12, 65535, EVENT_BAD_VALUE },
        { "admin CQ head", REG_DOORBELLS + 4, NVME_ADMIN_ENTRIES,
          EVENT_BAD_VALUE },
        { "unknown SQ", REG_DOORBELLS + 16, 0, EVENT_BAD_REGISTER },
        { "unknown CQ", REG_DOORBELLS + 20, 0, EVENT_BAD_REGISTER },
        { "SQ 64", REG_DOORBELLS + 8 * 64, 1, EVENT_BAD_REGISTER },
        { "SQ 65", REG_DOORBELLS + 8 * 65, 1, EVENT_BAD_REGISTER },
        { "the last", 0x1ffc, 1, EVENT_BAD_REGISTER },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        ask_event(&n);
        nvme_set(&n, cases[i].reg, cases[i].value);
        check_event(&n, cases[i].name, cases[i].event);
    }
    /* A queue that is gone has no doorbells either. */
    nvme_assert_status(nvme_command(&n, 1, read_cmd(&n, 0)), ST_OK);
    nvme_delete_queues(&n, 1);
    ask_event(&n);
    nvme_set(&n, nvme_sq_doorbell(1), 1);
    check_event(&n, "deleted SQ", EVENT_BAD_REGISTER);
    nvme_stop(&n);
}

/* Without a request for it, an event waits, one of its kind. */
static void test_bad_doorbell_waits(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < 1000; i++) {
        nvme_set(&n, nvme_sq_doorbell(9), i);
    }
    ask_event(&n);
    check_event(&n, "waiting", EVENT_BAD_REGISTER);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/queues/create-cq-errors", test_create_cq_errors);
    g_test_add_func("/queues/create-sq-errors", test_create_sq_errors);
    g_test_add_func("/queues/delete-errors", test_delete_errors);
    g_test_add_func("/queues/entry-sizes", test_entry_sizes);
    g_test_add_func("/queues/granted", test_granted);
    g_test_add_func("/queues/all-pairs", test_all_pairs);
    g_test_add_func("/queues/wraparound", test_wraparound);
    g_test_add_func("/queues/largest", test_largest);
    g_test_add_func("/queues/cq-full", test_cq_full);
    g_test_add_func("/queues/delete-full", test_delete_full);
    g_test_add_func("/queues/admin-full", test_admin_full);
    g_test_add_func("/queues/shared-cq", test_shared_cq);
    g_test_add_func("/queues/priorities", test_priorities);
    g_test_add_func("/queues/bad-doorbells", test_bad_doorbells);
    g_test_add_func("/queues/bad-doorbell-waits", test_bad_doorbell_waits);
    return g_test_run();
}
