/*
 * A volume, requests to it, and time that passes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/log.h"
#include "volume-internal.h"
#include "world.h"

static void state_changed(void *opaque, SnVolumeState state)
{
}

static void info_changed(void *opaque)
{
    ((World *)opaque)->info_changes++;
}

static void batch_done(void *opaque)
{
    ((World *)opaque)->batches++;
}

static void reservation(void *opaque, uint8_t type)
{
    World *w = opaque;

    g_assert_cmpuint(type, >=, 1);
    g_assert_cmpuint(type, <=, 3);
    w->notices[type]++;
}

static const SnVolumeEvents events = {
    .state_changed = state_changed,
    .info_changed = info_changed,
    .batch_done = batch_done,
    .reservation = reservation,
};

static void no_log(SnLogLevel level, const char *line)
{
    g_assert_null(strchr(line, '\n'));
}

void world_init(World *w)
{
    sn_log_set_func(no_log);
    w->loop = test_loop_new();
    w->rand = g_rand_new_with_seed(1);
}

void world_clear(World *w)
{
    if (w->vol) {
        sn_volume_close(w->vol);
    }
    g_rand_free(w->rand);
}

SnVolume *world_try_open(World *w, const char *url, GError **err)
{
    SnVolumeConfig config = {
        .url = url, .id = "nic0", .host = w->host, .net = &w->net->net,
        .loop = w->loop, .events = &events, .opaque = w,
    };
    SnUrl *parsed;

    if (!w->ops) {
        return sn_volume_open(&config, err);
    }
    parsed = sn_url_parse(url, err);
    if (parsed) {
        w->vol = sn_volume_open_with_ops(&config, parsed, w->ops, err);
        sn_url_free(parsed);
    }
    return w->vol;
}

void world_open_url(World *w, const char *url)
{
    g_autoptr(GError) err = NULL;

    w->vol = world_try_open(w, url, &err);
    g_assert_no_error(err);
}

void world_wait_ready(World *w)
{
    if (!world_wait_state(w, SN_VOLUME_READY, 5)) {
        g_error("not ready: %s", sn_volume_last_error(w->vol));
    }
}

void world_settle(World *w)
{
    test_loop_run_bhs(w->loop);
}

typedef struct Wanted {
    World *w;
    SnVolumeState state;
} Wanted;

static bool is_wanted(void *opaque)
{
    Wanted *wanted = opaque;

    return sn_volume_state(wanted->w->vol) == wanted->state;
}

bool world_wait_state(World *w, SnVolumeState state, unsigned seconds)
{
    Wanted wanted = { w, state };

    return test_loop_run_until(w->loop, is_wanted, &wanted,
                               seconds * SN_NS_PER_S);
}

static void complete(SnIo *io, int ret)
{
    Req *r = (Req *)io;

    g_assert_true(r->busy);
    r->busy = false;
    r->ret = ret;
}

/* Cuts the memory at random places; pieces may be empty. */
static unsigned cut(Req *r, uint64_t len, GRand *rand)
{
    unsigned n = g_rand_int_range(rand, 1, G_N_ELEMENTS(r->iov) + 1);
    uint8_t *at = r->data;

    for (unsigned i = 0; i < n; i++) {
        size_t part = i == n - 1 ? len : g_rand_int_range(rand, 0, len + 1);

        if (i < n - 1 && g_rand_boolean(rand)) {
            part = part / 512 * 512;
        }
        r->iov[i] = (struct iovec){ at, part };
        at += part;
        len -= part;
    }
    return n;
}

void req_prepare(Req *r, SnIoOp op, unsigned flags, uint64_t offset,
                 uint64_t len, GRand *rand)
{
    bool has_data = op == SN_IO_READ || op == SN_IO_WRITE ||
                    op == SN_IO_COMPARE || op == SN_IO_NVME ||
                    op == SN_IO_COMPARE_AND_WRITE;

    g_assert_false(r->busy);
    req_clear(r);
    r->io = (SnIo){ .op = op, .flags = flags, .offset = offset, .len = len,
                    .complete = complete };
    if (has_data) {
        r->data = g_malloc(sn_io_data_len(&r->io));
        r->io.iov = r->iov;
        r->io.iovcnt = cut(r, sn_io_data_len(&r->io), rand);
    }
}

void req_start(World *w, Req *r)
{
    r->busy = true;
    sn_volume_submit(w->vol, &r->io);
}

void req_submit(World *w, Req *r, SnIoOp op, unsigned flags, uint64_t offset,
                uint64_t len, const uint8_t *content, GRand *rand)
{
    req_prepare(r, op, flags, offset, len, rand);
    if (op == SN_IO_READ) {
        memset(r->data, 0x5c, len);
    } else if (r->data) {
        memcpy(r->data, content, sn_io_data_len(&r->io));
    }
    req_start(w, r);
}

static bool is_idle(void *opaque)
{
    return !((Req *)opaque)->busy;
}

int req_run(World *w, SnIoOp op, unsigned flags, uint64_t offset,
            uint64_t len, uint8_t *content)
{
    Req r = { 0 };

    req_submit(w, &r, op, flags, offset, len, content, w->rand);
    sn_volume_kick(w->vol);
    g_assert_true(test_loop_run_until(w->loop, is_idle, &r,
                                      10 * SN_NS_PER_S));
    if (op == SN_IO_READ && content) {
        memcpy(content, r.data, len);
    }
    req_clear(&r);
    return r.ret;
}

void req_cancel(Req *r)
{
    sn_io_cancel(&r->io);
    r->busy = false;
    req_clear(r);
}

void req_clear(Req *r)
{
    g_clear_pointer(&r->data, g_free);
}
