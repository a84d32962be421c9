/*
 * UUIDs that are made of names (RFC 4122 section 4.3).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "smartnic/uuid.h"

#include <glib.h>
#include <string.h>

/* The namespace of our names. */
static const uint8_t space[16] = {
    0x5a, 0x1e, 0x8c, 0x3d, 0x0b, 0x47, 0x4f, 0x62,
    0x9d, 0x21, 0xc6, 0x70, 0x34, 0xe9, 0xb8, 0x15,
};

void sn_uuid_from_name(const char *name, uint8_t *uuid)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA1);
    uint8_t digest[20];
    gsize len = sizeof(digest);

    g_checksum_update(sum, space, sizeof(space));
    g_checksum_update(sum, (const guchar *)name, strlen(name));
    g_checksum_get_digest(sum, digest, &len);
    g_checksum_free(sum);
    memcpy(uuid, digest, 16);
    uuid[6] = (uuid[6] & 0x0f) | 0x50;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}
