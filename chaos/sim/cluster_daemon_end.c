/* chaos/sim/cluster_daemon_end.c - How a life ends: politely, killed, or by power loss. */
#include <stdlib.h>

#include "base/check.h"
#include "base/fields.h"
#include "chaos/sim/cluster_sim.h"

static void free_parts(struct daemon *d)
{
    struct sim_loop *before = loop_enter(&d->loop);

    gossip_end(d);
    if (d->runtime != NULL)
        runtime_end(d->runtime);
    if (d->overlay != NULL)
        overlay_end(d->overlay);
    links_drop(d->links);
    d->links = NULL;
    fields_deinit(&cluster_record_type, &d->record);
    loop_leave(before);
}

static void on_dead_manager_closed(void *ctx)
{
    struct daemon *d = ctx;

    d->manager = NULL;
    d->manager_closed = true;
}

static void on_dead_host_closed(void *ctx)
{
    struct daemon *d = ctx;

    d->host = NULL;
    d->host_closed = true;
}

/* Its memory comes back through its own closing, which no one else notices. */
static void bury(struct daemon *d)
{
    struct sim_loop *before = loop_enter(&d->loop);

    if (d->links != NULL)
        links_die(d->links);
    if (d->manager != NULL && !d->closing_manager && !d->stopping)
        manager_close(d->manager, on_dead_manager_closed, d);
    if (d->manager != NULL && !loop_run_dead(&d->loop, &d->manager_closed))
        world_fail(d->world, "%u: a manager does not close", d->computer->index);
    if (d->host != NULL && (!d->stopping || !d->host_closing))
        host_close(d->host, on_dead_host_closed, d);
    if (d->host != NULL && !loop_run_dead(&d->loop, &d->host_closed))
        world_fail(d->world, "%u: an agent does not close", d->computer->index);
    loop_leave(before);
    free_parts(d);
}

static uint64_t draw(void *ctx)
{
    return prng_u64(ctx);
}

void daemon_kill(struct computer *c, enum disk_mem_crash_mode mode)
{
    struct daemon *d = c->daemon;

    if (d == NULL)
        return;
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: daemon is killed%s", c->index,
                   mode == DISK_MEM_KEEP ? "" : " by power loss");
    sim_trace_number(&c->world->trace, UINT64_C(0xdead) << 8 | c->index);
    c->daemon = NULL;
    loop_kill(&d->loop);
    links_on_process_gone(c, mode == DISK_MEM_KEEP);
    bury(d);
    disk_mem_crash(c->raft_disk, mode, draw, &c->prng);
    LIST_EACH(link, &c->containers)
    CONTAINER_OF(link, struct sim_container, link)->exit_untold = false;
}

static void on_stopped(void *ctx, uint64_t arg)
{
    struct daemon *d = ctx;

    (void)arg;
    if (d->computer->daemon != d)
        return; /* killed meanwhile */
    d->computer->daemon = NULL;
    loop_kill(&d->loop);
    links_on_process_gone(d->computer, true);
    links_die(d->links);
    free_parts(d);
    sim_trace_line(&d->world->trace, d->world->clock.now, "%u: daemon has stopped",
                   d->computer->index);
}

static void on_host_closed(void *ctx)
{
    struct daemon *d = ctx;

    d->host = NULL;
    d->host_closed = true;
    if (!d->loop.dead)
        sim_clock_after(&d->world->clock, NS_PER_MS, on_stopped, d, 0);
}

static void on_stop_manager_closed(void *ctx)
{
    struct daemon *d = ctx;

    d->manager = NULL;
    d->manager_closed = true;
    if (d->loop.dead)
        return;
    d->host_closing = true;
    d->serving = false; /* events of containers go nowhere from now on */
    host_close(d->host, on_host_closed, d);
}

void daemon_stop(struct computer *c)
{
    struct daemon *d = c->daemon;
    struct sim_loop *before;

    if (d == NULL || !d->serving || d->stopping || d->closing_manager)
        return;
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: daemon is asked to stop", c->index);
    d->stopping = true;
    before = loop_enter(&d->loop);
    if (d->manager != NULL)
        manager_close(d->manager, on_stop_manager_closed, d);
    else
        on_stop_manager_closed(d);
    loop_leave(before);
    loop_poke(&d->loop);
}

void power_off(struct computer *c, enum disk_mem_crash_mode mode)
{
    if (!c->powered)
        return;
    daemon_kill(c, mode);
    c->powered = false;
    LIST_EACH(link, &c->containers)
    {
        struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);

        if (k->state == CONTAINER_RUNNING)
            k->exit_code = CONTAINER_EXIT_UNKNOWN;
        if (k->state == CONTAINER_RUNNING)
            k->state = CONTAINER_EXITED;
    }
    sandboxes_clear(c);
}

void power_on(struct computer *c)
{
    c->powered = true;
    daemon_start(c);
}

void daemon_deinit_all(struct world *w)
{
    for (unsigned i = 0; i < w->computer_count; i++)
        daemon_kill(&w->computers[i], DISK_MEM_KEEP);
}

void daemons_free(struct world *w)
{
    while (w->daemons != NULL) {
        struct daemon *d = w->daemons;

        w->daemons = d->next;
        free(d);
    }
}
