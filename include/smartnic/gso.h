/*
 * Cutting a TCP frame that segmentation offload made long, for a receiver that
 * does not take it so.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_GSO_H
#define SMARTNIC_GSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smartnic/port.h"

/* Ethernet with two tags, the longest IPv4 and the longest TCP header. */
enum { SN_GSO_HEAD_MAX = 14 + 8 + 60 + 60 };

typedef struct SnGso {
    bool v6;
    size_t ip, tcp;             /* where the headers start in the frame */
    size_t head_len;            /* bytes of all headers */
    size_t payload;             /* bytes behind them */
    /*
     * Payload of each part but the last. The sender's segment size at first;
     * the caller may make it any multiple of that.
     */
    size_t step;
} SnGso;

/*
 * Reads the headers of a frame of @frame_len bytes that begins with the
 * @head_len bytes at @head (SN_GSO_HEAD_MAX unless the frame is shorter). False
 * when it is not a TCP GSO frame whose headers agree with its length.
 */
bool sn_gso_read(SnGso *gso, const uint8_t *head, size_t head_len,
                 size_t frame_len, const SnOffload *offload);

/* How many frames it becomes. */
unsigned sn_gso_parts(const SnGso *gso);

/* Bytes of payload of part @part, which starts at @part * step. */
size_t sn_gso_payload(const SnGso *gso, unsigned part);

/*
 * Writes the headers of part @part, made from the original ones at @head, to
 * the head_len bytes at @out. The TCP checksum is left as it is: such frames
 * never carry a complete one.
 */
void sn_gso_header(const SnGso *gso, unsigned part, const uint8_t *head,
                   uint8_t *out);

/* Writes the TCP checksum into a whole frame that was made so. */
void sn_gso_fill_checksum(const SnGso *gso, uint8_t *frame, size_t len);

#endif
