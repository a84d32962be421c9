/*
 * Random requests, completions, cancellations, losses, hanging far sides and
 * closes on a volume, against a model of what must be on it. Seeds are fixed: a
 * failure repeats. SEED=n in the environment takes others.
 *
 * Requests in flight at the same time have no order among each other, so each
 * of the slots works in its own part of the volume, with one request at most.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scripted-backend.h"

#define SLOTS 32
#define SLOT_BLOCKS (SB_SIZE / SB_BLOCK / SLOTS)
#define OPS 40000
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

/* What happens in a run besides requests, cancellations and losses. */
typedef struct Plan {
    const char *params;         /* of the URL */
    bool no_fua;                /* the far side has no FUA bit */
    bool power_failures;        /* a loss is one over there; all is FUA */
    bool hangs;                 /* it stops answering for a while */
    bool may_fail;              /* with -ETIMEDOUT */
    bool closes;                /* from callbacks; opened again */
} Plan;

struct Stress {
    const Plan *plan;
    SbVolume *v;
    uint8_t *disk;              /* what it holds, and what is stable of it */
    GRand *rand;
    Request *requests[SLOTS];
    unsigned submitted, completed, cancelled;
    unsigned failed, reconnects, hangs, closes;
    bool busy;                  /* in submit or cancel */
    bool hung;                  /* the far side */
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
static void cancel_slot(Stress *s, unsigned slot);

/* Out of a callback: cancels everything and closes, sometimes. */
static void maybe_close(Stress *s)
{
    if (!s->plan->closes || rnd(s, 300)) {
        return;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (s->requests[slot]) {
            cancel_slot(s, slot);
        }
    }
    s->reconnects += sn_volume_reconnects(s->v->vol);
    s->closes++;
    sb_close_volume(s->v);
}

/* What a function may do whenever it is called. */
static void act(Stress *s)
{
    if (!rnd(s, 3)) {
        submit_some(s);
    }
    if (!rnd(s, 20)) {
        cancel_slot(s, rnd(s, SLOTS));
    }
    maybe_close(s);
}

static void check_result(Request *r, int ret)
{
    Stress *s = r->s;

    if (s->plan->may_fail && ret == -ETIMEDOUT) {
        s->failed++;
    } else if (r->wrong) {
        g_assert_cmpint(ret, ==, -EINVAL);
    } else if (r->differs) {
        g_assert_true(ret == -EILSEQ || !all_known(r));
    } else if (r->io.op == SN_IO_COMPARE) {
        g_assert_true(ret == 0 || (ret == -EILSEQ && !all_known(r)));
    } else {
        g_assert_cmpint(ret, ==, 0);
        check_or_learn(r);
    }
}

static void stress_complete(SnIo *io, int ret)
{
    Request *r = (Request *)io;
    Stress *s = r->s;

    g_assert_false(s->busy);
    g_assert_nonnull(s->v->vol);
    g_assert_true(s->requests[r->slot] == r);
    s->completed++;
    check_result(r, ret);
    request_free(r);
    act(s);
}

static void stress_state(SbVolume *v, SnVolumeState state)
{
    g_assert_cmpint(state, !=, SN_VOLUME_FAILED);
    act(v->opaque);
}

static void stress_event(SbVolume *v)
{
    act(v->opaque);
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
    r->io.flags = s->plan->power_failures || !rnd(s, 4) ? SN_IO_FUA : 0;
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
    if (s->v->vol) {
        sn_volume_kick(s->v->vol);
    }
}

static void cancel_slot(Stress *s, unsigned slot)
{
    Request *r = s->requests[slot];

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
    SnVolume *vol = s->v->vol;
    SnBackend *be = s->v->be;
    bool batch = rnd(s, 2);

    if (batch) {
        sn_backend_batch_begin(vol);
    }
    for (unsigned n = rnd(s, be->n + 1); n && be->n; n--) {
        unsigned i = rnd(s, 2) ? 0 : rnd(s, be->n);

        sb_done(s->v, i, sb_execute(be, be->ios[i]));
    }
    if (batch) {
        sn_backend_batch_end(vol);
    }
}

/* Some requests are carried out, but the answers never arrive. */
static void execute_some(Stress *s)
{
    SnBackend *be = s->v->be;

    for (unsigned i = 0; i < be->n; i++) {
        if (rnd(s, 2)) {
            sb_execute(be, be->ios[i]);
        }
    }
}

static void lose(Stress *s)
{
    execute_some(s);
    if (s->plan->power_failures) {
        memcpy(s->v->be->disk, s->v->be->stable, SB_SIZE);
    }
    sb_lost(s->v, false);
}

/* The next losses find what was carried out before the far side hung. */
static void hang_or_not(Stress *s)
{
    if (s->hung) {
        s->hung = rnd(s, 100);
    } else if (s->plan->hangs && !rnd(s, 500)) {
        execute_some(s);
        s->hung = true;
        s->hangs++;
    }
}

static void far_side(Stress *s)
{
    SnBackend *be = s->v->be;

    be->capacity = rnd(s, 30) ? 1 + rnd(s, SB_MAX_IN_FLIGHT) : 0;
    hang_or_not(s);
    if (be->started && !rnd(s, 3)) {
        if (rnd(s, 2)) {
            sb_ready(s->v);
        } else {
            sb_lost(s->v, false);
        }
    } else if (be->ready && !rnd(s, 100)) {
        lose(s);
    } else if (be->ready && !rnd(s, 100)) {
        sn_backend_info_changed(s->v->vol, &s->v->info);
    } else if (be->ready && !s->hung) {
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

static void stress_open(Stress *s)
{
    g_autofree char *url = g_strdup_printf("scripted://?%s", s->plan->params);
    SbVolume *v = sb_open(url, NULL);

    g_assert_nonnull(v);
    v->info.max_transfer = 4 * SB_BLOCK;
    v->info.max_discard = v->info.max_write_zeroes = 2 * SB_BLOCK;
    v->info.fua = !s->plan->no_fua;
    v->be->disk = s->disk;
    v->be->stable = s->disk + SB_SIZE;
    v->on_state = stress_state;
    v->on_info = v->on_batch = stress_event;
    v->opaque = s;
    s->v = v;
}

/* One round of what the function does, and the far side if it is scripted. */
static void stress_round(Stress *s)
{
    if (rnd(s, 2)) {
        submit_some(s);
    }
    if (!rnd(s, 10)) {
        cancel_slot(s, rnd(s, SLOTS));
    }
    if (s->v->vol && s->v->be) {
        far_side(s);
    }
    if (rnd(s, 4)) {
        sb_run(s->v);
    }
    test_loop_advance(s->v->loop, rnd(s, 3) ? 0 : 100 * SN_NS_PER_MS);
}

static void stress_run(Stress *s)
{
    unsigned rounds = 0;

    while (!idle(s)) {
        /* Everything has to come to an end. */
        g_assert_cmpuint(rounds++, <, 20 * OPS);
        if (!s->v->vol) {
            sb_close(s->v);
            stress_open(s);
        }
        stress_round(s);
    }
    g_assert_cmpuint(s->completed + s->cancelled, ==, OPS);
    if (s->v->vol) {
        s->reconnects += sn_volume_reconnects(s->v->vol);
    }
    g_test_message("%u completed, %u of them failed, %u cancelled; %u "
                   "reconnects, %u hangs, %u closes", s->completed, s->failed,
                   s->cancelled, s->reconnects, s->hangs, s->closes);
    g_assert_cmpuint(!!s->hangs, ==, s->plan->hangs);
    g_assert_cmpuint(!!s->closes, ==, s->plan->closes);
    g_assert_cmpuint(!!s->failed, ==, s->plan->may_fail);
    sb_close(s->v);
    g_rand_free(s->rand);
    g_free(s->disk);
    g_free(s);
}

static Stress *stress_new(const Plan *plan, uint32_t seed)
{
    const char *other = getenv("SEED");
    Stress *s = g_new0(Stress, 1);

    if (other) {
        seed += atoi(other);
    }
    g_test_message("seed %u", seed);
    s->plan = plan;
    s->disk = g_malloc0(2 * SB_SIZE);
    s->rand = g_rand_new_with_seed(seed);
    memset(s->known, 1, sizeof(s->known));
    return s;
}

static void stress_scripted(const void *plan)
{
    Stress *s = stress_new(plan, 1);

    stress_open(s);
    stress_run(s);
}

/* Backends of their own: nothing but requests happens there. */
static void stress_real(const void *url)
{
    static const Plan plan;
    Stress *s = stress_new(&plan, 1);

    s->v = sb_open_real(url, NULL);
    stress_run(s);
}

static const struct {
    const char *name;
    Plan plan;
} scripted[] = {
    { "losses", { "" } },
    { "losses-without-fua", { "", .no_fua = true } },
    { "power-failures", { "", .no_fua = true, .power_failures = true } },
    { "hangs", { "io-timeout=1&reconnect-delay=1", .hangs = true } },
    { "hangs-power", { "io-timeout=1", .no_fua = true, .hangs = true,
                       .power_failures = true } },
    { "fast-fail", { "fast-io-fail-tmo=1&ctrl-loss-tmo=100000&io-timeout=2",
                     .hangs = true, .may_fail = true } },
    { "closes", { "io-timeout=1", .hangs = true, .closes = true } },
    { "closes-fast-fail", { "fast-io-fail-tmo=0&io-timeout=1", .hangs = true,
                            .may_fail = true, .closes = true } },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(scripted); i++) {
        g_autofree char *path = g_strdup_printf("/volume-stress/%s",
                                                scripted[i].name);

        g_test_add_data_func(path, &scripted[i].plan, stress_scripted);
    }
    g_test_add_data_func("/volume-stress/mem", "mem://?size=512K",
                         stress_real);
    g_test_add_data_func("/volume-stress/mem-cache",
                         "mem://?size=512K&cache=on", stress_real);
    return g_test_run();
}
