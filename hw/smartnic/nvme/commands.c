/*
 * Which commands there are, and what each changes: what the dispatchers,
 * Identify and log page 05h agree on.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

typedef struct Command {
    /* As in log page 05h (Base 1.4 figure 211); 0: there is no such command. */
    uint32_t effects;
    /* It is there only with this bit of OACS or ONCS; 0: in any case. */
    uint16_t needs;
} Command;

#define SUPPORTED { NVME_CMD_EFFECTS_CSUPP }
#define SUPPORTED_WITH(bit) { NVME_CMD_EFFECTS_CSUPP, bit }
/* Likewise, and changes what logical blocks contain. */
#define CHANGES { NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC }
#define CHANGES_WITH(bit) \
    { NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC, bit }

static const Command admin_commands[256] = {
    [nvme_admin_delete_sq] = SUPPORTED,
    [nvme_admin_create_sq] = SUPPORTED,
    [nvme_admin_get_log_page] = SUPPORTED,
    [nvme_admin_delete_cq] = SUPPORTED,
    [nvme_admin_create_cq] = SUPPORTED,
    [nvme_admin_identify] = SUPPORTED,
    [nvme_admin_abort_cmd] = SUPPORTED,
    [nvme_admin_set_features] = SUPPORTED,
    [nvme_admin_get_features] = SUPPORTED,
    [nvme_admin_async_event] = SUPPORTED,
    [nvme_admin_dbbuf] = SUPPORTED,
    [nvme_admin_get_lba_status] = SUPPORTED_WITH(NVME_CTRL_OACS_LBA_STATUS),
};

static const Command io_commands[256] = {
    [nvme_cmd_flush] = SUPPORTED,
    [nvme_cmd_write] = CHANGES,
    [nvme_cmd_read] = SUPPORTED,
    [nvme_cmd_write_uncor] = CHANGES_WITH(NVME_CTRL_ONCS_WRITE_UNCORRECTABLE),
    [nvme_cmd_compare] = SUPPORTED,
    [nvme_cmd_write_zeroes] = CHANGES,
    [nvme_cmd_dsm] = CHANGES,
    [nvme_cmd_verify] = SUPPORTED,
    [nvme_cmd_resv_register] = SUPPORTED_WITH(NVME_CTRL_ONCS_RESERVATIONS),
    [nvme_cmd_resv_report] = SUPPORTED_WITH(NVME_CTRL_ONCS_RESERVATIONS),
    [nvme_cmd_resv_acquire] = SUPPORTED_WITH(NVME_CTRL_ONCS_RESERVATIONS),
    [nvme_cmd_resv_release] = SUPPORTED_WITH(NVME_CTRL_ONCS_RESERVATIONS),
};

/*
 * Whether a far side may answer Get LBA Status. Which admin commands it has is
 * not known here: one that lacks this says so itself, as Invalid Opcode.
 */
static bool has_lba_status(SnCtrl *ctrl)
{
    for (uint32_t nsid = 1; nsid <= SN_CTRL_MAX_NSID; nsid++) {
        SnCtrlNs *ns = sn_ctrl_ns(ctrl, nsid);

        if (ns && sn_ctrl_ns_info(ns)->nvme.passthrough) {
            return true;
        }
    }
    return false;
}

uint16_t sn_ctrl_oacs(SnCtrl *ctrl)
{
    return NVME_CTRL_OACS_DBBUF_CFG |
           (has_lba_status(ctrl) ? NVME_CTRL_OACS_LBA_STATUS : 0);
}

static uint32_t admin_effects(SnCtrl *ctrl, uint8_t opcode)
{
    const Command *cmd = &admin_commands[opcode];

    return cmd->needs && !(sn_ctrl_oacs(ctrl) & cmd->needs) ? 0 : cmd->effects;
}

static uint32_t io_effects(SnCtrl *ctrl, uint8_t opcode)
{
    const Command *cmd = &io_commands[opcode];

    return cmd->needs && !(sn_ctrl_oncs(ctrl) & cmd->needs) ? 0 : cmd->effects;
}

bool sn_ctrl_admin_supported(SnCtrl *ctrl, uint8_t opcode)
{
    return admin_effects(ctrl, opcode);
}

bool sn_ctrl_io_supported(SnCtrl *ctrl, uint8_t opcode)
{
    return io_effects(ctrl, opcode);
}

void sn_ctrl_effects_log(SnCtrl *ctrl, struct nvme_cmd_effects_log *log)
{
    for (unsigned i = 0; i < 256; i++) {
        log->acs[i] = GUINT32_TO_LE(admin_effects(ctrl, i));
        log->iocs[i] = GUINT32_TO_LE(io_effects(ctrl, i));
    }
}
