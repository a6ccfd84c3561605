/* Tables by id, indices by name, service and node, and an undo log for one transaction.
 *
 * Applying goes change by change; when one is refused, those before it are undone in
 * reverse. Objects that a transaction replaced or removed live until the next apply, because
 * its changes borrow them. */
#include "node/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/omap.h"

#define SNAPSHOT_FORMAT 1

struct store {
    struct omap tables[OBJECT_KIND_MAX + 1]; /* id -> object */
    struct omap names[OBJECT_KIND_MAX + 1];  /* name -> object, of kinds that have names */
    struct omap by_service;                  /* service id, task id -> task */
    struct omap by_node;                     /* node id, task id -> task */
    uint64_t applied;
    struct store_change *changes; /* of the last transaction; owns what is no longer stored */
    size_t change_count;
};

/* --- Indices. Keys of the two-part indices are the two ids side by side. */

struct pair_key {
    char text[2 * ID_LEN];
};

static struct slice pair_key(struct pair_key *key, const struct id *owner, const struct id *id)
{
    memcpy(key->text, owner->text, ID_LEN);
    memcpy(key->text + ID_LEN, id->text, ID_LEN);
    return slice_of(key->text, sizeof(key->text));
}

static const struct task *as_task(const struct object *object)
{
    return (const struct task *)(const void *)object;
}

static void unindex(struct store *s, unsigned kind, const struct object *object)
{
    const char *name = object_name(kind, object);
    struct pair_key key;

    (void)omap_remove(&s->tables[kind], id_slice(&object->id)); /* may not be there yet */
    if (name != NULL && omap_get(&s->names[kind], slice_of_str(name)) == object)
        (void)omap_remove(&s->names[kind], slice_of_str(name));
    if (kind == OBJECT_TASK) {
        const struct task *task = as_task(object);

        (void)omap_remove(&s->by_service, pair_key(&key, &task->service_id, &task->id));
        (void)omap_remove(&s->by_node, pair_key(&key, &task->node_id, &task->id));
    }
}

/* Puts the object into every index it belongs to, or into none. */
static int index_object(struct store *s, unsigned kind, struct object *object)
{
    const char *name = object_name(kind, object);
    struct pair_key key;
    int rc;

    rc = omap_set(&s->tables[kind], id_slice(&object->id), object);
    if (rc == 0 && name != NULL)
        rc = omap_set(&s->names[kind], slice_of_str(name), object);
    if (rc == 0 && kind == OBJECT_TASK) {
        const struct task *task = as_task(object);

        if (!id_is_none(&task->service_id))
            rc = omap_set(&s->by_service, pair_key(&key, &task->service_id, &task->id), object);
        if (rc == 0 && !id_is_none(&task->node_id))
            rc = omap_set(&s->by_node, pair_key(&key, &task->node_id, &task->id), object);
    }
    if (rc < 0)
        unindex(s, kind, object);
    return rc;
}

/* --- Life */

int store_new(struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    for (unsigned kind = 0; kind <= OBJECT_KIND_MAX; kind++) {
        omap_init(&s->tables[kind]);
        omap_init(&s->names[kind]);
    }
    omap_init(&s->by_service);
    omap_init(&s->by_node);
    *out = s;
    return 0;
}

static void release_changes(struct store *s)
{
    for (size_t i = 0; i < s->change_count; i++) {
        union {
            const struct object *shared;
            struct object *owned; /* `before` left the tables: nobody else has it */
        } before = { .shared = s->changes[i].before };

        object_free(s->changes[i].kind, before.owned);
    }
    free(s->changes);
    s->changes = NULL;
    s->change_count = 0;
}

static void clear(struct store *s)
{
    release_changes(s);
    for (unsigned kind = 0; kind <= OBJECT_KIND_MAX; kind++) {
        for (const struct omap_node *n = omap_first(&s->tables[kind]); n != NULL; n = omap_next(n))
            object_free(kind, omap_value(n));
        omap_deinit(&s->tables[kind]);
        omap_deinit(&s->names[kind]);
    }
    omap_deinit(&s->by_service);
    omap_deinit(&s->by_node);
}

void store_free(struct store *s)
{
    if (s == NULL)
        return;
    clear(s);
    free(s);
}

/* --- Applying */

static void blame(struct field_error *culprit, const struct change *c, const char *name,
                  const char *what)
{
    if (culprit != NULL)
        (void)snprintf(culprit->text, sizeof(culprit->text), "%s %s%s%s: %s",
                       object_kind_text(c->kind), name != NULL ? name : "", name != NULL ? " " : "",
                       c->id.text, what);
}

static int decode_change(const struct change *c, uint64_t index, wall_ns at,
                         const struct object *before, struct object **out,
                         struct field_error *culprit)
{
    struct object *object = object_new(c->kind);
    int rc;

    if (object == NULL)
        return -ENOMEM;
    rc = fields_decode(object_kind_type(c->kind), bytes_slice(&c->object), object, culprit);
    if (rc < 0) {
        free(object);
        return rc;
    }
    if (!id_equal(&object->id, &c->id)) {
        blame(culprit, c, NULL, "carries another object");
        object_free(c->kind, object);
        return ERR_MALFORMED;
    }
    object->version.index = index;
    object->updated_at = at;
    object->created_at = before == NULL ? at : before->created_at;
    *out = object;
    return 0;
}

/* What of the log does not depend on its author's good will. */
static int check_change(const struct change *c, uint64_t index, const struct object *before,
                        struct field_error *culprit)
{
    if (c->op == CHANGE_CREATE && before != NULL) {
        blame(culprit, c, NULL, "already exists");
        return ERR_EXISTS;
    }
    if (c->op != CHANGE_CREATE && before == NULL) {
        blame(culprit, c, NULL, "no such object");
        return ERR_NOT_FOUND;
    }
    if (before != NULL && before->version.index == index) {
        blame(culprit, c, NULL, "is changed twice in one transaction");
        return ERR_MALFORMED;
    }
    if (before != NULL && c->based_on != 0 && c->based_on != before->version.index) {
        blame(culprit, c, NULL, "was changed by somebody else in the meantime");
        return ERR_STALE;
    }
    return 0;
}

static int apply_change(struct store *s, const struct change *c, uint64_t index, wall_ns at,
                        struct store_change *out, struct field_error *culprit)
{
    struct object *before, *after = NULL;
    const struct object *holder;
    int rc;

    if (object_kind_type(c->kind) == NULL)
        return ERR_MALFORMED;
    before = omap_get(&s->tables[c->kind], id_slice(&c->id));
    rc = check_change(c, index, before, culprit);
    if (rc < 0)
        return rc;
    if (c->op != CHANGE_REMOVE) {
        const char *name;

        rc = decode_change(c, index, at, before, &after, culprit);
        if (rc < 0)
            return rc;
        name = object_name(c->kind, after);
        holder = name == NULL ? NULL : store_find_name(s, c->kind, name);
        if (holder != NULL && holder != before) {
            blame(culprit, c, name, "the name is in use");
            object_free(c->kind, after);
            return ERR_EXISTS;
        }
    }
    if (before != NULL)
        unindex(s, c->kind, before);
    if (after != NULL) {
        rc = index_object(s, c->kind, after);
        if (rc < 0) { /* out of memory: the caller stops the manager, `before` just stays owned */
            object_free(c->kind, after);
            object_free(c->kind, before);
            return rc;
        }
    }
    *out = (struct store_change){ .kind = c->kind, .before = before, .after = after };
    return 0;
}

/* Undoing needs memory for index nodes that were just freed; without it the state is lost. */
static int undo_changes(struct store *s)
{
    int rc = 0;

    while (s->change_count > 0) {
        struct store_change *c = &s->changes[--s->change_count];
        union {
            const struct object *shared;
            struct object *owned;
        } before = { .shared = c->before }, after = { .shared = c->after };

        if (after.owned != NULL) {
            unindex(s, c->kind, after.owned);
            object_free(c->kind, after.owned);
        }
        if (before.owned != NULL && rc == 0)
            rc = index_object(s, c->kind, before.owned);
        if (rc < 0)
            object_free(c->kind, before.owned); /* in no table any more */
    }
    return rc;
}

int store_apply(struct store *s, uint64_t index, const struct transaction *t,
                struct store_changes *out, struct field_error *culprit)
{
    int rc = 0;

    CHECK(index > s->applied);
    release_changes(s);
    s->applied = index;
    *out = (struct store_changes){ 0 };
    if (t->changes.count == 0)
        return 0;
    s->changes = calloc(t->changes.count, sizeof(*s->changes));
    if (s->changes == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->changes.count && rc == 0; i++) {
        rc = apply_change(s, &t->changes.items[i], index, t->at, &s->changes[s->change_count],
                          culprit);
        if (rc == 0)
            s->change_count++;
    }
    if (rc < 0) {
        int undone = undo_changes(s);

        release_changes(s);
        return undone < 0 ? undone : rc;
    }
    *out = (struct store_changes){ .items = s->changes, .count = s->change_count };
    return 0;
}

uint64_t store_applied(const struct store *s)
{
    return s->applied;
}

void store_set_applied(struct store *s, uint64_t index)
{
    CHECK(index >= s->applied);
    s->applied = index;
}

/* --- Reading */

const struct object *store_get(const struct store *s, unsigned kind, const struct id *id)
{
    CHECK(kind <= OBJECT_KIND_MAX);
    return omap_get(&s->tables[kind], id_slice(id));
}

const struct object *store_find_name(const struct store *s, unsigned kind, const char *name)
{
    CHECK(kind <= OBJECT_KIND_MAX);
    return omap_get(&s->names[kind], slice_of_str(name));
}

size_t store_count(const struct store *s, unsigned kind)
{
    CHECK(kind <= OBJECT_KIND_MAX);
    return s->tables[kind].count;
}

const struct cluster *store_the_cluster(const struct store *s)
{
    struct store_iter it;

    return (const struct cluster *)(const void *)store_first(s, OBJECT_CLUSTER, &it);
}

const struct object *store_first(const struct store *s, unsigned kind, struct store_iter *it)
{
    CHECK(kind <= OBJECT_KIND_MAX);
    *it = (struct store_iter){ .at = omap_first(&s->tables[kind]) };
    return it->at == NULL ? NULL : omap_value(it->at);
}

const struct object *store_next(struct store_iter *it)
{
    it->at = omap_next(it->at);
    return it->at == NULL ? NULL : omap_value(it->at);
}

static const struct task *first_owned(const struct omap *index, const struct id *owner,
                                      struct store_iter *it)
{
    *it = (struct store_iter){ .at = omap_lower_bound(index, id_slice(owner)), .owner = *owner };
    if (id_is_none(owner) || it->at == NULL || !omap_has_prefix(it->at, id_slice(owner)))
        return NULL;
    return omap_value(it->at);
}

const struct task *store_first_of_service(const struct store *s, const struct id *service,
                                          struct store_iter *it)
{
    return first_owned(&s->by_service, service, it);
}

const struct task *store_first_of_node(const struct store *s, const struct id *node,
                                       struct store_iter *it)
{
    return first_owned(&s->by_node, node, it);
}

const struct task *store_next_task(struct store_iter *it)
{
    it->at = omap_next(it->at);
    if (it->at == NULL || !omap_has_prefix(it->at, id_slice(&it->owner)))
        return NULL;
    return omap_value(it->at);
}

/* --- Snapshots: a header, then each object as kind (1 byte), length (4 bytes), bytes. */

static int put_u32(struct buf *out, uint32_t v)
{
    const uint8_t bytes[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                               (uint8_t)(v >> 24) };

    return buf_append(out, bytes, sizeof(bytes));
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#define SNAPSHOT_HEADER_LEN 12 /* format, applied index low and high */

static int snapshot_object(unsigned kind, const struct object *object, struct buf *scratch,
                           struct buf *out)
{
    int rc;

    buf_clear(scratch);
    rc = fields_encode(object_kind_type(kind), object, scratch, NULL);
    if (rc == 0)
        rc = buf_append_byte(out, (uint8_t)kind);
    if (rc == 0)
        rc = put_u32(out, (uint32_t)scratch->len);
    if (rc == 0)
        rc = buf_append_slice(out, buf_slice(scratch));
    return rc;
}

int store_snapshot(const struct store *s, struct buf *out)
{
    struct buf scratch;
    int rc;

    buf_init(&scratch, out->limit);
    rc = put_u32(out, SNAPSHOT_FORMAT);
    if (rc == 0)
        rc = put_u32(out, (uint32_t)s->applied);
    if (rc == 0)
        rc = put_u32(out, (uint32_t)(s->applied >> 32));
    for (unsigned kind = 1; kind <= OBJECT_KIND_MAX && rc == 0; kind++)
        for (const struct omap_node *n = omap_first(&s->tables[kind]); n != NULL && rc == 0;
             n = omap_next(n))
            rc = snapshot_object(kind, omap_value(n), &scratch, out);
    buf_deinit(&scratch);
    return rc;
}

int store_load_object(struct store *s, unsigned kind, struct slice encoded)
{
    const struct fields *type = object_kind_type(kind);
    struct object *object;
    const char *name;
    int rc;

    if (type == NULL)
        return ERR_MALFORMED;
    object = object_new(kind);
    if (object == NULL)
        return -ENOMEM;
    rc = fields_decode(type, encoded, object, NULL);
    if (rc < 0) {
        free(object);
        return rc;
    }
    name = object_name(kind, object);
    if (store_get(s, kind, &object->id) != NULL ||
        (name != NULL && store_find_name(s, kind, name) != NULL)) {
        object_free(kind, object);
        return ERR_EXISTS;
    }
    rc = index_object(s, kind, object);
    if (rc < 0)
        object_free(kind, object);
    return rc;
}

static int read_snapshot(struct store *s, struct slice snapshot)
{
    const uint8_t *p = snapshot.ptr, *end = snapshot.ptr + snapshot.len;
    int rc = 0;

    if (snapshot.len < SNAPSHOT_HEADER_LEN || get_u32(p) != SNAPSHOT_FORMAT)
        return ERR_MALFORMED;
    s->applied = (uint64_t)get_u32(p + 4) | (uint64_t)get_u32(p + 8) << 32;
    p += SNAPSHOT_HEADER_LEN;
    while (p < end && rc == 0) {
        size_t left = (size_t)(end - p), len;

        if (left < 5)
            return ERR_MALFORMED;
        len = get_u32(p + 1);
        if (len > left - 5)
            return ERR_MALFORMED;
        rc = store_load_object(s, p[0], slice_of(p + 5, len));
        p += 5 + len;
    }
    return rc == ERR_EXISTS ? ERR_MALFORMED : rc;
}

int store_restore(struct store *s, struct slice snapshot)
{
    struct store *fresh, old;
    int rc;

    rc = store_new(&fresh);
    if (rc < 0)
        return rc;
    rc = read_snapshot(fresh, snapshot);
    if (rc == 0) { /* swap the contents, free the old ones */
        old = *s;
        *s = *fresh;
        *fresh = old;
    }
    store_free(fresh);
    return rc;
}
