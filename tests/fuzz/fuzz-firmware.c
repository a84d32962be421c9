/*
 * Fuzz target: frames into the firmware (lwIP with our glue), with streams that
 * are used meanwhile.
 *
 * Looked for besides memory errors: assertions of lwIP, events of streams that
 * break their contract, memory of writes that is used after it was given back,
 * and received frames or blocks of lwIP's memory that are never freed.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "firmware-random.h"
#include "frames.h"
#include "fuzz.h"
#include "fw.h"
#include "smartnic/be.h"
#include "smartnic/log.h"
#include "test-loop.h"

#include "lwip/dns.h"

#define STREAMS   3
#define WRITES    4             /* of a stream, at a time */
#define MAX_OPS   150
#define MAX_FRAME 9216

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

typedef struct Write {
    SnTx tx;
    struct iovec iov[2];
    struct User *user;
    unsigned slot;
    uint8_t *data;
} Write;

/* A stream and who uses it. */
typedef struct User {
    SnStream *s;
    Write *writes[WRITES];
    bool connected, closed;
} User;

/* A connection as the peer sees it, by its port. */
typedef struct Peer {
    uint16_t fw_port;
    uint32_t next;              /* sequence number that we send next */
    uint32_t fw_next;           /* that the firmware sends next */
} Peer;

static FuzzIn in;
static SnLoop *loop;
static SnFirmware *fw;
static User users[STREAMS];
static Peer peers[STREAMS];
static uint8_t dhcp_xid[4];     /* of the last request ... */
static uint8_t dns_id[2], dns_port[2];  /* ... and query */
static bool answers;            /* the peer does what TCP does */
static bool in_call;
static bool asked_dns;
static unsigned mtu;

/* ------------------------------------------------------- the wire */

static void input(const GByteArray *frame, const SnOffload *offload)
{
    size_t a = MIN(frame->len, 20);
    struct iovec iov[2] = {
        { frame->data, a }, { frame->data + a, frame->len - a },
    };
    SnFrame f = { iov, 2, frame->len, *offload };

    sn_fw_input(fw, &f);
}

static void send_segment(unsigned i, uint8_t flags, int32_t seq_off,
                         int32_t ack_off, size_t len)
{
    Peer *p = &peers[i];
    Segment seg = {
        .fw_port = p->fw_port,
        .peer_port = 4420 + i,
        .seq = p->next + seq_off,
        .ack = p->fw_next + ack_off,
        .flags = flags,
        .window = 8192,
        .len = len,
    };
    g_autoptr(GByteArray) frame = frame_of_segment(&seg);

    frame_fix(frame);
    input(frame, &(SnOffload){ 0 });
}

/* The peer takes note of a segment of the firmware, and answers. */
static void got_segment(const uint8_t *tcp, size_t len)
{
    unsigned i = sn_get_be16(tcp + 2) - 4420u;
    size_t head = (tcp[12] >> 4) * 4;
    uint8_t flags = tcp[13];
    Peer *p;

    if (i >= STREAMS || len < head) {
        return;
    }
    p = &peers[i];
    if (flags & SYN) {
        *p = (Peer) { sn_get_be16(tcp), 0x7fffff00, sn_get_be32(tcp + 4) + 1 };
        if (answers) {
            send_segment(i, SYN | ACK, 0, 0, 0);
            p->next++;
        }
    } else if (sn_get_be16(tcp) == p->fw_port && !(flags & RST)) {
        uint32_t end = sn_get_be32(tcp + 4) + len - head + (flags & FIN);

        if ((int32_t)(end - p->fw_next) > 0) {
            p->fw_next = end;
        }
        if (answers && len > head) {
            send_segment(i, ACK, 0, 0, 0);
        }
    }
}

static void got_arp(const uint8_t *f)
{
    g_autoptr(GByteArray) reply = frame_of_kind(1);

    if (answers && f[21] == 1 && sn_get_be32(f + 38) == PEER_IP) {
        input(reply, &(SnOffload){ 0 });
    }
}

static void got_datagram(const uint8_t *udp)
{
    if (sn_get_be16(udp + 2) == 67) {
        memcpy(dhcp_xid, udp + 12, sizeof(dhcp_xid));
    } else if (sn_get_be16(udp + 2) == 53) {
        memcpy(dns_port, udp, sizeof(dns_port));
        memcpy(dns_id, udp + 8, sizeof(dns_id));
    }
}

static bool transmit(void *opaque, const SnFrame *frame)
{
    uint8_t f[MAX_FRAME + 14];
    size_t len = 0;

    g_assert_cmpuint(frame->len, <=, mtu + 14);
    for (unsigned i = 0; i < frame->iovcnt; i++) {
        memcpy(f + len, frame->iov[i].iov_base, frame->iov[i].iov_len);
        len += frame->iov[i].iov_len;
    }
    g_assert_cmpuint(len, ==, frame->len);
    if (len >= 42 && sn_get_be16(f + 12) == 0x0806) {
        got_arp(f);
    } else if (len >= 54 && sn_get_be16(f + 12) == 0x0800 && f[23] == 6) {
        got_segment(f + 34, sn_get_be16(f + 16) - 20);
    } else if (len >= 54 && sn_get_be16(f + 12) == 0x0800 && f[23] == 17) {
        got_datagram(f + 34);
    }
    return true;
}

/* ------------------------------------------------------- streams */

static void write_free(Write *w)
{
    w->user->writes[w->slot] = NULL;
    g_free(w->data);
    g_free(w);
}

static void write_done(SnTx *tx)
{
    Write *w = (Write *)tx;

    g_assert_false(in_call);
    g_assert_true(w->user->writes[w->slot] == w);
    write_free(w);
}

static void on_connected(void *opaque)
{
    User *u = opaque;

    g_assert_true(!in_call && u->s && !u->connected && !u->closed);
    u->connected = true;
}

static void on_readable(void *opaque)
{
    User *u = opaque;

    g_assert_true(!in_call && u->s && u->connected && !u->closed);
}

static void on_closed(void *opaque, int err)
{
    User *u = opaque;

    g_assert_true(!in_call && u->s && !u->closed && err <= 0);
    u->closed = true;
}

static const SnStreamEvents events = { on_connected, on_readable, on_closed };

static void stream_open(unsigned i)
{
    static const char *const hosts[] = {
        "192.0.2.2", "192.0.2.2", "192.0.2.2", "198.51.100.9", "a",
        "fe80::5054:ff:fe01:204", "2001:db8::9", "name.example",
    };

    const char *host = hosts[fuzz_u8(&in) & 7];

    if (!users[i].s) {
        users[i] = (User) { NULL };
        asked_dns |= !strpbrk(host, ".:") || strstr(host, "example");
        in_call = true;
        users[i].s = sn_net_connect(sn_fw_net(fw), host, 4420 + i, 0, &events,
                                    &users[i]);
        in_call = false;
    }
}

static void stream_close(User *u)
{
    if (u->s) {
        in_call = true;
        sn_stream_close(u->s);
        in_call = false;
        u->s = NULL;
    }
    for (unsigned i = 0; i < WRITES; i++) {
        if (u->writes[i]) {
            write_free(u->writes[i]);
        }
    }
}

static void stream_write(User *u)
{
    unsigned slot = fuzz_u8(&in) % WRITES;
    size_t len = fuzz_u16(&in) + 1;
    Write *w;

    if (!u->s || !u->connected || u->closed || u->writes[slot]) {
        return;
    }
    w = u->writes[slot] = g_new0(Write, 1);
    w->user = u;
    w->slot = slot;
    w->data = g_malloc0(len);
    w->iov[0] = (struct iovec){ w->data, len / 2 };
    w->iov[1] = (struct iovec){ w->data + len / 2, len - len / 2 };
    w->tx = (SnTx){ .iov = w->iov, .iovcnt = 2, .done = write_done };
    in_call = true;
    sn_stream_write(u->s, &w->tx);
    sn_stream_push(u->s);
    in_call = false;
}

static void stream_detach(User *u)
{
    Write *w = u->writes[fuzz_u8(&in) % WRITES];

    if (w) {
        in_call = true;
        sn_stream_tx_detach(u->s, &w->tx);
        in_call = false;
        write_free(w);
    }
}

static void stream_read(User *u)
{
    struct iovec iov[4];
    size_t sum = 0;
    unsigned n;

    if (!u->s) {
        return;
    }
    n = sn_stream_peek(u->s, iov, G_N_ELEMENTS(iov));
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(iov[i].iov_len, >, 0);
        /* Every byte of it must be readable. */
        g_free(g_memdup2(iov[i].iov_base, iov[i].iov_len));
        sum += iov[i].iov_len;
    }
    if (sum) {
        sn_stream_consume(u->s, sum - sum / (fuzz_u8(&in) + 1u));
    }
}

/* ------------------------------------------------------- the input */

static SnOffload some_offload(void)
{
    return (SnOffload) {
        .flags = fuzz_u8(&in),
        .gso_type = fuzz_u8(&in),
        .hdr_len = fuzz_u8(&in),
        .gso_size = fuzz_u16(&in),
        .csum_start = fuzz_u16(&in),
        .csum_offset = fuzz_u8(&in),
    };
}

/* Makes an answer by DHCP or DNS one to the last question. */
static void make_answer(GByteArray *frame)
{
    uint8_t *udp = frame->data + 34;

    if (frame->len < 54 || sn_get_be16(frame->data + 12) != 0x0800 ||
        frame->data[23] != 17) {
        return;
    }
    if (sn_get_be16(udp) == 67) {
        memcpy(udp + 12, dhcp_xid, sizeof(dhcp_xid));
    } else if (sn_get_be16(udp) == 53) {
        memcpy(udp + 2, dns_port, sizeof(dns_port));
        memcpy(udp + 8, dns_id, sizeof(dns_id));
    }
}

/* Any frame: a kind, some bytes of it changed, some added, or cut. */
static void any_frame(void)
{
    uint8_t how = fuzz_u8(&in);
    g_autoptr(GByteArray) frame = frame_of_kind(fuzz_u8(&in));
    SnOffload offload = { 0 };
    const uint8_t *more;
    size_t len;

    make_answer(frame);
    for (unsigned n = how & 7; n && frame->len; n--) {
        unsigned at = fuzz_u8(&in);

        frame->data[at % frame->len] = fuzz_u8(&in);
    }
    if (how & 8) {
        more = fuzz_bytes(&in, fuzz_u8(&in), &len);
        g_byte_array_append(frame, more, len);
    }
    if (how & 16) {
        g_byte_array_set_size(frame, MIN(frame->len, fuzz_u8(&in)));
    }
    if (how & 32) {
        offload = some_offload();
    }
    if (!(how & 64)) {
        frame_fix(frame);
    }
    input(frame, &offload);
}

/* A segment of a connection, not far from where that is. */
static void any_segment(void)
{
    uint8_t how = fuzz_u8(&in);
    unsigned i = how % STREAMS;
    Peer *p = &peers[i];
    Segment seg = {
        .fw_port = p->fw_port, .peer_port = 4420 + i,
        .seq = p->next, .ack = p->fw_next, .window = 8192,
    };
    g_autoptr(GByteArray) frame = NULL;
    SnOffload offload = { 0 };

    seg.flags = how & 4 ? fuzz_u8(&in) : ACK;
    seg.seq += how & 8 ? (int16_t)fuzz_u16(&in) : 0;
    seg.ack += how & 16 ? (int16_t)fuzz_u16(&in) : 0;
    seg.len = fuzz_u8(&in);
    if (how & 32) {
        seg.window = fuzz_u16(&in);
        seg.options = fuzz_bytes(&in, fuzz_u8(&in) % 40, &seg.options_len);
        seg.options_len &= ~(size_t)3;
    }
    if (how & 64) {
        seg.len *= 300;                 /* up to more than 64 KiB */
        offload = some_offload();
    }
    frame = frame_of_segment(&seg);
    frame_fix(frame);
    if (!(how & 128)) {
        p->next += seg.len + !!(seg.flags & (SYN | FIN));
    }
    input(frame, &offload);
}

static void step(uint8_t op)
{
    User *u = &users[(op >> 5) % STREAMS];

    switch (op & 15) {
    case 0 ... 3:
        any_frame();
        break;
    case 4 ... 6:
        any_segment();
        break;
    case 7:
        stream_open(u - users);
        break;
    case 8:
        stream_write(u);
        break;
    case 9:
        stream_read(u);
        break;
    case 10:
        stream_detach(u);
        break;
    case 11:
        stream_close(u);
        break;
    case 12:
        test_loop_advance(loop, fuzz_u8(&in) * 20 * SN_NS_PER_MS);
        break;
    case 13:
        test_loop_advance(loop, fuzz_u8(&in) * SN_NS_PER_S / 2);
        break;
    case 14:
        answers = !answers;
        break;
    case 15:
        sn_fw_set_link(fw, fuzz_u8(&in) & 1);
        break;
    }
    if (op & 16) {
        test_loop_run_bhs(loop);
    }
}

static void on_nothing(void *opaque)
{
}

/* In place of sn_fw_lwip_assert(), by the linker's --wrap. */
void __wrap_sn_fw_lwip_assert(const char *what);

void __wrap_sn_fw_lwip_assert(const char *what)
{
    /*
     * lwIP does not cut the first segment that it keeps out of order to its
     * window, and the window is too small when that segment's turn comes. It
     * wraps around until the bytes are consumed; what a peer can make us keep
     * is bounded by rx-queue.c.
     */
    static const char known[] = "tcp_receive: ooseq tcplen > rcv_wnd";

    if (!g_str_has_prefix(what, known)) {
        g_printerr("lwIP: %s\n", what);
        abort();
    }
}

/* lwIP's lists are the process's. */
static void forget_name_servers(void)
{
    sn_fw_enter();
    for (unsigned i = 0; i < DNS_MAX_SERVERS; i++) {
        dns_setserver(i, NULL);
    }
    sn_fw_leave();
}

static void set_up(void)
{
    uint8_t how = fuzz_u8(&in);
    SnFirmwareConfig config = {
        .mac = fw_mac,
        .id = "nic0",
        .ip = how & 1 ? "dhcp" : "192.0.2.1/24",
        .gateway = how & 1 ? NULL : "192.0.2.2",
        .ip6 = how & 2 ? "auto" : how & 4 ? "2001:db8::1/64" : "none",
        .dns = how & 8 ? "192.0.2.2" : NULL,
        .mtu = mtu = how & 16 ? 9000 : 1500,
        .loop = loop,
        .transmit = transmit,
        .addresses_changed = on_nothing,
        .rx_ready = on_nothing,
    };

    answers = !(how & 32);
    memset(users, 0, sizeof(users));
    memset(peers, 0, sizeof(peers));
    asked_dns = false;
    fw = sn_fw_new(&config, NULL);
    g_assert_nonnull(fw);
    forget_name_servers();
    sn_fw_set_tx_checksum(fw, how & 64);
    sn_fw_set_link(fw, true);
    test_loop_run_bhs(loop);
}

static bool memory_is_free(void *opaque)
{
    SnFirmwareStats stats;

    sn_fw_stats(fw, &stats);
    return !stats.rx_memory;
}

static void finish(void)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        stream_close(&users[i]);
    }
    /* Fragments may wait for others for a minute. */
    sn_fw_set_link(fw, true);
    g_assert_true(test_loop_run_until(loop, memory_is_free, NULL,
                                      90 * SN_NS_PER_S));
    /* A query goes on without the stream that asked. */
    test_loop_advance(loop, asked_dns ? 60 * SN_NS_PER_S : 0);
    sn_fw_free(fw);
    test_loop_free(loop);
    g_assert_cmpuint(sn_fw_alloc_bytes(), ==, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sn_log_set_func(fuzz_log);
    firmware_random_reset();
    in = (FuzzIn) { data, size };
    loop = test_loop_new();
    set_up();
    fuzz_steps(&in, MAX_OPS, step);
    finish();
    return 0;
}
