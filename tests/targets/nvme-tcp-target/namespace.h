/*
 * Namespaces: blocks in memory, anonymous or of a mapped file.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_NAMESPACE_H
#define TARGET_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "bad-blocks.h"
#include "reservation.h"

#define NS_MAX 32               /* NSIDs are 1 to this */

typedef struct Ns {
    bool active;
    uint32_t nsid;
    uint64_t size;              /* bytes */
    unsigned shift;             /* log2 of the block size */
    uint8_t *data;              /* a mapping of @reserved bytes */
    uint64_t reserved;
    int fd;                     /* of the file, or -1 */
    uint8_t uuid[16];
    BadBlocks bad;
    Reservations reservations;
} Ns;

/* The active namespace of that number, or NULL. */
Ns *ns_find(uint32_t nsid);

/*
 * Makes a namespace of @size bytes in blocks of 512 or 4096; @path: the file
 * that has the data, or NULL; @uuid: NULL for one that depends on @nsid and
 * the subsystem's name only. NULL, or in words why not; a literal.
 */
const char *ns_add(uint32_t nsid, uint64_t size, unsigned block,
                   const char *path, const uint8_t *uuid);
/* The same for the operand of --ns: "ID,size=64M[,block=][,file=][,uuid=]". */
const char *ns_add_text(const char *text);
const char *ns_resize(uint32_t nsid, uint64_t size);
const char *ns_remove(uint32_t nsid);

/* Both return false when the storage behind has an error. */
bool ns_flush(Ns *ns);
bool ns_zero(Ns *ns, uint64_t offset, uint64_t len);

#endif
