/*
 * An iSCSI target in memory: one portal, one target, one logical unit (RFC 7143,
 * SPC-5, SBC-4), and as unwilling or wrong as a test wants.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ISCSI_DOUBLE_H
#define ISCSI_DOUBLE_H

#include "world.h"

#define ISCSI_DOUBLE_SIZE (4u << 20)
#define ISCSI_DOUBLE_TARGET "iqn.2026-11.test:disk"

/* How it tries to pass for the target that knows @mutual_secret. */
typedef enum IscsiRogue {
    ROGUE_NONE,
    ROGUE_NO_LOGIN,             /* the login is over at once */
    ROGUE_EARLY_PROOF,          /* zeroes, before there was a challenge */
    ROGUE_NO_PROOF,
    ROGUE_OTHER_SECRET,
} IscsiRogue;

typedef struct IscsiDouble {
    MemoryNet *net;
    uint8_t *disk;
    uint64_t size;
    uint32_t block_size;
    bool read_only;
    bool no_cache, no_fua;      /* WCE=0; DPOFUA=0, and FUA is refused */
    uint8_t naa;                /* each byte of its name, the disk's identity */
    bool no_names;              /* no VPD 83h */
    bool no_limits;             /* of UNMAP and WRITE SAME */
    uint8_t device_type;        /* and peripheral qualifier: of INQUIRY */
    unsigned window;            /* commands that it takes at once */
    unsigned login_status;      /* class and detail; 0: fine */
    const char *redirect;       /* with status 0x0101: to there, once */
    bool close_refused;         /* ends a connection that it refused */
    bool mute_discovery;
    const char *more_keys;      /* of its last Login Response: "A=b|C=d" */
    bool digest;                /* wants header digests */
    const char *secret;         /* CHAP, of ours and of its own; or NULL */
    const char *mutual_secret;
    IscsiRogue rogue;
    bool hold;                  /* commands wait for release */
    bool silent;                /* no answer at all */
    bool lenient;               /* with data that it did not ask for */
    uint32_t r2t_max;           /* bytes that one R2T asks for */

    /*
     * The next @fail_count commands with operation code @fail_op end with
     * @fail_status, and with sense when that is CHECK CONDITION (2).
     */
    unsigned fail_op, fail_count, fail_status;
    uint8_t key;
    uint16_t ascq;
    uint8_t sense_type;         /* response code: 70h, if it is 0 */
    bool overflow;              /* residual of all answers */
    /* A unit attention that the next command but INQUIRY is told; 0: none. */
    uint16_t attention;

    /* What was seen. */
    unsigned calls[256];        /* by operation code */
    unsigned logins, connections, nops, data_outs;
    unsigned late_data_outs;    /* for commands that were answered */
    uint8_t late_byte;          /* which all of that data must be */
    uint8_t itt[4];             /* of the last PDU */
    uint8_t isid[6];
    char *keys;                 /* of the last login: "A=b C=d " */
    uint8_t cdb[16];            /* the last one */

    GQueue held;
    GList *conns;
} IscsiDouble;

IscsiDouble *iscsi_double_new(SnLoop *loop, uint32_t seed);
void iscsi_double_free(IscsiDouble *d);
/* Answers what is held, the last command first. */
void iscsi_double_release(IscsiDouble *d);
/* Drops what is held, as a reset does that nobody is told of. */
void iscsi_double_drop(IscsiDouble *d);
/* Answers all commands, whatever is missing of their data. */
void iscsi_double_answer_all(IscsiDouble *d, uint8_t status);
/* Sends a PDU with this BHS, with serials filled in, on all connections. */
void iscsi_double_send(IscsiDouble *d, const uint8_t *bhs, const void *data,
                       uint32_t len);
/* The same with an asynchronous message. */
void iscsi_double_tell_event(IscsiDouble *d, uint8_t event);

/* A world with this far side. */
World *iscsi_world_new(uint32_t seed);
/* Opens iscsi://portal/TARGET/1 with @params. */
void iscsi_world_open(World *w, const char *params);
void iscsi_world_open_ready(World *w, const char *params);
void iscsi_world_free(World *w);

#endif
