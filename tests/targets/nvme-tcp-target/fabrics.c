/*
 * Fabrics commands: see fabrics.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fabrics.h"

#include <string.h>

#include "controller.h"

#define VERSION 0x00020000      /* 2.0 */
#define READY_TIMEOUT 30ull     /* CAP.TO, in units of 500 ms */
#define CATTR_NO_FLOW (1u << 2)
/* Bit 16 of the result of a refused Connect: the offset is in the data. */
#define IN_DATA (1u << 16)

Op fabrics_op(const Sqe *sqe)
{
    switch (sqe->fctype) {
    case FCTYPE_CONNECT:
        return OP_CONNECT;
    case FCTYPE_PROPERTY_GET:
        return OP_PROPERTY_GET;
    case FCTYPE_PROPERTY_SET:
        return OP_PROPERTY_SET;
    case FCTYPE_DISCONNECT:
        return OP_DISCONNECT;
    default:
        return OP_OTHER;
    }
}

static void refuse(Request *r, uint32_t where)
{
    answer_cid(r->conn, r->sqe.cid, where,
               STATUS_COMMAND(NVME_SC_CONNECT_INVALID_PARAM) | STATUS_DNR);
}

static bool same_nqn(const char *a, const char *b)
{
    return !strncmp(a, b, NVME_NQN_LENGTH);
}

static void connect_admin(Request *r, const struct nvmf_connect_data *data)
{
    Conn *c = r->conn;
    bool discovery = same_nqn(data->subsysnqn, DISCOVERY_NQN);

    if (data->cntlid != CNTLID_DYNAMIC) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, cntlid));
        return;
    }
    if (!discovery && !same_nqn(data->subsysnqn, options.nqn)) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, subsysnqn));
        return;
    }
    c->ctrl = ctrl_new(c, discovery, r->sqe.cdw12);
    if (!c->ctrl) {
        answer(r, STATUS_COMMAND(NVME_SC_CONNECT_CTRL_BUSY));
        return;
    }
    memcpy(c->ctrl->hostnqn, data->hostnqn, sizeof(c->ctrl->hostnqn));
    memcpy(c->ctrl->hostid, data->hostid, sizeof(c->ctrl->hostid));
}

static void connect_io(Request *r, const struct nvmf_connect_data *data,
                       unsigned qid)
{
    Ctrl *ctrl = ctrl_find(data->cntlid);

    if (!ctrl || ctrl->discovery) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, cntlid));
    } else if (!same_nqn(data->subsysnqn, options.nqn)) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, subsysnqn));
    } else if (!same_nqn(data->hostnqn, ctrl->hostnqn)) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, hostnqn));
    } else if (memcmp(data->hostid, ctrl->hostid, sizeof(ctrl->hostid))) {
        refuse(r, IN_DATA | offsetof(struct nvmf_connect_data, hostid));
    } else if (qid > ctrl->queues || ctrl->queue[qid]) {
        refuse(r, offsetof(Sqe, cdw10) + 2);
    } else if (!NVME_CC_EN(ctrl->cc)) {
        answer(r, STATUS_IO(NVME_SC_CMD_SEQ_ERROR) | STATUS_DNR);
    } else {
        ctrl->queue[qid] = r->conn;
        r->conn->ctrl = ctrl;
    }
}

static void connect_queue(Request *r)
{
    struct nvmf_connect_data data;
    Conn *c = r->conn;
    unsigned qid = r->sqe.cdw10 >> 16, size = (r->sqe.cdw11 & 0xffff) + 1;

    if (c->ctrl) {
        answer(r, STATUS_IO(NVME_SC_CMD_SEQ_ERROR) | STATUS_DNR);
        return;
    }
    if (r->sqe.cdw10 & 0xffff) {        /* record format */
        answer(r, STATUS_COMMAND(NVME_SC_CONNECT_FORMAT) | STATUS_DNR);
        return;
    }
    if (r->len != sizeof(data)) {
        answer(r, STATUS_IO(NVME_SC_SGL_INVALID_DATA) | STATUS_DNR);
        return;
    }
    if (size < 2 || size > (qid ? options.queue_size : QUEUE_SIZE_MAX)) {
        refuse(r, offsetof(Sqe, cdw11));
        return;
    }
    memcpy(&data, r->data, sizeof(data));
    if (qid) {
        connect_io(r, &data, qid);
    } else {
        connect_admin(r, &data);
    }
    if (c->ctrl) {
        c->qid = qid;
        c->queue_size = size;
        c->no_flow = r->sqe.cdw11 >> 16 & CATTR_NO_FLOW;
        c->sqhd = 1;
        answer_result(r, c->ctrl->cntlid);
    }
}

static void property_get(Request *r)
{
    const Ctrl *ctrl = r->conn->ctrl;
    bool eight = r->sqe.cdw10 & 7;
    uint64_t value;

    switch (r->sqe.cdw11) {
    case NVME_REG_CAP:
        /* Contiguous queues, NVM command set, 4 KiB pages. */
        value = (options.queue_size - 1) | 1ull << 16 | READY_TIMEOUT << 24 |
                1ull << 37;
        break;
    case NVME_REG_VS:
        value = VERSION;
        break;
    case NVME_REG_CC:
        value = ctrl->cc;
        break;
    case NVME_REG_CSTS:
        value = ctrl->csts;
        break;
    default:
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    if (eight != (r->sqe.cdw11 == NVME_REG_CAP)) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    answer_result(r, value);
}

static void property_set(Request *r)
{
    if (r->sqe.cdw11 != NVME_REG_CC || r->sqe.cdw10 & 7) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    ctrl_write_cc(r->conn->ctrl, r->sqe.cdw12);
    answer(r, 0);
}

void fabrics_command(Request *r)
{
    Conn *c = r->conn;

    if (r->op == OP_CONNECT) {
        connect_queue(r);
    } else if (!c->ctrl) {
        answer(r, STATUS_IO(NVME_SC_CMD_SEQ_ERROR) | STATUS_DNR);
    } else if (r->op == OP_PROPERTY_GET && !c->qid) {
        property_get(r);
    } else if (r->op == OP_PROPERTY_SET && !c->qid) {
        property_set(r);
    } else if (r->op == OP_DISCONNECT && c->qid) {
        answer(r, 0);
        conn_finish(c);
    } else {
        answer(r, STATUS_IO(NVME_SC_INVALID_OPCODE) | STATUS_DNR);
    }
}
