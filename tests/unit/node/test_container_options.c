/* Options of container run: what they make of a creation, which the API must understand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/container_create.h"
#include "node/cli/container_spec.h"
#include "node/cli/spec_words.h"
#include "tests/support/unit.h"

#define WORDS_MAX 32

static const struct row {
    const char *line, *expected; /* NULL: refused */
} rows[] = {
    { "web:1", "{\"Cmd\":[],\"Image\":\"web:1\",\"StdinOnce\":false}" },
    { "web:1 sh -c true", "\"Cmd\":[\"sh\",\"-c\",\"true\"]" },
    { "--entrypoint 'a b' web:1", "\"Entrypoint\":[\"a b\"]" },
    { "-e A=1 --env A=2 --label b=3 web:1", "\"Env\":[\"A=2\"]" },
    { "--label b=3 web:1", "\"Labels\":{\"b\":\"3\"}" },
    { "-w /d -u u --hostname h --domainname d web:1",
      "\"Domainname\":\"d\",\"Hostname\":\"h\",\"Image\":\"web:1\",\"StdinOnce\":false,"
      "\"User\":\"u\",\"WorkingDir\":\"/d\"" },
    { "--workdir /d --user u web:1", "\"User\":\"u\"" },
    { "-it web:1", "\"OpenStdin\":true,\"StdinOnce\":true,\"Tty\":true" },
    { "--interactive --tty -d web:1", "\"OpenStdin\":true,\"StdinOnce\":false,\"Tty\":true" },
    { "--stop-signal INT --stop-timeout 3 web:1", "\"StopSignal\":\"INT\",\"StopTimeout\":3" },
    { "--rm --read-only --init --network host web:1",
      "\"HostConfig\":{\"AutoRemove\":true,\"Init\":true,\"NetworkMode\":\"host\","
      "\"ReadonlyRootfs\":true}" },
    { "-m 64m --memory-reservation 32m --cpus 1.5 --cpu-shares 512 --pids-limit 9 --shm-size 1m "
      "--oom-score-adj 7 web:1",
      "\"HostConfig\":{\"CpuShares\":512,\"Memory\":67108864,\"MemoryReservation\":33554432,"
      "\"NanoCpus\":1500000000,\"OomScoreAdj\":7,\"PidsLimit\":9,\"ShmSize\":1048576}" },
    { "--memory 64m web:1", "\"Memory\":67108864" },
    { "-v d:/d:ro --volume /a:/b --tmpfs /t --tmpfs /u:size=1m web:1",
      "\"HostConfig\":{\"Binds\":[\"d:/d:ro\",\"/a:/b\"],\"Tmpfs\":{\"/t\":\"\","
      "\"/u\":\"size=1m\"}}" },
    { "--mount type=tmpfs,target=/t web:1", "\"Mounts\":[{\"Target\":\"/t\",\"Type\":\"tmpfs\"}]" },
    { "--group-add g --add-host a:10.0.0.1 --dns 10.0.0.9 --dns-option ndots:1 --dns-search x "
      "web:1",
      "\"HostConfig\":{\"Dns\":[\"10.0.0.9\"],\"DnsOptions\":[\"ndots:1\"],\"DnsSearch\":[\"x\"],"
      "\"ExtraHosts\":[\"a:10.0.0.1\"],\"GroupAdd\":[\"g\"]}" },
    { "--cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges web:1",
      "\"HostConfig\":{\"CapAdd\":[\"NET_ADMIN\"],\"CapDrop\":[\"ALL\"],"
      "\"SecurityOpt\":[\"no-new-privileges\"]}" },
    { "--sysctl a=1 --ulimit nofile=1:2 web:1",
      "\"HostConfig\":{\"Sysctls\":{\"a\":\"1\"},\"Ulimits\":[{\"Hard\":2,\"Name\":\"nofile\","
      "\"Soft\":1}]}" },
    { "--log-driver none --log-opt max-size=1m web:1",
      "\"LogConfig\":{\"Config\":{\"max-size\":\"1m\"},\"Type\":\"none\"}" },
    { "--health-cmd true --health-interval 1s --health-timeout 1s --health-retries 2 "
      "--health-start-period 1s --health-start-interval 1s web:1",
      "\"Healthcheck\":{\"Interval\":1000000000,\"Retries\":2,\"StartInterval\":1000000000,"
      "\"StartPeriod\":1000000000,\"Test\":[\"CMD-SHELL\",\"true\"],\"Timeout\":1000000000}" },
    { "--no-healthcheck web:1", "\"Healthcheck\":{\"Test\":[\"NONE\"]}" },
    { "--memory lots web:1", NULL },
    { "--cpus -1 web:1", NULL },
    { "--pids-limit few web:1", NULL },
    { "--stop-timeout 1s web:1", NULL },
    { "--dns here web:1", NULL },
    { "--ulimit nofile web:1", NULL },
    { "--mount target=/a,volume-nocopy web:1", NULL },
    { "--env-file /nowhere/at/all web:1", NULL },
};

static json_t *body_of(const char *line)
{
    json_t *words = spec_words(line), *word, *body;
    char *argv[WORDS_MAX];
    struct field_error err;
    struct args args;
    size_t i;

    assert_true(json_array_size(words) <= WORDS_MAX);
    json_array_foreach(words, i, word) argv[i] = strdup(json_string_value(word));
    if (args_parse(&args, container_run_options, (int)json_array_size(words), argv, true, &err) < 0)
        fail_msg("%s: %s", line, err.text);
    body = container_spec_of(&args);
    args_deinit(&args);
    for (i = 0; i < json_array_size(words); i++)
        free(argv[i]);
    json_decref(words);
    return body;
}

static void test_each_option_has_its_place_and_the_api_knows_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *body = body_of(rows[i].line);
        char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
        struct container_create msg;
        struct field_error err;

        if ((text == NULL) != (rows[i].expected == NULL) ||
            (text != NULL && strstr(text, rows[i].expected) == NULL))
            fail_msg("%s gave %s", rows[i].line, text == NULL ? "an error" : text);
        if (body != NULL) {
            if (fields_from_json(&container_create_type, body, FIELDS_JSON_STRICT, &msg, &err) < 0)
                fail_msg("%s: %s", rows[i].line, err.text);
            fields_deinit(&container_create_type, &msg);
        }
        free(text);
        json_decref(body);
    }
}

static void test_every_option_is_in_these_rows(void **state)
{
    static const char *const elsewhere[] = { "name", "detach", "detach-keys" };

    (void)state;
    for (const struct option_def *o = container_run_options; o->name != NULL; o++) {
        size_t found = 0;
        char name[64];

        (void)snprintf(name, sizeof(name), "--%s ", o->name);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            found += strstr(rows[i].line, name) != NULL;
        for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
            found += strcmp(o->name, elsewhere[i]) == 0;
        if (found == 0)
            fail_msg("--%s is not tried", o->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_has_its_place_and_the_api_knows_it),
        cmocka_unit_test(test_every_option_is_in_these_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
