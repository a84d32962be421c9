/*
 * An NFSv3 server in memory.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nfs-double.h"

enum { PORT_MAPPER = 111, NFS_PORT = 2049, MOUNT_PORT = 20048 };
enum { PROG_MAPPER = 100000, PROG_NFS = 100003, PROG_MOUNT = 100005 };
enum { MNT = 1, EXPORT = 5, GETPORT = 3 };
enum { FILE_SYNC = 2 };

typedef struct Conn {
    NfsDouble *d;
    MemoryStream *ms;
    GByteArray *in;
} Conn;

/* A call, or what is left to read of it. */
typedef struct Call {
    Conn *conn;                 /* NULL: gone */
    GBytes *bytes;
    const uint8_t *at;
    size_t len;
    uint32_t xid, prog, proc;
    GBytes *args;               /* what follows the credentials */
    GByteArray *out;
} Call;

typedef struct Reply {
    GBytes *args;               /* of the call */
    GByteArray *answer;
} Reply;

/* ---------------------------------------------------------------- XDR */

static uint32_t get32(Call *c)
{
    uint32_t v;

    g_assert_cmpuint(c->len, >=, 4);
    memcpy(&v, c->at, 4);
    c->at += 4;
    c->len -= 4;
    return GUINT32_FROM_BE(v);
}

static uint64_t get64(Call *c)
{
    uint64_t high = get32(c);

    return high << 32 | get32(c);
}

static const uint8_t *get_opaque(Call *c, uint32_t *len)
{
    const uint8_t *p;
    uint32_t padded;

    *len = get32(c);
    padded = (*len + 3) & ~3u;
    g_assert_cmpuint(padded, <=, c->len);
    p = c->at;
    c->at += padded;
    c->len -= padded;
    return p;
}

static char *get_string(Call *c)
{
    uint32_t len;
    const uint8_t *p = get_opaque(c, &len);

    return g_strndup((const char *)p, len);
}

static void put32(Call *c, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    g_byte_array_append(c->out, (uint8_t *)&v, 4);
}

static void put64(Call *c, uint64_t v)
{
    put32(c, v >> 32);
    put32(c, v);
}

static void put_opaque(Call *c, const void *p, uint32_t len)
{
    put32(c, len);
    g_byte_array_append(c->out, p, len);
    g_byte_array_append(c->out, (const uint8_t *)"\0\0\0", -len & 3);
}

/* ---------------------------------------------------------------- answers */

static void begin_answer(Call *c)
{
    g_byte_array_set_size(c->out, 4);   /* the record mark, later */
    put32(c, c->xid);
    put32(c, 1);                /* REPLY, accepted, no verifier, success */
    put32(c, 0);
    put32(c, 0);
    put32(c, 0);
    put32(c, 0);
}

static void call_free(Call *c)
{
    g_bytes_unref(c->bytes);
    g_bytes_unref(c->args);
    g_byte_array_unref(c->out);
    g_free(c);
}

static void send_answer(Call *c)
{
    uint32_t mark = GUINT32_TO_BE(0x80000000 | (c->out->len - 4));

    memcpy(c->out->data, &mark, 4);
    memory_stream_answer(c->conn->ms, c->out);
}

static void put_attributes(Call *c)
{
    const NfsDouble *d = c->conn->d;

    put32(c, d->type);
    for (unsigned i = 0; i < 4; i++) {
        put32(c, 1);            /* mode, links, uid, gid */
    }
    put64(c, d->size);
    put64(c, d->size);
    put64(c, 0);                /* device */
    put64(c, 42);               /* file system */
    put64(c, d->fileid);
    for (unsigned i = 0; i < 4; i++) {
        put32(c, 0);            /* the other times */
    }
    put32(c, d->ctime);
    put32(c, 0);
}

static void put_no_wcc(Call *c)
{
    put32(c, 0);
    put32(c, 0);
}

/* "root", then one byte per part of the path, then the file's generation. */
static void put_handle(Call *c, unsigned depth)
{
    char handle[] = { 'r', 'o', 'o', 't', 'i', 'd',
                      c->conn->d->generation };

    put_opaque(c, handle, depth == 2 && handle[6] ? 7 : 4 + depth);
}

/* The call is about a file that is not there any more. */
static bool is_stale(const Call *c)
{
    Call peek = { .at = c->at, .len = c->len };
    const uint8_t *handle;
    uint32_t len;

    if (!c->proc || c->proc == NFS_LOOKUP) {
        return false;
    }
    handle = get_opaque(&peek, &len);
    return (len > 6 ? handle[6] : 0) != c->conn->d->generation;
}

static void skip_handle(Call *c)
{
    uint32_t len;

    g_assert_cmpint(memcmp(get_opaque(c, &len), "root", 4), ==, 0);
}

static void do_lookup(Call *c)
{
    uint32_t len;
    const uint8_t *fh = get_opaque(c, &len);
    g_autofree char *name = get_string(c);
    unsigned depth = len - 4;
    bool found = !strcmp(name, depth ? "disk.img" : "images") && fh;

    put32(c, found ? 0 : 2);    /* NFS3ERR_NOENT */
    if (found) {
        put_handle(c, depth + 1);
        put32(c, 0);
    }
    put32(c, 0);
}

static void do_read(Call *c)
{
    NfsDouble *d = c->conn->d;
    uint64_t offset;
    uint32_t len;

    skip_handle(c);
    offset = get64(c);
    len = get32(c);
    len = offset >= d->size ? 0 : MIN(len, d->size - offset);
    if (d->short_bytes) {
        len = MIN(len, d->short_bytes);
    }
    put32(c, 0);
    put32(c, 0);
    put32(c, len);
    put32(c, offset + len >= d->size);
    put_opaque(c, d->disk + offset, len);
}

static void do_write(Call *c)
{
    NfsDouble *d = c->conn->d;
    const uint8_t *bytes;
    uint64_t offset;
    uint32_t len, stable, opaque_len;

    skip_handle(c);
    offset = get64(c);
    len = get32(c);
    stable = d->last_stable = get32(c);
    bytes = get_opaque(c, &opaque_len);
    g_assert_cmpuint(len, ==, opaque_len);
    g_assert_cmpuint(len, <=, d->max);
    g_assert_cmpuint(offset + len, <=, NFS_DOUBLE_SIZE);
    if (d->short_bytes) {
        len = MIN(len, d->short_bytes);
    }
    stable = d->always_stable ? FILE_SYNC : stable;
    memcpy(d->disk + offset, bytes, len);
    if (stable) {
        memcpy(d->stable + offset, bytes, len);
    }
    put32(c, 0);
    put_no_wcc(c);
    put32(c, len);
    put32(c, stable);
    put64(c, d->verf);
}

static void do_getattr(Call *c)
{
    NfsDouble *d = c->conn->d;

    put32(c, 0);
    put_attributes(c);
    if (d->grows_to) {
        d->size = d->grows_to;
        d->grows_to = 0;
        d->ctime++;
    }
}

static void do_setattr(Call *c)
{
    NfsDouble *d = c->conn->d;
    uint64_t size;

    skip_handle(c);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(get32(c), ==, 0);      /* mode, uid, gid stay */
    }
    g_assert_cmpuint(get32(c), ==, 1);
    size = get64(c);
    g_assert_cmpuint(get32(c), ==, 0);          /* and the times */
    g_assert_cmpuint(get32(c), ==, 0);
    if (get32(c) && get32(c) != d->ctime) {
        put32(c, 10002);        /* NFS3ERR_NOT_SYNC */
    } else {
        d->size = size;
        d->ctime++;
        put32(c, 0);
    }
    put_no_wcc(c);
}

static void do_fsinfo(Call *c)
{
    NfsDouble *d = c->conn->d;

    put32(c, 0);
    put32(c, 0);
    for (unsigned i = 0; i < 6; i++) {
        put32(c, d->max);
    }
    put32(c, 4096);
    put64(c, INT64_MAX);
    put64(c, 0);
    put32(c, 0);
}

static void do_nfs(Call *c)
{
    NfsDouble *d = c->conn->d;

    g_assert_cmpuint(c->proc, <, NFS_PROCS);
    d->calls[c->proc]++;
    if (c->proc && d->fail_count && d->fail_proc == c->proc) {
        d->fail_count--;
        put32(c, d->fail_status);
        put_no_wcc(c);
        return;
    }
    if (is_stale(c)) {
        put32(c, 70);           /* NFS3ERR_STALE */
        put_no_wcc(c);
        return;
    }
    switch (c->proc) {
    case 0:
        break;
    case NFS_GETATTR:
        do_getattr(c);
        break;
    case NFS_SETATTR:
        do_setattr(c);
        break;
    case NFS_LOOKUP:
        do_lookup(c);
        break;
    case NFS_ACCESS:
        put32(c, 0);
        put32(c, 0);
        put32(c, d->access);
        break;
    case NFS_READ:
        do_read(c);
        break;
    case NFS_WRITE:
        do_write(c);
        break;
    case NFS_FSINFO:
        do_fsinfo(c);
        break;
    case NFS_COMMIT:
        memcpy(d->stable, d->disk, NFS_DOUBLE_SIZE);
        put32(c, 0);
        put_no_wcc(c);
        put64(c, d->verf);
        break;
    default:
        g_assert_not_reached();
    }
}

static void do_mount(Call *c)
{
    NfsDouble *d = c->conn->d;
    g_autofree char *dir = NULL;

    if (c->proc == MNT) {
        dir = get_string(c);
        d->mounts++;
        if (strcmp(dir, NFS_DOUBLE_EXPORT)) {
            put32(c, 13);       /* MNT3ERR_ACCES */
            return;
        }
        put32(c, 0);
        put_handle(c, 0);
        put32(c, 0);
    } else if (c->proc == EXPORT) {
        put32(c, 1);
        put_opaque(c, NFS_DOUBLE_EXPORT, strlen(NFS_DOUBLE_EXPORT));
        put32(c, 0);
        put32(c, 1);
        put_opaque(c, "/bad\nname", 9);
        put32(c, 0);
        put32(c, 0);
    }
}

static void do_mapper(Call *c)
{
    if (c->proc == GETPORT) {
        put32(c, get32(c) == PROG_NFS ? NFS_PORT : MOUNT_PORT);
    }
}

static void reply_free(void *opaque)
{
    Reply *r = opaque;

    g_bytes_unref(r->args);
    g_byte_array_unref(r->answer);
    g_free(r);
}

/* By what a call is known again. */
static uint64_t call_key(const Call *c)
{
    return (uint64_t)memory_stream_local_port(c->conn->ms) << 32 | c->xid;
}

/* Whether it was answered before; then it is again. */
static bool replay(Call *c)
{
    NfsDouble *d = c->conn->d;
    uint64_t key = call_key(c);
    const Reply *r = g_hash_table_lookup(d->replies, &key);

    if (!r) {
        return false;
    }
    g_assert_true(g_bytes_equal(r->args, c->args));
    d->replays++;
    g_byte_array_append(c->out, r->answer->data, r->answer->len);
    send_answer(c);
    return true;
}

static void remember(const Call *c)
{
    Reply *r = g_new(Reply, 1);

    r->args = g_bytes_ref(c->args);
    r->answer = g_byte_array_new();
    g_byte_array_append(r->answer, c->out->data, c->out->len);
    g_hash_table_replace(c->conn->d->replies,
                         g_memdup2(&(uint64_t){ call_key(c) }, 8), r);
}

static void carry_out(Call *c)
{
    bool write = c->prog == PROG_NFS && c->proc == NFS_WRITE;

    if (write && replay(c)) {
        return;
    }
    begin_answer(c);
    switch (c->prog) {
    case PROG_NFS:
        do_nfs(c);
        break;
    case PROG_MOUNT:
        do_mount(c);
        break;
    default:
        do_mapper(c);
        break;
    }
    if (write) {
        remember(c);
        if (c->conn->d->swallow) {
            return;
        }
    }
    send_answer(c);
}

/* ---------------------------------------------------------------- calls */

/* AUTH_SYS: RFC 5531 appendix A. */
static void take_credentials(Call *c)
{
    NfsDouble *d = c->conn->d;
    uint32_t flavor = get32(c), len;
    Call cred = { 0 };

    cred.at = get_opaque(c, &len);
    cred.len = len;
    if (flavor == 1) {
        get32(&cred);
        g_free(get_string(&cred));
        d->last_uid = get32(&cred);
        d->last_gid = get32(&cred);
    }
    get32(c);
    get_opaque(c, &len);
}

static bool is_held(const NfsDouble *d, const Call *c)
{
    if (!d->hold || c->prog != PROG_NFS) {
        return false;
    }
    return d->hold_proc ? c->proc == d->hold_proc
                        : c->proc == NFS_READ || c->proc == NFS_WRITE ||
                          c->proc == NFS_COMMIT;
}

static void take_call(Conn *conn, const uint8_t *bytes, size_t len)
{
    NfsDouble *d = conn->d;
    Call *c = g_new0(Call, 1);

    c->conn = conn;
    c->bytes = g_bytes_new(bytes, len);
    c->at = g_bytes_get_data(c->bytes, &c->len);
    c->out = g_byte_array_new();
    c->xid = get32(c);
    g_assert_cmpuint(get32(c), ==, 0);
    g_assert_cmpuint(get32(c), ==, 2);
    c->prog = get32(c);
    get32(c);
    c->proc = get32(c);
    take_credentials(c);
    c->args = g_bytes_new(c->at, c->len);
    if (d->silent) {
        call_free(c);
    } else if (is_held(d, c)) {
        g_queue_push_tail(&d->held, c);
    } else {
        carry_out(c);
        call_free(c);
    }
}

static void input(void *opaque, const uint8_t *bytes, size_t len)
{
    Conn *conn = opaque;

    g_byte_array_append(conn->in, bytes, len);
    while (conn->in->len >= 4) {
        uint32_t mark;

        memcpy(&mark, conn->in->data, 4);
        mark = GUINT32_FROM_BE(mark);
        g_assert_cmpuint(mark >> 31, ==, 1);
        mark &= 0x7fffffff;
        if (conn->in->len < 4 + mark) {
            break;
        }
        take_call(conn, conn->in->data + 4, mark);
        g_byte_array_remove_range(conn->in, 0, 4 + mark);
    }
}

static void *accept_conn(void *opaque, MemoryStream *ms)
{
    NfsDouble *d = opaque;
    Conn *conn;

    if ((memory_stream_port(ms) == PORT_MAPPER && d->no_mapper) ||
        (memory_stream_port(ms) == MOUNT_PORT && d->no_mount)) {
        return NULL;
    }
    conn = g_new0(Conn, 1);
    conn->d = d;
    conn->ms = ms;
    conn->in = g_byte_array_new();
    d->connections++;
    d->last_flags = memory_stream_flags(ms);
    d->from_anywhere += memory_stream_port(ms) == NFS_PORT &&
                        !SN_NET_PORT_OF(d->last_flags);
    d->conns = g_list_prepend(d->conns, conn);
    return conn;
}

static void gone(void *opaque)
{
    Conn *conn = opaque;
    NfsDouble *d = conn->d;
    GList *next;

    for (GList *l = d->held.head; l; l = next) {
        Call *c = l->data;

        next = l->next;
        if (c->conn == conn) {
            call_free(c);
            g_queue_delete_link(&d->held, l);
        }
    }
    d->conns = g_list_remove(d->conns, conn);
    g_byte_array_unref(conn->in);
    g_free(conn);
}

static const MemoryPeerOps peer_ops = {
    .accept = accept_conn,
    .input = input,
    .gone = gone,
};

NfsDouble *nfs_double_new(SnLoop *loop, uint32_t seed)
{
    NfsDouble *d = g_new0(NfsDouble, 1);

    d->loop = loop;
    d->net = memory_net_new(loop, &peer_ops, d, seed);
    d->disk = g_malloc0(NFS_DOUBLE_SIZE);
    d->stable = g_malloc0(NFS_DOUBLE_SIZE);
    d->size = NFS_DOUBLE_SIZE;
    d->fileid = 7;
    d->verf = 1000;
    d->access = 0x3f;
    d->type = 1;
    d->max = 128 * 1024;
    d->replies = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                       reply_free);
    return d;
}

void nfs_double_free(NfsDouble *d)
{
    memory_net_free(d->net);
    g_assert_null(d->conns);
    g_hash_table_unref(d->replies);
    g_free(d->disk);
    g_free(d->stable);
    g_free(d);
}

void nfs_double_release(NfsDouble *d)
{
    Call *c;

    d->hold = false;
    while ((c = g_queue_pop_tail(&d->held))) {
        carry_out(c);
        call_free(c);
    }
}

void nfs_double_fail(NfsDouble *d, unsigned proc, unsigned count,
                     unsigned status)
{
    d->fail_proc = proc;
    d->fail_count = count;
    d->fail_status = status;
}

void nfs_double_crash(NfsDouble *d)
{
    memcpy(d->disk, d->stable, NFS_DOUBLE_SIZE);
    d->verf++;
    g_hash_table_remove_all(d->replies);
    memory_net_end_all(d->net, -ECONNRESET);
}
