/*
 * The socket layer inside: sets of sockets (sockets.c), one socket (socket.c),
 * names (names.c), and the calls under their POSIX names (calls.c).
 *
 * Functions that return an int or ssize_t and can fail return a negative
 * errno; calls.c makes -1 and errno of it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SOCKETS_INTERNAL_H
#define SMARTNIC_SOCKETS_INTERNAL_H

#include <netdb.h>
#include <sys/socket.h>

#include "sockets.h"

typedef struct SnSocket SnSocket;

struct SnSockets {
    SnNet *net;
    SnLoop *loop;
    SnLoopFunc *ready;
    void *opaque;
    GQueue sockets;             /* of SnSocket */
    GPtrArray *names;           /* of char *: behind the addresses of names */
    SnSocketsCheck *check;      /* of the next socket */
    void *check_opaque;
    uint16_t from_port;         /* of the next socket; 0: any */
    unsigned made;
};

/* sockets.c: the set whose user is on the stack, or NULL. */
SnSockets *sn_sockets_current(void);
/* The open socket behind @fd, or NULL. */
SnSocket *sn_sockets_find(int fd);
/* A descriptor for @k, which is referenced. */
int sn_sockets_open(SnSocket *k);
/* As dup2(), of descriptors of ours. */
int sn_sockets_dup2(int fd, int as);
/* As close(). */
int sn_sockets_close(int fd);

/* socket.c: a new socket of @s, not referenced yet. */
SnSocket *sn_socket_new(SnSockets *s, int family);
void sn_socket_ref(SnSocket *k);
/* The last one closes the stream. */
void sn_socket_unref(SnSocket *k);
int sn_socket_bind(SnSocket *k, const struct sockaddr *addr, socklen_t len);
int sn_socket_connect(SnSocket *k, const struct sockaddr *addr, socklen_t len);
ssize_t sn_socket_send(SnSocket *k, const struct iovec *iov, size_t iovcnt);
/* @peek: leaves the bytes where they are. */
ssize_t sn_socket_recv(SnSocket *k, const struct iovec *iov, size_t iovcnt,
                       bool peek);
short sn_socket_poll(SnSocket *k, short events);
/* Bytes that can be received now, at least as far as one would read. */
size_t sn_socket_readable(SnSocket *k);
/* Why the connection is over, as long as it has not been told: SO_ERROR. */
int sn_socket_take_error(SnSocket *k);
int sn_socket_error(const SnSocket *k);
/* See sn_sockets_heard(). */
bool sn_socket_heard(SnSocket *k);
/* The peer closed it in order, and there is nothing more to receive. */
bool sn_socket_ended(const SnSocket *k);
/* The port that it is connected from; 0: it is not connected. */
uint16_t sn_socket_port(const SnSocket *k);
int sn_socket_family(const SnSocket *k);
/* The address that was connected to; 0 bytes long before. */
const struct sockaddr *sn_socket_peer(const SnSocket *k, socklen_t *len);
/* What was sent since the last flush leaves. */
void sn_socket_flush(SnSocket *k);

/* names.c: as getaddrinfo() of the C library, without asking anybody. */
int sn_names_getaddrinfo(SnSockets *s, const char *node, const char *service,
                         const struct addrinfo *hints, struct addrinfo **res);
/* False when @ai is not one of ours. */
bool sn_names_freeaddrinfo(struct addrinfo *ai);
/*
 * What sn_net_connect() takes for @addr: the name that it stands for, or the
 * address as text. The caller frees it. NULL when it is neither.
 */
char *sn_names_host(const SnSockets *s, const struct sockaddr *addr,
                    socklen_t len, uint16_t *port);

#endif
