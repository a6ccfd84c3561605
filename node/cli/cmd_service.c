/* The commands of services: a spec is built or changed, sent, and waited for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/command.h"
#include "node/cli/logs.h"
#include "node/cli/service_listing.h"
#include "node/cli/service_progress.h"
#include "node/cli/service_spec.h"
#include "node/cli/service_why.h"

static const struct option_def list_options[] = { LIST_OPTIONS,
                                                  { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def why_options[] = {
    { "format", 0, OPTION_TEXT, "FORMAT", "table or json" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def wait_options[] = {
    { "detach", 'd', OPTION_FLAG, NULL, "do not wait until it runs" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* --- Commands */

static json_t *find_named(void *ctx, const char *collection, const char *name)
{
    struct invocation *in = ctx;
    char *escaped = client_escape(in->client, name);
    json_t *object = get_json(in, "/%s/%s", collection, escaped == NULL ? "" : escaped);

    free(escaped);
    return object;
}

/* Of a spec that options could not describe. */
static int exit_of_spec(int rc)
{
    return rc == 0 ? EXIT_OK : rc == ERR_INVALID ? EXIT_USAGE : EXIT_ERROR;
}

static json_t *new_spec(const struct args *a)
{
    json_t *container = json_pack("{s:s}", "Image", a->positional[0]), *words = json_array();

    for (size_t i = 1; i < a->count; i++)
        (void)json_array_append_new(words, json_string(a->positional[i]));
    if (json_array_size(words) > 0)
        (void)json_object_set(container, "Args", words);
    json_decref(words);
    return json_pack("{s:s, s:{s:o}}", "Name", args_text(a, "name", ""), "TaskTemplate",
                     "ContainerSpec", container);
}

static int run_create(struct invocation *in)
{
    struct spec_names names = { find_named, in };
    json_t *spec = new_spec(&in->args), *answer = NULL;
    int result = exit_of_spec(service_spec_create(&in->args, &names, spec));

    if (result == EXIT_OK)
        result = exit_of(call(in, "POST", spec, &answer, "/services/create"));
    if (result == EXIT_OK) {
        (void)puts(text_at(answer, "ID"));
        if (!args_flag(&in->args, "detach"))
            result = service_progress_wait(in, text_at(answer, "ID"));
    }
    json_decref(answer);
    json_decref(spec);
    return result;
}

static int put_service(struct invocation *in, json_t *service, const char *query)
{
    int status =
        call(in, "POST", at(service, "Spec"), NULL, "/services/%s/update?version=%lld%s",
             text_at(service, "ID"), (long long)number_at(service, "Version.Index"), query);

    if (exit_of(status) != EXIT_OK)
        return EXIT_ERROR;
    (void)puts(text_at(service, "Spec.Name"));
    return args_flag(&in->args, "detach") ? EXIT_OK
                                          : service_progress_wait(in, text_at(service, "ID"));
}

static int run_rollback(struct invocation *in)
{
    json_t *service = service_get(in, in->args.positional[0]);
    int result;

    if (service == NULL)
        return EXIT_ERROR;
    result = put_service(in, service, "&rollback=previous");
    json_decref(service);
    return result;
}

/* The spec before is taken as it is, so nothing else can be asked for with it. */
static int rollback_alone(struct invocation *in)
{
    for (const struct option_def *o = in->args.defs; o->name != NULL; o++)
        if (args_given(&in->args, o->name) && strcmp(o->name, "rollback") != 0 &&
            strcmp(o->name, "detach") != 0) {
            (void)fprintf(stderr,
                          "shoal: --rollback goes back to the spec before as it was: not together "
                          "with --%s\n",
                          o->name);
            return EXIT_USAGE;
        }
    return run_rollback(in);
}

static int run_update(struct invocation *in)
{
    struct spec_names names = { find_named, in };
    json_t *service, *spec;
    int result;

    if (args_flag(&in->args, "rollback"))
        return rollback_alone(in);
    service = service_get(in, in->args.positional[0]);
    spec = json_object_get(service, "Spec");
    result = spec == NULL ? EXIT_ERROR : exit_of_spec(service_spec_update(&in->args, &names, spec));
    if (result == EXIT_OK)
        result = put_service(in, service, "");
    json_decref(service);
    return result;
}

static int scale_one(struct invocation *in, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[128], *end;
    json_t *service, *mode, *replicated, *job;
    long replicas;
    int result;

    if (equals == NULL || (replicas = strtol(equals + 1, &end, 10)) < 0 || *end != '\0' ||
        (size_t)(equals - text) >= sizeof(name)) {
        (void)fprintf(stderr, "shoal: scale %s: give SERVICE=REPLICAS\n", text);
        return EXIT_USAGE;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    service = service_get(in, name);
    if (service == NULL)
        return EXIT_ERROR;
    mode = json_object_get(json_object_get(service, "Spec"), "Mode");
    replicated = json_object_get(mode, "Replicated");
    job = json_object_get(mode, "ReplicatedJob");
    if (replicated == NULL && job == NULL) {
        (void)fprintf(stderr,
                      "shoal: %s: only services of mode replicated or replicated-job can be "
                      "scaled\n",
                      name);
        json_decref(service);
        return EXIT_ERROR;
    }
    (void)json_object_set_new(job != NULL ? job : replicated,
                              job != NULL ? "TotalCompletions" : "Replicas",
                              json_integer(replicas));
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
    { "service create", "IMAGE [COMMAND..]", "run tasks and keep them running",
      service_create_options, 1, 0, true, run_create },
    { "service ls", "", "list the services", list_options, 0, 0, false, service_listing_run_list },
    { "service ps", "SERVICE..", "list the tasks of services", list_options, 1, 64, false,
      service_listing_run_tasks },
    { "service why", "SERVICE", "say what keeps its tasks from running", why_options, 1, 1, false,
      service_why_run },
    { "service inspect", "SERVICE..", "show all that is known of services", no_options, 1, 64,
      false, run_inspect },
    { "service update", "SERVICE", "change a service, task by task", service_update_options, 1, 1,
      false, run_update },
    { "service scale", "SERVICE=N..", "run more or fewer tasks", wait_options, 1, 64, false,
      run_scale },
    { "service rollback", "SERVICE", "go back to the spec before", wait_options, 1, 1, false,
      run_rollback },
    { "service logs", "SERVICE", "show what its tasks print", logs_options, 1, 1, false, run_logs },
    { "service rm", "SERVICE..", "remove services and their tasks", no_options, 1, 64, false,
      run_remove },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
