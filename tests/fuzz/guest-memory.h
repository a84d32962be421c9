/*
 * The memory of a guest, for fuzzing a function of the card: RAM in pieces that
 * are not contiguous for the host, some that is read-only, and holes. Only what
 * is mapped at the moment can be touched (AddressSanitizer).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include "smartnic/dma.h"

#define GM_RAM      0x10000ULL
#define GM_RAM_SIZE 0x30000ULL
#define GM_ROM      0x40000ULL  /* behind the RAM */
#define GM_ROM_SIZE 0x2000ULL
#define GM_HIGH     0x100000000ULL
#define GM_HIGH_SIZE 0x4000ULL

/* Empty memory; the same each time. Nothing may be mapped. */
SnDma *gm_reset(void);
/* How many mappings there are. */
unsigned gm_holds(void);
/* Whether the device may write now; if it does otherwise, the process ends. */
extern bool gm_writes_allowed;

/* The guest's own accesses; what is not RAM is left out, or reads as zero. */
void gm_poke(uint64_t addr, const void *buf, size_t len);
void gm_peek(uint64_t addr, void *buf, size_t len);

#endif
