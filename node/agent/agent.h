/* node/agent/agent.h - Makes this host match its assignments. The pure core.
 *
 * Desired: the rows of dispatch.h, persisted by the host before they are acted on, so that
 * a restarted or cut-off node keeps its containers. Observed: what the runtime and the overlay
 * report. Output: operations, each answered by exactly one result; and status reports.
 *
 * The host:
 *     agent_new, agent_load(rows of the last run), then agent_observe for each container that
 *     the runtime re-adopted, then agent_started
 *     agent_assign          an ASSIGN frame; persist what it changed before the next turn
 *     agent_result          an operation ended
 *     agent_event           a container exited, its health changed
 *     agent_turn            after any of these or at the deadline: start the operations in
 *                           order of the list, send the report
 *     agent_acknowledged    the managers have a report in their log
 *     agent_shut_down       before the host goes down
 *
 * A task's operations are strictly one after the other; those of different tasks run side
 * by side, at most AGENT_OPERATIONS_MAX at once. Pure. Not thread-safe. */
#ifndef NODE_AGENT_AGENT_H
#define NODE_AGENT_AGENT_H

#include "node/object/dispatch.h"

#define AGENT_OPERATIONS_MAX 16 /* containers being prepared or started at once */

struct agent;

enum agent_operation_kind {
    AGENT_NETWORK_SET, /* networks, peers, endpoints, services: apply rows to the overlay */
    AGENT_NETWORK_REMOVE,
    AGENT_IMAGE_ENSURE,     /* image present, from here, a peer or a registry */
    AGENT_SANDBOX_CREATE,   /* network namespace with the task's attachments */
    AGENT_CONTAINER_CREATE, /* with secrets and configs as files */
    AGENT_CONTAINER_START,
    AGENT_CONTAINER_STOP, /* stop signal, grace period, kill */
    AGENT_CONTAINER_REMOVE,
    AGENT_SANDBOX_DESTROY,
    AGENT_IMAGE_PULL_CANCEL,
};

/* Pointers borrow until the next call of any agent function. */
struct agent_operation {
    uint64_t token; /* unique; comes back in agent_result */
    enum agent_operation_kind kind;
    struct id task_id;          /* of container, sandbox and image operations ... */
    const struct task *task;    /* ... and its row; NULL when the managers have forgotten it */
    const struct assigned *row; /* of network operations */
};

struct agent_operations {
    const struct agent_operation *items;
    size_t count;
};

/* How an operation ended. */
struct agent_result {
    uint64_t token;
    int err; /* 0 or why; temporary errors (ERR_UNAVAILABLE, -EAGAIN, -ENOMEM) are tried again */
    const char *message;                      /* for people; NULL when err is 0 */
    const struct container_status *container; /* of create and start; may be NULL */
    bool awaits_health;                       /* of start: RUNNING only after AGENT_HEALTHY */
};

enum agent_event_kind { AGENT_EXITED, AGENT_HEALTHY, AGENT_UNHEALTHY };

struct agent_event {
    enum agent_event_kind kind;
    struct id task_id;
    int64_t exit_code; /* 128 + signal when killed by one */
    bool oom_killed;
};

/* A container that the runtime has, from before. */
struct agent_observed {
    struct id task_id;
    bool running;
    bool started; /* was it ever started? */
    int64_t exit_code;
    bool oom_killed;
    bool awaits_health; /* it has a health check that has not passed yet */
    const struct container_status *container;
};

struct agent_output {
    struct agent_operations operations;
    const struct report *report; /* NULL: nothing to say */
    mono_ns deadline_ns;
};

NODISCARD int agent_new(const struct id *node_id, struct agent **out); /* -ENOMEM */
void agent_free(struct agent *a);

/* Rows kept from the last run: as agent_assign with base 0. -ENOMEM */
NODISCARD int agent_load(struct agent *a, const struct assign *rows);
NODISCARD int agent_observe(struct agent *a, const struct agent_observed *o, wall_ns wall);
void agent_started(struct agent *a, mono_ns now);

/* ERR_STALE: its base is not the version that this agent is at; say HELLO again. -ENOMEM */
NODISCARD int agent_assign(struct agent *a, const struct assign *rows);

/* The version to say in HELLO, and all rows held, for the host to persist or to show. */
uint64_t agent_version(const struct agent *a);
const struct assigned *agent_row(const struct agent *a, const char *key);
size_t agent_row_count(const struct agent *a);
const struct assigned *agent_next_row(const struct agent *a, const char *after_key);

void agent_result(struct agent *a, const struct agent_result *r, mono_ns now, wall_ns wall);
void agent_event(struct agent *a, const struct agent_event *e, mono_ns now, wall_ns wall);

/* The link to the managers came or went: disconnect policies count from there. */
void agent_connected(struct agent *a, mono_ns now);
void agent_disconnected(struct agent *a, mono_ns now);
void agent_acknowledged(struct agent *a, uint64_t sequence);

/* The host is about to go down: the managers are told so, every task ends here as shut down,
 * whatever exit code its container has, and nothing is begun any more. For good. */
void agent_shut_down(struct agent *a);

/* When memory runs out, what could not be decided is tried again at an early deadline. */
void agent_turn(struct agent *a, mono_ns now, wall_ns wall, struct agent_output *out);

#endif /* NODE_AGENT_AGENT_H */
