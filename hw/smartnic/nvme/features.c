/*
 * Get and Set Features (NVMe Base 1.4 sections 5.9 and 5.21).
 *
 * Nothing is saved: a reset brings the defaults back, and what is asked for as
 * the saved value is the default (section 7.8).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_feature_set);

#define NSID_ALL 0xffffffffu
#define TIMESTAMP_MASK 0xffffffffffffULL        /* 48 bits */

enum {
    SEL_CURRENT, SEL_DEFAULT, SEL_SAVED, SEL_SUPPORTED,
};

enum {
    CAP_PER_NAMESPACE = 1 << 1, /* answers to SEL_SUPPORTED (figure 186) */
    CAP_CHANGEABLE = 1 << 2,
    SET_SAVE = 1u << 31,        /* CDW10 of Set Features */
    DULBE = 1 << 16,            /* CDW11 of feature 05h */
    HOST_ID_EXTENDED = 1 << 0,  /* CDW11 of feature 81h: 16 bytes, not 8 */
    ORIGIN_HOST = 1,            /* of the timestamp: Set Features */
    ORIGIN_SHIFT = 49,
    NOTICE_MASK = 7 << 1,       /* CDW11 of feature 82h: bits RNLPT */
};

/* Section 5.21.1: either a dword that is just kept, or functions. */
typedef struct Feature {
    bool known;
    bool per_namespace;
    uint32_t mask;              /* bits that are kept; 0: get() and set() */
    size_t offset;              /* of the dword in SnCtrlFeatures */
    /* Answers from @f, which holds the current values or the defaults. */
    SnCtrlStatus (*get)(SnCtrlReq *req, const SnCtrlFeatures *f);
    SnCtrlStatus (*set)(SnCtrlReq *req, SnCtrlFeatures *f);
    uint32_t refused;           /* bits that must not be set in it */
} Feature;

static void set_defaults(SnCtrl *ctrl, SnCtrlFeatures *f)
{
    uint32_t pairs = ctrl->config.queue_pairs - 1;

    *f = (SnCtrlFeatures){
        .arbitration = SN_CTRL_BURST,
        .temperature = { SN_CTRL_WARNING_TEMPERATURE, 0 },
        .write_cache = 1,
        .queues = pairs << 16 | pairs,
        .timestamp_at = sn_loop_now(ctrl->loop),
    };
}

void sn_ctrl_features_reset(SnCtrl *ctrl)
{
    set_defaults(ctrl, &ctrl->features);
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i]) {
            ctrl->ns[i]->error_recovery = 0;
            ctrl->ns[i]->notice_mask = 0;
        }
    }
}

bool sn_ctrl_write_through(const SnCtrl *ctrl)
{
    return ctrl->cache_untold || !ctrl->features.write_cache;
}

static uint32_t cdw11_of(const SnCtrlReq *req)
{
    return GUINT32_FROM_LE(req->sqe.cdw11);
}

static SnCtrlStatus bad_cdw11(SnCtrlReq *req, unsigned bit)
{
    return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw11) + bit / 8,
                             bit % 8);
}

/* ---- 04h: temperature threshold ---- */

/*
 * Which of the two thresholds is meant, or -1. There is the composite
 * temperature only; all sensors at once can be set.
 */
static int threshold(uint32_t cdw11, bool set)
{
    unsigned sensor = cdw11 >> 16 & 0xf;
    unsigned type = cdw11 >> 20 & 3;

    if (type > 1 || (sensor && !(set && sensor == 0xf))) {
        return -1;
    }
    return type;
}

static SnCtrlStatus get_temperature(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    int which = threshold(cdw11_of(req), false);

    if (which < 0) {
        return bad_cdw11(req, 16);
    }
    req->result = f->temperature[which];
    return 0;
}

static SnCtrlStatus set_temperature(SnCtrlReq *req, SnCtrlFeatures *f)
{
    int which = threshold(cdw11_of(req), true);

    if (which < 0) {
        return bad_cdw11(req, 16);
    }
    f->temperature[which] = cdw11_of(req) & 0xffff;
    return 0;
}

/* ---- 05h: error recovery, of a namespace ---- */

static SnCtrlStatus get_error_recovery(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, GUINT32_FROM_LE(req->sqe.nsid));

    if (!ns) {
        return SN_CTRL_INVALID_NS;      /* all at once is no question */
    }
    req->result = f == &req->ctrl->features ? ns->error_recovery : 0;
    return 0;
}

static SnCtrlStatus set_error_recovery(SnCtrlReq *req, SnCtrlFeatures *f)
{
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (cdw11_of(req) & DULBE) {        /* no namespace has it (NSFEAT) */
        return bad_cdw11(req, 16);
    }
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, i);

        if (ns && (nsid == i || nsid == NSID_ALL)) {
            ns->error_recovery = cdw11_of(req) & 0xffff;
        }
    }
    return 0;
}

/* ---- 06h: volatile write cache ---- */

static SnCtrlStatus get_write_cache(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    req->result = f->write_cache;
    return 0;
}

/*
 * Switched off, writes are stable from here on, and so is what is in the caches
 * when the command ends. One that fails leaves them off: that is the safe side.
 */
static SnCtrlStatus set_write_cache(SnCtrlReq *req, SnCtrlFeatures *f)
{
    f->write_cache = cdw11_of(req) & 1;
    return f->write_cache ? 0 : sn_ctrl_flush_all(req);
}

/* ---- 07h: number of queues ---- */

static SnCtrlStatus get_queues(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    req->result = f->queues;
    return 0;
}

/*
 * Section 5.21.1.7: before any I/O queue is made. What was granted once stays
 * until the next reset, whatever is asked for again.
 */
static SnCtrlStatus set_queues(SnCtrlReq *req, SnCtrlFeatures *f)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t most = ctrl->config.queue_pairs - 1;
    uint32_t sqs = cdw11_of(req) & 0xffff, cqs = cdw11_of(req) >> 16;

    if (sqs == 0xffff || cqs == 0xffff) {
        return bad_cdw11(req, sqs == 0xffff ? 0 : 16);
    }
    for (unsigned i = 1; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        if (ctrl->sqs[i] || ctrl->cqs[i]) {
            return SN_CTRL_GENERIC_DNR(NVME_SC_CMD_SEQ_ERROR);
        }
    }
    if (!f->queues_set) {
        f->queues = MIN(cqs, most) << 16 | MIN(sqs, most);
        f->queues_set = true;
    }
    req->result = f->queues;
    return 0;
}

/* ---- 09h: interrupt vector configuration ---- */

static SnCtrlStatus get_vector(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    uint16_t vector = cdw11_of(req);

    if (vector >= req->ctrl->config.vectors) {
        return bad_cdw11(req, 0);
    }
    req->result = vector | (uint32_t)f->coalescing_off[vector] << 16;
    return 0;
}

static SnCtrlStatus set_vector(SnCtrlReq *req, SnCtrlFeatures *f)
{
    uint16_t vector = cdw11_of(req);

    if (vector >= req->ctrl->config.vectors) {
        return bad_cdw11(req, 0);
    }
    f->coalescing_off[vector] = cdw11_of(req) >> 16 & 1;
    return 0;
}

/* ---- 0Eh: timestamp ---- */

/* Milliseconds since 1970, or since the reset while nobody has set them. */
static SnCtrlStatus get_timestamp(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    int64_t passed = sn_loop_now(req->ctrl->loop) - f->timestamp_at;
    uint64_t ms = f->timestamp + passed / SN_NS_PER_MS;
    uint64_t data = GUINT64_TO_LE((ms & TIMESTAMP_MASK) |
                                  (uint64_t)f->timestamp_origin
                                  << ORIGIN_SHIFT);

    return sn_ctrl_data_put(req, &data, sizeof(data));
}

static SnCtrlStatus set_timestamp(SnCtrlReq *req, SnCtrlFeatures *f)
{
    uint64_t data;
    SnCtrlStatus status = sn_ctrl_data_get(req, &data, sizeof(data));

    if (!status) {
        f->timestamp = GUINT64_FROM_LE(data) & TIMESTAMP_MASK;
        f->timestamp_at = sn_loop_now(req->ctrl->loop);
        f->timestamp_origin = ORIGIN_HOST;
    }
    return status;
}

/* ---- 81h: host identifier ---- */

static size_t host_id_size(const SnCtrlReq *req)
{
    return cdw11_of(req) & HOST_ID_EXTENDED ? 16 : 8;
}

static SnCtrlStatus get_host_id(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    return sn_ctrl_data_put(req, f->host_id, host_id_size(req));
}

/*
 * It is kept, no more: the far side knows the host by the identifier that the
 * card connected with.
 */
static SnCtrlStatus set_host_id(SnCtrlReq *req, SnCtrlFeatures *f)
{
    uint8_t id[sizeof(f->host_id)] = { 0 };
    SnCtrlStatus status = sn_ctrl_data_get(req, id, host_id_size(req));

    if (!status) {
        memcpy(f->host_id, id, sizeof(id));
    }
    return status;
}

/* ---- 82h, 83h: reservations of a namespace ---- */

/*
 * The one that is asked for; NULL and @status why not. All at once is no
 * question; one without reservations has none of this, nor has one that is not
 * active (section 6.1.5).
 */
static SnCtrlNs *reserved_ns(SnCtrlReq *req, SnCtrlStatus *status)
{
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);
    SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, nsid);

    if (ns && sn_ctrl_ns_has_reservations(ns)) {
        return ns;
    }
    *status = nsid != NSID_ALL && (!nsid || nsid > SN_CTRL_MAX_NSID)
              ? SN_CTRL_INVALID_NS
              : sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, nsid), 0);
    return NULL;
}

static SnCtrlStatus get_resv_mask(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    SnCtrlStatus status = 0;
    SnCtrlNs *ns = reserved_ns(req, &status);

    if (ns) {
        req->result = f == &req->ctrl->features ? ns->notice_mask : 0;
    }
    return status;
}

/* Pages that there are already stay. */
static SnCtrlStatus set_resv_mask(SnCtrlReq *req, SnCtrlFeatures *f)
{
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);
    SnCtrlStatus status = 0;

    if (cdw11_of(req) & ~NOTICE_MASK) {
        return bad_cdw11(req, __builtin_ctz(cdw11_of(req) & ~NOTICE_MASK));
    }
    if (nsid != NSID_ALL && !reserved_ns(req, &status)) {
        return status;
    }
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, i);

        if (ns && sn_ctrl_ns_has_reservations(ns) &&
            (nsid == i || nsid == NSID_ALL)) {
            ns->notice_mask = cdw11_of(req);
        }
    }
    return 0;
}

/* Persist Through Power Loss is a state of the far side's. */
static SnCtrlStatus get_resv_persist(SnCtrlReq *req, const SnCtrlFeatures *f)
{
    SnCtrlStatus status = 0;

    return reserved_ns(req, &status) ? sn_ctrl_pass_feature(req) : status;
}

static SnCtrlStatus set_resv_persist(SnCtrlReq *req, SnCtrlFeatures *f)
{
    SnCtrlStatus status = 0;
    bool all = GUINT32_FROM_LE(req->sqe.nsid) == NSID_ALL;

    return all || reserved_ns(req, &status) ? sn_ctrl_pass_feature(req)
                                            : status;
}

/* ---- all of them ---- */

#define DWORD(field, bits) \
    .known = true, .offset = offsetof(SnCtrlFeatures, field), .mask = bits
#define CODE(name) \
    .known = true, .get = get_##name, .set = set_##name

static const Feature features[256] = {
    [NVME_FEAT_FID_ARBITRATION] = { DWORD(arbitration, 0xffffff07) },
    /* PS: there is power state 0 only. */
    [NVME_FEAT_FID_POWER_MGMT] = { DWORD(power, 0xe0), .refused = 0x1f },
    [NVME_FEAT_FID_TEMP_THRESH] = { CODE(temperature) },
    [NVME_FEAT_FID_ERR_RECOVERY] = { CODE(error_recovery),
                                     .per_namespace = true },
    [NVME_FEAT_FID_VOLATILE_WC] = { CODE(write_cache) },
    [NVME_FEAT_FID_NUM_QUEUES] = { CODE(queues) },
    [NVME_FEAT_FID_IRQ_COALESCE] = { DWORD(coalescing, 0xffff) },
    [NVME_FEAT_FID_IRQ_CONFIG] = { CODE(vector) },
    [NVME_FEAT_FID_WRITE_ATOMIC] = { DWORD(atomicity, 1) },
    [NVME_FEAT_FID_ASYNC_EVENT] = { DWORD(events,
                                          0xff | NVME_CTRL_OAES_NA) },
    [NVME_FEAT_FID_TIMESTAMP] = { CODE(timestamp) },
    [NVME_FEAT_FID_HOST_ID] = { CODE(host_id) },
    [NVME_FEAT_FID_RESV_MASK] = { CODE(resv_mask), .per_namespace = true },
    [NVME_FEAT_FID_RESV_PERSIST] = { CODE(resv_persist),
                                     .per_namespace = true },
};

/* Whether there is what the feature is about. */
static bool is_supported(SnCtrl *ctrl, uint8_t fid)
{
    switch (fid) {
    case NVME_FEAT_FID_VOLATILE_WC:     /* section 5.21.1.6 */
        return sn_ctrl_has_write_cache(ctrl);
    case NVME_FEAT_FID_RESV_MASK:
    case NVME_FEAT_FID_RESV_PERSIST:
        return sn_ctrl_has_reservations(ctrl);
    default:
        return features[fid].known;
    }
}

/* The feature that CDW10 names; NULL: there is none. */
static const Feature *feature_of(SnCtrlReq *req)
{
    uint8_t fid = GUINT32_FROM_LE(req->sqe.cdw10);

    return is_supported(req->ctrl, fid) ? &features[fid] : NULL;
}

SnCtrlStatus sn_ctrl_admin_get_features(SnCtrlReq *req)
{
    const Feature *feature = feature_of(req);
    unsigned sel = GUINT32_FROM_LE(req->sqe.cdw10) >> 8 & 7;
    SnCtrlFeatures defaults;
    const SnCtrlFeatures *from = &req->ctrl->features;

    if (!feature) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw10), 0);
    }
    if (sel > SEL_SUPPORTED) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw10) + 1, 0);
    }
    if (sel == SEL_SUPPORTED) {
        req->result = CAP_CHANGEABLE |
                      (feature->per_namespace ? CAP_PER_NAMESPACE : 0);
        return 0;
    }
    if (sel != SEL_CURRENT) {
        set_defaults(req->ctrl, &defaults);
        from = &defaults;
    }
    if (feature->mask) {
        req->result = *(const uint32_t *)((const char *)from +
                                          feature->offset);
        return 0;
    }
    return feature->get(req, from);
}

/* Section 5.21, and 6.1.5 on what an NSID may be. */
static SnCtrlStatus check_nsid(SnCtrlReq *req, const Feature *feature)
{
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (nsid == NSID_ALL || (!nsid && !feature->per_namespace)) {
        return 0;
    }
    if (!nsid || nsid > SN_CTRL_MAX_NSID) {
        return SN_CTRL_INVALID_NS;
    }
    if (!feature->per_namespace) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_FEATURE_NOT_PER_NS);
    }
    return sn_ctrl_ns(req->ctrl, nsid)
           ? 0 : sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, nsid), 0);
}

static SnCtrlStatus set(SnCtrlReq *req, const Feature *feature)
{
    SnCtrlFeatures *f = &req->ctrl->features;
    uint32_t value = cdw11_of(req);

    if (!feature->mask) {
        return feature->set(req, f);
    }
    if (value & feature->refused) {
        return bad_cdw11(req, __builtin_ctz(feature->refused));
    }
    *(uint32_t *)((char *)f + feature->offset) = value & feature->mask;
    return 0;
}

SnCtrlStatus sn_ctrl_admin_set_features(SnCtrlReq *req)
{
    const Feature *feature = feature_of(req);
    uint32_t cdw10 = GUINT32_FROM_LE(req->sqe.cdw10);
    uint8_t fid = cdw10;
    SnCtrlStatus status;

    if (!feature) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw10), 0);
    }
    if (cdw10 & SET_SAVE) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_FEATURE_NOT_SAVEABLE);
    }
    status = check_nsid(req, feature);
    if (!status) {
        status = set(req, feature);
    }
    sn_trace(nvme_feature_set, "id=%s fid=0x%02x value=0x%08x status=0x%04x",
             req->ctrl->id, fid, cdw11_of(req), status);
    if (!status && (fid == NVME_FEAT_FID_TEMP_THRESH ||
                    fid == NVME_FEAT_FID_ASYNC_EVENT)) {
        sn_ctrl_smart_check(req->ctrl);
    }
    return status;
}
