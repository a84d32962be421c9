/*
 * The inside of SnNvmeAssoc, shared by association.c (life, queues),
 * bring-up.c (the steps until it is ready), discovery.c (instead of the later
 * steps: what a target offers), ana.c (one of the steps), fence.c (the end of
 * the one before), watch.c (Keep Alive, Abort) and events.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_ASSOCIATION_INTERNAL_H
#define SN_NVMETCP_ASSOCIATION_INTERNAL_H

#include "association.h"
#include "identify.h"
#include "smartnic/trace.h"

#define SN_NVMETCP_MAX_QUEUES 16
#define SN_NVMETCP_ADMIN_SIZE 32
/* Our own commands on the admin queue always find room. */
#define SN_NVMETCP_ADMIN_FOR_OTHERS (SN_NVMETCP_ADMIN_SIZE / 2)

/*
 * The steps of bringing up, in order. In each one command of a->data is in
 * flight or a connection is being made; no I/O is taken before READY.
 */
typedef enum SnNvmeAssocState {
    /* Nothing is open. */
    SN_NVME_ASSOC_IDLE,
    /* The admin connection, up to ICResp. */
    SN_NVME_ASSOC_ADMIN_QUEUE,
    /* Fabrics Connect of the admin queue; a->cntlid is valid afterwards. */
    SN_NVME_ASSOC_CONNECT,
    /* Property Get of CAP. */
    SN_NVME_ASSOC_CAP,
    /* Property Set of CC: enable. */
    SN_NVME_ASSOC_ENABLE,
    /* Property Get of CSTS, until RDY. */
    SN_NVME_ASSOC_WAIT_READY,
    /* Only with a discovery controller, and then the last: the log. */
    SN_NVME_ASSOC_DISCOVER,
    /* Identify Controller; a->ctrl is valid afterwards. */
    SN_NVME_ASSOC_IDENTIFY_CTRL,
    /* Identify: limits of the NVM command set. */
    SN_NVME_ASSOC_LIMITS,
    /* Identify Namespace; a->info is valid afterwards. */
    SN_NVME_ASSOC_IDENTIFY_NS,
    /* Identify: the namespace's descriptors. */
    SN_NVME_ASSOC_IDENTIFY_DESCS,
    /* Get Log Page: whether the namespace can be reached (ana.c). */
    SN_NVME_ASSOC_ANA,
    /* Set Features: that we understand retry delays. */
    SN_NVME_ASSOC_RETRY_DELAYS,
    /* Set Features: which events we want. */
    SN_NVME_ASSOC_EVENTS,
    /* Set Features: how many I/O queues. */
    SN_NVME_ASSOC_NUM_QUEUES,
    /* The I/O connections, up to their Connect. */
    SN_NVME_ASSOC_IO_QUEUES,
    /* Waiting until writes of the lost association are over (fence.c). */
    SN_NVME_ASSOC_FENCE,
    /* I/O flows. */
    SN_NVME_ASSOC_READY,
    /* The reason is known; it is being told to the volume from the loop. */
    SN_NVME_ASSOC_FAILED,
    SN_NVME_ASSOC_STATES
} SnNvmeAssocState;

/* What a discovery controller says (discovery.c). */
typedef struct SnNvmeDiscovery {
    bool on;                    /* this association is with one */
    bool wanted;                /* the subsystem was refused: to be asked */
    bool listed;                /* text is complete */
    unsigned place;             /* which port is tried */
    char *refusal;              /* why it is asked; NULL: the URL wants it */
    char *hint;                 /* what came of it, for later refusals */
    int64_t again;              /* not to be asked before, SnLoop's clock */
    /* Reading the log page. */
    enum {
        SN_NVME_DISCOVERY_HEADER,
        SN_NVME_DISCOVERY_ENTRIES,
        SN_NVME_DISCOVERY_CHECK,        /* the header again: is it the same? */
    } phase;
    uint64_t generation;
    uint64_t total, next;       /* entries */
    unsigned restarts;
    unsigned shown, left_out;   /* entries in text, and not in it */
    GString *text;
} SnNvmeDiscovery;

struct SnNvmeAssoc {
    SnBackendConfig config;     /* url is not valid any more */
    const SnNvmeTcpOptions *options;
    void (*forget)(void *);
    void *opaque;

    SnNvmeAssocState state;
    SnNvmeQueue *admin;
    SnNvmeQueue *io[SN_NVMETCP_MAX_QUEUES];
    unsigned num_io;            /* of them are open */
    unsigned num_up;            /* of them are connected */
    unsigned next_io;           /* whose turn it is */
    uint16_t queue_size;        /* entries of an I/O queue */
    uint16_t cntlid;
    SnNvmeCtrl ctrl;
    uint32_t cc;                /* property CC as it was set; 0: not yet */
    SnVolumeInfo info;
    uint32_t ana_group;         /* of the namespace; 0: none */
    uint32_t ana_next, ana_total;       /* descriptors, while reading */
    uint8_t ana_state;          /* enum nvme_ana_state; 0: unknown */
    SnNvmeDiscovery discovery;

    /* Bringing up, and reading the namespace again (bring-up.c, watch.c). */
    SnTimer *step_timer;        /* the limit of the step, or of reading */
    SnTimer *poll_timer;        /* see poll_again() in watch.c */
    struct iovec data_iov;
    uint8_t data[NVME_IDENTIFY_DATA_SIZE] __attribute__((aligned(8)));

    /* The end: told from the loop, so that it can be found anywhere. */
    SnBh *fail_bh;
    bool permanent;
    char *why;

    /* watch.c */
    SnTimer *keep_alive_timer;
    int64_t keep_alive_sent;    /* SnLoop's clock, ns; 0: none in flight */
    int64_t keep_alive_heard;   /* when one was answered; first: CC.EN */
    int64_t abort_sent;         /* SnLoop's clock, ns; 0: none in flight */

    /* fence.c: no I/O before; SnLoop's clock, ns. Outlives a stop. */
    int64_t fence;
    /* Whether the rest of the queues may end as well before it is set. */
    enum {
        SN_NVME_GRACE_NONE,
        SN_NVME_GRACE_RUNS,
        SN_NVME_GRACE_OVER,
    } grace;

    /* events.c: one thing is read at a time, into a->data. */
    bool reading;
    bool event_waits;           /* event is to be looked at */
    bool event_taken;           /* it is; afterwards the next is asked for */
    bool check_waits;           /* the namespace is to be read again */
    uint32_t event;             /* dword 0 of its response */
    unsigned notices;           /* of reservations, read for it */
    SnVolumeInfo new_info;      /* what was read again of a->info */
};

/* association.c */

void sn_nvmetcp_assoc_set_state(SnNvmeAssoc *a, SnNvmeAssocState state);
/* From now on, what the state is about has its time to be over. */
void sn_nvmetcp_assoc_limit_step(SnNvmeAssoc *a);
/* One admin command of our own; there is always room for these few. */
void sn_nvmetcp_assoc_admin(SnNvmeAssoc *a, const SnNvmeSqe *sqe,
                            SnNvmeDir dir, uint32_t len, SnNvmeDone *done);
/* Commands in flight on an I/O queue. */
uint16_t sn_nvmetcp_assoc_io_depth(const SnNvmeAssoc *a);
/* Ends the connections. The target is told in order if it still listens. */
void sn_nvmetcp_assoc_drop(SnNvmeAssoc *a);
/* Opens connection @qid; 0 is the admin queue. */
SnNvmeQueue *sn_nvmetcp_assoc_open_queue(SnNvmeAssoc *a, uint16_t qid);

/* bring-up.c */

/* Carries out the step of the state that was entered. */
void sn_nvmetcp_bring_up_step(SnNvmeAssoc *a);
/* Sends Connect on queue @q, which is up. */
void sn_nvmetcp_bring_up_connect(SnNvmeAssoc *a, SnNvmeQueue *q);
/* What the current step is called, for messages; a literal. */
const char *sn_nvmetcp_bring_up_name(const SnNvmeAssoc *a);
/* Goes on to the next step. */
void sn_nvmetcp_bring_up_next(SnNvmeAssoc *a);
/* The request of a Property Set of CC. */
SnNvmeRequest sn_nvmetcp_set_cc(SnNvmeAssoc *a, uint32_t cc);
/*
 * Get Log Page @lid, @len bytes from @offset on, to a->data. @lsp: the
 * specific field.
 */
void sn_nvmetcp_get_log(SnNvmeAssoc *a, uint8_t lid, uint8_t lsp,
                        uint64_t offset, uint32_t len, SnNvmeDone *done);
/* An Identify command with the result in a->data. */
void sn_nvmetcp_identify(SnNvmeAssoc *a, uint8_t cns, uint32_t nsid,
                         SnNvmeDone *done);
/*
 * Takes a->data as Identify Namespace data into @info, or fails: for good if
 * @absent_is_final and it is not there.
 */
bool sn_nvmetcp_take_namespace(SnNvmeAssoc *a, SnVolumeInfo *info,
                               bool absent_is_final);
/* Takes a->data as the namespace's descriptors into @info, or fails. */
bool sn_nvmetcp_take_descs(SnNvmeAssoc *a, SnVolumeInfo *info);

/* discovery.c */

/* The URL names no subsystem: asks at once. */
void sn_nvmetcp_discovery_start(SnNvmeAssoc *a);
/*
 * The connection has ended because of a->why. True when another one is to be
 * made, to a discovery controller; otherwise a->why and a->permanent are what
 * the volume is to be told.
 */
bool sn_nvmetcp_discovery_goes_on(SnNvmeAssoc *a);
/* Which port to connect to. */
uint16_t sn_nvmetcp_discovery_port(const SnNvmeAssoc *a);
/* The step SN_NVME_ASSOC_DISCOVER: @done is called with each answer. */
void sn_nvmetcp_discovery_read(SnNvmeAssoc *a, SnNvmeDone *done);
void sn_nvmetcp_discovery_take(SnNvmeAssoc *a, SnNvmeDone *done);
void sn_nvmetcp_discovery_stop(SnNvmeAssoc *a);
void sn_nvmetcp_discovery_cleanup(SnNvmeAssoc *a);

/* ana.c */

/* Starts reading the log page; each part goes to @done. */
void sn_nvmetcp_ana_begin(SnNvmeAssoc *a, SnNvmeDone *done);
/* Takes a part; false when another one has been asked for. */
bool sn_nvmetcp_ana_take(SnNvmeAssoc *a, SnNvmeDone *done);
/* Whether I/O is possible by a->ana_state; fails otherwise. */
bool sn_nvmetcp_ana_check(SnNvmeAssoc *a);

/* fence.c */

/*
 * One queue has failed. True when it is worth a moment to see whether the
 * target ends the others as well; a->fail_bh is scheduled again then.
 */
bool sn_nvmetcp_fence_grace(SnNvmeAssoc *a);
void sn_nvmetcp_fence_grace_over(SnNvmeAssoc *a);
/* The association is given up: notes how long the next one has to wait. */
void sn_nvmetcp_fence_set(SnNvmeAssoc *a);
/* The step SN_NVME_ASSOC_FENCE. */
void sn_nvmetcp_fence_begin(SnNvmeAssoc *a);

/* events.c */

/* From when it is ready. */
void sn_nvmetcp_events_start(SnNvmeAssoc *a);
void sn_nvmetcp_events_stop(SnNvmeAssoc *a);

/* watch.c */

/* From when the controller is enabled. */
void sn_nvmetcp_watch_keep_alive(SnNvmeAssoc *a);
void sn_nvmetcp_watch_init(SnNvmeAssoc *a);
void sn_nvmetcp_watch_stop(SnNvmeAssoc *a);

#endif
