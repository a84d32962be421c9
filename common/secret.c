/*
 * Secrets: who knows them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/secret.h"

static SnSecretFunc *secret_func;

void sn_secret_set_func(SnSecretFunc *func)
{
    secret_func = func;
}

char *sn_secret_lookup(const char *id, GError **err)
{
    if (!secret_func) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                    "there is no secret '%s'", id);
        return NULL;
    }
    return secret_func(id, err);
}

void sn_secret_free(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        g_free(secret);
    }
}
