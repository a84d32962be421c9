/*
 * What the monitor can ask about a volume (`qom-get`): state, last error,
 * losses, and how long requests took.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"

#include "volume-stats.h"

/* The opaque value of each property. */
typedef struct VolumeStat {
    SnVolumeOf *volume_of;
    SnIoOp op;                  /* of a latency */
} VolumeStat;

static SnVolume *stat_volume(Object *obj, void *opaque)
{
    return ((VolumeStat *)opaque)->volume_of(obj);
}

static void get_state(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    SnVolume *vol = stat_volume(obj, opaque);
    g_autofree char *text =
        g_strdup(vol ? sn_volume_state_name(sn_volume_state(vol)) : "closed");

    visit_type_str(v, name, &text, errp);
}

static void get_last_error(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    SnVolume *vol = stat_volume(obj, opaque);
    g_autofree char *text = g_strdup(vol ? sn_volume_last_error(vol) : "");

    visit_type_str(v, name, &text, errp);
}

static void get_reconnects(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    SnVolume *vol = stat_volume(obj, opaque);
    uint64_t value = vol ? sn_volume_reconnects(vol) : 0;

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
bool sn_latency_visit_members(Visitor *v, const SnLatency *latency,
                              Error **errp)
{
    SnLatency lat = *latency;

    return visit_type_uint64(v, "count", &lat.count, errp) &&
           visit_type_uint64(v, "sum-ns", &lat.sum_ns, errp) &&
           visit_type_uint64(v, "max-ns", &lat.max_ns, errp) &&
           visit_buckets(v, "boundaries-us", SN_LATENCY_BUCKETS - 1, NULL,
                         errp) &&
           visit_buckets(v, "bins", SN_LATENCY_BUCKETS, lat.buckets, errp);
}

static void get_latency(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    const VolumeStat *stat = opaque;
    SnVolume *vol = stat_volume(obj, opaque);
    SnLatency none = { };

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    if (sn_latency_visit_members(v, vol ? sn_volume_latency(vol, stat->op)
                                        : &none, errp)) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

static const struct {
    const char *name;
    const char *type;
    ObjectPropertyAccessor *get;
    SnIoOp op;
    const char *description;
} stats[] = {
    { "volume-state", "string", get_state, 0,
      "connecting, ready, lost, failed or closed" },
    { "volume-error", "string", get_last_error, 0,
      "why the volume was lost or failed last" },
    { "volume-reconnects", "uint64", get_reconnects, 0,
      "how often the path was lost and came back" },
    { "volume-latency-read", "SnLatency", get_latency, SN_IO_READ,
      "reads that succeeded, and how long they took" },
    { "volume-latency-write", "SnLatency", get_latency, SN_IO_WRITE,
      "writes that succeeded, and how long they took" },
    { "volume-latency-flush", "SnLatency", get_latency, SN_IO_FLUSH,
      "flushes that succeeded, and how long they took" },
};

static void release_stat(Object *obj, const char *name, void *opaque)
{
    g_free(opaque);
}

void sn_volume_stats_add(Object *obj, SnVolumeOf *volume_of)
{
    for (unsigned i = 0; i < ARRAY_SIZE(stats); i++) {
        VolumeStat *stat = g_new(VolumeStat, 1);

        *stat = (VolumeStat) { volume_of, stats[i].op };
        object_property_add(obj, stats[i].name, stats[i].type, stats[i].get,
                            NULL, release_stat, stat);
        object_property_set_description(obj, stats[i].name,
                                        stats[i].description);
    }
}

void sn_volume_stats_alias(Object *owner, Object *obj)
{
    for (unsigned i = 0; i < ARRAY_SIZE(stats); i++) {
        object_property_add_alias(owner, stats[i].name, obj, stats[i].name);
    }
}
