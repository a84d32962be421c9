/*
 * A QEMU with the plugin loaded, without a guest: the test drives the PCI bus
 * and guest memory through libqtest and libqos, which come from QEMU's source.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_MACHINE_H
#define SMARTNIC_QTEST_MACHINE_H

#include "libqtest.h"
#include "libqos/libqos-malloc.h"
#include "libqos/pci.h"

/* How long a test waits for QEMU to do its part before it fails. */
#define MACHINE_TIMEOUT_US (60 * G_USEC_PER_SEC)

/* The slot that the card is in, unless a test says otherwise. */
#define CARD_SLOT 4

/*
 * The plain card's arguments, followed by more properties of the card. A
 * hubport is an uplink with nobody behind it.
 */
#define CARD(props) \
    "-netdev hubport,id=n0,hubid=0 " \
    "-device 'smartnic-storage,id=nic0,netdev=n0,addr=4" props "' "
#define CARD_NVME(props) CARD(",volume=mem://?size=64M" props)
#define CARD_DISK(props) \
    CARD(",function=virtio-blk,volume=mem://?size=64M" props)

/* Where QMP finds the card's parts. */
#define CARD_PATH   "/machine/peripheral/nic0"
#define NVME_PATH   CARD_PATH "/storage"
#define VOLUME_PATH CARD_PATH "/storage/virtio-backend"

/* The card's storage function, of whichever kind. */
#define STORAGE_DEVFN QPCI_DEVFN(CARD_SLOT, 2)

typedef struct Machine {
    QTestState *qts;
    QGuestAllocator alloc;
    QPCIBus *bus;
} Machine;

/* Starts QEMU with more arguments, as a shell reads them. */
void machine_start(Machine *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* Fails the test if QEMU died or does not quit in order. */
void machine_stop(Machine *m);

/* The property of a QOM object; the caller frees the string. */
char *machine_get_string(Machine *m, const char *path, const char *property);
uint64_t machine_get_uint(Machine *m, const char *path, const char *property);
/* Waits until the property is @value. */
void machine_wait_string(Machine *m, const char *path, const char *property,
                         const char *value);

/* Fails the test unless QEMU answers QMP and runs. */
void machine_assert_alive(Machine *m);

/*
 * Takes device @id out of slot @slot of the PC machine, where the guest ejects
 * through an I/O port of ACPI (QEMU's docs/specs/acpi_pci_hotplug.rst).
 */
void machine_unplug(Machine *m, const char *id, unsigned slot);

/* Waits until QEMU says that device @id is gone. */
void machine_wait_deleted(Machine *m, const char *id);

/*
 * Runs QEMU with arguments that it has to refuse. Returns what it says about
 * it, which must be one line; the caller frees it.
 */
char *machine_refusal(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A deadline for loops that poll: false when it has passed. */
bool machine_before(gint64 deadline);
gint64 machine_deadline(void);

#endif
