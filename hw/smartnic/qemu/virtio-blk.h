/*
 * The virtio-blk storage function of the card.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_VIRTIO_BLK_H
#define SMARTNIC_QEMU_VIRTIO_BLK_H

#include "hw/virtio/virtio.h"
#include "smartnic/volume.h"

#define TYPE_SN_VIRTIO_BLK "smartnic-virtio-blk-device"
OBJECT_DECLARE_SIMPLE_TYPE(SnVirtioBlk, SN_VIRTIO_BLK)

typedef struct SnVirtioBlkReq SnVirtioBlkReq;
typedef QTAILQ_HEAD(, SnVirtioBlkReq) SnVirtioBlkReqList;

struct SnVirtioBlk {
    VirtIODevice parent_obj;

    /* properties */
    char *url;
    char *serial;
    uint16_t num_queues;
    uint16_t queue_size;
    uint32_t ready_timeout;     /* ms */
    int32_t bootindex;

    /* set by the card before realize; borrowed, outlive the function */
    SnNet *net;
    const char *id;             /* names the volume in messages */
    const char *machine;        /* SnVolumeConfig.host */

    SnVolume *vol;
    /* Requests that the guest waits for, oldest first. */
    SnVirtioBlkReqList reqs;
    uint64_t notify[DIV_ROUND_UP(VIRTIO_QUEUE_MAX, 64)];
    bool notify_config;
    SnBh *continue_bh;
    SnBh *notify_bh;            /* NULL: unplugged, only the volume lives on */
    /*
     * Whether the interrupt of a queue goes to an interrupt controller, and not
     * to memory or registers. Set by the transport before realize.
     */
    bool (*interrupt_is_direct)(SnVirtioBlk *s, unsigned queue);
    /*
     * Before the volume is READY for the first time, a reset is not reported
     * complete and requests wait, but only until this time (SnLoop's clock,
     * ns; 0: nobody waited yet). Afterwards the disk is empty until it is.
     */
    int64_t wait_until;
    SnTimer *wait_timer;
    VMChangeStateEntry *vmstate;
};

/*
 * Whether somebody who asks for the volume now, a driver that resets the
 * function or sends a request, has to wait for it to become READY at all.
 */
bool sn_virtio_blk_must_wait(SnVirtioBlk *s);

/*
 * Closes the volume of a function that is unrealized. A guest can unplug the
 * function from within the completion of a request, with the volume's code on
 * the stack, so this is for later, from the loop: the function has to live, and
 * its network, until then. Harmless when nothing is open.
 */
void sn_virtio_blk_close(SnVirtioBlk *s);

/* virtio-blk-notify.c. What completes a request may unplug the function. */
bool sn_virtio_blk_is_plugged(SnVirtioBlk *s);
/* @vq has something new for the guest. */
void sn_virtio_blk_mark(SnVirtioBlk *s, VirtQueue *vq);
/* Interrupts for the queues that were marked, from the loop. */
void sn_virtio_blk_notify(SnVirtioBlk *s);
/* Likewise, at once those that cannot come back to this function. */
void sn_virtio_blk_notify_direct(SnVirtioBlk *s);
/* An interrupt for a change of the configuration space, with the next ones. */
void sn_virtio_blk_notify_config(SnVirtioBlk *s);
/* The callback of notify_bh. */
void sn_virtio_blk_notify_bh(void *opaque);

/* virtio-blk-stats.c: what the monitor can ask about the volume. */
void sn_virtio_blk_stats_init(Object *obj);

void sn_virtio_blk_register_types(void);

#endif
