/*
 * The NVMe/TCP initiator against a target double: what it does with a good
 * target. Bad ones are in test-nvme-tcp-faults.c.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "nvme-world.h"
#include "smartnic/trace.h"

static void test_bring_up(void)
{
    World *w = world_new(1);
    const SnVolumeInfo *info;
    static const uint8_t uuid[16] = {
        [0 ... 15] = 0xcd
    };
    uint8_t hostid[16];
    g_autofree char *nqn = NULL;

    w->d->not_ready = 3;
    world_open_ready(w, "queues=4");
    info = sn_volume_info(w->vol);
    g_assert_cmpuint(info->size, ==, WORLD_SIZE);
    g_assert_cmpuint(info->block_size, ==, 512);
    g_assert_cmpuint(info->phys_block_size, ==, 4096);
    g_assert_cmpuint(info->opt_io_size, ==, 16384);
    g_assert_cmpuint(info->discard_granularity, ==, 8192);
    g_assert_cmpuint(info->max_transfer, ==, 4096 << DOUBLE_MDTS);
    g_assert_cmpuint(info->max_write_zeroes, ==, 4096 << DOUBLE_MDTS);
    g_assert_cmpuint(info->max_discard, ==, 512ull << 31);
    g_assert_true(info->write_cache && info->fua && info->compare);
    g_assert_false(info->read_only);
    g_assert_cmpuint(info->queues, ==, 4);
    g_assert_cmpuint(info->queue_depth, ==, 4 * 64);
    g_assert_cmpstr(info->serial, ==, "SN42");
    g_assert_cmpuint(info->nguid[7], ==, 0xab);
    g_assert_cmpmem(info->uuid, 16, uuid, 16);
    g_assert_cmpuint(w->d->connects, ==, 5);

    /* The host NQN holds the host identifier, and both stay the same. */
    memcpy(hostid, w->d->hostid, 16);
    nqn = g_strdup(w->d->hostnqn);
    g_assert_true(g_str_has_prefix(nqn, "nqn.2014-08.org.nvmexpress:uuid:"));
    g_assert_true(g_uuid_string_is_valid(nqn + 32));
    for (unsigned i = 0, at = 32; i < 16; i++, at += 2) {
        at += nqn[at] == '-';
        g_assert_cmpuint(hostid[i], ==,
                         g_ascii_xdigit_value(nqn[at]) << 4 |
                         g_ascii_xdigit_value(nqn[at + 1]));
    }
    memory_net_end_all(w->d->net, -ECONNRESET);
    world_settle(w);
    g_assert_true(world_wait_state(w, SN_VOLUME_READY, 5));
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 1);
    g_assert_cmpuint(w->d->connects, ==, 10);
    g_assert_cmpmem(w->d->hostid, 16, hostid, 16);
    g_assert_cmpstr(w->d->hostnqn, ==, nqn);
    world_free(w);
}

static void test_operations(void)
{
    World *w = world_new(2);
    uint8_t buf[8192], zero[8192] = { 0 };

    memset(buf, 0x77, sizeof(buf));
    world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 4096, 8192, buf), ==, 0);
    g_assert_cmphex(w->d->last_cdw12, ==, 15);
    g_assert_cmpmem(w->d->disk + 4096, 8192, buf, 8192);
    g_assert_cmpint(req_run(w, SN_IO_WRITE, SN_IO_FUA, 4096, 512, buf), ==, 0);
    g_assert_cmphex(w->d->last_cdw12, ==, 1u << 30);
    g_assert_cmpuint(w->d->in_capsule, ==, 1);
    g_assert_cmpint(req_run(w, SN_IO_COMPARE, 0, 4096, 8192, buf), ==, 0);
    buf[8000] ^= 1;
    g_assert_cmpint(req_run(w, SN_IO_COMPARE, 0, 4096, 8192, buf), ==,
                    -EILSEQ);
    g_assert_cmpint(req_run(w, SN_IO_FLUSH, 0, 0, 0, NULL), ==, 0);
    g_assert_cmpuint(w->d->commands[0], ==, 1);
    g_assert_cmpint(req_run(w, SN_IO_WRITE_ZEROES, SN_IO_UNMAP, 4096, 4096,
                            NULL), ==, 0);
    g_assert_cmphex(w->d->last_cdw12, ==, 7 | 1u << 25);
    g_assert_cmpint(req_run(w, SN_IO_DISCARD, 0, 8192, 4096, NULL), ==, 0);
    g_assert_cmpuint(w->d->commands[9], ==, 1);
    g_assert_cmpmem(w->d->disk + 4096, 8192, zero, 8192);
    world_free(w);

    /* Write Zeroes deallocates only where it can. */
    w = world_new(2);
    w->d->dlfeat = 1;
    world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE_ZEROES, SN_IO_UNMAP, 4096, 4096,
                            NULL), ==, 0);
    g_assert_cmphex(w->d->last_cdw12, ==, 7);
    world_free(w);
}

/* One region of the disk and what must be in it. */
typedef struct Region {
    Req req;
    uint64_t start;
    uint8_t *shadow;
    uint8_t *next;              /* what it is once the request is over */
    bool unknown;               /* a write was cancelled: old or new */
} Region;

#define REGIONS 16
#define REGION_SIZE (WORLD_SIZE / REGIONS)

static void check_result(Region *g)
{
    const SnIo *io = &g->req.io;
    uint64_t at = io->offset - g->start;

    g_assert_cmpint(g->req.ret, ==, 0);
    if (io->op == SN_IO_READ) {
        g_assert_cmpmem(g->req.data, io->len, g->shadow + at, io->len);
    } else if (io->op != SN_IO_COMPARE) {
        memcpy(g->shadow, g->next, REGION_SIZE);
        if (io->len == REGION_SIZE) {
            g->unknown = false;
        }
    }
    req_clear(&g->req);
    g->req.io.op = SN_IO_FLUSH;         /* checked */
}

typedef struct Workload {
    unsigned requests;
    bool small;                 /* none of many blocks */
    unsigned cancel;            /* one in that many turns; 0: never */
    unsigned lose;
} Workload;

static void start_request(World *w, Region *g, const Workload *load,
                          GRand *rand)
{
    static const SnIoOp ops[] = {
        SN_IO_READ, SN_IO_READ, SN_IO_WRITE, SN_IO_WRITE, SN_IO_WRITE,
        SN_IO_COMPARE, SN_IO_DISCARD, SN_IO_WRITE_ZEROES
    };
    SnIoOp op = ops[g_rand_int_range(rand, 0, G_N_ELEMENTS(ops))];
    unsigned max = load->small || g_rand_boolean(rand) ? 16
                                                       : REGION_SIZE / 512;
    unsigned nlb = g_rand_int_range(rand, 1, max + 1);
    uint64_t at = 512ull * g_rand_int_range(rand, 0,
                                            REGION_SIZE / 512 - nlb + 1);
    uint64_t len = 512ull * nlb;

    if (g->unknown) {
        op = SN_IO_WRITE;
        at = 0;
        len = REGION_SIZE;
    }
    memcpy(g->next, g->shadow, REGION_SIZE);
    if (op == SN_IO_WRITE) {
        for (uint64_t i = 0; i < len; i += 4) {
            guint32 v = g_rand_int(rand);

            memcpy(g->next + at + i, &v, 4);
        }
    } else if (op == SN_IO_DISCARD || op == SN_IO_WRITE_ZEROES) {
        memset(g->next + at, 0, len);
    }
    req_submit(w, &g->req, op, 0, g->start + at, len, g->next + at, rand);
}

static void cancel_request(Region *g)
{
    if (g->req.io.op != SN_IO_READ && g->req.io.op != SN_IO_COMPARE) {
        g->unknown = true;
    }
    req_cancel(&g->req);
    g->req.io.op = SN_IO_FLUSH;
}

static void turn(World *w, Region *g, const Workload *load, GRand *rand,
                 unsigned *left)
{
    if (!g->req.busy) {
        if (g->req.io.op != SN_IO_FLUSH) {
            check_result(g);
        }
        if (*left) {
            --*left;
            start_request(w, g, load, rand);
            if (g_rand_boolean(rand)) {
                sn_volume_kick(w->vol);
            }
        }
    } else if (load->cancel && !g_rand_int_range(rand, 0, load->cancel)) {
        cancel_request(g);
    } else if (load->lose && !g_rand_int_range(rand, 0, load->lose)) {
        memory_net_end_all(w->d->net, g_rand_boolean(rand) ? 0 : -ECONNRESET);
    }
}

static bool any_busy(const Region *regions)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        if (regions[i].req.busy || regions[i].req.io.op != SN_IO_FLUSH) {
            return true;
        }
    }
    return false;
}

/* Counts down the turns of the loop between two turns of the test. */
static bool count_down(void *opaque)
{
    return !(*(unsigned *)opaque)--;
}

static void run_workload(World *w, const Workload *load, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    Region regions[REGIONS] = { 0 };
    unsigned left = load->requests, idle = 0;

    for (unsigned i = 0; i < REGIONS; i++) {
        regions[i].start = (uint64_t)i * REGION_SIZE;
        regions[i].shadow = g_memdup2(w->d->disk + regions[i].start,
                                      REGION_SIZE);
        regions[i].next = g_malloc(REGION_SIZE);
        regions[i].req.io.op = SN_IO_FLUSH;
    }
    while (left || any_busy(regions)) {
        unsigned n = g_rand_int_range(rand, 1, 12);
        /* The last ones are left alone, so that it ends. */
        const Workload calm = { .small = load->small };

        turn(w, &regions[g_rand_int_range(rand, 0, REGIONS)],
             left ? load : &calm, rand, &left);
        sn_volume_kick(w->vol);
        idle = test_loop_run_until(w->loop, count_down, &n, SN_NS_PER_S)
               ? 0 : idle + 1;
        g_assert_cmpuint(idle, <, 1000);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        if (!regions[i].unknown) {
            g_assert_cmpmem(w->d->disk + regions[i].start, REGION_SIZE,
                            regions[i].shadow, REGION_SIZE);
        }
        g_free(regions[i].shadow);
        g_free(regions[i].next);
    }
    g_rand_free(rand);
}

/* A target and an initiator of any kind. */
static World *random_world(uint32_t seed, const Workload *load)
{
    GRand *rand = g_rand_new_with_seed(seed);
    World *w = world_new(seed);
    static const uint8_t cpdas[] = { 0, 0, 1, 4, 17, 31 };
    static const size_t grains[] = { 1, 7, 100, 1460, 65536, SIZE_MAX };
    static const uint32_t max[] = { 512, 4096, 33 * 512, 65536, UINT32_MAX };
    g_autofree char *params = g_strdup_printf(
        "queues=%d&queue-size=%d&hdgst=%s&ddgst=%s",
        g_rand_int_range(rand, 1, 4), 2 << g_rand_int_range(rand, 0, 6),
        g_rand_boolean(rand) ? "on" : "off",
        g_rand_boolean(rand) ? "on" : "off");
    size_t grain = grains[g_rand_int_range(rand, 0, G_N_ELEMENTS(grains))];
    Workload l = *load;

    w->d->cpda = cpdas[g_rand_int_range(rand, 0, G_N_ELEMENTS(cpdas))];
    w->d->maxh2cdata = 4096u << g_rand_int_range(rand, 0, 6);
    w->d->ioccsz = 4 + g_rand_int_range(rand, 0, 5) * 4096 / 16;
    w->d->r2t_max = max[g_rand_int_range(rand, 0, G_N_ELEMENTS(max))];
    w->d->c2h_max = max[g_rand_int_range(rand, 0, G_N_ELEMENTS(max))];
    w->d->c2h_pad = 4 * g_rand_int_range(rand, 0, 8);
    w->d->success = g_rand_boolean(rand);
    w->d->net->grain = grain;
    if (grain < 100) {
        /* Each is many turns of the loop. */
        l.requests /= 4;
        l.small = true;
    }
    world_open_ready(w, params);
    run_workload(w, &l, seed);
    g_rand_free(rand);
    return w;
}

static void test_workload(void)
{
    for (unsigned seed = 0; seed < 24; seed++) {
        World *w = random_world(seed, &(Workload){ .requests = 200 });

        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        world_free(w);
    }
}

static void test_cancels(void)
{
    unsigned aborts = 0;

    for (unsigned seed = 100; seed < 120; seed++) {
        World *w = random_world(seed, &(Workload){ .requests = 200,
                                                   .cancel = 6 });

        aborts += w->d->aborts;
        g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
        world_free(w);
    }
    g_assert_cmpuint(aborts, >, 0);
}

static void test_losses(void)
{
    unsigned lost = 0;

    for (unsigned seed = 200; seed < 220; seed++) {
        World *w = random_world(seed, &(Workload){ .requests = 200,
                                                   .cancel = 30,
                                                   .lose = 20 });

        lost += sn_volume_reconnects(w->vol);
        world_free(w);
    }
    g_assert_cmpuint(lost, >, 20);
}

static void test_split_by_maxh2cdata(void)
{
    World *w = world_new(3);
    g_autofree uint8_t *buf = g_malloc(131072);

    /* 32 H2CData PDUs for one R2T: more than can be in flight at once. */
    memset(buf, 0x31, 131072);
    world_open_ready(w, "queue-size=2");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 131072, buf), ==, 0);
    g_assert_cmpuint(w->d->r2ts, ==, 1);
    g_assert_cmpmem(w->d->disk, 131072, buf, 131072);
    world_free(w);
}

/* More commands than the queue has entries wait, and none is forgotten. */
static void test_full_queue(void)
{
    World *w = world_new(4);
    Req r[10] = { 0 };

    world_open_ready(w, "queue-size=5");
    g_assert_cmpuint(sn_volume_info(w->vol)->queue_depth, ==, 4);
    w->d->hold = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
        req_submit(w, &r[i], SN_IO_READ, 0, i * 512, 512, NULL, w->d->rand);
    }
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(nvme_double_pending(w->d), ==, 4);
    nvme_double_release(w->d);
    world_settle(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(r); i++) {
        g_assert_false(r[i].busy);
        g_assert_cmpint(r[i].ret, ==, 0);
        req_clear(&r[i]);
    }
    world_free(w);
}

/*
 * A cancelled write may be carried out late. A new write to the same blocks
 * waits for that, one to others does not.
 */
static void test_cancelled_write_is_fenced(void)
{
    World *w = world_new(5);
    Req old = { 0 }, same = { 0 }, other = { 0 };
    uint8_t buf[4096];

    world_open_ready(w, "");
    w->d->hold = true;
    memset(buf, 1, sizeof(buf));
    req_submit(w, &old, SN_IO_WRITE, 0, 8192, 4096, buf, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    req_cancel(&old);
    req_submit(w, &other, SN_IO_READ, 0, 0, 4096, NULL, w->d->rand);
    memset(buf, 2, sizeof(buf));
    req_submit(w, &same, SN_IO_WRITE, 0, 12288 - 512, 512, buf, w->d->rand);
    sn_volume_kick(w->vol);
    world_settle(w);
    g_assert_cmpuint(nvme_double_pending(w->d), ==, 2);
    g_assert_cmpuint(w->d->aborts, ==, 1);
    nvme_double_release(w->d);
    world_settle(w);
    g_assert_false(same.busy || other.busy);
    g_assert_cmpuint(w->d->disk[8192], ==, 1);
    g_assert_cmpuint(w->d->disk[12288 - 512], ==, 2);
    req_clear(&same);
    req_clear(&other);
    world_free(w);
}

static void test_event(void)
{
    World *w = world_new(6);

    world_open_ready(w, "");
    world_settle(w);
    w->d->size = WORLD_SIZE / 2;
    w->d->nsattr = 1;
    nvme_double_event(w->d);
    world_settle(w);
    g_assert_cmpuint(w->info_changes, ==, 1);
    g_assert_cmpuint(w->d->log_reads, ==, 1);
    g_assert_cmpuint(sn_volume_info(w->vol)->size, ==, WORLD_SIZE / 2);
    g_assert_true(sn_volume_info(w->vol)->read_only);
    g_assert_cmpuint(sn_volume_info(w->vol)->uuid[0], ==, 0xcd);
    g_assert_cmpuint(sn_volume_info(w->vol)->queue_depth, ==, 64);
    g_assert_true(w->d->have_event);
    world_free(w);
}

static void test_keep_alive(void)
{
    World *w = world_new(7);

    world_open_ready(w, "keep-alive-tmo=4");
    test_loop_advance(w->loop, 21 * SN_NS_PER_S);
    g_assert_cmpuint(w->d->keep_alives, ==, 10);
    g_assert_cmpuint(sn_volume_reconnects(w->vol), ==, 0);
    sn_volume_close(w->vol);
    world_open_ready(w, "keep-alive-tmo=0");
    test_loop_advance(w->loop, 60 * SN_NS_PER_S);
    g_assert_cmpuint(w->d->keep_alives, ==, 10);
    world_free(w);
}

static GString *traced;

static void take_trace(const char *line)
{
    g_string_append_printf(traced, "%s\n", line);
}

/* The last test: events cannot be switched off again. */
static void test_trace(void)
{
    static const char *const want[] = {
        "nvmetcp_queue_connect id=nic0 qid=0 host=target port=4420",
        "nvmetcp_queue_state id=nic0 qid=1 state=up",
        "nvmetcp_assoc_step id=nic0 step=Identify Namespace",
        "nvmetcp_assoc_ready id=nic0", "nvmetcp_event_request id=nic0",
        "nvmetcp_cmd_send id=nic0 qid=1 cid=0 opcode=0x01 len=16384",
        "nvmetcp_r2t id=nic0 qid=1 cid=0 offset=0 len=16384",
        "nvmetcp_cmd_done id=nic0 qid=1 cid=0 status=0x000",
        "nvmetcp_data id=nic0 qid=1", "nvmetcp_keep_alive_done id=nic0",
        "nvmetcp_io_retry op=0", "nvmetcp_assoc_failed id=nic0 permanent=0",
        "nvmetcp_assoc_stopped id=nic0",
    };
    World *w = world_new(8);
    g_autofree uint8_t *buf = g_malloc0(16384);

    traced = g_string_new(NULL);
    sn_trace_set_func(take_trace);
    g_assert_cmpuint(sn_trace_enable("nvmetcp_*"), >, 20);
    world_open_ready(w, "");
    g_assert_cmpint(req_run(w, SN_IO_WRITE, 0, 0, 16384, buf), ==, 0);
    w->d->io_status = 0x0021;
    w->d->io_failures = 1;
    g_assert_cmpint(req_run(w, SN_IO_READ, 0, 0, 512, buf), ==, 0);
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    memory_net_end_all(w->d->net, 0);
    test_loop_advance(w->loop, 5 * SN_NS_PER_S);
    world_free(w);
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        g_test_message("%s", want[i]);
        g_assert_nonnull(strstr(traced->str, want[i]));
    }
    sn_trace_set_func(NULL);
    g_string_free(traced, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvme-tcp/bring-up", test_bring_up);
    g_test_add_func("/nvme-tcp/operations", test_operations);
    g_test_add_func("/nvme-tcp/workload", test_workload);
    g_test_add_func("/nvme-tcp/cancels", test_cancels);
    g_test_add_func("/nvme-tcp/losses", test_losses);
    g_test_add_func("/nvme-tcp/split-by-maxh2cdata",
                    test_split_by_maxh2cdata);
    g_test_add_func("/nvme-tcp/full-queue", test_full_queue);
    g_test_add_func("/nvme-tcp/cancelled-write-is-fenced",
                    test_cancelled_write_is_fenced);
    g_test_add_func("/nvme-tcp/event", test_event);
    g_test_add_func("/nvme-tcp/keep-alive", test_keep_alive);
    g_test_add_func("/nvme-tcp/trace", test_trace);
    return g_test_run();
}
