/*
 * What the files of the firmware share with each other.
 *
 * Theory of operation. Frames come in through sn_fw_input(), which only
 * copies them to a queue (rx-queue.c): the switch or a netdev is on the stack
 * then. The bottom half of the card (firmware.c) feeds the queue to lwIP and
 * then lets the streams deliver what happened (stream.c). lwIP's callbacks
 * only take notes and put the stream on its card's ready list, so users' code
 * never runs inside lwIP and may do anything, closing streams included.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_FW_H
#define SMARTNIC_FIRMWARE_FW_H

#include "fw-config.h"
#include "firmware.h"
#include "rx-queue.h"

#include "lwip/netif.h"

typedef struct FwStream FwStream;

struct SnFirmware {
    SnNet net;
    char *id;
    SnLoop *loop;
    bool (*transmit)(void *opaque, const SnFrame *frame);
    void (*addresses_changed)(void *opaque);
    void (*rx_ready)(void *opaque);
    void *opaque;
    FwConfig config;

    /* netif.c */
    struct netif netif;
    char hostname[64];
    bool silent;                /* being freed: nothing leaves any more */
    bool tx_checksum;           /* somebody else completes TCP checksums */
    bool tx_segmentation;       /* ... and cuts long segments */
    uint8_t *bounce;            /* a frame of more pieces than an iovec has */
    uint8_t logged_ip[4];

    /* firmware.c */
    SnBh *bh;
    bool running;               /* inside the bottom half */
    bool addresses_dirty;       /* addresses_changed() is due */
    SnFirmware *next;           /* list of all cards */
    RxQueue rx;
    SnFirmwareStats stats;

    /* stream.c */
    FwStream *streams;          /* all, doubly linked */
    GQueue ready;               /* FwStream.ready_link, in order */
    FwStream *current;          /* its callbacks run; NULL when it closed */
    SnTimer *ack_timer;         /* for ACKs that wait for data to go with */
    bool ack_timer_set;
};

/* firmware.c: all cards of the process. */
extern SnFirmware *sn_fw_list;

/*
 * Around every use of lwIP. They nest. Leaving starts the timers that have
 * become necessary.
 */
void sn_fw_enter(void);
void sn_fw_leave(void);
/* Number of lwIP's assertions that failed so far. */
unsigned sn_fw_lwip_asserts(void);
/* Runs the bottom half soon, unless it is running. */
void sn_fw_schedule(SnFirmware *fw);
/* Makes the configured name server, if there is one, the one that is asked. */
void sn_fw_apply_dns(SnFirmware *fw);

/* netif.c */
void sn_fw_netif_open(SnFirmware *fw);
void sn_fw_netif_close(SnFirmware *fw);
void sn_fw_netif_input(SnFirmware *fw, RxBuf *frame);

/* clock.c: lwIP's timers run while a card is attached. */
void sn_fw_clock_attach(SnFirmware *fw);
void sn_fw_clock_detach(SnFirmware *fw);
/* Starts timers that are needed now and were not before. */
void sn_fw_clock_leave(void);
/* Retransmissions are due now: the link of @fw is back. */
void sn_fw_clock_hurry(SnFirmware *fw);
/* Whether TCP's timers are running: what dies now has timed out. */
bool sn_fw_clock_in_tcp(void);

/* alloc.c: bytes that lwIP has from us, and the most it may have. */
size_t sn_fw_alloc_bytes(void);
#define SN_FW_ALLOC_MAX (6 * 1024 * 1024)

#endif
