/*
 * Fuzz target: the iSCSI initiator, with libiscsi in it and a volume on top,
 * against a target that is wrong where the input says so.
 *
 * Looked for besides memory errors: a request that never completes, and what
 * the volume's user looks for (volume-user.h).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "iscsi-double.h"
#include "smartnic/be.h"
#include "volume-internal.h"
#include "volume-user.h"

enum { MAX_OPS = 100, FAULTS = 4, DISK = 0x33 };

/* Of the answer after @skip others: bytes @at of the PDU become @value. */
typedef struct Fault {
    bool set;
    uint8_t skip, how;
    uint16_t at;
    uint32_t value;
} Fault;

extern const SnBackendOps sn_iscsi_backend;

static FuzzIn in;
static SnLoop *loop;
static IscsiDouble *target;
static VolumeUser user;
static Fault faults[FAULTS];
static bool lied;               /* the disk may seem to be another */

/* ------------------------------------------------------- the input */

static void apply(const Fault *f, GByteArray *pdu)
{
    uint8_t value[4];
    unsigned len = pdu->len;
    unsigned at = f->at % (f->how & 1 ? 48 : len);

    sn_put_be32(value, f->value);
    switch (f->how >> 1 & 3) {
    case 0:                     /* one byte */
        pdu->data[at] = value[3];
        break;
    case 1:                     /* a field */
        for (unsigned i = 0; i < 4 && at + i < pdu->len; i++) {
            pdu->data[at + i] = value[i];
        }
        break;
    case 2:                     /* an end, or more */
        g_byte_array_set_size(pdu, at + 1);
        user.raw = true;
        break;
    case 3:                     /* twice */
        g_byte_array_set_size(pdu, 2 * len);
        memcpy(pdu->data + len, pdu->data, len);
        break;
    }
    /* Lengths that are wrong make data of a BHS, and the reverse. */
    user.raw = user.raw || at < 8 || f->how >> 1 == 1;
    lied = lied || sn_volume_state(user.vol) != SN_VOLUME_READY;
}

/* Sees every answer. */
static void mangle(GByteArray *pdu)
{
    target->net->mangle = mangle;
    for (unsigned i = 0; i < FAULTS; i++) {
        if (faults[i].set && !faults[i].skip--) {
            faults[i].set = false;
            apply(&faults[i], pdu);
        }
    }
}

static void set_fault(void)
{
    for (unsigned i = 0; i < FAULTS; i++) {
        if (!faults[i].set) {
            faults[i].set = true;
            faults[i].skip = fuzz_u8(&in);
            faults[i].how = fuzz_u8(&in);
            faults[i].at = fuzz_u16(&in);
            faults[i].value = fuzz_u32(&in);
            return;
        }
    }
}

/* A PDU that nobody asked for, with a tag that is in use. */
static void send_made_up(void)
{
    static const uint8_t opcodes[] = {
        0x20, 0x21, 0x25, 0x25, 0x31, 0x31, 0x3f, 0x32,
    };
    static const uint8_t zeroes[1024];
    uint8_t how = fuzz_u8(&in);
    uint8_t bhs[48] = { opcodes[how & 7], fuzz_u8(&in), fuzz_u8(&in) };

    bhs[3] = fuzz_u8(&in);
    sn_put_be32(bhs + 16, sn_get_be32(target->itt) - (how >> 5));
    sn_put_be32(bhs + 20, how & 8 ? 0xffffffff : 1);
    bhs[36] = fuzz_u8(&in);
    sn_put_be32(bhs + 40, fuzz_u16(&in));
    sn_put_be32(bhs + 44, fuzz_u16(&in));
    user.raw = true;
    iscsi_double_send(target, bhs, zeroes, how & 16 ? fuzz_u8(&in) * 4 : 0);
}

static void change_target(void)
{
    static const uint16_t attentions[] = {
        0x2900, 0x2a01, 0x2a09, 0x2f00, 0x3f03, 0x3f0e, 0x2500, 0,
    };
    uint8_t how = fuzz_u8(&in);

    switch (how & 7) {
    case 0:
        target->hold = true;
        break;
    case 1:
        iscsi_double_release(target);
        break;
    case 2:
        target->silent = how & 8;
        break;
    case 3:
        target->attention = attentions[how >> 3 & 7];
        break;
    case 4:
        target->fail_op = how & 8 ? 0x88 : 0x8a;
        target->fail_count = how >> 4;
        target->fail_status = fuzz_u8(&in);
        target->sense_type = fuzz_u8(&in);
        target->key = fuzz_u8(&in) & 0xf;
        target->ascq = fuzz_u16(&in);
        break;
    case 5:
        target->net->no_acks = how & 8;
        memory_net_wake(target->net);
        break;
    case 6:
        iscsi_double_tell_event(target, how >> 3);
        break;
    case 7:
        iscsi_double_answer_all(target, how & 8 ? 0 : fuzz_u8(&in));
        user.raw = true;
        break;
    }
}

static void step(uint8_t op)
{
    switch (op & 15) {
    case 0 ... 4:
        user_submit_any(&user);
        break;
    case 5:
        user_cancel_any(&user);
        break;
    case 6:
        sn_volume_kick(user.vol);
        break;
    case 7:
        user_wait(&user);
        break;
    case 8 ... 10:
        set_fault();
        break;
    case 11 ... 12:
        send_made_up();
        break;
    case 13:
        memory_net_end_all(target->net, op >> 5 & 1 ? 0 : -ECONNRESET);
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
    static const char *const keys[] = {
        NULL, "InitialR2T=No", "ImmediateData=No", "FirstBurstLength=65536",
    };
    uint8_t how = fuzz_u8(&in), like = fuzz_u8(&in);
    g_autofree char *url = g_strdup_printf(
        "iscsi://portal/" ISCSI_DOUBLE_TARGET "/1?reconnect-delay=1"
        "&header-digest=%s&keep-alive-tmo=%u&queue-depth=%u",
        how & 1 ? "crc32c" : "none", how & 2 ? 0 : 5, how & 4 ? 4 : 128);
    SnUrl *parsed = sn_url_parse(url, NULL);
    SnVolumeConfig config = {
        .url = url, .id = "nic0", .loop = loop, .events = &user_events,
    };

    target = iscsi_double_new(loop, how >> 3);
    memset(target->disk, DISK, ISCSI_DOUBLE_SIZE);
    target->lenient = true;
    target->digest = how & 1;
    target->more_keys = keys[like & 3];
    target->no_fua = like & 4;
    target->no_cache = like & 8;
    target->window = like & 16 ? 3 : 128;
    target->r2t_max = like & 32 ? 512 : 32768;
    target->net->grain = like & 64 ? 300 : SIZE_MAX;
    target->net->mangle = mangle;
    config.net = &target->net->net;
    lied = false;
    user = (VolumeUser) {
        .in = &in, .loop = loop, .compare = SN_IO_COMPARE_AND_WRITE,
        .disk = DISK,
    };
    memset(faults, 0, sizeof(faults));
    user.vol = sn_volume_open_with_ops(&config, parsed, &sn_iscsi_backend,
                                       NULL);
    g_assert_nonnull(user.vol);
    sn_url_free(parsed);
}

/*
 * The target behaves again and the connections are made anew, so everything
 * has to come to an end, unless it was told lies about what the disk is.
 */
static void finish(void)
{
    memset(faults, 0, sizeof(faults));
    target->net->no_acks = target->silent = false;
    target->fail_count = target->attention = 0;
    target->net->grain = SIZE_MAX;
    iscsi_double_release(target);
    memory_net_end_all(target->net, -ECONNRESET);
    user_finish(&user, lied);
    test_loop_run_bhs(loop);
    iscsi_double_free(target);
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
