/*
 * What the monitor can ask a storage function about its volume (`qom-get`):
 * state, last error, losses, and how long requests took.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"

#include "virtio-blk.h"

static char *get_state(Object *obj, Error **errp)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(obj);

    return g_strdup(s->vol ? sn_volume_state_name(sn_volume_state(s->vol))
                           : "closed");
}

static char *get_last_error(Object *obj, Error **errp)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(obj);

    return g_strdup(s->vol ? sn_volume_last_error(s->vol) : "");
}

static void get_reconnects(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(obj);
    uint64_t value = s->vol ? sn_volume_reconnects(s->vol) : 0;

    visit_type_uint64(v, name, &value, errp);
}

/* A list of numbers, whose bucket is its bound or what was counted in it. */
static bool visit_buckets(Visitor *v, const char *name, unsigned count,
                          const uint64_t *values, Error **errp)
{
    bool ok = visit_start_list(v, name, NULL, 0, errp);

    if (!ok) {
        return false;
    }
    for (unsigned b = 0; ok && b < count; b++) {
        uint64_t value = values ? values[b] : 1ULL << b;

        ok = visit_type_uint64(v, NULL, &value, errp);
    }
    visit_end_list(v, NULL);
    return ok;
}

/*
 * With QEMU's words for a histogram (block-latency-histogram-set): bin 0 is
 * below the first boundary, the last one from the last boundary on.
 */
static void get_latency(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(obj);
    SnLatency lat = { };

    if (s->vol) {
        lat = *sn_volume_latency(s->vol, (SnIoOp)(uintptr_t)opaque);
    }
    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    if (visit_type_uint64(v, "count", &lat.count, errp) &&
        visit_type_uint64(v, "sum-ns", &lat.sum_ns, errp) &&
        visit_type_uint64(v, "max-ns", &lat.max_ns, errp) &&
        visit_buckets(v, "boundaries-us", SN_LATENCY_BUCKETS - 1, NULL,
                      errp) &&
        visit_buckets(v, "bins", SN_LATENCY_BUCKETS, lat.buckets, errp)) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

static const struct {
    const char *name;
    SnIoOp op;
} latencies[] = {
    { "volume-latency-read", SN_IO_READ },
    { "volume-latency-write", SN_IO_WRITE },
    { "volume-latency-flush", SN_IO_FLUSH },
};

void sn_virtio_blk_stats_init(Object *obj)
{
    object_property_add_str(obj, "volume-state", get_state, NULL);
    object_property_set_description(obj, "volume-state",
        "connecting, ready, lost or failed");
    object_property_add_str(obj, "volume-error", get_last_error, NULL);
    object_property_set_description(obj, "volume-error",
        "why the volume was lost or failed last");
    object_property_add(obj, "volume-reconnects", "uint64", get_reconnects,
                        NULL, NULL, NULL);
    object_property_set_description(obj, "volume-reconnects",
        "how often the path was lost and came back");
    for (unsigned i = 0; i < ARRAY_SIZE(latencies); i++) {
        object_property_add(obj, latencies[i].name, "SnLatency", get_latency,
                            NULL, NULL, (void *)(uintptr_t)latencies[i].op);
        object_property_set_description(obj, latencies[i].name,
            "requests that succeeded, and how long they took");
    }
}

void sn_virtio_blk_stats_alias(Object *owner, Object *obj)
{
    static const char *const names[] = {
        "volume-state", "volume-error", "volume-reconnects",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        object_property_add_alias(owner, names[i], obj, names[i]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(latencies); i++) {
        object_property_add_alias(owner, latencies[i].name, obj,
                                  latencies[i].name);
    }
}
