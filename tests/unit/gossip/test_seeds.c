/* Swarm runs: each seed draws a group, its faults and their rates; first the faults, with safety
 * checked all along, then a healed network and the demand that all views agree in time.
 * GOSSIP_SEEDS runs that many (default 150), from GOSSIP_SEED on; a failure prints the seed that
 * shows it again. */
#include "support_world.h"

#include <stdlib.h>

#define HEAL_BOUND (40 * NS_PER_S) /* 30 s to the slowest retry, and the join */

struct plan {
    struct world_config cfg;
    bool crashes, restarts, partitions, blocks, stalls, metas, moves, leaves;
};

/* Of all kinds of faults, some: with every kind at once each hides the others. */
static struct plan draw_plan(uint64_t seed, struct prng *p)
{
    struct plan plan = { 0 };
    struct world_config *cfg = &plan.cfg;

    world_config_init(cfg);
    cfg->seed = seed;
    cfg->node_count = 2 + (unsigned)prng_below(p, prng_chance(p, 0.1) ? 40 : 9);
    cfg->contact_count = 1 + (unsigned)prng_below(p, 3);
    cfg->loss = prng_chance(p, 0.5) ? 0 : 0.3 * (double)prng_below(p, 100) / 100;
    cfg->delay_max =
        prng_range(p, NS_PER_MS, prng_chance(p, 0.2) ? 300 * NS_PER_MS : 5 * NS_PER_MS);
    cfg->join_spread = prng_below(p, 2 * NS_PER_S);
    cfg->meta_len =
        prng_chance(p, 0.2) ? prng_below(p, GOSSIP_META_LEN_MAX + 1) : prng_below(p, 200);
    if (prng_chance(p, 0.3)) {
        cfg->slow_count = (unsigned)prng_below(p, cfg->node_count);
        cfg->stall_min = NS_PER_MS;
        cfg->stall_max = prng_range(p, 10 * NS_PER_MS, 5 * NS_PER_S);
        cfg->awake_min = NS_PER_MS;
        cfg->awake_max = prng_range(p, 10 * NS_PER_MS, 3 * NS_PER_S);
        cfg->work_time = prng_chance(p, 0.5) ? 0 : NS_PER_MS;
    }
    plan.crashes = prng_chance(p, 0.5);
    plan.restarts = prng_chance(p, 0.8);
    plan.partitions = prng_chance(p, 0.4);
    plan.blocks = prng_chance(p, 0.3);
    plan.stalls = prng_chance(p, 0.3);
    plan.metas = prng_chance(p, 0.4);
    plan.moves = prng_chance(p, 0.2);
    plan.leaves = prng_chance(p, 0.2);
    return plan;
}

/* What must hold at every moment, whatever the network does. */
static void check_safety(struct world *w)
{
    for (unsigned i = 0; i < world_cfg(w)->node_count; i++) {
        struct gossip_stats s;
        struct gossip_member_info self;
        struct id id = world_id(w, i);

        if (!world_node_at(w, i)->up)
            continue;
        gossip_stats_get(world_gossip(w, i), &s);
        assert_true(s.alive_count <= world_cfg(w)->node_count);
        assert_true(s.member_count <= world_cfg(w)->node_count);
        assert_true(s.refused_malformed == 0 && s.refused_signature == 0); /* all are honest */
        assert_true(s.queue_count <= (size_t)world_cfg(w)->node_count * (1 + GOSSIP_ACCUSERS_MAX));
        assert_int_equal(gossip_member_get(world_gossip(w, i), &id, &self), 0);
        assert_true(self.status == GOSSIP_ALIVE || self.status == GOSSIP_LEFT);
        assert_true(gossip_incarnation_cmp(self.incarnation,
                                           gossip_self_incarnation(world_gossip(w, i))) == 0);
    }
}

static void cause_fault(struct world *w, struct plan *plan, struct prng *p)
{
    unsigned n = plan->cfg.node_count;
    unsigned i = (unsigned)prng_below(p, n);
    bool up = world_node_at(w, i)->up;
    uint8_t meta[64] = { (uint8_t)prng_u64(p), 1 };

    switch (prng_below(p, 8)) {
    case 0:
        if (plan->crashes && up)
            world_crash(w, i);
        break;
    case 1:
        if (plan->restarts && !up)
            world_restart(w, i);
        break;
    case 2:
        if (plan->partitions)
            world_set_group(w, i, (unsigned)prng_below(p, 2));
        break;
    case 3:
        if (plan->blocks)
            world_block(w, i, (unsigned)prng_below(p, n));
        break;
    case 4:
        if (plan->stalls && up)
            world_stall(w, i, prng_below(p, 4 * NS_PER_S));
        break;
    case 5:
        if (plan->metas && up)
            world_set_meta(w, i, slice_of(meta, prng_below(p, sizeof(meta))));
        break;
    case 6:
        if (plan->moves && up && i >= plan->cfg.contact_count) /* one address must stay known */
            world_move(w, i, 1000 + (unsigned)prng_below(p, 5000));
        break;
    default:
        if (plan->leaves && up && prng_chance(p, 0.2)) {
            world_leave(w, i);
            world_run(w, world_now(w) + NS_PER_S);
            world_crash(w, i);
        }
        break;
    }
}

/* Everything runs, everything is connected, nobody is slow. */
static void heal(struct world *w)
{
    world_heal(w);
    for (unsigned i = 0; i < world_cfg(w)->node_count; i++) {
        struct world_node *n = world_node_at(w, i);

        n->slow = false;
        if (!n->up)
            world_restart(w, i);
    }
}

static void run_seed(uint64_t seed)
{
    struct prng p;
    struct plan plan;
    struct world *w;
    mono_ns took;

    prng_init(&p, seed);
    plan = draw_plan(seed, &p);
    w = world_new(&plan.cfg);
    assert_non_null(w);
    world_run(w, plan.cfg.join_spread + NS_PER_MS);
    for (unsigned events = (unsigned)prng_below(&p, 30); events > 0; events--) {
        world_run(w, world_now(w) +
                         prng_below(&p, prng_chance(&p, 0.1) ? 60 * NS_PER_S : 3 * NS_PER_S));
        check_safety(w);
        cause_fault(w, &plan, &p);
    }
    heal(w);
    took = world_converge(w, HEAL_BOUND);
    if (took == MONO_NEVER)
        fail_msg("seed %llu: no common view %llu s after healing, %u nodes",
                 (unsigned long long)seed, (unsigned long long)(HEAL_BOUND / NS_PER_S),
                 plan.cfg.node_count);
    check_safety(w);
    world_run(w, world_now(w) + 5 * NS_PER_S); /* and it stays */
    if (!world_is_converged(w) && world_converge(w, 10 * NS_PER_S) == MONO_NEVER)
        fail_msg("seed %llu: the common view was lost", (unsigned long long)seed);
    world_free(w);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void test_every_seed_is_safe_and_heals(void **state)
{
    uint64_t first = from_environment("GOSSIP_SEED", 1);
    uint64_t count = from_environment("GOSSIP_SEEDS", 150);

    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed);
    print_message("  seeds %llu to %llu\n", (unsigned long long)first,
                  (unsigned long long)(first + count - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_seed_is_safe_and_heals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
