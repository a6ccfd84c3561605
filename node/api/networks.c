/* node/api/networks.c - /networks. Docker's network JSON is older than the cluster's and differs.
 */
#include <stdio.h>

#include "base/err.h"
#include "base/time_text.h"
#include "node/api/api_impl.h"
#include "node/api/list_json.h"
#include "node/api/map_json.h"

#define VNI_OPTION "com.docker.network.driver.overlay.vxlanid_list"

static json_t *subnets_json(const struct network *n)
{
    const struct subnet_config_list *asked = n->spec.ipam != NULL ? &n->spec.ipam->configs : NULL;
    const struct subnet_config_list *list =
        n->subnets.count > 0 || asked == NULL ? &n->subnets : asked;
    json_t *json = json_array();

    for (size_t i = 0; i < list->count; i++) {
        json_t *one = NULL;

        (void)!fields_to_json(&subnet_config_type, &list->items[i], FIELDS_JSON_PLAIN, &one);
        list_json_add(&json, one); /* NULL: no memory */
    }
    return json;
}

static json_t *network_json(const struct network *n)
{
    const struct network_spec *s = &n->spec;
    json_t *options = map_json(&s->options);
    char created[TIME_TEXT_MAX], vni[16];

    time_format(n->created_at, created);
    (void)snprintf(vni, sizeof(vni), "%u", n->vni);
    if (n->vni > 0 && json_object_set_new(options, VNI_OPTION, json_string(vni)) < 0) {
        json_decref(options);
        options = NULL;
    }
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:{s:s,s:n,s:o},s:b,s:b,s:b,s:{s:s},s:b,s:n,s:o,s:o}", "Name",
        s->name, "Id", n->id.text, "Created", created, "Scope", "swarm", "Driver",
        s->driver != NULL ? s->driver : "overlay", "EnableIPv4", 1, "EnableIPv6", s->enable_ipv6,
        "IPAM", "Driver", "default", "Options", "Config", subnets_json(n), "Internal", s->internal,
        "Attachable", s->attachable, "Ingress", s->ingress, "ConfigFrom", "Network", "",
        "ConfigOnly", 0, "Containers", "Options", options, "Labels", map_json(&s->labels));
}

static bool is_used(const struct store *store, const struct network *n)
{
    struct store_iter it;

    STORE_EACH(&it, store, OBJECT_SERVICE, struct service, s)
    {
        for (size_t i = 0; i < s->endpoint.virtual_ips.count; i++) {
            if (id_equal(&s->endpoint.virtual_ips.items[i].network_id, &n->id))
                return true;
        }
        for (size_t i = 0; i < s->spec.task.networks.count; i++) {
            const char *target = s->spec.task.networks.items[i].target;

            if (strcmp(target, n->id.text) == 0 || strcmp(target, n->spec.name) == 0)
                return true;
        }
    }
    STORE_EACH(&it, store, OBJECT_TASK, struct task, t)
    {
        for (size_t i = 0; i < t->attachments.count; i++) {
            if (id_equal(&t->attachments.items[i].network_id, &n->id))
                return true;
        }
    }
    return n->spec.ingress;
}

static bool is_wanted(const struct filters *f, const struct store *store, const struct network *n)
{
    const char *driver = n->spec.driver != NULL ? n->spec.driver : "overlay";

    return !n->pending_delete && filters_prefix(f, "id", n->id.text) &&
           filters_part(f, "name", n->spec.name) && filters_exact(f, "driver", driver) &&
           filters_exact(f, "scope", "swarm") &&
           filters_exact(f, "type", n->spec.ingress ? "builtin" : "custom") &&
           filters_labels(f, "label", &n->spec.labels) &&
           (!filters_has(f, "dangling") ||
            filters_exact(f, "dangling", is_used(store, n) ? "false" : "true"));
}

void handle_network_list(struct request *r)
{
    static const char *const known[] = { "dangling", "driver", "id",   "label",
                                         "name",     "scope",  "type", NULL };
    const struct store *store = request_store(r);
    struct filters f;
    struct store_iter it;
    json_t *list;

    if (!request_filters(r, &f, known))
        return;
    list = json_array();
    for (const struct object *o = store == NULL ? NULL : store_first(store, OBJECT_NETWORK, &it);
         o != NULL; o = store_next(&it)) {
        const struct network *n = (const struct network *)(const void *)o;

        if (is_wanted(&f, store, n))
            list_json_add(&list, network_json(n));
    }
    filters_deinit(&f);
    reply_json(r, MHD_HTTP_OK, list);
}

void handle_network_create(struct request *r)
{
    struct network_spec spec = { 0 };
    struct admit a = { 0 };
    struct id id = { 0 };
    int rc;

    if (!request_parse(r, &network_spec_type, &spec))
        return;
    /* Clients that mean the default send the driver of single hosts. */
    request_admit(r, &a);
    if (spec.driver == NULL || spec.driver[0] == '\0')
        rc = str_set(&spec.driver, "overlay");
    else
        rc = 0;
    if (rc == 0)
        rc = admit_network_create(&a, &spec, &id);
    fields_deinit(&network_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_CREATED, json_pack("{s:s,s:s}", "Id", id.text, "Warning", ""));
}

static const struct network *find_network(struct request *r)
{
    const char *scope = request_query(r, "scope");

    if (request_store(r) == NULL ||
        (scope != NULL && scope[0] != '\0' && strcmp(scope, "swarm") != 0)) {
        reply_status(r, MHD_HTTP_NOT_FOUND, "network %s not found", r->args[0]);
        return NULL;
    }
    return (const struct network *)(const void *)request_object(r, OBJECT_NETWORK);
}

void handle_network_inspect(struct request *r)
{
    const struct network *n = find_network(r);

    if (n != NULL)
        reply_json(r, MHD_HTTP_OK, network_json(n));
}

void handle_network_remove(struct request *r)
{
    const struct network *n = find_network(r);
    struct admit a = { 0 };

    if (n == NULL)
        return;
    request_admit(r, &a);
    request_commit(r, admit_network_remove(&a, &n->id), MHD_HTTP_NO_CONTENT, NULL);
}

/* Removes what no service and no task refers to, all in one transaction. */
void handle_network_prune(struct request *r)
{
    static const char *const known[] = { "label", "until", NULL };
    const struct store *store = request_store(r);
    struct admit a = { 0 };
    struct filters f;
    struct store_iter it;
    wall_ns until;
    json_t *names;
    int rc = 0;

    if (!request_filters(r, &f, known) || !prune_until(r, &f, &until))
        return;
    names = json_array();
    if (store == NULL) {
        filters_deinit(&f);
        reply_json(r, MHD_HTTP_OK, json_pack("{s:o}", "NetworksDeleted", names));
        return;
    }
    request_admit(r, &a);
    STORE_EACH(&it, store, OBJECT_NETWORK, struct network, n)
    {
        if (rc < 0 || n->created_at > until || is_used(store, n) ||
            !filters_labels(&f, "label", &n->spec.labels))
            continue;
        rc = admit_network_remove(&a, &n->id);
        if (rc == 0 && json_array_append_new(names, json_string(n->spec.name)) < 0)
            rc = -ENOMEM;
    }
    filters_deinit(&f);
    if (rc == 0 && json_array_size(names) == 0)
        reply_json(r, MHD_HTTP_OK, json_pack("{s:o}", "NetworksDeleted", names));
    else
        request_commit(r, rc, MHD_HTTP_OK, json_pack("{s:o}", "NetworksDeleted", names));
}
