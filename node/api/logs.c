/* node/api/logs.c - GET /services/ID/logs, /tasks/ID/logs, /containers/ID/logs.
 *
 * One stream to the client, fed by one source per task (the program brings them from whatever
 * node they run on) or by the runtime for a container of this host. When the client is slow all
 * sources are held. The stream ends with the last source, except that one who follows a service
 * waits for its next tasks. */
#include "node/api/logs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/time_text.h"
#include "node/api/api_impl.h"

#define SOURCES_MAX   256 /* tasks of one service whose logs are shown at once */
#define TIMESTAMP_MAX 40

struct source {
    struct list link;
    struct request *r;
    struct id task; /* none: a container of this host */
    void *handle;   /* of the program or of the runtime; NULL once it has ended */
    char details[256];
    bool mid_line[STREAM_STDERR + 1]; /* the last record of the stream was only a piece */
};

struct log_request {
    struct logs_options options;
    bool timestamps, details, framed;
    bool closing; /* nobody reads any more */
    struct list sources;
    size_t count;
    struct id service; /* none: not of a service */
};

/* --- Records to bytes ----------------------------------------------------------------------- */

/* RFC 3339 with all nine decimals, so that lines align. */
static void format_time(wall_ns t, char out[TIMESTAMP_MAX])
{
    time_t seconds = (time_t)(t / (wall_ns)NS_PER_S);
    struct tm tm;
    size_t len = 0;

    if (gmtime_r(&seconds, &tm) != NULL)
        len = strftime(out, TIMESTAMP_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + len, TIMESTAMP_MAX - len, ".%09lldZ ", (long long)(t % (wall_ns)NS_PER_S));
}

static void on_record(void *owner, enum stream_source stream, wall_ns time, struct slice text,
                      bool partial)
{
    struct source *s = owner;
    struct log_request *l = s->r->state;
    uint8_t frame[8] = { (uint8_t)stream };
    char head[sizeof(frame) + TIMESTAMP_MAX + sizeof(s->details)];
    char stamp[TIMESTAMP_MAX] = "";
    size_t head_len, frame_len = l->framed ? sizeof(frame) : 0, len;
    bool line_start = !s->mid_line[stream];

    if (l->closing)
        return;
    if (l->timestamps && line_start)
        format_time(time, stamp);
    head_len = (size_t)snprintf(head + frame_len, sizeof(head) - frame_len, "%s%s", stamp,
                                l->details && line_start ? s->details : "");
    len = head_len + text.len;
    for (size_t i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)(len >> (8 * (3 - i)));
    memcpy(head, frame, frame_len);
    s->mid_line[stream] = partial;
    (void)stream_write(s->r, slice_of(head, frame_len + head_len), text); /* false: cut off */
}

/* --- Sources -------------------------------------------------------------------------------- */

static bool is_done(const struct log_request *l)
{
    return l->count == 0 && !(l->options.follow && !id_is_none(&l->service));
}

static void on_end(void *owner, int err, const char *why)
{
    struct source *s = owner;
    struct request *r = s->r;
    struct log_request *l = r->state;

    s->handle = NULL;
    if (err < 0 && !l->closing) {
        char text[512];
        int n = snprintf(text, sizeof(text), "error from daemon: %s: %s\n",
                         id_is_none(&s->task) ? r->args[0] : s->task.text,
                         why != NULL && why[0] != '\0' ? why : err_text(err));

        memset(s->mid_line, 0, sizeof(s->mid_line));
        on_record(s, STREAM_STDERR, api_wall_now(),
                  slice_of(text, MIN((size_t)n, sizeof(text) - 1)), false);
    }
    list_remove(&s->link);
    free(s);
    l->count--;
    if (is_done(l))
        stream_end(r);
    request_release(r);
}

static struct source *add_source(struct request *r)
{
    struct log_request *l = r->state;
    struct source *s = l->count < SOURCES_MAX ? calloc(1, sizeof(*s)) : NULL;

    if (s == NULL)
        return NULL;
    s->r = r;
    list_push_back(&l->sources, &s->link);
    l->count++;
    request_hold(r);
    return s;
}

static void drop_source(struct source *s)
{
    struct request *r = s->r;

    list_remove(&s->link);
    ((struct log_request *)r->state)->count--;
    free(s);
    request_release(r);
}

static void open_task(struct request *r, const struct task *t)
{
    const struct api_backend *b = &r->api->cfg.backend;
    struct log_request *l = r->state;
    struct source *s = add_source(r);

    if (s == NULL)
        return;
    s->task = t->id;
    (void)snprintf(s->details, sizeof(s->details),
                   "com.docker.swarm.node.id=%s,com.docker.swarm.service.id=%s,"
                   "com.docker.swarm.task.id=%s ",
                   t->node_id.text, t->service_id.text, t->id.text);
    s->handle = b->logs_open(
        b->ctx, t, &l->options,
        &(struct api_log_callbacks){ .owner = s, .on_record = on_record, .on_end = on_end });
    if (s->handle == NULL)
        drop_source(s);
}

static void each_source(struct request *r, void (*of_program)(void *ctx, void *handle),
                        void (*of_runtime)(struct runtime_logs *logs))
{
    struct log_request *l = r->state;

    LIST_EACH_SAFE(it, &l->sources)
    {
        struct source *s = CONTAINER_OF(it, struct source, link);

        if (s->handle == NULL)
            continue;
        if (id_is_none(&s->task))
            of_runtime(s->handle);
        else
            of_program(r->api->cfg.backend.ctx, s->handle);
    }
}

static void hold(struct request *r)
{
    each_source(r, r->api->cfg.backend.logs_hold, runtime_logs_hold);
}

static void resume(struct request *r)
{
    each_source(r, r->api->cfg.backend.logs_resume, runtime_logs_resume);
}

static void let_go(struct request *r)
{
    struct log_request *l = r->state;

    l->closing = true;
    request_hold(r); /* the last source may end at once */
    each_source(r, r->api->cfg.backend.logs_close, runtime_logs_close);
    request_release(r);
}

/* --- Requests ------------------------------------------------------------------------------- */

/* "all", "" or a number. False: neither. */
static bool parse_tail(const char *text, uint64_t *out)
{
    char *end;

    *out = LOGS_TAIL_ALL;
    if (text == NULL || text[0] == '\0' || strcmp(text, "all") == 0)
        return true;
    if (text[0] == '-')
        return true; /* Docker: negative is all */
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Opens the stream. NULL: answered. */
static struct log_request *begin(struct request *r, bool tty)
{
    struct log_request *l = request_state(r, sizeof(*l));

    if (l == NULL)
        return NULL;
    list_init(&l->sources);
    l->options.out = request_flag(r, "stdout");
    l->options.err = request_flag(r, "stderr");
    l->options.follow = request_flag(r, "follow");
    l->timestamps = request_flag(r, "timestamps");
    l->details = request_flag(r, "details");
    l->framed = !tty;
    if (!l->options.out && !l->options.err) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "Bad parameters: you must choose at least one stream");
        return NULL;
    }
    if (!parse_tail(request_query(r, "tail"), &l->options.tail) ||
        !request_moment(r, "since", &l->options.since) ||
        !request_moment(r, "until", &l->options.until)) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "invalid tail, since or until: give a number of lines, and seconds, a time as "
                     "2026-11-23T10:00:00Z, or how long ago as 10m");
        return NULL;
    }
    r->stream.on_hold = hold;
    r->stream.on_resume = resume;
    r->stream.on_gone = let_go;
    if (!stream_open(r, tty || r->minor < 42 ? "application/vnd.docker.raw-stream"
                                             : "application/vnd.docker.multiplexed-stream"))
        return NULL;
    return l;
}

/* Whether its node has a container with logs. */
static bool has_logs(const struct task *t)
{
    return !id_is_none(&t->node_id) && t->status.state >= TASK_STARTING &&
           t->status.state != TASK_REJECTED && t->status.state != TASK_ORPHANED;
}

static bool is_tty(const struct task_spec *spec)
{
    return spec->container != NULL && spec->container->tty;
}

void handle_service_logs(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_SERVICE);
    const struct service *s = (const struct service *)(const void *)o;
    struct log_request *l;
    struct store_iter it;

    l = s != NULL ? begin(r, is_tty(&s->spec.task)) : NULL;
    if (l == NULL)
        return;
    l->service = s->id;
    request_hold(r); /* sources may end at once */
    STORE_EACH_OF_SERVICE(&it, request_store(r), &l->service, t)
    {
        if (has_logs(t))
            open_task(r, t);
    }
    if (is_done(l))
        stream_end(r);
    request_release(r);
}

void handle_task_logs(struct request *r)
{
    const struct object *o = request_object(r, OBJECT_TASK);
    const struct task *t = (const struct task *)(const void *)o;
    struct log_request *l = t != NULL ? begin(r, is_tty(&t->spec)) : NULL;

    if (l == NULL)
        return;
    request_hold(r); /* the source may end at once */
    if (has_logs(t))
        open_task(r, t);
    if (is_done(l))
        stream_end(r);
    request_release(r);
}

void logs_on_task(struct api *api, const struct task *task)
{
    if (!has_logs(task) || task_state_is_terminal(task->status.state))
        return;
    LIST_EACH_SAFE(it, &api->requests)
    {
        struct request *r = CONTAINER_OF(it, struct request, link);
        struct log_request *l = r->state;
        bool known = false;

        if (r->route == NULL || r->route->handle != handle_service_logs || !r->stream.open ||
            r->stream.ended || !l->options.follow || !id_equal(&l->service, &task->service_id))
            continue;
        LIST_EACH(source, &l->sources)
        known = known || id_equal(&CONTAINER_OF(source, struct source, link)->task, &task->id);
        if (!known)
            open_task(r, task);
    }
}

void handle_container_logs(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    const struct container_info *info = rt != NULL ? request_container(r) : NULL;
    struct log_request *l = info != NULL ? begin(r, info->spec->tty) : NULL;
    struct source *s;

    if (l == NULL)
        return;
    s = add_source(r);
    if (s != NULL)
        s->handle = runtime_logs_open(rt, info->spec->id, &l->options, on_record, on_end, s);
    if (s != NULL && s->handle == NULL)
        drop_source(s);
    if (l->count == 0)
        stream_end(r);
}
