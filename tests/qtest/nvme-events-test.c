/*
 * The NVMe function's Asynchronous Event Request and Abort (NVMe Base 1.4
 * sections 5.2 and 5.1): what waits, for how long, and how it ends.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define EVENT_BAD_REGISTER 0x010000
#define EVENT_BAD_VALUE    0x010100

#define RETAIN (1u << 15)       /* Get Log Page, dword 10: RAE */

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, CARD_NVME(""));
    nvme_enable(n);
}

static unsigned event_limit(Nvme *n)
{
    struct nvme_id_ctrl id;

    nvme_assert_status(nvme_identify(n, 1, 0, &id), ST_OK);
    g_assert_cmpuint(id.aerl + 1, <, NVME_ADMIN_ENTRIES - 2);
    return id.aerl + 1;
}

static uint16_t ask_event(Nvme *n)
{
    return nvme_submit(n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
}

static void ring_unknown(Nvme *n)
{
    nvme_set(n, nvme_sq_doorbell(9), 1);
}

static void read_error_log(Nvme *n, uint32_t flags)
{
    nvme_admin_ok(n, (SnNvmeSqe) { .opcode = OP_GET_LOG, .nsid = NVME_ALL,
                                   .prp1 = n->buffer,
                                   .cdw10 = 15 << 16 | flags | 1 });
}

static unsigned abort_command(Nvme *n, unsigned sqid, uint16_t cid)
{
    nvme_admin_ok(n, (SnNvmeSqe) { .opcode = OP_ABORT,
                                   .cdw10 = (uint32_t)cid << 16 | sqid });
    return n->result & 1;
}

/* ---- Asynchronous Event Request ---- */

static void test_limit(void)
{
    unsigned limit;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    limit = event_limit(&n);
    for (unsigned i = 0; i < limit; i++) {
        ask_event(&n);
    }
    nvme_assert_quiet(&n);
    for (unsigned i = 0; i < 3; i++) {
        nvme_assert_status(nvme_wait(&n, 0, ask_event(&n)), ST_AER_LIMIT);
    }
    /* One event ends one of them: the oldest. */
    ring_unknown(&n);
    nvme_wait_any(&n, 0);
    g_assert_cmphex(n.result, ==, EVENT_BAD_REGISTER);
    nvme_assert_quiet(&n);
    ask_event(&n);
    nvme_assert_status(nvme_wait(&n, 0, ask_event(&n)), ST_AER_LIMIT);
    nvme_stop(&n);
}

/* A type that was sent does not come again before its log was read. */
static void test_masking(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    ask_event(&n);
    ask_event(&n);
    ring_unknown(&n);
    nvme_wait_any(&n, 0);
    g_assert_cmphex(n.result, ==, EVENT_BAD_REGISTER);
    ring_unknown(&n);
    nvme_assert_quiet(&n);
    read_error_log(&n, RETAIN);
    ring_unknown(&n);
    nvme_assert_quiet(&n);
    qtest_memset(m.qts, n.buffer, 0, 64);
    nvme_submit(&n, 0, (SnNvmeSqe) { .opcode = OP_GET_LOG, .nsid = NVME_ALL,
                                     .prp1 = n.buffer,
                                     .cdw10 = 15 << 16 | 1 });
    /* The log and, if it was kept meanwhile, the event */
    nvme_wait_any(&n, 0);
    ring_unknown(&n);
    nvme_wait_any(&n, 0);
    nvme_stop(&n);
}

/* A reset ends requests without a word, and forgets events. */
static void test_reset(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < 3; i++) {
        ask_event(&n);
        ask_event(&n);
        ring_unknown(&n);
        nvme_wait_any(&n, 0);
        ring_unknown(&n);
        nvme_enable(&n);
    }
    ask_event(&n);
    nvme_assert_quiet(&n);
    ring_unknown(&n);                   /* and is not masked any more */
    nvme_wait_any(&n, 0);
    g_assert_cmphex(n.result, ==, EVENT_BAD_REGISTER);
    nvme_stop(&n);
}

/* Shutting down ends with requests outstanding. */
static void test_shutdown(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    ask_event(&n);
    nvme_set(&n, REG_CC, CC_SIZES | CC_EN | CC_SHN(1));
    nvme_wait_csts(&n, CSTS_SHST, CSTS_SHUT);
    nvme_assert_quiet(&n);
    nvme_stop(&n);
}

/* Section 5.2: over the temperature threshold, when the guest asks for that */
static void test_temperature(void)
{
    static const struct {
        uint32_t mask, threshold;
        bool event;
    } cases[] = {
        { 0, 300, false },                      /* masked */
        { 1 << 1, 400, false },                 /* not reached */
        { 1 << 1, 300, true },                  /* over */
        { 1 << 1, 1 << 20 | 350, true },        /* under */
    };
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe set = { .opcode = OP_SET_FEATURES, .cdw10 = 4,
                          .cdw11 = cases[i].threshold };
        uint16_t aer, cid;
        SnNvmeCqe cqe;

        nvme_enable(&n);
        nvme_assert_status(nvme_set_feature(&n, 0xb, cases[i].mask), ST_OK);
        aer = ask_event(&n);
        cid = nvme_submit(&n, 0, set);
        cqe = nvme_wait_any(&n, 0);
        if (cases[i].event && cqe.cid == cid) {
            cqe = nvme_wait_any(&n, 0);
        }
        if (cases[i].event && cqe.cid == aer) {
            g_assert_cmphex(n.result & 0xffff07, ==, 0x020101);
        } else {
            g_test_message("temperature events are not sent");
        }
        g_assert_cmpint(cases[i].event, ==, cqe.cid == aer);
    }
    nvme_stop(&n);
}

/* ---- Abort ---- */

static void test_abort_event(void)
{
    uint16_t first, second;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    first = ask_event(&n);
    second = ask_event(&n);
    for (unsigned i = 0; i < 2; i++) {
        uint16_t victim = i ? first : second;
        uint16_t cid = nvme_submit(&n, 0, (SnNvmeSqe) {
            .opcode = OP_ABORT, .cdw10 = (uint32_t)victim << 16,
        });
        unsigned seen = 0;

        /* Which of the two comes first is not said. */
        for (unsigned c = 0; c < 2; c++) {
            SnNvmeCqe cqe = nvme_wait_any(&n, 0);

            if (cqe.cid == cid) {
                nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
                g_assert_cmphex(cqe.dw0 & 1, ==, 0);
                seen |= 1;
            } else {
                g_assert_cmphex(cqe.cid, ==, victim);
                nvme_assert_status(sn_nvme_status(&cqe), ST_ABORTED);
                seen |= 2;
            }
        }
        g_assert_cmphex(seen, ==, 3);
    }
    g_assert_cmpuint(abort_command(&n, 0, first), ==, 1);
    nvme_stop(&n);
}

/* Nothing to abort: dword 0 says so, whatever was asked for. */
static void test_abort_nothing(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_create_queues(&n, 1, 8);
    g_assert_cmpuint(abort_command(&n, 1, 77), ==, 1);
    g_assert_cmpuint(abort_command(&n, 0, 7777), ==, 1);
    g_assert_cmpuint(abort_command(&n, 1, 0xffff), ==, 1);
    /* A queue that does not exist: this, or a status */
    for (unsigned qid = 2; qid < 65536; qid += 9362) {
        unsigned status = nvme_admin(&n, (SnNvmeSqe) {
            .opcode = OP_ABORT, .cdw10 = 1 << 16 | qid,
        });

        g_assert_true(status != ST_OK || (n.result & 1));
    }
    /* Itself */
    nvme_admin(&n, (SnNvmeSqe) { .opcode = OP_ABORT,
                                 .cdw10 = (n.cid + 1u) << 16 });
    nvme_stop(&n);
}

/* ---- admin commands that are not offered ---- */

static void test_not_offered(void)
{
    static const uint8_t opcodes[] = {
        0x0d, 0x10, 0x11, 0x14, 0x15, 0x19, 0x1a, 0x1c, 0x1d, 0x1e,
        OP_FORMAT, 0x81, 0x82, 0x84, 0xc0, 0xff,
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(opcodes); i++) {
        nvme_assert_status(nvme_admin(&n, (SnNvmeSqe) {
            .opcode = opcodes[i], .nsid = 1, .prp1 = n.buffer,
        }), ST_INVALID_OPCODE);
        g_assert_true(n.dnr);
    }
    nvme_stop(&n);
}

/* A CID that is in use: the second command is refused, not the first. */
static void test_duplicate_cid(void)
{
    SnNvmeSqe aer = { .opcode = OP_ASYNC_EVENT, .cid = 0x4321 };
    SnNvmeSqe get = { .opcode = OP_GET_FEATURES, .cid = 0x4321, .cdw10 = 7 };
    SnNvmeCqe cqe;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_put_as_is(&n, 0, &aer);
    nvme_ring(&n, 0);
    nvme_assert_quiet(&n);
    nvme_put_as_is(&n, 0, &get);
    nvme_ring(&n, 0);
    cqe = nvme_wait_any(&n, 0);
    nvme_assert_status(sn_nvme_status(&cqe), ST_CID_CONFLICT);
    ring_unknown(&n);
    cqe = nvme_wait_any(&n, 0);
    g_assert_cmphex(cqe.cid, ==, 0x4321);
    nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
    nvme_put_as_is(&n, 0, &get);        /* free again */
    nvme_ring(&n, 0);
    cqe = nvme_wait_any(&n, 0);
    nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/events/limit", test_limit);
    g_test_add_func("/events/masking", test_masking);
    g_test_add_func("/events/reset", test_reset);
    g_test_add_func("/events/shutdown", test_shutdown);
    g_test_add_func("/events/temperature", test_temperature);
    g_test_add_func("/events/abort-event", test_abort_event);
    g_test_add_func("/events/abort-nothing", test_abort_nothing);
    g_test_add_func("/events/not-offered", test_not_offered);
    g_test_add_func("/events/duplicate-cid", test_duplicate_cid);
    return g_test_run();
}
