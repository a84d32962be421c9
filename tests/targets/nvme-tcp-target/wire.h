/*
 * What goes over the wire: PDUs (NVMe TCP Transport Specification 1.0c section
 * 3.6), queue entries (NVMe Base Specification 2.0 section 3.3.3) and those
 * constants that libnvme has no names for. All of it is little endian, as the
 * machines that this program runs on.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_WIRE_H
#define TARGET_WIRE_H

#include <assert.h>
#include <stdint.h>
#include <nvme/types.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little endian only");

typedef enum PduType {
    PDU_ICREQ = 0,
    PDU_ICRESP = 1,
    PDU_H2C_TERM_REQ = 2,
    PDU_C2H_TERM_REQ = 3,
    PDU_CAPSULE_CMD = 4,
    PDU_CAPSULE_RESP = 5,
    PDU_H2C_DATA = 6,
    PDU_C2H_DATA = 7,
    PDU_R2T = 9,
} PduType;

enum {
    PDU_FLAG_HDGST = 1 << 0,
    PDU_FLAG_DDGST = 1 << 1,
    PDU_FLAG_LAST = 1 << 2,
    PDU_FLAG_SUCCESS = 1 << 3,
};

/* Fatal error status of a C2HTermReq (section 3.6.2.4). */
typedef enum Fes {
    FES_HEADER_FIELD = 1,
    FES_SEQUENCE = 2,
    FES_HEADER_DIGEST = 3,
    FES_OUT_OF_RANGE = 4,
    FES_LIMIT = 5,
    FES_UNSUPPORTED = 6,
} Fes;

typedef struct PduHead {
    uint8_t type;
    uint8_t flags;
    uint8_t hlen;
    uint8_t pdo;
    uint32_t plen;
} PduHead;

/* ICReq and ICResp differ in the names of two fields only. */
typedef struct PduInit {
    PduHead head;
    uint16_t pfv;
    uint8_t align;              /* HPDA or CPDA: in dwords, less one */
    uint8_t dgst;               /* bit 0: header, bit 1: data */
    uint32_t limit;             /* MAXR2T less one, or MAXH2CDATA in bytes */
    uint8_t reserved[112];
} PduInit;
static_assert(sizeof(PduInit) == 128, "section 3.6.2.1");

/* Followed by the start of the PDU that was wrong. */
typedef struct __attribute__((packed)) PduTerm {
    PduHead head;
    uint16_t fes;
    uint32_t fei;
    uint8_t reserved[10];
} PduTerm;
static_assert(sizeof(PduTerm) == 24, "section 3.6.2.4");
#define PDU_TERM_DATA_MAX 128

typedef struct Sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t cid;
    union {
        uint32_t nsid;
        uint8_t fctype;         /* of Fabrics commands */
    };
    uint32_t cdw2, cdw3;
    uint64_t mptr;
    uint64_t sgl_addr;
    uint32_t sgl_len;
    uint8_t sgl_reserved[3];
    uint8_t sgl_type;
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} Sqe;
static_assert(sizeof(Sqe) == 64, "section 3.3.3.1");

typedef struct Cqe {
    union {
        uint64_t result;
        uint32_t dw0;
    };
    uint16_t sqhd;
    uint16_t sqid;
    uint16_t cid;
    uint16_t status;            /* bit 0: phase, 0 over Fabrics */
} Cqe;
static_assert(sizeof(Cqe) == 16, "section 3.3.3.2");

typedef struct PduCommand {
    PduHead head;
    Sqe sqe;
} PduCommand;

typedef struct PduResponse {
    PduHead head;
    Cqe cqe;
} PduResponse;

/* H2CData, C2HData (no TTAG there) and R2T have the same fields. */
typedef struct PduData {
    PduHead head;
    uint16_t cid;
    uint16_t ttag;
    uint32_t offset;
    uint32_t len;
    uint8_t reserved[4];
} PduData;
static_assert(sizeof(PduData) == 24, "section 3.6.2.7");

#define DIGEST_LEN 4
/* PDO is a byte that counts multiples of four. */
#define PDU_PAD_MAX 128

enum {
    SQE_PSDT_MASK = 3 << 6,
    SQE_PSDT_SGL = 1 << 6,
    SQE_FUSED = 3,
    SGL_IN_CAPSULE = 0x01,      /* data block, its address is an offset */
    SGL_TRANSPORT = 0x5a,       /* transport data block: by R2T, C2HData */
};

/* Opcode of every Fabrics command, and their FCTYPE. */
enum {
    OPCODE_FABRICS = 0x7f,
    FCTYPE_PROPERTY_SET = 0x00,
    FCTYPE_CONNECT = 0x01,
    FCTYPE_PROPERTY_GET = 0x04,
    FCTYPE_DISCONNECT = 0x08,
};

/* Status: code, type of code << 8, and "do not retry". */
#define STATUS_DNR 0x4000u
#define STATUS_IO(sc) (sc)
#define STATUS_COMMAND(sc) (1u << 8 | (sc))
#define STATUS_TRANSIENT_TRANSPORT 0x22u
#define STATUS_COMPARE_FAILURE 0x285u
#define STATUS_READ_ERROR 0x281u

#define DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"
#define CNTLID_DYNAMIC 0xffff
#define NSID_ALL 0xffffffffu
#define ADMIN_IN_CAPSULE 8192

#endif
