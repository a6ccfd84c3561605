/* The parts that exist only in a cluster, opened and closed in the order of who uses whom:
 *
 *     overlay, services <- links <- gossip, host, images <- manager
 *
 * Everything closes through one chain, close_next(), which each part continues when it is gone:
 * at the end of the program, when the cluster is left, and when becoming a member failed half
 * way. after_close() then knows what for. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/description.h"
#include "node/disk/state_file.h"
#include "node/images.h"
#include "node/member_impl.h"
#include "node/memory.h"
#include "node/task_exec.h"
#include "node/task_logs.h"

#define SETTLE_MS (30 * 1000) /* after that the start is over */

/* --- Opening */

static void on_overlay_event(void *ctx, const struct overlay_event *event)
{
    (void)ctx;
    if (event->kind == OVERLAY_NETWORK_FAILED)
        log_error("overlay", "network %s: %s", event->subject.text, event->detail);
    else if (event->detail[0] != '\0')
        log_info("overlay", "%s: %s", event->subject.text, event->detail);
}

static int open_overlay(struct member *m)
{
    char state[OPTIONS_PATH_MAX + 64], why[256] = "";
    struct overlay_config cfg = {
        .loop = m->cfg.loop,
        .state_dir = member_dir(m, "overlay", state),
        .run_dir = m->cfg.options->run_dir,
        .node_id = m->identity.cert.node,
        .bind = { .port = (uint16_t)m->cfg.options->data_port },
        .on_event = on_overlay_event,
        .event_ctx = m,
    };
    struct overlay_services_config services = { .loop = m->cfg.loop,
                                                .run_dir = m->cfg.options->run_dir,
                                                .node_id = m->identity.cert.node };
    int rc = state_dir_make(state);

    memcpy(cfg.static_secret, m->identity.keys.static_secret, sizeof(cfg.static_secret));
    memcpy(cfg.static_public, m->identity.keys.static_key, sizeof(cfg.static_public));
    if (rc == 0)
        rc = overlay_open(&cfg, &m->overlay, why, sizeof(why));
    sodium_memzero(cfg.static_secret, sizeof(cfg.static_secret));
    services.overlay = m->overlay;
    if (rc == 0)
        rc = overlay_services_open(&services, &m->services, why, sizeof(why));
    if (rc < 0)
        (void)snprintf(m->error, sizeof(m->error), "the overlay cannot start: %s",
                       why[0] != '\0' ? why : err_text(rc));
    return rc;
}

static void fetch_image(void *ctx, const char *reference, host_image_done done, void *owner)
{
    struct member *m = ctx;

    images_fetch(m->images, reference, done, owner);
}

static int open_host(struct member *m)
{
    char state[OPTIONS_PATH_MAX + 64];
    struct host_config cfg = {
        .loop = m->cfg.loop,
        .state_dir = member_dir(m, "agent", state),
        .node_id = m->identity.cert.node,
        .description = &m->description,
        .runtime = m->cfg.runtime,
        .overlay = m->overlay,
        .services = m->services,
        .ctx = m,
        .send = traffic_send,
        .fetch_image = fetch_image,
        .on_cluster = role_on_cluster,
        .on_peer = traffic_on_peer,
    };
    int rc = state_dir_make(state);

    crypto_generichash(cfg.seal_key, sizeof(cfg.seal_key), (const uint8_t *)"assignment", 10,
                       m->data_key, sizeof(m->data_key));
    if (rc == 0)
        rc = host_open(&cfg, &m->host);
    sodium_memzero(cfg.seal_key, sizeof(cfg.seal_key));
    return rc;
}

static void on_manager_failed(void *ctx, int err, const char *why)
{
    struct member *m = ctx;

    (void)err;
    m->cfg.on_failed(m->cfg.ctx, why);
}

static void on_changed(void *ctx, const struct store_changes *changes)
{
    struct member *m = ctx;

    m->cfg.on_changed(m->cfg.ctx, changes);
    join_on_manager(m);
}

static void on_reset(void *ctx)
{
    join_on_manager(ctx); /* other readers look at the store themselves */
}

static void on_leader(void *ctx, const struct id *leader)
{
    struct member *m = ctx;

    if (leader != NULL && id_equal(leader, &m->identity.cert.node))
        init_on_leading(m);
    traffic_on_leader(ctx, leader);
    join_on_manager(m);
}

int member_start_manager(struct member *m, bool bootstrap)
{
    struct manager_config cfg = {
        .loop = m->cfg.loop,
        .state_dir = m->cfg.options->state_dir,
        .cluster = m->identity.cert.cluster,
        .node_id = m->identity.cert.node,
        .raft_id = m->file.raft_id,
        .bootstrap = bootstrap,
        .links = m->links,
        .ctx = m,
        .on_changed = on_changed,
        .on_reset = on_reset,
        .on_leader = on_leader,
        .send_dispatch = traffic_dispatch_to,
        .on_removed = role_on_removed,
        .on_failed = on_manager_failed,
    };
    char why[MEMBER_WHY_MAX - 64] = "";
    int rc;

    memcpy(cfg.data_key, m->data_key, sizeof(cfg.data_key));
    rc = manager_open(&cfg, &m->manager, why, sizeof(why));
    sodium_memzero(cfg.data_key, sizeof(cfg.data_key));
    if (rc < 0)
        (void)snprintf(m->error, sizeof(m->error), "the manager cannot start: %s",
                       why[0] != '\0' ? why : err_text(rc));
    return rc;
}

static void close_next(struct member *m);

static void on_manager_stopped(void *ctx)
{
    struct member *m = ctx;

    m->manager = NULL;
    m->closing_manager = false;
    member_remove_dir(m, "raft");
    member_remove_dir(m, "store");
    if (m->is_closing)
        close_next(m);
    else
        cert_check_renewal(m);
}

void member_stop_manager(struct member *m)
{
    m->closing_manager = true;
    manager_close(m->manager, on_manager_stopped, m);
}

static void know_managers(struct member *m)
{
    for (size_t i = 0; i < m->file.managers.count && i < m->file.manager_addrs.count; i++) {
        const char *address = m->file.manager_addrs.items[i];
        struct id node;
        int rc = id_parse(slice_of_str(m->file.managers.items[i]), &node);

        if (rc == 0)
            rc = link_set_peer(
                m->links, &node,
                &(struct link_peer_hint){ .addresses = &address, .address_count = 1 });
        if (rc == 0)
            finder_add(&m->finder, &node);
    }
    if (m->file.raft_id != 0)
        finder_add(&m->finder, &m->identity.cert.node);
}

static void on_settle_timer(uv_timer_t *timer)
{
    join_is_late(timer->data);
    memory_drop_start_pages(); /* everything has been opened by now */
}

/* identity, file and data_key are set. */
int member_activate(struct member *m)
{
    int rc = description_of_machine(m->cfg.options, m->file.advertise, &m->description);

    memcpy(m->description.issuer, m->identity.cert.issuer, CLUSTER_KEY_LEN);
    if (rc == 0)
        rc = open_overlay(m);
    if (rc == 0)
        rc = traffic_open_links(m);
    if (rc == 0)
        rc = open_host(m);
    if (rc < 0)
        return rc;
    rc = images_open(&(struct images_config){ .loop = m->cfg.loop,
                                              .links = m->links,
                                              .runtime = m->cfg.runtime,
                                              .self = m->identity.cert.node },
                     &m->images);
    if (rc < 0)
        return rc;
    task_logs_serve(m->links, m->cfg.runtime);
    task_exec_serve(&m->execs, m->cfg.loop, m->links, m->cfg.runtime);
    know_managers(m);
    (void)uv_timer_start(&m->settle_timer, on_settle_timer, SETTLE_MS, 0); /* an open handle */
    return 0;
}

/* --- Closing */

static void on_part_closed(void *ctx)
{
    close_next(ctx);
}

/* True: one part is closing, and calls close_next() when it is gone. */
static bool close_one(struct member *m)
{
    if (m->enroll != NULL) {
        enroll_cancel(m->enroll); /* its callback comes, and ends in member_enroll_is_over() */
        return true;
    }
    if (m->closing_manager)
        return true; /* on_manager_stopped() goes on */
    if (m->manager != NULL) {
        struct manager *manager = m->manager;

        m->manager = NULL;
        manager_close(manager, on_part_closed, m);
        return true;
    }
    if (m->host != NULL) {
        struct host *host = m->host;

        m->host = NULL;
        m->serving = false;
        host_close(host, on_part_closed, m);
        return true;
    }
    if (m->gossip != NULL) {
        struct gossip_driver *gossip = m->gossip;

        m->gossip = NULL;
        gossip_link_attach(m->gossip_link, NULL);
        gossip_driver_close(gossip, m->forgets ? GOSSIP_FAREWELL : GOSSIP_VANISH, on_part_closed,
                            m);
        return true;
    }
    if (m->services != NULL) {
        struct overlay_services *services = m->services;

        m->services = NULL;
        overlay_services_close(services, on_part_closed, m);
        return true;
    }
    if (m->overlay != NULL) {
        struct overlay *overlay = m->overlay;

        m->overlay = NULL;
        overlay_close(overlay, on_part_closed, m);
        return true;
    }
    return false;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct member *m = handle->data;
    void (*on_closed)(void *ctx) = m->on_closed;
    void *ctx = m->closed_ctx;

    if (--m->open_timers > 0)
        return;
    identity_deinit(&m->identity);
    fields_deinit(&member_file_type, &m->file);
    fields_deinit(&cluster_record_type, &m->record);
    sodium_memzero(m->data_key, sizeof(m->data_key));
    free(m);
    on_closed(ctx);
}

/* The cluster was left, or never was one: as new. */
static void be_new(struct member *m)
{
    int err = m->abandoned;

    m->is_closing = m->forgets = false;
    m->abandoned = 0;
    m->state = MEMBER_NONE;
    finder_init(&m->finder);
    m->contact_count = 0;
    member_finish(m, err, err < 0 ? m->error : "");
}

static void after_close(struct member *m)
{
    init_forget(m);
    gossip_link_free(m->gossip_link);
    m->gossip_link = NULL;
    links_free(m->links);
    m->links = NULL;
    images_close(m->images);
    m->images = NULL;
    fields_deinit(&node_description_type, &m->description);
    if (m->forgets)
        member_wipe(m);
    if (m->on_closed == NULL) {
        be_new(m);
        return;
    }
    m->open_timers = 3; /* the program ends */
    uv_close((uv_handle_t *)&m->timer, on_timer_closed);
    uv_close((uv_handle_t *)&m->renew_timer, on_timer_closed);
    uv_close((uv_handle_t *)&m->settle_timer, on_timer_closed);
}

static void on_links_closed(void *ctx)
{
    after_close(ctx);
}

static void close_next(struct member *m)
{
    if (close_one(m))
        return;
    if (m->links != NULL)
        links_close(m->links, on_links_closed, m);
    else
        after_close(m);
}

void member_close_parts(struct member *m)
{
    if (m->is_closing)
        return;
    m->is_closing = true;
    (void)uv_timer_stop(&m->timer); /* cannot fail for an open handle */
    (void)uv_timer_stop(&m->renew_timer);
    (void)uv_timer_stop(&m->settle_timer);
    close_next(m);
}

bool member_enroll_is_over(struct member *m)
{
    bool was_closing = m->is_closing;

    m->enroll = NULL;
    if (was_closing)
        close_next(m);
    return was_closing;
}

void member_abandon(struct member *m, int err)
{
    if (m->error[0] == '\0')
        (void)snprintf(m->error, sizeof(m->error), "%s", err_text(err));
    m->abandoned = err;
    m->forgets = true;
    member_close_parts(m);
}

void member_close(struct member *m, void (*on_closed)(void *ctx), void *ctx)
{
    m->on_closed = on_closed;
    m->closed_ctx = ctx;
    m->done = NULL; /* who waited for it has gone: the API ends first */
    if (m->state == MEMBER_PENDING)
        m->forgets = true; /* half a membership is none */
    member_close_parts(m);
}
