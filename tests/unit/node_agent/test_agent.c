/* What an agent does about its assignment, and what it says of it. */
#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/node_agent/support_agent.h"

static void exit_task(struct bench *b, unsigned n, int64_t code)
{
    struct agent_event e = { .kind = AGENT_EXITED, .task_id = id_of(n), .exit_code = code };

    agent_event(b->agent, &e, b->now, b->wall);
}

static void open_with_task(struct bench *b, enum task_state desired)
{
    struct assign f = { 0 };

    bench_open(b);
    (void)frame_task(&f, 1, desired); /* the frame owns it */
    assert_int_equal(bench_assign_all(b, &f), 0);
}

/* --- From assigned to running */

static void test_a_task_is_prepared_step_by_step(void **state)
{
    static const enum agent_operation_kind steps[] = { AGENT_IMAGE_ENSURE, AGENT_SANDBOX_CREATE,
                                                       AGENT_CONTAINER_CREATE,
                                                       AGENT_CONTAINER_START };
    struct bench b;
    uint64_t token;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        bench_turn(&b);
        assert_int_equal(b.count, 1);
        assert_int_equal(b.seen[0].kind, steps[i]);
        token = b.seen[0].token;
        bench_turn(&b);
        assert_int_equal(b.count, 0); /* one after the other */
        agent_result(b.agent, &(struct agent_result){ .token = token }, b.now, b.wall);
    }
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    assert_true(bench_status(&b, 1)->healthy);
    bench_close(&b);
}

static void test_a_replacement_waits_prepared(void **state)
{
    struct bench b;

    (void)state;
    open_with_task(&b, TASK_READY);
    assert_int_equal(bench_settle(&b), 3);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_READY);
    bench_task(&b, 1, TASK_RUNNING);
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_START);
    bench_close(&b);
}

static void test_networks_come_before_tasks(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    frame_network(&f, 2);
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.count, 2);
    assert_int_equal(b.seen[0].kind, AGENT_NETWORK_SET);
    assert_int_equal(b.seen[1].kind, AGENT_IMAGE_ENSURE);
    f = (struct assign){ 0 };
    frame_gone(&f, "network", 2);
    assert_int_equal(bench_assign(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_NETWORK_REMOVE);
    bench_close(&b);
}

static void test_so_many_are_prepared_at_once(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    for (unsigned n = 1; n <= AGENT_OPERATIONS_MAX + 4; n++)
        (void)frame_task(&f, n, TASK_RUNNING); /* the frame owns it */
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.count, AGENT_OPERATIONS_MAX);
    bench_answer(&b, 0, 0);
    bench_turn(&b);
    assert_int_equal(b.count, 1);
    bench_close(&b);
}

static void test_with_a_health_check_running_means_healthy(void **state)
{
    struct agent_event healthy = { .kind = AGENT_HEALTHY, .task_id = id_of(1) };
    struct agent_event sick = { .kind = AGENT_UNHEALTHY, .task_id = id_of(1) };
    struct bench b;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    for (int step = 0; step < 3; step++) {
        bench_turn(&b);
        bench_answer(&b, 0, 0);
    }
    bench_turn(&b);
    agent_result(b.agent, &(struct agent_result){ .token = b.seen[0].token, .awaits_health = true },
                 b.now, b.wall);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_STARTING);
    agent_event(b.agent, &healthy, b.now, b.wall);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    agent_event(b.agent, &sick, b.now, b.wall);
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_STOP);
    exit_task(&b, 1, 143);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_FAILED);
    assert_string_equal(bench_status(&b, 1)->err, "unhealthy container");
    bench_close(&b);
}

/* --- The end */

static void test_how_it_ended_is_told(void **state)
{
    static const struct {
        int64_t code;
        bool oom;
        enum task_state state;
        const char *err;
    } rows[] = {
        { 0, false, TASK_COMPLETE, NULL },
        { 3, false, TASK_FAILED, "non-zero exit (3)" },
        { 137, true, TASK_FAILED, "non-zero exit (137): killed, out of memory" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct agent_event e = { .kind = AGENT_EXITED,
                                 .task_id = id_of(1),
                                 .exit_code = rows[i].code,
                                 .oom_killed = rows[i].oom };
        struct bench b;

        bench_open(&b);
        bench_start_task(&b, 1);
        agent_event(b.agent, &e, b.now, b.wall);
        bench_turn_later(&b);
        assert_int_equal(bench_state(&b, 1), rows[i].state);
        if (rows[i].err != NULL)
            assert_string_equal(bench_status(&b, 1)->err, rows[i].err);
        assert_int_equal(b.seen[0].kind, AGENT_SANDBOX_DESTROY); /* its address is free again */
        bench_close(&b);
    }
}

static void test_what_is_shut_down_has_not_failed(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    bench_start_task(&b, 1);
    bench_task(&b, 1, TASK_SHUTDOWN);
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_STOP);
    exit_task(&b, 1, 137);
    bench_answer(&b, 0, 0);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_SHUTDOWN);
    bench_answer(&b, 0, 0); /* the sandbox */
    bench_turn(&b);
    assert_int_equal(b.count, 0); /* its logs may still be asked for */
    frame_gone(&f, "task", 1);
    assert_int_equal(bench_assign(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_REMOVE);
    bench_answer(&b, 0, ERR_NOT_FOUND); /* somebody else removed it: as good */
    bench_turn(&b);
    assert_int_equal(b.count, 0);
    bench_close(&b);
}

static void test_an_unwanted_pull_is_cancelled(void **state)
{
    struct bench b;
    uint64_t pull;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    bench_turn(&b);
    pull = b.seen[0].token;
    bench_task(&b, 1, TASK_SHUTDOWN);
    bench_turn(&b);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.seen[0].kind, AGENT_IMAGE_PULL_CANCEL);
    bench_turn(&b);
    assert_int_equal(b.count, 0); /* once */
    agent_result(b.agent, &(struct agent_result){ .token = pull, .err = ERR_CLOSED }, b.now,
                 b.wall);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_SHUTDOWN);
    bench_close(&b);
}

/* --- Failures */

static void test_an_image_that_is_nowhere_rejects_the_task(void **state)
{
    struct bench b;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    bench_turn(&b);
    agent_result(b.agent,
                 &(struct agent_result){
                     .token = b.seen[0].token, .err = ERR_NOT_FOUND, .message = "No such image" },
                 b.now, b.wall);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_REJECTED);
    assert_string_equal(bench_status(&b, 1)->err, "No such image");
    assert_int_equal(b.count, 0); /* a new try is a new task */
    bench_close(&b);
}

/* A secret that has not arrived, a registry that is away: it may pass, but not for ever. */
static void test_what_may_pass_is_tried_again_with_pauses(void **state)
{
    mono_ns pause = 0;
    struct bench b;
    int tries = 0;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    bench_turn(&b);
    while (b.count == 1) {
        bench_answer(&b, 0, ERR_UNAVAILABLE);
        tries++;
        b.now += 20 * MS;
        bench_turn(&b);
        if (bench_state(&b, 1) == TASK_REJECTED)
            break;
        assert_int_equal(b.count, 0);
        assert_true(b.deadline - b.now >= pause || b.deadline - b.now > 25 * NS_PER_S);
        pause = b.deadline - b.now;
        b.now = b.deadline;
        bench_turn(&b);
    }
    assert_int_equal(tries, 10);
    assert_int_equal(bench_state(&b, 1), TASK_REJECTED);
    bench_close(&b);
}

/* Whoever looks at a task that does not get on is told what it waits for. */
static void test_what_is_tried_again_says_why(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn(&b);
    for (int i = 0; i < 2; i++) {
        agent_result(b.agent,
                     &(struct agent_result){ .token = b.seen[0].token,
                                             .err = ERR_UNAVAILABLE,
                                             .message = "the registry is away" },
                     b.now, b.wall);
        bench_turn_later(&b);
        assert_int_equal(b.report != NULL, i == 0); /* the same again is no news */
        assert_int_equal(bench_state(&b, 1), i == 0 ? TASK_PREPARING : TASK_NEW);
        if (i == 0)
            assert_string_equal(bench_status(&b, 1)->err, "the registry is away");
        b.now = b.deadline;
        bench_turn(&b);
        assert_int_equal(b.count, 1);
    }
    bench_answer(&b, 0, 0);
    (void)bench_settle(&b);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    assert_null(bench_status(&b, 1)->err); /* it has passed */
    bench_close(&b);
}

static void test_a_container_that_does_not_start_has_failed(void **state)
{
    struct bench b;

    (void)state;
    open_with_task(&b, TASK_RUNNING);
    for (int step = 0; step < 3; step++) {
        bench_turn(&b);
        bench_answer(&b, 0, 0);
    }
    bench_turn(&b);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_START);
    bench_answer(&b, 0, ERR_INVALID);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_FAILED);
    bench_close(&b);
}

/* --- Restart of the daemon */

static void observe(struct bench *b, unsigned n, bool running, int64_t exit_code)
{
    struct agent_observed o = {
        .task_id = id_of(n), .running = running, .started = true, .exit_code = exit_code
    };

    assert_int_equal(agent_observe(b->agent, &o, b->wall), 0);
}

static void load(struct bench *b, const unsigned *tasks, size_t count)
{
    struct assign f = { .version = 7 };

    for (size_t i = 0; i < count; i++)
        frame_task(&f, tasks[i], TASK_RUNNING)->status.state = TASK_RUNNING;
    assert_int_equal(agent_load(b->agent, &f), 0);
    b->version = 7;
    fields_deinit(&assign_type, &f);
}

static void start(struct bench *b)
{
    agent_started(b->agent, b->now);
    agent_connected(b->agent, b->now);
}

static void test_what_ran_before_is_adopted(void **state)
{
    struct bench b;
    struct id ran_on = id_of(1);

    (void)state;
    bench_open_stopped(&b);
    load(&b, (const unsigned[]){ 1, 2, 3 }, 3);
    observe(&b, 1, true, 0);
    observe(&b, 2, false, 4); /* ended while nobody watched */
    start(&b);                /* of 3 there is no trace */
    bench_turn(&b);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.seen[0].kind, AGENT_SANDBOX_CREATE); /* the overlay must know it again */
    assert_true(id_equal(&b.seen[0].task_id, &ran_on));
    assert_int_equal(bench_state(&b, 1), TASK_NEW); /* nothing new about it */
    assert_int_equal(bench_state(&b, 2), TASK_FAILED);
    assert_string_equal(bench_status(&b, 2)->err, "non-zero exit (4)");
    assert_int_equal(bench_state(&b, 3), TASK_FAILED);
    assert_string_equal(bench_status(&b, 3)->err, "its container is gone from this host");
    bench_close(&b);
}

/* The file of the last run is lost: what runs is kept until the managers say what should. */
static void test_without_an_assignment_nothing_is_stopped(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open_stopped(&b);
    observe(&b, 1, true, 0);
    observe(&b, 2, true, 0);
    start(&b);
    bench_turn(&b);
    assert_int_equal(b.count, 0);
    frame_task(&f, 1, TASK_RUNNING)->status.state = TASK_STARTING;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn_later(&b);
    assert_int_equal(b.count, 2);
    assert_int_equal(b.seen[0].kind + b.seen[1].kind, AGENT_SANDBOX_CREATE + AGENT_CONTAINER_STOP);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    bench_close(&b);
}

/* The managers saw it run; its container went with the disk. It is not started a second time. */
static void test_a_task_that_ran_before_is_not_started_again(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    frame_task(&f, 1, TASK_RUNNING)->status.state = TASK_RUNNING;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn_later(&b);
    assert_int_equal(b.count, 0);
    assert_int_equal(bench_state(&b, 1), TASK_FAILED);
    bench_close(&b);
}

/* --- Without managers */

static void test_its_disconnect_policy_stops_a_task(void **state)
{
    struct assign f = { 0 };
    struct bench b;
    struct task *t;

    (void)state;
    bench_open(&b);
    (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it; it stays */
    t = frame_task(&f, 2, TASK_RUNNING);
    t->spec.disconnect = calloc(1, sizeof(*t->spec.disconnect));
    t->spec.disconnect->stop_after = 10 * (int64_t)NS_PER_S;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    (void)bench_settle(&b);
    agent_disconnected(b.agent, b.now);
    bench_turn(&b);
    assert_int_equal(b.count, 0);
    b.now = b.deadline; /* it knows when to look again */
    bench_turn(&b);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.seen[0].kind, AGENT_CONTAINER_STOP);
    exit_task(&b, 2, 143);
    agent_connected(b.agent, b.now);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 2), TASK_SHUTDOWN);
    assert_string_equal(bench_status(&b, 2)->message, "no manager was reachable");
    bench_close(&b);
}

/* An exit code of 0 would count as finished, and a service that restarts on failure not come back.
 */
static void test_before_the_host_goes_down_tasks_end_as_shut_down(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    bench_start_task(&b, 1);
    bench_start_task(&b, 2);
    bench_task(&b, 3, TASK_RUNNING); /* not prepared yet */
    agent_shut_down(b.agent);
    exit_task(&b, 1, 0); /* before the agent had its turn */
    bench_turn_later(&b);
    assert_non_null(b.report);
    assert_true(b.report->stopping);
    assert_int_equal(bench_state(&b, 1), TASK_SHUTDOWN);
    assert_string_equal(bench_status(&b, 1)->message, "the node shuts down");
    assert_int_equal(bench_state(&b, 3), TASK_SHUTDOWN);
    for (size_t i = 0; i < b.count; i++)
        assert_true(b.seen[i].kind == AGENT_CONTAINER_STOP ||
                    b.seen[i].kind == AGENT_SANDBOX_DESTROY);
    exit_task(&b, 2, 3);
    bench_task(&b, 4, TASK_RUNNING); /* the managers had not heard of it yet */
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 2), TASK_SHUTDOWN);
    assert_int_equal(bench_state(&b, 4), TASK_SHUTDOWN);
    for (size_t i = 0; i < b.count; i++)
        assert_false(id_equal(&b.seen[i].task_id, &(struct id[]){ id_of(4) }[0]));
    bench_close(&b);
}

static void test_a_node_without_tasks_says_goodbye_too(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    agent_shut_down(b.agent);
    bench_turn_later(&b);
    assert_non_null(b.report);
    assert_true(b.report->stopping);
    assert_int_equal(b.report->tasks.count, 0);
    bench_turn_later(&b);
    assert_null(b.report); /* once .. */
    agent_connected(b.agent, b.now);
    bench_turn_later(&b);
    assert_non_null(b.report); /* .. on each connection */
    bench_close(&b);
}

static void test_a_report_is_repeated_until_it_is_in_the_log(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    bench_start_task(&b, 1);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    bench_turn_later(&b);
    assert_null(b.report); /* said once on one connection */
    agent_disconnected(b.agent, b.now);
    agent_connected(b.agent, b.now);
    bench_turn_later(&b);
    assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
    agent_acknowledged(b.agent, b.report->sequence);
    agent_connected(b.agent, b.now);
    bench_turn_later(&b);
    assert_null(b.report);
    bench_close(&b);
}

static void test_reports_are_gathered(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    bench_start_task(&b, 1);
    exit_task(&b, 1, 0);
    bench_turn(&b);
    assert_null(b.report); /* 1 ms after the last one */
    assert_true(b.deadline <= b.now + 20 * MS);
    b.now = b.deadline;
    bench_turn(&b);
    assert_int_equal(bench_state(&b, 1), TASK_COMPLETE);
    bench_close(&b);
}

/* More news than one report holds: the rest follows by itself. */
static void test_a_long_report_is_continued(void **state)
{
    struct assign f = { 0 };
    size_t told = 0;
    struct bench b;

    (void)state;
    bench_open(&b);
    for (unsigned n = 1; n <= ASSIGNED_MAX; n++)
        frame_task(&f, n, TASK_SHUTDOWN)->status.state = TASK_ASSIGNED;
    f.more = true;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    for (unsigned n = ASSIGNED_MAX + 1; n <= ASSIGNED_MAX + 10; n++)
        frame_task(&f, n, TASK_SHUTDOWN)->status.state = TASK_ASSIGNED;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn_later(&b);
    told += b.report->tasks.count;
    assert_int_equal(told, ASSIGNED_MAX);
    b.now = b.deadline - MS;
    bench_turn(&b);
    assert_non_null(b.report);
    told += b.report->tasks.count;
    assert_int_equal(told, ASSIGNED_MAX + 10);
    agent_connected(b.agent, b.now); /* nothing was acknowledged: all of it again */
    bench_turn_later(&b);
    assert_int_equal(b.report->tasks.count, ASSIGNED_MAX);
    bench_turn_later(&b);
    assert_int_equal(b.report->tasks.count, 10);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_is_prepared_step_by_step),
        cmocka_unit_test(test_a_replacement_waits_prepared),
        cmocka_unit_test(test_networks_come_before_tasks),
        cmocka_unit_test(test_so_many_are_prepared_at_once),
        cmocka_unit_test(test_with_a_health_check_running_means_healthy),
        cmocka_unit_test(test_how_it_ended_is_told),
        cmocka_unit_test(test_what_is_shut_down_has_not_failed),
        cmocka_unit_test(test_an_unwanted_pull_is_cancelled),
        cmocka_unit_test(test_an_image_that_is_nowhere_rejects_the_task),
        cmocka_unit_test(test_what_may_pass_is_tried_again_with_pauses),
        cmocka_unit_test(test_what_is_tried_again_says_why),
        cmocka_unit_test(test_a_container_that_does_not_start_has_failed),
        cmocka_unit_test(test_what_ran_before_is_adopted),
        cmocka_unit_test(test_without_an_assignment_nothing_is_stopped),
        cmocka_unit_test(test_a_task_that_ran_before_is_not_started_again),
        cmocka_unit_test(test_its_disconnect_policy_stops_a_task),
        cmocka_unit_test(test_before_the_host_goes_down_tasks_end_as_shut_down),
        cmocka_unit_test(test_a_node_without_tasks_says_goodbye_too),
        cmocka_unit_test(test_a_report_is_repeated_until_it_is_in_the_log),
        cmocka_unit_test(test_reports_are_gathered),
        cmocka_unit_test(test_a_long_report_is_continued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
