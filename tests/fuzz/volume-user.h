/*
 * Who uses a volume, for the fuzz targets of what is behind it: some requests
 * at a time, each with memory of its own.
 *
 * Checked is that a request completes once, not from inside a call, not after
 * its cancel, and that a read which succeeds brought its data. A request and
 * its data are allocations that are freed as soon as it is over, so that
 * AddressSanitizer sees who touches them later.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VOLUME_USER_H
#define VOLUME_USER_H

#include "fuzz.h"
#include "smartnic/volume.h"

#define USER_SLOTS 16

typedef struct VolumeUser VolumeUser;

typedef struct UserReq {
    SnIo io;
    SnNvmeCommand nvme;
    struct iovec iov[3];
    uint8_t *data;
    VolumeUser *user;
    unsigned slot;
    uint8_t then;               /* the target's */
} UserReq;

struct VolumeUser {
    /* Set by the target for each input; the rest is 0 at first. */
    FuzzIn *in;
    SnLoop *loop;
    SnVolume *vol;
    SnIoOp compare;             /* which of the two it makes */
    uint8_t disk;               /* the disk is full of it, and so are writes */
    /* Makes an SN_IO_NVME of a request with bit 7 of @how; or NULL. */
    void (*set_command)(UserReq *r, uint8_t how);

    bool raw;                   /* set any time: reads may bring anything */
    UserReq *reqs[USER_SLOTS];
    unsigned n_reqs;
    bool in_call;               /* that must not complete anything */
};

/* Nothing happens in them. */
extern const SnVolumeEvents user_events;

/* ---- what the input says; needs all of the user ---- */

/* One request of any kind, unless its slot is taken. */
void user_submit_any(VolumeUser *u);
void user_cancel_any(VolumeUser *u);
/* Lets up to 21 s pass. */
void user_wait(VolumeUser *u);
/*
 * The far side behaves again, so all requests have to come to an end, unless
 * it @lied about what the disk is. Closes the volume.
 */
void user_finish(VolumeUser *u, bool lied);

/* ---- for a target that makes up requests itself; needs the volume ---- */

/* An empty request, to be filled in; NULL if the slot is taken. */
UserReq *user_take(VolumeUser *u, unsigned slot);
void user_submit(UserReq *r);
/* If there is one. */
void user_cancel(UserReq *r);
/* What each request's complete() is, or calls: frees it. */
void user_complete(SnIo *io, int ret);

#endif
