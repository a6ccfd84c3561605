/* node/cluster/link.c - The manager of all links: see link.h.
 *
 * Calls from outside only queue and note: they mark a peer dirty. The pump, which runs as the last
 * thing before the loop sleeps, does what has been noted: ends links, dials, seals and writes, with
 * everything that was queued meanwhile in one write. So no callback ever comes out of a call, and a
 * hundred messages to one node cost one system call.
 *
 *     link_mux    what goes to one peer, cut into frames     (pure)
 *     link_conn   one connection: handshake, records         (the only socket)
 *     link_peer   which connections there should be
 *     link_serve  what frames and new connections mean
 *     link_enroll joining and renewing
 */
#include "node/cluster/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "node/cluster/link_links.h"

#define LISTEN_BACKLOG  128
#define ECHO_FRAMES_MAX 64 /* that this node sends itself before others get a turn */

/* --- The pump --- */

static void shut_down(struct links *l);

static void on_wakeful(uv_idle_t *idle)
{
    (void)idle; /* that it is active is all: the loop polls without waiting */
}

void links_wake(struct links *l)
{
    if (!uv_is_closing((const uv_handle_t *)&l->wakeful))
        (void)uv_idle_start(&l->wakeful, on_wakeful); /* fails only without a callback */
}

void links_mark_dirty(struct links *l, struct peer *p)
{
    if (!list_is_linked(&p->dirty))
        list_push_back(&l->dirty, &p->dirty);
    links_wake(l);
}

/* Frames of this node to itself. What breaks a rule ends all its streams, as it would between
 * nodes. */
static int echo_frame(struct links *l, struct link_mux *from, struct link_mux *to)
{
    uint8_t *bytes = l->shared.scratch->out;
    size_t len = link_mux_next(from, bytes);
    struct frame f;
    int rc;

    if (len == 0)
        return 0;
    rc = frame_decode(slice_of(bytes, len), &f);
    CHECK(rc == 0);
    rc = link_mux_receive(to, &f);
    return rc < 0 ? rc : 1;
}

static void attach_echo(struct links *l)
{
    link_mux_attach(&l->self->mux, true);
    link_mux_attach(&l->echo, false);
}

static void pump_self(struct links *l)
{
    int there = 1, back = 1;

    for (size_t i = 0; i < ECHO_FRAMES_MAX && there + back > 0; i++) {
        there = echo_frame(l, &l->self->mux, &l->echo);
        back = there < 0 ? 0 : echo_frame(l, &l->echo, &l->self->mux);
        if (there < 0 || back < 0) {
            link_mux_abort(&l->self->mux, MIN(there, back));
            link_mux_abort(&l->echo, MIN(there, back));
            attach_echo(l);
        }
    }
    if (there + back > 0)
        links_mark_dirty(l, l->self);
}

/* May free `p`. */
static void pump_peer(struct links *l, struct peer *p)
{
    int reason = p->drop_reason;

    p->drop_reason = 0;
    if (p == l->self)
        pump_self(l);
    else if (reason < 0 && p->conn != NULL)
        peer_drop(p, reason);
    else if (p->is_forgotten)
        peer_free(p);
    else if (p->conn != NULL)
        conn_flush(p->conn);
    else if (p->want == LINK_WANTED || !link_mux_is_empty(&p->mux))
        peer_dial(p);
    else
        peer_release(p);
}

static void on_pump(uv_prepare_t *prepare)
{
    struct links *l = prepare->data;
    struct list due;

    if (l->is_closing) {
        shut_down(l);
        return;
    }
    enrollments_pump(l);
    list_init(&due); /* what becomes dirty meanwhile has its turn after the others' input */
    list_splice_back(&due, &l->dirty);
    for (struct list *it = list_pop_front(&due); it != NULL; it = list_pop_front(&due))
        pump_peer(l, CONTAINER_OF(it, struct peer, dirty));
    if (list_is_empty(&l->dirty) && !l->has_answers)
        (void)uv_idle_stop(&l->wakeful); /* always 0 */
}

static void on_retry(uv_timer_t *timer)
{
    struct links *l = timer->data;

    peer_retry_due(l, uv_hrtime());
    links_arm_timer(l);
}

void links_arm_timer(struct links *l)
{
    mono_ns deadline = heap_deadline(&l->retries), now = uv_hrtime();
    uint64_t ms = deadline <= now ? 0 : (deadline - now + NS_PER_MS - 1) / NS_PER_MS;

    if (l->is_closing)
        return;
    if (deadline == MONO_NEVER)
        (void)uv_timer_stop(&l->timer); /* always 0 */
    else
        (void)uv_timer_start(&l->timer, on_retry, ms, 0); /* fails only without a callback */
}

/* --- Life and death --- */

static void on_own_handle_closed(uv_handle_t *handle)
{
    struct links *l = handle->data;

    l->open_handles--;
    links_check_closed(l);
}

void links_check_closed(struct links *l)
{
    if (!l->is_closing || l->open_handles > 0 || l->shared.conn_count > 0 || l->on_closed == NULL)
        return;
    void (*on_closed)(void *ctx) = l->on_closed;

    l->on_closed = NULL;
    on_closed(l->on_closed_ctx);
}

/* What the pump does once links_close() was called. */
static void shut_down(struct links *l)
{
    struct list *it;

    uv_close((uv_handle_t *)&l->pump, on_own_handle_closed);
    uv_close((uv_handle_t *)&l->wakeful, on_own_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&l->listener, on_own_handle_closed);
    while ((it = list_first(&l->handshakes)) != NULL) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        links_leave_handshakes(l, c);
        conn_close(c);
    }
    while ((it = list_first(&l->enrollments)) != NULL) {
        struct conn *c = CONTAINER_OF(it, struct enrollment, link)->conn;

        enrollment_gone(l, c);
        conn_end(c, ERR_CLOSED);
    }
    link_mux_abort(&l->echo, ERR_CLOSED);
    l->self = NULL; /* goes with the others */
    while (l->peers.count > 0) {
        struct peer *p = omap_value(omap_first(&l->peers));

        if (p->conn != NULL)
            peer_drop(p, ERR_CLOSED);
        peer_free(p);
    }
}

void links_close(struct links *l, void (*on_closed)(void *ctx), void *ctx)
{
    CHECK(!l->is_closing);
    l->is_closing = true;
    l->on_closed = on_closed;
    l->on_closed_ctx = ctx;
    links_wake(l);
}

void links_free(struct links *l)
{
    if (l == NULL)
        return;
    CHECK(l->open_handles == 0);
    if (l->self != NULL)
        peer_free(l->self); /* links_new() failed half-way */
    link_mux_deinit(&l->echo);
    omap_deinit(&l->peers);
    identity_deinit(&l->identity);
    free(l->shared.scratch);
    free(l);
}

/* None of these can fail but uv_tcp_init, which then leaves nothing behind. */
static int init_handles(struct links *l)
{
    int rc = uv_tcp_init(l->loop, &l->listener);

    if (rc < 0)
        return rc;
    (void)uv_prepare_init(l->loop, &l->pump);
    (void)uv_idle_init(l->loop, &l->wakeful);
    (void)uv_timer_init(l->loop, &l->timer);
    l->listener.data = l->pump.data = l->wakeful.data = l->timer.data = l;
    l->open_handles = 4;
    (void)uv_prepare_start(&l->pump, on_pump);
    return 0;
}

static int make_self(struct links *l)
{
    struct link_mux_events events = links_mux_events;
    int rc = peer_get(l, &l->identity.cert.node, &l->self);

    if (rc < 0)
        return rc;
    l->self->is_hinted = true;
    l->self->about.role = l->identity.cert.role;
    memcpy(l->self->about.static_key, l->identity.keys.static_key, CLUSTER_KEY_LEN);
    memcpy(l->self->about.identity_key, l->identity.keys.identity_key, CLUSTER_KEY_LEN);
    events.ctx = l->self;
    events.on_sendable = peer_on_sendable;
    link_mux_init(&l->echo, &events, &l->seed);
    return 0;
}

static void init_parts(struct links *l, const struct links_config *cfg)
{
    uint64_t seed;

    l->events = cfg->events;
    l->identity = *cfg->identity;
    l->link_count_max = cfg->link_count_max != 0 ? cfg->link_count_max : LINK_COUNT_DEFAULT;
    l->handshake_count_max =
        cfg->handshake_count_max != 0 ? cfg->handshake_count_max : HANDSHAKE_COUNT_DEFAULT;
    l->shared = (struct conn_shared){
        .loop = l->loop,
        .events = &links_conn_events,
        .ctx = l,
        .identity = &l->identity,
        .scratch = l->shared.scratch,
        .rekey_count = &l->counters.rekeys,
        .rekey_len = cfg->rekey_len != 0 ? cfg->rekey_len : REKEY_LEN,
    };
    list_init(&l->handshakes);
    list_init(&l->dirty);
    list_init(&l->enrollments);
    omap_init(&l->peers);
    heap_init(&l->retries);
    randombytes_buf(&seed, sizeof(seed));
    prng_init(&l->jitter, seed);
    randombytes_buf(&l->seed, sizeof(l->seed));
}

int links_new(struct uv_loop_s *loop, const struct links_config *cfg, struct links **out)
{
    struct links *l;
    int rc;

    if (!cfg->identity->is_member)
        return ERR_INVALID;
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return -ENOMEM;
    l->loop = loop;
    link_mux_init(&l->echo, &(struct link_mux_events){ 0 }, &l->seed);
    omap_init(&l->peers);
    l->shared.scratch = malloc(sizeof(*l->shared.scratch));
    if (l->shared.scratch == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    init_parts(l, cfg);
    rc = make_self(l);
    if (rc == 0)
        rc = init_handles(l);
out:
    if (rc < 0) {
        links_free(l);
        return rc;
    }
    attach_echo(l);
    *out = l;
    return 0;
}

/* --- Listening --- */

/* Whoever comes while all places are taken displaces the one that has been at it longest, so that
 * holding connections open shuts nobody out. */
static void make_room(struct links *l)
{
    struct list *oldest = list_first(&l->handshakes);
    struct conn *c;

    if (l->handshake_count < l->handshake_count_max || oldest == NULL)
        return;
    c = CONTAINER_OF(oldest, struct conn, link);
    links_leave_handshakes(l, c);
    links_refused(l, c->address_text, ERR_FULL, "handshake");
    conn_close(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct links *l = listener->data;
    struct conn *c;

    if (status < 0 || l->is_closing)
        return;
    make_room(l);
    if (conn_accept(&l->shared, listener, &c) < 0)
        return; /* it has gone again, or there is no memory: nothing is owed to it */
    list_push_back(&l->handshakes, &c->link);
    l->handshake_count++;
    l->counters.accepted++;
}

int links_listen(struct links *l, const char *address)
{
    struct sockaddr_storage a;
    int len = sizeof(a);
    int rc = address_parse(address, &a);

    if (rc == 0)
        rc = uv_tcp_bind(&l->listener, (const struct sockaddr *)&a, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&l->listener, LISTEN_BACKLOG, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&l->listener, (struct sockaddr *)&a, &len);
    if (rc < 0)
        return rc;
    address_format((const struct sockaddr *)&a, l->address);
    return 0;
}

const char *links_address(const struct links *l)
{
    return l->address;
}

/* --- Identity --- */

int links_set_identity(struct links *l, const struct identity *identity)
{
    if (!identity->is_member || !id_equal(&identity->cert.node, &l->identity.cert.node) ||
        memcmp(identity->keys.static_key, l->identity.keys.static_key, CLUSTER_KEY_LEN) != 0)
        return ERR_INVALID;
    l->identity = *identity;
    l->self->about.role = identity->cert.role;
    for (const struct omap_node *n = omap_first(&l->peers); n != NULL; n = omap_next(n)) {
        struct peer *p = omap_value(n);

        if (p->conn == NULL)
            continue;
        p->is_cert_due = true;
        if (!trust_has_root(&identity->trust, p->conn->cert.issuer))
            p->drop_reason = ERR_UNAUTHENTICATED; /* it may come back with a newer certificate */
        links_mark_dirty(l, p);
    }
    return 0;
}

/* --- Peers --- */

static bool has_address(const struct peer *p, const char *address)
{
    for (size_t i = 0; i < p->address_count; i++) {
        if (strcmp(p->addresses[i], address) == 0)
            return true;
    }
    return false;
}

/* Checks and brings into the one form in which addresses are compared. */
static int normalise(const char *address, char out[LINK_ADDRESS_LEN])
{
    struct sockaddr_storage a;
    int rc = address_parse(address, &a);

    if (rc == 0)
        address_format((const struct sockaddr *)&a, out);
    return rc;
}

int link_set_peer(struct links *l, const struct id *node, const struct link_peer_hint *hint)
{
    char addresses[LINK_ADDRESSES_MAX][LINK_ADDRESS_LEN];
    struct peer *p;
    int rc;

    if (hint->address_count > LINK_ADDRESSES_MAX)
        return ERR_FULL;
    for (size_t i = 0; i < hint->address_count; i++) {
        rc = normalise(hint->addresses[i], addresses[i]);
        if (rc < 0)
            return rc;
    }
    rc = peer_get(l, node, &p);
    if (rc < 0 || p == l->self)
        return rc;
    p->is_hinted = true;
    p->is_forgotten = false;
    p->want = hint->want;
    for (size_t i = 0; i < hint->address_count; i++) {
        if (!has_address(p, addresses[i]))
            heap_remove(&l->retries, &p->retry); /* news: no need to sit out the pause */
    }
    if (hint->address_count > 0) {
        memcpy(p->addresses, addresses, hint->address_count * sizeof(addresses[0]));
        p->address_count = hint->address_count;
        p->next_address = 0;
    }
    if (p->want == LINK_WANTED && !heap_node_is_set(&p->retry))
        links_mark_dirty(l, p);
    return 0;
}

void link_learn(struct links *l, const struct id *node, const char *address)
{
    char text[LINK_ADDRESS_LEN];
    struct peer *p;

    if (normalise(address, text) < 0 || peer_get(l, node, &p) < 0 || p == l->self)
        return;
    p->is_hinted = true;
    if (has_address(p, text))
        return;
    memmove(p->addresses[1], p->addresses[0], (LINK_ADDRESSES_MAX - 1) * sizeof(p->addresses[0]));
    memcpy(p->addresses[0], text, LINK_ADDRESS_LEN);
    p->address_count = MIN(p->address_count + 1, LINK_ADDRESSES_MAX);
    p->next_address = 0;
    heap_remove(&l->retries, &p->retry); /* news, as above */
    links_mark_dirty(l, p);
}

void link_forget(struct links *l, const struct id *node)
{
    struct peer *p = peer_find(l, node);

    if (p == NULL || p == l->self)
        return;
    p->is_forgotten = true;
    p->is_hinted = false;
    p->want = LINK_ON_DEMAND;
    p->address_count = 0;
    p->drop_reason = ERR_REMOVED;
    links_mark_dirty(l, p);
}

void link_drop(struct links *l, const struct id *node, int reason)
{
    struct peer *p = peer_find(l, node);

    if (p == NULL || p->conn == NULL)
        return;
    p->drop_reason = reason < 0 ? reason : ERR_CLOSED;
    links_mark_dirty(l, p);
}

bool link_is_up(const struct links *l, const struct id *node)
{
    const struct peer *p = peer_find(l, node);

    return p != NULL && (p->conn != NULL || p == l->self);
}

static struct link_info info_of(const struct peer *p)
{
    const struct conn *c = p->conn;

    return (struct link_info){ .peer = p->about,
                               .rtt = c == NULL ? 0 : c->rtt,
                               .since = p->since,
                               .bytes_in = c == NULL ? 0 : c->bytes_in,
                               .bytes_out = c == NULL ? 0 : c->bytes_out,
                               .queued = link_mux_queued(&p->mux),
                               .streams = link_mux_streams(&p->mux) };
}

int link_get_info(const struct links *l, const struct id *node, struct link_info *out)
{
    const struct peer *p = peer_find(l, node);

    if (p == NULL || !link_is_up(l, node))
        return ERR_UNAVAILABLE;
    *out = info_of(p);
    return 0;
}

void links_each(const struct links *l, void (*each)(void *ctx, const struct link_info *info),
                void *ctx)
{
    for (const struct omap_node *n = omap_first(&l->peers); n != NULL; n = omap_next(n)) {
        const struct peer *p = omap_value(n);
        struct link_info info = info_of(p);

        if (p->conn != NULL)
            each(ctx, &info);
    }
}

/* --- Sending --- */

static int find_sendable(struct links *l, const struct id *to, struct peer **out)
{
    struct peer *p = peer_find(l, to);
    int rc = p == NULL ? ERR_UNAVAILABLE : peer_may_send(p);

    if (rc == 0) {
        p->last_used = uv_hrtime();
        *out = p;
    }
    return rc;
}

int link_send(struct links *l, const struct id *to, enum link_channel channel, struct slice message)
{
    struct peer *p;
    int rc = find_sendable(l, to, &p);

    return rc < 0 ? rc : link_mux_send(&p->mux, channel, message);
}

int link_stream_open(struct links *l, const struct id *to, enum link_channel channel,
                     struct slice header, const struct link_stream_callbacks *callbacks, void *ctx,
                     struct link_stream **out)
{
    struct peer *p;
    int rc = find_sendable(l, to, &p);

    return rc < 0 ? rc : link_mux_open(&p->mux, channel, header, callbacks, ctx, out);
}

void links_handle(struct links *l, enum link_channel channel, const struct link_handler *handler)
{
    l->handlers[channel] = *handler;
}

const struct links_counters *links_counters(const struct links *l)
{
    return &l->counters;
}
