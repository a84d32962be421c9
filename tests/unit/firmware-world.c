/*
 * Two firmwares on a wire.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "firmware-world.h"

/* ---- the wire ---- */

/* One frame under way. */
typedef struct Flight {
    int64_t due;
    uint64_t order;
    Node *to;
    SnOffload offload;
    size_t len;
    uint8_t data[];
} Flight;

static int flight_order(gconstpointer a, gconstpointer b, gpointer opaque)
{
    const Flight *x = a, *y = b;

    return x->due != y->due ? (x->due < y->due ? -1 : 1) :
           x->order < y->order ? -1 : x->order > y->order;
}

static void wire_arm(World *w)
{
    Flight *first = g_queue_peek_head(&w->flights);

    w->loop->timer_set(w->timer, first ? first->due : SN_TIMER_NEVER);
}

void wire_send(World *w, Node *to, const void *data, size_t len,
               const SnOffload *offload, int64_t delay)
{
    Flight *f = g_malloc(sizeof(*f) + len);
    Flight *last = g_queue_peek_tail(&w->flights);

    f->due = sn_loop_now(w->loop) + delay;
    f->order = w->order++;
    f->to = to;
    f->offload = offload ? *offload : (SnOffload){ 0 };
    f->len = len;
    memcpy(f->data, data, len);
    if (!last || flight_order(last, f, NULL) < 0) {
        g_queue_push_tail(&w->flights, f);
    } else {
        g_queue_insert_sorted(&w->flights, f, flight_order, NULL);
    }
    wire_arm(w);
}

bool inject(Node *to, const void *data, size_t len,
            const SnOffload *offload)
{
    /* In pieces, as the switch may deliver it. */
    size_t a = MIN(len, 3), b = MIN(len - a, 17);
    struct iovec iov[3] = {
        { (void *)data, a },
        { (uint8_t *)data + a, b },
        { (uint8_t *)data + a + b, len - a - b },
    };
    SnFrame frame = { iov, 3, len, offload ? *offload : (SnOffload){ 0 } };

    return sn_fw_input(to->fw, &frame);
}

static void wire_fired(void *opaque)
{
    World *w = opaque;
    Flight *f;

    while ((f = g_queue_peek_head(&w->flights)) &&
           f->due <= sn_loop_now(w->loop)) {
        g_queue_pop_head(&w->flights);
        if (f->to->fw) {
            inject(f->to, f->data, f->len, &f->offload);
        }
        g_free(f);
    }
    wire_arm(w);
}

static bool node_transmit(void *opaque, const SnFrame *frame)
{
    Node *n = opaque;
    World *w = n->w;
    g_autofree uint8_t *data = g_malloc(frame->len);
    size_t off = 0;
    Fate fate = { 1, 10000 };

    if (n->blocked) {
        return false;
    }
    for (unsigned i = 0; i < frame->iovcnt; i++) {
        memcpy(data + off, frame->iov[i].iov_base, frame->iov[i].iov_len);
        off += frame->iov[i].iov_len;
    }
    g_assert_cmpuint(off, ==, frame->len);
    g_assert_cmpuint(frame->len, <=, frame->offload.gso_type ? UINT16_MAX
                                                           : 9216 + 14);
    n->sent++;
    if (w->tap && w->tap(w, n, data, off, &frame->offload)) {
        return true;
    }
    if (w->fate) {
        fate = w->fate(w, n, data, off);
    }
    while (fate.copies-- > 0) {
        wire_send(w, n->peer, data, off, &frame->offload, fate.delay);
    }
    return true;
}

static void node_changed(void *opaque)
{
    ((Node *)opaque)->changes++;
}

static void node_ready(void *opaque)
{
    ((Node *)opaque)->ready++;
}

const uint8_t mac_c[6] = { 0x52, 0x54, 0, 1, 2, 3 };
const uint8_t mac_s[6] = { 0x52, 0x54, 0, 1, 2, 4 };
const uint8_t everyone[6] = { 255, 255, 255, 255, 255, 255 };

SnFirmwareConfig node_config(Node *n)
{
    World *w = n->w;
    bool client = n == &w->client;

    return (SnFirmwareConfig){
        .mac = client ? mac_c : mac_s,
        .id = client ? "client" : "server",
        .ip = client ? "192.0.2.1/24" : "192.0.2.2/24",
        .ip6 = "none",
        .loop = w->loop,
        .transmit = node_transmit,
        .addresses_changed = node_changed,
        .rx_ready = node_ready,
        .opaque = n,
    };
}

void node_start(Node *n, const SnFirmwareConfig *config)
{
    GError *err = NULL;

    n->fw = sn_fw_new(config, &err);
    g_assert_no_error(err);
    sn_fw_set_link(n->fw, true);
}

World *world_bare(uint32_t seed)
{
    World *w = g_new0(World, 1);

    w->loop = test_loop_new();
    w->timer = w->loop->timer_new(w->loop, wire_fired, w);
    g_queue_init(&w->flights);
    w->rand = g_rand_new_with_seed(seed);
    w->client = (Node){ .w = w, .peer = &w->server };
    w->server = (Node){ .w = w, .peer = &w->client };
    return w;
}

World *world_new_mtu(uint32_t seed, uint16_t mtu)
{
    World *w = world_bare(seed);
    SnFirmwareConfig c = node_config(&w->client), s = node_config(&w->server);

    c.mtu = s.mtu = mtu;
    node_start(&w->client, &c);
    node_start(&w->server, &s);
    return w;
}

World *world_new(uint32_t seed)
{
    return world_new_mtu(seed, 0);
}

void world_free(World *w)
{
    SnFirmwareStats stats;

    for (Node *n = &w->client; n; n = n == &w->client ? &w->server : NULL) {
        if (n->fw) {
            test_loop_run_bhs(w->loop);
            sn_fw_stats(n->fw, &stats);
            sn_fw_free(n->fw);
        }
    }
    g_queue_clear_full(&w->flights, g_free);
    w->loop->timer_free(w->timer);
    test_loop_free(w->loop);
    g_rand_free(w->rand);
    g_free(w);
    g_assert_cmpuint(sn_fw_lwip_asserts(), ==, 0);
}

Fate fate_lossy(World *w, Node *from, const uint8_t *frame, size_t len)
{
    Fate fate = { 1, 10000 + g_rand_int_range(w->rand, 0, 2000) };

    if (g_rand_double(w->rand) < w->loss) {
        fate.copies = 0;
    } else if (g_rand_double(w->rand) < w->loss) {
        fate.copies = 2;
    } else if (g_rand_double(w->rand) < w->loss) {
        fate.delay += g_rand_int_range(w->rand, 0, 2000000);
    }
    return fate;
}

/* ---- frames ---- */

/* The sum by the book, one word at a time. */
uint32_t slow_sum(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? p[i] : p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* TCP over IPv4 without options. */
bool view_tcp(TcpView *v, const uint8_t *f, size_t len)
{
    if (len < 54 || sn_get_be16(f + 12) != 0x0800 || f[23] != 6) {
        return false;
    }
    v->seq = sn_get_be32(f + 38);
    v->ack = sn_get_be32(f + 42);
    v->flags = f[47];
    v->head = 34 + (f[46] >> 4) * 4;
    v->payload = 14 + sn_get_be16(f + 16) - v->head;
    return true;
}

/* ---- frames by hand ---- */

/* Keeps the frames that the client sends; nothing reaches the server. */
static bool tap_keep(World *w, Node *from, const uint8_t *f, size_t len,
                     const SnOffload *offload)
{
    if (from == &w->client) {
        g_ptr_array_add(w->tap_opaque, g_bytes_new(f, len));
    }
    return true;
}

World *world_alone(const char *ip, const char *ip6)
{
    World *w = world_bare(1);
    SnFirmwareConfig c = node_config(&w->client);

    c.ip = ip;
    c.ip6 = ip6;
    w->tap = tap_keep;
    w->tap_opaque = g_ptr_array_new_with_free_func(
        (GDestroyNotify)g_bytes_unref);
    node_start(&w->client, &c);
    return w;
}

void world_alone_free(World *w)
{
    g_ptr_array_unref(w->tap_opaque);
    world_free(w);
}

/* The last frame that satisfies the conditions; its length in @len. */
const uint8_t *find_frame(World *w, unsigned ethertype, size_t at,
                          uint8_t value, size_t *len)
{
    GPtrArray *a = w->tap_opaque;

    for (int i = a->len - 1; i >= 0; i--) {
        const uint8_t *f = g_bytes_get_data(a->pdata[i], len);

        if (*len > at && sn_get_be16(f + 12) == ethertype && f[at] == value) {
            return f;
        }
    }
    return NULL;
}

void forget_frames(World *w)
{
    g_ptr_array_set_size(w->tap_opaque, 0);
}

void put_eth(uint8_t *f, const uint8_t *dst, unsigned type)
{
    memcpy(f, dst, 6);
    memcpy(f + 6, mac_s, 6);
    sn_put_be16(f + 12, type);
}

void put_ip4(uint8_t *ip, size_t len, uint8_t proto, uint32_t src,
             uint32_t dst)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    sn_put_be16(ip + 2, len);
    ip[8] = 64;
    ip[9] = proto;
    sn_put_be32(ip + 12, src);
    sn_put_be32(ip + 16, dst);
    sn_put_be16(ip + 10, ~slow_sum(ip, 20, 0));
}

uint32_t pseudo4(const uint8_t *ip, size_t len)
{
    return slow_sum(ip + 12, 8, ip[9] + len);
}

void arp_request(World *w)
{
    uint8_t f[42] = { 0 };

    put_eth(f, everyone, 0x0806);
    sn_put_be16(f + 14, 1);
    sn_put_be16(f + 16, 0x0800);
    sn_put_be16(f + 18, 0x0604);
    sn_put_be16(f + 20, 1);
    memcpy(f + 22, mac_s, 6);
    sn_put_be32(f + 28, IP_S);
    sn_put_be32(f + 38, IP_C);
    g_assert_true(inject(&w->client, f, sizeof(f), NULL));
    test_loop_run_bhs(w->loop);
}

/* ---- the target ---- */

void server_pump(Server *s)
{
    while (s->pcb && s->out_pos < s->out->len) {
        size_t n = MIN(s->out->len - s->out_pos, tcp_sndbuf(s->pcb));

        n = MIN(n, s->piece ? s->piece : 8192);
        if (n == 0 || tcp_write(s->pcb, s->out->data + s->out_pos, n,
                                TCP_WRITE_FLAG_COPY) != ERR_OK) {
            break;
        }
        s->out_pos += n;
        if (s->piece) {
            tcp_output(s->pcb);
        }
    }
    if (s->pcb && s->close_after && s->out_pos == s->out->len) {
        struct tcp_pcb *pcb = s->pcb;

        s->close_after = false;
        s->shut = true;
        tcp_shutdown(pcb, 0, 1);
    }
}

/* lwIP frees it in its own time. */
static void server_forget(Server *s)
{
    tcp_arg(s->pcb, NULL);
    tcp_recv(s->pcb, NULL);
    tcp_sent(s->pcb, NULL);
    tcp_err(s->pcb, NULL);
    s->pcb = NULL;
}

static err_t server_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p,
                         err_t err)
{
    Server *s = arg;

    if (!p) {
        s->fin = true;
        if (s->shut) {
            server_forget(s);
        }
        return ERR_OK;
    }
    for (struct pbuf *q = p; q; q = q->next) {
        g_byte_array_append(s->rx, q->payload, q->len);
        if (s->mode == SERVE_ECHO) {
            g_byte_array_append(s->out, q->payload, q->len);
        }
    }
    if (s->mode == SERVE_DEAF) {
        s->unread += p->tot_len;
    } else {
        tcp_recved(pcb, p->tot_len);
    }
    pbuf_free(p);
    server_pump(s);
    return ERR_OK;
}

static err_t server_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    server_pump(arg);
    return ERR_OK;
}

static void server_err(void *arg, err_t err)
{
    Server *s = arg;

    s->pcb = NULL;
    s->reset = err == ERR_RST;
}

static err_t server_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    Server *s = arg;

    g_assert_cmpint(err, ==, ERR_OK);
    if (s->pcb) {
        server_forget(s);       /* only the last connection is served */
    }
    s->pcb = pcb;
    pcb->sv = 4;
    if (s->piece) {
        pcb->mss = s->piece;
    }
    tcp_arg(pcb, s);
    tcp_recv(pcb, server_recv);
    tcp_sent(pcb, server_sent);
    tcp_err(pcb, server_err);
    tcp_nagle_disable(pcb);
    server_pump(s);
    return ERR_OK;
}

Server *server_new(Node *node, uint16_t port, ServeMode mode)
{
    Server *s = g_new0(Server, 1);

    s->node = node;
    s->mode = mode;
    s->rx = g_byte_array_new();
    s->out = g_byte_array_new();
    sn_fw_enter();
    s->listener = tcp_new_ip_type(IPADDR_TYPE_ANY);
    tcp_bind_netif(s->listener, &node->fw->netif);
    tcp_bind(s->listener, IP_ANY_TYPE, port);
    s->listener = tcp_listen(s->listener);
    g_assert_nonnull(s->listener);
    tcp_arg(s->listener, s);
    tcp_accept(s->listener, server_accept);
    sn_fw_leave();
    return s;
}

void server_free(Server *s)
{
    sn_fw_enter();
    tcp_close(s->listener);
    if (s->pcb) {
        struct tcp_pcb *pcb = s->pcb;

        server_forget(s);
        tcp_abort(pcb);
    }
    sn_fw_leave();
    g_byte_array_unref(s->rx);
    g_byte_array_unref(s->out);
    g_free(s);
}

/* ---- the user of a stream ---- */

void user_close(User *u)
{
    if (u->s) {
        u->in_call = true;
        sn_stream_close(u->s);
        u->in_call = false;
        u->s = NULL;
    }
}

void user_read(User *u)
{
    struct iovec iov[7];
    unsigned n;

    while (u->s && (n = sn_stream_peek(u->s, iov, G_N_ELEMENTS(iov)))) {
        size_t sum = 0;

        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpuint(iov[i].iov_len, >, 0);
            g_byte_array_append(u->rx, iov[i].iov_base, iov[i].iov_len);
            sum += iov[i].iov_len;
        }
        sn_stream_consume(u->s, sum);
    }
}

static void user_connected(void *opaque)
{
    User *u = opaque;

    g_assert_false(u->in_call || u->connected || u->closed || !u->s);
    u->connected = true;
    if (u->close_in == CLOSE_IN_CONNECTED) {
        user_close(u);
    }
}

static void user_readable(void *opaque)
{
    User *u = opaque;

    g_assert_false(u->in_call || u->closed || !u->connected || !u->s);
    u->readable++;
    if (u->greedy) {
        user_read(u);
    }
    if (u->close_in == CLOSE_IN_READABLE) {
        user_close(u);
    }
}

static void user_closed(void *opaque, int err)
{
    User *u = opaque;

    g_assert_false(u->in_call || u->closed || !u->s);
    u->closed = true;
    u->err = err;
    if (u->close_in == CLOSE_IN_CLOSED) {
        user_close(u);
    }
}

static const SnStreamEvents user_events = {
    user_connected, user_readable, user_closed,
};

User *user_new(Node *n, const char *host, uint16_t port)
{
    return user_new_flags(n, host, port, 0);
}

User *user_new_flags(Node *n, const char *host, uint16_t port, unsigned flags)
{
    User *u = g_new0(User, 1);

    u->rx = g_byte_array_new();
    u->greedy = true;
    u->in_call = true;
    u->s = sn_net_connect(sn_fw_net(n->fw), host, port, flags, &user_events,
                          u);
    u->in_call = false;
    return u;
}

void user_free(User *u)
{
    user_close(u);
    g_byte_array_unref(u->rx);
    g_free(u);
}

static void write_done(SnTx *tx)
{
    Write *wr = (Write *)tx;

    g_assert_false(wr->u->in_call || wr->done || wr->detached);
    g_assert_cmpuint(wr->position, >, wr->u->last_done);
    wr->u->last_done = wr->position;
    wr->done = true;
    wr->u->done++;
    /* It belongs to the caller again. */
    memset(wr->data, 0xdd, wr->len);
    if (wr->u->close_in == CLOSE_IN_DONE) {
        user_close(wr->u);
    }
}

/* Writes random bytes, appended to @sum too, cut into pieces at random. */
Write *user_write(World *w, User *u, size_t len, GByteArray *sum)
{
    Write *wr = g_malloc0(sizeof(*wr) + len);
    size_t off = 0;
    unsigned i;

    wr->u = u;
    wr->len = len;
    for (size_t k = 0; k < len; k++) {
        wr->data[k] = g_rand_int(w->rand);
    }
    for (i = 0; i < 3 && len - off > 1; i++) {
        size_t n = g_rand_int_range(w->rand, 0, len - off);

        wr->iov[i] = (struct iovec){ wr->data + off, n };
        off += n;
    }
    wr->iov[i++] = (struct iovec){ wr->data + off, len - off };
    wr->tx = (SnTx){ .iov = wr->iov, .iovcnt = i, .done = write_done };
    g_byte_array_append(sum, wr->data, len);
    wr->position = sum->len;
    u->in_call = true;
    sn_stream_write(u->s, &wr->tx);
    u->in_call = false;
    return wr;
}

void user_push(User *u)
{
    u->in_call = true;
    sn_stream_push(u->s);
    u->in_call = false;
}

void user_detach(User *u, Write *wr)
{
    u->in_call = true;
    sn_stream_tx_detach(u->s, &wr->tx);
    u->in_call = false;
    wr->detached = !wr->done;
    memset(wr->data, 0xee, wr->len);
    memset(&wr->iov, 0xee, sizeof(wr->iov));
    memset(&wr->tx, 0xee, sizeof(wr->tx));
}

bool is_connected(void *opaque)
{
    return ((User *)opaque)->connected;
}

bool is_closed(void *opaque)
{
    return ((User *)opaque)->closed;
}

bool has_amount(void *opaque)
{
    Amount *a = opaque;

    return a->array->len >= a->want;
}

void run_until(World *w, bool (*what)(void *), void *opaque, int64_t ns)
{
    g_assert_true(test_loop_run_until(w->loop, what, opaque, ns));
}

void assert_bytes(const GByteArray *got, const GByteArray *want)
{
    g_assert_cmpmem(got->data, got->len, want->data, want->len);
}

size_t random_size(World *w)
{
    static const int limits[] = { 2, 80, 2000, 9000, 70000, 300000 };
    int max = limits[g_rand_int_range(w->rand, 0, G_N_ELEMENTS(limits))];

    return g_rand_int_range(w->rand, 1, max);
}
