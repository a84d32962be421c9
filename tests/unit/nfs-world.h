/*
 * A volume on the NFS backend and the server double behind it: what the tests
 * of the backend have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NFS_WORLD_H
#define NFS_WORLD_H

#include "nfs-double.h"
#include "world.h"

World *nfs_world_new(uint32_t seed);
/* Opens nfs://server/export/images/disk.img with @params: "a=1&b=2" or "". */
void nfs_world_open(World *w, const char *params);
/* Opens and runs until the volume is READY. */
void nfs_world_open_ready(World *w, const char *params);
void nfs_world_free(World *w);

/* nfs_double_crash(), and the volume must be READY again. */
void nfs_world_restart(World *w);
/* Answers what is held, but not what comes then. */
void nfs_world_release_and_hold(World *w);

/* Submit with kick, and let happen what needs no time. */
void submit_flush(World *w, Req *r);
/* 4096 bytes. */
void submit_write(World *w, Req *r, unsigned flags, uint64_t offset,
                  const uint8_t *buf);
/* The request must be complete, with @ret. Frees its memory. */
void check_done(Req *r, int ret);

#endif
