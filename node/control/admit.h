/* node/control/admit.h - Requests of users: from a spec to a transaction, or to a clear no.
 *
 * Each function validates one request against the store, fills in defaults, resolves names
 * to ids, and appends the changes that it means to `out`. Nothing is allocated or
 * placed here (that is the reconcilers' work), but what can never work is refused at once.
 * Messages are those of the Docker Engine API where clients match on them.
 *
 * Common errors, with a sentence for people in `err`:
 *   ERR_INVALID (400)  ERR_NOT_FOUND (404)  ERR_CONFLICT, ERR_EXISTS, ERR_IN_USE (409)
 *   ERR_STALE (the given version is out of date)  ERR_FORBIDDEN (403)  -ENOMEM
 *
 * Pure. `ids` gives the random bits of new objects. */
#ifndef NODE_CONTROL_ADMIT_H
#define NODE_CONTROL_ADMIT_H

#include "base/prng.h"
#include "node/store/store.h"

struct admit {
    const struct store *store;
    struct prng *ids;
    wall_ns wall;
    struct transaction *out;
    struct field_error *err;
};

/* By id, by name, or by an id's unambiguous prefix, as Docker accepts them.
 *   ERR_NOT_FOUND, ERR_CONFLICT (ambiguous): `err` says so in Docker's words */
NODISCARD int admit_resolve(const struct store *s, unsigned kind, const char *reference,
                            const struct object **out, struct field_error *err);

/* --- Cluster. `init` makes the first objects: cluster, this node, the ingress network. */
NODISCARD int admit_cluster_init(struct admit *a, const struct cluster *cluster,
                                 const struct node *first);
NODISCARD int admit_cluster_update(struct admit *a, uint64_t version,
                                   const struct cluster_spec *spec);
/* An update whose settings ask for a rotation: `root`, newly made, is signed by the newest there
 * is. ERR_UNAVAILABLE: too many rotations wait for their end */
NODISCARD int admit_root_rotate(struct admit *a, uint64_t version, const struct cluster_spec *spec,
                                const struct ca_root *root);
#define ADMIT_CERT_EXPIRY_MIN_NS (INT64_C(3600) * 1000000000)
NODISCARD int admit_cluster_spec(struct admit *a, const struct cluster_spec *spec); /* checks it */
/* How often the key of gossip changes; 0 = 12 h. Not a setting of Docker's, whose clients would
 * drop it with their next update. */
NODISCARD int admit_gossip_key_period(struct admit *a, uint64_t version, int64_t period);
enum admit_rotation { ROTATE_WORKER_TOKEN = 1, ROTATE_MANAGER_TOKEN = 2, ROTATE_UNLOCK_KEY = 4 };
NODISCARD int admit_rotate(struct admit *a, unsigned what, struct slice fresh_secret);

/* --- Nodes */
NODISCARD int admit_node_join(struct admit *a, const struct node *node);
NODISCARD int admit_node_update(struct admit *a, const struct id *id, uint64_t version,
                                const struct node_spec *spec);
enum admit_force { ADMIT_CAREFUL, ADMIT_FORCE };
NODISCARD int admit_node_remove(struct admit *a, const struct id *id, enum admit_force force);

/* --- Services. update: `rollback` uses the previous spec instead of `spec`. */
NODISCARD int admit_service_create(struct admit *a, const struct service_spec *spec,
                                   struct id *out_id);
NODISCARD int admit_service_update(struct admit *a, const struct id *id, uint64_t version,
                                   const struct service_spec *spec);
NODISCARD int admit_service_rollback(struct admit *a, const struct id *id, uint64_t version);
NODISCARD int admit_service_remove(struct admit *a, const struct id *id);

/* --- Networks */
NODISCARD int admit_network_create(struct admit *a, const struct network_spec *spec,
                                   struct id *out_id);
NODISCARD int admit_network_remove(struct admit *a, const struct id *id);

/* --- Secrets and configs: `kind` is OBJECT_SECRET or OBJECT_CONFIG, and `spec` is a
 * struct secret_spec or config_spec accordingly. */
NODISCARD int admit_data_create(struct admit *a, unsigned kind, const void *spec,
                                struct id *out_id);
NODISCARD int admit_data_update(struct admit *a, unsigned kind, const struct id *id,
                                uint64_t version, const void *spec);
NODISCARD int admit_data_remove(struct admit *a, unsigned kind, const struct id *id);

#endif /* NODE_CONTROL_ADMIT_H */
