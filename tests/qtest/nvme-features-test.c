/*
 * The NVMe function's features (NVMe Base 1.4 sections 5.14 and 5.21): each
 * with every kind of question about it, and what may not be set.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define SAVE  (1u << 31)        /* Set Features, dword 10: SV */
#define SEL(sel) ((uint32_t)(sel) << 8)
enum { CURRENT, DEFAULT, SAVED, SUPPORTED };

#define SUPPORTED_SAVEABLE   1
#define SUPPORTED_NAMESPACE  2
#define SUPPORTED_CHANGEABLE 4

enum {
    ARBITRATION = 0x01, POWER = 0x02, TEMPERATURE = 0x04,
    ERROR_RECOVERY = 0x05, WRITE_CACHE = 0x06, QUEUES = 0x07,
    COALESCING = 0x08, VECTOR = 0x09, ATOMICITY = 0x0a, EVENTS = 0x0b,
    TIMESTAMP = 0x0e, HOST_ID = 0x81,
};

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, CARD_NVME("&cache=on"));
    nvme_enable(n);
}

static unsigned get(Nvme *n, uint8_t fid, unsigned sel, uint32_t cdw11)
{
    return nvme_admin(n, (SnNvmeSqe) {
        .opcode = OP_GET_FEATURES, .nsid = fid == ERROR_RECOVERY ? 1 : 0,
        .cdw10 = fid | SEL(sel), .cdw11 = cdw11, .prp1 = n->buffer,
    });
}

static unsigned set(Nvme *n, uint32_t fid, uint32_t value)
{
    return nvme_admin(n, (SnNvmeSqe) {
        .opcode = OP_SET_FEATURES,
        .nsid = (fid & 0xff) == ERROR_RECOVERY ? 1 : 0,
        .cdw10 = fid, .cdw11 = value, .prp1 = n->buffer,
    });
}

/* Those with a value in dword 11 that comes back as it was set */
static const struct {
    const char *name;
    uint8_t fid;
    uint32_t which;             /* more of dword 11, to find the value */
    uint32_t value;
} simple[] = {
    { "arbitration", ARBITRATION, 0, 0x03050702 },
    { "temperature, over", TEMPERATURE, 0, 350 },
    { "temperature, under", TEMPERATURE, 1 << 20, 250 | 1 << 20 },
    { "error recovery", ERROR_RECOVERY, 0, 7 },
    { "write cache", WRITE_CACHE, 0, 0 },
    { "coalescing", COALESCING, 0, 0x0203 },
    { "vector 1", VECTOR, 1, 1 << 16 | 1 },
    { "atomicity", ATOMICITY, 0, 1 },
    { "events", EVENTS, 0, 0x100 },
};

static void test_set_and_get(void)
{
    uint32_t defaults[G_N_ELEMENTS(simple)];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(simple); i++) {
        uint8_t fid = simple[i].fid;
        uint32_t which = simple[i].which;
        uint32_t mask = fid == TEMPERATURE ? 0xffff : UINT32_MAX;

        g_test_message("%s", simple[i].name);
        nvme_assert_status(get(&n, fid, DEFAULT, which), ST_OK);
        defaults[i] = n.result & mask;
        nvme_assert_status(get(&n, fid, CURRENT, which), ST_OK);
        g_assert_cmphex(n.result & mask, ==, defaults[i]);
        g_assert_cmphex(simple[i].value & mask, !=, defaults[i]);
        nvme_assert_status(set(&n, fid, simple[i].value), ST_OK);
        nvme_assert_status(get(&n, fid, CURRENT, which), ST_OK);
        g_assert_cmphex(n.result & mask, ==, simple[i].value & mask);
        nvme_assert_status(get(&n, fid, DEFAULT, which), ST_OK);
        g_assert_cmphex(n.result & mask, ==, defaults[i]);
        nvme_assert_status(get(&n, fid, SUPPORTED, which), ST_OK);
        g_assert_cmphex(n.result & (SUPPORTED_SAVEABLE |
                                    SUPPORTED_CHANGEABLE), ==,
                        SUPPORTED_CHANGEABLE);
        g_assert_cmphex(n.result & SUPPORTED_NAMESPACE, ==,
                        fid == ERROR_RECOVERY ? SUPPORTED_NAMESPACE : 0);
        nvme_assert_status(set(&n, fid | SAVE, simple[i].value),
                           ST_NOT_SAVEABLE);
    }
    /* A reset brings the defaults back. */
    nvme_enable(&n);
    for (unsigned i = 0; i < G_N_ELEMENTS(simple); i++) {
        nvme_assert_status(get(&n, simple[i].fid, CURRENT, simple[i].which),
                           ST_OK);
        g_assert_cmphex(n.result &
                        (simple[i].fid == TEMPERATURE ? 0xffff : UINT32_MAX),
                        ==, defaults[i]);
    }
    nvme_stop(&n);
}

static void test_refused(void)
{
    static const struct {
        const char *name;
        uint32_t fid, value;
    } cases[] = {
        { "FID 0", 0, 0 }, { "FID 3", 3, 0 }, { "FID 0c", 0x0c, 0 },
        { "FID 7d", 0x7d, 0 }, { "FID c0", 0xc0, 0 }, { "FID ff", 0xff, 0 },
        { "power state 1", POWER, 1 },
        { "65536 SQs", QUEUES, 0xffff },
        { "65536 CQs", QUEUES, 0xffffu << 16 },
        { "vector 65535", VECTOR, 0xffff },
        { "threshold select 2", TEMPERATURE, 2 << 20 | 300 },
        { "sensor 9", TEMPERATURE, 9 << 16 | 300 },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        unsigned status = set(&n, cases[i].fid, cases[i].value);

        if (status != ST_INVALID_FIELD || !n.dnr) {
            g_error("%s: status 0x%x", cases[i].name, status);
        }
    }
    for (unsigned fid = 0; fid < 256; fid++) {
        unsigned status = get(&n, fid, CURRENT, 0);

        g_test_message("Get Features %02x: status 0x%x", fid, status);
        g_assert_true(status == ST_OK || status == ST_INVALID_FIELD);
    }
    for (unsigned sel = 4; sel < 8; sel++) {
        nvme_assert_status(get(&n, ARBITRATION, sel, 0), ST_INVALID_FIELD);
    }
    /* Nothing is saved: what was saved is the default. */
    nvme_assert_status(get(&n, ARBITRATION, SAVED, 0), ST_OK);
    nvme_stop(&n);
}

static void test_power(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(set(&n, POWER, 0), ST_OK);
    nvme_assert_status(get(&n, POWER, CURRENT, 0), ST_OK);
    g_assert_cmphex(n.result, ==, 0);
    nvme_stop(&n);
}

/* More than there are: as many as there are. */
static void test_queues(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(set(&n, QUEUES, 0xfffe << 16 | 0xfffe), ST_OK);
    g_assert_cmphex(n.result, ==, 63 << 16 | 63);
    nvme_assert_status(get(&n, QUEUES, CURRENT, 0), ST_OK);
    g_assert_cmphex(n.result, ==, 63 << 16 | 63);
    nvme_create_queues(&n, 64, 4);
    nvme_stop(&n);
}

/* Every vector has its own, and those that do not exist have none. */
static void test_vectors(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned v = 0; v < nvme_msix_vectors(&n); v++) {
        nvme_assert_status(get(&n, VECTOR, CURRENT, v), ST_OK);
        g_assert_cmphex(n.result & 0xffff, ==, v);
    }
    nvme_assert_status(get(&n, VECTOR, CURRENT, nvme_msix_vectors(&n)),
                       ST_INVALID_FIELD);
    nvme_assert_status(set(&n, VECTOR, 2), ST_OK);
    nvme_stop(&n);
}

/* Section 5.21.1.14: milliseconds, in six bytes, and they go on. */
static void test_timestamp(void)
{
    const uint64_t then = 0x0123456789ab;
    uint64_t now;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(get(&n, TIMESTAMP, CURRENT, 0), ST_OK);
    now = qtest_readq(m.qts, n.buffer);
    g_assert_cmphex(now >> 49 & 7, ==, 0);      /* counts since a reset */
    qtest_writeq(m.qts, n.buffer, then);
    nvme_assert_status(set(&n, TIMESTAMP, 0), ST_OK);
    nvme_assert_status(get(&n, TIMESTAMP, CURRENT, 0), ST_OK);
    now = qtest_readq(m.qts, n.buffer);
    g_assert_cmphex(now >> 49 & 7, ==, 1);      /* was set by the host */
    g_assert_cmpuint(now & 0xffffffffffff, >=, then);
    g_assert_cmpuint(now & 0xffffffffffff, <, then + 60 * 1000);
    nvme_stop(&n);
}

/* Section 5.21.1.25, in both sizes */
static void test_host_id(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    qtest_writeq(m.qts, n.buffer, 0x1122334455667788);
    nvme_assert_status(set(&n, HOST_ID, 0), ST_OK);
    qtest_memset(m.qts, n.buffer, 0, 16);
    nvme_assert_status(get(&n, HOST_ID, CURRENT, 0), ST_OK);
    g_assert_cmphex(qtest_readq(m.qts, n.buffer), ==, 0x1122334455667788);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/features/set-and-get", test_set_and_get);
    g_test_add_func("/features/refused", test_refused);
    g_test_add_func("/features/power", test_power);
    g_test_add_func("/features/queues", test_queues);
    g_test_add_func("/features/vectors", test_vectors);
    g_test_add_func("/features/timestamp", test_timestamp);
    g_test_add_func("/features/host-id", test_host_id);
    return g_test_run();
}
