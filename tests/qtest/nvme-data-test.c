/*
 * Where the NVMe function's I/O commands find their data (NVMe Base 1.4
 * sections 4.3 and 4.4): PRPs and their lists, SGLs, and bad ones of each.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define NOWHERE 0x7fff00000000ULL
#define ROM     0xfffff000ULL

/* Any status but success */
#define ST_ERROR 0xffff

/* SGL descriptor types, with subtype "address": figure 111 */
enum {
    SGL_DATA = 0x00, SGL_BIT_BUCKET = 0x10, SGL_SEGMENT = 0x20,
    SGL_LAST_SEGMENT = 0x30, SGL_KEYED = 0x40, SGL_TRANSPORT = 0x5a,
};

static void open_ctrl(Nvme *n, Machine *m, uint32_t cc)
{
    nvme_start(n, m, CARD_NVME(""));
    nvme_enable_with(n, cc);
    nvme_create_queues(n, 1, 64);
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < len; i++) {
        data[i] = g_rand_int(rand);
    }
}

static void check_status(const char *name, unsigned got, unsigned expected)
{
    g_test_message("%s: status 0x%x", name, got);
    if (expected == ST_ERROR ? !got : got != expected) {
        g_error("%s: status 0x%x, not 0x%x", name, got, expected);
    }
}

/* ---- PRPs ---- */

/*
 * Writes from and reads to memory that begins in the middle of a page, and
 * nothing around it is touched.
 */
static void check_transfer(Nvme *n, unsigned offset, unsigned blocks)
{
    static uint8_t data[NVME_MDTS], back[NVME_MDTS + 8];
    QTestState *qts = n->m->qts;
    uint64_t at = n->buffer + offset;
    size_t len = blocks * NVME_BLOCK;
    SnNvmeSqe cmd = nvme_rw_cmd(n, OP_WRITE, 1, blocks, blocks);

    fill(data, len, offset + blocks);
    nvme_set_prps(n, &cmd, at, len);
    qtest_memwrite(qts, at, data, len);
    nvme_assert_status(nvme_command(n, 1, cmd), ST_OK);
    qtest_memset(qts, at - 4, 0xee, len + 8);
    cmd.opcode = OP_READ;
    nvme_assert_status(nvme_command(n, 1, cmd), ST_OK);
    qtest_memread(qts, at - 4, back, len + 8);
    g_assert_cmpmem(back + 4, len, data, len);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(back[i], ==, 0xee);
        g_assert_cmphex(back[len + 4 + i], ==, 0xee);
    }
}

static void check_transfers(Nvme *n)
{
    static const unsigned offsets[] = { 4, 512, 1020, 2048, 4092 };
    static const unsigned counts[] = { 1, 7, 8, 9, 15, 16, 17, 127, 2047 };

    for (unsigned o = 0; o < G_N_ELEMENTS(offsets); o++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(counts); c++) {
            check_transfer(n, offsets[o], counts[c]);
        }
    }
    check_transfer(n, 4096, 2048);      /* MDTS, from a page on */
}

static void test_prp(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    check_transfers(&n);
    nvme_stop(&n);
}

static void test_prp_large_pages(void)
{
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, CC_MPS(4));
    check_transfers(&n);
    check_transfer(&n, 65536, 2048);
    check_transfer(&n, 65532, 129);
    nvme_stop(&n);
}

/* A list that begins at every end of a page: its last entry leads on. */
static void test_prp_chained(void)
{
    static uint8_t data[32 * 4096], back[sizeof(data)];
    QTestState *qts;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    qts = m.qts;
    fill(data, sizeof(data), 1);
    nvme_assert_status(nvme_write(&n, 1, 0, data, sizeof(data)), ST_OK);
    for (unsigned first = 1; first < 40; first++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&n, OP_READ, 1, 0,
                                    sizeof(data) / NVME_BLOCK);
        uint64_t at = n.list + 4096 - 8 * first;

        /* Pages in reverse order, and no two lists in one page */
        cmd.prp1 = n.buffer + 31 * 4096;
        cmd.prp2 = at;
        for (unsigned page = 1; page < 32; page++) {
            if ((at & 4095) == 4088 && page < 31) {
                uint64_t next = (at & ~4095ULL) + 2 * 4096;

                qtest_writeq(qts, at, next);
                at = next;
            }
            qtest_writeq(qts, at, n.buffer + (31 - page) * 4096);
            at += 8;
        }
        qtest_memset(qts, n.buffer, 0, sizeof(data));
        nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
        for (unsigned page = 0; page < 32; page++) {
            qtest_memread(qts, n.buffer + (31 - page) * 4096,
                          back + page * 4096, 4096);
        }
        g_assert_cmpmem(back, sizeof(back), data, sizeof(data));
    }
    nvme_stop(&n);
}

static void test_prp_errors(void)
{
    static const struct {
        const char *name;
        uint64_t prp1, prp2;    /* + n.buffer, + n.list below 2^20 */
        uint64_t entry[2];      /* of the list */
        unsigned blocks, expected;
    } cases[] = {
        { "PRP1 odd", 1, 0, { }, 1, ST_PRP_OFFSET },
        { "PRP1 + 2", 2, 0, { }, 1, ST_PRP_OFFSET },
        { "PRP1 nowhere", NOWHERE, 0, { }, 1, ST_DATA_TRANSFER },
        { "PRP1 at the end", 0xfffffffffffff000, 0, { }, 1,
          ST_DATA_TRANSFER },
        { "PRP1 in ROM", ROM, 0, { }, 1, ST_DATA_TRANSFER },
        { "PRP2 with an offset", 4, 4, { }, 8, ST_PRP_OFFSET },
        { "PRP2 nowhere", 4, NOWHERE, { }, 8, ST_DATA_TRANSFER },
        { "PRP2 not used", 0, NOWHERE, { }, 8, ST_OK },
        { "list + 4", 0, 4, { }, 24, ST_PRP_OFFSET },
        { "list nowhere", 0, NOWHERE, { }, 24, ST_DATA_TRANSFER },
        { "entry with an offset", 0, 0, { 4096, 8192 + 8 }, 24,
          ST_PRP_OFFSET },
        { "entry nowhere", 0, 0, { 4096, NOWHERE }, 24, ST_DATA_TRANSFER },
        { "entry in ROM", 0, 0, { 4096, ROM }, 24, ST_DATA_TRANSFER },
        { "list leads nowhere", 0, 4088, { NOWHERE }, 24, ST_DATA_TRANSFER },
        { "list leads to itself", 0, 4088, { 4096 }, 24, ST_ERROR },
        { "good", 0, 0, { 4096, 8192 }, 24, ST_OK },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&n, OP_READ, 1, 0, cases[i].blocks);
        bool two = cases[i].blocks <= 8;

        cmd.prp1 = cases[i].prp1 + (cases[i].prp1 < 1 << 20 ? n.buffer : 0);
        cmd.prp2 = cases[i].prp2 + (cases[i].prp2 >= 1 << 20 ? 0
                                    : two ? n.buffer + 4096 : n.list);
        for (unsigned e = 0; e < 2 && !two; e++) {
            uint64_t entry = cases[i].entry[e];
            uint64_t at = n.list + (cases[i].prp2 & 4088) + 8 * e;

            qtest_writeq(m.qts, at,
                         entry < 1 << 20 ? entry + n.buffer : entry);
        }
        if (cases[i].expected == ST_ERROR) {
            /* The last entry of the page is the address of its page. */
            qtest_writeq(m.qts, n.list + 4088, n.list + 4088);
        }
        check_status(cases[i].name, nvme_command(&n, 1, cmd),
                     /* A loop gives as many entries as are wanted. */
                     cases[i].expected);
    }
    nvme_stop(&n);
}

/* ---- SGLs ---- */

typedef struct Sgl {
    uint64_t addr;              /* + n.buffer or + n.list below 2^24 */
    uint32_t len;
    uint8_t type;
} Sgl;

static void put_sgl(Nvme *n, uint64_t at, Sgl sgl)
{
    bool segment = sgl.type == SGL_SEGMENT || sgl.type == SGL_LAST_SEGMENT;

    if (sgl.addr < 1 << 24) {
        sgl.addr += segment ? n->list : n->buffer;
    }
    qtest_writeq(n->m->qts, at, sgl.addr);
    qtest_writeq(n->m->qts, at + 8, sgl.len | (uint64_t)sgl.type << 56);
}

static void set_sgl(Nvme *n, SnNvmeSqe *cmd, Sgl sgl)
{
    bool segment = sgl.type == SGL_SEGMENT || sgl.type == SGL_LAST_SEGMENT;

    cmd->flags = SN_NVME_PSDT_SGL;
    cmd->sgl_addr = sgl.addr;
    if (sgl.addr < 1 << 24) {
        cmd->sgl_addr += segment ? n->list : n->buffer;
    }
    cmd->sgl_len = sgl.len;
    memset(cmd->sgl_reserved, 0, sizeof(cmd->sgl_reserved));
    cmd->sgl_type = sgl.type;
}

static void test_sgl(void)
{
    static uint8_t data[24 * NVME_BLOCK], back[sizeof(data)];
    const Sgl list[] = {
        { 3, 1001, SGL_DATA }, { 5000, 47, SGL_DATA },
        { 0, 0, SGL_DATA }, { 16384, 8000, SGL_DATA },
        { 9001, sizeof(data) - 1001 - 47 - 8000, SGL_DATA },
    };
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    fill(data, sizeof(data), 2);
    cmd = nvme_rw_cmd(&n, OP_WRITE, 1, 0, 24);
    /* One block of data, at any address */
    set_sgl(&n, &cmd, (Sgl) { 1, sizeof(data), SGL_DATA });
    qtest_memwrite(m.qts, n.buffer + 1, data, sizeof(data));
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    /* Read back through a list in segments of two */
    cmd.opcode = OP_READ;
    for (unsigned i = 0, at = 0; i < 5; i++, at += 16) {
        if (i == 2) {
            put_sgl(&n, n.list + at, (Sgl) { 4096, 48, SGL_LAST_SEGMENT });
            at = 4096;
        }
        put_sgl(&n, n.list + at, list[i]);
    }
    set_sgl(&n, &cmd, (Sgl) { 0, 48, SGL_SEGMENT });
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    for (unsigned i = 0, at = 0; i < 5; at += list[i++].len) {
        if (list[i].len) {
            qtest_memread(m.qts, n.buffer + list[i].addr, back + at,
                          list[i].len);
        }
    }
    g_assert_cmpmem(back, sizeof(back), data, sizeof(data));
    nvme_stop(&n);
}

/* Section 4.4.1: some of what is read is not wanted. */
static void test_bit_bucket(void)
{
    struct nvme_id_ctrl id;
    uint8_t data[8 * NVME_BLOCK], back[2000];
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    nvme_assert_status(nvme_identify(&n, 1, 0, &id), ST_OK);
    fill(data, sizeof(data), 3);
    nvme_assert_status(nvme_write(&n, 1, 0, data, sizeof(data)), ST_OK);
    put_sgl(&n, n.list, (Sgl) { 0, 1000, SGL_BIT_BUCKET });
    put_sgl(&n, n.list + 16, (Sgl) { 0, 2000, SGL_DATA });
    put_sgl(&n, n.list + 32, (Sgl) { 0, sizeof(data) - 3000,
                                     SGL_BIT_BUCKET });
    cmd = nvme_rw_cmd(&n, OP_READ, 1, 0, 8);
    set_sgl(&n, &cmd, (Sgl) { 0, 48, SGL_LAST_SEGMENT });
    if (id.sgls & 1 << 16) {
        nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
        qtest_memread(m.qts, n.buffer, back, sizeof(back));
        g_assert_cmpmem(back, sizeof(back), data + 1000, sizeof(back));
    } else {
        nvme_assert_status(nvme_command(&n, 1, cmd), ST_SGL_TYPE);
    }
    nvme_stop(&n);
}

static void test_sgl_errors(void)
{
    static const struct {
        const char *name;
        Sgl sgl, list[3];       /* in the command, at n.list */
        unsigned expected;
    } cases[] = {
        { "short", { 0, 4095, SGL_DATA }, { }, ST_SGL_LENGTH },
        { "empty", { 0, 0, SGL_DATA }, { }, ST_SGL_LENGTH },
        { "nowhere", { NOWHERE, 4096, SGL_DATA }, { }, ST_DATA_TRANSFER },
        { "in ROM", { ROM, 4096, SGL_DATA }, { }, ST_DATA_TRANSFER },
        { "at the end", { 0xfffffffffffffff0, 4096, SGL_DATA }, { },
          ST_DATA_TRANSFER },
        { "keyed", { 0, 4096, SGL_KEYED }, { }, ST_SGL_TYPE },
        { "transport", { 0, 4096, SGL_TRANSPORT }, { }, ST_SGL_TYPE },
        { "reserved type", { 0, 4096, 0x70 }, { }, ST_SGL_TYPE },
        { "subtype offset", { 0, 4096, SGL_DATA | 1 }, { }, ST_SGL_TYPE },
        { "empty segment", { 0, 0, SGL_LAST_SEGMENT }, { }, ST_SGL_SEGMENT },
        { "half a descriptor", { 0, 24, SGL_LAST_SEGMENT },
          { { 0, 4096, SGL_DATA } }, ST_SGL_SEGMENT },
        { "segment nowhere", { NOWHERE, 16, SGL_LAST_SEGMENT }, { },
          ST_DATA_TRANSFER },
        { "segment of 4 GiB", { 0, 0xfffffff0, SGL_LAST_SEGMENT }, { },
          ST_ERROR },
        { "segment after the last", { 0, 32, SGL_LAST_SEGMENT },
          { { 0, 512, SGL_DATA }, { 4096, 16, SGL_LAST_SEGMENT } },
          ST_SGL_SEGMENT },
        { "segment in the middle", { 0, 48, SGL_SEGMENT },
          { { 0, 512, SGL_DATA }, { 4096, 16, SGL_SEGMENT },
            { 0, 3584, SGL_DATA } }, ST_SGL_COUNT },
        { "loop", { 0, 16, SGL_SEGMENT }, { { 0, 16, SGL_SEGMENT } },
          ST_ERROR },
        { "loop with data", { 0, 32, SGL_SEGMENT },
          { { 0, 0, SGL_DATA }, { 0, 32, SGL_SEGMENT } }, ST_ERROR },
        { "second nowhere", { 0, 32, SGL_LAST_SEGMENT },
          { { 0, 2048, SGL_DATA }, { NOWHERE, 2048, SGL_DATA } },
          ST_DATA_TRANSFER },
        { "two, short", { 0, 32, SGL_LAST_SEGMENT },
          { { 0, 2048, SGL_DATA }, { 4096, 2000, SGL_DATA } },
          ST_SGL_LENGTH },
        { "good", { 0, 32, SGL_LAST_SEGMENT },
          { { 0, 2048, SGL_DATA }, { 4096, 2048, SGL_DATA } }, ST_OK },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&n, OP_READ, 1, 0, 8);

        for (unsigned s = 0; s < 3; s++) {
            put_sgl(&n, n.list + 16 * s, cases[i].list[s]);
        }
        set_sgl(&n, &cmd, cases[i].sgl);
        check_status(cases[i].name, nvme_command(&n, 1, cmd),
                     cases[i].expected);
    }
    nvme_stop(&n);
}

/* PSDT 11b is reserved; 10b is an SGL, with metadata that there is not. */
static void test_psdt(void)
{
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m, 0);
    cmd = nvme_rw_cmd(&n, OP_READ, 1, 0, 8);
    cmd.flags = 3 << 6;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_INVALID_FIELD);
    set_sgl(&n, &cmd, (Sgl) { 0, 4096, SGL_DATA });
    cmd.flags = SN_NVME_PSDT_SGL_MPTR;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    cmd = nvme_rw_cmd(&n, OP_READ, 1, 0, 8);
    cmd.mptr = NOWHERE;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/data/prp", test_prp);
    g_test_add_func("/data/prp-large-pages", test_prp_large_pages);
    g_test_add_func("/data/prp-chained", test_prp_chained);
    g_test_add_func("/data/prp-errors", test_prp_errors);
    g_test_add_func("/data/sgl", test_sgl);
    g_test_add_func("/data/bit-bucket", test_bit_bucket);
    g_test_add_func("/data/sgl-errors", test_sgl_errors);
    g_test_add_func("/data/psdt", test_psdt);
    return g_test_run();
}
