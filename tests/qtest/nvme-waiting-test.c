/*
 * The NVMe function while its target says nothing: commands wait, whatever the
 * guest or the user does to end them answers at once, and what the target says
 * later goes nowhere.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"
#include "target.h"

#define COMMANDS 8
#define POISON   0x5a

typedef struct World {
    Target target;
    Machine m;
    Nvme n;
    uint16_t cids[COMMANDS];
} World;

/* One of each kind that asks the target; DSM's range is all zeroes. */
static const uint8_t opcodes[COMMANDS] = {
    OP_READ, OP_WRITE, OP_READ, OP_WRITE_ZEROES, OP_COMPARE, OP_FLUSH,
    OP_VERIFY, OP_READ,
};

static void start(World *w, const char *args)
{
    g_autofree char *card = NULL;
    g_autofree char *all = NULL;

    target_start(&w->target);
    card = target_card(&w->target, "nic0", CARD_SLOT, "", "");
    all = g_strconcat(args, card, NULL);
    nvme_start(&w->n, &w->m, all);
    machine_wait_string(&w->m, NVME_PATH, "volume-state", "ready");
    nvme_assert_works(&w->n);
}

/* Memory that only changes when a command is carried out after all */
static void poison(World *w)
{
    qtest_memset(w->m.qts, w->n.buffer, POISON, COMMANDS * 4096);
}

static void assert_poison(World *w)
{
    uint8_t data[COMMANDS * 4096];

    qtest_memread(w->m.qts, w->n.buffer, data, sizeof(data));
    g_assert_cmphex(data[0], ==, POISON);
    g_assert_cmpmem(data, sizeof(data) - 1, data + 1, sizeof(data) - 1);
}

static void submit_all(World *w)
{
    poison(w);
    for (unsigned i = 0; i < COMMANDS; i++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&w->n, opcodes[i], 1, 8 * i, 8);

        cmd.prp1 = w->n.buffer + 4096 * i;
        if (opcodes[i] == OP_FLUSH) {
            cmd = (SnNvmeSqe) { .opcode = OP_FLUSH, .nsid = 1 };
        }
        w->cids[i] = nvme_put(&w->n, 1, cmd);
    }
    nvme_ring(&w->n, 1);
}

/*
 * The target stops, and commands are on their way to it. A flush of a volume
 * without a write cache asks nobody: it is over.
 */
static void let_wait(World *w)
{
    nvme_disable(&w->n);
    nvme_enable(&w->n);
    nvme_create_queues(&w->n, 1, 2 * COMMANDS);
    target_pause(&w->target);
    submit_all(w);
    for (unsigned i = 0; i < 8; i++) {
        machine_assert_alive(&w->m);
    }
    assert_poison(w);
}

/* The target answers what nobody wants to know, and life goes on. */
static void go_on(World *w)
{
    target_continue(&w->target);
    poison(w);
    nvme_enable(&w->n);
    nvme_create_queues(&w->n, 1, 8);
    for (unsigned i = 0; i < 4; i++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&w->n, OP_READ, 1, 0, 1);

        cmd.prp1 = w->n.buffer + NVME_MDTS;
        nvme_assert_status(nvme_command(&w->n, 1, cmd), ST_OK);
    }
    assert_poison(w);
    nvme_assert_works(&w->n);
}

static void end(World *w)
{
    nvme_stop(&w->n);
    target_stop(&w->target);
}

/* They wait, and are done when the target is back. */
static void test_wait(void)
{
    unsigned seen = 0;
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 3; round++) {
        let_wait(&w);
        target_continue(&w.target);
        for (seen = 0; seen < COMMANDS; seen++) {
            SnNvmeCqe cqe = nvme_wait_any(&w.n, 1);
            unsigned status = sn_nvme_status(&cqe);

            g_assert_true(status == ST_OK || status == ST_COMPARE);
        }
    }
    end(&w);
}

static void test_abort(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 2; round++) {
        unsigned aborted = 0, over = 0;

        let_wait(&w);
        for (unsigned i = 0; i < COMMANDS; i++) {
            nvme_admin_ok(&w.n, (SnNvmeSqe) {
                .opcode = OP_ABORT, .cdw10 = (uint32_t)w.cids[i] << 16 | 1,
            });
            aborted += !(w.n.result & 1);
        }
        g_assert_cmpuint(aborted, >=, COMMANDS - 1);
        for (unsigned i = 0; i < COMMANDS; i++) {
            SnNvmeCqe cqe = nvme_wait_any(&w.n, 1);

            over += sn_nvme_status(&cqe) == ST_ABORTED;
        }
        g_assert_cmpuint(over, ==, aborted);
        assert_poison(&w);
        go_on(&w);
    }
    end(&w);
}

/* Section 5.6: they are completed, too, or their queue is simply gone. */
static void test_delete_queues(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 2; round++) {
        SnNvmeCqe cqe;

        let_wait(&w);
        nvme_admin_ok(&w.n, (SnNvmeSqe) { .opcode = OP_DELETE_SQ,
                                          .cdw10 = 1 });
        while (nvme_poll(&w.n, 1, &cqe)) {
            g_assert_true(sn_nvme_status(&cqe) == ST_SQ_DELETED ||
                          cqe.cid == w.cids[5]);
        }
        nvme_admin_ok(&w.n, (SnNvmeSqe) { .opcode = OP_DELETE_CQ,
                                          .cdw10 = 1 });
        assert_poison(&w);
        go_on(&w);
    }
    end(&w);
}

static void test_controller_reset(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 4; round++) {
        let_wait(&w);
        nvme_enable(&w.n);
        nvme_create_queues(&w.n, 1, 2 * COMMANDS);
        if (round % 2) {
            submit_all(&w);
            nvme_disable(&w.n);
        }
        assert_poison(&w);
        go_on(&w);
    }
    end(&w);
}

static void test_flr(void)
{
    World w;

    start(&w, "-machine q35 ");
    for (unsigned round = 0; round < 2; round++) {
        let_wait(&w);
        g_assert_true(nvme_flr(&w.n));
        nvme_assert_quiet(&w.n);
        assert_poison(&w);
        nvme_forget(&w.n);
        nvme_open(&w.n, &w.m, STORAGE_DEVFN);
        go_on(&w);
    }
    end(&w);
}

/* Nobody knows whether their data is safe, but the guest wants to go. */
static void test_shutdown(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 2; round++) {
        let_wait(&w);
        nvme_set(&w.n, REG_CC, CC_SIZES | CC_EN | CC_SHN(1 + round));
        nvme_wait_csts(&w.n, CSTS_SHST, CSTS_SHUT);
        assert_poison(&w);
        /* Nor does what is answered now find its way to the guest. */
        target_continue(&w.target);
        for (unsigned i = 0; i < 200; i++) {
            machine_assert_alive(&w.m);
        }
        assert_poison(&w);
        nvme_assert_quiet(&w.n);
        nvme_disable(&w.n);
        go_on(&w);
    }
    end(&w);
}

/* Without bus mastering nothing is written, however long it takes. */
static void test_bus_master(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 2; round++) {
        SnNvmeSqe cmd;
        SnNvmeCqe cqe;

        let_wait(&w);
        while (nvme_peek(&w.n, 1, &cqe)) {
            g_assert_cmphex(cqe.cid, ==, w.cids[5]);
        }
        nvme_bus_master(&w.n, false);
        target_continue(&w.target);
        for (unsigned i = 0; i < 200; i++) {
            machine_assert_alive(&w.m);
        }
        assert_poison(&w);
        nvme_assert_quiet(&w.n);
        nvme_bus_master(&w.n, true);
        /* They begin again. */
        nvme_ring_head(&w.n, 1);
        cmd = nvme_rw_cmd(&w.n, OP_READ, 1, 0, 1);
        nvme_submit(&w.n, 1, cmd);
        for (unsigned i = 0; i < COMMANDS; i++) {
            nvme_wait_any(&w.n, 1);
        }
        nvme_assert_works(&w.n);
    }
    end(&w);
}

static void test_stop_cont(void)
{
    World w;

    start(&w, "");
    let_wait(&w);
    for (unsigned i = 0; i < 5; i++) {
        qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'cont' }");
    }
    assert_poison(&w);
    qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'stop' }");
    qtest_system_reset(w.m.qts);
    qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'cont' }");
    assert_poison(&w);
    nvme_forget(&w.n);
    nvme_open(&w.n, &w.m, STORAGE_DEVFN);
    go_on(&w);
    end(&w);
}

/* A namespace that goes takes its commands with it; the others stay. */
static void test_remove_namespace(void)
{
    World w;

    start(&w, "");
    for (unsigned round = 0; round < 2; round++) {
        g_autofree char *url = g_strdup_printf("nvme+tcp://%s/" TARGET_NQN,
                                               w.target.address);
        SnNvmeSqe cmd = nvme_rw_cmd(&w.n, OP_READ, 2, 0, 8);
        struct nvme_id_ns id;
        uint16_t cid;

        qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'device_add',"
            "'arguments': { 'driver': 'smartnic-volume', 'id': 'ns2',"
            "'bus': 'nic0.0', 'nsid': 2, 'url': %s } }", url);
        for (gint64 end_at = machine_deadline();; ) {
            nvme_assert_status(nvme_identify(&w.n, 0, 2, &id), ST_OK);
            if (id.nsze) {
                break;
            }
            g_assert_true(machine_before(end_at));
        }
        target_pause(&w.target);
        poison(&w);
        cid = nvme_submit(&w.n, 1, cmd);
        qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'device_del',"
                                 "'arguments': { 'id': 'ns2' } }");
        nvme_assert_status(nvme_wait(&w.n, 1, cid), ST_INVALID_NS);
        machine_wait_deleted(&w.m, "ns2");
        assert_poison(&w);
        go_on(&w);
    }
    end(&w);
}

static void test_unplug(void)
{
    World w;

    start(&w, "");
    let_wait(&w);
    machine_unplug(&w.m, "nic0", CARD_SLOT);
    assert_poison(&w);
    g_assert_null(qpci_device_find(w.m.bus, STORAGE_DEVFN));
    target_continue(&w.target);
    for (unsigned i = 0; i < 50; i++) {
        machine_assert_alive(&w.m);
    }
    assert_poison(&w);
    nvme_forget(&w.n);
    machine_stop(&w.m);
    target_stop(&w.target);
}

static void test_quit(void)
{
    World w;

    start(&w, "");
    let_wait(&w);
    qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'quit' }");
    qtest_wait_qemu(w.m.qts);
    nvme_forget(&w.n);
    machine_stop(&w.m);
    target_stop(&w.target);
}

/* The same CID once more while the first is waiting */
static void test_duplicate_cid(void)
{
    SnNvmeSqe cmd;
    SnNvmeCqe cqe;
    World w;

    start(&w, "");
    target_pause(&w.target);
    poison(&w);
    cmd = nvme_rw_cmd(&w.n, OP_READ, 1, 0, 1);
    cmd.cid = 0x1234;
    for (unsigned i = 0; i < 3; i++) {
        nvme_put_as_is(&w.n, 1, &cmd);
        nvme_ring(&w.n, 1);
        if (i) {
            cqe = nvme_wait_any(&w.n, 1);
            nvme_assert_status(sn_nvme_status(&cqe), ST_CID_CONFLICT);
        }
    }
    target_continue(&w.target);
    cqe = nvme_wait_any(&w.n, 1);
    nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
    nvme_assert_quiet(&w.n);
    end(&w);
}

/* ---- everything at any time ---- */

static void submit_any(World *w, GRand *rand)
{
    NvmeQueue *q = &w->n.queues[1];
    SnNvmeSqe cmd = nvme_rw_cmd(&w->n,
                                opcodes[g_rand_int_range(rand, 0, COMMANDS)],
                                g_rand_int_range(rand, 1, 3), 0, 8);

    if (q->sq_entries) {
        /* Completions are not looked at. */
        nvme_submit(&w->n, 1, cmd);
        nvme_set(&w->n, nvme_cq_doorbell(1), g_rand_int_range(rand, 0, 64));
    }
}

static void abort_any(World *w, GRand *rand)
{
    unsigned back = g_rand_int_range(rand, 0, 8);

    nvme_submit(&w->n, 0, (SnNvmeSqe) {
        .opcode = OP_ABORT, .cdw10 = (uint32_t)(w->n.cid - back) << 16 | 1,
    });
}

static void toggle_volume(World *w, bool *there)
{
    g_autofree char *url = g_strdup_printf("nvme+tcp://%s/" TARGET_NQN,
                                           w->target.address);

    if (*there) {
        qtest_qmp_assert_success(w->m.qts, "{ 'execute': 'device_del',"
                                 "'arguments': { 'id': 'ns2' } }");
        machine_wait_deleted(&w->m, "ns2");
    } else {
        qtest_qmp_assert_success(w->m.qts, "{ 'execute': 'device_add',"
            "'arguments': { 'driver': 'smartnic-volume', 'id': 'ns2',"
            "'bus': 'nic0.0', 'nsid': 2, 'url': %s } }", url);
    }
    *there = !*there;
}

static void restart(World *w)
{
    nvme_bus_master(&w->n, true);
    nvme_enable(&w->n);
    nvme_create_queues(&w->n, 1, 64);
    poison(w);
}

/* NVME_SEED in the environment is another order of things. */
static void test_anything(void)
{
    const char *seed = g_getenv("NVME_SEED");
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed ? atoi(seed) : 4);
    bool volume = false;
    World w;

    start(&w, "-machine q35 -global smartnic-nvme.ready-timeout=100 ");
    restart(&w);
    for (unsigned i = 0; i < 600; i++) {
        switch (g_rand_int_range(rand, 0, 24)) {
        case 0:
            target_pause(&w.target);
            break;
        case 1:
        case 2:
            target_continue(&w.target);
            break;
        case 3:
            nvme_bus_master(&w.n, g_rand_int_range(rand, 0, 2));
            break;
        case 4:
            restart(&w);
            break;
        case 5:
            g_assert_true(nvme_flr(&w.n));
            nvme_forget(&w.n);
            nvme_open(&w.n, &w.m, STORAGE_DEVFN);
            restart(&w);
            break;
        case 6:
            nvme_submit(&w.n, 0, (SnNvmeSqe) {
                .opcode = i % 2 ? OP_DELETE_SQ : OP_ASYNC_EVENT,
                .cdw10 = 1 });
            break;
        case 7:
            toggle_volume(&w, &volume);
            break;
        case 8:
            qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'stop' }");
            qtest_qmp_assert_success(w.m.qts, "{ 'execute': 'cont' }");
            break;
        case 9:
            abort_any(&w, rand);
            break;
        case 10:
            nvme_set(&w.n, REG_CC, CC_SIZES | CC_EN | CC_SHN(2));
            restart(&w);
            break;
        default:
            submit_any(&w, rand);
        }
    }
    target_continue(&w.target);
    restart(&w);
    go_on(&w);
    end(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/waiting/wait", test_wait);
    g_test_add_func("/waiting/abort", test_abort);
    g_test_add_func("/waiting/delete-queues", test_delete_queues);
    g_test_add_func("/waiting/controller-reset", test_controller_reset);
    g_test_add_func("/waiting/flr", test_flr);
    g_test_add_func("/waiting/shutdown", test_shutdown);
    g_test_add_func("/waiting/bus-master", test_bus_master);
    g_test_add_func("/waiting/stop-cont", test_stop_cont);
    g_test_add_func("/waiting/remove-namespace", test_remove_namespace);
    g_test_add_func("/waiting/unplug", test_unplug);
    g_test_add_func("/waiting/quit", test_quit);
    g_test_add_func("/waiting/duplicate-cid", test_duplicate_cid);
    g_test_add_func("/waiting/anything", test_anything);
    return g_test_run();
}
