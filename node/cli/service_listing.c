#include "node/cli/service_listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *service_get(struct invocation *in, const char *name)
{
    char *escaped = client_escape(in->client, name);
    json_t *service = get_json(in, "/services/%s", escaped);

    free(escaped);
    return service;
}

const char *service_mode_text(const json_t *service)
{
    if (at(service, "Spec.Mode.ReplicatedJob") != NULL)
        return "replicated job";
    if (at(service, "Spec.Mode.GlobalJob") != NULL)
        return "global job";
    return at(service, "Spec.Mode.Global") != NULL ? "global" : "replicated";
}

const char *service_replicas_text(const json_t *service, char *out, size_t len)
{
    const json_t *job = at(service, "Spec.Mode.ReplicatedJob");
    long long running = (long long)number_at(service, "ServiceStatus.RunningTasks");
    long long wanted = (long long)number_at(service, "ServiceStatus.DesiredTasks");
    long long completed = (long long)number_at(service, "ServiceStatus.CompletedTasks");
    long long max = (long long)number_at(service, "Spec.TaskTemplate.Placement.MaxReplicas");

    if (job != NULL)
        (void)snprintf(out, len, "%lld/%lld (%lld/%lld completed)", running, wanted, completed,
                       (long long)number_at(job, "TotalCompletions"));
    else if (at(service, "Spec.Mode.GlobalJob") != NULL) /* wanted: what has not completed */
        (void)snprintf(out, len, "%lld/%lld (%lld/%lld completed)", running, wanted, completed,
                       wanted + completed);
    else if (max > 0)
        (void)snprintf(out, len, "%lld/%lld (max %lld per node)", running, wanted, max);
    else
        (void)snprintf(out, len, "%lld/%lld", running, wanted);
    return out;
}

int service_listing_run_list(struct invocation *in)
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
        char text[512];
        size_t used = 0;

        listing_addf(&t, "%.12s", text_at(s, "ID"));
        listing_add(&t, text_at(s, "Spec.Name"));
        listing_add(&t, service_mode_text(s));
        listing_add(&t, service_replicas_text(s, text, sizeof(text)));
        listing_add(&t, text_at(s, "Spec.TaskTemplate.ContainerSpec.Image"));
        text[0] = '\0';
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

int service_listing_run_tasks(struct invocation *in)
{
    static const char *const titles[] = { "ID",      "NAME",  "IMAGE", "NODE",
                                          "DESIRED", "STATE", "ERROR", NULL };
    json_t *nodes = get_json(in, "/nodes");
    struct listing t;
    int result = nodes == NULL ? EXIT_ERROR : EXIT_OK;

    listing_init(&t, titles);
    for (size_t i = 0; i < in->args.count && result == EXIT_OK; i++) {
        json_t *service = service_get(in, in->args.positional[i]), *tasks = NULL;

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
