/* Two or three nodes on loopback: links come up, carry, end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "support_cluster.h"

struct fixture {
    struct test_cluster cluster;
    struct test_node a, b;
};

static void start(struct fixture *f)
{
    cluster_init(&f->cluster, 1);
    node_init(&f->a, &f->cluster, ROLE_MANAGER);
    node_init(&f->b, &f->cluster, ROLE_MANAGER);
    node_start(&f->a);
    node_start(&f->b);
}

static void stop(struct fixture *f)
{
    node_stop(&f->a);
    node_stop(&f->b);
    cluster_deinit(&f->cluster);
}

static void link_up(struct fixture *f)
{
    node_knows(&f->a, &f->b, LINK_WANTED);
    RUN_UNTIL(&f->cluster.loop, node_has_link(&f->a, &f->b) && node_has_link(&f->b, &f->a));
}

static void test_a_wanted_peer_is_dialled_and_both_learn_who_it_is(void **state)
{
    struct link_info info;
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    assert_int_equal(f.a.up_count, 1);
    assert_int_equal(f.b.up_count, 1);
    assert_true(id_equal(&f.a.last_up.node, node_id(&f.b)));
    assert_true(id_equal(&f.b.last_up.node, node_id(&f.a)));
    assert_int_equal(f.b.last_up.role, ROLE_MANAGER);
    assert_memory_equal(f.a.last_up.static_key, f.b.identity.keys.static_key, CLUSTER_KEY_LEN);
    assert_string_equal(f.a.last_up.address, links_address(f.b.links));
    RUN_UNTIL(&f.cluster.loop, link_get_info(f.a.links, node_id(&f.b), &info) == 0 && info.rtt > 0);
    stop(&f);
    assert_int_equal(f.b.down_count, 1);
}

static void test_messages_go_both_ways_and_keep_their_order(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    for (uint8_t i = 0; i < 200; i++) {
        assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of(&i, 1)), 0);
        assert_int_equal(link_send(f.b.links, node_id(&f.a), LINK_DISPATCH, slice_of(&i, 1)), 0);
    }
    assert_int_equal(f.b.message_count, 0); /* nothing is delivered from inside a call */
    RUN_UNTIL(&f.cluster.loop, f.a.message_count == 200 && f.b.message_count == 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(f.b.messages.ptr[i], i);
    assert_int_equal(f.b.last_channel, LINK_RAFT);
    assert_true(id_equal(&f.b.last_from, node_id(&f.a)));
    stop(&f);
}

static void test_the_first_message_dials_and_waits_for_the_link(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    node_knows(&f.a, &f.b, LINK_ON_DEMAND);
    assert_false(node_has_link(&f.a, &f.b));
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_BLOBS, slice_of_str("x")), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1);
    stop(&f);
}

static void test_large_messages_arrive_whole(void **state)
{
    uint8_t *bytes = malloc(LINK_MESSAGE_LEN_MAX);
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < LINK_MESSAGE_LEN_MAX; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 999);
    start(&f);
    link_up(&f);
    assert_int_equal(
        link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of(bytes, LINK_MESSAGE_LEN_MAX)), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1);
    assert_int_equal(f.b.messages.len, LINK_MESSAGE_LEN_MAX);
    assert_memory_equal(f.b.messages.ptr, bytes, LINK_MESSAGE_LEN_MAX);
    stop(&f);
    free(bytes);
}

static void test_a_request_and_its_answer_on_a_stream(void **state)
{
    struct test_stream s;
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    f.b.echoes = true;
    test_stream_open(&s, &f.a, node_id(&f.b), LINK_FORWARD);
    assert_int_equal(link_stream_write(s.stream, slice_of_str("hello")), 0);
    link_stream_finish(s.stream, 7);
    RUN_UNTIL(&f.cluster.loop, s.is_closed && f.b.is_closed);
    assert_string_equal(f.b.header, "header");
    assert_true(slice_equal(buf_slice(&s.data), slice_of_str("hello")));
    assert_int_equal(s.finish_status, 7);
    assert_int_equal(s.close_reason, 0);
    test_stream_deinit(&s);
    stop(&f);
}

static void test_this_node_reaches_itself_the_same_way(void **state)
{
    struct test_stream s, refused;
    struct fixture f;

    (void)state;
    start(&f);
    assert_true(node_has_link(&f.a, &f.a));
    assert_int_equal(link_send(f.a.links, node_id(&f.a), LINK_RAFT, slice_of_str("me")), 0);
    assert_int_equal(f.a.message_count, 0);
    f.a.echoes = true;
    test_stream_open(&s, &f.a, node_id(&f.a), LINK_LOGS);
    assert_int_equal(link_stream_write(s.stream, slice_of_str("data")), 0);
    link_stream_finish(s.stream, 0);
    RUN_UNTIL(&f.cluster.loop, f.a.message_count == 1 && s.is_closed && f.a.is_closed);
    assert_true(id_equal(&f.a.last_from, node_id(&f.a)));
    assert_true(slice_equal(buf_slice(&s.data), slice_of_str("data")));

    f.a.accept_status = ERR_FORBIDDEN;
    test_stream_open(&refused, &f.a, node_id(&f.a), LINK_LOGS);
    RUN_UNTIL(&f.cluster.loop, refused.is_closed);
    assert_int_equal(refused.close_reason, ERR_FORBIDDEN);
    test_stream_deinit(&s);
    test_stream_deinit(&refused);
    stop(&f);
    assert_int_equal(f.a.up_count, 0); /* it is no peer */
}

static void test_nodes_that_dial_each_other_keep_one_link(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    node_knows(&f.a, &f.b, LINK_WANTED);
    node_knows(&f.b, &f.a, LINK_WANTED);
    RUN_UNTIL(&f.cluster.loop, node_has_link(&f.a, &f.b) && node_has_link(&f.b, &f.a));
    for (size_t i = 0; i < 50; i++) /* the other attempt ends meanwhile */
        loop_turn(&f.cluster.loop);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("1")), 0);
    assert_int_equal(link_send(f.b.links, node_id(&f.a), LINK_RAFT, slice_of_str("2")), 0);
    RUN_UNTIL(&f.cluster.loop, f.a.message_count == 1 && f.b.message_count == 1);
    assert_int_equal(f.a.up_count, 1);
    assert_int_equal(f.b.up_count, 1);
    assert_int_equal(f.a.down_count + f.b.down_count, 0);
    stop(&f);
}

static void test_a_dead_peer_comes_back_at_another_address(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    node_stop(&f.b);
    RUN_UNTIL(&f.cluster.loop, f.a.down_count == 1);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")),
                     ERR_UNAVAILABLE);
    buf_init(&f.b.messages, MIB);
    node_start(&f.b);
    link_learn(f.a.links, node_id(&f.b), links_address(f.b.links));
    RUN_UNTIL(&f.cluster.loop, f.a.up_count == 2);
    stop(&f);
}

static void test_the_next_address_is_tried_when_one_fails(void **state)
{
    const char *addresses[] = { "127.0.0.1:1", "127.0.0.1:2", NULL };
    struct link_peer_hint hint = { addresses, 3, LINK_ON_DEMAND };
    struct fixture f;

    (void)state;
    start(&f);
    addresses[2] = links_address(f.b.links);
    assert_int_equal(link_set_peer(f.a.links, node_id(&f.b), &hint), 0);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1);
    stop(&f);
}

static void test_nowhere_to_go_is_an_answer(void **state)
{
    const char *addresses[] = { "127.0.0.1:1" }, *wrong[] = { "no number:1" };
    struct link_peer_hint hint = { addresses, 1, LINK_ON_DEMAND },
                          bad = { wrong, 1, LINK_ON_DEMAND };
    struct test_stream s;
    struct fixture f;

    (void)state;
    start(&f);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")),
                     ERR_UNAVAILABLE); /* never heard of */
    assert_int_equal(link_set_peer(f.a.links, node_id(&f.b), &bad), ERR_INVALID);
    assert_int_equal(link_set_peer(f.a.links, node_id(&f.b), &hint), 0);
    test_stream_open(&s, &f.a, node_id(&f.b), LINK_BLOBS);
    RUN_UNTIL(&f.cluster.loop, s.is_closed);
    assert_int_equal(s.close_reason, ERR_UNAVAILABLE);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")),
                     ERR_UNAVAILABLE);      /* the pause after a failed round */
    node_knows(&f.a, &f.b, LINK_ON_DEMAND); /* a new address ends it */
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1);
    test_stream_deinit(&s);
    stop(&f);
}

static void test_losing_the_link_ends_its_streams(void **state)
{
    struct test_stream s;
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    test_stream_open(&s, &f.a, node_id(&f.b), LINK_LOGS);
    RUN_UNTIL(&f.cluster.loop, f.b.stream != NULL);
    link_drop(f.b.links, node_id(&f.a), ERR_FORBIDDEN);
    assert_false(f.b.is_closed); /* never from inside a call */
    RUN_UNTIL(&f.cluster.loop, s.is_closed && f.b.is_closed);
    assert_int_equal(s.close_reason, ERR_FORBIDDEN);
    assert_int_equal(f.a.last_down, ERR_FORBIDDEN); /* what the peer said */
    RUN_UNTIL(&f.cluster.loop, f.a.up_count == 2);  /* it is wanted */
    test_stream_deinit(&s);
    stop(&f);
}

static void test_keys_change_under_load(void **state)
{
    uint8_t *bytes = malloc(LINK_MESSAGE_LEN_MAX);
    struct fixture f;

    (void)state;
    memset(bytes, 0x5a, LINK_MESSAGE_LEN_MAX);
    cluster_init(&f.cluster, 1);
    node_init(&f.a, &f.cluster, ROLE_MANAGER);
    node_init(&f.b, &f.cluster, ROLE_MANAGER);
    f.a.cfg.rekey_len = 100000;
    node_start(&f.a);
    node_start(&f.b);
    link_up(&f);
    assert_int_equal(
        link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of(bytes, LINK_MESSAGE_LEN_MAX)), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1);
    assert_memory_equal(f.b.messages.ptr, bytes, LINK_MESSAGE_LEN_MAX);
    assert_in_range(links_counters(f.a.links)->rekeys, 30, 45);
    assert_int_equal(links_counters(f.b.links)->rekeys, 0);
    stop(&f);
    free(bytes);
}

static void test_a_new_role_is_shown_on_the_live_link(void **state)
{
    struct fixture f;
    wall_ns now = test_now();

    (void)state;
    cluster_init(&f.cluster, 1);
    node_init(&f.a, &f.cluster, ROLE_MANAGER);
    node_init(&f.b, &f.cluster, ROLE_WORKER);
    node_start(&f.a);
    node_start(&f.b);
    link_up(&f);
    assert_int_equal(f.a.last_up.role, ROLE_WORKER);
    f.b.identity.cert.role = ROLE_MANAGER;
    node_reissue(&f.b, &f.cluster.ca, now, now + CERT_VALIDITY_NS);
    assert_int_equal(links_set_identity(f.b.links, &f.b.identity), 0);
    RUN_UNTIL(&f.cluster.loop, f.a.up_count == 2);
    assert_int_equal(f.a.last_up.role, ROLE_MANAGER);
    assert_int_equal(f.a.down_count, 0);
    stop(&f);
}

static void test_messages_that_nobody_handles_are_dropped(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    links_handle(f.b.links, LINK_RAFT, &(struct link_handler){ 0 });
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")), 0);
    RUN_UNTIL(&f.cluster.loop, links_counters(f.b.links)->unhandled == 1);
    assert_true(node_has_link(&f.a, &f.b));
    stop(&f);
}

static void test_a_forgotten_peer_is_cut_off(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    link_up(&f);
    link_forget(f.a.links, node_id(&f.b));
    RUN_UNTIL(&f.cluster.loop, f.a.down_count == 1 && f.b.down_count == 1);
    assert_int_equal(f.a.last_down, ERR_REMOVED);
    assert_int_equal(f.b.last_down, ERR_REMOVED);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")),
                     ERR_UNAVAILABLE);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wanted_peer_is_dialled_and_both_learn_who_it_is),
        cmocka_unit_test(test_messages_go_both_ways_and_keep_their_order),
        cmocka_unit_test(test_the_first_message_dials_and_waits_for_the_link),
        cmocka_unit_test(test_large_messages_arrive_whole),
        cmocka_unit_test(test_a_request_and_its_answer_on_a_stream),
        cmocka_unit_test(test_this_node_reaches_itself_the_same_way),
        cmocka_unit_test(test_nodes_that_dial_each_other_keep_one_link),
        cmocka_unit_test(test_a_dead_peer_comes_back_at_another_address),
        cmocka_unit_test(test_the_next_address_is_tried_when_one_fails),
        cmocka_unit_test(test_nowhere_to_go_is_an_answer),
        cmocka_unit_test(test_losing_the_link_ends_its_streams),
        cmocka_unit_test(test_keys_change_under_load),
        cmocka_unit_test(test_a_new_role_is_shown_on_the_live_link),
        cmocka_unit_test(test_messages_that_nobody_handles_are_dropped),
        cmocka_unit_test(test_a_forgotten_peer_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
