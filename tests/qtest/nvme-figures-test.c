/*
 * What the monitor tells of NVMe functions and their namespaces: the state of
 * the controller, of volumes, and how long commands took.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"

#include "nvme.h"

#define NS2_PATH "/machine/peripheral/ns2"

static void assert_state(Machine *m, const char *state)
{
    g_autofree char *now = machine_get_string(m, NVME_PATH,
                                              "controller-state");

    g_assert_cmpstr(now, ==, state);
}

static void test_state(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    assert_state(&m, "not ready");
    nvme_enable(&n);
    assert_state(&m, "ready");
    g_assert_cmphex(machine_get_uint(&m, NVME_PATH, "csts"), ==, CSTS_RDY);
    nvme_set(&n, REG_CC, CC_SIZES | CC_EN | CC_SHN(1));
    nvme_wait_csts(&n, CSTS_SHST, CSTS_SHUT);
    assert_state(&m, "shut down");
    nvme_disable(&n);
    assert_state(&m, "not ready");
    nvme_set64(&n, REG_ASQ, 0);
    nvme_set(&n, REG_AQA, 0);
    nvme_set(&n, REG_CC, CC_SIZES | CC_EN);
    assert_state(&m, "fatal");
    nvme_stop(&n);
}

/* The commands that queue @qid has completed, which are all in a bin. */
static uint64_t queue_count(Machine *m, uint64_t qid)
{
    QDict *rsp = qtest_qmp(m->qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': 'queue-latency' } }",
                           NVME_PATH);
    uint64_t count = UINT64_MAX;
    QListEntry *q;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), q) {
        QDict *lat = qobject_to(QDict, qlist_entry_obj(q));
        uint64_t sum = 0;
        QListEntry *bin;

        if (qdict_get_int(lat, "qid") != qid) {
            continue;
        }
        QLIST_FOREACH_ENTRY(qdict_get_qlist(lat, "bins"), bin) {
            sum += qnum_get_uint(qobject_to(QNum, qlist_entry_obj(bin)));
        }
        count = qdict_get_int(lat, "count");
        g_assert_cmpuint(sum, ==, count);
    }
    qobject_unref(rsp);
    return count;
}

static void test_queue_latency(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME(""));
    g_assert_cmpuint(queue_count(&m, 1), ==, UINT64_MAX);
    nvme_enable(&n);
    nvme_create_queues(&n, 1, 8);
    nvme_create_queues(&n, 64, 8);
    for (unsigned i = 0; i < 30; i++) {
        unsigned q = i % 3 ? 1 : 64;

        nvme_assert_status(nvme_command(&n, q, nvme_rw_cmd(&n, OP_READ, 1, i,
                                                           1)), ST_OK);
    }
    g_assert_cmpuint(queue_count(&m, 1), ==, 20);
    g_assert_cmpuint(queue_count(&m, 64), ==, 10);
    g_assert_cmpuint(queue_count(&m, 2), ==, UINT64_MAX);
    nvme_delete_queues(&n, 64);
    g_assert_cmpuint(queue_count(&m, 64), ==, UINT64_MAX);
    nvme_stop(&n);
}

/* Each namespace has figures of its own. */
static void test_volumes(void)
{
    g_autofree char *state = NULL;
    g_autofree char *error = NULL;
    Machine m;
    Nvme n;

    nvme_start(&n, &m, CARD_NVME("")
               "-device 'smartnic-volume,id=ns2,bus=nic0.0,nsid=2,"
               "url=nvme+tcp://192.0.2.1/nqn.2026-11.test:none' "
               "-global smartnic-nvme.ready-timeout=0");
    machine_wait_string(&m, NVME_PATH, "volume-state", "ready");
    state = machine_get_string(&m, NS2_PATH, "volume-state");
    g_assert_cmpstr(state, ==, "connecting");
    error = machine_get_string(&m, NVME_PATH, "volume-error");
    g_assert_cmpstr(error, ==, "");
    g_assert_cmpuint(machine_get_uint(&m, NVME_PATH, "volume-reconnects"), ==,
                     0);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/figures/state", test_state);
    g_test_add_func("/figures/queue-latency", test_queue_latency);
    g_test_add_func("/figures/volumes", test_volumes);
    return g_test_run();
}
