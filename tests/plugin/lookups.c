/*
 * Preloaded, tells of every name that is looked up, and finds none.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **res)
{
    __typeof__(&getaddrinfo) next = (__typeof__(&getaddrinfo))
        dlsym(RTLD_NEXT, "getaddrinfo");
    struct in6_addr a;

    if (node && inet_pton(AF_INET, node, &a) != 1 &&
        inet_pton(AF_INET6, node, &a) != 1) {
        fprintf(stderr, "look-up of %s\n", node);
        return EAI_NONAME;
    }
    return next(node, service, hints, res);
}
