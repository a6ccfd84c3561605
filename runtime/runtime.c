/* A struct runtime from its making to its end; how it opens is in opening.c.
 *
 *     close  no more operations begin; those on threads end; threads end; handles close
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/opening.h"

#define DEFAULT_LOG_BYTES (10 * MIB)
#define DEFAULT_LOG_FILES 3

/* --- Finding */

struct container *runtime_find_id(const struct runtime *rt, const char *id)
{
    return omap_get(&rt->by_id, slice_of_str(id));
}

const struct container_info *runtime_container_inspect(struct runtime *rt, const char *key)
{
    struct container *c = runtime_find_id(rt, key);
    const struct omap_node *node, *next;
    struct slice prefix = slice_of_str(key);

    if (c == NULL)
        c = omap_get(&rt->by_name, prefix);
    if (c == NULL && prefix.len > 0) {
        node = omap_lower_bound(&rt->by_id, prefix);
        next = node == NULL ? NULL : omap_next(node);
        if (node != NULL && omap_has_prefix(node, prefix) &&
            (next == NULL || !omap_has_prefix(next, prefix)))
            c = omap_value(node);
    }
    return c == NULL ? NULL : &c->info;
}

void runtime_container_list(struct runtime *rt,
                            void (*each)(void *owner, const struct container_info *info),
                            void *owner)
{
    LIST_EACH_SAFE(it, &rt->containers)
    {
        each(owner, &CONTAINER_OF(it, struct container, link)->info);
    }
}

const struct runtime_host *runtime_host(const struct runtime *rt)
{
    return &rt->host;
}

/* --- The configuration */

static int copy_registries(struct runtime *rt, const char *const *from)
{
    size_t count = 0;

    while (from != NULL && from[count] != NULL)
        count++;
    rt->insecure_registries = calloc(count + 1, sizeof(char *));
    if (rt->insecure_registries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        rt->insecure_registries[i] = strdup(from[i]);
        if (rt->insecure_registries[i] == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* The config's texts are the caller's: these are kept. */
static int copy_text(const char **member)
{
    if (*member == NULL)
        return 0;
    *member = strdup(*member);
    return *member == NULL ? -ENOMEM : 0;
}

static void free_config(struct runtime *rt)
{
    free((void *)(uintptr_t)rt->config.oci_runtime);
    free((void *)(uintptr_t)rt->config.conmon);
    free((void *)(uintptr_t)rt->config.init);
    for (char **r = rt->insecure_registries; r != NULL && *r != NULL; r++)
        free(*r);
    free(rt->insecure_registries);
}

static int copy_config(struct runtime *rt, const struct runtime_config *config)
{
    int rc, more;

    rt->config = *config;
    rt->config.oci_runtime = rt->config.conmon = rt->config.init = NULL;
    rt->config.insecure_registries = NULL;
    rt->loop = config->loop;
    rt->state_dir = path_of("%s", config->state_dir);
    rt->run_dir = path_of("%s", config->run_dir);
    (void)snprintf(rt->cgroup_parent, sizeof(rt->cgroup_parent), "%s",
                   config->cgroup_parent == NULL ? "/shoal" : config->cgroup_parent);
    rt->log_file_bytes_max =
        config->log_file_bytes_max != 0 ? config->log_file_bytes_max : DEFAULT_LOG_BYTES;
    rt->log_file_count_max =
        config->log_file_count_max != 0 ? config->log_file_count_max : DEFAULT_LOG_FILES;
    rt->config.oci_runtime = config->oci_runtime;
    rc = copy_text(&rt->config.oci_runtime);
    rt->config.conmon = config->conmon;
    more = copy_text(&rt->config.conmon);
    rc = rc < 0 ? rc : more;
    rt->config.init = config->init;
    more = copy_text(&rt->config.init);
    rc = rc < 0 ? rc : more;
    more = copy_registries(rt, config->insecure_registries);
    return rc < 0 ? rc : more;
}

static bool is_valid(const struct runtime_config *c)
{
    return c->loop != NULL && c->on_ready != NULL && c->state_dir != NULL && c->run_dir != NULL &&
           c->state_dir[0] == '/' && c->run_dir[0] == '/' && strlen(c->state_dir) < 1024 &&
           strlen(c->run_dir) < 1024 &&
           (c->cgroup_parent == NULL ||
            (c->cgroup_parent[0] == '/' && strlen(c->cgroup_parent) < 200));
}

/* --- Opening */

static struct runtime *new_empty(void)
{
    struct runtime *rt = calloc(1, sizeof(*rt));

    if (rt == NULL)
        return NULL;
    rt->mountns.fd = rt->oci.runtime.fd = -1;
    rt->daemon_pid = getpid();
    list_init(&rt->containers);
    list_init(&rt->later);
    list_init(&rt->streams);
    list_init(&rt->logs);
    list_init(&rt->ingests);
    omap_init(&rt->by_id);
    omap_init(&rt->by_name);
    return rt;
}

int runtime_open(const struct runtime_config *config, struct runtime **out)
{
    struct runtime *rt;
    int rc;

    if (!is_valid(config))
        return ERR_INVALID;
    rt = new_empty();
    if (rt == NULL)
        return -ENOMEM;
    rc = curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK || sodium_init() < 0 ? -ENOSYS : 0;
    if (rc == 0)
        rc = copy_config(rt, config);
    rt->opening = calloc(1, sizeof(*rt->opening));
    if (rc == 0 && rt->opening == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = uv_timer_init(rt->loop, &rt->log_timer);
    if (rc == 0)
        rc = uv_async_init(rt->loop, &rt->later_async, runtime_on_later);
    if (rc < 0) { /* the timer was initialised at most: with nothing started it needs no closing */
        free(rt->opening);
        free_config(rt);
        free(rt);
        return rc;
    }
    rt->open_handles = 2;
    uv_unref((uv_handle_t *)&rt->log_timer);
    rt->opening->rt = rt;
    list_init(&rt->opening->found);
    opening_begin(rt);
    *out = rt;
    return 0;
}

/* --- Closing */

static void on_all_closed(struct runtime *rt)
{
    void (*on_closed)(void *owner) = rt->on_closed;
    void *owner = rt->closed_owner;

    oci_deinit(&rt->oci);
    conmon_cgroup_close(&rt->monitors);
    if (rt->opening->seccomp_open)
        seccomp_cache_deinit(&rt->seccomp);
    if (rt->opening->volumes_open)
        volume_store_deinit(&rt->volumes);
    if (rt->opening->images_open)
        image_store_deinit(&rt->images);
    omap_deinit(&rt->by_id);
    omap_deinit(&rt->by_name);
    free(rt->opening);
    free_config(rt);
    free(rt);
    on_closed(owner);
}

void runtime_handle_closed(struct runtime *rt)
{
    CHECK(rt->open_handles > 0);
    if (--rt->open_handles == 0)
        on_all_closed(rt);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    runtime_handle_closed(handle->data);
}

static void close_handles(struct runtime *rt)
{
    rt->log_timer.data = rt;
    rt->later_async.data = rt;
    uv_close((uv_handle_t *)&rt->log_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&rt->later_async, on_own_handle_closed);
}

/* With no container left nothing of ours stays on the host but the state directory. */
static void leave_host(struct runtime *rt)
{
    struct path secrets = path_of("%s/secrets", rt->run_dir.text);

    conmon_cgroup_remove(&rt->monitors);
    cgroup_remove_empty(&rt->cgroup, rt->cgroup_parent);
    if (rt->mountns.fd < 0)
        (void)umount2(secrets.text, MNT_DETACH); /* else it goes with the namespace */
}

/* No thread is left. */
void runtime_close_rest(struct runtime *rt)
{
    bool empty = rt->container_count == 0;

    while (!list_is_empty(&rt->later))
        runtime_run_later(rt);
    while (!list_is_empty(&rt->containers))
        container_free(CONTAINER_OF(list_first(&rt->containers), struct container, link));
    if (empty && rt->is_ready)
        leave_host(rt);
    mountns_close(&rt->mountns, empty && rt->is_ready ? MOUNTNS_UNPIN : MOUNTNS_KEEP);
    close_handles(rt);
}

static void on_pool_closed(void *owner)
{
    runtime_close_rest(owner);
}

void runtime_close(struct runtime *rt, void (*on_closed)(void *owner), void *owner)
{
    CHECK(!atomic_load(&rt->closing));
    rt->on_closed = on_closed;
    rt->closed_owner = owner;
    atomic_store(&rt->closing, true);
    (void)uv_timer_stop(&rt->log_timer); /* cannot fail */
    runtime_streams_close_all(rt);
    runtime_logs_close_all(rt);
    runtime_ingests_abort_all(rt);
    LIST_EACH_SAFE(it, &rt->containers)
    {
        struct container *c = CONTAINER_OF(it, struct container, link);

        health_stop(c);
        if (!c->on_thread)
            container_abort_ops(c);
    }
    if (rt->pool != NULL)
        work_pool_close(rt->pool, on_pool_closed, rt);
    else if (rt->opening->request.loop == NULL)
        runtime_close_rest(rt);
    /* else on_host_open() goes on */
}
