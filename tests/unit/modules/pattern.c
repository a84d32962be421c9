/*
 * pattern://?size=1M: an example of a backend module. A read-only disk on which
 * each 8 bytes hold their own offset, little endian. It needs nothing of the
 * project but include/ and libsmartnic-module.a; see docs/modules.rst.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "smartnic/module.h"

enum { BLOCK = 512, DEPTH = 64 };

SN_TRACE_EVENT(pattern_read);

struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    const char *id;
    uint64_t size;
    bool ready;
    SnBh *bh;                   /* answers come from the loop only */
    SnIo *taken[DEPTH];         /* those in flight */
    unsigned n;
};

static void read_pattern(SnBackend *be, SnIo *io)
{
    uint64_t offset = io->offset;

    sn_trace(pattern_read, "id=%s offset=%" G_GUINT64_FORMAT, be->id, offset);
    for (unsigned i = 0; i < io->iovcnt; i++) {
        uint8_t *p = io->iov[i].iov_base;

        /* The pieces may begin and end anywhere. */
        for (size_t k = 0; k < io->iov[i].iov_len; k++, offset++) {
            p[k] = (offset & ~UINT64_C(7)) >> (8 * (offset & 7));
        }
    }
}

static void work(void *opaque)
{
    SnBackend *be = opaque;
    SnVolume *vol = be->vol;

    if (!be->ready) {
        be->ready = true;
        sn_backend_ready(vol, &(SnVolumeInfo){
            .size = be->size, .block_size = BLOCK, .phys_block_size = BLOCK,
            .read_only = true, .queue_depth = DEPTH, .queues = 1 });
        return;
    }
    sn_backend_batch_begin(vol);
    while (be->n) {
        SnIo *io = be->taken[--be->n];

        if (io->op == SN_IO_READ) {
            read_pattern(be, io);
        }
        sn_backend_done(io, io->op == SN_IO_WRITE ? -EROFS : 0);
    }
    sn_backend_batch_end(vol);
}

static SnBackend *pattern_create(const SnBackendConfig *config, GError **err)
{
    static const char *const known[] = { "size", NULL };
    uint64_t size = 1 << 20;
    SnBackend *be;

    if (!sn_url_check_params(config->url, known, err) ||
        !sn_url_get_size(config->url, "size", &size, err)) {
        return NULL;
    }
    if (!size || size % BLOCK) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: size must be a multiple of %d", BLOCK);
        return NULL;
    }
    be = g_new0(SnBackend, 1);
    be->vol = config->vol;
    be->loop = config->loop;
    be->id = config->id;
    be->size = size;
    be->bh = be->loop->bh_new(be->loop, work, be);
    return be;
}

static void pattern_start(SnBackend *be)
{
    be->loop->bh_schedule(be->bh);
}

static bool pattern_submit(SnBackend *be, SnIo *io)
{
    if (be->n == DEPTH) {
        return false;
    }
    be->taken[be->n++] = io;
    return true;
}

static void pattern_kick(SnBackend *be)
{
    be->loop->bh_schedule(be->bh);
}

static void pattern_cancel(SnBackend *be, SnIo *io)
{
    for (unsigned i = 0; i < be->n; i++) {
        if (be->taken[i] == io) {
            be->taken[i] = be->taken[--be->n];
            return;
        }
    }
}

static void pattern_stop(SnBackend *be)
{
    be->n = 0;
    be->ready = false;
}

static void pattern_destroy(SnBackend *be)
{
    be->loop->bh_free(be->bh);
    g_free(be);
}

static const SnBackendOps pattern_backend = {
    .scheme = "pattern",
    .create = pattern_create,
    .start = pattern_start,
    .submit = pattern_submit,
    .kick = pattern_kick,
    .cancel = pattern_cancel,
    .stop = pattern_stop,
    .destroy = pattern_destroy,
};

static const SnBackendOps *const backends[] = { &pattern_backend, NULL };
const SnModule sn_module = SN_MODULE(backends);
