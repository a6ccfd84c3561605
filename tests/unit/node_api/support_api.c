#include "tests/unit/node_api/support_api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

#define ANSWER_MAX (16 * MIB)

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

static int apply(struct world *w, struct transaction *t)
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
        err = apply(w, t);
    else
        fields_deinit(&transaction_type, t);
    later(w, err, done, NULL, owner);
}

static void make_cluster(struct world *w, const struct cluster_spec *spec)
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
    assert_int_equal(apply(w, &t), 0);
    fields_deinit(&cluster_type, &c);
    fields_deinit(&node_type, &n);
    w->membership = API_ACTIVE;
}

static void fake_init(void *ctx, const struct api_init *init, api_done done, void *owner)
{
    struct world *w = ctx;

    make_cluster(w, init->spec);
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

/* --- Opening and closing -------------------------------------------------------------------- */

void world_open(struct world *w)
{
    struct api_config cfg = {
        .loop = &w->loop,
        .socket = w->socket,
        .state_dir = "/var/lib/shoal",
        .version = "0.1.0",
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
                     .unlock = fake_unlock },
    };
    char why[256];

    memset(w, 0, sizeof(*w));
    prng_init(&w->prng, 1);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    (void)snprintf(w->socket, sizeof(w->socket), "/tmp/shoal-api-%d.sock", (int)getpid());
    assert_int_equal(str_set(&w->description.hostname, "host1"), 0);
    w->description.resources.nano_cpus = 2000000000;
    w->description.resources.memory_bytes = 1 << 30;
    assert_int_equal(api_open(&cfg, &w->api, why, sizeof(why)), 0);
}

void world_open_member(struct world *w)
{
    struct cluster_spec spec = { 0 };

    world_open(w);
    make_cluster(w, &spec);
}

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
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->closed);
    assert_int_equal(access(w->socket, F_OK), -1);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    store_free(w->store);
    fields_deinit(&node_description_type, &w->description);
}

/* --- A client ------------------------------------------------------------------------------- */

struct client {
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    uv_buf_t out;
    struct buf in;
    bool done;
};

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    *buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = s->data;

    if (n > 0)
        assert_int_equal(buf_append(&c->in, buf->base, (size_t)n), 0);
    free(buf->base);
    c->done = c->done || n < 0;
}

static void on_written(uv_write_t *w, int status)
{
    (void)w;
    (void)status; /* the server may have refused and closed before it read all */
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct client *c = connect->data;

    assert_int_equal(status, 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read), 0);
    assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->pipe, &c->out, 1, on_written), 0);
}

static void on_client_closed(uv_handle_t *h)
{
    *(bool *)h->data = true;
}

struct answer ask_raw(struct world *w, const char *bytes, size_t len)
{
    struct client c = { 0 };
    struct answer a = { 0 };
    const char *head_end;
    bool closed = false;
    size_t head_len;

    buf_init(&c.in, ANSWER_MAX);
    c.out = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
    c.pipe.data = &c;
    c.connect.data = &c;
    assert_int_equal(uv_pipe_init(&w->loop, &c.pipe, 0), 0);
    c.pipe.data = &c;
    uv_pipe_connect(&c.connect, &c.pipe, w->socket, on_connected);
    while (!c.done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    c.pipe.data = &closed;
    uv_close((uv_handle_t *)&c.pipe, on_client_closed);
    while (!closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);

    assert_int_equal(buf_append_byte(&c.in, 0), 0);
    head_end = c.in.len == 1 ? NULL : strstr((const char *)c.in.ptr, "\r\n\r\n");
    if (head_end != NULL) {
        head_len = (size_t)(head_end - (const char *)c.in.ptr);
        assert_true(head_len < sizeof(a.head));
        memcpy(a.head, c.in.ptr, head_len);
        assert_int_equal(sscanf(a.head, "HTTP/1.%*d %d", &a.status), 1);
        a.body_len = c.in.len - 1 - head_len - 4;
        a.body = malloc(a.body_len + 1);
        assert_non_null(a.body);
        memcpy(a.body, head_end + 4, a.body_len + 1);
    }
    buf_deinit(&c.in);
    return a;
}

struct answer ask(struct world *w, const char *method, const char *path, const char *body)
{
    struct buf b;
    struct answer a;

    buf_init(&b, ANSWER_MAX);
    assert_int_equal(buf_printf(&b, "%s %s HTTP/1.0\r\nHost: api\r\n", method, path), 0);
    if (body != NULL)
        assert_int_equal(buf_printf(&b, "Content-Length: %zu\r\n", strlen(body)), 0);
    assert_int_equal(buf_append_str(&b, "\r\n"), 0);
    if (body != NULL)
        assert_int_equal(buf_append_str(&b, body), 0);
    a = ask_raw(w, (const char *)b.ptr, b.len);
    buf_deinit(&b);
    return a;
}

void answer_free(struct answer *a)
{
    free(a->body);
    memset(a, 0, sizeof(*a));
}

json_t *ask_json(struct world *w, const char *method, const char *path, const char *body,
                 int status)
{
    struct answer a = ask(w, method, path, body);
    json_t *json;

    if (a.status != status)
        print_error("%s %s: %d %s\n", method, path, a.status, a.body != NULL ? a.body : "");
    assert_int_equal(a.status, status);
    json = a.body_len > 0 ? json_loads(a.body, JSON_DECODE_ANY, NULL) : NULL;
    answer_free(&a);
    return json;
}

void assert_refused(struct world *w, const char *method, const char *path, const char *body,
                    int status, const char *message_part)
{
    json_t *json = ask_json(w, method, path, body, status);
    const char *message = json_string_value(json_object_get(json, "message"));

    assert_non_null(message);
    if (strstr(message, message_part) == NULL)
        print_error("%s %s: %s\n", method, path, message);
    assert_non_null(strstr(message, message_part));
    json_decref(json);
}
