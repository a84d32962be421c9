/*
 * The NVMe function's Identify command (NVMe Base 1.4 section 5.15, 2.0
 * section 5.17): every data structure, and what it refuses.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define NOWHERE 0x7fff00000000ULL

/* Namespaces 1, 3 and 5, in an order of their own */
#define THREE \
    CARD_NVME(",serial=one-two-three") \
    "-device 'smartnic-volume,bus=nic0.0,nsid=5," \
    "url=mem://?size=16M&block-size=4096&read-only=on' " \
    "-device 'smartnic-volume,bus=nic0.0,nsid=3,url=mem://?size=32M' "

enum {
    CNS_NS = 0x00, CNS_CTRL = 0x01, CNS_ACTIVE = 0x02, CNS_DESCRIPTORS = 0x03,
    CNS_SETS = 0x04, CNS_CSI_NS = 0x05, CNS_CSI_CTRL = 0x06,
    CNS_CSI_ACTIVE = 0x07, CNS_NS_ANY_CSI = 0x08, CNS_ALLOCATED = 0x10,
    CNS_ALLOCATED_NS = 0x11, CNS_CONTROLLERS = 0x13,
};

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, THREE);
    nvme_enable(n);
}

static bool is_zero(const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

static void test_controller(void)
{
    struct nvme_id_ctrl id;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, CNS_CTRL, 0, &id), ST_OK);
    g_assert_cmphex(id.vid, ==, 0x1af4);
    g_assert_cmpmem(id.sn, 20, "one-two-three       ", 20);
    g_assert_true(strstr(id.mn, "SmartNIC"));
    g_assert_cmpuint(id.mdts, ==, 8);
    g_assert_cmphex(id.ver, ==, nvme_get(&n, REG_VS));
    g_assert_cmphex(id.oaes & 1 << 8, ==, 1 << 8);      /* namespaces */
    g_assert_cmphex(id.oacs & ~(1 << 8 | 1 << 9), ==, 0);
    g_assert_cmphex(id.oacs & 1 << 8, ==, 1 << 8);      /* DBBUF */
    g_assert_cmpuint(id.aerl, >=, 3);
    g_assert_cmpuint(id.acl, >=, 3);
    g_assert_cmphex(id.lpa & 6, ==, 6);         /* effects, LPO */
    g_assert_cmphex(id.sqes, ==, 0x66);
    g_assert_cmphex(id.cqes, ==, 0x44);
    g_assert_cmpuint(id.nn, ==, 256);
    /* Compare, DSM, Write Zeroes, SEL, Timestamp, Verify */
    g_assert_cmphex(id.oncs & 0xdd, ==, 0xdd);
    g_assert_cmphex(id.fuses, ==, 1);   /* Compare and Write */
    g_assert_cmpuint(id.wctemp, >, 273);
    g_assert_cmphex(id.sgls & 3, !=, 0);
    g_assert_true(g_str_has_prefix(id.subnqn, "nqn."));
    g_assert_cmpuint(strnlen(id.subnqn, sizeof(id.subnqn)), <, 224);
    g_assert_cmpuint(id.npss, ==, 0);
    nvme_stop(&n);
}

/* Present exactly when there is a cache to flush. */
static void test_write_cache(void)
{
    static const char *const args[] = {
        CARD_NVME(""), CARD_NVME("&cache=on"),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(args); i++) {
        struct nvme_id_ctrl id;
        Machine m;
        Nvme n;

        nvme_start(&n, &m, args[i]);
        nvme_enable(&n);
        nvme_assert_status(nvme_identify(&n, CNS_CTRL, 0, &id), ST_OK);
        g_assert_cmpuint(id.vwc & 1, ==, i);
        nvme_stop(&n);
    }
}

static void check_ns(Nvme *n, uint32_t nsid, uint64_t size, unsigned shift,
                     bool read_only)
{
    struct nvme_id_ns id;

    nvme_assert_status(nvme_identify(n, CNS_NS, nsid, &id), ST_OK);
    g_assert_cmpuint(id.nsze, ==, size >> shift);
    g_assert_cmpuint(id.ncap, ==, size >> shift);
    g_assert_cmpuint(id.nuse, <=, size >> shift);
    g_assert_cmpuint(id.nlbaf, ==, 0);
    g_assert_cmpuint(id.flbas & 0xf, ==, 0);
    g_assert_cmpuint(id.lbaf[0].ds, ==, shift);
    g_assert_cmpuint(id.lbaf[0].ms, ==, 0);
    g_assert_cmpuint(id.dpc, ==, 0);
    g_assert_cmpuint(id.nsattr & 1, ==, read_only);
    g_assert_false(is_zero(id.nguid, sizeof(id.nguid)));
}

static void test_namespaces(void)
{
    const uint64_t MiB = 1024 * 1024;
    uint8_t data[4096];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    check_ns(&n, 1, 64 * MiB, 9, false);
    check_ns(&n, 3, 32 * MiB, 9, false);
    check_ns(&n, 5, 16 * MiB, 12, true);
    for (unsigned nsid = 1; nsid <= 256; nsid++) {
        nvme_assert_status(nvme_identify(&n, CNS_NS, nsid, data), ST_OK);
        g_assert_cmpint(is_zero(data, sizeof(data)), ==,
                        nsid != 1 && nsid != 3 && nsid != 5);
    }
    nvme_assert_status(nvme_identify(&n, CNS_NS, 0, data), ST_INVALID_NS);
    nvme_assert_status(nvme_identify(&n, CNS_NS, 257, data), ST_INVALID_NS);
    nvme_assert_status(nvme_identify(&n, CNS_NS, NVME_ALL, data),
                       ST_INVALID_NS);
    g_assert_true(n.dnr);
    nvme_stop(&n);
}

/* Lists begin after the NSID of the command. */
static void test_lists(void)
{
    static const uint8_t lists[] = {
        CNS_ACTIVE, CNS_CSI_ACTIVE, CNS_ALLOCATED,
    };
    static const struct {
        uint32_t after, nsids[4];
    } cases[] = {
        { 0, { 1, 3, 5 } }, { 1, { 3, 5 } }, { 2, { 3, 5 } }, { 3, { 5 } },
        { 5, { } }, { 256, { } }, { 0xfffffffd, { } },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        uint32_t list[1024];

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            nvme_assert_status(nvme_identify(&n, lists[l], cases[i].after,
                                             list), ST_OK);
            g_assert_cmpmem(list, 16, cases[i].nsids, 16);
            g_assert_true(is_zero(list + 4, sizeof(list) - 16));
        }
        nvme_assert_status(nvme_identify(&n, lists[l], 0xfffffffe, list),
                           ST_INVALID_NS);
        nvme_assert_status(nvme_identify(&n, lists[l], NVME_ALL, list),
                           ST_INVALID_NS);
    }
    nvme_stop(&n);
}

/* Section 5.15.2.4: types 1 to 4, each at most once, with their lengths */
static unsigned descriptor_types(const uint8_t *data)
{
    static const unsigned lengths[] = { [1] = 8, [2] = 16, [3] = 16, [4] = 1 };
    unsigned types = 0;

    for (unsigned at = 0; data[at]; at += 4 + data[at + 1]) {
        g_assert_cmpuint(data[at], <, G_N_ELEMENTS(lengths));
        g_assert_cmpuint(data[at + 1], ==, lengths[data[at]]);
        g_assert_cmphex(types & 1 << data[at], ==, 0);
        types |= 1 << data[at];
    }
    return types;
}

/* A volume has the same names each time, and not those of another. */
static void test_descriptors(void)
{
    uint8_t first[4096], other[4096], again[4096];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, CNS_DESCRIPTORS, 1, first), ST_OK);
    nvme_assert_status(nvme_identify(&n, CNS_DESCRIPTORS, 3, other), ST_OK);
    /* UUID and command set; NGUID or EUI-64 as well */
    g_assert_cmphex(descriptor_types(first) & (1 << 3 | 1 << 4), ==,
                    1 << 3 | 1 << 4);
    g_assert_cmpint(memcmp(first, other, sizeof(first)), !=, 0);
    for (unsigned nsid = 0; nsid < 3; nsid += 2) {
        g_assert_cmphex(nvme_identify(&n, CNS_DESCRIPTORS, nsid, other), !=,
                        ST_OK);
    }
    g_assert_cmphex(nvme_identify(&n, CNS_DESCRIPTORS, 257, other), !=,
                    ST_OK);
    g_assert_cmphex(nvme_identify(&n, CNS_DESCRIPTORS, NVME_ALL, other), !=,
                    ST_OK);
    nvme_stop(&n);

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, CNS_DESCRIPTORS, 1, again), ST_OK);
    g_assert_cmpmem(first, sizeof(first), again, sizeof(again));
    nvme_stop(&n);
}

/* Those of NVMe 2.0, for the NVM command set (0) and others */
static void test_command_sets(void)
{
    static const uint8_t with_csi[] = {
        CNS_CSI_NS, CNS_CSI_CTRL, CNS_CSI_ACTIVE,
    };
    uint8_t data[4096];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(with_csi); i++) {
        for (unsigned csi = 0; csi < 4; csi++) {
            SnNvmeSqe cmd = {
                .opcode = OP_IDENTIFY, .nsid = i == 1 ? 0 : 1,
                .prp1 = n.buffer, .cdw10 = with_csi[i], .cdw11 = csi << 24,
            };
            unsigned status = nvme_admin(&n, cmd);

            if (csi == 0) {
                nvme_assert_status(status, ST_OK);
            } else {
                g_assert_cmphex(status, !=, ST_OK);
            }
        }
    }
    nvme_assert_status(nvme_identify(&n, CNS_NS_ANY_CSI, 1, data), ST_OK);
    g_assert_false(is_zero(data, sizeof(data)));        /* NSTAT: ready */
    g_assert_cmpuint(data[14] & 1, ==, 1);
    nvme_assert_status(nvme_identify(&n, CNS_NS_ANY_CSI, 257, data),
                       ST_INVALID_NS);
    nvme_assert_status(nvme_identify(&n, CNS_ALLOCATED_NS, 3, data), ST_OK);
    g_assert_false(is_zero(data, sizeof(data)));
    nvme_assert_status(nvme_identify(&n, CNS_ALLOCATED_NS, 2, data), ST_OK);
    g_assert_true(is_zero(data, sizeof(data)));
    nvme_stop(&n);
}

static void test_controllers(void)
{
    uint16_t list[2048];
    struct nvme_id_ctrl id;
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, CNS_CTRL, 0, &id), ST_OK);
    nvme_assert_status(nvme_identify(&n, CNS_CONTROLLERS, 0, list), ST_OK);
    g_assert_cmpuint(list[0], ==, 1);
    g_assert_cmpuint(list[1], ==, id.cntlid);
    /* From CNTID on: none is above this. */
    cmd = (SnNvmeSqe) { .opcode = OP_IDENTIFY, .prp1 = n.buffer,
                        .cdw10 = CNS_CONTROLLERS | (id.cntlid + 1u) << 16 };
    nvme_admin_ok(&n, cmd);
    g_assert_cmpuint(qtest_readw(m.qts, n.buffer), ==, 0);
    nvme_stop(&n);
}

/* Every other CNS */
static void test_unknown(void)
{
    static const uint8_t known[] = {
        CNS_NS, CNS_CTRL, CNS_ACTIVE, CNS_DESCRIPTORS, CNS_SETS, CNS_CSI_NS,
        CNS_CSI_CTRL, CNS_CSI_ACTIVE, CNS_NS_ANY_CSI, CNS_ALLOCATED,
        CNS_ALLOCATED_NS, 0x12, CNS_CONTROLLERS, 0x1c,
    };
    uint8_t data[4096];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned cns = 0; cns < 256; cns++) {
        unsigned status = nvme_identify(&n, cns, 1, data);

        if (!memchr(known, cns, sizeof(known))) {
            if (status != ST_INVALID_FIELD) {
                g_error("CNS 0x%x: status 0x%x", cns, status);
            }
            g_assert_cmphex(data[0], ==, 0xee);         /* no data */
        }
    }
    nvme_stop(&n);
}

/* ---- where the data goes ---- */

/* At the end of a page and in another */
static void test_two_pages(void)
{
    uint8_t whole[4096], halves[4096];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, CNS_CTRL, 0, whole), ST_OK);
    for (unsigned offset = 4; offset < 4096; offset += 1020) {
        SnNvmeSqe cmd = { .opcode = OP_IDENTIFY, .cdw10 = CNS_CTRL,
                          .prp1 = n.buffer + offset,
                          .prp2 = n.buffer + 3 * 4096 };

        qtest_memset(m.qts, n.buffer, 0xee, 5 * 4096);
        nvme_admin_ok(&n, cmd);
        qtest_memread(m.qts, cmd.prp1, halves, 4096 - offset);
        qtest_memread(m.qts, cmd.prp2, halves + 4096 - offset, offset);
        g_assert_cmpmem(whole, sizeof(whole), halves, sizeof(halves));
        g_assert_cmphex(qtest_readb(m.qts, cmd.prp1 - 1), ==, 0xee);
        g_assert_cmphex(qtest_readb(m.qts, n.buffer + 4096), ==, 0xee);
        g_assert_cmphex(qtest_readb(m.qts, cmd.prp2 + offset), ==, 0xee);
    }
    nvme_stop(&n);
}

static void test_bad_pointers(void)
{
    Machine m;
    Nvme n;
    SnNvmeSqe cmd = { .opcode = OP_IDENTIFY, .cdw10 = CNS_CTRL };

    open_ctrl(&n, &m);
    cmd.prp1 = NOWHERE;
    nvme_assert_status(nvme_admin(&n, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = 0xfffffffffffff000;
    nvme_assert_status(nvme_admin(&n, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = n.bar.addr;              /* the controller's own registers */
    nvme_assert_status(nvme_admin(&n, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = 0xfffff000;              /* ROM */
    nvme_assert_status(nvme_admin(&n, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = n.buffer + 2;
    nvme_assert_status(nvme_admin(&n, cmd), ST_PRP_OFFSET);
    cmd.prp1 = n.buffer + 8;
    cmd.prp2 = n.buffer + 4096 + 8;
    nvme_assert_status(nvme_admin(&n, cmd), ST_PRP_OFFSET);
    cmd.prp2 = NOWHERE;
    nvme_assert_status(nvme_admin(&n, cmd), ST_DATA_TRANSFER);
    /* Admin commands over PCIe have no SGLs: section 4.4 */
    cmd.prp1 = n.buffer;
    cmd.flags = SN_NVME_PSDT_SGL;
    nvme_assert_status(nvme_admin(&n, cmd), ST_INVALID_FIELD);
    cmd.flags = 1;                      /* nor are they fused */
    nvme_assert_status(nvme_admin(&n, cmd), ST_INVALID_FIELD);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/identify/controller", test_controller);
    g_test_add_func("/identify/write-cache", test_write_cache);
    g_test_add_func("/identify/namespaces", test_namespaces);
    g_test_add_func("/identify/lists", test_lists);
    g_test_add_func("/identify/descriptors", test_descriptors);
    g_test_add_func("/identify/command-sets", test_command_sets);
    g_test_add_func("/identify/controllers", test_controllers);
    g_test_add_func("/identify/unknown", test_unknown);
    g_test_add_func("/identify/two-pages", test_two_pages);
    g_test_add_func("/identify/bad-pointers", test_bad_pointers);
    return g_test_run();
}
