/* chaos/sim/cluster_uv.c - The functions of libuv, over virtual time. */
#include "chaos/sim/cluster_uv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/check.h"

/* 2026-01-01: certificates and the like want a plausible date. */
#define WALL_EPOCH INT64_C(1767225600000000000)

enum { CALLS_MAX = 32 }; /* handles of one loop */

/* What libuv would keep in the private fields of a handle. */
struct sim_handle {
    struct list link;
    uv_handle_t *handle;
    bool active, closing;
    uv_prepare_cb on_prepare;
    uv_idle_cb on_idle;
    uv_timer_cb on_timer;
    mono_ns due;
    uint64_t repeat_ms;
    uv_close_cb on_close;
};

struct sim_work {
    struct list link;
    struct sim_loop *loop;
    uv_work_t *req;
    uv_work_cb work;
    uv_after_work_cb after;
};

/* A call on a loop that may have to wait. */
struct later {
    struct sim_loop *loop;
    sim_action *action;
    void *ctx;
    uint64_t arg;
};

static struct sim_loop *running;

struct sim_loop *loop_enter(struct sim_loop *l)
{
    struct sim_loop *before = running;

    running = l;
    return before;
}

void loop_leave(struct sim_loop *before)
{
    running = before;
}

void loop_init(struct sim_loop *l, struct sim_clock *clock, struct prng prng)
{
    *l = (struct sim_loop){
        .clock = clock, .prng = prng, .wake_at = MONO_NEVER, .work_mean = 300 * NS_PER_US
    };
    list_init(&l->handles);
    list_init(&l->works);
}

static mono_ns now_of(const struct sim_loop *l)
{
    return l->clock->now + l->ahead;
}

static struct sim_loop *loop_of(const uv_loop_t *uv)
{
    union {
        const uv_loop_t *shared;
        uv_loop_t *own;
    } loop = { .shared = uv };

    return CONTAINER_OF(loop.own, struct sim_loop, uv);
}

static struct sim_handle *state_of(const uv_handle_t *h)
{
    return h->u.reserved[0];
}

/* --- Calls that come by the clock */

static void on_later(void *ctx, uint64_t arg)
{
    struct later *call = ctx;
    struct sim_loop *l = call->loop, *before;

    (void)arg;
    if (l->dead) {
        free(call);
        return;
    }
    if (l->paused_until > l->clock->now) {
        sim_clock_at(l->clock, l->paused_until, on_later, call, 0);
        return;
    }
    before = loop_enter(l);
    call->action(call->ctx, call->arg);
    loop_leave(before);
    free(call);
    loop_poke(l);
}

void loop_after(struct sim_loop *l, mono_ns delay, sim_action *action, void *ctx, uint64_t arg)
{
    struct later *call = malloc(sizeof(*call));

    CHECK(call != NULL);
    *call = (struct later){ l, action, ctx, arg };
    sim_clock_after(l->clock, delay, on_later, call, 0);
}

/* --- Turns */

static bool is_idle_active(const struct sim_loop *l)
{
    LIST_EACH(link, &l->handles)
    {
        const struct sim_handle *h = CONTAINER_OF(link, struct sim_handle, link);

        if (h->active && h->on_idle != NULL)
            return true;
    }
    return false;
}

static struct sim_handle *due_timer(const struct sim_loop *l, mono_ns now)
{
    struct sim_handle *first = NULL;

    LIST_EACH(link, &l->handles)
    {
        struct sim_handle *h = CONTAINER_OF(link, struct sim_handle, link);

        if (h->active && h->on_timer != NULL && h->due <= now &&
            (first == NULL || h->due < first->due))
            first = h;
    }
    return first;
}

static void run_timers(struct sim_loop *l)
{
    mono_ns now = now_of(l);
    struct sim_handle *h;

    while ((h = due_timer(l, now)) != NULL) {
        h->active = h->repeat_ms > 0;
        h->due = now + h->repeat_ms * NS_PER_MS;
        h->on_timer((uv_timer_t *)h->handle);
    }
}

/* The newest first, as libuv does. */
static void run_prepares(struct sim_loop *l)
{
    struct sim_handle *calls[CALLS_MAX];
    size_t count = 0;

    LIST_EACH(link, &l->handles)
    {
        struct sim_handle *h = CONTAINER_OF(link, struct sim_handle, link);

        CHECK(count < CALLS_MAX);
        if (h->on_prepare != NULL)
            calls[count++] = h;
    }
    while (count-- > 0)
        if (calls[count]->active)
            calls[count]->on_prepare((uv_prepare_t *)calls[count]->handle);
}

static void run_closes(struct sim_loop *l)
{
    LIST_EACH_SAFE(link, &l->handles)
    {
        struct sim_handle *h = CONTAINER_OF(link, struct sim_handle, link);
        uv_handle_t *handle = h->handle;
        uv_close_cb on_close = h->on_close;

        if (!h->closing)
            continue;
        list_remove(link);
        free(h);
        if (on_close != NULL)
            on_close(handle);
    }
}

static mono_ns next_timer(const struct sim_loop *l)
{
    mono_ns at = MONO_NEVER;

    LIST_EACH(link, &l->handles)
    {
        const struct sim_handle *h = CONTAINER_OF(link, struct sim_handle, link);

        if (h->active && h->on_timer != NULL)
            at = MIN(at, h->due);
    }
    return at;
}

static void run_turn(struct sim_loop *l)
{
    struct sim_loop *before = loop_enter(l);

    run_timers(l);
    run_prepares(l);
    run_closes(l);
    loop_leave(before);
}

static void on_wake(void *ctx, uint64_t arg);

/* Early wake-ups are harmless, so none is ever cancelled. */
static void sleep_until_timer(struct sim_loop *l)
{
    mono_ns at = next_timer(l);

    if (at == MONO_NEVER || (l->wake_at <= at && l->wake_at > l->clock->now))
        return;
    l->wake_at = MAX(at, l->clock->now + 1);
    sim_clock_at(l->clock, l->wake_at, on_wake, l, 0);
}

static void on_turn(void *ctx, uint64_t arg)
{
    struct sim_loop *l = ctx;

    (void)arg;
    if (l->dead)
        return;
    if (l->paused_until > l->clock->now) {
        sim_clock_at(l->clock, l->paused_until, on_turn, l, 0);
        return;
    }
    l->turn_scheduled = false;
    run_turn(l);
    if (l->dead)
        return; /* the turn found a reason to end the process */
    if (is_idle_active(l))
        loop_poke(l);
    sleep_until_timer(l);
}

static void on_wake(void *ctx, uint64_t arg)
{
    struct sim_loop *l = ctx;

    (void)arg;
    if (!l->dead)
        loop_poke(l);
}

void loop_poke(struct sim_loop *l)
{
    if (l->turn_scheduled || l->dead)
        return;
    l->turn_scheduled = true;
    sim_clock_after(l->clock, prng_range(&l->prng, 2, 40) * NS_PER_US, on_turn, l, 0);
}

/* --- A dead process */

void loop_kill(struct sim_loop *l)
{
    l->dead = true;
}

static void finish_works(struct sim_loop *l)
{
    struct list *link;

    while ((link = list_pop_front(&l->works)) != NULL) {
        struct sim_work *w = CONTAINER_OF(link, struct sim_work, link);

        w->work(w->req);
        w->after(w->req, 0);
        w->loop = NULL; /* its event on the clock frees it */
    }
}

bool loop_run_dead(struct sim_loop *l, const bool *closed)
{
    CHECK(l->dead);
    for (unsigned turn = 0; turn < 10000 && !*closed; turn++) {
        struct sim_loop *before = loop_enter(l);

        finish_works(l);
        loop_leave(before);
        run_turn(l);
        l->ahead += NS_PER_MS;
    }
    return *closed;
}

/* --- libuv */

uint64_t uv_hrtime(void)
{
    CHECK(running != NULL);
    return now_of(running);
}

int uv_gettimeofday(uv_timeval64_t *tv)
{
    wall_ns wall;

    CHECK(running != NULL);
    wall = WALL_EPOCH + running->wall_offset + (wall_ns)now_of(running);
    *tv = (uv_timeval64_t){ .tv_sec = wall / INT64_C(1000000000),
                            .tv_usec = (int32_t)(wall % INT64_C(1000000000) / 1000) };
    return 0;
}

void uv_update_time(uv_loop_t *loop)
{
    (void)loop; /* it is always current */
}

uint64_t uv_now(const uv_loop_t *loop)
{
    return now_of(loop_of(loop)) / NS_PER_MS;
}

static struct sim_handle *add_handle(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
    struct sim_handle *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->handle = h;
    h->loop = loop;
    h->type = type;
    h->u.reserved[0] = s;
    list_push_back(&loop_of(loop)->handles, &s->link);
    return s;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *h)
{
    (void)add_handle(loop, (uv_handle_t *)h, UV_PREPARE);
    return 0;
}

int uv_prepare_start(uv_prepare_t *h, uv_prepare_cb on_prepare)
{
    struct sim_handle *s = state_of((uv_handle_t *)h);

    s->active = true;
    s->on_prepare = on_prepare;
    loop_poke(loop_of(h->loop));
    return 0;
}

int uv_prepare_stop(uv_prepare_t *h)
{
    state_of((uv_handle_t *)h)->active = false;
    return 0;
}

int uv_idle_init(uv_loop_t *loop, uv_idle_t *h)
{
    (void)add_handle(loop, (uv_handle_t *)h, UV_IDLE);
    return 0;
}

int uv_idle_start(uv_idle_t *h, uv_idle_cb on_idle)
{
    struct sim_handle *s = state_of((uv_handle_t *)h);

    s->active = true;
    s->on_idle = on_idle;
    loop_poke(loop_of(h->loop));
    return 0;
}

int uv_idle_stop(uv_idle_t *h)
{
    state_of((uv_handle_t *)h)->active = false;
    return 0;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *h)
{
    (void)add_handle(loop, (uv_handle_t *)h, UV_TIMER);
    return 0;
}

int uv_timer_start(uv_timer_t *h, uv_timer_cb on_timer, uint64_t timeout_ms, uint64_t repeat_ms)
{
    struct sim_handle *s = state_of((uv_handle_t *)h);
    struct sim_loop *l = loop_of(h->loop);

    if (s->closing)
        return UV_EINVAL;
    s->active = true;
    s->on_timer = on_timer;
    s->due = mono_after(now_of(l), timeout_ms * NS_PER_MS);
    s->repeat_ms = repeat_ms;
    if (!l->dead)
        sleep_until_timer(l);
    return 0;
}

int uv_timer_stop(uv_timer_t *h)
{
    state_of((uv_handle_t *)h)->active = false;
    return 0;
}

int uv_is_active(const uv_handle_t *h)
{
    return state_of(h)->active;
}

int uv_is_closing(const uv_handle_t *h)
{
    return state_of(h)->closing;
}

void uv_close(uv_handle_t *h, uv_close_cb on_close)
{
    struct sim_handle *s = state_of(h);

    CHECK(!s->closing);
    s->active = false;
    s->closing = true;
    s->on_close = on_close;
    loop_poke(loop_of(h->loop));
}

static void on_work_done(void *ctx, uint64_t arg)
{
    struct sim_work *w = ctx;
    struct sim_loop *l = w->loop, *before;

    (void)arg;
    if (l == NULL) { /* finished by loop_run_dead() */
        free(w);
        return;
    }
    if (l->paused_until > l->clock->now) {
        sim_clock_at(l->clock, l->paused_until, on_work_done, w, 0);
        return;
    }
    list_remove(&w->link);
    before = loop_enter(l);
    w->work(w->req);
    w->after(w->req, 0);
    loop_leave(before);
    free(w);
    loop_poke(l);
}

void loop_work(struct sim_loop *l, mono_ns takes, uv_work_t *req, uv_work_cb work,
               uv_after_work_cb after)
{
    struct sim_work *w = malloc(sizeof(*w));

    CHECK(w != NULL);
    *w = (struct sim_work){ .loop = l, .req = req, .work = work, .after = after };
    list_push_back(&l->works, &w->link);
    sim_clock_after(l->clock, takes, on_work_done, w, 0);
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after)
{
    struct sim_loop *l = loop_of(loop);

    req->loop = loop;
    loop_work(l, 20 * NS_PER_US + prng_below(&l->prng, 2 * l->work_mean), req, work, after);
    return 0;
}
