/*
 * Names: getaddrinfo() without asking anybody, and what its addresses mean.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <string.h>

#include "sockets-internal.h"

/* Names are remembered for good, so a set has few: its URL's and its peers'. */
#define MAX_NAMES 0xffffff

/* In ai_canonname: this result is ours. */
static char own_mark[] = "";

typedef struct Result {
    struct addrinfo ai;         /* first */
    struct sockaddr_storage addr;
} Result;

static bool parse_port(const char *service, uint16_t *port)
{
    guint64 n = 0;

    if (service && !g_ascii_string_to_unsigned(service, 10, 0, G_MAXUINT16, &n,
                                               NULL)) {
        return false;
    }
    *port = n;
    return true;
}

/* The address of 0.0.0.0/8 that stands for @name. */
static bool address_of_name(SnSockets *s, const char *name, struct in_addr *a)
{
    guint i;

    if (!g_ptr_array_find_with_equal_func(s->names, name, g_str_equal, &i)) {
        if (s->names->len == MAX_NAMES) {
            return false;
        }
        i = s->names->len;
        g_ptr_array_add(s->names, g_strdup(name));
    }
    a->s_addr = htonl(i + 1);
    return true;
}

static const char *name_of_address(const SnSockets *s, struct in_addr a)
{
    uint32_t i = ntohl(a.s_addr);

    return i && i <= s->names->len ? s->names->pdata[i - 1] : NULL;
}

/* 0, or an EAI_* value. */
static int resolve(SnSockets *s, const char *node, int flags, int family,
                   uint16_t port, Result *r)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)&r->addr;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&r->addr;

    if (inet_pton(AF_INET6, node, &a6->sin6_addr) == 1) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = htons(port);
        r->ai.ai_addrlen = sizeof(*a6);
    } else {
        memset(&r->addr, 0, sizeof(r->addr));
        a4->sin_family = AF_INET;
        a4->sin_port = htons(port);
        r->ai.ai_addrlen = sizeof(*a4);
        if (inet_pton(AF_INET, node, &a4->sin_addr) != 1) {
            if (flags & AI_NUMERICHOST) {
                return EAI_NONAME;
            }
            if (!address_of_name(s, node, &a4->sin_addr)) {
                return EAI_MEMORY;
            }
        }
    }
    r->ai.ai_family = r->addr.ss_family;
    return family == AF_UNSPEC || family == r->ai.ai_family ? 0 : EAI_FAMILY;
}

int sn_names_getaddrinfo(SnSockets *s, const char *node, const char *service,
                         const struct addrinfo *hints, struct addrinfo **res)
{
    g_autofree Result *r = g_new0(Result, 1);
    uint16_t port;
    int err;

    if (!node || !*node) {
        return EAI_NONAME;      /* nobody listens here */
    }
    if (!parse_port(service, &port)) {
        return EAI_SERVICE;
    }
    if (hints && hints->ai_socktype && hints->ai_socktype != SOCK_STREAM) {
        return EAI_SOCKTYPE;
    }
    err = resolve(s, node, hints ? hints->ai_flags : 0,
                  hints ? hints->ai_family : AF_UNSPEC, port, r);
    if (err) {
        return err;
    }
    r->ai.ai_socktype = SOCK_STREAM;
    r->ai.ai_protocol = IPPROTO_TCP;
    r->ai.ai_addr = (struct sockaddr *)&r->addr;
    r->ai.ai_canonname = own_mark;
    *res = &((Result *)g_steal_pointer(&r))->ai;
    return 0;
}

bool sn_names_freeaddrinfo(struct addrinfo *ai)
{
    if (!ai || ai->ai_canonname != own_mark) {
        return false;
    }
    g_free(ai);
    return true;
}

char *sn_names_host(const SnSockets *s, const struct sockaddr *addr,
                    socklen_t len, uint16_t *port)
{
    char text[INET6_ADDRSTRLEN];

    if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *a4 = (const struct sockaddr_in *)addr;

        *port = ntohs(a4->sin_port);
        if (ntohl(a4->sin_addr.s_addr) >> 24 == 0) {
            return g_strdup(name_of_address(s, a4->sin_addr));
        }
        return g_strdup(inet_ntop(AF_INET, &a4->sin_addr, text, sizeof(text)));
    }
    if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)addr;

        *port = ntohs(a6->sin6_port);
        return g_strdup(inet_ntop(AF_INET6, &a6->sin6_addr, text,
                                  sizeof(text)));
    }
    return NULL;
}
