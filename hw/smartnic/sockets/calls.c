/*
 * The socket calls under their POSIX names. Each is ours or the C library's,
 * by the rule in sockets.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* Else fcntl() would be another name for fcntl64(), and both are needed. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sockets-internal.h"

/* What libraries bind to: the modules' version script lets these out. */
#pragma GCC visibility push(default)

/* The function of that name that comes after this object: the C library's. */
#define LIBC(name)                                                         \
    ({                                                                     \
        static __typeof__(&name) libc_##name;                              \
        if (!libc_##name) {                                                \
            libc_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);      \
        }                                                                  \
        libc_##name;                                                       \
    })

/* Makes -1 and errno of a negative errno. */
static ssize_t answer(ssize_t ret)
{
    if (ret < 0) {
        errno = -ret;
        return -1;
    }
    return ret;
}

int socket(int domain, int type, int protocol)
{
    SnSockets *s = sn_sockets_current();

    if (!s) {
        return LIBC(socket)(domain, type, protocol);
    }
    if (domain != AF_INET && domain != AF_INET6) {
        return answer(-EAFNOSUPPORT);
    }
    if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) {
        return answer(-EPROTONOSUPPORT);
    }
    return sn_sockets_open(sn_socket_new(s, domain));
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? answer(sn_socket_bind(k, addr, len))
             : LIBC(bind)(fd, addr, len);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? answer(sn_socket_connect(k, addr, len))
             : LIBC(connect)(fd, addr, len);
}

int close(int fd)
{
    return sn_sockets_find(fd) ? answer(sn_sockets_close(fd))
                               : LIBC(close)(fd);
}

int dup2(int fd, int as)
{
    return sn_sockets_find(fd) || sn_sockets_find(as)
           ? answer(sn_sockets_dup2(fd, as)) : LIBC(dup2)(fd, as);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? answer(sn_socket_send(k, &(struct iovec){ (void *)buf, len },
                                     1))
             : LIBC(send)(fd, buf, len, flags);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags,
               const struct sockaddr *addr, socklen_t addr_len)
{
    return sn_sockets_find(fd) ? send(fd, buf, len, flags)
                               : LIBC(sendto)(fd, buf, len, flags, addr,
                                              addr_len);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? answer(sn_socket_send(k, msg->msg_iov, msg->msg_iovlen))
             : LIBC(sendmsg)(fd, msg, flags);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    return sn_sockets_find(fd) ? send(fd, buf, len, 0)
                               : LIBC(write)(fd, buf, len);
}

ssize_t writev(int fd, const struct iovec *iov, int iovcnt)
{
    SnSocket *k = sn_sockets_find(fd);

    if (!k) {
        return LIBC(writev)(fd, iov, iovcnt);
    }
    return answer(iovcnt < 0 ? -EINVAL : sn_socket_send(k, iov, iovcnt));
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? answer(sn_socket_recv(k, &(struct iovec){ buf, len }, 1,
                                     flags & MSG_PEEK))
             : LIBC(recv)(fd, buf, len, flags);
}

ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags,
                 struct sockaddr *restrict addr, socklen_t *restrict addr_len)
{
    if (!sn_sockets_find(fd)) {
        return LIBC(recvfrom)(fd, buf, len, flags, addr, addr_len);
    }
    if (addr_len) {
        *addr_len = 0;          /* a stream has nothing to say there */
    }
    return recv(fd, buf, len, flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    SnSocket *k = sn_sockets_find(fd);

    if (!k) {
        return LIBC(recvmsg)(fd, msg, flags);
    }
    msg->msg_namelen = 0;
    msg->msg_controllen = 0;
    msg->msg_flags = 0;
    return answer(sn_socket_recv(k, msg->msg_iov, msg->msg_iovlen,
                                 flags & MSG_PEEK));
}

ssize_t read(int fd, void *buf, size_t len)
{
    return sn_sockets_find(fd) ? recv(fd, buf, len, 0)
                               : LIBC(read)(fd, buf, len);
}

ssize_t readv(int fd, const struct iovec *iov, int iovcnt)
{
    SnSocket *k = sn_sockets_find(fd);

    if (!k) {
        return LIBC(readv)(fd, iov, iovcnt);
    }
    return answer(iovcnt < 0 ? -EINVAL
                             : sn_socket_recv(k, iov, iovcnt, false));
}

/* Asks the C library about those that are not ours, without waiting. */
static int poll_others(struct pollfd *fds, nfds_t n)
{
    g_autofree struct pollfd *others = g_memdup2(fds, n * sizeof(*fds));
    int ret;

    for (nfds_t i = 0; i < n; i++) {
        if (sn_sockets_find(others[i].fd)) {
            others[i].fd = -1;  /* poll() passes it over */
        }
    }
    ret = LIBC(poll)(others, n, 0);
    for (nfds_t i = 0; i < n && ret >= 0; i++) {
        if (!sn_sockets_find(fds[i].fd)) {
            fds[i].revents = others[i].revents;
        }
    }
    return ret;
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    nfds_t ours = 0;
    int ready = 0;

    for (nfds_t i = 0; i < n; i++) {
        SnSocket *k = sn_sockets_find(fds[i].fd);

        if (k) {
            fds[i].revents = sn_socket_poll(k, fds[i].events);
            ready += fds[i].revents != 0;
            ours++;
        }
    }
    if (!ours) {
        return LIBC(poll)(fds, n, timeout);
    }
    if (ours < n) {
        int ret = poll_others(fds, n);

        return ret < 0 ? ret : ready + ret;
    }
    return ready;
}

/*
 * The same from a library that was built with _FORTIFY_SOURCE, whose compiler
 * knows the size of the memory, but not what is asked for.
 */
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *restrict buf, size_t len, size_t room,
                       int flags, struct sockaddr *restrict addr,
                       socklen_t *restrict addr_len);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);

ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
    g_assert(len <= room);
    return recv(fd, buf, len, flags);
}

ssize_t __recvfrom_chk(int fd, void *restrict buf, size_t len, size_t room,
                       int flags, struct sockaddr *restrict addr,
                       socklen_t *restrict addr_len)
{
    g_assert(len <= room);
    return recvfrom(fd, buf, len, flags, addr, addr_len);
}

ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
    g_assert(len <= room);
    return read(fd, buf, len);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
    g_assert(n <= room / sizeof(*fds));
    return poll(fds, n, timeout);
}

int getsockopt(int fd, int level, int name, void *restrict value,
               socklen_t *restrict len)
{
    SnSocket *k = sn_sockets_find(fd);
    int n = 0;

    if (!k) {
        return LIBC(getsockopt)(fd, level, name, value, len);
    }
    if (level == SOL_SOCKET && name == SO_ERROR) {
        n = -sn_socket_take_error(k);
    } else if (level == SOL_SOCKET && name == SO_TYPE) {
        n = SOCK_STREAM;
    }
    *len = MIN(*len, sizeof(n));
    memcpy(value, &n, *len);
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    return sn_sockets_find(fd) ? 0
                               : LIBC(setsockopt)(fd, level, name, value, len);
}

static int give_address(const struct sockaddr *from, socklen_t from_len,
                        struct sockaddr *to, socklen_t *len)
{
    memcpy(to, from, MIN(*len, from_len));
    *len = from_len;
    return 0;
}

/* The firmware knows our address; here it is any. */
int getsockname(int fd, struct sockaddr *restrict addr,
                socklen_t *restrict len)
{
    SnSocket *k = sn_sockets_find(fd);
    struct sockaddr_in6 any = { 0 };

    if (!k) {
        return LIBC(getsockname)(fd, addr, len);
    }
    any.sin6_family = sn_socket_family(k);
    return give_address((struct sockaddr *)&any,
                        any.sin6_family == AF_INET
                        ? sizeof(struct sockaddr_in) : sizeof(any), addr, len);
}

int getpeername(int fd, struct sockaddr *restrict addr,
                socklen_t *restrict len)
{
    SnSocket *k = sn_sockets_find(fd);
    const struct sockaddr *peer;
    socklen_t peer_len;

    if (!k) {
        return LIBC(getpeername)(fd, addr, len);
    }
    peer = sn_socket_peer(k, &peer_len);
    return peer_len ? give_address(peer, peer_len, addr, len)
                    : answer(-ENOTCONN);
}

/* fcntl() of a socket of ours, which never blocks. */
static int own_fcntl(int cmd)
{
    switch (cmd) {
    case F_GETFL:
        return O_RDWR | O_NONBLOCK;
    case F_SETFL:
    case F_GETFD:
    case F_SETFD:
        return 0;
    default:
        return answer(-EINVAL);
    }
}

int fcntl(int fd, int cmd, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    return sn_sockets_find(fd) ? own_fcntl(cmd) : LIBC(fcntl)(fd, cmd, arg);
}

int fcntl64(int fd, int cmd, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    return sn_sockets_find(fd) ? own_fcntl(cmd) : LIBC(fcntl64)(fd, cmd, arg);
}

int ioctl(int fd, unsigned long request, ...)
{
    SnSocket *k = sn_sockets_find(fd);
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (!k) {
        return LIBC(ioctl)(fd, request, arg);
    }
    switch (request) {
    case FIONREAD:
        *(int *)arg = sn_socket_readable(k);
        return 0;
    case FIONBIO:
        return 0;
    default:
        return answer(-ENOTTY);
    }
}

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints,
                struct addrinfo **restrict res)
{
    SnSockets *s = sn_sockets_current();

    return s ? sn_names_getaddrinfo(s, node, service, hints, res)
             : LIBC(getaddrinfo)(node, service, hints, res);
}

void freeaddrinfo(struct addrinfo *ai)
{
    if (!sn_names_freeaddrinfo(ai)) {
        LIBC(freeaddrinfo)(ai);
    }
}

int getnameinfo(const struct sockaddr *restrict addr, socklen_t len,
                char *restrict host, socklen_t host_len,
                char *restrict service, socklen_t service_len, int flags)
{
    SnSockets *s = sn_sockets_current();
    g_autofree char *name = NULL;
    uint16_t port;

    if (!s) {
        return LIBC(getnameinfo)(addr, len, host, host_len, service,
                                 service_len, flags);
    }
    name = sn_names_host(s, addr, len, &port);
    if (!name) {
        return EAI_FAMILY;
    }
    if (host && g_strlcpy(host, name, host_len) >= host_len) {
        return EAI_OVERFLOW;
    }
    if (service &&
        g_snprintf(service, service_len, "%u", port) >= service_len) {
        return EAI_OVERFLOW;
    }
    return 0;
}

/* Services have no names here: that would be a file of the host. */
struct servent *getservbyport(int port, const char *protocol)
{
    return sn_sockets_current() ? NULL
                                : LIBC(getservbyport)(port, protocol);
}

#pragma GCC visibility pop
