#include "node/api/target.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "base/time_text.h"

#define TASK_NAME_MAX 256

/* --- Tasks by name -------------------------------------------------------------------------- */

/* "web.1", or "web.<node>" of a global service. */
static void format_place(const struct task *t, char out[TASK_NAME_MAX])
{
    const char *service = t->service_name == NULL ? "" : t->service_name;

    if (t->slot != 0)
        (void)snprintf(out, TASK_NAME_MAX, "%.150s.%" PRIu64, service, t->slot);
    else
        (void)snprintf(out, TASK_NAME_MAX, "%.150s.%s", service, t->node_id.text);
}

static bool is_meant_to_run(const struct task *t)
{
    return t->desired_state == TASK_RUNNING || t->desired_state == TASK_COMPLETE;
}

/* Whether `a` is what people mean by a place's name, rather than `b`, which may be NULL. */
static bool is_preferred(const struct task *a, const struct task *b)
{
    bool a_runs = a->status.state == TASK_RUNNING, b_runs;

    if (b == NULL)
        return true;
    b_runs = b->status.state == TASK_RUNNING;
    if (a_runs != b_runs)
        return a_runs;
    if (is_meant_to_run(a) != is_meant_to_run(b))
        return is_meant_to_run(a);
    return a->created_at > b->created_at;
}

/* How `name` names the task: not, by its place, or it alone. */
enum naming { NAMED_NOT, NAMED_BY_PLACE, NAMED_BY_PREFIX, NAMED_WHOLLY };

static enum naming naming_by_id(const struct task *t, const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || strncmp(t->id.text, text, len) != 0)
        return NAMED_NOT;
    return t->id.text[len] == '\0' ? NAMED_WHOLLY : NAMED_BY_PREFIX;
}

static enum naming naming_of(const struct task *t, const char *name)
{
    enum naming by_id = naming_by_id(t, name);
    char place[TASK_NAME_MAX];
    size_t len;

    if (by_id != NAMED_NOT)
        return by_id;
    format_place(t, place);
    len = strlen(place);
    if (strncmp(name, place, len) != 0)
        return NAMED_NOT;
    if (name[len] == '\0')
        return NAMED_BY_PLACE;
    return name[len] == '.' ? naming_by_id(t, name + len + 1) : NAMED_NOT;
}

const struct task *target_find_task(const struct store *s, const char *name, char *why,
                                    size_t why_len)
{
    const struct task *placed = NULL, *prefixed = NULL;
    size_t prefixed_count = 0;
    struct store_iter it;

    (void)snprintf(why, why_len, "No such container: %s", name);
    if (name[0] == '\0')
        return NULL;
    STORE_EACH(&it, s, OBJECT_TASK, struct task, t)
    {
        switch (naming_of(t, name)) {
        case NAMED_WHOLLY:
            return t;
        case NAMED_BY_PLACE:
            if (is_preferred(t, placed))
                placed = t;
            break;
        case NAMED_BY_PREFIX:
            prefixed = t;
            prefixed_count++;
            break;
        case NAMED_NOT:
            break;
        }
    }
    if (placed != NULL)
        return placed;
    if (prefixed_count > 1)
        (void)snprintf(why, why_len, "%s is the beginning of %zu tasks' ids: give the whole id",
                       name, prefixed_count);
    return prefixed_count == 1 ? prefixed : NULL;
}

/* --- For a request -------------------------------------------------------------------------- */

bool target_find(struct request *r, struct target *out)
{
    struct runtime *rt = r->api->cfg.runtime;
    char why[512];

    *out = (struct target){ 0 };
    if (rt != NULL)
        out->local = runtime_container_inspect(rt, r->args[0]);
    if (out->local != NULL)
        return true;
    if (request_refresh(r))
        return false;
    (void)snprintf(why, sizeof(why), "No such container: %s", r->args[0]);
    if (request_store(r) != NULL)
        out->task = target_find_task(request_store(r), r->args[0], why, sizeof(why));
    if (out->task != NULL && rt != NULL) /* one of this node, named as a task */
        out->local = runtime_container_inspect(rt, out->task->id.text);
    if (out->local == NULL && out->task == NULL)
        reply_status(r, MHD_HTTP_NOT_FOUND, "%s", why);
    return out->local != NULL || out->task != NULL;
}

json_t *target_task_json(const struct task *t)
{
    const struct task_container *c = t->spec.container;
    const struct container_status *status = t->status.container;
    char created[TIME_TEXT_MAX], started[TIME_TEXT_MAX], place[TASK_NAME_MAX];
    bool running = t->status.state == TASK_RUNNING;
    const char *image = c != NULL && c->image != NULL ? c->image : "";
    bool tty = c != NULL && c->tty, open_stdin = c != NULL && c->open_stdin;

    time_format(t->created_at, created);
    time_format(t->running_since, started);
    format_place(t, place);
    return json_pack(
        "{s:s,s:s,s:s,s:o,s:s,s:s,s:{s:s,s:b,s:b,s:b,s:i,s:i,s:s,s:s},"
        "s:{s:s,s:b,s:b,s:{}},s:{s:s,s:{s:s,s:{}}},s:{s:s}}",
        "Id", t->id.text, "Created", created, "Platform", "linux", "Name",
        json_sprintf("/%s.%s", place, t->id.text), "Path", "", "Image", image, "State", "Status",
        running ? "running" : enum_text(&task_state_names, (int)t->status.state), "Running",
        running, "Paused", 0, "Restarting", 0, "Pid", status == NULL ? 0 : (int)status->pid,
        "ExitCode", status == NULL ? 0 : (int)status->exit_code, "Error",
        t->status.err == NULL ? "" : t->status.err, "StartedAt", started, "Config", "Image", image,
        "Tty", tty, "OpenStdin", open_stdin, "Labels", "HostConfig", "NetworkMode", "default",
        "LogConfig", "Type", "json-file", "Config", "Node", "ID", t->node_id.text);
}
