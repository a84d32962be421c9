/*
 * Bringing an association up: one step after the other (NVMe over Fabrics 1.1
 * section 3.3 and 4, NVMe Base 2.0 section 3.5.2).
 *
 * What a target refuses is told and tried again: its administrator may be
 * about to put it right, and a guest waits rather than seeing an error. Only a
 * namespace that we cannot use, whatever happens, is final.
 *
 * Its descriptors are optional for targets that do not have them, and for no
 * others: with an identifier that was missing when it was connected first, it
 * would be another disk after the next loss.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

#include "status.h"

#define CC_IOSQES 6             /* 64 bytes */
#define CC_IOCQES 4             /* 16 bytes */
#define HOST_BEHAVIOR_SIZE 512

typedef struct Step {
    const char *name;           /* goes on "... took longer", "while ..." */
    void (*begin)(SnNvmeAssoc *a);
    /* The response, which says success; the next step follows if true. */
    bool (*answer)(SnNvmeAssoc *a, const SnNvmeCqe *cqe);
    bool optional;              /* a refusal does not matter */
    bool (*needed)(const SnNvmeAssoc *a);       /* NULL: always */
    bool insist;                /* one that may pass does matter */
} Step;

static const Step steps[SN_NVME_ASSOC_STATES];

const char *sn_nvmetcp_bring_up_name(const SnNvmeAssoc *a)
{
    return steps[a->state].name;
}

void sn_nvmetcp_bring_up_step(SnNvmeAssoc *a)
{
    steps[a->state].begin(a);
}

void sn_nvmetcp_bring_up_next(SnNvmeAssoc *a)
{
    SnNvmeAssocState next = a->state + 1;

    while (steps[next].needed && !steps[next].needed(a)) {
        next++;
    }
    sn_nvmetcp_assoc_set_state(a, next);
}

/* Whether the step can be done without, as it is refused with @cqe. */
static bool can_do_without(const Step *step, const SnNvmeCqe *cqe)
{
    return step->optional &&
           (!step->insist || sn_nvme_status_not_offered(cqe));
}

/* The answer to the command of any step. */
static void step_done(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    const Step *step = &steps[a->state];
    unsigned status = sn_nvme_status(cqe);

    if (a->state == SN_NVME_ASSOC_FAILED) {
        return;
    }
    if (status && !can_do_without(step, cqe)) {
        a->discovery.wanted = a->state == SN_NVME_ASSOC_CONNECT &&
                              sn_nvme_connect_unknown_nqn(cqe);
        sn_nvmetcp_assoc_fail(a, false, "%s failed: %s (status 0x%03x)",
                              step->name,
                              a->state == SN_NVME_ASSOC_CONNECT ?
                              sn_nvme_connect_text(cqe) :
                              sn_nvme_status_text(status), status);
        return;
    }
    if (status || step->answer(a, cqe)) {
        sn_nvmetcp_bring_up_next(a);
    }
}

static void open_admin(SnNvmeAssoc *a)
{
    a->admin = sn_nvmetcp_assoc_open_queue(a, 0);
}

/* The request of a Connect command, with its data in a->data. */
static SnNvmeRequest connect_request(SnNvmeAssoc *a, uint16_t qid,
                                     uint16_t size)
{
    const SnNvmeTcpOptions *o = a->options;
    struct nvmf_connect_data *data = (void *)a->data;
    SnNvmeRequest req = {
        .sqe = {
            .opcode = nvme_admin_fabrics,
            .nsid = GUINT32_TO_LE(nvme_fabrics_type_connect),
            .cdw10 = GUINT32_TO_LE((uint32_t)qid << 16),
            .cdw11 = GUINT32_TO_LE(size - 1u),
        },
        .dir = SN_NVME_OUT,
        .iov = &a->data_iov,
        .len = sizeof(*data),
        .opaque = a,
    };

    if (qid) {
        /*
         * We never have more commands in flight than fit, so the queue head
         * need not be told, and reads can end without a response capsule.
         */
        req.sqe.cdw11 |= GUINT32_TO_LE(SN_NVME_CONNECT_NO_SQ_FLOW << 16);
    } else if (!a->discovery.on) {
        /* A discovery controller is left again before that could matter. */
        req.sqe.cdw12 = GUINT32_TO_LE(o->keep_alive * 1000);
    }
    memset(data, 0, sizeof(*data));
    memcpy(data->hostid, o->hostid, sizeof(data->hostid));
    data->cntlid = GUINT16_TO_LE(a->cntlid);
    g_strlcpy(data->subsysnqn, a->discovery.on ? SN_NVMETCP_DISCOVERY_NQN
                                               : o->subsysnqn,
              sizeof(data->subsysnqn));
    g_strlcpy(data->hostnqn, o->hostnqn, sizeof(data->hostnqn));
    return req;
}

static void connect_admin(SnNvmeAssoc *a)
{
    SnNvmeRequest req;

    a->cntlid = SN_NVME_CNTLID_DYNAMIC;
    req = connect_request(a, 0, SN_NVMETCP_ADMIN_SIZE);
    sn_nvmetcp_assoc_admin(a, &req.sqe, req.dir, req.len, step_done);
}

static bool connected(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    a->cntlid = GUINT32_FROM_LE(cqe->dw0);
    return true;
}

static void get_property(SnNvmeAssoc *a, uint32_t offset, bool is_64_bit)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_fabrics,
        .nsid = GUINT32_TO_LE(nvme_fabrics_type_property_get),
        .cdw10 = GUINT32_TO_LE(is_64_bit),
        .cdw11 = GUINT32_TO_LE(offset),
    };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, step_done);
}

static void get_cap(SnNvmeAssoc *a)
{
    get_property(a, NVME_REG_CAP, true);
}

static bool got_cap(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    unsigned mqes;

    a->ctrl.cap = (uint64_t)GUINT32_FROM_LE(cqe->dw1) << 32 |
                  GUINT32_FROM_LE(cqe->dw0);
    mqes = NVME_CAP_MQES(a->ctrl.cap);
    if (!mqes) {
        sn_nvmetcp_assoc_fail(a, false, "the target's CAP.MQES is 0");
        return false;
    }
    a->queue_size = MIN(a->options->queue_size, mqes + 1);
    return true;
}

SnNvmeRequest sn_nvmetcp_set_cc(SnNvmeAssoc *a, uint32_t cc)
{
    return (SnNvmeRequest){
        .sqe = {
            .opcode = nvme_admin_fabrics,
            .nsid = GUINT32_TO_LE(nvme_fabrics_type_property_set),
            .cdw11 = GUINT32_TO_LE(NVME_REG_CC),
            .cdw12 = GUINT32_TO_LE(cc),
        },
        .dir = SN_NVME_NO_DATA,
        .opaque = a,
    };
}

static void enable(SnNvmeAssoc *a)
{
    uint32_t mps = NVME_CAP_MPSMIN(a->ctrl.cap);
    SnNvmeRequest req;

    a->cc = NVME_CC_EN_MASK << NVME_CC_EN_SHIFT | mps << NVME_CC_MPS_SHIFT |
            CC_IOSQES << NVME_CC_IOSQES_SHIFT |
            CC_IOCQES << NVME_CC_IOCQES_SHIFT;
    req = sn_nvmetcp_set_cc(a, a->cc);
    sn_nvmetcp_assoc_admin(a, &req.sqe, req.dir, 0, step_done);
}

static bool enabled(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    if (!a->discovery.on) {
        sn_nvmetcp_watch_keep_alive(a);
    }
    return true;
}

static void get_csts(SnNvmeAssoc *a)
{
    get_property(a, NVME_REG_CSTS, false);
}

static bool got_csts(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    uint32_t csts = GUINT32_FROM_LE(cqe->dw0);

    if (NVME_CSTS_CFS(csts)) {
        sn_nvmetcp_assoc_fail(a, false, "the controller reports a fatal "
                              "status (CSTS.CFS)");
        return false;
    }
    if (!NVME_CSTS_RDY(csts)) {
        sn_timer_arm_in(a->config.loop, a->poll_timer, 20 * SN_NS_PER_MS);
        return false;
    }
    return true;
}

void sn_nvmetcp_identify(SnNvmeAssoc *a, uint8_t cns, uint32_t nsid,
                         SnNvmeDone *done)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_identify,
        .nsid = GUINT32_TO_LE(nsid),
        .cdw10 = GUINT32_TO_LE(cns),
    };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_IN, NVME_IDENTIFY_DATA_SIZE,
                           done);
}

void sn_nvmetcp_get_log(SnNvmeAssoc *a, uint8_t lid, uint8_t lsp,
                        uint64_t offset, uint32_t len, SnNvmeDone *done)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_get_log_page,
        .nsid = lid == NVME_LOG_LID_DISCOVER ? 0
                                             : GUINT32_TO_LE(NVME_NSID_ALL),
        .cdw10 = GUINT32_TO_LE(lid | (uint32_t)lsp << 8 | (len / 4 - 1) << 16),
        .cdw12 = GUINT32_TO_LE((uint32_t)offset),
        .cdw13 = GUINT32_TO_LE((uint32_t)(offset >> 32)),
    };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_IN, len, done);
}

static bool is_discovery(const SnNvmeAssoc *a)
{
    return a->discovery.on;
}

static void discover(SnNvmeAssoc *a)
{
    sn_nvmetcp_discovery_read(a, step_done);
}

/* The end is an end of the association: there is no step after it. */
static bool discovered(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    sn_nvmetcp_discovery_take(a, step_done);
    return false;
}

static void identify_ctrl(SnNvmeAssoc *a)
{
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_CTRL, 0, step_done);
}

static bool got_ctrl(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    const char *why;

    if (!sn_nvme_parse_ctrl(&a->ctrl, (void *)a->data, &why)) {
        sn_nvmetcp_assoc_fail(a, false, "the target's Identify Controller "
                              "data: %s", why);
        return false;
    }
    if (!a->ctrl.kas) {
        sn_timer_disarm(a->config.loop, a->keep_alive_timer);
    }
    return true;
}

static void identify_limits(SnNvmeAssoc *a)
{
    /* CSI 0, the NVM command set, in dword 11. */
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_CSI_CTRL, 0, step_done);
}

static bool got_limits(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    sn_nvme_parse_limits(&a->ctrl, (void *)a->data);
    return true;
}

static void identify_ns(SnNvmeAssoc *a)
{
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS, a->options->nsid, step_done);
}

bool sn_nvmetcp_take_namespace(SnNvmeAssoc *a, SnVolumeInfo *info,
                               bool absent_is_final)
{
    const struct nvme_id_ns *id = (void *)a->data;
    g_autofree char *why = NULL;
    SnNvmeNsResult result = sn_nvme_parse_ns(info, &a->ctrl, id, &why);

    if (result != SN_NVME_NS_GOOD) {
        bool final = absent_is_final || result == SN_NVME_NS_UNUSABLE;

        sn_nvmetcp_assoc_fail(a, final, "namespace %u of the target: %s",
                              a->options->nsid, why);
        return false;
    }
    if (a->options->ddgst) {
        info->max_transfer = MIN(info->max_transfer,
                                 SN_NVMETCP_DDGST_TRANSFER);
    }
    a->ana_group = GUINT32_FROM_LE(id->anagrpid);
    return true;
}

static bool got_ns(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    return sn_nvmetcp_take_namespace(a, &a->info, false);
}

static void identify_descs(SnNvmeAssoc *a)
{
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS_DESC_LIST, a->options->nsid,
                        step_done);
}

bool sn_nvmetcp_take_descs(SnNvmeAssoc *a, SnVolumeInfo *info)
{
    unsigned csi = sn_nvme_parse_ns_descs(info, a->data, sizeof(a->data));

    if (csi != NVME_CSI_NVM) {
        sn_nvmetcp_assoc_fail(a, true, "namespace %u of the target: it is %s "
                              "(command set %u)", a->options->nsid,
                              csi == NVME_CSI_ZNS ? "zoned" :
                              csi == NVME_CSI_KV ? "a key value store" :
                              "no block device", csi);
        return false;
    }
    return true;
}

static bool got_descs(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    return sn_nvmetcp_take_descs(a, &a->info);
}

static bool has_ana(const SnNvmeAssoc *a)
{
    return a->ctrl.ana && a->ana_group;
}

static void read_ana(SnNvmeAssoc *a)
{
    sn_nvmetcp_ana_begin(a, step_done);
}

static bool got_ana(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    return sn_nvmetcp_ana_take(a, step_done) && sn_nvmetcp_ana_check(a);
}

static bool has_retry_delays(const SnNvmeAssoc *a)
{
    return a->ctrl.crdt[0] || a->ctrl.crdt[1] || a->ctrl.crdt[2];
}

/* Host Behavior Support: ACRE, without which there are no delays. */
static void set_behavior(SnNvmeAssoc *a)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_set_features,
        .cdw10 = GUINT32_TO_LE(NVME_FEAT_FID_HOST_BEHAVIOR),
    };

    memset(a->data, 0, HOST_BEHAVIOR_SIZE);
    a->data[0] = 1;
    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_OUT, HOST_BEHAVIOR_SIZE,
                           step_done);
}

static void set_feature(SnNvmeAssoc *a, uint8_t fid, uint32_t value)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_set_features,
        .cdw10 = GUINT32_TO_LE(fid),
        .cdw11 = GUINT32_TO_LE(value),
    };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, step_done);
}

static void set_events(SnNvmeAssoc *a)
{
    uint32_t events = NVME_FEATURE_AENCFG_NOTICE_NAMESPACE_ATTRIBUTES;

    if (has_ana(a)) {
        events |= NVME_FEATURE_AENCFG_NOTICE_ANA_CHANGE;
    }
    set_feature(a, NVME_FEAT_FID_ASYNC_EVENT, a->ctrl.events & events);
}

static bool feature_set(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    return true;
}

static void set_num_queues(SnNvmeAssoc *a)
{
    uint32_t n = a->options->queues - 1;

    set_feature(a, NVME_FEAT_FID_NUM_QUEUES, n << 16 | n);
}

static bool num_queues_set(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    uint32_t granted = GUINT32_FROM_LE(cqe->dw0);
    unsigned n = MIN(granted & 0xffff, granted >> 16) + 1;

    /* For open_io(), which the next step begins with. */
    a->info.queues = MIN(n, a->options->queues);
    return true;
}

static void open_io(SnNvmeAssoc *a)
{
    while (a->num_io < a->info.queues) {
        a->io[a->num_io] = sn_nvmetcp_assoc_open_queue(a, a->num_io + 1);
        a->num_io++;
    }
}

static void io_connected(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;

    if (a->state == SN_NVME_ASSOC_FAILED) {
        return;
    }
    if (sn_nvme_status(cqe)) {
        sn_nvmetcp_assoc_fail(a, false, "connecting an I/O queue failed: %s "
                              "(status 0x%03x)", sn_nvme_connect_text(cqe),
                              sn_nvme_status(cqe));
        return;
    }
    if (++a->num_up == a->num_io) {
        a->info.queue_depth = sn_nvmetcp_assoc_io_depth(a) * a->num_io;
        sn_nvmetcp_bring_up_next(a);
    }
}

void sn_nvmetcp_bring_up_connect(SnNvmeAssoc *a, SnNvmeQueue *q)
{
    SnNvmeRequest req = connect_request(a, sn_nvmetcp_queue_id(q),
                                        a->queue_size);

    req.done = io_connected;
    if (!sn_nvmetcp_queue_send(q, &req)) {
        sn_nvmetcp_assoc_fail(a, false, "an I/O queue is stuck");
        return;
    }
    sn_nvmetcp_queue_push(q);
}

static const Step steps[SN_NVME_ASSOC_STATES] = {
    [SN_NVME_ASSOC_ADMIN_QUEUE] = { "connecting", open_admin },
    [SN_NVME_ASSOC_CONNECT] = { "Fabrics Connect", connect_admin, connected },
    [SN_NVME_ASSOC_CAP] = { "reading CAP", get_cap, got_cap },
    [SN_NVME_ASSOC_ENABLE] = { "enabling the controller", enable, enabled },
    [SN_NVME_ASSOC_WAIT_READY] = { "waiting for CSTS.RDY", get_csts,
                                   got_csts },
    [SN_NVME_ASSOC_DISCOVER] = { "reading the discovery log", discover,
                                 discovered, .needed = is_discovery },
    [SN_NVME_ASSOC_IDENTIFY_CTRL] = { "Identify Controller", identify_ctrl,
                                      got_ctrl },
    [SN_NVME_ASSOC_LIMITS] = { "identifying limits", identify_limits,
                               got_limits, true },
    [SN_NVME_ASSOC_IDENTIFY_NS] = { "Identify Namespace", identify_ns,
                                    got_ns },
    [SN_NVME_ASSOC_IDENTIFY_DESCS] = { "identifying the namespace",
                                       identify_descs, got_descs, true,
                                       .insist = true },
    [SN_NVME_ASSOC_ANA] = { "reading the ANA log", read_ana, got_ana, true,
                            has_ana },
    [SN_NVME_ASSOC_RETRY_DELAYS] = { "asking for retry delays", set_behavior,
                                     feature_set, true, has_retry_delays },
    [SN_NVME_ASSOC_EVENTS] = { "asking for events", set_events, feature_set,
                               true },
    [SN_NVME_ASSOC_NUM_QUEUES] = { "asking for queues", set_num_queues,
                                   num_queues_set },
    [SN_NVME_ASSOC_IO_QUEUES] = { "connecting I/O queues", open_io },
    [SN_NVME_ASSOC_FENCE] = { "waiting for writes of the lost connection",
                              sn_nvmetcp_fence_begin },
    [SN_NVME_ASSOC_READY] = { "reading what has changed" },
};
