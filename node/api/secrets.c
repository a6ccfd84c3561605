/* node/api/secrets.c - /secrets and /configs: the same requests on two kinds of objects.
 *
 * A secret's data never leaves the managers this way: its field is SECRET, so JSON leaves it
 * out. A config's data does. */
#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/list_json.h"

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
        (void)!fields_to_json(object_kind_type(kind), o, FIELDS_JSON_PLAIN, &json);
        list_json_add(&all, json); /* NULL: no memory */
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

/* Either spec. */
union data_spec {
    struct secret_spec secret;
    struct config_spec config;
};

static const struct fields *spec_type(unsigned kind)
{
    return kind == OBJECT_SECRET ? &secret_spec_type : &config_spec_type;
}

static void create(struct request *r, unsigned kind)
{
    union data_spec spec;
    struct admit a = { 0 };
    struct id id = { 0 };
    int rc;

    if (!request_parse(r, spec_type(kind), &spec))
        return;
    request_admit(r, &a);
    rc = admit_data_create(&a, kind, &spec, &id);
    fields_deinit(spec_type(kind), &spec);
    request_commit(r, rc, MHD_HTTP_CREATED, json_pack("{s:s}", "ID", id.text));
}

static void update(struct request *r, unsigned kind)
{
    const struct object *o = request_object(r, kind);
    union data_spec spec;
    struct admit a = { 0 };
    uint64_t version;
    int rc;

    if (o == NULL || !request_version(r, &version) || !request_parse(r, spec_type(kind), &spec))
        return;
    request_admit(r, &a);
    rc = admit_data_update(&a, kind, &o->id, version, &spec);
    fields_deinit(spec_type(kind), &spec);
    request_commit(r, rc, MHD_HTTP_OK, NULL);
}

static void discard(struct request *r, unsigned kind)
{
    const struct object *o = request_object(r, kind);
    struct admit a = { 0 };

    if (o == NULL)
        return;
    request_admit(r, &a);
    request_commit(r, admit_data_remove(&a, kind, &o->id), MHD_HTTP_NO_CONTENT, NULL);
}

#define HANDLERS(name, kind)                        \
    void handle_##name##_list(struct request *r)    \
    {                                               \
        list(r, kind);                              \
    }                                               \
    void handle_##name##_inspect(struct request *r) \
    {                                               \
        inspect(r, kind);                           \
    }                                               \
    void handle_##name##_create(struct request *r)  \
    {                                               \
        create(r, kind);                            \
    }                                               \
    void handle_##name##_update(struct request *r)  \
    {                                               \
        update(r, kind);                            \
    }                                               \
    void handle_##name##_remove(struct request *r)  \
    {                                               \
        discard(r, kind);                           \
    }
HANDLERS(secret, OBJECT_SECRET)
HANDLERS(config, OBJECT_CONFIG)
