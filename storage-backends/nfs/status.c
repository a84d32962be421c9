/*
 * What a status means (RFC 1813 section 2.6).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "backend.h"

SnNfsVerdict sn_nfs_judge(nfsstat3 status, bool write, int *err)
{
    *err = 0;
    switch (status) {
    case NFS3_OK:
        return SN_NFS_DONE;
    case NFS3ERR_JUKEBOX:
        return SN_NFS_LATER;
    case NFS3ERR_STALE:
    case NFS3ERR_BADHANDLE:
        return SN_NFS_RESTART;
    case NFS3ERR_NOSPC:
    case NFS3ERR_DQUOT:
    case NFS3ERR_FBIG:
        *err = -ENOSPC;
        return SN_NFS_DONE;
    case NFS3ERR_ROFS:
    case NFS3ERR_ACCES:
    case NFS3ERR_PERM:
        *err = write ? -EROFS : -EIO;
        return SN_NFS_DONE;
    default:
        *err = -EIO;
        return SN_NFS_DONE;
    }
}

bool sn_nfs_check_written(SnBackend *be, const WRITE3resok *ok, uint32_t len)
{
    if (ok->count <= len && (unsigned)ok->committed <= FILE_SYNC) {
        return true;
    }
    sn_nfs_fail(be, false, "%s: WRITE took %u bytes of %u, stable: %d",
                be->options.host, ok->count, len, ok->committed);
    return false;
}
