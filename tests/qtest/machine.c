/*
 * A QEMU with the plugin loaded, without a guest.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "libqos/malloc-pc.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"

#include "machine.h"

static const char *environment(const char *name)
{
    const char *value = g_getenv(name);

    if (!value) {
        g_error("%s is not set: run the tests with meson test", name);
    }
    return value;
}

void machine_start(Machine *m, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    m->qts = qtest_initf("-nodefaults -plugin '%s' %s",
                         environment("SMARTNIC_PLUGIN"), args);
    pc_alloc_init(&m->alloc, m->qts, ALLOC_NO_FLAGS);
    m->bus = qpci_new_pc(m->qts, &m->alloc);
}

void machine_stop(Machine *m)
{
    qpci_free_pc(m->bus);
    alloc_destroy(&m->alloc);
    qtest_quit(m->qts);
}

/* The response to qom-get: { "return": VALUE } */
static QDict *qom_get(Machine *m, const char *path, const char *property)
{
    QDict *rsp = qtest_qmp(m->qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': %s } }", path, property);

    if (!qdict_haskey(rsp, "return")) {
        g_error("qom-get %s %s: %s", path, property,
                qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"));
    }
    return rsp;
}

char *machine_get_string(Machine *m, const char *path, const char *property)
{
    QDict *rsp = qom_get(m, path, property);
    char *value = g_strdup(qdict_get_str(rsp, "return"));

    qobject_unref(rsp);
    return value;
}

uint64_t machine_get_uint(Machine *m, const char *path, const char *property)
{
    QDict *rsp = qom_get(m, path, property);
    uint64_t value = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return value;
}

gint64 machine_deadline(void)
{
    return g_get_monotonic_time() + MACHINE_TIMEOUT_US;
}

bool machine_before(gint64 deadline)
{
    return g_get_monotonic_time() < deadline;
}

void machine_wait_string(Machine *m, const char *path, const char *property,
                         const char *value)
{
    gint64 deadline = machine_deadline();

    for (;;) {
        g_autofree char *now = machine_get_string(m, path, property);

        if (g_str_equal(now, value)) {
            return;
        }
        if (!machine_before(deadline)) {
            g_error("%s of %s is \"%s\", not \"%s\"", property, path, now,
                    value);
        }
    }
}

void machine_assert_alive(Machine *m)
{
    QDict *rsp = qtest_qmp_assert_success_ref(m->qts,
                                              "{ 'execute': 'query-status' }");

    g_assert_true(qdict_get_bool(rsp, "running"));
    qobject_unref(rsp);
}

/* A card's functions are told about too, so look for its own event. */
void machine_wait_deleted(Machine *m, const char *id)
{
    for (bool found = false; !found; ) {
        QDict *event = qtest_qmp_eventwait_ref(m->qts, "DEVICE_DELETED");
        QDict *data = qdict_get_qdict(event, "data");

        found = g_str_equal(qdict_get_try_str(data, "device") ?: "", id);
        qobject_unref(event);
    }
}

void machine_unplug(Machine *m, const char *id, unsigned slot)
{
    const uint16_t eject = 0xae08;

    qtest_qmp_device_del_send(m->qts, id);
    qtest_outl(m->qts, eject, 1u << slot);
    machine_wait_deleted(m, id);
}

char *machine_refusal(const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *command = NULL;
    g_autofree char *err = NULL;
    g_autofree char *out = NULL;
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", NULL, NULL };
    g_autoptr(GError) gerr = NULL;
    va_list ap;
    int status;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    /*
     * The last device does not exist, so that QEMU ends also when it does not
     * refuse what it should; then it complains about that one.
     */
    argv[2] = command = g_strdup_printf(
        "exec %s -nodefaults -display none -accel qtest -plugin '%s' %s "
        "-device accepted-by-mistake", environment("QTEST_QEMU_BINARY"),
        environment("SMARTNIC_PLUGIN"), args);
    g_assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL,
                               &out, &err, &status, &gerr));
    g_test_message("%s -> %s", args, err);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_cmpstr(out, ==, "");
    g_assert_null(strstr(err, "accepted-by-mistake"));
    g_strchomp(err);
    g_assert_cmpstr(err, !=, "");
    g_assert_null(strchr(err, '\n'));
    return g_steal_pointer(&err);
}
