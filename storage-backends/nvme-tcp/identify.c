/*
 * Identify data (NVMe Base 2.0 section 5.17, NVM Command Set section 4.1.5).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "identify.h"

#include <string.h>

/* NSFEAT.OPTPERF; newer versions of libnvme have the two bits it became. */
#define NSFEAT_OPTPERF (1 << 4)
#define DPS_PI_TYPE 7
#define CQT_OFFSET 386

/* Larger commands gain nothing and make others wait. */
#define MAX_TRANSFER (1024 * 1024)
/* NLB of Write Zeroes has 16 bits; a range of DSM has 32, of which we use 31
 * so that multiples stay aligned. */
#define MAX_ZEROES_BLOCKS 65536u
#define MAX_DISCARD_BLOCKS (1u << 31)

/* Trims, and leaves out what is not printable ASCII: the peer wrote it. */
static void copy_text(char *to, const char *from, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (g_ascii_isprint(from[i])) {
            to[n++] = from[i];
        }
    }
    to[n] = '\0';
    g_strstrip(to);
}

/* A size given as a power of two of the smallest pages; 0: no limit. */
static uint64_t pages(const SnNvmeCtrl *ctrl, uint8_t power)
{
    unsigned shift = 12 + (unsigned)NVME_CAP_MPSMIN(ctrl->cap) + power;

    return power && shift < 32 ? 1ull << shift : 0;
}

bool sn_nvme_parse_ctrl(SnNvmeCtrl *ctrl, const struct nvme_id_ctrl *id,
                        const char **why)
{
    uint32_t ioccsz = GUINT32_FROM_LE(id->ioccsz);

    /* The size is in 16 bytes and counts the 64-byte queue entry. */
    if (ioccsz < 4 || ioccsz > UINT32_MAX / 16) {
        *why = "IOCCSZ is out of range";
        return false;
    }
    if (id->icdoff) {
        *why = "ICDOFF is not 0, which NVMe/TCP does not allow";
        return false;
    }
    ctrl->in_capsule = ioccsz * 16 - sizeof(SnNvmeSqe);
    ctrl->max_transfer = pages(ctrl, id->mdts);
    ctrl->maxcmd = GUINT16_FROM_LE(id->maxcmd);
    ctrl->oncs = GUINT16_FROM_LE(id->oncs);
    ctrl->kas = GUINT16_FROM_LE(id->kas);
    /* Base 2.1 figure 312; the structure of libnvme is older. */
    memcpy(&ctrl->cqt, (const uint8_t *)id + CQT_OFFSET, sizeof(ctrl->cqt));
    ctrl->cqt = GUINT16_FROM_LE(ctrl->cqt);
    ctrl->crdt[0] = GUINT16_FROM_LE(id->crdt1);
    ctrl->crdt[1] = GUINT16_FROM_LE(id->crdt2);
    ctrl->crdt[2] = GUINT16_FROM_LE(id->crdt3);
    ctrl->anatt = id->anatt;
    ctrl->ana = id->cmic & NVME_CTRL_CMIC_MULTI_ANA_REPORTING;
    ctrl->tbkas = GUINT32_FROM_LE(id->ctratt) & NVME_CTRL_CTRATT_TBKAS;
    ctrl->write_cache = id->vwc & NVME_CTRL_VWC_PRESENT;
    ctrl->events = GUINT32_FROM_LE(id->oaes);
    ctrl->max_zeroes = ctrl->max_verify = ctrl->max_write_uncor = 0;
    ctrl->max_range = 0;
    copy_text(ctrl->serial, id->sn, sizeof(id->sn));
    return true;
}

void sn_nvme_parse_limits(SnNvmeCtrl *ctrl, const struct nvme_id_ctrl_nvm *id)
{
    ctrl->max_zeroes = pages(ctrl, id->wzsl);
    ctrl->max_verify = pages(ctrl, id->vsl);
    ctrl->max_write_uncor = pages(ctrl, id->wusl);
    ctrl->max_range = GUINT32_FROM_LE(id->dmrsl);
    /* We send one range, which is thus all that a command may have. */
    if (id->dmsl && (!ctrl->max_range ||
                     GUINT64_FROM_LE(id->dmsl) < ctrl->max_range)) {
        ctrl->max_range = GUINT64_FROM_LE(id->dmsl);
    }
}

static uint64_t limit(uint64_t value, uint64_t max)
{
    return max ? MIN(value, max) : value;
}

static void set_limits(SnVolumeInfo *info, const SnNvmeCtrl *ctrl)
{
    uint64_t bs = info->block_size;

    info->max_transfer = limit(MAX_TRANSFER, ctrl->max_transfer);
    info->fua = true;
    info->write_cache = ctrl->write_cache;
    info->compare = ctrl->oncs & NVME_CTRL_ONCS_COMPARE;
    if (ctrl->oncs & NVME_CTRL_ONCS_DSM) {
        info->max_discard = limit(MAX_DISCARD_BLOCKS, ctrl->max_range) * bs;
    }
    if (ctrl->oncs & NVME_CTRL_ONCS_WRITE_ZEROES) {
        /* Those that do not report WZSL may apply MDTS here as well. */
        info->max_write_zeroes = limit(MAX_ZEROES_BLOCKS * bs,
                                       ctrl->max_zeroes ? ctrl->max_zeroes
                                                        : ctrl->max_transfer);
    }
}

/* The preferred granularities are one less than that many blocks. */
static void set_granularity(SnVolumeInfo *info, const struct nvme_id_ns *id)
{
    uint64_t bs = info->block_size;

    info->phys_block_size = bs;
    info->discard_granularity = bs;
    if (id->nsfeat & NSFEAT_OPTPERF) {
        uint64_t npwg = (GUINT16_FROM_LE(id->npwg) + 1) * bs;

        /* A block size is a power of two to everybody above. */
        if (!(npwg & (npwg - 1))) {
            info->phys_block_size = npwg;
        }
        info->discard_granularity = (GUINT16_FROM_LE(id->npdg) + 1) * bs;
        if (id->nows) {
            info->opt_io_size = (GUINT16_FROM_LE(id->nows) + 1) * bs;
        }
    }
}

/* For a guest that sees an NVMe namespace, too. */
static void set_nvme(SnVolumeNvme *nvme, const SnNvmeCtrl *ctrl,
                     const struct nvme_id_ns *id)
{
    *nvme = (SnVolumeNvme){
        .passthrough = true,
        .oncs = ctrl->oncs,
        .nsfeat = id->nsfeat,
        .nmic = id->nmic,
        .rescap = id->rescap,
        .fpi = id->fpi,
        .dlfeat = id->dlfeat,
        .nawun = GUINT16_FROM_LE(id->nawun),
        .nawupf = GUINT16_FROM_LE(id->nawupf),
        .nacwu = GUINT16_FROM_LE(id->nacwu),
        .nabsn = GUINT16_FROM_LE(id->nabsn),
        .nabo = GUINT16_FROM_LE(id->nabo),
        .nabspf = GUINT16_FROM_LE(id->nabspf),
        .noiob = GUINT16_FROM_LE(id->noiob),
        .npwg = GUINT16_FROM_LE(id->npwg),
        .npwa = GUINT16_FROM_LE(id->npwa),
        .npdg = GUINT16_FROM_LE(id->npdg),
        .npda = GUINT16_FROM_LE(id->npda),
        .nows = GUINT16_FROM_LE(id->nows),
        .ncap = GUINT64_FROM_LE(id->ncap),
        .nuse = GUINT64_FROM_LE(id->nuse),
        .max_verify = ctrl->max_verify,
        .max_write_uncor = ctrl->max_write_uncor,
    };
}

/* Why a namespace of @nsze blocks cannot be used, or NULL. */
static char *unusable(const struct nvme_id_ns *id,
                      const struct nvme_lbaf *lbaf, uint64_t nsze)
{
    if (id->dps & DPS_PI_TYPE) {
        return g_strdup_printf("it is formatted with protection information "
                               "(type %u)", id->dps & DPS_PI_TYPE);
    }
    if (lbaf->ms) {
        return g_strdup_printf("it is formatted with metadata (%u bytes per "
                               "block)", GUINT16_FROM_LE(lbaf->ms));
    }
    if (lbaf->ds != 9 && lbaf->ds != 12) {
        return g_strdup_printf("its blocks are of neither 512 nor 4096 bytes "
                               "(LBADS is %u)", lbaf->ds);
    }
    if (nsze > INT64_MAX >> lbaf->ds) {
        return g_strdup("its size is out of range");
    }
    return NULL;
}

SnNvmeNsResult sn_nvme_parse_ns(SnVolumeInfo *info, const SnNvmeCtrl *ctrl,
                                const struct nvme_id_ns *id,
                                char **why)
{
    /* With more than 16 formats, bits 6:5 are the upper part of the index. */
    unsigned upper = id->nlbaf > 15 ? id->flbas >> 5 & 3 : 0;
    const struct nvme_lbaf *lbaf = &id->lbaf[(id->flbas & 15) | upper << 4];
    uint64_t nsze = GUINT64_FROM_LE(id->nsze);

    if (!nsze) {
        *why = g_strdup("it does not exist or is not attached");
        return SN_NVME_NS_ABSENT;
    }
    *why = unusable(id, lbaf, nsze);
    if (*why) {
        return SN_NVME_NS_UNUSABLE;
    }
    *info = (SnVolumeInfo){
        .size = nsze << lbaf->ds,
        .block_size = 1u << lbaf->ds,
        .read_only = id->nsattr & NVME_NS_NSATTR_WRITE_PROTECTED,
    };
    set_limits(info, ctrl);
    set_granularity(info, id);
    set_nvme(&info->nvme, ctrl, id);
    memcpy(info->nguid, id->nguid, sizeof(info->nguid));
    memcpy(info->eui64, id->eui64, sizeof(info->eui64));
    g_strlcpy(info->serial, ctrl->serial, sizeof(info->serial));
    return SN_NVME_NS_GOOD;
}

unsigned sn_nvme_parse_ns_descs(SnVolumeInfo *info, const uint8_t *list,
                                size_t len)
{
    unsigned csi = NVME_CSI_NVM;
    size_t at = 0;

    /* The list ends with a descriptor of length 0, or with the page. */
    while (at + sizeof(struct nvme_ns_id_desc) <= len) {
        unsigned nidt = list[at], nidl = list[at + 1];

        at += sizeof(struct nvme_ns_id_desc);
        if (!nidl || nidl > len - at) {
            break;
        }
        if (nidt == NVME_NIDT_EUI64 && nidl == sizeof(info->eui64)) {
            memcpy(info->eui64, list + at, nidl);
        } else if (nidt == NVME_NIDT_NGUID && nidl == sizeof(info->nguid)) {
            memcpy(info->nguid, list + at, nidl);
        } else if (nidt == NVME_NIDT_UUID && nidl == sizeof(info->uuid)) {
            memcpy(info->uuid, list + at, nidl);
        } else if (nidt == NVME_NIDT_CSI && nidl == NVME_NIDT_CSI_LEN) {
            csi = list[at];
        }
        at += nidl;
    }
    return csi;
}
