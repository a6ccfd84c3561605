/* node/object/kind.h - The kinds of objects, in one list.
 *
 * Everything that serves all kinds (store, snapshots, events, dispatch) goes by this
 * list; a new kind is one row here and one header with its fields. */
#ifndef NODE_OBJECT_KIND_H
#define NODE_OBJECT_KIND_H

#include "base/slice.h"
#include "node/object/cluster.h"
#include "node/object/network.h"
#include "node/object/node.h"
#include "node/object/secret.h"
#include "node/object/service.h"
#include "node/object/task.h"

/* X(KIND, number, struct, text). Numbers are forever: they are in the log. */
#define OBJECT_KIND_LIST(X)                  \
    X(OBJECT_CLUSTER, 1, cluster, "cluster") \
    X(OBJECT_NODE, 2, node, "node")          \
    X(OBJECT_SERVICE, 3, service, "service") \
    X(OBJECT_TASK, 4, task, "task")          \
    X(OBJECT_NETWORK, 5, network, "network") \
    X(OBJECT_SECRET, 6, secret, "secret")    \
    X(OBJECT_CONFIG, 7, config, "config")    \
    X(OBJECT_REMOVAL, 8, removal, "removal")

enum object_kind {
#define OBJECT_KIND_ENUM(KIND, number, type, text) KIND = (number),
    OBJECT_KIND_LIST(OBJECT_KIND_ENUM)
#undef OBJECT_KIND_ENUM
        OBJECT_KIND_MAX = 8
};

/* The field table of a kind; NULL for a number that is none. */
const struct fields *object_kind_type(unsigned kind);

/* "service"; "unknown" for a number that is none. */
const char *object_kind_text(unsigned kind);

/* The name that is unique within the kind; NULL where the kind has none (tasks, nodes). */
const char *object_name(unsigned kind, const struct object *object);

/* Allocates a zeroed object, copies one, frees one, all deep. `object_copy` returns owned.
 * NULL: out of memory. */
struct object *object_new(unsigned kind);
struct object *object_copy(unsigned kind, const struct object *object);
void object_free(unsigned kind, struct object *object);

#endif /* NODE_OBJECT_KIND_H */
