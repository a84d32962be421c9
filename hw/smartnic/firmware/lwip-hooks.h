/*
 * Hooks that lwIP's sources include (LWIP_HOOK_FILENAME).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_LWIP_HOOKS_H
#define SMARTNIC_FIRMWARE_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

struct tcp_pcb;

/* RFC 6528: initial sequence numbers nobody can guess. */
u32_t sn_fw_tcp_isn(const ip_addr_t *local, u16_t local_port,
                    const ip_addr_t *remote, u16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local, lport, remote, rport) \
    sn_fw_tcp_isn(local, lport, remote, rport)

/* A segment is about to be processed for @pcb: gathers ACKs (stream.c). */
err_t sn_fw_tcp_inpacket(struct tcp_pcb *pcb);
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, hdr, optlen, opt1len, opt2, p) \
    sn_fw_tcp_inpacket(pcb)

#endif
