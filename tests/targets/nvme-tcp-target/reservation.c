/*
 * Reservations: see reservation.h. Hosts are told apart by their 128-bit host
 * identifier, as over Fabrics always.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "reservation.h"

#include <string.h>

#include "controller.h"
#include "request.h"

#define CONFLICT STATUS_IO(NVME_SC_RESERVATION_CONFLICT)
#define INVALID (STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR)
/* In dword 10 of Register, Acquire and Release (Base section 7.2 to 7.4). */
#define ACTION(cdw10) ((cdw10) & 7)
#define IEKEY (1u << 3)
#define RTYPE(cdw10) ((cdw10) >> 8 & 0xff)
#define CPTPL(cdw10) ((cdw10) >> 30)
#define REPORT_EDS 1u           /* in dword 11: extended data structure */

static bool all_hold(unsigned type)
{
    return type == NVME_RESERVATION_RTYPE_WEAR ||
           type == NVME_RESERVATION_RTYPE_EAAR;
}

static Registrant *find(const Reservations *v, const uint8_t *hostid)
{
    for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
        const Registrant *reg = &v->registrants[i];

        if (reg->used && !memcmp(reg->hostid, hostid, HOSTID_LEN)) {
            return (Registrant *)reg;
        }
    }
    return NULL;
}

static unsigned count(const Reservations *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
        n += v->registrants[i].used;
    }
    return n;
}

static bool holds(const Reservations *v, const Registrant *reg)
{
    return v->type && (all_hold(v->type) || v->holder == reg);
}

bool reservations_allow(const Reservations *v, const uint8_t *hostid,
                        bool write)
{
    const Registrant *reg;

    if (!v->type) {
        return true;
    }
    switch (v->type) {
    case NVME_RESERVATION_RTYPE_WE:
    case NVME_RESERVATION_RTYPE_WERO:
    case NVME_RESERVATION_RTYPE_WEAR:
        if (!write) {
            return true;
        }
        break;
    default:
        break;
    }
    reg = find(v, hostid);
    if (v->type == NVME_RESERVATION_RTYPE_WE ||
        v->type == NVME_RESERVATION_RTYPE_EA) {
        return reg && v->holder == reg;
    }
    return reg;
}

static void hold(Reservations *v, const Registrant *reg,
                 unsigned type)
{
    v->type = type;
    v->holder = type ? reg : NULL;
}

/* Whether it has @key (NULL: any), and is not @self. */
static bool is_other(const Registrant *reg, const Registrant *self,
                     const uint64_t *key)
{
    return reg->used && reg != self && (!key || reg->key == *key);
}

/* Tells those of whom is_other() holds; @rnlpt: what the log page says. */
static void tell_others(const Reservations *v, const Registrant *self,
                        const uint64_t *key, unsigned rnlpt)
{
    for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
        const Registrant *reg = &v->registrants[i];

        if (is_other(reg, self, key)) {
            ctrl_resv_notice(reg->hostid, v->nsid, rnlpt);
        }
    }
}

/*
 * One of @type is over, by what @self did. Of a type that gave the others
 * nothing they do not hear.
 */
static void tell_released(const Reservations *v, const Registrant *self,
                          unsigned type)
{
    if (type != NVME_RESERVATION_RTYPE_WE &&
        type != NVME_RESERVATION_RTYPE_EA) {
        tell_others(v, self, NULL,
                    NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
    }
}

/* What the last holder held is released. */
static void unregister(Reservations *v, Registrant *reg)
{
    bool last = count(v) == 1;

    reg->used = false;
    if (v->type && (all_hold(v->type) ? last : v->holder == reg)) {
        hold(v, NULL, 0);
    }
}

/* All with @key, or all at all, but @self. Returns how many there were. */
static unsigned unregister_others(Reservations *v, const Registrant *self,
                                  const uint64_t *key)
{
    unsigned n = 0;

    for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
        Registrant *reg = &v->registrants[i];

        if (is_other(reg, self, key)) {
            unregister(v, reg);
            n++;
        }
    }
    return n;
}

static unsigned add(Reservations *v, const uint8_t *hostid, uint64_t key)
{
    Registrant *reg = v->registrants;

    while (reg < v->registrants + REGISTRANTS_MAX && reg->used) {
        reg++;
    }
    if (reg == v->registrants + REGISTRANTS_MAX) {
        return STATUS_IO(NVME_SC_INTERNAL);
    }
    *reg = (Registrant){ .used = true, .key = key };
    memcpy(reg->hostid, hostid, HOSTID_LEN);
    return 0;
}

static unsigned do_register(Reservations *v, const uint8_t *hostid,
                            uint32_t cdw10, uint64_t current, uint64_t new)
{
    Registrant *reg = find(v, hostid);
    unsigned status = 0, type = v->type;

    if (CPTPL(cdw10) == 1) {
        return INVALID;
    }
    switch (ACTION(cdw10)) {
    case NVME_RESERVATION_RREGA_REGISTER_KEY:
        if (reg && reg->key != new) {
            return CONFLICT;
        }
        status = reg ? 0 : add(v, hostid, new);
        break;
    case NVME_RESERVATION_RREGA_UNREGISTER_KEY:
    case NVME_RESERVATION_RREGA_REPLACE_KEY:
        if (!reg || (reg->key != current && !(cdw10 & IEKEY))) {
            return CONFLICT;
        }
        if (ACTION(cdw10) == NVME_RESERVATION_RREGA_REPLACE_KEY) {
            reg->key = new;
        } else {
            unregister(v, reg);
            if (type && !v->type) {
                tell_released(v, reg, type);
            }
        }
        break;
    default:
        return INVALID;
    }
    if (status) {
        return status;
    }
    if (CPTPL(cdw10) != NVME_RESERVATION_CPTPL_NO_CHANGE) {
        v->ptpl = CPTPL(cdw10) == NVME_RESERVATION_CPTPL_PERSIST;
    }
    v->generation++;
    return 0;
}

/* Takes the place of those with @key, and of their reservation. */
static unsigned preempt(Reservations *v, Registrant *reg, uint64_t key,
                        unsigned type)
{
    bool takes = v->type && (all_hold(v->type) ? !key
                                               : v->holder->key == key);
    bool changes = takes && v->type != type;

    if (!key && !takes) {
        return INVALID;
    }
    tell_others(v, reg, key ? &key : NULL,
                NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED);
    if (!unregister_others(v, reg, key ? &key : NULL) && !takes) {
        return CONFLICT;
    }
    if (takes) {
        hold(v, reg, type);
    }
    if (changes) {              /* those who are left may have lost by it */
        tell_others(v, reg, NULL, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
    }
    v->generation++;
    return 0;
}

static unsigned acquire(Reservations *v, const uint8_t *hostid,
                        uint32_t cdw10, uint64_t current, uint64_t preempted)
{
    Registrant *reg = find(v, hostid);
    unsigned type = RTYPE(cdw10);

    if (type < NVME_RESERVATION_RTYPE_WE ||
        type > NVME_RESERVATION_RTYPE_EAAR) {
        return INVALID;
    }
    if (!reg || (reg->key != current && !(cdw10 & IEKEY))) {
        return CONFLICT;
    }
    switch (ACTION(cdw10)) {
    case NVME_RESERVATION_RACQA_ACQUIRE:
        if (v->type) {
            return holds(v, reg) && v->type == type ? 0 : CONFLICT;
        }
        hold(v, reg, type);
        return 0;
    case NVME_RESERVATION_RACQA_PREEMPT:
    /* No command of theirs is being carried out: there is one thread. */
    case NVME_RESERVATION_RACQA_PREEMPT_AND_ABORT:
        return preempt(v, reg, preempted, type);
    default:
        return INVALID;
    }
}

static unsigned release(Reservations *v, const uint8_t *hostid,
                        uint32_t cdw10, uint64_t current)
{
    Registrant *reg = find(v, hostid);

    if (!reg || (reg->key != current && !(cdw10 & IEKEY))) {
        return CONFLICT;
    }
    switch (ACTION(cdw10)) {
    case NVME_RESERVATION_RRELA_RELEASE:
        if (!holds(v, reg)) {
            return 0;
        }
        if (RTYPE(cdw10) != v->type) {
            return INVALID;
        }
        hold(v, NULL, 0);
        tell_released(v, reg, RTYPE(cdw10));
        return 0;
    case NVME_RESERVATION_RRELA_CLEAR:
        tell_others(v, reg, NULL,
                    NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED);
        unregister_others(v, NULL, NULL);
        v->generation++;
        return 0;
    default:
        return INVALID;
    }
}

/* Answers with data, or returns why not. */
static unsigned report(Request *r, const Reservations *v, bool *answered)
{
    _Alignas(8) uint8_t page[sizeof(struct nvme_resv_status) +
                             REGISTRANTS_MAX *
                             sizeof(struct nvme_registered_ctrl_ext)] = { 0 };
    struct nvme_resv_status *status = (void *)page;
    struct nvme_registered_ctrl_ext *entry =
        (void *)(page + sizeof(struct nvme_resv_status));
    uint64_t len = (r->sqe.cdw10 + 1ull) * 4;

    if (!(r->sqe.cdw11 & REPORT_EDS)) {
        return STATUS_IO(NVME_SC_HOSTID_FORMAT) | STATUS_DNR;
    }
    status->gen = v->generation;
    status->rtype = v->type;
    status->regctl[0] = count(v);
    status->ptpls = v->ptpl;
    for (unsigned i = 0; i < REGISTRANTS_MAX; i++) {
        const Registrant *reg = &v->registrants[i];

        if (reg->used) {
            /* Controllers come and go with associations: no number. */
            entry->cntlid = CNTLID_DYNAMIC;
            entry->rcsts = holds(v, reg);
            entry->rkey = reg->key;
            memcpy(entry->hostid, reg->hostid, HOSTID_LEN);
            entry++;
        }
    }
    *answered = true;
    answer_padded(r, page, sizeof(page), len);
    return 0;
}

unsigned reservation_command(Request *r, Reservations *v, bool *answered)
{
    const uint8_t *hostid = r->conn->ctrl->hostid;
    uint32_t cdw10 = r->sqe.cdw10;
    uint64_t keys[2] = { 0 };   /* a release has only the first */
    unsigned need = r->op == OP_RESV_RELEASE ? 8 : 16;

    if (r->op == OP_RESV_REPORT) {
        return report(r, v, answered);
    }
    if (r->len < need) {
        return STATUS_IO(NVME_SC_SGL_INVALID_DATA) | STATUS_DNR;
    }
    memcpy(keys, r->data, need);
    switch (r->op) {
    case OP_RESV_REGISTER:
        return do_register(v, hostid, cdw10, keys[0], keys[1]);
    case OP_RESV_ACQUIRE:
        return acquire(v, hostid, cdw10, keys[0], keys[1]);
    default:
        return release(v, hostid, cdw10, keys[0]);
    }
}
