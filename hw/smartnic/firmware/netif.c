/*
 * The card's network interface as lwIP sees it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/log.h"
#include "smartnic/trace.h"

#include "fw.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/ip4_frag.h"
#include "lwip/priv/tcp_priv.h"
#include "netif/ethernet.h"

#include "lwip-hooks.h"

SN_TRACE_EVENT(fw_frame_out);
SN_TRACE_EVENT(fw_link);

enum {
    ETH_LEN = 14,
    PROTO_TCP = 6,
    TCP_CSUM_OFFSET = 16,       /* of the checksum in the TCP header */
    OUT_IOV = 64,
    FRAME_MAX = UINT16_MAX,     /* of a pbuf */
};

static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += 2) {
        sum += p[i] << 8 | p[i + 1];
    }
    return sum;
}

/*
 * Leaves the TCP checksum of @p to the far end: puts the pseudo header's sum
 * there (RFC 9293 section 3.1) and says so in @offload. All headers are in the
 * first pbuf, which lwIP allocated for them. Other packets are left alone.
 */
static void offload_tcp_checksum(struct pbuf *p, SnOffload *offload)
{
    uint8_t *eth = p->payload, *ip = eth + ETH_LEN, *csum;
    size_t tcp;
    uint32_t sum;

    if (p->len >= ETH_LEN + 20 && eth[12] == 0x08 && eth[13] == 0x00 &&
        ip[9] == PROTO_TCP) {
        tcp = ETH_LEN + (ip[0] & 15) * 4;
        sum = add_words(0, ip + 12, 8);
    } else if (p->len >= ETH_LEN + 40 && eth[12] == 0x86 &&
               eth[13] == 0xdd && ip[6] == PROTO_TCP) {
        tcp = ETH_LEN + 40;
        sum = add_words(0, ip + 8, 32);
    } else {
        return;
    }
    if (p->len < tcp + 20) {
        return;
    }
    sum += PROTO_TCP + p->tot_len - tcp;
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    csum = eth + tcp + TCP_CSUM_OFFSET;
    csum[0] = sum >> 8;
    csum[1] = sum;
    offload->flags = SN_OFFLOAD_NEEDS_CSUM;
    offload->csum_start = tcp;
    offload->csum_offset = TCP_CSUM_OFFSET;
}

err_t sn_fw_ip4_frag(struct pbuf *p, struct netif *netif,
                     const ip4_addr_t *dest)
{
    const SnFirmware *fw = netif->state;
    const uint8_t *ip = p->payload;

    if (fw->tx_segmentation && ip[9] == PROTO_TCP) {
        return netif->output(netif, p, dest);
    }
    return ip4_frag(p, netif, dest);
}

/* The MSS of the connection that TCP header @tcp belongs to; 0: it is gone. */
static uint16_t find_mss(const SnFirmware *fw, const uint8_t *tcp)
{
    struct tcp_pcb *pcb;

    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (pcb->netif_idx == netif_get_index(&fw->netif) &&
            pcb->local_port == (tcp[0] << 8 | tcp[1]) &&
            pcb->remote_port == (tcp[2] << 8 | tcp[3])) {
            return pcb->mss;
        }
    }
    return 0;
}

/*
 * Asks for @p, which is longer than the MTU, to be cut. It may have waited for
 * an address resolution, so its connection has to be looked up.
 */
static bool offload_segmentation(const SnFirmware *fw, struct pbuf *p,
                                 SnOffload *offload)
{
    const uint8_t *eth = p->payload;
    size_t tcp = offload->csum_start;

    if (!fw->tx_segmentation || !(offload->flags & SN_OFFLOAD_NEEDS_CSUM)) {
        return false;
    }
    offload->gso_type = eth[12] == 0x08 ? SN_GSO_TCPV4 : SN_GSO_TCPV6;
    offload->gso_size = find_mss(fw, eth + tcp);
    offload->hdr_len = tcp + (eth[tcp + 12] >> 4) * 4;
    return offload->gso_size > 0;
}

static err_t output(struct netif *netif, struct pbuf *p)
{
    SnFirmware *fw = netif->state;
    struct iovec iov[OUT_IOV];
    SnFrame frame = { .iov = iov, .len = p->tot_len };
    struct pbuf *q;

    if (fw->silent) {
        return ERR_OK;
    }
    if (fw->tx_checksum) {
        offload_tcp_checksum(p, &frame.offload);
    }
    if (p->tot_len > ETH_LEN + netif->mtu &&
        !offload_segmentation(fw, p, &frame.offload)) {
        return ERR_BUF;
    }
    for (q = p; q && frame.iovcnt < OUT_IOV; q = q->next) {
        iov[frame.iovcnt++] = (struct iovec){ q->payload, q->len };
    }
    if (q) {
        pbuf_copy_partial(p, fw->bounce, p->tot_len, 0);
        iov[0] = (struct iovec){ fw->bounce, p->tot_len };
        frame.iovcnt = 1;
    }
    sn_trace(fw_frame_out, "id=%s len=%zu", fw->id, frame.len);
    if (!fw->transmit(fw->opaque, &frame)) {
        fw->stats.tx_dropped++;
        return ERR_MEM;
    }
    fw->stats.tx_frames++;
    fw->stats.tx_bytes += frame.len;
    return ERR_OK;
}

void sn_fw_address_changed(const ip_addr_t *old, const ip_addr_t *now)
{
    /* status_changed() follows */
}

static bool has_address(const struct netif *netif, const ip_addr_t *ip)
{
    if (IP_IS_V4(ip)) {
        return ip_2_ip4(ip)->addr == netif_ip4_addr(netif)->addr;
    }
    return netif_get_ip6_addr_match((struct netif *)netif,
                                    ip_2_ip6(ip)) >= 0;
}

/*
 * Ends those connections in @list that are the card's own and whose local
 * address it has no longer, or all. lwIP would go by the address alone, but
 * another card may have the same one: every -netdev user hands out 10.0.2.15.
 */
static void abort_pcbs(const struct netif *netif, struct tcp_pcb *list,
                       bool all)
{
    struct tcp_pcb *pcb, *next;

    for (pcb = list; pcb; pcb = next) {
        next = pcb->next;
        if (pcb->netif_idx == netif_get_index(netif) &&
            (all || !has_address(netif, &pcb->local_ip))) {
            tcp_abort(pcb);
        }
    }
}

static void status_changed(struct netif *netif)
{
    SnFirmware *fw = netif->state;

    abort_pcbs(netif, tcp_active_pcbs, false);
    fw->addresses_dirty = true;
    sn_fw_schedule(fw);
}

static err_t init(struct netif *netif)
{
    SnFirmware *fw = netif->state;

    netif->name[0] = 's';
    netif->name[1] = 'n';
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = output;
    netif->mtu = fw->config.mtu;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, fw->config.mac, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
                   NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6;
    netif_set_hostname(netif, fw->hostname);
    netif_set_status_callback(netif, status_changed);
    return ERR_OK;
}

/* RFC 1123 section 2.1: letters, digits and hyphens. */
static void make_hostname(SnFirmware *fw)
{
    g_snprintf(fw->hostname, sizeof(fw->hostname), "smartnic-%s", fw->id);
    for (char *p = fw->hostname; *p; p++) {
        if (!g_ascii_isalnum(*p)) {
            *p = '-';
        }
    }
}

static void start_ip6(SnFirmware *fw)
{
    netif_set_ip6_autoconfig_enabled(&fw->netif,
                                     fw->config.mode6 == FW_IP_AUTO);
    if (fw->config.mode6 == FW_IP_NONE) {
        return;
    }
    netif_create_ip6_linklocal_address(&fw->netif, 1);
    if (fw->config.mode6 == FW_IP_STATIC) {
        ip6_addr_t addr = { 0 };

        memcpy(addr.addr, fw->config.ip6, 16);
        netif_add_ip6_address(&fw->netif, &addr, NULL);
    }
}

void sn_fw_netif_open(SnFirmware *fw)
{
    const FwConfig *c = &fw->config;
    ip4_addr_t ip = { 0 }, mask = { 0 }, gw = { 0 };

    make_hostname(fw);
    fw->bounce = g_malloc(FRAME_MAX);
    if (c->mode4 == FW_IP_STATIC) {
        memcpy(&ip, c->ip4, 4);
        mask.addr = lwip_htonl(UINT32_MAX << (32 - c->prefix4));
        memcpy(&gw, c->gateway4, 4);
    }
    netif_add(&fw->netif, &ip, &mask, &gw, fw, init, ethernet_input);
    if (!netif_default) {
        netif_set_default(&fw->netif);
    }
    netif_set_up(&fw->netif);
    start_ip6(fw);
    if (c->mode4 == FW_IP_AUTO && dhcp_start(&fw->netif) != ERR_OK) {
        sn_log(SN_LOG_ERROR, "%s: no memory for DHCP", fw->id);
    }
}

void sn_fw_netif_close(SnFirmware *fw)
{
    fw->silent = true;
    /* Its number may be given to another card. */
    abort_pcbs(&fw->netif, tcp_active_pcbs, true);
    abort_pcbs(&fw->netif, tcp_tw_pcbs, true);
    dhcp_release_and_stop(&fw->netif);
    dhcp_cleanup(&fw->netif);
    netif_remove(&fw->netif);
    if (!netif_default && sn_fw_list) {
        netif_set_default(&sn_fw_list->netif);
    }
    g_free(fw->bounce);
}

void sn_fw_netif_input(SnFirmware *fw, RxBuf *frame)
{
    unsigned checks = NETIF_CHECKSUM_ENABLE_ALL;
    struct pbuf *p = &frame->pc.pbuf;

    if (fw->tx_checksum) {
        checks &= ~NETIF_CHECKSUM_GEN_TCP;
    }
    if (frame->csum_ok) {
        NETIF_SET_CHECKSUM_CTRL(&fw->netif, checks &
                                ~(NETIF_CHECKSUM_CHECK_TCP |
                                  NETIF_CHECKSUM_CHECK_UDP));
    }
    if (fw->netif.input(p, &fw->netif) != ERR_OK) {
        pbuf_free(p);
    }
    NETIF_SET_CHECKSUM_CTRL(&fw->netif, checks);
}

void sn_fw_set_tx_checksum(SnFirmware *fw, bool offload)
{
    fw->tx_checksum = offload;
    NETIF_SET_CHECKSUM_CTRL(&fw->netif, NETIF_CHECKSUM_ENABLE_ALL &
                            ~(offload ? NETIF_CHECKSUM_GEN_TCP : 0));
}

void sn_fw_set_tx_segmentation(SnFirmware *fw, bool offload)
{
    fw->tx_segmentation = offload;
}

void sn_fw_set_link(SnFirmware *fw, bool up)
{
    sn_trace(fw_link, "id=%s up=%d", fw->id, up);
    sn_fw_enter();
    if (up && !netif_is_link_up(&fw->netif)) {
        netif_set_link_up(&fw->netif);
        sn_fw_clock_hurry(fw);
    } else if (!up) {
        netif_set_link_down(&fw->netif);
    }
    sn_fw_leave();
}

bool sn_fw_ip4(const SnFirmware *fw, uint8_t addr[4], unsigned *prefix_len)
{
    const ip4_addr_t *ip = netif_ip4_addr(&fw->netif);

    if (ip4_addr_isany(ip)) {
        return false;
    }
    memcpy(addr, ip, 4);
    *prefix_len = __builtin_popcount(netif_ip4_netmask(&fw->netif)->addr);
    return true;
}

bool sn_fw_ip6(const SnFirmware *fw, unsigned i, uint8_t addr[16])
{
    G_STATIC_ASSERT(SN_FW_IP6_SLOTS == LWIP_IPV6_NUM_ADDRESSES);

    if (i >= SN_FW_IP6_SLOTS ||
        !ip6_addr_isvalid(netif_ip6_addr_state(&fw->netif, i))) {
        return false;
    }
    memcpy(addr, netif_ip6_addr(&fw->netif, i)->addr, 16);
    return true;
}
