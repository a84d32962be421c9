/*
 * Identify of the NVMe controller (NVMe Base 1.4 section 5.15, 2.0 section
 * 5.17): every structure and list, and what is refused.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define DNR SN_NVME_STATUS_DNR
#define GENERIC(sc) (SN_NVME_STATUS(NVME_SCT_GENERIC, sc) | DNR)
#define INVALID_FIELD GENERIC(NVME_SC_INVALID_FIELD)
#define INVALID_NS    GENERIC(NVME_SC_INVALID_NS)

#define NSID_ALL 0xffffffffu
#define MiB (1u << 20)

static const uint8_t zeroes[4096];

/* Data that is there only if the status is 0. */
static unsigned identify_sqe(World *w, SnNvmeSqe sqe, void *data)
{
    uint64_t page = world_page(w);
    unsigned status;

    sqe.opcode = nvme_admin_identify;
    sqe.prp1 = page;
    memset(world_at(w, page), 0xee, WORLD_PAGE);
    status = world_admin_status(w, &sqe);
    memcpy(data, world_at(w, page), WORLD_PAGE);
    if (status) {
        g_assert_cmphex(((uint8_t *)data)[0], ==, 0xee);
    }
    w->next_free = page;
    return status;
}

static unsigned identify(World *w, uint8_t cns, uint32_t nsid, void *data)
{
    return identify_sqe(w, (SnNvmeSqe){ .nsid = nsid, .cdw10 = cns }, data);
}

/* ---- the controller ---- */

static void test_ctrl(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .serial = "of 1 to 20",
                                               .cntlid = 7 });
    struct nvme_id_ctrl id;

    world_add_mem(w, 1);
    world_enable(w);
    g_assert_cmphex(identify(w, 1, 0, &id), ==, 0);
    g_assert_cmphex(id.vid, ==, 0x1af4);
    g_assert_cmphex(id.ssvid, ==, 0x1af4);
    g_assert_cmpmem(id.sn, 20, "of 1 to 20          ", 20);
    g_assert_cmpmem(id.mn, 40, "SmartNIC storage NVMe                   ", 40);
    g_assert_true(id.fr[0] >= '0' && id.fr[0] <= '9');
    g_assert_cmpmem(id.ieee, 3, "\x00\x54\x52", 3);
    g_assert_cmpuint(id.cmic, ==, 0);
    g_assert_cmpuint(id.mdts, ==, 8);
    g_assert_cmpuint(id.cntlid, ==, 7);
    g_assert_cmphex(id.ver, ==, world_read32(w, NVME_REG_VS));
    g_assert_cmphex(id.oaes, ==, 1 << 8);
    g_assert_cmphex(id.oacs, ==, 1 << 8);
    g_assert_cmpuint(id.cntrltype, ==, NVME_CTRL_CNTRLTYPE_IO);
    g_assert_cmpuint(id.acl, ==, 63);
    g_assert_cmpuint(id.aerl, ==, 7);
    g_assert_cmphex(id.frmw, ==, 3);
    g_assert_cmphex(id.lpa, ==, 6);
    g_assert_cmpuint(id.elpe, ==, 63);
    g_assert_cmpuint(id.npss, ==, 0);
    g_assert_cmpuint(id.psd[0].mp, >, 0);
    g_assert_cmpuint(id.wctemp, >, 313);
    g_assert_cmpuint(id.cctemp, >, id.wctemp);
    g_assert_cmpuint(id.kas, ==, 0);
    g_assert_cmphex(id.sqes, ==, 0x66);
    g_assert_cmphex(id.cqes, ==, 0x44);
    g_assert_cmpuint(id.nn, ==, 256);
    g_assert_cmphex(id.oncs & 0xdd, ==, 0xdd);
    g_assert_cmphex(id.oncs & NVME_CTRL_ONCS_RESERVATIONS, ==, 0);
    g_assert_cmphex(id.fuses, ==, NVME_CTRL_FUSES_COMPARE_AND_WRITE);
    g_assert_cmpuint(id.acwu, ==, 0);
    g_assert_cmpstr(id.subnqn, ==,
                    "nqn.2026-11.org.smartnic-storage:nvme:of 1 to 20");
    world_free(w);
}

static bool has_cache(World *w)
{
    struct nvme_id_ctrl id;

    g_assert_cmphex(identify(w, 1, 0, &id), ==, 0);
    g_assert_cmphex(id.vwc & 6, ==, 6);         /* flush for all namespaces */
    return id.vwc & 1;
}

/* A write, and whether it has to be stable at once. */
static bool writes_through(World *w, WorldBackend *wb)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, wb->info.write_cache ? 2 : 1, 0,
                             1, world_page(w), 0);
    bool fua;

    world_submit(w, 1, &sqe);
    world_run(w);
    g_assert_cmpuint(wb->n, ==, 1);
    fua = wb->ios[0]->flags & SN_IO_FUA;
    wb_done_all(wb, 0);
    world_wait_cqe(w, 1);
    return fua;
}

/*
 * Present when there is one, or may be. One that comes to a guest that was told
 * of none is not used until the next reset: a driver looks once, and would not
 * flush it, whoever else asks later.
 */
static void test_write_cache(void)
{
    World *w = world_new();
    WorldBackend *without, *with;

    world_enable(w);
    world_create_queues(w, 1, 8);
    g_assert_true(has_cache(w));
    without = world_add_scripted(w, 1);
    g_assert_true(has_cache(w));
    without->info.write_cache = false;
    wb_ready(without);
    g_assert_false(has_cache(w));

    with = world_add_scripted_ready(w, 2);
    g_assert_true(writes_through(w, with));
    g_assert_true(has_cache(w));
    g_assert_true(writes_through(w, with));
    world_disable(w);
    world_enable(w);
    world_create_queues(w, 1, 8);
    g_assert_true(has_cache(w));
    g_assert_false(writes_through(w, with));
    world_free(w);
}

/* The same with a volume that gets one, such as a target that is changed. */
static void test_write_cache_later(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 2);

    wb->info.write_cache = false;
    wb_ready(wb);
    world_enable(w);
    world_create_queues(w, 1, 8);
    g_assert_false(has_cache(w));
    wb->info.write_cache = true;
    wb_info_changed(wb);
    g_assert_true(has_cache(w));
    g_assert_true(writes_through(w, wb));
    world_free(w);
}

static unsigned zeroes_limit(World *w)
{
    struct nvme_id_ctrl_nvm id;

    g_assert_cmphex(identify(w, 6, 0, &id), ==, 0);
    return id.wzsl;
}

/*
 * Pages of 4 KiB, as a power of two. A command has 65536 blocks at most; Linux
 * does not look at that again, so the limit must not be above.
 */
static void test_write_zeroes_limit(void)
{
    static const struct {
        uint64_t max;
        uint32_t block_size;
        unsigned wzsl;
    } cases[] = {
        { MiB, 512, 8 }, { MiB + 4096, 512, 8 }, { 2 * MiB, 512, 9 },
        { 4096, 512, 0 }, { 1024 * MiB, 512, 13 }, { 1024 * MiB, 4096, 16 },
        { 0, 512, 8 },                  /* written here, as much as MDTS */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World *w = world_new();
        WorldBackend *wb = world_add_scripted(w, 1);

        world_enable_cc(w, 0);
        world_advance_ms(w, 6000);
        g_assert_cmpuint(zeroes_limit(w), ==, 0);
        wb->info.size = 1024 * MiB;
        wb->info.max_write_zeroes = cases[i].max;
        wb->info.block_size = wb->info.phys_block_size = cases[i].block_size;
        wb_ready(wb);
        g_assert_cmpuint(zeroes_limit(w), ==, cases[i].wzsl);
        wb = world_add_scripted(w, 2);
        wb->info.max_write_zeroes = 64 * 1024;
        wb_ready(wb);
        /* A single page cannot be told. */
        g_assert_cmpuint(zeroes_limit(w), ==,
                         cases[i].wzsl ? MIN(cases[i].wzsl, 4) : 4);
        world_free(w);
    }
}

/* The limits of the far sides, the least of them, with all others lifted. */
static void test_nvm_ctrl(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 1);
    struct nvme_id_ctrl_nvm id;

    wb->info.max_discard = 0;
    wb_ready(wb);
    world_enable(w);
    g_assert_cmphex(identify(w, 6, 0, &id), ==, 0);
    id.wzsl = 0;
    g_assert_cmpmem(&id, sizeof(id), zeroes, sizeof(id));
    world_add_scripted_ready(w, 2);             /* 1 MiB */
    g_assert_cmphex(identify(w, 6, 0, &id), ==, 0);
    g_assert_cmpuint(id.dmrl, ==, 255);
    g_assert_cmpuint(id.dmrsl, ==, 2048);
    g_assert_cmpuint(id.dmsl, ==, 2048 * 255);

    wb = world_add_scripted(w, 3);
    wb->info.nvme.max_verify = 65536;
    wb_ready(wb);
    g_assert_cmphex(identify(w, 6, 0, &id), ==, 0);
    g_assert_cmpuint(id.vsl, ==, 4);
    g_assert_cmpuint(id.wusl, ==, 0);
    wb = world_add_scripted(w, 4);
    wb->info.nvme.max_verify = 8192;
    wb->info.nvme.max_write_uncor = 1u << 31;
    wb_ready(wb);
    g_assert_cmphex(identify(w, 6, 0, &id), ==, 0);
    g_assert_cmpuint(id.vsl, ==, 1);
    g_assert_cmpuint(id.wusl, ==, 19);
    world_free(w);
}

/* ---- a namespace ---- */

static void test_ns(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 3);
    struct nvme_id_ns id, again;

    wb->info.size = 16 * MiB;
    wb->info.block_size = 512;
    wb->info.phys_block_size = 4096;
    wb->info.opt_io_size = 65536;
    wb->info.discard_granularity = 8192;
    wb->info.read_only = true;
    memcpy(wb->info.nguid, "0123456789abcdef", 16);
    memcpy(wb->info.eui64, "EUI-64..", 8);
    wb_ready(wb);
    world_enable(w);
    g_assert_cmphex(identify(w, 0, 3, &id), ==, 0);
    g_assert_cmpuint(id.nsze, ==, 32768);
    g_assert_cmpuint(id.ncap, ==, 32768);
    g_assert_cmpuint(id.nuse, ==, 32768);
    g_assert_cmphex(id.nsfeat, ==, 0x12);
    g_assert_cmpuint(id.nawun | id.nawupf, ==, 0);
    g_assert_cmpuint(id.nacwu, ==, 127);
    g_assert_cmpuint(id.nlbaf, ==, 0);
    g_assert_cmpuint(id.flbas, ==, 0);
    g_assert_cmpuint(id.npwg, ==, 7);
    g_assert_cmpuint(id.npwa, ==, 7);
    g_assert_cmpuint(id.npdg, ==, 15);
    g_assert_cmpuint(id.npda, ==, 15);
    g_assert_cmpuint(id.nows, ==, 127);
    g_assert_cmphex(id.dlfeat, ==, NVME_NS_DLFEAT_WRITE_ZEROES);
    g_assert_cmphex(id.nsattr, ==, NVME_NS_NSATTR_WRITE_PROTECTED);
    g_assert_cmpmem(id.nguid, 16, "0123456789abcdef", 16);
    g_assert_cmpmem(id.eui64, 8, "EUI-64..", 8);
    g_assert_cmpuint(id.lbaf[0].ds, ==, 9);
    g_assert_cmpuint(id.lbaf[0].ms, ==, 0);
    g_assert_cmphex(identify(w, 0x11, 3, &again), ==, 0);
    g_assert_cmpmem(&id, sizeof(id), &again, sizeof(again));
    world_free(w);
}

/* Nothing is known of it but its size. */
static void test_ns_plain(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 1);
    struct nvme_id_ns id;

    wb->info.size = 16 * MiB;
    wb->info.block_size = wb->info.phys_block_size = 4096;
    wb->info.max_discard = wb->info.max_write_zeroes = 0;
    wb->info.discard_granularity = 0;
    wb_ready(wb);
    world_enable(w);
    g_assert_cmphex(identify(w, 0, 1, &id), ==, 0);
    g_assert_cmpuint(id.nsze, ==, 4096);
    g_assert_cmpuint(id.npwg | id.npwa | id.npdg | id.npda | id.nows, ==, 0);
    g_assert_cmphex(id.dlfeat, ==, 0);
    g_assert_cmphex(id.nsattr, ==, 0);
    g_assert_cmpuint(id.lbaf[0].ds, ==, 12);
    world_free(w);
}

/* An NVMe far side's own words, but for DULBE. */
static void test_ns_far(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 1);
    struct nvme_id_independent_id_ns any;
    struct nvme_id_ctrl ctrl;
    struct nvme_id_ns id;

    wb->info.nvme = (SnVolumeNvme){
        .passthrough = true, .oncs = NVME_CTRL_ONCS_WRITE_UNCORRECTABLE,
        .nsfeat = 0xff, .nmic = 1, .rescap = 0x81, .fpi = 0x80, .dlfeat = 9,
        .nawun = 1, .nawupf = 2, .nacwu = 3, .nabsn = 4, .nabo = 5,
        .nabspf = 6, .noiob = 7, .npwg = 8, .npwa = 9, .npdg = 10,
        .npda = 11, .nows = 12, .ncap = 2000, .nuse = 1000,
    };
    wb_ready(wb);
    world_enable(w);
    g_assert_cmphex(identify(w, 0, 1, &id), ==, 0);
    g_assert_cmpuint(id.nsze, ==, 2048);
    g_assert_cmpuint(id.ncap, ==, 2000);
    g_assert_cmpuint(id.nuse, ==, 1000);
    g_assert_cmphex(id.nsfeat, ==, 0x1b);
    g_assert_cmphex(id.nmic, ==, 1);
    g_assert_cmphex(id.rescap, ==, 0x81);
    g_assert_cmphex(id.fpi, ==, 0x80);
    g_assert_cmphex(id.dlfeat, ==, 9);
    g_assert_cmpuint(id.nawun, ==, 1);
    g_assert_cmpuint(id.nawupf, ==, 2);
    g_assert_cmpuint(id.nacwu, ==, 3);
    g_assert_cmpuint(id.nabsn, ==, 4);
    g_assert_cmpuint(id.nabo, ==, 5);
    g_assert_cmpuint(id.nabspf, ==, 6);
    g_assert_cmpuint(id.noiob, ==, 7);
    g_assert_cmpuint(id.npwg, ==, 8);
    g_assert_cmpuint(id.npwa, ==, 9);
    g_assert_cmpuint(id.npdg, ==, 10);
    g_assert_cmpuint(id.npda, ==, 11);
    g_assert_cmpuint(id.nows, ==, 12);
    g_assert_cmphex(identify(w, 8, 1, &any), ==, 0);
    g_assert_cmphex(any.nsfeat, ==, NVME_NS_FEAT_ID_REUSE);
    g_assert_cmphex(any.rescap, ==, 0x81);
    g_assert_cmpuint(any.nstat, ==, 1);         /* ready */
    g_assert_cmphex(identify(w, 1, 0, &ctrl), ==, 0);
    g_assert_cmphex(ctrl.oacs, ==, 1 << 8 | 1 << 9);
    g_assert_cmphex(ctrl.oncs & 0x22, ==, 0x22);
    wb_lost(wb, false);
    g_assert_cmphex(identify(w, 8, 1, &any), ==, 0);
    g_assert_cmpuint(any.nstat, ==, 1);         /* commands wait */
    world_advance_ms(w, 60000);
    wb_lost(wb, true);
    g_assert_cmphex(identify(w, 8, 1, &any), ==, 0);
    g_assert_cmpuint(any.nstat, ==, 0);
    world_free(w);
}

/* Those that are not there, or not valid. */
static void test_ns_others(void)
{
    static const uint8_t all[] = { 0, 3, 5, 8, 0x11, 0x12 };
    World *w = world_new();
    uint8_t data[4096];

    world_add_mem(w, 1);
    world_add_scripted(w, 2);                   /* was never there */
    world_enable_cc(w, 0);
    world_advance_ms(w, 6000);
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        uint8_t cns = all[i];

        g_assert_cmphex(identify(w, cns, 1, data), ==, 0);
        g_assert_cmphex(identify(w, cns, 0, data), ==, INVALID_NS);
        g_assert_cmphex(identify(w, cns, 257, data), ==, INVALID_NS);
        g_assert_cmphex(identify(w, cns, NSID_ALL, data), ==, INVALID_NS);
        for (unsigned nsid = 2; nsid <= 256; nsid += 127) {
            if (cns == 3) {
                g_assert_cmphex(identify(w, cns, nsid, data), ==, INVALID_NS);
            } else {
                g_assert_cmphex(identify(w, cns, nsid, data), ==, 0);
                g_assert_cmpmem(data, sizeof(data), zeroes, sizeof(data));
            }
        }
    }
    world_free(w);
}

/* ---- lists ---- */

static void test_ns_lists(void)
{
    static const uint8_t lists[] = { 0x02, 0x07, 0x10 };
    static const struct {
        uint32_t after, nsids[4];
    } cases[] = {
        { 0, { 1, 4, 256 } }, { 1, { 4, 256 } }, { 3, { 4, 256 } },
        { 4, { 256 } }, { 255, { 256 } }, { 256, { 0 } },
        { 0xfffffffd, { 0 } },
    };
    World *w = world_new();
    uint32_t list[1024];

    world_add_mem(w, 256);
    world_add_mem(w, 1);
    world_add_mem(w, 4);
    world_add_scripted(w, 5);                   /* is not active */
    world_enable_cc(w, 0);
    world_advance_ms(w, 6000);
    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            g_assert_cmphex(identify(w, lists[l], cases[i].after, list), ==,
                            0);
            g_assert_cmpmem(list, 16, cases[i].nsids, 16);
            g_assert_cmpmem(list + 4, 4080, zeroes, 4080);
        }
        g_assert_cmphex(identify(w, lists[l], 0xfffffffe, list), ==,
                        INVALID_NS);
        g_assert_cmphex(identify(w, lists[l], NSID_ALL, list), ==,
                        INVALID_NS);
    }
    world_free(w);
}

static void test_ctrl_lists(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .cntlid = 9 });
    uint16_t list[2048];

    world_add_mem(w, 1);
    world_enable(w);
    for (uint32_t cns = 0x12; cns <= 0x13; cns++) {
        for (uint32_t from = 8; from <= 10; from++) {
            g_assert_cmphex(identify_sqe(w, (SnNvmeSqe){
                .nsid = 1, .cdw10 = from << 16 | cns }, list), ==, 0);
            g_assert_cmpuint(list[0], ==, from <= 9);
            g_assert_cmpuint(list[1], ==, from <= 9 ? 9 : 0);
        }
    }
    g_assert_cmphex(identify(w, 4, 0, list), ==, 0);    /* NVM sets: none */
    g_assert_cmpmem(list, 4096, zeroes, 4096);
    world_free(w);
}

/* Section 5.15.2.4 */
static void test_descriptors(void)
{
    static const uint8_t expected[] =
        "\x03\x10\x00\x00" "fedcba9876543210"
        "\x02\x10\x00\x00" "0123456789abcdef"
        "\x01\x08\x00\x00" "EUI-64.."
        "\x04\x01\x00\x00" "\x00";
    World *w = world_new();
    WorldBackend *wb = world_add_scripted(w, 1);
    uint8_t data[4096];

    memcpy(wb->info.uuid, "fedcba9876543210", 16);
    memcpy(wb->info.nguid, "0123456789abcdef", 16);
    memcpy(wb->info.eui64, "EUI-64..", 8);
    wb_ready(wb);
    world_enable(w);
    g_assert_cmphex(identify(w, 3, 1, data), ==, 0);
    g_assert_cmpmem(data, sizeof(expected) - 1, expected,
                    sizeof(expected) - 1);
    g_assert_cmpmem(data + sizeof(expected) - 1, 4000, zeroes, 4000);
    world_free(w);
}

/* ---- what is refused ---- */

static void test_refused(void)
{
    static const uint8_t known[] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x11, 0x12, 0x13,
    };
    static const uint8_t with_csi[] = { 5, 6, 7 };
    World *w = world_new();
    uint8_t data[4096];

    world_add_mem(w, 1);
    world_enable(w);
    for (unsigned cns = 0; cns < 256; cns++) {
        g_assert_cmphex(identify(w, cns, 1, data), ==,
                        memchr(known, cns, sizeof(known)) ? 0
                                                          : INVALID_FIELD);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(with_csi); i++) {
        for (uint32_t csi = 1; csi < 256; csi += 127) {
            g_assert_cmphex(identify_sqe(w, (SnNvmeSqe){
                .nsid = 1, .cdw10 = with_csi[i], .cdw11 = csi << 24 }, data),
                ==, INVALID_FIELD);
        }
    }
    world_free(w);
}

/* In two pages, and where no data can be put. */
static void test_memory(void)
{
    World *w = world_new();
    struct nvme_id_ctrl whole;
    SnNvmeSqe sqe = { .opcode = nvme_admin_identify, .cdw10 = 1 };
    uint64_t a, b;

    world_enable(w);
    a = world_page(w);
    b = world_page(w);
    g_assert_cmphex(identify(w, 1, 0, &whole), ==, 0);
    sqe.prp1 = a + 1024;
    sqe.prp2 = b;
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    g_assert_cmpmem(world_at(w, a + 1024), 3072, &whole, 3072);
    g_assert_cmpmem(world_at(w, b), 1024, (char *)&whole + 3072, 1024);
    sqe.prp2 = b + 4;
    g_assert_cmphex(world_admin_status(w, &sqe), ==,
                    GENERIC(NVME_SC_PRP_INVALID_OFFSET));
    sqe.prp1 = WORLD_HOLE;
    g_assert_cmphex(world_admin_status(w, &sqe) & ~DNR, ==,
                    NVME_SC_DATA_XFER_ERROR);
    sqe.prp1 = WORLD_ROM;
    g_assert_cmphex(world_admin_status(w, &sqe) & ~DNR, ==,
                    NVME_SC_DATA_XFER_ERROR);
    world_expect_unmapped(w);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-identify/ctrl", test_ctrl);
    g_test_add_func("/ctrl-identify/write-cache", test_write_cache);
    g_test_add_func("/ctrl-identify/write-cache-later",
                    test_write_cache_later);
    g_test_add_func("/ctrl-identify/write-zeroes-limit",
                    test_write_zeroes_limit);
    g_test_add_func("/ctrl-identify/nvm-ctrl", test_nvm_ctrl);
    g_test_add_func("/ctrl-identify/ns", test_ns);
    g_test_add_func("/ctrl-identify/ns-plain", test_ns_plain);
    g_test_add_func("/ctrl-identify/ns-far", test_ns_far);
    g_test_add_func("/ctrl-identify/ns-others", test_ns_others);
    g_test_add_func("/ctrl-identify/ns-lists", test_ns_lists);
    g_test_add_func("/ctrl-identify/ctrl-lists", test_ctrl_lists);
    g_test_add_func("/ctrl-identify/descriptors", test_descriptors);
    g_test_add_func("/ctrl-identify/refused", test_refused);
    g_test_add_func("/ctrl-identify/memory", test_memory);
    return g_test_run();
}
