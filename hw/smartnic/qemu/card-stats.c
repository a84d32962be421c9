/*
 * What QMP can ask a card (`qom-get`): counters per port, addresses, and the
 * state of its volume.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/visitor.h"

#include "card.h"

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    { "rx-frames", offsetof(SnPortCounters, rx_frames) },
    { "rx-bytes", offsetof(SnPortCounters, rx_bytes) },
    { "rx-dropped", offsetof(SnPortCounters, rx_dropped) },
    { "tx-frames", offsetof(SnPortCounters, tx_frames) },
    { "tx-bytes", offsetof(SnPortCounters, tx_bytes) },
    { "tx-dropped", offsetof(SnPortCounters, tx_dropped) },
};

static const char *const port_names[SN_CARD_PORTS] = {
    "uplink", "host", "firmware",
};

/* @opaque: port number * number of counters + counter number */
static void get_counter(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    SnCard *card = SN_CARD(obj);
    uintptr_t which = (uintptr_t)opaque;
    uint64_t value = 0;

    if (card->sw) {             /* realized */
        const SnPort *port = sn_card_port(card, which / ARRAY_SIZE(counters));

        value = *(const uint64_t *)((const char *)&port->counters +
                                    counters[which % ARRAY_SIZE(counters)]
                                    .offset);
    }
    visit_type_uint64(v, name, &value, errp);
}

static char *get_ip_address(Object *obj, Error **errp)
{
    SnCard *card = SN_CARD(obj);
    uint8_t ip[4];
    unsigned len;

    if (!card->fw || !sn_fw_ip4(card->fw, ip, &len)) {
        return g_strdup("");
    }
    return g_strdup_printf("%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

static char *get_storage_mac(Object *obj, Error **errp)
{
    SnCard *card = SN_CARD(obj);
    const uint8_t *m = card->fw_port.mac;

    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x",
                           m[0], m[1], m[2], m[3], m[4], m[5]);
}

void sn_card_stats_init(Object *obj)
{
    for (uintptr_t p = 0; p < SN_CARD_PORTS; p++) {
        for (uintptr_t c = 0; c < ARRAY_SIZE(counters); c++) {
            g_autofree char *name = g_strdup_printf("%s-%s", port_names[p],
                                                    counters[c].name);

            object_property_add(obj, name, "uint64", get_counter, NULL, NULL,
                                (void *)(p * ARRAY_SIZE(counters) + c));
        }
    }
    object_property_add_str(obj, "ip-address", get_ip_address, NULL);
    object_property_add_str(obj, "storage-mac-address", get_storage_mac, NULL);
}
