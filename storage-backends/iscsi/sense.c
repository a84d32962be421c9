/*
 * What an answer that is not GOOD means (SPC-5 section 4.5, SAM-5 section 5.3).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "backend.h"

/* Additional sense codes with their qualifiers. */
enum {
    ASC_NOT_READY_CAUSE = 0x0400,       /* the qualifier says why */
    ASCQ_START = 0x0402,                /* it waits for START STOP UNIT, */
    ASCQ_MANUAL = 0x0403,               /* or for somebody to do something */
    ASC_MEDIUM_NOT_PRESENT = 0x3a00,
    ASC_SPACE_ALLOCATION_FAILED = 0x2707,
    ASC_INVALID_OPCODE = 0x2000,
    ASC_LBA_OUT_OF_RANGE = 0x2100,
};

/* Response codes of sense data; those of deferred errors are one more. */
enum { CURRENT_FIXED = 0x70, CURRENT_DESCRIPTOR = 0x72 };

static int errno_of_illegal(unsigned ascq)
{
    switch (ascq) {
    case ASC_INVALID_OPCODE:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

/* Not all the data, or not ours. */
static int errno_of_residual(const struct scsi_task *task)
{
    return task->residual_status == SCSI_RESIDUAL_NO_RESIDUAL ? 0 : -EIO;
}

static SnIscsiVerdict judge_sense(const struct scsi_task *task, int *err)
{
    const struct scsi_sense *sense = &task->sense;
    unsigned ascq = sense->ascq;

    *err = -EIO;
    if (sense->error_type != CURRENT_FIXED &&
        sense->error_type != CURRENT_DESCRIPTOR) {
        /* A deferred error is an older command's, and comes instead of this
         * one; in other formats, nobody knows. */
        return SN_ISCSI_AGAIN;
    }
    switch ((int)sense->key) {
    case SCSI_SENSE_NO_SENSE:
    case SCSI_SENSE_RECOVERED_ERROR:
        *err = errno_of_residual(task);
        return SN_ISCSI_DONE;
    case SCSI_SENSE_UNIT_ATTENTION:
    case SCSI_SENSE_COMMAND_ABORTED:
        return SN_ISCSI_AGAIN;
    case SCSI_SENSE_NOT_READY:
        if ((ascq & 0xff00) == ASC_NOT_READY_CAUSE && ascq != ASCQ_START &&
            ascq != ASCQ_MANUAL) {
            return SN_ISCSI_LATER;
        }
        return SN_ISCSI_DONE;
    case SCSI_SENSE_ILLEGAL_REQUEST:
        *err = errno_of_illegal(ascq);
        return SN_ISCSI_DONE;
    case SCSI_SENSE_DATA_PROTECTION:
        *err = ascq == ASC_SPACE_ALLOCATION_FAILED ? -ENOSPC : -EROFS;
        return SN_ISCSI_DONE;
    case SCSI_SENSE_MISCOMPARE:
        *err = -EILSEQ;
        return SN_ISCSI_DONE;
    default:
        return SN_ISCSI_DONE;
    }
}

SnIscsiVerdict sn_iscsi_judge(int status, const struct scsi_task *task,
                              int *err)
{
    *err = 0;
    switch (status) {
    case SCSI_STATUS_GOOD:
    case SCSI_STATUS_CONDITION_MET:
        *err = errno_of_residual(task);
        return SN_ISCSI_DONE;
    case SCSI_STATUS_CHECK_CONDITION:
        return judge_sense(task, err);
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_ACA_ACTIVE:
        return SN_ISCSI_LATER;
    case SCSI_STATUS_TASK_ABORTED:
        *err = -EIO;
        return SN_ISCSI_AGAIN;
    case SCSI_STATUS_RESERVATION_CONFLICT:
        *err = -EBADE;
        return SN_ISCSI_DONE;
    default:
        *err = -EIO;
        return SN_ISCSI_DONE;
    }
}

char *sn_iscsi_status_text(int status, const struct scsi_task *task)
{
    if (status == SCSI_STATUS_CHECK_CONDITION) {
        return g_strdup_printf("%s, asc/ascq %02x/%02x",
                               scsi_sense_key_str(task->sense.key),
                               task->sense.ascq >> 8 & 0xff,
                               task->sense.ascq & 0xff);
    }
    return g_strdup_printf("SCSI status 0x%02x", status);
}
