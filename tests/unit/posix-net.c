/*
 * SnNet and SnLoop over the kernel's sockets and clock, with poll().
 *
 * The kernel copies what is written, so a write counts as acknowledged once
 * the kernel has taken it. Host names are numeric IPv4 addresses.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "posix-net.h"

#define MAX_IOV 64
#define RX_SIZE (256 * 1024)

struct SnTimer {
    PosixNet *net;
    SnLoopFunc *cb;
    void *opaque;
    int64_t deadline;
};

struct SnBh {
    PosixNet *net;
    SnLoopFunc *cb;
    void *opaque;
    bool scheduled;
};

typedef struct PosixStream {
    SnStream s;
    PosixNet *net;
    const SnStreamEvents *events;
    void *opaque;
    int fd;
    int err;                    /* negative errno, or 1: none yet */
    bool connected, told;
    SnTx *head, **tail;         /* queued; private fields as stream.h says */
    SnTx *done;                 /* taken by the kernel, not told yet */
    SnTx **done_tail;
    uint8_t rx[RX_SIZE];
    size_t rx_start, rx_end;
} PosixStream;

/* ---- loop ---- */

static int64_t pn_now(SnLoop *loop)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SN_NS_PER_S + ts.tv_nsec;
}

static PosixNet *net_of(SnLoop *loop)
{
    return (PosixNet *)((char *)loop - offsetof(PosixNet, loop));
}

static SnTimer *pn_timer_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnTimer *t = g_new0(SnTimer, 1);

    *t = (SnTimer){ net_of(loop), cb, opaque, SN_TIMER_NEVER };
    t->net->timers = g_list_append(t->net->timers, t);
    return t;
}

static void pn_timer_set(SnTimer *t, int64_t deadline)
{
    t->deadline = deadline;
}

static void pn_timer_free(SnTimer *t)
{
    t->net->timers = g_list_remove(t->net->timers, t);
    g_free(t);
}

static SnBh *pn_bh_new(SnLoop *loop, SnLoopFunc *cb, void *opaque)
{
    SnBh *bh = g_new0(SnBh, 1);

    *bh = (SnBh){ net_of(loop), cb, opaque, false };
    bh->net->bhs = g_list_append(bh->net->bhs, bh);
    return bh;
}

static void pn_bh_schedule(SnBh *bh)
{
    bh->scheduled = true;
}

static void pn_bh_free(SnBh *bh)
{
    bh->net->bhs = g_list_remove(bh->net->bhs, bh);
    g_free(bh);
}

/* ---- streams ---- */

static void ps_write(SnStream *s, SnTx *tx)
{
    PosixStream *ps = (PosixStream *)s;

    if (ps->err <= 0) {
        return;
    }
    tx->len = 0;
    for (unsigned i = 0; i < tx->iovcnt; i++) {
        tx->len += tx->iov[i].iov_len;
    }
    tx->queued = 0;
    tx->next = NULL;
    *ps->tail = tx;
    ps->tail = &tx->next;
}

/* Up to MAX_IOV pieces of what is queued, over several writes. */
static unsigned collect(PosixStream *ps, struct iovec *iov)
{
    unsigned n = 0;

    for (SnTx *tx = ps->head; tx; tx = tx->next) {
        size_t skip = tx->queued;

        for (unsigned i = 0; i < tx->iovcnt; i++) {
            size_t len = tx->iov[i].iov_len;

            if (n == MAX_IOV) {
                return n;
            }
            if (skip < len) {
                iov[n].iov_base = (uint8_t *)tx->iov[i].iov_base + skip;
                iov[n++].iov_len = len - skip;
            }
            skip -= MIN(skip, len);
        }
    }
    return n;
}

/* @len bytes from the head of the queue are the kernel's. */
static void taken(PosixStream *ps, size_t len)
{
    while (ps->head && len >= ps->head->len - ps->head->queued) {
        SnTx *tx = ps->head;

        len -= tx->len - tx->queued;
        ps->head = tx->next;
        if (!ps->head) {
            ps->tail = &ps->head;
        }
        if (tx->copy) {
            g_free(tx->copy);
            g_free(tx);
        } else if (tx->done) {
            tx->next = NULL;
            *ps->done_tail = tx;
            ps->done_tail = &tx->next;
        }
    }
    if (len) {
        ps->head->queued += len;
    }
}

static void ps_push(SnStream *s)
{
    PosixStream *ps = (PosixStream *)s;
    struct iovec iov[MAX_IOV];
    unsigned n;

    while (ps->connected && ps->err > 0 && (n = collect(ps, iov))) {
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t sent = sendmsg(ps->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0) {
            if (errno != EAGAIN) {
                ps->err = -errno;
            }
            return;
        }
        taken(ps, sent);
    }
}

/* Replaces @tx in the queue by a write of our own with what is left of it. */
static void ps_tx_detach(SnStream *s, SnTx *tx)
{
    PosixStream *ps = (PosixStream *)s;
    SnTx **link, *own;
    size_t have = 0, skip = tx->queued;

    for (link = &ps->done; *link; link = &(*link)->next) {
        if (*link == tx) {
            *link = tx->next;
            if (!tx->next) {
                ps->done_tail = link;
            }
            return;
        }
    }
    for (link = &ps->head; *link && *link != tx; link = &(*link)->next) {
        /* look for it */
    }
    if (!*link) {
        return;
    }
    own = g_new0(SnTx, 1);
    own->copy = g_malloc(tx->len - tx->queued);
    for (unsigned i = 0; i < tx->iovcnt; i++) {
        size_t len = tx->iov[i].iov_len, part = MIN(skip, len);

        memcpy((uint8_t *)own->copy + have,
               (uint8_t *)tx->iov[i].iov_base + part, len - part);
        have += len - part;
        skip -= part;
    }
    own->copy_iov = (struct iovec){ own->copy, have };
    own->iov = &own->copy_iov;
    own->iovcnt = 1;
    own->len = have;
    own->next = tx->next;
    *link = own;
    if (!own->next) {
        ps->tail = &own->next;
    }
}

static unsigned ps_peek(SnStream *s, struct iovec *iov, unsigned max)
{
    PosixStream *ps = (PosixStream *)s;

    if (ps->rx_start == ps->rx_end || !max) {
        return 0;
    }
    *iov = (struct iovec){ ps->rx + ps->rx_start, ps->rx_end - ps->rx_start };
    return 1;
}

static void ps_consume(SnStream *s, size_t len)
{
    PosixStream *ps = (PosixStream *)s;

    ps->rx_start += len;
    if (ps->rx_start == ps->rx_end) {
        ps->rx_start = ps->rx_end = 0;
    }
}

static void ps_close(SnStream *s)
{
    PosixStream *ps = (PosixStream *)s;
    SnTx *tx;

    while ((tx = ps->head)) {
        ps->head = tx->next;
        if (tx->copy) {
            g_free(tx->copy);
            g_free(tx);
        }
    }
    ps->net->streams = g_list_remove(ps->net->streams, ps);
    close(ps->fd);
    g_free(ps);
}

static const SnStreamOps stream_ops = {
    .write = ps_write,
    .push = ps_push,
    .tx_detach = ps_tx_detach,
    .peek = ps_peek,
    .consume = ps_consume,
    .close = ps_close,
};

static SnStream *pn_connect(SnNet *n, const char *host, uint16_t port,
                            const SnStreamEvents *events, void *opaque)
{
    PosixNet *net = (PosixNet *)n;
    PosixStream *ps = g_new0(PosixStream, 1);
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(port) };
    int one = 1;

    ps->s.ops = &stream_ops;
    ps->net = net;
    ps->events = events;
    ps->opaque = opaque;
    ps->err = 1;
    ps->tail = &ps->head;
    ps->done_tail = &ps->done;
    ps->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(ps->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (inet_pton(AF_INET, host, &sin.sin_addr) != 1) {
        ps->err = -ENOENT;
    } else if (connect(ps->fd, (struct sockaddr *)&sin, sizeof(sin)) &&
               errno != EINPROGRESS) {
        ps->err = -errno;
    }
    net->streams = g_list_append(net->streams, ps);
    return &ps->s;
}

static bool exists(PosixNet *net, PosixStream *ps)
{
    return g_list_find(net->streams, ps);
}

/* Tells what the kernel has taken; false when that closed the stream. */
static bool tell_done(PosixNet *net, PosixStream *ps)
{
    while (exists(net, ps) && ps->done) {
        SnTx *tx = ps->done;

        ps->done = tx->next;
        if (!ps->done) {
            ps->done_tail = &ps->done;
        }
        tx->done(tx);
    }
    return exists(net, ps);
}

static void read_some(PosixStream *ps)
{
    ssize_t n;

    if (ps->rx_end == RX_SIZE) {
        return;
    }
    n = recv(ps->fd, ps->rx + ps->rx_end, RX_SIZE - ps->rx_end, MSG_DONTWAIT);
    if (n > 0) {
        ps->rx_end += n;
        ps->events->readable(ps->opaque);
    } else if (!n) {
        ps->err = 0;
    } else if (errno != EAGAIN) {
        ps->err = -errno;
    }
}

static void handle_stream(PosixNet *net, PosixStream *ps, short revents)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (!ps->connected && revents && ps->err > 0) {
        getsockopt(ps->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            ps->err = -err;
        } else {
            ps->connected = true;
            ps->events->connected(ps->opaque);
        }
    } else if (ps->connected && ps->err > 0) {
        ps_push(&ps->s);
        if (!tell_done(net, ps)) {
            return;
        }
        if (revents & (POLLIN | POLLHUP | POLLERR)) {
            read_some(ps);
        }
    }
    if (exists(net, ps) && ps->err <= 0 && !ps->told) {
        ps->told = true;
        ps->events->closed(ps->opaque, ps->err);
    }
}

static bool run_bhs(PosixNet *net)
{
    bool any = false;

    for (GList *l = net->bhs; l;) {
        SnBh *bh = l->data;

        if (bh->scheduled) {
            bh->scheduled = false;
            bh->cb(bh->opaque);
            any = true;
            l = net->bhs;       /* the list may have changed */
        } else {
            l = l->next;
        }
    }
    return any;
}

static bool run_timers(PosixNet *net)
{
    for (GList *l = net->timers; l; l = l->next) {
        SnTimer *t = l->data;

        if (t->deadline <= pn_now(&net->loop)) {
            t->deadline = SN_TIMER_NEVER;
            t->cb(t->opaque);
            return true;
        }
    }
    return false;
}

/* Milliseconds that may be waited. */
static int wait_time(PosixNet *net)
{
    int64_t first = SN_TIMER_NEVER;

    for (GList *l = net->timers; l; l = l->next) {
        first = MIN(first, ((SnTimer *)l->data)->deadline);
    }
    for (GList *l = net->streams; l; l = l->next) {
        PosixStream *ps = l->data;

        if (ps->done || (ps->err <= 0 && !ps->told)) {
            return 0;
        }
    }
    first -= first == SN_TIMER_NEVER ? 0 : pn_now(&net->loop);
    return CLAMP(first / SN_NS_PER_MS + 1, 0, 1000);
}

void posix_net_run_once(PosixNet *net)
{
    struct pollfd fds[64];
    PosixStream *streams[G_N_ELEMENTS(fds)];
    unsigned n = 0;

    if (run_bhs(net) || run_timers(net)) {
        return;
    }
    for (GList *l = net->streams; l && n < G_N_ELEMENTS(fds); l = l->next) {
        PosixStream *ps = l->data;
        bool out = ps->head || !ps->connected;

        streams[n] = ps;
        fds[n++] = (struct pollfd){ .fd = ps->told ? -1 : ps->fd,
                                    .events = POLLIN | (out ? POLLOUT : 0) };
    }
    poll(fds, n, wait_time(net));
    for (unsigned i = 0; i < n; i++) {
        if (exists(net, streams[i])) {
            handle_stream(net, streams[i], fds[i].revents);
        }
    }
}

PosixNet *posix_net_new(void)
{
    PosixNet *net = g_new0(PosixNet, 1);

    net->net.connect = pn_connect;
    net->loop = (SnLoop){
        .now = pn_now,
        .timer_new = pn_timer_new,
        .timer_set = pn_timer_set,
        .timer_free = pn_timer_free,
        .bh_new = pn_bh_new,
        .bh_schedule = pn_bh_schedule,
        .bh_free = pn_bh_free,
    };
    return net;
}

void posix_net_free(PosixNet *net)
{
    g_assert_null(net->streams);
    g_assert_null(net->timers);
    g_assert_null(net->bhs);
    g_free(net);
}
