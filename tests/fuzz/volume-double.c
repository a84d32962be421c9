/*
 * Volumes without a backend.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "volume-double.h"

#define BLOCK 512

struct SnVolume {
    SnVolumeConfig config;
    SnVolumeState state;
    SnVolumeInfo info;
    bool was_ready;
    SnLatency latency;
    GPtrArray *ios;             /* SnIo *, submitted and not over */
};

enum { IDLE, SUBMITTED };       /* SnIo.state */

static unsigned n_data;
static bool submitting;

const SnVolumeInfo vd_default_info = {
    .size = 1024 * BLOCK, .block_size = BLOCK, .phys_block_size = BLOCK,
    .max_transfer = 64 * BLOCK, .max_discard = 256 * BLOCK,
    .discard_granularity = BLOCK, .max_write_zeroes = 256 * BLOCK,
    .write_cache = true, .fua = true, .compare = true,
    .max_compare_and_write = 8 * BLOCK,
    .queue_depth = 64, .queues = 1,
    .nvme = { .passthrough = true, .oncs = 0x1ff, .rescap = 0xff },
};

GQuark sn_volume_error_quark(void)
{
    return g_quark_from_static_string("volume-double");
}

const char *sn_volume_state_name(SnVolumeState state)
{
    static const char *const names[] = { "CONNECTING", "READY", "LOST",
                                         "FAILED" };

    return names[state];
}

SnVolume *sn_volume_open(const SnVolumeConfig *config, GError **err)
{
    SnVolume *vol;

    if (!strcmp(config->url, VD_BAD_URL)) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL, "it is bad");
        return NULL;
    }
    vol = g_new0(SnVolume, 1);
    vol->config = *config;
    vol->ios = g_ptr_array_new();
    return vol;
}

void sn_volume_close(SnVolume *vol)
{
    g_assert_cmpuint(vol->ios->len, ==, 0);
    g_ptr_array_free(vol->ios, true);
    g_free(vol);
}

SnVolumeState sn_volume_state(const SnVolume *vol)
{
    return vol->state;
}

const SnVolumeInfo *sn_volume_info(const SnVolume *vol)
{
    g_assert_true(vol->was_ready);
    return &vol->info;
}

const char *sn_volume_last_error(const SnVolume *vol)
{
    return "";
}

unsigned sn_volume_reconnects(const SnVolume *vol)
{
    return 0;
}

const SnLatency *sn_volume_latency(const SnVolume *vol, SnIoOp op)
{
    return &vol->latency;
}

/* What may be said of the memory of @io: it can be touched, and is enough. */
static void touch(const SnIo *io, int byte)
{
    bool fill = io->op == SN_IO_READ ||
                (io->op == SN_IO_NVME && io->nvme->dir == SN_NVME_IN);
    uint64_t sum = 0;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        const struct iovec *v = &io->iov[i];

        g_assert_cmpuint(v->iov_len, >, 0);
        sum += v->iov_len;
        if (fill && byte >= 0) {
            memset(v->iov_base, byte, v->iov_len);
        } else {
            const volatile uint8_t *bytes = v->iov_base;

            (void)bytes[0];
            (void)bytes[v->iov_len - 1];
        }
    }
    if (io->iovcnt) {
        g_assert_cmpuint(sum, ==, io->op == SN_IO_COMPARE_AND_WRITE
                                  ? 2 * io->len : io->len);
    }
}

void sn_volume_submit(SnVolume *vol, SnIo *io)
{
    g_assert_false(submitting);
    submitting = true;
    g_assert_true(io->state == IDLE);
    g_assert_nonnull(io->complete);
    if (io->op == SN_IO_READ || io->op == SN_IO_WRITE ||
        io->op == SN_IO_COMPARE || io->op == SN_IO_COMPARE_AND_WRITE) {
        g_assert_cmpuint(io->len, >, 0);
        g_assert_cmpuint(io->iovcnt, >, 0);
    }
    if (io->op == SN_IO_NVME) {
        g_assert_nonnull(io->nvme);
    }
    touch(io, -1);
    io->state = SUBMITTED;
    io->vol = vol;
    g_ptr_array_add(vol->ios, io);
    n_data += io->op != SN_IO_FLUSH;
    submitting = false;
}

void sn_volume_kick(SnVolume *vol)
{
}

static void take_out(SnIo *io)
{
    g_assert_true(io->state == SUBMITTED);
    g_assert_true(g_ptr_array_remove(io->vol->ios, io));
    io->state = IDLE;
    n_data -= io->op != SN_IO_FLUSH;
}

void sn_io_cancel(SnIo *io)
{
    take_out(io);
}

unsigned vd_count(const SnVolume *vol)
{
    return vol->ios->len;
}

unsigned vd_count_data(void)
{
    return n_data;
}

void vd_done(SnVolume *vol, unsigned index, int ret, uint16_t status,
             uint8_t byte)
{
    SnIo *io = vol->ios->pdata[index];
    SnVolumeConfig config = vol->config;

    if (vol->state == SN_VOLUME_FAILED) {
        ret = -ENODEV;
    }
    touch(io, byte);
    if (io->op == SN_IO_NVME) {
        memset(&io->nvme->cqe, byte, sizeof(io->nvme->cqe));
        io->nvme->cqe.status = GUINT16_TO_LE(ret ? 0 : status << 1);
    }
    take_out(io);
    io->nvme_status = ret ? status & 0x47ff : 0;
    io->complete(io, ret);
    config.events->batch_done(config.opaque);
}

void vd_set_state(SnVolume *vol, SnVolumeState state,
                  const SnVolumeInfo *info)
{
    if (state == SN_VOLUME_READY) {
        if (info || !vol->was_ready) {
            vol->info = info ? *info : vd_default_info;
        }
        vol->was_ready = true;
    }
    if (state != vol->state) {
        vol->state = state;
        vol->config.events->state_changed(vol->config.opaque, state);
    }
}

void vd_set_info(SnVolume *vol, const SnVolumeInfo *info)
{
    g_assert_true(vol->state == SN_VOLUME_READY);
    vol->info = *info;
    vol->config.events->info_changed(vol->config.opaque);
}

void vd_reservation(SnVolume *vol, uint8_t type)
{
    g_assert_true(vol->state == SN_VOLUME_READY);
    vol->config.events->reservation(vol->config.opaque, type);
}
