/*
 * Namespaces: see namespace.h. The mapping is larger than the namespace, so
 * that a resize needs not move data that a socket may be sending; and it stays
 * when the namespace is removed, for the same reason.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "namespace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target.h"

#define RESERVE_MIN (4ull << 30)
#define SIZE_LIMIT (16ull << 40)

static Ns namespaces[NS_MAX];

Ns *ns_find(uint32_t nsid)
{
    Ns *ns;

    if (nsid == 0 || nsid > NS_MAX) {
        return NULL;
    }
    ns = &namespaces[nsid - 1];
    return ns->active ? ns : NULL;
}

/* The same name gives the same identifier, in this run and in the next. */
static void make_uuid(uint8_t *uuid, uint32_t nsid)
{
    uint64_t hash = 0xcbf29ce484222325u;        /* FNV-1a */

    for (const char *c = options.nqn; *c; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    }
    memcpy(uuid, &hash, sizeof(hash));
    memset(uuid + 8, 0, 8);
    uuid[6] = (uuid[6] & 0x0f) | 0x80;          /* version 8, RFC 9562 */
    uuid[8] = 0x80;
    memcpy(uuid + 12, &nsid, sizeof(nsid));
}

/* Makes the mapping. */
static const char *map(Ns *ns, const char *path)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    struct stat st;

    ns->fd = -1;
    if (path) {
        ns->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (ns->fd < 0) {
            return "the file cannot be opened";
        }
        if (fstat(ns->fd, &st) ||
            (st.st_size < ns->size && ftruncate(ns->fd, ns->size))) {
            close(ns->fd);
            return "the file cannot be made that large";
        }
        flags = MAP_SHARED | MAP_NORESERVE;
    }
    ns->reserved = MAX(2 * ns->size, RESERVE_MIN);
    ns->data = mmap(NULL, ns->reserved, PROT_READ | PROT_WRITE, flags, ns->fd,
                    0);
    if (ns->data == MAP_FAILED) {
        ns->data = NULL;
        if (ns->fd >= 0) {
            close(ns->fd);
        }
        return "there is no room for it in memory";
    }
    return NULL;
}

const char *ns_add(uint32_t nsid, uint64_t size, unsigned block,
                   const char *path, const uint8_t *uuid)
{
    Ns *ns;
    const char *why;

    if (nsid == 0 || nsid > NS_MAX) {
        return "the number of a namespace is 1 to 32";
    }
    ns = &namespaces[nsid - 1];
    if (ns->active) {
        return "that namespace exists";
    }
    if (block != 512 && block != 4096) {
        return "blocks are of 512 or 4096 bytes";
    }
    if (size == 0 || size % block || size > SIZE_LIMIT) {
        return "the size is not a number of blocks, or too large";
    }
    if (ns->data) {
        munmap(ns->data, ns->reserved);
        if (ns->fd >= 0) {
            close(ns->fd);
        }
    }
    *ns = (Ns){ .nsid = nsid, .size = size, .shift = block == 512 ? 9 : 12,
                .reservations = { .nsid = nsid } };
    why = map(ns, path);
    if (why) {
        return why;
    }
    if (uuid) {
        memcpy(ns->uuid, uuid, sizeof(ns->uuid));
    } else {
        make_uuid(ns->uuid, nsid);
    }
    ns->active = true;
    return NULL;
}

static bool parse_uuid(const char *text, uint8_t *uuid)
{
    unsigned n = 0;

    for (; *text; text++) {
        unsigned byte;

        if (*text == '-') {
            continue;
        }
        if (n == 16 || sscanf(text, "%2x", &byte) != 1 || !text[1]) {
            return false;
        }
        uuid[n++] = byte;
        text++;
    }
    return n == 16;
}

const char *ns_add_text(const char *text)
{
    char copy[512], *save = NULL, *word;
    const char *path = NULL;
    uint64_t size = 0, block = 512;
    uint8_t uuid[16];
    bool has_uuid = false;
    uint32_t nsid;

    if (strlen(text) >= sizeof(copy)) {
        return "it is too long";
    }
    strcpy(copy, text);
    word = strtok_r(copy, ",", &save);
    nsid = word ? strtoul(word, NULL, 10) : 0;
    while ((word = strtok_r(NULL, ",", &save))) {
        if (!strncmp(word, "size=", 5)) {
            if (!parse_size(word + 5, &size)) {
                return "size= is no size";
            }
        } else if (!strncmp(word, "block=", 6)) {
            if (!parse_size(word + 6, &block)) {
                return "block= is no size";
            }
        } else if (!strncmp(word, "file=", 5)) {
            path = word + 5;
        } else if (!strncmp(word, "uuid=", 5)) {
            has_uuid = parse_uuid(word + 5, uuid);
            if (!has_uuid) {
                return "uuid= is no UUID";
            }
        } else {
            return "only size=, block=, file= and uuid= are known";
        }
    }
    return ns_add(nsid, size, block, path, has_uuid ? uuid : NULL);
}

const char *ns_resize(uint32_t nsid, uint64_t size)
{
    Ns *ns = ns_find(nsid);
    struct stat st;

    if (!ns) {
        return "there is no such namespace";
    }
    if (size == 0 || size & ((1u << ns->shift) - 1) || size > ns->reserved) {
        return "the size is not a number of blocks, or too large";
    }
    if (ns->fd >= 0 && (fstat(ns->fd, &st) ||
                        (st.st_size < size && ftruncate(ns->fd, size)))) {
        return "the file cannot be made that large";
    }
    ns->size = size;
    return NULL;
}

const char *ns_remove(uint32_t nsid)
{
    Ns *ns = ns_find(nsid);

    if (!ns) {
        return "there is no such namespace";
    }
    ns->active = false;
    return NULL;
}

bool ns_flush(Ns *ns)
{
    return ns->fd < 0 || fdatasync(ns->fd) == 0;
}

bool ns_zero(Ns *ns, uint64_t offset, uint64_t len)
{
    uint64_t page = sysconf(_SC_PAGESIZE);
    uint64_t first = (offset + page - 1) & ~(page - 1);
    uint64_t end = (offset + len) & ~(page - 1);

    if (first >= end) {
        memset(ns->data + offset, 0, len);
        return true;
    }
    memset(ns->data + offset, 0, first - offset);
    memset(ns->data + end, 0, offset + len - end);
    if (ns->fd < 0) {
        return madvise(ns->data + first, end - first, MADV_DONTNEED) == 0;
    }
    if (fallocate(ns->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first,
                  end - first)) {
        memset(ns->data + first, 0, end - first);
    }
    return true;
}
