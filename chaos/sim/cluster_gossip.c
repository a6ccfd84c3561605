/* chaos/sim/cluster_gossip.c - The gossip core of a daemon over lossy packets, and what the program
 * makes of its notices. Streams are refused: so few members always find each other by packets. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"

static struct gossip_addr addr_of(unsigned index)
{
    return (struct gossip_addr){
        .len = 6, .bytes = { 10, 0, 0, (uint8_t)(index + 1), 7946 >> 8, 7946 & 0xff }
    };
}

static void on_notice(struct daemon *d, const struct gossip_notice *n)
{
    switch (n->kind) {
    case GOSSIP_NOTICE_JOINED:
        if (n->status == GOSSIP_ALIVE)
            daemon_heard(d, &n->id, CONTROL_ALIVE);
        break;
    case GOSSIP_NOTICE_ALIVE:
        daemon_heard(d, &n->id, CONTROL_ALIVE);
        break;
    case GOSSIP_NOTICE_UNREACHABLE:
        daemon_heard(d, &n->id, CONTROL_UNREACHABLE);
        break;
    case GOSSIP_NOTICE_LEFT:
        daemon_heard(d, &n->id, CONTROL_LEFT);
        break;
    case GOSSIP_NOTICE_EPOCH:
        d->computer->member.boot_epoch = n->incarnation.epoch;
        break;
    case GOSSIP_NOTICE_CANDIDATE:
    case GOSSIP_NOTICE_CONFLICT:
    case GOSSIP_NOTICE_SUSPECT:
    case GOSSIP_NOTICE_META:
    case GOSSIP_NOTICE_ADDR:
    case GOSSIP_NOTICE_DONE:
        break;
    }
}

static void on_wake(void *ctx, uint64_t at)
{
    struct daemon *d = ctx;

    if (d->gossip == NULL || at != d->gossip_wake_at)
        return;
    d->gossip_wake_at = MONO_NEVER;
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_TIMEOUT });
}

static void set_timer(struct daemon *d, mono_ns at)
{
    mono_ns now = d->world->clock.now;

    if (at == MONO_NEVER || (d->gossip_wake_at <= at && d->gossip_wake_at > now))
        return;
    d->gossip_wake_at = MAX(at, now + 1);
    loop_after(&d->loop, d->gossip_wake_at - now, on_wake, d, d->gossip_wake_at);
}

/* Events that follow from an output are fed after it is dealt with: its slices end then. */
struct follow_up {
    struct computer *trusted[COMPUTERS_MAX];
    size_t trusted_count;
    uint64_t closed[8];
    size_t closed_count;
};

static void act(struct daemon *d, const struct gossip_output *out, struct follow_up *next)
{
    struct world *w = d->world;

    for (size_t i = 0; i < out->packet_count; i++) {
        unsigned to = out->packets[i].to.bytes[3] - 1U;

        if (to < w->computer_count)
            sim_net_send(&w->net, d->computer->index, to, out->packets[i].bytes);
    }
    for (size_t i = 0; i < out->stream_count; i++)
        if (out->streams[i].kind == GOSSIP_STREAM_OPEN &&
            next->closed_count < ARRAY_LEN(next->closed))
            next->closed[next->closed_count++] = out->streams[i].stream;
    for (size_t i = 0; i < out->notice_count; i++) {
        struct computer *c = computer_by_id(w, &out->notices[i].id);

        if (out->notices[i].kind == GOSSIP_NOTICE_CANDIDATE && c != NULL &&
            next->trusted_count < COMPUTERS_MAX)
            next->trusted[next->trusted_count++] = c;
        on_notice(d, &out->notices[i]);
    }
    set_timer(d, out->deadline);
}

void gossip_feed(struct daemon *d, const struct gossip_event *e)
{
    struct follow_up next = { .trusted_count = 0 };
    struct gossip_output out;

    if (d->gossip == NULL || d->loop.dead)
        return;
    if (gossip_step(d->gossip, e, d->world->clock.now, &out) < 0)
        world_fail(d->world, "%u: gossip refuses event %d", d->computer->index, (int)e->kind);
    act(d, &out, &next);
    for (size_t i = 0; i < next.trusted_count; i++)
        gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_TRUST,
                                               .id = next.trusted[i]->id,
                                               .public_key = next.trusted[i]->public_key });
    for (size_t i = 0; i < next.closed_count; i++)
        gossip_feed(
            d, &(struct gossip_event){ .kind = GOSSIP_STREAM_CLOSED, .stream = next.closed[i] });
}

void gossip_contact(struct daemon *d, const struct peer *peer)
{
    struct computer *c = computer_by_id(d->world, &peer->id);
    size_t i = 0;

    if (c == NULL)
        return;
    gossip_feed(d, &(struct gossip_event){
                       .kind = GOSSIP_TRUST, .id = c->id, .public_key = c->public_key });
    if (peer->role != ROLE_MANAGER)
        return;
    while (i < d->contact_count && !id_equal(&d->contacts[i].id, &c->id))
        i++;
    d->contacts[i] = (struct gossip_contact){ .id = c->id, .addr = addr_of(c->index) };
    d->contact_count = MAX(d->contact_count, i + 1);
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_SET_CONTACTS,
                                           .contacts = d->contacts,
                                           .contact_count = d->contact_count });
}

static size_t keys_of(const struct cluster_record *record, struct gossip_key *out)
{
    size_t count = MIN(record->gossip_keys.count, (size_t)GOSSIP_KEYS_MAX);

    for (size_t i = 0; i < count; i++) {
        out[i].epoch = (uint32_t)record->gossip_keys.items[i].epoch;
        memcpy(out[i].bytes, record->gossip_keys.items[i].key.ptr, GOSSIP_KEY_LEN);
    }
    return count;
}

/* As daemons do: managers rotate keys by what nodes say they have. */
static void tell_keys(struct daemon *d, const struct gossip_key *keys, size_t count)
{
    struct node_description *said = &d->computer->description;
    uint64_t newest = 0;

    for (size_t i = 0; i < count; i++)
        newest = MAX(newest, keys[i].epoch);
    if (said->gossip_key == keys[0].epoch && said->gossip_key_newest == newest)
        return;
    said->gossip_key = keys[0].epoch;
    said->gossip_key_newest = newest;
    sim_trace_line(&d->world->trace, d->world->clock.now, "%u: gossip key %llu, newest %llu",
                   d->computer->index, (unsigned long long)keys[0].epoch,
                   (unsigned long long)newest);
    if (d->serving && d->finder.state != FINDER_IDLE)
        host_described(d->host);
}

void gossip_begin(struct daemon *d, const struct cluster_record *record)
{
    struct computer *c = d->computer;
    struct gossip_key keys[GOSSIP_KEYS_MAX];
    struct gossip_config cfg;
    size_t count = keys_of(record, keys);

    if (count == 0)
        return;
    tell_keys(d, keys, count);
    if (d->gossip != NULL) {
        gossip_feed(
            d, &(struct gossip_event){ .kind = GOSSIP_SET_KEYS, .keys = keys, .key_count = count });
        return;
    }
    gossip_config_init(&cfg);
    cfg.id = c->id;
    cfg.cluster = d->world->cluster;
    memcpy(cfg.secret_key, c->secret_key, sizeof(cfg.secret_key));
    cfg.addr = addr_of(c->index);
    memcpy(cfg.keys, keys, count * sizeof(keys[0]));
    cfg.key_count = count;
    cfg.boot_epoch = ++c->member.boot_epoch;
    cfg.seed = prng_u64(&d->prng);
    cfg.salt = prng_u64(&d->prng);
    d->gossip_wake_at = MONO_NEVER;
    CHECK(gossip_new(&cfg, &d->gossip) == 0);
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_START });
    for (unsigned i = 0; i < d->world->computer_count; i++)
        if (link_is_up(d->links, &d->world->computers[i].id) && i != c->index)
            gossip_feed(d,
                        &(struct gossip_event){ .kind = GOSSIP_TRUST,
                                                .id = d->world->computers[i].id,
                                                .public_key = d->world->computers[i].public_key });
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_SET_CONTACTS,
                                           .contacts = d->contacts,
                                           .contact_count = d->contact_count });
}

void gossip_end(struct daemon *d)
{
    d->computer->description.gossip_key = d->computer->description.gossip_key_newest = 0;
    gossip_free(d->gossip);
    d->gossip = NULL;
}

void gossip_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes)
{
    struct world *w = ctx;
    struct daemon *d = w->over ? NULL : w->computers[to].daemon;
    struct sim_loop *before;

    if (d == NULL || d->gossip == NULL || d->loop.paused_until > w->clock.now)
        return; /* a socket buffer that overflows loses packets as networks do */
    before = loop_enter(&d->loop);
    gossip_feed(
        d, &(struct gossip_event){ .kind = GOSSIP_PACKET, .addr = addr_of(from), .bytes = bytes });
    loop_leave(before);
    loop_poke(&d->loop);
}
