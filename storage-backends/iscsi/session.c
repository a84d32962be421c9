/*
 * Sessions (RFC 7143 section 4): each attempt has a libiscsi context of its
 * own. All have the same initiator name and ISID, so a new login ends what the
 * target still has of the old session (session reinstatement, section 6.3.5):
 * writes that it held back cannot come after those that are sent again.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <poll.h>
#include <string.h>

#include "backend.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(iscsi_state);
SN_TRACE_EVENT(iscsi_connect);
SN_TRACE_EVENT(iscsi_redirected);
SN_TRACE_EVENT(iscsi_nop);

/* For each step of beginning a session. */
#define STEP_TIME (15 * SN_NS_PER_S)
/* Of a login that is refused: class and detail (RFC 7143 section 11.13.5). */
enum {
    LOGIN_TARGET_NOT_FOUND = 0x0203,
    LOGIN_UNAVAILABLE = 0x0301,         /* what LIO says of one it has not */
};
enum { MAX_REDIRECTS = 4 };
/* A target that has all it takes at once may be busy for so many times
 * keep-alive-tmo. That is beyond io-timeout, which acts before, if it is on. */
enum { MAX_BUSY = 12 };
/* Turns of the library before others have theirs. */
enum { MAX_TURNS = 64 };
/* Bytes of the library's words, which may quote the target's. */
enum { MAX_ERROR = 200 };

static const char *const state_names[] = {
    [SN_ISCSI_IDLE] = "idle",
    [SN_ISCSI_CONNECTING] = "connecting",
    [SN_ISCSI_LOGGING_IN] = "logging-in",
    [SN_ISCSI_PROBING] = "probing",
    [SN_ISCSI_READY] = "ready",
    [SN_ISCSI_DISCOVERING] = "discovering",
    [SN_ISCSI_FAILED] = "failed",
};

static void set_state(SnBackend *be, SnIscsiState state)
{
    sn_trace(iscsi_state, "id=%s state=%s -> %s", be->id,
             state_names[be->state], state_names[state]);
    be->state = state;
}

SnSockets *sn_iscsi_enter(SnBackend *be)
{
    return sn_sockets_enter(be->sockets);
}

void sn_iscsi_leave(SnBackend *be, SnSockets *before)
{
    sn_sockets_leave(be->sockets, before);
}

void sn_iscsi_arm_step(SnBackend *be)
{
    sn_timer_arm_in(be->loop, be->step_timer, STEP_TIME);
}

char *sn_iscsi_error_text(SnBackend *be)
{
    int err = sn_sockets_error(iscsi_get_fd(be->ctx));
    g_autofree char *text = NULL;

    if (be->guard.wrong) {
        return g_strdup(be->guard.wrong);
    }
    if (err) {
        return g_strdup(g_strerror(-err));
    }
    text = g_strndup(iscsi_get_error(be->ctx), MAX_ERROR);
    g_strdelimit(text, "\n", ' ');
    g_strchomp(text);
    return *text ? g_strescape(text, NULL)
                 : g_strdup("the target ended the connection");
}

void sn_iscsi_fail(SnBackend *be, bool permanent, const char *fmt, ...)
{
    va_list ap;

    if (be->state == SN_ISCSI_IDLE || be->state == SN_ISCSI_FAILED) {
        return;                 /* the first reason is the one */
    }
    va_start(ap, fmt);
    be->fail_message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    be->fail_permanent = permanent;
    set_state(be, SN_ISCSI_FAILED);
    be->loop->bh_schedule(be->fail_bh);
}

/* Whether be->ctx is what happens: another may be about to take its place. */
static bool working(const SnBackend *be)
{
    return be->state != SN_ISCSI_IDLE && be->state != SN_ISCSI_FAILED &&
           be->ctx && !be->connect_next;
}

void sn_iscsi_over(SnBackend *be)
{
    g_autofree char *why = NULL;

    if (!working(be)) {
        return;
    }
    /* The library's last words may be about something older. */
    why = sn_sockets_ended(iscsi_get_fd(be->ctx))
          ? g_strdup("the target ended the connection")
          : sn_iscsi_error_text(be);
    sn_iscsi_fail(be, false, "%s: %s", be->portal, why);
}

/* The context goes, and with it its socket; its commands are cancelled. */
static void close_context(SnBackend *be)
{
    SnSockets *before;

    if (be->ctx) {
        before = sn_iscsi_enter(be);
        iscsi_destroy_context(be->ctx);
        be->ctx = NULL;
        sn_iscsi_leave(be, before);
    }
}

void sn_iscsi_session_stop(SnBackend *be)
{
    set_state(be, SN_ISCSI_IDLE);
    sn_timer_disarm(be->loop, be->step_timer);
    sn_timer_disarm(be->loop, be->alive_timer);
    sn_timer_disarm(be->loop, be->probe_timer);
    close_context(be);
    sn_iscsi_op_drop(&be->probe);
    sn_iscsi_op_drop(&be->poll);
    sn_iscsi_late_free(be);
    g_clear_pointer(&be->portal, g_free);
    g_clear_pointer(&be->fail_message, g_free);
    be->connect_next = NULL;
    be->alive_pending = false;
    be->silent = 0;
}

static void tell_failure(void *opaque)
{
    SnBackend *be = opaque;
    g_autofree char *message = NULL;

    if (be->state != SN_ISCSI_FAILED) {
        return;                 /* stopped meanwhile */
    }
    message = g_steal_pointer(&be->fail_message);
    sn_iscsi_session_stop(be);
    sn_iscsi_io_forget(be);
    sn_backend_lost(be->vol, be->fail_permanent, "%s", message);
}

static void step_is_over(void *opaque)
{
    SnBackend *be = opaque;

    if (be->state == SN_ISCSI_DISCOVERING) {
        sn_iscsi_discovery_end(be);
        return;
    }
    sn_iscsi_fail(be, false, "no answer from %s within %d s (%s)",
                  be->portal ? be->portal : be->options.portal,
                  (int)(STEP_TIME / SN_NS_PER_S), state_names[be->state]);
}

static void nop_answered(struct iscsi_context *ctx, int status, void *data,
                         void *opaque)
{
    SnBackend *be = opaque;

    be->alive_pending = false;
    if (status != SCSI_STATUS_GOOD) {
        sn_iscsi_over(be);
    }
}

/*
 * Whether a NOP-Out waits here, behind commands that the target does not take
 * yet (its command window, RFC 7143 section 4.2.2.1). After a Logout Request
 * nothing is sent, which looks the same.
 */
static bool window_is_closed(const SnBackend *be)
{
    return !be->guard.logout && iscsi_out_queue_length(be->ctx) &&
           !(iscsi_which_events(be->ctx) & POLLOUT);
}

/* Nothing comes of the target, and nothing explains that. */
static bool is_dead(SnBackend *be)
{
    if (!be->alive_pending || sn_sockets_heard(iscsi_get_fd(be->ctx))) {
        be->silent = 0;
        return false;
    }
    return ++be->silent >= (window_is_closed(be) ? MAX_BUSY : 1);
}

/*
 * A NOP-Out finds a dead connection. READ CAPACITY finds another size, which
 * not every target tells of by itself, and fetches a UNIT ATTENTION.
 */
static void keep_alive(void *opaque)
{
    SnBackend *be = opaque;
    SnSockets *before;

    if (is_dead(be)) {
        sn_iscsi_fail(be, false, "%s has not answered for %u s", be->portal,
                      be->silent * be->options.keep_alive);
        return;
    }
    if (!be->alive_pending) {
        sn_trace(iscsi_nop, "id=%s", be->id);
        before = sn_iscsi_enter(be);
        be->alive_pending = !iscsi_nop_out_async(be->ctx, nop_answered, NULL,
                                                 0, be);
        sn_iscsi_leave(be, before);
        sn_sockets_heard(iscsi_get_fd(be->ctx));
    }
    sn_iscsi_probe_poll(be);
    sn_iscsi_flush(be);
    sn_timer_arm_in(be->loop, be->alive_timer,
                    be->options.keep_alive * SN_NS_PER_S);
}

void sn_iscsi_session_ready(SnBackend *be)
{
    sn_timer_disarm(be->loop, be->step_timer);
    set_state(be, SN_ISCSI_READY);
    if (be->options.keep_alive) {
        sn_timer_arm_in(be->loop, be->alive_timer,
                        be->options.keep_alive * SN_NS_PER_S);
    }
    sn_backend_ready(be->vol, &be->unit.info);
}

/* The library says "... Status: words(515)". 0: it does not. */
static unsigned login_status(const char *error)
{
    const char *open = strrchr(error, '(');

    return open && strstr(error, "Status:") ? strtoul(open + 1, NULL, 10) : 0;
}

static void login_refused(SnBackend *be)
{
    g_autofree char *why = sn_iscsi_error_text(be);
    g_autofree char *message = g_strdup_printf(
        "login to %s at %s failed: %s", be->options.target, be->portal, why);
    unsigned status;

    status = login_status(iscsi_get_error(be->ctx));
    if (status == LOGIN_TARGET_NOT_FOUND || status == LOGIN_UNAVAILABLE) {
        set_state(be, SN_ISCSI_DISCOVERING);
        sn_iscsi_discovery_start(be, g_steal_pointer(&message));
        return;
    }
    sn_iscsi_fail(be, false, "%s", message);
}

/* It will be in messages. */
static bool is_address(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isgraph(text[i])) {
            return false;
        }
    }
    return len && len <= MAX_ERROR;
}

static void connect_to_portal(SnBackend *be);

static void logged_in(struct iscsi_context *ctx, int status, void *data,
                      void *opaque)
{
    SnBackend *be = opaque;

    if (be->state != SN_ISCSI_LOGGING_IN) {
        return;
    }
    if (status == SCSI_STATUS_REDIRECT) {
        if (be->redirects++ == MAX_REDIRECTS) {
            sn_iscsi_fail(be, false, "%s redirects again and again",
                          be->portal);
            return;
        }
        if (!is_address(iscsi_get_target_address(ctx))) {
            sn_iscsi_fail(be, false, "%s redirects to nowhere", be->portal);
            return;
        }
        g_free(be->portal);
        be->portal = g_strdup(iscsi_get_target_address(ctx));
        sn_trace(iscsi_redirected, "id=%s", be->id);
        set_state(be, SN_ISCSI_CONNECTING);
        be->connect_next = connect_to_portal;
        be->loop->bh_schedule(be->service_bh);
        return;
    }
    if (status != SCSI_STATUS_GOOD) {
        login_refused(be);
        return;
    }
    set_state(be, SN_ISCSI_PROBING);
    sn_iscsi_arm_step(be);
    sn_iscsi_probe_start(be);
}

static void connected(struct iscsi_context *ctx, int status, void *data,
                      void *opaque)
{
    SnBackend *be = opaque;

    if (be->state != SN_ISCSI_CONNECTING) {
        return;
    }
    if (status != SCSI_STATUS_GOOD) {
        g_autofree char *why = sn_iscsi_error_text(be);

        sn_iscsi_fail(be, false, "connecting to %s failed: %s", be->portal,
                      why);
        return;
    }
    set_state(be, SN_ISCSI_LOGGING_IN);
    sn_iscsi_arm_step(be);
    if (iscsi_login_async(ctx, logged_in, be)) {
        login_refused(be);
    }
}

static bool set_up(SnBackend *be, enum iscsi_session_type type)
{
    const SnIscsiOptions *o = &be->options;
    struct iscsi_context *ctx = be->ctx;
    const uint8_t *id = be->isid;

    iscsi_set_noautoreconnect(ctx, 1);
    if (iscsi_set_session_type(ctx, type) ||
        iscsi_set_isid_random(ctx, id[0] << 16 | id[1] << 8 | id[2],
                              id[3] << 8 | id[4]) ||
        iscsi_set_header_digest(ctx, o->header_digest
                                     ? ISCSI_HEADER_DIGEST_CRC32C
                                     : ISCSI_HEADER_DIGEST_NONE)) {
        return false;
    }
    if (type == ISCSI_SESSION_NORMAL && iscsi_set_targetname(ctx, o->target)) {
        return false;
    }
    if (o->user && iscsi_set_initiator_username_pwd(ctx, o->user,
                                                    o->password)) {
        return false;
    }
    return !o->mutual_user ||
           !iscsi_set_target_username_pwd(ctx, o->mutual_user,
                                          o->mutual_password);
}

/* Between enter and leave. */
static bool open_context(SnBackend *be, enum iscsi_session_type type,
                         iscsi_command_cb connected_cb)
{
    be->ctx = iscsi_create_context(be->options.initiator);
    if (!be->ctx || !set_up(be, type) ||
        iscsi_connect_async(be->ctx, be->portal, connected_cb, be)) {
        g_autofree char *why = be->ctx ? g_strescape(iscsi_get_error(be->ctx),
                                                     NULL)
                                       : g_strdup("no memory");

        sn_iscsi_fail(be, false, "connecting to %s failed: %s", be->portal,
                      why);
        return false;
    }
    return true;
}

bool sn_iscsi_open_context(SnBackend *be, enum iscsi_session_type type,
                           iscsi_command_cb connected_cb)
{
    SnSockets *before;
    bool ok;

    close_context(be);
    before = sn_iscsi_enter(be);
    ok = open_context(be, type, connected_cb);
    sn_iscsi_leave(be, before);
    return ok;
}

static void connect_to_portal(SnBackend *be)
{
    sn_trace(iscsi_connect, "id=%s initiator=%s", be->id,
             be->options.initiator);
    sn_iscsi_arm_step(be);
    sn_iscsi_open_context(be, ISCSI_SESSION_NORMAL, connected);
}

static void ignore(struct iscsi_context *ctx, int status, void *data,
                   void *opaque)
{
}

/*
 * Whether libiscsi finds our calls (sockets.h). Asked with a portal that needs
 * no look-up, and that neither ours nor the kernel's TCP connects to.
 */
static bool uses_our_sockets(SnBackend *be)
{
    struct iscsi_context *ctx = iscsi_create_context(be->options.initiator);
    unsigned made = sn_sockets_made(be->sockets);
    SnSockets *before = sn_iscsi_enter(be);

    if (ctx) {
        iscsi_connect_async(ctx, "255.255.255.255:0", ignore, NULL);
        iscsi_destroy_context(ctx);
    }
    sn_iscsi_leave(be, before);
    return sn_sockets_made(be->sockets) > made;
}

void sn_iscsi_session_start(SnBackend *be)
{
    be->redirects = 0;
    be->portal = g_strdup(be->options.portal);
    set_state(be, SN_ISCSI_CONNECTING);
    if (!sn_sockets_made(be->sockets) && !uses_our_sockets(be)) {
        sn_iscsi_fail(be, true, "libiscsi was loaded by somebody else and "
                      "uses the host's sockets: the card cannot use it");
        return;
    }
    connect_to_portal(be);
}

/* One turn of the library. False: nothing more can be done now. */
static bool turn(SnBackend *be)
{
    int fd = iscsi_get_fd(be->ctx);
    short ready = sn_sockets_poll(fd, iscsi_which_events(be->ctx));

    if (!ready) {
        return false;
    }
    if (iscsi_service(be->ctx, ready) < 0) {
        sn_iscsi_over(be);
    }
    return true;
}

static void note_sent(SnBackend *be)
{
    if (working(be) && !(iscsi_which_events(be->ctx) & POLLOUT)) {
        sn_iscsi_guard_sent(be);
    }
}

void sn_iscsi_flush(SnBackend *be)
{
    SnSockets *before = sn_iscsi_enter(be);

    /* Only sends: nothing is to be heard from the target in here. */
    if (working(be) && iscsi_which_events(be->ctx) & POLLOUT &&
        sn_sockets_poll(iscsi_get_fd(be->ctx), POLLOUT) == POLLOUT &&
        iscsi_service(be->ctx, POLLOUT) < 0) {
        sn_iscsi_over(be);
    }
    note_sent(be);
    sn_iscsi_leave(be, before);
}

static void service(SnBackend *be)
{
    SnSockets *before = sn_iscsi_enter(be);
    unsigned turns = 0;

    while (working(be) && turn(be)) {
        if (++turns == MAX_TURNS) {
            be->loop->bh_schedule(be->service_bh);
            break;
        }
    }
    note_sent(be);
    sn_iscsi_leave(be, before);
}

static void sockets_ready(void *opaque)
{
    SnBackend *be = opaque;
    SnVolume *vol = be->vol;

    sn_backend_batch_begin(vol);
    service(be);
    sn_backend_batch_end(vol);
}

/* After a redirection, or when a burst was too long for one go. */
static void go_on(void *opaque)
{
    SnBackend *be = opaque;

    if (be->connect_next) {
        void (*connect_next)(SnBackend *) = be->connect_next;

        be->connect_next = NULL;
        connect_next(be);
    } else {
        sockets_ready(be);
    }
}

void sn_iscsi_session_init(SnBackend *be, SnNet *net)
{
    SnLoop *loop = be->loop;

    be->sockets = sn_sockets_new(net, loop, sockets_ready, be);
    sn_sockets_set_check(be->sockets, sn_iscsi_guard, be);
    be->step_timer = loop->timer_new(loop, step_is_over, be);
    be->alive_timer = loop->timer_new(loop, keep_alive, be);
    be->service_bh = loop->bh_new(loop, go_on, be);
    be->fail_bh = loop->bh_new(loop, tell_failure, be);
}

void sn_iscsi_session_free(SnBackend *be)
{
    SnLoop *loop = be->loop;

    loop->timer_free(be->step_timer);
    loop->timer_free(be->alive_timer);
    loop->bh_free(be->service_bh);
    loop->bh_free(be->fail_bh);
    sn_sockets_free(be->sockets);
    sn_iscsi_guard_clear(&be->guard);
}
