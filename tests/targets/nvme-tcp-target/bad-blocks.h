/*
 * Blocks that cannot be read, because Write Uncorrectable made them so.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_BAD_BLOCKS_H
#define TARGET_BAD_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define BAD_RANGES_MAX 64

typedef struct BadRange {
    uint64_t first, end;        /* blocks; the end is not bad any more */
} BadRange;

/* Ranges in ascending order, with something between them or not. */
typedef struct BadBlocks {
    unsigned count;
    BadRange range[BAD_RANGES_MAX];
} BadBlocks;

/* Whether one of @blocks blocks from @slba on is bad. */
bool bad_blocks_among(const BadBlocks *b, uint64_t slba, uint64_t blocks);
/* Makes them @bad, or good. False, and no change, when it has no room. */
bool bad_blocks_set(BadBlocks *b, uint64_t slba, uint64_t blocks, bool bad);

#endif
