/*
 * The NFS backend inside: a volume is a file on an NFSv3 export (RFC 1813),
 * reached over several connections that libnfs keeps on the firmware's sockets.
 *
 *   nfs.c          SnBackendOps: the life of the backend
 *   session.c      connections: made, kept alive, lost
 *   mount.c        from the path in the URL to the file's handle
 *   probe.c        what the file is, asked when a session begins and after
 *   io.c           requests as READ and WRITE, their answers, cancelling
 *   lost.c         writes whose answer was lost: sent again as the same calls
 *   uncommitted.c  what the server has but may still lose: COMMIT, and writing
 *                  it again after a restart of the server
 *   guard.c        answers that libnfs must not see
 *   status.c       what a status means
 *   options.c      the URL
 *
 * libnfs's raw RPC calls are used, not its files: they take and give the
 * verifiers. It is called only between sn_nfs_enter() and sn_nfs_leave(). Its
 * callbacks run there, too, and never destroy a context: sn_nfs_fail() leaves
 * that to a bottom half.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_NFS_BACKEND_H
#define SMARTNIC_NFS_BACKEND_H

#include <inttypes.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

#include "smartnic/backend.h"
#include "smartnic/log.h"
#include "sockets.h"

/* Data of one READ or WRITE at most: libnfs closes connections at more. */
#define SN_NFS_MAX_TRANSFER (1024 * 1024)
/* Connections of a volume. */
#define SN_NFS_MAX_CONNS 16
/* To read the answers, for a loop that was stuck itself. */
#define SN_NFS_GRACE SN_NS_PER_S

typedef struct SnNfsHandle {
    uint8_t bytes[NFS3_FHSIZE];
    unsigned len;
} SnNfsHandle;

typedef struct SnNfsOptions {
    char *host;
    uint16_t port, mount_port;  /* 0: the port mapper knows */
    char *path;                 /* of the file, from the server's root */
    SnNfsHandle handle;         /* of the file, if it was given; else 0 long */
    uint32_t uid, gid;
    unsigned conns;
    unsigned queue_depth;
    unsigned keep_alive;        /* seconds; 0: off */
    uint64_t max_uncommitted;   /* bytes */
    uint64_t size;              /* the file grows to it; 0: it does not */
    uint32_t block_size;
} SnNfsOptions;

/* False and @err, one line, when the URL is wrong. Clear in any case. */
bool sn_nfs_options_parse(SnNfsOptions *options, const SnUrl *url,
                          GError **err);
void sn_nfs_options_clear(SnNfsOptions *options);

typedef enum SnNfsState {
    SN_NFS_IDLE,
    SN_NFS_MOUNTING,            /* talking to the MOUNT service */
    SN_NFS_CONNECTING,
    SN_NFS_LOOKING_UP,
    SN_NFS_PROBING,
    SN_NFS_RECOVERING,          /* writes of the last session are made safe */
    SN_NFS_READY,
    SN_NFS_FAILED,              /* fail_bh is about to tell the volume */
} SnNfsState;

/*
 * What guard.c knows of the answer that is being received, and what the one
 * outstanding call of this connection is, when its answer needs a closer look.
 */
typedef enum SnNfsAnswer {
    SN_NFS_ANSWER_PLAIN,        /* no length in it but READ's, at its end */
    SN_NFS_ANSWER_PORT,         /* of the port mapper, a number or a string */
    SN_NFS_ANSWER_HANDLE,       /* of MNT or LOOKUP */
    SN_NFS_ANSWER_EXPORTS,
} SnNfsAnswer;

typedef struct SnNfsGuard {
    SnNfsAnswer answer;
    uint32_t got;               /* bytes of the record, with its mark */
    uint32_t len;               /* of the record, once the mark is there */
    uint8_t head[28];           /* mark and header of a reply */
    GByteArray *body;           /* unless it is plain */
} SnNfsGuard;

typedef struct SnNfsConn {
    SnBackend *be;
    SnNfsGuard guard;
    struct rpc_context *rpc;    /* NULL: none */
    bool connected;
    uint16_t port;              /* the last connection came from it; or 0 */
    unsigned tries;             /* to connect, since then */
    unsigned in_flight;         /* of io.c */
    bool alive_pending;         /* a GETATTR is not answered */
    bool heard;                 /* an answer came since it was sent */
} SnNfsConn;

/* What was written: kept until the server has it for good. */
typedef struct SnNfsData {
    GList link;                 /* in one of the queues of uncommitted.c */
    uint64_t offset;
    uint32_t len;
    uint8_t bytes[];
} SnNfsData;

/* A READ, WRITE or COMMIT for a request. */
typedef struct SnNfsOp {
    SnBackend *be;
    SnNfsConn *conn;            /* that has it; NULL: it waits */
    SnIo *io;                   /* NULL: cancelled */
    GList link;                 /* in one of the queues of io.c, or of those
                                 * that wait for COMMIT */
    SnIoOp type;
    uint64_t offset;            /* of the request */
    uint32_t len, done;         /* bytes; those that are through */
    bool stable;                /* FILE_SYNC */
    SnNfsData *data;            /* of a write */
    uint32_t xid;               /* of the last call */
    bool same_call;             /* the next one is that again, on @conn */
    int64_t due;                /* when it is sent again, ns */
} SnNfsOp;

/* uncommitted.c. The queues hold answered writes, oldest first. */
typedef struct SnNfsUncommitted {
    GQueue written;             /* since the last COMMIT was sent */
    GQueue committing;          /* the COMMIT under way is about these */
    GQueue rewriting;           /* to be written again; a batch, in order */
    uint64_t bytes;             /* of all these, of writes in flight, and of
                                 * those in lost.c */
    uint64_t kept;              /* bytes of the queues */
    uint64_t new_bytes;         /* of @written */
    char verf[NFS3_WRITEVERFSIZE];  /* the server's, for all the above */
    bool commit_pending;        /* sent, not answered; the limit for that: */
    SnTimer *commit_timer;
    int64_t commit_due;
    bool rewrite;               /* all of it must be written again */
    bool rewrite_pending;       /* a WRITE of @rewriting is not answered */
    uint32_t rewrite_done;      /* bytes of the first of @rewriting */
    GQueue flushes;             /* of SnNfsOp: need a COMMIT to come */
    GQueue flushing;            /* the COMMIT under way is theirs */
    int error;                  /* lost data: for the next flush to tell */
    SnLogLimit lost_limit;      /* of lines about it */
    SnTimer *retry_timer;
    bool retry_set;             /* it is, and COMMIT waits for it */
} SnNfsUncommitted;

struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    const char *id;
    SnNfsOptions options;
    SnSockets *sockets;

    /* session.c */
    SnNfsState state;
    SnNfsConn mount;
    SnNfsConn conns[SN_NFS_MAX_CONNS];
    SnTimer *step_timer;
    SnTimer *alive_timer;
    int64_t alive_due;
    SnBh *service_bh;           /* to go on with another context on the stack,
                                 * or none: */
    void (*next)(SnBackend *be);        /* or NULL: to go on reading */
    SnBh *fail_bh;
    bool fail_permanent;
    char *fail_message;
    uint32_t next_xid;

    /* mount.c */
    char *dir;                  /* what MOUNT is asked for */
    const char *rest;           /* of options.path: what LOOKUP is asked for */
    char *refused;              /* why MOUNT refused the first directory */
    SnNfsHandle handle;         /* of @rest's beginning, of the file at last */

    /* probe.c */
    SnVolumeInfo info;
    bool known;                 /* which file it is: it was ready before */
    uint64_t fsid, fileid;      /* of it */
    uint64_t file_size;
    nfstime3 ctime;             /* of it */
    SnTimer *probe_timer;       /* to ask again */
    void (*probe_next)(SnBackend *be);
    bool polling;               /* the size, while ready */
    bool polling_rights;

    /* io.c */
    unsigned in_flight;         /* of all connections */
    GQueue retries;             /* of SnNfsOp: to be sent again */
    GQueue orphans;             /* nobody's any more, answer outstanding */
    GQueue spare;
    GQueue lost;                /* writes, of lost.c */
    SnTimer *retry_timer;

    SnNfsUncommitted unc;
};

/* session.c */
void sn_nfs_session_init(SnBackend *be, SnNet *net);
void sn_nfs_session_free(SnBackend *be);
SnSockets *sn_nfs_enter(SnBackend *be);
void sn_nfs_leave(SnBackend *be, SnSockets *before);
/* Begins a session; ends in sn_backend_ready() or sn_backend_lost(). */
void sn_nfs_session_start(SnBackend *be);
/* Ends everything at once, without a word to the volume. */
void sn_nfs_session_stop(SnBackend *be);
/* Sends what can be sent now. Answers come from the loop only. */
void sn_nfs_flush(SnBackend *be);
/* SN_NFS_RESTART: the session is over, and this is why. */
void sn_nfs_stale(SnBackend *be, nfsstat3 status);
/* The session is over; the volume hears of it from a bottom half. */
void sn_nfs_fail(SnBackend *be, bool permanent, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
void sn_nfs_set_state(SnBackend *be, SnNfsState state);
/* Whether a timer that was to fire at @due comes so late that the loop was. */
bool sn_nfs_was_stuck(const SnBackend *be, int64_t due);
/* Gives the present step of beginning a session its time. */
void sn_nfs_arm_step(SnBackend *be);
/*
 * Calls @next from a bottom half: what destroys a context, or begins one, must
 * not be in a callback of libnfs.
 */
void sn_nfs_defer(SnBackend *be, void (*next)(SnBackend *be));
/*
 * Connects @c to @program, version 3, at @port (0: asks the port mapper);
 * @done gets @c. Not from a callback of libnfs.
 */
void sn_nfs_conn_open(SnNfsConn *c, uint32_t program, uint16_t port,
                      rpc_cb done);
/* Its calls are cancelled. Not from a callback of libnfs. */
void sn_nfs_conn_close(SnNfsConn *c);
/*
 * Begins every callback, with what it got: true when that is an answer and the
 * session still lives. Else the session has failed, or had already.
 */
bool sn_nfs_answered(SnNfsConn *c, int rpc_status, const void *data,
                     const char *what);
/*
 * Goes before every call on a connection to the NFS service: c->rpc, and the
 * call gets a transaction identifier (RFC 5531 section 9) that none had yet.
 */
struct rpc_context *sn_nfs_new_call(SnNfsConn *c);
/* What libnfs's call returned, when it is not 0. */
void sn_nfs_call_failed(SnNfsConn *c, const char *what);
/* The connections are there; the file's handle is next. */
void sn_nfs_connect(SnBackend *be);
/* probe.c and uncommitted.c are through: be->info is valid. */
void sn_nfs_session_ready(SnBackend *be);

/* mount.c: be->handle, then sn_nfs_connect(). */
void sn_nfs_mount_start(SnBackend *be);
/* The part of the path that MOUNT left, then sn_nfs_probe_start(). */
void sn_nfs_lookup_start(SnBackend *be);
bool sn_nfs_handle_set(SnNfsHandle *h, const void *bytes, unsigned len);
struct nfs_fh3 sn_nfs_fh(SnBackend *be);

/* probe.c */
void sn_nfs_probe_start(SnBackend *be);
/* be->probe_timer: the present question again. */
void sn_nfs_probe_again(void *opaque);
/* While ready: asks whether the size has changed. */
void sn_nfs_probe_poll(SnBackend *be);
/* And whether it may be written. */
void sn_nfs_probe_poll_rights(SnBackend *be);
/* The answer to any GETATTR while ready. */
void sn_nfs_probe_polled(SnBackend *be, const GETATTR3res *res);

/* io.c: see SnBackendOps. */
bool sn_nfs_io_submit(SnBackend *be, SnIo *io);
void sn_nfs_io_cancel(SnBackend *be, SnIo *io);
void sn_nfs_io_forget(SnBackend *be);
void sn_nfs_io_retry(void *opaque);
void sn_nfs_io_free(SnBackend *be);
/* @op has no request any more. */
void sn_nfs_op_detach(SnNfsOp *op);
/* @op is in no queue, and nobody answers it any more. */
void sn_nfs_op_free(SnNfsOp *op);
void sn_nfs_op_free_all(GQueue *ops);
/* The flush @op is over. */
void sn_nfs_io_flushed(SnNfsOp *op, int err);
/* Sends @op, a lost write, as the same call; nobody waits for the answer. */
void sn_nfs_io_repeat(SnNfsOp *op);
/* The connection that has least to do. */
SnNfsConn *sn_nfs_io_conn(SnBackend *be);

/* lost.c: takes over @op, a write whose call may have been carried out. */
void sn_nfs_lost_add(SnNfsOp *op);
/* Repeats lost ones that @io, a new write, is about to write over. */
void sn_nfs_lost_settle(SnBackend *be, const SnIo *io);
/*
 * Makes @op, a new write, the same call as a lost one that it repeats. True,
 * and op->data, conn, xid, stable and same_call are set, if there is such a
 * one.
 */
bool sn_nfs_lost_match(SnNfsOp *op);
void sn_nfs_lost_forget(SnBackend *be);

/* uncommitted.c */
void sn_nfs_unc_init(SnBackend *be);
void sn_nfs_unc_free(SnBackend *be);
/* A copy of a request's data; counted until it is dropped. */
SnNfsData *sn_nfs_data_new(SnBackend *be, const SnIo *io);
void sn_nfs_data_drop(SnBackend *be, SnNfsData *data);
/* Whether @len bytes more may be left uncommitted. */
bool sn_nfs_unc_has_room(const SnBackend *be, uint64_t len);
/*
 * Whether so much is kept that no write may come. A COMMIT for it is under way
 * then, or tried soon.
 */
bool sn_nfs_unc_is_full(SnBackend *be);
/*
 * @data was written. @committed: what the server did with it; @verf: its
 * verifier, of all answers about it.
 */
void sn_nfs_unc_written(SnBackend *be, SnNfsData *data, stable_how committed,
                        const char *verf);
/* COMMITs; sn_nfs_io_flushed() tells of the end. */
void sn_nfs_unc_flush(SnBackend *be, SnNfsOp *op);
/* Nothing may be sent: everything is to be written again first. */
bool sn_nfs_unc_blocks(const SnBackend *be);
/* An operation of io.c ended: perhaps what blocks may begin. */
void sn_nfs_unc_drained(SnBackend *be);
/* A session begins: makes safe what the last one left, and is ready then. */
void sn_nfs_unc_recover(SnBackend *be);
/* The session ended; flushes are the volume's again. */
void sn_nfs_unc_forget(SnBackend *be);

/* guard.c: an SnSocketsCheck; @opaque is the SnNfsConn. */
bool sn_nfs_guard(void *opaque, const uint8_t *bytes, size_t len);
void sn_nfs_guard_clear(SnNfsGuard *g);

/* status.c: what an answer means. */
typedef enum SnNfsVerdict {
    SN_NFS_DONE,                /* *err: 0 or a negative errno */
    SN_NFS_LATER,               /* JUKEBOX: after a while */
    SN_NFS_RESTART,             /* the handle is of no use now */
} SnNfsVerdict;
SnNfsVerdict sn_nfs_judge(nfsstat3 status, bool write, int *err);

/*
 * Looks at the answer to a WRITE of @len bytes. False: it makes no sense, and
 * the session is over.
 */
bool sn_nfs_check_written(SnBackend *be, const WRITE3resok *ok, uint32_t len);

extern const SnBackendOps sn_nfs_backend;

#endif
