/*
 * What the tests of the NVMe/TCP initiator have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "nvme-world.h"

World *world_new(uint32_t seed)
{
    World *w = g_new0(World, 1);

    world_init(w);
    w->d = nvme_double_new(w->loop, WORLD_SIZE, seed);
    w->net = w->d->net;
    return w;
}

void world_open(World *w, const char *params)
{
    g_autofree char *url = g_strdup_printf(
        "nvme+tcp://target/nqn.2026-11.test:disk?reconnect-delay=1%s%s",
        *params ? "&" : "", params);

    world_open_url(w, url);
}

void world_open_ready(World *w, const char *params)
{
    world_open(w, params);
    world_wait_ready(w);
}

void world_free(World *w)
{
    world_clear(w);
    nvme_double_free(w->d);
    test_loop_free(w->loop);
    g_free(w);
}
