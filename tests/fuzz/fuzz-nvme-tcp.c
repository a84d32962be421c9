/*
 * Fuzz target: the NVMe/TCP initiator, with a volume on top, against a target
 * that lies where the input says so.
 *
 * Looked for besides memory errors: a request that never completes, and what
 * the volume's user looks for (volume-user.h).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "fuzz.h"
#include "nvme-target.h"
#include "volume-user.h"

#define MAX_OPS 100

static FuzzIn in;
static SnLoop *loop;
static Target *target;
static VolumeUser user;

/* ------------------------------------------------------- the input */

/* A command that is passed on as it is. */
static void set_command(UserReq *r, uint8_t how)
{
    static const struct {
        uint8_t opcode;
        SnNvmeDir dir;
        uint32_t len;
    } commands[] = {
        { nvme_cmd_verify }, { nvme_cmd_write_uncor },
        { nvme_cmd_resv_register, SN_NVME_OUT, 16 },
        { nvme_cmd_resv_report, SN_NVME_IN, 4096 },
        { nvme_cmd_compare, SN_NVME_OUT, 8192 }, { 0x80 },
        { nvme_admin_get_lba_status, SN_NVME_IN, 1024 },
        { nvme_admin_identify, SN_NVME_IN, 4096 },
    };
    unsigned which = how & 7;

    r->io.op = SN_IO_NVME;
    r->io.flags = how & 8 ? SN_IO_ONCE : 0;
    r->io.len = commands[which].len;
    r->io.nvme = &r->nvme;
    r->nvme.sqe.opcode = commands[which].opcode;
    r->nvme.sqe.cdw10 = which == 7 ? GUINT32_TO_LE(1) : fuzz_u8(&in);
    r->nvme.sqe.cdw12 = fuzz_u8(&in);
    r->nvme.dir = commands[which].dir;
    r->nvme.admin = which > 5;
}

static void set_fault(void)
{
    for (unsigned i = 0; i < TARGET_FAULTS; i++) {
        Fault *f = &target->faults[i];

        if (f->kind == FAULT_NONE) {
            f->kind = fuzz_u8(&in) % FAULT_KINDS;
            f->skip = fuzz_u8(&in);
            f->at = fuzz_u16(&in);
            f->value = fuzz_u32(&in);
            return;
        }
    }
}

static void send_raw(void)
{
    unsigned conn = fuzz_u8(&in);
    size_t len;
    const uint8_t *bytes = fuzz_bytes(&in, fuzz_u8(&in), &len);

    user.raw = true;
    if (len) {
        target_send_raw(target, conn, bytes, len);
    }
}

static void send_made_up(void)
{
    static const uint8_t types[] = { 1, 3, 5, 5, 7, 7, 9, 9 };
    uint8_t how = fuzz_u8(&in);
    unsigned nth = fuzz_u8(&in);
    uint8_t flags = fuzz_u8(&in);
    uint32_t offset = fuzz_u16(&in), len = fuzz_u16(&in);

    target_send_made_up(target, how >> 4, types[how & 7], nth, flags,
                        how & 8 ? offset << 16 : offset, len);
}

static void change_target(void)
{
    uint8_t how = fuzz_u8(&in);

    switch (how & 7) {
    case 0:
        target->hold = !target->hold;
        target->loop->bh_schedule(target->bh);
        break;
    case 1:
        target->deaf = !target->deaf;
        break;
    case 2:
        target->size = (uint64_t)(fuzz_u8(&in) + 1) * 4096;
        target->admin_lied = true;
        break;
    case 3:
        target->removed = how & 8;
        target->admin_lied = true;      /* it may be for good */
        break;
    case 4:
        target->io_status = fuzz_u16(&in);
        target->io_failures = how >> 3;
        break;
    case 5:
        target_stall(target, how & 8);
        break;
    case 6:
        target->discovery = how & 8;
        break;
    case 7:
        target_event(target, fuzz_u32(&in));
        break;
    }
}

static void step(uint8_t op)
{
    switch (op & 15) {
    case 0 ... 3:
        user_submit_any(&user);
        break;
    case 4:
        user_cancel_any(&user);
        break;
    case 5:
        sn_volume_kick(user.vol);
        break;
    case 6:
        user_wait(&user);
        break;
    case 7 ... 8:
        set_fault();
        break;
    case 9:
        send_raw();
        break;
    case 10 ... 11:
        send_made_up();
        break;
    case 12:
        target_end(target, op >> 5, fuzz_u8(&in) & 1 ? 0 : -ECONNRESET);
        break;
    default:
        change_target();
        break;
    }
    if (op & 16) {
        sn_volume_kick(user.vol);
        test_loop_run_bhs(loop);
    }
}

static void set_up(void)
{
    uint8_t how = fuzz_u8(&in), like = fuzz_u8(&in), sizes = fuzz_u8(&in);
    g_autofree char *url = g_strdup_printf(
        "nvme+tcp://target/nqn.2026-11.test:disk?reconnect-delay=1&hdgst=%s"
        "&ddgst=%s&queues=%u&keep-alive-tmo=%u", how & 1 ? "on" : "off",
        how & 2 ? "on" : "off", how & 4 ? 2 : 1, how & 8 ? 0 : 5);
    SnVolumeConfig config = {
        .url = url, .id = "nic0", .loop = loop, .events = &user_events,
    };

    target = target_new(loop, how >> 4);
    target->success = like & 1;
    target->ana = like & 2;
    target->block_shift = like & 4 ? 12 : 9;
    target->cqt = like & 8 ? 500 : 0;
    target->crdt = like & 16 ? 10 : 0;
    target->cpda = like & 32 ? 3 : 0;
    target->pad = like & 64 ? 4 : 0;
    target->discovery = (like & 0x88) == 0x88;
    target->c2h_max = sizes & 1 ? 1000 : UINT32_MAX;
    target->r2t_max = sizes & 2 ? 512 : UINT32_MAX;
    target->ioccsz = sizes & 4 ? 4 : (64 + 4096) / 16;
    target->maxh2cdata = sizes & 8 ? 128 * 1024 : 4096;
    target->net->grain = sizes & 16 ? 100u << (sizes >> 5) : SIZE_MAX;
    config.net = &target->net->net;
    user = (VolumeUser) {
        .in = &in, .loop = loop, .compare = SN_IO_COMPARE,
        .disk = TARGET_BYTE, .set_command = set_command,
    };
    user.vol = sn_volume_open(&config, NULL);
    g_assert_nonnull(user.vol);
}

/*
 * The target behaves again and the connections are made anew, so everything
 * has to come to an end, unless it was told lies about what the disk is.
 */
static void finish(void)
{
    bool lied = target->admin_lied || user.raw;

    target_stall(target, false);
    target_mend(target);
    target->net->grain = SIZE_MAX;
    memory_net_end_all(target->net, -ECONNRESET);
    user_finish(&user, lied);
    target_free(target);
    test_loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (FuzzIn) { data, size };
    sn_log_set_func(fuzz_log);
    loop = test_loop_new();
    set_up();
    fuzz_steps(&in, MAX_OPS, step);
    finish();
    return 0;
}
