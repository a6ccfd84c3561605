#include "node/control/gossip_keys.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#define KEY_LEN 32

void gossip_keys_init(struct gossip_keys *k, const uint8_t seed[CONTROL_KEY_SEED_LEN])
{
    *k = (struct gossip_keys){ 0 };
    memcpy(k->seed, seed, sizeof(k->seed));
}

void gossip_keys_deinit(struct gossip_keys *k)
{
    sodium_memzero(k, sizeof(*k));
}

void gossip_keys_start(struct gossip_keys *k)
{
    k->step = GOSSIP_KEYS_REST;
}

/* --- What there is */

static uint64_t newest_epoch(const struct cluster *c)
{
    uint64_t newest = 0;

    for (size_t i = 0; i < c->gossip_keys.count; i++)
        newest = MAX(newest, c->gossip_keys.items[i].epoch);
    return newest;
}

enum gossip_key_step gossip_keys_step(const struct cluster *c)
{
    if (c->gossip_keys.count < 2)
        return GOSSIP_KEYS_REST;
    return c->gossip_keys.items[0].epoch == newest_epoch(c) ? GOSSIP_KEYS_SETTLING
                                                            : GOSSIP_KEYS_DISTRIBUTING;
}

/* Whether a node was removed that may hold the newest key. Indices of the log, because clocks of
 * managers differ. */
static bool is_compromised(const struct plan *p, const struct cluster *c)
{
    struct store_iter it;

    STORE_EACH(&it, p->store, OBJECT_REMOVAL, struct removal, r)
    if (r->version.index > c->gossip_key_index)
        return true;
    return false;
}

/* How many nodes that are ready have not carried out the step. */
static size_t count_missing(struct plan *p, enum gossip_key_step step, uint64_t epoch)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);
    size_t missing = 0;

    for (size_t i = 0; i < nodes.count; i++) {
        const struct node *n = (const struct node *)(const void *)nodes.items[i];
        uint64_t has = step == GOSSIP_KEYS_DISTRIBUTING ? n->description.gossip_key_newest
                                                        : n->description.gossip_key;

        missing += n->status.state == NODE_READY && has < epoch;
    }
    return missing;
}

/* The period counts on the wall clock. One that was set back must not stop rotation for long. */
static bool is_period_over(struct plan *p, const struct cluster *c)
{
    wall_ns period = c->gossip_key_period == 0 ? GOSSIP_KEY_PERIOD_NS : c->gossip_key_period;
    wall_ns last = c->gossip_key_rotated_at == 0 ? c->created_at : c->gossip_key_rotated_at;
    wall_ns age = p->now.wall - last;

    if (age >= period || age < -period)
        return true;
    plan_wake_at(p, p->now.wall + (age < 0 ? period : period - age));
    return false;
}

/* --- Steps */

/* From the seed comes the key, and another seed: who sees the one never finds the other. */
static int put_fresh_key(struct gossip_keys *k, struct gossip_secret *out)
{
    static const uint8_t of_key[] = "shoal gossip key 1", of_seed[] = "shoal gossip key seed 1";
    uint8_t key[KEY_LEN], seed[CONTROL_KEY_SEED_LEN];
    int rc;

    (void)crypto_generichash(key, sizeof(key), of_key, sizeof(of_key), k->seed, sizeof(k->seed));
    (void)crypto_generichash(seed, sizeof(seed), of_seed, sizeof(of_seed), k->seed,
                             sizeof(k->seed)); /* both fail for wrong lengths only */
    rc = bytes_set(&out->key, slice_of(key, sizeof(key)));
    memcpy(k->seed, seed, sizeof(seed));
    sodium_memzero(key, sizeof(key));
    sodium_memzero(seed, sizeof(seed));
    return rc;
}

static void keep_first(struct cluster *c)
{
    while (c->gossip_keys.count > 1)
        fields_deinit(&gossip_secret_type, &c->gossip_keys.items[--c->gossip_keys.count]);
}

/* A new key, which nobody uses yet. One that is being given out already is dropped for it. */
static void distribute(struct gossip_keys *k, struct plan *p, struct cluster *c)
{
    uint64_t epoch = newest_epoch(c) + 1;
    struct gossip_secret *next;

    keep_first(c);
    next = LIST_ADD(&c->gossip_keys);
    if (next == NULL || put_fresh_key(k, next) < 0) {
        p->err = -ENOMEM;
        return;
    }
    next->epoch = epoch;
    c->gossip_key_index = store_applied(p->store);
    c->gossip_key_rotated_at = p->now.wall;
}

/* The newest comes first. */
static void use_newest(struct cluster *c)
{
    struct gossip_secret *keys = c->gossip_keys.items, first;
    uint64_t newest = newest_epoch(c);
    size_t i = 0;

    while (keys[i].epoch != newest)
        i++;
    first = keys[i];
    memmove(&keys[1], &keys[0], i * sizeof(*keys));
    keys[0] = first;
}

/* True: all that are ready have it, or were waited for long enough. */
static bool is_carried_out(struct gossip_keys *k, struct plan *p, enum gossip_key_step step,
                           uint64_t epoch)
{
    mono_ns end;

    if (k->step != step || k->epoch != epoch) {
        k->step = step;
        k->epoch = epoch;
        k->since = p->now.mono;
    }
    if (count_missing(p, step, epoch) == 0)
        return true;
    end = mono_after(k->since, GOSSIP_KEY_WAIT_NS);
    if (p->now.mono >= end)
        return true;
    p->deadline = MIN(p->deadline, end);
    return false;
}

static bool is_due(struct gossip_keys *k, struct plan *p, const struct cluster *c)
{
    enum gossip_key_step step = gossip_keys_step(c);
    bool compromised = is_compromised(p, c);

    if (step == GOSSIP_KEYS_REST)
        return compromised || is_period_over(p, c);
    if (step == GOSSIP_KEYS_DISTRIBUTING && compromised)
        return true;
    return is_carried_out(k, p, step, newest_epoch(c));
}

void gossip_keys_reconcile(struct gossip_keys *k, struct plan *p)
{
    const struct cluster *seen = store_the_cluster(p->store);
    struct cluster *c;

    if (seen == NULL || seen->gossip_keys.count == 0 || !is_due(k, p, seen))
        return;
    c = plan_edit_cluster(p, &seen->id);
    if (c == NULL)
        return; /* no memory: the plan says so */
    switch (gossip_keys_step(c)) {
    case GOSSIP_KEYS_REST:
        distribute(k, p, c);
        break;
    case GOSSIP_KEYS_DISTRIBUTING:
        if (is_compromised(p, c))
            distribute(k, p, c);
        else
            use_newest(c);
        break;
    case GOSSIP_KEYS_SETTLING:
        keep_first(c);
        break;
    }
}
