/* chaos/sim/gossip_world.h - A group of gossiping nodes under one virtual clock.
 *
 * One seed, one run: network, stalls and every node draw from streams of their own, so another
 * fault does not reshuffle the rest. The nodes are the real core, or a model of another
 * protocol's rules (gossip_model.h) on the same network with the same faults. Packets are lost,
 * delayed and so reordered; streams are reliable while both ends are up and connected; a slow
 * node is one that stands still for a while again and again, its packets waiting in a
 * socket buffer of limited size. Self-contained: needs only base and gossip. */
#ifndef CHAOS_SIM_GOSSIP_WORLD_H
#define CHAOS_SIM_GOSSIP_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/prng.h"
#include "gossip/gossip.h"

struct world;
struct world_node;

/* What a protocol does in the world. `state` is its own, in world_node. Each call may use
 * world_send(), world_set_timer() and world_report(). */
struct world_engine {
    const char *name;
    int (*start)(struct world *w, struct world_node *n); /* first or again, after a crash */
    void (*stop)(struct world *w, struct world_node *n); /* frees its state */
    void (*packet)(struct world *w, struct world_node *n, unsigned from, struct slice bytes);
    void (*timer)(struct world *w, struct world_node *n);
    void (*stream)(struct world *w, struct world_node *n, const struct gossip_event *e);
    enum gossip_status (*status)(struct world *w, struct world_node *n, unsigned subject);
};

extern const struct world_engine world_shoal; /* the core of gossip/ */

struct world_config {
    const struct world_engine *engine;
    unsigned node_count;
    uint64_t seed;
    double loss;       /* of each packet; streams do not lose */
    mono_ns delay_min; /* one way */
    mono_ns delay_max;
    mono_ns join_spread;    /* nodes start within this time */
    unsigned contact_count; /* how many of the first nodes each node knows at its start */
    unsigned slow_count;    /* the last so many nodes are slow, from slow_from on */
    mono_ns slow_from;
    mono_ns stall_min, stall_max; /* a stall of a slow node */
    mono_ns awake_min, awake_max; /* between two */
    mono_ns work_time; /* a slow node's, for one packet or timer; 0 = none: it catches up at once */
    size_t meta_len;
    unsigned clock_drift_ppm;                /* each node's clock runs that much fast or slow */
    void (*tune)(struct gossip_config *cfg); /* may be NULL; world_shoal only */
    /* Called for every change of mind, after it was counted. */
    void (*on_report)(void *ctx, struct world *w, unsigned observer, unsigned subject,
                      enum gossip_status status);
    void *ctx;
};

struct world_node {
    unsigned index;
    bool up;
    bool slow;
    unsigned group; /* packets pass only within a group */
    uint64_t epoch; /* boot epoch, as its disk has it */
    uint64_t life;  /* starts, for the world */
    mono_ns started;
    mono_ns stalled_until;
    unsigned addr;         /* last byte group of its address; see world_move() */
    unsigned identity;     /* whose id and keys it runs with: its own index, but for impostors */
    unsigned key_stage;    /* of the rotation, as its disk has it; see world_rotate() */
    mono_ns clock_at_zero; /* what its clock showed when the world began, jumps included */
    double clock_rate;
    struct heap_node timer;
    struct heap_node stall;
    struct list inbox; /* what came while it stood still */
    size_t inbox_packets;
    size_t budget; /* a slow node's: things it still gets done before it stands still again */
    struct prng prng;
    void *state;
    uint64_t packets_sent, bytes_sent;
};

struct world_counts {
    uint64_t verdicts;      /* "unreachable" about anyone */
    uint64_t false_any;     /* .. about a node that was up, in the observer's group */
    uint64_t false_subject; /* .. and not slow: no fault of its own */
    uint64_t false_healthy; /* .. and by an observer that is not slow either */
    uint64_t packets, bytes, lost;
    uint64_t steps;
};

void world_config_init(struct world_config *cfg);
struct world *world_new(const struct world_config *cfg); /* NULL = out of memory */
void world_free(struct world *w);

void world_run(struct world *w, mono_ns until);
mono_ns world_now(const struct world *w);
struct world_node *world_node_at(struct world *w, unsigned index);
struct world_counts world_count(const struct world *w);
void world_reset_counts(struct world *w);
const struct world_config *world_cfg(const struct world *w);

void world_crash(struct world *w, unsigned index);
void world_restart(struct world *w, unsigned index); /* with the next boot epoch */
/* With a boot epoch that it has used before: its disk was lost. */
void world_restart_forgetful(struct world *w, unsigned index);
void world_leave(struct world *w, unsigned index);
void world_set_group(struct world *w, unsigned index, unsigned group);
void world_heal(struct world *w); /* one group, no blocked pair, no loss */
void world_set_loss(struct world *w, double loss);
void world_block(struct world *w, unsigned from, unsigned to);   /* one way */
void world_move(struct world *w, unsigned index, unsigned addr); /* a new address */
void world_set_meta(struct world *w, unsigned index, struct slice meta);
void world_stall(struct world *w, unsigned index, mono_ns time);

/* Another process of `victim`'s identity runs here until world_unmask(); both start it anew. */
void world_impersonate(struct world *w, unsigned index, unsigned victim);
void world_unmask(struct world *w, unsigned index);

/* It tells the others an address at which another node listens; world_move() ends it. */
void world_claim_addr(struct world *w, unsigned index, unsigned addr);

/* Its monotonic clock jumps, as after a suspended machine, or back, which no clock should. */
void world_jump_clock(struct world *w, unsigned index, int64_t by);

/* One step of the rotation of the gossip key: the next key is accepted, then used, and so on. As
 * the cluster's leader would have it, nobody is two steps ahead of anybody: false when it must
 * wait for others. */
bool world_rotate(struct world *w, unsigned index);
struct gossip *world_gossip(struct world *w, unsigned index); /* world_shoal; NULL when down */

/* For world_shoal, once all have started: everybody knows everybody from now on. */
void world_acquaint(struct world *w);

struct id world_id(struct world *w, unsigned index);
bool world_connected(const struct world *w, unsigned from, unsigned to); /* packets pass */

/* Feeds any event to a node of world_shoal, as its host would. */
int world_feed(struct world *w, unsigned index, const struct gossip_event *e);

/* Every running, connected node sees every other as alive, and all views are equal. */
bool world_is_converged(struct world *w);

/* Runs in steps until converged; returns the time it took, or MONO_NEVER after `max`. */
mono_ns world_converge(struct world *w, mono_ns max);

/* A hash of everything that was sent and reported: equal for equal runs. */
uint64_t world_trace(const struct world *w);

/* --- for engines */
void world_send(struct world *w, struct world_node *n, unsigned to, struct slice bytes);
void world_set_timer(struct world *w, struct world_node *n, mono_ns at);
void world_report(struct world *w, struct world_node *n, unsigned subject,
                  enum gossip_status status);

#endif /* CHAOS_SIM_GOSSIP_WORLD_H */
