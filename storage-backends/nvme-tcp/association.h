/*
 * An NVMe-oF association: the admin queue and the I/O queues that together are
 * one host's use of one controller, from connecting to the loss.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_ASSOCIATION_H
#define SN_NVMETCP_ASSOCIATION_H

#include "options.h"
#include "queue.h"

typedef struct SnNvmeAssoc SnNvmeAssoc;

/*
 * The association tells the volume itself when it is ready, changed or lost.
 * @forget is called when it is lost, before the volume hears of it: all
 * commands are gone. @config and @options are borrowed until it is freed, the
 * URL in @config excepted.
 */
SnNvmeAssoc *sn_nvmetcp_assoc_new(const SnBackendConfig *config,
                                  const SnNvmeTcpOptions *options,
                                  void (*forget)(void *), void *opaque);
void sn_nvmetcp_assoc_free(SnNvmeAssoc *a);

/* Starts to connect; only when stopped or lost. */
void sn_nvmetcp_assoc_start(SnNvmeAssoc *a);
/* Drops everything without a word to the volume. */
void sn_nvmetcp_assoc_stop(SnNvmeAssoc *a);

/* Gives the association up, soon; the first reason counts. */
void sn_nvmetcp_assoc_fail(SnNvmeAssoc *a, bool permanent, const char *fmt,
                           ...) G_GNUC_PRINTF(3, 4);

/*
 * Sends an I/O command on the queue whose turn it is, or the next that has
 * room, and sets @q to it. NULL: no room, or not ready.
 */
SnNvmeCmd *sn_nvmetcp_assoc_send(SnNvmeAssoc *a, const SnNvmeRequest *req,
                                 SnNvmeQueue **q);

/* The same with an admin command, on the admin queue. */
SnNvmeCmd *sn_nvmetcp_assoc_send_admin(SnNvmeAssoc *a,
                                       const SnNvmeRequest *req,
                                       SnNvmeQueue **q);

/* See sn_nvmetcp_queue_cancelled_overlaps(). */
bool sn_nvmetcp_assoc_cancelled_overlaps(const SnNvmeAssoc *a,
                                         const SnNvmeScope *scope);

/* Asks the controller to give up command @cid of @q. Best effort. */
void sn_nvmetcp_assoc_abort(SnNvmeAssoc *a, SnNvmeQueue *q, uint16_t cid);

/* A command says that the namespace is not there: looks, soon. */
void sn_nvmetcp_assoc_check_namespace(SnNvmeAssoc *a);

/* Nanoseconds to wait before a command with response @cqe is sent again. */
int64_t sn_nvmetcp_assoc_retry_delay(const SnNvmeAssoc *a,
                                     const SnNvmeCqe *cqe);

/* How long, in ns, a way to the namespace may take to change (ANATT). */
int64_t sn_nvmetcp_assoc_path_patience(const SnNvmeAssoc *a);

/* Lets everything leave that was sent. */
void sn_nvmetcp_assoc_push(SnNvmeAssoc *a);

/* The namespace, once ready. */
const SnVolumeInfo *sn_nvmetcp_assoc_info(const SnNvmeAssoc *a);

#endif
