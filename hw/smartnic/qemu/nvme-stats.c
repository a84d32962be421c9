/*
 * What the monitor can ask an NVMe function (`qom-get`): the state of its
 * controller, how long commands took in each queue, and what volume-stats.c
 * tells of namespace 1.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"

#include <nvme/types.h>

#include "nvme-pci.h"
#include "volume-stats.h"

static uint32_t status(Object *obj)
{
    SnNvmePci *s = SN_NVME_PCI(obj);

    return s->ctrl ? sn_ctrl_status(s->ctrl) : 0;
}

static void get_status(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    uint32_t value = status(obj);

    visit_type_uint32(v, name, &value, errp);
}

static char *get_state(Object *obj, Error **errp)
{
    uint32_t csts = status(obj);

    if (NVME_CSTS_CFS(csts)) {
        return g_strdup("fatal");
    }
    switch (NVME_CSTS_SHST(csts)) {
    case 1:
        return g_strdup("shutting down");
    case 2:
        return g_strdup("shut down");
    default:
        return g_strdup(NVME_CSTS_RDY(csts) ? "ready" : "not ready");
    }
}

static bool visit_queue(Visitor *v, uint64_t qid, const SnLatency *latency,
                        Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    ok = visit_type_uint64(v, "qid", &qid, errp) &&
         sn_latency_visit_members(v, latency, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static void get_queue_latency(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    SnNvmePci *s = SN_NVME_PCI(obj);
    bool ok = visit_start_list(v, name, NULL, 0, errp);

    if (!ok) {
        return;
    }
    for (unsigned qid = 1; ok && s->ctrl && qid <= SN_CTRL_MAX_QUEUE_PAIRS;
         qid++) {
        const SnLatency *latency = sn_ctrl_queue_latency(s->ctrl, qid);

        ok = !latency || visit_queue(v, qid, latency, errp);
    }
    visit_end_list(v, NULL);
}

static SnVolume *first_volume(Object *obj)
{
    return sn_nvme_pci_volume(SN_NVME_PCI(obj), 1);
}

void sn_nvme_stats_init(Object *obj)
{
    sn_volume_stats_add(obj, first_volume);
    object_property_add_str(obj, "controller-state", get_state, NULL);
    object_property_set_description(obj, "controller-state",
        "not ready, ready, shutting down, shut down or fatal");
    object_property_add(obj, "csts", "uint32", get_status, NULL, NULL, NULL);
    object_property_set_description(obj, "csts", "register CSTS");
    object_property_add(obj, "queue-latency", "SnLatencyList",
                        get_queue_latency, NULL, NULL, NULL);
    object_property_set_description(obj, "queue-latency",
        "of each I/O queue: commands, from fetched to completed");
}
