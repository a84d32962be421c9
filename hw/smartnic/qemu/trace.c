/*
 * The plugin's argument trace=PATTERN: which of the card's trace events happen,
 * and their way to QEMU's log.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/log.h"

#include "modules.h"
#include "smartnic/trace.h"
#include "trace.h"

/*
 * Where QEMU's own trace events of its log backend go, and in their form:
 * standard error, or the file of -D; with the time when -msg timestamp=on.
 */
static void trace_to_log(const char *line)
{
    if (!qemu_log_enabled()) {
        /* As for QEMU's own; later options may still name the file. */
        qemu_set_log(LOG_TRACE, NULL);
    }
    if (message_with_timestamp) {
        int64_t now = g_get_real_time();

        qemu_log("%d@%" PRId64 ".%06d:%s\n", getpid(), now / G_USEC_PER_SEC,
                 (int)(now % G_USEC_PER_SEC), line);
    } else {
        qemu_log("%s\n", line);
    }
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_name(const SnTraceEvent *event, void *opaque)
{
    g_ptr_array_add(opaque, (void *)event->name);
}

static void list_events(void)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    sn_trace_foreach(add_name, names);
    sn_modules_trace_foreach(add_name, names);
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        printf("smartnic_%s\n", (const char *)names->pdata[i]);
    }
}

/* Nothing of QEMU is used here: a preloaded plugin calls it before main(). */
void sn_qemu_trace(const char *pattern)
{
    if (g_str_equal(pattern, "list") || g_str_equal(pattern, "help")) {
        list_events();
        exit(0);
    }
    if (!(sn_trace_enable(pattern) + sn_modules_trace_enable(pattern))) {
        fprintf(stderr, "smartnic: trace=%s matches no event: trace=list "
                "lists them\n", pattern);
        exit(1);
    }
    sn_trace_set_func(trace_to_log);
}
