/*
 * The iSCSI backend inside: a volume is a logical unit that is reached through
 * a session of one connection, kept by libiscsi on the firmware's sockets.
 *
 *   iscsi.c      SnBackendOps: the life of the backend
 *   session.c    connect, login, keep alive, loss: a libiscsi context each time
 *   command.c    one SCSI command in libiscsi's hands
 *   guard.c, login-guard.c   what the target sends, before libiscsi sees it
 *   probe.c      what the logical unit is, asked when a session begins
 *   io.c         requests as commands, their answers, cancelling
 *   sense.c      what an answer that is not GOOD means
 *   discovery.c  what a portal offers, for the message that a target is unknown
 *   options.c    the URL
 *
 * libiscsi is called only between sn_iscsi_enter() and sn_iscsi_leave(). Its
 * callbacks run there, too, and never destroy the context: sn_iscsi_fail()
 * leaves that to a bottom half.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_ISCSI_BACKEND_H
#define SMARTNIC_ISCSI_BACKEND_H

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "smartnic/backend.h"
#include "sockets.h"

/* Data of one command at most: what a target buffers without complaint. */
#define SN_ISCSI_MAX_TRANSFER (1024 * 1024)

typedef struct SnIscsiOptions {
    char *portal;               /* host:port as libiscsi takes it */
    char *target;               /* its iSCSI name */
    uint16_t lun;
    char *initiator;            /* our iSCSI name */
    char *user, *password;      /* CHAP; or NULL */
    char *mutual_user, *mutual_password;
    bool header_digest;
    unsigned queue_depth;
    unsigned keep_alive;        /* seconds; 0: off */
} SnIscsiOptions;

/* False and @err, one line, when the URL is wrong. Clear in any case. */
bool sn_iscsi_options_parse(SnIscsiOptions *options, const SnUrl *url,
                            const char *host, GError **err);
void sn_iscsi_options_clear(SnIscsiOptions *options);

typedef enum SnIscsiState {
    SN_ISCSI_IDLE,              /* no context */
    SN_ISCSI_CONNECTING,
    SN_ISCSI_LOGGING_IN,
    SN_ISCSI_PROBING,
    SN_ISCSI_READY,
    SN_ISCSI_DISCOVERING,       /* another context, for a better message */
    SN_ISCSI_FAILED,            /* fail_bh is about to tell the volume */
} SnIscsiState;

typedef struct SnIscsiOp SnIscsiOp;

/*
 * A SCSI command. @task belongs to libiscsi from sn_iscsi_op_send() until done()
 * is called, which may send it again. @status is a SCSI_STATUS_*; CANCELLED
 * means that the session ended.
 */
struct SnIscsiOp {
    SnBackend *be;
    struct scsi_task *task;
    void (*done)(SnIscsiOp *op, int status, struct scsi_task *task);

    uint64_t number;            /* command.c: in the order of sending */
    uint32_t received;          /* guard.c: bytes that Data-In brought */
    uint32_t asked;             /* and up to where R2T asked for data */

    /* io.c: of a request */
    SnIo *io;                   /* NULL: cancelled */
    GList link;                 /* in one of be's queues */
    uint64_t offset, len;       /* of the request */
    unsigned retries;
    int64_t due;                /* when it is sent again, ns */
    struct scsi_iovec iov;      /* of param, or of zeroes */
    uint8_t param[24];          /* UNMAP's parameter list */
};

/* What probe.c found besides SnVolumeInfo. */
typedef struct SnIscsiUnit {
    SnVolumeInfo info;
    bool can_unmap;             /* LBPU */
    bool can_unmap_same;        /* LBPWS */
    bool lbpme;
    uint64_t pages;             /* VPD pages 80h..BFh that it has */
    uint32_t max_transfer;      /* blocks, 0: not reported; as are these */
    uint32_t max_compare_and_write;
    uint32_t max_unmap, unmap_granularity;
    uint64_t max_write_same;
    uint32_t opt_transfer;
} SnIscsiUnit;

/* Of one connection. */
typedef struct SnIscsiGuard {
    uint8_t bhs[48];            /* of the PDU that comes */
    unsigned got;               /* bytes of it */
    uint32_t rest;              /* bytes of the PDU that come after it */
    bool keep;                  /* them in: */
    GByteArray *data;
    bool logged_in;
    bool digest;                /* each BHS has one now */
    bool challenged, proven;    /* mutual CHAP: by us; so the target is it */
    bool logout;                /* the target wants one */
    unsigned answers;           /* that libiscsi had to give since all left */
    char *wrong;                /* what was; or NULL */
} SnIscsiGuard;

struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    const char *id;
    SnIscsiOptions options;
    SnSockets *sockets;
    uint8_t isid[6];            /* of all our sessions */

    /* session.c */
    SnIscsiState state;
    struct iscsi_context *ctx;
    char *portal;               /* of this attempt: after redirections */
    unsigned redirects;
    SnTimer *step_timer;        /* connecting, login and probing */
    SnTimer *alive_timer;
    bool alive_pending;         /* a NOP-Out is not answered */
    unsigned silent;            /* ticks without a sign of the target */
    SnBh *service_bh;           /* to go on, or to begin: */
    void (*connect_next)(SnBackend *be);    /* with this context off the
                                             * stack; or NULL */
    SnBh *fail_bh;
    bool fail_permanent;
    char *fail_message;
    int64_t discovered;         /* when last asked, ns; 0: never */

    /* probe.c */
    SnIscsiOp probe;
    unsigned probe_step, probe_tries;
    SnTimer *probe_timer;       /* to ask again */
    SnIscsiUnit unit;
    bool no_compare_and_write;  /* though it was announced */
    SnIscsiOp poll;             /* READ CAPACITY(16) while ready */
    char *not_found;            /* discovery.c: the message so far */

    /* command.c */
    uint64_t commands;          /* sent so far */
    GQueue late;                /* tasks of answered writes */
    GHashTable *by_itt;         /* of SnIscsiOp: those with a task */

    SnIscsiGuard guard;

    /* io.c: queues of SnIscsiOp. libiscsi has those in sent and orphans. */
    GQueue sent;
    GQueue orphans;             /* cancelled */
    GQueue retries;             /* to be sent again */
    GQueue spare;
    SnTimer *retry_timer;
    SnTimer *cleared_timer;
    uint64_t cleared;           /* the newest that may be dropped; or 0 */
};

/* session.c */
void sn_iscsi_session_init(SnBackend *be, SnNet *net);
void sn_iscsi_session_free(SnBackend *be);
SnSockets *sn_iscsi_enter(SnBackend *be);
void sn_iscsi_leave(SnBackend *be, SnSockets *before);
/* Begins a session; ends in sn_backend_ready() or sn_backend_lost(). */
void sn_iscsi_session_start(SnBackend *be);
/* Ends everything at once, without a word to the volume. */
void sn_iscsi_session_stop(SnBackend *be);
/* Sends what can be sent now. Answers come from the loop only. */
void sn_iscsi_flush(SnBackend *be);
/* The session is over; the volume hears of it from a bottom half. */
void sn_iscsi_fail(SnBackend *be, bool permanent, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
/* A context set up as the options say, for session.c and discovery.c. */
bool sn_iscsi_open_context(SnBackend *be, enum iscsi_session_type type,
                           iscsi_command_cb connected);
/* probe.c is through: be->unit.info is valid. */
void sn_iscsi_session_ready(SnBackend *be);
/* Gives the present step of beginning a session its time. */
void sn_iscsi_arm_step(SnBackend *be);
/* The session is over, as libiscsi found; it may have been told already. */
void sn_iscsi_over(SnBackend *be);
/* What libiscsi says went wrong, fit for a message. Caller frees. */
char *sn_iscsi_error_text(SnBackend *be);

/* command.c */
typedef enum SnIscsiDir {
    SN_ISCSI_NONE = SCSI_XFER_NONE,
    SN_ISCSI_READ = SCSI_XFER_READ,
    SN_ISCSI_WRITE = SCSI_XFER_WRITE,
} SnIscsiDir;
/*
 * Queues the command; sn_iscsi_flush() sends it. Data goes to or comes from
 * @iov; without one (@iovcnt 0), data that comes is in task->datain. False
 * when there is no memory.
 */
bool sn_iscsi_op_send(SnIscsiOp *op, const uint8_t *cdb, unsigned cdb_len,
                      SnIscsiDir dir, uint32_t len, struct scsi_iovec *iov,
                      unsigned iovcnt);
/* libiscsi goes on with memory of the task's in the place of the caller's. */
void sn_iscsi_op_detach(SnIscsiOp *op);
/* Without a context: done() will not be called. */
void sn_iscsi_op_drop(SnIscsiOp *op);
/* Without a context: frees be->late. */
void sn_iscsi_late_free(SnBackend *be);

/* guard.c: for sn_sockets_set_check(), with the backend. */
bool sn_iscsi_guard(void *opaque, const uint8_t *bytes, size_t len);
/* All that libiscsi can send now has left. */
void sn_iscsi_guard_sent(SnBackend *be);
void sn_iscsi_guard_clear(SnIscsiGuard *guard);

/* probe.c */
void sn_iscsi_probe_start(SnBackend *be);
/* be->probe_timer: the present question again. */
void sn_iscsi_probe_again(void *opaque);
/* While ready: has the unit something to tell? */
void sn_iscsi_probe_poll(SnBackend *be);
/* While ready: what an answer tells of the unit, which may end the session. */
void sn_iscsi_heed(SnBackend *be, int status, const struct scsi_task *task);

/* io.c: see SnBackendOps. */
bool sn_iscsi_io_submit(SnBackend *be, SnIo *io);
void sn_iscsi_io_cancel(SnBackend *be, SnIo *io);
/* Every request is the volume's again; the session has ended. */
void sn_iscsi_io_forget(SnBackend *be);
void sn_iscsi_io_retry(void *opaque);
/* What was sent so far may have been dropped without an answer. */
void sn_iscsi_io_cleared(SnBackend *be);
/* be->cleared_timer: has it? */
void sn_iscsi_io_check_cleared(void *opaque);
/* Frees what was kept for later. */
void sn_iscsi_io_free(SnBackend *be);

/* sense.c: what to do about an answer. */
typedef enum SnIscsiVerdict {
    SN_ISCSI_DONE,              /* *err: 0 or a negative errno */
    SN_ISCSI_AGAIN,             /* at once, a limited number of times */
    SN_ISCSI_LATER,             /* after a while, as long as it takes */
} SnIscsiVerdict;
SnIscsiVerdict sn_iscsi_judge(int status, const struct scsi_task *task,
                              int *err);
/* For messages: "NOT READY, asc/ascq 04/02". The caller frees. */
char *sn_iscsi_status_text(int status, const struct scsi_task *task);

/* discovery.c: asks the portal, then fails with @message and the list. */
void sn_iscsi_discovery_start(SnBackend *be, char *message);
/* Fails with @message only. */
void sn_iscsi_discovery_end(SnBackend *be);

extern const SnBackendOps sn_iscsi_backend;

#endif
