/*
 * An NFSv3 server in memory: port mapper, MOUNT and one file, as RFC 1813 and
 * RFC 5531 have them, and as wrong as a test wants.
 *
 * As other servers do, it remembers what it answered to a WRITE, and answers
 * the same call so again; the same number must not come with another call.
 *
 * What is written UNSTABLE is in @disk only; COMMIT brings it to @stable, and
 * nfs_double_crash() loses what is not there.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NFS_DOUBLE_H
#define NFS_DOUBLE_H

#include "memory-net.h"

#define NFS_DOUBLE_SIZE (4u << 20)
/* The file is /export/images/disk.img; what may be mounted: */
#define NFS_DOUBLE_EXPORT "/export"

enum {
    NFS_GETATTR = 1, NFS_SETATTR = 2, NFS_LOOKUP = 3, NFS_ACCESS = 4,
    NFS_READ = 6, NFS_WRITE = 7, NFS_FSINFO = 19, NFS_COMMIT = 21,
    NFS_PROCS
};

/* Statuses. */
enum {
    NFS_IO = 5, NFS_NOSPC = 28, NFS_ROFS = 30, NFS_STALE = 70,
    NFS_JUKEBOX = 10008
};

typedef struct NfsDouble {
    MemoryNet *net;
    SnLoop *loop;
    uint8_t *disk, *stable;
    uint64_t size;              /* what GETATTR says */
    uint64_t fileid;
    uint8_t generation;         /* of the file; in its handle unless 0 */
    uint32_t ctime;             /* seconds */
    uint64_t grows_to;          /* behind the next GETATTR's back; 0: not */
    uint64_t verf;
    uint32_t access;            /* bits that ACCESS grants */
    uint32_t type;              /* of the file, 1: regular */
    uint32_t max;               /* rtmax and wtmax */
    uint32_t short_bytes;       /* READ and WRITE do no more; 0: all */
    bool always_stable;         /* WRITE says FILE_SYNC by itself */
    bool no_mapper;             /* nobody listens at port 111 */
    bool no_mount;              /* nor at that of the MOUNT service */
    bool hold;                  /* READ, WRITE and COMMIT wait for release */
    unsigned hold_proc;         /* only this one does; 0: all three */
    bool silent;                /* no answer at all */
    bool swallow;               /* WRITE is carried out and not answered */

    /* nfs_double_fail(): its arguments, @fail_count to go. */
    unsigned fail_proc, fail_count, fail_status;

    /* What was seen. */
    unsigned calls[NFS_PROCS];
    unsigned mounts, connections;
    unsigned last_flags;        /* SN_NET_* of the last connection */
    uint32_t last_uid, last_gid;
    uint32_t last_stable;       /* of the last WRITE */
    unsigned replays;           /* answers to repeated calls, from @replies */
    unsigned from_anywhere;     /* connections to NFS, from any port */

    GQueue held;
    GList *conns;
    GHashTable *replies;        /* to WRITEs, by port and xid: Reply */
} NfsDouble;

NfsDouble *nfs_double_new(SnLoop *loop, uint32_t seed);
void nfs_double_free(NfsDouble *d);
/* Answers what is held, the last call first. */
void nfs_double_release(NfsDouble *d);
/* The next @count calls of @proc get @status. */
void nfs_double_fail(NfsDouble *d, unsigned proc, unsigned count,
                     unsigned status);
/* All connections end, what is not stable is lost, and the verifier changes. */
void nfs_double_crash(NfsDouble *d);

#endif
