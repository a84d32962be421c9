/*
 * The address settings of a card, checked.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_FW_CONFIG_H
#define SMARTNIC_FIRMWARE_FW_CONFIG_H

#include "firmware.h"

typedef enum FwIpMode {
    FW_IP_NONE,                 /* the address family is not used */
    FW_IP_AUTO,                 /* DHCP, or stateless autoconfiguration */
    FW_IP_STATIC,               /* ip4, prefix4, gateway4 or ip6 is valid */
} FwIpMode;

typedef struct FwConfig {
    uint8_t mac[6];
    uint16_t mtu;
    FwIpMode mode4, mode6;
    uint8_t ip4[4];
    unsigned prefix4;
    uint8_t gateway4[4];        /* all zeroes: none */
    uint8_t ip6[16];
    unsigned dns_len;           /* bytes of dns[]: 0, 4 or 16 */
    uint8_t dns[16];
} FwConfig;

/* False and @err when something is malformed. */
bool sn_fw_config_parse(FwConfig *out, const SnFirmwareConfig *in,
                        GError **err);

#endif
