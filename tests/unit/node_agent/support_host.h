/* A host over a runtime and an overlay that are made up.
 *
 * They keep the contracts of runtime/runtime.h and overlaynet/overlay.h: every call is answered
 * once, on the loop, never from within the call. They take the place of the real ones when the
 * test is linked. */
#ifndef TESTS_UNIT_NODE_AGENT_SUPPORT_HOST_H
#define TESTS_UNIT_NODE_AGENT_SUPPORT_HOST_H

#include "node/agent/host.h"
#include "tests/unit/node_agent/support_agent.h"

struct host_world {
    uv_loop_t loop;
    struct host *host;
    struct node_description node;
    char dir[64];
    uint8_t key;      /* of the sealed assignment: each byte of it */
    bool image_known; /* by the runtime; else it is fetched */
    int fetch_err;
    bool closed, late;

    struct report report; /* the last one sent */
    size_t reports, hellos;
};

void host_world_open(struct host_world *w); /* the host is open, not started */
void host_world_reopen(struct host_world *w);
void host_world_close(struct host_world *w); /* ends the host; its file stays */
void host_world_deinit(struct host_world *w);

/* Turns the loop until `done` says so; fails when nothing happens for 5 s. */
void host_world_until(struct host_world *w, bool (*done)(struct host_world *w));
void host_world_assign(struct host_world *w, struct assign *f); /* all of it; frees the frame */

/* What the made-up runtime has been asked, and has. */
extern size_t fake_created, fake_fetched, fake_sandboxes;
extern bool fake_running;               /* the container of task 1 */
extern struct container_spec fake_spec; /* of the last container created */
void fake_exit(struct host_world *w, int code);

#endif /* TESTS_UNIT_NODE_AGENT_SUPPORT_HOST_H */
