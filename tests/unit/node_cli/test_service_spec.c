/* Options of service create and update: what they make of a spec. */
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/cli/service_spec.h"
#include "tests/support/unit.h"

#define WORDS_MAX 16

static const struct option_def options[] = {
    { "mode", 0, OPTION_TEXT, "MODE", "as create has it" },
    SERVICE_SPEC_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* Applies "--a b --c" to the spec of `before`, and returns the result as sorted text, or NULL. */
static char *apply(const char *before, const char *line)
{
    struct invocation in = { 0 };
    struct field_error err;
    json_t *spec = json_loads(before, 0, NULL);
    char *words = strdup(line), *save = NULL, *argv[WORDS_MAX], *text = NULL;
    int argc = 0;

    for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = w;
    }
    if (args_parse(&in.args, options, argc, argv, false, &err) < 0)
        fail_msg("%s: %s", line, err.text);
    if ((!args_given(&in.args, "mode") || service_spec_set_mode(&in.args, spec) == 0) &&
        service_spec_apply(&in, spec) == 0)
        text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
    args_deinit(&in.args);
    json_decref(spec);
    free(words);
    return text;
}

static void test_each_option_has_its_place(void **state)
{
    static const struct {
        const char *line, *expected; /* of TaskTemplate, or of the spec beside it */
    } rows[] = {
        { "--env A=1 -e B=2", "\"ContainerSpec\":{\"Env\":[\"A=1\",\"B=2\"]}" },
        { "--hostname h --user u -w /d",
          "\"ContainerSpec\":{\"Dir\":\"/d\",\"Hostname\":\"h\",\"User\":\"u\"}" },
        { "--read-only", "\"ReadOnly\":true" },
        { "--label a=b", "\"Labels\":{\"a\":\"b\"}" },
        { "--replicas 4", "\"Mode\":{\"Replicated\":{\"Replicas\":4}}" },
        { "--mode global", "\"Mode\":{\"Global\":{}}" },
        { "--mode global-job", "\"Mode\":{\"GlobalJob\":{}}" },
        { "--mode replicated-job",
          "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":1,\"TotalCompletions\":1}}" },
        { "--mode replicated-job --replicas 5",
          "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":5,\"TotalCompletions\":5}}" },
        { "--mode replicated-job --replicas 5 --max-concurrent 2",
          "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":2,\"TotalCompletions\":5}}" },
        { "--constraint node.role==worker",
          "\"Placement\":{\"Constraints\":[\"node.role==worker\"]}" },
        { "--placement-pref spread=node.labels.dc",
          "\"Preferences\":[{\"Spread\":{\"SpreadDescriptor\":\"node.labels.dc\"}}]" },
        { "--replicas-max-per-node 2", "\"Placement\":{\"MaxReplicas\":2}" },
        { "--limit-cpu 0.5 --limit-memory 64M",
          "\"Limits\":{\"MemoryBytes\":67108864,\"NanoCPUs\":500000000}" },
        { "--reserve-cpu 2", "\"Reservations\":{\"NanoCPUs\":2000000000}" },
        { "--restart-condition none --restart-delay 1m30s",
          "\"RestartPolicy\":{\"Condition\":\"none\",\"Delay\":90000000000}" },
        { "--update-order start-first",
          "\"UpdateConfig\":{\"Order\":\"start-first\",\"Parallelism\":1}" },
        { "--update-parallelism 0", "\"UpdateConfig\":{\"Parallelism\":0}" },
        { "--network front --network back",
          "\"Networks\":[{\"Target\":\"front\"},{\"Target\":\"back\"}]" },
        { "--mount type=bind,source=/a,target=/b,readonly",
          "\"Mounts\":[{\"ReadOnly\":true,\"Source\":\"/a\",\"Target\":\"/"
          "b\",\"Type\":\"bind\"}]" },
        { "--mount src=data,dst=/b",
          "\"Mounts\":[{\"Source\":\"data\",\"Target\":\"/b\",\"Type\":\"volume\"}]" },
        { "--health-cmd true --health-interval 2s",
          "\"Healthcheck\":{\"Interval\":2000000000,\"Test\":[\"CMD-SHELL\",\"true\"]}" },
        { "--stop-grace-period 500ms", "\"StopGracePeriod\":500000000" },
        { "--publish 8080:80/udp",
          "\"Ports\":[{\"Protocol\":\"udp\",\"PublishMode\":\"ingress\",\"PublishedPort\":8080,"
          "\"TargetPort\":80}]" },
        { "-p 80", "\"PublishedPort\":0,\"TargetPort\":80" },
        { "-p published=81,target=80,mode=host",
          "\"PublishMode\":\"host\",\"PublishedPort\":81,\"TargetPort\":80" },
        { "--endpoint-mode dnsrr", "\"EndpointSpec\":{\"Mode\":\"dnsrr\"}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = apply("{}", rows[i].line);

        if (text == NULL || strstr(text, rows[i].expected) == NULL)
            fail_msg("%s gave %s", rows[i].line, text == NULL ? "an error" : text);
        free(text);
    }
}

static void test_what_was_not_given_stays(void **state)
{
    static const char before[] =
        "{\"Name\":\"web\",\"TaskTemplate\":{\"ContainerSpec\":{\"Env\":[\"A=1\"],\"Image\":\"web:"
        "1\"},"
        "\"Placement\":{\"MaxReplicas\":3}},\"UpdateConfig\":{\"Delay\":5,\"Parallelism\":4}}";
    char *text;

    (void)state;
    text = apply(before, "--constraint a==b --update-order stop-first");
    assert_string_equal(
        text, "{\"Name\":\"web\",\"TaskTemplate\":{\"ContainerSpec\":{\"Env\":[\"A=1\"],\"Image\":"
              "\"web:1\"},\"Placement\":{\"Constraints\":[\"a==b\"],\"MaxReplicas\":3}},"
              "\"UpdateConfig\":{\"Delay\":5,\"Order\":\"stop-first\",\"Parallelism\":4}}");
    free(text);
}

static void test_values_that_make_no_sense_are_refused(void **state)
{
    static const char *const lines[] = {
        "--replicas many",
        "--replicas -1",
        "--replicas 3x",
        "--limit-cpu fast",
        "--limit-memory -5",
        "--reserve-memory 12Q",
        "--restart-delay soon",
        "--update-delay 5",
        "--stop-grace-period -1x",
        "--publish 0",
        "--publish 70000:80",
        "--publish 80x:90",
        "--publish :80",
        "--publish 80:",
        "--publish target=80,colour=red",
        "--publish target=8x",
        "--publish published=9",
        "--mount colour=red",
        "--mode sometimes",
        "--max-concurrent 2",
        "--mode global --replicas 2",
        "--mode global-job --replicas 2",
        "--mode replicated-job --max-concurrent few",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *text = apply("{}", lines[i]);

        if (text != NULL)
            fail_msg("%s gave %s", lines[i], text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_has_its_place),
        cmocka_unit_test(test_what_was_not_given_stays),
        cmocka_unit_test(test_values_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
