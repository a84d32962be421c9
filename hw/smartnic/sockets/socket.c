/*
 * One socket: a stream, and the memory that its writes leave from.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

#include "smartnic/trace.h"
#include "sockets-internal.h"

SN_TRACE_EVENT(socket_connect);
SN_TRACE_EVENT(socket_state);
SN_TRACE_EVENT(socket_close);
SN_TRACE_EVENT(socket_full);

/* What a socket takes before its peer acknowledges: a power of two. */
#define SEND_BYTES (1024 * 1024)
/* Writes under way, each of them what one turn sent. */
enum { SEND_WRITES = 256 };
G_STATIC_ASSERT((SEND_BYTES & (SEND_BYTES - 1)) == 0);
/* Pieces of received data that are looked at in one go. */
enum { RECV_PIECES = 32 };

typedef enum SocketState {
    SOCKET_NEW,
    SOCKET_CONNECTING,          /* the stream is set from here on */
    SOCKET_CONNECTED,
    SOCKET_OVER,                /* received bytes can still be read */
} SocketState;

typedef struct SendWrite {
    SnTx tx;                    /* first */
    SnSocket *socket;
    struct iovec iov[2];        /* two when it goes around the end */
} SendWrite;

/*
 * A ring of bytes on their way: [acked, flushed) are borrowed by the stream,
 * [flushed, taken) wait for the end of the turn. The positions count bytes.
 */
typedef struct SendRing {
    uint8_t *bytes;             /* SEND_BYTES, allocated when first used */
    uint64_t acked, flushed, taken;
    SendWrite writes[SEND_WRITES];
    unsigned first, count;      /* those under way, in order */
    bool full;                  /* somebody was told to wait for room */
} SendRing;

struct SnSocket {
    SnSockets *set;
    GList link;                 /* in set->sockets */
    unsigned refs;              /* descriptors */
    int family;
    SocketState state;
    bool reserved;              /* bound to a port below 1024 */
    uint16_t from_port;         /* that is wanted; 0: any */
    SnStream *stream;
    int error;                  /* why it is over: 0 or a negative errno */
    bool error_told;            /* SO_ERROR, or a call, told it */
    bool received, acknowledged;    /* since sn_socket_heard() */
    SnSocketsCheck *check;      /* of what is received; or NULL */
    void *check_opaque;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    SendRing send;
};

static void set_state(SnSocket *k, SocketState state)
{
    static const char *const names[] = {
        [SOCKET_NEW] = "new",
        [SOCKET_CONNECTING] = "connecting",
        [SOCKET_CONNECTED] = "connected",
        [SOCKET_OVER] = "over",
    };

    sn_trace(socket_state, "socket=%p state=%s -> %s error=%d", (void *)k,
             names[k->state], names[state], k->error);
    k->state = state;
}

static void ready(SnSocket *k)
{
    k->set->ready(k->set->opaque);
}

static void on_connected(void *opaque)
{
    SnSocket *k = opaque;

    set_state(k, SOCKET_CONNECTED);
    ready(k);
}

static void on_readable(void *opaque)
{
    SnSocket *k = opaque;

    k->received = true;
    ready(k);
}

static void on_closed(void *opaque, int err)
{
    SnSocket *k = opaque;

    k->error = err;
    set_state(k, SOCKET_OVER);
    ready(k);
}

static const SnStreamEvents stream_events = {
    .connected = on_connected,
    .readable = on_readable,
    .closed = on_closed,
};

SnSocket *sn_socket_new(SnSockets *s, int family)
{
    SnSocket *k = g_new0(SnSocket, 1);

    k->set = s;
    k->family = family;
    k->link.data = k;
    k->check = s->check;
    k->check_opaque = s->check_opaque;
    k->from_port = s->from_port;
    if (k->check) {
        k->check(k->check_opaque, NULL, 0);
    }
    g_queue_push_tail_link(&s->sockets, &k->link);
    s->made++;
    return k;
}

void sn_socket_ref(SnSocket *k)
{
    k->refs++;
}

void sn_socket_unref(SnSocket *k)
{
    if (--k->refs) {
        return;
    }
    sn_trace(socket_close, "socket=%p", (void *)k);
    sn_socket_flush(k);         /* a last word leaves, if it may */
    if (k->stream) {
        sn_stream_close(k->stream);
    }
    g_queue_unlink(&k->set->sockets, &k->link);
    g_free(k->send.bytes);
    g_free(k);
}

int sn_socket_bind(SnSocket *k, const struct sockaddr *addr, socklen_t len)
{
    uint16_t port;

    if (k->state != SOCKET_NEW || addr->sa_family != k->family) {
        return -EINVAL;
    }
    if (len < (k->family == AF_INET ? sizeof(struct sockaddr_in)
                                    : sizeof(struct sockaddr_in6))) {
        return -EINVAL;
    }
    /* The port is at the same place in both. */
    port = ntohs(((const struct sockaddr_in *)addr)->sin_port);
    if (port >= IPPORT_RESERVED) {
        return -EADDRNOTAVAIL;
    }
    k->reserved = port;
    return 0;
}

int sn_socket_connect(SnSocket *k, const struct sockaddr *addr, socklen_t len)
{
    g_autofree char *host = NULL;
    uint16_t port;

    switch (k->state) {
    case SOCKET_NEW:
        break;
    case SOCKET_CONNECTING:
        return -EALREADY;
    case SOCKET_CONNECTED:
        return -EISCONN;
    case SOCKET_OVER:
        return -ECONNABORTED;
    }
    if (!k->set->net) {
        return -ENETUNREACH;
    }
    host = sn_names_host(k->set, addr, len, &port);
    if (!host || !port || addr->sa_family != k->family) {
        return -EADDRNOTAVAIL;
    }
    memcpy(&k->peer, addr, MIN(len, sizeof(k->peer)));
    k->peer_len = MIN(len, sizeof(k->peer));
    sn_trace(socket_connect, "socket=%p host=%s port=%u reserved=%d",
             (void *)k, host, port, k->reserved);
    set_state(k, SOCKET_CONNECTING);
    k->stream = sn_net_connect(k->set->net, host, port,
                               (k->reserved ? SN_NET_RESERVED_PORT : 0) |
                               SN_NET_FROM_PORT(k->from_port),
                               &stream_events, k);
    return -EINPROGRESS;
}

/* The oldest write is acknowledged. */
static void write_done(SnTx *tx)
{
    SnSocket *k = ((SendWrite *)tx)->socket;
    SendRing *r = &k->send;

    g_assert(r->count && tx == &r->writes[r->first].tx);
    r->acked += tx->iov[0].iov_len + (tx->iovcnt > 1 ? tx->iov[1].iov_len : 0);
    r->first = (r->first + 1) % SEND_WRITES;
    r->count--;
    k->acknowledged = true;
    sn_socket_flush(k);
    if (r->full) {
        r->full = false;
        ready(k);
    }
}

/* Room in one piece, after what was taken. */
static size_t room(const SendRing *r, uint8_t **at)
{
    size_t offset = r->taken % SEND_BYTES;
    size_t free = SEND_BYTES - (r->taken - r->acked);

    *at = r->bytes + offset;
    return MIN(free, SEND_BYTES - offset);
}

/* Before bytes are put in: nothing under way is a chance to begin anew. */
static void start_over(SendRing *r)
{
    if (!r->bytes) {
        r->bytes = g_malloc(SEND_BYTES);
    }
    /* Memory that was used just now is in the cache. */
    if (r->acked == r->taken) {
        r->acked = r->flushed = r->taken = 0;
    }
}

static bool put(SendRing *r, const uint8_t *from, size_t len, size_t *sent)
{
    while (len) {
        uint8_t *to;
        size_t n = MIN(room(r, &to), len);

        if (!n) {
            return false;
        }
        memcpy(to, from, n);
        r->taken += n;
        from += n;
        len -= n;
        *sent += n;
    }
    return true;
}

/* Why a call that needs a connection cannot be; 0: it can. */
static int not_connected(SnSocket *k)
{
    switch (k->state) {
    case SOCKET_NEW:
        return -ENOTCONN;
    case SOCKET_CONNECTING:
        return -EAGAIN;
    case SOCKET_CONNECTED:
        return 0;
    case SOCKET_OVER:
        break;
    }
    return sn_socket_take_error(k);
}

ssize_t sn_socket_send(SnSocket *k, const struct iovec *iov, size_t iovcnt)
{
    SendRing *r = &k->send;
    size_t sent = 0, i = 0;
    int err = not_connected(k);

    if (err || k->state != SOCKET_CONNECTED) {
        return err ? err : -EPIPE;
    }
    start_over(r);
    while (i < iovcnt && put(r, iov[i].iov_base, iov[i].iov_len, &sent)) {
        i++;
    }
    if (i < iovcnt) {
        sn_trace(socket_full, "socket=%p", (void *)k);
        r->full = true;         /* not all callers ask a second time */
        if (!sent) {
            return -EAGAIN;
        }
    }
    if (sn_sockets_current() != k->set) {
        sn_socket_flush(k);     /* no end of a turn will come */
    }
    return sent;
}

void sn_socket_flush(SnSocket *k)
{
    SendRing *r = &k->send;
    size_t offset = r->flushed % SEND_BYTES;
    size_t len = r->taken - r->flushed;
    size_t first = MIN(len, SEND_BYTES - offset);
    SendWrite *w;

    if (!len || k->state != SOCKET_CONNECTED || r->count == SEND_WRITES) {
        return;
    }
    w = &r->writes[(r->first + r->count) % SEND_WRITES];
    w->socket = k;
    w->iov[0] = (struct iovec){ r->bytes + offset, first };
    w->iov[1] = (struct iovec){ r->bytes, len - first };
    w->tx = (SnTx){ .iov = w->iov, .iovcnt = first < len ? 2 : 1,
                    .done = write_done };
    r->count++;
    r->flushed = r->taken;
    sn_stream_write(k->stream, &w->tx);
    sn_stream_push(k->stream);
}

/* Where a scattered copy goes on. */
typedef struct Cursor {
    const struct iovec *iov;
    size_t iovcnt;
    size_t offset;              /* in the first of them */
} Cursor;

/* Copies what fits of [@from, @from + @len); returns how much did. */
static size_t scatter(Cursor *c, const uint8_t *from, size_t len)
{
    size_t copied = 0;

    while (len && c->iovcnt) {
        size_t n = MIN(len, c->iov->iov_len - c->offset);

        memcpy((uint8_t *)c->iov->iov_base + c->offset, from + copied, n);
        copied += n;
        len -= n;
        c->offset += n;
        if (c->offset == c->iov->iov_len) {
            c->iov++;
            c->iovcnt--;
            c->offset = 0;
        }
    }
    return copied;
}

/* False: the peer sent what it must not, and the connection is over. */
static bool checked(SnSocket *k, const uint8_t *bytes, size_t len)
{
    if (!k->check || !len || k->check(k->check_opaque, bytes, len)) {
        return true;
    }
    k->error = -EPROTO;
    set_state(k, SOCKET_OVER);
    return false;
}

/* One look at what was received: up to RECV_PIECES of it. */
static size_t recv_some(SnSocket *k, Cursor *c, bool peek)
{
    struct iovec in[RECV_PIECES];
    unsigned n = sn_stream_peek(k->stream, in, RECV_PIECES);
    size_t got = 0;

    for (unsigned i = 0; i < n; i++) {
        size_t m = scatter(c, in[i].iov_base, in[i].iov_len);

        if (!peek && !checked(k, in[i].iov_base, m)) {
            return 0;
        }
        got += m;
        if (m < in[i].iov_len) {
            break;
        }
    }
    return got;
}

ssize_t sn_socket_recv(SnSocket *k, const struct iovec *iov, size_t iovcnt,
                       bool peek)
{
    Cursor c = { iov, iovcnt, 0 };
    size_t got, sum = 0, wanted = 0;
    int err;

    for (size_t i = 0; i < iovcnt; i++) {
        wanted += iov[i].iov_len;
    }
    if (k->state >= SOCKET_CONNECTED) {
        while ((got = recv_some(k, &c, peek)) > 0) {
            sum += got;
            if (peek) {
                break;
            }
            sn_stream_consume(k->stream, got);
        }
    }
    if ((sum || !wanted) && k->error != -EPROTO) {
        return sum;
    }
    err = not_connected(k);
    return err || k->state == SOCKET_OVER ? err : -EAGAIN;
}

size_t sn_socket_readable(SnSocket *k)
{
    struct iovec in[RECV_PIECES];
    unsigned n = k->stream ? sn_stream_peek(k->stream, in, RECV_PIECES) : 0;
    size_t sum = 0;

    while (n--) {
        sum += in[n].iov_len;
    }
    return sum;
}

short sn_socket_poll(SnSocket *k, short events)
{
    struct iovec in;
    short now = 0;

    switch (k->state) {
    case SOCKET_NEW:
        return POLLOUT | POLLHUP;       /* as Linux has it */
    case SOCKET_CONNECTING:
        return 0;
    case SOCKET_CONNECTED:
        break;
    case SOCKET_OVER:
        now = POLLIN | POLLOUT;
        break;
    }
    if (sn_stream_peek(k->stream, &in, 1)) {
        now |= POLLIN;
    } else if (k->state == SOCKET_OVER && k->error) {
        return (now & events) | POLLERR | POLLHUP;
    }
    if (k->send.taken - k->send.acked < SEND_BYTES) {
        now |= POLLOUT;
    } else if (events & POLLOUT) {
        k->send.full = true;
    }
    return now & events;
}

int sn_socket_take_error(SnSocket *k)
{
    int err = k->error_told ? 0 : k->error;

    k->error_told = k->error;
    return err;
}

int sn_socket_error(const SnSocket *k)
{
    return k->error;
}

bool sn_socket_heard(SnSocket *k)
{
    bool waits = k->send.acked < k->send.taken;
    bool heard = k->received || (k->acknowledged && waits);

    k->received = k->acknowledged = false;
    return heard;
}

bool sn_socket_ended(const SnSocket *k)
{
    struct iovec in;

    return k->state == SOCKET_OVER && !k->error &&
           !sn_stream_peek(k->stream, &in, 1);
}

uint16_t sn_socket_port(const SnSocket *k)
{
    return k->state == SOCKET_CONNECTED ? sn_stream_local_port(k->stream) : 0;
}

int sn_socket_family(const SnSocket *k)
{
    return k->family;
}

const struct sockaddr *sn_socket_peer(const SnSocket *k, socklen_t *len)
{
    *len = k->peer_len;
    return (const struct sockaddr *)&k->peer;
}
