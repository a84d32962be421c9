/*
 * Namespaces of the NVMe controller: they come, change and go, and what the
 * guest hears of that (NVMe Base 1.4 sections 5.2, 5.14.1.4 and 6.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-world.h"

#define EVENT_CHANGED 0x040002u /* notice, attribute changed, log page 04h */
#define NOT_READY SN_CTRL_GENERIC(NVME_SC_NS_NOT_READY)

static void command_ok(World *w, SnNvmeSqe sqe)
{
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
}

/* What a driver does first. */
static void start(World *w)
{
    world_enable(w);
    world_create_queues(w, 1, 64);
    command_ok(w, (SnNvmeSqe){
        .opcode = nvme_admin_set_features,
        .cdw10 = GUINT32_TO_LE(NVME_FEAT_FID_ASYNC_EVENT),
        .cdw11 = GUINT32_TO_LE(1 << 8),
    });
}

static World *open_started(void)
{
    World *w = world_new();

    start(w);
    return w;
}

static void ask_event(World *w)
{
    world_ask_event(w);
    world_expect_no_cqe(w, 0);
}

/* The event has come; reads the list, which is then empty. */
static void take_changed(World *w, uint32_t nsid)
{
    uint64_t page = world_page(w);
    const uint32_t *list = world_at(w, page);
    SnNvmeCqe cqe;

    world_run(w);
    g_assert_true(world_take_cqe(w, 0, &cqe));
    world_ring_cq(w, 0);
    g_assert_cmphex(GUINT32_FROM_LE(cqe.dw0), ==, EVENT_CHANGED);
    command_ok(w, (SnNvmeSqe){
        .opcode = nvme_admin_get_log_page, .prp1 = GUINT64_TO_LE(page),
        .cdw10 = GUINT32_TO_LE(1023u << 16 | NVME_LOG_LID_CHANGED_NS),
    });
    g_assert_cmpuint(GUINT32_FROM_LE(list[0]), ==, nsid);
    g_assert_cmpuint(list[1], ==, 0);
}

/* The same, and asks for another one, which does not come. */
static void expect_changed(World *w, uint32_t nsid)
{
    take_changed(w, nsid);
    ask_event(w);
}

static SnNvmeSqe read_of(World *w, uint32_t nsid)
{
    return world_rw(nvme_cmd_read, nsid, 0, 1, world_page(w), 0);
}

static unsigned read_status(World *w, uint32_t nsid)
{
    SnNvmeSqe sqe = read_of(w, nsid);

    return world_io_status(w, 1, &sqe);
}

static SnCtrlNs *ns_of(World *w, uint32_t nsid)
{
    g_assert_nonnull(w->ctrl->ns[nsid]);
    return w->ctrl->ns[nsid];
}

static void reconnect(World *w, WorldBackend *be)
{
    world_advance_ms(w, 60000);
    g_assert_true(be->started);
    wb_ready(be);
    world_run(w);
}

/* ---- coming ---- */

static void expect_no_room(World *w, uint32_t nsid, const char *url,
                           GQuark domain)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(sn_ctrl_add_namespace(w->ctrl, &(SnCtrlNsConfig){
        .nsid = nsid, .url = url, .id = "new" }, &err));
    g_assert_nonnull(err);
    g_assert_cmpuint(err->domain, ==, domain);
    g_assert_null(strchr(err->message, '\n'));
}

static void test_refused(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_add_mem(w, SN_CTRL_MAX_NSID);
    expect_no_room(w, 0, "mem://?size=1M", SN_CTRL_ERROR);
    expect_no_room(w, 1, "mem://?size=1M", SN_CTRL_ERROR);
    expect_no_room(w, SN_CTRL_MAX_NSID + 1, "mem://?size=1M", SN_CTRL_ERROR);
    expect_no_room(w, UINT32_MAX, "mem://?size=1M", SN_CTRL_ERROR);
    expect_no_room(w, 2, "mem://?size=much", SN_VOLUME_ERROR);
    expect_no_room(w, 2, "ftp://host/file", SN_VOLUME_ERROR);
    expect_no_room(w, 2, "", SN_VOLUME_ERROR);
    world_add_mem(w, 2);
    world_free(w);
}

/* What was there at the beginning is no news. */
static void test_cold(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_add_mem(w, 3);
    start(w);
    ask_event(w);
    g_assert_cmphex(read_status(w, 1), ==, 0);
    g_assert_cmphex(read_status(w, 2), ==, SN_CTRL_INVALID_NS);
    g_assert_cmphex(read_status(w, 3), ==, 0);
    world_free(w);
}

static void test_hot(void)
{
    World *w = open_started();
    WorldBackend *be;

    ask_event(w);
    g_assert_cmphex(read_status(w, 5), ==, SN_CTRL_INVALID_NS);
    be = world_add_scripted(w, 5);
    world_expect_no_cqe(w, 0);
    /* It may still come. */
    g_assert_null(sn_ctrl_ns(w->ctrl, 5));
    g_assert_cmphex(read_status(w, 5), ==, NOT_READY);
    wb_ready(be);
    expect_changed(w, 5);
    g_assert_true(sn_ctrl_ns_volume(ns_of(w, 5)) == be->vol);
    g_assert_cmpuint(sn_ctrl_ns_id(ns_of(w, 5)), ==, 5);
    world_free(w);
}

/* It never was there, and never will be. */
static void test_failed_first(void)
{
    World *w = open_started();
    WorldBackend *be = world_add_scripted(w, 1);

    ask_event(w);
    wb_lost(be, true);
    world_expect_no_cqe(w, 0);
    g_assert_cmphex(read_status(w, 1), ==, NOT_READY | SN_NVME_STATUS_DNR);
    world_free(w);
}

/* Enabling waits for those that connect; those that fail or go, not. */
static void test_enabling(void)
{
    World *w = world_new();
    WorldBackend *one = world_add_scripted(w, 1);
    WorldBackend *two = world_add_scripted(w, 2);

    world_add_scripted(w, 3);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    wb_ready(one);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    wb_lost(two, true);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 3));
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 1);
    world_free(w);
}

/* ---- changing ---- */

static void test_resize(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);
    SnNvmeSqe sqe;

    start(w);
    ask_event(w);
    sqe = world_rw(nvme_cmd_read, 1, 2048, 1, world_page(w), 0);
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==,
                    SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE));
    be->info.size *= 2;
    wb_info_changed(be);
    expect_changed(w, 1);
    world_submit(w, 1, &sqe);
    g_assert_cmpuint(be->n, ==, 1);
    wb_done(be, 0, 0);
    world_wait_cqe(w, 1);
    be->info.read_only = true;
    wb_info_changed(be);
    expect_changed(w, 1);
    /* That is nothing that the guest was told of. */
    be->info.queue_depth++;
    wb_info_changed(be);
    wb_info_changed(be);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* The path goes and comes back: that alone is no news either. */
static void test_resize_while_lost(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);

    start(w);
    ask_event(w);
    wb_lost(be, false);
    world_expect_no_cqe(w, 0);
    reconnect(w, be);
    world_expect_no_cqe(w, 0);
    wb_lost(be, false);
    be->info.size *= 2;
    reconnect(w, be);
    expect_changed(w, 1);
    world_free(w);
}

/* What changes before the controller is ready, the guest sees by itself. */
static void test_resize_while_disabled(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);

    start(w);
    world_disable(w);
    be->info.size *= 2;
    wb_info_changed(be);
    world_run(w);
    start(w);
    ask_event(w);
    wb_info_changed(be);
    world_expect_no_cqe(w, 0);
    be->info.size *= 2;
    wb_info_changed(be);
    expect_changed(w, 1);
    world_free(w);
}

/* For good: it stays, and fails what it is asked for. */
static void test_failed(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);
    SnNvmeSqe sqe;
    SnNvmeCqe cqe;

    start(w);
    ask_event(w);
    sqe = read_of(w, 1);
    world_submit(w, 1, &sqe);
    wb_lost(be, true);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==,
                    NOT_READY | SN_NVME_STATUS_DNR);
    expect_changed(w, 1);               /* not ready any more (NSTAT) */
    g_assert_nonnull(sn_ctrl_ns(w->ctrl, 1));
    g_assert_cmphex(read_status(w, 1), ==, NOT_READY | SN_NVME_STATUS_DNR);
    world_free(w);
}

/* ---- going ---- */

static void test_remove(void)
{
    World *w = world_new();
    WorldBackend *gone = world_add_scripted_ready(w, 1);
    WorldBackend *stays = world_add_scripted_ready(w, 2);
    uint16_t cids[3];
    SnNvmeSqe sqe;
    SnNvmeCqe cqe;

    start(w);
    ask_event(w);
    for (unsigned i = 0; i < 6; i++) {
        uint16_t cid;

        sqe = read_of(w, 1 + i % 2);
        cid = world_submit(w, 1, &sqe);
        if (i % 2 == 0) {
            cids[i / 2] = cid;
        }
    }
    g_assert_cmpuint(gone->n, ==, 3);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(world_take_cqe(w, 1, &cqe));
        g_assert_cmphex(GUINT16_FROM_LE(cqe.cid), ==, cids[i]);
        g_assert_cmphex(world_cqe_status(&cqe), ==, SN_CTRL_INVALID_NS);
    }
    world_ring_cq(w, 1);
    g_assert_cmpuint(stays->n, ==, 3);
    wb_done_all(stays, 0);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(world_take_cqe(w, 1, &cqe));
        g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    }
    world_ring_cq(w, 1);
    world_expect_unmapped(w);
    expect_changed(w, 1);
    g_assert_cmphex(read_status(w, 1), ==, SN_CTRL_INVALID_NS);
    /* Another one in its place */
    world_add_mem(w, 1);
    expect_changed(w, 1);
    g_assert_cmphex(read_status(w, 1), ==, 0);
    world_free(w);
}

/* One that the guest has never seen goes without a word. */
static void test_remove_unknown(void)
{
    World *w = open_started();

    ask_event(w);
    world_add_scripted(w, 1);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    world_expect_no_cqe(w, 0);
    world_add_mem(w, 2);
    expect_changed(w, 2);
    world_disable(w);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 2));
    start(w);
    ask_event(w);
    world_free(w);
}

static unsigned active_namespace(World *w)
{
    uint64_t page = world_page(w);
    const uint32_t *list = world_at(w, page);

    command_ok(w, (SnNvmeSqe){
        .opcode = nvme_admin_identify, .prp1 = GUINT64_TO_LE(page),
        .cdw10 = GUINT32_TO_LE(NVME_IDENTIFY_CNS_NS_ACTIVE_LIST),
    });
    return GUINT32_FROM_LE(list[0]);
}

/*
 * Another one in the place of one that the guest may still use: it is there
 * when the guest has heard of the removal, and is told by an event of its own.
 */
static void test_replace(void)
{
    World *w = world_new();
    WorldBackend *be;

    world_add_mem(w, 1);
    start(w);
    ask_event(w);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    be = world_add_scripted(w, 1);
    g_assert_cmphex(read_status(w, 1), ==, SN_CTRL_INVALID_NS);
    wb_ready(be);
    be->info.size *= 2;
    wb_info_changed(be);
    g_assert_cmphex(read_status(w, 1), ==, SN_CTRL_INVALID_NS);
    g_assert_null(sn_ctrl_ns(w->ctrl, 1));
    g_assert_cmpuint(be->submits, ==, 0);
    take_changed(w, 1);
    world_ask_event(w);
    expect_changed(w, 1);
    g_assert_cmpuint(active_namespace(w), ==, 1);
    world_free(w);
}

/* The one that waits loses its path, and goes without a word. */
static void test_replace_trouble(void)
{
    World *w = world_new();
    WorldBackend *be;

    world_add_mem(w, 1);
    start(w);
    ask_event(w);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    world_add_mem(w, 1);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    be = world_add_scripted_ready(w, 1);
    wb_lost(be, false);
    expect_changed(w, 1);
    reconnect(w, be);
    expect_changed(w, 1);
    g_assert_cmpuint(active_namespace(w), ==, 1);
    world_free(w);
}

/* A reset is the end of what the guest knew. */
static void test_replace_reset(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    start(w);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    world_add_mem(w, 1);
    g_assert_cmpuint(active_namespace(w), ==, 0);
    world_disable(w);
    start(w);
    ask_event(w);
    g_assert_cmpuint(active_namespace(w), ==, 1);
    world_free(w);
}

/* Nor is waited for a guest that does not want to be told. */
static void test_replace_untold(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_enable(w);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    world_add_mem(w, 1);
    g_assert_cmpuint(active_namespace(w), ==, 1);
    world_free(w);
}

/* In the middle of a flush of all: the next one's turn. */
static void test_remove_while_flushing(void)
{
    SnNvmeSqe sqe = { .opcode = nvme_cmd_flush, .nsid = UINT32_MAX };
    World *w = world_new();
    WorldBackend *be[3];
    SnNvmeCqe cqe;

    for (unsigned i = 0; i < 3; i++) {
        be[i] = world_add_scripted_ready(w, 1 + i);
    }
    start(w);
    world_submit(w, 1, &sqe);
    g_assert_cmpuint(be[0]->n, ==, 1);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    world_run(w);
    g_assert_cmpuint(be[1]->n, ==, 1);
    g_assert_cmpuint(be[1]->kicks, ==, 1);
    wb_done(be[1], 0, 0);
    world_run(w);
    g_assert_cmpuint(be[2]->n, ==, 1);
    world_expect_no_cqe(w, 1);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 3));
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    world_free(w);
}

/* While a shutdown flushes its cache: the shutdown is over. */
static void test_remove_while_shutting_down(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);
    uint32_t cc;

    start(w);
    cc = world_read32(w, NVME_REG_CC);
    world_write32(w, NVME_REG_CC, cc | 1 << NVME_CC_SHN_SHIFT);
    g_assert_cmpuint(be->n, ==, 1);
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
    g_assert_cmpuint(NVME_CSTS_SHST(world_read32(w, NVME_REG_CSTS)), ==,
                     NVME_CSTS_SHST_CMPLT);
    world_free(w);
}

/* ---- from inside ---- */

static void remove_one(World *w, unsigned vector)
{
    w->on_notify = NULL;
    sn_ctrl_remove_namespace(w->ctrl, ns_of(w, 1));
}

/* Where the volume tells the end of a batch, of which it has more to come. */
static void test_remove_in_batch_done(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted_ready(w, 1);
    SnNvmeCqe cqe;
    unsigned i;

    start(w);
    for (i = 0; i < 4; i++) {
        SnNvmeSqe sqe = read_of(w, 1);

        world_submit(w, 1, &sqe);
    }
    wb_done(be, 0, 0);
    wb_done(be, 2, 0);
    w->on_notify = remove_one;
    world_run(w);
    g_assert_null(w->ctrl->ns[1]);
    for (i = 0; world_take_cqe(w, 1, &cqe); i++) {
        g_assert_cmphex(world_cqe_status(&cqe), ==,
                        i < 2 ? 0 : SN_CTRL_INVALID_NS);
    }
    g_assert_cmpuint(i, ==, 4);
    world_expect_unmapped(w);
    world_free(w);
}

/* Where it tells that it is ready, or has another size. */
static void test_remove_in_event(void)
{
    World *w = open_started();
    WorldBackend *be;

    ask_event(w);
    be = world_add_scripted(w, 1);
    w->on_notify = remove_one;
    wb_ready(be);
    world_run(w);
    g_assert_null(w->ctrl->ns[1]);
    expect_changed(w, 1);
    be = world_add_scripted_ready(w, 1);
    expect_changed(w, 1);
    be->info.size *= 2;
    w->on_notify = remove_one;
    wb_info_changed(be);
    world_run(w);
    g_assert_null(w->ctrl->ns[1]);
    expect_changed(w, 1);
    world_free(w);
}

/* ---- identity ---- */

static bool same_ids(const SnCtrlNs *a, const SnCtrlNs *b)
{
    return !memcmp(a->uuid, b->uuid, 16) && !memcmp(a->nguid, b->nguid, 16);
}

static SnCtrlNs *add_ready(World *w, uint32_t nsid, const char *url)
{
    if (g_str_has_prefix(url, "scripted:")) {
        wb_ready(world_add_scripted_url(w, nsid, url));
    } else {
        world_add_url(w, nsid, url);
        world_run(w);
    }
    g_assert_true(ns_of(w, nsid)->active);
    return ns_of(w, nsid);
}

static void test_made_identity(void)
{
    const uint8_t none[16] = { 0 };
    World *w = world_new(), *other = world_new();
    SnCtrlNs *ns = add_ready(w, 1, "scripted://host/disk?ctrl-loss-tmo=9");

    g_assert_cmphex(ns->uuid[6] >> 4, ==, 5);
    g_assert_cmphex(ns->uuid[8] >> 6, ==, 2);
    g_assert_true(!memcmp(ns->eui64, none, 8));
    g_assert_false(!memcmp(ns->nguid, none, 16));
    /* The same disk for another controller, however it is reached */
    g_assert_true(same_ids(ns, add_ready(other, 7, "scripted://host/disk")));
    g_assert_false(same_ids(ns, add_ready(w, 2, "scripted://host/disk2")));
    g_assert_false(same_ids(ns, add_ready(w, 3, "scripted://host2/disk")));
    /* One of several on a subsystem */
    ns = add_ready(w, 4, "scripted://host/disk?nsid=2");
    g_assert_false(same_ids(ns, ns_of(w, 1)));
    g_assert_true(same_ids(ns, add_ready(other, 4, "scripted://host/disk"
                                         "?reconnect-delay=3&nsid=2")));
    g_assert_false(same_ids(ns, add_ready(other, 5, "scripted://host/disk"
                                          "?nsid=22")));
    /* Without a host it is this namespace's alone, with whatever size. */
    ns = add_ready(w, 8, "mem://?size=1M");
    g_assert_false(same_ids(ns, add_ready(w, 9, "mem://?size=1M")));
    g_assert_true(same_ids(ns, add_ready(other, 8, "mem://?size=2M")));
    world_free(w);
    world_free(other);
}

/* The far side's own, and then nothing is made up. */
static void test_far_identity(void)
{
    const uint8_t none[16] = { 0 };
    World *w = world_new();
    WorldBackend *be;

    be = world_add_scripted(w, 1);
    memset(be->info.nguid, 1, 16);
    wb_ready(be);
    g_assert_true(!memcmp(ns_of(w, 1)->nguid, be->info.nguid, 16));
    g_assert_true(!memcmp(ns_of(w, 1)->uuid, none, 16));
    be = world_add_scripted(w, 2);
    memset(be->info.uuid, 2, 16);
    memset(be->info.eui64, 3, 8);
    wb_ready(be);
    g_assert_true(!memcmp(ns_of(w, 2)->uuid, be->info.uuid, 16));
    g_assert_true(!memcmp(ns_of(w, 2)->eui64, be->info.eui64, 8));
    g_assert_true(!memcmp(ns_of(w, 2)->nguid, none, 16));
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ns/refused", test_refused);
    g_test_add_func("/ns/cold", test_cold);
    g_test_add_func("/ns/hot", test_hot);
    g_test_add_func("/ns/failed-first", test_failed_first);
    g_test_add_func("/ns/enabling", test_enabling);
    g_test_add_func("/ns/resize", test_resize);
    g_test_add_func("/ns/resize-while-lost", test_resize_while_lost);
    g_test_add_func("/ns/resize-while-disabled", test_resize_while_disabled);
    g_test_add_func("/ns/failed", test_failed);
    g_test_add_func("/ns/remove", test_remove);
    g_test_add_func("/ns/remove-unknown", test_remove_unknown);
    g_test_add_func("/ns/replace", test_replace);
    g_test_add_func("/ns/replace-trouble", test_replace_trouble);
    g_test_add_func("/ns/replace-reset", test_replace_reset);
    g_test_add_func("/ns/replace-untold", test_replace_untold);
    g_test_add_func("/ns/remove-while-flushing", test_remove_while_flushing);
    g_test_add_func("/ns/remove-while-shutting-down",
                    test_remove_while_shutting_down);
    g_test_add_func("/ns/remove-in-batch-done", test_remove_in_batch_done);
    g_test_add_func("/ns/remove-in-event", test_remove_in_event);
    g_test_add_func("/ns/made-identity", test_made_identity);
    g_test_add_func("/ns/far-identity", test_far_identity);
    return g_test_run();
}
