/*
 * Asynchronous events of the NVMe controller (NVMe Base 1.4 section 5.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define LIMIT 8                 /* AERL + 1 */
#define RETAIN (1u << 15)       /* Get Log Page */

#define NS_ATTRIBUTES (1 << 8)  /* feature 0bh */
#define TEMPERATURE   (1 << 1)

/* Dword 0 of the completion: type, information, log page */
enum {
    BAD_REGISTER = 0x010000,
    BAD_VALUE = 0x010100,
    TOO_WARM = 0x020101,
    NS_CHANGED = 0x040002,
};

static World *new_world(uint32_t config)
{
    World *w = world_new();
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features,
                      .cdw10 = NVME_FEAT_FID_ASYNC_EVENT, .cdw11 = config };

    world_enable(w);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    return w;
}

static void set_threshold(World *w, uint32_t value)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features,
                      .cdw10 = NVME_FEAT_FID_TEMP_THRESH, .cdw11 = value };

    world_submit(w, 0, &sqe);
}

static void read_log(World *w, uint8_t lid, uint32_t flags, void *data)
{
    uint64_t page = world_page(w);
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_log_page, .prp1 = page,
                      .cdw10 = 127 << 16 | flags | lid };

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    if (data) {
        memcpy(data, world_at(w, page), 512);
    }
    w->next_free = page;
}

/* Doorbells of a queue that does not exist */
static void ring_unknown(World *w)
{
    world_write32(w, world_sq_doorbell(3), 1);
}

static void test_limit(void)
{
    World *w = new_world(0);
    uint16_t first = world_ask_event(w);
    SnNvmeCqe cqe;

    for (unsigned i = 1; i < LIMIT; i++) {
        world_ask_event(w);
    }
    world_expect_no_cqe(w, 0);
    world_ask_event(w);
    cqe = world_wait_cqe(w, 0);
    g_assert_cmphex(sn_nvme_status(&cqe), ==,
                    SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC,
                                   NVME_SC_ASYNC_LIMIT));
    /* The oldest is used first. */
    ring_unknown(w);
    world_expect_event(w, first, BAD_REGISTER);
    world_ask_event(w);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

static void test_doorbells(void)
{
    World *w = new_world(0);
    uint16_t cid = world_ask_event(w);

    world_write32(w, world_sq_doorbell(0), 1000);
    world_expect_event(w, cid, BAD_VALUE);
    world_free(w);
}

/* What happens while nobody asks is told when somebody does, and once. */
static void test_queued(void)
{
    World *w = new_world(0);

    ring_unknown(w);
    ring_unknown(w);
    world_expect_no_cqe(w, 0);
    world_expect_event(w, world_ask_event(w), BAD_REGISTER);
    world_ask_event(w);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* A type that was told does not come again before its log was read. */
static void test_masking(void)
{
    World *w = new_world(0);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);
    uint16_t third = world_ask_event(w);

    ring_unknown(w);
    world_expect_event(w, first, BAD_REGISTER);
    read_log(w, NVME_LOG_LID_SMART, 0, NULL);           /* another's */
    ring_unknown(w);
    world_write32(w, world_sq_doorbell(0), 1000);
    world_expect_no_cqe(w, 0);
    read_log(w, NVME_LOG_LID_ERROR, RETAIN, NULL);
    ring_unknown(w);
    world_expect_no_cqe(w, 0);
    /* The log has no entry for a doorbell: each is told by its event. */
    read_log(w, NVME_LOG_LID_ERROR, 0, NULL);
    world_expect_event(w, second, BAD_REGISTER);
    world_expect_no_cqe(w, 0);
    read_log(w, NVME_LOG_LID_ERROR, 0, NULL);
    world_expect_event(w, third, BAD_VALUE);
    read_log(w, NVME_LOG_LID_ERROR, 0, NULL);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* A log that could not be read leaves all as it was. */
static void test_failed_read(void)
{
    World *w = new_world(0);
    uint16_t first = world_ask_event(w);
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_log_page, .prp1 = WORLD_HOLE,
                      .cdw10 = 15 << 16 | NVME_LOG_LID_ERROR };

    world_ask_event(w);
    ring_unknown(w);
    world_expect_event(w, first, BAD_REGISTER);
    g_assert_cmphex(world_admin_status(w, &sqe), !=, 0);
    ring_unknown(w);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* Types do not mask each other. */
static void test_types(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);

    ring_unknown(w);
    world_expect_event(w, first, BAD_REGISTER);
    world_add_mem(w, 1);
    world_expect_event(w, second, NS_CHANGED);
    world_free(w);
}

/* ---- namespaces ---- */

static void expect_changed(World *w, const uint32_t *nsids, unsigned n)
{
    uint32_t list[128] = { 0 };

    read_log(w, NVME_LOG_LID_CHANGED_NS, 0, list);
    g_assert_cmpmem(list, n * 4, nsids, n * 4);
    g_assert_cmphex(list[n], ==, 0);
}

static void test_namespaces(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);
    SnCtrlNs *ns = world_add_mem(w, 200);
    WorldBackend *wb;

    world_expect_event(w, first, NS_CHANGED);
    /* One event, until the list is read. */
    wb = world_add_scripted_ready(w, 3);
    world_expect_no_cqe(w, 0);
    expect_changed(w, (const uint32_t[]){ 3, 200 }, 2);
    expect_changed(w, NULL, 0);
    world_expect_no_cqe(w, 0);

    wb->info.size *= 2;
    wb_info_changed(wb);
    world_expect_event(w, second, NS_CHANGED);
    expect_changed(w, (const uint32_t[]){ 3 }, 1);

    first = world_ask_event(w);
    sn_ctrl_remove_namespace(w->ctrl, ns);
    world_expect_event(w, first, NS_CHANGED);
    expect_changed(w, (const uint32_t[]){ 200 }, 1);
    world_free(w);
}

/* A list that is retained is there again. */
static void test_retained(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint32_t list[128];

    world_add_mem(w, 7);
    world_expect_event(w, world_ask_event(w), NS_CHANGED);
    read_log(w, NVME_LOG_LID_CHANGED_NS, RETAIN, list);
    g_assert_cmpuint(list[0], ==, 7);
    expect_changed(w, (const uint32_t[]){ 7 }, 1);
    world_free(w);
}

/* A list that was read in part still has all; only the event is over. */
static void test_read_in_part(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint64_t page = world_page(w);
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_log_page, .prp1 = page,
                      .cdw10 = NVME_LOG_LID_CHANGED_NS };

    world_add_mem(w, 7);
    world_add_mem(w, 8);
    world_expect_event(w, world_ask_event(w), NS_CHANGED);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    g_assert_cmpuint(*(uint32_t *)world_at(w, page), ==, 7);
    world_add_mem(w, 9);
    world_expect_event(w, world_ask_event(w), NS_CHANGED);
    expect_changed(w, (const uint32_t[]){ 7, 8, 9 }, 3);
    /* The last entry is enough, though. */
    world_add_mem(w, 10);
    world_expect_event(w, world_ask_event(w), NS_CHANGED);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    expect_changed(w, NULL, 0);
    world_free(w);
}

/* The guest did not ask for such events: there is only the list. */
static void test_config(void)
{
    World *w = new_world(TEMPERATURE);

    world_ask_event(w);
    world_add_mem(w, 1);
    world_expect_no_cqe(w, 0);
    expect_changed(w, (const uint32_t[]){ 1 }, 1);
    world_free(w);
}

/* What is there when the controller is enabled, the guest will see. */
static void test_enabling(void)
{
    World *w = world_new();
    uint32_t list[128];

    world_add_mem(w, 1);
    world_enable(w);
    read_log(w, NVME_LOG_LID_CHANGED_NS, 0, list);
    g_assert_cmpuint(list[0], ==, 0);
    world_free(w);
}

/* ---- temperature ---- */

static void test_temperature(void)
{
    World *w = new_world(TEMPERATURE);
    struct nvme_smart_log log;
    uint16_t first = world_ask_event(w), second = world_ask_event(w);
    SnNvmeCqe cqe;

    set_threshold(w, 314);
    cqe = world_wait_cqe(w, 0);
    g_assert_cmphex(cqe.cid, !=, first);
    world_expect_no_cqe(w, 0);
    set_threshold(w, 313);
    world_expect_event(w, first, TOO_WARM);
    world_wait_cqe(w, 0);
    read_log(w, NVME_LOG_LID_SMART, 0, &log);
    g_assert_cmphex(log.critical_warning, ==, NVME_SMART_CRIT_TEMPERATURE);
    set_threshold(w, 400);
    world_wait_cqe(w, 0);
    read_log(w, NVME_LOG_LID_SMART, 0, &log);
    g_assert_cmphex(log.critical_warning, ==, 0);
    set_threshold(w, 1 << 20 | 313);            /* or too cold */
    world_expect_event(w, second, TOO_WARM);
    world_free(w);
}

static void test_temperature_config(void)
{
    World *w = new_world(0);
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features,
                      .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
                      .cdw11 = TEMPERATURE };
    uint16_t cid = world_ask_event(w);

    set_threshold(w, 300);
    world_wait_cqe(w, 0);
    world_expect_no_cqe(w, 0);
    world_submit(w, 0, &sqe);
    world_expect_event(w, cid, TOO_WARM);
    world_free(w);
}

/* ---- trouble ---- */

/* A reset forgets requests, events and what was masked. */
static void test_reset(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint32_t list[128];

    world_expect_event(w, (ring_unknown(w), world_ask_event(w)), BAD_REGISTER);
    world_add_mem(w, 1);
    world_ask_event(w);
    world_ask_event(w);
    world_disable(w);
    world_enable(w);
    world_expect_no_cqe(w, 0);
    for (unsigned i = 0; i < LIMIT; i++) {
        world_ask_event(w);
    }
    world_expect_no_cqe(w, 0);
    read_log(w, NVME_LOG_LID_CHANGED_NS, 0, list);
    g_assert_cmpuint(list[0], ==, 0);
    ring_unknown(w);
    world_run(w);
    world_wait_cqe(w, 0);
    world_free(w);
}

/* Events while there is no DMA come afterwards, and requests stay. */
static void test_paused(void)
{
    World *w = new_world(NS_ATTRIBUTES);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);

    world_run(w);
    world_set_running(w, false);
    world_add_mem(w, 1);
    world_set_running(w, true);
    world_expect_event(w, first, NS_CHANGED);
    ring_unknown(w);
    world_expect_event(w, second, BAD_REGISTER);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-events/limit", test_limit);
    g_test_add_func("/ctrl-events/doorbells", test_doorbells);
    g_test_add_func("/ctrl-events/queued", test_queued);
    g_test_add_func("/ctrl-events/masking", test_masking);
    g_test_add_func("/ctrl-events/failed-read", test_failed_read);
    g_test_add_func("/ctrl-events/types", test_types);
    g_test_add_func("/ctrl-events/namespaces", test_namespaces);
    g_test_add_func("/ctrl-events/retained", test_retained);
    g_test_add_func("/ctrl-events/read-in-part", test_read_in_part);
    g_test_add_func("/ctrl-events/config", test_config);
    g_test_add_func("/ctrl-events/enabling", test_enabling);
    g_test_add_func("/ctrl-events/temperature", test_temperature);
    g_test_add_func("/ctrl-events/temperature-config",
                    test_temperature_config);
    g_test_add_func("/ctrl-events/reset", test_reset);
    g_test_add_func("/ctrl-events/paused", test_paused);
    return g_test_run();
}
