/*
 * The control socket: lines in, lines out. See docs of the commands in
 * control.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_CONTROL_H
#define TARGET_CONTROL_H

#include <stdbool.h>

/* Listens at @path; false and errno when that cannot be. */
bool control_listen(const char *path);

/* A line (with its end) for everybody who is connected. */
__attribute__((format(printf, 1, 2)))
void control_announce(const char *format, ...);

/* Frees clients that have gone. Once per round of the loop. */
void control_reap(void);

#endif
