/*
 * The plan of faults: what befalls each frame of the wire.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WIRE_PLAN_H
#define WIRE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* What can happen to a frame. Names of these are in fault_names. */
typedef enum Fault {
    FAULT_NONE,
    FAULT_DROP,             /* it is gone */
    FAULT_DOUBLE,           /* it comes twice */
    FAULT_REORDER,          /* up to three later ones overtake it */
    FAULT_DELAY,            /* it waits, and those behind it with it */
    FAULT_CORRUPT,          /* one bit of it is another */
    FAULT_COUNT,
} Fault;

extern const char *const fault_names[FAULT_COUNT];

typedef struct Plan {
    uint64_t seed;
    double chance[FAULT_COUNT]; /* of each fault, for each frame */
    uint64_t left;              /* faults to do before all frames pass */
    uint64_t done[FAULT_COUNT]; /* counters */
} Plan;

/* Without a limit on the number of faults, in Plan.left. */
#define PLAN_UNLIMITED UINT64_MAX

/*
 * Sets chances from a text "KIND=P", where P is 0.005 or 1/200. False when it
 * is wrong, or all chances together are above 1.
 */
bool plan_parse(Plan *plan, const char *text);

/* What befalls frame @number of direction @lane. Counts it. */
Fault plan_next(Plan *plan, unsigned lane, uint64_t number);

/*
 * A number below @limit, to carry out the fault of that frame. It depends on
 * the seed and these arguments only; @what tells several of a frame apart.
 */
uint64_t plan_random(const Plan *plan, unsigned lane, uint64_t number,
                     unsigned what, uint64_t limit);

#endif
