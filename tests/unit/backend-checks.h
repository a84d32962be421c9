/*
 * What every backend of a module has to stand, whatever its protocol.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BACKEND_CHECKS_H
#define BACKEND_CHECKS_H

#include "world.h"

/* @url is refused, with one line that has @words in it. */
void check_refused(World *w, const char *url, const char *words);
/* @url is taken; then the volume is in @state, with @words in its error. */
void check_error(World *w, const char *url, SnVolumeState state,
                 const char *words);

/* The far side of check_many(). */
typedef struct ManySide {
    bool *hold;                     /* keeps requests until release() */
    void (*release)(World *w);      /* answers them, the last one first */
    void (*lose)(World *w);         /* ends the connections */
    const uint8_t *disk;
} ManySide;

/* Many writes in flight, answered backwards, with losses in between. */
void check_many(World *w, const ManySide *side);

/* Flips three bits of @a, from byte @from on. */
void flip_bits(GByteArray *a, unsigned from, GRand *rand);

#endif
