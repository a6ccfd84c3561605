/* Becoming a member and ceasing to be one, with real links, overlay and runtime on loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

static int open_one(void **state)
{
    (void)state;
    hosts_open(&hosts, 1);
    return 0;
}

static int open_two(void **state)
{
    (void)state;
    hosts_open(&hosts, 2);
    return 0;
}

/* Somebody else has the port of the links. */
static int occupy_links_of(const struct host_node *n)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(2377) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, n->address, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_init_makes_a_cluster_of_one(void **state)
{
    struct host_node *n = &hosts.nodes[0];

    (void)state;
    assert_int_equal(host_init(n), 0);
    assert_int_equal(member_state(n->member), MEMBER_ACTIVE);
    assert_true(hosts_leader(&hosts) == n);
    assert_int_equal(host_init(n), ERR_EXISTS);
}

static void test_an_init_that_fails_leaves_nothing_and_may_be_repeated(void **state)
{
    struct host_node *n = &hosts.nodes[0];
    int fd = occupy_links_of(n);

    (void)state;
    assert_int_equal(host_init(n), -EADDRINUSE);
    assert_non_null(strstr(n->why, "127.0.0.1:2377"));
    assert_int_equal(member_state(n->member), MEMBER_NONE);
    assert_null(member_links(n->member));
    assert_null(member_host(n->member));
    (void)close(fd);
    assert_int_equal(host_init(n), 0);
}

static void test_a_failed_init_is_forgotten_by_the_next_start(void **state)
{
    struct host_node *n = &hosts.nodes[0];
    int fd = occupy_links_of(n);

    (void)state;
    assert_int_equal(host_init(n), -EADDRINUSE);
    host_node_stop(n);
    (void)close(fd);
    host_node_start(n);
    assert_int_equal(member_state(n->member), MEMBER_NONE);
}

static void test_a_join_that_cannot_start_leaves_nothing_and_may_be_repeated(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    int fd;

    (void)state;
    assert_int_equal(host_init(a), 0);
    fd = occupy_links_of(b);
    assert_int_equal(host_join(b, a, ROLE_WORKER), -EADDRINUSE);
    assert_int_equal(member_state(b->member), MEMBER_NONE);
    (void)close(fd);
    assert_int_equal(host_join(b, a, ROLE_WORKER), 0);
    assert_int_equal(member_state(b->member), MEMBER_ACTIVE);
}

/* What it was is still known, as a node that is down. */
static void test_a_worker_that_joins_again_is_another_node(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    const struct node *old, *new;
    struct id first;

    (void)state;
    assert_int_equal(host_init(a), 0);
    assert_int_equal(host_join(b, a, ROLE_WORKER), 0);
    first = *host_id(b);
    assert_int_equal(host_leave(b, LEAVE_CAREFULLY), 0);
    assert_int_equal(member_state(b->member), MEMBER_NONE);
    assert_int_equal(host_join(b, a, ROLE_WORKER), 0);
    old = store_node(manager_store(host_manager(a)), &first);
    new = store_node(manager_store(host_manager(a)), host_id(b));
    assert_ptr_not_equal(old, new);
    assert_memory_not_equal(old->static_key, new->static_key, CLUSTER_KEY_LEN);
    assert_memory_not_equal(old->identity_key, new->identity_key, CLUSTER_KEY_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_init_makes_a_cluster_of_one, open_one, close_hosts),
        cmocka_unit_test_setup_teardown(test_an_init_that_fails_leaves_nothing_and_may_be_repeated,
                                        open_one, close_hosts),
        cmocka_unit_test_setup_teardown(test_a_failed_init_is_forgotten_by_the_next_start, open_one,
                                        close_hosts),
        cmocka_unit_test_setup_teardown(
            test_a_join_that_cannot_start_leaves_nothing_and_may_be_repeated, open_two,
            close_hosts),
        cmocka_unit_test_setup_teardown(test_a_worker_that_joins_again_is_another_node, open_two,
                                        close_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
