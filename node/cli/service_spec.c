#include "node/cli/service_spec.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/service_options.h"
#include "node/cli/spec_caps.h"
#include "node/cli/spec_env.h"
#include "node/cli/spec_health.h"

/* --- The tables, in the forms in which they are needed */

#define LIST_UPDATE_OPTIONS(option, letter, placeholder, named, entry, path, help) \
    { option "-add", 0, OPTION_LIST, placeholder, help },                          \
        { option "-rm", 0, OPTION_LIST, named, "take it away" },

#define SHARED_OPTIONS                                                                             \
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait until it runs" },                             \
        { "replicas", 0, OPTION_TEXT, "N",                                                         \
          "how many tasks; of a job, how often it is to complete" },                               \
        { "max-concurrent", 0, OPTION_TEXT, "N", "how many tasks of a job run at a time" },        \
        SPEC_HEALTH_OPTIONS, { "cap-add", 0, OPTION_LIST, "CAPABILITY", "more than the default" }, \
        { "cap-drop", 0, OPTION_LIST, "CAPABILITY", "less than the default" },                     \
        { "log-driver", 0, OPTION_TEXT, "DRIVER", "json-file, local or none" },                    \
        { "log-opt", 0, OPTION_LIST, "KEY=VALUE", "max-size=10m, max-file=3" },

const struct option_def service_create_options[] = {
    { "name", 0, OPTION_TEXT, "NAME", "of the service" },
    { "mode", 0, OPTION_TEXT, "MODE", "replicated, global, replicated-job or global-job" },
    { "env-file", 0, OPTION_LIST, "FILE", "of variables, a line each" },
    SHARED_OPTIONS SERVICE_VALUES(SPEC_VALUE_OPTION) SERVICE_LISTS(SPEC_LIST_OPTION) //
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

const struct option_def service_update_options[] = {
    { "image", 0, OPTION_TEXT, "IMAGE", "another image" },
    { "args", 0, OPTION_TEXT, "COMMAND", "another command" },
    { "force", 0, OPTION_FLAG, NULL, "replace the tasks though nothing changes" },
    { "rollback", 0, OPTION_FLAG, NULL, "go back to the spec before; alone" },
    SHARED_OPTIONS SERVICE_VALUES(SPEC_VALUE_OPTION) SERVICE_LISTS(LIST_UPDATE_OPTIONS) //
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static_assert(ARRAY_LEN(service_create_options) <= ARGS_OPTIONS_MAX, "args.h has room for them");
static_assert(ARRAY_LEN(service_update_options) <= ARGS_OPTIONS_MAX, "args.h has room for them");

static const struct spec_row values[] = {
    SERVICE_VALUES(SPEC_VALUE_ROW) //
    { NULL, SPEC_TEXT, NULL },
};

static const struct spec_row update_values[] = {
    { "image", SPEC_TEXT, CONTAINER "Image" },
    { "args", SPEC_WORDS, CONTAINER "Args" },
    { NULL, SPEC_TEXT, NULL },
};

static const struct spec_list lists[] = {
    SERVICE_LISTS(SPEC_LIST_ROW) //
    { NULL, NULL, NULL, NULL, NULL },
};

/* --- Mode */

static int set_mode(const struct args *a, json_t *spec)
{
    static const struct {
        const char *name, *path;
    } modes[] = {
        { "replicated", "Mode.Replicated" },
        { "global", "Mode.Global" },
        { "replicated-job", "Mode.ReplicatedJob" },
        { "global-job", "Mode.GlobalJob" },
    };
    const char *text = args_text(a, "mode", modes[0].name);

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(text, modes[i].name) == 0) {
            (void)spec_object(spec, modes[i].path); /* it is made */
            return 0;
        }
    return spec_refuse("mode", text, "give replicated, global, replicated-job or global-job");
}

/* All run at a time unless it was said otherwise. */
static int set_job(const struct args *a, json_t *job)
{
    static const struct spec_row rows[] = {
        { "replicas", SPEC_COUNT, "TotalCompletions" },
        { "max-concurrent", SPEC_COUNT, "MaxConcurrent" },
        { NULL, SPEC_TEXT, NULL },
    };
    int rc = spec_values_apply(rows, a, job);

    if (spec_at(job, "TotalCompletions") == NULL)
        spec_put(job, "TotalCompletions", json_integer(1));
    if (spec_at(job, "MaxConcurrent") == NULL)
        spec_put(job, "MaxConcurrent", json_incref(spec_at(job, "TotalCompletions")));
    return rc;
}

static int set_replicas(const struct args *a, json_t *spec)
{
    static const struct spec_row rows[] = {
        { "replicas", SPEC_COUNT, "Mode.Replicated.Replicas" },
        { NULL, SPEC_TEXT, NULL },
    };
    json_t *job = spec_at(spec, "Mode.ReplicatedJob");

    if (json_is_object(job))
        return set_job(a, job);
    if (args_given(a, "max-concurrent"))
        return spec_refuse("max-concurrent", args_text(a, "max-concurrent", ""),
                           "only services of mode replicated-job have it");
    if (args_given(a, "replicas") &&
        (spec_at(spec, "Mode.Global") != NULL || spec_at(spec, "Mode.GlobalJob") != NULL))
        return spec_refuse("replicas", args_text(a, "replicas", ""),
                           "only services of mode replicated or replicated-job have them");
    return spec_values_apply(rows, a, spec);
}

/* --- What is more than its rows */

/* Options are of a driver: another driver begins with none. */
static int set_log(const struct args *a, json_t *spec)
{
    static const struct spec_row rows[] = {
        { "log-driver", SPEC_TEXT, "TaskTemplate.LogDriver.Name" },
        { "log-opt", SPEC_PAIR, "TaskTemplate.LogDriver.Options" },
        { NULL, SPEC_TEXT, NULL },
    };

    if (args_given(a, "log-driver"))
        spec_put(spec, "TaskTemplate.LogDriver.Options", NULL);
    return spec_values_apply(rows, a, spec);
}

/* In the API nothing means 0, all at once; to those who say only how, it is one at a time. */
static void complete_change(json_t *spec, const char *key)
{
    json_t *change = json_object_get(spec, key);

    if (json_is_object(change) && json_object_get(change, "Parallelism") == NULL)
        spec_put(change, "Parallelism", json_integer(1));
}

static int apply_shared(const struct args *a, json_t *spec)
{
    json_t *container = spec_object(spec, "TaskTemplate.ContainerSpec");
    int rc = spec_values_apply(values, a, spec);

    if (rc == 0)
        rc = set_replicas(a, spec);
    if (rc == 0)
        rc = spec_health_apply(a, container);
    if (rc == 0)
        rc = spec_caps_apply(a, container);
    if (rc == 0)
        rc = set_log(a, spec);
    complete_change(spec, "UpdateConfig");
    complete_change(spec, "RollbackConfig");
    return rc;
}

int service_spec_create(const struct args *a, const struct spec_names *names, json_t *spec)
{
    int rc = set_mode(a, spec);

    if (rc == 0)
        rc = apply_shared(a, spec);
    if (rc == 0)
        rc = spec_env_files(a, CONTAINER "Env", spec);
    return rc == 0 ? spec_lists_create(lists, names, a, spec) : rc;
}

int service_spec_update(const struct args *a, const struct spec_names *names, json_t *spec)
{
    json_int_t force = json_integer_value(spec_at(spec, "TaskTemplate.ForceUpdate"));
    int rc = spec_values_apply(update_values, a, spec);

    if (args_flag(a, "force"))
        spec_put(spec, "TaskTemplate.ForceUpdate", json_integer(force + 1));
    if (rc == 0)
        rc = apply_shared(a, spec);
    return rc == 0 ? spec_lists_update(lists, names, a, spec) : rc;
}
