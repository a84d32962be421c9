/*
 * What a connection sends: headers are copied, data is sent from where it is.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "connection.h"
#include "crc32c.h"
#include "fault.h"

#define IOV_AT_ONCE 512

static TxEntry *entry_at(Conn *c, unsigned n)
{
    return &c->tx[(c->tx_first + n) % TX_ENTRIES];
}

/* NULL when the peer does not read and yet makes us speak. */
static TxEntry *new_entry(Conn *c)
{
    if (c->tx_count == TX_ENTRIES) {
        return NULL;
    }
    return entry_at(c, c->tx_count++);
}

static void push_reference(Conn *c, const void *base, size_t len,
                           void *release)
{
    TxEntry *entry = new_entry(c);

    if (!entry) {
        free(release);
        return;
    }
    entry->base = base;
    entry->len = len;
    entry->release = release;
}

void tx_bytes(Conn *c, const void *bytes, size_t len)
{
    TxEntry *last = c->tx_count ? entry_at(c, c->tx_count - 1) : NULL;

    if (c->mute) {
        return;
    }
    while (len) {
        size_t n;

        if (!last || last->base != last->bytes ||
            last->len == sizeof(last->bytes)) {
            last = new_entry(c);
            if (!last) {
                return;
            }
            last->base = last->bytes;
            last->len = 0;
            last->release = NULL;
        }
        n = MIN(len, sizeof(last->bytes) - last->len);
        memcpy(last->bytes + last->len, bytes, n);
        last->len += n;
        bytes = (const uint8_t *)bytes + n;
        len -= n;
    }
}

/* Where data begins after a header of @hlen bytes. */
static unsigned data_offset(const Conn *c, unsigned hlen)
{
    return (hlen + c->align - 1) / c->align * c->align;
}

/*
 * The first part of a PDU that a fault cuts off: @data stays with its owner.
 */
static void send_truncated(Conn *c, const uint8_t *bytes, unsigned len,
                           const void *data, uint32_t data_len)
{
    size_t cut = fault_bytes(c->fault, len / 2);
    size_t part = MIN(cut, len);

    c->fault = NULL;
    tx_bytes(c, bytes, part);
    tx_bytes(c, data, MIN(cut - part, data_len));
    conn_finish(c);
}

void tx_pdu(Conn *c, PduHead *head, const void *data, uint32_t len,
            void *release)
{
    static const uint8_t corrupt = 0x10;
    _Alignas(8) uint8_t bytes[sizeof(PduInit) + DIGEST_LEN + PDU_PAD_MAX];
    unsigned at = head->hlen, hlen = head->hlen;
    Distortion distortion = { 0 };
    uint32_t sum = len && c->ddgst ? sn_crc32c(0, data, len) : 0;

    if (c->mute || c->state == CONN_DEAD || c->state == CONN_ENDING) {
        free(release);
        return;
    }
    head->flags |= (c->hdgst ? PDU_FLAG_HDGST : 0) |
                   (len && c->ddgst ? PDU_FLAG_DDGST : 0);
    at += c->hdgst ? DIGEST_LEN : 0;
    if (len) {
        unsigned end = at;

        at = data_offset(c, at);
        memset(bytes + end, 0, at - end);
        head->pdo = at;
    }
    head->plen = at + len + (len && c->ddgst ? DIGEST_LEN : 0);
    memcpy(bytes, head, hlen);
    if (c->fault) {
        distortion = fault_distort(c, (PduHead *)bytes);
    }
    if (c->hdgst) {
        uint32_t digest = sn_crc32c(0, bytes, hlen);

        memcpy(bytes + hlen, &digest, sizeof(digest));
        bytes[hlen] ^= distortion.hdgst ? corrupt : 0;
    }
    if (distortion.truncated) {
        send_truncated(c, bytes, at, data, len);
        free(release);
        return;
    }
    tx_bytes(c, bytes, at);
    if (len) {
        push_reference(c, data, len, release);
        if (c->ddgst) {
            sum ^= distortion.ddgst ? corrupt : 0;
            tx_bytes(c, &sum, sizeof(sum));
        }
    }
}

bool tx_has_room(const Conn *c)
{
    return TX_ENTRIES - c->tx_count >= TX_ROOM;
}

/* Takes @n sent bytes off the ring. */
static void sent(Conn *c, size_t n)
{
    while (n) {
        TxEntry *first = entry_at(c, 0);
        size_t left = first->len - c->tx_sent;

        if (n < left) {
            c->tx_sent += n;
            return;
        }
        n -= left;
        free(first->release);
        c->tx_sent = 0;
        c->tx_first = (c->tx_first + 1) % TX_ENTRIES;
        c->tx_count--;
    }
    if (!c->tx_count) {
        c->tx_first = 0;        /* what the caches know already */
    }
}

bool tx_flush(Conn *c)
{
    struct iovec iov[IOV_AT_ONCE];

    if (c->tx_count == TX_ENTRIES) {
        return false;
    }
    c->tx_blocked = false;
    while (c->tx_count) {
        unsigned count = MIN(c->tx_count, IOV_AT_ONCE);
        size_t want = 0;
        ssize_t n;

        for (unsigned i = 0; i < count; i++) {
            TxEntry *entry = entry_at(c, i);
            size_t skip = i ? 0 : c->tx_sent;

            iov[i].iov_base = (void *)(entry->base + skip);
            iov[i].iov_len = entry->len - skip;
            want += iov[i].iov_len;
        }
        n = writev(c->watch.fd, iov, count);
        if (n < 0) {
            c->tx_blocked = errno == EAGAIN || errno == EINTR;
            return c->tx_blocked;
        }
        sent(c, n);
        if ((size_t)n < want) {
            c->tx_blocked = true;
            return true;
        }
    }
    return true;
}

void tx_discard(Conn *c)
{
    while (c->tx_count) {
        free(entry_at(c, 0)->release);
        c->tx_first = (c->tx_first + 1) % TX_ENTRIES;
        c->tx_count--;
    }
}
