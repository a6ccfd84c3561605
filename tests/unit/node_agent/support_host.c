#include "tests/unit/node_agent/support_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

/* --- Answers that are due, given one each time the loop goes round */

#define DUE_MAX 64

struct due {
    void (*done)(void *owner, int err, const char *message);
    runtime_image_done image_done; /* instead */
    void *owner;
    int err;
};

static struct due dues[DUE_MAX];
static size_t due_count;
static uv_timer_t answering;
static uv_async_t sending; /* the loop goes round when something was sent */

size_t fake_created, fake_fetched, fake_sandboxes;
bool fake_running;
struct container_spec fake_spec;
static struct container_info fake_info;
static bool fake_exists;
static struct host_world *world;

static void on_due(uv_timer_t *timer)
{
    struct due d = dues[0];

    memmove(dues, dues + 1, --due_count * sizeof(dues[0]));
    if (due_count > 0)
        assert_int_equal(uv_timer_start(timer, on_due, 0, 0), 0);
    if (d.image_done != NULL)
        d.image_done(d.owner, d.err, d.err < 0 ? "as the test wants" : "", NULL);
    else
        d.done(d.owner, d.err, d.err < 0 ? "as the test wants" : "");
}

static void answer(struct due d)
{
    assert_true(due_count < DUE_MAX);
    dues[due_count++] = d;
    assert_int_equal(uv_timer_start(&answering, on_due, 0, 0), 0);
}

static void answer_done(runtime_done done, void *owner, int err)
{
    answer((struct due){ .done = done, .owner = owner, .err = err });
}

/* --- The runtime */

void runtime_image_inspect(struct runtime *rt, const char *name, runtime_image_done done,
                           void *owner)
{
    (void)rt;
    assert_string_equal(name, "web:1");
    answer((struct due){
        .image_done = done, .owner = owner, .err = world->image_known ? 0 : ERR_NOT_FOUND });
}

static void keep_spec(const struct container_spec *spec)
{
    fields_deinit(&container_spec_type, &fake_spec);
    assert_int_equal(fields_copy(&container_spec_type, spec, &fake_spec), 0);
    fake_info = (struct container_info){ .spec = &fake_spec, .health_output = "", .error = "" };
    fake_exists = true;
}

void runtime_container_create(struct runtime *rt, const struct container_spec *spec,
                              runtime_done done, void *owner)
{
    (void)rt;
    fake_created++;
    keep_spec(spec);
    answer_done(done, owner, 0);
}

void runtime_container_start(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    (void)rt;
    assert_string_equal(id, fake_spec.id);
    fake_running = true;
    fake_info.state = CONTAINER_RUNNING;
    fake_info.pid = 77;
    answer_done(done, owner, 0);
}

void fake_exit(struct host_world *w, int code)
{
    fake_running = false;
    fake_info.state = CONTAINER_EXITED;
    fake_info.exit_code = code;
    fake_info.pid = 0;
    host_container_event(w->host, CONTAINER_EVENT_EXITED, &fake_info);
}

void runtime_container_stop(struct runtime *rt, const char *id, int signal, uint64_t grace_ns,
                            runtime_done done, void *owner)
{
    (void)rt;
    (void)id;
    (void)signal;
    (void)grace_ns;
    fake_exit(world, 143);
    answer_done(done, owner, 0);
}

void runtime_container_remove(struct runtime *rt, const char *id, enum container_remove how,
                              runtime_done done, void *owner)
{
    (void)rt;
    (void)id;
    (void)how;
    fake_exists = false;
    answer_done(done, owner, 0);
}

const struct container_info *runtime_container_inspect(struct runtime *rt, const char *key)
{
    (void)rt;
    return fake_exists && strcmp(key, fake_spec.id) == 0 ? &fake_info : NULL;
}

/* --- The overlay */

void overlay_settle(struct overlay *o)
{
    (void)o;
}

int overlay_network_set(struct overlay *o, const struct overlay_network *network)
{
    (void)o;
    (void)network;
    return 0;
}

int overlay_network_remove(struct overlay *o, const struct id *network_id)
{
    (void)o;
    (void)network_id;
    return 0;
}

int overlay_peer_set(struct overlay *o, const struct overlay_peer *peer)
{
    (void)o;
    (void)peer;
    return 0;
}

void overlay_peer_remove(struct overlay *o, const struct id *node_id)
{
    (void)o;
    (void)node_id;
}

int overlay_endpoint_set(struct overlay *o, const struct overlay_endpoint *endpoint)
{
    (void)o;
    (void)endpoint;
    return 0;
}

void overlay_endpoint_remove(struct overlay *o, const struct id *network_id,
                             const struct id *endpoint_id)
{
    (void)o;
    (void)network_id;
    (void)endpoint_id;
}

void overlay_sandbox_create(struct overlay *o, const struct overlay_sandbox *sandbox,
                            overlay_done done, void *ctx)
{
    (void)o;
    (void)sandbox;
    fake_sandboxes++;
    answer_done(done, ctx, 0);
}

void overlay_sandbox_destroy(struct overlay *o, const struct id *sandbox_id, overlay_done done,
                             void *ctx)
{
    (void)o;
    (void)sandbox_id;
    fake_sandboxes--;
    answer_done(done, ctx, 0);
}

void overlay_sandbox_netns(const struct overlay *o, const struct id *sandbox_id,
                           char out[OVERLAY_PATH_MAX])
{
    (void)o;
    (void)snprintf(out, OVERLAY_PATH_MAX, "/run/netns/%s", sandbox_id->text);
}

/* --- The services of the overlay: the host is told that there are none */

void overlay_services_settle(struct overlay_services *s)
{
    (void)s;
    fail_msg("there are no services");
}

int overlay_service_set(struct overlay_services *s, const struct overlay_service *service)
{
    (void)service;
    overlay_services_settle(s);
    return 0;
}

void overlay_service_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *service_id)
{
    (void)network_id;
    (void)service_id;
    overlay_services_settle(s);
}

int overlay_backend_set(struct overlay_services *s, const struct overlay_backend *backend)
{
    (void)backend;
    overlay_services_settle(s);
    return 0;
}

void overlay_backend_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *endpoint_id)
{
    (void)network_id;
    (void)endpoint_id;
    overlay_services_settle(s);
}

void overlay_services_reachable(struct overlay_services *s, const struct id *node_id,
                                bool reachable)
{
    (void)node_id;
    (void)reachable;
    overlay_services_settle(s);
}

bool overlay_services_ip6(void)
{
    return true;
}

void overlay_services_attach(struct overlay_services *s, const struct overlay_sandbox *sandbox,
                             overlay_done done, void *ctx)
{
    (void)sandbox;
    (void)done;
    (void)ctx;
    overlay_services_settle(s);
}

void overlay_services_detach(struct overlay_services *s, const struct id *sandbox_id)
{
    (void)sandbox_id;
    overlay_services_settle(s);
}

/* --- The program around the host */

static void on_send(void *ctx, const struct dispatch *frame)
{
    struct host_world *w = ctx;

    assert_int_equal(uv_async_send(&sending), 0);
    w->hellos += frame->kind == DISPATCH_HELLO;
    if (frame->kind != DISPATCH_REPORT)
        return;
    w->reports++;
    fields_deinit(&report_type, &w->report);
    assert_int_equal(fields_copy(&report_type, frame->report, &w->report), 0);
}

static void on_fetch_image(void *ctx, const char *reference, host_image_done done, void *owner)
{
    struct host_world *w = ctx;

    (void)reference;
    fake_fetched++;
    answer_done(done, owner, w->fetch_err);
}

static void on_cluster(void *ctx, const struct cluster_record *cluster)
{
    (void)ctx;
    (void)cluster;
}

static void on_peer(void *ctx, const struct peer *peer, bool gone)
{
    (void)ctx;
    (void)peer;
    (void)gone;
}

void host_world_reopen(struct host_world *w)
{
    struct host_config cfg = { .loop = &w->loop,
                               .state_dir = w->dir,
                               .node_id = id_of(60000),
                               .description = &w->node,
                               .runtime = (struct runtime *)(void *)w, /* never looked into */
                               .overlay = (struct overlay *)(void *)w,
                               .ctx = w,
                               .send = on_send,
                               .fetch_image = on_fetch_image,
                               .on_cluster = on_cluster,
                               .on_peer = on_peer };

    memset(cfg.seal_key, w->key, sizeof(cfg.seal_key));
    w->closed = false;
    assert_int_equal(host_open(&cfg, &w->host), 0);
}

void host_world_open(struct host_world *w)
{
    *w = (struct host_world){ .key = 1, .image_known = true };
    world = w;
    fake_created = fake_fetched = fake_sandboxes = due_count = 0;
    fake_running = fake_exists = false;
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/shoal-host.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &answering), 0);
    assert_int_equal(uv_async_init(&w->loop, &sending, NULL), 0);
    host_world_reopen(w);
}

static void on_late(uv_timer_t *timer)
{
    ((struct host_world *)timer->data)->late = true;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

void host_world_until(struct host_world *w, bool (*done)(struct host_world *w))
{
    uv_timer_t *limit = calloc(1, sizeof(*limit));

    assert_non_null(limit);
    assert_int_equal(uv_timer_init(&w->loop, limit), 0);
    limit->data = w;
    w->late = false;
    assert_int_equal(uv_timer_start(limit, on_late, 5000, 0), 0);
    while (!done(w) && !w->late)
        (void)uv_run(&w->loop, UV_RUN_ONCE); /* whether handles are left is no matter */
    uv_close((uv_handle_t *)limit, on_timer_closed);
    if (w->late)
        fail_msg("nothing happened for 5 s");
}

static void on_closed(void *ctx)
{
    ((struct host_world *)ctx)->closed = true;
}

static bool is_closed(struct host_world *w)
{
    return w->closed;
}

void host_world_close(struct host_world *w)
{
    host_close(w->host, on_closed, w);
    host_world_until(w, is_closed);
}

void host_world_deinit(struct host_world *w)
{
    static const char *const names[] = { "assignment", "assignment.corrupt", "assignment.new" };
    char path[128];

    host_world_close(w);
    uv_close((uv_handle_t *)&answering, NULL);
    uv_close((uv_handle_t *)&sending, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* until all handles are closed */
    assert_int_equal(uv_loop_close(&w->loop), 0);
    fields_deinit(&report_type, &w->report);
    fields_deinit(&container_spec_type, &fake_spec);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        (void)unlink(path); /* it need not be there */
    }
    assert_int_equal(rmdir(w->dir), 0);
}

void host_world_assign(struct host_world *w, struct assign *f)
{
    struct dispatch frame = { .kind = DISPATCH_ASSIGN, .assign = f };

    if (f->version == 0)
        f->version = 1;
    assert_int_equal(host_frame(w->host, &frame), 0);
    fields_deinit(&assign_type, f);
}
