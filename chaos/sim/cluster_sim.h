/* chaos/sim/cluster_sim.h - Shared by the files that make up the cluster world.
 *
 * A computer has a disk, containers and a place in the network; it survives. A daemon is one life
 * of the program on it: real manager, host (agent), raft driver, gossip core and finder over
 * simulated libuv, disk, links, runtime and overlay. A killed daemon's memory is given back by
 * closing its parts cut off from the world, so that no crash leaks and closing is tested, too. */
#ifndef SIM_CLUSTER_SIM_H
#define SIM_CLUSTER_SIM_H

#include "base/buf.h"
#include "base/omap.h"
#include "chaos/sim/cluster_uv.h"
#include "chaos/sim/cluster_world.h"
#include "chaos/sim/net.h"
#include "chaos/sim/trace.h"
#include "gossip/gossip.h"
#include "node/agent/host.h"
#include "node/cluster/link.h"
#include "node/finder.h"
#include "node/manager/manager.h"
#include "overlaynet/overlay.h"
#include "raft/disk_mem.h"
#include "runtime/runtime.h"

enum { COMPUTERS_MAX = 7, CLUSTER_KEY_BYTES = 32 };

struct world;
struct daemon;

/* What a program keeps in its folder beside log and store. */
struct member_record {
    raft_node_id raft_id; /* 0: no manager */
    uint64_t boot_epoch;
    struct id managers[COMPUTERS_MAX];
    size_t manager_count;
};

struct computer {
    struct world *world;
    unsigned index;
    struct id id;
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];
    struct node_description description;
    struct prng prng;
    bool powered;
    struct daemon *daemon; /* NULL: the program does not run */
    unsigned lives;

    struct disk_mem *raft_disk;
    struct omap stored; /* copy of the store: kind and id -> struct bytes *, owned */
    uint64_t stored_applied;
    struct buf assignment;
    struct member_record member;

    struct list containers; /* struct sim_container, in order of creation */
    struct omap sandboxes;  /* id -> struct sim_sandbox *, owned */
    struct omap images;     /* names that are here */
};

struct sim_container {
    struct list link;
    struct container_spec spec; /* owned */
    enum container_state state;
    int exit_code;
    uint64_t starts;
    bool exit_untold; /* the daemon does not know yet */
    struct id task, service;
    uint64_t slot;
    mono_ns started;
};

struct daemon {
    struct world *world;
    struct computer *computer;
    struct daemon *next; /* all that ever lived, until the world ends */
    struct sim_loop loop;
    struct prng prng;
    struct links *links;
    struct runtime *runtime;
    struct overlay *overlay;
    struct manager *manager;
    struct host *host;
    struct gossip *gossip;
    struct gossip_contact contacts[COMPUTERS_MAX];
    size_t contact_count;
    mono_ns gossip_wake_at;
    struct finder finder;
    struct cluster_record record;
    bool serving;
    bool stopping, host_closing; /* asked to end */
    bool closing_manager;        /* it becomes a worker */
    bool manager_closed, host_closed;
};

/* A link between two daemons; see cluster_links.c. */
struct conn;

struct world {
    struct cluster_options options;
    struct cluster_result result;
    struct sim_clock clock;
    struct sim_trace trace;
    struct sim_net net; /* gossip's packets; its cuts are also those of links */
    struct prng adversary, workload, lives, links_prng;
    struct computer computers[COMPUTERS_MAX];
    unsigned computer_count;
    struct daemon *daemons;
    struct list conns;
    uint64_t next_stream;
    struct id cluster;
    unsigned birth_step;
    bool over, healing;
    mono_ns calm_since; /* no fault of network or process from then on */

    struct checks *checks;
    struct operator* operators;
};

/* The first broken rule counts. */
void world_fail(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
struct computer *computer_by_id(const struct world *w, const struct id *id);
struct computer *computer_of_loop(const uv_loop_t *loop);

/* --- cluster_daemon.c, cluster_daemon_end.c: one life */
void daemon_start(struct computer *c);
void daemon_kill(struct computer *c, enum disk_mem_crash_mode mode); /* the kernel lives on */
void daemon_stop(struct computer *c);                                /* politely; takes a while */
void daemon_deinit_all(struct world *w);                             /* ends them; */
void daemons_free(struct world *w); /* once nothing on the clock refers to them */
void power_off(struct computer *c, enum disk_mem_crash_mode mode);
void power_on(struct computer *c);
void daemon_heard(struct daemon *d, const struct id *node, enum control_hearing what);
struct daemon *leading_daemon(struct world *w); /* of the highest term; NULL: none */

/* --- cluster_links.c */
struct links *links_open(struct daemon *d, const struct links_events *events);
void links_die(struct links *l);  /* streams end, nothing leaves any more */
void links_drop(struct links *l); /* frees */
void links_on_process_gone(struct computer *c, bool kernel_lives);
void conns_deinit(struct world *w);

/* --- cluster_gossip.c */
void gossip_begin(struct daemon *d, const struct cluster_record *record);
void gossip_end(struct daemon *d);
void gossip_feed(struct daemon *d, const struct gossip_event *e);
void gossip_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes);
void gossip_contact(struct daemon *d, const struct peer *peer);

/* --- cluster_runtime.c, cluster_overlay.c */
struct runtime *runtime_begin(struct daemon *d);
void runtime_end(struct runtime *rt);
struct sim_container *container_find(const struct computer *c, const char *id);
void container_exit(struct computer *c, struct sim_container *k, int exit_code);
void containers_deinit(struct computer *c);
struct overlay *overlay_begin(struct daemon *d);
void overlay_end(struct overlay *o);
void sandboxes_clear(struct computer *c); /* namespaces end with the power */

/* --- cluster_disk.c: log, store and assignment */
void disks_deinit(struct computer *c);
void store_wipe(struct computer *c);

/* --- cluster_check.c */
void checks_init(struct world *w);
void checks_deinit(struct world *w);
void check_changes(struct daemon *d, const struct store_changes *changes);
void check_reset(struct daemon *d);
void check_raft_message(struct world *w, unsigned from, unsigned to, struct slice bytes);
void check_container_started(struct computer *c, struct sim_container *k);
void check_periodically(struct world *w);

/* --- cluster_goal.c: why the cluster is not as its users want it; NULL: it is */
const char *check_unsettled(struct world *w);

/* --- cluster_operator.c: users */
void operators_init(struct world *w);
void operators_begin(struct world *w);
void operators_stop(struct world *w);
bool operators_are_done(const struct world *w);
void operators_deinit(struct world *w);
/* Compares a store that was read linearizably with what was acknowledged. */
void operators_verify(struct world *w, struct daemon *d);

/* --- cluster_adversary.c */
void adversary_begin(struct world *w);
void adversary_end(struct world *w); /* heals everything */

#endif /* SIM_CLUSTER_SIM_H */
