/*
 * An SnNet in memory: streams to a peer that the test plays, delivered in
 * pieces as small as the test wants.
 *
 * Bytes move when the loop runs. Written memory is read when it "leaves" and
 * given back only with a later acknowledgement, and received bytes lie in
 * allocations of their own: AddressSanitizer sees every use that is wrong.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MEMORY_NET_H
#define MEMORY_NET_H

#include "smartnic/stream.h"
#include "test-loop.h"

typedef struct MemoryNet MemoryNet;
typedef struct MemoryStream MemoryStream;

/* What the peer hears; all from the loop. */
typedef struct MemoryPeerOps {
    /* A connection: the peer's own pointer for it, or NULL to refuse. */
    void *(*accept)(void *opaque, MemoryStream *ms);
    void (*input)(void *conn, const uint8_t *bytes, size_t len);
    /* The stream was closed or reset; the peer must not use it any more. */
    void (*gone)(void *conn);
} MemoryPeerOps;

struct MemoryNet {
    SnNet net;
    SnLoop *loop;
    const MemoryPeerOps *ops;
    void *opaque;
    GRand *rand;
    GList *streams;
    size_t grain;               /* most bytes that move at a time */
    bool dead;                  /* connecting never ends */
    bool stalled;               /* nothing moves, nothing is told */
    bool no_acks;               /* what was sent is not acknowledged */
    uint16_t last_port;         /* that a stream came from without asking */
    /* Changes an answer, once: the next, or the one so many later. */
    void (*mangle)(GByteArray *answer);
    unsigned mangle_skip;
};

MemoryNet *memory_net_new(SnLoop *loop, const MemoryPeerOps *ops,
                          void *opaque, uint32_t seed);
/* All streams must be closed. */
void memory_net_free(MemoryNet *net);

/* The port that was connected to. */
uint16_t memory_stream_port(const MemoryStream *ms);
/* The port that it comes from. */
uint16_t memory_stream_local_port(const MemoryStream *ms);
/* The host that was connected to, as it was given, and SN_NET_* flags. */
const char *memory_stream_host(const MemoryStream *ms);
unsigned memory_stream_flags(const MemoryStream *ms);
/* The peer sends; the bytes are copied. */
void memory_stream_send(MemoryStream *ms, const void *bytes, size_t len);
/* The same with a whole answer, which may be mangled; the caller's to free. */
void memory_stream_answer(MemoryStream *ms, GByteArray *answer);
/* The peer ends the connection: 0 in order, or a negative errno. */
void memory_stream_end(MemoryStream *ms, int err);
/* After no_acks or stalled were cleared. */
void memory_net_wake(MemoryNet *net);
/* Ends all connections. */
void memory_net_end_all(MemoryNet *net, int err);

#endif
