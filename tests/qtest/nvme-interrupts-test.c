/*
 * The NVMe function's interrupts (NVMe Base 1.4 section 7.5): by pin, MSI and
 * MSI-X, masked, coalesced, and sent to where no guest should.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"

#include "nvme.h"

static SnNvmeSqe read_cmd(Nvme *n)
{
    return nvme_rw_cmd(n, OP_READ, 1, 0, 1);
}

/* A completion that the controller is not told of */
static void await(Nvme *n, unsigned qid)
{
    gint64 deadline = machine_deadline();
    SnNvmeCqe cqe;

    while (!nvme_peek(n, qid, &cqe)) {
        g_assert_true(machine_before(deadline));
    }
}

static void wait_pin(Nvme *n)
{
    gint64 deadline = machine_deadline();

    while (!nvme_pin(n)) {
        g_assert_true(machine_before(deadline));
    }
}

/* Queue @qid with vector @vector, or without interrupts. */
static void create_queues(Nvme *n, unsigned qid, unsigned vector, bool ien)
{
    SnNvmeSqe cmd;

    nvme_queue_alloc(n, qid, 16, 16);
    cmd = nvme_create_cq_cmd(n, qid);
    cmd.cdw11 = vector << 16 | ien << 1 | 1;
    nvme_admin_ok(n, cmd);
    nvme_admin_ok(n, nvme_create_sq_cmd(n, qid, qid));
}

/* ---- the pin ---- */

/* High exactly as long as there is something that the guest has not seen. */
static void test_pin(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    g_assert_cmpuint(qpci_config_readb(n.pci, PCI_INTERRUPT_PIN), ==, 1);
    nvme_enable(&n);
    create_queues(&n, 1, 0, true);
    create_queues(&n, 2, 0, true);
    create_queues(&n, 3, 0, false);
    g_assert_false(nvme_pin(&n));
    for (unsigned i = 0; i < 20; i++) {
        nvme_submit(&n, 1, read_cmd(&n));
        wait_pin(&n);
        await(&n, 1);
        g_assert_true(nvme_pin(&n));
        nvme_submit(&n, 2, read_cmd(&n));
        await(&n, 2);
        nvme_ring_head(&n, 1);
        g_assert_true(nvme_pin(&n));
        nvme_ring_head(&n, 2);
        g_assert_false(nvme_pin(&n));
        nvme_submit(&n, 3, read_cmd(&n));
        await(&n, 3);
        g_assert_false(nvme_pin(&n));
        nvme_ring_head(&n, 3);
    }
    /* Two at a time: one that is not seen is enough. */
    nvme_put(&n, 1, read_cmd(&n));
    nvme_submit(&n, 1, read_cmd(&n));
    await(&n, 1);
    await(&n, 1);
    nvme_set(&n, nvme_cq_doorbell(1), (n.queues[1].head + 15) % 16);
    g_assert_true(nvme_pin(&n));
    nvme_ring_head(&n, 1);
    g_assert_false(nvme_pin(&n));
    nvme_stop(&n);
}

static void test_pin_mask(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_enable(&n);
    create_queues(&n, 1, 0, true);
    for (unsigned i = 0; i < 5; i++) {
        nvme_set(&n, REG_INTMS, 1);
        nvme_submit(&n, 1, read_cmd(&n));
        await(&n, 1);
        g_assert_false(nvme_pin(&n));
        nvme_set(&n, REG_INTMC, 1);
        g_assert_true(nvme_pin(&n));
        nvme_set(&n, REG_INTMS, 1);
        g_assert_false(nvme_pin(&n));
        nvme_ring_head(&n, 1);
        nvme_set(&n, REG_INTMC, 1);
        g_assert_false(nvme_pin(&n));
    }
    nvme_stop(&n);
}

/* Everything that takes the completions away takes the level away. */
static void test_pin_reset(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-machine q35 " CARD_NVME(""));
    for (unsigned i = 0; i < 4; i++) {
        nvme_enable(&n);
        create_queues(&n, 1, 0, true);
        nvme_submit(&n, 1, read_cmd(&n));
        await(&n, 1);
        wait_pin(&n);
        if (i == 0) {
            nvme_disable(&n);
        } else if (i == 1) {
            g_assert_true(nvme_flr(&n));
        } else if (i == 2) {
            nvme_delete_queues(&n, 1);
        } else {
            nvme_msix_enable(&n);       /* the pin is not used then */
        }
        g_assert_false(nvme_pin(&n));
        nvme_forget(&n);
        nvme_open(&n, &m, STORAGE_DEVFN);
    }
    nvme_msix_disable(&n);
    nvme_stop(&n);
}

/* ---- MSI-X ---- */

static void test_msix(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    g_assert_cmpuint(nvme_msix_vectors(&n), >=, 65);
    nvme_msix_enable(&n);
    nvme_enable(&n);
    create_queues(&n, 1, 1, true);
    create_queues(&n, 2, 64, true);
    create_queues(&n, 3, 3, false);
    create_queues(&n, 4, 64, true);
    nvme_msix_wait(&n, 0);              /* the admin queue's */
    for (unsigned i = 0; i < 30; i++) {
        unsigned q = 1 + i % 4, vector = q == 1 ? 1 : q == 3 ? 3 : 64;

        nvme_submit(&n, q, read_cmd(&n));
        nvme_wait_any(&n, q);
        if (q != 3) {
            nvme_msix_wait(&n, vector);
        }
        nvme_assert_quiet(&n);
        for (unsigned v = 1; v < nvme_msix_vectors(&n); v++) {
            g_assert_false(nvme_msix_raised(&n, v));
        }
        g_assert_false(nvme_pin(&n));
    }
    nvme_stop(&n);
}

/* A vector that is masked is pending, and comes when it is not. */
static void test_msix_mask(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_msix_enable(&n);
    nvme_enable(&n);
    create_queues(&n, 1, 1, true);
    for (unsigned i = 0; i < 5; i++) {
        nvme_msix_mask(&n, 1, true);
        nvme_submit(&n, 1, read_cmd(&n));
        nvme_wait_any(&n, 1);
        nvme_assert_quiet(&n);
        g_assert_false(nvme_msix_raised(&n, 1));
        g_assert_true(qpci_msix_pending(n.pci, 1));
        nvme_msix_mask(&n, 1, false);
        nvme_msix_wait(&n, 1);
        g_assert_false(qpci_msix_pending(n.pci, 1));
    }
    nvme_stop(&n);
}

/* Entries that were not seen when the mask goes are told of once more. */
static void test_msix_many(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_msix_enable(&n);
    nvme_enable(&n);
    create_queues(&n, 1, 1, true);
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned c = 0; c < 1 + i % 15; c++) {
            nvme_put(&n, 1, read_cmd(&n));
        }
        nvme_ring(&n, 1);
        nvme_msix_wait(&n, 1);
        for (unsigned c = 0; c < 1 + i % 15; c++) {
            await(&n, 1);
        }
        nvme_ring_head(&n, 1);
        nvme_msix_raised(&n, 1);
    }
    nvme_stop(&n);
}

/* ---- MSI ---- */

static uint8_t enable_msi(Nvme *n, unsigned *vectors)
{
    uint8_t cap = qpci_find_capability(n->pci, PCI_CAP_ID_MSI, 0);
    uint16_t flags;
    unsigned data, log2;

    g_assert_cmphex(cap, !=, 0);
    flags = qpci_config_readw(n->pci, cap + PCI_MSI_FLAGS);
    log2 = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
    *vectors = 1 << log2;
    data = flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
    qpci_config_writel(n->pci, cap + PCI_MSI_ADDRESS_LO, n->message);
    if (flags & PCI_MSI_FLAGS_64BIT) {
        qpci_config_writel(n->pci, cap + PCI_MSI_ADDRESS_HI, 0);
    }
    qpci_config_writew(n->pci, cap + data, 0x4000);
    qpci_config_writew(n->pci, cap + PCI_MSI_FLAGS,
                       (flags & ~PCI_MSI_FLAGS_QSIZE) | log2 << 4 |
                       PCI_MSI_FLAGS_ENABLE);
    qtest_writel(n->m->qts, n->message, 0);
    return cap;
}

static void wait_message(Nvme *n, uint32_t value)
{
    gint64 deadline = machine_deadline();

    while (qtest_readl(n->m->qts, n->message) != value) {
        if (!machine_before(deadline)) {
            g_error("the message is 0x%x, not 0x%x",
                    qtest_readl(n->m->qts, n->message), value);
        }
    }
    qtest_writel(n->m->qts, n->message, 0);
}

static void test_msi(void)
{
    unsigned vectors;
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    enable_msi(&n, &vectors);
    nvme_enable(&n);
    create_queues(&n, 1, 0, true);
    create_queues(&n, 2, vectors - 1, true);
    wait_message(&n, 0x4000);
    for (unsigned i = 0; i < 10; i++) {
        unsigned q = 1 + i % 2;

        nvme_submit(&n, q, read_cmd(&n));
        nvme_wait_any(&n, q);
        wait_message(&n, q == 1 ? 0x4000 : 0x4000 + vectors - 1);
        g_assert_false(nvme_pin(&n));
    }
    nvme_set(&n, REG_INTMS, 1);
    nvme_submit(&n, 1, read_cmd(&n));
    nvme_wait_any(&n, 1);
    machine_assert_alive(&m);
    g_assert_cmphex(qtest_readl(m.qts, n.message), ==, 0);
    nvme_set(&n, REG_INTMC, 1);
    wait_message(&n, 0x4000);
    nvme_stop(&n);
}

/* ---- coalescing: section 5.21.1.8 ---- */

/* An interrupt may come late, but it comes. */
static void test_coalescing(void)
{
    static const uint32_t values[] = {
        0xff04, 0x0104, 0x00ff, 0x0f00, 0xffff, 0x0000,
    };
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    nvme_msix_enable(&n);
    nvme_enable(&n);
    create_queues(&n, 1, 1, true);
    create_queues(&n, 2, 2, true);
    /* Vector 2 is not coalesced. */
    nvme_assert_status(nvme_set_feature(&n, 9, 1 << 16 | 2), ST_OK);
    for (unsigned v = 0; v < G_N_ELEMENTS(values); v++) {
        nvme_assert_status(nvme_set_feature(&n, 8, values[v]), ST_OK);
        for (unsigned i = 0; i < 3; i++) {
            nvme_submit(&n, 1, read_cmd(&n));
            nvme_wait_any(&n, 1);
            nvme_submit(&n, 2, read_cmd(&n));
            nvme_wait_any(&n, 2);
            nvme_msix_wait(&n, 2);
        }
        for (unsigned i = 0; i < 15; i++) {
            nvme_put(&n, 1, read_cmd(&n));
        }
        nvme_ring(&n, 1);
        nvme_msix_wait(&n, 1);
        for (unsigned i = 0; i < 15; i++) {
            nvme_wait_any(&n, 1);
        }
    }
    nvme_stop(&n);
}

/* What is not told of yet when the queue or the controller goes */
static void test_coalescing_reset(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 6; i++) {
        nvme_msix_enable(&n);
        nvme_enable(&n);
        create_queues(&n, 1, 1, true);
        nvme_assert_status(nvme_set_feature(&n, 8, 0xffff), ST_OK);
        nvme_submit(&n, 1, read_cmd(&n));
        nvme_wait_any(&n, 1);
        if (i % 2) {
            nvme_delete_queues(&n, 1);
        }
        nvme_disable(&n);
        nvme_msix_raised(&n, 1);
        nvme_assert_quiet(&n);
        g_assert_false(nvme_msix_raised(&n, 1));
    }
    nvme_stop(&n);
}

/* ---- messages to where they should not go ---- */

static void test_hostile_address(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 40; i++) {
        const struct {
            uint64_t address;
            uint32_t data;
        } where[] = {
            { n.bar.addr + REG_CC, 0 },         /* disables it */
            { n.bar.addr + REG_CC, CC_SIZES | CC_EN | CC_SHN(1) },
            { n.bar.addr + nvme_sq_doorbell(1), 1 },
            { n.bar.addr + nvme_sq_doorbell(1), 99 },
            { n.bar.addr + nvme_cq_doorbell(1), 3 },
            { n.bar.addr + nvme_sq_doorbell(0), 7 },
            { n.pci->msix_table_bar.addr + n.pci->msix_table_off, 0 },
            { 0x7fff00000000, 1 },
            { 0xfffff000, 1 },
            { 0xfee00000, 0 },
        };
        unsigned w = i % G_N_ELEMENTS(where);

        nvme_msix_enable(&n);
        nvme_enable(&n);
        create_queues(&n, 1, 1, true);
        nvme_msix_direct(&n, 1, where[w].address, where[w].data);
        for (unsigned c = 0; c < 1 + i / G_N_ELEMENTS(where) * 4; c++) {
            nvme_put(&n, 1, read_cmd(&n));
        }
        nvme_ring(&n, 1);
        for (unsigned a = 0; a < 4; a++) {
            machine_assert_alive(&m);
        }
        nvme_msix_disable(&n);
        nvme_assert_works(&n);
    }
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/interrupts/pin", test_pin);
    g_test_add_func("/interrupts/pin-mask", test_pin_mask);
    g_test_add_func("/interrupts/pin-reset", test_pin_reset);
    g_test_add_func("/interrupts/msix", test_msix);
    g_test_add_func("/interrupts/msix-mask", test_msix_mask);
    g_test_add_func("/interrupts/msix-many", test_msix_many);
    g_test_add_func("/interrupts/msi", test_msi);
    g_test_add_func("/interrupts/coalescing", test_coalescing);
    g_test_add_func("/interrupts/coalescing-reset", test_coalescing_reset);
    g_test_add_func("/interrupts/hostile-address", test_hostile_address);
    return g_test_run();
}
