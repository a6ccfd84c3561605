/* What `service why` says of a world, and how its tasks fare. */
#ifndef TESTS_UNIT_NODE_CONTROL_SUPPORT_EXPLAIN_H
#define TESTS_UNIT_NODE_CONTROL_SUPPORT_EXPLAIN_H

#include "node/control/explain.h"
#include "tests/unit/node_control/support_cluster.h"

/* The result is owned. */
struct service_why explain(struct world *w, const struct id *service);
/* The first reason: of the only place that is not as it should be, or of the service. */
void assert_why(struct world *w, const struct id *service, enum why_code code, const char *message);
void assert_as_desired(struct world *w, const struct id *service);

/* As the task's node says it. */
void report(struct world *w, const struct task *t, enum task_state state, const char *err);
void run_all(struct world *w);

#endif /* TESTS_UNIT_NODE_CONTROL_SUPPORT_EXPLAIN_H */
