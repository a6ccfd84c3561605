/* Managers that leave or are demoted, several at once, and the end of the program on the way. */
#include "base/err.h"
#include "support_hosts.h"
#include "tests/support/unit.h"

static struct hosts hosts;

static int close_hosts(void **state)
{
    (void)state;
    hosts_close(&hosts);
    return 0;
}

static struct host_node *node_of(const struct id *id)
{
    for (size_t i = 0; i < hosts.count; i++) {
        const struct id *own = host_id(&hosts.nodes[i]);

        if (own != NULL && id_equal(own, id))
            return &hosts.nodes[i];
    }
    return NULL;
}

/* Its store has come so far that it knows this manager's own node. */
static bool knows_itself(const struct host_node *n)
{
    return host_manager(n) != NULL &&
           store_node(manager_store(host_manager(n)), host_id(n)) != NULL;
}

/* All hosts become managers of one cluster; waits until raft counts every one of them. */
static void make_managers(void)
{
    struct host_node *first = &hosts.nodes[0];

    assert_int_equal(host_init(first), 0);
    for (size_t i = 1; i < hosts.count; i++) {
        assert_int_equal(host_join(&hosts.nodes[i], first, ROLE_MANAGER), 0);
        HOSTS_UNTIL(&hosts, knows_itself(&hosts.nodes[i]));
        HOSTS_UNTIL(&hosts, manager_voter_count(host_manager(first)) == i + 1);
    }
}

static int open_managers(void **state, size_t count)
{
    (void)state;
    hosts_open(&hosts, count);
    make_managers();
    return 0;
}

static int open_two_managers(void **state)
{
    return open_managers(state, 2);
}

static int open_three_managers(void **state)
{
    return open_managers(state, 3);
}

/* Whether changes can be made through `n`. */
static bool works(struct host_node *n)
{
    return host_set_role(n, host_id(n), ROLE_MANAGER) == 0;
}

static void test_a_manager_does_not_leave_unless_forced(void **state)
{
    (void)state;
    assert_int_equal(host_leave(&hosts.nodes[1], LEAVE_CAREFULLY), ERR_FORBIDDEN);
    assert_non_null(strstr(hosts.nodes[1].why, "--force"));
    HOSTS_UNTIL(&hosts, works(&hosts.nodes[1]));
}

/* Its vote is needed to agree that it is gone: a plain end would stop the other for ever. */
static void test_of_two_managers_one_leaves_and_the_other_works_on(void **state)
{
    struct host_node *leader, *other;

    (void)state;
    HOSTS_UNTIL(&hosts, hosts_leader(&hosts) != NULL);
    leader = hosts_leader(&hosts);
    other = leader == &hosts.nodes[0] ? &hosts.nodes[1] : &hosts.nodes[0];
    assert_int_equal(host_leave(leader, LEAVE_FORCED), 0);
    assert_int_equal(member_state(leader->member), MEMBER_NONE);
    HOSTS_UNTIL(&hosts, hosts_leader(&hosts) == other);
    assert_int_equal(manager_voter_count(host_manager(other)), 1);
    HOSTS_UNTIL(&hosts, works(other));
}

static void test_two_of_three_managers_leave_at_once(void **state)
{
    struct host_node *gone[2] = { &hosts.nodes[0], &hosts.nodes[2] }, *stays = &hosts.nodes[1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        host_leave_start(gone[i], LEAVE_FORCED);
    HOSTS_UNTIL(&hosts, gone[0]->is_done && gone[1]->is_done);
    HOSTS_UNTIL(&hosts, hosts_leader(&hosts) == stays);
    HOSTS_UNTIL(&hosts, works(stays));
    assert_int_equal(host_count_managers(stays), 1);
}

static void test_all_managers_leave_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < hosts.count; i++)
        host_leave_start(&hosts.nodes[i], LEAVE_FORCED);
    for (size_t i = 0; i < hosts.count; i++) {
        HOSTS_UNTIL(&hosts, hosts.nodes[i].is_done);
        assert_int_equal(hosts.nodes[i].err, 0);
        assert_int_equal(member_state(hosts.nodes[i].member), MEMBER_NONE);
    }
}

/* Each is right by its own view of the store; together they would leave nobody. */
static void test_managers_that_are_demoted_at_once_leave_one(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    struct id id_a = *host_id(a), id_b = *host_id(b);
    int first, second;

    (void)state;
    first = host_demote_start(a, &id_a);
    second = host_demote_start(b, &id_b);
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    HOSTS_UNTIL(&hosts, a->is_done && b->is_done);
    assert_true((a->err == 0) != (b->err == 0));
    HOSTS_UNTIL(&hosts, hosts_leader(&hosts) == node_of(a->err == 0 ? &id_b : &id_a));
    assert_int_equal(host_count_managers(hosts_leader(&hosts)), 1);
}

/* Without a quorum nobody can agree to anything; whoever says --force goes all the same. */
static void test_a_manager_without_quorum_leaves_by_force(void **state)
{
    (void)state;
    host_node_stop(&hosts.nodes[1]);
    assert_int_equal(host_leave(&hosts.nodes[0], LEAVE_FORCED), 0);
    assert_int_equal(member_state(hosts.nodes[0].member), MEMBER_NONE);
}

/* Raft has let go of it and its log is being closed; then the program ends. */
static void test_the_end_during_a_demotion_is_clean(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    struct id id = *host_id(b);

    (void)state;
    HOSTS_UNTIL(&hosts, host_set_role(a, &id, ROLE_WORKER) == 0); /* or a plan was first */
    HOSTS_UNTIL(&hosts, host_manager(b) == NULL);
    host_node_stop(b);
    host_node_start(b);
    assert_int_equal(member_state(b->member), MEMBER_ACTIVE);
    assert_null(host_manager(b));
}

static void test_a_leave_that_the_end_interrupts_is_a_leave(void **state)
{
    struct host_node *a = &hosts.nodes[0];

    (void)state;
    host_leave_start(a, LEAVE_FORCED);
    host_node_stop(a);
    host_node_start(a);
    assert_int_equal(member_state(a->member), MEMBER_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_manager_does_not_leave_unless_forced,
                                        open_two_managers, close_hosts),
        cmocka_unit_test_setup_teardown(test_of_two_managers_one_leaves_and_the_other_works_on,
                                        open_two_managers, close_hosts),
        cmocka_unit_test_setup_teardown(test_two_of_three_managers_leave_at_once,
                                        open_three_managers, close_hosts),
        cmocka_unit_test_setup_teardown(test_all_managers_leave_at_once, open_three_managers,
                                        close_hosts),
        cmocka_unit_test_setup_teardown(test_managers_that_are_demoted_at_once_leave_one,
                                        open_two_managers, close_hosts),
        cmocka_unit_test_setup_teardown(test_a_manager_without_quorum_leaves_by_force,
                                        open_two_managers, close_hosts),
        cmocka_unit_test_setup_teardown(test_the_end_during_a_demotion_is_clean, open_two_managers,
                                        close_hosts),
        cmocka_unit_test_setup_teardown(test_a_leave_that_the_end_interrupts_is_a_leave,
                                        open_two_managers, close_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
