/*
 * The NVMe controller that the guest sees (NVMe Base 1.4, with the Identify
 * structures of 2.0 that current drivers ask for): registers, queues, commands
 * and namespaces, each of which is an SnVolume. What carries it to the guest,
 * a PCI function, is somebody else: hw/smartnic/qemu/nvme-pci.c, or a test.
 *
 * All calls happen in the card's thread. Nothing here waits for the network,
 * and no content of registers, queues or guest memory can make it abort.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_CTRL_H
#define SN_CTRL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "smartnic/dma.h"
#include "smartnic/loop.h"
#include "smartnic/volume.h"

typedef struct SnCtrl SnCtrl;
typedef struct SnCtrlNs SnCtrlNs;

#define SN_CTRL_MAX_QUEUE_PAIRS 64      /* I/O queue pairs */
#define SN_CTRL_MAX_ENTRIES     4096
#define SN_CTRL_MAX_NSID        256     /* NN: namespaces are 1 to this */
#define SN_CTRL_MAX_VECTORS     (SN_CTRL_MAX_QUEUE_PAIRS + 1)

/* Bytes of the register block: what precedes the doorbells, and all of it. */
#define SN_CTRL_DOORBELLS 0x1000
#define SN_CTRL_REGS_SIZE 0x2000

/* What the function's PCI side does for the controller. All must be set. */
typedef struct SnCtrlOps {
    /*
     * One message on MSI-X or MSI vector @vector (0 to SN_CTRL_MAX_VECTORS -
     * 1). Ignored while neither is enabled. The guest may direct a message at
     * registers, so an implementation sends such a one from a bottom half.
     */
    void (*notify)(void *opaque, unsigned vector);
    /* Messages that have not left yet shall not do so any more. */
    void (*forget_messages)(void *opaque);
    /* The level of the interrupt pin changed; MSI and MSI-X do not care. */
    void (*set_pin)(void *opaque, bool level);
    /*
     * Doorbell writes at @offset shall (@on), or shall no longer, come as
     * sn_ctrl_doorbell_event(), without a value: with the Doorbell Buffer
     * Config command the value is in memory. It is an optimization and may do
     * nothing, whereupon the writes come as before.
     */
    void (*doorbell_event)(void *opaque, unsigned offset, bool on);
} SnCtrlOps;

typedef struct SnCtrlConfig {
    const char *id;             /* names it in messages; copied */
    const char *serial;         /* 1 to 20 printable characters; copied */
    unsigned queue_pairs;       /* 1 to SN_CTRL_MAX_QUEUE_PAIRS */
    unsigned vectors;           /* 1 to SN_CTRL_MAX_VECTORS */
    unsigned entries;           /* of a queue, 2 to SN_CTRL_MAX_ENTRIES */
    uint32_t ready_timeout;     /* ms: how long enabling waits for volumes */
    uint16_t pci_vendor, pci_subsystem_vendor;  /* for Identify */
    uint16_t cntlid;            /* controller identifier */
    SnLoop *loop;               /* outlives the controller */
    SnDma *dma;                 /* likewise */
    const SnCtrlOps *ops;
    void *opaque;               /* for @ops */
} SnCtrlConfig;

/* The caller has checked the limits above. It owns the controller. */
SnCtrl *sn_ctrl_new(const SnCtrlConfig *config);

/*
 * Stops every DMA at once, closes the volumes as sn_volume_close() says, and
 * frees. May be called with the controller's own code on the stack no more
 * than sn_volume_close() may: from the events of a volume, that is, but not
 * from inside SnCtrlOps.
 */
void sn_ctrl_free(SnCtrl *ctrl);

/*
 * The register block (Base 1.4 section 3.1): @offset below SN_CTRL_REGS_SIZE,
 * @size 1, 2, 4 or 8 bytes, any alignment.
 */
uint64_t sn_ctrl_read(SnCtrl *ctrl, unsigned offset, unsigned size);
void sn_ctrl_write(SnCtrl *ctrl, unsigned offset, uint64_t value,
                   unsigned size);

/* See SnCtrlOps.doorbell_event. */
void sn_ctrl_doorbell_event(SnCtrl *ctrl, unsigned offset);

/*
 * As after power on, but namespaces and what SMART counts stay: for a PCI reset
 * or a function level reset. Afterwards there is no DMA and no interrupt.
 */
void sn_ctrl_reset(SnCtrl *ctrl);

/*
 * Whether there may be DMA and interrupts: bus mastering is on and the virtual
 * machine runs. When this becomes false, every guest page is let go of at
 * once. Commands wait, and begin again when it becomes true. At first it is
 * false.
 */
void sn_ctrl_set_running(SnCtrl *ctrl, bool running);

/*
 * How interrupts go: by the pin, as at first, or by messages, when the pin is
 * low. INTMS and INTMC mask the pin and MSI; MSI-X has masks of its own
 * (section 3.1.3).
 */
typedef enum SnCtrlInterrupts {
    SN_CTRL_PIN,
    SN_CTRL_MSI,
    SN_CTRL_MSIX,
} SnCtrlInterrupts;

void sn_ctrl_use_interrupts(SnCtrl *ctrl, SnCtrlInterrupts interrupts);

/* ---- namespaces ---- */

typedef struct SnCtrlNsConfig {
    uint32_t nsid;              /* 1 to SN_CTRL_MAX_NSID */
    const char *url;            /* of the volume; copied */
    const char *id;             /* names the volume in messages; copied */
    const char *host;           /* see SnVolumeConfig */
    SnNet *net;                 /* likewise */
} SnCtrlNsConfig;

/*
 * Opens the volume. The guest sees the namespace as soon as that is READY: at
 * boot before the controller is, later with an asynchronous event. NULL and
 * @err, one line, when nsid is out of range or in use, or the URL is wrong. The
 * controller owns the namespace.
 */
SnCtrlNs *sn_ctrl_add_namespace(SnCtrl *ctrl, const SnCtrlNsConfig *config,
                                GError **err);

/*
 * Fails its commands with Invalid Namespace or Format, tells the guest, closes
 * the volume as sn_volume_close() says. From wherever that may be called.
 */
void sn_ctrl_remove_namespace(SnCtrl *ctrl, SnCtrlNs *ns);

/* The volume, for what sn_volume_state() and its like tell. Not to submit. */
SnVolume *sn_ctrl_ns_volume(SnCtrlNs *ns);
uint32_t sn_ctrl_ns_id(const SnCtrlNs *ns);

/* ---- figures ---- */

/*
 * How long commands of the I/O queue pair @qid took from being fetched to being
 * completed; NULL when there is no such submission queue.
 */
const SnLatency *sn_ctrl_queue_latency(SnCtrl *ctrl, unsigned qid);

/* Register CSTS, for whoever looks from outside. */
uint32_t sn_ctrl_status(const SnCtrl *ctrl);

#define SN_CTRL_ERROR sn_ctrl_error_quark()
GQuark sn_ctrl_error_quark(void);
typedef enum SnCtrlErrorCode {
    SN_CTRL_ERROR_NSID,         /* out of range, or in use */
} SnCtrlErrorCode;

#endif
