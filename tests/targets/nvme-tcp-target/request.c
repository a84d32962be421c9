/*
 * Requests: see request.h. Those that can be answered at once never leave the
 * stack; the others get a slot, which is also their transfer tag.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "controller.h"
#include "crc32c.h"
#include "fabrics.h"
#include "fault.h"
#include "io.h"

/* The upper bits of a transfer tag count the R2Ts of one command. */
#define TTAG_SLOT_BITS 10
#define TTAG_SLOT_MASK ((1u << TTAG_SLOT_BITS) - 1)
static_assert(QUEUE_SIZE_MAX <= 1u << TTAG_SLOT_BITS, "slots fit in a tag");

/* Without MDTS: what 65536 blocks of 4096 bytes are. */
#define TRANSFER_MAX (256u << 20)
/* Of what is not blocks. */
#define PADDED_MAX (1u << 20)

Stats stats;

const char *const op_names[OP_COUNT] = {
    [OP_ACCEPT] = "accept",
    [OP_ICREQ] = "icreq",
    [OP_CONNECT] = "connect",
    [OP_PROPERTY_GET] = "property-get",
    [OP_PROPERTY_SET] = "property-set",
    [OP_DISCONNECT] = "disconnect",
    [OP_IDENTIFY] = "identify",
    [OP_GET_LOG] = "get-log",
    [OP_GET_FEATURES] = "get-features",
    [OP_SET_FEATURES] = "set-features",
    [OP_EVENT] = "aer",
    [OP_ABORT] = "abort",
    [OP_KEEP_ALIVE] = "keep-alive",
    [OP_READ] = "read",
    [OP_WRITE] = "write",
    [OP_FLUSH] = "flush",
    [OP_WRITE_ZEROES] = "write-zeroes",
    [OP_DISCARD] = "dsm",
    [OP_COMPARE] = "compare",
    [OP_VERIFY] = "verify",
    [OP_WRITE_UNCORRECTABLE] = "write-uncorrectable",
    [OP_RESV_REGISTER] = "resv-register",
    [OP_RESV_REPORT] = "resv-report",
    [OP_RESV_ACQUIRE] = "resv-acquire",
    [OP_RESV_RELEASE] = "resv-release",
    [OP_GET_LBA_STATUS] = "get-lba-status",
    [OP_OTHER] = "other",
};

static Op op_of(const Conn *c, const Sqe *sqe)
{
    if (sqe->opcode == OPCODE_FABRICS) {
        return fabrics_op(sqe);
    }
    return c->qid ? io_op(sqe) : admin_op(sqe);
}

/* ---- slots ---- */

/* A copy of @r that lives on; NULL when the host has exceeded its queue. */
static Request *park(Request *r, RequestState state)
{
    Conn *c = r->conn;
    Request *parked;
    unsigned slot = 0;

    if (r->state != REQUEST_RUNNING) {
        r->state = state;
        return r;
    }
    while (slot < c->queue_size && c->requests[slot]) {
        slot++;
    }
    if (slot == c->queue_size) {
        return NULL;
    }
    parked = c->spare ? c->spare : calloc(1, sizeof(*parked));
    if (!parked) {
        return NULL;
    }
    if (c->spare) {
        c->spare = parked->next;
    }
    r->buffer = parked->buffer;
    r->buffer_size = parked->buffer_size;
    *parked = *r;
    parked->slot = slot;
    parked->state = state;
    if (parked->buffer_size < r->len) {
        free(parked->buffer);
        parked->buffer_size = 0;
        parked->buffer = malloc(r->len);
        if (!parked->buffer) {
            free(parked);
            return NULL;
        }
        parked->buffer_size = r->len;
    }
    c->requests[slot] = parked;
    return parked;
}

static void release(Request *r)
{
    Conn *c = r->conn;

    timer_stop(&r->timer);
    c->requests[r->slot] = NULL;
    r->next = c->spare;
    c->spare = r;
}

void request_forget_all(Conn *c)
{
    for (unsigned slot = 0; slot < QUEUE_SIZE_MAX; slot++) {
        if (c->requests[slot]) {
            release(c->requests[slot]);
        }
    }
}

void request_free_spare(Conn *c)
{
    while (c->spare) {
        Request *r = c->spare;

        c->spare = r->next;
        free(r->buffer);
        free(r);
    }
}

bool request_abort(Conn *c, uint16_t cid)
{
    for (unsigned slot = 0; slot < c->queue_size; slot++) {
        Request *r = c->requests[slot];

        /* One that waits for data cannot be: the data may be on its way. */
        if (r && r->sqe.cid == cid && r->state == REQUEST_DELAYED) {
            answer(r, STATUS_IO(NVME_SC_ABORT_REQ));
            release(r);
            return true;
        }
    }
    return false;
}

/* ---- answers ---- */

void answer_cid(Conn *c, uint16_t cid, uint64_t result, unsigned status)
{
    PduResponse resp = {
        .head = { .type = PDU_CAPSULE_RESP, .hlen = sizeof(resp) },
        .cqe = {
            .result = result,
            .sqhd = c->no_flow ? 0xffff : c->sqhd,
            .sqid = c->qid,
            .cid = cid,
            .status = status << 1,
        },
    };
    PduResponse again = resp;
    bool twice = c->fault && c->fault->kind == FAULT_DOUBLE;

    tx_pdu(c, &resp.head, NULL, 0, NULL);
    if (twice) {
        tx_pdu(c, &again.head, NULL, 0, NULL);
    }
}

void answer(Request *r, unsigned status)
{
    answer_cid(r->conn, r->sqe.cid, 0, status);
}

void answer_result(Request *r, uint64_t result)
{
    answer_cid(r->conn, r->sqe.cid, result, 0);
}

/* @len bytes at @data, said to be those at @offset. */
static void send_c2h(Request *r, const uint8_t *data, uint32_t offset,
                     uint32_t len, unsigned flags, void *release)
{
    PduData pdu = {
        .head = { .type = PDU_C2H_DATA, .hlen = sizeof(pdu), .flags = flags },
        .cid = r->sqe.cid,
        .offset = offset,
        .len = len,
    };

    tx_pdu(r->conn, &pdu.head, data, len, release);
}

/* In pieces of c2h_size; the last one has @flags and owns @release. */
static void send_in_pieces(Request *r, const uint8_t *data, uint32_t len,
                           unsigned flags, void *release)
{
    /* A ring entry is for three pieces of this size at least. */
    uint32_t piece = MAX(options.c2h_size ? options.c2h_size : len,
                         len / (TX_ROOM / 4) + 1);

    piece = (piece + 3) & ~3u;
    for (uint32_t at = 0; at < len;) {
        uint32_t n = MIN(piece, len - at);
        bool last = at + n == len;

        send_c2h(r, data + at, at, n, last ? flags : 0,
                 last ? release : NULL);
        at += n;
    }
}

/* Data that a fault spoils. False when this one does not. */
static bool send_spoiled(Request *r, const uint8_t *data, uint32_t len,
                         unsigned flags, void *release)
{
    Conn *c = r->conn;
    uint32_t half = len / 2 & ~3u;
    uint32_t n = c->fault ? MAX(fault_bytes(c->fault, 512), 1) : 0;

    if (len < 8) {
        return false;           /* too little for any of these */
    }
    switch (c->fault ? c->fault->kind : FAULT_NONE) {
    case FAULT_SHORT_DATA:
        n = MIN(n, len - 4);
        send_c2h(r, data, 0, len - n, flags, release);
        return true;
    case FAULT_EXTRA_DATA:
        /* Once more what there was, behind its end. */
        send_c2h(r, data, 0, len, 0, NULL);
        send_c2h(r, data, len, MIN(n, len), flags, release);
        return true;
    case FAULT_DATA_ORDER:
        send_c2h(r, data + half, half, len - half, 0, NULL);
        send_c2h(r, data, 0, half, flags, release);
        return true;
    case FAULT_SUCCESS_WITHOUT_LAST:
        send_c2h(r, data, 0, len, PDU_FLAG_SUCCESS, release);
        return true;
    default:
        return false;
    }
}

/*
 * Whether the last C2HData is to stand for the response, which has the head of
 * the submission queue in it and so is needed with flow control.
 */
static bool success_flag(const Conn *c)
{
    const Fault *f = c->fault;

    return options.success && c->no_flow &&
           !(f && (f->kind == FAULT_DOUBLE || f->step == STEP_RESPONSE));
}

void answer_data(Request *r, const void *data, uint32_t len, void *release)
{
    Conn *c = r->conn;
    bool success = success_flag(c);
    unsigned flags = PDU_FLAG_LAST | (success ? PDU_FLAG_SUCCESS : 0);

    if (r->sqe.sgl_type != SGL_TRANSPORT || r->sqe.sgl_len < len) {
        free(release);
        answer(r, STATUS_IO(r->sqe.sgl_type != SGL_TRANSPORT
                            ? NVME_SC_SGL_INVALID_TYPE
                            : NVME_SC_SGL_INVALID_DATA) | STATUS_DNR);
        return;
    }
    if (!send_spoiled(r, data, len, flags, release)) {
        send_in_pieces(r, data, len, flags, release);
    }
    if (!success) {
        answer(r, 0);
    }
}

void answer_copy(Request *r, const void *data, uint32_t len)
{
    void *copy = malloc(len);

    if (!copy) {
        answer(r, STATUS_IO(NVME_SC_INTERNAL));
        return;
    }
    answer_data(r, memcpy(copy, data, len), len, copy);
}

void answer_padded(Request *r, const void *page, uint32_t size, uint64_t len)
{
    uint8_t *copy;

    if (len > PADDED_MAX) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    copy = calloc(1, len);
    if (!copy) {
        answer(r, STATUS_IO(NVME_SC_INTERNAL));
        return;
    }
    answer_data(r, memcpy(copy, page, MIN(size, len)), len, copy);
}

/* ---- carrying out ---- */

static void carry_out(Request *r)
{
    Conn *c = r->conn;

    if (r->digest_error) {
        answer(r, STATUS_TRANSIENT_TRANSPORT);
    } else if (r->op == OP_CONNECT || r->sqe.opcode == OPCODE_FABRICS) {
        fabrics_command(r);
    } else if (!c->ctrl) {
        answer(r, STATUS_IO(NVME_SC_CMD_SEQ_ERROR) | STATUS_DNR);
    } else if (c->qid) {
        io_command(r);
    } else {
        admin_command(r);
    }
}

static void delay_is_over(Timer *timer)
{
    Request *r = CONTAINER_OF(timer, Request, timer);
    Conn *c = r->conn;

    carry_out(r);
    if (c->state != CONN_DEAD && c->state != CONN_ENDING) {
        release(r);
    }
    if (c->state != CONN_DEAD) {
        conn_flush(c);
    }
}

/* A fault that does something else than to distort what is answered. */
static bool execute_faulty(Request *r, Fault *fault)
{
    Conn *c = r->conn;
    Request *parked;

    if (fault_delay(fault)) {
        parked = park(r, REQUEST_DELAYED);
        if (!parked) {
            conn_abort(c);
            return true;
        }
        if (parked != r && r->len) {
            memcpy(parked->buffer, r->data, r->len);
        }
        parked->data = parked->buffer;
        timer_set(&parked->timer, fault_delay(fault), delay_is_over);
        return true;
    }
    if (fault->kind == FAULT_STATUS) {
        answer(r, fault->status);
        return true;
    }
    if (fault->kind == FAULT_LOST_RESPONSE) {
        c->mute = true;
        carry_out(r);
        c->mute = false;
        return true;
    }
    return fault_instead(fault, c);
}

/* The queue that a command is about: Connect comes before the connection has
 * one. */
static unsigned queue_of(const Request *r)
{
    return r->op == OP_CONNECT ? r->sqe.cdw10 >> 16 : r->conn->qid;
}

/* @r has all its data. It has no slot any more afterwards, unless delayed. */
static void execute(Request *r)
{
    Conn *c = r->conn;
    bool parked = r->state != REQUEST_RUNNING;
    Fault *fault = fault_match(c, POINT_ANSWER, r->op, queue_of(r));

    if (!fault || !execute_faulty(r, fault)) {
        c->fault = fault;
        carry_out(r);
        c->fault = NULL;
    }
    /* An ending connection has given up all slots already. */
    if (parked && r->state != REQUEST_DELAYED && c->requests[r->slot] == r) {
        release(r);
    }
}

/* ---- data from the host ---- */

/* Bytes that the R2T at @offset asks for. */
static uint32_t r2t_len(const Request *r, uint32_t offset)
{
    return MIN(options.r2t_size, r->len - offset);
}

static uint16_t r2t_tag(const Request *r, uint32_t offset)
{
    return r->slot | offset / options.r2t_size << TTAG_SLOT_BITS;
}

static void send_r2t(Request *r)
{
    Conn *c = r->conn;
    PduData pdu = {
        .head = { .type = PDU_R2T, .hlen = sizeof(pdu) },
        .cid = r->sqe.cid,
        .ttag = r2t_tag(r, r->asked),
        .offset = r->asked,
        .len = r2t_len(r, r->asked),
    };
    PduData again = pdu;
    Fault *fault = fault_match(c, POINT_R2T, r->op, c->qid);

    r->asked += pdu.len;
    if (fault && fault_instead(fault, c)) {
        return;
    }
    c->fault = fault;
    tx_pdu(c, &pdu.head, NULL, 0, NULL);
    c->fault = NULL;
    if (fault && fault->kind == FAULT_R2T_EXTRA) {
        tx_pdu(c, &again.head, NULL, 0, NULL);
    }
}

/* Asks for as much as the host allows. */
static void ask(Request *r)
{
    uint32_t window = (uint64_t)options.r2t_size * r->conn->max_r2t
                      > UINT32_MAX ? UINT32_MAX
                                   : options.r2t_size * r->conn->max_r2t;
    uint32_t begin = r->have / options.r2t_size * options.r2t_size;

    while (r->conn->state == CONN_READY && r->asked < r->len &&
           r->asked - begin < window) {
        send_r2t(r);
    }
}

void request_data(Conn *c, const uint8_t *bytes, const PduHead *head)
{
    PduData pdu;
    Request *r;
    uint32_t end, sum, len = head->plen - head->pdo -
                             (c->ddgst ? DIGEST_LEN : 0);
    const uint8_t *data = bytes + head->pdo;
    unsigned slot;
    int wrong = -1;

    memcpy(&pdu, bytes, sizeof(pdu));
    slot = pdu.ttag & TTAG_SLOT_MASK;
    r = slot < c->queue_size ? c->requests[slot] : NULL;
    if (!r || r->state != REQUEST_DATA ||
        pdu.ttag != r2t_tag(r, r->have)) {
        wrong = offsetof(PduData, ttag);
    } else if (pdu.cid != r->sqe.cid) {
        wrong = offsetof(PduData, cid);
    } else if (pdu.offset != r->have) {
        wrong = offsetof(PduData, offset);
    }
    if (wrong >= 0) {
        conn_terminate(c, FES_HEADER_FIELD, wrong, bytes, head->hlen);
        return;
    }
    end = r->have / options.r2t_size * options.r2t_size;
    end += r2t_len(r, end);
    if (pdu.len != len || len > MAXH2CDATA || len > end - r->have) {
        conn_terminate(c, FES_OUT_OF_RANGE, offsetof(PduData, len), bytes,
                       head->hlen);
        return;
    }
    if (!(head->flags & PDU_FLAG_LAST) != (r->have + len < end)) {
        conn_terminate(c, FES_HEADER_FIELD, offsetof(PduHead, flags), bytes,
                       head->hlen);
        return;
    }
    if (c->ddgst) {
        memcpy(&sum, data + len, sizeof(sum));
        r->digest_error |= sum != sn_crc32c(0, data, len);
    }
    memcpy(r->buffer + r->have, data, len);
    r->have += len;
    if (r->have == r->len) {
        execute(r);
    } else if (r->have == end) {
        ask(r);
    }
}

/* Where the data of a command from the host is. Returns a status. */
static unsigned find_data(Request *r, const uint8_t *bytes,
                          const PduHead *head)
{
    Conn *c = r->conn;
    const Sqe *sqe = &r->sqe;
    unsigned tail = c->ddgst ? DIGEST_LEN : 0;
    uint32_t have = head->plen - sizeof(PduCommand) -
                    (c->hdgst ? DIGEST_LEN : 0);
    uint32_t sum;

    if (have) {
        have = head->plen - head->pdo - tail;
        if (c->ddgst) {
            memcpy(&sum, bytes + head->pdo + have, sizeof(sum));
            r->digest_error = sum != sn_crc32c(0, bytes + head->pdo, have);
        }
    }
    if ((sqe->flags & SQE_PSDT_MASK) != SQE_PSDT_SGL ||
        sqe->flags & SQE_FUSED) {
        return STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR;
    }
    if (sqe->sgl_type == SGL_IN_CAPSULE) {
        if (sqe->sgl_addr > have || sqe->sgl_len > have - sqe->sgl_addr) {
            return STATUS_IO(NVME_SC_SGL_INVALID_OFFSET) | STATUS_DNR;
        }
        r->data = bytes + head->pdo + sqe->sgl_addr;
        r->len = r->have = sqe->sgl_len;
        return 0;
    }
    if (have) {
        return STATUS_IO(NVME_SC_SGL_INVALID_DATA) | STATUS_DNR;
    }
    return 0;
}

/* Whether data is still to come: bit 0 of every opcode tells. */
static bool wants_data(const Request *r)
{
    uint8_t opcode = r->sqe.opcode == OPCODE_FABRICS ? r->sqe.fctype
                                                     : r->sqe.opcode;

    return (opcode & 3) == 1 && r->sqe.sgl_type == SGL_TRANSPORT &&
           r->sqe.sgl_len;
}

void request_command(Conn *c, const uint8_t *bytes, const PduHead *head)
{
    Request r = { .conn = c }, *parked;
    unsigned status;

    memcpy(&r.sqe, bytes + sizeof(PduHead), sizeof(r.sqe));
    r.op = op_of(c, &r.sqe);
    stats.ops[r.op]++;
    if (c->ctrl) {
        ctrl_heard(c->ctrl);
        c->sqhd = (c->sqhd + 1) % c->queue_size;
    }
    status = find_data(&r, bytes, head);
    if (!status && wants_data(&r) &&
        r.sqe.sgl_len > (options.mdts ? options.mdts : TRANSFER_MAX)) {
        status = STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR;
    }
    if (status) {
        answer(&r, status);
    } else if (wants_data(&r)) {
        r.len = r.sqe.sgl_len;
        parked = park(&r, REQUEST_DATA);
        if (!parked) {
            conn_terminate(c, FES_LIMIT, 0, bytes, head->hlen);
            return;
        }
        parked->data = parked->buffer;
        ask(parked);
    } else {
        execute(&r);
    }
}
