/*
 * What Get Log Page returns (NVMe Base section 5.16.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "admin.h"
#include "controller.h"

/* The longest page of ours; what is behind it reads as zeroes. */
#define PAGE_SIZE 4096

enum {
    EFFECT_SUPPORTED = 1 << 0,
    EFFECT_DATA_CHANGES = 1 << 1,
    TREQ_NO_TLS = 0x02,         /* a secure channel is not required */
    TREQ_NO_FLOW = 0x04,        /* SQ flow control can be off */
    ADMIN_QUEUE_SIZE = 32,
};

static void fill_smart(uint8_t *page)
{
    struct nvme_smart_log *log = (void *)page;

    log->temperature[0] = (273 + 25) & 0xff;    /* kelvin */
    log->temperature[1] = (273 + 25) >> 8;
    log->avail_spare = 100;
    log->spare_thresh = 10;
    memcpy(log->host_reads, &stats.ops[OP_READ], sizeof(uint64_t));
    memcpy(log->host_writes, &stats.ops[OP_WRITE], sizeof(uint64_t));
}

static void fill_firmware(uint8_t *page)
{
    page[0] = 1;                /* the active slot */
    memcpy(page + 8, "1       ", 8);
}

static void fill_changed(const Ctrl *ctrl, uint8_t *page)
{
    uint32_t *list = (void *)page;

    for (uint32_t nsid = 1; nsid <= NS_MAX; nsid++) {
        if (ctrl->changed[nsid - 1]) {
            *list++ = nsid;
        }
    }
}

static void fill_resv(const Ctrl *ctrl, uint8_t *page)
{
    struct nvme_resv_notification_log log = ctrl_resv_page(ctrl);

    memcpy(page, &log, sizeof(log));
}

static void fill_effects(uint8_t *page)
{
    static const uint8_t admin[] = {
        nvme_admin_identify, nvme_admin_get_log_page, nvme_admin_get_features,
        nvme_admin_set_features, nvme_admin_async_event, nvme_admin_abort_cmd,
        nvme_admin_keep_alive, nvme_admin_get_lba_status,
    };
    static const uint8_t reads[] = {
        nvme_cmd_flush, nvme_cmd_read, nvme_cmd_compare, nvme_cmd_verify,
        nvme_cmd_resv_register, nvme_cmd_resv_report, nvme_cmd_resv_acquire,
        nvme_cmd_resv_release,
    };
    static const uint8_t writes[] = {
        nvme_cmd_write, nvme_cmd_write_zeroes, nvme_cmd_dsm,
        nvme_cmd_write_uncor,
    };
    struct nvme_cmd_effects_log *log = (void *)page;

    for (unsigned i = 0; i < ARRAY_SIZE(admin); i++) {
        log->acs[admin[i]] = EFFECT_SUPPORTED;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(reads); i++) {
        log->iocs[reads[i]] = EFFECT_SUPPORTED;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
        log->iocs[writes[i]] = EFFECT_SUPPORTED | EFFECT_DATA_CHANGES;
    }
}

/* The address at which the host itself has reached us, unless told another. */
static void set_address(const Conn *c, struct nvmf_disc_log_entry *entry)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);
    const void *ip = &((struct sockaddr_in *)&addr)->sin_addr;

    entry->adrfam = NVMF_ADDR_FAMILY_IP4;
    getsockname(c->watch.fd, (struct sockaddr *)&addr, &len);
    if (addr.ss_family == AF_INET6) {
        entry->adrfam = NVMF_ADDR_FAMILY_IP6;
        ip = &((struct sockaddr_in6 *)&addr)->sin6_addr;
    }
    if (options.traddr) {
        snprintf(entry->traddr, sizeof(entry->traddr), "%s", options.traddr);
    } else {
        inet_ntop(addr.ss_family, ip, entry->traddr, sizeof(entry->traddr));
    }
    snprintf(entry->trsvcid, sizeof(entry->trsvcid), "%u", target_port());
}

static void fill_discovery(const Conn *c, uint8_t *page)
{
    struct nvmf_discovery_log *log = (void *)page;
    struct nvmf_disc_log_entry *entry = &log->entries[0];

    log->genctr = 1;
    log->numrec = 1;
    entry->trtype = NVMF_TRTYPE_TCP;
    entry->subtype = NVME_NQN_NVME;
    entry->treq = TREQ_NO_TLS | TREQ_NO_FLOW;
    entry->portid = 1;
    entry->cntlid = CNTLID_DYNAMIC;
    entry->asqsz = ADMIN_QUEUE_SIZE;
    strncpy(entry->subnqn, options.nqn, sizeof(entry->subnqn) - 1);
    set_address(c, entry);
}

/* False when there is no such page. */
static bool fill_page(Request *r, unsigned lid, uint8_t *page)
{
    Ctrl *ctrl = r->conn->ctrl;

    if (ctrl->discovery != (lid == NVME_LOG_LID_DISCOVER)) {
        return false;
    }
    switch (lid) {
    case NVME_LOG_LID_ERROR:
        return true;            /* no errors */
    case NVME_LOG_LID_SMART:
        fill_smart(page);
        return true;
    case NVME_LOG_LID_FW_SLOT:
        fill_firmware(page);
        return true;
    case NVME_LOG_LID_CHANGED_NS:
        fill_changed(ctrl, page);
        return true;
    case NVME_LOG_LID_CMD_EFFECTS:
        fill_effects(page);
        return true;
    case NVME_LOG_LID_RESERVATION:
        fill_resv(ctrl, page);
        return true;
    case NVME_LOG_LID_DISCOVER:
        fill_discovery(r->conn, page);
        return true;
    default:
        return false;
    }
}

void get_log_page(Request *r)
{
    _Alignas(8) uint8_t page[PAGE_SIZE] = { 0 };
    unsigned lid = r->sqe.cdw10 & 0xff;
    bool retain = r->sqe.cdw10 >> 15 & 1;
    uint64_t dwords = (r->sqe.cdw10 >> 16 |
                       (uint64_t)(r->sqe.cdw11 & 0xffff) << 16) + 1;
    uint64_t offset = r->sqe.cdw12 | (uint64_t)r->sqe.cdw13 << 32;

    if (!fill_page(r, lid, page)) {
        answer(r, STATUS_COMMAND(NVME_SC_INVALID_LOG_PAGE) | STATUS_DNR);
        return;
    }
    if (offset % 4 || offset > PAGE_SIZE) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    answer_padded(r, page + offset, PAGE_SIZE - offset, dwords * 4);
    if (!r->conn->ctrl) {
        return;
    }
    if (lid == NVME_LOG_LID_CHANGED_NS && !retain) {
        ctrl_changes_read(r->conn->ctrl);
    } else if (lid == NVME_LOG_LID_RESERVATION && !offset) {
        ctrl_resv_read(r->conn->ctrl, retain);
    }
}
