/*
 * The other end of the card's cable.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/socket.h>

#include "peer.h"

void peer_open(Peer *peer, PeerKind kind)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, kind == PEER_STREAM ? SOCK_STREAM
                                                            : SOCK_DGRAM,
                               0, fds), ==, 0);
    peer->kind = kind;
    peer->fd = fds[0];
    peer->qemu_fd = fds[1];
    g_assert_cmpint(fcntl(peer->fd, F_SETFD, FD_CLOEXEC), ==, 0);
    peer->netdev = kind == PEER_STREAM
        ? g_strdup_printf("-netdev stream,id=n0,server=off,addr.type=fd,"
                          "addr.str=%d ", peer->qemu_fd)
        : g_strdup_printf("-netdev dgram,id=n0,local.type=fd,local.str=%d ",
                          peer->qemu_fd);
}

void peer_started(Peer *peer)
{
    close(peer->qemu_fd);
}

void peer_close(Peer *peer)
{
    close(peer->fd);
    g_free(peer->netdev);
}

static void send_all(Peer *peer, const struct iovec *iov, unsigned cnt,
                     size_t len)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = cnt };

    /* Blocking, and far less than a socket's buffer: never in part. */
    g_assert_cmpint(sendmsg(peer->fd, &msg, MSG_NOSIGNAL), ==, len);
}

void peer_send(Peer *peer, const void *frame, size_t len)
{
    uint32_t prefix = htonl(len);
    struct iovec iov[] = {
        { &prefix, sizeof(prefix) }, { (void *)frame, len },
    };

    if (peer->kind == PEER_STREAM) {
        send_all(peer, iov, 2, sizeof(prefix) + len);
    } else {
        send_all(peer, iov + 1, 1, len);
    }
}

static void wait_readable(Peer *peer)
{
    struct pollfd pfd = { .fd = peer->fd, .events = POLLIN };

    if (poll(&pfd, 1, MACHINE_TIMEOUT_US / 1000) != 1) {
        g_error("no frame from the card");
    }
}

static void receive_all(Peer *peer, void *buf, size_t len)
{
    for (size_t done = 0; done < len; ) {
        ssize_t n;

        wait_readable(peer);
        n = recv(peer->fd, (char *)buf + done, len - done, 0);
        g_assert_cmpint(n, >, 0);
        done += n;
    }
}

void peer_receive(Peer *peer, Frame *frame)
{
    if (peer->kind == PEER_STREAM) {
        uint32_t prefix;

        receive_all(peer, &prefix, sizeof(prefix));
        frame->len = ntohl(prefix);
        g_assert_cmpuint(frame->len, <=, sizeof(frame->data));
        receive_all(peer, frame->data, frame->len);
    } else {
        ssize_t n;

        wait_readable(peer);
        n = recv(peer->fd, frame->data, sizeof(frame->data), 0);
        g_assert_cmpint(n, >, 0);
        frame->len = n;
    }
    g_assert_cmpuint(frame->len, >=, ETH_HLEN);
}

void peer_receive_matching(Peer *peer, Frame *frame, FrameMatch *match,
                           FrameMatch *never, const void *opaque)
{
    for (;;) {
        peer_receive(peer, frame);
        if (match(frame, opaque)) {
            return;
        }
        if (never && never(frame, opaque)) {
            g_error("the card sent a frame that it must not send");
        }
    }
}
