/*
 * Sets of sockets, and the descriptors of this process that are ours.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <poll.h>

#include "sockets-internal.h"

/* Descriptors are counted from SN_SOCKETS_FD; NULL: not open. */
static GPtrArray *table;

/* Who else shares a library may run in another thread. */
static __thread SnSockets *current;

SnSockets *sn_sockets_current(void)
{
    return current;
}

SnSockets *sn_sockets_new(SnNet *net, SnLoop *loop, SnLoopFunc *ready,
                          void *opaque)
{
    SnSockets *s = g_new0(SnSockets, 1);

    s->net = net;
    s->loop = loop;
    s->ready = ready;
    s->opaque = opaque;
    s->names = g_ptr_array_new_with_free_func(g_free);
    if (!table) {
        table = g_ptr_array_new();
    }
    return s;
}

void sn_sockets_free(SnSockets *s)
{
    if (!s) {
        return;
    }
    g_assert(current != s);
    for (guint i = 0; i < table->len; i++) {
        SnSocket *k = table->pdata[i];

        if (k && g_queue_find(&s->sockets, k)) {
            sn_sockets_close(SN_SOCKETS_FD + i);
        }
    }
    g_assert(!s->sockets.head);
    g_ptr_array_unref(s->names);
    g_free(s);
}

void sn_sockets_set_check(SnSockets *s, SnSocketsCheck *check, void *opaque)
{
    s->check = check;
    s->check_opaque = opaque;
}

void sn_sockets_set_port(SnSockets *s, uint16_t port)
{
    s->from_port = port;
}

unsigned sn_sockets_made(const SnSockets *s)
{
    return s->made;
}

SnSockets *sn_sockets_enter(SnSockets *s)
{
    SnSockets *before = current;

    current = s;
    return before;
}

void sn_sockets_leave(SnSockets *s, SnSockets *before)
{
    current = before;
    for (GList *l = s->sockets.head; l; l = l->next) {
        sn_socket_flush(l->data);
    }
}

SnSocket *sn_sockets_find(int fd)
{
    guint i = (guint)fd - SN_SOCKETS_FD;

    return fd >= SN_SOCKETS_FD && table && i < table->len ? table->pdata[i]
                                                         : NULL;
}

int sn_sockets_open(SnSocket *k)
{
    guint i = 0;

    while (i < table->len && table->pdata[i]) {
        i++;
    }
    if (i == table->len) {
        g_ptr_array_add(table, NULL);
    }
    table->pdata[i] = k;
    sn_socket_ref(k);
    return SN_SOCKETS_FD + i;
}

int sn_sockets_close(int fd)
{
    SnSocket *k = sn_sockets_find(fd);

    if (!k) {
        return -EBADF;
    }
    table->pdata[fd - SN_SOCKETS_FD] = NULL;
    sn_socket_unref(k);
    return 0;
}

int sn_sockets_dup2(int fd, int as)
{
    SnSocket *k = sn_sockets_find(fd);

    if (!k || as < SN_SOCKETS_FD || as - SN_SOCKETS_FD >= (int)table->len) {
        return -EBADF;
    }
    if (as != fd) {
        sn_socket_ref(k);
        sn_sockets_close(as);
        table->pdata[as - SN_SOCKETS_FD] = k;
    }
    return as;
}

short sn_sockets_poll(int fd, short events)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? sn_socket_poll(k, events) : POLLNVAL;
}

int sn_sockets_error(int fd)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? sn_socket_error(k) : -EBADF;
}

bool sn_sockets_heard(int fd)
{
    SnSocket *k = sn_sockets_find(fd);

    return k && sn_socket_heard(k);
}

bool sn_sockets_ended(int fd)
{
    SnSocket *k = sn_sockets_find(fd);

    return k && sn_socket_ended(k);
}

uint16_t sn_sockets_port(int fd)
{
    SnSocket *k = sn_sockets_find(fd);

    return k ? sn_socket_port(k) : 0;
}
