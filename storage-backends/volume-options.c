/*
 * The URL parameters that every volume takes, whatever its backend. Names and
 * meanings are those of Linux's NVMe over Fabrics initiator.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "volume-internal.h"

#define DEFAULT_RECONNECT_DELAY 2       /* seconds, as all of these */
#define MAX_RECONNECT_DELAY 600
#define DEFAULT_IO_TIMEOUT 30
#define MAX_TIMEOUT G_MAXINT32
/* With reconnect-delay=0: refused at once must not become a busy loop. */
#define MIN_DELAY (10 * SN_NS_PER_MS)

static const char *const names[] = {
    "reconnect-delay", "fast-io-fail-tmo", "ctrl-loss-tmo", "io-timeout",
};

static int64_t to_ns(int64_t seconds)
{
    return seconds < 0 ? SN_TIMER_NEVER : seconds * SN_NS_PER_S;
}

bool sn_volume_options_take(SnVolumeOptions *options, SnUrl *url, GError **err)
{
    uint64_t delay = DEFAULT_RECONNECT_DELAY;
    int64_t fast = -1, loss = -1, io = DEFAULT_IO_TIMEOUT;

    if (!sn_url_get_uint(url, names[0], 0, MAX_RECONNECT_DELAY, &delay, err) ||
        !sn_url_get_seconds(url, names[1], MAX_TIMEOUT, &fast, err) ||
        !sn_url_get_seconds(url, names[2], MAX_TIMEOUT, &loss, err) ||
        !sn_url_get_seconds(url, names[3], MAX_TIMEOUT, &io, err)) {
        return false;
    }
    if (loss >= 0 && fast >= loss) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: fast-io-fail-tmo=%d must be below "
                    "ctrl-loss-tmo=%d", (int)fast, (int)loss);
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_hash_table_remove(url->params, names[i]);
    }
    options->reconnect_delay = MAX((int64_t)delay * SN_NS_PER_S, MIN_DELAY);
    options->fast_io_fail = to_ns(fast);
    options->ctrl_loss = to_ns(loss);
    options->io_timeout = to_ns(io ? io : -1);
    return true;
}
