/*
 * An NVMe controller without a guest: memory, a driver's queues, volumes that
 * do what the test says, virtual time. What the tests of hw/smartnic/nvme have
 * in common.
 *
 * Memory is an array at guest address 0, with a hole and a read-only range in
 * it. Every map is counted, so what the controller should have let go of is
 * found, and DMA or an interrupt while it must not have any fails the test.
 *
 * URLs: mem:// is the real backend. scripted:// holds every request until the
 * test completes it; it stands in the place of null://, which is not here.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CTRL_WORLD_H
#define CTRL_WORLD_H

#include "ctrl.h"
#include "smartnic/nvme.h"
#include "smartnic/volume.h"
#include "test-loop.h"

#define WORLD_RAM      (16u << 20)      /* bytes */
#define WORLD_PAGE     4096u
/* Here are registers, or nothing: no DMA is possible. */
#define WORLD_HOLE     0x300000u
#define WORLD_HOLE_END 0x310000u
/* Here is a ROM, right behind the hole. */
#define WORLD_ROM      0x310000u
#define WORLD_ROM_END  0x320000u
/* No map goes across this address: it is not contiguous for the host. */
#define WORLD_SEAM     0x400000u
/* From here on world_alloc() takes memory. */
#define WORLD_HEAP     0x500000u

#define WORLD_MEM_SIZE (4u << 20)       /* bytes of world_add_mem() */
#define WORLD_BLOCK    512u             /* of every volume, unless changed */

/* A driver's view of the queue pair with its index as both identifiers. */
typedef struct WorldQueue {
    uint64_t sq, cq;            /* guest addresses; 0: there is none */
    unsigned entries;
    unsigned tail;              /* of the submission queue */
    unsigned head;              /* of the completion queue */
    unsigned phase;             /* of the next completion entry */
    unsigned sq_head;           /* as the last completion entry told */
} WorldQueue;

typedef struct World {
    SnLoop *loop;
    SnDma dma;
    SnCtrl *ctrl;
    SnCtrlConfig config;
    uint8_t *ram;
    uint8_t *frozen;            /* see world_freeze() */
    uint64_t hole, hole_end;    /* one more hole, for tests to set */
    uint64_t next_free;         /* world_alloc() */
    unsigned holds;             /* maps without an unmap */
    unsigned maps;              /* that ever were */
    bool running;               /* see world_set_running() */
    bool strict;                /* DMA while not running fails the test */
    uint16_t next_cid;
    WorldQueue queues[SN_CTRL_MAX_QUEUE_PAIRS + 1];

    /* What the controller has asked its function for. */
    unsigned notifies[SN_CTRL_MAX_VECTORS];
    unsigned notify_total;
    unsigned forgotten;         /* how often messages under way were */
    bool pin;
    unsigned pin_changes;
    GHashTable *events;         /* offsets with doorbell events on */
    /* Called from inside notify(), when set. */
    void (*on_notify)(struct World *w, unsigned vector);
    /* Called when @len bytes at @addr have been written, when set. */
    void (*on_write)(struct World *w, uint64_t addr, size_t len);
    GString *log;               /* lines, each with E, W or I before it */
} World;

/* 4 queue pairs, 5 vectors, 64 entries; running, not enabled, no namespace. */
World *world_new(void);
/* The same; what is not 0 in @config is taken from there. */
World *world_new_with(const SnCtrlConfig *config);
/* Frees, also what is in flight. Nothing may be left mapped. */
void world_free(World *w);
/* Frees the controller only. */
void world_free_ctrl(World *w);

/* ---- memory ---- */

/* @size bytes of guest memory, at a multiple of @align, zeroed. */
uint64_t world_alloc(World *w, size_t size, size_t align);
/* A page of it. */
uint64_t world_page(World *w);
/* The host's address of guest memory. */
void *world_at(World *w, uint64_t addr);
/* Expects that nothing is mapped. */
void world_expect_unmapped(World *w);
/* From now on nothing may change guest memory, until it is expected ... */
void world_freeze(World *w);
/* ... that nothing has, and nothing is mapped. */
void world_expect_frozen(World *w);

/* ---- registers and time ---- */

uint32_t world_read32(World *w, unsigned offset);
uint64_t world_read64(World *w, unsigned offset);
void world_write32(World *w, unsigned offset, uint32_t value);
void world_write64(World *w, unsigned offset, uint64_t value);
/* Runs bottom halves until nothing is left to do at this time. */
void world_run(World *w);
void world_advance_ms(World *w, unsigned ms);
void world_set_running(World *w, bool running);

/*
 * Sets up the admin queue and enables; @cc is added to EN, IOSQES and IOCQES.
 * The first one expects the controller to become ready at once.
 */
void world_enable(World *w);
void world_enable_cc(World *w, uint32_t cc);
/* CC.EN = 0, and forgets the queues. */
void world_disable(World *w);

/* ---- queues and commands ---- */

/*
 * Creates I/O queue pairs 1 to @count with commands; each with interrupts on
 * the vector of its number, if there is such a one, else on vector 0.
 */
void world_create_queues(World *w, unsigned count, unsigned entries);
/* One pair, of the priority @qprio (0 is urgent). */
void world_create_queue(World *w, unsigned qid, unsigned entries,
                        unsigned qprio);
/* Writes @sqe with a new CID to the queue, without telling. Returns the CID. */
uint16_t world_push(World *w, unsigned qid, const SnNvmeSqe *sqe);
/* The same with the CID of @sqe. */
void world_push_cid(World *w, unsigned qid, const SnNvmeSqe *sqe);
/* Writes the tail doorbell. */
void world_ring(World *w, unsigned qid);
/* world_push() and world_ring(). */
uint16_t world_submit(World *w, unsigned qid, const SnNvmeSqe *sqe);
/* Offsets of the doorbells in the register block. */
unsigned world_sq_doorbell(unsigned qid);
unsigned world_cq_doorbell(unsigned qid);

/* The next completion, if there is one; the doorbell is left alone. */
bool world_take_cqe(World *w, unsigned qid, SnNvmeCqe *cqe);
/* Writes the head doorbell. */
void world_ring_cq(World *w, unsigned qid);
/* Lets up to 60 s pass until a completion comes; takes it, rings. */
SnNvmeCqe world_wait_cqe(World *w, unsigned qid);
/* Runs, without time passing, and expects that there is no completion. */
void world_expect_no_cqe(World *w, unsigned qid);

/* Submits, and waits for the completion, which must be this command's. */
SnNvmeCqe world_io(World *w, unsigned qid, const SnNvmeSqe *sqe);
SnNvmeCqe world_admin(World *w, const SnNvmeSqe *sqe);
/* Likewise; the status with SN_NVME_STATUS_DNR, 0 for success. */
unsigned world_io_status(World *w, unsigned qid, const SnNvmeSqe *sqe);
unsigned world_admin_status(World *w, const SnNvmeSqe *sqe);
unsigned world_cqe_status(const SnNvmeCqe *cqe);

/* Submits an Asynchronous Event Request. Returns its CID. */
uint16_t world_ask_event(World *w);
/* Runs, without time passing; expects its completion, with this dword 0. */
void world_expect_event(World *w, uint16_t cid, uint32_t event);

/* Read, write or compare of @blocks blocks with these PRPs. */
SnNvmeSqe world_rw(uint8_t opcode, uint32_t nsid, uint64_t slba,
                   unsigned blocks, uint64_t prp1, uint64_t prp2);

/* ---- namespaces ---- */

/* mem://, READY when this returns. */
SnCtrlNs *world_add_mem(World *w, uint32_t nsid);
/* Of any URL; what it wants of the loop has not run yet. */
SnCtrlNs *world_add_url(World *w, uint32_t nsid, const char *url);

#define WORLD_IN_FLIGHT 2048

/* The far side of a scripted:// volume. It lives as long as the volume. */
typedef struct WorldBackend {
    SnVolume *vol;
    SnVolumeInfo info;          /* for wb_ready(); 1 MiB with everything */
    bool started, ready;
    SnIo *ios[WORLD_IN_FLIGHT]; /* with the far side, oldest first */
    unsigned n;
    unsigned submits, kicks, cancels;
    const unsigned *holds;      /* of the world */
    unsigned holds_at_cancel;   /* what was mapped at the last cancel */
} WorldBackend;

/* CONNECTING when this returns; started, so that wb_ready() may come. */
WorldBackend *world_add_scripted(World *w, uint32_t nsid);
/* The same, with a host, a path or options in its URL. */
WorldBackend *world_add_scripted_url(World *w, uint32_t nsid, const char *url);
/* READY when this returns. */
WorldBackend *world_add_scripted_ready(World *w, uint32_t nsid);
void wb_ready(WorldBackend *be);
void wb_lost(WorldBackend *be, bool permanent);
/* wb->info was changed. */
void wb_info_changed(WorldBackend *be);
/* Another host took away a reservation: RNLPT of log page 80h, 1 to 3. */
void wb_reservation(WorldBackend *be, uint8_t type);
/* Completes the request at @index, or all in one batch. */
void wb_done(WorldBackend *be, unsigned index, int ret);
void wb_done_all(WorldBackend *be, int ret);

#endif
