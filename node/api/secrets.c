/* node/api/secrets.c - /secrets and /configs: the same requests on two kinds of objects.
 *
 * A secret's data never leaves the managers this way: its field is SECRET, so JSON leaves it
 * out. A config's data does. */
#include "base/err.h"
#include "node/api/api_impl.h"

static const struct str_map *labels_of(unsigned kind, const struct object *o)
{
    return kind == OBJECT_SECRET ? &((const struct secret *)(const void *)o)->spec.labels
                                 : &((const struct config *)(const void *)o)->spec.labels;
}

static void list(struct request *r, unsigned kind)
{
    static const char *const known[] = { "id", "label", "name", "names", NULL };
    struct filters f;
    struct store_iter it;
    json_t *all;

    if (!request_filters(r, &f, known))
        return;
    all = json_array();
    for (const struct object *o = store_first(request_store(r), kind, &it); o != NULL;
         o = store_next(&it)) {
        const char *name = object_name(kind, o);
        json_t *json = NULL;

        if (!filters_prefix(&f, "id", o->id.text) || !filters_prefix(&f, "name", name) ||
            !filters_exact(&f, "names", name) || !filters_labels(&f, "label", labels_of(kind, o)))
            continue;
        if (fields_to_json(object_kind_type(kind), o, FIELDS_JSON_PLAIN, &json) < 0 ||
            json_array_append_new(all, json) < 0) {
            json_decref(all);
            all = NULL;
            break;
        }
    }
    filters_deinit(&f);
    reply_json(r, MHD_HTTP_OK, all);
}

static void inspect(struct request *r, unsigned kind)
{
    const struct object *o = request_object(r, kind);

    if (o != NULL)
        reply_object(r, object_kind_type(kind), o);
}

void handle_secret_list(struct request *r)
{
    list(r, OBJECT_SECRET);
}

void handle_secret_inspect(struct request *r)
{
    inspect(r, OBJECT_SECRET);
}

void handle_secret_create(struct request *r)
{
    struct secret_spec spec = { 0 };
    struct admit a = { 0 };
    struct id id = { 0 };
    int rc;

    if (!request_parse(r, &secret_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_secret_create(&a, &spec, &id);
    fields_deinit(&secret_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_CREATED, json_pack("{s:s}", "ID", id.text));
}

void handle_secret_update(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_SECRET);
    struct secret_spec spec = { 0 };
    struct admit a = { 0 };
    uint64_t version;
    int rc;

    if (o == NULL || !request_version(r, &version) || !request_parse(r, &secret_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_secret_update(&a, &o->id, version, &spec);
    fields_deinit(&secret_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_OK, NULL);
}

void handle_secret_remove(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_SECRET);
    struct admit a = { 0 };

    if (o == NULL)
        return;
    request_admit(r, &a);
    request_commit(r, admit_secret_remove(&a, &o->id), MHD_HTTP_NO_CONTENT, NULL);
}

void handle_config_list(struct request *r)
{
    list(r, OBJECT_CONFIG);
}

void handle_config_inspect(struct request *r)
{
    inspect(r, OBJECT_CONFIG);
}

void handle_config_create(struct request *r)
{
    struct config_spec spec = { 0 };
    struct admit a = { 0 };
    struct id id = { 0 };
    int rc;

    if (!request_parse(r, &config_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_config_create(&a, &spec, &id);
    fields_deinit(&config_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_CREATED, json_pack("{s:s}", "ID", id.text));
}

void handle_config_update(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_CONFIG);
    struct config_spec spec = { 0 };
    struct admit a = { 0 };
    uint64_t version;
    int rc;

    if (o == NULL || !request_version(r, &version) || !request_parse(r, &config_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_config_update(&a, &o->id, version, &spec);
    fields_deinit(&config_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_OK, NULL);
}

void handle_config_remove(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_CONFIG);
    struct admit a = { 0 };

    if (o == NULL)
        return;
    request_admit(r, &a);
    request_commit(r, admit_config_remove(&a, &o->id), MHD_HTTP_NO_CONTENT, NULL);
}
