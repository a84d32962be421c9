/*
 * Faults: see fault.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "controller.h"

#define FAULTS_MAX 64
#define DELAY_MS 1000
#define GARBAGE_MAX 4096
#define EVERYWHERE (POINT_ACCEPT | POINT_ICREQ | POINT_R2T | POINT_ANSWER)
#define ANY_PDU (POINT_ICREQ | POINT_R2T | POINT_ANSWER)

typedef struct Kind {
    const char *name;
    unsigned points;            /* where it can strike */
    bool data;                  /* only answers that have data */
} Kind;

static const Kind kinds[FAULT_KINDS] = {
    [FAULT_NONE] = { "none", 0 },
    [FAULT_DROP] = { "drop", EVERYWHERE },
    [FAULT_HALF_CLOSE] = { "half-close", EVERYWHERE },
    [FAULT_STALL] = { "stall", EVERYWHERE },
    [FAULT_DELAY] = { "delay", POINT_ICREQ | POINT_ANSWER },
    [FAULT_GARBAGE] = { "garbage", EVERYWHERE },
    [FAULT_TERM_REQ] = { "term-req", EVERYWHERE },
    [FAULT_KATO] = { "kato", POINT_R2T | POINT_ANSWER },
    [FAULT_LOST_RESPONSE] = { "lost-response", POINT_ANSWER },
    [FAULT_STATUS] = { "status", POINT_ANSWER },
    [FAULT_DOUBLE] = { "double", POINT_ANSWER },
    [FAULT_TRUNCATED] = { "truncated", ANY_PDU },
    [FAULT_WRONG_CID] = { "wrong-cid", POINT_R2T | POINT_ANSWER },
    [FAULT_UNKNOWN_CID] = { "unknown-cid", POINT_R2T | POINT_ANSWER },
    [FAULT_BAD_TYPE] = { "bad-type", ANY_PDU },
    [FAULT_BAD_HLEN] = { "bad-hlen", ANY_PDU },
    [FAULT_BAD_PDO] = { "bad-pdo", ANY_PDU },
    [FAULT_BAD_PLEN] = { "bad-plen", ANY_PDU },
    [FAULT_HDGST] = { "hdgst", POINT_R2T | POINT_ANSWER },
    [FAULT_DDGST] = { "ddgst", POINT_ANSWER, true },
    [FAULT_BAD_ICRESP] = { "bad-icresp", POINT_ICREQ },
    [FAULT_SHORT_DATA] = { "short-data", POINT_ANSWER, true },
    [FAULT_EXTRA_DATA] = { "extra-data", POINT_ANSWER, true },
    [FAULT_DATA_ORDER] = { "data-order", POINT_ANSWER, true },
    [FAULT_SUCCESS_WITHOUT_LAST] = { "success-without-last", POINT_ANSWER,
                                     true },
    [FAULT_R2T_RANGE] = { "r2t-range", POINT_R2T },
    [FAULT_R2T_ORDER] = { "r2t-order", POINT_R2T },
    [FAULT_R2T_EXTRA] = { "r2t-extra", POINT_R2T },
    [FAULT_R2T_LENGTH] = { "r2t-length", POINT_R2T },
};

static const char *const step_names[STEP_COUNT] = {
    [STEP_FIRST] = "first",
    [STEP_R2T] = "r2t",
    [STEP_RESPONSE] = "response",
    [STEP_PFV] = "pfv",
    [STEP_CPDA] = "cpda",
    [STEP_DGST] = "dgst",
    [STEP_MAXH2CDATA] = "maxh2cdata",
};

/* Other names of a kind at one operation. */
static const struct {
    const char *name;
    FaultKind kind;
    Op op;
} aliases[] = {
    { "slow-icresp", FAULT_DELAY, OP_ICREQ },
    { "bad-icresp", FAULT_BAD_ICRESP, OP_ICREQ },
    { "refuse-connect", FAULT_STATUS, OP_CONNECT },
};

static Fault faults[FAULTS_MAX];        /* number 0: not in use */
static unsigned last_number;
static unsigned fired_in_all;

/* ---- the control socket's side ---- */

static bool parse_number(const char *text, long *value)
{
    char *end;

    errno = 0;
    *value = strtol(text, &end, 0);
    return !errno && end != text && !*end;
}

static bool parse_kind(Fault *f, const char *text)
{
    for (unsigned i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (!strcmp(text, aliases[i].name)) {
            f->kind = aliases[i].kind;
            f->op = aliases[i].op;
            return true;
        }
    }
    for (unsigned i = FAULT_NONE + 1; i < FAULT_KINDS; i++) {
        if (!strcmp(text, kinds[i].name)) {
            f->kind = i;
            return true;
        }
    }
    return false;
}

static bool parse_op(Fault *f, const char *text)
{
    if (!strcmp(text, "any")) {
        f->op = OP_ANY;
        return true;
    }
    for (unsigned i = 0; i < OP_COUNT; i++) {
        if (!strcmp(text, op_names[i])) {
            f->op = i;
            return true;
        }
    }
    return false;
}

/* A part of the answer, or else a step of bringing up: an operation. */
static bool parse_step(Fault *f, const char *text)
{
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        if (!strcmp(text, step_names[i])) {
            f->step = i;
            return true;
        }
    }
    return parse_op(f, text);
}

static bool parse_queue(Fault *f, const char *text)
{
    long value;

    if (!strcmp(text, "admin")) {
        f->queue = 0;
    } else if (!strcmp(text, "io")) {
        f->queue = QUEUE_IO;
    } else if (!strcmp(text, "any")) {
        f->queue = QUEUE_ANY;
    } else if (parse_number(text, &value) && value >= 0 && value < 65536) {
        f->queue = value;
    } else {
        return false;
    }
    return true;
}

static const char *parse_pair(Fault *f, const char *key, const char *text)
{
    long value;

    if (!strcmp(key, "op")) {
        return parse_op(f, text) ? NULL : "op= is no operation";
    }
    if (!strcmp(key, "step")) {
        return parse_step(f, text) ? NULL : "step= is no step";
    }
    if (!strcmp(key, "queue")) {
        return parse_queue(f, text) ? NULL : "queue= is admin, io or a number";
    }
    if (!parse_number(text, &value) || (value < 0 && strcmp(key, "bytes"))) {
        return "a value is no number";
    }
    if (!strcmp(key, "after")) {
        f->after = value;
    } else if (!strcmp(key, "times")) {
        f->times = value;
    } else if (!strcmp(key, "ms")) {
        f->ms = value;
    } else if (!strcmp(key, "bytes")) {
        f->bytes = value;
        f->has_bytes = true;
    } else if (!strcmp(key, "status")) {
        f->status = value & 0x7fff;
        f->kind = f->kind ? f->kind : FAULT_STATUS;
    } else {
        return "a key is none of op, queue, step, after, times, ms, bytes, "
               "status";
    }
    return NULL;
}

/* Says what could never strike. */
static const char *check(Fault *f)
{
    unsigned points = kinds[f->kind].points;
    bool early = f->op == OP_ACCEPT || f->op == OP_ICREQ;

    if (!f->kind) {
        return "there is no such kind of fault";
    }
    if (early && f->queue != QUEUE_ANY) {
        return "a connection has no queue= yet, use after=";
    }
    if ((f->op == OP_ACCEPT && !(points & POINT_ACCEPT)) ||
        (f->op == OP_ICREQ && !(points & POINT_ICREQ)) ||
        (f->step == STEP_R2T && !(points & POINT_R2T)) ||
        (!early && !(points & (POINT_R2T | POINT_ANSWER)))) {
        return "that kind of fault cannot happen there";
    }
    if (kinds[f->kind].data && f->op != OP_ANY && f->op != OP_READ &&
        f->op != OP_IDENTIFY && f->op != OP_GET_LOG) {
        return "that kind of fault needs an operation that reads";
    }
    return NULL;
}

unsigned fault_add(char *text, const char **why)
{
    Fault f = { .op = OP_ANY, .queue = QUEUE_ANY, .times = 1, .ms = DELAY_MS,
                .status = STATUS_IO(NVME_SC_INTERNAL) };
    char *save = NULL, *word;
    unsigned slot = 0;

    while (slot < FAULTS_MAX && faults[slot].number) {
        slot++;
    }
    *why = slot == FAULTS_MAX ? "there are too many faults" : NULL;
    for (word = strtok_r(text, " ", &save); word && !*why;
         word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '=');

        if (value) {
            *value++ = '\0';
            *why = parse_pair(&f, word, value);
        } else if (f.kind || !parse_kind(&f, word)) {
            *why = "there is no such kind of fault";
        }
    }
    *why = *why ? *why : check(&f);
    if (*why) {
        return 0;
    }
    f.number = ++last_number;
    faults[slot] = f;
    return f.number;
}

void fault_clear(void)
{
    memset(faults, 0, sizeof(faults));
}

void fault_list(char *buf, size_t size)
{
    size_t at = 0;

    *buf = '\0';
    for (unsigned i = 0; i < FAULTS_MAX && at < size; i++) {
        const Fault *f = &faults[i];

        if (f->number) {
            at += snprintf(buf + at, size - at, " %u:%s:matched=%u:fired=%u",
                           f->number, kinds[f->kind].name, f->matched,
                           f->fired);
        }
    }
}

unsigned fault_fired(void)
{
    return fired_in_all;
}

/* ---- the connections' side ---- */

static bool op_matches(const Fault *f, Op op)
{
    bool reads = op == OP_READ || op == OP_IDENTIFY || op == OP_GET_LOG;

    if (f->op != OP_ANY) {
        return f->op == op;
    }
    /* An event request is answered when there is an event, not now. */
    return op > OP_ICREQ && op != OP_EVENT && (reads || !kinds[f->kind].data);
}

static bool matches(const Fault *f, const Conn *c, FaultPoint point, Op op,
                    unsigned queue)
{
    unsigned points = kinds[f->kind].points;

    if (!f->number || !(points & point) || !op_matches(f, op)) {
        return false;
    }
    if (points & POINT_R2T && points & POINT_ANSWER && op > OP_ICREQ &&
        (f->step == STEP_R2T) != (point == POINT_R2T)) {
        return false;
    }
    if ((f->kind == FAULT_HDGST && !c->hdgst) ||
        (f->kind == FAULT_DDGST && !c->ddgst)) {
        return false;
    }
    return f->queue == QUEUE_ANY || f->queue == queue ||
           (f->queue == QUEUE_IO && queue);
}

Fault *fault_match(Conn *c, FaultPoint point, Op op, unsigned queue)
{
    /* What most answers meet: no fault at all. */
    if (!last_number) {
        return NULL;
    }
    for (unsigned i = 0; i < FAULTS_MAX; i++) {
        Fault *f = &faults[i];

        if ((f->times && f->fired == f->times) ||
            !matches(f, c, point, op, queue) || f->matched++ < f->after) {
            continue;
        }
        f->fired++;
        fired_in_all++;
        control_announce("fired %u %s op=%s queue=%u\n", f->number,
                         kinds[f->kind].name, op_names[op], queue);
        return f;
    }
    return NULL;
}

unsigned fault_delay(const Fault *fault)
{
    return fault->kind == FAULT_DELAY ? MAX(fault->ms, 1) : 0;
}

long fault_bytes(const Fault *fault, long preset)
{
    return fault->has_bytes ? fault->bytes : preset;
}

static void send_garbage(const Fault *fault, Conn *c)
{
    uint8_t noise[GARBAGE_MAX];
    uint32_t x = fault->number * 2654435761u + 1;
    long n = MIN(MAX(fault_bytes(fault, 64), 1), GARBAGE_MAX);

    for (long i = 0; i < n; i++) {
        x ^= x << 13;           /* xorshift: the same at every run */
        x ^= x >> 17;
        x ^= x << 5;
        noise[i] = x;
    }
    tx_bytes(c, noise, n);
}

bool fault_instead(Fault *fault, Conn *c)
{
    switch (fault->kind) {
    case FAULT_DROP:
        conn_abort(c);
        return true;
    case FAULT_HALF_CLOSE:
        conn_half_close(c);
        return true;
    case FAULT_STALL:
        conn_silence(c);
        return true;
    case FAULT_GARBAGE:
        send_garbage(fault, c);
        return true;
    case FAULT_TERM_REQ:
        conn_terminate(c, FES_HEADER_FIELD, 0, NULL, 0);
        return true;
    case FAULT_KATO:
        if (c->ctrl) {
            ctrl_expire(c->ctrl);
        } else {
            conn_abort(c);
        }
        return true;
    default:
        return false;
    }
}

static void distort_icresp(const Fault *f, PduInit *pdu)
{
    switch (f->step) {
    case STEP_CPDA:
        pdu->align = 32;
        break;
    case STEP_DGST:
        /* More than was asked for; if that was all, a reserved bit. */
        pdu->dgst = pdu->dgst == 3 ? 7 : 3;
        break;
    case STEP_MAXH2CDATA:
        pdu->limit = fault_bytes(f, 1024);
        break;
    default:
        pdu->pfv = 1;
    }
}

static void distort_r2t(const Fault *f, PduData *pdu)
{
    switch (f->kind) {
    case FAULT_R2T_RANGE:
        pdu->len += fault_bytes(f, 1u << 30);
        break;
    case FAULT_R2T_ORDER:
        pdu->offset += fault_bytes(f, 512);
        pdu->len -= MIN(pdu->len - 4, (uint32_t)fault_bytes(f, 512));
        break;
    case FAULT_R2T_LENGTH:
        pdu->len = fault_bytes(f, 0);
        break;
    default:
        break;
    }
}

/* The command identifier is at another place in a response. */
static void distort_cid(FaultKind kind, PduHead *head)
{
    uint16_t *cid = head->type == PDU_CAPSULE_RESP
                    ? &((PduResponse *)head)->cqe.cid
                    : &((PduData *)head)->cid;

    *cid = kind == FAULT_WRONG_CID ? *cid ^ 1 : 0xffff;
}

Distortion fault_distort(Conn *c, PduHead *head)
{
    const Fault *f = c->fault;
    Distortion d = { 0 };

    if ((f->step == STEP_RESPONSE && head->type != PDU_CAPSULE_RESP) ||
        (f->kind == FAULT_DDGST && !(head->flags & PDU_FLAG_DDGST))) {
        return d;
    }
    switch (f->kind) {
    case FAULT_TRUNCATED:
        d.truncated = true;     /* c->fault has the length */
        return d;
    case FAULT_HDGST:
        d.hdgst = true;
        break;
    case FAULT_DDGST:
        d.ddgst = true;
        break;
    case FAULT_WRONG_CID:
    case FAULT_UNKNOWN_CID:
        distort_cid(f->kind, head);
        break;
    case FAULT_BAD_TYPE:
        head->type = 0x0b;
        break;
    case FAULT_BAD_HLEN:
        head->hlen += fault_bytes(f, 4);
        break;
    case FAULT_BAD_PDO:
        head->pdo += fault_bytes(f, 1);
        break;
    case FAULT_BAD_PLEN:
        head->plen += fault_bytes(f, -4);
        break;
    case FAULT_BAD_ICRESP:
        distort_icresp(f, (PduInit *)head);
        break;
    case FAULT_R2T_RANGE:
    case FAULT_R2T_ORDER:
    case FAULT_R2T_LENGTH:
        distort_r2t(f, (PduData *)head);
        break;
    default:
        return d;               /* what is spoiled elsewhere */
    }
    c->fault = NULL;
    return d;
}
