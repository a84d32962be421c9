/*
 * NVMe/TCP PDUs: bytes that are sent, and headers that must be refused.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "pdu.h"

static const SnPduLink plain = { .align = 4, .maxh2cdata = 4096 };
static const SnPduLink digests = { .hdgst = true, .ddgst = true, .align = 4,
                                   .maxh2cdata = 4096 };

static void test_build_icreq(void)
{
    static const uint8_t want[128] = { 0, 0, 128, 0, 128, [11] = 3 };
    SnPduIcReq pdu;

    sn_pdu_build_icreq(&pdu, true, true);
    g_assert_cmpmem(&pdu, sizeof(pdu), want, sizeof(want));
}

static void test_build_cmd(void)
{
    uint8_t head[SN_PDU_HEAD_MAX] __attribute__((aligned(8)));
    SnNvmeSqe sqe = { .opcode = 1, .cid = GUINT16_TO_LE(0x1234) };
    unsigned pad;

    g_assert_cmpuint(sn_pdu_build_cmd(head, &plain, &sqe, 0, &pad), ==, 72);
    g_assert_cmpuint(pad, ==, 0);
    g_assert_cmpmem(head, 12, "\4\0\110\0\110\0\0\0\1\0\064\022", 12);

    /* In-capsule data with both digests: 72 + 4, data at 76. */
    g_assert_cmpuint(sn_pdu_build_cmd(head, &digests, &sqe, 512, &pad), ==,
                     76);
    g_assert_cmpuint(pad, ==, 0);
    g_assert_cmpmem(head, 8, "\4\3\110\114\120\2\0\0", 8);

    /* CPDA 31: data at a multiple of 128. */
    g_assert_cmpuint(sn_pdu_build_cmd(head, &(SnPduLink){ .align = 128 },
                                      &sqe, 512, &pad), ==, 72);
    g_assert_cmpuint(pad, ==, 56);
    g_assert_cmpmem(head, 8, "\4\0\110\200\200\2\0\0", 8);
}

static void test_build_h2c_data(void)
{
    static const uint8_t want[24] = {
        6, 4, 24, 24, 24, 16, 0, 0, 0x22, 0x11, 0x44, 0x33,
        0x00, 0x02, 0x01, 0x00, 0x00, 0x10
    };
    uint8_t head[SN_PDU_HEAD_MAX] __attribute__((aligned(8)));
    unsigned pad;

    g_assert_cmpuint(sn_pdu_build_h2c_data(head, &plain, 0x1122,
                                           GUINT16_TO_LE(0x3344), 0x10200,
                                           4096, true, &pad), ==, 24);
    g_assert_cmpuint(pad, ==, 0);
    g_assert_cmpmem(head, 24, want, 24);
}

static void test_build_term_req(void)
{
    uint8_t pdu[sizeof(SnPduTermReq) + SN_PDU_TERM_DATA_MAX];
    uint8_t bad[200];
    SnPduError error = { SN_FES_OUT_OF_RANGE, 0x0c, "DATAO" };

    memset(bad, 0x99, sizeof(bad));
    g_assert_cmpuint(sn_pdu_build_term_req(pdu, &error, bad, 24), ==, 48);
    g_assert_cmpmem(pdu, 16, "\2\0\030\0\060\0\0\0\4\0\014\0\0\0\0\0", 16);
    g_assert_cmpmem(pdu + 24, 24, bad, 24);
    g_assert_cmpuint(sn_pdu_build_term_req(pdu, &error, bad, 200), ==, 152);
}

typedef struct ChCase {
    SnPduCh ch;
    const SnPduLink *link;
    const char *wrong;          /* NULL: it is right */
    SnPduFes fes;
} ChCase;

static const ChCase ch_cases[] = {
    /* type, flags, hlen, pdo, plen */
    { { 1, 0, 128, 0, 128 }, NULL, NULL },
    { { 1, 0, 128, 0, 128 }, &plain, "PDU-Type", SN_FES_SEQUENCE },
    { { 1, 0, 127, 0, 128 }, NULL, "HLEN", SN_FES_HEADER_FIELD },
    { { 1, 0, 128, 4, 128 }, NULL, "PDO", SN_FES_HEADER_FIELD },
    { { 1, 0, 128, 0, 132 }, NULL, "PLEN", SN_FES_HEADER_FIELD },
    { { 3, 0, 24, 0, 24 }, NULL, NULL },
    { { 3, 0, 24, 0, 152 }, &digests, NULL },
    { { 3, 0, 24, 0, 153 }, &plain, "PLEN", SN_FES_HEADER_FIELD },
    { { 3, 0, 24, 0, 23 }, &plain, "PLEN", SN_FES_HEADER_FIELD },
    { { 5, 0, 24, 0, 24 }, NULL, "PDU-Type", SN_FES_SEQUENCE },
    { { 5, 0, 24, 0, 24 }, &plain, NULL },
    { { 5, 1, 24, 0, 28 }, &digests, NULL },
    { { 5, 0, 24, 0, 28 }, &digests, "FLAGS", SN_FES_HEADER_FIELD },
    { { 5, 1, 24, 0, 28 }, &plain, "FLAGS", SN_FES_HEADER_FIELD },
    { { 5, 1, 24, 0, 24 }, &digests, "PLEN", SN_FES_HEADER_FIELD },
    { { 5, 0, 72, 0, 72 }, &plain, "HLEN", SN_FES_HEADER_FIELD },
    { { 7, 0, 24, 24, 25 }, &plain, NULL },
    { { 7, 4, 24, 252, 65536 }, &plain, NULL },
    { { 7, 12, 24, 24, 536 }, &plain, NULL },
    { { 7, 8, 24, 24, 536 }, &plain, "FLAGS", SN_FES_HEADER_FIELD },
    { { 7, 7, 24, 28, 544 }, &digests, NULL },
    { { 7, 5, 24, 28, 544 }, &digests, "FLAGS", SN_FES_HEADER_FIELD },
    { { 7, 7, 24, 24, 544 }, &digests, "PDO", SN_FES_HEADER_FIELD },
    { { 7, 0, 24, 0, 536 }, &plain, "PDO", SN_FES_HEADER_FIELD },
    { { 7, 0, 24, 26, 536 }, &plain, "PDO", SN_FES_HEADER_FIELD },
    { { 7, 0, 24, 24, 24 }, &plain, "PLEN", SN_FES_HEADER_FIELD },
    { { 7, 0, 24, 24, 0 }, &plain, "PLEN", SN_FES_HEADER_FIELD },
    { { 9, 0, 24, 0, 24 }, &plain, NULL },
    { { 9, 0, 24, 0, 1024 }, &plain, "PLEN", SN_FES_HEADER_FIELD },
    { { 9, 0, 24, 24, 24 }, &plain, "PDO", SN_FES_HEADER_FIELD },
    /* Those that a host sends, and those that do not exist. */
    { { 0, 0, 128, 0, 128 }, NULL, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 2, 0, 24, 0, 24 }, &plain, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 4, 0, 72, 0, 72 }, &plain, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 6, 0, 24, 24, 536 }, &plain, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 8, 0, 24, 0, 24 }, &plain, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 10, 0, 24, 0, 24 }, &plain, "PDU-Type", SN_FES_HEADER_FIELD },
    { { 255, 255, 255, 255, UINT32_MAX }, &plain, "PDU-Type",
      SN_FES_HEADER_FIELD },
};

static void test_check_ch(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ch_cases); i++) {
        const ChCase *c = &ch_cases[i];
        SnPduCh ch = c->ch;
        SnPduError error = { 0 };
        bool good;

        ch.plen = GUINT32_TO_LE(ch.plen);
        good = sn_pdu_check_ch(&ch, c->link, &error);
        g_test_message("case %u", i);
        g_assert_cmpint(good, ==, !c->wrong);
        g_assert_cmpstr(error.field, ==, c->wrong);
        g_assert_cmpint(error.fes, ==, c->fes);
    }
}

typedef struct IcCase {
    uint16_t pfv;
    uint8_t cpda, dgst;
    uint32_t maxh2cdata;
    const char *wrong;
} IcCase;

static const IcCase ic_cases[] = {
    { 0, 0, 1, 4096, NULL },
    { 0, 31, 1, 0xfffffffc, NULL },
    { 1, 0, 1, 4096, "PFV" },
    { 0, 32, 1, 4096, "CPDA" },
    { 0, 0, 1, 4092, "MAXH2CDATA" },
    { 0, 0, 1, 4098, "MAXH2CDATA" },
    { 0, 0, 0, 4096, "DGST" },
    { 0, 0, 2, 4096, "DGST" },
    { 0, 0, 3, 4096, "DGST" },
};

static void test_check_icresp(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ic_cases); i++) {
        const IcCase *c = &ic_cases[i];
        SnPduIcResp pdu = { .pfv = GUINT16_TO_LE(c->pfv), .cpda = c->cpda,
                            .dgst = c->dgst,
                            .maxh2cdata = GUINT32_TO_LE(c->maxh2cdata) };
        SnPduError error = { 0 };
        SnPduLink link = { 0 };
        bool good = sn_pdu_check_icresp(&pdu, true, false, &link, &error);

        g_assert_cmpint(good, ==, !c->wrong);
        if (good) {
            g_assert_cmpuint(link.align, ==, (c->cpda + 1) * 4);
            g_assert_cmpuint(link.maxh2cdata, ==, c->maxh2cdata);
            g_assert_true(link.hdgst && !link.ddgst);
        } else {
            g_assert_true(g_str_has_prefix(error.field, c->wrong));
        }
    }
}

static void test_check_digest(void)
{
    uint8_t head[SN_PDU_HEAD_MAX] __attribute__((aligned(8)));
    SnPduError error;
    unsigned pad;

    sn_pdu_build_h2c_data(head, &digests, 1, 2, 0, 512, true, &pad);
    head[0] = SN_PDU_C2H_DATA;
    g_assert_false(sn_pdu_check_digest(head, &digests, &error));
    g_assert_cmpint(error.fes, ==, SN_FES_HEADER_DIGEST);
    g_assert_cmphex(error.fei, ==, head[24] | head[25] << 8 | head[26] << 16 |
                    (uint32_t)head[27] << 24);
    g_assert_true(sn_pdu_check_digest(head, &plain, &error));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-pdu/build-icreq", test_build_icreq);
    g_test_add_func("/nvme-pdu/build-cmd", test_build_cmd);
    g_test_add_func("/nvme-pdu/build-h2c-data", test_build_h2c_data);
    g_test_add_func("/nvme-pdu/build-term-req", test_build_term_req);
    g_test_add_func("/nvme-pdu/check-ch", test_check_ch);
    g_test_add_func("/nvme-pdu/check-icresp", test_check_icresp);
    g_test_add_func("/nvme-pdu/check-digest", test_check_digest);
    return g_test_run();
}
