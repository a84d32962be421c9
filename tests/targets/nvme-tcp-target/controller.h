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
    bool notice;                /* that is to be told */
    bool masked;                /* it was told, and the log not read yet */
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

/* Ends the association, as when the host was not heard for too long. */
void ctrl_expire(Ctrl *ctrl);
/* @c is dead: one queue less, or all of the controller. */
void ctrl_conn_gone(Conn *c);

#endif
