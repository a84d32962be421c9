/*
 * I/O commands that only an NVMe namespace at the far side can carry out: they
 * go there as they are, and so do the answers.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "ctrl-internal.h"
#include "ctrl-io-world.h"

#define INVALID_OPCODE SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE)
#define FAR_ONCS (NVME_CTRL_ONCS_VERIFY | NVME_CTRL_ONCS_WRITE_UNCORRECTABLE)
#define PATH_ERROR \
    SN_NVME_STATUS(NVME_SCT_PATH, NVME_SC_ANA_INTERNAL_PATH_ERROR)

static IoWorld open_nvme(uint16_t oncs)
{
    IoWorld t = io_world_new();

    t.be->info.nvme.passthrough = true;
    t.be->info.nvme.rescap = 0xff;
    t.be->info.nvme.oncs = oncs;
    io_world_start(&t);
    return t;
}

/* With something in every field that is not about data. */
static SnNvmeSqe command(const IoWorld *t, uint8_t opcode)
{
    return (SnNvmeSqe){
        .opcode = opcode, .nsid = GUINT32_TO_LE(1), .cdw2 = 0x22222222,
        .cdw3 = 0x33333333, .prp1 = GUINT64_TO_LE(t->buffer + 8),
        .cdw10 = GUINT32_TO_LE(15), .cdw11 = GUINT32_TO_LE(0),
        .cdw12 = GUINT32_TO_LE(7), .cdw13 = 0x13131313, .cdw14 = 0x14141414,
        .cdw15 = 0x15151515,
    };
}

/* ---- what is passed on ---- */

static void test_as_it_is(void)
{
    static const struct {
        uint8_t opcode;
        SnNvmeDir dir;
        unsigned len, flags;
    } cases[] = {
        { nvme_cmd_write_uncor, SN_NVME_NO_DATA, 0, SN_IO_ONCE },
        { nvme_cmd_verify, SN_NVME_NO_DATA, 0, 0 },
        { nvme_cmd_resv_register, SN_NVME_OUT, 16, SN_IO_ONCE },
        { nvme_cmd_resv_acquire, SN_NVME_OUT, 16, SN_IO_ONCE },
        { nvme_cmd_resv_release, SN_NVME_OUT, 8, SN_IO_ONCE },
        { nvme_cmd_resv_report, SN_NVME_IN, 64, 0 },
    };
    IoWorld t = open_nvme(FAR_ONCS);
    uint8_t *memory = world_at(t.w, t.buffer);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe sqe = command(&t, cases[i].opcode);
        SnIo *io = io_begin(&t, &sqe);
        SnNvmeCqe cqe;

        g_test_message("opcode 0x%02x", sqe.opcode);
        io_expect(io, SN_IO_NVME, cases[i].flags, 0, cases[i].len);
        g_assert_false(io->nvme->admin);
        g_assert_cmpint(io->nvme->dir, ==, cases[i].dir);
        io->nvme->sqe.cid = sqe.cid;
        g_assert_cmpmem(&io->nvme->sqe, sizeof(sqe), &sqe, sizeof(sqe));
        if (cases[i].len) {
            g_assert_true(io->iov[0].iov_base == memory + 8);
        }
        io->nvme->cqe.dw0 = GUINT32_TO_LE(0x12345678);
        wb_done(t.be, 0, 0);
        cqe = world_wait_cqe(t.w, 1);
        g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
        g_assert_cmphex(GUINT32_FROM_LE(cqe.dw0), ==, 0x12345678);
        world_expect_unmapped(t.w);
    }
    world_free(t.w);
}

static void test_answers(void)
{
    const unsigned no = SN_NVME_STATUS_DNR;
    const struct {
        int ret;
        unsigned far, status;
    } cases[] = {
        { -EBADE, NVME_SC_RESERVATION_CONFLICT | no,
          NVME_SC_RESERVATION_CONFLICT | no },
        { -EIO, NVME_SC_INVALID_FIELD | no, NVME_SC_INVALID_FIELD | no },
        { -EIO, NVME_SC_INTERNAL, NVME_SC_INTERNAL },
        { -EOPNOTSUPP, 0, INVALID_OPCODE },
        { -ECONNRESET, 0, PATH_ERROR },
        { -ETIMEDOUT, 0, PATH_ERROR },
        { -ENODEV, 0, NVME_SC_NS_NOT_READY | no },
    };
    IoWorld t = open_nvme(0);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnNvmeSqe sqe = command(&t, nvme_cmd_resv_acquire);
        SnIo *io = io_begin(&t, &sqe);

        io->nvme_status = cases[i].far;
        io->nvme->cqe.dw0 = 0xffffffff;         /* is not an answer */
        io_end(&t, cases[i].ret, cases[i].status);
    }
    world_free(t.w);
}

/* How much data a report has is the guest's to say; not more than MDTS. */
static void test_report_length(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe sqe = command(&t, nvme_cmd_resv_report);
    uint32_t most = SN_CTRL_MAX_TRANSFER / 4;

    sqe.prp1 = GUINT64_TO_LE(t.buffer);
    sqe.prp2 = GUINT64_TO_LE(t.list);
    sqe.cdw10 = GUINT32_TO_LE(most - 1);
    io_expect(io_begin(&t, &sqe), SN_IO_NVME, 0, 0, SN_CTRL_MAX_TRANSFER);
    io_end(&t, 0, 0);
    sqe.cdw10 = GUINT32_TO_LE(most);
    io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    sqe.cdw10 = UINT32_MAX;
    io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    sqe.cdw10 = GUINT32_TO_LE(0);
    sqe.prp1 = GUINT64_TO_LE(WORLD_ROM);
    io_expect_refused(&t, &sqe, SN_CTRL_GENERIC(NVME_SC_DATA_XFER_ERROR));
    world_free(t.w);
}

/* More than the volume moves at a time: it is not about blocks. */
static void test_too_long_for_volume(void)
{
    IoWorld t = io_world_new();
    SnNvmeSqe sqe;

    t.be->info.nvme.passthrough = true;
    t.be->info.nvme.rescap = 1;
    t.be->info.max_transfer = 65536;
    io_world_start(&t);
    sqe = command(&t, nvme_cmd_resv_report);
    sqe.prp1 = GUINT64_TO_LE(t.buffer);
    sqe.prp2 = GUINT64_TO_LE(t.list);
    sqe.cdw10 = GUINT32_TO_LE(65536 / 4);
    io_expect_refused(&t, &sqe, SN_CTRL_INVALID_FIELD);
    world_free(t.w);
}

static void test_range(void)
{
    static const uint8_t opcodes[] = { nvme_cmd_write_uncor, nvme_cmd_verify };
    IoWorld t = open_nvme(FAR_ONCS);

    for (unsigned o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        SnNvmeSqe sqe = io_rw(&t, opcodes[o], IO_BLOCKS - 1, 2);

        io_expect_refused(&t, &sqe, SN_CTRL_GENERIC_DNR(NVME_SC_LBA_RANGE));
        sqe = io_rw(&t, opcodes[o], IO_BLOCKS - 1, 1);
        io_begin(&t, &sqe);
        io_end(&t, 0, 0);
    }
    world_free(t.w);
}

/* Verify that the far side does not have is carried out here. */
static void test_verify_here(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe sqe = io_rw(&t, nvme_cmd_verify, 1, 1);

    io_expect(io_begin(&t, &sqe), SN_IO_READ, 0, WORLD_BLOCK, WORLD_BLOCK);
    io_end(&t, 0, 0);
    world_free(t.w);
}

/* Beside a namespace that has them, one that has not. */
static void test_other_namespace(void)
{
    static const uint8_t opcodes[] = {
        nvme_cmd_write_uncor, nvme_cmd_resv_register, nvme_cmd_resv_report,
        nvme_cmd_resv_acquire, nvme_cmd_resv_release,
    };
    IoWorld t = open_nvme(FAR_ONCS);

    world_add_scripted_ready(t.w, 2);
    for (unsigned o = 0; o < G_N_ELEMENTS(opcodes); o++) {
        SnNvmeSqe sqe = command(&t, opcodes[o]);

        sqe.nsid = GUINT32_TO_LE(2);
        io_expect_refused(&t, &sqe, INVALID_OPCODE);
    }
    world_free(t.w);
}

/* ---- in the middle ---- */

static void test_lost(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe report = command(&t, nvme_cmd_resv_report);
    SnNvmeSqe acquire = command(&t, nvme_cmd_resv_acquire);
    SnNvmeCqe cqe;
    uint16_t cid;

    /* Nobody knows whether it was acquired; the report can be asked again. */
    world_submit(t.w, 1, &report);
    cid = world_submit(t.w, 1, &acquire);
    g_assert_cmpuint(t.be->n, ==, 2);
    wb_lost(t.be, false);
    cqe = world_wait_cqe(t.w, 1);
    g_assert_cmphex(GUINT16_FROM_LE(cqe.cid), ==, cid);
    g_assert_cmphex(world_cqe_status(&cqe), ==, PATH_ERROR);
    world_advance_ms(t.w, 1000);
    wb_ready(t.be);
    world_run(t.w);
    g_assert_cmpuint(t.be->ios[0]->nvme->sqe.opcode, ==,
                     nvme_cmd_resv_report);
    io_end(&t, 0, 0);
    world_free(t.w);
}

static void test_stopped(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe sqe = command(&t, nvme_cmd_resv_register);

    io_begin(&t, &sqe);
    world_set_running(t.w, false);
    g_assert_cmpuint(t.be->n, ==, 0);
    world_set_running(t.w, true);
    io_expect_status(&t, PATH_ERROR);
    sqe.opcode = nvme_cmd_resv_report;
    io_begin(&t, &sqe);
    world_set_running(t.w, false);
    world_set_running(t.w, true);
    world_run(t.w);
    io_end(&t, 0, 0);
    world_free(t.w);
}

/* ---- Get LBA Status, an admin command ---- */

static void test_lba_status(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe sqe = command(&t, nvme_admin_get_lba_status);
    SnNvmeCqe cqe;

    world_submit(t.w, 0, &sqe);
    g_assert_cmpuint(t.be->n, ==, 1);
    io_expect(t.be->ios[0], SN_IO_NVME, 0, 0, 32);      /* MNDW */
    g_assert_true(t.be->ios[0]->nvme->admin);
    g_assert_cmpint(t.be->ios[0]->nvme->dir, ==, SN_NVME_IN);
    wb_done(t.be, 0, 0);
    cqe = world_wait_cqe(t.w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, 0);
    sqe.nsid = GUINT32_TO_LE(2);
    g_assert_cmphex(world_admin_status(t.w, &sqe), ==, SN_CTRL_INVALID_NS);
    sqe.nsid = GUINT32_TO_LE(1);
    sqe.cdw12 = UINT32_MAX;
    g_assert_cmphex(world_admin_status(t.w, &sqe), ==, SN_CTRL_INVALID_FIELD);
    world_expect_unmapped(t.w);
    world_free(t.w);
}

/*
 * It does not wait for a path: drivers give admin commands a minute or so, and
 * then reset the controller.
 */
static void test_lba_status_lost(void)
{
    IoWorld t = open_nvme(0);
    SnNvmeSqe sqe = command(&t, nvme_admin_get_lba_status);
    SnNvmeSqe report = command(&t, nvme_cmd_resv_report);
    SnNvmeCqe cqe;

    world_submit(t.w, 1, &report);
    world_submit(t.w, 0, &sqe);
    g_assert_cmpuint(t.be->n, ==, 2);
    wb_lost(t.be, false);
    cqe = world_wait_cqe(t.w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, PATH_ERROR);
    g_assert_cmphex(world_admin_status(t.w, &sqe), ==, PATH_ERROR);
    world_expect_no_cqe(t.w, 1);
    /* Neither does one that begins again. */
    world_advance_ms(t.w, 1000);
    wb_ready(t.be);
    world_run(t.w);
    io_end(&t, 0, 0);
    world_submit(t.w, 0, &sqe);
    world_set_running(t.w, false);
    wb_lost(t.be, false);
    world_set_running(t.w, true);
    cqe = world_wait_cqe(t.w, 0);
    g_assert_cmphex(world_cqe_status(&cqe), ==, PATH_ERROR);
    world_free(t.w);
}

/* ---- ONCS ---- */

static void test_oncs(void)
{
    const uint16_t always = NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
                            NVME_CTRL_ONCS_WRITE_ZEROES |
                            NVME_CTRL_ONCS_VERIFY | NVME_CTRL_ONCS_TIMESTAMP |
                            NVME_CTRL_ONCS_SAVE_FEATURES;
    World *w = world_new();
    WorldBackend *be;

    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==, always);
    world_add_mem(w, 1);
    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==, always);
    be = world_add_scripted(w, 2);
    be->info.nvme.passthrough = true;
    be->info.nvme.oncs = 0xffff & ~NVME_CTRL_ONCS_WRITE_UNCORRECTABLE;
    wb_ready(be);
    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==, always);
    be = world_add_scripted(w, 3);
    be->info.nvme.passthrough = true;
    be->info.nvme.oncs = NVME_CTRL_ONCS_WRITE_UNCORRECTABLE;
    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==, always);
    wb_ready(be);
    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==,
                    always | NVME_CTRL_ONCS_WRITE_UNCORRECTABLE);
    be->info.nvme.rescap = 1;
    wb_info_changed(be);
    g_assert_cmphex(sn_ctrl_oncs(w->ctrl), ==,
                    always | NVME_CTRL_ONCS_WRITE_UNCORRECTABLE |
                    NVME_CTRL_ONCS_RESERVATIONS);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passthrough/as-it-is", test_as_it_is);
    g_test_add_func("/passthrough/answers", test_answers);
    g_test_add_func("/passthrough/report-length", test_report_length);
    g_test_add_func("/passthrough/too-long-for-volume",
                    test_too_long_for_volume);
    g_test_add_func("/passthrough/range", test_range);
    g_test_add_func("/passthrough/verify-here", test_verify_here);
    g_test_add_func("/passthrough/other-namespace", test_other_namespace);
    g_test_add_func("/passthrough/lost", test_lost);
    g_test_add_func("/passthrough/stopped", test_stopped);
    g_test_add_func("/passthrough/lba-status", test_lba_status);
    g_test_add_func("/passthrough/lba-status-lost", test_lba_status_lost);
    g_test_add_func("/passthrough/oncs", test_oncs);
    return g_test_run();
}
