#include "node/control/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

#define ARENA_LEN_MAX (256 * MIB)

struct plan_entry {
    enum change_op op;
    struct object *object; /* owned; NULL when removed */
};

void plan_init(struct plan *p, const struct store *s, struct control_time now, struct prng *rng)
{
    *p = (struct plan){ .store = s, .now = now, .rng = rng, .deadline = MONO_NEVER };
    arena_init(&p->arena, ARENA_LEN_MAX);
    for (unsigned kind = 0; kind <= OBJECT_KIND_MAX; kind++)
        omap_init(&p->changed[kind]);
}

void plan_deinit(struct plan *p)
{
    for (unsigned kind = 0; kind <= OBJECT_KIND_MAX; kind++) {
        for (const struct omap_node *n = omap_first(&p->changed[kind]); n != NULL;
             n = omap_next(n)) {
            struct plan_entry *e = omap_value(n);

            object_free(kind, e->object);
            free(e);
        }
        omap_deinit(&p->changed[kind]);
    }
    arena_deinit(&p->arena);
}

static struct plan_entry *find(const struct plan *p, unsigned kind, const struct id *id)
{
    return omap_get(&p->changed[kind], id_slice(id));
}

const struct object *plan_get(const struct plan *p, unsigned kind, const struct id *id)
{
    const struct plan_entry *e = id_is_none(id) ? NULL : find(p, kind, id);

    if (e != NULL)
        return e->object;
    return id_is_none(id) ? NULL : store_get(p->store, kind, id);
}

/* Takes `object`. NULL and p->err: no memory. */
static struct plan_entry *add(struct plan *p, unsigned kind, const struct id *id, enum change_op op,
                              struct object *object)
{
    struct plan_entry *e = calloc(1, sizeof(*e));

    if (e == NULL || omap_set(&p->changed[kind], id_slice(id), e) < 0) {
        free(e);
        object_free(kind, object);
        p->err = -ENOMEM;
        return NULL;
    }
    e->op = op;
    e->object = object;
    return e;
}

struct object *plan_edit(struct plan *p, unsigned kind, const struct id *id)
{
    struct plan_entry *e = find(p, kind, id);
    const struct object *stored;
    struct object *copy;

    if (e != NULL)
        return e->object;
    stored = store_get(p->store, kind, id);
    if (stored == NULL)
        return NULL;
    copy = object_copy(kind, stored);
    if (copy == NULL) {
        p->err = -ENOMEM;
        return NULL;
    }
    e = add(p, kind, id, CHANGE_UPDATE, copy);
    return e == NULL ? NULL : e->object;
}

struct object *plan_create(struct plan *p, unsigned kind)
{
    struct object *object = object_new(kind);
    uint8_t bits[ID_RANDOM_LEN];
    struct plan_entry *e;

    if (object == NULL) {
        p->err = -ENOMEM;
        return NULL;
    }
    prng_bytes(p->rng, bits, sizeof(bits));
    object->id = id_from_random(bits);
    object->created_at = object->updated_at = p->now.wall;
    e = add(p, kind, &object->id, CHANGE_CREATE, object);
    return e == NULL ? NULL : e->object;
}

void plan_remove(struct plan *p, unsigned kind, const struct id *id)
{
    struct id copy = *id; /* it may lie in the object that goes */
    struct plan_entry *e = find(p, kind, &copy);

    if (e == NULL) {
        (void)add(p, kind, &copy, CHANGE_REMOVE, NULL); /* p->err says if it failed */
        return;
    }
    object_free(kind, e->object);
    e->object = NULL;
    if (e->op == CHANGE_CREATE) {
        (void)omap_remove(&p->changed[kind], id_slice(&copy));
        free(e);
        return;
    }
    e->op = CHANGE_REMOVE;
}

void plan_wake_at(struct plan *p, wall_ns when)
{
    mono_ns delay = when <= p->now.wall ? 0 : (mono_ns)(when - p->now.wall);

    p->deadline = MIN(p->deadline, mono_after(p->now.mono, delay));
}

/* --- Lists */

typedef bool (*belongs)(const struct object *object, const struct id *owner);

static bool of_service(const struct object *object, const struct id *owner)
{
    return id_equal(&((const struct task *)(const void *)object)->service_id, owner);
}

static bool of_node(const struct object *object, const struct id *owner)
{
    return id_equal(&((const struct task *)(const void *)object)->node_id, owner);
}

static size_t add_created(struct plan *p, unsigned kind, belongs filter, const struct id *owner,
                          const struct object **items, size_t count)
{
    for (const struct omap_node *n = omap_first(&p->changed[kind]); n != NULL; n = omap_next(n)) {
        const struct plan_entry *e = omap_value(n);

        if (e->object == NULL || e->op != CHANGE_CREATE)
            continue;
        if (filter == NULL || filter(e->object, owner))
            items[count++] = e->object;
    }
    return count;
}

static const struct object **list_memory(struct plan *p, size_t count)
{
    const struct object **items = arena_alloc(&p->arena, count + 1, sizeof(*items));

    if (items == NULL)
        p->err = -ENOMEM;
    return items;
}

struct objects_view plan_all(struct plan *p, unsigned kind)
{
    size_t room = store_count(p->store, kind) + p->changed[kind].count;
    struct objects_view list = { .items = list_memory(p, room) };
    struct store_iter it;

    if (list.items == NULL)
        return list;
    for (const struct object *o = store_first(p->store, kind, &it); o != NULL;
         o = store_next(&it)) {
        const struct object *seen = plan_get(p, kind, &o->id);

        if (seen != NULL)
            list.items[list.count++] = seen;
    }
    list.count = add_created(p, kind, NULL, NULL, list.items, list.count);
    return list;
}

static struct tasks_view
tasks_of(struct plan *p, const struct id *owner, belongs filter,
         const struct task *(*first)(const struct store *, const struct id *, struct store_iter *))
{
    struct objects_view list = { 0 };
    struct store_iter it;
    size_t room = p->changed[OBJECT_TASK].count;

    for (const struct task *t = first(p->store, owner, &it); t != NULL; t = store_next_task(&it))
        room++;
    list.items = list_memory(p, room);
    if (list.items == NULL)
        return (struct tasks_view){ 0 };
    for (const struct task *t = first(p->store, owner, &it); t != NULL; t = store_next_task(&it)) {
        const struct object *seen = plan_get(p, OBJECT_TASK, &t->id);

        if (seen != NULL && filter(seen, owner))
            list.items[list.count++] = seen;
    }
    list.count = add_created(p, OBJECT_TASK, filter, owner, list.items, list.count);
    return (struct tasks_view){ (const struct task **)(void *)list.items, list.count };
}

struct tasks_view plan_tasks_of_service(struct plan *p, const struct id *service)
{
    return tasks_of(p, service, of_service, store_first_of_service);
}

struct tasks_view plan_tasks_of_node(struct plan *p, const struct id *node)
{
    return tasks_of(p, node, of_node, store_first_of_node);
}

/* --- The result */

/* What is stored already, then what is new. */
enum finish_pass { FINISH_KNOWN, FINISH_CREATED };

static int finish_entry(const struct plan *p, unsigned kind, const struct id *id,
                        const struct plan_entry *e, struct transaction *out)
{
    const struct object *stored = store_get(p->store, kind, id);

    switch (e->op) {
    case CHANGE_CREATE:
        return transaction_create(out, kind, e->object);
    case CHANGE_REMOVE:
        return stored == NULL ? 0 : transaction_remove(out, kind, stored);
    case CHANGE_UPDATE:
        CHECK(stored != NULL);
        if (fields_equal(object_kind_type(kind), stored, e->object))
            return 0;
        return transaction_update(out, kind, e->object);
    }
    UNREACHABLE("a change has one of three kinds");
}

static int finish_kind(struct plan *p, unsigned kind, enum finish_pass pass,
                       struct transaction *out, size_t *len)
{
    for (const struct omap_node *n = omap_first(&p->changed[kind]); n != NULL; n = omap_next(n)) {
        const struct plan_entry *e = omap_value(n);
        size_t count = out->changes.count;
        struct id id;
        int rc = id_parse(omap_key(n), &id);

        CHECK(rc == 0); /* keys are ids */
        if ((e->op == CHANGE_CREATE) != (pass == FINISH_CREATED))
            continue;
        if (count >= CHANGES_MAX || *len > PLAN_LEN_MAX) {
            p->cut = true;
            return 0;
        }
        rc = finish_entry(p, kind, &id, e, out);
        if (rc < 0)
            return rc;
        if (out->changes.count > count)
            *len += out->changes.items[count].object.len;
    }
    return 0;
}

int plan_finish(struct plan *p, struct transaction *out)
{
    static const unsigned kinds[] = {
        OBJECT_CLUSTER, OBJECT_NODE,   OBJECT_NETWORK, OBJECT_SERVICE,
        OBJECT_SECRET,  OBJECT_CONFIG, OBJECT_TASK,    OBJECT_REMOVAL
    };
    size_t len = 0;
    int rc = p->err;

    static_assert(ARRAY_LEN(kinds) == OBJECT_KIND_MAX, "each kind has its turn");
    for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++)
        rc = finish_kind(p, kinds[i], FINISH_KNOWN, out, &len);
    for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++)
        rc = finish_kind(p, kinds[i], FINISH_CREATED, out, &len);
    return rc;
}
