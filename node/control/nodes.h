/* node/control/nodes.h - What is heard of nodes, and what it makes of them. Pure. */
#ifndef NODE_CONTROL_NODES_H
#define NODE_CONTROL_NODES_H

#include "node/control/plan.h"

struct hearsay;

NODISCARD int hearsay_new(const struct control_config *cfg, struct hearsay **out); /* -ENOMEM */
void hearsay_free(struct hearsay *h);

/* A new leader has heard of nobody yet: nodes that are READY stay so for the grace time. */
void hearsay_start(struct hearsay *h, mono_ns now);
void hearsay_add(struct hearsay *h, const struct id *node, enum control_hearing what, mono_ns now);

/* Writes the states that have changed. True: some node's state did, so all services may be
 * concerned. */
bool nodes_reconcile(struct hearsay *h, struct plan *p);

/* Nodes whose spec says that they manage, whether they do yet or not. */
size_t nodes_count_managers(const struct store *s);

#endif /* NODE_CONTROL_NODES_H */
