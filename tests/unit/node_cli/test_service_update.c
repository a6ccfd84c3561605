/* Options of service update: what was given changes, all else stays. */
#include <stdio.h>
#include <stdlib.h>

#include "node/object/service.h"
#include "support_spec.h"
#include "tests/support/unit.h"

/* A service with something in each list, as the API shows it. */
static const char full[] =
    "{\"Name\":\"web\",\"Labels\":{\"a\":\"1\",\"b\":\"2\"},\"TaskTemplate\":{\"ContainerSpec\":{"
    "\"Image\":\"web:1\",\"Args\":[\"serve\"],\"Env\":[\"BARE\",\"A=1\",\"B=2\"],\"Labels\":{\"c\":"
    "\"3\"},"
    "\"Groups\":[\"video\"],\"Hosts\":[\"10.0.0.1 db\",\"10.0.0.2 db\",\"10.0.0.3 cache\"],"
    "\"DNSConfig\":{\"Nameservers\":[\"10.0.0.9\"],\"Search\":[\"x.org\"],\"Options\":[\"rotate\"]}"
    ","
    "\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"d\",\"Target\":\"/d\"},{\"Type\":\"tmpfs\","
    "\"Target\":\"/t\"}],\"Secrets\":[{\"File\":{\"Name\":\"s\"},\"SecretID\":\"s-id\","
    "\"SecretName\":\"s\"}],\"Configs\":[{\"File\":{\"Name\":\"/c\"},\"ConfigID\":\"c-id\","
    "\"ConfigName\":\"c\"}],\"Sysctls\":{\"k\":\"1\"},\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1,"
    "\"Hard\":2}],\"CapabilityAdd\":[\"CAP_NET_RAW\"],\"CapabilityDrop\":[\"CAP_CHOWN\"],"
    "\"Healthcheck\":{\"Test\":[\"NONE\"]}},\"Placement\":{\"Constraints\":[\"a==b\"],"
    "\"Preferences\":[{\"Spread\":{\"SpreadDescriptor\":\"z\"}}],\"MaxReplicas\":3},"
    "\"Networks\":[{\"Target\":\"front-id\"},{\"Target\":\"back-id\",\"Aliases\":[\"db\"]}],"
    "\"LogDriver\":{\"Name\":\"json-file\",\"Options\":{\"max-size\":\"1m\"}},\"ForceUpdate\":4},"
    "\"Mode\":{\"Replicated\":{\"Replicas\":2}},\"UpdateConfig\":{\"Parallelism\":4,\"Delay\":5},"
    "\"EndpointSpec\":{\"Mode\":\"vip\",\"Ports\":[{\"Protocol\":\"tcp\",\"TargetPort\":80,"
    "\"PublishedPort\":8080,\"PublishMode\":\"ingress\"},{\"Protocol\":\"udp\",\"TargetPort\":80,"
    "\"PublishedPort\":8080,\"PublishMode\":\"host\"},{\"Protocol\":\"tcp\",\"TargetPort\":80,"
    "\"PublishedPort\":8081,\"PublishMode\":\"ingress\"}]}}";

/* Changes of `full` that are one text in it for another. */
static const struct row {
    const char *line, *from, *to; /* of the sorted text */
} rows[] = {
    { "--env-add A=9", "\"A=1\",\"B=2\"", "\"A=9\",\"B=2\"" },
    { "--env-add C=3", "\"B=2\"]", "\"B=2\",\"C=3\"]" },
    { "--env-rm A", "\"A=1\",", "" },
    { "--env-rm A --env-add A=5", "\"A=1\",\"B=2\"]", "\"B=2\",\"A=5\"]" },
    { "--env-rm BARE", "\"BARE\",", "" },
    { "--label-add a=9 --label-rm b", "\"a\":\"1\",\"b\":\"2\"", "\"a\":\"9\"" },
    { "--container-label-add d=4", "\"c\":\"3\"", "\"c\":\"3\",\"d\":\"4\"" },
    { "--container-label-rm c", "\"c\":\"3\"", "" },
    { "--group-add audio --group-rm video", "[\"video\"]", "[\"audio\"]" },
    { "--host-rm db", "\"10.0.0.1 db\",\"10.0.0.2 db\",", "" },
    { "--host-rm db:10.0.0.2", ",\"10.0.0.2 db\"", "" },
    { "--host-add db:10.0.0.4", "cache\"]", "cache\",\"10.0.0.4 db\"]" },
    { "--dns-add 10.0.0.8 --dns-rm 10.0.0.9", "10.0.0.9", "10.0.0.8" },
    { "--dns-search-add y.org", "\"x.org\"", "\"x.org\",\"y.org\"" },
    { "--dns-search-rm x.org", "\"x.org\"", "" },
    { "--dns-option-add ndots:2 --dns-option-rm rotate", "rotate", "ndots:2" },
    { "--mount-add type=tmpfs,target=/d",
      "{\"Source\":\"d\",\"Target\":\"/d\",\"Type\":\"volume\"}",
      "{\"Target\":\"/d\",\"Type\":\"tmpfs\"}" },
    { "--mount-rm /t", ",{\"Target\":\"/t\",\"Type\":\"tmpfs\"}", "" },
    { "--secret-rm s", "{\"File\":{\"Name\":\"s\"},\"SecretID\":\"s-id\",\"SecretName\":\"s\"}",
      "" },
    { "--secret-add source=s2,target=s",
      "{\"Name\":\"s\"},\"SecretID\":\"s-id\",\"SecretName\":\"s\"",
      "{\"GID\":\"0\",\"Mode\":292,\"Name\":\"s\",\"UID\":\"0\"},\"SecretID\":\"s2-id\","
      "\"SecretName\":\"s2\"" },
    { "--config-rm c-id", "{\"ConfigID\":\"c-id\",\"ConfigName\":\"c\",\"File\":{\"Name\":\"/c\"}}",
      "" },
    { "--config-add source=c,target=/e,mode=0400", "\"Name\":\"/c\"}}",
      "\"Name\":\"/c\"}},{\"ConfigID\":\"c-id\",\"ConfigName\":\"c\",\"File\":{\"GID\":\"0\","
      "\"Mode\":256,\"Name\":\"/e\",\"UID\":\"0\"}}" },
    { "--sysctl-add k=2 --sysctl-rm other", "\"k\":\"1\"", "\"k\":\"2\"" },
    { "--ulimit-add nofile=5", "\"Hard\":2,\"Name\":\"nofile\",\"Soft\":1",
      "\"Hard\":5,\"Name\":\"nofile\",\"Soft\":5" },
    { "--ulimit-rm nofile", "{\"Hard\":2,\"Name\":\"nofile\",\"Soft\":1}", "" },
    { "--cap-drop net_raw", "[\"CAP_NET_RAW\"],\"CapabilityDrop\":[\"CAP_CHOWN\"]",
      "[],\"CapabilityDrop\":[\"CAP_CHOWN\",\"CAP_NET_RAW\"]" },
    { "--cap-add CHOWN", "[\"CAP_NET_RAW\"],\"CapabilityDrop\":[\"CAP_CHOWN\"]",
      "[\"CAP_NET_RAW\",\"CAP_CHOWN\"],\"CapabilityDrop\":[]" },
    { "--cap-add RESET --cap-drop RESET", "[\"CAP_NET_RAW\"],\"CapabilityDrop\":[\"CAP_CHOWN\"]",
      "[],\"CapabilityDrop\":[]" },
    { "--constraint-add c==d --constraint-rm a==b", "a==b", "c==d" },
    { "--placement-pref-rm spread=z", "{\"Spread\":{\"SpreadDescriptor\":\"z\"}}", "" },
    { "--placement-pref-add spread=y", "\"z\"}}",
      "\"z\"}},{\"Spread\":{\"SpreadDescriptor\":\"y\"}}" },
    { "--network-rm back", ",{\"Aliases\":[\"db\"],\"Target\":\"back-id\"}", "" },
    { "--network-add name=back,alias=store", "\"db\"],\"T", "\"store\"],\"T" },
    { "--network-add side", "\"back-id\"}", "\"back-id\"},{\"Target\":\"side-id\"}" },
    { "--publish-rm 8081:80",
      ",{\"Protocol\":\"tcp\",\"PublishMode\":\"ingress\",\"PublishedPort\":8081,\"TargetPort\":"
      "80}",
      "" },
    { "--publish-rm target=80,protocol=udp",
      ",{\"Protocol\":\"udp\",\"PublishMode\":\"host\",\"PublishedPort\":8080,\"TargetPort\":80}",
      "" },
    { "--publish-add 8081:90", "8081,\"TargetPort\":80", "8081,\"TargetPort\":90" },
    { "--log-driver none", "{\"Name\":\"json-file\",\"Options\":{\"max-size\":\"1m\"}}",
      "{\"Name\":\"none\"}" },
    { "--log-opt max-file=2", "\"max-size\":\"1m\"", "\"max-file\":\"2\",\"max-size\":\"1m\"" },
    { "--health-interval 1s", "{\"Test\":[\"NONE\"]}", "{\"Interval\":1000000000}" },
    { "--health-cmd 'test -e /ok'", "[\"NONE\"]", "[\"CMD-SHELL\",\"test -e /ok\"]" },
    { "--image web:2", "web:1", "web:2" },
    { "--args 'serve \"a b\"'", "[\"serve\"]", "[\"serve\",\"a b\"]" },
    { "--force", "\"ForceUpdate\":4", "\"ForceUpdate\":5" },
    { "--replicas 7", "\"Replicas\":2", "\"Replicas\":7" },
    { "--update-order stop-first", "\"Delay\":5,\"P", "\"Delay\":5,\"Order\":\"stop-first\",\"P" },
    { "--limit-pids 8", "\"z\"}}]}", "\"z\"}}]},\"Resources\":{\"Limits\":{\"Pids\":8}}" },
};

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out;

    if (at == NULL)
        fail_msg("%s is not in %s", from, text);
    if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) < 0)
        fail();
    return out;
}

static void test_one_entry_changes_and_all_else_stays(void **state)
{
    char *as_it_was = support_spec_text(full, "", true);

    (void)state;
    assert_non_null(as_it_was);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *expected = replaced(as_it_was, rows[i].from, rows[i].to);
        char *text = support_spec_text(full, rows[i].line, true);

        print_message("  %s\n", rows[i].line);
        assert_non_null(text);
        assert_string_equal(text, expected);
        free(expected);
        free(text);
    }
    free(as_it_was);
}

static void test_what_is_not_there_is_taken_away_in_vain(void **state)
{
    static const char line[] =
        "--env-rm Z --label-rm z --container-label-rm z --group-rm z --host-rm z --dns-rm 1.1.1.1 "
        "--dns-search-rm z --dns-option-rm z --mount-rm /z --secret-rm z --config-rm z "
        "--sysctl-rm z --ulimit-rm z --constraint-rm z==z --placement-pref-rm spread=zz "
        "--network-rm z";
    static const char *const specs[] = {
        full, "{\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"web:1\"}}}"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        char *before = support_spec_text(specs[i], "", true);
        char *text = support_spec_text(specs[i], line, true);

        assert_string_equal(text, before);
        free(text);
        free(before);
    }
}

static void test_names_that_nobody_has_are_refused(void **state)
{
    static const char *const lines[] = {
        "--network-rm nosuch",
        "--network-add nosuch",
        "--secret-add nosuch",
        "--config-add nosuch",
        "--publish-rm web",
        "--placement-pref-rm z",
        "--mount-add /d",
        "--args 'serve \"'",
        "--max-concurrent 2",
        "--publish-rm 80x:80",
        "--publish-rm published=8080",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *text = support_spec_text(full, lines[i], true);

        if (text != NULL)
            fail_msg("%s gave %s", lines[i], text);
    }
}

/* Every list of create can be changed one entry at a time. */
static void test_each_list_has_both_forms(void **state)
{
    static const char *const others[] = { "env-file", "cap-add", "cap-drop", "log-opt" };

    (void)state;
    for (const struct option_def *o = service_create_options; o->name != NULL; o++) {
        size_t found = 0, other = 0;

        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            other += strcmp(o->name, others[i]) == 0;
        if (o->kind != OPTION_LIST || other > 0)
            continue;
        for (const struct option_def *u = service_update_options; u->name != NULL; u++) {
            size_t len = strlen(o->name);

            found += strncmp(u->name, o->name, len) == 0 &&
                     (strcmp(u->name + len, "-add") == 0 || strcmp(u->name + len, "-rm") == 0);
        }
        if (found != 2)
            fail_msg("--%s-add and --%s-rm are not both there", o->name, o->name);
    }
}

/* Who gives a list as a whole is told how it is changed. */
static void test_a_whole_list_is_refused_with_the_way_out(void **state)
{
    char env[] = "--env=A=1", *argv[] = { env };
    struct field_error err;
    struct args args;

    (void)state;
    assert_true(args_parse(&args, service_update_options, 1, argv, false, &err) < 0);
    assert_string_equal(err.text,
                        "unknown option --env: --env-add and --env-rm change one at a time");
    args_deinit(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_entry_changes_and_all_else_stays),
        cmocka_unit_test(test_what_is_not_there_is_taken_away_in_vain),
        cmocka_unit_test(test_names_that_nobody_has_are_refused),
        cmocka_unit_test(test_each_list_has_both_forms),
        cmocka_unit_test(test_a_whole_list_is_refused_with_the_way_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
