/*
 * How long a volume waits: for its path (fast-io-fail-tmo, ctrl-loss-tmo), and
 * for the answer to a command (io-timeout).
 *
 * There is one timer for all commands. It is set when the first one is sent,
 * and when it fires it looks for the oldest of those that are in flight then,
 * which is another one by far nearly always. So a command costs a time stamp.
 *
 * A command without an answer means that the path is dead: it is given up, and
 * everything is sent again on a new one. Should the far side be alive and stuck
 * on one command only, that would go on forever, and disturb all others. So a
 * request is sent again only so often once others that were sent after it are
 * answered. When nothing is answered, or it is alone, nobody can tell the two
 * apart, and the guest waits, unless fast-io-fail-tmo says that it does not
 * want to.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "smartnic/trace.h"
#include "volume-internal.h"

SN_TRACE_EVENT(volume_fast_fail);
SN_TRACE_EVENT(volume_io_timeout);

/* As many as Linux's nvme_core.max_retries. */
#define MAX_RETRIES 5
/*
 * A loop that comes this late was stuck itself: the answers may be there, and
 * have as long again to be read.
 */
#define GRACE SN_NS_PER_S

static int seconds(int64_t ns)
{
    return ns / SN_NS_PER_S;
}

static int64_t deadline(int64_t since, int64_t limit)
{
    return limit == SN_TIMER_NEVER ? limit : since + limit;
}

/* ------------------------------------------------------- the path */

void sn_volume_arm_path_timer(SnVolume *vol)
{
    const SnVolumeOptions *o = &vol->options;
    int64_t fast = deadline(vol->pathless_since, o->fast_io_fail);
    /* 0 is for sn_volume_path_lost(): the first try takes its time. */
    int64_t loss = o->ctrl_loss ? deadline(vol->pathless_since, o->ctrl_loss)
                                : SN_TIMER_NEVER;

    vol->loop->timer_set(vol->path_timer, vol->failing_fast ? loss
                                                            : MIN(fast, loss));
}

static void fail_fast(SnVolume *vol, int64_t now)
{
    unsigned waiting = vol->pending.count;

    sn_trace(volume_fast_fail, "id=%s waiting=%u", vol->id, waiting);
    sn_log_limited(&vol->fast_fail_limit, now, SN_LOG_WARN,
                   "volume %s: no path for %d s (fast-io-fail-tmo): requests "
                   "fail from now on, %u at once", vol->id,
                   seconds(vol->options.fast_io_fail), waiting);
    vol->failing_fast = true;
    vol->failed_fast = waiting;
    sn_volume_fail_pending(vol, -ETIMEDOUT);
    sn_volume_arm_path_timer(vol);
}

void sn_volume_path_deadline(void *opaque)
{
    SnVolume *vol = opaque;
    int64_t now = sn_loop_now(vol->loop);

    if (sn_volume_backend_on_stack(vol)) {
        vol->loop->timer_set(vol->path_timer, now + GRACE);
    } else if (now >= deadline(vol->pathless_since, vol->options.ctrl_loss)) {
        sn_volume_stop_backend(vol);
        sn_volume_path_lost(vol, true, g_strdup_printf(
            "no path for %d s (ctrl-loss-tmo): %s",
            seconds(vol->options.ctrl_loss),
            vol->last_error ? vol->last_error : "no answer at all"));
    } else {
        fail_fast(vol, now);
    }
}

/* ------------------------------------------------------- commands */

/* The command of @io that was sent first; NULL when none is in flight. */
static const SnIo *oldest_command(SnIo *io)
{
    return io->state == SN_IO_SPLIT ? sn_split_oldest_part(io) : io;
}

static const SnIo *oldest_in_flight(const SnVolume *vol)
{
    const SnIo *oldest = NULL;

    for (SnIo *io = vol->in_flight.head; io; io = io->next) {
        const SnIo *cmd = oldest_command(io);

        if (cmd && (!oldest || cmd->sent < oldest->sent)) {
            oldest = cmd;
        }
    }
    return oldest;
}

void sn_volume_arm_io_timer(SnVolume *vol, int64_t at)
{
    vol->io_deadline = at;
    vol->loop->timer_set(vol->io_timer, at);
}

/*
 * Counts the connection against the requests that have no answer, if it is the
 * request that is to blame.
 */
static void count_timeouts(SnVolume *vol, int64_t now)
{
    bool impatient = vol->options.fast_io_fail != SN_TIMER_NEVER;

    for (SnIo *io = vol->in_flight.head; io; io = io->next) {
        const SnIo *cmd = oldest_command(io);

        if (cmd && now >= cmd->sent + vol->options.io_timeout &&
            (impatient || vol->answered_until > cmd->sent)) {
            io->timeouts++;
        }
    }
}

bool sn_volume_give_up_on(SnVolume *vol, const SnIo *io)
{
    if (io->timeouts <= MAX_RETRIES) {
        return false;
    }
    sn_log_limited(&vol->give_up_limit, sn_loop_now(vol->loop), SN_LOG_WARN,
                   "volume %s: a %s at byte %" G_GUINT64_FORMAT " fails: no "
                   "answer on %u connections", vol->id, sn_io_op_name(io->op),
                   io->offset, io->timeouts);
    return true;
}

/* The path is dead: @what did not come. */
static void give_up_path(SnVolume *vol, const char *what, SnIoOp op,
                         int64_t now)
{
    char *why = g_strdup_printf("no %s a %s within %d s", what,
                                sn_io_op_name(op),
                                seconds(vol->options.io_timeout));

    sn_trace(volume_io_timeout, "id=%s error=%s", vol->id, why);
    sn_volume_stop_backend(vol);
    count_timeouts(vol, now);
    sn_volume_path_lost(vol, false, why);
}

void sn_volume_io_deadline(void *opaque)
{
    SnVolume *vol = opaque;
    int64_t now = sn_loop_now(vol->loop);
    int64_t late = now - vol->io_deadline;
    const SnIo *oldest = oldest_in_flight(vol);
    const SnIo *refused = vol->refused_since ? sn_volume_first_waiting(vol)
                                             : NULL;
    int64_t since = oldest ? oldest->sent : SN_TIMER_NEVER;

    vol->io_deadline = 0;
    if (vol->state != SN_VOLUME_READY) {
        return;
    }
    if (refused && vol->refused_since < since) {
        since = vol->refused_since;
        oldest = NULL;
    }
    if (since == SN_TIMER_NEVER) {
        return;
    }
    if (now < since + vol->options.io_timeout) {
        sn_volume_arm_io_timer(vol, since + vol->options.io_timeout);
    } else if (late >= GRACE || sn_volume_backend_on_stack(vol)) {
        sn_volume_arm_io_timer(vol, now + GRACE);
    } else if (oldest) {
        give_up_path(vol, "answer to", oldest->op, now);
    } else {
        give_up_path(vol, "room for", refused->op, now);
    }
}
