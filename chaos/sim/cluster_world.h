/* chaos/sim/cluster_world.h - Whole clusters in one thread, from one seed.
 *
 * Three to five computers run the real raft driver, log, store, control, dispatcher, agent,
 * gossip core and finder. What is simulated is what they stand on: clock and event loop, disks,
 * links, packets, the container runtime and the overlay network. Users create, scale, update and
 * remove services and drain nodes; an adversary cuts, kills, cuts power, pauses and ends
 * containers.
 *
 * First a safety phase: rules that must hold all the time. Then everything is healed, and the
 * cluster must become what its users asked for, within a bound.
 *
 *     cluster_options_draw(&o, seed)    everything follows from the seed
 *     cluster_world_run(&o, &result)    equal options give equal hashes */
#ifndef SIM_CLUSTER_WORLD_H
#define SIM_CLUSTER_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/units.h"

/* Columns; faults are weights, 0 = never. X(name, meaning) */
#define CLUSTER_OPTIONS(X)                                            \
    X(computers, "computers, 3 to 5")                                 \
    X(managers, "of them managers: 1 or 3")                           \
    X(services, "services that users work on")                        \
    X(duration_ms, "length of the safety phase")                      \
    X(think_ms, "mean pause of a user")                               \
    X(delay_us, "mean one-way delay")                                 \
    X(loss, "packets lost, of 1000")                                  \
    X(repeat, "packets repeated, of 1000")                            \
    X(disk_us, "mean time of a disk operation")                       \
    X(fault_gap_ms, "mean time between acts of the adversary")        \
    X(partition, "weight: parts the network in two")                  \
    X(one_way, "weight: one computer hears nothing, or is not heard") \
    X(kill, "weight: kills a daemon, containers stay")                \
    X(kill_leader, "weight: kills the leading manager's daemon")      \
    X(power, "weight: a computer loses power")                        \
    X(restart, "weight: stops a daemon politely and starts it again") \
    X(pause, "weight: a daemon stands still")                         \
    X(container, "weight: a container ends by itself")                \
    X(drain, "weight: a user drains or activates a node")             \
    X(roles, "weight: a user promotes or demotes a node")             \
    X(bad_images, "chance of 1000 that an update brings a bad image")

struct cluster_options {
    uint64_t seed;
#define CLUSTER_OPTION_MEMBER(name, text) uint64_t name;
    CLUSTER_OPTIONS(CLUSTER_OPTION_MEMBER)
#undef CLUSTER_OPTION_MEMBER
    uint64_t skip; /* bit i: the adversary's act i (of the first 64) does not happen */
    FILE *text;    /* the trace for people; NULL = none */
};

struct cluster_result {
    bool failed;
    char violation[320]; /* the first rule that was broken */
    mono_ns failed_at;
    uint64_t hash; /* of the whole run */
    uint64_t events;
    mono_ns simulated; /* virtual time that passed */
    mono_ns healed_in; /* from the last fault to the wanted state */
    uint64_t acts, entries, acknowledged, refused, unknown, starts, kills, elections;
};

void cluster_options_draw(struct cluster_options *o, uint64_t seed);

/* Sets one column by name.  false: no such column */
bool cluster_options_set(struct cluster_options *o, const char *name, uint64_t value);

/* Columns that differ from what the seed draws, as arguments for the command line. */
void cluster_options_print(const struct cluster_options *o, FILE *f);

void cluster_world_run(const struct cluster_options *o, struct cluster_result *out);

/* Lowers what can be lowered while the run still fails, within `runs` tries. */
void cluster_minimise(struct cluster_options *o, struct cluster_result *result, unsigned runs);

#endif /* SIM_CLUSTER_WORLD_H */
