/*
 * A controller with one I/O queue and a scripted volume as namespace 1, for
 * tests of what I/O commands ask of a volume.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CTRL_IO_WORLD_H
#define CTRL_IO_WORLD_H

#include "ctrl-world.h"

#define IO_BLOCKS (1024u * 1024u / WORLD_BLOCK)     /* of the volume */

/* A ready controller with the volume @be as namespace 1, and memory. */
typedef struct IoWorld {
    World *w;
    WorldBackend *be;
    uint64_t buffer;            /* 1 MiB, as all PRPs of rw() have it */
    uint64_t list;
} IoWorld;

/* The volume is CONNECTING: its info may still be changed. */
IoWorld io_world_new(void);
/* Then it is READY, and the controller, and there is memory. */
void io_world_start(IoWorld *t);
IoWorld io_world_new_started(void);

/* Up to 1 MiB of data, at t->buffer. */
SnNvmeSqe io_rw(const IoWorld *t, uint8_t opcode, uint64_t slba,
                unsigned blocks);

/* Submits, and expects one request with the volume. */
SnIo *io_begin(IoWorld *t, const SnNvmeSqe *sqe);
/* Expects that it asks for this. */
void io_expect(const SnIo *io, SnIoOp op, unsigned flags, uint64_t offset,
               uint64_t len);
/* Ends the one request, whereupon there is another one. */
SnIo *io_next(IoWorld *t);
/* Ends the one request with @ret, and with it the command with @status. */
void io_end(IoWorld *t, int ret, unsigned status);
/* The command ends with @status, and nothing is left mapped or in flight. */
void io_expect_status(IoWorld *t, unsigned status);
/* It ends with @status without the volume. */
void io_expect_refused(IoWorld *t, const SnNvmeSqe *sqe, unsigned status);

#endif
