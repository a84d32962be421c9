/*
 * What a person needs to know, from any box.
 *
 * The adapter routes messages to QEMU's error and warning reports; without an
 * adapter (unit tests) they go to standard error. One line per call, no
 * newline at the end, never a secret. Bytes that came from a peer or a guest
 * must be limited and escaped by the caller.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_LOG_H
#define SMARTNIC_LOG_H

#include <glib.h>
#include <stdarg.h>
#include <stdint.h>

typedef enum SnLogLevel {
    SN_LOG_ERROR,               /* something failed for good */
    SN_LOG_WARN,                /* something is wrong and is being retried */
    SN_LOG_INFO,                /* something a person waits for happened */
} SnLogLevel;

typedef void SnLogFunc(SnLogLevel level, const char *line);

/* Where lines go from now on; NULL restores standard error. Any thread. */
void sn_log_set_func(SnLogFunc *func);

void sn_log(SnLogLevel level, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * A limit for one kind of message: at most @burst lines, then one per
 * @interval_ns; suppressed lines are counted and told in the next one.
 * Zero-initialised apart from these two fields.
 */
typedef struct SnLogLimit {
    unsigned burst;
    int64_t interval_ns;
    /* private */
    int64_t window_start;
    unsigned in_window;
    unsigned suppressed;
} SnLogLimit;

/* sn_log() when @limit allows it at time @now (nanoseconds, SnLoop's clock). */
void sn_log_limited(SnLogLimit *limit, int64_t now, SnLogLevel level,
                    const char *fmt, ...) G_GNUC_PRINTF(4, 5);

#endif
