/* What the raft driver does now and what it leaves for later: notices that wait for an append,
 * flushes that wait for the appends to leave, and where a flush runs. One member with a log on real
 * files; its peers are messages made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "node/cluster/raft_driver_priv.h"

#define SELF   1
#define LEADER 9

struct rig {
    uv_loop_t loop;
    struct raft_driver *driver;
    uint64_t cluster;
    raft_index last;
    unsigned sent[RAFT_REFUSED + 1]; /* messages by type */
    raft_index acked;
    char dir[64];
};

static void note_sent(void *ctx, raft_node_id to, struct slice bytes)
{
    static struct raft_entry entries[RAFT_MESSAGE_ENTRIES_MAX];
    struct raft_message m;
    struct rig *r = ctx;

    (void)to;
    assert_int_equal(raft_message_decode(bytes, entries, &m), 0);
    r->sent[m.type]++;
    if (m.type == RAFT_APPEND_RES)
        r->acked = m.append_res.match;
}

static int on_apply(void *ctx, raft_index index, raft_term term, struct slice data)
{
    (void)ctx;
    (void)index;
    (void)term;
    (void)data;
    return 0;
}

static void on_applied(void *ctx, raft_index index)
{
    (void)ctx;
    (void)index;
}

static void on_failed(void *ctx, int err, const char *why)
{
    (void)ctx;
    fail_msg("%s (%d)", why, err);
}

static void rig_init(struct rig *r, bool leads)
{
    static const struct hash_seed no_seed;
    struct raft_driver_config cfg = {
        .loop = &r->loop,
        .dir = r->dir,
        .id = SELF,
        .machine = { .ctx = r, .on_apply = on_apply, .on_applied = on_applied },
        .ctx = r,
        .send = note_sent,
        .on_failed = on_failed,
    };
    struct raft_conf conf;
    char why[256];

    memset(r, 0, sizeof(*r));
    (void)snprintf(r->dir, sizeof(r->dir), "/tmp/raft-pump.XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    assert_int_equal(uv_loop_init(&r->loop), 0);
    assert_int_equal(id_parse(slice_of_str("0123456789abcdefghijklmno"), &cfg.cluster), 0);
    r->cluster = hash_bytes(&no_seed, id_slice(&cfg.cluster)) | 1;
    assert_int_equal(raft_conf_init(&conf, SELF, (struct slice){ 0 }), 0);
    cfg.bootstrap = leads ? &conf : NULL;
    if (raft_driver_open(&cfg, &r->driver, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

static void on_stopped(void *ctx)
{
    struct rig *r = ctx;

    r->driver = NULL;
}

static void rig_deinit(struct rig *r)
{
    char command[128];

    raft_driver_stop(r->driver, on_stopped, r);
    while (r->driver != NULL)
        (void)uv_run(&r->loop, UV_RUN_ONCE);
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", r->dir);
    assert_int_equal(system(command), 0);
}

/* The loop turns once and does not sleep: one pass of the pump. */
static void turn(struct rig *r)
{
    (void)uv_run(&r->loop, UV_RUN_NOWAIT);
}

static bool is_flushing(const struct rig *r)
{
    return raft_disk_is_busy(r->driver->disk, LANE_LOG);
}

/* Nothing noted, nothing staged, no flush under way. */
static void settle(struct rig *r)
{
    do
        (void)uv_run(&r->loop, UV_RUN_NOWAIT);
    while (is_flushing(r) || uv_is_active((uv_handle_t *)&r->driver->idle));
}

/* One entry of a leader elsewhere. */
static void receive_append(struct rig *r, size_t len)
{
    static uint8_t bytes[64 * KIB], data[32 * KIB];
    struct raft_entry e = { .id = { .term = 1, .index = r->last + 1 }, .type = RAFT_ENTRY_DATA };
    struct raft_message m = {
        .type = RAFT_APPEND, .cluster = r->cluster, .from = LEADER, .to = SELF, .term = 1
    };
    int64_t encoded;

    e.data = slice_of(data, len);
    m.append.prev = (struct raft_entry_id){ .term = r->last == 0 ? 0 : 1, .index = r->last };
    m.append.entries = &e;
    m.append.entry_count = 1;
    encoded = raft_message_encode(&m, bytes, sizeof(bytes));
    assert_true(encoded > 0);
    assert_int_equal(raft_driver_receive(r->driver, LEADER, slice_of(bytes, (size_t)encoded)), 0);
    r->last++;
}

static void on_done(void *owner, int err, raft_index index, int apply_result)
{
    unsigned *done = owner;

    (void)index;
    (void)apply_result;
    assert_int_equal(err, 0);
    (*done)++;
}

/* --- Notices. */

static void add(struct rig *r, enum raft_message_type type, raft_node_id to, bool quiet)
{
    struct raft_message m = {
        .type = type, .cluster = r->cluster, .from = SELF, .to = to, .term = 1
    };

    if (type == RAFT_HEARTBEAT)
        m.heartbeat.quiet = quiet;
    raft_outbox_add(r->driver, &m);
    raft_outbox_send(r->driver);
}

static void test_an_append_takes_the_place_of_a_notice(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    add(&r, RAFT_HEARTBEAT, 2, true);
    assert_int_equal(r.sent[RAFT_HEARTBEAT], 0);
    assert_true(raft_outbox_deadline(r.driver) < MONO_NEVER);
    add(&r, RAFT_APPEND, 2, false);
    assert_int_equal(r.sent[RAFT_APPEND], 1);
    assert_true(raft_outbox_deadline(r.driver) == MONO_NEVER);
    rig_deinit(&r);
    assert_int_equal(r.sent[RAFT_HEARTBEAT], 0);
}

static void test_a_notice_leaves_by_itself_when_nothing_else_does(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    add(&r, RAFT_HEARTBEAT, 2, true);
    add(&r, RAFT_HEARTBEAT, 2, true); /* the newest counts */
    add(&r, RAFT_APPEND, 3, false);   /* says nothing to member 2 */
    add(&r, RAFT_APPEND_RES, 2, false);
    while (r.sent[RAFT_HEARTBEAT] == 0)
        (void)uv_run(&r.loop, UV_RUN_ONCE); /* for ever, if no timer brings it */
    assert_int_equal(r.sent[RAFT_HEARTBEAT], 1);
    assert_true(raft_outbox_deadline(r.driver) == MONO_NEVER);
    rig_deinit(&r);
    assert_int_equal(r.sent[RAFT_HEARTBEAT], 1);
}

static void test_a_heartbeat_that_wants_an_answer_leaves_at_once(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    add(&r, RAFT_HEARTBEAT, 2, true);
    add(&r, RAFT_HEARTBEAT, 2, false);
    assert_int_equal(r.sent[RAFT_HEARTBEAT], 1);
    assert_true(raft_outbox_deadline(r.driver) == MONO_NEVER);
    rig_deinit(&r);
}

/* --- Flushes. */

static void test_a_leader_with_few_requests_sends_before_it_flushes(void **state)
{
    unsigned done = 0;
    struct rig r;

    (void)state;
    rig_init(&r, true);
    settle(&r);
    raft_driver_propose(r.driver, slice_of_str("x"), on_done, &done);
    turn(&r);
    assert_false(is_flushing(&r));
    turn(&r);
    assert_true(is_flushing(&r) || r.driver->has_flushed);
    settle(&r);
    assert_int_equal(done, 1);
    rig_deinit(&r);
}

static void test_a_leader_with_many_requests_flushes_at_once(void **state)
{
    unsigned done = 0;
    struct rig r;

    (void)state;
    rig_init(&r, true);
    settle(&r);
    for (unsigned i = 0; i < 64; i++)
        raft_driver_propose(r.driver, slice_of_str("x"), on_done, &done);
    turn(&r);
    assert_true(is_flushing(&r) || r.driver->has_flushed);
    settle(&r);
    assert_int_equal(done, 64);
    rig_deinit(&r);
}

static void test_a_follower_acknowledges_a_small_append_in_the_same_turn(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    settle(&r);
    r.driver->flush_took = 0;
    receive_append(&r, 256);
    turn(&r);
    assert_int_equal(r.acked, 1);
    rig_deinit(&r);
}

static void test_a_slow_disk_and_a_large_append_do_not_hold_up_the_loop(void **state)
{
    static const struct {
        const char *why;
        mono_ns flush_took;
        size_t len;
    } cases[] = {
        { "the last flush was slow", NS_PER_S, 256 },
        { "the append is large", 0, 16 * KIB },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;

        print_message("  %s\n", cases[i].why);
        rig_init(&r, false);
        settle(&r);
        r.driver->flush_took = cases[i].flush_took;
        receive_append(&r, cases[i].len);
        turn(&r);
        assert_int_equal(r.acked, 0);
        assert_true(is_flushing(&r) || r.driver->has_flushed);
        settle(&r);
        assert_int_equal(r.acked, 1);
        assert_true(r.driver->flush_took != cases[i].flush_took); /* judged anew */
        rig_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_append_takes_the_place_of_a_notice),
        cmocka_unit_test(test_a_notice_leaves_by_itself_when_nothing_else_does),
        cmocka_unit_test(test_a_heartbeat_that_wants_an_answer_leaves_at_once),
        cmocka_unit_test(test_a_leader_with_few_requests_sends_before_it_flushes),
        cmocka_unit_test(test_a_leader_with_many_requests_flushes_at_once),
        cmocka_unit_test(test_a_follower_acknowledges_a_small_append_in_the_same_turn),
        cmocka_unit_test(test_a_slow_disk_and_a_large_append_do_not_hold_up_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
