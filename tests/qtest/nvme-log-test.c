/*
 * The NVMe function's log pages (NVMe Base 1.4 section 5.14.1): what they say
 * after what a test did, and the ways to read them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "nvme.h"

enum {
    LOG_ERROR = 1, LOG_SMART = 2, LOG_FIRMWARE = 3, LOG_CHANGED = 4,
    LOG_EFFECTS = 5,
};

static void open_ctrl(Nvme *n, Machine *m)
{
    nvme_start(n, m, CARD_NVME(""));
    nvme_enable(n);
    nvme_create_queues(n, 1, 32);
}

static uint64_t u128(const uint8_t *bytes)
{
    uint64_t low;

    memcpy(&low, bytes, sizeof(low));
    return GUINT64_FROM_LE(low);
}

/* Beyond the namespace */
static unsigned fail_read(Nvme *n, uint64_t slba)
{
    return nvme_command(n, 1, nvme_rw_cmd(n, OP_READ, 1, slba, 1));
}

static void test_error(void)
{
    struct nvme_error_log_page log[64];
    struct nvme_id_ctrl id;
    uint64_t count;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, 1, 0, &id), ST_OK);
    g_assert_cmpuint(id.elpe + 1, ==, G_N_ELEMENTS(log));
    nvme_assert_status(nvme_get_log(&n, LOG_ERROR, 0, log, sizeof(log)),
                       ST_OK);
    g_assert_cmpuint(log[0].error_count, ==, 0);
    nvme_assert_status(fail_read(&n, 1234567890123), ST_LBA_RANGE);
    nvme_assert_status(nvme_get_log(&n, LOG_ERROR, 0, log, sizeof(log)),
                       ST_OK);
    count = log[0].error_count;
    g_assert_cmpuint(count, >, 0);
    g_assert_cmpuint(log[0].sqid, ==, 1);
    g_assert_cmphex(log[0].status_field >> 1 & 0x7ff, ==, ST_LBA_RANGE);
    g_assert_cmpuint(log[0].nsid, ==, 1);
    g_assert_cmpuint(log[0].lba, ==, 1234567890123);
    g_assert_cmpuint(log[1].error_count, ==, 0);
    /* The latest is first, and there is room for so many. */
    for (unsigned i = 0; i < 100; i++) {
        nvme_assert_status(fail_read(&n, 1000000 + i), ST_LBA_RANGE);
    }
    nvme_assert_status(nvme_get_log(&n, LOG_ERROR, 0, log, sizeof(log)),
                       ST_OK);
    for (unsigned i = 0; i < G_N_ELEMENTS(log); i++) {
        g_assert_cmpuint(log[i].error_count, ==, count + 100 - i);
        g_assert_cmpuint(log[i].lba, ==, 1000099 - i);
    }
    /* A command that succeeds leaves no entry. */
    nvme_assert_status(fail_read(&n, 0), ST_OK);
    nvme_assert_status(nvme_get_log(&n, LOG_ERROR, 0, log, 64), ST_OK);
    g_assert_cmpuint(log[0].error_count, ==, count + 100);
    nvme_stop(&n);
}

static void get_smart(Nvme *n, struct nvme_smart_log *log)
{
    nvme_assert_status(nvme_get_log(n, LOG_SMART, 0, log, sizeof(*log)),
                       ST_OK);
}

static void test_smart(void)
{
    struct nvme_smart_log before, after;
    uint8_t block[NVME_BLOCK] = { };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    get_smart(&n, &before);
    g_assert_cmpuint(before.critical_warning, ==, 0);
    g_assert_cmpuint(before.avail_spare, ==, 100);
    g_assert_cmpuint(before.temperature[0] | before.temperature[1] << 8, >,
                     273);
    g_assert_cmpuint(u128(before.host_reads), ==, 0);
    for (unsigned i = 0; i < 5; i++) {
        nvme_assert_status(nvme_command(&n, 1, nvme_rw_cmd(&n, OP_READ, 1, 0,
                                                           2048)), ST_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        nvme_assert_status(nvme_write(&n, 1, i, block, sizeof(block)), ST_OK);
    }
    fail_read(&n, UINT64_MAX);
    get_smart(&n, &after);
    g_assert_cmpuint(u128(after.host_reads), >=, 5);
    g_assert_cmpuint(u128(after.host_reads), <=, 6);
    g_assert_cmpuint(u128(after.host_writes), ==, 3);
    /* Thousands of 512 bytes, rounded up: 5 MiB and 1.5 KiB */
    g_assert_cmpuint(u128(after.data_units_read), ==, 11);
    g_assert_cmpuint(u128(after.data_units_written), ==, 1);
    g_assert_cmpuint(u128(after.media_errors), ==, 0);
    g_assert_cmpuint(u128(after.num_err_log_entries), ==,
                     u128(before.num_err_log_entries) + 1);
    /* A reset forgets nothing. */
    nvme_enable(&n);
    get_smart(&n, &after);
    g_assert_cmpuint(u128(after.host_writes), ==, 3);
    nvme_stop(&n);
}

/* A reset without notification is not a loss of power. */
static void test_unsafe_shutdowns(void)
{
    struct nvme_smart_log first, second;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    get_smart(&n, &first);
    nvme_set(&n, REG_CC, CC_SIZES | CC_EN | CC_SHN(1));
    nvme_wait_csts(&n, CSTS_SHST, CSTS_SHUT);
    nvme_enable(&n);
    get_smart(&n, &second);
    g_assert_cmpuint(u128(second.unsafe_shutdowns), ==,
                     u128(first.unsafe_shutdowns));
    g_assert_cmpuint(u128(second.power_cycles), >=,
                     u128(first.power_cycles));
    nvme_stop(&n);
}

static void test_firmware(void)
{
    struct nvme_firmware_slot log;
    struct nvme_id_ctrl id;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_identify(&n, 1, 0, &id), ST_OK);
    nvme_assert_status(nvme_get_log(&n, LOG_FIRMWARE, 0, &log, sizeof(log)),
                       ST_OK);
    g_assert_cmpuint(log.afi & 7, ==, 1);
    g_assert_cmpmem(log.frs[0], 8, id.fr, 8);
    g_assert_cmpuint(id.frmw >> 1 & 7, ==, 1);  /* slots */
    nvme_stop(&n);
}

/* Exactly the commands of which it says so are supported. */
static void test_effects(void)
{
    struct nvme_cmd_effects_log log;
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    nvme_assert_status(nvme_get_log(&n, LOG_EFFECTS, 0, &log, sizeof(log)),
                       ST_OK);
    for (unsigned op = 0; op < 256; op++) {
        SnNvmeSqe cmd = { .opcode = op, .nsid = 1, .prp1 = n.buffer };
        bool admin = log.acs[op] & 1, io = log.iocs[op] & 1;
        unsigned status = nvme_command(&n, 1, cmd);

        g_test_message("%02x: admin %d, I/O %d", op, admin, io);
        g_assert_cmpint(status == ST_INVALID_OPCODE, ==, !io);
        if (op == OP_ASYNC_EVENT) {
            g_assert_true(admin);
            continue;
        }
        cmd.prp1 |= 1;          /* Doorbell Buffer Config shall not succeed */
        g_assert_cmpint(nvme_admin(&n, cmd) == ST_INVALID_OPCODE, ==, !admin);
    }
    g_assert_cmphex(log.iocs[OP_READ] & 3, ==, 1);
    g_assert_cmphex(log.iocs[OP_WRITE] & 3, ==, 3);     /* changes data */
    g_assert_cmphex(log.iocs[OP_COMPARE] & 1, ==, 1);
    g_assert_cmphex(log.acs[OP_FORMAT], ==, 0);
    nvme_stop(&n);
}

/* Cut into pieces they are what they are as a whole. */
static void test_offsets(void)
{
    static const struct {
        uint8_t lid;
        unsigned size;
    } logs[] = {
        { LOG_ERROR, 4096 }, { LOG_FIRMWARE, 512 }, { LOG_CHANGED, 4096 },
        { LOG_EFFECTS, 4096 },
    };
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    fail_read(&n, UINT64_MAX);
    for (unsigned i = 0; i < G_N_ELEMENTS(logs); i++) {
        uint8_t whole[4096], part[4096];
        unsigned size = logs[i].size;

        nvme_assert_status(nvme_get_log(&n, logs[i].lid, 0, whole, size),
                           ST_OK);
        for (unsigned at = 0; at < size; at += 172) {
            unsigned len = MIN(size - at, 516);

            nvme_assert_status(nvme_get_log(&n, logs[i].lid, at, part, len),
                               ST_OK);
            g_assert_cmpmem(part, len, whole + at, len);
        }
        g_assert_cmphex(nvme_get_log(&n, logs[i].lid, 1 << 20, part, 512), ==,
                        ST_INVALID_FIELD);
        g_assert_cmphex(nvme_get_log(&n, logs[i].lid, UINT64_MAX - 3, part,
                                     512), ==, ST_INVALID_FIELD);
        g_assert_cmphex(nvme_get_log(&n, logs[i].lid, 2, part, 512), ==,
                        ST_INVALID_FIELD);
    }
    nvme_stop(&n);
}

/* More than there is: 1 MiB is what a command may ask for. */
static void test_lengths(void)
{
    g_autofree uint8_t *data = g_malloc(NVME_MDTS + 4096);
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned lid = LOG_ERROR; lid <= LOG_EFFECTS; lid++) {
        for (unsigned len = 4; len <= NVME_MDTS; len *= 8) {
            unsigned status = nvme_get_log(&n, lid, 0, data, len);

            g_assert_true(status == ST_OK || status == ST_INVALID_FIELD);
            g_assert_true(len > 512 || status == ST_OK);
        }
        g_assert_cmphex(nvme_get_log(&n, lid, 0, data, NVME_MDTS + 4096), ==,
                        ST_INVALID_FIELD);
    }
    nvme_stop(&n);
}

static void test_unknown(void)
{
    uint8_t data[512];
    Machine m;
    Nvme n;

    open_ctrl(&n, &m);
    for (unsigned lid = 0; lid < 256; lid++) {
        unsigned status = nvme_get_log(&n, lid, 0, data, sizeof(data));

        if (lid >= LOG_ERROR && lid <= LOG_EFFECTS) {
            nvme_assert_status(status, ST_OK);
        } else if (status) {    /* page 00h came with NVMe 2.0 */
            nvme_assert_status(status, ST_LOG_PAGE);
            g_assert_cmphex(data[0], ==, 0xee);
        } else {
            g_assert_cmphex(lid, ==, 0);
        }
    }
    nvme_stop(&n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/error", test_error);
    g_test_add_func("/log/smart", test_smart);
    g_test_add_func("/log/unsafe-shutdowns", test_unsafe_shutdowns);
    g_test_add_func("/log/firmware", test_firmware);
    g_test_add_func("/log/effects", test_effects);
    g_test_add_func("/log/offsets", test_offsets);
    g_test_add_func("/log/lengths", test_lengths);
    g_test_add_func("/log/unknown", test_unknown);
    return g_test_run();
}
