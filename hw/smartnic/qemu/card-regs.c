/*
 * Function 0's register block.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"

#include "card.h"
#include "card-regs.h"

static uint32_t link_bits(SnCard *card)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < SN_CARD_PORTS; i++) {
        bits |= (uint32_t)sn_card_port(card, i)->link_up << i;
    }
    return bits;
}

static uint32_t ip4_address(SnCard *card)
{
    uint8_t ip[4];
    unsigned len;

    return sn_fw_ip4(card->fw, ip, &len) ? ldl_be_p(ip) : 0;
}

static uint32_t volume_state(SnCard *card)
{
    static const uint32_t map[] = {
        [SN_VOLUME_CONNECTING] = SN_REGS_VOLUME_CONNECTING,
        [SN_VOLUME_READY] = SN_REGS_VOLUME_READY,
        [SN_VOLUME_LOST] = SN_REGS_VOLUME_LOST,
        [SN_VOLUME_FAILED] = SN_REGS_VOLUME_FAILED,
    };
    SnVolume *vol = sn_card_volume(card);

    return vol ? map[sn_volume_state(vol)] : SN_REGS_VOLUME_NONE;
}

static uint64_t counter(SnCard *card, hwaddr offset)
{
    unsigned port = offset / SN_REGS_PORT_STRIDE;
    unsigned index = offset % SN_REGS_PORT_STRIDE / sizeof(uint64_t);
    const SnPortCounters *c;

    if (port >= SN_CARD_PORTS || index >= SN_REGS_COUNTERS) {
        return 0;
    }
    c = &sn_card_port(card, port)->counters;
    return (const uint64_t[SN_REGS_COUNTERS]) {
        [SN_REGS_RX_FRAMES] = c->rx_frames,
        [SN_REGS_RX_BYTES] = c->rx_bytes,
        [SN_REGS_RX_DROPPED] = c->rx_dropped,
        [SN_REGS_TX_FRAMES] = c->tx_frames,
        [SN_REGS_TX_BYTES] = c->tx_bytes,
        [SN_REGS_TX_DROPPED] = c->tx_dropped,
    }[index];
}

/* The aligned 64-bit word that contains @addr. */
static uint64_t regs_word(SnCard *card, hwaddr addr)
{
    switch (addr & ~7ULL) {
    case SN_REG_MAGIC:
        return SN_REGS_MAGIC | (uint64_t)SN_REGS_LAYOUT << 32;
    case SN_REG_PORTS:
        return SN_CARD_PORTS | (uint64_t)link_bits(card) << 32;
    case SN_REG_IP4:
        return ip4_address(card) | (uint64_t)volume_state(card) << 32;
    default:
        return addr >= SN_REG_COUNTERS ? counter(card, addr - SN_REG_COUNTERS)
                                       : 0;
    }
}

static uint64_t regs_read(void *opaque, hwaddr addr, unsigned size)
{
    SnCard *card = opaque;
    uint64_t word;

    if (!card->sw) {
        /* A processor that was on its way here when the card was unplugged. */
        return UINT64_MAX;
    }
    word = regs_word(card, addr);
    return size == 8 ? word : extract64(word, (addr & 4) * 8, 32);
}

static void regs_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    /* Nothing is writable. */
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

void sn_card_regs_init(SnCard *card)
{
    memory_region_init_io(&card->regs, OBJECT(card), &regs_ops, card,
                          "smartnic-regs", SN_REGS_SIZE);
    pci_register_bar(PCI_DEVICE(card), 0, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &card->regs);
}
