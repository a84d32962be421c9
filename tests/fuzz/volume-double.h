/*
 * Volumes without a backend, in the place of storage-backends: requests stay
 * until the test ends them, and what smartnic/volume.h demands of whoever uses
 * a volume is checked.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VOLUME_DOUBLE_H
#define VOLUME_DOUBLE_H

#include "smartnic/volume.h"

/* The URL that sn_volume_open() refuses. */
#define VD_BAD_URL "bad://"

/* How many requests @vol has. */
unsigned vd_count(const SnVolume *vol);
/* How many all volumes together have but flushes: a shutdown has its own. */
unsigned vd_count_data(void);
/*
 * Ends the request at @index with @ret and, for SN_IO_NVME, a response with
 * @status; memory that it was to fill is filled with @byte. As a batch of one.
 */
void vd_done(SnVolume *vol, unsigned index, int ret, uint16_t status,
             uint8_t byte);
/* @info may be NULL: the same as before, or a small disk that can do all. */
void vd_set_state(SnVolume *vol, SnVolumeState state,
                  const SnVolumeInfo *info);
/* While READY. */
void vd_set_info(SnVolume *vol, const SnVolumeInfo *info);
/* While READY: RNLPT of log page 80h, 1 to 3. */
void vd_reservation(SnVolume *vol, uint8_t type);
/* What vd_set_state() sets first. */
extern const SnVolumeInfo vd_default_info;

#endif
