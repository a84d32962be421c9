/*
 * Backend modules: finding, checking and opening them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dlfcn.h>
#include <string.h>

#include "modules.h"
#include "smartnic/module.h"

#define PREFIX "smartnic-"
#define SUFFIX ".so"

/*
 * DEEPBIND lets a module's library find the module's own socket() and so on
 * before the C library's. AddressSanitizer does not work with it.
 */
#ifdef __SANITIZE_ADDRESS__
enum { OPEN_FLAGS = RTLD_NOW | RTLD_LOCAL };
#else
enum { OPEN_FLAGS = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND };
#endif

static char *folder;
static GHashTable *opened;      /* path -> const SnModule *, never closed */

static void lost(SnVolume *vol, bool permanent, const char *message)
{
    sn_backend_lost(vol, permanent, "%s", message);
}

static void log_line(SnLogLevel level, const char *line)
{
    sn_log(level, "%s", line);
}

static const SnModuleServices services = {
    .abi = SN_MODULE_ABI,
    .ready = sn_backend_ready,
    .lost = lost,
    .info_changed = sn_backend_info_changed,
    .reservation = sn_backend_reservation,
    .done = sn_backend_done,
    .refused = sn_backend_refused,
    .sent_again = sn_backend_sent_again,
    .batch_begin = sn_backend_batch_begin,
    .batch_end = sn_backend_batch_end,
    .log = log_line,
    .trace = sn_trace_line,
    .secret = sn_secret_lookup,
};

void sn_modules_set_folder(const char *path)
{
    g_free(folder);
    folder = g_strdup(path);
}

static char *path_of(const char *scheme)
{
    g_autofree char *name = g_strdup(scheme);

    return g_strdup_printf("%s/" PREFIX "%s" SUFFIX, folder,
                           g_strdelimit(name, "+", '-'));
}

/*
 * What to do about @why, dlopen()'s words, when they say that a library is
 * missing: "libx.so.7: cannot open shared object file: ...". Debian's packages
 * are called after the library and its version. NULL: something else.
 */
static char *missing_package(const char *why)
{
    const char *so = strstr(why, ".so.");
    const char *colon = strchr(why, ':');

    if (!so || !colon || so > colon || strchr(why, '/') ||
        !strstr(why, "cannot open")) {
        return NULL;
    }
    return g_strdup_printf("%.*s%.*s", (int)(so - why), why,
                           (int)(colon - so - strlen(".so.")),
                           so + strlen(".so."));
}

static void set_open_error(GError **err, const char *path)
{
    const char *why = dlerror();
    g_autofree char *package = missing_package(why);

    if (package) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                    "%s needs %.*s, which is not installed (Debian's package "
                    "%s)", path, (int)strcspn(why, ":"), why, package);
    } else {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                    "cannot open the backend module: %s", why);
    }
}

static const SnModule *open_module(const char *path, GError **err)
{
    const SnModule *module = NULL;
    SnModuleInit *init;
    void *object = dlopen(path, OPEN_FLAGS);

    if (!object) {
        set_open_error(err, path);
        return NULL;
    }
    init = (SnModuleInit *)dlsym(object, SN_MODULE_INIT);
    if (!init) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                    "%s is not a backend module: it has no "
                    SN_MODULE_INIT "()", path);
        return NULL;
    }
    module = init(&services);
    if (!module || module->abi != SN_MODULE_ABI) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                    "%s was built for another smartnic.so (module ABI %d is "
                    "needed): build it again", path, SN_MODULE_ABI);
        return NULL;
    }
    return module;
}

static const SnModule *get_module(const char *path, GError **err)
{
    const SnModule *module;

    if (!opened) {
        opened = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    module = g_hash_table_lookup(opened, path);
    if (!module) {
        module = open_module(path, err);
        if (module) {
            g_hash_table_insert(opened, g_strdup(path), (void *)module);
        }
    }
    return module;
}

const SnBackendOps *sn_modules_find(const char *scheme, GError **err)
{
    g_autofree char *path = NULL;
    const SnModule *module;

    if (!folder) {
        return NULL;
    }
    path = path_of(scheme);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        return NULL;
    }
    module = get_module(path, err);
    for (unsigned i = 0; module && module->backends[i]; i++) {
        if (!strcmp(module->backends[i]->scheme, scheme)) {
            return module->backends[i];
        }
    }
    if (module) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_SCHEME,
                    "%s has no backend for '%s://'", path, scheme);
    }
    return NULL;
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The paths of all modules in the folder, in order. */
static GPtrArray *list_paths(void)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = folder ? g_dir_open(folder, 0, NULL) : NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_prefix(name, PREFIX) && g_str_has_suffix(name, SUFFIX)) {
            g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_ptr_array_sort(paths, compare_paths);
    return paths;
}

void sn_modules_list(GString *list)
{
    g_autoptr(GPtrArray) paths = list_paths();

    for (guint i = 0; i < paths->len; i++) {
        g_autofree char *name = g_path_get_basename(paths->pdata[i]);
        size_t len = strlen(name) - strlen(PREFIX) - strlen(SUFFIX);

        g_string_append_printf(list, ", %.*s://", (int)len,
                               name + strlen(PREFIX));
    }
}

unsigned sn_modules_trace_enable(const char *pattern)
{
    g_autoptr(GPtrArray) paths = list_paths();
    unsigned count = 0;

    for (guint i = 0; i < paths->len; i++) {
        const SnModule *module = get_module(paths->pdata[i], NULL);

        count += module ? module->trace_enable(pattern) : 0;
    }
    return count;
}

void sn_modules_trace_foreach(void (*func)(const SnTraceEvent *event,
                                           void *opaque), void *opaque)
{
    g_autoptr(GPtrArray) paths = list_paths();

    for (guint i = 0; i < paths->len; i++) {
        const SnModule *module = get_module(paths->pdata[i], NULL);

        if (module) {
            module->trace_foreach(func, opaque);
        }
    }
}
