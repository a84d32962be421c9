/*
 * What the logical unit is: SPC-5 and SBC-4 commands, one after the other, when
 * a session begins. Every byte of an answer is the target's word only: lengths
 * are checked, and a page that is too short counts as absent.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/be.h"
#include "smartnic/trace.h"
#include "smartnic/uuid.h"

SN_TRACE_EVENT(iscsi_probe);
SN_TRACE_EVENT(iscsi_unit);
SN_TRACE_EVENT(iscsi_unit_attention);

enum { MAX_TRIES = 60 };        /* of one command, a second apart */
#define TRY_DELAY SN_NS_PER_S

enum {
    OP_TEST_UNIT_READY = 0x00,
    OP_INQUIRY = 0x12,
    OP_MODE_SENSE_6 = 0x1a,
    OP_SERVICE_ACTION_IN_16 = 0x9e,     /* READ CAPACITY(16): action 10h */
    OP_MAINTENANCE_IN = 0xa3,           /* opcodes supported: action 0Ch */
    OP_WRITE_SAME_16 = 0x93,
};

enum {
    VPD_SUPPORTED = 0x00,
    VPD_SERIAL = 0x80,
    VPD_IDS = 0x83,
    VPD_LIMITS = 0xb0,
    VPD_PROVISIONING = 0xb2,
};

/* Additional sense codes, all but the first of unit attentions. */
enum {
    ASC_LUN_NOT_SUPPORTED = 0x2500,
    ASC_RESET = 0x2900,                 /* the qualifier says of what */
    ASC_MODE_PARAMETERS_CHANGED = 0x2a01,
    ASC_CAPACITY_CHANGED = 0x2a09,
    ASC_COMMANDS_CLEARED = 0x2f00,      /* by another initiator */
    ASC_INQUIRY_DATA_CHANGED = 0x3f03,
    ASC_LUNS_CHANGED = 0x3f0e,
};

/* Data of one WRITE SAME or UNMAP at most: others wait for it meanwhile. */
#define MAX_WRITE_SAME (UINT64_C(64) << 20)
#define MAX_UNMAP (UINT64_C(1) << 30)

/* What an answer holds. */
typedef struct Data {
    const uint8_t *bytes;
    size_t len;
} Data;

/*
 * One question. take() gets the answer, of 0 bytes when the unit refused it;
 * false: sn_iscsi_fail() was called.
 */
typedef struct Step {
    const char *name;
    uint8_t cdb[16];
    unsigned cdb_len;
    uint32_t len;
    uint8_t page;               /* VPD page; asked only if the unit has it */
    bool needed;
    bool (*take)(SnBackend *be, Data d);
} Step;

static bool take_nothing(SnBackend *be, Data d)
{
    return true;
}

static bool take_inquiry(SnBackend *be, Data d)
{
    uint8_t type = d.len ? d.bytes[0] : 0xff;

    if (type >> 5) {
        sn_iscsi_fail(be, false, "%s has no LUN %u", be->options.target,
                      be->options.lun);
        return false;
    }
    if (type & 0x1f) {
        sn_iscsi_fail(be, true, "LUN %u of %s is not a disk (device type "
                      "0x%02x)", be->options.lun, be->options.target, type);
        return false;
    }
    return true;
}

/* A VPD page's own bytes, by its length field; none when it is not @page. */
static Data vpd(Data d, uint8_t page)
{
    Data none = { NULL, 0 };

    if (d.len < 4 || d.bytes[1] != page) {
        return none;
    }
    return (Data){ d.bytes + 4, MIN(d.len - 4, sn_get_be16(d.bytes + 2)) };
}

static bool take_pages(SnBackend *be, Data d)
{
    Data list = vpd(d, VPD_SUPPORTED);

    for (size_t i = 0; i < list.len; i++) {
        if (list.bytes[i] >= 0x80 && list.bytes[i] < 0xc0) {
            be->unit.pages |= UINT64_C(1) << (list.bytes[i] - 0x80);
        }
    }
    return true;
}

static bool take_serial(SnBackend *be, Data d)
{
    char *serial = be->unit.info.serial;
    Data text = vpd(d, VPD_SERIAL);
    size_t n = 0;

    for (size_t i = 0; i < text.len &&
                       n < sizeof(be->unit.info.serial) - 1; i++) {
        if (g_ascii_isgraph(text.bytes[i])) {
            serial[n++] = text.bytes[i];
        }
    }
    serial[n] = '\0';
    if (n) {
        /* Until a better name comes: a disk is known again by it. */
        g_autofree char *name = g_strconcat("scsi.serial.", serial, NULL);

        sn_uuid_from_name(name, be->unit.info.uuid);
    }
    return true;
}

/* How good a name a designator is (SPC-5 section 7.7.6): 0: none. */
static unsigned rank(const uint8_t *designator)
{
    uint8_t association = designator[1] >> 4 & 3;
    uint8_t type = designator[1] & 0x0f;

    if (association) {
        return 0;               /* of a port or the target */
    }
    switch (type) {
    case 3:                     /* NAA */
        return 4;
    case 2:                     /* EUI-64 */
        return 3;
    case 8:                     /* SCSI name string */
        return 2;
    case 1:                     /* T10 vendor */
        return 1;
    default:
        return 0;
    }
}

static void set_identity(SnVolumeInfo *info, const uint8_t *designator)
{
    uint8_t type = designator[1] & 0x0f, len = designator[3];
    const uint8_t *id = designator + 4;
    g_autoptr(GString) name = g_string_new("scsi");

    if (len == 16 && (type == 2 || type == 3)) {
        memcpy(info->nguid, id, 16);
    } else if (len == 8 && type == 2) {
        memcpy(info->eui64, id, 8);
    }
    g_string_append_printf(name, ".%u.", type);
    for (unsigned i = 0; i < len; i++) {
        g_string_append_printf(name, "%02x", id[i]);
    }
    sn_uuid_from_name(name->str, info->uuid);
}

static bool take_ids(SnBackend *be, Data d)
{
    Data list = vpd(d, VPD_IDS);
    const uint8_t *best = NULL;
    size_t i = 0;

    while (i + 4 <= list.len && i + 4 + list.bytes[i + 3] <= list.len) {
        const uint8_t *designator = list.bytes + i;

        if (designator[3] && rank(designator) > (best ? rank(best) : 0)) {
            best = designator;
        }
        i += 4 + designator[3];
    }
    if (best) {
        set_identity(&be->unit.info, best);
    }
    return true;
}

static bool take_limits(SnBackend *be, Data d)
{
    SnIscsiUnit *u = &be->unit;
    Data page = vpd(d, VPD_LIMITS);

    /* Offsets in the page are 4 more than here. */
    if (page.len >= 12) {
        u->max_compare_and_write = page.bytes[1];
        u->max_transfer = sn_get_be32(page.bytes + 4);
        u->opt_transfer = sn_get_be32(page.bytes + 8);
    }
    if (page.len >= 28) {
        /* Blocks, if at least one descriptor is taken. */
        u->max_unmap = sn_get_be32(page.bytes + 20) ?
                       sn_get_be32(page.bytes + 16) : 0;
        u->unmap_granularity = sn_get_be32(page.bytes + 24);
    }
    if (page.len >= 40) {
        u->max_write_same = sn_get_be64(page.bytes + 32);
    }
    return true;
}

static bool take_provisioning(SnBackend *be, Data d)
{
    Data page = vpd(d, VPD_PROVISIONING);

    if (page.len >= 2) {
        be->unit.can_unmap = page.bytes[1] >> 7 & 1;
        be->unit.can_unmap_same = page.bytes[1] >> 6 & 1;
    }
    return true;
}

/* READ CAPACITY(16): SBC-4 section 5.16. False: nothing that we can use. */
static bool parse_capacity(Data d, SnIscsiUnit *u)
{
    uint64_t last;
    uint32_t block;

    if (d.len < 16) {
        return false;
    }
    last = sn_get_be64(d.bytes);
    block = sn_get_be32(d.bytes + 8);
    if ((block != 512 && block != 4096) || last >= INT64_MAX / 4096) {
        return false;
    }
    u->info.block_size = block;
    u->info.size = (last + 1) * block;
    u->info.phys_block_size = block << MIN(d.bytes[13] & 0x0f, 8);
    u->lbpme = d.bytes[14] >> 7;
    return true;
}

static bool take_capacity(SnBackend *be, Data d)
{
    if (!parse_capacity(d, &be->unit)) {
        sn_iscsi_fail(be, false, "LUN %u of %s: a disk of this size or with "
                      "this logical block (not 512 or 4096 bytes) cannot be "
                      "used", be->options.lun, be->options.target);
        return false;
    }
    return true;
}

/* MODE SENSE(6) with the caching page: SBC-4 section 6.5.6. */
static bool take_mode(SnBackend *be, Data d)
{
    SnVolumeInfo *info = &be->unit.info;
    size_t page = d.len >= 4 ? 4 + d.bytes[3] : 0;

    if (d.len >= 4) {
        info->read_only = d.bytes[2] >> 7;
        info->fua = d.bytes[2] >> 4 & 1;
    }
    /* One that does not say has a cache, perhaps. */
    info->write_cache = true;
    if (page && page + 2 < d.len && (d.bytes[page] & 0x3f) == 0x08) {
        info->write_cache = d.bytes[page + 2] >> 2 & 1;
    }
    return true;
}

/* REPORT SUPPORTED OPERATION CODES for WRITE SAME(16): SPC-5 section 6.27. */
static bool take_write_same(SnBackend *be, Data d)
{
    SnIscsiUnit *u = &be->unit;
    bool known = d.len >= 2 && (d.bytes[1] & 7) >= 1;
    bool supported = known ? (d.bytes[1] & 7) == 3 || (d.bytes[1] & 7) == 5
                           : u->can_unmap_same;
    uint64_t blocks = u->max_write_same ? u->max_write_same : UINT32_MAX;

    if (supported) {
        u->info.max_write_zeroes = MIN(blocks, MAX_WRITE_SAME /
                                               u->info.block_size) *
                                   u->info.block_size;
    }
    return true;
}

static const Step steps[] = {
    { "TEST UNIT READY", { OP_TEST_UNIT_READY }, 6, 0, 0, true, take_nothing },
    { "INQUIRY", { OP_INQUIRY, 0, 0, 0, 96 }, 6, 96, 0, true, take_inquiry },
    { "VPD 00h", { OP_INQUIRY, 1, VPD_SUPPORTED, 0, 255 }, 6, 255, 0, false,
      take_pages },
    { "VPD 80h", { OP_INQUIRY, 1, VPD_SERIAL, 0, 255 }, 6, 255, VPD_SERIAL,
      false, take_serial },
    { "VPD 83h", { OP_INQUIRY, 1, VPD_IDS, 4, 0 }, 6, 1024, VPD_IDS, false,
      take_ids },
    { "VPD B0h", { OP_INQUIRY, 1, VPD_LIMITS, 0, 64 }, 6, 64, VPD_LIMITS,
      false, take_limits },
    { "VPD B2h", { OP_INQUIRY, 1, VPD_PROVISIONING, 0, 64 }, 6, 64,
      VPD_PROVISIONING, false, take_provisioning },
    { "READ CAPACITY(16)", { OP_SERVICE_ACTION_IN_16, 0x10, [13] = 32 }, 16,
      32, 0, true, take_capacity },
    { "MODE SENSE(6)", { OP_MODE_SENSE_6, 0x00, 0x08, 0, 192 }, 6, 192, 0,
      false, take_mode },
    { "REPORT SUPPORTED OPERATION CODES",
      { OP_MAINTENANCE_IN, 0x0c, 0x01, OP_WRITE_SAME_16, [9] = 64 }, 12, 64, 0,
      false, take_write_same },
};

/* Everything is known: what of it a volume may use. */
static void finish(SnBackend *be)
{
    SnIscsiUnit *u = &be->unit;
    SnVolumeInfo *info = &u->info;
    uint32_t block = info->block_size;

    info->no_fua_zeroes = true;         /* WRITE SAME has no such bit */
    info->max_transfer = SN_ISCSI_MAX_TRANSFER;
    if (u->max_transfer) {
        info->max_transfer = MIN((uint64_t)u->max_transfer * block,
                                 SN_ISCSI_MAX_TRANSFER);
    }
    if (u->opt_transfer) {
        info->opt_io_size = MIN((uint64_t)u->opt_transfer * block,
                                info->max_transfer);
    }
    if (u->lbpme && u->can_unmap && u->max_unmap) {
        info->max_discard = MIN((uint64_t)u->max_unmap * block, MAX_UNMAP);
        info->discard_granularity = MIN(
            (uint64_t)MAX(u->unmap_granularity, 1) * block, UINT32_MAX / 2);
    }
    if ((info->fua || !info->write_cache) && !be->no_compare_and_write) {
        info->max_compare_and_write = MIN(u->max_compare_and_write * block,
                                          SN_ISCSI_MAX_TRANSFER / 2);
    }
    info->queue_depth = be->options.queue_depth;
    info->queues = 1;
    sn_trace(iscsi_unit, "id=%s size=%" G_GUINT64_FORMAT " block=%u cache=%d "
             "fua=%d ro=%d discard=%d zeroes=%d compare-and-write=%u", be->id,
             info->size, block, info->write_cache, info->fua, info->read_only,
             info->max_discard != 0, info->max_write_zeroes != 0,
             info->max_compare_and_write);
    sn_iscsi_session_ready(be);
}

static bool skipped(const SnBackend *be, const Step *step)
{
    return step->page && !(be->unit.pages >> (step->page - 0x80) & 1);
}

static void ask(SnBackend *be)
{
    const Step *step;

    while (be->probe_step < G_N_ELEMENTS(steps) &&
           skipped(be, &steps[be->probe_step])) {
        be->probe_step++;
    }
    if (be->probe_step == G_N_ELEMENTS(steps)) {
        finish(be);
        return;
    }
    step = &steps[be->probe_step];
    sn_trace(iscsi_probe, "id=%s command=%s", be->id, step->name);
    if (!sn_iscsi_op_send(&be->probe, step->cdb, step->cdb_len,
                          step->len ? SN_ISCSI_READ : SN_ISCSI_NONE,
                          step->len, NULL, 0)) {
        sn_iscsi_fail(be, false, "no memory for a command");
    }
}

static Data data_of(const struct scsi_task *task)
{
    return (Data){ task->datain.data, MAX(task->datain.size, 0) };
}

static void next_step(SnBackend *be, Data d)
{
    if (steps[be->probe_step].take(be, d)) {
        be->probe_step++;
        be->probe_tries = 0;
        sn_iscsi_arm_step(be);
        ask(be);
    }
}

static void answered(SnIscsiOp *op, int status, struct scsi_task *task)
{
    SnBackend *be = op->be;
    const Step *step = &steps[be->probe_step];
    g_autofree char *why = NULL;
    SnIscsiVerdict verdict;
    int err;

    if (be->state != SN_ISCSI_PROBING) {
        return;
    }
    if (status >= SCSI_STATUS_CANCELLED) {
        sn_iscsi_over(be);
        return;
    }
    if (status == SCSI_STATUS_GOOD) {
        next_step(be, data_of(task));   /* fewer bytes than room is fine */
        return;
    }
    verdict = sn_iscsi_judge(status, task, &err);
    if (verdict != SN_ISCSI_DONE && ++be->probe_tries < MAX_TRIES) {
        sn_iscsi_arm_step(be);
        sn_timer_arm_in(be->loop, be->probe_timer,
                        verdict == SN_ISCSI_AGAIN ? 0 : TRY_DELAY);
        return;
    }
    if (!step->needed) {
        next_step(be, (Data){ NULL, 0 });
        return;
    }
    why = sn_iscsi_status_text(status, task);
    sn_iscsi_fail(be, false, "LUN %u of %s: %s: %s", be->options.lun,
                  be->options.target, step->name, why);
}

void sn_iscsi_probe_again(void *opaque)
{
    SnBackend *be = opaque;

    ask(be);
    sn_iscsi_flush(be);
}

void sn_iscsi_probe_start(SnBackend *be)
{
    be->probe = (SnIscsiOp){ .be = be, .done = answered };
    be->poll = (SnIscsiOp){ .be = be };
    be->probe_step = 0;
    be->probe_tries = 0;
    be->unit = (SnIscsiUnit){ 0 };
    ask(be);
}

static void capacity_read(SnIscsiOp *op, int status, struct scsi_task *task)
{
    SnBackend *be = op->be;
    SnIscsiUnit now = be->unit;

    if (be->state != SN_ISCSI_READY) {
        return;
    }
    if (status >= SCSI_STATUS_CANCELLED) {
        sn_iscsi_over(be);
        return;
    }
    sn_iscsi_heed(be, status, task);
    if (status != SCSI_STATUS_GOOD) {
        return;                 /* the next poll asks again */
    }
    if (!parse_capacity(data_of(task), &now) ||
        now.info.block_size != be->unit.info.block_size) {
        sn_iscsi_fail(be, false, "LUN %u of %s has become another disk",
                      be->options.lun, be->options.target);
        return;
    }
    if (now.info.size != be->unit.info.size) {
        be->unit.info.size = now.info.size;
        sn_backend_info_changed(be->vol, &be->unit.info);
    }
}

void sn_iscsi_probe_poll(SnBackend *be)
{
    static const uint8_t capacity[16] = { OP_SERVICE_ACTION_IN_16, 0x10,
                                          [13] = 32 };

    if (!be->poll.task) {
        be->poll.done = capacity_read;
        sn_iscsi_op_send(&be->poll, capacity, sizeof(capacity), SN_ISCSI_READ,
                         32, NULL, 0);
    }
}

static void ask_anew(SnBackend *be)
{
    sn_iscsi_fail(be, false, "LUN %u of %s has changed, and is asked anew",
                  be->options.lun, be->options.target);
}

static void unit_attention(SnBackend *be, unsigned ascq)
{
    sn_trace(iscsi_unit_attention, "id=%s asc=%04x", be->id, ascq);
    switch (ascq) {
    case ASC_CAPACITY_CHANGED:
        sn_iscsi_probe_poll(be);
        break;
    case ASC_MODE_PARAMETERS_CHANGED:
    case ASC_INQUIRY_DATA_CHANGED:
    case ASC_LUNS_CHANGED:      /* the LUN may be another disk now */
        ask_anew(be);
        break;
    default:
        if ((ascq & 0xff00) == ASC_RESET || ascq == ASC_COMMANDS_CLEARED) {
            sn_iscsi_io_cleared(be);
        }
        break;                  /* or a login elsewhere */
    }
}

void sn_iscsi_heed(SnBackend *be, int status, const struct scsi_task *task)
{
    if (status != SCSI_STATUS_CHECK_CONDITION) {
        return;
    }
    if (task->sense.key == SCSI_SENSE_UNIT_ATTENTION) {
        unit_attention(be, task->sense.ascq);
    } else if (task->sense.key == SCSI_SENSE_ILLEGAL_REQUEST &&
               task->sense.ascq == ASC_LUN_NOT_SUPPORTED) {
        ask_anew(be);           /* and waited for, if it is gone */
    }
}
