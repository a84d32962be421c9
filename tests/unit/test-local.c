/*
 * Unit tests of sn_volume_open() and of the backends null and mem.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"

static SbVolume *open_real(const char *url)
{
    GError *err = NULL;
    SbVolume *v = sb_open_real(url, &err);

    g_assert_no_error(err);
    g_assert_nonnull(v);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_CONNECTING);
    sb_run(v);
    g_assert_cmpint(sn_volume_state(v->vol), ==, SN_VOLUME_READY);
    return v;
}

static void expect_refused(const char *url, int code, const char *part)
{
    GError *err = NULL;

    g_assert_null(sb_open_real(url, &err));
    g_assert_nonnull(err);
    if (code >= 0) {
        g_assert_error(err, SN_VOLUME_ERROR, code);
    }
    g_assert_nonnull(strstr(err->message, part));
    g_assert_null(strchr(err->message, '\n'));
    g_error_free(err);
}

static void test_open_errors(void)
{
    static const char *const known[] = { "floppy", "null", "mem", "nvme+tcp" };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        expect_refused("floppy://?size=1M", SN_VOLUME_ERROR_SCHEME, known[i]);
    }
    expect_refused("null://", SN_VOLUME_ERROR_URL, "size");
    expect_refused("mem://?size=0", -1, "size");
    expect_refused("mem://?size=1000", SN_VOLUME_ERROR_URL, "size");
    expect_refused("mem://?size=512&block-size=4096", SN_VOLUME_ERROR_URL,
                   "size");
    expect_refused("null://?size=9223372036854775808", SN_VOLUME_ERROR_URL,
                   "size");
    /* More than an address space holds. */
    expect_refused("mem://?size=9223372036854775296", SN_VOLUME_ERROR_URL,
                   "size");
    expect_refused("mem://?size=1M&block-size=1024", SN_VOLUME_ERROR_URL,
                   "block-size");
    expect_refused("mem://?size=1M&read-only=perhaps", -1, "read-only");
    expect_refused("mem://?size=1M&cache=perhaps", -1, "cache");
    expect_refused("mem://?size=1M&read-zeroes=on", -1, "read-zeroes");
    expect_refused("null://?size=1M&cache=on", -1, "cache");
    expect_refused("null://?size=1M&serial=123456789012345678901",
                   SN_VOLUME_ERROR_URL, "serial");
    expect_refused("null://somewhere?size=1M", -1, "host");
    expect_refused("null://?size=1M&reconnect-delay=x", -1,
                   "reconnect-delay");
}

static void test_info(void)
{
    SbVolume *v = open_real("null://?size=10G&block-size=4096&read-only=on"
                            "&serial=12345678901234567890");
    const SnVolumeInfo *info = sn_volume_info(v->vol);

    g_assert_cmpuint(info->size, ==, 10ULL << 30);
    g_assert_cmpuint(info->block_size, ==, 4096);
    g_assert_cmpuint(info->phys_block_size, ==, 4096);
    g_assert_true(info->read_only);
    g_assert_false(info->write_cache);
    g_assert_cmpstr(info->serial, ==, "12345678901234567890");
    sb_close(v);

    v = open_real("mem://?size=1M&cache=on&reconnect-delay=1");
    info = sn_volume_info(v->vol);
    g_assert_cmpuint(info->size, ==, 1 << 20);
    g_assert_cmpuint(info->block_size, ==, 512);
    g_assert_false(info->read_only);
    g_assert_true(info->write_cache);
    g_assert_false(info->fua);
    g_assert_cmpstr(info->serial, ==, "");
    sb_close(v);
}

/* Submits, kicks, and expects @ret. */
static void do_io(SbVolume *v, TestIo *t, int ret)
{
    tio_submit(t);
    sb_kick(v);
    sb_run(v);
    g_assert_cmpuint(t->completions, ==, 1);
    g_assert_cmpint(t->ret, ==, ret);
}

static void test_null(void)
{
    SbVolume *v = open_real("null://?size=1M");
    TestIo *ops[6];

    for (SnIoOp op = SN_IO_READ; op <= SN_IO_COMPARE; op++) {
        ops[op] = tio_new(v, "rwfdzc"[op], op, 1, op != SN_IO_FLUSH);
        memset(ops[op]->buf, 'x', ops[op]->io.len);
        tio_submit(ops[op]);
    }
    sb_expect_completed("");
    sb_kick(v);
    /* Without a turn of the loop. The flush took no way at all. */
    sb_expect_completed("frwdzc");
    g_assert_cmpint(ops[SN_IO_READ]->buf[511], ==, 'x');
    for (SnIoOp op = SN_IO_READ; op <= SN_IO_COMPARE; op++) {
        tio_expect(ops[op], 0);
    }
    sb_close(v);

    v = open_real("null://?size=1M&read-zeroes=on");
    ops[0] = tio_new(v, 'r', SN_IO_READ, 0, 2);
    memset(ops[0]->buf, 'x', 2 * SB_BLOCK);
    do_io(v, ops[0], 0);
    for (int i = 0; i < 2 * SB_BLOCK; i++) {
        g_assert_cmpint(ops[0]->buf[i], ==, 0);
    }
    tio_free(ops[0]);
    sb_close(v);
}

static void test_null_batch(void)
{
    SbVolume *v = open_real("null://?size=1M");
    TestIo *t[300];

    /* More than it takes at once. */
    for (int i = 0; i < 300; i++) {
        t[i] = tio_new(v, 'x', SN_IO_WRITE, i, 1);
        tio_submit(t[i]);
    }
    tio_cancel_free(t[0]);
    tio_cancel_free(t[64]);
    tio_cancel_free(t[200]);
    sb_kick(v);
    sb_run(v);
    for (int i = 0; i < 300; i++) {
        if (i != 0 && i != 64 && i != 200) {
            tio_expect(t[i], 0);
        }
    }
    g_assert_cmpuint(v->batches, ==, 3);
    sb_close(v);
}

static void fill(SbVolume *v, uint64_t block, uint64_t blocks, int byte)
{
    TestIo *t = tio_new(v, 'w', SN_IO_WRITE, block, blocks);

    memset(t->buf, byte, t->io.len);
    do_io(v, t, 0);
    tio_free(t);
}

static void expect_bytes(SbVolume *v, uint64_t block, uint64_t blocks,
                         int byte)
{
    TestIo *t = tio_new(v, 'r', SN_IO_READ, block, blocks);

    memset(t->buf, 0x33, t->io.len);
    do_io(v, t, 0);
    for (uint64_t i = 0; i < t->io.len; i++) {
        g_assert_cmpint(t->buf[i], ==, byte);
    }
    tio_free(t);
}

/* Every place relative to page borders: inside one, over one, over many. */
static void zero_everywhere(SbVolume *v, SnIoOp op)
{
    for (uint64_t start = 0; start < 17; start++) {
        for (uint64_t end = start + 1; end <= 33; end++) {
            TestIo *t = tio_new(v, 'z', op, start, end - start);

            fill(v, 0, 40, 0xab);
            do_io(v, t, 0);
            if (start) {
                expect_bytes(v, 0, start, 0xab);
            }
            expect_bytes(v, start, end - start, 0);
            expect_bytes(v, end, 40 - end, 0xab);
            tio_free(t);
        }
    }
    g_string_truncate(sb_completed, 0);
}

static void test_mem(void)
{
    SbVolume *v = open_real("mem://?size=1M");
    TestIo *t;

    expect_bytes(v, 0, 2048, 0);
    fill(v, 100, 3, 0x77);
    expect_bytes(v, 99, 1, 0);
    expect_bytes(v, 100, 3, 0x77);
    expect_bytes(v, 103, 1, 0);
    zero_everywhere(v, SN_IO_DISCARD);
    zero_everywhere(v, SN_IO_WRITE_ZEROES);

    fill(v, 0, 5, 0x11);
    t = tio_new(v, 'c', SN_IO_COMPARE, 0, 4);
    memset(t->buf, 0x11, t->io.len);
    do_io(v, t, 0);
    t->buf[t->io.len - 1] ^= 1;
    t->completions = 0;
    do_io(v, t, -EILSEQ);
    tio_free(t);

    t = tio_new(v, 'b', SN_IO_COMPARE_AND_WRITE, 0, 4);
    memset(t->buf, 0x11, t->io.len);
    memset(t->buf + t->io.len, 0x22, t->io.len);
    do_io(v, t, 0);
    expect_bytes(v, 0, 4, 0x22);
    expect_bytes(v, 4, 1, 0x11);
    t->completions = 0;
    do_io(v, t, -EILSEQ);
    expect_bytes(v, 0, 4, 0x22);
    tio_free(t);

    t = tio_new(v, 'd', SN_IO_DISCARD, 0, 2048);
    do_io(v, t, 0);
    tio_free(t);
    expect_bytes(v, 0, 2048, 0);
    sb_close(v);

    v = open_real("mem://?size=1M&read-only=on");
    t = tio_new(v, 'w', SN_IO_WRITE, 0, 1);
    do_io(v, t, -EROFS);
    tio_free(t);
    expect_bytes(v, 0, 1, 0);
    sb_close(v);
}

static void test_mem_cancel(void)
{
    SbVolume *v = open_real("mem://?size=1M");
    TestIo *t = tio_new(v, 'w', SN_IO_WRITE, 0, 1);

    memset(t->buf, 0x55, t->io.len);
    tio_submit(t);
    tio_cancel_free(t);
    sb_kick(v);
    sb_run(v);
    sb_expect_completed("");
    expect_bytes(v, 0, 1, 0);
    sb_close(v);
}

/* Sparse: a terabyte costs nothing until it is written. */
static void test_mem_sparse(void)
{
    SbVolume *v = open_real("mem://?size=1T&cache=on");
    TestIo *t = tio_new(v, 'w', SN_IO_WRITE, (1ULL << 40) / SB_BLOCK - 1, 1);

    t->io.flags = SN_IO_FUA;
    memset(t->buf, 0x55, t->io.len);
    do_io(v, t, 0);
    tio_free(t);
    expect_bytes(v, (1ULL << 40) / SB_BLOCK - 1, 1, 0x55);
    t = tio_new(v, 'd', SN_IO_DISCARD, 0, 0);
    t->io.len = 1ULL << 40;
    do_io(v, t, 0);
    tio_free(t);
    expect_bytes(v, (1ULL << 40) / SB_BLOCK - 1, 1, 0);
    t = tio_new(v, 'f', SN_IO_FLUSH, 0, 0);
    do_io(v, t, 0);
    tio_free(t);
    sb_close(v);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/local/open-errors", test_open_errors);
    g_test_add_func("/local/info", test_info);
    g_test_add_func("/local/null", test_null);
    g_test_add_func("/local/null-batch", test_null_batch);
    g_test_add_func("/local/mem", test_mem);
    g_test_add_func("/local/mem-cancel", test_mem_cancel);
    g_test_add_func("/local/mem-sparse", test_mem_sparse);
    return g_test_run();
}
