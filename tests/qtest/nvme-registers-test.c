/*
 * The NVMe function's registers (NVMe Base 1.4 section 3.1): what they say,
 * what may be written, and the ways to and from CSTS.RDY.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"

#include "nvme.h"

/* Far beyond the machine's memory and its PCI windows. */
#define NOWHERE 0x7fff00000000ULL
#define ROM     0xfffff000ULL
#define MAX_MPS 4

static void test_capabilities(void)
{
    Machine m;
    Nvme n;
    uint64_t cap;

    nvme_start(&n, &m, CARD_NVME(""));
    g_assert_cmphex(qpci_config_readw(n.pci, PCI_CLASS_DEVICE), ==, 0x0108);
    g_assert_cmphex(qpci_config_readb(n.pci, PCI_CLASS_PROG), ==, 2);
    g_assert_cmpuint(n.bar_size, >=, 0x2000);
    cap = nvme_get64(&n, REG_CAP);
    g_assert_cmpuint((cap & 0xffff) + 1, >=, 256);      /* MQES */
    g_assert_cmpuint((cap & 0xffff) + 1, <=, 4096);
    g_assert_cmpuint(cap >> 16 & 1, ==, 1);             /* CQR */
    g_assert_cmpuint(cap >> 17 & 3, ==, 1);             /* AMS: WRR */
    g_assert_cmpuint(cap >> 24 & 0xff, >=, 20);         /* TO, in 500 ms */
    g_assert_cmpuint(cap >> 32 & 0xf, ==, 0);           /* DSTRD */
    g_assert_cmpuint(cap >> 36 & 1, ==, 0);             /* NSSRS */
    g_assert_cmpuint(cap >> 37 & 1, ==, 1);             /* CSS: NVM */
    g_assert_cmpuint(cap >> 48 & 0xf, ==, 0);           /* MPSMIN */
    g_assert_cmpuint(cap >> 52 & 0xf, ==, MAX_MPS);     /* MPSMAX */
    g_assert_cmpuint(cap >> 56, ==, 0);                 /* no PMR, no CMB */
    g_assert_cmphex(nvme_get(&n, REG_CAP), ==, (uint32_t)cap);
    g_assert_cmphex(nvme_get(&n, REG_CAP + 4), ==, cap >> 32);
    g_assert_cmphex(nvme_get(&n, REG_VS), ==, 0x00010400);
    g_assert_cmphex(nvme_get(&n, REG_CMBLOC), ==, 0);
    g_assert_cmphex(nvme_get(&n, REG_CMBSZ), ==, 0);
    nvme_stop(&n);
}

static void test_defaults(void)
{
    static const unsigned zero[] = {
        REG_INTMS, REG_INTMC, REG_CC, 0x18, REG_CSTS, REG_NSSR, REG_AQA,
        REG_ASQ, REG_ASQ + 4, REG_ACQ, REG_ACQ + 4, 0x40, 0x44, 0x100,
        0xe00, 0xffc, REG_DOORBELLS, REG_DOORBELLS + 4, 0x1ffc,
    };
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < G_N_ELEMENTS(zero); i++) {
        g_assert_cmphex(nvme_get(&n, zero[i]), ==, 0);
    }
    nvme_stop(&n);
}

static void test_read_only(void)
{
    static const unsigned regs[] = {
        REG_CAP, REG_CAP + 4, REG_VS, 0x18, REG_CSTS, REG_NSSR,
        REG_CMBLOC, REG_CMBSZ, 0x40, 0xe00,
    };
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
            uint32_t before = nvme_get(&n, regs[i]);

            nvme_set(&n, regs[i], 0xffffffff);
            g_assert_cmphex(nvme_get(&n, regs[i]), ==, before);
            nvme_set(&n, regs[i], 0);
            g_assert_cmphex(nvme_get(&n, regs[i]), ==, before);
        }
        /* The magic number of a subsystem reset, which is not offered. */
        nvme_set(&n, REG_NSSR, 0x4e564d65);
        nvme_set64(&n, REG_CAP, UINT64_MAX);
        if (round == 0) {
            nvme_enable(&n);
        }
        g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, CSTS_RDY);
    }
    nvme_stop(&n);
}

/* Bits are set through one register and cleared through the other. */
static void test_interrupt_mask(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_set(&n, REG_INTMS, 0x80000005);
    nvme_set(&n, REG_INTMS, 0x10);
    g_assert_cmphex(nvme_get(&n, REG_INTMS), ==, 0x80000015);
    g_assert_cmphex(nvme_get(&n, REG_INTMC), ==, 0x80000015);
    nvme_set(&n, REG_INTMC, 0x80000001);
    g_assert_cmphex(nvme_get(&n, REG_INTMS), ==, 0x14);
    nvme_set(&n, REG_INTMC, 0xffffffff);
    g_assert_cmphex(nvme_get(&n, REG_INTMC), ==, 0);
    /* A controller reset clears it. */
    nvme_set(&n, REG_INTMS, 1);
    nvme_enable(&n);
    nvme_set(&n, REG_INTMS, 2);
    nvme_disable(&n);
    g_assert_cmphex(nvme_get(&n, REG_INTMS), ==, 0);
    nvme_stop(&n);
}

/* Section 3.1.8 and on: they survive a controller reset. */
static void test_admin_queue_attributes(void)
{
    Machine m;
    Nvme n;
    uint64_t asq, acq;
    uint32_t aqa;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_set(&n, REG_AQA, 0xffffffff);
    g_assert_cmphex(nvme_get(&n, REG_AQA), ==, 0x0fff0fff);
    nvme_set64(&n, REG_ASQ, 0x123456789abcd000);
    g_assert_cmphex(nvme_get64(&n, REG_ASQ), ==, 0x123456789abcd000);
    nvme_set(&n, REG_ACQ, 0x89abc000);
    nvme_set(&n, REG_ACQ + 4, 0x1234567);
    g_assert_cmphex(nvme_get64(&n, REG_ACQ), ==, 0x0123456789abc000);
    g_assert_cmphex(nvme_get(&n, REG_ASQ), ==, 0x9abcd000);
    g_assert_cmphex(nvme_get(&n, REG_ASQ + 4), ==, 0x12345678);
    nvme_enable(&n);
    aqa = nvme_get(&n, REG_AQA);
    asq = nvme_get64(&n, REG_ASQ);
    acq = nvme_get64(&n, REG_ACQ);
    nvme_disable(&n);
    g_assert_cmphex(nvme_get(&n, REG_AQA), ==, aqa);
    g_assert_cmphex(nvme_get64(&n, REG_ASQ), ==, asq);
    g_assert_cmphex(nvme_get64(&n, REG_ACQ), ==, acq);
    nvme_stop(&n);
}

/* What a controller that is enabled has, does not move with the registers. */
static void test_written_while_enabled(void)
{
    Machine m;
    Nvme n;
    uint8_t id[4096];

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable(&n);
    nvme_set(&n, REG_AQA, 0);
    nvme_set64(&n, REG_ASQ, NOWHERE);
    nvme_set64(&n, REG_ACQ, NOWHERE);
    nvme_set(&n, REG_CC, CC_EN | CC_SIZES | CC_MPS(15) |
                          CC_AMS(7));
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, CSTS_RDY);
    for (unsigned i = 0; i < 2 * NVME_ADMIN_ENTRIES; i++) {
        nvme_assert_status(nvme_identify(&n, 1, 0, id), ST_OK);
    }
    nvme_stop(&n);
}

/*
 * Section 3.1: registers are read and written whole. Other accesses harm
 * nobody and change nothing.
 */
static void test_sizes(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable(&n);
    for (unsigned off = 0; off < 0x40; off++) {
        if (off / 4 == REG_INTMS / 4 || off / 4 == REG_INTMC / 4) {
            continue;
        }
        qpci_io_readb(n.pci, n.bar, off);
        qpci_io_readw(n.pci, n.bar, off);
        qpci_io_readl(n.pci, n.bar, off);
        qpci_io_readq(n.pci, n.bar, off);
        qpci_io_writeb(n.pci, n.bar, off, 0);
        if (off % 4 != 3) {             /* might be taken apart into bytes */
            qpci_io_writew(n.pci, n.bar, off, 0);
        }
    }
    /* The halves of doorbells are none. */
    for (unsigned off = 0; off < 16; off++) {
        qpci_io_writeb(n.pci, n.bar, REG_DOORBELLS + off, 0xff);
        qpci_io_writew(n.pci, n.bar, REG_DOORBELLS + (off & ~1u), 0xffff);
        qpci_io_readq(n.pci, n.bar, REG_DOORBELLS + off);
    }
    g_assert_cmphex(nvme_get(&n, REG_CC), ==, CC_SIZES | CC_EN);
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, CSTS_RDY);
    nvme_admin_ok(&n, (SnNvmeSqe) { .opcode = OP_IDENTIFY, .cdw10 = 1,
                                    .prp1 = n.buffer });
    nvme_stop(&n);
}

/* Whole register block, every offset, disabled and enabled. */
static void test_every_offset(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned off = 0x38; off < MIN(n.bar_size, 0x2000); off += 4) {
            nvme_get(&n, off);
            nvme_set(&n, off, 0xffffffff);
        }
        machine_assert_alive(&m);
        nvme_enable(&n);
    }
    nvme_stop(&n);
}

/* ---- enabling ---- */

static void assert_fatal(Nvme *n, const char *what)
{
    gint64 deadline = machine_deadline();
    uint32_t csts;

    /* RDY must not be seen even for a moment. */
    do {
        csts = nvme_get(n, REG_CSTS);
        if ((csts & CSTS_RDY) || !machine_before(deadline)) {
            g_error("%s: CSTS is 0x%x", what, csts);
        }
    } while (!(csts & CSTS_CFS));
    /* Nothing but a reset helps. */
    nvme_set(n, nvme_sq_doorbell(0), 1);
    g_assert_cmphex(nvme_get(n, REG_CSTS) & CSTS_CFS, !=, 0);
    nvme_disable(n);
    g_assert_cmphex(nvme_get(n, REG_CSTS), ==, 0);
    nvme_assert_works(n);
    nvme_disable(n);
}

/* The bad admin queues and configurations of sections 3.1.5 to 3.1.10 */
static void test_bad_admin_queue(void)
{
    const struct {
        const char *name;
        uint32_t cc, aqa;
        uint64_t asq, acq;              /* 0: good ones */
    } cases[] = {
        { "no entries", 0, 0, 0, 0 },
        { "SQ of one entry", 0, 31 << 16, 0, 0 },
        { "CQ of one entry", 0, 31, 0, 0 },
        { "SQ nowhere", 0, 31 << 16 | 31, NOWHERE, 0 },
        { "CQ nowhere", 0, 31 << 16 | 31, 0, NOWHERE },
        { "SQ at the end", 0, 31 << 16 | 31, 0xfffffffffffff000, 0 },
        { "CQ at the end", 0, 31 << 16 | 31, 0, 0xfffffffffffff000 },
        { "SQ in its own registers", 0, 31 << 16 | 31, 1, 0 },
        { "CQ in its own registers", 0, 31 << 16 | 31, 0, 1 },
        { "CQ in ROM", 0, 31 << 16 | 31, 0, ROM },
        { "SQ half in RAM", 0, 31 << 16 | 4095, 2, 0 },
        { "CQ half in RAM", 0, 4095 << 16 | 31, 0, 2 },
        { "MPS too large", CC_MPS(MAX_MPS + 1), 31 << 16 | 31, 0, 0 },
        { "MPS 15", CC_MPS(15), 31 << 16 | 31, 0, 0 },
        { "SQ not aligned to MPS", CC_MPS(1), 31 << 16 | 31, 0x101000,
          0 },
        { "CQ not aligned to MPS", CC_MPS(MAX_MPS), 31 << 16 | 31, 0,
          0x108000 },
        { "AMS reserved", CC_AMS(2), 31 << 16 | 31, 0, 0 },
        { "AMS of a vendor", CC_AMS(7), 31 << 16 | 31, 0, 0 },
        { "CSS reserved", 1 << 4, 31 << 16 | 31, 0, 0 },
        { "CSS not offered", 5 << 4, 31 << 16 | 31, 0, 0 },
    };
    uint64_t place[3];
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    place[0] = n.buffer;
    place[1] = n.bar.addr;
    place[2] = 128 * 1024 * 1024 - 4096;        /* the last page of RAM */
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t asq = cases[i].asq, acq = cases[i].acq;

        nvme_set(&n, REG_AQA, cases[i].aqa);
        nvme_set64(&n, REG_ASQ, asq > 2 ? asq : place[asq]);
        nvme_set64(&n, REG_ACQ, acq > 2 ? acq : place[acq] +
                                 (acq ? 0 : NVME_PAGE_MAX));
        nvme_set(&n, REG_CC, cases[i].cc | CC_SIZES | CC_EN);
        g_test_message("%s", cases[i].name);
        assert_fatal(&n, cases[i].name);
    }
    nvme_stop(&n);
}

static void test_page_sizes(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned mps = 0; mps <= MAX_MPS; mps++) {
        uint8_t data[2 * NVME_BLOCK], back[sizeof(data)] = { };

        nvme_enable_with(&n, CC_MPS(mps) | CC_AMS(mps % 2));
        nvme_create_queues(&n, 1, 8);
        memset(data, mps + 1, sizeof(data));
        nvme_assert_status(nvme_write(&n, 1, mps, data, sizeof(data)), ST_OK);
        nvme_assert_status(nvme_read(&n, 1, mps, back, sizeof(back)), ST_OK);
        g_assert_cmpmem(data, sizeof(data), back, sizeof(back));
    }
    nvme_stop(&n);
}

/* Over and over, with what a driver that gives up leaves behind. */
static void test_enable_disable(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 32; i++) {
        nvme_begin_enable(&n, 0);
        if (i & 1) {
            nvme_wait_csts(&n, CSTS_RDY, CSTS_RDY);
            nvme_set(&n, REG_CC, CC_SIZES | CC_EN);   /* again */
        }
        if (i & 1 && i & 2) {
            nvme_create_queues(&n, 1, 8);
        }
        if (i & 1 && i & 2 && i & 4) {
            nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0, 8));
        }
        if (i & 8) {
            nvme_submit(&n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
        }
        nvme_set(&n, REG_CC, i & 16 ? 0 : CC_SIZES);
        g_assert_cmphex(nvme_get(&n, REG_CSTS) & CSTS_CFS, ==, 0);
    }
    nvme_stop(&n);
}

/* Doorbells before RDY are nothing; the queues begin at 0 all the same. */
static void test_early_doorbells(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned off = 0; off < 0x400; off += 4) {
        nvme_set(&n, REG_DOORBELLS + off, off % 7);
    }
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, 0);
    nvme_enable(&n);
    nvme_submit(&n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
    nvme_assert_quiet(&n);              /* no event about them either */
    nvme_stop(&n);
}

/* ---- shutting down: section 7.6.2 ---- */

static void test_shutdown(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-machine q35 " CARD_NVME("&cache=on"));
    for (unsigned i = 0; i < 6; i++) {
        nvme_enable(&n);
        g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, CSTS_RDY);
        if (i >= 2) {
            nvme_create_queues(&n, 1, 8);
            nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0, 8));
        }
        nvme_set(&n, REG_CC, CC_SIZES | CC_EN |
                              CC_SHN(1 + i % 2));
        nvme_wait_csts(&n, CSTS_SHST, CSTS_SHUT);
        g_assert_cmphex(nvme_get(&n, REG_CSTS) & CSTS_CFS, ==, 0);
        if (i & 4) {                    /* some drivers stop there */
            g_assert_true(nvme_flr(&n));
            nvme_forget(&n);
            nvme_open(&n, &m, STORAGE_DEVFN);
        } else {
            nvme_disable(&n);
        }
        g_assert_cmphex(nvme_get(&n, REG_CSTS) & CSTS_SHST, ==, 0);
    }
    nvme_stop(&n);
}

/* Notified while it is not enabled: nothing to do, and it says so or not. */
static void test_shutdown_disabled(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_set(&n, REG_CC, CC_SIZES | CC_SHN(1));
    nvme_set(&n, REG_CC, CC_SIZES | CC_SHN(2));
    nvme_set(&n, REG_CC, CC_SIZES | CC_SHN(3));
    machine_assert_alive(&m);
    nvme_set(&n, REG_CC, 0);
    nvme_enable(&n);
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, CSTS_RDY);
    nvme_stop(&n);
}

/* ---- resets from outside ---- */

static void assert_reset(Nvme *n)
{
    g_assert_cmphex(nvme_get(n, REG_CC), ==, 0);
    g_assert_cmphex(nvme_get(n, REG_CSTS), ==, 0);
    g_assert_cmphex(nvme_get(n, REG_AQA), ==, 0);
    g_assert_cmphex(nvme_get64(n, REG_ASQ), ==, 0);
    g_assert_cmphex(nvme_get64(n, REG_ACQ), ==, 0);
    g_assert_cmphex(nvme_get(n, REG_INTMS), ==, 0);
}

/* A function level reset; its BARs and the like go, too. */
static void test_flr(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-machine q35 " CARD_NVME(""));
    for (unsigned i = 0; i < 4; i++) {
        nvme_enable(&n);
        nvme_create_queues(&n, 1, 8);
        nvme_set(&n, REG_INTMS, 0xff);
        if (i % 2) {
            nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0, 8));
        }
        g_assert_true(nvme_flr(&n));
        nvme_forget(&n);
        nvme_open(&n, &m, STORAGE_DEVFN);
        assert_reset(&n);
    }
    nvme_stop(&n);
}

static void test_system_reset(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 4; i++) {
        nvme_enable(&n);
        nvme_create_queues(&n, 1, 8);
        if (i % 2) {
            nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0, 8));
        }
        qtest_system_reset(m.qts);
        nvme_forget(&n);
        nvme_open(&n, &m, STORAGE_DEVFN);
        assert_reset(&n);
    }
    nvme_stop(&n);
}

/* Without bus mastering there are no commands; with it, they go on. */
static void test_bus_master(void)
{
    Machine m;
    Nvme n;
    uint16_t cid;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable(&n);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < 20; i++) {
        nvme_bus_master(&n, false);
        cid = nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, i, 8));
        nvme_assert_quiet(&n);
        nvme_bus_master(&n, true);
        nvme_assert_status(nvme_wait(&n, 1, cid), ST_OK);
    }
    nvme_stop(&n);
}

/* A stopped machine is the same, for all that the guest can tell. */
static void test_stop_cont(void)
{
    Machine m;
    Nvme n;
    uint16_t cid;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable(&n);
    nvme_create_queues(&n, 1, 8);
    for (unsigned i = 0; i < 10; i++) {
        SnNvmeCqe cqe;

        cid = nvme_submit(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, i, 8));
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'stop' }");
        nvme_put(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, i, 8));
        while (nvme_peek(&n, 1, &cqe)) {
            g_assert_cmphex(cqe.cid, ==, cid++);
        }
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'cont' }");
        nvme_ring(&n, 1);
        for (; cid <= n.cid; cid++) {
            nvme_assert_status(nvme_wait(&n, 1, cid), ST_OK);
        }
        nvme_ring_head(&n, 1);
    }
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/registers/capabilities", test_capabilities);
    g_test_add_func("/registers/defaults", test_defaults);
    g_test_add_func("/registers/read-only", test_read_only);
    g_test_add_func("/registers/interrupt-mask", test_interrupt_mask);
    g_test_add_func("/registers/admin-queue-attributes",
                    test_admin_queue_attributes);
    g_test_add_func("/registers/written-while-enabled",
                    test_written_while_enabled);
    g_test_add_func("/registers/sizes", test_sizes);
    g_test_add_func("/registers/every-offset", test_every_offset);
    g_test_add_func("/registers/bad-admin-queue", test_bad_admin_queue);
    g_test_add_func("/registers/page-sizes", test_page_sizes);
    g_test_add_func("/registers/enable-disable", test_enable_disable);
    g_test_add_func("/registers/early-doorbells", test_early_doorbells);
    g_test_add_func("/registers/shutdown", test_shutdown);
    g_test_add_func("/registers/shutdown-disabled", test_shutdown_disabled);
    g_test_add_func("/registers/flr", test_flr);
    g_test_add_func("/registers/system-reset", test_system_reset);
    g_test_add_func("/registers/bus-master", test_bus_master);
    g_test_add_func("/registers/stop-cont", test_stop_cont);
    return g_test_run();
}
