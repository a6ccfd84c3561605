/* Services. The spec is built from options here, and changed by options in update. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/time_text.h"
#include "node/cli/command.h"
#include "node/cli/logs.h"

#define WAIT_POLL_NS 200000000L

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def wait_options[] = {
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait until it runs" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* Shared by create and update; update takes only what was given. */
#define SPEC_OPTIONS                                                                               \
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait until it runs" },                             \
        { "replicas", 0, OPTION_TEXT, "N", "how many tasks" },                                     \
        { "env", 'e', OPTION_LIST, "KEY=VALUE", "environment" },                                   \
        { "label", 'l', OPTION_LIST, "KEY=VALUE", "label of the service" },                        \
        { "container-label", 0, OPTION_LIST, "KEY=VALUE", "label of its containers" },             \
        { "publish", 'p', OPTION_LIST, "[HOSTPORT:]PORT[/udp]", "open a port on every node" },     \
        { "network", 0, OPTION_LIST, "NAME", "join a network" },                                   \
        { "mount", 0, OPTION_LIST, "type=..,source=..,target=..", "mount a volume or directory" }, \
        { "secret", 0, OPTION_LIST, "NAME", "a secret as /run/secrets/NAME" },                     \
        { "config", 0, OPTION_LIST, "NAME", "a config as /NAME" },                                 \
        { "constraint", 0, OPTION_LIST, "KEY==VALUE", "only on such nodes" },                      \
        { "placement-pref", 0, OPTION_LIST, "spread=KEY", "spread over values of a label" },       \
        { "replicas-max-per-node", 0, OPTION_TEXT, "N", "at most so many on a node" },             \
        { "limit-cpu", 0, OPTION_TEXT, "CPUS", "at most" },                                        \
        { "limit-memory", 0, OPTION_TEXT, "BYTES", "at most" },                                    \
        { "reserve-cpu", 0, OPTION_TEXT, "CPUS", "only where so much is free" },                   \
        { "reserve-memory", 0, OPTION_TEXT, "BYTES", "only where so much is free" },               \
        { "restart-condition", 0, OPTION_TEXT, "WHEN", "any, on-failure or none" },                \
        { "restart-delay", 0, OPTION_TEXT, "TIME", "before a restart" },                           \
        { "restart-max-attempts", 0, OPTION_TEXT, "N", "then give up" },                           \
        { "update-parallelism", 0, OPTION_TEXT, "N", "tasks updated at once; 0: all" },            \
        { "update-delay", 0, OPTION_TEXT, "TIME", "between them" },                                \
        { "update-order", 0, OPTION_TEXT, "ORDER", "stop-first or start-first" },                  \
        { "update-monitor", 0, OPTION_TEXT, "TIME", "how long a new task is watched" },            \
        { "update-failure-action", 0, OPTION_TEXT, "WHAT", "pause, continue or rollback" },        \
        { "health-cmd", 0, OPTION_TEXT, "COMMAND", "says whether a task is well" },                \
        { "health-interval", 0, OPTION_TEXT, "TIME", "between checks" },                           \
        { "stop-grace-period", 0, OPTION_TEXT, "TIME", "before a task is killed" },                \
        { "hostname", 0, OPTION_TEXT, "NAME", "of its containers" },                               \
        { "user", 'u', OPTION_TEXT, "USER", "who runs the command" },                              \
        { "workdir", 'w', OPTION_TEXT, "DIR", "where it runs" },                                   \
        { "read-only", 0, OPTION_FLAG, NULL, "the root file system cannot be written" },           \
    {                                                                                              \
        "endpoint-mode", 0, OPTION_TEXT, "MODE", "vip or dnsrr"                                    \
    }

static const struct option_def create_options[] = {
    { "name", 0, OPTION_TEXT, "NAME", "of the service" },
    { "mode", 0, OPTION_TEXT, "MODE", "replicated or global" },
    SPEC_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def update_options[] = {
    { "image", 0, OPTION_TEXT, "IMAGE", "another image" },
    { "args", 0, OPTION_TEXT, "WORDS", "another command, split at blanks" },
    { "force", 0, OPTION_FLAG, NULL, "replace the tasks though nothing changes" },
    SPEC_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def logs_options[] = {
    { "follow", 'f', OPTION_FLAG, NULL, "go on as lines come" },
    { "tail", 'n', OPTION_TEXT, "N", "only the last lines" },
    { "since", 0, OPTION_TEXT, "TIME", "only from then on" },
    { "timestamps", 't', OPTION_FLAG, NULL, "show when" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* --- Building a spec */

static json_t *child(json_t *object, const char *key)
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

static void set_text(const struct args *a, const char *option, json_t *object, const char *key)
{
    if (args_given(a, option))
        (void)json_object_set_new(object, key, json_string(args_text(a, option, "")));
}

static void set_texts(const struct args *a, const char *option, json_t *object, const char *key)
{
    if (args_given(a, option))
        (void)json_object_set_new(object, key, texts_of(args_list(a, option)));
}

static bool take_number(const char *part, const char *key, unsigned *out)
{
    size_t len = strlen(key);

    if (strncmp(part, key, len) != 0)
        return false;
    *out = (unsigned)strtoul(part + len, NULL, 10);
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
        if (colon != NULL)
            (void)take_number(rest, "", &published);
        (void)take_number(colon == NULL ? rest : colon + 1, "", &target);
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

    set_text(a, "endpoint-mode", child(spec, "EndpointSpec"), "Mode");
    if (list->count == 0)
        return 0;
    endpoint = child(spec, "EndpointSpec");
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
    set_text(a, "hostname", container, "Hostname");
    set_text(a, "user", container, "User");
    set_text(a, "workdir", container, "Dir");
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
        json_t *health = child(container, "Healthcheck");

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
        json_t *placement = child(task, "Placement");

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
        json_t *limits = child(child(task, "Resources"), "Limits");

        rc = set_quantity(a, "limit-cpu", limits, "NanoCPUs", parse_cpus);
        if (rc == 0)
            rc = set_quantity(a, "limit-memory", limits, "MemoryBytes", parse_bytes);
    }
    if (rc == 0 && (args_given(a, "reserve-cpu") || args_given(a, "reserve-memory"))) {
        json_t *reserved = child(child(task, "Resources"), "Reservations");

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
        json_t *restart = child(task, "RestartPolicy");

        set_text(a, "restart-condition", restart, "Condition");
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
    update = child(spec, "UpdateConfig");
    if (json_object_get(update, "Parallelism") == NULL)
        (void)json_object_set_new(update, "Parallelism", json_integer(1));
    set_text(a, "update-order", update, "Order");
    set_text(a, "update-failure-action", update, "FailureAction");
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

static int set_replicas(const struct args *a, json_t *spec)
{
    if (!args_given(a, "replicas"))
        return 0;
    return set_number(a, "replicas", child(child(spec, "Mode"), "Replicated"), "Replicas");
}

static int apply_options(struct invocation *in, json_t *spec)
{
    const struct args *a = &in->args;
    json_t *task = child(spec, "TaskTemplate");
    int rc = set_container(in, child(task, "ContainerSpec"));

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

/* --- Waiting */

static void count_tasks(const json_t *tasks, size_t *running, size_t *wanted, const char **problem)
{
    *running = *wanted = 0;
    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *t = json_array_get(tasks, i);

        if (strcmp(text_at(t, "DesiredState"), "running") != 0 &&
            strcmp(text_at(t, "DesiredState"), "ready") != 0)
            continue;
        ++*wanted;
        *running += strcmp(text_at(t, "Status.State"), "running") == 0;
        if (*text_at(t, "Status.Err") != '\0')
            *problem = text_at(t, "Status.Err");
    }
}

static bool is_settled(const json_t *service)
{
    const char *state = text_at(service, "UpdateStatus.State");

    return *state == '\0' || strcmp(state, "completed") == 0 || strcmp(state, "paused") == 0 ||
           strcmp(state, "rollback_completed") == 0 || strcmp(state, "rollback_paused") == 0;
}

/* Until all tasks of the present spec run; prints what changes. */
static int wait_for(struct invocation *in, const char *id)
{
    const struct timespec pause = { .tv_nsec = WAIT_POLL_NS };
    size_t shown = SIZE_MAX;
    char last_problem[512] = "";

    for (;;) {
        json_t *service = get_json(in, "/services/%s", id);
        json_t *tasks = get_json(
            in, "/tasks?filters=%%7B%%22service%%22%%3A%%7B%%22%s%%22%%3Atrue%%7D%%7D", id);
        const json_t *replicas = at(service, "Spec.Mode.Replicated.Replicas");
        size_t running, wanted;
        const char *problem = "";
        bool done;

        if (service == NULL || tasks == NULL) {
            json_decref(service);
            json_decref(tasks);
            return EXIT_ERROR;
        }
        count_tasks(tasks, &running, &wanted, &problem);
        if (replicas != NULL)
            wanted = (size_t)json_integer_value(replicas);
        if (running != shown)
            (void)printf("%zu of %zu tasks running\n", running, wanted);
        if (*problem != '\0' && strcmp(problem, last_problem) != 0)
            (void)printf("  %s\n", problem);
        (void)fflush(stdout);
        (void)snprintf(last_problem, sizeof(last_problem), "%s", problem);
        shown = running;
        done = running >= wanted && is_settled(service);
        json_decref(service);
        json_decref(tasks);
        if (done)
            return EXIT_OK;
        (void)nanosleep(&pause, NULL); /* a signal ends the program */
    }
}

/* --- Commands */

static int run_create(struct invocation *in)
{
    const struct args *a = &in->args;
    json_t *container = json_pack("{s:s}", "Image", a->positional[0]), *spec, *answer = NULL;
    struct str_list words = { 0 };
    int status, result = EXIT_ERROR;

    for (size_t i = 1; i < a->count; i++)
        if (str_list_append(&words, a->positional[i]) < 0)
            return EXIT_ERROR;
    if (words.count > 0)
        (void)json_object_set_new(container, "Args", texts_of(&words));
    str_list_clear(&words);
    spec = json_pack("{s:s, s:{s:o}}", "Name", args_text(a, "name", ""), "TaskTemplate",
                     "ContainerSpec", container);
    if (strcmp(args_text(a, "mode", "replicated"), "global") == 0)
        (void)json_object_set_new(spec, "Mode", json_pack("{s:{}}", "Global"));
    else
        (void)json_object_set_new(spec, "Mode",
                                  json_pack("{s:{s:i}}", "Replicated", "Replicas", 1));
    if (apply_options(in, spec) == 0) {
        status = call(in, "POST", spec, &answer, "/services/create");
        result = exit_of(status);
    }
    if (result == EXIT_OK) {
        (void)puts(text_at(answer, "ID"));
        if (!args_flag(a, "detach"))
            result = wait_for(in, text_at(answer, "ID"));
    }
    json_decref(answer);
    json_decref(spec);
    return result;
}

static json_t *get_service(struct invocation *in, const char *name)
{
    char *escaped = client_escape(in->client, name);
    json_t *service = get_json(in, "/services/%s", escaped);

    free(escaped);
    return service;
}

static int put_service(struct invocation *in, json_t *service, const char *query)
{
    int status =
        call(in, "POST", at(service, "Spec"), NULL, "/services/%s/update?version=%lld%s",
             text_at(service, "ID"), (long long)number_at(service, "Version.Index"), query);

    if (exit_of(status) != EXIT_OK)
        return EXIT_ERROR;
    (void)puts(text_at(service, "Spec.Name"));
    return args_flag(&in->args, "detach") ? EXIT_OK : wait_for(in, text_at(service, "ID"));
}

static json_t *split_words(const char *text)
{
    json_t *array = json_array();
    char rest[8192], *save = NULL;

    (void)snprintf(rest, sizeof(rest), "%s", text);
    for (char *word = strtok_r(rest, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        (void)json_array_append_new(array, json_string(word));
    return array;
}

static int run_update(struct invocation *in)
{
    json_t *service = get_service(in, in->args.positional[0]);
    json_t *spec = json_object_get(service, "Spec"), *task, *container;
    int result = EXIT_ERROR;

    if (spec == NULL) {
        json_decref(service);
        return EXIT_ERROR;
    }
    task = child(spec, "TaskTemplate");
    container = child(task, "ContainerSpec");
    set_text(&in->args, "image", container, "Image");
    if (args_given(&in->args, "args"))
        (void)json_object_set_new(container, "Args", split_words(args_text(&in->args, "args", "")));
    if (args_flag(&in->args, "force"))
        (void)json_object_set_new(task, "ForceUpdate",
                                  json_integer(number_at(task, "ForceUpdate") + 1));
    if (apply_options(in, spec) == 0)
        result = put_service(in, service, "");
    json_decref(service);
    return result;
}

static int scale_one(struct invocation *in, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[128], *end;
    json_t *service, *mode;
    long replicas;
    int result;

    if (equals == NULL || (replicas = strtol(equals + 1, &end, 10)) < 0 || *end != '\0' ||
        (size_t)(equals - text) >= sizeof(name)) {
        (void)fprintf(stderr, "shoal: scale %s: give SERVICE=REPLICAS\n", text);
        return EXIT_USAGE;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    service = get_service(in, name);
    if (service == NULL)
        return EXIT_ERROR;
    mode = json_object_get(json_object_get(json_object_get(service, "Spec"), "Mode"), "Replicated");
    if (mode == NULL) {
        (void)fprintf(stderr, "shoal: %s: only replicated services can be scaled\n", name);
        json_decref(service);
        return EXIT_ERROR;
    }
    (void)json_object_set_new(mode, "Replicas", json_integer(replicas));
    result = put_service(in, service, "");
    json_decref(service);
    return result;
}

static int run_scale(struct invocation *in)
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        int one = scale_one(in, in->args.positional[i]);

        result = MAX(result, one);
    }
    return result;
}

static int run_rollback(struct invocation *in)
{
    json_t *service = get_service(in, in->args.positional[0]);
    int result;

    if (service == NULL)
        return EXIT_ERROR;
    result = put_service(in, service, "&rollback=previous");
    json_decref(service);
    return result;
}

static int run_list(struct invocation *in)
{
    static const char *const titles[] = {
        "ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS", NULL
    };
    json_t *services = get_json(in, "/services?status=true");
    struct listing t;

    if (services == NULL)
        return EXIT_ERROR;
    listing_init(&t, titles);
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *s = json_array_get(services, i);
        const json_t *ports = at(s, "Endpoint.Ports");
        char text[512] = "";
        size_t used = 0;

        listing_addf(&t, "%.12s", text_at(s, "ID"));
        listing_add(&t, text_at(s, "Spec.Name"));
        listing_add(&t, at(s, "Spec.Mode.Global") != NULL ? "global" : "replicated");
        listing_addf(&t, "%lld/%lld", (long long)number_at(s, "ServiceStatus.RunningTasks"),
                     (long long)number_at(s, "ServiceStatus.DesiredTasks"));
        listing_add(&t, text_at(s, "Spec.TaskTemplate.ContainerSpec.Image"));
        for (size_t p = 0; p < json_array_size(ports) && used < sizeof(text); p++) {
            const json_t *port = json_array_get(ports, p);

            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s*:%lld->%lld/%s",
                                     p > 0 ? ", " : "", (long long)number_at(port, "PublishedPort"),
                                     (long long)number_at(port, "TargetPort"),
                                     text_at(port, "Protocol"));
        }
        listing_add(&t, text);
    }
    listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(services);
    return EXIT_OK;
}

static const char *host_of(const json_t *nodes, const char *id)
{
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if (strcmp(text_at(json_array_get(nodes, i), "ID"), id) == 0)
            return text_at(json_array_get(nodes, i), "Description.Hostname");
    return id;
}

static void add_task(struct listing *t, const json_t *task, const json_t *nodes,
                     const char *service)
{
    char when[64];

    listing_addf(t, "%.12s", text_at(task, "ID"));
    if (number_at(task, "Slot") > 0)
        listing_addf(t, "%s.%lld", service, (long long)number_at(task, "Slot"));
    else
        listing_addf(t, "%s.%.12s", service, text_at(task, "NodeID"));
    listing_add(t, text_at(task, "Spec.ContainerSpec.Image"));
    listing_add(t, host_of(nodes, text_at(task, "NodeID")));
    listing_add(t, text_at(task, "DesiredState"));
    listing_addf(t, "%s %s", text_at(task, "Status.State"),
                 ago(text_at(task, "Status.Timestamp"), when, sizeof(when)));
    listing_add(t, text_at(task, "Status.Err"));
}

static int run_tasks(struct invocation *in)
{
    static const char *const titles[] = { "ID",      "NAME",  "IMAGE", "NODE",
                                          "DESIRED", "STATE", "ERROR", NULL };
    json_t *nodes = get_json(in, "/nodes");
    struct listing t;
    int result = nodes == NULL ? EXIT_ERROR : EXIT_OK;

    listing_init(&t, titles);
    for (size_t i = 0; i < in->args.count && result == EXIT_OK; i++) {
        json_t *service = get_service(in, in->args.positional[i]), *tasks = NULL;

        if (service != NULL)
            tasks =
                get_json(in, "/tasks?filters=%%7B%%22service%%22%%3A%%7B%%22%s%%22%%3Atrue%%7D%%7D",
                         text_at(service, "ID"));
        if (tasks == NULL)
            result = EXIT_ERROR;
        for (size_t j = 0; j < json_array_size(tasks); j++)
            add_task(&t, json_array_get(tasks, j), nodes, text_at(service, "Spec.Name"));
        json_decref(tasks);
        json_decref(service);
    }
    if (result == EXIT_OK)
        listing_print(&t, format_of(in));
    listing_deinit(&t);
    json_decref(nodes);
    return result;
}

static int run_inspect(struct invocation *in)
{
    return inspect_each(in, "/services");
}

static int run_remove(struct invocation *in)
{
    return remove_each(in, "/services", "");
}

static int run_logs(struct invocation *in)
{
    return logs_run(in, "/services");
}

const struct command service_commands[] = {
    { "service create", "IMAGE [COMMAND..]", "run tasks and keep them running", create_options, 1,
      0, true, run_create },
    { "service ls", "", "list the services", list_options, 0, 0, false, run_list },
    { "service ps", "SERVICE..", "list the tasks of services", list_options, 1, 64, false,
      run_tasks },
    { "service inspect", "SERVICE..", "show all that is known of services", no_options, 1, 64,
      false, run_inspect },
    { "service update", "SERVICE", "change a service, task by task", update_options, 1, 1, false,
      run_update },
    { "service scale", "SERVICE=N..", "run more or fewer tasks", wait_options, 1, 64, false,
      run_scale },
    { "service rollback", "SERVICE", "go back to the spec before", wait_options, 1, 1, false,
      run_rollback },
    { "service logs", "SERVICE", "show what its tasks print", logs_options, 1, 1, false, run_logs },
    { "service rm", "SERVICE..", "remove services and their tasks", no_options, 1, 64, false,
      run_remove },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
