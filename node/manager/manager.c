/* A manager's life: its parts are opened, raft runs, its parts are closed; and what others may
 * read. What happens in between: machine.c, route.c, request.c, leader.c. */
#include "node/manager/manager.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/manager/manager_impl.h"

#define UNREACHABLE_GRACE_NS (1 * NS_PER_S)
#define UNKNOWN_GRACE_NS     (10 * NS_PER_S)

wall_ns manager_wall_now(void)
{
    uv_timeval64_t tv;

    if (uv_gettimeofday(&tv) != 0)
        return 0;
    return tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

struct control_time manager_now(void)
{
    return (struct control_time){ .mono = uv_hrtime(), .wall = manager_wall_now() };
}

/* --- What raft says of the group */

static void on_conf(void *ctx, const struct raft_conf *conf)
{
    struct manager *m = ctx;

    if (raft_conf_is_removed(conf, m->cfg.raft_id))
        m->cfg.on_removed(m->cfg.ctx);
    manager_wake(m);
}

static void on_refused(void *ctx, enum raft_refusal why)
{
    struct manager *m = ctx;

    if (why == RAFT_REFUSED_REMOVED)
        m->cfg.on_removed(m->cfg.ctx);
}

static void on_raft_failed(void *ctx, int err, const char *why)
{
    struct manager *m = ctx;

    m->cfg.on_failed(m->cfg.ctx, err, why);
}

/* --- Reading */

const struct store *manager_store(const struct manager *m)
{
    return m->store;
}

bool manager_is_leader(const struct manager *m)
{
    return m->leading;
}

const struct id *manager_leader(const struct manager *m)
{
    return id_is_none(&m->leader) ? NULL : &m->leader;
}

size_t manager_voter_count(const struct manager *m)
{
    const struct raft_conf *conf = raft_driver_conf(m->raft);
    size_t count = 0;

    for (uint32_t i = 0; !conf->joint && i < conf->member_count; i++)
        count += (conf->members[i].flags & RAFT_VOTER) != 0;
    return count;
}

enum reachability manager_reachability(const struct manager *m, const struct id *node)
{
    const struct node *n = store_node(m->store, node);

    if (id_equal(node, &m->cfg.node_id))
        return REACHABILITY_REACHABLE;
    if (n == NULL || n->manager == NULL)
        return REACHABILITY_UNKNOWN;
    if (m->leading)
        return raft_driver_is_active(m->raft, n->manager->raft_id) ? REACHABILITY_REACHABLE
                                                                   : REACHABILITY_UNREACHABLE;
    return link_is_up(m->cfg.links, node) ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE;
}

/* --- Life */

static void free_manager(struct manager *m)
{
    struct map_iter it = { 0 };

    while (map_next(&m->routes, &it))
        free(it.value);
    map_deinit(&m->routes);
    forward_close(m->forward);
    store_batch_free(m->gathering);
    store_disk_close(m->disk);
    store_free(m->store);
    control_free(m->control);
    dispatcher_free(m->dispatcher);
    sodium_memzero(m->cfg.data_key, sizeof(m->cfg.data_key));
    free(m);
}

static int open_parts(struct manager *m, char *why, size_t why_len)
{
    struct control_config control = { .node_id = m->cfg.node_id,
                                      .unreachable_grace_ns = UNREACHABLE_GRACE_NS,
                                      .unknown_grace_ns = UNKNOWN_GRACE_NS };
    struct hash_seed seed;
    uint64_t ids;
    char path[4096];
    int rc;

    randombytes_buf(&seed, sizeof(seed));
    map_init(&m->routes, &seed, 4096);
    randombytes_buf(&ids, sizeof(ids));
    prng_init(&m->ids, ids);
    randombytes_buf(&control.seed, sizeof(control.seed));
    randombytes_buf(control.key_seed, sizeof(control.key_seed));
    rc = store_new(&m->store);
    if (rc == 0)
        rc = store_batch_new(&m->gathering);
    if (rc == 0)
        rc = control_new(&control, &m->control);
    sodium_memzero(control.key_seed, sizeof(control.key_seed));
    if (rc == 0)
        rc = dispatcher_new(&m->dispatcher);
    if (rc < 0) {
        (void)snprintf(why, why_len, "%s", err_text(rc));
        return rc;
    }
    (void)snprintf(path, sizeof(path), "%s/store", m->cfg.state_dir);
    rc = store_disk_open(path, m->cfg.data_key, &m->disk, why, why_len);
    return rc < 0 ? rc : store_disk_load(m->disk, m->store, why, why_len);
}

static int open_raft(struct manager *m, char *why, size_t why_len)
{
    struct raft_driver_config cfg = {
        .loop = m->cfg.loop,
        .cluster = m->cfg.cluster,
        .id = m->cfg.raft_id,
        .force_new_cluster = m->cfg.force_new_cluster,
        .applied = store_applied(m->store),
        .machine = machine_of(m),
        .ctx = m,
        .send = route_send,
        .on_role = leader_on_role,
        .on_conf = on_conf,
        .on_refused = on_refused,
        .on_failed = on_raft_failed,
    };
    struct raft_conf conf;
    char path[4096];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/raft", m->cfg.state_dir);
    cfg.dir = path;
    memcpy(cfg.key, m->cfg.data_key, sizeof(cfg.key));
    if (m->cfg.bootstrap) {
        rc = raft_conf_init(&conf, m->cfg.raft_id, id_slice(&m->cfg.node_id));
        if (rc < 0)
            return rc;
        cfg.bootstrap = &conf;
    }
    rc = raft_driver_open(&cfg, &m->raft, why, why_len);
    sodium_memzero(cfg.key, sizeof(cfg.key));
    return rc;
}

int manager_open(const struct manager_config *cfg, struct manager **out, char *why, size_t why_len)
{
    struct manager *m = calloc(1, sizeof(*m));
    int rc;

    if (m == NULL)
        return -ENOMEM;
    m->cfg = *cfg;
    CHECK(uv_prepare_init(cfg->loop, &m->pump) == 0); /* cannot fail */
    CHECK(uv_timer_init(cfg->loop, &m->timer) == 0);
    CHECK(uv_timer_init(cfg->loop, &m->retry) == 0);
    m->pump.data = m;
    m->timer.data = m;
    m->retry.data = m;
    list_init(&m->leaderless);
    m->open_handles = 3;
    rc = open_parts(m, why, why_len);
    if (rc == 0)
        rc = forward_open(cfg->links, request_on_forwarded, m, &m->forward);
    if (rc == 0)
        rc = open_raft(m, why, why_len);
    if (rc < 0) {
        m->raft_stopped = true;
        manager_close(m, NULL, NULL);
        return rc;
    }
    CHECK(uv_prepare_start(&m->pump, leader_on_pump) == 0);
    links_handle(cfg->links, LINK_RAFT,
                 &(struct link_handler){ .ctx = m, .on_message = route_on_message });
    *out = m;
    return 0;
}

void manager_finish_close(struct manager *m)
{
    void (*on_closed)(void *ctx) = m->on_closed;
    void *ctx = m->closed_ctx;

    if (m->open_handles > 0 || m->writing || !m->raft_stopped)
        return;
    free_manager(m);
    if (on_closed != NULL)
        on_closed(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct manager *m = handle->data;

    m->open_handles--;
    manager_finish_close(m);
}

static void on_raft_stopped(void *ctx)
{
    struct manager *m = ctx;

    links_handle(m->cfg.links, LINK_RAFT, &(struct link_handler){ 0 });
    forward_close(m->forward); /* all that it was asked is answered: raft's requests have ended */
    m->forward = NULL;
    m->raft_stopped = true;
    m->raft = NULL;
    manager_finish_close(m);
}

void manager_close(struct manager *m, void (*on_closed)(void *ctx), void *ctx)
{
    m->closing = true;
    m->on_closed = on_closed;
    m->closed_ctx = ctx;
    uv_close((uv_handle_t *)&m->pump, on_handle_closed);
    uv_close((uv_handle_t *)&m->timer, on_handle_closed);
    uv_close((uv_handle_t *)&m->retry, on_handle_closed);
    request_give_up(m);
    if (m->raft != NULL)
        raft_driver_stop(m->raft, on_raft_stopped, m);
}
