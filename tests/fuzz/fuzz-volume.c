/*
 * Fuzz target: the life of a volume and of its requests, on a backend that does
 * what the input says within its contract (scripted-backend.c).
 *
 * Looked for besides memory errors: a request that completes twice, from inside
 * a call, after its cancel, or never.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "fuzz.h"
#include "scripted-backend.h"
#include "volume-user.h"

#define MAX_OPS 400

static FuzzIn in;
static SbVolume *v;
static VolumeUser user;
static bool failed;             /* for good */

static void submit(void);

static void complete(SnIo *io, int ret)
{
    uint8_t then = ((UserReq *)io)->then;

    user_complete(io, ret);
    if (then & 1) {
        submit();
    }
    if (then & 2) {
        user_cancel(user.reqs[then >> 2 & (USER_SLOTS - 1)]);
    }
}

/* The block in bytes, the number of blocks, and pieces of memory. */
static void set_range(UserReq *r)
{
    uint8_t how = fuzz_u8(&in);
    size_t a, b;

    r->io.offset = fuzz_u16(&in) % 1040 * SB_BLOCK;
    r->io.len = (fuzz_u8(&in) + (how & 1)) * SB_BLOCK;
    if (how & 2) {
        r->io.offset += 100;                    /* not aligned */
    }
    if (how & 4) {
        r->io.offset = UINT64_MAX / SB_BLOCK * SB_BLOCK - r->io.len / 2;
    }
    if (r->io.op != SN_IO_READ && r->io.op != SN_IO_WRITE &&
        r->io.op != SN_IO_COMPARE) {
        return;
    }
    r->data = g_malloc0(MAX(r->io.len, 1));
    a = r->io.len * (how >> 3 & 3) / 3;
    b = (r->io.len - a) / (how >> 5 & 3 ? 2 : 1);
    r->iov[0] = (struct iovec){ r->data, a };
    r->iov[1] = (struct iovec){ r->data + a, b };
    r->iov[2] = (struct iovec){ r->data + a + b, r->io.len - a - b };
    r->io.iov = r->iov;
    r->io.iovcnt = 3;
}

/* A command that is passed on as it is, or is not. */
static void set_command(UserReq *r)
{
    uint8_t how = fuzz_u8(&in);

    r->io.op = SN_IO_NVME;
    r->io.flags = how & 1 ? SN_IO_ONCE : how & 2 ? SN_IO_FUA : 0;
    r->io.nvme = &r->nvme;
    r->nvme.sqe.opcode = how;
    r->nvme.admin = how & 4;
    r->nvme.dir = how >> 3 & 3 ? (how >> 3 & 3) - 1 : SN_NVME_NO_DATA;
    r->io.len = r->nvme.dir == SN_NVME_NO_DATA ? 0 : fuzz_u8(&in) * 64u;
    r->data = g_malloc0(MAX(r->io.len, 1));
    r->iov[0] = (struct iovec){ r->data, r->io.len };
    r->io.iov = r->iov;
    r->io.iovcnt = 1;
}

static void submit(void)
{
    uint8_t how = fuzz_u8(&in);
    UserReq *r = user_take(&user, fuzz_u8(&in) % USER_SLOTS);

    if (!r) {
        return;
    }
    r->then = fuzz_u8(&in);
    r->io.op = how % (SN_IO_COMPARE + 1);
    r->io.flags = how >> 6;
    r->io.complete = complete;
    if (how >= 240) {
        set_command(r);
    } else if (r->io.op != SN_IO_FLUSH) {
        set_range(r);
    }
    user_submit(r);
}

/* ------------------------------------------------------- the far side */

static void connect_or_not(void)
{
    uint8_t how = fuzz_u8(&in);

    if (!v->be->started) {
        return;
    }
    v->info.read_only = how & 2;
    v->info.write_cache = how & 4;
    v->info.fua = how & 8;
    v->info.max_discard = how & 16 ? 3 * SB_BLOCK : 0;
    v->info.nvme.passthrough = how & 64;
    v->info.size = how & 32 ? SB_SIZE : SB_SIZE / 2;
    if (how & 1) {
        sb_ready(v);
    } else {
        failed |= how >= 240;
        sb_lost(v, how >= 240);
    }
}

static void answer(uint8_t op)
{
    static const int results[] = { 0, 0, 0, -EIO, -ENOSPC, -EILSEQ, 0, 0 };
    SnBackend *be = v->be;
    unsigned n = op >> 6;

    if (op & 16) {
        sn_backend_batch_begin(v->vol);
    }
    do {
        uint8_t which = fuzz_u8(&in);

        if (be->n) {
            sb_done(v, which / 8 % be->n, results[which & 7]);
        }
    } while (n--);
    if (op & 16) {
        sn_backend_batch_end(v->vol);
    }
}

static void change_backend(void)
{
    uint8_t how = fuzz_u8(&in);
    SnBackend *be = v->be;

    be->capacity = how & 1 ? SB_MAX_IN_FLIGHT : how >> 5;
    be->done_in_submit = how & 2;
    be->done_in_kick = how & 4;
    be->done_in_cancel = how & 8;
    be->done_in_batch = how & 16;
}

static void change_info(void)
{
    if (v->be->ready) {
        v->info.read_only = fuzz_u8(&in) & 1;
        v->info.size = (fuzz_u8(&in) + 1u) * 4 * SB_BLOCK;
        sn_backend_info_changed(v->vol, &v->info);
    }
}

static void step(uint8_t op)
{
    switch (op & 15) {
    case 0 ... 4:
        submit();
        break;
    case 5:
        user_cancel(user.reqs[op >> 4]);
        break;
    case 6:
        sn_volume_kick(v->vol);
        break;
    case 7 ... 8:
        connect_or_not();
        break;
    case 9 ... 11:
        answer(op);
        break;
    case 12:
        change_backend();
        break;
    case 13:
        change_info();
        break;
    case 14:
        if (v->be->ready) {
            sb_lost(v, false);
        }
        break;
    default:
        test_loop_advance(v->loop, fuzz_u8(&in) * 50 * SN_NS_PER_MS);
        break;
    }
    if (op & 32) {
        sb_run(v);
    }
}

/* From now on all goes well, so that all requests come to an end. */
static void finish(void)
{
    SnBackend *be = v->be;

    be->capacity = SB_MAX_IN_FLIGHT;
    v->info.size = SB_SIZE;
    v->info.read_only = false;
    for (unsigned rounds = 0; user.n_reqs && rounds < 1000; rounds++) {
        sn_volume_kick(v->vol);
        test_loop_advance(v->loop, SN_NS_PER_S);
        if (be->started) {
            sb_ready(v);
        } else if (be->ready) {
            sb_done_all(v, 0);
        }
    }
    g_assert_cmpuint(user.n_reqs, ==, 0);
    g_assert_cmpint(failed, ==,
                    sn_volume_state(v->vol) == SN_VOLUME_FAILED);
    sb_close(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (FuzzIn) { data, size };
    v = sb_open("scripted://?reconnect-delay=1", NULL);
    v->info.max_transfer = 4 * SB_BLOCK;
    user = (VolumeUser) { .vol = v->vol, .raw = true };
    failed = false;
    fuzz_steps(&in, MAX_OPS, step);
    in.len = 0;
    finish();
    return 0;
}
