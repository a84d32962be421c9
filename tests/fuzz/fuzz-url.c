/*
 * Fuzz target: volume URLs and the options in them.
 *
 * The first byte puts a beginning before the text, so that options are reached
 * soon. Opening connects to nothing: the loop does not run. Looked for besides
 * memory errors: messages that are not one printable line, and a failure
 * without one.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "fuzz.h"
#include "smartnic/backend.h"
#include "test-loop.h"

static SnStream *no_connect(SnNet *net, const char *host, uint16_t port,
                            unsigned flags, const SnStreamEvents *events,
                            void *opaque)
{
    g_assert_not_reached();
}

static void on_state(void *opaque, SnVolumeState state)
{
}

static void on_nothing(void *opaque)
{
}

/* The text is ASCII or not: what a person is shown has to be. */
static void check_message(const GError *err)
{
    g_assert_nonnull(err);
    g_assert_cmpuint(strlen(err->message), >, 0);
    for (const char *p = err->message; *p; p++) {
        g_assert_true(g_ascii_isprint(*p));
    }
}

/* Parts of a URL that was accepted are what later code relies on. */
static void check_url(const SnUrl *url)
{
    GHashTableIter iter;
    gpointer key, value;

    g_assert_true(url->scheme && *url->scheme);
    g_assert_true(!url->port || url->host);
    g_assert_true(!url->host || strlen(url->host) <= 253);
    g_hash_table_iter_init(&iter, url->params);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autoptr(GError) err = NULL;
        uint64_t number = 7;
        bool flag = true;

        g_assert_cmpstr(sn_url_get_string(url, key), ==, value);
        if (!g_str_is_ascii(key)) {
            continue;           /* none that anybody asks for */
        }
        if (!sn_url_get_uint(url, key, 1, 1000, &number, &err)) {
            check_message(err);
            g_assert_cmpuint(number, ==, 7);
            g_clear_error(&err);
        } else {
            g_assert_true(number >= 1 && number <= 1000);
        }
        if (!sn_url_get_size(url, key, &number, &err)) {
            check_message(err);
            g_clear_error(&err);
        }
        if (!sn_url_get_bool(url, key, &flag, &err)) {
            check_message(err);
        }
    }
}

static void on_reservation(void *opaque, uint8_t type)
{
}

static void open_volume(const char *text)
{
    static const SnVolumeEvents events = { on_state, on_nothing, on_nothing,
                                           on_reservation };
    static SnNet net = { .connect = no_connect };
    g_autoptr(GError) err = NULL;
    SnLoop *loop = test_loop_new();
    SnVolumeConfig config = {
        .url = text, .id = "nic0", .net = &net, .loop = loop,
        .events = &events,
    };
    SnVolume *vol = sn_volume_open(&config, &err);

    if (vol) {
        g_assert_no_error(err);
        sn_volume_close(vol);
    } else {
        check_message(err);
    }
    test_loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const starts[] = {
        "", "nvme+tcp://", "nvme+tcp://h/nqn.x?", "null://?", "mem://?",
        "nvme+tcp://[fe80::1]:4420/nqn.x?nsid=2&",
        "nvme+tcp://h/nqn.x?hostnqn=", "x://u@h/",
    };
    FuzzIn in = { data, size };
    const char *start = starts[fuzz_u8(&in) & 7];
    g_autofree char *rest = g_strndup((const char *)in.p, in.len);
    g_autofree char *text = g_strconcat(start, rest, NULL);
    g_autoptr(GError) err = NULL;
    SnUrl *url = sn_url_parse(text, &err);

    if (url) {
        g_assert_no_error(err);
        check_url(url);
        sn_url_free(url);
    } else {
        check_message(err);
    }
    open_volume(text);
    return 0;
}
