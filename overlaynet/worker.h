/* overlaynet/worker.h - One thread for work that waits for the kernel, in order of submission.
 *
 * One thread and not a pool: it moves between network namespaces, and what it does for a network
 * must come before what it does for a sandbox of it. */
#ifndef OVERLAYNET_WORKER_H
#define OVERLAYNET_WORKER_H

#include <stdbool.h>
#include <uv.h>

#include "base/attr.h"
#include "base/list.h"

struct worker;

/* Embed in the job; the memory belongs to the caller until `done`. */
struct work {
    struct list link;
    void (*run)(struct work *w); /* on the worker thread */
    void (*done)(struct work *w,
                 bool is_cancelled); /* on the loop; cancelled: run was not called */
};

/*   -ENOMEM, errors of pthread_create */
NODISCARD int worker_new(uv_loop_t *loop, struct worker **out);

/* Takes the job until `done` is called, which always happens, later and once. */
void worker_submit(struct worker *w, struct work *work);

/* Waits for the running job, cancels the waiting ones, then calls back on the loop. */
void worker_close(struct worker *w, void (*closed)(void *ctx), void *ctx);

#endif /* OVERLAYNET_WORKER_H */
