/*
 * Fuzz target: frames into all ports of the embedded switch.
 *
 * Besides memory errors it looks for frames that get through and must not,
 * with a second, simpler opinion about them than the guard's.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fuzz.h"
#include "switch-bed.h"

#define STORAGE_VLAN 100
#define MAX_NESTED   3
#define NO_FILL      SIZE_MAX

static const uint8_t fw_mac[6] = { 0x52, 0x54, 0, 0, 1, 3 };
static const uint8_t fw_ip4[4] = { 10, 77, 0, 3 };
static const uint8_t fw_ip6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 3 };
static const uint8_t fw_ll[16] = {
    0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0, 1, 3,
};

static FuzzIn in;
static unsigned nested;

/* ------------------------------------------------------- second opinion */

/* A frame as it is seen by those who receive it. */
typedef struct View {
    const uint8_t *p;
    size_t len;
    size_t at;                  /* of the header to be looked at next */
    unsigned type;              /* its EtherType */
    bool storage_tag;
    size_t fill;                /* where a checksum will be written */
} View;

static unsigned be16(const View *v, size_t at)
{
    return at + 2 <= v->len ? v->p[at] << 8 | v->p[at + 1] : 0;
}

static bool has(const View *v, size_t at, const uint8_t *bytes, size_t n)
{
    return at + n <= v->len && !memcmp(v->p + at, bytes, n);
}

static bool is_fw_ip6(const View *v, size_t at)
{
    return has(v, at, fw_ip6, 16) || has(v, at, fw_ll, 16);
}

static void skip_tags(View *v)
{
    v->type = be16(v, 12);
    v->at = 14;
    while (v->type == 0x8100 || v->type == 0x88a8 || v->type == 0x9100) {
        v->storage_tag |= (be16(v, v->at) & 0xfff) == STORAGE_VLAN;
        v->type = be16(v, v->at + 2);
        v->at += 4;
    }
}

static View view_of(const GByteArray *frame, const SnOffload *offload)
{
    View v = { .p = frame->data, .len = frame->len, .fill = NO_FILL };

    if (offload->flags & SN_OFFLOAD_NEEDS_CSUM) {
        v.fill = (size_t)offload->csum_start + offload->csum_offset;
    }
    skip_tags(&v);
    return v;
}

static bool nd_lies(const View *v)
{
    size_t fixed = v->p[v->at] == 0x89 ? 40 : 24;

    /* Whether it is about the firmware's address, or carries its MAC. */
    if (v->p[v->at] >= 0x88 && is_fw_ip6(v, v->at + 8)) {
        return true;
    }
    return has(v, v->at + fixed, (uint8_t[]){ 2, 1 }, 2) &&
           has(v, v->at + fixed + 2, fw_mac, 6);
}

/* IPv6 without and with one extension header. */
static bool ip6_lies(View *v, bool *router)
{
    unsigned next = v->at + 6 < v->len ? v->p[v->at + 6] : 59;
    bool lies = is_fw_ip6(v, v->at + 8);

    v->at += 40;
    if ((next == 0 || next == 60) && v->at + 2 <= v->len) {
        next = v->p[v->at];
        v->at += (v->p[v->at + 1] + 1) * 8;
    }
    if (next != 58 || v->at >= v->len) {
        return lies || v->fill < MIN(v->at, v->len);
    }
    *router = v->p[v->at] == 0x86 || v->p[v->at] == 0x89;
    /* What is filled in may be the type, and all of Neighbor Discovery's. */
    if (v->fill < v->at + (v->p[v->at] >= 0x85 && v->p[v->at] <= 0x89
                           ? 24 : 2)) {
        return true;
    }
    return lies || ((v->p[v->at] == 0x88 || v->p[v->at] == 0x89) &&
                    nd_lies(v));
}

/* A frame of the guest that has left the switch. */
static void judge_host_frame(const GByteArray *frame, const SnOffload *offload,
                             bool to_firmware)
{
    View v = view_of(frame, offload);
    bool router = false;

    g_assert_false(has(&v, 6, fw_mac, 6));
    g_assert_true(v.fill == NO_FILL || v.fill + 2 <= v.len);
    g_assert_cmpuint(v.fill, >=, v.at);
    if (v.type == 0x0806) {
        g_assert_false(has(&v, v.at + 8, fw_mac, 6));
        g_assert_false(has(&v, v.at + 14, fw_ip4, 4));
        g_assert_cmpuint(v.fill, >=, v.at + 28);
    } else if (v.type == 0x0800) {
        g_assert_false(has(&v, v.at + 12, fw_ip4, 4));
        g_assert_cmpuint(v.fill, >=, v.at + 20);
        g_assert_false(to_firmware && v.p[v.at + 9] == 17 &&
                       (v.p[v.at] & 15) == 5 && be16(&v, v.at + 22) == 68);
    } else if (v.type == 0x86dd) {
        g_assert_false(ip6_lies(&v, &router));
        g_assert_false(to_firmware && router);
    }
}

/* ------------------------------------------------------- what happens */

/* What came of one frame that was fed. */
static void judge(const TestPort *from)
{
    TestPort *ports[] = { &bed->uplink, &bed->host, &bed->fw };
    bool host = from == &bed->host;

    if (nested) {
        return;                 /* frames of several senders */
    }
    g_assert_cmpuint(from->frames->len, ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        TestPort *to = ports[i];
        View v;

        g_assert_cmpuint(to->frames->len, <=, 1);
        if (!to->frames->len) {
            continue;
        }
        if (host) {
            judge_host_frame(to->frames->pdata[0], &to->offload,
                             to == &bed->fw);
        }
        v = view_of(to->frames->pdata[0], &to->offload);
        if (bed->fw.port.vlan && (host || to == &bed->host)) {
            g_assert_false(v.storage_tag);
            g_assert_true(to != &bed->fw);
        }
    }
}

/* A complete frame, or one that begins as the input's kind says. */
static void make_frame(GByteArray *frame)
{
    static const char *const starts[] = {
        "",
        BCAST HOST "08 06 00 01 08 00 06 04 00 02 " HOST HOST_IP PEER PEER_IP,
        BCAST HOST "08 00 45 00 00 1c 00 00 00 00 40 11 00 00 " HOST_IP
            PEER_IP "00 44 00 43 00 08 00 00",
        MCAST HOST "86 dd 60 00 00 00 00 20 3a ff " HOST_LL ALL6
            "88 00 00 00 20 00 00 00 " HOST_LL "02 01 " HOST,
        MCAST HOST "86 dd 60 00 00 00 00 18 3c ff " HOST_LL ALL6
            "3a 00 01 04 00 00 00 00 86 00 00 00 40 00 07 08 00 00 00 00",
        FW PEER TAG("00 64") PLAIN,
        BCAST PEER TAG("00 05") TAG("00 64") PLAIN,
        PEER FW PLAIN,
    };
    uint8_t kind = fuzz_u8(&in);
    g_autoptr(GByteArray) start = from_hex(starts[kind & 7]);
    size_t len;
    const uint8_t *more;

    g_byte_array_append(frame, start->data, start->len);
    for (unsigned n = kind >> 6; n; n--) {
        uint8_t at = fuzz_u8(&in), value = fuzz_u8(&in);

        if (at < frame->len) {
            frame->data[at] = value;
        }
    }
    more = fuzz_bytes(&in, fuzz_u8(&in), &len);
    g_byte_array_append(frame, more, len);
    if (kind & 8) {
        /* Long, and in many pieces. */
        g_byte_array_set_size(frame, frame->len + fuzz_u16(&in) + 1);
        memset(frame->data + frame->len / 2, 0, frame->len - frame->len / 2);
    } else if (kind & 16) {
        g_byte_array_set_size(frame, MIN(frame->len, fuzz_u8(&in)));
    }
}

static void feed_some(void)
{
    uint8_t how = fuzz_u8(&in);
    TestPort *ports[] = { &bed->host, &bed->uplink, &bed->fw, &bed->host };
    g_autoptr(GByteArray) frame = g_byte_array_new();
    SnOffload offload = { 0 };

    if (how & 4) {
        offload = (SnOffload) {
            .flags = fuzz_u8(&in),
            .gso_type = fuzz_u8(&in),
            .hdr_len = fuzz_u16(&in),
            .gso_size = fuzz_u16(&in),
            .csum_start = fuzz_u16(&in),
            .csum_offset = fuzz_u16(&in),
        };
    }
    make_frame(frame);
    if (!frame->len) {
        g_byte_array_append(frame, (uint8_t[]){ 0 }, 1);
    }
    feed_bytes(ports[how & 3], frame->data, frame->len, how >> 3, offload);
    judge(ports[how & 3]);
}

/* What a port may do while it is delivered to. */
static void hook(TestPort *tp)
{
    TestPort *ports[] = { &bed->uplink, &bed->host };
    TestPort *other = ports[nested & 1];

    if (nested == MAX_NESTED || !in.len) {
        return;
    }
    nested++;
    switch (fuzz_u8(&in) % 8) {
    case 1:
        feed_some();
        break;
    case 2:
        sn_switch_detach(bed->sw, &other->port);
        break;
    case 3:
        sn_switch_set_link(bed->sw, &other->port, false);
        break;
    case 4:
        tp->refuse = !tp->refuse;
        break;
    default:
        break;
    }
    nested--;
}

/* What happens nested in a delivery stays in effect until here. */
static void mend(void)
{
    TestPort *ports[] = { &bed->uplink, &bed->host };

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        sn_switch_detach(bed->sw, &ports[i]->port);
        g_assert_true(sn_switch_attach(bed->sw, &ports[i]->port));
        sn_switch_set_link(bed->sw, &ports[i]->port, true);
        ports[i]->refuse = false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t set_up;

    in = (FuzzIn) { data, size };
    set_up = fuzz_u8(&in);
    bed_up(set_up & 1 ? STORAGE_VLAN : 0);
    while (in.len) {
        uint8_t op = fuzz_u8(&in);
        bool hooked = set_up & 2 && op & 1;

        bed->uplink.hook = bed->host.hook = bed->fw.hook =
            hooked ? hook : NULL;
        if (op & 2) {
            test_loop_advance(bed->loop, (op >> 2) * 10 * SN_NS_PER_S);
        }
        nested = hooked ? 1 : 0;        /* then judge() cannot tell whose */
        feed_some();
        nested = 0;
        clear();
        if (hooked) {
            mend();
        }
    }
    bed_down();
    return 0;
}
