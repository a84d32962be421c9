/*
 * Answers that libnfs must not see. It believes the lengths in them: one with
 * the highest bit set makes it read before its memory, and a verifier that is
 * not empty makes it write where it must not. So each record (RFC 5531 section
 * 11) is looked at on its way to the library, and a wrong one ends the
 * connection.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/be.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_guard);

/* Of a record: all that READ may bring, and what is around it. */
enum { MAX_RECORD = SN_NFS_MAX_TRANSFER + 4096 };
/* Of one that is kept to be looked at. */
enum { MAX_BODY = 64 * 1024 };
/* Mark, xid, type, state; flavor and length of the verifier; status. */
enum { MARK = 4, TYPE = 8, STATE = 12, VERF_LEN = 20, HEAD = 28 };
#define LAST_FRAGMENT 0x80000000u
/* The shortest reply: MSG_DENIED with AUTH_ERROR. */
enum { MIN_RECORD = 20 };

/* What is left to look at. */
typedef struct Cursor {
    const uint8_t *at;
    size_t len;
} Cursor;

static bool take32(Cursor *c, uint32_t *v)
{
    if (c->len < 4) {
        return false;
    }
    *v = sn_get_be32(c->at);
    c->at += 4;
    c->len -= 4;
    return true;
}

/* An opaque or a string of up to @max bytes. */
static bool skip_opaque(Cursor *c, uint32_t max)
{
    uint32_t len, padded;

    if (!take32(c, &len) || len > max) {
        return false;
    }
    padded = (len + 3) & ~3u;
    if (padded > c->len) {
        return false;
    }
    c->at += padded;
    c->len -= padded;
    return true;
}

/* MNT's (RFC 1813 appendix I) has authentication flavors, too. */
static bool good_handle(const SnNfsConn *conn, Cursor c)
{
    uint32_t status, n;

    if (!take32(&c, &status)) {
        return false;
    }
    if (status) {
        return true;            /* nothing that has a length follows */
    }
    if (!skip_opaque(&c, NFS3_FHSIZE)) {
        return false;
    }
    return conn != &conn->be->mount ||
           (take32(&c, &n) && n <= c.len / 4);
}

static bool good_exports(Cursor c)
{
    uint32_t more, group;

    while (take32(&c, &more) && more) {
        if (!skip_opaque(&c, MNTPATHLEN)) {
            return false;
        }
        while (take32(&c, &group) && group) {
            if (!skip_opaque(&c, MNTNAMLEN)) {
                return false;
            }
        }
    }
    return true;
}

/* A port, or the length of an address as text, or nothing. */
static bool good_port(Cursor c)
{
    uint32_t v;

    return !c.len || (take32(&c, &v) && v <= UINT16_MAX);
}

static bool good_body(const SnNfsConn *conn)
{
    const SnNfsGuard *g = &conn->guard;
    Cursor c = { g->body ? g->body->data : NULL, g->body ? g->body->len : 0 };

    if (sn_get_be32(g->head + STATE) != MSG_ACCEPTED ||
        sn_get_be32(g->head + HEAD - 4)) {
        return true;            /* an error has no body to speak of */
    }
    switch (g->answer) {
    case SN_NFS_ANSWER_PORT:
        return good_port(c);
    case SN_NFS_ANSWER_HANDLE:
        return good_handle(conn, c);
    case SN_NFS_ANSWER_EXPORTS:
        return good_exports(c);
    case SN_NFS_ANSWER_PLAIN:
        break;
    }
    return true;
}

/* The mark says where the record ends. */
static bool take_mark(SnNfsGuard *g)
{
    uint32_t mark = sn_get_be32(g->head);

    g->len = MARK + (mark & ~LAST_FRAGMENT);
    return mark & LAST_FRAGMENT && g->len - MARK >= MIN_RECORD &&
           g->len - MARK <= MAX_RECORD;
}

static bool good_head(const SnNfsGuard *g)
{
    if (sn_get_be32(g->head + TYPE) != REPLY) {
        return false;
    }
    return sn_get_be32(g->head + STATE) != MSG_ACCEPTED ||
           (g->len >= HEAD && !sn_get_be32(g->head + VERF_LEN));
}

/* Takes some of @bytes; 0: something is wrong. */
static size_t take_some(SnNfsConn *conn, const uint8_t *bytes, size_t len)
{
    SnNfsGuard *g = &conn->guard;
    uint32_t head = g->got < MARK ? MARK : MIN(g->len, HEAD);
    size_t n;

    if (g->got < head) {
        n = MIN(len, head - g->got);
        memcpy(g->head + g->got, bytes, n);
        g->got += n;
        if ((g->got == MARK && !take_mark(g)) ||
            (g->got == MIN(g->len, HEAD) && g->got > MARK && !good_head(g))) {
            return 0;
        }
    } else {
        n = MIN(len, g->len - g->got);
        g->got += n;
        if (g->answer != SN_NFS_ANSWER_PLAIN) {
            if (g->len > MAX_BODY) {
                return 0;
            }
            if (!g->body) {
                g->body = g_byte_array_new();
            }
            g_byte_array_append(g->body, bytes, n);
        }
    }
    if (g->got > MARK && g->got == g->len) {
        if (!good_body(conn)) {
            return 0;
        }
        g->got = 0;
        if (g->body) {
            g_byte_array_set_size(g->body, 0);
        }
    }
    return n;
}

bool sn_nfs_guard(void *opaque, const uint8_t *bytes, size_t len)
{
    SnNfsConn *conn = opaque;

    if (!len) {
        sn_nfs_guard_clear(&conn->guard);
        conn->guard.answer = SN_NFS_ANSWER_PORT;
    }
    while (len) {
        size_t n = take_some(conn, bytes, len);

        if (!n) {
            sn_trace(nfs_guard, "id=%s answer=%d got=%u len=%u",
                     conn->be->id, conn->guard.answer, conn->guard.got,
                     conn->guard.len);
            return false;
        }
        bytes += n;
        len -= n;
    }
    return true;
}

void sn_nfs_guard_clear(SnNfsGuard *g)
{
    g_clear_pointer(&g->body, g_byte_array_unref);
    *g = (SnNfsGuard){ 0 };
}
