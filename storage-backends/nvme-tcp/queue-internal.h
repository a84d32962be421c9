/*
 * The inside of SnNvmeQueue, shared by its three files: queue.c (life of the
 * connection and of commands), queue-tx.c and queue-rx.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_QUEUE_INTERNAL_H
#define SN_NVMETCP_QUEUE_INTERNAL_H

#include "pdu.h"
#include "queue.h"
#include "smartnic/backend.h"
#include "smartnic/log.h"
#include "smartnic/trace.h"

typedef struct SnNvmeSlot SnNvmeSlot;

typedef enum SnNvmeQueueState {
    /* TCP is being connected: nothing may be written. */
    SN_NVME_QUEUE_CONNECTING,
    /* ICReq is sent; the ICResp may come, nothing else. */
    SN_NVME_QUEUE_INITIALIZING,
    /* Commands may be sent; q->link is valid from here on. */
    SN_NVME_QUEUE_UP,
    /* Over: nothing is read or written any more. */
    SN_NVME_QUEUE_FAILED,
} SnNvmeQueueState;

typedef enum SnNvmeCmdState {
    /* On the free list. */
    SN_NVME_CMD_FREE,
    /* The controller has it, or will have it. */
    SN_NVME_CMD_SENT,
    /*
     * As SENT, but cancelled: the request's memory is not there any more. What
     * the controller sends is dropped; what it may still ask for is in `own`.
     */
    SN_NVME_CMD_CANCELLED,
} SnNvmeCmdState;

/* What the receiver expects next. */
typedef enum SnNvmeRxState {
    SN_NVME_RX_CH,              /* a common header */
    SN_NVME_RX_HEAD,            /* the rest of the header, with digest */
    SN_NVME_RX_PAD,             /* rx_left bytes before the data, to drop */
    SN_NVME_RX_DATA,            /* rx_left bytes for rx_cmd */
    SN_NVME_RX_DIGEST,          /* the data digest */
} SnNvmeRxState;

/* A write of a slot; leads from the stream's done() to the slot. */
typedef struct SnNvmeSlotTx {
    SnTx tx;
    SnNvmeSlot *slot;
} SnNvmeSlotTx;

/*
 * One PDU on its way out: header, padding, data, digest. Data by reference is
 * the first piece in head[], then whole entries of the request's own iovec,
 * then a last piece in tail: so nothing is allocated however many entries the
 * request has, and wherever a PDU begins and ends in them.
 */
struct SnNvmeSlot {
    SnNvmeSlotTx tx[3];
    struct iovec head[4];
    struct iovec tail;
    uint8_t pdu[SN_PDU_HEAD_MAX] __attribute__((aligned(8)));
    uint32_t ddgst;
    uint8_t *copy;              /* from q->copies, or NULL */
    SnNvmeCmd *cmd;
    SnNvmeSlot *next;           /* in q->free_slots or cmd->slots */
};

struct SnNvmeCmd {
    SnNvmeQueue *q;
    SnNvmeCmdState state;
    uint16_t cid;               /* index in q->cmds */
    SnNvmeRequest req;
    /* Data moves strictly in order: how far it is, and where in req.iov. */
    uint32_t moved;
    const struct iovec *iov;
    size_t iov_off;
    bool in_capsule;
    bool last;                  /* C2HData with LAST came */
    bool bad_data;              /* a data digest was wrong */
    /* The R2T being answered. */
    uint32_t r2t_left;
    uint16_t ttag;
    bool waiting;               /* on q->waiting, for a slot */
    /* A cancelled write's data from `moved` on, as it was then; or NULL. */
    uint8_t *own;
    struct iovec own_iov;
    SnNvmeSlot *slots, **slots_end;     /* unacknowledged, in order */
    SnNvmeCmd *next;            /* in q->free_cmds or q->waiting */
};

struct SnNvmeQueue {
    SnNvmeQueueConfig config;   /* host is not valid any more */
    SnNvmeQueueState state;
    SnStream *stream;
    bool ended_by_peer;         /* closed, reset, or a TermReq came */
    SnPduLink link;
    char name[24];

    SnNvmeCmd *cmds;            /* config.depth of them */
    SnNvmeCmd *free_cmds;
    unsigned used;              /* how many are not free */
    unsigned cancelled;         /* how many of these are */
    size_t owned;               /* bytes in their `own` */

    /* Sending (queue-tx.c). */
    SnNvmeSlot *slots;
    SnNvmeSlot *free_slots;
    SnNvmeCmd *waiting, **waiting_end;
    uint8_t *copy_memory;       /* COPY_COUNT buffers, with data digests */
    GPtrArray *copies;          /* those that are free */
    bool dirty;                 /* written to since the last push */
    SnTx control_tx;            /* ICReq, and later perhaps a TermReq */
    struct iovec control_iov;
    uint8_t control[sizeof(SnPduTermReq) + SN_PDU_TERM_DATA_MAX]
        __attribute__((aligned(8)));

    /* Receiving (queue-rx.c). */
    int64_t heard;              /* when something came; SnLoop's clock, ns */
    SnNvmeRxState rx_state;
    uint8_t rx_head[SN_PDU_RX_HEAD_MAX + SN_PDU_DIGEST_LEN]
        __attribute__((aligned(8)));
    unsigned rx_have;           /* bytes of the header or digest */
    unsigned rx_need;
    uint32_t rx_left;
    SnNvmeCmd *rx_cmd;
    uint32_t rx_crc;
    SnLogLimit digest_limit;
};

/* queue.c */

/* The one way to fail; the first reason counts. */
void sn_nvmetcp_queue_fail(SnNvmeQueue *q, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);
/* The same because of what the peer sent, which is told so. */
void sn_nvmetcp_queue_fail_pdu(SnNvmeQueue *q, const SnPduError *error);
void sn_nvmetcp_queue_set_up(SnNvmeQueue *q, const SnPduLink *link);
/* The response @cqe to @cmd is here, its data as well. */
void sn_nvmetcp_cmd_finish(SnNvmeCmd *cmd, const SnNvmeCqe *cqe);

/* queue-tx.c */

void sn_nvmetcp_tx_init(SnNvmeQueue *q);
void sn_nvmetcp_tx_cleanup(SnNvmeQueue *q);
void sn_nvmetcp_tx_icreq(SnNvmeQueue *q);
void sn_nvmetcp_tx_term_req(SnNvmeQueue *q, const SnPduError *error,
                            size_t len);
bool sn_nvmetcp_tx_has_room(const SnNvmeQueue *q);
void sn_nvmetcp_tx_command(SnNvmeCmd *cmd);
/* Answers the R2T that cmd->r2t_left and ttag tell of, now or later. */
void sn_nvmetcp_tx_r2t(SnNvmeCmd *cmd);
/* Takes back all that the stream references of @cmd; others use the room. */
void sn_nvmetcp_tx_detach(SnNvmeCmd *cmd);
/* The same, and what an R2T asked for is not sent any more. */
void sn_nvmetcp_tx_drop(SnNvmeCmd *cmd);

/* queue-rx.c */

/* Reads all there is, or until the queue has failed. */
void sn_nvmetcp_rx(SnNvmeQueue *q);

/* Starts moving the request's data from its beginning. */
static inline void sn_nvmetcp_cmd_rewind(SnNvmeCmd *cmd)
{
    cmd->moved = 0;
    cmd->iov = cmd->req.iov;
    cmd->iov_off = 0;
}

/*
 * The next piece of @cmd's memory, of at most @len bytes, and moves past it.
 * There must be more than nothing left.
 */
static inline struct iovec sn_nvmetcp_cmd_take(SnNvmeCmd *cmd, size_t len)
{
    struct iovec piece;

    while (cmd->iov_off == cmd->iov->iov_len) {
        cmd->iov++;
        cmd->iov_off = 0;
    }
    piece.iov_base = (uint8_t *)cmd->iov->iov_base + cmd->iov_off;
    piece.iov_len = MIN(len, cmd->iov->iov_len - cmd->iov_off);
    cmd->iov_off += piece.iov_len;
    cmd->moved += piece.iov_len;
    return piece;
}

#endif
