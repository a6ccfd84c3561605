#include "support_world.h"

struct world *support_group_of(const struct world_config *cfg)
{
    struct world *w = world_new(cfg);

    assert_non_null(w);
    world_run(w, cfg->join_spread + NS_PER_MS);
    assert_true(world_converge(w, 20 * NS_PER_S) != MONO_NEVER);
    return w;
}

struct world *support_group(unsigned n, uint64_t seed)
{
    struct world_config cfg;

    world_config_init(&cfg);
    cfg.node_count = n;
    cfg.seed = seed;
    cfg.contact_count = 3;
    return support_group_of(&cfg);
}

enum gossip_status support_status(struct world *w, unsigned observer, unsigned subject)
{
    return world_cfg(w)->engine->status(w, world_node_at(w, observer), subject);
}

mono_ns support_until_status(struct world *w, unsigned observer, unsigned subject,
                             enum gossip_status status, mono_ns max)
{
    mono_ns from = world_now(w);

    while (world_now(w) - from < max) {
        if (support_status(w, observer, subject) == status)
            return world_now(w) - from;
        world_run(w, world_now(w) + 10 * NS_PER_MS);
    }
    return MONO_NEVER;
}
