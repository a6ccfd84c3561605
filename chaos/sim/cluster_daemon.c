/* chaos/sim/cluster_daemon.c - One life of the program: its parts, wired as node/member*.c does. */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"

#define FRAME_LEN_MAX (4 * MIB)

struct computer *computer_of_loop(const uv_loop_t *loop)
{
    const struct daemon *d = CONTAINER_OF(
        CONTAINER_OF((uv_loop_t *)(uintptr_t)loop, struct sim_loop, uv), struct daemon, loop);

    return d->computer;
}

struct daemon *leading_daemon(struct world *w)
{
    struct daemon *best = NULL;

    for (unsigned i = 0; i < w->computer_count; i++) {
        struct daemon *d = w->computers[i].daemon;

        if (d != NULL && d->manager != NULL && manager_is_leader(d->manager) &&
            (best == NULL || store_applied(manager_store(d->manager)) >
                                 store_applied(manager_store(best->manager))))
            best = d;
    }
    return best;
}

/* --- The agent's side of dispatch */

static void find_manager(struct daemon *d);

static void on_finder_timer(void *ctx, uint64_t arg)
{
    (void)arg;
    find_manager(ctx);
}

static void find_manager(struct daemon *d)
{
    mono_ns now = d->world->clock.now;

    if (!d->serving || d->stopping)
        return;
    if (finder_turn(&d->finder, now))
        host_connected(d->host);
    else if (d->finder.state == FINDER_IDLE)
        host_disconnected(d->host);
    if (d->finder.manager_count > 0 && d->finder.deadline != MONO_NEVER)
        loop_after(&d->loop, MAX(d->finder.deadline, now + NS_PER_MS) - now, on_finder_timer, d, 0);
}

static int send_frame(struct daemon *d, const struct id *to, const struct dispatch *frame)
{
    struct buf bytes;
    int rc;

    buf_init(&bytes, FRAME_LEN_MAX);
    rc = fields_encode(&dispatch_type, frame, &bytes, NULL);
    if (rc == 0)
        rc = link_send(d->links, to, LINK_DISPATCH, buf_slice(&bytes));
    buf_deinit(&bytes);
    return rc;
}

static void on_agent_sends(void *ctx, const struct dispatch *frame)
{
    struct daemon *d = ctx;

    if (!id_is_none(&d->finder.target) && send_frame(d, &d->finder.target, frame) < 0)
        finder_lost(&d->finder, &d->finder.target, d->world->clock.now);
}

static void on_dispatcher_sends(void *ctx, const struct id *node, const struct dispatch *frame)
{
    struct daemon *d = ctx;

    if (send_frame(d, node, frame) < 0 && link_is_up(d->links, node))
        link_drop(d->links, node, ERR_FULL);
}

static void take_frame(struct daemon *d, const struct id *from, const struct dispatch *frame)
{
    int rc = 0;

    if (frame->kind == DISPATCH_HELLO || frame->kind == DISPATCH_REDIRECT)
        sim_trace_line(&d->world->trace, d->world->clock.now, "%u: %s of %u", d->computer->index,
                       enum_text(&dispatch_kind_names, (int)frame->kind),
                       computer_by_id(d->world, from)->index);
    switch (frame->kind) {
    case DISPATCH_HELLO:
    case DISPATCH_REPORT:
        if (d->manager != NULL && !d->closing_manager)
            rc = manager_dispatch_frame(d->manager, from, frame);
        break;
    case DISPATCH_ASSIGN:
    case DISPATCH_ACK:
        if (d->host == NULL || d->stopping || !id_equal(from, &d->finder.target))
            return;
        finder_served(&d->finder, from);
        rc = host_frame(d->host, frame);
        break;
    case DISPATCH_REDIRECT:
        if (frame->redirect != NULL && id_equal(from, &d->finder.target))
            finder_redirect(&d->finder, &frame->redirect->leader, d->world->clock.now);
        break;
    }
    if (rc < 0)
        world_fail(d->world, "%u: a frame of ours is refused: %s", d->computer->index,
                   err_text(rc));
    find_manager(d);
}

static void on_dispatch(void *ctx, const struct link_peer *from, enum link_channel channel,
                        struct slice message)
{
    struct daemon *d = ctx;
    struct dispatch frame = { 0 };
    struct field_error why = { "" };

    (void)channel;
    if (fields_decode(&dispatch_type, message, &frame, &why) < 0) {
        world_fail(d->world, "%u: a frame of ours does not decode: %s", d->computer->index,
                   why.text);
        return;
    }
    take_frame(d, &from->node, &frame);
    fields_deinit(&dispatch_type, &frame);
}

/* --- Who is reachable */

void daemon_heard(struct daemon *d, const struct id *node, enum control_hearing what)
{
    if (d->manager != NULL && !d->closing_manager && !d->stopping &&
        (what != CONTROL_UNREACHABLE || !link_is_up(d->links, node)))
        manager_heard(d->manager, node, what);
}

static void tell_all(struct daemon *d)
{
    struct gossip_member_info info;
    size_t cursor = 0;

    while (d->gossip != NULL && gossip_member_next(d->gossip, &cursor, &info))
        daemon_heard(d, &info.id,
                     info.status == GOSSIP_UNREACHABLE ? CONTROL_UNREACHABLE
                     : info.status == GOSSIP_LEFT      ? CONTROL_LEFT
                                                       : CONTROL_ALIVE);
}

static void on_leader(void *ctx, const struct id *leader)
{
    struct daemon *d = ctx;

    if (leader == NULL || d->stopping)
        return;
    finder_redirect(&d->finder, leader, d->world->clock.now);
    find_manager(d);
    if (d->manager != NULL && manager_is_leader(d->manager))
        tell_all(d);
}

static void on_peer_up(void *ctx, const struct link_peer *peer)
{
    struct daemon *d = ctx;
    struct computer *c = computer_by_id(d->world, &peer->node);

    gossip_feed(d, &(struct gossip_event){
                       .kind = GOSSIP_TRUST, .id = c->id, .public_key = c->public_key });
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_LINK_ALIVE, .id = c->id });
    if (d->manager != NULL && !d->closing_manager && !d->stopping)
        manager_heard(d->manager, &peer->node, CONTROL_ALIVE);
}

static bool gossip_says_unreachable(const struct daemon *d, const struct id *id)
{
    struct gossip_member_info info;

    return d->gossip != NULL && gossip_member_get(d->gossip, id, &info) == 0 &&
           info.status == GOSSIP_UNREACHABLE;
}

static void on_peer_down(void *ctx, const struct link_peer *peer, int reason)
{
    struct daemon *d = ctx;

    (void)reason;
    gossip_feed(d, &(struct gossip_event){ .kind = GOSSIP_LINK_LOST, .id = peer->node });
    if (d->manager != NULL && !d->closing_manager && !d->stopping)
        manager_link_down(d->manager, &peer->node);
    if (gossip_says_unreachable(d, &peer->node))
        daemon_heard(d, &peer->node, CONTROL_UNREACHABLE);
    finder_lost(&d->finder, &peer->node, d->world->clock.now);
    find_manager(d);
}

/* --- Being a manager */

static void on_changed(void *ctx, const struct store_changes *changes)
{
    check_changes(ctx, changes);
}

static void on_reset(void *ctx)
{
    check_reset(ctx);
}

static void on_failed_later(void *ctx, uint64_t arg)
{
    struct daemon *d = ctx;

    (void)arg;
    if (d->computer->daemon == d && !d->world->over) {
        daemon_kill(d->computer, DISK_MEM_KEEP);
        daemon_start(d->computer);
    }
}

static void on_failed(void *ctx, int err, const char *why)
{
    struct daemon *d = ctx;

    world_fail(d->world, "%u: the manager gives up: %s: %s", d->computer->index, err_text(err),
               why);
    sim_clock_after(&d->world->clock, NS_PER_MS, on_failed_later, d, 0);
}

static void wipe_manager(struct computer *c)
{
    disk_mem_free(c->raft_disk);
    c->raft_disk = disk_mem_new(256 * MIB);
    CHECK(c->raft_disk != NULL);
    store_wipe(c);
}

static void on_manager_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->manager = NULL;
    d->closing_manager = false;
    if (!d->loop.dead)
        wipe_manager(d->computer);
    d->manager_closed = true;
}

/* Raft has let go of this manager: it is a worker from now on. */
static void on_removed(void *ctx)
{
    struct daemon *d = ctx;

    if (d->manager == NULL || d->closing_manager || d->stopping)
        return;
    d->computer->member.raft_id = 0;
    d->closing_manager = true;
    d->manager_closed = false;
    manager_close(d->manager, on_manager_stopped, d);
}

static void start_manager(struct daemon *d, bool bootstrap)
{
    struct computer *c = d->computer;
    struct manager_config cfg = {
        .loop = &d->loop.uv,
        .state_dir = "/var/lib/shoal",
        .cluster = d->world->cluster,
        .node_id = c->id,
        .raft_id = c->member.raft_id,
        .bootstrap = bootstrap,
        .links = d->links,
        .ctx = d,
        .on_changed = on_changed,
        .on_reset = on_reset,
        .on_leader = on_leader,
        .send_dispatch = on_dispatcher_sends,
        .on_removed = on_removed,
        .on_failed = on_failed,
    };
    char why[256] = "";
    int rc;

    cfg.data_key[0] = (uint8_t)(c->index + 1);
    d->manager_closed = false;
    rc = manager_open(&cfg, &d->manager, why, sizeof(why));
    if (rc < 0)
        world_fail(d->world, "%u: the manager does not open: %s (%s)", c->index, why, err_text(rc));
}

static void on_certificate(void *ctx, uint64_t arg)
{
    struct daemon *d = ctx;

    (void)arg;
    if (d->manager != NULL || d->stopping || d->record.role != ROLE_MANAGER ||
        d->record.raft_id == 0)
        return;
    d->computer->member.raft_id = d->record.raft_id;
    sim_trace_line(&d->world->trace, d->world->clock.now, "%u: becomes a manager",
                   d->computer->index);
    start_manager(d, false);
}

/* --- What the managers tell about the cluster */

static void on_cluster(void *ctx, const struct cluster_record *record)
{
    struct daemon *d = ctx;
    struct cluster_record copy;

    CHECK(fields_copy(&cluster_record_type, record, &copy) == 0);
    fields_deinit(&cluster_record_type, &d->record);
    d->record = copy;
    gossip_begin(d, record);
    if (record->role == ROLE_MANAGER && record->raft_id != 0 && d->manager == NULL)
        loop_after(&d->loop, prng_range(&d->prng, 1, 300) * NS_PER_MS, on_certificate, d, 0);
}

static void know_manager(struct computer *c, const struct id *id)
{
    struct member_record *m = &c->member;

    for (size_t i = 0; i < m->manager_count; i++)
        if (id_equal(&m->managers[i], id))
            return;
    if (m->manager_count < COMPUTERS_MAX)
        m->managers[m->manager_count++] = *id;
}

static void on_peer(void *ctx, const struct peer *peer, bool gone)
{
    struct daemon *d = ctx;
    struct link_peer_hint hint = { .want = LINK_ON_DEMAND };

    if (id_equal(&peer->id, &d->computer->id))
        return;
    if (gone) {
        finder_remove(&d->finder, &peer->id);
        return;
    }
    if (peer->role == ROLE_MANAGER) {
        finder_add(&d->finder, &peer->id);
        know_manager(d->computer, &peer->id);
        if (d->manager != NULL)
            hint.want = LINK_WANTED;
    }
    CHECK(link_set_peer(d->links, &peer->id, &hint) == 0);
    gossip_contact(d, peer);
}

/* --- Images from peers */

struct fetch {
    uv_work_t req;
    struct daemon *daemon;
    char *reference;
    host_image_done done;
    void *owner;
    bool fails;
};

static void fetch_work(uv_work_t *req)
{
    struct fetch *f = CONTAINER_OF(req, struct fetch, req);
    struct daemon *d = f->daemon;

    if (!f->fails && !d->loop.dead)
        CHECK(omap_set(&d->computer->images, slice_of_str(f->reference), d) == 0);
}

static void fetch_done(uv_work_t *req, int status)
{
    struct fetch *f = CONTAINER_OF(req, struct fetch, req);

    (void)status;
    f->done(f->owner, f->fails ? ERR_UNAVAILABLE : 0, f->fails ? "no peer has it" : "");
    free(f->reference);
    free(f);
}

static void on_fetch_image(void *ctx, const char *reference, host_image_done done, void *owner)
{
    struct daemon *d = ctx;
    struct fetch *f = calloc(1, sizeof(*f));

    CHECK(f != NULL);
    *f = (struct fetch){ .daemon = d, .done = done, .owner = owner };
    f->reference = strdup(reference);
    CHECK(f->reference != NULL);
    f->fails = !d->world->healing && prng_chance(&d->prng, 0.1);
    loop_work(&d->loop, prng_range(&d->prng, 1, 300) * NS_PER_MS, &f->req, fetch_work, fetch_done);
}

/* --- Start */

static void open_host(struct daemon *d)
{
    struct host_config cfg = {
        .loop = &d->loop.uv,
        .state_dir = "/var/lib/shoal",
        .node_id = d->computer->id,
        .description = &d->computer->description,
        .runtime = d->runtime,
        .overlay = d->overlay,
        .ctx = d,
        .send = on_agent_sends,
        .fetch_image = on_fetch_image,
        .on_cluster = on_cluster,
        .on_peer = on_peer,
    };

    CHECK(host_open(&cfg, &d->host) == 0);
}

static void on_found(void *owner, const struct container_info *info)
{
    struct daemon *d = owner;

    host_container_found(d->host, info);
}

static void on_boot(void *ctx, uint64_t arg)
{
    struct daemon *d = ctx;
    struct computer *c = d->computer;
    struct links_events events = { .ctx = d,
                                   .on_peer_up = on_peer_up,
                                   .on_peer_down = on_peer_down };

    (void)arg;
    d->links = links_open(d, &events);
    links_handle(d->links, LINK_DISPATCH,
                 &(struct link_handler){ .ctx = d, .on_message = on_dispatch });
    d->runtime = runtime_begin(d);
    d->overlay = overlay_begin(d);
    finder_init(&d->finder);
    for (size_t i = 0; i < c->member.manager_count; i++)
        finder_add(&d->finder, &c->member.managers[i]);
    if (c->member.raft_id != 0)
        finder_add(&d->finder, &c->id);
    open_host(d);
    if (c->member.raft_id != 0)
        start_manager(d, c->index == 0 && c->lives == 1);
    runtime_container_list(d->runtime, on_found, d);
    d->serving = true;
    host_start(d->host);
    d->finder.deadline = 0;
    find_manager(d);
}

void daemon_start(struct computer *c)
{
    struct daemon *d;

    if (!c->powered || c->daemon != NULL)
        return;
    d = calloc(1, sizeof(*d));
    CHECK(d != NULL);
    d->world = c->world;
    d->computer = c;
    d->next = c->world->daemons;
    c->world->daemons = d;
    c->daemon = d;
    c->lives++;
    d->prng = prng_fork_u64(&c->prng, c->lives);
    loop_init(&d->loop, &c->world->clock, prng_fork(&d->prng, "loop"));
    sim_trace_line(&c->world->trace, c->world->clock.now, "%u: daemon starts, life %u", c->index,
                   c->lives);
    loop_after(&d->loop, prng_range(&d->prng, 5, 200) * NS_PER_MS, on_boot, d, 0);
}
