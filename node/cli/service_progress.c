#include "node/cli/service_progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_POLL_NS 200000000L

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

int service_progress_wait(struct invocation *in, const char *id)
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
