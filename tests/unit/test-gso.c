/*
 * Cutting long TCP frames: every part is a frame that a receiver without
 * offload takes, and together they are what was sent.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "smartnic/be.h"
#include "smartnic/gso.h"

enum { FIN = 1, PSH = 8, ACK = 16, CWR = 0x80 };
enum { MSS = 1448, TCP_HEAD = 32, PAYLOAD = 10 * MSS + 77 };

typedef struct Frame {
    uint8_t bytes[65536 + 64];
    size_t ip, tcp, len;
    bool v6;
    SnOffload offload;
} Frame;

/* RFC 1071, the slow way: 0xffff when the checksum within is right. */
static unsigned sum16(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? p[i] : p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static Frame *frame_new(bool v6, unsigned tags, size_t payload)
{
    Frame *f = g_new0(Frame, 1);
    uint8_t *ip, *tcp;

    f->v6 = v6;
    memset(f->bytes, 0x52, 12);
    for (unsigned i = 0; i < tags; i++) {
        sn_put_be16(f->bytes + 12 + 4 * i, i ? 0x8100 : 0x88a8);
    }
    f->ip = 14 + 4 * tags;
    f->tcp = f->ip + (v6 ? 40 : 20);
    f->len = f->tcp + TCP_HEAD + payload;
    sn_put_be16(f->bytes + f->ip - 2, v6 ? 0x86dd : 0x0800);
    ip = f->bytes + f->ip;
    tcp = f->bytes + f->tcp;
    ip[0] = v6 ? 0x60 : 0x45;
    if (v6) {
        sn_put_be16(ip + 4, TCP_HEAD + payload);
        ip[6] = 6;
        memset(ip + 8, 0xfd, 32);
    } else {
        sn_put_be16(ip + 2, 20 + TCP_HEAD + payload);
        sn_put_be16(ip + 4, 0xffff);          /* identification wraps */
        ip[9] = 6;
        memset(ip + 12, 10, 8);
    }
    memset(tcp + 4, 0xff, 4);           /* the sequence number wraps, too */
    tcp[12] = TCP_HEAD / 4 << 4;
    tcp[13] = CWR | ACK | PSH | FIN;
    for (size_t i = 0; i < payload; i++) {
        tcp[TCP_HEAD + i] = i * 7 + i / 251;
    }
    f->offload = (SnOffload) { .flags = SN_OFFLOAD_NEEDS_CSUM,
                               .gso_type = v6 ? 4 : 1, .gso_size = MSS };
    return f;
}

static bool read_frame(SnGso *g, const Frame *f)
{
    return sn_gso_read(g, f->bytes, MIN(f->len, SN_GSO_HEAD_MAX), f->len,
                       &f->offload);
}

static void check_part(const SnGso *g, const Frame *f, unsigned part)
{
    bool last = part + 1 == sn_gso_parts(g);
    size_t at = part * g->step, n = sn_gso_payload(g, part);
    size_t len = g->head_len + n;
    g_autofree uint8_t *out = g_malloc(len);
    uint8_t *ip = out + f->ip, *tcp = out + f->tcp;
    size_t tcp_len = TCP_HEAD + n;

    sn_gso_header(g, part, f->bytes, out);
    memcpy(out + g->head_len, f->bytes + g->head_len + at, n);
    sn_gso_fill_checksum(g, out, len);

    g_assert_cmpmem(out, f->ip, f->bytes, f->ip);
    if (f->v6) {
        g_assert_cmpuint(sn_get_be16(ip + 4), ==, tcp_len);
    } else {
        g_assert_cmpuint(sn_get_be16(ip + 2), ==, 20 + tcp_len);
        g_assert_cmpuint(sn_get_be16(ip + 4), ==, (0xffff + part) & 0xffff);
        g_assert_cmpuint(sum16(0, ip, 20), ==, 0xffff);
    }
    g_assert_cmpuint(sum16(sum16(6 + tcp_len, f->v6 ? ip + 8 : ip + 12,
                                 f->v6 ? 32 : 8), tcp, tcp_len), ==, 0xffff);
    g_assert_cmpuint(sn_get_be32(tcp + 4), ==, (uint32_t)(0xffffffff + at));
    g_assert_cmpuint(tcp[13], ==, ACK | (part ? 0 : CWR) |
                                  (last ? PSH | FIN : 0));
}

static void test_cut(void)
{
    for (unsigned i = 0; i < 6; i++) {
        g_autofree Frame *f = frame_new(i & 1, i / 2, PAYLOAD);
        SnGso g;

        g_assert_true(read_frame(&g, f));
        g_assert_cmpuint(g.head_len, ==, f->tcp + TCP_HEAD);
        g_assert_cmpuint(sn_gso_parts(&g), ==, 11);
        g_assert_cmpuint(sn_gso_payload(&g, 0), ==, MSS);
        g_assert_cmpuint(sn_gso_payload(&g, 10), ==, 77);
        for (unsigned part = 0; part < 11; part++) {
            check_part(&g, f, part);
        }
    }
}

static void test_steps(void)
{
    g_autofree Frame *f = frame_new(false, 0, PAYLOAD);
    SnGso g;

    g_assert_true(read_frame(&g, f));
    g.step = 5 * MSS;
    g_assert_cmpuint(sn_gso_parts(&g), ==, 3);
    for (unsigned part = 0; part < 3; part++) {
        check_part(&g, f, part);
    }
    g.step = 11 * MSS;
    g_assert_cmpuint(sn_gso_parts(&g), ==, 1);
    check_part(&g, f, 0);
}

/* The longest frame that IPv4 knows, and one of exactly one segment. */
static void test_sizes(void)
{
    g_autofree Frame *longest = frame_new(false, 0, 65535 - 20 - TCP_HEAD);
    g_autofree Frame *one = frame_new(false, 0, MSS);
    SnGso g;

    g_assert_true(read_frame(&g, longest));
    check_part(&g, longest, 0);
    check_part(&g, longest, sn_gso_parts(&g) - 1);
    g_assert_true(read_frame(&g, one));
    g_assert_cmpuint(sn_gso_parts(&g), ==, 1);
    check_part(&g, one, 0);
}

/* Each of these bytes makes the frame something else. */
static void test_refused(void)
{
    static const struct {
        bool v6;
        size_t at;
        uint8_t value;
    } wrong[] = {
        { false, 12, 0x86 }, { false, 14, 0x44 }, { false, 14, 0x65 },
        { false, 17, 1 }, { false, 20, 0x20 }, { false, 21, 1 },
        { false, 23, 17 }, { false, 46, 4 << 4 },
        { true, 12, 0x08 }, { true, 14, 0x45 }, { true, 19, 1 },
        { true, 20, 43 }, { true, 66, 4 << 4 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree Frame *f = frame_new(wrong[i].v6, 0, PAYLOAD);
        SnGso g;

        g_assert_true(read_frame(&g, f));
        f->bytes[wrong[i].at] = wrong[i].value;
        g_assert_false(read_frame(&g, f));
    }
}

static void test_offload_refused(void)
{
    static const SnOffload wrong[] = {
        { .gso_type = 0, .gso_size = MSS }, { .gso_type = 3, .gso_size = MSS },
        { .gso_type = 4, .gso_size = MSS }, { .gso_type = 1, .gso_size = 0 },
    };
    g_autofree Frame *f = frame_new(false, 0, PAYLOAD);
    SnGso g;

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        f->offload = wrong[i];
        g_assert_false(read_frame(&g, f));
    }
    f->offload = (SnOffload) { .gso_type = 1 | 0x80, .gso_size = MSS };
    g_assert_true(read_frame(&g, f));           /* with ECN */
}

/* Nothing behind the given bytes is read: the copies end there. */
static void test_truncated(void)
{
    for (unsigned v6 = 0; v6 < 2; v6++) {
        g_autofree Frame *f = frame_new(v6, 2, PAYLOAD);

        for (size_t n = 0; n < f->tcp + TCP_HEAD; n++) {
            g_autofree uint8_t *head = g_memdup2(f->bytes, MAX(n, 1));
            SnGso g;

            g_assert_false(sn_gso_read(&g, head, n, f->len, &f->offload));
        }
    }
}

/* Three tags are one too many for the room that headers get. */
static void test_tags(void)
{
    g_autofree Frame *f = frame_new(false, 3, PAYLOAD);
    SnGso g;

    g_assert_false(read_frame(&g, f));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gso/cut", test_cut);
    g_test_add_func("/gso/steps", test_steps);
    g_test_add_func("/gso/sizes", test_sizes);
    g_test_add_func("/gso/refused", test_refused);
    g_test_add_func("/gso/offload-refused", test_offload_refused);
    g_test_add_func("/gso/truncated", test_truncated);
    g_test_add_func("/gso/tags", test_tags);
    return g_test_run();
}
