/*
 * NVMe/TCP PDUs: building and checking. Section numbers are those of the NVMe
 * TCP Transport Specification 1.0c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "pdu.h"

#include <stddef.h>
#include <string.h>

#include "crc32c.h"

/* PDUs that a controller sends, by type. */
typedef struct PduKind {
    const char *name;
    uint8_t hlen;               /* 0: a controller does not send it */
    bool digest;                /* has a header digest when that is on */
    bool data;                  /* data follows, at PDO */
} PduKind;

static const PduKind kinds[] = {
    [SN_PDU_ICREQ] = { "ICReq" },
    [SN_PDU_ICRESP] = { "ICResp", sizeof(SnPduIcResp) },
    [SN_PDU_H2C_TERM_REQ] = { "H2CTermReq" },
    [SN_PDU_C2H_TERM_REQ] = { "C2HTermReq", sizeof(SnPduTermReq) },
    [SN_PDU_CAPSULE_CMD] = { "CapsuleCmd" },
    [SN_PDU_CAPSULE_RESP] = { "CapsuleResp", sizeof(SnPduResp), true },
    [SN_PDU_H2C_DATA] = { "H2CData" },
    [SN_PDU_C2H_DATA] = { "C2HData", sizeof(SnPduData), true, true },
    [SN_PDU_R2T] = { "R2T", sizeof(SnPduData), true },
};

const char *sn_pdu_name(uint8_t type)
{
    return type < G_N_ELEMENTS(kinds) && kinds[type].name ? kinds[type].name
                                                          : "unknown PDU";
}

const char *sn_pdu_fes_text(unsigned fes)
{
    static const char *const texts[] = {
        [SN_FES_HEADER_FIELD] = "invalid PDU header field",
        [SN_FES_SEQUENCE] = "PDU sequence error",
        [SN_FES_HEADER_DIGEST] = "header digest error",
        [SN_FES_OUT_OF_RANGE] = "data transfer out of range",
        [SN_FES_LIMIT] = "data transfer limit exceeded",
        [SN_FES_UNSUPPORTED] = "unsupported parameter",
    };

    return fes < G_N_ELEMENTS(texts) && texts[fes] ? texts[fes]
                                                   : "unknown reason";
}

static bool wrong(SnPduError *error, SnPduFes fes, uint32_t fei,
                  const char *field)
{
    *error = (SnPduError){ .fes = fes, .fei = fei, .field = field };
    return false;
}

void sn_pdu_build_icreq(SnPduIcReq *pdu, bool hdgst, bool ddgst)
{
    /* HPDA 0: data may come at any multiple of 4. MAXR2T 0: one at a time. */
    *pdu = (SnPduIcReq){
        .ch = { .type = SN_PDU_ICREQ, .hlen = sizeof(*pdu),
                .plen = GUINT32_TO_LE(sizeof(*pdu)) },
        .dgst = (hdgst ? 1 : 0) | (ddgst ? 2 : 0),
    };
}

/*
 * Completes the common header of a PDU with @len bytes of data, of which
 * sizes and digests are not set yet, and adds the header digest.
 */
static unsigned finish_head(uint8_t *head, unsigned hlen, uint8_t flags,
                            const SnPduLink *link, uint32_t len,
                            unsigned *pad)
{
    SnPduCh *ch = (SnPduCh *)head;
    unsigned head_len = hlen + (link->hdgst ? SN_PDU_DIGEST_LEN : 0);
    unsigned pdo = 0;
    uint32_t plen = head_len;

    if (len) {
        pdo = (head_len + link->align - 1) / link->align * link->align;
        plen = pdo + len + (link->ddgst ? SN_PDU_DIGEST_LEN : 0);
        flags |= link->ddgst ? SN_PDU_DDGST : 0;
    }
    ch->flags = flags | (link->hdgst ? SN_PDU_HDGST : 0);
    ch->hlen = hlen;
    ch->pdo = pdo;
    ch->plen = GUINT32_TO_LE(plen);
    *pad = len ? pdo - head_len : 0;
    if (link->hdgst) {
        uint32_t digest = GUINT32_TO_LE(sn_crc32c(0, head, hlen));

        memcpy(head + hlen, &digest, sizeof(digest));
    }
    return head_len;
}

unsigned sn_pdu_build_cmd(uint8_t *head, const SnPduLink *link,
                          const SnNvmeSqe *sqe, uint32_t len, unsigned *pad)
{
    SnPduCmd *pdu = (SnPduCmd *)head;

    pdu->ch.type = SN_PDU_CAPSULE_CMD;
    pdu->sqe = *sqe;
    return finish_head(head, sizeof(*pdu), 0, link, len, pad);
}

unsigned sn_pdu_build_h2c_data(uint8_t *head, const SnPduLink *link,
                               uint16_t cid, uint16_t ttag, uint32_t offset,
                               uint32_t len, bool last, unsigned *pad)
{
    SnPduData *pdu = (SnPduData *)head;

    *pdu = (SnPduData){
        .ch.type = SN_PDU_H2C_DATA,
        .cccid = GUINT16_TO_LE(cid),
        .ttag = ttag,           /* opaque to us */
        .offset = GUINT32_TO_LE(offset),
        .len = GUINT32_TO_LE(len),
    };
    return finish_head(head, sizeof(*pdu), last ? SN_PDU_LAST : 0, link, len,
                       pad);
}

unsigned sn_pdu_build_term_req(uint8_t *pdu, const SnPduError *error,
                               const void *offending, size_t len)
{
    size_t data = MIN(len, SN_PDU_TERM_DATA_MAX);
    unsigned plen = sizeof(SnPduTermReq) + data;
    SnPduTermReq req = {
        .ch = { .type = SN_PDU_H2C_TERM_REQ, .hlen = sizeof(req),
                .plen = GUINT32_TO_LE(plen) },
        .fes = GUINT16_TO_LE(error->fes),
        .fei = GUINT32_TO_LE(error->fei),
    };

    memcpy(pdu, &req, sizeof(req));
    memcpy(pdu + sizeof(req), offending, data);
    return plen;
}

/* Digests are there exactly as agreed; reserved flags are not looked at. */
static bool check_flags(const SnPduCh *ch, const SnPduLink *link,
                        const PduKind *kind)
{
    if (kind->digest && !(ch->flags & SN_PDU_HDGST) != !link->hdgst) {
        return false;
    }
    if (!kind->data) {
        return true;
    }
    /* SUCCESS stands for the response capsule, so it comes last (3.6.2.10). */
    return !(ch->flags & SN_PDU_DDGST) == !link->ddgst &&
           (ch->flags & SN_PDU_LAST || !(ch->flags & SN_PDU_SUCCESS));
}

bool sn_pdu_check_ch(const SnPduCh *ch, const SnPduLink *link,
                     SnPduError *error)
{
    const PduKind *kind = ch->type < G_N_ELEMENTS(kinds) ? &kinds[ch->type]
                                                         : &kinds[0];
    uint32_t plen = GUINT32_FROM_LE(ch->plen);
    unsigned head_len;

    if (!kind->hlen) {
        return wrong(error, SN_FES_HEADER_FIELD, 0, "PDU-Type");
    }
    /* ICResp comes first and once; a TermReq may come at any time (3.5). */
    if (ch->type != SN_PDU_C2H_TERM_REQ &&
        (ch->type == SN_PDU_ICRESP) != !link) {
        return wrong(error, SN_FES_SEQUENCE, 0, "PDU-Type");
    }
    if (!check_flags(ch, link, kind)) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduCh, flags),
                     "FLAGS");
    }
    if (ch->hlen != kind->hlen) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduCh, hlen),
                     "HLEN");
    }
    head_len = sn_pdu_rx_head_len(ch, link);
    if (kind->data ? ch->pdo < head_len || ch->pdo % 4 : ch->pdo) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduCh, pdo),
                     "PDO");
    }
    /* With data: as its own length field says; see check_c2h_data(). */
    if (ch->type == SN_PDU_C2H_TERM_REQ ?
        plen < head_len || plen > head_len + SN_PDU_TERM_DATA_MAX :
        kind->data ? plen <= ch->pdo : plen != head_len) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduCh, plen),
                     "PLEN");
    }
    return true;
}

unsigned sn_pdu_rx_head_len(const SnPduCh *ch, const SnPduLink *link)
{
    bool digest = kinds[ch->type].digest && link->hdgst;

    return ch->hlen + (digest ? SN_PDU_DIGEST_LEN : 0);
}

bool sn_pdu_check_digest(const void *head, const SnPduLink *link,
                         SnPduError *error)
{
    const SnPduCh *ch = head;
    uint32_t digest;

    if (sn_pdu_rx_head_len(ch, link) == ch->hlen) {
        return true;
    }
    memcpy(&digest, (const uint8_t *)head + ch->hlen, sizeof(digest));
    digest = GUINT32_FROM_LE(digest);
    if (digest != sn_crc32c(0, head, ch->hlen)) {
        /* FEI is the digest that was received. */
        return wrong(error, SN_FES_HEADER_DIGEST, digest, "HDGST");
    }
    return true;
}

bool sn_pdu_check_icresp(const SnPduIcResp *pdu, bool hdgst, bool ddgst,
                         SnPduLink *link, SnPduError *error)
{
    uint32_t max = GUINT32_FROM_LE(pdu->maxh2cdata);

    if (pdu->pfv) {
        return wrong(error, SN_FES_UNSUPPORTED, offsetof(SnPduIcResp, pfv),
                     "PFV");
    }
    if (pdu->cpda > 31) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduIcResp, cpda),
                     "CPDA");
    }
    /* On both sides or not at all: what was asked for is what is wanted. */
    if ((pdu->dgst & 3) != ((hdgst ? 1 : 0) | (ddgst ? 2 : 0))) {
        return wrong(error, SN_FES_UNSUPPORTED, offsetof(SnPduIcResp, dgst),
                     "DGST (other digests than asked for)");
    }
    if (max < SN_PDU_MIN_MAXH2CDATA || max % 4) {
        return wrong(error, SN_FES_HEADER_FIELD,
                     offsetof(SnPduIcResp, maxh2cdata), "MAXH2CDATA");
    }
    *link = (SnPduLink){ .hdgst = hdgst, .ddgst = ddgst,
                         .align = (pdu->cpda + 1) * 4, .maxh2cdata = max };
    return true;
}

bool sn_pdu_check_c2h_data(const SnPduData *pdu, const SnPduLink *link,
                           SnPduError *error)
{
    uint64_t plen = (uint64_t)pdu->ch.pdo + GUINT32_FROM_LE(pdu->len) +
                    (link->ddgst ? SN_PDU_DIGEST_LEN : 0);

    if (!pdu->len) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduData, len),
                     "DATAL");
    }
    if (plen != GUINT32_FROM_LE(pdu->ch.plen)) {
        return wrong(error, SN_FES_HEADER_FIELD, offsetof(SnPduCh, plen),
                     "PLEN");
    }
    return true;
}
