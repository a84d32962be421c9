/*
 * How long the requests of a volume took.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "volume-internal.h"

/* The number of bits that whole microseconds take. */
static unsigned bucket(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bits = us ? 64 - __builtin_clzll(us) : 0;

    return MIN(bits, SN_LATENCY_BUCKETS - 1);
}

void sn_volume_count_latency(SnVolume *vol, const SnIo *io)
{
    SnLatency *latency = &vol->latency[io->op];
    uint64_t ns = sn_volume_batch_time(vol) - io->submitted;

    latency->count++;
    latency->sum_ns += ns;
    latency->max_ns = MAX(latency->max_ns, ns);
    latency->buckets[bucket(ns)]++;
}

const SnLatency *sn_volume_latency(const SnVolume *vol, SnIoOp op)
{
    g_assert(op < SN_IO_OPS);
    return &vol->latency[op];
}
