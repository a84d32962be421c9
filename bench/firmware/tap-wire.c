/*
 * The benchmark's wire to a kernel.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap-wire.h"
#include "wire-peer.h"

enum { FRAMES_PER_TURN = 64, MAX_IOV = 128, CHUNK = 256 * 1024 };

static int tap = -1;
static uint8_t buffer[65536 + 64];

/* ---- the target ---- */

static void send_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, 0);

        if (n <= 0) {
            exit(0);            /* the benchmark is over */
        }
        data += n;
        len -= n;
    }
}

static void serve(int fd)
{
    static uint8_t in[CHUNK], out[CHUNK + ANSWER_LEN];
    size_t have = 0, skip = 0;

    for (;;) {
        ssize_t n = recv(fd, in + have, sizeof(in) - have, 0);
        size_t at = 0;

        if (n <= 0) {
            exit(0);
        }
        have += n;
        for (;;) {
            size_t drop = MIN(skip, have - at);
            Command c;

            at += drop;
            skip -= drop;
            if (drop && !skip) {
                send_all(fd, out, ANSWER_LEN);
            }
            if (skip || have - at < COMMAND_LEN) {
                break;
            }
            memcpy(&c, in + at, sizeof(c));
            at += COMMAND_LEN;
            if (c.write) {
                skip = c.len;
            } else {
                send_all(fd, out, ANSWER_LEN + MIN(c.len, CHUNK));
            }
        }
        memmove(in, in + at, have - at);
        have -= at;
    }
}

static void target(int listener)
{
    int one = 1, fd;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = accept(listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    serve(fd);
}

/* ---- the tap ---- */

static bool configure(const char *name)
{
    struct ifreq ifr = { 0 };
    struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok;

    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    sin->sin_family = AF_INET;
    inet_pton(AF_INET, "192.0.2.2", &sin->sin_addr);
    ok = ioctl(fd, SIOCSIFADDR, &ifr) == 0;
    inet_pton(AF_INET, "255.255.255.0", &sin->sin_addr);
    ok = ok && ioctl(fd, SIOCSIFNETMASK, &ifr) == 0 &&
         ioctl(fd, SIOCGIFFLAGS, &ifr) == 0;
    ifr.ifr_flags |= IFF_UP;
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
    close(fd);
    return ok;
}

static int listen_here(void)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(4420) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 1)) {
        close(fd);
        return -1;
    }
    return fd;
}

bool tap_wire_open(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int listener;

    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
        fprintf(stderr, "no network namespace: %s\n", strerror(errno));
        return false;
    }
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &ifr) ||
        ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) ||
        !configure(ifr.ifr_name) || (listener = listen_here()) < 0) {
        fprintf(stderr, "no tap: %s\n", strerror(errno));
        return false;
    }
    if (fork() == 0) {
        target(listener);
    }
    close(listener);
    return true;
}

bool tap_wire_transmit(void *opaque, const SnFrame *frame)
{
    struct virtio_net_hdr hdr = {
        .flags = frame->offload.flags,
        .gso_type = frame->offload.gso_type,
        .hdr_len = frame->offload.hdr_len,
        .gso_size = frame->offload.gso_size,
        .csum_start = frame->offload.csum_start,
        .csum_offset = frame->offload.csum_offset,
    };
    struct iovec iov[MAX_IOV + 1] = { { &hdr, sizeof(hdr) } };

    if (frame->iovcnt > MAX_IOV) {
        return false;
    }
    memcpy(iov + 1, frame->iov, frame->iovcnt * sizeof(*iov));
    return writev(tap, iov, frame->iovcnt + 1) > 0;
}

bool tap_wire_receive(SnFirmware *fw)
{
    int i;

    for (i = 0; i < FRAMES_PER_TURN && sn_fw_can_input(fw); i++) {
        struct virtio_net_hdr hdr;
        struct iovec iov = { buffer + sizeof(hdr) };
        SnFrame frame = { .iov = &iov, .iovcnt = 1 };
        ssize_t n = read(tap, buffer, sizeof(buffer));

        if (n < (ssize_t)sizeof(hdr)) {
            break;
        }
        memcpy(&hdr, buffer, sizeof(hdr));
        frame.len = iov.iov_len = n - sizeof(hdr);
        frame.offload = (SnOffload){ hdr.flags, hdr.gso_type, hdr.hdr_len,
                                     hdr.gso_size, hdr.csum_start,
                                     hdr.csum_offset };
        sn_fw_input(fw, &frame);
    }
    return i > 0;
}

void tap_wire_wait(int ms)
{
    struct pollfd pfd = { tap, POLLIN };

    poll(&pfd, 1, ms);
}
