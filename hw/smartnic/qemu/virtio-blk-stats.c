/*
 * What the monitor can ask a virtio-blk function about its volume.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "virtio-blk.h"
#include "volume-stats.h"

static SnVolume *volume_of(Object *obj)
{
    return SN_VIRTIO_BLK(obj)->vol;
}

void sn_virtio_blk_stats_init(Object *obj)
{
    sn_volume_stats_add(obj, volume_of);
}
