/* tests/unit/gossip/support_swarm.h - A group, and faults of many kinds drawn from one seed.
 *
 * Each seed draws the size of its group, its network, and of all kinds of faults some: with
 * every kind at once each hides the others. */
#ifndef TESTS_UNIT_GOSSIP_SUPPORT_SWARM_H
#define TESTS_UNIT_GOSSIP_SUPPORT_SWARM_H

#include "support_ledger.h"

struct swarm {
    struct world *world;
    struct world_config cfg;
    struct ledger *ledger;
    struct prng prng;
    unsigned kinds;   /* bit per kind of fault that this seed may cause */
    unsigned claimed; /* one node claims another's address: its index, or UINT32_MAX */
    bool doubled;     /* one identity runs twice */
};

void swarm_init(struct swarm *s, uint64_t seed);
void swarm_deinit(struct swarm *s);

/* Lets time pass, then causes one fault, if it is a kind that this seed has. */
void swarm_disturb(struct swarm *s);

/* Everything runs as itself, everything is connected, nobody is slow. */
void swarm_heal(struct swarm *s);

#endif /* TESTS_UNIT_GOSSIP_SUPPORT_SWARM_H */
