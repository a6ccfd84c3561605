/* What a container is in memory: made, listed under its id and name, described to others, freed.
 *
 * Memory goes away with the last of its handles, which close when the loop turns. What happens to
 * a container is in container_queue.c, the end of its process in container_end.c. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/container.h"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

/* --- Memory and handles */

int container_new(struct runtime *rt, struct container **out)
{
    struct container *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->rt = rt;
    c->conmon_fd = c->init_fd = -1;
    list_init(&c->link);
    list_init(&c->ops);
    list_init(&c->waiters);
    list_init(&c->attaches);
    list_init(&c->attaching);
    *out = c;
    return 0;
}

void container_set_paths(struct container *c, const char *id)
{
    const char *parent = text_of(c->record.spec.cgroup_parent);

    c->state_dir = path_of("%s/containers/%s", c->rt->state_dir.text, id);
    c->run_dir = path_of("%s/containers/%s", c->rt->run_dir.text, id);
    (void)snprintf(c->cgroup_path, sizeof(c->cgroup_path), "%.300s/%s",
                   parent[0] != '\0' ? parent : c->rt->cgroup_parent, id);
}

void container_release(struct container *c)
{
    fields_deinit(&container_record_type, &c->record);
    fields_deinit(&container_state_record_type, &c->state);
    fields_deinit(&container_state_record_type, &c->next);
    fields_deinit(&image_config_type, &c->image);
    free(c);
}

void container_handle_closed(uv_handle_t *handle)
{
    struct container *c = handle->data;

    struct runtime *rt = c->rt;

    if (--c->open_handles == 0 && c->freed)
        container_release(c);
    runtime_handle_closed(rt);
}

void container_unlist(struct container *c)
{
    struct runtime *rt = c->rt;
    const char *name = text_of(c->record.spec.name);

    if (!c->listed)
        return;
    list_remove(&c->link);
    (void)omap_remove(&rt->by_id, slice_of_str(c->record.spec.id));
    if (name[0] != '\0' && omap_get(&rt->by_name, slice_of_str(name)) == c)
        (void)omap_remove(&rt->by_name, slice_of_str(name));
    c->listed = false;
    rt->container_count--;
}

void container_free(struct container *c)
{
    CHECK(list_is_empty(&c->ops) && !c->busy && !c->on_thread);
    health_stop(c);
    container_unlist(c);
    c->freed = true;
    container_forget_process(c);
    if (c->timer_open) {
        c->timer_open = false;
        uv_close((uv_handle_t *)&c->timer, container_handle_closed);
    }
    if (c->open_handles == 0)
        container_release(c);
}

int container_list(struct container *c)
{
    struct runtime *rt = c->rt;
    const char *name = text_of(c->record.spec.name);
    int rc = omap_set(&rt->by_id, slice_of_str(c->record.spec.id), c);

    if (rc == 0 && name[0] != '\0') {
        rc = omap_set(&rt->by_name, slice_of_str(name), c);
        if (rc < 0)
            (void)omap_remove(&rt->by_id, slice_of_str(c->record.spec.id));
    }
    if (rc < 0)
        return rc;
    list_push_back(&rt->containers, &c->link);
    rt->container_count++;
    c->listed = true;
    return 0;
}

/* --- What others see */

void container_refresh(struct container *c)
{
    const struct container_state_record *s = &c->state;
    struct container_info *i = &c->info;

    i->spec = &c->record.spec;
    i->image_id = text_of(c->record.image_id);
    switch (s->phase) {
    case PHASE_CREATED:
    case PHASE_STARTING:
        i->state = CONTAINER_CREATED;
        break;
    case PHASE_RUNNING:
        i->state = s->paused ? CONTAINER_PAUSED : CONTAINER_RUNNING;
        break;
    case PHASE_EXITED:
        i->state = CONTAINER_EXITED;
        break;
    }
    i->pid = s->phase == PHASE_RUNNING ? (pid_t)s->pid : 0;
    i->exit_code = (int)s->exit_code;
    i->signal = s->exit_code > 128 && s->exit_code <= 128 + 64 ? (int)s->exit_code - 128 : 0;
    i->oom_killed = s->oom_killed;
    i->error = text_of(s->error);
    i->created = c->record.created;
    i->started = s->started;
    i->finished = s->finished;
    i->health_output = c->health_output;
}

void container_emit(struct container *c, enum container_event_kind kind)
{
    if (!atomic_load(&c->rt->closing) && c->rt->config.on_event != NULL)
        c->rt->config.on_event(c->rt->config.owner, kind, &c->info);
}

bool container_is_running(const struct container *c)
{
    return c->state.phase == PHASE_RUNNING;
}
