/*
 * A connection: one TCP stream, which carries one queue of a controller.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_CONNECTION_H
#define TARGET_CONNECTION_H

#include "target.h"
#include "wire.h"

struct Ctrl;
struct Fault;
struct Request;

/* Bytes of data that a host may send in one H2CData PDU. */
#define MAXH2CDATA (256u * 1024)
/* The longest PDU that may come, and a buffer for many. */
#define RX_PDU_MAX (UINT8_MAX + MAXH2CDATA + DIGEST_LEN)
#define RX_SIZE (512u * 1024)
#define QUEUE_SIZE_MAX 1024
#define TX_ENTRIES 1024
/* What the answer to one PDU may take; reading waits for as much room. */
#define TX_ROOM 128

typedef enum ConnState {
    CONN_NEW,           /* an ICReq must come */
    CONN_ICREQ,         /* it came, and a fault holds the answer back */
    CONN_READY,         /* PDUs come and go */
    CONN_SILENT,        /* fault: nothing is read or sent any more */
    CONN_ENDING,        /* what is queued is sent, then a FIN; what comes is
                         * thrown away until the peer closes, or for a while */
    CONN_DEAD,          /* closed; freed at the end of the round */
} ConnState;

/* A piece of what is to be sent: small things are in it. */
typedef struct TxEntry {
    const uint8_t *base;
    size_t len;
    void *release;              /* freed when it was sent, or NULL */
    uint8_t bytes[sizeof(PduInit)];
} TxEntry;

typedef struct Conn {
    Watch watch;
    struct Conn *next;
    ConnState state;
    Timer timer;                /* of CONN_ICREQ and CONN_ENDING */

    /* Agreed by ICReq and ICResp. */
    bool hdgst, ddgst;
    unsigned align;             /* of data that we send, bytes */
    unsigned max_r2t;

    /* Agreed by Connect. */
    struct Ctrl *ctrl;          /* NULL before */
    unsigned qid;
    unsigned queue_size;
    bool no_flow;               /* submission queue flow control is off */
    uint16_t sqhd;

    struct Fault *fault;        /* distorts what is being sent */
    bool mute;                  /* what is being sent is lost */

    uint8_t *rx;                /* RX_SIZE bytes; those from rx_start to */
    size_t rx_start, rx_end;    /* rx_end are to be looked at */
    bool rx_paused;             /* until there is room for answers */

    TxEntry *tx;                /* a ring of TX_ENTRIES */
    unsigned tx_first, tx_count;
    size_t tx_sent;             /* bytes of the first entry */
    bool tx_blocked;            /* until the socket has room */

    /* Those that wait for data or for their time; by slot. */
    struct Request *requests[QUEUE_SIZE_MAX];
    struct Request *spare;      /* a list */
} Conn;

/* Takes over the connected socket @fd. */
void conn_accept(int fd);

/* Ends at once, by RST. */
void conn_abort(Conn *c);
/* Ends in order, after what is queued. */
void conn_finish(Conn *c);
/* Only closes our direction, for as long as the peer likes. */
void conn_half_close(Conn *c);
/* Falls silent, and stays. */
void conn_silence(Conn *c);

/* Sends what is queued, as far as the socket takes it; may end @c. A PDU that
 * comes does this by itself, anything else must. */
void conn_flush(Conn *c);

/*
 * Tells the peer that the PDU at @pdu, @len bytes of it, is wrong in the field
 * at offset @fei, and ends.
 */
void conn_terminate(Conn *c, Fes fes, uint32_t fei, const void *pdu,
                    size_t len);

/* Calls @act for every connection that lives. */
void conn_each(void (*act)(Conn *c));
/* Stops and resumes all reading and sending. */
void conn_stall_all(bool on);
bool conn_all_stalled(void);
/* Frees what is dead. Once per round of the loop. */
void conn_reap(void);
unsigned conn_count(void);

/* ---- transmit.c ---- */

/*
 * Queues a PDU: the header at @head with head->hlen bytes, of which the flags
 * of digests, PDO and PLEN are filled in here, and @len bytes at @data, which
 * must stay until @release was freed, or for good.
 */
void tx_pdu(Conn *c, PduHead *head, const void *data, uint32_t len,
            void *release);
/* Queues bytes (a copy) that need be no PDU. */
void tx_bytes(Conn *c, const void *bytes, size_t len);
/* Whether the answer to one more PDU can be queued. */
bool tx_has_room(const Conn *c);
/* Sends as much as can be; false when the connection is broken. */
bool tx_flush(Conn *c);
void tx_discard(Conn *c);

#endif
