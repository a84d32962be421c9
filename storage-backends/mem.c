/*
 * mem://?size=1G: a RAM disk. Memory is taken when it is written and given
 * back when it is discarded.
 *
 * cache=on makes it look like a disk with a write cache and without FUA, so
 * that flushes are sent.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "local.h"
#include "smartnic/iov.h"

/* It is one step in any case. */
#define MAX_COMPARE_AND_WRITE (128 * 1024)

typedef struct MemBackend {
    SnBackend local;
    uint8_t *data;              /* mapping of info.size bytes */
} MemBackend;

static void mem_read(const uint8_t *data, const SnIo *io)
{
    for (unsigned i = 0; i < io->iovcnt; i++) {
        memcpy(io->iov[i].iov_base, data, io->iov[i].iov_len);
        data += io->iov[i].iov_len;
    }
}

static int mem_compare(const uint8_t *data, const SnIo *io)
{
    return sn_iov_equals(io->iov, io->iovcnt, data) ? 0 : -EILSEQ;
}

static int mem_compare_and_write(uint8_t *data, const SnIo *io)
{
    g_autofree uint8_t *both = g_malloc(2 * io->len);

    sn_iov_gather(both, io->iov, io->iovcnt);
    if (memcmp(data, both, io->len)) {
        return -EILSEQ;
    }
    memcpy(data, both + io->len, io->len);
    return 0;
}

/* Makes bytes from @start to @end zeroes; whole pages are given back. */
static void mem_zero(uint8_t *start, uint8_t *end)
{
    uintptr_t page = sysconf(_SC_PAGESIZE);
    uint8_t *first = (uint8_t *)(((uintptr_t)start + page - 1) & ~(page - 1));
    uint8_t *last = (uint8_t *)((uintptr_t)end & ~(page - 1));

    if (first >= last || madvise(first, last - first, MADV_DONTNEED)) {
        memset(start, 0, end - start);
        return;
    }
    memset(start, 0, first - start);
    memset(last, 0, end - last);
}

static int mem_execute(SnBackend *be, const SnIo *io)
{
    MemBackend *mem = (MemBackend *)be;
    uint8_t *data = mem->data + io->offset;

    switch (io->op) {
    case SN_IO_READ:
        mem_read(data, io);
        break;
    case SN_IO_WRITE:
        sn_iov_gather(data, io->iov, io->iovcnt);
        break;
    case SN_IO_DISCARD:
    case SN_IO_WRITE_ZEROES:
        mem_zero(data, data + io->len);
        break;
    case SN_IO_COMPARE:
        return mem_compare(data, io);
    case SN_IO_COMPARE_AND_WRITE:
        return mem_compare_and_write(data, io);
    case SN_IO_FLUSH:
        break;
    case SN_IO_NVME:
        return -EOPNOTSUPP;     /* the volume does not let it come here */
    }
    return 0;
}

static void mem_destroy(SnBackend *be)
{
    MemBackend *mem = (MemBackend *)be;

    if (mem->data) {
        munmap(mem->data, be->info.size);
    }
    sn_local_cleanup(be);
    g_free(mem);
}

static SnBackend *mem_create(const SnBackendConfig *config, GError **err)
{
    MemBackend *mem = g_new0(MemBackend, 1);
    SnVolumeInfo *info = &mem->local.info;
    void *data;

    if (!sn_url_get_bool(config->url, "cache", &info->write_cache, err) ||
        !sn_local_init(&mem->local, config, "cache", err)) {
        g_free(mem);
        return NULL;
    }
    info->fua = !info->write_cache;
    info->max_compare_and_write = info->fua ? MAX_COMPARE_AND_WRITE : 0;
    mem->local.execute = mem_execute;
    data = mmap(NULL, info->size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "size: cannot map %" G_GUINT64_FORMAT " bytes of memory: "
                    "%s", info->size, g_strerror(errno));
        mem_destroy(&mem->local);
        return NULL;
    }
    mem->data = data;
    return &mem->local;
}

const SnBackendOps sn_mem_backend = {
    .scheme = "mem",
    .create = mem_create,
    .start = sn_local_start,
    .submit = sn_local_submit,
    .kick = sn_local_kick,
    .cancel = sn_local_cancel,
    .stop = sn_local_stop,
    .destroy = mem_destroy,
};
