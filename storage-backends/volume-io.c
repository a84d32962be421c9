/*
 * The life of requests in a volume.
 *
 *   submit -> pending -> in flight -> done -> complete()
 *                ^           |
 *                +-- loss ---+        cancel: out of any of them, at once
 *
 * A request skips "pending" when nothing waits before it and the backend takes
 * it. complete() is called from one place, sn_volume_run(), which is on the
 * stack of the loop only: of a bottom half, or of a backend's event handler
 * that ends a batch. So complete() may submit, kick and cancel freely; what
 * that makes ready to complete waits for the next run.
 *
 * A flush has no order to keep with other requests: it covers the writes that
 * completed before it was submitted, and those are not here any more.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "smartnic/trace.h"
#include "volume-internal.h"

SN_TRACE_EVENT(volume_io_submit);
SN_TRACE_EVENT(volume_io_complete);
SN_TRACE_EVENT(volume_io_cancel);
SN_TRACE_EVENT(volume_requeue);

const char *sn_io_op_name(SnIoOp op)
{
    static const char *const names[] = {
        [SN_IO_READ] = "read",
        [SN_IO_WRITE] = "write",
        [SN_IO_FLUSH] = "flush",
        [SN_IO_DISCARD] = "discard",
        [SN_IO_WRITE_ZEROES] = "write zeroes",
        [SN_IO_COMPARE] = "compare",
        [SN_IO_COMPARE_AND_WRITE] = "compare and write",
        [SN_IO_NVME] = "passthrough command",
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(names) == SN_IO_OPS);
    return op < SN_IO_OPS ? names[op] : "unknown request";
}

void sn_io_list_push(SnIoList *list, SnIo *io, SnIoState state)
{
    io->state = state;
    io->next = NULL;
    io->prev = list->tail;
    if (list->tail) {
        list->tail->next = io;
    } else {
        list->head = io;
    }
    list->tail = io;
    list->count++;
}

static void push_front(SnIoList *list, SnIo *io, SnIoState state)
{
    io->state = state;
    io->prev = NULL;
    io->next = list->head;
    if (list->head) {
        list->head->prev = io;
    } else {
        list->tail = io;
    }
    list->head = io;
    list->count++;
}

void sn_io_list_remove(SnIoList *list, SnIo *io)
{
    if (io->prev) {
        io->prev->next = io->next;
    } else {
        list->head = io->next;
    }
    if (io->next) {
        io->next->prev = io->prev;
    } else {
        list->tail = io->prev;
    }
    io->next = io->prev = NULL;
    io->state = SN_IO_IDLE;
    list->count--;
}

void sn_volume_wake(SnVolume *vol)
{
    if (vol->batch) {
        vol->work = true;
    } else {
        vol->loop->bh_schedule(vol->work_bh);
    }
}

void sn_volume_finish(SnVolume *vol, SnIo *io, int ret)
{
    io->ret = ret;
    sn_io_list_push(&vol->done, io, SN_IO_DONE);
    sn_volume_wake(vol);
}

/* An NVMe command is the far side's to judge, but for how its data moves. */
static int check_nvme(const SnVolumeInfo *info, const SnIo *io)
{
    const SnNvmeCommand *cmd = io->nvme;

    /* Fabrics commands are about the connection, which is not the guest's. */
    if (!info->nvme.passthrough || cmd->sqe.opcode == nvme_admin_fabrics ||
        (cmd->admin && cmd->dir == SN_NVME_OUT)) {
        return -EOPNOTSUPP;
    }
    if ((cmd->dir == SN_NVME_NO_DATA) != !io->len || io->len % 4 ||
        (info->max_transfer && io->len > info->max_transfer)) {
        return -EINVAL;
    }
    return 0;
}

int sn_volume_check(const SnVolume *vol, const SnIo *io)
{
    const SnVolumeInfo *info = &vol->info;
    bool offered = false;

    switch (io->op) {
    case SN_IO_FLUSH:
        return 0;
    case SN_IO_READ:
    case SN_IO_WRITE:
        offered = true;
        break;
    case SN_IO_DISCARD:
        offered = info->max_discard;
        break;
    case SN_IO_WRITE_ZEROES:
        offered = info->max_write_zeroes;
        break;
    case SN_IO_COMPARE:
        offered = info->compare;
        break;
    case SN_IO_COMPARE_AND_WRITE:
        offered = info->max_compare_and_write;
        break;
    case SN_IO_NVME:
        return check_nvme(info, io);
    }
    if (!offered) {
        return -EOPNOTSUPP;
    }
    if (info->read_only && io->op != SN_IO_READ && io->op != SN_IO_COMPARE) {
        return -EROFS;
    }
    if (io->offset > info->size || io->len > info->size - io->offset ||
        (io->offset | io->len) & ((uint64_t)info->block_size - 1)) {
        return -EINVAL;
    }
    if (io->op == SN_IO_COMPARE_AND_WRITE &&
        io->len > info->max_compare_and_write) {
        return -EINVAL;
    }
    return 0;
}

/* Whether there is nothing to do for @io, which has passed the check. */
static bool is_noop(const SnVolume *vol, const SnIo *io)
{
    switch (io->op) {
    case SN_IO_FLUSH:
        return !vol->info.write_cache;
    case SN_IO_NVME:
        return false;
    default:
        return !io->len;
    }
}

bool sn_volume_send(SnVolume *vol, SnIo *io)
{
    int64_t now = sn_volume_batch_time(vol);
    bool taken;

    io->sent = now;
    io->refused = false;
    vol->in_backend++;
    taken = vol->ops->submit(vol->be, io);
    vol->in_backend--;
    if (taken) {
        vol->refused_since = 0;
        vol->unkicked = true;
    } else if (!vol->refused_since) {
        vol->refused_since = now;
    }
    if (!vol->io_deadline) {
        sn_volume_arm_io_timer(vol, now + vol->options.io_timeout);
    }
    return taken;
}

void sn_volume_detach(SnVolume *vol, SnIo *io)
{
    vol->in_backend++;
    vol->ops->cancel(vol->be, io);
    vol->in_backend--;
}

static void kick(SnVolume *vol)
{
    if (vol->unkicked) {
        vol->unkicked = false;
        vol->in_backend++;
        vol->ops->kick(vol->be);
        vol->in_backend--;
    }
}

/*
 * Carries @io, which is on no list, as far as possible now. False, with @io
 * still on no list, when the backend takes no more.
 */
static bool offer(SnVolume *vol, SnIo *io)
{
    int ret = sn_volume_check(vol, io);

    if (ret || is_noop(vol, io)) {
        sn_volume_finish(vol, io, ret);
        return true;
    }
    if (sn_split_needed(vol, io)) {
        return sn_split_start(vol, io);
    }
    sn_io_list_push(&vol->in_flight, io, SN_IO_IN_FLIGHT);
    if (!sn_volume_send(vol, io)) {
        sn_io_list_remove(&vol->in_flight, io);
        return false;
    }
    return true;
}

/* Offers what waits; begun splits first, as they are older. */
static void offer_waiting(SnVolume *vol)
{
    if (vol->state != SN_VOLUME_READY) {
        return;
    }
    while (sn_split_send_wanting(vol) && vol->pending.head) {
        SnIo *io = vol->pending.head;

        sn_io_list_remove(&vol->pending, io);
        if (!offer(vol, io)) {
            push_front(&vol->pending, io, SN_IO_PENDING);
            break;
        }
    }
}

const SnIo *sn_volume_first_waiting(const SnVolume *vol)
{
    const SnIo *io = sn_split_first_wanting(vol);

    return io ? io : vol->pending.head;
}

/* Calls complete() of the first @n done ones. One may close: none is left. */
static void complete_some(SnVolume *vol, unsigned n)
{
    while (n-- && vol->done.head) {
        SnIo *io = vol->done.head;

        sn_io_list_remove(&vol->done, io);
        sn_trace(volume_io_complete, "id=%s io=%p ret=%d", vol->id,
                 (void *)io, io->ret);
        if (!io->ret) {
            sn_volume_count_latency(vol, io);
        }
        io->complete(io, io->ret);
    }
}

void sn_volume_run(SnVolume *vol)
{
    /* What complete() adds waits for the next run: no endless loop. */
    unsigned n = vol->done.count;
    bool any = n > 0;

    if (vol->running || vol->in_backend || vol->batch) {
        /* In a loop nested in one of ours; that one goes on afterwards. */
        vol->rerun = true;
        return;
    }
    vol->running = true;
    vol->rerun = vol->work = false;
    vol->batch_now = 0;
    complete_some(vol, n);
    if (!vol->closing) {
        offer_waiting(vol);
        kick(vol);
    }
    if (!vol->closing && vol->info_dirty && vol->state == SN_VOLUME_READY) {
        vol->info_dirty = false;
        vol->events->info_changed(vol->opaque);
    }
    if (!vol->closing && any) {
        vol->events->batch_done(vol->opaque);
    }
    vol->running = false;
    vol->batch_now = 0;
    if (vol->closing) {
        sn_volume_go_on_closing(vol);
    } else if (vol->rerun) {
        sn_volume_wake(vol);
    }
}

void sn_volume_requeue(SnVolume *vol)
{
    SnIo *io;

    sn_trace(volume_requeue, "id=%s in_flight=%u pending=%u", vol->id,
             vol->in_flight.count, vol->pending.count);
    while ((io = vol->in_flight.tail)) {
        bool split = io->state == SN_IO_SPLIT;

        sn_io_list_remove(&vol->in_flight, io);
        if (split) {
            sn_split_forget(vol, io);
        }
        io->nvme_status = 0;
        if (sn_io_is_once(io) && !io->refused) {
            sn_volume_finish(vol, io, -ECONNRESET);
        } else if (sn_volume_give_up_on(vol, io)) {
            sn_volume_finish(vol, io, -ETIMEDOUT);
        } else {
            push_front(&vol->pending, io, SN_IO_PENDING);
        }
    }
    vol->unkicked = false;
    vol->refused_since = 0;
}

void sn_volume_fail_pending(SnVolume *vol, int ret)
{
    SnIo *io;

    while ((io = vol->pending.head)) {
        sn_io_list_remove(&vol->pending, io);
        sn_volume_finish(vol, io, ret);
    }
}

void sn_volume_submit(SnVolume *vol, SnIo *io)
{
    bool waits;

    io->vol = vol;
    io->parent = NULL;
    io->parts = 0;
    io->ret = 0;
    io->nvme_status = 0;
    io->timeouts = 0;
    if (!vol->unkicked && !vol->running) {
        vol->batch_now = 0;     /* the first of a batch */
    }
    io->submitted = sn_volume_batch_time(vol);
    sn_trace(volume_io_submit, "id=%s io=%p op=%s offset=%" G_GUINT64_FORMAT
             " len=%" G_GUINT64_FORMAT " flags=0x%x", vol->id, (void *)io,
             sn_io_op_name(io->op), io->offset, io->len, io->flags);
    if (vol->state == SN_VOLUME_FAILED) {
        sn_volume_finish(vol, io, -ENODEV);
        return;
    }
    if (vol->failing_fast) {
        vol->failed_fast++;
        sn_volume_finish(vol, io, -ETIMEDOUT);
        return;
    }
    waits = vol->state != SN_VOLUME_READY || vol->in_backend ||
            sn_volume_first_waiting(vol);
    if (waits || !offer(vol, io)) {
        sn_io_list_push(&vol->pending, io, SN_IO_PENDING);
    }
}

void sn_volume_kick(SnVolume *vol)
{
    if (vol->in_backend) {
        return;
    }
    if (vol->unkicked) {
        vol->batch++;
        kick(vol);
        vol->batch--;
    }
    if (vol->work && !vol->batch) {
        sn_volume_run(vol);
    }
}

void sn_io_cancel(SnIo *io)
{
    SnVolume *vol = io->vol;

    sn_trace(volume_io_cancel, "id=%s io=%p state=%u", vol->id, (void *)io,
             io->state);
    switch ((SnIoState)io->state) {
    case SN_IO_PENDING:
        sn_io_list_remove(&vol->pending, io);
        break;
    case SN_IO_DONE:
        sn_io_list_remove(&vol->done, io);
        return;
    case SN_IO_IN_FLIGHT:
        sn_io_list_remove(&vol->in_flight, io);
        sn_volume_detach(vol, io);
        break;
    case SN_IO_SPLIT:
        sn_split_cancel(vol, io);
        sn_io_list_remove(&vol->in_flight, io);
        break;
    case SN_IO_IDLE:
        g_assert_not_reached();
    }
    /* There may be room in the backend now, and nobody else may tell us. */
    if (sn_volume_first_waiting(vol)) {
        sn_volume_wake(vol);
    } else {
        vol->refused_since = 0;
    }
}

void sn_backend_done(SnIo *io, int ret)
{
    SnVolume *vol = io->vol;

    g_assert(io->state == SN_IO_IN_FLIGHT);
    vol->answered_until = MAX(vol->answered_until, io->sent);
    if (io->parent) {
        sn_split_part_done(vol, io, ret);
    } else {
        sn_io_list_remove(&vol->in_flight, io);
        sn_volume_finish(vol, io, ret);
    }
    sn_volume_wake(vol);
}

void sn_backend_refused(SnIo *io, int64_t until)
{
    SnVolume *vol = io->vol;

    g_assert(io->state == SN_IO_IN_FLIGHT);
    vol->answered_until = MAX(vol->answered_until, io->sent);
    io->sent = until;
    io->refused = true;
}

void sn_backend_sent_again(SnIo *io)
{
    io->sent = sn_loop_now(io->vol->loop);
    io->refused = false;
}

void sn_backend_batch_begin(SnVolume *vol)
{
    vol->batch++;
}

void sn_backend_batch_end(SnVolume *vol)
{
    g_assert(vol->batch > 0);
    if (--vol->batch) {
        return;
    }
    if (vol->in_backend || vol->closing) {
        sn_volume_wake(vol);
    } else {
        sn_volume_run(vol);
    }
}
