/*
 * SnVolume: opening and closing. Its path to the far side is in volume-path.c,
 * its requests are in volume-io.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "modules.h"
#include "volume-internal.h"

#define LOG_INTERVAL (60 * SN_NS_PER_S)

static const SnBackendOps *const backends[] = {
    &sn_nvmetcp_backend,
    &sn_null_backend,
    &sn_mem_backend,
};

const char *sn_volume_state_name(SnVolumeState state)
{
    static const char *const names[] = {
        [SN_VOLUME_CONNECTING] = "connecting",
        [SN_VOLUME_READY] = "ready",
        [SN_VOLUME_LOST] = "lost",
        [SN_VOLUME_FAILED] = "failed",
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(names) == SN_VOLUME_FAILED + 1);
    return names[state];
}

/* Frees what the loop and the backend have of @vol; no callback comes more. */
static void tear_down(SnVolume *vol)
{
    SnLoop *loop = vol->loop;

    if (vol->be) {
        sn_volume_stop_backend(vol);
        vol->in_backend++;
        vol->ops->destroy(vol->be);
        vol->in_backend--;
        vol->be = NULL;
    }
    loop->timer_free(vol->start_timer);
    loop->timer_free(vol->path_timer);
    loop->timer_free(vol->io_timer);
    loop->bh_free(vol->start_bh);
    loop->bh_free(vol->work_bh);
}

static void volume_free(SnVolume *vol)
{
    sn_split_free_pool(vol);
    g_free(vol->last_error);
    g_free(vol->id);
    g_free(vol);
}

bool sn_volume_backend_on_stack(const SnVolume *vol)
{
    return vol->in_backend || vol->batch;
}

void sn_volume_go_on_closing(SnVolume *vol)
{
    if (sn_volume_backend_on_stack(vol)) {
        return;                 /* comes again from the bottom half */
    }
    if (vol->be) {
        tear_down(vol);
    }
    if (!vol->running) {
        volume_free(vol);
    }
}

void sn_volume_close(SnVolume *vol)
{
    g_assert(!vol->closing);
    g_assert(!vol->pending.head && !vol->in_flight.head && !vol->done.head);
    vol->closing = true;
    sn_timer_disarm(vol->loop, vol->start_timer);
    sn_timer_disarm(vol->loop, vol->path_timer);
    sn_timer_disarm(vol->loop, vol->io_timer);
    sn_volume_go_on_closing(vol);
}

static void work(void *opaque)
{
    SnVolume *vol = opaque;

    if (!vol->closing) {
        sn_volume_leave_other_disk(vol);
    }
    if (vol->closing) {
        sn_volume_go_on_closing(vol);
    } else {
        sn_volume_run(vol);
    }
}

static void init_limits(SnVolume *vol)
{
    const SnLogLimit limit = { .burst = 10, .interval_ns = LOG_INTERVAL };

    vol->lost_limit = vol->fast_fail_limit = vol->give_up_limit =
        vol->resize_limit = vol->protect_limit = limit;
    vol->try_limit = (SnLogLimit){ .burst = 1, .interval_ns = LOG_INTERVAL };
}

static void init_loop(SnVolume *vol, SnLoop *loop)
{
    vol->loop = loop;
    vol->start_timer = loop->timer_new(loop, sn_volume_start, vol);
    vol->path_timer = loop->timer_new(loop, sn_volume_path_deadline, vol);
    vol->io_timer = loop->timer_new(loop, sn_volume_io_deadline, vol);
    vol->start_bh = loop->bh_new(loop, sn_volume_start, vol);
    vol->work_bh = loop->bh_new(loop, work, vol);
}

SnVolume *sn_volume_open_with_ops(const SnVolumeConfig *config, SnUrl *url,
                                  const SnBackendOps *ops, GError **err)
{
    SnVolumeOptions options;
    SnVolume *vol;

    if (!sn_volume_options_take(&options, url, err)) {
        return NULL;
    }
    vol = g_new0(SnVolume, 1);
    vol->id = g_strdup(config->id);
    vol->options = options;
    vol->events = config->events;
    vol->opaque = config->opaque;
    vol->ops = ops;
    vol->state = SN_VOLUME_CONNECTING;
    init_limits(vol);
    init_loop(vol, config->loop);
    vol->be = ops->create(&(SnBackendConfig){ .vol = vol, .url = url,
                                              .id = vol->id,
                                              .host = config->host
                                                      ? config->host : vol->id,
                                              .net = config->net,
                                              .loop = vol->loop }, err);
    if (!vol->be) {
        tear_down(vol);
        volume_free(vol);
        return NULL;
    }
    if (options.io_timeout == SN_TIMER_NEVER) {
        vol->io_deadline = SN_TIMER_NEVER;
    }
    vol->pathless_since = sn_loop_now(vol->loop);
    sn_volume_arm_path_timer(vol);
    vol->loop->bh_schedule(vol->start_bh);
    return vol;
}

static const SnBackendOps *find_backend(const char *scheme, GError **err)
{
    g_autoptr(GString) known = g_string_new(NULL);
    const SnBackendOps *ops;
    GError *module_err = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        if (!strcmp(scheme, backends[i]->scheme)) {
            return backends[i];
        }
        g_string_append_printf(known, "%s%s://", i ? ", " : "",
                               backends[i]->scheme);
    }
    ops = sn_modules_find(scheme, &module_err);
    if (ops) {
        return ops;
    }
    if (module_err) {
        g_propagate_error(err, module_err);
        return NULL;
    }
    sn_modules_list(known);
    g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                "no storage backend for '%s://'; there are %s", scheme,
                known->str);
    return NULL;
}

SnVolume *sn_volume_open(const SnVolumeConfig *config, GError **err)
{
    const SnBackendOps *ops;
    SnVolume *vol = NULL;
    SnUrl *url = sn_url_parse(config->url, err);

    if (!url) {
        return NULL;
    }
    ops = find_backend(url->scheme, err);
    if (ops) {
        vol = sn_volume_open_with_ops(config, url, ops, err);
    }
    sn_url_free(url);
    return vol;
}

SnVolumeState sn_volume_state(const SnVolume *vol)
{
    return vol->state;
}

const SnVolumeInfo *sn_volume_info(const SnVolume *vol)
{
    return &vol->info;
}

const char *sn_volume_last_error(const SnVolume *vol)
{
    return vol->last_error ? vol->last_error : "";
}

unsigned sn_volume_reconnects(const SnVolume *vol)
{
    return vol->reconnects;
}
