/* runtime/container.h - What the files about containers share of the state machine. Loop only. */
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

/* --- Among container.c, container_queue.c and container_end.c */

void container_unlist(struct container *c);         /* nobody finds it any more */
void container_handle_closed(uv_handle_t *handle);  /* frees it if it was the last */
void container_forget_process(struct container *c); /* its monitor and descriptors */

/* For the time of work on a thread, `next` is a copy of `state`; afterwards it becomes it. */
void container_lend_state(struct container *c);
void container_take_state(struct container *c);

/* Goes on with the queue: to be called whenever an operation or a collection has ended. */
void container_pump(struct container *c);

#endif /* RUNTIME_CONTAINER_H */
