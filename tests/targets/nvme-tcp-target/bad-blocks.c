/*
 * Blocks that cannot be read: see bad-blocks.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bad-blocks.h"

#include "target.h"

bool bad_blocks_among(const BadBlocks *b, uint64_t slba, uint64_t blocks)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->range[i].first < slba + blocks && slba < b->range[i].end) {
            return true;
        }
    }
    return false;
}

/* Empty ranges are left out; one too many is counted only. */
static void append(BadBlocks *b, uint64_t first, uint64_t end)
{
    if (first < end) {
        if (b->count < BAD_RANGES_MAX) {
            b->range[b->count] = (BadRange){ first, end };
        }
        b->count++;
    }
}

bool bad_blocks_set(BadBlocks *b, uint64_t slba, uint64_t blocks, bool bad)
{
    uint64_t end = slba + blocks;
    BadBlocks new = { 0 };

    for (unsigned i = 0; i < b->count; i++) {
        const BadRange *r = &b->range[i];

        append(&new, r->first, MIN(r->end, slba));
        if (bad && r->end > slba) {
            append(&new, slba, end);
            bad = false;
        }
        append(&new, MAX(r->first, end), r->end);
    }
    if (bad) {
        append(&new, slba, end);
    }
    if (new.count > BAD_RANGES_MAX) {
        return false;
    }
    *b = new;
    return true;
}
