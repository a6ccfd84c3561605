#include "tests/unit/node_api/support_api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

static void open_api(struct world *w)
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

static void prepare(struct world *w)
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
    prepare(w);
    open_api(w);
}

void world_open_member(struct world *w)
{
    struct cluster_spec spec = { 0 };

    world_open(w);
    make_cluster(w, &spec);
}

/* --- With containers ------------------------------------------------------------------------ */

const char *world_host_missing(void)
{
    static const char *const programs[] = { "/usr/bin/crun", "/usr/bin/conmon", "/bin/busybox",
                                            "/usr/local/bin/docker" };

    if (geteuid() != 0)
        return "needs root";
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        if (access(programs[i], X_OK) < 0)
            return programs[i];
    }
    return NULL;
}

static void on_runtime_ready(void *owner, int err, const char *message)
{
    struct world *w = owner;

    if (err < 0)
        fail_msg("runtime: %s", message);
    w->runtime_ready = true;
}

static void on_runtime_event(void *owner, enum container_event_kind kind,
                             const struct container_info *info)
{
    struct world *w = owner;

    if (w->api != NULL)
        api_on_container(w->api, kind, info);
}

void world_open_host(struct world *w)
{
    char state_dir[96], run_dir[96], cgroup[64];
    struct cluster_spec spec = { 0 };
    struct runtime_config cfg = { .loop = &w->loop,
                                  .state_dir = state_dir,
                                  .run_dir = run_dir,
                                  .cgroup_parent = cgroup,
                                  .owner = w,
                                  .on_ready = on_runtime_ready,
                                  .on_event = on_runtime_event };

    prepare(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/shoal-api-%d", (int)getpid());
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", w->dir);
    (void)snprintf(run_dir, sizeof(run_dir), "%s/run", w->dir);
    (void)snprintf(cgroup, sizeof(cgroup), "/shoal-api-%d", (int)getpid());
    assert_int_equal(mkdir(w->dir, 0700), 0);
    assert_int_equal(runtime_open(&cfg, &w->rt), 0);
    while (!w->runtime_ready)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    open_api(w);
    make_cluster(w, &spec);
    free(run_script(w, "mkdir -p $DIR/root/bin && cp /bin/busybox $DIR/root/bin/ && "
                       "for p in sh cat echo sleep; do ln -s busybox $DIR/root/bin/$p; done; "
                       "tar -C $DIR/root -c . | docker import - busybox:latest"));
}

struct waited {
    bool done;
    int err;
    char message[512];
};

static void on_waited(void *owner, int err, const char *message)
{
    struct waited *d = owner;

    d->done = true;
    d->err = err;
    (void)snprintf(d->message, sizeof(d->message), "%s", message);
}

static void wait_for(struct world *w, struct waited *d)
{
    while (!d->done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    if (d->err < 0)
        fail_msg("%s", d->message);
}

static void remove_container(void *owner, const struct container_info *info)
{
    struct waited *d = owner;

    (void)snprintf(d->message, sizeof(d->message), "%s", info->spec->id);
}

static void on_runtime_closed(void *owner)
{
    ((struct world *)owner)->runtime_closed = true;
}

/* Containers first: they would outlive the test. */
static void close_host(struct world *w)
{
    char command[128];

    for (;;) {
        struct waited found = { 0 }, removed = { 0 };

        runtime_container_list(w->rt, remove_container, &found);
        if (found.message[0] == '\0')
            break;
        runtime_container_remove(w->rt, found.message, REMOVE_FORCE, on_waited, &removed);
        wait_for(w, &removed);
    }
    runtime_close(w->rt, on_runtime_closed, w);
    while (!w->runtime_closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    (void)snprintf(command, sizeof(command), "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

struct id world_start_task(struct world *w, const char *service, const char *command)
{
    const struct service *s =
        (const struct service *)(const void *)store_find_name(w->store, OBJECT_SERVICE, service);
    struct waited created = { 0 }, started = { 0 };
    struct container_spec spec = { 0 };
    struct transaction t = { 0 };
    struct task task = { 0 };
    uint8_t random[ID_RANDOM_LEN];
    struct id id;

    assert_non_null(s);
    prng_bytes(&w->prng, random, sizeof(random));
    id = task.id = id_from_random(random);
    assert_int_equal(str_set(&spec.id, task.id.text), 0);
    assert_int_equal(str_set(&spec.image, "busybox"), 0);
    assert_int_equal(str_list_append(&spec.command, "/bin/sh"), 0);
    assert_int_equal(str_list_append(&spec.command, "-c"), 0);
    assert_int_equal(str_list_append(&spec.command, command), 0);
    assert_int_equal(str_map_set(&spec.labels, "com.docker.swarm.service.name", service), 0);
    runtime_container_create(w->rt, &spec, on_waited, &created);
    wait_for(w, &created);
    runtime_container_start(w->rt, spec.id, on_waited, &started);
    wait_for(w, &started);
    fields_deinit(&container_spec_type, &spec);

    task.service_id = s->id;
    task.node_id = w->node_id;
    task.slot = 1;
    task.desired_state = task.status.state = TASK_RUNNING;
    assert_int_equal(fields_copy(&task_spec_type, &s->spec.task, &task.spec), 0);
    assert_int_equal(str_set(&task.service_name, service), 0);
    assert_int_equal(
        transaction_create(&t, OBJECT_TASK, (const struct object *)(const void *)&task), 0);
    assert_int_equal(apply(w, &t), 0);
    fields_deinit(&task_type, &task);
    return id;
}

struct script {
    uv_process_t process;
    uv_pipe_t pipe;
    struct buf out;
    bool exited, read;
    int64_t status;
    unsigned open;
};

static void on_script_exit(uv_process_t *process, int64_t status, int signal)
{
    struct script *s = process->data;

    s->exited = true;
    s->status = signal != 0 ? 128 + signal : status;
}

static void on_script_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    *buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_script_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct script *s = stream->data;

    if (n > 0)
        assert_int_equal(buf_append(&s->out, buf->base, (size_t)n), 0);
    free(buf->base);
    s->read = s->read || n < 0;
}

static void on_script_closed(uv_handle_t *h)
{
    ((struct script *)h->data)->open--;
}

char *run_script(struct world *w, const char *script)
{
    struct script s = { .open = 2 };
    char host[128], dir[80];
    char *args[] = { (char[]){ "/bin/sh" }, (char[]){ "-ec" }, (char *)(uintptr_t)script, NULL };
    char *env[] = { host, dir, (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" },
                    (char[]){ "HOME=/nonexistent" }, NULL };
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE },
                                      { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
                                        .data.stream = (uv_stream_t *)&s.pipe },
                                      { .flags = UV_INHERIT_FD, .data.fd = 2 } };
    uv_process_options_t options = { .exit_cb = on_script_exit,
                                     .file = "/bin/sh",
                                     .args = args,
                                     .env = env,
                                     .stdio_count = 3,
                                     .stdio = stdio };
    char *text;

    (void)snprintf(host, sizeof(host), "DOCKER_HOST=unix://%s", w->socket);
    (void)snprintf(dir, sizeof(dir), "DIR=%s", w->dir);
    buf_init(&s.out, ANSWER_MAX);
    assert_int_equal(uv_pipe_init(&w->loop, &s.pipe, 0), 0);
    s.pipe.data = s.process.data = &s;
    assert_int_equal(uv_spawn(&w->loop, &s.process, &options), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&s.pipe, on_script_alloc, on_script_read), 0);
    while (!s.exited || !s.read)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&s.pipe, on_script_closed);
    uv_close((uv_handle_t *)&s.process, on_script_closed);
    while (s.open > 0)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(buf_append_byte(&s.out, 0), 0);
    text = (char *)buf_take(&s.out, &(size_t){ 0 });
    if (s.status != 0)
        fail_msg("script failed with %d:\n%s\n%s", (int)s.status, script, text);
    return text;
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
        close_host(w);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
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
