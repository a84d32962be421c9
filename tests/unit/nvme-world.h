/*
 * A volume on the NVMe/TCP backend, the target double behind it, and requests
 * to it: what the tests of the initiator have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NVME_WORLD_H
#define NVME_WORLD_H

#include "nvme-double.h"
#include "smartnic/volume.h"

#define WORLD_SIZE (4u << 20)

typedef struct World {
    SnLoop *loop;
    NvmeDouble *d;
    SnVolume *vol;
    const char *host;           /* SnVolumeConfig.host */
    unsigned info_changes;
    unsigned batches;
} World;

World *world_new(uint32_t seed);
/* @params: as in a URL, "hdgst=on&..." or "". */
void world_open(World *w, const char *params);
/* Any URL of the scheme. */
void world_open_url(World *w, const char *url);
/* Opens and runs until the volume is READY. */
void world_open_ready(World *w, const char *params);
void world_free(World *w);

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
