/* Joining with a token and renewing a certificate, over real connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "support_cluster.h"

/* A manager and what its cluster state would do with requests. */
struct fixture {
    struct test_cluster cluster;
    struct test_node manager;
    struct join_token token;
    size_t request_count;
    uint64_t ticket; /* of a request that is not answered yet */
    bool answers_later;
    struct cert prepared;
    char description[64];

    struct identity joiner;
    bool is_done;
    int status;
    char why[300];
    struct enroll_grant grant;
    char gossip_keys[32];
    char local_address[LINK_ADDRESS_LEN];
};

static void prepare_cert(struct fixture *f, const struct link_enrollment *r)
{
    const uint8_t random[ID_RANDOM_LEN] = { 42 };

    f->prepared = (struct cert){ .cluster = f->cluster.id,
                                 .node = r->cert != NULL ? r->cert->node : id_from_random(random),
                                 .role = r->cert != NULL ? r->cert->role : ROLE_WORKER };
    memcpy(f->prepared.identity_key, r->identity_key, CLUSTER_KEY_LEN);
    memcpy(f->prepared.static_key, r->static_key, CLUSTER_KEY_LEN);
    assert_int_equal(ca_issue(&f->cluster.ca, &f->prepared, test_now()), 0);
}

static int answer(struct fixture *f)
{
    struct enroll_grant grant = { .cert = f->prepared,
                                  .trust = f->manager.identity.trust,
                                  .gossip_keys = slice_of_str("gossip"),
                                  .manager_count = 1 };

    grant.managers[0].node = *node_id(&f->manager);
    strcpy(grant.managers[0].address, links_address(f->manager.links));
    return link_enrollment_grant(f->manager.links, f->ticket, &grant);
}

static void on_enroll(void *ctx, const struct link_enrollment *r)
{
    struct fixture *f = CONTAINER_OF(ctx, struct fixture, manager);

    f->request_count++;
    f->ticket = r->ticket;
    if (r->kind == ENROLL_JOIN && !token_secret_equal(r->secret, f->token.secret)) {
        link_enrollment_refuse(f->manager.links, r->ticket, ERR_UNAUTHENTICATED,
                               "the join token is not valid (any more)");
        return;
    }
    assert_true(r->description.len < sizeof(f->description));
    if (r->description.len > 0)
        memcpy(f->description, r->description.ptr, r->description.len);
    prepare_cert(f, r);
    if (!f->answers_later)
        assert_int_equal(answer(f), 0);
}

static void on_done(void *ctx, const struct enroll_result *result)
{
    struct fixture *f = ctx;

    assert_false(f->is_done);
    f->is_done = true;
    f->status = result->status;
    strcpy(f->why, result->why);
    strcpy(f->local_address, result->local_address);
    assert_true((result->grant != NULL) == (result->status == 0));
    if (result->grant == NULL)
        return;
    f->grant = *result->grant;
    memcpy(f->gossip_keys, result->grant->gossip_keys.ptr, result->grant->gossip_keys.len);
}

static void start(struct fixture *f, enum node_role role)
{
    const uint8_t secret[TOKEN_SECRET_LEN] = { 9, 8, 7 }, seed[NODE_KEYS_SEED_LEN] = { 1, 2, 3 };

    memset(f, 0, sizeof(*f));
    cluster_init(&f->cluster, 5);
    node_init(&f->manager, &f->cluster, role);
    f->manager.cfg.events.on_enroll = on_enroll;
    node_start(&f->manager);
    token_init(&f->token, f->cluster.ca.root, secret);
    node_keys_init(&f->joiner.keys, seed);
}

static void stop(struct fixture *f)
{
    node_stop(&f->manager);
    cluster_deinit(&f->cluster);
}

static struct enroll *ask(struct fixture *f, enum enroll_kind kind, const struct join_token *token,
                          const char *first_address)
{
    const char *addresses[] = { first_address, links_address(f->manager.links) };
    const bool has_first = first_address != NULL;
    const struct enroll_config cfg = { .kind = kind,
                                       .addresses = has_first ? addresses : addresses + 1,
                                       .address_count = has_first ? 2 : 1,
                                       .identity = &f->joiner,
                                       .token = token,
                                       .description = slice_of_str("a fine host") };
    struct enroll *e;

    f->is_done = false;
    assert_int_equal(enroll_start(&f->cluster.loop, &cfg, on_done, f, &e), 0);
    assert_false(f->is_done);
    return e;
}

static void join(struct fixture *f, const struct join_token *token)
{
    (void)ask(f, ENROLL_JOIN, token, NULL);
    RUN_UNTIL(&f->cluster.loop, f->is_done);
}

static void become_member(struct fixture *f)
{
    f->joiner.is_member = true;
    f->joiner.cert = f->grant.cert;
    f->joiner.trust = f->grant.trust;
}

static void test_a_token_makes_a_member(void **state)
{
    struct test_node node;
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    join(&f, &f.token);
    assert_int_equal(f.status, 0);
    assert_string_equal(f.description, "a fine host");
    assert_string_equal(f.gossip_keys, "gossip");
    assert_string_equal(f.local_address, "127.0.0.1");
    assert_int_equal(f.grant.manager_count, 1);
    assert_true(id_equal(&f.grant.managers[0].node, node_id(&f.manager)));
    assert_int_equal(links_counters(f.manager.links)->enrolled, 1);

    /* What it was given opens a link. */
    become_member(&f);
    node_init(&node, &f.cluster, ROLE_WORKER);
    node.identity = f.joiner;
    node_start(&node);
    node_knows(&node, &f.manager, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.manager, &node));
    node_stop(&node);
    stop(&f);
}

static void test_the_answer_may_take_its_time(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    f.answers_later = true;
    (void)ask(&f, ENROLL_JOIN, &f.token, NULL);
    RUN_UNTIL(&f.cluster.loop, f.request_count == 1);
    for (size_t i = 0; i < 10; i++)
        loop_turn(&f.cluster.loop);
    assert_false(f.is_done);
    assert_int_equal(answer(&f), 0);
    assert_int_equal(answer(&f), ERR_CLOSED); /* once */
    RUN_UNTIL(&f.cluster.loop, f.is_done);
    assert_int_equal(f.status, 0);
    stop(&f);
}

static void test_an_asker_who_has_gone_is_not_answered(void **state)
{
    struct fixture f;
    struct enroll *e;

    (void)state;
    start(&f, ROLE_MANAGER);
    f.answers_later = true;
    e = ask(&f, ENROLL_JOIN, &f.token, NULL);
    RUN_UNTIL(&f.cluster.loop, f.request_count == 1);
    enroll_cancel(e);
    RUN_UNTIL(&f.cluster.loop, f.is_done);
    assert_int_equal(f.status, ERR_CLOSED);
    RUN_UNTIL(&f.cluster.loop, answer(&f) == ERR_CLOSED);
    stop(&f);
}

static void test_a_wrong_secret_is_refused_and_too_many_shut_out(void **state)
{
    struct join_token wrong;
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    wrong = f.token;
    wrong.secret[0] ^= 1;
    for (size_t i = 0; i < 5; i++) {
        join(&f, &wrong);
        assert_int_equal(f.status, ERR_UNAUTHENTICATED);
        assert_non_null(strstr(f.why, "the join token is not valid (any more)"));
    }
    assert_int_equal(f.request_count, 5);
    join(&f, &f.token); /* even the right one, for a while */
    assert_int_equal(f.status, ERR_FULL);
    assert_int_equal(f.request_count, 5);
    stop(&f);
}

static void test_a_token_of_another_cluster_never_leaves_the_joiner(void **state)
{
    const uint8_t root[CLUSTER_KEY_LEN] = { 1 };
    struct join_token other;
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    token_init(&other, root, f.token.secret);
    join(&f, &other);
    assert_int_equal(f.status, ERR_WRONG_CLUSTER);
    assert_int_equal(f.request_count, 0);
    stop(&f);
}

static void test_a_worker_cannot_take_in_members(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_WORKER);
    join(&f, &f.token);
    assert_int_equal(f.status, ERR_FORBIDDEN);
    assert_int_equal(f.request_count, 0);
    stop(&f);
}

static void test_the_next_address_is_asked_when_one_is_dead(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    (void)ask(&f, ENROLL_JOIN, &f.token, "localhost:1");
    RUN_UNTIL(&f.cluster.loop, f.is_done);
    assert_int_equal(f.status, 0);
    stop(&f);
}

static void test_a_joiner_has_no_other_use_of_its_connection(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    f.manager.cfg.events.on_enroll = NULL;
    node_stop(&f.manager);
    buf_init(&f.manager.messages, MIB);
    node_start(&f.manager);
    join(&f, &f.token);
    assert_int_equal(f.status, ERR_UNSUPPORTED);
    assert_int_equal(f.manager.up_count, 0);
    stop(&f);
}

/* --- Renewing --- */

static void reissue(struct fixture *f, wall_ns not_before, wall_ns not_after)
{
    assert_int_equal(ca_issue_for(&f->cluster.ca, &f->joiner.cert, not_before, not_after), 0);
}

static void renew(struct fixture *f)
{
    (void)ask(f, ENROLL_RENEW, NULL, NULL);
    RUN_UNTIL(&f->cluster.loop, f->is_done);
}

static void test_a_certificate_is_renewed_also_within_its_grace(void **state)
{
    const wall_ns now = test_now();
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    join(&f, &f.token);
    become_member(&f);
    reissue(&f, now - CERT_VALIDITY_NS, now + 1000 * (wall_ns)NS_PER_S);
    renew(&f);
    assert_int_equal(f.status, 0);
    assert_true(f.grant.cert.not_after > now + CERT_VALIDITY_NS / 2);
    assert_true(id_equal(&f.grant.cert.node, &f.joiner.cert.node));

    reissue(&f, now - CERT_VALIDITY_NS, now - 1); /* it was switched off for months */
    renew(&f);
    assert_int_equal(f.status, 0);

    reissue(&f, now - CERT_RENEWAL_GRACE_NS - 2, now - CERT_RENEWAL_GRACE_NS - 1);
    renew(&f);
    assert_int_equal(f.status, ERR_EXPIRED);
    stop(&f);
}

static void test_a_removed_node_does_not_renew(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    join(&f, &f.token);
    become_member(&f);
    f.manager.admit_status = ERR_REMOVED;
    renew(&f);
    assert_int_equal(f.status, ERR_REMOVED);
    assert_int_equal(f.request_count, 1); /* the joining */
    stop(&f);
}

static void test_renewing_somebody_else_s_certificate(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, ROLE_MANAGER);
    join(&f, &f.token);
    become_member(&f);
    f.joiner.keys.static_secret[5] ^= 1; /* it has the certificate but not the key */
    renew(&f);
    assert_int_equal(f.status, ERR_UNAUTHENTICATED);
    f.joiner.keys.static_secret[5] ^= 1;
    f.joiner.keys.identity_seed[5] ^= 1;
    renew(&f);
    assert_int_equal(f.status, ERR_UNAUTHENTICATED);
    assert_int_equal(f.request_count, 1);
    stop(&f);
}

static void test_a_configuration_that_cannot_work(void **state)
{
    const char *good[] = { "127.0.0.1:1" }, *bad[] = { "[::1" };
    struct identity joiner = { 0 };
    struct join_token token = { 0 };
    struct fixture f;
    struct enroll *e;
    const struct {
        const char *why;
        struct enroll_config cfg;
    } cases[] = {
        { "no address", { ENROLL_JOIN, good, 0, &joiner, &token, { NULL, 0 } } },
        { "an address that is none", { ENROLL_JOIN, bad, 1, &joiner, &token, { NULL, 0 } } },
        { "joining without a token", { ENROLL_JOIN, good, 1, &joiner, NULL, { NULL, 0 } } },
        { "renewing without a certificate", { ENROLL_RENEW, good, 1, &joiner, NULL, { NULL, 0 } } },
    };

    (void)state;
    start(&f, ROLE_MANAGER);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        assert_int_equal(enroll_start(&f.cluster.loop, &cases[i].cfg, on_done, &f, &e),
                         ERR_INVALID);
    }
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_makes_a_member),
        cmocka_unit_test(test_the_answer_may_take_its_time),
        cmocka_unit_test(test_an_asker_who_has_gone_is_not_answered),
        cmocka_unit_test(test_a_wrong_secret_is_refused_and_too_many_shut_out),
        cmocka_unit_test(test_a_token_of_another_cluster_never_leaves_the_joiner),
        cmocka_unit_test(test_a_worker_cannot_take_in_members),
        cmocka_unit_test(test_the_next_address_is_asked_when_one_is_dead),
        cmocka_unit_test(test_a_joiner_has_no_other_use_of_its_connection),
        cmocka_unit_test(test_a_certificate_is_renewed_also_within_its_grace),
        cmocka_unit_test(test_a_removed_node_does_not_renew),
        cmocka_unit_test(test_renewing_somebody_else_s_certificate),
        cmocka_unit_test(test_a_configuration_that_cannot_work),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
