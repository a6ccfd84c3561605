/* Whole groups under virtual time: the promises of gossip/gossip.h. */
#include "support_ledger.h"

static struct gossip_stats stats_of(struct world *w, unsigned i)
{
    struct gossip_stats s;

    gossip_stats_get(world_gossip(w, i), &s);
    return s;
}

static void run_for(struct world *w, mono_ns t)
{
    world_run(w, world_now(w) + t);
}

static void test_a_group_that_starts_together_knows_itself_at_once(void **state)
{
    const unsigned sizes[] = { 2, 3, 10, 60, 200 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct world_config cfg;
        struct world *w;
        mono_ns t;

        world_config_init(&cfg);
        cfg.node_count = sizes[i];
        cfg.join_spread = 0;
        w = world_new(&cfg);
        assert_non_null(w);
        world_run(w, 0); /* all have started, nobody has been heard */
        assert_false(world_is_converged(w));
        t = world_converge(w, 10 * NS_PER_S);
        print_message("  %u nodes: %.2f s\n", sizes[i], (double)t / 1e9);
        assert_true(t < NS_PER_S);
        world_free(w);
    }
}

static void test_a_crash_is_known_everywhere_within_the_bound(void **state)
{
    const struct {
        unsigned n;
        mono_ns bound; /* p99 of the design, and a margin for the one seed */
    } cases[] = {
        { 2, 6 * NS_PER_S }, { 3, 4 * NS_PER_S }, { 10, 4 * NS_PER_S }, { 100, 5 * NS_PER_S }
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = support_group(cases[i].n, 7);
        mono_ns t;

        run_for(w, 5 * NS_PER_S);
        world_crash(w, cases[i].n - 1);
        t = world_converge(w, 20 * NS_PER_S);
        print_message("  %u nodes: %.2f s\n", cases[i].n, (double)t / 1e9);
        assert_true(t <= cases[i].bound);
        world_free(w);
    }
}

static void test_a_quiet_group_costs_little_and_suspects_nobody(void **state)
{
    struct world *w = support_group(60, 3);
    struct world_counts c;

    (void)state;
    run_for(w, 5 * NS_PER_S);
    world_reset_counts(w);
    run_for(w, 20 * NS_PER_S);
    c = world_count(w);
    print_message("  %.1f packets/s, %.0f bytes/s each\n", (double)c.packets / 20 / 60,
                  (double)c.bytes / 20 / 60);
    assert_true(c.bytes / 20 / 60 < 600 - 5 * 42); /* leaves room for the headers below */
    assert_int_equal(c.verdicts, 0);
    assert_int_equal(stats_of(w, 0).accusations, 0);
    world_free(w);
}

static void test_a_restarted_node_is_back_at_once(void **state)
{
    struct world *w = support_group(20, 5);
    mono_ns t;

    (void)state;
    world_crash(w, 7);
    assert_true(world_converge(w, 20 * NS_PER_S) != MONO_NEVER);
    assert_int_equal(support_status(w, 0, 7), GOSSIP_UNREACHABLE);
    world_restart(w, 7);
    run_for(w, NS_PER_MS);
    t = world_converge(w, 20 * NS_PER_S);
    print_message("  %.2f s\n", (double)t / 1e9);
    assert_true(t < 2 * NS_PER_S);
    world_free(w);
}

/* Both sides hold the other for unreachable, and neither ever stops trying. */
static void test_a_partition_of_an_hour_heals_in_seconds(void **state)
{
    const unsigned sizes[] = { 2, 5, 40 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct world *w = support_group(sizes[i], 11);
        mono_ns t;

        for (unsigned k = sizes[i] / 2; k < sizes[i]; k++)
            world_set_group(w, k, 1);
        run_for(w, 3600 * NS_PER_S);
        assert_int_equal(support_status(w, 0, sizes[i] - 1), GOSSIP_UNREACHABLE);
        assert_int_equal(support_status(w, sizes[i] - 1, 0), GOSSIP_UNREACHABLE);
        world_heal(w);
        t = world_converge(w, 60 * NS_PER_S);
        print_message("  %u nodes: %.1f s\n", sizes[i], (double)t / 1e9);
        assert_true(t < 35 * NS_PER_S);
        world_free(w);
    }
}

/* Not even configured contacts are needed: the members themselves are tried for ever. */
static void test_a_partition_heals_without_contacts(void **state)
{
    struct world *w = support_group(6, 67);

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(world_feed(w, i, &(struct gossip_event){ .kind = GOSSIP_SET_CONTACTS }),
                         0);
        world_set_group(w, i, i % 2);
    }
    run_for(w, 600 * NS_PER_S);
    assert_int_equal(stats_of(w, 0).alive_count, 3);
    world_heal(w);
    assert_true(world_converge(w, 35 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

/* Who has never heard anybody has only its contacts, and they may come last. */
static void test_a_contact_that_does_not_answer_is_tried_for_ever(void **state)
{
    struct world_config cfg;
    struct world *w;

    (void)state;
    world_config_init(&cfg);
    cfg.node_count = 2;
    w = world_new(&cfg);
    assert_non_null(w);
    world_set_group(w, 1, 1);
    run_for(w, 600 * NS_PER_S);
    assert_int_equal(stats_of(w, 1).member_count, 1);
    world_heal(w);
    assert_true(world_converge(w, 35 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

static void test_one_node_alone_comes_back(void **state)
{
    struct world *w = support_group(10, 13);

    (void)state;
    world_set_group(w, 9, 1);
    run_for(w, 3600 * NS_PER_S);
    assert_int_equal(stats_of(w, 9).alive_count, 1);
    world_heal(w);
    assert_true(world_converge(w, 35 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

static void test_leaving_is_not_failing(void **state)
{
    struct world *w = support_group(10, 17);

    (void)state;
    world_leave(w, 4);
    run_for(w, 2 * NS_PER_S);
    world_crash(w, 4);
    run_for(w, 20 * NS_PER_S);
    for (unsigned i = 0; i < 10; i++) {
        if (i != 4)
            assert_int_equal(support_status(w, i, 4), GOSSIP_LEFT);
    }
    assert_int_equal(world_count(w).verdicts, 0);
    world_restart(w, 4);
    run_for(w, NS_PER_MS);
    assert_true(world_converge(w, 10 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

/* memberlist PR 345: everybody restarts, some were held for dead at a high incarnation. */
static void test_a_mass_restart_leaves_nobody_behind(void **state)
{
    struct world *w = support_group(20, 19);

    (void)state;
    for (unsigned i = 10; i < 20; i++)
        world_crash(w, i);
    assert_true(world_converge(w, 20 * NS_PER_S) != MONO_NEVER);
    for (unsigned i = 0; i < 10; i++)
        world_crash(w, i);
    for (unsigned i = 0; i < 20; i++)
        world_restart(w, i);
    run_for(w, NS_PER_MS);
    assert_true(world_converge(w, 10 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

static void test_a_node_that_lost_its_epoch_steps_over_its_past(void **state)
{
    struct world *w = support_group(8, 23);

    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* epoch 4 */
        world_crash(w, 5);
        world_restart(w, 5);
        run_for(w, 3 * NS_PER_S);
    }
    world_crash(w, 5);
    world_restart_forgetful(w, 5);
    run_for(w, NS_PER_MS);
    assert_true(world_converge(w, 10 * NS_PER_S) != MONO_NEVER);
    assert_true(gossip_self_incarnation(world_gossip(w, 5)).epoch >= 5);
    world_free(w);
}

/* A machine restored from a backup: same epoch, same record, but nonces from the beginning. */
static void test_an_epoch_that_was_used_before_is_stepped_over(void **state)
{
    struct world *w = support_group(8, 71);

    (void)state;
    run_for(w, 30 * NS_PER_S);
    world_crash(w, 5);
    world_restart_forgetful(w, 5);
    run_for(w, NS_PER_MS);
    assert_true(world_converge(w, 10 * NS_PER_S) != MONO_NEVER);
    world_reset_counts(w);
    run_for(w, 30 * NS_PER_S);
    assert_int_equal(world_count(w).verdicts, 0);
    assert_int_equal(gossip_self_incarnation(world_gossip(w, 5)).epoch, 2);
    world_free(w);
}

static void test_metadata_reaches_all_whatever_its_size(void **state)
{
    static uint8_t meta[GOSSIP_META_LEN_MAX];
    const size_t sizes[] = { 1, 300, 900, 2000, GOSSIP_META_LEN_MAX, 0 };
    struct world *w = support_group(30, 29);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        unsigned have = 0;
        struct gossip_member_info info;
        struct id id = world_id(w, 3);

        meta[0] = (uint8_t)i;
        world_set_meta(w, 3, slice_of(meta, sizes[i]));
        run_for(w, 2 * NS_PER_S);
        for (unsigned k = 0; k < 30; k++) {
            assert_int_equal(gossip_member_get(world_gossip(w, k), &id, &info), 0);
            have += slice_equal(info.meta, slice_of(meta, sizes[i]));
        }
        print_message("  %zu bytes: %u of 30\n", sizes[i], have);
        assert_int_equal(have, 30);
    }
    world_free(w);
}

static void test_a_changed_address_is_followed(void **state)
{
    struct world *w = support_group(10, 31);

    (void)state;
    world_move(w, 2, 5000);
    run_for(w, 10 * NS_PER_S);
    assert_int_equal(world_count(w).verdicts, 0);
    assert_true(world_converge(w, NS_PER_S) != MONO_NEVER);
    world_free(w);
}

/* It slept for seconds; the answers it missed were its own fault, and it blames nobody. */
static void test_a_node_that_slept_accuses_nobody(void **state)
{
    struct world *w = support_group(10, 37);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        world_stall(w, 6, 900 * NS_PER_MS);
        run_for(w, 2 * NS_PER_S);
    }
    assert_int_equal(stats_of(w, 6).accusations, 0);
    assert_true(stats_of(w, 6).stalls >= 19);
    assert_int_equal(world_count(w).false_healthy, 0);
    world_free(w);
}

/* 3 of 10 links of a node fail in one direction: others speak for it. */
static void test_a_few_broken_directions_accuse_nobody_for_long(void **state)
{
    struct world *w = support_group(10, 41);

    (void)state;
    world_block(w, 0, 1);
    world_block(w, 1, 2);
    world_block(w, 2, 0);
    run_for(w, 60 * NS_PER_S);
    assert_int_equal(world_count(w).verdicts, 0);
    assert_int_equal(support_status(w, 0, 1), GOSSIP_ALIVE);
    world_free(w);
}

static void test_loss_slows_but_does_not_mislead(void **state)
{
    struct world_config cfg;
    struct world *w;

    (void)state;
    world_config_init(&cfg);
    cfg.node_count = 50;
    cfg.loss = 0.25;
    cfg.contact_count = 3;
    cfg.seed = 43;
    w = support_group_of(&cfg);
    world_reset_counts(w);
    run_for(w, 60 * NS_PER_S);
    print_message("  verdicts in a minute at 25 %% loss: %d\n", (int)world_count(w).verdicts);
    assert_int_equal(world_count(w).verdicts, 0);
    world_crash(w, 25);
    assert_true(support_until_status(w, 0, 25, GOSSIP_UNREACHABLE, 10 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

/* consul #2430: half a million events an hour, among nodes that had nothing to do with it. */
static void test_two_nodes_with_one_address_disturb_nobody_else(void **state)
{
    struct world *w = support_group(10, 53);

    (void)state;
    world_move(w, 9, 5000);
    run_for(w, 2 * NS_PER_S);
    /* Node 8 claims the address of 7, whose packets still arrive at 7. */
    assert_int_equal(
        world_feed(w, 8,
                   &(struct gossip_event){
                       .kind = GOSSIP_SET_ADDR,
                       .addr = { .len = 6, .bytes = { 10, 0, 0, 7, 7946 >> 8, 7946 & 0xff } } }),
        0);
    run_for(w, 60 * NS_PER_S);
    assert_true(stats_of(w, 7).misdirected > 0);
    for (unsigned i = 0; i < 7; i++) {
        for (unsigned k = 0; k < 8; k++)
            assert_int_equal(support_status(w, i, k), GOSSIP_ALIVE);
    }
    assert_int_equal(stats_of(w, 7).refutations, 0);
    world_free(w);
}

static void test_an_address_may_be_used_again(void **state)
{
    struct world *w = support_group(10, 59);

    (void)state;
    world_crash(w, 4);
    assert_true(world_converge(w, 20 * NS_PER_S) != MONO_NEVER);
    world_move(w, 4, 6000);
    world_move(w, 5, 4); /* 5 lives where 4 died */
    run_for(w, 5 * NS_PER_S);
    assert_int_equal(support_status(w, 0, 5), GOSSIP_ALIVE);
    assert_int_equal(support_status(w, 0, 4), GOSSIP_UNREACHABLE);
    world_restart(w, 4);
    run_for(w, NS_PER_MS);
    assert_true(world_converge(w, 10 * NS_PER_S) != MONO_NEVER);
    world_free(w);
}

/* moby 6cf8465115: what an unreachable member offers is hidden, not lost. */
static void test_metadata_survives_unreachability(void **state)
{
    struct world *w = support_group(5, 61);
    struct gossip_member_info info;
    struct id id = world_id(w, 3);
    uint8_t meta[] = "offers something";

    (void)state;
    world_set_meta(w, 3, slice_of(meta, sizeof(meta)));
    run_for(w, 2 * NS_PER_S);
    world_set_group(w, 3, 1);
    run_for(w, 60 * NS_PER_S);
    assert_int_equal(gossip_member_get(world_gossip(w, 0), &id, &info), 0);
    assert_int_equal(info.status, GOSSIP_UNREACHABLE);
    assert_true(slice_equal(info.meta, slice_of(meta, sizeof(meta))));
    world_heal(w);
    assert_true(world_converge(w, 35 * NS_PER_S) != MONO_NEVER);
    assert_int_equal(gossip_member_get(world_gossip(w, 0), &id, &info), 0);
    assert_true(slice_equal(info.meta, slice_of(meta, sizeof(meta))));
    world_free(w);
}

/* moby a3aea15257: who only listens to notices knows at all times what who asks is told. */
static void test_notices_tell_the_whole_story(void **state)
{
    struct ledger *ledger;
    struct world_config cfg;
    struct world *w;

    (void)state;
    world_config_init(&cfg);
    cfg.node_count = 20;
    cfg.contact_count = 3;
    cfg.loss = 0.1;
    ledger = ledger_new(&cfg);
    w = support_group_of(&cfg);
    for (unsigned step = 0; step < 40; step++) {
        if (step % 10 == 3)
            world_set_group(w, step % 20, 1);
        if (step % 10 == 8)
            world_heal(w);
        run_for(w, NS_PER_S);
        ledger_check_told(ledger, w);
    }
    world_free(w);
    ledger_free(ledger);
}

static void test_equal_seeds_are_equal_runs(void **state)
{
    uint64_t traces[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = support_group(20, 47);

        world_crash(w, 3);
        run_for(w, 10 * NS_PER_S);
        traces[i] = world_trace(w);
        world_free(w);
    }
    assert_int_equal(traces[0], traces[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_group_that_starts_together_knows_itself_at_once),
        cmocka_unit_test(test_a_crash_is_known_everywhere_within_the_bound),
        cmocka_unit_test(test_a_quiet_group_costs_little_and_suspects_nobody),
        cmocka_unit_test(test_a_restarted_node_is_back_at_once),
        cmocka_unit_test(test_a_partition_of_an_hour_heals_in_seconds),
        cmocka_unit_test(test_a_partition_heals_without_contacts),
        cmocka_unit_test(test_a_contact_that_does_not_answer_is_tried_for_ever),
        cmocka_unit_test(test_one_node_alone_comes_back),
        cmocka_unit_test(test_leaving_is_not_failing),
        cmocka_unit_test(test_a_mass_restart_leaves_nobody_behind),
        cmocka_unit_test(test_a_node_that_lost_its_epoch_steps_over_its_past),
        cmocka_unit_test(test_an_epoch_that_was_used_before_is_stepped_over),
        cmocka_unit_test(test_metadata_reaches_all_whatever_its_size),
        cmocka_unit_test(test_a_changed_address_is_followed),
        cmocka_unit_test(test_a_node_that_slept_accuses_nobody),
        cmocka_unit_test(test_a_few_broken_directions_accuse_nobody_for_long),
        cmocka_unit_test(test_loss_slows_but_does_not_mislead),
        cmocka_unit_test(test_two_nodes_with_one_address_disturb_nobody_else),
        cmocka_unit_test(test_an_address_may_be_used_again),
        cmocka_unit_test(test_metadata_survives_unreachability),
        cmocka_unit_test(test_notices_tell_the_whole_story),
        cmocka_unit_test(test_equal_seeds_are_equal_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
