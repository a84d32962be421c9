/*
 * Sessions: the connections of a volume, each a libnfs context of its own,
 * made anew for each attempt. NFSv3 has no session to begin on the server: what
 * was in flight when a connection ended is sent again on the next one, a WRITE
 * as the same call (lost.c). A server knows it by where it comes from, too, so
 * a connection comes from the port of the one before; and if the server still
 * has that one open, it ends by that, with what was not read of it. All of
 * READ, WRITE and COMMIT may be carried out twice (RFC 1813 section 4.5 on what
 * may not), as long as no old WRITE can come after a newer one: see
 * sn_nfs_conn_close(), too.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <poll.h>
#include <string.h>

#include "backend.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nfs_state);
SN_TRACE_EVENT(nfs_connect);
SN_TRACE_EVENT(nfs_alive);

/* Without keep-alive: when nobody wants a lost write any more. */
#define FORGET_TIME (5 * SN_NS_PER_S)
/* For each step of beginning a session. */
#define STEP_TIME (15 * SN_NS_PER_S)
/* Turns of the library before others have theirs. */
enum { MAX_TURNS = 64 };
/* Bytes of the library's words. */
enum { MAX_ERROR = 200 };
/* Both programs (RFC 1813 appendix I and section 5). */
enum { VERSION = 3 };

static const char *const state_names[] = {
    [SN_NFS_IDLE] = "idle",
    [SN_NFS_MOUNTING] = "mounting",
    [SN_NFS_CONNECTING] = "connecting",
    [SN_NFS_LOOKING_UP] = "looking-up",
    [SN_NFS_PROBING] = "probing",
    [SN_NFS_RECOVERING] = "recovering",
    [SN_NFS_READY] = "ready",
    [SN_NFS_FAILED] = "failed",
};

void sn_nfs_set_state(SnBackend *be, SnNfsState state)
{
    sn_trace(nfs_state, "id=%s state=%s -> %s", be->id,
             state_names[be->state], state_names[state]);
    be->state = state;
}

SnSockets *sn_nfs_enter(SnBackend *be)
{
    return sn_sockets_enter(be->sockets);
}

void sn_nfs_leave(SnBackend *be, SnSockets *before)
{
    sn_sockets_leave(be->sockets, before);
}

bool sn_nfs_was_stuck(const SnBackend *be, int64_t due)
{
    return sn_loop_now(be->loop) >= due + SN_NFS_GRACE;
}

void sn_nfs_arm_step(SnBackend *be)
{
    sn_timer_arm_in(be->loop, be->step_timer, STEP_TIME);
}

void sn_nfs_defer(SnBackend *be, void (*next)(SnBackend *be))
{
    be->next = next;
    be->loop->bh_schedule(be->service_bh);
}

static bool alive(const SnBackend *be)
{
    return be->state != SN_NFS_IDLE && be->state != SN_NFS_FAILED;
}

void sn_nfs_fail(SnBackend *be, bool permanent, const char *fmt, ...)
{
    va_list ap;

    if (!alive(be)) {
        return;                 /* the first reason is the one */
    }
    va_start(ap, fmt);
    be->fail_message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    be->fail_permanent = permanent;
    sn_nfs_set_state(be, SN_NFS_FAILED);
    be->loop->bh_schedule(be->fail_bh);
}

void sn_nfs_stale(SnBackend *be, nfsstat3 status)
{
    sn_nfs_fail(be, false, "%s on %s was removed, or replaced by another file, "
                "or is not exported now (%s)", be->options.path,
                be->options.host, nfsstat3_to_str(status));
}

/*
 * What went wrong on a connection, fit for a message: @words of the library, if
 * the socket says nothing. The caller frees it.
 */
static char *error_text(SnNfsConn *c, const char *words)
{
    int err = sn_sockets_error(rpc_get_fd(c->rpc));
    g_autofree char *text = NULL;

    if (err && err != -EBADF) {
        return g_strdup(g_strerror(-err));
    }
    text = g_strndup(words ? words : "", MAX_ERROR);
    g_strdelimit(text, "\n", ' ');
    g_strchomp(text);
    return *text ? g_strescape(text, NULL)
                 : g_strdup("the server ended the connection");
}

static void conn_failed(SnNfsConn *c, const char *what, const char *words)
{
    g_autofree char *why = error_text(c, words);

    sn_nfs_fail(c->be, false, "%s: %s: %s", c->be->options.host, what, why);
}

void sn_nfs_call_failed(SnNfsConn *c, const char *what)
{
    conn_failed(c, what, rpc_get_error(c->rpc));
}

bool sn_nfs_answered(SnNfsConn *c, int rpc_status, const void *data,
                     const char *what)
{
    SnBackend *be = c->be;

    if (!alive(be)) {
        return false;
    }
    if (rpc_status != RPC_STATUS_SUCCESS) {
        /* How the server refused a call is only told here. */
        conn_failed(c, what, rpc_status == RPC_STATUS_ERROR && data
                             ? data : rpc_get_error(c->rpc));
        return false;
    }
    c->heard = true;
    return true;
}

struct rpc_context *sn_nfs_new_call(SnNfsConn *c)
{
    rpc_set_next_xid(c->rpc, c->be->next_xid++);
    return c->rpc;
}

/*
 * What lies between may think of the old connection otherwise than we do, so
 * now and then another port is tried.
 */
static uint16_t port_to_try(const SnNfsConn *c)
{
    return c->tries % 4 == 3 ? 0 : c->port;
}

/* Between enter and leave. */
static bool open_context(SnNfsConn *c, uint32_t program, uint16_t port,
                         rpc_cb done)
{
    const SnNfsOptions *o = &c->be->options;

    c->rpc = rpc_init_context();
    if (!c->rpc) {
        sn_nfs_fail(c->be, false, "no memory for a connection");
        return false;
    }
    rpc_set_uid(c->rpc, o->uid);
    rpc_set_gid(c->rpc, o->gid);
    if (port ? rpc_connect_port_async(c->rpc, o->host, port, program, VERSION,
                                      done, c)
             : rpc_connect_program_async(c->rpc, o->host, program, VERSION,
                                         done, c)) {
        sn_nfs_call_failed(c, "connecting");
        return false;
    }
    return true;
}

void sn_nfs_conn_open(SnNfsConn *c, uint32_t program, uint16_t port,
                      rpc_cb done)
{
    SnBackend *be = c->be;
    SnSockets *before = sn_nfs_enter(be);

    sn_trace(nfs_connect, "id=%s program=%u port=%u", be->id, program, port);
    c->connected = c->heard = c->alive_pending = false;
    c->tries++;
    sn_sockets_set_check(be->sockets, sn_nfs_guard, c);
    /* To the port mapper it may come from anywhere. */
    sn_sockets_set_port(be->sockets, port ? port_to_try(c) : 0);
    if (open_context(c, program, port, done) &&
        sn_sockets_poll(rpc_get_fd(c->rpc), POLLIN) == POLLNVAL) {
        sn_nfs_fail(be, true, "libnfs was loaded by somebody else and uses "
                    "the host's sockets: the card cannot use it");
    }
    sn_nfs_leave(be, before);
}

/*
 * The socket goes with a reset, not in order: what the server has not read yet
 * it will not carry out.
 */
void sn_nfs_conn_close(SnNfsConn *c)
{
    SnSockets *before;

    if (!c->rpc) {
        return;
    }
    before = sn_nfs_enter(c->be);
    if (!c->connected) {
        /* What it keeps for connecting is freed by the callback only. */
        rpc_service(c->rpc, -1);
    }
    rpc_destroy_context(c->rpc);
    sn_nfs_guard_clear(&c->guard);
    c->rpc = NULL;
    c->connected = false;
    sn_nfs_leave(c->be, before);
}

void sn_nfs_session_stop(SnBackend *be)
{
    sn_nfs_set_state(be, SN_NFS_IDLE);
    sn_timer_disarm(be->loop, be->step_timer);
    sn_timer_disarm(be->loop, be->alive_timer);
    sn_timer_disarm(be->loop, be->probe_timer);
    sn_nfs_conn_close(&be->mount);
    for (unsigned i = 0; i < be->options.conns; i++) {
        sn_nfs_conn_close(&be->conns[i]);
    }
    be->next = NULL;
    be->polling = be->polling_rights = false;
    g_clear_pointer(&be->fail_message, g_free);
    g_clear_pointer(&be->dir, g_free);
    g_clear_pointer(&be->refused, g_free);
}

static void tell_failure(void *opaque)
{
    SnBackend *be = opaque;
    g_autofree char *message = NULL;

    if (be->state != SN_NFS_FAILED) {
        return;                 /* stopped meanwhile */
    }
    message = g_steal_pointer(&be->fail_message);
    sn_nfs_session_stop(be);
    sn_nfs_io_forget(be);
    sn_backend_lost(be->vol, be->fail_permanent, "%s", message);
}

static void step_is_over(void *opaque)
{
    SnBackend *be = opaque;

    sn_nfs_fail(be, false, "no answer from %s within %d s (%s)",
                be->options.host, (int)(STEP_TIME / SN_NS_PER_S),
                state_names[be->state]);
}

static void alive_answered(struct rpc_context *rpc, int status, void *data,
                           void *opaque)
{
    SnNfsConn *c = opaque;

    c->alive_pending = false;
    if (sn_nfs_answered(c, status, data, "GETATTR")) {
        sn_nfs_probe_polled(c->be, data);
    }
}

static void ask_alive(SnNfsConn *c)
{
    GETATTR3args args = { .object = sn_nfs_fh(c->be) };

    c->heard = false;
    c->alive_pending = true;
    if (rpc_nfs3_getattr_async(sn_nfs_new_call(c), alive_answered, &args, c)) {
        sn_nfs_call_failed(c, "GETATTR");
    }
}

static void arm_alive(SnBackend *be, int64_t ns)
{
    be->alive_due = sn_loop_now(be->loop) + ns;
    be->loop->timer_set(be->alive_timer, be->alive_due);
}

/*
 * A GETATTR finds a dead connection, and a change of the file's size; an
 * ACCESS, one of the rights. A server that is busy may take its time as long as
 * it answers anything.
 */
static void keep_alive(void *opaque)
{
    SnBackend *be = opaque;
    SnSockets *before;

    if (sn_nfs_was_stuck(be, be->alive_due)) {
        arm_alive(be, SN_NFS_GRACE);
        return;
    }
    sn_nfs_lost_forget(be);     /* who wanted them has come by now */
    if (!be->options.keep_alive) {
        return;
    }
    sn_trace(nfs_alive, "id=%s", be->id);
    before = sn_nfs_enter(be);
    for (unsigned i = 0; i < be->options.conns; i++) {
        SnNfsConn *c = &be->conns[i];

        if (c->alive_pending && !c->heard) {
            sn_nfs_fail(be, false, "%s has not answered for %u s",
                        be->options.host, be->options.keep_alive);
            break;
        }
        if (c->alive_pending) {
            c->heard = false;
        } else {
            ask_alive(c);
        }
    }
    sn_nfs_probe_poll_rights(be);
    sn_nfs_leave(be, before);
    sn_nfs_flush(be);
    arm_alive(be, be->options.keep_alive * SN_NS_PER_S);
}

void sn_nfs_session_ready(SnBackend *be)
{
    sn_timer_disarm(be->loop, be->step_timer);
    sn_nfs_set_state(be, SN_NFS_READY);
    arm_alive(be, be->options.keep_alive
                  ? be->options.keep_alive * SN_NS_PER_S : FORGET_TIME);
    sn_backend_ready(be->vol, &be->info);
}

static void connected(struct rpc_context *rpc, int status, void *data,
                      void *opaque)
{
    SnNfsConn *c = opaque;
    SnBackend *be = c->be;

    if (!sn_nfs_answered(c, status, data, "connecting to the NFS service")) {
        return;
    }
    c->connected = true;
    c->port = sn_sockets_port(rpc_get_fd(c->rpc));
    c->tries = 0;
    c->guard.answer = SN_NFS_ANSWER_PLAIN;
    for (unsigned i = 0; i < be->options.conns; i++) {
        if (!be->conns[i].connected) {
            return;
        }
    }
    sn_nfs_set_state(be, SN_NFS_LOOKING_UP);
    sn_nfs_arm_step(be);
    sn_nfs_lookup_start(be);
}

void sn_nfs_connect(SnBackend *be)
{
    sn_nfs_conn_close(&be->mount);
    sn_nfs_set_state(be, SN_NFS_CONNECTING);
    sn_nfs_arm_step(be);
    for (unsigned i = 0; i < be->options.conns; i++) {
        sn_nfs_conn_open(&be->conns[i], NFS_PROGRAM, be->options.port,
                         connected);
    }
}

/*
 * A volume whose file is known keeps its handle: what has the file's name now
 * may be another one, even with the number of the old one.
 */
void sn_nfs_session_start(SnBackend *be)
{
    if (be->options.handle.len) {
        be->handle = be->options.handle;
    }
    if (be->known || be->options.handle.len) {
        sn_nfs_connect(be);
        return;
    }
    sn_nfs_set_state(be, SN_NFS_MOUNTING);
    sn_nfs_arm_step(be);
    sn_nfs_mount_start(be);
}

/* One turn of the library. False: nothing more can be done now. */
static bool turn(SnNfsConn *c)
{
    short ready;

    if (!c->rpc || !alive(c->be)) {
        return false;
    }
    ready = sn_sockets_poll(rpc_get_fd(c->rpc), rpc_which_events(c->rpc));
    if (ready & POLLIN) {
        ready &= POLLIN | POLLOUT;      /* what came before the end counts */
    }
    if (!ready) {
        return false;
    }
    /* Behind the port mapper it makes another socket. */
    sn_sockets_set_check(c->be->sockets, sn_nfs_guard, c);
    sn_sockets_set_port(c->be->sockets, port_to_try(c));
    if (rpc_service(c->rpc, ready) < 0) {
        sn_nfs_call_failed(c, "the connection is over");
    }
    return true;
}

void sn_nfs_flush(SnBackend *be)
{
    SnSockets *before = sn_nfs_enter(be);

    for (unsigned i = 0; i < be->options.conns && alive(be); i++) {
        SnNfsConn *c = &be->conns[i];

        /* Only sends: nothing is to be heard from the server in here. */
        if (c->connected && rpc_which_events(c->rpc) & POLLOUT &&
            sn_sockets_poll(rpc_get_fd(c->rpc), POLLOUT) == POLLOUT &&
            rpc_service(c->rpc, POLLOUT) < 0) {
            sn_nfs_call_failed(c, "sending");
        }
    }
    sn_nfs_leave(be, before);
}

static bool service_all(SnBackend *be)
{
    bool more = turn(&be->mount);

    for (unsigned i = 0; i < be->options.conns; i++) {
        more |= turn(&be->conns[i]);
    }
    return more;
}

static void service(SnBackend *be)
{
    SnSockets *before = sn_nfs_enter(be);
    unsigned turns = 0;

    while (service_all(be)) {
        if (++turns == MAX_TURNS) {
            be->loop->bh_schedule(be->service_bh);
            break;
        }
    }
    sn_nfs_leave(be, before);
}

static void sockets_ready(void *opaque)
{
    SnBackend *be = opaque;
    SnVolume *vol = be->vol;

    sn_backend_batch_begin(vol);
    service(be);
    sn_backend_batch_end(vol);
}

/* A deferred step, or a burst was too long for one go. */
static void go_on(void *opaque)
{
    SnBackend *be = opaque;
    void (*next)(SnBackend *) = be->next;

    be->next = NULL;
    if (next && alive(be)) {
        next(be);
    }
    sockets_ready(be);
}

void sn_nfs_session_init(SnBackend *be, SnNet *net)
{
    SnLoop *loop = be->loop;

    be->sockets = sn_sockets_new(net, loop, sockets_ready, be);
    be->step_timer = loop->timer_new(loop, step_is_over, be);
    be->alive_timer = loop->timer_new(loop, keep_alive, be);
    be->service_bh = loop->bh_new(loop, go_on, be);
    be->fail_bh = loop->bh_new(loop, tell_failure, be);
    be->next_xid = g_random_int();
    be->mount.be = be;
    for (unsigned i = 0; i < SN_NFS_MAX_CONNS; i++) {
        be->conns[i].be = be;
    }
}

void sn_nfs_session_free(SnBackend *be)
{
    SnLoop *loop = be->loop;

    loop->timer_free(be->step_timer);
    loop->timer_free(be->alive_timer);
    loop->bh_free(be->service_bh);
    loop->bh_free(be->fail_bh);
    sn_sockets_free(be->sockets);
}
