/* node/api/events.c - GET /events: what happens in the cluster and to this host's containers.
 *
 * The last API_EVENTS_KEPT are kept for "since". A listener that does not read is cut off by
 * its stream's limit instead of growing. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/container_create.h"
#include "node/api/container_wait.h"
#include "node/api/logs.h"

struct listener {
    struct filters filters;
    wall_ns until; /* 0: for ever */
    uv_timer_t *timer;
};

void events_deinit(struct events *e)
{
    for (size_t i = 0; i < API_EVENTS_KEPT; i++) {
        json_decref(e->kept[i]);
        e->kept[i] = NULL;
    }
}

static wall_ns event_time(const json_t *event)
{
    return (wall_ns)json_integer_value(json_object_get(event, "timeNano"));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

/* By id or by the name among the attributes; only events of that type can match. */
static bool is_about(const struct filters *f, const char *key, const json_t *event)
{
    const json_t *actor = json_object_get(event, "Actor");
    const json_t *attributes = json_object_get(actor, "Attributes");

    if (!filters_has(f, key))
        return true;
    return strcmp(text_of(event, "Type"), key) == 0 &&
           (filters_prefix(f, key, text_of(actor, "ID")) ||
            filters_exact(f, key, text_of(attributes, "name")));
}

static bool has_label(const struct filters *f, const json_t *event)
{
    json_t *attributes = json_object_get(json_object_get(event, "Actor"), "Attributes");

    for (size_t i = 0; i < filters_count(f, "label"); i++) {
        const char *wanted = filters_value(f, "label", i);
        size_t len = strcspn(wanted, "=");
        json_t *value = json_object_getn(attributes, wanted, len);

        if (value == NULL ||
            (wanted[len] == '=' && strcmp(json_string_value(value), wanted + len + 1) != 0))
            return false;
    }
    return true;
}

static bool is_wanted(const struct filters *f, const json_t *event)
{
    static const char *const kinds[] = { "container", "image",  "network", "node",
                                         "service",   "secret", "config",  "volume" };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!is_about(f, kinds[i], event))
            return false;
    }
    return filters_exact(f, "type", text_of(event, "Type")) &&
           filters_exact(f, "event", text_of(event, "Action")) &&
           filters_exact(f, "scope", text_of(event, "scope")) && has_label(f, event);
}

static void send_event(struct request *r, json_t *event)
{
    const struct listener *l = r->stream.source;

    if (is_wanted(&l->filters, event))
        (void)stream_json(r, json_incref(event)); /* false: it was cut off */
}

/* Takes `attributes`. */
static void publish(struct api *api, const char *type, const char *action, const char *id,
                    const char *scope, json_t *attributes)
{
    wall_ns now = api_wall_now();
    json_t *event = json_pack("{s:s,s:s,s:{s:s,s:o},s:s,s:I,s:I}", "Type", type, "Action", action,
                              "Actor", "ID", id, "Attributes", attributes, "scope", scope, "time",
                              (json_int_t)(now / (wall_ns)NS_PER_S), "timeNano", (json_int_t)now);

    if (event == NULL)
        return; /* out of memory: clients look at the state anyway */
    json_decref(api->events.kept[api->events.next]);
    api->events.kept[api->events.next] = event;
    api->events.next = (api->events.next + 1) % API_EVENTS_KEPT;
    LIST_EACH_SAFE(it, &api->requests)
    {
        struct request *r = CONTAINER_OF(it, struct request, link);

        if (r->stream.open && r->route->handle == handle_events)
            send_event(r, event);
    }
}

/* --- What the program tells ----------------------------------------------------------------- */

static void add_text(json_t *attributes, const char *name, const char *text)
{
    if (text != NULL)
        (void)json_object_set_new(attributes, name, json_string(text)); /* not vital */
}

static void add_change(json_t *attributes, const char *name, const char *old, const char *new)
{
    char key[64];

    if (strcmp(old, new) == 0)
        return;
    (void)snprintf(key, sizeof(key), "%s.old", name);
    add_text(attributes, key, old);
    (void)snprintf(key, sizeof(key), "%s.new", name);
    add_text(attributes, key, new);
}

/* What changed, as Docker tells it. False: nothing that people care about. */
static bool describe_node(json_t *attributes, const struct node *old, const struct node *new)
{
    add_text(attributes, "name", new->description.hostname);
    if (old == NULL)
        return true;
    add_change(attributes, "state", enum_text(&node_state_names, (int)old->status.state),
               enum_text(&node_state_names, (int)new->status.state));
    add_change(attributes, "availability",
               enum_text(&availability_names, (int)old->spec.availability),
               enum_text(&availability_names, (int)new->spec.availability));
    add_change(attributes, "role", enum_text(&node_role_names, (int)old->spec.role),
               enum_text(&node_role_names, (int)new->spec.role));
    return json_object_size(attributes) > 1 ||
           !fields_equal(&node_spec_type, &old->spec, &new->spec);
}

static bool describe_service(json_t *attributes, const struct service *old,
                             const struct service *new)
{
    const struct update_status *a = old != NULL ? old->update_status : NULL;
    const struct update_status *b = new->update_status;

    add_text(attributes, "name", new->spec.name);
    if (old == NULL)
        return true;
    add_change(attributes, "updatestate",
               enum_text(&update_state_names, a != NULL ? (int)a->state : 0),
               enum_text(&update_state_names, b != NULL ? (int)b->state : 0));
    if (old->spec.task.container != NULL && new->spec.task.container != NULL)
        add_change(attributes, "image", old->spec.task.container->image,
                   new->spec.task.container->image);
    return json_object_size(attributes) > 1 ||
           !fields_equal(&service_spec_type, &old->spec, &new->spec);
}

/* Other kinds have only their name to tell. */
static bool describe(json_t *attributes, const struct store_change *c)
{
    const struct object *new = c->after != NULL ? c->after : c->before;
    const struct object *old = c->after != NULL ? c->before : NULL;

    if (c->kind == OBJECT_NODE)
        return describe_node(attributes, (const struct node *)(const void *)old,
                             (const struct node *)(const void *)new);
    if (c->kind == OBJECT_SERVICE)
        return describe_service(attributes, (const struct service *)(const void *)old,
                                (const struct service *)(const void *)new);
    add_text(attributes, "name", object_name(c->kind, new));
    return true;
}

void api_on_changed(struct api *api, const struct store_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct store_change *c = &changes->items[i];
        const struct object *o = c->after != NULL ? c->after : c->before;
        const char *action = c->before == NULL ? "create" : c->after == NULL ? "remove" : "update";
        json_t *attributes;

        if (c->kind == OBJECT_TASK && c->after != NULL)
            logs_on_task(api, (const struct task *)(const void *)c->after);
        if (c->kind == OBJECT_TASK || c->kind == OBJECT_CLUSTER || c->kind == OBJECT_REMOVAL)
            continue;
        attributes = json_object();
        if (describe(attributes, c))
            publish(api, object_kind_text(c->kind), action, o->id.text, "swarm", attributes);
        else
            json_decref(attributes);
    }
}

static const char *container_action(enum container_event_kind kind,
                                    const struct container_info *info)
{
    switch (kind) {
    case CONTAINER_EVENT_FOUND:
        return NULL; /* nothing happened */
    case CONTAINER_EVENT_CREATED:
        return "create";
    case CONTAINER_EVENT_STARTED:
        return "start";
    case CONTAINER_EVENT_EXITED:
        return "die";
    case CONTAINER_EVENT_PAUSED:
        return "pause";
    case CONTAINER_EVENT_UNPAUSED:
        return "unpause";
    case CONTAINER_EVENT_REMOVED:
        return "destroy";
    case CONTAINER_EVENT_HEALTH:
        return info->health == HEALTH_HEALTHY     ? "health_status: healthy"
               : info->health == HEALTH_UNHEALTHY ? "health_status: unhealthy"
                                                  : NULL;
    }
    return NULL;
}

/* Nobody waits for it; a failure is the runtime's to log. */
static void on_removed(void *owner, int err, const char *message)
{
    (void)owner;
    (void)err;
    (void)message;
}

void api_on_container(struct api *api, enum container_event_kind kind,
                      const struct container_info *info)
{
    const char *action = container_action(kind, info);
    json_t *attributes;

    if (kind == CONTAINER_EVENT_EXITED &&
        str_map_get(&info->spec->labels, CONTAINER_LABEL_AUTO_REMOVE) != NULL)
        runtime_container_remove(api->cfg.runtime, info->spec->id, REMOVE_FORCE_VOLUMES, on_removed,
                                 NULL);
    waits_on_container(api, kind, info);
    if (action == NULL)
        return;
    attributes = json_object();
    for (size_t i = 0; i < info->spec->labels.count; i++)
        add_text(attributes, info->spec->labels.items[i].key, info->spec->labels.items[i].value);
    add_text(attributes, "name", info->spec->name);
    add_text(attributes, "image", info->spec->image);
    if (kind == CONTAINER_EVENT_EXITED)
        (void)json_object_set_new(attributes, "exitCode", json_sprintf("%d", info->exit_code));
    publish(api, "container", action, info->spec->id, "local", attributes);
}

/* --- The request ---------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void let_go(struct request *r)
{
    struct listener *l = r->stream.source;

    filters_deinit(&l->filters);
    if (l->timer != NULL)
        uv_close((uv_handle_t *)l->timer, on_timer_closed);
    free(l);
    r->stream.source = NULL;
}

static void on_until(uv_timer_t *timer)
{
    stream_end(timer->data);
}

static int start_until(struct request *r, struct listener *l)
{
    wall_ns now = api_wall_now();
    uint64_t wait_ms = l->until > now ? (uint64_t)(l->until - now) / NS_PER_MS + 1 : 0;
    int rc;

    l->timer = malloc(sizeof(*l->timer));
    if (l->timer == NULL)
        return -ENOMEM;
    rc = uv_timer_init(r->api->cfg.loop, l->timer);
    if (rc < 0) {
        free(l->timer);
        l->timer = NULL;
        return rc;
    }
    l->timer->data = r;
    return uv_timer_start(l->timer, on_until, wait_ms, 0);
}

void handle_events(struct request *r)
{
    static const char *const known[] = { "config",  "container", "daemon", "event", "image",
                                         "label",   "network",   "node",   "scope", "secret",
                                         "service", "type",      "volume", NULL };
    struct events *e = &r->api->events;
    struct listener *l;
    struct filters f;
    wall_ns since, until;

    if (!request_moment(r, "since", &since) || !request_moment(r, "until", &until)) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "invalid since or until: give seconds, a time as 2026-11-23T10:00:00Z, or how "
                     "long ago as 10m");
        return;
    }
    if (!request_filters(r, &f, known))
        return;
    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        filters_deinit(&f);
        reply_error(r, -ENOMEM, NULL);
        return;
    }
    l->filters = f;
    l->until = until;
    r->stream.source = l;
    r->stream.on_gone = let_go;
    if (!stream_open(r, "application/json")) {
        let_go(r);
        return;
    }
    for (size_t i = 0; since > 0 && i < API_EVENTS_KEPT; i++) {
        json_t *event = e->kept[(e->next + i) % API_EVENTS_KEPT];

        if (event != NULL && event_time(event) >= since &&
            (until == 0 || event_time(event) <= until))
            send_event(r, event);
    }
    if (until > 0 && start_until(r, l) < 0)
        stream_end(r);
}
