/*
 * A card's firmware: life cycle and bottom half.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/log.h"
#include "smartnic/trace.h"

#include "fw.h"
#include "fw-stream.h"

#include "lwip/dns.h"
#include "lwip/init.h"
#include "lwip/priv/tcp_priv.h"

SN_TRACE_EVENT(fw_address);
SN_TRACE_EVENT(fw_frame_in);
SN_TRACE_EVENT(fw_frame_refused);

SnFirmware *sn_fw_list;
unsigned sn_fw_entered;

static unsigned lwip_asserts;

void sn_fw_lwip_assert(const char *what)
{
    static SnLogLimit limit = { .burst = 5, .interval_ns = 60 * SN_NS_PER_S };

    lwip_asserts++;
    sn_log_limited(&limit, sn_fw_list ? sn_loop_now(sn_fw_list->loop) : 0,
                   SN_LOG_ERROR, "network stack: %s", what);
}

unsigned sn_fw_lwip_asserts(void)
{
    return lwip_asserts;
}

void sn_fw_enter(void)
{
    sn_fw_entered++;
}

void sn_fw_leave(void)
{
    if (sn_fw_entered == 1) {
        sn_fw_clock_leave();
    }
    sn_fw_entered--;
}

void sn_fw_schedule(SnFirmware *fw)
{
    if (!fw->running && fw->bh) {
        fw->loop->bh_schedule(fw->bh);
    }
}

/* Out-of-order segments are the only received bytes that can be let go. */
static void free_out_of_order(SnFirmware *fw)
{
    struct tcp_pcb *pcb;

    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (pcb->netif_idx == netif_get_index(&fw->netif) && pcb->ooseq) {
            tcp_free_ooseq(pcb);
        }
    }
}

/* What waits now; what comes in meanwhile is left for the next run. */
static void feed(SnFirmware *fw)
{
    RxBuf *last = fw->rx.tail, *frame = NULL;

    while (frame != last) {
        frame = sn_fw_rx_take(&fw->rx);
        sn_fw_netif_input(fw, frame);
    }
    if (fw->rx.starved) {
        fw->rx.starved = false;
        free_out_of_order(fw);
    }
}

void sn_fw_apply_dns(SnFirmware *fw)
{
    ip_addr_t addr;

    if (fw->config.dns_len == 4) {
        memset(&addr, 0, sizeof(addr));
        memcpy(ip_2_ip4(&addr), fw->config.dns, 4);
        IP_SET_TYPE_VAL(addr, IPADDR_TYPE_V4);
        dns_setserver(0, &addr);
    } else if (fw->config.dns_len == 16) {
        memset(&addr, 0, sizeof(addr));
        memcpy(ip_2_ip6(&addr)->addr, fw->config.dns, 16);
        IP_SET_TYPE_VAL(addr, IPADDR_TYPE_V6);
        ip6_addr_assign_zone(ip_2_ip6(&addr), IP6_UNICAST, &fw->netif);
        dns_setserver(0, &addr);
    }
}

static void log_address(SnFirmware *fw)
{
    uint8_t ip[4] = { 0 };
    unsigned len = 0;
    bool have = sn_fw_ip4(fw, ip, &len);

    sn_trace(fw_address, "id=%s ip=%u.%u.%u.%u/%u", fw->id, ip[0], ip[1],
             ip[2], ip[3], len);
    if (fw->config.mode4 != FW_IP_AUTO || !memcmp(ip, fw->logged_ip, 4)) {
        return;
    }
    memcpy(fw->logged_ip, ip, 4);
    if (have) {
        sn_log(SN_LOG_INFO, "%s: address %u.%u.%u.%u/%u by DHCP", fw->id,
               ip[0], ip[1], ip[2], ip[3], len);
    } else {
        sn_log(SN_LOG_WARN, "%s: address lost, asking DHCP again", fw->id);
    }
}

static void addresses_changed(SnFirmware *fw)
{
    fw->addresses_dirty = false;
    sn_fw_enter();
    sn_fw_apply_dns(fw);
    sn_fw_leave();
    log_address(fw);
    sn_fw_streams_retry(fw);
    fw->addresses_changed(fw->opaque);
}

static void run(void *opaque)
{
    SnFirmware *fw = opaque;

    fw->running = true;
    sn_fw_enter();
    feed(fw);
    sn_fw_leave();
    if (fw->addresses_dirty) {
        addresses_changed(fw);
    }
    sn_fw_streams_deliver(fw);
    if (fw->rx.refused && fw->rx.bytes < RX_QUEUE_MAX / 2) {
        fw->rx.refused = false;
        fw->rx_ready(fw->opaque);
    }
    fw->running = false;
    if (fw->rx.head || fw->addresses_dirty || fw->ready.head) {
        sn_fw_schedule(fw);
    }
}

SnFirmware *sn_fw_new(const SnFirmwareConfig *config, GError **err)
{
    static bool initialised;
    FwConfig parsed;
    SnFirmware *fw;

    if (!sn_fw_config_parse(&parsed, config, err)) {
        return NULL;
    }
    fw = g_new0(SnFirmware, 1);
    fw->net.connect = sn_fw_stream_connect;
    fw->id = g_strdup(config->id ? config->id : "nic");
    fw->loop = config->loop;
    fw->transmit = config->transmit;
    fw->addresses_changed = config->addresses_changed;
    fw->rx_ready = config->rx_ready;
    fw->opaque = config->opaque;
    fw->config = parsed;
    sn_fw_rx_init(&fw->rx);
    g_queue_init(&fw->ready);
    fw->bh = fw->loop->bh_new(fw->loop, run, fw);
    fw->ack_timer = fw->loop->timer_new(fw->loop, sn_fw_streams_ack, fw);
    fw->next = sn_fw_list;
    sn_fw_list = fw;
    sn_fw_clock_attach(fw);

    sn_fw_enter();
    if (!initialised) {
        initialised = true;
        lwip_init();
    }
    sn_fw_netif_open(fw);
    sn_fw_leave();
    return fw;
}

void sn_fw_free(SnFirmware *fw)
{
    SnFirmware **link;

    g_assert(!fw->streams && !fw->running);
    for (link = &sn_fw_list; *link != fw; link = &(*link)->next) {
        /* find it */
    }
    *link = fw->next;
    sn_fw_enter();
    sn_fw_netif_close(fw);
    sn_fw_leave();
    sn_fw_clock_detach(fw);
    fw->loop->bh_free(fw->bh);
    fw->loop->timer_free(fw->ack_timer);
    sn_fw_rx_destroy(&fw->rx);
    g_free(fw->id);
    g_free(fw);
}

/* A frame for our address or for a group. */
static bool for_us(SnFirmware *fw, const SnFrame *frame)
{
    uint8_t dst[6];
    size_t have = 0;

    for (unsigned i = 0; i < frame->iovcnt && have < 6; i++) {
        size_t n = MIN(6 - have, frame->iov[i].iov_len);

        if (n) {
            memcpy(dst + have, frame->iov[i].iov_base, n);
            have += n;
        }
    }
    return have == 6 && ((dst[0] & 1) || !memcmp(dst, fw->config.mac, 6));
}

bool sn_fw_input(SnFirmware *fw, const SnFrame *frame)
{
    size_t in_use;

    if (!netif_is_link_up(&fw->netif) || !for_us(fw, frame) ||
        !sn_fw_rx_put(&fw->rx, frame)) {
        fw->stats.rx_dropped++;
        sn_trace(fw_frame_refused, "id=%s len=%zu queued=%zu", fw->id,
                 frame->len, fw->rx.bytes);
        if (fw->rx.starved) {
            sn_fw_schedule(fw);
        }
        return false;
    }
    sn_trace(fw_frame_in, "id=%s len=%zu flags=%u gso=%u", fw->id,
             frame->len, frame->offload.flags, frame->offload.gso_type);
    fw->stats.rx_frames++;
    fw->stats.rx_bytes += frame->len;
    in_use = sn_fw_rx_in_use(&fw->rx);
    fw->stats.rx_memory_peak = MAX(fw->stats.rx_memory_peak, in_use);
    sn_fw_schedule(fw);
    return true;
}

bool sn_fw_can_input(SnFirmware *fw)
{
    if (fw->rx.bytes >= RX_QUEUE_MAX) {
        fw->rx.refused = true;
        return false;
    }
    return true;
}

SnNet *sn_fw_net(SnFirmware *fw)
{
    return &fw->net;
}

void sn_fw_stats(const SnFirmware *fw, SnFirmwareStats *stats)
{
    *stats = fw->stats;
    stats->rx_memory = sn_fw_rx_in_use(&fw->rx);
}
