/*
 * Function 0's register block: BAR 0, 4 KiB, read-only, little endian, 4- or
 * 8-byte accesses. docs/guest-contract.rst is the guest's view of it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_CARD_REGS_H
#define SMARTNIC_QEMU_CARD_REGS_H

#define SN_REGS_SIZE   0x1000

#define SN_REG_MAGIC   0x00     /* SN_REGS_MAGIC */
#define SN_REG_VERSION 0x04     /* of this layout: 1 */
#define SN_REG_PORTS   0x08     /* number of switch ports */
#define SN_REG_LINK    0x0c     /* bit n: port n has a link */
#define SN_REG_IP4     0x10     /* firmware's IPv4 address, 0: none yet */
#define SN_REG_VOLUME  0x14     /* state of the volume, SN_REGS_VOLUME_* */
#define SN_REG_COUNTERS 0x100   /* port n's at + n * SN_REGS_PORT_STRIDE */

#define SN_REGS_MAGIC  0x54534e53       /* "SNST" */
#define SN_REGS_LAYOUT 1
#define SN_REGS_PORT_STRIDE 0x40

/* 64-bit counters of a port, in this order, from its offset on. */
enum {
    SN_REGS_RX_FRAMES,
    SN_REGS_RX_BYTES,
    SN_REGS_RX_DROPPED,
    SN_REGS_TX_FRAMES,
    SN_REGS_TX_BYTES,
    SN_REGS_TX_DROPPED,
    SN_REGS_COUNTERS
};

enum {
    SN_REGS_VOLUME_NONE,
    SN_REGS_VOLUME_CONNECTING,
    SN_REGS_VOLUME_READY,
    SN_REGS_VOLUME_LOST,
    SN_REGS_VOLUME_FAILED,
};

#endif
