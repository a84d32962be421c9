/*
 * Log lines: where they go, and how many of one kind.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdio.h>

#include "smartnic/log.h"

static const char *const level_names[] = {
    [SN_LOG_ERROR] = "error",
    [SN_LOG_WARN] = "warning",
    [SN_LOG_INFO] = "info",
};

static void log_to_stderr(SnLogLevel level, const char *line)
{
    fprintf(stderr, "smartnic: %s: %s\n", level_names[level], line);
}

/* Set and read atomically: messages may come from any thread. */
static SnLogFunc *log_func = log_to_stderr;

void sn_log_set_func(SnLogFunc *func)
{
    g_atomic_pointer_set(&log_func, func ? func : log_to_stderr);
}

static void log_line(SnLogLevel level, const char *line)
{
    SnLogFunc *func = g_atomic_pointer_get(&log_func);

    func(level, line);
}

void sn_log(SnLogLevel level, const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    log_line(level, line);
}

/*
 * A bucket of @burst lines: in_window of them are used up, and one comes back
 * whenever interval_ns have passed since window_start.
 */
static bool take_one(SnLogLimit *limit, int64_t now)
{
    if (limit->interval_ns <= 0) {
        return true;
    }
    if (limit->in_window) {
        int64_t back = (now - limit->window_start) / limit->interval_ns;

        limit->in_window -= MIN(back, limit->in_window);
        limit->window_start += back * limit->interval_ns;
    }
    if (limit->in_window == 0) {
        limit->window_start = now;
    }
    if (limit->in_window >= MAX(limit->burst, 1)) {
        return false;
    }
    limit->in_window++;
    return true;
}

void sn_log_limited(SnLogLimit *limit, int64_t now, SnLogLevel level,
                    const char *fmt, ...)
{
    g_autofree char *line = NULL;
    va_list ap;

    if (!take_one(limit, now)) {
        limit->suppressed++;
        return;
    }
    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (limit->suppressed) {
        sn_log(level, "%s (%u more like it were not shown)", line,
               limit->suppressed);
        limit->suppressed = 0;
    } else {
        log_line(level, line);
    }
}
