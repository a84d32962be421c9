/*
 * From the path in the URL to the file's handle: MNT of the MOUNT protocol (RFC
 * 1813 appendix I) gives that of a directory, LOOKUPs do the rest.
 *
 * Which part of the path is the export, the URL does not say. Servers give
 * handles of directories below an export, too, so the file's own directory is
 * tried first, then the ones above.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_mount);
SN_TRACE_EVENT(nfs_lookup);

/* Exports that a message lists, and bytes of each. */
enum { MAX_LISTED = 10, MAX_NAME = 100 };

bool sn_nfs_handle_set(SnNfsHandle *h, const void *bytes, unsigned len)
{
    if (!len || len > sizeof(h->bytes)) {
        return false;
    }
    memcpy(h->bytes, bytes, len);
    h->len = len;
    return true;
}

struct nfs_fh3 sn_nfs_fh(SnBackend *be)
{
    struct nfs_fh3 fh = { 0 };

    fh.data.data_len = be->handle.len;
    fh.data.data_val = (char *)be->handle.bytes;
    return fh;
}

/* The server's word, for a message. */
static void append_name(GString *to, const char *name)
{
    g_autofree char *part = g_strndup(name, MAX_NAME);
    g_autofree char *escaped = g_strescape(part, NULL);

    g_string_append(to, escaped);
}

static void exports_listed(struct rpc_context *rpc, int status, void *data,
                           void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    g_autoptr(GString) list = g_string_new(NULL);
    struct exportnode node;
    exports next;
    unsigned n = 0;

    if (!sn_nfs_answered(c, status, data, be->refused)) {
        return;
    }
    /* The result is a pointer to the list, whose nodes are not aligned. */
    memcpy(&next, data, sizeof(next));
    while (next) {
        memcpy(&node, next, sizeof(node));
        next = node.ex_next;
        if (n++ < MAX_LISTED && node.ex_dir) {
            g_string_append(list, list->len ? ", " : "");
            append_name(list, node.ex_dir);
        }
    }
    sn_nfs_fail(be, false, "%s; %s exports %s%s", be->refused,
                be->options.host, n ? list->str : "nothing",
                n > MAX_LISTED ? " and more" : "");
}

static void list_exports(SnNfsConn *c)
{
    c->guard.answer = SN_NFS_ANSWER_EXPORTS;
    if (rpc_mount3_export_async(c->rpc, exports_listed, c)) {
        sn_nfs_call_failed(c, c->be->refused);
    }
}

static void mount_dir(SnBackend *be);

/* "/a/b" is "/a", that is "/" at last. False: there is nothing above. */
static bool go_up(SnBackend *be)
{
    char *slash = strrchr(be->dir, '/');

    if (!be->dir[1]) {
        return false;
    }
    if (slash == be->dir) {
        slash++;                /* keep the root's */
    }
    *slash = '\0';
    return true;
}

static bool try_above(mountstat3 status)
{
    return status == MNT3ERR_PERM || status == MNT3ERR_NOENT ||
           status == MNT3ERR_ACCES || status == MNT3ERR_NOTDIR ||
           status == MNT3ERR_INVAL;
}

static void mounted(struct rpc_context *rpc, int status, void *data,
                    void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const mountres3 *res = data;
    const fhandle3 *fh;

    if (!sn_nfs_answered(c, status, data, "MNT")) {
        return;
    }
    if (res->fhs_status != MNT3_OK) {
        if (!be->refused) {
            be->refused = g_strdup_printf("MNT of %s is refused (%s)", be->dir,
                                          mountstat3_to_str(res->fhs_status));
        }
        if (try_above(res->fhs_status) && go_up(be)) {
            mount_dir(be);
        } else {
            list_exports(c);
        }
        return;
    }
    fh = &res->mountres3_u.mountinfo.fhandle;
    if (!sn_nfs_handle_set(&be->handle, fh->fhandle3_val, fh->fhandle3_len)) {
        sn_nfs_fail(be, false, "%s: MNT gives a handle of %u bytes",
                    be->options.host, fh->fhandle3_len);
        return;
    }
    be->rest = be->options.path + strlen(be->dir);
    sn_nfs_defer(be, sn_nfs_connect);
}

static void mount_dir(SnBackend *be)
{
    sn_trace(nfs_mount, "id=%s dir=%s", be->id, be->dir);
    be->mount.guard.answer = SN_NFS_ANSWER_HANDLE;
    if (rpc_mount3_mnt_async(be->mount.rpc, mounted, be->dir, &be->mount)) {
        sn_nfs_call_failed(&be->mount, "MNT");
    }
}

static void mount_connected(struct rpc_context *rpc, int status, void *data,
                            void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;

    if (sn_nfs_answered(c, status, data, "connecting to the MOUNT service")) {
        c->connected = true;
        sn_nfs_arm_step(be);
        mount_dir(be);
    }
}

void sn_nfs_mount_start(SnBackend *be)
{
    be->dir = g_strdup(be->options.path);
    go_up(be);
    sn_nfs_conn_open(&be->mount, MOUNT_PROGRAM, be->options.mount_port,
                     mount_connected);
}

static void lookup_next(SnBackend *be);

static void looked_up(struct rpc_context *rpc, int status, void *data,
                      void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const LOOKUP3res *res = data;
    const nfs_fh3 *fh;

    if (!sn_nfs_answered(c, status, data, "LOOKUP")) {
        return;
    }
    if (res->status != NFS3_OK) {
        sn_nfs_fail(be, false, "%s: LOOKUP of %.*s: %s", be->options.host,
                    (int)(be->rest - be->options.path), be->options.path,
                    nfsstat3_to_str(res->status));
        return;
    }
    fh = &res->LOOKUP3res_u.resok.object;
    if (!sn_nfs_handle_set(&be->handle, fh->data.data_val,
                           fh->data.data_len)) {
        sn_nfs_fail(be, false, "%s: LOOKUP gives a handle of %u bytes",
                    be->options.host, fh->data.data_len);
        return;
    }
    lookup_next(be);
}

/* One part of the path; be->rest is behind it then. */
static void lookup_next(SnBackend *be)
{
    const char *part = be->rest + strspn(be->rest, "/");
    size_t len = strcspn(part, "/");
    g_autofree char *name = g_strndup(part, len);
    LOOKUP3args args = { 0 };

    be->conns[0].guard.answer = len ? SN_NFS_ANSWER_HANDLE
                                    : SN_NFS_ANSWER_PLAIN;
    if (!len) {
        sn_nfs_set_state(be, SN_NFS_PROBING);
        sn_nfs_arm_step(be);
        sn_nfs_probe_start(be);
        return;
    }
    be->rest = part + len;
    args.what.dir = sn_nfs_fh(be);
    args.what.name = name;
    sn_trace(nfs_lookup, "id=%s name=%s", be->id, name);
    if (rpc_nfs3_lookup_async(sn_nfs_new_call(&be->conns[0]), looked_up, &args,
                              &be->conns[0])) {
        sn_nfs_call_failed(&be->conns[0], "LOOKUP");
    }
}

void sn_nfs_lookup_start(SnBackend *be)
{
    if (be->known || be->options.handle.len) {
        be->rest = "";          /* no part of it is to be found */
    }
    lookup_next(be);
}
