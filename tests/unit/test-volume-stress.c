/*
 * Random requests, completions, cancellations and losses on a volume, against
 * a model of what must be on it. The seed is fixed: a failure repeats.
 *
 * Requests in flight at the same time have no order among each other, so each
 * of the slots works in its own part of the volume, with one request at most.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "scripted-backend.h"

#define SLOTS 32
#define SLOT_BLOCKS (SB_SIZE / SB_BLOCK / SLOTS)
#define OPS 100000
#define MAX_IOV 4

typedef struct Stress Stress;

typedef struct Request {
    SnIo io;
    struct iovec iov[MAX_IOV];
    Stress *s;
    unsigned slot;
    unsigned first, blocks;     /* within the slot's part */
    bool wrong;                 /* outside of the volume */
    bool differs;               /* compare with something else */
    uint8_t *buf;
} Request;

struct Stress {
    SbVolume *v;
    GRand *rand;
    bool always_fua;            /* and a loss is a power failure over there */
    Request *requests[SLOTS];
    unsigned submitted, completed, cancelled;
    bool busy;                  /* in submit, kick or cancel */
    uint8_t content[SLOTS][SLOT_BLOCKS][SB_BLOCK];
    bool known[SLOTS][SLOT_BLOCKS];
};

/* From 0 to @n - 1. */
static unsigned rnd(Stress *s, unsigned n)
{
    return g_rand_int_range(s->rand, 0, n);
}

static bool changes_data(const SnIo *io)
{
    return io->op == SN_IO_WRITE || io->op == SN_IO_DISCARD ||
           io->op == SN_IO_WRITE_ZEROES;
}

static bool has_memory(const SnIo *io)
{
    return io->op == SN_IO_READ || io->op == SN_IO_WRITE ||
           io->op == SN_IO_COMPARE;
}

static void request_free(Request *r)
{
    r->s->requests[r->slot] = NULL;
    g_free(r->buf);
    g_free(r);
}

static bool all_known(const Request *r)
{
    for (unsigned i = 0; i < r->blocks; i++) {
        if (!r->s->known[r->slot][r->first + i]) {
            return false;
        }
    }
    return true;
}

/* The data of @r, which succeeded, against the model, or into it. */
static void check_or_learn(Request *r)
{
    for (unsigned i = 0; i < r->blocks; i++) {
        uint8_t *model = r->s->content[r->slot][r->first + i];
        bool *known = &r->s->known[r->slot][r->first + i];
        uint8_t *data = r->buf + i * SB_BLOCK;

        if (r->io.op == SN_IO_READ && *known) {
            g_assert_cmpmem(model, SB_BLOCK, data, SB_BLOCK);
        } else if (r->io.op == SN_IO_WRITE) {
            memcpy(model, data, SB_BLOCK);
            *known = true;
        } else if (changes_data(&r->io)) {
            memset(model, 0, SB_BLOCK);
            *known = true;
        }
    }
}

static void submit_some(Stress *s);
static void cancel_one(Stress *s);

static void stress_complete(SnIo *io, int ret)
{
    Request *r = (Request *)io;
    Stress *s = r->s;

    g_assert_false(s->busy);
    g_assert_true(s->requests[r->slot] == r);
    s->completed++;
    if (r->wrong) {
        g_assert_cmpint(ret, ==, -EINVAL);
    } else if (r->differs) {
        g_assert_true(ret == -EILSEQ || !all_known(r));
    } else if (io->op == SN_IO_COMPARE) {
        g_assert_true(ret == 0 || (ret == -EILSEQ && !all_known(r)));
    } else {
        g_assert_cmpint(ret, ==, 0);
        check_or_learn(r);
    }
    request_free(r);
    if (!rnd(s, 3)) {
        submit_some(s);
    }
    if (!rnd(s, 20)) {
        cancel_one(s);
    }
}

/* Cuts the memory of @r into random pieces, empty ones among them. */
static void make_iov(Request *r)
{
    size_t left = r->io.len;
    uint8_t *p = r->buf;

    for (unsigned i = 0; i < MAX_IOV; i++) {
        size_t len = i == MAX_IOV - 1 ? left : rnd(r->s, left + 1);

        r->iov[i] = (struct iovec){ p, len };
        p += len;
        left -= len;
    }
    r->io.iov = r->iov;
    r->io.iovcnt = MAX_IOV;
}

static void fill_buffer(Request *r)
{
    uint32_t x = g_rand_int(r->s->rand);

    for (size_t i = 0; i < r->blocks * SB_BLOCK; i++) {
        x = x * 1664525 + 1013904223;
        r->buf[i] = x >> 24;
    }
    if (r->io.op == SN_IO_COMPARE) {
        memcpy(r->buf, r->s->content[r->slot][r->first],
               r->blocks * SB_BLOCK);
        r->differs = rnd(r->s, 2);
        r->buf[rnd(r->s, r->blocks * SB_BLOCK)] ^= r->differs;
    }
}

static Request *request_new(Stress *s, unsigned slot)
{
    Request *r = g_new0(Request, 1);

    r->s = s;
    r->slot = slot;
    r->first = rnd(s, SLOT_BLOCKS);
    r->blocks = 1 + rnd(s, SLOT_BLOCKS - r->first);
    r->io.op = rnd(s, SN_IO_COMPARE + 1);
    r->io.flags = s->always_fua || !rnd(s, 4) ? SN_IO_FUA : 0;
    r->io.complete = stress_complete;
    if (r->io.op == SN_IO_FLUSH) {
        r->blocks = 0;
        return r;
    }
    r->wrong = !rnd(s, 50);
    r->io.offset = (slot * SLOT_BLOCKS + r->first) * SB_BLOCK +
                   (r->wrong ? SB_SIZE : 0);
    r->io.len = r->blocks * SB_BLOCK;
    if (has_memory(&r->io)) {
        r->buf = g_malloc(r->io.len);
        fill_buffer(r);
        make_iov(r);
    }
    return r;
}

static void submit_some(Stress *s)
{
    for (unsigned n = rnd(s, 4); n; n--) {
        unsigned slot = rnd(s, SLOTS);
        Request *r;

        if (s->requests[slot] || s->submitted == OPS) {
            continue;
        }
        r = s->requests[slot] = request_new(s, slot);
        if (changes_data(&r->io) && !r->wrong) {
            memset(&s->known[slot][r->first], 0, r->blocks);
        }
        s->submitted++;
        s->busy = true;
        sn_volume_submit(s->v->vol, &r->io);
        s->busy = false;
    }
    s->busy = true;
    sn_volume_kick(s->v->vol);
    s->busy = false;
}

static void cancel_one(Stress *s)
{
    Request *r = s->requests[rnd(s, SLOTS)];

    if (r) {
        s->busy = true;
        sn_io_cancel(&r->io);
        s->busy = false;
        s->cancelled++;
        request_free(r);
    }
}

/* Carries out and answers some of what the far side has. */
static void answer_some(Stress *s)
{
    SnBackend *be = s->v->be;
    bool batch = rnd(s, 2);

    if (batch) {
        sn_backend_batch_begin(s->v->vol);
    }
    for (unsigned n = rnd(s, be->n + 1); n && be->n; n--) {
        unsigned i = rnd(s, 2) ? 0 : rnd(s, be->n);

        sb_done(s->v, i, sb_execute(be, be->ios[i]));
    }
    if (batch) {
        sn_backend_batch_end(s->v->vol);
    }
}

/* Some requests were carried out, but the answers never arrive. */
static void lose(Stress *s)
{
    SnBackend *be = s->v->be;

    for (unsigned i = 0; i < be->n; i++) {
        if (rnd(s, 2)) {
            sb_execute(be, be->ios[i]);
        }
    }
    if (s->always_fua) {
        memcpy(be->disk, be->stable, SB_SIZE);
    }
    sb_lost(s->v, false);
}

static void far_side(Stress *s)
{
    SnBackend *be = s->v->be;

    be->capacity = rnd(s, 30) ? 1 + rnd(s, SB_MAX_IN_FLIGHT) : 0;
    be->done_in_submit = be->done_in_kick = be->done_in_cancel = false;
    if (be->started && !rnd(s, 3)) {
        if (rnd(s, 2)) {
            sb_ready(s->v);
        } else {
            sb_lost(s->v, false);
        }
    } else if (be->ready && !rnd(s, 100)) {
        lose(s);
    } else if (be->ready) {
        answer_some(s);
    }
}

static bool idle(Stress *s)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (s->requests[i]) {
            return false;
        }
    }
    return s->submitted == OPS;
}

static Stress *stress_new(SbVolume *v, uint32_t seed)
{
    Stress *s = g_new0(Stress, 1);

    s->v = v;
    s->rand = g_rand_new_with_seed(seed);
    memset(s->known, 1, sizeof(s->known));
    return s;
}

static void stress_run(Stress *s)
{
    unsigned rounds = 0;

    while (!idle(s)) {
        /* Everything has to come to an end. */
        g_assert_cmpuint(rounds++, <, 20 * OPS);
        if (rnd(s, 2)) {
            submit_some(s);
        }
        if (!rnd(s, 10)) {
            cancel_one(s);
        }
        if (s->v->be) {
            far_side(s);
        }
        if (rnd(s, 4)) {
            sb_run(s->v);
        }
        test_loop_advance(s->v->loop, rnd(s, 3) ? 0 : 100 * SN_NS_PER_MS);
    }
    g_assert_cmpuint(s->completed + s->cancelled, ==, OPS);
    g_test_message("%u completed, %u cancelled, %u reconnects", s->completed,
                   s->cancelled, sn_volume_reconnects(s->v->vol));
    g_rand_free(s->rand);
    sb_close(s->v);
    g_free(s);
}

static void stress_scripted(bool fua, bool power_failures, uint32_t seed)
{
    SbVolume *v = sb_open("scripted://", NULL);
    uint8_t *disk = g_malloc0(2 * SB_SIZE);
    Stress *s = stress_new(v, seed);

    v->info.max_transfer = 4 * SB_BLOCK;
    v->info.max_discard = v->info.max_write_zeroes = 2 * SB_BLOCK;
    v->info.fua = fua;
    v->be->disk = disk;
    v->be->stable = disk + SB_SIZE;
    s->always_fua = power_failures;
    stress_run(s);
    g_free(disk);
}

static void test_losses(void)
{
    stress_scripted(true, false, 1);
}

static void test_losses_without_fua(void)
{
    stress_scripted(false, false, 2);
}

static void test_power_failures(void)
{
    stress_scripted(false, true, 3);
}

static void test_mem(void)
{
    stress_run(stress_new(sb_open_real("mem://?size=512K", NULL), 4));
}

static void test_mem_cache(void)
{
    stress_run(stress_new(sb_open_real("mem://?size=512K&cache=on", NULL), 5));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volume-stress/losses", test_losses);
    g_test_add_func("/volume-stress/losses-without-fua",
                    test_losses_without_fua);
    g_test_add_func("/volume-stress/power-failures", test_power_failures);
    g_test_add_func("/volume-stress/mem", test_mem);
    g_test_add_func("/volume-stress/mem-cache", test_mem_cache);
    return g_test_run();
}
