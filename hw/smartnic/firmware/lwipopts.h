/*
 * How the card's firmware builds lwIP (2.1 and 2.2).
 *
 * Left out of the build and replaced by our own: mem.c (alloc.c) and
 * timeouts.c (clock.c). Limits that lwIP would take from pool sizes come from
 * alloc.c's limit and from the limits below.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_LWIPOPTS_H
#define SMARTNIC_FIRMWARE_LWIPOPTS_H

/* One thread, raw API. */
#define NO_SYS                          1
#define SYS_LIGHTWEIGHT_PROT            0
#define LWIP_NETCONN                    0
#define LWIP_SOCKET                     0
#define LWIP_TIMERS                     1
#define LWIP_TIMERS_CUSTOM              1
#define LWIP_HOOK_FILENAME              "lwip-hooks.h"
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS

/* Memory: everything from alloc.c; received frames from rx-pool.c. */
#define MEM_LIBC_MALLOC                 1
#define MEMP_MEM_MALLOC                 1
#define MEM_ALIGNMENT                   8
#define LWIP_SUPPORT_CUSTOM_PBUF        1
/*
 * Packets that wait for an address resolution are always copied: a stream
 * lets go of its caller's memory on close, a queued reference would not.
 */
#define PBUF_NEEDS_COPY(p)              1

/* Ethernet and IP. */
#define LWIP_IPV4                       1
#define LWIP_IPV6                       1
#define LWIP_ICMP                       1
#define LWIP_RAW                        0
#define LWIP_UDP                        1
#define LWIP_ARP                        1
#define ARP_TABLE_SIZE                  64
#define ARP_QUEUEING                    1
#define ARP_QUEUE_LEN                   16
#define ETHARP_TABLE_MATCH_NETIF        1
#define IP_REASSEMBLY                   1
#define IP_REASS_MAX_PBUFS              128
#define LWIP_IPV6_REASS                 1
#define LWIP_IPV6_FRAG                  0
#define IPV6_FRAG_COPYHEADER            1       /* pointers are 64 bits */
#define LWIP_IPV6_MLD                   1
#define LWIP_IPV6_AUTOCONFIG            1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS   1
#define LWIP_IPV6_NUM_ADDRESSES         4
#define LWIP_ND6_NUM_NEIGHBORS          32
#define LWIP_ND6_NUM_DESTINATIONS       32
#define LWIP_ND6_QUEUEING               1
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS  2
#define LWIP_NETIF_LOOPBACK             0
#define LWIP_NETIF_HOSTNAME             1
#define LWIP_NETIF_STATUS_CALLBACK      1

/* Checksums can be switched per card and, around input, per frame. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF    1

/*
 * DHCP binds at once: probing the address first (RFC 2131 section 4.4.1 says
 * SHOULD) would hold up booting from a remote disk.
 */
#define LWIP_DHCP                       1
#define DHCP_DOES_ARP_CHECK             0   /* 2.1 */
#define LWIP_DHCP_DOES_ACD_CHECK        0   /* 2.2 */
#define LWIP_DNS                        1
#define DNS_TABLE_SIZE                  16
#define DNS_MAX_SERVERS                 3

/*
 * TCP. Ticks are 25 ms (delayed ACK) and 50 ms (retransmission, in units of
 * which the RTO is kept; clock.c keeps it between its own floor and ceiling).
 */
#define LWIP_TCP                        1
#define TCP_TMR_INTERVAL                25
#define TCP_MSL                         1000UL
#define TCP_MSS                         8960    /* less by the netif's MTU */
#define LWIP_WND_SCALE                  1
#define TCP_RCV_SCALE                   6
#define TCP_WND                         (2 * 1024 * 1024)
#define TCP_WND_UPDATE_THRESHOLD        (TCP_WND / 8)
#define TCP_SND_BUF                     (2 * 1024 * 1024)
#define TCP_SND_QUEUELEN                8192
#define TCP_SNDLOWAT                    8192
#define TCP_SNDQUEUELOWAT               16
#define TCP_OVERSIZE                    0
#define TCP_QUEUE_OOSEQ                 1
#define TCP_OOSEQ_MAX_BYTES             (1024 * 1024)
#define TCP_OOSEQ_MAX_PBUFS             1024
#define LWIP_TCP_SACK_OUT               1
/* The most that lwIP knows; with the ceiling of the RTO about 20 s. */
#define TCP_MAXRTX                      12
#define TCP_SYNMAXRTX                   12

#define LWIP_STATS                      0

#endif
