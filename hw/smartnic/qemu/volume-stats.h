/*
 * What the monitor can ask about a volume, as properties of whatever uses it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_VOLUME_STATS_H
#define SMARTNIC_QEMU_VOLUME_STATS_H

#include "qapi/visitor.h"
#include "qom/object.h"
#include "smartnic/volume.h"

/* The volume of @obj, or NULL while there is none. */
typedef SnVolume *SnVolumeOf(Object *obj);

/* Adds the properties to @obj. */
void sn_volume_stats_add(Object *obj, SnVolumeOf *volume_of);

/* The same properties on @owner, whose part @obj is. */
void sn_volume_stats_alias(Object *owner, Object *obj);

/* The members of a histogram, into the structure that was begun. */
bool sn_latency_visit_members(Visitor *v, const SnLatency *latency,
                              Error **errp);

#endif
