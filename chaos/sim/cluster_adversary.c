/* chaos/sim/cluster_adversary.c - What goes wrong, and when. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"

static void next_act(struct world *w);

static struct computer *any_computer(struct world *w)
{
    return &w->computers[prng_below(&w->adversary, w->computer_count)];
}

/* How long the next fault lasts; until then nothing is calm. */
static mono_ns some_time(struct world *w, uint64_t most_ms)
{
    mono_ns time = prng_range(&w->adversary, 50, most_ms) * NS_PER_MS;

    w->calm_since = MAX(w->calm_since, w->clock.now + time);
    return time;
}

/* --- The network */

static void on_heal(void *ctx, uint64_t arg)
{
    struct world *w = ctx;

    (void)arg;
    if (w->over)
        return;
    sim_trace_line(&w->trace, w->clock.now, "the network is whole");
    sim_net_heal(&w->net);
}

static void partition(struct world *w)
{
    unsigned group[COMPUTERS_MAX] = { 0 };

    for (unsigned i = 0; i < w->computer_count; i++)
        group[i] = (unsigned)prng_below(&w->adversary, 2);
    sim_trace_line(&w->trace, w->clock.now, "the network parts: %u%u%u%u%u", group[0], group[1],
                   group[2], group[3], group[4]);
    sim_net_partition(&w->net, group, w->computer_count);
    sim_clock_after(&w->clock, some_time(w, 15000), on_heal, w, 0);
}

static void cut_one_way(struct world *w)
{
    unsigned deaf = any_computer(w)->index;
    bool mute = prng_chance(&w->adversary, 0.5);

    sim_trace_line(&w->trace, w->clock.now, "%u %s", deaf, mute ? "is not heard" : "hears nothing");
    for (unsigned i = 0; i < w->computer_count; i++)
        if (i != deaf && mute)
            sim_net_cut(&w->net, deaf, i);
        else if (i != deaf)
            sim_net_cut(&w->net, i, deaf);
    sim_clock_after(&w->clock, some_time(w, 12000), on_heal, w, 0);
}

/* --- Processes and power */

static void on_restart(void *ctx, uint64_t arg)
{
    struct computer *c = ctx;

    (void)arg;
    if (c->world->over)
        return;
    if (!c->powered)
        power_on(c);
    else
        daemon_start(c);
}

static void kill_one(struct world *w, struct computer *c)
{
    w->result.kills++;
    daemon_kill(c, DISK_MEM_KEEP);
    sim_clock_after(&w->clock, some_time(w, 8000), on_restart, c, 0);
}

static void kill_leader(struct world *w)
{
    struct daemon *d = leading_daemon(w);

    if (d != NULL)
        kill_one(w, d->computer);
}

static void cut_power(struct world *w)
{
    struct computer *c = any_computer(w);

    w->result.kills++;
    power_off(c, prng_chance(&w->adversary, 0.5) ? DISK_MEM_LOSE : DISK_MEM_TEAR);
    sim_clock_after(&w->clock, some_time(w, 12000), on_restart, c, 0);
}

static void restart_politely(struct world *w)
{
    struct computer *c = any_computer(w);

    daemon_stop(c);
    sim_clock_after(&w->clock, some_time(w, 5000) + 1500 * NS_PER_MS, on_restart, c, 0);
}

static void on_resumed(void *ctx, uint64_t arg)
{
    struct computer *c = ctx;

    (void)arg;
    if (c->world->over)
        return;
    if (c->daemon != NULL)
        loop_poke(&c->daemon->loop);
}

static void pause_one(struct world *w)
{
    struct computer *c = any_computer(w);
    mono_ns time = some_time(w, 6000);

    if (c->daemon == NULL)
        return;
    sim_trace_line(&w->trace, w->clock.now, "%u stands still", c->index);
    c->daemon->loop.paused_until = w->clock.now + time;
    sim_clock_after(&w->clock, time, on_resumed, c, 0);
}

static void end_container(struct world *w)
{
    struct computer *c = any_computer(w);
    struct sim_container *victim = NULL;
    uint64_t running = 0;

    LIST_EACH(link, &c->containers)
    {
        struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);

        if (k->state == CONTAINER_RUNNING && prng_below(&w->adversary, ++running) == 0)
            victim = k;
    }
    if (victim != NULL)
        container_exit(c, victim, prng_chance(&w->adversary, 0.3) ? 0 : 3);
}

/* --- Administration: nodes */

static void on_node_updated(void *owner, int err, const struct field_error *why)
{
    struct world *w = owner;

    if (!w->over)
        sim_trace_line(&w->trace, w->clock.now, "admin: %s", err < 0 ? why->text : "done");
}

static void update_node(struct world *w, const struct node *n, const struct node_spec *spec,
                        struct daemon *at)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct admit a;
    struct sim_loop *before = loop_enter(&at->loop);

    manager_admit(at->manager, &a, &t, &why);
    if (admit_node_update(&a, &n->id, n->version.index, spec) == 0)
        manager_propose(at->manager, &t, on_node_updated, w);
    else
        fields_deinit(&transaction_type, &t);
    loop_leave(before);
    loop_poke(&at->loop);
}

static const struct node *any_node(struct world *w, struct daemon **at)
{
    *at = leading_daemon(w);
    if (*at == NULL || (*at)->stopping || (*at)->closing_manager)
        return NULL;
    return store_node(manager_store((*at)->manager), &any_computer(w)->id);
}

static void change_availability(struct world *w)
{
    struct daemon *at;
    const struct node *n = any_node(w, &at);
    struct node_spec spec;

    if (n == NULL)
        return;
    spec = n->spec; /* borrowed for the call */
    spec.availability =
        spec.availability == AVAILABILITY_ACTIVE ? AVAILABILITY_DRAIN : AVAILABILITY_ACTIVE;
    sim_trace_line(&w->trace, w->clock.now, "admin: %s %u",
                   enum_text(&availability_names, (int)spec.availability),
                   computer_by_id(w, &n->id)->index);
    update_node(w, n, &spec, at);
}

static void change_role(struct world *w)
{
    struct daemon *at;
    const struct node *n = any_node(w, &at);
    struct node_spec spec;

    if (n == NULL)
        return;
    spec = n->spec;
    spec.role = spec.role == ROLE_MANAGER ? ROLE_WORKER : ROLE_MANAGER;
    sim_trace_line(&w->trace, w->clock.now, "admin: make %u a %s", computer_by_id(w, &n->id)->index,
                   enum_text(&node_role_names, (int)spec.role));
    update_node(w, n, &spec, at);
}

/* --- One act after the other */

static void act(struct world *w)
{
    const struct cluster_options *o = &w->options;
    const uint64_t weights[] = { o->partition, o->one_way, o->kill,      o->kill_leader, o->power,
                                 o->restart,   o->pause,   o->container, o->drain,       o->roles };
    uint64_t total = 0, drawn;
    size_t which = 0;

    for (size_t i = 0; i < ARRAY_LEN(weights); i++)
        total += weights[i];
    if (total == 0)
        return;
    drawn = prng_below(&w->adversary, total);
    while (drawn >= weights[which])
        drawn -= weights[which++];
    switch (which) {
    case 0:
        partition(w);
        break;
    case 1:
        cut_one_way(w);
        break;
    case 2:
        kill_one(w, any_computer(w));
        break;
    case 3:
        kill_leader(w);
        break;
    case 4:
        cut_power(w);
        break;
    case 5:
        restart_politely(w);
        break;
    case 6:
        pause_one(w);
        break;
    case 7:
        end_container(w);
        break;
    case 8:
        change_availability(w);
        break;
    default:
        change_role(w);
        break;
    }
}

static void on_act(void *ctx, uint64_t number)
{
    struct world *w = ctx;
    struct prng kept = w->adversary;

    if (w->over || w->healing)
        return;
    w->result.acts = number + 1;
    w->adversary = prng_fork_u64(&kept, number); /* an act that is skipped changes no other */
    if (number >= 64 || (w->options.skip >> number & 1) == 0)
        act(w);
    w->adversary = kept;
    next_act(w);
}

static void next_act(struct world *w)
{
    mono_ns gap = prng_range(&w->adversary, 1, 2 * w->options.fault_gap_ms) * NS_PER_MS;

    sim_clock_after(&w->clock, gap, on_act, w, w->result.acts);
}

void adversary_begin(struct world *w)
{
    w->result.acts = 0;
    next_act(w);
}

/* Some node must be able to run something. */
static void activate_one(struct world *w)
{
    struct daemon *at = leading_daemon(w);
    struct store_iter it;
    const struct node *drained = NULL;

    if (at == NULL || at->stopping || at->closing_manager)
        return;
    STORE_EACH(&it, manager_store(at->manager), OBJECT_NODE, struct node, n)
    {
        if (n->spec.availability == AVAILABILITY_ACTIVE)
            return;
        drained = n;
    }
    if (drained != NULL) {
        struct node_spec spec = drained->spec;

        spec.availability = AVAILABILITY_ACTIVE;
        update_node(w, drained, &spec, at);
    }
}

static void on_tend(void *ctx, uint64_t arg)
{
    struct world *w = ctx;

    (void)arg;
    if (w->over)
        return;
    activate_one(w);
    for (unsigned i = 0; i < w->computer_count; i++)
        on_restart(&w->computers[i], 0); /* some take long to stop */
    sim_clock_after(&w->clock, NS_PER_S, on_tend, w, 0);
}

void adversary_end(struct world *w)
{
    w->healing = true;
    w->net.loss = w->net.repeat = 0;
    on_heal(w, 0);
    for (unsigned i = 0; i < w->computer_count; i++) {
        struct computer *c = &w->computers[i];

        if (c->daemon != NULL)
            c->daemon->loop.paused_until = 0;
        if (c->daemon != NULL)
            loop_poke(&c->daemon->loop);
    }
    on_tend(w, 0);
}
