/*
 * The NFS backend's URL: nfs://host[:port]/path/of/the/file[?options].
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"

/* RFC 1813 appendix I: of MNT's argument. */
#define PATH_MAX_LEN MNTPATHLEN
/* Of one component; what servers take at most. */
#define NAME_MAX_LEN 255

#define DEFAULT_UNCOMMITTED (UINT64_C(32) << 20)
#define MIN_UNCOMMITTED (UINT64_C(1) << 20)
#define MAX_UNCOMMITTED (UINT64_C(1) << 30)
/* 2^63 is what off_t ends at, on most servers. */
#define MAX_SIZE ((UINT64_C(1) << 62))

static void set_error(GError **err, const char *text)
{
    g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL, "volume URL: %s",
                text);
}

/* "/a//b/" is /a/b; what the server would resolve against itself is wrong. */
static bool parse_path(SnNfsOptions *o, const char *path, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path ? path : "", "/", -1);
    g_autoptr(GString) clean = g_string_new(NULL);

    for (char **p = parts; *p; p++) {
        if (!strcmp(*p, ".") || !strcmp(*p, "..") ||
            strlen(*p) > NAME_MAX_LEN) {
            set_error(err, "the path of nfs:// must not have \".\", \"..\" or "
                      "parts of more than 255 bytes");
            return false;
        }
        if (**p) {
            g_string_append_printf(clean, "/%s", *p);
        }
    }
    if (!clean->len || clean->len >= PATH_MAX_LEN) {
        set_error(err, "nfs:// needs the path of a file, of at most 1023 "
                  "bytes: nfs://host/export/disk.img");
        return false;
    }
    o->path = g_strdup(clean->str);
    return true;
}

/* RFC 1813 section 2.3.3: opaque, up to 64 bytes; here in hexadecimal. */
static bool parse_handle(SnNfsOptions *o, const char *hex, GError **err)
{
    uint8_t bytes[NFS3_FHSIZE];
    size_t len = hex ? strlen(hex) : 0;

    if (!hex) {
        return true;
    }
    for (size_t i = 0; i < len && len <= 2 * sizeof(bytes); i += 2) {
        int high = g_ascii_xdigit_value(hex[i]);
        int low = g_ascii_xdigit_value(hex[i + 1]);

        if (high < 0 || low < 0) {
            len = 0;
            break;
        }
        bytes[i / 2] = high << 4 | low;
    }
    if (!len || len > 2 * sizeof(bytes)) {
        set_error(err, "handle must be the file's NFS handle: 1 to 64 bytes "
                  "in hexadecimal");
        return false;
    }
    return sn_nfs_handle_set(&o->handle, bytes, len / 2);
}

static bool parse_sizes(SnNfsOptions *o, const SnUrl *url, GError **err)
{
    uint64_t block = 512;

    o->max_uncommitted = DEFAULT_UNCOMMITTED;
    if (!sn_url_get_size(url, "uncommitted", &o->max_uncommitted, err) ||
        !sn_url_get_size(url, "size", &o->size, err) ||
        !sn_url_get_uint(url, "block-size", 512, 4096, &block, err)) {
        return false;
    }
    if (o->max_uncommitted < MIN_UNCOMMITTED ||
        o->max_uncommitted > MAX_UNCOMMITTED) {
        set_error(err, "uncommitted must be 1M to 1G");
        return false;
    }
    if (block != 512 && block != 4096) {
        set_error(err, "block-size must be 512 or 4096");
        return false;
    }
    if (o->size % block || o->size > MAX_SIZE) {
        set_error(err, "size must be a multiple of block-size, and at most "
                  "4194304T");
        return false;
    }
    o->block_size = block;
    return true;
}

static bool parse_numbers(SnNfsOptions *o, const SnUrl *url, GError **err)
{
    uint64_t uid = 0, gid = 0, mount_port = 0;
    uint64_t conns = 2, depth = 128, alive = 5;

    if (!sn_url_get_uint(url, "uid", 0, INT32_MAX, &uid, err) ||
        !sn_url_get_uint(url, "gid", 0, INT32_MAX, &gid, err) ||
        !sn_url_get_uint(url, "mountport", 1, UINT16_MAX, &mount_port, err) ||
        !sn_url_get_uint(url, "connections", 1, SN_NFS_MAX_CONNS, &conns,
                         err) ||
        !sn_url_get_uint(url, "queue-depth", 1, 1024, &depth, err) ||
        !sn_url_get_uint(url, "keep-alive-tmo", 0, 3600, &alive, err)) {
        return false;
    }
    o->uid = uid;
    o->gid = gid;
    o->mount_port = mount_port;
    o->conns = conns;
    o->queue_depth = depth;
    o->keep_alive = alive;
    return true;
}

bool sn_nfs_options_parse(SnNfsOptions *o, const SnUrl *url, GError **err)
{
    static const char *const known[] = {
        "uid", "gid", "mountport", "handle", "connections", "queue-depth",
        "keep-alive-tmo", "uncommitted", "size", "block-size", NULL
    };

    *o = (SnNfsOptions){ 0 };
    if (!url->host || !*url->host) {
        set_error(err, "nfs:// needs a host: nfs://host/export/disk.img");
        return false;
    }
    if (url->user) {
        set_error(err, "nfs:// has no user@; its options uid= and gid= say "
                  "whose rights are used");
        return false;
    }
    o->host = g_strdup(url->host);
    o->port = url->port;
    return sn_url_check_params(url, known, err) &&
           parse_path(o, url->path, err) &&
           parse_handle(o, sn_url_get_string(url, "handle"), err) &&
           parse_sizes(o, url, err) && parse_numbers(o, url, err);
}

void sn_nfs_options_clear(SnNfsOptions *o)
{
    g_free(o->host);
    g_free(o->path);
}
