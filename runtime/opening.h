/* runtime/opening.h - The state of opening: for runtime.c, opening.c and found.c only. */
#ifndef RUNTIME_OPENING_H
#define RUNTIME_OPENING_H

#include "runtime/runtime_impl.h"

/* State of opening; lives as long as the runtime. */
struct opening {
    struct runtime *rt;
    uv_work_t request;
    struct work work;
    bool images_open, volumes_open, seccomp_open;
    struct list found; /* containers, not listed yet */
    size_t unsettled;  /* whose end has still to be reported */
    int err;
    struct fault fault;
};

/* Begins the three parts of opening; the first runs on libuv's pool. */
void opening_begin(struct runtime *rt);

/* Closing, while no thread is left or before any was there. */
void runtime_close_rest(struct runtime *rt);

/* found.c, on a thread: mounts the directory of secrets and fills o->found with the containers that
 * the state directory has; sets o->err. */
void opening_find_containers(struct work *w);

#endif /* RUNTIME_OPENING_H */
