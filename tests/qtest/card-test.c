/*
 * The card as a whole: what is on the PCI bus, what the user may get wrong,
 * and what the monitor tells about it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_net.h"

#include "disk.h"

/* docs/guest-contract.rst */
enum {
    REG_MAGIC = 0x00,
    REG_VERSION = 0x04,
    REG_PORTS = 0x08,
    REG_LINK = 0x0c,
    REG_IP4 = 0x10,
    REG_VOLUME = 0x14,
    REG_COUNTERS = 0x100,
    REGS_SIZE = 0x1000,
};
#define MAGIC 0x54534e53
#define VOLUME_READY 2

/* ---- the PCI bus ---- */

typedef struct Function {
    uint16_t device, class;
} Function;

static void check_functions(Machine *m, unsigned slot,
                            const Function *expected, unsigned count)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        g_autofree QPCIDevice *dev = qpci_device_find(m->bus,
                                                      QPCI_DEVFN(slot, fn));

        if (fn >= count) {
            g_assert_null(dev);
            continue;
        }
        g_assert_nonnull(dev);
        g_assert_cmphex(qpci_config_readw(dev, PCI_VENDOR_ID), ==, 0x1af4);
        g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==,
                        expected[fn].device);
        g_assert_cmphex(qpci_config_readw(dev, PCI_CLASS_DEVICE), ==,
                        expected[fn].class);
        if (fn == 0) {
            /* More functions are looked for only when this bit says so. */
            g_assert_cmphex(qpci_config_readb(dev, PCI_HEADER_TYPE) & 0x80,
                            ==, 0x80);
        }
    }
}

/* virtio-net is transitional on a conventional bus, as QEMU makes it. */
static const Function nvme_functions[] = {
    { 0x10f0, 0x0880 }, { 0x1000, 0x0200 }, { 0x10f1, 0x0108 },
};
static const Function card_functions[] = {
    { 0x10f0, 0x0880 }, { 0x1000, 0x0200 }, { 0x1042, 0x0100 },
};

static void test_topology(void)
{
    static const struct {
        const char *args;
        const Function *functions;
        unsigned count;
    } cases[] = {
        { CARD_NVME(""), nvme_functions, 3 },
        { CARD_DISK(""), card_functions, 3 },
        { CARD(""), nvme_functions, 3 },    /* volumes come later */
        { CARD(",function=virtio-blk"), card_functions, 2 },
        { CARD(",function=none"), nvme_functions, 2 },
        { "-machine q35 " CARD_NVME(""), nvme_functions, 3 },
        { "-machine q35 " CARD_DISK(""), card_functions, 3 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Machine m;

        machine_start(&m, "%s", cases[i].args);
        check_functions(&m, CARD_SLOT, cases[i].functions, cases[i].count);
        machine_stop(&m);
    }
}

/*
 * Cards without a name, each in slot 0 of its port, and the address that the
 * error message for a bad one recommends.
 */
static void test_nameless_cards(void)
{
    Machine m;

    machine_start(&m, "-machine q35 "
                  "-device pcie-root-port,id=r0,slot=1 "
                  "-device pcie-root-port,id=r1,slot=2 "
                  "-netdev hubport,id=n0,hubid=0 "
                  "-netdev hubport,id=n1,hubid=0 "
                  "-netdev hubport,id=nic0.host,hubid=1 "
                  "-device smartnic-storage,bus=r0,netdev=n0,"
                  "mac=52:54:00:12:34:56,volume=null://?size=1M "
                  "-device smartnic-storage,bus=r1,netdev=n1");
    machine_assert_alive(&m);
    machine_stop(&m);
}

static void test_two_cards(void)
{
    Machine m;
    Disk disk[2];
    uint8_t data[2][SECTOR], back[SECTOR];

    /* In the same subnet, too */
    machine_start(&m, CARD_DISK(",ip=10.0.0.2/24")
                  "-netdev hubport,id=n1,hubid=0 "
                  "-device 'smartnic-storage,id=nic1,netdev=n1,addr=5,"
                  "ip=10.0.0.3/24,function=virtio-blk,"
                  "volume=mem://?size=1M'");
    check_functions(&m, 4, card_functions, 3);
    check_functions(&m, 5, card_functions, 3);
    for (unsigned i = 0; i < 2; i++) {
        disk_open(&disk[i], &m, QPCI_DEVFN(4 + i, 2));
        disk_start(&disk[i], 0, 1);
        memset(data[i], i + 1, SECTOR);
        disk_request(&disk[i], 0, VIRTIO_BLK_T_OUT, 0, data[i], SECTOR, NULL);
    }
    for (unsigned i = 0; i < 2; i++) {
        disk_request(&disk[i], 0, VIRTIO_BLK_T_IN, 0, back, SECTOR, NULL);
        g_assert_cmpmem(back, SECTOR, data[i], SECTOR);
        disk_close(&disk[i]);
    }
    machine_stop(&m);
}

/* ---- the register block ---- */

static void test_registers(void)
{
    Machine m;
    QPCIDevice *dev;
    QPCIBar bar;
    uint64_t size;

    machine_start(&m, CARD_DISK(",ip=10.0.0.2/24"));
    machine_wait_string(&m, VOLUME_PATH, "volume-state", "ready");
    dev = qpci_device_find(m.bus, QPCI_DEVFN(CARD_SLOT, 0));
    qpci_device_enable(dev);
    bar = qpci_iomap(dev, 0, &size);
    g_assert_cmpuint(size, ==, REGS_SIZE);

    for (unsigned again = 0; again < 2; again++) {
        g_assert_cmphex(qpci_io_readl(dev, bar, REG_MAGIC), ==, MAGIC);
        g_assert_cmpuint(qpci_io_readl(dev, bar, REG_VERSION), ==, 1);
        g_assert_cmphex(qpci_io_readq(dev, bar, REG_MAGIC), ==,
                        MAGIC | 1ULL << 32);
        g_assert_cmpuint(qpci_io_readl(dev, bar, REG_PORTS), ==, 3);
        g_assert_cmphex(qpci_io_readl(dev, bar, REG_LINK), ==, 7);
        g_assert_cmphex(qpci_io_readl(dev, bar, REG_IP4), ==, 0x0a000002);
        g_assert_cmpuint(qpci_io_readl(dev, bar, REG_VOLUME), ==,
                         VOLUME_READY);
        /* Nothing is writable; odd accesses harm nobody. */
        for (unsigned off = 0; off < REGS_SIZE; off += 4) {
            qpci_io_writel(dev, bar, off, UINT32_MAX);
            qpci_io_writeb(dev, bar, off + 1, 0xff);
            qpci_io_readb(dev, bar, off + 3);
            qpci_io_readq(dev, bar, off & ~7U);
        }
    }
    machine_assert_alive(&m);
    g_free(dev);
    machine_stop(&m);
}

/* ---- what the user may get wrong ---- */

#define NETDEV "-netdev hubport,id=n0,hubid=0 "
#define DEVICE(props) NETDEV "-device 'smartnic-storage,netdev=n0" props "'"

static const struct {
    const char *args;
    const char *says[2];        /* parts of the one line */
} refusals[] = {
    { "-device smartnic-storage", { "netdev" } },
    { "-device smartnic-storage,netdev=nope", { "netdev", "nope" } },
    { DEVICE(",mac=12:34"), { "mac", "12:34" } },
    { DEVICE(",mac=01:00:5e:00:00:01"), { "mac", "01:00:5e:00:00:01" } },
    { DEVICE(",mac=00:00:00:00:00:00"), { "mac" } },
    { DEVICE(",storage-mac=zz"), { "storage-mac", "zz" } },
    { DEVICE(",mac=52:54:00:00:00:01,storage-mac=52:54:00:00:00:01"),
      { "storage-mac" } },
    { DEVICE(",ip=10.0.0.2"), { "ip", "10.0.0.2" } },
    { DEVICE(",ip=10.0.0.256/24"), { "ip", "10.0.0.256" } },
    { DEVICE(",ip=10.0.0.2/33"), { "ip", "33" } },
    { DEVICE(",ip=somewhere"), { "ip", "somewhere" } },
    { DEVICE(",ip=10.0.0.2/24,gateway=here"), { "gateway", "here" } },
    { DEVICE(",ip6=10.0.0.2/24"), { "ip6", "10.0.0.2" } },
    { DEVICE(",dns=here"), { "dns", "here" } },
    { DEVICE(",storage-vlan=4095"), { "storage-vlan", "4095" } },
    { DEVICE(",storage-vlan=blue"), { "storage-vlan" } },
    { DEVICE(",mtu=100"), { "mtu", "100" } },
    { DEVICE(",function=floppy"), { "function", "floppy" } },
    { DEVICE(",function=none,volume=null://?size=1M"), { "volume" } },
    { DEVICE(",function=none,serial=x"), { "serial", "function=none" } },
    { DEVICE(",function=none,bootindex=1"), { "bootindex" } },
    { DEVICE(",function=virtio-blk,num-queues=2"), { "num-queues", "volume" } },
    { DEVICE(",addr=4.1"), { "addr" } },
    { "-netdev hubport,id=n1,hubid=0 "
      "-device 'smartnic-storage,netdev=n1,volume=mem://?size=1M,bootindex=1' "
      DEVICE(",volume=mem://?size=1M,bootindex=1"), { "bootindex" } },
    { DEVICE(",color=red"), { "color" } },
    { DEVICE(",volume=mem://?size=1M,num-queues=65"), { "num-queues" } },
    { DEVICE(",volume=mem://?size=1M,serial=123456789012345678901"),
      { "serial" } },
    { DEVICE(",volume="), { "volume" } },
    { DEVICE(",volume=disk.img"), { "disk.img" } },
    { DEVICE(",volume=ftp://host/file"), { "ftp" } },
    { DEVICE(",volume=mem://"), { "size" } },
    { DEVICE(",volume=mem://?size=much"), { "size", "much" } },
    { DEVICE(",volume=mem://?size=1M&color=red"), { "color" } },
    { DEVICE(",volume=nvme+tcp://10.0.0.9/vol0"), { "nqn." } },
    { DEVICE(",volume=nvme+tcp://10.0.0.9:99999/nqn.x:y"), { "99999" } },
};

static void test_refusals(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *line = machine_refusal("%s", refusals[i].args);

        for (unsigned s = 0; s < 2 && refusals[i].says[s]; s++) {
            /* Past QEMU's own quotation of the arguments */
            const char *says = strrchr(refusals[i].args, '\'')
                ? strstr(line, "smartnic-storage,netdev=n0") : line;

            says = says ? strstr(says, ": ") : line;
            g_assert_nonnull(says);
            if (!strstr(says, refusals[i].says[s])) {
                g_error("\"%s\" does not name %s", line, refusals[i].says[s]);
            }
        }
    }
}

/* A password in a URL is refused, and not repeated by us. */
static void test_password(void)
{
    g_autofree char *line = machine_refusal(
        DEVICE(",volume=nvme+tcp://me:hunter2@10.0.0.9/nqn.x:y"));
    const char *ours = strstr(line, "nqn.x:y: ");

    g_assert_nonnull(ours);
    g_assert_null(strstr(ours + strlen("nqn.x:y: "), "hunter2"));
    g_assert_nonnull(strstr(line, "secret"));
}

/* A card that was refused at run time leaves nothing behind. */
static void test_refused_at_run_time(void)
{
    Machine m;

    machine_start(&m, NETDEV);
    for (unsigned i = 0; i < 5; i++) {
        QDict *rsp = qtest_qmp(m.qts, "{ 'execute': 'device_add',"
                               "'arguments': { 'driver': 'smartnic-storage',"
                               "'id': 'nic0', 'netdev': 'n0', 'addr': '4',"
                               "'volume': %s } }",
                               i % 2 ? "ftp://host/x" : "mem://?size=no");

        g_assert_true(qdict_haskey(rsp, "error"));
        qobject_unref(rsp);
        check_functions(&m, CARD_SLOT, NULL, 0);
    }
    machine_assert_alive(&m);
    machine_stop(&m);
}

/* ---- the monitor ---- */

static void set_link(Machine *m, const char *name, bool up)
{
    qtest_qmp_assert_success(m->qts, "{ 'execute': 'set_link', 'arguments':"
                             "{ 'name': %s, 'up': %i } }", name, up);
}

static void test_set_link(void)
{
    static const char *const names[] = { "nic0", "n0" };
    QPCIAddress net_addr = { .devfn = QPCI_DEVFN(CARD_SLOT, 1) };
    QVirtioPCIDevice *net;
    QPCIDevice *dev;
    QPCIBar bar;
    Machine m;

    machine_start(&m, CARD(""));
    dev = qpci_device_find(m.bus, QPCI_DEVFN(CARD_SLOT, 0));
    qpci_device_enable(dev);
    bar = qpci_iomap(dev, 0, NULL);
    net = virtio_pci_new(m.bus, &net_addr);
    qvirtio_pci_device_enable(net);
    qvirtio_start_device(&net->vdev);
    qvirtio_set_features(&net->vdev, qvirtio_get_features(&net->vdev) &
                         ~QVIRTIO_F_BAD_FEATURE);

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(names); i++) {
        bool up = i % 2;
        size_t status = offsetof(struct virtio_net_config, status);

        set_link(&m, names[i / 2], up);
        g_assert_cmpuint(qpci_io_readl(dev, bar, REG_LINK) & 1, ==, up);
        g_assert_cmpuint(qvirtio_config_readw(&net->vdev, status) &
                         VIRTIO_NET_S_LINK_UP, ==, up);
    }
    qvirtio_pci_device_disable(net);
    g_free(net->pdev);
    g_free(net);
    g_free(dev);
    machine_stop(&m);
}

static void test_counters(void)
{
    static const char *const ports[] = { "uplink", "host", "firmware" };
    static const char *const counters[] = {
        "rx-frames", "rx-bytes", "rx-dropped",
        "tx-frames", "tx-bytes", "tx-dropped",
    };
    g_autofree char *ip = NULL;
    g_autofree char *mac = NULL;
    Machine m;

    machine_start(&m, CARD(",ip=10.0.0.2/24,storage-mac=52:54:00:ab:cd:ef"));
    for (unsigned p = 0; p < G_N_ELEMENTS(ports); p++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(counters); c++) {
            g_autofree char *name = g_strdup_printf("%s-%s", ports[p],
                                                    counters[c]);

            g_assert_cmpuint(machine_get_uint(&m, CARD_PATH, name), <, 1000);
        }
    }
    ip = machine_get_string(&m, CARD_PATH, "ip-address");
    g_assert_cmpstr(ip, ==, "10.0.0.2");
    mac = machine_get_string(&m, CARD_PATH, "storage-mac-address");
    g_assert_cmpstr(mac, ==, "52:54:00:ab:cd:ef");
    machine_stop(&m);
}

/* Every request that counts is in one bin of the histogram. */
static void check_latency(Machine *m, const char *property)
{
    QDict *rsp = qtest_qmp(m->qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': %s } }",
                           CARD_PATH "/storage", property);
    QDict *lat = qdict_get_qdict(rsp, "return");
    uint64_t sum = 0;
    QListEntry *e;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(lat, "bins"), e) {
        sum += qnum_get_uint(qobject_to(QNum, qlist_entry_obj(e)));
    }
    g_assert_cmpuint(qdict_get_int(lat, "count"), ==, sum);
    g_assert_cmpuint(qdict_get_int(lat, "max-ns"), <=,
                     qdict_get_int(lat, "sum-ns"));
    g_assert_cmpuint(qlist_size(qdict_get_qlist(lat, "bins")), ==,
                     qlist_size(qdict_get_qlist(lat, "boundaries-us")) + 1);
    qobject_unref(rsp);
}

static void test_volume_figures(void)
{
    Machine m;
    Disk disk;

    machine_start(&m, CARD_DISK(""));
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_assert_works(&disk);
    check_latency(&m, "volume-latency-read");
    check_latency(&m, "volume-latency-write");
    check_latency(&m, "volume-latency-flush");
    g_assert_cmpuint(machine_get_uint(&m, CARD_PATH "/storage",
                                      "volume-reconnects"), ==, 0);
    disk_close(&disk);
    machine_stop(&m);
}

/* Two cards get different addresses without being told. */
static void test_default_macs(void)
{
    g_autofree char *a = NULL, *b = NULL;
    Machine m;

    machine_start(&m, CARD("") "-netdev hubport,id=n1,hubid=1 "
                  "-device smartnic-storage,id=nic1,netdev=n1,addr=5");
    a = machine_get_string(&m, CARD_PATH, "storage-mac-address");
    b = machine_get_string(&m, "/machine/peripheral/nic1",
                           "storage-mac-address");
    g_assert_cmpstr(a, !=, b);
    machine_stop(&m);
}

/* `info qtree` walks every property of every part of the card. */
static void test_qtree(void)
{
    g_autofree char *tree = NULL;
    Machine m;

    machine_start(&m, "-object secret,id=key0,data=hunter2 "
                  CARD_DISK(",serial=abc"));
    tree = qtest_hmp(m.qts, "info qtree");
    g_assert_nonnull(strstr(tree, "dev: smartnic-storage, id \"nic0\""));
    g_assert_nonnull(strstr(tree, "dev: virtio-net-pci"));
    g_assert_nonnull(strstr(tree, "dev: smartnic-virtio-blk"));
    g_assert_nonnull(strstr(tree, "volume = \"mem://?size=64M\""));
    g_assert_null(strstr(tree, "hunter2"));
    machine_stop(&m);
}

/* ---- plugging ---- */

/* A card is gone with all functions, or there with all of them. */
static void test_hotplug(void)
{
    Machine m;

    machine_start(&m, NETDEV);
    for (unsigned i = 0; i < 3; i++) {
        Disk disk;

        qtest_qmp_device_add(m.qts, "smartnic-storage", "nic0",
                             "{ 'netdev': 'n0', 'addr': '4',"
                             "'function': 'virtio-blk',"
                             "'volume': 'mem://?size=64M' }");
        check_functions(&m, CARD_SLOT, card_functions, 3);
        disk_open(&disk, &m, STORAGE_DEVFN);
        machine_wait_string(&m, VOLUME_PATH, "volume-state", "ready");
        disk_assert_works(&disk);
        disk_close(&disk);
        machine_unplug(&m, "nic0", CARD_SLOT);
        check_functions(&m, CARD_SLOT, NULL, 0);
        machine_assert_alive(&m);
    }
    machine_stop(&m);
}

static void test_hotplug_root_port(void)
{
    Machine m;

    machine_start(&m, "-machine q35 " NETDEV
                  "-device pcie-root-port,id=port0,chassis=1,addr=5");
    qtest_qmp_device_add(m.qts, "smartnic-storage", "nic0",
                         "{ 'netdev': 'n0', 'bus': 'port0',"
                         "'volume': 'mem://?size=64M' }");
    machine_wait_string(&m, NVME_PATH, "volume-state", "ready");
    machine_assert_alive(&m);
    machine_stop(&m);
}

/* What asks every type for its properties, as libvirt does, gets an answer. */
static void test_type_properties(void)
{
    static const char *const types[] = {
        "smartnic-storage", "smartnic-nvme", "smartnic-volume",
        "smartnic-virtio-blk",
    };
    Machine m;

    machine_start(&m, CARD_NVME(""));
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        QDict *rsp = qtest_qmp(m.qts, "{ 'execute': 'device-list-properties',"
                               "'arguments': { 'typename': %s } }", types[i]);

        g_assert_false(qlist_empty(qdict_get_qlist(rsp, "return")));
        qobject_unref(rsp);
    }
    machine_assert_alive(&m);
    machine_stop(&m);
}

/* Refused in words, and the machine goes on. */
static void test_no_migration(void)
{
    static const char *const cards[] = { CARD_NVME(""), CARD_DISK("") };

    for (unsigned i = 0; i < G_N_ELEMENTS(cards); i++) {
        g_autofree char *saved = NULL;
        const char *why;
        Machine m;
        QDict *rsp;

        machine_start(&m, "%s", cards[i]);
        rsp = qtest_qmp(m.qts, "{ 'execute': 'migrate', 'arguments': "
                        "{ 'uri': 'exec:cat >/dev/null' } }");
        why = qdict_get_str(qdict_get_qdict(rsp, "error"), "desc");
        g_assert_nonnull(strstr(why, "smartnic-"));
        qobject_unref(rsp);
        saved = qtest_hmp(m.qts, "savevm x");
        g_assert_nonnull(strstr(saved, "Error"));
        machine_assert_alive(&m);
        machine_stop(&m);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/card/topology", test_topology);
    g_test_add_func("/card/nameless-cards", test_nameless_cards);
    g_test_add_func("/card/two-cards", test_two_cards);
    g_test_add_func("/card/registers", test_registers);
    g_test_add_func("/card/refusals", test_refusals);
    g_test_add_func("/card/password", test_password);
    g_test_add_func("/card/refused-at-run-time", test_refused_at_run_time);
    g_test_add_func("/card/type-properties", test_type_properties);
    g_test_add_func("/card/no-migration", test_no_migration);
    g_test_add_func("/card/set-link", test_set_link);
    g_test_add_func("/card/counters", test_counters);
    g_test_add_func("/card/volume-figures", test_volume_figures);
    g_test_add_func("/card/default-macs", test_default_macs);
    g_test_add_func("/card/qtree", test_qtree);
    g_test_add_func("/card/hotplug", test_hotplug);
    g_test_add_func("/card/hotplug-root-port", test_hotplug_root_port);
    return g_test_run();
}
