/*
 * Requests that take several commands of the backend.
 *
 * That is so when a request is longer than one command may be, and when it
 * must be stable on a far side that has a write cache and no FUA bit: then a
 * flush follows the data. The request itself never reaches the backend; its
 * parts do, a few at a time, so that a huge request takes a bounded amount of
 * memory and leaves room for others. The first error ends it, once the parts
 * still in flight are back.
 *
 * After a loss a request starts again from its first part. That is what FUA
 * needs, as a far side that restarted may have lost what was in its cache.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "volume-internal.h"

/* Parts of one request that are with the backend at the same time. */
#define MAX_PARTS 8

typedef struct Part {
    SnIo io;
    struct iovec *iov;          /* its slice of the request's */
    unsigned iov_size;          /* entries allocated */
    bool busy;                  /* with the backend */
} Part;

/* A place in an iovec. */
typedef struct IovPos {
    unsigned index;
    size_t offset;
} IovPos;

/* Lives in the volume's pool; the request's scratch points to it. */
struct SnSplit {
    SnIo *io;
    SnSplit *next_free;
    GList link;                 /* in vol->wanting */
    bool wanting;
    bool flush_due;             /* a flush has to follow the data */
    uint64_t sent;              /* bytes handed to the backend */
    IovPos pos;                 /* of the byte after them */
    Part parts[MAX_PARTS];
};

/* The scratch of a request that is split is ours, not the backend's. */
static SnSplit *split_of(SnIo *io)
{
    return *(SnSplit **)sn_io_scratch(io);
}

static SnSplit *split_get(SnVolume *vol, SnIo *io)
{
    SnSplit *split = vol->free_splits;

    if (split) {
        vol->free_splits = split->next_free;
    } else {
        split = g_new0(SnSplit, 1);
        split->link.data = split;
    }
    split->io = io;
    split->flush_due = false;
    split->sent = 0;
    split->pos = (IovPos){ 0 };
    *(SnSplit **)sn_io_scratch(io) = split;
    return split;
}

static void set_wanting(SnVolume *vol, SnSplit *split, bool wanting)
{
    if (wanting == split->wanting) {
        return;
    }
    split->wanting = wanting;
    if (wanting) {
        g_queue_push_tail_link(&vol->wanting, &split->link);
    } else {
        g_queue_unlink(&vol->wanting, &split->link);
    }
}

static void split_put(SnVolume *vol, SnSplit *split)
{
    set_wanting(vol, split, false);
    for (int i = 0; i < MAX_PARTS; i++) {
        split->parts[i].busy = false;
    }
    split->io = NULL;
    split->next_free = vol->free_splits;
    vol->free_splits = split;
}

void sn_split_free_pool(SnVolume *vol)
{
    SnSplit *split;

    while ((split = vol->free_splits)) {
        vol->free_splits = split->next_free;
        for (int i = 0; i < MAX_PARTS; i++) {
            g_free(split->parts[i].iov);
        }
        g_free(split);
    }
}

/* The longest command for @io, a multiple of the block size; 0: no limit. */
static uint64_t max_part(const SnVolumeInfo *info, const SnIo *io)
{
    uint64_t block = info->block_size;
    uint64_t max = 0;

    switch (io->op) {
    case SN_IO_READ:
    case SN_IO_WRITE:
    case SN_IO_COMPARE:
        max = info->max_transfer;
        break;
    case SN_IO_DISCARD:
        max = info->max_discard;
        break;
    case SN_IO_WRITE_ZEROES:
        max = info->max_write_zeroes;
        break;
    case SN_IO_FLUSH:
    case SN_IO_COMPARE_AND_WRITE:
    case SN_IO_NVME:
        break;
    }
    return max ? MAX(max & ~(block - 1), block) : 0;
}

static bool flush_must_follow(const SnVolumeInfo *info, const SnIo *io)
{
    bool native = info->fua && !(io->op == SN_IO_WRITE_ZEROES &&
                                 info->no_fua_zeroes);

    return (io->flags & SN_IO_FUA) && io->op != SN_IO_FLUSH &&
           io->op != SN_IO_NVME && info->write_cache && !native;
}

bool sn_split_needed(const SnVolume *vol, const SnIo *io)
{
    uint64_t max = max_part(&vol->info, io);

    return (max && io->len > max) || flush_must_follow(&vol->info, io);
}

/* Makes @part's iovec the @len bytes of @io at @pos; returns the end. */
static IovPos slice(Part *part, const SnIo *io, IovPos pos, uint64_t len)
{
    unsigned n = 0;

    while (len) {
        const struct iovec *from = &io->iov[pos.index];
        size_t bytes = MIN(from->iov_len - pos.offset, len);

        if (n == part->iov_size) {
            part->iov_size = MAX(2 * n, 16);
            part->iov = g_renew(struct iovec, part->iov, part->iov_size);
        }
        part->iov[n].iov_base = (char *)from->iov_base + pos.offset;
        part->iov[n].iov_len = bytes;
        n++;
        len -= bytes;
        pos.offset += bytes;
        if (pos.offset == from->iov_len) {
            pos = (IovPos){ pos.index + 1, 0 };
        }
    }
    part->io.iov = part->iov;
    part->io.iovcnt = n;
    return pos;
}

static Part *free_part(SnSplit *split)
{
    for (int i = 0; i < MAX_PARTS; i++) {
        if (!split->parts[i].busy) {
            return &split->parts[i];
        }
    }
    return NULL;
}

/* Hands @part to the backend; false when that cannot take it now. */
static bool send_part(SnVolume *vol, SnSplit *split, Part *part)
{
    part->io.vol = vol;
    part->io.parent = split->io;
    part->io.nvme_status = 0;
    part->io.state = SN_IO_IN_FLIGHT;
    part->busy = true;
    split->io->parts++;
    if (!sn_volume_send(vol, &part->io)) {
        part->busy = false;
        split->io->parts--;
        return false;
    }
    return true;
}

static bool has_data(const SnIo *io)
{
    return io->op == SN_IO_READ || io->op == SN_IO_WRITE ||
           io->op == SN_IO_COMPARE;
}

static bool send_data(SnVolume *vol, SnSplit *split, Part *part)
{
    const SnIo *io = split->io;
    uint64_t max = max_part(&vol->info, io);
    uint64_t len = io->len - split->sent;
    IovPos end = split->pos;

    if (max) {
        len = MIN(len, max);
    }
    part->io.op = io->op;
    part->io.flags = io->flags;
    if (split->flush_due) {
        part->io.flags &= ~SN_IO_FUA;
    }
    part->io.offset = io->offset + split->sent;
    part->io.len = len;
    part->io.iov = NULL;
    part->io.iovcnt = 0;
    if (has_data(io)) {
        end = slice(part, io, split->pos, len);
    }
    if (!send_part(vol, split, part)) {
        return false;
    }
    split->sent += len;
    split->pos = end;
    return true;
}

static bool send_flush(SnVolume *vol, SnSplit *split, Part *part)
{
    part->io.op = SN_IO_FLUSH;
    part->io.flags = 0;
    part->io.offset = 0;
    part->io.len = 0;
    part->io.iov = NULL;
    part->io.iovcnt = 0;
    if (!send_part(vol, split, part)) {
        return false;
    }
    split->flush_due = false;
    return true;
}

/* Whether a part could be sent now, room in the backend provided. */
static bool has_more(const SnSplit *split)
{
    const SnIo *io = split->io;

    if (io->ret || io->parts == MAX_PARTS) {
        return false;
    }
    return split->sent < io->len || (split->flush_due && !io->parts);
}

/* Sends what can be sent; false when the backend takes no more. */
static bool send_parts(SnVolume *vol, SnSplit *split)
{
    while (has_more(split)) {
        Part *part = free_part(split);
        int ret;

        /* The volume may have changed since the part before. */
        ret = sn_volume_check(vol, split->io);
        if (ret) {
            split->io->ret = ret;
            break;
        }
        if (!(split->sent < split->io->len ? send_data(vol, split, part)
                                           : send_flush(vol, split, part))) {
            return false;
        }
    }
    return true;
}

/* After any change: the request wants to send, or waits, or is over. */
static void settle(SnVolume *vol, SnSplit *split)
{
    SnIo *io = split->io;

    set_wanting(vol, split, has_more(split));
    if (!split->wanting && !io->parts) {
        split_put(vol, split);
        sn_io_list_remove(&vol->in_flight, io);
        sn_volume_finish(vol, io, io->ret);
    }
}

bool sn_split_start(SnVolume *vol, SnIo *io)
{
    SnSplit *split = split_get(vol, io);

    io->parts = 0;
    io->ret = 0;
    split->flush_due = flush_must_follow(&vol->info, io);
    if (!send_parts(vol, split) && !split->sent) {
        split_put(vol, split);
        return false;
    }
    sn_io_list_push(&vol->in_flight, io, SN_IO_SPLIT);
    settle(vol, split);
    return true;
}

bool sn_split_send_wanting(SnVolume *vol)
{
    SnSplit *split;

    while ((split = g_queue_peek_head(&vol->wanting))) {
        bool taken = send_parts(vol, split);

        settle(vol, split);
        if (!taken) {
            return false;
        }
    }
    return true;
}

const SnIo *sn_split_oldest_part(SnIo *io)
{
    SnSplit *split = split_of(io);
    const SnIo *oldest = NULL;

    for (int i = 0; i < MAX_PARTS; i++) {
        const Part *part = &split->parts[i];

        if (part->busy && (!oldest || part->io.sent < oldest->sent)) {
            oldest = &part->io;
        }
    }
    return oldest;
}

const SnIo *sn_split_first_wanting(const SnVolume *vol)
{
    return vol->wanting.head ? ((SnSplit *)vol->wanting.head->data)->io : NULL;
}

void sn_split_part_done(SnVolume *vol, SnIo *part, int ret)
{
    SnIo *io = part->parent;

    part->state = SN_IO_IDLE;
    ((Part *)part)->busy = false;
    io->parts--;
    if (ret && !io->ret) {
        io->ret = ret;
        io->nvme_status = part->nvme_status;
    }
    settle(vol, split_of(io));
}

void sn_split_cancel(SnVolume *vol, SnIo *io)
{
    SnSplit *split = split_of(io);

    for (int i = 0; i < MAX_PARTS; i++) {
        if (split->parts[i].busy) {
            sn_volume_detach(vol, &split->parts[i].io);
        }
    }
    split_put(vol, split);
}

void sn_split_forget(SnVolume *vol, SnIo *io)
{
    split_put(vol, split_of(io));
}
