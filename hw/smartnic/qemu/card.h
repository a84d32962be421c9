/*
 * The card: one PCI device whose realize makes all of its functions.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_CARD_H
#define SMARTNIC_QEMU_CARD_H

#include "hw/pci/pci_device.h"
#include "net/net.h"

#include "firmware.h"
#include "host-port.h"
#include "net-notify.h"
#include "smartnic/volume.h"
#include "switch.h"
#include "uplink.h"

#define TYPE_SN_CARD "smartnic-storage"
OBJECT_DECLARE_SIMPLE_TYPE(SnCard, SN_CARD)

/* Functions of the card's PCI slot. */
enum {
    SN_FUNCTION_MANAGEMENT = 0,
    SN_FUNCTION_NET = 1,
    SN_FUNCTION_STORAGE = 2,
};

/* A storage function, the card's own or another one, that uses its network. */
typedef struct SnCardUser SnCardUser;
struct SnCardUser {
    /*
     * The card was unplugged and its network goes: all volumes have to be
     * closed now. From the loop. The user is not one any more.
     */
    void (*card_gone)(SnCardUser *user);
    QLIST_ENTRY(SnCardUser) next;
};

struct SnCard {
    PCIDevice parent_obj;

    /* properties, as the user gave them */
    char *netdev;
    char *mac;
    char *storage_mac;
    char *ip;
    char *gateway;
    char *ip6;
    char *dns;
    uint16_t storage_vlan;
    uint16_t mtu;
    char *function;
    char *volume;
    char *serial;
    uint16_t num_queues;
    int32_t bootindex;

    char *name;                 /* the id, or made up */
    char *host_name;            /* of the host port's net client */
    char *machine;              /* see sn_card_machine() */
    NICConf conf;               /* the uplink's; its MAC is the guest's */
    MACAddr fw_mac;             /* the firmware's, out of QEMU's pool */
    MemoryRegion regs;

    SnSwitch *sw;
    SnUplink *uplink;
    SnHostPort *host;
    SnFirmware *fw;
    SnPort fw_port;

    /* Functions 1 and 2; QOM children of the card, which has references. */
    DeviceState *net;
    DeviceState *storage;
    SnNetNotify *net_notify;

    QLIST_HEAD(, SnCardUser) users;
    unsigned functions;         /* that were named by sn_card_make_name() */
};

/*
 * The card whose id is @id, for a function that is being realized. NULL and
 * @errp when there is none, or it is on its way out.
 */
SnCard *sn_card_find(const char *id, Error **errp);

/* Borrowed, until card_gone(). */
const char *sn_card_name(SnCard *card);
const uint8_t *sn_card_mac(SnCard *card);       /* of its network function */
SnNet *sn_card_net(SnCard *card);
/* Names the computer that it is in: see SnVolumeConfig.host. */
const char *sn_card_machine(SnCard *card);

/* A name for a function without an id; the caller frees it. */
char *sn_card_make_name(SnCard *card);

/* @user lives until it is removed, or card_gone() was called. */
void sn_card_add_user(SnCard *card, SnCardUser *user);
/* Harmless after card_gone(), or when it was not added. */
void sn_card_remove_user(SnCardUser *user);

/* The volume of the register block: of the card's own function, or NULL. */
SnVolume *sn_card_volume(SnCard *card);

/* card-regs.c: function 0's register block, see docs/guest-contract.rst. */
void sn_card_regs_init(SnCard *card);

/* card-stats.c: the counters and states as QOM properties. */
void sn_card_stats_init(Object *obj);

/* The ports in the order of the register block and the properties. */
#define SN_CARD_PORTS 3
SnPort *sn_card_port(SnCard *card, unsigned index);

void sn_card_register_types(void);

#endif
