/*
 * What an nvme+tcp:// URL says.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_OPTIONS_H
#define SN_NVMETCP_OPTIONS_H

#include "smartnic/backend.h"

/* What every discovery controller is called (Base 2.0 section 3.1.2.3). */
#define SN_NVMETCP_DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"
#define SN_NVMETCP_DISCOVERY_PORT 8009

typedef struct SnNvmeTcpOptions {
    char *host;
    uint16_t port;
    char *subsysnqn;            /* NULL: only tell what there is */
    char *hostnqn;
    uint8_t hostid[16];         /* goes with hostnqn */
    uint32_t nsid;
    bool hdgst, ddgst;
    uint16_t queues;            /* I/O queues */
    uint16_t queue_size;        /* entries of each */
    uint32_t keep_alive;        /* seconds; 0: off */
} SnNvmeTcpOptions;

/*
 * Fills @options, to be cleared by the caller. @host: a UUID or any other name
 * of this host for targets, unless the URL has a hostnqn. False and @err when
 * the URL is wrong.
 */
bool sn_nvmetcp_options_parse(SnNvmeTcpOptions *options, const SnUrl *url,
                              const char *host, GError **err);
void sn_nvmetcp_options_clear(SnNvmeTcpOptions *options);

#endif
