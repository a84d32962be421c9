/*
 * The wire: its two directions and who watches over them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "lane.h"
#include "plan.h"

/* What epoll waits for: @ready is called when @fd can be read or has ended. */
typedef struct Watch {
    int fd;
    void (*ready)(struct Watch *watch);
} Watch;

typedef struct Wire {
    Plan plan;
    Lane lanes[2];          /* from end a to end b, and back */
} Wire;

void watch_add(Watch *watch);
void watch_remove(Watch *watch);

/*
 * A unix socket of @type, bound to @path; what was there before is removed.
 * Ends the program in words when that fails.
 */
int bound_socket(int type, const char *path);

/* Serves the control socket at @path. @wire stays the caller's. */
void control_open(const char *path, Wire *wire);

/* Tells each control client @line, which has its newline. */
void control_announce(const char *line);

#endif
