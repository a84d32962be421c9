/*
 * Interrupts of the virtio-blk function.
 *
 * An interrupt may be a write to an address of the guest's choice, which may
 * reset or unplug the function. So what is not known to go to an interrupt
 * controller comes from a bottom half, with neither the volume nor the
 * virtqueues' code on the stack.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "system/runstate.h"

#include "loop.h"
#include "smartnic/trace.h"
#include "virtio-blk.h"

SN_TRACE_EVENT(virtio_blk_config_changed);

bool sn_virtio_blk_is_plugged(SnVirtioBlk *s)
{
    return s->notify_bh != NULL;
}

void sn_virtio_blk_mark(SnVirtioBlk *s, VirtQueue *vq)
{
    set_bit(virtio_get_queue_index(vq), (unsigned long *)s->notify);
}

/* @direct: only what may leave now. Whether any queue is left. */
static bool notify_queues(SnVirtioBlk *s, bool direct)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    bool remain = false;

    for (unsigned i = 0;
         sn_virtio_blk_is_plugged(s) && i < s->num_queues; i++) {
        if (!test_bit(i, (unsigned long *)s->notify)) {
            continue;
        }
        if (direct && !s->interrupt_is_direct(s, i)) {
            remain = true;
            continue;
        }
        clear_bit(i, (unsigned long *)s->notify);
        virtio_notify(vdev, virtio_get_queue(vdev, i));
    }
    return remain;
}

void sn_virtio_blk_notify_bh(void *opaque)
{
    SnVirtioBlk *s = opaque;

    if (!runstate_is_running()) {
        return;                 /* continue_bh() schedules it again */
    }
    if (s->notify_config) {
        s->notify_config = false;
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
    notify_queues(s, false);
}

void sn_virtio_blk_notify(SnVirtioBlk *s)
{
    if (sn_virtio_blk_is_plugged(s)) {
        sn_qemu_loop()->bh_schedule(s->notify_bh);
    }
}

/*
 * The turn of the main loop before the bottom half is where a guest that polls,
 * or its processor under TCG, would wait for the lock with its next request.
 */
void sn_virtio_blk_notify_direct(SnVirtioBlk *s)
{
    if (!runstate_is_running() || notify_queues(s, true)) {
        sn_virtio_blk_notify(s);
    }
}

void sn_virtio_blk_notify_config(SnVirtioBlk *s)
{
    sn_trace(virtio_blk_config_changed, "id=%s state=%s size=%" PRIu64
             " read-only=%d", s->id,
             sn_volume_state_name(sn_volume_state(s->vol)),
             sn_volume_info(s->vol)->size, sn_volume_info(s->vol)->read_only);
    s->notify_config = true;
    sn_virtio_blk_notify(s);
}
