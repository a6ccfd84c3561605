/* Health checks. One timer per container; a check is an exec whose exit status decides.
 *
 *     starting --ok--> healthy <--ok / `retries` failures--> unhealthy
 *
 * During the start period failures do not count, and checks come at the start interval until
 * the first success, as with Docker. The next check begins an interval after the last ended. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/stream.h"

struct health {
    struct container *container; /* NULL: the container has ended, the check under way has not */
    struct runtime *rt;
    struct spec_health check;
    uv_timer_t timer;
    struct runtime_stream *running;
    bool closed;
    mono_ns started;
    size_t output_len;
    char output[HEALTH_OUTPUT_MAX + 1];
};

static void free_if_unused(struct health *h)
{
    if (h->closed && h->running == NULL)
        free(h);
}

static bool in_start_period(const struct health *h)
{
    return uv_hrtime() - h->started < h->check.start_period_ns;
}

static void on_timer(uv_timer_t *timer);

static void schedule(struct health *h)
{
    bool eager = in_start_period(h) && h->container->info.health == HEALTH_STARTING;
    uint64_t ns =
        eager ? MIN(h->check.start_interval_ns, h->check.interval_ns) : h->check.interval_ns;

    (void)uv_timer_start(&h->timer, on_timer, MAX(ns / NS_PER_MS, 1), 0); /* it has a callback */
}

static void set_health(struct container *c, enum container_health health)
{
    if (c->info.health == health)
        return;
    c->info.health = health;
    container_emit(c, CONTAINER_EVENT_HEALTH);
}

static void take_result(struct health *h, bool ok)
{
    struct container *c = h->container;

    memcpy(c->health_output, h->output, h->output_len);
    c->health_output[h->output_len] = '\0';
    if (ok) {
        c->info.failing_streak = 0;
        set_health(c, HEALTH_HEALTHY);
        return;
    }
    if (c->info.health == HEALTH_STARTING && in_start_period(h))
        return;
    if (++c->info.failing_streak >= h->check.retries)
        set_health(c, HEALTH_UNHEALTHY);
}

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct health *h = owner;
    size_t room = HEALTH_OUTPUT_MAX - h->output_len;
    size_t len = MIN(bytes.len, room);

    (void)source;
    if (len > 0)
        memcpy(h->output + h->output_len, bytes.ptr, len);
    h->output_len += len;
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct health *h = owner;

    h->running = NULL;
    if (h->container == NULL) {
        free_if_unused(h);
        return;
    }
    if (err < 0 && err != ERR_CLOSED)
        on_output(h, STREAM_STDERR, slice_of_str(message));
    /* Paused, or ending: no news about health. */
    if (err != ERR_CLOSED && err != ERR_CONFLICT)
        take_result(h, err == 0 && exit_code == 0);
    if (h->container != NULL)
        schedule(h);
}

static void on_timer(uv_timer_t *timer)
{
    struct health *h = timer->data;
    struct container *c = h->container;
    const struct str_list *test = h->check.test;
    const char **argv = calloc(test->count + c->image.config.shell.count + 3, sizeof(*argv));
    const struct stream_callbacks callbacks = { .owner = h,
                                                .on_output = on_output,
                                                .on_end = on_end };
    struct exec_spec spec = { .argv = argv };
    size_t n = 0;

    if (argv == NULL) {
        schedule(h);
        return;
    }
    if (strcmp(test->items[0], "CMD-SHELL") == 0) {
        const struct str_list *shell = &c->image.config.shell;

        for (size_t i = 0; i < shell->count; i++)
            argv[n++] = shell->items[i];
        if (n == 0) {
            argv[n++] = "/bin/sh";
            argv[n++] = "-c";
        }
        argv[n++] = test->items[1];
    } else {
        for (size_t i = 1; i < test->count; i++)
            argv[n++] = test->items[i] == NULL ? "" : test->items[i];
    }
    h->output_len = 0;
    h->running = stream_exec(c, &spec, MAX(h->check.timeout_ns / NS_PER_MS, 1), &callbacks);
    free(argv);
}

void health_start(struct container *c)
{
    struct spec_health check;
    struct health *h;

    c->info.failing_streak = 0;
    c->health_output[0] = '\0';
    c->info.health = HEALTH_NONE;
    if (!spec_health_check(&c->record.spec, &c->image, &check))
        return;
    h = calloc(1, sizeof(*h));
    if (h == NULL || uv_timer_init(c->rt->loop, &h->timer) < 0) {
        free(h); /* without checks it stays "starting", which is what is known */
        c->info.health = HEALTH_STARTING;
        return;
    }
    h->container = c;
    h->rt = c->rt;
    h->check = check;
    h->started = uv_hrtime();
    h->timer.data = h;
    c->rt->open_handles++;
    c->health = h;
    set_health(c, HEALTH_STARTING);
    schedule(h);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct health *h = handle->data;
    struct runtime *rt = h->rt;

    h->closed = true;
    free_if_unused(h);
    runtime_handle_closed(rt);
}

void health_stop(struct container *c)
{
    struct health *h = c->health;

    if (h == NULL)
        return;
    c->health = NULL;
    h->container = NULL;
    if (h->running != NULL)
        runtime_stream_close(h->running);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}
