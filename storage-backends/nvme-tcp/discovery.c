/*
 * What a target offers, for somebody whose URL names no subsystem or one that
 * the target refuses: the Discovery Log Page of a discovery controller (NVMe
 * Base 2.0 sections 3.1.2.3 and 5.16.1.23).
 *
 * The association itself makes the connection: its first steps are the same.
 * All of it ends in a line for the volume to tell, and comes from a peer:
 * what is shown is limited and escaped.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "association-internal.h"

#include <string.h>

SN_TRACE_EVENT(nvmetcp_discovery_ask);
SN_TRACE_EVENT(nvmetcp_discovery_header);
SN_TRACE_EVENT(nvmetcp_discovery_listed);

#define HEADER 1024             /* bytes before the first entry */
#define ENTRY sizeof(struct nvmf_disc_log_entry)
#define CHUNK (NVME_IDENTIFY_DATA_SIZE / ENTRY)
G_STATIC_ASSERT(ENTRY == 1024);

/* More entries are not even read, and more text not shown. */
#define ENTRIES_MAX 256
#define TEXT_MAX 800
#define RESTARTS_MAX 3
/* A subsystem that is refused again and again is asked about so often. */
#define AGAIN (60 * SN_NS_PER_S)

void sn_nvmetcp_discovery_start(SnNvmeAssoc *a)
{
    a->discovery.on = true;
    a->discovery.place = 0;
}

/* The URL's port, and for a refused subsystem also the usual one. */
uint16_t sn_nvmetcp_discovery_port(const SnNvmeAssoc *a)
{
    return a->discovery.on && a->discovery.place ? SN_NVMETCP_DISCOVERY_PORT
                                                 : a->options->port;
}

static bool has_next_place(const SnNvmeAssoc *a)
{
    return a->discovery.refusal && !a->discovery.place &&
           a->options->port != SN_NVMETCP_DISCOVERY_PORT;
}

static void set_why(SnNvmeAssoc *a, char *why)
{
    g_free(a->why);
    a->why = why;
}

/* A refusal is told with what is known of the target. */
static void add_hint(SnNvmeAssoc *a, const char *refusal)
{
    set_why(a, g_strdup_printf("%s; %s", refusal, a->discovery.hint));
}

/* Takes @hint; a->why becomes what a person needs to know. */
static void finish(SnNvmeAssoc *a, char *hint)
{
    SnNvmeDiscovery *d = &a->discovery;

    g_free(d->hint);
    d->hint = hint;
    if (d->refusal) {
        add_hint(a, d->refusal);
    } else {
        a->permanent = true;
        add_hint(a, "the URL names no subsystem");
    }
}

/* The subsystem was refused, or a discovery controller did not work out. */
bool sn_nvmetcp_discovery_goes_on(SnNvmeAssoc *a)
{
    SnNvmeDiscovery *d = &a->discovery;
    int64_t now = sn_loop_now(a->config.loop);

    if (d->on && d->listed) {
        finish(a, g_strdup_printf("the target offers %s", d->text->str));
    } else if (d->on && has_next_place(a)) {
        d->place++;
        return true;
    } else if (d->on && d->refusal) {
        finish(a, g_strdup_printf("there is no discovery controller, either "
                                  "(%s)", a->why));
    } else if (!d->on && d->wanted && now >= d->again) {
        d->again = now + AGAIN;
        d->refusal = g_strdup(a->why);
        sn_nvmetcp_discovery_start(a);
        sn_trace(nvmetcp_discovery_ask, "id=%s refusal=%s", a->config.id,
                 d->refusal);
        return true;
    } else if (!d->on && d->wanted && d->hint) {
        add_hint(a, a->why);
    }
    return false;
}

void sn_nvmetcp_discovery_stop(SnNvmeAssoc *a)
{
    SnNvmeDiscovery *d = &a->discovery;

    d->on = false;
    d->wanted = false;
    d->listed = false;
    g_clear_pointer(&d->refusal, g_free);
    if (d->text) {
        g_string_free(g_steal_pointer(&d->text), TRUE);
    }
}

void sn_nvmetcp_discovery_cleanup(SnNvmeAssoc *a)
{
    sn_nvmetcp_discovery_stop(a);
    g_clear_pointer(&a->discovery.hint, g_free);
}

static void read_header(SnNvmeAssoc *a, SnNvmeDone *done)
{
    sn_nvmetcp_get_log(a, NVME_LOG_LID_DISCOVER, 0, 0, HEADER, done);
}

void sn_nvmetcp_discovery_read(SnNvmeAssoc *a, SnNvmeDone *done)
{
    a->discovery.restarts = 0;
    a->discovery.phase = SN_NVME_DISCOVERY_HEADER;
    read_header(a, done);
}

/* The end of the step, and of this connection. */
static void list_complete(SnNvmeAssoc *a)
{
    SnNvmeDiscovery *d = &a->discovery;

    if (!d->shown && !d->left_out) {
        g_string_append(d->text, "no NVMe/TCP subsystem to this host");
    } else if (d->left_out) {
        g_string_append_printf(d->text, " and %u more", d->left_out);
    }
    d->listed = true;
    sn_trace(nvmetcp_discovery_listed, "id=%s text=%s", a->config.id,
             d->text->str);
    sn_nvmetcp_assoc_fail(a, false, "the discovery log is read");
}

/* Asks for the next entries, or whether they still hold. */
static void read_on(SnNvmeAssoc *a, SnNvmeDone *done)
{
    SnNvmeDiscovery *d = &a->discovery;
    uint64_t n = MIN(d->total - d->next, CHUNK);

    if (n) {
        d->phase = SN_NVME_DISCOVERY_ENTRIES;
        sn_nvmetcp_get_log(a, NVME_LOG_LID_DISCOVER, 0,
                           HEADER + d->next * ENTRY, n * ENTRY, done);
    } else {
        d->phase = SN_NVME_DISCOVERY_CHECK;
        read_header(a, done);
    }
}

static void take_header(SnNvmeAssoc *a, SnNvmeDone *done)
{
    const struct nvmf_discovery_log *log = (void *)a->data;
    SnNvmeDiscovery *d = &a->discovery;

    d->generation = log->genctr;
    d->total = GUINT64_FROM_LE(log->numrec);
    d->next = 0;
    d->shown = 0;
    d->left_out = 0;
    sn_trace(nvmetcp_discovery_header, "id=%s entries=%" G_GUINT64_FORMAT,
             a->config.id, d->total);
    if (d->total > ENTRIES_MAX) {
        d->left_out = MIN(d->total - ENTRIES_MAX, UINT32_MAX / 2);
        d->total = ENTRIES_MAX;
    }
    if (d->text) {
        g_string_free(d->text, TRUE);
    }
    d->text = g_string_new(NULL);
    if (log->recfmt) {
        sn_nvmetcp_assoc_fail(a, false, "the discovery log has an unknown "
                              "format");
        return;
    }
    read_on(a, done);
}

/* Text of a fixed length, padded with NUL or spaces. */
static void append_escaped(GString *to, const char *from, size_t len)
{
    len = strnlen(from, len);
    while (len && from[len - 1] == ' ') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (g_ascii_isgraph(from[i])) {
            g_string_append_c(to, from[i]);
        } else {
            g_string_append_printf(to, "\\x%02x", (uint8_t)from[i]);
        }
    }
}

static void take_entry(SnNvmeDiscovery *d,
                       const struct nvmf_disc_log_entry *e)
{
    bool ip6 = e->adrfam == NVMF_ADDR_FAMILY_IP6;

    if (e->trtype != NVMF_TRTYPE_TCP || e->subtype != NVME_NQN_NVME) {
        return;
    }
    if (d->text->len > TEXT_MAX) {
        d->left_out++;
        return;
    }
    g_string_append(d->text, d->shown++ ? ", " : "");
    append_escaped(d->text, e->subnqn, MIN(sizeof(e->subnqn), 223));
    g_string_append(d->text, ip6 ? " at [" : " at ");
    append_escaped(d->text, e->traddr, MIN(sizeof(e->traddr), 64));
    g_string_append(d->text, ip6 ? "]:" : ":");
    append_escaped(d->text, e->trsvcid, sizeof(e->trsvcid));
}

static void take_entries(SnNvmeAssoc *a, SnNvmeDone *done)
{
    SnNvmeDiscovery *d = &a->discovery;
    uint64_t n = MIN(d->total - d->next, CHUNK);

    for (uint64_t i = 0; i < n; i++) {
        take_entry(d, (void *)(a->data + i * ENTRY));
    }
    d->next += n;
    read_on(a, done);
}

/* Should the log have changed meanwhile, its parts may not fit together. */
static void take_check(SnNvmeAssoc *a, SnNvmeDone *done)
{
    const struct nvmf_discovery_log *log = (void *)a->data;
    SnNvmeDiscovery *d = &a->discovery;

    if (log->genctr != d->generation && d->restarts++ < RESTARTS_MAX) {
        take_header(a, done);
    } else {
        list_complete(a);
    }
}

void sn_nvmetcp_discovery_take(SnNvmeAssoc *a, SnNvmeDone *done)
{
    switch (a->discovery.phase) {
    case SN_NVME_DISCOVERY_HEADER:
        take_header(a, done);
        break;
    case SN_NVME_DISCOVERY_ENTRIES:
        take_entries(a, done);
        break;
    case SN_NVME_DISCOVERY_CHECK:
        take_check(a, done);
        break;
    }
}
