/* Time and load: what a slow, a dead and a busy peer do to the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "support_cluster.h"

struct fixture {
    struct test_cluster cluster;
    uv_loop_t other; /* of b, where it must be stopped and started */
    struct test_node a, b;
};

static void start(struct fixture *f, bool has_other_loop)
{
    cluster_init(&f->cluster, 4);
    assert_int_equal(uv_loop_init(&f->other), 0);
    node_init(&f->a, &f->cluster, ROLE_MANAGER);
    node_init(&f->b, &f->cluster, ROLE_MANAGER);
    if (has_other_loop)
        f->b.loop = &f->other;
    node_start(&f->a);
    node_start(&f->b);
}

static void both_turn(struct fixture *f)
{
    loop_turn(&f->cluster.loop);
    loop_turn(&f->other);
}

static void link_up(struct fixture *f)
{
    uint64_t end = uv_hrtime() + 10 * NS_PER_S;

    node_knows(&f->a, &f->b, LINK_WANTED);
    while (!node_has_link(&f->a, &f->b) || !node_has_link(&f->b, &f->a)) {
        assert_true(uv_hrtime() < end);
        both_turn(f);
    }
}

static void stop(struct fixture *f)
{
    node_stop(&f->a);
    node_stop(&f->b);
    loop_end(&f->other);
    cluster_deinit(&f->cluster);
}

/* Runs a's loop until it has given b up. Returns for how long at most that loop itself was not run:
 * on a busy machine this process may have to wait, too. */
static uint64_t run_until_down(struct fixture *f)
{
    uint64_t end = uv_hrtime() + 20 * NS_PER_S, longest = 0;

    while (f->a.down_count == 0) {
        uint64_t begin = uv_hrtime();

        assert_true(begin < end);
        loop_turn(&f->cluster.loop);
        longest = MAX(longest, uv_hrtime() - begin);
    }
    return longest;
}

/* Returns whether this process ran all the time, without which nothing follows from how long it
 * took. */
static bool has_found_silent_peer_dead(void)
{
    struct fixture f;
    uint64_t stopped, down, longest;

    start(&f, true);
    link_up(&f);
    assert_int_equal(link_send(f.b.links, node_id(&f.a), LINK_RAFT, slice_of_str("alive")), 0);
    while (f.a.message_count == 0)
        both_turn(&f);
    stopped = uv_hrtime(); /* b's kernel still acknowledges; b does not run */
    longest = run_until_down(&f);
    down = uv_hrtime();
    print_message("  down after %u ms\n", (unsigned)((down - stopped) / NS_PER_MS));
    assert_int_equal(f.a.last_down, ERR_TIMEOUT);
    assert_int_equal(links_counters(f.a.links)->died_silent, 1);
    assert_true(down - f.a.message_at >= 3 * NS_PER_S); /* b was heard then, or later */
    assert_true(longest >= 200 * NS_PER_MS || down - stopped < 3500 * NS_PER_MS);
    stop(&f);
    return longest < 200 * NS_PER_MS;
}

static void test_a_silent_peer_is_dead_within_three_and_a_half_seconds(void **state)
{
    bool ok = false;

    (void)state;
    for (int attempt = 0; attempt < 8 && !ok; attempt++)
        ok = has_found_silent_peer_dead();
    if (!ok) {
        print_message("skipped: this machine is too busy to tell\n");
        skip();
    }
}

static void test_an_idle_link_stays_up(void **state)
{
    struct fixture f;
    uint64_t end;

    (void)state;
    start(&f, false);
    link_up(&f);
    end = uv_hrtime() + 4 * NS_PER_S; /* longer than a silent peer lives */
    while (uv_hrtime() < end)
        loop_turn(&f.cluster.loop);
    assert_int_equal(f.a.down_count + f.b.down_count, 0);
    stop(&f);
}

/* A host that was suspended, with both nodes on it: their timers fire before they have read
 * anything. */
static void test_a_node_that_was_stopped_does_not_blame_its_peers(void **state)
{
    struct fixture f;
    uint64_t end;

    (void)state;
    start(&f, false);
    link_up(&f);
    uv_sleep(4000); /* the stop itself */
    end = uv_hrtime() + 1500 * NS_PER_MS;
    while (uv_hrtime() < end)
        loop_turn(&f.cluster.loop);
    assert_int_equal(f.a.down_count + f.b.down_count, 0);
    stop(&f);
}

/* Keeps a stream full from on_writable, as a sender of a blob does. */
struct pump {
    struct link_stream *stream;
    uint8_t chunk[64 * KIB];
    size_t sent, total;
    bool is_closed;
};

static void pump_more(struct pump *p)
{
    while (p->sent < p->total &&
           link_stream_write(p->stream, slice_of(p->chunk, sizeof(p->chunk))) == 0)
        p->sent += sizeof(p->chunk);
    if (p->sent >= p->total)
        link_stream_finish(p->stream, 0);
}

static void on_pump_writable(void *ctx, struct link_stream *s)
{
    (void)s;
    pump_more(ctx);
}

static void on_pump_data(void *ctx, struct link_stream *s, struct slice data)
{
    (void)ctx;
    link_stream_consume(s, data.len);
}

static void on_pump_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)s;
    (void)status;
}

static void on_pump_closed(void *ctx, struct link_stream *s, int reason)
{
    struct pump *p = ctx;

    (void)s;
    (void)reason;
    p->is_closed = true;
}

static const struct link_stream_callbacks pump_callbacks = { .on_data = on_pump_data,
                                                             .on_writable = on_pump_writable,
                                                             .on_finish = on_pump_finish,
                                                             .on_closed = on_pump_closed };

/* Eight blobs of 6 MiB go out; in between, one heartbeat after another: the next when the last has
 * arrived. Whatever the machine's speed, it arrives before all bulk but what the windows had let
 * out already. */
static void test_bulk_does_not_delay_small_messages(void **state)
{
    enum { BLOBS = 8 };
    const size_t total = BLOBS * 6 * MIB, windows = BLOBS * (size_t)LINK_STREAM_WINDOW;
    struct pump *pumps = calloc(BLOBS, sizeof(*pumps));
    uint64_t begin, end = uv_hrtime() + 60 * NS_PER_S, sent_at, took, slowest = 0;
    size_t beats = 0, most = 0;
    struct fixture f;

    (void)state;
    start(&f, false);
    link_up(&f);
    begin = uv_hrtime();
    for (size_t i = 0; i < BLOBS; i++) {
        pumps[i].total = total / BLOBS;
        assert_int_equal(link_stream_open(f.a.links, node_id(&f.b), LINK_BLOBS,
                                          slice_of_str("blob"), &pump_callbacks, &pumps[i],
                                          &pumps[i].stream),
                         0);
        pump_more(&pumps[i]);
    }
    while (f.b.data.len < total) {
        size_t before = f.b.message_count, bulk = f.b.data.len;

        assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("b")), 0);
        sent_at = uv_hrtime();
        while (f.b.message_count == before) {
            assert_true(uv_hrtime() < end);
            (void)uv_run(&f.cluster.loop, UV_RUN_ONCE);
        }
        slowest = MAX(slowest, f.b.message_at - sent_at);
        most = MAX(most, f.b.message_after - bulk);
        beats++;
    }
    took = uv_hrtime() - begin;
    print_message("  %u MiB/s; %u beats, the slowest %u us and %u KiB of bulk\n",
                  (unsigned)(total * NS_PER_S / took / MIB), (unsigned)beats,
                  (unsigned)(slowest / NS_PER_US), (unsigned)(most / KIB));
    assert_true(beats >= total / (2 * windows)); /* as much again may follow in the same turn */
    assert_true(most <= windows + 64 * KIB);     /* and one write that was begun */
    stop(&f);
    free(pumps);
}

static void test_a_slow_reader_holds_up_its_stream_and_nothing_else(void **state)
{
    static uint8_t bytes[LINK_STREAM_WINDOW];
    struct test_stream slow, quick;
    struct fixture f;

    (void)state;
    start(&f, false);
    link_up(&f);
    f.b.keeps = true;
    test_stream_open(&slow, &f.a, node_id(&f.b), LINK_LOGS);
    assert_int_equal(link_stream_write(slow.stream, slice_of(bytes, sizeof(bytes))), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.data.len == LINK_STREAM_WINDOW);
    assert_int_equal(link_stream_write(slow.stream, slice_of(bytes, sizeof(bytes))), 0);
    assert_int_equal(link_stream_write(slow.stream, slice_of(bytes, 1)), ERR_FULL);

    f.b.keeps = false;
    f.b.echoes = true;
    f.b.stream = NULL;
    test_stream_open(&quick, &f.a, node_id(&f.b), LINK_LOGS);
    assert_int_equal(link_stream_write(quick.stream, slice_of_str("quick")), 0);
    assert_int_equal(link_send(f.a.links, node_id(&f.b), LINK_RAFT, slice_of_str("x")), 0);
    RUN_UNTIL(&f.cluster.loop, f.b.message_count == 1 && quick.data.len == 5);
    assert_int_equal(f.b.data.len, LINK_STREAM_WINDOW + 5); /* nothing more of the slow one */
    test_stream_deinit(&slow);
    test_stream_deinit(&quick);
    stop(&f);
}

/* b does not run at all: what a queues for it is bounded, and gone when b is given up. */
static void test_a_peer_that_reads_nothing_costs_bounded_memory(void **state)
{
    static uint8_t bytes[MIB];
    struct link_info info;
    struct fixture f;
    size_t accepted = 0;
    int rc = 0;

    (void)state;
    start(&f, true);
    link_up(&f);
    while (rc == 0 && accepted < 100 * MIB) {
        rc = link_send(f.a.links, node_id(&f.b), LINK_DISPATCH, slice_of(bytes, sizeof(bytes)));
        if (rc == 0)
            accepted += sizeof(bytes);
        loop_turn(&f.cluster.loop);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(link_get_info(f.a.links, node_id(&f.b), &info), 0);
    assert_true(info.queued <= 8 * MIB);
    RUN_UNTIL(&f.cluster.loop, f.a.down_count == 1);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_silent_peer_is_dead_within_three_and_a_half_seconds),
        cmocka_unit_test(test_an_idle_link_stays_up),
        cmocka_unit_test(test_a_node_that_was_stopped_does_not_blame_its_peers),
        cmocka_unit_test(test_bulk_does_not_delay_small_messages),
        cmocka_unit_test(test_a_slow_reader_holds_up_its_stream_and_nothing_else),
        cmocka_unit_test(test_a_peer_that_reads_nothing_costs_bounded_memory),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
