/* node/api/session.h - A process's input and output on a connection that was taken over (HTTP 101).
 *
 * From the 101 on the connection's bytes are the process's input, and its output comes framed as
 * logs are, or bare with a terminal.
 *
 *     client -> fd -> conn.in -> process      reading stops while the process takes no more
 *     process -> conn.out -> fd -> client     the process is held while the client is slow
 *
 * The process ends first, then what is left of its output is sent, then the connection closes.
 * A client that goes away closes the process; one that presses the detach keys does so only if the
 * session says so. */
#ifndef NODE_API_SESSION_H
#define NODE_API_SESSION_H

#include "base/list.h"
#include "node/api/api.h"
#include "node/api/detach_keys.h"

struct request;
struct session_conn;

struct session {
    struct list link; /* of api->sessions, from begin until idle */
    struct api *api;
    const struct api_process_ops *ops;
    void *process;             /* NULL: not begun, or ended */
    struct session_conn *conn; /* NULL: nobody is connected */
    bool listed;
    bool awaited;         /* the answer that takes the connection over is under way */
    bool tty;             /* bare, not framed */
    bool input;           /* what the client sends is for the process */
    bool outlives_detach; /* the detach keys do not close the process */
    struct detach_keys keys;
    bool ended;
    int exit_code;
    char message[512];                  /* of an end before anybody was connected */
    void (*on_idle)(struct session *s); /* no process and no connection is left; last use */
};

/* The kind of process that the runtime runs: struct runtime_stream. */
extern const struct api_process_ops session_local_ops;

/* Before the call that makes the process; its callbacks are the two below, with the session as
 * owner. After it: session_begun with what it returned, or session_not_begun. */
void session_begin(struct session *s, struct api *api);
void session_begun(struct session *s, const struct api_process_ops *ops, void *process);
void session_not_begun(struct session *s, int err, const char *why);
void session_on_output(void *owner, enum stream_source source, struct slice bytes);
void session_on_end(void *owner, int err, const char *message, int exit_code);

/* Answers 101; the connection is the session's once that has been sent. on_taken (may be NULL) is
 * called then. */
void session_take(struct request *r, struct session *s, void (*on_taken)(struct session *s));
void session_lost(struct session *s); /* its request ended without that */

void sessions_sweep(struct api *api); /* lets go of processes whose client has gone */
void sessions_close(struct api *api); /* cuts connections off; while libmicrohttpd still runs */

#endif /* NODE_API_SESSION_H */
