/* node/api/attach.c - POST /containers/ID/attach.
 *
 * The connection is taken over as for a command (session.h); what it carries is the container's own
 * input and output. A container that does not run is attached to from its next start on, and so
 * early that nothing is missed: clients attach, then start. With logs=1 what was said before comes
 * first, and then, with stream=1, what is said from there on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/api/session.h"
#include "node/api/target.h"

struct attached {
    struct session session;
    char id[CONTAINER_ID_LEN_MAX + 1];
    bool out, err;             /* what is wanted of it */
    bool stream;               /* also what is yet to come */
    struct runtime_logs *logs; /* of the past, until they have been sent */
};

static void on_idle(struct session *s)
{
    free(CONTAINER_OF(s, struct attached, session));
}

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct attached *a = owner;

    if (source == STREAM_STDERR ? a->err : a->out)
        session_on_output(&a->session, source, bytes);
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct attached *a = owner;

    session_on_end(&a->session, err, message, exit_code);
}

/* The call that session_begin announces. */
static void attach(struct attached *a, const struct container_info *info)
{
    const struct stream_callbacks callbacks = { .owner = a,
                                                .on_output = on_output,
                                                .on_end = on_end };
    struct runtime *rt = a->session.api->cfg.runtime;
    struct runtime_stream *stream =
        info != NULL && (info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED)
            ? runtime_attach(rt, a->id, &callbacks)
            : runtime_attach_start(rt, a->id, &callbacks);

    session_begun(&a->session, &session_local_ops, stream);
}

/* --- The past ------------------------------------------------------------------------------- */

static int logs_write(void *process, struct slice bytes)
{
    (void)process;
    (void)bytes;
    return ERR_FULL; /* the container's turn comes */
}

static void logs_ignore(void *process)
{
    (void)process;
}

static void logs_resize(void *process, uint16_t rows, uint16_t columns)
{
    (void)process;
    (void)rows;
    (void)columns;
}

static void logs_hold(void *process)
{
    runtime_logs_hold(((struct attached *)process)->logs);
}

static void logs_resume(void *process)
{
    runtime_logs_resume(((struct attached *)process)->logs);
}

static void logs_close(void *process)
{
    struct attached *a = process;

    a->stream = false;
    runtime_logs_close(a->logs);
}

static const struct api_process_ops logs_ops = { .write = logs_write,
                                                 .shut_input = logs_ignore,
                                                 .resize = logs_resize,
                                                 .hold = logs_hold,
                                                 .resume = logs_resume,
                                                 .close = logs_close };

static void on_record(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial)
{
    (void)time;
    (void)partial;
    on_output(owner, source, text);
}

static void on_logs_end(void *owner, int err, const char *message)
{
    struct attached *a = owner;

    a->logs = NULL;
    if (err == 0 && a->stream)
        attach(a, runtime_container_inspect(a->session.api->cfg.runtime, a->id));
    else
        on_end(a, err, message, 0);
}

static void read_past(struct attached *a)
{
    const struct logs_options options = { .out = a->out, .err = a->err, .tail = LOGS_TAIL_ALL };

    a->logs =
        runtime_logs_open(a->session.api->cfg.runtime, a->id, &options, on_record, on_logs_end, a);
    if (a->logs != NULL)
        session_begun(&a->session, &logs_ops, a);
    else
        session_not_begun(&a->session, -ENOMEM, NULL);
}

/* --- The request ---------------------------------------------------------------------------- */

/* What came before the connection was there has been kept back. */
static void on_taken(struct session *s)
{
    struct attached *a = CONTAINER_OF(s, struct attached, session);

    if (s->process != NULL)
        s->ops->resume(s->process);
    else if (!s->ended && !a->stream) /* neither the past nor the future is wanted */
        s->ended = true;
}

static void begin(struct request *r, struct attached *a, const struct container_info *info)
{
    struct session *s = &a->session;

    if (a->stream || request_flag(r, "logs")) {
        session_begin(s, r->api);
        if (request_flag(r, "logs"))
            read_past(a);
        else
            attach(a, info);
        if (s->process != NULL)
            s->ops->hold(s->process);
    }
    session_take(r, s, on_taken);
}

/* NULL: answered. */
static const struct container_info *find_container(struct request *r)
{
    struct target at;

    if (!target_find(r, &at))
        return NULL;
    if (at.local == NULL)
        reply_status(r, MHD_HTTP_NOT_IMPLEMENTED,
                     "task %s runs on node %s: only containers of this node can be attached to; "
                     "exec and logs reach every task",
                     at.task->id.text, at.task->node_id.text);
    else if (at.local->state == CONTAINER_PAUSED)
        reply_status(r, MHD_HTTP_CONFLICT,
                     "container %s is paused, unpause the container before attach", r->args[0]);
    else
        return at.local;
    return NULL;
}

void handle_container_attach(struct request *r)
{
    const struct container_info *info = find_container(r);
    struct attached *a;

    if (info == NULL)
        return;
    a = calloc(1, sizeof(*a));
    if (a == NULL) {
        reply_error(r, -ENOMEM, NULL);
        return;
    }
    if (detach_keys_parse(request_query(r, "detachKeys"), &a->session.keys) < 0) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "invalid detachKeys '%.64s': give keys such as ctrl-p,ctrl-q or a",
                     request_query(r, "detachKeys"));
        free(a);
        return;
    }
    (void)snprintf(a->id, sizeof(a->id), "%s", info->spec->id);
    a->stream = request_flag(r, "stream");
    a->out = request_flag(r, "stdout");
    a->err = request_flag(r, "stderr");
    a->session.tty = info->spec->tty;
    a->session.input = request_flag(r, "stdin") && a->stream;
    a->session.on_idle = on_idle;
    begin(r, a, info);
}
