/*
 * SnDma on the address space of a PCI function.
 *
 * Guests have few areas of contiguous RAM, so those that were used last are
 * kept, each as a whole, and a mapping is an address in one of them. When the
 * memory map changes, all are stale: they are let go of as soon as nothing is
 * mapped in them, and looked up anew.
 *
 * Behind a vIOMMU an address means another page from one moment to the next,
 * and nothing can be kept: each mapping is translated.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/memory.h"

#include "dma.h"
#include "loop.h"

/* Below and above the PCI hole, and what firmware has in the first MiB. */
#define AREAS 6

/* An area, with the mappings in it; or one translated mapping. */
struct SnDmaHold {
    /* Of an area; it has a reference to the memory. */
    MemoryRegionCache cache;
    hwaddr base;
    bool writable;
    bool stale;                 /* not in SnQemuDma.areas any more */
    unsigned holds;             /* mappings */

    /* Of a translated mapping. */
    bool translated;
    SnDmaHold *next;            /* while it is not in use */
};

typedef struct SnQemuDma {
    SnDma dma;
    PCIDevice *pci;             /* NULL: stopped */
    AddressSpace *as;
    MemoryListener listener;
    SnDmaHold *areas[AREAS];    /* the first @area_count are used */
    unsigned area_count;
    unsigned next_victim;
    bool iommu;                 /* seen since the memory map changed */
    GPtrArray *stale;           /* without mappings, to be freed by bh */
    SnBh *bh;
    SnDmaHold *spare;           /* for translated mappings */
} SnQemuDma;

/* ---- areas ---- */

static void area_free(void *opaque)
{
    SnDmaHold *area = opaque;

    address_space_cache_destroy(&area->cache);
    g_free(area);
}

/*
 * The area that @addr lies in; NULL when that is not RAM, or when there is a
 * vIOMMU, of which *@iommu tells.
 */
static SnDmaHold *area_new(AddressSpace *as, hwaddr addr, bool writable,
                           bool *iommu)
{
    SnDmaHold *area = g_new0(SnDmaHold, 1);
    MemoryRegionCache *cache = &area->cache;

    /* What kind of memory, and where does it begin? */
    address_space_cache_init(cache, as, addr, 1, writable);
    area->base = cache->mrs.offset_within_address_space;
    *iommu = memory_region_get_iommu(cache->mrs.mr) != NULL;
    if (cache->ptr) {
        address_space_cache_destroy(cache);
        address_space_cache_init(cache, as, area->base,
                                 UINT64_MAX - area->base, writable);
    }
    area->writable = writable;
    if (!cache->ptr || addr - area->base >= cache->len ||
        (writable && cache->mrs.readonly)) {
        area_free(area);
        return NULL;
    }
    return area;
}

/* Nobody finds it from now on. */
static void area_retire(SnQemuDma *d, SnDmaHold *area)
{
    area->stale = true;
    if (area->holds == 0) {
        g_ptr_array_add(d->stale, area);
        sn_qemu_loop()->bh_schedule(d->bh);
    }
}

static void free_stale(void *opaque)
{
    SnQemuDma *d = opaque;

    g_ptr_array_set_size(d->stale, 0);
}

static void area_keep(SnQemuDma *d, SnDmaHold *area)
{
    if (d->area_count < AREAS) {
        d->areas[d->area_count++] = area;
        return;
    }
    d->next_victim = (d->next_victim + 1) % AREAS;
    area_retire(d, d->areas[d->next_victim]);
    d->areas[d->next_victim] = area;
}

static SnDmaHold *find_area(SnQemuDma *d, hwaddr addr, bool writable)
{
    SnDmaHold *area;

    for (unsigned i = 0; i < d->area_count; i++) {
        area = d->areas[i];
        if (addr - area->base < area->cache.len &&
            (area->writable || !writable)) {
            return area;
        }
    }
    area = area_new(d->as, addr, true, &d->iommu);
    if (!area && !writable && !d->iommu) {
        area = area_new(d->as, addr, false, &d->iommu);
    }
    if (area) {
        area_keep(d, area);
    }
    return area;
}

/*
 * The memory map of the function, or another one, has changed. Letting go of
 * memory may free the device that it belongs to, which is not for here.
 */
static void map_changed(MemoryListener *listener)
{
    SnQemuDma *d = container_of(listener, SnQemuDma, listener);

    for (unsigned i = 0; i < d->area_count; i++) {
        area_retire(d, d->areas[i]);
    }
    d->area_count = 0;
    d->iommu = false;
}

/* ---- translated mappings ---- */

static SnDmaHold *translated_hold(SnQemuDma *d)
{
    SnDmaHold *hold = d->spare;

    if (hold) {
        d->spare = hold->next;
    } else {
        hold = g_new0(SnDmaHold, 1);
        hold->translated = true;
    }
    return hold;
}

/*
 * Not address_space_map(), which would read what is not RAM, registers that is,
 * into a buffer.
 */
static void *map_translated(SnQemuDma *d, hwaddr addr, size_t *len,
                            bool writable, SnDmaHold **hold)
{
    hwaddr offset, contiguous = *len;
    MemoryRegion *mr;
    void *ptr;

    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(d->as, addr, &offset, &contiguous, writable,
                                 MEMTXATTRS_UNSPECIFIED);
    if (!memory_access_is_direct(mr, writable, MEMTXATTRS_UNSPECIFIED)) {
        return NULL;
    }
    memory_region_ref(mr);      /* until address_space_unmap() */
    ptr = qemu_map_ram_ptr(mr->ram_block, offset);
    *len = contiguous;
    *hold = translated_hold(d);
    (*hold)->writable = writable;
    return ptr;
}

static void unmap_translated(SnQemuDma *d, SnDmaHold *hold, void *ptr,
                             size_t written)
{
    address_space_unmap(d->as, ptr, written, hold->writable, written);
    hold->next = d->spare;
    d->spare = hold;
}

/* ---- the contract ---- */

/* QEMU's own switch for this stays on when a reset clears the bit. */
static bool bus_master(SnQemuDma *d)
{
    return d->pci && (pci_get_word(d->pci->config + PCI_COMMAND) &
                      PCI_COMMAND_MASTER);
}

static void *dma_map(SnDma *dma, uint64_t addr, size_t *len, bool writable,
                     SnDmaHold **hold)
{
    SnQemuDma *d = container_of(dma, SnQemuDma, dma);
    SnDmaHold *area;
    hwaddr offset;

    if (!bus_master(d)) {
        return NULL;
    }
    area = d->iommu ? NULL : find_area(d, addr, writable);
    if (d->iommu) {
        return map_translated(d, addr, len, writable, hold);
    }
    if (!area) {
        return NULL;
    }
    offset = addr - area->base;
    *len = MIN(*len, area->cache.len - offset);
    *hold = area;
    area->holds++;
    return (uint8_t *)area->cache.ptr + offset;
}

static void dma_unmap(SnDma *dma, SnDmaHold *hold, void *ptr, size_t written)
{
    SnQemuDma *d = container_of(dma, SnQemuDma, dma);

    if (hold->translated) {
        unmap_translated(d, hold, ptr, written);
        return;
    }
    if (written) {
        address_space_cache_invalidate(
            &hold->cache, (uint8_t *)ptr - (uint8_t *)hold->cache.ptr,
            written);
    }
    if (--hold->holds == 0 && hold->stale) {
        area_retire(d, hold);
    }
}

static bool dma_copy(SnDma *dma, uint64_t addr, void *buf, size_t len,
                     bool write)
{
    SnDmaHold *hold;
    uint8_t *p = buf;

    while (len) {
        size_t n = len;
        void *ptr = dma_map(dma, addr, &n, write, &hold);

        if (!ptr) {
            return false;
        }
        memcpy(write ? ptr : p, write ? p : ptr, n);
        dma_unmap(dma, hold, ptr, write ? n : 0);
        p += n;
        addr += n;
        len -= n;
    }
    return true;
}

static bool dma_read(SnDma *dma, uint64_t addr, void *buf, size_t len)
{
    return dma_copy(dma, addr, buf, len, false);
}

static bool dma_write(SnDma *dma, uint64_t addr, const void *buf, size_t len)
{
    return dma_copy(dma, addr, (void *)buf, len, true);
}

SnDma *sn_qemu_dma_new(PCIDevice *pci)
{
    SnQemuDma *d = g_new0(SnQemuDma, 1);

    d->dma = (SnDma) {
        .read = dma_read,
        .write = dma_write,
        .map = dma_map,
        .unmap = dma_unmap,
    };
    d->pci = pci;
    d->as = pci_get_address_space(pci);
    d->stale = g_ptr_array_new_with_free_func(area_free);
    d->bh = sn_qemu_loop()->bh_new(sn_qemu_loop(), free_stale, d);
    d->listener = (MemoryListener) {
        .name = "smartnic-dma",
        .commit = map_changed,
    };
    memory_listener_register(&d->listener, d->as);
    return &d->dma;
}

void sn_qemu_dma_stop(SnDma *dma)
{
    SnQemuDma *d = container_of(dma, SnQemuDma, dma);

    if (d->pci) {
        memory_listener_unregister(&d->listener);
        map_changed(&d->listener);
        d->pci = NULL;
    }
}

void sn_qemu_dma_free(SnDma *dma)
{
    SnQemuDma *d = container_of(dma, SnQemuDma, dma);
    SnDmaHold *hold;

    sn_qemu_dma_stop(dma);
    sn_qemu_loop()->bh_free(d->bh);
    g_ptr_array_unref(d->stale);
    while ((hold = d->spare)) {
        d->spare = hold->next;
        g_free(hold);
    }
    g_free(d);
}
