/* node/object/change.h - What one log entry says: a transaction of object changes.
 *
 * Applied by every manager in log order, all of it or nothing, with the same result
 * everywhere. A change carries the version that it is based on; if the object has moved
 * on since, the whole transaction is refused with ERR_STALE and its author decides anew. */
#ifndef NODE_OBJECT_CHANGE_H
#define NODE_OBJECT_CHANGE_H

#include "node/object/kind.h"

#define CHANGE_OP_LIST(E)         \
    E(CHANGE_CREATE, 1, "create") \
    E(CHANGE_UPDATE, 2, "update") \
    E(CHANGE_REMOVE, 3, "remove")
FIELDS_ENUM(change_op, CHANGE_OP_LIST);

#define CHANGES_MAX 4096 /* of one transaction */

#define CHANGE_FIELDS(X, S)                                                                     \
    X(S, 1, ENUM, change_op, op, NULL, REQUIRED)                                                \
    X(S, 2, U32, RANGE(1, OBJECT_KIND_MAX), kind, NULL, REQUIRED)                               \
    X(S, 3, ID, ANY, id, NULL, REQUIRED)                                                        \
    X(S, 4, U64, ANY, based_on, NULL, OPTIONAL) /* version; 0 for creation, or unconditional */ \
    X(S, 5, BYTES, LEN(1536 * 1024), object, NULL, OPTIONAL) /* encoded by its field table */
FIELDS_STRUCT(change, CHANGE_FIELDS);

#define TRANSACTION_FIELDS(X, S)                                                                  \
    X(S, 1, LIST, OF(change, CHANGES_MAX), changes, NULL, REQUIRED)                               \
    X(S, 2, TIME, ANY, at, NULL, REQUIRED)      /* the author's clock, for created and updated */ \
    X(S, 3, ID, ANY, author, NULL, OPTIONAL)    /* node that proposes ... */                      \
    X(S, 4, U64, ANY, sequence, NULL, OPTIONAL) /* ... and its number: finds its waiting caller */
FIELDS_STRUCT(transaction, TRANSACTION_FIELDS);

/* Builders: append a change that encodes `object`; the transaction owns the bytes.
 *   ERR_TOO_LARGE, ERR_FULL, -ENOMEM */
NODISCARD int transaction_create(struct transaction *t, unsigned kind, const struct object *object);
NODISCARD int transaction_update(struct transaction *t, unsigned kind, const struct object *object);
NODISCARD int transaction_remove(struct transaction *t, unsigned kind, const struct object *object);

#endif /* NODE_OBJECT_CHANGE_H */
