/*
 * What the backends without a far side (null, mem) have in common: the URL's
 * parameters, and a queue of requests that kick() carries out, all in one
 * batch.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_LOCAL_H
#define SN_LOCAL_H

#include "smartnic/backend.h"

/* The first member of such a backend. */
struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    SnVolumeInfo info;
    /* Carries out @io, which is within the volume; 0 or a negative errno. */
    int (*execute)(SnBackend *be, const SnIo *io);
    GQueue queue;               /* of SnIo, linked through their scratch */
    SnBh *bh;                   /* answers start() */
};

/*
 * Fills in @be, all zeroes, from the URL: size (needed), block-size, read-only
 * and serial. @extra: one more parameter that the backend knows. False and
 * @err when the URL is wrong; nothing is to be released then.
 */
bool sn_local_init(SnBackend *be, const SnBackendConfig *config,
                   const char *extra, GError **err);
/* Releases what sn_local_init() made, not @be itself. */
void sn_local_cleanup(SnBackend *be);

/* For SnBackendOps. */
void sn_local_start(SnBackend *be);
bool sn_local_submit(SnBackend *be, SnIo *io);
void sn_local_kick(SnBackend *be);
void sn_local_cancel(SnBackend *be, SnIo *io);
void sn_local_stop(SnBackend *be);

#endif
