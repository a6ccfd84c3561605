/* A struct runtime in directories of its own, with an image of busybox, for tests as root. */
#ifndef SUPPORT_RUNTIME_H
#define SUPPORT_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "runtime/runtime.h"

#define EVENTS_MAX 4096

struct noted_event {
    enum container_event_kind kind;
    char id[65];
    int exit_code, signal;
    bool oom_killed;
    enum container_state state;
    enum container_health health;
};

struct fixture {
    uv_loop_t loop;
    struct runtime *rt;
    char dir[64];
    char state_dir[96], run_dir[96], cgroup_parent[64];
    bool ready, closed;
    int ready_err;
    char ready_message[512];
    struct noted_event events[EVENTS_MAX];
    size_t event_count;
    const char *oci_runtime;     /* NULL: the default */
    const char *const *insecure; /* NULL-terminated, for the registry tests */
    void (*hook)(struct fixture *f, enum container_event_kind kind,
                 const struct container_info *info); /* within each event; or NULL */
};

#define NEED_CONTAINERS()                                      \
    do {                                                       \
        (void)state;                                           \
        if (fixture_missing() != NULL) {                       \
            print_message("skipped: %s\n", fixture_missing()); \
            skip();                                            \
        }                                                      \
    } while (0)

/* Why tests that start containers cannot run here; NULL when they can. */
const char *fixture_missing(void);

void fixture_init_with(struct fixture *f, const char *oci_runtime);
void fixture_init(struct fixture *f);           /* directories, open, wait until ready */
void fixture_open(struct fixture *f);           /* after fixture_close() */
void fixture_close(struct fixture *f);          /* containers go on */
void fixture_deinit(struct fixture *f);         /* removes all containers, then everything */
void fixture_import_busybox(struct fixture *f); /* as "busybox:latest" */

/* One call's completion. */
struct waited {
    struct fixture *fixture;
    bool done;
    int err;
    char message[1024];
};
void on_waited(void *owner, int err, const char *message);
/* Runs the loop until *flag, at most 60 s: a test that gets there has hung. */
void run_until(struct fixture *f, const bool *flag);
int wait_call(struct waited *w);

/* Start from these and change what the test is about. */
void spec_init(struct container_spec *spec, const char *id, const char *shell_command);
int create_and_start(struct fixture *f, const struct container_spec *spec, char message[1024]);
const struct container_info *wait_exited(struct fixture *f, const char *id);
size_t count_events(const struct fixture *f, const char *id, enum container_event_kind kind);
void read_logs(struct fixture *f, const char *id, char *out, size_t cap); /* both streams */
int exec_output(struct fixture *f, const char *id, const char *shell_command, char *out,
                size_t cap);
int exec_program(struct fixture *f, const char *id, const char *program, char *out, size_t cap);

void add_mount(struct container_spec *spec, enum container_mount_kind kind, const char *source,
               const char *target);
/* Runs until it is told to stop, and then ends with 3. */
void start_forever(struct fixture *f, const char *id);
/* Of a container that has ended: no bundle, no state of the OCI runtime's, no control group. */
void assert_no_traces(const struct fixture *f, const char *id);
void remove_container(struct fixture *f, const char *id, enum container_remove how);

/* Writes a tar of busybox's tree. */
void write_busybox_tar(const char *path);

#endif /* SUPPORT_RUNTIME_H */
