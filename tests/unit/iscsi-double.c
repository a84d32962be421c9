/*
 * An iSCSI target in memory.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "iscsi-double.h"
#include "nvme-tcp/crc32c.h"
#include "smartnic/be.h"

extern const SnBackendOps sn_iscsi_backend;

enum { BHS = 48, MAX_DATA_IN = 8192 };
enum {
    NOP_OUT = 0x00, COMMAND = 0x01, LOGIN = 0x03, TEXT = 0x04, DATA_OUT = 0x05,
    LOGOUT = 0x06,
    RESPONSE = 0x21, LOGIN_RESPONSE = 0x23, DATA_IN = 0x25, R2T = 0x31,
};
enum { TEST_UNIT_READY = 0x00, INQUIRY = 0x12, MODE_SENSE = 0x1a,
       UNMAP = 0x42, READ_16 = 0x88, COMPARE_AND_WRITE = 0x89,
       WRITE_16 = 0x8a, SYNC_16 = 0x91, WRITE_SAME_16 = 0x93,
       READ_CAPACITY = 0x9e, REPORT_OPCODES = 0xa3 };
enum { GOOD = 0, CHECK_CONDITION = 2 };

typedef struct Conn {
    IscsiDouble *d;
    MemoryStream *ms;
    GByteArray *in;
    GList *commands;            /* those that are not answered */
    uint32_t stat_sn, cmd_sn;
    bool logging_in;
    bool digest;                /* of headers, from here on */
} Conn;

typedef struct Command {
    Conn *conn;
    uint8_t bhs[BHS];
    GByteArray *data;           /* of a write */
    uint32_t len;               /* expected */
} Command;

/* Sends @bhs, with what every PDU has filled in, and @data. */
static void send_pdu(Conn *c, uint8_t *bhs, const void *data, uint32_t len)
{
    static const uint8_t pad[4];
    g_autoptr(GByteArray) pdu = g_byte_array_new();

    bhs[5] = len >> 16;
    bhs[6] = len >> 8;
    bhs[7] = len;
    sn_put_be32(bhs + 28, c->cmd_sn);
    sn_put_be32(bhs + 32, c->cmd_sn + c->d->window - 1);
    g_byte_array_append(pdu, bhs, BHS);
    if (c->digest) {
        uint32_t crc = GUINT32_TO_LE(sn_crc32c(0, bhs, BHS));

        g_byte_array_append(pdu, (const uint8_t *)&crc, 4);
    }
    g_byte_array_append(pdu, data, len);
    g_byte_array_append(pdu, pad, -len & 3);
    memory_stream_answer(c->ms, pdu);
}

static void answer_to(const uint8_t *request, uint8_t *bhs, uint8_t opcode)
{
    memset(bhs, 0, BHS);
    bhs[0] = opcode;
    bhs[1] = 0x80;
    memcpy(bhs + 16, request + 16, 4);
}

/* ---------------------------------------------------------------- commands */

static void command_free(Command *cmd)
{
    cmd->conn->commands = g_list_remove(cmd->conn->commands, cmd);
    g_queue_remove(&cmd->conn->d->held, cmd);
    g_byte_array_unref(cmd->data);
    g_free(cmd);
}

/* The end of a command that sent @sent bytes to the initiator. */
static void respond(Command *cmd, uint8_t status, uint32_t sent)
{
    IscsiDouble *d = cmd->conn->d;
    uint8_t bhs[BHS], sense[20] = { 0, 18, d->sense_type ?: 0x70 };
    bool reads = cmd->bhs[1] & 0x40;

    answer_to(cmd->bhs, bhs, RESPONSE);
    bhs[3] = status;
    sn_put_be32(bhs + 24, cmd->conn->stat_sn++);
    if (reads && sent < cmd->len) {
        bhs[1] |= 0x02;         /* underflow */
        sn_put_be32(bhs + 44, cmd->len - sent);
    }
    if (d->overflow) {
        bhs[1] |= 0x04;
        sn_put_be32(bhs + 44, 512);
    }
    if (sense[2] >> 1 == 0x72 >> 1) {
        sense[3] = d->key;
        sn_put_be16(sense + 4, d->ascq);
    } else {
        sense[4] = d->key;
        sense[9] = 10;
        sn_put_be16(sense + 14, d->ascq);
    }
    send_pdu(cmd->conn, bhs, sense, status == CHECK_CONDITION ? 20 : 0);
    command_free(cmd);
}

static void respond_sense(Command *cmd, uint8_t key, uint16_t ascq)
{
    cmd->conn->d->key = key;
    cmd->conn->d->ascq = ascq;
    respond(cmd, CHECK_CONDITION, 0);
}

static void respond_data(Command *cmd, const uint8_t *data, uint32_t len)
{
    uint32_t sn = 0;

    len = MIN(len, cmd->len);
    for (uint32_t at = 0; at < len; at += MAX_DATA_IN) {
        uint32_t n = MIN(len - at, MAX_DATA_IN);
        uint8_t bhs[BHS];

        answer_to(cmd->bhs, bhs, DATA_IN);
        bhs[1] = at + n == len ? 0x80 : 0;
        sn_put_be32(bhs + 20, 0xffffffff);
        sn_put_be32(bhs + 36, sn++);
        sn_put_be32(bhs + 40, at);
        send_pdu(cmd->conn, bhs, data + at, n);
    }
    respond(cmd, GOOD, len);
}

static void do_inquiry(Command *cmd)
{
    const uint8_t pages[] = {
        0, 0x80, cmd->conn->d->no_names ? 0 : 0x83, 0xb0, 0xb2
    };
    const uint8_t *cdb = cmd->bhs + 32;
    uint8_t out[96] = { cmd->conn->d->device_type, cdb[1] ? cdb[2] : 0, 6 };
    uint32_t len = 96;

    if (cdb[1]) {
        out[2] = 0;
        switch (cdb[2]) {
        case 0:
            memcpy(out + 4, pages, sizeof(pages));
            len = sizeof(pages);
            break;
        case 0x80:
            memcpy(out + 4, " SN 77", 6);
            len = 6;
            break;
        case 0x83:              /* T10, then NAA of 16 bytes */
            memcpy(out + 4, "\x02\x01\0\x04test\x01\x03\0\x10", 12);
            memset(out + 16, cmd->conn->d->naa, 16);
            len = 28;
            break;
        case 0xb0:
            out[5] = 32;                      /* COMPARE AND WRITE */
            sn_put_be32(out + 8, 256);        /* blocks at most */
            sn_put_be32(out + 12, 64);
            sn_put_be32(out + 20, 1024);      /* UNMAP: blocks, descriptors */
            sn_put_be32(out + 24, 1);
            sn_put_be32(out + 28, 8);
            sn_put_be64(out + 36, 2048);      /* WRITE SAME */
            if (cmd->conn->d->no_limits) {
                sn_put_be32(out + 20, UINT32_MAX);
                sn_put_be64(out + 36, 0);
            }
            len = 60;
            break;
        case 0xb2:
            out[5] = 0xc0;
            len = 4;
            break;
        }
        out[3] = len;
        len += 4;
    }
    respond_data(cmd, out, len);
}

static void do_capacity(Command *cmd)
{
    IscsiDouble *d = cmd->conn->d;
    uint8_t out[32] = { 0 };

    sn_put_be64(out, d->size / d->block_size - 1);
    sn_put_be32(out + 8, d->block_size);
    out[13] = d->block_size == 512 ? 3 : 0;
    out[14] = 0x80;
    respond_data(cmd, out, 32);
}

static bool is_beyond(uint64_t lba, uint64_t blocks, uint32_t block)
{
    uint64_t all = ISCSI_DOUBLE_SIZE / block;

    return lba > all || blocks > all - lba;
}

/* A command whose data, or place, is not what it should be. */
static bool is_wrong(const Command *cmd)
{
    const uint8_t *cdb = cmd->bhs + 32;
    uint32_t block = cmd->conn->d->block_size, len = cmd->data->len;
    uint32_t blocks = sn_get_be32(cdb + 10);
    uint64_t lba = sn_get_be64(cdb + 2);

    switch (cdb[0]) {
    case WRITE_16:
        return len != blocks * block || is_beyond(lba, blocks, block);
    case COMPARE_AND_WRITE:
        return len != 2 * cdb[13] * block || is_beyond(lba, cdb[13], block);
    case WRITE_SAME_16:
        return len != block || is_beyond(lba, blocks, block);
    case UNMAP:
        return len != 24 || is_beyond(sn_get_be64(cmd->data->data + 8),
                                      sn_get_be32(cmd->data->data + 16),
                                      block);
    default:
        return false;
    }
}

static void carry_out(Command *cmd)
{
    IscsiDouble *d = cmd->conn->d;
    const uint8_t *cdb = cmd->bhs + 32;
    uint64_t offset = sn_get_be64(cdb + 2) * d->block_size;
    uint64_t len = (uint64_t)sn_get_be32(cdb + 10) * d->block_size;
    uint8_t mode[] = { 23, 0, (d->no_fua ? 0 : 0x10) |
                              (d->read_only ? 0x80 : 0), 0,
                       0x08, 18, d->no_cache ? 0 : 0x04, [23] = 0 };
    uint8_t same[] = { 0, 0x03, 0, 16 };

    d->calls[cdb[0]]++;
    memcpy(d->cdb, cdb, 16);
    if (d->attention && cdb[0] != INQUIRY) {
        uint16_t attention = d->attention;

        d->attention = 0;
        respond_sense(cmd, 6, attention);
        return;
    }
    if (d->fail_count && d->fail_op == cdb[0]) {
        d->fail_count--;
        respond(cmd, d->fail_status, 0);
        return;
    }
    if (d->lenient && is_wrong(cmd)) {
        respond_sense(cmd, 0xb, 0);
        return;
    }
    if (d->no_fua && cdb[1] & 0x08 &&
        (cdb[0] == READ_16 || cdb[0] == WRITE_16 ||
         cdb[0] == COMPARE_AND_WRITE)) {
        respond_sense(cmd, 5, 0x2400);
        return;
    }
    switch (cdb[0]) {
    case INQUIRY:
        do_inquiry(cmd);
        return;
    case READ_CAPACITY:
        do_capacity(cmd);
        return;
    case MODE_SENSE:
        respond_data(cmd, mode, sizeof(mode));
        return;
    case REPORT_OPCODES:
        respond_data(cmd, same, sizeof(same));
        return;
    case READ_16:
        if (offset + len > d->size) {
            respond_sense(cmd, 5, 0x2100);
        } else {
            respond_data(cmd, d->disk + offset, len);
        }
        return;
    case WRITE_16:
        g_assert_cmpuint(offset + len, <=, ISCSI_DOUBLE_SIZE);
        g_assert_cmpuint(cmd->data->len, ==, len);
        memcpy(d->disk + offset, cmd->data->data, len);
        break;
    case COMPARE_AND_WRITE:
        len = cdb[13] * d->block_size;
        g_assert_cmpuint(cmd->data->len, ==, 2 * len);
        if (memcmp(d->disk + offset, cmd->data->data, len)) {
            respond_sense(cmd, 0xe, 0x1d00);
            return;
        }
        memcpy(d->disk + offset, cmd->data->data + len, len);
        break;
    case WRITE_SAME_16:
        g_assert_cmpuint(cmd->data->len, ==, d->block_size);
        for (uint64_t at = 0; at < len; at += d->block_size) {
            memcpy(d->disk + offset + at, cmd->data->data, d->block_size);
        }
        break;
    case UNMAP:
        memset(d->disk + sn_get_be64(cmd->data->data + 8) * d->block_size, 0,
               sn_get_be32(cmd->data->data + 16) * d->block_size);
        break;
    case TEST_UNIT_READY:
    case SYNC_16:
        break;
    default:
        respond_sense(cmd, 5, 0x2000);
        return;
    }
    respond(cmd, GOOD, 0);
}

static void complete_command(Command *cmd)
{
    IscsiDouble *d = cmd->conn->d;
    uint8_t op = cmd->bhs[32];

    if (d->hold && (op == READ_16 || op == WRITE_16 || op == SYNC_16 ||
                    op == COMPARE_AND_WRITE)) {
        g_queue_push_tail(&d->held, cmd);
    } else {
        carry_out(cmd);
    }
}

/* Asks for the rest of a write's data, or carries the command out. */
static void ask_data(Command *cmd)
{
    uint8_t bhs[BHS];
    uint32_t have = cmd->data->len;

    if (!(cmd->bhs[1] & 0x20) || have == cmd->len) {
        complete_command(cmd);
        return;
    }
    answer_to(cmd->bhs, bhs, R2T);
    sn_put_be32(bhs + 20, 0x1234);
    sn_put_be32(bhs + 24, cmd->conn->stat_sn);
    sn_put_be32(bhs + 40, have);
    sn_put_be32(bhs + 44, MIN(cmd->len - have, cmd->conn->d->r2t_max));
    send_pdu(cmd->conn, bhs, NULL, 0);
}

static void take_command(Conn *c, const uint8_t *bhs, const uint8_t *data,
                         uint32_t len)
{
    Command *cmd = g_new0(Command, 1);

    cmd->conn = c;
    memcpy(cmd->bhs, bhs, BHS);
    cmd->len = sn_get_be32(bhs + 20);
    cmd->data = g_byte_array_new();
    g_byte_array_append(cmd->data, data, len);
    c->commands = g_list_prepend(c->commands, cmd);
    c->cmd_sn = sn_get_be32(bhs + 24) + 1;
    if (bhs[1] & 0x80) {
        ask_data(cmd);          /* else data comes that nobody asked for */
    }
}

static void take_data(Conn *c, const uint8_t *bhs, const uint8_t *data,
                      uint32_t len)
{
    c->d->data_outs++;
    for (GList *l = c->commands; l; l = l->next) {
        Command *cmd = l->data;

        if (!memcmp(cmd->bhs + 16, bhs + 16, 4)) {
            if (!c->d->lenient) {
                g_assert_cmpuint(sn_get_be32(bhs + 40), ==, cmd->data->len);
            }
            g_byte_array_append(cmd->data, data, len);
            if (bhs[1] & 0x80) {
                ask_data(cmd);
            }
            return;
        }
    }
    c->d->late_data_outs++;
    for (uint32_t i = 0; i < len && !c->d->lenient; i++) {
        g_assert_cmphex(data[i], ==, c->d->late_byte);
    }
}

/* ------------------------------------------------------------- the session */

/* Appends "A=b|C=d", each with its NUL. */
static void add_keys(GByteArray *keys, const char *text)
{
    unsigned from = keys->len;

    g_byte_array_append(keys, (const uint8_t *)text, strlen(text) + 1);
    for (unsigned i = from; i < keys->len; i++) {
        keys->data[i] = keys->data[i] == '|' ? 0 : keys->data[i];
    }
}

/* What follows @key in a login's @text, up to the next space. */
static char *value_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? g_strndup(at + strlen(key), strcspn(at + strlen(key), " "))
              : NULL;
}

/* RFC 1994: of the identifier, the secret and the challenge in hexadecimal. */
static char *chap_proof(unsigned id, const char *secret, const char *challenge)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_MD5);
    uint8_t byte = id;

    g_checksum_update(sum, &byte, 1);
    g_checksum_update(sum, (const uint8_t *)secret, strlen(secret));
    for (; *challenge; challenge += 2) {
        byte = g_ascii_xdigit_value(challenge[0]) << 4 |
               g_ascii_xdigit_value(challenge[1]);
        g_checksum_update(sum, &byte, 1);
    }
    return g_ascii_strup(g_checksum_get_string(sum), -1);
}

#define CHALLENGE "00112233445566778899aabbccddeeff"
#define NO_PROOF "CHAP_N=it|CHAP_R=0x00000000000000000000000000000000"

/* The initiator's proof, and ours if it wants one. */
static void answer_proof(IscsiDouble *d, const char *text, const char *proof,
                         uint8_t *out, GByteArray *keys)
{
    g_autofree char *wanted = chap_proof(7, d->secret, CHALLENGE);
    g_autofree char *id = value_of(text, "CHAP_I=");
    g_autofree char *challenge = value_of(text, "CHAP_C=0x");
    g_autofree char *own = NULL;
    g_autofree char *answer = NULL;

    if (strcmp(proof, wanted)) {
        out[36] = 2;
        out[37] = 1;
        return;
    }
    out[1] = 0x81;
    if (challenge && d->rogue != ROGUE_NO_PROOF) {
        own = chap_proof(atoi(id), d->rogue == ROGUE_OTHER_SECRET
                         ? "nobody knows" : d->mutual_secret, challenge);
        answer = g_strdup_printf("CHAP_N=it|CHAP_R=0x%s", own);
        add_keys(keys, answer);
    }
}

static void negotiate_security(IscsiDouble *d, const char *text, uint8_t *out,
                               GByteArray *keys)
{
    g_autofree char *proof = value_of(text, "CHAP_R=0x");

    if (!d->secret) {
        add_keys(keys, "AuthMethod=None");
        return;
    }
    out[1] = 0;
    if (proof) {
        answer_proof(d, text, proof, out, keys);
    } else if (strstr(text, "CHAP_A=")) {
        add_keys(keys, "CHAP_A=5|CHAP_I=7|CHAP_C=0x" CHALLENGE);
    } else if (d->rogue == ROGUE_NO_LOGIN) {
        out[1] = 0x87;
    } else if (d->rogue == ROGUE_EARLY_PROOF) {
        out[1] = 0x81;
        add_keys(keys, NO_PROOF);
    } else {
        add_keys(keys, "AuthMethod=CHAP");
    }
}

static void take_login(Conn *c, const uint8_t *bhs, const uint8_t *data,
                       uint32_t len)
{
    IscsiDouble *d = c->d;
    g_autoptr(GByteArray) keys = g_byte_array_new();
    g_autofree char *to = NULL;
    g_autofree char *all = NULL;
    g_autofree char *text = g_malloc0(len + 1);
    uint8_t out[BHS];
    bool digest = false;

    for (uint32_t i = 0; i < len; i++) {
        text[i] = data[i] ? data[i] : ' ';
    }
    if (!c->logging_in) {
        c->logging_in = true;
        g_clear_pointer(&d->keys, g_free);
        d->logins++;
    }
    all = g_strdup_printf("%s%s", d->keys ? d->keys : "", text);
    g_free(d->keys);
    d->keys = g_steal_pointer(&all);
    memcpy(d->isid, bhs + 8, 6);
    answer_to(bhs, out, LOGIN_RESPONSE);
    out[1] = bhs[1] & 0xcf;
    memcpy(out + 8, bhs + 8, 6);
    out[15] = 1;
    c->cmd_sn = sn_get_be32(bhs + 24);
    sn_put_be32(out + 24, c->stat_sn++);
    if (d->login_status && !strstr(d->keys, "Discovery")) {
        out[36] = d->login_status >> 8;
        out[37] = d->login_status;
        if (d->redirect) {
            to = g_strdup_printf("TargetAddress=%s", d->redirect);
            add_keys(keys, to);
            d->login_status = 0;
        }
    } else if ((bhs[1] >> 2 & 3) == 1) {
        digest = d->digest;
        add_keys(keys, "DataDigest=None|InitialR2T=Yes|ImmediateData=Yes|"
                 "MaxBurstLength=262144|FirstBurstLength=8192|"
                 "MaxRecvDataSegmentLength=8192");
        add_keys(keys, digest ? "HeaderDigest=CRC32C" : "HeaderDigest=None");
        if (d->more_keys) {
            add_keys(keys, d->more_keys);
        }
    } else {
        negotiate_security(d, text, out, keys);
    }
    if (d->mute_discovery && strstr(d->keys, "Discovery")) {
        return;
    }
    send_pdu(c, out, keys->data, keys->len);
    c->digest = digest;
    if (d->close_refused && out[36]) {
        memory_stream_end(c->ms, 0);
    }
}

static void take_text(Conn *c, const uint8_t *bhs)
{
    static const char list[] = "TargetName=" ISCSI_DOUBLE_TARGET
        "\0TargetAddress=10.0.0.1:3260,1\0TargetName=iqn.2026-11.test:other"
        "\0TargetAddress=10.0.0.1:3260,1";
    uint8_t out[BHS];

    answer_to(bhs, out, 0x24);
    sn_put_be32(out + 20, 0xffffffff);
    sn_put_be32(out + 24, c->stat_sn++);
    send_pdu(c, out, list, sizeof(list));
}

static void take_pdu(Conn *c, const uint8_t *bhs, const uint8_t *data,
                     uint32_t len)
{
    uint8_t out[BHS];

    memcpy(c->d->itt, bhs + 16, 4);
    if (c->d->silent) {
        return;
    }
    switch (bhs[0] & 0x3f) {
    case LOGIN:
        take_login(c, bhs, data, len);
        break;
    case COMMAND:
        take_command(c, bhs, data, len);
        break;
    case DATA_OUT:
        take_data(c, bhs, data, len);
        break;
    case TEXT:
        take_text(c, bhs);
        break;
    case NOP_OUT:
        c->d->nops++;
        answer_to(bhs, out, 0x20);
        sn_put_be32(out + 20, 0xffffffff);
        sn_put_be32(out + 24, c->stat_sn++);
        send_pdu(c, out, NULL, 0);
        break;
    case LOGOUT:
        answer_to(bhs, out, 0x26);
        send_pdu(c, out, NULL, 0);
        break;
    default:
        g_assert_not_reached();
    }
}

static void input(void *opaque, const uint8_t *bytes, size_t len)
{
    Conn *c = opaque;

    g_byte_array_append(c->in, bytes, len);
    while (c->in->len >= BHS) {
        uint32_t data_len = sn_get_be32(c->in->data + 4) & 0xffffff;
        uint32_t head = BHS + (c->digest ? 4 : 0);
        uint32_t all = head + ((data_len + 3) & ~3u);

        if (c->in->len < all) {
            break;
        }
        take_pdu(c, c->in->data, c->in->data + head, data_len);
        g_byte_array_remove_range(c->in, 0, all);
    }
}

static void *accept_conn(void *opaque, MemoryStream *ms)
{
    IscsiDouble *d = opaque;
    Conn *c = g_new0(Conn, 1);

    c->d = d;
    c->ms = ms;
    c->in = g_byte_array_new();
    d->connections++;
    d->conns = g_list_prepend(d->conns, c);
    return c;
}

static void gone(void *opaque)
{
    Conn *c = opaque;

    while (c->commands) {
        command_free(c->commands->data);
    }
    c->d->conns = g_list_remove(c->d->conns, c);
    g_byte_array_unref(c->in);
    g_free(c);
}

static const MemoryPeerOps peer_ops = {
    .accept = accept_conn,
    .input = input,
    .gone = gone,
};

IscsiDouble *iscsi_double_new(SnLoop *loop, uint32_t seed)
{
    IscsiDouble *d = g_new0(IscsiDouble, 1);

    d->net = memory_net_new(loop, &peer_ops, d, seed);
    d->disk = g_malloc0(ISCSI_DOUBLE_SIZE);
    d->size = ISCSI_DOUBLE_SIZE;
    d->block_size = 512;
    d->naa = 0x6b;
    d->window = 128;
    d->r2t_max = 32768;
    return d;
}

void iscsi_double_free(IscsiDouble *d)
{
    memory_net_free(d->net);
    g_assert_null(d->conns);
    g_free(d->keys);
    g_free(d->disk);
    g_free(d);
}

void iscsi_double_release(IscsiDouble *d)
{
    Command *cmd;

    d->hold = false;
    while ((cmd = g_queue_pop_tail(&d->held))) {
        carry_out(cmd);
    }
}

void iscsi_double_answer_all(IscsiDouble *d, uint8_t status)
{
    for (GList *l = d->conns; l; l = l->next) {
        Conn *c = l->data;

        while (c->commands) {
            respond(c->commands->data, status, 0);
        }
    }
}

void iscsi_double_send(IscsiDouble *d, const uint8_t *bhs, const void *data,
                       uint32_t len)
{
    for (GList *l = d->conns; l; l = l->next) {
        Conn *c = l->data;
        uint8_t copy[BHS];

        memcpy(copy, bhs, BHS);
        sn_put_be32(copy + 24, c->stat_sn);
        send_pdu(c, copy, data, len);
    }
}

void iscsi_double_tell_event(IscsiDouble *d, uint8_t event)
{
    uint8_t bhs[BHS] = { 0x32, 0x80, [36] = event };

    sn_put_be32(bhs + 16, 0xffffffff);
    iscsi_double_send(d, bhs, NULL, 0);
}

void iscsi_double_drop(IscsiDouble *d)
{
    Command *cmd;

    while ((cmd = g_queue_pop_head(&d->held))) {
        command_free(cmd);
    }
}

World *iscsi_world_new(uint32_t seed)
{
    World *w = g_new0(World, 1);

    world_init(w);
    w->ops = &sn_iscsi_backend;
    w->iscsi = iscsi_double_new(w->loop, seed);
    w->net = w->iscsi->net;
    return w;
}

void iscsi_world_open(World *w, const char *params)
{
    g_autofree char *url = g_strdup_printf(
        "iscsi://portal/" ISCSI_DOUBLE_TARGET "/1?reconnect-delay=1%s%s",
        *params ? "&" : "", params);

    world_open_url(w, url);
}

void iscsi_world_open_ready(World *w, const char *params)
{
    iscsi_world_open(w, params);
    world_wait_ready(w);
}

void iscsi_world_free(World *w)
{
    world_clear(w);
    iscsi_double_free(w->iscsi);
    test_loop_free(w->loop);
    g_free(w);
}
