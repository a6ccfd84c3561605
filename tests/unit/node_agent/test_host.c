/* The host: what the agent decides is carried out, and survives a restart. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "node/disk/state_file.h"
#include "tests/unit/node_agent/support_host.h"

static enum task_state reported(const struct host_world *w, const char **err)
{
    const struct id id = id_of(1);

    for (size_t i = 0; i < w->report.tasks.count; i++)
        if (id_equal(&w->report.tasks.items[i].task_id, &id)) {
            if (err != NULL)
                *err = w->report.tasks.items[i].status.err;
            return w->report.tasks.items[i].status.state;
        }
    return TASK_NEW;
}

static bool is_running(struct host_world *w)
{
    return reported(w, NULL) == TASK_RUNNING;
}

static bool runs_unreported(struct host_world *w)
{
    (void)w;
    return fake_running;
}

static bool is_over(struct host_world *w)
{
    return task_state_is_terminal(reported(w, NULL));
}

static bool has_no_sandbox(struct host_world *w)
{
    (void)w;
    return fake_sandboxes == 0;
}

static void start(struct host_world *w)
{
    host_start(w->host);
    host_connected(w->host);
}

static void test_a_task_runs_and_ends(void **state)
{
    struct assign f = { 0 };
    const char *err = NULL;
    struct host_world w;

    (void)state;
    host_world_open(&w);
    start(&w);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    host_world_assign(&w, &f);
    host_world_until(&w, is_running);
    assert_int_equal(fake_fetched, 0); /* the image was here */
    assert_string_equal(fake_spec.netns_path + strlen("/run/netns/"), id_of(1).text);
    assert_int_equal(w.report.tasks.items[0].status.container->pid, 77);
    fake_exit(&w, 9);
    host_world_until(&w, is_over);
    assert_int_equal(reported(&w, &err), TASK_FAILED);
    assert_string_equal(err, "non-zero exit (9)");
    host_world_until(&w, has_no_sandbox);
    host_world_deinit(&w);
}

static void test_an_unknown_image_is_fetched_or_refused(void **state)
{
    struct assign f = { 0 };
    struct host_world w;

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        host_world_open(&w);
        w.image_known = false;
        w.fetch_err = pass == 0 ? 0 : ERR_NOT_FOUND;
        start(&w);
        (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
        host_world_assign(&w, &f);
        host_world_until(&w, pass == 0 ? is_running : is_over);
        assert_int_equal(fake_fetched, 1);
        if (pass == 1)
            assert_int_equal(reported(&w, NULL), TASK_REJECTED);
        host_world_deinit(&w);
    }
}

/* Steps that are done within the call, and nobody who would wake the loop: no manager is in reach.
 */
static void test_steps_that_end_at_once_do_not_wait(void **state)
{
    struct assign f = { 0 };
    struct network_target *target;
    struct host_world w;
    struct task *t;

    (void)state;
    host_world_open(&w);
    host_start(w.host);
    t = frame_task(&f, 1, TASK_RUNNING);
    target = LIST_ADD(&t->spec.networks);
    assert_non_null(target);
    assert_int_equal(str_set(&target->target, "host"), 0);
    host_world_assign(&w, &f);
    host_world_until(&w, runs_unreported);
    assert_string_equal(fake_spec.netns_path, "host");
    assert_int_equal(fake_sandboxes, 0);
    host_world_deinit(&w);
}

/* The task comes before its secret: it is tried again by itself. */
static void test_a_secret_may_arrive_later(void **state)
{
    struct assign f = { 0 }, more = { .base = 1, .version = 2 };
    struct secret_ref *ref;
    struct assigned *row;
    struct host_world w;
    struct task *t;

    (void)state;
    host_world_open(&w);
    start(&w);
    t = frame_task(&f, 1, TASK_RUNNING);
    ref = LIST_ADD(&t->spec.container->secrets);
    assert_non_null(ref);
    assert_int_equal(str_set(&ref->secret_id, id_of(8).text), 0);
    host_world_assign(&w, &f);
    while (fake_sandboxes == 0)
        (void)uv_run(&w.loop, UV_RUN_ONCE); /* the next step is the container */
    assert_int_equal(fake_created, 0);
    frame_gone(&more, "secret", 8);
    row = &more.rows.items[0];
    row->gone = false;
    row->secret = calloc(1, sizeof(*row->secret));
    assert_non_null(row->secret);
    row->secret->id = id_of(8);
    assert_int_equal(str_set(&row->secret->spec.name, "key"), 0);
    assert_int_equal(bytes_set(&row->secret->spec.data, slice_of_str("s3")), 0);
    host_world_assign(&w, &more);
    host_world_until(&w, is_running);
    assert_int_equal(fake_spec.secrets.count, 1);
    host_world_deinit(&w);
}

static bool is_written(struct host_world *w)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/assignment", w->dir);
    return access(path, R_OK) == 0;
}

static void test_after_a_restart_it_holds_what_it_held(void **state)
{
    struct assign f = { .version = 41 };
    struct host_world w;

    (void)state;
    host_world_open(&w);
    start(&w);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    host_world_assign(&w, &f);
    host_world_until(&w, is_running);
    host_world_close(&w);
    assert_true(fake_running); /* containers go on */

    host_world_reopen(&w);
    assert_non_null(host_task(w.host, id_of(1).text));
    host_container_found(w.host, runtime_container_inspect(NULL, id_of(1).text));
    fields_deinit(&report_type, &w.report);
    fake_created = fake_sandboxes = 0;
    start(&w);
    host_world_until(&w, is_running); /* said again: who heard it may be gone */
    assert_int_equal(fake_created, 0);
    assert_int_equal(fake_sandboxes, 1);
    host_world_deinit(&w);
}

/* Whatever the file has become, the host opens, keeps what runs, and sets the file aside. */
static void test_a_broken_file_counts_as_none(void **state)
{
    static const char *const broken[] = { "", "short",
                                          "as long as a nonce and a tag, which it has neither of" };
    char path[128];
    struct stat st;

    (void)state;
    for (size_t i = 0; i <= ARRAY_LEN(broken); i++) {
        struct assign f = { 0 };
        struct host_world w;

        host_world_open(&w);
        start(&w);
        (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
        host_world_assign(&w, &f);
        host_world_until(&w, is_running);
        host_world_close(&w);
        if (i < ARRAY_LEN(broken))
            assert_int_equal(state_file_write(w.dir, "assignment", slice_of_str(broken[i])), 0);
        else
            w.key = 2; /* of another node */
        host_world_reopen(&w);
        assert_null(host_task(w.host, id_of(1).text));
        (void)snprintf(path, sizeof(path), "%s/assignment.corrupt", w.dir);
        assert_int_equal(stat(path, &st), 0);
        host_container_found(w.host, runtime_container_inspect(NULL, id_of(1).text));
        start(&w);
        for (int round = 0; round < 20; round++)
            (void)uv_run(&w.loop, UV_RUN_NOWAIT);
        assert_true(fake_running); /* until the managers say otherwise */
        f = (struct assign){ .version = 9 };
        host_world_assign(&w, &f);
        while (fake_running)
            (void)uv_run(&w.loop, UV_RUN_ONCE);
        host_world_deinit(&w);
    }
}

static void test_it_can_be_closed_while_it_writes(void **state)
{
    struct assign f = { 0 };
    struct host_world w;

    (void)state;
    host_world_open(&w);
    start(&w);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    host_world_assign(&w, &f);
    (void)uv_run(&w.loop, UV_RUN_NOWAIT); /* the write is on its way */
    host_world_close(&w);
    assert_true(is_written(&w));
    assert_int_equal(fake_created, 0);
    host_world_reopen(&w);
    assert_non_null(host_task(w.host, id_of(1).text));
    host_world_deinit(&w);
}

static void test_frames_that_are_not_for_it_are_refused(void **state)
{
    struct dispatch empty = { .kind = DISPATCH_ASSIGN }, hello = { .kind = DISPATCH_HELLO };
    struct assign late = { .base = 5, .version = 6 };
    struct dispatch stale = { .kind = DISPATCH_ASSIGN, .assign = &late };
    struct host_world w;
    size_t hellos;

    (void)state;
    host_world_open(&w);
    start(&w);
    assert_int_equal(host_frame(w.host, &empty), ERR_MALFORMED);
    assert_int_equal(host_frame(w.host, &hello), ERR_MALFORMED);
    hellos = w.hellos;
    assert_int_equal(host_frame(w.host, &stale), 0); /* it asks anew, from where it is */
    assert_int_equal(w.hellos, hellos + 1);
    host_world_deinit(&w);
}

static bool has_said_goodbye(struct host_world *w)
{
    return w->report.stopping;
}

/* A HELLO would make it a node that takes tasks again. */
static void test_who_shuts_down_says_goodbye_and_no_hello(void **state)
{
    struct assign f = { 0 };
    struct host_world w;
    size_t hellos;

    (void)state;
    host_world_open(&w);
    start(&w);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    host_world_assign(&w, &f);
    host_world_until(&w, is_running);
    hellos = w.hellos;
    host_shut_down(w.host);
    host_world_until(&w, has_said_goodbye);
    fake_exit(&w, 0);
    host_world_until(&w, is_over);
    assert_int_equal(reported(&w, NULL), TASK_SHUTDOWN);
    w.report.stopping = false;
    host_disconnected(w.host);
    host_connected(w.host); /* another manager leads */
    host_world_until(&w, has_said_goodbye);
    assert_int_equal(w.hellos, hellos);
    host_world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_runs_and_ends),
        cmocka_unit_test(test_an_unknown_image_is_fetched_or_refused),
        cmocka_unit_test(test_steps_that_end_at_once_do_not_wait),
        cmocka_unit_test(test_a_secret_may_arrive_later),
        cmocka_unit_test(test_after_a_restart_it_holds_what_it_held),
        cmocka_unit_test(test_a_broken_file_counts_as_none),
        cmocka_unit_test(test_it_can_be_closed_while_it_writes),
        cmocka_unit_test(test_frames_that_are_not_for_it_are_refused),
        cmocka_unit_test(test_who_shuts_down_says_goodbye_and_no_hello),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
