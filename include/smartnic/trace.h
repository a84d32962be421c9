/*
 * Trace events, from any box: what happened, for whoever debugs a driver, a
 * target or this card. QEMU's own -trace knows only the events that it was
 * built with, so ours are switched by the plugin's argument trace=PATTERN.
 *
 * An event costs one load and one branch while it is off. Names are in QEMU's
 * style: box_noun_verb, for example nvmetcp_queue_connected; the prefix
 * "smartnic_" is added where they are shown. Never trace a secret, or bytes of
 * a peer that are not escaped.
 *
 *     SN_TRACE_EVENT(volume_lost);
 *     ...
 *     sn_trace(volume_lost, "id=%s error=%s", vol->id, vol->last_error);
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_TRACE_H
#define SMARTNIC_TRACE_H

#include <glib.h>
#include <stdbool.h>

typedef struct SnTraceEvent {
    const char *name;
    bool on;
} SnTraceEvent;

/* Defines an event for the file that it stands in, switched off. */
#define SN_TRACE_EVENT(event)                                              \
    static SnTraceEvent trace_##event = { .name = #event };                \
    static SnTraceEvent *const trace_entry_##event                         \
        __attribute__((used, section("sn_trace_events"))) = &trace_##event

/* The arguments are evaluated only when the event is on. */
#define sn_trace(event, ...)                                               \
    do {                                                                   \
        if (G_UNLIKELY(trace_##event.on)) {                                \
            sn_trace_write(&trace_##event, __VA_ARGS__);                   \
        }                                                                  \
    } while (0)

void sn_trace_write(const SnTraceEvent *event, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* A line that is complete, from a module's own sn_trace_write(). */
void sn_trace_line(const char *line);

/*
 * Switches on the events whose names, with or without "smartnic_", match
 * @pattern, in which * stands for any characters and ? for one. Returns how
 * many there are. Main thread, before the events happen.
 */
unsigned sn_trace_enable(const char *pattern);

/* Calls @func with each event, for a list of them. */
void sn_trace_foreach(void (*func)(const SnTraceEvent *event, void *opaque),
                      void *opaque);

typedef void SnTraceFunc(const char *line);

/*
 * Where lines go, without a newline at their end; NULL restores standard
 * error. Main thread, before the events happen.
 */
void sn_trace_set_func(SnTraceFunc *func);

#endif
