/*
 * What lwIP asks its port about the compiler and the platform.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_ARCH_CC_H
#define SMARTNIC_FIRMWARE_ARCH_CC_H

#include <stdint.h>
#include <stdlib.h>

/*
 * lwIP's assertions check its own invariants. A peer may be able to break one
 * (that is a bug in lwIP), so they never end the process: each is reported and
 * counted, and lwIP goes on as its release builds (LWIP_NOASSERT) always do.
 */
void sn_fw_lwip_assert(const char *what);
#define LWIP_PLATFORM_ASSERT(x) sn_fw_lwip_assert(x)
/* Debug output is compiled out; this keeps its macro free of printf. */
#define LWIP_PLATFORM_DIAG(x)   do { } while (0)

/* Every call into lwIP is made between sn_fw_enter() and sn_fw_leave(). */
extern unsigned sn_fw_entered;
#define LWIP_ASSERT_CORE_LOCKED() \
    do { \
        if (!sn_fw_entered) { \
            sn_fw_lwip_assert("lwIP called outside of its bracket"); \
        } \
    } while (0)

uint32_t sn_fw_rand(void);
#define LWIP_RAND() sn_fw_rand()

uint16_t sn_fw_chksum(const void *data, int len);
#define LWIP_CHKSUM sn_fw_chksum

#endif
