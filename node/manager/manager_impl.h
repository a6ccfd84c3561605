/* node/manager/manager_impl.h - Private to node/manager. */
#ifndef NODE_MANAGER_MANAGER_IMPL_H
#define NODE_MANAGER_MANAGER_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "node/manager/forward.h"
#include "node/manager/manager.h"
#include "node/store/store_disk.h"

/* Why an entry was not applied: its proposer hears of it only after the whole batch. */
struct refusal {
    raft_index index;
    struct field_error why;
};
#define REFUSALS_KEPT 64 /* older ones are told by their code alone */

struct manager {
    struct manager_config cfg;
    struct raft_driver *raft;
    struct forward *forward;
    struct store *store;
    struct store_disk *disk;
    struct control *control;
    struct dispatcher *dispatcher;
    struct prng ids;

    uv_prepare_t pump;
    uv_timer_t timer, retry;
    struct list leaderless; /* struct waiter: requests that found no leader yet */
    int open_handles;
    bool awake, leading, closing, raft_stopped;
    bool planning; /* a plan is under way */
    bool changing; /* a change of raft's members is under way */
    mono_ns change_retry_at;

    struct map routes; /* raft id -> struct id *, learned from messages */
    raft_node_id leader_raft_id;
    struct id leader; /* none: unknown */

    struct store_batch *gathering; /* applied since the last commit to disk */
    struct store_batch *committing;
    uv_work_t commit;
    bool writing;
    int commit_err;

    struct refusal refusals[REFUSALS_KEPT]; /* the latest, in a ring; index 0 = free */
    size_t next_refusal;

    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* manager.c */
wall_ns manager_wall_now(void);
struct control_time manager_now(void);
static inline void manager_wake(struct manager *m)
{
    m->awake = true; /* the pump has something to do */
}
void manager_finish_close(struct manager *m); /* frees it, unless something is still under way */

/* machine.c: the store behind the log, and its copy on disk */
struct raft_driver_machine machine_of(struct manager *m);
/* Why the entry at `index` was refused, as far as that is still known; else "". */
struct field_error machine_refusal(const struct manager *m, raft_index index);

/* route.c: raft's messages on the links. NULL: unknown */
const struct id *route_to(const struct manager *m, raft_node_id to);
void route_send(void *ctx, raft_node_id to, struct slice bytes);
void route_on_message(void *ctx, const struct link_peer *from, enum link_channel channel,
                      struct slice message);

/* request.c: this leader's plans, which nobody else may carry out, and proposals of other managers
 */
void request_propose_plan(struct manager *m, struct transaction *t, manager_done done, void *owner);
void request_on_forwarded(void *ctx, struct forward_request *request, struct slice bytes);
void request_give_up(struct manager *m); /* answers those who wait for a leader */

/* leader.c: beginning and ending to lead, and its turn */
void leader_on_role(void *ctx, const struct raft_status *status);
void leader_on_timer(uv_timer_t *timer);
void leader_on_pump(uv_prepare_t *pump);

#endif /* NODE_MANAGER_MANAGER_IMPL_H */
