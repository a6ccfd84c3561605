/* tests/unit/node_api/support_api.h - The API in front of a fake daemon, on a real socket.
 *
 * The fake has a real store and real admission; what is proposed is applied at the next turn
 * of the loop. There is no raft, no other node and no container. */
#ifndef TESTS_UNIT_NODE_API_SUPPORT_API_H
#define TESTS_UNIT_NODE_API_SUPPORT_API_H

#include "node/api/api.h"
#include "tests/support/unit.h"

struct world {
    uv_loop_t loop;
    struct api *api;
    char socket[108];
    struct store *store; /* NULL: no manager */
    struct prng prng;
    uint64_t index;
    enum api_membership membership;
    struct id node_id;
    struct node_description description;

    /* What the fake was asked. */
    char joined_token[128], joined_remote[128];
    unsigned reads, proposals;
    /* What it should do. */
    int fail_read, fail_propose; /* err of the next */
    int stale_count;             /* so many proposals lose a race */
    unsigned silent;             /* this many calls never come back until world_answer */
    struct pending_call *pending;
    bool closed;

    struct runtime *rt; /* NULL: no containers */
    char dir[64];
    bool runtime_ready, runtime_closed;
};

void world_open(struct world *w);        /* in no cluster */
void world_open_member(struct world *w); /* a cluster of this one manager */
/* The same with a real runtime, its directories and an image "busybox:latest". Needs root. */
void world_open_host(struct world *w);
const char *world_host_missing(void); /* why that cannot be; NULL when it can */
/* The teardown of such a test: ends and removes what it left when it failed before world_close().
 */
int world_sweep_host(void **state);
void world_close(struct world *w);
void world_close_api(struct world *w);   /* earlier than the rest */
void world_run_pending(struct world *w); /* completes calls that were kept silent */

/* A running task of the service with a container of the same id that runs `command` in a shell. */
struct id world_start_task(struct world *w, const char *service, const char *command);

/* Runs a shell script with DOCKER_HOST set, the loop serving it meanwhile; what it printed, stderr
 * included, is the result (free(3)). Expects exit status 0. */
char *run_script(struct world *w, const char *script);

/* Between the support files. */
void world_prepare(struct world *w);
void world_open_api(struct world *w);
void world_make_cluster(struct world *w, const struct cluster_spec *spec);
int world_apply(struct world *w, struct transaction *t);
void world_close_host(struct world *w);

struct answer {
    int status;
    char head[4096];
    char *body; /* NUL-terminated */
    size_t body_len;
};

/* One HTTP/1.0 request; runs the loop until it is answered. `body` may be NULL. */
struct answer ask(struct world *w, const char *method, const char *path, const char *body);
/* The same with the bytes of a whole request. */
struct answer ask_raw(struct world *w, const char *bytes, size_t len);
void answer_free(struct answer *a);

/* Asks, expects the status, and returns the body as JSON (json_decref; NULL: none). */
struct json_t *ask_json(struct world *w, const char *method, const char *path, const char *body,
                        int status);
/* Asks, and expects an error whose message contains the text. */
void assert_refused(struct world *w, const char *method, const char *path, const char *body,
                    int status, const char *message_part);

#endif /* TESTS_UNIT_NODE_API_SUPPORT_API_H */
