/*
 * SnVolume: opening and closing, and the path to the far side.
 *
 *   CONNECTING --ready--> READY --lost--> LOST --ready--> READY ...
 *        \______________ lost for good ____/ -----------> FAILED
 *
 * A lost path is tried again at once, then after delays that double up to the
 * URL's reconnect-delay. Requests are in volume-io.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "volume-internal.h"

#define FIRST_DELAY (250 * SN_NS_PER_MS)
#define DEFAULT_RECONNECT_DELAY 2       /* seconds */
#define MAX_RECONNECT_DELAY 600
/* With reconnect-delay=0: refused at once must not become a busy loop. */
#define MIN_DELAY (10 * SN_NS_PER_MS)
/* A path that is lost sooner than this was no good. */
#define STABLE_TIME (2 * SN_NS_PER_S)
#define LOG_INTERVAL (60 * SN_NS_PER_S)

G_DEFINE_QUARK(sn-volume-error-quark, sn_volume_error)

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

/*
 * The one place where the state changes. The event may submit and cancel; the
 * backend is on the stack, so what is submitted waits for the bottom half.
 */
static void set_state(SnVolume *vol, SnVolumeState state)
{
    vol->state = state;
    vol->since = sn_loop_now(vol->loop);
    vol->info_dirty = false;
    sn_timer_disarm(vol->loop, vol->start_timer);
    vol->in_backend++;
    vol->events->state_changed(vol->opaque, state);
    vol->in_backend--;
    sn_volume_wake(vol);
}

static void start(void *opaque)
{
    SnVolume *vol = opaque;

    vol->trying = true;
    vol->in_backend++;
    vol->ops->start(vol->be);
    vol->in_backend--;
}

static void work(void *opaque)
{
    SnVolume *vol = opaque;

    if (vol->other_disk) {
        vol->other_disk = false;
        vol->in_backend++;
        vol->ops->stop(vol->be);
        vol->in_backend--;
        sn_backend_lost(vol, false, "another disk answers under this URL");
    }
    sn_volume_run(vol);
}

/* Nanoseconds until the next try, after @tries in a row that failed. */
static int64_t retry_delay(unsigned tries, int64_t max)
{
    /* Twelve doublings are above any maximum; more would overflow. */
    return tries ? MIN(FIRST_DELAY << MIN(tries - 1, 12), max) : 0;
}

static void schedule_start(SnVolume *vol)
{
    int64_t delay = retry_delay(vol->tries, vol->max_delay);

    vol->tries++;
    if (delay) {
        sn_timer_arm_in(vol->loop, vol->start_timer, delay);
    } else {
        vol->loop->bh_schedule(vol->start_bh);
    }
}

/*
 * What waits is for the disk that was there before. Should another one answer
 * under the same name after a loss, it must not get these writes.
 */
static bool same_disk(const SnVolumeInfo *a, const SnVolumeInfo *b)
{
    return a->block_size == b->block_size &&
           !memcmp(a->uuid, b->uuid, sizeof(a->uuid)) &&
           !memcmp(a->nguid, b->nguid, sizeof(a->nguid)) &&
           !memcmp(a->eui64, b->eui64, sizeof(a->eui64));
}

void sn_backend_ready(SnVolume *vol, const SnVolumeInfo *info)
{
    int64_t now = sn_loop_now(vol->loop);

    g_assert(!vol->in_backend && vol->trying);
    if (vol->state == SN_VOLUME_LOST && !same_disk(&vol->info, info)) {
        vol->other_disk = true;
        vol->loop->bh_schedule(vol->work_bh);   /* not from inside of it */
        return;
    }
    vol->trying = false;
    vol->info = *info;
    if (vol->state == SN_VOLUME_LOST) {
        vol->reconnects++;
        sn_log_limited(&vol->back_limit, now, SN_LOG_INFO,
                       "volume %s: reconnected after %.1f s", vol->id,
                       (double)(now - vol->since) / SN_NS_PER_S);
    } else if (vol->tries) {
        sn_log(SN_LOG_INFO, "volume %s: connected", vol->id);
    }
    set_state(vol, SN_VOLUME_READY);
}

static void path_lost(SnVolume *vol)
{
    int64_t now = sn_loop_now(vol->loop);

    sn_log_limited(&vol->lost_limit, now, SN_LOG_WARN,
                   "volume %s: connection lost: %s; reconnecting", vol->id,
                   vol->last_error);
    /*
     * A path that was lost soon counts as one more try that failed: a far
     * side that accepts and then drops us must not get a busy loop.
     */
    if (now - vol->since >= STABLE_TIME) {
        vol->tries = 0;
    }
    sn_volume_requeue(vol);
    set_state(vol, SN_VOLUME_LOST);
}

static void path_failed(SnVolume *vol)
{
    sn_log(SN_LOG_ERROR, "volume %s: failed: %s", vol->id, vol->last_error);
    sn_volume_requeue(vol);
    sn_volume_fail_pending(vol, -ENODEV);
    set_state(vol, SN_VOLUME_FAILED);
}

void sn_backend_lost(SnVolume *vol, bool permanent, const char *fmt, ...)
{
    va_list ap;

    g_assert(!vol->in_backend);
    if (vol->state != SN_VOLUME_READY && !vol->trying) {
        /* One loss may show in two places; the first report was acted on. */
        return;
    }
    vol->trying = false;
    g_free(vol->last_error);
    va_start(ap, fmt);
    vol->last_error = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    if (permanent) {
        path_failed(vol);
        return;
    }
    if (vol->state == SN_VOLUME_READY) {
        path_lost(vol);
    } else {
        sn_log_limited(&vol->try_limit, sn_loop_now(vol->loop), SN_LOG_WARN,
                       "volume %s: cannot connect: %s; trying again", vol->id,
                       vol->last_error);
        vol->tries = MAX(vol->tries, 1);
    }
    schedule_start(vol);
}

void sn_backend_info_changed(SnVolume *vol, const SnVolumeInfo *info)
{
    if (vol->state != SN_VOLUME_READY) {
        return;
    }
    vol->info = *info;
    vol->info_dirty = true;
    sn_volume_wake(vol);
}

/* Takes the parameters that are the volume's own out of @url. */
static bool take_params(SnUrl *url, int64_t *max_delay, GError **err)
{
    uint64_t seconds = DEFAULT_RECONNECT_DELAY;

    if (!sn_url_get_uint(url, "reconnect-delay", 0, MAX_RECONNECT_DELAY,
                         &seconds, err)) {
        return false;
    }
    g_hash_table_remove(url->params, "reconnect-delay");
    *max_delay = MAX((int64_t)seconds * SN_NS_PER_S, MIN_DELAY);
    return true;
}

static void volume_free(SnVolume *vol)
{
    vol->loop->timer_free(vol->start_timer);
    vol->loop->bh_free(vol->start_bh);
    vol->loop->bh_free(vol->work_bh);
    sn_split_free_pool(vol);
    g_free(vol->last_error);
    g_free(vol->id);
    g_free(vol);
}

SnVolume *sn_volume_open_with_ops(const SnVolumeConfig *config, SnUrl *url,
                                  const SnBackendOps *ops, GError **err)
{
    SnVolume *vol;
    int64_t max_delay;

    if (!take_params(url, &max_delay, err)) {
        return NULL;
    }
    vol = g_new0(SnVolume, 1);
    vol->id = g_strdup(config->id);
    vol->loop = config->loop;
    vol->events = config->events;
    vol->opaque = config->opaque;
    vol->ops = ops;
    vol->state = SN_VOLUME_CONNECTING;
    vol->max_delay = max_delay;
    vol->try_limit = (SnLogLimit){ .burst = 1, .interval_ns = LOG_INTERVAL };
    vol->lost_limit = (SnLogLimit){ .burst = 10, .interval_ns = LOG_INTERVAL };
    vol->back_limit = vol->lost_limit;
    vol->start_timer = vol->loop->timer_new(vol->loop, start, vol);
    vol->start_bh = vol->loop->bh_new(vol->loop, start, vol);
    vol->work_bh = vol->loop->bh_new(vol->loop, work, vol);
    vol->be = ops->create(&(SnBackendConfig){ .vol = vol, .url = url,
                                              .id = vol->id,
                                              .net = config->net,
                                              .loop = vol->loop }, err);
    if (!vol->be) {
        volume_free(vol);
        return NULL;
    }
    vol->loop->bh_schedule(vol->start_bh);
    return vol;
}

static const SnBackendOps *find_backend(const char *scheme, GError **err)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        if (!strcmp(scheme, backends[i]->scheme)) {
            return backends[i];
        }
        g_string_append_printf(known, "%s%s://", i ? ", " : "",
                               backends[i]->scheme);
    }
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

void sn_volume_close(SnVolume *vol)
{
    g_assert(!vol->running && !vol->in_backend);
    g_assert(!vol->pending.head && !vol->in_flight.head && !vol->done.head);
    vol->ops->stop(vol->be);
    vol->ops->destroy(vol->be);
    volume_free(vol);
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
