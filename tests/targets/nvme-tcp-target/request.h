/*
 * A request: one command from its capsule to its answer.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_REQUEST_H
#define TARGET_REQUEST_H

#include "connection.h"
#include "target.h"
#include "wire.h"

/* What is counted, and what faults can be put on. */
typedef enum Op {
    OP_ACCEPT,                  /* of a TCP connection */
    OP_ICREQ,
    OP_CONNECT,
    OP_PROPERTY_GET,
    OP_PROPERTY_SET,
    OP_DISCONNECT,
    OP_IDENTIFY,
    OP_GET_LOG,
    OP_GET_FEATURES,
    OP_SET_FEATURES,
    OP_EVENT,                   /* Asynchronous Event Request */
    OP_ABORT,
    OP_KEEP_ALIVE,
    OP_READ,
    OP_WRITE,
    OP_FLUSH,
    OP_WRITE_ZEROES,
    OP_DISCARD,                 /* Dataset Management */
    OP_COMPARE,
    OP_VERIFY,
    OP_WRITE_UNCORRECTABLE,
    OP_RESV_REGISTER,
    OP_RESV_REPORT,
    OP_RESV_ACQUIRE,
    OP_RESV_RELEASE,
    OP_GET_LBA_STATUS,
    OP_OTHER,
    OP_COUNT,
    OP_ANY = OP_COUNT,          /* in a fault: any command */
} Op;

extern const char *const op_names[OP_COUNT];

typedef struct Stats {
    uint64_t accepted;          /* connections */
    uint64_t term_reqs;         /* that hosts have sent */
    uint64_t ops[OP_COUNT];
} Stats;

extern Stats stats;

typedef enum RequestState {
    REQUEST_RUNNING,            /* on the stack, nobody else knows it */
    REQUEST_DATA,               /* in its slot, waits for H2CData */
    REQUEST_DELAYED,            /* in its slot, its timer runs */
} RequestState;

typedef struct Request {
    RequestState state;
    struct Request *next;       /* of the connection's spare ones */
    Conn *conn;
    Sqe sqe;
    Op op;

    /* Data of the host. */
    const uint8_t *data;
    uint32_t len;
    bool digest_error;

    /* Of REQUEST_DATA and REQUEST_DELAYED only. */
    unsigned slot;
    Timer timer;
    uint8_t *buffer;            /* has the data */
    uint32_t buffer_size;
    uint32_t have;              /* bytes of data that have come */
    uint32_t asked;             /* bytes of data in R2Ts so far */
} Request;

/* A whole Command Capsule PDU at @pdu, its digest checked. */
void request_command(Conn *c, const uint8_t *pdu, const PduHead *head);
/* A whole H2CData PDU. */
void request_data(Conn *c, const uint8_t *pdu, const PduHead *head);

/* Gives up what waits on a connection that ends. */
void request_forget_all(Conn *c);
void request_free_spare(Conn *c);
/* Whether a command with that CID waits, and is given up by this. */
bool request_abort(Conn *c, uint16_t cid);

/* ---- how handlers answer, exactly once ---- */

void answer(Request *r, unsigned status);
void answer_result(Request *r, uint64_t result);
/*
 * Data and success. @data: see tx_pdu(). A host that wants less than @len gets
 * an error.
 */
void answer_data(Request *r, const void *data, uint32_t len, void *release);
/* The same with a copy of @data. */
void answer_copy(Request *r, const void *data, uint32_t len);
/*
 * The same with @len bytes, as many as the host has asked for: at most @size
 * at @page, and zeroes behind them. More than a mebibyte is refused.
 */
void answer_padded(Request *r, const void *page, uint32_t size, uint64_t len);
/* A response without a request: an asynchronous event. */
void answer_cid(Conn *c, uint16_t cid, uint64_t result, unsigned status);

#endif
