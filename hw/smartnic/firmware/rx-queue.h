/*
 * Received frames: the buffers they are copied to and the queue in which they
 * wait for the bottom half.
 *
 * A frame is a chain of lwIP pbufs of our own. Buffers of 2 KiB carry most
 * frames (longer ones in several); frames that the netdev has put together
 * (GSO) get one of 64 KiB. Buffers that a stream has not consumed yet, or that
 * lwIP keeps for reassembly, may outlive the card: the pool goes with the
 * last of them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_RX_QUEUE_H
#define SMARTNIC_FIRMWARE_RX_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lwip/pbuf.h"

#include "smartnic/port.h"

enum {
    RX_SMALL = 2048,            /* bytes of payload in a buffer */
    RX_LARGE = 65536 + 64,
    RX_QUEUE_MAX = 4 << 20,     /* bytes of buffers in the queue */
    RX_POOL_MAX = 8 << 20,      /* bytes of buffers in use in all */
};

typedef struct RxPool RxPool;

typedef struct RxBuf {
    struct pbuf_custom pc;      /* first: lwIP passes its pbuf around */
    RxPool *pool;
    struct RxBuf *next;         /* in the queue or in the pool */
    size_t size;                /* of data[] */
    bool csum_ok;               /* TCP and UDP checksums need no check */
    uint8_t data[];
} RxBuf;

typedef struct RxQueue {
    RxPool *pool;
    RxBuf *head, *tail;         /* first buffers of frames */
    size_t bytes;               /* of the buffers in the queue */
    bool refused;               /* said no since it was last told ready */
    bool starved;               /* frames were lost for want of buffers */
} RxQueue;

void sn_fw_rx_init(RxQueue *q);
/* Frees what is queued; buffers in use elsewhere are freed when returned. */
void sn_fw_rx_destroy(RxQueue *q);

/* Copies a frame in. False when it is malformed or there is no room. */
bool sn_fw_rx_put(RxQueue *q, const SnFrame *frame);
/* Takes the oldest frame out; the caller owns its pbuf. NULL when empty. */
RxBuf *sn_fw_rx_take(RxQueue *q);

/* Bytes of buffers that are in use, wherever they are. */
size_t sn_fw_rx_in_use(const RxQueue *q);

/*
 * Appends the bytes of @p to those in @tail when they fit behind them and both
 * are single buffers of a pool; then @p is freed. Earlier bytes do not move.
 */
bool sn_fw_rx_merge(struct pbuf *tail, struct pbuf *p);

#endif
