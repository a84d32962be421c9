/*
 * The card's firmware: a small computer of its own behind one port of the
 * embedded switch. It has a MAC and IP addresses, answers ARP, ND and ping,
 * and offers TCP streams (SnNet) to the storage backends.
 *
 * All calls and callbacks happen in the card's thread. Several firmwares may
 * exist in a process (one per card); they share one lwIP underneath. What
 * they share visibly: the list of DNS servers (the last one learnt wins, and
 * queries leave through the first card unless its subnet says otherwise) and
 * the IPv6 neighbour table, so two cards on separate networks must not use
 * the same IPv6 addresses. IPv4 and link-local IPv6 have no such limit.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_H
#define SMARTNIC_FIRMWARE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "smartnic/loop.h"
#include "smartnic/port.h"
#include "smartnic/stream.h"

typedef struct SnFirmware SnFirmware;

/* Everything but loop and opaque is copied or used during sn_fw_new() only. */
typedef struct SnFirmwareConfig {
    const uint8_t *mac;         /* 6 bytes, unicast */
    const char *id;             /* names the card to people and DHCP, or NULL */
    const char *ip;             /* "dhcp", "A.B.C.D/len", "none"; NULL: dhcp */
    const char *gateway;        /* IPv4, with a fixed ip only; or NULL */
    const char *ip6;            /* "auto", "none", "addr/64"; NULL: auto */
    const char *dns;            /* an address, before any learnt; or NULL */
    uint16_t mtu;               /* 1280..9216 bytes; 0: 1500 */
    SnLoop *loop;               /* outlives the firmware */

    /*
     * The firmware sends a frame. False: dropped, TCP sends it again later.
     * Called from the loop and from inside SnStream calls, never from inside
     * sn_fw_input(), which it may itself call.
     */
    bool (*transmit)(void *opaque, const SnFrame *frame);
    /* sn_fw_ip4() or sn_fw_ip6() may say something new. From the loop. */
    void (*addresses_changed)(void *opaque);
    /* sn_fw_can_input() says yes again after it said no. From the loop. */
    void (*rx_ready)(void *opaque);
    void *opaque;
} SnFirmwareConfig;

typedef struct SnFirmwareStats {
    uint64_t rx_frames, rx_bytes;
    uint64_t rx_dropped;        /* malformed, not for us, or no memory */
    uint64_t tx_frames, tx_bytes;
    uint64_t tx_dropped;        /* transmit() said no */
    uint64_t rx_memory;         /* bytes of receive buffers in use now */
    uint64_t rx_memory_peak;
} SnFirmwareStats;

/*
 * Powers the card's computer on, with its link down. NULL and @err, one line
 * that names the wrong setting and says what would be right.
 */
SnFirmware *sn_fw_new(const SnFirmwareConfig *config, GError **err);

/*
 * Powers it off. Every stream must have been closed before. Not from inside
 * one of its callbacks.
 */
void sn_fw_free(SnFirmware *fw);

/*
 * Takes in a frame: copies it to a queue that is worked off from the loop.
 * False when it was dropped.
 */
bool sn_fw_input(SnFirmware *fw, const SnFrame *frame);

/* Whether the queue has room. After a no, rx_ready() follows. */
bool sn_fw_can_input(SnFirmware *fw);

/* Carrier of the port. Connections survive its loss, as is TCP's way. */
void sn_fw_set_link(SnFirmware *fw, bool up);

/*
 * Whether the far end of transmit() completes TCP checksums (then frames carry
 * SN_OFFLOAD_NEEDS_CSUM). Off at first.
 */
void sn_fw_set_tx_checksum(SnFirmware *fw, bool offload);

/*
 * Whether transmit() takes TCP segments longer than the MTU (then frames carry
 * a gso_type). Needs TCP checksums to be completed there, too. Off at first;
 * to be set before anything connects.
 */
void sn_fw_set_tx_segmentation(SnFirmware *fw, bool offload);

/* Where backends connect from; lives as long as the firmware. */
SnNet *sn_fw_net(SnFirmware *fw);

/* The IPv4 address and its prefix length. False when there is none (yet). */
bool sn_fw_ip4(const SnFirmware *fw, uint8_t addr[4], unsigned *prefix_len);

/*
 * The IPv6 address in slot @i. False when the slot is empty or its address
 * is not usable (yet). Slots are 0 .. SN_FW_IP6_SLOTS - 1.
 */
#define SN_FW_IP6_SLOTS 4
bool sn_fw_ip6(const SnFirmware *fw, unsigned i, uint8_t addr[16]);

void sn_fw_stats(const SnFirmware *fw, SnFirmwareStats *stats);

#endif
