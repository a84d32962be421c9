/*
 * Namespaces, each of which is a volume.
 *
 * A guest takes a while to hear that a namespace was removed, and until then
 * what it writes to the nsid is meant for that one. So a namespace that comes
 * in its place is not active before the guest has read the removal in log page
 * 04h. It is told by an event of its own, too: from one for both, Linux only
 * sees that the identifiers are others, and drops the old one.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"
#include "smartnic/uuid.h"

SN_TRACE_EVENT(nvme_ns_add);
SN_TRACE_EVENT(nvme_ns_active);
SN_TRACE_EVENT(nvme_ns_changed);
SN_TRACE_EVENT(nvme_ns_remove);

SnCtrlNs *sn_ctrl_ns(SnCtrl *ctrl, uint32_t nsid)
{
    SnCtrlNs *ns;

    if (nsid < 1 || nsid > SN_CTRL_MAX_NSID) {
        return NULL;
    }
    ns = ctrl->ns[nsid];
    return ns && ns->active ? ns : NULL;
}

const SnVolumeInfo *sn_ctrl_ns_info(const SnCtrlNs *ns)
{
    return sn_volume_info(ns->vol);
}

SnVolume *sn_ctrl_ns_volume(SnCtrlNs *ns)
{
    return ns->vol;
}

uint32_t sn_ctrl_ns_id(const SnCtrlNs *ns)
{
    return ns->nsid;
}

bool sn_ctrl_ns_connecting(const SnCtrl *ctrl)
{
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i] &&
            sn_volume_state(ctrl->ns[i]->vol) == SN_VOLUME_CONNECTING) {
            return true;
        }
    }
    return false;
}

/* What the guest is told of, or sees by itself. */
static void tell(SnCtrlNs *ns)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(ns);

    ns->known = true;
    ns->told_size = info->size;
    ns->told_read_only = info->read_only;
}

static bool is_news(const SnCtrlNs *ns)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(ns);

    return !ns->known || ns->told_size != info->size ||
           ns->told_read_only != info->read_only;
}

void sn_ctrl_ns_all_known(SnCtrl *ctrl)
{
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i] && ctrl->ns[i]->active) {
            tell(ctrl->ns[i]);
        }
    }
}

/* Before the controller is ready there is nobody to tell. */
static void changed(SnCtrlNs *ns)
{
    SnCtrl *ctrl = ns->ctrl;

    if (ctrl->state == SN_CTRL_READY && ns->active && is_news(ns)) {
        sn_trace(nvme_ns_changed, "id=%s nsid=%u size=%" G_GUINT64_FORMAT
                 " read_only=%d", ns->id, ns->nsid, sn_ctrl_ns_info(ns)->size,
                 sn_ctrl_ns_info(ns)->read_only);
        tell(ns);
        sn_ctrl_event_ns_changed(ctrl, ns->nsid);
        sn_ctrl_notify(ctrl);
    }
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

/*
 * Those of the far side. When it has none, ones that are always the same for
 * the same URL.
 */
static void set_identity(SnCtrlNs *ns)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(ns);

    memcpy(ns->uuid, info->uuid, sizeof(ns->uuid));
    memcpy(ns->nguid, info->nguid, sizeof(ns->nguid));
    memcpy(ns->eui64, info->eui64, sizeof(ns->eui64));
    if (is_zero(ns->uuid, sizeof(ns->uuid)) &&
        is_zero(ns->nguid, sizeof(ns->nguid)) &&
        is_zero(ns->eui64, sizeof(ns->eui64))) {
        sn_uuid_from_name(ns->name, ns->uuid);
        memcpy(ns->nguid, ns->uuid, sizeof(ns->nguid));
    }
}

bool sn_ctrl_ns_is_removed(const SnCtrl *ctrl, uint32_t nsid)
{
    return ctrl->removed_ns[nsid / 64] >> nsid % 64 & 1;
}

/* The volume is READY. Telling may end in removing @ns. */
static void ready(SnCtrlNs *ns)
{
    if (!ns->active && !sn_ctrl_ns_is_removed(ns->ctrl, ns->nsid)) {
        set_identity(ns);
        ns->active = true;
        sn_trace(nvme_ns_active, "id=%s nsid=%u size=%" G_GUINT64_FORMAT,
                 ns->id, ns->nsid, sn_ctrl_ns_info(ns)->size);
    }
    changed(ns);                /* maybe while the path was lost */
}

void sn_ctrl_ns_removals_told(SnCtrl *ctrl)
{
    memset(ctrl->removed_ns, 0, sizeof(ctrl->removed_ns));
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i] && !ctrl->ns[i]->active &&
            sn_volume_state(ctrl->ns[i]->vol) == SN_VOLUME_READY) {
            ready(ctrl->ns[i]);
        }
    }
}

/* ---- events of the volume ---- */

/* Admin commands do not wait for a path: see passthrough.c. */
static void end_admin(SnCtrlNs *ns)
{
    SnCtrl *ctrl = ns->ctrl;
    SnCtrlReq *req = ctrl->sqs[0] ? ctrl->sqs[0]->active.head : NULL;

    while (req) {
        SnCtrlReq *next = req->next;

        if (req->ns == ns) {
            sn_ctrl_complete(req, SN_CTRL_PATH_LOST);
        }
        req = next;
    }
    sn_ctrl_notify(ctrl);
}

static void state_changed(void *opaque, SnVolumeState state)
{
    SnCtrlNs *ns = opaque;
    SnCtrl *ctrl = ns->ctrl;    /* @ns may be gone afterwards */

    if (state == SN_VOLUME_READY) {
        ready(ns);
    } else if (state == SN_VOLUME_FAILED && ns->known &&
               ctrl->state == SN_CTRL_READY) {
        sn_ctrl_event_ns_changed(ctrl, ns->nsid);       /* NSTAT */
    } else if (state == SN_VOLUME_LOST) {
        end_admin(ns);
    }
    sn_ctrl_volume_settled(ctrl);
}

static void info_changed(void *opaque)
{
    changed(opaque);
}

static void batch_done(void *opaque)
{
    SnCtrlNs *ns = opaque;

    sn_ctrl_notify(ns->ctrl);
}

static void reservation(void *opaque, uint8_t type)
{
    sn_ctrl_notice(opaque, type);
}

static const SnVolumeEvents volume_events = {
    .state_changed = state_changed,
    .info_changed = info_changed,
    .batch_done = batch_done,
    .reservation = reservation,
};

/* ---- coming and going ---- */

static bool check_nsid(SnCtrl *ctrl, uint32_t nsid, GError **err)
{
    if (nsid < 1 || nsid > SN_CTRL_MAX_NSID) {
        g_set_error(err, SN_CTRL_ERROR, SN_CTRL_ERROR_NSID,
                    "nsid %u is not from 1 to %u", nsid, SN_CTRL_MAX_NSID);
        return false;
    }
    if (ctrl->ns[nsid]) {
        g_set_error(err, SN_CTRL_ERROR, SN_CTRL_ERROR_NSID,
                    "nsid %u is in use: give another one", nsid);
        return false;
    }
    return true;
}

static void ns_free(SnCtrlNs *ns)
{
    g_free(ns->name);
    g_free(ns->id);
    g_free(ns);
}

/* Of the options only a namespace's number says which disk it is. */
static const char *nsid_option(const char *url)
{
    const char *before = strchr(url, '?');

    while (before && !g_str_has_prefix(before + 1, "nsid=")) {
        before = strchr(before + 1, '&');
    }
    return before ? before + 1 : "";
}

/*
 * What a volume's identity is made of whose far side has none: the disk's name
 * in the URL, which any function that shows it agrees on. A volume without a
 * host is this function's own: nobody else has the same.
 */
static char *name_of(const SnCtrlNsConfig *config)
{
    int len = strcspn(config->url, "?");
    const char *host = strstr(config->url, "://");
    const char *option = nsid_option(config->url);

    if (host && strchr("?/", host[3])) {        /* or nothing follows */
        return g_strdup_printf("%.*s %s %u", len, config->url, config->id,
                               config->nsid);
    }
    return g_strdup_printf("%.*s %.*s", len, config->url,
                           (int)strcspn(option, "&"), option);
}

SnCtrlNs *sn_ctrl_add_namespace(SnCtrl *ctrl, const SnCtrlNsConfig *config,
                                GError **err)
{
    SnCtrlNs *ns;

    if (!check_nsid(ctrl, config->nsid, err)) {
        return NULL;
    }
    ns = g_new0(SnCtrlNs, 1);
    ns->ctrl = ctrl;
    ns->nsid = config->nsid;
    ns->id = g_strdup(config->id);
    ns->name = name_of(config);
    ns->vol = sn_volume_open(&(SnVolumeConfig){
        .url = config->url,
        .id = ns->id,
        .host = config->host,
        .net = config->net,
        .loop = ctrl->loop,
        .events = &volume_events,
        .opaque = ns,
    }, err);
    if (!ns->vol) {
        ns_free(ns);
        return NULL;
    }
    sn_trace(nvme_ns_add, "id=%s nsid=%u", ns->id, ns->nsid);
    ctrl->ns[ns->nsid] = ns;
    return ns;
}

static void end_requests(SnCtrl *ctrl, SnCtrlNs *ns)
{
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        SnCtrlReq *req = ctrl->sqs[i] ? ctrl->sqs[i]->active.head : NULL;

        /* One may end another (a fused pair), so from the head. */
        while (req) {
            if (req->ns == ns) {
                sn_ctrl_io_ns_gone(req);
                req = ctrl->sqs[i]->active.head;
            } else {
                req = req->next;
            }
        }
    }
}

void sn_ctrl_remove_namespace(SnCtrl *ctrl, SnCtrlNs *ns)
{
    sn_trace(nvme_ns_remove, "id=%s nsid=%u", ns->id, ns->nsid);
    ctrl->ns[ns->nsid] = NULL;
    end_requests(ctrl, ns);
    sn_ctrl_flush_cancel(ns);
    sn_ctrl_notice_forget(ns);
    if (ns->known && ctrl->state == SN_CTRL_READY) {
        if (sn_ctrl_event_wants_ns(ctrl)) {
            ctrl->removed_ns[ns->nsid / 64] |= 1ULL << ns->nsid % 64;
        }
        sn_ctrl_event_ns_changed(ctrl, ns->nsid);
    }
    sn_ctrl_notify(ctrl);
    sn_volume_close(ns->vol);
    ns_free(ns);
    sn_ctrl_volume_settled(ctrl);
}

void sn_ctrl_ns_free_all(SnCtrl *ctrl)
{
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i]) {
            sn_ctrl_remove_namespace(ctrl, ctrl->ns[i]);
        }
    }
}
