/*
 * Controllers: one for each association with a host.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_CONTROLLER_H
#define TARGET_CONTROLLER_H

#include "connection.h"
#include "namespace.h"
#include "target.h"
#include "wire.h"

#define IO_QUEUES_MAX 128
/* Asynchronous event requests that one may hold; Identify says it, less one. */
#define EVENTS_MAX 4
/* Log pages that wait for the host to read them, one for each notification. */
#define RESV_PAGES_MAX 16

/* What a controller tells by itself. */
typedef enum Notice {
    NOTICE_NS_CHANGED,
    NOTICE_RESERVATION,
    NOTICE_COUNT
} Notice;

typedef struct Ctrl {
    bool used;
    uint16_t cntlid;
    bool discovery;
    char hostnqn[NVME_NQN_LENGTH];
    uint8_t hostid[16];
    uint32_t cc, csts;          /* registers, NVMe Base section 3.1.3 */
    uint32_t kato;              /* milliseconds, 0: none */
    uint64_t heard;             /* when the host last spoke */
    Timer keep_alive;
    Conn *queue[IO_QUEUES_MAX + 1];
    unsigned queues;            /* I/O queues granted */
    uint32_t event_config;
    bool write_cache;

    uint16_t events[EVENTS_MAX];        /* CIDs of waiting requests */
    unsigned event_count;
    bool changed[NS_MAX];       /* namespaces, since the log was read */
    struct nvme_resv_notification_log resv_pages[RESV_PAGES_MAX];
    unsigned resv_count;        /* oldest first */
    uint64_t resv_serial;       /* of the last one, LPC */
    uint8_t resv_mask[NS_MAX];  /* bit RNLPT: there is no page for it */
    bool notice[NOTICE_COUNT];  /* that is to be told */
    bool masked[NOTICE_COUNT];  /* it was told, and the log not read yet */
} Ctrl;

/* NULL when there are too many. @admin: its admin queue. */
Ctrl *ctrl_new(Conn *admin, bool discovery, uint32_t kato);
Ctrl *ctrl_find(uint16_t cntlid);
unsigned ctrl_count(void);

void ctrl_set_kato(Ctrl *ctrl, uint32_t kato);
/* A command came: any one tells that the host lives (TBKAS). */
void ctrl_heard(Ctrl *ctrl);

/* Writes the CC register. */
void ctrl_write_cc(Ctrl *ctrl, uint32_t value);

/* Takes the CID of an event request; false when there are too many. */
bool ctrl_take_event(Ctrl *ctrl, uint16_t cid);
/* Gives up an event request; whether there was one. */
bool ctrl_drop_event(Ctrl *ctrl, uint16_t cid);
/* The host has read the log of changed namespaces. */
void ctrl_changes_read(Ctrl *ctrl);
/* Tells all controllers about namespace @nsid. */
void ctrl_ns_changed(uint32_t nsid);

/* What the next page of reservation notifications says. */
struct nvme_resv_notification_log ctrl_resv_page(const Ctrl *ctrl);
/* The host has read it; the event may stay (RAE), the page does not. */
void ctrl_resv_read(Ctrl *ctrl, bool retain);
/* Tells @hostid, by all its controllers, what became of its reservation. */
void ctrl_resv_notice(const uint8_t *hostid, uint32_t nsid, unsigned rnlpt);

/* Ends the association, as when the host was not heard for too long. */
void ctrl_expire(Ctrl *ctrl);
/* @c is dead: one queue less, or all of the controller. */
void ctrl_conn_gone(Conn *c);

#endif
