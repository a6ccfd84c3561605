/* node/api/containers.c - /containers: those of this host. The tasks' own are the agent's: what is
 * stopped or removed here, it will replace. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/container_create.h"
#include "node/api/container_json.h"
#include "node/api/target.h"

/* --- Reading -------------------------------------------------------------------------------- */

struct listing {
    json_t *list;
    struct filters filters;
    bool all;
    wall_ns now;
};

static void add_container(void *owner, const struct container_info *info)
{
    struct listing *l = owner;
    const struct filters *f = &l->filters;
    const char *name = info->spec->name != NULL ? info->spec->name : "";
    bool running = info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED;
    static const char *const healths[] = { "none", "starting", "healthy", "unhealthy" };

    if ((!l->all && !running && !filters_has(f, "status")) ||
        !filters_prefix(f, "id", info->spec->id) || !filters_part(f, "name", name) ||
        !filters_exact(f, "status", container_state_text(info)) ||
        !filters_exact(f, "health", healths[info->health]) ||
        !filters_part(f, "ancestor", info->spec->image) ||
        !filters_labels(f, "label", &info->spec->labels))
        return;
    /* Newest first, as people expect it. */
    if (l->list != NULL &&
        json_array_insert_new(l->list, 0, container_summary_json(info, l->now)) < 0) {
        json_decref(l->list);
        l->list = NULL;
    }
}

void handle_container_list(struct request *r)
{
    static const char *const known[] = {
        "ancestor", "health", "id", "label", "name", "status", NULL
    };
    struct listing l = { .all = request_flag(r, "all"), .now = api_wall_now() };
    struct runtime *rt = request_runtime(r);
    const char *text = request_query(r, "limit");
    long limit = text != NULL ? strtol(text, NULL, 10) : 0; /* no number: no limit */

    if (rt == NULL || !request_filters(r, &l.filters, known))
        return;
    l.all = l.all || limit > 0;
    l.list = json_array();
    runtime_container_list(rt, add_container, &l);
    filters_deinit(&l.filters);
    while (limit > 0 && json_array_size(l.list) > (size_t)limit)
        (void)json_array_remove(l.list, json_array_size(l.list) - 1); /* it is there */
    reply_json(r, MHD_HTTP_OK, l.list);
}

const struct container_info *request_container(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    const struct container_info *info;

    if (rt == NULL)
        return NULL;
    info = runtime_container_inspect(rt, r->args[0]);
    if (info == NULL)
        reply_status(r, MHD_HTTP_NOT_FOUND, "No such container: %s", r->args[0]);
    return info;
}

void handle_container_inspect(struct request *r)
{
    struct target at;

    if (target_find(r, &at))
        reply_json(r, MHD_HTTP_OK,
                   at.local != NULL ? container_detail_json(at.local) : target_task_json(at.task));
}

/* --- Acting --------------------------------------------------------------------------------- */

static void on_done(void *owner, int err, const char *message)
{
    reply_result_empty(owner, err, message, MHD_HTTP_NO_CONTENT);
}

static void on_resized(void *owner, int err, const char *message)
{
    reply_result_empty(owner, err, message, MHD_HTTP_OK);
}

/* Nobody waits for it; a failure is the runtime's to log. */
static void on_dropped(void *owner, int err, const char *message)
{
    (void)owner;
    (void)err;
    (void)message;
}

/* One that is to go when it has ended goes also when it could not begin. */
static void on_started(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct runtime *rt = r->api->cfg.runtime;
    const struct container_info *info = runtime_container_inspect(rt, r->args[0]);

    if (err < 0 && info != NULL && info->state != CONTAINER_RUNNING &&
        str_map_get(&info->spec->labels, CONTAINER_LABEL_AUTO_REMOVE) != NULL)
        runtime_container_remove(rt, info->spec->id, REMOVE_FORCE_VOLUMES, on_dropped, NULL);
    on_done(r, err, message);
}

/* The container, once a call on it has gone well. NULL: answered and released. */
static const struct container_info *container_after(struct request *r, int err, const char *message)
{
    const struct container_info *info;

    if (err < 0 || request_is_over(r)) {
        on_done(r, err, message);
        return NULL;
    }
    info = request_container(r);
    if (info == NULL)
        request_release(r);
    return info;
}

/* Seconds of "t", or the container's own grace. False: answered. */
static bool parse_grace(struct request *r, uint64_t *out)
{
    const char *text = request_query(r, "t");
    char *end;
    long seconds;

    *out = UINT64_MAX;
    if (text == NULL || text[0] == '\0' || text[0] == '-')
        return true;
    seconds = strtol(text, &end, 10);
    if (*end != '\0' || seconds > 1000000) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "invalid t '%.32s': give seconds", text);
        return false;
    }
    *out = (uint64_t)seconds * NS_PER_S;
    return true;
}

/* 0: not given. False: answered. */
static bool parse_signal(struct request *r, int *out)
{
    const char *text = request_query(r, "signal");

    *out = 0;
    if (text == NULL || text[0] == '\0' || container_signal_parse(text, out) == 0)
        return true;
    reply_status(r, MHD_HTTP_BAD_REQUEST, "Invalid signal: %.64s", text);
    return false;
}

void handle_container_stop(struct request *r)
{
    const struct container_info *info = request_container(r);
    uint64_t grace_ns;
    int signal;

    if (info == NULL || !parse_grace(r, &grace_ns) || !parse_signal(r, &signal))
        return;
    if (info->state == CONTAINER_CREATED || info->state == CONTAINER_EXITED) {
        reply_empty(r, MHD_HTTP_NOT_MODIFIED);
        return;
    }
    request_hold(r);
    runtime_container_stop(r->api->cfg.runtime, info->spec->id, signal, grace_ns, on_done, r);
}

void handle_container_start(struct request *r)
{
    const struct container_info *info = request_container(r);

    if (info == NULL)
        return;
    if (info->state == CONTAINER_RUNNING) {
        reply_empty(r, MHD_HTTP_NOT_MODIFIED);
        return;
    }
    request_hold(r);
    runtime_container_start(r->api->cfg.runtime, info->spec->id, on_started, r);
}

static void on_stopped(void *owner, int err, const char *message)
{
    struct request *r = owner;
    const struct container_info *info = container_after(r, err, message);

    if (info != NULL)
        runtime_container_start(r->api->cfg.runtime, info->spec->id, on_done, r);
}

void handle_container_restart(struct request *r)
{
    const struct container_info *info = request_container(r);
    uint64_t grace_ns;
    int signal;

    if (info == NULL || !parse_grace(r, &grace_ns) || !parse_signal(r, &signal))
        return;
    request_hold(r);
    runtime_container_stop(r->api->cfg.runtime, info->spec->id, signal, grace_ns, on_stopped, r);
}

void handle_container_kill(struct request *r)
{
    const struct container_info *info = request_container(r);
    int signal;

    if (info == NULL || !parse_signal(r, &signal))
        return;
    request_hold(r);
    runtime_container_kill(r->api->cfg.runtime, info->spec->id, signal != 0 ? signal : 9, on_done,
                           r);
}

static void act(struct request *r,
                void (*action)(struct runtime *, const char *, runtime_done, void *),
                runtime_done on_end)
{
    const struct container_info *info = request_container(r);

    if (info == NULL)
        return;
    request_hold(r);
    action(r->api->cfg.runtime, info->spec->id, on_end, r);
}

void handle_container_pause(struct request *r)
{
    act(r, runtime_container_pause, on_done);
}

void handle_container_unpause(struct request *r)
{
    act(r, runtime_container_unpause, on_done);
}

void handle_container_resize(struct request *r)
{
    const struct container_info *info = request_container(r);
    uint16_t rows, columns;

    if (info == NULL || !request_window(r, &rows, &columns))
        return;
    request_hold(r);
    runtime_container_resize(r->api->cfg.runtime, info->spec->id, rows, columns, on_resized, r);
}

void handle_container_remove(struct request *r)
{
    const struct container_info *info = request_container(r);
    enum container_remove how = REMOVE_STOPPED;

    if (info == NULL)
        return;
    if (request_flag(r, "force"))
        how = request_flag(r, "v") ? REMOVE_FORCE_VOLUMES : REMOVE_FORCE;
    request_hold(r);
    runtime_container_remove(r->api->cfg.runtime, info->spec->id, how, on_done, r);
}
