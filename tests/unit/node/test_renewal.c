/* Running nodes get new certificates, with lives of seconds, and keep their links. */
#include <string.h>

#include "base/err.h"
#include "node/api/api.h"
#include "node/cluster/cert.h"
#include "node/member_impl.h"
#include "support_hosts.h"
#include "tests/support/unit.h"

#define LIFE ((wall_ns)(5 * NS_PER_S)) /* of a certificate */

static struct hosts hosts;

static int close_hosts(void **state)
{
    (void)state;
    hosts_close(&hosts);
    return 0;
}

static int open_two(void **state)
{
    (void)state;
    hosts_open(&hosts, 2);
    return 0;
}

static void make_cluster(enum node_role second)
{
    struct cluster_spec spec = { .ca = { .node_cert_expiry = LIFE } };

    assert_int_equal(host_init_as(&hosts.nodes[0], &spec), 0);
    assert_int_equal(host_join(&hosts.nodes[1], &hosts.nodes[0], second), 0);
}

static const struct cert *cert_of(const struct host_node *n)
{
    return &n->member->identity.cert;
}

static bool has_newer(const struct host_node *n, const struct cert *than)
{
    return cert_of(n)->not_after > than->not_after;
}

static bool sees(const struct host_node *n, const struct host_node *other)
{
    struct link_info info;

    return host_id(other) != NULL && member_links(n->member) != NULL &&
           link_get_info(member_links(n->member), host_id(other), &info) == 0;
}

static void test_running_nodes_renew_and_keep_their_link(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    struct link_info before, after;
    wall_ns outlived;

    (void)state;
    make_cluster(ROLE_WORKER);
    HOSTS_UNTIL(&hosts, sees(a, b));
    assert_int_equal(link_get_info(member_links(a->member), host_id(b), &before), 0);
    outlived = cert_of(b)->not_after + LIFE;
    HOSTS_UNTIL(&hosts, member_wall_now() > outlived); /* two lives later */
    assert_true(cert_of(a)->not_after > member_wall_now());
    assert_true(cert_of(b)->not_after > member_wall_now());
    assert_int_equal(cert_of(b)->role, ROLE_WORKER);
    assert_int_equal(link_get_info(member_links(a->member), host_id(b), &after), 0);
    assert_int_equal(before.since, after.since);
}

static void test_an_expired_node_comes_back_with_a_new_certificate(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    struct cert old;

    (void)state;
    make_cluster(ROLE_WORKER);
    old = *cert_of(b);
    host_node_stop(b);
    HOSTS_UNTIL(&hosts, member_wall_now() > old.not_after);
    host_node_start(b);
    HOSTS_UNTIL(&hosts, has_newer(b, &old) && sees(a, b));
}

static void test_managers_that_have_all_expired_help_themselves(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    struct cert old;

    (void)state;
    make_cluster(ROLE_MANAGER);
    old = *cert_of(b);
    host_node_stop(b);
    host_node_stop(a);
    HOSTS_UNTIL(&hosts, member_wall_now() > old.not_after);
    host_node_start(a);
    host_node_start(b);
    HOSTS_UNTIL(&hosts, has_newer(a, &old) && has_newer(b, &old) && sees(a, b));
    HOSTS_UNTIL(&hosts, hosts_leader(&hosts) != NULL);
}

static uint64_t count_refusals(const struct host_node *n)
{
    const struct links_counters *c = links_counters(member_links(n->member));

    return c->enroll_failed + c->refused_removed;
}

static void test_an_expired_node_that_was_removed_stays_out(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1];
    uint64_t refused;
    struct cert old;

    (void)state;
    make_cluster(ROLE_WORKER);
    old = *cert_of(b);
    host_node_stop(b);
    HOSTS_UNTIL(&hosts, host_remove(a, &old.node) == 0); /* it may lose a race against a plan */
    HOSTS_UNTIL(&hosts, member_wall_now() > old.not_after);
    refused = count_refusals(a);
    host_node_start(b);
    HOSTS_UNTIL(&hosts, count_refusals(a) > refused);
    assert_false(has_newer(b, &old));
    assert_false(sees(a, b));
}

/* A worker knows the managers that there are, not those of its first day. */
static void test_a_worker_learns_who_the_managers_are(void **state)
{
    struct host_node *a = &hosts.nodes[0], *b = &hosts.nodes[1], *c = &hosts.nodes[2];
    struct api_remote remotes[4];

    (void)state;
    hosts_open(&hosts, 3);
    make_cluster(ROLE_WORKER);
    assert_int_equal(host_join(c, a, ROLE_MANAGER), 0);
    HOSTS_UNTIL(&hosts, member_remotes(b->member, remotes, 4) == 2);
    HOSTS_UNTIL(&hosts, host_set_role(a, host_id(c), ROLE_WORKER) == 0); /* or a plan was first */
    HOSTS_UNTIL(&hosts, member_remotes(b->member, remotes, 4) == 1);
    assert_string_equal(remotes[0].addr, "127.0.0.1:2377");
    hosts_close(&hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_running_nodes_renew_and_keep_their_link, open_two,
                                        close_hosts),
        cmocka_unit_test_setup_teardown(test_an_expired_node_comes_back_with_a_new_certificate,
                                        open_two, close_hosts),
        cmocka_unit_test_setup_teardown(test_managers_that_have_all_expired_help_themselves,
                                        open_two, close_hosts),
        cmocka_unit_test_setup_teardown(test_an_expired_node_that_was_removed_stays_out, open_two,
                                        close_hosts),
        cmocka_unit_test(test_a_worker_learns_who_the_managers_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
