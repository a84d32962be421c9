/*
 * Asymmetric Namespace Access: whether the namespace can be reached through
 * this controller (NVMe Base 2.0 section 5.16.1.13, log page 0Ch).
 *
 * There is one path here, so it is not to choose one, but to wait for it:
 * requests then do not go back and forth between us and a controller that
 * refuses them, and the volume's own time limits count.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

SN_TRACE_EVENT(nvmetcp_ana_state);

#define HEADER sizeof(struct nvme_ana_log)
/* Without the list of namespaces, which we ask to be left out. */
#define DESC sizeof(struct nvme_ana_group_desc)

static void ask(SnNvmeAssoc *a, SnNvmeDone *done)
{
    uint64_t offset = a->ana_next ? HEADER + (uint64_t)a->ana_next * DESC : 0;

    sn_nvmetcp_get_log(a, NVME_LOG_LID_ANA,
                       NVME_LOG_ANA_LSP_RGO_GROUPS_ONLY, offset,
                       sizeof(a->data), done);
}

void sn_nvmetcp_ana_begin(SnNvmeAssoc *a, SnNvmeDone *done)
{
    a->ana_next = 0;
    a->ana_total = 0;
    a->ana_state = 0;
    ask(a, done);
}

bool sn_nvmetcp_ana_take(SnNvmeAssoc *a, SnNvmeDone *done)
{
    size_t at = 0;

    if (!a->ana_next) {
        const struct nvme_ana_log *log = (void *)a->data;

        a->ana_total = GUINT16_FROM_LE(log->ngrps);
        at = HEADER;
    }
    while (a->ana_next < a->ana_total && at + DESC <= sizeof(a->data)) {
        struct nvme_ana_group_desc desc;

        memcpy(&desc, a->data + at, DESC);
        if (desc.nnsids) {
            /* It does not leave them out: what follows cannot be found. */
            a->ana_total = 0;
        }
        if (GUINT32_FROM_LE(desc.grpid) == a->ana_group) {
            a->ana_state = desc.state & 0xf;
            sn_trace(nvmetcp_ana_state, "id=%s group=%u state=0x%x",
                     a->config.id, a->ana_group, a->ana_state);
            return true;
        }
        a->ana_next++;
        at += DESC;
    }
    if (a->ana_next < a->ana_total) {
        ask(a, done);
        return false;
    }
    return true;
}

bool sn_nvmetcp_ana_check(SnNvmeAssoc *a)
{
    const char *state;

    switch (a->ana_state) {
    case NVME_ANA_STATE_INACCESSIBLE:
        state = "inaccessible";
        break;
    case NVME_ANA_STATE_PERSISTENT_LOSS:
        state = "persistent loss";
        break;
    case NVME_ANA_STATE_CHANGE:
        state = "change";
        break;
    default:
        return true;
    }
    sn_nvmetcp_assoc_fail(a, false, "namespace %u of the target cannot be "
                          "reached through this controller (ANA state: %s)",
                          a->options->nsid, state);
    return false;
}
