/*
 * Who uses a volume, for fuzzing what is behind it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "test-loop.h"
#include "volume-user.h"

#define UNREAD 0x5c             /* where nothing was read to yet */

static void on_state(void *opaque, SnVolumeState state)
{
}

static void on_nothing(void *opaque)
{
}

static void on_reservation(void *opaque, uint8_t type)
{
    g_assert_true(type >= 1 && type <= 3);
}

const SnVolumeEvents user_events = {
    .state_changed = on_state,
    .info_changed = on_nothing,
    .batch_done = on_nothing,
    .reservation = on_reservation,
};

/* ------------------------------------------------------- a request's life */

UserReq *user_take(VolumeUser *u, unsigned slot)
{
    UserReq *r;

    if (u->reqs[slot]) {
        return NULL;
    }
    r = u->reqs[slot] = g_new0(UserReq, 1);
    u->n_reqs++;
    r->user = u;
    r->slot = slot;
    r->io.complete = user_complete;
    return r;
}

static void req_free(UserReq *r)
{
    r->user->reqs[r->slot] = NULL;
    r->user->n_reqs--;
    g_free(r->data);
    g_free(r);
}

void user_submit(UserReq *r)
{
    VolumeUser *u = r->user;

    u->in_call = true;
    sn_volume_submit(u->vol, &r->io);
    u->in_call = false;
}

void user_cancel(UserReq *r)
{
    if (r) {
        r->user->in_call = true;
        sn_io_cancel(&r->io);
        r->user->in_call = false;
        req_free(r);
    }
}

static bool is_read(const SnIo *io)
{
    return io->op == SN_IO_READ ||
           (io->op == SN_IO_NVME && io->nvme->dir == SN_NVME_IN);
}

void user_complete(SnIo *io, int ret)
{
    UserReq *r = (UserReq *)io;
    VolumeUser *u = r->user;

    g_assert_false(u->in_call);
    g_assert_true(u->reqs[r->slot] == r);
    g_assert_cmpint(ret, <=, 0);
    g_assert_true(ret || !io->nvme_status);
    if (is_read(io) && ret == 0 && !u->raw) {
        static const uint8_t unread[16] = { [0 ... 15] = UNREAD };

        for (size_t at = 0; at < io->len; at += sizeof(unread)) {
            g_assert_true(memcmp(r->data + at, unread, sizeof(unread)));
        }
    }
    req_free(r);
}

/* ------------------------------------------------------- the input */

/* Memory for the data, if there is any, in two pieces. */
static void set_data(UserReq *r, bool cut)
{
    size_t len = sn_io_data_len(&r->io), first = cut ? len / 3 : len;

    if (!len) {
        return;
    }
    r->data = g_malloc(len);
    memset(r->data, is_read(&r->io) ? UNREAD : r->user->disk, len);
    r->iov[0] = (struct iovec){ r->data, first };
    r->iov[1] = (struct iovec){ r->data + first, len - first };
    r->io.iov = r->iov;
    r->io.iovcnt = 2;
}

void user_submit_any(VolumeUser *u)
{
    const SnIoOp ops[] = {
        SN_IO_READ, SN_IO_WRITE, SN_IO_READ, SN_IO_WRITE, SN_IO_FLUSH,
        SN_IO_DISCARD, SN_IO_WRITE_ZEROES, u->compare,
    };
    uint8_t how = fuzz_u8(u->in);
    UserReq *r = user_take(u, fuzz_u8(u->in) % USER_SLOTS);

    if (!r) {
        return;
    }
    r->io.op = ops[how & 7];
    r->io.flags = how >> 3 & 3;
    if (how & 128 && u->set_command) {
        u->set_command(r, how);
    } else if (r->io.op != SN_IO_FLUSH) {
        r->io.offset = fuzz_u8(u->in) * 4096ull;
        r->io.len = (fuzz_u8(u->in) + 1) * (how & 32 ? 4096ull : 512ull);
    }
    set_data(r, how & 64);
    user_submit(r);
}

void user_cancel_any(VolumeUser *u)
{
    user_cancel(u->reqs[fuzz_u8(u->in) % USER_SLOTS]);
}

void user_wait(VolumeUser *u)
{
    static const int64_t units[] = {
        SN_NS_PER_MS, 20 * SN_NS_PER_MS, 100 * SN_NS_PER_MS, SN_NS_PER_S / 3,
    };
    uint8_t how = fuzz_u8(u->in);

    test_loop_advance(u->loop, units[how & 3] * (how >> 2));
}

static bool nothing_waits(void *opaque)
{
    VolumeUser *u = opaque;

    return !u->n_reqs;
}

void user_finish(VolumeUser *u, bool lied)
{
    sn_volume_kick(u->vol);
    if (!test_loop_run_until(u->loop, nothing_waits, u,
                             (lied ? 10 : 600) * SN_NS_PER_S)) {
        g_assert_true(lied);
    }
    for (unsigned i = 0; i < USER_SLOTS; i++) {
        user_cancel(u->reqs[i]);
    }
    sn_volume_close(u->vol);
}
