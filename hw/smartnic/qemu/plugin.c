/*
 * How the card gets into a stock QEMU: as a plugin (`-plugin smartnic.so`), or
 * preloaded (`LD_PRELOAD=smartnic.so`), so that `-device help` knows it too.
 *
 * The types use QEMU's internal structures, which are the same only within one
 * stable series. QEMU's symbols are weak references here (see meson.build), so
 * that this object loads into any process, and this file can look at the
 * version before anything is used, and refuse in words.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/qapi-commands-control.h"
#include "qemu/error-report.h"
#include "qemu/qemu-plugin.h"

#include <dlfcn.h>

#include "card.h"
#include "modules.h"
#include "nvme-pci.h"
#include "secret.h"
#include "smartnic/log.h"
#include "smartnic/secret.h"
#include "trace.h"
#include "virtio-blk-pci.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* NULL outside of QEMU: the references are weak. */
typedef VersionInfo *QueryVersion(Error **errp);
static QueryVersion *volatile query_version = qmp_query_version;

typedef enum HostVersion {
    HOST_IS_NOT_QEMU,           /* another program that inherited LD_PRELOAD */
    HOST_IS_OTHER_QEMU,         /* nothing of it may be used */
    HOST_MATCHES,
} HostVersion;

static HostVersion check_version(void)
{
    VersionInfo *info;
    VersionTriple *v;
    HostVersion result = HOST_MATCHES;

    if (!query_version) {
        return HOST_IS_NOT_QEMU;
    }
    info = query_version(NULL);
    v = info->qemu;
    if (v->major != QEMU_VERSION_MAJOR || v->minor != QEMU_VERSION_MINOR) {
        fprintf(stderr, "smartnic: built for QEMU %d.%d, this is QEMU "
                "%" PRId64 ".%" PRId64 ".%" PRId64 ": build it against the "
                "installed QEMU\n", QEMU_VERSION_MAJOR, QEMU_VERSION_MINOR,
                v->major, v->minor, v->micro);
        result = HOST_IS_OTHER_QEMU;
    }
    g_free(info->qemu);
    g_free(info->package);
    g_free(info);
    return result;
}

static void log_to_qemu(SnLogLevel level, const char *line)
{
    switch (level) {
    case SN_LOG_ERROR:
        error_report("smartnic: %s", line);
        break;
    case SN_LOG_WARN:
        warn_report("smartnic: %s", line);
        break;
    case SN_LOG_INFO:
        info_report("smartnic: %s", line);
        break;
    }
}

/* In the environment, patterns have commas between them. */
static void trace_from_environment(void)
{
    const char *text = getenv("SMARTNIC_TRACE");
    g_auto(GStrv) patterns = g_strsplit(text ? text : "", ",", -1);

    for (char **p = patterns; *p; p++) {
        if (**p) {
            sn_qemu_trace(*p);
        }
    }
}

/* QEMU gives `-plugin smartnic.so,name=value` as "name=value". */
static void read_arguments(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!g_str_has_prefix(argv[i], "trace=")) {
            fprintf(stderr, "smartnic: argument \"%s\" is not known: the "
                    "plugin takes trace=PATTERN\n", argv[i]);
            exit(1);
        }
        sn_qemu_trace(argv[i] + strlen("trace="));
    }
}

/* Backend modules are beside the plugin. */
static void find_modules(void)
{
    g_autofree char *folder = NULL;
    Dl_info info;

    if (dladdr((void *)find_modules, &info)) {
        folder = g_path_get_dirname(info.dli_fname);
        sn_modules_set_folder(folder);
    }
}

static bool registered;

static void register_types(void)
{
    registered = true;
    find_modules();
    sn_log_set_func(log_to_qemu);
    sn_secret_set_func(sn_qemu_secret);
    sn_virtio_blk_register_types();
    sn_virtio_blk_pci_register_types();
    sn_nvme_volume_register_types();
    sn_nvme_pci_register_types();
    sn_card_register_types();
}

/*
 * Runs for -plugin too; there, refusing is left to qemu_plugin_install(),
 * which QEMU calls next and which can fail.
 */
static void __attribute__((constructor)) preloaded(void)
{
    const char *preload = getenv("LD_PRELOAD");

    if (preload && strstr(preload, "smartnic") &&
        check_version() == HOST_MATCHES) {
        register_types();
        trace_from_environment();
    }
}

/* Whether this is a QEMU that the plugin is for; if not, a line says why. */
static bool can_install(const qemu_info_t *info)
{
    HostVersion host = check_version();

    if (host == HOST_IS_NOT_QEMU) {
        fprintf(stderr, "smartnic: this program does not export QEMU's device "
                "functions: use a qemu-system-x86_64 that was configured with "
                "--enable-modules, as distributions do\n");
    } else if (host == HOST_MATCHES && strcmp(info->target_name, "x86_64")) {
        fprintf(stderr, "smartnic: built for qemu-system-x86_64, this one is "
                "for %s\n", info->target_name);
        return false;
    }
    return host == HOST_MATCHES;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (!registered) {          /* else preloaded as well */
        if (!can_install(info)) {
            return -1;
        }
        register_types();
    }
    read_arguments(argc, argv);
    return 0;
}
