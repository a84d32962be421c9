/*
 * Hooks that lwIP's sources include (LWIP_HOOK_FILENAME).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_LWIP_HOOKS_H
#define SMARTNIC_FIRMWARE_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

struct netif;
struct pbuf;
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

/*
 * Called by lwIP's ip4.c in place of ip4_frag() (see meson.build) for packets
 * longer than the MTU: passes TCP on, which is cut later.
 */
err_t sn_fw_ip4_frag(struct pbuf *p, struct netif *netif,
                     const ip4_addr_t *dest);

/*
 * Called by lwIP's netif.c in place of tcp_netif_ip_addr_changed() (see
 * meson.build). Does nothing: netif.c of ours ends the connections of a
 * card whose address is gone.
 */
void sn_fw_address_changed(const ip_addr_t *old, const ip_addr_t *now);

#endif
