/* chaos/sim/cluster_operator.c - Users: each has one service, asks for one change at a time, and
 * remembers what was acknowledged.
 *
 * Before each change it reads linearizably, on any manager: what it sees must be what was
 * acknowledged last, or a later change whose outcome nobody told it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"

enum { USERS_MAX = 6, WISHES_MAX = 32, IMAGES = 5, REPLICAS_MAX = 6 };

/* What a service may be, as far as its user knows. */
struct wish {
    bool exists;
    uint64_t replicas;
    char image[16];
};

struct user {
    struct world *world;
    unsigned index;
    struct prng prng;
    char name[8];
    bool global, start_first, publishes;
    enum failure_action on_failure;
    struct wish wishes[WISHES_MAX];
    size_t wish_count;
    struct wish asked, before;
    struct daemon *at; /* whose manager is asked */
    bool busy;
};

struct operator
{
    struct user users[USERS_MAX];
    size_t user_count;
    bool stopped;
};

static void think(struct user *u);

/* --- What it knows */

static bool wish_equal(const struct wish *a, const struct wish *b)
{
    return a->exists == b->exists &&
           (!a->exists || (a->replicas == b->replicas && strcmp(a->image, b->image) == 0));
}

static void add_wish(struct user *u, const struct wish *w)
{
    for (size_t i = 0; i < u->wish_count; i++)
        if (wish_equal(&u->wishes[i], w))
            return;
    CHECK(u->wish_count < WISHES_MAX);
    u->wishes[u->wish_count++] = *w;
}

static const struct service *service_of(const struct user *u, const struct store *s)
{
    return (const struct service *)(const void *)store_find_name(s, OBJECT_SERVICE, u->name);
}

static struct wish observe(const struct user *u, const struct store *s)
{
    const struct service *service = service_of(u, s);
    struct wish w = { .exists = service != NULL };
    const struct replicated *r = w.exists ? service->spec.mode.replicated : NULL;

    if (!w.exists)
        return w;
    w.replicas = r == NULL || r->replicas == NULL ? 0 : *r->replicas;
    (void)snprintf(w.image, sizeof(w.image), "%s", service->spec.task.container->image);
    return w;
}

static void verify(struct user *u, const struct store *s)
{
    struct wish seen = observe(u, s);

    for (size_t i = 0; i < u->wish_count; i++)
        if (wish_equal(&seen, &u->wishes[i]))
            return;
    world_fail(u->world, "%s is %s with %llu of %s, but that is not what was acknowledged", u->name,
               seen.exists ? "there" : "gone", (unsigned long long)seen.replicas, seen.image);
}

void operators_verify(struct world *w, struct daemon *d)
{
    for (size_t i = 0; i < w->operators->user_count; i++)
        verify(&w->operators->users[i], manager_store(d->manager));
}

/* --- Asking */

static struct daemon *any_manager(struct world *w, struct prng *p)
{
    unsigned first = (unsigned)prng_below(p, w->computer_count);

    for (unsigned i = 0; i < w->computer_count; i++) {
        struct daemon *d = w->computers[(first + i) % w->computer_count].daemon;

        if (d != NULL && d->manager != NULL && !d->closing_manager && !d->stopping)
            return d;
    }
    return NULL;
}

static void finish(struct user *u)
{
    u->busy = false;
    if (!u->world->over)
        think(u);
}

static void on_proposed(void *owner, int err, const struct field_error *why)
{
    struct user *u = owner;
    bool unknown = u->at->loop.dead || err == ERR_UNKNOWN_OUTCOME;

    if (!u->world->over) {
        sim_trace_line(&u->world->trace, u->world->clock.now, "user %s: %s %s", u->name,
                       err == 0  ? "acknowledged"
                       : unknown ? "nobody knows"
                                 : "refused",
                       err < 0 ? why->text : "");
        if (err == 0 && !unknown)
            u->wish_count = 0;
        if (err == 0 || unknown)
            add_wish(u, &u->asked);
        if ((err == 0 || unknown) && u->on_failure == FAILURE_ROLLBACK && u->before.exists)
            add_wish(u, &u->before); /* the update may fail and come back */
        u->world->result.acknowledged += err == 0 && !unknown;
        u->world->result.unknown += unknown;
        u->world->result.refused += err < 0 && !unknown;
    }
    finish(u);
}

struct spec_parts {
    uint64_t replicas;
    int64_t delay, monitor, restart_delay;
    struct replicated replicated;
    struct global global;
    struct task_container container;
    struct restart_policy restart;
    struct update_config update;
    struct endpoint_spec endpoint;
    struct port port;
    struct network_target network;
    char network_name[8];
    struct service_spec spec;
};

static void build_spec(struct user *u, struct wish *w, struct spec_parts *p)
{
    *p = (struct spec_parts){ .replicas = w->replicas,
                              .monitor = 2 * (int64_t)NS_PER_S,
                              .restart_delay = 200 * (int64_t)NS_PER_MS,
                              .network_name = "net" };
    p->spec.name = u->name;
    p->container.image = w->image;
    p->spec.task.container = &p->container;
    p->replicated.replicas = &p->replicas;
    if (u->global)
        p->spec.mode.global = &p->global;
    else
        p->spec.mode.replicated = &p->replicated;
    p->restart = (struct restart_policy){ .condition = RESTART_ANY, .delay = &p->restart_delay };
    p->spec.task.restart = &p->restart;
    p->update =
        (struct update_config){ .parallelism = 1 + u->index % 2,
                                .failure_action = u->on_failure,
                                .monitor = &p->monitor,
                                .max_failure_ratio = 0.3,
                                .order = u->start_first ? ORDER_START_FIRST : ORDER_STOP_FIRST };
    p->spec.update = p->spec.rollback = &p->update;
    p->network.target = p->network_name;
    p->spec.task.networks.items = &p->network;
    p->spec.task.networks.count = 1;
    p->port = (struct port){ .target_port = 80, .publish_mode = PUBLISH_INGRESS };
    p->endpoint.ports.items = &p->port;
    p->endpoint.ports.count = 1;
    if (u->publishes)
        p->spec.endpoint = &p->endpoint;
}

static void choose_image(struct user *u, struct wish *w)
{
    bool bad = u->on_failure == FAILURE_ROLLBACK && !u->world->healing &&
               prng_below(&u->prng, 1000) < u->world->options.bad_images;

    (void)snprintf(w->image, sizeof(w->image), "%s:%u", bad ? "bad" : "web",
                   (unsigned)prng_below(&u->prng, IMAGES));
}

static int ask_for(struct user *u, struct admit *a, const struct service *service)
{
    struct spec_parts parts;
    struct id id;

    if (!u->asked.exists)
        return admit_service_remove(a, &service->id);
    build_spec(u, &u->asked, &parts);
    if (service == NULL)
        return admit_service_create(a, &parts.spec, &id);
    return admit_service_update(a, &service->id, service->version.index, &parts.spec);
}

static void choose(struct user *u, const struct store *s)
{
    u->before = u->asked = observe(u, s);
    if (!u->before.exists) {
        u->asked.exists = true;
        u->asked.replicas = prng_range(&u->prng, 1, 4);
        choose_image(u, &u->asked);
    } else if (!u->world->healing && prng_chance(&u->prng, 0.1)) {
        u->asked.exists = false;
    } else if (u->global || u->world->healing || prng_chance(&u->prng, 0.5)) {
        choose_image(u, &u->asked);
    } else {
        u->asked.replicas = prng_range(&u->prng, 0, REPLICAS_MAX);
    }
    if (u->global)
        u->asked.replicas = 0;
}

/* Once all is healed, a user only repairs what its own last wish broke. */
static bool is_content(const struct user *u, const struct store *s)
{
    const struct service *service = service_of(u, s);

    if (service == NULL)
        return true;
    return strncmp(service->spec.task.container->image, "bad", 3) != 0 &&
           (service->update_status == NULL ||
            (service->update_status->state != UPDATE_PAUSED &&
             service->update_status->state != UPDATE_ROLLBACK_PAUSED));
}

static void on_read(void *owner, int err, const struct field_error *why)
{
    struct user *u = owner;
    struct transaction t = { 0 };
    struct field_error refusal = { "" };
    const struct store *s;
    struct admit a;
    int rc;

    (void)why;
    if (err < 0 || u->world->over || u->at->loop.dead || u->at->stopping ||
        u->at->closing_manager || u->at->manager == NULL) {
        finish(u);
        return;
    }
    s = manager_store(u->at->manager);
    verify(u, s);
    if (u->world->healing && is_content(u, s)) {
        finish(u);
        return;
    }
    choose(u, s);
    manager_admit(u->at->manager, &a, &t, &refusal);
    rc = ask_for(u, &a, service_of(u, s));
    sim_trace_line(&u->world->trace, u->world->clock.now, "user %s asks %u: %s %llu of %s%s%s",
                   u->name, u->at->computer->index, u->asked.exists ? "have" : "remove",
                   (unsigned long long)u->asked.replicas, u->asked.image, rc < 0 ? ": " : "",
                   rc < 0 ? refusal.text : "");
    if (rc < 0) {
        world_fail(u->world, "user %s is refused: %s", u->name, refusal.text);
        fields_deinit(&transaction_type, &t);
        finish(u);
        return;
    }
    manager_propose(u->at->manager, &t, on_proposed, u);
}

static void on_thought(void *ctx, uint64_t arg)
{
    struct user *u = ctx;
    struct sim_loop *before;

    (void)arg;
    if (u->world->over || u->world->operators->stopped)
        return;
    u->at = any_manager(u->world, &u->prng);
    if (u->at == NULL) {
        think(u);
        return;
    }
    u->busy = true;
    before = loop_enter(&u->at->loop);
    manager_read(u->at->manager, on_read, u);
    loop_leave(before);
    loop_poke(&u->at->loop);
}

static void think(struct user *u)
{
    uint64_t mean = u->world->healing ? 1000 : u->world->options.think_ms;

    sim_clock_after(&u->world->clock, prng_range(&u->prng, 1, 2 * mean) * NS_PER_MS, on_thought, u,
                    0);
}

/* --- Life */

void operators_init(struct world *w)
{
    struct operator* o = calloc(1, sizeof(*o));

    CHECK(o != NULL);
    w->operators = o;
    o->user_count = MIN(w->options.services, (uint64_t)USERS_MAX);
    for (unsigned i = 0; i < o->user_count; i++) {
        struct user *u = &o->users[i];

        u->world = w;
        u->index = i;
        u->prng = prng_fork_u64(&w->workload, i);
        (void)snprintf(u->name, sizeof(u->name), "s%u", i);
        u->global = i % 4 == 3;
        u->start_first = prng_chance(&u->prng, 0.4);
        u->publishes = prng_chance(&u->prng, 0.3);
        u->on_failure = prng_chance(&u->prng, 0.5) ? FAILURE_CONTINUE : FAILURE_ROLLBACK;
        u->wish_count = 1; /* it is not there */
    }
}

void operators_begin(struct world *w)
{
    for (size_t i = 0; i < w->operators->user_count; i++)
        think(&w->operators->users[i]);
}

void operators_stop(struct world *w)
{
    w->operators->stopped = true;
}

bool operators_are_done(const struct world *w)
{
    for (size_t i = 0; i < w->operators->user_count; i++)
        if (w->operators->users[i].busy)
            return false;
    return true;
}

void operators_deinit(struct world *w)
{
    free(w->operators);
}
