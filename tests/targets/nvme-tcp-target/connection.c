/*
 * Connections: see connection.h. A PDU is looked at when all of it has come:
 * none is longer than the buffer.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "control.h"
#include "controller.h"
#include "crc32c.h"
#include "fault.h"
#include "request.h"

/* How long an ending connection waits for the peer to close. */
#define ENDING_MS 2000

static Conn *connections;
static bool stalled;

static void set_state(Conn *c, ConnState state)
{
    c->state = state;
}

/* What epoll is to report. */
static void watch_what_matters(Conn *c)
{
    uint32_t events = 0;

    if (c->state != CONN_SILENT && !stalled) {
        events = (c->rx_paused || c->state == CONN_ICREQ ? 0 : EPOLLIN) |
                 (c->tx_blocked || c->rx_paused ? EPOLLOUT : 0);
    }
    watch_change(&c->watch, events);
}

static void kill_conn(Conn *c)
{
    if (c->state == CONN_DEAD) {
        return;
    }
    set_state(c, CONN_DEAD);
    timer_stop(&c->timer);
    watch_remove(&c->watch);
    close(c->watch.fd);
    request_forget_all(c);
    ctrl_conn_gone(c);
}

void conn_abort(Conn *c)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (c->state != CONN_DEAD) {
        setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &linger,
                   sizeof(linger));
        kill_conn(c);
    }
}

static void ending_too_long(Timer *timer)
{
    conn_abort(CONTAINER_OF(timer, Conn, timer));
}

void conn_flush(Conn *c)
{
    bool blocked = c->tx_blocked;

    if (c->state == CONN_SILENT || c->state == CONN_DEAD || stalled) {
        return;
    }
    if (!tx_flush(c)) {
        conn_abort(c);
        return;
    }
    if (c->state == CONN_ENDING && !c->tx_count) {
        shutdown(c->watch.fd, SHUT_WR);
    }
    if (blocked != c->tx_blocked) {
        watch_what_matters(c);
    }
}

void conn_half_close(Conn *c)
{
    if (c->state == CONN_DEAD || c->state == CONN_ENDING) {
        return;
    }
    set_state(c, CONN_ENDING);
    request_forget_all(c);
    c->rx_paused = false;
    watch_what_matters(c);
    conn_flush(c);
}

void conn_finish(Conn *c)
{
    conn_half_close(c);
    if (c->state == CONN_ENDING) {
        timer_set(&c->timer, ENDING_MS, ending_too_long);
    }
}

void conn_silence(Conn *c)
{
    set_state(c, CONN_SILENT);
    timer_stop(&c->timer);
    watch_what_matters(c);
}

void conn_terminate(Conn *c, Fes fes, uint32_t fei, const void *pdu,
                    size_t len)
{
    PduTerm term = {
        .head = { .type = PDU_C2H_TERM_REQ, .hlen = sizeof(term) },
        .fes = fes, .fei = fei,
    };

    /* Section 3.6.2.4: no digests, and data that is part of the header. */
    len = MIN(len, PDU_TERM_DATA_MAX);
    term.head.plen = sizeof(term) + len;
    tx_bytes(c, &term, sizeof(term));
    tx_bytes(c, pdu, len);
    conn_finish(c);
}

/* ---- what comes ---- */

static void send_icresp(Conn *c)
{
    PduInit resp = {
        .head = { .type = PDU_ICRESP, .hlen = sizeof(resp) },
        .dgst = c->hdgst | c->ddgst << 1,
        .limit = MAXH2CDATA,
    };
    bool hdgst = c->hdgst;

    /* The answer itself has no digest yet. */
    c->hdgst = false;
    tx_pdu(c, &resp.head, NULL, 0, NULL);
    c->hdgst = hdgst;
    c->fault = NULL;
    if (c->state != CONN_ENDING) {
        set_state(c, CONN_READY);
    }
}

static void icresp_late(Timer *timer)
{
    Conn *c = CONTAINER_OF(timer, Conn, timer);

    send_icresp(c);
    watch_what_matters(c);
    conn_flush(c);
}

static void receive_icreq(Conn *c, const uint8_t *bytes)
{
    PduInit req;
    Fault *fault;

    memcpy(&req, bytes, sizeof(req));
    if (req.pfv) {
        conn_terminate(c, FES_UNSUPPORTED, offsetof(PduInit, pfv), bytes,
                       sizeof(req));
        return;
    }
    if (req.align > 31) {
        conn_terminate(c, FES_HEADER_FIELD, offsetof(PduInit, align), bytes,
                       sizeof(req));
        return;
    }
    c->hdgst = req.dgst & 1;
    c->ddgst = req.dgst >> 1 & 1;
    c->align = (req.align + 1) * 4;
    c->max_r2t = MIN((uint64_t)req.limit + 1, options.max_r2t);
    fault = fault_match(c, POINT_ICREQ, OP_ICREQ, 0);
    if (fault && fault_delay(fault)) {
        set_state(c, CONN_ICREQ);
        timer_set(&c->timer, fault_delay(fault), icresp_late);
        watch_what_matters(c);
        return;
    }
    if (fault && fault_instead(fault, c)) {
        return;
    }
    c->fault = fault;
    send_icresp(c);
}

/* The fields that tell where a PDU ends. False after a TermReq. */
static bool check_head(Conn *c, const uint8_t *bytes, const PduHead *head)
{
    uint32_t min, max;
    unsigned hlen, digest = c->hdgst ? DIGEST_LEN : 0;
    int wrong = -1;

    switch (head->type) {
    case PDU_ICREQ:
        hlen = min = max = sizeof(PduInit);
        break;
    case PDU_H2C_TERM_REQ:
        hlen = min = sizeof(PduTerm);
        max = min + PDU_TERM_DATA_MAX;
        break;
    case PDU_CAPSULE_CMD:
        hlen = sizeof(PduCommand);
        min = hlen + digest;
        max = UINT8_MAX + MAX(options.inline_size, ADMIN_IN_CAPSULE) +
              DIGEST_LEN;
        break;
    case PDU_H2C_DATA:
        hlen = sizeof(PduData);
        min = hlen + digest + 1;
        max = RX_PDU_MAX;
        break;
    default:
        wrong = offsetof(PduHead, type);
    }
    if (wrong < 0) {
        if (head->hlen != hlen) {
            wrong = offsetof(PduHead, hlen);
        } else if (head->plen < min || head->plen > max) {
            wrong = offsetof(PduHead, plen);
        }
    }
    if (wrong >= 0) {
        conn_terminate(c, FES_HEADER_FIELD, wrong, bytes, sizeof(*head));
        return false;
    }
    if (head->type != PDU_H2C_TERM_REQ &&
        (head->type == PDU_ICREQ) != (c->state == CONN_NEW)) {
        conn_terminate(c, FES_SEQUENCE, 0, bytes, sizeof(*head));
        return false;
    }
    return true;
}

/* Flags, PDO and header digest of a capsule or of data. */
static bool check_digests(Conn *c, const uint8_t *bytes, const PduHead *head)
{
    unsigned digest = c->hdgst ? DIGEST_LEN : 0;
    unsigned tail = c->ddgst ? DIGEST_LEN : 0;
    bool data = head->plen > head->hlen + digest;
    uint32_t sum;

    if (!(head->flags & PDU_FLAG_HDGST) != !c->hdgst ||
        (data && !(head->flags & PDU_FLAG_DDGST) != !c->ddgst)) {
        conn_terminate(c, FES_HEADER_FIELD, offsetof(PduHead, flags), bytes,
                       head->hlen);
        return false;
    }
    if (data && (head->pdo < head->hlen + digest || head->pdo % 4 ||
                 head->plen <= head->pdo + tail)) {
        conn_terminate(c, FES_HEADER_FIELD, offsetof(PduHead, pdo), bytes,
                       head->hlen);
        return false;
    }
    if (c->hdgst) {
        memcpy(&sum, bytes + head->hlen, sizeof(sum));
        if (sum != sn_crc32c(0, bytes, head->hlen)) {
            conn_terminate(c, FES_HEADER_DIGEST, sum, bytes, head->hlen);
            return false;
        }
    }
    return true;
}

static void receive_pdu(Conn *c, const uint8_t *bytes, const PduHead *head)
{
    switch (head->type) {
    case PDU_ICREQ:
        receive_icreq(c, bytes);
        break;
    case PDU_H2C_TERM_REQ:
        stats.term_reqs++;
        conn_abort(c);
        break;
    case PDU_CAPSULE_CMD:
        if (check_digests(c, bytes, head)) {
            request_command(c, bytes, head);
        }
        break;
    case PDU_H2C_DATA:
        if (check_digests(c, bytes, head)) {
            request_data(c, bytes, head);
        }
        break;
    }
}

/* Looks at all whole PDUs, as long as there is room for answers. */
static void parse(Conn *c)
{
    while (c->state == CONN_NEW || c->state == CONN_READY) {
        const uint8_t *bytes = c->rx + c->rx_start;
        size_t have = c->rx_end - c->rx_start;
        PduHead head;

        if (have < sizeof(head)) {
            break;
        }
        memcpy(&head, bytes, sizeof(head));
        if (!check_head(c, bytes, &head) || have < head.plen) {
            break;
        }
        if (c->rx_paused == tx_has_room(c)) {
            c->rx_paused = !c->rx_paused;
            watch_what_matters(c);
        }
        if (c->rx_paused) {
            return;
        }
        c->rx_start += head.plen;
        receive_pdu(c, bytes, &head);
    }
    if (c->rx_start == c->rx_end ||
        (c->state != CONN_NEW && c->state != CONN_READY &&
         c->state != CONN_ICREQ)) {
        c->rx_start = c->rx_end = 0;
    }
}

/* Room for a whole PDU, or for something at least. False when full. */
static bool make_room(Conn *c)
{
    if (c->rx_start > RX_SIZE - RX_PDU_MAX || c->rx_end == RX_SIZE) {
        memmove(c->rx, c->rx + c->rx_start, c->rx_end - c->rx_start);
        c->rx_end -= c->rx_start;
        c->rx_start = 0;
    }
    return c->rx_end < RX_SIZE;
}

/* False when the connection is dead. */
static bool receive(Conn *c)
{
    ssize_t n;

    if (!make_room(c)) {
        return true;            /* it is full of whole PDUs */
    }
    n = read(c->watch.fd, c->rx + c->rx_end, RX_SIZE - c->rx_end);
    if (n > 0) {
        c->rx_end += n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    kill_conn(c);
    return false;
}

static void conn_event(Watch *watch, uint32_t events)
{
    Conn *c = CONTAINER_OF(watch, Conn, watch);
    size_t left;

    /* Reported even when not asked for: the peer has reset it. */
    if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLIN)) {
        kill_conn(c);
        return;
    }
    if (stalled || c->state == CONN_SILENT ||
        (events & EPOLLIN && !receive(c))) {
        return;
    }
    /* Again when there was no room for answers and flush() has made some. */
    do {
        left = c->rx_end - c->rx_start;
        parse(c);
        if (c->state == CONN_DEAD) {
            return;
        }
        conn_flush(c);
    } while (c->state == CONN_READY && c->rx_end - c->rx_start != left);
}

/* ---- all of them ---- */

void conn_accept(int fd)
{
    Conn *c = calloc(1, sizeof(*c));
    Fault *fault;
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (c) {
        c->rx = malloc(RX_SIZE);
        c->tx = calloc(TX_ENTRIES, sizeof(*c->tx));
        c->watch = (Watch){ .fd = fd, .event = conn_event };
        c->queue_size = 1;      /* room for Connect */
    }
    if (!c || !c->rx || !c->tx ||
        !watch_add(&c->watch, stalled ? 0 : EPOLLIN)) {
        if (c) {
            free(c->rx);
            free(c->tx);
        }
        free(c);
        close(fd);
        return;
    }
    c->next = connections;
    connections = c;
    stats.accepted++;
    fault = fault_match(c, POINT_ACCEPT, OP_ACCEPT, 0);
    if (fault && fault_instead(fault, c)) {
        conn_flush(c);
    }
}

void conn_each(void (*act)(Conn *c))
{
    for (Conn *c = connections; c; c = c->next) {
        if (c->state != CONN_DEAD) {
            act(c);
        }
    }
}

static void resume(Conn *c)
{
    watch_what_matters(c);
    conn_flush(c);
}

void conn_stall_all(bool on)
{
    stalled = on;
    conn_each(resume);
}

bool conn_all_stalled(void)
{
    return stalled;
}

void conn_reap(void)
{
    for (Conn **link = &connections; *link;) {
        Conn *c = *link;

        if (c->state == CONN_DEAD) {
            *link = c->next;
            tx_discard(c);
            request_free_spare(c);
            free(c->rx);
            free(c->tx);
            free(c);
        } else {
            link = &c->next;
        }
    }
}

unsigned conn_count(void)
{
    unsigned n = 0;

    for (Conn *c = connections; c; c = c->next) {
        n += c->state != CONN_DEAD;
    }
    return n;
}
