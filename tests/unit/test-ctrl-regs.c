/*
 * Unit tests of the NVMe controller's registers, and of enabling it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "ctrl-world.h"

#define CC_ON (4u << NVME_CC_IOCQES_SHIFT | 6u << NVME_CC_IOSQES_SHIFT | 1)
#define RDY 1u
#define CFS 2u

/* ------------------------------------------------------- what there is */

static unsigned timeout_of(unsigned ready_timeout)
{
    World *w = world_new_with(&(SnCtrlConfig){
        .ready_timeout = ready_timeout });
    unsigned to = NVME_CAP_TO(world_read64(w, NVME_REG_CAP));

    world_free(w);
    return to;
}

static void test_capabilities(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .entries = 1024 });
    uint64_t cap = world_read64(w, NVME_REG_CAP);

    g_assert_cmpuint(NVME_CAP_MQES(cap), ==, 1023);
    g_assert_cmpuint(NVME_CAP_CQR(cap), ==, 1);
    g_assert_cmpuint(NVME_CAP_AMS(cap), ==, NVME_CAP_AMS_WRR);
    g_assert_cmpuint(NVME_CAP_DSTRD(cap), ==, 0);
    g_assert_cmpuint(NVME_CAP_NSSRC(cap), ==, 0);
    g_assert_cmpuint(NVME_CAP_CSS(cap), ==, NVME_CAP_CSS_NVM);
    g_assert_cmpuint(NVME_CAP_MPSMIN(cap), ==, 0);
    g_assert_cmpuint(NVME_CAP_MPSMAX(cap), ==, 4);
    g_assert_cmphex(cap >> 56, ==, 0);      /* no PMR, no CMB */
    g_assert_cmphex(world_read32(w, NVME_REG_VS), ==, 0x00010400);
    world_free(w);

    /* In units of 500 ms, and never less than what enabling may take. */
    g_assert_cmpuint(timeout_of(5000), >=, 10);
    g_assert_cmpuint(timeout_of(5001), >=, 11);
    g_assert_cmpuint(timeout_of(1), >=, 1);
    g_assert_cmpuint(timeout_of(UINT32_MAX), ==, 255);
}

/* What is longer than CAP.TO can say must not be waited for. */
static void test_longest_timeout(void)
{
    World *w = world_new_with(&(SnCtrlConfig){ .ready_timeout = UINT32_MAX });

    world_add_scripted(w, 1);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_advance_ms(w, 255 * 500);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_free(w);
}

/* ------------------------------------------------------- accesses */

static void test_sizes(void)
{
    World *w = world_new();
    uint64_t cap = world_read64(w, NVME_REG_CAP);

    g_assert_cmphex(world_read32(w, NVME_REG_CAP), ==, (uint32_t)cap);
    g_assert_cmphex(world_read32(w, NVME_REG_CAP + 4), ==, cap >> 32);
    for (unsigned size = 1; size <= 2; size++) {
        for (unsigned offset = 0; offset < 0x40; offset++) {
            g_assert_cmphex(sn_ctrl_read(w->ctrl, offset, size), ==, 0);
            sn_ctrl_write(w->ctrl, offset, UINT64_MAX, size);
        }
    }
    for (unsigned offset = 0; offset < 0x40; offset++) {
        for (unsigned size = 4; size <= 8; size += 4) {
            if (offset % size) {
                g_assert_cmphex(sn_ctrl_read(w->ctrl, offset, size), ==, 0);
                sn_ctrl_write(w->ctrl, offset, UINT64_MAX, size);
            }
        }
    }
    g_assert_cmphex(world_read32(w, NVME_REG_CC), ==, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_AQA), ==, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_INTMS), ==, 0);

    /* Both halves of a 64-bit register, in any order. */
    world_write64(w, NVME_REG_ASQ, UINT64_C(0x123456789abcd000));
    g_assert_cmphex(world_read32(w, NVME_REG_ASQ), ==, 0x9abcd000);
    g_assert_cmphex(world_read32(w, NVME_REG_ASQ + 4), ==, 0x12345678);
    world_write32(w, NVME_REG_ACQ + 4, 0x11223344);
    world_write32(w, NVME_REG_ACQ, 0x55667000);
    g_assert_cmphex(world_read64(w, NVME_REG_ACQ), ==,
                    UINT64_C(0x1122334455667000));
    world_free(w);
}

/* Any offset and size; what must not change does not. */
static void test_read_only(void)
{
    World *w = world_new();
    uint64_t cap = world_read64(w, NVME_REG_CAP);

    world_write64(w, NVME_REG_CAP, 0);
    world_write32(w, NVME_REG_VS, 0);
    world_write32(w, NVME_REG_CSTS, UINT32_MAX);
    world_write32(w, NVME_REG_NSSR, 0x4e564d65);
    for (unsigned offset = 0x38; offset < SN_CTRL_REGS_SIZE; offset += 4) {
        world_write32(w, offset, UINT32_MAX);
        g_assert_cmphex(world_read32(w, offset), ==, 0);
    }
    for (unsigned offset = SN_CTRL_REGS_SIZE - 16; offset < UINT16_MAX;
         offset++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            g_assert_cmphex(sn_ctrl_read(w->ctrl, offset, size), ==, 0);
            sn_ctrl_write(w->ctrl, offset, UINT64_MAX, size);
        }
    }
    g_assert_cmphex(world_read64(w, NVME_REG_CAP), ==, cap);
    g_assert_cmphex(world_read32(w, NVME_REG_VS), ==, 0x00010400);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_NSSR), ==, 0);
    world_free(w);
}

static void test_interrupt_mask(void)
{
    World *w = world_new();

    world_write32(w, NVME_REG_INTMS, 0xf0f0);
    world_write32(w, NVME_REG_INTMS, 0x000f);
    world_write32(w, NVME_REG_INTMC, 0x0001);
    g_assert_cmphex(world_read32(w, NVME_REG_INTMS), ==, 0xf0fe);
    g_assert_cmphex(world_read32(w, NVME_REG_INTMC), ==, 0xf0fe);
    world_enable(w);
    world_disable(w);
    g_assert_cmphex(world_read32(w, NVME_REG_INTMS), ==, 0);
    world_free(w);
}

static void test_admin_queue_registers(void)
{
    World *w = world_new();
    uint64_t asq, acq;
    uint32_t aqa;

    world_write32(w, NVME_REG_AQA, UINT32_MAX);
    world_write64(w, NVME_REG_ASQ, UINT64_MAX);
    world_write64(w, NVME_REG_ACQ, UINT64_MAX);
    g_assert_cmphex(world_read32(w, NVME_REG_AQA), ==, 0x0fff0fff);
    g_assert_cmphex(world_read64(w, NVME_REG_ASQ), ==, ~UINT64_C(0xfff));
    g_assert_cmphex(world_read64(w, NVME_REG_ACQ), ==, ~UINT64_C(0xfff));

    world_enable(w);
    aqa = world_read32(w, NVME_REG_AQA);
    asq = world_read64(w, NVME_REG_ASQ);
    acq = world_read64(w, NVME_REG_ACQ);
    world_write32(w, NVME_REG_AQA, 0x00010001);
    world_write64(w, NVME_REG_ASQ, 0);
    world_write64(w, NVME_REG_ACQ, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_AQA), ==, aqa);
    g_assert_cmphex(world_read64(w, NVME_REG_ASQ), ==, asq);
    g_assert_cmphex(world_read64(w, NVME_REG_ACQ), ==, acq);

    /* A controller reset leaves them as they are (section 3.1). */
    world_disable(w);
    g_assert_cmphex(world_read32(w, NVME_REG_AQA), ==, aqa);
    g_assert_cmphex(world_read64(w, NVME_REG_ASQ), ==, asq);
    sn_ctrl_reset(w->ctrl);
    g_assert_cmphex(world_read32(w, NVME_REG_AQA), ==, 0);
    g_assert_cmphex(world_read64(w, NVME_REG_ASQ), ==, 0);
    g_assert_cmphex(world_read64(w, NVME_REG_ACQ), ==, 0);
    world_free(w);
}

/* CSS, MPS and AMS are looked at when CC.EN becomes 1, the rest may change. */
static void test_cc_while_enabled(void)
{
    World *w = world_new();
    uint32_t cc;

    world_enable(w);
    cc = world_read32(w, NVME_REG_CC);
    g_assert_cmphex(cc, ==, CC_ON);
    world_write32(w, NVME_REG_CC, cc | 7 << NVME_CC_CSS_SHIFT |
                  15 << NVME_CC_MPS_SHIFT | 7 << NVME_CC_AMS_SHIFT);
    g_assert_cmphex(world_read32(w, NVME_REG_CC), ==, cc);
    world_write32(w, NVME_REG_CC, 1);
    g_assert_cmphex(world_read32(w, NVME_REG_CC), ==, 1);
    world_write32(w, NVME_REG_CC, CC_ON);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_disable(w);
    world_write32(w, NVME_REG_CC, 1 << NVME_CC_MPS_SHIFT);
    g_assert_cmphex(world_read32(w, NVME_REG_CC), ==, 1 << NVME_CC_MPS_SHIFT);
    world_free(w);
}

/* ------------------------------------------------------- enabling */

static unsigned lines(const World *w)
{
    unsigned n = 0;

    for (const char *p = w->log->str; *p; p++) {
        n += *p == '\n';
    }
    return n;
}

static void enable_with(World *w, uint32_t aqa, uint64_t asq, uint64_t acq,
                        uint32_t cc)
{
    world_write32(w, NVME_REG_AQA, aqa);
    world_write64(w, NVME_REG_ASQ, asq);
    world_write64(w, NVME_REG_ACQ, acq);
    world_write32(w, NVME_REG_CC, CC_ON | cc);
    world_run(w);
}

static void test_bad_enable(void)
{
    static const struct {
        uint32_t aqa;
        uint64_t asq, acq;
        uint32_t cc;
    } bad[] = {
        { 0x001f0000, 0x10000, 0x20000, 0 },
        { 0x0000001f, 0x10000, 0x20000, 0 },
        { 0x001f001f, WORLD_HOLE, 0x20000, 0 },
        { 0x001f001f, 0x10000, WORLD_HOLE, 0 },
        { 0x001f001f, 0x10000, WORLD_ROM, 0 },
        { 0x0fff001f, 0x10000, WORLD_HOLE - 0x1000, 0 },
        { 0x001f0fff, WORLD_HOLE - 0x1000, 0x20000, 0 },
        { 0x001f0fff, WORLD_RAM - 0x1000, 0x20000, 0 },
        { 0x001f001f, UINT64_C(1) << 63, 0x20000, 0 },
        { 0x0fff0fff, ~UINT64_C(0xfff), 0x20000, 0 },
        { 0x0fff0fff, 0x100000, ~UINT64_C(0xfff), 0 },
        { 0x001f001f, 0x10000, 0x20000, 1 << NVME_CC_CSS_SHIFT },
        { 0x001f001f, 0x10000, 0x20000, 6 << NVME_CC_CSS_SHIFT },
        { 0x001f001f, 0x10000, 0x20000, 5 << NVME_CC_MPS_SHIFT },
        { 0x001f001f, 0x10000, 0x20000, 15 << NVME_CC_MPS_SHIFT },
        { 0x001f001f, 0x10000, 0x20000, 2 << NVME_CC_AMS_SHIFT },
        { 0x001f001f, 0x10000, 0x20000, 7 << NVME_CC_AMS_SHIFT },
        { 0x001f001f, 0x11000, 0x20000, 1 << NVME_CC_MPS_SHIFT },
        { 0x001f001f, 0x10000, 0x28000, 4 << NVME_CC_MPS_SHIFT },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        World *w = world_new();

        enable_with(w, bad[i].aqa, bad[i].asq, bad[i].acq, bad[i].cc);
        g_test_message("case %u: %s", i, w->log->str);
        g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, CFS);
        g_assert_cmpuint(lines(w), ==, 1);
        world_expect_unmapped(w);
        /* Nothing helps but a reset, and that does. */
        world_write32(w, world_sq_doorbell(0), 1);
        world_write32(w, world_cq_doorbell(0), 1);
        world_write32(w, NVME_REG_CC, CC_ON);
        g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, CFS);
        world_disable(w);
        world_enable(w);
        world_free(w);
    }
}

static void test_log_is_limited(void)
{
    World *w = world_new();

    for (int i = 0; i < 1000; i++) {
        enable_with(w, 0, 0, 0, 0);
        world_disable(w);
    }
    g_assert_cmpuint(lines(w), <, 20);
    world_free(w);
}

static void test_page_sizes(void)
{
    World *w = world_new();

    for (unsigned mps = 0; mps <= 4; mps++) {
        for (unsigned ams = 0; ams <= 1; ams++) {
            world_enable_cc(w, mps << NVME_CC_MPS_SHIFT |
                            ams << NVME_CC_AMS_SHIFT);
            g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
            world_disable(w);
        }
    }
    /* The smallest and the largest admin queues. */
    enable_with(w, 0x00010001, 0x10000, 0x20000, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_disable(w);
    enable_with(w, 0x0fff0fff, 0x100000, 0x180000, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_free(w);
}

/* Without bus mastering nothing can be told about the memory. */
static void test_not_running(void)
{
    World *w = world_new();
    SnNvmeSqe sqe = { .opcode = 0xff };
    SnNvmeCqe cqe;
    uint16_t cid;

    world_set_running(w, false);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    cid = world_submit(w, 0, &sqe);
    world_expect_no_cqe(w, 0);
    world_set_running(w, true);
    cqe = world_wait_cqe(w, 0);
    g_assert_cmpuint(GUINT16_FROM_LE(cqe.cid), ==, cid);
    world_disable(w);

    world_set_running(w, false);
    enable_with(w, 0x001f001f, WORLD_HOLE, 0x20000, 0);
    world_set_running(w, true);
    world_write32(w, world_sq_doorbell(0), 1);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS) & CFS, ==, CFS);
    world_free(w);
}

/* ------------------------------------------------------- waiting */

static void test_waits_for_volumes(void)
{
    World *w = world_new();
    WorldBackend *a = world_add_scripted(w, 1);
    WorldBackend *b = world_add_scripted(w, 7);

    world_add_mem(w, 9);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    /* Not READY: doorbells mean nothing. */
    world_write32(w, world_sq_doorbell(0), 1);
    wb_ready(a);
    world_advance_ms(w, 1000);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    wb_ready(b);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_expect_no_cqe(w, 0);
    world_free(w);
}

static void test_waits_no_longer(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted(w, 1);

    world_enable_cc(w, 0);
    world_advance_ms(w, 4999);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_advance_ms(w, 1);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    /* Once is enough. */
    world_disable(w);
    world_enable(w);
    wb_ready(be);
    world_run(w);
    world_free(w);
}

/* Firmware that gives up, and the system after it, wait together that long. */
static void test_reset_while_waiting(void)
{
    World *w = world_new();

    world_add_scripted(w, 1);
    world_enable_cc(w, 0);
    world_advance_ms(w, 3000);
    world_disable(w);
    world_advance_ms(w, 1000);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_advance_ms(w, 1000);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    sn_ctrl_reset(w->ctrl);
    world_advance_ms(w, 60000);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    world_free(w);
}

static void test_nothing_to_wait_for(void)
{
    World *w = world_new();
    WorldBackend *be = world_add_scripted(w, 1);
    SnCtrlNs *ns = world_add_url(w, 2, "scripted://");

    world_run(w);
    world_enable_cc(w, 0);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    wb_lost(be, true);
    world_run(w);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, 0);
    sn_ctrl_remove_namespace(w->ctrl, ns);
    g_assert_cmphex(world_read32(w, NVME_REG_CSTS), ==, RDY);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctrl-regs/capabilities", test_capabilities);
    g_test_add_func("/ctrl-regs/longest-timeout", test_longest_timeout);
    g_test_add_func("/ctrl-regs/sizes", test_sizes);
    g_test_add_func("/ctrl-regs/read-only", test_read_only);
    g_test_add_func("/ctrl-regs/interrupt-mask", test_interrupt_mask);
    g_test_add_func("/ctrl-regs/admin-queue", test_admin_queue_registers);
    g_test_add_func("/ctrl-regs/cc-while-enabled", test_cc_while_enabled);
    g_test_add_func("/ctrl-regs/bad-enable", test_bad_enable);
    g_test_add_func("/ctrl-regs/log-is-limited", test_log_is_limited);
    g_test_add_func("/ctrl-regs/page-sizes", test_page_sizes);
    g_test_add_func("/ctrl-regs/not-running", test_not_running);
    g_test_add_func("/ctrl-regs/waits-for-volumes", test_waits_for_volumes);
    g_test_add_func("/ctrl-regs/waits-no-longer", test_waits_no_longer);
    g_test_add_func("/ctrl-regs/reset-while-waiting",
                    test_reset_while_waiting);
    g_test_add_func("/ctrl-regs/nothing-to-wait-for",
                    test_nothing_to_wait_for);
    return g_test_run();
}
