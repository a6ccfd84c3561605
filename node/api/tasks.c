/* node/api/tasks.c - /tasks. */
#include <stdio.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/list_json.h"

static json_t *attachments_json(const struct store *store, const struct task *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->attachments.count; i++) {
        const struct attachment *a = &t->attachments.items[i];
        const struct network *n = store_network(store, &a->network_id);
        json_t *addresses = json_array();

        if (a->addr != NULL)
            list_json_add(&addresses, json_string(a->addr));
        if (a->addr6 != NULL)
            list_json_add(&addresses, json_string(a->addr6));
        list_json_add(&list, json_pack("{s:{s:s,s:{s:I},s:{s:s*,s:b,s:s}},s:o}", "Network", "ID",
                                       a->network_id.text, "Version", "Index",
                                       (json_int_t)(n != NULL ? n->version.index : 0), "Spec",
                                       "Name", n != NULL ? n->spec.name : NULL, "Ingress",
                                       n != NULL && n->spec.ingress, "Scope", "swarm", "Addresses",
                                       addresses));
    }
    return list;
}

static json_t *task_json(const struct store *store, const struct task *t)
{
    json_t *json = NULL;

    if (fields_to_json(&task_type, t, FIELDS_JSON_PLAIN, &json) < 0)
        return NULL;
    if (t->attachments.count > 0 &&
        json_object_set_new(json, "NetworksAttachments", attachments_json(store, t)) < 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* "web.1.abc", "web.1" or "web": how people see tasks. */
static bool has_name(const struct filters *f, const struct task *t, const struct service *s)
{
    const char *service = s != NULL ? s->spec.name : t->service_name;
    char name[OBJECT_NAME_LEN_MAX + 64];

    if (t->slot > 0)
        (void)snprintf(name, sizeof(name), "%s.%llu.%s", service != NULL ? service : "",
                       (unsigned long long)t->slot, t->id.text);
    else
        (void)snprintf(name, sizeof(name), "%s.%s.%s", service != NULL ? service : "",
                       t->node_id.text, t->id.text);
    return filters_prefix(f, "name", name);
}

/* Clients give a service's or node's name as well as its id. */
static bool has_service(const struct filters *f, const struct task *t, const struct service *s)
{
    return filters_prefix(f, "service", t->service_id.text) ||
           (s != NULL && filters_exact(f, "service", s->spec.name));
}

static bool has_node(const struct filters *f, const struct store *store, const struct task *t)
{
    const struct node *n = store_node(store, &t->node_id);

    if (!filters_has(f, "node"))
        return true;
    return (!id_is_none(&t->node_id) && filters_prefix(f, "node", t->node_id.text)) ||
           (n != NULL && n->description.hostname != NULL &&
            filters_exact(f, "node", n->description.hostname));
}

static const char *desired_text(const struct task *t)
{
    return t->desired_state >= TASK_SHUTDOWN  ? "shutdown"
           : t->desired_state >= TASK_RUNNING ? "running"
                                              : "accepted";
}

static bool is_wanted(const struct filters *f, const struct store *store, const struct task *t)
{
    const struct service *s = store_service(store, &t->service_id);

    if (filters_has(f, "_up-to-date") && s != NULL && t->spec_version != s->spec_version &&
        filters_exact(f, "_up-to-date", "true"))
        return false;
    return filters_prefix(f, "id", t->id.text) && has_name(f, t, s) && has_service(f, t, s) &&
           has_node(f, store, t) && filters_exact(f, "desired-state", desired_text(t)) &&
           filters_exact(f, "runtime", "container") &&
           (filters_labels(f, "label", &t->labels) ||
            (t->spec.container != NULL && filters_labels(f, "label", &t->spec.container->labels)));
}

/* Whether the filter names one service exactly: then its tasks are found by index, which is what
 * clients that wait for a service ask five times a second. */
static const struct service *only_service(const struct filters *f, const struct store *store)
{
    struct id id;

    if (filters_count(f, "service") != 1 ||
        id_parse(slice_of_str(filters_value(f, "service", 0)), &id) < 0)
        return NULL;
    return store_service(store, &id);
}

static void append(json_t **list, const struct filters *f, const struct store *store,
                   const struct task *t)
{
    if (is_wanted(f, store, t))
        list_json_add(list, task_json(store, t));
}

void handle_task_list(struct request *r)
{
    static const char *const known[] = { "id",      "label",   "name",          "node",
                                         "service", "runtime", "desired-state", "_up-to-date",
                                         NULL };
    const struct store *store = request_store(r);
    const struct service *only;
    struct filters f;
    struct store_iter it;
    json_t *list;

    if (!request_filters(r, &f, known))
        return;
    list = json_array();
    only = only_service(&f, store);
    if (only != NULL) {
        STORE_EACH_OF_SERVICE(&it, store, &only->id, t)
        append(&list, &f, store, t);
    } else {
        STORE_EACH(&it, store, OBJECT_TASK, struct task, t)
        append(&list, &f, store, t);
    }
    filters_deinit(&f);
    reply_json(r, MHD_HTTP_OK, list);
}

void handle_task_inspect(struct request *r)
{
    const struct object *t = request_object(r, OBJECT_TASK);

    if (t != NULL)
        reply_json(r, MHD_HTTP_OK,
                   task_json(request_store(r), (const struct task *)(const void *)t));
}
