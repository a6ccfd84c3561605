/* Attaching to a container's own input and output, which is a connection to conmon's socket.
 *
 * Before a start there is no socket, and after it the first output may be gone. So streams wait in
 * the container and are connected by the thread that starts it, once conmon is there and before the
 * process runs:
 *
 *     attaches --the start begins--> attaching --connected, started--> open
 *
 * What comes while a start is under way connects after it, like any other. */
#include <errno.h>

#include "base/err.h"
#include "runtime/container.h"
#include "runtime/stream.h"

static struct runtime_stream *take(struct list *from)
{
    struct list *link = list_pop_front(from);

    return link == NULL ? NULL : CONTAINER_OF(link, struct runtime_stream, waiting);
}

struct runtime_stream *runtime_attach(struct runtime *rt, const char *id,
                                      const struct stream_callbacks *callbacks)
{
    struct runtime_stream *s = stream_new(rt, id, KIND_ATTACH, callbacks);

    s->open_stdin = true;
    stream_begin(s, runtime_find_id(rt, id), 0);
    return s;
}

struct runtime_stream *runtime_attach_start(struct runtime *rt, const char *id,
                                            const struct stream_callbacks *callbacks)
{
    struct runtime_stream *s = stream_new(rt, id, KIND_ATTACH, callbacks);
    struct container *c = runtime_find_id(rt, id);
    int rc = 0;

    s->open_stdin = true;
    if (atomic_load(&rt->closing))
        rc = fault_set(&s->fault, ERR_CLOSED, "the runtime is closing");
    else if (c == NULL)
        rc = fault_set(&s->fault, ERR_NOT_FOUND, "container %s: no such container", id);
    else if (container_is_running(c) && !c->collecting)
        rc = fault_set(&s->fault, ERR_CONFLICT, "container %s: is running already", id);
    if (rc < 0)
        stream_refuse(s, rc);
    else
        list_push_back(&c->attaches, &s->waiting);
    return s;
}

void attach_leave(struct runtime_stream *s)
{
    if (!list_is_linked(&s->waiting) || s->container != NULL)
        return; /* a thread has it: it is let go of when that comes back */
    list_remove(&s->waiting);
    stream_finish(s);
}

void attach_before_start(struct container *c)
{
    list_splice_back(&c->attaching, &c->attaches);
    LIST_EACH(it, &c->attaching)
    CONTAINER_OF(it, struct runtime_stream, waiting)->container = c;
}

void attach_created(struct container *c)
{
    LIST_EACH(it, &c->attaching)
    {
        struct runtime_stream *s = CONTAINER_OF(it, struct runtime_stream, waiting);

        for (int i = 0; i < 3; i++)
            s->fds[i] = -1;
        s->err = stream_open_attach(s);
    }
}

void attach_after_start(struct container *c, int err)
{
    struct runtime_stream *s;

    while ((s = take(&c->attaching)) != NULL) {
        if (err < 0)
            s->err = fault_set(&s->fault, err, "container %s: %s", s->id,
                               c->info.error[0] == '\0' ? "did not start" : c->info.error);
        stream_opened(s);
    }
    while (err == 0 && (s = take(&c->attaches)) != NULL)
        stream_begin(s, c, 0);
}

void attach_forget(struct container *c)
{
    struct runtime_stream *s;

    while ((s = take(&c->attaches)) != NULL)
        stream_refuse(s, fault_set(&s->fault, ERR_NOT_FOUND,
                                   "container %s: was removed before it started", s->id));
}
