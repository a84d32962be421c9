/*
 * The iSCSI backend's life.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/uuid.h"

/* The same for every session of this volume, and no other volume's. */
static void choose_isid(SnBackend *be, const char *host)
{
    const SnIscsiOptions *o = &be->options;
    /* Initiator names of machines may be the same, after all. */
    g_autofree char *name = g_strdup_printf("%s %s %s %s %s %u", o->initiator,
                                            host, be->id, o->portal,
                                            o->target, o->lun);
    uint8_t uuid[16];

    sn_uuid_from_name(name, uuid);
    memcpy(be->isid, uuid, sizeof(be->isid));
}

static SnBackend *iscsi_create(const SnBackendConfig *config, GError **err)
{
    SnBackend *be = g_new0(SnBackend, 1);

    if (!sn_iscsi_options_parse(&be->options, config->url, config->host,
                                err)) {
        sn_iscsi_options_clear(&be->options);
        g_free(be);
        return NULL;
    }
    be->vol = config->vol;
    be->loop = config->loop;
    be->id = config->id;
    be->by_itt = g_hash_table_new(NULL, NULL);
    choose_isid(be, config->host);
    sn_iscsi_session_init(be, config->net);
    be->probe_timer = be->loop->timer_new(be->loop, sn_iscsi_probe_again, be);
    be->retry_timer = be->loop->timer_new(be->loop, sn_iscsi_io_retry, be);
    be->cleared_timer = be->loop->timer_new(be->loop,
                                            sn_iscsi_io_check_cleared, be);
    return be;
}

static void iscsi_kick(SnBackend *be)
{
    sn_iscsi_flush(be);
}

static void iscsi_stop(SnBackend *be)
{
    sn_iscsi_session_stop(be);
    sn_iscsi_io_forget(be);
}

static void iscsi_be_destroy(SnBackend *be)
{
    sn_iscsi_session_free(be);
    be->loop->timer_free(be->probe_timer);
    be->loop->timer_free(be->retry_timer);
    be->loop->timer_free(be->cleared_timer);
    sn_iscsi_io_free(be);
    sn_iscsi_options_clear(&be->options);
    g_hash_table_unref(be->by_itt);
    g_free(be->not_found);
    g_free(be);
}

const SnBackendOps sn_iscsi_backend = {
    .scheme = "iscsi",
    .create = iscsi_create,
    .start = sn_iscsi_session_start,
    .submit = sn_iscsi_io_submit,
    .kick = iscsi_kick,
    .cancel = sn_iscsi_io_cancel,
    .stop = iscsi_stop,
    .destroy = iscsi_be_destroy,
};
