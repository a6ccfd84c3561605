/* runtime/runtime_impl.h - What the files of this folder share of a struct runtime.
 *
 * The struct and all containers belong to the loop's thread. What threads use of it is marked:
 * either it never changes after opening, or it locks itself. */
#ifndef RUNTIME_RUNTIME_IMPL_H
#define RUNTIME_RUNTIME_IMPL_H

#include "base/list.h"
#include "base/omap.h"
#include "runtime/cgroup.h"
#include "runtime/conmon_cgroup.h"
#include "runtime/fault.h"
#include "runtime/image.h"
#include "runtime/limits.h"
#include "runtime/mountns.h"
#include "runtime/oci.h"
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "runtime/seccomp_bpf.h"
#include "runtime/spec.h"
#include "runtime/volume.h"
#include "runtime/work.h"

struct container;
struct health;

/* A completion: done() is never called from within the call that asked for it. */
struct later {
    struct list link;
    void (*run)(struct later *l);
};

/* Under way once it has begun: shutdown.c. */
struct shutdown {
    bool begun;
    size_t waiting; /* stops that have not ended, and one for whoever begins them */
    struct later later;
    runtime_done done;
    void *owner;
};

struct runtime {
    /* for threads too: never change after opening, or lock themselves */
    struct path state_dir, run_dir;
    char boot_id[64];
    char cgroup_parent[256];
    char init_path[512]; /* "" = none was found */
    struct oci oci;
    struct cgroup_host cgroup;
    struct conmon_cgroup monitors;
    struct mountns mountns;
    struct image_store images;
    struct volume_store volumes;
    struct seccomp_cache seccomp;
    atomic_bool closing; /* long work stops when it is set */
    uint64_t log_file_bytes_max;
    uint32_t log_file_count_max;
    char **insecure_registries; /* NULL-terminated */
    pid_t daemon_pid;

    /* loop only */
    uv_loop_t *loop;
    struct runtime_config config;
    struct runtime_host host;
    struct work_pool *pool;
    bool is_ready;
    struct opening *opening;
    struct list containers; /* in order of creation */
    struct omap by_id, by_name;
    size_t container_count;
    struct shutdown shutdown;
    struct list later; /* completions that wait for the next turn of the loop */
    uv_async_t later_async;
    uv_timer_t log_timer; /* looks after the sizes of logs */
    struct list streams, logs, ingests;
    size_t exec_count, ingest_count;
    unsigned open_handles;
    void (*on_closed)(void *owner);
    void *closed_owner;
};

/* --- Completions */
void runtime_ready_if_settled(struct runtime *rt); /* one more that was found has been reported */
void runtime_handle_closed(struct runtime *rt);    /* one of open_handles */
void runtime_later(struct runtime *rt, struct later *l);
void runtime_run_later(struct runtime *rt); /* what waits now: for the closer */
void runtime_on_later(uv_async_t *async);   /* of later_async */

/* For calls that fail before anything has begun. Copies `f`. */
void runtime_fail_later(struct runtime *rt, runtime_done done, void *owner, int err,
                        const struct fault *f);

/* --- Containers */

enum container_op {
    OP_CREATE,
    OP_START,
    OP_STOP,
    OP_PAUSE,
    OP_UNPAUSE,
    OP_REMOVE,
};

/* One operation in a container's queue. */
struct op {
    struct list link;
    struct work work;
    struct later later;
    struct container *container;
    enum container_op kind;
    int signal;        /* STOP */
    uint64_t grace_ns; /* STOP */
    enum container_remove how;
    runtime_done done;
    void *owner;
    int err;
    struct fault fault;
};

struct waiter {
    struct list link;
    struct later later;
    runtime_done done;
    void *owner;
};

struct container {
    struct list link;
    struct runtime *rt;
    struct path state_dir; /* STATE/containers/ID */
    struct path run_dir;   /* RUN/containers/ID, the bundle while it runs */
    char cgroup_path[384];

    /* fixed once created; threads may read them while an operation of it runs */
    struct container_record record;
    struct image_config image;
    struct layer layers[LAYER_COUNT_MAX];
    struct digest manifest;
    size_t layer_count;

    /* the thread's that runs an operation or the collection, while on_thread */
    struct container_state_record next;

    /* loop only */
    struct container_state_record state;
    bool on_thread;
    bool end_seen;              /* collect as soon as the thread is done */
    bool found_ended;           /* it ended while we were away: ready waits for its event */
    struct container_info info; /* borrows from the above */
    struct list ops;            /* waiting; the first runs when `busy` */
    bool busy;                  /* an operation is under way */
    bool collecting;            /* its end is being looked after */
    bool listed;                /* created: others may see it */
    struct list waiters;
    struct list attaches;  /* struct runtime_stream, waiting: for the next start */
    struct list attaching; /* for the start under way; the thread's, while on_thread */
    struct work collect_work;
    int conmon_fd, init_fd; /* process descriptors while it runs, else -1 */
    uv_poll_t monitor;      /* of conmon_fd */
    bool monitoring;
    uv_timer_t timer; /* of the stop that waits */
    bool timer_open;
    bool killed; /* the stop that waits has sent SIGKILL */
    unsigned open_handles;
    bool freed; /* memory goes with the last handle */
    struct health *health;
    char health_output[HEALTH_OUTPUT_MAX + 1];
};

struct container *runtime_find_id(const struct runtime *rt, const char *id);
void container_emit(struct container *c, enum container_event_kind kind);

/* container.c, container_end.c, container_queue.c */
NODISCARD int container_new(struct runtime *rt, struct container **out);
void container_set_paths(struct container *c, const char *id);
NODISCARD int container_list(struct container *c); /* makes it findable */
void container_release(struct container *c);       /* one that was never listed */
void container_adopt_running(struct container *c);
void container_collect(struct container *c); /* its monitor has ended */
void container_free(struct container *c);    /* unlists and closes; memory goes with its handles */
void container_abort_ops(struct container *c); /* done with ERR_CLOSED */
void container_refresh(struct container *c);   /* info from state */

/* launch.c: on a thread */
NODISCARD int launch_create(struct container *c, struct fault *f);
NODISCARD int launch_start(struct container *c, struct fault *f);
void launch_collect(struct container *c);  /* after the end: status, counters, clean-up */
void launch_clean_up(struct container *c); /* mounts, namespaces, bundle; idempotent */
NODISCARD int launch_remove(struct container *c, enum container_remove how, struct fault *f);
/* A state left by a daemon that died: makes it true again. Cleans up what a start that was
 * interrupted left. */
enum recovered { RECOVERED_IDLE, RECOVERED_RUNNING, RECOVERED_ENDED /* while we were away */ };
NODISCARD int launch_recover(struct container *c, enum recovered *out, struct fault *f);
NODISCARD int launch_load_image(struct container *c, struct fault *f);
void launch_spec_input(const struct container *c, struct spec_input *in);
NODISCARD int launch_user(const struct container *c, const char *user_text,
                          const struct str_list *groups, struct user *out, struct fault *f);
void launch_netns_path(const struct container *c, char out[PATH_TEXT_MAX]);

wall_ns runtime_wall_now(void);

/* health.c */
void health_start(struct container *c); /* when the container began to run */
void health_stop(struct container *c);

/* attach.c: streams from the beginning of a start */
void attach_before_start(struct container *c);         /* loop, before the thread begins */
void attach_created(struct container *c);              /* thread, between create and start */
void attach_after_start(struct container *c, int err); /* loop */
void attach_forget(struct container *c);               /* loop: it will not start any more */

/* logs.c, stream_end.c, ingest: ended when the runtime closes */
void runtime_logs_close_all(struct runtime *rt);
void runtime_streams_close_all(struct runtime *rt);
void runtime_ingests_abort_all(struct runtime *rt);
void runtime_logs_poke(struct container *c); /* it has ended: followers read the rest */
void log_rotate_all(struct runtime *rt);

#endif /* RUNTIME_RUNTIME_IMPL_H */
