/*
 * The memory of a guest.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <sanitizer/asan_interface.h>
#include <string.h>

#include "guest-memory.h"

#define GRAIN 64                /* bytes that are mapped or not together */
#define PIECE_MAX (GM_RAM_SIZE / 2)

typedef struct Piece {
    uint64_t addr, size;
    bool writable;
    uint8_t bytes[PIECE_MAX] __attribute__((aligned(GRAIN)));
    uint16_t users[PIECE_MAX / GRAIN];
} Piece;

static Piece pieces[] = {
    { GM_RAM, GM_RAM_SIZE / 2, true },
    { GM_RAM + GM_RAM_SIZE / 2, GM_RAM_SIZE / 2, true },
    { GM_ROM, GM_ROM_SIZE, false },
    { GM_HIGH, GM_HIGH_SIZE, true },
};

struct SnDmaHold {
    Piece *piece;
    uint8_t *ptr;
    size_t len;
    bool writable;
    bool allowed;               /* it was when it was mapped */
};

bool gm_writes_allowed;
static unsigned n_holds;

/* The piece with the byte at @addr, and how far it goes from there. */
static Piece *find(uint64_t addr, uint64_t *left)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        Piece *p = &pieces[i];

        if (addr >= p->addr && addr - p->addr < p->size) {
            *left = p->size - (addr - p->addr);
            return p;
        }
    }
    return NULL;
}

/* Counts users of the grains that the bytes lie in; those without are shut. */
static void use(Piece *p, const uint8_t *ptr, size_t len, int change)
{
    size_t first = (ptr - p->bytes) / GRAIN;
    size_t end = (ptr - p->bytes + len + GRAIN - 1) / GRAIN;

    for (size_t i = first; i < end; i++) {
        p->users[i] += change;
        if (p->users[i]) {
            ASAN_UNPOISON_MEMORY_REGION(&p->bytes[i * GRAIN], GRAIN);
        } else {
            ASAN_POISON_MEMORY_REGION(&p->bytes[i * GRAIN], GRAIN);
        }
    }
}

/* Copies up to a piece's end; how much, or 0 when there is none. */
static size_t copy_some(uint64_t addr, void *buf, size_t len, bool to_guest,
                        bool by_guest)
{
    uint64_t left;
    Piece *p = find(addr, &left);
    uint8_t *ptr;

    if (!p || (to_guest && !p->writable && !by_guest)) {
        return 0;
    }
    len = MIN(len, left);
    ptr = &p->bytes[addr - p->addr];
    use(p, ptr, len, 1);
    if (to_guest) {
        memcpy(ptr, buf, len);
    } else {
        memcpy(buf, ptr, len);
    }
    use(p, ptr, len, -1);
    return len;
}

static bool copy(uint64_t addr, void *buf, size_t len, bool to_guest,
                 bool by_guest)
{
    uint8_t *p = buf;

    while (len) {
        size_t n = copy_some(addr, p, len, to_guest, by_guest);

        if (!n) {
            return false;
        }
        p += n;
        addr += n;
        len -= n;
    }
    return true;
}

static bool dma_read(SnDma *dma, uint64_t addr, void *buf, size_t len)
{
    g_assert_cmpuint(len, >, 0);
    return copy(addr, buf, len, false, false);
}

static bool dma_write(SnDma *dma, uint64_t addr, const void *buf, size_t len)
{
    g_assert_true(gm_writes_allowed);
    g_assert_cmpuint(len, >, 0);
    return copy(addr, (void *)buf, len, true, false);
}

static void *dma_map(SnDma *dma, uint64_t addr, size_t *len, bool writable,
                     SnDmaHold **hold)
{
    uint64_t left;
    Piece *p = find(addr, &left);
    uint8_t *ptr;

    g_assert_cmpuint(*len, >, 0);
    if (!p || (writable && !p->writable)) {
        return NULL;
    }
    *len = MIN(*len, left);
    ptr = &p->bytes[addr - p->addr];
    use(p, ptr, *len, 1);
    n_holds++;
    *hold = g_new(SnDmaHold, 1);
    **hold = (SnDmaHold){ p, ptr, *len, writable, gm_writes_allowed };
    return ptr;
}

static void dma_unmap(SnDma *dma, SnDmaHold *hold, void *ptr, size_t written)
{
    g_assert_true(ptr == hold->ptr);
    g_assert_cmpuint(written, <=, hold->writable ? hold->len : 0);
    g_assert_true(hold->allowed || !written);
    use(hold->piece, hold->ptr, hold->len, -1);
    n_holds--;
    g_free(hold);
}

static SnDma dma = {
    .read = dma_read,
    .write = dma_write,
    .map = dma_map,
    .unmap = dma_unmap,
};

SnDma *gm_reset(void)
{
    g_assert_cmpuint(n_holds, ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        Piece *p = &pieces[i];

        ASAN_UNPOISON_MEMORY_REGION(p->bytes, sizeof(p->bytes));
        memset(p->bytes, 0, p->size);
        ASAN_POISON_MEMORY_REGION(p->bytes, sizeof(p->bytes));
    }
    return &dma;
}

unsigned gm_holds(void)
{
    return n_holds;
}

void gm_poke(uint64_t addr, const void *buf, size_t len)
{
    copy(addr, (void *)buf, len, true, true);
}

void gm_peek(uint64_t addr, void *buf, size_t len)
{
    memset(buf, 0, len);
    copy(addr, buf, len, false, true);
}
