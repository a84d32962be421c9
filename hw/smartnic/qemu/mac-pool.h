/*
 * Giving an address back to QEMU's pool of MAC addresses.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_MAC_POOL_H
#define SMARTNIC_QEMU_MAC_POOL_H

#include "net/net.h"

/*
 * Undoes one qemu_macaddr_default_if_unset(). Only for an address that no NIC
 * of QEMU has; with a NIC it goes back when that is deleted.
 */
void sn_mac_give_back(const MACAddr *mac);

#endif
