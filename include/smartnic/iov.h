/*
 * The memory of a request, which is in pieces, and the same bytes in one piece.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_IOV_H
#define SMARTNIC_IOV_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Copies all of @iov to @to, which has room for it. */
static inline void sn_iov_gather(void *to, const struct iovec *iov,
                                 unsigned iovcnt)
{
    uint8_t *at = to;

    for (unsigned i = 0; i < iovcnt; i++) {
        memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
}

/* Whether @bytes, as many as @iov has, are the same. */
static inline bool sn_iov_equals(const struct iovec *iov, unsigned iovcnt,
                                 const void *bytes)
{
    const uint8_t *at = bytes;

    for (unsigned i = 0; i < iovcnt; i++) {
        if (memcmp(iov[i].iov_base, at, iov[i].iov_len)) {
            return false;
        }
        at += iov[i].iov_len;
    }
    return true;
}

#endif
