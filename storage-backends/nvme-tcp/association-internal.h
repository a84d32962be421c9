/*
 * The inside of SnNvmeAssoc, shared by association.c (life, queues),
 * bring-up.c (the steps until it is ready) and watch.c (Keep Alive, events).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_ASSOCIATION_INTERNAL_H
#define SN_NVMETCP_ASSOCIATION_INTERNAL_H

#include "association.h"
#include "identify.h"

#define SN_NVMETCP_MAX_QUEUES 16
#define SN_NVMETCP_ADMIN_SIZE 32

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
    /* Identify Controller; a->ctrl is valid afterwards. */
    SN_NVME_ASSOC_IDENTIFY_CTRL,
    /* Identify Namespace; a->info is valid afterwards. */
    SN_NVME_ASSOC_IDENTIFY_NS,
    /* Identify: the namespace's descriptors. */
    SN_NVME_ASSOC_IDENTIFY_DESCS,
    /* Set Features: which events we want. */
    SN_NVME_ASSOC_EVENTS,
    /* Set Features: how many I/O queues. */
    SN_NVME_ASSOC_NUM_QUEUES,
    /* The I/O connections, up to their Connect. */
    SN_NVME_ASSOC_IO_QUEUES,
    /* I/O flows. */
    SN_NVME_ASSOC_READY,
    /* The reason is known; it is being told to the volume from the loop. */
    SN_NVME_ASSOC_FAILED,
    SN_NVME_ASSOC_STATES
} SnNvmeAssocState;

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
    SnVolumeInfo info;

    /* Bringing up, and reading the namespace again (bring-up.c, watch.c). */
    SnTimer *step_timer;        /* the limit of the step */
    SnTimer *poll_timer;        /* until CSTS is read again */
    struct iovec data_iov;
    uint8_t data[NVME_IDENTIFY_DATA_SIZE] __attribute__((aligned(8)));

    /* The end: told from the loop, so that it can be found anywhere. */
    SnBh *fail_bh;
    bool permanent;
    char *why;

    /* watch.c */
    SnTimer *keep_alive_timer;
    int64_t keep_alive_sent;    /* SnLoop's clock, ns; 0: none in flight */
    bool abort_in_flight;
    bool refreshing;            /* the namespace is being read again */
    bool refresh_again;
};

/* association.c */

void sn_nvmetcp_assoc_set_state(SnNvmeAssoc *a, SnNvmeAssocState state);
/* One admin command; there is always room for the few that are used. */
void sn_nvmetcp_assoc_admin(SnNvmeAssoc *a, const SnNvmeSqe *sqe,
                            SnNvmeDir dir, uint32_t len, SnNvmeDone *done);
/* Commands in flight on an I/O queue. */
uint16_t sn_nvmetcp_assoc_io_depth(const SnNvmeAssoc *a);
/* Opens connection @qid; 0 is the admin queue. */
SnNvmeQueue *sn_nvmetcp_assoc_open_queue(SnNvmeAssoc *a, uint16_t qid);

/* bring-up.c */

/* Carries out the step of the state that was entered. */
void sn_nvmetcp_bring_up_step(SnNvmeAssoc *a);
/* Sends Connect on queue @q, which is up. */
void sn_nvmetcp_bring_up_connect(SnNvmeAssoc *a, SnNvmeQueue *q);
/* What the current step is called, for messages; a literal. */
const char *sn_nvmetcp_bring_up_name(const SnNvmeAssoc *a);
/* An Identify command with the result in a->data. */
void sn_nvmetcp_identify(SnNvmeAssoc *a, uint8_t cns, uint32_t nsid,
                         SnNvmeDone *done);
/* Takes a->data as Identify Namespace data into a->info, or fails. */
bool sn_nvmetcp_take_namespace(SnNvmeAssoc *a);

/* watch.c */

/* From when the controller is enabled. */
void sn_nvmetcp_watch_keep_alive(SnNvmeAssoc *a);
/* From when it is ready. */
void sn_nvmetcp_watch_events(SnNvmeAssoc *a);
void sn_nvmetcp_watch_init(SnNvmeAssoc *a);
void sn_nvmetcp_watch_stop(SnNvmeAssoc *a);

#endif
