/*
 * What a controller and its namespace say about themselves.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_IDENTIFY_H
#define SN_NVMETCP_IDENTIFY_H

#include "smartnic/nvme.h"
#include "smartnic/volume.h"

typedef struct SnNvmeCtrl {
    uint64_t cap;               /* property CAP */
    uint64_t max_transfer;      /* bytes, by MDTS; 0: no limit */
    uint32_t in_capsule;        /* bytes of data in an I/O capsule */
    uint16_t maxcmd;            /* outstanding per queue; 0: not reported */
    uint16_t oncs;
    uint16_t kas;               /* 0: no Keep Alive */
    uint16_t cqt;               /* Command Quiesce Time, ms; 0: unknown */
    uint16_t crdt[SN_NVME_CRD_MAX];     /* retry delays, 100 ms */
    uint8_t anatt;              /* a change of ANA takes so long, s */
    bool ana;                   /* reports ANA */
    bool tbkas;                 /* any command counts as a Keep Alive */
    bool write_cache;
    uint32_t events;            /* notices that it offers, as in OAES */
    char serial[21];
    /* By the NVM command set's own Identify data; 0: not reported. */
    uint64_t max_zeroes;        /* bytes in one Write Zeroes */
    uint64_t max_verify, max_write_uncor;       /* the same of these */
    uint64_t max_range;         /* blocks in one range of Dataset Mgmt */
} SnNvmeCtrl;

/*
 * Fills all of @ctrl but cap, which is used, and the limits of the NVM command
 * set. False: @why it is of no use.
 */
bool sn_nvme_parse_ctrl(SnNvmeCtrl *ctrl, const struct nvme_id_ctrl *id,
                        const char **why);

/* Takes these limits from @id. */
void sn_nvme_parse_limits(SnNvmeCtrl *ctrl,
                          const struct nvme_id_ctrl_nvm *id);

typedef enum SnNvmeNsResult {
    SN_NVME_NS_GOOD,
    SN_NVME_NS_ABSENT,          /* not there (now) */
    SN_NVME_NS_UNUSABLE,        /* formatted in a way we cannot use */
} SnNvmeNsResult;

/*
 * Fills @info except for queues and UUID. @why is set when not GOOD; the
 * caller frees it.
 */
SnNvmeNsResult sn_nvme_parse_ns(SnVolumeInfo *info, const SnNvmeCtrl *ctrl,
                                const struct nvme_id_ns *id,
                                char **why);

/*
 * Takes identifiers from @len bytes of a descriptor list (CNS 03h). Returns
 * the namespace's command set (CSI), NVM when that is not told.
 */
unsigned sn_nvme_parse_ns_descs(SnVolumeInfo *info, const uint8_t *list,
                                size_t len);

#endif
