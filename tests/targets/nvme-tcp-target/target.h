/*
 * The program's options and clock, and its few global objects: one thread
 * serves everything, so nothing is locked.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct Options {
    const char *listen;         /* ADDR[:PORT] */
    const char *traddr;         /* in the discovery log; NULL: who asks knows */
    const char *nqn;
    const char *control;        /* path of the control socket, or NULL */
    unsigned queues;            /* I/O queues that a controller may have */
    unsigned queue_size;        /* entries */
    unsigned inline_size;       /* bytes of data in a command capsule */
    uint32_t mdts;              /* bytes; 0: as much as 65536 blocks are */
    unsigned max_r2t;           /* R2Ts in flight for one command */
    uint32_t r2t_size;          /* bytes asked for by one R2T */
    uint32_t c2h_size;          /* bytes in one C2HData; 0: any */
    bool success;               /* C2HData may stand for the response */
    unsigned cqt;               /* Command Quiesce Time, milliseconds */
} Options;

extern Options options;

/* Something that happens at a file descriptor. */
typedef struct Watch {
    int fd;
    void (*event)(struct Watch *watch, uint32_t events);
} Watch;

/* Begins to report @events (EPOLL...) at watch->fd; false: out of memory. */
bool watch_add(Watch *watch, uint32_t events);
void watch_change(Watch *watch, uint32_t events);
/* Reports nothing more, even what epoll_wait() has already told. */
void watch_remove(Watch *watch);

/* Something that happens later, once. Part of what it is about. */
typedef struct Timer {
    struct Timer *next;
    uint64_t at;
    bool armed;
    void (*fire)(struct Timer *timer);
} Timer;

/* @ms from now; a timer that runs already is moved. */
void timer_set(Timer *timer, unsigned ms, void (*fire)(Timer *timer));
void timer_stop(Timer *timer);

/* Milliseconds, as of when this round of the loop began. */
uint64_t now_ms(void);

/* Ends the program after this round. */
void target_quit(void);

/* The listening socket. False and errno when it cannot be bound again. */
bool target_listen(bool on);
/* The port that it is bound to. */
unsigned target_port(void);

/* Parses "512", "64k", "10M", "1G"; false when it is no size. */
bool parse_size(const char *text, uint64_t *size);

#define CONTAINER_OF(pointer, type, member) \
    ((type *)((char *)(pointer) - offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
