/*
 * SnDma on the address space of a PCI function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_DMA_H
#define SMARTNIC_QEMU_DMA_H

#include "hw/pci/pci_device.h"
#include "smartnic/dma.h"

/* For the function @pci, which is being realized. The caller owns it. */
SnDma *sn_qemu_dma_new(PCIDevice *pci);

/*
 * The function leaves the bus: every access fails from now on. What is mapped
 * stays so until it is unmapped.
 */
void sn_qemu_dma_stop(SnDma *dma);

/* Nothing is mapped any more. Stops, if that was not done. */
void sn_qemu_dma_free(SnDma *dma);

#endif
