/* node/api/api.h - The Docker Engine API over HTTP on a unix socket.
 *
 * Serves the stock docker client and our own commands. A request is parsed by the field tables of
 * node/object, turned into a transaction by node/control/admit.h, and proposed. Every manager can
 * do that, so nothing is forwarded here. The cluster is known only through struct api_backend,
 * which the program fills; containers, images and volumes come from the runtime.
 *
 *     api_open(&cfg, &api)        listens; answers at once, also while in no cluster
 *     api_on_changed(api, ..)     the program tells what happened: GET /events
 *     api_on_container(api, ..)
 *     api_close(api, ..)          ends streams, removes the socket
 *
 * One thread, the loop's. Requests that wait (a proposal, a read barrier, an image) hold their
 * connection suspended; there is no thread per request. The program ignores SIGPIPE. Limits: API_*
 * below. */
#ifndef NODE_API_API_H
#define NODE_API_API_H

#include <uv.h>

#include "node/control/admit.h"
#include "node/store/store.h"
#include "runtime/runtime.h"

#define API_VERSION     "1.47" /* offered, and ... */
#define API_VERSION_MIN "1.24" /* ... still understood */

#define API_BODY_MAX        (4 * MIB) /* of a JSON request; images stream and have no such limit */
#define API_CONNECTIONS_MAX 512
#define API_IDLE_TIMEOUT_S  120  /* of a connection without a request, or a request without bytes */
#define API_EVENTS_KEPT     1024 /* for GET /events?since= */
#define API_REMOTES_MAX     64

struct api;

/* `err` is 0 or a code of base/err.h, `why` then a sentence for people, borrowed for the call. Each
 * is called exactly once, perhaps before the function that took it returns. */
typedef void (*api_done)(void *owner, int err, const char *why);
typedef void (*api_proposed)(void *owner, int err, const struct field_error *why);

enum api_membership { API_INACTIVE, API_PENDING, API_ACTIVE, API_LOCKED, API_ERROR };

struct api_remote {
    struct id node_id;
    char addr[64]; /* "10.0.0.1:2377" */
};

struct api_status {
    enum api_membership membership;
    bool is_manager;
    struct id node_id;                          /* none while inactive */
    char addr[64];                              /* advertised, without port; "" while inactive */
    struct id leader;                           /* none: unknown. Managers only */
    struct api_remote remotes[API_REMOTES_MAX]; /* managers to ask, also known to workers */
    size_t remote_count;
    char error[512]; /* API_ERROR: why, else "" */
};

struct api_init {
    const char *listen;    /* "0.0.0.0:2377", or NULL: as configured */
    const char *advertise; /* NULL: chosen */
    const struct cluster_spec *spec;
    const char *const *address_pools; /* CIDR */
    size_t address_pool_count;
    unsigned subnet_size; /* 0: default */
    unsigned data_port;   /* 0: as configured */
    enum availability availability;
    bool force_new_cluster;
};

struct api_join {
    const char *listen, *advertise; /* as above */
    const char *const *remotes;     /* "host:2377" */
    size_t remote_count;
    const char *token;
    enum availability availability;
};

enum api_leave { API_LEAVE, API_LEAVE_FORCED };

/* Records of a task's log, wherever the task runs. */
struct api_log_callbacks {
    void *owner;
    void (*on_record)(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial);
    void (*on_end)(void *owner, int err, const char *why); /* the last call */
};

/* A process that reads and writes, here or on another node: calls as runtime_stream_*. One whose
 * input there is no memory for is ended: on_end may come out of each of them. */
struct api_process_ops {
    int (*write)(void *process, struct slice bytes); /* ERR_FULL: again in a while; ERR_CLOSED */
    void (*shut_input)(void *process);
    void (*resize)(void *process, uint16_t rows, uint16_t columns);
    void (*hold)(void *process);
    void (*resume)(void *process);
    void (*close)(void *process); /* ends it; on_end follows, perhaps at once */
};

/* A command in the container of a task. */
struct api_exec {
    struct id task, node; /* where it runs */
    struct exec_spec spec;
    bool detach; /* it goes on when the way to it is lost, and nobody wants its output */
};

/* Arguments are borrowed for the call. Functions marked `manager` are called only while status says
 * that this node is an active manager, or when store() gave something since control came from the
 * loop. */
struct api_backend {
    void *ctx;

    void (*status)(void *ctx, struct api_status *out);        /* *out comes zeroed */
    const struct node_description *(*description)(void *ctx); /* of this machine */

    /* --- manager */
    const struct store *(*store)(void *ctx); /* NULL: no manager */
    enum reachability (*reachability)(void *ctx, const struct id *node);
    /* After it the store may be read and is not stale. */
    void (*read)(void *ctx, api_proposed done, void *owner);
    /* Fills a struct admit for one request; `out` and `err` are the caller's. */
    void (*admit)(void *ctx, struct admit *a, struct transaction *out, struct field_error *err);
    /* Takes the contents of `t` and leaves it empty. On success it is applied here too. */
    void (*propose)(void *ctx, struct transaction *t, api_proposed done, void *owner);

    /* --- membership */
    void (*init)(void *ctx, const struct api_init *init, api_done done, void *owner);
    void (*join)(void *ctx, const struct api_join *join, api_done done, void *owner);
    void (*leave)(void *ctx, enum api_leave how, api_done done, void *owner);
    /* ERR_UNAUTHENTICATED: a wrong key. NULL: nodes of this program never lock. */
    void (*unlock)(void *ctx, const char *key, api_done done, void *owner);

    /* --- logs of a task of any node (manager). NULL: could not be opened at all, and no call
     * comes. Otherwise valid until on_end. close: on_end follows, perhaps at once. */
    void *(*logs_open)(void *ctx, const struct task *task, const struct logs_options *options,
                       const struct api_log_callbacks *callbacks);
    void (*logs_hold)(void *ctx, void *logs);
    void (*logs_resume)(void *ctx, void *logs);
    void (*logs_close)(void *ctx, void *logs);

    /* --- a command in a task of another node (manager). On success `*out` is valid until on_end,
     * which does not come before this returns; on error no call comes. NULL: there is no way. */
    int (*exec_open)(void *ctx, const struct api_exec *exec,
                     const struct stream_callbacks *callbacks, void **out);
    const struct api_process_ops *exec_ops;

    /* An image by reference, from peers or a registry, as tasks get theirs. Without it, or with
     * credentials, POST /images/create goes to the registry only. */
    void (*fetch_image)(void *ctx, const char *reference, api_done done, void *owner);
};

struct api_config {
    uv_loop_t *loop;
    const char *socket;         /* path; a stale one is replaced, a live one is an error */
    const char *state_dir;      /* shown as DockerRootDir */
    const char *version;        /* of the program */
    struct runtime *runtime;    /* borrowed until api_close's on_closed; ready. NULL: none */
    struct api_backend backend; /* copied */
};

/* Listens with mode 0660. The group is docker's where there is one: as for dockerd, who may open
 * the socket is root. `why` is for people.
 *   ERR_EXISTS (someone answers there), -ENOMEM, errno of bind */
NODISCARD int api_open(const struct api_config *cfg, struct api **out, char *why, size_t why_len);

/* Ends every stream, refuses new requests, frees `api` once no call to the backend is pending. */
void api_close(struct api *api, void (*on_closed)(void *ctx), void *ctx);

/* What happened, for GET /events. Borrowed for the call. */
void api_on_changed(struct api *api, const struct store_changes *changes);
void api_on_container(struct api *api, enum container_event_kind kind,
                      const struct container_info *info);

#endif /* NODE_API_API_H */
