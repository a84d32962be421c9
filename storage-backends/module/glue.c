/*
 * The inside of a module: the functions of smartnic/backend.h and where
 * messages go, on top of the table that the plugin gives.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "smartnic/module.h"

static const SnModuleServices *services;

__attribute__((visibility("default")))
const SnModule *smartnic_module_init(const SnModuleServices *s)
{
    if (s->abi != SN_MODULE_ABI) {
        return NULL;
    }
    services = s;
    sn_log_set_func(s->log);
    sn_trace_set_func(s->trace);
    sn_secret_set_func(s->secret);
    return &sn_module;
}

void sn_backend_ready(SnVolume *vol, const SnVolumeInfo *info)
{
    services->ready(vol, info);
}

void sn_backend_lost(SnVolume *vol, bool permanent, const char *fmt, ...)
{
    g_autofree char *message = NULL;
    va_list ap;

    va_start(ap, fmt);
    message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    services->lost(vol, permanent, message);
}

void sn_backend_info_changed(SnVolume *vol, const SnVolumeInfo *info)
{
    services->info_changed(vol, info);
}

void sn_backend_reservation(SnVolume *vol, uint8_t type)
{
    services->reservation(vol, type);
}

void sn_backend_done(SnIo *io, int ret)
{
    services->done(io, ret);
}

void sn_backend_refused(SnIo *io, int64_t until)
{
    services->refused(io, until);
}

void sn_backend_sent_again(SnIo *io)
{
    services->sent_again(io);
}

void sn_backend_batch_begin(SnVolume *vol)
{
    services->batch_begin(vol);
}

void sn_backend_batch_end(SnVolume *vol)
{
    services->batch_end(vol);
}
