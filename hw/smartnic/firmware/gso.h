/*
 * Splits a TCP frame that segmentation offload made too long for lwIP.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_GSO_H
#define SMARTNIC_FIRMWARE_GSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smartnic/port.h"

/* Ethernet, the longest IPv4 header and the longest TCP header. */
enum { GSO_HEAD_MAX = 14 + 60 + 60 };

typedef struct GsoSplit {
    bool v6;
    size_t ip, tcp;             /* where the headers start in the frame */
    size_t head_len;            /* bytes of all headers */
    size_t payload[2];          /* bytes that each of the two frames carries */
} GsoSplit;

/*
 * Plans the split of a frame of @frame_len bytes that begins with the
 * @head_len bytes at @head (GSO_HEAD_MAX unless the frame is shorter). False
 * when it is not a TCP GSO frame whose headers agree with its length.
 */
bool sn_fw_gso_split(GsoSplit *split, const uint8_t *head, size_t head_len,
                     size_t frame_len, const SnOffload *offload);

/*
 * The headers of part 0 or 1, made from the original ones at @head. The TCP
 * checksum is left as it is: such frames never carry a complete one.
 */
void sn_fw_gso_header(const GsoSplit *split, int part, const uint8_t *head,
                      uint8_t *out);

#endif
