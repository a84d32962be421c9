/*
 * Streams: events, receiving, closing.
 *
 * lwIP's callbacks (on_*) only take notes. They never free a pcb, so they
 * never have to tell lwIP so. Each stream's notes are worked off in
 * deliver() from the card's bottom half, once for a whole batch of frames.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>

#include "smartnic/trace.h"

#include "fw-stream.h"

#include "lwip/priv/tcp_priv.h"

#include "lwip-hooks.h"

SN_TRACE_EVENT(fw_stream_close);
SN_TRACE_EVENT(fw_stream_over);
SN_TRACE_EVENT(fw_stream_repeat);
SN_TRACE_EVENT(fw_stream_state);

/* A merge of received pieces copies them, so it needs a reason. */
enum { MERGE_FROM = RX_POOL_MAX / 4 };

/*
 * What every host takes (RFC 9293 section 3.7.1). Peers and ICMPv6 may name
 * much less, even nothing, and make us send single bytes.
 */
enum { MSS_MIN = 536 };

/*
 * An ACK waits that long for data to go with, if the peer has nothing more to
 * say for now (PSH) and not more than so many bytes have come in: a guest that
 * gets a small answer asks for more at once, and the ACK would be a frame of
 * its own just before the request. (RFC 9293 section 3.8.6.3 allows 500 ms and
 * recommends an ACK for every second full segment, for the sake of peers that
 * wait for one; these have more to say.)
 */
enum { ACK_WAIT_NS = SN_NS_PER_MS, ACK_WAIT_BYTES = 8192 };

static const char *const state_names[] = {
    [FW_STREAM_WAITING] = "waiting",
    [FW_STREAM_RESOLVING] = "resolving",
    [FW_STREAM_CONNECTING] = "connecting",
    [FW_STREAM_OPEN] = "open",
    [FW_STREAM_CLOSED] = "closed",
};
G_STATIC_ASSERT(G_N_ELEMENTS(state_names) == FW_STREAM_CLOSED + 1);

void sn_fw_stream_set_state(FwStream *s, FwStreamState state)
{
    sn_trace(fw_stream_state, "id=%s stream=%u state=%s -> %s", s->fw->id,
             s->number, state_names[s->state], state_names[state]);
    s->state = state;
}

void sn_fw_stream_raise(FwStream *s, unsigned events)
{
    s->pending |= events;
    if (!s->ready) {
        s->ready = true;
        g_queue_push_tail_link(&s->fw->ready, &s->ready_link);
        sn_fw_schedule(s->fw);
    }
}

void sn_fw_stream_over(FwStream *s, int error)
{
    if (s->state != FW_STREAM_CLOSED) {
        sn_fw_stream_set_state(s, FW_STREAM_CLOSED);
        s->error = error;
        sn_trace(fw_stream_over, "id=%s stream=%u error=%d", s->fw->id,
                 s->number, error);
        sn_fw_stream_raise(s, FW_EV_CLOSED);
    }
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    FwStream *s = arg;

    pcb->mss = MAX(pcb->mss, MSS_MIN);
    /* RFC 6928: an initial window of ten segments. */
    pcb->cwnd = MAX(pcb->cwnd, 10u * pcb->mss);
    s->first_seq = pcb->snd_lbb;
    sn_fw_stream_set_state(s, FW_STREAM_OPEN);
    sn_fw_stream_raise(s, FW_EV_CONNECTED);
    return ERR_OK;
}

static void rx_append(FwStream *s, struct pbuf *p)
{
    if (s->rx_tail && sn_fw_rx_in_use(&s->fw->rx) >= MERGE_FROM &&
        sn_fw_rx_merge(s->rx_tail, p)) {
        return;
    }
    if (s->rx_tail) {
        s->rx_tail->next = p;
    } else {
        s->rx_head = p;
    }
    while (p->next) {
        p = p->next;
    }
    s->rx_tail = p;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    FwStream *s = arg;

    if (!p) {
        sn_fw_stream_over(s, 0);
        return ERR_OK;
    }
    if (p->tot_len > pcb->mss) {
        s->ack_owed = true;
    }
    s->rx_unacked += p->tot_len;
    s->rx_pushed = p->flags & PBUF_FLAG_PUSH;
    rx_append(s, p);
    sn_fw_stream_raise(s, s->state == FW_STREAM_OPEN ? FW_EV_READABLE : 0);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    FwStream *s = arg;

    s->acked += len;
    sn_fw_stream_raise(s, 0);
    return ERR_OK;
}

/* The pcb is gone already. */
static void on_err(void *arg, err_t err)
{
    FwStream *s = arg;
    bool connecting = s->state == FW_STREAM_CONNECTING;

    s->pcb = NULL;
    switch (err) {
    case ERR_RST:
        sn_fw_stream_over(s, connecting ? -ECONNREFUSED : -ECONNRESET);
        break;
    case ERR_ABRT:
        /* No answer for too long, or our address is gone. */
        sn_fw_stream_over(s, sn_fw_clock_in_tcp() ? -ETIMEDOUT : -ENETDOWN);
        break;
    default:
        sn_fw_stream_over(s, -ECONNABORTED);
        break;
    }
}

void sn_fw_stream_adopt(FwStream *s, struct tcp_pcb *pcb)
{
    s->pcb = pcb;
    tcp_arg(pcb, s);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_err);
    pcb->connected = on_connected;
    tcp_nagle_disable(pcb);
}

/*
 * lwIP acknowledges every second segment at once. Within a batch that would
 * be an ACK each, just before one that covers them all: the second segment is
 * made to look like the first, and output() decides about one ACK for the
 * batch.
 */
err_t sn_fw_tcp_inpacket(struct tcp_pcb *pcb)
{
    FwStream *s;

    if (pcb->state == LISTEN || pcb->recv != on_recv) {
        return ERR_OK;
    }
    s = pcb->callback_arg;
    if (pcb->flags & TF_ACK_DELAY) {
        tcp_clear_flags(pcb, TF_ACK_DELAY);
        s->ack_owed = true;
        sn_fw_stream_raise(s, 0);
        return ERR_OK;
    }
    if (!s->ack_owed) {
        s->rx_unacked = 0;              /* something sent has told the peer */
    }
    if (pcb->unsent) {
        sn_fw_stream_raise(s, 0);       /* the window may have changed */
    }
    return ERR_OK;
}

static void ack(FwStream *s)
{
    SnFirmware *fw = s->fw;

    s->ack_owed = false;
    if (!s->rx_pushed || s->rx_unacked > ACK_WAIT_BYTES) {
        tcp_ack_now(s->pcb);
        return;
    }
    /* Whatever is sent clears it. */
    tcp_set_flags(s->pcb, TF_ACK_DELAY);
    if (!fw->ack_timer_set) {
        fw->ack_timer_set = true;
        sn_timer_arm_in(fw->loop, fw->ack_timer, ACK_WAIT_NS);
    }
}

void sn_fw_streams_ack(void *opaque)
{
    SnFirmware *fw = opaque;

    fw->ack_timer_set = false;
    sn_fw_enter();
    for (FwStream *s = fw->streams; s; s = s->next) {
        if (s->pcb && (s->pcb->flags & TF_ACK_DELAY)) {
            tcp_ack_now(s->pcb);
            tcp_output(s->pcb);
        }
    }
    sn_fw_leave();
}

static void tell_consumed(FwStream *s)
{
    while (s->rx_consumed && s->pcb) {
        u16_t n = MIN(s->rx_consumed, 0xffff);

        tcp_recved(s->pcb, n);
        s->rx_consumed -= n;
    }
}

/* After a turn: window, new data and ACK leave together. */
static void output(FwStream *s)
{
    if (!s->pcb || s->state == FW_STREAM_CONNECTING) {
        return;
    }
    sn_fw_enter();
    tell_consumed(s);
    sn_fw_stream_fill(s);
    if (s->ack_owed) {
        ack(s);
    }
    tcp_output(s->pcb);
    sn_fw_stream_unstick(s);
    sn_fw_leave();
}

static bool take(FwStream *s, unsigned event)
{
    bool set = s->pending & event;

    s->pending &= ~event;
    return set;
}

/* Each callback may close the stream: fw->current is NULL then. */
static void deliver(SnFirmware *fw, FwStream *s)
{
    const SnStreamEvents *ev = s->events;

    fw->current = s;
    if (take(s, FW_EV_START)) {
        sn_fw_stream_start(s);
    }
    if (take(s, FW_EV_CONNECTED)) {
        ev->connected(s->opaque);
    }
    if (fw->current && !sn_fw_stream_complete(s)) {
        return;
    }
    if (fw->current && take(s, FW_EV_READABLE)) {
        ev->readable(s->opaque);
    }
    if (fw->current && take(s, FW_EV_CLOSED)) {
        ev->closed(s->opaque, s->error);
    }
    if (fw->current) {
        output(s);
    }
    fw->current = NULL;
}

void sn_fw_streams_deliver(SnFirmware *fw)
{
    /* Only those that are ready now, lest a failing caller keeps us here. */
    unsigned n = g_queue_get_length(&fw->ready);

    for (; n > 0 && fw->ready.head; n--) {
        FwStream *s = g_queue_pop_head_link(&fw->ready)->data;

        s->ready = false;
        deliver(fw, s);
    }
}

void sn_fw_streams_retry(SnFirmware *fw)
{
    for (FwStream *s = fw->streams; s; s = s->next) {
        if (s->state == FW_STREAM_WAITING) {
            sn_fw_stream_raise(s, FW_EV_START);
        } else if (s->tx_next) {
            sn_fw_stream_raise(s, 0);
        }
    }
}

void sn_fw_streams_tick(SnFirmware *fw)
{
    for (FwStream *s = fw->streams; s; s = s->next) {
        uint8_t nrtx = s->pcb ? s->pcb->nrtx : 0;

        if (nrtx > s->nrtx) {
            sn_trace(fw_stream_repeat, "id=%s stream=%u count=%u", fw->id,
                     s->number, nrtx);
        }
        s->nrtx = nrtx;
        sn_fw_stream_unstick(s);
    }
}

static unsigned stream_peek(SnStream *base, struct iovec *iov, unsigned max)
{
    FwStream *s = (FwStream *)base;
    unsigned n = 0;

    for (struct pbuf *p = s->rx_head; p && n < max; p = p->next) {
        if (p->len) {
            iov[n++] = (struct iovec){ p->payload, p->len };
        }
    }
    return n;
}

static void rx_pop(FwStream *s)
{
    struct pbuf *p = s->rx_head;

    s->rx_head = p->next;
    if (!s->rx_head) {
        s->rx_tail = NULL;
    }
    p->next = NULL;
    pbuf_free(p);
}

static void stream_consume(SnStream *base, size_t len)
{
    FwStream *s = (FwStream *)base;

    sn_fw_enter();
    while (len && s->rx_head) {
        struct pbuf *p = s->rx_head;
        size_t n = MIN(len, p->len);

        p->payload = (uint8_t *)p->payload + n;
        p->len -= n;
        len -= n;
        s->rx_consumed += n;
        if (p->len == 0) {
            rx_pop(s);
        }
    }
    if (s->fw->current != s) {
        tell_consumed(s);
    }
    sn_fw_leave();
}

/* Both sides have said everything and heard everything. */
static bool finished(const FwStream *s)
{
    return s->pcb->state == CLOSE_WAIT && !s->pcb->unsent &&
           !s->pcb->unacked && !s->tx_head && !s->rx_head;
}

static void drop_pcb(FwStream *s)
{
    struct tcp_pcb *pcb = s->pcb;

    tell_consumed(s);
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    if (!finished(s) || tcp_close(pcb) != ERR_OK) {
        tcp_abort(pcb);
    }
    s->pcb = NULL;
}

static void stream_close(SnStream *base)
{
    FwStream *s = (FwStream *)base;
    SnFirmware *fw = s->fw;

    sn_trace(fw_stream_close, "id=%s stream=%u written=%" PRIu64 " acked=%"
             PRIu64, fw->id, s->number, s->written, s->acked);
    sn_fw_enter();
    sn_fw_stream_forget_lookup(s);
    if (s->pcb) {
        drop_pcb(s);
    }
    sn_fw_stream_drop_writes(s);
    while (s->rx_head) {
        rx_pop(s);
    }
    sn_fw_leave();

    if (s->ready) {
        g_queue_unlink(&fw->ready, &s->ready_link);
    }
    if (fw->current == s) {
        fw->current = NULL;
    }
    if (s->prev) {
        s->prev->next = s->next;
    } else {
        fw->streams = s->next;
    }
    if (s->next) {
        s->next->prev = s->prev;
    }
    g_free(s->host);
    g_free(s);
}

static uint16_t stream_local_port(SnStream *base)
{
    FwStream *s = (FwStream *)base;

    return s->pcb ? s->pcb->local_port : 0;
}

const SnStreamOps sn_fw_stream_ops = {
    .write = sn_fw_stream_write,
    .push = sn_fw_stream_push,
    .tx_detach = sn_fw_stream_detach,
    .peek = stream_peek,
    .consume = stream_consume,
    .local_port = stream_local_port,
    .close = stream_close,
};
