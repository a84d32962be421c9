/*
 * Checks the address settings that a person typed.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fw-config.h"

enum { MTU_MIN = 1280, MTU_DEFAULT = 1500, MTU_MAX = 9216 };

static bool fail(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (err) {
        *err = g_error_new_valist(
            g_quark_from_static_string("sn-firmware-error"), 0, fmt, ap);
    }
    va_end(ap);
    return false;
}

/* "address/len": the address in network order and a length up to @max. */
static bool parse_prefix(const char *text, int family, unsigned max,
                         uint8_t *addr, unsigned *len)
{
    const char *slash = strchr(text, '/');
    g_autofree char *host = NULL;
    char *end;
    unsigned long n;

    if (!slash || !g_ascii_isdigit(slash[1])) {
        return false;
    }
    host = g_strndup(text, slash - text);
    n = strtoul(slash + 1, &end, 10);
    if (*end || n < 1 || n > max || inet_pton(family, host, addr) != 1) {
        return false;
    }
    *len = n;
    return true;
}

static bool usable4(const uint8_t a[4])
{
    return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static uint32_t host_bits(const uint8_t a[4], unsigned prefix)
{
    uint32_t v = (uint32_t)a[0] << 24 | a[1] << 16 | a[2] << 8 | a[3];

    return prefix == 32 ? 0 : v & (UINT32_MAX >> prefix);
}

static bool same_subnet(const uint8_t a[4], const uint8_t b[4],
                        unsigned prefix)
{
    uint8_t diff[4];

    for (int i = 0; i < 4; i++) {
        diff[i] = a[i] ^ b[i];
    }
    return host_bits(diff, prefix) ==
           ((uint32_t)diff[0] << 24 | diff[1] << 16 | diff[2] << 8 | diff[3]);
}

static bool parse_ip4(FwConfig *out, const char *ip, GError **err)
{
    uint32_t host;

    if (!ip || !strcmp(ip, "dhcp")) {
        out->mode4 = FW_IP_AUTO;
        return true;
    }
    if (!strcmp(ip, "none")) {
        out->mode4 = FW_IP_NONE;
        return true;
    }
    out->mode4 = FW_IP_STATIC;
    if (!parse_prefix(ip, AF_INET, 32, out->ip4, &out->prefix4)) {
        return fail(err, "ip: '%s' is not an address: use \"dhcp\", \"none\" "
                    "or an IPv4 address with prefix length, like "
                    "192.0.2.7/24", ip);
    }
    host = host_bits(out->ip4, out->prefix4);
    if (!usable4(out->ip4) ||
        (out->prefix4 < 31 &&
         (host == 0 || host == UINT32_MAX >> out->prefix4))) {
        return fail(err, "ip: '%s' is not the address of a host", ip);
    }
    return true;
}

static bool parse_gateway(FwConfig *out, const char *gateway, GError **err)
{
    if (!gateway || !gateway[0]) {
        return true;
    }
    if (out->mode4 != FW_IP_STATIC) {
        return fail(err, "gateway: only with a fixed ip, like "
                    "ip=192.0.2.7/24 (DHCP brings its own)");
    }
    if (inet_pton(AF_INET, gateway, out->gateway4) != 1 ||
        !usable4(out->gateway4)) {
        return fail(err, "gateway: '%s' is not an IPv4 address, like "
                    "192.0.2.1", gateway);
    }
    if (!same_subnet(out->ip4, out->gateway4, out->prefix4) ||
        !memcmp(out->ip4, out->gateway4, 4)) {
        return fail(err, "gateway: '%s' must be another address in the "
                    "subnet of ip", gateway);
    }
    return true;
}

static bool parse_ip6(FwConfig *out, const char *ip6, GError **err)
{
    unsigned len;

    if (!ip6 || !strcmp(ip6, "auto")) {
        out->mode6 = FW_IP_AUTO;
        return true;
    }
    if (!strcmp(ip6, "none")) {
        out->mode6 = FW_IP_NONE;
        return true;
    }
    out->mode6 = FW_IP_STATIC;
    if (!parse_prefix(ip6, AF_INET6, 128, out->ip6, &len)) {
        return fail(err, "ip6: '%s' is not an address: use \"auto\", \"none\" "
                    "or an IPv6 address with prefix length, like "
                    "2001:db8::7/64", ip6);
    }
    /* lwIP takes the subnet of a fixed address to be a /64. */
    if (len != 64) {
        return fail(err, "ip6: '%s' must have prefix length 64", ip6);
    }
    /* Loopback and unspecified (::/127), IPv4-mapped, multicast. */
    if (out->ip6[0] == 0 || out->ip6[0] == 0xff ||
        (out->ip6[0] == 0xfe && (out->ip6[1] & 0xc0) == 0x80)) {
        return fail(err, "ip6: '%s' is not a global or unique local address "
                    "(a link-local one is always there)", ip6);
    }
    return true;
}

static bool parse_dns(FwConfig *out, const char *dns, GError **err)
{
    if (!dns || !dns[0]) {
        return true;
    }
    if (inet_pton(AF_INET, dns, out->dns) == 1 && usable4(out->dns)) {
        out->dns_len = 4;
    } else if (inet_pton(AF_INET6, dns, out->dns) == 1) {
        out->dns_len = 16;
    } else {
        return fail(err, "dns: '%s' is not an IPv4 or IPv6 address", dns);
    }
    return true;
}

bool sn_fw_config_parse(FwConfig *out, const SnFirmwareConfig *in,
                        GError **err)
{
    static const uint8_t zero[6];

    memset(out, 0, sizeof(*out));
    memcpy(out->mac, in->mac, 6);
    if ((out->mac[0] & 1) || !memcmp(out->mac, zero, 6)) {
        return fail(err, "mac: must be a unicast address, like "
                    "52:54:00:12:34:56");
    }
    out->mtu = in->mtu ? in->mtu : MTU_DEFAULT;
    if (out->mtu < MTU_MIN || out->mtu > MTU_MAX) {
        return fail(err, "mtu: %u is out of range, use %d to %d", out->mtu,
                    MTU_MIN, MTU_MAX);
    }
    return parse_ip4(out, in->ip, err) &&
           parse_gateway(out, in->gateway, err) &&
           parse_ip6(out, in->ip6, err) && parse_dns(out, in->dns, err);
}
