/*
 * An SnNet in memory.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "memory-net.h"

/* One write, or what is left of it after a detach. */
typedef struct Chunk {
    SnTx *tx;                   /* NULL: detached */
    uint8_t *copy;              /* then this holds bytes from @start on */
    uint64_t start, end;        /* stream positions */
} Chunk;

struct MemoryStream {
    SnStream s;
    MemoryNet *net;
    const SnStreamEvents *events;
    void *opaque;
    void *conn;                 /* the peer's */
    SnBh *bh;
    char *host;
    uint16_t port, local_port;
    unsigned flags;
    bool connected, ended, closed_told;
    int err;

    GQueue chunks;              /* of Chunk: not acknowledged */
    uint64_t written, pushed, left, acked;

    GByteArray *coming;         /* sent by the peer; visible up to came */
    size_t came;
    GQueue visible;             /* of GBytes */
    size_t consumed;            /* of the first of them */
    bool *freed;                /* set when freed while on the stack */
};

static size_t iov_sum(const struct iovec *iov, unsigned n)
{
    size_t sum = 0;

    while (n--) {
        sum += iov++->iov_len;
    }
    return sum;
}

static void gather(const SnTx *tx, size_t skip, uint8_t *to, size_t len)
{
    for (const struct iovec *v = tx->iov; len; v++) {
        size_t n;

        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        n = MIN(v->iov_len - skip, len);
        memcpy(to, (uint8_t *)v->iov_base + skip, n);
        to += n;
        len -= n;
        skip = 0;
    }
}

static void ms_write(SnStream *s, SnTx *tx)
{
    MemoryStream *ms = (MemoryStream *)s;
    Chunk *c;
    size_t len = iov_sum(tx->iov, tx->iovcnt);

    g_assert_cmpuint(len, >, 0);
    g_assert_true(ms->connected);
    if (ms->closed_told) {
        return;
    }
    c = g_new0(Chunk, 1);
    c->tx = tx;
    c->start = ms->written;
    c->end = ms->written += len;
    g_queue_push_tail(&ms->chunks, c);
}

static void ms_push(SnStream *s)
{
    MemoryStream *ms = (MemoryStream *)s;

    ms->pushed = ms->written;
    ms->net->loop->bh_schedule(ms->bh);
}

static void ms_tx_detach(SnStream *s, SnTx *tx)
{
    MemoryStream *ms = (MemoryStream *)s;

    for (GList *l = ms->chunks.head; l; l = l->next) {
        Chunk *c = l->data;

        if (c->tx == tx) {
            c->copy = g_malloc(c->end - c->start);
            gather(tx, 0, c->copy, c->end - c->start);
            c->tx = NULL;
        }
    }
}

static unsigned ms_peek(SnStream *s, struct iovec *iov, unsigned max)
{
    MemoryStream *ms = (MemoryStream *)s;
    size_t skip = ms->consumed;
    unsigned n = 0;

    for (GList *l = ms->visible.head; l && n < max; l = l->next) {
        gsize len;
        const uint8_t *p = g_bytes_get_data(l->data, &len);

        iov[n].iov_base = (void *)(p + skip);
        iov[n++].iov_len = len - skip;
        skip = 0;
    }
    return n;
}

static void ms_consume(SnStream *s, size_t len)
{
    MemoryStream *ms = (MemoryStream *)s;

    ms->consumed += len;
    while (ms->visible.head &&
           ms->consumed >= g_bytes_get_size(ms->visible.head->data)) {
        GBytes *b = g_queue_pop_head(&ms->visible);

        ms->consumed -= g_bytes_get_size(b);
        g_bytes_unref(b);
    }
    g_assert_true(ms->visible.head || !ms->consumed);
}

static size_t some(MemoryStream *ms, size_t available)
{
    size_t n = MIN(available, ms->net->grain);

    return n > 1 ? g_rand_int_range(ms->net->rand, 1, n + 1) : n;
}

/* Bytes of the initiator reach the peer. */
static void move_out(MemoryStream *ms)
{
    size_t len = some(ms, ms->pushed - ms->left);
    g_autofree uint8_t *buf = g_malloc(len);
    size_t have = 0;

    for (GList *l = ms->chunks.head; l && have < len; l = l->next) {
        Chunk *c = l->data;
        size_t skip, n;

        if (c->end <= ms->left + have) {
            continue;
        }
        skip = ms->left + have - c->start;
        n = MIN(c->end - c->start - skip, len - have);
        if (c->tx) {
            gather(c->tx, skip, buf + have, n);
        } else {
            memcpy(buf + have, c->copy + skip, n);
        }
        have += n;
    }
    g_assert_cmpuint(have, ==, len);
    ms->left += len;
    if (ms->conn && len) {
        ms->net->ops->input(ms->conn, buf, len);
    }
}

static void free_chunk(Chunk *c)
{
    g_free(c->copy);
    g_free(c);
}

static void ms_close(SnStream *s)
{
    MemoryStream *ms = (MemoryStream *)s;

    /* What was pushed is on the wire already. */
    while (ms->conn && !ms->ended && !ms->net->stalled &&
           ms->left < ms->pushed) {
        move_out(ms);
    }
    if (ms->conn) {
        ms->net->ops->gone(ms->conn);
    }
    if (ms->freed) {
        *ms->freed = true;
    }
    ms->net->streams = g_list_remove(ms->net->streams, ms);
    ms->net->loop->bh_free(ms->bh);
    g_queue_clear_full(&ms->chunks, (GDestroyNotify)free_chunk);
    g_queue_clear_full(&ms->visible, (GDestroyNotify)g_bytes_unref);
    g_byte_array_unref(ms->coming);
    g_free(ms->host);
    g_free(ms);
}

static uint16_t ms_local_port(SnStream *s)
{
    return memory_stream_local_port((MemoryStream *)s);
}

static const SnStreamOps stream_ops = {
    .write = ms_write,
    .push = ms_push,
    .tx_detach = ms_tx_detach,
    .peek = ms_peek,
    .consume = ms_consume,
    .local_port = ms_local_port,
    .close = ms_close,
};

/* Until it is acknowledged, a write may have to be sent again. */
static void touch(const SnTx *tx, size_t len)
{
    g_autofree uint8_t *again = g_malloc(len);

    gather(tx, 0, again, len);
}

/* Acknowledgements reach the initiator; false when that closed the stream. */
static bool move_acks(MemoryStream *ms)
{
    bool freed = false;

    if (ms->net->no_acks) {
        return true;
    }
    ms->acked += some(ms, ms->left - ms->acked);
    while (ms->chunks.head &&
           ((Chunk *)ms->chunks.head->data)->end <= ms->acked) {
        Chunk *c = g_queue_pop_head(&ms->chunks);
        SnTx *tx = c->tx;

        if (tx) {
            touch(tx, c->end - c->start);
        }
        free_chunk(c);
        if (tx && tx->done) {
            ms->freed = &freed;
            tx->done(tx);
            if (freed) {
                return false;
            }
            ms->freed = NULL;
        }
    }
    return true;
}

/* Bytes of the peer become visible; false when that closed the stream. */
static bool move_in(MemoryStream *ms)
{
    size_t len = some(ms, ms->coming->len - ms->came);
    bool freed = false;

    if (!len) {
        return true;
    }
    g_queue_push_tail(&ms->visible, g_bytes_new(ms->coming->data + ms->came,
                                               len));
    ms->came += len;
    if (ms->came == ms->coming->len) {
        g_byte_array_set_size(ms->coming, 0);
        ms->came = 0;
    }
    /* Now and then several pieces are told at once. */
    if (ms->coming->len && g_rand_int_range(ms->net->rand, 0, 3) == 0) {
        return true;
    }
    ms->freed = &freed;
    ms->events->readable(ms->opaque);
    if (freed) {
        return false;
    }
    ms->freed = NULL;
    return true;
}

static void run(void *opaque)
{
    MemoryStream *ms = opaque;

    if (ms->net->dead || ms->net->stalled) {
        return;
    }
    if (!ms->connected && !ms->ended) {
        ms->conn = ms->net->ops->accept(ms->net->opaque, ms);
        if (!ms->conn) {
            ms->ended = true;
            ms->err = -ECONNREFUSED;
        } else {
            ms->connected = true;
            ms->net->loop->bh_schedule(ms->bh);
            ms->events->connected(ms->opaque);
            return;
        }
    }
    if (ms->connected && !ms->ended) {
        move_out(ms);
        if (!move_acks(ms)) {
            return;
        }
    }
    if (!move_in(ms)) {
        return;
    }
    if (ms->ended && !ms->coming->len) {
        if (!ms->closed_told) {
            ms->closed_told = true;
            ms->events->closed(ms->opaque, ms->err);
        }
        return;
    }
    if (ms->coming->len || ms->left < ms->pushed ||
        (ms->acked < ms->pushed && !ms->net->no_acks)) {
        ms->net->loop->bh_schedule(ms->bh);
    }
}

static SnStream *mn_connect(SnNet *n, const char *host, uint16_t port,
                            unsigned flags, const SnStreamEvents *events,
                            void *opaque)
{
    MemoryNet *net = (MemoryNet *)n;
    MemoryStream *ms = g_new0(MemoryStream, 1);

    ms->s.ops = &stream_ops;
    ms->net = net;
    ms->events = events;
    ms->opaque = opaque;
    ms->port = port;
    ms->local_port = SN_NET_PORT_OF(flags);
    if (!ms->local_port) {
        ms->local_port = ++net->last_port;
    }
    ms->flags = flags;
    ms->host = g_strdup(host);
    ms->bh = net->loop->bh_new(net->loop, run, ms);
    ms->coming = g_byte_array_new();
    net->streams = g_list_append(net->streams, ms);
    net->loop->bh_schedule(ms->bh);
    return &ms->s;
}

MemoryNet *memory_net_new(SnLoop *loop, const MemoryPeerOps *ops,
                          void *opaque, uint32_t seed)
{
    MemoryNet *net = g_new0(MemoryNet, 1);

    net->net.connect = mn_connect;
    net->loop = loop;
    net->ops = ops;
    net->opaque = opaque;
    net->rand = g_rand_new_with_seed(seed);
    net->grain = SIZE_MAX;
    return net;
}

void memory_net_free(MemoryNet *net)
{
    g_assert_null(net->streams);
    g_rand_free(net->rand);
    g_free(net);
}

uint16_t memory_stream_port(const MemoryStream *ms)
{
    return ms->port;
}

uint16_t memory_stream_local_port(const MemoryStream *ms)
{
    return ms->local_port;
}

const char *memory_stream_host(const MemoryStream *ms)
{
    return ms->host;
}

unsigned memory_stream_flags(const MemoryStream *ms)
{
    return ms->flags;
}

void memory_stream_send(MemoryStream *ms, const void *bytes, size_t len)
{
    if (!ms->ended) {
        g_byte_array_append(ms->coming, bytes, len);
        ms->net->loop->bh_schedule(ms->bh);
    }
}

void memory_stream_answer(MemoryStream *ms, GByteArray *answer)
{
    MemoryNet *net = ms->net;

    if (net->mangle && net->mangle_skip) {
        net->mangle_skip--;
    } else if (net->mangle) {
        void (*mangle)(GByteArray *) = net->mangle;

        net->mangle = NULL;
        mangle(answer);
    }
    memory_stream_send(ms, answer->data, answer->len);
}

void memory_stream_end(MemoryStream *ms, int err)
{
    if (!ms->ended) {
        ms->ended = true;
        ms->err = err;
        ms->net->loop->bh_schedule(ms->bh);
    }
}

void memory_net_wake(MemoryNet *net)
{
    for (GList *l = net->streams; l; l = l->next) {
        net->loop->bh_schedule(((MemoryStream *)l->data)->bh);
    }
}

void memory_net_end_all(MemoryNet *net, int err)
{
    for (GList *l = net->streams; l; l = l->next) {
        memory_stream_end(l->data, err);
    }
}
