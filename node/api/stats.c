/* node/api/stats.c - /containers/ID/stats: what a container uses. A rate needs two readings, so an
 * answer has that of a second before beside the newest, unless the client asks for one-shot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/container_json.h"

#define PERIOD_MS 1000

/* Readings of one container for one request. Lives until its timer is closed and no reading is
 * under way. */
struct sampling {
    struct request *request; /* NULL: nobody wants them any more */
    struct runtime *rt;
    char *id;
    bool streams, has_before;
    struct container_stats before;
    uv_timer_t timer;
    bool asked; /* a reading is under way */
    bool timer_closed;
};

static void free_when_done(struct sampling *s)
{
    if (s->asked || !s->timer_closed)
        return;
    free(s->id);
    free(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct sampling *s = handle->data;

    s->timer_closed = true;
    free_when_done(s);
}

static void let_go(struct sampling *s)
{
    s->request = NULL;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void on_stream_gone(struct request *r)
{
    let_go(r->stream.source);
    r->stream.source = NULL;
}

/* The one answer of a request without stream. */
static void answer(struct sampling *s, int err, const char *message, json_t *body)
{
    struct request *r = s->request;

    let_go(s);
    reply_result_json(r, err, message, MHD_HTTP_OK, body);
}

static void give_up(struct sampling *s, int err, const char *message)
{
    if (s->streams)
        stream_end(s->request); /* as it has always ended when the container does */
    else
        answer(s, err, message, NULL);
}

static void ask(struct sampling *s);

static void on_time(uv_timer_t *timer)
{
    ask(timer->data);
}

static void tell(struct sampling *s, const struct container_stats *now)
{
    const struct container_info *info = runtime_container_inspect(s->rt, s->id);
    json_t *json = info == NULL ? NULL : container_stats_json(info, now, &s->before);

    if (info == NULL)
        give_up(s, ERR_NOT_FOUND, "the container has been removed");
    else if (!s->streams)
        answer(s, 0, NULL, json);
    else
        (void)stream_json(s->request, json); /* false: it was cut off */
}

static void on_stats(void *owner, int err, const char *message, const struct container_stats *stats)
{
    struct sampling *s = owner;
    int rc = 0;

    s->asked = false;
    if (s->request == NULL) {
        free_when_done(s);
        return;
    }
    if (err < 0) {
        give_up(s, err, message);
        return;
    }
    if (s->has_before)
        tell(s, stats);
    s->before = *stats;
    s->has_before = true;
    if (s->request != NULL)
        rc = uv_timer_start(&s->timer, on_time, PERIOD_MS, 0);
    if (rc < 0)
        give_up(s, rc, NULL);
}

static void ask(struct sampling *s)
{
    s->asked = true;
    runtime_container_stats(s->rt, s->id, on_stats, s);
}

/* NULL: no memory. */
static struct sampling *sampling_new(struct request *r, const struct container_info *info)
{
    struct sampling *s = calloc(1, sizeof(*s));
    int rc = -ENOMEM;

    if (s != NULL)
        s->id = strdup(info->spec->id);
    if (s != NULL && s->id != NULL)
        rc = uv_timer_init(r->api->cfg.loop, &s->timer);
    if (rc < 0) {
        if (s != NULL)
            free(s->id);
        free(s);
        return NULL;
    }
    s->timer.data = s;
    s->request = r;
    s->rt = r->api->cfg.runtime;
    return s;
}

void handle_container_stats(struct request *r)
{
    const struct container_info *info = request_container(r);
    const char *stream = request_query(r, "stream");
    struct sampling *s = info == NULL ? NULL : sampling_new(r, info);

    if (info == NULL)
        return;
    if (s == NULL) {
        reply_error(r, -ENOMEM, NULL);
        return;
    }
    s->streams = stream == NULL || request_flag(r, "stream");
    s->has_before = !s->streams && request_flag(r, "one-shot"); /* nothing stands for it */
    if (!s->streams) {
        request_hold(r);
    } else {
        r->stream.source = s;
        r->stream.on_gone = on_stream_gone;
        if (!stream_open(r, "application/json")) {
            on_stream_gone(r);
            return;
        }
    }
    ask(s);
}
