/*
 * Backend modules: storage backends in shared objects of their own.
 *
 * A URL whose scheme is not built in makes the plugin open smartnic-SCHEME.so
 * (a '+' of the scheme is a '-' in the name) in its own folder, so a machine
 * without a backend's library can use everything else. A module is opened
 * once, in the main thread, when the first volume needs it, and never closed.
 *
 * The plugin exports no symbols. A module gets what it may call from it in a
 * table instead, and links libsmartnic-module.a, which defines the functions of
 * smartnic/backend.h, log.h, secret.h and trace.h on that table: the source of a
 * backend is the same whether it is built in, in a module or in a unit test.
 * A module's own source defines one symbol more, sn_module:
 *
 *     static const SnBackendOps *const backends[] = { &my_backend, NULL };
 *     const SnModule sn_module = SN_MODULE(backends);
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_MODULE_H
#define SMARTNIC_MODULE_H

#include "smartnic/backend.h"
#include "smartnic/log.h"
#include "smartnic/secret.h"
#include "smartnic/trace.h"

/*
 * Counts up with every change of a structure or of a rule in backend.h,
 * volume.h, stream.h, loop.h or here. A module and a plugin that do not have
 * the same number do not go together; the plugin says so and refuses it.
 */
#define SN_MODULE_ABI 3

/* What the plugin does for a module. It lives as long as the process. */
typedef struct SnModuleServices {
    uint32_t abi;               /* SN_MODULE_ABI of the plugin */

    /* See the sn_backend_*() functions of backend.h. Card's thread. */
    void (*ready)(SnVolume *vol, const SnVolumeInfo *info);
    void (*lost)(SnVolume *vol, bool permanent, const char *message);
    void (*info_changed)(SnVolume *vol, const SnVolumeInfo *info);
    void (*reservation)(SnVolume *vol, uint8_t type);
    void (*done)(SnIo *io, int ret);
    void (*refused)(SnIo *io, int64_t until);
    void (*sent_again)(SnIo *io);
    void (*batch_begin)(SnVolume *vol);
    void (*batch_end)(SnVolume *vol);

    /* One line, see log.h and trace.h. Any thread. */
    SnLogFunc *log;
    SnTraceFunc *trace;

    /* See secret.h. Main thread. */
    SnSecretFunc *secret;
} SnModuleServices;

/* What a module offers. */
typedef struct SnModule {
    uint32_t abi;               /* SN_MODULE_ABI of the module */
    const SnBackendOps *const *backends;    /* ends with NULL */

    /* The module's trace events: as sn_trace_enable(), sn_trace_foreach(). */
    unsigned (*trace_enable)(const char *pattern);
    void (*trace_foreach)(void (*func)(const SnTraceEvent *event,
                                       void *opaque), void *opaque);
} SnModule;

#define SN_MODULE(ops)                                                     \
    {                                                                      \
        .abi = SN_MODULE_ABI,                                              \
        .backends = (ops),                                                 \
        .trace_enable = sn_trace_enable,                                   \
        .trace_foreach = sn_trace_foreach,                                 \
    }

extern const SnModule sn_module;

/*
 * The one symbol that a module exports; libsmartnic-module.a defines it.
 * @services is borrowed for good. Returns sn_module, or NULL when @services
 * has another ABI. Main thread.
 */
typedef const SnModule *SnModuleInit(const SnModuleServices *services);
#define SN_MODULE_INIT "smartnic_module_init"
extern SnModuleInit smartnic_module_init;

#endif
