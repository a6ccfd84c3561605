/* Becoming active, ceasing to be. What a node keeps of it on disk: member_files.c. */
#include "node/member.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/api/api.h"
#include "node/cluster/ca.h"
#include "node/description.h"
#include "node/disk/state_file.h"
#include "node/images.h"
#include "node/member_impl.h"
#include "node/task_logs.h"

#define RENEW_CHECK_MS      (3600 * 1000)
#define RENEW_RETRY_MS      (30 * 1000)
#define SUBNET_SIZE_DEFAULT 24

wall_ns member_wall_now(void)
{
    uv_timeval64_t tv;

    if (uv_gettimeofday(&tv) != 0)
        return 0;
    return tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

/* --- Activation: everything that exists only in a cluster */

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

static void propose_cluster(struct member *m);

/* Whoever joined as a manager is told so once it can answer as one: it knows itself and a leader.
 */
static void finish_join(struct member *m)
{
    const struct id *self = &m->identity.cert.node;

    if (m->done != NULL && m->state == MEMBER_ACTIVE && m->manager != NULL &&
        manager_leader(m->manager) != NULL &&
        store_get(manager_store(m->manager), OBJECT_NODE, self) != NULL)
        member_finish(m, 0, "");
}

static void on_changed(void *ctx, const struct store_changes *changes)
{
    struct member *m = ctx;

    m->cfg.on_changed(m->cfg.ctx, changes);
    finish_join(m);
}

static void on_reset(void *ctx)
{
    finish_join(ctx); /* other readers look at the store themselves */
}

static void on_leader(void *ctx, const struct id *leader)
{
    struct member *m = ctx;

    if (m->new_cluster != NULL && leader != NULL && id_equal(leader, &m->identity.cert.node))
        propose_cluster(m);
    traffic_on_leader(ctx, leader);
    finish_join(m);
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

static void on_manager_stopped(void *ctx)
{
    struct member *m = ctx;

    m->manager = NULL;
    m->closing_manager = false;
    member_remove_dir(m, "raft");
    member_remove_dir(m, "store");
    role_check_renewal(m);
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

static void on_renew_timer(uv_timer_t *timer)
{
    struct member *m = timer->data;

    role_check_renewal(m);
    if (m->state == MEMBER_ACTIVE)
        member_finish(m, ERR_TIMEOUT,
                      "This node has joined, but is no manager yet: the managers have to agree on "
                      "it, and it goes on in the background. `shoal info` shows how far it is.");
}

/* identity, file and data_key are set. On failure the program can only stop: error says why. */
int member_activate(struct member *m)
{
    int rc = description_of_machine(m->cfg.options, m->file.advertise, &m->description);

    if (rc == 0)
        rc = open_overlay(m);
    if (rc == 0)
        rc = traffic_open_links(m);
    if (rc == 0)
        rc = open_host(m);
    if (rc < 0) {
        if (m->error[0] == '\0')
            (void)snprintf(m->error, sizeof(m->error), "%s", err_text(rc));
        return rc;
    }
    rc = images_open(&(struct images_config){ .loop = m->cfg.loop,
                                              .links = m->links,
                                              .runtime = m->cfg.runtime,
                                              .self = m->identity.cert.node },
                     &m->images);
    if (rc < 0)
        return rc;
    task_logs_serve(m->links, m->cfg.runtime);
    know_managers(m);
    (void)uv_timer_start(&m->renew_timer, on_renew_timer, RENEW_RETRY_MS, RENEW_CHECK_MS);
    return 0;
}

static void serve(struct member *m)
{
    m->serving = true;
    host_start(m->host);
    m->finder.deadline = 0;
    traffic_turn(m);
}

/* --- Start of the program */

int member_new(const struct member_config *cfg, struct member **out)
{
    struct member *m = calloc(1, sizeof(*m));
    int rc;

    if (m == NULL)
        return -ENOMEM;
    m->cfg = *cfg;
    finder_init(&m->finder);
    CHECK(uv_timer_init(cfg->loop, &m->timer) == 0); /* cannot fail */
    CHECK(uv_timer_init(cfg->loop, &m->renew_timer) == 0);
    m->timer.data = m;
    m->renew_timer.data = m;
    rc = member_read_identity(m);
    if (rc == 0 && m->identity.is_member)
        rc = member_read_file(m);
    if (rc == 0 && m->identity.is_member)
        rc = member_read_data_key(m);
    if (rc < 0) {
        m->state = MEMBER_ERROR;
        (void)snprintf(m->error, sizeof(m->error),
                       "%s: what makes this node a member cannot be read: %s",
                       cfg->options->state_dir, err_text(rc));
    }
    *out = m;
    return 0;
}

static void adopt(void *owner, const struct container_info *info)
{
    struct member *m = owner;

    host_container_found(m->host, info);
}

void member_start(struct member *m)
{
    int rc;

    if (m->state == MEMBER_ERROR || !m->identity.is_member)
        return;
    rc = member_activate(m);
    if (rc == 0 && m->file.raft_id != 0)
        rc = member_start_manager(m, false);
    if (rc < 0) {
        m->state = MEMBER_ERROR;
        log_error("member", "%s", m->error);
        m->cfg.on_failed(m->cfg.ctx, m->error);
        return;
    }
    m->state = MEMBER_ACTIVE;
    runtime_container_list(m->cfg.runtime, adopt, m);
    serve(m);
}

void member_fetch_image(struct member *m, const char *reference, host_image_done done, void *owner)
{
    if (m->images == NULL)
        done(owner, ERR_UNAVAILABLE, "this node is in no cluster");
    else
        images_fetch(m->images, reference, done, owner);
}

void member_container(struct member *m, enum container_event_kind kind,
                      const struct container_info *info)
{
    if (m->serving)
        host_container_event(m->host, kind, info);
}

/* --- Init */

void member_finish(struct member *m, int err, const char *why)
{
    member_done done = m->done;

    if (done == NULL)
        return;
    m->done = NULL;
    if (err < 0 && m->state == MEMBER_PENDING)
        m->state = m->links == NULL ? MEMBER_NONE : MEMBER_ERROR;
    done(m->done_owner, err, why);
}

static int choose_address(struct member *m, const char *wanted, const char *fallback)
{
    char found[256];
    int rc = 0;

    if (wanted == NULL || wanted[0] == '\0')
        wanted = m->cfg.options->advertise;
    if (wanted == NULL)
        wanted = fallback;
    if (wanted == NULL) {
        rc = description_only_address(found, sizeof(found));
        wanted = found;
    }
    if (rc == ERR_CONFLICT)
        (void)snprintf(m->error, sizeof(m->error),
                       "could not choose an IP address to advertise since this system has multiple "
                       "addresses (%s) - specify one with --advertise-addr",
                       found);
    if (rc == ERR_NOT_FOUND)
        (void)snprintf(m->error, sizeof(m->error),
                       "this system has no address that other nodes could reach - specify one with "
                       "--advertise-addr");
    return rc < 0 ? rc : str_set(&m->file.advertise, wanted);
}

static int fresh_bytes(struct bytes *out, size_t len)
{
    uint8_t random[64];
    int rc;

    randombytes_buf(random, len);
    rc = bytes_set(out, slice_of(random, len));
    sodium_memzero(random, sizeof(random));
    return rc;
}

static struct id fresh_id(void)
{
    uint8_t bits[ID_RANDOM_LEN];

    randombytes_buf(bits, sizeof(bits));
    return id_from_random(bits);
}

/* The authority, and this node's certificate from it. */
static int make_authority(struct member *m, struct cluster *c)
{
    struct ca_root *root = LIST_ADD(&c->roots);
    struct ca ca;
    int rc = root == NULL ? -ENOMEM : fresh_bytes(&root->secret_key, CLUSTER_KEY_LEN);

    if (rc < 0)
        return rc;
    ca_init(&ca, root->secret_key.ptr);
    memcpy(root->public_key, ca.root, CLUSTER_KEY_LEN);
    m->identity.cert = (struct cert){ .cluster = c->id, .node = fresh_id(), .role = ROLE_MANAGER };
    memcpy(m->identity.cert.identity_key, m->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(m->identity.cert.static_key, m->identity.keys.static_key, CLUSTER_KEY_LEN);
    rc = ca_issue(&ca, &m->identity.cert, member_wall_now());
    m->identity.trust =
        (struct trust){ .cluster = c->id, .root_count = 1, .roots = { ca_root(&ca) } };
    m->identity.is_member = true;
    ca_deinit(&ca);
    return rc;
}

static int make_cluster(struct member *m, const struct member_init *init, struct cluster *c)
{
    struct gossip_secret *gossip;
    int rc;

    c->id = fresh_id();
    rc = fields_copy(&cluster_spec_type, init->spec, &c->spec);
    if (rc == 0 && (c->spec.name == NULL || c->spec.name[0] == '\0'))
        rc = str_set(&c->spec.name, "default");
    if (rc == 0)
        rc = make_authority(m, c);
    if (rc == 0)
        rc = fresh_bytes(&c->join.worker, TOKEN_SECRET_LEN);
    if (rc == 0)
        rc = fresh_bytes(&c->join.manager, TOKEN_SECRET_LEN);
    gossip = rc == 0 ? LIST_ADD(&c->gossip_keys) : NULL;
    if (rc == 0)
        rc = gossip == NULL ? -ENOMEM : fresh_bytes(&gossip->key, GOSSIP_KEY_LEN);
    if (rc < 0)
        return rc;
    gossip->epoch = 1;
    c->epoch = 1;
    c->gossip_key_rotated_at = member_wall_now();
    c->data_port = m->cfg.options->data_port;
    c->subnet_size = init->subnet_size == 0 ? SUBNET_SIZE_DEFAULT : init->subnet_size;
    for (size_t i = 0; i < init->address_pool_count && rc == 0; i++)
        rc = str_list_append(&c->address_pools, init->address_pools[i]);
    return rc;
}

static int make_first_node(struct member *m, enum availability availability, struct node *n)
{
    n->id = m->identity.cert.node;
    n->spec.role = n->role = ROLE_MANAGER;
    n->spec.availability = availability;
    n->status.state = NODE_READY;
    memcpy(n->identity_key, m->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(n->static_key, m->identity.keys.static_key, CLUSTER_KEY_LEN);
    n->manager = calloc(1, sizeof(*n->manager));
    if (n->manager == NULL)
        return -ENOMEM;
    n->manager->raft_id = m->file.raft_id;
    n->manager->reachability = REACHABILITY_REACHABLE;
    if (m->description.link_addrs.count > 0 &&
        str_set(&n->manager->addr, m->description.link_addrs.items[0]) < 0)
        return -ENOMEM;
    return fields_copy(&node_description_type, &m->description, &n->description);
}

static void drop_new_cluster(struct member *m)
{
    if (m->new_cluster != NULL)
        object_free(OBJECT_CLUSTER, (struct object *)(void *)m->new_cluster);
    if (m->new_node != NULL)
        object_free(OBJECT_NODE, (struct object *)(void *)m->new_node);
    m->new_cluster = NULL;
    m->new_node = NULL;
}

static void on_cluster_made(void *owner, int err, const struct field_error *why)
{
    struct member *m = owner;

    if (err == 0)
        err = member_save(m);
    if (err < 0) {
        log_error("member", "the cluster could not be made: %s", why->text);
        m->cfg.on_failed(m->cfg.ctx, "the first entry of the cluster could not be written");
        return;
    }
    m->state = MEMBER_ACTIVE;
    log_info("member", "cluster %s, node %s", m->identity.cert.cluster.text,
             m->identity.cert.node.text);
    serve(m);
    member_finish(m, 0, "");
}

/* This manager leads its own new cluster: its first entry says what the cluster is. */
static void propose_cluster(struct member *m)
{
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct admit admit;
    int rc;

    manager_admit(m->manager, &admit, &t, &why);
    rc = admit_cluster_init(&admit, m->new_cluster, m->new_node);
    drop_new_cluster(m);
    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        on_cluster_made(m, rc, &why);
        return;
    }
    manager_propose(m->manager, &t, on_cluster_made, m);
}

static int begin(struct member *m, member_done done, void *owner)
{
    if (m->state != MEMBER_NONE) {
        done(owner, ERR_EXISTS,
             m->state == MEMBER_PENDING
                 ? "This node is joining a swarm already."
                 : "This node is already part of a swarm. Use \"docker swarm leave\" to leave this "
                   "swarm and join another one.");
        return ERR_EXISTS;
    }
    m->state = MEMBER_PENDING;
    m->error[0] = '\0';
    m->done = done;
    m->done_owner = owner;
    return 0;
}

void member_init(struct member *m, const struct member_init *init, member_done done, void *owner)
{
    int rc;

    if (begin(m, done, owner) < 0)
        return;
    randombytes_buf(&m->file.raft_id, sizeof(m->file.raft_id));
    m->file.raft_id |= 1; /* never 0 */
    rc = choose_address(m, init->advertise, NULL);
    if (rc == 0)
        rc = member_read_data_key(m);
    m->new_cluster = calloc(1, sizeof(*m->new_cluster));
    m->new_node = calloc(1, sizeof(*m->new_node));
    if (rc == 0 && (m->new_cluster == NULL || m->new_node == NULL))
        rc = -ENOMEM;
    if (rc == 0)
        rc = make_cluster(m, init, m->new_cluster);
    if (rc == 0)
        rc = member_activate(m);
    if (rc == 0)
        rc = make_first_node(m, init->availability, m->new_node);
    if (rc == 0)
        rc = member_start_manager(m, true);
    if (rc < 0) {
        drop_new_cluster(m);
        m->identity.is_member = false;
        member_finish(m, rc, m->error[0] != '\0' ? m->error : err_text(rc));
    }
}

/* --- Join */

static int keep_grant(struct member *m, const struct enroll_grant *grant)
{
    int rc = 0;

    m->identity.cert = grant->cert;
    m->identity.trust = grant->trust;
    m->identity.is_member = true;
    str_list_clear(&m->file.managers);
    str_list_clear(&m->file.manager_addrs);
    for (size_t i = 0; i < grant->manager_count && rc == 0; i++) {
        rc = str_list_append(&m->file.managers, grant->managers[i].node.text);
        if (rc == 0)
            rc = str_list_append(&m->file.manager_addrs, grant->managers[i].address);
    }
    return rc;
}

static void on_granted(void *ctx, const struct enroll_result *result)
{
    struct member *m = ctx;
    int rc;

    m->enroll = NULL;
    if (result->status < 0) {
        member_finish(m, result->status, result->why);
        return;
    }
    rc = keep_grant(m, result->grant);
    if (rc == 0)
        rc = member_save(m);
    if (rc == 0)
        rc = member_activate(m);
    if (rc < 0) {
        member_finish(m, rc, m->error[0] != '\0' ? m->error : err_text(rc));
        return;
    }
    m->state = MEMBER_ACTIVE;
    log_info("member", "joined cluster %s as node %s", m->identity.cert.cluster.text,
             m->identity.cert.node.text);
    serve(m);
    if (m->identity.cert.role != ROLE_MANAGER)
        member_finish(m, 0, "");
}

static int start_join(struct member *m, const struct member_join *join)
{
    struct node_description description;
    struct join_token token;
    struct buf bytes;
    int rc = token_parse(slice_of_str(join->token), &token);

    if (rc < 0) {
        (void)snprintf(m->error, sizeof(m->error),
                       "invalid join token: it begins with SHTKN-1- and is "
                       "printed by `shoal token` on a manager");
        return ERR_INVALID;
    }
    buf_init(&bytes, ENROLL_DESCRIPTION_LEN_MAX);
    rc = description_of_machine(m->cfg.options, m->file.advertise, &description);
    if (rc == 0) {
        rc = fields_encode(&node_description_type, &description, &bytes, NULL);
        fields_deinit(&node_description_type, &description);
    }
    if (rc == 0)
        rc = enroll_start(m->cfg.loop,
                          &(struct enroll_config){ .kind = ENROLL_JOIN,
                                                   .addresses = join->remotes,
                                                   .address_count = join->remote_count,
                                                   .identity = &m->identity,
                                                   .token = &token,
                                                   .description = buf_slice(&bytes) },
                          on_granted, m, &m->enroll);
    buf_deinit(&bytes);
    sodium_memzero(&token, sizeof(token));
    return rc;
}

void member_join(struct member *m, const struct member_join *join, member_done done, void *owner)
{
    int rc;

    if (begin(m, done, owner) < 0)
        return;
    m->file.raft_id = 0;
    rc = choose_address(m, join->advertise, NULL);
    if (rc == 0)
        rc = member_read_data_key(m);
    if (rc == 0)
        rc = start_join(m, join);
    if (rc < 0)
        member_finish(m, rc, m->error[0] != '\0' ? m->error : err_text(rc));
}

/* --- Closing: parts in the order of who uses whom */

static void close_next(struct member *m);

static void on_part_closed(void *ctx)
{
    close_next(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct member *m = handle->data;
    void (*on_closed)(void *ctx) = m->on_closed;
    void *ctx = m->closed_ctx;

    if (--m->closing_parts > 0)
        return;
    identity_deinit(&m->identity);
    fields_deinit(&member_file_type, &m->file);
    fields_deinit(&cluster_record_type, &m->record);
    sodium_memzero(m->data_key, sizeof(m->data_key));
    free(m);
    on_closed(ctx);
}

static bool close_one(struct member *m)
{
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
        gossip_driver_close(gossip, m->state == MEMBER_LEAVING ? GOSSIP_FAREWELL : GOSSIP_VANISH,
                            on_part_closed, m);
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

static void after_close(struct member *m);

static void on_links_closed(void *ctx)
{
    struct member *m = ctx;

    gossip_link_free(m->gossip_link);
    m->gossip_link = NULL;
    links_free(m->links);
    m->links = NULL;
    images_close(m->images);
    m->images = NULL;
    fields_deinit(&node_description_type, &m->description);
    after_close(m);
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

static void after_close(struct member *m)
{
    if (m->on_closed != NULL) { /* the program ends */
        m->closing_parts = 2;
        uv_close((uv_handle_t *)&m->timer, on_timer_closed);
        uv_close((uv_handle_t *)&m->renew_timer, on_timer_closed);
        return;
    }
    member_wipe(m); /* the cluster was left */
    m->state = MEMBER_NONE;
    finder_init(&m->finder);
    m->contact_count = 0;
    member_finish(m, 0, "");
}

void member_close(struct member *m, void (*on_closed)(void *ctx), void *ctx)
{
    m->on_closed = on_closed;
    m->closed_ctx = ctx;
    (void)uv_timer_stop(&m->timer); /* cannot fail for an open handle */
    (void)uv_timer_stop(&m->renew_timer);
    if (m->enroll != NULL)
        enroll_cancel(m->enroll);
    if (m->state == MEMBER_LEAVING)
        return; /* it is closing already */
    close_next(m);
}

/* --- Leaving */

/* The tasks of this node are taken away as if the managers had said so. */
static void count_container(void *owner, const struct container_info *info)
{
    size_t *count = owner;
    struct id task;

    if (id_parse(slice_of_str(info->spec->id), &task) == 0)
        ++*count;
}

static void on_leave_timer(uv_timer_t *timer)
{
    struct member *m = timer->data;
    size_t containers = 0;

    runtime_container_list(m->cfg.runtime, count_container, &containers);
    if (containers > 0 && ++m->wipe_steps < 300)
        return;
    (void)uv_timer_stop(&m->timer);
    close_next(m);
}

static void stop_tasks_and_close(struct member *m)
{
    struct assign nothing = { .version = 1 };
    struct dispatch frame = { .kind = DISPATCH_ASSIGN, .assign = &nothing };

    if (host_frame(m->host, &frame) < 0)
        log_error("member", "the tasks of this node cannot be stopped");
    m->wipe_steps = 0;
    (void)uv_timer_start(&m->timer, on_leave_timer, 50, 100);
}

static void on_demoted(void *owner, int err, const struct field_error *why)
{
    struct member *m = owner;

    if (err < 0)
        log_warn("member", "leaving although the other managers could not be told: %s", why->text);
    stop_tasks_and_close(m);
}

/* A manager takes itself off the member list first, so that the others' quorum shrinks. */
static void leave_managers(struct member *m)
{
    const struct store *s = manager_store(m->manager);
    const struct node *n = store_node(s, &m->identity.cert.node);
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct node_spec spec;
    struct admit admit;
    int rc = n == NULL ? ERR_NOT_FOUND : fields_copy(&node_spec_type, &n->spec, &spec);

    manager_admit(m->manager, &admit, &t, &why);
    if (rc == 0) {
        spec.role = ROLE_WORKER;
        rc = admit_node_update(&admit, &n->id, n->version.index, &spec);
        fields_deinit(&node_spec_type, &spec);
    }
    if (rc < 0) { /* the last manager, or no store: there is nobody to tell */
        fields_deinit(&transaction_type, &t);
        stop_tasks_and_close(m);
        return;
    }
    manager_propose(m->manager, &t, on_demoted, m);
}

void member_leave(struct member *m, enum member_leave_how how, member_done done, void *owner)
{
    struct report farewell = { .sequence = 1, .stopping = true };
    struct dispatch frame = { .kind = DISPATCH_REPORT, .report = &farewell };

    if (m->state != MEMBER_ACTIVE) {
        done(owner, ERR_NOT_FOUND, "This node is not part of a swarm");
        return;
    }
    if (m->manager != NULL && how != LEAVE_FORCED) {
        done(owner, ERR_FORBIDDEN,
             "You are attempting to leave the swarm on a node that is participating as a manager. "
             "Removing the last manager erases all current state of the swarm. Use `--force` to "
             "ignore this message. ");
        return;
    }
    member_finish(m, ERR_UNAVAILABLE, "the node leaves again"); /* a join that still waits */
    m->done = done;
    m->done_owner = owner;
    m->state = MEMBER_LEAVING;
    traffic_send(m, &frame);
    if (m->manager != NULL)
        leave_managers(m);
    else
        stop_tasks_and_close(m);
}

/* --- Reading */

enum member_state member_state(const struct member *m)
{
    return m->state;
}

const char *member_error(const struct member *m)
{
    return m->error;
}

const struct id *member_node_id(const struct member *m)
{
    return m->state == MEMBER_ACTIVE ? &m->identity.cert.node : NULL;
}

const char *member_address(const struct member *m)
{
    return m->state == MEMBER_ACTIVE && m->file.advertise != NULL ? m->file.advertise : "";
}

struct manager *member_manager(const struct member *m)
{
    return m->closing_manager || m->state != MEMBER_ACTIVE ? NULL : m->manager;
}

struct links *member_links(const struct member *m)
{
    return m->links;
}

struct host *member_host(const struct member *m)
{
    return m->host;
}

const struct node_description *member_description(const struct member *m)
{
    return &m->description;
}

size_t member_remotes(const struct member *m, struct api_remote *out, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < m->file.managers.count && i < m->file.manager_addrs.count && count < max;
         i++) {
        if (id_parse(slice_of_str(m->file.managers.items[i]), &out[count].node_id) < 0)
            continue;
        (void)snprintf(out[count].addr, sizeof(out[count].addr), "%s",
                       m->file.manager_addrs.items[i]);
        count++;
    }
    return count;
}
