/*
 * A driver for the NVMe storage function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"

#include "nvme.h"

#define ARENA_SIZE (NVME_BUFFER_SIZE + 3 * NVME_PAGE_MAX)

/* ---- the function ---- */

static uint8_t msix_cap(Nvme *n)
{
    return qpci_find_capability(n->pci, PCI_CAP_ID_MSIX, 0);
}

/* libqos would map the BAR once more, when it is that of the registers. */
static void find_msix(Nvme *n)
{
    uint8_t cap = msix_cap(n);
    uint32_t table = qpci_config_readl(n->pci, cap + PCI_MSIX_TABLE);
    uint32_t pba = qpci_config_readl(n->pci, cap + PCI_MSIX_PBA);
    unsigned bir = table & PCI_MSIX_TABLE_BIR;

    g_assert_cmphex(cap, !=, 0);
    g_assert_cmpuint(bir, ==, pba & PCI_MSIX_PBA_BIR);
    n->pci->msix_table_bar = bir ? qpci_iomap(n->pci, bir, NULL) : n->bar;
    n->pci->msix_pba_bar = n->pci->msix_table_bar;
    n->pci->msix_table_off = table & PCI_MSIX_TABLE_OFFSET;
    n->pci->msix_pba_off = pba & PCI_MSIX_PBA_OFFSET;
}

void nvme_open(Nvme *n, Machine *m, int devfn)
{
    *n = (Nvme) { .m = m };
    n->pci = qpci_device_find(m->bus, devfn);
    g_assert_nonnull(n->pci);
    n->bar = qpci_iomap(n->pci, 0, &n->bar_size);
    /* A 64-bit BAR, placed below 4 GiB */
    qpci_config_writel(n->pci, PCI_BASE_ADDRESS_1, 0);
    qpci_device_enable(n->pci);
    find_msix(n);
    n->arena = guest_alloc(&m->alloc, ARENA_SIZE);
    n->buffer = ROUND_UP(n->arena, NVME_PAGE_MAX);
    n->list = n->buffer + NVME_BUFFER_SIZE;
    n->message = n->list + NVME_PAGE_MAX;
}

void nvme_forget(Nvme *n)
{
    for (unsigned q = 0; q < NVME_MAX_QUEUES; q++) {
        nvme_queue_free(n, q);
    }
    guest_free(&n->m->alloc, n->arena);
    g_clear_pointer(&n->pci, g_free);
}

void nvme_close(Nvme *n)
{
    nvme_bus_master(n, true);
    nvme_disable(n);
    nvme_forget(n);
}

void nvme_start(Nvme *n, Machine *m, const char *args)
{
    machine_start(m, "%s", args);
    nvme_open(n, m, STORAGE_DEVFN);
}

void nvme_stop(Nvme *n)
{
    Machine *m = n->m;

    nvme_assert_works(n);
    nvme_close(n);
    machine_stop(m);
}

uint32_t nvme_get(Nvme *n, unsigned reg)
{
    return qpci_io_readl(n->pci, n->bar, reg);
}

uint64_t nvme_get64(Nvme *n, unsigned reg)
{
    return qpci_io_readq(n->pci, n->bar, reg);
}

void nvme_set(Nvme *n, unsigned reg, uint32_t value)
{
    qpci_io_writel(n->pci, n->bar, reg, value);
}

void nvme_set64(Nvme *n, unsigned reg, uint64_t value)
{
    qpci_io_writeq(n->pci, n->bar, reg, value);
}

void nvme_bus_master(Nvme *n, bool on)
{
    uint16_t cmd = qpci_config_readw(n->pci, PCI_COMMAND);

    qpci_config_writew(n->pci, PCI_COMMAND, on ? cmd | PCI_COMMAND_MASTER
                                               : cmd & ~PCI_COMMAND_MASTER);
}

bool nvme_flr(Nvme *n)
{
    uint8_t cap = qpci_find_capability(n->pci, PCI_CAP_ID_EXP, 0);

    if (!cap || !(qpci_config_readl(n->pci, cap + PCI_EXP_DEVCAP) &
                  PCI_EXP_DEVCAP_FLR)) {
        return false;
    }
    qpci_config_writew(n->pci, cap + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
    return true;
}

/* ---- the controller ---- */

void nvme_wait_csts(Nvme *n, uint32_t mask, uint32_t value)
{
    gint64 deadline = machine_deadline();

    for (;;) {
        uint32_t csts = nvme_get(n, REG_CSTS);

        if ((csts & mask) == value) {
            return;
        }
        if (!machine_before(deadline)) {
            g_error("CSTS is 0x%x, not 0x%x of 0x%x", csts, value, mask);
        }
    }
}

void nvme_disable(Nvme *n)
{
    nvme_set(n, REG_CC, nvme_get(n, REG_CC) & ~CC_EN);
    nvme_wait_csts(n, CSTS_RDY, 0);
    for (unsigned q = 0; q < NVME_MAX_QUEUES; q++) {
        nvme_queue_free(n, q);
    }
}

void nvme_begin_enable(Nvme *n, uint32_t cc)
{
    NvmeQueue *admin = &n->queues[0];

    nvme_disable(n);
    n->page_size = 4096u << (cc >> 7 & 15);
    nvme_queue_alloc(n, 0, NVME_ADMIN_ENTRIES, NVME_ADMIN_ENTRIES);
    nvme_set(n, REG_AQA, (NVME_ADMIN_ENTRIES - 1) << 16 |
                          (NVME_ADMIN_ENTRIES - 1));
    nvme_set64(n, REG_ASQ, admin->sq);
    nvme_set64(n, REG_ACQ, admin->cq);
    nvme_set(n, REG_CC, CC_SIZES | cc);
    nvme_set(n, REG_CC, CC_SIZES | cc | CC_EN);
}

void nvme_enable_with(Nvme *n, uint32_t cc)
{
    nvme_begin_enable(n, cc);
    nvme_wait_csts(n, CSTS_RDY | CSTS_CFS, CSTS_RDY);
}

void nvme_enable(Nvme *n)
{
    nvme_enable_with(n, 0);
}

void nvme_assert_works(Nvme *n)
{
    static unsigned salt;
    uint8_t data[2 * NVME_BLOCK], back[sizeof(data)] = { };

    machine_assert_alive(n->m);
    nvme_enable(n);
    nvme_create_queues(n, 1, 8);
    memset(data, 0xa0 + ++salt % 16, sizeof(data));
    nvme_assert_status(nvme_write(n, 1, 7, data, sizeof(data)), ST_OK);
    nvme_assert_status(nvme_read(n, 1, 7, back, sizeof(back)), ST_OK);
    g_assert_cmpmem(data, sizeof(data), back, sizeof(back));
}

/* ---- queues ---- */

void nvme_queue_alloc(Nvme *n, unsigned qid, unsigned sq_entries,
                      unsigned cq_entries)
{
    NvmeQueue *q = &n->queues[qid];
    uint64_t page = MAX(n->page_size, 4096);
    uint64_t sq_size = ROUND_UP(sq_entries * sizeof(SnNvmeSqe), page);
    uint64_t size = page + sq_size + cq_entries * sizeof(SnNvmeCqe);

    nvme_queue_free(n, qid);
    *q = (NvmeQueue) {
        .sq_entries = sq_entries,
        .cq_entries = cq_entries,
        .memory = guest_alloc(&n->m->alloc, size),
        .phase = true,
    };
    qtest_memset(n->m->qts, q->memory, 0, size);
    q->sq = ROUND_UP(q->memory, page);
    q->cq = q->sq + sq_size;
}

void nvme_queue_free(Nvme *n, unsigned qid)
{
    NvmeQueue *q = &n->queues[qid];

    if (q->sq_entries) {
        guest_free(&n->m->alloc, q->memory);
    }
    *q = (NvmeQueue) { };
}

SnNvmeSqe nvme_create_cq_cmd(Nvme *n, unsigned qid)
{
    NvmeQueue *q = &n->queues[qid];

    return (SnNvmeSqe) {
        .opcode = OP_CREATE_CQ,
        .prp1 = q->cq,
        .cdw10 = (q->cq_entries - 1) << 16 | qid,
        /* Only MSI-X is sure to have so many vectors: section 5.3. */
        .cdw11 = (n->pci->msix_enabled ? qid << 16 : 0) | 3,  /* IEN, PC */
    };
}

SnNvmeSqe nvme_create_sq_cmd(Nvme *n, unsigned qid, unsigned cqid)
{
    NvmeQueue *q = &n->queues[qid];

    return (SnNvmeSqe) {
        .opcode = OP_CREATE_SQ,
        .prp1 = q->sq,
        .cdw10 = (q->sq_entries - 1) << 16 | qid,
        .cdw11 = cqid << 16 | 1,        /* PC */
    };
}

void nvme_create_queues(Nvme *n, unsigned qid, unsigned entries)
{
    nvme_queue_alloc(n, qid, entries, entries);
    nvme_admin_ok(n, nvme_create_cq_cmd(n, qid));
    nvme_admin_ok(n, nvme_create_sq_cmd(n, qid, qid));
}

void nvme_delete_queues(Nvme *n, unsigned qid)
{
    nvme_admin_ok(n, (SnNvmeSqe) { .opcode = OP_DELETE_SQ, .cdw10 = qid });
    nvme_admin_ok(n, (SnNvmeSqe) { .opcode = OP_DELETE_CQ, .cdw10 = qid });
    nvme_queue_free(n, qid);
}

uint64_t nvme_sq_doorbell(unsigned qid)
{
    return REG_DOORBELLS + 8 * qid;
}

uint64_t nvme_cq_doorbell(unsigned qid)
{
    return REG_DOORBELLS + 8 * qid + 4;
}

/* ---- commands ---- */

void nvme_put_as_is(Nvme *n, unsigned qid, const SnNvmeSqe *cmd)
{
    NvmeQueue *q = &n->queues[qid];

    qtest_memwrite(n->m->qts, q->sq + q->tail * sizeof(*cmd), cmd,
                   sizeof(*cmd));
    q->tail = (q->tail + 1) % q->sq_entries;
}

uint16_t nvme_put(Nvme *n, unsigned qid, SnNvmeSqe cmd)
{
    cmd.cid = ++n->cid;
    nvme_put_as_is(n, qid, &cmd);
    return cmd.cid;
}

void nvme_ring(Nvme *n, unsigned qid)
{
    nvme_set(n, nvme_sq_doorbell(qid), n->queues[qid].tail);
}

void nvme_ring_head(Nvme *n, unsigned qid)
{
    nvme_set(n, nvme_cq_doorbell(qid), n->queues[qid].head);
}

uint16_t nvme_submit(Nvme *n, unsigned qid, SnNvmeSqe cmd)
{
    uint16_t cid = nvme_put(n, qid, cmd);

    nvme_ring(n, qid);
    return cid;
}

bool nvme_peek(Nvme *n, unsigned qid, SnNvmeCqe *cqe)
{
    NvmeQueue *q = &n->queues[qid];

    qtest_memread(n->m->qts, q->cq + q->head * sizeof(*cqe), cqe,
                  sizeof(*cqe));
    if ((cqe->status & 1) != q->phase) {
        return false;
    }
    q->head = (q->head + 1) % q->cq_entries;
    q->phase ^= q->head == 0;
    return true;
}

bool nvme_poll(Nvme *n, unsigned qid, SnNvmeCqe *cqe)
{
    if (!nvme_peek(n, qid, cqe)) {
        return false;
    }
    nvme_ring_head(n, qid);
    return true;
}

SnNvmeCqe nvme_wait_any(Nvme *n, unsigned qid)
{
    gint64 deadline = machine_deadline();
    SnNvmeCqe cqe;

    while (!nvme_poll(n, qid, &cqe)) {
        if (!machine_before(deadline)) {
            g_error("no completion on queue %u, CSTS 0x%x", qid,
                    nvme_get(n, REG_CSTS));
        }
    }
    n->result = cqe.dw0;
    n->dnr = sn_nvme_dnr(&cqe);
    return cqe;
}

unsigned nvme_wait(Nvme *n, unsigned qid, uint16_t cid)
{
    SnNvmeCqe cqe = nvme_wait_any(n, qid);

    g_assert_cmphex(cqe.cid, ==, cid);
    return sn_nvme_status(&cqe);
}

unsigned nvme_command(Nvme *n, unsigned qid, SnNvmeSqe cmd)
{
    return nvme_wait(n, qid, nvme_submit(n, qid, cmd));
}

unsigned nvme_admin(Nvme *n, SnNvmeSqe cmd)
{
    return nvme_command(n, 0, cmd);
}

void nvme_admin_ok(Nvme *n, SnNvmeSqe cmd)
{
    unsigned status = nvme_admin(n, cmd);

    if (status) {
        g_error("admin command 0x%x: status 0x%x", cmd.opcode, status);
    }
}

void nvme_assert_quiet(Nvme *n)
{
    /* Each of them lets QEMU's main loop run. */
    for (unsigned i = 0; i < 4; i++) {
        machine_assert_alive(n->m);
    }
    for (unsigned q = 0; q < NVME_MAX_QUEUES; q++) {
        SnNvmeCqe cqe;

        if (n->queues[q].cq_entries && nvme_peek(n, q, &cqe)) {
            g_error("a completion on queue %u: cid 0x%x status 0x%x", q,
                    cqe.cid, sn_nvme_status(&cqe));
        }
    }
}

void nvme_set_prps(Nvme *n, SnNvmeSqe *cmd, uint64_t addr, size_t len)
{
    uint64_t page = n->page_size;
    uint64_t next = ROUND_UP(addr + 1, page);
    unsigned count = 0;

    cmd->prp1 = addr;
    cmd->prp2 = 0;
    if (addr + len <= next) {
        return;
    }
    if (addr + len <= next + page) {
        cmd->prp2 = next;
        return;
    }
    for (; next < addr + len; next += page) {
        qtest_writeq(n->m->qts, n->list + 8 * count++, next);
    }
    g_assert_cmpuint(8 * count, <=, page);
    cmd->prp2 = n->list;
}

SnNvmeSqe nvme_rw_cmd(Nvme *n, uint8_t op, uint32_t nsid, uint64_t slba,
                      unsigned blocks)
{
    SnNvmeSqe cmd = {
        .opcode = op,
        .nsid = nsid,
        .cdw10 = slba,
        .cdw11 = slba >> 32,
        .cdw12 = blocks - 1,
    };

    nvme_set_prps(n, &cmd, n->buffer, (size_t)blocks * NVME_BLOCK);
    return cmd;
}

unsigned nvme_read(Nvme *n, uint32_t nsid, uint64_t slba, void *data,
                   size_t len)
{
    unsigned status = nvme_command(n, 1, nvme_rw_cmd(n, OP_READ, nsid, slba,
                                                     len / NVME_BLOCK));

    qtest_memread(n->m->qts, n->buffer, data, len);
    return status;
}

unsigned nvme_write(Nvme *n, uint32_t nsid, uint64_t slba, const void *data,
                    size_t len)
{
    qtest_memwrite(n->m->qts, n->buffer, data, len);
    return nvme_command(n, 1, nvme_rw_cmd(n, OP_WRITE, nsid, slba,
                                          len / NVME_BLOCK));
}

unsigned nvme_identify(Nvme *n, uint8_t cns, uint32_t nsid, void *data)
{
    unsigned status;

    qtest_memset(n->m->qts, n->buffer, 0xee, 4096);
    status = nvme_admin(n, (SnNvmeSqe) {
        .opcode = OP_IDENTIFY, .nsid = nsid, .prp1 = n->buffer, .cdw10 = cns,
    });
    qtest_memread(n->m->qts, n->buffer, data, 4096);
    return status;
}

unsigned nvme_get_log(Nvme *n, uint8_t lid, uint64_t offset, void *data,
                      size_t len)
{
    uint32_t numd = len / 4 - 1;
    SnNvmeSqe cmd = {
        .opcode = OP_GET_LOG,
        .nsid = NVME_ALL,
        .cdw10 = numd << 16 | lid,
        .cdw11 = numd >> 16,
        .cdw12 = offset,
        .cdw13 = offset >> 32,
    };
    unsigned status;

    qtest_memset(n->m->qts, n->buffer, 0xee, len);
    nvme_set_prps(n, &cmd, n->buffer, len);
    status = nvme_admin(n, cmd);
    qtest_memread(n->m->qts, n->buffer, data, len);
    return status;
}

unsigned nvme_get_feature(Nvme *n, uint8_t fid, uint32_t cdw11)
{
    return nvme_admin(n, (SnNvmeSqe) {
        .opcode = OP_GET_FEATURES, .cdw10 = fid, .cdw11 = cdw11,
        .prp1 = n->buffer,
    });
}

unsigned nvme_set_feature(Nvme *n, uint8_t fid, uint32_t value)
{
    return nvme_admin(n, (SnNvmeSqe) {
        .opcode = OP_SET_FEATURES, .cdw10 = fid, .cdw11 = value,
        .prp1 = n->buffer,
    });
}

/* ---- interrupts ---- */

unsigned nvme_msix_vectors(Nvme *n)
{
    return (qpci_config_readw(n->pci, msix_cap(n) + PCI_MSIX_FLAGS) &
            PCI_MSIX_FLAGS_QSIZE) + 1;
}

static uint64_t msix_entry(Nvme *n, unsigned vector)
{
    return n->pci->msix_table_off + vector * PCI_MSIX_ENTRY_SIZE;
}

void nvme_msix_direct(Nvme *n, unsigned vector, uint64_t address,
                      uint32_t data)
{
    QPCIBar bar = n->pci->msix_table_bar;
    uint64_t at = msix_entry(n, vector);

    qpci_io_writel(n->pci, bar, at + PCI_MSIX_ENTRY_LOWER_ADDR, address);
    qpci_io_writel(n->pci, bar, at + PCI_MSIX_ENTRY_UPPER_ADDR,
                   address >> 32);
    qpci_io_writel(n->pci, bar, at + PCI_MSIX_ENTRY_DATA, data);
    qpci_io_writel(n->pci, bar, at + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
}

void nvme_msix_mask(Nvme *n, unsigned vector, bool masked)
{
    qpci_io_writel(n->pci, n->pci->msix_table_bar,
                   msix_entry(n, vector) + PCI_MSIX_ENTRY_VECTOR_CTRL,
                   masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0);
}

uint64_t nvme_msix_word(Nvme *n, unsigned vector)
{
    return n->message + 4 * vector;
}

static void set_msix(Nvme *n, bool on)
{
    unsigned reg = msix_cap(n) + PCI_MSIX_FLAGS;
    uint16_t flags = qpci_config_readw(n->pci, reg);

    qpci_config_writew(n->pci, reg, on ? flags | PCI_MSIX_FLAGS_ENABLE
                                       : flags & ~PCI_MSIX_FLAGS_ENABLE);
    n->pci->msix_enabled = on;
}

void nvme_msix_enable(Nvme *n)
{
    qtest_memset(n->m->qts, n->message, 0, 4096);
    for (unsigned v = 0; v < nvme_msix_vectors(n); v++) {
        nvme_msix_direct(n, v, nvme_msix_word(n, v), v + 1);
    }
    set_msix(n, true);
}

void nvme_msix_disable(Nvme *n)
{
    set_msix(n, false);
}

bool nvme_msix_raised(Nvme *n, unsigned vector)
{
    uint32_t word = qtest_readl(n->m->qts, nvme_msix_word(n, vector));

    if (!word) {
        return false;
    }
    g_assert_cmpuint(word, ==, vector + 1);
    qtest_writel(n->m->qts, nvme_msix_word(n, vector), 0);
    return true;
}

void nvme_msix_wait(Nvme *n, unsigned vector)
{
    gint64 deadline = machine_deadline();

    while (!nvme_msix_raised(n, vector)) {
        if (!machine_before(deadline)) {
            g_error("vector %u is not raised", vector);
        }
    }
}

bool nvme_pin(Nvme *n)
{
    return qpci_config_readw(n->pci, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}
