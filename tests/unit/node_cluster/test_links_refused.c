/* Who is not let in, and what a bad peer can do: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "support_cluster.h"

struct fixture {
    struct test_cluster cluster;
    struct test_node a, b;
};

static void init(struct fixture *f)
{
    cluster_init(&f->cluster, 2);
    node_init(&f->a, &f->cluster, ROLE_MANAGER);
    node_init(&f->b, &f->cluster, ROLE_MANAGER);
}

static void start(struct fixture *f)
{
    node_start(&f->a);
    node_start(&f->b);
}

static void stop(struct fixture *f)
{
    node_stop(&f->a);
    node_stop(&f->b);
    cluster_deinit(&f->cluster);
}

/* `dialler` refuses the other side's certificate, or learns that its own was refused. */
static void expect_refusal(struct fixture *f, struct test_node *dialler, int reason)
{
    node_knows(dialler, dialler == &f->a ? &f->b : &f->a, LINK_WANTED);
    RUN_UNTIL(&f->cluster.loop, dialler->refused_count > 0);
    assert_int_equal(dialler->last_refused, reason);
    assert_int_equal(f->a.up_count + f->b.up_count, 0);
}

static void test_a_foreign_cluster(void **state)
{
    struct test_cluster other;
    struct fixture f;

    (void)state;
    init(&f);
    cluster_init(&other, 3);
    node_init(&f.b, &other, ROLE_MANAGER);
    f.b.loop = &f.cluster.loop;
    start(&f);
    expect_refusal(&f, &f.a, ERR_WRONG_CLUSTER);
    assert_true(links_counters(f.a.links)->refused_cluster > 0);
    stop(&f);
    cluster_deinit(&other);
}

static void test_a_certificate_of_another_authority_in_the_cluster_s_name(void **state)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { 66 };
    struct fixture f;
    struct ca thief;

    (void)state;
    init(&f);
    ca_init(&thief, seed);
    node_reissue(&f.b, &thief, test_now() - CERT_BACKDATE_NS, test_now() + CERT_VALIDITY_NS);
    f.b.identity.trust.roots[f.b.identity.trust.root_count++] = ca_root(&thief);
    start(&f);
    expect_refusal(&f, &f.b, ERR_UNAUTHENTICATED); /* told by a, which it trusts itself */
    assert_true(links_counters(f.a.links)->refused_unauthentic > 0);
    stop(&f);
}

static void test_an_expired_certificate(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    node_reissue(&f.b, &f.cluster.ca, test_now() - CERT_VALIDITY_NS, test_now() - 1);
    start(&f);
    expect_refusal(&f, &f.b, ERR_EXPIRED);
    RUN_UNTIL(&f.cluster.loop, links_counters(f.a.links)->refused_expired > 0);
    stop(&f);
}

static void test_somebody_else_s_certificate(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    /* b shows what it overheard of a third node, but has only its own key. */
    f.b.identity.cert.static_key[0] ^= 1;
    node_reissue(&f.b, &f.cluster.ca, test_now() - 1, test_now() + CERT_VALIDITY_NS);
    start(&f);
    expect_refusal(&f, &f.b, ERR_UNAUTHENTICATED);
    stop(&f);
}

static void test_a_removed_node(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    start(&f);
    f.a.admit_status = ERR_REMOVED;
    expect_refusal(&f, &f.b, ERR_REMOVED); /* it learns why, and can tell its owner */
    RUN_UNTIL(&f.cluster.loop, links_counters(f.a.links)->refused_removed > 0);
    stop(&f);
}

static void test_a_node_that_is_removed_while_linked(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    start(&f);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, f.a.up_count == 1 && f.b.up_count == 1);
    f.a.admit_status = ERR_REMOVED;
    RUN_UNTIL(&f.cluster.loop, f.a.down_count == 1 && f.b.down_count == 1);
    assert_int_equal(f.a.last_down, ERR_REMOVED);
    assert_int_equal(f.b.last_down, ERR_REMOVED);
    stop(&f);
}

static void test_another_node_than_the_one_expected_at_an_address(void **state)
{
    const char *addresses[1];
    struct link_peer_hint hint = { addresses, 1, LINK_WANTED };
    const uint8_t random[ID_RANDOM_LEN] = { 5 };
    struct id third = id_from_random(random);
    struct fixture f;

    (void)state;
    init(&f);
    start(&f);
    addresses[0] = links_address(f.b.links);
    assert_int_equal(link_set_peer(f.a.links, &third, &hint), 0);
    RUN_UNTIL(&f.cluster.loop, f.a.refused_count > 0);
    assert_int_equal(f.a.last_refused, ERR_NOT_FOUND);
    assert_int_equal(f.b.up_count, 0);
    stop(&f);
}

static void test_a_second_node_with_our_identity(void **state)
{
    const char *addresses[1];
    struct link_peer_hint hint = { addresses, 1, LINK_WANTED };
    struct test_node twin;
    struct fixture f;

    (void)state;
    init(&f);
    twin = f.b; /* a copied state directory */
    twin.cfg.identity = &twin.identity;
    twin.cfg.events.ctx = &twin;
    start(&f);
    node_start(&twin);
    addresses[0] = links_address(f.b.links);
    assert_int_equal(link_set_peer(twin.links, node_id(&f.a), &hint), 0);
    RUN_UNTIL(&f.cluster.loop, twin.refused_count > 0);
    assert_int_equal(twin.last_refused, ERR_CONFLICT);
    node_stop(&twin);
    stop(&f);
}

static void test_a_worker_on_a_channel_of_managers(void **state)
{
    const enum link_channel forbidden[] = { LINK_RAFT, LINK_FORWARD, LINK_LOGS, LINK_EXEC };
    const enum link_channel allowed[] = { LINK_GOSSIP, LINK_DISPATCH, LINK_BLOBS };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
        struct test_stream s;
        struct fixture f;

        init(&f);
        f.b.identity.cert.role = ROLE_WORKER;
        node_reissue(&f.b, &f.cluster.ca, test_now() - 1, test_now() + CERT_VALIDITY_NS);
        start(&f);
        node_knows(&f.b, &f.a, LINK_ON_DEMAND);
        for (size_t k = 0; k < ARRAY_LEN(allowed); k++)
            assert_int_equal(
                link_send(f.b.links, node_id(&f.a), allowed[k], slice_of_str("worker")), 0);
        RUN_UNTIL(&f.cluster.loop, f.a.message_count == ARRAY_LEN(allowed));

        /* The other way round it serves a manager. */
        f.b.echoes = true;
        test_stream_open(&s, &f.a, node_id(&f.b), forbidden[i]);
        assert_int_equal(link_stream_write(s.stream, slice_of_str("manager")), 0);
        link_stream_finish(s.stream, 0);
        RUN_UNTIL(&f.cluster.loop, s.is_closed);
        assert_int_equal(s.data.len, 7);

        assert_int_equal(link_send(f.b.links, node_id(&f.a), forbidden[i], slice_of_str("x")), 0);
        RUN_UNTIL(&f.cluster.loop, f.b.down_count == 1);
        assert_int_equal(f.b.last_down, ERR_FORBIDDEN);
        assert_int_equal(f.a.message_count, ARRAY_LEN(allowed));
        assert_int_equal(links_counters(f.a.links)->refused_forbidden, 1);
        test_stream_deinit(&s);
        stop(&f);
    }
}

/* Demoted in the cluster's state, a manager by its certificate: raft must be able to tell it. */
static void test_a_demoted_manager_may_only_speak_raft(void **state)
{
    struct fixture f;

    (void)state;
    init(&f);
    f.a.admits_workers = true;
    start(&f);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.a, &f.b));
    assert_int_equal(f.a.last_up.role, ROLE_WORKER);
    assert_int_equal(link_send(f.b.links, node_id(&f.a), LINK_RAFT, slice_of_str("vote")), 0);
    RUN_UNTIL(&f.cluster.loop, f.a.message_count == 1);
    assert_int_equal(link_send(f.b.links, node_id(&f.a), LINK_FORWARD, slice_of_str("do")), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.down_count == 1);
    assert_int_equal(f.b.last_down, ERR_FORBIDDEN);
    assert_int_equal(f.a.message_count, 1);
    stop(&f);
}

/* --- A raw socket --- */

struct raw {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uint8_t bytes[256];
    size_t len;
    bool is_over, is_closed;
};

static void on_raw_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static char sink[65536];

    (void)handle;
    (void)suggested;
    *out = uv_buf_init(sink, sizeof(sink));
}

static void on_raw_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct raw *r = stream->data;

    (void)b;
    r->is_over = n < 0;
    if (n < 0)
        assert_int_equal(uv_read_stop(stream), 0);
}

static void on_raw_written(uv_write_t *req, int status)
{
    (void)req;
    (void)status;
}

static void on_raw_connected(uv_connect_t *req, int status)
{
    struct raw *r = CONTAINER_OF(req, struct raw, connect);
    uv_buf_t b = uv_buf_init((char *)r->bytes, (unsigned)r->len);

    assert_int_equal(status, 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&r->tcp, on_raw_alloc, on_raw_read), 0);
    if (r->len > 0)
        assert_int_equal(uv_write(&r->write, (uv_stream_t *)&r->tcp, &b, 1, on_raw_written), 0);
}

static void raw_start(struct raw *r, struct test_node *n, struct slice bytes)
{
    struct sockaddr_storage a;

    memset(r, 0, sizeof(*r));
    r->len = bytes.len;
    if (bytes.len > 0)
        memcpy(r->bytes, bytes.ptr, bytes.len);
    assert_int_equal(address_parse(links_address(n->links), &a), 0);
    assert_int_equal(uv_tcp_init(n->loop, &r->tcp), 0);
    r->tcp.data = r;
    assert_int_equal(uv_tcp_connect(&r->connect, &r->tcp, (struct sockaddr *)&a, on_raw_connected),
                     0);
}

static void on_raw_closed(uv_handle_t *handle)
{
    struct raw *r = handle->data;

    r->is_closed = true;
}

static void raw_stop(struct raw *r, struct test_node *n)
{
    uv_close((uv_handle_t *)&r->tcp, on_raw_closed);
    RUN_UNTIL(n->loop, r->is_closed);
}

static void test_bytes_that_are_no_handshake(void **state)
{
    const struct {
        const char *why;
        struct slice bytes;
    } cases[] = {
        { "HTTP", slice_of_str("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
        { "an empty record", { (const uint8_t *)"\0\0", 2 } },
        { "a record longer than a handshake", { (const uint8_t *)"\xff\xff", 2 } },
        { "too short for a key", { (const uint8_t *)"\0\4abcd", 6 } },
        { "a key and no offer",
          { (const uint8_t *)"\0\x20"
                             "0123456789abcdef0123456789abcdef",
            34 } },
        { "a key and a version of the future",
          { (const uint8_t *)"\0\x25"
                             "0123456789abcdef0123456789abcdef\x82\1\7\2\7",
            39 } },
    };
    struct fixture f;

    (void)state;
    init(&f);
    start(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;

        print_message("  %s\n", cases[i].why);
        raw_start(&r, &f.a, cases[i].bytes);
        RUN_UNTIL(&f.cluster.loop, r.is_over);
        raw_stop(&r, &f.a);
        assert_int_equal(links_counters(f.a.links)->refused_malformed, i + 1);
    }
    stop(&f);
}

static void test_holding_connections_open_shuts_nobody_out(void **state)
{
    struct raw raws[8];
    struct fixture f;

    (void)state;
    init(&f);
    f.a.cfg.handshake_count_max = 4;
    start(&f);
    for (size_t i = 0; i < ARRAY_LEN(raws); i++) {
        raw_start(&raws[i], &f.a, slice_of(NULL, 0));
        RUN_UNTIL(&f.cluster.loop, links_counters(f.a.links)->accepted == i + 1);
    }
    RUN_UNTIL(&f.cluster.loop, raws[3].is_over); /* the oldest made room */
    assert_int_equal(links_counters(f.a.links)->refused_full, 4);
    assert_false(raws[7].is_over);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.b, &f.a));
    for (size_t i = 0; i < ARRAY_LEN(raws); i++)
        raw_stop(&raws[i], &f.a);
    stop(&f);
}

static void test_a_handshake_that_does_not_end(void **state)
{
    struct raw r;
    struct fixture f;

    (void)state;
    init(&f);
    start(&f);
    raw_start(&r, &f.a, slice_of_str("\0"));
    RUN_UNTIL(&f.cluster.loop, r.is_over); /* five seconds */
    assert_int_equal(links_counters(f.a.links)->refused_slow, 1);
    raw_stop(&r, &f.a);
    stop(&f);
}

static void test_no_more_links_than_allowed(void **state)
{
    struct test_node c;
    struct fixture f;

    (void)state;
    init(&f);
    node_init(&c, &f.cluster, ROLE_WORKER);
    f.a.cfg.link_count_max = 1;
    start(&f);
    node_start(&c);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.b, &f.a));
    node_knows(&c, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, c.refused_count > 0);
    assert_int_equal(c.last_refused, ERR_FULL);
    assert_false(node_has_link(&c, &f.a));
    node_stop(&c);
    stop(&f);
}

/* --- Roots --- */

static void test_a_node_with_the_old_root_follows_to_the_new_one(void **state)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { 77 };
    struct fixture f;
    struct ca next;

    (void)state;
    init(&f);
    ca_init(&next, seed);
    /* a has the new root and a new certificate; b was away. */
    f.a.identity.trust.roots[1] = f.a.identity.trust.roots[0];
    f.a.identity.trust.roots[0] = ca_cross_sign(&f.cluster.ca, &f.cluster.id, &next);
    f.a.identity.trust.root_count = 2;
    node_reissue(&f.a, &next, test_now() - 1, test_now() + CERT_VALIDITY_NS);
    start(&f);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.b, &f.a) && node_has_link(&f.a, &f.b));

    /* The rotation ends: the old root goes, and with it whoever has not renewed. */
    f.a.identity.trust.root_count = 1;
    assert_int_equal(links_set_identity(f.a.links, &f.a.identity), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.down_count == 1);
    assert_int_equal(f.b.last_down, ERR_UNAUTHENTICATED);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_foreign_cluster),
        cmocka_unit_test(test_a_certificate_of_another_authority_in_the_cluster_s_name),
        cmocka_unit_test(test_an_expired_certificate),
        cmocka_unit_test(test_somebody_else_s_certificate),
        cmocka_unit_test(test_a_removed_node),
        cmocka_unit_test(test_a_node_that_is_removed_while_linked),
        cmocka_unit_test(test_another_node_than_the_one_expected_at_an_address),
        cmocka_unit_test(test_a_second_node_with_our_identity),
        cmocka_unit_test(test_a_worker_on_a_channel_of_managers),
        cmocka_unit_test(test_a_demoted_manager_may_only_speak_raft),
        cmocka_unit_test(test_bytes_that_are_no_handshake),
        cmocka_unit_test(test_holding_connections_open_shuts_nobody_out),
        cmocka_unit_test(test_a_handshake_that_does_not_end),
        cmocka_unit_test(test_no_more_links_than_allowed),
        cmocka_unit_test(test_a_node_with_the_old_root_follows_to_the_new_one),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
