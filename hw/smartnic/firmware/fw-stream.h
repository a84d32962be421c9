/*
 * A stream of the firmware: an SnStream on a TCP connection of lwIP.
 *
 * stream.c has the events and the receiving side, stream-tx.c the sending
 * side, connect.c the way from a host's name to a connection.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_FW_STREAM_H
#define SMARTNIC_FIRMWARE_FW_STREAM_H

#include "fw.h"

#include "lwip/tcp.h"

typedef enum FwStreamState {
    /* No address or DNS server of our own yet; no pcb. Tried again whenever
     * the card's addresses change. */
    FW_STREAM_WAITING,
    /* The name is being looked up; lookup is set, no pcb. */
    FW_STREAM_RESOLVING,
    /* SYN sent; pcb is set. */
    FW_STREAM_CONNECTING,
    /* Established; pcb is set; writes are taken. */
    FW_STREAM_OPEN,
    /* Over. Received bytes may be read; writes are ignored. The pcb is still
     * set when the peer has only closed its side. */
    FW_STREAM_CLOSED,
} FwStreamState;

/* What a stream has to do or to tell when it is its turn. */
enum {
    FW_EV_START     = 1 << 0,   /* try to get on with connecting */
    FW_EV_CONNECTED = 1 << 1,
    FW_EV_READABLE  = 1 << 2,
    FW_EV_CLOSED    = 1 << 3,
};

typedef struct FwLookup FwLookup;

struct FwStream {
    SnStream base;              /* first */
    SnFirmware *fw;
    unsigned number;            /* in traces */
    const SnStreamEvents *events;
    void *opaque;
    FwStream *next, *prev;      /* fw->streams */
    GList ready_link;           /* in fw->ready while ready */
    bool ready;
    unsigned pending;           /* FW_EV_* */
    FwStreamState state;
    int error;                  /* for closed() */

    /* connect.c */
    char *host;                 /* a name to look up; NULL: addr is valid */
    uint16_t port;
    unsigned flags;             /* SN_NET_* */
    ip_addr_t addr;
    FwLookup *lookup;

    struct tcp_pcb *pcb;

    /* Received and not consumed: pbufs linked by next; tot_len is unused. */
    struct pbuf *rx_head, *rx_tail;
    size_t rx_consumed;         /* bytes TCP was not told about yet */
    bool ack_owed;              /* an ACK is due at the next output */
    bool rx_pushed;             /* the last segment had PSH */
    uint32_t rx_unacked;        /* bytes received since the last ACK */

    /*
     * Writes that are not acknowledged, in order. Positions count bytes
     * since the beginning: acked <= handed <= written. lwIP sends whole
     * segments again and counts one as acknowledged when it wholly is.
     */
    SnTx *tx_head, *tx_tail;
    SnTx *tx_next;              /* the first not wholly handed to TCP */
    unsigned tx_iov;            /* in tx_next: element ... */
    size_t tx_off;              /* ... and offset to go on at */
    const uint8_t *tx_last;     /* where the bytes handed last ended */
    uint64_t written, handed, acked;
    uint32_t first_seq;         /* TCP sequence number of position 0 */
    size_t copied;              /* bytes of memory of writes detached */
    uint8_t nrtx;               /* repetitions that were traced */
};

/* connect.c: SnNet's connect(). */
SnStream *sn_fw_stream_connect(SnNet *net, const char *host, uint16_t port,
                               unsigned flags, const SnStreamEvents *events,
                               void *opaque);
/* Does the next step of connecting that is possible now. */
void sn_fw_stream_start(FwStream *s);
/* The answer to a lookup must not reach @s any more. */
void sn_fw_stream_forget_lookup(FwStream *s);

/* stream.c: for connect.c. */
extern const SnStreamOps sn_fw_stream_ops;
void sn_fw_stream_set_state(FwStream *s, FwStreamState state);
/* Puts @events on the list of what @s has to tell. */
void sn_fw_stream_raise(FwStream *s, unsigned events);
/* The stream is over; closed(@error) is due. */
void sn_fw_stream_over(FwStream *s, int error);
/* Hands lwIP the callbacks of a new pcb. */
void sn_fw_stream_adopt(FwStream *s, struct tcp_pcb *pcb);

/* stream.c: for the card. */
void sn_fw_streams_deliver(SnFirmware *fw);
/* Sends the ACKs that have waited for data to go with. A timer's callback. */
void sn_fw_streams_ack(void *opaque);
/* Tries again what could not be done for want of addresses or memory. */
void sn_fw_streams_retry(SnFirmware *fw);
/* After every run of TCP's timers, which may have decided on repetitions. */
void sn_fw_streams_tick(SnFirmware *fw);

/* stream-tx.c */
void sn_fw_stream_write(SnStream *base, SnTx *tx);
void sn_fw_stream_push(SnStream *base);
void sn_fw_stream_detach(SnStream *base, SnTx *tx);
/* Hands TCP what it may have now; sends nothing yet. */
void sn_fw_stream_fill(FwStream *s);
/* Helps a long segment out that the window has become too small for. */
void sn_fw_stream_unstick(FwStream *s);
/* Calls done() of what is acknowledged. False when @s was closed in there. */
bool sn_fw_stream_complete(FwStream *s);
/* Frees the stream's own copies and forgets all writes. */
void sn_fw_stream_drop_writes(FwStream *s);

#endif
