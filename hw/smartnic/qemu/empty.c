/*
 * Nothing: a shared module has to have one source of its own, and all of the
 * plugin is in libraries.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
typedef int sn_nothing_here;
