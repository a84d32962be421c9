/*
 * The iSCSI backend against targets that break the protocol, each in a way that
 * libiscsi would not survive, not notice, or believe: it ends the session, with
 * a line that names the field.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "backend-checks.h"
#include "iscsi-double.h"
#include "smartnic/be.h"
#include "smartnic/secret.h"

enum { NOP_IN = 0x20, RESPONSE = 0x21, LOGIN_RESPONSE = 0x23, DATA_IN = 0x25,
       LOGOUT_RESPONSE = 0x26, R2T = 0x31, ASYNC = 0x32, REJECT = 0x3f };
enum { F = 0x80, S = 0x01 };

/* What waits for an answer. */
typedef enum Pending {
    LOGIN,
    NOP,
    READ,                       /* of 4096 bytes */
    WRITE,                      /* of 128 KiB, all asked for and sent */
    IMMEDIATE_WRITE,            /* of 512 bytes, sent with the command */
} Pending;

typedef struct Case {
    Pending pending;
    uint8_t opcode, flags, response, status;
    uint32_t offset, len;       /* Buffer Offset; length of R2T */
    uint32_t data;              /* bytes */
    const char *words;          /* of the message */
} Case;

static const Case cases[] = {
    { LOGIN, DATA_IN, 0, 0, 0, 0, 0, 8, "Data-In with a wrong Initiator" },
    { LOGIN, R2T, F, 0, 0, 0, 512, 0, "R2T with a wrong Initiator" },
    { LOGIN, RESPONSE, F, 0, 0, 0, 0, 0, "Response with a wrong Initiator" },
    { NOP, DATA_IN, 0, 0, 0, 0, 0, 8, "Data-In with a wrong Initiator" },
    { NOP, R2T, F, 0, 0, 0, 512, 0, "R2T with a wrong Initiator" },
    { NOP, LOGIN_RESPONSE, 0x87, 0, 0, 0, 0, 0, "second Login Response" },
    { READ, R2T, F, 0, 0, 0, 512, 0, "R2T with a wrong Initiator" },
    { READ, DATA_IN, 0, 0, 0, 512, 0, 512, "wrong Buffer Offset" },
    { READ, DATA_IN, 0, 0, 0, 0, 0, 4100, "wrong DataSegmentLength" },
    { READ, DATA_IN, S, 0, 0, 0, 0, 512, "wrong F bit" },
    { READ, DATA_IN, F | S, 0, 2, 0, 0, 512, "wrong Status" },
    { READ, RESPONSE, F, 1, 0, 0, 0, 0, "wrong Response" },
    { READ, RESPONSE, F, 0, 2, 0, 0, 0, "wrong SenseLength" },
    { READ, RESPONSE, F, 0, 2, 0, 0, 19, "wrong SenseLength" },
    { READ, RESPONSE, F, 0, 2, 0, 0, 20000, "wrong DataSegmentLength" },
    { WRITE, DATA_IN, 0, 0, 0, 0, 0, 8, "Data-In with a wrong Initiator" },
    { WRITE, R2T, F, 0, 0, 0, 512, 0, "R2T with a wrong Buffer Offset" },
    { IMMEDIATE_WRITE, R2T, F, 0, 0, 0, 0, 0, "wrong Desired Data" },
    { IMMEDIATE_WRITE, R2T, F, 0, 0, 0, 0xffffffff, 0, "wrong Desired Data" },
    { IMMEDIATE_WRITE, R2T, F, 0, 0, 0, 511, 0, "wrong Desired Data" },
    { IMMEDIATE_WRITE, R2T, F, 0, 0, 513, 512, 0, "wrong Buffer Offset" },
    { IMMEDIATE_WRITE, LOGOUT_RESPONSE, F, 0, 0, 0, 0, 0, "session to end" },
    { IMMEDIATE_WRITE, 0x3e, F, 0, 0, 0, 0, 0, "a PDU with a wrong opcode" },
};

static void start_pending(World *w, Pending pending, Req *r)
{
    g_autofree uint8_t *data = g_malloc0(128 * 1024);

    if (pending == LOGIN) {
        w->iscsi->silent = true;
        iscsi_world_open(w, "io-timeout=0");
        world_settle(w);
        return;
    }
    iscsi_world_open_ready(w, "io-timeout=0&keep-alive-tmo=5");
    w->iscsi->hold = true;
    if (pending == NOP) {
        w->iscsi->silent = true;
        test_loop_advance(w->loop, 5 * SN_NS_PER_S);
        return;
    }
    req_submit(w, r, pending == READ ? SN_IO_READ : SN_IO_WRITE, 0, 0,
               pending == READ ? 4096 : pending == WRITE ? 128 * 1024 : 512,
               pending == READ ? NULL : data, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_true(r->busy);
    w->iscsi->silent = true;
}

static void send_pdu(World *w, const Case *c)
{
    g_autofree uint8_t *data = g_malloc0(c->data);
    uint8_t bhs[48] = { c->opcode, c->flags, c->response, c->status };

    /* The latest command of a poll is the one after the NOP-Out. */
    sn_put_be32(bhs + 16, sn_get_be32(w->iscsi->itt) -
                          (c->pending == NOP ? 1 : 0));
    sn_put_be32(bhs + 20, 0xffffffff);
    sn_put_be32(bhs + 40, c->offset);
    sn_put_be32(bhs + 44, c->len);
    if (c->data) {
        data[1] = c->data - 2;
        if (c->data > 2) {
            data[2] = 0x70;
        }
    }
    iscsi_double_send(w->iscsi, bhs, data, c->data);
}

static void check_error_says(World *w, const char *words)
{
    if (!strstr(sn_volume_last_error(w->vol), words)) {
        g_error("'%s' is not in '%s'", words, sn_volume_last_error(w->vol));
    }
}

static void test_hostile_pdus(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned pieces = 0; pieces < 2; pieces++) {
            World *w = iscsi_world_new(1);
            Req r = { 0 };

            w->net->grain = pieces ? 7 : SIZE_MAX;
            start_pending(w, cases[i].pending, &r);
            send_pdu(w, &cases[i]);
            world_settle(w);
            check_error_says(w, cases[i].words);
            w->iscsi->silent = w->iscsi->hold = false;
            g_assert_true(world_wait_state(w, SN_VOLUME_READY, 40));
            world_settle(w);
            g_assert_false(r.busy);
            g_assert_cmpint(r.ret, ==, 0);
            req_clear(&r);
            iscsi_world_free(w);
        }
    }
}

/* The same in a session with header digests. */
static void test_digest(void)
{
    World *w = iscsi_world_new(2);
    static const Case wrong = {
        READ, DATA_IN, 0, 0, 0, 512, 0, 512, "wrong Buffer Offset"
    };
    g_autofree uint8_t *buf = g_malloc(128 * 1024);
    Req r = { 0 };

    w->iscsi->digest = true;
    iscsi_world_open_ready(w, "header-digest=crc32c");
    w->net->grain = 500;
    memset(buf, 0x66, 128 * 1024);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 128 * 1024, buf), ==, 0);
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 128 * 1024, buf), ==, 0);
    w->iscsi->attention = 0x2900;       /* sense data behind a digest */
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
    w->iscsi->hold = true;
    req_submit(w, &r, SN_IO_READ, 0, 0, 4096, NULL, w->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    w->iscsi->silent = true;
    send_pdu(w, &wrong);
    world_settle(w);
    check_error_says(w, wrong.words);
    req_cancel(&r);
    iscsi_world_free(w);
}

static void send_nops(World *w, unsigned n)
{
    static const uint8_t nop[48] = {
        NOP_IN, F, [16] = 0xff, 0xff, 0xff, 0xff, [20] = 1,
    };

    for (unsigned i = 0; i < n; i++) {
        iscsi_double_send(w->iscsi, nop, NULL, 0);
    }
    world_settle(w);
}

/* Many are answered; of a target that takes no answers, not many are taken. */
static void test_nop_flood(void)
{
    World *w = iscsi_world_new(3);
    Req r = { 0 };

    start_pending(w, READ, &r);
    w->iscsi->silent = false;
    for (unsigned i = 0; i < 5; i++) {
        send_nops(w, 500);
    }
    g_assert_cmpuint(w->iscsi->nops, ==, 2500);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    w->iscsi->silent = w->net->no_acks = true;
    for (unsigned i = 0; i < 30; i++) {
        send_nops(w, 1000);
    }
    check_error_says(w, "NOP-In with a wrong number of its kind");
    req_cancel(&r);
    iscsi_world_free(w);
}

/* After a Logout Request nothing leaves any more. */
static void test_logout_flood(void)
{
    World *w = iscsi_world_new(4);
    Req r = { 0 };

    start_pending(w, READ, &r);
    iscsi_double_tell_event(w->iscsi, 1);
    world_settle(w);
    for (unsigned i = 0; i < 5; i++) {
        send_nops(w, 300);
    }
    check_error_says(w, "NOP-In with a wrong number of its kind");
    req_cancel(&r);
    iscsi_world_free(w);
}

/* GOOD, though only half of it was sent, and no word about the rest. */
static void test_short_read(void)
{
    World *w = iscsi_world_new(5);
    static const Case half = { READ, DATA_IN, F, 0, 0, 0, 0, 2048 };
    static const Case good = { READ, RESPONSE, F };
    Req r = { 0 };

    start_pending(w, READ, &r);
    send_pdu(w, &half);
    send_pdu(w, &good);
    world_settle(w);
    g_assert_false(r.busy);
    g_assert_cmpint(r.ret, ==, -EIO);
    req_clear(&r);
    iscsi_world_free(w);
}

static void test_login_keys(void)
{
    static const struct {
        const char *keys, *words;
    } logins[] = {
        { "MaxRecvDataSegmentLength=0", "MaxRecvDataSegmentLength" },
        { "MaxRecvDataSegmentLength=-1", "MaxRecvDataSegmentLength" },
        { "MaxRecvDataSegmentLength=0x2000", "MaxRecvDataSegmentLength" },
        { "MaxRecvDataSegmentLength=16777216", "MaxRecvDataSegmentLength" },
        { "X=Y|MaxRecvDataSegmentLength=", "MaxRecvDataSegmentLength" },
        { "FirstBurstLength=511", "FirstBurstLength" },
        { "MaxBurstLength=no", "MaxBurstLength" },
        { "TargetRecvDataSegmentLength=0", "TargetRecvDataSegmentLength" },
        { "HeaderDigest=CRC32C", "HeaderDigest" },
        { "CHAP_C=0x123", "CHAP_C" },
        { "FirstBurstLength=Irrelevant", NULL },
        { "MaxRecvDataSegmentLength=16777215", NULL },
        { "InitialR2T=No", NULL },
        { "ImmediateData=No", NULL },
        { "InitialR2T=No|ImmediateData=No", NULL },
        { "InitialR2T=Yes|ImmediateData=No|FirstBurstLength=65536", NULL },
    };
    g_autofree uint8_t *buf = g_malloc0(64 * 1024);

    for (size_t i = 0; i < G_N_ELEMENTS(logins); i++) {
        World *w = iscsi_world_new(6);

        w->iscsi->more_keys = logins[i].keys;
        iscsi_world_open(w, "");
        world_settle(w);
        if (logins[i].words) {
            g_autofree char *words = g_strdup_printf(
                "a Login Response with a wrong %s", logins[i].words);

            check_error_says(w, words);
        } else {
            world_wait_ready(w);
            memset(buf, 0x42, 64 * 1024);
            g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 64 * 1024, buf), ==,
                            0);
            g_assert_cmpmem(w->iscsi->disk, 64 * 1024, buf, 64 * 1024);
        }
        iscsi_world_free(w);
    }
}

/* Digests that were asked for are not given up in silence. */
static void test_no_digest(void)
{
    World *w = iscsi_world_new(7);

    iscsi_world_open(w, "header-digest=crc32c");
    world_settle(w);
    check_error_says(w, "wrong HeaderDigest");
    iscsi_world_free(w);
}

/* -------------------------------------------------------------------- CHAP */

static char *secret_of(const char *id, GError **err)
{
    return g_strdup(strcmp(id, "s0") ? "its-own-secret" : "sesame-sesame");
}

#define MUTUAL "iscsi://me@portal/" ISCSI_DOUBLE_TARGET "/1?reconnect-delay=1" \
               "&secret=s0&mutual-user=it&mutual-secret=s1"

static void test_chap(void)
{
    static const struct {
        IscsiRogue rogue;
        const char *secret;
        const char *words;      /* NULL: it is the right one */
    } targets[] = {
        { ROGUE_NONE, "sesame-sesame", NULL },
        { ROGUE_NONE, "another-secret", "Authentication failure" },
        { ROGUE_NONE, NULL, "who it is" },
        { ROGUE_NO_LOGIN, "sesame-sesame", "who it is" },
        { ROGUE_EARLY_PROOF, "sesame-sesame", "who it is" },
        { ROGUE_NO_PROOF, "sesame-sesame", "did not return CHAP" },
        { ROGUE_OTHER_SECRET, "sesame-sesame", "Invalid CHAP_R" },
    };

    sn_secret_set_func(secret_of);
    for (size_t i = 0; i < G_N_ELEMENTS(targets); i++) {
        World *w = iscsi_world_new(8);

        w->iscsi->secret = targets[i].secret;
        w->iscsi->mutual_secret = "its-own-secret";
        w->iscsi->rogue = targets[i].rogue;
        world_open_url(w, MUTUAL);
        if (targets[i].words) {
            world_settle(w);
            check_error_says(w, targets[i].words);
            g_assert_cmpuint(w->iscsi->calls[0x12], ==, 0);
        } else {
            world_wait_ready(w);
        }
        iscsi_world_free(w);
    }
    sn_secret_set_func(NULL);
}

/* Whoever has heard the one could play the other. */
static void test_same_secret(void)
{
    World *w = iscsi_world_new(9);

    sn_secret_set_func(secret_of);
    check_refused(w, "iscsi://me@portal/" ISCSI_DOUBLE_TARGET "/1?secret=s0&"
                  "mutual-user=it&mutual-secret=s0", "must differ");
    sn_secret_set_func(NULL);
    iscsi_world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iscsi-guard/hostile-pdus", test_hostile_pdus);
    g_test_add_func("/iscsi-guard/digest", test_digest);
    g_test_add_func("/iscsi-guard/nop-flood", test_nop_flood);
    g_test_add_func("/iscsi-guard/logout-flood", test_logout_flood);
    g_test_add_func("/iscsi-guard/short-read", test_short_read);
    g_test_add_func("/iscsi-guard/login-keys", test_login_keys);
    g_test_add_func("/iscsi-guard/no-digest", test_no_digest);
    g_test_add_func("/iscsi-guard/chap", test_chap);
    g_test_add_func("/iscsi-guard/same-secret", test_same_secret);
    return g_test_run();
}
