/* Opening and closing.
 *
 *     open   on a thread of libuv's   directories, programs, cgroups, mount namespace, stores
 *            on a thread of our own   records of containers, what is true of each
 *            on the loop              events; collections of what ended; then ready
 *     close  no more operations begin; those on threads end; threads end; handles close
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <curl/curl.h>
#include <linux/magic.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/runtime_impl.h"

#define LOG_CHECK_MS      500 /* how far a log can grow beyond its size */
#define DEFAULT_LOG_BYTES (10 * MIB)
#define DEFAULT_LOG_FILES 3
#define DEFAULT_THREADS   8 /* of each kind; a start mostly waits: for children, for the kernel */

/* State of opening; freed when ready. */
struct opening {
    struct runtime *rt;
    uv_work_t request;
    struct work work;
    bool images_open, volumes_open, seccomp_open;
    struct list found; /* containers, not listed yet */
    size_t unsettled;  /* whose end has still to be reported */
    int err;
    struct fault fault;
};

/* --- Later */

static void run_later(struct runtime *rt)
{
    struct list now, *link;

    list_init(&now);
    list_splice_back(&now, &rt->later);
    while ((link = list_pop_front(&now)) != NULL) {
        struct later *l = CONTAINER_OF(link, struct later, link);

        l->run(l);
    }
}

static void on_later(uv_async_t *async)
{
    run_later(CONTAINER_OF(async, struct runtime, later_async));
}

void runtime_later(struct runtime *rt, struct later *l)
{
    list_init(&l->link);
    list_push_back(&rt->later, &l->link);
    (void)uv_async_send(&rt->later_async); /* when it is closing, the closer runs them */
}

struct failure {
    struct later later;
    runtime_done done;
    void *owner;
    int err;
    struct fault fault;
};

static void run_failure(struct later *l)
{
    struct failure *failure = CONTAINER_OF(l, struct failure, later);

    failure->done(failure->owner, failure->err, failure->fault.text);
    free(failure);
}

void runtime_fail_later(struct runtime *rt, runtime_done done, void *owner, int err,
                        const struct fault *f)
{
    struct failure *failure = calloc(1, sizeof(*failure));

    CHECK(failure != NULL); /* without memory for it a promise would be broken */
    failure->done = done;
    failure->owner = owner;
    failure->err = err;
    failure->fault = *f;
    failure->later.run = run_failure;
    runtime_later(rt, &failure->later);
}

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

/* --- Opening, first part: no container is touched yet */

static int make_dirs(struct runtime *rt, struct fault *f)
{
    static const char *const state[] = { "containers", "exits" };
    static const char *const run[] = { "containers", "secrets" };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(state); i++) {
        struct path p = path_of("%s/%s", rt->state_dir.text, state[i]);

        rc = dir_make(p.text, 0711);
        if (rc < 0)
            return fault_system(f, rc, "%s", p.text);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(run); i++) {
        struct path p = path_of("%s/%s", rt->run_dir.text, run[i]);

        rc = dir_make(p.text, 0711);
        if (rc < 0)
            return fault_system(f, rc, "%s", p.text);
    }
    return 0;
}

static int read_boot_id(struct runtime *rt, struct fault *f)
{
    struct buf text;
    int rc;

    buf_init(&text, sizeof(rt->boot_id) - 1);
    rc = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text);
    if (rc == 0 && text.len > 0) {
        memcpy(rt->boot_id, text.ptr, text.len);
        rt->boot_id[strcspn(rt->boot_id, "\n")] = '\0';
    }
    buf_deinit(&text);
    return rc < 0 ? fault_system(f, rc, "/proc/sys/kernel/random/boot_id") : 0;
}

static void find_init(struct runtime *rt)
{
    static const char *const names[] = { "docker-init", "catatonit", "tini-static", "tini" };

    if (rt->config.init != NULL) {
        (void)snprintf(rt->init_path, sizeof(rt->init_path), "%s", rt->config.init);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (oci_find_program(names[i], rt->init_path, sizeof(rt->init_path)))
            return;
    }
    rt->init_path[0] = '\0';
}

static int open_host(struct opening *o)
{
    struct runtime *rt = o->rt;
    struct fault *f = &o->fault;
    int rc = make_dirs(rt, f);

    if (rc == 0)
        rc = read_boot_id(rt, f);
    if (rc == 0)
        rc = oci_init(&rt->oci, rt->config.oci_runtime, rt->config.conmon, rt->run_dir.text, f);
    if (rc == 0)
        rc = cgroup_detect(&rt->cgroup, f);
    if (rc == 0 && rt->cgroup.layout == CGROUP_HYBRID)
        rc = mountns_open(&rt->mountns, rt->run_dir.text, f);
    if (rc == 0) {
        rc = image_store_init(&rt->images, rt->state_dir.text, f);
        o->images_open = rc == 0;
    }
    if (rc == 0) {
        rc = volume_store_init(&rt->volumes, rt->state_dir.text, f);
        o->volumes_open = rc == 0;
    }
    if (rc == 0) {
        rc = seccomp_cache_init(&rt->seccomp);
        o->seccomp_open = rc == 0;
        if (rc < 0)
            fault_system(f, rc, "system call filters");
    }
    find_init(rt);
    return rc;
}

static void run_open_host(uv_work_t *request)
{
    struct opening *o = CONTAINER_OF(request, struct opening, request);

    o->err = open_host(o);
}

/* --- Opening, second part: what containers there are */

/* Secrets never reach a disk: their directory is memory, whatever RUN is. */
static int mount_secrets(struct runtime *rt, struct fault *f)
{
    struct path dir = path_of("%s/secrets", rt->run_dir.text);
    struct statfs fs;

    if (statfs(dir.text, &fs) < 0)
        return fault_system(f, -errno, "%s", dir.text);
    if (fs.f_type == TMPFS_MAGIC && access(path_of("%s/.mounted", dir.text).text, F_OK) == 0)
        return 0;
    if (mount("tmpfs", dir.text, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
        return fault_system(f, -errno, "%s: tmpfs", dir.text);
    return file_write(path_of("%s/.mounted", dir.text).text, slice_of_str(""), 0600);
}

static int load_container(struct opening *o, const char *id)
{
    struct runtime *rt = o->rt;
    struct path dir = path_of("%s/containers/%s", rt->state_dir.text, id);
    struct path spec = path_of("%s/spec", dir.text);
    struct container *c;
    enum recovered how;
    struct fault f;
    int rc = container_new(rt, &c);

    if (rc < 0)
        return rc;
    container_set_paths(c, id);
    rc = access(spec.text, F_OK) < 0 ? -ENOENT : record_load(dir.text, &c->record, &c->next, &f);
    if (rc == 0 && strcmp(c->record.spec.id, id) != 0)
        rc = fault_set(&f, ERR_CORRUPT, "%s: belongs to another container", spec.text);
    if (rc < 0) { /* half created or half removed, or unreadable */
        if (rc != -ENOENT)
            log_error("runtime", "container %s is lost: %s", id, f.text);
        c->record.spec.id = strdup(id);
        if (c->record.spec.id != NULL)
            (void)!launch_remove(c, REMOVE_FORCE, &f); /* logs by itself */
        container_release(c);
        return 0;
    }
    container_set_paths(c, id); /* again: now the spec's cgroup parent is known */
    if (launch_load_image(c, &f) < 0)
        log_warn("runtime", "container %s cannot be started again: %s", id, f.text);
    rc = launch_recover(c, &how, &f);
    if (rc < 0) {
        log_error("runtime", "container %s: %s", id, f.text);
        how = RECOVERED_IDLE;
    }
    c->state = c->next;
    c->next = (struct container_state_record){ 0 };
    c->found_ended = how == RECOVERED_ENDED;
    list_push_back(&o->found, &c->link);
    return 0;
}

static int load_entry(void *arg, int dir_fd, const char *name)
{
    (void)dir_fd;
    if (strlen(name) > CONTAINER_ID_LEN_MAX)
        return 0;
    return load_container(arg, name);
}

/* Bundles and secrets whose container is gone: a crash between removing the two. */
struct sweep {
    struct opening *opening;
    const char *parent;
};

static bool was_found(const struct opening *o, const char *id)
{
    LIST_EACH(it, &o->found)
    {
        if (strcmp(CONTAINER_OF(it, struct container, link)->record.spec.id, id) == 0)
            return true;
    }
    return false;
}

static int sweep_entry(void *arg, int dir_fd, const char *name)
{
    struct sweep *s = arg;
    struct container *c;
    struct path p = path_of("%s/%s", s->parent, name);

    (void)dir_fd;
    if (name[0] == '.' || strlen(name) > CONTAINER_ID_LEN_MAX || was_found(s->opening, name))
        return 0;
    if (container_new(s->opening->rt, &c) < 0)
        return -ENOMEM;
    c->record.spec.id = strdup(name);
    container_set_paths(c, name);
    if (c->record.spec.id != NULL)
        launch_clean_up(c);
    container_release(c);
    return tree_remove(p.text);
}

static int sweep(struct opening *o)
{
    struct runtime *rt = o->rt;
    struct path dirs[] = { path_of("%s/containers", rt->run_dir.text),
                           path_of("%s/secrets", rt->run_dir.text),
                           path_of("%s/exits", rt->state_dir.text) };

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        struct sweep s = { .opening = o, .parent = dirs[i].text };
        int rc = dir_each(dirs[i].text, sweep_entry, &s);

        if (rc < 0)
            return fault_system(&o->fault, rc, "%s", dirs[i].text);
    }
    return 0;
}

static void run_load(struct work *w)
{
    struct opening *o = CONTAINER_OF(w, struct opening, work);
    struct path dir = path_of("%s/containers", o->rt->state_dir.text);

    o->err = mount_secrets(o->rt, &o->fault);
    if (o->err < 0)
        return;
    o->err = dir_each(dir.text, load_entry, o);
    if (o->err < 0)
        fault_system(&o->fault, o->err, "%s", dir.text);
    else
        o->err = sweep(o);
}

/* --- Opening, third part: the loop hears of them */

static void ready(struct runtime *rt, int err)
{
    struct opening *o = rt->opening;
    struct fault f = o->fault;

    rt->is_ready = err == 0;
    if (!atomic_load(&rt->closing)) {
        rt->config.on_ready(rt->config.owner, err, err == 0 ? "" : f.text);
    }
}

void runtime_ready_if_settled(struct runtime *rt)
{
    CHECK(rt->opening->unsettled > 0);
    if (--rt->opening->unsettled == 0)
        ready(rt, 0);
}

/* Oldest first, whatever the order of the directory. */
static struct container *take_oldest(struct list *found)
{
    struct container *oldest = NULL;

    LIST_EACH(it, found)
    {
        struct container *c = CONTAINER_OF(it, struct container, link);

        if (oldest == NULL || c->record.created < oldest->record.created)
            oldest = c;
    }
    if (oldest != NULL)
        list_remove(&oldest->link);
    return oldest;
}

static void announce(struct runtime *rt, struct container *c)
{
    bool ended = c->found_ended, running = c->state.phase == PHASE_RUNNING;
    int rc = container_list(c);

    if (rc < 0) {
        log_error("runtime", "container %s: %s; it is not looked after until the next start",
                  c->record.spec.id, err_text(rc));
        container_release(c);
        return;
    }
    container_refresh(c);
    container_emit(c, CONTAINER_EVENT_FOUND);
    if (!running)
        return;
    if (ended)
        rt->opening->unsettled++;
    if (!ended)
        health_start(c);
    container_adopt_running(c); /* collects, if it has ended */
}

static void on_log_timer(uv_timer_t *timer)
{
    log_rotate_all(CONTAINER_OF(timer, struct runtime, log_timer));
}

static void on_loaded(struct work *w)
{
    struct opening *o = CONTAINER_OF(w, struct opening, work);
    struct runtime *rt = o->rt;
    struct container *c;

    o->unsettled = 1; /* this function */
    while ((c = take_oldest(&o->found)) != NULL) {
        if (o->err < 0 || atomic_load(&rt->closing))
            container_release(c);
        else
            announce(rt, c);
    }
    if (o->err < 0) {
        ready(rt, o->err);
        return;
    }
    rt->host.oci_runtime = rt->oci.version;
    rt->host.cgroup_layout = cgroup_layout_name(rt->cgroup.layout);
    if (!atomic_load(&rt->closing))
        (void)uv_timer_start(&rt->log_timer, on_log_timer, LOG_CHECK_MS, LOG_CHECK_MS);
    runtime_ready_if_settled(rt);
}

static void enter_thread(void *arg)
{
    struct runtime *rt = arg;
    int rc = mountns_enter(&rt->mountns);

    if (rc < 0) /* every OCI command will say that it cannot work */
        log_error("runtime", "cannot enter the mount namespace at %s: %s", rt->mountns.dir.text,
                  err_text(rc));
}

static void close_rest(struct runtime *rt);

static void on_host_open(uv_work_t *request, int status)
{
    struct opening *o = CONTAINER_OF(request, struct opening, request);
    struct runtime *rt = o->rt;
    const uint32_t threads[WORK_LANES] = {
        rt->config.threads != 0 ? rt->config.threads : DEFAULT_THREADS,
        rt->config.threads != 0 ? rt->config.threads : DEFAULT_THREADS,
    };
    int rc = status < 0 ? status : o->err;

    if (rc == 0 && !atomic_load(&rt->closing)) {
        rc = work_pool_new(rt->loop, threads, enter_thread, rt, &rt->pool);
        if (rc < 0)
            fault_system(&o->fault, rc, "threads");
    }
    o->request.loop = NULL; /* done with */
    if (atomic_load(&rt->closing)) {
        close_rest(rt);
        return;
    }
    if (rc < 0) {
        ready(rt, rc);
        return;
    }
    o->work.run = run_load;
    o->work.done = on_loaded;
    work_submit(rt->pool, WORK_QUICK, &o->work);
}

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

int runtime_open(const struct runtime_config *config, struct runtime **out)
{
    struct runtime *rt;
    int rc;

    if (!is_valid(config))
        return ERR_INVALID;
    rt = calloc(1, sizeof(*rt));
    if (rt == NULL)
        return -ENOMEM;
    rt->mountns.fd = -1;
    rt->daemon_pid = getpid();
    list_init(&rt->containers);
    list_init(&rt->later);
    list_init(&rt->streams);
    list_init(&rt->logs);
    list_init(&rt->ingests);
    omap_init(&rt->by_id);
    omap_init(&rt->by_name);
    rc = curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK || sodium_init() < 0 ? -ENOSYS : 0;
    if (rc == 0)
        rc = copy_config(rt, config);
    rt->opening = calloc(1, sizeof(*rt->opening));
    if (rc == 0 && rt->opening == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = uv_timer_init(rt->loop, &rt->log_timer);
    if (rc == 0)
        rc = uv_async_init(rt->loop, &rt->later_async, on_later);
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
    rc = uv_queue_work(rt->loop, &rt->opening->request, run_open_host, on_host_open);
    CHECK(rc == 0); /* documented to fail only without a function */
    *out = rt;
    return 0;
}

/* --- Closing */

static void on_all_closed(struct runtime *rt)
{
    void (*on_closed)(void *owner) = rt->on_closed;
    void *owner = rt->closed_owner;

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

    cgroup_remove_empty(&rt->cgroup, rt->cgroup_parent);
    if (rt->mountns.fd < 0)
        (void)umount2(secrets.text, MNT_DETACH); /* else it goes with the namespace */
}

/* No thread is left. */
static void close_rest(struct runtime *rt)
{
    bool empty = rt->container_count == 0;

    while (!list_is_empty(&rt->later))
        run_later(rt);
    while (!list_is_empty(&rt->containers))
        container_free(CONTAINER_OF(list_first(&rt->containers), struct container, link));
    if (empty && rt->is_ready)
        leave_host(rt);
    mountns_close(&rt->mountns, empty && rt->is_ready ? MOUNTNS_UNPIN : MOUNTNS_KEEP);
    close_handles(rt);
}

static void on_pool_closed(void *owner)
{
    close_rest(owner);
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
        close_rest(rt);
    /* else on_host_open() goes on */
}
