/*
 * What a storage backend implements, and what it may call.
 *
 * The volume (storage-backends/volume.c) keeps the life of requests: queueing
 * while there is no path, splitting, sending again after a loss, cancelling.
 * A backend moves requests to its far side and back, nothing else.
 *
 * All calls happen in the card's thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_BACKEND_H
#define SMARTNIC_BACKEND_H

#include <glib.h>

#include "smartnic/loop.h"
#include "smartnic/stream.h"
#include "smartnic/volume.h"

/*
 * A parsed URL: scheme://[user@]host[:port]/path[?key=value&...]. Parts are
 * percent-decoded; host is without brackets; absent parts are NULL or 0.
 */
typedef struct SnUrl {
    char *scheme;
    char *user;
    char *host;
    uint16_t port;
    char *path;                 /* without the leading slash */
    GHashTable *params;         /* char * -> char * */
} SnUrl;

/* Caller frees with sn_url_free(). NULL and @err when malformed. */
SnUrl *sn_url_parse(const char *text, GError **err);
void sn_url_free(SnUrl *url);

/*
 * Typed access to parameters: *@value keeps its content (the default) when the
 * parameter is absent. False and @err, naming the parameter and what would be
 * right, when it is malformed or out of range. Sizes take K, M, G, T suffixes.
 */
bool sn_url_get_uint(const SnUrl *url, const char *key, uint64_t min,
                     uint64_t max, uint64_t *value, GError **err);
bool sn_url_get_size(const SnUrl *url, const char *key, uint64_t *value,
                     GError **err);
bool sn_url_get_bool(const SnUrl *url, const char *key, bool *value,
                     GError **err);
/* 0 to @max seconds; -1 for "off", or -1 as Linux writes it. */
bool sn_url_get_seconds(const SnUrl *url, const char *key, int64_t max,
                        int64_t *value, GError **err);
/* Borrowed; NULL when absent. */
const char *sn_url_get_string(const SnUrl *url, const char *key);
/* False and @err when a parameter is not in @known (NULL-terminated). */
bool sn_url_check_params(const SnUrl *url, const char *const *known,
                         GError **err);

typedef struct SnBackend SnBackend;     /* each backend's own structure */

typedef struct SnBackendConfig {
    SnVolume *vol;              /* for the sn_backend_*() calls below */
    const SnUrl *url;           /* borrowed during create() */
    const char *id;             /* for messages; lives as long as the volume */
    const char *host;           /* see SnVolumeConfig; or the id, never NULL.
                                 * Borrowed during create() */
    SnNet *net;
    SnLoop *loop;
} SnBackendConfig;

typedef struct SnBackendOps {
    const char *scheme;

    /* Checks the URL; opens nothing yet. The volume owns the result. */
    SnBackend *(*create)(const SnBackendConfig *config, GError **err);

    /*
     * Starts to connect. Answered later, from the loop, by
     * sn_backend_ready() or sn_backend_lost(). Called again after a loss,
     * when the volume's reconnect delay has passed.
     */
    void (*start)(SnBackend *be);

    /*
     * Takes @io in flight, or returns false when it cannot take one more now
     * (the volume offers it again after the next completion, cancel() or
     * sn_backend_batch_end()). Only while ready. @io is within the volume,
     * aligned and at most max_transfer (max_discard, max_write_zeroes) long.
     * Must not complete it before it returns. When io-timeout passes without an
     * answer, or without room for @io, the volume calls stop().
     */
    bool (*submit)(SnBackend *be, SnIo *io);

    /* A batch of submit() is over: let them leave. */
    void (*kick)(SnBackend *be);

    /*
     * Detaches @io, which is in flight: afterwards its memory is not touched
     * and sn_backend_done() not called for it. Late data is read and dropped.
     */
    void (*cancel)(SnBackend *be, SnIo *io);

    /*
     * Drops all connections at once and forgets every request, without
     * completing any. Also called when not started. start() may follow.
     */
    void (*stop)(SnBackend *be);

    /* After stop(). Frees, its timers and bottom halves too. */
    void (*destroy)(SnBackend *be);
} SnBackendOps;

/*
 * Connected: requests may flow. @info is copied. This and sn_backend_lost()
 * are called from the loop, never from inside one of the calls above.
 */
void sn_backend_ready(SnVolume *vol, const SnVolumeInfo *info);

/*
 * The path is gone, or could not be made. The backend has forgotten every
 * request already (as in stop()); the volume sends them again later.
 * @permanent: trying again is pointless. The message is one line.
 */
void sn_backend_lost(SnVolume *vol, bool permanent, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* The far side changed (size, read-only) while ready. @info is copied. */
void sn_backend_info_changed(SnVolume *vol, const SnVolumeInfo *info);

/*
 * Another host took away a reservation of this one: see SnVolumeEvents. From
 * the loop, as sn_backend_ready().
 */
void sn_backend_reservation(SnVolume *vol, uint8_t type);

/*
 * Request @io is over, with 0 or a negative errno; the backend has let go of
 * it. Its complete() may run from inside this call when that is between
 * sn_backend_batch_begin() and _end(), except while the volume is inside the
 * backend's submit(), kick() or cancel(): then it runs after kick(), or from
 * the loop.
 */
void sn_backend_done(SnIo *io, int ret);

/*
 * The far side has refused request @io for the time being: it was not carried
 * out, and the backend, which keeps it in flight, sends it again at @until (ns
 * of the loop's clock) and says so then. In between it does not wait for an
 * answer: io-timeout begins anew, and what must not be sent twice survives a
 * loss.
 */
void sn_backend_refused(SnIo *io, int64_t until);
void sn_backend_sent_again(SnIo *io);

/*
 * Around the handling of one burst of answers, so that the function gets one
 * batch_done() for it. Completions run at the end, in sn_backend_batch_end(),
 * which may call back into the backend (all but create and start) and even
 * destroy it, so it must be the last thing that its event handler does.
 */
void sn_backend_batch_begin(SnVolume *vol);
void sn_backend_batch_end(SnVolume *vol);

static inline void *sn_io_scratch(SnIo *io)
{
    return io->scratch;
}

/* Whether two ranges, of bytes at offsets, have any in common. */
static inline bool sn_ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b,
                                     uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

extern const SnBackendOps sn_null_backend;
extern const SnBackendOps sn_mem_backend;
extern const SnBackendOps sn_nvmetcp_backend;

#endif
