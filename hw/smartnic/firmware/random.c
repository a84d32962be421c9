/*
 * Numbers that nobody on the network can guess.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>
#include <sys/random.h>

#include "fw.h"
#include "lwip-hooks.h"

/* Never fails after boot for so few bytes (getrandom(2)). */
static void fill(void *buf, size_t len)
{
    while (getrandom(buf, len, 0) != (ssize_t)len) {
        /* interrupted by a signal */
    }
}

u32_t sn_fw_rand(void)
{
    static uint32_t store[64];
    static unsigned left;

    if (left == 0) {
        fill(store, sizeof(store));
        left = G_N_ELEMENTS(store);
    }
    return store[--left];
}

/* RFC 6528 section 3: ISN = M + F(connection, secret), M counts 4 us. */
u32_t sn_fw_tcp_isn(const ip_addr_t *local, u16_t local_port,
                    const ip_addr_t *remote, u16_t remote_port)
{
    static uint8_t secret[32];
    static bool have_secret;
    uint8_t digest[32];
    gsize len = sizeof(digest);
    uint16_t ports[2] = { local_port, remote_port };
    GHmac *mac;
    uint32_t f;

    if (!have_secret) {
        fill(secret, sizeof(secret));
        have_secret = true;
    }
    mac = g_hmac_new(G_CHECKSUM_SHA256, secret, sizeof(secret));
    if (IP_IS_V6(local)) {
        g_hmac_update(mac, (const guchar *)ip_2_ip6(local)->addr, 16);
        g_hmac_update(mac, (const guchar *)ip_2_ip6(remote)->addr, 16);
    } else {
        g_hmac_update(mac, (const guchar *)&ip_2_ip4(local)->addr, 4);
        g_hmac_update(mac, (const guchar *)&ip_2_ip4(remote)->addr, 4);
    }
    g_hmac_update(mac, (const guchar *)ports, sizeof(ports));
    g_hmac_get_digest(mac, digest, &len);
    g_hmac_unref(mac);
    memcpy(&f, digest, sizeof(f));
    return f + (uint32_t)(sn_loop_now(sn_fw_list->loop) / 4000);
}
