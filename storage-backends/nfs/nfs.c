/*
 * The NFS backend's life.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend.h"

static SnBackend *nfs_be_create(const SnBackendConfig *config, GError **err)
{
    SnBackend *be = g_new0(SnBackend, 1);

    if (!sn_nfs_options_parse(&be->options, config->url, err)) {
        sn_nfs_options_clear(&be->options);
        g_free(be);
        return NULL;
    }
    be->vol = config->vol;
    be->loop = config->loop;
    be->id = config->id;
    sn_nfs_session_init(be, config->net);
    be->probe_timer = be->loop->timer_new(be->loop, sn_nfs_probe_again, be);
    be->retry_timer = be->loop->timer_new(be->loop, sn_nfs_io_retry, be);
    sn_nfs_unc_init(be);
    return be;
}

static void nfs_kick(SnBackend *be)
{
    sn_nfs_flush(be);
}

static void nfs_stop(SnBackend *be)
{
    sn_nfs_session_stop(be);
    sn_nfs_io_forget(be);
}

static void nfs_be_destroy(SnBackend *be)
{
    sn_nfs_session_free(be);
    be->loop->timer_free(be->probe_timer);
    be->loop->timer_free(be->retry_timer);
    sn_nfs_io_free(be);
    sn_nfs_unc_free(be);
    sn_nfs_options_clear(&be->options);
    g_free(be);
}

const SnBackendOps sn_nfs_backend = {
    .scheme = "nfs",
    .create = nfs_be_create,
    .start = sn_nfs_session_start,
    .submit = sn_nfs_io_submit,
    .kick = nfs_kick,
    .cancel = sn_nfs_io_cancel,
    .stop = nfs_stop,
    .destroy = nfs_be_destroy,
};
