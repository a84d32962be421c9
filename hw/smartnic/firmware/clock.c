/*
 * lwIP's timers (in place of its timeouts.c), on one timer of the loop.
 *
 * Each of lwIP's periodic functions runs only while it has something to do. In
 * particular TCP's ticks stop while every connection is idle, so a card that
 * waits costs the host one wakeup per second (neighbour tables), not forty.
 * TCP's time stands still meanwhile; it measures only what is under way.
 *
 * The timer belongs to the loop of the first card; all cards share a loop.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fw.h"
#include "fw-stream.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"

#include "tcp-timing.h"

/* Repetitions without an answer; by then 0.6 s have passed. */
enum { ASK_AGAIN_AFTER = 2 };

static SnLoop *loop;
static SnTimer *timer;
static int64_t armed;           /* what the timer is set to */
static bool in_tcp;

static bool always_needed(void)
{
    return true;
}

static bool dhcp_needed(void)
{
    for (SnFirmware *fw = sn_fw_list; fw; fw = fw->next) {
        struct dhcp *dhcp = netif_dhcp_data(&fw->netif);

        if (dhcp && dhcp->request_timeout > 0) {
            return true;
        }
    }
    return false;
}

static bool mld6_needed(void)
{
    for (SnFirmware *fw = sn_fw_list; fw; fw = fw->next) {
        struct mld_group *group = netif_mld6_data(&fw->netif);

        for (; group; group = group->next) {
            if (group->timer > 0) {
                return true;
            }
        }
    }
    return false;
}

/* Idle: established or closed by the peer, nothing under way. */
static bool pcb_idle(const struct tcp_pcb *pcb)
{
    return (pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT) &&
           !pcb->unsent && !pcb->unacked && !pcb->ooseq &&
           !pcb->refused_data && pcb->persist_backoff == 0 &&
           !(pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND));
}

static bool tcp_needed(void)
{
    const struct tcp_pcb *pcb;

    if (tcp_tw_pcbs) {
        return true;
    }
    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (!pcb_idle(pcb)) {
            return true;
        }
    }
    return false;
}

/*
 * lwIP computes an RTO of a few ticks on a LAN and doubles it without bounds;
 * the storage network wants neither spurious nor very late retransmissions.
 */
static void bound_rtos(void)
{
    struct tcp_pcb *pcb;

    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (pcb->state == SYN_SENT) {
            unsigned shift = MIN(pcb->nrtx, 8);

            pcb->rto = MIN(TCP_RTO_FIRST << shift, TCP_RTO_MAX);
        } else {
            pcb->rto = CLAMP(pcb->rto, TCP_RTO_MIN, TCP_RTO_MAX);
        }
    }
}

/*
 * What waits for a closed window can be acknowledged all the same, when it was
 * sent before and given back by a retransmission. lwIP then leaves the timer
 * on that probes the window, which its next tick does not expect.
 */
static void stop_needless_probes(void)
{
    struct tcp_pcb *pcb;

    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (!pcb->unsent) {
            pcb->persist_backoff = 0;
        }
    }
}

static void tcp_tick(void)
{
    bound_rtos();
    stop_needless_probes();
    in_tcp = true;
    tcp_tmr();
    in_tcp = false;
    for (SnFirmware *fw = sn_fw_list; fw; fw = fw->next) {
        sn_fw_streams_tick(fw);
    }
}

static void ask_neighbour(struct netif *netif, const ip4_addr_t *dest)
{
    if ((dest->addr ^ netif_ip4_addr(netif)->addr) &
        netif_ip4_netmask(netif)->addr) {
        dest = netif_ip4_gw(netif);
    }
    if (dest->addr) {
        etharp_request(netif, dest);
    }
}

/*
 * Asks again who has the address of a peer that has not answered @nrtx
 * repetitions. It may have moved to another MAC without telling, and lwIP
 * believes its ARP table for five minutes. (IPv6 finds out by itself: RFC
 * 4861 section 7.3.)
 */
static void ask_neighbours(SnFirmware *fw, unsigned nrtx)
{
    const ip_addr_t *last = NULL;
    struct tcp_pcb *pcb;

    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        const ip_addr_t *dest = &pcb->remote_ip;

        if (pcb->netif_idx == netif_get_index(&fw->netif) &&
            pcb->nrtx >= nrtx && IP_IS_V4(dest) &&
            !(last && ip_2_ip4(dest)->addr == ip_2_ip4(last)->addr)) {
            ask_neighbour(&fw->netif, ip_2_ip4(dest));
            last = dest;
        }
    }
}

static void second_tick(void)
{
    etharp_tmr();
    for (SnFirmware *fw = sn_fw_list; fw; fw = fw->next) {
        ask_neighbours(fw, ASK_AGAIN_AFTER);
        /* What failed for want of memory without a TCP timer to try again. */
        sn_fw_streams_retry(fw);
    }
}

typedef struct Periodic {
    unsigned ms;
    void (*run)(void);
    bool (*needed)(void);
    int64_t due;
} Periodic;

static Periodic periodics[] = {
    { TCP_TMR_INTERVAL,       tcp_tick,        tcp_needed },
    { ARP_TMR_INTERVAL,       second_tick,     always_needed },
    { IP_TMR_INTERVAL,        ip_reass_tmr,    always_needed },
    { IP6_REASS_TMR_INTERVAL, ip6_reass_tmr,   always_needed },
    { ND6_TMR_INTERVAL,       nd6_tmr,         always_needed },
    { DNS_TMR_INTERVAL,       dns_tmr,         always_needed },
    { MLD6_TMR_INTERVAL,      mld6_tmr,        mld6_needed },
    { DHCP_FINE_TIMER_MSECS,  dhcp_fine_tmr,   dhcp_needed },
    { DHCP_COARSE_TIMER_MSECS, dhcp_coarse_tmr, always_needed },
};

static void arm(void)
{
    int64_t first = SN_TIMER_NEVER;

    for (unsigned i = 0; i < G_N_ELEMENTS(periodics); i++) {
        first = MIN(first, periodics[i].due);
    }
    if (first != armed) {
        armed = first;
        loop->timer_set(timer, first);
    }
}

static void fired(void *opaque)
{
    int64_t now = sn_loop_now(loop);

    armed = SN_TIMER_NEVER;
    sn_fw_enter();
    for (unsigned i = 0; i < G_N_ELEMENTS(periodics); i++) {
        Periodic *p = &periodics[i];

        if (p->due <= now) {
            p->run();
            p->due += p->ms * SN_NS_PER_MS;
            if (p->due <= now) {        /* late: no burst to catch up */
                p->due = now + p->ms * SN_NS_PER_MS;
            }
            if (!p->needed()) {
                p->due = SN_TIMER_NEVER;
            }
        }
    }
    sn_fw_leave();
}

void sn_fw_clock_leave(void)
{
    if (!timer) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(periodics); i++) {
        Periodic *p = &periodics[i];

        if (p->due == SN_TIMER_NEVER && p->needed()) {
            p->due = sn_loop_now(loop) + p->ms * SN_NS_PER_MS;
        }
    }
    arm();
}

static void take_loop(SnFirmware *fw)
{
    loop = fw->loop;
    timer = loop->timer_new(loop, fired, NULL);
    armed = SN_TIMER_NEVER;
}

void sn_fw_clock_attach(SnFirmware *fw)
{
    if (timer) {
        return;
    }
    take_loop(fw);
    for (unsigned i = 0; i < G_N_ELEMENTS(periodics); i++) {
        periodics[i].due = SN_TIMER_NEVER;
    }
}

void sn_fw_clock_detach(SnFirmware *fw)
{
    if (loop != fw->loop) {
        return;
    }
    for (SnFirmware *other = sn_fw_list; other; other = other->next) {
        if (other->loop == loop) {
            return;
        }
    }
    loop->timer_free(timer);
    timer = NULL;
    loop = NULL;
    if (sn_fw_list) {
        take_loop(sn_fw_list);
        arm();
    }
}

void sn_fw_clock_hurry(SnFirmware *fw)
{
    struct tcp_pcb *pcb;

    ask_neighbours(fw, 0);
    for (pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
        if (pcb->netif_idx != netif_get_index(&fw->netif)) {
            continue;
        }
        /* What got lost without a carrier says nothing about the peer. */
        pcb->nrtx = 0;
        pcb->persist_probe = 0;
        pcb->persist_backoff = MIN(pcb->persist_backoff, 1);
        if (pcb->rtime >= 0) {
            pcb->rto = CLAMP(pcb->rto, TCP_RTO_MIN, TCP_RTO_FIRST);
            pcb->rtime = TCP_RTO_FIRST;
        }
    }
}

bool sn_fw_clock_in_tcp(void)
{
    return in_tcp;
}

u32_t sys_now(void)
{
    return loop ? sn_loop_now(loop) / SN_NS_PER_MS : 0;
}

/* lwIP asks for its timers to start; clock_leave() finds out by itself. */
void sys_timeouts_init(void)
{
}

void tcp_timer_needed(void)
{
}
