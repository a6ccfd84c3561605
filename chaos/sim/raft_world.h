/* chaos/sim/raft_world.h - A cluster of raft nodes, its clients and its enemies, from one seed.
 *
 *     raft_options_draw(&o, seed)         which faults, how often, how large: swarm testing
 *     raft_world_run(&o, &result)         safety phase, then liveness phase
 *
 * The safety phase runs clients against a cluster while the adversary acts; every step of every
 * node is checked. Then all faults end for a core that has a quorum: it must elect, commit, repair
 * and agree within bounded time. Nodes are real: core, log, message bytes; only their network,
 * disk, clock and process are simulated. */
#ifndef SIM_RAFT_WORLD_H
#define SIM_RAFT_WORLD_H

#include <stdbool.h>
#include <stdio.h>

#include "base/units.h"

/* Every number is a column that the minimiser may lower and the command line may set. */
#define RAFT_OPTIONS(X)                                                                  \
    X(voters, "members at the start")                                                    \
    X(spares, "more nodes, which may be made members")                                   \
    X(clients, "clients, each with one operation at a time")                             \
    X(duration_ms, "length of the safety phase")                                         \
    X(think_us, "mean pause of a client between operations")                             \
    X(delay_us, "mean delay of a packet")                                                \
    X(loss, "packets lost, per 1000")                                                    \
    X(repeat, "packets repeated, per 1000")                                              \
    X(disk_us, "mean time of one disk operation")                                        \
    X(fault_gap_ms, "mean time between two acts of the adversary")                       \
    X(partition, "weight of: parting the network, in six shapes")                        \
    X(clog, "weight of: stopping paths one by one, then letting go in another order")    \
    X(crash, "weight of: killing a node, with or without its disk cache")                \
    X(pause, "weight of: stopping a node for a while")                                   \
    X(skew, "weight of: making a clock run fast or slow, or jump")                       \
    X(slow_disk, "weight of: making a disk slow")                                        \
    X(sync_fails, "weight of: a failing flush")                                          \
    X(disk_full, "weight of: a disk without room for a while")                           \
    X(rot, "weight of: flipping, misdirecting, losing written data, one node at a time") \
    X(members, "weight of: adding, removing, promoting, demoting")                       \
    X(transfer, "weight of: handing leadership over, stopping gracefully, forgetting")   \
    X(island, "weight of: cutting the leader off and asking it to change members")       \
    X(compact_count, "entries before the log is compacted")                              \
    X(keep_count, "entries kept behind")                                                 \
    X(inflight, "messages under way to one follower")                                    \
    X(append_bytes, "entry bytes in one message")                                        \
    X(segment_kib, "size of a log segment")                                              \
    X(padding, "largest padding of a command, bytes")                                    \
    X(snapshot_kib, "padding of a snapshot")                                             \
    X(stubborn, "leave a minority dead in the liveness phase: 0 or 1")

struct raft_options {
    uint64_t seed;
#define RAFT_OPTION_MEMBER(name, text) uint64_t name;
    RAFT_OPTIONS(RAFT_OPTION_MEMBER)
#undef RAFT_OPTION_MEMBER
    uint64_t skip; /* bit i: the adversary's act i (of the first 64) does not happen */
    FILE *text;    /* the trace for people; NULL = none */
};

struct raft_result {
    bool failed;
    char violation[256]; /* the first rule that was broken */
    mono_ns failed_at;
    uint64_t hash; /* of the whole run */
    uint64_t events;
    mono_ns simulated; /* virtual time that passed */
    uint64_t acts;
    uint64_t committed, reads, writes, elections, installs, crashes, repairs, conf_changes;
};

void raft_options_draw(struct raft_options *o, uint64_t seed);

/* Sets one column by name.  false: no such column */
bool raft_options_set(struct raft_options *o, const char *name, uint64_t value);

/* Columns that differ from what the seed draws, as arguments for the command line. */
void raft_options_print(const struct raft_options *o, FILE *f);

void raft_world_run(const struct raft_options *o, struct raft_result *out);

/* Lowers what can be lowered while the run still fails, within `runs` tries. */
void raft_minimise(struct raft_options *o, struct raft_result *result, unsigned runs);

#endif /* SIM_RAFT_WORLD_H */
