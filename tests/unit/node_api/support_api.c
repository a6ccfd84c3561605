#include "tests/unit/node_api/support_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

/* A call that comes back at the next turn of the loop. */
struct pending_call {
    struct pending_call *next;
    uv_idle_t idle;
    struct world *w;
    int err;
    api_proposed proposed;
    api_done done;
    void *owner;
};

static void on_idle_closed(uv_handle_t *h)
{
    free(h->data);
}

static void complete(struct pending_call *p)
{
    struct field_error why = { "" };

    if (p->proposed != NULL)
        p->proposed(p->owner, p->err, &why);
    else
        p->done(p->owner, p->err, p->err < 0 ? err_text(p->err) : "");
    uv_close((uv_handle_t *)&p->idle, on_idle_closed);
}

static void on_idle(uv_idle_t *idle)
{
    complete(idle->data);
}

static void later(struct world *w, int err, api_proposed proposed, api_done done, void *owner)
{
    struct pending_call *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->w = w;
    p->err = err;
    p->proposed = proposed;
    p->done = done;
    p->owner = owner;
    assert_int_equal(uv_idle_init(&w->loop, &p->idle), 0);
    p->idle.data = p;
    if (w->silent > 0) {
        w->silent--;
        p->next = w->pending;
        w->pending = p;
    } else {
        assert_int_equal(uv_idle_start(&p->idle, on_idle), 0);
    }
}

void world_run_pending(struct world *w)
{
    while (w->pending != NULL) {
        struct pending_call *p = w->pending;

        w->pending = p->next;
        complete(p);
    }
}

/* --- The fake daemon ------------------------------------------------------------------------ */

static void fake_status(void *ctx, struct api_status *out)
{
    struct world *w = ctx;

    out->membership = w->membership;
    if (w->membership != API_ACTIVE)
        return;
    out->is_manager = w->store != NULL;
    out->node_id = out->leader = w->node_id;
    (void)snprintf(out->addr, sizeof(out->addr), "10.0.0.1");
    out->remotes[0].node_id = w->node_id;
    (void)snprintf(out->remotes[0].addr, sizeof(out->remotes[0].addr), "10.0.0.1:2377");
    out->remote_count = 1;
}

static const struct node_description *fake_description(void *ctx)
{
    return &((struct world *)ctx)->description;
}

static const struct store *fake_store(void *ctx)
{
    return ((struct world *)ctx)->store;
}

static enum reachability fake_reachability(void *ctx, const struct id *node)
{
    (void)ctx;
    (void)node;
    return REACHABILITY_REACHABLE;
}

static void fake_read(void *ctx, api_proposed done, void *owner)
{
    struct world *w = ctx;
    int err = w->fail_read;

    w->fail_read = 0;
    w->reads++;
    later(w, err, done, NULL, owner);
}

static void fake_admit(void *ctx, struct admit *a, struct transaction *out, struct field_error *err)
{
    struct world *w = ctx;

    *a = (struct admit){
        .store = w->store, .ids = &w->prng, .wall = 1000000000, .out = out, .err = err
    };
}

int world_apply(struct world *w, struct transaction *t)
{
    struct store_changes changes = { 0 };
    struct field_error culprit;
    int rc;

    t->at = 1000000000;
    rc = store_apply(w->store, ++w->index, t, &changes, &culprit);
    fields_deinit(&transaction_type, t);
    if (rc == 0 && w->api != NULL)
        api_on_changed(w->api, &changes);
    return rc;
}

static void fake_propose(void *ctx, struct transaction *t, api_proposed done, void *owner)
{
    struct world *w = ctx;
    int err = w->fail_propose;

    w->proposals++;
    w->fail_propose = 0;
    if (err == 0 && w->stale_count > 0) {
        w->stale_count--;
        err = ERR_STALE;
    }
    if (err == 0)
        err = world_apply(w, t);
    else
        fields_deinit(&transaction_type, t);
    later(w, err, done, NULL, owner);
}

void world_make_cluster(struct world *w, const struct cluster_spec *spec)
{
    struct transaction t = { 0 };
    struct field_error err = { "" };
    struct cluster c = { 0 };
    struct node n = { 0 };
    struct ca_root *root;
    struct admit a;
    uint8_t secret[16];

    assert_int_equal(store_new(&w->store), 0);
    w->node_id = id_from_random((const uint8_t[ID_RANDOM_LEN]){ 1 });
    n.id = w->node_id;
    n.spec.role = n.role = ROLE_MANAGER;
    n.status.state = NODE_READY;
    assert_int_equal(str_set(&n.description.hostname, "host1"), 0);
    assert_int_equal(str_set(&n.status.addr, "10.0.0.1"), 0);
    n.manager = calloc(1, sizeof(*n.manager));
    assert_non_null(n.manager);
    n.manager->raft_id = 1;
    assert_int_equal(str_set(&n.manager->addr, "10.0.0.1:2377"), 0);
    c.id = id_from_random((const uint8_t[ID_RANDOM_LEN]){ 2 });
    assert_int_equal(fields_copy(&cluster_spec_type, spec, &c.spec), 0);
    root = LIST_ADD(&c.roots);
    assert_non_null(root);
    memset(root->public_key, 7, sizeof(root->public_key));
    memset(secret, 1, sizeof(secret));
    assert_int_equal(bytes_set(&c.join.worker, slice_of(secret, sizeof(secret))), 0);
    memset(secret, 2, sizeof(secret));
    assert_int_equal(bytes_set(&c.join.manager, slice_of(secret, sizeof(secret))), 0);
    fake_admit(w, &a, &t, &err);
    assert_int_equal(admit_cluster_init(&a, &c, &n), 0);
    assert_int_equal(world_apply(w, &t), 0);
    fields_deinit(&cluster_type, &c);
    fields_deinit(&node_type, &n);
    w->membership = API_ACTIVE;
}

static void fake_init(void *ctx, const struct api_init *init, api_done done, void *owner)
{
    struct world *w = ctx;

    world_make_cluster(w, init->spec);
    later(w, 0, NULL, done, owner);
}

static void fake_join(void *ctx, const struct api_join *join, api_done done, void *owner)
{
    struct world *w = ctx;

    (void)snprintf(w->joined_token, sizeof(w->joined_token), "%s", join->token);
    (void)snprintf(w->joined_remote, sizeof(w->joined_remote), "%s", join->remotes[0]);
    if (strncmp(join->token, "SHTKN-", 6) != 0) {
        later(w, ERR_INVALID, NULL, done, owner);
        return;
    }
    w->membership = API_ACTIVE;
    later(w, 0, NULL, done, owner);
}

static void fake_leave(void *ctx, enum api_leave how, api_done done, void *owner)
{
    struct world *w = ctx;

    (void)how;
    w->membership = API_INACTIVE;
    store_free(w->store);
    w->store = NULL;
    later(w, 0, NULL, done, owner);
}

static void fake_unlock(void *ctx, const char *key, api_done done, void *owner)
{
    struct world *w = ctx;
    bool right = strcmp(key, "right") == 0;

    if (right)
        w->membership = API_ACTIVE;
    later(w, right ? 0 : ERR_UNAUTHENTICATED, NULL, done, owner);
}

static void *fake_logs_open(void *ctx, const struct task *task, const struct logs_options *options,
                            const struct api_log_callbacks *callbacks)
{
    struct world *w = ctx;

    return runtime_logs_open(w->rt, task->id.text, options, callbacks->on_record, callbacks->on_end,
                             callbacks->owner);
}

static void fake_logs_hold(void *ctx, void *logs)
{
    (void)ctx;
    runtime_logs_hold(logs);
}

static void fake_logs_resume(void *ctx, void *logs)
{
    (void)ctx;
    runtime_logs_resume(logs);
}

static void fake_logs_close(void *ctx, void *logs)
{
    (void)ctx;
    runtime_logs_close(logs);
}

/* --- Opening and closing -------------------------------------------------------------------- */

void world_open_api(struct world *w)
{
    struct api_config cfg = {
        .loop = &w->loop,
        .socket = w->socket,
        .state_dir = "/var/lib/shoal",
        .version = "0.1.0",
        .runtime = w->rt,
        .backend = { .ctx = w,
                     .status = fake_status,
                     .description = fake_description,
                     .store = fake_store,
                     .reachability = fake_reachability,
                     .read = fake_read,
                     .admit = fake_admit,
                     .propose = fake_propose,
                     .init = fake_init,
                     .join = fake_join,
                     .leave = fake_leave,
                     .unlock = fake_unlock,
                     .logs_open = fake_logs_open,
                     .logs_hold = fake_logs_hold,
                     .logs_resume = fake_logs_resume,
                     .logs_close = fake_logs_close },
    };
    char why[256];

    assert_int_equal(api_open(&cfg, &w->api, why, sizeof(why)), 0);
}

void world_prepare(struct world *w)
{
    memset(w, 0, sizeof(*w));
    prng_init(&w->prng, 1);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    (void)snprintf(w->socket, sizeof(w->socket), "/tmp/shoal-api-%d.sock", (int)getpid());
    assert_int_equal(str_set(&w->description.hostname, "host1"), 0);
    w->description.resources.nano_cpus = 2000000000;
    w->description.resources.memory_bytes = 1 << 30;
}

void world_open(struct world *w)
{
    world_prepare(w);
    world_open_api(w);
}

void world_open_member(struct world *w)
{
    struct cluster_spec spec = { 0 };

    world_open(w);
    world_make_cluster(w, &spec);
}

/* --- Closing */

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

void world_close_api(struct world *w)
{
    api_close(w->api, on_closed, &w->closed);
    w->api = NULL;
}

void world_close(struct world *w)
{
    if (w->api != NULL)
        world_close_api(w);
    world_run_pending(w);
    while (!w->closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_true(w->closed);
    if (w->rt != NULL)
        world_close_host(w);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(access(w->socket, F_OK), -1);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    store_free(w->store);
    fields_deinit(&node_description_type, &w->description);
}
