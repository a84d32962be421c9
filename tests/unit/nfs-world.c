/*
 * What the tests of the NFS backend have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "nfs-world.h"

extern const SnBackendOps sn_nfs_backend;

World *nfs_world_new(uint32_t seed)
{
    World *w = g_new0(World, 1);

    world_init(w);
    w->ops = &sn_nfs_backend;
    w->nfs = nfs_double_new(w->loop, seed);
    w->net = w->nfs->net;
    return w;
}

void nfs_world_open(World *w, const char *params)
{
    g_autofree char *url = g_strdup_printf(
        "nfs://server/export/images/disk.img?reconnect-delay=1%s%s",
        *params ? "&" : "", params);

    world_open_url(w, url);
}

void nfs_world_open_ready(World *w, const char *params)
{
    nfs_world_open(w, params);
    world_wait_ready(w);
}

void nfs_world_free(World *w)
{
    world_clear(w);
    nfs_double_free(w->nfs);
    test_loop_free(w->loop);
    g_free(w);
}

void nfs_world_restart(World *w)
{
    nfs_double_crash(w->nfs);
    world_settle(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
}

void nfs_world_release_and_hold(World *w)
{
    nfs_double_release(w->nfs);
    w->nfs->hold = true;
    world_settle(w);
}

void submit_flush(World *w, Req *r)
{
    req_submit(w, r, SN_IO_FLUSH, 0, 0, 0, NULL, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
}

void submit_write(World *w, Req *r, unsigned flags, uint64_t offset,
                  const uint8_t *buf)
{
    req_submit(w, r, SN_IO_WRITE, flags, offset, 4096, buf, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
}

void check_done(Req *r, int ret)
{
    g_assert_false(r->busy);
    g_assert_cmpint(r->ret, ==, ret);
    req_clear(r);
}
