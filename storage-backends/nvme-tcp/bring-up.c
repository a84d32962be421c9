/*
 * Bringing an association up: one step after the other (NVMe over Fabrics 1.1
 * section 3.3 and 4, NVMe Base 2.0 section 3.5.2).
 *
 * What a target refuses is told and tried again: its administrator may be
 * about to put it right, and a guest waits rather than seeing an error. Only a
 * namespace that we cannot use, whatever happens, is final.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

#include "status.h"

#define CC_IOSQES 6             /* 64 bytes */
#define CC_IOCQES 4             /* 16 bytes */

typedef struct Step {
    const char *name;           /* goes on "... took longer", "while ..." */
    void (*begin)(SnNvmeAssoc *a);
    /* The response, which says success; the next step follows if true. */
    bool (*answer)(SnNvmeAssoc *a, const SnNvmeCqe *cqe);
    bool optional;              /* a refusal does not matter */
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

/* The answer to the command of any step. */
static void step_done(void *opaque, const SnNvmeCqe *cqe)
{
    SnNvmeAssoc *a = opaque;
    const Step *step = &steps[a->state];
    unsigned status = sn_nvme_status(cqe);

    if (a->state == SN_NVME_ASSOC_FAILED) {
        return;
    }
    if (status && !step->optional) {
        sn_nvmetcp_assoc_fail(a, false, "%s failed: %s (status 0x%03x)",
                              step->name,
                              a->state == SN_NVME_ASSOC_CONNECT ?
                              sn_nvme_connect_text(cqe) :
                              sn_nvme_status_text(status), status);
        return;
    }
    if (status || step->answer(a, cqe)) {
        sn_nvmetcp_assoc_set_state(a, a->state + 1);
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
    } else {
        req.sqe.cdw12 = GUINT32_TO_LE(o->keep_alive * 1000);
    }
    memset(data, 0, sizeof(*data));
    memcpy(data->hostid, o->hostid, sizeof(data->hostid));
    data->cntlid = GUINT16_TO_LE(a->cntlid);
    g_strlcpy(data->subsysnqn, o->subsysnqn, sizeof(data->subsysnqn));
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

static void enable(SnNvmeAssoc *a)
{
    uint32_t mps = NVME_CAP_MPSMIN(a->ctrl.cap);
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_fabrics,
        .nsid = GUINT32_TO_LE(nvme_fabrics_type_property_set),
        .cdw11 = GUINT32_TO_LE(NVME_REG_CC),
        .cdw12 = GUINT32_TO_LE(NVME_CC_EN_MASK << NVME_CC_EN_SHIFT |
                               mps << NVME_CC_MPS_SHIFT |
                               CC_IOSQES << NVME_CC_IOSQES_SHIFT |
                               CC_IOCQES << NVME_CC_IOCQES_SHIFT),
    };

    sn_nvmetcp_assoc_admin(a, &sqe, SN_NVME_NO_DATA, 0, step_done);
}

static bool enabled(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    sn_nvmetcp_watch_keep_alive(a);
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

static void identify_ns(SnNvmeAssoc *a)
{
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS, a->options->nsid, step_done);
}

bool sn_nvmetcp_take_namespace(SnNvmeAssoc *a)
{
    const char *why = NULL;
    SnVolumeInfo info;
    SnNvmeNsResult result = sn_nvme_parse_ns(&info, &a->ctrl,
                                             (void *)a->data, &why);

    if (result != SN_NVME_NS_GOOD) {
        sn_nvmetcp_assoc_fail(a, result == SN_NVME_NS_UNUSABLE,
                              "namespace %u of the target: %s",
                              a->options->nsid, why);
        return false;
    }
    if (a->options->ddgst) {
        info.max_transfer = MIN(info.max_transfer, SN_NVMETCP_DDGST_TRANSFER);
    }
    a->info = info;
    return true;
}

static bool got_ns(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    return sn_nvmetcp_take_namespace(a);
}

static void identify_descs(SnNvmeAssoc *a)
{
    sn_nvmetcp_identify(a, NVME_IDENTIFY_CNS_NS_DESC_LIST, a->options->nsid,
                        step_done);
}

static bool got_descs(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
{
    sn_nvme_parse_ns_descs(&a->info, a->data, sizeof(a->data));
    return true;
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
    set_feature(a, NVME_FEAT_FID_ASYNC_EVENT, a->ctrl.ns_events ?
                NVME_FEATURE_AENCFG_NOTICE_NAMESPACE_ATTRIBUTES : 0);
}

static bool events_set(SnNvmeAssoc *a, const SnNvmeCqe *cqe)
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

static void become_ready(SnNvmeAssoc *a)
{
    a->info.queue_depth = sn_nvmetcp_assoc_io_depth(a) * a->num_io;
    sn_nvmetcp_assoc_set_state(a, SN_NVME_ASSOC_READY);
    sn_nvmetcp_watch_events(a);
    sn_backend_ready(a->config.vol, &a->info);
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
        become_ready(a);
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
    [SN_NVME_ASSOC_IDENTIFY_CTRL] = { "Identify Controller", identify_ctrl,
                                      got_ctrl },
    [SN_NVME_ASSOC_IDENTIFY_NS] = { "Identify Namespace", identify_ns,
                                    got_ns },
    [SN_NVME_ASSOC_IDENTIFY_DESCS] = { "identifying the namespace",
                                       identify_descs, got_descs, true },
    [SN_NVME_ASSOC_EVENTS] = { "asking for events", set_events, events_set,
                               true },
    [SN_NVME_ASSOC_NUM_QUEUES] = { "asking for queues", set_num_queues,
                                   num_queues_set },
    [SN_NVME_ASSOC_IO_QUEUES] = { "connecting I/O queues", open_io },
};
