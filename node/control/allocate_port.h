/* node/control/allocate_port.h - The published ports of services. Pure.
 *
 * A port that the user left open is chosen here, if the cluster's nodes are all to answer at it;
 * one in host mode is chosen by the node of the task. Nothing is kept beside the store: a port is
 * taken while a service has it. */
#ifndef NODE_CONTROL_ALLOCATE_PORT_H
#define NODE_CONTROL_ALLOCATE_PORT_H

#include "node/control/plan.h"

#define PORT_FIRST 30000 /* published ports that the user left open */
#define PORT_LAST  32767

/* Gives the service the ports that its spec says, those that it had if it can keep them. False:
 * none is free, and `why` says so. -ENOMEM is the plan's. */
bool allocate_ports(struct plan *p, struct service *s, struct field_error *why);

#endif /* NODE_CONTROL_ALLOCATE_PORT_H */
