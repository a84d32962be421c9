/*
 * The NVMe storage function: the controller of hw/smartnic/nvme as a PCI
 * function. A card makes one of its own; users may add more to a card.
 *
 * A guest can reset or unplug the function from within anything that writes to
 * memory, such as the interrupt of another function. So the function leaves the
 * bus and lets go of the guest's memory at once, and the controller, which may
 * be on the stack then, is freed from a bottom half.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "system/runstate.h"
#include "system/system.h"

#include "dma.h"
#include "loop.h"
#include "nvme-pci.h"
#include "smartnic/trace.h"

/* The card itself is 1af4:10f0; see there. */
#define SN_NVME_DEVICE_ID 0x10f1
#define PROG_IF_NVME_IO 2       /* NVMe over PCIe 1.0 section 3.1.2 */

/* BAR 0: the controller's registers, then what MSI-X needs. */
#define BAR_SIZE   0x4000
#define BAR_TABLE  SN_CTRL_REGS_SIZE
#define BAR_PBA    0x3000
QEMU_BUILD_BUG_ON(BAR_TABLE + SN_CTRL_MAX_VECTORS * PCI_MSIX_ENTRY_SIZE >
                  BAR_PBA);

/* Capabilities, in the configuration space. */
#define CAP_PM     0x60
#define CAP_MSI    0x70
#define CAP_PCIE   0x80

#define MSI_VECTORS_MAX 32      /* PCI 3.0 section 6.8.1.3 */

#define SERIAL_MAX 20           /* bytes in Identify Controller */
#define READY_TIMEOUT_MAX 120000        /* ms: CAP.TO ends at 127.5 s */

SN_TRACE_EVENT(nvme_pci_realize);
SN_TRACE_EVENT(nvme_pci_reset);
SN_TRACE_EVENT(nvme_pci_running);
SN_TRACE_EVENT(nvme_pci_card_gone);
SN_TRACE_EVENT(nvme_pci_unplug);
SN_TRACE_EVENT(nvme_pci_unrealize);

/* ---- registers ---- */

static uint64_t regs_read(void *opaque, hwaddr addr, unsigned size)
{
    SnNvmePci *s = opaque;

    /* A processor may have been on its way here when it was unplugged. */
    return s->plugged ? sn_ctrl_read(s->ctrl, addr, size) : UINT64_MAX;
}

/*
 * Whether it is a vCPU that writes, and not some device's DMA, which names the
 * device or nothing at all. Then nobody else's code is on the stack.
 */
static bool is_of_vcpu(MemTxAttrs attrs)
{
    return current_cpu && !attrs.unspecified && !attrs.requester_id;
}

/*
 * What follows from a doorbell, down to the completions of a fast volume, is
 * done where it is rung: waking another thread costs more than all of it.
 */
static MemTxResult regs_write(void *opaque, hwaddr addr, uint64_t val,
                              unsigned size, MemTxAttrs attrs)
{
    SnNvmePci *s = opaque;
    bool here = addr >= SN_CTRL_DOORBELLS && is_of_vcpu(attrs);

    if (!s->plugged) {
        return MEMTX_OK;
    }
    if (here) {
        sn_qemu_loop_enter();
    }
    sn_ctrl_write(s->ctrl, addr, val, size);
    if (here) {
        sn_qemu_loop_leave();   /* the function may be unplugged now */
    }
    return MEMTX_OK;
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write_with_attrs = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

static const SnCtrlOps ctrl_ops = {
    .notify = sn_nvme_notify,
    .forget_messages = sn_nvme_notify_forget,
    .set_pin = sn_nvme_set_pin,
    .doorbell_event = sn_nvme_doorbell_event,
};

/* ---- running ---- */

static void set_running(SnNvmePci *s, bool running)
{
    if (running == s->running) {
        return;
    }
    sn_trace(nvme_pci_running, "id=%s running=%d", s->name, running);
    s->running = running;
    sn_ctrl_set_running(s->ctrl, running);
    if (running) {
        sn_nvme_notify_wake(s);
    }
}

static void update_running(SnNvmePci *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    uint16_t power = pci_get_word(pci->config + CAP_PM + PCI_PM_CTRL);

    set_running(s, s->plugged && s->vm_running &&
                   (pci_get_word(pci->config + PCI_COMMAND) &
                    PCI_COMMAND_MASTER) &&
                   (power & PCI_PM_CTRL_STATE_MASK) == 0 /* D0 */);
}

static void vm_state_changed(void *opaque, bool running, RunState state)
{
    SnNvmePci *s = opaque;

    s->vm_running = running;
    update_running(s);
}

/* Each of these may end with the function unplugged. */
static void nvme_pci_write_config(PCIDevice *pci, uint32_t addr, uint32_t val,
                                  int len)
{
    SnNvmePci *s = SN_NVME_PCI(pci);

    pci_default_write_config(pci, addr, val, len);
    if (s->plugged && pci->exp.exp_cap) {
        pcie_cap_flr_write_config(pci, addr, val, len);
    }
    if (s->plugged) {
        update_running(s);
        sn_nvme_choose_interrupt(s);
    }
}

/* Of the machine, of the bus, or a function level reset. */
static void nvme_pci_reset(DeviceState *dev)
{
    SnNvmePci *s = SN_NVME_PCI(dev);

    sn_trace(nvme_pci_reset, "id=%s", s->name);
    /* Bus mastering and messages are over, too; their bits go later. */
    set_running(s, false);
    sn_ctrl_reset(s->ctrl);
    sn_ctrl_use_interrupts(s->ctrl, SN_CTRL_PIN);
}

/* ---- namespaces ---- */

/*
 * In rotation, since a guest that has not heard of a removal yet takes another
 * namespace with the same number for the old one.
 */
static uint32_t free_nsid(SnNvmePci *s)
{
    for (unsigned i = 0; i < SN_CTRL_MAX_NSID; i++) {
        uint32_t nsid = (s->last_nsid + i) % SN_CTRL_MAX_NSID + 1;

        if (!s->ns[nsid]) {
            s->last_nsid = nsid;
            return nsid;
        }
    }
    return 0;
}

uint32_t sn_nvme_pci_add_volume(SnNvmePci *s, uint32_t nsid, const char *url,
                                const char *id, Error **errp)
{
    g_autofree char *made_up = NULL;
    g_autoptr(GError) err = NULL;
    SnCtrlNs *ns;

    if (!s->card) {
        error_setg(errp, "the card of \"%s\" was removed: nothing connects "
                   "volumes any more", s->name);
        return 0;
    }
    if (!nsid && !(nsid = free_nsid(s))) {
        error_setg(errp, "\"%s\" has %u namespaces, and no room for one more",
                   s->name, SN_CTRL_MAX_NSID);
        return 0;
    }
    if (!id) {
        id = made_up = g_strdup_printf("%s-ns%u", s->name, nsid);
    }
    ns = sn_ctrl_add_namespace(s->ctrl, &(SnCtrlNsConfig) {
        .nsid = nsid,
        .url = url,
        .id = id,
        .host = sn_card_machine(s->card),
        .net = sn_card_net(s->card),
    }, &err);
    if (!ns) {
        error_setg(errp, "%s", err->message);
        return 0;
    }
    s->ns[nsid] = ns;
    return nsid;
}

void sn_nvme_pci_remove_volume(SnNvmePci *s, uint32_t nsid)
{
    SnCtrlNs *ns = s->ns[nsid];

    if (ns) {
        s->ns[nsid] = NULL;
        sn_ctrl_remove_namespace(s->ctrl, ns);
    }
}

SnVolume *sn_nvme_pci_volume(SnNvmePci *s, uint32_t nsid)
{
    return s->ns[nsid] ? sn_ctrl_ns_volume(s->ns[nsid]) : NULL;
}

/* From the loop. The volumes' connections go through the card. */
static void card_gone(SnCardUser *user)
{
    SnNvmePci *s = container_of(user, SnNvmePci, user);

    sn_trace(nvme_pci_card_gone, "id=%s", s->name);
    for (uint32_t nsid = 1; nsid <= SN_CTRL_MAX_NSID; nsid++) {
        sn_nvme_pci_remove_volume(s, nsid);
    }
    s->card = NULL;
}

/* ---- setting up ---- */

static bool is_printable(const char *s)
{
    while (*s >= ' ' && *s <= '~') {
        s++;
    }
    return *s == '\0';
}

static bool check_properties(SnNvmePci *s, Error **errp)
{
    if (s->queue_pairs < 1 || s->queue_pairs > SN_CTRL_MAX_QUEUE_PAIRS) {
        error_setg(errp, "max-queue-pairs %u is not from 1 to %u",
                   s->queue_pairs, SN_CTRL_MAX_QUEUE_PAIRS);
    } else if (s->queue_entries < 2 ||
               s->queue_entries > SN_CTRL_MAX_ENTRIES) {
        error_setg(errp, "queue-entries %u is not from 2 to %u",
                   s->queue_entries, SN_CTRL_MAX_ENTRIES);
    } else if (s->ready_timeout > READY_TIMEOUT_MAX) {
        error_setg(errp, "ready-timeout %u is longer than %u ms",
                   s->ready_timeout, READY_TIMEOUT_MAX);
    } else if (s->serial && (!*s->serial || strlen(s->serial) > SERIAL_MAX)) {
        error_setg(errp, "serial \"%s\" is not 1 to %u bytes long", s->serial,
                   SERIAL_MAX);
    } else if (s->serial && !is_printable(s->serial)) {
        error_setg(errp, "serial has other characters than those of ASCII");
    } else {
        return true;
    }
    return false;
}

/*
 * Stable for the same command line, and different within it: guests tell
 * controllers apart by it.
 */
static char *make_serial(SnNvmePci *s)
{
    const uint8_t *m = sn_card_mac(s->card);
    g_autofree char *mac = g_strdup_printf("SN%02X%02X%02X%02X%02X%02X", m[0],
                                           m[1], m[2], m[3], m[4], m[5]);

    if (!s->nic) {
        return g_steal_pointer(&mac);   /* the card's own */
    }
    return g_strdup_printf("%s%06X", mac, g_str_hash(s->name) & 0xffffff);
}

static bool find_card(SnNvmePci *s, Error **errp)
{
    if (s->card) {
        s->name = g_strdup(sn_card_name(s->card));
        return true;            /* the card's own */
    }
    if (!s->nic) {
        error_setg(errp, "nic is missing: give the id of a smartnic-storage "
                   "device");
        return false;
    }
    s->card = sn_card_find(s->nic, errp);
    if (!s->card) {
        return false;
    }
    s->name = DEVICE(s)->id ? g_strdup(DEVICE(s)->id)
                            : sn_card_make_name(s->card);
    return true;
}

static void make_controller(SnNvmePci *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    g_autofree char *serial = s->serial ? g_strdup(s->serial) : make_serial(s);

    s->dma = sn_qemu_dma_new(pci);
    s->ctrl = sn_ctrl_new(&(SnCtrlConfig) {
        .id = s->name,
        .serial = serial,
        .queue_pairs = s->queue_pairs,
        .vectors = s->queue_pairs + 1,
        .entries = s->queue_entries,
        .ready_timeout = s->ready_timeout,
        .pci_vendor = pci_get_word(pci->config + PCI_VENDOR_ID),
        .pci_subsystem_vendor =
            pci_get_word(pci->config + PCI_SUBSYSTEM_VENDOR_ID),
        .cntlid = 1,            /* each is a subsystem of its own */
        .loop = sn_qemu_loop(),
        .dma = s->dma,
        .ops = &ctrl_ops,
        .opaque = s,
    });
    sn_nvme_notify_init(s);
    sn_card_add_user(s->card, &s->user);
}

static void free_controller(SnNvmePci *s)
{
    sn_card_remove_user(&s->user);
    memset(s->ns, 0, sizeof(s->ns));
    g_clear_pointer(&s->ctrl, sn_ctrl_free);
    g_clear_pointer(&s->dma, sn_qemu_dma_free);
    sn_nvme_notify_free(s);
    g_clear_pointer(&s->name, g_free);
}

static void make_bar(SnNvmePci *s)
{
    memory_region_init(&s->bar, OBJECT(s), "smartnic-nvme-bar", BAR_SIZE);
    memory_region_init_io(&s->regs, OBJECT(s), &regs_ops, s,
                          "smartnic-nvme-regs", SN_CTRL_REGS_SIZE);
    memory_region_add_subregion(&s->bar, 0, &s->regs);
    pci_register_bar(PCI_DEVICE(s), 0, PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &s->bar);
}

/* While one is part of the other, their owner, the function, stays alive. */
static void free_bar(SnNvmePci *s)
{
    memory_region_del_subregion(&s->bar, &s->regs);
}

/* A machine without MSI has neither; the pin is left. */
static bool make_interrupts(SnNvmePci *s, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(s);
    unsigned vectors = s->queue_pairs + 1;
    int ret;

    pci_config_set_interrupt_pin(pci->config, 1);
    if (!msi_nonbroken) {
        return true;
    }
    ret = msi_init(pci, CAP_MSI, MIN(pow2ceil(vectors), MSI_VECTORS_MAX),
                   true, false, errp);
    if (ret < 0) {
        return false;
    }
    ret = msix_init(pci, vectors, &s->bar, 0, BAR_TABLE, &s->bar, 0, BAR_PBA,
                    0, errp);
    if (ret < 0) {
        msi_uninit(pci);
        return false;
    }
    for (unsigned i = 0; i < vectors; i++) {
        msix_vector_use(pci, i);
    }
    return true;
}

static bool make_capabilities(SnNvmePci *s, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(s);

    if (pci_pm_init(pci, CAP_PM, errp) < 0) {
        return false;
    }
    pci_set_word(pci->config + CAP_PM + PCI_PM_PMC, PCI_PM_CAP_VER_1_2);
    pci_set_word(pci->config + CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pci->wmask + CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    if (!pci_bus_is_express(pci_get_bus(pci))) {
        return true;
    }
    if (pcie_endpoint_cap_init(pci, CAP_PCIE) < 0) {
        error_setg(errp, "no room for the PCI Express capability");
        return false;
    }
    pcie_cap_deverr_init(pci);
    pcie_cap_flr_init(pci);
    return true;
}

static bool make_function(SnNvmePci *s, Error **errp)
{
    g_autofree char *bus_name = g_strdup_printf("%s.0", s->name);

    make_bar(s);
    if (!make_capabilities(s, errp) || !make_interrupts(s, errp)) {
        free_bar(s);
        return false;
    }
    sn_nvme_bus_init(&s->bus, DEVICE(s), bus_name);
    return true;
}

static void nvme_pci_realize(PCIDevice *pci, Error **errp)
{
    SnNvmePci *s = SN_NVME_PCI(pci);

    if (!check_properties(s, errp) || !find_card(s, errp)) {
        return;
    }
    pci_config_set_prog_interface(pci->config, PROG_IF_NVME_IO);
    make_controller(s);
    if ((s->url && !sn_nvme_pci_add_volume(s, 1, s->url, s->name, errp)) ||
        !make_function(s, errp)) {
        free_controller(s);
        return;
    }
    s->plugged = true;
    s->vm_running = runstate_is_running();
    s->vmstate = qdev_add_vm_change_state_handler(DEVICE(s), vm_state_changed,
                                                  s);
    sn_trace(nvme_pci_realize, "id=%s card=%s volume=%d", s->name,
             sn_card_name(s->card), s->url != NULL);
}

static void exit_bh(void *opaque)
{
    SnNvmePci *s = opaque;

    sn_trace(nvme_pci_unrealize, "id=%s", s->name);
    free_controller(s);
    object_unref(OBJECT(s));
}

static void nvme_pci_exit(PCIDevice *pci)
{
    SnNvmePci *s = SN_NVME_PCI(pci);

    sn_trace(nvme_pci_unplug, "id=%s", s->name);
    qemu_del_vm_change_state_handler(s->vmstate);
    set_running(s, false);
    s->plugged = false;
    sn_nvme_doorbells_free(s);
    sn_qemu_dma_stop(s->dma);
    msix_uninit(pci, &s->bar, &s->bar);
    msi_uninit(pci);
    free_bar(s);
    if (pci->exp.exp_cap) {
        pcie_cap_exit(pci);
    }
    object_ref(OBJECT(s));
    sn_qemu_loop_once(exit_bh, s);
}

static void nvme_pci_instance_init(Object *obj)
{
    SnNvmePci *s = SN_NVME_PCI(obj);

    /* The configuration space has to be large enough, wherever it is put. */
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
    s->user.card_gone = card_gone;
    /*
     * Boot firmware finds the function by its PCI address. QEMU's own NVMe
     * devices name a namespace too, by an EUI-64 of zero, and OVMF does not
     * find one that has an EUI-64.
     */
    device_add_bootindex_property(obj, &s->bootindex, "bootindex", NULL,
                                  DEVICE(obj));
    sn_nvme_stats_init(obj);
}

static const Property nvme_pci_properties[] = {
    DEFINE_PROP_STRING("nic", SnNvmePci, nic),
    DEFINE_PROP_STRING("volume", SnNvmePci, url),
    DEFINE_PROP_STRING("serial", SnNvmePci, serial),
    DEFINE_PROP_UINT16("max-queue-pairs", SnNvmePci, queue_pairs,
                       SN_CTRL_MAX_QUEUE_PAIRS),
    DEFINE_PROP_UINT16("queue-entries", SnNvmePci, queue_entries, 1024),
    DEFINE_PROP_UINT32("ready-timeout", SnNvmePci, ready_timeout, 10000),
    DEFINE_PROP_ON_OFF_AUTO("ioeventfd", SnNvmePci, ioeventfd,
                            ON_OFF_AUTO_AUTO),
};

/* Requests in flight cannot be handed over yet, see docs/limitations.rst. */
static const VMStateDescription vmstate_nvme_pci = {
    .name = TYPE_SN_NVME_PCI,
    .unmigratable = 1,
};

static void nvme_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    dc->desc = "SmartNIC NVMe function: a controller on a smartnic-storage "
               "card";
    dc->vmsd = &vmstate_nvme_pci;
    set_bit(DEVICE_CATEGORY_STORAGE, dc->categories);
    device_class_set_props(dc, nvme_pci_properties);
    device_class_set_legacy_reset(dc, nvme_pci_reset);
    pc->realize = nvme_pci_realize;
    pc->exit = nvme_pci_exit;
    pc->config_write = nvme_pci_write_config;
    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = SN_NVME_DEVICE_ID;
    pc->class_id = PCI_CLASS_STORAGE_EXPRESS;
    pc->revision = 1;
}

static const TypeInfo nvme_pci_type = {
    .name = TYPE_SN_NVME_PCI,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(SnNvmePci),
    .instance_init = nvme_pci_instance_init,
    .class_init = nvme_pci_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { }
    },
};

void sn_nvme_pci_register_types(void)
{
    type_register_static(&nvme_pci_type);
}
