/* The one entry: an event is handled, then everything that is due runs, then the next deadline is
 * the earliest of all parts.
 *
 * Stalls. The core lives in waking time, which is real time minus all the time that this node was
 * not running though it had asked to be called. When a call comes STALL_MIN later than asked,
 * waking time stays at the missed deadline less STALL_GRACE: what waits in the sockets is then read
 * before any timer of ours ends, and no member is accused of a silence that was our own. */
#include "gossip/gossip.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gossip/candidate.h"
#include "gossip/contact.h"
#include "gossip/dissemination.h"
#include "gossip/exchange.h"
#include "gossip/packet.h"
#include "gossip/probe.h"
#include "gossip/pull.h"
#include "gossip/state.h"
#include "gossip/suspicion.h"
#include "gossip/view.h"

#define STALL_MIN   (100 * NS_PER_MS)
#define STALL_GRACE (20 * NS_PER_MS)

static_assert(GOSSIP_PUBLIC_KEY_LEN == crypto_sign_PUBLICKEYBYTES, "Ed25519");
static_assert(GOSSIP_SECRET_KEY_LEN == crypto_sign_SECRETKEYBYTES, "Ed25519");

unsigned log10_ceil(size_t n)
{
    unsigned digits = 1;

    for (size_t limit = 10; n + 1 > limit && digits < 20; limit *= 10)
        digits++;
    return digits;
}

void health_add(struct gossip *g, int delta)
{
    int health = (int)g->health + delta;

    g->health = (unsigned)MIN(MAX(health, 0), GOSSIP_HEALTH_MAX);
}

/* --- configuration */

void gossip_config_init(struct gossip_config *cfg)
{
    *cfg = (struct gossip_config){
        .probe_interval = 400 * NS_PER_MS,
        .rtt_floor = 100 * NS_PER_MS,
        .rtt_ceiling = 400 * NS_PER_MS,
        .gossip_interval = 50 * NS_PER_MS,
        .gossip_fanout = 3,
        .suspicion_min = 1000 * NS_PER_MS,
        .suspicion_max_factor = 4,
        .link_hold = 2 * NS_PER_S,
        .contact_interval_max = 30 * NS_PER_S,
        .leave_time = 600 * NS_PER_MS,
        .packet_len_max = GOSSIP_PACKET_LEN_MAX,
        .member_count_max = GOSSIP_MEMBERS_MAX,
    };
}

static bool are_keys_valid(const struct gossip_key *keys, size_t count)
{
    if (keys == NULL || count == 0 || count > GOSSIP_KEYS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (keys[i].epoch == keys[j].epoch)
                return false;
        }
    }
    return true;
}

static bool is_addr_valid(const struct gossip_addr *a)
{
    return a->len == 4 + 2 || a->len == 16 + 2;
}

static bool are_times_valid(const struct gossip_config *c)
{
    const mono_ns day = 24 * 3600 * NS_PER_S;

    return c->probe_interval >= NS_PER_MS && c->probe_interval < day && c->rtt_floor >= NS_PER_MS &&
           c->rtt_ceiling >= c->rtt_floor && c->rtt_ceiling < day &&
           c->gossip_interval >= NS_PER_MS && c->gossip_interval < day &&
           c->suspicion_min >= NS_PER_MS && c->suspicion_min < day && c->link_hold < day &&
           c->contact_interval_max >= NS_PER_S && c->contact_interval_max < day &&
           c->leave_time < day;
}

static bool is_config_valid(const struct gossip_config *c)
{
    return !id_is_none(&c->id) && !id_is_none(&c->cluster) && is_addr_valid(&c->addr) &&
           c->meta.len <= GOSSIP_META_LEN_MAX && are_keys_valid(c->keys, c->key_count) &&
           c->boot_epoch > 0 && c->boot_epoch <= EPOCH_MAX && are_times_valid(c) &&
           c->gossip_fanout > 0 && c->gossip_fanout <= 8 && c->suspicion_max_factor > 0 &&
           c->suspicion_max_factor <= 100 && c->packet_len_max >= GOSSIP_PACKET_LEN_MIN &&
           c->packet_len_max <= GOSSIP_PACKET_LEN_MAX && c->member_count_max > 0 &&
           c->member_count_max <= UINT32_MAX / 4;
}

/* --- life */

static void set_keys(struct gossip *g, const struct gossip_key *keys, size_t count)
{
    sodium_memzero(g->sealer.keys, sizeof(g->sealer.keys));
    memcpy(g->sealer.keys, keys, count * sizeof(*keys));
    g->sealer.key_count = count;
}

static int add_self(struct gossip *g)
{
    const uint8_t *public_key =
        g->secret_key + GOSSIP_SECRET_KEY_LEN - GOSSIP_PUBLIC_KEY_LEN; /* libsodium's layout */
    struct blob *trust = member_trust(g->pool, &g->cfg.id, public_key);
    int rc;

    if (trust == NULL)
        return -ENOMEM;
    rc = member_add(&g->members, node_ref_of(&g->cfg.id), trust, &g->self);
    blob_unref(g->pool, trust);
    return rc;
}

static void init_parts(struct gossip *g, const struct gossip_config *cfg)
{
    memcpy(g->secret_key, cfg->secret_key, sizeof(g->secret_key));
    g->cfg = *cfg;
    sodium_memzero(g->cfg.secret_key, sizeof(g->cfg.secret_key));
    sodium_memzero(g->cfg.keys, sizeof(g->cfg.keys));
    g->sealer.cluster = cfg->cluster;
    g->sealer.salt = cfg->salt;
    set_keys(g, cfg->keys, cfg->key_count);
    prng_init(&g->prng, cfg->seed);
    members_init(&g->members, cfg->member_count_max);
    heap_init(&g->suspicions);
    queue_init(&g->queue);
    output_init(&g->out);
    g->probes.next = g->pull_next = g->asked = MONO_NEVER;
    g->exchanges.last_stream = 0;
    g->pool = cfg->pool;
}

int gossip_new(const struct gossip_config *cfg, struct gossip **out)
{
    struct gossip *g;
    int rc = 0;

    if (!is_config_valid(cfg))
        return ERR_INVALID;
    g = calloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    init_parts(g, cfg);
    if (g->pool == NULL) {
        rc = gossip_pool_new(&g->pool);
        g->owns_pool = rc == 0;
    }
    if (rc == 0)
        rc = add_self(g);
    if (rc == 0) {
        view_say_self(g, (struct gossip_incarnation){ .epoch = cfg->boot_epoch }, &cfg->addr,
                      cfg->meta);
        rc = g->oom ? -ENOMEM : 0;
    }
    g->cfg.meta = (struct slice){ 0 };
    if (rc < 0) {
        gossip_free(g);
        return rc;
    }
    *out = g;
    return 0;
}

void gossip_free(struct gossip *g)
{
    struct heap_node *n;

    if (g == NULL)
        return;
    while ((n = heap_min(&g->suspicions)) != NULL)
        suspicion_drop(g, CONTAINER_OF(n, struct suspicion, timer)->subject);
    if (g->pool != NULL) {
        candidates_deinit(g);
        output_deinit(&g->out, g->pool);
        members_deinit(&g->members, g->pool);
    }
    exchanges_deinit(g);
    if (g->owns_pool)
        gossip_pool_free(g->pool);
    sodium_memzero(g->secret_key, sizeof(g->secret_key));
    sodium_memzero(&g->sealer, sizeof(g->sealer));
    free(g);
}

/* --- events from the host */

static int on_start(struct gossip *g)
{
    if (g->started)
        return ERR_INVALID;
    g->started = true;
    /* A random part of the interval, so that nodes started together do not probe together. */
    g->probes.next = mono_after(g->now, prng_below(&g->prng, g->cfg.probe_interval));
    return 0;
}

static int on_set_meta(struct gossip *g, struct slice meta)
{
    struct record r = record_of(g->self->record);

    if (meta.len > GOSSIP_META_LEN_MAX)
        return ERR_INVALID;
    if (!slice_equal(meta, blob_slice(g->self->meta)))
        view_say_self(g, view_next_incarnation(g), &r.addr, meta);
    return 0;
}

static int on_set_addr(struct gossip *g, const struct gossip_addr *addr)
{
    struct record r = record_of(g->self->record);

    if (!is_addr_valid(addr))
        return ERR_INVALID;
    if (!gossip_addr_equal(addr, &r.addr))
        view_say_self(g, view_next_incarnation(g), addr, blob_slice(g->self->meta));
    return 0;
}

static int on_set_contacts(struct gossip *g, const struct gossip_event *e)
{
    if (e->contact_count > GOSSIP_CONTACTS_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < e->contact_count; i++) {
        if (!is_addr_valid(&e->contacts[i].addr))
            return ERR_INVALID;
    }
    contact_set(g, e->contacts, e->contact_count);
    return 0;
}

static int on_forget(struct gossip *g, const struct id *id)
{
    struct member *m = member_find(&g->members, node_ref_of(id));

    if (id_is_none(id) || id_equal(id, &g->cfg.id))
        return ERR_INVALID;
    if (m != NULL)
        view_forget(g, m);
    candidate_refuse(g, id);
    return 0;
}

static void on_link(struct gossip *g, const struct gossip_event *e)
{
    struct member *m = member_find(&g->members, node_ref_of(&e->id));

    if (m == NULL || m == g->self || m->record == NULL)
        return;
    if (e->kind == GOSSIP_LINK_ALIVE)
        probe_on_link_alive(g, m);
    else
        probe_on_link_lost(g, m);
}

static void on_leave(struct gossip *g)
{
    struct record r = record_of(g->self->record);

    if (g->leaving)
        return;
    g->leaving = true;
    g->leave_done = mono_after(g->now, g->cfg.leave_time);
    view_say_self(g, view_next_incarnation(g), &r.addr, blob_slice(g->self->meta));
    g->queue.next = g->now; /* at once */
}

static int handle(struct gossip *g, const struct gossip_event *e)
{
    switch (e->kind) {
    case GOSSIP_START:
        return on_start(g);
    case GOSSIP_TIMEOUT:
        return 0;
    case GOSSIP_PACKET:
        packet_receive(g, &e->addr, e->bytes);
        return 0;
    case GOSSIP_SEND_FAILED:
        probe_on_send_failed(g, &e->addr);
        return 0;
    case GOSSIP_SET_META:
        return on_set_meta(g, e->bytes);
    case GOSSIP_SET_ADDR:
        return on_set_addr(g, &e->addr);
    case GOSSIP_SET_KEYS:
        if (!are_keys_valid(e->keys, e->key_count))
            return ERR_INVALID;
        set_keys(g, e->keys, e->key_count);
        return 0;
    case GOSSIP_SET_CONTACTS:
        return on_set_contacts(g, e);
    case GOSSIP_TRUST:
        if (id_is_none(&e->id) || e->public_key == NULL)
            return ERR_INVALID;
        return view_trust(g, &e->id, e->public_key);
    case GOSSIP_FORGET:
        return on_forget(g, &e->id);
    case GOSSIP_LINK_ALIVE:
    case GOSSIP_LINK_LOST:
        on_link(g, e);
        return 0;
    case GOSSIP_LEAVE:
        on_leave(g);
        return 0;
    case GOSSIP_STREAM_INBOUND:
        return exchange_on_inbound(g, e->stream);
    case GOSSIP_STREAM_DATA:
        exchange_on_data(g, e->stream, e->bytes);
        return 0;
    case GOSSIP_STREAM_WRITABLE:
        exchange_on_writable(g, e->stream);
        return 0;
    case GOSSIP_STREAM_CLOSED:
        exchange_on_closed(g, e->stream);
        return 0;
    }
    return ERR_INVALID;
}

/* --- time */

static void advance_clock(struct gossip *g, mono_ns real)
{
    mono_ns now = real - g->stalled;

    if (g->asked != MONO_NEVER && now > mono_after(g->asked, STALL_MIN)) {
        mono_ns awake = MAX(g->now, g->asked > STALL_GRACE ? g->asked - STALL_GRACE : 0);

        g->stalled += now - awake;
        now = awake;
        g->stats.stalls++;
        health_add(g, 1);
    }
    g->now = MAX(g->now, now); /* a host whose clock steps back only loses time */
}

static void run_due(struct gossip *g)
{
    probe_run(g);
    suspicion_run(g);
    contact_run(g);
    exchange_run(g);
    pull_run(g);
    dissemination_run(g);
    if (g->leaving && !g->left && g->now >= g->leave_done) {
        g->left = true;
        view_notice(g, g->self, GOSSIP_NOTICE_DONE);
    }
}

static mono_ns next_deadline(const struct gossip *g)
{
    mono_ns deadline = probe_deadline(g);

    deadline = MIN(deadline, suspicion_deadline(g));
    deadline = MIN(deadline, contact_deadline(g));
    deadline = MIN(deadline, exchange_deadline(g));
    deadline = MIN(deadline, pull_deadline(g));
    deadline = MIN(deadline, dissemination_deadline(g));
    if (g->leaving && !g->left)
        deadline = MIN(deadline, g->leave_done);
    return deadline;
}

int gossip_step(struct gossip *g, const struct gossip_event *event, mono_ns now,
                struct gossip_output *out)
{
    bool in_order = g->started || event->kind == GOSSIP_START || event->kind == GOSSIP_TRUST;
    int rc = ERR_INVALID;

    output_clear(&g->out, g->pool);
    g->oom = false;
    if (g->started)
        advance_clock(g, now);
    else
        g->now = now;
    if (in_order && !g->left)
        rc = handle(g, event);
    if (g->started && !g->left)
        run_due(g);
    g->asked = g->started && !g->left ? next_deadline(g) : MONO_NEVER;
    output_finish(&g->out, mono_after(g->asked, g->stalled), out);
    if (rc == 0 && g->oom)
        rc = -ENOMEM;
    return rc;
}

/* --- questions */

struct gossip_incarnation gossip_self_incarnation(const struct gossip *g)
{
    return g->incarnation;
}

uint64_t gossip_digest(const struct gossip *g)
{
    return g->digest;
}

void gossip_stats_get(const struct gossip *g, struct gossip_stats *out)
{
    *out = g->stats;
    out->health = g->health;
    out->alive_count = group_size(g);
    out->member_count = g->record_count;
    out->candidate_count = g->candidates.count;
    out->queue_count = g->queue.count;
    out->mismatch_age = g->reconcile.mismatch_since == 0 ? 0 : g->now - g->reconcile.mismatch_since;
    for (size_t i = 0; i < g->members.live_count; i++) {
        const struct member *m = member_at(&g->members, g->members.live[i]);

        out->key_lag_count += m->peer == NULL || m->peer->key_epoch != g->sealer.keys[0].epoch;
    }
}

static void describe(const struct member *m, struct gossip_member_info *out)
{
    struct record r = record_of(m->record);

    *out = (struct gossip_member_info){
        .id = r.id,
        .status = m->status,
        .incarnation = r.incarnation,
        .addr = r.addr,
        .meta = blob_slice(m->meta),
        .accuser_count = m->suspicion == NULL ? 0 : m->suspicion->count,
    };
    if (m->peer != NULL) {
        out->rtt = m->peer->srtt_us * NS_PER_US;
        out->key_epoch = m->peer->key_epoch;
    }
}

int gossip_member_get(const struct gossip *g, const struct id *id, struct gossip_member_info *out)
{
    const struct member *m = member_find(&g->members, node_ref_of(id));

    if (m == NULL || m->record == NULL || memcmp(m->trust->bytes, id->text, ID_LEN) != 0)
        return ERR_NOT_FOUND;
    describe(m, out);
    return 0;
}

bool gossip_member_next(const struct gossip *g, size_t *cursor, struct gossip_member_info *out)
{
    while (*cursor < g->members.slot_count) {
        const struct member *m = member_at(&g->members, (*cursor)++);

        if (m != NULL && m->record != NULL) {
            describe(m, out);
            return true;
        }
    }
    return false;
}

int gossip_incarnation_cmp(struct gossip_incarnation a, struct gossip_incarnation b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    if (a.counter != b.counter)
        return a.counter < b.counter ? -1 : 1;
    return 0;
}

bool gossip_addr_equal(const struct gossip_addr *a, const struct gossip_addr *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, MIN(a->len, GOSSIP_ADDR_LEN_MAX)) == 0;
}

const char *gossip_status_text(enum gossip_status status)
{
    switch (status) {
    case GOSSIP_UNKNOWN:
        return "unknown";
    case GOSSIP_ALIVE:
        return "alive";
    case GOSSIP_SUSPECT:
        return "suspect";
    case GOSSIP_UNREACHABLE:
        return "unreachable";
    case GOSSIP_LEFT:
        return "left";
    }
    return "unknown";
}
