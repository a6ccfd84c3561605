/* runtime/work.h - Threads that do what blocks, and tell the loop.
 *
 * A pull can stall for minutes and an OCI command for seconds; neither may hold the few threads
 * of libuv's pool, on which others flush logs. Quick work (container operations) and slow work
 * (pulls, loads, unpacking) have threads of their own, so that a start never waits for a pull. */
#ifndef RUNTIME_WORK_H
#define RUNTIME_WORK_H

#include <stdint.h>

#include <uv.h>

#include "base/attr.h"
#include "base/list.h"

enum work_lane { WORK_QUICK, WORK_SLOW, WORK_LANES };

/* Embedded in what is to be done; owned by the pool from submit until `done`. */
struct work {
    struct list link;
    void (*run)(struct work *w);  /* on a thread */
    void (*done)(struct work *w); /* on the loop; may free or submit again */
};

struct work_pool;

/* `enter` runs first on each thread, with `arg`; it may be NULL.  -ENOMEM, libuv's codes */
NODISCARD int work_pool_new(uv_loop_t *loop, const uint32_t threads[WORK_LANES],
                            void (*enter)(void *arg), void *arg, struct work_pool **out);

void work_submit(struct work_pool *pool, enum work_lane lane, struct work *w);

/* Between the two the pool does not end, although nothing may be submitted: for who will submit
 * once something else has happened. */
void work_hold(struct work_pool *pool);
void work_release(struct work_pool *pool);

/* Runs what was submitted to its end, then frees the pool and calls on_closed. */
void work_pool_close(struct work_pool *pool, void (*on_closed)(void *owner), void *owner);

#endif /* RUNTIME_WORK_H */
