/*
 * Reservation notifications of the NVMe controller (NVMe Base 1.4 section 8.8):
 * log page 80h and its event, and the features 82h and 83h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-world.h"

#define INVALID_LOG SN_CTRL_SPECIFIC_DNR(NVME_SC_INVALID_LOG_PAGE)

#define RETAIN (1u << 15)       /* Get Log Page */
#define PAGES 64                /* that wait to be read */
#define PAGE_SIZE 64
#define LOG 0x80
#define NSID_ALL 0xffffffffu
#define AVAILABLE 0x800006      /* dword 0 of the event */
#define BAD_REGISTER 0x010000

/* Types of pages */
enum { EMPTY, REGISTRATION_PREEMPTED, RELEASED, PREEMPTED };

/* A far side that has reservations; not READY yet. */
static WorldBackend *add_nvme(World *w, uint32_t nsid)
{
    WorldBackend *be = world_add_scripted(w, nsid);

    be->info.nvme.passthrough = true;
    be->info.nvme.rescap = 0xff;
    return be;
}

/* An enabled controller with the namespaces 1 to @n. */
static World *new_world(WorldBackend **be, unsigned n)
{
    World *w = world_new();

    for (unsigned i = 0; i < n; i++) {
        be[i] = add_nvme(w, i + 1);
        wb_ready(be[i]);
    }
    world_enable(w);
    return w;
}

static SnNvmeSqe get_log(uint64_t page, uint32_t flags, unsigned len)
{
    return (SnNvmeSqe){ .opcode = nvme_admin_get_log_page,
                        .nsid = NSID_ALL, .prp1 = page,
                        .cdw10 = (len / 4 - 1) << 16 | flags | LOG };
}

static unsigned read_log(World *w, uint32_t flags, void *data)
{
    uint64_t page = world_page(w);
    SnNvmeSqe sqe = get_log(page, flags, PAGE_SIZE);
    unsigned status = world_admin_status(w, &sqe);

    memcpy(data, world_at(w, page), PAGE_SIZE);
    w->next_free = page;
    return status;
}

/* The next page is of this number and type, and so many follow. */
static void expect_page(World *w, uint32_t flags, uint64_t count,
                        unsigned type, unsigned follow, uint32_t nsid)
{
    uint8_t expected[PAGE_SIZE] = { count, count >> 8, [8] = type,
                                    [9] = follow, [12] = nsid };
    uint8_t data[PAGE_SIZE];

    g_assert_cmphex(read_log(w, flags, data), ==, 0);
    g_assert_cmpmem(data, sizeof(data), expected, sizeof(expected));
}

static void expect_empty(World *w)
{
    expect_page(w, 0, 0, EMPTY, 0, 0);
}

/* ---- the log page ---- */

static void test_pages(void)
{
    WorldBackend *be[2];
    World *w = new_world(be, 2);

    expect_empty(w);
    wb_reservation(be[0], REGISTRATION_PREEMPTED);
    wb_reservation(be[1], RELEASED);
    wb_reservation(be[0], PREEMPTED);
    expect_page(w, 0, 1, REGISTRATION_PREEMPTED, 2, 1);
    expect_page(w, 0, 2, RELEASED, 1, 2);
    wb_reservation(be[0], PREEMPTED);
    expect_page(w, 0, 3, PREEMPTED, 1, 1);
    expect_page(w, 0, 4, PREEMPTED, 0, 1);
    expect_empty(w);
    wb_reservation(be[1], RELEASED);
    expect_page(w, 0, 5, RELEASED, 0, 2);
    world_free(w);
}

/* Which are lost can be told from the last one's number. */
static void test_too_many(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);

    for (unsigned i = 0; i < PAGES + 300; i++) {
        wb_reservation(be, RELEASED);
    }
    for (unsigned i = 1; i < PAGES; i++) {
        expect_page(w, 0, i, RELEASED, PAGES - i, 1);
    }
    expect_page(w, 0, PAGES + 300, RELEASED, 0, 1);
    expect_empty(w);
    wb_reservation(be, RELEASED);
    expect_page(w, 0, PAGES + 301, RELEASED, 0, 1);
    world_free(w);
}

/* Only what begins at the page's beginning takes it, and only if it can. */
static void test_ways_to_read(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);
    uint64_t page = world_page(w);
    uint8_t *data = world_at(w, page);
    SnNvmeSqe sqe = get_log(WORLD_HOLE, 0, PAGE_SIZE);

    wb_reservation(be, RELEASED);
    wb_reservation(be, PREEMPTED);
    g_assert_cmphex(world_admin_status(w, &sqe), !=, 0);
    sqe = get_log(page, 0, 8);
    sqe.cdw12 = 8;
    memset(data, 0xee, WORLD_PAGE);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    g_assert_cmpmem(data, 9, "\x02\x01\0\0\x01\0\0\0\xee", 9);
    sqe = get_log(page, 0, 4);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    /* More than there is of one page is not the next one. */
    sqe = get_log(page, 0, 512);
    memset(data, 0xee, WORLD_PAGE);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    g_assert_cmpuint(data[0], ==, 2);
    g_assert_cmpuint(data[PAGE_SIZE - 1], ==, 0);
    g_assert_cmpuint(data[PAGE_SIZE], ==, 0xee);
    expect_empty(w);
    world_free(w);
}

/* It is there exactly with reservations, as ONCS says. */
static void test_support(void)
{
    World *w = world_new();
    uint8_t data[PAGE_SIZE];
    WorldBackend *plain, *be;
    uint16_t cid;

    plain = world_add_scripted_ready(w, 1);
    world_enable(w);
    g_assert_cmphex(read_log(w, 0, data), ==, INVALID_LOG);
    cid = world_ask_event(w);
    wb_reservation(plain, RELEASED);            /* it cannot mean it */
    world_expect_no_cqe(w, 0);
    be = add_nvme(w, 2);
    g_assert_cmphex(read_log(w, 0, data), ==, INVALID_LOG);
    wb_ready(be);
    expect_empty(w);
    wb_reservation(plain, RELEASED);
    expect_empty(w);
    wb_reservation(be, RELEASED);
    world_expect_event(w, cid, AVAILABLE);
    expect_page(w, 0, 1, RELEASED, 0, 2);
    world_free(w);
}

/* ---- the event ---- */

static void test_event(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);

    wb_reservation(be, REGISTRATION_PREEMPTED);
    world_expect_event(w, first, AVAILABLE);
    wb_reservation(be, REGISTRATION_PREEMPTED);
    world_expect_no_cqe(w, 0);          /* the log was not read */
    expect_page(w, RETAIN, 1, REGISTRATION_PREEMPTED, 1, 1);
    expect_page(w, RETAIN, 2, REGISTRATION_PREEMPTED, 0, 1);
    wb_reservation(be, REGISTRATION_PREEMPTED);
    world_expect_no_cqe(w, 0);          /* nor without retaining the event */
    expect_page(w, 0, 3, REGISTRATION_PREEMPTED, 0, 1);
    world_expect_no_cqe(w, 0);
    wb_reservation(be, RELEASED);
    world_expect_event(w, second, AVAILABLE);
    world_free(w);
}

/* As long as pages are left the event comes again. */
static void test_event_for_the_rest(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);
    uint16_t cid;
    SnNvmeSqe sqe;

    wb_reservation(be, RELEASED);
    wb_reservation(be, RELEASED);
    world_expect_event(w, world_ask_event(w), AVAILABLE);
    cid = world_ask_event(w);
    world_expect_no_cqe(w, 0);
    sqe = get_log(world_page(w), 0, PAGE_SIZE);
    world_submit(w, 0, &sqe);
    world_wait_cqe(w, 0);               /* it is over before the event */
    world_expect_event(w, cid, AVAILABLE);
    expect_page(w, 0, 2, RELEASED, 0, 1);
    world_ask_event(w);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* Whoever reads without waiting for the event does not get it later. */
static void test_read_before_event(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);

    wb_reservation(be, RELEASED);
    expect_page(w, 0, 1, RELEASED, 0, 1);
    world_ask_event(w);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

/* Events of other types are not held back by it, nor the other way round. */
static void test_other_types(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);
    uint16_t first = world_ask_event(w), second = world_ask_event(w);

    wb_reservation(be, RELEASED);
    world_expect_event(w, first, AVAILABLE);
    world_write32(w, world_sq_doorbell(3), 1);
    world_expect_event(w, second, BAD_REGISTER);
    expect_page(w, 0, 1, RELEASED, 0, 1);
    first = world_ask_event(w);
    wb_reservation(be, RELEASED);
    world_expect_event(w, first, AVAILABLE);
    world_free(w);
}

/* ---- features ---- */

#define MASK    0x82
#define PERSIST 0x83
#define SAVE    (1u << 31)
#define PATH_ERROR \
    SN_NVME_STATUS(NVME_SCT_PATH, NVME_SC_ANA_INTERNAL_PATH_ERROR)

enum { CURRENT, DEFAULT, SAVED, SUPPORTED };

static SnNvmeSqe get(uint8_t fid, unsigned sel, uint32_t nsid)
{
    return (SnNvmeSqe){ .opcode = nvme_admin_get_features, .nsid = nsid,
                        .cdw10 = sel << 8 | fid };
}

static SnNvmeSqe set(uint32_t fid, uint32_t value, uint32_t nsid)
{
    return (SnNvmeSqe){ .opcode = nvme_admin_set_features, .nsid = nsid,
                        .cdw10 = fid, .cdw11 = value };
}

static unsigned status(World *w, SnNvmeSqe sqe)
{
    return world_admin_status(w, &sqe);
}

static void expect_value(World *w, SnNvmeSqe sqe, uint32_t value)
{
    SnNvmeCqe cqe = world_admin(w, &sqe);

    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(cqe.dw0, ==, value);
}

/* Two namespaces with reservations, and a third without. */
static World *new_mixed_world(WorldBackend **be)
{
    World *w = new_world(be, 2);

    be[2] = world_add_scripted_ready(w, 3);
    return w;
}

static void test_mask(void)
{
    WorldBackend *be[3];
    World *w = new_mixed_world(be);
    uint16_t cid = world_ask_event(w);

    expect_value(w, get(MASK, CURRENT, 1), 0);
    g_assert_cmphex(status(w, set(MASK, 1 << RELEASED, 1)), ==, 0);
    expect_value(w, get(MASK, CURRENT, 1), 1 << RELEASED);
    expect_value(w, get(MASK, DEFAULT, 1), 0);
    expect_value(w, get(MASK, CURRENT, 2), 0);
    wb_reservation(be[0], RELEASED);
    world_expect_no_cqe(w, 0);
    wb_reservation(be[0], PREEMPTED);
    world_expect_event(w, cid, AVAILABLE);
    wb_reservation(be[1], RELEASED);
    expect_page(w, 0, 1, PREEMPTED, 1, 1);
    expect_page(w, 0, 2, RELEASED, 0, 2);
    /* All of all; what there is already is not taken back. */
    wb_reservation(be[0], PREEMPTED);
    g_assert_cmphex(status(w, set(MASK, 0xe, NSID_ALL)), ==, 0);
    for (unsigned type = 1; type <= 3; type++) {
        wb_reservation(be[0], type);
        wb_reservation(be[1], type);
    }
    expect_page(w, 0, 3, PREEMPTED, 0, 1);
    expect_empty(w);
    g_assert_cmphex(status(w, set(MASK, 0, 2)), ==, 0);
    expect_value(w, get(MASK, CURRENT, 1), 0xe);
    expect_value(w, get(MASK, CURRENT, 2), 0);
    world_disable(w);
    world_enable(w);
    expect_value(w, get(MASK, CURRENT, 1), 0);
    world_free(w);
}

static void test_mask_bits(void)
{
    static const uint32_t bad[] = { 1, 0x10, 0xf, 0x10000000, 0xffffffff };
    WorldBackend *be;
    World *w = new_world(&be, 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmphex(status(w, set(MASK, bad[i], 1)), ==,
                        SN_CTRL_INVALID_FIELD);
    }
    expect_value(w, get(MASK, CURRENT, 1), 0);
    world_free(w);
}

/* Of both features; nothing of it goes to a far side. */
static void test_feature_nsid(void)
{
    static const struct {
        uint32_t nsid;
        unsigned get, set;
    } cases[] = {
        { 0, SN_CTRL_INVALID_NS, SN_CTRL_INVALID_NS },
        { 3, SN_CTRL_INVALID_FIELD, SN_CTRL_INVALID_FIELD },
        { 4, SN_CTRL_INVALID_FIELD, SN_CTRL_INVALID_FIELD },
        { 257, SN_CTRL_INVALID_NS, SN_CTRL_INVALID_NS },
        { NSID_ALL - 1, SN_CTRL_INVALID_NS, SN_CTRL_INVALID_NS },
    };
    WorldBackend *be[3];
    World *w = new_mixed_world(be);

    for (unsigned fid = MASK; fid <= PERSIST; fid++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            uint32_t nsid = cases[i].nsid;

            g_test_message("feature %02x of namespace %u", fid, nsid);
            g_assert_cmphex(status(w, get(fid, CURRENT, nsid)), ==,
                            cases[i].get);
            g_assert_cmphex(status(w, set(fid, 0, nsid)), ==, cases[i].set);
        }
        g_assert_cmphex(status(w, get(fid, CURRENT, NSID_ALL)), ==,
                        SN_CTRL_INVALID_FIELD);
        g_assert_cmphex(status(w, set(fid | SAVE, 0, 1)), ==,
                        SN_CTRL_SPECIFIC_DNR(NVME_SC_FEATURE_NOT_SAVEABLE));
        /* It can be changed, and is a namespace's own. */
        expect_value(w, get(fid, SUPPORTED, 1), 6);
    }
    g_assert_cmpuint(be[0]->submits + be[1]->submits + be[2]->submits, ==, 0);
    world_free(w);
}

static void test_feature_support(void)
{
    World *w = world_new();
    WorldBackend *be;

    world_add_scripted_ready(w, 1);
    world_enable(w);
    for (unsigned fid = MASK; fid <= PERSIST; fid++) {
        g_assert_cmphex(status(w, get(fid, SUPPORTED, 1)), ==,
                        SN_CTRL_INVALID_FIELD);
        g_assert_cmphex(status(w, set(fid, 0, NSID_ALL)), ==,
                        SN_CTRL_INVALID_FIELD);
    }
    be = add_nvme(w, 2);
    wb_ready(be);
    for (unsigned fid = MASK; fid <= PERSIST; fid++) {
        expect_value(w, get(fid, SUPPORTED, 1), 6);
    }
    world_free(w);
}

/* ---- 83h, which the far side has ---- */

static void pass(World *w, SnNvmeSqe sqe)
{
    world_submit(w, 0, &sqe);
    world_expect_no_cqe(w, 0);
}

/* It has been handed Set or Get Features, as it is and without data. */
static void expect_passed(WorldBackend *be, SnNvmeSqe sqe)
{
    SnIo *io = be->ios[0];

    g_assert_cmpuint(be->n, ==, 1);
    g_assert_cmpint(io->op, ==, SN_IO_NVME);
    g_assert_cmphex(io->flags, ==,
                    sqe.opcode == nvme_admin_set_features ? SN_IO_ONCE : 0);
    g_assert_cmpuint(io->len, ==, 0);
    g_assert_true(io->nvme->admin);
    g_assert_cmpint(io->nvme->dir, ==, SN_NVME_NO_DATA);
    sqe.cid = io->nvme->sqe.cid;
    g_assert_cmpmem(&io->nvme->sqe, sizeof(sqe), &sqe, sizeof(sqe));
}

static void expect_over(World *w, unsigned expected, uint32_t value)
{
    SnNvmeCqe cqe = world_wait_cqe(w, 0);

    g_assert_cmphex(world_cqe_status(&cqe), ==, expected);
    g_assert_cmphex(cqe.dw0, ==, value);
    world_expect_unmapped(w);
}

static void test_persistence(void)
{
    WorldBackend *be[2];
    World *w = new_world(be, 2);

    for (unsigned sel = CURRENT; sel <= SAVED; sel++) {
        pass(w, get(PERSIST, sel, 2));
        expect_passed(be[1], get(PERSIST, sel, 2));
        be[1]->ios[0]->nvme->cqe.dw0 = 1;
        wb_done(be[1], 0, 0);
        expect_over(w, 0, 1);
    }
    pass(w, set(PERSIST, 1, 2));
    expect_passed(be[1], set(PERSIST, 1, 2));
    be[1]->ios[0]->nvme->cqe.dw0 = 0;
    wb_done(be[1], 0, 0);
    expect_over(w, 0, 0);
    /* A far side without it, Linux's for one */
    pass(w, set(PERSIST, 1, 2));
    be[1]->ios[0]->nvme_status = SN_CTRL_INVALID_FIELD;
    wb_done(be[1], 0, -EIO);
    expect_over(w, SN_CTRL_INVALID_FIELD, 0);
    g_assert_cmpuint(be[0]->submits, ==, 0);
    world_free(w);
}

/* Namespaces 1 and 4 can; the second has no such state, the third nothing. */
static World *new_persisting_world(WorldBackend **be)
{
    World *w = new_mixed_world(be);

    be[1]->info.nvme.rescap = 0xfe;
    wb_info_changed(be[1]);
    be[3] = add_nvme(w, 4);
    wb_ready(be[3]);
    world_run(w);
    return w;
}

static void test_persistence_of_all(void)
{
    WorldBackend *be[4];
    World *w = new_persisting_world(be);

    pass(w, set(PERSIST, 1, NSID_ALL));
    expect_passed(be[0], set(PERSIST, 1, NSID_ALL));
    g_assert_cmpuint(be[3]->n, ==, 0);
    be[0]->ios[0]->nvme->cqe.dw0 = 0;
    wb_done(be[0], 0, 0);
    world_expect_no_cqe(w, 0);
    expect_passed(be[3], set(PERSIST, 1, NSID_ALL));
    g_assert_cmpuint(be[3]->kicks, >, 0);
    be[3]->ios[0]->nvme->cqe.dw0 = 0;
    wb_done(be[3], 0, 0);
    expect_over(w, 0, 0);
    /* The first that fails ends it. */
    pass(w, set(PERSIST, 0, NSID_ALL));
    be[0]->ios[0]->nvme_status = NVME_SC_INTERNAL;
    wb_done(be[0], 0, -EIO);
    expect_over(w, NVME_SC_INTERNAL, 0);
    g_assert_cmpuint(be[3]->submits, ==, 1);
    g_assert_cmpuint(be[1]->submits + be[2]->submits, ==, 0);
    world_free(w);
}

/* One that is taken away meanwhile needs no setting. */
static void test_persistence_and_removal(void)
{
    WorldBackend *be[4];
    World *w = new_persisting_world(be);

    pass(w, set(PERSIST, 1, NSID_ALL));
    sn_ctrl_remove_namespace(w->ctrl, sn_ctrl_ns(w->ctrl, 1));
    world_expect_no_cqe(w, 0);
    expect_passed(be[3], set(PERSIST, 1, NSID_ALL));
    sn_ctrl_remove_namespace(w->ctrl, sn_ctrl_ns(w->ctrl, 4));
    expect_over(w, 0, 0);
    /* Nothing is left that has it, which is all of nothing. */
    g_assert_cmphex(status(w, set(PERSIST, 1, NSID_ALL)), ==, 0);
    world_free(w);

    w = new_persisting_world(be);
    pass(w, set(PERSIST, 1, 4));
    sn_ctrl_remove_namespace(w->ctrl, sn_ctrl_ns(w->ctrl, 4));
    expect_over(w, SN_CTRL_INVALID_NS, 0);
    world_free(w);
}

/* Whether it was set, nobody knows; and nothing waits for the path. */
static void test_persistence_lost(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);

    pass(w, set(PERSIST, 1, 1));
    pass(w, get(PERSIST, CURRENT, 1));
    wb_lost(be, false);
    expect_over(w, PATH_ERROR, 0);
    expect_over(w, PATH_ERROR, 0);
    g_assert_cmphex(status(w, get(PERSIST, CURRENT, 1)), ==, PATH_ERROR);
    g_assert_cmphex(status(w, set(PERSIST, 1, NSID_ALL)), ==, PATH_ERROR);
    world_advance_ms(w, 1000);
    wb_ready(be);
    world_run(w);
    pass(w, get(PERSIST, CURRENT, 1));
    expect_passed(be, get(PERSIST, CURRENT, 1));
    be->ios[0]->nvme->cqe.dw0 = 1;
    wb_done(be, 0, 0);
    expect_over(w, 0, 1);

    pass(w, set(PERSIST, 1, NSID_ALL));
    world_set_running(w, false);
    g_assert_cmpuint(be->n, ==, 0);
    world_set_running(w, true);
    expect_over(w, PATH_ERROR, 0);
    world_free(w);
}

/* ---- trouble ---- */

static void test_reset(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);

    wb_reservation(be, RELEASED);
    wb_reservation(be, RELEASED);
    world_expect_event(w, world_ask_event(w), AVAILABLE);
    for (unsigned flr = 0; flr < 2; flr++) {
        if (flr) {
            sn_ctrl_reset(w->ctrl);
        } else {
            world_disable(w);
        }
        wb_reservation(be, RELEASED);           /* there is nobody to tell */
        world_enable(w);
        expect_empty(w);
        wb_reservation(be, PREEMPTED);
        world_expect_event(w, world_ask_event(w), AVAILABLE);
        expect_page(w, RETAIN, 1, PREEMPTED, 0, 1);
    }
    world_free(w);
}

/* Its pages go with a namespace: another may have its number next. */
static void test_removal(void)
{
    WorldBackend *be[2];
    World *w = new_world(be, 2);
    SnCtrlNs *third;
    uint8_t data[PAGE_SIZE];
    uint16_t cid;

    be[0] = add_nvme(w, 3);
    wb_ready(be[0]);
    third = sn_ctrl_ns(w->ctrl, 3);
    wb_reservation(be[0], RELEASED);
    wb_reservation(be[1], PREEMPTED);
    wb_reservation(be[0], RELEASED);
    world_expect_event(w, world_ask_event(w), AVAILABLE);
    sn_ctrl_remove_namespace(w->ctrl, third);
    expect_page(w, 0, 2, PREEMPTED, 0, 2);
    expect_empty(w);

    /* The last one that has reservations: neither a log nor its event. */
    wb_reservation(be[1], PREEMPTED);
    world_expect_event(w, world_ask_event(w), AVAILABLE);
    wb_reservation(be[1], PREEMPTED);
    for (unsigned nsid = 1; nsid <= 2; nsid++) {
        sn_ctrl_remove_namespace(w->ctrl, sn_ctrl_ns(w->ctrl, nsid));
    }
    g_assert_cmphex(read_log(w, 0, data), ==, INVALID_LOG);
    cid = world_ask_event(w);
    world_expect_no_cqe(w, 0);
    be[0] = add_nvme(w, 1);
    wb_ready(be[0]);
    wb_reservation(be[0], RELEASED);
    world_expect_event(w, cid, AVAILABLE);
    expect_page(w, 0, 6, RELEASED, 0, 1);
    world_free(w);
}

/* What comes while there is no DMA is told afterwards. */
static void test_paused(void)
{
    WorldBackend *be;
    World *w = new_world(&be, 1);
    uint16_t cid = world_ask_event(w);

    world_run(w);
    world_set_running(w, false);
    wb_reservation(be, RELEASED);
    world_set_running(w, true);
    world_expect_event(w, cid, AVAILABLE);
    expect_page(w, 0, 1, RELEASED, 0, 1);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-reservation/pages", test_pages);
    g_test_add_func("/ctrl-reservation/too-many", test_too_many);
    g_test_add_func("/ctrl-reservation/ways-to-read", test_ways_to_read);
    g_test_add_func("/ctrl-reservation/support", test_support);
    g_test_add_func("/ctrl-reservation/event", test_event);
    g_test_add_func("/ctrl-reservation/event-for-the-rest",
                    test_event_for_the_rest);
    g_test_add_func("/ctrl-reservation/read-before-event",
                    test_read_before_event);
    g_test_add_func("/ctrl-reservation/other-types", test_other_types);
    g_test_add_func("/ctrl-reservation/mask", test_mask);
    g_test_add_func("/ctrl-reservation/mask-bits", test_mask_bits);
    g_test_add_func("/ctrl-reservation/feature-nsid", test_feature_nsid);
    g_test_add_func("/ctrl-reservation/feature-support",
                    test_feature_support);
    g_test_add_func("/ctrl-reservation/persistence", test_persistence);
    g_test_add_func("/ctrl-reservation/persistence-of-all",
                    test_persistence_of_all);
    g_test_add_func("/ctrl-reservation/persistence-and-removal",
                    test_persistence_and_removal);
    g_test_add_func("/ctrl-reservation/persistence-lost",
                    test_persistence_lost);
    g_test_add_func("/ctrl-reservation/reset", test_reset);
    g_test_add_func("/ctrl-reservation/removal", test_removal);
    g_test_add_func("/ctrl-reservation/paused", test_paused);
    return g_test_run();
}
