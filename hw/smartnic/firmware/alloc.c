/*
 * Memory for lwIP: its heap (mem.h), and through MEMP_MEM_MALLOC its pools.
 *
 * Small blocks come from free lists per size, so that sending and receiving
 * allocates nothing once the lists are filled; they grow as needed up to a
 * limit and never shrink. When it is reached lwIP gets NULL, which it
 * survives: what it wanted to send or keep is tried again or dropped.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "fw.h"

#include "lwip/mem.h"

enum {
    SHIFT_MIN = 6,              /* blocks of 64 bytes, header included ... */
    CLASSES = 6,                /* ... to 2048; longer ones from malloc */
    SLAB = 32 * 1024,
};

typedef union Block {
    struct {
        uint32_t class;         /* CLASSES: from malloc */
        size_t size;
    };
    union Block *next;          /* while free */
    max_align_t align;
} Block;

static Block *free_blocks[CLASSES];
static size_t total;            /* bytes taken from the system */

/*
 * AddressSanitizer watches borders of blocks only when each block is from
 * malloc.
 */
#ifdef __SANITIZE_ADDRESS__
enum { USE_LISTS = 0 };
#else
enum { USE_LISTS = 1 };
#endif

static unsigned class_of(size_t size)
{
    unsigned class = 0;

    while (class < CLASSES && size > (size_t)1 << (SHIFT_MIN + class)) {
        class++;
    }
    return USE_LISTS ? class : CLASSES;
}

static bool grow(unsigned class)
{
    size_t size = (size_t)1 << (SHIFT_MIN + class);
    uint8_t *slab;

    if (total + SLAB > SN_FW_ALLOC_MAX || !(slab = g_try_malloc(SLAB))) {
        return false;
    }
    total += SLAB;
    for (size_t off = 0; off < SLAB; off += size) {
        Block *b = (Block *)(slab + off);

        b->next = free_blocks[class];
        free_blocks[class] = b;
    }
    return true;
}

void mem_init(void)
{
    /* nothing: the lists grow when they are used */
}

void *mem_malloc(mem_size_t len)
{
    size_t size = len + sizeof(Block);
    unsigned class = class_of(size);
    Block *b;

    if (class < CLASSES) {
        if (!free_blocks[class] && !grow(class)) {
            return NULL;
        }
        b = free_blocks[class];
        free_blocks[class] = b->next;
    } else {
        if (total + size > SN_FW_ALLOC_MAX || !(b = g_try_malloc(size))) {
            return NULL;
        }
        total += size;
    }
    b->class = class;
    b->size = size;
    return b + 1;
}

void *mem_calloc(mem_size_t count, mem_size_t size)
{
    void *p = NULL;

    if (size == 0 || count <= SN_FW_ALLOC_MAX / size) {
        p = mem_malloc(count * size);
    }
    if (p) {
        memset(p, 0, count * size);
    }
    return p;
}

/* lwIP shortens blocks only to give the rest back, which is not needed. */
void *mem_trim(void *mem, mem_size_t size)
{
    return mem;
}

void mem_free(void *mem)
{
    Block *b = (Block *)mem - 1;
    unsigned class = b->class;

    if (class < CLASSES) {
        b->next = free_blocks[class];
        free_blocks[class] = b;
    } else {
        total -= b->size;
        g_free(b);
    }
}

size_t sn_fw_alloc_bytes(void)
{
    return total;
}
