/* node/cluster/renewal.c - see renewal.h. */
#include "node/cluster/renewal.h"

#include <string.h>

#include <sodium.h>

/* The same for the same certificate, different from that of any other: 0 .. 2^32 - 1. */
static uint64_t fraction_of(const struct cert *c)
{
    uint8_t hash[CERT_DIGEST_LEN];

    (void)crypto_hash_sha256(hash, c->signature, sizeof(c->signature)); /* always 0 */
    return (uint64_t)hash[0] << 24 | (uint64_t)hash[1] << 16 | (uint64_t)hash[2] << 8 | hash[3];
}

/* `of` times `fraction` / 2^32, for lengths that a product would overflow. */
static uint64_t share(uint64_t of, uint64_t fraction)
{
    return (of >> 32) * fraction + ((of & UINT32_MAX) * fraction >> 32);
}

wall_ns renewal_at(const struct cert *c)
{
    uint64_t validity = (uint64_t)(c->not_after - c->not_before);

    if (c->not_after <= c->not_before)
        return c->not_before;
    return cert_renew_at(c) + (wall_ns)share(validity / 6, fraction_of(c));
}

static mono_ns wait_for_age(const struct cert *c, wall_ns wall)
{
    wall_ns at = renewal_at(c);

    return wall >= at ? 0 : (mono_ns)(at - wall);
}

/* A wish for another root is followed a little later by each node. */
static mono_ns wait_for_root(struct renewal *r, const struct cert *c,
                             const struct renewal_wish *wish, mono_ns mono)
{
    if (memcmp(wish->root, c->issuer, CLUSTER_KEY_LEN) == 0) {
        r->root_at = 0;
        return MONO_NEVER;
    }
    if (r->root_at == 0 || memcmp(r->root, wish->root, CLUSTER_KEY_LEN) != 0) {
        memcpy(r->root, wish->root, CLUSTER_KEY_LEN);
        r->root_at = mono_after(mono, share(RENEWAL_ROOT_SPREAD_NS, fraction_of(c)));
    }
    return mono >= r->root_at ? 0 : r->root_at - mono;
}

mono_ns renewal_wait(struct renewal *r, const struct cert *c, const struct renewal_wish *wish,
                     wall_ns wall, mono_ns mono)
{
    mono_ns wait = MIN(wait_for_age(c, wall), RENEWAL_LOOK_NS);

    if (wish->is_known) {
        wait = MIN(wait, wait_for_root(r, c, wish, mono));
        if (wish->role != c->role)
            wait = 0;
    }
    return r->pause_end > mono ? MAX(wait, r->pause_end - mono) : wait;
}

bool renewal_accepts(const struct cert *c, const struct cert *next, const struct renewal_wish *wish)
{
    bool has_newest = memcmp(c->issuer, wish->root, CLUSTER_KEY_LEN) == 0;
    bool gets_newest = memcmp(next->issuer, wish->root, CLUSTER_KEY_LEN) == 0;

    return !wish->is_known || gets_newest || !has_newest;
}

void renewal_failed(struct renewal *r, mono_ns now, uint64_t jitter)
{
    uint64_t pause = RENEWAL_PAUSE_MIN_NS << MIN(r->failures, 6u);

    pause = MIN(pause, RENEWAL_PAUSE_MAX_NS);
    r->failures++;
    r->pause_end = mono_after(now, pause / 2 + share(pause / 2, jitter & UINT32_MAX));
}

void renewal_done(struct renewal *r)
{
    *r = (struct renewal){ 0 };
}
