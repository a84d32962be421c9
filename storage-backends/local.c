/*
 * What the backends without a far side have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "local.h"

#define QUEUE_DEPTH 128

static bool check_size(const SnUrl *url, const SnVolumeInfo *info,
                       GError **err)
{
    if (!sn_url_get_string(url, "size")) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "%s:// needs a size, such as %s://?size=1G", url->scheme,
                    url->scheme);
        return false;
    }
    if (!info->size || info->size > INT64_MAX ||
        info->size % info->block_size) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "size must be a multiple of block-size (%u) below 2^63",
                    info->block_size);
        return false;
    }
    return true;
}

static bool get_serial(const SnUrl *url, SnVolumeInfo *info, GError **err)
{
    const char *serial = sn_url_get_string(url, "serial");
    size_t len = serial ? strlen(serial) : 0;

    for (size_t i = 0; i < len; i++) {
        if (len >= sizeof(info->serial) || !g_ascii_isprint(serial[i])) {
            g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                        "serial must be at most %zu printable ASCII "
                        "characters", sizeof(info->serial) - 1);
            return false;
        }
        info->serial[i] = serial[i];
    }
    return true;
}

static bool parse(const SnUrl *url, const char *extra, SnVolumeInfo *info,
                  GError **err)
{
    const char *known[] = { "size", "block-size", "read-only", "serial",
                            extra, NULL };
    uint64_t block_size = 512;

    if (url->host || url->user || url->port || (url->path && *url->path)) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "%s:// takes no host and no path, only parameters",
                    url->scheme);
        return false;
    }
    if (!sn_url_check_params(url, known, err) ||
        !sn_url_get_size(url, "size", &info->size, err) ||
        !sn_url_get_uint(url, "block-size", 512, 4096, &block_size, err) ||
        !sn_url_get_bool(url, "read-only", &info->read_only, err) ||
        !get_serial(url, info, err)) {
        return false;
    }
    if (block_size != 512 && block_size != 4096) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "block-size must be 512 or 4096");
        return false;
    }
    info->block_size = block_size;
    return check_size(url, info, err);
}

static void connected(void *opaque)
{
    SnBackend *be = opaque;

    sn_backend_ready(be->vol, &be->info);
}

bool sn_local_init(SnBackend *be, const SnBackendConfig *config,
                   const char *extra, GError **err)
{
    SnVolumeInfo *info = &be->info;

    if (!parse(config->url, extra, info, err)) {
        return false;
    }
    info->phys_block_size = info->block_size;
    info->max_discard = info->size;
    info->discard_granularity = info->block_size;
    info->max_write_zeroes = info->size;
    info->fua = true;
    info->compare = true;
    info->queue_depth = QUEUE_DEPTH;
    info->queues = 1;
    be->vol = config->vol;
    be->loop = config->loop;
    be->bh = be->loop->bh_new(be->loop, connected, be);
    return true;
}

void sn_local_cleanup(SnBackend *be)
{
    be->loop->bh_free(be->bh);
}

void sn_local_start(SnBackend *be)
{
    be->loop->bh_schedule(be->bh);
}

bool sn_local_submit(SnBackend *be, SnIo *io)
{
    GList *link = sn_io_scratch(io);

    if (g_queue_get_length(&be->queue) == QUEUE_DEPTH) {
        return false;
    }
    *link = (GList){ .data = io };
    g_queue_push_tail_link(&be->queue, link);
    return true;
}

/* Carries out everything that is queued. */
void sn_local_kick(SnBackend *be)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&be->queue))) {
        SnIo *io = link->data;

        sn_backend_done(io, be->execute(be, io));
    }
}

void sn_local_cancel(SnBackend *be, SnIo *io)
{
    g_queue_unlink(&be->queue, sn_io_scratch(io));
}

void sn_local_stop(SnBackend *be)
{
    g_queue_init(&be->queue);
}
