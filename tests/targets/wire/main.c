/*
 * lossy-wire: a cable between two "-netdev dgram" of QEMU that has faults.
 *
 *   lossy-wire --a LOCAL,REMOTE --b LOCAL,REMOTE [--control PATH]
 *              [--seed N] [--drop P] [--double P] [--reorder P] [--delay P]
 *              [--corrupt P] [--max-delay MS] [--faults N]
 *
 * Paths are of unix datagram sockets: LOCAL is that of this program, REMOTE
 * that of QEMU. P is the chance that this befalls a frame, 0.005 or 1/200; at
 * most one fault befalls each. A late frame is late by up to MS. After N faults
 * all frames pass. The program says "ready" on its standard output and serves
 * until it is ended; then it tells its seed and what it did.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "wire.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

typedef struct End {
    Watch watch;                    /* first: ends are found by it */
    Lane *from;                     /* the lane that begins here */
} End;

static Wire wire;
static End ends[2];
static Watch timer, signals;
static int epoll_fd;
static bool ended;

static __attribute__((noreturn)) void die(const char *what, const char *name)
{
    fprintf(stderr, "lossy-wire: %s: %s\n", name, what);
    exit(1);
}

static uint64_t clock_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SECOND + ts.tv_nsec;
}

void watch_add(Watch *watch)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0) {
        die("epoll_ctl failed", "watch");
    }
}

void watch_remove(Watch *watch)
{
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

static void set_path(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address->sun_path)) {
        die("too long for a socket", path);
    }
    strcpy(address->sun_path, path);
}

int bound_socket(int type, const char *path)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    set_path(&address, path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        die("no socket can be made there", path);
    }
    return fd;
}

static void end_ready(Watch *watch)
{
    End *end = (End *)watch;
    bool limited = wire.plan.left && wire.plan.left != PLAN_UNLIMITED;

    lane_receive(end->from, clock_now());
    if (limited && !wire.plan.left) {
        control_announce("spent\n");
    }
}

static void timer_ready(Watch *watch)
{
    uint64_t expirations;

    if (read(watch->fd, &expirations, sizeof(expirations)) < 0) {
        return;                     /* it was set anew meanwhile */
    }
}

static void signals_ready(Watch *watch)
{
    ended = true;
}

/* Sends what is due, and has the timer ring when more is. */
static void send_all(void)
{
    struct itimerspec at = { { 0 } };
    uint64_t now = clock_now(), next = LANE_NEVER;

    for (int i = 0; i < 2; i++) {
        uint64_t due = lane_send(&wire.lanes[i], now);

        next = due < next ? due : next;
    }
    if (next != LANE_NEVER) {
        at.it_value.tv_sec = next / SECOND;
        at.it_value.tv_nsec = next % SECOND;
    }
    timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* @paths is "LOCAL,REMOTE" of end @index. */
static void open_end(unsigned index, char *paths)
{
    char *remote = strchr(paths, ',');

    if (!remote) {
        die("want LOCAL,REMOTE", paths);
    }
    *remote++ = '\0';
    set_path(&wire.lanes[!index].to, remote);
    ends[index].watch.fd = bound_socket(SOCK_DGRAM, paths);
    ends[index].watch.ready = end_ready;
    ends[index].from = &wire.lanes[index];
    wire.lanes[index].in = wire.lanes[!index].out = ends[index].watch.fd;
    watch_add(&ends[index].watch);
}

static void open_lanes(char *paths[2], unsigned max_delay_ms)
{
    for (int i = 0; i < 2; i++) {
        wire.lanes[i].index = i;
        wire.lanes[i].plan = &wire.plan;
        wire.lanes[i].max_delay_ms = max_delay_ms;
        lane_init(&wire.lanes[i]);
        open_end(i, paths[i]);
    }
}

static void open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals.fd = signalfd(-1, &set, SFD_CLOEXEC);
    signals.ready = signals_ready;
    watch_add(&signals);
}

static uint64_t number(const char *name, const char *text, uint64_t least)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);

    if (end == text || *end || value < least) {
        die("not a good number", name);
    }
    return value;
}

static void parse(int argc, char **argv)
{
    enum { A = 256, B, CONTROL, SEED, MAX_DELAY, FAULTS, CHANCE };
    static const struct option options[] = {
        { "a", required_argument, NULL, A },
        { "b", required_argument, NULL, B },
        { "control", required_argument, NULL, CONTROL },
        { "seed", required_argument, NULL, SEED },
        { "max-delay", required_argument, NULL, MAX_DELAY },
        { "faults", required_argument, NULL, FAULTS },
        { "drop", required_argument, NULL, CHANCE },
        { "double", required_argument, NULL, CHANCE },
        { "reorder", required_argument, NULL, CHANCE },
        { "delay", required_argument, NULL, CHANCE },
        { "corrupt", required_argument, NULL, CHANCE },
        { NULL },
    };
    char *paths[2] = { NULL }, *control = NULL, chance[64];
    unsigned max_delay = 50;
    int option, which;

    while ((option = getopt_long(argc, argv, "", options, &which)) != -1) {
        switch (option) {
        case A:
        case B:
            paths[option - A] = optarg;
            break;
        case CONTROL:
            control = optarg;
            break;
        case SEED:
            wire.plan.seed = number("--seed", optarg, 0);
            break;
        case MAX_DELAY:
            max_delay = number("--max-delay", optarg, 1);
            break;
        case FAULTS:
            wire.plan.left = number("--faults", optarg, 0);
            break;
        case CHANCE:
            snprintf(chance, sizeof(chance), "%s=%s", options[which].name,
                     optarg);
            if (!plan_parse(&wire.plan, chance)) {
                die("not a good chance", chance);
            }
            break;
        default:
            exit(1);                /* getopt_long() has told */
        }
    }
    if (optind < argc || !paths[0] || !paths[1]) {
        die("want --a LOCAL,REMOTE --b LOCAL,REMOTE", "arguments");
    }
    open_lanes(paths, max_delay);
    if (control) {
        control_open(control, &wire);
    }
}

static void run(void)
{
    struct epoll_event event;

    while (!ended) {
        /* One at a time: what a watch does may end another. */
        if (epoll_wait(epoll_fd, &event, 1, -1) > 0) {
            Watch *watch = event.data.ptr;

            watch->ready(watch);
        }
        send_all();
    }
}

int main(int argc, char **argv)
{
    wire.plan.left = PLAN_UNLIMITED;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    timer.ready = timer_ready;
    watch_add(&timer);
    open_signals();
    parse(argc, argv);
    printf("ready\n");
    fflush(stdout);
    run();
    printf("seed %llu", (unsigned long long)wire.plan.seed);
    for (Fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        printf(" %s %llu", fault_names[fault],
               (unsigned long long)wire.plan.done[fault]);
    }
    printf("\n");
    return 0;
}
