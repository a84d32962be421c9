/*
 * SnStream: a TCP byte stream of the card's firmware.
 *
 * Backends reach their targets through this contract only. There are two
 * implementations: lwIP on the card's own port (hw/smartnic/firmware) and
 * kernel sockets for tests and benchmarks without QEMU (tests/unit).
 *
 * All calls and callbacks happen in the card's thread. No callback runs from
 * inside a call to this interface: events come from the loop.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_STREAM_H
#define SMARTNIC_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct SnStream SnStream;
typedef struct SnNet SnNet;
typedef struct SnTx SnTx;

/*
 * One write, by reference. The caller owns it (it usually lives in a request)
 * and fills in the public fields.
 *
 * The iovec array and the memory it names are borrowed until @done is called
 * or sn_stream_tx_detach() or sn_stream_close() has returned. @done is called
 * once, when the peer has acknowledged every byte; not after detach or close,
 * and not when the connection is lost (closed() tells that instead).
 */
struct SnTx {
    const struct iovec *iov;
    unsigned iovcnt;
    void (*done)(SnTx *tx);     /* may be NULL: nobody waits for it */

    /* private to the stream */
    SnTx *next;
    uint64_t end;               /* stream position after its last byte */
    size_t len;                 /* sum of the iovec's lengths */
    size_t queued;              /* bytes already handed to TCP */
    void *copy;                 /* the stream's own copy after detach */
    struct iovec copy_iov;
};

/* Events of one stream. All must be set. */
typedef struct SnStreamEvents {
    /* The connection is established; writes and reads may start. */
    void (*connected)(void *opaque);
    /* More bytes can be peeked than before. */
    void (*readable)(void *opaque);
    /*
     * The connection is over, also when it never came to be. @err: 0 when the
     * peer closed its side in order, else a negative errno (-ECONNREFUSED,
     * -ECONNRESET, -ETIMEDOUT, -EHOSTUNREACH, -ENETDOWN, -ENOENT when the name
     * does not resolve, -ENOBUFS when the peer takes too little of what was
     * detached). Nothing more comes; the caller still has to call
     * sn_stream_close(). Bytes received before remain readable until then.
     */
    void (*closed)(void *opaque, int err);
} SnStreamEvents;

/* What an implementation provides; call through the inline functions. */
typedef struct SnStreamOps {
    void (*write)(SnStream *s, SnTx *tx);
    void (*push)(SnStream *s);
    void (*tx_detach)(SnStream *s, SnTx *tx);
    unsigned (*peek)(SnStream *s, struct iovec *iov, unsigned max);
    void (*consume)(SnStream *s, size_t len);
    uint16_t (*local_port)(SnStream *s);
    void (*close)(SnStream *s);
} SnStreamOps;

struct SnStream {
    const SnStreamOps *ops;
};

/*
 * Queues @tx after everything written before. Never fails and never blocks:
 * what does not fit in TCP's window waits in the stream. Nothing need leave
 * before sn_stream_push(). At least one byte. Only between connected() and
 * closed(); afterwards the call is ignored and @tx not referenced.
 */
static inline void sn_stream_write(SnStream *s, SnTx *tx)
{
    s->ops->write(s, tx);
}

/* Ends a batch of writes: hands TCP what may be sent now. */
static inline void sn_stream_push(SnStream *s)
{
    s->ops->push(s);
}

/*
 * Lets go of @tx's memory at once. The stream copies what is not acknowledged
 * yet (bytes of a message cannot be taken back), so the memory, the iovec and
 * @tx itself may be reused when the call returns. Harmless on a @tx that is
 * done already or was never written when its `iov` is NULL.
 */
static inline void sn_stream_tx_detach(SnStream *s, SnTx *tx)
{
    s->ops->tx_detach(s, tx);
}

/*
 * Describes received bytes in order without consuming them: fills up to @max
 * entries and returns how many. The memory stays valid until consume() or
 * close(). Returns 0 when nothing is there.
 */
static inline unsigned sn_stream_peek(SnStream *s, struct iovec *iov,
                                      unsigned max)
{
    return s->ops->peek(s, iov, max);
}

/* Gives the first @len peeked bytes back to TCP (opens the window). */
static inline void sn_stream_consume(SnStream *s, size_t len)
{
    s->ops->consume(s, len);
}

/* The port that it comes from. Only between connected() and closed(). */
static inline uint16_t sn_stream_local_port(SnStream *s)
{
    return s->ops->local_port(s);
}

/*
 * Ends the stream now (RST unless everything was finished: no linger) and
 * frees it. No callback comes afterwards and no memory stays borrowed. May be
 * called from a callback of the same stream.
 */
static inline void sn_stream_close(SnStream *s)
{
    s->ops->close(s);
}

/*
 * Connect from a port below 1024, which servers that go by the user's id
 * (AUTH_SYS of NFS) take as a sign of a computer that may be trusted.
 */
#define SN_NET_RESERVED_PORT (1 << 0)

/*
 * Connect from this very port, if it is free (SN_NET_RESERVED_PORT says what
 * else will do; 0: nothing is wanted). From the port of a connection before, to
 * the same place, a server knows who comes back, and forgets that one.
 */
#define SN_NET_FROM_PORT(port) ((unsigned)(port) << 16)
#define SN_NET_PORT_OF(flags) ((uint16_t)((flags) >> 16))

/* A place to connect from: the firmware of one card. */
struct SnNet {
    /*
     * Starts connecting to @port on @host (a name, an IPv4 address or an IPv6
     * address without brackets; borrowed during the call). Returns at once;
     * the result arrives as connected() or closed(). While the card has no
     * address yet, waits for it. Never NULL. There is no time limit here: the
     * caller sets its own and closes the stream. @flags: SN_NET_*.
     */
    SnStream *(*connect)(SnNet *net, const char *host, uint16_t port,
                         unsigned flags, const SnStreamEvents *events,
                         void *opaque);
};

static inline SnStream *sn_net_connect(SnNet *net, const char *host,
                                       uint16_t port,
                                       unsigned flags,
                                       const SnStreamEvents *events,
                                       void *opaque)
{
    return net->connect(net, host, port, flags, events, opaque);
}

#endif
