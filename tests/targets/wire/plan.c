/*
 * The plan of faults. It is a function of the seed, the direction, and the
 * number of the frame in this direction; nothing is remembered from one frame
 * to the next, so that the same seed and the same frames meet the same faults,
 * whatever the other direction does.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* The first of the random numbers of a frame; lane.c has others. */
#define RANDOM_FAULT 0

const char *const fault_names[FAULT_COUNT] = {
    [FAULT_NONE] = "none",
    [FAULT_DROP] = "drop",
    [FAULT_DOUBLE] = "double",
    [FAULT_REORDER] = "reorder",
    [FAULT_DELAY] = "delay",
    [FAULT_CORRUPT] = "corrupt",
};

static bool parse_chance(const char *text, double *chance)
{
    char *end;

    *chance = strtod(text, &end);
    if (end != text && *end == '/') {
        text = end + 1;
        *chance /= strtod(text, &end);
    }
    return end != text && !*end && *chance >= 0 && *chance <= 1;
}

bool plan_parse(Plan *plan, const char *text)
{
    const char *equal = strchr(text, '=');
    double sum = 0, chance;

    if (!equal || !parse_chance(equal + 1, &chance)) {
        return false;
    }
    for (Fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        if (strlen(fault_names[fault]) == equal - text &&
            !strncmp(text, fault_names[fault], equal - text)) {
            plan->chance[fault] = chance;
            equal = NULL;
        }
        sum += plan->chance[fault];
    }
    return !equal && sum <= 1;
}

/* A bijection that mixes all bits: the finaliser of MurmurHash3. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

uint64_t plan_random(const Plan *plan, unsigned lane, uint64_t number,
                     unsigned what, uint64_t limit)
{
    uint64_t x = mix(plan->seed + 0x9e3779b97f4a7c15ull);

    return mix(mix(x ^ (lane << 8 | what)) + number) % limit;
}

Fault plan_next(Plan *plan, unsigned lane, uint64_t number)
{
    const uint64_t one = 1ull << 32;
    double dice;

    if (!plan->left) {
        return FAULT_NONE;
    }
    dice = plan_random(plan, lane, number, RANDOM_FAULT, one) / (double)one;
    for (Fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        dice -= plan->chance[fault];
        if (dice < 0) {
            plan->done[fault]++;
            if (plan->left != PLAN_UNLIMITED) {
                plan->left--;
            }
            return fault;
        }
    }
    return FAULT_NONE;
}
