/*
 * A native NVMe/TCP target for tests and benchmarks: one thread, kernel
 * sockets, namespaces in memory or in files, and faults on request.
 *
 *   nvme-tcp-target --listen ADDR[:PORT] --nqn NQN
 *       --ns ID,size=64M[,block=512|4096][,file=PATH][,uuid=UUID] [--ns ...]
 *       [--control PATH]        socket for commands, see control.c
 *       [--traddr ADDR]         what the discovery log says (default: the
 *                               address that the host has connected to)
 *       [--queues N]            I/O queues of a controller (default 16)
 *       [--queue-size N]        entries of each (default 128)
 *       [--ioccsz BYTES]        data in a command capsule (default 8k)
 *       [--mdts BYTES]          a power of two, 0: no limit (default 1M)
 *       [--max-r2t N]           in flight for a command, as far as the host
 *                               allows (default 1)
 *       [--r2t-size BYTES]      asked for by one R2T (default 256k)
 *       [--c2h-size BYTES]      in one C2HData (default: all in one)
 *       [--success on|off]      C2HData may stand for the response (on)
 *       [--cqt MS]              Command Quiesce Time (default 0: none)
 *
 * Port 4420 is the default; with 0 the kernel chooses. "ready ADDR:PORT" on
 * standard output tells that it serves; it does so until SIGTERM.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "control.h"
#include "controller.h"
#include "namespace.h"
#include "target.h"

#define EVENTS_AT_ONCE 64

Options options = {
    .queues = 16,
    .queue_size = 128,
    .inline_size = 8192,
    .mdts = 1 << 20,
    .max_r2t = 1,
    .r2t_size = MAXH2CDATA,
    .success = true,
};

static int epoll_fd;
static uint64_t now;
static Timer *timers;           /* the next one first */
static volatile sig_atomic_t quit;
static struct sockaddr_storage address;
static socklen_t address_len;
static Watch listener = { .fd = -1 };

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
    va_list args;

    fputs("nvme-tcp-target: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* ---- the loop ---- */

uint64_t now_ms(void)
{
    return now;
}

static void look_at_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

bool watch_add(Watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) == 0;
}

void watch_change(Watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    if (watch->event) {
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
    }
}

void watch_remove(Watch *watch)
{
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->event = NULL;
}

void timer_stop(Timer *timer)
{
    if (!timer->armed) {
        return;
    }
    timer->armed = false;
    for (Timer **link = &timers; *link; link = &(*link)->next) {
        if (*link == timer) {
            *link = timer->next;
            return;
        }
    }
}

void timer_set(Timer *timer, unsigned ms, void (*fire)(Timer *timer))
{
    Timer **link = &timers;

    timer_stop(timer);
    timer->at = now + ms;
    timer->fire = fire;
    timer->armed = true;
    while (*link && (*link)->at <= timer->at) {
        link = &(*link)->next;
    }
    timer->next = *link;
    *link = timer;
}

static void fire_timers(void)
{
    while (timers && timers->at <= now) {
        Timer *timer = timers;

        timer_stop(timer);
        timer->fire(timer);
    }
}

static int time_left(void)
{
    if (!timers) {
        return -1;
    }
    return timers->at > now ? MIN(timers->at - now, 3600000) : 0;
}

void target_quit(void)
{
    quit = 1;
}

static void on_signal(int number)
{
    quit = 1;
}

static void serve(void)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!quit) {
        int n = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, time_left());

        look_at_clock();
        for (int i = 0; i < n; i++) {
            Watch *watch = events[i].data.ptr;

            if (watch->event) {
                watch->event(watch, events[i].events);
            }
        }
        fire_timers();
        conn_reap();
        control_reap();
    }
}

/* ---- listening ---- */

static void listener_event(Watch *watch, uint32_t events)
{
    int fd;

    while ((fd = accept4(watch->fd, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        conn_accept(fd);
    }
}

bool target_listen(bool on)
{
    int one = 1;

    if (on == (listener.fd >= 0)) {
        return true;
    }
    if (!on) {
        watch_remove(&listener);
        close(listener.fd);
        listener.fd = -1;
        return true;
    }
    listener.fd = socket(address.ss_family,
                         SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    listener.event = listener_event;
    if (listener.fd < 0) {
        return false;
    }
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener.fd, (struct sockaddr *)&address, address_len) ||
        listen(listener.fd, 128) || !watch_add(&listener, EPOLLIN)) {
        int error = errno;

        close(listener.fd);
        listener.fd = -1;
        errno = error;
        return false;
    }
    /* From now on it is this port, whoever chose it. */
    return getsockname(listener.fd, (struct sockaddr *)&address,
                       &address_len) == 0;
}

/* The port is at the same place for IPv4 and IPv6. */
static in_port_t *port_of_address(void)
{
    return &((struct sockaddr_in *)&address)->sin_port;
}

unsigned target_port(void)
{
    return ntohs(*port_of_address());
}

/* "A.B.C.D[:PORT]" or "[IPv6][:PORT]" */
static void parse_address(const char *text)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = *text == '[';
    size_t len = strcspn(v6 ? text + 1 : text, v6 ? "]" : ":");
    const char *rest = text + (v6 ? 1 : 0) + len;
    struct sockaddr_in *in = (void *)&address;
    struct sockaddr_in6 *in6 = (void *)&address;
    unsigned port = 4420;

    if (len < sizeof(host)) {
        memcpy(host, text + (v6 ? 1 : 0), len);
    }
    rest += v6 && *rest == ']' ? 1 : 0;
    if (*rest && (sscanf(rest, ":%u", &port) != 1 || port > 65535)) {
        die("--listen: no port in \"%s\"", text);
    }
    address.ss_family = v6 ? AF_INET6 : AF_INET;
    address_len = v6 ? sizeof(*in6) : sizeof(*in);
    if (inet_pton(address.ss_family, host,
                  v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) != 1) {
        die("--listen: no address in \"%s\"", text);
    }
    *port_of_address() = htons(port);
}

static void say_ready(void)
{
    char host[INET6_ADDRSTRLEN];
    bool v6 = address.ss_family == AF_INET6;

    inet_ntop(address.ss_family,
              v6 ? (void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                 : (void *)&((struct sockaddr_in *)&address)->sin_addr,
              host, sizeof(host));
    printf(v6 ? "ready [%s]:%u\n" : "ready %s:%u\n", host, target_port());
    fflush(stdout);
}

/* ---- the command line ---- */

bool parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "kmgt";
    char *end;
    const char *unit;
    unsigned shift = 0;

    errno = 0;
    *size = strtoull(text, &end, 10);
    if (errno || end == text || *text == '-') {
        return false;
    }
    if (*end) {
        unit = strchr(units, *end | 0x20);
        if (!unit || end[1]) {
            return false;
        }
        shift = 10 * (unit - units + 1);
    }
    if (*size > UINT64_MAX >> shift) {
        return false;
    }
    *size <<= shift;
    return true;
}

/* A number for option @name within its limits, both included. */
static uint64_t number(const char *name, const char *text, uint64_t min,
                       uint64_t max)
{
    uint64_t value;

    if (!parse_size(text, &value) || value < min || value > max) {
        die("--%s: %llu to %llu, not \"%s\"", name, (unsigned long long)min,
            (unsigned long long)max, text);
    }
    return value;
}

enum { LISTEN, NQN, NS, CONTROL, TRADDR, QUEUES, QUEUE_SIZE, IOCCSZ, MDTS,
       MAX_R2T, R2T_SIZE, C2H_SIZE, SUCCESS, CQT };

static const struct option long_options[] = {
    { "listen", required_argument, NULL, LISTEN },
    { "nqn", required_argument, NULL, NQN },
    { "ns", required_argument, NULL, NS },
    { "control", required_argument, NULL, CONTROL },
    { "traddr", required_argument, NULL, TRADDR },
    { "queues", required_argument, NULL, QUEUES },
    { "queue-size", required_argument, NULL, QUEUE_SIZE },
    { "ioccsz", required_argument, NULL, IOCCSZ },
    { "mdts", required_argument, NULL, MDTS },
    { "max-r2t", required_argument, NULL, MAX_R2T },
    { "r2t-size", required_argument, NULL, R2T_SIZE },
    { "c2h-size", required_argument, NULL, C2H_SIZE },
    { "success", required_argument, NULL, SUCCESS },
    { "cqt", required_argument, NULL, CQT },
    { NULL },
};

static void set_option(int which, const char *name, const char *text)
{
    switch (which) {
    case LISTEN:
        options.listen = text;
        break;
    case NQN:
        options.nqn = text;
        break;
    case NS:
        break;                  /* later: it depends on the name */
    case CONTROL:
        options.control = text;
        break;
    case TRADDR:
        options.traddr = text;
        break;
    case QUEUES:
        options.queues = number(name, text, 1, IO_QUEUES_MAX);
        break;
    case QUEUE_SIZE:
        options.queue_size = number(name, text, 2, QUEUE_SIZE_MAX);
        break;
    case IOCCSZ:
        options.inline_size = number(name, text, 0, 128 << 10) & ~15u;
        break;
    case MDTS:
        options.mdts = number(name, text, 0, 64 << 20);
        if (options.mdts & (options.mdts - 1) ||
            (options.mdts && options.mdts < 8192)) {
            die("--mdts: 0, or a power of two from 8k");
        }
        break;
    case MAX_R2T:
        options.max_r2t = number(name, text, 1, 32);
        break;
    case R2T_SIZE:
        options.r2t_size = number(name, text, 512, 64 << 20) & ~3u;
        break;
    case C2H_SIZE:
        options.c2h_size = number(name, text, 0, 64 << 20) & ~3u;
        break;
    case SUCCESS:
        if (strcmp(text, "on") && strcmp(text, "off")) {
            die("--success: on or off");
        }
        options.success = !strcmp(text, "on");
        break;
    case CQT:
        options.cqt = number(name, text, 0, 65535);
        break;
    default:
        exit(1);                /* getopt has said why */
    }
}

static void parse_options(int argc, char **argv)
{
    const char *why;
    int which, index = 0;

    while ((which = getopt_long(argc, argv, "", long_options, &index)) >= 0) {
        set_option(which, long_options[index].name, optarg);
    }
    if (optind < argc || !options.listen || !options.nqn) {
        die("--listen and --nqn are needed, and nothing but options");
    }
    if (strlen(options.nqn) >= NVME_NQN_LENGTH) {
        die("--nqn: it is too long");
    }
    parse_address(options.listen);
    optind = 1;
    while ((which = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
        why = which == NS ? ns_add_text(optarg) : NULL;
        if (why) {
            die("--ns %s: %s", optarg, why);
        }
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_signal };

    parse_options(argc, argv);
    /* Copies of data with a digest are not worth a system call each. */
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    look_at_clock();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || !target_listen(true)) {
        die("cannot listen at %s: %s", options.listen, strerror(errno));
    }
    if (options.control && !control_listen(options.control)) {
        die("cannot listen at %s: %s", options.control, strerror(errno));
    }
    say_ready();
    serve();
    if (options.control) {
        unlink(options.control);
    }
    return 0;
}
