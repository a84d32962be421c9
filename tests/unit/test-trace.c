/*
 * Trace events: off until a pattern switches them on, and what they write.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(volume_lost);
SN_TRACE_EVENT(volume_ready);
SN_TRACE_EVENT(queue_opened);

static GString *written;
static unsigned evaluated;

static void collect(const char *line)
{
    g_string_append_printf(written, "%s\n", line);
}

static const char *argument(void)
{
    evaluated++;
    return "nic0";
}

static void all_events(void)
{
    sn_trace(volume_lost, "id=%s error=%d", argument(), -5);
    sn_trace(volume_ready, "id=%s", argument());
    sn_trace(queue_opened, "qid=%d", 1);
}

static void set_up(void)
{
    written = g_string_new(NULL);
    evaluated = 0;
    sn_trace_set_func(collect);
}

static void tear_down(void)
{
    g_string_free(written, true);
    sn_trace_set_func(NULL);
    trace_volume_lost.on = false;
    trace_volume_ready.on = false;
    trace_queue_opened.on = false;
}

static void test_off(void)
{
    set_up();
    all_events();
    g_assert_cmpstr(written->str, ==, "");
    g_assert_cmpuint(evaluated, ==, 0);
    tear_down();
}

static void test_pattern(void)
{
    set_up();
    g_assert_cmpuint(sn_trace_enable("volume_*"), ==, 2);
    all_events();
    g_assert_cmpstr(written->str, ==, "smartnic_volume_lost id=nic0 error=-5\n"
                    "smartnic_volume_ready id=nic0\n");
    tear_down();
}

static void test_prefix(void)
{
    set_up();
    g_assert_cmpuint(sn_trace_enable("smartnic_queue_opene?"), ==, 1);
    g_assert_cmpuint(sn_trace_enable("smartnic_nothing"), ==, 0);
    all_events();
    g_assert_cmpstr(written->str, ==, "smartnic_queue_opened qid=1\n");
    tear_down();
}

static void test_everything(void)
{
    set_up();
    g_assert_cmpuint(sn_trace_enable("smartnic*"), ==, 3);
    tear_down();
}

static void count(const SnTraceEvent *event, void *opaque)
{
    unsigned *n = opaque;

    g_assert_nonnull(event->name);
    ++*n;
}

static void test_list(void)
{
    unsigned n = 0;

    sn_trace_foreach(count, &n);
    g_assert_cmpuint(n, ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/off", test_off);
    g_test_add_func("/trace/pattern", test_pattern);
    g_test_add_func("/trace/prefix", test_prefix);
    g_test_add_func("/trace/everything", test_everything);
    g_test_add_func("/trace/list", test_list);
    return g_test_run();
}
