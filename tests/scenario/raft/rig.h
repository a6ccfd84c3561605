/* tests/scenario/raft/rig.h - A few raft nodes whose network, disk and clock obey a script.
 *
 * Nothing happens unless a command says so: messages wait until they are delivered or dropped,
 * time stands still until it is advanced. Writes and applications are carried out at once, unless
 * a node is told to hold them. What happens is printed, one line each. */
#ifndef TESTS_SCENARIO_RAFT_RIG_H
#define TESTS_SCENARIO_RAFT_RIG_H

#include <stdio.h>

#include "raft/raft.h"

enum { RIG_NODES_MAX = 9, RIG_ENTRIES_MAX = 512, RIG_MESSAGES_MAX = 4096 };

struct rig_message {
    unsigned from, to;
    enum raft_message_type type;
    raft_write after;
    size_t len;
    uint8_t *bytes;
};

/* What a crash leaves. */
struct rig_disk {
    struct raft_hard_state hard_state;
    struct raft_base base;                      /* conf owned */
    struct raft_entry entries[RIG_ENTRIES_MAX]; /* data owned */
    size_t entry_count;
    raft_index applied;
    struct raft_base installed; /* conf owned */
    raft_write durable;
};

struct rig_node {
    bool created, up;
    bool holds_writes, holds_applies;
    bool may_stop; /* it said so */
    unsigned starts;
    struct raft *raft;
    struct rig_disk disk;
    struct raft_write_op *held; /* owned copies, in order */
    size_t held_count;
    raft_index emitted;
    struct raft_status seen;
    mono_ns skew;     /* its clock is ahead by this */
    mono_ns deadline; /* by the common clock */
};

struct rig {
    FILE *out;
    struct raft_config cfg; /* id and seed are set per node */
    mono_ns now;
    struct rig_node nodes[RIG_NODES_MAX + 1]; /* by id, from 1 */
    unsigned node_count;
    struct rig_message queue[RIG_MESSAGES_MAX];
    size_t queue_count;
    bool cut[RIG_NODES_MAX + 1][RIG_NODES_MAX + 1];
    bool quiet; /* print no messages */
};

void rig_init(struct rig *r, FILE *out);
void rig_deinit(struct rig *r);

void rig_create(struct rig *r, unsigned id, const struct raft_conf *bootstrap);
void rig_crash(struct rig *r, unsigned id); /* held writes are lost */
void rig_start(struct rig *r, unsigned id, const struct raft_start *extra);
int rig_step(struct rig *r, unsigned id, const struct raft_event *event);

/* Carries out the first `count` held writes of a node, or all there are. */
void rig_persist(struct rig *r, unsigned id, size_t count);
void rig_apply(struct rig *r, unsigned id);

/* Delivers what is queued and matches, with what follows from it,
 * in order and at most `limit`; 0 matches every `from`, `to` and `type`. `drop` loses it instead.
 * Returns how many. */
size_t rig_deliver(struct rig *r, unsigned from, unsigned to, int type, size_t limit, bool drop);

/* Moves the clock of one node alone to its deadline, and lets it time out. */
void rig_timeout(struct rig *r, unsigned id);

/* Moves time; nodes whose deadline comes get TIMEOUT, and messages are delivered at once. */
void rig_advance(struct rig *r, mono_ns by);

#endif /* TESTS_SCENARIO_RAFT_RIG_H */
