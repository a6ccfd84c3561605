/* Whole nodes without their API in one process and one loop: each has a runtime, a member, folders
 * and a loopback address of its own. Needs root for a network namespace; skipped without. */
#ifndef TESTS_SUPPORT_HOSTS_H
#define TESTS_SUPPORT_HOSTS_H

#include <stdbool.h>

#include "node/member.h"
#include "tests/support/loop.h"

#define HOSTS_MAX 5

struct host_node {
    struct hosts *hosts;
    struct options options;
    char state_dir[64], run_dir[64], listen[32], gossip[32], address[24], cgroup[48];
    struct runtime *runtime;
    struct member *member;
    bool is_ready, is_closed, has_failed;

    /* The outcome of the latest init, join or leave. */
    bool is_done;
    int err;
    char why[512];
};

struct hosts {
    uv_loop_t loop;
    char dir[40];
    size_t count;
    struct host_node nodes[HOSTS_MAX];
};

/* Enters a network namespace and opens `count` hosts. Skips the program (77) where that cannot be.
 */
void hosts_open(struct hosts *h, size_t count);
void hosts_close(struct hosts *h); /* and removes what they have on disk */

/* A daemon's end and its start again on the same folders. */
void host_node_stop(struct host_node *n);
void host_node_start(struct host_node *n);

/* Each waits for its outcome, which it returns and leaves in n->why. */
int host_init(struct host_node *n);
int host_init_as(struct host_node *n, const struct cluster_spec *spec);
int host_join(struct host_node *n, struct host_node *to, enum node_role role);
int host_leave(struct host_node *n, enum member_leave_how how);
void host_leave_start(struct host_node *n, enum member_leave_how how); /* does not wait */

/* Changes the desired role of `subject` through the manager `by`. */
int host_set_role(struct host_node *by, const struct id *subject, enum node_role role);
int host_remove(struct host_node *by, const struct id *subject);       /* the node, by force */
int host_demote_start(struct host_node *by, const struct id *subject); /* does not wait */

struct manager *host_manager(const struct host_node *n); /* NULL: none, or none yet */
const struct id *host_id(const struct host_node *n);     /* of an active member */
/* The manager among the running hosts that leads, or NULL. */
struct host_node *hosts_leader(struct hosts *h);
/* Nodes in the store of `n` whose desired role is manager, and voters of its raft group. */
size_t host_count_managers(const struct host_node *n);

/* Runs the loop until the condition holds; fails the test after 30 s. */
#define HOSTS_UNTIL(h, condition) LOOP_UNTIL(&(h)->loop, 30, condition)

#endif /* TESTS_SUPPORT_HOSTS_H */
