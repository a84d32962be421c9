/*
 * null://?size=10G: a volume that forgets what is written to it. For finding
 * out what everything but the storage costs.
 *
 * Reads leave the memory as it is, or with read-zeroes=on return zeroes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "local.h"

typedef struct NullBackend {
    SnBackend local;
    bool read_zeroes;
} NullBackend;

static int null_execute(SnBackend *be, const SnIo *io)
{
    NullBackend *null = (NullBackend *)be;

    if (io->op == SN_IO_READ && null->read_zeroes) {
        for (unsigned i = 0; i < io->iovcnt; i++) {
            memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
        }
    }
    return 0;
}

static SnBackend *null_create(const SnBackendConfig *config, GError **err)
{
    NullBackend *null = g_new0(NullBackend, 1);

    if (!sn_url_get_bool(config->url, "read-zeroes", &null->read_zeroes,
                         err) ||
        !sn_local_init(&null->local, config, "read-zeroes", err)) {
        g_free(null);
        return NULL;
    }
    null->local.execute = null_execute;
    return &null->local;
}

static void null_destroy(SnBackend *be)
{
    sn_local_cleanup(be);
    g_free(be);
}

const SnBackendOps sn_null_backend = {
    .scheme = "null",
    .create = null_create,
    .start = sn_local_start,
    .submit = sn_local_submit,
    .kick = sn_local_kick,
    .cancel = sn_local_cancel,
    .stop = sn_local_stop,
    .destroy = null_destroy,
};
