/*
 * Where a command's data is: PRPs, their lists, and SGLs (NVMe Base 1.4
 * sections 4.3 and 4.4), good ones and those of a hostile guest.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-world.h"

#define KiB 1024u
#define OFFSET (SN_CTRL_GENERIC_DNR(NVME_SC_PRP_INVALID_OFFSET))
#define TRANSFER (SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR))
#define TYPE (SN_CTRL_GENERIC_DNR(NVME_SC_SGL_INVALID_TYPE))
#define SEGMENT (SN_CTRL_GENERIC_DNR(NVME_SC_SGL_INVALID_LAST))
#define COUNT (SN_CTRL_GENERIC_DNR(NVME_SC_SGL_INVALID_COUNT))
#define LENGTH (SN_CTRL_GENERIC_DNR(NVME_SC_SGL_INVALID_DATA))

/* Nobody may write here: what surrounds the data of a test. */
#define GUARD 0xa5

static World *open_world(unsigned mps)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_enable_cc(w, mps << NVME_CC_MPS_SHIFT);
    world_create_queues(w, 1, 16);
    return w;
}

static void fill(void *data, size_t len, unsigned seed)
{
    uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++) {
        bytes[i] = seed + i + (i >> 8) * 7;
    }
}

/* What the volume has is not the guest's memory: by way of another page. */
static void fill_volume(World *w, size_t len, unsigned seed)
{
    uint64_t at = world_alloc(w, len, 64 * KiB);
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, 1, 0, len / WORLD_BLOCK, 0, 0);

    sqe.flags = SN_NVME_PSDT_SGL;
    sqe.sgl_addr = GUINT64_TO_LE(at);
    sqe.sgl_len = GUINT32_TO_LE(len);
    fill(world_at(w, at), len, seed);
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
}

/* ---- PRPs ---- */

static void put64(World *w, uint64_t at, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(world_at(w, at), &value, sizeof(value));
}

/*
 * PRPs for @len bytes at @addr, contiguous, with a list of one piece that
 * begins at @list.
 */
static void set_prps(World *w, SnNvmeSqe *sqe, uint64_t addr, size_t len,
                     uint64_t list, size_t page)
{
    uint64_t next = (addr & ~(page - 1)) + page;

    sqe->prp1 = GUINT64_TO_LE(addr);
    if (addr + len <= next) {
        return;
    }
    if (addr + len <= next + page) {
        sqe->prp2 = GUINT64_TO_LE(next);
        return;
    }
    sqe->prp2 = GUINT64_TO_LE(list);
    for (; next < addr + len; next += page, list += 8) {
        put64(w, list, next);
    }
}

/* Writes from @addr, reads to there, and looks at what is around it. */
static void check_transfer(World *w, uint64_t addr, size_t len, uint64_t list,
                           size_t page)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, 1, 3, len / WORLD_BLOCK, 0, 0);
    uint8_t *at = world_at(w, addr);
    g_autofree uint8_t *data = g_malloc(len);

    set_prps(w, &sqe, addr, len, list, page);
    fill(data, len, addr / 4 + len);
    memcpy(at, data, len);
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    memset(at - 8, GUARD, len + 16);
    sqe.opcode = nvme_cmd_read;
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    g_assert_true(!memcmp(at, data, len));
    for (int i = 1; i <= 8; i++) {
        g_assert_cmphex(at[-i], ==, GUARD);
        g_assert_cmphex(at[len + i - 1], ==, GUARD);
    }
    world_expect_unmapped(w);
}

static void check_transfers(unsigned mps)
{
    static const unsigned offsets[] = { 0, 4, 512, 2048, 4092 };
    static const unsigned blocks[] = { 1, 7, 8, 9, 15, 16, 17, 128, 2048 };
    World *w = open_world(mps);
    size_t page = 4096u << mps;
    uint64_t buffer = world_alloc(w, 1024 * KiB + 2 * page + 4096, 64 * KiB);
    uint64_t list = world_alloc(w, 64 * KiB, 64 * KiB);

    for (unsigned o = 0; o < G_N_ELEMENTS(offsets); o++) {
        for (unsigned b = 0; b < G_N_ELEMENTS(blocks); b++) {
            check_transfer(w, buffer + page + offsets[o],
                           blocks[b] * WORLD_BLOCK, list, page);
        }
    }
    check_transfer(w, buffer + 2 * page - 4, 3 * page, list, page);
    world_free(w);
}

static void test_prp(void)
{
    check_transfers(0);
}

static void test_prp_page_sizes(void)
{
    check_transfers(1);
    check_transfers(4);
}

/* Wherever a list begins in its page, its last entry there leads on. */
static void test_prp_chained(void)
{
    enum { PAGES = 256, LEN = PAGES * WORLD_PAGE };
    /* 255 entries: whether one is an entry or leads on shows around that. */
    static const unsigned rooms[] = {
        1, 2, 3, 4, 100, 253, 254, 255, 256, 257, 512,
    };
    World *w = open_world(0);
    uint64_t buffer = world_alloc(w, LEN, WORLD_PAGE);
    uint64_t lists = world_alloc(w, 64 * WORLD_PAGE, WORLD_PAGE);
    g_autofree uint8_t *data = g_malloc(LEN);

    fill(data, LEN, 1);
    fill_volume(w, LEN, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(rooms); i++) {
        unsigned room = rooms[i];
        SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, 0, LEN / WORLD_BLOCK, 0, 0);
        uint64_t at = lists + WORLD_PAGE - 8 * room;

        memset(world_at(w, buffer), 0, LEN);
        sqe.prp1 = GUINT64_TO_LE(buffer + LEN - WORLD_PAGE);
        sqe.prp2 = GUINT64_TO_LE(at);
        /* The pages backwards, and every other page has a list. */
        for (unsigned page = 1; page < PAGES; page++, at += 8) {
            if (at % WORLD_PAGE == WORLD_PAGE - 8 && page < PAGES - 1) {
                put64(w, at, at + 8 + WORLD_PAGE);
                at += 8 + WORLD_PAGE;
            }
            put64(w, at, buffer + LEN - (page + 1) * WORLD_PAGE);
        }
        g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
        for (unsigned page = 0; page < PAGES; page++) {
            g_assert_true(!memcmp(world_at(w, buffer + LEN -
                                           (page + 1) * WORLD_PAGE),
                                  data + page * WORLD_PAGE, WORLD_PAGE));
        }
        world_expect_unmapped(w);
    }
    world_free(w);
}

/* Addresses below this are relative to the buffer or the list. */
#define RELATIVE 0x100000u

static void test_prp_errors(void)
{
    static const struct {
        const char *name;
        uint64_t prp1, prp2;
        uint64_t entry[2];
        unsigned blocks, status;
        bool to_volume;
    } cases[] = {
        { "PRP1 + 1", 1, 0, { 0 }, 1, OFFSET },
        { "PRP1 + 2", 2, 0, { 0 }, 1, OFFSET },
        { "PRP1 in the hole", WORLD_HOLE, 0, { 0 }, 1, TRANSFER },
        { "PRP1 before the hole", WORLD_HOLE - 512, 0, { 0 }, 2, 0 },
        { "read to ROM", WORLD_ROM, 0, { 0 }, 1, TRANSFER },
        { "write from ROM", WORLD_ROM, 0, { 0 }, 1, 0, true },
        { "beyond RAM", WORLD_RAM, 0, { 0 }, 1, TRANSFER },
        { "at the end", UINT64_MAX - 511, 0, { 0 }, 1, TRANSFER },
        { "last dword", UINT64_MAX - 3, 0, { 0 }, 1, TRANSFER },
        { "PRP2 with an offset", 0x800, 0x1200, { 0 }, 8, OFFSET },
        { "PRP2 + 4", 0x800, 0x1004, { 0 }, 8, OFFSET },
        { "PRP2 in the hole", 0x800, WORLD_HOLE, { 0 }, 8, TRANSFER },
        { "PRP2 is not used", 0, 0x1203, { 0 }, 8, 0 },
        { "PRP2 in the hole is not used", 0, WORLD_HOLE, { 0 }, 8, 0 },
        { "list + 1", 0, 1, { 0 }, 24, OFFSET },
        { "list + 4", 0, 4, { 0 }, 24, OFFSET },
        { "list in the hole", 0, WORLD_HOLE, { 0 }, 24, TRANSFER },
        { "list at the end", 0, UINT64_MAX - 7, { 0 }, 24, TRANSFER },
        { "entry with an offset", 0, 0, { 0x1000, 0x2200 }, 24, OFFSET },
        { "entry + 1", 0, 0, { 0x1001, 0x2000 }, 24, OFFSET },
        { "entry in the hole", 0, 0, { 0x1000, WORLD_HOLE }, 24, TRANSFER },
        { "entry in ROM", 0, 0, { 0x1000, WORLD_ROM }, 24, TRANSFER },
        { "next list in the hole", 0, 0xff8, { WORLD_HOLE }, 24, TRANSFER },
        { "next list with an offset", 0, 0xff8, { 0x1008 }, 24, OFFSET },
        { "good", 0x800, 0, { 0x1000, 0x2000 }, 20, 0 },
    };
    World *w = open_world(0);
    uint64_t buffer = world_alloc(w, 64 * KiB, WORLD_PAGE);
    uint64_t list = world_alloc(w, 8 * KiB, WORLD_PAGE);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool has_list = cases[i].blocks > 16;
        uint64_t prp1 = cases[i].prp1, prp2 = cases[i].prp2;
        SnNvmeSqe sqe;

        prp1 += prp1 < RELATIVE ? buffer : 0;
        prp2 += prp2 < RELATIVE ? (has_list ? list : buffer) : 0;
        for (unsigned e = 0; e < 2; e++) {
            uint64_t entry = cases[i].entry[e];

            put64(w, list + (cases[i].prp2 & 0xff8) + 8 * e,
                  entry + (entry < RELATIVE ? buffer : 0));
        }
        sqe = world_rw(cases[i].to_volume ? nvme_cmd_write : nvme_cmd_read, 1,
                       0, cases[i].blocks, prp1, prp2);
        g_test_message("%s", cases[i].name);
        g_assert_cmphex(world_io_status(w, 1, &sqe), ==, cases[i].status);
        world_expect_unmapped(w);
    }
    world_free(w);
}

/* A list whose every entry is its own page: as much as the data asks for. */
static void test_prp_loop(void)
{
    World *w = open_world(0);
    uint64_t list = world_page(w);
    unsigned maps = w->maps;
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, 1, 0, 2048, list, list + 0xff8);

    for (unsigned i = 0; i < 512; i++) {
        put64(w, list + 8 * i, list);
    }
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    g_assert_cmpuint(w->maps - maps, <=, 256 + 2);
    world_expect_unmapped(w);
    /* A read overwrites the list that it is being found with. */
    sqe.opcode = nvme_cmd_read;
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    world_expect_unmapped(w);
    world_free(w);
}

/* A read of a page: the ring, the data, the completion. */
static void test_few_maps(void)
{
    World *w = open_world(0);
    SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, 0, 8, world_page(w), 0);
    unsigned maps = w->maps;

    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    g_assert_cmpuint(w->maps - maps, <=, 3);
    world_free(w);
}

/* ---- what admin commands use ---- */

/* Identify in the middle of a page and the beginning of another one. */
static void test_admin(void)
{
    World *w = open_world(0);
    uint64_t first = world_page(w), second = world_page(w);
    uint64_t whole = world_page(w);
    SnNvmeSqe sqe = { .opcode = nvme_admin_identify, .cdw10 = 1,
                      .prp1 = GUINT64_TO_LE(whole) };

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    sqe.prp1 = GUINT64_TO_LE(second + 1024);
    sqe.prp2 = GUINT64_TO_LE(first);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    g_assert_true(!memcmp(world_at(w, second + 1024), world_at(w, whole),
                          3072));
    g_assert_true(!memcmp(world_at(w, first), world_at(w, whole + 3072),
                          1024));
    sqe.prp2 = GUINT64_TO_LE(WORLD_ROM);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, TRANSFER);
    sqe.prp2 = GUINT64_TO_LE(first + 8);
    g_assert_cmphex(world_admin_status(w, &sqe), ==, OFFSET);
    world_expect_unmapped(w);
    world_free(w);
}

/* ---- SGLs ---- */

enum {
    DATA = 0x00, BUCKET = 0x10, SEG = 0x20, LAST = 0x30, KEYED = 0x40,
    TRANSPORT = 0x5a, VENDOR = 0xf0,
};

typedef struct Sgl {
    uint64_t addr;              /* + buffer or list below RELATIVE */
    uint32_t len;
    uint8_t type;
} Sgl;

typedef struct SglWorld {
    World *w;
    uint64_t buffer, list;
} SglWorld;

static SglWorld open_sgl_world(void)
{
    World *w = open_world(0);

    return (SglWorld){ w, world_alloc(w, 64 * KiB, WORLD_PAGE),
                       world_alloc(w, 64 * KiB, WORLD_PAGE) };
}

static uint64_t sgl_addr(const SglWorld *s, const Sgl *sgl)
{
    bool is_segment = sgl->type >> 4 == 2 || sgl->type >> 4 == 3;

    return sgl->addr >= RELATIVE ? sgl->addr
           : sgl->addr + (is_segment ? s->list : s->buffer);
}

static void put_sgl(const SglWorld *s, unsigned at, Sgl sgl)
{
    put64(s->w, s->list + at, sgl_addr(s, &sgl));
    put64(s->w, s->list + at + 8, sgl.len | (uint64_t)sgl.type << 56);
}

static SnNvmeSqe sgl_rw(const SglWorld *s, uint8_t opcode, unsigned blocks,
                        Sgl sgl)
{
    SnNvmeSqe sqe = world_rw(opcode, 1, 0, blocks, sgl_addr(s, &sgl), 0);

    sqe.flags = SN_NVME_PSDT_SGL;
    sqe.sgl_len = GUINT32_TO_LE(sgl.len);
    sqe.sgl_type = sgl.type;
    return sqe;
}

/* One block at an odd address; across the seam it is in two pieces. */
static void test_sgl_block(void)
{
    SglWorld s = open_sgl_world();
    const uint64_t addrs[] = { 1, WORLD_SEAM - 777 };

    for (unsigned i = 0; i < G_N_ELEMENTS(addrs); i++) {
        Sgl sgl = { addrs[i], 3 * WORLD_BLOCK, DATA };
        SnNvmeSqe sqe = sgl_rw(&s, nvme_cmd_write, 3, sgl);
        uint8_t *at = world_at(s.w, sgl_addr(&s, &sgl));
        uint8_t data[3 * WORLD_BLOCK];

        fill(data, sizeof(data), 3 + i);
        memcpy(at, data, sizeof(data));
        g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
        memset(at, 0, sizeof(data));
        sqe.opcode = nvme_cmd_read;
        g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
        g_assert_cmpmem(at, sizeof(data), data, sizeof(data));
        world_expect_unmapped(s.w);
    }
    world_free(s.w);
}

/* Segments of one to all of the descriptors, of which some are empty. */
static void test_sgl_segments(void)
{
    static const Sgl blocks[] = {
        { 3, 1001, DATA }, { 5000, 47, DATA }, { 0, 0, DATA },
        { 16384, 8000, DATA }, { WORLD_HOLE, 0, DATA }, { 9001, 3240, DATA },
    };
    enum { LEN = 1001 + 47 + 8000 + 3240, N = G_N_ELEMENTS(blocks) };
    SglWorld s = open_sgl_world();
    uint8_t data[LEN];

    fill(data, LEN, 5);
    fill_volume(s.w, LEN, 5);
    for (unsigned each = 1; each <= N; each++) {
        bool one = each == N;
        SnNvmeSqe sqe = sgl_rw(&s, nvme_cmd_read, LEN / WORLD_BLOCK,
                               (Sgl){ 0, (each + !one) * 16,
                                      one ? LAST : SEG });
        unsigned at = 0, done = 0;

        memset(world_at(s.w, s.buffer), GUARD, 64 * KiB);
        for (unsigned i = 0; i < N; i++, at += 16) {
            if (i && i % each == 0) {
                unsigned left = MIN(N - i, each);
                bool last = i + left == N;
                unsigned next = 4096 + at / 16 * 32;

                put_sgl(&s, at, (Sgl){ next, (left + !last) * 16,
                                       last ? LAST : SEG });
                at = next;
            }
            put_sgl(&s, at, blocks[i]);
        }
        g_test_message("%u in a segment", each);
        g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
        for (unsigned i = 0; i < N; done += blocks[i++].len) {
            const uint8_t *block = world_at(s.w, sgl_addr(&s, &blocks[i]));

            g_assert_true(!memcmp(block, data + done, blocks[i].len));
        }
        world_expect_unmapped(s.w);
    }
    world_free(s.w);
}

/* What is read there goes nowhere, and a write has nothing there. */
static void test_bit_bucket(void)
{
    SglWorld s = open_sgl_world();
    uint8_t data[16 * KiB];
    SnNvmeSqe sqe;

    fill(data, sizeof(data), 7);
    fill_volume(s.w, sizeof(data), 7);
    memset(world_at(s.w, s.buffer), GUARD, 64 * KiB);
    put_sgl(&s, 0, (Sgl){ WORLD_HOLE, 9999, BUCKET });
    put_sgl(&s, 16, (Sgl){ 0, 2000, DATA });
    put_sgl(&s, 32, (Sgl){ 0, sizeof(data) - 11999, BUCKET });
    sqe = sgl_rw(&s, nvme_cmd_read, 32, (Sgl){ 0, 48, LAST });
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    g_assert_true(!memcmp(world_at(s.w, s.buffer), data + 9999, 2000));
    g_assert_cmphex(*(uint8_t *)world_at(s.w, s.buffer + 2000), ==, GUARD);
    /* All of it */
    sqe = sgl_rw(&s, nvme_cmd_read, 2048, (Sgl){ 0, 1024 * KiB, BUCKET });
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    world_expect_unmapped(s.w);

    put_sgl(&s, 32, (Sgl){ 4096, 14384, DATA });
    memcpy(world_at(s.w, s.buffer), data + 1, 2000);
    memcpy(world_at(s.w, s.buffer + 4096), data + 2001, 14383);
    sqe = sgl_rw(&s, nvme_cmd_write, 32, (Sgl){ 0, 48, LAST });
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    memset(world_at(s.w, s.buffer), GUARD, sizeof(data));
    sqe = sgl_rw(&s, nvme_cmd_read, 32, (Sgl){ 0, sizeof(data), DATA });
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    g_assert_true(!memcmp(world_at(s.w, s.buffer), data + 1,
                          sizeof(data) - 1));
    world_free(s.w);
}

static void test_sgl_errors(void)
{
    static const struct {
        const char *name;
        Sgl sgl, list[3];       /* for a page */
        unsigned status;
    } cases[] = {
        { "short", { 0, 4095, DATA }, { { 0 } }, LENGTH },
        { "empty", { 0, 0, DATA }, { { 0 } }, LENGTH },
        { "long", { 0, 4097, DATA }, { { 0 } }, LENGTH },
        { "bucket is long", { 0, 4097, BUCKET }, { { 0 } }, LENGTH },
        { "in the hole", { WORLD_HOLE, 4096, DATA }, { { 0 } }, TRANSFER },
        { "into the hole", { WORLD_HOLE - 1, 4096, DATA }, { { 0 } },
          TRANSFER },
        { "in ROM", { WORLD_ROM, 4096, DATA }, { { 0 } }, TRANSFER },
        { "around the end", { UINT64_MAX - 1, 4096, DATA }, { { 0 } },
          TRANSFER },
        { "keyed", { 0, 4096, KEYED }, { { 0 } }, TYPE },
        { "transport", { 0, 4096, TRANSPORT }, { { 0 } }, TYPE },
        { "reserved type", { 0, 4096, 0x60 }, { { 0 } }, TYPE },
        { "vendor's type", { 0, 4096, VENDOR }, { { 0 } }, TYPE },
        { "offset", { 0, 4096, DATA | 1 }, { { 0 } }, TYPE },
        { "segment at an offset", { 0, 16, LAST | 1 },
          { { 0, 4096, DATA } }, TYPE },
        { "empty segment", { 0, 0, SEG }, { { 0 } }, SEGMENT },
        { "empty last segment", { 0, 0, LAST }, { { 0 } }, SEGMENT },
        { "half a descriptor", { 0, 24, LAST }, { { 0, 4096, DATA } },
          SEGMENT },
        { "segment + 4", { 4, 16, LAST }, { { 0 } }, SEGMENT },
        { "segment in the hole", { WORLD_HOLE, 16, LAST }, { { 0 } },
          TRANSFER },
        { "segment into the hole", { WORLD_HOLE - 16, 512, LAST }, { { 0 } },
          TRANSFER },
        { "no next segment", { 0, 16, SEG }, { { 0, 4096, DATA } }, SEGMENT },
        { "next after the last", { 0, 32, LAST },
          { { 0, 512, DATA }, { 4096, 16, LAST } }, SEGMENT },
        { "next in the middle", { 0, 48, SEG },
          { { 0, 512, DATA }, { 4096, 16, SEG }, { 0, 3584, DATA } },
          COUNT },
        { "last in the middle", { 0, 48, LAST },
          { { 0, 512, DATA }, { 4096, 16, LAST }, { 0, 3584, DATA } },
          COUNT },
        { "second in the hole", { 0, 32, LAST },
          { { 0, 2048, DATA }, { WORLD_HOLE, 2048, DATA } }, TRANSFER },
        { "two are short", { 0, 32, LAST },
          { { 0, 2048, DATA }, { 4096, 2047, DATA } }, LENGTH },
        { "two are long", { 0, 32, LAST },
          { { 0, 2048, DATA }, { 4096, 2049, DATA } }, LENGTH },
        { "a third too many", { 0, 48, LAST },
          { { 0, 2048, DATA }, { 4096, 2048, DATA }, { 0, 1, DATA } },
          LENGTH },
        { "bad type in a list", { 0, 32, LAST },
          { { 0, 2048, DATA }, { 4096, 2048, KEYED } }, TYPE },
        { "loop", { 0, 16, SEG }, { { 0, 16, SEG } }, COUNT },
        { "loop of empty ones", { 0, 48, SEG },
          { { 0, 0, DATA }, { 0, 0, BUCKET }, { 0, 48, SEG } }, COUNT },
        { "good", { 0, 32, LAST },
          { { 0, 2048, DATA }, { 4096, 2048, DATA } }, 0 },
    };
    SglWorld s = open_sgl_world();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe sqe = sgl_rw(&s, nvme_cmd_read, 8, cases[i].sgl);

        for (unsigned d = 0; d < 3; d++) {
            put_sgl(&s, 16 * d, cases[i].list[d]);
        }
        g_test_message("%s", cases[i].name);
        g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, cases[i].status);
        world_expect_unmapped(s.w);
    }
    world_free(s.w);
}

/* A million empty descriptors are not looked at one by one. */
static void test_sgl_too_many(void)
{
    SglWorld s = open_sgl_world();
    SnNvmeSqe sqe = sgl_rw(&s, nvme_cmd_read, 1,
                           (Sgl){ 0x500000, 8 << 20, LAST });

    memset(world_at(s.w, 0x800000), 0, 8 << 20);
    sqe.sgl_addr = GUINT64_TO_LE(0x800000);
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, COUNT);
    sqe.opcode = nvme_cmd_write;
    for (unsigned i = 0; i < 4096; i++) {       /* nor skipped ones */
        put64(s.w, 0x800000 + 16 * i + 8, (uint64_t)BUCKET << 56 | 1);
    }
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, COUNT);
    /* As many as there may be */
    for (unsigned i = 0; i < 1024; i++) {
        put_sgl(&s, 16 * i, (Sgl){ 16 * i, 512, DATA });
    }
    sqe = sgl_rw(&s, nvme_cmd_read, 1024, (Sgl){ 0, 1024 * 16, LAST });
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    world_expect_unmapped(s.w);
    world_free(s.w);
}

/* 11b is reserved; the metadata pointer of 10b and MPTR are not looked at. */
static void test_psdt(void)
{
    SglWorld s = open_sgl_world();
    SnNvmeSqe sqe = sgl_rw(&s, nvme_cmd_read, 8, (Sgl){ 0, 4096, DATA });

    sqe.flags = SN_NVME_PSDT_SGL_MPTR;
    sqe.mptr = GUINT64_TO_LE(WORLD_HOLE + 1);
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, 0);
    sqe.flags = SN_NVME_PSDT_MASK;
    g_assert_cmphex(world_io_status(s.w, 1, &sqe), ==, SN_CTRL_INVALID_FIELD);
    world_expect_unmapped(s.w);
    world_free(s.w);
}

/* Reuse of a request with room for many pieces by one with few, and back. */
static void test_reuse(void)
{
    World *w = open_world(0);
    uint64_t buffer = world_alloc(w, 1024 * KiB + 4096, WORLD_PAGE);
    uint64_t list = world_page(w);

    for (unsigned i = 0; i < 20; i++) {
        check_transfer(w, buffer + 8, 1024 * KiB - WORLD_BLOCK, list,
                       WORLD_PAGE);
        check_transfer(w, buffer + 8, WORLD_BLOCK, list, WORLD_PAGE);
    }
    world_free(w);
}

/* @pieces pages, none of which follows another. */
static void read_scattered(World *w, unsigned pieces)
{
    SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, 0, pieces * 8, 0, 0);
    uint64_t list = world_alloc(w, 2 * WORLD_PAGE, WORLD_PAGE);
    uint64_t pages = world_alloc(w, 2 * pieces * WORLD_PAGE, WORLD_PAGE);

    sqe.prp1 = GUINT64_TO_LE(pages);
    sqe.prp2 = GUINT64_TO_LE(list);
    for (unsigned i = 1; i < pieces; i++) {
        put64(w, list + 8 * (i - 1), pages + 2 * i * WORLD_PAGE);
    }
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    w->next_free = list;
}

/*
 * A guest cannot make every request of every queue keep a long list: that goes
 * with the command, and the request that was used last is used again.
 */
static void test_long_lists(void)
{
    World *w = open_world(0);
    const SnCtrlReqList *free_ones;
    const SnCtrlReq *req;

    read_scattered(w, 33);              /* 128 KiB, not aligned, at most */
    free_ones = &w->ctrl->sqs[1]->free;
    req = free_ones->head;
    g_assert_cmpuint(req->data.room, ==, 64);
    read_scattered(w, 256);
    g_assert_true(free_ones->head == req);
    g_assert_cmpuint(req->data.room, ==, SN_CTRL_DATA_INLINE);
    g_assert_true(req->data.iov == req->data.inline_iov);
    for (req = req->next; req; req = req->next) {
        g_assert_cmpuint(req->data.room, ==, SN_CTRL_DATA_INLINE);
    }
    read_scattered(w, 65);
    read_scattered(w, 64);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/data/prp", test_prp);
    g_test_add_func("/data/prp-page-sizes", test_prp_page_sizes);
    g_test_add_func("/data/prp-chained", test_prp_chained);
    g_test_add_func("/data/prp-errors", test_prp_errors);
    g_test_add_func("/data/prp-loop", test_prp_loop);
    g_test_add_func("/data/few-maps", test_few_maps);
    g_test_add_func("/data/admin", test_admin);
    g_test_add_func("/data/sgl-block", test_sgl_block);
    g_test_add_func("/data/sgl-segments", test_sgl_segments);
    g_test_add_func("/data/bit-bucket", test_bit_bucket);
    g_test_add_func("/data/sgl-errors", test_sgl_errors);
    g_test_add_func("/data/sgl-too-many", test_sgl_too_many);
    g_test_add_func("/data/psdt", test_psdt);
    g_test_add_func("/data/reuse", test_reuse);
    g_test_add_func("/data/long-lists", test_long_lists);
    return g_test_run();
}
