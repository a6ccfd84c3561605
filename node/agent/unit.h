/* node/agent/unit.h - One task on this node, as a state machine. Private to the agent.
 *
 * A unit has at most one operation under way. `unit_next` looks at what is desired, what
 * is held and what is observed, and says the next operation; `unit_result` and `unit_event`
 * record what happened. Status only goes forward.
 *
 *   prepare   IMAGE_ENSURE  SANDBOX_CREATE  CONTAINER_CREATE     ACCEPTED .. READY
 *   start     CONTAINER_START (then health)                      STARTING, RUNNING
 *   end       exit, CONTAINER_STOP                               COMPLETE, FAILED, SHUTDOWN
 *   release   SANDBOX_DESTROY at the end; CONTAINER_REMOVE when the managers forget the
 *             task, because until then its logs may be asked for */
#ifndef NODE_AGENT_UNIT_H
#define NODE_AGENT_UNIT_H

#include "node/agent/agent.h"

struct unit {
    struct id id;
    const struct task *task; /* the row, borrowed; NULL = the managers forgot it */
    struct task_status status;
    uint64_t reported; /* sequence of the report that carries `status` */
    bool dirty;        /* `status` is in no report yet */
    bool acknowledged;

    uint64_t token; /* of the operation under way; 0 = none */
    enum agent_operation_kind operation;

    bool settled; /* `task` was compared with what was observed at start */
    bool has_image, has_sandbox, has_container;
    bool started;        /* its container was started once; it never is again */
    bool running;        /* its process runs, as far as we know */
    bool awaits_health;  /* started, first health result is due */
    bool stopping;       /* we asked it to stop: its exit is no failure ... */
    bool unhealthy;      /* ... unless this was why */
    const char *cut_off; /* why this node stops it by itself; NULL = it does not */

    unsigned attempts; /* of the operation that failed for a passing reason */
    mono_ns retry_at;  /* not before */
};

enum { UNIT_NOTHING = -1 };

/* What to do now: an agent_operation_kind, or UNIT_NOTHING. */
int unit_next(struct unit *u, mono_ns now, wall_ns wall);

/* Nothing of it is left on this host and nobody asks for it: free it. */
bool unit_is_gone(const struct unit *u);

/* The operation that unit_next said is being carried out under `token`. */
void unit_begin(struct unit *u, enum agent_operation_kind kind, uint64_t token);
void unit_result(struct unit *u, const struct agent_result *r, mono_ns now, wall_ns wall);
void unit_event(struct unit *u, const struct agent_event *e, wall_ns wall);

/* What the runtime found at start. */
void unit_observe(struct unit *u, const struct agent_observed *o, wall_ns wall);
/* This node stops it, whatever the managers want; unless it is over, `why` (borrowed for good) is
 * what its status says. */
void unit_cut_off(struct unit *u, const char *why);

void unit_deinit(struct unit *u);

#endif /* NODE_AGENT_UNIT_H */
