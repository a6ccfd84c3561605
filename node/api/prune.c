/* node/api/prune.c - What nobody uses any more: /containers/prune, /volumes/prune, /build/prune.
 *
 * What is to go is drawn up first and then removed one after the other. What has come into use
 * meanwhile the runtime refuses to remove; it stays, and is not told. */
#include "base/err.h"
#include "node/api/api_impl.h"

struct pruning {
    const char *told_as; /* the answer's list of what was removed */
    void (*remove)(struct runtime *rt, const char *key, runtime_done done, void *owner);
    struct filters filters;
    wall_ns until;       /* only what is older */
    json_t *keys, *gone; /* NULL: no memory */
    size_t next;         /* in keys */
};

static void add_key(struct pruning *p, const char *key)
{
    if (p->keys != NULL && json_array_append_new(p->keys, json_string(key)) < 0) {
        json_decref(p->keys);
        p->keys = NULL;
    }
}

static void finish(struct request *r, int err, const char *message)
{
    struct pruning *p = r->state;
    json_t *answer = json_pack("{s:o?,s:i}", p->told_as, p->gone, "SpaceReclaimed", 0);

    if (p->gone == NULL) {
        json_decref(answer);
        answer = NULL;
    }
    json_decref(p->keys);
    filters_deinit(&p->filters);
    reply_result_json(r, err, message, MHD_HTTP_OK, answer);
}

static void on_removed(void *owner, int err, const char *message);

static void remove_next(struct request *r)
{
    struct pruning *p = r->state;

    if (p->keys == NULL || request_is_over(r) || p->next == json_array_size(p->keys))
        finish(r, p->keys == NULL ? -ENOMEM : 0, "");
    else
        p->remove(r->api->cfg.runtime, json_string_value(json_array_get(p->keys, p->next)),
                  on_removed, r);
}

static void on_removed(void *owner, int err, const char *message)
{
    struct request *r = owner;
    struct pruning *p = r->state;

    (void)message; /* in use again */
    if (err == 0 && p->gone != NULL &&
        json_array_append(p->gone, json_array_get(p->keys, p->next)) < 0) {
        json_decref(p->gone);
        p->gone = NULL;
    }
    p->next++;
    remove_next(r);
}

bool prune_until(struct request *r, struct filters *f, wall_ns *out)
{
    const char *text = filters_value(f, "until", 0);

    *out = api_wall_now();
    if (text == NULL || moment_parse(text, out))
        return true;
    reply_status(r, MHD_HTTP_BAD_REQUEST,
                 "filter until=%.64s: write a time, or how long ago such as 24h", text);
    filters_deinit(f);
    return false;
}

/* NULL: answered. */
static struct pruning *begin(struct request *r, const char *told_as, const char *const *known)
{
    struct pruning *p = request_runtime(r) != NULL ? request_state(r, sizeof(*p)) : NULL;

    if (p == NULL || !request_filters(r, &p->filters, known) ||
        !prune_until(r, &p->filters, &p->until))
        return NULL;
    p->told_as = told_as;
    p->keys = json_array();
    p->gone = json_array();
    return p;
}

/* --- Containers: those that people made. The ended ones of tasks are the history of their
 * services, and go with it. */

static void add_container(void *owner, const struct container_info *info)
{
    struct pruning *p = owner;
    const struct str_map *labels = &info->spec->labels;
    wall_ns since = info->finished != 0 ? info->finished : info->created;

    if (info->state != CONTAINER_RUNNING && info->state != CONTAINER_PAUSED && since <= p->until &&
        str_map_get(labels, "com.docker.swarm.task.id") == NULL &&
        filters_labels(&p->filters, "label", labels))
        add_key(p, info->spec->id);
}

static void remove_container(struct runtime *rt, const char *key, runtime_done done, void *owner)
{
    runtime_container_remove(rt, key, REMOVE_STOPPED, done, owner);
}

void handle_container_prune(struct request *r)
{
    static const char *const known[] = { "label", "until", NULL };
    struct pruning *p = begin(r, "ContainersDeleted", known);

    if (p == NULL)
        return;
    p->remove = remove_container;
    runtime_container_list(r->api->cfg.runtime, add_container, p);
    request_hold(r);
    remove_next(r);
}

/* --- Volumes: the anonymous ones, or with the filter all=true every one */

static void add_volume(void *owner, const struct volume_info *v)
{
    static const struct str_map none;
    struct request *r = owner;
    struct pruning *p = r->state;
    bool all = filters_has(&p->filters, "all") && (filters_exact(&p->filters, "all", "true") ||
                                                   filters_exact(&p->filters, "all", "1"));

    if (v->container_count == 0 && (all || v->anonymous) &&
        filters_labels(&p->filters, "label", v->labels != NULL ? v->labels : &none))
        add_key(p, v->name);
}

static void on_listed(void *owner, int err, const char *message)
{
    if (err < 0)
        finish(owner, err, message);
    else
        remove_next(owner);
}

void handle_volume_prune(struct request *r)
{
    static const char *const known[] = { "all", "label", NULL };
    struct pruning *p = begin(r, "VolumesDeleted", known);

    if (p == NULL)
        return;
    p->remove = runtime_volume_remove;
    request_hold(r);
    runtime_volume_list(r->api->cfg.runtime, add_volume, on_listed, r);
}

/* Nothing is built here, but `docker system prune` asks. */
void handle_build_prune(struct request *r)
{
    reply_json(r, MHD_HTTP_OK, json_pack("{s:[],s:i}", "CachesDeleted", "SpaceReclaimed", 0));
}
