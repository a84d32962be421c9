/*
 * The plugin in a program that is not the QEMU it was built for. It must load,
 * since its references to QEMU are weak, and refuse: in words when the program
 * is another QEMU. That is played by exporting the one function that the
 * plugin may call before it has looked at the version.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>
#include "qapi/qapi-commands-control.h"
#include "qemu/qemu-plugin.h"

typedef int InstallFunc(qemu_plugin_id_t id, const qemu_info_t *info,
                        int argc, char **argv);

/* Loads the plugin and says on stdout what it answered. */
static void install(const char *target)
{
    const char *path = g_getenv("SMARTNIC_PLUGIN");
    const qemu_info_t info = { .target_name = target };
    InstallFunc *func;
    int *version;
    void *lib;

    g_assert_nonnull(path);
    lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        g_error("dlopen: %s", dlerror());
    }
    version = dlsym(lib, "qemu_plugin_version");
    g_assert_nonnull(version);
    g_assert_cmpint(*version, ==, QEMU_PLUGIN_VERSION);
    func = (InstallFunc *)dlsym(lib, "qemu_plugin_install");
    g_assert_nonnull(func);
    g_print("refused: %s\n", func(1, &info, 0, NULL) ? "yes" : "no");
}

/* With one line on stderr. */
static void assert_refused(const char *target, const char *pattern)
{
    if (g_test_subprocess()) {
        install(target);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*refused: yes*");
    g_test_trap_assert_stderr(pattern);
    g_test_trap_assert_stderr_unmatched("*\n*\n*");
}

#ifdef FAKE_QEMU

static VersionTriple other;

VersionInfo *qmp_query_version(Error **errp)
{
    VersionInfo *info = g_new0(VersionInfo, 1);

    info->qemu = g_new(VersionTriple, 1);
    *info->qemu = other;
    info->package = g_strdup("");
    return info;
}

static void check_refusal(VersionTriple version, const char *name)
{
    g_autofree char *pattern = g_strdup_printf(
        "smartnic: *%d.%d*%s*\n", QEMU_VERSION_MAJOR, QEMU_VERSION_MINOR,
        name);

    other = version;
    assert_refused("x86_64", pattern);
}

static void test_older(void)
{
    check_refusal((VersionTriple) { 9, 2, 0 }, "9.2.0");
}

static void test_other_minor(void)
{
    check_refusal((VersionTriple) { QEMU_VERSION_MAJOR,
                                    QEMU_VERSION_MINOR + 1, 3 },
                  stringify(QEMU_VERSION_MAJOR) ".");
}

static void test_newer(void)
{
    check_refusal((VersionTriple) { 99, 1, 2 }, "99.1.2");
}

static void test_other_target(void)
{
    other = (VersionTriple) { QEMU_VERSION_MAJOR, QEMU_VERSION_MINOR, 0 };
    assert_refused("aarch64", "smartnic: *x86_64*aarch64\n");
}

static void add_tests(void)
{
    g_test_add_func("/other-qemu/older", test_older);
    g_test_add_func("/other-qemu/other-minor", test_other_minor);
    g_test_add_func("/other-qemu/newer", test_newer);
    g_test_add_func("/other-qemu/other-target", test_other_target);
}

#else

static void test_no_qemu(void)
{
    assert_refused("x86_64", "smartnic: *--enable-modules*\n");
}

static void add_tests(void)
{
    g_test_add_func("/no-qemu/refused", test_no_qemu);
}

#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_tests();
    return g_test_run();
}
