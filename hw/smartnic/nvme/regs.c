/*
 * The register block of the controller (NVMe Base 1.4 section 3.1).
 *
 * Registers are accessed in 4 bytes, 64-bit ones also in 8, aligned to that
 * (PCIe Transport 1.0 section 3.1). Everything else reads as zero and changes
 * nothing.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_register_write);

/* CC: what only means something when CC.EN becomes 1. */
#define CC_FIXED_MASK                                                      \
    ((uint32_t)NVME_CC_CSS_MASK << NVME_CC_CSS_SHIFT |                     \
     (uint32_t)NVME_CC_MPS_MASK << NVME_CC_MPS_SHIFT |                     \
     (uint32_t)NVME_CC_AMS_MASK << NVME_CC_AMS_SHIFT)

static void write_cc(SnCtrl *ctrl, uint32_t value)
{
    uint32_t old = ctrl->cc;

    if (NVME_CC_EN(old)) {
        value = (value & ~CC_FIXED_MASK) | (old & CC_FIXED_MASK);
    }
    ctrl->cc = value;
    if (NVME_CC_EN(value) && !NVME_CC_EN(old)) {
        sn_ctrl_enable(ctrl);
    } else if (!NVME_CC_EN(value) && NVME_CC_EN(old)) {
        sn_ctrl_disable(ctrl);
    }
    if (NVME_CC_SHN(value) && !NVME_CC_SHN(old)) {
        sn_ctrl_shutdown(ctrl, NVME_CC_SHN(value) == NVME_CC_SHN_ABRUPT);
    }
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;

    *reg = (*reg & ~(UINT64_C(0xffffffff) << shift)) |
           (uint64_t)value << shift;
}

static uint32_t read4(const SnCtrl *ctrl, unsigned offset)
{
    switch (offset) {
    case NVME_REG_CAP:
        return (uint32_t)ctrl->cap;
    case NVME_REG_CAP + 4:
        return (uint32_t)(ctrl->cap >> 32);
    case NVME_REG_VS:
        return SN_CTRL_VERSION;
    case NVME_REG_INTMS:
    case NVME_REG_INTMC:
        return ctrl->intms;
    case NVME_REG_CC:
        return ctrl->cc;
    case NVME_REG_CSTS:
        return ctrl->csts;
    case NVME_REG_AQA:
        return ctrl->aqa;
    case NVME_REG_ASQ:
        return (uint32_t)ctrl->asq;
    case NVME_REG_ASQ + 4:
        return (uint32_t)(ctrl->asq >> 32);
    case NVME_REG_ACQ:
        return (uint32_t)ctrl->acq;
    case NVME_REG_ACQ + 4:
        return (uint32_t)(ctrl->acq >> 32);
    default:
        return 0;               /* reserved, and doorbells */
    }
}

static void write4(SnCtrl *ctrl, unsigned offset, uint32_t value)
{
    bool disabled = !NVME_CC_EN(ctrl->cc);

    switch (offset) {
    case NVME_REG_INTMS:
        ctrl->intms |= value;
        sn_ctrl_update_pin(ctrl);
        break;
    case NVME_REG_INTMC:
        ctrl->intms &= ~value;
        sn_ctrl_notify(ctrl);   /* what was held back, and the pin */
        break;
    case NVME_REG_CC:
        write_cc(ctrl, value);
        break;
    case NVME_REG_AQA:
        if (disabled) {
            ctrl->aqa = value & 0x0fff0fff;
        }
        break;
    case NVME_REG_ASQ:
    case NVME_REG_ASQ + 4:
        if (disabled) {
            set_half(&ctrl->asq, offset != NVME_REG_ASQ, value);
            ctrl->asq &= ~UINT64_C(0xfff);
        }
        break;
    case NVME_REG_ACQ:
    case NVME_REG_ACQ + 4:
        if (disabled) {
            set_half(&ctrl->acq, offset != NVME_REG_ACQ, value);
            ctrl->acq &= ~UINT64_C(0xfff);
        }
        break;
    default:
        break;                  /* read-only or reserved */
    }
}

static bool access_is_valid(unsigned offset, unsigned size)
{
    return (size == 4 || size == 8) && offset % size == 0 &&
           offset <= SN_CTRL_REGS_SIZE - size;
}

uint64_t sn_ctrl_read(SnCtrl *ctrl, unsigned offset, unsigned size)
{
    uint64_t value;

    if (!access_is_valid(offset, size)) {
        return 0;
    }
    value = read4(ctrl, offset);
    if (size == 8) {
        value |= (uint64_t)read4(ctrl, offset + 4) << 32;
    }
    return value;
}

void sn_ctrl_write(SnCtrl *ctrl, unsigned offset, uint64_t value,
                   unsigned size)
{
    if (!access_is_valid(offset, size)) {
        return;
    }
    if (offset >= SN_CTRL_DOORBELLS) {
        if (size == 4) {
            sn_ctrl_ring(ctrl, offset - SN_CTRL_DOORBELLS, value);
        }
        return;
    }
    sn_trace(nvme_register_write, "id=%s offset=0x%x size=%u value=0x%"
             G_GINT64_MODIFIER "x", ctrl->id, offset, size, value);
    write4(ctrl, offset, value);
    if (size == 8) {
        write4(ctrl, offset + 4, value >> 32);
    }
}
