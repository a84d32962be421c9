/*
 * A storage backend that does what the test says, and a volume on it.
 *
 * It holds requests until the test completes or loses them, and checks on the
 * way that the volume keeps to its side of smartnic/backend.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SCRIPTED_BACKEND_H
#define SCRIPTED_BACKEND_H

#include "smartnic/backend.h"
#include "test-loop.h"

#define SB_BLOCK 512
#define SB_SIZE (1024 * SB_BLOCK)
#define SB_MAX_IN_FLIGHT 64

struct SnBackend {
    SnVolume *vol;
    bool started;               /* start() was called and is not answered */
    bool ready;
    bool stopped;               /* and not started since */
    SnIo *ios[SB_MAX_IN_FLIGHT];        /* in order of submission */
    unsigned n;
    unsigned capacity;          /* refuses above this many */
    unsigned unkicked;
    unsigned starts, submits, refused, kicks, cancels, stops;
    /* Completes its oldest request from inside these calls. */
    bool done_in_submit, done_in_kick, done_in_cancel;
    bool done_in_batch;         /* and makes it a batch */
    /* What it stores, when set: what is read back, and what a flush saved. */
    uint8_t *disk, *stable;
};

/* A volume on a scripted backend, and what it told. */
typedef struct SbVolume {
    SnLoop *loop;
    SnVolume *vol;
    SnBackend *be;
    SnVolumeInfo info;          /* for sb_ready() */
    GString *states;            /* a letter per change: R, L, F; a digit
                                 * per notice of a reservation: its type */
    unsigned batches, infos;
    GString *log;               /* lines */
    void (*on_state)(struct SbVolume *v, SnVolumeState state);
    void (*on_info)(struct SbVolume *v);
    void (*on_batch)(struct SbVolume *v);
    void (*on_reservation)(struct SbVolume *v);
    void *opaque;
} SbVolume;

/* In @url only the parameters matter. NULL and @err when it is refused. */
SbVolume *sb_open(const char *url, GError **err);
/* Not on a scripted backend, but on the one that @url names. */
SbVolume *sb_open_real(const char *url, GError **err);
/* Open, connected, with everything at its default. */
SbVolume *sb_open_ready(void);
/* Closes, when that has not happened yet, and frees. Nothing may be left. */
void sb_close(SbVolume *v);
/* From inside a callback: only closes the volume. */
void sb_close_volume(SbVolume *v);

void sb_ready(SbVolume *v);
void sb_lost(SbVolume *v, bool permanent);
/* Answers the request at @index outside of a batch. */
void sb_done(SbVolume *v, unsigned index, int ret);
/* Refuses it for now, to be sent again after @ns; sends it again. */
void sb_refuse(SbVolume *v, unsigned index, int64_t ns);
void sb_send_again(SbVolume *v, unsigned index);
/* Answers all of them in one batch. */
void sb_done_all(SbVolume *v, int ret);
/* Carries out @io on the disk. */
int sb_execute(SnBackend *be, const SnIo *io);
/* sn_volume_kick(). */
void sb_kick(SbVolume *v);
/* Runs bottom halves. */
void sb_run(SbVolume *v);
/* Loses the path and makes it come back, with everything offered again. */
void sb_flap(SbVolume *v);
/*
 * Expects the backend to hold requests at these blocks; '-' is a flush, and an
 * NVMe command its opcode.
 */
void sb_expect_in_flight(SbVolume *v, const char *text);
/* Expects these names in sb_completed, and empties it. */
void sb_expect_completed(const char *names);

/* The names of the requests in the order in which they completed. */
extern GString *sb_completed;
/* No complete() may come now. */
extern bool sb_in_call;
/* How many backends were destroyed. */
extern unsigned sb_destroyed;

/* A request with its memory. */
typedef struct TestIo {
    SnIo io;
    char name;
    SbVolume *v;
    uint8_t *buf;
    struct iovec iov;
    unsigned completions;
    int ret;
    void (*then)(struct TestIo *t);     /* at the end of complete() */
    struct TestIo *other;               /* for then() */
} TestIo;

/* Not submitted yet; block and blocks count SB_BLOCK bytes. */
TestIo *tio_new(SbVolume *v, char name, SnIoOp op, uint64_t block,
                uint64_t blocks);
void tio_free(TestIo *t);
void tio_submit(TestIo *t);
TestIo *tio_submit_new(SbVolume *v, char name, SnIoOp op, uint64_t block,
                       uint64_t blocks);
/* One block, submitted. */
TestIo *tio_write_new(SbVolume *v, char name, uint64_t block);
/* Cancels and frees: whoever touches it afterwards is caught. */
void tio_cancel_free(TestIo *t);
/* Expects exactly one completion with @ret, and frees. */
void tio_expect(TestIo *t, int ret);

#endif
