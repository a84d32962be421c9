/*
 * Login Responses (RFC 7143 sections 11.13, 12 and 13) that libiscsi must not
 * see: numbers that it would loop on, a digest that was not agreed, and logins
 * without the proof that mutual CHAP is about. libiscsi asks for the proof only
 * in a response that says it ends the security stage, and compares it with
 * zeroes before it has sent a challenge.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "guard.h"
#include "smartnic/be.h"

enum { FLAG_TRANSIT = 0x80, STAGE_SECURITY = 0, STAGE_FULL = 3 };
/* Section 13: of all lengths. */
enum { LENGTH_MIN = 512, LENGTH_MAX = 0xffffff };

/* The value when @pair is of @key, or NULL. */
static const char *value_of(const char *pair, const char *key)
{
    size_t len = strlen(key);

    return !strncmp(pair, key, len) && pair[len] == '=' ? pair + len + 1
                                                        : NULL;
}

/* Decimal: libiscsi knows no other numbers. */
static bool is_length(const char *value)
{
    guint64 n;

    return g_ascii_string_to_unsigned(value, 10, LENGTH_MIN, LENGTH_MAX, &n,
                                      NULL);
}

static bool is_challenge(const char *value)
{
    size_t len = strlen(value);

    return g_str_has_prefix(value, "0x") && len > 2 && len % 2 == 0 &&
           strspn(value + 2, "0123456789abcdefABCDEF") == len - 2;
}

/* Whether libiscsi makes of it what it means. */
static bool good_value(const SnIscsiOptions *o, const char *key,
                       const char *value)
{
    if (!strcmp(key, "MaxRecvDataSegmentLength")) {
        return is_length(value);
    }
    if (!strcmp(key, "FirstBurstLength") || !strcmp(key, "MaxBurstLength")) {
        return is_length(value) || !strcmp(value, "Irrelevant");
    }
    if (!strcmp(key, "HeaderDigest")) {
        return o->header_digest == !strcmp(value, "CRC32C");
    }
    if (!strcmp(key, "CHAP_C")) {
        return is_challenge(value);
    }
    return false;               /* of iSER, but libiscsi would take it */
}

static void check_pair(SnBackend *be, const char *pair)
{
    static const char *const keys[] = {
        "MaxRecvDataSegmentLength", "FirstBurstLength", "MaxBurstLength",
        "HeaderDigest", "CHAP_C", "TargetRecvDataSegmentLength",
        "InitiatorRecvDataSegmentLength",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = value_of(pair, keys[i]);

        if (value && !good_value(&be->options, keys[i], value)) {
            sn_iscsi_guard_refuse(&be->guard, "a Login Response", keys[i]);
        }
    }
}

/* Mutual CHAP: the target's proof answers our challenge, or there is none. */
static void check_proof(SnIscsiGuard *g, bool transit, bool has_proof)
{
    if ((g->bhs[1] >> 2 & 3) != STAGE_SECURITY ||
        ((transit || has_proof) && !g->challenged)) {
        sn_iscsi_guard_end(g, "the target did not prove who it is (mutual "
                           "CHAP)");
    }
    g->proven = transit;        /* libiscsi compares what it has */
}

void sn_iscsi_guard_login(SnBackend *be, const char *text, size_t len)
{
    SnIscsiGuard *g = &be->guard;
    bool fine = !sn_get_be16(g->bhs + 36);
    bool transit = g->bhs[1] & FLAG_TRANSIT;
    bool has_proof = false, has_challenge = false;
    const char *end = text + len;

    while (text < end && memchr(text, 0, end - text)) {
        check_pair(be, text);
        has_proof = has_proof || value_of(text, "CHAP_R");
        has_challenge = has_challenge || value_of(text, "CHAP_C");
        text += strlen(text) + 1;
    }
    if (!fine) {
        return;                 /* libiscsi gives up */
    }
    if (be->options.mutual_user && !g->proven) {
        check_proof(g, transit, has_proof);
    }
    /* libiscsi's next request answers it, with a challenge of ours. */
    g->challenged = g->challenged || has_challenge;
    if (transit && (g->bhs[1] & 3) == STAGE_FULL) {
        g->logged_in = true;
        g->digest = be->options.header_digest;
    }
}
