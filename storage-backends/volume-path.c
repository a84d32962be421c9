/*
 * The path of a volume to its far side.
 *
 *   CONNECTING --ready--> READY --lost--> LOST --ready--> READY ...
 *        \______________ lost for good ____/ -----------> FAILED
 *
 * A lost path is tried again at once, then after delays that double up to the
 * URL's reconnect-delay.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "smartnic/trace.h"
#include "volume-internal.h"

SN_TRACE_EVENT(volume_state);
SN_TRACE_EVENT(volume_start);
SN_TRACE_EVENT(volume_info);

#define FIRST_DELAY (250 * SN_NS_PER_MS)
/* A path that is lost sooner than this was no good. */
#define STABLE_TIME (2 * SN_NS_PER_S)

/*
 * The one place where the state changes. The event may submit, cancel and
 * close; the backend is on the stack, so all that waits for the bottom half.
 */
static void set_state(SnVolume *vol, SnVolumeState state)
{
    sn_trace(volume_state, "id=%s state=%s", vol->id,
             sn_volume_state_name(state));
    vol->state = state;
    vol->since = sn_loop_now(vol->loop);
    vol->info_dirty = false;
    vol->failing_fast = false;
    sn_timer_disarm(vol->loop, vol->start_timer);
    sn_timer_disarm(vol->loop, vol->path_timer);
    if (state == SN_VOLUME_LOST) {
        vol->pathless_since = vol->since;
        sn_volume_arm_path_timer(vol);
    }
    vol->in_backend++;
    vol->events->state_changed(vol->opaque, state);
    vol->in_backend--;
    sn_volume_wake(vol);
}

void sn_volume_start(void *opaque)
{
    SnVolume *vol = opaque;

    if (vol->closing || vol->state == SN_VOLUME_FAILED) {
        return;                 /* since the bottom half was scheduled */
    }
    sn_trace(volume_start, "id=%s tries=%u", vol->id, vol->tries);
    vol->trying = true;
    vol->in_backend++;
    vol->ops->start(vol->be);
    vol->in_backend--;
}

void sn_volume_stop_backend(SnVolume *vol)
{
    vol->in_backend++;
    vol->ops->stop(vol->be);
    vol->in_backend--;
}

/* Nanoseconds until the next try, after @tries in a row that failed. */
static int64_t retry_delay(unsigned tries, int64_t max)
{
    /* Twelve doublings are above any maximum; more would overflow. */
    return tries ? MIN(FIRST_DELAY << MIN(tries - 1, 12), max) : 0;
}

static void schedule_start(SnVolume *vol)
{
    int64_t delay = retry_delay(vol->tries, vol->options.reconnect_delay);

    vol->tries++;
    if (delay) {
        sn_timer_arm_in(vol->loop, vol->start_timer, delay);
    } else {
        vol->loop->bh_schedule(vol->start_bh);
    }
}

/* ------------------------------------------------------- ready */

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

void sn_volume_leave_other_disk(SnVolume *vol)
{
    if (vol->other_disk) {
        sn_volume_stop_backend(vol);
        sn_volume_path_lost(vol, false, g_strdup("another disk answers under "
                                                 "this URL"));
    }
}

/* Takes @info, and tells what is new in it for a person. */
static void set_info(SnVolume *vol, const SnVolumeInfo *info)
{
    SnVolumeInfo old = vol->info;
    int64_t now = sn_loop_now(vol->loop);

    vol->info = *info;
    sn_trace(volume_info, "id=%s size=%" G_GUINT64_FORMAT " block_size=%u "
             "read_only=%d write_cache=%d", vol->id, info->size,
             info->block_size, info->read_only, info->write_cache);
    if (vol->state == SN_VOLUME_CONNECTING) {
        return;                 /* all of it is new */
    }
    if (info->size != old.size) {
        sn_log_limited(&vol->resize_limit, now, SN_LOG_INFO,
                       "volume %s: resized from %" G_GUINT64_FORMAT " to %"
                       G_GUINT64_FORMAT " bytes", vol->id, old.size,
                       info->size);
    }
    if (info->read_only != old.read_only) {
        sn_log_limited(&vol->protect_limit, now, SN_LOG_INFO,
                       "volume %s: %s now", vol->id,
                       info->read_only ? "read-only" : "writable");
    }
}

/*
 * A return is told exactly when its loss was: the copy of the limit, asked at
 * the time of the loss, says the same again.
 */
static void tell_ready(SnVolume *vol)
{
    int64_t now = sn_loop_now(vol->loop);
    g_autofree char *failed = vol->failed_fast
        ? g_strdup_printf("; %u requests failed meanwhile", vol->failed_fast)
        : g_strdup("");

    if (vol->state == SN_VOLUME_LOST) {
        sn_log_limited(&vol->back_limit, vol->lost_at, SN_LOG_INFO,
                       "volume %s: reconnected after %.1f s%s", vol->id,
                       (double)(now - vol->lost_at) / SN_NS_PER_S, failed);
    } else if (vol->last_error || vol->failed_fast) {
        sn_log(SN_LOG_INFO, "volume %s: connected%s", vol->id, failed);
    }
    vol->failed_fast = 0;
}

void sn_backend_ready(SnVolume *vol, const SnVolumeInfo *info)
{
    if (vol->closing) {
        return;
    }
    g_assert(!vol->in_backend && vol->trying);
    if (vol->state == SN_VOLUME_LOST && !same_disk(&vol->info, info)) {
        vol->other_disk = true;
        vol->loop->bh_schedule(vol->work_bh);   /* not from inside of it */
        return;
    }
    vol->trying = false;
    vol->reconnects += vol->state == SN_VOLUME_LOST;
    tell_ready(vol);
    set_info(vol, info);
    set_state(vol, SN_VOLUME_READY);
}

void sn_backend_info_changed(SnVolume *vol, const SnVolumeInfo *info)
{
    if (vol->state != SN_VOLUME_READY || vol->closing) {
        return;
    }
    set_info(vol, info);
    vol->info_dirty = true;
    sn_volume_wake(vol);
}

/* As in set_state(), the backend is on the stack. */
void sn_backend_reservation(SnVolume *vol, uint8_t type)
{
    if (vol->state != SN_VOLUME_READY || vol->closing) {
        return;
    }
    vol->in_backend++;
    vol->events->reservation(vol->opaque, type);
    vol->in_backend--;
    sn_volume_wake(vol);
}

/* ------------------------------------------------------- lost */

static void lost_while_ready(SnVolume *vol)
{
    vol->lost_at = sn_loop_now(vol->loop);
    vol->back_limit = vol->lost_limit;
    sn_log_limited(&vol->lost_limit, vol->lost_at, SN_LOG_WARN,
                   "volume %s: connection lost: %s; reconnecting", vol->id,
                   vol->last_error);
    /*
     * A path that was lost soon counts as one more try that failed: a far
     * side that accepts and then drops us must not get a busy loop.
     */
    if (vol->lost_at - vol->since >= STABLE_TIME) {
        vol->tries = 0;
    }
    sn_volume_requeue(vol);
    set_state(vol, SN_VOLUME_LOST);
}

static void try_failed(SnVolume *vol)
{
    sn_log_limited(&vol->try_limit, sn_loop_now(vol->loop), SN_LOG_WARN,
                   "volume %s: cannot connect: %s; trying again", vol->id,
                   vol->last_error);
    vol->tries = MAX(vol->tries, 1);
}

static void lost_for_good(SnVolume *vol)
{
    sn_log(SN_LOG_ERROR, "volume %s: failed: %s", vol->id, vol->last_error);
    sn_volume_requeue(vol);
    sn_volume_fail_pending(vol, -ENODEV);
    set_state(vol, SN_VOLUME_FAILED);
}

void sn_volume_path_lost(SnVolume *vol, bool permanent, char *why)
{
    vol->trying = false;
    vol->other_disk = false;
    g_free(vol->last_error);
    vol->last_error = why;
    if (permanent || !vol->options.ctrl_loss) {
        lost_for_good(vol);
        return;
    }
    if (vol->state == SN_VOLUME_READY) {
        lost_while_ready(vol);
    } else {
        try_failed(vol);
    }
    schedule_start(vol);
}

void sn_backend_lost(SnVolume *vol, bool permanent, const char *fmt, ...)
{
    va_list ap;
    char *why;

    if (vol->closing || (vol->state != SN_VOLUME_READY && !vol->trying)) {
        /* One loss may show in two places; the first report was acted on. */
        return;
    }
    g_assert(!vol->in_backend);
    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    sn_volume_path_lost(vol, permanent, why);
}
