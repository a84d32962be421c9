/*
 * What a host port must not send, because it would make others take the guest
 * for the firmware, or the firmware take the guest for its network.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SWITCH_GUARD_H
#define SMARTNIC_SWITCH_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "eth-head.h"
#include "switch.h"

/* The addresses of one firmware. */
typedef struct SnStation {
    uint8_t mac[6];
    bool has_ip4;
    uint8_t ip4[4];
    unsigned n_ip6;
    uint8_t ip6[SN_SWITCH_MAX_IP6][16];
} SnStation;

typedef enum SnGuardVerdict {
    /* Goes wherever its addresses say. */
    SN_GUARD_PASS,
    /*
     * Would configure the firmware's network, which only the uplink may do;
     * for all other ports it is an ordinary frame.
     */
    SN_GUARD_NOT_TO_FIRMWARE,
    /* Claims an address of a firmware, or is malformed where one may hide. */
    SN_GUARD_DROP,
} SnGuardVerdict;

/*
 * Judges a frame from a host port, which begins with @head and has offload
 * state @offload. The addresses of the @n @stations are
 * protected in every VLAN, since the VLANs that the guest uses may be joined
 * beyond the uplink.
 */
SnGuardVerdict sn_guard_check(const SnStation *stations, unsigned n,
                              const SnEthHead *head, const SnOffload *offload);

/* Whether @mac belongs to one of the @n @stations. */
bool sn_guard_is_station(const SnStation *stations, unsigned n,
                         const uint8_t *mac);

#endif
