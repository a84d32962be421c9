/*
 * Identify Namespace (NVM Command Set 1.0 section 4.1.5): what the far side
 * says of its namespace, or what can be told of any disk.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

/*
 * NPWG, NPWA, NPDG, NPDA and NOWS are valid: one bit in NVMe 1.4. (Headers of
 * NVMe 2.1 have two for it, the second of which is reserved here.)
 */
#define NSFEAT_OPTPERF (1 << 4)

/*
 * DULBE would need the far side to be told by each guest, and again after each
 * reconnect: it is not offered (feature 05h).
 */
#define NSFEAT_KEPT \
    (NVME_NS_FEAT_THIN | NVME_NS_FEAT_NATOMIC | NVME_NS_FEAT_ID_REUSE | \
     NSFEAT_OPTPERF)

static void copy_far(const SnVolumeNvme *far, struct nvme_id_ns *id)
{
    uint64_t size = GUINT64_FROM_LE(id->nsze);

    id->nsfeat = far->nsfeat & NSFEAT_KEPT;
    id->nmic = far->nmic;
    id->rescap = far->rescap;
    id->fpi = far->fpi;
    id->dlfeat = far->dlfeat;
    id->nawun = GUINT16_TO_LE(far->nawun);
    id->nawupf = GUINT16_TO_LE(far->nawupf);
    id->nacwu = GUINT16_TO_LE(far->nacwu);
    id->nabsn = GUINT16_TO_LE(far->nabsn);
    id->nabo = GUINT16_TO_LE(far->nabo);
    id->nabspf = GUINT16_TO_LE(far->nabspf);
    id->noiob = GUINT16_TO_LE(far->noiob);
    id->npwg = GUINT16_TO_LE(far->npwg);
    id->npwa = GUINT16_TO_LE(far->npwa);
    id->npdg = GUINT16_TO_LE(far->npdg);
    id->npda = GUINT16_TO_LE(far->npda);
    id->nows = GUINT16_TO_LE(far->nows);
    id->ncap = GUINT64_TO_LE(MIN(far->ncap, size));
    id->nuse = GUINT64_TO_LE(MIN(far->nuse, far->ncap));
}

/* One less than that many blocks, as the fields have it. */
static uint16_t blocks_less_one(uint64_t bytes, uint32_t block_size)
{
    return bytes > block_size ? GUINT16_TO_LE(MIN(bytes / block_size - 1,
                                                  UINT16_MAX)) : 0;
}

static void derive(const SnVolumeInfo *info, struct nvme_id_ns *id)
{
    uint32_t bs = info->block_size;

    id->nsfeat = NSFEAT_OPTPERF;
    id->npwg = id->npwa = blocks_less_one(info->phys_block_size, bs);
    id->npdg = id->npda = blocks_less_one(info->discard_granularity, bs);
    /* A multiple of NPWG, so no less than that when it is not known. */
    id->nows = blocks_less_one(MAX(info->opt_io_size, info->phys_block_size),
                               bs);
    if (info->max_write_zeroes && info->max_discard) {
        id->dlfeat = NVME_NS_DLFEAT_WRITE_ZEROES;
    }
    if (info->max_compare_and_write) {
        /* NAWUN and NAWUPF are valid then, too: 0 is one block. */
        id->nsfeat |= NVME_NS_FEAT_NATOMIC;
        id->nacwu = blocks_less_one(info->max_compare_and_write, bs);
    }
    id->ncap = id->nuse = id->nsze;
}

void sn_ctrl_identify_ns(SnCtrlNs *ns, struct nvme_id_ns *id)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(ns);

    id->nsze = GUINT64_TO_LE(info->size / info->block_size);
    if (info->nvme.passthrough) {
        copy_far(&info->nvme, id);
    } else {
        derive(info, id);
    }
    if (info->read_only) {
        id->nsattr = NVME_NS_NSATTR_WRITE_PROTECTED;
    }
    memcpy(id->nguid, ns->nguid, sizeof(id->nguid));
    memcpy(id->eui64, ns->eui64, sizeof(id->eui64));
    id->lbaf[0].ds = __builtin_ctz(info->block_size);
}

void sn_ctrl_identify_ns_independent(SnCtrlNs *ns,
                                     struct nvme_id_independent_id_ns *id)
{
    const SnVolumeInfo *info = sn_ctrl_ns_info(ns);

    id->nsfeat = info->nvme.nsfeat & NVME_NS_FEAT_ID_REUSE;
    id->nmic = info->nvme.nmic;
    id->rescap = info->nvme.rescap;
    id->fpi = info->nvme.fpi;
    id->nsattr = info->read_only ? NVME_NS_NSATTR_WRITE_PROTECTED : 0;
    /* Ready; one whose path is lost is, too, as its commands just wait. */
    id->nstat = sn_volume_state(ns->vol) != SN_VOLUME_FAILED;
}
