/* Settings of the cluster: what is not obeyed is refused, with the reason. */
#include "base/err.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_cluster.h"

static int update(struct world *w, const struct cluster_spec *spec)
{
    uint64_t version = store_the_cluster(w->store)->version.index;

    return world_apply(w, admit_cluster_update(world_admit(w), version, spec));
}

static void test_autolock_is_refused_not_ignored(void **state)
{
    struct cluster_spec spec = { .encryption = { .auto_lock = true } };
    struct world w;

    (void)state;
    world_init(&w, 1);
    assert_int_equal(update(&w, &spec), ERR_INVALID);
    assert_non_null(strstr(world_error.text, "autolock"));
    world_deinit(&w);
}

static void test_a_validity_below_an_hour_is_refused(void **state)
{
    struct cluster_spec spec = { .ca = { .node_cert_expiry = 3600 * SECOND - 1 } };
    struct world w;

    (void)state;
    world_init(&w, 1);
    assert_int_equal(update(&w, &spec), ERR_INVALID);
    spec.ca.node_cert_expiry++;
    assert_int_equal(update(&w, &spec), 0);
    world_deinit(&w);
}

static void test_what_is_not_a_setting_here_is_refused(void **state)
{
    uint64_t one = 1;
    const struct {
        struct cluster_spec spec;
        const char *names;
    } rows[] = {
        { { .raft = { .snapshot_interval = 100 } }, "snapshot" },
        { { .raft = { .keep_old_snapshots = &one } }, "snapshot" },
        { { .raft = { .trailing_entries = 500 } }, "snapshot" },
        { { .raft = { .election_tick = 10 } }, "tick" },
        { { .raft = { .heartbeat_tick = 1 } }, "tick" },
        { { .dispatcher = { .heartbeat_period = 5 * SECOND } }, "heartbeat" },
    };
    struct cluster_spec nothing = { 0 };
    uint64_t none = 0;
    struct world w;

    (void)state;
    world_init(&w, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(update(&w, &rows[i].spec), ERR_INVALID);
        assert_non_null(strstr(world_error.text, rows[i].names));
    }
    assert_int_equal(update(&w, &nothing), 0);
    nothing.raft.keep_old_snapshots = &none; /* clients send it */
    assert_int_equal(update(&w, &nothing), 0);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_autolock_is_refused_not_ignored),
        cmocka_unit_test(test_a_validity_below_an_hour_is_refused),
        cmocka_unit_test(test_what_is_not_a_setting_here_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
