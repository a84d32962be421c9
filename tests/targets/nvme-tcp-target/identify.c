/*
 * What Identify returns (NVMe Base section 5.17, NVM Command Set section
 * 4.1.5).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "admin.h"
#include "controller.h"
#include "namespace.h"

#define PAGE 4096
#define CQT_OFFSET 386          /* of Base 2.1, figure 312 */
#define CNS_IOCS_PROFILES 0x1c

/* Attributes that are not in this version of libnvme, or by bit only. */
enum {
    CTRATT_HOSTID_128 = 1 << 0,
    CTRATT_TBKAS = 1 << 6,
    OAES_NS_ATTR = 1 << 8,
    SGLS_SUPPORTED = 1 << 0,
    SGLS_OFFSET = 1 << 20,
    VWC_PRESENT = 1 << 0,
    VWC_FLUSH_ALL = 3 << 1,     /* Flush with NSID FFFFFFFFh is supported */
    LPA_EXTENDED = 1 << 2,      /* offsets and long transfers */
    LPA_EFFECTS = 1 << 1,
    ONCS = NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_WRITE_UNCORRECTABLE |
           NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES |
           NVME_CTRL_ONCS_RESERVATIONS | NVME_CTRL_ONCS_VERIFY,
    RESCAP_ALL = 0xff,          /* all types, PTPL, IEKEY as of 1.3 */
    DLFEAT_ZEROES = 1,          /* deallocated blocks read as zeroes */
    DLFEAT_WRITE_ZEROES = 1 << 3,
    NSTAT_READY = 1 << 0,
    OFCS_DISCONNECT = 1 << 0,
};

/* Text fields are padded with spaces. */
static void set_text(char *to, size_t size, const char *text)
{
    memset(to, ' ', size);
    memcpy(to, text, MIN(strlen(text), size));
}

/* A serial number that is the same after a restart. */
static void set_serial(char *to, size_t size)
{
    char text[24];
    uint32_t hash = 5381;

    for (const char *c = options.nqn; *c; c++) {
        hash = hash * 33 + (uint8_t)*c;
    }
    snprintf(text, sizeof(text), "NATIVE%08X", hash);
    set_text(to, size, text);
}

static unsigned log2_of(uint64_t value)
{
    return value ? 63 - __builtin_clzll(value) : 0;
}

/* What only I/O controllers have. */
static void fill_io_ctrl(struct nvme_id_ctrl *id)
{
    uint16_t cqt = options.cqt;

    id->cntrltype = NVME_CTRL_CNTRLTYPE_IO;
    id->cmic = NVME_CTRL_CMIC_MULTI_CTRL;
    id->oacs = NVME_CTRL_OACS_LBA_STATUS;
    id->mdts = options.mdts ? log2_of(options.mdts / PAGE) : 0;
    id->oaes = OAES_NS_ATTR;
    id->acl = 3;
    id->frmw = 1 << 1 | 1;      /* one slot, read only */
    id->sqes = 6 << 4 | 6;
    id->cqes = 4 << 4 | 4;
    id->nn = NS_MAX;
    id->mnan = NS_MAX;
    id->oncs = ONCS;
    id->vwc = VWC_PRESENT | VWC_FLUSH_ALL;
    id->ioccsz = (sizeof(Sqe) + options.inline_size) / 16;
    id->iorcsz = sizeof(Cqe) / 16;
    id->ofcs = OFCS_DISCONNECT;
    memcpy((uint8_t *)id + CQT_OFFSET, &cqt, sizeof(cqt));
}

static void fill_ctrl(const Ctrl *ctrl, void *page)
{
    struct nvme_id_ctrl *id = page;

    set_serial(id->sn, sizeof(id->sn));
    set_text(id->mn, sizeof(id->mn), "smartnic native target");
    set_text(id->fr, sizeof(id->fr), "1");
    id->cntlid = ctrl->cntlid;
    id->ver = 0x00020000;
    id->ctratt = CTRATT_HOSTID_128 | CTRATT_TBKAS;
    id->lpa = LPA_EXTENDED | LPA_EFFECTS;
    id->aerl = EVENTS_MAX - 1;
    id->kas = 1;                /* units of 100 ms */
    id->maxcmd = options.queue_size;
    id->sgls = SGLS_SUPPORTED | SGLS_OFFSET;
    id->msdbd = 1;
    if (ctrl->discovery) {
        id->cntrltype = NVME_CTRL_CNTRLTYPE_DISCOVERY;
        strcpy(id->subnqn, DISCOVERY_NQN);
    } else {
        strncpy(id->subnqn, options.nqn, sizeof(id->subnqn) - 1);
        fill_io_ctrl(id);
    }
}

static void fill_ns(const Ns *ns, void *page)
{
    struct nvme_id_ns *id = page;

    id->nsze = id->ncap = id->nuse = ns->size >> ns->shift;
    id->dlfeat = DLFEAT_ZEROES | DLFEAT_WRITE_ZEROES;
    id->nmic = NVME_NS_NMIC_SHARED;
    id->rescap = RESCAP_ALL;
    memcpy(id->nguid, ns->uuid, sizeof(id->nguid));
    id->lbaf[0].ds = ns->shift;
}

static void fill_descriptors(const Ns *ns, void *page)
{
    uint8_t *at = page;
    const struct {
        uint8_t type, len;
        const void *value;
    } list[] = {
        { NVME_NIDT_UUID, 16, ns->uuid },
        { NVME_NIDT_NGUID, 16, ns->uuid },
        { NVME_NIDT_CSI, 1, "\0" },             /* NVM command set */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
        at[0] = list[i].type;
        at[1] = list[i].len;
        memcpy(at + 4, list[i].value, list[i].len);
        at += 4 + list[i].len;
    }
}

static void fill_active_list(void *page, uint32_t after)
{
    uint32_t *list = page;

    for (uint32_t nsid = 1; nsid <= NS_MAX; nsid++) {
        if (nsid > after && ns_find(nsid)) {
            *list++ = nsid;
        }
    }
}

/* Pages that need a namespace; false when @cns is none of them. */
static bool identify_ns(unsigned cns, const Ns *ns, uint8_t *page)
{
    switch (cns) {
    case NVME_IDENTIFY_CNS_NS:
        fill_ns(ns, page);
        return true;
    case NVME_IDENTIFY_CNS_NS_DESC_LIST:
        fill_descriptors(ns, page);
        return true;
    case NVME_IDENTIFY_CNS_CSI_NS:
        return true;            /* nothing of it is used */
    case NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS:
        ((struct nvme_id_independent_id_ns *)page)->nstat = NSTAT_READY;
        return true;
    default:
        return false;
    }
}

/* Pages about the controller; false when @cns is none of them. */
static bool identify_ctrl(unsigned cns, const Request *r, uint8_t *page)
{
    const Ctrl *ctrl = r->conn->ctrl;

    switch (cns) {
    case NVME_IDENTIFY_CNS_CTRL:
        fill_ctrl(ctrl, page);
        return true;
    case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
        fill_active_list(page, r->sqe.nsid);
        return !ctrl->discovery;
    case NVME_IDENTIFY_CNS_CSI_CTRL:            /* no limits besides MDTS */
        return !ctrl->discovery;
    case CNS_IOCS_PROFILES:
        page[0] = 1;                            /* NVM alone */
        return !ctrl->discovery;
    default:
        return false;
    }
}

void identify(Request *r)
{
    static const uint8_t nothing[PAGE];
    _Alignas(8) uint8_t page[PAGE] = { 0 };
    unsigned cns = r->sqe.cdw10 & 0xff, csi = r->sqe.cdw11 >> 24;
    bool all = r->sqe.nsid == NSID_ALL && cns == NVME_IDENTIFY_CNS_NS;
    const Ns *ns = ns_find(r->sqe.nsid);
    unsigned status = 0;

    if (csi && (cns == NVME_IDENTIFY_CNS_CSI_NS ||
                cns == NVME_IDENTIFY_CNS_CSI_CTRL)) {
        status = STATUS_IO(NVME_SC_INVALID_FIELD);
    } else if (all) {
        fill_ns(&(Ns){ .shift = 9 }, page);     /* what all have in common */
    } else if (!identify_ctrl(cns, r, page)) {
        if (r->conn->ctrl->discovery ||
            !identify_ns(cns, ns ? ns : &(Ns){ 0 }, page)) {
            status = STATUS_IO(NVME_SC_INVALID_FIELD);
        } else if (r->sqe.nsid == 0 || r->sqe.nsid > NS_MAX) {
            status = STATUS_IO(NVME_SC_INVALID_NS);
        } else if (!ns && cns != NVME_IDENTIFY_CNS_NS) {
            status = STATUS_IO(NVME_SC_INVALID_NS);
        } else if (!ns) {
            memcpy(page, nothing, sizeof(page));        /* is not attached */
        }
    }
    if (status) {
        answer(r, status | STATUS_DNR);
    } else {
        answer_copy(r, page, sizeof(page));
    }
}
