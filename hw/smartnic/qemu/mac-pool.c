/*
 * Giving an address back to QEMU's pool of MAC addresses.
 *
 * The pool has 169 of them, so a card that is plugged and unplugged all day
 * must not keep one each time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "mac-pool.h"

static NetClientInfo holder_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
};

/* QEMU takes an address back from nobody but a NIC that is deleted. */
void sn_mac_give_back(const MACAddr *mac)
{
    MemReentrancyGuard guard = { };
    NICConf conf = { .macaddr = *mac };

    qemu_del_nic(qemu_new_nic(&holder_info, &conf, "smartnic-mac",
                              "#smartnic-mac", &guard, NULL));
}
