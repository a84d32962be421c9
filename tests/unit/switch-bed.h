/*
 * What the tests of the embedded switch have in common: a switch with three
 * ports, and frames written in hexadecimal as in the RFCs they come from.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SWITCH_BED_H
#define SWITCH_BED_H

#include <string.h>

#include "switch.h"
#include "test-loop.h"

/* Addresses in the frames. */
#define FW    "52 54 00 00 01 03 "
#define HOST  "52 54 00 00 01 02 "
#define PEER  "02 00 00 00 00 0a "
#define OTHER "02 00 00 00 00 0b "
#define BCAST "ff ff ff ff ff ff "
#define MCAST "33 33 00 00 00 01 "

#define FW_IP   "0a 4d 00 03 "
#define HOST_IP "0a 4d 00 02 "
#define PEER_IP "0a 4d 00 01 "
#define FW_LL   "fe 80 00 00 00 00 00 00 50 54 00 ff fe 00 01 03 "
#define FW_IP6  "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 03 "
#define HOST_LL "fe 80 00 00 00 00 00 00 50 54 00 ff fe 00 01 02 "
#define ANY6    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
#define ALL6    "ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01 "

#define PLAIN   "88 b5 01 02 03 04 "     /* local experimental EtherType */
#define TAG(vid) "81 00 " vid

typedef struct TestPort {
    SnPort port;
    GPtrArray *frames;          /* GByteArray: what was delivered */
    SnOffload offload;          /* of the last one */
    const void *bases[4];       /* of its first pieces */
    unsigned iovcnt;
    bool refuse;
    void (*hook)(struct TestPort *tp);  /* runs in deliver() */
} TestPort;

typedef struct Bed {
    SnLoop *loop;
    SnSwitch *sw;
    TestPort uplink, host, fw;
} Bed;

/* The bed of the running test. */
extern Bed *bed;

/* Sets up a bed whose firmware port is in @vlan, and takes it down. */
void bed_up(uint16_t vlan);
void bed_down(void);

/* A port of the test's own. port_done() frees what it got, not the port. */
void port_init(TestPort *tp, const char *name, SnPortRole role);
void port_set_mac(TestPort *tp, const char *hex);
void port_done(TestPort *tp);

/* sn_switch_protect() for the firmware; NULL: none. */
void protect(const char *ip4, const char *ip6_a, const char *ip6_b);

/* The caller frees it. Blanks do not count. */
GByteArray *from_hex(const char *hex);

/*
 * Feeds a frame into port @from in pieces of @piece bytes (0: all in one),
 * each in memory of its own so that the sanitizer sees every byte too far.
 */
void feed_bytes(TestPort *from, const uint8_t *bytes, size_t len,
                size_t piece, SnOffload offload);
void feed_split(TestPort *from, const char *hex, size_t piece,
                SnOffload offload);
void feed(TestPort *from, const char *hex);

/* Forgets what was delivered. */
void clear(void);

/* Who got a frame since clear(): "u", "h" and "f", once per frame. Clears. */
void assert_got(const char *who);

/* @tp got exactly one frame since clear(): @hex. */
void assert_frame(TestPort *tp, const char *hex);

#endif
