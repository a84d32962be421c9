/*
 * The NVMe function and a guest that breaks every rule. After each case QEMU is
 * alive, the function works once it was reset, and so does another card
 * without.
 *
 * Random cases have a fixed seed; NVME_SEED in the environment is another.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"

#include "nvme.h"

#define NOWHERE 0x7fff00000000ULL
#define ROM     0xfffff000ULL
#define NEIGHBOUR_SLOT 5

typedef struct World {
    Machine m;
    Nvme n, neighbour;
    GRand *rand;
} World;

static void start(World *w)
{
    const char *seed = g_getenv("NVME_SEED");

    machine_start(&w->m, "%s", CARD_NVME("")
                  "-netdev hubport,id=n1,hubid=0 "
                  "-device 'smartnic-storage,id=nic1,netdev=n1,addr=5,"
                  "volume=mem://?size=64M'");
    nvme_open(&w->n, &w->m, STORAGE_DEVFN);
    nvme_open(&w->neighbour, &w->m, QPCI_DEVFN(NEIGHBOUR_SLOT, 2));
    nvme_assert_works(&w->neighbour);
    w->rand = g_rand_new_with_seed(seed ? atoi(seed) : 20261123);
}

/* The neighbour was never reset: its queues are those of start(). */
static void assert_neighbour(World *w)
{
    nvme_assert_status(nvme_command(&w->neighbour, 1,
        nvme_rw_cmd(&w->neighbour, OP_READ, 1, 0, 8)), ST_OK);
}

static void survive(World *w)
{
    machine_assert_alive(&w->m);
    assert_neighbour(w);
    nvme_msix_disable(&w->n);
    nvme_bus_master(&w->n, true);
    nvme_assert_works(&w->n);
}

static void end(World *w)
{
    g_rand_free(w->rand);
    nvme_close(&w->neighbour);
    nvme_stop(&w->n);
}

static uint32_t below(World *w, uint32_t limit)
{
    return g_rand_int_range(w->rand, 0, limit);
}

/* ---- registers ---- */

/* Any value that a register might take for something */
static uint64_t any_value(World *w)
{
    switch (below(w, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return CC_SIZES | CC_EN | CC_MPS(below(w, 6));
    case 3:
        return CC_SIZES | CC_EN | CC_SHN(below(w, 4));
    case 4:
        return w->n.buffer + 4096 * below(w, 64);
    case 5:
        return below(w, 64);
    case 6:
        return below(w, 64) << 16 | below(w, 64);
    default:
        return g_rand_int(w->rand) | (uint64_t)g_rand_int(w->rand) << 32;
    }
}

static void access_any(World *w, unsigned limit)
{
    Nvme *n = &w->n;
    unsigned offset = below(w, limit);
    uint64_t value = any_value(w);

    switch (below(w, 8)) {
    case 0:
        qpci_io_writeb(n->pci, n->bar, offset, value);
        break;
    case 1:
        qpci_io_writew(n->pci, n->bar, offset, value);
        break;
    case 2:
        qpci_io_writeq(n->pci, n->bar, offset & ~7u, value);
        break;
    case 3:
        qpci_io_readq(n->pci, n->bar, offset);
        break;
    default:
        nvme_set(n, offset & ~3u, value);
    }
}

static void test_registers(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 1500; i++) {
            access_any(&w, i % 3 ? 0x38 : 0x1300);
        }
        survive(&w);
    }
    end(&w);
}

/* The same with queues that work, until they do not */
static void test_registers_and_commands(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 60; round++) {
        nvme_enable(&w.n);
        for (unsigned q = 1; q < 5; q++) {
            nvme_create_queues(&w.n, q, 16);
        }
        for (unsigned i = 0; i < 60; i++) {
            unsigned q = 1 + below(&w, 4);

            if (below(&w, 12) == 0) {
                access_any(&w, 0x1040);
            } else {
                nvme_submit(&w.n, q, nvme_rw_cmd(&w.n, OP_READ, 1, i, 1));
            }
        }
        survive(&w);
    }
    end(&w);
}

/* ---- doorbells ---- */

static void test_doorbell_storm(void)
{
    World w;

    start(&w);
    nvme_enable(&w.n);
    for (unsigned q = 1; q <= 64; q++) {
        nvme_create_queues(&w.n, q, 64);
        for (unsigned i = 0; i < 64; i++) {
            nvme_put(&w.n, q, nvme_rw_cmd(&w.n, OP_READ, 1, i, 1));
        }
    }
    for (unsigned i = 0; i < 20000; i++) {
        nvme_set(&w.n, REG_DOORBELLS + 4 * below(&w, 132), below(&w, 66));
        if (i % 2000 == 0) {
            assert_neighbour(&w);
        }
    }
    survive(&w);
    end(&w);
}

/* A completion queue that is never read, and one whose head runs ahead */
static void test_wrong_heads(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 10; round++) {
        nvme_enable(&w.n);
        nvme_create_queues(&w.n, 1, 8);
        for (unsigned i = 0; i < 40; i++) {
            nvme_submit(&w.n, 1, nvme_rw_cmd(&w.n, OP_READ, 1, 0, 1));
            if (round % 2) {
                nvme_set(&w.n, nvme_cq_doorbell(1), below(&w, 8));
            }
        }
        survive(&w);
    }
    end(&w);
}

/* ---- queues ---- */

/* Queues on top of each other, of data and of the admin queues */
static void test_overlapping(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 12; round++) {
        Nvme *n = &w.n;
        uint64_t places[5];
        SnNvmeSqe cmd;

        nvme_enable(n);
        nvme_queue_alloc(n, 1, 64, 256);
        places[0] = n->queues[0].sq;
        places[1] = n->queues[0].cq & ~4095ULL;
        places[2] = n->queues[1].sq;
        places[3] = n->queues[1].cq & ~4095ULL;
        places[4] = n->buffer;
        cmd = nvme_create_cq_cmd(n, 1);
        cmd.prp1 = places[round % 5];
        nvme_submit(n, 0, cmd);
        cmd = nvme_create_sq_cmd(n, 1, 1);
        cmd.prp1 = places[round / 5 * 2];
        nvme_submit(n, 0, cmd);
        for (unsigned i = 0; i < 63; i++) {
            cmd = nvme_rw_cmd(n, i % 2 ? OP_READ : OP_WRITE, 1, i, 8);
            cmd.prp1 = places[i % 5];
            nvme_put(n, 1, cmd);
        }
        nvme_ring(n, 1);
        for (unsigned i = 0; i < 64; i++) {
            nvme_set(n, nvme_cq_doorbell(i % 2), below(&w, 32));
            nvme_set(n, nvme_sq_doorbell(i % 2), below(&w, 32));
        }
        survive(&w);
    }
    end(&w);
}

/* Every place that is none for a queue pair, as admin queue and I/O queue */
static void test_not_ram(void)
{
    World w;

    start(&w);
    for (unsigned i = 0; i < 24; i++) {
        const uint64_t places[] = {
            w.n.bar.addr, w.neighbour.bar.addr, NOWHERE, ROM,
            0xa0000, 0xfee00000, 0xfffffffffffff000, 127 << 20,
        };
        uint64_t sq = places[i % 8], cq = places[(i + i / 8) % 8];

        nvme_disable(&w.n);
        nvme_set(&w.n, REG_AQA, 0x0fff0fff);
        nvme_set64(&w.n, REG_ASQ, sq);
        nvme_set64(&w.n, REG_ACQ, cq);
        nvme_set(&w.n, REG_CC, CC_SIZES | CC_EN);
        nvme_set(&w.n, nvme_sq_doorbell(0), 4095);
        machine_assert_alive(&w.m);
        nvme_enable(&w.n);
        nvme_queue_alloc(&w.n, 1, 8, 8);
        w.n.queues[1].sq = sq;
        w.n.queues[1].cq = cq;
        nvme_admin(&w.n, nvme_create_cq_cmd(&w.n, 1));
        nvme_admin(&w.n, nvme_create_sq_cmd(&w.n, 1, 1));
        nvme_set(&w.n, nvme_sq_doorbell(1), 7);
        survive(&w);
    }
    end(&w);
}

/* ---- commands ---- */

static uint64_t any_address(World *w)
{
    Nvme *n = &w->n;

    switch (below(w, 10)) {
    case 0:
        return n->bar.addr + 4 * below(w, 2048);
    case 1:
        return NOWHERE;
    case 2:
        return ROM;
    case 3:
        return n->queues[0].sq;
    case 4:
        return n->queues[1].sq + 64 * below(w, 64);
    case 5:
        return n->list + 8 * below(w, 512);
    case 6:
        return n->buffer + below(w, 65536);
    default:
        return n->buffer + 4096 * below(w, 256);
    }
}

static SnNvmeSqe any_command(World *w, unsigned opcodes)
{
    SnNvmeSqe cmd = {
        .opcode = below(w, opcodes),
        .flags = below(w, 4) ? 0 : g_rand_int(w->rand),
        .cid = below(w, 256),
        .nsid = below(w, 4) ? 1 : g_rand_int(w->rand),
        .prp1 = any_address(w),
        .prp2 = any_address(w),
        .cdw10 = below(w, 2) ? below(w, 1024) : g_rand_int(w->rand),
        .cdw11 = below(w, 2) ? 0 : g_rand_int(w->rand),
        .cdw12 = below(w, 2) ? below(w, 4096) : g_rand_int(w->rand),
        .cdw13 = g_rand_int(w->rand),
        .cdw14 = g_rand_int(w->rand),
        .cdw15 = g_rand_int(w->rand),
    };

    return cmd;
}

static void put_any_list(World *w)
{
    for (unsigned i = 0; i < 512; i += 7) {
        qtest_writeq(w->m.qts, w->n.list + 8 * i, any_address(w));
    }
}

static void test_io_commands(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 30; round++) {
        nvme_enable(&w.n);
        nvme_create_queues(&w.n, 1, 64);
        put_any_list(&w);
        for (unsigned i = 0; i < 60; i++) {
            SnNvmeSqe cmd = any_command(&w, 20);

            nvme_put_as_is(&w.n, 1, &cmd);
        }
        nvme_ring(&w.n, 1);
        survive(&w);
    }
    end(&w);
}

static void test_admin_commands(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 60; round++) {
        nvme_enable(&w.n);
        nvme_create_queues(&w.n, 1, 64);
        put_any_list(&w);
        for (unsigned i = 0; i < NVME_ADMIN_ENTRIES - 1; i++) {
            SnNvmeSqe cmd = any_command(&w, round % 4 ? 16 : 256);

            nvme_put_as_is(&w.n, 0, &cmd);
        }
        nvme_ring(&w.n, 0);
        nvme_set(&w.n, nvme_sq_doorbell(1), below(&w, 64));
        survive(&w);
    }
    end(&w);
}

/* Everything at the same time: a guest that changes its mind */
static void test_pci(void)
{
    World w;

    start(&w);
    for (unsigned round = 0; round < 30; round++) {
        nvme_enable(&w.n);
        nvme_create_queues(&w.n, 1, 64);
        nvme_msix_enable(&w.n);
        for (unsigned i = 0; i < 40; i++) {
            switch (below(&w, 8)) {
            case 0:
                nvme_bus_master(&w.n, below(&w, 2));
                break;
            case 1:
                nvme_msix_mask(&w.n, below(&w, 65), below(&w, 2));
                break;
            case 2:
                nvme_msix_direct(&w.n, 1, any_address(&w) & ~3ULL,
                                 any_value(&w));
                break;
            case 3:
                nvme_set(&w.n, REG_INTMS + 4 * below(&w, 2), any_value(&w));
                break;
            case 4:
                qpci_config_writew(w.n.pci, PCI_STATUS, 0xffff);
                break;
            default:
                nvme_submit(&w.n, 1, nvme_rw_cmd(&w.n, OP_READ, 1, i, 8));
            }
        }
        survive(&w);
    }
    end(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostile/registers", test_registers);
    g_test_add_func("/hostile/registers-and-commands",
                    test_registers_and_commands);
    g_test_add_func("/hostile/doorbell-storm", test_doorbell_storm);
    g_test_add_func("/hostile/wrong-heads", test_wrong_heads);
    g_test_add_func("/hostile/overlapping", test_overlapping);
    g_test_add_func("/hostile/not-ram", test_not_ram);
    g_test_add_func("/hostile/io-commands", test_io_commands);
    g_test_add_func("/hostile/admin-commands", test_admin_commands);
    g_test_add_func("/hostile/pci", test_pci);
    return g_test_run();
}
