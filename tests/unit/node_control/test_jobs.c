/* Jobs: tasks that run until they have ended well, once per iteration. */
#include <stdlib.h>

#include "base/err.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_cluster.h"

static struct id start_job(struct world *w, uint64_t total, uint64_t at_a_time,
                           struct restart_policy *restart)
{
    struct replicated_job job = { .max_concurrent = &at_a_time, .total_completions = &total };
    char image[] = "job:1", name[] = "job";
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name,
                                 .task = { .container = &container, .restart = restart },
                                 .mode.replicated_job = &job };
    struct id id;

    if (world_apply(w, admit_service_create(world_admit(w), &spec, &id)) < 0)
        fail_msg("%s", world_error.text);
    (void)world_settle(w);
    return id;
}

static struct id start_global_job(struct world *w)
{
    struct global global = { false };
    char image[] = "job:1", name[] = "job";
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name,
                                 .task = { .container = &container },
                                 .mode.global_job = &global };
    struct id id;

    if (world_apply(w, admit_service_create(world_admit(w), &spec, &id)) < 0)
        fail_msg("%s", world_error.text);
    (void)world_settle(w);
    return id;
}

/* Reports `state` of every task that is to complete and is not there yet; then settles. */
static size_t report_all(struct world *w, const struct id *job, enum task_state state)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, job, t)
    if (t->desired_state == TASK_COMPLETE && t->status.state >= TASK_ASSIGNED &&
        t->status.state < state && !task_state_is_terminal(t->status.state)) {
        world_report(w, t, state, state == TASK_FAILED);
        count++;
    }
    (void)world_settle(w);
    return count;
}

static size_t count_open(struct world *w, const struct id *job)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, job, t)
    count += t->desired_state <= TASK_COMPLETE && !task_state_is_terminal(t->status.state);
    return count;
}

static void update_job(struct world *w, const struct id *job)
{
    const struct service *s = store_service(w->store, job);
    struct service_spec spec;

    assert_int_equal(fields_copy(&service_spec_type, &s->spec, &spec), 0);
    spec.task.force_update++;
    assert_int_equal(
        world_apply(w, admit_service_update(world_admit(w), job, s->version.index, &spec)), 0);
    fields_deinit(&service_spec_type, &spec);
    (void)world_settle(w);
}

static void test_so_many_run_at_a_time_until_all_have_completed(void **state)
{
    struct world w;
    struct id job;
    size_t rounds = 0;

    (void)state;
    world_init(&w, 3);
    job = start_job(&w, 7, 3, NULL);
    while (count_open(&w, &job) > 0) {
        assert_int_equal(count_open(&w, &job), rounds < 2 ? 3 : 1);
        assert_true(report_all(&w, &job, TASK_RUNNING) > 0);
        assert_true(report_all(&w, &job, TASK_COMPLETE) > 0);
        rounds++;
    }
    assert_int_equal(rounds, 3);
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 7);
    world_advance(&w, 3600 * SECOND);
    assert_int_equal(world_settle(&w), 0); /* what is done stays done */
    world_deinit(&w);
}

static void test_each_slot_completes_once(void **state)
{
    struct store_iter it;
    bool seen[6] = { false };
    struct world w;
    struct id job;

    (void)state;
    world_init(&w, 2);
    job = start_job(&w, 5, 2, NULL);
    while (report_all(&w, &job, TASK_COMPLETE) > 0)
        continue;
    STORE_EACH_OF_SERVICE(&it, w.store, &job, t)
    {
        assert_true(t->slot >= 1 && t->slot <= 5);
        assert_false(seen[t->slot]);
        seen[t->slot] = true;
    }
    assert_true(seen[1] && seen[2] && seen[3] && seen[4] && seen[5]);
    world_deinit(&w);
}

static void test_what_failed_is_tried_again_in_its_slot(void **state)
{
    struct world w;
    struct id job;

    (void)state;
    world_init(&w, 2);
    job = start_job(&w, 1, 1, NULL);
    assert_int_equal(report_all(&w, &job, TASK_FAILED), 1);
    assert_int_equal(world_count(&w, &job, TASK_FAILED), 1);
    assert_int_equal(world_task(&w, &job, 1)->desired_state, TASK_READY); /* after its delay */
    world_advance(&w, 5 * SECOND);
    (void)world_settle(&w);
    assert_int_equal(report_all(&w, &job, TASK_COMPLETE), 1);
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 1);
    assert_int_equal(count_open(&w, &job), 0);
    world_deinit(&w);
}

/* It is not tried for ever, and does not keep the others from running. */
static void test_a_slot_that_is_given_up_holds_no_other_back(void **state)
{
    uint64_t attempts = 1;
    int64_t delay = 0;
    struct restart_policy once = { .condition = RESTART_ANY,
                                   .delay = &delay,
                                   .max_attempts = &attempts };
    struct restart_policy never = { .condition = RESTART_NONE };
    struct restart_policy *policies[] = { &once, &never };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct store_iter it;
        struct world w;
        struct id job;

        world_init(&w, 2);
        job = start_job(&w, 3, 1, policies[i]);
        for (int round = 0; round < 20; round++) {
            const struct task *fails = NULL;

            STORE_EACH_OF_SERVICE(&it, w.store, &job, t)
            if (t->slot == 1 && t->desired_state == TASK_COMPLETE &&
                t->status.state >= TASK_ASSIGNED && !task_state_is_terminal(t->status.state))
                fails = t;
            if (fails != NULL)
                world_report(&w, fails, TASK_FAILED, 1);
            (void)world_settle(&w);
            if (fails == NULL)
                (void)report_all(&w, &job, TASK_COMPLETE);
            world_advance(&w, SECOND);
            (void)world_settle(&w);
        }
        assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 2);
        assert_int_equal(world_count(&w, &job, TASK_FAILED), i == 0 ? 2 : 1);
        assert_int_equal(count_open(&w, &job), 0);
        assert_int_equal(world_settle(&w), 0);
        world_deinit(&w);
    }
}

static void test_an_update_runs_it_once_more(void **state)
{
    struct store_iter it;
    struct world w;
    struct id job;

    (void)state;
    world_init(&w, 2);
    job = start_job(&w, 2, 1, NULL);
    assert_int_equal(store_service(w.store, &job)->job_status->iteration.index, 0);
    assert_true(store_service(w.store, &job)->job_status->last_execution == w.now.wall);
    (void)report_all(&w, &job, TASK_COMPLETE);
    (void)report_all(&w, &job, TASK_RUNNING); /* one is done, one runs */
    world_advance(&w, SECOND);
    update_job(&w, &job);
    assert_int_equal(store_service(w.store, &job)->job_status->iteration.index, 1);
    assert_null(store_service(w.store, &job)->update_status);
    STORE_EACH_OF_SERVICE(&it, w.store, &job, t)
    if (t->job_iteration->index == 0)
        assert_int_equal(t->desired_state,
                         t->status.state == TASK_COMPLETE ? TASK_SHUTDOWN : TASK_REMOVE);
    while (report_all(&w, &job, TASK_COMPLETE) > 0)
        continue;
    world_agents(&w);
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 3); /* one is history */
    assert_int_equal(world_count(&w, &job, TASK_RUNNING), 0);
    assert_int_equal(world_settle(&w), 0);
    world_deinit(&w);
}

static void test_a_rollback_is_an_iteration_too(void **state)
{
    const struct service *s;
    struct world w;
    struct id job;

    (void)state;
    world_init(&w, 1);
    job = start_job(&w, 1, 1, NULL);
    update_job(&w, &job);
    s = store_service(w.store, &job);
    assert_int_equal(
        world_apply(&w, admit_service_rollback(world_admit(&w), &job, s->version.index)), 0);
    (void)world_settle(&w);
    s = store_service(w.store, &job);
    assert_int_equal(s->job_status->iteration.index, 2);
    assert_null(s->update_status); /* nothing that somebody would wait for */
    assert_int_equal(s->spec.task.force_update, 0);
    assert_int_equal(count_open(&w, &job), 1);
    world_deinit(&w);
}

static void set_availability(struct world *w, size_t i, enum availability availability)
{
    const struct node *n = store_node(w->store, &w->nodes[i]);
    struct node_spec spec = { .availability = availability, .role = n->spec.role };

    assert_int_equal(
        world_apply(w, admit_node_update(world_admit(w), &n->id, n->version.index, &spec)), 0);
    (void)world_settle(w);
}

static void test_a_global_job_runs_once_on_every_node(void **state)
{
    struct world w;
    struct id job;

    (void)state;
    world_init(&w, 3);
    set_availability(&w, 2, AVAILABILITY_DRAIN);
    job = start_global_job(&w);
    assert_int_equal(report_all(&w, &job, TASK_COMPLETE), 2);
    assert_int_equal(world_settle(&w), 0);
    set_availability(&w, 2, AVAILABILITY_ACTIVE); /* it may now, and has not */
    assert_int_equal(report_all(&w, &job, TASK_COMPLETE), 1);
    set_availability(&w, 1, AVAILABILITY_DRAIN); /* its work is done: nothing to move */
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 3);
    assert_int_equal(count_open(&w, &job), 0);
    update_job(&w, &job);
    assert_int_equal(count_open(&w, &job), 2);
    world_deinit(&w);
}

static void test_work_of_a_lost_node_is_done_elsewhere(void **state)
{
    struct store_iter it;
    struct world w;
    struct id job, lost = { "" };
    size_t i = 0;

    (void)state;
    world_init(&w, 3);
    job = start_job(&w, 1, 1, NULL);
    (void)report_all(&w, &job, TASK_RUNNING);
    STORE_EACH_OF_SERVICE(&it, w.store, &job, t)
    lost = t->node_id;
    while (!id_equal(&w.nodes[i], &lost))
        i++;
    control_heard(w.control, &lost, CONTROL_UNREACHABLE, w.now);
    (void)world_settle(&w);
    assert_int_equal(report_all(&w, &job, TASK_COMPLETE), 1);
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 1);
    world_deinit(&w);
}

/* Never two at a time: the next try waits until the one on the drained node has stopped. */
static void test_a_drain_moves_work_that_is_under_way(void **state)
{
    struct store_iter it;
    const struct task *first = NULL;
    struct world w;
    struct id job;
    size_t i = 0;

    (void)state;
    world_init(&w, 2);
    job = start_job(&w, 1, 1, NULL);
    (void)report_all(&w, &job, TASK_RUNNING);
    STORE_EACH_OF_SERVICE(&it, w.store, &job, t)
    first = t;
    while (!id_equal(&w.nodes[i], &first->node_id))
        i++;
    set_availability(&w, i, AVAILABILITY_DRAIN);
    assert_int_equal(report_all(&w, &job, TASK_COMPLETE), 0);
    world_agents(&w); /* the first has stopped, the second is prepared */
    world_agents(&w);
    assert_int_equal(world_count(&w, &job, TASK_SHUTDOWN), 1);
    assert_int_equal(world_count(&w, &job, TASK_COMPLETE), 1);
    world_deinit(&w);
}

static void test_numbers_that_were_not_given_are_filled_in(void **state)
{
    struct replicated_job job = { 0 };
    char image[] = "job:1", name[] = "job";
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name,
                                 .task = { .container = &container },
                                 .mode.replicated_job = &job };
    const struct replicated_job *stored;
    uint64_t five = 5;
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)), 0);
    stored = store_service(w.store, &id)->spec.mode.replicated_job;
    assert_int_equal(*stored->max_concurrent, 1);
    assert_int_equal(*stored->total_completions, 1);
    name[0] = 'b';
    job.max_concurrent = &five;
    assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)), 0);
    stored = store_service(w.store, &id)->spec.mode.replicated_job;
    assert_int_equal(*stored->total_completions, 5);
    world_deinit(&w);
}

static void test_what_no_job_can_be_is_refused(void **state)
{
    uint64_t none = 0, many = SERVICE_TASKS_MAX + 1;
    struct update_config update = { .parallelism = 1 };
    struct replicated_job idle = { .max_concurrent = &none }, huge = { .total_completions = &many };
    struct replicated_job plain = { 0 };
    struct replicated crowd = { .replicas = &many };
    struct global global = { false };
    char image[] = "job:1", name[] = "job";
    struct task_container container = { .image = image };
    const struct {
        struct service_spec spec;
        const char *why;
    } rows[] = {
        { { .mode.replicated_job = &plain, .update = &update },
          "Jobs may not have an update config" },
        { { .mode.global_job = &global, .rollback = &update },
          "Jobs may not have an update config" },
        { { .mode.replicated_job = &idle }, "ReplicatedJob.MaxConcurrent: must be at least 1" },
        { { .mode.replicated_job = &huge },
          "ReplicatedJob: TotalCompletions and MaxConcurrent must be at most 65536" },
        { { .mode.replicated = &crowd }, "Replicated.Replicas: must be at most 65536" },
    };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct service_spec spec = rows[i].spec;

        spec.name = name;
        spec.task.container = &container;
        assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)),
                         ERR_INVALID);
        assert_string_equal(world_error.text, rows[i].why);
    }
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_many_run_at_a_time_until_all_have_completed),
        cmocka_unit_test(test_each_slot_completes_once),
        cmocka_unit_test(test_what_failed_is_tried_again_in_its_slot),
        cmocka_unit_test(test_a_slot_that_is_given_up_holds_no_other_back),
        cmocka_unit_test(test_an_update_runs_it_once_more),
        cmocka_unit_test(test_a_rollback_is_an_iteration_too),
        cmocka_unit_test(test_a_global_job_runs_once_on_every_node),
        cmocka_unit_test(test_work_of_a_lost_node_is_done_elsewhere),
        cmocka_unit_test(test_a_drain_moves_work_that_is_under_way),
        cmocka_unit_test(test_numbers_that_were_not_given_are_filled_in),
        cmocka_unit_test(test_what_no_job_can_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
