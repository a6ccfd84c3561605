/* node/api/api_impl.h - Private to node/api: the server and its requests.
 *
 * A request's life:
 *
 *     headers   request_new, route_find          an unknown path is answered after its body
 *     body      gathered up to API_BODY_MAX, or streamed on (ROUTE_UPLOAD)
 *     ready     manager routes wait for a read barrier; then route->handle(r)
 *     handle    answers at once, or suspends: request_hold .. reply_x .. request_release
 *     answered  libmicrohttpd sends it; streams go on until stream_end or the client is gone
 *
 * Everything happens on the loop's thread. A request lives as long as libmicrohttpd or any call
 * that will come back refers to it. */
#ifndef NODE_API_API_IMPL_H
#define NODE_API_API_IMPL_H

#include <jansson.h>
#include <microhttpd.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/prng.h"
#include "node/api/api.h"
#include "node/api/events.h"
#include "node/api/filters.h"
#include "node/api/route.h"

#define REQUEST_RETRIES_MAX 5           /* of a change that lost a race */
#define STREAM_BUFFER_MAX   (1 * MIB)   /* an event stream that lags this far behind is cut */
#define STREAM_HIGH_WATER   (128 * KIB) /* sources are held above it ... */
#define STREAM_LOW_WATER    (32 * KIB)  /* ... and resumed below it */
#define DISCARD_MAX         (64 * MIB)  /* of the body of a request that was refused */
#define MESSAGE_MAX         1024

struct api {
    struct api_config cfg;
    struct MHD_Daemon *daemon;
    int listen_fd;
    uv_poll_t poll;         /* libmicrohttpd's epoll descriptor */
    uv_timer_t timer;       /* its deadline */
    uv_timer_t sweep_timer; /* looks for clients that went while their stream is silent */
    unsigned open_handles;
    bool running; /* inside libmicrohttpd: it will look at everything before it returns */
    bool closing;
    unsigned pending;     /* requests not freed */
    struct list requests; /* struct request, link */
    struct list sessions; /* struct session, link */
    struct list execs;    /* struct exec of exec.c */
    size_t exec_count;
    struct prng ids;
    struct events events;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* A body that goes on as it comes: into a socket whose other end something reads. */
struct upload {
    int fd; /* -1: none, or its reader has gone; the rest is discarded */
    uv_poll_t *poll;
    bool waiting; /* the reader is slow: the connection is suspended until `fd` is writable */
};

struct stream {
    bool open;
    bool ended;
    bool held;
    struct buf out;
    void *source; /* of the handler that made the stream */
    void (*on_hold)(struct request *r);
    void (*on_resume)(struct request *r);
    void (*on_gone)(struct request *r); /* nobody reads any more: let go of the source */
};

struct session;

struct request {
    struct api *api;
    struct list link;
    unsigned refs;
    struct MHD_Connection *conn; /* NULL: it has its answer, or has gone */
    const struct route *route;   /* NULL: none, `refusal` says why */
    char *path;
    char *args[ROUTE_ARGS_MAX]; /* what the pattern's wildcards stand for */
    unsigned minor;             /* of the version asked for: 1.<minor> */

    struct buf body;
    size_t discarded;
    bool body_done, suspended, queued;
    struct upload upload;
    bool is_fresh;                           /* request_refresh has been called */
    struct session *session;                 /* that is to take the connection over */
    void (*on_taken)(struct session *taken); /* when it has */

    unsigned refusal; /* HTTP status decided before the body was read; 0: none */
    char message[MESSAGE_MAX];

    struct MHD_Response *response;
    unsigned status;
    struct stream stream;

    /* of the handler */
    unsigned attempts;
    struct transaction txn;
    struct field_error err;
    unsigned commit_status;
    json_t *commit_body;
    void *state; /* freed with free(3) */
};

/* --- request.c */
struct request *request_new(struct api *api, struct MHD_Connection *conn, const char *method,
                            const char *url);
void request_hold(struct request *r);    /* a call will come back */
void request_release(struct request *r); /* it has */
/* When a call comes back: whether it has its answer already, or its client has gone. */
bool request_is_over(const struct request *r);
/* Zeroed memory that lives as long as the request; NULL: answered. Once per request. */
void *request_state(struct request *r, size_t size);
void request_ready(struct request *r); /* the whole body is here: run the handler */

/* The value of a query parameter, borrowed; NULL when absent. */
const char *request_query(const struct request *r, const char *name);
const char *request_header(const struct request *r, const char *name);
/* Docker's rule: absent, "", "0", "no", "false", "none" are false. */
bool request_flag(const struct request *r, const char *name);
/* Answers 400 itself and returns false when it is not there or not a number. */
bool request_version(struct request *r, uint64_t *out);
/* A time: seconds, RFC 3339, or "10m" ago. False: none of them. */
bool moment_parse(const char *text, wall_ns *out);
/* The same of a query parameter; absent is 0. */
bool request_moment(const struct request *r, const char *name, wall_ns *out);
/* "h" and "w" of a terminal's window. False: answered. */
bool request_window(struct request *r, uint16_t *rows, uint16_t *columns);
bool request_filters(struct request *r, struct filters *out, const char *const *known);
/* The filter "until": only what is older goes; absent is now. False: answered, and `f` is empty. */
bool prune_until(struct request *r, struct filters *f, wall_ns *out);

/* Reads the body by its field table; on failure answers and returns false, `out` is zero then. */
bool request_parse(struct request *r, const struct fields *type, void *out);

void request_status(const struct request *r, struct api_status *out);
struct runtime *request_runtime(struct request *r); /* NULL: answered */
/* For paths that need no manager, before they look into the store: true: the handler is called
 * again once it may be read, or the request has been answered. False: it may be read now, if there
 * is one. */
bool request_refresh(struct request *r);
/* The container of this host that the path names; NULL: answered. */
const struct container_info *request_container(struct request *r);
const struct store *request_store(const struct request *r);
/* The object that the path names; answers 404 or 400 itself: NULL. */
const struct object *request_object(struct request *r, unsigned kind);
/* Prepares `a` to fill the request's transaction. */
void request_admit(struct request *r, struct admit *a);
/* With `rc` of an admit_x: answers its error, or proposes and then answers status and body (owned
 * by this call, may be NULL). */
void request_commit(struct request *r, int rc, unsigned status, json_t *body);

/* --- reply.c. Each request is answered exactly once. */
void reply_json(struct request *r, unsigned status, json_t *body); /* steals; NULL: no memory */
void reply_empty(struct request *r, unsigned status);
void reply_text(struct request *r, unsigned status, const char *content_type, const char *text);
/* Hands the connection over: `handler` gets `r`. */
void reply_upgrade(struct request *r, MHD_UpgradeHandler handler, const char *content_type);
void reply_status(struct request *r, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);
/* By code; `why` may be NULL or "". */
void reply_error(struct request *r, int err, const char *why);
unsigned reply_status_of(int err);
/* A call has come back: answers its error, or `status` with `body` (stolen; NULL: no memory) or
 * with nothing, unless the client has gone. Releases. */
void reply_result_json(struct request *r, int err, const char *why, unsigned status, json_t *body);
void reply_result_empty(struct request *r, int err, const char *why, unsigned status);
void reply_object(struct request *r, const struct fields *type, const void *object);
void reply_header(struct request *r, const char *name, const char *value); /* after reply_x */

/* An answer whose bytes come over time. Status 200. */
bool stream_open(struct request *r, const char *content_type);
/* Queues a copy; may hold the source. False: the client is too slow and is cut off. */
bool stream_write(struct request *r, struct slice head, struct slice bytes);
bool stream_json(struct request *r, json_t *line); /* steals */
void stream_end(struct request *r);

/* --- server.c */
void api_kick(struct api *api);
void request_suspend(struct request *r);
void request_resume(struct request *r);
void api_forget(struct api *api); /* a request was freed */

/* --- upload.c: bodies of images. The reading end, the caller's to hand on; -1: answered */
int upload_open(struct request *r);
void upload_bytes(struct request *r, const char *bytes, size_t *len);
void upload_end(struct request *r);

/* --- handlers: route.c lists which serves what */
json_t *node_json(const struct request *r, const struct node *n);
json_t *swarm_json(const struct request *r, const struct cluster *c);
wall_ns api_wall_now(void);

#endif /* NODE_API_API_IMPL_H */
