/*
 * A volume on the NVMe/TCP backend and the target double behind it: what the
 * tests of the initiator have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NVME_WORLD_H
#define NVME_WORLD_H

#include "nvme-double.h"
#include "world.h"

#define WORLD_SIZE (4u << 20)

World *world_new(uint32_t seed);
/* @params: as in a URL, "hdgst=on&..." or "". */
void world_open(World *w, const char *params);
/* Opens and runs until the volume is READY. */
void world_open_ready(World *w, const char *params);
void world_free(World *w);

#endif
