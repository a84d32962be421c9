/*
 * Reservations of a namespace (NVMe Base section 8.19): which hosts are
 * registered, which of them hold it, and what that means for the others.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_RESERVATION_H
#define TARGET_RESERVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define HOSTID_LEN 16
#define REGISTRANTS_MAX 16

struct Request;

typedef struct Registrant {
    bool used;
    uint8_t hostid[HOSTID_LEN];
    uint64_t key;
} Registrant;

typedef struct Reservations {
    uint32_t nsid;
    uint32_t generation;        /* changes of registrations */
    /*
     * Persist Through Power Loss. As the data in memory, they are lost with
     * the program all the same.
     */
    bool ptpl;
    unsigned type;              /* RTYPE; 0: nobody holds one */
    /* Who does, unless all registrants do. */
    const Registrant *holder;
    Registrant registrants[REGISTRANTS_MAX];
} Reservations;

/* Whether the host may read, or @write, the blocks. */
bool reservations_allow(const Reservations *v, const uint8_t *hostid,
                        bool write);

/*
 * Reservation Register, Acquire, Release and Report. Returns the status,
 * unless it has @answered with data.
 */
unsigned reservation_command(struct Request *r, Reservations *v,
                             bool *answered);

#endif
