/*
 * An NVMe controller without a guest, for unit tests.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"
#include "smartnic/backend.h"
#include "smartnic/log.h"

#define ADMIN_ENTRIES 32
#define PATIENCE (60 * SN_NS_PER_S)

/* ------------------------------------------------------- memory */

struct SnDmaHold {
    void *ptr;
    size_t len;
    bool writable;
};

static World *world_of(SnDma *dma)
{
    return (World *)((char *)dma - offsetof(World, dma));
}

/* How many bytes from @addr on are memory that may be used like this. */
static size_t usable(const World *w, uint64_t addr, size_t want, bool write)
{
    const uint64_t limits[][2] = {
        { WORLD_HOLE, WORLD_HOLE_END },
        { w->hole, w->hole_end },
        { write ? WORLD_ROM : 0, write ? WORLD_ROM_END : 0 },
        { WORLD_RAM, UINT64_MAX },
    };
    uint64_t len = want;

    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        if (addr >= limits[i][0] && addr < limits[i][1]) {
            return 0;
        }
        if (addr < limits[i][0]) {
            len = MIN(len, limits[i][0] - addr);
        }
    }
    return addr == UINT64_MAX ? 0 : len;
}

static void check_allowed(World *w)
{
    if (w->strict) {
        g_assert_true(w->running);
    }
    g_assert_null(w->frozen);
}

static bool dma_read(SnDma *dma, uint64_t addr, void *buf, size_t len)
{
    World *w = world_of(dma);

    check_allowed(w);
    if (!w->running || usable(w, addr, len, false) < len) {
        return false;
    }
    memcpy(buf, w->ram + addr, len);
    return true;
}

static void written(World *w, uint64_t addr, size_t len)
{
    if (w->on_write && len) {
        w->on_write(w, addr, len);
    }
}

static bool dma_write(SnDma *dma, uint64_t addr, const void *buf, size_t len)
{
    World *w = world_of(dma);

    check_allowed(w);
    if (!w->running || usable(w, addr, len, true) < len) {
        return false;
    }
    memcpy(w->ram + addr, buf, len);
    written(w, addr, len);
    return true;
}

static void *dma_map(SnDma *dma, uint64_t addr, size_t *len, bool writable,
                     SnDmaHold **hold)
{
    World *w = world_of(dma);

    check_allowed(w);
    g_assert_cmpuint(*len, >, 0);
    *len = usable(w, addr, *len, writable);
    if (!w->running || !*len) {
        return NULL;
    }
    if (addr < WORLD_SEAM) {
        *len = MIN(*len, WORLD_SEAM - addr);
    }
    *hold = g_new(SnDmaHold, 1);
    **hold = (SnDmaHold){ w->ram + addr, *len, writable };
    w->holds++;
    w->maps++;
    return (*hold)->ptr;
}

static void dma_unmap(SnDma *dma, SnDmaHold *hold, void *ptr, size_t len)
{
    World *w = world_of(dma);
    uint64_t addr = (uint8_t *)ptr - w->ram;

    g_assert_cmpuint(w->holds, >, 0);
    g_assert_true(ptr == hold->ptr);
    g_assert_cmpuint(len, <=, hold->writable ? hold->len : 0);
    w->holds--;
    g_free(hold);
    written(w, addr, len);
}

uint64_t world_alloc(World *w, size_t size, size_t align)
{
    uint64_t addr = (w->next_free + align - 1) / align * align;

    g_assert_cmpuint(addr + size, <=, WORLD_RAM);
    w->next_free = addr + size;
    memset(w->ram + addr, 0, size);
    return addr;
}

uint64_t world_page(World *w)
{
    return world_alloc(w, WORLD_PAGE, WORLD_PAGE);
}

void *world_at(World *w, uint64_t addr)
{
    g_assert_cmpuint(addr, <, WORLD_RAM);
    return w->ram + addr;
}

void world_expect_unmapped(World *w)
{
    g_assert_cmpuint(w->holds, ==, 0);
}

void world_freeze(World *w)
{
    world_expect_unmapped(w);
    w->frozen = g_memdup2(w->ram, WORLD_RAM);
}

void world_expect_frozen(World *w)
{
    world_expect_unmapped(w);
    g_assert_true(!memcmp(w->frozen, w->ram, WORLD_RAM));
    g_clear_pointer(&w->frozen, g_free);
}

/* ------------------------------------------------------- the function */

static void on_notify(void *opaque, unsigned vector)
{
    World *w = opaque;

    g_assert_true(w->running);
    g_assert_null(w->frozen);
    g_assert_cmpuint(vector, <, w->config.vectors);
    w->notifies[vector]++;
    w->notify_total++;
    if (w->on_notify) {
        w->on_notify(w, vector);
    }
}

static void on_forget_messages(void *opaque)
{
    World *w = opaque;

    w->forgotten++;
}

static void on_set_pin(void *opaque, bool level)
{
    World *w = opaque;

    g_assert_cmpint(w->pin, !=, level);
    w->pin = level;
    w->pin_changes++;
}

static void on_doorbell_event(void *opaque, unsigned offset, bool on)
{
    World *w = opaque;
    gpointer key = GUINT_TO_POINTER(offset);

    g_assert_cmpuint(offset, >=, SN_CTRL_DOORBELLS);
    g_assert_cmpuint(offset % 4, ==, 0);
    if (on) {
        g_assert_true(g_hash_table_add(w->events, key));
    } else {
        g_assert_true(g_hash_table_remove(w->events, key));
    }
}

static const SnCtrlOps ops = {
    .notify = on_notify,
    .forget_messages = on_forget_messages,
    .set_pin = on_set_pin,
    .doorbell_event = on_doorbell_event,
};

static World *log_to;

static void on_log(SnLogLevel level, const char *line)
{
    g_assert_null(strchr(line, '\n'));
    g_string_append_printf(log_to->log, "%c %s\n", "EWI"[level], line);
}

World *world_new(void)
{
    return world_new_with(&(SnCtrlConfig){ 0 });
}

World *world_new_with(const SnCtrlConfig *config)
{
    World *w = g_new0(World, 1);

    w->loop = test_loop_new();
    w->ram = g_malloc0(WORLD_RAM);
    w->next_free = WORLD_HEAP;
    w->dma = (SnDma){ .read = dma_read, .write = dma_write, .map = dma_map,
                      .unmap = dma_unmap };
    w->events = g_hash_table_new(NULL, NULL);
    w->log = g_string_new(NULL);
    w->strict = true;
    log_to = w;
    sn_log_set_func(on_log);
    w->config = (SnCtrlConfig){
        .id = "nvme0", .serial = config->serial ? config->serial : "sn-1",
        .queue_pairs = config->queue_pairs ? config->queue_pairs : 4,
        .vectors = config->vectors ? config->vectors : 5,
        .entries = config->entries ? config->entries : 64,
        .ready_timeout = config->ready_timeout ? config->ready_timeout : 5000,
        .pci_vendor = 0x1af4, .pci_subsystem_vendor = 0x1af4,
        .cntlid = config->cntlid, .loop = w->loop, .dma = &w->dma,
        .ops = &ops, .opaque = w,
    };
    w->ctrl = sn_ctrl_new(&w->config);
    world_set_running(w, true);
    return w;
}

void world_free_ctrl(World *w)
{
    sn_ctrl_free(w->ctrl);
    w->ctrl = NULL;
    world_expect_unmapped(w);
}

void world_free(World *w)
{
    if (w->ctrl) {
        world_free_ctrl(w);
    }
    world_run(w);
    g_free(w->frozen);
    g_free(w->ram);
    g_hash_table_destroy(w->events);
    g_string_free(w->log, true);
    test_loop_free(w->loop);
    g_free(w);
    sn_log_set_func(NULL);
}

/* ------------------------------------------------------- registers, time */

uint32_t world_read32(World *w, unsigned offset)
{
    return sn_ctrl_read(w->ctrl, offset, 4);
}

uint64_t world_read64(World *w, unsigned offset)
{
    return sn_ctrl_read(w->ctrl, offset, 8);
}

void world_write32(World *w, unsigned offset, uint32_t value)
{
    sn_ctrl_write(w->ctrl, offset, value, 4);
}

void world_write64(World *w, unsigned offset, uint64_t value)
{
    sn_ctrl_write(w->ctrl, offset, value, 8);
}

void world_run(World *w)
{
    test_loop_run_bhs(w->loop);
}

void world_advance_ms(World *w, unsigned ms)
{
    test_loop_advance(w->loop, ms * SN_NS_PER_MS);
}

void world_set_running(World *w, bool running)
{
    /* While it stops, the controller still lets go of what it has. */
    w->running = running;
    sn_ctrl_set_running(w->ctrl, running);
    if (!running) {
        world_expect_unmapped(w);
    }
}

static void init_queue(World *w, unsigned qid, unsigned entries)
{
    w->queues[qid] = (WorldQueue){
        .sq = world_alloc(w, entries * sizeof(SnNvmeSqe), 65536),
        .cq = world_alloc(w, entries * sizeof(SnNvmeCqe), 65536),
        .entries = entries, .phase = 1,
    };
}

void world_enable_cc(World *w, uint32_t cc)
{
    memset(w->queues, 0, sizeof(w->queues));
    w->next_free = WORLD_HEAP;
    init_queue(w, 0, ADMIN_ENTRIES);
    world_write32(w, NVME_REG_AQA,
                  (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1));
    world_write64(w, NVME_REG_ASQ, w->queues[0].sq);
    world_write64(w, NVME_REG_ACQ, w->queues[0].cq);
    world_write32(w, NVME_REG_CC, cc | 4 << NVME_CC_IOCQES_SHIFT |
                  6 << NVME_CC_IOSQES_SHIFT | 1);
    world_run(w);
}

void world_enable(World *w)
{
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 1);
}

void world_disable(World *w)
{
    world_write32(w, NVME_REG_CC, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS) & 3, ==, 0);
    memset(w->queues, 0, sizeof(w->queues));
}

/* ------------------------------------------------------- queues */

void world_create_queue(World *w, unsigned qid, unsigned entries,
                        unsigned qprio)
{
    unsigned vector = qid < w->config.vectors ? qid : 0;
    SnNvmeSqe sqe;

    init_queue(w, qid, entries);
    sqe = (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = w->queues[qid].cq,
        .cdw10 = (entries - 1) << 16 | qid, .cdw11 = vector << 16 | 3,
    };
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    sqe = (SnNvmeSqe){
        .opcode = nvme_admin_create_sq, .prp1 = w->queues[qid].sq,
        .cdw10 = (entries - 1) << 16 | qid,
        .cdw11 = qid << 16 | qprio << 1 | 1,
    };
    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
}

void world_create_queues(World *w, unsigned count, unsigned entries)
{
    SnNvmeSqe sqe = {
        .opcode = nvme_admin_set_features, .cdw10 = NVME_FEAT_FID_NUM_QUEUES,
        .cdw11 = (count - 1) << 16 | (count - 1),
    };

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    for (unsigned qid = 1; qid <= count; qid++) {
        world_create_queue(w, qid, entries, 0);
    }
}

unsigned world_sq_doorbell(unsigned qid)
{
    return SN_CTRL_DOORBELLS + 8 * qid;
}

unsigned world_cq_doorbell(unsigned qid)
{
    return SN_CTRL_DOORBELLS + 8 * qid + 4;
}

void world_push_cid(World *w, unsigned qid, const SnNvmeSqe *sqe)
{
    WorldQueue *q = &w->queues[qid];

    g_assert_cmpuint(q->sq, !=, 0);
    memcpy(world_at(w, q->sq + q->tail * sizeof(*sqe)), sqe, sizeof(*sqe));
    q->tail = (q->tail + 1) % q->entries;
}

uint16_t world_push(World *w, unsigned qid, const SnNvmeSqe *sqe)
{
    SnNvmeSqe copy = *sqe;

    copy.cid = GUINT16_TO_LE(w->next_cid);
    world_push_cid(w, qid, &copy);
    return w->next_cid++;
}

void world_ring(World *w, unsigned qid)
{
    world_write32(w, world_sq_doorbell(qid), w->queues[qid].tail);
}

uint16_t world_submit(World *w, unsigned qid, const SnNvmeSqe *sqe)
{
    uint16_t cid = world_push(w, qid, sqe);

    world_ring(w, qid);
    return cid;
}

static bool has_cqe(World *w, const WorldQueue *q, SnNvmeCqe *cqe)
{
    memcpy(cqe, world_at(w, q->cq + q->head * sizeof(*cqe)), sizeof(*cqe));
    return (GUINT16_FROM_LE(cqe->status) & 1) == q->phase;
}

bool world_take_cqe(World *w, unsigned qid, SnNvmeCqe *cqe)
{
    WorldQueue *q = &w->queues[qid];

    if (!has_cqe(w, q, cqe)) {
        return false;
    }
    g_assert_cmpuint(GUINT16_FROM_LE(cqe->sqid), ==, qid);
    g_assert_cmpuint(GUINT16_FROM_LE(cqe->sqhd), <, q->entries);
    q->sq_head = GUINT16_FROM_LE(cqe->sqhd);
    q->head++;
    if (q->head == q->entries) {
        q->head = 0;
        q->phase ^= 1;
    }
    return true;
}

void world_ring_cq(World *w, unsigned qid)
{
    world_write32(w, world_cq_doorbell(qid), w->queues[qid].head);
}

typedef struct Wait {
    World *w;
    unsigned qid;
    SnNvmeCqe cqe;
} Wait;

static bool came(void *opaque)
{
    Wait *wait = opaque;

    return world_take_cqe(wait->w, wait->qid, &wait->cqe);
}

SnNvmeCqe world_wait_cqe(World *w, unsigned qid)
{
    Wait wait = { w, qid };

    g_assert_true(test_loop_run_until(w->loop, came, &wait, PATIENCE));
    world_ring_cq(w, qid);
    return wait.cqe;
}

void world_expect_no_cqe(World *w, unsigned qid)
{
    SnNvmeCqe cqe;

    world_run(w);
    g_assert_false(has_cqe(w, &w->queues[qid], &cqe));
}

SnNvmeCqe world_io(World *w, unsigned qid, const SnNvmeSqe *sqe)
{
    uint16_t cid = world_submit(w, qid, sqe);
    SnNvmeCqe cqe = world_wait_cqe(w, qid);

    g_assert_cmphex(GUINT16_FROM_LE(cqe.cid), ==, cid);
    return cqe;
}

SnNvmeCqe world_admin(World *w, const SnNvmeSqe *sqe)
{
    return world_io(w, 0, sqe);
}

unsigned world_cqe_status(const SnNvmeCqe *cqe)
{
    return sn_nvme_status(cqe) | (sn_nvme_dnr(cqe) ? SN_NVME_STATUS_DNR : 0);
}

unsigned world_io_status(World *w, unsigned qid, const SnNvmeSqe *sqe)
{
    SnNvmeCqe cqe = world_io(w, qid, sqe);

    return world_cqe_status(&cqe);
}

unsigned world_admin_status(World *w, const SnNvmeSqe *sqe)
{
    return world_io_status(w, 0, sqe);
}

uint16_t world_ask_event(World *w)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };

    return world_submit(w, 0, &sqe);
}

void world_expect_event(World *w, uint16_t cid, uint32_t event)
{
    SnNvmeCqe cqe;

    world_run(w);
    g_assert_true(world_take_cqe(w, 0, &cqe));
    world_ring_cq(w, 0);
    g_assert_cmphex(GUINT16_FROM_LE(cqe.cid), ==, cid);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmphex(GUINT32_FROM_LE(cqe.dw0), ==, event);
}

SnNvmeSqe world_rw(uint8_t opcode, uint32_t nsid, uint64_t slba,
                   unsigned blocks, uint64_t prp1, uint64_t prp2)
{
    return (SnNvmeSqe){
        .opcode = opcode, .nsid = GUINT32_TO_LE(nsid),
        .prp1 = GUINT64_TO_LE(prp1), .prp2 = GUINT64_TO_LE(prp2),
        .cdw10 = GUINT32_TO_LE((uint32_t)slba),
        .cdw11 = GUINT32_TO_LE((uint32_t)(slba >> 32)),
        .cdw12 = GUINT32_TO_LE(blocks - 1),
    };
}

/* ------------------------------------------------------- volumes */

struct SnBackend {
    WorldBackend wb;
};

static SnBackend *last_created;

static SnBackend *be_create(const SnBackendConfig *config, GError **err)
{
    static const char *const known[] = { "nsid", NULL };
    SnBackend *be;

    if (!sn_url_check_params(config->url, known, err)) {
        return NULL;
    }
    be = g_new0(SnBackend, 1);
    be->wb.vol = config->vol;
    be->wb.info = (SnVolumeInfo){
        .size = 1 << 20, .block_size = WORLD_BLOCK,
        .phys_block_size = WORLD_BLOCK, .max_discard = 1 << 20,
        .discard_granularity = WORLD_BLOCK, .max_write_zeroes = 1 << 20,
        .write_cache = true, .fua = true, .compare = true,
        .max_compare_and_write = 64 * 1024,
        .queue_depth = 128, .queues = 1,
    };
    last_created = be;
    return be;
}

static void be_start(SnBackend *be)
{
    g_assert_false(be->wb.started || be->wb.ready);
    be->wb.started = true;
}

static void take_out(WorldBackend *wb, unsigned index)
{
    g_assert_cmpuint(index, <, wb->n);
    wb->n--;
    memmove(&wb->ios[index], &wb->ios[index + 1],
            (wb->n - index) * sizeof(wb->ios[0]));
}

static bool be_submit(SnBackend *be, SnIo *io)
{
    uint64_t sum = 0;

    g_assert_true(be->wb.ready);
    for (unsigned i = 0; i < io->iovcnt; i++) {
        sum += io->iov[i].iov_len;
    }
    if (io->op == SN_IO_READ || io->op == SN_IO_WRITE ||
        io->op == SN_IO_COMPARE || io->op == SN_IO_COMPARE_AND_WRITE ||
        io->op == SN_IO_NVME) {
        g_assert_cmpuint(sum, ==, sn_io_data_len(io));
    }
    if (be->wb.n == WORLD_IN_FLIGHT) {
        return false;
    }
    memset(sn_io_scratch(io), 0xee, SN_IO_SCRATCH);
    be->wb.ios[be->wb.n++] = io;
    be->wb.submits++;
    return true;
}

static void be_kick(SnBackend *be)
{
    be->wb.kicks++;
}

static void be_cancel(SnBackend *be, SnIo *io)
{
    unsigned i;

    for (i = 0; i < be->wb.n && be->wb.ios[i] != io; i++) {
        /* look for it */
    }
    take_out(&be->wb, i);
    be->wb.cancels++;
    be->wb.holds_at_cancel = *be->wb.holds;
}

static void be_stop(SnBackend *be)
{
    be->wb.n = 0;
    be->wb.started = be->wb.ready = false;
}

static void be_destroy(SnBackend *be)
{
    g_free(be);
}

/*
 * The linker takes no null.o from the library of the backends, as the name is
 * defined already: so scripted:// can be opened like any other URL.
 */
const SnBackendOps sn_null_backend = {
    .scheme = "scripted",
    .create = be_create,
    .start = be_start,
    .submit = be_submit,
    .kick = be_kick,
    .cancel = be_cancel,
    .stop = be_stop,
    .destroy = be_destroy,
};

SnCtrlNs *world_add_url(World *w, uint32_t nsid, const char *url)
{
    g_autofree char *id = g_strdup_printf("nvme0.%u", nsid);
    g_autoptr(GError) err = NULL;
    SnCtrlNs *ns;

    ns = sn_ctrl_add_namespace(w->ctrl, &(SnCtrlNsConfig){
        .nsid = nsid, .url = url, .id = id }, &err);
    g_assert_no_error(err);
    return ns;
}

SnCtrlNs *world_add_mem(World *w, uint32_t nsid)
{
    SnCtrlNs *ns = world_add_url(w, nsid, "mem://?size=4M");

    world_run(w);
    g_assert_cmpint(sn_volume_state(sn_ctrl_ns_volume(ns)), ==,
                    SN_VOLUME_READY);
    return ns;
}

WorldBackend *world_add_scripted(World *w, uint32_t nsid)
{
    return world_add_scripted_url(w, nsid, "scripted://");
}

WorldBackend *world_add_scripted_url(World *w, uint32_t nsid, const char *url)
{
    WorldBackend *wb;

    last_created = NULL;
    world_add_url(w, nsid, url);
    g_assert_nonnull(last_created);
    wb = &last_created->wb;
    wb->holds = &w->holds;
    world_run(w);
    g_assert_true(wb->started);
    return wb;
}

WorldBackend *world_add_scripted_ready(World *w, uint32_t nsid)
{
    WorldBackend *wb = world_add_scripted(w, nsid);

    wb_ready(wb);
    world_run(w);
    return wb;
}

void wb_ready(WorldBackend *wb)
{
    g_assert_true(wb->started);
    wb->started = false;
    wb->ready = true;
    sn_backend_ready(wb->vol, &wb->info);
}

void wb_lost(WorldBackend *wb, bool permanent)
{
    g_assert_true(wb->started || wb->ready);
    wb->started = wb->ready = false;
    wb->n = 0;
    sn_backend_lost(wb->vol, permanent, "the cable broke");
}

void wb_info_changed(WorldBackend *wb)
{
    sn_backend_info_changed(wb->vol, &wb->info);
}

void wb_reservation(WorldBackend *wb, uint8_t type)
{
    sn_backend_reservation(wb->vol, type);
}

void wb_done(WorldBackend *wb, unsigned index, int ret)
{
    SnIo *io = wb->ios[index];

    take_out(wb, index);
    sn_backend_done(io, ret);
}

void wb_done_all(WorldBackend *wb, int ret)
{
    unsigned n = wb->n;

    sn_backend_batch_begin(wb->vol);
    while (n--) {
        wb_done(wb, 0, ret);
    }
    sn_backend_batch_end(wb->vol);
}
