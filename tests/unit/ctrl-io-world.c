/*
 * A controller with one I/O queue and a scripted volume, for unit tests.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-io-world.h"

void io_world_start(IoWorld *t)
{
    wb_ready(t->be);
    world_run(t->w);
    world_enable(t->w);
    world_create_queues(t->w, 1, 64);
    t->buffer = world_alloc(t->w, 1024 * 1024, WORLD_PAGE);
    t->list = world_page(t->w);
    for (unsigned i = 1; i < 256; i++) {
        uint64_t entry = GUINT64_TO_LE(t->buffer + i * WORLD_PAGE);

        memcpy(world_at(t->w, t->list + 8 * (i - 1)), &entry, 8);
    }
}

IoWorld io_world_new(void)
{
    IoWorld t = { .w = world_new() };

    t.be = world_add_scripted(t.w, 1);
    return t;
}

IoWorld io_world_new_started(void)
{
    IoWorld t = io_world_new();

    io_world_start(&t);
    return t;
}

SnNvmeSqe io_rw(const IoWorld *t, uint8_t opcode, uint64_t slba,
                unsigned blocks)
{
    return world_rw(opcode, 1, slba, blocks, t->buffer,
                    blocks * WORLD_BLOCK > 2 * WORLD_PAGE
                    ? t->list : t->buffer + WORLD_PAGE);
}

SnIo *io_begin(IoWorld *t, const SnNvmeSqe *sqe)
{
    world_submit(t->w, 1, sqe);
    g_assert_cmpuint(t->be->n, ==, 1);
    return t->be->ios[0];
}

void io_expect_status(IoWorld *t, unsigned status)
{
    SnNvmeCqe cqe = world_wait_cqe(t->w, 1);

    g_assert_cmphex(world_cqe_status(&cqe), ==, status);
    g_assert_cmpuint(t->be->n, ==, 0);
    world_expect_unmapped(t->w);
}

void io_end(IoWorld *t, int ret, unsigned status)
{
    g_assert_cmpuint(t->be->n, ==, 1);
    wb_done(t->be, 0, ret);
    io_expect_status(t, status);
}

SnIo *io_next(IoWorld *t)
{
    g_assert_cmpuint(t->be->n, ==, 1);
    wb_done(t->be, 0, 0);
    world_run(t->w);
    world_expect_no_cqe(t->w, 1);
    g_assert_cmpuint(t->be->n, ==, 1);
    return t->be->ios[0];
}

void io_expect(const SnIo *io, SnIoOp op, unsigned flags, uint64_t offset,
               uint64_t len)
{
    g_assert_cmpint(io->op, ==, op);
    g_assert_cmphex(io->flags, ==, flags);
    g_assert_cmpuint(io->offset, ==, offset);
    g_assert_cmpuint(io->len, ==, len);
}

void io_expect_refused(IoWorld *t, const SnNvmeSqe *sqe, unsigned status)
{
    world_submit(t->w, 1, sqe);
    io_expect_status(t, status);
}
