/* Opening, in three parts:
 *
 *     on a thread of libuv's   directories, programs, cgroups, mount namespace, stores
 *     on a thread of our own   records of containers, what is true of each (found.c)
 *     on the loop              events; collections of what ended; then ready
 *
 * The first is libuv's because our own threads enter the mount namespace, which it makes. Between
 * any two of them the runtime may have been closed. */
#include "runtime/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/rootfs.h"

#define LOG_CHECK_MS    500 /* how far a log can grow beyond its size */
#define DEFAULT_THREADS 8   /* of each kind; a start mostly waits: for children, for the kernel */

/* --- First part: no container is touched yet */

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
    if (rc == 0)
        rc = conmon_cgroup_open(&rt->monitors, rt->cgroup.layout, rt->cgroup_parent, f);
    if (rc == 0 && rt->cgroup.layout == CGROUP_HYBRID)
        rc = mountns_open(&rt->mountns, rt->run_dir.text, f);
    if (rc == 0) {
        rc = image_store_init(&rt->images, rt->state_dir.text, f);
        o->images_open = rc == 0;
    }
    if (rc == 0)
        rc = rootfs_make_lowest(rt, f);
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

/* --- Third part: the loop hears of them */

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
        runtime_close_rest(rt);
        return;
    }
    if (rc < 0) {
        ready(rt, rc);
        return;
    }
    o->work.run = opening_find_containers;
    o->work.done = on_loaded;
    work_submit(rt->pool, WORK_QUICK, &o->work);
}

void opening_begin(struct runtime *rt)
{
    int rc = uv_queue_work(rt->loop, &rt->opening->request, run_open_host, on_host_open);

    CHECK(rc == 0); /* documented to fail only without a function */
}
