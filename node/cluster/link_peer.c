/* node/cluster/link_peer.c - Peers: where they may be, when to dial, which link to keep.
 *
 * A round of dialling tries every address once; then comes a pause with back-off, in which
 * sending fails at once. What was queued before is kept for one round.
 *
 * Two nodes may dial each other at the same moment. Both must keep the same one of the two
 * connections: the one that the node with the lower id dialled. So a responder refuses with
 * ERR_EXISTS when its own id is lower and its own attempt has got through to the peer or has
 * just become the link. A link older than a handshake can take is no such coincidence:
 * then the peer has lost it, and the new connection replaces it. */
#include "node/cluster/link_links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_address.h"

struct peer *peer_find(const struct links *l, const struct id *node)
{
    return omap_get(&l->peers, id_slice(node));
}

void peer_on_sendable(void *ctx)
{
    struct peer *p = ctx;

    links_mark_dirty(p->links, p);
}

int peer_get(struct links *l, const struct id *node, struct peer **out)
{
    struct link_mux_events events = links_mux_events;
    struct peer *p = peer_find(l, node);
    int rc;

    if (p != NULL) {
        *out = p;
        return 0;
    }
    if (l->peers.count >= PEERS_MAX)
        return ERR_FULL;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return -ENOMEM;
    rc = omap_set(&l->peers, id_slice(node), p);
    if (rc < 0) {
        free(p);
        return rc;
    }
    p->links = l;
    p->about.node = *node;
    list_init(&p->dirty);
    events.ctx = p;
    events.on_sendable = peer_on_sendable;
    link_mux_init(&p->mux, &events, &l->seed);
    *out = p;
    return 0;
}

void peer_free(struct peer *p)
{
    struct links *l = p->links;

    CHECK(p->conn == NULL);
    (void)omap_remove(&l->peers, id_slice(&p->about.node)); /* first: nobody finds it any more */
    if (p->dial != NULL) {
        p->dial->owner = NULL;
        conn_close(p->dial);
    }
    heap_remove(&l->retries, &p->retry);
    link_mux_abort(&p->mux, ERR_REMOVED);
    link_mux_deinit(&p->mux);
    list_remove(&p->dirty);
    free(p);
}

void peer_release(struct peer *p)
{
    if (!p->is_hinted && p->conn == NULL && p->dial == NULL && link_mux_is_empty(&p->mux))
        peer_free(p);
}

int peer_may_send(const struct peer *p)
{
    bool may_dial = p->address_count > 0 && !heap_node_is_set(&p->retry);

    if (p->links->is_closing || p->is_forgotten)
        return ERR_UNAVAILABLE;
    if (p == p->links->self || p->conn != NULL || p->dial != NULL || may_dial)
        return 0;
    return ERR_UNAVAILABLE;
}

/* --- Dialling --- */

static void retry_after(struct peer *p, mono_ns pause)
{
    struct links *l = p->links;
    mono_ns jittered = prng_range(&l->jitter, pause / 2, pause);

    heap_set(&l->retries, &p->retry, mono_after(uv_hrtime(), jittered));
    links_arm_timer(l);
}

static mono_ns backoff(unsigned failures)
{
    return failures > 5 ? BACKOFF_MAX_NS : MIN(BACKOFF_MIN_NS << (failures - 1), BACKOFF_MAX_NS);
}

/* Every address has failed. */
static void end_round(struct peer *p)
{
    p->next_address = 0;
    p->failures++;
    retry_after(p, backoff(p->failures)); /* before the callbacks: sending now fails */
    link_mux_abort(&p->mux, ERR_UNAVAILABLE);
}

void peer_dial_failed(struct peer *p, int reason)
{
    p->dial = NULL;
    if (p->links->is_closing)
        return;
    if (reason == ERR_EXISTS) { /* its own attempt is under way: leave it time */
        retry_after(p, 4 * BACKOFF_MIN_NS);
        return;
    }
    p->next_address++;
    if (p->next_address < p->address_count)
        peer_dial(p);
    else
        end_round(p);
}

void peer_dial(struct peer *p)
{
    struct sockaddr_storage address;
    int rc;

    if (p->conn != NULL || p->dial != NULL || p->address_count == 0 || p == p->links->self)
        return;
    if (p->next_address >= p->address_count)
        p->next_address = 0;
    heap_remove(&p->links->retries, &p->retry);
    rc = address_parse(p->addresses[p->next_address], &address);
    if (rc == 0)
        rc = conn_dial(&p->links->shared, (const struct sockaddr *)&address, LINK_PURPOSE_MEMBER,
                       &p->dial);
    if (rc < 0) {
        peer_dial_failed(p, rc);
        return;
    }
    p->dial->owner = p;
    p->links->counters.dialled++;
}

void peer_retry_due(struct links *l, mono_ns now)
{
    struct heap_node *n;

    while ((n = heap_pop_due(&l->retries, now)) != NULL) {
        struct peer *p = CONTAINER_OF(n, struct peer, retry);

        if (p->want == LINK_WANTED || !link_mux_is_empty(&p->mux))
            peer_dial(p);
    }
}

/* --- Links --- */

int peer_admit(struct links *l, struct conn *c, const struct cert *cert)
{
    enum node_role role = cert->role;
    int rc = 0;

    if (l->events.admit != NULL)
        rc = l->events.admit(l->events.ctx, cert, &role);
    if (rc < 0)
        return rc;
    c->cert = *cert;
    c->role = role;
    return 0;
}

static bool is_lower(const struct links *l, const struct peer *p)
{
    return id_cmp(&l->identity.cert.node, &p->about.node) < 0;
}

/* Whether our own connection to `p` is the one to keep: see the top of this file. */
static bool keeps_own(const struct links *l, const struct peer *p)
{
    if (!is_lower(l, p))
        return false;
    if (p->conn != NULL)
        return p->conn->is_dialler && uv_hrtime() - p->since < HANDSHAKE_NS;
    return p->dial != NULL && p->dial->state != CONN_CONNECTING;
}

int peer_claim(struct links *l, struct conn *c)
{
    struct peer *p;
    int rc;

    if (id_equal(&c->cert.node, &l->identity.cert.node))
        return ERR_CONFLICT;
    if (c->is_dialler) {
        p = c->owner;
        if (!id_equal(&p->about.node, &c->cert.node))
            return ERR_NOT_FOUND;
        return p->conn != NULL ? ERR_EXISTS : 0;
    }
    rc = peer_get(l, &c->cert.node, &p);
    if (rc < 0)
        return rc;
    if (keeps_own(l, p))
        rc = ERR_EXISTS;
    else if (p->conn == NULL && l->link_count >= l->link_count_max)
        rc = ERR_FULL;
    if (rc < 0) {
        peer_release(p);
        return rc;
    }
    c->owner = p;
    return 0;
}

/* The address that worked is the first to try next time. */
static void prefer_address(struct peer *p, const char *address)
{
    char kept[LINK_ADDRESS_LEN];

    for (size_t i = 1; i < p->address_count; i++) {
        if (strcmp(p->addresses[i], address) != 0)
            continue;
        memcpy(kept, p->addresses[i], sizeof(kept));
        memmove(p->addresses[1], p->addresses[0], i * sizeof(p->addresses[0]));
        memcpy(p->addresses[0], kept, sizeof(kept));
        return;
    }
}

void peer_up(struct conn *c)
{
    struct peer *p = c->owner;
    struct links *l = p->links;

    if (p->dial != NULL && p->dial != c) {
        p->dial->owner = NULL;
        conn_close(p->dial);
    }
    p->dial = NULL;
    c->owner = NULL;
    if (p->conn != NULL) {
        p->is_replaced = true; /* keeps it from being dialled or freed meanwhile */
        peer_drop(p, ERR_STALE);
        p->is_replaced = false;
    }
    c->owner = p;
    p->conn = c;
    p->since = p->last_used = uv_hrtime();
    p->failures = 0;
    p->next_address = 0;
    heap_remove(&l->retries, &p->retry);
    if (c->is_dialler)
        prefer_address(p, c->address_text);
    p->about.role = c->role;
    memcpy(p->about.static_key, c->cert.static_key, CLUSTER_KEY_LEN);
    memcpy(p->about.identity_key, c->cert.identity_key, CLUSTER_KEY_LEN);
    memcpy(p->about.address, c->address_text, LINK_ADDRESS_LEN);
    l->link_count++;
    l->counters.established++;
    link_mux_attach(&p->mux, c->is_dialler);
    if (l->events.on_peer_up != NULL)
        l->events.on_peer_up(l->events.ctx, &p->about);
}

void peer_down(struct peer *p, int reason)
{
    struct links *l = p->links;

    p->conn = NULL;
    p->is_cert_due = false;
    p->drop_reason = 0;
    l->link_count--;
    link_mux_abort(&p->mux, reason);
    if (l->events.on_peer_down != NULL)
        l->events.on_peer_down(l->events.ctx, &p->about, reason);
    p->about.address[0] = '\0';
    if (p->is_replaced || l->is_closing)
        return;
    if (p->is_forgotten) {
        peer_free(p);
        return;
    }
    if (p->want == LINK_WANTED || !link_mux_is_empty(&p->mux))
        retry_after(p, BACKOFF_MIN_NS);
    peer_release(p);
}

void peer_drop(struct peer *p, int reason)
{
    p->conn->owner = NULL;
    conn_end(p->conn, reason);
    peer_down(p, reason);
}
