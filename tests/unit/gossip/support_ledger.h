/* tests/unit/gossip/support_ledger.h - What each observer was told of each subject, and since when.
 *
 * It listens to notices only, so it can be held against what a node answers when asked: who listens
 * knows at all times what who asks is told. It also knows when each node was last disturbed by a
 * fault, so that it can demand that nobody who runs, is awake and can be reached stays
 * unreachable for longer than the slowest retry. */
#ifndef TESTS_UNIT_GOSSIP_SUPPORT_LEDGER_H
#define TESTS_UNIT_GOSSIP_SUPPORT_LEDGER_H

#include "support_world.h"

/* A retry each 30 s, an eighth of jitter, and the way of the news. */
#define LEDGER_UNREACHABLE_MAX (35 * NS_PER_S)

struct ledger;

/* Hooks itself into the configuration of a world that does not exist yet. Outlives that world. */
struct ledger *ledger_new(struct world_config *cfg);
void ledger_free(struct ledger *l);

/* Nothing is demanded of the node before `until`; MONO_NEVER = no more. */
void ledger_disturb(struct ledger *l, unsigned index, mono_ns until);

/* Fails the test when a notice and an answer differ. */
void ledger_check_told(struct ledger *l, struct world *w);

/* Fails the test when a pair that nothing has disturbed or lost packets of for
 * LEDGER_UNREACHABLE_MAX is held apart. For worlds without loss. */
void ledger_check_reached(struct ledger *l, struct world *w);

#endif /* TESTS_UNIT_GOSSIP_SUPPORT_LEDGER_H */
