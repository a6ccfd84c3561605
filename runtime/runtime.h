/* runtime/runtime.h - Containers, images and volumes on this host.
 *
 * A struct runtime owns two directories and everything in them. It runs containers through
 * an OCI runtime (crun or runc), each under its own conmon, so that they outlive this process:
 * after a crash or an upgrade, runtime_open() finds them again, and an exit that happened
 * meanwhile is reported like any other. It knows nothing of clusters.
 *
 *     runtime_open(&config, &rt)     events for what was found, then config.on_ready once
 *     runtime_image_pull / _load     an image is in the store
 *     runtime_container_create       record, writable layer       -> CONTAINER_CREATED
 *     runtime_container_start        mounts, namespaces, process  -> CONTAINER_RUNNING
 *     runtime_container_stop         stop signal, grace, SIGKILL  -> CONTAINER_EXITED
 *     runtime_container_remove       nothing is left
 *     runtime_close(rt, ...)         containers go on running
 *
 * Everything is asynchronous. Each call that takes a `done` calls it exactly once, on the loop,
 * never from within the call itself, whatever went wrong. `err` is 0 or a code of base/err.h;
 * `message` is then a sentence for people that names the thing, the cause and the way out, and
 * is "" on success. Results and messages are borrowed until the callback returns. Arguments are
 * copied before the call returns, unless their comment says otherwise. Operations on one
 * container run one at a time in the order of the calls; those on different containers run
 * beside each other on the runtime's own threads, never on libuv's pool.
 *
 * All functions are to be called on the loop's thread. Needs root. */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <uv.h>

#include "base/attr.h"
#include "base/slice.h"
#include "base/units.h"
#include "runtime/container_spec.h"

struct runtime;

typedef void (*runtime_done)(void *owner, int err, const char *message);

/* --- Containers, as observed ----------------------------------------------------------- */

enum container_state {
    CONTAINER_CREATED, /* never started */
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_EXITED, /* may be started again */
};

enum container_health {
    HEALTH_NONE, /* no health check */
    HEALTH_STARTING,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
};

/* exit_code of a container whose end nobody saw: the host went down, or its monitor was killed. */
#define CONTAINER_EXIT_UNKNOWN 255

struct container_info {
    const struct container_spec *spec; /* as given to create; spec->id is the key */
    const char *image_id;              /* config digest, "sha256:.." */
    enum container_state state;
    enum container_health health;
    uint32_t failing_streak;   /* health checks failed in a row */
    const char *health_output; /* of the last check, cut at HEALTH_OUTPUT_MAX; "" before it */
    pid_t pid;                 /* of the container's first process; 0 unless running or paused */
    int exit_code;             /* as a shell would say it: 128 + signal when a signal ended it */
    int signal;                /* that signal, 0 = it exited by itself */
    bool oom_killed;           /* the kernel killed a process of it for memory */
    const char *error;         /* why the last start failed, or why the end is unknown; else "" */
    wall_ns created, started, finished; /* 0 = not yet */
};

enum container_event_kind {
    CONTAINER_EVENT_FOUND, /* by runtime_open: it was there before; info tells its state */
    CONTAINER_EVENT_CREATED,
    CONTAINER_EVENT_STARTED,
    CONTAINER_EVENT_EXITED, /* exactly once per start, also when it ended while we were away */
    CONTAINER_EVENT_HEALTH, /* info->health changed */
    CONTAINER_EVENT_PAUSED,
    CONTAINER_EVENT_UNPAUSED,
    CONTAINER_EVENT_REMOVED, /* the last event of an id */
};

/* --- Opening --------------------------------------------------------------------------- */

struct runtime_config {
    uv_loop_t *loop;         /* borrowed until runtime_close's done */
    const char *state_dir;   /* absolute; images, volumes, records, logs: survives reboots */
    const char *run_dir;     /* absolute; mounts, sockets, pids: may be empty after a reboot */
    const char *oci_runtime; /* path or name in PATH; NULL = crun, else runc */
    const char *conmon;      /* path or name in PATH; NULL = conmon */
    const char *init; /* for spec.init: a static program; NULL = docker-init, catatonit, tini */
    const char *cgroup_parent;              /* NULL = "/shoal" */
    const char *const *insecure_registries; /* "host:port" spoken to in plain HTTP, besides
                                               loopback; NULL-terminated, or NULL */
    uint64_t log_file_bytes_max;            /* of one log file; 0 = 10 MiB */
    uint32_t log_file_count_max;            /* files kept per container; 0 = 3 */
    uint32_t threads;                       /* of each kind of work; 0 = 8 */

    void *owner; /* passed to the functions below */
    /* All containers that were found have been reported; calls may be made. On error
     * (directories, missing programs, cgroups) the only call left is runtime_close(). */
    void (*on_ready)(void *owner, int err, const char *message);
    void (*on_event)(void *owner, enum container_event_kind kind,
                     const struct container_info *info);
};

/* Copies `config`. On success runtime_close() must be called some time.
 *   ERR_INVALID (a path is not absolute or a callback is missing), -ENOMEM, libuv's codes */
NODISCARD int runtime_open(const struct runtime_config *config, struct runtime **out);

/* Ends calls that wait (done with ERR_CLOSED), closes streams, finishes what is being written,
 * then frees `rt` and calls on_closed. Containers are left running. */
void runtime_close(struct runtime *rt, void (*on_closed)(void *owner), void *owner);

struct runtime_host {
    const char *oci_runtime;   /* "crun 1.8.1" */
    const char *cgroup_layout; /* "v1", "v2" or "hybrid" */
};
/* Borrows until runtime_close(). Valid after on_ready. */
const struct runtime_host *runtime_host(const struct runtime *rt);

/* --- Container operations -------------------------------------------------------------- */

/* The image must be in the store. Named volumes are created as needed and hold a reference.
 *   ERR_EXISTS      the id or the name is taken
 *   ERR_NOT_FOUND   image
 *   ERR_INVALID     a field of the spec; the message names it */
void runtime_container_create(struct runtime *rt, const struct container_spec *spec,
                              runtime_done done, void *owner);

/* From created or exited. A bad mount source, a missing program, an unknown user: ERR_INVALID
 * with the OCI runtime's cause in `message`; the container is then exited with `error` set. Its
 * exit code is Docker's: 127 the program is not there, 126 it cannot be executed, 128 anything
 * else. */
void runtime_container_start(struct runtime *rt, const char *id, runtime_done done, void *owner);

/* Done when the process has ended; at once when it is not running. `grace_ns` UINT64_MAX and
 * `signal` 0 mean the spec's, then the image's, then SIGTERM and 10 s. */
void runtime_container_stop(struct runtime *rt, const char *id, int signal, uint64_t grace_ns,
                            runtime_done done, void *owner);

/* Sends one signal.  ERR_CONFLICT: not running */
void runtime_container_kill(struct runtime *rt, const char *id, int signal, runtime_done done,
                            void *owner);
void runtime_container_pause(struct runtime *rt, const char *id, runtime_done done, void *owner);
void runtime_container_unpause(struct runtime *rt, const char *id, runtime_done done, void *owner);

/* Before the host goes down. Refuses starts from now on (ERR_UNAVAILABLE) and stops all that runs,
 * side by side, each by its own stop signal and within its own grace. Done, without an error, when
 * nothing runs but what cannot be ended, which is logged. At most once; runtime_close() is next. */
void runtime_shut_down(struct runtime *rt, runtime_done done, void *owner);

enum container_remove {
    REMOVE_STOPPED,       /* ERR_CONFLICT while it runs */
    REMOVE_FORCE,         /* SIGKILL first */
    REMOVE_FORCE_VOLUMES, /* and its anonymous volumes */
};
void runtime_container_remove(struct runtime *rt, const char *id, enum container_remove how,
                              runtime_done done, void *owner);

/* Done when the container is not running (at once if so): look at runtime_container_inspect(). */
void runtime_container_wait(struct runtime *rt, const char *id, runtime_done done, void *owner);

/* What is known now, from memory; borrows until control returns to the loop. `key` is an id, a
 * unique prefix of one, or a name. NULL: no such container. */
const struct container_info *runtime_container_inspect(struct runtime *rt, const char *key);

/* Calls `each` for all containers in order of creation, before it returns. */
void runtime_container_list(struct runtime *rt,
                            void (*each)(void *owner, const struct container_info *info),
                            void *owner);

struct container_stats {
    wall_ns read_at;
    uint64_t cpu_ns;                                               /* used since the start */
    uint64_t throttled_ns;                                         /* held back by the limit */
    uint64_t memory_bytes, memory_cache_bytes, memory_limit_bytes; /* limit: the host's if none */
    uint64_t pids, pids_limit;                                     /* limit 0 = none */
    uint64_t block_read_bytes, block_write_bytes;
    uint64_t net_rx_bytes, net_tx_bytes, net_rx_packets, net_tx_packets; /* without loopback */
};
void runtime_container_stats(struct runtime *rt, const char *id,
                             void (*done)(void *owner, int err, const char *message,
                                          const struct container_stats *stats),
                             void *owner);

/* --- Streams: exec and attach ---------------------------------------------------------- */

enum stream_source { STREAM_STDOUT = 1, STREAM_STDERR = 2 }; /* a tty has only STREAM_STDOUT */

struct runtime_stream;

struct stream_callbacks {
    void *owner;
    /* Output as it comes; borrowed for the call. */
    void (*on_output)(void *owner, enum stream_source source, struct slice bytes);
    /* The last call. exec: the command's exit code, or err when the container cannot take one. Of
     * a command that cannot be run the OCI runtime tells the reason, which comes as STREAM_STDERR;
     * the exit code is 127 or 126 as above. attach: the container ended or
     * runtime_stream_close() was called, exit_code 0. The stream is freed on return. */
    void (*on_end)(void *owner, int err, const char *message, int exit_code);
};

struct exec_spec {
    const char *const *argv; /* NULL-terminated, not empty */
    const char *const *env;  /* added to the container's; NULL-terminated, or NULL */
    const char *dir;         /* NULL = the container's */
    const char *user;        /* NULL = the container's */
    bool tty;
    bool open_stdin;
    uint16_t rows, columns; /* of the tty; 0 = unset */
};

/* Runs a command in a running container. *out is valid until on_end.
 *   ERR_NOT_FOUND, ERR_CONFLICT (not running) are reported by on_end */
struct runtime_stream *runtime_exec(struct runtime *rt, const char *id,
                                    const struct exec_spec *spec,
                                    const struct stream_callbacks *callbacks);

/* Connects to the container's own input and output from now on (logs have the past). */
struct runtime_stream *runtime_attach(struct runtime *rt, const char *id,
                                      const struct stream_callbacks *callbacks);

/* The same from the beginning of its next start, which it waits for: nothing is missed. Ends with
 * the start's error when that fails, with ERR_NOT_FOUND when the container is removed instead.
 *   ERR_CONFLICT: it runs already */
struct runtime_stream *runtime_attach_start(struct runtime *rt, const char *id,
                                            const struct stream_callbacks *callbacks);

/* Queues a copy of input.  ERR_FULL: STREAM_QUEUE_MAX bytes wait already; try again after
 * output or a while.  ERR_CLOSED: input was shut. */
NODISCARD int runtime_stream_write(struct runtime_stream *s, struct slice bytes);
void runtime_stream_shut_input(struct runtime_stream *s); /* end of file on its stdin */
void runtime_stream_resize(struct runtime_stream *s, uint16_t rows, uint16_t columns);
/* Back-pressure: no on_output until resumed; the process blocks when its pipe is full. */
void runtime_stream_hold(struct runtime_stream *s);
void runtime_stream_resume(struct runtime_stream *s);
/* Lets go: an exec'd command is killed; on_end follows. */
void runtime_stream_close(struct runtime_stream *s);

/* Of the container's own terminal (tty containers). */
void runtime_container_resize(struct runtime *rt, const char *id, uint16_t rows, uint16_t columns,
                              runtime_done done, void *owner);

/* --- Logs ------------------------------------------------------------------------------ */

#define LOGS_TAIL_ALL UINT64_MAX

struct logs_options {
    bool out, err;        /* which streams; both false = both */
    bool follow;          /* go on until the container is exited and all is read */
    wall_ns since, until; /* 0 = no bound */
    uint64_t tail;        /* at most the last n records of what is there; LOGS_TAIL_ALL */
};

struct runtime_logs;

/* Reads the log files, which are also there for exited containers. on_record gets one line with
 * its newline, or a piece of one that was not ended by one (`partial`); on_end is the last call. */
struct runtime_logs *
runtime_logs_open(struct runtime *rt, const char *id, const struct logs_options *options,
                  void (*on_record)(void *owner, enum stream_source source, wall_ns time,
                                    struct slice text, bool partial),
                  void (*on_end)(void *owner, int err, const char *message), void *owner);
void runtime_logs_hold(struct runtime_logs *l);
void runtime_logs_resume(struct runtime_logs *l);
void runtime_logs_close(struct runtime_logs *l); /* on_end follows */

/* The same for a program that finds `state_dir` without its daemon: reads what the files hold now
 * (`follow` counts as false), blocks, and calls on_record before it returns. `key` is an id, a
 * unique prefix of one, or a name.  ERR_NOT_FOUND, libuv's codes; `message` says why, "" = 0 */
#define RUNTIME_MESSAGE_MAX 640
NODISCARD int runtime_logs_offline(const char *state_dir, const char *key,
                                   const struct logs_options *options,
                                   void (*on_record)(void *owner, enum stream_source source,
                                                     wall_ns time, struct slice text, bool partial),
                                   void *owner, char message[RUNTIME_MESSAGE_MAX]);

/* --- Images ---------------------------------------------------------------------------- */

struct image_info {
    const char *id;                  /* config digest, "sha256:.." */
    const char *manifest_digest;     /* of this host's platform */
    const char *const *names;        /* "docker.io/library/web:1", NULL-terminated; may be empty */
    const char *const *repo_digests; /* "docker.io/library/web@sha256:..", NULL-terminated */
    const char *config;              /* the config blob, JSON text */
    const char *architecture, *os, *variant;
    wall_ns created;
    uint64_t size;            /* of its layers, unpacked */
    uint64_t blob_size;       /* of its blobs as stored and served */
    uint32_t container_count; /* that use it */
};

typedef void (*runtime_image_done)(void *owner, int err, const char *message,
                                   const struct image_info *image);

enum pull_phase { PULL_RESOLVING, PULL_DOWNLOADING, PULL_VERIFYING, PULL_UNPACKING, PULL_DONE };
struct pull_progress {
    enum pull_phase phase;
    const char *digest;      /* of the layer; "" when it concerns the whole image */
    uint64_t current, total; /* bytes; total 0 = unknown */
};
typedef void (*runtime_progress)(void *owner, const struct pull_progress *progress);

struct registry_auth { /* all NULL: anonymous */
    const char *username, *password;
    const char *identity_token; /* a refresh token instead of the two */
    const char *registry_token; /* a bearer token used as it is */
};

/* `reference` as people write it: "web", "web:1", "host:5000/a/b:tag", "web@sha256:..". The
 * short forms mean docker.io. Already complete in the store and given by digest: no network.
 *   ERR_NOT_FOUND, ERR_UNAUTHENTICATED, ERR_UNAVAILABLE (after its retries), ERR_MALFORMED,
 *   ERR_UNSUPPORTED (no manifest for this platform) */
void runtime_image_pull(struct runtime *rt, const char *reference, const struct registry_auth *auth,
                        runtime_progress on_progress, runtime_image_done done, void *owner);

/* What the registry says about a reference, without fetching the image (docker's
 * GET /distribution/NAME/json). `platforms` holds "os/arch[/variant]", NULL-terminated. */
struct distribution_info {
    const char *digest, *media_type;
    uint64_t size;
    const char *const *platforms;
};
void runtime_image_distribution(struct runtime *rt, const char *reference,
                                const struct registry_auth *auth,
                                void (*done)(void *owner, int err, const char *message,
                                             const struct distribution_info *info),
                                void *owner);

/* An archive (plain, gzip, zstd, xz) of `docker save` or an OCI layout, or a directory with an
 * OCI layout. `fd` >= 0 is read instead of `path` and is closed; it may be a pipe. `each` is
 * called per image of the archive before `done`. */
void runtime_image_load(struct runtime *rt, const char *path, int fd, runtime_progress on_progress,
                        void (*each)(void *owner, const char *image_id, const char *name),
                        runtime_done done, void *owner);

/* A tar of a root file system becomes an image of one layer. `config` is JSON text of an image
 * config's "config" object, or NULL; `name` may be NULL. */
void runtime_image_import(struct runtime *rt, const char *path, int fd, const char *name,
                          const char *config, runtime_image_done done, void *owner);

/* Writes an OCI layout that `docker load` also reads. `names` is NULL-terminated; takes `fd`. */
void runtime_image_save(struct runtime *rt, const char *const *names, int fd, runtime_done done,
                        void *owner);

/* `name`: reference, id, or unique prefix of an id. */
void runtime_image_inspect(struct runtime *rt, const char *name, runtime_image_done done,
                           void *owner);
void runtime_image_list(struct runtime *rt,
                        void (*each)(void *owner, const struct image_info *image),
                        runtime_done done, void *owner);
void runtime_image_tag(struct runtime *rt, const char *name, const char *new_name,
                       runtime_done done, void *owner);
/* Takes the name away, and the image with its last one. ERR_IN_USE: a container uses it. By id
 * all its names go. */
void runtime_image_remove(struct runtime *rt, const char *name, runtime_done done, void *owner);

enum image_prune { PRUNE_DANGLING, PRUNE_UNUSED }; /* without a name; without a container */
void runtime_image_prune(struct runtime *rt, enum image_prune which,
                         void (*done)(void *owner, int err, const char *message,
                                      uint64_t removed_count, uint64_t freed_bytes),
                         void *owner);

/* --- Blobs, for exchange with peers ---------------------------------------------------- */

struct blob_need {
    const char *digest, *media_type;
    uint64_t size;
};

/* What of the image is not here. Without the manifest itself that is the one need; ask again
 * once it has been ingested. An index needs the manifest of this host's platform only. No
 * needs: call runtime_image_register(). */
void runtime_image_missing(struct runtime *rt, const char *digest,
                           void (*done)(void *owner, int err, const char *message,
                                        const struct blob_need *needs, size_t count),
                           void *owner);

/* Unpacks the layers of a complete image and gives it a name: as pull would have. */
void runtime_image_register(struct runtime *rt, const char *reference, const char *digest,
                            runtime_progress on_progress, runtime_image_done done, void *owner);

/* A descriptor open for reading, the caller's to close.  ERR_NOT_FOUND (-1 then) */
void runtime_blob_open(struct runtime *rt, const char *digest,
                       void (*done)(void *owner, int err, const char *message, int fd,
                                    uint64_t size),
                       void *owner);

/* Receiving one. It is visible only after a commit whose bytes had the digest. Begun blobs are
 * safe from pruning until the runtime closes. */
struct blob_ingest;
/*   ERR_EXISTS (have it), ERR_INVALID (digest), ERR_FULL (INGEST_COUNT_MAX are open), -ENOMEM */
NODISCARD int runtime_blob_begin(struct runtime *rt, const char *digest, uint64_t size,
                                 struct blob_ingest **out);
/* Copies; done when written. ERR_TOO_LARGE: more than `size`. One write at a time. */
void runtime_blob_write(struct blob_ingest *ingest, struct slice bytes, runtime_done done,
                        void *owner);
/* Verifies and publishes; frees the ingest.  ERR_CORRUPT: wrong length or digest */
void runtime_blob_commit(struct blob_ingest *ingest, runtime_done done, void *owner);
void runtime_blob_abort(struct blob_ingest *ingest); /* not while a write is under way */

/* --- Volumes --------------------------------------------------------------------------- */

struct volume_info {
    const char *name;
    const char *driver;     /* "local" */
    const char *mountpoint; /* on this host */
    const struct str_map *labels, *options;
    wall_ns created;
    bool anonymous;           /* made for a mount without a source */
    uint32_t container_count; /* that refer to it */
};
typedef void (*runtime_volume_done)(void *owner, int err, const char *message,
                                    const struct volume_info *volume);

/* As Docker: creating one that exists with the same options is success. Options type, device and
 * o are those of mount(8) and mounted while a container uses the volume. `name` NULL: random. */
void runtime_volume_create(struct runtime *rt, const char *name, const struct str_map *labels,
                           const struct str_map *options, runtime_volume_done done, void *owner);
void runtime_volume_inspect(struct runtime *rt, const char *name, runtime_volume_done done,
                            void *owner);
void runtime_volume_list(struct runtime *rt,
                         void (*each)(void *owner, const struct volume_info *volume),
                         runtime_done done, void *owner);
/*   ERR_IN_USE: a container, also a stopped one, refers to it */
void runtime_volume_remove(struct runtime *rt, const char *name, runtime_done done, void *owner);

#endif /* RUNTIME_RUNTIME_H */
