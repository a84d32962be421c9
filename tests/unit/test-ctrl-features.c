/*
 * Get and Set Features of the NVMe controller (NVMe Base 1.4 sections 5.9 and
 * 5.21).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-world.h"

#define DNR SN_NVME_STATUS_DNR
#define GENERIC(sc)  (SN_NVME_STATUS(NVME_SCT_GENERIC, sc) | DNR)
#define SPECIFIC(sc) (SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC, sc) | DNR)
#define INVALID_FIELD GENERIC(NVME_SC_INVALID_FIELD)
#define INVALID_NS    GENERIC(NVME_SC_INVALID_NS)
#define NOT_SAVEABLE  SPECIFIC(NVME_SC_FEATURE_NOT_SAVEABLE)
#define NOT_PER_NS    SPECIFIC(NVME_SC_FEATURE_NOT_PER_NS)

#define NSID_ALL 0xffffffffu
#define SAVE     (1u << 31)
#define PER_NS   2              /* of SUPPORTED */
#define CHANGES  4

enum { CURRENT, DEFAULT, SAVED, SUPPORTED };

enum {
    ARBITRATION = 0x01, POWER = 0x02, TEMPERATURE = 0x04,
    ERROR_RECOVERY = 0x05, WRITE_CACHE = 0x06, QUEUES = 0x07,
    COALESCING = 0x08, VECTOR = 0x09, ATOMICITY = 0x0a, EVENTS = 0x0b,
    TIMESTAMP = 0x0e, HOST_ID = 0x81,
};

/* What Get Features answers. */
typedef struct Answer {
    unsigned status;
    uint32_t value;
} Answer;

static Answer get(World *w, uint8_t fid, unsigned sel, uint32_t cdw11,
                  uint32_t nsid, uint64_t prp)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_get_features, .nsid = nsid,
                      .cdw10 = sel << 8 | fid, .cdw11 = cdw11, .prp1 = prp };
    SnNvmeCqe cqe = world_admin(w, &sqe);

    return (Answer){ world_cqe_status(&cqe), cqe.dw0 };
}

/* A value that there must be. */
static uint32_t value(World *w, uint8_t fid, unsigned sel, uint32_t cdw11)
{
    Answer a = get(w, fid, sel, cdw11, fid == ERROR_RECOVERY ? 1 : 0, 0);

    g_assert_cmphex(a.status, ==, 0);
    return a.value;
}

static unsigned set(World *w, uint32_t fid, uint32_t cdw11, uint32_t nsid,
                    uint64_t prp)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features, .nsid = nsid,
                      .cdw10 = fid, .cdw11 = cdw11, .prp1 = prp };

    return world_admin_status(w, &sqe);
}

/* ---- those with a dword ---- */

static const struct {
    uint8_t fid;
    uint32_t which;             /* in CDW11, to find the value */
    uint32_t first;             /* the default */
    uint32_t set, kept;
} dwords[] = {
    { ARBITRATION, 0, 5, 0xffffffff, 0xffffff07 },
    { POWER, 0, 0, 0x40, 0x40 },
    { TEMPERATURE, 0, 353, 0x1ff0, 0x1ff0 },
    { TEMPERATURE, 1 << 20, 0, 1 << 20 | 3, 3 },
    { ERROR_RECOVERY, 0, 0, 0xfffe1234, 0x1234 },
    { WRITE_CACHE, 0, 1, 0, 0 },
    { COALESCING, 0, 0, 0xffff0203, 0x0203 },
    { VECTOR, 3, 3, 0xffff0003, 0x10003 },
    { ATOMICITY, 0, 0, 3, 1 },
    { EVENTS, 0, 0, 0xffffffff, 0x1ff },
};

static void check_dwords(World *w, bool first)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(dwords); i++) {
        uint8_t fid = dwords[i].fid;
        uint32_t which = dwords[i].which;

        g_assert_cmphex(value(w, fid, CURRENT, which), ==,
                        first ? dwords[i].first : dwords[i].kept);
        g_assert_cmphex(value(w, fid, DEFAULT, which), ==, dwords[i].first);
        g_assert_cmphex(value(w, fid, SAVED, which), ==, dwords[i].first);
        g_assert_cmphex(value(w, fid, SUPPORTED, which), ==,
                        fid == ERROR_RECOVERY ? CHANGES | PER_NS : CHANGES);
    }
}

static void test_dwords(void)
{
    World *w = world_new();

    world_add_url(w, 1, "mem://?size=1M&cache=on");
    world_run(w);
    world_enable(w);
    check_dwords(w, true);
    for (unsigned i = 0; i < G_N_ELEMENTS(dwords); i++) {
        g_assert_cmphex(set(w, dwords[i].fid, dwords[i].set, NSID_ALL, 0), ==,
                        0);
    }
    check_dwords(w, false);
    /* A controller reset brings the defaults back, an FLR as well. */
    world_disable(w);
    world_enable(w);
    check_dwords(w, true);
    g_assert_cmphex(set(w, ARBITRATION, 1, 0, 0), ==, 0);
    sn_ctrl_reset(w->ctrl);
    world_enable(w);
    check_dwords(w, true);
    world_free(w);
}

/* ---- what is refused ---- */

static void test_unknown(void)
{
    static const uint8_t known[] = {
        ARBITRATION, POWER, TEMPERATURE, ERROR_RECOVERY, WRITE_CACHE, QUEUES,
        COALESCING, VECTOR, ATOMICITY, EVENTS, TIMESTAMP, HOST_ID,
    };
    World *w = world_new();
    uint64_t page;

    world_add_scripted_ready(w, 1);
    world_enable(w);
    page = world_page(w);
    for (unsigned fid = 0; fid < 256; fid++) {
        bool is_known = memchr(known, fid, sizeof(known));

        g_assert_cmphex(get(w, fid, CURRENT, 0, 1, page).status, ==,
                        is_known ? 0 : INVALID_FIELD);
        g_assert_cmphex(get(w, fid, SUPPORTED, 0, 0, 0).status, ==,
                        is_known ? 0 : INVALID_FIELD);
        g_assert_cmphex(set(w, fid | SAVE, 0, 0, page), ==,
                        is_known ? NOT_SAVEABLE : INVALID_FIELD);
        for (unsigned sel = 4; sel < 8; sel++) {
            g_assert_cmphex(get(w, fid, sel, 0, 1, page).status, ==,
                            INVALID_FIELD);
        }
    }
    world_free(w);
}

static void test_refused(void)
{
    static const struct {
        uint8_t fid;
        uint32_t value;
    } cases[] = {
        { POWER, 1 }, { POWER, 31 },
        { TEMPERATURE, 1 << 16 | 300 }, { TEMPERATURE, 8 << 16 | 300 },
        { TEMPERATURE, 2 << 20 | 300 }, { TEMPERATURE, 3 << 20 | 300 },
        { QUEUES, 0xffff }, { QUEUES, 0xffff0000 },
        { VECTOR, 5 }, { VECTOR, 0xffff },
    };
    World *w = world_new();

    world_enable(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmphex(set(w, cases[i].fid, cases[i].value, 0, 0), ==,
                        INVALID_FIELD);
    }
    /* Every sensor can be set, but not asked for. */
    g_assert_cmphex(set(w, TEMPERATURE, 0xf << 16 | 300, 0, 0), ==, 0);
    g_assert_cmphex(value(w, TEMPERATURE, CURRENT, 0), ==, 300);
    g_assert_cmphex(get(w, TEMPERATURE, CURRENT, 0xf << 16, 0, 0).status, ==,
                    INVALID_FIELD);
    g_assert_cmphex(get(w, VECTOR, CURRENT, 5, 0, 0).status, ==,
                    INVALID_FIELD);
    world_free(w);
}

static void test_nsid(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_add_mem(w, 2);
    world_enable(w);
    g_assert_cmphex(set(w, ARBITRATION, 0, 1, 0), ==, NOT_PER_NS);
    g_assert_cmphex(set(w, ARBITRATION, 0, 3, 0), ==, NOT_PER_NS);
    g_assert_cmphex(set(w, ARBITRATION, 0, 257, 0), ==, INVALID_NS);
    g_assert_cmphex(set(w, ARBITRATION, 0, NSID_ALL, 0), ==, 0);
    /* Error recovery is a namespace's own. */
    g_assert_cmphex(set(w, ERROR_RECOVERY, 5, 2, 0), ==, 0);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, 1, 0).value, ==, 0);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, 2, 0).value, ==, 5);
    g_assert_cmphex(set(w, ERROR_RECOVERY, 6, NSID_ALL, 0), ==, 0);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, 1, 0).value, ==, 6);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, 2, 0).value, ==, 6);
    g_assert_cmphex(set(w, ERROR_RECOVERY, 1 << 16, 1, 0), ==,
                    INVALID_FIELD);             /* DULBE */
    g_assert_cmphex(set(w, ERROR_RECOVERY, 0, 0, 0), ==, INVALID_NS);
    g_assert_cmphex(set(w, ERROR_RECOVERY, 0, 3, 0), ==, INVALID_FIELD);
    g_assert_cmphex(set(w, ERROR_RECOVERY, 0, 257, 0), ==, INVALID_NS);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, 3, 0).status, ==,
                    INVALID_NS);
    g_assert_cmphex(get(w, ERROR_RECOVERY, CURRENT, 0, NSID_ALL, 0).status,
                    ==, INVALID_NS);
    world_free(w);
}

/* ---- number of queues ---- */

static void test_queues(void)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features, .cdw10 = QUEUES };
    World *w = world_new();
    SnNvmeCqe cqe;

    world_enable(w);
    g_assert_cmphex(value(w, QUEUES, CURRENT, 0), ==, 3 << 16 | 3);
    sqe.cdw11 = 0xfffe0001;
    cqe = world_admin(w, &sqe);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(cqe.dw0, ==, 3 << 16 | 1);
    /* What was granted stays. */
    sqe.cdw11 = 0;
    cqe = world_admin(w, &sqe);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(cqe.dw0, ==, 3 << 16 | 1);
    g_assert_cmphex(value(w, QUEUES, CURRENT, 0), ==, 3 << 16 | 1);
    g_assert_cmphex(value(w, QUEUES, DEFAULT, 0), ==, 3 << 16 | 3);
    world_create_queue(w, 1, 8, 0);
    g_assert_cmphex(set(w, QUEUES, 0, 0, 0), ==,
                    GENERIC(NVME_SC_CMD_SEQ_ERROR));
    world_disable(w);
    world_enable(w);
    g_assert_cmphex(value(w, QUEUES, CURRENT, 0), ==, 3 << 16 | 3);
    world_free(w);
}

/* ---- write cache ---- */

static void set_write_cache(World *w, bool on)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_set_features, .cdw10 = WRITE_CACHE,
                      .cdw11 = on };

    world_submit(w, 0, &sqe);
    world_run(w);
}

static unsigned wait_status(World *w)
{
    SnNvmeCqe cqe = world_wait_cqe(w, 0);

    return world_cqe_status(&cqe);
}

/*
 * Switching it off flushes what is in it: all caches, after which writes have
 * been stable since.
 */
static void test_write_cache_flush(void)
{
    World *w = world_new();
    WorldBackend *wb[3];

    for (unsigned i = 0; i < 3; i++) {
        wb[i] = world_add_scripted(w, 1 + i);
        wb[i]->info.write_cache = i != 1;
        wb_ready(wb[i]);
    }
    world_enable(w);
    set_write_cache(w, false);
    g_assert_true(sn_ctrl_write_through(w->ctrl));
    world_expect_no_cqe(w, 0);
    g_assert_cmpuint(wb[0]->n, ==, 1);
    g_assert_cmpint(wb[0]->ios[0]->op, ==, SN_IO_FLUSH);
    wb_done_all(wb[0], 0);
    world_run(w);
    world_expect_no_cqe(w, 0);
    g_assert_cmpuint(wb[1]->n, ==, 0);
    g_assert_cmpuint(wb[2]->n, ==, 1);
    wb_done_all(wb[2], 0);
    g_assert_cmphex(wait_status(w), ==, 0);
    world_free(w);
}

/*
 * Like any admin command it does not wait for a path. One that fails leaves the
 * cache off, which is the safe side.
 */
static void test_write_cache_trouble(void)
{
    const unsigned path = SN_NVME_STATUS(NVME_SCT_PATH,
                                         NVME_SC_ANA_INTERNAL_PATH_ERROR);
    World *w = world_new();
    WorldBackend *first = world_add_scripted_ready(w, 1);
    WorldBackend *second = world_add_scripted_ready(w, 2);

    world_enable(w);
    set_write_cache(w, false);
    wb_done_all(first, -EIO);
    g_assert_cmphex(wait_status(w), ==,
                    SN_NVME_STATUS(NVME_SCT_MEDIA, NVME_SC_WRITE_FAULT));
    g_assert_cmphex(value(w, WRITE_CACHE, CURRENT, 0), ==, 0);
    set_write_cache(w, false);
    sn_ctrl_remove_namespace(w->ctrl, w->ctrl->ns[1]);
    world_run(w);
    g_assert_cmpuint(second->n, ==, 1);
    wb_lost(second, false);
    g_assert_cmphex(wait_status(w), ==, path);
    set_write_cache(w, false);
    g_assert_cmphex(wait_status(w), ==, path);
    world_free(w);
}

/* The feature is there with the cache. Switched off, writes are stable. */
static void test_write_cache(void)
{
    World *w = world_new();
    SnCtrlNs *mem = world_add_mem(w, 2);
    WorldBackend *wb;
    SnNvmeSqe sqe;

    world_enable(w);
    g_assert_cmphex(get(w, WRITE_CACHE, CURRENT, 0, 0, 0).status, ==,
                    INVALID_FIELD);
    g_assert_cmphex(set(w, WRITE_CACHE, 0, 0, 0), ==, INVALID_FIELD);
    sn_ctrl_remove_namespace(w->ctrl, mem);

    wb = world_add_scripted_ready(w, 1);
    world_create_queues(w, 1, 8);
    sqe = world_rw(nvme_cmd_write, 1, 0, 1, world_page(w), 0);
    for (unsigned on = 0; on < 2; on++) {
        set_write_cache(w, on);
        wb_done_all(wb, 0);
        g_assert_cmphex(wait_status(w), ==, 0);
        world_submit(w, 1, &sqe);
        world_run(w);
        g_assert_cmpuint(wb->n, ==, 1);
        g_assert_cmphex(wb->ios[0]->flags, ==, on ? 0 : SN_IO_FUA);
        wb_done_all(wb, 0);
        world_wait_cqe(w, 1);
    }
    world_free(w);
}

/* ---- those with data ---- */

static uint64_t timestamp(World *w, uint64_t page, unsigned sel)
{
    uint64_t data;

    memset(world_at(w, page), 0xee, 16);
    g_assert_cmphex(get(w, TIMESTAMP, sel, 0, 0, page).status, ==, 0);
    memcpy(&data, world_at(w, page), sizeof(data));
    g_assert_cmphex(*(uint8_t *)world_at(w, page + 8), ==, 0xee);
    return GUINT64_FROM_LE(data);
}

static void test_timestamp(void)
{
    const uint64_t then = 0x0123456789ab, host = 1ULL << 49;
    World *w = world_new();
    uint64_t page, le = GUINT64_TO_LE(then | 0xffffULL << 48);

    world_enable(w);
    page = world_page(w);
    world_advance_ms(w, 1500);
    g_assert_cmphex(timestamp(w, page, CURRENT), ==, 1500);
    memcpy(world_at(w, page), &le, sizeof(le));
    g_assert_cmphex(set(w, TIMESTAMP, 0, 0, page), ==, 0);
    g_assert_cmphex(timestamp(w, page, CURRENT), ==, host | then);
    world_advance_ms(w, 250);
    g_assert_cmphex(timestamp(w, page, CURRENT), ==, host | (then + 250));
    g_assert_cmphex(timestamp(w, page, DEFAULT), ==, 0);
    g_assert_cmphex(set(w, TIMESTAMP, 0, 0, WORLD_HOLE) & ~DNR, ==,
                    NVME_SC_DATA_XFER_ERROR);
    g_assert_cmphex(timestamp(w, page, CURRENT), ==, host | (then + 250));
    world_disable(w);
    world_enable(w);
    g_assert_cmphex(timestamp(w, page, CURRENT), ==, 0);
    world_free(w);
}

static void test_host_id(void)
{
    World *w = world_new();
    uint64_t page;
    char *data;

    world_enable(w);
    page = world_page(w);
    data = world_at(w, page);
    memcpy(data, "0123456789abcdef", 16);
    g_assert_cmphex(set(w, HOST_ID, 1, 0, page), ==, 0);
    memset(data, 0xee, 32);
    g_assert_cmphex(get(w, HOST_ID, CURRENT, 1, 0, page).status, ==, 0);
    g_assert_cmpmem(data, 17, "0123456789abcdef\xee", 17);
    /* The short one */
    memcpy(data, "stuvwxyz", 8);
    g_assert_cmphex(set(w, HOST_ID, 0, 0, page), ==, 0);
    memset(data, 0xee, 32);
    g_assert_cmphex(get(w, HOST_ID, CURRENT, 0, 0, page).status, ==, 0);
    g_assert_cmpmem(data, 9, "stuvwxyz\xee", 9);
    g_assert_cmphex(set(w, HOST_ID, 1, 0, WORLD_HOLE) & ~DNR, ==,
                    NVME_SC_DATA_XFER_ERROR);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-features/dwords", test_dwords);
    g_test_add_func("/ctrl-features/unknown", test_unknown);
    g_test_add_func("/ctrl-features/refused", test_refused);
    g_test_add_func("/ctrl-features/nsid", test_nsid);
    g_test_add_func("/ctrl-features/queues", test_queues);
    g_test_add_func("/ctrl-features/write-cache", test_write_cache);
    g_test_add_func("/ctrl-features/write-cache-flush",
                    test_write_cache_flush);
    g_test_add_func("/ctrl-features/write-cache-trouble",
                    test_write_cache_trouble);
    g_test_add_func("/ctrl-features/timestamp", test_timestamp);
    g_test_add_func("/ctrl-features/host-id", test_host_id);
    return g_test_run();
}
