/*
 * The NVMe function in front of a namespace that is NVMe itself: what only that
 * can do, statuses as they come, and two cards on it as two hosts.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"
#include "target.h"

enum {
    OP_RESV_REGISTER = 0x0d, OP_RESV_REPORT = 0x0e, OP_RESV_ACQUIRE = 0x11,
    OP_RESV_RELEASE = 0x15,
    ST_CONFLICT = 0x083, ST_UNRECOVERED_READ = 0x281,
};

#define WRITE_EXCLUSIVE   1u
#define RESV_IGNORE_KEY   (1u << 3)
#define RESV_EXTENDED     1u            /* Report, dword 11 */

/* Notice, namespace attribute changed, log page 04h */
#define EVENT_CHANGED 0x040002
/* Of the NVM command set, reservation log page available, log page 80h */
#define EVENT_RESERVATION 0x800006

#define LOG_RESERVATION 0x80
/* Types of its pages, and bits of the mask */
enum { RESV_EMPTY, RESV_REGISTRATION_PREEMPTED, RESV_RELEASED,
       RESV_PREEMPTED };
enum { FEATURE_MASK = 0x82, FEATURE_PERSIST = 0x83 };

/* Two cards are two hosts with one namespace. */
typedef struct World {
    Target target;
    Machine m;
    Nvme n[2];
} World;

static const uint64_t keys[2] = { 0xaaaa, 0xbbbb };

static void start(World *w)
{
    g_autofree char *a = NULL;
    g_autofree char *b = NULL;

    target_start(&w->target);
    a = target_card(&w->target, "nic0", CARD_SLOT, "",
                    "?hostnqn=nqn.2026-11.test:a");
    b = target_card(&w->target, "nic1", CARD_SLOT + 1, "",
                    "?hostnqn=nqn.2026-11.test:b");
    machine_start(&w->m, "%s%s", a, b);
    for (unsigned i = 0; i < 2; i++) {
        nvme_open(&w->n[i], &w->m, QPCI_DEVFN(CARD_SLOT + i, 2));
        /* Held back until the volume is there */
        nvme_enable(&w->n[i]);
        nvme_create_queues(&w->n[i], 1, 16);
    }
}

static void end(World *w)
{
    nvme_close(&w->n[1]);
    nvme_stop(&w->n[0]);
    target_stop(&w->target);
}

static unsigned io(Nvme *n, uint8_t op, uint64_t slba, unsigned blocks)
{
    return nvme_command(n, 1, nvme_rw_cmd(n, op, 1, slba, blocks));
}

/* ---- what the namespace is ---- */

static void test_identity(void)
{
    static const uint8_t uuid[] = {
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
        0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00,
    };
    uint8_t list[2][4096];
    struct nvme_id_ns ns;
    struct nvme_id_ctrl ctrl;
    bool found = false;
    World w;

    start(&w);
    for (unsigned i = 0; i < 2; i++) {
        nvme_assert_status(nvme_identify(&w.n[i], 3, 1, list[i]), ST_OK);
    }
    g_assert_cmpmem(list[0], 4096, list[1], 4096);
    for (unsigned at = 0; list[0][at]; at += 4 + list[0][at + 1]) {
        found |= list[0][at] == 3 && !memcmp(list[0] + at + 4, uuid, 16);
    }
    g_assert_true(found);
    nvme_assert_status(nvme_identify(&w.n[0], 0, 1, &ns), ST_OK);
    g_assert_cmphex(ns.rescap, !=, 0);
    g_assert_cmphex(ns.nmic & 1, ==, 1);        /* may be shared */
    nvme_assert_status(nvme_identify(&w.n[0], 1, 0, &ctrl), ST_OK);
    /* Write Uncorrectable, Reservations */
    g_assert_cmphex(ctrl.oncs & 0x22, ==, 0x22);
    end(&w);
}

/* A volume that grows at the target grows in the guest. */
static void test_resize(void)
{
    struct nvme_id_ns ns;
    uint16_t aer;
    World w;

    start(&w);
    nvme_assert_status(nvme_set_feature(&w.n[0], 0xb, 1 << 8), ST_OK);
    aer = nvme_submit(&w.n[0], 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
    target_command(&w.target, "resize 1 80M");
    nvme_assert_status(nvme_wait(&w.n[0], 0, aer), ST_OK);
    g_assert_cmphex(w.n[0].result, ==, EVENT_CHANGED);
    nvme_assert_status(nvme_identify(&w.n[0], 0, 1, &ns), ST_OK);
    g_assert_cmpuint(ns.nsze, ==, 80 * 2048);
    nvme_assert_status(io(&w.n[0], OP_READ, 80 * 2048 - 1, 1), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_READ, 80 * 2048, 1), ST_LBA_RANGE);
    end(&w);
}

/* ---- commands ---- */

static void test_write_uncorrectable(void)
{
    World w;

    start(&w);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 0, 16), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_WRITE_UNCORRECTABLE, 4, 4), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_READ, 0, 4), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_READ, 0, 8), ST_UNRECOVERED_READ);
    nvme_assert_status(io(&w.n[1], OP_READ, 7, 1), ST_UNRECOVERED_READ);
    nvme_assert_status(io(&w.n[1], OP_VERIFY, 0, 16), ST_UNRECOVERED_READ);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 4, 4), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_READ, 0, 16), ST_OK);
    nvme_assert_status(io(&w.n[1], OP_VERIFY, 0, 16), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_WRITE_UNCORRECTABLE, 1 << 30, 4),
                       ST_LBA_RANGE);
    end(&w);
}

static void test_compare(void)
{
    World w;

    start(&w);
    qtest_memset(w.m.qts, w.n[0].buffer, 0x77, 8 * NVME_BLOCK);
    qtest_memset(w.m.qts, w.n[1].buffer, 0x77, 8 * NVME_BLOCK);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 0, 8), ST_OK);
    nvme_assert_status(io(&w.n[1], OP_COMPARE, 0, 8), ST_OK);
    qtest_writeb(w.m.qts, w.n[1].buffer + 3000, 0x78);
    nvme_assert_status(io(&w.n[1], OP_COMPARE, 0, 8), ST_COMPARE);
    end(&w);
}

/* ---- reservations: NVMe Base 1.4 section 8.8 ---- */

static unsigned resv(Nvme *n, uint8_t op, uint32_t cdw10, uint64_t first,
                     uint64_t second)
{
    SnNvmeSqe cmd = { .opcode = op, .nsid = 1, .prp1 = n->buffer,
                      .cdw10 = cdw10 };

    qtest_writeq(n->m->qts, n->buffer, first);
    qtest_writeq(n->m->qts, n->buffer + 8, second);
    return nvme_command(n, 1, cmd);
}

static void register_both(World *w)
{
    for (unsigned i = 0; i < 2; i++) {
        nvme_assert_status(resv(&w->n[i], OP_RESV_REGISTER, 0, 0, keys[i]),
                           ST_OK);
    }
}

/* The number of registered hosts, and the type of the reservation */
static unsigned report(Nvme *n, unsigned *type)
{
    SnNvmeSqe cmd = { .opcode = OP_RESV_REPORT, .nsid = 1, .prp1 = n->buffer,
                      .cdw10 = 1023, .cdw11 = RESV_EXTENDED };

    nvme_assert_status(nvme_command(n, 1, cmd), ST_OK);
    *type = qtest_readb(n->m->qts, n->buffer + 4);
    return qtest_readw(n->m->qts, n->buffer + 5);
}

static void test_reservation(void)
{
    unsigned type;
    World w;

    start(&w);
    g_assert_cmpuint(report(&w.n[0], &type), ==, 0);
    register_both(&w);
    g_assert_cmpuint(report(&w.n[1], &type), ==, 2);
    g_assert_cmpuint(type, ==, 0);
    nvme_assert_status(resv(&w.n[0], OP_RESV_ACQUIRE, WRITE_EXCLUSIVE << 8,
                            keys[0], 0), ST_OK);
    report(&w.n[1], &type);
    g_assert_cmpuint(type, ==, WRITE_EXCLUSIVE);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 0, 8), ST_OK);
    nvme_assert_status(io(&w.n[1], OP_READ, 0, 8), ST_OK);
    nvme_assert_status(io(&w.n[1], OP_WRITE, 0, 8), ST_CONFLICT);
    nvme_assert_status(io(&w.n[1], OP_WRITE_ZEROES, 0, 8), ST_CONFLICT);
    nvme_assert_status(resv(&w.n[1], OP_RESV_ACQUIRE, WRITE_EXCLUSIVE << 8,
                            keys[1], 0), ST_CONFLICT);
    nvme_assert_status(resv(&w.n[0], OP_RESV_RELEASE, WRITE_EXCLUSIVE << 8,
                            keys[0], 0), ST_OK);
    nvme_assert_status(io(&w.n[1], OP_WRITE, 0, 8), ST_OK);
    end(&w);
}

/* The second host takes it away from the first. */
static void test_preempt(void)
{
    unsigned type;
    World w;

    start(&w);
    register_both(&w);
    nvme_assert_status(resv(&w.n[0], OP_RESV_ACQUIRE, WRITE_EXCLUSIVE << 8,
                            keys[0], 0), ST_OK);
    nvme_assert_status(resv(&w.n[1], OP_RESV_ACQUIRE,
                            WRITE_EXCLUSIVE << 8 | 1, keys[1], keys[0]),
                       ST_OK);
    g_assert_cmpuint(report(&w.n[0], &type), ==, 1);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 0, 8), ST_CONFLICT);
    nvme_assert_status(io(&w.n[1], OP_WRITE, 0, 8), ST_OK);
    /* Its registration ends its reservation. */
    nvme_assert_status(resv(&w.n[1], OP_RESV_REGISTER, 1 | RESV_IGNORE_KEY,
                            0, 0), ST_OK);
    nvme_assert_status(io(&w.n[0], OP_WRITE, 0, 8), ST_OK);
    end(&w);
}

/* ---- what the hosts hear of it ---- */

static void acquire(Nvme *n, unsigned type, uint64_t key, uint64_t preempted)
{
    nvme_assert_status(resv(n, OP_RESV_ACQUIRE, type << 8 | !!preempted, key,
                            preempted), ST_OK);
}

static uint16_t ask(Nvme *n)
{
    return nvme_submit(n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
}

static void expect_event(Nvme *n, uint16_t cid)
{
    nvme_assert_status(nvme_wait(n, 0, cid), ST_OK);
    g_assert_cmphex(n->result, ==, EVENT_RESERVATION);
}

/* The next page; 0: there is none. */
static unsigned page_type(Nvme *n, uint64_t count)
{
    struct nvme_resv_notification_log log;

    nvme_assert_status(nvme_get_log(n, LOG_RESERVATION, 0, &log,
                                    sizeof(log)), ST_OK);
    g_assert_cmpuint(log.lpc, ==, count);
    g_assert_cmpuint(log.nsid, ==, log.rnlpt ? 1 : 0);
    g_assert_cmpuint(log.nalp, ==, 0);
    return log.rnlpt;
}

static void test_notices(void)
{
    uint16_t cid;
    World w;

    start(&w);
    register_both(&w);
    acquire(&w.n[0], WRITE_EXCLUSIVE, keys[0], 0);
    cid = ask(&w.n[0]);
    acquire(&w.n[1], WRITE_EXCLUSIVE, keys[1], keys[0]);
    expect_event(&w.n[0], cid);
    g_assert_cmpuint(page_type(&w.n[0], 1), ==, RESV_REGISTRATION_PREEMPTED);
    g_assert_cmpuint(page_type(&w.n[0], 0), ==, RESV_EMPTY);
    /* Whoever does it does not hear of it. */
    g_assert_cmpuint(page_type(&w.n[1], 0), ==, RESV_EMPTY);
    /* Cleared, the third action of the other host */
    register_both(&w);
    cid = ask(&w.n[0]);
    nvme_assert_status(resv(&w.n[1], OP_RESV_RELEASE, 1, keys[1], 0), ST_OK);
    expect_event(&w.n[0], cid);
    g_assert_cmpuint(page_type(&w.n[0], 2), ==, RESV_PREEMPTED);
    end(&w);
}

static unsigned feature(Nvme *n, uint8_t opcode, uint8_t fid, uint32_t value)
{
    return nvme_admin(n, (SnNvmeSqe) { .opcode = opcode, .nsid = 1,
                                       .cdw10 = fid, .cdw11 = value });
}

static void test_notices_masked(void)
{
    uint16_t cid;
    World w;

    start(&w);
    register_both(&w);
    nvme_assert_status(feature(&w.n[0], OP_SET_FEATURES, FEATURE_MASK,
                               1 << RESV_REGISTRATION_PREEMPTED), ST_OK);
    cid = ask(&w.n[0]);
    acquire(&w.n[1], WRITE_EXCLUSIVE, keys[1], keys[0]);
    register_both(&w);
    nvme_assert_status(resv(&w.n[1], OP_RESV_RELEASE, 1, keys[1], 0), ST_OK);
    expect_event(&w.n[0], cid);
    g_assert_cmpuint(page_type(&w.n[0], 1), ==, RESV_PREEMPTED);
    g_assert_cmpuint(page_type(&w.n[0], 0), ==, RESV_EMPTY);
    end(&w);
}

/* What one host sets is so for both, and in the report. */
static void test_persistence(void)
{
    World w;

    start(&w);
    for (int on = 1; on >= 0; on--) {
        SnNvmeSqe cmd = { .opcode = OP_RESV_REPORT, .nsid = 1,
                          .prp1 = w.n[1].buffer, .cdw10 = 1023,
                          .cdw11 = RESV_EXTENDED };

        nvme_assert_status(feature(&w.n[0], OP_SET_FEATURES, FEATURE_PERSIST,
                                   on), ST_OK);
        nvme_assert_status(feature(&w.n[1], OP_GET_FEATURES, FEATURE_PERSIST,
                                   0), ST_OK);
        g_assert_cmpuint(w.n[1].result, ==, on);
        nvme_assert_status(nvme_command(&w.n[1], 1, cmd), ST_OK);
        g_assert_cmpuint(qtest_readb(w.m.qts, w.n[1].buffer + 9), ==, on);
    }
    nvme_assert_status(feature(&w.n[0], OP_SET_FEATURES, FEATURE_PERSIST, 2),
                       ST_INVALID_FIELD);
    end(&w);
}

static void test_reservation_errors(void)
{
    SnNvmeSqe cmd = { .opcode = OP_RESV_REGISTER, .nsid = 1,
                      .prp1 = 0x7fff00000000 };
    World w;

    start(&w);
    register_both(&w);
    nvme_assert_status(nvme_command(&w.n[0], 1, cmd), ST_DATA_TRANSFER);
    cmd.opcode = OP_RESV_REPORT;
    nvme_assert_status(nvme_command(&w.n[0], 1, cmd), ST_DATA_TRANSFER);
    cmd.cdw10 = UINT32_MAX;             /* more than a command may have */
    g_assert_cmphex(nvme_command(&w.n[0], 1, cmd), !=, ST_OK);
    cmd.nsid = 2;
    nvme_assert_status(nvme_command(&w.n[0], 1, cmd), ST_INVALID_NS);
    /* A wrong key, a reserved action and a reserved type */
    nvme_assert_status(resv(&w.n[0], OP_RESV_ACQUIRE, WRITE_EXCLUSIVE << 8,
                            1, 0), ST_CONFLICT);
    nvme_assert_status(resv(&w.n[0], OP_RESV_ACQUIRE, 7, keys[0], 0),
                       ST_INVALID_FIELD);
    nvme_assert_status(resv(&w.n[0], OP_RESV_ACQUIRE, 0xff << 8, keys[0], 0),
                       ST_INVALID_FIELD);
    end(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passthrough/identity", test_identity);
    g_test_add_func("/passthrough/resize", test_resize);
    g_test_add_func("/passthrough/write-uncorrectable",
                    test_write_uncorrectable);
    g_test_add_func("/passthrough/compare", test_compare);
    g_test_add_func("/passthrough/reservation", test_reservation);
    g_test_add_func("/passthrough/preempt", test_preempt);
    g_test_add_func("/passthrough/notices", test_notices);
    g_test_add_func("/passthrough/notices-masked", test_notices_masked);
    g_test_add_func("/passthrough/persistence", test_persistence);
    g_test_add_func("/passthrough/reservation-errors",
                    test_reservation_errors);
    return g_test_run();
}
