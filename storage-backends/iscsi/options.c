/*
 * The iSCSI backend's URL:
 * iscsi://[user@]host[:port]/target-name/lun[?options].
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "backend.h"
#include "smartnic/secret.h"

#define DEFAULT_PORT 3260
/* RFC 7143 section 4.2.7.1. */
#define NAME_MAX_LEN 223
/* The one that QEMU's own initiator gives its machines. */
#define INITIATOR_PREFIX "iqn.2008-11.org.linux-kvm:"
/* Peripheral device addressing of SAM-5, which every target knows, and what
 * libiscsi makes of larger numbers. */
#define LUN_MAX 255
/* libiscsi keeps strings in arrays of this size. */
#define STRING_MAX 255

static void set_error(GError **err, const char *text)
{
    g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL, "volume URL: %s",
                text);
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)name[i] <= 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return len && len <= NAME_MAX_LEN &&
           (g_str_has_prefix(name, "iqn.") || g_str_has_prefix(name, "eui.") ||
            g_str_has_prefix(name, "naa."));
}

/* Of a machine's name, which may be anything ("My VM"). Freed by the caller. */
static char *default_initiator(const char *host)
{
    char *name = g_strconcat(INITIATOR_PREFIX, host, NULL);

    for (char *c = name; *c; c++) {
        if (!g_ascii_isalnum(*c) && !strchr(".:-", *c)) {
            *c = '-';
        }
    }
    if (strlen(name) > NAME_MAX_LEN) {
        name[NAME_MAX_LEN] = '\0';
    }
    return name;
}

/* The path is target/lun; names hold no slash. */
static bool parse_path(SnIscsiOptions *o, const char *path, GError **err)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    guint64 lun;

    if (!slash || !g_ascii_string_to_unsigned(slash + 1, 10, 0, LUN_MAX, &lun,
                                              NULL)) {
        set_error(err, "iscsi:// needs a target and a LUN of 0 to 255: "
                  "iscsi://host/iqn.../0");
        return false;
    }
    o->lun = lun;
    o->target = g_strndup(path, slash - path);
    if (!is_name(o->target)) {
        set_error(err, "the target of iscsi:// must be an iSCSI name: "
                  "\"iqn.\", \"eui.\" or \"naa.\" and so on, at most 223 bytes");
        return false;
    }
    return true;
}

static bool get_secret(const SnUrl *url, const char *key, char **secret,
                       GError **err)
{
    const char *id = sn_url_get_string(url, key);

    if (!id) {
        return true;
    }
    *secret = sn_secret_lookup(id, err);
    if (!*secret) {
        return false;
    }
    if (!**secret || strlen(*secret) > STRING_MAX) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "volume URL: %s=%s: a CHAP secret has 1 to %d bytes", key,
                    id, STRING_MAX);
        return false;
    }
    return true;
}

/* CHAP (RFC 7143 section 12.1): ours, and the target's for mutual CHAP. */
static bool parse_chap(SnIscsiOptions *o, const SnUrl *url, GError **err)
{
    o->user = g_strdup(url->user);
    o->mutual_user = g_strdup(sn_url_get_string(url, "mutual-user"));
    if (!get_secret(url, "secret", &o->password, err) ||
        !get_secret(url, "mutual-secret", &o->mutual_password, err)) {
        return false;
    }
    if (!o->user != !o->password) {
        set_error(err, "CHAP needs both a user and a secret: "
                  "iscsi://user@host/...?secret=ID");
        return false;
    }
    if (!o->mutual_user != !o->mutual_password ||
        (o->mutual_user && !o->user)) {
        set_error(err, "mutual CHAP needs user@, secret=, mutual-user= and "
                  "mutual-secret=");
        return false;
    }
    if (o->mutual_user && !strcmp(o->password, o->mutual_password)) {
        set_error(err, "secret= and mutual-secret= must differ, or who hears "
                  "one can play the other");
        return false;
    }
    if ((o->user && strlen(o->user) > STRING_MAX) ||
        (o->mutual_user && strlen(o->mutual_user) > STRING_MAX)) {
        set_error(err, "a CHAP user has at most 255 bytes");
        return false;
    }
    return true;
}

static bool parse_others(SnIscsiOptions *o, const SnUrl *url, const char *host,
                         GError **err)
{
    const char *initiator = sn_url_get_string(url, "initiator-name");
    const char *digest = sn_url_get_string(url, "header-digest");
    uint64_t depth = 128, alive = 5;

    if (!sn_url_get_uint(url, "queue-depth", 1, 1024, &depth, err) ||
        !sn_url_get_uint(url, "keep-alive-tmo", 0, 3600, &alive, err)) {
        return false;
    }
    o->queue_depth = depth;
    o->keep_alive = alive;
    if (digest && strcmp(digest, "none") && strcmp(digest, "crc32c")) {
        set_error(err, "header-digest must be none or crc32c");
        return false;
    }
    o->header_digest = digest && !strcmp(digest, "crc32c");
    o->initiator = initiator ? g_strdup(initiator) : default_initiator(host);
    if (initiator && !is_name(initiator)) {
        set_error(err, "initiator-name must be an iSCSI name: \"iqn.\", "
                  "\"eui.\" or \"naa.\" and so on, at most 223 bytes");
        return false;
    }
    return true;
}

static void set_portal(SnIscsiOptions *o, const SnUrl *url)
{
    bool v6 = strchr(url->host, ':');

    o->portal = g_strdup_printf("%s%s%s:%u", v6 ? "[" : "", url->host,
                                v6 ? "]" : "",
                                url->port ? url->port : DEFAULT_PORT);
}

bool sn_iscsi_options_parse(SnIscsiOptions *o, const SnUrl *url,
                            const char *host, GError **err)
{
    static const char *const known[] = {
        "secret", "mutual-user", "mutual-secret", "header-digest",
        "initiator-name", "queue-depth", "keep-alive-tmo", NULL
    };

    *o = (SnIscsiOptions){ 0 };
    if (!url->host || !*url->host || strlen(url->host) > 200 ||
        strchr(url->host, ',')) {
        set_error(err, "iscsi:// needs a host: iscsi://host/iqn.../0");
        return false;
    }
    if (!sn_url_check_params(url, known, err) ||
        !parse_path(o, url->path, err) || !parse_chap(o, url, err) ||
        !parse_others(o, url, host, err)) {
        return false;
    }
    set_portal(o, url);
    return true;
}

void sn_iscsi_options_clear(SnIscsiOptions *o)
{
    g_free(o->portal);
    g_free(o->target);
    g_free(o->initiator);
    g_free(o->user);
    sn_secret_free(o->password);
    g_free(o->mutual_user);
    sn_secret_free(o->mutual_password);
}
