/*
 * The inside of SnVolume, shared by its files: volume.c (opening and closing),
 * volume-options.c, volume-path.c (the path to the far side),
 * volume-deadlines.c, volume-io.c (requests), volume-split.c (requests that
 * take several backend commands) and volume-latency.c. Tests use
 * sn_volume_open_with_ops().
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_VOLUME_INTERNAL_H
#define SN_VOLUME_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "smartnic/backend.h"
#include "smartnic/log.h"
#include "smartnic/loop.h"
#include "smartnic/volume.h"

typedef struct SnSplit SnSplit;

/* SnIo.state: who holds the request. */
typedef enum SnIoState {
    /* Nobody: the submitter's. */
    SN_IO_IDLE,
    /* On vol->pending: waits for the path or for room in the backend. */
    SN_IO_PENDING,
    /* On vol->in_flight (a part: in its split): the backend has it. */
    SN_IO_IN_FLIGHT,
    /* On vol->in_flight: its parts are with the backend, it is not. */
    SN_IO_SPLIT,
    /* On vol->done: over, complete() is to be called. */
    SN_IO_DONE,
} SnIoState;

/* A list through SnIo.next and prev; a request is on one at most. */
typedef struct SnIoList {
    SnIo *head, *tail;
    unsigned count;
} SnIoList;

#define SN_IO_OPS (SN_IO_NVME + 1)

/* The URL's parameters that are the volume's own, all in ns. */
typedef struct SnVolumeOptions {
    int64_t reconnect_delay;    /* the longest between two tries */
    /* SN_TIMER_NEVER: off. */
    int64_t fast_io_fail;
    int64_t ctrl_loss;          /* 0: gives up with the first loss or try */
    int64_t io_timeout;
} SnVolumeOptions;

struct SnVolume {
    char *id;
    SnVolumeOptions options;
    SnLoop *loop;
    const SnVolumeEvents *events;
    void *opaque;
    const SnBackendOps *ops;
    SnBackend *be;

    /* The path (volume-path.c). */
    SnVolumeState state;
    SnVolumeInfo info;
    char *last_error;
    unsigned reconnects;
    bool trying;                /* start() was called and is not answered */
    bool other_disk;            /* answered, and has to be left again */
    unsigned tries;             /* failed ones in a row, see retry_delay() */
    int64_t since;              /* when the state was entered, ns */
    int64_t lost_at;            /* the last loss, ns */
    SnBh *start_bh;
    SnTimer *start_timer;
    SnLogLimit try_limit;       /* lines about failing tries */
    SnLogLimit lost_limit;      /* about losses */
    SnLogLimit back_limit;      /* as lost_limit was before the last loss */
    SnLogLimit resize_limit;
    SnLogLimit protect_limit;   /* about becoming read-only or writable */

    /* What is waited for (volume-deadlines.c). */
    SnTimer *path_timer;
    int64_t pathless_since;     /* in CONNECTING and LOST, ns */
    bool failing_fast;          /* fast-io-fail-tmo has passed */
    unsigned failed_fast;       /* requests, since the path was lost */
    SnLogLimit fast_fail_limit;
    SnTimer *io_timer;
    int64_t io_deadline;        /* when io_timer fires; 0: it is not set */
    int64_t answered_until;     /* newest SnIo.sent of those answered, ns */
    int64_t refused_since;      /* the backend has no room, ns; 0: it has */
    SnLogLimit give_up_limit;   /* about requests that nobody answers */

    /* Requests (volume-io.c), each list in order of submission. */
    SnIoList pending;
    SnIoList in_flight;
    SnIoList done;
    SnBh *work_bh;
    unsigned batch;             /* depth of sn_backend_batch_begin() */
    /*
     * Depth of calls into the backend, and of events that it caused: it must
     * not be called while this is not 0.
     */
    unsigned in_backend;
    bool work;                  /* for sn_volume_run(), at the batch's end */
    bool unkicked;              /* submitted to the backend since its kick */
    bool closing;               /* sn_volume_close() was called */
    bool running;               /* sn_volume_run() is on the stack */
    bool rerun;                 /* it was called meanwhile */
    bool info_dirty;            /* info_changed() is to be called */
    int64_t batch_now;          /* see sn_volume_batch_time(); 0: not known */
    SnLatency latency[SN_IO_OPS];

    /* Splits (volume-split.c). */
    GQueue wanting;             /* of SnSplit: have a part to be sent now */
    SnSplit *free_splits;       /* the pool */
};

/*
 * Opens a volume on the backend @ops. Takes the volume's own parameters out of
 * @url, which is borrowed. Otherwise as sn_volume_open().
 */
SnVolume *sn_volume_open_with_ops(const SnVolumeConfig *config, SnUrl *url,
                                  const SnBackendOps *ops, GError **err);

/* Takes the volume's own parameters out of @url. */
bool sn_volume_options_take(SnVolumeOptions *options, SnUrl *url,
                            GError **err);

/* Whether the backend must not be stopped or destroyed now. */
bool sn_volume_backend_on_stack(const SnVolume *vol);

/* Does what is left to do for sn_volume_close() and can be done by now. */
void sn_volume_go_on_closing(SnVolume *vol);

/* Starts to connect: the callback of start_bh and start_timer. */
void sn_volume_start(void *opaque);

void sn_volume_stop_backend(SnVolume *vol);

/* Leaves the disk that answered in place of the one that was lost, if so. */
void sn_volume_leave_other_disk(SnVolume *vol);

/*
 * The path is gone, or could not be made, and the backend has forgotten every
 * request. Takes @why, one line.
 */
void sn_volume_path_lost(SnVolume *vol, bool permanent, char *why);

/* Sets the timer for fast-io-fail-tmo and ctrl-loss-tmo. */
void sn_volume_arm_path_timer(SnVolume *vol);

/* Has the commands in flight looked at when it is @at, ns. */
void sn_volume_arm_io_timer(SnVolume *vol, int64_t at);

/* The callbacks of path_timer and io_timer. */
void sn_volume_path_deadline(void *opaque);
void sn_volume_io_deadline(void *opaque);

/* Whether @io was left unanswered too often to be sent again; tells so. */
bool sn_volume_give_up_on(SnVolume *vol, const SnIo *io);

/* Counts @io, which succeeded now. */
void sn_volume_count_latency(SnVolume *vol, const SnIo *io);

/* For messages. */
const char *sn_io_op_name(SnIoOp op);

/* Of those that wait for room in the backend, the next; NULL when none does. */
const SnIo *sn_volume_first_waiting(const SnVolume *vol);

/* The time, which is looked at once for a batch of requests. */
static inline int64_t sn_volume_batch_time(SnVolume *vol)
{
    if (!vol->batch_now) {
        vol->batch_now = sn_loop_now(vol->loop);
    }
    return vol->batch_now;
}

/* Runs sn_volume_run() soon: at the end of a batch, if one is open. */
void sn_volume_wake(SnVolume *vol);

/* Calls complete() of what is done, then offers what waits. */
void sn_volume_run(SnVolume *vol);

/* What is in flight goes back to the head of the pending ones, in order. */
void sn_volume_requeue(SnVolume *vol);

/* Every pending request is over with @ret. */
void sn_volume_fail_pending(SnVolume *vol, int ret);

/* Moves @io, on no list, to the done ones. */
void sn_volume_finish(SnVolume *vol, SnIo *io, int ret);

/* 0, or the error that the volume's present properties mean for @io. */
int sn_volume_check(const SnVolume *vol, const SnIo *io);

/* Hands @io to the backend; false when that cannot take it now. */
bool sn_volume_send(SnVolume *vol, SnIo *io);

/* Takes @io away from the backend. */
void sn_volume_detach(SnVolume *vol, SnIo *io);

void sn_io_list_push(SnIoList *list, SnIo *io, SnIoState state);
void sn_io_list_remove(SnIoList *list, SnIo *io);

/* Whether @io takes more than one command of the backend. */
bool sn_split_needed(const SnVolume *vol, const SnIo *io);

/*
 * Sends the first parts of @io, which is on no list, and puts it in flight.
 * False, and nothing has changed, when the backend takes no part now.
 */
bool sn_split_start(SnVolume *vol, SnIo *io);

/* Sends parts that wait; false when the backend takes no more. */
bool sn_split_send_wanting(SnVolume *vol);

/* The backend is done with @part. */
void sn_split_part_done(SnVolume *vol, SnIo *part, int ret);

/* Takes the parts of @io away from the backend and forgets them. */
void sn_split_cancel(SnVolume *vol, SnIo *io);

/* Forgets the parts of @io, which the backend has forgotten already. */
void sn_split_forget(SnVolume *vol, SnIo *io);

/* The part of @io that was sent first; NULL when none is in flight. */
const SnIo *sn_split_oldest_part(SnIo *io);

/* The first request that has a part to be sent now; NULL when none has. */
const SnIo *sn_split_first_wanting(const SnVolume *vol);

/* Frees the pool. */
void sn_split_free_pool(SnVolume *vol);

#endif
