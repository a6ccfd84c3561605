/* runtime/container.h - What the calls about containers need of the state machine. Loop only. */
#ifndef RUNTIME_CONTAINER_H
#define RUNTIME_CONTAINER_H

#include "runtime/runtime_impl.h"

bool container_is_running(const struct container *c); /* or paused */
bool container_is_paused(const struct container *c);

/* Puts the operation, which it takes, behind those that wait. */
void container_enqueue(struct container *c, struct op *op);
/* SIGKILL to the container whose stop waits. */
void container_force(struct container *c);

void container_finish_op(struct later *l); /* for an operation that never was in the queue */
void container_wake_waiters(struct container *c);

#endif /* RUNTIME_CONTAINER_H */
