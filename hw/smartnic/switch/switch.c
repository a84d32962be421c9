/*
 * The card's embedded Ethernet switch.
 *
 * Theory of operation. A frame that comes in is copied at its start, checked
 * and, if it may enter, its sender is learned. Then the set of ports that it
 * goes to is settled, and only after that is it delivered, because from the
 * first deliver() on anything may have happened: a netdev may answer at once,
 * which comes back in here as a nested input, and ports may come and go.
 *
 * Three rules make this more than a learning bridge. A firmware's MAC is
 * where its port is, whatever is heard elsewhere. A storage VLAN (the VLAN of
 * a firmware port) exists between that port and the uplink only. And host
 * ports must not use the firmware's addresses (guard.c).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "eth-head.h"
#include "guard.h"
#include "mac-table.h"
#include "out-frame.h"
#include "smartnic/trace.h"
#include "switch.h"

SN_TRACE_EVENT(switch_port_attached);
SN_TRACE_EVENT(switch_port_detached);
SN_TRACE_EVENT(switch_link);
SN_TRACE_EVENT(switch_protect);
SN_TRACE_EVENT(switch_frame);
SN_TRACE_EVENT(switch_frame_refused);
SN_TRACE_EVENT(switch_frame_not_taken);

#define MAX_DEPTH 8

struct SnSwitch {
    SnLoop *loop;
    SnPort *ports[SN_SWITCH_MAX_PORTS]; /* by SnPort.index; NULL: free */

    /* The firmware ports and their addresses, without gaps. */
    SnPort *firmwares[SN_SWITCH_MAX_PORTS];
    SnStation stations[SN_SWITCH_MAX_PORTS];
    unsigned n_stations;

    SnMacTable macs;
    unsigned depth;             /* of sn_switch_input() */
    bool buffer_busy;           /* a deliver() is using buffer */
    uint8_t buffer[SN_SWITCH_MAX_FRAME];
};

/* A frame that is let in, on its way to the other ports. */
typedef struct Arrival {
    const SnFrame *frame;
    SnEthHead head;
    unsigned from;              /* port index; the port may be gone */
    SnPortRole role;            /* of that port */
    uint16_t vlan;              /* 0: untagged */
    bool private;               /* in a storage VLAN */
    bool to_firmware;           /* the guard allows it there */
} Arrival;

/* ------------------------------------------------------- ports */

SnSwitch *sn_switch_new(SnLoop *loop)
{
    SnSwitch *sw = g_new0(SnSwitch, 1);

    sw->loop = loop;
    return sw;
}

void sn_switch_free(SnSwitch *sw)
{
    g_assert(!sw || !sw->depth);
    g_free(sw);
}

static bool is_attached(const SnSwitch *sw, const SnPort *port)
{
    return port->index < SN_SWITCH_MAX_PORTS && sw->ports[port->index] == port;
}

bool sn_switch_attach(SnSwitch *sw, SnPort *port)
{
    unsigned index = 0;

    while (index < SN_SWITCH_MAX_PORTS && sw->ports[index]) {
        index++;
    }
    if (index == SN_SWITCH_MAX_PORTS) {
        return false;
    }
    port->index = index;
    sw->ports[index] = port;
    sn_trace(switch_port_attached, "port=%s index=%u vlan=%u", port->name,
             index, port->vlan);
    if (port->role == SN_PORT_FIRMWARE) {
        SnStation *station = &sw->stations[sw->n_stations];

        *station = (SnStation) { };
        memcpy(station->mac, port->mac, sizeof(station->mac));
        sw->firmwares[sw->n_stations++] = port;
    }
    return true;
}

/* The addresses of firmware port @port; NULL when it is not attached. */
static SnStation *find_station(SnSwitch *sw, const SnPort *port)
{
    for (unsigned i = 0; i < sw->n_stations; i++) {
        if (sw->firmwares[i] == port) {
            return &sw->stations[i];
        }
    }
    return NULL;
}

void sn_switch_detach(SnSwitch *sw, SnPort *port)
{
    SnStation *station = find_station(sw, port);

    if (!is_attached(sw, port)) {
        return;
    }
    sn_trace(switch_port_detached, "port=%s index=%u", port->name,
             port->index);
    if (station) {
        unsigned last = --sw->n_stations;

        sw->firmwares[station - sw->stations] = sw->firmwares[last];
        *station = sw->stations[last];
    }
    sw->ports[port->index] = NULL;
    sn_mac_table_flush(&sw->macs, port->index);
}

void sn_switch_set_link(SnSwitch *sw, SnPort *port, bool up)
{
    sn_trace(switch_link, "port=%s up=%d", port->name, up);
    port->link_up = up;
    if (!up && is_attached(sw, port)) {
        sn_mac_table_flush(&sw->macs, port->index);
    }
}

void sn_switch_protect(SnSwitch *sw, SnPort *port, const uint8_t ip4[4],
                       const uint8_t (*ip6)[16], unsigned n_ip6)
{
    static const uint8_t none[4];
    SnStation *station = find_station(sw, port);

    g_assert(station && n_ip6 <= SN_SWITCH_MAX_IP6);
    /* 0.0.0.0 is the sender of ARP probes and of DHCP clients. */
    station->has_ip4 = ip4 && memcmp(ip4, none, sizeof(none));
    if (station->has_ip4) {
        memcpy(station->ip4, ip4, sizeof(station->ip4));
    }
    sn_trace(switch_protect, "port=%s ip4=%d ip6=%u", port->name,
             station->has_ip4, n_ip6);
    station->n_ip6 = n_ip6;
    for (unsigned i = 0; i < n_ip6; i++) {
        memcpy(station->ip6[i], ip6[i], sizeof(station->ip6[i]));
    }
}

/* ------------------------------------------------------- coming in */

static bool is_storage_vlan(const SnSwitch *sw, uint16_t vid)
{
    for (unsigned i = 0; i < sw->n_stations; i++) {
        if (sw->firmwares[i]->vlan == vid) {
            return vid != 0;
        }
    }
    return false;
}

/*
 * Whether any tag of the frame is that of a storage VLAN. Not only the
 * outermost: a switch behind the uplink may take that one off.
 */
static bool has_storage_tag(const SnSwitch *sw, const SnEthHead *head)
{
    for (unsigned i = 0; i < head->n_tags; i++) {
        if (is_storage_vlan(sw, head->vids[i])) {
            return true;
        }
    }
    return false;
}

static bool source_is_valid(const uint8_t *mac)
{
    static const uint8_t zero[6];

    return !sn_mac_is_multicast(mac) && memcmp(mac, zero, sizeof(zero));
}

/* Fills @a. False: the frame is not let in. */
static bool let_in(const SnSwitch *sw, const SnPort *from,
                   const SnFrame *frame, Arrival *a)
{
    if (!is_attached(sw, from) || !from->link_up || sw->depth >= MAX_DEPTH ||
        frame->len > SN_SWITCH_MAX_FRAME ||
        !sn_eth_head_parse(&a->head, frame) ||
        !source_is_valid(sn_eth_src(&a->head))) {
        return false;
    }
    a->frame = frame;
    a->from = from->index;
    a->role = from->role;
    a->to_firmware = true;
    if (from->role == SN_PORT_FIRMWARE) {
        a->vlan = from->vlan;
        a->private = from->vlan != 0;
        return true;
    }
    a->vlan = a->head.n_tags ? a->head.vids[0] : 0;
    a->private = has_storage_tag(sw, &a->head);
    if (from->role == SN_PORT_HOST) {
        SnGuardVerdict verdict = sn_guard_check(sw->stations, sw->n_stations,
                                                &a->head, &frame->offload);

        a->to_firmware = verdict == SN_GUARD_PASS;
        return !a->private && verdict != SN_GUARD_DROP;
    }
    return true;
}

static void learn(SnSwitch *sw, const Arrival *a, int64_t now)
{
    const uint8_t *mac = sn_eth_src(&a->head);

    if (a->role != SN_PORT_FIRMWARE &&
        !sn_guard_is_station(sw->stations, sw->n_stations, mac)) {
        sn_mac_table_learn(&sw->macs, a->vlan, mac, a->from, now);
    }
}

/* ------------------------------------------------------- going out */

/* Whether the frame may go to @to, if its destination says so. */
static bool may_reach(const Arrival *a, const SnPort *to)
{
    if (to->index == a->from) {
        return false;
    }
    switch (to->role) {
    case SN_PORT_FIRMWARE:
        return a->to_firmware && a->vlan == to->vlan &&
               (a->role == SN_PORT_FIRMWARE || !a->head.n_tags ||
                a->head.c_tag);
    case SN_PORT_HOST:
        return !a->private;
    default:
        return true;
    }
}

/* Those of the ports with a role in @roles (1 << role) that it may reach. */
static uint32_t reachable(const SnSwitch *sw, const Arrival *a, unsigned roles)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < SN_SWITCH_MAX_PORTS; i++) {
        const SnPort *to = sw->ports[i];

        if (to && roles & 1u << to->role && may_reach(a, to)) {
            set |= 1u << i;
        }
    }
    return set;
}

/* The ports that the frame goes to, a bit for each. */
static uint32_t destinations(const SnSwitch *sw, const Arrival *a, int64_t now)
{
    const uint8_t *mac = sn_eth_dst(&a->head);
    int port;

    if (sn_mac_is_multicast(mac)) {
        return reachable(sw, a, ~0u);
    }
    for (unsigned i = 0; i < sw->n_stations; i++) {
        const SnPort *to = sw->firmwares[i];

        if (to->vlan == a->vlan && !memcmp(sw->stations[i].mac, mac, 6)) {
            return may_reach(a, to) ? 1u << to->index : 0;
        }
    }
    port = sn_mac_table_find(&sw->macs, a->vlan, mac, now);
    if (port >= 0) {
        return may_reach(a, sw->ports[port]) ? 1u << port : 0;
    }
    /* Unknown: the network beyond the uplink, or a promiscuous guest. */
    return reachable(sw, a, a->role == SN_PORT_UPLINK ? 1u << SN_PORT_HOST
                                                      : 1u << SN_PORT_UPLINK);
}

static SnTagChange tag_change(const Arrival *a, const SnPort *to)
{
    bool from_firmware = a->role == SN_PORT_FIRMWARE;
    bool to_firmware = to->role == SN_PORT_FIRMWARE;

    if (from_firmware && !to_firmware && a->vlan) {
        return SN_TAG_INSERT;
    }
    if (to_firmware && !from_firmware && a->head.n_tags) {
        return SN_TAG_STRIP;
    }
    return SN_TAG_KEEP;
}

/*
 * Whether @a can leave as it came. Not from a host: what is in guest memory
 * may change, so that only the checked copy of its start leaves.
 */
static bool leaves_as_is(const Arrival *a, SnTagChange change)
{
    return change == SN_TAG_KEEP && a->role != SN_PORT_HOST &&
           !sn_out_frame_needs_buffer(a->frame);
}

/* Builds the frame that leaves and delivers it. @len: its length, bytes. */
static bool deliver_rebuilt(SnSwitch *sw, SnPort *to, const Arrival *a,
                            SnTagChange change, size_t *len)
{
    bool buffer = sn_out_frame_needs_buffer(a->frame);
    SnOutFrame out;
    bool taken;

    if (buffer && sw->buffer_busy) {
        return false;           /* nested, and both in more than 127 pieces */
    }
    if (!sn_out_frame_build(&out, a->frame, &a->head, change, a->vlan,
                            sw->buffer)) {
        return false;
    }
    *len = out.frame.len;
    sw->buffer_busy |= buffer;
    taken = to->ops->deliver(to, &out.frame);
    if (buffer) {
        sw->buffer_busy = false;
    }
    return taken;
}

static void deliver(SnSwitch *sw, unsigned index, const Arrival *a)
{
    SnPort *to = sw->ports[index];
    SnTagChange change;
    size_t len = a->frame->len;
    bool taken = false;

    if (!to) {
        return;                 /* detached by a nested call */
    }
    change = tag_change(a, to);
    if (to->link_up) {
        taken = leaves_as_is(a, change)
                ? to->ops->deliver(to, a->frame)
                : deliver_rebuilt(sw, to, a, change, &len);
    }
    if (sw->ports[index] != to) {
        return;
    }
    if (taken) {
        to->counters.tx_frames++;
        to->counters.tx_bytes += len;
    } else {
        sn_trace(switch_frame_not_taken, "port=%s len=%zu", to->name, len);
        to->counters.tx_dropped++;
    }
}

void sn_switch_input(SnSwitch *sw, SnPort *from, const SnFrame *frame)
{
    int64_t now = sn_loop_now(sw->loop);
    uint32_t set;
    Arrival a;

    if (!let_in(sw, from, frame, &a)) {
        sn_trace(switch_frame_refused, "port=%s len=%zu", from->name,
                 frame->len);
        from->counters.rx_dropped++;
        return;
    }
    from->counters.rx_frames++;
    from->counters.rx_bytes += frame->len;

    learn(sw, &a, now);
    set = destinations(sw, &a, now);
    sn_trace(switch_frame, "port=%s len=%zu vlan=%u type=0x%04x to=0x%x",
             from->name, frame->len, a.vlan, a.head.type, set);
    sw->depth++;
    for (; set; set &= set - 1) {
        deliver(sw, __builtin_ctz(set), &a);
    }
    sw->depth--;
}
