/*
 * What an I/O command is about, as far as its order with others matters.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_SCOPE_H
#define SN_NVMETCP_SCOPE_H

#include "smartnic/nvme.h"

typedef struct SnNvmeScope {
    /* It changes blocks or reservations: it must not happen late. */
    bool changes;
    uint64_t slba, nlb;         /* blocks that it touches; nlb 0: none */
} SnNvmeScope;

SnNvmeScope sn_nvme_scope(const SnNvmeSqe *sqe);

/* Whether there is a block that both touch. */
bool sn_nvme_scopes_overlap(const SnNvmeScope *a, const SnNvmeScope *b);

#endif
