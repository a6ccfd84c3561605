/* What `service ls` shows, and when waiting for a service ends. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/cli/service_listing.h"
#include "node/cli/service_progress.h"
#include "tests/support/unit.h"

static void test_the_table_has_dockers_words(void **state)
{
    static const struct {
        const char *service, *mode, *replicas;
    } rows[] = {
        { "{'Spec':{'Mode':{'Replicated':{'Replicas':3}}},'ServiceStatus':{'RunningTasks':2,"
          "'DesiredTasks':3}}",
          "replicated", "2/3" },
        { "{'Spec':{'Mode':{'Replicated':{'Replicas':3}},'TaskTemplate':{'Placement':{'MaxReplicas'"
          ":"
          "1}}},'ServiceStatus':{'RunningTasks':2,'DesiredTasks':3}}",
          "replicated", "2/3 (max 1 per node)" },
        { "{'Spec':{'Mode':{'Global':{}}},'ServiceStatus':{'RunningTasks':2,'DesiredTasks':2}}",
          "global", "2/2" },
        { "{'Spec':{'Mode':{'ReplicatedJob':{'MaxConcurrent':3,'TotalCompletions':3}}},"
          "'ServiceStatus':{'RunningTasks':0,'DesiredTasks':3,'CompletedTasks':0}}",
          "replicated job", "0/3 (0/3 completed)" },
        { "{'Spec':{'Mode':{'GlobalJob':{}}},'ServiceStatus':{'RunningTasks':1,'DesiredTasks':2,"
          "'CompletedTasks':1}}",
          "global job", "1/2 (1/3 completed)" },
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *copy = strdup(rows[i].service);
        json_t *service;

        for (char *quote = copy; (quote = strchr(quote, '\'')) != NULL;)
            *quote = '"';
        service = json_loads(copy, 0, NULL);
        assert_non_null(service);
        assert_string_equal(service_mode_text(service), rows[i].mode);
        assert_string_equal(service_replicas_text(service, text, sizeof(text)), rows[i].replicas);
        json_decref(service);
        free(copy);
    }
}

/* A service of 2 in `mode` with the update state, and tasks "desired/state" or, of a job,
 * "iteration/desired/state". */
static struct service_progress progress_of(const char *mode, const char *update,
                                           const char *const *tasks)
{
    static json_t *service, *list; /* what the result borrows, until the next call */
    struct service_progress out;

    json_decref(service);
    json_decref(list);
    service = json_pack("{s:{s:o},s:{s:s},s:{s:{s:i}}}", "Spec", "Mode", json_loads(mode, 0, NULL),
                        "UpdateStatus", "State", update, "JobStatus", "JobIteration", "Index", 4);
    list = json_array();
    for (; *tasks != NULL; tasks++) {
        int iteration = 4;
        char desired[32], reached[32];

        if (sscanf(*tasks, "%d/%31[a-z]/%31[a-z]", &iteration, desired, reached) != 3)
            assert_int_equal(sscanf(*tasks, "%31[a-z]/%31[a-z]", desired, reached), 2);
        assert_int_equal(
            json_array_append_new(
                list,
                json_pack("{s:s,s:{s:s,s:s},s:{s:i}}", "DesiredState", desired, "Status", "State",
                          reached, "Err", strcmp(reached, "pending") == 0 ? "no suitable node" : "",
                          "JobIteration", "Index", iteration)),
            0);
    }
    out = service_progress_of(service, list);
    return out;
}

#define TASKS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_a_service_is_waited_for_until_all_run(void **state)
{
    static const char two[] = "{\"Replicated\":{\"Replicas\":2}}";
    struct service_progress p;

    (void)state;
    p = progress_of(two, "", TASKS("running/running", "running/pending", "shutdown/failed"));
    assert_int_equal(p.done, 1);
    assert_int_equal(p.wanted, 2);
    assert_string_equal(p.problem, "no suitable node");
    assert_false(p.is_over);
    p = progress_of(two, "", TASKS("running/running", "running/running"));
    assert_true(p.is_over);
    assert_false(progress_of(two, "updating", TASKS("running/running", "running/running")).is_over);
    assert_true(progress_of(two, "paused", TASKS("running/running", "running/running")).is_over);
    assert_true(
        progress_of("{\"Replicated\":{\"Replicas\":0}}", "", TASKS("shutdown/shutdown")).is_over);
}

static void test_a_job_is_waited_for_until_it_has_completed(void **state)
{
    static const char two[] = "{\"ReplicatedJob\":{\"MaxConcurrent\":1,\"TotalCompletions\":2}}";
    static const char everywhere[] = "{\"GlobalJob\":{}}";
    struct service_progress p;

    (void)state;
    p = progress_of(two, "", TASKS("4/complete/complete", "4/complete/running"));
    assert_int_equal(p.done, 1);
    assert_int_equal(p.wanted, 2);
    assert_string_equal(p.reached, "completed");
    assert_false(p.is_over);
    p = progress_of(two, "", TASKS("4/complete/complete", "3/complete/complete"));
    assert_int_equal(p.done, 1); /* the other one is of the iteration before */
    assert_true(progress_of(two, "", TASKS("4/complete/complete", "4/complete/complete")).is_over);

    assert_false(progress_of(everywhere, "", TASKS("3/shutdown/complete")).is_over);
    assert_false(
        progress_of(everywhere, "", TASKS("4/complete/complete", "4/ready/assigned")).is_over);
    assert_true(progress_of(everywhere, "", TASKS("4/complete/complete")).is_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_has_dockers_words),
        cmocka_unit_test(test_a_service_is_waited_for_until_all_run),
        cmocka_unit_test(test_a_job_is_waited_for_until_it_has_completed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
