/*
 * Which port a station was last heard on, by VLAN and MAC address.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "mac-table.h"
#include "switch.h"

static uint64_t make_key(uint16_t vlan, const uint8_t mac[6])
{
    uint64_t key = vlan;

    for (int i = 0; i < 6; i++) {
        key = key << 8 | mac[i];
    }
    return key;
}

/* Fibonacci hashing: the top 8 bits of a product choose one of 256 sets. */
static unsigned set_of(uint64_t key)
{
    G_STATIC_ASSERT(SN_MAC_TABLE_SETS == 1 << 8);

    return key * 0x9e3779b97f4a7c15 >> 56;
}

static bool is_current(const SnMacEntry *entry, int64_t now)
{
    return entry->key && now - entry->seen < SN_SWITCH_AGE_NS;
}

void sn_mac_table_learn(SnMacTable *table, uint16_t vlan,
                        const uint8_t mac[6], unsigned port, int64_t now)
{
    uint64_t key = make_key(vlan, mac);
    SnMacEntry *set = table->sets[set_of(key)];
    SnMacEntry *place = set;

    for (unsigned i = 0; i < SN_MAC_TABLE_WAYS; i++) {
        if (set[i].key == key) {
            place = &set[i];
            break;
        }
        if (!set[i].key) {
            place = &set[i];
        } else if (place->key && set[i].seen < place->seen) {
            place = &set[i];
        }
    }
    *place = (SnMacEntry) { .key = key, .seen = now, .port = port };
}

int sn_mac_table_find(const SnMacTable *table, uint16_t vlan,
                      const uint8_t mac[6], int64_t now)
{
    uint64_t key = make_key(vlan, mac);
    const SnMacEntry *set = table->sets[set_of(key)];

    for (unsigned i = 0; i < SN_MAC_TABLE_WAYS; i++) {
        if (set[i].key == key) {
            return is_current(&set[i], now) ? (int)set[i].port : -1;
        }
    }
    return -1;
}

void sn_mac_table_flush(SnMacTable *table, unsigned port)
{
    for (unsigned s = 0; s < SN_MAC_TABLE_SETS; s++) {
        for (unsigned i = 0; i < SN_MAC_TABLE_WAYS; i++) {
            SnMacEntry *entry = &table->sets[s][i];

            if (entry->port == port) {
                *entry = (SnMacEntry) { };
            }
        }
    }
}
