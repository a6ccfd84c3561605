/* node/store/store.h - The replicated objects of the cluster, as one manager holds them.
 *
 * The state machine behind the log: every manager applies the same transactions in the same
 * order and gets the same objects, the same versions and the same refusals. All of it is in
 * memory and may be read at any time; store_disk.h keeps a sealed copy in LMDB, with the
 * applied index in the same transaction, so that a restart replays only the log's tail.
 *
 *     store_new                       empty, applied index 0
 *     store_restore, or store_disk_load
 *     store_apply(index, transaction) for each committed entry, ascending
 *     get, find, iterate              borrow until the next apply or restore
 *
 * Pure: no clock, no I/O. Order of iteration is that of the ids. Not thread-safe. */
#ifndef NODE_STORE_STORE_H
#define NODE_STORE_STORE_H

#include "base/buf.h"
#include "node/object/change.h"

struct store;
struct omap_node;

/* One object that a transaction changed. `before` is NULL for a creation, `after` for a
 * removal. Both borrow until the next apply. */
struct store_change {
    unsigned kind;
    const struct object *before, *after;
};

struct store_changes {
    const struct store_change *items;
    size_t count;
};

/* -ENOMEM */
NODISCARD int store_new(struct store **out);
void store_free(struct store *s);

/* Applies an entry's transaction: all of it or nothing. Every object may appear once. The
 * applied index moves on in any case; a refusal is as much a part of history as a change.
 *   ERR_STALE      a change is based on another version than the stored one
 *   ERR_EXISTS     a created id or name is taken: `culprit` names it
 *   ERR_NOT_FOUND  an updated or removed object is not there
 *   ERR_MALFORMED  an object does not decode, or is given twice
 *   -ENOMEM        the manager must stop: it cannot keep up with the log */
NODISCARD int store_apply(struct store *s, uint64_t index, const struct transaction *t,
                          struct store_changes *out, struct field_error *culprit);

/* The index of the last entry that store_apply was given, or of the restored snapshot. */
uint64_t store_applied(const struct store *s);
void store_set_applied(struct store *s, uint64_t index); /* entries that carry no transaction */

/* NULL when there is none. */
const struct object *store_get(const struct store *s, unsigned kind, const struct id *id);
const struct object *store_find_name(const struct store *s, unsigned kind, const char *name);
size_t store_count(const struct store *s, unsigned kind);

/* The typed forms that callers want: store_task(s, &id), store_service(..), .. */
#define STORE_GETTER(KIND, number, type, text)                                                \
    static inline const struct type *store_##type(const struct store *s, const struct id *id) \
    {                                                                                         \
        return (const struct type *)(const void *)store_get(s, KIND, id);                     \
    }
OBJECT_KIND_LIST(STORE_GETTER)
#undef STORE_GETTER

/* The one cluster object; NULL before the cluster is initialised. */
const struct cluster *store_the_cluster(const struct store *s);

/* Iteration in id order:
 *     struct store_iter it;
 *     STORE_EACH(&it, s, OBJECT_NODE, struct node, n) { .. } */
struct store_iter {
    const struct omap_node *at;
    struct id owner; /* with an index: only of this owner */
};
const struct object *store_first(const struct store *s, unsigned kind, struct store_iter *it);
const struct object *store_next(struct store_iter *it);
const struct task *store_first_of_service(const struct store *s, const struct id *service,
                                          struct store_iter *it);
const struct task *store_first_of_node(const struct store *s, const struct id *node,
                                       struct store_iter *it);
const struct task *store_next_task(struct store_iter *it);

#define STORE_EACH(it, s, kind, type, var)                                                    \
    for (const type *var = (const type *)(const void *)store_first(s, kind, it); var != NULL; \
         var = (const type *)(const void *)store_next(it))
#define STORE_EACH_OF_SERVICE(it, s, service_id, var)                                     \
    for (const struct task *var = store_first_of_service(s, service_id, it); var != NULL; \
         var = store_next_task(it))
#define STORE_EACH_OF_NODE(it, s, node_id, var)                                     \
    for (const struct task *var = store_first_of_node(s, node_id, it); var != NULL; \
         var = store_next_task(it))

/* --- Snapshots: docs/formats/store.md. Equal stores give equal bytes.
 *   ERR_TOO_LARGE (the buffer's limit), -ENOMEM */
NODISCARD int store_snapshot(const struct store *s, struct buf *out);

/* Replaces everything. On error the store is as it was: ERR_MALFORMED, -ENOMEM */
NODISCARD int store_restore(struct store *s, struct slice snapshot);

/* Adds one object as it was stored, for loading from disk: ERR_MALFORMED, ERR_EXISTS, -ENOMEM */
NODISCARD int store_load_object(struct store *s, unsigned kind, struct slice encoded);

#endif /* NODE_STORE_STORE_H */
