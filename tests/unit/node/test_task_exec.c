/* Commands for tasks of other nodes, between whole nodes: who may ask, and what is said when the
 * node knows no such task or is gone. Commands that run are in tests/e2e/cluster_exec.sh. */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "node/exec_wire.h"
#include "node/task_exec.h"
#include "support_hosts.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

struct asked {
    struct task_exec *closes; /* on its first output; NULL: reads on */
    bool ended;
    int err, exit_code;
    char message[512];
};

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct asked *a = owner;

    (void)source;
    (void)bytes;
    assert_non_null(a->closes);
    task_exec_ops.close(a->closes);
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct asked *a = owner;

    assert_false(a->ended);
    a->ended = true;
    a->err = err;
    a->exit_code = exit_code;
    (void)snprintf(a->message, sizeof(a->message), "%s", message);
}

static struct task_exec *ask(struct host_node *from, const struct host_node *to, struct asked *a)
{
    const char *argv[] = { "true", NULL };
    const struct api_exec exec = { .task = { "0123456789abcdefghijklmno" },
                                   .node = *host_id(to),
                                   .spec = { .argv = argv } };
    const struct stream_callbacks callbacks = { .owner = a,
                                                .on_output = on_output,
                                                .on_end = on_end };
    struct task_exec *t;

    *a = (struct asked){ .ended = false };
    assert_int_equal(task_exec_open(member_links(from->member), &exec, &callbacks, &t), 0);
    return t;
}

static void open_cluster(struct hosts *h)
{
    hosts_open(h, 3);
    assert_int_equal(host_init(&h->nodes[0]), 0);
    assert_int_equal(host_join(&h->nodes[1], &h->nodes[0], ROLE_WORKER), 0);
    assert_int_equal(host_join(&h->nodes[2], &h->nodes[0], ROLE_WORKER), 0);
}

static void test_a_task_that_is_not_there_is_named(void **state)
{
    struct hosts h;
    struct asked a;

    (void)state;
    open_cluster(&h);
    for (size_t i = 0; i < 2; i++) { /* itself, too */
        (void)ask(&h.nodes[0], &h.nodes[i], &a);
        HOSTS_UNTIL(&h, a.ended);
        assert_int_equal(a.err, ERR_NOT_FOUND);
        assert_non_null(strstr(a.message, "0123456789abcdefghijklmno"));
    }
    hosts_close(&h);
}

static void test_workers_may_not_ask(void **state)
{
    struct hosts h;
    struct asked a;

    (void)state;
    open_cluster(&h);
    for (size_t i = 0; i < 2; i++) { /* neither a manager nor another worker */
        link_learn(member_links(h.nodes[2].member), host_id(&h.nodes[i]), h.nodes[i].listen);
        (void)ask(&h.nodes[2], &h.nodes[i], &a);
        HOSTS_UNTIL(&h, a.ended);
        print_message("  %s\n", a.message);
        assert_true(a.err < 0);
        assert_int_equal(a.exit_code, 255);
        assert_true(links_counters(member_links(h.nodes[i].member))->refused_forbidden > 0);
    }
    hosts_close(&h);
}

static void test_who_lets_go_hears_so_at_once(void **state)
{
    struct hosts h;
    struct task_exec *t;
    struct asked a;

    (void)state;
    open_cluster(&h);
    t = ask(&h.nodes[0], &h.nodes[1], &a);
    task_exec_ops.close(t);
    assert_true(a.ended);
    assert_int_equal(a.err, ERR_CLOSED);
    hosts_close(&h);
}

static void ignore_data(void *ctx, struct link_stream *s, struct slice data)
{
    (void)ctx;
    link_stream_consume(s, data.len);
}

static void ignore_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)s;
    (void)status;
}

/* A node whose command says two things at once. */
static int say_twice(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *s)
{
    static const struct link_stream_callbacks callbacks = { .on_data = ignore_data,
                                                            .on_finish = ignore_finish,
                                                            .on_closed = ignore_finish };
    struct buf frames;

    (void)ctx;
    (void)from;
    (void)channel;
    (void)header;
    buf_init(&frames, 100);
    assert_int_equal(exec_frame_put(&frames, EXEC_OUTPUT, slice_of_str("one")), 0);
    assert_int_equal(exec_frame_put(&frames, EXEC_OUTPUT, slice_of_str("two")), 0);
    link_stream_accept(s, &callbacks, NULL);
    assert_int_equal(link_stream_write(s, buf_slice(&frames)), 0);
    buf_deinit(&frames);
    return 0;
}

static void test_who_lets_go_while_it_is_told_something_is_told_no_more(void **state)
{
    struct hosts h;
    struct asked a;

    (void)state;
    open_cluster(&h);
    links_handle(member_links(h.nodes[1].member), LINK_EXEC,
                 &(struct link_handler){ .on_stream = say_twice });
    a.closes = ask(&h.nodes[0], &h.nodes[1], &a);
    HOSTS_UNTIL(&h, a.ended);
    assert_int_equal(a.err, ERR_CLOSED);
    hosts_close(&h);
}

static int say_input(void *process)
{
    return task_exec_ops.write(process, slice_of_str("input"));
}

static int say_end_of_input(void *process)
{
    task_exec_ops.shut_input(process);
    return 0;
}

static int say_size(void *process)
{
    task_exec_ops.resize(process, 24, 80);
    return 0;
}

static void test_what_cannot_be_said_for_want_of_memory_ends_the_command(void **state)
{
    int (*const says[])(void *process) = { say_input, say_end_of_input, say_size };
    struct hosts h;
    struct asked a;

    (void)state;
    open_cluster(&h);
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        bool has_failed;
        unsigned n = 0;

        do {
            struct task_exec *t = ask(&h.nodes[0], &h.nodes[1], &a);
            int rc;

            oom_fail_at(++n);
            rc = says[i](t);
            has_failed = oom_has_failed();
            assert_int_equal(rc, has_failed && says[i] == say_input ? ERR_CLOSED : 0);
            assert_int_equal(a.ended, has_failed);
            if (!has_failed)
                task_exec_ops.close(t);
            else
                assert_int_equal(a.err, -ENOMEM);
            assert_true(a.ended);
            assert_int_equal(a.exit_code, 255);
        } while (has_failed);
        assert_true(n > 2); /* room for the frame, room in the stream's queue */
    }
    hosts_close(&h);
}

static void test_a_node_that_goes_ends_what_was_asked_of_it(void **state)
{
    struct hosts h;
    struct asked a;
    char expected[80];

    (void)state;
    open_cluster(&h);
    (void)ask(&h.nodes[0], &h.nodes[1], &a);
    (void)snprintf(expected, sizeof(expected), "the link to node %s is lost",
                   host_id(&h.nodes[1])->text);
    host_node_stop(&h.nodes[1]);
    HOSTS_UNTIL(&h, a.ended);
    assert_true(a.err < 0);
    if (a.err != ERR_NOT_FOUND) /* it may have answered first */
        assert_non_null(strstr(a.message, expected));
    hosts_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_that_is_not_there_is_named),
        cmocka_unit_test(test_workers_may_not_ask),
        cmocka_unit_test(test_who_lets_go_hears_so_at_once),
        cmocka_unit_test(test_who_lets_go_while_it_is_told_something_is_told_no_more),
        cmocka_unit_test(test_what_cannot_be_said_for_want_of_memory_ends_the_command),
        cmocka_unit_test(test_a_node_that_goes_ends_what_was_asked_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
