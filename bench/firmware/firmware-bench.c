/*
 * What the firmware costs per request, without QEMU: CPU time, frames and
 * ACKs of a card that reads and writes blocks as an NVMe/TCP initiator does.
 * The wire costs nothing and its far end next to nothing (wire-peer.c), so
 * nearly all of the time is the card's. Nothing depends on the clock, so
 * that instructions can be counted and compared:
 *
 *     valgrind --tool=callgrind --toggle-collect=measure firmware-bench \
 *         read 4096 32 offload 10000
 *
 * With "tap" the wire is a tap and the far end a process with sockets
 * (tap-wire.c), so that what the kernel takes of this process is in the time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "firmware.h"
#include "tap-wire.h"
#include "test-loop.h"
#include "wire-peer.h"

enum { DEPTH_MAX = 128, SIZE_MAX_BYTES = 1 << 20, PEEK = 64 };

typedef struct Request {
    SnTx tx;
    struct iovec iov[2];
    Command command;
    uint8_t *data;
} Request;

typedef struct Bench {
    SnLoop *loop;
    WirePeer peer;
    SnFirmware *fw;
    SnStream *stream;
    bool write, connected, segmentation, tap;
    size_t size;
    unsigned depth;
    uint64_t count, started, done;
    size_t answer_off;          /* in the answer of request @done */
    Request requests[DEPTH_MAX];
} Bench;

static void submit(Bench *b)
{
    Request *r = &b->requests[b->started++ % b->depth];

    r->command.write = b->write;
    r->command.len = b->size;
    r->iov[0] = (struct iovec){ &r->command, sizeof(r->command) };
    r->iov[1] = (struct iovec){ r->data, b->size };
    r->tx = (SnTx){ .iov = r->iov, .iovcnt = b->write ? 2 : 1 };
    sn_stream_write(b->stream, &r->tx);
}

static void submit_all(Bench *b)
{
    while (b->started < b->count && b->started - b->done < b->depth) {
        submit(b);
    }
    sn_stream_push(b->stream);
}

/* Copies answers to where a guest would have its pages. */
static void take_answers(Bench *b, const uint8_t *from, size_t len)
{
    size_t answer = ANSWER_LEN + (b->write ? 0 : b->size);

    while (len) {
        bool head = b->answer_off < ANSWER_LEN;
        size_t end = head ? ANSWER_LEN : answer;
        size_t n = MIN(len, end - b->answer_off);

        if (!head) {
            memcpy(b->requests[b->done % b->depth].data + b->answer_off -
                   ANSWER_LEN, from, n);
        }
        b->answer_off += n;
        from += n;
        len -= n;
        if (b->answer_off == answer) {
            b->answer_off = 0;
            b->done++;
        }
    }
}

static void on_connected(void *opaque)
{
    ((Bench *)opaque)->connected = true;
}

static void on_readable(void *opaque)
{
    Bench *b = opaque;
    struct iovec iov[PEEK];
    unsigned n;

    while ((n = sn_stream_peek(b->stream, iov, PEEK))) {
        size_t sum = 0;

        for (unsigned i = 0; i < n; i++) {
            take_answers(b, iov[i].iov_base, iov[i].iov_len);
            sum += iov[i].iov_len;
        }
        sn_stream_consume(b->stream, sum);
    }
    submit_all(b);
}

static void on_closed(void *opaque, int err)
{
    g_error("connection closed: %d", err);
}

static const SnStreamEvents events = { on_connected, on_readable, on_closed };

static void nothing(void *opaque)
{
    /* the bench looks by itself */
}

static void turn(Bench *b)
{
    test_loop_run_bhs(b->loop);
    if (b->tap) {
        test_loop_advance(b->loop, 10000);
        if (!tap_wire_receive(b->fw)) {
            tap_wire_wait(1);
        }
        return;
    }
    /* Time passes, so that timers that run under load are counted, too. */
    if (!wire_peer_flush(&b->peer)) {
        test_loop_advance(b->loop, SN_NS_PER_MS);
    } else {
        test_loop_advance(b->loop, 10000);
    }
}

/* Global and not inlined, so that callgrind's option finds it. */
void measure(Bench *b, uint64_t count);
__attribute__((noinline)) void measure(Bench *b, uint64_t count)
{
    b->count += count;
    submit_all(b);
    while (b->done < b->count) {
        turn(b);
    }
}

static void start(Bench *b)
{
    static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
    SnFirmwareConfig config = {
        .mac = mac,
        .ip = "192.0.2.1/24",
        .ip6 = "none",
        .mtu = b->peer.mtu,
        .loop = b->loop,
        .transmit = b->tap ? tap_wire_transmit : wire_peer_receive,
        .addresses_changed = nothing,
        .rx_ready = nothing,
        .opaque = &b->peer,
    };
    g_autoptr(GError) err = NULL;

    b->fw = b->peer.fw = sn_fw_new(&config, &err);
    g_assert_no_error(err);
    sn_fw_set_link(b->fw, true);
    sn_fw_set_tx_checksum(b->fw, b->peer.offload);
    sn_fw_set_tx_segmentation(b->fw, b->segmentation);
    b->stream = sn_net_connect(sn_fw_net(b->fw), "192.0.2.2", 4420, 0, &events,
                               b);
    while (!b->connected) {
        turn(b);
    }
}

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    static Bench b;
    uint64_t count, frames_in, frames_out, acks;
    double begin;

    if (argc != 6) {
        fprintf(stderr, "usage: %s read|write BYTES DEPTH "
                "plain|plain9k|offload|tso|tap|tap-tso COUNT\n", argv[0]);
        return 1;
    }
    b.write = !strcmp(argv[1], "write");
    b.size = CLAMP(g_ascii_strtoull(argv[2], NULL, 10), 1, SIZE_MAX_BYTES);
    b.depth = CLAMP(g_ascii_strtoull(argv[3], NULL, 10), 1, DEPTH_MAX);
    b.segmentation = g_str_has_suffix(argv[4], "tso");
    b.tap = g_str_has_prefix(argv[4], "tap");
    b.peer.offload = b.segmentation || b.tap || !strcmp(argv[4], "offload");
    b.peer.mtu = !strcmp(argv[4], "plain9k") ? 9000 : 1500;
    count = MAX(g_ascii_strtoull(argv[5], NULL, 10), 1);
    for (unsigned i = 0; i < b.depth; i++) {
        b.requests[i].data = g_malloc0(b.size);
    }
    if (b.tap && !tap_wire_open()) {
        return 1;
    }
    b.loop = test_loop_new();
    start(&b);
    measure(&b, count / 10 + 100);
    frames_in = b.peer.frames_in;
    frames_out = b.peer.frames_out;
    acks = b.peer.acks_in;
    begin = cpu_us();
    measure(&b, count);
    printf("%s %zu depth %u %s: %.3f us CPU, %.2f frames out (%.2f of them "
           "pure ACKs), %.2f in per request\n", argv[1], b.size, b.depth,
           argv[4], (cpu_us() - begin) / count,
           (double)(b.peer.frames_in - frames_in) / count,
           (double)(b.peer.acks_in - acks) / count,
           (double)(b.peer.frames_out - frames_out) / count);
    sn_stream_close(b.stream);
    sn_fw_free(b.fw);
    test_loop_free(b.loop);
    for (unsigned i = 0; i < b.depth; i++) {
        g_free(b.requests[i].data);
    }
    return 0;
}
