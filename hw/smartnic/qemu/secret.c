/*
 * Secrets: QEMU's secret objects.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "crypto/secret.h"
#include "qapi/error.h"

#include "secret.h"
#include "smartnic/volume.h"

char *sn_qemu_secret(const char *id, GError **err)
{
    Error *qerr = NULL;
    char *secret = qcrypto_secret_lookup_as_utf8(id, &qerr);

    if (!secret) {
        g_set_error(err, SN_VOLUME_ERROR, SN_VOLUME_ERROR_URL,
                    "%s: give it with -object secret,id=%s,...",
                    error_get_pretty(qerr), id);
        error_free(qerr);
    }
    return secret;
}
