/*
 * The socket layer: the POSIX calls as a library makes them, over streams to a
 * peer that the test plays.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memory-net.h"
#include "sockets.h"

typedef struct Peer {
    MemoryStream *ms;
    GByteArray *in;
    bool gone;
    MemoryNet *net;             /* has no_acks set when this much has come: */
    size_t last_ack;
} Peer;

typedef struct Bed {
    SnLoop *loop;
    MemoryNet *net;
    SnSockets *s;
    GPtrArray *peers;           /* of Peer, as they came */
    unsigned ready;
    bool refuse;
    int close_in_ready;         /* this descriptor */
} Bed;

static void *accept_peer(void *opaque, MemoryStream *ms)
{
    Bed *b = opaque;
    Peer *p;

    if (b->refuse) {
        return NULL;
    }
    p = g_new0(Peer, 1);
    p->ms = ms;
    p->net = b->net;
    p->in = g_byte_array_new();
    g_ptr_array_add(b->peers, p);
    return p;
}

static void peer_input(void *conn, const uint8_t *bytes, size_t len)
{
    Peer *p = conn;

    g_byte_array_append(p->in, bytes, len);
    if (p->in->len == p->last_ack) {
        p->net->no_acks = true;
    }
}

static void peer_gone(void *conn)
{
    ((Peer *)conn)->gone = true;
}

static const MemoryPeerOps peer_ops = {
    .accept = accept_peer,
    .input = peer_input,
    .gone = peer_gone,
};

static void peer_free(void *p)
{
    g_byte_array_unref(((Peer *)p)->in);
    g_free(p);
}

static void on_ready(void *opaque)
{
    Bed *b = opaque;

    b->ready++;
    if (b->close_in_ready) {
        g_assert_cmpint(close(b->close_in_ready), ==, 0);
        b->close_in_ready = 0;
    }
}

static Bed *bed_new(void)
{
    Bed *b = g_new0(Bed, 1);

    b->loop = test_loop_new();
    b->net = memory_net_new(b->loop, &peer_ops, b, 1);
    b->peers = g_ptr_array_new_with_free_func(peer_free);
    b->s = sn_sockets_new(&b->net->net, b->loop, on_ready, b);
    return b;
}

static void bed_free(Bed *b)
{
    sn_sockets_free(b->s);
    memory_net_free(b->net);
    test_loop_free(b->loop);
    g_ptr_array_unref(b->peers);
    g_free(b);
}

static void settle(Bed *b)
{
    test_loop_run_bhs(b->loop);
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

    g_assert_cmpint(inet_pton(AF_INET, text, &a.sin_addr), ==, 1);
    return a;
}

/* As a library does it; not connected yet. */
static int start_connect(Bed *b)
{
    struct sockaddr_in a = address("10.0.0.1", 3260);
    SnSockets *before = sn_sockets_enter(b->s);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    g_assert_cmpint(fd, >=, SN_SOCKETS_FD);
    g_assert_cmpint(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
                               sizeof(one)), ==, 0);
    g_assert_cmpint(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), ==,
                    0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, -1);
    g_assert_cmpint(errno, ==, EINPROGRESS);
    sn_sockets_leave(b->s, before);
    return fd;
}

static short poll_one(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n = poll(&p, 1, -1);

    g_assert_cmpint(n, ==, p.revents != 0);
    g_assert_cmphex(sn_sockets_poll(fd, events), ==, p.revents);
    return p.revents;
}

static int so_error(int fd)
{
    int err = -1;
    socklen_t len = sizeof(err);

    g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), ==, 0);
    return err;
}

static int connected(Bed *b, Peer **peer)
{
    int fd = start_connect(b);

    g_assert_cmphex(poll_one(fd, POLLIN | POLLOUT), ==, 0);
    settle(b);
    g_assert_cmphex(poll_one(fd, POLLIN | POLLOUT), ==, POLLOUT);
    g_assert_cmpint(so_error(fd), ==, 0);
    *peer = b->peers->pdata[b->peers->len - 1];
    return fd;
}

static void test_connect(void)
{
    Bed *b = bed_new();
    struct sockaddr_in6 name;
    socklen_t len = sizeof(name);
    Peer *p;
    int fd = connected(b, &p);

    g_assert_cmpstr(memory_stream_host(p->ms), ==, "10.0.0.1");
    g_assert_cmpuint(memory_stream_port(p->ms), ==, 3260);
    g_assert_cmphex(memory_stream_flags(p->ms), ==, 0);
    g_assert_cmpuint(b->ready, ==, 1);
    g_assert_cmpint(getpeername(fd, (struct sockaddr *)&name, &len), ==, 0);
    g_assert_cmpuint(len, ==, sizeof(struct sockaddr_in));
    len = sizeof(name);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&name, &len), ==, 0);
    g_assert_cmpint(name.sin6_family, ==, AF_INET);
    g_assert_cmpint(close(fd), ==, 0);
    g_assert_true(p->gone);
    g_assert_cmpint(close(fd), ==, -1);
    g_assert_cmpint(errno, ==, EBADF);
    g_assert_cmphex(sn_sockets_poll(fd, POLLIN), ==, POLLNVAL);
    bed_free(b);
}

static void test_refused(void)
{
    Bed *b = bed_new();
    int fd;
    char c;

    b->refuse = true;
    fd = start_connect(b);
    settle(b);
    g_assert_true(poll_one(fd, POLLOUT) & POLLERR);
    g_assert_cmpint(sn_sockets_error(fd), ==, -ECONNREFUSED);
    g_assert_cmpint(so_error(fd), ==, ECONNREFUSED);
    g_assert_cmpint(so_error(fd), ==, 0);       /* told once */
    g_assert_cmpint(recv(fd, &c, 1, 0), ==, 0);
    bed_free(b);                /* closes what is open */
}

/* Partial and vectored reads, looks, and the end in order. */
static void test_receive_and_eof(void)
{
    Bed *b = bed_new();
    char a[4], c[8], d[32];
    struct iovec v[2] = { { a, 4 }, { c, 8 } };
    Peer *p;
    int fd = connected(b, &p), n;

    g_assert_cmpint(recv(fd, d, sizeof(d), 0), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    memory_stream_send(p->ms, "0123456789abcdef", 16);
    settle(b);
    g_assert_cmphex(poll_one(fd, POLLIN), ==, POLLIN);
    g_assert_cmpint(ioctl(fd, FIONREAD, &n), ==, 0);
    g_assert_cmpint(n, ==, 16);
    g_assert_cmpint(recv(fd, d, 3, MSG_PEEK), ==, 3);
    g_assert_cmpint(readv(fd, v, 2), ==, 12);
    g_assert_cmpmem(a, 4, "0123", 4);
    g_assert_cmpmem(c, 8, "456789ab", 8);
    memory_stream_end(p->ms, 0);
    settle(b);
    g_assert_cmphex(poll_one(fd, POLLIN), ==, POLLIN);
    g_assert_cmpint(read(fd, d, sizeof(d)), ==, 4);
    g_assert_cmpmem(d, 4, "cdef", 4);
    g_assert_cmphex(poll_one(fd, POLLIN), ==, POLLIN);
    g_assert_cmpint(read(fd, d, sizeof(d)), ==, 0);
    g_assert_cmpint(send(fd, "x", 1, MSG_NOSIGNAL), ==, -1);
    g_assert_cmpint(errno, ==, EPIPE);
    g_assert_cmpint(close(fd), ==, 0);
    bed_free(b);
}

/* What came before a reset can be read; then the reset shows. */
static void test_reset(void)
{
    Bed *b = bed_new();
    char d[8];
    Peer *p;
    int fd = connected(b, &p);

    memory_stream_send(p->ms, "abc", 3);
    settle(b);
    memory_stream_end(p->ms, -ECONNRESET);
    settle(b);
    g_assert_cmphex(poll_one(fd, POLLIN) & POLLIN, ==, POLLIN);
    g_assert_cmpint(recv(fd, d, 8, 0), ==, 3);
    g_assert_true(poll_one(fd, POLLIN) & POLLERR);
    g_assert_cmpint(recv(fd, d, 8, 0), ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
    g_assert_cmpint(recv(fd, d, 8, 0), ==, 0);
    bed_free(b);
}

/* More than a socket takes: EAGAIN, then POLLOUT when there is room. */
static void test_full(void)
{
    Bed *b = bed_new();
    g_autofree uint8_t *data = g_malloc(3 << 20);
    size_t sent = 0, ready;
    SnSockets *before;
    ssize_t n;
    Peer *p;
    int fd = connected(b, &p);

    for (size_t i = 0; i < 3 << 20; i++) {
        data[i] = i * 7 + (i >> 8);
    }
    b->net->stalled = true;
    before = sn_sockets_enter(b->s);
    while ((n = send(fd, data + sent, (3 << 20) - sent, 0)) > 0) {
        sent += n;
    }
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpuint(sent, ==, 1 << 20);
    g_assert_cmphex(poll_one(fd, POLLOUT), ==, 0);
    sn_sockets_leave(b->s, before);
    b->net->stalled = false;
    memory_stream_send(p->ms, "go", 2);         /* things move again */
    ready = b->ready;
    while (sent < 3 << 20) {
        before = sn_sockets_enter(b->s);
        n = send(fd, data + sent, MIN((3 << 20) - sent, 77777), 0);
        sent += MAX(n, 0);
        sn_sockets_leave(b->s, before);
        settle(b);
    }
    settle(b);
    g_assert_cmpuint(b->ready, >, ready);
    g_assert_cmpmem(p->in->data, p->in->len, data, 3 << 20);
    g_assert_cmpint(close(fd), ==, 0);
    bed_free(b);
}

/* Random reads and writes in both directions, against a plain model. */
static void test_model(void)
{
    Bed *b = bed_new();
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GByteArray) in = g_byte_array_new();
    g_autoptr(GByteArray) got = g_byte_array_new();
    GRand *rand = g_rand_new_with_seed(5);
    uint8_t buf[5000], more[3000];
    Peer *p;
    int fd = connected(b, &p);

    for (unsigned i = 0; i < 3000; i++) {
        SnSockets *before = sn_sockets_enter(b->s);
        size_t len = g_rand_int_range(rand, 1, sizeof(buf));
        struct iovec v[2] = { { buf, len }, { more, sizeof(more) } };
        ssize_t n;

        b->net->grain = g_rand_int_range(rand, 1, 4000);
        for (size_t k = 0; k < len; k++) {
            buf[k] = g_rand_int(rand);
        }
        if (g_rand_boolean(rand)) {
            n = writev(fd, v, 1);
            g_byte_array_append(out, buf, MAX(n, 0));
        } else {
            memory_stream_send(p->ms, buf, len);
            g_byte_array_append(in, buf, len);
        }
        n = readv(fd, v, 2);
        if (n > 0) {
            g_byte_array_append(got, buf, MIN(n, len));
            g_byte_array_append(got, more, n - MIN(n, len));
        }
        sn_sockets_leave(b->s, before);
        settle(b);
    }
    for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0; ) {
        g_byte_array_append(got, buf, n);
    }
    g_assert_cmpmem(got->data, got->len, in->data, in->len);
    g_assert_cmpmem(p->in->data, p->in->len, out->data, out->len);
    g_rand_free(rand);
    g_assert_cmpint(close(fd), ==, 0);
    bed_free(b);
}

/* libnfs puts a new socket in the place of an old one. */
static void test_dup2(void)
{
    Bed *b = bed_new();
    Peer *old, *new;
    int fd = connected(b, &old), other = connected(b, &new);

    g_assert_cmpint(dup2(other, fd), ==, fd);
    g_assert_true(old->gone);
    g_assert_cmpint(close(other), ==, 0);
    g_assert_false(new->gone);
    g_assert_cmpint(send(fd, "hi", 2, 0), ==, 2);
    settle(b);
    g_assert_cmpmem(new->in->data, new->in->len, "hi", 2);
    g_assert_cmpint(dup2(fd, 1), ==, -1);
    g_assert_cmpint(close(fd), ==, 0);
    g_assert_true(new->gone);
    bed_free(b);
}

static void test_two_sets(void)
{
    Bed *a = bed_new(), *b = bed_new();
    Peer *pa, *pb;
    SnSockets *before, *inner;
    int fa = connected(a, &pa), fb = connected(b, &pb);

    g_assert_cmpint(fa, !=, fb);
    before = sn_sockets_enter(a->s);
    g_assert_cmpint(send(fa, "to a", 4, 0), ==, 4);
    inner = sn_sockets_enter(b->s);
    g_assert_cmpint(send(fb, "to b", 4, 0), ==, 4);
    sn_sockets_leave(b->s, inner);
    sn_sockets_leave(a->s, before);
    settle(a);
    settle(b);
    g_assert_cmpmem(pa->in->data, pa->in->len, "to a", 4);
    g_assert_cmpmem(pb->in->data, pb->in->len, "to b", 4);
    bed_free(a);
    g_assert_cmpint(send(fb, "!", 1, 0), ==, 1);
    bed_free(b);
}

static void test_close_in_ready(void)
{
    Bed *b = bed_new();
    Peer *p;
    int fd = connected(b, &p);

    memory_stream_send(p->ms, "abc", 3);
    b->close_in_ready = fd;
    settle(b);
    g_assert_true(p->gone);
    fd = start_connect(b);
    b->close_in_ready = fd;
    settle(b);
    g_assert_cmphex(sn_sockets_poll(fd, POLLIN), ==, POLLNVAL);
    bed_free(b);
}

/* A name is the firmware's to look up. */
static void test_names(void)
{
    Bed *b = bed_new();
    SnSockets *before = sn_sockets_enter(b->s);
    struct addrinfo *ai, hints = { .ai_socktype = SOCK_STREAM };
    char host[64], port[8];
    int fd;

    g_assert_cmpint(getaddrinfo("disk.example", "2049", &hints, &ai), ==, 0);
    g_assert_cmpint(getnameinfo(ai->ai_addr, ai->ai_addrlen, host, 64, port,
                                8, 0), ==, 0);
    g_assert_cmpstr(host, ==, "disk.example");
    g_assert_cmpstr(port, ==, "2049");
    fd = socket(ai->ai_family, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fd, ai->ai_addr, ai->ai_addrlen), ==, -1);
    freeaddrinfo(ai);
    g_assert_cmpint(getaddrinfo("fd00::1", NULL, NULL, &ai), ==, 0);
    g_assert_cmpint(ai->ai_family, ==, AF_INET6);
    freeaddrinfo(ai);
    hints.ai_flags = AI_NUMERICHOST;
    g_assert_cmpint(getaddrinfo("disk.example", "1", &hints, &ai), ==,
                    EAI_NONAME);
    hints.ai_socktype = SOCK_DGRAM;
    g_assert_cmpint(getaddrinfo("disk.example", "1", &hints, &ai), ==,
                    EAI_SOCKTYPE);
    sn_sockets_leave(b->s, before);
    settle(b);
    g_assert_cmpstr(memory_stream_host(((Peer *)b->peers->pdata[0])->ms), ==,
                    "disk.example");
    bed_free(b);
}

static void test_reserved_port(void)
{
    Bed *b = bed_new();
    struct sockaddr_in from = { .sin_family = AF_INET,
                                .sin_port = htons(700) };
    struct sockaddr_in to = address("10.0.0.1", 2049);
    SnSockets *before = sn_sockets_enter(b->s);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&from, sizeof(from)), ==, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof(to)), ==, -1);
    sn_sockets_leave(b->s, before);
    settle(b);
    g_assert_cmphex(memory_stream_flags(((Peer *)b->peers->pdata[0])->ms), ==,
                    SN_NET_RESERVED_PORT);
    bed_free(b);
}

/* The user of the library chooses, whatever that bound to. */
static void test_from_port(void)
{
    Bed *b = bed_new();
    Peer *p;
    int fd;

    sn_sockets_set_port(b->s, 800);
    fd = connected(b, &p);
    g_assert_cmphex(memory_stream_flags(p->ms), ==, SN_NET_FROM_PORT(800));
    g_assert_cmpuint(sn_sockets_port(fd), ==, 800);
    sn_sockets_set_port(b->s, 0);
    fd = connected(b, &p);
    g_assert_cmphex(memory_stream_flags(p->ms), ==, 0);
    g_assert_cmpuint(sn_sockets_port(fd), !=, 800);
    g_assert_cmpuint(sn_sockets_port(fd + 1), ==, 0);
    bed_free(b);
}

static bool no_seven(void *opaque, const uint8_t *bytes, size_t len)
{
    unsigned *begun = opaque;

    *begun += !len;
    return !len || !memchr(bytes, 7, len);
}

static void test_check(void)
{
    Bed *b = bed_new();
    unsigned begun = 0;
    uint8_t d[8];
    Peer *p;
    int fd;

    sn_sockets_set_check(b->s, no_seven, &begun);
    fd = connected(b, &p);
    g_assert_cmpuint(begun, ==, 1);
    memory_stream_send(p->ms, "\1\2\3\7\5", 5);
    settle(b);
    g_assert_cmpint(recv(fd, d, 2, MSG_PEEK), ==, 2);
    g_assert_cmpint(recv(fd, d, 2, 0), ==, 2);
    g_assert_cmpint(recv(fd, d, 8, 0), ==, -1);
    g_assert_cmpint(errno, ==, EPROTO);
    g_assert_cmpint(sn_sockets_error(fd), ==, -EPROTO);
    bed_free(b);
}

/* Who is not on a card has the kernel's sockets. */
static void test_others_are_the_kernels(void)
{
    Bed *b = bed_new();
    Peer *p;
    int fd = connected(b, &p), pipes[2], n;
    char c = 0;
    struct pollfd both[2];

    n = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(n, <, SN_SOCKETS_FD);
    g_assert_cmpint(close(n), ==, 0);
    g_assert_cmpint(pipe(pipes), ==, 0);
    both[0] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
    both[1] = (struct pollfd){ .fd = fd, .events = POLLOUT };
    g_assert_cmpint(poll(both, 2, -1), ==, 1);
    g_assert_cmphex(both[1].revents, ==, POLLOUT);
    g_assert_cmpint(write(pipes[1], "x", 1), ==, 1);
    g_assert_cmpint(poll(both, 2, -1), ==, 2);
    g_assert_cmpint(read(pipes[0], &c, 1), ==, 1);
    g_assert_cmpint(c, ==, 'x');
    /* One that is to be passed over. */
    both[0].fd = -1;
    both[0].revents = POLLIN;
    g_assert_cmpint(poll(both, 2, -1), ==, 1);
    g_assert_cmphex(both[0].revents, ==, 0);
    close(pipes[0]);
    close(pipes[1]);
    bed_free(b);
}

/* What is full in the middle of a call tells of room, too. */
static void test_partly_full(void)
{
    Bed *b = bed_new();
    g_autofree uint8_t *data = g_malloc0(3 << 20);
    unsigned ready;
    Peer *p;
    int fd = connected(b, &p);

    b->net->no_acks = true;
    g_assert_cmpint(send(fd, data, 3 << 20, 0), ==, 1 << 20);
    settle(b);
    ready = b->ready;
    b->net->no_acks = false;
    memory_net_wake(b->net);
    settle(b);
    g_assert_cmpuint(b->ready, >, ready);
    bed_free(b);
}

static void test_heard(void)
{
    Bed *b = bed_new();
    g_autofree uint8_t *data = g_malloc0(1 << 20);
    Peer *p;
    int fd = connected(b, &p);

    sn_sockets_heard(fd);
    g_assert_false(sn_sockets_heard(fd));
    memory_stream_send(p->ms, "x", 1);
    settle(b);
    g_assert_true(sn_sockets_heard(fd));
    g_assert_false(sn_sockets_heard(fd));
    /* All of it is acknowledged: that is no sign of more than a kernel. */
    g_assert_cmpint(send(fd, "y", 1, 0), ==, 1);
    settle(b);
    g_assert_false(sn_sockets_heard(fd));
    /* Some of it: as much as its own speed allows. */
    b->net->no_acks = true;
    g_assert_cmpint(send(fd, "y", 1, 0), ==, 1);
    settle(b);
    g_assert_false(sn_sockets_heard(fd));
    b->net->no_acks = false;
    b->net->grain = 1;
    memory_net_wake(b->net);
    g_assert_cmpint(send(fd, data, 1000, 0), ==, 1000);
    p->last_ack = p->in->len + 5;
    settle(b);
    g_assert_true(sn_sockets_heard(fd));
    bed_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sockets/connect", test_connect);
    g_test_add_func("/sockets/refused", test_refused);
    g_test_add_func("/sockets/receive-and-eof", test_receive_and_eof);
    g_test_add_func("/sockets/reset", test_reset);
    g_test_add_func("/sockets/full", test_full);
    g_test_add_func("/sockets/model", test_model);
    g_test_add_func("/sockets/dup2", test_dup2);
    g_test_add_func("/sockets/two-sets", test_two_sets);
    g_test_add_func("/sockets/close-in-ready", test_close_in_ready);
    g_test_add_func("/sockets/names", test_names);
    g_test_add_func("/sockets/reserved-port", test_reserved_port);
    g_test_add_func("/sockets/from-port", test_from_port);
    g_test_add_func("/sockets/check", test_check);
    g_test_add_func("/sockets/partly-full", test_partly_full);
    g_test_add_func("/sockets/heard", test_heard);
    g_test_add_func("/sockets/others-are-the-kernels",
                    test_others_are_the_kernels);
    return g_test_run();
}
