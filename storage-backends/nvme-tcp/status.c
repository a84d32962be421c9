/*
 * NVMe status codes (NVMe Base 2.0 section 3.3.3.2.1, NVMe over Fabrics
 * section 3.3 for Connect).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "status.h"

#include <errno.h>

#define GENERIC(sc) SN_NVME_STATUS(NVME_SCT_GENERIC, sc)
#define SPECIFIC(sc) SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC, sc)
#define MEDIA(sc) SN_NVME_STATUS(NVME_SCT_MEDIA, sc)
#define PATH(sc) SN_NVME_STATUS(NVME_SCT_PATH, sc)

typedef struct StatusMeaning {
    unsigned status;
    const char *text;
    int err;                    /* 0: -EIO */
    bool final;                 /* again is the same, whatever DNR says */
} StatusMeaning;

static const StatusMeaning meanings[] = {
    { GENERIC(NVME_SC_INVALID_OPCODE), "invalid opcode", -EOPNOTSUPP,
      true },
    { GENERIC(NVME_SC_INVALID_FIELD), "invalid field in command", 0,
      true },
    { GENERIC(NVME_SC_DATA_XFER_ERROR), "data transfer error" },
    { GENERIC(NVME_SC_INTERNAL), "internal error" },
    { GENERIC(NVME_SC_ABORT_REQ), "command abort requested" },
    { GENERIC(NVME_SC_INVALID_NS), "invalid namespace or format", 0, true },
    { GENERIC(NVME_SC_CMD_SEQ_ERROR), "command sequence error" },
    { GENERIC(NVME_SC_NS_WRITE_PROTECTED), "namespace is write protected",
      -EROFS, true },
    { GENERIC(NVME_SC_CMD_INTERRUPTED), "command interrupted" },
    { GENERIC(NVME_SC_TRAN_TPORT_ERROR), "transient transport error" },
    { GENERIC(NVME_SC_LBA_RANGE), "LBA out of range", -EINVAL, true },
    { GENERIC(NVME_SC_CAP_EXCEEDED), "capacity exceeded", -ENOSPC, true },
    { GENERIC(NVME_SC_NS_NOT_READY), "namespace not ready" },
    { GENERIC(NVME_SC_RESERVATION_CONFLICT), "reservation conflict",
      -EBADE, true },
    { GENERIC(NVME_SC_CMD_ABORTED_PREMEPT), "aborted by another host's "
      "Preempt and Abort", -EBADE, true },
    { SPECIFIC(NVME_SC_READ_ONLY), "write to a read-only range", -EROFS,
      true },
    { SPECIFIC(NVME_SC_AUTH_REQUIRED), "authentication required" },
    { MEDIA(NVME_SC_WRITE_FAULT), "write fault" },
    { MEDIA(NVME_SC_READ_ERROR), "unrecovered read error" },
    { MEDIA(NVME_SC_COMPARE_FAILED), "compare failure", -EILSEQ, true },
    { MEDIA(NVME_SC_ACCESS_DENIED), "access denied" },
    { PATH(NVME_SC_ANA_INTERNAL_PATH_ERROR), "internal path error" },
    { PATH(NVME_SC_ANA_PERSISTENT_LOSS), "persistent ANA loss" },
    { PATH(NVME_SC_ANA_INACCESSIBLE), "ANA inaccessible" },
    { PATH(NVME_SC_ANA_TRANSITION), "ANA transition" },
    { PATH(NVME_SC_CTRL_PATH_ERROR), "controller pathing error" },
};

static const StatusMeaning *find(unsigned status)
{
    for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++) {
        if (meanings[i].status == status) {
            return &meanings[i];
        }
    }
    return NULL;
}

int sn_nvme_status_to_errno(unsigned status)
{
    const StatusMeaning *m;

    if (!status) {
        return 0;
    }
    m = find(status);
    return m && m->err ? m->err : -EIO;
}

/* DNR clear says that the same command may succeed later (3.3.3.2.1). */
SnNvmeRetry sn_nvme_status_retry(const SnNvmeCqe *cqe)
{
    unsigned status = sn_nvme_status(cqe);
    const StatusMeaning *m = find(status);

    if (!status || sn_nvme_dnr(cqe) || (m && m->final)) {
        return SN_NVME_RETRY_NEVER;
    }
    return status >> 8 == NVME_SCT_PATH ? SN_NVME_RETRY_PATH
                                        : SN_NVME_RETRY_SOME;
}

SnNvmeRetry sn_nvme_status_retry_as_is(const SnNvmeCqe *cqe, bool once)
{
    SnNvmeRetry retry = sn_nvme_status_retry(cqe);

    /* A digest was wrong: that says nothing of the command. */
    if (sn_nvme_status(cqe) == GENERIC(NVME_SC_TRAN_TPORT_ERROR) && !once) {
        return retry;
    }
    return retry == SN_NVME_RETRY_SOME ? SN_NVME_RETRY_NEVER : retry;
}

bool sn_nvme_status_not_offered(const SnNvmeCqe *cqe)
{
    switch (sn_nvme_status(cqe)) {
    case 0:
    case GENERIC(NVME_SC_INVALID_NS):   /* the namespace is not there */
        return false;
    case GENERIC(NVME_SC_INVALID_OPCODE):
    case GENERIC(NVME_SC_INVALID_FIELD):
        return true;
    default:
        return sn_nvme_dnr(cqe);
    }
}

const char *sn_nvme_status_text(unsigned status)
{
    const StatusMeaning *m = find(status);

    return m ? m->text : "unknown status";
}

/*
 * Invalid Parameters says which field in dword 0: its offset, and in bit 16
 * whether that is in the data (host identifier at 0, controller identifier at
 * 16, subsystem NQN at 256, host NQN at 512) or in the command.
 */
static const char *parameter_text(uint32_t dw0)
{
    if (!(dw0 & 1 << 16)) {
        return "Connect Invalid Parameters: a field of the command";
    }
    switch (dw0 & 0xffff) {
    case 0:
        return "Connect Invalid Parameters: the host identifier";
    case 16:
        return "Connect Invalid Parameters: the controller identifier";
    case 256:
        return "Connect Invalid Parameters: the target does not know the "
               "subsystem NQN";
    case 512:
        return "Connect Invalid Parameters: the host NQN";
    default:
        return "Connect Invalid Parameters: unknown field";
    }
}

bool sn_nvme_connect_unknown_nqn(const SnNvmeCqe *cqe)
{
    uint32_t dw0 = GUINT32_FROM_LE(cqe->dw0);

    /* Some do not say which field they mean. */
    return sn_nvme_status(cqe) == SPECIFIC(NVME_SC_CONNECT_INVALID_PARAM) &&
           (dw0 == (1 << 16 | 256) || dw0 == 0);
}

const char *sn_nvme_connect_text(const SnNvmeCqe *cqe)
{
    switch (sn_nvme_status(cqe)) {
    case SPECIFIC(NVME_SC_CONNECT_FORMAT):
        return "Connect Incompatible Format";
    case SPECIFIC(NVME_SC_CONNECT_CTRL_BUSY):
        return "Connect Controller Busy";
    case SPECIFIC(NVME_SC_CONNECT_INVALID_PARAM):
        return parameter_text(GUINT32_FROM_LE(cqe->dw0));
    case SPECIFIC(NVME_SC_CONNECT_RESTART_DISC):
        return "Connect Restart Discovery";
    case SPECIFIC(NVME_SC_CONNECT_INVALID_HOST):
        return "Connect Invalid Host: the target does not allow our host NQN";
    default:
        return sn_nvme_status_text(sn_nvme_status(cqe));
    }
}
