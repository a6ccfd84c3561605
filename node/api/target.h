/* node/api/target.h - What a path of /containers names: a container of this host, or a task of the
 * cluster wherever it runs.
 *
 * Containers of this host come first, by id, prefix or name. On a manager a name that is none of
 * those may be a task's: its id or a prefix of it, "web.1" (the one that runs in that slot), or
 * both with a point between, with the node's id in place of the slot for global services. */
#ifndef NODE_API_TARGET_H
#define NODE_API_TARGET_H

#include "node/api/api_impl.h"

struct target {
    const struct container_info *local; /* NULL: elsewhere */
    const struct task *task;            /* elsewhere; borrowed from the store for the turn */
};

/* False: answered, or the handler will be called again. */
bool target_find(struct request *r, struct target *out);

/* NULL: no such task, and `why` says so. Pure. */
const struct task *target_find_task(const struct store *s, const char *name, char *why,
                                    size_t why_len);

/* A task of another node as GET /containers/ID/json shows a container: as far as is known here. */
json_t *target_task_json(const struct task *t);

#endif /* NODE_API_TARGET_H */
