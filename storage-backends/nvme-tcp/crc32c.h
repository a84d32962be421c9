/*
 * CRC32C (Castagnoli), the checksum of NVMe/TCP's header and data digests.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_CRC32C_H
#define SN_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of what @crc covers followed by @len bytes at @buf; @crc is 0
 * for nothing. So data in pieces is summed by passing each result on.
 */
uint32_t sn_crc32c(uint32_t crc, const void *buf, size_t len);

/* The same without special instructions; for tests and other processors. */
uint32_t sn_crc32c_portable(uint32_t crc, const void *buf, size_t len);

#endif
