/*
 * The NVMe function's I/O commands (NVMe Base 1.4 section 6): each with good
 * and bad fields.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

#define NOWHERE 0x7fff00000000ULL
#define BLOCKS  (64 * 1024 * 1024 / NVME_BLOCK)

/* Dataset Management, dword 11 */
#define DSM_DEALLOCATE 4

/* Namespace 2 cannot be written, the blocks of 3 are large. */
#define THREE \
    CARD_NVME("") \
    "-device 'smartnic-volume,bus=nic0.0,nsid=2," \
    "url=mem://?size=16M&read-only=on' " \
    "-device 'smartnic-volume,bus=nic0.0,nsid=3," \
    "url=mem://?size=16M&block-size=4096' "

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, THREE);
    nvme_enable(n);
    nvme_create_queues(n, 1, 64);
}

static unsigned io(Nvme *n, uint8_t op, uint64_t slba, unsigned blocks)
{
    return nvme_command(n, 1, nvme_rw_cmd(n, op, 1, slba, blocks));
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < len; i++) {
        data[i] = g_rand_int(rand);
    }
}

static void assert_blocks(Nvme *n, uint64_t slba, const void *data,
                          unsigned blocks)
{
    size_t len = blocks * NVME_BLOCK;
    g_autofree uint8_t *back = g_malloc(len);

    qtest_memset(n->m->qts, n->buffer, 0xee, len);
    nvme_assert_status(nvme_read(n, 1, slba, back, len), ST_OK);
    g_assert_cmpmem(back, len, data, len);
}

/* ---- Read, Write ---- */

static void test_read_write(void)
{
    static uint8_t data[64 * NVME_BLOCK], zero[64 * NVME_BLOCK];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    assert_blocks(&n, 0, zero, 64);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t slba = i * 331 * 19;

        fill(data, sizeof(data), i);
        nvme_assert_status(nvme_write(&n, 1, slba, data, (i + 1) * 512),
                           ST_OK);
        assert_blocks(&n, slba, data, i + 1);
    }
    /* The last blocks */
    nvme_assert_status(nvme_write(&n, 1, BLOCKS - 64, data, sizeof(data)),
                       ST_OK);
    assert_blocks(&n, BLOCKS - 64, data, 64);
    nvme_stop(&n);
}

/* What must not be looked at, or is a hint, changes nothing. */
static void test_ignored_fields(void)
{
    static const struct {
        const char *name;
        uint32_t cdw12, cdw13;
    } cases[] = {
        { "FUA", 1u << 30, 0 }, { "LR", 1u << 31, 0 },
        { "dataset management", 0, 0xff },
        { "FUA and LR", 3u << 30, 0 },
    };
    static const uint8_t ops[] = { OP_WRITE, OP_READ };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
            SnNvmeSqe cmd = nvme_rw_cmd(&n, ops[o], 1, 0, 8);

            cmd.cdw12 |= cases[i].cdw12;
            cmd.cdw13 = cases[i].cdw13;
            cmd.cdw2 = cmd.cdw3 = UINT32_MAX;
            cmd.cdw14 = cmd.cdw15 = UINT32_MAX;
            g_test_message("%s", cases[i].name);
            nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
        }
    }
    nvme_stop(&n);
}

/* Blocks that are not there, for everything that has some */
static void test_range(void)
{
    static const uint8_t ops[] = {
        OP_READ, OP_WRITE, OP_COMPARE, OP_WRITE_ZEROES, OP_VERIFY,
    };
    static const struct {
        uint64_t slba;
        unsigned blocks, expected;
    } cases[] = {
        { BLOCKS - 8, 8, ST_OK }, { BLOCKS - 7, 8, ST_LBA_RANGE },
        { BLOCKS, 1, ST_LBA_RANGE }, { BLOCKS + 1, 1, ST_LBA_RANGE },
        { UINT64_MAX, 1, ST_LBA_RANGE }, { UINT64_MAX, 8, ST_LBA_RANGE },
        { UINT64_MAX - 3, 8, ST_LBA_RANGE },
        { 1ULL << 55, 1, ST_LBA_RANGE }, { 1ULL << 63, 8, ST_LBA_RANGE },
        { UINT64_MAX / 512 + 1, 1, ST_LBA_RANGE },
        { 1ULL << 32, 1, ST_LBA_RANGE },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    qtest_memset(m.qts, n.buffer, 0, 8 * NVME_BLOCK);
    for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            unsigned status = io(&n, ops[o], cases[i].slba, cases[i].blocks);

            if (status != cases[i].expected || n.dnr != !!status) {
                g_error("opcode %x, case %u: status 0x%x", ops[o], i, status);
            }
        }
    }
    nvme_stop(&n);
}

static void test_namespace(void)
{
    static const uint8_t ops[] = {
        OP_FLUSH, OP_READ, OP_WRITE, OP_COMPARE, OP_WRITE_ZEROES, OP_DSM,
        OP_VERIFY,
    };
    static const uint32_t nsids[] = {
        0, 4, 256, 257, 1000, 0x80000001, 0xfffffffe, NVME_ALL,
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(nsids); i++) {
            unsigned status = nvme_command(&n, 1, nvme_rw_cmd(&n, ops[o],
                                                              nsids[i], 0, 1));
            bool all = ops[o] == OP_FLUSH && nsids[i] == NVME_ALL;

            if (status != (all ? ST_OK : ST_INVALID_NS)) {
                g_error("opcode %x, NSID 0x%x: status 0x%x", ops[o], nsids[i],
                        status);
            }
        }
    }
    nvme_stop(&n);
}

/* Longer than MDTS */
static void test_too_long(void)
{
    static const uint8_t ops[] = { OP_READ, OP_WRITE, OP_COMPARE };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
        for (unsigned blocks = 2049; blocks < 65536; blocks += 15871) {
            SnNvmeSqe cmd = nvme_rw_cmd(&n, ops[o], 1, 0, 1);

            cmd.cdw12 = blocks - 1;
            cmd.prp2 = n.list;
            nvme_assert_status(nvme_command(&n, 1, cmd), ST_INVALID_FIELD);
            g_assert_true(n.dnr);
        }
    }
    nvme_stop(&n);
}

/* Compares block @slba with bytes @compare; then it is bytes @write. */
static void compare_and_write(Nvme *n, uint64_t slba, uint8_t compare,
                              uint8_t write, unsigned first, unsigned second)
{
    SnNvmeSqe cmd = nvme_rw_cmd(n, OP_COMPARE, 1, slba, 1);
    uint16_t cid;

    qtest_memset(n->m->qts, n->buffer, compare, NVME_BLOCK);
    qtest_memset(n->m->qts, n->buffer + NVME_BLOCK, write, NVME_BLOCK);
    cmd.flags = SN_NVME_FUSE_FIRST;
    cid = nvme_put(n, 1, cmd);
    cmd.opcode = OP_WRITE;
    cmd.flags = SN_NVME_FUSE_SECOND;
    cmd.prp1 += NVME_BLOCK;
    nvme_put(n, 1, cmd);
    nvme_ring(n, 1);
    nvme_assert_status(nvme_wait(n, 1, cid), first);
    nvme_assert_status(nvme_wait(n, 1, cid + 1), second);
}

static void test_fused(void)
{
    static const uint8_t ops[] = {
        OP_FLUSH, OP_READ, OP_WRITE, OP_WRITE_ZEROES, OP_DSM,
    };
    uint8_t block[NVME_BLOCK];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    compare_and_write(&n, 5, 0, 0x22, ST_OK, ST_OK);
    compare_and_write(&n, 5, 0, 0x33, ST_COMPARE, ST_FUSED_FAIL);
    compare_and_write(&n, 5, 0x22, 0x44, ST_OK, ST_OK);
    memset(block, 0x44, sizeof(block));
    assert_blocks(&n, 5, block, 1);
    nvme_stop(&n);

    /* No other command begins a pair, and half a pair is none. */
    open_ctrl(&n, &m);
    for (unsigned fuse = 1; fuse < 4; fuse++) {
        SnNvmeSqe cmd = nvme_rw_cmd(&n, OP_COMPARE, 1, 0, 1);

        cmd.flags = fuse;
        nvme_assert_status(nvme_command(&n, 1, cmd),
                           fuse < 3 ? ST_FUSED_MISSING : ST_INVALID_FIELD);
        for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
            cmd.opcode = ops[o];
            nvme_assert_status(nvme_command(&n, 1, cmd), fuse == 2
                               ? ST_FUSED_MISSING : ST_INVALID_FIELD);
        }
    }
    nvme_stop(&n);
}

static void test_flush(void)
{
    static const char *const args[] = {
        CARD_NVME(""), CARD_NVME("&cache=on"),
        CARD_NVME("&cache=on")
        "-device 'smartnic-volume,bus=nic0.0,nsid=2,url=mem://?size=1M' "
        "-device 'smartnic-volume,bus=nic0.0,nsid=9,"
        "url=mem://?size=1M&cache=on' ",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(args); i++) {
        Machine m;
        Nvme n;

        nvme_start(&n, &m, args[i]);
        nvme_enable(&n);
        nvme_create_queues(&n, 1, 8);
        nvme_assert_status(nvme_command(&n, 1, (SnNvmeSqe) {
            .opcode = OP_FLUSH, .nsid = 1 }), ST_OK);
        nvme_assert_status(nvme_command(&n, 1, (SnNvmeSqe) {
            .opcode = OP_FLUSH, .nsid = NVME_ALL }), ST_OK);
        nvme_stop(&n);
    }
}

/* ---- Compare, Verify ---- */

static void test_compare(void)
{
    static uint8_t data[256 * NVME_BLOCK];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fill(data, sizeof(data), 5);
    nvme_assert_status(nvme_write(&n, 1, 100, data, sizeof(data)), ST_OK);
    nvme_assert_status(io(&n, OP_COMPARE, 100, 256), ST_OK);
    nvme_assert_status(io(&n, OP_COMPARE, 100, 1), ST_OK);
    for (unsigned at = 0; at < sizeof(data); at += 13107) {
        uint8_t byte = data[at] ^ 1;

        qtest_memwrite(m.qts, n.buffer + at, &byte, 1);
        nvme_assert_status(io(&n, OP_COMPARE, 100, 256), ST_COMPARE);
        qtest_memwrite(m.qts, n.buffer + at, data + at, 1);
    }
    nvme_assert_status(io(&n, OP_COMPARE, 101, 256), ST_COMPARE);
    assert_blocks(&n, 100, data, 256);          /* and has not changed */
    nvme_stop(&n);
}

static void test_verify(void)
{
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    cmd = nvme_rw_cmd(&n, OP_VERIFY, 1, 0, 1);
    cmd.prp1 = NOWHERE;                 /* it has no data */
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    for (unsigned blocks = 1; blocks <= 65536; blocks *= 4) {
        cmd.cdw12 = blocks - 1;
        nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    }
    nvme_stop(&n);
}

/* ---- Write Zeroes, Dataset Management ---- */

static void test_write_zeroes(void)
{
    static const uint32_t flags[] = { 0, 1u << 25, 1u << 30, 3u << 30 };
    static uint8_t data[64 * NVME_BLOCK];
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        fill(data, sizeof(data), 7 + i);
        nvme_assert_status(nvme_write(&n, 1, 500, data, sizeof(data)), ST_OK);
        cmd = nvme_rw_cmd(&n, OP_WRITE_ZEROES, 1, 510, 30);
        cmd.cdw12 |= flags[i];          /* deallocate, FUA, LR */
        cmd.prp1 = NOWHERE;
        nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
        memset(data + 10 * NVME_BLOCK, 0, 30 * NVME_BLOCK);
        assert_blocks(&n, 500, data, 64);
    }
    /* As much as the field can say */
    nvme_assert_status(nvme_write(&n, 1, 65535, data, 1024), ST_OK);
    cmd = nvme_rw_cmd(&n, OP_WRITE_ZEROES, 1, 0, 1);
    cmd.cdw12 = 65535;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    memset(data, 0, 512);
    assert_blocks(&n, 65535, data, 2);
    nvme_stop(&n);
}

static void put_range(Nvme *n, unsigned i, uint64_t slba, uint32_t blocks)
{
    uint64_t at = n->buffer + 16 * i;

    qtest_writel(n->m->qts, at, i);             /* context attributes */
    qtest_writel(n->m->qts, at + 4, blocks);
    qtest_writeq(n->m->qts, at + 8, slba);
}

static unsigned dsm(Nvme *n, unsigned count, uint32_t attributes)
{
    return nvme_command(n, 1, (SnNvmeSqe) {
        .opcode = OP_DSM, .nsid = 1, .prp1 = n->buffer,
        .cdw10 = count - 1, .cdw11 = attributes,
    });
}

static void test_dsm(void)
{
    static uint8_t data[32 * NVME_BLOCK];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fill(data, sizeof(data), 9);
    nvme_assert_status(nvme_write(&n, 1, 0, data, sizeof(data)), ST_OK);
    put_range(&n, 0, 8, 8);
    put_range(&n, 1, 24, 8);
    put_range(&n, 2, 40, 0);            /* nothing */
    /* A hint without "deallocate" keeps the data. */
    nvme_assert_status(dsm(&n, 3, 3), ST_OK);
    assert_blocks(&n, 0, data, 32);
    put_range(&n, 0, 8, 8);
    put_range(&n, 1, 24, 8);
    put_range(&n, 2, 40, 0);
    nvme_assert_status(dsm(&n, 3, DSM_DEALLOCATE), ST_OK);
    assert_blocks(&n, 0, data, 8);
    assert_blocks(&n, 16, data + 16 * NVME_BLOCK, 8);
    /* As many ranges as there may be */
    for (unsigned i = 0; i < 256; i++) {
        put_range(&n, i, i * 512, 256);
    }
    nvme_assert_status(dsm(&n, 256, DSM_DEALLOCATE), ST_OK);
    nvme_stop(&n);
}

static void test_dsm_errors(void)
{
    static const struct {
        uint64_t slba;
        uint32_t blocks;
    } cases[] = {
        { BLOCKS, 1 }, { BLOCKS - 7, 8 }, { UINT64_MAX, 1 },
        { UINT64_MAX, UINT32_MAX }, { 1ULL << 55, 1 }, { 0, UINT32_MAX },
        { 1, BLOCKS },
    };
    static uint8_t data[NVME_BLOCK];
    SnNvmeSqe cmd = { .opcode = OP_DSM, .nsid = 1, .cdw10 = 255,
                      .cdw11 = DSM_DEALLOCATE };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fill(data, sizeof(data), 11);
    nvme_assert_status(nvme_write(&n, 1, 0, data, sizeof(data)), ST_OK);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        put_range(&n, 0, 100, 8);
        put_range(&n, 1, cases[i].slba, cases[i].blocks);
        nvme_assert_status(dsm(&n, 2, DSM_DEALLOCATE), ST_LBA_RANGE);
    }
    cmd.prp1 = NOWHERE;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = n.buffer + 8;            /* the last range is in PRP2 */
    cmd.prp2 = NOWHERE;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_DATA_TRANSFER);
    cmd.prp1 = n.buffer + 1;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_PRP_OFFSET);
    assert_blocks(&n, 0, data, 1);
    nvme_stop(&n);
}

/* ---- other namespaces ---- */

static void test_read_only(void)
{
    static const uint8_t ops[] = { OP_WRITE, OP_WRITE_ZEROES };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_command(&n, 1, nvme_rw_cmd(&n, OP_READ, 2, 0, 8)),
                       ST_OK);
    for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
        nvme_assert_status(nvme_command(&n, 1, nvme_rw_cmd(&n, ops[o], 2, 0,
                                                           8)),
                           ST_WRITE_PROTECTED);
        g_assert_true(n.dnr);
    }
    nvme_assert_status(nvme_command(&n, 1, nvme_rw_cmd(&n, OP_FLUSH, 2, 0,
                                                       1)), ST_OK);
    nvme_stop(&n);
}

static void test_large_blocks(void)
{
    static uint8_t data[8 * 4096], back[sizeof(data)];
    SnNvmeSqe cmd;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fill(data, sizeof(data), 13);
    cmd = nvme_rw_cmd(&n, OP_WRITE, 3, 4096 - 8, 64);
    cmd.cdw12 = 7;
    qtest_memwrite(m.qts, n.buffer, data, sizeof(data));
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    qtest_memset(m.qts, n.buffer, 0, sizeof(data));
    cmd.opcode = OP_READ;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    qtest_memread(m.qts, n.buffer, back, sizeof(back));
    g_assert_cmpmem(back, sizeof(back), data, sizeof(data));
    cmd.opcode = OP_COMPARE;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_OK);
    cmd.cdw10++;
    nvme_assert_status(nvme_command(&n, 1, cmd), ST_LBA_RANGE);
    nvme_stop(&n);
}

/* Many at a time, each with blocks and memory of its own */
static void test_many(void)
{
    static uint8_t data[60 * NVME_BLOCK], back[sizeof(data)];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fill(data, sizeof(data), 17);
    for (unsigned pass = 0; pass < 2; pass++) {
        if (pass) {
            qtest_memset(m.qts, n.buffer, 0, sizeof(data));
        } else {
            qtest_memwrite(m.qts, n.buffer, data, sizeof(data));
        }
        for (unsigned i = 0; i < 60; i++) {
            SnNvmeSqe cmd = nvme_rw_cmd(&n, pass ? OP_READ : OP_WRITE, 1,
                                        1000 * i, 1);

            cmd.prp1 += i * NVME_BLOCK;
            nvme_put(&n, 1, cmd);
        }
        nvme_ring(&n, 1);
        for (unsigned i = 0; i < 60; i++) {
            SnNvmeCqe cqe = nvme_wait_any(&n, 1);

            nvme_assert_status(sn_nvme_status(&cqe), ST_OK);
        }
    }
    qtest_memread(m.qts, n.buffer, back, sizeof(back));
    g_assert_cmpmem(back, sizeof(back), data, sizeof(data));
    nvme_stop(&n);
}

/* What only another NVMe device could do, with a volume that is none */
static void test_not_offered(void)
{
    static const uint8_t ops[] = {
        OP_WRITE_UNCORRECTABLE, 0x0d, 0x0e, 0x11, 0x15, 0x19, 0x79, 0x7d,
        0x80, 0xff,
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned o = 0; o < G_N_ELEMENTS(ops); o++) {
        nvme_assert_status(io(&n, ops[o], 0, 1), ST_INVALID_OPCODE);
        g_assert_true(n.dnr);
    }
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/read-write", test_read_write);
    g_test_add_func("/io/ignored-fields", test_ignored_fields);
    g_test_add_func("/io/range", test_range);
    g_test_add_func("/io/namespace", test_namespace);
    g_test_add_func("/io/too-long", test_too_long);
    g_test_add_func("/io/fused", test_fused);
    g_test_add_func("/io/flush", test_flush);
    g_test_add_func("/io/compare", test_compare);
    g_test_add_func("/io/verify", test_verify);
    g_test_add_func("/io/write-zeroes", test_write_zeroes);
    g_test_add_func("/io/dsm", test_dsm);
    g_test_add_func("/io/dsm-errors", test_dsm_errors);
    g_test_add_func("/io/read-only", test_read_only);
    g_test_add_func("/io/large-blocks", test_large_blocks);
    g_test_add_func("/io/many", test_many);
    g_test_add_func("/io/not-offered", test_not_offered);
    return g_test_run();
}
