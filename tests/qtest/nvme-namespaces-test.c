/*
 * The NVMe function's namespaces: there from the beginning, added and taken
 * away while the guest runs, and how it learns of that (NVMe Base 1.4 sections
 * 5.2, 5.14.1.4 and 6.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"

#include "nvme.h"

#define MiB (1024 * 1024ULL)

/* Notice, namespace attribute changed, log page 04h */
#define EVENT_CHANGED 0x040002
#define EVENTS_NAMESPACE (1 << 8)       /* feature 0bh */
#define LOG_CHANGED 4

#define VOLUME(props) "-device 'smartnic-volume,bus=nic0.0," props "' "
#define UNREACHABLE "nvme+tcp://192.0.2.1/nqn.2026-11.test:none"

static void add_volume(Machine *m, unsigned nsid, const char *url)
{
    g_autofree char *id = g_strdup_printf("ns%u", nsid);

    qtest_qmp_assert_success(m->qts, "{ 'execute': 'device_add', 'arguments':"
        "{ 'driver': 'smartnic-volume', 'id': %s, 'bus': 'nic0.0',"
        "'nsid': %u, 'url': %s } }", id, nsid, url);
}

static void remove_volume(Machine *m, unsigned nsid)
{
    g_autofree char *id = g_strdup_printf("ns%u", nsid);

    qtest_qmp_assert_success(m->qts, "{ 'execute': 'device_del',"
                             "'arguments': { 'id': %s } }", id);
    machine_wait_deleted(m, id);
}

static uint64_t blocks_of(Nvme *n, uint32_t nsid)
{
    struct nvme_id_ns id;

    nvme_assert_status(nvme_identify(n, 0, nsid, &id), ST_OK);
    return GUINT64_FROM_LE(id.nsze);
}

static void wait_blocks(Nvme *n, uint32_t nsid, uint64_t blocks)
{
    gint64 deadline = machine_deadline();

    while (blocks_of(n, nsid) != blocks) {
        g_assert_true(machine_before(deadline));
    }
}

static unsigned read_block(Nvme *n, uint32_t nsid)
{
    return nvme_command(n, 1, nvme_rw_cmd(n, OP_READ, nsid, 0, 1));
}

static uint16_t ask_event(Nvme *n)
{
    return nvme_submit(n, 0, (SnNvmeSqe) { .opcode = OP_ASYNC_EVENT });
}

static void wait_changed(Nvme *n, uint16_t aer)
{
    nvme_assert_status(nvme_wait(n, 0, aer), ST_OK);
    g_assert_cmphex(n->result, ==, EVENT_CHANGED);
}

/* The list of changed namespaces, which reading makes empty */
static void check_changed(Nvme *n, const uint32_t *expected, unsigned count)
{
    uint32_t list[1024];

    nvme_assert_status(nvme_get_log(n, LOG_CHANGED, 0, list, sizeof(list)),
                       ST_OK);
    g_assert_cmpmem(list, count * 4, expected, count * 4);
    g_assert_cmpuint(list[count], ==, 0);
}

static void start(Nvme *n, Machine *m, const char *args)
{
    nvme_start(n, m, args);
    nvme_enable(n);
    nvme_create_queues(n, 1, 16);
    nvme_assert_status(nvme_set_feature(n, 0xb, EVENTS_NAMESPACE), ST_OK);
}

/* ---- from the beginning ---- */

static void test_cold(void)
{
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME("") VOLUME("nsid=256,url=mem://?size=3M")
          VOLUME("nsid=2,url=mem://?size=5M") VOLUME("url=mem://?size=4M")
          VOLUME("id=six,url=null://?size=6M"));
    g_assert_cmpuint(blocks_of(&n, 1), ==, 64 * MiB / 512);
    g_assert_cmpuint(blocks_of(&n, 256), ==, 3 * MiB / 512);
    /* Those without a number get the next one that is free. */
    g_assert_cmpuint(blocks_of(&n, 2), ==, 5 * MiB / 512);
    g_assert_cmpuint(blocks_of(&n, 3), ==, 4 * MiB / 512);
    g_assert_cmpuint(blocks_of(&n, 4), ==, 6 * MiB / 512);
    for (unsigned nsid = 1; nsid <= 4; nsid++) {
        nvme_assert_status(read_block(&n, nsid), ST_OK);
    }
    nvme_assert_status(read_block(&n, 256), ST_OK);
    nvme_assert_status(read_block(&n, 5), ST_INVALID_NS);
    nvme_stop(&n);
}

/* A controller without namespaces works, as far as it goes. */
static void test_none(void)
{
    uint32_t list[1024];
    Machine m;
    Nvme n;

    start(&n, &m, CARD(""));
    nvme_assert_status(nvme_identify(&n, 2, 0, list), ST_OK);
    g_assert_cmpuint(list[0], ==, 0);
    nvme_assert_status(read_block(&n, 1), ST_INVALID_NS);
    add_volume(&m, 1, "mem://?size=1M");
    wait_blocks(&n, 1, MiB / 512);
    nvme_stop(&n);
}

static void test_refusals(void)
{
    static const struct {
        const char *props, *says;
    } cases[] = {
        { "nsid=1,url=mem://?size=1M", "1" },           /* the card's own */
        { "nsid=257,url=mem://?size=1M", "257" },
        { "nsid=4294967295,url=mem://?size=1M", "4294967295" },
        { "nsid=2", "url" },
        { "nsid=2,url=", "URL" },
        { "nsid=2,url=ftp://host/file", "ftp" },
        { "nsid=2,url=mem://?size=much", "much" },
        { "nsid=2,color=red,url=mem://?size=1M", "color" },
    };
    g_autofree char *no_bus = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *line = machine_refusal(
            CARD_NVME("") "-device 'smartnic-volume,bus=nic0.0,%s'",
            cases[i].props);
        const char *says = strstr(line, cases[i].props);

        /* Past QEMU's own quotation of the arguments */
        says = says ? says + strlen(cases[i].props) : line;
        if (!strstr(says, cases[i].says)) {
            g_error("\"%s\" does not name %s", line, cases[i].says);
        }
    }
    no_bus = machine_refusal("-device 'smartnic-volume,url=mem://?size=1M'");
    g_assert_nonnull(strstr(no_bus, "bus"));
}

/* Refused at run time, it leaves nothing behind. */
static void test_refused_at_run_time(void)
{
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 6; i++) {
        QDict *rsp = qtest_qmp(m.qts, "{ 'execute': 'device_add',"
            "'arguments': { 'driver': 'smartnic-volume', 'id': 'ns2',"
            "'bus': 'nic0.0', 'nsid': %i, 'url': %s } }",
            i % 2 ? 1 : 2, i % 3 ? "ftp://x/y" : "mem://?size=much");

        g_assert_true(qdict_haskey(rsp, "error"));
        qobject_unref(rsp);
        g_assert_cmpuint(blocks_of(&n, 2), ==, 0);
    }
    ask_event(&n);
    nvme_assert_quiet(&n);
    nvme_stop(&n);
}

/* ---- while the guest runs ---- */

static void test_hot(void)
{
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 4; i++) {
        const uint32_t nsid = 2 + i % 2;
        uint16_t aer = ask_event(&n);

        g_assert_cmpuint(blocks_of(&n, nsid), ==, 0);
        add_volume(&m, nsid, "mem://?size=1M");
        wait_changed(&n, aer);
        check_changed(&n, &nsid, 1);
        check_changed(&n, NULL, 0);
        g_assert_cmpuint(blocks_of(&n, nsid), ==, MiB / 512);
        nvme_assert_status(read_block(&n, nsid), ST_OK);

        aer = ask_event(&n);
        remove_volume(&m, nsid);
        wait_changed(&n, aer);
        check_changed(&n, &nsid, 1);
        g_assert_cmpuint(blocks_of(&n, nsid), ==, 0);
        nvme_assert_status(read_block(&n, nsid), ST_INVALID_NS);
        g_assert_true(n.dnr);
    }
    nvme_stop(&n);
}

static void add_anywhere(Machine *m)
{
    qtest_qmp_assert_success(m->qts, "{ 'execute': 'device_add', 'arguments':"
        "{ 'driver': 'smartnic-volume', 'id': 'ns0', 'bus': 'nic0.0',"
        "'url': 'mem://?size=1M' } }");
}

/* A number that was just given back is the last to be given again. */
static void test_rotation(void)
{
    uint32_t list[1024];
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    for (unsigned nsid = 2; nsid <= 4; nsid++) {
        add_anywhere(&m);
        wait_blocks(&n, nsid, MiB / 512);
        remove_volume(&m, 0);
        g_assert_cmpuint(blocks_of(&n, nsid), ==, 0);
    }
    add_volume(&m, 256, "mem://?size=1M");
    for (unsigned nsid = 5; nsid <= 255; nsid++) {
        add_anywhere(&m);
        remove_volume(&m, 0);
    }
    nvme_assert_status(nvme_get_log(&n, LOG_CHANGED, 0, list, sizeof(list)),
                       ST_OK);
    add_anywhere(&m);                           /* 256 is in use: 2 again */
    wait_blocks(&n, 2, MiB / 512);
    nvme_stop(&n);
}

/* More than one change until the log is read are one event. */
static void test_changes_together(void)
{
    static const uint32_t all[] = { 2, 3, 4, 5 };
    uint16_t aer;
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    aer = ask_event(&n);
    ask_event(&n);
    add_volume(&m, 5, "mem://?size=1M");
    wait_changed(&n, aer);
    for (unsigned nsid = 4; nsid >= 2; nsid--) {
        add_volume(&m, nsid, "mem://?size=1M");
        wait_blocks(&n, nsid, MiB / 512);
    }
    nvme_assert_quiet(&n);
    check_changed(&n, all, 4);
    add_volume(&m, 6, "mem://?size=1M");
    nvme_wait_any(&n, 0);
    g_assert_cmphex(n.result, ==, EVENT_CHANGED);
    nvme_stop(&n);
}

/* A guest that does not want the event finds the change in the log. */
static void test_event_masked(void)
{
    const uint32_t nsid = 7;
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    nvme_assert_status(nvme_set_feature(&n, 0xb, 0), ST_OK);
    ask_event(&n);
    add_volume(&m, nsid, "mem://?size=1M");
    wait_blocks(&n, nsid, MiB / 512);
    nvme_assert_quiet(&n);
    check_changed(&n, &nsid, 1);
    nvme_stop(&n);
}

/* What changes while the controller is disabled is not news afterwards. */
static void test_while_disabled(void)
{
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    nvme_disable(&n);
    add_volume(&m, 2, "mem://?size=1M");
    add_volume(&m, 3, "mem://?size=1M");
    remove_volume(&m, 3);
    nvme_enable(&n);
    nvme_assert_status(nvme_set_feature(&n, 0xb, EVENTS_NAMESPACE), ST_OK);
    ask_event(&n);
    nvme_assert_quiet(&n);
    check_changed(&n, NULL, 0);
    g_assert_cmpuint(blocks_of(&n, 2), ==, MiB / 512);
    g_assert_cmpuint(blocks_of(&n, 3), ==, 0);
    nvme_stop(&n);
}

/* As many as there may be, one of which goes and comes */
static void test_all(void)
{
    uint32_t list[1024];
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    for (unsigned nsid = 2; nsid <= 256; nsid++) {
        add_volume(&m, nsid, "null://?size=1M");
    }
    wait_blocks(&n, 256, MiB / 512);
    remove_volume(&m, 100);
    nvme_assert_status(nvme_identify(&n, 2, 0, list), ST_OK);
    for (unsigned i = 0; i < 255; i++) {
        g_assert_cmpuint(list[i], ==, i + 1 + (i >= 99));
    }
    g_assert_cmpuint(list[255], ==, 0);
    for (unsigned nsid = 1; nsid <= 256; nsid++) {
        nvme_assert_status(read_block(&n, nsid),
                           nsid == 100 ? ST_INVALID_NS : ST_OK);
    }
    nvme_stop(&n);
}

/* Commands of a namespace that goes end, those of others go on. */
static void test_busy_removal(void)
{
    Machine m;
    Nvme n;

    start(&n, &m, CARD_NVME(""));
    for (unsigned i = 0; i < 10; i++) {
        unsigned ended = 0;

        add_volume(&m, 2, "mem://?size=16M");
        wait_blocks(&n, 2, 16 * MiB / 512);
        for (unsigned c = 0; c < 15; c++) {
            nvme_put(&n, 1, nvme_rw_cmd(&n, OP_READ, 1 + c % 2, 0, 1));
        }
        nvme_ring(&n, 1);
        remove_volume(&m, 2);
        for (; ended < 15; ended++) {
            SnNvmeCqe cqe = nvme_wait_any(&n, 1);
            unsigned status = sn_nvme_status(&cqe);

            g_assert_true(status == ST_OK || status == ST_INVALID_NS);
        }
        check_changed(&n, (uint32_t[]) { 2 }, 1);
    }
    nvme_stop(&n);
}

/* ---- volumes that are not there ---- */

/* It is waited for, but not for ever; then the guest goes on without. */
static void test_unreachable(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-global smartnic-nvme.ready-timeout=200 "
               CARD_NVME("") VOLUME("nsid=2,url=" UNREACHABLE));
    nvme_begin_enable(&n, 0);
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, 0);
    nvme_wait_csts(&n, CSTS_RDY | CSTS_CFS, CSTS_RDY);
    nvme_create_queues(&n, 1, 16);
    g_assert_cmpuint(blocks_of(&n, 2), ==, 0);
    nvme_assert_status(read_block(&n, 1), ST_OK);
    nvme_assert_status(read_block(&n, 2), ST_NS_NOT_READY);
    g_assert_false(n.dnr);
    nvme_stop(&n);
}

/* While it is waited for, the controller can be disabled and reset. */
static void test_unreachable_reset(void)
{
    Machine m;
    Nvme n;

    nvme_start(&n, &m, "-machine q35 "
               "-global smartnic-nvme.ready-timeout=100000 "
               CARD_NVME("") VOLUME("id=ns2,nsid=2,url=" UNREACHABLE));
    for (unsigned i = 0; i < 4; i++) {
        nvme_begin_enable(&n, 0);
        g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, 0);
        nvme_set(&n, nvme_sq_doorbell(0), 1);
        g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, 0);
        if (i == 0) {
            nvme_set(&n, REG_CC, CC_SIZES | CC_EN | CC_SHN(1));
            nvme_wait_csts(&n, CSTS_SHST, CSTS_SHUT);
        } else if (i == 1) {
            g_assert_true(nvme_flr(&n));
            nvme_forget(&n);
            nvme_open(&n, &m, STORAGE_DEVFN);
        } else if (i == 2) {
            nvme_bus_master(&n, false);
            nvme_bus_master(&n, true);
        }
        nvme_disable(&n);
    }
    /* Nothing is left to wait for. */
    nvme_begin_enable(&n, 0);
    g_assert_cmphex(nvme_get(&n, REG_CSTS), ==, 0);
    remove_volume(&m, 2);
    nvme_wait_csts(&n, CSTS_RDY | CSTS_CFS, CSTS_RDY);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/namespaces/cold", test_cold);
    g_test_add_func("/namespaces/none", test_none);
    g_test_add_func("/namespaces/refusals", test_refusals);
    g_test_add_func("/namespaces/refused-at-run-time",
                    test_refused_at_run_time);
    g_test_add_func("/namespaces/hot", test_hot);
    g_test_add_func("/namespaces/rotation", test_rotation);
    g_test_add_func("/namespaces/changes-together", test_changes_together);
    g_test_add_func("/namespaces/event-masked", test_event_masked);
    g_test_add_func("/namespaces/while-disabled", test_while_disabled);
    g_test_add_func("/namespaces/all", test_all);
    g_test_add_func("/namespaces/busy-removal", test_busy_removal);
    g_test_add_func("/namespaces/unreachable", test_unreachable);
    g_test_add_func("/namespaces/unreachable-reset", test_unreachable_reset);
    return g_test_run();
}
