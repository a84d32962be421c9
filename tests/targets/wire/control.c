/*
 * The control socket. A client sends commands, one in a line:
 *
 *   stats               counts
 *   faults on|off|N     faults as the plan says, none, or N more
 *   plan KIND=P...      other chances, as on the command line
 *   cut on|off          no frame passes, in both directions
 *
 * and gets one line for each, "ok ..." or "error ...". When the last of N
 * faults was done, every client gets a line "spent".
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_LEN 256
#define REPLY_LEN 512

typedef struct Client {
    Watch watch;                    /* first: clients are found by it */
    struct Client *next;
    size_t len;
    char line[LINE_LEN];
} Client;

static Wire *the_wire;
static Watch listener;
static Client *clients;

/* One who does not read what he is told misses it. */
static void tell(Client *client, const char *line)
{
    send(client->watch.fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void control_announce(const char *line)
{
    for (Client *client = clients; client; client = client->next) {
        tell(client, line);
    }
}

/* ---- commands: each is false when its arguments are wrong ---- */

static bool do_stats(char *args, char *reply)
{
    const Wire *wire = the_wire;
    uint64_t passed = 0, lost = 0, overflowed = 0, swallowed = 0;
    int at;

    for (int i = 0; i < 2; i++) {
        passed += wire->lanes[i].passed;
        lost += wire->lanes[i].lost;
        overflowed += wire->lanes[i].overflowed;
        swallowed += wire->lanes[i].swallowed;
    }
    at = snprintf(reply, REPLY_LEN, " seed=%llu passed=%llu lost=%llu "
                  "overflowed=%llu swallowed=%llu",
                  (unsigned long long)wire->plan.seed,
                  (unsigned long long)passed, (unsigned long long)lost,
                  (unsigned long long)overflowed,
                  (unsigned long long)swallowed);
    for (Fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++) {
        at += snprintf(reply + at, REPLY_LEN - at, " %s=%llu",
                       fault_names[fault],
                       (unsigned long long)wire->plan.done[fault]);
    }
    return true;
}

static bool parse_on_off(const char *text, bool *on)
{
    *on = !strcmp(text, "on");
    return *on || !strcmp(text, "off");
}

static bool do_faults(char *args, char *reply)
{
    char *end;
    bool on;

    if (parse_on_off(args, &on)) {
        the_wire->plan.left = on ? PLAN_UNLIMITED : 0;
        return true;
    }
    the_wire->plan.left = strtoull(args, &end, 10);
    return end != args && !*end;
}

static bool do_plan(char *args, char *reply)
{
    Plan plan = the_wire->plan;
    char *save, *word = strtok_r(args, " ", &save);

    memset(plan.chance, 0, sizeof(plan.chance));
    for (; word; word = strtok_r(NULL, " ", &save)) {
        if (!plan_parse(&plan, word)) {
            return false;
        }
    }
    the_wire->plan = plan;
    return true;
}

static bool do_cut(char *args, char *reply)
{
    bool on;

    if (!parse_on_off(args, &on)) {
        return false;
    }
    the_wire->lanes[0].cut = the_wire->lanes[1].cut = on;
    return true;
}

static const struct {
    const char *name;
    bool (*run)(char *args, char *reply);
} commands[] = {
    { "stats", do_stats },
    { "faults", do_faults },
    { "plan", do_plan },
    { "cut", do_cut },
};

static void run_line(Client *client, char *line)
{
    char reply[REPLY_LEN] = "", answer[REPLY_LEN + 16];
    char *args = strchrnul(line, ' ');

    if (*args) {
        *args++ = '\0';
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!strcmp(line, commands[i].name)) {
            bool good = commands[i].run(args, reply);

            snprintf(answer, sizeof(answer), "%s%s\n",
                     good ? "ok" : "error arguments", reply);
            tell(client, answer);
            return;
        }
    }
    tell(client, "error no such command\n");
}

/* ---- clients ---- */

static void client_gone(Client *client)
{
    Client **link = &clients;

    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    watch_remove(&client->watch);
    close(client->watch.fd);
    free(client);
}

static void client_ready(Watch *watch)
{
    Client *client = (Client *)watch;
    ssize_t got = recv(watch->fd, client->line + client->len,
                       LINE_LEN - client->len, MSG_DONTWAIT);
    char *newline;

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {                 /* the end, or a line that is too long */
        client_gone(client);
        return;
    }
    client->len += got;
    while ((newline = memchr(client->line, '\n', client->len))) {
        size_t line_len = newline + 1 - client->line;

        *newline = '\0';
        run_line(client, client->line);
        client->len -= line_len;
        memmove(client->line, client->line + line_len, client->len);
    }
}

static void listener_ready(Watch *watch)
{
    Client *client = calloc(1, sizeof(*client));

    if (!client) {
        abort();
    }
    client->watch.fd = accept(watch->fd, NULL, NULL);
    client->watch.ready = client_ready;
    if (client->watch.fd < 0) {
        free(client);
        return;
    }
    client->next = clients;
    clients = client;
    watch_add(&client->watch);
}

void control_open(const char *path, Wire *wire)
{
    the_wire = wire;
    listener.fd = bound_socket(SOCK_STREAM, path);
    listener.ready = listener_ready;
    listen(listener.fd, 8);
    watch_add(&listener);
}
