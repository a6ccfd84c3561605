/* Readers of logs. A thread reads a chunk, the loop takes it apart and hands out records; at the
 * end of the newest file a follower waits for inotify to say that the directory has changed. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/log_reader.h"
#include "runtime/runtime_impl.h"

struct runtime_logs {
    struct list link;
    struct runtime *rt;
    struct work work;
    struct later later;
    char id[CONTAINER_ID_LEN_MAX + 1];
    struct logs_options options;
    void (*on_record)(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial);
    void (*on_end)(void *owner, int err, const char *message);
    void *owner;

    struct log_reader reader; /* the thread's while `reading`, as the next two */
    int err;
    struct fault fault;

    bool reading, again, held, ended, closed;
    uv_fs_event_t watch;
    bool watching;
};

/* --- On the thread */

static void run_read(struct work *w)
{
    struct runtime_logs *l = CONTAINER_OF(w, struct runtime_logs, work);
    int rc = log_reader_fill(&l->reader);

    if (rc < 0)
        l->err = fault_system(&l->fault, rc, "logs of container %s", l->id);
}

/* --- On the loop */

static void free_logs(struct runtime_logs *l)
{
    list_remove(&l->link);
    log_reader_deinit(&l->reader);
    l->on_end(l->owner, l->err, l->err == 0 ? "" : l->fault.text);
    free(l);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct runtime_logs *l = handle->data;
    struct runtime *rt = l->rt;

    free_logs(l);
    runtime_handle_closed(rt);
}

static void run_free(struct later *later)
{
    free_logs(CONTAINER_OF(later, struct runtime_logs, later));
}

static void finish(struct runtime_logs *l)
{
    l->closed = true;
    if (l->reading)
        return; /* on_read_done comes back */
    if (l->watching) {
        l->watching = false;
        uv_close((uv_handle_t *)&l->watch, on_watch_closed);
    } else {
        l->later.run = run_free;
        runtime_later(l->rt, &l->later);
    }
}

/* Hands out the whole lines in the buffer. */
static void hand_out(struct runtime_logs *l)
{
    struct log_record r;

    while (!l->held && !l->closed && log_reader_next(&l->reader, &r)) {
        if (log_record_is_wanted(&r, &l->options))
            l->on_record(l->owner, r.source, r.time, r.text, r.partial);
    }
}

static void read_on(struct runtime_logs *l);

static void on_read_done(struct work *w)
{
    struct runtime_logs *l = CONTAINER_OF(w, struct runtime_logs, work);
    bool again = l->again;

    l->reading = false;
    l->again = false;
    if (l->closed || l->err < 0) {
        finish(l);
        return;
    }
    hand_out(l);
    if (l->closed || l->held)
        return;
    if (!l->reader.at_end || again) {
        read_on(l);
        return;
    }
    if (!l->options.follow || l->ended)
        finish(l);
}

static void read_on(struct runtime_logs *l)
{
    if (l->reading) {
        l->again = true;
        return;
    }
    l->reading = true;
    l->work.run = run_read;
    l->work.done = on_read_done;
    work_submit(l->rt->pool, WORK_QUICK, &l->work);
}

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct runtime_logs *l = watch->data;

    (void)events;
    (void)status;
    if (!l->held && !l->closed && (name == NULL || strncmp(name, "log", 3) == 0))
        read_on(l);
}

static int start_watch(struct runtime_logs *l)
{
    int rc = uv_fs_event_init(l->rt->loop, &l->watch);

    if (rc < 0)
        return rc;
    l->watch.data = l;
    l->watching = true;
    l->rt->open_handles++;
    return uv_fs_event_start(&l->watch, on_change, l->reader.dir.text, 0);
}

static int begin(struct runtime_logs *l, const struct container *c)
{
    int rc = 0;

    if (atomic_load(&l->rt->closing))
        return fault_set(&l->fault, ERR_CLOSED, "the runtime is closing");
    if (c == NULL)
        return fault_set(&l->fault, ERR_NOT_FOUND, "container %s: no such container", l->id);
    if (c->record.spec.log_none)
        return fault_set(&l->fault, ERR_UNSUPPORTED, "container %s: keeps no logs", l->id);
    log_reader_init(&l->reader, c->state_dir.text, l->options.tail);
    l->ended = c->info.state == CONTAINER_EXITED && !c->busy;
    if (l->options.follow && !l->ended)
        rc = start_watch(l);
    return rc < 0 ? fault_system(&l->fault, rc, "logs of container %s", l->id) : 0;
}

struct runtime_logs *
runtime_logs_open(struct runtime *rt, const char *id, const struct logs_options *options,
                  void (*on_record)(void *owner, enum stream_source source, wall_ns time,
                                    struct slice text, bool partial),
                  void (*on_end)(void *owner, int err, const char *message), void *owner)
{
    struct runtime_logs *l = calloc(1, sizeof(*l));

    CHECK(l != NULL); /* the promise of on_end needs it */
    l->rt = rt;
    l->options = *options;
    l->on_record = on_record;
    l->on_end = on_end;
    l->owner = owner;
    l->reader.fd = -1;
    (void)snprintf(l->id, sizeof(l->id), "%s", id);
    list_init(&l->link);
    list_push_back(&rt->logs, &l->link);
    l->err = begin(l, runtime_find_id(rt, id));
    if (l->err < 0)
        finish(l);
    else
        read_on(l);
    return l;
}

void runtime_logs_hold(struct runtime_logs *l)
{
    l->held = true;
}

void runtime_logs_resume(struct runtime_logs *l)
{
    if (!l->held || l->closed)
        return;
    l->held = false;
    if (l->reading)
        return;
    hand_out(l);
    if (!l->held && !l->closed)
        read_on(l);
}

void runtime_logs_close(struct runtime_logs *l)
{
    if (!l->closed)
        finish(l);
}

void runtime_logs_poke(struct container *c)
{
    LIST_EACH_SAFE(it, &c->rt->logs)
    {
        struct runtime_logs *l = CONTAINER_OF(it, struct runtime_logs, link);

        if (strcmp(l->id, c->record.spec.id) != 0)
            continue;
        l->ended = true;
        if (!l->held && !l->closed)
            read_on(l);
    }
}

void runtime_logs_close_all(struct runtime *rt)
{
    LIST_EACH_SAFE(it, &rt->logs)
    {
        runtime_logs_close(CONTAINER_OF(it, struct runtime_logs, link));
    }
}

/* --- Rotation of all that run, one after the other on one thread */

struct rotation {
    struct work work;
    size_t count;
    struct rotation_item {
        struct path state_dir, run_dir;
        uint64_t bytes_max;
        uint32_t count_max;
    } items[];
};

static void run_rotation(struct work *w)
{
    struct rotation *r = CONTAINER_OF(w, struct rotation, work);

    for (size_t i = 0; i < r->count; i++)
        log_rotate(&(struct log_rotation){ .state_dir = r->items[i].state_dir.text,
                                           .run_dir = r->items[i].run_dir.text,
                                           .bytes_max = r->items[i].bytes_max,
                                           .count_max = r->items[i].count_max });
}

static void on_rotated(struct work *w)
{
    free(CONTAINER_OF(w, struct rotation, work));
}

void log_rotate_all(struct runtime *rt)
{
    struct rotation *r = malloc(sizeof(*r) + rt->container_count * sizeof(r->items[0]));

    if (r == NULL)
        return; /* the next round tries again */
    r->count = 0;
    LIST_EACH(it, &rt->containers)
    {
        const struct container *c = CONTAINER_OF(it, struct container, link);
        const struct container_spec *spec = &c->record.spec;
        struct rotation_item *item = &r->items[r->count];

        if (c->state.phase != PHASE_RUNNING || spec->log_none)
            continue;
        r->count++;
        item->state_dir = c->state_dir;
        item->run_dir = c->run_dir;
        item->bytes_max =
            spec->log_file_bytes_max != 0 ? spec->log_file_bytes_max : rt->log_file_bytes_max;
        item->count_max =
            spec->log_file_count_max != 0 ? spec->log_file_count_max : rt->log_file_count_max;
    }
    if (r->count == 0) {
        free(r);
        return;
    }
    r->work.run = run_rotation;
    r->work.done = on_rotated;
    work_submit(rt->pool, WORK_QUICK, &r->work);
}
