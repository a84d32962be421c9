/*
 * The card's embedded Ethernet switch.
 *
 * It joins the uplink, the guest's network function (the host port) and the
 * firmware on one wire, learns who is where, keeps the storage VLAN to the
 * firmware and keeps the guest from speaking in the firmware's name.
 *
 * All calls happen in the card's thread. Nothing here allocates per frame.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SWITCH_H
#define SMARTNIC_SWITCH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "smartnic/loop.h"
#include "smartnic/port.h"

#define SN_SWITCH_MAX_PORTS 16
#define SN_SWITCH_MAX_IP6   4

/*
 * Bytes of the longest frame that is let in: an IPv6 packet of 64 KiB with
 * its header, Ethernet's and two tags (40 + 14 + 8), rounded up.
 */
#define SN_SWITCH_MAX_FRAME (65536 + 64)

/* Pieces (iovec entries) that a delivered frame has at most. */
#define SN_SWITCH_MAX_IOV 128

/* Addresses are forgotten when nothing came from them for so long. */
#define SN_SWITCH_AGE_NS (300 * SN_NS_PER_S)

typedef struct SnSwitch SnSwitch;

/* @loop is borrowed and outlives the switch. Never NULL. */
SnSwitch *sn_switch_new(SnLoop *loop);

/*
 * Frees @sw (NULL: nothing to do). Does not touch the ports, which may be gone
 * already. Not from inside deliver().
 */
void sn_switch_free(SnSwitch *sw);

/*
 * Adds @port, which is borrowed until it is detached and must not be attached
 * to another switch. Its role, MAC and VLAN must not change meanwhile. False
 * when SN_SWITCH_MAX_PORTS are there already.
 */
bool sn_switch_attach(SnSwitch *sw, SnPort *port);

/*
 * Takes @port out; what was learned or protected for it is forgotten. May be
 * called from inside deliver(). Harmless when it is not attached.
 */
void sn_switch_detach(SnSwitch *sw, SnPort *port);

/*
 * A frame comes in from @from, which is attached. @frame is borrowed during
 * the call. It is delivered before the call returns, or dropped and counted.
 *
 * A port's deliver() may call this again; at a depth of 8 such calls frames
 * are dropped, since two ports that answer each other would never end.
 */
void sn_switch_input(SnSwitch *sw, SnPort *from, const SnFrame *frame);

/*
 * Sets @port->link_up. A port that is down neither sends nor receives, and
 * what was learned from it is forgotten.
 */
void sn_switch_set_link(SnSwitch *sw, SnPort *port, bool up);

/*
 * Sets the addresses that host ports must not use because they belong to the
 * firmware behind @port, in place of those set before; they are copied. @ip4
 * is NULL or 0.0.0.0 when there is none. @ip6 are @n_ip6 addresses, at most
 * SN_SWITCH_MAX_IP6. Network byte order. @port's MAC is protected without
 * this.
 */
void sn_switch_protect(SnSwitch *sw, SnPort *port, const uint8_t ip4[4],
                       const uint8_t (*ip6)[16], unsigned n_ip6);

#endif
