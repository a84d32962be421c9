/*
 * Trace events: the table of them, and the line that each makes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "smartnic/trace.h"

#define PREFIX "smartnic_"

/*
 * SN_TRACE_EVENT() puts a pointer to each event into a section of its own,
 * and the linker names its ends. Weak: a program may have no event at all.
 */
extern SnTraceEvent *const __start_sn_trace_events[]
    __attribute__((weak, visibility("hidden")));
extern SnTraceEvent *const __stop_sn_trace_events[]
    __attribute__((weak, visibility("hidden")));

static void trace_to_stderr(const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static SnTraceFunc *trace_func = trace_to_stderr;

void sn_trace_set_func(SnTraceFunc *func)
{
    trace_func = func ? func : trace_to_stderr;
}

void sn_trace_write(const SnTraceEvent *event, const char *fmt, ...)
{
    g_autoptr(GString) line = g_string_new(PREFIX);
    va_list ap;

    g_string_append_printf(line, "%s ", event->name);
    va_start(ap, fmt);
    g_string_append_vprintf(line, fmt, ap);
    va_end(ap);
    trace_func(line->str);
}

void sn_trace_line(const char *line)
{
    trace_func(line);
}

void sn_trace_foreach(void (*func)(const SnTraceEvent *event, void *opaque),
                      void *opaque)
{
    SnTraceEvent *const *e;

    for (e = __start_sn_trace_events; e < __stop_sn_trace_events; e++) {
        func(*e, opaque);
    }
}

unsigned sn_trace_enable(const char *pattern)
{
    SnTraceEvent *const *e;
    unsigned count = 0;

    for (e = __start_sn_trace_events; e < __stop_sn_trace_events; e++) {
        g_autofree char *full = g_strconcat(PREFIX, (*e)->name, NULL);

        if (g_pattern_match_simple(pattern, (*e)->name) ||
            g_pattern_match_simple(pattern, full)) {
            (*e)->on = true;
            count++;
        }
    }
    return count;
}
