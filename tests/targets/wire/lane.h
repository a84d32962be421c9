/*
 * One direction of the wire.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WIRE_LANE_H
#define WIRE_LANE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "plan.h"

/* When there is nothing to wait for. Times are CLOCK_MONOTONIC's, in ns. */
#define LANE_NEVER UINT64_MAX

typedef struct Frame {
    struct Frame *next;
    uint32_t len;
    uint8_t bytes[];
} Frame;

typedef struct Lane {
    unsigned index;             /* 0 or 1 */
    int in;                     /* where frames come from, and ... */
    int out;                    /* ... the socket that they are sent from */
    struct sockaddr_un to;
    Plan *plan;                 /* of both lanes */
    unsigned max_delay_ms;      /* of a frame that is to be late */
    bool cut;

    uint64_t number;            /* of the next frame, for the plan */
    Frame *first, **last;       /* those to send, in this order */
    unsigned waiting;           /* how many */
    uint64_t not_before;        /* no frame leaves earlier */
    Frame *held;                /* the one that is being overtaken, or NULL */
    unsigned overtakers;        /* how many more may pass it */
    uint64_t held_until;        /* the latest that it may be passed */

    /* Counters of frames ... */
    uint64_t passed;            /* that were sent, */
    uint64_t lost;              /* that nobody was there to receive, */
    uint64_t overflowed;        /* that found the buffer full, */
    uint64_t swallowed;         /* that came while the wire was cut */
} Lane;

/* @lane is zeroed but for the fields before "number". */
void lane_init(Lane *lane);

/* Takes what came in, at @now. At most some frames, so that it ends. */
void lane_receive(Lane *lane, uint64_t now);

/* Sends what is due at @now; returns when to call again. */
uint64_t lane_send(Lane *lane, uint64_t now);

#endif
