/*
 * Big-endian integers at any address, as packets, SCSI and XDR have them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_BE_H
#define SMARTNIC_BE_H

#include <stdint.h>

static inline uint16_t sn_get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static inline uint32_t sn_get_be32(const uint8_t *p)
{
    return (uint32_t)sn_get_be16(p) << 16 | sn_get_be16(p + 2);
}

static inline uint64_t sn_get_be64(const uint8_t *p)
{
    return (uint64_t)sn_get_be32(p) << 32 | sn_get_be32(p + 4);
}

static inline void sn_put_be16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static inline void sn_put_be32(uint8_t *p, uint32_t v)
{
    sn_put_be16(p, v >> 16);
    sn_put_be16(p + 2, v);
}

static inline void sn_put_be64(uint8_t *p, uint64_t v)
{
    sn_put_be32(p, v >> 32);
    sn_put_be32(p + 4, v);
}

#endif
