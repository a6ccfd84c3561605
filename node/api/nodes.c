/* node/api/nodes.c - /nodes. */
#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/list_json.h"
#include "node/api/tls_info.h"

/* Who leads and who is reachable is not stored: raft knows. */
static json_t *node_json_with(const struct request *r, const struct node *n,
                              const struct id *leader)
{
    const struct api_backend *b = &r->api->cfg.backend;
    json_t *json = NULL, *manager;

    if (fields_to_json(&node_type, n, FIELDS_JSON_PLAIN, &json) < 0)
        return NULL;
    if (json_object_set_new(json_object_get(json, "Description"), "TLSInfo",
                            tls_info_json(n->description.issuer)) < 0) {
        json_decref(json);
        return NULL;
    }
    manager = json_object_get(json, "ManagerStatus");
    if (manager != NULL) {
        bool leads = !id_is_none(leader) && id_equal(leader, &n->id);
        const char *reach = enum_text(&reachability_names, (int)b->reachability(b->ctx, &n->id));
        int rc = leads ? json_object_set_new(manager, "Leader", json_true())
                       : json_object_del(manager, "Leader");

        (void)rc; /* there is nothing to delete when it was never stored */
        if (json_object_set_new(manager, "Reachability", json_string(reach)) < 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

json_t *node_json(const struct request *r, const struct node *n)
{
    struct api_status st;

    request_status(r, &st);
    return node_json_with(r, n, &st.leader);
}

static bool is_wanted(const struct filters *f, const struct node *n)
{
    return filters_prefix(f, "id", n->id.text) &&
           (filters_prefix(f, "name", n->description.hostname) ||
            (n->spec.name != NULL && filters_prefix(f, "name", n->spec.name))) &&
           filters_exact(f, "role", enum_text(&node_role_names, (int)n->spec.role)) &&
           filters_exact(f, "membership", "accepted") && /* others are not in the store */
           filters_labels(f, "label", &n->description.engine.labels) &&
           filters_labels(f, "node.label", &n->spec.labels);
}

void handle_node_list(struct request *r)
{
    static const char *const known[] = { "id",   "label", "node.label", "membership",
                                         "name", "role",  NULL };
    struct api_status st;
    struct filters f;
    struct store_iter it;
    json_t *list;

    if (!request_filters(r, &f, known))
        return;
    request_status(r, &st);
    list = json_array();
    STORE_EACH(&it, request_store(r), OBJECT_NODE, struct node, n)
    {
        if (is_wanted(&f, n))
            list_json_add(&list, node_json_with(r, n, &st.leader));
    }
    filters_deinit(&f);
    reply_json(r, MHD_HTTP_OK, list);
}

/* Nodes are asked for by host name too, and "self" is what this one is. */
static const struct node *find_node(struct request *r)
{
    if (strcmp(r->args[0], "self") == 0) {
        struct api_status st;
        const struct node *n;

        request_status(r, &st);
        n = store_node(request_store(r), &st.node_id);
        if (n != NULL)
            return n;
    }
    return (const struct node *)(const void *)request_object(r, OBJECT_NODE);
}

void handle_node_inspect(struct request *r)
{
    const struct node *n = find_node(r);

    if (n != NULL)
        reply_json(r, MHD_HTTP_OK, node_json(r, n));
}

void handle_node_update(struct request *r)
{
    struct node_spec spec = { 0 };
    struct admit a = { 0 };
    const struct node *n = find_node(r);
    uint64_t version;
    int rc;

    if (n == NULL || !request_version(r, &version) || !request_parse(r, &node_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_node_update(&a, &n->id, version, &spec);
    fields_deinit(&node_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_OK, NULL);
}

void handle_node_remove(struct request *r)
{
    const struct node *n = find_node(r);
    struct admit a = { 0 };

    if (n == NULL)
        return;
    request_admit(r, &a);
    request_commit(
        r, admit_node_remove(&a, &n->id, request_flag(r, "force") ? ADMIT_FORCE : ADMIT_CAREFUL),
        MHD_HTTP_OK, NULL);
}
