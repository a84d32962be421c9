/*
 * A test double of an NVMe/TCP target: Fabrics and admin commands.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "nvme-double-internal.h"

/* Whether the subsystem is there; sets whether it is for discovery. */
static bool find_subsystem(Command *cmd)
{
    static const char discovery[] = "nqn.2014-08.org.nvmexpress.discovery";
    const char *nqn = (const char *)cmd->data + 256;
    Conn *c = cmd->conn;
    NvmeDouble *d = c->d;

    c->discovery = !strcmp(nqn, discovery);
    if (!c->discovery) {
        return !strcmp(nqn, "nqn.2026-11.test:disk");
    }
    g_assert_cmpuint(get32(cmd->sqe + 48), ==, 0);      /* KATO */
    return d->discovery && (!d->discovery_port ||
                            d->discovery_port == memory_stream_port(c->ms));
}

static void do_connect(Command *cmd)
{
    Conn *c = cmd->conn;
    NvmeDouble *d = c->d;

    d->connects++;
    g_assert_true(cmd->len == 1024 && cmd->have == 1024);  /* in the capsule */
    g_assert_cmpuint(get16(cmd->sqe + 40), ==, 0);
    c->qid = get16(cmd->sqe + 42);
    g_assert_cmpuint(get16(cmd->sqe + 44), >, 0);
    c->no_flow = cmd->sqe[46] & 4;
    g_assert_cmpuint(get16(cmd->data + 16), ==, c->qid ? 7 : 0xffff);
    memcpy(d->hostid, cmd->data, 16);
    g_strlcpy(d->hostnqn, (char *)cmd->data + 512, 256);
    if (!find_subsystem(cmd)) {
        nvme_double_respond(cmd, 1 << 16 | 256, 0x4182);
        return;
    }
    c->fabrics_connected = !d->connect_status;
    if (d->connect_status) {
        nvme_double_respond(cmd, d->connect_dw0, d->connect_status);
    } else {
        nvme_double_respond(cmd, 7, SUCCESS);
    }
}

static void do_fabrics(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    uint32_t offset = get32(cmd->sqe + 44);

    if (cmd->sqe[4] == 1) {
        do_connect(cmd);
        return;
    }
    g_assert_true(cmd->conn->fabrics_connected);
    if (cmd->sqe[4] == 0) {
        g_assert_cmphex(offset, ==, 0x14);
        g_assert_cmphex(get32(cmd->sqe + 48) & ~0x4000, ==, 0x460001);
        nvme_double_respond(cmd, 0, SUCCESS);
    } else if (offset == 0) {
        g_assert_cmpuint(cmd->sqe[40], ==, 1);
        nvme_double_respond(cmd, 1ull << 37 |
                            (uint64_t)d->cap_to << 24 | 127, SUCCESS);
    } else {
        g_assert_cmphex(offset, ==, 0x1c);
        nvme_double_respond(cmd, d->not_ready ? 0 : 1, SUCCESS);
        d->not_ready -= d->not_ready > 0;
    }
}

/* Identify Namespace: what only another NVMe controller wants to know. */
static void fill_nvme(const NvmeDouble *d, uint8_t *id)
{
    put(id + 8, 0x1234567, 8);          /* NCAP, NUSE */
    put(id + 16, 0x123456, 8);
    id[24] = 1 << 4 | 1 << 1;
    id[30] = 1;
    id[31] = 0x7e;
    id[32] = 0x80;
    id[33] = d->dlfeat;
    for (unsigned at = 34; at < 48; at += 2) {
        put(id + at, 0x100 + at, 2);    /* NAWUN to NOIOB, NVMCAP is next */
    }
    put(id + 66, 3, 2);
    put(id + 70, 5, 2);
}

static void do_identify(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    uint8_t id[4096] = { 0 };

    switch (cmd->sqe[40]) {
    case 1:
        memcpy(id + 4, "SN42                ", 20);
        id[77] = d->mdts;
        id[76] = d->ana_state ? 8 : 0;
        put(id + 92, 1 << 8 | 1 << 11, 4);
        put(id + 96, d->tbkas ? 1 << 6 : 0, 4);
        put(id + 130, d->crdt, 2);
        put(id + 320, d->kas, 2);
        id[342] = d->ana_state ? 20 : 0;
        put(id + 386, d->cqt, 2);
        put(id + 514, 64, 2);
        put(id + 520, 0xaf, 2);
        id[525] = d->vwc;
        put(id + 1792, d->ioccsz, 4);
        put(id + 1796, 1, 4);
        break;
    case 0:
        g_assert_cmpuint(get32(cmd->sqe + 4), ==, 1);
        if (d->removed) {
            nvme_double_respond(cmd, 0, 0x400b);
            return;
        }
        id[29] = d->pi_type;
        put(id + 92, d->ana_state ? 5 : 0, 4);
        put(id, d->size >> d->block_shift, 8);
        fill_nvme(d, id);
        put(id + 64, 7, 2);
        put(id + 68, 15, 2);
        put(id + 72, 31, 2);
        id[99] = d->nsattr;
        memset(id + 104, d->nguid_byte, 16);
        put(id + 128, d->metadata | d->block_shift << 16, 4);
        break;
    case 6:
        g_assert_cmpuint(get32(cmd->sqe + 44), ==, 0);
        if (!d->limits) {
            nvme_double_respond(cmd, 0, 0x4002);
            return;
        }
        id[0] = 4;
        id[1] = 2;
        id[2] = 3;
        put(id + 4, 1000, 4);
        put(id + 8, 800, 8);
        break;
    default:
        g_assert_cmpuint(cmd->sqe[40], ==, 3);
        if (d->descs_failures) {
            d->descs_failures--;
            nvme_double_respond(cmd, 0, d->descs_status);
            return;
        }
        id[0] = 3;
        id[1] = 16;
        memset(id + 4, d->nsid_byte, 16);
        id[20] = 4;
        id[21] = 1;
        id[24] = d->csi;
        break;
    }
    nvme_double_respond_data(cmd, id, sizeof(id));
}

/* One entry of the discovery log. */
static void fill_entry(const NvmeDouble *d, unsigned i, uint8_t *e)
{
    e[0] = i % 7 == 3 ? 1 : 3;          /* some are RDMA */
    e[1] = i % 5 == 4 ? 2 : 1;
    e[2] = i % 11 == 10 ? 1 : 2;        /* some are referrals */
    memset(e + 32, ' ', 32);
    memcpy(e + 32, "4420", 4);
    if (d->entry_nqn) {
        memcpy(e + 256, d->entry_nqn, strlen(d->entry_nqn));
    } else {
        g_snprintf((char *)e + 256, 256, "nqn.2026-11.test:vol%u", i);
    }
    memset(e + 512, ' ', 256);
    memcpy(e + 512, e[1] == 2 ? "fd00::1" : "10.0.0.1", e[1] == 2 ? 7 : 8);
}

static void do_discovery_log(Command *cmd, uint8_t *log, uint32_t len,
                             uint64_t offset)
{
    NvmeDouble *d = cmd->conn->d;
    g_autofree uint8_t *all = g_malloc0(1024 * (1 + d->entries));

    g_assert_true(cmd->conn->discovery);
    d->discoveries += !offset;
    if (offset && d->log_changes) {
        d->log_changes--;
        d->entries++;
        nvme_double_respond_data(cmd, log, len);    /* of no use any more */
        return;
    }
    put(all, d->entries, 8);            /* the generation will do */
    put(all + 8, d->entries, 8);
    for (unsigned i = 0; i < d->entries; i++) {
        fill_entry(d, i, all + 1024 * (1 + i));
    }
    g_assert_cmpuint(offset + len, <=, 1024 * (1 + d->entries));
    nvme_double_respond_data(cmd, all + offset, len);
}

/* Part of the ANA log: groups from the highest down to ours, which is 5. */
static void fill_ana(const NvmeDouble *d, uint8_t *log, uint64_t offset)
{
    unsigned i = offset ? (offset - 16) / 32 : 0, at = offset ? 0 : 16;

    put(log, 1, 8);
    put(log + 8, d->ana_groups, 2);
    for (; i < d->ana_groups && at + 32 <= 4096; i++, at += 32) {
        put(log + at, 5 + d->ana_groups - 1 - i, 4);
        log[at + 16] = i == d->ana_groups - 1 ? d->ana_state : 3;
    }
}

/* The oldest notice, which is gone then. Like SPDK's, NALP says nothing. */
static void take_notice(NvmeDouble *d, uint8_t *log)
{
    if (!d->n_notices) {
        return;
    }
    put(log, 1, 8);
    log[8] = d->notices[0].type;
    put(log + 12, d->notices[0].nsid, 4);
    if (!d->endless_notices) {
        d->n_notices--;
        memmove(&d->notices[0], &d->notices[1],
                d->n_notices * sizeof(d->notices[0]));
    }
}

static void do_log(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    uint8_t log[4096] = { d->changed_nsid };
    uint32_t len = (get16(cmd->sqe + 42) + 1) * 4;
    uint64_t offset = get64(cmd->sqe + 48);

    g_assert_cmpuint(len, <=, sizeof(log));
    d->log_reads++;
    d->last_log = cmd->sqe[40];
    switch (cmd->sqe[40]) {
    case 0x04:
        g_assert_cmpuint(len, ==, 4096);
        break;
    case 0x0c:
        g_assert_cmpuint(cmd->sqe[41], ==, 1);      /* groups only */
        fill_ana(d, log, offset);
        break;
    case 0x70:
        do_discovery_log(cmd, log, len, offset);
        return;
    case 0x80:
        g_assert_cmpuint(len, ==, 64);
        g_assert_cmpuint(cmd->sqe[41], ==, 0);      /* no RAE */
        if (d->notice_status) {
            nvme_double_respond(cmd, 0, d->notice_status);
            return;
        }
        log[0] = 0;
        take_notice(d, log);
        break;
    default:
        g_assert_cmpuint(len, ==, 512);
        break;
    }
    nvme_double_respond_data(cmd, log, len);
}

static void do_set_features(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    unsigned n = MIN(get16(cmd->sqe + 44) + 1, d->max_queues) - 1;

    switch (cmd->sqe[40]) {
    case 0x07:
        nvme_double_respond(cmd, n << 16 | n, SUCCESS);
        return;
    case 0x0b:
        d->event_config = get32(cmd->sqe + 44);
        break;
    default:
        g_assert_cmphex(cmd->sqe[40], ==, 0x16);
        g_assert_cmpuint(cmd->len, ==, 512);
        d->behavior = cmd->data[0];
        break;
    }
    nvme_double_respond(cmd, 0, SUCCESS);
}

/* A command of which the initiator knows nothing. */
void nvme_double_passed(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;
    uint32_t len = get32(cmd->sqe + 32);
    g_autofree uint8_t *data = g_malloc(len + 1);

    g_assert_cmpuint(get32(cmd->sqe + 4), ==, 1);       /* NSID */
    g_assert_cmpuint(get64(cmd->sqe + 16), ==, 0);      /* MPTR */
    memcpy(d->passed, cmd->sqe, 64);
    d->passed_qid = cmd->conn->qid;
    g_assert_cmpuint(cmd->len, <=, sizeof(d->passed_data));
    for (uint32_t i = 0; i < cmd->len; i++) {
        d->passed_data[i] = cmd->data[i];
    }
    if (d->admin_status && !cmd->conn->qid) {
        nvme_double_respond(cmd, 0, d->admin_status);
    } else if ((cmd->sqe[0] & 3) == 2 && len) {
        memset(data, 0x3c, len);
        nvme_double_respond_data(cmd, data, len);
    } else {
        nvme_double_respond(cmd, d->result, SUCCESS);
    }
}

void nvme_double_admin(Command *cmd)
{
    NvmeDouble *d = cmd->conn->d;

    g_assert_true(!cmd->conn->discovery || cmd->sqe[0] == 0x02 ||
                  cmd->sqe[0] == 0x7f);
    if (d->lost_admin && d->lost_admin == cmd->sqe[0]) {
        d->aborts += cmd->sqe[0] == 0x08;
        return;
    }
    switch (cmd->sqe[0]) {
    case 0x02:
        do_log(cmd);
        break;
    case 0x06:
        do_identify(cmd);
        break;
    case 0x08:
        d->aborts++;
        nvme_double_respond(cmd, 1, SUCCESS);
        break;
    case 0x09:
        if (cmd->sqe[40] == 0x83) {
            nvme_double_passed(cmd);
        } else {
            do_set_features(cmd);
        }
        break;
    case 0x0a:
        g_assert_cmphex(cmd->sqe[40], ==, 0x83);
        nvme_double_passed(cmd);
        break;
    case 0x0c:
        cmd->conn->event_cid = cmd->cid;
        d->have_event = true;
        nvme_double_free_command(cmd);
        break;
    case 0x18:
        d->keep_alives++;
        if (!d->deaf) {
            nvme_double_respond(cmd, 0, SUCCESS);
        }
        break;
    case 0x7f:
        do_fabrics(cmd);
        break;
    case 0x86:                          /* Get LBA Status */
        nvme_double_passed(cmd);
        break;
    default:
        g_error("admin opcode %02x", cmd->sqe[0]);
    }
}
