/*
 * Streams: sending.
 *
 * lwIP gets the caller's memory by reference, in segments of which every piece
 * of data is a pbuf that points into one SnTx. Where the caller wants
 * its memory back before the peer has acknowledged it, these pbufs are turned
 * to a copy; they are found by their place in TCP's sequence.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "fw-stream.h"

#include "lwip/priv/tcp_priv.h"

/*
 * What TCP has beyond what the peer and congestion control allow to be sent
 * now. lwIP walks its queue of unsent segments on every write, so that is
 * kept short.
 */
enum { AHEAD_MAX = 64 * 1024 };

/*
 * Long segments, which are cut behind the card: what a packet and its headers
 * may have, and four of them fit into the window at the time that they are
 * made, so that a short window or a loss makes them short.
 */
enum { LONG_BYTES = 60000, LONG_IN_WINDOW = 4 };

/*
 * What a stream keeps of writes that were detached. A peer may answer what it
 * has not even received, with its window closed, and have its user detach one
 * write after the other: then it is time to give it up.
 */
enum { COPIED_MAX = 256 * 1024 * 1024 };

/* A write that was detached: the record, and behind it the bytes. */
typedef struct FwCopy {
    SnTx tx;
    uint8_t data[];
} FwCopy;

void sn_fw_stream_write(SnStream *base, SnTx *tx)
{
    FwStream *s = (FwStream *)base;

    if (s->state != FW_STREAM_OPEN) {
        return;
    }
    tx->next = NULL;
    tx->len = 0;
    tx->queued = 0;
    tx->copy = NULL;
    for (unsigned i = 0; i < tx->iovcnt; i++) {
        tx->len += tx->iov[i].iov_len;
    }
    s->written += tx->len;
    tx->end = s->written;
    if (s->tx_tail) {
        s->tx_tail->next = tx;
    } else {
        s->tx_head = tx;
    }
    s->tx_tail = tx;
    if (!s->tx_next) {
        s->tx_next = tx;
        s->tx_iov = 0;
        s->tx_off = 0;
    }
}

/* Bytes that TCP may be given now. */
static size_t room(const FwStream *s)
{
    const struct tcp_pcb *pcb = s->pcb;
    size_t limit = (size_t)MIN(pcb->snd_wnd, pcb->cwnd) + AHEAD_MAX;
    size_t out = pcb->snd_lbb - pcb->lastack;

    return out >= limit ? 0 : MIN(limit - out, tcp_sndbuf(pcb));
}

/*
 * How long segments may be now. Not shorter than the last one in lwIP's queue
 * (kept short by AHEAD_MAX), to which it may add.
 */
static uint16_t segment_len(FwStream *s)
{
    const struct tcp_pcb *pcb = s->pcb;
    const struct tcp_seg *seg = pcb->unsent;
    uint32_t mss = pcb->mss, len;

    if (!s->fw->tx_segmentation) {
        return mss;
    }
    len = MIN(pcb->snd_wnd, pcb->cwnd) / LONG_IN_WINDOW;
    len = MIN(len, LONG_BYTES) / mss * mss;
    while (seg && seg->next) {
        seg = seg->next;
    }
    return MAX(MAX(len, mss), seg ? seg->len : 0);
}

/* tcp_write() with segments longer than those on the wire. */
static err_t write_long(FwStream *s, const void *from, u16_t n, u8_t flags)
{
    u16_t mss = s->pcb->mss;
    err_t err;

    s->pcb->mss = segment_len(s);
    err = tcp_write(s->pcb, from, n, flags);
    s->pcb->mss = mss;
    return err;
}

/*
 * Hands TCP up to @max bytes from @from, all of one SnTx and in one piece of
 * memory. Returns how many; 0 when lwIP has no memory.
 */
static size_t hand(FwStream *s, const uint8_t *from, size_t max, bool more)
{
    u8_t flags = more ? TCP_WRITE_FLAG_MORE : 0;
    u16_t n = MIN(max, 0xffff);

    /*
     * lwIP lengthens its last pbuf when new data follows the old in memory.
     * That must not happen across two SnTx, which are detached one by one: a
     * copied byte keeps them apart.
     */
    if (s->tx_next->queued == 0 && from == s->tx_last) {
        n = 1;
        flags |= TCP_WRITE_FLAG_COPY;
    }
    if (write_long(s, from, n, flags) != ERR_OK) {
        return 0;
    }
    s->tx_last = from + n;
    return n;
}

void sn_fw_stream_fill(FwStream *s)
{
    SnTx *tx;
    size_t space = s->tx_next && s->pcb && s->state == FW_STREAM_OPEN ?
                   room(s) : 0;

    while (space && (tx = s->tx_next)) {
        const struct iovec *iov = &tx->iov[s->tx_iov];
        size_t left = iov->iov_len - s->tx_off, n = 0;

        if (left) {
            n = hand(s, (const uint8_t *)iov->iov_base + s->tx_off,
                     MIN(left, space), tx->queued + left < tx->len);
            if (n == 0) {
                return;         /* until something is acknowledged */
            }
        }
        s->tx_off += n;
        s->handed += n;
        tx->queued += n;
        space -= n;
        if (s->tx_off == iov->iov_len) {
            s->tx_iov++;
            s->tx_off = 0;
        }
        if (tx->queued == tx->len) {
            s->tx_next = tx->next;
            s->tx_iov = 0;
            s->tx_off = 0;
        }
    }
}

/*
 * After a loss, or when the peer has little room, the next segment may be
 * longer than the window. With nothing under way nothing would change that, so
 * what is allowed of it is cut off. Bytes at its start that are
 * acknowledged already do not count (lwIP takes a segment that is so as a
 * whole for one far outside of the window).
 */
void sn_fw_stream_unstick(FwStream *s)
{
    struct tcp_pcb *pcb = s->pcb;
    uint32_t window, known, mss;

    if (!pcb || s->state != FW_STREAM_OPEN || !s->fw->tx_segmentation ||
        pcb->unacked || !pcb->unsent) {
        return;
    }
    mss = pcb->mss;
    window = MIN(pcb->snd_wnd, pcb->cwnd);
    known = pcb->lastack - lwip_ntohl(pcb->unsent->tcphdr->seqno);
    if (window == 0 || known >= pcb->unsent->len ||
        pcb->unsent->len - known <= window) {
        return;
    }
    if (window > mss) {
        window -= window % mss;
    }
    pcb->mss = UINT16_MAX;
    tcp_split_unsent_seg(pcb, known + window);
    pcb->mss = mss;
    tcp_output(pcb);
}

void sn_fw_stream_push(SnStream *base)
{
    FwStream *s = (FwStream *)base;

    /* In its own callback the stream sends everything together afterwards. */
    if (s->state != FW_STREAM_OPEN || s->fw->current == s) {
        return;
    }
    sn_fw_enter();
    sn_fw_stream_fill(s);
    tcp_output(s->pcb);
    sn_fw_leave();
}

static SnTx *tx_pop(FwStream *s)
{
    SnTx *tx = s->tx_head;

    s->tx_head = tx->next;
    if (!s->tx_head) {
        s->tx_tail = NULL;
    }
    return tx;
}

static size_t copy_size(const SnTx *copy)
{
    return sizeof(FwCopy) + copy->len;
}

static void free_copy(FwStream *s, SnTx *tx)
{
    s->copied -= copy_size(tx);
    g_free(tx->copy);
}

bool sn_fw_stream_complete(FwStream *s)
{
    SnFirmware *fw = s->fw;

    while (s->tx_head && s->tx_head->end <= s->acked &&
           s->state == FW_STREAM_OPEN) {
        SnTx *tx = tx_pop(s);

        if (tx->copy) {
            free_copy(s, tx);
        } else if (tx->done) {
            tx->done(tx);
            if (!fw->current) {
                return false;
            }
        }
    }
    return true;
}

void sn_fw_stream_drop_writes(FwStream *s)
{
    while (s->tx_head) {
        SnTx *tx = tx_pop(s);

        if (tx->copy) {
            free_copy(s, tx);
        }
    }
    s->tx_next = NULL;
}

/* Copies the bytes of @tx from offset @skip on. */
static FwCopy *copy_tx(const SnTx *tx, size_t skip)
{
    FwCopy *copy = g_malloc(sizeof(*copy) + tx->len - skip);
    uint8_t *to = copy->data;

    for (unsigned i = 0; i < tx->iovcnt; i++) {
        const struct iovec *iov = &tx->iov[i];
        size_t part = MIN(skip, iov->iov_len);

        if (iov->iov_len > part) {
            memcpy(to, (const uint8_t *)iov->iov_base + part,
                   iov->iov_len - part);
            to += iov->iov_len - part;
        }
        skip -= part;
    }
    copy->tx = (SnTx){
        .iov = &copy->tx.copy_iov,
        .iovcnt = 1,
        .next = tx->next,
        .end = tx->end,
        .len = to - copy->data,
        .copy = copy,
        .copy_iov = { copy->data, to - copy->data },
    };
    return copy;
}

/* The address of byte @off of @tx. */
static const uint8_t *tx_byte(const SnTx *tx, size_t off)
{
    unsigned i = 0;

    while (off >= tx->iov[i].iov_len) {
        off -= tx->iov[i++].iov_len;
    }
    return (const uint8_t *)tx->iov[i].iov_base + off;
}

/*
 * Turns the pbufs of one segment that hold bytes of @tx to @copy, whose first
 * byte is at position @from of the stream. Bytes that lwIP has copied itself
 * (probes, split segments) are elsewhere and stay.
 */
static void turn_segment(FwStream *s, struct tcp_seg *seg, const SnTx *tx,
                         FwCopy *copy, uint64_t from)
{
    uint64_t start = tx->end - tx->len, handed = start + tx->queued;
    /* Segments are within 2 GiB of the oldest byte not acknowledged. */
    uint32_t first = s->first_seq + (uint32_t)s->acked;
    uint64_t pos = s->acked +
                   (int32_t)(lwip_ntohl(seg->tcphdr->seqno) - first);
    size_t head = seg->p->tot_len - seg->len;

    for (struct pbuf *p = seg->p; p; p = p->next) {
        size_t skip = MIN(head, p->len);
        size_t len = p->len - skip;

        head -= skip;
        if (len && skip == 0 && pos >= from && pos < handed &&
            p->payload == tx_byte(tx, pos - start)) {
            p->payload = copy->data + (pos - from);
        }
        pos += len;
    }
}

/* Puts the copy in the place of @tx. */
static void replace(FwStream *s, SnTx *prev, SnTx *tx, FwCopy *copy,
                    size_t skip)
{
    copy->tx.queued = tx->queued > skip ? tx->queued - skip : 0;
    if (prev) {
        prev->next = &copy->tx;
    } else {
        s->tx_head = &copy->tx;
    }
    if (s->tx_tail == tx) {
        s->tx_tail = &copy->tx;
    }
    if (s->tx_next == tx) {
        s->tx_next = &copy->tx;
        s->tx_iov = 0;
        s->tx_off = copy->tx.queued;
    }
}

void sn_fw_stream_detach(SnStream *base, SnTx *tx)
{
    FwStream *s = (FwStream *)base;
    SnTx *prev = NULL, *t;
    uint64_t start, from;
    FwCopy *copy;

    for (t = s->tx_head; t && t != tx; t = t->next) {
        prev = t;
    }
    if (!t) {
        return;                 /* done already, or never written */
    }
    start = tx->end - tx->len;
    from = MAX(start, s->acked);
    if (from > tx->end) {
        from = tx->end;
    }
    /* An empty copy holds the place of what is acknowledged already. */
    copy = copy_tx(tx, from - start);
    if (s->pcb && copy->tx.len) {
        for (struct tcp_seg *g = s->pcb->unacked; g; g = g->next) {
            turn_segment(s, g, tx, copy, from);
        }
        for (struct tcp_seg *g = s->pcb->unsent; g; g = g->next) {
            turn_segment(s, g, tx, copy, from);
        }
    }
    replace(s, prev, tx, copy, from - start);
    s->copied += copy_size(&copy->tx);
    if (s->copied > COPIED_MAX) {
        sn_fw_stream_over(s, -ENOBUFS);
    }
}
