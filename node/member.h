/* node/member.h - This node's membership: none, joining, active; and all that it needs.
 *
 * Owns what exists only in a cluster: overlay, links, gossip, the agent's host and, on managers,
 * the manager. The runtime is the program's: containers do not care who manages them.
 *
 *     member_new            reads what the last run left; member_start makes it active again
 *     member_init           a new cluster with this node as its first manager
 *     member_join           a place in another node's cluster, by token
 *     member_leave          containers stopped, state wiped: as new
 *     member_shut_down      before the machine goes down: tasks end, managers know
 *     member_close          graceful end of the program; membership and containers stay
 *
 * A node joins as what its certificate says. Which role it has afterwards is decided by the
 * managers and arrives with its assignment (struct cluster_record): it starts or stops being a
 * manager, with a new certificate, without a restart. */
#ifndef NODE_MEMBER_H
#define NODE_MEMBER_H

#include <uv.h>

#include "gossip/gossip.h"
#include "node/agent/host.h"
#include "node/cluster/enroll.h"
#include "node/cluster/gossip_driver.h"
#include "node/finder.h"
#include "node/manager/manager.h"
#include "node/options.h"

struct member;

enum member_state {
    MEMBER_NONE,
    MEMBER_PENDING, /* init or join is under way */
    MEMBER_ACTIVE,
    MEMBER_LEAVING,
    MEMBER_ERROR, /* it cannot be what it was: member_error says why */
};

struct member_config {
    uv_loop_t *loop;
    const struct options *options; /* borrowed */
    struct runtime *runtime;
    void *ctx;
    void (*on_changed)(void *ctx, const struct store_changes *changes); /* managers: for events */
    void (*on_failed)(void *ctx, const char *why);                      /* the program must stop */
};

typedef void (*member_done)(void *owner, int err, const char *why);

NODISCARD int member_new(const struct member_config *cfg, struct member **out);

/* Call when the runtime is ready and has reported what it found (member_container). */
void member_start(struct member *m);
void member_close(struct member *m, void (*on_closed)(void *ctx), void *ctx);

struct member_init {
    const char *advertise; /* NULL: the option's, else the only address */
    const struct cluster_spec *spec;
    const char *const *address_pools; /* CIDR; none = 10.0.0.0/8 */
    size_t address_pool_count;
    unsigned subnet_size; /* 0 = 24 */
    enum availability availability;
};
/* Done when the cluster's first entry is committed.  ERR_EXISTS: in a cluster already */
void member_init(struct member *m, const struct member_init *init, member_done done, void *owner);

struct member_join {
    const char *advertise;
    const char *const *remotes; /* "host:2377" */
    size_t remote_count;
    const char *token;
    enum availability availability;
};
/* Done when the node is what its token says: a manager when it knows a leader. ERR_TIMEOUT: it has
 * joined, and becomes a manager when the others can agree on it. */
void member_join(struct member *m, const struct member_join *join, member_done done, void *owner);

enum member_leave_how { LEAVE_CAREFULLY, LEAVE_FORCED };
/* ERR_FORBIDDEN: a manager, and not forced; the message is Docker's. */
void member_leave(struct member *m, enum member_leave_how how, member_done done, void *owner);

/* Tells the managers that this node goes, and has no task of it begin any more. The containers are
 * the program's to stop. */
void member_shut_down(struct member *m);

/* --- Reading. All borrow until control returns to the loop. */
enum member_state member_state(const struct member *m);
const char *member_error(const struct member *m);
const struct id *member_node_id(const struct member *m); /* NULL: not active */
const char *member_address(const struct member *m);      /* advertised, "" while not active */
struct manager *member_manager(const struct member *m);  /* NULL: no manager */
struct links *member_links(const struct member *m);      /* NULL: not active */
struct host *member_host(const struct member *m);        /* NULL: not active */
struct api_remote;
/* Managers that this node knows, for those who ask a worker. Returns how many were written. */
size_t member_remotes(const struct member *m, struct api_remote *out, size_t max);
const struct node_description *member_description(const struct member *m);

/* From peers or a registry, as tasks get theirs. */
void member_fetch_image(struct member *m, const char *reference, host_image_done done, void *owner);

/* Of the runtime: before member_start those that were found, then everything that happens. */
void member_container(struct member *m, enum container_event_kind kind,
                      const struct container_info *info);

#endif /* NODE_MEMBER_H */
