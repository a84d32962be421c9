/*
 * The virtio-blk storage function: virtqueues on one side, an SnVolume on the
 * other (virtio 1.2 section 5.2).
 *
 * Theory of operation. A request is a virtqueue element with an SnIo behind
 * it; data goes straight between the guest's pages, as QEMU mapped them, and
 * the volume. The function keeps every request that the guest waits for in
 * one list, oldest first, until it is completed. Reset, queue reset and unplug
 * cancel what they find there; a stopped VM cancels too, but keeps the
 * requests and submits them again when it runs, so that no guest memory
 * changes meanwhile. Nothing waits for the volume.
 *
 * All code runs with the BQL held: the card's one thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "qemu/units.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-bus.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_ids.h"
#include "system/runstate.h"
#include "system/system.h"

#include "loop.h"
#include "smartnic/trace.h"
#include "virtio-blk.h"

#define SECTOR 512

/* What a firmware that does not wait for a reset sees: "large, to be seen". */
#define PROVISIONAL_SECTORS (2ULL * TiB / SECTOR)

SN_TRACE_EVENT(virtio_blk_request);
SN_TRACE_EVENT(virtio_blk_complete);
SN_TRACE_EVENT(virtio_blk_drop);
SN_TRACE_EVENT(virtio_blk_vm_state);
SN_TRACE_EVENT(virtio_blk_reset);
SN_TRACE_EVENT(virtio_blk_queue_reset);
SN_TRACE_EVENT(virtio_blk_disabled);
SN_TRACE_EVENT(virtio_blk_wait_over);

struct SnVirtioBlkReq {
    VirtQueueElement elem;      /* must be first: virtqueue_pop() */
    SnVirtioBlk *dev;
    VirtQueue *vq;
    QTAILQ_ENTRY(SnVirtioBlkReq) next;
    struct iovec *data;         /* the element's data part: into elem's iov */
    unsigned data_cnt;
    IOVDiscardUndo undo;        /* restores elem's iov, to unmap it */
    bool submitted;             /* io belongs to the volume */
    SnIo io;
};

/* ---- ending ---- */

/* Gives the element back to the virtqueue's code as it was mapped. */
static void req_restore(SnVirtioBlkReq *req)
{
    iov_discard_undo(&req->undo);
}

static void cancel_io(SnVirtioBlkReq *req)
{
    if (req->submitted) {
        req->submitted = false;
        sn_io_cancel(&req->io);
    }
}

/*
 * Forgets a request that the guest does not wait for any more. Out of the list
 * first, as in req_complete().
 */
static void req_drop(SnVirtioBlkReq *req)
{
    sn_trace(virtio_blk_drop, "id=%s req=%p", req->dev->id, req);
    QTAILQ_REMOVE(&req->dev->reqs, req, next);
    cancel_io(req);
    req_restore(req);
    virtqueue_detach_element(req->vq, &req->elem, 0);
    g_free(req);
}

static void req_complete(SnVirtioBlkReq *req, uint8_t status)
{
    SnVirtioBlk *s = req->dev;
    struct iovec *in = req->elem.in_sg;
    unsigned in_num = req->elem.in_num;
    size_t in_len;

    sn_trace(virtio_blk_complete, "id=%s req=%p status=%u", s->id, req,
             status);
    req_restore(req);
    in_len = iov_size(in, in_num);
    iov_from_buf(in, in_num, in_len - 1, &status, 1);
    /*
     * Out of the list first: unmapping writes bounced data, which a guest can
     * direct at the status register, and a reset drops what is in the list. It
     * can unplug the card as well. So whoever completes a request must not
     * know another one afterwards.
     */
    QTAILQ_REMOVE(&s->reqs, req, next);
    /* All of it, or the status at its end would not be written back. */
    virtqueue_push(req->vq, &req->elem, in_len);
    sn_virtio_blk_mark(s, req->vq);
    g_free(req);
}

static uint8_t errno_to_status(int ret)
{
    switch (ret) {
    case 0:
        return VIRTIO_BLK_S_OK;
    case -EOPNOTSUPP:
        return VIRTIO_BLK_S_UNSUPP;
    default:
        return VIRTIO_BLK_S_IOERR;
    }
}

static void io_complete(SnIo *io, int ret)
{
    SnVirtioBlkReq *req = container_of(io, SnVirtioBlkReq, io);

    req->submitted = false;
    req_complete(req, errno_to_status(ret));
}

/* ---- starting ---- */

static bool never_ready(SnVirtioBlk *s)
{
    return sn_volume_state(s->vol) == SN_VOLUME_CONNECTING;
}

bool sn_virtio_blk_must_wait(SnVirtioBlk *s)
{
    int64_t now = sn_loop_now(sn_qemu_loop());

    if (!sn_virtio_blk_is_plugged(s) || !never_ready(s)) {
        return false;           /* unplugged, or nothing to wait for */
    }
    if (!s->wait_until) {
        s->wait_until = now + s->ready_timeout * SN_NS_PER_MS;
        sn_qemu_loop()->timer_set(s->wait_timer, s->wait_until);
    }
    return now < s->wait_until;
}

static void req_submit(SnVirtioBlkReq *req)
{
    if (never_ready(req->dev) && !sn_virtio_blk_must_wait(req->dev)) {
        req_complete(req, VIRTIO_BLK_S_IOERR);
        return;
    }
    req->submitted = true;
    req->io.complete = io_complete;
    sn_volume_submit(req->dev->vol, &req->io);
}

/*
 * A boot firmware asks every disk for its first block, and would wait for a
 * target that does not exist. Nobody has seen this disk work yet, so failing
 * loses nothing.
 */
static void wait_over(void *opaque)
{
    SnVirtioBlk *s = opaque;
    SnVirtioBlkReq *req;

    if (!never_ready(s) || !runstate_is_running()) {
        return;                 /* a stopped VM sees it when it continues */
    }
    sn_trace(virtio_blk_wait_over, "id=%s", s->id);
    while ((req = QTAILQ_FIRST(&s->reqs))) {
        cancel_io(req);
        req_complete(req, VIRTIO_BLK_S_IOERR);
    }
    sn_virtio_blk_notify_config(s);     /* with the requests' interrupts */
}

/*
 * virtio 1.2 section 5.2.6.2: a driver that cannot flush expects writes to be
 * stable when they complete.
 */
static bool guest_flushes(SnVirtioBlk *s)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_BLK_F_FLUSH);
}

static void start_read_write(SnVirtioBlkReq *req, bool write, uint64_t sector)
{
    size_t len = iov_size(req->data, req->data_cnt);

    if (len == 0 || len % SECTOR || sector > UINT64_MAX / SECTOR) {
        req_complete(req, VIRTIO_BLK_S_IOERR);
        return;
    }
    req->io.op = write ? SN_IO_WRITE : SN_IO_READ;
    req->io.flags = write && !guest_flushes(req->dev) ? SN_IO_FUA : 0;
    req->io.offset = sector * SECTOR;
    req->io.len = len;
    req->io.iov = req->data;
    req->io.iovcnt = req->data_cnt;
    req_submit(req);
}

/* Section 5.2.6: one segment, since the configuration space allows one. */
static void start_range(SnVirtioBlkReq *req, bool zeroes)
{
    struct virtio_blk_discard_write_zeroes seg;
    uint64_t sector, count;
    uint32_t flags;

    if (iov_size(req->data, req->data_cnt) != sizeof(seg)) {
        req_complete(req, VIRTIO_BLK_S_IOERR);
        return;
    }
    iov_to_buf(req->data, req->data_cnt, 0, &seg, sizeof(seg));
    sector = le64_to_cpu(seg.sector);
    count = le32_to_cpu(seg.num_sectors);
    flags = le32_to_cpu(seg.flags);

    if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0)) {
        req_complete(req, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (count == 0 || sector > UINT64_MAX / SECTOR - count) {
        req_complete(req, VIRTIO_BLK_S_IOERR);
        return;
    }
    req->io.op = zeroes ? SN_IO_WRITE_ZEROES : SN_IO_DISCARD;
    req->io.flags = (flags ? SN_IO_UNMAP : 0) |
                    (zeroes && !guest_flushes(req->dev) ? SN_IO_FUA : 0);
    req->io.offset = sector * SECTOR;
    req->io.len = count * SECTOR;
    req->io.iovcnt = 0;
    req_submit(req);
}

static void start_flush(SnVirtioBlkReq *req)
{
    req->io.op = SN_IO_FLUSH;
    req->io.flags = 0;
    req->io.offset = 0;
    req->io.len = 0;
    req->io.iovcnt = 0;
    req_submit(req);
}

static void complete_get_id(SnVirtioBlkReq *req)
{
    SnVirtioBlk *s = req->dev;
    const char *serial = s->serial ? s->serial
                                   : sn_volume_info(s->vol)->serial;
    char id[VIRTIO_BLK_ID_BYTES] = { };

    /* Section 5.2.6: NUL-padded, not terminated when it is 20 bytes long. */
    memcpy(id, serial, strnlen(serial, sizeof(id)));
    iov_from_buf(req->data, req->data_cnt, 0, id,
                 MIN(sizeof(id), iov_size(req->data, req->data_cnt)));
    req_complete(req, VIRTIO_BLK_S_OK);
}

static void start_request(SnVirtioBlkReq *req,
                          const struct virtio_blk_outhdr *hdr)
{
    uint32_t type = le32_to_cpu(hdr->type);
    uint64_t sector = le64_to_cpu(hdr->sector);

    sn_trace(virtio_blk_request, "id=%s req=%p queue=%d type=%u sector=%" PRIu64
             " len=%zu", req->dev->id, req, virtio_get_queue_index(req->vq),
             type, sector, iov_size(req->data, req->data_cnt));
    switch (type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        start_read_write(req, type == VIRTIO_BLK_T_OUT, sector);
        break;
    case VIRTIO_BLK_T_FLUSH:
        start_flush(req);
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        start_range(req, type == VIRTIO_BLK_T_WRITE_ZEROES);
        break;
    case VIRTIO_BLK_T_GET_ID:
        complete_get_id(req);
        break;
    default:
        req_complete(req, VIRTIO_BLK_S_UNSUPP);
        break;
    }
}

static bool type_sends_data(uint32_t type)
{
    return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
           type == VIRTIO_BLK_T_WRITE_ZEROES;
}

/*
 * Reads the header and finds the data: what follows the header in the
 * device-readable part, or precedes the status byte in the device-writable
 * one. How they are spread over descriptors means nothing (section 2.7.4).
 * False when there is no room for header or status.
 */
static bool parse_request(SnVirtioBlkReq *req, struct virtio_blk_outhdr *hdr)
{
    VirtQueueElement *e = &req->elem;
    size_t cut;

    if (iov_size(e->in_sg, e->in_num) < 1 ||
        iov_to_buf(e->out_sg, e->out_num, 0, hdr, sizeof(*hdr)) <
        sizeof(*hdr)) {
        return false;
    }
    if (type_sends_data(le32_to_cpu(hdr->type))) {
        req->data = e->out_sg;
        req->data_cnt = e->out_num;
        cut = iov_discard_front_undoable(&req->data, &req->data_cnt,
                                         sizeof(*hdr), &req->undo);
        return cut == sizeof(*hdr);
    }
    req->data = e->in_sg;
    req->data_cnt = e->in_num;
    cut = iov_discard_back_undoable(req->data, &req->data_cnt, 1, &req->undo);
    return cut == 1;
}

/* Takes one element off the queue; false when there is none, or no queue. */
static bool handle_one(SnVirtioBlk *s, VirtQueue *vq)
{
    struct virtio_blk_outhdr hdr;
    SnVirtioBlkReq *req = virtqueue_pop(vq, sizeof(*req));

    if (!req) {
        return false;
    }
    req->dev = s;
    req->vq = vq;
    req->submitted = false;
    req->undo = (IOVDiscardUndo) { };
    QTAILQ_INSERT_TAIL(&s->reqs, req, next);

    if (!parse_request(req, &hdr)) {
        req_drop(req);          /* first: the error raises an interrupt */
        virtio_error(VIRTIO_DEVICE(s),
                     "smartnic-virtio-blk: request without room for the "
                     "16-byte header or the status byte");
        return false;
    }
    start_request(req, &hdr);
    return sn_virtio_blk_is_plugged(s);
}

static void take_queue(SnVirtioBlk *s, VirtQueue *vq)
{
    bool quiet = virtio_queue_get_notification(vq);

    do {
        if (quiet) {
            virtio_queue_set_notification(vq, 0);
        }
        while (handle_one(s, vq)) {
            /* until the queue is empty or broken */
        }
        if (!sn_virtio_blk_is_plugged(s)) {
            return;
        }
        if (quiet) {
            virtio_queue_set_notification(vq, 1);
        }
    } while (!virtio_queue_empty(vq));
    sn_volume_kick(s->vol);
    sn_virtio_blk_notify(s);    /* of those that the volume did not see */
}

static void handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    if (!runstate_is_running()) {
        return;                 /* continue_bh() takes them */
    }
    sn_qemu_loop_hold();
    take_queue(SN_VIRTIO_BLK(vdev), vq);
    sn_qemu_loop_release();
}

/* ---- stopping and starting again ---- */

/* What the guest queued just before the VM stopped was left there. */
static void take_all(SnVirtioBlk *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    for (unsigned i = 0;
         sn_virtio_blk_is_plugged(s) && i < s->num_queues; i++) {
        if ((vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
            virtio_queue_get_addr(vdev, i)) {
            handle_output(vdev, virtio_get_queue(vdev, i));
        }
    }
}

/* Forgets the requests of @vq, or of all queues; the guest did the same. */
static void drop_requests(SnVirtioBlk *s, VirtQueue *vq)
{
    SnVirtioBlkReq *req, *tmp;

    QTAILQ_FOREACH_SAFE(req, &s->reqs, next, tmp) {
        if (!vq || req->vq == vq) {
            req_drop(req);
        }
    }
}

static SnVirtioBlkReq *first_held(SnVirtioBlk *s)
{
    SnVirtioBlkReq *req;

    QTAILQ_FOREACH(req, &s->reqs, next) {
        if (!req->submitted) {
            return req;
        }
    }
    return NULL;
}

/* The VM runs again. */
static void continue_bh(void *opaque)
{
    SnVirtioBlk *s = opaque;
    SnVirtioBlkReq *req;

    if (!runstate_is_running()) {
        return;                 /* not any more */
    }
    while ((req = first_held(s))) {
        req_submit(req);
    }
    take_all(s);
    if (sn_virtio_blk_is_plugged(s)) {
        sn_volume_kick(s->vol);
        sn_virtio_blk_notify(s);
    }
}

/*
 * A request may be answered at once, into registers that unplug a device whose
 * own handler comes next: not while QEMU goes through them.
 */
static void vm_state_changed(void *opaque, bool running, RunState state)
{
    SnVirtioBlk *s = opaque;
    SnVirtioBlkReq *req;

    sn_trace(virtio_blk_vm_state, "id=%s running=%d", s->id, running);
    if (running) {
        sn_qemu_loop()->bh_schedule(s->continue_bh);
        return;
    }
    QTAILQ_FOREACH(req, &s->reqs, next) {
        cancel_io(req);
    }
}

static void virtio_blk_reset(VirtIODevice *vdev)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(vdev);

    sn_trace(virtio_blk_reset, "id=%s", s->id);
    drop_requests(s, NULL);
    memset(s->notify, 0, sizeof(s->notify));
}

/*
 * The guest took bus mastering away, which is how virtio-pci tells it, or its
 * driver stopped without a reset. The pages of requests were mapped before, so
 * nothing but letting go of them ends the writing.
 */
static void virtio_blk_set_status(VirtIODevice *vdev, uint8_t status)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(vdev);

    if (!QTAILQ_EMPTY(&s->reqs) &&
        (vdev->disabled ||
         (vdev->status & ~status & VIRTIO_CONFIG_S_DRIVER_OK))) {
        sn_trace(virtio_blk_disabled, "id=%s bus-master=%d", s->id,
                 !vdev->disabled);
        drop_requests(s, NULL);
    }
}

static void virtio_blk_queue_reset(VirtIODevice *vdev, uint32_t index)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(vdev);

    sn_trace(virtio_blk_queue_reset, "id=%s queue=%u", s->id, index);
    drop_requests(s, virtio_get_queue(vdev, index));
}

/* ---- what the guest sees of the volume ---- */

static bool info_valid(SnVirtioBlk *s)
{
    return sn_volume_info(s->vol)->block_size != 0;
}

static uint64_t capacity_sectors(SnVirtioBlk *s)
{
    if (info_valid(s)) {
        return sn_volume_info(s->vol)->size / SECTOR;
    }
    /* A driver that waited in vain gets an empty disk, which grows later. */
    return !never_ready(s) ||
           (s->wait_until && !sn_virtio_blk_must_wait(s))
           ? 0 : PROVISIONAL_SECTORS;
}

static uint32_t limit_sectors(uint64_t bytes)
{
    /* The volume splits what is longer than one command of the far side. */
    return bytes ? (UINT32_MAX & ~7U) : 0;
}

static void virtio_blk_get_config(VirtIODevice *vdev, uint8_t *config)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(vdev);
    const SnVolumeInfo *info = sn_volume_info(s->vol);
    uint32_t block_size = info->block_size ? info->block_size : SECTOR;
    uint32_t phys = MIN(MAX(info->phys_block_size, block_size) / block_size,
                        32768);         /* in blocks */
    struct virtio_blk_config cfg = {
        .capacity = cpu_to_le64(capacity_sectors(s)),
        .seg_max = cpu_to_le32(s->queue_size - 2),
        .blk_size = cpu_to_le32(block_size),
        .physical_block_exp = is_power_of_2(phys) ? ctz32(phys) : 0,
        .min_io_size = cpu_to_le16(phys),
        .opt_io_size = cpu_to_le32(info->opt_io_size / block_size),
        .wce = info->write_cache,
        .num_queues = cpu_to_le16(s->num_queues),
        .max_discard_sectors = cpu_to_le32(limit_sectors(info->max_discard)),
        .max_discard_seg = cpu_to_le32(1),
        .discard_sector_alignment =
            cpu_to_le32(MAX(info->discard_granularity, block_size) / SECTOR),
        .max_write_zeroes_sectors =
            cpu_to_le32(limit_sectors(info->max_write_zeroes)),
        .max_write_zeroes_seg = cpu_to_le32(1),
        .write_zeroes_may_unmap = 1,
    };

    memcpy(config, &cfg, vdev->config_len);
}

static uint64_t virtio_blk_get_features(VirtIODevice *vdev, uint64_t features,
                                        Error **errp)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(vdev);
    const SnVolumeInfo *info = sn_volume_info(s->vol);

    virtio_add_feature(&features, VIRTIO_BLK_F_SEG_MAX);
    virtio_add_feature(&features, VIRTIO_BLK_F_BLK_SIZE);
    virtio_add_feature(&features, VIRTIO_BLK_F_TOPOLOGY);
    if (s->num_queues > 1) {
        virtio_add_feature(&features, VIRTIO_BLK_F_MQ);
    }
    if (info->write_cache || !info_valid(s)) {
        virtio_add_feature(&features, VIRTIO_BLK_F_FLUSH);
    }
    if (info->read_only) {
        virtio_add_feature(&features, VIRTIO_BLK_F_RO);
    }
    if (info->max_discard) {
        virtio_add_feature(&features, VIRTIO_BLK_F_DISCARD);
    }
    if (info->max_write_zeroes) {
        virtio_add_feature(&features, VIRTIO_BLK_F_WRITE_ZEROES);
    }
    return features;
}

/*
 * virtio-pci asks for the features once, when the function is realized. What
 * depends on the volume is replaced when that is known; a driver that
 * negotiated before keeps what it has until its next reset.
 */
static void update_features(SnVirtioBlk *s)
{
    static const unsigned of_volume[] = {
        VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_DISCARD,
        VIRTIO_BLK_F_WRITE_ZEROES,
    };
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    uint64_t features = vdev->host_features;

    for (unsigned i = 0; i < ARRAY_SIZE(of_volume); i++) {
        virtio_clear_feature(&features, of_volume[i]);
    }
    vdev->host_features = virtio_blk_get_features(vdev, features, NULL);
}

static void volume_info_changed(void *opaque)
{
    SnVirtioBlk *s = opaque;

    update_features(s);
    sn_virtio_blk_notify_config(s);
}

static void volume_state_changed(void *opaque, SnVolumeState state)
{
    if (state == SN_VOLUME_READY || state == SN_VOLUME_FAILED) {
        volume_info_changed(opaque);
    }
}

static void volume_batch_done(void *opaque)
{
    sn_virtio_blk_notify_direct(opaque);
}

/* virtio-blk knows no reservations: the guest meets the conflict. */
static void volume_reservation(void *opaque, uint8_t type)
{
}

static const SnVolumeEvents volume_events = {
    .state_changed = volume_state_changed,
    .info_changed = volume_info_changed,
    .batch_done = volume_batch_done,
    .reservation = volume_reservation,
};

/* ---- the device ---- */

static bool check_properties(SnVirtioBlk *s, Error **errp)
{
    if (!s->url) {
        error_setg(errp, "volume is missing: give a URL such as "
                   "nvme+tcp://host/nqn or mem://?size=1G");
    } else if (s->num_queues < 1 || s->num_queues > 64) {
        error_setg(errp, "num-queues %u is not from 1 to 64", s->num_queues);
    } else if (s->queue_size < 4 || s->queue_size > VIRTQUEUE_MAX_SIZE ||
               !is_power_of_2(s->queue_size)) {
        error_setg(errp, "queue-size %u is not a power of 2 from 4 to %u",
                   s->queue_size, VIRTQUEUE_MAX_SIZE);
    } else if (s->serial && strlen(s->serial) > VIRTIO_BLK_ID_BYTES) {
        error_setg(errp, "serial \"%s\" is longer than %u bytes", s->serial,
                   VIRTIO_BLK_ID_BYTES);
    } else {
        return true;
    }
    return false;
}

static void virtio_blk_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    SnVirtioBlk *s = SN_VIRTIO_BLK(dev);
    g_autoptr(GError) gerr = NULL;

    if (!check_properties(s, errp)) {
        return;
    }
    s->vol = sn_volume_open(&(SnVolumeConfig) {
        .url = s->url,
        .id = s->id,
        .host = s->machine,
        .net = s->net,
        .loop = sn_qemu_loop(),
        .events = &volume_events,
        .opaque = s,
    }, &gerr);
    if (!s->vol) {
        error_setg(errp, "%s", gerr->message);
        return;
    }
    s->notify_bh = sn_qemu_loop()->bh_new(sn_qemu_loop(),
                                           sn_virtio_blk_notify_bh, s);
    s->continue_bh = sn_qemu_loop()->bh_new(sn_qemu_loop(), continue_bh, s);
    s->wait_timer = sn_qemu_loop()->timer_new(sn_qemu_loop(), wait_over, s);
    QTAILQ_INIT(&s->reqs);
    virtio_init(vdev, VIRTIO_ID_BLOCK,
                endof(struct virtio_blk_config, write_zeroes_may_unmap));
    for (unsigned i = 0; i < s->num_queues; i++) {
        virtio_add_queue(vdev, s->queue_size, handle_output);
    }
    s->vmstate = qdev_add_vm_change_state_handler(dev, vm_state_changed, s);
}

static void virtio_blk_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    SnVirtioBlk *s = SN_VIRTIO_BLK(dev);

    drop_requests(s, NULL);
    qemu_del_vm_change_state_handler(s->vmstate);
    sn_qemu_loop()->timer_free(s->wait_timer);
    sn_qemu_loop()->bh_free(s->continue_bh);
    sn_qemu_loop()->bh_free(s->notify_bh);
    s->notify_bh = NULL;
    for (unsigned i = 0; i < s->num_queues; i++) {
        virtio_del_queue(vdev, i);
    }
    virtio_cleanup(vdev);
}

void sn_virtio_blk_close(SnVirtioBlk *s)
{
    g_clear_pointer(&s->vol, sn_volume_close);
}

static void virtio_blk_instance_init(Object *obj)
{
    SnVirtioBlk *s = SN_VIRTIO_BLK(obj);

    device_add_bootindex_property(obj, &s->bootindex, "bootindex",
                                  "/disk@0,0", DEVICE(obj));
    sn_virtio_blk_stats_init(obj);
}

static const Property virtio_blk_properties[] = {
    DEFINE_PROP_STRING("volume", SnVirtioBlk, url),
    DEFINE_PROP_STRING("serial", SnVirtioBlk, serial),
    DEFINE_PROP_UINT16("num-queues", SnVirtioBlk, num_queues, 1),
    DEFINE_PROP_UINT16("queue-size", SnVirtioBlk, queue_size, 256),
    DEFINE_PROP_UINT32("ready-timeout", SnVirtioBlk, ready_timeout, 10000),
};

/* Requests in flight cannot be handed over yet, see docs/limitations.rst. */
static const VMStateDescription vmstate_virtio_blk = {
    .name = TYPE_SN_VIRTIO_BLK,
    .unmigratable = 1,
};

static void virtio_blk_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, virtio_blk_properties);
    dc->user_creatable = false;
    dc->vmsd = &vmstate_virtio_blk;
    set_bit(DEVICE_CATEGORY_STORAGE, dc->categories);
    vdc->realize = virtio_blk_realize;
    vdc->unrealize = virtio_blk_unrealize;
    vdc->get_config = virtio_blk_get_config;
    vdc->get_features = virtio_blk_get_features;
    vdc->set_status = virtio_blk_set_status;
    vdc->reset = virtio_blk_reset;
    vdc->queue_reset = virtio_blk_queue_reset;
}

static const TypeInfo virtio_blk_type = {
    .name = TYPE_SN_VIRTIO_BLK,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(SnVirtioBlk),
    .instance_init = virtio_blk_instance_init,
    .class_init = virtio_blk_class_init,
};

void sn_virtio_blk_register_types(void)
{
    type_register_static(&virtio_blk_type);
}
