/* chaos/sim/gossip_world_priv.h - The insides of the world, for the files gossip_world*.c. */
#ifndef CHAOS_SIM_GOSSIP_WORLD_PRIV_H
#define CHAOS_SIM_GOSSIP_WORLD_PRIV_H

#include "chaos/sim/gossip_world.h"

enum world_event_kind { WORLD_EVENT_START, WORLD_EVENT_PACKET, WORLD_EVENT_STREAM };

struct world_event {
    struct heap_node node;
    struct list link; /* while it waits in an inbox */
    enum world_event_kind kind;
    unsigned from, to;
    uint64_t stream;             /* STREAM: as the receiver numbers it */
    enum gossip_event_kind what; /* STREAM */
    uint64_t life;               /* STREAM: of the receiver it was meant for */
    size_t len;
    uint8_t bytes[];
};

struct world_pair {
    unsigned from, to;
};

/* One end of a stream; both ends exist from the opening on. */
struct world_end {
    unsigned node;
    uint64_t life; /* of the node: a restarted node has lost its streams */
    uint64_t stream;
    bool closed;     /* its node was told, or said so itself */
    mono_ns arrives; /* nothing later arrives before this */
};

struct world_stream {
    struct list link;
    struct world_end ends[2]; /* opener, responder */
};

struct world {
    struct world_config cfg;
    mono_ns now;
    struct heap heap;
    struct prng net;
    struct world_node *nodes;
    struct id *ids;
    uint8_t (*public_keys)[GOSSIP_PUBLIC_KEY_LEN]; /* derived once: that is slow */
    struct gossip_pool *pool;
    struct world_pair *blocked;
    size_t blocked_count;
    struct list streams; /* zeroed until the first: see world_streams() */
    uint64_t last_inbound;
    struct world_counts counts;
    uint64_t trace;
};

struct world_event *world_event_new(struct world *w, enum world_event_kind kind, unsigned to,
                                    struct slice bytes, mono_ns at);
void world_schedule_start(struct world *w, unsigned index, mono_ns after);
mono_ns world_delay(struct world *w);
unsigned world_find_addr(const struct world *w, unsigned addr); /* UINT32_MAX = nobody */

/* gossip_world_shoal.c */
struct id world_cluster(void);
struct gossip_key world_gossip_key(uint32_t epoch);
void world_secret_key(struct world *w, unsigned index, uint8_t *out);

/* gossip_world_stream.c */
void world_stream_op(struct world *w, struct world_node *n, const struct gossip_stream_op *op,
                     unsigned to);
void world_stream_deliver(struct world *w, struct world_event *e);
void world_streams_break(struct world *w, unsigned index);
void world_streams_free(struct world *w);

#endif /* CHAOS_SIM_GOSSIP_WORLD_PRIV_H */
