/* The host of a simulated node: does with the core's outputs what the driver does with sockets. It
 * trusts every candidate that the world knows. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_world_priv.h"

struct shoal {
    struct gossip *gossip;
};

/* A node's address carries its number: 10.a.b.c, port 7946. */
static struct gossip_addr addr_of(unsigned addr)
{
    struct gossip_addr a = { .len = 6,
                             .bytes = { 10, (uint8_t)(addr >> 16), (uint8_t)(addr >> 8),
                                        (uint8_t)addr, 7946 >> 8, 7946 & 0xff } };

    return a;
}

static unsigned number_of(const struct gossip_addr *a)
{
    return (unsigned)a->bytes[1] << 16 | (unsigned)a->bytes[2] << 8 | a->bytes[3];
}

/* What its own clock shows now. */
static mono_ns local_now(const struct world *w, const struct world_node *n)
{
    return n->clock_at_zero + (mono_ns)((double)w->now * n->clock_rate);
}

/* When the world is there, if its clock does not jump before. */
static mono_ns when_local(const struct world *w, const struct world_node *n, mono_ns local)
{
    mono_ns now = local_now(w, n);

    if (local == MONO_NEVER)
        return MONO_NEVER;
    return local <= now ? w->now : w->now + 1 + (mono_ns)((double)(local - now) / n->clock_rate);
}

/* A node's keys follow from its number; the first to need them derives them. */
void world_secret_key(struct world *w, unsigned index, uint8_t *out)
{
    uint8_t seed[crypto_sign_SEEDBYTES] = { 1 };

    memcpy(seed + 1, &index, sizeof(index));
    (void)crypto_sign_seed_keypair(w->public_keys[index], out, seed); /* cannot fail */
}

static const uint8_t *public_key_of(struct world *w, unsigned index)
{
    uint8_t secret_key[GOSSIP_SECRET_KEY_LEN];

    if (sodium_is_zero(w->public_keys[index], GOSSIP_PUBLIC_KEY_LEN))
        world_secret_key(w, index, secret_key);
    return w->public_keys[index];
}

/* Ids end in nothing that tells the number, so it is looked up; the world is small or patient. */
static unsigned index_of(const struct world *w, const struct gossip_notice *n)
{
    unsigned guess = number_of(&n->addr);

    if (guess < w->cfg.node_count && id_equal(&w->ids[guess], &n->id))
        return guess;
    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        if (id_equal(&w->ids[i], &n->id))
            return i;
    }
    return UINT32_MAX;
}

static int step(struct world *w, struct world_node *n, const struct gossip_event *e);

static void act_on_notice(struct world *w, struct world_node *n, const struct gossip_notice *notice)
{
    unsigned subject = index_of(w, notice);

    switch (notice->kind) {
    case GOSSIP_NOTICE_EPOCH:
        n->epoch = MAX(n->epoch, notice->incarnation.epoch);
        break;
    case GOSSIP_NOTICE_META:
        if (w->cfg.on_report != NULL && subject != UINT32_MAX)
            w->cfg.on_report(w->cfg.ctx, w, n->index, subject, GOSSIP_UNKNOWN);
        break;
    case GOSSIP_NOTICE_JOINED:
    case GOSSIP_NOTICE_ALIVE:
    case GOSSIP_NOTICE_SUSPECT:
    case GOSSIP_NOTICE_UNREACHABLE:
    case GOSSIP_NOTICE_LEFT:
        if (subject != UINT32_MAX)
            world_report(w, n, subject, notice->status);
        break;
    case GOSSIP_NOTICE_ADDR:
    case GOSSIP_NOTICE_CANDIDATE:
    case GOSSIP_NOTICE_CONFLICT:
    case GOSSIP_NOTICE_DONE:
        break;
    }
}

/* Trust is fed after the output is dealt with, for its slices end with the next step. */
static void act(struct world *w, struct world_node *n, const struct gossip_output *out)
{
    unsigned trusted[GOSSIP_CANDIDATES_MAX];
    size_t trusted_count = 0;

    for (size_t i = 0; i < out->packet_count; i++)
        world_send(w, n, world_find_addr(w, number_of(&out->packets[i].to)), out->packets[i].bytes);
    for (size_t i = 0; i < out->stream_count; i++) {
        const struct gossip_stream_op *op = &out->streams[i];

        world_stream_op(w, n, op, world_find_addr(w, number_of(&op->addr)));
    }
    for (size_t i = 0; i < out->notice_count; i++) {
        const struct gossip_notice *notice = &out->notices[i];
        unsigned subject = index_of(w, notice);

        if (notice->kind == GOSSIP_NOTICE_CANDIDATE && subject != UINT32_MAX &&
            trusted_count < ARRAY_LEN(trusted))
            trusted[trusted_count++] = subject;
        act_on_notice(w, n, notice);
    }
    world_set_timer(w, n, when_local(w, n, out->deadline));
    for (size_t i = 0; i < trusted_count; i++) {
        struct gossip_event e = { .kind = GOSSIP_TRUST,
                                  .id = w->ids[trusted[i]],
                                  .public_key = public_key_of(w, trusted[i]) };

        (void)step(w, n, &e); /* the table is as large as the world */
    }
}

static int step(struct world *w, struct world_node *n, const struct gossip_event *e)
{
    struct shoal *s = n->state;
    struct gossip_output out;
    int rc = gossip_step(s->gossip, e, local_now(w, n), &out);

    act(w, n, &out);
    return rc;
}

static void stop(struct world *w, struct world_node *n)
{
    struct shoal *s = n->state;

    (void)w;
    gossip_free(s->gossip);
    free(s);
    n->state = NULL;
}

struct id world_cluster(void)
{
    struct id cluster = { 0 };

    memcpy(cluster.text, "simulatedcluster000000000", ID_LEN);
    return cluster;
}

struct gossip_key world_gossip_key(uint32_t epoch)
{
    return (struct gossip_key){ .epoch = epoch, .bytes = { (uint8_t)epoch, 2, 3 } };
}

static void set_contacts(struct world *w, struct world_node *n)
{
    struct gossip_contact contacts[GOSSIP_CONTACTS_MAX];
    struct gossip_event e = { .kind = GOSSIP_SET_CONTACTS, .contacts = contacts };
    unsigned count = MIN(w->cfg.contact_count, GOSSIP_CONTACTS_MAX);

    for (unsigned i = 0; i < count && i < w->cfg.node_count; i++) {
        if (i != n->index)
            contacts[e.contact_count++] =
                (struct gossip_contact){ .addr = addr_of(w->nodes[i].addr) };
    }
    CHECK(step(w, n, &e) == 0);
}

/* Even stages: the newest key seals, the one before it still opens. Odd: the next opens already. */
static size_t keys_of(const struct world_node *n, struct gossip_key *out)
{
    uint32_t epoch = n->key_stage / 2 + 1;
    size_t count = 0;

    out[count++] = world_gossip_key(epoch);
    if (n->key_stage % 2 == 1)
        out[count++] = world_gossip_key(epoch + 1);
    if (epoch > 1)
        out[count++] = world_gossip_key(epoch - 1);
    return count;
}

static int start(struct world *w, struct world_node *n)
{
    struct shoal *s = calloc(1, sizeof(*s));
    struct gossip_config cfg;
    struct gossip_event e = { .kind = GOSSIP_START };
    uint8_t *meta = calloc(1, w->cfg.meta_len + 1);

    CHECK(s != NULL && meta != NULL);
    gossip_config_init(&cfg);
    cfg.id = w->ids[n->identity];
    cfg.cluster = world_cluster();
    world_secret_key(w, n->identity, cfg.secret_key);
    cfg.addr = addr_of(n->addr);
    memcpy(meta, &n->index, MIN(w->cfg.meta_len, sizeof(n->index)));
    cfg.meta = slice_of(meta, w->cfg.meta_len);
    cfg.key_count = keys_of(n, cfg.keys);
    cfg.boot_epoch = n->epoch;
    cfg.seed = prng_u64(&n->prng);
    cfg.salt = prng_u64(&n->prng);
    cfg.pool = w->pool;
    if (w->cfg.tune != NULL)
        w->cfg.tune(&cfg);
    CHECK(gossip_new(&cfg, &s->gossip) == 0);
    free(meta);
    n->state = s;
    CHECK(step(w, n, &e) == 0);
    set_contacts(w, n);
    return 0;
}

static void on_packet(struct world *w, struct world_node *n, unsigned from, struct slice bytes)
{
    struct gossip_event e = { .kind = GOSSIP_PACKET,
                              .addr = addr_of(w->nodes[from].addr),
                              .bytes = bytes };

    (void)step(w, n, &e); /* a packet is never the host's fault */
}

static void on_timer(struct world *w, struct world_node *n)
{
    (void)step(w, n, &(struct gossip_event){ .kind = GOSSIP_TIMEOUT });
}

static void on_stream(struct world *w, struct world_node *n, const struct gossip_event *e)
{
    (void)step(w, n, e);
}

static enum gossip_status status_of(struct world *w, struct world_node *n, unsigned subject)
{
    struct gossip_member_info info;
    struct shoal *s = n->state;

    return gossip_member_get(s->gossip, &w->ids[subject], &info) < 0 ? GOSSIP_UNKNOWN : info.status;
}

const struct world_engine world_shoal = {
    .name = "shoal",
    .start = start,
    .stop = stop,
    .packet = on_packet,
    .timer = on_timer,
    .stream = on_stream,
    .status = status_of,
};

struct gossip *world_gossip(struct world *w, unsigned index)
{
    struct shoal *s = w->nodes[index].state;

    return s == NULL ? NULL : s->gossip;
}

int world_feed(struct world *w, unsigned index, const struct gossip_event *e)
{
    return step(w, &w->nodes[index], e);
}

void world_leave(struct world *w, unsigned index)
{
    CHECK(world_feed(w, index, &(struct gossip_event){ .kind = GOSSIP_LEAVE }) == 0);
}

void world_set_meta(struct world *w, unsigned index, struct slice meta)
{
    CHECK(world_feed(w, index, &(struct gossip_event){ .kind = GOSSIP_SET_META, .bytes = meta }) ==
          0);
}

void world_move(struct world *w, unsigned index, unsigned addr)
{
    w->nodes[index].addr = addr;
    if (w->nodes[index].up)
        world_claim_addr(w, index, addr);
}

void world_claim_addr(struct world *w, unsigned index, unsigned addr)
{
    CHECK(world_feed(w, index,
                     &(struct gossip_event){ .kind = GOSSIP_SET_ADDR, .addr = addr_of(addr) }) ==
          0);
}

bool world_rotate(struct world *w, unsigned index)
{
    struct world_node *n = &w->nodes[index];
    struct gossip_key keys[GOSSIP_KEYS_MAX];
    struct gossip_event e = { .kind = GOSSIP_SET_KEYS, .keys = keys };

    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        if (w->nodes[i].key_stage < n->key_stage)
            return false;
    }
    n->key_stage++;
    e.key_count = keys_of(n, keys);
    if (n->up)
        CHECK(step(w, n, &e) == 0);
    return true;
}

void world_jump_clock(struct world *w, unsigned index, int64_t by)
{
    struct world_node *n = &w->nodes[index];

    n->clock_at_zero += (mono_ns)by; /* a negative `by` wraps, and so subtracts */
    CHECK(n->clock_at_zero > 0);
    if (n->up)
        heap_set(&w->heap, &n->timer, w->now); /* nobody's timer knows where the clock went */
}
