/* chaos/sim/cluster_links.c - node/cluster/link.h over simulated connections.
 *
 * A connection is two ends and a queue of messages each way, in order as TCP keeps them: loss is
 * delay, a cut delays until it heals or an end has heard nothing for three seconds. The two ends
 * learn of its end apart from each other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_links.h"

#define RETRANSMIT_NS (200 * NS_PER_MS)
#define CONNECT_NS    (2 * NS_PER_S)
#define DEAD_AFTER_NS (3 * NS_PER_S)
#define WATCH_NS      (500 * NS_PER_MS)
#define BACKOFF_MIN   (100 * NS_PER_MS)
#define BACKOFF_MAX   (2 * NS_PER_S)

static struct peer_link *peer_of(struct links *l, const struct id *node)
{
    struct computer *c = computer_by_id(l->world, node);

    return c == NULL ? NULL : &l->peers[c->index];
}

static struct links *links_at(struct world *w, unsigned computer)
{
    struct daemon *d = w->computers[computer].daemon;

    return d == NULL ? NULL : d->links;
}

static mono_ns delay_of(struct world *w)
{
    mono_ns delay = w->net.delay_min +
                    prng_below(&w->links_prng, 2 * (w->net.delay_mean - w->net.delay_min) + 1);

    return prng_chance(&w->links_prng, w->net.loss) ? delay + RETRANSMIT_NS : delay;
}

static struct link_peer about(const struct computer *c)
{
    struct link_peer p = { .node = c->id, .role = ROLE_MANAGER };

    memcpy(p.identity_key, c->public_key, sizeof(p.identity_key));
    (void)snprintf(p.address, sizeof(p.address), "10.0.0.%u:2377", c->index + 1);
    return p;
}

static struct computer *computer_at(struct world *w, unsigned index)
{
    return &w->computers[index];
}

/* --- Queues */

static void free_messages(struct list *head)
{
    struct list *link;

    while ((link = list_pop_front(head)) != NULL)
        free(CONTAINER_OF(link, struct link_message, link));
}

struct link_message *link_message_new(enum link_message_kind kind, enum link_channel channel,
                                      uint64_t stream, int status, struct slice bytes)
{
    struct link_message *m = malloc(sizeof(*m) + bytes.len);

    CHECK(m != NULL);
    *m = (struct link_message){
        .kind = kind, .channel = channel, .stream = stream, .status = status, .len = bytes.len
    };
    list_init(&m->link);
    if (bytes.len > 0)
        memcpy(m->bytes, bytes.ptr, bytes.len);
    return m;
}

static void on_pump(void *ctx, uint64_t side);

static void pump_at(struct conn *c, unsigned side, mono_ns at)
{
    if (c->ends[side].pumping)
        return;
    c->ends[side].pumping = true;
    sim_clock_at(&c->world->clock, at, on_pump, c, side);
}

static void transmit(struct conn *c, unsigned side, struct link_message *m)
{
    mono_ns at = c->world->clock.now + delay_of(c->world);

    c->ends[side].last_at = m->at = MAX(at, c->ends[side].last_at + 1);
    list_push_back(&c->ends[side].out, &m->link);
    pump_at(c, side, CONTAINER_OF(list_first(&c->ends[side].out), struct link_message, link)->at);
}

/* One message arrives at the other end, if that end still listens. */
static void arrive(struct conn *c, unsigned side, struct link_message *m)
{
    struct links *l = c->ends[!side].links;
    struct sim_loop *before;

    if (l == NULL || !c->ends[!side].up)
        return;
    sim_trace_number(&c->world->trace, (uint64_t)l->daemon->computer->index << 32 | m->len);
    before = loop_enter(&l->daemon->loop);
    links_take(l, c->ends[side].computer, c, m);
    loop_leave(before);
    loop_poke(&l->daemon->loop);
}

static void on_pump(void *ctx, uint64_t arg)
{
    struct conn *c = ctx;
    unsigned side = (unsigned)arg;
    struct end *e = &c->ends[side], *to = &c->ends[!side];
    struct world *w = c->world;
    struct link_message *m;

    e->pumping = false;
    if (list_is_empty(&e->out) || w->over)
        return;
    if (w->net.cut[e->computer][to->computer]) {
        pump_at(c, side, w->clock.now + RETRANSMIT_NS);
        return;
    }
    if (to->links != NULL && to->links->daemon->loop.paused_until > w->clock.now) {
        pump_at(c, side, to->links->daemon->loop.paused_until);
        return;
    }
    m = CONTAINER_OF(list_pop_front(&e->out), struct link_message, link);
    arrive(c, side, m);
    free(m);
    if (!list_is_empty(&e->out)) {
        m = CONTAINER_OF(list_first(&e->out), struct link_message, link);
        pump_at(c, side, MAX(m->at, w->clock.now));
    }
}

/* --- Up and down */

static void on_watch(void *ctx, uint64_t arg);
static void on_redial(void *ctx, uint64_t arg);

static void end_streams(struct links *l, struct peer_link *p, int reason)
{
    struct list gone;

    list_init(&gone);
    LIST_EACH_SAFE(link, &l->streams)
    {
        struct link_stream *s = CONTAINER_OF(link, struct link_stream, link);

        if (p != NULL && s->peer != p)
            continue;
        list_remove(link);
        list_push_back(&gone, link);
    }
    for (struct list *link; (link = list_pop_front(&gone)) != NULL;) {
        struct link_stream *s = CONTAINER_OF(link, struct link_stream, link);

        link_stream_end(s, reason);
    }
}

static void redial_later(struct links *l, unsigned peer, mono_ns pause)
{
    struct peer_link *p = &l->peers[peer];

    p->retry_at = l->world->clock.now + pause / 2 + prng_below(&l->world->links_prng, pause);
    loop_after(&l->daemon->loop, p->retry_at - l->world->clock.now, on_redial, p, 0);
}

/* One end is over; the program there is told. */
static void end_down(struct conn *c, unsigned side, int reason)
{
    struct end *e = &c->ends[side];
    unsigned other = c->ends[!side].computer;
    struct links *l = e->links;
    struct peer_link *p;
    struct sim_loop *before;
    struct link_peer who;

    if (!e->up)
        return;
    e->up = false;
    e->links = NULL;
    free_messages(&e->out);
    if (l == NULL)
        return;
    p = &l->peers[other];
    if (p->conn != c)
        return;
    p->conn = NULL;
    who = about(computer_at(c->world, other));
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: link to %u is down: %s", e->computer,
                   other, err_text(reason));
    before = loop_enter(&l->daemon->loop);
    end_streams(l, p, reason);
    if (l->events.on_peer_down != NULL)
        l->events.on_peer_down(l->events.ctx, &who, reason);
    loop_leave(before);
    if (p->want == LINK_WANTED && p->conn == NULL)
        redial_later(l, other, BACKOFF_MIN);
    loop_poke(&l->daemon->loop);
}

struct goodbye {
    struct conn *conn;
    unsigned side;
    int reason;
};

static void on_goodbye(void *ctx, uint64_t arg)
{
    struct goodbye *g = ctx;
    struct end *to = &g->conn->ends[g->side];

    (void)arg;
    if (!g->conn->world->over &&
        !g->conn->world->net.cut[g->conn->ends[!g->side].computer][to->computer])
        end_down(g->conn, g->side, g->reason);
    free(g);
}

/* The system at `side` tells the other end, if it can be reached. */
static void say_goodbye(struct conn *c, unsigned side, int reason)
{
    struct goodbye *g = malloc(sizeof(*g));

    CHECK(g != NULL);
    *g = (struct goodbye){ c, !side, reason };
    sim_clock_after(&c->world->clock, delay_of(c->world), on_goodbye, g, 0);
}

static void close_from(struct conn *c, unsigned side, int reason)
{
    if (!c->ends[side].up)
        return;
    end_down(c, side, reason);
    say_goodbye(c, side, ERR_CLOSED);
}

static unsigned side_of(const struct conn *c, unsigned computer)
{
    return c->ends[0].computer == computer ? 0 : 1;
}

static void set_up(struct conn *c, unsigned side, struct links *l)
{
    struct end *e = &c->ends[side];
    unsigned other = c->ends[!side].computer;
    struct peer_link *p = &l->peers[other];
    struct link_peer who = about(computer_at(c->world, other));
    struct sim_loop *before;

    if (p->conn != NULL)
        close_from(p->conn, side_of(p->conn, e->computer), ERR_STALE);
    e->links = l;
    e->up = true;
    e->heard = c->world->clock.now;
    p->conn = c;
    p->failures = 0;
    p->retry_at = 0;
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: link to %u is up", e->computer,
                   other);
    for (struct list *link; (link = list_pop_front(&p->waiting)) != NULL;)
        transmit(c, side, CONTAINER_OF(link, struct link_message, link));
    before = loop_enter(&l->daemon->loop);
    if (l->events.on_peer_up != NULL)
        l->events.on_peer_up(l->events.ctx, &who);
    loop_leave(before);
    loop_poke(&l->daemon->loop);
}

/* Each end asks itself now and then when it last heard something. */
static void on_watch(void *ctx, uint64_t arg)
{
    struct conn *c = ctx;
    struct world *w = c->world;

    (void)arg;
    if (w->over)
        return;
    for (unsigned side = 0; side < 2; side++) {
        struct end *e = &c->ends[side], *from = &c->ends[!side];
        bool stands_still = e->links != NULL && e->links->daemon->loop.paused_until > w->clock.now;
        bool speaks = from->up && from->links != NULL &&
                      from->links->daemon->loop.paused_until <= w->clock.now &&
                      !w->net.cut[from->computer][e->computer];

        if (stands_still || speaks)
            e->heard = w->clock.now;
        else if (e->up && w->clock.now - e->heard > DEAD_AFTER_NS)
            close_from(c, side, ERR_TIMEOUT);
    }
    if (c->ends[0].up || c->ends[1].up)
        sim_clock_after(&w->clock, WATCH_NS, on_watch, c, 0);
}

static struct conn *conn_new(struct world *w, unsigned dialler, unsigned acceptor)
{
    struct conn *c = calloc(1, sizeof(*c));

    CHECK(c != NULL);
    c->world = w;
    c->ends[0].computer = dialler;
    c->ends[1].computer = acceptor;
    list_init(&c->ends[0].out);
    list_init(&c->ends[1].out);
    list_push_back(&w->conns, &c->link);
    sim_clock_after(&w->clock, WATCH_NS, on_watch, c, 0);
    return c;
}

/* --- Dialling */

static mono_ns backoff(unsigned failures)
{
    return failures > 5 ? BACKOFF_MAX : MIN(BACKOFF_MIN << (failures - 1), BACKOFF_MAX);
}

static void dial_failed(struct links *l, unsigned peer)
{
    struct peer_link *p = &l->peers[peer];

    p->dialling = false;
    p->failures++;
    free_messages(&p->waiting);
    redial_later(l, peer, backoff(p->failures));
    end_streams(l, p, ERR_UNAVAILABLE);
}

static bool can_talk(const struct world *w, unsigned a, unsigned b)
{
    return !w->net.cut[a][b] && !w->net.cut[b][a];
}

static void on_dialled(void *ctx, uint64_t timed_out)
{
    struct peer_link *p = ctx;
    struct links *l = p->links, *other;
    struct world *w = l->world;
    unsigned from = l->daemon->computer->index, to = p->index;
    struct conn *c;

    if (!p->dialling)
        return;
    if (p->conn != NULL) { /* the other one was faster */
        p->dialling = false;
        return;
    }
    other = links_at(w, to);
    if (!can_talk(w, from, to) || !w->computers[to].powered ||
        (other != NULL && other->daemon->loop.paused_until > w->clock.now)) {
        if (timed_out)
            dial_failed(l, to);
        else
            loop_after(&l->daemon->loop, CONNECT_NS, on_dialled, p, 1);
        return;
    }
    if (other == NULL) {
        dial_failed(l, to); /* refused */
        return;
    }
    p->dialling = false;
    c = conn_new(w, from, to);
    set_up(c, 1, other);
    set_up(c, 0, l);
}

static void dial(struct peer_link *p)
{
    struct links *l = p->links;

    if (p->dialling || p->conn != NULL)
        return;
    p->dialling = true;
    loop_after(&l->daemon->loop, 3 * delay_of(l->world), on_dialled, p, 0);
}

static void on_redial(void *ctx, uint64_t arg)
{
    struct peer_link *p = ctx;

    (void)arg;
    if (p->want == LINK_WANTED || !list_is_empty(&p->waiting))
        dial(p);
}

/* --- What the program calls */

struct links *links_open(struct daemon *d, const struct links_events *events)
{
    struct links *l = calloc(1, sizeof(*l));

    CHECK(l != NULL);
    l->world = d->world;
    l->daemon = d;
    l->events = *events;
    list_init(&l->streams);
    list_init(&l->own);
    for (unsigned i = 0; i < COMPUTERS_MAX; i++) {
        l->peers[i] = (struct peer_link){ .links = l, .index = i };
        list_init(&l->peers[i].waiting);
    }
    return l;
}

void links_die(struct links *l)
{
    l->dead = true;
    end_streams(l, NULL, ERR_CLOSED);
    free_messages(&l->own);
    for (unsigned i = 0; i < COMPUTERS_MAX; i++)
        free_messages(&l->peers[i].waiting);
}

void links_drop(struct links *l)
{
    if (l == NULL)
        return;
    links_die(l);
    free(l);
}

void links_on_process_gone(struct computer *c, bool kernel_lives)
{
    LIST_EACH(link, &c->world->conns)
    {
        struct conn *conn = CONTAINER_OF(link, struct conn, link);

        for (unsigned side = 0; side < 2; side++) {
            struct end *e = &conn->ends[side];

            if (e->computer != c->index || !e->up)
                continue;
            e->up = false;
            e->links = NULL;
            free_messages(&e->out);
            if (kernel_lives)
                say_goodbye(conn, side, ERR_CLOSED);
        }
    }
}

void conns_deinit(struct world *w)
{
    struct list *link;

    while ((link = list_pop_front(&w->conns)) != NULL) {
        struct conn *c = CONTAINER_OF(link, struct conn, link);

        free_messages(&c->ends[0].out);
        free_messages(&c->ends[1].out);
        free(c);
    }
}

void links_handle(struct links *l, enum link_channel channel, const struct link_handler *handler)
{
    l->handlers[channel] = *handler;
}

bool link_is_up(const struct links *l, const struct id *node)
{
    const struct computer *c = computer_by_id(l->world, node);

    return c != NULL && !l->dead && (c == l->daemon->computer || l->peers[c->index].conn != NULL);
}

int link_set_peer(struct links *l, const struct id *node, const struct link_peer_hint *hint)
{
    struct peer_link *p = peer_of(l, node);

    if (p == NULL || p->index == l->daemon->computer->index)
        return 0;
    p->want = hint->want;
    if (p->want == LINK_WANTED && p->retry_at <= l->world->clock.now)
        dial(p);
    return 0;
}

static void on_drop(void *ctx, uint64_t reason)
{
    struct peer_link *p = ctx;

    if (p->conn != NULL)
        close_from(p->conn, side_of(p->conn, p->links->daemon->computer->index), -(int)reason);
}

void link_drop(struct links *l, const struct id *node, int reason)
{
    struct peer_link *p = peer_of(l, node);

    if (p != NULL)
        loop_after(&l->daemon->loop, 0, on_drop, p, (uint64_t)-reason);
}

static void on_own_message(void *ctx, uint64_t arg)
{
    struct links *l = ctx;
    struct link_message *m = CONTAINER_OF(list_pop_front(&l->own), struct link_message, link);

    (void)arg;
    links_take(l, l->daemon->computer->index, NULL, m);
    free(m);
}

int links_submit(struct links *l, unsigned to, struct link_message *m)
{
    struct peer_link *p = &l->peers[to];

    if (l->dead) {
        free(m);
        return ERR_UNAVAILABLE;
    }
    if (to == l->daemon->computer->index) {
        list_push_back(&l->own, &m->link);
        loop_after(&l->daemon->loop, 10 * NS_PER_US, on_own_message, l, 0);
        return 0;
    }
    if (p->conn != NULL) {
        transmit(p->conn, side_of(p->conn, l->daemon->computer->index), m);
        return 0;
    }
    if (!p->dialling && p->retry_at > l->world->clock.now) {
        free(m);
        return ERR_UNAVAILABLE;
    }
    list_push_back(&p->waiting, &m->link);
    dial(p);
    return 0;
}

int link_send(struct links *l, const struct id *to, enum link_channel channel, struct slice message)
{
    struct computer *c = computer_by_id(l->world, to);

    if (c == NULL)
        return ERR_UNAVAILABLE;
    if (channel == LINK_RAFT && !l->dead)
        check_raft_message(l->world, l->daemon->computer->index, c->index, message);
    return links_submit(l, c->index, link_message_new(LINK_MESSAGE, channel, 0, 0, message));
}
