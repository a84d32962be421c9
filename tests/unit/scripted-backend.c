/*
 * A storage backend that does what the test says.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "smartnic/log.h"
#include "scripted-backend.h"
#include "volume-internal.h"

static SnBackend *last_created;
static SbVolume *log_to;

GString *sb_completed;
bool sb_in_call;
unsigned sb_destroyed;

static SnBackend *be_create(const SnBackendConfig *config, GError **err)
{
    static const char *const known[] = { "mine", NULL };
    SnBackend *be;

    if (!sn_url_check_params(config->url, known, err)) {
        return NULL;
    }
    be = g_new0(SnBackend, 1);
    be->vol = config->vol;
    be->capacity = SB_MAX_IN_FLIGHT;
    last_created = be;
    return be;
}

static void be_start(SnBackend *be)
{
    g_assert_false(be->started);
    g_assert_false(be->ready);
    g_assert_true(log_to->vol == be->vol);      /* it is not closed */
    be->started = true;
    be->stopped = false;
    be->starts++;
}

static void take_out(SnBackend *be, unsigned index)
{
    g_assert_cmpuint(index, <, be->n);
    be->n--;
    memmove(&be->ios[index], &be->ios[index + 1],
            (be->n - index) * sizeof(be->ios[0]));
}

static void done_oldest(SnBackend *be)
{
    SnIo *io = be->ios[0];

    if (!be->n) {
        return;
    }
    take_out(be, 0);
    if (be->done_in_batch) {
        sn_backend_batch_begin(be->vol);
    }
    sn_backend_done(io, 0);
    if (be->done_in_batch) {
        sn_backend_batch_end(be->vol);
    }
}

static uint64_t iov_sum(const SnIo *io)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        sum += io->iov[i].iov_len;
    }
    return sum;
}

/* What smartnic/backend.h promises about a request. */
static void check_io(SnBackend *be, const SnIo *io)
{
    const SnVolumeInfo *info = sn_volume_info(be->vol);
    uint64_t max = 0;

    switch (io->op) {
    case SN_IO_READ:
    case SN_IO_WRITE:
    case SN_IO_COMPARE:
        max = info->max_transfer;
        g_assert_cmpuint(iov_sum(io), ==, io->len);
        break;
    case SN_IO_COMPARE_AND_WRITE:
        g_assert_cmpuint(io->len, <=, info->max_compare_and_write);
        g_assert_cmpuint(iov_sum(io), ==, 2 * io->len);
        break;
    case SN_IO_DISCARD:
        max = info->max_discard;
        break;
    case SN_IO_WRITE_ZEROES:
        max = info->max_write_zeroes;
        break;
    case SN_IO_FLUSH:
        g_assert_true(info->write_cache);
        g_assert_cmpuint(io->len, ==, 0);
        return;
    case SN_IO_NVME:
        g_assert_true(info->nvme.passthrough);
        g_assert_cmpuint(io->len, <=, info->max_transfer);
        g_assert_cmpuint(iov_sum(io), ==, io->len);
        return;
    }
    g_assert_cmpuint(io->len, >, 0);
    g_assert_cmpuint(io->offset + io->len, <=, info->size);
    g_assert_cmpuint((io->offset | io->len) % info->block_size, ==, 0);
    if (max) {
        g_assert_cmpuint(io->len, <=, MAX(max, info->block_size));
    }
    if (io->flags & SN_IO_FUA) {
        g_assert_true(info->fua || !info->write_cache);
    }
}

static bool be_submit(SnBackend *be, SnIo *io)
{
    g_assert_true(be->ready);
    check_io(be, io);
    if (be->done_in_submit) {
        done_oldest(be);
    }
    if (be->n >= be->capacity) {
        be->refused++;
        return false;
    }
    if (io->op == SN_IO_NVME) {
        /* The response is the backend's to write: it shows what was sent. */
        g_assert_true(!(io->flags & SN_IO_ONCE) || !io->nvme->cqe.status);
        io->nvme->cqe.status = 0xffff;
    }
    memset(sn_io_scratch(io), 0xee, SN_IO_SCRATCH);
    be->ios[be->n++] = io;
    be->submits++;
    be->unkicked++;
    return true;
}

static void be_kick(SnBackend *be)
{
    g_assert_true(be->ready);
    be->kicks++;
    be->unkicked = 0;
    if (be->done_in_kick) {
        done_oldest(be);
    }
}

static void be_cancel(SnBackend *be, SnIo *io)
{
    unsigned i;

    g_assert_true(be->ready);
    for (i = 0; i < be->n && be->ios[i] != io; i++) {
        /* look for it */
    }
    take_out(be, i);
    be->cancels++;
    if (be->done_in_cancel) {
        done_oldest(be);
    }
}

static void be_stop(SnBackend *be)
{
    be->n = 0;
    be->ready = be->started = false;
    be->stopped = true;
    be->stops++;
}

static void be_destroy(SnBackend *be)
{
    g_assert_true(be->stopped);
    sb_destroyed++;
    g_free(be);
}

static const SnBackendOps be_ops = {
    .scheme = "scripted",
    .create = be_create,
    .start = be_start,
    .submit = be_submit,
    .kick = be_kick,
    .cancel = be_cancel,
    .stop = be_stop,
    .destroy = be_destroy,
};

static void on_state_changed(void *opaque, SnVolumeState state)
{
    SbVolume *v = opaque;

    g_assert_nonnull(v->vol);
    g_assert_cmpint(sn_volume_state(v->vol), ==, state);
    g_string_append_c(v->states, "CRLF"[state]);
    if (v->on_state) {
        v->on_state(v, state);
    }
}

static void on_info_changed(void *opaque)
{
    SbVolume *v = opaque;

    g_assert_nonnull(v->vol);
    v->infos++;
    if (v->on_info) {
        v->on_info(v);
    }
}

static void on_batch_done(void *opaque)
{
    SbVolume *v = opaque;

    g_assert_nonnull(v->vol);
    g_assert_false(sb_in_call);
    v->batches++;
    if (v->on_batch) {
        v->on_batch(v);
    }
}

static void on_reservation(void *opaque, uint8_t type)
{
    SbVolume *v = opaque;

    g_assert_nonnull(v->vol);
    g_string_append_c(v->states, '0' + type);
    if (v->on_reservation) {
        v->on_reservation(v);
    }
}

static const SnVolumeEvents events = {
    .state_changed = on_state_changed,
    .info_changed = on_info_changed,
    .batch_done = on_batch_done,
    .reservation = on_reservation,
};

static void on_log(SnLogLevel level, const char *line)
{
    g_string_append_printf(log_to->log, "%c %s\n", "EWI"[level], line);
}

static void sb_free(SbVolume *v)
{
    test_loop_free(v->loop);
    g_string_free(v->states, true);
    g_string_free(v->log, true);
    g_string_free(sb_completed, true);
    g_free(v);
    sn_log_set_func(NULL);
}

static SbVolume *sb_new(void)
{
    SbVolume *v = g_new0(SbVolume, 1);

    v->loop = test_loop_new();
    v->states = g_string_new(NULL);
    v->log = g_string_new(NULL);
    sb_completed = g_string_new(NULL);
    v->info = (SnVolumeInfo){
        .size = SB_SIZE, .block_size = SB_BLOCK, .phys_block_size = SB_BLOCK,
        .max_transfer = 16 * SB_BLOCK, .max_discard = 64 * SB_BLOCK,
        .discard_granularity = SB_BLOCK, .max_write_zeroes = 32 * SB_BLOCK,
        .write_cache = true, .fua = true, .compare = true,
        .max_compare_and_write = 4 * SB_BLOCK,
        .queue_depth = SB_MAX_IN_FLIGHT, .queues = 1,
    };
    log_to = v;
    sn_log_set_func(on_log);
    return v;
}

static SnVolumeConfig config_of(SbVolume *v, const char *url)
{
    return (SnVolumeConfig){ .url = url, .id = "v0", .loop = v->loop,
                             .events = &events, .opaque = v };
}

SbVolume *sb_open(const char *text, GError **err)
{
    SbVolume *v = sb_new();
    SnVolumeConfig config = config_of(v, text);
    SnUrl *url = sn_url_parse(text, NULL);

    g_assert_nonnull(url);
    v->vol = sn_volume_open_with_ops(&config, url, &be_ops, err);
    sn_url_free(url);
    if (!v->vol) {
        sb_free(v);
        return NULL;
    }
    v->be = last_created;
    return v;
}

SbVolume *sb_open_real(const char *url, GError **err)
{
    SbVolume *v = sb_new();
    SnVolumeConfig config = config_of(v, url);

    v->vol = sn_volume_open(&config, err);
    if (!v->vol) {
        sb_free(v);
        return NULL;
    }
    return v;
}

SbVolume *sb_open_ready(void)
{
    SbVolume *v = sb_open("scripted://", NULL);

    test_loop_run_bhs(v->loop);
    sb_ready(v);
    test_loop_run_bhs(v->loop);
    return v;
}

void sb_close_volume(SbVolume *v)
{
    sn_volume_close(v->vol);
    v->vol = NULL;
}

void sb_close(SbVolume *v)
{
    if (v->vol) {
        sb_close_volume(v);
    } else {
        test_loop_run_bhs(v->loop);
    }
    sb_free(v);
}

void sb_ready(SbVolume *v)
{
    g_assert_true(v->be->started);
    v->be->started = false;
    v->be->ready = true;
    sn_backend_ready(v->vol, &v->info);
}

void sb_lost(SbVolume *v, bool permanent)
{
    g_assert_true(v->be->started || v->be->ready);
    v->be->started = v->be->ready = false;
    v->be->n = 0;
    v->be->unkicked = 0;
    sn_backend_lost(v->vol, permanent, "the %s broke", "cable");
}

void sb_done(SbVolume *v, unsigned index, int ret)
{
    SnIo *io = v->be->ios[index];

    take_out(v->be, index);
    sn_backend_done(io, ret);
}

void sb_refuse(SbVolume *v, unsigned index, int64_t ns)
{
    SnIo *io = v->be->ios[index];

    if (io->op == SN_IO_NVME) {
        io->nvme->cqe.status = 0;
    }
    sn_backend_refused(io, sn_loop_now(v->loop) + ns);
}

void sb_send_again(SbVolume *v, unsigned index)
{
    SnIo *io = v->be->ios[index];

    if (io->op == SN_IO_NVME) {
        io->nvme->cqe.status = 0xffff;
    }
    sn_backend_sent_again(io);
}

void sb_done_all(SbVolume *v, int ret)
{
    sn_backend_batch_begin(v->vol);
    while (v->be->n) {
        sb_done(v, 0, ret);
    }
    sn_backend_batch_end(v->vol);
}

int sb_execute(SnBackend *be, const SnIo *io)
{
    uint8_t *p = be->disk + io->offset;
    bool same = true;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        const struct iovec *iov = &io->iov[i];

        if (io->op == SN_IO_READ) {
            memcpy(iov->iov_base, p, iov->iov_len);
        } else if (io->op == SN_IO_WRITE) {
            memcpy(p, iov->iov_base, iov->iov_len);
        } else if (io->op == SN_IO_COMPARE) {
            same = same && !memcmp(p, iov->iov_base, iov->iov_len);
        }
        p += iov->iov_len;
    }
    if (io->op == SN_IO_DISCARD || io->op == SN_IO_WRITE_ZEROES) {
        memset(p, 0, io->len);
    }
    if (io->op == SN_IO_FLUSH) {
        memcpy(be->stable, be->disk, SB_SIZE);
    }
    return same ? 0 : -EILSEQ;
}

static void test_complete(SnIo *io, int ret)
{
    TestIo *t = (TestIo *)io;

    g_assert_false(sb_in_call);
    t->completions++;
    t->ret = ret;
    g_string_append_c(sb_completed, t->name);
    if (t->then) {
        t->then(t);
    }
}

TestIo *tio_new(SbVolume *v, char name, SnIoOp op, uint64_t block,
                uint64_t blocks)
{
    TestIo *t = g_new(TestIo, 1);
    uint64_t bytes = blocks * SB_BLOCK;

    if (op == SN_IO_COMPARE_AND_WRITE) {
        bytes *= 2;
    }
    /* The submitter need not initialise the private fields. */
    memset(t, 0xa5, sizeof(*t));
    t->name = name;
    t->v = v;
    t->buf = g_malloc0(MAX(bytes, 1));
    t->iov = (struct iovec){ t->buf, bytes };
    t->completions = 0;
    t->ret = 1;
    t->then = NULL;
    t->other = NULL;
    t->io.op = op;
    t->io.flags = 0;
    t->io.offset = block * SB_BLOCK;
    t->io.len = blocks * SB_BLOCK;
    t->io.iov = &t->iov;
    t->io.iovcnt = 1;
    t->io.complete = test_complete;
    return t;
}

void tio_free(TestIo *t)
{
    g_free(t->buf);
    memset(t, 0x5a, sizeof(*t));
    g_free(t);
}

void tio_submit(TestIo *t)
{
    bool outer = sb_in_call;

    sb_in_call = true;
    sn_volume_submit(t->v->vol, &t->io);
    sb_in_call = outer;
}

void sb_kick(SbVolume *v)
{
    sn_volume_kick(v->vol);     /* complete() may come from inside it */
}

void tio_cancel_free(TestIo *t)
{
    unsigned before = t->completions;

    sb_in_call = true;
    sn_io_cancel(&t->io);
    sb_in_call = false;
    g_assert_cmpuint(t->completions, ==, before);
    tio_free(t);
}

TestIo *tio_submit_new(SbVolume *v, char name, SnIoOp op, uint64_t block,
                       uint64_t blocks)
{
    TestIo *t = tio_new(v, name, op, block, blocks);

    tio_submit(t);
    return t;
}

TestIo *tio_write_new(SbVolume *v, char name, uint64_t block)
{
    return tio_submit_new(v, name, SN_IO_WRITE, block, 1);
}

void tio_expect(TestIo *t, int ret)
{
    g_assert_cmpuint(t->completions, ==, 1);
    g_assert_cmpint(t->ret, ==, ret);
    tio_free(t);
}

void sb_expect_completed(const char *names)
{
    g_assert_cmpstr(sb_completed->str, ==, names);
    g_string_truncate(sb_completed, 0);
}

void sb_expect_in_flight(SbVolume *v, const char *text)
{
    g_autoptr(GString) s = g_string_new(NULL);

    for (unsigned i = 0; i < v->be->n; i++) {
        const SnIo *io = v->be->ios[i];

        if (io->op == SN_IO_FLUSH) {
            g_string_append(s, " -");
        } else if (io->op == SN_IO_NVME) {
            g_string_append_printf(s, " %02x", io->nvme->sqe.opcode);
        } else {
            g_string_append_printf(s, " %" G_GUINT64_FORMAT "+%"
                                   G_GUINT64_FORMAT, io->offset / SB_BLOCK,
                                   io->len / SB_BLOCK);
        }
    }
    g_assert_cmpstr(s->str, ==, text);
}

void sb_run(SbVolume *v)
{
    test_loop_run_bhs(v->loop);
}

void sb_flap(SbVolume *v)
{
    sb_lost(v, false);
    test_loop_advance(v->loop, 2 * SN_NS_PER_S);
    sb_ready(v);
    sb_run(v);
}
