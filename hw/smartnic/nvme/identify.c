/*
 * Identify (NVMe Base 1.4 section 5.15; CNS 05h to 08h: 2.0).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#define PAGE 4096               /* bytes of every answer */
#define IEEE_OUI 0x525400
#define MODEL "SmartNIC storage NVMe"
#define CRITICAL_TEMPERATURE 373        /* kelvins */
/* Microseconds: resuming and entering runtime D3, a shutdown's longest. */
#define RTD3R 100000
#define RTD3E 5000000

static void set_text(char *to, const char *text, size_t len)
{
    size_t n = MIN(strlen(text), len);

    memset(to, ' ', len);
    memcpy(to, text, n);
}

/*
 * With no namespace at all, or one whose volume was not seen yet, there may be
 * a cache later.
 */
bool sn_ctrl_has_write_cache(SnCtrl *ctrl)
{
    unsigned without = 0;

    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = ctrl->ns[i];

        if (ns && (!ns->active || sn_ctrl_ns_info(ns)->write_cache)) {
            return true;
        }
        without += ns != NULL;
    }
    return !without;
}

static void set_capabilities(SnCtrl *ctrl, struct nvme_id_ctrl *id)
{
    bool cache = sn_ctrl_has_write_cache(ctrl);

    ctrl->cache_untold |= !cache;
    id->oaes = GUINT32_TO_LE(NVME_CTRL_OAES_NA);
    id->ctratt = GUINT32_TO_LE(NVME_CTRL_CTRATT_128_ID);
    id->oacs = GUINT16_TO_LE(sn_ctrl_oacs(ctrl));
    id->acl = SN_CTRL_ABORT_LIMIT - 1;
    id->aerl = SN_CTRL_AERL - 1;
    id->frmw = 1 << 1 | 1;      /* one slot, read-only */
    id->lpa = NVME_CTRL_LPA_CMD_EFFECTS | NVME_CTRL_LPA_EXTENDED;
    id->elpe = SN_CTRL_ERROR_LOG - 1;
    id->wctemp = GUINT16_TO_LE(SN_CTRL_WARNING_TEMPERATURE);
    id->cctemp = GUINT16_TO_LE(CRITICAL_TEMPERATURE);
    id->sqes = 6 << 4 | 6;
    id->cqes = 4 << 4 | 4;
    id->nn = GUINT32_TO_LE(SN_CTRL_MAX_NSID);
    id->mnan = GUINT32_TO_LE(SN_CTRL_MAX_NSID);
    id->oncs = GUINT16_TO_LE(sn_ctrl_oncs(ctrl));
    /* Of how many blocks: NACWU tells. ACWU 0 is one, which all can. */
    id->fuses = GUINT16_TO_LE(sn_ctrl_fuses(ctrl));
    /* Flush for all namespaces at once is supported. */
    id->vwc = NVME_CTRL_VWC_FLUSH | (cache ? NVME_CTRL_VWC_PRESENT : 0);
    /* No alignment is needed, and bit buckets exist. */
    id->sgls = GUINT32_TO_LE(1 | 1 << 16);
}

static void identify_ctrl(SnCtrl *ctrl, struct nvme_id_ctrl *id)
{
    id->vid = GUINT16_TO_LE(ctrl->config.pci_vendor);
    id->ssvid = GUINT16_TO_LE(ctrl->config.pci_subsystem_vendor);
    set_text(id->sn, ctrl->serial, sizeof(id->sn));
    set_text(id->mn, MODEL, sizeof(id->mn));
    set_text(id->fr, SN_CTRL_FIRMWARE, sizeof(id->fr));
    id->rab = SN_CTRL_BURST;
    id->ieee[0] = IEEE_OUI & 0xff;
    id->ieee[1] = IEEE_OUI >> 8 & 0xff;
    id->ieee[2] = IEEE_OUI >> 16;
    id->mdts = SN_CTRL_MDTS;
    id->cntlid = GUINT16_TO_LE(ctrl->config.cntlid);
    id->ver = GUINT32_TO_LE(SN_CTRL_VERSION);
    id->rtd3r = GUINT32_TO_LE(RTD3R);
    id->rtd3e = GUINT32_TO_LE(RTD3E);
    id->cntrltype = NVME_CTRL_CNTRLTYPE_IO;
    set_capabilities(ctrl, id);
    g_snprintf(id->subnqn, sizeof(id->subnqn),
               "nqn.2026-11.org.smartnic-storage:nvme:%s", ctrl->serial);
    id->psd[0].mp = GUINT16_TO_LE(1000);        /* 10 W */
}

/* Section 5.15.2.2: those above @from, in order, ended by zeroes. */
static void list_namespaces(SnCtrl *ctrl, uint32_t from, uint32_t *list)
{
    unsigned n = 0;

    for (uint64_t i = (uint64_t)from + 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (sn_ctrl_ns(ctrl, i)) {
            list[n++] = GUINT32_TO_LE((uint32_t)i);
        }
    }
}

static size_t add_descriptor(uint8_t *to, uint8_t type, const void *from,
                             uint8_t len)
{
    to[0] = type;
    to[1] = len;
    memcpy(to + 4, from, len);
    return 4 + len;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    while (len && !bytes[len - 1]) {
        len--;
    }
    return !len;
}

static void list_descriptors(const SnCtrlNs *ns, uint8_t *to)
{
    uint8_t csi = NVME_CSI_NVM;

    if (!is_zero(ns->uuid, sizeof(ns->uuid))) {
        to += add_descriptor(to, NVME_NIDT_UUID, ns->uuid, sizeof(ns->uuid));
    }
    if (!is_zero(ns->nguid, sizeof(ns->nguid))) {
        to += add_descriptor(to, NVME_NIDT_NGUID, ns->nguid,
                             sizeof(ns->nguid));
    }
    if (!is_zero(ns->eui64, sizeof(ns->eui64))) {
        to += add_descriptor(to, NVME_NIDT_EUI64, ns->eui64,
                             sizeof(ns->eui64));
    }
    add_descriptor(to, NVME_NIDT_CSI, &csi, sizeof(csi));
}

/*
 * Bytes of one Write Zeroes, which names as many blocks as NLB can say. Zeroes
 * that are written here are as other data.
 */
static uint64_t max_zeroes(const SnVolumeInfo *info)
{
    uint64_t nlb = (UINT16_MAX + 1ULL) * info->block_size;

    return MIN(info->max_write_zeroes ? info->max_write_zeroes
                                      : SN_CTRL_MAX_TRANSFER, nlb);
}

/*
 * Lowers @power, of two of our smallest pages, to a limit of @bytes. 0 is none;
 * a far side cannot have a limit of a single page.
 */
static void lower_limit(uint8_t *power, uint64_t bytes)
{
    int n = g_bit_nth_msf(bytes / PAGE, -1);

    if (n > 0 && (!*power || n < *power)) {
        *power = n;
    }
}

/*
 * The limits of commands that MDTS says nothing about. We have none, as a
 * volume splits what is too long for its far side. But a guest that wants to
 * deallocate or clear a whole disk had better send it in pieces that the far
 * side likes, and what is passed on as it is cannot be split.
 */
static void identify_nvm_ctrl(SnCtrl *ctrl, struct nvme_id_ctrl_nvm *id)
{
    uint64_t blocks = UINT64_MAX;

    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = sn_ctrl_ns(ctrl, i);
        const SnVolumeInfo *info = ns ? sn_ctrl_ns_info(ns) : NULL;

        if (!info) {
            continue;
        }
        if (info->max_discard) {
            blocks = MIN(blocks, MAX(info->max_discard / info->block_size, 1));
        }
        lower_limit(&id->wzsl, max_zeroes(info));
        lower_limit(&id->vsl, info->nvme.max_verify);
        lower_limit(&id->wusl, info->nvme.max_write_uncor);
    }
    if (blocks <= UINT32_MAX) {
        id->dmrl = UINT8_MAX;   /* ranges, their blocks, and all blocks */
        id->dmrsl = GUINT32_TO_LE((uint32_t)blocks);
        id->dmsl = GUINT64_TO_LE(blocks * UINT8_MAX);
    }
}

/* Sections 5.15.2.10 and 11: controller identifiers from CNTID on. */
static void list_controllers(const SnCtrlReq *req, uint16_t *list)
{
    uint16_t from = GUINT32_FROM_LE(req->sqe.cdw10) >> 16;
    uint16_t cntlid = req->ctrl->config.cntlid;

    if (cntlid >= from) {
        list[0] = GUINT16_TO_LE(1);
        list[1] = GUINT16_TO_LE(cntlid);
    }
}

/*
 * Answers about a namespace: zeroes when it is not active (section 5.15.2.1).
 * NSID FFFFFFFFh is for controllers with Namespace Management.
 */
static SnCtrlStatus about_namespace(SnCtrlReq *req, uint8_t cns, uint8_t *page)
{
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);
    SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, nsid);

    if (nsid < 1 || nsid > SN_CTRL_MAX_NSID) {
        return SN_CTRL_INVALID_NS;
    }
    switch (cns) {
    case NVME_IDENTIFY_CNS_NS:
    case NVME_IDENTIFY_CNS_ALLOCATED_NS:
        if (ns) {
            sn_ctrl_identify_ns(ns, (struct nvme_id_ns *)page);
        }
        return 0;
    case NVME_IDENTIFY_CNS_NS_DESC_LIST:
        if (!ns) {
            return SN_CTRL_INVALID_NS;
        }
        list_descriptors(ns, page);
        return 0;
    case NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS:
        if (ns) {
            sn_ctrl_identify_ns_independent(
                ns, (struct nvme_id_independent_id_ns *)page);
        }
        return 0;
    case NVME_IDENTIFY_CNS_NS_CTRL_LIST:
        if (ns) {
            list_controllers(req, (uint16_t *)page);
        }
        return 0;
    default:                    /* CSI_NS: nothing but zeroes for NVM */
        return 0;
    }
}

/* CNS values that are about one command set (CSI) know only that for blocks. */
static bool is_csi_wrong(const SnCtrlReq *req, uint8_t cns)
{
    return (cns == NVME_IDENTIFY_CNS_CSI_NS ||
            cns == NVME_IDENTIFY_CNS_CSI_CTRL ||
            cns == NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST) &&
           GUINT32_FROM_LE(req->sqe.cdw11) >> 24 != NVME_CSI_NVM;
}

static SnCtrlStatus fill(SnCtrlReq *req, uint8_t cns, uint8_t *page)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (is_csi_wrong(req, cns)) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw11) + 3, 0);
    }
    switch (cns) {
    case NVME_IDENTIFY_CNS_NS:
    case NVME_IDENTIFY_CNS_NS_DESC_LIST:
    case NVME_IDENTIFY_CNS_CSI_NS:
    case NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS:
    case NVME_IDENTIFY_CNS_ALLOCATED_NS:
    case NVME_IDENTIFY_CNS_NS_CTRL_LIST:
        return about_namespace(req, cns, page);
    case NVME_IDENTIFY_CNS_CTRL:
        identify_ctrl(ctrl, (struct nvme_id_ctrl *)page);
        return 0;
    case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
    case NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST:
    case NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST:
        if (nsid >= 0xfffffffe) {
            return SN_CTRL_INVALID_NS;
        }
        list_namespaces(ctrl, nsid, (uint32_t *)page);
        return 0;
    case NVME_IDENTIFY_CNS_NVMSET_LIST:
        return 0;               /* there are none */
    case NVME_IDENTIFY_CNS_CSI_CTRL:
        identify_nvm_ctrl(ctrl, (struct nvme_id_ctrl_nvm *)page);
        return 0;
    case NVME_IDENTIFY_CNS_CTRL_LIST:
        list_controllers(req, (uint16_t *)page);
        return 0;
    default:
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw10), 0);
    }
}

SnCtrlStatus sn_ctrl_admin_identify(SnCtrlReq *req)
{
    _Alignas(8) uint8_t page[PAGE] = { 0 };
    SnCtrlStatus status = fill(req, GUINT32_FROM_LE(req->sqe.cdw10) & 0xff,
                               page);

    return status ? status : sn_ctrl_data_put(req, page, sizeof(page));
}
