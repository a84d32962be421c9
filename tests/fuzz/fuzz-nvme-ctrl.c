/*
 * Fuzz target: the NVMe controller, between a guest that writes what it likes
 * to registers, doorbells, queues and memory, and volumes that come, go, fail
 * and answer as they like.
 *
 * Looked for besides memory errors: guest memory touched that is not mapped at
 * the moment, or written while the controller is disabled or stopped; mappings
 * and requests that outlive a reset; interrupts after one; a command that is
 * never answered though its volume has answered and its queue has room.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "fuzz.h"
#include "guest-memory.h"
#include "smartnic/log.h"
#include "test-loop.h"
#include "volume-double.h"

#define MAX_OPS     300
#define QUEUE_PAIRS 4
#define ENTRIES     64
#define NAMESPACES  3           /* at a time */
#define RING        0x1000      /* bytes that a queue has for itself */

/* Where a driver that means well has its things. */
#define ADMIN_SQ    GM_RAM
#define ADMIN_CQ    (GM_RAM + RING)
#define IO_SQ(qid)  (GM_RAM + 2 * (qid) * RING)
#define IO_CQ(qid)  (GM_RAM + (2 * (qid) + 1) * RING)
#define SHADOW      (GM_RAM + 0xa000)
#define EVENT_INDEX (GM_RAM + 0xb000)

#define REG_CAP  0x00
#define REG_CC   0x14
#define REG_AQA  0x24
#define REG_ASQ  0x28
#define REG_ACQ  0x30

static FuzzIn in;
static SnLoop *loop;
static SnCtrl *ctrl;
static SnCtrlNs *spaces[NAMESPACES];
static bool running;
static bool enabled;            /* CC.EN */
static bool pin;

/* ------------------------------------------------- the function's side */

static void on_notify(void *opaque, unsigned vector)
{
    g_assert_true(gm_writes_allowed);
    g_assert_cmpuint(vector, <, QUEUE_PAIRS + 1);
}

static void on_forget_messages(void *opaque)
{
}

static void on_set_pin(void *opaque, bool level)
{
    pin = level;
}

static void on_doorbell_event(void *opaque, unsigned offset, bool on)
{
    g_assert_cmpuint(offset, >=, SN_CTRL_DOORBELLS);
    g_assert_cmpuint(offset, <, SN_CTRL_REGS_SIZE);
}

static const SnCtrlOps ops = {
    .notify = on_notify,
    .forget_messages = on_forget_messages,
    .set_pin = on_set_pin,
    .doorbell_event = on_doorbell_event,
};

/* What must be so whenever the controller may not touch the guest. */
static void check_quiet(void)
{
    if (!enabled) {
        g_assert_cmpuint(vd_count_data(), ==, 0);
        g_assert_false(pin);
    }
    if (!enabled || !running) {
        g_assert_cmpuint(gm_holds(), ==, 0);
    }
}

static void set_allowed(void)
{
    gm_writes_allowed = enabled && running;
}

static void write_reg(unsigned offset, uint64_t value, unsigned size)
{
    if (offset == REG_CC && size == 4 && enabled) {
        enabled = value & 1;    /* quiet from the first moment on */
        set_allowed();
    }
    sn_ctrl_write(ctrl, offset, value, size);
    enabled = sn_ctrl_read(ctrl, REG_CC, 4) & 1;
    set_allowed();
    check_quiet();
}

static void set_running(bool on)
{
    running = on;
    set_allowed();
    sn_ctrl_set_running(ctrl, on);
    check_quiet();
}

static void reset(void)
{
    enabled = false;
    set_allowed();
    sn_ctrl_reset(ctrl);
    check_quiet();
}

/* ----------------------------------------------------- the guest's side */

/* Mostly RAM, in steps of 1 KiB; else its borders and what is none. */
static uint64_t pick_address(void)
{
    static const uint64_t others[] = {
        GM_ROM, GM_HIGH, GM_HIGH + GM_HIGH_SIZE - 0x1000,
        GM_RAM + GM_RAM_SIZE / 2 - 0x1000, GM_RAM + GM_RAM_SIZE - 0x1000,
        UINT64_MAX - 0xfff, UINT64_MAX - 3, 0xfe000000, 0, 4, GM_RAM - 0x1000,
        INT64_MAX,
    };
    uint8_t b = fuzz_u8(&in);

    if (b < 0xc0) {
        return GM_RAM + b * 0x400;
    }
    if (b < 0xe0) {
        return GM_RAM + 0x20000 + (b & 31) * 4;
    }
    if (b < 0xe0 + G_N_ELEMENTS(others)) {
        return others[b - 0xe0];
    }
    return (uint64_t)fuzz_u8(&in) << 32 | fuzz_u32(&in);
}

static uint32_t pick_nsid(uint8_t how)
{
    return how < 200 ? 1 + how % NAMESPACES :
           how < 230 ? 0 : how < 240 ? UINT32_MAX : fuzz_u32(&in);
}

static void poke_u64(uint64_t addr, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    gm_poke(addr, &value, sizeof(value));
}

static void ring(unsigned offset, uint64_t shadow, uint32_t value, bool write)
{
    if (shadow) {
        uint32_t le = GUINT32_TO_LE(value);

        gm_poke(shadow, &le, sizeof(le));
    }
    if (write) {
        write_reg(SN_CTRL_DOORBELLS + offset, value, 4);
    } else {
        sn_ctrl_doorbell_event(ctrl, SN_CTRL_DOORBELLS + offset);
    }
}

/* Writes @n entries from the tail on and makes them known. */
static void submit(unsigned qid, const SnNvmeSqe *sqes, unsigned n,
                   bool write)
{
    SnCtrlSq *sq = ctrl->sqs[qid];
    unsigned tail;

    if (!sq) {
        return;
    }
    tail = sq->tail;
    for (unsigned i = 0; i < n; i++) {
        gm_poke(sq->base + tail * sizeof(*sqes), &sqes[i], sizeof(*sqes));
        tail = (tail + 1) % sq->entries;
    }
    ring(qid * 8, sq->shadow.doorbell, tail, write);
}

/* Takes all entries that were posted. */
static void consume(unsigned qid, bool write)
{
    SnCtrlCq *cq = ctrl->cqs[qid];

    if (cq) {
        ring(qid * 8 + 4, cq->shadow.doorbell, cq->tail, write);
    }
}

static const uint8_t admin_opcodes[] = {
    nvme_admin_delete_sq, nvme_admin_create_sq, nvme_admin_get_log_page,
    nvme_admin_delete_cq, nvme_admin_create_cq, nvme_admin_identify,
    nvme_admin_abort_cmd, nvme_admin_set_features, nvme_admin_get_features,
    nvme_admin_async_event, nvme_admin_keep_alive, nvme_admin_dbbuf,
    nvme_admin_get_lba_status, nvme_admin_ns_mgmt, nvme_admin_format_nvm,
    nvme_admin_async_event,
};

static const uint8_t io_opcodes[] = {
    nvme_cmd_flush, nvme_cmd_write, nvme_cmd_read, nvme_cmd_write_uncor,
    nvme_cmd_compare, nvme_cmd_write_zeroes, nvme_cmd_dsm, nvme_cmd_verify,
    nvme_cmd_resv_register, nvme_cmd_resv_report, nvme_cmd_resv_acquire,
    nvme_cmd_resv_release, nvme_cmd_read, nvme_cmd_write, nvme_cmd_read,
    nvme_cmd_dsm,
};

/* A command with the fields that the input wants; the others are harmless. */
static SnNvmeSqe make_command(bool admin)
{
    uint8_t op = fuzz_u8(&in), shape = fuzz_u8(&in);
    SnNvmeSqe sqe = {
        .opcode = op & 0x80 ? op : (admin ? admin_opcodes : io_opcodes)
                                   [op % 16],
        .cid = GUINT16_TO_LE(fuzz_u8(&in)),
        .nsid = GUINT32_TO_LE(admin ? 0 : 1),
        .prp1 = GUINT64_TO_LE(GM_RAM + 0x20000),
        .prp2 = GUINT64_TO_LE(GM_RAM + 0x21000),
    };

    if (shape & 1) {
        sqe.nsid = GUINT32_TO_LE(pick_nsid(fuzz_u8(&in)));
    }
    if (shape & 2) {
        sqe.prp1 = GUINT64_TO_LE(pick_address());
    }
    if (shape & 4 && !(shape & 8)) {
        sqe.prp2 = GUINT64_TO_LE(pick_address());
    }
    if (shape & 8) {
        sqe.flags = fuzz_u8(&in);
        if (sqe.flags & SN_NVME_PSDT_MASK) {
            sqe.sgl_len = GUINT32_TO_LE(fuzz_u16(&in));
            sqe.sgl_type = fuzz_u8(&in);
        }
    }
    if (shape & 16) {
        sqe.cdw10 = GUINT32_TO_LE(fuzz_u16(&in));
    }
    if (shape & 32) {
        sqe.cdw11 = GUINT32_TO_LE(fuzz_u32(&in));
    }
    if (shape & 64) {
        sqe.cdw12 = GUINT32_TO_LE(fuzz_u16(&in));
    }
    if (shape & 128) {
        sqe.cdw10 = GUINT32_TO_LE(fuzz_u32(&in));
        sqe.cdw12 = GUINT32_TO_LE(fuzz_u32(&in));
        sqe.cdw13 = GUINT32_TO_LE(fuzz_u32(&in));
    }
    return sqe;
}

static void commands(uint8_t op)
{
    SnNvmeSqe sqes[4];
    unsigned qid = op >> 4 & 7, n = 1 + (op >> 7);

    qid = qid > QUEUE_PAIRS ? 0 : qid;
    for (unsigned i = 0; i < n; i++) {
        sqes[i] = make_command(qid == 0);
    }
    submit(qid, sqes, n, true);
}

/* As a driver begins; what the input says is different. */
static void enable(void)
{
    uint8_t how = fuzz_u8(&in);
    uint32_t cc = 0x00460001 | (how & 3) << 7 | (how & 4 ? 1 << 11 : 0);

    write_reg(REG_CC, 0, 4);
    write_reg(REG_AQA, (how & 8 ? 3 : 31) * 0x10001u, 4);
    write_reg(REG_ASQ, how & 16 ? pick_address() : ADMIN_SQ, 8);
    write_reg(REG_ACQ, how & 32 ? pick_address() : ADMIN_CQ, 8);
    write_reg(REG_CC, how & 64 ? cc ^ fuzz_u32(&in) : cc, 4);
    test_loop_run_bhs(loop);
}

static void create_queues(uint8_t op)
{
    unsigned qid = 1 + (op >> 4) % QUEUE_PAIRS;
    uint32_t size = (op & 0x80 ? 3 : ENTRIES - 1) << 16;
    SnNvmeSqe sqes[2] = {
        { .opcode = nvme_admin_create_cq, .cid = 0x100,
          .prp1 = GUINT64_TO_LE(IO_CQ(qid)),
          .cdw10 = GUINT32_TO_LE(size | qid),
          .cdw11 = GUINT32_TO_LE(qid << 16 | 3) },
        { .opcode = nvme_admin_create_sq, .cid = 0x101,
          .prp1 = GUINT64_TO_LE(IO_SQ(qid)),
          .cdw10 = GUINT32_TO_LE(size | qid),
          .cdw11 = GUINT32_TO_LE(qid << 16 | 1 | (qid & 3) << 1) },
    };

    submit(0, sqes, 2, true);
}

static void config_dbbuf(void)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_dbbuf, .cid = 0x102,
        .prp1 = GUINT64_TO_LE(SHADOW), .prp2 = GUINT64_TO_LE(EVENT_INDEX),
    };

    submit(0, &sqe, 1, true);
}

/* Bytes, a PRP list, SGL descriptors, or ranges, somewhere. */
static void poke(uint8_t op)
{
    uint64_t addr = pick_address();
    size_t len;
    const uint8_t *p;

    switch (op >> 6) {
    case 0:
        p = fuzz_bytes(&in, fuzz_u8(&in), &len);
        gm_poke(addr, p, len);
        break;
    case 1:
        for (unsigned n = 1 + (op >> 4 & 3) * 8; n; n--, addr += 8) {
            poke_u64(addr, pick_address());
        }
        break;
    case 2:
        for (unsigned n = 1 + (op >> 4 & 3); n; n--, addr += 16) {
            poke_u64(addr, pick_address());
            poke_u64(addr + 8, fuzz_u16(&in) |
                     (uint64_t)fuzz_u8(&in) << 56);
        }
        break;
    default:
        for (unsigned n = 1 + (op >> 4 & 3); n; n--, addr += 16) {
            poke_u64(addr, (uint64_t)fuzz_u16(&in) << 32);
            poke_u64(addr + 8, fuzz_u16(&in));
        }
        break;
    }
}

static void any_register(void)
{
    static const uint16_t offsets[] = {
        0x00, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30,
        0x34, 0x38, 0x3c, 0x40, 0x1000,
    };
    uint8_t how = fuzz_u8(&in);
    unsigned offset = offsets[how & 15], size = 1 << (how >> 4 & 3);

    if (how & 0x40) {
        offset = (offset + fuzz_u16(&in)) % (SN_CTRL_REGS_SIZE - 8);
    }
    if (how & 0x80) {
        sn_ctrl_read(ctrl, offset, size);
    } else {
        uint64_t value = fuzz_u32(&in);

        write_reg(offset, size == 8 ? value << 32 | fuzz_u32(&in) : value,
                  size);
    }
}

static void any_doorbell(uint8_t op)
{
    unsigned offset = fuzz_u8(&in) % (2 * (QUEUE_PAIRS + 2)) * 4;

    if (op & 0x10) {
        sn_ctrl_doorbell_event(ctrl, SN_CTRL_DOORBELLS + offset);
    } else {
        write_reg(SN_CTRL_DOORBELLS + offset,
                  op & 0x20 ? fuzz_u32(&in) : fuzz_u8(&in) % (ENTRIES + 2), 4);
    }
}

/* -------------------------------------------------------- the far side */

static SnVolume *pick_volume(uint8_t op)
{
    SnCtrlNs *ns = spaces[(op >> 4) % NAMESPACES];

    return ns ? sn_ctrl_ns_volume(ns) : NULL;
}

static void answer(uint8_t op)
{
    static const int results[] = {
        0, 0, 0, 0, 0, 0, -EIO, -ENOSPC, -EROFS, -EINVAL, -EOPNOTSUPP,
        -EILSEQ, -ENODEV, -ETIMEDOUT, -EBADE, -ECONNRESET,
    };
    SnVolume *vol = pick_volume(op);
    uint8_t how;

    if (!vol || !vd_count(vol)) {
        return;
    }
    how = fuzz_u8(&in);
    vd_done(vol, (how >> 4) % vd_count(vol), results[how & 15],
            how & 8 ? fuzz_u16(&in) : 0, how);
}

static void change_volume(uint8_t op)
{
    SnVolume *vol = pick_volume(op);
    SnVolumeInfo info = vd_default_info;
    uint8_t how = fuzz_u8(&in);

    if (!vol || sn_volume_state(vol) == SN_VOLUME_FAILED) {
        return;
    }
    info.size = (1 + (how >> 4)) * 128 * 512;
    info.read_only = how & 1;
    info.write_cache = how & 2;
    if (how & 4) {
        info.nvme = (SnVolumeNvme) { 0 };
        info.compare = false;
        info.max_compare_and_write = 0;
        info.max_discard = info.max_write_zeroes = 0;
    }
    if (how & 8) {
        info.block_size = info.phys_block_size = 4096;
    }
    if ((op >> 6) == 0) {
        vd_set_state(vol, SN_VOLUME_READY, &info);
    } else if ((op >> 6) == 3 && how > 200) {
        vd_set_state(vol, SN_VOLUME_FAILED, NULL);
    } else if (sn_volume_state(vol) == SN_VOLUME_READY) {
        if (how & 1) {
            vd_set_state(vol, SN_VOLUME_LOST, NULL);
        } else if ((op >> 6) == 2) {
            vd_reservation(vol, 1 + (how >> 4) % 3);
        } else {
            vd_set_info(vol, &info);
        }
    }
}

static void plug(uint8_t op)
{
    SnCtrlNs **ns = &spaces[(op >> 4) % NAMESPACES];
    SnCtrlNsConfig config = {
        .nsid = op & 0x80 ? 1 + (op >> 4) % NAMESPACES :
                pick_nsid(fuzz_u8(&in)),
        .url = fuzz_u8(&in) == 255 ? VD_BAD_URL : "double://",
        .id = "vol",
    };
    g_autoptr(GError) err = NULL;

    if (*ns) {
        sn_ctrl_remove_namespace(ctrl, *ns);
        *ns = NULL;
    } else {
        *ns = sn_ctrl_add_namespace(ctrl, &config, &err);
        g_assert_true(!*ns == !!err);
    }
}

/* --------------------------------------------------------------- a run */

static void step(uint8_t op)
{
    switch (op & 15) {
    case 0 ... 3:
        commands(op);
        break;
    case 4:
        enable();
        break;
    case 5:
        create_queues(op);
        break;
    case 6:
        poke(op);
        break;
    case 7:
        any_register();
        break;
    case 8:
        any_doorbell(op);
        break;
    case 9:
        consume(fuzz_u8(&in) % (QUEUE_PAIRS + 1), op & 16);
        break;
    case 10 ... 11:
        answer(op);
        break;
    case 12:
        change_volume(op);
        break;
    case 13:
        plug(op);
        break;
    case 14:
        test_loop_advance(loop, (op & 16 ? SN_NS_PER_S : SN_NS_PER_MS) *
                          fuzz_u8(&in));
        break;
    default:
        if (op & 0x80) {
            config_dbbuf();
        } else if (op & 0x40) {
            reset();
        } else if (op & 0x20) {
            sn_ctrl_use_interrupts(ctrl, op & 0x10 ? SN_CTRL_PIN
                                                  : SN_CTRL_MSI);
        } else {
            set_running(op & 0x10);
        }
        break;
    }
    if ((op & 15) != 3 && (op & 15) != 8) {
        test_loop_run_bhs(loop);
    }
    check_quiet();
}

static void start(uint8_t how)
{
    SnCtrlConfig config = {
        .id = "nvme0", .serial = "FUZZ", .queue_pairs = QUEUE_PAIRS,
        .vectors = how & 1 ? 1 : QUEUE_PAIRS + 1, .entries = ENTRIES,
        .ready_timeout = 1000, .pci_vendor = 0x1af4,
        .pci_subsystem_vendor = 0x1af4, .loop = loop, .dma = gm_reset(),
        .ops = &ops,
    };
    SnCtrlNsConfig ns = { .nsid = 1, .url = "double://", .id = "vol0" };

    ctrl = sn_ctrl_new(&config);
    running = enabled = pin = false;
    set_allowed();
    memset(spaces, 0, sizeof(spaces));
    spaces[0] = sn_ctrl_add_namespace(ctrl, &ns, NULL);
    g_assert_nonnull(spaces[0]);
    if (!(how & 2)) {
        vd_set_state(sn_ctrl_ns_volume(spaces[0]), SN_VOLUME_READY, NULL);
    }
    if (!(how & 4)) {
        set_running(true);
    }
}

static void answer_all(void)
{
    for (unsigned i = 0; i < NAMESPACES; i++) {
        SnVolume *vol = spaces[i] ? sn_ctrl_ns_volume(spaces[i]) : NULL;

        while (vol && vd_count(vol)) {
            vd_done(vol, 0, 0, 0, 0);
        }
    }
}

/* Commands that were fetched and wait for nothing that will not come. */
static unsigned unanswered(void)
{
    unsigned n = ctrl->parked.count;

    for (unsigned qid = 0; qid <= QUEUE_PAIRS; qid++) {
        SnCtrlSq *sq = ctrl->sqs[qid];

        n += sq ? sq->outstanding : 0;
        for (SnCtrlReq *r = sq ? sq->active.head : NULL; r; r = r->next) {
            n -= r->state == SN_REQ_EVENT;
        }
    }
    return n;
}

/* From now on all goes well, so that all commands come to an end. */
static void finish(void)
{
    unsigned rounds = 0;

    set_running(true);
    while (ctrl->state == SN_CTRL_READY && rounds++ < 1000) {
        test_loop_run_bhs(loop);
        answer_all();
        for (unsigned qid = 0; qid <= QUEUE_PAIRS; qid++) {
            consume(qid, true);
        }
        if (!unanswered() && !vd_count_data()) {
            break;
        }
    }
    g_assert_cmpuint(rounds, <, 1000);
    for (unsigned qid = 0; qid <= QUEUE_PAIRS + 1; qid++) {
        sn_ctrl_queue_latency(ctrl, qid);
    }
    reset();
    g_assert_cmpuint(sn_ctrl_status(ctrl) & 3, ==, 0);
    sn_ctrl_free(ctrl);
    g_assert_cmpuint(gm_holds(), ==, 0);
    test_loop_free(loop);
}

static void no_log(SnLogLevel level, const char *line)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (FuzzIn) { data, size };
    sn_log_set_func(no_log);
    loop = test_loop_new();
    start(fuzz_u8(&in));
    fuzz_steps(&in, MAX_OPS, step);
    in.len = 0;
    finish();
    return 0;
}
