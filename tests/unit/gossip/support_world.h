/* tests/unit/gossip/support_world.h - Worlds as the tests of this folder want them. */
#ifndef TESTS_UNIT_GOSSIP_SUPPORT_WORLD_H
#define TESTS_UNIT_GOSSIP_SUPPORT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chaos/sim/gossip_world.h"

/* A group of n on a good network, all up and converged. */
struct world *support_group(unsigned n, uint64_t seed);
struct world *support_group_of(const struct world_config *cfg);

/* Runs until `observer` holds `subject` for that; the time it took, or MONO_NEVER. */
mono_ns support_until_status(struct world *w, unsigned observer, unsigned subject,
                             enum gossip_status status, mono_ns max);
enum gossip_status support_status(struct world *w, unsigned observer, unsigned subject);

#endif /* TESTS_UNIT_GOSSIP_SUPPORT_WORLD_H */
