/*
 * SnVolume and SnIo: the asynchronous block contract between the storage
 * functions of the card (virtio-blk, NVMe) and the storage backends.
 *
 * All calls and callbacks happen in the card's thread. Nothing here ever
 * waits for the network.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_VOLUME_H
#define SMARTNIC_VOLUME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "smartnic/loop.h"
#include "smartnic/nvme.h"
#include "smartnic/stream.h"

typedef struct SnVolume SnVolume;
typedef struct SnIo SnIo;

typedef enum SnIoOp {
    SN_IO_READ,
    SN_IO_WRITE,
    SN_IO_FLUSH,
    SN_IO_DISCARD,
    SN_IO_WRITE_ZEROES,
    SN_IO_COMPARE,
    /*
     * Compares with the first half of iov and, if nothing differs, writes the
     * second half: in one step, for everybody who uses the far side. So iov
     * sums up to twice len. Up to info.max_compare_and_write bytes, which are
     * not split; and as with SN_IO_ONCE.
     */
    SN_IO_COMPARE_AND_WRITE,
    /*
     * An NVMe command as it is, for a volume whose far side is an NVMe
     * namespace (SnVolumeInfo.nvme.passthrough): see SnIo.nvme. Elsewhere it
     * is -EOPNOTSUPP. offset is 0; len and iov are the command's data.
     */
    SN_IO_NVME,
} SnIoOp;

enum {
    SN_IO_FUA   = 1 << 0,       /* stable on the far side before completion */
    SN_IO_UNMAP = 1 << 1,       /* write zeroes may deallocate */
    /*
     * SN_IO_NVME: not to be sent twice. If the path is lost while it is in
     * flight, nobody knows whether it was carried out, unless the far side had
     * just refused it for now: it ends with -ECONNRESET, and is not sent again
     * after reconnecting.
     */
    SN_IO_ONCE  = 1 << 2,
};

/*
 * The command of SN_IO_NVME. Of @sqe the backend sets CID, NSID, PSDT and data
 * pointer; the rest goes to the namespace as it is.
 */
typedef struct SnNvmeCommand {
    SnNvmeSqe sqe;
    bool admin;                 /* for the admin queue: Identify and such,
                                 * nothing that has data for it */
    SnNvmeDir dir;              /* of SnIo.iov */
    SnNvmeCqe cqe;              /* the response, once it is over with 0 */
} SnNvmeCommand;

/* Bytes of every request that belong to the backend while it is in flight. */
#define SN_IO_SCRATCH 448

/*
 * One block request. It lives in a pool of the function that submits it.
 *
 *  1. It completes exactly once, with 0 or a negative errno, and never before
 *     sn_volume_submit() has returned.
 *  2. When sn_io_cancel() returns, nobody touches the request or the memory of
 *     its iovec any more, and complete() is not called.
 *  3. No allocation per request: backends keep their state in scratch[].
 *
 * Data ends in errno terms: -EIO medium or transport error, -ENOSPC far side
 * full, -EROFS write to a read-only volume, -EINVAL outside the volume or not
 * aligned, -EOPNOTSUPP operation not offered, -EILSEQ compare found a
 * difference, -ENODEV volume gone for good, -ETIMEDOUT fast-io-fail-tmo passed,
 * or this request alone was left unanswered again and again (io-timeout),
 * -EBADE another host's reservation forbids it, -ECONNRESET see SN_IO_ONCE.
 */
struct SnIo {
    /* Set by the submitter, not changed by anybody while submitted. */
    SnIoOp op;
    unsigned flags;
    uint64_t offset;            /* bytes, multiple of block_size */
    uint64_t len;               /* bytes, multiple of block_size; flush: 0 */
    const struct iovec *iov;    /* data, if any: sums up to len */
    unsigned iovcnt;
    SnNvmeCommand *nvme;        /* SN_IO_NVME: borrowed, else not looked at */
    void (*complete)(SnIo *io, int ret);

    /*
     * Valid in complete() with an error: the status with which an NVMe far
     * side refused it (SN_NVME_STATUS(), and SN_NVME_STATUS_DNR when that was
     * set), so that it can be told to the guest as it is. 0: there is none.
     */
    uint16_t nvme_status;

    /* Private to the volume. */
    SnIo *next, *prev;
    SnVolume *vol;
    SnIo *parent;               /* of a part of a split request */
    unsigned state;
    unsigned parts;             /* of a split request: parts not completed */
    int ret;
    bool refused;               /* and not sent again; see backend.h */
    unsigned timeouts;          /* connections that left it unanswered */
    int64_t submitted;          /* when, ns */
    int64_t sent;               /* to the backend, the last time, ns */

    /* Private to the backend while in flight. */
    uint64_t scratch[SN_IO_SCRATCH / sizeof(uint64_t)];
};

/* What iov sums up to, in bytes; 0: the operation has no data. */
static inline uint64_t sn_io_data_len(const SnIo *io)
{
    switch (io->op) {
    case SN_IO_READ:
    case SN_IO_WRITE:
    case SN_IO_COMPARE:
    case SN_IO_NVME:
        return io->len;
    case SN_IO_COMPARE_AND_WRITE:
        return 2 * io->len;
    case SN_IO_FLUSH:
    case SN_IO_DISCARD:
    case SN_IO_WRITE_ZEROES:
        break;
    }
    return 0;
}

/* Whether a request must not be sent twice: see SN_IO_ONCE. */
static inline bool sn_io_is_once(const SnIo *io)
{
    return io->op == SN_IO_COMPARE_AND_WRITE ||
           (io->op == SN_IO_NVME && io->flags & SN_IO_ONCE);
}

typedef enum SnVolumeState {
    /*
     * First connection attempts. sn_volume_info() is not valid yet; requests
     * may be submitted and wait. The limits of LOST count from opening.
     */
    SN_VOLUME_CONNECTING,
    /* Requests flow. sn_volume_info() is valid from here on. */
    SN_VOLUME_READY,
    /*
     * The path is gone and is being brought back. Requests wait, those that
     * were in flight are sent again, in order, when it is READY. After
     * fast-io-fail-tmo they fail with -ETIMEDOUT, and new ones at once; after
     * ctrl-loss-tmo the volume is FAILED.
     */
    SN_VOLUME_LOST,
    /* For good: every request fails with -ENODEV. Only closing helps. */
    SN_VOLUME_FAILED,
} SnVolumeState;

const char *sn_volume_state_name(SnVolumeState state);

/*
 * What an NVMe far side says of its namespace beyond what every disk has, in
 * NVMe's own terms (NVM Command Set 1.0 figure 97), in the host's byte order.
 * All zeroes for other volumes.
 */
typedef struct SnVolumeNvme {
    bool passthrough;           /* SN_IO_NVME is offered */
    uint16_t oncs;              /* optional commands of the controller */
    uint8_t nsfeat, nmic, rescap, fpi, dlfeat;
    uint16_t nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
    uint16_t npwg, npwa, npdg, npda, nows;
    uint64_t ncap, nuse;        /* blocks */
    /* Bytes in one Verify and one Write Uncorrectable; 0: not reported. */
    uint64_t max_verify, max_write_uncor;
} SnVolumeNvme;

/* What a volume can do, as its far side reports it. Sizes in bytes. */
typedef struct SnVolumeInfo {
    uint64_t size;
    uint32_t block_size;        /* logical block: 512 or 4096 */
    uint32_t phys_block_size;   /* best write granularity, >= block_size */
    uint32_t opt_io_size;       /* 0: not reported */
    uint32_t max_transfer;      /* one backend command; 0: no limit */
    uint64_t max_discard;       /* one command; 0: discard not offered */
    uint32_t discard_granularity;
    uint64_t max_write_zeroes;  /* one command; 0: not offered */
    bool write_cache;           /* flush is needed for durability */
    bool fua;                   /* SN_IO_FUA is native (else write + flush) */
    bool no_fua_zeroes;         /* but not for write zeroes */
    bool read_only;
    bool compare;
    /* One command; 0: not offered. Only with fua, or without write_cache. */
    uint32_t max_compare_and_write;
    uint16_t queue_depth;       /* requests the backend keeps in flight */
    uint16_t queues;            /* parallel queues (connections) */
    char serial[21];            /* of the far side; "" when it has none */
    uint8_t nguid[16];          /* all zeroes when it has none */
    uint8_t uuid[16];
    uint8_t eui64[8];
    SnVolumeNvme nvme;
} SnVolumeInfo;

/*
 * How long requests of one kind took, from sn_volume_submit() to complete():
 * waiting for a lost path counts. Bucket 0 counts those under 1 us, bucket b
 * those from 2^(b-1) up to 2^b us, the last one also everything longer.
 */
#define SN_LATENCY_BUCKETS 32
typedef struct SnLatency {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[SN_LATENCY_BUCKETS];
} SnLatency;

/*
 * Events of a volume, for the function that uses it. All must be set. They, and
 * complete() of a request, may submit, kick, cancel, and close the volume.
 */
typedef struct SnVolumeEvents {
    /* The state changed. */
    void (*state_changed)(void *opaque, SnVolumeState state);
    /* sn_volume_info() changed while READY (resize, read-only). */
    void (*info_changed)(void *opaque);
    /* A batch of completions is over: the place for one interrupt. */
    void (*batch_done)(void *opaque);
    /*
     * While READY: another host took away a reservation or registration of
     * this one. @type is RNLPT of log page 80h (NVMe Base 1.4 section 8.8), 1
     * to 3. What happened while there was no path is not told.
     */
    void (*reservation)(void *opaque, uint8_t type);
} SnVolumeEvents;

typedef struct SnVolumeConfig {
    const char *url;            /* see docs/user-guide.rst; copied */
    const char *id;             /* names the volume in messages; copied */
    /*
     * Names the computer that the card is in, which a far side knows its hosts
     * by, in access lists and reservations: a UUID as text, or any name that
     * no other has. NULL: there is only the id. Borrowed.
     */
    const char *host;
    SnNet *net;                 /* outlives the volume; NULL: local only */
    SnLoop *loop;               /* outlives the volume */
    const SnVolumeEvents *events;
    void *opaque;               /* for @events */
} SnVolumeConfig;

/*
 * Parses the URL and starts connecting in the background. Fails, with one line
 * that names the wrong part and says what would be right, only for what can be
 * told without the network. The caller owns the volume.
 */
SnVolume *sn_volume_open(const SnVolumeConfig *config, GError **err);

/*
 * Drops the connection and frees. Every request must be complete or cancelled
 * before. May be called from complete() and from every event; none comes
 * afterwards, and @vol must not be used any more. From state_changed() and
 * reservation() the connection itself is dropped only in the loop's next pass,
 * as the backend is on the stack: config's net and loop have to live until
 * then.
 */
void sn_volume_close(SnVolume *vol);

SnVolumeState sn_volume_state(const SnVolume *vol);

/* Valid once READY was reached; stays valid and keeps its last content. */
const SnVolumeInfo *sn_volume_info(const SnVolume *vol);

/* One line about the last loss or failure, or "". Valid until the next. */
const char *sn_volume_last_error(const SnVolume *vol);

/* How often the path was lost and came back. */
unsigned sn_volume_reconnects(const SnVolume *vol);

/* Of requests that ended with 0; valid as long as the volume. */
const SnLatency *sn_volume_latency(const SnVolume *vol, SnIoOp op);

/*
 * Submits @io; the caller keeps ownership of the memory and must not touch it
 * until complete() or sn_io_cancel(). Requests of any length: what is longer
 * than max_transfer is split here. Bounds, alignment and read-only are checked
 * here, and flush on a volume without a write cache completes without going
 * anywhere.
 */
void sn_volume_submit(SnVolume *vol, SnIo *io);

/*
 * Ends a batch of submissions: now they have to leave. A batch is short, since
 * its requests share one look at the clock. Requests that are over by then, for
 * example those of a volume in memory, complete from inside this call: a turn
 * of the loop may mean another thread, which takes longer than they did. As
 * from every completion, the volume may be closed when it returns.
 */
void sn_volume_kick(SnVolume *vol);

/* See rule 2 above. Only for a request that is submitted and not complete. */
void sn_io_cancel(SnIo *io);

/* Error domain of sn_volume_open(). */
#define SN_VOLUME_ERROR sn_volume_error_quark()
GQuark sn_volume_error_quark(void);
typedef enum SnVolumeErrorCode {
    SN_VOLUME_ERROR_URL,        /* the URL is malformed */
    SN_VOLUME_ERROR_SCHEME,     /* no backend for the URL's scheme */
} SnVolumeErrorCode;

#endif
