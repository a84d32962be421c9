/*
 * Unit tests of volume URLs, and of the log lines that tell about them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/backend.h"
#include "smartnic/log.h"

/* ------------------------------------------------------- good URLs */

typedef struct GoodUrl {
    const char *text;
    const char *scheme, *user, *host;
    uint16_t port;
    const char *path;
    const char *key, *value;    /* one parameter, or NULL: there is none */
} GoodUrl;

static const GoodUrl good_urls[] = {
    { "nvme+tcp://192.0.2.1/nqn.2026-11.org.example:vol0", "nvme+tcp", NULL,
      "192.0.2.1", 0, "nqn.2026-11.org.example:vol0" },
    { "nvme+tcp://192.0.2.1:4420/nqn", "nvme+tcp", NULL, "192.0.2.1", 4420,
      "nqn" },
    { "nvme+tcp://[2001:db8::1]:4420/nqn", "nvme+tcp", NULL, "2001:db8::1",
      4420, "nqn" },
    { "nvme+tcp://[::ffff:192.0.2.1]/nqn?hdgst=on", "nvme+tcp", NULL,
      "::ffff:192.0.2.1", 0, "nqn", "hdgst", "on" },
    { "NVMe+TCP://Storage.Example/n", "nvme+tcp", NULL, "Storage.Example", 0,
      "n" },
    { "iscsi://joe@target.example:3260/iqn.2026-11.org.example:t/0", "iscsi",
      "joe", "target.example", 3260, "iqn.2026-11.org.example:t/0" },
    { "iscsi://iqn.1993-08%3aabc%20d@t/iqn/1", "iscsi", "iqn.1993-08:abc d",
      "t", 0, "iqn/1" },
    { "nfs://server_1./a%20b/%41@c:d?uid=0", "nfs", NULL, "server_1.", 0,
      "a b/A@c:d", "uid", "0" },
    { "nfs://h:2049/dir/a@b", "nfs", NULL, "h", 2049, "dir/a@b" },
    { "nfs://h/donn\xc3\xa9%C3%A9", "nfs", NULL, "h", 0,
      "donn\xc3\xa9\xc3\xa9" },
    { "nfs://h/100%25", "nfs", NULL, "h", 0, "100%" },
    { "nfs://h//x", "nfs", NULL, "h", 0, "/x" },
    { "null://?size=10G", "null", NULL, NULL, 0, NULL, "size", "10G" },
    { "mem:///?size=1G", "mem", NULL, NULL, 0, "", "size", "1G" },
    { "mem://", "mem" },
    { "mem://?", "mem" },
    { "x://h?k=", "x", NULL, "h", 0, NULL, "k", "" },
    { "x://h?k=a=b?c/d", "x", NULL, "h", 0, NULL, "k", "a=b?c/d" },
    { "x://h?%6b=%26", "x", NULL, "h", 0, NULL, "k", "&" },
    { "x://h/p?k=1+1", "x", NULL, "h", 0, "p", "k", "1+1" },
    { "x://h:1", "x", NULL, "h", 1 },
    { "x://h:65535", "x", NULL, "h", 65535 },
};

static void test_good(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good_urls); i++) {
        const GoodUrl *good = &good_urls[i];
        g_autoptr(GError) err = NULL;
        SnUrl *url = sn_url_parse(good->text, &err);

        g_assert_no_error(err);
        g_assert_nonnull(url);
        g_assert_cmpstr(url->scheme, ==, good->scheme);
        g_assert_cmpstr(url->user, ==, good->user);
        g_assert_cmpstr(url->host, ==, good->host);
        g_assert_cmpuint(url->port, ==, good->port);
        g_assert_cmpstr(url->path, ==, good->path);
        g_assert_cmpuint(g_hash_table_size(url->params), ==, !!good->key);
        if (good->key) {
            g_assert_cmpstr(sn_url_get_string(url, good->key), ==,
                            good->value);
        }
        sn_url_free(url);
    }
}

static void test_several_params(void)
{
    SnUrl *url = sn_url_parse("x://h/p?a=1&b=2&A=3", NULL);

    g_assert_nonnull(url);
    g_assert_cmpstr(sn_url_get_string(url, "a"), ==, "1");
    g_assert_cmpstr(sn_url_get_string(url, "b"), ==, "2");
    g_assert_cmpstr(sn_url_get_string(url, "A"), ==, "3");
    g_assert_null(sn_url_get_string(url, "c"));
    sn_url_free(url);
    sn_url_free(NULL);
}

/* ------------------------------------------------------- bad URLs */

/* @text, and how its message ends. */
typedef struct BadUrl {
    const char *text;
    const char *message;
} BadUrl;

static const BadUrl bad_urls[] = {
    { "", "volume URL \"\": no \"://\"; expected scheme://host/path, such as "
      "nvme+tcp://192.0.2.1/nqn.2026-11.org.example:vol0" },
    { "192.0.2.1", "no \"://\"; expected scheme://host/path, such as "
      "nvme+tcp://192.0.2.1/nqn.2026-11.org.example:vol0" },
    { "://h/p", "scheme \"\" is not a letter followed by letters, digits, +, "
      "- and ." },
    { "1x://h", "scheme \"1x\" is not a letter followed by letters, digits, "
      "+, - and ." },
    { "n_e://h", "scheme \"n_e\" is not a letter followed by letters, "
      "digits, +, - and ." },
    { "nvme+tcp://h:99999/x", "volume URL \"nvme+tcp://h:99999/x\": port "
      "\"99999\" is not a number from 1 to 65535" },
    { "x://h:65536", "port \"65536\" is not a number from 1 to 65535" },
    { "x://h:0", "port \"0\" is not a number from 1 to 65535" },
    { "x://h:", "port \"\" is not a number from 1 to 65535" },
    { "x://h:-1", "port \"-1\" is not a number from 1 to 65535" },
    { "x://h:+1", "port \"+1\" is not a number from 1 to 65535" },
    { "x://h:44x", "port \"44x\" is not a number from 1 to 65535" },
    { "x://h:4294967297", "port \"4294967297\" is not a number from 1 to "
      "65535" },
    { "x://h:99999x", "port \"99999x\" is not a number from 1 to 65535" },
    { "x://:4420/n", "there is a port but no host before it" },
    { "x://[2001:db8::1/n", "host \"[2001:db8::1\" has no \"]\" after its "
      "IPv6 address" },
    { "x://[]/n", "host \"\" in brackets is not an IPv6 address such as "
      "[2001:db8::1]" },
    { "x://[2001:db8::g]/n", "host \"2001:db8::g\" in brackets is not an "
      "IPv6 address such as [2001:db8::1]" },
    { "x://[192.0.2.1]/n", "host \"192.0.2.1\" in brackets is not an IPv6 "
      "address such as [2001:db8::1]" },
    { "x://[fe80::1%25eth0]/n", "host \"fe80::1%25eth0\" in brackets is not "
      "an IPv6 address such as [2001:db8::1]" },
    { "x://[::1]4420/n", "host \"[::1]4420\" has something else than :port "
      "after \"]\"" },
    { "x://2001:db8::1/n", "host \"2001:db8::1\" has several \":\"; an IPv6 "
      "address goes in brackets, such as [2001:db8::1]" },
    { "x://192.0.2.256/n", "host \"192.0.2.256\" is not an IPv4 address such "
      "as 192.0.2.1" },
    { "x://192.0.2/n", "host \"192.0.2\" is not an IPv4 address such as "
      "192.0.2.1" },
    { "x://a..b/n", "host \"a..b\" is not a name of letters, digits, - and "
      "., nor an IP address" },
    { "x://.a/n", "host \".a\" is not a name of letters, digits, - and ., "
      "nor an IP address" },
    { "x://a%2fb/n", "host \"a%2fb\" is not a name of letters, digits, - and "
      "., nor an IP address" },
    { "null://size=10G", "host \"size=10G\" is not a name of letters, "
      "digits, - and ., nor an IP address" },
    { "x://@h/n", "the user name before \"@\" is empty; leave out the "
      "\"@\"" },
    { "x://joe@/n", "there is no host after \"@\"" },
    { "x://h/a%0", "path \"a%0\": % is not followed by two hex digits; write "
      "%25 for a % itself" },
    { "x://h/%zz", "path \"%zz\": % is not followed by two hex digits; write "
      "%25 for a % itself" },
    { "x://h/a%00b", "path \"a%00b\": control characters such as %00 are not "
      "possible here" },
    { "x://h%00/a", "host \"h%00\": control characters such as %00 are not "
      "possible here" },
    { "x://h/a%0Ab", "path \"a%0Ab\": control characters such as %0A are not "
      "possible here" },
    { "x://h?k=%00", "parameter \"k\", value \"%00\": control characters "
      "such as %00 are not possible here" },
    { "x://h?%ff=%00", "parameter \"%ff\", value \"%00\": control "
      "characters such as %00 are not possible here" },
    { "x://h?%00=1", "parameter name \"%00\": control characters such as %00 "
      "are not possible here" },
    { "x://h/a b", "character 8 is not allowed in a URL; write it as %20" },
    { "x://h/a\nb", "character 8 is not allowed in a URL; write it as %0A" },
    { "x://h/a#b", "character 8 is not allowed in a URL; write it as %23" },
    { "x://h?a=1&a=2", "parameter \"a\" is there twice" },
    { "x://h?a=1&%61=2", "parameter \"%61\" is there twice" },
    { "x://h?a", "parameter \"a\" has no value; write name=value" },
    { "x://h?=1", "a parameter has no name; write ?name=value&..." },
    { "x://h?a=1&&b=1", "a parameter has no name; write ?name=value&..." },
    { "x://h?a=1&", "there is no parameter after the last \"&\"" },
};

static char *error_of(const char *text)
{
    g_autoptr(GError) err = NULL;
    SnUrl *url = sn_url_parse(text, &err);

    g_assert_null(url);
    g_assert_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL);
    /* One printable line, whatever was in the URL. */
    for (const char *s = err->message; *s; s++) {
        g_assert_true(g_ascii_isprint(*s));
    }
    return g_strdup(err->message);
}

static void test_bad(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad_urls); i++) {
        g_autofree char *message = error_of(bad_urls[i].text);

        if (!g_str_has_suffix(message, bad_urls[i].message)) {
            g_test_message("%s: %s", bad_urls[i].text, message);
            g_test_fail();
        }
        g_assert_true(g_str_has_prefix(message, "volume URL \""));
    }
}

static void test_long(void)
{
    g_autofree char *x = g_strnfill(5000, 'x');
    g_autofree char *fits = g_strdup_printf("x://h/%.4090s", x);
    g_autofree char *over = g_strdup_printf("x://h/%.4091s", x);
    g_autofree char *label = g_strdup_printf("x://%.63s.y/", x);
    g_autofree char *long_label = g_strdup_printf("x://%.64s.y/", x);
    g_autofree char *message = error_of(over);
    g_autofree char *label_message = error_of(long_label);
    g_autoptr(GString) name = g_string_new("x://");
    g_autofree char *name_message = NULL;

    sn_url_free(sn_url_parse(fits, NULL));
    g_assert_true(g_str_has_suffix(message, "...\": longer than 4096 bytes"));
    g_assert_cmpuint(strlen(message), <, 200);

    sn_url_free(sn_url_parse(label, NULL));
    g_assert_nonnull(strstr(label_message, "is not a name"));

    for (int i = 0; i < 127; i++) {
        g_string_append(name, "a.");        /* 254 characters */
    }
    name_message = error_of(name->str);
    g_assert_nonnull(strstr(name_message, "is not a name"));
}

static void test_escapes(void)
{
    static const BadUrl cases[] = {
        { "x://\xff\x1b[2J/", "volume URL \"x://\\xff\\x1b[2J/\": character "
          "6 is not allowed in a URL; write it as %1B" },
        { "x://a\"\\b/", "volume URL \"x://a\\\"\\\\b/\": host "
          "\"a\\\"\\\\b\" is not a name of letters, digits, - and ., nor an "
          "IP address" },
        { "x://h\xc3\xb6st/", "volume URL \"x://h\\xc3\\xb6st/\": host "
          "\"h\\xc3\\xb6st\" is not a name of letters, digits, - and ., nor "
          "an IP address" },
        { "x://h:%n%s/", "volume URL \"x://h:%n%s/\": port \"%n%s\" is not a "
          "number from 1 to 65535" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = error_of(cases[i].text);

        g_assert_cmpstr(message, ==, cases[i].message);
    }
}

/* ------------------------------------------------------- secrets */

static void test_passwords(void)
{
    static const char *const urls[] = {
        "iscsi://joe:hunter2@h/iqn/0",
        "iscsi://:hunter2@h/iqn/0",
        "iscsi://joe:hunter2@h:99999/iqn/0",
        "iscsi://joe:hun@ter2@h/iqn/0",
        "iscsi://joe:hun/ter2@h/iqn/0",
        "iscsi://joe:hun?ter2@h/iqn/0",
        "iscsi://joe:hun ter2@h/iqn/0",
        "iscsi://joe:hun#ter2@h/iqn/0",
        "iscsi://joe:hun\nter2@h/iqn/0",
        "iscsi://joe:[hunter2@h/iqn/0",
        "iscsi://joe%hunter2@h/iqn/0",
        "iscsi://joe%00hunter2@h/iqn/0",
        "iscsi://joe%99hunter2@h/iqn/0",
        "iscsi://joe%20hunter2@h/iqn/%",
        "iscsi:/joe:hunter2@h/iqn/0",
        "joe:hunter2@h",
        "joe:hunter2@h://x",
        "1scsi://joe:hunter2@h/iqn/0",
        "nvme+tcp://joe:hunter2@[::1/n",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_autofree char *message = error_of(urls[i]);

        g_assert_null(strstr(message, "hun"));
        g_assert_null(strstr(message, "ter2"));
        g_assert_true(g_str_has_prefix(message, "volume URL (not shown): "));
    }
}

static void test_password_hint(void)
{
    static const char *const urls[] = {
        "iscsi://joe:hunter2@h/iqn/0", "iscsi://joe%hunter2@h/iqn/0",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_autofree char *message = error_of(urls[i]);

        g_assert_nonnull(strstr(message, "put secrets in -object secret"));
    }
}

/* A parameter's value may be secret as well: only its name is told. */
static void test_secret_parameter(void)
{
    static const char *const urls[] = {
        "iscsi://h:0/iqn?password=hunter2",
        "iscsi://h/iqn?password=hunter2&password=hunter3",
    };
    static const char *const known[] = { NULL };
    g_autoptr(GError) err = NULL;
    SnUrl *url = sn_url_parse("iscsi://h/iqn?password=hunter2", NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_autofree char *message = error_of(urls[i]);

        g_assert_null(strstr(message, "hunter"));
    }
    g_assert_false(sn_url_check_params(url, known, &err));
    g_assert_cmpstr(err->message, ==, "volume URL: iscsi:// has no parameter "
                    "\"password\"; it takes none");
    sn_url_free(url);
}

/* ------------------------------------------------------- parameters */

static SnUrl *url_with(const char *value)
{
    g_autofree char *text = g_strdup_printf("x://h?k=%s", value);
    SnUrl *url = sn_url_parse(text, NULL);

    g_assert_nonnull(url);
    return url;
}

static void test_uint(void)
{
    static const struct {
        const char *text;
        uint64_t min, max;
        bool good;
        uint64_t value;
    } cases[] = {
        { "1", 1, 10, true, 1 },
        { "10", 1, 10, true, 10 },
        { "007", 1, 10, true, 7 },
        { "18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX },
        { "0", 0, 0, true, 0 },
        { "0", 1, 10 },
        { "11", 1, 10 },
        { "18446744073709551616", 0, UINT64_MAX },
        { "36893488147419103233", 0, UINT64_MAX },
        { "", 0, 10 },
        { "-1", 0, UINT64_MAX },
        { "+1", 0, 10 },
        { "%201", 0, 10 },
        { "1%20", 0, 10 },
        { "0x1", 0, 10 },
        { "1K", 0, 10000 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnUrl *url = url_with(cases[i].text);
        g_autoptr(GError) err = NULL;
        uint64_t value = 77;
        bool good = sn_url_get_uint(url, "k", cases[i].min, cases[i].max,
                                    &value, &err);

        g_assert_cmpint(good, ==, cases[i].good);
        g_assert_cmpuint(value, ==, good ? cases[i].value : 77);
        g_assert_cmpint(!err, ==, good);
        sn_url_free(url);
    }
}

static void test_size(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } cases[] = {
        { "4096", true, 4096 },
        { "0", true, 0 },
        { "1K", true, 1 << 10 },
        { "512M", true, 512ULL << 20 },
        { "10G", true, 10ULL << 30 },
        { "10g", true, 10ULL << 30 },
        { "2T", true, 2ULL << 40 },
        { "16777215T", true, 16777215ULL << 40 },
        { "16777216T" },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616" },
        { "18446744073709551615K" },
        { "" }, { "G" }, { "10GB" }, { "10GiB" }, { "1.5G" }, { "-1G" },
        { "10%20G" }, { "10X" }, { "K1" }, { "1P" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        SnUrl *url = url_with(cases[i].text);
        g_autoptr(GError) err = NULL;
        uint64_t value = 77;
        bool good = sn_url_get_size(url, "k", &value, &err);

        g_assert_cmpint(good, ==, cases[i].good);
        g_assert_cmpuint(value, ==, good ? cases[i].value : 77);
        g_assert_cmpint(!err, ==, good);
        sn_url_free(url);
    }
}

static void test_bool(void)
{
    static const char *const bad[] = { "", "ON", "1", "true", "onn" };
    SnUrl *on = url_with("on"), *off = url_with("off");
    bool value = false;

    g_assert_true(sn_url_get_bool(on, "k", &value, NULL));
    g_assert_true(value);
    g_assert_true(sn_url_get_bool(off, "k", &value, NULL));
    g_assert_false(value);
    sn_url_free(on);
    sn_url_free(off);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        SnUrl *url = url_with(bad[i]);

        g_assert_false(sn_url_get_bool(url, "k", &value, NULL));
        sn_url_free(url);
    }
}

static void test_defaults(void)
{
    SnUrl *url = sn_url_parse("x://h", NULL);
    uint64_t number = 5, size = 6;
    bool flag = true;

    g_assert_true(sn_url_get_uint(url, "k", 10, 20, &number, NULL));
    g_assert_true(sn_url_get_size(url, "k", &size, NULL));
    g_assert_true(sn_url_get_bool(url, "k", &flag, NULL));
    g_assert_cmpuint(number, ==, 5);
    g_assert_cmpuint(size, ==, 6);
    g_assert_true(flag);
    sn_url_free(url);
}

static void test_param_messages(void)
{
    SnUrl *url = url_with("1%22x");
    g_autoptr(GError) number = NULL;
    g_autoptr(GError) size = NULL;
    g_autoptr(GError) flag = NULL;
    uint64_t v;
    bool b;

    g_assert_false(sn_url_get_uint(url, "k", 1, 9, &v, &number));
    g_assert_error(number, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL);
    g_assert_cmpstr(number->message, ==, "volume URL: parameter "
                    "k=\"1\\\"x\" is not a number from 1 to 9");
    g_assert_false(sn_url_get_size(url, "k", &v, &size));
    g_assert_cmpstr(size->message, ==, "volume URL: parameter k=\"1\\\"x\" "
                    "is not a size in bytes below 2^64, such as 4096, 512M "
                    "or 10G");
    g_assert_false(sn_url_get_bool(url, "k", &b, &flag));
    g_assert_cmpstr(flag->message, ==, "volume URL: parameter k=\"1\\\"x\" "
                    "is not on or off");
    sn_url_free(url);
}

static void test_known(void)
{
    static const char *const known[] = { "a", "b", "c", NULL };
    static const char *const few[] = { "c", NULL };
    SnUrl *url = sn_url_parse("x://h?c=1&b=2&a=3", NULL);
    g_autoptr(GError) err = NULL;

    g_assert_true(sn_url_check_params(url, known, &err));
    g_assert_no_error(err);
    g_assert_false(sn_url_check_params(url, few, &err));
    g_assert_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL);
    g_assert_cmpstr(err->message, ==,
                    "volume URL: x:// has no parameter \"a\"; it takes c");
    sn_url_free(url);
}

/* Cuts and flips of the good URLs: whatever comes, one line or a URL. */
static void test_mutations(void)
{
    GRand *rand = g_rand_new_with_seed(1);

    for (unsigned n = 0; n < 20000; n++) {
        const GoodUrl *good =
            &good_urls[g_rand_int_range(rand, 0, G_N_ELEMENTS(good_urls))];
        g_autofree char *text = g_strdup(good->text);
        size_t len = strlen(text);
        g_autoptr(GError) err = NULL;
        SnUrl *url;

        for (int flips = g_rand_int_range(rand, 1, 4); flips; flips--) {
            static const char special[] = ":/?@%[]&=#\n\x80.0";

            text[g_rand_int_range(rand, 0, len)] =
                special[g_rand_int_range(rand, 0, sizeof(special))];
        }
        url = sn_url_parse(text, &err);
        g_assert_true(!url == !!err);
        if (err) {
            g_assert_null(strchr(err->message, '\n'));
        }
        sn_url_free(url);
    }
    g_rand_free(rand);
}

/* ------------------------------------------------------- log lines */

static GString *logged;

static void collect(SnLogLevel level, const char *line)
{
    g_string_append_printf(logged, "%d:%s|", level, line);
}

static void assert_logged(const char *lines)
{
    g_assert_cmpstr(logged->str, ==, lines);
    g_string_truncate(logged, 0);
}

static void test_log(void)
{
    logged = g_string_new(NULL);
    sn_log_set_func(collect);
    sn_log(SN_LOG_WARN, "volume %s: %d", "nic0", 5);
    sn_log(SN_LOG_INFO, "100%%");
    assert_logged("1:volume nic0: 5|2:100%|");
    sn_log_set_func(NULL);
    g_string_free(logged, TRUE);
}

static void test_log_stderr(void)
{
    if (g_test_subprocess()) {
        sn_log_set_func(collect);
        sn_log_set_func(NULL);
        sn_log(SN_LOG_ERROR, "no %s", "luck");
        sn_log(SN_LOG_WARN, "careful");
        sn_log(SN_LOG_INFO, "ready");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("smartnic: error: no luck\n"
                              "smartnic: warning: careful\n"
                              "smartnic: info: ready\n");
}

static void limited(SnLogLimit *limit, int64_t seconds)
{
    sn_log_limited(limit, seconds * SN_NS_PER_S, SN_LOG_WARN, "%d",
                   (int)seconds);
}

static void test_log_limit(void)
{
    SnLogLimit limit = { .burst = 2, .interval_ns = 10 * SN_NS_PER_S };

    logged = g_string_new(NULL);
    sn_log_set_func(collect);

    /* A burst, then one per interval, which tells how many there were. */
    for (int s = 105; s <= 124; s++) {
        limited(&limit, s);
    }
    assert_logged("1:105|1:106|"
                  "1:115 (8 more like it were not shown)|");
    limited(&limit, 125);
    assert_logged("1:125 (9 more like it were not shown)|");
    /* Half an interval of quiet does not count twice. */
    limited(&limit, 134);
    limited(&limit, 135);
    assert_logged("1:135 (1 more like it were not shown)|");

    /* After a long quiet the whole burst is there again, and no more. */
    for (int s = 1000; s <= 1003; s++) {
        limited(&limit, s);
    }
    assert_logged("1:1000|1:1001|");

    sn_log_set_func(NULL);
    g_string_free(logged, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/url/good", test_good);
    g_test_add_func("/url/several-params", test_several_params);
    g_test_add_func("/url/bad", test_bad);
    g_test_add_func("/url/long", test_long);
    g_test_add_func("/url/escapes", test_escapes);
    g_test_add_func("/url/passwords", test_passwords);
    g_test_add_func("/url/password-hint", test_password_hint);
    g_test_add_func("/url/secret-parameter", test_secret_parameter);
    g_test_add_func("/url/mutations", test_mutations);
    g_test_add_func("/url/params/uint", test_uint);
    g_test_add_func("/url/params/size", test_size);
    g_test_add_func("/url/params/bool", test_bool);
    g_test_add_func("/url/params/defaults", test_defaults);
    g_test_add_func("/url/params/messages", test_param_messages);
    g_test_add_func("/url/params/known", test_known);
    g_test_add_func("/log/lines", test_log);
    g_test_add_func("/log/stderr", test_log_stderr);
    g_test_add_func("/log/limit", test_log_limit);
    return g_test_run();
}
