/*
 * More NVMe functions of a card (smartnic-nvme): from the beginning, plugged
 * into a slot of their own, and left behind by their card.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"

#include "nvme.h"
#include "slot.h"

#define SECOND_SLOT 6
#define SECOND_DEVFN QPCI_DEVFN(SECOND_SLOT, 0)
#define SECOND(props) \
    "-device 'smartnic-nvme,id=nvme1,nic=nic0,addr=6" props "' "
#define MEM ",volume=mem://?size=8M"

static void check_blocks(Nvme *n, uint32_t nsid, uint64_t blocks)
{
    struct nvme_id_ns id;

    nvme_assert_status(nvme_identify(n, 0, nsid, &id), ST_OK);
    g_assert_cmpuint(GUINT64_FROM_LE(id.nsze), ==, blocks);
}

/* Two controllers of one card, which have nothing in common but that */
static void test_cold(void)
{
    struct nvme_id_ctrl id[2];
    uint8_t data[2][NVME_BLOCK], back[NVME_BLOCK];
    Machine m;
    Nvme n[2];

    machine_start(&m, "%s", CARD_NVME("") SECOND(MEM)
        "-device 'smartnic-volume,bus=nvme1.0,nsid=5,url=mem://?size=1M' ");
    nvme_open(&n[0], &m, STORAGE_DEVFN);
    nvme_open(&n[1], &m, SECOND_DEVFN);
    for (unsigned i = 0; i < 2; i++) {
        nvme_enable(&n[i]);
        nvme_create_queues(&n[i], 1, 8);
        nvme_assert_status(nvme_identify(&n[i], 1, 0, &id[i]), ST_OK);
        memset(data[i], 0x11 + i, NVME_BLOCK);
        nvme_assert_status(nvme_write(&n[i], 1, 0, data[i], NVME_BLOCK),
                           ST_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        nvme_assert_status(nvme_read(&n[i], 1, 0, back, NVME_BLOCK), ST_OK);
        g_assert_cmpmem(back, NVME_BLOCK, data[i], NVME_BLOCK);
    }
    /* Two subsystems: nothing says that they share what they have. */
    g_assert_cmpint(memcmp(id[0].sn, id[1].sn, 20), !=, 0);
    g_assert_cmpint(memcmp(id[0].subnqn, id[1].subnqn, 256), !=, 0);
    check_blocks(&n[0], 5, 0);
    check_blocks(&n[1], 5, 2048);
    /* One is reset, the other is not. */
    nvme_disable(&n[0]);
    nvme_assert_status(nvme_read(&n[1], 1, 0, back, NVME_BLOCK), ST_OK);
    nvme_close(&n[0]);
    nvme_stop(&n[1]);
}

static void test_properties(void)
{
    struct nvme_id_ctrl id;
    Machine m;
    Nvme n;

    machine_start(&m, "%s", CARD(",function=none")
                  SECOND(MEM ",serial=mine,max-queue-pairs=3"));
    nvme_open(&n, &m, SECOND_DEVFN);
    nvme_enable(&n);
    nvme_assert_status(nvme_identify(&n, 1, 0, &id), ST_OK);
    g_assert_cmpmem(id.sn, 5, "mine ", 5);
    nvme_assert_status(nvme_set_feature(&n, 7, 63 << 16 | 63), ST_OK);
    g_assert_cmphex(n.result, ==, 2 << 16 | 2);
    nvme_create_queues(&n, 3, 8);
    nvme_queue_alloc(&n, 4, 8, 8);
    nvme_assert_status(nvme_admin(&n, nvme_create_cq_cmd(&n, 4)), ST_QID);
    nvme_stop(&n);
}

static void test_refusals(void)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        { "-device smartnic-nvme,volume=mem://?size=1M", "nic" },
        { "-device smartnic-nvme,nic=none", "none" },
        { CARD("") "-device 'smartnic-nvme,nic=n0'", "n0" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,volume=x'", "x" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,serial='", "serial" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,max-queue-pairs=0'",
          "max-queue-pairs" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,queue-entries=1'",
          "queue-entries" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,queue-entries=4097'",
          "queue-entries" },
        { CARD("") "-device 'smartnic-nvme,nic=nic0,max-queue-pairs=65'",
          "max-queue-pairs" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *line = machine_refusal("%s", cases[i].args);
        const char *says = strstr(line, ": ");

        g_assert_nonnull(strstr(says ?: line, cases[i].says));
    }
}

/* ---- plugged while the guest runs ---- */

static void plug(Machine *m, Slot *slot)
{
    qtest_qmp_device_add(m->qts, "smartnic-nvme", "nvme1",
                         "{ 'nic': 'nic0', 'bus': 'port0',"
                         "'volume': 'mem://?size=8M' }");
    slot_set_power(slot, true);
}

static void test_hot(void)
{
    Machine m;
    Nvme first, second;
    Slot slot;

    machine_start(&m, "%s", SLOT CARD_NVME(""));
    slot_open(&slot, &m);
    nvme_open(&first, &m, STORAGE_DEVFN);
    for (unsigned i = 0; i < 6; i++) {
        plug(&m, &slot);
        nvme_open(&second, &m, SLOT_DEVFN(0));
        nvme_assert_works(&second);
        check_blocks(&second, 1, 8 * 2048);
        nvme_assert_works(&first);
        for (unsigned c = 0; c < i; c++) {
            nvme_submit(&second, 1, nvme_rw_cmd(&second, OP_READ, 1, c, 1));
        }
        qtest_qmp_device_del_send(m.qts, "nvme1");
        slot_set_power(&slot, false);
        machine_wait_deleted(&m, "nvme1");
        g_assert_null(qpci_device_find(m.bus, SLOT_DEVFN(0)));
        nvme_forget(&second);
        nvme_assert_works(&first);
    }
    slot_close(&slot);
    nvme_stop(&first);
}

/* Without its card a function has no volumes, and does no harm. */
static void test_card_goes_first(void)
{
    Machine m;
    Nvme n;

    machine_start(&m, "%s", CARD_NVME("") SECOND(MEM)
        "-device 'smartnic-volume,bus=nvme1.0,nsid=5,url=mem://?size=1M' ");
    nvme_open(&n, &m, SECOND_DEVFN);
    nvme_assert_works(&n);
    for (unsigned c = 0; c < 5; c++) {
        nvme_put(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, c, 1));
    }
    nvme_ring(&n, 1);
    machine_unplug(&m, "nic0", CARD_SLOT);
    for (unsigned c = 0; c < 5; c++) {
        SnNvmeCqe cqe = nvme_wait_any(&n, 1);

        g_assert_true(sn_nvme_status(&cqe) == ST_OK ||
                      sn_nvme_status(&cqe) == ST_INVALID_NS);
    }
    nvme_assert_status(nvme_command(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0,
                                                       1)), ST_INVALID_NS);
    nvme_enable(&n);
    check_blocks(&n, 1, 0);
    check_blocks(&n, 5, 0);
    machine_assert_alive(&m);
    machine_unplug(&m, "nvme1", SECOND_SLOT);
    nvme_forget(&n);
    machine_assert_alive(&m);
    machine_stop(&m);
}

/* Card and functions, in every order, again and again */
static void test_orders(void)
{
    Machine m;

    machine_start(&m, "-netdev hubport,id=n0,hubid=0");
    for (unsigned i = 0; i < 4; i++) {
        qtest_qmp_device_add(m.qts, "smartnic-storage", "nic0",
                             "{ 'netdev': 'n0', 'addr': '4',"
                             "'volume': 'mem://?size=1M' }");
        qtest_qmp_device_add(m.qts, "smartnic-nvme", "nvme1",
                             "{ 'nic': 'nic0', 'addr': '6',"
                             "'volume': 'mem://?size=1M' }");
        qtest_qmp_device_add(m.qts, "smartnic-volume", "ns9",
                             "{ 'bus': %s, 'nsid': 9,"
                             "'url': 'mem://?size=1M' }",
                             i & 2 ? "nvme1.0" : "nic0.0");
        if (i & 1) {
            machine_unplug(&m, "nvme1", SECOND_SLOT);
            machine_unplug(&m, "nic0", CARD_SLOT);
        } else {
            machine_unplug(&m, "nic0", CARD_SLOT);
            machine_unplug(&m, "nvme1", SECOND_SLOT);
        }
        machine_assert_alive(&m);
    }
    machine_stop(&m);
}

static void test_system_reset(void)
{
    Machine m;
    Nvme n[2];

    machine_start(&m, "%s", CARD_NVME("") SECOND(MEM));
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned f = 0; f < 2; f++) {
            nvme_open(&n[f], &m, f ? SECOND_DEVFN : STORAGE_DEVFN);
            nvme_assert_works(&n[f]);
            nvme_submit(&n[f], 1, nvme_rw_cmd(&n[f], OP_READ, 1, 0, 1));
        }
        qtest_system_reset(m.qts);
        nvme_forget(&n[0]);
        nvme_forget(&n[1]);
    }
    machine_stop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/functions/cold", test_cold);
    g_test_add_func("/functions/properties", test_properties);
    g_test_add_func("/functions/refusals", test_refusals);
    g_test_add_func("/functions/hot", test_hot);
    g_test_add_func("/functions/card-goes-first", test_card_goes_first);
    g_test_add_func("/functions/orders", test_orders);
    g_test_add_func("/functions/system-reset", test_system_reset);
    return g_test_run();
}
