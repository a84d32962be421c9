/*
 * The NVMe/TCP initiator and a discovery controller: what a person is told
 * whose URL names no subsystem, or one that the target does not have.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nvme-world.h"

#define assert_error(w, text) \
    g_test_message("%s", sn_volume_last_error((w)->vol)); \
    g_assert_nonnull(strstr(sn_volume_last_error((w)->vol), text))

#define WRONG "nvme+tcp://target/nqn.2026-11.test:other?reconnect-delay=1"

static void test_no_nqn(void)
{
    static const char *const urls[] = {
        "nvme+tcp://target", "nvme+tcp://target/", "nvme+tcp://target:8009/",
        "nvme+tcp://target/nqn.2014-08.org.nvmexpress.discovery",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(urls); i++) {
        World *w = world_new(1);

        w->d->discovery = true;
        w->d->discovery_port = 8009;
        w->d->entries = 5;
        world_open_url(w, urls[i]);
        world_settle(w);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
        g_assert_cmpstr(sn_volume_last_error(w->vol), ==,
                        "the URL names no subsystem; the target offers "
                        "nqn.2026-11.test:vol0 at 10.0.0.1:4420, "
                        "nqn.2026-11.test:vol1 at 10.0.0.1:4420, "
                        "nqn.2026-11.test:vol2 at 10.0.0.1:4420, "
                        "nqn.2026-11.test:vol4 at [fd00::1]:4420");
        g_assert_cmpuint(w->d->shutdowns, ==, 1);
        world_free(w);
    }
}

/* A target that is not there may come; nothing is final before the list. */
static void test_no_nqn_waits(void)
{
    World *w = world_new(1);

    w->d->discovery = true;
    w->d->refused_port = 8009;
    world_open_url(w, "nvme+tcp://target/?reconnect-delay=1");
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
    assert_error(w, "refused");
    w->d->refused_port = 0;
    g_assert_true(world_wait_state(w, SN_VOLUME_FAILED, 5));
    assert_error(w, "the target offers no NVMe/TCP subsystem to this host");
    world_free(w);
}

static void test_wrong_nqn(void)
{
    static const uint16_t ports[] = { 0, 4420, 8009 };

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        World *w = world_new(1);
        unsigned before;

        w->d->discovery = true;
        w->d->discovery_port = ports[i];
        w->d->entries = 1;
        world_open_url(w, WRONG);
        test_loop_advance(w->loop, SN_NS_PER_S);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_CONNECTING);
        assert_error(w, "Fabrics Connect failed: Connect Invalid Parameters: "
                     "the target does not know the subsystem NQN "
                     "(status 0x182); the target offers "
                     "nqn.2026-11.test:vol0 at 10.0.0.1:4420");

        /* It goes on trying, and the list stays; it is read once a minute. */
        before = w->d->connects;
        test_loop_advance(w->loop, 50 * SN_NS_PER_S);
        g_assert_cmpuint(w->d->connects, >=, before + 40);
        g_assert_cmpuint(w->d->discoveries, ==, 2);
        assert_error(w, "the target offers nqn.2026-11.test:vol0");
        w->d->entries = 2;
        test_loop_advance(w->loop, 15 * SN_NS_PER_S);
        g_assert_cmpuint(w->d->discoveries, ==, 4);
        assert_error(w, "nqn.2026-11.test:vol1");
        world_free(w);
    }
}

static void test_no_discovery(void)
{
    World *w = world_new(1);

    world_open_url(w, WRONG);
    test_loop_advance(w->loop, SN_NS_PER_S);
    assert_error(w, "does not know the subsystem NQN (status 0x182); there is "
                 "no discovery controller, either (Fabrics Connect failed");

    /* One that is there is asked only about the subsystem. */
    world_free(w);
    w = world_new(1);
    w->d->discovery = true;
    w->d->connect_status = 0x4184;
    world_open(w, "");
    test_loop_advance(w->loop, SN_NS_PER_S);
    assert_error(w, "does not allow our host NQN");
    g_assert_cmpuint(w->d->discoveries, ==, 0);
    world_free(w);
}

/* It has a time limit, and the subsystem is tried again afterwards. */
static void test_silence(void)
{
    for (unsigned answers = 2; answers < 8; answers++) {
        World *w = world_new(1);

        w->d->discovery = true;
        w->d->entries = 1;
        w->d->answers = answers;
        world_open_url(w, WRONG);
        test_loop_advance(w->loop, 7 * SN_NS_PER_S);
        assert_error(w, "does not know the subsystem NQN");
        assert_error(w, "took longer than 3 s");
        world_free(w);

        /* Closing in the middle of it. */
        w = world_new(1);
        w->d->discovery = true;
        w->d->answers = answers;
        world_open_url(w, WRONG);
        test_loop_advance(w->loop, SN_NS_PER_S);
        world_free(w);
    }
}

/* A log that changes while it is read is read again. */
static void test_generation(void)
{
    World *w = world_new(1);

    w->d->discovery = true;
    w->d->entries = 1;
    w->d->log_changes = 2;
    world_open_url(w, "nvme+tcp://target/");
    world_settle(w);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
    g_assert_cmpstr(sn_volume_last_error(w->vol), ==,
                    "the URL names no subsystem; the target offers "
                    "nqn.2026-11.test:vol0 at 10.0.0.1:4420, "
                    "nqn.2026-11.test:vol1 at 10.0.0.1:4420, "
                    "nqn.2026-11.test:vol2 at 10.0.0.1:4420");
    g_assert_cmpuint(w->d->discoveries, ==, 4);
    world_free(w);

    /* One that always does has an end, too. */
    w = world_new(1);
    w->d->discovery = true;
    w->d->entries = 1;
    w->d->log_changes = 1000;
    world_open_url(w, "nvme+tcp://target/");
    world_settle(w);
    g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
    world_free(w);
}

static void test_many_and_hostile(void)
{
    static const unsigned counts[] = { 4, 100, 256, 257, 5000 };
    g_autofree char *evil = g_strnfill(256, '\n');

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        World *w = world_new(1);
        const char *error;

        w->d->discovery = true;
        w->d->entries = counts[i];
        w->d->entry_nqn = i % 2 ? evil : NULL;
        world_open_url(w, "nvme+tcp://target/");
        world_settle(w);
        g_assert_cmpint(sn_volume_state(w->vol), ==, SN_VOLUME_FAILED);
        error = sn_volume_last_error(w->vol);
        g_assert_cmpuint(strlen(error), <, 2000);
        for (const char *p = error; *p; p++) {
            g_assert_true(g_ascii_isprint(*p));
        }
        g_assert_true(counts[i] == 4 || strstr(error, " more"));
        world_free(w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/discovery/no-nqn", test_no_nqn);
    g_test_add_func("/nvme-tcp/discovery/no-nqn-waits", test_no_nqn_waits);
    g_test_add_func("/nvme-tcp/discovery/wrong-nqn", test_wrong_nqn);
    g_test_add_func("/nvme-tcp/discovery/none", test_no_discovery);
    g_test_add_func("/nvme-tcp/discovery/silence", test_silence);
    g_test_add_func("/nvme-tcp/discovery/generation", test_generation);
    g_test_add_func("/nvme-tcp/discovery/many-and-hostile",
                    test_many_and_hostile);
    return g_test_run();
}
