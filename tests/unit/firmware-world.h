/*
 * Two firmwares on a wire, in virtual time, for the firmware's tests.
 *
 * The wire drops, doubles, delays and mixes up frames as a test says. One
 * firmware is the card under test, the other plays the storage target with
 * lwIP's raw API.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FIRMWARE_WORLD_H
#define FIRMWARE_WORLD_H

#include <glib.h>

#include "fw.h"
#include "smartnic/be.h"
#include "test-loop.h"

#include "lwip/tcp.h"

#define MS SN_NS_PER_MS
#define SEC SN_NS_PER_S

typedef struct World World;
typedef struct Node Node;

struct Node {
    World *w;
    SnFirmware *fw;
    Node *peer;
    unsigned sent;              /* frames */
    unsigned changes, ready;    /* callbacks seen */
    bool blocked;               /* transmit() says no */
};

/* What becomes of a frame. */
typedef struct Fate {
    int copies;                 /* 0: lost */
    int64_t delay;
} Fate;

struct World {
    SnLoop *loop;
    SnTimer *timer;
    Node client, server;
    GQueue flights;             /* Flight, by due and order */
    uint64_t order;
    GRand *rand;
    Fate (*fate)(World *w, Node *from, const uint8_t *frame, size_t len);
    /* Sees every frame sent; true: it was taken care of. */
    bool (*tap)(World *w, Node *from, const uint8_t *frame, size_t len,
                const SnOffload *offload);
    void *tap_opaque;
    double loss;                /* for fate_lossy() */
};

typedef struct TcpView {
    uint32_t seq, ack;
    uint8_t flags;
    size_t head, payload;       /* bytes */
} TcpView;

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

typedef enum ServeMode {
    SERVE_ECHO,
    SERVE_SINK,                 /* keeps what it receives */
    SERVE_DEAF,                 /* never opens its window */
    SERVE_SOURCE,               /* sends @source, then closes if told */
} ServeMode;

typedef struct Server {
    Node *node;
    struct tcp_pcb *listener, *pcb;
    ServeMode mode;
    GByteArray *rx;             /* everything received */
    GByteArray *out;            /* to send ... */
    size_t out_pos;             /* ... from here */
    size_t unread;              /* SERVE_DEAF: not given back */
    size_t piece;               /* bytes per segment, if not 0 */
    bool close_after;
    bool shut;                  /* we closed our side */
    bool fin, reset;            /* the client did */
} Server;

/* For has_amount(): @array has @want bytes. */
typedef struct Amount {
    GByteArray *array;
    size_t want;
} Amount;

/* What a callback does besides taking notes. */
typedef enum CloseIn {
    CLOSE_NOWHERE, CLOSE_IN_CONNECTED, CLOSE_IN_DONE, CLOSE_IN_READABLE,
    CLOSE_IN_CLOSED,
} CloseIn;

typedef struct User {
    SnStream *s;
    bool in_call;               /* events must not come now */
    bool connected, closed;
    int err;
    GByteArray *rx;
    bool greedy;                /* consumes at once */
    unsigned readable, done;
    CloseIn close_in;
    uint64_t last_done;
} User;

typedef struct Write {
    SnTx tx;
    User *u;
    struct iovec iov[4];
    uint64_t position;          /* of its last byte */
    bool done, detached;
    size_t len;
    uint8_t data[];
} Write;

bool inject(Node *to, const void *data, size_t len,
            const SnOffload *offload);
SnFirmwareConfig node_config(Node *n);
void node_start(Node *n, const SnFirmwareConfig *config);
World *world_bare(uint32_t seed);
World *world_new_mtu(uint32_t seed, uint16_t mtu);
World *world_new(uint32_t seed);
void world_free(World *w);
Fate fate_lossy(World *w, Node *from, const uint8_t *frame, size_t len);
uint32_t slow_sum(const uint8_t *p, size_t len, uint32_t sum);
bool view_tcp(TcpView *v, const uint8_t *f, size_t len);
Server *server_new(Node *node, uint16_t port, ServeMode mode);
void server_free(Server *s);
void server_pump(Server *s);
User *user_new(Node *n, const char *host, uint16_t port);
/* @flags: SN_NET_*. */
User *user_new_flags(Node *n, const char *host, uint16_t port, unsigned flags);
void user_free(User *u);
void user_close(User *u);
void user_read(User *u);
Write *user_write(World *w, User *u, size_t len, GByteArray *sum);
void user_push(User *u);
void user_detach(User *u, Write *wr);
bool is_connected(void *opaque);
bool is_closed(void *opaque);
bool has_amount(void *opaque);
void run_until(World *w, bool (*what)(void *), void *opaque, int64_t ns);
void assert_bytes(const GByteArray *got, const GByteArray *want);
size_t random_size(World *w);
void wire_send(World *w, Node *to, const void *data, size_t len,
               const SnOffload *offload, int64_t delay);

/* ---- frames by hand ---- */

extern const uint8_t mac_c[6], mac_s[6], everyone[6];
/* The fixed addresses of client and server, 192.0.2.1 and .2. */
enum { IP_C = 0xc0000201, IP_S = 0xc0000202 };

/* A client without a server; what it sends is kept for find_frame(). */
World *world_alone(const char *ip, const char *ip6);
void world_alone_free(World *w);
/* The last one with byte @value at @at. */
const uint8_t *find_frame(World *w, unsigned ethertype, size_t at,
                          uint8_t value, size_t *len);
void forget_frames(World *w);
void put_eth(uint8_t *f, const uint8_t *dst, unsigned type);
void put_ip4(uint8_t *ip, size_t len, uint8_t proto, uint32_t src,
             uint32_t dst);
/* The server asks for the client's MAC. */
void arp_request(World *w);
uint32_t pseudo4(const uint8_t *ip, size_t len);

#endif
