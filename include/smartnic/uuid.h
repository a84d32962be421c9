/*
 * UUIDs that are made of names.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_UUID_H
#define SMARTNIC_UUID_H

#include <stdint.h>

/*
 * Fills @uuid, 16 bytes, with a UUID of version 5 (RFC 4122 section 4.3):
 * always the same one for the same @name. Any thread.
 */
void sn_uuid_from_name(const char *name, uint8_t *uuid);

#endif
