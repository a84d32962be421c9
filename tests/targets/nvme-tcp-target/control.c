/*
 * The control socket. A client sends commands, one in a line:
 *
 *   fault KIND [op=] [queue=] [step=] [after=] [times=] [ms=] [bytes=]
 *         [status=]               what is to go wrong; answers its number
 *   clear                         forgets all faults
 *   faults                        lists them
 *   stats                         counts
 *   drop                          ends all connections by RST
 *   close                         ends them in order
 *   refuse on|off                 stops listening, and listens again
 *   stall on|off                  reads and sends nothing meanwhile
 *   resize NSID SIZE | remove NSID | add NSID SIZE
 *   quit                          ends the program
 *
 * and gets one line for each, "ok ..." or "error ...". In between come lines
 * "fired NUMBER KIND op=OP queue=N" when a fault strikes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "connection.h"
#include "controller.h"
#include "fault.h"
#include "namespace.h"
#include "request.h"
#include "target.h"

#define LINE_MAX_LEN 512
#define REPLY_MAX 4096

typedef struct Client {
    Watch watch;
    struct Client *next;
    bool gone;
    size_t len;
    char line[LINE_MAX_LEN];
} Client;

static Watch listener;
static Client *clients;

static void client_gone(Client *client)
{
    if (!client->gone) {
        client->gone = true;
        watch_remove(&client->watch);
        close(client->watch.fd);
    }
}

/* One who does not read what he is told is not waited for. */
static void tell(Client *client, const char *text)
{
    size_t len = strlen(text);

    if (!client->gone &&
        send(client->watch.fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) != len) {
        client_gone(client);
    }
}

void control_announce(const char *format, ...)
{
    char text[LINE_MAX_LEN];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (Client *client = clients; client; client = client->next) {
        tell(client, text);
    }
}

/* ---- commands: each returns NULL, or why not ---- */

static const char *do_fault(char *args, char *reply)
{
    const char *why;
    unsigned number = fault_add(args, &why);

    snprintf(reply, REPLY_MAX, " %u", number);
    return number ? NULL : why;
}

static const char *do_clear(char *args, char *reply)
{
    fault_clear();
    return NULL;
}

static const char *do_faults(char *args, char *reply)
{
    fault_list(reply, REPLY_MAX);
    return NULL;
}

static const char *do_stats(char *args, char *reply)
{
    int at = snprintf(reply, REPLY_MAX, " connections=%u accepted=%llu "
                      "controllers=%u term-reqs=%llu fired=%u", conn_count(),
                      (unsigned long long)stats.accepted, ctrl_count(),
                      (unsigned long long)stats.term_reqs, fault_fired());

    for (Op op = OP_ICREQ + 1; op < OP_COUNT; op++) {
        at += snprintf(reply + at, REPLY_MAX - at, " %s=%llu", op_names[op],
                       (unsigned long long)stats.ops[op]);
    }
    return NULL;
}

static const char *do_drop(char *args, char *reply)
{
    conn_each(conn_abort);
    return NULL;
}

static const char *do_close(char *args, char *reply)
{
    conn_each(conn_finish);
    return NULL;
}

static const char *do_refuse(char *args, char *reply)
{
    if (strcmp(args, "on") && strcmp(args, "off")) {
        return "say on or off";
    }
    return target_listen(!strcmp(args, "off")) ? NULL : strerror(errno);
}

static const char *do_stall(char *args, char *reply)
{
    if (strcmp(args, "on") && strcmp(args, "off")) {
        return "say on or off";
    }
    conn_stall_all(!strcmp(args, "on"));
    return NULL;
}

/* Parses "NSID SIZE". */
static bool parse_ns_size(const char *args, unsigned *nsid, uint64_t *size)
{
    char text[32];

    return sscanf(args, "%u %31s", nsid, text) == 2 && parse_size(text, size);
}

static const char *do_resize(char *args, char *reply)
{
    unsigned nsid;
    uint64_t size;
    const char *why;

    if (!parse_ns_size(args, &nsid, &size)) {
        return "say NSID SIZE";
    }
    why = ns_resize(nsid, size);
    if (!why) {
        ctrl_ns_changed(nsid);
    }
    return why;
}

static const char *do_add(char *args, char *reply)
{
    unsigned nsid;
    uint64_t size;
    const char *why;

    if (!parse_ns_size(args, &nsid, &size)) {
        return "say NSID SIZE";
    }
    why = ns_add(nsid, size, 512, NULL, NULL);
    if (!why) {
        ctrl_ns_changed(nsid);
    }
    return why;
}

static const char *do_remove(char *args, char *reply)
{
    unsigned nsid = strtoul(args, NULL, 10);
    const char *why = ns_remove(nsid);

    if (!why) {
        ctrl_ns_changed(nsid);
    }
    return why;
}

static const char *do_quit(char *args, char *reply)
{
    target_quit();
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(char *args, char *reply);
} commands[] = {
    { "fault", do_fault },
    { "clear", do_clear },
    { "faults", do_faults },
    { "stats", do_stats },
    { "drop", do_drop },
    { "close", do_close },
    { "refuse", do_refuse },
    { "stall", do_stall },
    { "resize", do_resize },
    { "add", do_add },
    { "remove", do_remove },
    { "quit", do_quit },
};

static void run_line(Client *client, char *line)
{
    char reply[REPLY_MAX] = "", text[REPLY_MAX + 16];
    char *args = strchr(line, ' ');
    const char *why = "there is no such command";

    if (args) {
        *args++ = '\0';
    } else {
        args = line + strlen(line);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(line, commands[i].name)) {
            why = commands[i].run(args, reply);
            break;
        }
    }
    if (why) {
        snprintf(text, sizeof(text), "error %s\n", why);
    } else {
        snprintf(text, sizeof(text), "ok%s\n", reply);
    }
    tell(client, text);
}

static void client_event(Watch *watch, uint32_t events)
{
    Client *client = CONTAINER_OF(watch, Client, watch);
    size_t room = sizeof(client->line) - 1 - client->len;
    ssize_t n = read(watch->fd, client->line + client->len, room);
    char *end;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            client_gone(client);
        }
        return;
    }
    client->len += n;
    client->line[client->len] = '\0';
    while (!client->gone && (end = strchr(client->line, '\n'))) {
        *end++ = '\0';
        run_line(client, client->line);
        client->len -= end - client->line;
        memmove(client->line, end, client->len + 1);
    }
    if (client->len == sizeof(client->line) - 1) {
        client_gone(client);
    }
}

static void listener_event(Watch *watch, uint32_t events)
{
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    Client *client;

    if (fd < 0) {
        return;
    }
    client = calloc(1, sizeof(*client));
    if (client) {
        client->watch = (Watch){ .fd = fd, .event = client_event };
    }
    if (!client || !watch_add(&client->watch, EPOLLIN)) {
        free(client);
        close(fd);
        return;
    }
    client->next = clients;
    clients = client;
}

bool control_listen(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    unlink(path);
    listener = (Watch){ .fd = fd, .event = listener_event };
    return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
           listen(fd, 16) == 0 && watch_add(&listener, EPOLLIN);
}

void control_reap(void)
{
    for (Client **link = &clients; *link;) {
        Client *client = *link;

        if (client->gone) {
            *link = client->next;
            free(client);
        } else {
            link = &client->next;
        }
    }
}
