/* The commands of services: a spec is built or changed, sent, and waited for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const struct option_def create_options[] = {
    { "name", 0, OPTION_TEXT, "NAME", "of the service" },
    { "mode", 0, OPTION_TEXT, "MODE", "replicated, global, replicated-job or global-job" },
    SERVICE_SPEC_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def update_options[] = {
    { "image", 0, OPTION_TEXT, "IMAGE", "another image" },
    { "args", 0, OPTION_TEXT, "WORDS", "another command, split at blanks" },
    { "force", 0, OPTION_FLAG, NULL, "replace the tasks though nothing changes" },
    SERVICE_SPEC_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

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
    if (service_spec_set_mode(a, spec) < 0) {
        json_decref(spec);
        return EXIT_USAGE;
    }
    if (service_spec_apply(in, spec) == 0) {
        status = call(in, "POST", spec, &answer, "/services/create");
        result = exit_of(status);
    }
    if (result == EXIT_OK) {
        (void)puts(text_at(answer, "ID"));
        if (!args_flag(a, "detach"))
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
    json_t *service = service_get(in, in->args.positional[0]);
    json_t *spec = json_object_get(service, "Spec"), *task, *container;
    int result = EXIT_ERROR;

    if (spec == NULL) {
        json_decref(service);
        return EXIT_ERROR;
    }
    task = spec_child(spec, "TaskTemplate");
    container = spec_child(task, "ContainerSpec");
    spec_set_text(&in->args, "image", container, "Image");
    if (args_given(&in->args, "args"))
        (void)json_object_set_new(container, "Args", split_words(args_text(&in->args, "args", "")));
    if (args_flag(&in->args, "force"))
        (void)json_object_set_new(task, "ForceUpdate",
                                  json_integer(number_at(task, "ForceUpdate") + 1));
    if (service_spec_apply(in, spec) == 0)
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
    { "service ls", "", "list the services", list_options, 0, 0, false, service_listing_run_list },
    { "service ps", "SERVICE..", "list the tasks of services", list_options, 1, 64, false,
      service_listing_run_tasks },
    { "service why", "SERVICE", "say what keeps its tasks from running", why_options, 1, 1, false,
      service_why_run },
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
