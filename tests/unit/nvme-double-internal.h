/*
 * The NVMe/TCP double inside: nvme-double.c has connections, PDUs and I/O
 * commands, nvme-double-admin.c has Fabrics and admin commands.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NVME_DOUBLE_INTERNAL_H
#define NVME_DOUBLE_INTERNAL_H

#include "nvme-double.h"

#define SUCCESS 0

typedef struct Conn {
    NvmeDouble *d;
    MemoryStream *ms;
    GByteArray *in;
    GList *commands;            /* of Command */
    bool initialized, hdgst, ddgst, fabrics_connected, no_flow, discovery;
    uint16_t qid;
    int event_cid;              /* of the event request, or -1 */
    uint16_t sqhd;
} Conn;

typedef struct Command {
    Conn *conn;
    uint8_t sqe[64];
    uint16_t cid;
    uint8_t *data;
    uint32_t len, have;         /* of data to come */
    uint16_t ttag;
    uint32_t r2t_end;           /* of the R2T in flight; 0: none */
    bool ready;                 /* to be carried out */
} Command;
static inline uint16_t get16(const uint8_t *p) { return p[0] | p[1] << 8; }

static inline uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static inline uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static inline void put(uint8_t *p, uint64_t v, unsigned size)
{
    while (size--) {
        *p++ = v;
        v >>= 8;
    }
}

/* nvme-double.c: the response ends the command, and frees it. */
void nvme_double_free_command(Command *cmd);
void nvme_double_respond(Command *cmd, uint64_t dw01, uint16_t status);
/* Sends data in PDUs, and the response unless SUCCESS stands for it. */
void nvme_double_respond_data(Command *cmd, const uint8_t *data, uint32_t len);

/* nvme-double-admin.c: carries out a command of the admin queue. */
void nvme_double_admin(Command *cmd);
/* One that the host passes on as it is, of either queue. */
void nvme_double_passed(Command *cmd);

#endif
