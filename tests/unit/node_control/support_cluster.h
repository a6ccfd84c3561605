/* A cluster without machines: a store, a control, a clock, and agents that do what they are told.
 */
#ifndef TESTS_UNIT_NODE_CONTROL_SUPPORT_CLUSTER_H
#define TESTS_UNIT_NODE_CONTROL_SUPPORT_CLUSTER_H

#include "node/control/admit.h"
#include "node/control/control.h"
#include "node/control/dispatcher.h"

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)

struct world {
    struct store *store;
    struct control *control;
    struct prng ids;
    struct control_time now;
    uint64_t index;
    struct id nodes[16];
    size_t node_count;
    size_t plans; /* that changed something */
};

void world_init(struct world *w, size_t nodes);
void world_deinit(struct world *w);

/* Admits one request and applies it; the result is admit's. */
struct admit *world_admit(struct world *w);
int world_apply(struct world *w, int rc);
extern struct field_error world_error;

/* Applies one plan. */
void world_plan(struct world *w, struct control_output *out);

/* Turns until nothing more is planned; time does not move. Returns the number of plans. */
size_t world_settle(struct world *w);
void world_advance(struct world *w, int64_t ns);

/* Every task on a live node goes to the state that is desired of it; then settles. */
void world_agents(struct world *w);
void world_report(struct world *w, const struct task *t, enum task_state state, int64_t exit_code);

struct id world_service(struct world *w, const char *name, uint64_t replicas);
/* The same with a task of the caller's, of the image web:1, and what it publishes; settles. */
struct id world_create(struct world *w, const char *name, uint64_t replicas, struct task_spec task,
                       struct endpoint_spec *endpoint);
/* Another number of replicas, another image, another way to update (NULL: as it is); settles. */
void world_change(struct world *w, const struct id *service, uint64_t replicas, const char *image,
                  const struct update_config *update);
size_t world_count(struct world *w, const struct id *service, enum task_state state);
size_t world_live(struct world *w, const struct id *service);
const struct task *world_task(struct world *w, const struct id *service, uint64_t slot);

#endif /* TESTS_UNIT_NODE_CONTROL_SUPPORT_CLUSTER_H */
