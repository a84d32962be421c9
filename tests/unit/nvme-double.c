/*
 * A test double of an NVMe/TCP target. Offsets are those of the figures in the
 * NVMe Base, NVMe over Fabrics and NVMe TCP Transport specifications.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "crc32c.h"
#include "nvme-double-internal.h"

/* Sends a PDU: header of @hlen bytes without sizes, data after @pad bytes. */
static void send_pdu(Conn *c, uint8_t *head, unsigned hlen, const void *data,
                     uint32_t len, bool digests)
{
    NvmeDouble *d = c->d;
    bool hdgst = digests && c->hdgst, ddgst = digests && c->ddgst && len;
    unsigned pdo = len ? hlen + (hdgst ? 4 : 0) + d->c2h_pad : 0;
    unsigned plen = len ? pdo + len + (ddgst ? 4 : 0)
                        : hlen + (hdgst ? 4 : 0);
    g_autofree uint8_t *pdu = g_malloc0(plen);

    memcpy(pdu, head, hlen);
    pdu[1] |= (hdgst ? 1 : 0) | (ddgst ? 2 : 0);
    pdu[2] = hlen;
    pdu[3] = pdo;
    put(pdu + 4, plen, 4);
    if (hdgst) {
        put(pdu + hlen, sn_crc32c_portable(0, pdu, hlen), 4);
    }
    if (len) {
        memcpy(pdu + pdo, data, len);
    }
    if (ddgst) {
        put(pdu + pdo + len, sn_crc32c_portable(0, data, len), 4);
    }
    if (!d->answers) {
        return;
    }
    d->answers--;
    if (d->fault.type && d->fault.type == pdu[0] && !d->fault.skip--) {
        put(pdu + d->fault.offset, d->fault.value, d->fault.size);
        d->fault.type = 0;
    }
    memory_stream_send(c->ms, pdu, plen);
}

void nvme_double_free_command(Command *cmd)
{
    cmd->conn->commands = g_list_remove(cmd->conn->commands, cmd);
    g_free(cmd->data);
    g_free(cmd);
}

static void respond_cid(Conn *c, uint16_t cid, uint64_t dw01, uint16_t status)
{
    uint8_t pdu[24] = { 5 };

    put(pdu + 8, dw01, 8);
    put(pdu + 16, c->no_flow ? 0xffff : c->sqhd, 2);
    put(pdu + 18, c->qid, 2);
    put(pdu + 20, cid, 2);
    put(pdu + 22, status << 1, 2);
    send_pdu(c, pdu, sizeof(pdu), NULL, 0, true);
}

void nvme_double_respond(Command *cmd, uint64_t dw01, uint16_t status)
{
    respond_cid(cmd->conn, cmd->cid, dw01, status);
    nvme_double_free_command(cmd);
}

/* Sends data in PDUs, and the response unless SUCCESS stands for it. */
void nvme_double_respond_data(Command *cmd, const uint8_t *data, uint32_t len)
{
    Conn *c = cmd->conn;
    uint32_t at = 0;

    while (at < len) {
        uint32_t n = MIN(len - at, c->d->c2h_max);
        uint8_t pdu[24] = { 7 };

        if (at + n == len) {
            pdu[1] = 4 | (c->no_flow && c->d->success ? 8 : 0);
        }
        put(pdu + 8, cmd->cid, 2);
        put(pdu + 12, at, 4);
        put(pdu + 16, n, 4);
        send_pdu(c, pdu, sizeof(pdu), data + at, n, true);
        at += n;
    }
    if (len && c->no_flow && c->d->success) {
        nvme_double_free_command(cmd);
    } else {
        nvme_double_respond(cmd, 0, SUCCESS);
    }
}

/* DSM, with one range; Write Zeroes. */
static void do_zero(Command *cmd, uint64_t slba, uint64_t nlb)
{
    NvmeDouble *d = cmd->conn->d;

    g_assert_cmpuint((slba + nlb) << d->block_shift, <=, d->size);
    memset(d->disk + (slba << d->block_shift), 0, nlb << d->block_shift);
    nvme_double_respond(cmd, 0, SUCCESS);
}

static void do_io(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    uint64_t slba = get64(cmd->sqe + 40);
    uint32_t nlb = get16(cmd->sqe + 48) + 1;
    uint8_t *at = d->disk + (slba << d->block_shift);

    if (d->io_failures) {
        d->io_failures--;
        nvme_double_respond(cmd, 0, d->io_status);
        return;
    }
    if (cmd->sqe[0] == 1 || cmd->sqe[0] == 2 || cmd->sqe[0] == 5) {
        g_assert_cmpuint((slba + nlb) << d->block_shift, <=, d->size);
        g_assert_cmpuint(get32(cmd->sqe + 32), ==, nlb << d->block_shift);
    }
    switch (cmd->sqe[0]) {
    case 0x00:
        nvme_double_respond(cmd, 0, SUCCESS);
        break;
    case 0x01:
        d->last_cdw12 = get32(cmd->sqe + 48);
        memcpy(at, cmd->data, cmd->len);
        nvme_double_respond(cmd, 0, SUCCESS);
        break;
    case 0x02:
        nvme_double_respond_data(cmd, at,
                                 (nlb + d->long_read - d->short_read) <<
                                 d->block_shift);
        d->long_read = false;
        break;
    case 0x05:
        memcpy(d->passed, cmd->sqe, 64);
        nvme_double_respond(cmd, 0, memcmp(at, cmd->data, cmd->len) ? 0x285
                                                                    : SUCCESS);
        break;
    case 0x04:                          /* Write Uncorrectable, Verify */
    case 0x0c:
    case 0x0d:                          /* reservations */
    case 0x0e:
    case 0x11:
    case 0x15:
    case 0x80:                          /* somebody's own */
        nvme_double_passed(cmd);
        break;
    case 0x08:
        d->last_cdw12 = get32(cmd->sqe + 48);
        do_zero(cmd, slba, nlb);
        break;
    case 0x09:
        g_assert_true(cmd->len == 16 && get64(cmd->sqe + 40) == 4ull << 32);
        do_zero(cmd, get64(cmd->data + 8), get32(cmd->data + 4));
        break;
    default:
        g_error("I/O opcode %02x", cmd->sqe[0]);
    }
}

static void send_r2t(Command *cmd)
{
    Conn *c = cmd->conn;
    uint32_t len = MIN(cmd->len - cmd->have, c->d->r2t_max);
    uint8_t pdu[24] = { 9 };

    c->d->r2ts++;
    cmd->ttag = g_rand_int_range(c->d->rand, 0, 65536);
    cmd->r2t_end = cmd->have + len;
    put(pdu + 8, cmd->cid, 2);
    put(pdu + 10, cmd->ttag, 2);
    put(pdu + 12, cmd->have, 4);
    put(pdu + 16, len, 4);
    send_pdu(c, pdu, sizeof(pdu), NULL, 0, true);
    if (c->d->double_r2t) {
        c->d->double_r2t = false;
        send_pdu(c, pdu, sizeof(pdu), NULL, 0, true);
    }
}

static bool is_held(const Command *cmd)
{
    const NvmeDouble *d = cmd->conn->d;

    if (!cmd->conn->qid) {
        return cmd->sqe[0] == 0x86 && d->hold_admin;
    }
    return d->hold || (d->hold_whole && cmd->have == cmd->len);
}

/* Carries out one command that is ready, or asks for data: any of them. */
static void run(void *opaque)
{
    NvmeDouble *d = opaque;
    g_autoptr(GPtrArray) ready = g_ptr_array_new();
    Command *cmd;

    for (GList *l = d->conns; l; l = l->next) {
        Conn *c = l->data;

        for (GList *m = c->commands; m; m = m->next) {
            cmd = m->data;
            if (cmd->ready && !is_held(cmd)) {
                g_ptr_array_add(ready, cmd);
            }
        }
    }
    if (!ready->len) {
        return;
    }
    cmd = ready->pdata[g_rand_int_range(d->rand, 0, ready->len)];
    d->loop->bh_schedule(d->bh);
    cmd->ready = false;
    if (cmd->have < cmd->len && d->skip_data && cmd->conn->qid) {
        nvme_double_respond(cmd, 0, SUCCESS);
    } else if (cmd->have < cmd->len) {
        send_r2t(cmd);
    } else if (cmd->conn->qid) {
        do_io(cmd);
    } else {
        nvme_double_admin(cmd);
    }
}

static void make_ready(Command *cmd)
{
    cmd->ready = true;
    cmd->conn->d->loop->bh_schedule(cmd->conn->d->bh);
}

static Command *find_command(Conn *c, uint16_t cid)
{
    for (GList *l = c->commands; l; l = l->next) {
        if (((Command *)l->data)->cid == cid) {
            return l->data;
        }
    }
    return NULL;
}

static bool sends_data(const uint8_t *sqe)
{
    if (sqe[0] == 0x7f) {
        return sqe[4] & 1;
    }
    return sqe[0] & 1;
}

static void got_command(Conn *c, const uint8_t *pdu, const uint8_t *data,
                        uint32_t len)
{
    NvmeDouble *d = c->d;
    Command *cmd = g_new0(Command, 1);
    uint32_t sgl_len = get32(pdu + 8 + 32);
    uint8_t sgl_type = pdu[8 + 39];

    g_assert_cmpuint(pdu[2], ==, 72);
    memcpy(cmd->sqe, pdu + 8, 64);
    cmd->conn = c;
    cmd->cid = get16(cmd->sqe + 2);
    g_assert_null(find_command(c, cmd->cid));
    g_assert_cmpint(cmd->cid, !=, c->event_cid);
    c->commands = g_list_append(c->commands, cmd);
    c->sqhd = (c->sqhd + 1) % 32;
    g_assert_true(cmd->sqe[1] == 0x40 && !get64(cmd->sqe + 24));
    if (sends_data(cmd->sqe)) {
        cmd->len = sgl_len;
        cmd->data = g_malloc0(cmd->len);
    }
    if (len) {
        g_assert_cmphex(sgl_type, ==, 0x01);
        g_assert_cmpuint(len, ==, cmd->len);
        g_assert_cmpuint(len, <=, cmd->sqe[0] == 0x7f ? 8192 :
                         d->ioccsz * 16 - 64);
        memcpy(cmd->data, data, len);
        cmd->have = len;
        d->in_capsule += cmd->sqe[0] != 0x7f;
    } else {
        g_assert_cmphex(sgl_type, ==, 0x5a);
    }
    if (cmd->sqe[0] == 0x7f && cmd->sqe[4] == 0) {
        d->shutdowns += get32(cmd->sqe + 48) >> 14 & 3;
    }
    if (cmd->sqe[0] != 0x7f) {
        g_assert_true(c->fabrics_connected);
        d->commands[cmd->sqe[0]] += c->qid != 0;
    }
    make_ready(cmd);
}

static void got_data(Conn *c, const uint8_t *pdu, const uint8_t *data,
                     uint32_t len)
{
    Command *cmd = find_command(c, get16(pdu + 8));

    g_assert_nonnull(cmd);
    g_assert_cmpuint(cmd->r2t_end, >, 0);
    g_assert_cmphex(get16(pdu + 10), ==, cmd->ttag);
    g_assert_cmpuint(get32(pdu + 12), ==, cmd->have);
    g_assert_cmpuint(get32(pdu + 16), ==, len);
    /* As few PDUs as can be: Linux's target needs that for data digests. */
    g_assert_cmpuint(len, ==, MIN(cmd->r2t_end - cmd->have,
                                  c->d->maxh2cdata));
    memcpy(cmd->data + cmd->have, data, len);
    cmd->have += len;
    g_assert_cmpuint(!!(pdu[1] & 4), ==, cmd->have == cmd->r2t_end);
    if (cmd->have == cmd->r2t_end) {
        cmd->r2t_end = 0;
        make_ready(cmd);
    }
}

static void got_icreq(Conn *c, const uint8_t *pdu, uint32_t plen)
{
    uint8_t resp[128] = { 1 };

    g_assert_true(!c->initialized && plen == 128 && pdu[2] == 128);
    g_assert_true(!get16(pdu + 8) && !pdu[10] && !get32(pdu + 12));
    c->initialized = true;
    resp[10] = c->d->cpda;
    resp[11] = pdu[11];
    put(resp + 12, c->d->maxh2cdata, 4);
    send_pdu(c, resp, sizeof(resp), NULL, 0, false);
    c->hdgst = pdu[11] & 1;
    c->ddgst = pdu[11] & 2;
}

/* Checks the common header and the digests of a command or data PDU. */
static void got_pdu(Conn *c, const uint8_t *pdu, uint32_t plen)
{
    unsigned hlen = pdu[2], pdo = pdu[3];
    bool ddgst = c->ddgst && pdo;
    uint32_t len = pdo ? plen - pdo - (ddgst ? 4 : 0) : 0;

    if (pdu[0] == 0) {
        got_icreq(c, pdu, plen);
        return;
    }
    g_assert_true(c->initialized);
    if (pdu[0] == 2) {
        g_assert_cmpuint(hlen, ==, 24);
        c->d->term_fes = get16(pdu + 8);
        c->d->term_fei = get32(pdu + 10);
        c->d->term_len = plen - 24;
        c->d->term_type = plen > 24 ? pdu[24] : 0xff;
        return;
    }
    g_assert_cmpuint(pdu[1] & 3, ==, (c->hdgst ? 1 : 0) | (ddgst ? 2 : 0));
    if (c->hdgst) {
        g_assert_cmphex(get32(pdu + hlen), ==,
                        sn_crc32c_portable(0, pdu, hlen));
    }
    if (pdo) {
        g_assert_cmpuint(pdo % ((c->d->cpda + 1) * 4), ==, 0);
        g_assert_cmpuint(pdo, >=, hlen + (c->hdgst ? 4 : 0));
    } else {
        g_assert_cmpuint(plen, ==, hlen + (c->hdgst ? 4 : 0));
    }
    if (ddgst) {
        g_assert_cmphex(get32(pdu + pdo + len), ==,
                        sn_crc32c_portable(0, pdu + pdo, len));
    }
    if (pdu[0] == 4) {
        got_command(c, pdu, pdu + pdo, len);
    } else {
        g_assert_cmpuint(pdu[0], ==, 6);
        got_data(c, pdu, pdu + pdo, len);
    }
}

static void peer_input(void *opaque, const uint8_t *bytes, size_t len)
{
    Conn *c = opaque;

    g_byte_array_append(c->in, bytes, len);
    while (c->in->len >= 8 && c->in->len >= get32(c->in->data + 4)) {
        uint32_t plen = get32(c->in->data + 4);

        g_assert_cmpuint(plen, >=, 24);
        got_pdu(c, c->in->data, plen);
        g_byte_array_remove_range(c->in, 0, plen);
    }
}

static void *peer_accept(void *opaque, MemoryStream *ms)
{
    NvmeDouble *d = opaque;
    Conn *c;

    if (memory_stream_port(ms) == d->refused_port) {
        return NULL;
    }
    c = g_new0(Conn, 1);
    c->d = d;
    c->ms = ms;
    c->in = g_byte_array_new();
    c->event_cid = -1;
    d->conns = g_list_append(d->conns, c);
    return c;
}

static void peer_gone(void *opaque)
{
    Conn *c = opaque;

    c->d->conns = g_list_remove(c->d->conns, c);
    while (c->commands) {
        nvme_double_free_command(c->commands->data);
    }
    g_byte_array_unref(c->in);
    g_free(c);
}

static const MemoryPeerOps peer_ops = {
    .accept = peer_accept,
    .input = peer_input,
    .gone = peer_gone,
};

NvmeDouble *nvme_double_new(SnLoop *loop, uint64_t size, uint32_t seed)
{
    NvmeDouble *d = g_new0(NvmeDouble, 1);

    d->loop = loop;
    d->rand = g_rand_new_with_seed(seed);
    d->net = memory_net_new(loop, &peer_ops, d, seed + 1);
    d->bh = loop->bh_new(loop, run, d);
    d->mdts = DOUBLE_MDTS;
    d->maxh2cdata = 4096;
    d->ioccsz = (64 + 4096) / 16;
    d->r2t_max = d->c2h_max = UINT32_MAX;
    d->changed_nsid = 1;
    d->block_shift = 9;
    d->max_queues = 16;
    d->answers = UINT32_MAX;
    d->cap_to = 20;
    d->nsid_byte = 0xcd;
    d->nguid_byte = 0xab;
    d->kas = 1;
    d->dlfeat = 9;
    d->ana_groups = 1;
    d->vwc = 1;
    d->size = size;
    d->disk = g_malloc0(size);
    return d;
}

void nvme_double_free(NvmeDouble *d)
{
    memory_net_free(d->net);
    d->loop->bh_free(d->bh);
    g_rand_free(d->rand);
    g_free(d->disk);
    g_free(d);
}

static Conn *admin_conn(NvmeDouble *d)
{
    for (GList *l = d->conns; l; l = l->next) {
        if (!((Conn *)l->data)->qid) {
            return l->data;
        }
    }
    g_assert_not_reached();
}

void nvme_double_end_io(NvmeDouble *d, int err)
{
    for (GList *l = d->conns; l; l = l->next) {
        Conn *c = l->data;

        if (c->qid) {
            memory_stream_end(c->ms, err);
        }
    }
}

void nvme_double_raw_event(NvmeDouble *d, uint32_t dw0)
{
    Conn *c = admin_conn(d);
    uint16_t cid = c->event_cid;

    g_assert_true(d->have_event);
    d->have_event = false;
    c->event_cid = -1;
    respond_cid(c, cid, dw0, SUCCESS);
}

void nvme_double_inject(NvmeDouble *d, const void *bytes, size_t len)
{
    memory_stream_send(admin_conn(d)->ms, bytes, len);
}

unsigned nvme_double_pending(const NvmeDouble *d)
{
    unsigned n = 0;

    for (GList *l = d->conns; l; l = l->next) {
        Conn *c = l->data;

        n += c->qid ? g_list_length(c->commands) : 0;
    }
    return n;
}
