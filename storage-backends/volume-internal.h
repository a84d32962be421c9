/*
 * The inside of SnVolume, shared by its three files: volume.c (the path to the
 * far side), volume-io.c (requests) and volume-split.c (requests that take
 * several backend commands). Tests use sn_volume_open_with_ops().
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

struct SnVolume {
    char *id;
    SnLoop *loop;
    const SnVolumeEvents *events;
    void *opaque;
    const SnBackendOps *ops;
    SnBackend *be;

    /* The path (volume.c). */
    SnVolumeState state;
    SnVolumeInfo info;
    char *last_error;
    unsigned reconnects;
    bool trying;                /* start() was called and is not answered */
    bool other_disk;            /* answered, and has to be left again */
    unsigned tries;             /* failed ones in a row, see retry_delay() */
    int64_t max_delay;          /* between two tries, ns */
    int64_t since;              /* when the state was entered, ns */
    SnBh *start_bh;
    SnTimer *start_timer;
    SnLogLimit try_limit;       /* lines about failing tries */
    SnLogLimit lost_limit;      /* about losses */
    SnLogLimit back_limit;      /* about reconnecting; as many as losses */

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
    bool unkicked;              /* submitted to the backend since its kick */
    bool running;               /* sn_volume_run() is on the stack */
    bool rerun;                 /* it was called meanwhile */
    bool info_dirty;            /* info_changed() is to be called */

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

/* Runs sn_volume_run() soon, unless a batch is open that will. */
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

/* Frees the pool. */
void sn_split_free_pool(SnVolume *vol);

#endif
