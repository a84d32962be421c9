/*
 * Which port a station was last heard on, by VLAN and MAC address.
 *
 * A fixed number of places. When they run out, the station that was silent
 * for longest is forgotten, which costs it some flooding and nothing else.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SWITCH_MAC_TABLE_H
#define SMARTNIC_SWITCH_MAC_TABLE_H

#include <stdint.h>

#define SN_MAC_TABLE_SETS 256
#define SN_MAC_TABLE_WAYS 4

typedef struct SnMacEntry {
    uint64_t key;               /* VLAN and MAC; 0: free */
    int64_t seen;               /* SnLoop's clock, ns */
    unsigned port;
} SnMacEntry;

/* All zeroes: empty. */
typedef struct SnMacTable {
    SnMacEntry sets[SN_MAC_TABLE_SETS][SN_MAC_TABLE_WAYS];
} SnMacTable;

/* @mac, which is not all zeroes, spoke in @vlan on @port at time @now. */
void sn_mac_table_learn(SnMacTable *table, uint16_t vlan,
                        const uint8_t mac[6], unsigned port, int64_t now);

/* The port, or -1 when not known or not heard for SN_SWITCH_AGE_NS. */
int sn_mac_table_find(const SnMacTable *table, uint16_t vlan,
                      const uint8_t mac[6], int64_t now);

/* Forgets who was heard on @port. */
void sn_mac_table_flush(SnMacTable *table, unsigned port);

#endif
