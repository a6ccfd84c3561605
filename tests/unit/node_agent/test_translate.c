/* From a task, as users describe it, to a container. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/agent/translate.h"
#include "tests/support/oom.h"
#include "tests/unit/node_agent/support_agent.h"

struct fixture {
    struct bench bench;
    struct task task;
    struct node_description node;
    struct id node_id;
    struct field_error err;
    char *text; /* of the last container */
};

/* The agent holds the secret 8 "key" and the config 9 "conf". */
static void hold_files(struct bench *b)
{
    struct assign f = { 0 };
    struct secret *secret;
    struct config *config;

    frame_network(&f, 8); /* for its key; a secret comes in its place */
    frame_network(&f, 9);
    for (size_t i = 0; i < 2; i++) {
        struct assigned *row = &f.rows.items[i];
        char key[64];

        fields_deinit(&network_type, row->network);
        free(row->network);
        row->network = NULL;
        (void)snprintf(key, sizeof(key), "%s/%s", i == 0 ? "secret" : "config",
                       id_of(8 + (unsigned)i).text);
        assert_int_equal(str_set(&row->key, key), 0);
    }
    secret = f.rows.items[0].secret = calloc(1, sizeof(*secret));
    config = f.rows.items[1].config = calloc(1, sizeof(*config));
    assert_non_null(secret);
    assert_non_null(config);
    secret->id = id_of(8);
    config->id = id_of(9);
    assert_int_equal(str_set(&secret->spec.name, "key"), 0);
    assert_int_equal(str_set(&config->spec.name, "conf"), 0);
    assert_int_equal(bytes_set(&secret->spec.data, slice_of_str("s3")), 0);
    assert_int_equal(bytes_set(&config->spec.data, slice_of_str("c4")), 0);
    assert_int_equal(bench_assign_all(b, &f), 0);
}

static void open_fixture(struct fixture *fx)
{
    *fx = (struct fixture){ .node_id = id_of(60000) };
    bench_open(&fx->bench);
    hold_files(&fx->bench);
    fx->task.id = id_of(1);
    fx->task.service_id = id_of(2);
    fx->task.slot = 3;
    assert_int_equal(str_set(&fx->task.service_name, "web"), 0);
    assert_int_equal(str_map_set(&fx->task.labels, "tier", "front"), 0);
    assert_int_equal(str_set(&fx->node.hostname, "h1"), 0);
    assert_int_equal(str_set(&fx->node.platform.os, "linux"), 0);
}

static void close_fixture(struct fixture *fx)
{
    fields_deinit(&task_type, &fx->task);
    fields_deinit(&node_description_type, &fx->node);
    free(fx->text);
    bench_close(&fx->bench);
}

static int translate(struct fixture *fx, struct container_spec *out)
{
    struct translate_input in = {
        .context = { .task = &fx->task, .node_id = &fx->node_id, .node = &fx->node },
        .agent = fx->bench.agent,
        .netns_path = "/run/netns/x",
        .resolver = "127.0.0.11",
    };

    fx->err.text[0] = '\0';
    return translate_task(&in, out, &fx->err);
}

/* ContainerSpec and the rest of the TaskTemplate as JSON; "8" and "9" are ids. */
static void set_spec(struct fixture *fx, const char *container, const char *rest)
{
    struct field_error err;
    char text[4096];

    (void)snprintf(text, sizeof(text), "{\"ContainerSpec\":{\"Image\":\"web:1\"%s%s}%s}",
                   container[0] == '\0' ? "" : ",", container, rest);
    fields_deinit(&task_spec_type, &fx->task.spec);
    if (fields_from_json_text(&task_spec_type, slice_of_str(text), FIELDS_JSON_STRICT,
                              &fx->task.spec, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static const char *translated(struct fixture *fx)
{
    struct container_spec spec = { 0 };
    struct field_error err;
    struct buf text;

    if (translate(fx, &spec) < 0)
        fail_msg("%s", fx->err.text);
    if (fields_validate(&container_spec_type, &spec, &err) < 0)
        fail_msg("the runtime would refuse it: %s", err.text);
    buf_init(&text, 1 << 20);
    assert_int_equal(fields_to_json_text(&container_spec_type, &spec, FIELDS_JSON_SECRETS, &text),
                     0);
    assert_int_equal(buf_append_byte(&text, 0), 0);
    free(fx->text);
    fx->text = strdup((const char *)text.ptr);
    buf_deinit(&text);
    fields_deinit(&container_spec_type, &spec);
    return fx->text;
}

static void test_each_field_has_its_place(void **state)
{
    static const struct {
        const char *container, *rest, *expected;
    } rows[] = {
        { "", "", "\"Image\":\"web:1\"" },
        { "\"Command\":[\"a\"],\"Args\":[\"b\"]", "", "\"Command\":[\"a\"],\"Args\":[\"b\"]" },
        { "\"Dir\":\"/d\",\"User\":\"u\",\"Groups\":[\"g\"]", "",
          "\"Dir\":\"/d\",\"User\":\"u\",\"Groups\":[\"g\"]" },
        { "\"TTY\":true,\"OpenStdin\":true,\"Init\":true", "",
          "\"TTY\":true,\"OpenStdin\":true,\"Init\":true" },
        { "\"ReadOnly\":true", "", "\"ReadonlyRootfs\":true" },
        { "\"Privileges\":{\"NoNewPrivileges\":true}", "", "\"NoNewPrivileges\":true" },
        { "\"StopSignal\":\"INT\",\"StopGracePeriod\":7", "",
          "\"StopSignal\":\"INT\",\"StopGracePeriod\":7" },
        { "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5,\"Retries\":9}", "",
          "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5,\"Retries\":9}" },
        { "\"Hosts\":[\"10.0.0.1 a b\",\"c:10.0.0.2\"]", "",
          "\"Hosts\":[\"10.0.0.1 a b\",\"10.0.0.2 c\"]" },
        { "\"DNSConfig\":{\"Search\":[\"x\"]}", "",
          "\"DNSServers\":[\"127.0.0.11\"],\"DNSSearch\":[\"x\"]" },
        { "\"DNSConfig\":{\"Nameservers\":[\"9.9.9.9\"],\"Search\":[\"x\"]}", "",
          "\"DNSServers\":[\"9.9.9.9\"],\"DNSSearch\":[\"x\"]" },
        { "\"DNSConfig\":{\"Nameservers\":[\"9.9.9.9\"]}", ",\"Networks\":[{\"Target\":\"8\"}]",
          "\"DNSServers\":[\"127.0.0.11\"]" },
        { "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"ReadOnly\":true,"
          "\"BindOptions\":{\"Propagation\":\"rslave\",\"CreateMountpoint\":true}}]",
          "",
          "\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/b\",\"Source\":\"/a\",\"ReadOnly\":true,"
          "\"Propagation\":\"rslave\",\"CreateMountpoint\":true}]" },
        { "\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"d-{{.Task.Slot}}\",\"Target\":\"/b\","
          "\"VolumeOptions\":{\"NoCopy\":true,\"Labels\":{\"a\":\"b\"}}}]",
          "",
          "{\"Type\":\"volume\",\"Target\":\"/b\",\"Source\":\"d-3\",\"NoCopy\":true,"
          "\"Labels\":{\"a\":\"b\"}}" },
        { "\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"TmpfsOptions\":{\"SizeBytes\":64,"
          "\"Mode\":448}}]",
          "", "{\"Type\":\"tmpfs\",\"Target\":\"/t\",\"SizeBytes\":64,\"Mode\":448}" },
        { "\"CapabilityAdd\":[\"NET_ADMIN\"],\"CapabilityDrop\":[\"CHOWN\"]", "",
          "\"CapAdd\":[\"NET_ADMIN\"],\"CapDrop\":[\"CHOWN\"]" },
        { "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}]", "",
          "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}]" },
        { "\"Sysctls\":{\"net.core.somaxconn\":\"9\"}", "",
          "\"Sysctls\":{\"net.core.somaxconn\":\"9\"}" },
        { "", ",\"Resources\":{\"Limits\":{\"NanoCPUs\":5,\"MemoryBytes\":6,\"Pids\":7}}",
          "\"Limits\":{\"NanoCPUs\":5,\"MemoryBytes\":6,\"Pids\":7}" },
        { "",
          ",\"LogDriver\":{\"Name\":\"json-file\",\"Options\":{\"max-size\":\"1m\",\"max-file\":"
          "\"3\"}}",
          "\"LogMaxSize\":1048576,\"LogMaxFile\":3" },
        { "", ",\"LogDriver\":{\"Name\":\"none\"}", "\"LogNone\":true" },
        { "\"Hostname\":\"{{.Node.Hostname}}-{{.Task.Slot}}\"", "", "\"Hostname\":\"h1-3\"" },
        { "\"Labels\":{\"a\":\"b\"}", "", "\"com.docker.swarm.service.name\":\"web\"" },
    };
    struct fixture fx;

    (void)state;
    open_fixture(&fx);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        set_spec(&fx, rows[i].container, rows[i].rest);
        if (strstr(translated(&fx), rows[i].expected) == NULL)
            fail_msg("%s %s gave %s", rows[i].container, rows[i].rest, fx.text);
    }
    close_fixture(&fx);
}

static void test_placeholders_are_filled_in(void **state)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        { "plain", "plain" },
        { "{{.Service.Name}}", "web" },
        { "{{ .Service.Name }}-{{- .Task.Slot -}}", "web-3" },
        { "{{index .Service.Labels \\\"tier\\\"}}", "front" },
        { "{{index .Service.Labels \\\"none\\\"}}.", "." },
        { "{{.Node.Hostname}}/{{.Node.Platform.OS}}", "h1/linux" },
        { "{{.Node.Platform.Architecture}}|", "|" }, /* not known: empty */
        { "a{{b", "a{{b" },
        { "}}{{.Service.Name}}", "}}web" },
    };
    struct fixture fx;
    char env[256], expected[256];

    (void)state;
    open_fixture(&fx);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)snprintf(env, sizeof(env), "\"Env\":[\"A=%s\"]", rows[i].text);
        (void)snprintf(expected, sizeof(expected), "\"Env\":[\"A=%s\"]", rows[i].expected);
        set_spec(&fx, env, "");
        if (strstr(translated(&fx), expected) == NULL)
            fail_msg("%s gave %s", rows[i].text, fx.text);
    }
    (void)snprintf(expected, sizeof(expected), "\"Name\":\"web.3.%s\"", fx.task.id.text);
    assert_non_null(strstr(fx.text, expected));
    fx.task.slot = 0; /* a global service's */
    (void)snprintf(expected, sizeof(expected), "\"Name\":\"web.%s.%s\"", fx.node_id.text,
                   fx.task.id.text);
    assert_non_null(strstr(translated(&fx), expected));
    close_fixture(&fx);
}

static void set_file(struct fixture *fx, const char *list, const char *kind, unsigned n,
                     const char *target)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "\"%s\":[{\"%sID\":\"%s\",\"%sName\":\"key\"%s}]", list,
                   kind, id_of(n).text, kind, target);
    set_spec(fx, text, "");
}

static void test_secrets_and_configs_become_files(void **state)
{
    struct fixture fx;

    (void)state;
    open_fixture(&fx);
    set_file(&fx, "Secrets", "Secret", 8, "");
    assert_non_null(strstr(translated(&fx), "\"Secrets\":[{\"Target\":\"/run/secrets/key\","
                                            "\"Mode\":292,\"Bytes\":\"czM=\"}]"));
    set_file(&fx, "Secrets", "Secret", 8,
             ",\"File\":{\"Name\":\"other\",\"UID\":\"5\",\"GID\":\"6\",\"Mode\":256}");
    assert_non_null(strstr(translated(&fx), "\"Target\":\"/run/secrets/other\",\"UID\":5,"
                                            "\"GID\":6,\"Mode\":256"));
    set_file(&fx, "Configs", "Config", 9, "");
    assert_non_null(strstr(translated(&fx), "\"Configs\":[{\"Target\":\"/conf\",\"Mode\":292,"
                                            "\"Bytes\":\"YzQ=\"}]"));
    set_file(&fx, "Configs", "Config", 9, ",\"File\":{\"Name\":\"/etc/x\"}");
    assert_non_null(strstr(translated(&fx), "\"Target\":\"/etc/x\""));
    close_fixture(&fx);
}

static void assert_refused(struct fixture *fx, int code, const char *why)
{
    struct container_spec spec = { 0 };

    assert_int_equal(translate(fx, &spec), code);
    if (strcmp(fx->err.text, why) != 0)
        fail_msg("it says: %s", fx->err.text);
    fields_deinit(&container_spec_type, &spec);
}

static void test_what_makes_no_sense_is_named(void **state)
{
    char long_name[4300];
    struct fixture fx;

    (void)state;
    open_fixture(&fx);
    assert_refused(&fx, ERR_INVALID, "the task has no ContainerSpec");
    set_spec(&fx, "\"Env\":[\"A={{.Task.Colour}}\"]", "");
    assert_refused(&fx, ERR_INVALID, "{{.Task.Colour}}: unknown placeholder");
    set_spec(&fx, "\"Hostname\":\"{{index .Service.Labels tier}}\"", "");
    assert_refused(&fx, ERR_INVALID, "{{index .Service.Labels tier}}: unknown placeholder");
    set_spec(&fx, "", ",\"LogDriver\":{\"Name\":\"gelf\"}");
    assert_refused(&fx, ERR_INVALID,
                   "log driver 'gelf' is not supported: there are json-file, local and none");
    set_file(&fx, "Secrets", "Secret", 7, "");
    assert_refused(&fx, ERR_UNAVAILABLE, "secret key has not arrived on this node");
    set_file(&fx, "Configs", "Config", 8, ""); /* that is a secret's id */
    assert_refused(&fx, ERR_UNAVAILABLE, "config key has not arrived on this node");
    set_file(&fx, "Secrets", "Secret", 8, ",\"File\":{\"Name\":\"x\",\"UID\":\"root\"}");
    assert_refused(&fx, ERR_INVALID, "/run/secrets/x: owner root: is not numeric");
    set_file(&fx, "Secrets", "Secret", 8, ",\"File\":{\"Name\":\"x\",\"GID\":\"-1\"}");
    assert_refused(&fx, ERR_INVALID, "/run/secrets/x: owner :-1 is not numeric");

    set_file(&fx, "Secrets", "Secret", 8, ",\"File\":{\"Name\":\"x\"}");
    memset(long_name, 'n', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(str_set(&fx.task.spec.container->secrets.items[0].file->name, long_name), 0);
    assert_refused(&fx, ERR_INVALID, "secret key: the path of its file is longer than 4095 bytes");
    close_fixture(&fx);
}

static void test_memory_may_run_out_at_any_point(void **state)
{
    struct fixture fx;
    bool failed = true;

    (void)state;
    open_fixture(&fx);
    set_file(&fx, "Secrets", "Secret", 8, "");
    assert_int_equal(str_list_append(&fx.task.spec.container->env, "A={{.Task.Name}}"), 0);
    for (unsigned n = 1; failed; n++) {
        struct container_spec spec = { 0 };
        int rc;

        oom_fail_at(n);
        rc = translate(&fx, &spec);
        failed = oom_has_failed();
        assert_int_equal(rc, failed ? -ENOMEM : 0);
        fields_deinit(&container_spec_type, &spec); /* the caller's also after an error */
    }
    close_fixture(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_field_has_its_place),
        cmocka_unit_test(test_placeholders_are_filled_in),
        cmocka_unit_test(test_secrets_and_configs_become_files),
        cmocka_unit_test(test_what_makes_no_sense_is_named),
        cmocka_unit_test(test_memory_may_run_out_at_any_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
