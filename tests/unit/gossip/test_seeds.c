/* Swarm runs: each seed draws a group, its faults and their rates (support_swarm.c); first the
 * faults, with safety checked all along, then a healed network and the demand that all views agree
 * in time and stay so, and that one more crash is known everywhere in time.
 * GOSSIP_SEEDS runs that many (default 150), from GOSSIP_SEED on; a failure prints the seed that
 * shows it again. */
#include "support_swarm.h"

#include <stdlib.h>

#define EVENTS_MAX   30
#define HEAL_BOUND   (40 * NS_PER_S) /* 30 s to the slowest retry, and the join */
#define CRASH_BOUND  (8 * NS_PER_S)
#define SLOW_NETWORK (100 * NS_PER_MS) /* a round trip is no longer below the time-outs */

/* What must hold at every moment, whatever the network does. */
static void check_safety(struct swarm *s)
{
    struct world *w = s->world;
    unsigned n = s->cfg.node_count;

    for (unsigned i = 0; i < n; i++) {
        struct gossip_stats stats;
        struct gossip_member_info self;
        struct id id = world_id(w, world_node_at(w, i)->identity);

        if (!world_node_at(w, i)->up)
            continue;
        gossip_stats_get(world_gossip(w, i), &stats);
        assert_true(stats.alive_count <= n);
        assert_true(stats.member_count <= n);
        assert_int_equal(stats.refused_malformed, 0); /* all are honest */
        assert_int_equal(stats.refused_signature, 0);
        assert_int_equal(stats.refused_seal, 0); /* and never two key epochs apart */
        assert_true(stats.queue_count <= (size_t)n * (1 + GOSSIP_ACCUSERS_MAX));
        assert_int_equal(gossip_member_get(world_gossip(w, i), &id, &self), 0);
        assert_true(self.status == GOSSIP_ALIVE || self.status == GOSSIP_LEFT);
        assert_true(gossip_incarnation_cmp(self.incarnation,
                                           gossip_self_incarnation(world_gossip(w, i))) == 0);
    }
    ledger_check_told(s->ledger, w);
    if (s->cfg.loss == 0)
        ledger_check_reached(s->ledger, w);
}

/* One line for each node that runs: what it holds of each. */
static void print_views(struct swarm *s)
{
    for (unsigned i = 0; i < s->cfg.node_count; i++) {
        const struct world_node *n = world_node_at(s->world, i);
        struct gossip_stats stats;

        if (!n->up)
            continue;
        gossip_stats_get(world_gossip(s->world, i), &stats);
        print_message("  %u: digest %016llx health %u stalls %llu group %u:", i,
                      (unsigned long long)gossip_digest(world_gossip(s->world, i)), stats.health,
                      (unsigned long long)stats.stalls, n->group);
        for (unsigned k = 0; k < s->cfg.node_count; k++)
            print_message(" %s",
                          k == i ? "self" : gossip_status_text(support_status(s->world, i, k)));
        print_message("\n");
    }
}

static void converge(struct swarm *s, const char *what, mono_ns max)
{
    if (world_converge(s->world, max) != MONO_NEVER)
        return;
    print_views(s);
    fail_msg("%s: no common view of %u nodes after %.0f s", what, s->cfg.node_count,
             (double)max / 1e9);
}

/* Every node holds the metadata that every other says of itself. */
static void check_metadata(struct swarm *s)
{
    for (unsigned i = 0; i < s->cfg.node_count; i++) {
        struct id id = world_id(s->world, i);
        struct gossip_member_info own, held;

        assert_int_equal(gossip_member_get(world_gossip(s->world, i), &id, &own), 0);
        for (unsigned k = 0; k < s->cfg.node_count; k++) {
            assert_int_equal(gossip_member_get(world_gossip(s->world, k), &id, &held), 0);
            assert_true(slice_equal(own.meta, held.meta));
        }
    }
}

/* A calm network: the common view stays, and nobody accuses anybody to the end. */
static void check_calm(struct swarm *s)
{
    world_reset_counts(s->world);
    world_run(s->world, world_now(s->world) + 5 * NS_PER_S);
    converge(s, "the common view was lost", 10 * NS_PER_S);
    assert_int_equal(world_count(s->world).verdicts, 0);
    check_metadata(s);
}

/* Time-outs stretch with local health, and on slow networks nearly every answer is late. */
static mono_ns crash_bound(struct swarm *s)
{
    unsigned worst = s->cfg.delay_max > SLOW_NETWORK ? 2 : 0;

    for (unsigned i = 0; i < s->cfg.node_count; i++) {
        struct gossip_stats stats;

        gossip_stats_get(world_gossip(s->world, i), &stats);
        worst = MAX(worst, stats.health);
    }
    return CRASH_BOUND * (worst + 1);
}

static void check_crash(struct swarm *s)
{
    mono_ns bound = crash_bound(s);

    world_crash(s->world, (unsigned)prng_below(&s->prng, s->cfg.node_count));
    converge(s, "a crash was not known everywhere", bound);
}

static void run_seed(uint64_t seed)
{
    struct swarm s;

    swarm_init(&s, seed);
    print_message("  seed %llu: %u nodes, %u slow, loss %.2f, delay %.0f ms, kinds %04x\n",
                  (unsigned long long)seed, s.cfg.node_count, s.cfg.slow_count, s.cfg.loss,
                  (double)s.cfg.delay_max / 1e6, s.kinds);
    for (unsigned events = (unsigned)prng_below(&s.prng, EVENTS_MAX); events > 0; events--) {
        swarm_disturb(&s);
        check_safety(&s);
    }
    swarm_heal(&s);
    converge(&s, "after healing", HEAL_BOUND);
    check_safety(&s);
    check_calm(&s);
    check_crash(&s);
    swarm_deinit(&s);
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

/* A node came back with nothing, with itself as its only contact, while all others held it for
 * alive: they probed it, it answered, and it never asked who they were. */
static void test_a_node_that_knows_nobody_asks_those_who_probe_it(void **state)
{
    (void)state;
    run_seed(394509);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_that_knows_nobody_asks_those_who_probe_it),
        cmocka_unit_test(test_every_seed_is_safe_and_heals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
