/*
 * Scatter gather lists (NVMe Base 1.4 section 4.4).
 *
 * Data blocks may have any address and length, together they are as long as the
 * data. A bit bucket takes what is read and not wanted. Descriptors are in the
 * command, or in a chain of segments: each but the last ends with the
 * descriptor of the next.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define GENERIC(sc) SN_CTRL_GENERIC_DNR(sc)

/* A descriptor (figure 112); the type is above the subtype. */
typedef struct SglDescriptor {
    uint64_t addr;
    uint32_t len;
    uint8_t reserved[3];
    uint8_t type;
} SglDescriptor;
G_STATIC_ASSERT(sizeof(SglDescriptor) == 16);

enum {
    SGL_DATA_BLOCK = 0,
    SGL_BIT_BUCKET = 1,
    SGL_SEGMENT = 2,
    SGL_LAST_SEGMENT = 3,
};

#define BIT_BUCKET      4096    /* bytes */
#define COPIED          16      /* descriptors that are read at a time */
/*
 * A list of more than this many descriptors or segments is refused, lest a
 * command keep us busy with empty ones.
 */
#define MAX_DESCRIPTORS 1024
#define MAX_SEGMENTS    256

typedef struct Walk {
    SnCtrlReq *req;
    size_t left;                /* bytes of data that have no place yet */
    unsigned descriptors, segments;
} Walk;

static unsigned type_of(const SglDescriptor *d)
{
    return d->type >> 4;
}

static bool is_segment(const SglDescriptor *d)
{
    return type_of(d) == SGL_SEGMENT || type_of(d) == SGL_LAST_SEGMENT;
}

/*
 * What is read for a bit bucket goes nowhere: it is given a buffer of the
 * controller, which all of them share.
 */
static void add_bucket(Walk *w, size_t len)
{
    SnCtrl *ctrl = w->req->ctrl;

    if (!ctrl->bit_bucket) {
        ctrl->bit_bucket = g_malloc(BIT_BUCKET);
    }
    while (len) {
        size_t part = MIN(len, BIT_BUCKET);

        sn_ctrl_data_add_own(w->req, ctrl->bit_bucket, part);
        len -= part;
    }
}

/* A data block or a bit bucket, at an address (subtype 0). */
static SnCtrlStatus add(Walk *w, const SglDescriptor *d)
{
    uint32_t len = GUINT32_FROM_LE(d->len);
    bool bucket = type_of(d) == SGL_BIT_BUCKET;

    if ((!bucket && type_of(d) != SGL_DATA_BLOCK) || d->type & 0xf) {
        return GENERIC(NVME_SC_SGL_INVALID_TYPE);
    }
    if (++w->descriptors > MAX_DESCRIPTORS) {
        return GENERIC(NVME_SC_SGL_INVALID_COUNT);
    }
    if (bucket && !w->req->data.writable) {
        return 0;               /* the data has nothing for it */
    }
    if (len > w->left) {
        return GENERIC(NVME_SC_SGL_INVALID_DATA);       /* as SGLS says */
    }
    w->left -= len;
    if (bucket) {
        add_bucket(w, len);
        return 0;
    }
    return sn_ctrl_data_add(w->req, GUINT64_FROM_LE(d->addr), len);
}

/*
 * The @count descriptors at @addr. Only the last one may be the next segment,
 * and is left in @next then.
 */
static SnCtrlStatus walk_segment(Walk *w, uint64_t addr, unsigned count,
                                 bool last_segment, SglDescriptor *next)
{
    SnCtrl *ctrl = w->req->ctrl;
    SglDescriptor buf[COPIED];

    while (count) {
        unsigned n = MIN(count, COPIED);

        if (!ctrl->dma->read(ctrl->dma, addr, buf, n * sizeof(*buf))) {
            return SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR);
        }
        for (unsigned i = 0; i < n; i++) {
            SnCtrlStatus status;

            if (is_segment(&buf[i]) && i + 1 < count) {
                return GENERIC(NVME_SC_SGL_INVALID_COUNT);
            }
            if (is_segment(&buf[i])) {
                *next = buf[i];
                return last_segment ? GENERIC(NVME_SC_SGL_INVALID_LAST) : 0;
            }
            status = add(w, &buf[i]);
            if (status) {
                return status;
            }
        }
        addr += n * sizeof(*buf);
        count -= n;
    }
    return last_segment ? 0 : GENERIC(NVME_SC_SGL_INVALID_LAST);
}

static SnCtrlStatus check_segment(Walk *w, const SglDescriptor *d)
{
    uint32_t bytes = GUINT32_FROM_LE(d->len);

    if (d->type & 0xf) {
        return GENERIC(NVME_SC_SGL_INVALID_TYPE);
    }
    if (!bytes || bytes % sizeof(*d) || GUINT64_FROM_LE(d->addr) % 8) {
        return GENERIC(NVME_SC_SGL_INVALID_LAST);
    }
    return ++w->segments > MAX_SEGMENTS ? GENERIC(NVME_SC_SGL_INVALID_COUNT)
                                        : 0;
}

SnCtrlStatus sn_ctrl_sgl_map(SnCtrlReq *req, size_t len)
{
    Walk w = { .req = req, .left = len };
    SglDescriptor d = {
        .addr = req->sqe.sgl_addr,
        .len = req->sqe.sgl_len,
        .type = req->sqe.sgl_type,
    };
    bool last = !is_segment(&d);
    SnCtrlStatus status = last ? add(&w, &d) : 0;

    while (!status && !last) {
        last = type_of(&d) == SGL_LAST_SEGMENT;
        status = check_segment(&w, &d);
        if (!status) {
            status = walk_segment(&w, GUINT64_FROM_LE(d.addr),
                                  GUINT32_FROM_LE(d.len) / sizeof(d), last,
                                  &d);
        }
    }
    if (!status && w.left) {
        status = GENERIC(NVME_SC_SGL_INVALID_DATA);
    }
    return status;
}
