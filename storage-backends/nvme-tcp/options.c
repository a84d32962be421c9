/*
 * The parts of an nvme+tcp:// URL and their defaults.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

#include <string.h>

#include "smartnic/uuid.h"

#define DEFAULT_PORT 4420
#define NQN_MAX 223             /* bytes, NVMe Base 2.0 section 4.5 */
#define UUID_NQN "nqn.2014-08.org.nvmexpress:uuid:"

static char *uuid_to_text(const uint8_t *u)
{
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                           "%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
                           u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                           u[12], u[13], u[14], u[15]);
}

/* @text is checked by g_uuid_string_is_valid() already. */
static void text_to_uuid(const char *text, uint8_t *uuid)
{
    for (unsigned i = 0; i < 16; i++) {
        text += *text == '-';
        uuid[i] = g_ascii_xdigit_value(text[0]) << 4 |
                  g_ascii_xdigit_value(text[1]);
        text += 2;
    }
}

static bool check_nqn(const char *what, const char *nqn, GError **err)
{
    size_t len = nqn ? strlen(nqn) : 0;

    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)nqn[i] < 0x20 || nqn[i] == 0x7f) {
            len = 0;
        }
    }
    if (!len || len > NQN_MAX || !g_str_has_prefix(nqn, "nqn.") ||
        !g_utf8_validate(nqn, -1, NULL)) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: %s must be an NVMe qualified name: \"nqn.\" "
                    "and so on, at most %d bytes", what, NQN_MAX);
        return false;
    }
    return true;
}

/*
 * The host identifier has to go with the host NQN: targets take the same NQN
 * with another identifier for an error (NVMe Base 2.0 section 4.5.2). And it is
 * by the identifier that they know who holds a reservation.
 */
static void set_hostid(SnNvmeTcpOptions *options, const char *name)
{
    const char *uuid = g_str_has_prefix(name, UUID_NQN)
                       ? name + strlen(UUID_NQN) : name;

    if (g_uuid_string_is_valid(uuid)) {
        text_to_uuid(uuid, options->hostid);
    } else {
        sn_uuid_from_name(name, options->hostid);
    }
}

static void set_host(SnNvmeTcpOptions *options, const char *hostnqn,
                     const char *host)
{
    g_autofree char *uuid = NULL;

    if (hostnqn) {
        options->hostnqn = g_strdup(hostnqn);
        set_hostid(options, hostnqn);
        return;
    }
    set_hostid(options, host);
    uuid = uuid_to_text(options->hostid);
    options->hostnqn = g_strconcat(UUID_NQN, uuid, NULL);
}

static bool parse_numbers(SnNvmeTcpOptions *options, const SnUrl *url,
                          GError **err)
{
    uint64_t nsid = 1, queues = 1, queue_size = 128, keep_alive = 5;

    /* 0xffffffff means all namespaces, 0xfffffffe is reserved. */
    if (!sn_url_get_uint(url, "nsid", 1, 0xfffffffd, &nsid, err) ||
        !sn_url_get_uint(url, "queues", 1, 16, &queues, err) ||
        !sn_url_get_uint(url, "queue-size", 2, 1024, &queue_size, err) ||
        !sn_url_get_uint(url, "keep-alive-tmo", 0, 3600, &keep_alive, err) ||
        !sn_url_get_bool(url, "hdgst", &options->hdgst, err) ||
        !sn_url_get_bool(url, "ddgst", &options->ddgst, err)) {
        return false;
    }
    options->nsid = nsid;
    options->queues = queues;
    options->queue_size = queue_size;
    options->keep_alive = keep_alive;
    return true;
}

bool sn_nvmetcp_options_parse(SnNvmeTcpOptions *options, const SnUrl *url,
                              const char *host, GError **err)
{
    static const char *const known[] = {
        "nsid", "hostnqn", "hdgst", "ddgst", "queues", "queue-size",
        "keep-alive-tmo", NULL
    };
    const char *hostnqn = sn_url_get_string(url, "hostnqn");

    bool discover = !url->path || !*url->path ||
                    !strcmp(url->path, SN_NVMETCP_DISCOVERY_NQN);

    *options = (SnNvmeTcpOptions){ .port = url->port };
    if (!options->port) {
        options->port = discover ? SN_NVMETCP_DISCOVERY_PORT : DEFAULT_PORT;
    }
    if (!url->host || !*url->host) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: nvme+tcp:// needs a host: "
                    "nvme+tcp://host/nqn...");
        return false;
    }
    if (url->user) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: nvme+tcp:// takes no user; the host is named "
                    "by hostnqn");
        return false;
    }
    if (!sn_url_check_params(url, known, err) ||
        (!discover && !check_nqn("the path of nvme+tcp://", url->path, err)) ||
        (hostnqn && !check_nqn("hostnqn", hostnqn, err)) ||
        !parse_numbers(options, url, err)) {
        return false;
    }
    options->host = g_strdup(url->host);
    options->subsysnqn = discover ? NULL : g_strdup(url->path);
    set_host(options, hostnqn, host);
    return true;
}

void sn_nvmetcp_options_clear(SnNvmeTcpOptions *options)
{
    g_free(options->host);
    g_free(options->subsysnqn);
    g_free(options->hostnqn);
}
