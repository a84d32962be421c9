/*
 * Log pages of the NVMe controller (NVMe Base 1.4 section 5.14): what they say,
 * and the ways to read them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-world.h"

#define DNR SN_NVME_STATUS_DNR
#define GENERIC(sc) (SN_NVME_STATUS(NVME_SCT_GENERIC, sc) | DNR)
#define INVALID_FIELD  GENERIC(NVME_SC_INVALID_FIELD)
#define INVALID_OPCODE GENERIC(NVME_SC_INVALID_OPCODE)
#define LBA_RANGE      GENERIC(NVME_SC_LBA_RANGE)
#define INVALID_LOG \
    (SN_NVME_STATUS(NVME_SCT_CMD_SPECIFIC, NVME_SC_INVALID_LOG_PAGE) | DNR)

#define NSID_ALL 0xffffffffu
#define MDTS (1u << 20)

enum { ERRORS = 1, SMART, FIRMWARE, CHANGED, EFFECTS };

/* @len bytes from @offset on; @sqe: further fields. */
static unsigned get_log(World *w, SnNvmeSqe sqe, uint8_t lid, uint64_t offset,
                        uint64_t len, void *data)
{
    uint64_t page = world_page(w);
    unsigned status;

    sqe.opcode = nvme_admin_get_log_page;
    sqe.prp1 = page;
    sqe.cdw10 |= (uint32_t)(len / 4 - 1) << 16 | lid;
    sqe.cdw11 |= (len / 4 - 1) >> 16;
    sqe.cdw12 = offset;
    sqe.cdw13 = offset >> 32;
    memset(world_at(w, page), 0xee, WORLD_PAGE);
    status = world_admin_status(w, &sqe);
    memcpy(data, world_at(w, page), MIN(len, WORLD_PAGE));
    w->next_free = page;
    return status;
}

static void read_log(World *w, uint8_t lid, void *data, size_t len)
{
    g_assert_cmphex(get_log(w, (SnNvmeSqe){ .nsid = NSID_ALL }, lid, 0, len,
                            data), ==, 0);
}

static World *new_world(void)
{
    World *w = world_new();

    world_add_mem(w, 1);
    world_enable(w);
    world_create_queues(w, 2, 8);
    return w;
}

static unsigned read_blocks(World *w, unsigned qid, uint64_t slba,
                            unsigned blocks)
{
    uint64_t buf = world_alloc(w, MAX(blocks * WORLD_BLOCK, 4096), 4096);
    SnNvmeSqe sqe = world_rw(nvme_cmd_read, 1, slba, blocks, buf, buf + 4096);
    unsigned status = world_io_status(w, qid, &sqe);

    w->next_free = buf;
    return status;
}

/* ---- 01h ---- */

static void test_errors(void)
{
    World *w = new_world();
    struct nvme_error_log_page log[64];
    SnNvmeSqe wrong = { .opcode = nvme_admin_identify, .nsid = 1,
                        .cdw10 = 0x99 };

    read_log(w, ERRORS, log, sizeof(log));
    g_assert_cmpuint(log[0].error_count, ==, 0);
    g_assert_cmphex(read_blocks(w, 2, 0x123456789a, 1), ==, LBA_RANGE);
    g_assert_cmphex(world_admin_status(w, &wrong), ==, INVALID_FIELD);
    read_log(w, ERRORS, log, sizeof(log));
    /* The newest is first. */
    g_assert_cmpuint(log[0].error_count, ==, 2);
    g_assert_cmpuint(log[0].sqid, ==, 0);
    g_assert_cmphex(log[0].status_field, ==, (uint16_t)(INVALID_FIELD << 1));
    g_assert_cmphex(log[0].parm_error_location, ==, 40);        /* CNS */
    g_assert_cmpuint(log[0].nsid, ==, 1);
    g_assert_cmpuint(log[0].lba, ==, 0);
    g_assert_cmpuint(log[1].error_count, ==, 1);
    g_assert_cmpuint(log[1].sqid, ==, 2);
    g_assert_cmphex(log[1].status_field, ==, (uint16_t)(LBA_RANGE << 1));
    g_assert_cmphex(log[1].lba, ==, 0x123456789a);
    g_assert_cmpuint(log[2].error_count, ==, 0);
    world_free(w);
}

/* The oldest give way. A reset, and commands that succeed, change nothing. */
static void test_many_errors(void)
{
    World *w = new_world();
    struct nvme_error_log_page log[64];
    struct nvme_smart_log smart;

    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmphex(read_blocks(w, 1, 1000000 + i, 1), ==, LBA_RANGE);
    }
    world_disable(w);
    world_enable(w);
    read_log(w, SMART, &smart, sizeof(smart));
    g_assert_cmpuint(smart.num_err_log_entries[0], ==, 100);
    read_log(w, ERRORS, log, sizeof(log));
    for (unsigned i = 0; i < 64; i++) {
        g_assert_cmpuint(log[i].error_count, ==, 100 - i);
        g_assert_cmpuint(log[i].lba, ==, 1000099 - i);
    }
    world_free(w);
}

/* That a command was aborted is no error. */
static void test_aborted(void)
{
    World *w = new_world();
    struct nvme_error_log_page log[64];
    SnNvmeSqe sqe = { .opcode = nvme_admin_async_event };
    uint16_t cid = world_submit(w, 0, &sqe);

    sqe = (SnNvmeSqe){ .opcode = nvme_admin_abort_cmd,
                       .cdw10 = (uint32_t)cid << 16 };
    world_submit(w, 0, &sqe);
    world_wait_cqe(w, 0);
    world_wait_cqe(w, 0);
    read_log(w, ERRORS, log, sizeof(log));
    g_assert_cmpuint(log[0].error_count, ==, 0);
    world_free(w);
}

/* ---- 02h ---- */

static uint64_t number(const uint8_t *field)
{
    uint64_t low, high;

    memcpy(&low, field, 8);
    memcpy(&high, field + 8, 8);
    g_assert_cmpuint(high, ==, 0);
    return GUINT64_FROM_LE(low);
}

static void test_smart(void)
{
    World *w = new_world();
    struct nvme_smart_log log;
    uint64_t page = world_page(w);
    SnNvmeSqe sqe = world_rw(nvme_cmd_write, 1, 0, 1, page, 0);

    read_log(w, SMART, &log, sizeof(log));
    g_assert_cmphex(log.critical_warning, ==, 0);
    g_assert_cmpuint(log.temperature[0] | log.temperature[1] << 8, ==, 313);
    g_assert_cmpuint(log.avail_spare, ==, 100);
    g_assert_cmpuint(log.percent_used, ==, 0);
    g_assert_cmpuint(number(log.data_units_read), ==, 0);
    g_assert_cmpuint(number(log.power_cycles), ==, 1);
    /* 1001 blocks are two thousands, begun. */
    for (unsigned i = 0; i < 143; i++) {
        g_assert_cmphex(read_blocks(w, 1, 0, 7), ==, 0);
    }
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    sqe.opcode = nvme_cmd_compare;
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    sqe.opcode = nvme_cmd_flush;
    g_assert_cmphex(world_io_status(w, 1, &sqe), ==, 0);
    read_log(w, SMART, &log, sizeof(log));
    g_assert_cmpuint(number(log.host_reads), ==, 144);
    g_assert_cmpuint(number(log.host_writes), ==, 1);
    g_assert_cmpuint(number(log.data_units_read), ==, 2);
    g_assert_cmpuint(number(log.data_units_written), ==, 1);
    g_assert_cmpuint(number(log.media_errors), ==, 0);
    g_assert_cmpuint(number(log.num_err_log_entries), ==, 0);
    world_free(w);
}

/* Busy: while a command is outstanding, however many there are. */
static void test_time(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted_ready(w, 1);
    struct nvme_smart_log log;
    SnNvmeSqe read;

    world_enable(w);
    world_create_queues(w, 1, 8);
    read = world_rw(nvme_cmd_read, 1, 0, 1, world_page(w), 0);
    world_advance_ms(w, 3600 * 1000);
    for (unsigned i = 0; i < 6; i++) {
        world_submit(w, 1, &read);
        world_submit(w, 1, &read);
        world_run(w);
        world_advance_ms(w, 10000);
        wb_done(wb, 0, 0);
        world_advance_ms(w, 9999);
        if (i == 5) {           /* also one that is not over yet counts */
            world_advance_ms(w, 6);
            read_log(w, SMART, &log, sizeof(log));
            g_assert_cmpuint(number(log.ctrl_busy_time), ==, 2);
            g_assert_cmpuint(number(log.power_on_hours), ==, 1);
        }
        wb_done(wb, 0, 0);
        world_wait_cqe(w, 1);
        world_wait_cqe(w, 1);
    }
    world_advance_ms(w, 3600 * 1000);
    read_log(w, SMART, &log, sizeof(log));
    g_assert_cmpuint(number(log.ctrl_busy_time), ==, 2);
    g_assert_cmpuint(number(log.power_on_hours), ==, 2);

    /* What a reset ends does not count any more. */
    world_submit(w, 1, &read);
    world_run(w);
    world_disable(w);
    world_enable(w);
    world_advance_ms(w, 3600 * 1000);
    read_log(w, SMART, &log, sizeof(log));
    g_assert_cmpuint(number(log.ctrl_busy_time), ==, 2);
    world_free(w);
}

static void test_media_errors(void)
{
    World *w = world_new();
    WorldBackend *wb = world_add_scripted_ready(w, 1);
    static const struct {
        uint8_t opcode;
        int ret;
    } ends[] = {
        { nvme_cmd_read, -EIO }, { nvme_cmd_write, -EIO },      /* these */
        { nvme_cmd_compare, -EILSEQ }, { nvme_cmd_write, -ENOSPC },
        { nvme_cmd_read, -ETIMEDOUT },
    };
    struct nvme_smart_log log;
    uint64_t page;

    world_enable(w);
    world_create_queues(w, 1, 8);
    page = world_page(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        SnNvmeSqe sqe = world_rw(ends[i].opcode, 1, 0, 1, page, 0);

        world_submit(w, 1, &sqe);
        world_run(w);
        wb_done_all(wb, ends[i].ret);
        world_wait_cqe(w, 1);
    }
    read_log(w, SMART, &log, sizeof(log));
    g_assert_cmpuint(number(log.media_errors), ==, 2);
    g_assert_cmpuint(number(log.num_err_log_entries), ==, 5);
    g_assert_cmpuint(number(log.data_units_read), ==, 0);
    world_free(w);
}

/* The log is the controller's, not a namespace's. */
static void test_smart_nsid(void)
{
    static const struct {
        uint32_t nsid;
        unsigned status;
    } cases[] = {
        { 0, 0 }, { NSID_ALL, 0 }, { 1, INVALID_FIELD }, { 2, INVALID_FIELD },
        { 257, INVALID_FIELD },
    };
    World *w = new_world();
    uint8_t data[512];

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmphex(get_log(w, (SnNvmeSqe){ .nsid = cases[i].nsid }, SMART,
                                0, 512, data), ==, cases[i].status);
    }
    world_free(w);
}

/* ---- 03h, 05h ---- */

static void test_firmware(void)
{
    World *w = new_world();
    struct nvme_firmware_slot log;
    uint64_t page = world_page(w);
    SnNvmeSqe sqe = { .opcode = nvme_admin_identify, .prp1 = page,
                      .cdw10 = NVME_IDENTIFY_CNS_CTRL };
    const struct nvme_id_ctrl *id = world_at(w, page);

    g_assert_cmphex(world_admin_status(w, &sqe), ==, 0);
    read_log(w, FIRMWARE, &log, sizeof(log));
    g_assert_cmpuint(log.afi, ==, 1);
    g_assert_cmpmem(log.frs[0], 8, id->fr, 8);
    g_assert_cmpuint(log.frs[1][0], ==, 0);
    world_free(w);
}

/* It says of every command what becomes of it. */
static void test_effects(void)
{
    World *w = new_world();
    struct nvme_cmd_effects_log log;

    read_log(w, EFFECTS, &log, sizeof(log));
    for (unsigned op = 0; op < 256; op++) {
        /* No address is good, so nothing happens. */
        SnNvmeSqe sqe = { .opcode = op, .nsid = 1, .prp1 = WORLD_HOLE + 1 };
        unsigned status = world_io_status(w, 1, &sqe);

        g_assert_cmpint(status != INVALID_OPCODE, ==,
                        log.iocs[op] & NVME_CMD_EFFECTS_CSUPP);
        if (op == nvme_admin_async_event) {
            continue;
        }
        status = world_admin_status(w, &sqe);
        g_assert_cmpint(status != INVALID_OPCODE, ==,
                        log.acs[op] & NVME_CMD_EFFECTS_CSUPP);
    }
    g_assert_cmphex(log.acs[nvme_admin_async_event], ==, 1);
    g_assert_cmphex(log.iocs[nvme_cmd_read], ==, 1);
    g_assert_cmphex(log.iocs[nvme_cmd_write], ==, 3);
    g_assert_cmphex(log.iocs[nvme_cmd_write_zeroes], ==, 3);
    g_assert_cmphex(log.iocs[nvme_cmd_dsm], ==, 3);
    g_assert_cmphex(log.iocs[nvme_cmd_resv_report], ==, 0);
    g_assert_cmphex(get_log(w, (SnNvmeSqe){ .cdw14 = 1 << 24 }, EFFECTS, 0,
                            4096, &log), ==, INVALID_FIELD);
    world_free(w);
}

/* ---- ways to read ---- */

static void test_offsets(void)
{
    static const unsigned sizes[] = {
        [ERRORS] = 4096, [SMART] = 512, [FIRMWARE] = 512, [CHANGED] = 4096,
        [EFFECTS] = 4096,
    };
    World *w = new_world();
    uint8_t whole[4096], part[4096];

    read_blocks(w, 1, UINT64_MAX, 1);
    for (uint8_t lid = ERRORS; lid <= EFFECTS; lid++) {
        unsigned size = sizes[lid];

        read_log(w, lid, whole, size);
        for (unsigned at = 0; at < size; at += 172) {
            unsigned len = MIN(size - at, 516);

            g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, lid, at, len, part),
                            ==, 0);
            g_assert_cmpmem(part, len, whole + at, len);
        }
        /* Beyond the end nothing is written. */
        g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, lid, size - 4, 64, part),
                        ==, 0);
        g_assert_cmpmem(part, 4, whole + size - 4, 4);
        g_assert_cmphex(part[4], ==, 0xee);
        g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, lid, size, 64, part), ==,
                        0);
        g_assert_cmphex(part[0], ==, 0xee);
        {
            const uint64_t wrong[] = { size + 4, 2, 1, 1 << 20, UINT64_MAX - 3,
                                       1ULL << 32 };

            for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
                g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, lid, wrong[i],
                                        64, part), ==, INVALID_FIELD);
            }
        }
    }
    world_free(w);
}

/* Up to MDTS; there is less to tell, so the memory need not be there. */
static void test_lengths(void)
{
    World *w = new_world();
    uint8_t data[4096];

    g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, FIRMWARE, 0, MDTS, data), ==,
                    0);
    g_assert_cmphex(data[512], ==, 0xee);
    g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, FIRMWARE, 0, MDTS + 4, data),
                    ==, INVALID_FIELD);
    g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, FIRMWARE, 0, 1ULL << 34,
                            data), ==, INVALID_FIELD);
    world_free(w);
}

static void test_unknown(void)
{
    World *w = new_world();
    uint8_t data[512];

    for (unsigned lid = 0; lid < 256; lid++) {
        g_assert_cmphex(get_log(w, (SnNvmeSqe){ 0 }, lid, 0, 512, data), ==,
                        lid >= ERRORS && lid <= EFFECTS ? 0 : INVALID_LOG);
    }
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-log/errors", test_errors);
    g_test_add_func("/ctrl-log/many-errors", test_many_errors);
    g_test_add_func("/ctrl-log/aborted", test_aborted);
    g_test_add_func("/ctrl-log/smart", test_smart);
    g_test_add_func("/ctrl-log/time", test_time);
    g_test_add_func("/ctrl-log/media-errors", test_media_errors);
    g_test_add_func("/ctrl-log/smart-nsid", test_smart_nsid);
    g_test_add_func("/ctrl-log/firmware", test_firmware);
    g_test_add_func("/ctrl-log/effects", test_effects);
    g_test_add_func("/ctrl-log/offsets", test_offsets);
    g_test_add_func("/ctrl-log/lengths", test_lengths);
    g_test_add_func("/ctrl-log/unknown", test_unknown);
    return g_test_run();
}
