/*
 * What a portal offers (SendTargets, RFC 7143 appendix C), asked when it does
 * not know our target: whoever mistyped a name sees the right ones.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"

/* Bytes of the list in the message. */
enum { MAX_LIST = 800 };
/* A volume that tries again and again asks this often. */
#define INTERVAL (60 * SN_NS_PER_S)

void sn_iscsi_discovery_end(SnBackend *be)
{
    g_autofree char *message = g_steal_pointer(&be->not_found);

    sn_iscsi_fail(be, false, "%s", message);
}

static void listed(struct iscsi_context *ctx, int status, void *data,
                   void *opaque)
{
    const struct iscsi_discovery_address *a = data;
    SnBackend *be = opaque;
    g_autoptr(GString) list = g_string_new(NULL);

    if (be->state != SN_ISCSI_DISCOVERING) {
        return;
    }
    if (status != SCSI_STATUS_GOOD) {
        sn_iscsi_discovery_end(be);
        return;
    }
    for (; a; a = a->next) {
        g_autofree char *name = g_strescape(a->target_name, NULL);

        if (list->len + strlen(name) > MAX_LIST) {
            g_string_append(list, " and more");
            break;
        }
        g_string_append_printf(list, "%s%s", list->len ? ", " : "", name);
    }
    sn_iscsi_fail(be, false, "%s; the portal offers %s", be->not_found,
                  list->len ? list->str : "nothing to us");
}

static void logged_in(struct iscsi_context *ctx, int status, void *data,
                      void *opaque)
{
    SnBackend *be = opaque;

    if (be->state == SN_ISCSI_DISCOVERING &&
        (status != SCSI_STATUS_GOOD ||
         iscsi_discovery_async(ctx, listed, be))) {
        sn_iscsi_discovery_end(be);
    }
}

static void connected(struct iscsi_context *ctx, int status, void *data,
                      void *opaque)
{
    SnBackend *be = opaque;

    if (be->state == SN_ISCSI_DISCOVERING &&
        (status != SCSI_STATUS_GOOD ||
         iscsi_login_async(ctx, logged_in, be))) {
        sn_iscsi_discovery_end(be);
    }
}

static void ask_portal(SnBackend *be)
{
    sn_iscsi_arm_step(be);
    sn_iscsi_open_context(be, ISCSI_SESSION_DISCOVERY, connected);
}

void sn_iscsi_discovery_start(SnBackend *be, char *message)
{
    int64_t now = sn_loop_now(be->loop);

    g_free(be->not_found);
    be->not_found = message;
    if (be->discovered && now - be->discovered < INTERVAL) {
        sn_iscsi_discovery_end(be);
        return;
    }
    be->discovered = now;
    be->connect_next = ask_portal;
    be->loop->bh_schedule(be->service_bh);
}
