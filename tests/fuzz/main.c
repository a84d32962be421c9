/*
 * Runs a fuzz target on files, without libFuzzer: every input of the corpus is
 * a test. Prints TAP; a crash belongs to the file that was named last.
 *
 *     fuzz-TARGET FILE|FOLDER...
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static unsigned n_run;

static void run_input(const char *name, const void *data, size_t len)
{
    /* Memory of just this size, so that every byte read too far is seen. */
    uint8_t *copy = malloc(len ? len : 1);

    printf("# %s\n", name);
    fflush(stdout);
    if (len) {
        memcpy(copy, data, len);
    }
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    printf("ok %u - %s\n", ++n_run, name);
}

static void run_file(const char *path)
{
    g_autofree char *data = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;

    if (!g_file_get_contents(path, &data, &len, &err)) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
    run_input(path, data, len);
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void run_folder(const char *path)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_ptr_array_add(names, g_build_filename(path, name, NULL));
    }
    g_dir_close(dir);
    g_ptr_array_sort(names, by_name);
    for (unsigned i = 0; i < names->len; i++) {
        run_file(names->pdata[i]);
    }
}

int main(int argc, char **argv)
{
    run_input("(empty)", NULL, 0);
    for (int i = 1; i < argc; i++) {
        unsigned before = n_run;

        if (g_file_test(argv[i], G_FILE_TEST_IS_DIR)) {
            run_folder(argv[i]);
        } else {
            run_file(argv[i]);
        }
        if (n_run == before) {
            fprintf(stderr, "%s: no inputs\n", argv[i]);
            return 1;
        }
    }
    printf("1..%u\n", n_run);
    return 0;
}
