/* node/manager/manager.h - A manager's share of the cluster: log, store, decisions, dispatch.
 *
 * Wires raft_driver, store, store_disk, control and dispatcher together. Every manager has one;
 * only on the leader do control and dispatcher run.
 *
 *     manager_open(&cfg, &m)          recovers: LMDB copy, then the log's tail
 *     manager_propose(m, ..)          on any manager: followers forward to the leader
 *     manager_read(m, ..)             after it the store may be read and is not stale
 *     manager_close(m, ..)            hands leadership over
 *
 * The order of one change: proposed -> in the log of a majority -> on_apply: store_apply, its
 * result to the proposer, control and dispatcher told -> after the batch: the changed
 * objects go to LMDB on a worker, and the log may be compacted up to there. */
#ifndef NODE_MANAGER_MANAGER_H
#define NODE_MANAGER_MANAGER_H

#include <uv.h>

#include "node/cluster/link.h"
#include "node/cluster/raft_driver.h"
#include "node/control/admit.h"
#include "node/control/control.h"
#include "node/control/dispatcher.h"
#include "node/store/store.h"

#define MANAGER_KEY_LEN 32

struct manager;

struct manager_config {
    uv_loop_t *loop;
    const char *state_dir; /* "<state_dir>/raft" and "<state_dir>/store" are ours */
    uint8_t data_key[MANAGER_KEY_LEN];
    struct id cluster, node_id;
    raft_node_id raft_id;
    bool bootstrap;         /* the first manager of a new cluster */
    bool force_new_cluster; /* disaster recovery */
    struct links *links;    /* borrowed; the manager handles RAFT and FORWARD on it */

    void *ctx; /* of the functions below */
    /* After every applied transaction, with what changed. */
    void (*on_changed)(void *ctx, const struct store_changes *changes);
    void (*on_reset)(void *ctx); /* the store was replaced by a snapshot */
    void (*on_leader)(void *ctx, const struct id *leader); /* NULL: none is known */
    void (*send_dispatch)(void *ctx, const struct id *node, const struct dispatch *frame);
    void (*on_removed)(void *ctx);                          /* this node is no manager any more */
    void (*on_failed)(void *ctx, int err, const char *why); /* the disk: stop the program */
};

NODISCARD int manager_open(const struct manager_config *cfg, struct manager **out, char *why,
                           size_t why_len);
void manager_close(struct manager *m, void (*on_closed)(void *ctx), void *ctx);

/* Always current with what is applied here; borrow until control returns to the loop. */
const struct store *manager_store(const struct manager *m);

/* `err` with `why` for people. On success the change is applied on this manager too. Takes the
 * contents of `t` and leaves it empty. */
typedef void (*manager_done)(void *owner, int err, const struct field_error *why);
void manager_propose(struct manager *m, struct transaction *t, manager_done done, void *owner);
void manager_read(struct manager *m, manager_done done, void *owner);

/* Fills a struct admit for one request; `out` and `err` are the caller's. */
void manager_admit(struct manager *m, struct admit *a, struct transaction *out,
                   struct field_error *err);

bool manager_is_leader(const struct manager *m);
const struct id *manager_leader(const struct manager *m); /* NULL: none is known */
size_t manager_voter_count(const struct manager *m);      /* of raft; 0 while they change */
/* Of a manager's node, as the leader sees it; of others only this node's own is known. */
enum reachability manager_reachability(const struct manager *m, const struct id *node);

/* --- What the program passes on. Only the leader acts on these. */
void manager_heard(struct manager *m, const struct id *node, enum control_hearing what);
/* ERR_MALFORMED: drop the link */
NODISCARD int manager_dispatch_frame(struct manager *m, const struct id *from,
                                     const struct dispatch *frame);
void manager_link_down(struct manager *m, const struct id *node);

#endif /* NODE_MANAGER_MANAGER_H */
