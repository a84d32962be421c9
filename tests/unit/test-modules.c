/*
 * Backend modules: the example, and what is not one.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "backend-checks.h"
#include "modules.h"

static char *folder;

/* Puts a module of the build where the plugin looks, as @scheme's. */
static void install(const char *module, const char *scheme)
{
    g_autofree char *from = g_strdup_printf(
        "%s/smartnic-%s.so", g_getenv("TEST_MODULES"), module);
    g_autofree char *to = g_strdup_printf("%s/smartnic-%s.so", folder, scheme);
    g_autofree char *content = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(from, &content, &len, NULL));
    g_assert_true(g_file_set_contents(to, content, len, NULL));
}

static World *modules_world(void)
{
    static const MemoryPeerOps nobody;
    World *w = g_new0(World, 1);

    world_init(w);
    w->net = memory_net_new(w->loop, &nobody, NULL, 1);
    return w;
}

static void modules_world_free(World *w)
{
    world_clear(w);
    memory_net_free(w->net);
    test_loop_free(w->loop);
    g_free(w);
}

static void count_events(const SnTraceEvent *event, void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_example(void)
{
    World *w = modules_world();
    uint8_t buf[4096];
    unsigned events = 0;

    install("pattern", "pattern");
    world_open_url(w, "pattern://?size=64K");
    world_wait_ready(w);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, 65536);
    g_assert_true(sn_volume_info(w->vol)->read_only);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 8192, 4096, buf), ==, 0);
    for (unsigned i = 0; i < 4096; i += 8) {
        uint64_t v;

        memcpy(&v, buf + i, 8);
        g_assert_cmpuint(GUINT64_FROM_LE(v), ==, 8192 + i);
    }
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 512, buf), ==, -EROFS);
    sn_modules_trace_foreach(count_events, &events);
    g_assert_cmpuint(events, ==, 1);
    g_assert_cmpuint(sn_modules_trace_enable("pattern_*"), ==, 1);
    modules_world_free(w);
}

static void test_refused(void)
{
    World *w = modules_world();

    check_refused(w, "pattern://?size=1000", "multiple of 512");
    check_refused(w, "pattern://?speed=1", "speed");
    install("empty", "empty");
    check_refused(w, "empty://", "is not a backend module: it has no "
                  "smartnic_module_init()");
    install("old", "old");
    check_refused(w, "old://", "built for another smartnic.so (module ABI");
    install("pattern", "other");
    check_refused(w, "other://", "has no backend for 'other://'");
    install("lacking", "lacking");
    check_refused(w, "lacking://", "needs libsmartnic-test-gone.so.7, which is "
                  "not installed (Debian's package libsmartnic-test-gone7)");
    check_refused(w, "nobody://", "no storage backend for 'nobody://'; there are "
                  "nvme+tcp://");
    check_refused(w, "nobody://", ", pattern://");
    sn_modules_set_folder(NULL);
    check_refused(w, "pattern://", "no storage backend for 'pattern://'");
    modules_world_free(w);
}

int main(int argc, char **argv)
{
    int ret;
    const char *name;
    GDir *dir;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("modules-XXXXXX", NULL);
    sn_modules_set_folder(folder);
    g_test_add_func("/modules/example", test_example);
    g_test_add_func("/modules/refused", test_refused);
    ret = g_test_run();
    dir = g_dir_open(folder, 0, NULL);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(folder);
    g_free(folder);
    return ret;
}
