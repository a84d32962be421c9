/*
 * What every backend of a module has to stand, whatever its protocol.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend-checks.h"

static void check_words(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        g_error("'%s' is not in '%s'", words, text);
    }
}

void check_refused(World *w, const char *url, const char *words)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(world_try_open(w, url, &err));
    g_assert_nonnull(err);
    g_assert_null(strchr(err->message, '\n'));
    check_words(err->message, words);
}

void check_error(World *w, const char *url, SnVolumeState state,
                 const char *words)
{
    world_open_url(w, url);
    world_settle(w);
    test_loop_advance(w->loop, SN_NS_PER_S / 10);   /* before a retry */
    g_assert_cmpint(sn_volume_state(w->vol), ==, state);
    check_words(sn_volume_last_error(w->vol), words);
    g_clear_pointer(&w->vol, sn_volume_close);
    world_settle(w);
}

void check_many(World *w, const ManySide *side)
{
    Req reqs[64] = { 0 };
    uint8_t buf[2048];

    for (unsigned round = 0; round < 20; round++) {
        w->net->grain = g_rand_int_range(w->rand, 1, 3000);
        *side->hold = true;
        for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++) {
            memset(buf, round * 7 + i, sizeof(buf));
            req_submit(w, &reqs[i], SN_IO_WRITE, 0, i * 2048, 2048, buf,
                       w->rand);
        }
        sn_volume_kick(w->vol);
        world_settle(w);
        if (round % 4 == 3) {
            *side->hold = false;
            side->lose(w);
            world_settle(w);
            g_assert_true(world_wait_state(w, SN_VOLUME_READY, 10));
        } else {
            side->release(w);
        }
        test_loop_advance(w->loop, SN_NS_PER_S);
        for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++) {
            g_assert_false(reqs[i].busy);
            g_assert_cmpint(reqs[i].ret, ==, 0);
            g_assert_cmpuint(side->disk[i * 2048 + 2047], ==,
                             (uint8_t)(round * 7 + i));
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++) {
        req_clear(&reqs[i]);
    }
}

void flip_bits(GByteArray *a, unsigned from, GRand *rand)
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned at = g_rand_int_range(rand, from, a->len);

        a->data[at] ^= 1 << g_rand_int_range(rand, 0, 8);
    }
}
