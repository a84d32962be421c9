/*
 * The virtio-blk storage function while its volume has no path: requests wait,
 * and the guest, the user and QEMU can still do anything that ends them. The
 * target's address is one that nobody answers for.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_pci.h"

#include "disk.h"

#define REQUESTS 4

#define TIMEOUT(ms) \
    "-global smartnic-virtio-blk-device.ready-timeout=" ms " "
#define CARD_UNREACHABLE \
    CARD(",function=virtio-blk,ip=10.0.0.2/24," \
         "volume=nvme+tcp://10.0.0.9/nqn.2026-11.test:none")

/* A disk whose volume may take its time. */
static void open_disk(Disk *disk, Machine *m)
{
    machine_start(m, TIMEOUT("3600000") CARD_UNREACHABLE);
    disk_open(disk, m, STORAGE_DEVFN);
    disk_start(disk, 0, 1);
}

static void close_all(Disk *disk)
{
    Machine *m = disk->m;

    machine_assert_alive(m);
    disk_close(disk);
    machine_stop(m);
}

/* Reads, each into a sector of its own of the buffer. */
static void offer_requests(Disk *disk)
{
    qtest_memset(disk->m->qts, disk->buffer, 0x5a, REQUESTS * SECTOR);
    disk_offer_reads(disk, REQUESTS);
}

/* Neither data nor status nor the used ring has changed. */
static void assert_waiting(Disk *disk)
{
    uint8_t data[REQUESTS * SECTOR];

    machine_assert_alive(disk->m);
    qtest_memread(disk->m->qts, disk->buffer, data, sizeof(data));
    g_assert_cmpuint(data[0], ==, 0x5a);
    g_assert_cmpmem(data, sizeof(data) - 1, data + 1, sizeof(data) - 1);
    g_assert_cmpuint(disk_status(disk), ==, STATUS_NONE);
    g_assert_false(qvirtqueue_get_buf(disk->m->qts, disk->vq[0], NULL, NULL));
}

/* A reset is not over before the volume is there: the driver waits. */
static void test_reset_is_held(void)
{
    g_autofree char *state = NULL;
    Machine m;
    Disk disk;

    machine_start(&m, TIMEOUT("3600000") CARD_UNREACHABLE);
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk.dev->bus->set_status(disk.dev, 0);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmphex(disk_device_status(&disk), !=, 0);
    }
    state = machine_get_string(&m, VOLUME_PATH, "volume-state");
    g_assert_cmpstr(state, ==, "connecting");
    close_all(&disk);
}

/* After the time is up the driver gets an empty disk. */
static void test_reset_gives_up(void)
{
    Machine m;
    Disk disk;

    machine_start(&m, TIMEOUT("0") CARD_UNREACHABLE);
    disk_open(&disk, &m, STORAGE_DEVFN);
    qvirtio_reset(disk.dev);
    disk_start(&disk, 0, 1);
    g_assert_cmpuint(qvirtio_config_readq(disk.dev, 0), ==, 0);
    close_all(&disk);
}

/* A boot firmware that reads meanwhile gets an error in the end. */
static void test_requests_give_up(void)
{
    gint64 deadline = machine_deadline();
    Machine m;
    Disk disk;

    machine_start(&m, TIMEOUT("100") CARD_UNREACHABLE);
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    for (unsigned round = 0; round < 2; round++) {
        offer_requests(&disk);
        for (unsigned i = 0; i < REQUESTS; i++) {
            while (!qvirtqueue_get_buf(m.qts, disk.vq[0], NULL, NULL)) {
                g_assert_true(machine_before(deadline));
            }
        }
        g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_IOERR);
        disk_start(&disk, 0, 1);
    }
    close_all(&disk);
}

static void test_device_reset(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < 20; i++) {
        offer_requests(&disk);
        assert_waiting(&disk);
        disk_start(&disk, 0, 1);
        assert_waiting(&disk);
    }
    close_all(&disk);
}

/* Section 2.6.1: a queue alone is reset, and set up again. */
static void test_queue_reset(void)
{
    const uint64_t reset = (uint64_t)1 << VIRTIO_F_RING_RESET;
    Machine m;
    Disk disk;
    uint64_t reg;

    open_disk(&disk, &m);
    reg = disk.pci->common_cfg_offset +
        offsetof(struct virtio_pci_modern_common_cfg, queue_reset);
    g_assert_cmphex(disk.dev->features & reset, ==, reset);
    offer_requests(&disk);
    qpci_io_writew(disk.pci->pdev, disk.pci->bar, reg, 1);
    g_assert_cmpuint(qpci_io_readw(disk.pci->pdev, disk.pci->bar, reg), ==,
                     0);
    assert_waiting(&disk);
    disk_start(&disk, 0, 1);
    offer_requests(&disk);
    assert_waiting(&disk);
    close_all(&disk);
}

static void test_system_reset(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < 5; i++) {
        offer_requests(&disk);
        qtest_system_reset(m.qts);
        machine_assert_alive(&m);
        disk_close(&disk);
        disk_open(&disk, &m, STORAGE_DEVFN);
        disk_start(&disk, 0, 1);
    }
    close_all(&disk);
}

static void test_stop_cont(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    offer_requests(&disk);
    for (unsigned i = 0; i < 5; i++) {
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'cont' }");
        assert_waiting(&disk);
    }
    disk_start(&disk, 0, 1);
    offer_requests(&disk);

    /* Also when the guest goes away while stopped */
    qtest_qmp_assert_success(m.qts, "{ 'execute': 'stop' }");
    qtest_system_reset(m.qts);
    qtest_qmp_assert_success(m.qts, "{ 'execute': 'cont' }");
    close_all(&disk);
}

/* Operations that need no answer from the far side are not different. */
static void test_every_operation(void)
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_GET_ID,
    };
    struct virtio_blk_discard_write_zeroes seg = { .num_sectors = 8 };
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        bool in = types[i] == VIRTIO_BLK_T_IN ||
                  types[i] == VIRTIO_BLK_T_GET_ID;
        bool range = types[i] == VIRTIO_BLK_T_DISCARD ||
                     types[i] == VIRTIO_BLK_T_WRITE_ZEROES;

        disk_put_header(&disk, types[i], 0);
        qtest_memwrite(m.qts, disk.buffer, &seg, sizeof(seg));
        disk_put_chain(&disk, 0, (Desc[]) {
                { disk.header, 16 },
                { disk.buffer, range ? sizeof(seg) : SECTOR,
                  in ? VRING_DESC_F_WRITE : 0 },
                { disk.status, 1, VRING_DESC_F_WRITE } }, 3);
        disk_offer(&disk, 0, 0);
        machine_assert_alive(&m);
        disk_start(&disk, 0, 1);
    }
    close_all(&disk);
}

static void set_bus_master(Disk *disk, bool on)
{
    uint16_t cmd = qpci_config_readw(disk->pci->pdev, PCI_COMMAND);

    qpci_config_writew(disk->pci->pdev, PCI_COMMAND,
                       on ? cmd | PCI_COMMAND_MASTER
                          : cmd & ~PCI_COMMAND_MASTER);
}

static void wait_no_answer_due(Disk *second)
{
    gint64 deadline = machine_deadline();

    while (disk_status(second) == STATUS_NONE) {
        g_assert_true(machine_before(deadline));
    }
}

/*
 * DMA stops when the guest takes bus mastering away: requests that would fail
 * some time later do not. A second disk, which waits since after the first,
 * tells when that time has come.
 */
static void test_bus_master(void)
{
    Machine m;
    Disk disk, second;

    machine_start(&m, TIMEOUT("500") CARD_UNREACHABLE
                  "-netdev hubport,id=n1,hubid=0 -device smartnic-storage,"
                  "netdev=n1,addr=5,ip=10.0.0.3/24,function=virtio-blk,"
                  "volume=nvme+tcp://10.0.0.9/nqn.2026-11.test:none");
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_open(&second, &m, QPCI_DEVFN(5, 2));
    disk_start(&disk, 0, 1);
    offer_requests(&disk);
    set_bus_master(&disk, false);
    disk_start(&second, 0, 1);
    offer_requests(&second);
    wait_no_answer_due(&second);
    assert_waiting(&disk);
    set_bus_master(&disk, true);
    assert_waiting(&disk);
    disk_start(&disk, 0, 1);            /* and works as after any reset */
    offer_requests(&disk);
    disk_wait(&disk, 0, 0);
    g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_IOERR);
    disk_close(&second);
    close_all(&disk);
}

/*
 * Requests whose data is "the status register": what QEMU brings there when
 * the requests fail, one after the other, is the reset that drops the others.
 */
static void test_reset_while_failing(bool stopped)
{
    uint64_t status;
    Machine m;
    Disk disk;

    machine_start(&m, TIMEOUT("200") CARD_UNREACHABLE);
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    g_assert_false(disk.pci->bar.is_io);
    status = disk.pci->bar.addr + disk.pci->common_cfg_offset +
        offsetof(struct virtio_pci_common_cfg, device_status);
    disk_put_header(&disk, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        unsigned d = i * 4;

        disk_put_desc(&disk, 0, d, (Desc) { disk.header, 16,
                                            VRING_DESC_F_NEXT, d + 1 });
        disk_put_desc(&disk, 0, d + 1,
                      (Desc) { status, 1,
                               VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
                               d + 2 });
        disk_put_desc(&disk, 0, d + 2,
                      (Desc) { disk.buffer, SECTOR - 1,
                               VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
                               d + 3 });
        disk_put_desc(&disk, 0, d + 3, (Desc) { disk.status, 1,
                                                VRING_DESC_F_WRITE });
        disk_offer(&disk, 0, d);
    }
    if (stopped) {
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'stop' }");
        g_usleep(300 * 1000);           /* the time that is over at `cont` */
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'cont' }");
    }
    for (gint64 end = machine_deadline(); disk_device_status(&disk) &
         VIRTIO_CONFIG_S_DRIVER_OK; ) {
        g_assert_true(machine_before(end));
    }
    disk_start(&disk, 0, 1);
    close_all(&disk);
}

static void test_reset_while_wait_is_over(void)
{
    test_reset_while_failing(false);
}

static void test_reset_while_continuing(void)
{
    test_reset_while_failing(true);
}

/* ACPI takes the card out of its slot. */
static void test_unplug(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    offer_requests(&disk);
    machine_unplug(&m, "nic0", CARD_SLOT);
    assert_waiting(&disk);
    g_assert_null(qpci_device_find(m.bus, STORAGE_DEVFN));
    qvirtqueue_cleanup(disk.dev->bus, disk.vq[0], &m.alloc);
    g_free(disk.pci->pdev);
    g_free(disk.pci);
    machine_stop(&m);
}

/* QEMU quits although requests wait. */
static void test_quit(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    offer_requests(&disk);
    qtest_qmp_assert_success(m.qts, "{ 'execute': 'quit' }");
    qtest_wait_qemu(m.qts);
    g_free(disk.pci->pdev);
    g_free(disk.pci);
    g_free(disk.vq[0]);
    machine_stop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/waiting/reset-is-held", test_reset_is_held);
    g_test_add_func("/waiting/reset-gives-up", test_reset_gives_up);
    g_test_add_func("/waiting/requests-give-up", test_requests_give_up);
    g_test_add_func("/waiting/device-reset", test_device_reset);
    g_test_add_func("/waiting/queue-reset", test_queue_reset);
    g_test_add_func("/waiting/system-reset", test_system_reset);
    g_test_add_func("/waiting/stop-cont", test_stop_cont);
    g_test_add_func("/waiting/every-operation", test_every_operation);
    g_test_add_func("/waiting/bus-master", test_bus_master);
    g_test_add_func("/waiting/reset-while-wait-is-over",
                    test_reset_while_wait_is_over);
    g_test_add_func("/waiting/reset-while-continuing",
                    test_reset_while_continuing);
    g_test_add_func("/waiting/unplug", test_unplug);
    g_test_add_func("/waiting/quit", test_quit);
    return g_test_run();
}
