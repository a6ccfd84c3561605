/* Two ends of one link, without a socket between them: what one sends, the other receives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "node/cluster/link_mux.h"

#define LOG_LEN_MAX (16 * MIB)

/* What the owner of a stream was told. */
struct owner {
    struct link_stream *stream;
    struct buf data;
    bool consumes; /* returns credit at once */
    bool is_finished, is_closed;
    int finish_status, close_reason;
    size_t writable_count;
};

struct end {
    struct link_mux mux;
    struct buf messages; /* bytes of all messages, one after another */
    size_t message_count;
    enum link_channel last_channel;
    size_t last_len;
    size_t sendable_count;
    int accept_status; /* < 0: refuses streams */
    struct owner incoming;
    char header[64];
};

struct link_pair {
    struct end a, b; /* a dialled */
};

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct owner *o = ctx;

    assert_ptr_equal(o->stream, s);
    assert_int_equal(buf_append_slice(&o->data, data), 0);
    if (o->consumes)
        link_stream_consume(s, data.len);
}

static void on_writable(void *ctx, struct link_stream *s)
{
    struct owner *o = ctx;

    assert_true(link_stream_room(s) >= LINK_STREAM_WINDOW / 2);
    o->writable_count++;
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    struct owner *o = ctx;

    (void)s;
    assert_false(o->is_finished);
    o->is_finished = true;
    o->finish_status = status;
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct owner *o = ctx;

    (void)s;
    assert_false(o->is_closed);
    o->is_closed = true;
    o->close_reason = reason;
}

static const struct link_stream_callbacks callbacks = {
    .on_data = on_data,
    .on_writable = on_writable,
    .on_finish = on_finish,
    .on_closed = on_closed,
};

static int on_message(void *ctx, enum link_channel channel, struct slice message)
{
    struct end *e = ctx;

    e->message_count++;
    e->last_channel = channel;
    e->last_len = message.len;
    return buf_append_slice(&e->messages, message);
}

static int on_stream(void *ctx, enum link_channel channel, struct slice header,
                     struct link_stream *stream)
{
    struct end *e = ctx;

    (void)channel;
    if (e->accept_status < 0)
        return e->accept_status;
    assert_true(header.len < sizeof(e->header));
    memcpy(e->header, header.ptr, header.len);
    e->incoming.stream = stream;
    link_stream_accept(stream, &callbacks, &e->incoming);
    return 0;
}

static void on_sendable(void *ctx)
{
    struct end *e = ctx;

    e->sendable_count++;
}

static void owner_init(struct owner *o)
{
    memset(o, 0, sizeof(*o));
    o->consumes = true;
    buf_init(&o->data, LOG_LEN_MAX);
}

static void end_init(struct end *e)
{
    const struct link_mux_events events = {
        .ctx = e, .on_message = on_message, .on_stream = on_stream, .on_sendable = on_sendable
    };

    memset(e, 0, sizeof(*e));
    owner_init(&e->incoming);
    buf_init(&e->messages, LOG_LEN_MAX);
    link_mux_init(&e->mux, &events, &(struct hash_seed){ .key = { 1 } });
}

static void end_deinit(struct end *e)
{
    link_mux_abort(&e->mux, ERR_CLOSED);
    link_mux_deinit(&e->mux);
    buf_deinit(&e->messages);
    buf_deinit(&e->incoming.data);
}

static void pair_init(struct link_pair *p)
{
    end_init(&p->a);
    end_init(&p->b);
    link_mux_attach(&p->a.mux, true);
    link_mux_attach(&p->b.mux, false);
}

static void pair_deinit(struct link_pair *p)
{
    end_deinit(&p->a);
    end_deinit(&p->b);
}

/* Carries one frame; false when there was none. */
static bool carry(struct end *from, struct end *to)
{
    static uint8_t bytes[FRAME_LEN_MAX];
    size_t len = link_mux_next(&from->mux, bytes);
    struct frame f;

    if (len == 0)
        return false;
    assert_true(len <= FRAME_LEN_MAX);
    assert_int_equal(frame_decode(slice_of(bytes, len), &f), 0);
    assert_int_equal(link_mux_receive(&to->mux, &f), 0);
    return true;
}

static void settle(struct link_pair *p)
{
    while (carry(&p->a, &p->b) || carry(&p->b, &p->a))
        ;
}

static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = malloc(len);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    return bytes;
}

static void open_stream(struct link_pair *p, enum link_channel channel, struct owner *o)
{
    owner_init(o);
    assert_int_equal(
        link_mux_open(&p->a.mux, channel, slice_of_str("head"), &callbacks, o, &o->stream), 0);
}

static void test_a_message_of_any_length_arrives_whole(void **state)
{
    const size_t lens[] = { 0,
                            1,
                            FRAME_BODY_LEN_MAX - 4,
                            FRAME_BODY_LEN_MAX - 3,
                            FRAME_BODY_LEN_MAX,
                            100000,
                            LINK_MESSAGE_LEN_MAX };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        uint8_t *bytes = pattern(lens[i] + 1);
        struct link_pair p;

        pair_init(&p);
        assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of(bytes, lens[i])), 0);
        settle(&p);
        assert_int_equal(p.b.message_count, 1);
        assert_int_equal(p.b.last_channel, LINK_RAFT);
        assert_true(slice_equal(buf_slice(&p.b.messages), slice_of(bytes, lens[i])));
        pair_deinit(&p);
        free(bytes);
    }
}

static void test_messages_over_the_limit_are_refused(void **state)
{
    uint8_t *bytes = pattern(LINK_MESSAGE_LEN_MAX + 1);
    struct link_pair p;
    size_t count = 0;
    int rc;

    (void)state;
    pair_init(&p);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of(bytes, LINK_MESSAGE_LEN_MAX + 1)),
                     ERR_TOO_LARGE);
    while ((rc = link_mux_send(&p.a.mux, LINK_RAFT, slice_of(bytes, 1000))) == 0)
        count++;
    assert_int_equal(rc, ERR_FULL);
    assert_in_range(count * 1000, QUEUE_LEN_MAX * 9 / 10, QUEUE_LEN_MAX);
    /* Small ones are no way around: what a piece costs counts too. */
    for (count = 0; link_mux_send(&p.a.mux, LINK_GOSSIP, slice_of(NULL, 0)) == 0; count++)
        ;
    assert_true(count <= QUEUE_LEN_MAX / LINK_QUEUE_PIECE_COST);
    /* Another channel is not affected. */
    assert_int_equal(link_mux_send(&p.a.mux, LINK_DISPATCH, slice_of(bytes, 1000)), 0);
    settle(&p);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of(bytes, 1000)), 0);
    pair_deinit(&p);
    free(bytes);
}

static void test_messages_of_one_channel_keep_their_order(void **state)
{
    struct link_pair p;

    (void)state;
    pair_init(&p);
    for (uint8_t i = 0; i < 100; i++)
        assert_int_equal(link_mux_send(&p.a.mux, LINK_DISPATCH, slice_of(&i, 1)), 0);
    settle(&p);
    assert_int_equal(p.b.message_count, 100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p.b.messages.ptr[i], i);
    pair_deinit(&p);
}

static void test_a_heartbeat_overtakes_bulk_within_one_piece(void **state)
{
    uint8_t *bytes = pattern(LINK_MESSAGE_LEN_MAX);
    struct link_pair p;
    struct owner o;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_BLOBS, &o);
    assert_int_equal(link_stream_write(o.stream, slice_of(bytes, LINK_STREAM_WINDOW)), 0);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_LOGS, slice_of(bytes, LINK_MESSAGE_LEN_MAX)), 0);
    for (size_t i = 0; i < 5; i++)
        assert_true(carry(&p.a, &p.b));
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of("beat", 4)), 0);
    assert_true(carry(&p.a, &p.b));
    assert_int_equal(p.b.message_count, 1);
    assert_int_equal(p.b.last_channel, LINK_RAFT);
    pair_deinit(&p);
    buf_deinit(&o.data);
    free(bytes);
}

static void test_a_stream_carries_both_directions_and_ends(void **state)
{
    struct link_pair p;
    struct owner o;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_FORWARD, &o);
    assert_int_equal(link_stream_write(o.stream, slice_of_str("request")), 0);
    link_stream_finish(o.stream, 0);
    assert_int_equal(link_stream_write(o.stream, slice_of_str("more")), ERR_CLOSED);
    settle(&p);
    assert_string_equal(p.b.header, "head");
    assert_true(slice_equal(buf_slice(&p.b.incoming.data), slice_of_str("request")));
    assert_true(p.b.incoming.is_finished);
    assert_false(p.b.incoming.is_closed);

    assert_int_equal(link_stream_write(p.b.incoming.stream, slice_of_str("answer")), 0);
    link_stream_finish(p.b.incoming.stream, ERR_NOT_FOUND);
    settle(&p);
    assert_true(slice_equal(buf_slice(&o.data), slice_of_str("answer")));
    assert_int_equal(o.finish_status, ERR_NOT_FOUND);
    assert_true(o.is_closed && p.b.incoming.is_closed);
    assert_int_equal(o.close_reason, 0);
    assert_int_equal(link_mux_streams(&p.a.mux) + link_mux_streams(&p.b.mux), 0);
    pair_deinit(&p);
    buf_deinit(&o.data);
}

static void test_a_reader_that_does_not_consume_stops_its_writer_only(void **state)
{
    uint8_t *bytes = pattern(LINK_STREAM_WINDOW);
    struct link_pair p;
    struct owner slow, fast;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_LOGS, &slow);
    settle(&p);
    p.b.incoming.consumes = false;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(link_stream_write(slow.stream, slice_of(bytes, LINK_STREAM_WINDOW)), 0);
        settle(&p);
    }
    assert_int_equal(p.b.incoming.data.len, LINK_STREAM_WINDOW);
    assert_int_equal(link_stream_room(slow.stream), 0);
    assert_int_equal(link_stream_write(slow.stream, slice_of(bytes, 1)), ERR_FULL);

    /* A message and another stream pass. */
    struct owner stuck = p.b.incoming;
    struct link_stream *stuck_stream = p.b.incoming.stream;

    owner_init(&p.b.incoming);
    open_stream(&p, LINK_LOGS, &fast);
    assert_int_equal(link_stream_write(fast.stream, slice_of(bytes, 1000)), 0);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of("x", 1)), 0);
    settle(&p);
    assert_int_equal(p.b.message_count, 1);
    assert_int_equal(p.b.incoming.data.len, 1000);
    assert_int_equal(slow.writable_count, 0);

    /* It reads on, and the rest comes. */
    link_stream_accept(stuck_stream, &callbacks, &stuck);
    stuck.consumes = true;
    link_stream_consume(stuck_stream, LINK_STREAM_WINDOW);
    settle(&p);
    assert_int_equal(stuck.data.len, 2 * LINK_STREAM_WINDOW);
    assert_memory_equal(stuck.data.ptr + LINK_STREAM_WINDOW, bytes, LINK_STREAM_WINDOW);
    assert_int_equal(slow.writable_count, 1);
    pair_deinit(&p);
    buf_deinit(&stuck.data);
    buf_deinit(&slow.data);
    buf_deinit(&fast.data);
    free(bytes);
}

static void test_streams_of_one_channel_take_turns(void **state)
{
    uint8_t *bytes = pattern(LINK_STREAM_WINDOW);
    struct owner first, second;
    struct link_pair p;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_BLOBS, &first);
    settle(&p);
    struct owner in_first = p.b.incoming;

    link_stream_accept(p.b.incoming.stream, &callbacks, &in_first);
    owner_init(&p.b.incoming);
    open_stream(&p, LINK_BLOBS, &second);
    settle(&p);
    assert_int_equal(link_stream_write(first.stream, slice_of(bytes, LINK_STREAM_WINDOW)), 0);
    assert_int_equal(link_stream_write(second.stream, slice_of(bytes, LINK_STREAM_WINDOW)), 0);
    for (size_t i = 0; i < 8; i++)
        assert_true(carry(&p.a, &p.b));
    assert_int_equal(in_first.data.len, 4 * FRAME_BODY_LEN_MAX);
    assert_int_equal(p.b.incoming.data.len, 4 * FRAME_BODY_LEN_MAX);
    pair_deinit(&p);
    buf_deinit(&in_first.data);
    buf_deinit(&first.data);
    buf_deinit(&second.data);
    free(bytes);
}

static void test_a_refused_stream_reports_the_status(void **state)
{
    struct link_pair p;
    struct owner o;

    (void)state;
    pair_init(&p);
    p.b.accept_status = ERR_FORBIDDEN;
    open_stream(&p, LINK_EXEC, &o);
    assert_int_equal(link_stream_write(o.stream, slice_of_str("data")), 0); /* before it knows */
    settle(&p);
    assert_true(o.is_closed);
    assert_int_equal(o.close_reason, ERR_FORBIDDEN);
    assert_int_equal(link_mux_streams(&p.a.mux) + link_mux_streams(&p.b.mux), 0);
    pair_deinit(&p);
    buf_deinit(&o.data);
}

static void test_a_reset_here_ends_it_there_without_a_callback_here(void **state)
{
    struct link_pair p;
    struct owner o;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_LOGS, &o);
    settle(&p);
    assert_int_equal(link_stream_write(p.b.incoming.stream, slice_of_str("on its way")), 0);
    link_stream_reset(o.stream, ERR_TIMEOUT);
    settle(&p);
    assert_false(o.is_closed);
    assert_int_equal(o.data.len, 0);
    assert_true(p.b.incoming.is_closed);
    assert_int_equal(p.b.incoming.close_reason, ERR_TIMEOUT);
    assert_int_equal(link_mux_streams(&p.a.mux) + link_mux_streams(&p.b.mux), 0);
    pair_deinit(&p);
    buf_deinit(&o.data);
}

static void test_losing_the_link_closes_every_stream_once(void **state)
{
    struct link_pair p;
    struct owner o;

    (void)state;
    pair_init(&p);
    open_stream(&p, LINK_LOGS, &o);
    settle(&p);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of_str("lost")), 0);
    link_mux_abort(&p.a.mux, ERR_TIMEOUT);
    link_mux_abort(&p.b.mux, ERR_TIMEOUT);
    assert_int_equal(o.close_reason, ERR_TIMEOUT);
    assert_int_equal(p.b.incoming.close_reason, ERR_TIMEOUT);

    /* The next link starts afresh. */
    link_mux_attach(&p.a.mux, false);
    link_mux_attach(&p.b.mux, true);
    settle(&p);
    assert_int_equal(p.b.message_count, 0);
    buf_deinit(&o.data);
    open_stream(&p, LINK_LOGS, &o);
    p.b.incoming.is_closed = false;
    settle(&p);
    assert_int_equal(link_mux_streams(&p.b.mux), 1);
    pair_deinit(&p);
    buf_deinit(&o.data);
}

static void test_what_is_queued_before_the_link_goes_when_it_comes(void **state)
{
    struct link_pair p;
    struct owner o;

    (void)state;
    end_init(&p.a);
    end_init(&p.b);
    assert_int_equal(link_mux_send(&p.a.mux, LINK_RAFT, slice_of_str("early")), 0);
    open_stream(&p, LINK_BLOBS, &o);
    assert_int_equal(link_stream_write(o.stream, slice_of_str("bird")), 0);
    assert_false(link_mux_is_sendable(&p.a.mux));
    link_mux_attach(&p.a.mux, true);
    link_mux_attach(&p.b.mux, false);
    settle(&p);
    assert_true(slice_equal(buf_slice(&p.b.messages), slice_of_str("early")));
    assert_true(slice_equal(buf_slice(&p.b.incoming.data), slice_of_str("bird")));
    pair_deinit(&p);
    buf_deinit(&o.data);
}

static void test_no_more_streams_than_the_limit(void **state)
{
    struct owner *owners = calloc(STREAMS_MAX, sizeof(*owners)), extra;
    struct link_pair p;

    (void)state;
    pair_init(&p);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        open_stream(&p, LINK_BLOBS, &owners[i]);
    owner_init(&extra);
    assert_int_equal(link_mux_open(&p.a.mux, LINK_BLOBS, slice_of_str("one more"), &callbacks,
                                   &extra, &extra.stream),
                     ERR_FULL);
    pair_deinit(&p);
    free(owners);
}

/* Each case is given to an end that has received stream 1 and sent nothing. */
static void test_frames_that_no_honest_peer_sends(void **state)
{
    static uint8_t big[FRAME_BODY_LEN_MAX];
    const struct {
        const char *why;
        struct frame f;
    } cases[] = {
        { "a stream number of our parity", { FRAME_OPEN, LINK_LOGS, 2, { NULL, 0 } } },
        { "a stream number used before", { FRAME_OPEN, LINK_LOGS, 1, { NULL, 0 } } },
        { "data of a stream never opened", { FRAME_DATA, LINK_LOGS, 3, { big, 1 } } },
        { "data of a stream that we never opened", { FRAME_DATA, LINK_LOGS, 2, { big, 1 } } },
        { "data on another channel than its stream's", { FRAME_DATA, LINK_EXEC, 1, { big, 1 } } },
        { "credit of nothing", { FRAME_CREDIT, LINK_LOGS, 1, { big, 4 } } },
        { "credit beyond the window",
          { FRAME_CREDIT, LINK_LOGS, 1, { (const uint8_t *)"\0\0\0\1", 4 } } },
        { "a reset that claims success",
          { FRAME_RESET, LINK_LOGS, 1, { (const uint8_t *)"\0\0\0\0", 4 } } },
        { "more of a message that never began", { FRAME_MORE, LINK_RAFT, 0, { big, 1 } } },
        { "a message longer than allowed",
          { FRAME_MESSAGE,
            LINK_RAFT,
            0,
            { (const uint8_t *)"\xff\xff\xff\xff"
                               "x",
              5 } } },
        { "a message with more bytes than it says",
          { FRAME_MESSAGE, LINK_RAFT, 0, { (const uint8_t *)"\0\0\0\1xy", 6 } } },
        { "a message that begins with nothing",
          { FRAME_MESSAGE, LINK_RAFT, 0, { (const uint8_t *)"\0\0\0\1", 4 } } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frame open = { FRAME_OPEN, LINK_LOGS, 1, { NULL, 0 } };
        struct link_pair p;

        print_message("  %s\n", cases[i].why);
        pair_init(&p);
        open.body = slice_of("h", 1);
        assert_int_equal(link_mux_receive(&p.b.mux, &open), 0);
        assert_int_equal(link_mux_receive(&p.b.mux, &cases[i].f), ERR_MALFORMED);
        pair_deinit(&p);
    }
}

static void test_data_beyond_the_window_is_malformed(void **state)
{
    static uint8_t big[FRAME_BODY_LEN_MAX];
    struct frame open = { FRAME_OPEN, LINK_LOGS, 1, { big, 1 } };
    struct frame data = { FRAME_DATA, LINK_LOGS, 1, { big, sizeof(big) } };
    struct link_pair p;

    (void)state;
    pair_init(&p);
    p.b.incoming.consumes = false;
    assert_int_equal(link_mux_receive(&p.b.mux, &open), 0);
    for (size_t sent = 0; sent < LINK_STREAM_WINDOW; sent += sizeof(big))
        assert_int_equal(link_mux_receive(&p.b.mux, &data), 0);
    data.body.len = 1;
    assert_int_equal(link_mux_receive(&p.b.mux, &data), ERR_MALFORMED);
    pair_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_of_any_length_arrives_whole),
        cmocka_unit_test(test_messages_over_the_limit_are_refused),
        cmocka_unit_test(test_messages_of_one_channel_keep_their_order),
        cmocka_unit_test(test_a_heartbeat_overtakes_bulk_within_one_piece),
        cmocka_unit_test(test_a_stream_carries_both_directions_and_ends),
        cmocka_unit_test(test_a_reader_that_does_not_consume_stops_its_writer_only),
        cmocka_unit_test(test_streams_of_one_channel_take_turns),
        cmocka_unit_test(test_a_refused_stream_reports_the_status),
        cmocka_unit_test(test_a_reset_here_ends_it_there_without_a_callback_here),
        cmocka_unit_test(test_losing_the_link_closes_every_stream_once),
        cmocka_unit_test(test_what_is_queued_before_the_link_goes_when_it_comes),
        cmocka_unit_test(test_no_more_streams_than_the_limit),
        cmocka_unit_test(test_frames_that_no_honest_peer_sends),
        cmocka_unit_test(test_data_beyond_the_window_is_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
