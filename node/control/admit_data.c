/* Secrets and configs: named, labelled bytes that tasks get as files. Their data never changes;
 * only their labels do. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/control/admit_impl.h"

/* How both of them begin, as every object begins with a struct object. */
struct data_spec {
    char *name;
    struct str_map labels;
    struct bytes data;
};

struct data_object {
    struct object head;
    struct data_spec spec;
};

#define ASSERT_BEGINS_AS_DATA(type)                                                           \
    static_assert(offsetof(struct type, spec) == offsetof(struct data_object, spec), "");     \
    static_assert(offsetof(struct type##_spec, name) == offsetof(struct data_spec, name) &&   \
                      offsetof(struct type##_spec, labels) ==                                 \
                          offsetof(struct data_spec, labels) &&                               \
                      offsetof(struct type##_spec, data) == offsetof(struct data_spec, data), \
                  "a " #type " begins as data does")
ASSERT_BEGINS_AS_DATA(secret);
ASSERT_BEGINS_AS_DATA(config);

struct data_kind {
    unsigned kind;
    const struct fields *spec_type;
    size_t len_max;
    bool (*is_used)(const struct task_container *c, const char *id);
};

static bool uses_secret(const struct task_container *c, const char *id)
{
    for (size_t i = 0; i < c->secrets.count; i++)
        if (strcmp(c->secrets.items[i].secret_id, id) == 0)
            return true;
    return false;
}

static bool uses_config(const struct task_container *c, const char *id)
{
    for (size_t i = 0; i < c->configs.count; i++)
        if (strcmp(c->configs.items[i].config_id, id) == 0)
            return true;
    return false;
}

static const struct data_kind *data_kind(unsigned kind)
{
    static const struct data_kind kinds[] = {
        { OBJECT_SECRET, &secret_spec_type, SECRET_DATA_LEN_MAX, uses_secret },
        { OBJECT_CONFIG, &config_spec_type, CONFIG_DATA_LEN_MAX, uses_config },
    };

    CHECK(kind == OBJECT_SECRET || kind == OBJECT_CONFIG);
    return kind == OBJECT_SECRET ? &kinds[0] : &kinds[1];
}

static const struct data_object *find_data(const struct admit *a, unsigned kind,
                                           const struct id *id)
{
    return (const struct data_object *)(const void *)store_get(a->store, kind, id);
}

/* --- Create */

static int check_data(struct admit *a, const struct data_kind *k, const struct data_spec *spec)
{
    const char *what = object_kind_text(k->kind);
    int rc = check_name(a, what, spec->name);

    if (rc == 0)
        rc = check_free_name(a, k->kind, spec->name);
    if (rc == 0 && (spec->data.len == 0 || spec->data.len > k->len_max))
        rc = refuse(a, ERR_INVALID, "%s data must be larger than 0 and less than %zu bytes", what,
                    k->len_max);
    return rc;
}

int admit_data_create(struct admit *a, unsigned kind, const void *spec, struct id *out_id)
{
    const struct data_kind *k = data_kind(kind);
    int rc = check_data(a, k, spec);
    struct data_object *o;

    if (rc < 0)
        return rc;
    o = (struct data_object *)(void *)object_new(k->kind);
    if (o == NULL)
        return -ENOMEM;
    o->head.id = admit_fresh_id(a);
    rc = fields_copy(k->spec_type, spec, &o->spec);
    if (rc == 0)
        rc = transaction_create(a->out, k->kind, &o->head);
    if (rc == 0)
        *out_id = o->head.id;
    object_free(k->kind, &o->head);
    return rc;
}

/* --- Update */

/* Clients that read a secret and send it back have no data to send. */
static bool only_labels_differ(const struct data_spec *old, const struct data_spec *new)
{
    return strcmp(new->name, old->name) == 0 &&
           (new->data.len == 0 || slice_equal(bytes_slice(&new->data), bytes_slice(&old->data)));
}

static int copy_labels(const struct str_map *from, struct str_map *to)
{
    int rc = 0;

    str_map_clear(to);
    for (size_t i = 0; i < from->count && rc == 0; i++)
        rc = str_map_set(to, from->items[i].key, from->items[i].value);
    return rc;
}

int admit_data_update(struct admit *a, unsigned kind, const struct id *id, uint64_t version,
                      const void *new_spec)
{
    const struct data_object *stored = find_data(a, kind, id);
    const struct data_spec *spec = new_spec;
    struct data_object *copy;
    int rc;

    if (stored == NULL)
        return refuse(a, ERR_NOT_FOUND, "%s %s not found", object_kind_text(kind), id->text);
    rc = check_version(a, &stored->head, version);
    if (rc < 0)
        return rc;
    if (!only_labels_differ(&stored->spec, spec))
        return refuse(a, ERR_INVALID, "only updates to Labels are allowed");
    copy = (struct data_object *)(void *)object_copy(kind, &stored->head);
    if (copy == NULL)
        return -ENOMEM;
    rc = copy_labels(&spec->labels, &copy->spec.labels);
    if (rc == 0)
        rc = transaction_update(a->out, kind, &copy->head);
    object_free(kind, &copy->head);
    return rc;
}

/* --- Remove */

int admit_data_remove(struct admit *a, unsigned kind, const struct id *id)
{
    const struct data_object *stored = find_data(a, kind, id);
    const char *what = object_kind_text(kind);
    struct store_iter it;

    if (stored == NULL)
        return refuse(a, ERR_NOT_FOUND, "%s %s not found", what, id->text);
    STORE_EACH(&it, a->store, OBJECT_SERVICE, struct service, s)
    if (s->spec.task.container != NULL &&
        data_kind(kind)->is_used(s->spec.task.container, id->text))
        return refuse(a, ERR_INVALID, "%s '%s' is in use by the following service: %s", what,
                      stored->spec.name, s->spec.name);
    return transaction_remove(a->out, kind, &stored->head);
}
