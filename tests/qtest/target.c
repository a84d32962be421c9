/*
 * A real NVMe/TCP target, for cards with a user network.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/prctl.h>
#include <sys/un.h>

#include "target.h"

/* A test that fails leaves no target behind. */
static void die_with_parent(gpointer unused)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* The port, which it tells when it is ready */
static int read_port(int fd)
{
    g_autoptr(GIOChannel) out = g_io_channel_unix_new(fd);
    g_autofree char *line = NULL;

    g_io_channel_set_close_on_unref(out, true);
    g_io_channel_read_line(out, &line, NULL, NULL, NULL);
    if (!line || !g_str_has_prefix(line, "ready 127.0.0.1:")) {
        g_error("the target says \"%s\"", line ?: "");
    }
    return atoi(strrchr(line, ':') + 1);
}

static void connect_control(Target *target)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_strlcpy(addr.sun_path, target->control, sizeof(addr.sun_path));
    target->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(target->fd, (struct sockaddr *)&addr,
                            sizeof(addr)), ==, 0);
}

void target_start(Target *target)
{
    char *argv[] = {
        (char *)g_getenv("NVME_TCP_TARGET"), (char *)"--listen",
        (char *)"127.0.0.1:0", (char *)"--nqn", (char *)TARGET_NQN,
        (char *)"--ns", (char *)"1,size=64M,uuid=" TARGET_UUID,
        (char *)"--control", NULL, NULL,
    };
    g_autoptr(GError) err = NULL;
    int out;

    if (!argv[0]) {
        g_error("NVME_TCP_TARGET is not set: run the tests with meson test");
    }
    *target = (Target) { };
    target->folder = g_dir_make_tmp("qtest-XXXXXX", NULL);
    target->control = g_build_filename(target->folder, "control", NULL);
    argv[8] = target->control;
    if (!g_spawn_async_with_pipes(NULL, argv, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD, die_with_parent,
                                  NULL, &target->pid, NULL, &out, NULL,
                                  &err)) {
        g_error("the target does not start: %s", err->message);
    }
    target->address = g_strdup_printf("10.0.2.2:%d", read_port(out));
    connect_control(target);
}

void target_pause(Target *target)
{
    siginfo_t info;

    if (!target->paused) {
        kill(target->pid, SIGSTOP);
        g_assert_cmpint(waitid(P_PID, target->pid, &info, WSTOPPED), ==, 0);
        target->paused = true;
    }
}

void target_continue(Target *target)
{
    kill(target->pid, SIGCONT);
    target->paused = false;
}

void target_command(Target *target, const char *command)
{
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    char answer[256];
    ssize_t len;

    g_assert_cmpint(write(target->fd, line, strlen(line)), ==, strlen(line));
    len = read(target->fd, answer, sizeof(answer) - 1);
    g_assert_cmpint(len, >, 0);
    answer[len] = '\0';
    if (!g_str_has_prefix(answer, "ok")) {
        g_error("the target says to %s: %s", command, answer);
    }
}

void target_stop(Target *target)
{
    kill(target->pid, SIGKILL);
    waitpid(target->pid, NULL, 0);
    g_spawn_close_pid(target->pid);
    close(target->fd);
    unlink(target->control);
    rmdir(target->folder);
    g_free(target->control);
    g_free(target->folder);
    g_free(target->address);
}

char *target_card(const Target *target, const char *id, unsigned slot,
                  const char *props, const char *options)
{
    return g_strdup_printf(
        "-netdev user,id=%s-n "
        "-device 'smartnic-storage,id=%s,netdev=%s-n,addr=%u,"
        "ip=10.0.2.%u/24,gateway=10.0.2.2%s,"
        "volume=nvme+tcp://%s/" TARGET_NQN "%s' ",
        id, id, id, slot, 10 + slot, props, target->address, options);
}
