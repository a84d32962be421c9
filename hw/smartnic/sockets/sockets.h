/*
 * The firmware's socket layer: the POSIX socket calls that libraries such as
 * libiscsi and libnfs make, over streams of the card's firmware.
 *
 * It defines socket(), connect(), readv(), poll() and so on under their own
 * names, in the object that it is linked into: a backend module, where the
 * module's library finds them first (the module is opened with
 * RTLD_DEEPBIND), or a test program. A call that comes
 *
 *  - with one of our descriptors (they are at SN_SOCKETS_FD and above, where
 *    the kernel has none) is ours;
 *  - from between sn_sockets_enter() and sn_sockets_leave(), and makes a new
 *    socket or looks up a name, is ours;
 *  - otherwise goes to the C library: not everybody who shares the library
 *    runs on a card.
 *
 * No call waits. A socket is non-blocking whatever O_NONBLOCK says: connect()
 * fails with EINPROGRESS, then poll() tells POLLOUT; send() and recv() fail
 * with EAGAIN; poll() returns at once. Only stream sockets of IPv4 and IPv6
 * exist, and their options are taken but mean nothing: streams send at once
 * anyway. getaddrinfo() does not look names up but gives an address that stands
 * for the name, in a range that is nobody's (0.0.0.0/8, RFC 1122 section
 * 3.2.1.3); connect() leaves the look-up to the firmware. bind() only knows
 * whether the port is a reserved one (below 1024): the firmware chooses it, or
 * sn_sockets_set_port() did.
 *
 * Sending copies into memory of the socket, which leaves as one write per
 * turn (sn_sockets_leave()); receiving copies once, out of the frames to where
 * the library wants it.
 *
 * Everything happens in the card's thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SOCKETS_H
#define SMARTNIC_SOCKETS_H

#include <stdbool.h>

#include "smartnic/loop.h"
#include "smartnic/stream.h"

/* The sockets of one user (a backend's volume). */
typedef struct SnSockets SnSockets;

#define SN_SOCKETS_FD (1 << 24)

/*
 * @ready is called, from the loop, when sn_sockets_poll() of a socket says
 * something new. It may do anything, also free the sockets. @net and @loop
 * outlive the result. Free it with sn_sockets_free().
 */
SnSockets *sn_sockets_new(SnNet *net, SnLoop *loop, SnLoopFunc *ready,
                          void *opaque);

/*
 * Looks at what a socket receives, in order, before the library does: @len
 * @bytes, or 0 when the socket is new. False: these are not fit for the library;
 * the connection is over (-EPROTO).
 */
typedef bool SnSocketsCheck(void *opaque, const uint8_t *bytes, size_t len);

/* For the sockets that are made from now on; NULL: none. */
void sn_sockets_set_check(SnSockets *s, SnSocketsCheck *check, void *opaque);

/*
 * The port that the sockets which are made from now on come from when it is
 * free, whatever bind() says (SN_NET_FROM_PORT()); 0: none in particular.
 */
void sn_sockets_set_port(SnSockets *s, uint16_t port);

/* How many sockets the library has made in @s so far. */
unsigned sn_sockets_made(const SnSockets *s);

/* Closes what is still open, too. Not between enter() and leave(). */
void sn_sockets_free(SnSockets *s);

/*
 * Around every call into the library: makes it run on @s. Returns what was
 * entered before, for sn_sockets_leave(), which lets the turn's data go.
 */
SnSockets *sn_sockets_enter(SnSockets *s);
void sn_sockets_leave(SnSockets *s, SnSockets *before);

/*
 * What poll() would say now about @fd, of @events (POLLIN, POLLOUT), and
 * POLLERR, POLLHUP; POLLNVAL when @fd is not an open socket of ours, as when
 * the library does not run on our sockets at all.
 */
short sn_sockets_poll(int fd, short events);

/*
 * Why the connection of @fd is over: a negative errno as SnStreamEvents has
 * it, or 0 (not over, or the peer closed it in order).
 */
int sn_sockets_error(int fd);

/*
 * Whether the peer of @fd lives, as far as was seen since the last call: it
 * sent something, or acknowledged some of what still waits to be.
 */
bool sn_sockets_heard(int fd);

/* Whether the peer closed @fd's connection in order, and all is read. */
bool sn_sockets_ended(int fd);

/* The port that @fd is connected from; 0: it is not connected. */
uint16_t sn_sockets_port(int fd);

#endif
