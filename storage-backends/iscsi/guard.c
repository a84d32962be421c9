/*
 * PDUs that libiscsi must not see. It takes every answer for one to a SCSI
 * command if the tag says so, sends whatever an R2T asks for, counts nothing,
 * and reads sense data beyond its end. So each PDU (RFC 7143 section 11) is
 * looked at on its way to the library, and a wrong one ends the session before
 * the library has all of it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "guard.h"
#include "smartnic/be.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(iscsi_guard);

enum {
    OP_NOP_IN = 0x20,
    OP_RESPONSE = 0x21,
    OP_LOGIN_RESPONSE = 0x23,
    OP_TEXT_RESPONSE = 0x24,
    OP_DATA_IN = 0x25,
    OP_LOGOUT_RESPONSE = 0x26,
    OP_R2T = 0x31,
    OP_ASYNC_MESSAGE = 0x32,
    OP_REJECT = 0x3f,
};
enum { FLAG_FINAL = 0x80, FLAG_STATUS = 0x01 };
enum { EVENT_LOGOUT = 1, EVENT_NEGOTIATE = 4, REJECT_LOGOUT = 0x0c };
#define NO_TAG 0xffffffff

enum { DIGEST = 4 };
/* Of data that is kept to be looked at: a login's, and sense data. */
enum { MAX_DATA = 16 * 1024 };
/* The least that an R2T asks for, unless it is the rest (section 13.13). */
enum { MIN_BURST = 512 };
/* PDUs of ours that the target asked for and that have not left. */
enum { MAX_ANSWERS = 1024 };

void sn_iscsi_guard_end(SnIscsiGuard *g, const char *why)
{
    if (!g->wrong) {
        g->wrong = g_strdup(why);
    }
}

void sn_iscsi_guard_refuse(SnIscsiGuard *g, const char *pdu,
                           const char *field)
{
    g_autofree char *why = g_strdup_printf("the target sent %s with a wrong "
                                           "%s", pdu, field);

    sn_iscsi_guard_end(g, why);
}

uint32_t sn_iscsi_guard_data_len(const SnIscsiGuard *g)
{
    return sn_get_be32(g->bhs + 4) & 0xffffff;
}

/* The SCSI command that the PDU is about, or NULL. */
static SnIscsiOp *find_op(SnBackend *be, int dir)
{
    uint32_t itt = sn_get_be32(be->guard.bhs + 16);
    SnIscsiOp *op = g_hash_table_lookup(be->by_itt, GUINT_TO_POINTER(itt));

    return op && (dir < 0 || op->task->xfer_dir == dir) ? op : NULL;
}

/* Section 11.7. DataPDUInOrder and DataSequenceInOrder are Yes. */
static void check_data_in(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;
    SnIscsiOp *op = find_op(be, SCSI_XFER_READ);
    uint32_t len = sn_iscsi_guard_data_len(g);
    uint8_t flags = g->bhs[1];

    if (!op) {
        sn_iscsi_guard_refuse(g, "Data-In", "Initiator Task Tag");
    } else if (sn_get_be32(g->bhs + 40) != op->received) {
        sn_iscsi_guard_refuse(g, "Data-In", "Buffer Offset");
    } else if (len > op->task->expxferlen - op->received) {
        sn_iscsi_guard_refuse(g, "Data-In", "DataSegmentLength");
    } else if (flags & FLAG_STATUS && !(flags & FLAG_FINAL)) {
        sn_iscsi_guard_refuse(g, "Data-In", "F bit");
    } else if (flags & FLAG_STATUS && g->bhs[3] != SCSI_STATUS_GOOD) {
        sn_iscsi_guard_refuse(g, "Data-In", "Status");
    } else {
        op->received += len;
    }
}

/* Section 11.8. One follows the other; together they are the command's. */
static void check_r2t(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;
    SnIscsiOp *op = find_op(be, SCSI_XFER_WRITE);
    uint32_t offset = sn_get_be32(g->bhs + 40);
    uint32_t len = sn_get_be32(g->bhs + 44);
    uint32_t all = op ? op->task->expxferlen : 0;

    if (!op) {
        sn_iscsi_guard_refuse(g, "R2T", "Initiator Task Tag");
    } else if (offset < op->asked || offset > all) {
        sn_iscsi_guard_refuse(g, "R2T", "Buffer Offset");
    } else if (!len || len > all - offset ||
               (len < MIN_BURST && len < all - offset)) {
        sn_iscsi_guard_refuse(g, "R2T", "Desired Data Transfer Length");
    } else {
        op->asked = offset + len;
    }
}

/* Section 11.4. A Response other than 0 has no Status. */
static void check_response(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;

    if (!find_op(be, -1)) {
        sn_iscsi_guard_refuse(g, "SCSI Response", "Initiator Task Tag");
    } else if (g->bhs[2]) {
        sn_iscsi_guard_refuse(g, "SCSI Response", "Response");
    } else {
        g->keep = g->bhs[3] == SCSI_STATUS_CHECK_CONDITION;
    }
}

/* As much of it as libiscsi reads (SPC-5 section 4.5). */
static bool good_sense(const uint8_t *data, uint32_t len)
{
    const uint8_t *sense = data + 2;
    uint32_t sense_len;

    if (len < 2 + 8) {
        return false;
    }
    sense_len = MIN(len - 2, sn_get_be16(data));
    switch (sense[0] & 0x7f) {
    case 0x70:
    case 0x71:
        return sense_len >= 18;
    case 0x72:
    case 0x73:
        return sense_len >= 8 + sense[7];
    default:
        return true;            /* it does not know the format */
    }
}

/* What libiscsi answers by a PDU of its own waits until it can leave. */
static void count_answer(SnBackend *be, const char *pdu)
{
    if (++be->guard.answers > MAX_ANSWERS) {
        sn_iscsi_guard_refuse(&be->guard, pdu, "number of its kind");
    }
}

/* A second wish adds nothing: after a Logout Request, nothing leaves. */
static void count_logout(SnBackend *be, const char *pdu)
{
    be->guard.logout = true;
    count_answer(be, pdu);
}

void sn_iscsi_guard_sent(SnBackend *be)
{
    if (!be->guard.logout) {
        be->guard.answers = 0;
    }
}

static void check_opcode(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;
    uint8_t opcode = g->bhs[0] & 0x3f;

    switch (opcode) {
    case OP_LOGIN_RESPONSE:
        g->keep = true;
        if (g->logged_in) {
            sn_iscsi_guard_refuse(g, "a second Login Response", "opcode");
        }
        break;
    case OP_DATA_IN:
        check_data_in(be);
        break;
    case OP_R2T:
        check_r2t(be);
        break;
    case OP_RESPONSE:
        check_response(be);
        break;
    case OP_NOP_IN:
        if (sn_get_be32(g->bhs + 20) != NO_TAG) {
            count_answer(be, "NOP-In");
        }
        break;
    case OP_ASYNC_MESSAGE:
        if (g->bhs[36] == EVENT_LOGOUT || g->bhs[36] == EVENT_NEGOTIATE) {
            count_logout(be, "Asynchronous Message");
        }
        break;
    case OP_REJECT:
        if (g->bhs[2] == REJECT_LOGOUT) {
            count_logout(be, "Reject");
        }
        break;
    case OP_LOGOUT_RESPONSE:
        /* Seen by libiscsi, it would drop its commands without a word. */
        sn_iscsi_guard_end(g, "the target wanted the session to end");
        break;
    case OP_TEXT_RESPONSE:
        break;
    default:
        sn_iscsi_guard_refuse(g, "a PDU", "opcode");
        break;
    }
}

static void take_bhs(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;
    uint32_t len = sn_iscsi_guard_data_len(g);

    g->keep = false;
    g->rest = (g->digest ? DIGEST : 0) + ((len + 3) & ~3u);
    if (g->bhs[4]) {
        sn_iscsi_guard_refuse(g, "a PDU", "TotalAHSLength");
    } else {
        check_opcode(be);
    }
    if (g->keep && len > MAX_DATA) {
        sn_iscsi_guard_refuse(g, "a PDU", "DataSegmentLength");
    }
}

/* All of it is there, and kept if it was to be. */
static void take_pdu(SnBackend *be)
{
    SnIscsiGuard *g = &be->guard;
    uint32_t skip = g->digest ? DIGEST : 0;

    if (!g->keep) {
        return;
    }
    if ((g->bhs[0] & 0x3f) == OP_LOGIN_RESPONSE) {
        /* With the padding, which libiscsi reads, too. */
        sn_iscsi_guard_login(be, (const char *)g->data->data, g->data->len);
    } else if (!good_sense(g->data->data + skip, sn_iscsi_guard_data_len(g))) {
        sn_iscsi_guard_refuse(g, "SCSI Response", "SenseLength");
    }
    g_byte_array_set_size(g->data, 0);
}

/* Takes some of @bytes; returns how many. */
static size_t take_some(SnBackend *be, const uint8_t *bytes, size_t len)
{
    SnIscsiGuard *g = &be->guard;
    size_t n;

    if (g->got < sizeof(g->bhs)) {
        n = MIN(len, sizeof(g->bhs) - g->got);
        memcpy(g->bhs + g->got, bytes, n);
        g->got += n;
        if (g->got == sizeof(g->bhs)) {
            take_bhs(be);
        }
    } else {
        n = MIN(len, g->rest);
        g->rest -= n;
        if (g->keep) {
            g_byte_array_append(g->data, bytes, n);
        }
    }
    if (g->got == sizeof(g->bhs) && !g->rest && !g->wrong) {
        take_pdu(be);
        g->got = 0;
    }
    return n;
}

bool sn_iscsi_guard(void *opaque, const uint8_t *bytes, size_t len)
{
    SnBackend *be = opaque;
    SnIscsiGuard *g = &be->guard;

    if (!len) {
        sn_iscsi_guard_clear(g);
        g->data = g_byte_array_new();
    }
    while (len && !g->wrong) {
        size_t n = take_some(be, bytes, len);

        bytes += n;
        len -= n;
    }
    if (g->wrong) {
        sn_trace(iscsi_guard, "id=%s opcode=0x%02x itt=0x%08x len=%u",
                 be->id, g->bhs[0], sn_get_be32(g->bhs + 16),
                 sn_iscsi_guard_data_len(g));
    }
    return !g->wrong;
}

void sn_iscsi_guard_clear(SnIscsiGuard *g)
{
    g_clear_pointer(&g->data, g_byte_array_unref);
    g_free(g->wrong);
    *g = (SnIscsiGuard){ 0 };
}
