/* chaos/sim/cluster_runtime.c - runtime/runtime.h without containers: as much of it as an agent
 * uses.
 *
 * Containers belong to the computer and outlive the daemon; losing power ends them. An operation
 * takes effect at one time and is reported at another, so a crash can come between. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"

#define SIGNALLED 128

struct runtime {
    struct daemon *daemon;
    struct computer *computer;
    struct container_info info; /* of the last inspection */
};

enum op_kind { OP_CREATE, OP_START, OP_STOP, OP_REMOVE, OP_IMAGE };

struct op {
    struct runtime *rt;
    uv_work_t req;
    enum op_kind kind;
    char id[CONTAINER_ID_LEN_MAX + 1];
    struct container_spec spec;
    char *image;
    int err;
    runtime_done done;
    runtime_image_done image_done;
    void *owner;
};

/* --- Containers */

struct sim_container *container_find(const struct computer *c, const char *id)
{
    LIST_EACH(link, &c->containers)
    {
        struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);

        if (strcmp(k->spec.id, id) == 0)
            return k;
    }
    return NULL;
}

static void container_free(struct sim_container *k)
{
    list_remove(&k->link);
    fields_deinit(&container_spec_type, &k->spec);
    free(k);
}

void containers_deinit(struct computer *c)
{
    while (!list_is_empty(&c->containers))
        container_free(CONTAINER_OF(list_first(&c->containers), struct sim_container, link));
}

static const struct container_info *describe(struct runtime *rt, const struct sim_container *k)
{
    rt->info = (struct container_info){
        .spec = &k->spec,
        .image_id = "sha256:0",
        .state = k->state,
        .health_output = "",
        .pid = k->state == CONTAINER_RUNNING ? 100 : 0,
        .exit_code = k->exit_code,
        .error = "",
    };
    return &rt->info;
}

static void tell_exits(void *ctx, uint64_t arg)
{
    struct daemon *d = ctx;

    (void)arg;
    LIST_EACH(link, &d->computer->containers)
    {
        struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);

        if (!k->exit_untold)
            continue;
        k->exit_untold = false;
        if (d->serving)
            host_container_event(d->host, CONTAINER_EVENT_EXITED, describe(d->runtime, k));
    }
}

void container_exit(struct computer *c, struct sim_container *k, int exit_code)
{
    if (k->state != CONTAINER_RUNNING)
        return;
    k->state = CONTAINER_EXITED;
    k->exit_code = exit_code;
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: container %.6s exits with %d",
                   c->index, k->spec.id, exit_code);
    if (c->daemon == NULL)
        return; /* found by the next one */
    k->exit_untold = true;
    loop_after(&c->daemon->loop, prng_range(&c->prng, 10, 3000) * NS_PER_US, tell_exits, c->daemon,
               0);
}

/* --- Operations */

static void answer(uv_work_t *req, int status)
{
    struct op *op = CONTAINER_OF(req, struct op, req);
    const char *message = op->err < 0 ? err_text(op->err) : "";

    (void)status;
    if (op->image_done != NULL)
        op->image_done(op->owner, op->err, message, NULL);
    else
        op->done(op->owner, op->err, message);
    fields_deinit(&container_spec_type, &op->spec);
    free(op->image);
    free(op);
}

static void nothing(uv_work_t *req)
{
    (void)req;
}

static void create(struct op *op)
{
    struct computer *c = op->rt->computer;
    const struct task *task = host_task(op->rt->daemon->host, op->id);
    struct sim_container *k;

    if (container_find(c, op->id) != NULL) {
        op->err = ERR_EXISTS;
        return;
    }
    k = calloc(1, sizeof(*k));
    CHECK(k != NULL);
    k->spec = op->spec;
    op->spec = (struct container_spec){ 0 };
    k->state = CONTAINER_CREATED;
    if (task != NULL) {
        k->task = task->id;
        k->service = task->service_id;
        k->slot = task->slot;
    }
    list_push_back(&c->containers, &k->link);
}

struct early_end {
    struct computer *computer;
    char id[CONTAINER_ID_LEN_MAX + 1];
};

/* Programs in images named "bad" end soon. */
static void on_early_end(void *ctx, uint64_t arg)
{
    struct early_end *e = ctx;
    struct sim_container *k;

    (void)arg;
    k = e->computer->world->over ? NULL : container_find(e->computer, e->id);
    if (k != NULL)
        container_exit(e->computer, k, 1);
    free(e);
}

static void end_early(struct computer *c, const struct sim_container *k)
{
    struct early_end *e = calloc(1, sizeof(*e));

    CHECK(e != NULL);
    e->computer = c;
    memcpy(e->id, k->spec.id, strlen(k->spec.id) + 1);
    sim_clock_after(&c->world->clock, prng_range(&c->prng, 1, 200) * NS_PER_MS, on_early_end, e, 0);
}

static void start(struct op *op)
{
    struct computer *c = op->rt->computer;
    struct sim_container *k = container_find(c, op->id);

    if (k == NULL) {
        op->err = ERR_NOT_FOUND;
        return;
    }
    if (k->state == CONTAINER_RUNNING) {
        op->err = ERR_CONFLICT;
        return;
    }
    k->state = CONTAINER_RUNNING;
    k->started = c->world->clock.now;
    k->starts++;
    check_container_started(c, k);
    if (strncmp(k->spec.image, "bad", 3) == 0)
        end_early(c, k);
}

static void stop(struct op *op)
{
    struct computer *c = op->rt->computer;
    struct sim_container *k = container_find(c, op->id);

    if (k == NULL)
        op->err = ERR_NOT_FOUND;
    else
        container_exit(c, k, SIGNALLED + 15);
}

static void take_away(struct op *op)
{
    struct computer *c = op->rt->computer;
    struct sim_container *k = container_find(c, op->id);

    if (k == NULL) {
        op->err = ERR_NOT_FOUND;
        return;
    }
    container_exit(c, k, SIGNALLED + 9);
    container_free(k);
}

static void look_for_image(struct op *op)
{
    if (omap_get(&op->rt->computer->images, slice_of_str(op->image)) == NULL)
        op->err = ERR_NOT_FOUND;
}

static void take_effect(uv_work_t *req)
{
    struct op *op = CONTAINER_OF(req, struct op, req);

    if (op->rt->daemon->loop.dead)
        return;
    sim_trace_line(&op->rt->daemon->world->trace, op->rt->daemon->world->clock.now, "%u: %s %.6s",
                   op->rt->computer->index,
                   (const char *const[]){ "create", "start", "stop", "remove", "image" }[op->kind],
                   op->id);
    sim_trace_number(&op->rt->daemon->world->trace,
                     (uint64_t)op->rt->computer->index << 8 | (uint64_t)op->kind);
    switch (op->kind) {
    case OP_CREATE:
        create(op);
        break;
    case OP_START:
        start(op);
        break;
    case OP_STOP:
        stop(op);
        break;
    case OP_REMOVE:
        take_away(op);
        break;
    case OP_IMAGE:
        look_for_image(op);
        break;
    }
}

static void after_effect(uv_work_t *req, int status)
{
    struct op *op = CONTAINER_OF(req, struct op, req);

    (void)status;
    loop_work(&op->rt->daemon->loop, prng_range(&op->rt->computer->prng, 10, 4000) * NS_PER_US, req,
              nothing, answer);
}

static struct op *op_new(struct runtime *rt, enum op_kind kind, const char *id, runtime_done done,
                         void *owner)
{
    struct op *op = calloc(1, sizeof(*op));

    CHECK(op != NULL);
    op->rt = rt;
    op->kind = kind;
    op->done = done;
    op->owner = owner;
    (void)snprintf(op->id, sizeof(op->id), "%s", id);
    return op;
}

static void op_start(struct op *op, uint64_t least_ms, uint64_t most_ms)
{
    loop_work(&op->rt->daemon->loop,
              prng_range(&op->rt->computer->prng, least_ms * 1000, most_ms * 1000) * NS_PER_US,
              &op->req, take_effect, after_effect);
}

/* --- runtime.h */

struct runtime *runtime_begin(struct daemon *d)
{
    struct runtime *rt = calloc(1, sizeof(*rt));

    CHECK(rt != NULL);
    rt->daemon = d;
    rt->computer = d->computer;
    return rt;
}

void runtime_end(struct runtime *rt)
{
    free(rt);
}

void runtime_container_create(struct runtime *rt, const struct container_spec *spec,
                              runtime_done done, void *owner)
{
    struct op *op = op_new(rt, OP_CREATE, spec->id, done, owner);

    CHECK(fields_copy(&container_spec_type, spec, &op->spec) == 0);
    op_start(op, 1, 20);
}

void runtime_container_start(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    op_start(op_new(rt, OP_START, id, done, owner), 1, 80);
}

void runtime_container_stop(struct runtime *rt, const char *id, int signal, uint64_t grace_ns,
                            runtime_done done, void *owner)
{
    (void)signal;
    (void)grace_ns;
    op_start(op_new(rt, OP_STOP, id, done, owner), 1,
             prng_chance(&rt->computer->prng, 0.1) ? 10000 : 200);
}

void runtime_container_remove(struct runtime *rt, const char *id, enum container_remove how,
                              runtime_done done, void *owner)
{
    (void)how;
    op_start(op_new(rt, OP_REMOVE, id, done, owner), 1, 20);
}

const struct container_info *runtime_container_inspect(struct runtime *rt, const char *key)
{
    const struct sim_container *k = container_find(rt->computer, key);

    return k == NULL ? NULL : describe(rt, k);
}

void runtime_container_list(struct runtime *rt,
                            void (*each)(void *owner, const struct container_info *info),
                            void *owner)
{
    LIST_EACH(link, &rt->computer->containers)
    {
        struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);

        k->exit_untold = false; /* now it is told */
        each(owner, describe(rt, k));
    }
}

void runtime_image_inspect(struct runtime *rt, const char *name, runtime_image_done done,
                           void *owner)
{
    struct op *op = op_new(rt, OP_IMAGE, "", NULL, owner);

    op->image = strdup(name);
    CHECK(op->image != NULL);
    op->image_done = done;
    op_start(op, 0, 2);
}
