/* node/agent/host.h - Carries out what the agent decides, on libuv.
 *
 * Owns a struct agent; uses the runtime and the overlay that the program opened. Inputs
 * (frames of the managers, results, events) are noted, and one pump per turn of the loop
 * lets the agent decide and starts the operations. The assignment is written to disk, sealed,
 * before the agent acts on it.
 *
 *     host_open                the assignment of the last run is loaded
 *     host_container_found     for each container that the runtime reports before it is ready
 *     host_start               once runtime and overlay are ready
 *     host_connected, host_frame, host_disconnected      the link to the leading manager
 *     host_container_event     of the runtime
 *     host_shut_down           before the machine goes down
 *     host_close               containers go on running
 */
#ifndef NODE_AGENT_HOST_H
#define NODE_AGENT_HOST_H

#include <uv.h>

#include "node/agent/agent.h"
#include "overlaynet/services.h"
#include "runtime/runtime.h"

#define HOST_SEAL_KEY_LEN 32

struct host;

typedef void (*host_image_done)(void *owner, int err, const char *message);

struct host_config {
    uv_loop_t *loop;
    const char *state_dir; /* "<state_dir>/assignment" is ours */
    struct id node_id;
    uint8_t seal_key[HOST_SEAL_KEY_LEN];        /* for what is on disk; copied, wiped */
    const struct node_description *description; /* borrowed; for templates and HELLO */
    struct runtime *runtime;
    struct overlay *overlay;
    struct overlay_services *services;

    void *ctx; /* of the functions below */
    /* A frame for the leading manager. What cannot be sent is lost: it is said again. */
    void (*send)(void *ctx, const struct dispatch *frame);
    /* Brings an image that is not here from a peer or a registry. `done` exactly once. */
    void (*fetch_image)(void *ctx, const char *reference, host_image_done done, void *owner);
    /* Rows that concern the program: keys, roots, its role; other nodes. `row` gone: removed. */
    void (*on_cluster)(void *ctx, const struct cluster_record *cluster);
    void (*on_peer)(void *ctx, const struct peer *peer, bool gone);
};

/* Copies `cfg`.  -ENOMEM, ERR_CORRUPT is survived: the managers say everything again */
NODISCARD int host_open(const struct host_config *cfg, struct host **out);
void host_close(struct host *h, void (*on_closed)(void *ctx), void *ctx);

void host_container_found(struct host *h, const struct container_info *info);
void host_start(struct host *h);

void host_connected(struct host *h); /* says HELLO */
void host_disconnected(struct host *h);
/* ERR_MALFORMED: the link should be dropped */
NODISCARD int host_frame(struct host *h, const struct dispatch *frame);
void host_container_event(struct host *h, enum container_event_kind kind,
                          const struct container_info *info);
/* The managers are told that this node goes; what it runs is stopped, and nothing is begun any
 * more. For good: host_close() is what may follow. */
void host_shut_down(struct host *h);
/* The description has changed: it is reported. */
void host_described(struct host *h);
void host_reachable(struct host *h, const struct id *node, bool reachable);

/* For `shoal doctor`, logs and exec: the task's row, NULL if this node does not have it. */
const struct task *host_task(const struct host *h, const char *task_id);

#endif /* NODE_AGENT_HOST_H */
