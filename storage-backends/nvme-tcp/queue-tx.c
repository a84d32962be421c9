/*
 * The sending half of an NVMe/TCP queue: commands, and data that the
 * controller asks for with R2T.
 *
 * Data is sent from the guest's memory, without a copy. With data digests it
 * is copied first: guests may change memory that is being written, and then
 * the bytes sent would not be those that the digest was made of.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "crc32c.h"
#include "queue-internal.h"

/* One of these per command, and some for data that is split in many PDUs. */
#define EXTRA_SLOTS 16

#define COPY_SIZE SN_NVMETCP_DDGST_TRANSFER
#define COPY_COUNT 32

static const uint8_t zeroes[SN_PDU_PAD_MAX];

static void send_waiting(SnNvmeQueue *q);

void sn_nvmetcp_tx_init(SnNvmeQueue *q)
{
    unsigned n = q->config.depth + EXTRA_SLOTS;

    q->slots = g_new0(SnNvmeSlot, n);
    while (n--) {
        q->slots[n].next = q->free_slots;
        q->free_slots = &q->slots[n];
    }
    q->waiting_end = &q->waiting;
    q->copies = g_ptr_array_new();
    if (q->config.ddgst) {
        q->copy_memory = g_malloc(COPY_COUNT * COPY_SIZE);
        for (unsigned i = 0; i < COPY_COUNT; i++) {
            g_ptr_array_add(q->copies, q->copy_memory + i * COPY_SIZE);
        }
    }
}

void sn_nvmetcp_tx_cleanup(SnNvmeQueue *q)
{
    g_ptr_array_free(q->copies, TRUE);
    g_free(q->copy_memory);
    g_free(q->slots);
}

static void free_slot(SnNvmeQueue *q, SnNvmeSlot *slot)
{
    if (slot->copy) {
        g_ptr_array_add(q->copies, slot->copy);
        slot->copy = NULL;
    }
    slot->next = q->free_slots;
    q->free_slots = slot;
}

/* The slot at the head of @cmd's list is free again. */
static void drop_first_slot(SnNvmeCmd *cmd)
{
    SnNvmeSlot *slot = cmd->slots;

    cmd->slots = slot->next;
    if (!cmd->slots) {
        cmd->slots_end = &cmd->slots;
    }
    free_slot(cmd->q, slot);
}

/* The peer has acknowledged the whole slot; a stream does that in order. */
static void slot_done(SnTx *tx)
{
    SnNvmeSlot *slot = ((SnNvmeSlotTx *)tx)->slot;
    SnNvmeCmd *cmd = slot->cmd;
    SnNvmeQueue *q = cmd->q;

    g_assert(cmd->slots == slot);
    drop_first_slot(cmd);
    if (q->waiting) {
        send_waiting(q);
        sn_nvmetcp_queue_push(q);
    }
}

static void detach_slots(SnNvmeCmd *cmd)
{
    while (cmd->slots) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cmd->slots->tx); i++) {
            if (cmd->slots->tx[i].tx.iov) {
                sn_stream_tx_detach(cmd->q->stream, &cmd->slots->tx[i].tx);
            }
        }
        drop_first_slot(cmd);
    }
}

void sn_nvmetcp_tx_detach(SnNvmeCmd *cmd)
{
    detach_slots(cmd);
    send_waiting(cmd->q);
}

void sn_nvmetcp_tx_drop(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;

    detach_slots(cmd);
    if (cmd->waiting) {
        SnNvmeCmd **link = &q->waiting;

        while (*link != cmd) {
            link = &(*link)->next;
        }
        *link = cmd->next;
        if (!cmd->next) {
            q->waiting_end = link;
        }
        cmd->waiting = false;
    }
    send_waiting(q);
}

static void write_control(SnNvmeQueue *q, size_t len)
{
    q->control_iov = (struct iovec){ q->control, len };
    q->control_tx = (SnTx){ .iov = &q->control_iov, .iovcnt = 1 };
    sn_stream_write(q->stream, &q->control_tx);
    sn_stream_push(q->stream);
}

void sn_nvmetcp_tx_icreq(SnNvmeQueue *q)
{
    sn_pdu_build_icreq((SnPduIcReq *)q->control, q->config.hdgst,
                       q->config.ddgst);
    write_control(q, sizeof(SnPduIcReq));
}

void sn_nvmetcp_tx_term_req(SnNvmeQueue *q, const SnPduError *error,
                            size_t len)
{
    /* The ICReq may not have been acknowledged yet. */
    sn_stream_tx_detach(q->stream, &q->control_tx);
    write_control(q, sn_pdu_build_term_req(q->control, error, q->rx_head,
                                           len));
}

bool sn_nvmetcp_tx_has_room(const SnNvmeQueue *q)
{
    return q->free_slots;
}

/* Whether @len bytes of data have their copy buffer, should they need one. */
static bool has_copy(const SnNvmeQueue *q, uint32_t len)
{
    return !q->link.ddgst || (q->copies->len && len <= COPY_SIZE);
}

static SnNvmeSlot *take_slot(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;
    SnNvmeSlot *slot = q->free_slots;

    q->free_slots = slot->next;
    slot->cmd = cmd;
    slot->next = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(slot->tx); i++) {
        slot->tx[i] = (SnNvmeSlotTx){ .slot = slot };
    }
    *cmd->slots_end = slot;
    cmd->slots_end = &slot->next;
    return slot;
}

/* Adds @len bytes of data, copied, and their digest to slot->head. */
static unsigned add_copy(SnNvmeSlot *slot, unsigned n, uint32_t len)
{
    SnNvmeCmd *cmd = slot->cmd;
    size_t have = 0;

    slot->copy = g_ptr_array_steal_index_fast(cmd->q->copies,
                                              cmd->q->copies->len - 1);
    while (have < len) {
        struct iovec piece = sn_nvmetcp_cmd_take(cmd, len - have);

        memcpy(slot->copy + have, piece.iov_base, piece.iov_len);
        have += piece.iov_len;
    }
    slot->ddgst = GUINT32_TO_LE(sn_crc32c(0, slot->copy, len));
    slot->head[n++] = (struct iovec){ slot->copy, len };
    slot->head[n++] = (struct iovec){ &slot->ddgst, sizeof(slot->ddgst) };
    return n;
}

/* Adds @len bytes of data by reference; sets up the second and third write. */
static unsigned add_reference(SnNvmeSlot *slot, unsigned n, uint32_t len)
{
    SnNvmeCmd *cmd = slot->cmd;
    size_t middle = 0;

    slot->head[n] = sn_nvmetcp_cmd_take(cmd, len);
    len -= slot->head[n++].iov_len;
    if (!len) {
        return n;
    }

    /* The first piece ended with its entry: whole entries follow. */
    cmd->iov++;
    cmd->iov_off = 0;
    slot->tx[1].tx.iov = cmd->iov;
    while (middle < len && cmd->iov->iov_len <= len - middle) {
        middle += cmd->iov->iov_len;
        cmd->iov++;
        slot->tx[1].tx.iovcnt++;
    }
    cmd->moved += middle;
    if (!middle) {
        slot->tx[1].tx.iov = NULL;
    }
    if (middle < len) {
        slot->tail = sn_nvmetcp_cmd_take(cmd, len - middle);
        slot->tx[2].tx.iov = &slot->tail;
        slot->tx[2].tx.iovcnt = 1;
    }
    return n;
}

/* Sends slot->pdu, @head_len bytes, with the next @len bytes of data. */
static void send_slot(SnNvmeSlot *slot, unsigned head_len, unsigned pad,
                      uint32_t len)
{
    SnNvmeQueue *q = slot->cmd->q;
    SnTx *last = NULL;
    unsigned n = 0;

    slot->head[n++] = (struct iovec){ slot->pdu, head_len };
    if (pad) {
        slot->head[n++] = (struct iovec){ (void *)zeroes, pad };
    }
    if (len) {
        n = q->link.ddgst ? add_copy(slot, n, len)
                          : add_reference(slot, n, len);
    }
    slot->tx[0].tx.iov = slot->head;
    slot->tx[0].tx.iovcnt = n;
    for (unsigned i = 0; i < G_N_ELEMENTS(slot->tx); i++) {
        if (slot->tx[i].tx.iov) {
            last = &slot->tx[i].tx;
        }
    }
    last->done = slot_done;
    for (unsigned i = 0; i < G_N_ELEMENTS(slot->tx); i++) {
        if (slot->tx[i].tx.iov) {
            sn_stream_write(q->stream, &slot->tx[i].tx);
        }
    }
    q->dirty = true;
}

void sn_nvmetcp_tx_command(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;
    SnNvmeSqe *sqe = &cmd->req.sqe;
    uint32_t len = cmd->req.len;
    SnNvmeSlot *slot = take_slot(cmd);
    uint32_t max = sqe->opcode == nvme_admin_fabrics ?
                   SN_NVMETCP_FABRICS_IN_CAPSULE : q->config.in_capsule;
    unsigned head_len, pad;

    cmd->in_capsule = cmd->req.dir == SN_NVME_OUT && len <= max &&
                      has_copy(q, len);
    sqe->flags = SN_NVME_PSDT_SGL;
    sqe->cid = GUINT16_TO_LE(cmd->cid);
    sqe->sgl_len = GUINT32_TO_LE(len);
    /* In the capsule, data begins at offset 0: ICDOFF is checked to be 0. */
    sqe->sgl_type = cmd->in_capsule ? SN_NVME_SGL_IN_CAPSULE
                                    : SN_NVME_SGL_TRANSPORT;
    if (!cmd->in_capsule) {
        len = 0;
    }
    head_len = sn_pdu_build_cmd(slot->pdu, &q->link, sqe, len, &pad);
    send_slot(slot, head_len, pad, len);
}

/* Sends as much of what @cmd's R2T asks for as there is room for. */
static void send_data(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;
    uint32_t max = q->link.ddgst ? MIN(q->link.maxh2cdata, COPY_SIZE)
                                 : q->link.maxh2cdata;

    while (cmd->r2t_left && q->free_slots &&
           has_copy(q, MIN(cmd->r2t_left, max))) {
        SnNvmeSlot *slot = take_slot(cmd);
        uint32_t len = MIN(cmd->r2t_left, max);
        unsigned head_len, pad;

        cmd->r2t_left -= len;
        head_len = sn_pdu_build_h2c_data(slot->pdu, &q->link, cmd->cid,
                                         cmd->ttag, cmd->moved, len,
                                         !cmd->r2t_left, &pad);
        send_slot(slot, head_len, pad, len);
    }
}

static void send_waiting(SnNvmeQueue *q)
{
    SnNvmeCmd *cmd;

    while (q->state == SN_NVME_QUEUE_UP && (cmd = q->waiting)) {
        send_data(cmd);
        if (cmd->r2t_left) {
            return;
        }
        cmd->waiting = false;
        q->waiting = cmd->next;
        if (!q->waiting) {
            q->waiting_end = &q->waiting;
        }
    }
}

void sn_nvmetcp_tx_r2t(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;

    cmd->waiting = true;
    cmd->next = NULL;
    *q->waiting_end = cmd;
    q->waiting_end = &cmd->next;
    send_waiting(q);
}
