#include "node/cli/service_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/time_text.h"

json_t *spec_child(json_t *object, const char *key)
{
    json_t *c = json_object_get(object, key);

    if (!json_is_object(c)) {
        c = json_object();
        (void)json_object_set_new(object, key, c);
    }
    return c;
}

static int bad(const char *option, const char *value, const char *expected)
{
    (void)fprintf(stderr, "shoal: --%s %s: %s\n", option, value, expected);
    return ERR_INVALID;
}

static int set_duration(const struct args *a, const char *option, json_t *object, const char *key)
{
    const char *text = args_text(a, option, NULL);
    int64_t ns;

    if (text == NULL)
        return 0;
    if (duration_parse(slice_of_str(text), &ns) < 0)
        return bad(option, text, "give a time such as 500ms, 10s or 1m30s");
    return json_object_set_new(object, key, json_integer(ns));
}

static int set_number(const struct args *a, const char *option, json_t *object, const char *key)
{
    const char *text = args_text(a, option, NULL);
    char *end;
    long long value;

    if (text == NULL)
        return 0;
    value = strtoll(text, &end, 10);
    if (*end != '\0' || *text == '\0' || value < 0)
        return bad(option, text, "give a number from 0");
    return json_object_set_new(object, key, json_integer(value));
}

static int set_quantity(const struct args *a, const char *option, json_t *object, const char *key,
                        int (*parse)(const char *, int64_t *))
{
    const char *text = args_text(a, option, NULL);
    int64_t value;

    if (text == NULL)
        return 0;
    if (parse(text, &value) < 0)
        return bad(option, text, "give an amount such as 0.5 or 512M");
    return json_object_set_new(object, key, json_integer(value));
}

void spec_set_text(const struct args *a, const char *option, json_t *object, const char *key)
{
    if (args_given(a, option))
        (void)json_object_set_new(object, key, json_string(args_text(a, option, "")));
}

static void set_texts(const struct args *a, const char *option, json_t *object, const char *key)
{
    if (args_given(a, option))
        (void)json_object_set_new(object, key, texts_of(args_list(a, option)));
}

/* 0 to 65535; anything else is 65536, which no port is. */
static unsigned port_number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    return *text < '0' || *text > '9' || *end != '\0' || value > 65535 ? 65536 : (unsigned)value;
}

static bool take_number(const char *part, const char *key, unsigned *out)
{
    size_t len = strlen(key);

    if (strncmp(part, key, len) != 0)
        return false;
    *out = port_number(part + len);
    return true;
}

static bool take_word(const char *part, const char *key, char *out, size_t cap)
{
    size_t len = strlen(key);

    if (strncmp(part, key, len) != 0)
        return false;
    (void)snprintf(out, cap, "%s", part + len);
    return true;
}

/* "8080:80/udp", "80", or "published=8080,target=80,protocol=udp,mode=host". */
static int add_port(json_t *ports, const char *text)
{
    unsigned published = 0, target = 0;
    char protocol[16] = "tcp", mode[16] = "ingress", rest[256], *save = NULL;

    (void)snprintf(rest, sizeof(rest), "%s", text);
    if (strchr(text, '=') != NULL) {
        for (char *part = strtok_r(rest, ",", &save); part != NULL;
             part = strtok_r(NULL, ",", &save))
            if (!take_number(part, "published=", &published) &&
                !take_number(part, "target=", &target) &&
                !take_word(part, "protocol=", protocol, sizeof(protocol)) &&
                !take_word(part, "mode=", mode, sizeof(mode)))
                return bad("publish", text, "unknown part");
    } else {
        char *slash = strchr(rest, '/'), *colon = strchr(rest, ':');

        if (slash != NULL) {
            (void)snprintf(protocol, sizeof(protocol), "%s", slash + 1);
            *slash = '\0';
        }
        if (colon != NULL) {
            *colon = '\0';
            published = port_number(rest);
        }
        target = port_number(colon == NULL ? rest : colon + 1);
    }
    if (target == 0 || target > 65535 || published > 65535)
        return bad("publish", text, "give 8080:80, 80 or published=8080,target=80");
    return json_array_append_new(ports, json_pack("{s:s, s:i, s:i, s:s}", "Protocol", protocol,
                                                  "TargetPort", (int)target, "PublishedPort",
                                                  (int)published, "PublishMode", mode));
}

static int set_ports(const struct args *a, json_t *spec)
{
    const struct str_list *list = args_list(a, "publish");
    json_t *endpoint, *ports;
    int rc = 0;

    if (args_given(a, "endpoint-mode"))
        spec_set_text(a, "endpoint-mode", spec_child(spec, "EndpointSpec"), "Mode");
    if (list->count == 0)
        return 0;
    endpoint = spec_child(spec, "EndpointSpec");
    ports = json_array();
    for (size_t i = 0; i < list->count && rc == 0; i++)
        rc = add_port(ports, list->items[i]);
    (void)json_object_set_new(endpoint, "Ports", ports);
    return rc;
}

static int add_mount(json_t *mounts, const char *text)
{
    json_t *mount = json_pack("{s:s}", "Type", "volume");
    char rest[4096], *save = NULL;

    (void)snprintf(rest, sizeof(rest), "%s", text);
    for (char *part = strtok_r(rest, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(part, '=');
        const char *value = equals == NULL ? "" : equals + 1;

        if (equals != NULL)
            *equals = '\0';
        if (strcmp(part, "type") == 0)
            (void)json_object_set_new(mount, "Type", json_string(value));
        else if (strcmp(part, "source") == 0 || strcmp(part, "src") == 0)
            (void)json_object_set_new(mount, "Source", json_string(value));
        else if (strcmp(part, "target") == 0 || strcmp(part, "dst") == 0 ||
                 strcmp(part, "destination") == 0)
            (void)json_object_set_new(mount, "Target", json_string(value));
        else if (strcmp(part, "readonly") == 0 || strcmp(part, "ro") == 0)
            (void)json_object_set_new(mount, "ReadOnly",
                                      json_boolean(equals == NULL || strcmp(value, "true") == 0));
        else {
            json_decref(mount);
            return bad("mount", text, "unknown part");
        }
    }
    return json_array_append_new(mounts, mount);
}

/* Secrets and configs are referred to by id; their names are what people know. */
static int add_file(struct invocation *in, json_t *files, const char *kind, const char *name)
{
    char *escaped = client_escape(in->client, name);
    json_t *object = get_json(in, "/%ss/%s", kind, escaped);
    bool secret = strcmp(kind, "secret") == 0;
    char target[300];

    free(escaped);
    if (object == NULL)
        return ERR_NOT_FOUND;
    (void)snprintf(target, sizeof(target), "%s%s", secret ? "" : "/", text_at(object, "Spec.Name"));
    (void)json_array_append_new(
        files,
        json_pack("{s:{s:s, s:s, s:s, s:i}, s:s, s:s}", "File", "Name", target, "UID", "0", "GID",
                  "0", "Mode", 0444, secret ? "SecretID" : "ConfigID", text_at(object, "ID"),
                  secret ? "SecretName" : "ConfigName", text_at(object, "Spec.Name")));
    json_decref(object);
    return 0;
}

static int set_files(struct invocation *in, json_t *container, const char *kind, const char *key)
{
    const struct str_list *list = args_list(&in->args, kind);
    json_t *files = json_array();
    int rc = 0;

    for (size_t i = 0; i < list->count && rc == 0; i++)
        rc = add_file(in, files, kind, list->items[i]);
    if (list->count > 0)
        (void)json_object_set(container, key, files);
    json_decref(files);
    return rc;
}

static int set_container(struct invocation *in, json_t *container)
{
    const struct args *a = &in->args;
    const struct str_list *mounts = args_list(a, "mount");
    int rc = 0;

    set_texts(a, "env", container, "Env");
    spec_set_text(a, "hostname", container, "Hostname");
    spec_set_text(a, "user", container, "User");
    spec_set_text(a, "workdir", container, "Dir");
    if (args_given(a, "read-only"))
        (void)json_object_set_new(container, "ReadOnly", json_boolean(args_flag(a, "read-only")));
    if (args_given(a, "container-label"))
        (void)json_object_set_new(container, "Labels", pairs_of(args_list(a, "container-label")));
    if (mounts->count > 0) {
        json_t *array = json_array();

        for (size_t i = 0; i < mounts->count && rc == 0; i++)
            rc = add_mount(array, mounts->items[i]);
        (void)json_object_set_new(container, "Mounts", array);
    }
    if (args_given(a, "health-cmd")) {
        json_t *health = spec_child(container, "Healthcheck");

        (void)json_object_set_new(health, "Test",
                                  json_pack("[s, s]", "CMD-SHELL", args_text(a, "health-cmd", "")));
        if (rc == 0)
            rc = set_duration(a, "health-interval", health, "Interval");
    }
    if (rc == 0)
        rc = set_duration(a, "stop-grace-period", container, "StopGracePeriod");
    if (rc == 0)
        rc = set_files(in, container, "secret", "Secrets");
    return rc == 0 ? set_files(in, container, "config", "Configs") : rc;
}

static int set_placement(const struct args *a, json_t *task)
{
    const struct str_list *prefs = args_list(a, "placement-pref");
    int rc = 0;

    if (args_given(a, "constraint") || prefs->count > 0 || args_given(a, "replicas-max-per-node")) {
        json_t *placement = spec_child(task, "Placement");

        set_texts(a, "constraint", placement, "Constraints");
        rc = set_number(a, "replicas-max-per-node", placement, "MaxReplicas");
        if (prefs->count > 0) {
            json_t *array = json_array();

            for (size_t i = 0; i < prefs->count; i++) {
                const char *equals = strchr(prefs->items[i], '=');

                (void)json_array_append_new(
                    array, json_pack("{s:{s:s}}", "Spread", "SpreadDescriptor",
                                     equals == NULL ? prefs->items[i] : equals + 1));
            }
            (void)json_object_set_new(placement, "Preferences", array);
        }
    }
    return rc;
}

static int set_resources(const struct args *a, json_t *task)
{
    int rc = 0;

    if (args_given(a, "limit-cpu") || args_given(a, "limit-memory")) {
        json_t *limits = spec_child(spec_child(task, "Resources"), "Limits");

        rc = set_quantity(a, "limit-cpu", limits, "NanoCPUs", parse_cpus);
        if (rc == 0)
            rc = set_quantity(a, "limit-memory", limits, "MemoryBytes", parse_bytes);
    }
    if (rc == 0 && (args_given(a, "reserve-cpu") || args_given(a, "reserve-memory"))) {
        json_t *reserved = spec_child(spec_child(task, "Resources"), "Reservations");

        rc = set_quantity(a, "reserve-cpu", reserved, "NanoCPUs", parse_cpus);
        if (rc == 0)
            rc = set_quantity(a, "reserve-memory", reserved, "MemoryBytes", parse_bytes);
    }
    return rc;
}

static int set_restart(const struct args *a, json_t *task)
{
    int rc = 0;

    if (args_given(a, "restart-condition") || args_given(a, "restart-delay") ||
        args_given(a, "restart-max-attempts")) {
        json_t *restart = spec_child(task, "RestartPolicy");

        spec_set_text(a, "restart-condition", restart, "Condition");
        rc = set_duration(a, "restart-delay", restart, "Delay");
        if (rc == 0)
            rc = set_number(a, "restart-max-attempts", restart, "MaxAttempts");
    }
    return rc;
}

static int set_update(const struct args *a, json_t *spec)
{
    json_t *update;
    int rc;

    if (!args_given(a, "update-parallelism") && !args_given(a, "update-delay") &&
        !args_given(a, "update-order") && !args_given(a, "update-monitor") &&
        !args_given(a, "update-failure-action"))
        return 0;
    update = spec_child(spec, "UpdateConfig");
    if (json_object_get(update, "Parallelism") == NULL)
        (void)json_object_set_new(update, "Parallelism", json_integer(1));
    spec_set_text(a, "update-order", update, "Order");
    spec_set_text(a, "update-failure-action", update, "FailureAction");
    rc = set_number(a, "update-parallelism", update, "Parallelism");
    if (rc == 0)
        rc = set_duration(a, "update-delay", update, "Delay");
    return rc == 0 ? set_duration(a, "update-monitor", update, "Monitor") : rc;
}

static void set_networks(const struct args *a, json_t *task)
{
    const struct str_list *list = args_list(a, "network");
    json_t *array;

    if (list->count == 0)
        return;
    array = json_array();
    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(array, json_pack("{s:s}", "Target", list->items[i]));
    (void)json_object_set_new(task, "Networks", array);
}

int service_spec_set_mode(const struct args *a, json_t *spec)
{
    static const struct {
        const char *name, *key;
    } modes[] = {
        { "replicated", "Replicated" },
        { "global", "Global" },
        { "replicated-job", "ReplicatedJob" },
        { "global-job", "GlobalJob" },
    };
    const char *text = args_text(a, "mode", modes[0].name);

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(text, modes[i].name) == 0) {
            (void)spec_child(spec_child(spec, "Mode"), modes[i].key); /* it is made */
            return 0;
        }
    return bad("mode", text, "give replicated, global, replicated-job or global-job");
}

/* All run at a time unless it was said otherwise. */
static int set_job(const struct args *a, json_t *job)
{
    int rc = set_number(a, "replicas", job, "TotalCompletions");

    if (rc == 0)
        rc = set_number(a, "max-concurrent", job, "MaxConcurrent");
    if (json_object_get(job, "TotalCompletions") == NULL)
        (void)json_object_set_new(job, "TotalCompletions", json_integer(1));
    if (json_object_get(job, "MaxConcurrent") == NULL)
        (void)json_object_set(job, "MaxConcurrent", json_object_get(job, "TotalCompletions"));
    return rc;
}

static int set_replicas(const struct args *a, json_t *spec)
{
    json_t *mode = json_object_get(spec, "Mode");
    json_t *job = json_object_get(mode, "ReplicatedJob");

    if (job != NULL)
        return set_job(a, job);
    if (args_given(a, "max-concurrent"))
        return bad("max-concurrent", args_text(a, "max-concurrent", ""),
                   "only services of mode replicated-job have it");
    if (!args_given(a, "replicas"))
        return 0;
    if (json_object_get(mode, "Global") != NULL || json_object_get(mode, "GlobalJob") != NULL)
        return bad("replicas", args_text(a, "replicas", ""),
                   "only services of mode replicated or replicated-job have them");
    return set_number(a, "replicas", spec_child(spec_child(spec, "Mode"), "Replicated"),
                      "Replicas");
}

int service_spec_apply(struct invocation *in, json_t *spec)
{
    const struct args *a = &in->args;
    json_t *task = spec_child(spec, "TaskTemplate");
    int rc = set_container(in, spec_child(task, "ContainerSpec"));

    if (args_given(a, "label"))
        (void)json_object_set_new(spec, "Labels", pairs_of(args_list(a, "label")));
    set_networks(a, task);
    if (rc == 0)
        rc = set_replicas(a, spec);
    if (rc == 0)
        rc = set_placement(a, task);
    if (rc == 0)
        rc = set_resources(a, task);
    if (rc == 0)
        rc = set_restart(a, task);
    if (rc == 0)
        rc = set_update(a, spec);
    return rc == 0 ? set_ports(a, spec) : rc;
}
