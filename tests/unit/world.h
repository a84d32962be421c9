/*
 * A volume, requests to it, and time that passes: what the tests of the
 * backends have in common. Each protocol adds the far side.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WORLD_H
#define WORLD_H

#include "memory-net.h"
#include "smartnic/backend.h"

typedef struct World {
    SnLoop *loop;
    MemoryNet *net;             /* of the far side, which is one of these */
    struct NvmeDouble *d;
    struct NfsDouble *nfs;
    struct IscsiDouble *iscsi;
    const SnBackendOps *ops;    /* NULL: one that is built in */
    GRand *rand;
    SnVolume *vol;
    const char *host;           /* SnVolumeConfig.host */
    unsigned info_changes;
    unsigned notices[4];        /* of reservations, by their type */
    unsigned batches;
} World;

/* The loop; @net is the caller's to set. */
void world_init(World *w);
/* Closes the volume. The far side and the loop are the caller's to free. */
void world_clear(World *w);
/* NULL and @err when the URL is wrong. */
SnVolume *world_try_open(World *w, const char *url, GError **err);
/* Opens the volume: any URL. */
void world_open_url(World *w, const char *url);
/* Runs until the volume is READY, or fails the test. */
void world_wait_ready(World *w);

/* Lets everything happen that needs no time. */
void world_settle(World *w);
/* Lets up to @seconds pass, until the volume is in @state. */
bool world_wait_state(World *w, SnVolumeState state, unsigned seconds);

/* One request with memory of its own, cut in pieces. */
typedef struct Req {
    SnIo io;
    uint8_t *data;
    struct iovec iov[8];
    bool busy;
    int ret;
} Req;

/* Fills it in, with @len bytes of memory if it has data, not set yet. */
void req_prepare(Req *r, SnIoOp op, unsigned flags, uint64_t offset,
                 uint64_t len, GRand *rand);
/* Submits what was prepared, without kick. */
void req_start(World *w, Req *r);
/* Submits without kick; @len bytes of memory that @rand cuts in pieces. */
void req_submit(World *w, Req *r, SnIoOp op, unsigned flags, uint64_t offset,
                uint64_t len, const uint8_t *content, GRand *rand);
/* The same with kick, and runs until it is complete. Returns the result. */
int req_run(World *w, SnIoOp op, unsigned flags, uint64_t offset,
            uint64_t len, uint8_t *content);
/* Cancels a busy request and frees its memory at once. */
void req_cancel(Req *r);
/* Frees the memory. */
void req_clear(Req *r);

#endif
