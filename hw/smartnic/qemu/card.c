/*
 * The card: one PCI device whose realize makes all of its functions.
 *
 *     guest -- function 1: virtio-net -- host port --+
 *                                                    +- switch -- uplink
 *     guest -- function 2: storage -- firmware port -+
 *
 * The card owns the switch, its ports and the firmware; functions 1 and 2 are
 * devices of their own, which it realizes and takes down. Everything runs with
 * the BQL held.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "net/eth.h"
#include "net/util.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/uuid.h"
#include "system/system.h"

#include "card.h"
#include "loop.h"
#include "mac-pool.h"
#include "nvme-pci.h"
#include "smartnic/trace.h"
#include "virtio-blk-pci.h"

/*
 * 1af4:10f0 to 10ff are free for use without registration
 * (QEMU's docs/specs/pci-ids.rst).
 */
#define SN_CARD_DEVICE_ID 0x10f0

SN_TRACE_EVENT(card_realize);
SN_TRACE_EVENT(card_unplug);
SN_TRACE_EVENT(card_unrealize);
SN_TRACE_EVENT(card_link);

/* ---- between the ports ---- */

static void uplink_receive(void *opaque, const SnFrame *frame)
{
    SnCard *card = opaque;

    sn_switch_input(card->sw, sn_uplink_port(card->uplink), frame);
}

static bool uplink_can_receive(void *opaque)
{
    SnCard *card = opaque;

    /* Full means: wait. A frame for storage is never dropped here. */
    return card->fw && sn_fw_can_input(card->fw);
}

static void uplink_link_changed(void *opaque, bool up)
{
    SnCard *card = opaque;

    sn_trace(card_link, "id=%s up=%d", card->name, up);
    for (unsigned i = 0; i < SN_CARD_PORTS; i++) {
        sn_switch_set_link(card->sw, sn_card_port(card, i), up);
    }
    sn_host_port_set_link(card->host, up);
    sn_fw_set_link(card->fw, up);
}

static void uplink_drained(void *opaque)
{
    SnCard *card = opaque;

    sn_host_port_wake(card->host);
}

static const SnUplinkEvents uplink_events = {
    .receive = uplink_receive,
    .can_receive = uplink_can_receive,
    .link_changed = uplink_link_changed,
    .drained = uplink_drained,
};

static void host_receive(void *opaque, const SnFrame *frame)
{
    SnCard *card = opaque;

    sn_switch_input(card->sw, sn_host_port_port(card->host), frame);
}

static const SnHostPortEvents host_events = {
    .receive = host_receive,
};

static bool firmware_transmit(void *opaque, const SnFrame *frame)
{
    SnCard *card = opaque;

    sn_switch_input(card->sw, &card->fw_port, frame);
    return true;
}

static void firmware_rx_ready(void *opaque)
{
    SnCard *card = opaque;

    sn_uplink_wake(card->uplink);
}

/* The switch keeps the guest from using the firmware's addresses. */
static void firmware_addresses_changed(void *opaque)
{
    SnCard *card = opaque;
    uint8_t ip6[SN_FW_IP6_SLOTS][16];
    uint8_t ip4[4];
    unsigned len, n = 0;
    bool has_ip4 = sn_fw_ip4(card->fw, ip4, &len);

    for (unsigned i = 0; i < SN_FW_IP6_SLOTS; i++) {
        n += sn_fw_ip6(card->fw, i, ip6[n]);
    }
    sn_switch_protect(card->sw, &card->fw_port, has_ip4 ? ip4 : NULL, ip6, n);
}

static bool firmware_port_deliver(SnPort *port, const SnFrame *frame)
{
    SnCard *card = container_of(port, SnCard, fw_port);

    return sn_fw_input(card->fw, frame);
}

static const SnPortOps firmware_port_ops = {
    .deliver = firmware_port_deliver,
};

SnPort *sn_card_port(SnCard *card, unsigned index)
{
    switch (index) {
    case 0:
        return sn_uplink_port(card->uplink);
    case 1:
        return sn_host_port_port(card->host);
    default:
        return &card->fw_port;
    }
}

/* ---- for storage functions ---- */

SnCard *sn_card_find(const char *id, Error **errp)
{
    Object *obj = object_resolve_path_type(id, TYPE_SN_CARD, NULL);

    if (!obj) {
        error_setg(errp, "nic \"%s\" does not exist: give the id of a "
                   "smartnic-storage device that comes before", id);
        return NULL;
    }
    if (!DEVICE(obj)->realized) {
        error_setg(errp, "nic \"%s\" is being removed", id);
        return NULL;
    }
    return SN_CARD(obj);
}

const char *sn_card_name(SnCard *card)
{
    return card->name;
}

const uint8_t *sn_card_mac(SnCard *card)
{
    return card->conf.macaddr.a;
}

const char *sn_card_machine(SnCard *card)
{
    return card->machine;
}

SnNet *sn_card_net(SnCard *card)
{
    return sn_fw_net(card->fw);
}

char *sn_card_make_name(SnCard *card)
{
    return g_strdup_printf("%s-f%u", card->name, ++card->functions);
}

void sn_card_add_user(SnCard *card, SnCardUser *user)
{
    QLIST_INSERT_HEAD(&card->users, user, next);
}

void sn_card_remove_user(SnCardUser *user)
{
    QLIST_SAFE_REMOVE(user, next);
}

static bool is_virtio_blk(DeviceState *func)
{
    return object_dynamic_cast(OBJECT(func), TYPE_SN_VIRTIO_BLK_PCI) != NULL;
}

SnVolume *sn_card_volume(SnCard *card)
{
    if (!card->storage) {
        return NULL;
    }
    return is_virtio_blk(card->storage)
           ? SN_VIRTIO_BLK_PCI(card->storage)->vdev.vol
           : sn_nvme_pci_volume(SN_NVME_PCI(card->storage), 1);
}

/* ---- setting up ---- */

/* Leaves @mac zero, to be filled from QEMU's pool, when @text is not given. */
static bool parse_mac(const char *property, const char *text, MACAddr *mac,
                      Error **errp)
{
    *mac = (MACAddr) { };
    if (!text) {
        return true;
    }
    if (strlen(text) != 17 || net_parse_macaddr(mac->a, text) < 0 ||
        is_multicast_ether_addr(mac->a) || buffer_is_zero(mac->a, 6)) {
        error_setg(errp, "%s \"%s\" is not a station's MAC address such as "
                   "52:54:00:12:34:56", property, text);
        return false;
    }
    return true;
}

/* Each is taken once; a given one first, so that the pool does not give it. */
static void take_macs(MACAddr *host, MACAddr *firmware)
{
    bool firmware_first = !buffer_is_zero(firmware, sizeof(*firmware));

    qemu_macaddr_default_if_unset(firmware_first ? firmware : host);
    qemu_macaddr_default_if_unset(firmware_first ? host : firmware);
}

static bool get_macs(SnCard *card, Error **errp)
{
    MACAddr host, firmware;

    if (!parse_mac("mac", card->mac, &host, errp) ||
        !parse_mac("storage-mac", card->storage_mac, &firmware, errp)) {
        return false;
    }
    take_macs(&host, &firmware);
    if (!memcmp(&host, &firmware, sizeof(host))) {
        error_setg(errp, "mac and storage-mac are the same: the guest and "
                   "the firmware need one each");
        sn_mac_give_back(&host);
        sn_mac_give_back(&firmware);
        return false;
    }
    card->conf.macaddr = host;          /* goes back with the uplink's NIC */
    card->fw_mac = firmware;
    return true;
}

/*
 * Not QEMU's netdev property, because that one cannot say what would be right.
 */
static bool find_netdev(SnCard *card, Error **errp)
{
    NetClientState *nc;
    int queues;

    if (!card->netdev) {
        error_setg(errp, "netdev is missing: give the id of a -netdev, as in "
                   "-netdev user,id=n0 -device smartnic-storage,netdev=n0");
        return false;
    }
    queues = qemu_find_net_clients_except(card->netdev, &nc,
                                          NET_CLIENT_DRIVER_NIC, 1);
    if (queues < 1) {
        error_setg(errp, "netdev \"%s\" does not exist: give the id of a "
                   "-netdev", card->netdev);
        return false;
    }
    if (queues > 1) {
        error_setg(errp, "netdev \"%s\" has %d queues: a card takes one, "
                   "leave out queues=", card->netdev, queues);
        return false;
    }
    if (nc->peer) {
        error_setg(errp, "netdev \"%s\" is in use by \"%s\": a card needs "
                   "one of its own", card->netdev, nc->peer->name);
        return false;
    }
    if (nc->info->type == NET_CLIENT_DRIVER_VHOST_USER ||
        nc->info->type == NET_CLIENT_DRIVER_VHOST_VDPA) {
        error_setg(errp, "netdev \"%s\" moves packets outside of QEMU: use "
                   "tap, user, stream, dgram, socket or hubport",
                   card->netdev);
        return false;
    }
    card->conf.peers.ncs[0] = nc;
    card->conf.peers.queues = 1;
    return true;
}

static bool has_storage(const SnCard *card)
{
    return !strcmp(card->function, "nvme") ||
           (!strcmp(card->function, "virtio-blk") && card->volume);
}

/* The property that a card without a storage function cannot have; or NULL. */
static const char *storage_property(const SnCard *card)
{
    return card->volume ? "volume" :
           card->serial ? "serial" :
           card->num_queues ? "num-queues" :
           card->bootindex >= 0 ? "bootindex" : NULL;
}

static bool check_properties(SnCard *card, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(card);

    if (PCI_FUNC(pci->devfn) != SN_FUNCTION_MANAGEMENT) {
        error_setg(errp, "addr names function %u: the card fills a slot, "
                   "give function 0", PCI_FUNC(pci->devfn));
    } else if (card->storage_vlan > 4094) {
        error_setg(errp, "storage-vlan %u is not a VLAN id from 1 to 4094 "
                   "(0: untagged)", card->storage_vlan);
    } else if (card->mtu < 1280 || card->mtu > 9000) {
        error_setg(errp, "mtu %u is not from 1280 to 9000", card->mtu);
    } else if (strcmp(card->function, "nvme") &&
               strcmp(card->function, "virtio-blk") &&
               strcmp(card->function, "none")) {
        error_setg(errp, "function \"%s\" is not known: use nvme, virtio-blk "
                   "or none", card->function);
    } else if (card->num_queues > 64) {
        error_setg(errp, "num-queues %u is not from 1 to 64 (0: as many as "
                   "the function has by default)", card->num_queues);
    } else if (!has_storage(card) && storage_property(card)) {
        error_setg(errp, "%s needs a storage function: %s",
                   storage_property(card), !strcmp(card->function, "none")
                   ? "leave out function=none"
                   : "give a volume, or leave out function=virtio-blk");
    } else {
        return true;
    }
    return false;
}

static bool make_firmware(SnCard *card, Error **errp)
{
    g_autoptr(GError) err = NULL;

    card->fw = sn_fw_new(&(SnFirmwareConfig) {
        .mac = card->fw_mac.a,
        .id = card->name,
        .ip = card->ip,
        .gateway = card->gateway,
        .ip6 = card->ip6,
        .dns = card->dns,
        .mtu = card->mtu,
        .loop = sn_qemu_loop(),
        .transmit = firmware_transmit,
        .rx_ready = firmware_rx_ready,
        .addresses_changed = firmware_addresses_changed,
        .opaque = card,
    }, &err);
    if (!card->fw) {
        error_setg(errp, "%s", err->message);
        return false;
    }
    card->fw_port = (SnPort) {
        .ops = &firmware_port_ops,
        .name = "firmware",
        .role = SN_PORT_FIRMWARE,
        .vlan = card->storage_vlan,
        .link_up = true,
    };
    memcpy(card->fw_port.mac, card->fw_mac.a, sizeof(card->fw_port.mac));
    sn_fw_set_tx_checksum(card->fw, sn_uplink_has_offload(card->uplink));
    sn_fw_set_tx_segmentation(card->fw, sn_uplink_has_offload(card->uplink));
    return true;
}

static bool make_network(SnCard *card, Error **errp)
{
    DeviceState *dev = DEVICE(card);

    if (!find_netdev(card, errp) || !get_macs(card, errp)) {
        return false;
    }
    card->sw = sn_switch_new(sn_qemu_loop());
    card->uplink = sn_uplink_new(dev, &card->conf, &uplink_events, card);
    if (!make_firmware(card, errp)) {
        return false;
    }
    card->host = sn_host_port_new(card->host_name, card->uplink, &host_events,
                                  card);
    sn_switch_attach(card->sw, sn_uplink_port(card->uplink));
    sn_switch_attach(card->sw, sn_host_port_port(card->host));
    sn_switch_attach(card->sw, &card->fw_port);
    firmware_addresses_changed(card);       /* a fixed one is there already */
    return true;
}

/*
 * Realizes @func as a function of the card's slot. Its reference belongs to the
 * card already, also when this fails.
 */
static bool make_function(SnCard *card, DeviceState *func, const char *name,
                          unsigned number, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(card);

    object_property_add_child(OBJECT(card), name, OBJECT(func));
    qdev_prop_set_int32(func, "addr",
                        PCI_DEVFN(PCI_SLOT(pci->devfn), number));
    /*
     * The card is what is plugged, and function 0 comes last for the guest: a
     * slot that knows function 0 already would refuse this one.
     */
    func->hotplugged = false;
    return qdev_realize(func, BUS(pci_get_bus(pci)), errp);
}

static bool make_net_function(SnCard *card, Error **errp)
{
    DeviceState *net = qdev_new("virtio-net-pci");

    card->net = net;
    qdev_prop_set_macaddr(net, "mac", card->conf.macaddr.a);
    /* Network boot is the uplink's business, not this card's. */
    qdev_prop_set_string(net, "romfile", "");
    object_property_set_str(OBJECT(net), "netdev", card->host_name,
                            &error_abort);
    if (!make_function(card, net, "net", SN_FUNCTION_NET, errp)) {
        return false;
    }
    card->net_notify = sn_net_notify_new(PCI_DEVICE(net));
    return true;
}

/* Namespaces may come later. */
static DeviceState *new_nvme(SnCard *card)
{
    DeviceState *nvme = qdev_new(TYPE_SN_NVME_PCI);

    SN_NVME_PCI(nvme)->card = card;
    if (card->num_queues) {
        qdev_prop_set_uint16(nvme, "max-queue-pairs", card->num_queues);
    }
    return nvme;
}

static DeviceState *new_virtio_blk(SnCard *card)
{
    DeviceState *blk = qdev_new(TYPE_SN_VIRTIO_BLK_PCI);

    SN_VIRTIO_BLK_PCI(blk)->vdev.net = sn_card_net(card);
    SN_VIRTIO_BLK_PCI(blk)->vdev.id = card->name;
    SN_VIRTIO_BLK_PCI(blk)->vdev.machine = sn_card_machine(card);
    if (card->num_queues) {
        qdev_prop_set_uint16(blk, "num-queues", card->num_queues);
    }
    return blk;
}

static bool make_storage_function(SnCard *card, Error **errp)
{
    DeviceState *func;

    if (!has_storage(card)) {
        return true;            /* a plain network card */
    }
    func = strcmp(card->function, "nvme") ? new_virtio_blk(card)
                                          : new_nvme(card);
    card->storage = func;
    if (card->volume) {
        qdev_prop_set_string(func, "volume", card->volume);
    }
    if (card->serial) {
        qdev_prop_set_string(func, "serial", card->serial);
    }
    return object_property_set_int(OBJECT(func), "bootindex", card->bootindex,
                                   errp) &&
           make_function(card, func, "storage", SN_FUNCTION_STORAGE, errp);
}

/* They are gone for the guest and the user; the card keeps their references. */
static void unplug_functions(SnCard *card)
{
    if (card->storage) {
        object_unparent(OBJECT(card->storage));
    }
    if (card->net) {
        object_unparent(OBJECT(card->net));
    }
    g_clear_pointer(&card->net_notify, sn_net_notify_free);
}

static void free_functions(SnCard *card)
{
    SnCardUser *user;

    while ((user = QLIST_FIRST(&card->users))) {
        sn_card_remove_user(user);
        user->card_gone(user);
    }
    if (card->storage && is_virtio_blk(card->storage)) {
        sn_virtio_blk_close(&SN_VIRTIO_BLK_PCI(card->storage)->vdev);
    }
    g_clear_pointer(&card->storage, object_unref);
    g_clear_pointer(&card->net, object_unref);
}

static void destroy_network(SnCard *card)
{
    for (unsigned i = 0; card->host && i < SN_CARD_PORTS; i++) {
        sn_switch_detach(card->sw, sn_card_port(card, i));
    }
    g_clear_pointer(&card->host, sn_host_port_free);
    g_clear_pointer(&card->fw, sn_fw_free);
    if (card->uplink) {
        sn_uplink_free(card->uplink);
        card->uplink = NULL;
        sn_mac_give_back(&card->fw_mac);
    }
    g_clear_pointer(&card->sw, sn_switch_free);
    g_clear_pointer(&card->host_name, g_free);
    g_clear_pointer(&card->machine, g_free);
    g_clear_pointer(&card->name, g_free);
}

/* What the user calls the virtual machine, or else the card. */
static char *machine_name(SnCard *card)
{
    const char *name = qemu_get_vm_name();

    if (qemu_uuid_set && !qemu_uuid_is_null(&qemu_uuid)) {
        return qemu_uuid_unparse_strdup(&qemu_uuid);
    }
    return g_strdup(name ? name : card->name);
}

static void card_realize(PCIDevice *pci, Error **errp)
{
    static unsigned number;         /* of the card in this process */
    SnCard *card = SN_CARD(pci);

    if (!check_properties(card, errp)) {
        return;
    }
    number++;
    card->name = DEVICE(card)->id ? g_strdup(DEVICE(card)->id)
                                  : g_strdup_printf("smartnic%u", number);
    card->machine = machine_name(card);
    /* A user's id cannot begin like this, so it is never somebody else's. */
    card->host_name = g_strdup_printf("#smartnic%u.host", number);
    /*
     * The storage function first, since that is what a wrong URL makes fail: a
     * slot of PCI Express stays occupied when a function has once been in it.
     */
    if (!make_network(card, errp) ||
        !make_storage_function(card, errp) ||
        !make_net_function(card, errp)) {
        unplug_functions(card);
        free_functions(card);
        destroy_network(card);
        return;
    }
    sn_card_regs_init(card);
    sn_trace(card_realize, "id=%s netdev=%s storage=%s", card->name,
             card->netdev, card->storage ? card->function : "none");
    uplink_link_changed(card, sn_uplink_port(card->uplink)->link_up);
}

static void exit_bh(void *opaque)
{
    SnCard *card = opaque;

    sn_trace(card_unrealize, "id=%s", card->name);
    free_functions(card);
    destroy_network(card);
    object_unref(OBJECT(card));
}

/*
 * A guest can unplug the card from within anything that writes to memory, such
 * as the interrupt for a packet, which it directs at the slot's registers. So
 * the network and the volume, which may be on the stack now, go later.
 */
static void card_exit(PCIDevice *pci)
{
    SnCard *card = SN_CARD(pci);

    sn_trace(card_unplug, "id=%s", card->name);
    unplug_functions(card);
    object_ref(OBJECT(card));
    sn_qemu_loop_once(exit_bh, card);
}

static void card_instance_init(Object *obj)
{
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_MULTIFUNCTION;
    SN_CARD(obj)->function = g_strdup("nvme");
    QLIST_INIT(&SN_CARD(obj)->users);
    sn_card_stats_init(obj);
}

static const Property card_properties[] = {
    DEFINE_PROP_STRING("netdev", SnCard, netdev),
    DEFINE_PROP_STRING("mac", SnCard, mac),
    DEFINE_PROP_STRING("storage-mac", SnCard, storage_mac),
    DEFINE_PROP_STRING("ip", SnCard, ip),
    DEFINE_PROP_STRING("gateway", SnCard, gateway),
    DEFINE_PROP_STRING("ip6", SnCard, ip6),
    DEFINE_PROP_STRING("dns", SnCard, dns),
    DEFINE_PROP_UINT16("storage-vlan", SnCard, storage_vlan, 0),
    DEFINE_PROP_UINT16("mtu", SnCard, mtu, 1500),
    DEFINE_PROP_STRING("function", SnCard, function),
    DEFINE_PROP_STRING("volume", SnCard, volume),
    DEFINE_PROP_STRING("serial", SnCard, serial),
    DEFINE_PROP_UINT16("num-queues", SnCard, num_queues, 0),
    DEFINE_PROP_INT32("bootindex", SnCard, bootindex, -1),
};

static const VMStateDescription vmstate_card = {
    .name = TYPE_SN_CARD,
    .unmigratable = 1,
};

static void card_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    dc->desc = "SmartNIC with storage offload";
    dc->vmsd = &vmstate_card;
    set_bit(DEVICE_CATEGORY_STORAGE, dc->categories);
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    device_class_set_props(dc, card_properties);
    pc->realize = card_realize;
    pc->exit = card_exit;
    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = SN_CARD_DEVICE_ID;
    pc->class_id = PCI_CLASS_SYSTEM_OTHER;
}

static const TypeInfo card_type = {
    .name = TYPE_SN_CARD,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(SnCard),
    .instance_init = card_instance_init,
    .class_init = card_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { }
    },
};

void sn_card_register_types(void)
{
    type_register_static(&card_type);
}
