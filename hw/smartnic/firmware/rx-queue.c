/*
 * Received frames: buffers and queue.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "rx-queue.h"
#include "smartnic/gso.h"

/*
 * The IP header, 14 bytes into the frame, is aligned like this. (lwIP's
 * ETH_PAD_SIZE would do it too, at the price of two bytes on every output.)
 */
enum { RX_PAD = 2 };

/*
 * Free buffers kept per kind: 1 MiB of small ones, and as many large ones as
 * the queue holds. Fewer, and malloc() gives large ones back to the system and
 * takes them again, page by page, which costs more than all the rest.
 */
enum { KEEP_SMALL = 512, KEEP_LARGE = RX_QUEUE_MAX / RX_LARGE };

/* A frame of at least half a large buffer's size gets one. */
enum { LARGE_FROM = 32768 };

enum { FRAME_MIN = 14, PBUF_MAX = 65535 };

typedef struct RxShelf {
    RxBuf *free;
    unsigned count;
} RxShelf;

struct RxPool {
    RxShelf small, large;
    size_t in_use;              /* bytes */
    unsigned out;               /* buffers in use */
    bool orphan;                /* its queue is gone */
};

/* Reads through an iovec. */
typedef struct Cursor {
    const struct iovec *iov;
    unsigned left;              /* elements, this one included */
    size_t off;                 /* in this element */
} Cursor;

static void cursor_read(Cursor *c, uint8_t *to, size_t len)
{
    while (len && c->left) {
        size_t n = MIN(len, c->iov->iov_len - c->off);

        if (n) {
            memcpy(to, (const uint8_t *)c->iov->iov_base + c->off, n);
        }
        to += n;
        len -= n;
        c->off += n;
        if (c->off == c->iov->iov_len) {
            c->iov++;
            c->left--;
            c->off = 0;
        }
    }
}

static void pool_drain(RxShelf *shelf)
{
    RxBuf *buf;

    while ((buf = shelf->free)) {
        shelf->free = buf->next;
        g_free(buf);
    }
    shelf->count = 0;
}

static void pool_unref(RxPool *pool)
{
    if (pool->orphan && pool->out == 0) {
        pool_drain(&pool->small);
        pool_drain(&pool->large);
        g_free(pool);
    }
}

/* lwIP has let go of a pbuf. */
static void buf_free(struct pbuf *p)
{
    RxBuf *buf = (RxBuf *)p;
    RxPool *pool = buf->pool;
    bool large = buf->size == RX_LARGE;
    RxShelf *shelf = large ? &pool->large : &pool->small;

    pool->in_use -= buf->size;
    pool->out--;
    if (shelf->count < (large ? KEEP_LARGE : KEEP_SMALL)) {
        buf->next = shelf->free;
        shelf->free = buf;
        shelf->count++;
    } else {
        g_free(buf);
    }
    pool_unref(pool);
}

static RxBuf *buf_alloc(RxPool *pool, size_t size)
{
    RxShelf *shelf = size == RX_LARGE ? &pool->large : &pool->small;
    RxBuf *buf = shelf->free;

    if (pool->in_use + size > RX_POOL_MAX) {
        return NULL;
    }
    if (buf) {
        shelf->free = buf->next;
        shelf->count--;
    } else {
        buf = g_try_malloc(sizeof(*buf) + size);
        if (!buf) {
            return NULL;
        }
        buf->pool = pool;
        buf->size = size;
        buf->pc.custom_free_function = buf_free;
    }
    buf->next = NULL;
    pool->in_use += size;
    pool->out++;
    return buf;
}

/*
 * A chain of @len bytes, @len at most 65535: @head first, then what @c gives.
 */
static RxBuf *chain_new(RxPool *pool, size_t len, const uint8_t *head,
                        size_t head_len, Cursor *c, size_t *bytes)
{
    size_t size = len >= LARGE_FROM ? RX_LARGE : RX_SMALL;
    struct pbuf *first = NULL;
    size_t used = 0, left = len;

    while (left) {
        RxBuf *buf = buf_alloc(pool, size);
        size_t n = MIN(left, size - RX_PAD);
        struct pbuf *p;

        if (!buf) {
            if (first) {
                pbuf_free(first);
            }
            return NULL;
        }
        p = pbuf_alloced_custom(PBUF_RAW, n, PBUF_REF, &buf->pc,
                                buf->data + RX_PAD, n);
        if (head_len) {
            memcpy(buf->data + RX_PAD, head, head_len);
        }
        cursor_read(c, buf->data + RX_PAD + head_len, n - head_len);
        head_len = 0;
        used += size;
        left -= n;
        if (first) {
            pbuf_cat(first, p);
        } else {
            first = p;
        }
    }
    *bytes += used;
    return (RxBuf *)first;
}

static void queue_add(RxQueue *q, RxBuf *buf, bool csum_ok)
{
    buf->csum_ok = csum_ok;
    buf->next = NULL;
    if (q->tail) {
        q->tail->next = buf;
    } else {
        q->head = buf;
    }
    q->tail = buf;
}

/* Near the middle, between two segments of the sender. */
static bool halve(SnGso *gso)
{
    gso->step = (gso->payload / 2 + gso->step - 1) / gso->step * gso->step;
    return sn_gso_parts(gso) == 2 && gso->head_len + gso->step <= PBUF_MAX;
}

/*
 * A frame that a pbuf's 16 bits of length cannot hold: only TCP segmentation
 * offload makes them, and it can be undone.
 */
static bool put_split(RxQueue *q, const SnFrame *frame, Cursor *c)
{
    uint8_t head[SN_GSO_HEAD_MAX];
    SnGso gso;
    size_t head_len = MIN(frame->len, sizeof(head));
    Cursor probe = *c;
    RxBuf *part[2] = { NULL, NULL };

    cursor_read(&probe, head, head_len);
    if (!sn_gso_read(&gso, head, head_len, frame->len, &frame->offload) ||
        !halve(&gso)) {
        return false;
    }
    cursor_read(c, head, gso.head_len);
    for (int i = 0; i < 2; i++) {
        uint8_t edited[SN_GSO_HEAD_MAX];

        sn_gso_header(&gso, i, head, edited);
        part[i] = chain_new(q->pool, gso.head_len + sn_gso_payload(&gso, i),
                            edited, gso.head_len, c, &q->bytes);
        if (!part[i]) {
            q->starved = true;
            break;
        }
        queue_add(q, part[i], true);
    }
    return part[1] != NULL;     /* the first alone is a valid segment, too */
}

bool sn_fw_rx_put(RxQueue *q, const SnFrame *frame)
{
    bool csum_ok = frame->offload.gso_type ||
                   (frame->offload.flags &
                    (SN_OFFLOAD_NEEDS_CSUM | SN_OFFLOAD_DATA_VALID));
    Cursor c = { frame->iov, frame->iovcnt, 0 };
    RxBuf *buf;

    if (frame->len < FRAME_MIN) {
        return false;
    }
    if (q->bytes >= RX_QUEUE_MAX) {
        q->refused = true;
        return false;
    }
    if (frame->len > PBUF_MAX) {
        return put_split(q, frame, &c);
    }
    buf = chain_new(q->pool, frame->len, NULL, 0, &c, &q->bytes);
    if (!buf) {
        q->starved = true;
        return false;
    }
    queue_add(q, buf, csum_ok);
    return true;
}

RxBuf *sn_fw_rx_take(RxQueue *q)
{
    RxBuf *buf = q->head;

    if (buf) {
        q->head = buf->next;
        if (!q->head) {
            q->tail = NULL;
        }
        for (struct pbuf *p = &buf->pc.pbuf; p; p = p->next) {
            q->bytes -= ((RxBuf *)p)->size;
        }
    }
    return buf;
}

size_t sn_fw_rx_in_use(const RxQueue *q)
{
    return q->pool->in_use;
}

bool sn_fw_rx_merge(struct pbuf *tail, struct pbuf *p)
{
    RxBuf *buf = (RxBuf *)tail;
    uint8_t *end = (uint8_t *)tail->payload + tail->len;

    if (p->next || tail->next || tail->ref != 1 ||
        tail->len + p->len > PBUF_MAX || !(tail->flags & PBUF_FLAG_IS_CUSTOM) ||
        buf->pc.custom_free_function != buf_free ||
        end < buf->data || end + p->len > buf->data + buf->size) {
        return false;
    }
    memcpy(end, p->payload, p->len);
    tail->len += p->len;
    pbuf_free(p);
    return true;
}

void sn_fw_rx_init(RxQueue *q)
{
    memset(q, 0, sizeof(*q));
    q->pool = g_new0(RxPool, 1);
}

void sn_fw_rx_destroy(RxQueue *q)
{
    RxBuf *buf;

    while ((buf = sn_fw_rx_take(q))) {
        pbuf_free(&buf->pc.pbuf);
    }
    q->pool->orphan = true;
    pool_unref(q->pool);
    q->pool = NULL;
}
