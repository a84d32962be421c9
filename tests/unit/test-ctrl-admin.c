/*
 * Admin commands of the NVMe controller: what there is, and those about queues
 * (NVMe Base 1.4 sections 5.1 and 5.3 to 5.8), with good and bad fields.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define DNR SN_NVME_STATUS_DNR
#define GENERIC(sc)  (SN_NVME_STATUS(NVME_SCT_GENERIC, sc) | DNR)
#define SPECIFIC(sc) (SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC, sc) | DNR)
#define INVALID_FIELD  GENERIC(NVME_SC_INVALID_FIELD)
#define INVALID_OPCODE GENERIC(NVME_SC_INVALID_OPCODE)
#define BAD_OFFSET     GENERIC(NVME_SC_PRP_INVALID_OFFSET)
#define BAD_QID        SPECIFIC(NVME_SC_QID_INVALID)
#define BAD_SIZE       SPECIFIC(NVME_SC_QUEUE_SIZE)
#define BAD_VECTOR     SPECIFIC(NVME_SC_INVALID_VECTOR)
#define BAD_CQ         SPECIFIC(NVME_SC_CQ_INVALID)
#define BAD_DELETE     SPECIFIC(NVME_SC_INVALID_QUEUE)

#define ENTRIES 64              /* the world's largest queue */

static unsigned command(World *w, SnNvmeSqe sqe)
{
    return world_admin_status(w, &sqe);
}

/* ---- what there is ---- */

static void test_opcodes(void)
{
    static const uint8_t offered[] = {
        nvme_admin_delete_sq, nvme_admin_create_sq, nvme_admin_get_log_page,
        nvme_admin_delete_cq, nvme_admin_create_cq, nvme_admin_identify,
        nvme_admin_abort_cmd, nvme_admin_set_features,
        nvme_admin_get_features, nvme_admin_dbbuf,
    };
    World *w = world_new();

    world_add_mem(w, 1);
    world_enable(w);
    for (unsigned op = 0; op < 256; op++) {
        unsigned status;

        if (op == nvme_admin_async_event) {
            continue;           /* is not answered */
        }
        status = command(w, (SnNvmeSqe){ .opcode = op, .nsid = 1 });
        if (memchr(offered, op, sizeof(offered))) {
            g_assert_cmphex(status, !=, INVALID_OPCODE);
        } else {
            g_assert_cmphex(status, ==, INVALID_OPCODE);
        }
    }
    world_free(w);
}

static void test_flags(void)
{
    static const uint8_t wrong[] = { 1, 2, 3, 1 << 6, 2 << 6, 3 << 6 };
    World *w = world_new();
    SnNvmeSqe sqe = { .opcode = nvme_admin_identify,
                      .cdw10 = NVME_IDENTIFY_CNS_CTRL };

    world_enable(w);
    sqe.prp1 = world_page(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        sqe.flags = wrong[i];
        g_assert_cmphex(command(w, sqe), ==, INVALID_FIELD);
    }
    sqe.flags = 0x3c;           /* reserved bits */
    g_assert_cmphex(command(w, sqe), ==, 0);
    world_free(w);
}

/* ---- creating queues ---- */

typedef struct Create {
    const char *name;
    uint32_t qid, size;         /* size as in the command: less one */
    uint32_t cdw11;
    uint64_t base;              /* below a page: added to a good one */
    unsigned status;
} Create;

static void try_creates(World *w, uint8_t opcode, const Create *c, unsigned n)
{
    uint64_t good = world_alloc(w, 65536, 65536);

    for (; n; n--, c++) {
        unsigned status = command(w, (SnNvmeSqe){
            .opcode = opcode, .prp1 = c->base < 4096 ? good + c->base : c->base,
            .cdw10 = c->size << 16 | c->qid, .cdw11 = c->cdw11 });

        g_test_message("%s: 0x%x", c->name, status);
        g_assert_cmphex(status, ==, c->status);
    }
}

static void test_create_cq(void)
{
    static const Create creates[] = {
        { "qid 0", 0, 7, 3, 0, BAD_QID },
        { "qid 5", 5, 7, 3, 0, BAD_QID },
        { "qid 65", 65, 7, 3, 0, BAD_QID },
        { "qid 65535", 65535, 7, 3, 0, BAD_QID },
        { "one entry", 1, 0, 3, 0, BAD_SIZE },
        { "one more than MQES", 1, ENTRIES, 3, 0, BAD_SIZE },
        { "65536 entries", 1, 65535, 3, 0, BAD_SIZE },
        { "not contiguous", 1, 7, 2, 0, INVALID_FIELD },
        { "dword-aligned", 1, 7, 3, 4, BAD_OFFSET },
        { "not a page", 1, 7, 3, 2048, BAD_OFFSET },
        { "registers", 1, 7, 3, WORLD_HOLE, INVALID_FIELD },
        { "ROM", 1, 7, 3, WORLD_ROM, INVALID_FIELD },
        { "beyond memory", 1, 7, 3, WORLD_RAM, INVALID_FIELD },
        { "at the end", 1, 7, 3, UINT64_MAX - 4095, INVALID_FIELD },
        { "vector 5", 1, 7, 5 << 16 | 3, 0, BAD_VECTOR },
        { "vector 65535", 1, 7, 0xffff0003, 0, BAD_VECTOR },
        { "good", 1, 7, 4 << 16 | 3, 0, 0 },
        { "once more", 1, 7, 3, 0, BAD_QID },
        { "two entries", 2, 1, 1, 0, 0 },
        { "as large as can be", 4, ENTRIES - 1, 1, 0, 0 },
    };
    World *w = world_new();

    world_enable(w);
    try_creates(w, nvme_admin_create_cq, creates, G_N_ELEMENTS(creates));
    world_free(w);
}

static void test_create_sq(void)
{
    static const Create creates[] = {
        { "qid 0", 0, 7, 1 << 16 | 1, 0, BAD_QID },
        { "qid 5", 5, 7, 1 << 16 | 1, 0, BAD_QID },
        { "no such CQ", 1, 7, 3 << 16 | 1, 0, BAD_CQ },
        { "CQ 0", 1, 7, 1, 0, BAD_QID },
        { "CQ 5", 1, 7, 5 << 16 | 1, 0, BAD_QID },
        { "CQ 65535", 1, 7, 0xffff0001, 0, BAD_QID },
        { "one entry", 1, 0, 1 << 16 | 1, 0, BAD_SIZE },
        { "one more than MQES", 1, ENTRIES, 1 << 16 | 1, 0, BAD_SIZE },
        { "not contiguous", 1, 7, 1 << 16, 0, INVALID_FIELD },
        { "not a page", 1, 7, 1 << 16 | 1, 64, BAD_OFFSET },
        { "registers", 1, 7, 1 << 16 | 1, WORLD_HOLE, INVALID_FIELD },
        { "into the hole", 1, 63, 1 << 16 | 1, WORLD_HOLE_END - 4096,
          INVALID_FIELD },
        { "good, of low priority", 1, 7, 1 << 16 | 3 << 1 | 1, 0, 0 },
        { "once more", 1, 7, 1 << 16 | 1, 0, BAD_QID },
        { "in ROM", 3, 7, 1 << 16 | 1, WORLD_ROM, 0 },
        { "another on the same CQ", 4, ENTRIES - 1, 1 << 16 | 1, 0, 0 },
    };
    World *w = world_new();

    world_enable(w);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = world_page(w),
        .cdw10 = 7 << 16 | 1, .cdw11 = 3 }), ==, 0);
    try_creates(w, nvme_admin_create_sq, creates, G_N_ELEMENTS(creates));
    world_free(w);
}

/* CC.IOSQES and CC.IOCQES say something else. */
static void test_entry_sizes(void)
{
    World *w = world_new();
    uint64_t page;

    world_enable(w);
    page = world_page(w);
    world_write32(w, NVME_REG_CC, 1 | 6 << 16 | 5 << 20);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = page, .cdw10 = 7 << 16 | 1,
        .cdw11 = 3 }), ==, BAD_SIZE);
    world_write32(w, NVME_REG_CC, 1 | 7 << 16 | 4 << 20);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = page, .cdw10 = 7 << 16 | 1,
        .cdw11 = 3 }), ==, 0);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_sq, .prp1 = page, .cdw10 = 7 << 16 | 1,
        .cdw11 = 1 << 16 | 1 }), ==, BAD_SIZE);
    world_free(w);
}

/* A page is what the guest has made it. */
static void test_large_pages(void)
{
    World *w = world_new();
    uint64_t base;

    world_enable_cc(w, 4 << 7);         /* CC.MPS: 64 KiB */
    base = world_alloc(w, 65536, 65536);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = base + 4096,
        .cdw10 = 7 << 16 | 1, .cdw11 = 3 }), ==, BAD_OFFSET);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_create_cq, .prp1 = base,
        .cdw10 = 7 << 16 | 1, .cdw11 = 3 }), ==, 0);
    world_free(w);
}

/* No more than Set Features has granted, of each kind. */
static void test_granted(void)
{
    World *w = world_new();
    uint64_t page;

    world_enable(w);
    page = world_page(w);
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_set_features, .cdw10 = NVME_FEAT_FID_NUM_QUEUES,
        .cdw11 = 2 << 16 | 1 }), ==, 0);        /* 3 CQs and 2 SQs */
    for (unsigned qid = 1; qid <= 4; qid++) {
        g_assert_cmphex(command(w, (SnNvmeSqe){
            .opcode = nvme_admin_create_cq, .prp1 = page,
            .cdw10 = 7 << 16 | qid, .cdw11 = 1 }), ==,
            qid <= 3 ? 0 : BAD_QID);
        g_assert_cmphex(command(w, (SnNvmeSqe){
            .opcode = nvme_admin_create_sq, .prp1 = page,
            .cdw10 = 7 << 16 | qid, .cdw11 = 1 << 16 | 1 }), ==,
            qid <= 2 ? 0 : BAD_QID);
    }
    world_free(w);
}

/* ---- deleting queues ---- */

static unsigned delete_queue(World *w, uint8_t opcode, uint32_t qid)
{
    return command(w, (SnNvmeSqe){ .opcode = opcode, .cdw10 = qid });
}

static void test_delete(void)
{
    static const uint32_t wrong[] = { 0, 3, 4, 5, 65, 0xffff };
    World *w = world_new();

    world_enable(w);
    world_create_queues(w, 2, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_cmphex(delete_queue(w, nvme_admin_delete_sq, wrong[i]), ==,
                        BAD_QID);
        g_assert_cmphex(delete_queue(w, nvme_admin_delete_cq, wrong[i]), ==,
                        BAD_QID);
    }
    /* Not before the submission queue that uses it. */
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_cq, 1), ==, BAD_DELETE);
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_sq, 1), ==, 0);
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_sq, 1), ==, BAD_QID);
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_cq, 1), ==, 0);
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_cq, 1), ==, BAD_QID);
    world_create_queue(w, 1, 8, 0);
    world_free(w);
}

/* The far side never answers. What was asked of it is over at once. */
static void test_delete_busy(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted_ready(w, 1);
    uint64_t page;
    SnNvmeSqe read;

    world_enable(w);
    world_create_queues(w, 1, 8);
    page = world_page(w);
    read = world_rw(nvme_cmd_read, 1, 0, 1, page, 0);
    for (unsigned i = 0; i < 5; i++) {
        world_submit(w, 1, &read);
    }
    world_run(w);
    g_assert_cmpuint(wb->n, ==, 5);
    g_assert_cmphex(delete_queue(w, nvme_admin_delete_sq, 1), ==, 0);
    g_assert_cmpuint(wb->n, ==, 0);
    world_expect_unmapped(w);
    for (unsigned i = 0; i < 5; i++) {
        SnNvmeCqe cqe;

        g_assert_true(world_take_cqe(w, 1, &cqe));
        g_assert_cmphex(world_cqe_status(&cqe), ==,
                        SN_NVME_STATUS(NVME_SCT_GENERIC,
                                       NVME_SC_ABORT_QUEUE));
    }
    world_free(w);
}

/* ---- Abort ---- */

static uint32_t abort_command(World *w, uint16_t sqid, uint16_t cid)
{
    SnNvmeSqe sqe = { .opcode = nvme_admin_abort_cmd,
                      .cdw10 = (uint32_t)cid << 16 | sqid };
    uint16_t own = world_submit(w, 0, &sqe);
    SnNvmeCqe cqe;

    /* What it has aborted in the same queue completes before. */
    do {
        cqe = world_wait_cqe(w, 0);
    } while (cqe.cid != own);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    return cqe.dw0;
}

static void test_abort(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted_ready(w, 1);
    SnNvmeSqe read;
    SnNvmeCqe cqe;
    uint16_t first, second;

    world_enable(w);
    world_create_queues(w, 1, 8);
    read = world_rw(nvme_cmd_read, 1, 0, 1, world_page(w), 0);
    first = world_submit(w, 1, &read);
    second = world_submit(w, 1, &read);
    world_run(w);
    g_assert_cmpuint(abort_command(w, 1, second), ==, 0);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(cqe.cid, ==, second);
    g_assert_cmphex(world_cqe_status(&cqe), ==,
                    SN_NVME_STATUS(NVME_SCT_GENERIC, NVME_SC_ABORT_REQ));
    g_assert_cmpuint(wb->n, ==, 1);
    g_assert_cmpuint(wb->cancels, ==, 1);
    world_expect_no_cqe(w, 1);
    wb_done_all(wb, 0);
    cqe = world_wait_cqe(w, 1);
    g_assert_cmphex(cqe.cid, ==, first);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    world_free(w);
}

/* Bit 0 of the answer: not aborted. */
static void test_abort_nothing(void)
{
    World *w = world_new();

    world_enable(w);
    world_create_queues(w, 1, 8);
    g_assert_cmpuint(abort_command(w, 1, 5), ==, 1);
    g_assert_cmpuint(abort_command(w, 0, 0xffff), ==, 1);
    g_assert_cmpuint(abort_command(w, 0, w->next_cid), ==, 1);   /* itself */
    g_assert_cmpuint(abort_command(w, 2, 0), ==, 1);
    g_assert_cmpuint(abort_command(w, 0xffff, 0), ==, 1);
    world_free(w);
}

static void test_abort_event(void)
{
    World *w = world_new();
    SnNvmeSqe aer = { .opcode = nvme_admin_async_event };
    SnNvmeSqe sqe = { .opcode = nvme_admin_abort_cmd };
    SnNvmeCqe cqe;
    uint16_t cid;

    world_enable(w);
    cid = world_submit(w, 0, &aer);
    world_expect_no_cqe(w, 0);
    sqe.cdw10 = (uint32_t)cid << 16;
    world_submit(w, 0, &sqe);
    cqe = world_wait_cqe(w, 0);
    g_assert_cmphex(cqe.cid, ==, cid);
    g_assert_cmphex(world_cqe_status(&cqe), ==,
                    SN_NVME_STATUS(NVME_SCT_GENERIC, NVME_SC_ABORT_REQ));
    cqe = world_wait_cqe(w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    g_assert_cmpuint(cqe.dw0, ==, 0);
    world_free(w);
}

/* ---- Doorbell Buffer Config ---- */

static void test_dbbuf(void)
{
    World *w = world_new();
    uint64_t a, b;

    world_enable(w);
    a = world_page(w);
    b = world_page(w);
    {
        const uint64_t wrong[][2] = {
            { a + 4, b }, { a, b + 4 }, { a + 2048, b }, { WORLD_HOLE, b },
            { a, WORLD_HOLE }, { a, WORLD_ROM }, { WORLD_RAM, b },
            { UINT64_MAX - 4095, b }, { a, UINT64_MAX - 4095 },
        };

        for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
            g_assert_cmphex(command(w, (SnNvmeSqe){
                .opcode = nvme_admin_dbbuf, .prp1 = wrong[i][0],
                .prp2 = wrong[i][1] }), ==, INVALID_FIELD);
        }
    }
    g_assert_cmphex(command(w, (SnNvmeSqe){
        .opcode = nvme_admin_dbbuf, .prp1 = a, .prp2 = b }), ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-admin/opcodes", test_opcodes);
    g_test_add_func("/ctrl-admin/flags", test_flags);
    g_test_add_func("/ctrl-admin/create-cq", test_create_cq);
    g_test_add_func("/ctrl-admin/create-sq", test_create_sq);
    g_test_add_func("/ctrl-admin/entry-sizes", test_entry_sizes);
    g_test_add_func("/ctrl-admin/large-pages", test_large_pages);
    g_test_add_func("/ctrl-admin/granted", test_granted);
    g_test_add_func("/ctrl-admin/delete", test_delete);
    g_test_add_func("/ctrl-admin/delete-busy", test_delete_busy);
    g_test_add_func("/ctrl-admin/abort", test_abort);
    g_test_add_func("/ctrl-admin/abort-nothing", test_abort_nothing);
    g_test_add_func("/ctrl-admin/abort-event", test_abort_event);
    g_test_add_func("/ctrl-admin/dbbuf", test_dbbuf);
    return g_test_run();
}
