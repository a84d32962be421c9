/*
 * A real NVMe/TCP target (tests/targets), for cards with a user network, and
 * the moments in which it does not answer.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_TARGET_H
#define SMARTNIC_QTEST_TARGET_H

#include "machine.h"

#define TARGET_NQN  "nqn.2026-11.org.smartnic:qtest"
#define TARGET_UUID "11223344-5566-7788-99aa-bbccddeeff00"

typedef struct Target {
    GPid pid;
    bool paused;
    char *folder, *control;     /* of its control socket */
    int fd;                     /* connected to that */
    char *address;              /* as a card sees it: "10.0.2.2:PORT" */
} Target;

/* Serves one namespace of 64 MiB. */
void target_start(Target *target);
/* It takes what comes, but says nothing, until target_continue(). */
void target_pause(Target *target);
void target_continue(Target *target);
void target_stop(Target *target);
/* A command of its control socket, which must succeed. */
void target_command(Target *target, const char *command);

/*
 * QEMU's arguments for card @id on that target, in slot @slot; @props are more
 * of its properties, @options of its URL. The caller frees them.
 */
char *target_card(const Target *target, const char *id, unsigned slot,
                  const char *props, const char *options);

#endif
