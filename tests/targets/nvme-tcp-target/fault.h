/*
 * Faults: what somebody at the control socket wants to go wrong.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_FAULT_H
#define TARGET_FAULT_H

#include "connection.h"
#include "request.h"

typedef enum FaultKind {
    FAULT_NONE,
    FAULT_DROP,                 /* RST instead of the answer */
    FAULT_HALF_CLOSE,           /* FIN instead of it; the rest is ignored */
    FAULT_STALL,                /* the connection falls silent */
    FAULT_DELAY,                /* the command is carried out after ms= */
    FAULT_GARBAGE,              /* bytes= of noise instead of the answer */
    FAULT_TERM_REQ,             /* C2HTermReq instead of it */
    FAULT_KATO,                 /* the controller is gone, as if by timeout */
    FAULT_LOST_RESPONSE,        /* carried out, never answered */
    FAULT_STATUS,               /* status= instead of carrying it out */
    FAULT_DOUBLE,               /* the response comes twice */
    /* The first PDU of the answer is wrong (or the response: step=). */
    FAULT_TRUNCATED,            /* its first bytes=, then FIN */
    FAULT_WRONG_CID,            /* the next one */
    FAULT_UNKNOWN_CID,          /* one that no host uses */
    FAULT_BAD_TYPE,
    FAULT_BAD_HLEN,             /* off by bytes=, as the next two */
    FAULT_BAD_PDO,
    FAULT_BAD_PLEN,
    FAULT_HDGST,                /* these two only where digests are on */
    FAULT_DDGST,
    FAULT_BAD_ICRESP,           /* the field step= of it */
    /* Data for the host is wrong. */
    FAULT_SHORT_DATA,           /* by bytes= */
    FAULT_EXTRA_DATA,
    FAULT_DATA_ORDER,           /* the second half comes first */
    FAULT_SUCCESS_WITHOUT_LAST,
    /* An R2T is wrong. */
    FAULT_R2T_RANGE,            /* beyond the command's data, by bytes= */
    FAULT_R2T_ORDER,            /* not where the last one ended */
    FAULT_R2T_EXTRA,            /* it comes twice */
    FAULT_R2T_LENGTH,           /* of bytes=, 0 by default */
    FAULT_KINDS,
} FaultKind;

/* Where in the course of things a fault can strike. */
typedef enum FaultPoint {
    POINT_ACCEPT = 1 << 0,
    POINT_ICREQ = 1 << 1,
    POINT_R2T = 1 << 2,
    POINT_ANSWER = 1 << 3,      /* all data of the host is there */
} FaultPoint;

typedef enum FaultStep {
    STEP_FIRST,                 /* the first PDU of the answer */
    STEP_R2T,
    STEP_RESPONSE,
    /* Fields of the ICResp. */
    STEP_PFV,
    STEP_CPDA,
    STEP_DGST,
    STEP_MAXH2CDATA,
    STEP_COUNT,
} FaultStep;

enum { QUEUE_ANY = -1, QUEUE_IO = -2 };

typedef struct Fault {
    unsigned number;
    FaultKind kind;
    Op op;
    FaultStep step;
    int queue;                  /* its number, or QUEUE_ANY or QUEUE_IO */
    unsigned after;             /* matches to let pass */
    unsigned times;             /* to strike; 0: always */
    unsigned matched, fired;
    unsigned ms;
    long bytes;
    bool has_bytes;
    unsigned status;
} Fault;

/*
 * Parses "KIND [key=value]...", writes to it; returns its number, or 0 and
 * @why, a literal.
 */
unsigned fault_add(char *text, const char **why);
void fault_clear(void);
/* "1:drop:fired=0 ..." into @buf, cut off at @size. */
void fault_list(char *buf, size_t size);
unsigned fault_fired(void);

/*
 * The fault that strikes now, or NULL. It is valid until the control socket is
 * looked at again. @queue: that the command is about.
 */
Fault *fault_match(Conn *c, FaultPoint point, Op op, unsigned queue);
/* Milliseconds to wait, or 0 when it is another kind of fault. */
unsigned fault_delay(const Fault *fault);
/* bytes=, or @preset when not given. */
long fault_bytes(const Fault *fault, long preset);
/* Does what takes the place of an answer; false when it is another kind. */
bool fault_instead(Fault *fault, Conn *c);

/* What is to be done to a PDU beyond its fields. */
typedef struct Distortion {
    bool hdgst, ddgst, truncated;
} Distortion;

/* Changes fields of the PDU at @head if c->fault is about it. */
Distortion fault_distort(Conn *c, PduHead *head);

#endif
