/*
 * One NVMe/TCP connection, which is one NVMe queue pair.
 *
 * It carries commands with their data. What the commands mean is its user's
 * business (association.c, io.c). The commands are the queue's own, so that
 * one whose request was cancelled can wait here for its response.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_QUEUE_H
#define SN_NVMETCP_QUEUE_H

#include "scope.h"
#include "smartnic/loop.h"
#include "smartnic/nvme.h"
#include "smartnic/stream.h"
#include "smartnic/volume.h"

typedef struct SnNvmeQueue SnNvmeQueue;
typedef struct SnNvmeCmd SnNvmeCmd;

/*
 * Data that fits in the capsule of an admin or Fabrics command, whatever
 * IOCCSZ says (TCP Transport 1.0c section 3.3.2.2).
 */
#define SN_NVMETCP_FABRICS_IN_CAPSULE 8192

/*
 * Bytes of data that a command may have with data digests. All that one R2T
 * asks for then fits in one copy and so in one PDU: Linux's target (seen with
 * 6.1) takes the digest over the whole command's data, and is right only when
 * that is one PDU.
 */
#define SN_NVMETCP_DDGST_TRANSFER (128 * 1024)

/*
 * The command is over: @opaque is the one of its SnNvmeRequest, @cqe the
 * response. The queue has let go of the data and of the command. A response of
 * success whose data did not move whole is given as Data Transfer Error, one
 * with a wrong data digest as Transient Transport Error. May send further
 * commands.
 */
typedef void SnNvmeDone(void *opaque, const SnNvmeCqe *cqe);

/* What to send. The data is borrowed until done() or cancel. */
typedef struct SnNvmeRequest {
    SnNvmeSqe sqe;              /* the queue sets CID, PSDT and the SGL */
    SnNvmeDir dir;
    const struct iovec *iov;    /* the array is borrowed as well */
    uint32_t len;               /* bytes of data */
    SnNvmeDone *done;
    void *opaque;
} SnNvmeRequest;

/* Events, all from the loop. */
typedef struct SnNvmeQueueEvents {
    /* ICResp came: commands may be sent. */
    void (*up)(void *opaque, SnNvmeQueue *q);
    /*
     * It is over; @why is one line. The queue is silent from now on. It must
     * not be freed from inside this call.
     */
    void (*failed)(void *opaque, SnNvmeQueue *q, const char *why);
} SnNvmeQueueEvents;

typedef struct SnNvmeQueueConfig {
    SnVolume *vol;              /* gets batches of completions */
    SnNet *net;
    SnLoop *loop;
    const char *id;             /* for messages; outlives the queue */
    const char *host;           /* borrowed during the call */
    uint16_t port;
    bool hdgst, ddgst;
    uint16_t qid;               /* 0: admin */
    uint16_t depth;             /* commands in flight */
    uint32_t in_capsule;        /* bytes of data that fit in a capsule */
    const SnNvmeQueueEvents *events;
    void *opaque;
} SnNvmeQueueConfig;

/* Starts connecting. The caller owns the queue. */
SnNvmeQueue *sn_nvmetcp_queue_new(const SnNvmeQueueConfig *config);

/* Drops the connection and forgets all commands without a word. */
void sn_nvmetcp_queue_free(SnNvmeQueue *q);

uint16_t sn_nvmetcp_queue_id(const SnNvmeQueue *q);

/* Commands that have no answer yet, the cancelled ones too. */
unsigned sn_nvmetcp_queue_used(const SnNvmeQueue *q);

/* Whether commands may be sent. */
bool sn_nvmetcp_queue_is_up(const SnNvmeQueue *q);

/* Whether it was the target that ended the connection. */
bool sn_nvmetcp_queue_ended_by_peer(const SnNvmeQueue *q);

/*
 * Whether a command that changes something is not answered; those that were
 * cancelled count. For I/O queues.
 */
bool sn_nvmetcp_queue_writes_pending(const SnNvmeQueue *q);

/* When something came from the target last (SnLoop's clock, ns); 0: never. */
int64_t sn_nvmetcp_queue_heard(const SnNvmeQueue *q);

/*
 * Sends @req, of which nothing but the data is referenced afterwards. NULL
 * when all commands are in use; the next that ends makes room. Otherwise the
 * command, to be used for cancelling only.
 */
SnNvmeCmd *sn_nvmetcp_queue_send(SnNvmeQueue *q, const SnNvmeRequest *req);

/* Lets what was sent leave. */
void sn_nvmetcp_queue_push(SnNvmeQueue *q);

/*
 * Lets go of the data at once, copying what the controller may still ask for;
 * done() is not called. The command keeps its CID until the controller has
 * answered. Returns the CID, for an Abort.
 */
uint16_t sn_nvmetcp_queue_cancel(SnNvmeQueue *q, SnNvmeCmd *cmd);

/*
 * Whether a cancelled command that is not answered yet may still change any of
 * the blocks of @scope. For I/O queues.
 */
bool sn_nvmetcp_queue_cancelled_overlaps(const SnNvmeQueue *q,
                                         const SnNvmeScope *scope);

#endif
