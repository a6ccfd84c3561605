/* node/control/allocate.h - Addresses, networks' VNIs and subnets, published ports. Pure.
 *
 * The leases are not stored by themselves: they are what services, tasks and nodes say in the
 * store. A new leader rebuilds them; from then on they follow the changes. */
#ifndef NODE_CONTROL_ALLOCATE_H
#define NODE_CONTROL_ALLOCATE_H

#include "node/control/plan.h"

struct allocator;

NODISCARD int allocator_new(uint64_t seed, struct allocator **out); /* -ENOMEM */
void allocator_free(struct allocator *a);

/* Forgets all: the next turn rebuilds the leases from the store. */
void allocator_reset(struct allocator *a);
/* What ceased to hold an address gives it back. */
void allocator_changed(struct allocator *a, const struct store_changes *changes);
/* Before the other functions, each turn. */
void allocator_begin(struct allocator *a, struct plan *p);

/* VNI and subnets of networks that have none; gateways of all nodes on ingress networks, of every
 * family that the network has, and none on networks that are gone. */
void allocate_networks(struct allocator *a, struct plan *p);

/* Published ports and virtual IPs. False: something is not to be had; the reason is on the
 * service's tasks. */
bool allocate_service(struct allocator *a, struct plan *p, const struct id *service_id,
                      struct field_error *why);

/* Addresses of a NEW task, which is PENDING then; or the reason in status.err. */
void allocate_task(struct allocator *a, struct plan *p, const struct id *task_id);

/* The networks that tasks of this service join: its own, and the ingress network when it
 * publishes ports there. Ids; borrowed from the arena. */
struct network_wish {
    struct id network_id;
    const struct str_list *aliases; /* NULL: none */
};
size_t allocate_wishes(struct plan *p, const struct service *s, struct network_wish **out);

#endif /* NODE_CONTROL_ALLOCATE_H */
