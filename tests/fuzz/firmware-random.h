/*
 * Numbers that the fuzzer can guess.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FIRMWARE_RANDOM_H
#define FIRMWARE_RANDOM_H

/* From now on the same numbers come as after the last call. */
void firmware_random_reset(void);

#endif
