/*
 * What the tests of the embedded switch have in common.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "switch-bed.h"

Bed *bed;

static bool test_deliver(SnPort *port, const SnFrame *frame)
{
    TestPort *tp = (TestPort *)port;
    GByteArray *bytes = g_byte_array_new();

    for (unsigned i = 0; i < frame->iovcnt; i++) {
        g_byte_array_append(bytes, frame->iov[i].iov_base,
                            frame->iov[i].iov_len);
        if (i < G_N_ELEMENTS(tp->bases)) {
            tp->bases[i] = frame->iov[i].iov_base;
        }
    }
    g_assert_cmpuint(bytes->len, ==, frame->len);
    g_assert_cmpuint(frame->iovcnt, <=, SN_SWITCH_MAX_IOV);
    g_ptr_array_add(tp->frames, bytes);
    tp->offload = frame->offload;
    tp->iovcnt = frame->iovcnt;
    if (tp->hook) {
        tp->hook(tp);
    }
    return !tp->refuse;
}

static const SnPortOps test_ops = { .deliver = test_deliver };

GByteArray *from_hex(const char *hex)
{
    GByteArray *bytes = g_byte_array_new();

    while (*hex) {
        uint8_t byte;

        if (*hex == ' ') {
            hex++;
            continue;
        }
        g_assert_true(g_ascii_isxdigit(hex[0]) && g_ascii_isxdigit(hex[1]));
        byte = g_ascii_xdigit_value(hex[0]) << 4 |
               g_ascii_xdigit_value(hex[1]);
        g_byte_array_append(bytes, &byte, 1);
        hex += 2;
    }
    return bytes;
}

void port_init(TestPort *tp, const char *name, SnPortRole role)
{
    *tp = (TestPort) {
        .port = {
            .ops = &test_ops,
            .name = name,
            .role = role,
            .link_up = true,
        },
        .frames =
            g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref),
    };
}

void port_done(TestPort *tp)
{
    g_ptr_array_unref(tp->frames);
}

void port_set_mac(TestPort *tp, const char *hex)
{
    g_autoptr(GByteArray) mac = from_hex(hex);

    memcpy(tp->port.mac, mac->data, 6);
}

void protect(const char *ip4, const char *ip6_a, const char *ip6_b)
{
    g_autoptr(GByteArray) v4 = from_hex(ip4 ? ip4 : "");
    g_autoptr(GByteArray) v6 = from_hex(ip6_a ? ip6_a : "");
    g_autoptr(GByteArray) second = from_hex(ip6_b ? ip6_b : "");

    g_byte_array_append(v6, second->data, second->len);
    sn_switch_protect(bed->sw, &bed->fw.port, v4->len ? v4->data : NULL,
                      (const uint8_t (*)[16])v6->data, v6->len / 16);
}

void bed_up(uint16_t vlan)
{
    bed = g_new0(Bed, 1);
    bed->loop = test_loop_new();
    bed->sw = sn_switch_new(bed->loop);
    port_init(&bed->uplink, "uplink", SN_PORT_UPLINK);
    port_init(&bed->host, "host", SN_PORT_HOST);
    port_init(&bed->fw, "firmware", SN_PORT_FIRMWARE);
    port_set_mac(&bed->fw, FW);
    bed->fw.port.vlan = vlan;
    g_assert_true(sn_switch_attach(bed->sw, &bed->uplink.port));
    g_assert_true(sn_switch_attach(bed->sw, &bed->host.port));
    g_assert_true(sn_switch_attach(bed->sw, &bed->fw.port));
    protect(FW_IP, FW_LL, FW_IP6);
}

void bed_down(void)
{
    sn_switch_free(bed->sw);
    test_loop_free(bed->loop);
    port_done(&bed->uplink);
    port_done(&bed->host);
    port_done(&bed->fw);
    g_free(bed);
    bed = NULL;
}

void clear(void)
{
    g_ptr_array_set_size(bed->uplink.frames, 0);
    g_ptr_array_set_size(bed->host.frames, 0);
    g_ptr_array_set_size(bed->fw.frames, 0);
}

void feed_bytes(TestPort *from, const uint8_t *bytes, size_t len,
                size_t piece, SnOffload offload)
{
    unsigned cnt = piece ? (len + piece - 1) / piece : 1;
    g_autofree struct iovec *iov = g_new0(struct iovec, cnt);
    SnFrame frame = {
        .iov = iov, .iovcnt = cnt, .len = len, .offload = offload,
    };

    for (unsigned i = 0; i < cnt; i++) {
        size_t at = i * piece;

        iov[i].iov_len = piece ? MIN(piece, len - at) : len;
        iov[i].iov_base = g_memdup2(bytes + at, iov[i].iov_len);
    }
    sn_switch_input(bed->sw, &from->port, &frame);
    for (unsigned i = 0; i < cnt; i++) {
        g_free(iov[i].iov_base);
    }
}

void feed(TestPort *from, const char *hex)
{
    g_autoptr(GByteArray) bytes = from_hex(hex);

    feed_bytes(from, bytes->data, bytes->len, 0, (SnOffload) { });
}

void feed_split(TestPort *from, const char *hex, size_t piece,
                SnOffload offload)
{
    g_autoptr(GByteArray) bytes = from_hex(hex);

    feed_bytes(from, bytes->data, bytes->len, piece, offload);
}

void assert_got(const char *who)
{
    g_autoptr(GString) got = g_string_new(NULL);

    for (unsigned i = 0; i < bed->uplink.frames->len; i++) {
        g_string_append_c(got, 'u');
    }
    for (unsigned i = 0; i < bed->host.frames->len; i++) {
        g_string_append_c(got, 'h');
    }
    for (unsigned i = 0; i < bed->fw.frames->len; i++) {
        g_string_append_c(got, 'f');
    }
    g_assert_cmpstr(got->str, ==, who);
    clear();
}

void assert_frame(TestPort *tp, const char *hex)
{
    g_autoptr(GByteArray) want = from_hex(hex);
    GByteArray *got;

    g_assert_cmpuint(tp->frames->len, ==, 1);
    got = g_ptr_array_index(tp->frames, 0);
    g_assert_cmpmem(got->data, got->len, want->data, want->len);
}
