/*
 * The firmware around TCP: settings, addresses, names, several cards.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "firmware-world.h"

/* ---- settings ---- */

static void test_config(void)
{
    static const struct {
        const char *ip, *gateway, *ip6, *dns;
        uint16_t mtu;
        const char *wrong;      /* the setting to be named; NULL: right */
    } cases[] = {
        { NULL, NULL, NULL, NULL, 0, NULL },
        { "dhcp", NULL, "auto", "192.0.2.53", 9000, NULL },
        { "none", NULL, "none", "2001:db8::53", 1280, NULL },
        { "192.0.2.1/24", "192.0.2.254", "2001:db8::1/64", NULL, 1500, NULL },
        { "10.0.0.0/31", "10.0.0.1", NULL, NULL, 0, NULL },
        { "10.0.0.7/32", NULL, "fd00::1/64", NULL, 0, NULL },
        { "", NULL, NULL, NULL, 0, "ip:" },
        { "DHCP", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1/", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1/33", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1/0", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1/-8", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.1/24x", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2/24", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.0/24", NULL, NULL, NULL, 0, "ip:" },
        { "192.0.2.255/24", NULL, NULL, NULL, 0, "ip:" },
        { "127.0.0.1/8", NULL, NULL, NULL, 0, "ip:" },
        { "224.0.0.5/24", NULL, NULL, NULL, 0, "ip:" },
        { "0.0.0.1/8", NULL, NULL, NULL, 0, "ip:" },
        { "dhcp", "192.0.2.1", NULL, NULL, 0, "gateway:" },
        { "192.0.2.1/24", "192.0.3.1", NULL, NULL, 0, "gateway:" },
        { "192.0.2.1/24", "192.0.2.1", NULL, NULL, 0, "gateway:" },
        { "192.0.2.1/24", "router", NULL, NULL, 0, "gateway:" },
        { NULL, NULL, "2001:db8::1", NULL, 0, "ip6:" },
        { NULL, NULL, "2001:db8::1/48", NULL, 0, "ip6:" },
        { NULL, NULL, "fe80::1/64", NULL, 0, "ip6:" },
        { NULL, NULL, "::1/64", NULL, 0, "ip6:" },
        { NULL, NULL, "ff02::1/64", NULL, 0, "ip6:" },
        { NULL, NULL, "on", NULL, 0, "ip6:" },
        { NULL, NULL, NULL, "resolver", 0, "dns:" },
        { NULL, NULL, NULL, NULL, 1279, "mtu:" },
        { NULL, NULL, NULL, NULL, 9217, "mtu:" },
    };
    World *w = world_bare(1);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnFirmwareConfig c = node_config(&w->client);
        g_autoptr(GError) err = NULL;
        SnFirmware *fw;

        c.ip = cases[i].ip;
        c.gateway = cases[i].gateway;
        c.ip6 = cases[i].ip6;
        c.dns = cases[i].dns;
        c.mtu = cases[i].mtu;
        fw = sn_fw_new(&c, &err);
        if (cases[i].wrong) {
            g_assert_null(fw);
            g_assert_true(g_str_has_prefix(err->message, cases[i].wrong));
            g_assert_null(strchr(err->message, '\n'));
        } else {
            g_assert_no_error(err);
            sn_fw_free(fw);
        }
    }
    world_free(w);
}

static void test_mac(void)
{
    static const uint8_t group[6] = { 1, 2, 3, 4, 5, 6 }, zero[6];
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);

    c.mac = group;
    g_assert_null(sn_fw_new(&c, NULL));
    c.mac = zero;
    g_assert_null(sn_fw_new(&c, NULL));
    world_free(w);
}

static void ping(World *w, size_t payload)
{
    size_t len = 42 + payload;
    g_autofree uint8_t *f = g_malloc0(len);

    put_eth(f, mac_c, 0x0800);
    put_ip4(f + 14, len - 14, 1, IP_S, IP_C);
    f[34] = 8;
    sn_put_be16(f + 38, 0x1234);
    for (size_t i = 42; i < len; i++) {
        f[i] = i;
    }
    sn_put_be16(f + 36, ~slow_sum(f + 34, len - 34, 0));
    g_assert_true(inject(&w->client, f, len, NULL));
    test_loop_run_bhs(w->loop);
}

static void test_arp_ping(void)
{
    World *w = world_alone("192.0.2.1/24", "none");
    const uint8_t *f;
    size_t len;

    arp_request(w);
    f = find_frame(w, 0x0806, 21, 2, &len);
    g_assert_nonnull(f);
    g_assert_cmpmem(f, 6, mac_s, 6);
    g_assert_cmpmem(f + 22, 6, mac_c, 6);
    g_assert_cmpuint(sn_get_be32(f + 28), ==, IP_C);

    ping(w, 56);
    f = find_frame(w, 0x0800, 34, 0, &len);
    g_assert_nonnull(f);
    g_assert_cmpuint(len, ==, 42 + 56);
    g_assert_cmpuint(sn_get_be16(f + 38), ==, 0x1234);
    g_assert_cmpuint(slow_sum(f + 34, len - 34, 0), ==, 0xffff);
    /* Larger than the MTU: answered in fragments. */
    forget_frames(w);
    ping(w, 4000);
    g_assert_cmpuint(((GPtrArray *)w->tap_opaque)->len, ==, 3);
    world_alone_free(w);
}

/* ---- DHCP and DNS ---- */

typedef struct Services {
    bool silent;                /* answers no DHCP */
    bool nak;                   /* refuses every DHCPREQUEST */
    unsigned discovers, requests, queries;
    char hostname[64];
    bool no_such_name;
    uint8_t dns;                /* the name server offered: 192.0.2.this */
} Services;

/* UDP from the services (192.0.2.3) to the client. */
static void send_udp(World *w, uint32_t dst, uint16_t sport, uint16_t dport,
                     const uint8_t *data, size_t len)
{
    uint8_t f[1500] = { 0 };

    put_eth(f, dst == UINT32_MAX ? everyone : mac_c, 0x0800);
    put_ip4(f + 14, 28 + len, 17, 0xc0000203, dst);
    sn_put_be16(f + 34, sport);
    sn_put_be16(f + 36, dport);
    sn_put_be16(f + 38, 8 + len);
    memcpy(f + 42, data, len);
    sn_put_be16(f + 40, ~slow_sum(f + 34, 8 + len, pseudo4(f + 14, 8 + len)));
    wire_send(w, &w->client, f, 42 + len, NULL, 10000);
}

static void dhcp_answer(World *w, Services *x, const uint8_t *m, size_t len)
{
    static const uint8_t options[] = {
        54, 4, 192, 0, 2, 3, 51, 4, 0, 0, 0, 240, 1, 4, 255, 255, 255, 0,
        3, 4, 192, 0, 2, 3, 6, 4, 192, 0, 2, 3, 255,
    };
    uint8_t a[300] = { 0 };
    int type = 0;

    for (size_t i = 240; i + 1 < len && m[i] != 255; i += 2 + m[i + 1]) {
        if (m[i] == 53) {
            type = m[i + 2];
        } else if (m[i] == 12) {
            g_strlcpy(x->hostname, (const char *)m + i + 2,
                      MIN(m[i + 1] + 1u, sizeof(x->hostname)));
        }
    }
    x->discovers += type == 1;
    x->requests += type == 3;
    if (x->silent || (type != 1 && type != 3)) {
        return;
    }
    memcpy(a, m, 240);
    a[0] = 2;
    sn_put_be32(a + 16, 0xc0000221);                  /* 192.0.2.33 */
    a[240] = 53;
    a[241] = 1;
    a[242] = type == 1 ? 2 : x->nak ? 6 : 5;
    memcpy(a + 243, options, sizeof(options));
    a[243 + sizeof(options) - 2] = x->dns ? x->dns : 3;
    send_udp(w, UINT32_MAX, 67, 68, a, sizeof(a));
}

static void dns_answer(World *w, Services *x, uint16_t port,
                       const uint8_t *q, size_t len)
{
    static const uint8_t record[] = {
        0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2,
    };
    uint8_t a[512];

    x->queries++;
    memcpy(a, q, len);
    a[2] = 0x81;
    a[3] = x->no_such_name ? 0x83 : 0x80;
    if (!x->no_such_name) {
        a[7] = 1;
        memcpy(a + len, record, sizeof(record));
        len += sizeof(record);
    }
    send_udp(w, 0xc0000221, 53, port, a, len);
}

static bool tap_services(World *w, Node *from, const uint8_t *f, size_t len,
                         const SnOffload *offload)
{
    Services *x = w->tap_opaque;

    if (from != &w->client) {
        return false;
    }
    if (sn_get_be16(f + 12) == 0x0806 && sn_get_be16(f + 20) == 1 &&
        sn_get_be32(f + 38) == 0xc0000203) {
        uint8_t a[42];

        memcpy(a, f, 42);
        memcpy(a, f + 6, 6);
        memcpy(a + 6, mac_s, 6);
        sn_put_be16(a + 20, 2);
        memcpy(a + 22, mac_s, 6);
        sn_put_be32(a + 28, 0xc0000203);
        memcpy(a + 32, f + 22, 10);
        wire_send(w, &w->client, a, 42, NULL, 10000);
        return true;
    }
    if (len > 42 && sn_get_be16(f + 12) == 0x0800 && f[23] == 17) {
        if (sn_get_be16(f + 36) == 67) {
            dhcp_answer(w, x, f + 42, len - 42);
            return true;
        }
        if (sn_get_be16(f + 36) == 53) {
            dns_answer(w, x, sn_get_be16(f + 34), f + 42, len - 42);
            return true;
        }
    }
    return false;
}

static void test_dhcp_dns(void)
{
    Services x = { .silent = true };
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    Server *srv;
    User *u, *v, *n;
    uint8_t ip[4];
    unsigned len, requests;

    w->tap = tap_services;
    w->tap_opaque = &x;
    c.ip = "dhcp";
    c.id = "nic 0";
    /* In this order lwIP asks through the client (see firmware.h). */
    node_start(&w->server, &s);
    node_start(&w->client, &c);
    srv = server_new(&w->server, 4420, SERVE_ECHO);
    /* Both wait, however long it takes. */
    u = user_new(&w->client, "192.0.2.2", 4420);
    v = user_new(&w->client, "target.example", 4420);
    n = user_new(&w->client, "192.0.2.2", 4420);
    test_loop_advance(w->loop, 100 * SEC);
    g_assert_false(u->connected || u->closed || v->connected || v->closed);
    g_assert_false(sn_fw_ip4(w->client.fw, ip, &len));
    g_assert_cmpuint(x.discovers, >, 2);
    user_free(n);
    x.silent = false;
    run_until(w, is_connected, u, 70 * SEC);
    run_until(w, is_connected, v, SEC);
    g_assert_true(sn_fw_ip4(w->client.fw, ip, &len));
    g_assert_cmpmem(ip, 4, "\xc0\0\2\x21", 4);
    g_assert_cmpuint(len, ==, 24);
    g_assert_cmpuint(w->client.changes, >, 0);
    g_assert_cmpstr(x.hostname, ==, "smartnic-nic-0");
    g_assert_cmpuint(x.queries, ==, 1);

    /* Renewed at half the lease of 240 s; connections stay. */
    requests = x.requests;
    test_loop_advance(w->loop, 400 * SEC);
    g_assert_cmpuint(x.requests, >, requests);
    g_assert_false(u->closed);
    /* Asked again when the link comes back. */
    requests = x.requests;
    sn_fw_set_link(w->client.fw, false);
    test_loop_advance(w->loop, SEC);
    sn_fw_set_link(w->client.fw, true);
    test_loop_advance(w->loop, 5 * SEC);
    g_assert_cmpuint(x.requests, >, requests);
    g_assert_false(u->closed);

    x.no_such_name = true;
    n = user_new(&w->client, "nobody.example", 4420);
    run_until(w, is_closed, n, 60 * SEC);
    g_assert_cmpint(n->err, ==, -ENOENT);
    user_free(n);
    /* Closed while the answer is under way. */
    n = user_new(&w->client, "late.example", 4420);
    test_loop_run_bhs(w->loop);
    user_free(n);
    test_loop_advance(w->loop, 20 * SEC);
    n = user_new(&w->client, "", 4420);
    run_until(w, is_closed, n, SEC);
    g_assert_cmpint(n->err, ==, -ENOENT);
    user_free(n);

    user_free(u);
    user_free(v);
    server_free(srv);
    world_free(w);
}

/* What the user gave is asked, also after a renewal that brings another one. */
static void test_dns_stays(void)
{
    Services x = { .dns = 9 };
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    Server *srv;

    w->tap = tap_services;
    w->tap_opaque = &x;
    c.ip = "dhcp";
    c.dns = "192.0.2.3";
    node_start(&w->server, &s);
    node_start(&w->client, &c);
    srv = server_new(&w->server, 4420, SERVE_ECHO);
    for (unsigned i = 1; i <= 3; i++) {
        g_autofree char *name = g_strdup_printf("target%u.example", i);
        unsigned requests = x.requests;
        User *u = user_new(&w->client, name, 4420);

        run_until(w, is_connected, u, 5 * SEC);
        g_assert_cmpuint(x.queries, ==, i);
        user_free(u);
        test_loop_advance(w->loop, 130 * SEC);
        g_assert_cmpuint(x.requests, >, requests);
    }
    server_free(srv);
    world_free(w);
}

/*
 * A lease that runs out, or that the server takes back, ends connections; the
 * next ones wait for the next address.
 */
static void dhcp_lost(bool nak)
{
    Services x = { 0 };
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    uint8_t ip[4];
    unsigned len;
    Server *srv;
    User *u;

    w->tap = tap_services;
    w->tap_opaque = &x;
    c.ip = "dhcp";
    node_start(&w->server, &s);
    node_start(&w->client, &c);
    srv = server_new(&w->server, 4420, SERVE_ECHO);
    u = user_new(&w->client, "192.0.2.2", 4420);
    run_until(w, is_connected, u, 20 * SEC);
    x.silent = !nak;
    x.nak = nak;
    /* The lease is 240 s, asked for again after half of it. */
    test_loop_advance(w->loop, 100 * SEC);
    g_assert_false(u->closed);
    run_until(w, is_closed, u, (nak ? 90 : 220) * SEC);
    g_assert_cmpint(u->err, ==, -ENETDOWN);
    g_assert_false(sn_fw_ip4(w->client.fw, ip, &len));
    user_free(u);
    u = user_new(&w->client, "192.0.2.2", 4420);
    test_loop_advance(w->loop, SEC);
    g_assert_false(u->closed || u->connected);
    x.silent = x.nak = false;
    run_until(w, is_connected, u, 70 * SEC);
    user_free(u);
    server_free(srv);
    world_free(w);
}

static void test_dhcp_lost(void)
{
    dhcp_lost(false);
    dhcp_lost(true);
}

/* ---- IPv6 ---- */

static void test_ip6(void)
{
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);
    SnFirmwareConfig s = node_config(&w->server);
    uint8_t addr[16];
    Server *srv;
    User *u, *l;

    c.ip = s.ip = "none";
    c.ip6 = "2001:db8::1/64";
    s.ip6 = "2001:db8::2/64";
    node_start(&w->client, &c);
    node_start(&w->server, &s);
    srv = server_new(&w->server, 4420, SERVE_ECHO);
    u = user_new(&w->client, "2001:db8::2", 4420);
    /* Duplicate address detection takes a second. */
    test_loop_advance(w->loop, 100 * MS);
    g_assert_false(u->connected);
    g_assert_false(sn_fw_ip6(w->client.fw, 1, addr));
    run_until(w, is_connected, u, 10 * SEC);
    g_assert_true(sn_fw_ip6(w->client.fw, 0, addr));
    g_assert_cmpuint(sn_get_be16(addr), ==, 0xfe80);
    g_assert_true(sn_fw_ip6(w->client.fw, 1, addr));
    g_assert_cmpuint(sn_get_be32(addr), ==, 0x20010db8);
    g_assert_false(sn_fw_ip6(w->client.fw, 2, addr));
    g_assert_false(sn_fw_ip6(w->client.fw, 9, addr));
    l = user_new(&w->client, "fe80::5054:ff:fe01:204", 4420);
    run_until(w, is_connected, l, 5 * SEC);
    user_free(u);
    user_free(l);
    server_free(srv);
    world_free(w);
}

static void router_advertisement(World *w)
{
    static const uint8_t body[] = {
        134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
        3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0,
        0x20, 1, 0x0d, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    };
    uint8_t f[54 + sizeof(body)] = { 0 };
    uint8_t *ip = f + 14;

    put_eth(f, (const uint8_t *)"\x33\x33\0\0\0\1", 0x86dd);
    ip[0] = 0x60;
    sn_put_be16(ip + 4, sizeof(body));
    ip[6] = 58;
    ip[7] = 255;
    sn_put_be16(ip + 8, 0xfe80);
    ip[23] = 0x77;
    sn_put_be16(ip + 24, 0xff02);
    ip[39] = 1;
    memcpy(ip + 40, body, sizeof(body));
    sn_put_be16(ip + 42, ~slow_sum(ip + 8, 32 + sizeof(body),
                                   58 + sizeof(body)));
    g_assert_true(inject(&w->client, f, sizeof(f), NULL));
}

static void test_slaac(void)
{
    World *w = world_alone("none", NULL);
    uint8_t addr[16];
    size_t len;

    test_loop_advance(w->loop, 5 * SEC);
    g_assert_nonnull(find_frame(w, 0x86dd, 54, 133, &len));
    g_assert_false(sn_fw_ip6(w->client.fw, 1, addr));
    router_advertisement(w);
    test_loop_advance(w->loop, 5 * SEC);
    g_assert_true(sn_fw_ip6(w->client.fw, 1, addr));
    g_assert_cmpmem(addr, 16, "\x20\1\x0d\xb8\0\7\0\0\x50\x54\0\xff\xfe\1\2\3",
                    16);
    world_alone_free(w);
}

/* ---- several cards ---- */

/*
 * Two cards with the same address on networks of their own: one going away
 * leaves the connections of the other alone.
 */
static void test_same_address(void)
{
    World *w = world_new(1), *x = world_bare(2);
    Server *srv = server_new(&w->server, 4420, SERVE_ECHO);
    User *u = user_new(&w->client, "192.0.2.2", 4420);
    SnFirmwareConfig c = node_config(&x->client);
    GByteArray *sum = g_byte_array_new();
    Write *wr;

    c.loop = w->loop;
    node_start(&x->client, &c);
    x->client.peer = NULL;
    x->client.blocked = true;
    run_until(w, is_connected, u, SEC);
    sn_fw_free(x->client.fw);
    x->client.fw = NULL;
    test_loop_advance(w->loop, SEC);
    g_assert_false(u->closed);
    wr = user_write(w, u, 1000, sum);
    user_push(u);
    test_loop_advance(w->loop, SEC);
    assert_bytes(u->rx, sum);
    user_free(u);
    g_free(wr);
    g_byte_array_unref(sum);
    server_free(srv);
    world_free(x);
    world_free(w);
}

/* The timer goes from one card's loop to another's. */
static void test_loop_handover(void)
{
    World *w = world_bare(1), *x = world_new(2);
    SnFirmwareConfig c = node_config(&w->client);
    Server *srv;
    User *u;

    node_start(&w->client, &c);
    srv = server_new(&x->server, 4420, SERVE_ECHO);
    world_free(w);
    u = user_new(&x->client, "192.0.2.2", 4420);
    x->fate = fate_lossy;
    x->loss = 0.3;
    run_until(x, is_connected, u, 60 * SEC);
    user_free(u);
    server_free(srv);
    world_free(x);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/firmware-net/config", test_config);
    g_test_add_func("/firmware-net/mac", test_mac);
    g_test_add_func("/firmware-net/arp-ping", test_arp_ping);
    g_test_add_func("/firmware-net/dhcp-dns", test_dhcp_dns);
    g_test_add_func("/firmware-net/dns-stays", test_dns_stays);
    g_test_add_func("/firmware-net/dhcp-lost", test_dhcp_lost);
    g_test_add_func("/firmware-net/ip6", test_ip6);
    g_test_add_func("/firmware-net/slaac", test_slaac);
    g_test_add_func("/firmware-net/same-address", test_same_address);
    g_test_add_func("/firmware-net/loop-handover", test_loop_handover);
    return g_test_run();
}
