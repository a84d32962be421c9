/*
 * The inside of the NVMe controller, shared by its files.
 *
 *   guest: doorbell -> regs.c -> queue.c
 *                                  | wakes
 *                               arbiter.c     fetches commands, by priority
 *                                  |
 *                              request.c      a command's life
 *                               /      \
 *      admin.c (and identify, features,  io.c (and compare, fused, zeroes,
 *      log, events, reservation,         dsm, passthrough); data.c: memory
 *      queue commands)          \      /      ns.c has the volumes
 *                              request.c      sn_ctrl_complete()
 *                                  |
 *                               queue.c       posts the completion entry
 *                             interrupt.c     once per batch
 *
 * A command that cannot be carried out now, since the controller does not run
 * or was stopped in the middle, is parked: its memory is let go of and it
 * begins again from its submission queue entry, of which there is a copy.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_CTRL_INTERNAL_H
#define SN_CTRL_INTERNAL_H

#include <nvme/types.h>

#include "ctrl.h"
#include "smartnic/log.h"
#include "smartnic/nvme.h"

#define SN_CTRL_VERSION 0x00010400      /* VS: NVMe 1.4 */
/* SN_CTRL_FIRMWARE, the revision of 1 to 8 characters: see meson.build. */
#define SN_CTRL_CIDS 65536
/* I/O commands in all; admin commands likewise */
#define SN_CTRL_MAX_OUTSTANDING 1024

typedef struct SnCtrlReq SnCtrlReq;
typedef struct SnCtrlSq SnCtrlSq;
typedef struct SnCtrlCq SnCtrlCq;
typedef struct SnCtrlShadow SnCtrlShadow;

/* A list through SnCtrlReq.next and prev; a request is on one at most. */
typedef struct SnCtrlReqList {
    SnCtrlReq *head, *tail;
    unsigned count;
} SnCtrlReqList;

/*
 * A status as the handlers of commands give it: 0, or SN_NVME_STATUS() with or
 * without SN_NVME_STATUS_DNR. These are the ones that are needed everywhere.
 */
typedef uint16_t SnCtrlStatus;

#define SN_CTRL_GENERIC(sc) \
    ((SnCtrlStatus)SN_NVME_STATUS(NVME_SCT_GENERIC, sc))
#define SN_CTRL_SPECIFIC(sc) \
    ((SnCtrlStatus)SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC, sc))
/* For what the same command can never get right. */
#define SN_CTRL_GENERIC_DNR(sc) \
    ((SnCtrlStatus)(SN_CTRL_GENERIC(sc) | SN_NVME_STATUS_DNR))
#define SN_CTRL_SPECIFIC_DNR(sc) \
    ((SnCtrlStatus)(SN_CTRL_SPECIFIC(sc) | SN_NVME_STATUS_DNR))
#define SN_CTRL_INVALID_FIELD SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_FIELD)
#define SN_CTRL_INVALID_NS    SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_NS)

/*
 * Not a status: the command goes on, and sn_ctrl_complete() is called for it
 * later. Handlers that return anything else are completed with that.
 */
#define SN_CTRL_PENDING ((SnCtrlStatus)0xffff)

/* ---- memory of a command: data.c, with prp.c and sgl.c ---- */

#define SN_CTRL_DATA_INLINE 4
/*
 * What a request keeps of room for pieces: 128 KiB that are not aligned are 33
 * pages, and more is rare. A guest can have tens of thousands of requests.
 */
#define SN_CTRL_DATA_KEPT 64

/* Where a command's data is, mapped. */
typedef struct SnCtrlData {
    struct iovec *iov;          /* inline_iov, or on the heap, kept for reuse */
    SnDmaHold **hold;           /* of each entry, likewise */
    unsigned iovcnt, room;
    bool writable;              /* the device writes: data goes to the guest */
    bool mapped;
    struct iovec inline_iov[SN_CTRL_DATA_INLINE];
    SnDmaHold *inline_hold[SN_CTRL_DATA_INLINE];
} SnCtrlData;

/* ---- requests ---- */

typedef enum SnCtrlReqState {
    /* In the pool of its submission queue. */
    SN_REQ_FREE,
    /* Its handler runs, now. */
    SN_REQ_RUNNING,
    /*
     * The handler waits for something that calls back: req->io, which is with
     * the volume (SnCtrlReq.submitted), or a step of its own. On sq->active.
     */
    SN_REQ_ACTIVE,
    /* An Asynchronous Event Request that waits for one. On sq->active. */
    SN_REQ_EVENT,
    /* To begin again when the controller runs. On ctrl->parked. */
    SN_REQ_PARKED,
    /* Over; waits for room in the completion queue. On cq->waiting. */
    SN_REQ_COMPLETED,
} SnCtrlReqState;

/* One command of the guest. */
struct SnCtrlReq {
    SnIo io;                    /* what it asks of the volume, step by step */
    SnCtrl *ctrl;
    SnCtrlSq *sq;
    SnCtrlNs *ns;               /* I/O commands, while they are active */
    SnCtrlReqState state;
    SnCtrlReq *next, *prev;
    SnNvmeSqe sqe;              /* the copy; the guest's is not read again */
    bool known_cid;             /* its bit in sq->cids is its own */
    bool submitted;             /* io belongs to the volume */
    void (*done)(SnCtrlReq *req, int ret);      /* io is over */
    SnCtrlData data;
    int64_t fetched;            /* when, ns */
    SnCtrlStatus status;        /* once COMPLETED */
    uint32_t result;            /* dword 0 of the completion entry */
    /* For the error log: byte and bit of the SQE that was wrong, or ~0. */
    uint16_t error_location;
    /*
     * Undoes what the handler has besides io and data, when the command is
     * parked, aborted, or dropped while it is ACTIVE; NULL: nothing.
     */
    void (*forget)(SnCtrlReq *req);
    /* The handler's own, for commands of several steps. */
    void *step;                 /* freed by forget() */
    SnCtrlReq *partner;         /* the other one of a fused pair, or NULL */
    uint64_t at, left;
    struct iovec zeroes;
    SnNvmeCommand nvme;         /* for SN_IO_NVME */
};

/* ---- queues ---- */

typedef enum SnCtrlPrio {       /* QPRIO of Create I/O Submission Queue */
    SN_PRIO_URGENT,
    SN_PRIO_HIGH,
    SN_PRIO_MEDIUM,
    SN_PRIO_LOW,
    SN_PRIO_COUNT
} SnCtrlPrio;

/* A doorbell's copy in the guest's memory (Doorbell Buffer Config). */
struct SnCtrlShadow {
    uint64_t doorbell;          /* guest addresses; 0: there is none */
    uint64_t event_index;
};

struct SnCtrlCq {
    uint16_t id;
    uint16_t entries;
    uint64_t base;              /* guest address, physically contiguous */
    uint16_t vector;
    bool interrupts;            /* IEN */
    uint16_t head, tail;
    bool phase;                 /* of the entries to be written next */
    unsigned users;             /* submission queues that post here */
    SnCtrlReqList waiting;      /* for room */
    unsigned since_interrupt;   /* how many: interrupt coalescing */
    SnCtrlShadow shadow;
};

struct SnCtrlSq {
    SnCtrl *ctrl;
    uint16_t id;
    uint16_t entries;
    uint64_t base;
    SnCtrlCq *cq;
    SnCtrlPrio prio;
    uint16_t head, tail;
    SnCtrlReqList active;       /* RUNNING, ACTIVE, EVENT; oldest first */
    SnCtrlReq *fused;           /* the first of a pair, for the next command */
    uint8_t *cids;              /* a bit for each that is outstanding */
    SnCtrlReqList free;         /* the pool */
    GPtrArray *chunks;          /* the pool's memory; grows, never shrinks */
    unsigned outstanding;       /* fetched and not posted */
    SnLatency latency;
    SnCtrlShadow shadow;
};

/* ---- the controller ---- */

typedef enum SnCtrlState {
    /* CC.EN is 0. */
    SN_CTRL_DISABLED,
    /* CC.EN is 1, CSTS.RDY still 0: volumes are waited for. */
    SN_CTRL_ENABLING,
    /* CSTS.RDY is 1: commands are fetched. */
    SN_CTRL_READY,
    /*
     * CSTS.SHST is 10b, RDY stays 1: neither DMA nor interrupts until CC.EN
     * is 0. Section 3.1.6 leaves open what commands do then.
     */
    SN_CTRL_SHUT_DOWN,
    /* CSTS.CFS is 1: nothing but a reset helps. */
    SN_CTRL_FATAL,
} SnCtrlState;

/* What Get Features tells of the controller; 05h and 82h are in SnCtrlNs. */
typedef struct SnCtrlFeatures {
    uint32_t arbitration;       /* 01h */
    uint32_t power;             /* 02h */
    uint32_t temperature[2];    /* 04h: over, under */
    uint32_t write_cache;       /* 06h */
    uint32_t queues;            /* 07h: what was granted, less one each */
    bool queues_set;            /* somebody has asked */
    uint32_t coalescing;        /* 08h */
    bool coalescing_off[SN_CTRL_MAX_VECTORS];   /* 09h */
    uint32_t atomicity;         /* 0ah */
    uint32_t events;            /* 0bh */
    uint64_t timestamp;         /* 0eh: ms, as it was set */
    int64_t timestamp_at;       /* when that was (loop's clock, ns) */
    uint8_t timestamp_origin;
    uint8_t host_id[16];        /* 81h */
} SnCtrlFeatures;

/* What the SMART log counts; it lives as long as the controller. */
typedef struct SnCtrlCounters {
    uint64_t read_bytes, written_bytes;
    uint64_t reads, writes;             /* host commands */
    uint64_t busy_ns;
    int64_t busy_since;         /* I/O commands are outstanding since; or 0 */
    unsigned busy;              /* how many */
    uint64_t power_cycles;
    int64_t powered_at;         /* loop's clock, ns */
    uint64_t unsafe_shutdowns;
    uint64_t media_errors;
    uint64_t errors;            /* entries that the error log ever had */
} SnCtrlCounters;

#define SN_CTRL_ERROR_LOG 64    /* entries: ELPE + 1 */
#define SN_CTRL_AERL 8          /* Asynchronous Event Requests at a time */
#define SN_CTRL_EVENTS 16       /* that wait for a request */
#define SN_CTRL_ABORT_LIMIT 64  /* ACL + 1; Abort is carried out at once */
#define SN_CTRL_TEMPERATURE 313 /* kelvins: it is emulated */
#define SN_CTRL_WARNING_TEMPERATURE 353
#define SN_CTRL_BURST 5         /* RAB, and AB at first: 2^this commands */

typedef struct SnCtrlEvent {
    uint8_t type, info, log;    /* dword 0 of the completion entry */
} SnCtrlEvent;

#define SN_CTRL_NOTICES 64      /* pages of log 80h that wait to be read */

typedef struct SnCtrlNotice {
    uint64_t serial;            /* LPC, from 1 on; does not live to wrap */
    uint32_t nsid;
    uint8_t type;               /* RNLPT, 1 to 3 */
} SnCtrlNotice;

struct SnCtrl {
    char *id;
    char *serial;
    SnCtrlConfig config;        /* id and serial: the copies above */
    SnLoop *loop;
    SnDma *dma;
    bool running;               /* see sn_ctrl_set_running() */

    /* Registers (regs.c) and what enabling made of them. */
    SnCtrlState state;
    uint64_t cap;
    uint32_t intms;
    uint32_t cc;
    uint32_t csts;
    uint32_t aqa;
    uint64_t asq, acq;
    uint32_t page_size;         /* bytes: CC.MPS */
    int64_t wait_until;         /* ns: for volumes; 0: nobody has waited since
                                 * the function was reset */
    SnTimer *ready_timer;
    SnLogLimit fatal_limit;
    SnTimer *shutdown_timer;
    unsigned flushing;          /* volumes, for a shutdown */

    /* Queues; index 0 is the admin queue pair. */
    SnCtrlSq *sqs[SN_CTRL_MAX_QUEUE_PAIRS + 1];
    SnCtrlCq *cqs[SN_CTRL_MAX_QUEUE_PAIRS + 1];
    uint64_t dbbuf[2];          /* shadow doorbells, event indices; 0: none */
    SnBh *fetch_bh;             /* arbiter.c */
    /* Bit n stands for I/O submission queue n + 1. */
    uint64_t prio_sqs[SN_PRIO_COUNT];   /* those of each priority */
    uint64_t ready_sqs;         /* there may be commands in it */
    uint64_t unasked_sqs;       /* its doorbell in memory may have moved: the
                                 * event index does not say that it is to be
                                 * rung */
    unsigned next_sq[SN_PRIO_COUNT + 1];        /* round robin: the bit to begin
                                 * with; + 1: of all */
    unsigned credits[SN_PRIO_COUNT];            /* weighted round robin */
    unsigned outstanding;       /* I/O commands fetched and not posted */
    SnCtrlReqList parked;
    bool fetching;              /* sn_ctrl_fetch() is on the stack */
    int64_t batch_now;          /* see sn_ctrl_now(); 0: to be looked up */
    uint64_t unnotified[2];     /* bit n: completion queue n has entries since
                                 * its last interrupt */
    uint64_t interrupting[2];   /* likewise: it exists, and with IEN */
    uint64_t unkicked[SN_CTRL_MAX_NSID / 64 + 1];       /* bits of nsids */
    SnTimer *coalesce_timer;    /* interrupt.c */
    bool coalescing;            /* it is armed */
    SnCtrlInterrupts interrupts;        /* see sn_ctrl_use_interrupts() */
    bool pin;

    /* Admin (features, events, log, reservation, error-log, smart). */
    SnCtrlFeatures features;
    /*
     * The guest asked once when there was no write cache. It does not flush,
     * therefore, although a namespace with one may have come since. Asking
     * again does not change that until the next reset: a driver looks when it
     * starts, and who else asks (nvme-cli) does not flush for it.
     */
    bool cache_untold;
    SnCtrlEvent events[SN_CTRL_EVENTS];         /* oldest first */
    unsigned event_count;
    uint32_t masked_events;     /* bit n: type n was sent, its log not read */
    uint64_t changed_ns[SN_CTRL_MAX_NSID / 64 + 1];     /* bits of nsids */
    SnCtrlNotice notices[SN_CTRL_NOTICES];      /* oldest first */
    unsigned notice_count;
    uint64_t notice_serial;     /* of the last one since the reset */
    uint64_t removed_ns[SN_CTRL_MAX_NSID / 64 + 1];     /* see ns.c */
    struct nvme_error_log_page error_log[SN_CTRL_ERROR_LOG];
    unsigned error_next;
    SnCtrlCounters counters;

    uint8_t *bit_bucket;        /* sgl.c; NULL until one was needed */

    /* Namespaces (ns.c). */
    SnCtrlNs *ns[SN_CTRL_MAX_NSID + 1];         /* by nsid; 0 is not used */
};

struct SnCtrlNs {
    SnCtrl *ctrl;
    uint32_t nsid;
    char *id;
    char *name;                 /* for an identity, when there is no other */
    SnVolume *vol;
    /*
     * The guest may see it: the volume was READY once, and the guest knows no
     * other namespace under this nsid any more. Afterwards it stays, whatever
     * becomes of the volume.
     */
    bool active;
    bool known;                 /* the guest was told, or saw it at first */
    uint64_t told_size;         /* bytes: what the guest knows */
    bool told_read_only;
    uint32_t error_recovery;    /* feature 05h */
    uint32_t notice_mask;       /* feature 82h: bit RNLPT */
    uint8_t uuid[16], nguid[16], eui64[8];      /* as told; fixed at READY */
    SnIo flush_io;              /* for a shutdown */
    bool flushing;
};

/* ---- ctrl.c, reset.c ---- */

/* The one place that assigns ctrl->state; sets RDY and CFS to match. */
void sn_ctrl_set_state(SnCtrl *ctrl, SnCtrlState state);
/* CSTS.CFS, with one rate-limited line that says why. */
void sn_ctrl_fatal(SnCtrl *ctrl, const char *why);
/* CC.EN became 1: checks CC and AQA, makes the admin queue, waits a while. */
void sn_ctrl_enable(SnCtrl *ctrl);
/* CC.EN became 0 (Controller Reset, section 7.3.2): nothing is left behind. */
void sn_ctrl_disable(SnCtrl *ctrl);
/* CC.SHN (section 7.6.2): caches are flushed, for a limited time. */
void sn_ctrl_shutdown(SnCtrl *ctrl, bool abrupt);
/* Forgets that, for a controller that is enabled or disabled. */
void sn_ctrl_shutdown_forget(SnCtrl *ctrl);
/* While ENABLING: looks whether there is still something to wait for. */
void sn_ctrl_volume_settled(SnCtrl *ctrl);
/* Takes back the flush of a shutdown, before the volume goes. */
void sn_ctrl_flush_cancel(SnCtrlNs *ns);
/* Callbacks of ready_timer and shutdown_timer. */
void sn_ctrl_ready_timeout(void *opaque);
void sn_ctrl_shutdown_timeout(void *opaque);

/* ---- queue.c ---- */

/* What Create I/O Queue has checked already. */
SnCtrlCq *sn_ctrl_cq_new(SnCtrl *ctrl, uint16_t id, uint64_t base,
                         unsigned entries, uint16_t vector, bool interrupts);
SnCtrlSq *sn_ctrl_sq_new(SnCtrl *ctrl, uint16_t id, uint64_t base,
                         unsigned entries, SnCtrlCq *cq, SnCtrlPrio prio);
/*
 * Section 5.6: every command of it is over, with Command Aborted due to SQ
 * Deletion when @post, or without a word; then it is freed.
 */
void sn_ctrl_sq_free(SnCtrl *ctrl, SnCtrlSq *sq, bool post);
/* Only when no submission queue uses it. */
void sn_ctrl_cq_free(SnCtrl *ctrl, SnCtrlCq *cq);
/* Whether all of [base, base + len) is RAM (writable, if asked for). */
bool sn_ctrl_is_ram(SnCtrl *ctrl, uint64_t base, uint64_t len, bool writable);
/* A write of @value to the doorbell at @offset from SN_CTRL_DOORBELLS. */
void sn_ctrl_ring(SnCtrl *ctrl, unsigned offset, uint32_t value);
/* The tail, looked up in the shadow doorbell when there is one. */
void sn_ctrl_sq_update_tail(SnCtrl *ctrl, SnCtrlSq *sq);
/* Posts @req's completion; false when there is no room now. */
bool sn_ctrl_cq_post(SnCtrl *ctrl, SnCtrlCq *cq, const SnCtrlReq *req);
/* Posts what waits, as far as there is room. */
void sn_ctrl_cq_flush(SnCtrl *ctrl, SnCtrlCq *cq);
/* The guest has taken entries up to @head; false when it cannot have. */
bool sn_ctrl_cq_set_head(SnCtrl *ctrl, SnCtrlCq *cq, uint32_t head);

/* ---- dbbuf.c ---- */

/* The command was accepted: both addresses are page-aligned RAM. */
void sn_ctrl_dbbuf_set(SnCtrl *ctrl, uint64_t shadow, uint64_t event_index);
/* For a queue that is made later than that. */
void sn_ctrl_dbbuf_queue(SnCtrl *ctrl, uint16_t id, bool is_cq,
                         SnCtrlShadow *shadow);

/* Asks for the doorbell of an empty queue; true when it still is empty. */
bool sn_ctrl_dbbuf_sq_idle(SnCtrl *ctrl, SnCtrlSq *sq);
/* Looks the head up, and asks for the doorbell. */
void sn_ctrl_dbbuf_cq_head(SnCtrl *ctrl, SnCtrlCq *cq);

/* ---- arbiter.c ---- */

/* Fetches soon. */
void sn_ctrl_wake(SnCtrl *ctrl);
/* Whether there are as many commands outstanding as there may be. */
static inline bool sn_ctrl_sq_at_limit(const SnCtrl *ctrl, const SnCtrlSq *sq)
{
    return (sq->id ? ctrl->outstanding : sq->outstanding) >=
           SN_CTRL_MAX_OUTSTANDING;
}
/* There may be commands in @sq. */
void sn_ctrl_sq_ready(SnCtrl *ctrl, const SnCtrlSq *sq);
/* The doorbell of @sq in memory has to be looked up. */
void sn_ctrl_sq_unasked(SnCtrl *ctrl, const SnCtrlSq *sq);
/* Fetches now: a doorbell was rung. Also the callback of fetch_bh. */
void sn_ctrl_fetch(void *opaque);

/* ---- interrupt.c ---- */

/* A batch is over: one interrupt for each vector that has something new. */
void sn_ctrl_notify(SnCtrl *ctrl);
/* The loop's clock; a batch shares one look at it. */
int64_t sn_ctrl_now(SnCtrl *ctrl);
/* The pin's level, after a change of a queue or a mask. */
void sn_ctrl_update_pin(SnCtrl *ctrl);
/* The callback of coalesce_timer. */
void sn_ctrl_coalesced(void *opaque);
/* No interrupts any more: ends the timer, messages under way, the pin. */
void sn_ctrl_interrupt_reset(SnCtrl *ctrl);

/* ---- request.c ---- */

/* An empty one from the pool of @sq, RUNNING; never NULL. */
SnCtrlReq *sn_ctrl_req_get(SnCtrlSq *sq);
/* Frees the pool; nothing may be outstanding. */
void sn_ctrl_req_free_pool(SnCtrlSq *sq);
/* Its SQE was fetched: carries it out. */
void sn_ctrl_req_begin(SnCtrlReq *req);
/* It was PARKED: begins again. */
void sn_ctrl_req_restart(SnCtrlReq *req);
/* Its completion entry was written. */
void sn_ctrl_req_posted(SnCtrlReq *req);
/* Lets leave what was submitted to volumes. */
void sn_ctrl_kick(SnCtrl *ctrl);
/* Carries out a RUNNING request from its SQE: to admin.c or io.c. */
void sn_ctrl_execute(SnCtrlReq *req);
/*
 * It is over with @status: lets go of its memory, counts, writes the error
 * log, posts its completion or has it wait for room. The interrupt comes with
 * sn_ctrl_notify(). @req must not be used afterwards.
 */
void sn_ctrl_complete(SnCtrlReq *req, SnCtrlStatus status);
/*
 * Hands req->io, all filled in but complete(), to the volume of req->ns;
 * @done is called when it is over, unless the request is parked or dropped. For
 * handlers, which then return SN_CTRL_PENDING.
 */
void sn_ctrl_req_submit(SnCtrlReq *req, void (*done)(SnCtrlReq *req, int ret));
/* Lets go of io, steps and memory. */
void sn_ctrl_req_stop(SnCtrlReq *req);
/* Stops, to begin again when the controller runs. */
void sn_ctrl_req_park(SnCtrlReq *req);
/* Without a completion: its queue or the controller goes. */
void sn_ctrl_req_drop(SnCtrlReq *req);
/* An outstanding command of @sq, for Abort; NULL when there is none. */
SnCtrlReq *sn_ctrl_req_find(SnCtrlSq *sq, uint16_t cid);

/* ---- data.c, prp.c, sgl.c ---- */

/*
 * Maps @len bytes of the command's data, as PRPs or SGL say (sections 4.3 and
 * 4.4), into req->data. 0 or the status that says what is wrong with them.
 */
SnCtrlStatus sn_ctrl_data_map(SnCtrlReq *req, size_t len, SnNvmeDir dir);
void sn_ctrl_data_unmap(SnCtrlReq *req);
/* Maps, copies, and unmaps: for admin commands. */
SnCtrlStatus sn_ctrl_data_put(SnCtrlReq *req, const void *buf, size_t len);
SnCtrlStatus sn_ctrl_data_get(SnCtrlReq *req, void *buf, size_t len);
/* Adds guest memory to req->data while it is being mapped. */
SnCtrlStatus sn_ctrl_data_add(SnCtrlReq *req, uint64_t addr, size_t len);
/* Likewise memory of the controller. */
void sn_ctrl_data_add_own(SnCtrlReq *req, void *ptr, size_t len);
SnCtrlStatus sn_ctrl_prp_map(SnCtrlReq *req, size_t len);
SnCtrlStatus sn_ctrl_sgl_map(SnCtrlReq *req, size_t len);

/* ---- io.c and its like ---- */

/* MDTS: 2^this pages of 4 KiB, so 1 MiB. */
#define SN_CTRL_MDTS 8
#define SN_CTRL_MAX_TRANSFER (4096u << SN_CTRL_MDTS)

/* An I/O command; as a handler. */
SnCtrlStatus sn_ctrl_io(SnCtrlReq *req);
/* What a volume's negative errno is to a guest that sent @opcode (status.c). */
SnCtrlStatus sn_ctrl_status_of(const SnCtrlReq *req, int ret);
/* SLBA, and NLB as the number that it means. */
uint64_t sn_ctrl_slba(const SnCtrlReq *req);
uint32_t sn_ctrl_nlb(const SnCtrlReq *req);
/* SN_IO_FUA when the command wants its data to be stable, else 0. */
unsigned sn_ctrl_fua(const SnCtrlReq *req);
/* The end of a command whose io is over. */
void sn_ctrl_io_done(SnCtrlReq *req, int ret);
/*
 * Flushes every cache, for Flush or for an admin command, which does not wait
 * for a path; as a handler.
 */
SnCtrlStatus sn_ctrl_flush_all(SnCtrlReq *req);
/* Read, write or compare of the command's blocks with its data. */
SnCtrlStatus sn_ctrl_io_plain(SnCtrlReq *req, SnIoOp op);
/* Its namespace, which it has something to do with, is taken away. */
void sn_ctrl_io_ns_gone(SnCtrlReq *req);
/* For a command on namespace @nsid, which is not active. */
SnCtrlStatus sn_ctrl_no_namespace(SnCtrl *ctrl, uint32_t nsid);
/* Whether these blocks are in the namespace; 0 or the status. */
SnCtrlStatus sn_ctrl_check_blocks(const SnCtrlReq *req, uint64_t slba,
                                  uint64_t nlb);
SnCtrlStatus sn_ctrl_io_compare(SnCtrlReq *req);        /* compare.c */
SnCtrlStatus sn_ctrl_io_verify(SnCtrlReq *req);         /* compare.c */
SnCtrlStatus sn_ctrl_io_zeroes(SnCtrlReq *req);         /* zeroes.c */
SnCtrlStatus sn_ctrl_io_dsm(SnCtrlReq *req);            /* dsm.c */
/* fused.c: one of a fused pair, as a handler. */
SnCtrlStatus sn_ctrl_io_fused(SnCtrlReq *req);
/* @req follows the first of a pair in its queue: is its partner, or is not. */
void sn_ctrl_fused_next(SnCtrlReq *req);
/* Nothing follows the first of a pair. */
void sn_ctrl_fused_alone(SnCtrlSq *sq);
/* FUSES: what all namespaces support. */
uint16_t sn_ctrl_fuses(SnCtrl *ctrl);
/* A command whose meaning only the far side knows (passthrough.c). */
SnCtrlStatus sn_ctrl_io_passthrough(SnCtrlReq *req);
/* Likewise an admin command, whose data goes to the guest: Get LBA Status. */
SnCtrlStatus sn_ctrl_admin_passthrough(SnCtrlReq *req);
/*
 * Get or Set Features about the namespace, whose far side has the value. Set
 * Features for all (NSID FFFFFFFFh) sets those that have a feature 83h.
 */
SnCtrlStatus sn_ctrl_pass_feature(SnCtrlReq *req);
/* For an admin command that would have to wait for a path, which is lost. */
#define SN_CTRL_PATH_LOST \
    ((SnCtrlStatus)SN_NVME_STATUS(NVME_SCT_PATH, \
                                  NVME_SC_ANA_INTERNAL_PATH_ERROR))
/* The optional commands that the namespaces support together: ONCS. */
uint16_t sn_ctrl_oncs(SnCtrl *ctrl);

/* ---- ns.c ---- */

/* The controller is READY: what is active, the guest knows. */
void sn_ctrl_ns_all_known(SnCtrl *ctrl);
/* The active namespace @nsid, or NULL. */
SnCtrlNs *sn_ctrl_ns(SnCtrl *ctrl, uint32_t nsid);
/* Whether a volume is CONNECTING for the first time. */
bool sn_ctrl_ns_connecting(const SnCtrl *ctrl);
/* Whether the guest may still know another namespace under @nsid. */
bool sn_ctrl_ns_is_removed(const SnCtrl *ctrl, uint32_t nsid);
/* The guest knows of all that were removed: their nsids can be others'. */
void sn_ctrl_ns_removals_told(SnCtrl *ctrl);
void sn_ctrl_ns_free_all(SnCtrl *ctrl);
const SnVolumeInfo *sn_ctrl_ns_info(const SnCtrlNs *ns);

/* ---- admin.c and its like ---- */

/* An admin command; as a handler. */
SnCtrlStatus sn_ctrl_admin(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_create_cq(SnCtrlReq *req);   /* admin-queue.c */
SnCtrlStatus sn_ctrl_admin_create_sq(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_delete_cq(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_delete_sq(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_abort(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_dbbuf(SnCtrlReq *req);
SnCtrlStatus sn_ctrl_admin_identify(SnCtrlReq *req);    /* identify.c */
/* Whether a namespace has a write cache, or may turn out to have one. */
bool sn_ctrl_has_write_cache(SnCtrl *ctrl);
/* identify-ns.c: of an active namespace; @id is all zeroes. */
void sn_ctrl_identify_ns(SnCtrlNs *ns, struct nvme_id_ns *id);
void sn_ctrl_identify_ns_independent(SnCtrlNs *ns,
                                     struct nvme_id_independent_id_ns *id);
SnCtrlStatus sn_ctrl_admin_get_log(SnCtrlReq *req);     /* log.c */
SnCtrlStatus sn_ctrl_admin_get_features(SnCtrlReq *req);        /* features.c */
SnCtrlStatus sn_ctrl_admin_set_features(SnCtrlReq *req);
void sn_ctrl_features_reset(SnCtrl *ctrl);
/*
 * Writes have to be stable at once (SN_IO_FUA): the guest has switched the
 * write cache off, or does not know that there is one.
 */
bool sn_ctrl_write_through(const SnCtrl *ctrl);
/* What Identify, log page 05h and the dispatcher agree on (commands.c). */
uint16_t sn_ctrl_oacs(SnCtrl *ctrl);
bool sn_ctrl_admin_supported(SnCtrl *ctrl, uint8_t opcode);
bool sn_ctrl_io_supported(SnCtrl *ctrl, uint8_t opcode);
/* Log page 05h; @log is all zeroes. */
void sn_ctrl_effects_log(SnCtrl *ctrl, struct nvme_cmd_effects_log *log);

/* ---- events.c ---- */

SnCtrlStatus sn_ctrl_admin_async_event(SnCtrlReq *req);
/* An event, for a request that waits or that comes. */
void sn_ctrl_event(SnCtrl *ctrl, uint8_t type, uint8_t info, uint8_t log);
/* Whether the guest wants to be told of those. */
bool sn_ctrl_event_wants_ns(const SnCtrl *ctrl);
/* A namespace came, went or changed: log page 04h and its event. */
void sn_ctrl_event_ns_changed(SnCtrl *ctrl, uint32_t nsid);
/*
 * A log page was read without Retain Asynchronous Event: its type may come
 * again. What waited is told now if it is in no log, else it is known.
 */
void sn_ctrl_event_unmask(SnCtrl *ctrl, uint8_t type);
/* A doorbell was rung wrongly (section 5.2, figure 148). */
void sn_ctrl_event_bad_doorbell(SnCtrl *ctrl, bool value_is_wrong);
void sn_ctrl_events_reset(SnCtrl *ctrl);

/* ---- reservation.c ---- */

bool sn_ctrl_ns_has_reservations(const SnCtrlNs *ns);
/* Whether any namespace has: log page 80h goes with it. */
bool sn_ctrl_has_reservations(SnCtrl *ctrl);
/* The volume of @ns tells: a log page of this type, and its event. */
void sn_ctrl_notice(SnCtrlNs *ns, uint8_t type);
/* Log page 80h, the oldest; @log is all zeroes, and stays so without one. */
void sn_ctrl_notice_log(const SnCtrl *ctrl,
                        struct nvme_resv_notification_log *log);
/* The guest has it. */
void sn_ctrl_notice_read(SnCtrl *ctrl);
/* It was read without Retain Asynchronous Event: there may be more. */
void sn_ctrl_notice_unmask(SnCtrl *ctrl);
/* The namespace is taken away; its number may be another's soon. */
void sn_ctrl_notice_forget(SnCtrlNs *ns);
void sn_ctrl_notices_reset(SnCtrl *ctrl);

/* ---- error-log.c, smart.c ---- */

/* Invalid Field, because of this byte and bit of the command. */
SnCtrlStatus sn_ctrl_bad_field(SnCtrlReq *req, unsigned byte, unsigned bit);
/* A command ended with an error: an entry, and media errors counted. */
void sn_ctrl_error_log(SnCtrlReq *req, SnCtrlStatus status);
/* Log page 01h, the newest first. */
void sn_ctrl_error_log_copy(const SnCtrl *ctrl,
                            struct nvme_error_log_page *to);
/* An I/O command was fetched, or is over with @status; bytes it has moved. */
void sn_ctrl_count_begin(SnCtrl *ctrl);
void sn_ctrl_count_end(SnCtrlReq *req, SnCtrlStatus status);
/* Neither: it was dropped. */
void sn_ctrl_count_dropped(SnCtrl *ctrl);
/* Log page 02h; @log is all zeroes. */
void sn_ctrl_smart_log(SnCtrl *ctrl, struct nvme_smart_log *log);
/* Features changed: an event, if there is now something to warn of. */
void sn_ctrl_smart_check(SnCtrl *ctrl);

#endif
