/*
 * NVMe status codes in the words and errno of this project.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_STATUS_H
#define SN_NVMETCP_STATUS_H

#include "smartnic/nvme.h"


/* 0, or the errno (negative, see volume.h) that an I/O status means. */
int sn_nvme_status_to_errno(unsigned status);

/* What to do about a command that failed. */
typedef enum SnNvmeRetry {
    SN_NVME_RETRY_NEVER,        /* the same again would fail again */
    SN_NVME_RETRY_SOME,         /* a few times, a little later */
    SN_NVME_RETRY_PATH,         /* until this way to the namespace is back */
} SnNvmeRetry;

SnNvmeRetry sn_nvme_status_retry(const SnNvmeCqe *cqe);
/*
 * The same for a command that somebody else has made: what the far side says
 * of the command is for them to hear. @once: it must not happen twice.
 */
SnNvmeRetry sn_nvme_status_retry_as_is(const SnNvmeCqe *cqe, bool once);

/*
 * Whether the controller does not have what was asked for. Otherwise it may
 * only not be able to tell now.
 */
bool sn_nvme_status_not_offered(const SnNvmeCqe *cqe);

/* Whether a Connect was refused for the name of the subsystem. */
bool sn_nvme_connect_unknown_nqn(const SnNvmeCqe *cqe);

/* What a status means, or "unknown status"; a literal. */
const char *sn_nvme_status_text(unsigned status);

/* The same for the status of a Fabrics Connect command. */
const char *sn_nvme_connect_text(const SnNvmeCqe *cqe);

#endif
