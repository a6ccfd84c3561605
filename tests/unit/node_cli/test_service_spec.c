/* Options of service create: what they make of a spec, which the API must understand. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "node/object/service.h"
#include "support_spec.h"
#include "tests/support/unit.h"

static const struct row {
    const char *line, *expected; /* is in the spec's text */
} rows[] = {
    { "--env A=1 -e B=2", "\"ContainerSpec\":{\"Env\":[\"A=1\",\"B=2\"]" },
    { "--env A=1 --env A=2=3", "\"Env\":[\"A=2=3\"]" },
    { "--hostname h --user u --workdir /d", "\"Dir\":\"/d\",\"Hostname\":\"h\"" },
    { "-u u:g -w /e", "\"Dir\":\"/e\",\"Image\":\"web:1\",\"User\":\"u:g\"" },
    { "--entrypoint 'sh -c \"a b\"'", "\"Command\":[\"sh\",\"-c\",\"a b\"]" },
    { "--read-only", "\"ReadOnly\":true" },
    { "--tty --init", "\"Init\":true,\"TTY\":true" },
    { "--init=false", "\"Init\":false" },
    { "--stop-signal INT", "\"StopSignal\":\"INT\"" },
    { "--oom-score-adj -5", "\"OomScoreAdj\":-5" },
    { "--label a=b -l c", "\"Labels\":{\"a\":\"b\",\"c\":\"\"}" },
    { "--container-label a=b", "\"ContainerSpec\":{\"Image\":\"web:1\",\"Labels\":{\"a\":\"b\"}" },
    { "--replicas 4", "\"Mode\":{\"Replicated\":{\"Replicas\":4}}" },
    { "--mode global", "\"Mode\":{\"Global\":{}}" },
    { "--mode global-job", "\"Mode\":{\"GlobalJob\":{}}" },
    { "--mode replicated-job",
      "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":1,\"TotalCompletions\":1}}" },
    { "--mode replicated-job --replicas 5",
      "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":5,\"TotalCompletions\":5}}" },
    { "--mode replicated-job --replicas 5 --max-concurrent 2",
      "\"Mode\":{\"ReplicatedJob\":{\"MaxConcurrent\":2,\"TotalCompletions\":5}}" },
    { "--constraint node.role==worker", "\"Placement\":{\"Constraints\":[\"node.role==worker\"]}" },
    { "--placement-pref spread=node.labels.dc",
      "\"Preferences\":[{\"Spread\":{\"SpreadDescriptor\":\"node.labels.dc\"}}]" },
    { "--replicas-max-per-node 2", "\"Placement\":{\"MaxReplicas\":2}" },
    { "--limit-cpu 0.5 --limit-memory 64M --limit-pids 9",
      "\"Limits\":{\"MemoryBytes\":67108864,\"NanoCPUs\":500000000,\"Pids\":9}" },
    { "--reserve-cpu 2 --reserve-memory 1k",
      "\"Reservations\":{\"MemoryBytes\":1024,\"NanoCPUs\":2000000000}" },
    { "--restart-condition none --restart-delay 1m30s --restart-max-attempts 3 --restart-window 2s",
      "\"RestartPolicy\":{\"Condition\":\"none\",\"Delay\":90000000000,\"MaxAttempts\":3,"
      "\"Window\":2000000000}" },
    { "--update-order start-first",
      "\"UpdateConfig\":{\"Order\":\"start-first\",\"Parallelism\":1}" },
    { "--update-parallelism 0", "\"UpdateConfig\":{\"Parallelism\":0}" },
    { "--update-delay 1s --update-monitor 2s --update-failure-action rollback "
      "--update-max-failure-ratio 0.25",
      "\"UpdateConfig\":{\"Delay\":1000000000,\"FailureAction\":\"rollback\","
      "\"MaxFailureRatio\":0.25,\"Monitor\":2000000000,\"Parallelism\":1}" },
    { "--rollback-parallelism 2 --rollback-delay 1s --rollback-monitor 2s",
      "\"RollbackConfig\":{\"Delay\":1000000000,\"Monitor\":2000000000,\"Parallelism\":2}" },
    { "--rollback-failure-action continue --rollback-max-failure-ratio 1 --rollback-order "
      "start-first",
      "\"RollbackConfig\":{\"FailureAction\":\"continue\",\"MaxFailureRatio\":1.0,"
      "\"Order\":\"start-first\",\"Parallelism\":1}" },
    { "--network front --network name=back,alias=db,alias=cache",
      "\"Networks\":[{\"Target\":\"front-id\"},{\"Aliases\":[\"db\",\"cache\"],"
      "\"Target\":\"back-id\"}]" },
    { "--network host", "\"Networks\":[{\"Target\":\"host\"}]" },
    { "--mount type=bind,source=/a,target=/b,readonly",
      "\"Mounts\":[{\"ReadOnly\":true,\"Source\":\"/a\",\"Target\":\"/b\",\"Type\":\"bind\"}]" },
    { "--mount src=data,dst=/b",
      "\"Mounts\":[{\"Source\":\"data\",\"Target\":\"/b\",\"Type\":\"volume\"}]" },
    { "--mount type=bind,src=/a,destination=/b,ro=false,bind-propagation=rslave,"
      "bind-nonrecursive,bind-create-src",
      "\"BindOptions\":{\"CreateMountpoint\":true,\"NonRecursive\":true,\"Propagation\":\"rslave\"}"
      ",\"ReadOnly\":false" },
    { "--mount src=d,dst=/b,volume-nocopy,volume-label=a=b,volume-driver=local,"
      "'\"volume-opt=o=addr=1,ro\"',volume-subpath=x",
      "\"VolumeOptions\":{\"DriverConfig\":{\"Name\":\"local\",\"Options\":{\"o\":\"addr=1,ro\"}},"
      "\"Labels\":{\"a\":\"b\"},\"NoCopy\":true,\"Subpath\":\"x\"}" },
    { "--mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770",
      "\"TmpfsOptions\":{\"Mode\":1016,\"SizeBytes\":1048576},\"Type\":\"tmpfs\"" },
    { "--secret s",
      "\"Secrets\":[{\"File\":{\"GID\":\"0\",\"Mode\":292,\"Name\":\"s\",\"UID\":\"0\"},"
      "\"SecretID\":\"s-id\",\"SecretName\":\"s\"}]" },
    { "--config source=c,target=/etc/c,uid=7,gid=8,mode=0400",
      "\"Configs\":[{\"ConfigID\":\"c-id\",\"ConfigName\":\"c\",\"File\":{\"GID\":\"8\","
      "\"Mode\":256,\"Name\":\"/etc/c\",\"UID\":\"7\"}}]" },
    { "--config c", "\"Name\":\"/c\"" },
    { "--health-cmd true --health-interval 2s --health-timeout 1s --health-retries 4 "
      "--health-start-period 5s --health-start-interval 6s",
      "\"Healthcheck\":{\"Interval\":2000000000,\"Retries\":4,\"StartInterval\":6000000000,"
      "\"StartPeriod\":5000000000,\"Test\":[\"CMD-SHELL\",\"true\"],\"Timeout\":1000000000}" },
    { "--no-healthcheck", "\"Healthcheck\":{\"Test\":[\"NONE\"]}" },
    { "--stop-grace-period 500ms", "\"StopGracePeriod\":500000000" },
    { "--publish 8080:80/udp",
      "\"Ports\":[{\"Protocol\":\"udp\",\"PublishMode\":\"ingress\",\"PublishedPort\":8080,"
      "\"TargetPort\":80}]" },
    { "-p 80 -p 81", "\"PublishedPort\":0,\"TargetPort\":80},{\"Protocol\":\"tcp\"" },
    { "-p 8000-8001:80-81",
      "\"Ports\":[{\"Protocol\":\"tcp\",\"PublishMode\":\"ingress\",\"PublishedPort\":8000,"
      "\"TargetPort\":80},{\"Protocol\":\"tcp\",\"PublishMode\":\"ingress\","
      "\"PublishedPort\":8001,\"TargetPort\":81}]" },
    { "-p published=81,target=80,protocol=udp,mode=host",
      "\"Protocol\":\"udp\",\"PublishMode\":\"host\",\"PublishedPort\":81,\"TargetPort\":80" },
    { "--endpoint-mode dnsrr", "\"EndpointSpec\":{\"Mode\":\"dnsrr\"}" },
    { "--host db:10.1.2.3 --host six:fd00::1", "\"Hosts\":[\"10.1.2.3 db\",\"fd00::1 six\"]" },
    { "--dns 10.1.2.3 --dns-option ndots:1 --dns-search example.org",
      "\"DNSConfig\":{\"Nameservers\":[\"10.1.2.3\"],\"Options\":[\"ndots:1\"],"
      "\"Search\":[\"example.org\"]}" },
    { "--sysctl net.core.somaxconn=512", "\"Sysctls\":{\"net.core.somaxconn\":\"512\"}" },
    { "--ulimit nofile=1024:2048 --ulimit core=-1",
      "\"Ulimits\":[{\"Hard\":2048,\"Name\":\"nofile\",\"Soft\":1024},{\"Hard\":-1,"
      "\"Name\":\"core\",\"Soft\":-1}]" },
    { "--group video --group 44", "\"Groups\":[\"video\",\"44\"]" },
    { "--cap-add net_admin --cap-drop CAP_CHOWN",
      "\"CapabilityAdd\":[\"CAP_NET_ADMIN\"],\"CapabilityDrop\":[\"CAP_CHOWN\"]" },
    { "--cap-drop all --cap-add NET_RAW", "[\"CAP_NET_RAW\"],\"CapabilityDrop\":[\"ALL\"]" },
    { "--log-driver json-file --log-opt max-size=1m",
      "\"LogDriver\":{\"Name\":\"json-file\",\"Options\":{\"max-size\":\"1m\"}}" },
};

static const char before[] = "{\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"web:1\"}}}";

static void test_each_option_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = support_spec_text(before, rows[i].line, false);

        if (text == NULL || strstr(text, rows[i].expected) == NULL)
            fail_msg("%s gave %s", rows[i].line, text == NULL ? "an error" : text);
        free(text);
    }
}

/* A name that the API does not know would be ignored there, without a word. */
static void test_the_api_knows_every_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *json = support_spec(before, rows[i].line, false);
        struct service_spec spec;
        struct field_error err;

        if (fields_from_json(&service_spec_type, json, FIELDS_JSON_STRICT, &spec, &err) < 0)
            fail_msg("%s: %s", rows[i].line, err.text);
        fields_deinit(&service_spec_type, &spec);
        json_decref(json);
    }
}

static bool is_tried(const struct option_def *o)
{
    char name[64], letter[] = { '-', o->letter, ' ', '\0' };

    (void)snprintf(name, sizeof(name), "--%s", o->name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *at = strstr(rows[i].line, name);

        if ((at != NULL && strchr(" =", at[strlen(name)]) != NULL) ||
            (o->letter != 0 && strncmp(rows[i].line, letter, 3) == 0))
            return true;
    }
    return false;
}

static void test_every_option_is_in_these_rows(void **state)
{
    static const char *const elsewhere[] = { "name", "detach", "env-file" };

    (void)state;
    for (const struct option_def *o = service_create_options; o->name != NULL; o++) {
        bool known = is_tried(o);

        for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
            known |= strcmp(o->name, elsewhere[i]) == 0;
        if (!known)
            fail_msg("--%s is not tried", o->name);
    }
}

static void test_values_that_make_no_sense_are_refused(void **state)
{
    static const char *const lines[] = {
        "--replicas many",
        "--replicas -1",
        "--replicas 3x",
        "--replicas ''",
        "--limit-cpu fast",
        "--limit-memory -5",
        "--limit-pids -1",
        "--reserve-memory 12Q",
        "--oom-score-adj high",
        "--restart-delay soon",
        "--update-delay 5",
        "--update-max-failure-ratio 1.5",
        "--update-max-failure-ratio nan",
        "--rollback-parallelism few",
        "--stop-grace-period -1x",
        "--stop-grace-period -1s",
        "--init=perhaps",
        "--entrypoint 'sh \"-c'",
        "--env =1",
        "--label =b",
        "--publish 0",
        "--publish 70000:80",
        "--publish 80x:90",
        "--publish :80",
        "--publish 80:",
        "--publish 80/",
        "--publish 127.0.0.1:80:80",
        "--publish 80-82:80",
        "--publish 82-80:82-80",
        "--publish target=80,colour=red",
        "--publish target=8x",
        "--publish published=9",
        "--mount colour=red",
        "--mount source=a",
        "--mount target=relative",
        "--mount type=floppy,target=/a",
        "--mount type=bind,target=/a",
        "--mount type=bind,source=a,target=/a",
        "--mount type=tmpfs,source=a,target=/a",
        "--mount type=tmpfs,target=/a,tmpfs-mode=9",
        "--mount type=tmpfs,target=/a,tmpfs-size=big",
        "--mount type=bind,source=/a,target=/b,volume-nocopy",
        "--mount target=/b,tmpfs-size=1m",
        "--mount target,source=a",
        "--mount '\"target=/a'",
        "--network nosuch",
        "--network alias=a",
        "--secret nosuch",
        "--secret target=/a",
        "--secret source=a,uid=root",
        "--secret source=a,mode=rw",
        "--config nosuch",
        "--placement-pref node.labels.dc",
        "--placement-pref binpack=node.labels.dc",
        "--host db",
        "--host db:here",
        "--host :10.1.2.3",
        "--dns resolver",
        "--ulimit nofile",
        "--ulimit nofile=",
        "--ulimit nofile=1:2:3",
        "--ulimit nofile=2:1",
        "--ulimit nofile=-1:1",
        "--ulimit nofile=-2",
        "--cap-add 'NET ADMIN'",
        "--cap-drop ''",
        "--health-retries -1",
        "--health-interval soon --health-cmd true",
        "--no-healthcheck --health-cmd true",
        "--log-opt =1",
        "--mode sometimes",
        "--max-concurrent 2",
        "--mode global --replicas 2",
        "--mode global-job --replicas 2",
        "--mode replicated-job --max-concurrent few",
        "--env-file /nowhere/at/all",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *text = support_spec_text("{}", lines[i], false);

        if (text != NULL)
            fail_msg("%s gave %s", lines[i], text);
    }
}

/* Writes a file of `content` and applies it before `more`. */
static char *with_env_file(const char *content, const char *more)
{
    char path[] = "/tmp/shoal-env-XXXXXX", line[256], *text;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
    (void)snprintf(line, sizeof(line), "--env-file %s %s", path, more);
    text = support_spec_text("{}", line, false);
    (void)unlink(path);
    return text;
}

static void test_an_environment_from_files(void **state)
{
    static const struct {
        const char *content, *more, *expected; /* NULL: refused */
    } files[] = {
        { "A=1\nB=two words\n", "", "\"Env\":[\"A=1\",\"B=two words\"]" },
        { "\xef\xbb\xbf"
          "A=1\r\n\n  # C=3\n  B=\"2\"",
          "", "\"Env\":[\"A=1\",\"B=\\\"2\\\"\"]" },
        { "A=1\nB=2\n", "--env A=3", "\"Env\":[\"A=3\",\"B=2\"]" },
        { "SHOAL_TEST_HERE\nSHOAL_TEST_NOT_HERE\n", "", "\"Env\":[\"SHOAL_TEST_HERE=yes\"]" },
        { "A B=1\n", "", NULL },
        { "=1\n", "", NULL },
    };

    (void)state;
    assert_int_equal(setenv("SHOAL_TEST_HERE", "yes", 1), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *text = with_env_file(files[i].content, files[i].more);

        if ((text == NULL) != (files[i].expected == NULL) ||
            (text != NULL && strstr(text, files[i].expected) == NULL))
            fail_msg("%s gave %s", files[i].content, text == NULL ? "an error" : text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_has_its_place),
        cmocka_unit_test(test_the_api_knows_every_name),
        cmocka_unit_test(test_every_option_is_in_these_rows),
        cmocka_unit_test(test_values_that_make_no_sense_are_refused),
        cmocka_unit_test(test_an_environment_from_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
