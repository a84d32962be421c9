/*
 * Unit tests of what host ports must not send.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "switch-bed.h"

#define ARP(op)  "08 06 00 01 08 00 06 04 00 " op
#define NOBODY   "00 00 00 00 00 00 "
#define NO_IP    "00 00 00 00 "
#define IP4(proto) "08 00 45 00 00 1c 00 00 00 00 40 " proto "00 00 "
#define IP6(len, next) "86 dd 60 00 00 00 00 " len next "ff "
#define UDP(from, to) "00 " from "00 " to "00 08 00 00 "

/* What precedes chaddr in a DHCP message */
#define DHCP_HEAD "01 01 06 00 00 00 00 07 " ZERO8 ZERO8 "00 00 00 00 "

#define ICMP6 "3a "
#define RS    "85 00 00 00 00 00 00 00 "
#define RA    "86 00 00 00 40 00 07 08 00 00 00 00 00 00 00 00 "
#define NS    "87 00 00 00 00 00 00 00 "
#define NA    "88 00 00 00 20 00 00 00 "
#define REDIRECT "89 00 00 00 00 00 00 00 "
#define SLLAO "01 01 "
#define TLLAO "02 01 "
#define NONCE "0e 01 00 00 00 00 00 00 "
#define PAD8  "01 04 00 00 00 00 "      /* fills an extension header */
#define ZERO8 "00 00 00 00 00 00 00 00 "
#define ZERO32 ZERO8 ZERO8 ZERO8 ZERO8

typedef enum Fate {
    PASS,                       /* to the uplink and the firmware */
    UPLINK_ONLY,                /* not to the firmware */
    DROP,
    DROP_SHORTER,               /* dropped, and so is every shorter part */
} Fate;

typedef struct GuardCase {
    const char *name;
    Fate fate;
    const char *hex;
} GuardCase;

/* All are broadcast by the host, so that a frame that passes goes to all. */
static const GuardCase guard_cases[] = {
    { "other traffic", PASS, BCAST HOST PLAIN },
    { "source MAC", DROP_SHORTER, BCAST FW PLAIN },
    { "source MAC, tagged", DROP_SHORTER, BCAST FW TAG("00 00") PLAIN },

    { "ARP request", PASS,
      BCAST HOST ARP("01 ") HOST HOST_IP NOBODY PEER_IP },
    { "ARP request for the firmware", PASS,
      BCAST HOST ARP("01 ") HOST HOST_IP NOBODY FW_IP },
    { "ARP probe for the firmware's address", PASS,
      BCAST HOST ARP("01 ") HOST NO_IP NOBODY FW_IP },
    { "ARP reply", PASS,
      BCAST HOST ARP("02 ") HOST HOST_IP PEER PEER_IP },
    { "ARP reply, sender IP", DROP_SHORTER,
      BCAST HOST ARP("02 ") HOST FW_IP PEER PEER_IP },
    { "ARP request, sender IP", DROP_SHORTER,
      BCAST HOST ARP("01 ") HOST FW_IP NOBODY PEER_IP },
    { "gratuitous ARP", DROP_SHORTER,
      BCAST HOST ARP("01 ") HOST FW_IP NOBODY FW_IP },
    { "gratuitous ARP reply", DROP_SHORTER,
      BCAST HOST ARP("02 ") HOST FW_IP HOST FW_IP },
    { "ARP reply, sender MAC", DROP_SHORTER,
      BCAST HOST ARP("02 ") FW HOST_IP PEER PEER_IP },
    { "ARP probe, sender MAC", DROP_SHORTER,
      BCAST HOST ARP("01 ") FW NO_IP NOBODY FW_IP },
    { "ARP, hardware type 6", DROP_SHORTER,
      BCAST HOST "08 06 00 06 08 00 06 04 00 02 " HOST FW_IP PEER PEER_IP },
    { "ARP, long addresses", DROP_SHORTER,
      BCAST HOST "08 06 00 01 08 00 08 04 00 02 " HOST "00 00 " FW_IP
      PEER PEER_IP },
    { "ARP, long protocol addresses", DROP_SHORTER,
      BCAST HOST "08 06 00 01 08 00 06 10 00 02 " HOST FW_IP6 PEER FW_IP6 },
    { "ARP, priority-tagged", DROP_SHORTER,
      BCAST HOST TAG("00 00") ARP("02 ") HOST FW_IP PEER PEER_IP },
    { "ARP in a VLAN", DROP_SHORTER,
      BCAST HOST TAG("00 05") ARP("02 ") HOST FW_IP PEER PEER_IP },
    { "ARP in two VLANs", DROP_SHORTER,
      BCAST HOST "88 a8 00 05 " TAG("00 05") ARP("02 ") HOST FW_IP PEER
      PEER_IP },
    { "ARP in 802.2 SNAP", DROP,
      BCAST HOST "00 24 aa aa 03 00 00 00 " ARP("02 ") HOST FW_IP PEER
      PEER_IP },

    { "IPv4", PASS, BCAST HOST IP4("01 ") HOST_IP PEER_IP },
    { "IPv4 from 0.0.0.0", PASS,
      BCAST HOST IP4("01 ") NO_IP "ff ff ff ff " },
    { "IPv4 to the firmware", PASS, BCAST HOST IP4("01 ") HOST_IP FW_IP },
    { "IPv4 source", DROP_SHORTER, BCAST HOST IP4("01 ") FW_IP PEER_IP },
    { "IPv4 source in a VLAN", DROP_SHORTER,
      BCAST HOST TAG("00 05") IP4("01 ") FW_IP PEER_IP },
    { "IPv4, wrong version", DROP_SHORTER,
      BCAST HOST "08 00 65 00 00 1c 00 00 00 00 40 01 00 00 " HOST_IP
      PEER_IP },
    { "IPv4, header too short", DROP_SHORTER,
      BCAST HOST "08 00 44 00 00 1c 00 00 00 00 40 01 00 00 " HOST_IP
      PEER_IP },
    { "UDP", PASS,
      BCAST HOST IP4("11 ") HOST_IP PEER_IP UDP("44 ", "35 ") },
    { "DHCP request", PASS,
      BCAST HOST IP4("11 ") NO_IP "ff ff ff ff " UDP("44 ", "43 ")
      DHCP_HEAD HOST },
    { "DHCP request for the firmware", DROP_SHORTER,
      BCAST HOST IP4("11 ") NO_IP "ff ff ff ff " UDP("44 ", "43 ")
      DHCP_HEAD FW },
    { "DHCP release for the firmware, to its server", DROP_SHORTER,
      BCAST HOST IP4("11 ") HOST_IP PEER_IP UDP("44 ", "43 ") DHCP_HEAD FW },
    { "DHCP release for the firmware, tagged, behind IP options", DROP,
      BCAST HOST TAG("00 00") "08 00 46 00 00 20 00 00 00 00 40 11 00 00 "
      HOST_IP PEER_IP "01 01 01 01 " UDP("44 ", "43 ") DHCP_HEAD FW },
    { "DHCP release, first fragment", DROP,
      BCAST HOST "08 00 45 00 00 1c 00 01 20 00 40 11 00 00 " HOST_IP
      PEER_IP UDP("44 ", "43 ") ZERO8 ZERO8 },
    { "UDP, a second fragment of its first bytes", DROP,
      BCAST HOST "08 00 45 00 00 1c 00 01 20 05 40 11 00 00 " HOST_IP
      PEER_IP ZERO8 ZERO8 },
    { "UDP, a second fragment", UPLINK_ONLY,
      BCAST HOST "08 00 45 00 00 1c 00 01 00 06 40 11 00 00 " HOST_IP
      PEER_IP ZERO8 ZERO8 },
    { "DHCP reply", UPLINK_ONLY,
      BCAST HOST IP4("11 ") HOST_IP "ff ff ff ff " UDP("43 ", "44 ") },
    { "DHCP reply behind IP options", UPLINK_ONLY,
      BCAST HOST "08 00 46 00 00 20 00 00 00 00 40 11 00 00 " HOST_IP
      "ff ff ff ff 01 01 01 01 " UDP("43 ", "44 ") },
    { "UDP fragment", UPLINK_ONLY,
      BCAST HOST "08 00 45 00 00 1c 00 01 20 00 40 11 00 00 " HOST_IP
      PEER_IP UDP("35 ", "35 ") },
    { "UDP cut off", UPLINK_ONLY,
      BCAST HOST IP4("11 ") HOST_IP PEER_IP "00 43 00 44 " },

    { "IPv6", PASS, MCAST HOST IP6("00 ", "3b ") HOST_LL ALL6 },
    { "IPv6 source, global", DROP_SHORTER,
      MCAST HOST IP6("00 ", "3b ") FW_IP6 ALL6 },
    { "IPv6 source, link-local, tagged", DROP_SHORTER,
      MCAST HOST TAG("00 07") IP6("00 ", "3b ") FW_LL ALL6 },
    { "IPv6, wrong version", DROP_SHORTER,
      MCAST HOST "86 dd 40 00 00 00 00 00 3b ff " HOST_LL ALL6 },
    { "ping", PASS,
      MCAST HOST IP6("08 ", ICMP6) HOST_LL FW_LL "80 00 00 00 00 01 00 01 " },
    { "listener report behind hop-by-hop options", PASS,
      MCAST HOST IP6("10 ", "00 ") HOST_LL ALL6 ICMP6 "00 05 02 00 00 01 00 "
      "8f 00 00 00 00 00 00 00 " },
    { "ICMPv6 of no length", DROP_SHORTER,
      MCAST HOST IP6("00 ", ICMP6) HOST_LL ALL6 },

    { "NA", PASS,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NA HOST_LL TLLAO HOST },
    { "NA target", DROP_SHORTER,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NA FW_IP6 TLLAO HOST },
    { "NA target, no option", DROP_SHORTER,
      MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 NA FW_LL },
    { "NA target, tagged", DROP_SHORTER,
      MCAST HOST TAG("00 00") IP6("18 ", ICMP6) HOST_LL ALL6 NA FW_LL },
    { "NA from the firmware's address", DROP_SHORTER,
      MCAST HOST IP6("20 ", ICMP6) FW_LL ALL6 NA HOST_LL TLLAO HOST },
    { "NA for the firmware's MAC", DROP,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NA HOST_LL TLLAO FW },
    { "NA, second option", DROP,
      MCAST HOST IP6("28 ", ICMP6) HOST_LL ALL6 NA HOST_LL NONCE TLLAO FW },
    { "NA, option of no length", DROP,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NA HOST_LL "02 00 " HOST },
    { "NA, option cut off", DROP,
      MCAST HOST IP6("1c ", ICMP6) HOST_LL ALL6 NA HOST_LL TLLAO "00 00 " },
    { "NA, longer than it says", PASS,
      MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 NA HOST_LL "00 00 00 " },

    { "NS", PASS,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NS FW_LL SLLAO HOST },
    { "NS, duplicate address detection", PASS,
      MCAST HOST IP6("20 ", ICMP6) ANY6 ALL6 NS FW_LL NONCE },
    { "NS from the firmware's address", DROP_SHORTER,
      MCAST HOST IP6("20 ", ICMP6) FW_IP6 ALL6 NS HOST_LL SLLAO HOST },
    { "NS from the firmware's MAC", DROP,
      MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NS HOST_LL SLLAO FW },
    { "RS", PASS,
      MCAST HOST IP6("10 ", ICMP6) HOST_LL ALL6 RS SLLAO HOST },
    { "RS from the firmware's MAC", DROP,
      MCAST HOST IP6("10 ", ICMP6) HOST_LL ALL6 RS SLLAO FW },

    { "RA", UPLINK_ONLY,
      MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 RA SLLAO HOST },
    { "RA from the firmware's address", DROP_SHORTER,
      MCAST HOST IP6("18 ", ICMP6) FW_LL ALL6 RA SLLAO HOST },
    { "RA from the firmware's MAC", DROP,
      MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 RA SLLAO FW },
    { "redirect", UPLINK_ONLY,
      MCAST HOST IP6("30 ", ICMP6) HOST_LL ALL6 REDIRECT HOST_LL ALL6 TLLAO
      HOST },
    { "redirect of the firmware's address", DROP_SHORTER,
      MCAST HOST IP6("30 ", ICMP6) HOST_LL ALL6 REDIRECT HOST_LL FW_IP6 TLLAO
      HOST },
    { "redirect to the firmware's address", DROP_SHORTER,
      MCAST HOST IP6("30 ", ICMP6) HOST_LL ALL6 REDIRECT FW_LL ALL6 TLLAO
      HOST },

    { "NA behind hop-by-hop options", DROP_SHORTER,
      MCAST HOST IP6("20 ", "00 ") HOST_LL ALL6 ICMP6 "00 " PAD8 NA FW_IP6 },
    { "NA behind destination options", DROP_SHORTER,
      MCAST HOST IP6("20 ", "3c ") HOST_LL ALL6 ICMP6 "00 " PAD8 NA FW_IP6 },
    { "NA behind a routing header", DROP_SHORTER,
      MCAST HOST IP6("20 ", "2b ") HOST_LL ALL6 ICMP6 "00 " PAD8 NA FW_IP6 },
    { "NA behind an authentication header", DROP_SHORTER,
      MCAST HOST IP6("24 ", "33 ") HOST_LL ALL6 ICMP6
      "01 00 00 00 00 00 01 00 00 00 01 " NA FW_IP6 },
    { "NA behind three headers", DROP_SHORTER,
      MCAST HOST IP6("30 ", "00 ") HOST_LL ALL6 "3c 00 " PAD8 "2b 00 " PAD8
      ICMP6 "00 " PAD8 NA FW_IP6 },
    { "header chain of no end", DROP_SHORTER,
      MCAST HOST IP6("10 ", "3c ") HOST_LL ALL6 "3c 00 " PAD8 "3c 00 " PAD8 },
    { "header beyond the packet", DROP_SHORTER,
      MCAST HOST IP6("08 ", "00 ") HOST_LL ALL6 ICMP6 "ff " PAD8 },
    { "header chain longer than is read", DROP_SHORTER,
      MCAST HOST IP6("ff ", "3c ") HOST_LL ALL6 ICMP6 "1b " PAD8 ZERO32 ZERO32
      ZERO32 ZERO32 ZERO32 ZERO32 ZERO8 ZERO8 ZERO8 NA FW_IP6 },

    { "NA in a fragment", DROP_SHORTER,
      MCAST HOST IP6("20 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 01 00 00 00 01 " NA HOST_LL },
    { "NA in an only fragment", DROP_SHORTER,
      MCAST HOST IP6("20 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 00 00 00 00 01 " NA HOST_LL },
    { "NA in a fragment, behind options", DROP_SHORTER,
      MCAST HOST IP6("28 ", "2c ") HOST_LL ALL6 "3c "
      "00 00 01 00 00 00 01 " ICMP6 "00 " PAD8 NA HOST_LL },
    { "first fragment without its headers", DROP_SHORTER,
      MCAST HOST IP6("08 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 01 00 00 00 01 " },
    { "first fragment of a ping", PASS,
      MCAST HOST IP6("10 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 01 00 00 00 01 80 00 00 00 00 01 00 01 " },
    { "later fragment", PASS,
      MCAST HOST IP6("10 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 08 00 00 00 01 88 00 00 00 00 01 00 01 " },
    { "NA with too many options to read", DROP,
      MCAST HOST IP6("ff ", ICMP6) HOST_LL ALL6 NA HOST_LL "0e 1e 00 00 00 "
      "00 00 00 " ZERO32 ZERO32 ZERO32 ZERO32 ZERO32 ZERO32 TLLAO FW },
    { "RA with more options than are read", UPLINK_ONLY,
      MCAST HOST IP6("ff ", ICMP6) HOST_LL ALL6 RA "0e 1e 00 00 00 "
      "00 00 00 " ZERO32 ZERO32 ZERO32 ZERO32 ZERO32 ZERO32 ZERO8 },
};

static const char *const fates[] = {
    [PASS] = "uf", [UPLINK_ONLY] = "u", [DROP] = "", [DROP_SHORTER] = "",
};

static void test_guard(void)
{
    static const size_t pieces[] = { 0, 1, 3, 14, 20, 64 };

    for (size_t i = 0; i < G_N_ELEMENTS(guard_cases); i++) {
        const GuardCase *c = &guard_cases[i];

        g_test_message("%s", c->name);
        bed_up(0);
        for (size_t p = 0; p < G_N_ELEMENTS(pieces); p++) {
            feed_split(&bed->host, c->hex, pieces[p], (SnOffload) { });
            assert_got(fates[c->fate]);
        }
        g_assert_cmpuint(bed->host.port.counters.rx_dropped, ==,
                         *fates[c->fate] ? 0 : G_N_ELEMENTS(pieces));
        bed_down();
    }
}

/*
 * A checksum that somebody fills in later is a write at a place that the guest
 * names, of a value that the guest can choose. It must not be one that was
 * judged.
 */
typedef struct FillCase {
    const char *name;
    const char *who;            /* gets it */
    uint16_t start, offset;
    const char *hex;
} FillCase;

#define ARP_FRAME BCAST HOST ARP("02 ") HOST HOST_IP PEER PEER_IP
#define UDP4_FRAME BCAST HOST IP4("11 ") HOST_IP PEER_IP UDP("35 ", "35 ")
#define DHCP_FRAME BCAST HOST IP4("11 ") HOST_IP PEER_IP UDP("44 ", "43 ") \
    DHCP_HEAD HOST
#define NA_FRAME MCAST HOST IP6("20 ", ICMP6) HOST_LL ALL6 NA HOST_LL TLLAO HOST
#define PING6 MCAST HOST IP6("08 ", ICMP6) HOST_LL ALL6 \
    "80 00 00 00 00 01 00 01 "
#define OPTS6 MCAST HOST IP6("10 ", "3c ") HOST_LL ALL6 "3b 00 " PAD8 ZERO8

static const FillCase fill_cases[] = {
    { "UDP", "uf", 34, 6, UDP4_FRAME },
    { "UDP, tagged", "uf", 38, 6, BCAST HOST TAG("00 00") IP4("11 ") HOST_IP
      PEER_IP UDP("35 ", "35 ") },
    { "not IP", "uf", 14, 0, BCAST HOST PLAIN },
    { "at the end", "uf", 40, 0, UDP4_FRAME },
    { "one byte too far", "", 41, 0, UDP4_FRAME },
    { "much too far", "", 65535, 65535, UDP4_FRAME },
    { "the source MAC", "", 0, 6, UDP4_FRAME },
    { "the EtherType, half of it", "", 13, 0, UDP4_FRAME },
    { "the tag", "", 14, 0, BCAST HOST TAG("00 00") PLAIN },
    { "EtherType behind the tag", "", 14, 2, BCAST HOST TAG("00 00") PLAIN },
    { "ARP's sender", "", 14, 16, ARP_FRAME },
    { "ARP's last byte", "", 41, 0, ARP_FRAME "00 " },
    { "padding behind ARP", "uf", 42, 0, ARP_FRAME "00 00 " },
    { "source IPv4 address", "", 14, 12, UDP4_FRAME },
    { "UDP port", "", 34, 3, UDP4_FRAME },
    { "checksum of a DHCP request", "uf", 34, 6, DHCP_FRAME },
    { "client of a DHCP request", "", 34, 35, DHCP_FRAME },
    { "client of a DHCP request, its end", "", 34, 41, DHCP_FRAME "00 00 " },
    { "behind the client of a DHCP request", "uf", 34, 42,
      DHCP_FRAME "00 00 " },
    { "IPv4 header, last byte", "", 33, 0, UDP4_FRAME },
    { "source IPv6 address", "", 34, 2, PING6 },
    { "ping6", "uf", 54, 2, PING6 },
    { "type of the ping6, to make it an NA", "", 54, 0, PING6 },
    { "code of the ping6", "", 55, 0, PING6 },
    { "target of the NA", "", 54, 22, NA_FRAME },
    { "address option of the NA", "", 54, 30, NA_FRAME },
    { "checksum of the NA", "", 54, 2, NA_FRAME },
    { "padding behind the NA", "uf", 86, 0, NA_FRAME "00 00 " },
    { "next header of an option header", "", 54, 0, OPTS6 },
    { "behind the option header", "uf", 62, 0, OPTS6 },
    { "later fragment's own header", "", 54, 0,
      MCAST HOST IP6("10 ", "2c ") HOST_LL ALL6 ICMP6
      "00 00 08 00 00 00 01 88 00 00 00 00 01 00 01 " },
};

static void test_guard_fill(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fill_cases); i++) {
        const FillCase *c = &fill_cases[i];
        SnOffload offload = {
            .flags = SN_OFFLOAD_NEEDS_CSUM,
            .csum_start = c->start,
            .csum_offset = c->offset,
        };

        g_test_message("%s", c->name);
        bed_up(0);
        feed_split(&bed->host, c->hex, 0, offload);
        assert_got(c->who);
        /* Without the flag the two fields mean nothing. */
        offload.flags = 0;
        feed_split(&bed->host, c->hex, 0, offload);
        assert_got("uf");
        bed_down();
    }
}

/* What is cut off anywhere reads no byte too far and claims nothing. */
static void test_guard_truncated(void)
{
    bed_up(0);
    for (size_t i = 0; i < G_N_ELEMENTS(guard_cases); i++) {
        const GuardCase *c = &guard_cases[i];
        g_autoptr(GByteArray) bytes = from_hex(c->hex);

        g_test_message("%s", c->name);
        for (size_t len = 0; len < bytes->len; len++) {
            feed_bytes(&bed->host, bytes->data, len, 0, (SnOffload) { });
            if (c->fate == DROP_SHORTER) {
                assert_got("");
            }
            clear();
        }
    }
    bed_down();
}

/* The same frames are nobody's business when they come from elsewhere. */
static void test_guard_is_for_hosts(void)
{
    bed_up(0);
    for (size_t i = 0; i < G_N_ELEMENTS(guard_cases); i++) {
        feed(&bed->uplink, guard_cases[i].hex);
        g_assert_cmpuint(bed->host.frames->len, ==, 1);
        clear();
        feed(&bed->fw, guard_cases[i].hex);
        assert_got("uh");
    }
    g_assert_cmpuint(bed->uplink.port.counters.rx_dropped, ==, 0);
    g_assert_cmpuint(bed->fw.port.counters.rx_dropped, ==, 0);
    bed_down();
}

static void test_guard_in_storage_vlan(void)
{
    bed_up(100);
    for (size_t i = 0; i < G_N_ELEMENTS(guard_cases); i++) {
        feed(&bed->host, guard_cases[i].hex);
        assert_got(guard_cases[i].fate < DROP ? "u" : "");
    }
    bed_down();
}

/* Addresses come and go at run time; each set replaces the one before. */
static void test_protect(void)
{
    static const char arp[] = BCAST HOST ARP("02 ") HOST FW_IP PEER PEER_IP;
    static const char na[] =
        MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 NA FW_LL;
    static const char na2[] =
        MCAST HOST IP6("18 ", ICMP6) HOST_LL ALL6 NA FW_IP6;

    bed_up(0);
    protect(NULL, NULL, NULL);
    feed(&bed->host, arp);
    feed(&bed->host, na);
    assert_got("uuff");
    feed(&bed->host, BCAST FW PLAIN);           /* needs no call */
    assert_got("");

    protect(NO_IP, FW_IP6, NULL);
    feed(&bed->host, arp);
    feed(&bed->host, BCAST HOST ARP("01 ") HOST NO_IP NOBODY FW_IP);
    feed(&bed->host, na);
    assert_got("uuufff");
    feed(&bed->host, na2);
    assert_got("");

    protect(HOST_IP, NULL, NULL);
    feed(&bed->host, arp);
    feed(&bed->host, na2);
    assert_got("uuff");
    feed(&bed->host, BCAST HOST IP4("01 ") HOST_IP PEER_IP);
    assert_got("");

    protect(FW_IP, FW_LL, NULL);
    feed(&bed->host, arp);
    feed(&bed->host, na);
    assert_got("");
    bed_down();
}

/* A guest that rewrites its frame while it is on its way changes nothing. */
static uint8_t *guest_memory;

static void rewrite_frame(TestPort *tp)
{
    g_autoptr(GByteArray) lie =
        from_hex(BCAST HOST ARP("02 ") HOST FW_IP PEER PEER_IP);

    memcpy(guest_memory, lie->data, lie->len);
}

static void test_changing_memory(void)
{
    static const char truth[] =
        BCAST HOST ARP("02 ") HOST HOST_IP PEER PEER_IP;
    g_autoptr(GByteArray) bytes = from_hex(truth);
    struct iovec iov = { bytes->data, bytes->len };
    SnFrame frame = { .iov = &iov, .iovcnt = 1, .len = bytes->len };

    bed_up(0);
    guest_memory = bytes->data;
    bed->uplink.hook = rewrite_frame;
    sn_switch_input(bed->sw, &bed->host.port, &frame);
    assert_frame(&bed->fw, truth);
    g_assert_true(bed->uplink.bases[0] != guest_memory);
    bed_down();
}

/* Whatever a guest sends, nothing is read or written where it must not. */
static void test_random_frames(void)
{
    GRand *rand = g_rand_new_with_seed(2);

    bed_up(100);
    for (unsigned n = 0; n < 20000; n++) {
        const GuardCase *c = &guard_cases[
            g_rand_int_range(rand, 0, G_N_ELEMENTS(guard_cases))];
        g_autoptr(GByteArray) bytes = from_hex(c->hex);
        SnOffload offload = {
            .flags = g_rand_int_range(rand, 0, 4),
            .hdr_len = g_rand_int_range(rand, 0, 65536),
            .csum_start = g_rand_int_range(rand, 0, 65536),
        };

        for (int flips = g_rand_int_range(rand, 0, 5); flips; flips--) {
            bytes->data[g_rand_int_range(rand, 0, bytes->len)] =
                g_rand_int_range(rand, 0, 256);
        }
        if (n % 3 == 0) {
            memcpy(bytes->data + 12, "\x81\x00\x00\x64", 4);
        }
        feed_bytes(n % 2 ? &bed->host : &bed->uplink, bytes->data,
                   g_rand_int_range(rand, 0, bytes->len + 1),
                   g_rand_int_range(rand, 0, 20), offload);
        if (n % 2 && n % 3 == 0) {
            g_assert_cmpuint(bed->uplink.frames->len, ==, 0);
        }
        g_assert_true(n % 3 || !bed->host.frames->len);
        clear();
    }
    g_rand_free(rand);
    bed_down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/switch/guard/cases", test_guard);
    g_test_add_func("/switch/guard/fill", test_guard_fill);
    g_test_add_func("/switch/guard/truncated", test_guard_truncated);
    g_test_add_func("/switch/guard/hosts-only", test_guard_is_for_hosts);
    g_test_add_func("/switch/guard/storage-vlan", test_guard_in_storage_vlan);
    g_test_add_func("/switch/guard/protect", test_protect);
    g_test_add_func("/switch/guard/changing-memory", test_changing_memory);
    g_test_add_func("/switch/guard/random-frames", test_random_frames);
    return g_test_run();
}
