/*
 * smartnic-nfs.so.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "backend.h"
#include "smartnic/module.h"

static const SnBackendOps *const backends[] = { &sn_nfs_backend, NULL };

const SnModule sn_module = SN_MODULE(backends);
