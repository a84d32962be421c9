/*
 * The NVMe/TCP target of the fuzzer. Offsets are those of the figures in the
 * NVMe Base, NVMe over Fabrics and NVMe TCP Transport specifications.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "crc32c.h"
#include "nvme-target.h"

#define MAX_PDU (2u << 20)      /* nothing of the initiator's is longer */
#define MAX_MADE_UP 8192

enum { IC_REQ = 0, IC_RESP = 1, H2C_TERM = 2, CMD = 4, RESP = 5, H2C_DATA = 6,
       C2H_DATA = 7, R2T = 9 };

typedef struct Conn {
    Target *t;
    MemoryStream *ms;
    GByteArray *in;
    GList *commands;            /* of Command, oldest first */
    bool hdgst, ddgst, no_flow;
    uint16_t qid;
    int event_cid;              /* or -1 */
} Conn;

typedef struct Command {
    Conn *conn;
    uint8_t sqe[64];
    uint16_t cid;
    uint8_t *data;
    uint32_t len, have;
    bool asked;                 /* an R2T is answered */
} Command;

static uint16_t get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static void put(uint8_t *p, uint64_t v, unsigned size)
{
    while (size--) {
        *p++ = v;
        v >>= 8;
    }
}

/* ------------------------------------------------------- sending */

static void flip(uint8_t *p, size_t len, const Fault *f)
{
    for (unsigned i = 0; i < 4 && len; i++) {
        p[(f->at + i) % len] ^= f->value >> 8 * i;
    }
}

static Fault take_fault(Target *t)
{
    Fault found = { FAULT_NONE };

    for (unsigned i = 0; i < TARGET_FAULTS; i++) {
        Fault *f = &t->faults[i];

        if (f->kind == FAULT_NONE) {
            continue;
        }
        if (f->skip) {
            f->skip--;
        } else if (found.kind == FAULT_NONE) {
            found = *f;
            f->kind = FAULT_NONE;
        }
    }
    return found;
}

static void send_bytes(Conn *c, const Fault *f, const uint8_t *pdu, size_t len)
{
    Target *t = c->t;

    if (f->kind == FAULT_LATE && !t->late->len) {
        g_byte_array_append(t->late, pdu, len);
        return;
    }
    if (f->kind != FAULT_DROP) {
        memory_stream_send(c->ms, pdu, f->kind == FAULT_CUT ? f->at % len
                                                            : len);
    }
    if (f->kind == FAULT_TWICE) {
        memory_stream_send(c->ms, pdu, len);
    }
    if (t->late->len) {
        memory_stream_send(c->ms, t->late->data, t->late->len);
        g_byte_array_set_size(t->late, 0);
    }
    if ((f->kind == FAULT_END || f->kind == FAULT_RESET) &&
        !t->net->stalled) {
        memory_stream_end(c->ms, f->kind == FAULT_END ? 0 : -ECONNRESET);
    }
}

/* Header of @hlen bytes without its sizes; @len bytes of data. */
static void send_pdu(Conn *c, const uint8_t *head, unsigned hlen,
                     const void *data, uint32_t len)
{
    Fault f = take_fault(c->t);
    bool hdgst = c->hdgst && head[0] != IC_RESP, ddgst = c->ddgst && len;
    unsigned pdo = len ? hlen + (hdgst ? 4 : 0) + c->t->pad : 0;
    unsigned plen = len ? pdo + len + (ddgst ? 4 : 0)
                        : hlen + (hdgst ? 4 : 0);
    g_autofree uint8_t *pdu = g_malloc0(plen);

    c->t->admin_lied |= f.kind != FAULT_NONE && !c->qid;
    memcpy(pdu, head, hlen);
    pdu[1] |= (hdgst ? 1 : 0) | (ddgst ? 2 : 0);
    pdu[2] = hlen;
    pdu[3] = pdo;
    put(pdu + 4, plen, 4);
    if (len) {
        memcpy(pdu + pdo, data, len);
    }
    if (f.kind == FAULT_HEADER) {
        flip(pdu, hlen, &f);
    } else if (f.kind == FAULT_DATA) {
        flip(pdu + pdo, len, &f);
    }
    if (hdgst) {
        put(pdu + hlen, sn_crc32c_portable(0, pdu, hlen), 4);
    }
    if (ddgst) {
        put(pdu + pdo + len, sn_crc32c_portable(0, pdu + pdo, len), 4);
    }
    if (f.kind == FAULT_HEADER_RAW) {
        flip(pdu, hlen + (hdgst ? 4 : 0), &f);
    }
    send_bytes(c, &f, pdu, plen);
}

static void free_command(Command *cmd)
{
    cmd->conn->commands = g_list_remove(cmd->conn->commands, cmd);
    g_free(cmd->data);
    g_free(cmd);
}

static void send_response(Conn *c, uint16_t cid, uint64_t dw01,
                          uint16_t status)
{
    uint8_t pdu[24] = { RESP };

    put(pdu + 8, dw01, 8);
    put(pdu + 18, c->qid, 2);
    put(pdu + 20, cid, 2);
    put(pdu + 22, status << 1, 2);
    send_pdu(c, pdu, sizeof(pdu), NULL, 0);
}

static void respond(Command *cmd, uint64_t dw01, uint16_t status)
{
    send_response(cmd->conn, cmd->cid, dw01, status);
    free_command(cmd);
}

static void respond_data(Command *cmd, const uint8_t *data, uint32_t len)
{
    Conn *c = cmd->conn;
    bool success = c->no_flow && c->t->success && len;

    for (uint32_t at = 0; at < len;) {
        uint32_t n = MIN(len - at, c->t->c2h_max);
        uint8_t pdu[24] = { C2H_DATA };

        if (at + n == len) {
            pdu[1] = 4 | (success ? 8 : 0);
        }
        put(pdu + 8, cmd->cid, 2);
        put(pdu + 12, at, 4);
        put(pdu + 16, n, 4);
        send_pdu(c, pdu, sizeof(pdu), data + at, n);
        at += n;
    }
    if (success) {
        free_command(cmd);
    } else {
        respond(cmd, 0, 0);
    }
}

static void send_r2t(Command *cmd)
{
    uint8_t pdu[24] = { R2T };

    cmd->asked = true;
    put(pdu + 8, cmd->cid, 2);
    put(pdu + 10, 0x1234, 2);
    put(pdu + 12, cmd->have, 4);
    put(pdu + 16, MIN(cmd->len - cmd->have, cmd->conn->t->r2t_max), 4);
    send_pdu(cmd->conn, pdu, sizeof(pdu), NULL, 0);
}

/* ------------------------------------------------------- commands */

static void do_fabrics(Command *cmd)
{
    static const char discovery[] = "nqn.2014-08.org.nvmexpress.discovery";
    Conn *c = cmd->conn;
    uint32_t offset = get32(cmd->sqe + 44);

    if (cmd->sqe[4] == 1) {
        c->qid = get16(cmd->sqe + 42);
        c->no_flow = cmd->sqe[46] & 4;
        /* While it is to be discovered, no other subsystem is there. */
        if (c->t->discovery && (cmd->have < 1024 ||
            strcmp((char *)cmd->data + 256, discovery))) {
            respond(cmd, 1 << 16 | 256, 0x4182);
        } else {
            respond(cmd, 7, 0);
        }
    } else if (cmd->sqe[4] == 0) {
        respond(cmd, 0, 0);
    } else if (offset == 0) {
        respond(cmd, 1ull << 37 | 20ull << 24 | 127, 0);
    } else {
        respond(cmd, 1, 0);
    }
}

static void fill_controller(const Target *t, uint8_t *id)
{
    memcpy(id + 4, "SN42", 4);
    id[76] = t->ana ? 8 : 0;
    id[77] = 5;                         /* MDTS: 128 KiB */
    put(id + 92, 1 << 8 | 1 << 11, 4);
    put(id + 130, t->crdt, 2);
    put(id + 320, 1, 2);
    id[342] = t->ana ? 20 : 0;
    put(id + 386, t->cqt, 2);
    put(id + 514, 64, 2);
    put(id + 520, 0xd, 2);
    id[525] = 1;
    put(id + 1792, t->ioccsz, 4);
    put(id + 1796, 1, 4);
}

static void fill_namespace(const Target *t, uint8_t *id)
{
    put(id, t->size >> t->block_shift, 8);
    id[24] = 1 << 4;
    put(id + 64, 7, 2);
    put(id + 92, t->ana ? 5 : 0, 4);
    memset(id + 104, 0xab, 16);
    put(id + 128, (uint32_t)t->block_shift << 16, 4);
}

static void do_identify(Command *cmd)
{
    const Target *t = cmd->conn->t;
    uint8_t id[4096] = { 0 };

    switch (cmd->sqe[40]) {
    case 1:
        fill_controller(t, id);
        break;
    case 0:
        if (t->removed) {
            respond(cmd, 0, 0x400b);
            return;
        }
        fill_namespace(t, id);
        break;
    case 6:
        id[1] = 2;
        put(id + 4, 1000, 4);
        break;
    default:
        id[0] = 3;
        id[1] = 16;
        memset(id + 4, 0xcd, 16);
        break;
    }
    respond_data(cmd, id, sizeof(id));
}

static void fill_discovery(uint8_t *log)
{
    put(log, 1, 8);
    put(log + 8, 2, 8);
    for (unsigned i = 1; i < 3; i++) {
        uint8_t *e = log + i * 1024;

        e[0] = 3;
        e[1] = 1;
        e[2] = 2;
        memcpy(e + 32, "4420 ", 5);
        g_snprintf((char *)e + 256, 256, "nqn.2026-11.test:vol%u", i);
        memcpy(e + 512, "10.0.0.1", 8);
    }
}

static void do_log(Command *cmd)
{
    uint8_t all[4096] = { 0 };
    uint32_t len = (get16(cmd->sqe + 42) + 1) * 4;
    uint32_t offset = get32(cmd->sqe + 48);

    switch (cmd->sqe[40]) {
    case 0x04:
        all[0] = 1;
        break;
    case 0x0c:
        put(all, 1, 8);
        put(all + 8, 1, 2);
        put(all + 16, 5, 4);
        all[32] = 1;
        break;
    case 0x70:
        fill_discovery(all);
        break;
    case 0x80:                          /* every other page is there */
        cmd->conn->t->notice ^= 1;
        all[8] = cmd->conn->t->notice;
        all[12] = 1;
        break;
    default:
        break;
    }
    if (len > sizeof(all) || offset > sizeof(all) - len) {
        respond(cmd, 0, 0x4002);        /* a lie of ours made it ask */
        return;
    }
    respond_data(cmd, all + offset, len);
}

/* As much as the host wants. */
static void respond_filled(Command *cmd)
{
    uint32_t len = MIN(get32(cmd->sqe + 32), 2 * TARGET_SIZE);
    g_autofree uint8_t *data = g_malloc(len);

    memset(data, TARGET_BYTE, len);
    respond_data(cmd, data, len);
}

static void do_admin(Command *cmd)
{
    Conn *c = cmd->conn;

    switch (cmd->sqe[0]) {
    case 0x02:
        do_log(cmd);
        break;
    case 0x06:
        do_identify(cmd);
        break;
    case 0x0c:
        c->event_cid = cmd->cid;
        free_command(cmd);
        break;
    case 0x18:
        if (c->t->deaf) {
            free_command(cmd);
        } else {
            respond(cmd, 0, 0);
        }
        break;
    case 0x7f:
        do_fabrics(cmd);
        break;
    case 0x86:
        respond_filled(cmd);
        break;
    case 0x09:
        respond(cmd, cmd->sqe[40] == 7 ? 15 << 16 | 15 : 0, 0);
        break;
    default:
        respond(cmd, 1, 0);
        break;
    }
}

static void do_io(Command *cmd)
{
    Target *t = cmd->conn->t;

    if (t->io_failures) {
        t->io_failures--;
        respond(cmd, 0, t->io_status);
    } else if (cmd->sqe[0] == 0x02 || cmd->sqe[0] == 0x0e) {
        respond_filled(cmd);
    } else {
        respond(cmd, 0, 0);
    }
}

static Command *next_command(Target *t)
{
    for (GList *l = t->conns; l; l = l->next) {
        for (GList *m = ((Conn *)l->data)->commands; m; m = m->next) {
            if (!((Command *)m->data)->asked) {
                return m->data;
            }
        }
    }
    return NULL;
}

/* Answers one command, the oldest of a connection. */
static void run(void *opaque)
{
    Target *t = opaque;
    Command *cmd = t->hold ? NULL : next_command(t);

    if (!cmd) {
        return;
    }
    t->loop->bh_schedule(t->bh);
    if (cmd->have < cmd->len) {
        send_r2t(cmd);
    } else if (cmd->conn->qid) {
        do_io(cmd);
    } else {
        do_admin(cmd);
    }
}

/* ------------------------------------------------------- receiving */

static Command *find_command(Conn *c, uint16_t cid)
{
    for (GList *l = c->commands; l; l = l->next) {
        if (((Command *)l->data)->cid == cid) {
            return l->data;
        }
    }
    return NULL;
}

static void got_command(Conn *c, const uint8_t *sqe, const uint8_t *data,
                        uint32_t len)
{
    Command *cmd = find_command(c, get16(sqe + 2));
    bool to_us = sqe[0] == 0x7f ? sqe[4] & 1 : sqe[0] & 1;

    if (cmd) {
        free_command(cmd);      /* it believed a lie about this one */
    }
    cmd = g_new0(Command, 1);
    cmd->conn = c;
    memcpy(cmd->sqe, sqe, sizeof(cmd->sqe));
    cmd->cid = get16(sqe + 2);
    cmd->len = to_us ? get32(sqe + 32) : 0;
    g_assert_cmpuint(cmd->len, <=, MAX_PDU);
    g_assert_cmpuint(len, <=, cmd->len);
    /* Two bytes more, so that text in it ends. */
    cmd->data = g_malloc0(cmd->len + 2);
    memcpy(cmd->data, data, len);
    cmd->have = len;
    c->commands = g_list_append(c->commands, cmd);
    c->t->loop->bh_schedule(c->t->bh);
}

static void got_data(Conn *c, const uint8_t *pdu, const uint8_t *data,
                     uint32_t len)
{
    Command *cmd = find_command(c, get16(pdu + 8));
    uint32_t offset = get32(pdu + 12);

    if (!cmd || offset > cmd->len || len > cmd->len - offset) {
        return;
    }
    memcpy(cmd->data + offset, data, len);
    cmd->have = MAX(cmd->have, offset + len);
    cmd->asked &= !(pdu[1] & 4);
    c->t->loop->bh_schedule(c->t->bh);
}

static void got_icreq(Conn *c, const uint8_t *pdu)
{
    uint8_t resp[128] = { IC_RESP };

    resp[10] = c->t->cpda;
    resp[11] = pdu[11];
    put(resp + 12, c->t->maxh2cdata, 4);
    send_pdu(c, resp, sizeof(resp), NULL, 0);
    c->hdgst = pdu[11] & 1;
    c->ddgst = pdu[11] & 2;
}

static void got_pdu(Conn *c, const uint8_t *pdu, uint32_t plen)
{
    unsigned pdo = pdu[3];
    uint32_t len = pdo ? plen - pdo - (c->ddgst ? 4 : 0) : 0;

    g_assert_cmpuint(pdo, <=, plen);
    switch (pdu[0]) {
    case IC_REQ:
        g_assert_cmpuint(plen, ==, 128);
        got_icreq(c, pdu);
        break;
    case CMD:
        g_assert_cmpuint(plen, >=, 72);
        got_command(c, pdu + 8, pdu + pdo, len);
        break;
    case H2C_DATA:
        got_data(c, pdu, pdu + pdo, len);
        break;
    default:
        g_assert_cmpuint(pdu[0], ==, H2C_TERM);
        break;
    }
}

static void peer_input(void *opaque, const uint8_t *bytes, size_t len)
{
    Conn *c = opaque;

    g_byte_array_append(c->in, bytes, len);
    while (c->in->len >= 8 && c->in->len >= get32(c->in->data + 4)) {
        uint32_t plen = get32(c->in->data + 4);

        g_assert_true(plen >= 24 && plen <= MAX_PDU);
        got_pdu(c, c->in->data, plen);
        g_byte_array_remove_range(c->in, 0, plen);
    }
}

static void *peer_accept(void *opaque, MemoryStream *ms)
{
    Target *t = opaque;
    Conn *c = g_new0(Conn, 1);

    c->t = t;
    c->ms = ms;
    c->in = g_byte_array_new();
    c->event_cid = -1;
    t->conns = g_list_append(t->conns, c);
    return c;
}

static void peer_gone(void *opaque)
{
    Conn *c = opaque;

    c->t->conns = g_list_remove(c->t->conns, c);
    while (c->commands) {
        free_command(c->commands->data);
    }
    g_byte_array_unref(c->in);
    g_free(c);
}

static const MemoryPeerOps peer_ops = {
    .accept = peer_accept,
    .input = peer_input,
    .gone = peer_gone,
};

/* ------------------------------------------------------- for the fuzzer */

Target *target_new(SnLoop *loop, uint32_t seed)
{
    Target *t = g_new0(Target, 1);

    t->loop = loop;
    t->net = memory_net_new(loop, &peer_ops, t, seed);
    t->bh = loop->bh_new(loop, run, t);
    t->late = g_byte_array_new();
    t->block_shift = 9;
    t->maxh2cdata = 4096;
    t->ioccsz = (64 + 4096) / 16;
    t->r2t_max = t->c2h_max = UINT32_MAX;
    t->size = TARGET_SIZE;
    return t;
}

void target_free(Target *t)
{
    memory_net_free(t->net);
    t->loop->bh_free(t->bh);
    g_byte_array_unref(t->late);
    g_free(t);
}

void target_mend(Target *t)
{
    memset(t->faults, 0, sizeof(t->faults));
    g_byte_array_set_size(t->late, 0);
    t->hold = t->deaf = t->removed = t->discovery = false;
    t->io_failures = 0;
    t->size = TARGET_SIZE;
    t->loop->bh_schedule(t->bh);
}

static Conn *nth_conn(Target *t, unsigned i)
{
    unsigned n = g_list_length(t->conns);

    return n ? g_list_nth_data(t->conns, i % n) : NULL;
}

void target_send_raw(Target *t, unsigned i, const void *bytes, size_t len)
{
    Conn *c = nth_conn(t, i);

    if (c) {
        t->admin_lied |= !c->qid;
        memory_stream_send(c->ms, bytes, len);
    }
}

void target_send_made_up(Target *t, unsigned i, uint8_t type, unsigned nth,
                         uint8_t flags, uint32_t offset, uint32_t len)
{
    Conn *c = nth_conn(t, i);
    Command *cmd = c ? g_list_nth_data(c->commands, nth) : NULL;
    uint8_t data[MAX_MADE_UP], pdu[24] = { type, flags & 0xc };

    if (!c) {
        return;
    }
    t->admin_lied |= !c->qid;
    memset(data, TARGET_BYTE, sizeof(data));
    if (type == RESP) {
        put(pdu + 8, (uint64_t)offset << 32 | len, 8);
        put(pdu + 20, cmd ? cmd->cid : nth, 2);
        put(pdu + 22, flags << 1, 2);
        send_pdu(c, pdu, sizeof(pdu), NULL, 0);
        return;
    }
    put(pdu + 8, cmd ? cmd->cid : nth, 2);
    put(pdu + 12, offset, 4);
    put(pdu + 16, len, 4);
    send_pdu(c, pdu, sizeof(pdu), data,
             type == C2H_DATA ? MIN(len, sizeof(data)) : 0);
}

void target_end(Target *t, unsigned i, int err)
{
    Conn *c = nth_conn(t, i);

    if (c && !t->net->stalled) {
        memory_stream_end(c->ms, err);
    }
}

void target_stall(Target *t, bool on)
{
    /* Nothing may be under way that would not be told any more. */
    test_loop_run_bhs(t->loop);
    t->net->stalled = on;
    for (GList *l = t->conns; l; l = l->next) {
        memory_stream_send(((Conn *)l->data)->ms, "", 0);
    }
}

void target_event(Target *t, uint32_t dw0)
{
    for (GList *l = t->conns; l; l = l->next) {
        Conn *c = l->data;

        if (c->event_cid >= 0) {
            uint16_t cid = c->event_cid;

            c->event_cid = -1;
            send_response(c, cid, dw0, 0);
        }
    }
}
