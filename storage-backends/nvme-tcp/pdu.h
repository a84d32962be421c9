/*
 * The PDUs of NVMe/TCP (NVMe TCP Transport Specification 1.0c, section 3.6):
 * layout, building and checking. All fields are little endian.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_PDU_H
#define SN_PDU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "smartnic/nvme.h"

typedef enum SnPduType {
    SN_PDU_ICREQ = 0,
    SN_PDU_ICRESP = 1,
    SN_PDU_H2C_TERM_REQ = 2,
    SN_PDU_C2H_TERM_REQ = 3,
    SN_PDU_CAPSULE_CMD = 4,
    SN_PDU_CAPSULE_RESP = 5,
    SN_PDU_H2C_DATA = 6,
    SN_PDU_C2H_DATA = 7,
    SN_PDU_R2T = 9,
} SnPduType;

enum {
    SN_PDU_HDGST = 1 << 0,
    SN_PDU_DDGST = 1 << 1,
    SN_PDU_LAST = 1 << 2,
    SN_PDU_SUCCESS = 1 << 3,
};

/* Fatal error status of a TermReq (figures of section 3.6.2.3 and 3.6.2.4). */
typedef enum SnPduFes {
    SN_FES_HEADER_FIELD = 1,
    SN_FES_SEQUENCE = 2,
    SN_FES_HEADER_DIGEST = 3,
    SN_FES_OUT_OF_RANGE = 4,
    SN_FES_LIMIT = 5,           /* from a host: R2T limit exceeded */
    SN_FES_UNSUPPORTED = 6,
} SnPduFes;

typedef struct SnPduCh {
    uint8_t type;
    uint8_t flags;
    uint8_t hlen;
    uint8_t pdo;
    uint32_t plen;
} SnPduCh;
G_STATIC_ASSERT(sizeof(SnPduCh) == 8);

typedef struct SnPduIcReq {
    SnPduCh ch;
    uint16_t pfv;
    uint8_t hpda;
    uint8_t dgst;               /* bit 0: header, bit 1: data */
    uint32_t maxr2t;            /* one less than that many per command */
    uint8_t reserved[112];
} SnPduIcReq;
G_STATIC_ASSERT(sizeof(SnPduIcReq) == 128);

typedef struct SnPduIcResp {
    SnPduCh ch;
    uint16_t pfv;
    uint8_t cpda;
    uint8_t dgst;
    uint32_t maxh2cdata;
    uint8_t reserved[112];
} SnPduIcResp;
G_STATIC_ASSERT(sizeof(SnPduIcResp) == 128);

/* Followed by the start of the PDU that was wrong. */
typedef struct __attribute__((packed)) SnPduTermReq {
    SnPduCh ch;
    uint16_t fes;
    uint32_t fei;
    uint8_t reserved[10];
} SnPduTermReq;
G_STATIC_ASSERT(sizeof(SnPduTermReq) == 24);
#define SN_PDU_TERM_DATA_MAX 128

typedef struct SnPduCmd {
    SnPduCh ch;
    SnNvmeSqe sqe;
} SnPduCmd;
G_STATIC_ASSERT(sizeof(SnPduCmd) == 72);

typedef struct SnPduResp {
    SnPduCh ch;
    SnNvmeCqe cqe;
} SnPduResp;
G_STATIC_ASSERT(sizeof(SnPduResp) == 24);

/* H2CData, C2HData (no TTAG there) and R2T have the same fields. */
typedef struct SnPduData {
    SnPduCh ch;
    uint16_t cccid;
    uint16_t ttag;
    uint32_t offset;
    uint32_t len;
    uint8_t reserved[4];
} SnPduData;
G_STATIC_ASSERT(sizeof(SnPduData) == 24);

#define SN_PDU_DIGEST_LEN 4
/* The longest header that we send for a command or data, with its digest. */
#define SN_PDU_HEAD_MAX (sizeof(SnPduCmd) + SN_PDU_DIGEST_LEN)
/* The longest header that may come. */
#define SN_PDU_RX_HEAD_MAX sizeof(SnPduIcResp)
/* PDO is at most 128 (CPDA 31), so padding is shorter than this. */
#define SN_PDU_PAD_MAX 128

#define SN_PDU_MIN_MAXH2CDATA 4096

/* What was agreed by ICReq and ICResp. */
typedef struct SnPduLink {
    bool hdgst;
    bool ddgst;
    unsigned align;             /* of data that we send: (CPDA + 1) * 4 */
    uint32_t maxh2cdata;        /* bytes in one H2CData PDU */
} SnPduLink;

/* Why a PDU is wrong. */
typedef struct SnPduError {
    SnPduFes fes;
    uint32_t fei;               /* offset of the wrong field */
    const char *field;          /* its name */
} SnPduError;

/* "R2T" etc. or "unknown PDU"; a literal. */
const char *sn_pdu_name(uint8_t type);
/* What a fatal error status means; a literal. */
const char *sn_pdu_fes_text(unsigned fes);

/* Fills @pdu. */
void sn_pdu_build_icreq(SnPduIcReq *pdu, bool hdgst, bool ddgst);

/*
 * Builds the header of a PDU with @len bytes of data to follow at @head
 * (SN_PDU_HEAD_MAX bytes): its digest included. Returns the header's length
 * and sets @pad to how many bytes of padding come before the data.
 */
unsigned sn_pdu_build_cmd(uint8_t *head, const SnPduLink *link,
                          const SnNvmeSqe *sqe, uint32_t len, unsigned *pad);
unsigned sn_pdu_build_h2c_data(uint8_t *head, const SnPduLink *link,
                               uint16_t cid, uint16_t ttag, uint32_t offset,
                               uint32_t len, bool last, unsigned *pad);

/* @offending, @len: the start of the wrong PDU. Returns the whole length. */
unsigned sn_pdu_build_term_req(uint8_t *pdu, const SnPduError *error,
                               const void *offending, size_t len);

/*
 * Checks the common header of a received PDU: type, flags, HLEN, PDO and PLEN
 * as far as they can be told without the rest. @link: NULL while only an
 * ICResp (or a TermReq) may come. False and @error when it is wrong.
 */
bool sn_pdu_check_ch(const SnPduCh *ch, const SnPduLink *link,
                     SnPduError *error);

/* Bytes of a checked PDU that are its header, with the digest if it has one. */
unsigned sn_pdu_rx_head_len(const SnPduCh *ch, const SnPduLink *link);

/* Whether the digest after the header at @head is right, or there is none. */
bool sn_pdu_check_digest(const void *head, const SnPduLink *link,
                         SnPduError *error);

/*
 * Checks an ICResp to a request for the digests @hdgst and @ddgst, and fills
 * in @link.
 */
bool sn_pdu_check_icresp(const SnPduIcResp *pdu, bool hdgst, bool ddgst,
                         SnPduLink *link, SnPduError *error);

/* Checks that a C2HData is consistent in itself. */
bool sn_pdu_check_c2h_data(const SnPduData *pdu, const SnPduLink *link,
                           SnPduError *error);

#endif
