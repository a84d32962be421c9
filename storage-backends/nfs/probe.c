/*
 * What the file is: FSINFO, GETATTR and ACCESS (RFC 1813 section 3.3), one
 * after the other, when a session begins; and its size, and whether it may be
 * written, now and then.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/trace.h"
#include "smartnic/uuid.h"

SN_TRACE_EVENT(nfs_file);
SN_TRACE_EVENT(nfs_resized);
SN_TRACE_EVENT(nfs_rights);

#define TRY_DELAY SN_NS_PER_S

/* The question after a while; how often is not limited. */
static void later(SnBackend *be, void (*question)(SnBackend *))
{
    be->probe_next = question;
    sn_nfs_arm_step(be);
    sn_timer_arm_in(be->loop, be->probe_timer, TRY_DELAY);
}

void sn_nfs_probe_again(void *opaque)
{
    SnBackend *be = opaque;
    SnSockets *before = sn_nfs_enter(be);

    be->probe_next(be);
    sn_nfs_leave(be, before);
    sn_nfs_flush(be);
}

/* Whether a status is good; else it is asked again, or the session fails. */
static bool good(SnBackend *be, nfsstat3 status, const char *what,
                 void (*question)(SnBackend *))
{
    if (status == NFS3ERR_JUKEBOX) {
        later(be, question);
    } else if (status == NFS3ERR_STALE || status == NFS3ERR_BADHANDLE) {
        sn_nfs_stale(be, status);
    } else if (status != NFS3_OK) {
        sn_nfs_fail(be, false, "%s of %s on %s: %s", what, be->options.path,
                    be->options.host, nfsstat3_to_str(status));
    }
    return status == NFS3_OK;
}

static void set_identity(SnBackend *be)
{
    g_autofree char *name = g_strdup_printf(
        "nfs %s %" PRIx64 " %" PRIx64, be->options.host, be->fsid, be->fileid);

    sn_uuid_from_name(name, be->info.uuid);
}

static void call_access(SnBackend *be, rpc_cb answered)
{
    SnNfsConn *c = &be->conns[0];
    ACCESS3args args = { .object = sn_nfs_fh(be),
                         .access = ACCESS3_READ | ACCESS3_MODIFY };

    if (rpc_nfs3_access_async(sn_nfs_new_call(c), answered, &args, c)) {
        sn_nfs_call_failed(c, "ACCESS");
    }
}

static void access_known(struct rpc_context *rpc, int status, void *data,
                         void *opaque);

static void ask_access(SnBackend *be)
{
    call_access(be, access_known);
}

/* Everything is known. */
static void finish(SnBackend *be, uint32_t granted)
{
    SnVolumeInfo *info = &be->info;

    info->read_only = !(granted & ACCESS3_MODIFY);
    info->queue_depth = be->options.queue_depth;
    info->queues = be->options.conns;
    info->write_cache = true;
    info->fua = true;
    set_identity(be);
    be->known = true;
    sn_trace(nfs_file, "id=%s size=%" PRIu64 " block=%u ro=%d max=%u", be->id,
             info->size, info->block_size, info->read_only,
             info->max_transfer);
    sn_nfs_unc_recover(be);
}

static void access_known(struct rpc_context *rpc, int status, void *data,
                         void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const ACCESS3res *res = data;
    uint32_t granted;

    if (!sn_nfs_answered(c, status, data, "ACCESS") ||
        !good(be, res->status, "ACCESS", ask_access)) {
        return;
    }
    granted = res->ACCESS3res_u.resok.access;
    if (!(granted & ACCESS3_READ)) {
        sn_nfs_fail(be, false, "%s on %s must not be read by uid %u, gid %u "
                    "(options uid= and gid=)", be->options.path,
                    be->options.host, be->options.uid, be->options.gid);
        return;
    }
    finish(be, granted);
}

static void take_size(SnBackend *be, uint64_t size)
{
    uint32_t block = be->options.block_size;

    be->file_size = size;
    /* Half a block at the end cannot be used. */
    be->info.size = size / block * block;
}

static void ask_attributes(SnBackend *be);

static void grown(struct rpc_context *rpc, int status, void *data,
                  void *opaque);

/*
 * A file that is shorter than size= is made longer; it is sparse there. Only if
 * it is still the one that was looked at: somebody else may have made it longer
 * than that.
 */
static void ask_grow(SnBackend *be)
{
    SnNfsConn *c = &be->conns[0];
    SETATTR3args args = { .object = sn_nfs_fh(be) };

    args.new_attributes.size.set_it = 1;
    args.new_attributes.size.set_size3_u.size = be->options.size;
    args.guard.check = 1;
    args.guard.sattrguard3_u.obj_ctime = be->ctime;
    if (rpc_nfs3_setattr_async(sn_nfs_new_call(c), grown, &args, c)) {
        sn_nfs_call_failed(c, "SETATTR");
    }
}

static void grown(struct rpc_context *rpc, int status, void *data,
                  void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const SETATTR3res *res = data;

    if (!sn_nfs_answered(c, status, data, "SETATTR")) {
        return;
    }
    if (res->status == NFS3ERR_NOT_SYNC) {
        later(be, ask_attributes);
    } else if (good(be, res->status, "SETATTR (size=)", ask_grow)) {
        take_size(be, be->options.size);
        ask_access(be);
    }
}

/*
 * False: it is another file than the one that the guest knows, with the handle
 * of that; no good server has such. The volume would find out as well, but only
 * after uncommitted writes had gone there.
 */
static bool same_file(SnBackend *be, const fattr3 *attr)
{
    if (be->known) {
        return be->fsid == attr->fsid && be->fileid == attr->fileid;
    }
    be->fsid = attr->fsid;
    be->fileid = attr->fileid;
    return true;
}

static void attributes_known(struct rpc_context *rpc, int status, void *data,
                             void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const GETATTR3res *res = data;
    const fattr3 *attr;

    if (!sn_nfs_answered(c, status, data, "GETATTR") ||
        !good(be, res->status, "GETATTR", ask_attributes)) {
        return;
    }
    attr = &res->GETATTR3res_u.resok.obj_attributes;
    if (attr->type != NF3REG) {
        sn_nfs_fail(be, false, "%s on %s is not a regular file (type %d)",
                    be->options.path, be->options.host, attr->type);
        return;
    }
    if (!same_file(be, attr)) {
        sn_nfs_fail(be, false, "%s on %s is another file now",
                    be->options.path, be->options.host);
        return;
    }
    take_size(be, attr->size);
    if (attr->size < be->options.size) {
        be->ctime = attr->ctime;
        ask_grow(be);
    } else if (!be->info.size) {
        sn_nfs_fail(be, false, "%s on %s has no %u bytes (the option size= "
                    "makes it longer)", be->options.path, be->options.host,
                    be->options.block_size);
    } else {
        ask_access(be);
    }
}

static void ask_attributes(SnBackend *be)
{
    SnNfsConn *c = &be->conns[0];
    GETATTR3args args = { .object = sn_nfs_fh(be) };

    if (rpc_nfs3_getattr_async(sn_nfs_new_call(c), attributes_known, &args,
                               c)) {
        sn_nfs_call_failed(c, "GETATTR");
    }
}

static void ask_limits(SnBackend *be);

static void limits_known(struct rpc_context *rpc, int status, void *data,
                         void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const FSINFO3res *res = data;
    const FSINFO3resok *ok;
    uint32_t block = be->options.block_size, max;

    if (!sn_nfs_answered(c, status, data, "FSINFO") ||
        !good(be, res->status, "FSINFO", ask_limits)) {
        return;
    }
    ok = &res->FSINFO3res_u.resok;
    max = MIN(MIN(ok->rtmax, ok->wtmax), SN_NFS_MAX_TRANSFER);
    if (max < block) {
        sn_nfs_fail(be, false, "%s takes %u bytes at most in one request",
                    be->options.host, max);
        return;
    }
    be->info.block_size = block;
    be->info.phys_block_size = MAX(block, 4096);
    be->info.max_transfer = max / block * block;
    ask_attributes(be);
}

static void ask_limits(SnBackend *be)
{
    SnNfsConn *c = &be->conns[0];
    FSINFO3args args = { .fsroot = sn_nfs_fh(be) };

    if (rpc_nfs3_fsinfo_async(sn_nfs_new_call(c), limits_known, &args, c)) {
        sn_nfs_call_failed(c, "FSINFO");
    }
}

void sn_nfs_probe_start(SnBackend *be)
{
    be->info = (SnVolumeInfo){ 0 };
    ask_limits(be);
}

static void take_attributes(SnBackend *be, const fattr3 *attr)
{
    uint64_t before = be->info.size;

    if (be->state != SN_NFS_READY || attr->size == be->file_size) {
        return;
    }
    take_size(be, attr->size);
    if (be->info.size != before) {
        sn_trace(nfs_resized, "id=%s size=%" PRIu64, be->id, be->info.size);
        sn_backend_info_changed(be->vol, &be->info);
    }
}

void sn_nfs_probe_polled(SnBackend *be, const GETATTR3res *res)
{
    int err;

    if (res->status == NFS3_OK) {
        take_attributes(be, &res->GETATTR3res_u.resok.obj_attributes);
    } else if (sn_nfs_judge(res->status, false, &err) == SN_NFS_RESTART) {
        sn_nfs_stale(be, res->status);
    }
}

static void polled(struct rpc_context *rpc, int status, void *data,
                   void *opaque)
{
    SnNfsConn *c = opaque;
    const GETATTR3res *res = data;

    c->be->polling = false;
    if (sn_nfs_answered(c, status, data, "GETATTR")) {
        sn_nfs_probe_polled(c->be, res);
    }
}

void sn_nfs_probe_poll(SnBackend *be)
{
    SnNfsConn *c = &be->conns[0];
    GETATTR3args args = { .object = sn_nfs_fh(be) };

    if (!be->polling) {
        be->polling = true;
        if (rpc_nfs3_getattr_async(sn_nfs_new_call(c), polled, &args, c)) {
            sn_nfs_call_failed(c, "GETATTR");
        }
    }
}

static void rights_polled(struct rpc_context *rpc, int status, void *data,
                          void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;
    const ACCESS3res *res = data;
    bool read_only;

    be->polling_rights = false;
    if (!sn_nfs_answered(c, status, data, "ACCESS") ||
        res->status != NFS3_OK) {
        return;
    }
    read_only = !(res->ACCESS3res_u.resok.access & ACCESS3_MODIFY);
    if (be->state == SN_NFS_READY && read_only != be->info.read_only) {
        be->info.read_only = read_only;
        sn_trace(nfs_rights, "id=%s ro=%d", be->id, read_only);
        sn_backend_info_changed(be->vol, &be->info);
    }
}

void sn_nfs_probe_poll_rights(SnBackend *be)
{
    if (!be->polling_rights) {
        be->polling_rights = true;
        call_access(be, rights_polled);
    }
}
