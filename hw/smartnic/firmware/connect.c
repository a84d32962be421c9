/*
 * Streams: from a host's name or address to a connection.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "smartnic/trace.h"

#include "fw-stream.h"
#include "tcp-timing.h"

#include "lwip/dns.h"
#include "lwip/ip6.h"
#include "lwip/priv/tcp_priv.h"

SN_TRACE_EVENT(fw_stream_connect);
SN_TRACE_EVENT(fw_stream_found);
SN_TRACE_EVENT(fw_stream_syn);

/*
 * A name lookup under way. lwIP cannot take one back, so it lives until the
 * answer comes, longer than its stream perhaps.
 */
struct FwLookup {
    FwStream *stream;           /* NULL: closed meanwhile */
};

enum { PORT_FIRST = 49152, PORTS = 16384, PORT_TRIES = 16 };
/* Reserved ports, without those that well-known services have. */
enum { RESERVED_FIRST = 512, RESERVED_PORTS = 512, RESERVED_TRIES = 128 };

static bool parse_literal(FwStream *s, const char *host)
{
    struct in6_addr a6;
    struct in_addr a4;

    memset(&s->addr, 0, sizeof(s->addr));
    if (inet_pton(AF_INET, host, &a4) == 1) {
        memcpy(ip_2_ip4(&s->addr), &a4, 4);
        IP_SET_TYPE_VAL(s->addr, IPADDR_TYPE_V4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &a6) == 1) {
        memcpy(ip_2_ip6(&s->addr)->addr, &a6, 16);
        IP_SET_TYPE_VAL(s->addr, IPADDR_TYPE_V6);
        ip6_addr_assign_zone(ip_2_ip6(&s->addr), IP6_UNICAST, &s->fw->netif);
        return true;
    }
    return false;
}

/* A usable IPv6 address of more than this link. */
static bool have_ip6(const SnFirmware *fw)
{
    for (unsigned i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
        if (ip6_addr_isvalid(netif_ip6_addr_state(&fw->netif, i)) &&
            !ip6_addr_islinklocal(netif_ip6_addr(&fw->netif, i))) {
            return true;
        }
    }
    return false;
}

static bool have_ip4(const SnFirmware *fw)
{
    return !ip4_addr_isany(netif_ip4_addr(&fw->netif));
}

/* Whether we have an address to reach s->addr from. */
static bool have_source(FwStream *s)
{
    const ip6_addr_t *dest;

    if (IP_IS_V4(&s->addr)) {
        return have_ip4(s->fw);
    }
    dest = ip_2_ip6(&s->addr);
    if (!ip6_addr_islinklocal(dest)) {
        return have_ip6(s->fw);
    }
    return ip6_select_source_address(&s->fw->netif, dest) != NULL;
}

/* The address family is switched off: no address will ever come. */
static bool family_off(const FwStream *s)
{
    return (IP_IS_V4(&s->addr) ? s->fw->config.mode4 : s->fw->config.mode6) ==
           FW_IP_NONE;
}

/*
 * The port that is wanted, or any: lwIP counts its ports up; chosen ones are
 * harder to guess (RFC 6056). False when none of those that will do is free.
 */
static bool bind_port(const FwStream *s, struct tcp_pcb *pcb)
{
    const ip_addr_t *any = IP_IS_V6(&s->addr) ? IP6_ADDR_ANY : IP4_ADDR_ANY;
    bool reserved = s->flags & SN_NET_RESERVED_PORT;
    unsigned first = reserved ? RESERVED_FIRST : PORT_FIRST;
    unsigned ports = reserved ? RESERVED_PORTS : PORTS;
    uint16_t wanted = SN_NET_PORT_OF(s->flags);

    if (wanted && tcp_bind(pcb, any, wanted) == ERR_OK) {
        return true;
    }
    for (int i = 0; i < (reserved ? RESERVED_TRIES : PORT_TRIES); i++) {
        if (tcp_bind(pcb, any, first + LWIP_RAND() % ports) == ERR_OK) {
            return true;
        }
    }
    /* Of the others, lwIP finds one. */
    return !reserved;
}

static void start_tcp(FwStream *s)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&s->addr));
    err_t err;

    if (!pcb) {
        sn_fw_stream_over(s, -ENOMEM);
        return;
    }
    tcp_bind_netif(pcb, &s->fw->netif);
    if (!bind_port(s, pcb)) {
        tcp_abort(pcb);
        sn_fw_stream_over(s, -EADDRINUSE);
        return;
    }
    sn_trace(fw_stream_syn, "id=%s stream=%u from=%u to=%s port=%u",
             s->fw->id, s->number, pcb->local_port, ipaddr_ntoa(&s->addr),
             s->port);
    pcb->rto = TCP_RTO_FIRST;
    pcb->sv = TCP_RTO_MIN;
    sn_fw_stream_adopt(s, pcb);
    sn_fw_stream_set_state(s, FW_STREAM_CONNECTING);
    err = tcp_connect(pcb, &s->addr, s->port, pcb->connected);
    if (err != ERR_OK) {
        tcp_err(pcb, NULL);
        tcp_abort(pcb);
        s->pcb = NULL;
        sn_fw_stream_over(s, err == ERR_RTE ? -EHOSTUNREACH : -ENOMEM);
    }
}

static void found(const char *name, const ip_addr_t *addr, void *arg)
{
    FwLookup *lookup = arg;
    FwStream *s = lookup->stream;

    g_free(lookup);
    if (!s) {
        return;
    }
    s->lookup = NULL;
    sn_trace(fw_stream_found, "id=%s stream=%u addr=%s", s->fw->id, s->number,
             addr ? ipaddr_ntoa(addr) : "none");
    if (!addr) {
        sn_fw_stream_over(s, -ENOENT);
        return;
    }
    s->addr = *addr;
    g_clear_pointer(&s->host, g_free);
    sn_fw_stream_set_state(s, FW_STREAM_WAITING);
    sn_fw_stream_raise(s, FW_EV_START);
}

/* Asks for the families that could be reached now. */
static uint8_t lookup_type(const SnFirmware *fw)
{
    if (!have_ip6(fw)) {
        return LWIP_DNS_ADDRTYPE_IPV4;
    }
    return have_ip4(fw) ? LWIP_DNS_ADDRTYPE_IPV4_IPV6 : LWIP_DNS_ADDRTYPE_IPV6;
}

static void start_lookup(FwStream *s)
{
    FwLookup *lookup;
    ip_addr_t addr;

    /* Each DHCP answer and router advertisement brings its own. */
    sn_fw_apply_dns(s->fw);
    if ((!have_ip4(s->fw) && !have_ip6(s->fw)) ||
        ip_addr_isany(dns_getserver(0))) {
        return;                 /* until the addresses change */
    }
    lookup = g_new(FwLookup, 1);
    lookup->stream = s;
    s->lookup = lookup;
    sn_fw_stream_set_state(s, FW_STREAM_RESOLVING);
    switch (dns_gethostbyname_addrtype(s->host, &addr, found, lookup,
                                       lookup_type(s->fw))) {
    case ERR_INPROGRESS:
        break;
    case ERR_OK:
        found(s->host, &addr, lookup);
        break;
    case ERR_MEM:               /* too many lookups: tried again */
        g_free(lookup);
        s->lookup = NULL;
        sn_fw_stream_set_state(s, FW_STREAM_WAITING);
        break;
    default:
        found(s->host, NULL, lookup);
        break;
    }
}

void sn_fw_stream_start(FwStream *s)
{
    if (s->state != FW_STREAM_WAITING) {
        return;
    }
    sn_fw_enter();
    if (s->host) {
        start_lookup(s);
    } else if (family_off(s)) {
        sn_fw_stream_over(s, -ENETDOWN);
    } else if (have_source(s)) {
        start_tcp(s);
    }
    sn_fw_leave();
}

void sn_fw_stream_forget_lookup(FwStream *s)
{
    if (s->lookup) {
        s->lookup->stream = NULL;
        s->lookup = NULL;
    }
}

SnStream *sn_fw_stream_connect(SnNet *net, const char *host, uint16_t port,
                               unsigned flags, const SnStreamEvents *events,
                               void *opaque)
{
    SnFirmware *fw = (SnFirmware *)net;
    FwStream *s = g_new0(FwStream, 1);
    static unsigned streams;

    s->number = ++streams;
    s->base.ops = &sn_fw_stream_ops;
    s->fw = fw;
    s->events = events;
    s->opaque = opaque;
    s->ready_link.data = s;
    s->port = port;
    s->flags = flags;
    if (!parse_literal(s, host)) {
        s->host = g_strdup(host);
    }
    s->next = fw->streams;
    if (s->next) {
        s->next->prev = s;
    }
    fw->streams = s;
    sn_trace(fw_stream_connect, "id=%s stream=%u host=%s port=%u", fw->id,
             s->number, host, port);
    sn_fw_stream_set_state(s, FW_STREAM_WAITING);
    sn_fw_stream_raise(s, FW_EV_START);
    return &s->base;
}
