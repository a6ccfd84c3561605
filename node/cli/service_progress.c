#include "node/cli/service_progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_POLL_NS 200000000L

static bool is(const json_t *object, const char *path, const char *text)
{
    return strcmp(text_at(object, path), text) == 0;
}

static bool is_job(const json_t *service)
{
    return at(service, "Spec.Mode.ReplicatedJob") != NULL ||
           at(service, "Spec.Mode.GlobalJob") != NULL;
}

/* Of the present iteration, and meant to run. */
static bool counts(const json_t *service, const json_t *task)
{
    if (is_job(service) &&
        number_at(task, "JobIteration.Index") != number_at(service, "JobStatus.JobIteration.Index"))
        return false;
    return is(task, "DesiredState", "running") || is(task, "DesiredState", "ready") ||
           is(task, "DesiredState", "complete");
}

struct service_progress service_progress_of(const json_t *service, const json_t *tasks)
{
    const json_t *replicas = at(service, "Spec.Mode.Replicated.Replicas");
    const json_t *completions = at(service, "Spec.Mode.ReplicatedJob.TotalCompletions");
    struct service_progress out = { .reached = is_job(service) ? "completed" : "running",
                                    .problem = "" };
    const char *aim = is_job(service) ? "complete" : "running";

    for (size_t i = 0; i < json_array_size(tasks); i++) {
        const json_t *t = json_array_get(tasks, i);

        if (!counts(service, t))
            continue;
        out.wanted++;
        out.done += is(t, "Status.State", aim);
        if (*text_at(t, "Status.Err") != '\0')
            out.problem = text_at(t, "Status.Err");
    }
    if (replicas != NULL)
        out.wanted = (size_t)json_integer_value(replicas);
    if (completions != NULL)
        out.wanted = (size_t)json_integer_value(completions);
    /* A global job has no number of its own: until its tasks are there, it is not done. */
    out.is_over =
        out.done >= out.wanted && (out.wanted > 0 || at(service, "Spec.Mode.GlobalJob") == NULL) &&
        (is(service, "UpdateStatus.State", "") || is(service, "UpdateStatus.State", "completed") ||
         is(service, "UpdateStatus.State", "paused") ||
         is(service, "UpdateStatus.State", "rollback_completed") ||
         is(service, "UpdateStatus.State", "rollback_paused"));
    return out;
}

int service_progress_wait(struct invocation *in, const char *id)
{
    const struct timespec pause = { .tv_nsec = WAIT_POLL_NS };
    size_t shown = SIZE_MAX;
    char last_problem[512] = "";

    for (;;) {
        json_t *service = get_json(in, "/services/%s", id);
        json_t *tasks = get_json(
            in, "/tasks?filters=%%7B%%22service%%22%%3A%%7B%%22%s%%22%%3Atrue%%7D%%7D", id);
        struct service_progress now;

        if (service == NULL || tasks == NULL) {
            json_decref(service);
            json_decref(tasks);
            return EXIT_ERROR;
        }
        now = service_progress_of(service, tasks);
        if (now.done != shown)
            (void)printf("%zu of %zu tasks %s\n", now.done, now.wanted, now.reached);
        if (*now.problem != '\0' && strcmp(now.problem, last_problem) != 0)
            (void)printf("  %s\n", now.problem);
        (void)fflush(stdout);
        (void)snprintf(last_problem, sizeof(last_problem), "%s", now.problem);
        shown = now.done;
        json_decref(service);
        json_decref(tasks);
        if (now.is_over)
            return EXIT_OK;
        (void)nanosleep(&pause, NULL); /* a signal ends the program */
    }
}
