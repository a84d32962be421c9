/*
 * Volume URLs: text to parts (RFC 3986, only what volumes need of it), and
 * typed access to their parameters.
 *
 * Messages quote the part that is wrong, escaped and shortened, since the text
 * may come from anywhere. The one thing they never quote is a text that may
 * hold a password.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <string.h>

#include "smartnic/backend.h"

G_DEFINE_QUARK(sn-volume-error-quark, sn_volume_error)

#define MAX_URL   4096          /* bytes */
#define MAX_HOST  253           /* of a name, RFC 1035 section 2.3.4 */
#define MAX_LABEL 63
#define MAX_QUOTE 120           /* characters of a part in a message */

#define SECRET_HINT "put secrets in -object secret"

/* A stretch of the URL's text. */
typedef struct Part {
    const char *s;
    size_t len;
} Part;

typedef struct Parser {
    const char *text;
    bool secret;                /* quote nothing of it */
    SnUrl *url;                 /* being filled */
    GError **err;
} Parser;

/* ------------------------------------------------------- messages */

/* @part in quotes, safe to print. The caller frees it. */
static char *quote(Part part)
{
    GString *out = g_string_new("\"");

    for (size_t i = 0; i < part.len; i++) {
        char c = part.s[i];

        if (out->len >= MAX_QUOTE) {
            g_string_append(out, "...");
            break;
        }
        if (!g_ascii_isprint(c)) {
            g_string_append_printf(out, "\\x%02x", (uint8_t)c);
        } else {
            if (c == '"' || c == '\\') {
                g_string_append_c(out, '\\');
            }
            g_string_append_c(out, c);
        }
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}

static char *quote_string(const char *s)
{
    return quote((Part){ s, strlen(s) });
}

/* As quote(), where the text may hold a password. */
static char *quote_part(const Parser *p, Part part)
{
    return p->secret ? g_strdup("(not shown)") : quote(part);
}

/* Sets the error and returns false, for `return fail(...)`. */
static bool fail(const Parser *p, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static bool fail(const Parser *p, const char *fmt, ...)
{
    /* Parameters can be secret too, and the message names the wrong one. */
    Part shown = { p->text, strcspn(p->text, "?") };
    g_autofree char *quoted = quote_part(p, shown);
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(p->err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                "volume URL %s: %s", quoted, line);
    return false;
}

/*
 * Whether some "@" comes after a ":" or "%", as in user:password@host and
 * libiscsi's user%password@host. Deliberately asks the whole text: a "/" or
 * "?" in a password makes its rest look like another part.
 */
static bool may_hold_password(const char *text)
{
    const char *authority = strstr(text, "://");
    const char *at = strrchr(text, '@');

    if (!at) {
        return false;
    }
    if (!authority || strchr(text, '@') < authority) {
        return true;
    }
    authority += 3;
    return authority + strcspn(authority, ":%") < at;
}

/* ------------------------------------------------------- parts */

/* Cuts @rest before the first of @stops, and returns what was before it. */
static Part cut(Part *rest, const char *stops)
{
    Part head = { rest->s, 0 };

    while (head.len < rest->len && !strchr(stops, head.s[head.len])) {
        head.len++;
    }
    rest->s += head.len;
    rest->len -= head.len;
    return head;
}

/* Steps over @c when @rest begins with it. */
static bool skip(Part *rest, char c)
{
    if (!rest->len || rest->s[0] != c) {
        return false;
    }
    rest->s++;
    rest->len--;
    return true;
}

/* Percent-decodes @part. NULL and an error, which calls it @what. */
static char *decode(const Parser *p, Part part, const char *what)
{
    g_autofree char *quoted = quote_part(p, part);
    g_autoptr(GString) out = g_string_new(NULL);

    for (size_t i = 0; i < part.len; i++) {
        char c = part.s[i];

        if (c == '%') {
            if (part.len - i < 3 || !g_ascii_isxdigit(part.s[i + 1]) ||
                !g_ascii_isxdigit(part.s[i + 2])) {
                fail(p, "%s %s: %% is not followed by two hex digits; write "
                     "%%25 for a %% itself", what, quoted);
                return NULL;
            }
            c = g_ascii_xdigit_value(part.s[i + 1]) << 4 |
                g_ascii_xdigit_value(part.s[i + 2]);
            i += 2;
            if (g_ascii_iscntrl(c)) {
                fail(p, "%s %s: control characters such as %%%02X are not "
                     "possible here", what, quoted, c);
                return NULL;
            }
        }
        g_string_append_c(out, c);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static bool check_characters(const Parser *p)
{
    if (strlen(p->text) > MAX_URL) {
        return fail(p, "longer than %u bytes", MAX_URL);
    }
    for (const char *s = p->text; *s; s++) {
        if (g_ascii_iscntrl(*s) || *s == ' ' || *s == '#') {
            return fail(p, "character %zu is not allowed in a URL; write it "
                        "as %%%02X", (size_t)(s - p->text) + 1, *s);
        }
    }
    return true;
}

static bool parse_scheme(Parser *p, Part *rest)
{
    const char *sep = strstr(rest->s, "://");
    Part scheme = { rest->s, sep ? sep - rest->s : 0 };
    g_autofree char *quoted = NULL;

    if (!sep) {
        return fail(p, "no \"://\"; expected scheme://host/path, such as "
                    "nvme+tcp://192.0.2.1/nqn.2026-11.org.example:vol0");
    }
    quoted = quote_part(p, scheme);
    for (size_t i = 0; i < scheme.len; i++) {
        if (!(i ? g_ascii_isalnum(scheme.s[i]) || strchr("+-.", scheme.s[i])
                : g_ascii_isalpha(scheme.s[i]))) {
            scheme.len = 0;
        }
    }
    if (!scheme.len) {
        return fail(p, "scheme %s is not a letter followed by letters, "
                    "digits, +, - and .", quoted);
    }
    p->url->scheme = g_ascii_strdown(scheme.s, scheme.len);
    rest->s += scheme.len + 3;
    rest->len -= scheme.len + 3;
    return true;
}

static bool is_printable(const char *s)
{
    while (g_ascii_isprint(*s)) {
        s++;
    }
    return !*s;
}

static bool parse_user(Parser *p, Part user)
{
    /* What cannot be decoded is more likely libiscsi's user%password. */
    Parser quiet = { .text = p->text, .secret = true };

    if (memchr(user.s, ':', user.len)) {
        return fail(p, "holds a password; " SECRET_HINT);
    }
    if (!user.len) {
        return fail(p, "the user name before \"@\" is empty; leave out "
                    "the \"@\"");
    }
    p->url->user = decode(&quiet, user, "user name");
    if (!p->url->user || !is_printable(p->url->user)) {
        return fail(p, "the user name before \"@\" is not percent-encoded "
                    "printable ASCII; if it holds a password, " SECRET_HINT);
    }
    return true;
}

static bool parse_port(Parser *p, Part port)
{
    g_autofree char *quoted = quote_part(p, port);
    uint32_t value = 0;

    for (size_t i = 0; i < port.len; i++) {
        if (!g_ascii_isdigit(port.s[i]) || value > UINT16_MAX) {
            value = 0;
            break;
        }
        value = value * 10 + g_ascii_digit_value(port.s[i]);
    }
    if (value < 1 || value > UINT16_MAX) {
        return fail(p, "port %s is not a number from 1 to 65535", quoted);
    }
    p->url->port = value;
    return true;
}

/* Names by RFC 1123 section 2.1, and "_", which is in use. */
static bool is_host_name(const char *host)
{
    size_t label = 0;

    if (strlen(host) > MAX_HOST) {
        return false;
    }
    for (const char *s = host; *s; s++) {
        if (*s == '.') {
            if (!label) {
                return false;
            }
            label = 0;
        } else if ((!g_ascii_isalnum(*s) && *s != '-' && *s != '_') ||
                   ++label > MAX_LABEL) {
            return false;
        }
    }
    return true;
}

/* No name consists of numbers only (RFC 1123 section 2.1). */
static bool looks_like_ip4(const char *host)
{
    return !host[strspn(host, "0123456789.")];
}

static bool parse_name(Parser *p, Part part)
{
    g_autofree char *quoted = quote_part(p, part);
    struct in_addr addr;
    char *host = decode(p, part, "host");

    if (!host) {
        return false;
    }
    p->url->host = host;
    if (looks_like_ip4(host) && inet_pton(AF_INET, host, &addr) != 1) {
        return fail(p, "host %s is not an IPv4 address such as 192.0.2.1",
                    quoted);
    }
    if (!is_host_name(host)) {
        return fail(p, "host %s is not a name of letters, digits, - and ., "
                    "nor an IP address", quoted);
    }
    return true;
}

static bool parse_ip6(Parser *p, Part part)
{
    g_autofree char *quoted = quote_part(p, part);
    struct in6_addr addr;

    p->url->host = g_strndup(part.s, part.len);
    if (inet_pton(AF_INET6, p->url->host, &addr) != 1) {
        return fail(p, "host %s in brackets is not an IPv6 address such as "
                    "[2001:db8::1]", quoted);
    }
    return true;
}

/* host, host:port or nothing. */
static bool parse_host_port(Parser *p, Part rest)
{
    g_autofree char *quoted = quote_part(p, rest);
    Part host;

    if (skip(&rest, '[')) {
        host = cut(&rest, "]");
        if (!skip(&rest, ']')) {
            return fail(p, "host %s has no \"]\" after its IPv6 address",
                        quoted);
        }
        if (!parse_ip6(p, host)) {
            return false;
        }
    } else {
        host = cut(&rest, ":");
        if (rest.len && memchr(rest.s + 1, ':', rest.len - 1)) {
            return fail(p, "host %s has several \":\"; an IPv6 address goes "
                        "in brackets, such as [2001:db8::1]", quoted);
        }
        if (host.len && !parse_name(p, host)) {
            return false;
        }
    }
    if (!rest.len) {
        return true;
    }
    if (!skip(&rest, ':')) {
        return fail(p, "host %s has something else than :port after \"]\"",
                    quoted);
    }
    if (!p->url->host) {
        return fail(p, "there is a port but no host before it");
    }
    return parse_port(p, rest);
}

static bool parse_authority(Parser *p, Part part)
{
    const char *at = memrchr(part.s, '@', part.len);

    if (!at) {
        return parse_host_port(p, part);
    }
    if (!parse_user(p, (Part){ part.s, at - part.s })) {
        return false;
    }
    if (at + 1 == part.s + part.len) {
        return fail(p, "there is no host after \"@\"");
    }
    return parse_host_port(p, (Part){ at + 1, part.s + part.len - at - 1 });
}

/* key=value */
static bool parse_param(Parser *p, Part part)
{
    Part value = part;
    Part key = cut(&value, "=");
    g_autofree char *quoted = quote_part(p, key);
    g_autofree char *what = g_strdup_printf("parameter %s, value", quoted);
    g_autofree char *k = NULL;
    char *v;

    if (!key.len) {
        return fail(p, "a parameter has no name; write ?name=value&...");
    }
    if (!skip(&value, '=')) {
        return fail(p, "parameter %s has no value; write name=value", quoted);
    }
    k = decode(p, key, "parameter name");
    if (!k) {
        return false;
    }
    if (g_hash_table_contains(p->url->params, k)) {
        return fail(p, "parameter %s is there twice", quoted);
    }
    if (!(v = decode(p, value, what))) {
        return false;
    }
    g_hash_table_insert(p->url->params, g_steal_pointer(&k), v);
    return true;
}

static bool parse_query(Parser *p, Part rest)
{
    while (rest.len) {
        Part param = cut(&rest, "&");

        if (!parse_param(p, param)) {
            return false;
        }
        if (skip(&rest, '&') && !rest.len) {
            return fail(p, "there is no parameter after the last \"&\"");
        }
    }
    return true;
}

static bool parse(Parser *p)
{
    Part rest = { p->text, strlen(p->text) };

    if (!check_characters(p) || !parse_scheme(p, &rest) ||
        !parse_authority(p, cut(&rest, "/?"))) {
        return false;
    }
    if (skip(&rest, '/')) {
        p->url->path = decode(p, cut(&rest, "?"), "path");
        if (!p->url->path) {
            return false;
        }
    }
    skip(&rest, '?');
    return parse_query(p, rest);
}

SnUrl *sn_url_parse(const char *text, GError **err)
{
    SnUrl *url = g_new0(SnUrl, 1);
    Parser p = {
        .text = text,
        .secret = may_hold_password(text),
        .url = url,
        .err = err,
    };

    url->params = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                        g_free);
    if (!parse(&p)) {
        sn_url_free(url);
        return NULL;
    }
    return url;
}

void sn_url_free(SnUrl *url)
{
    if (url) {
        g_free(url->scheme);
        g_free(url->user);
        g_free(url->host);
        g_free(url->path);
        g_hash_table_destroy(url->params);
        g_free(url);
    }
}

/* ------------------------------------------------------- parameters */

const char *sn_url_get_string(const SnUrl *url, const char *key)
{
    return g_hash_table_lookup(url->params, key);
}

static bool fail_param(const char *key, const char *text, GError **err,
                       const char *right)
{
    g_autofree char *quoted = quote_string(text);

    g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                "volume URL: parameter %s=%s is not %s", key, quoted, right);
    return false;
}

/* Decimal digits, at least one; @end is where they end. */
static bool parse_digits(const char *text, uint64_t *value, const char **end)
{
    const char *s = text;
    uint64_t v = 0;

    for (; g_ascii_isdigit(*s); s++) {
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, g_ascii_digit_value(*s), &v)) {
            return false;
        }
    }
    *value = v;
    *end = s;
    return s != text;
}

bool sn_url_get_uint(const SnUrl *url, const char *key, uint64_t min,
                     uint64_t max, uint64_t *value, GError **err)
{
    const char *text = sn_url_get_string(url, key);
    const char *end;
    uint64_t v;

    if (!text) {
        return true;
    }
    if (!parse_digits(text, &v, &end) || *end || v < min || v > max) {
        g_autofree char *right = g_strdup_printf(
            "a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
            min, max);

        return fail_param(key, text, err, right);
    }
    *value = v;
    return true;
}

bool sn_url_get_size(const SnUrl *url, const char *key, uint64_t *value,
                     GError **err)
{
    static const char suffixes[] = "KMGT";
    const char *text = sn_url_get_string(url, key);
    const char *end, *suffix;
    uint64_t v;

    if (!text) {
        return true;
    }
    if (parse_digits(text, &v, &end)) {
        suffix = *end ? strchr(suffixes, g_ascii_toupper(*end)) : NULL;
        if (suffix) {
            unsigned shift = 10 * (suffix - suffixes + 1);

            if (v <= UINT64_MAX >> shift && !end[1]) {
                *value = v << shift;
                return true;
            }
        } else if (!*end) {
            *value = v;
            return true;
        }
    }
    return fail_param(key, text, err, "a size in bytes below 2^64, such as "
                      "4096, 512M or 10G");
}

bool sn_url_get_bool(const SnUrl *url, const char *key, bool *value,
                     GError **err)
{
    const char *text = sn_url_get_string(url, key);

    if (!text) {
        return true;
    }
    if (strcmp(text, "on") && strcmp(text, "off")) {
        return fail_param(key, text, err, "on or off");
    }
    *value = !strcmp(text, "on");
    return true;
}

bool sn_url_get_seconds(const SnUrl *url, const char *key, int64_t max,
                        int64_t *value, GError **err)
{
    const char *text = sn_url_get_string(url, key);
    g_autofree char *right = NULL;
    const char *end;
    uint64_t v;

    if (!text) {
        return true;
    }
    if (!strcmp(text, "off") || !strcmp(text, "-1")) {
        *value = -1;
        return true;
    }
    if (!parse_digits(text, &v, &end) || *end || v > (uint64_t)max) {
        right = g_strdup_printf("a number of seconds from 0 to %"
                                G_GINT64_FORMAT ", or off", max);
        return fail_param(key, text, err, right);
    }
    *value = v;
    return true;
}

bool sn_url_check_params(const SnUrl *url, const char *const *known,
                         GError **err)
{
    g_autofree char *list = g_strjoinv(", ", (char **)known);
    g_autofree char *quoted = NULL;
    const char *unknown = NULL;
    GHashTableIter iter;
    gpointer key;

    /* The first in the alphabet, so that the message is always the same. */
    g_hash_table_iter_init(&iter, url->params);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!g_strv_contains(known, key) &&
            (!unknown || strcmp(key, unknown) < 0)) {
            unknown = key;
        }
    }
    if (!unknown) {
        return true;
    }
    quoted = quote_string(unknown);
    g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                "volume URL: %s:// has no parameter %s; it takes %s",
                url->scheme, quoted, *list ? list : "none");
    return false;
}
