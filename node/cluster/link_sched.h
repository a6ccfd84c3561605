/* node/cluster/link_sched.h - Which channel may send the next piece. Pure.
 *
 * Start-time fair queuing (Goyal, Vin and Cheng 1996): each channel has a virtual time
 * that advances by what it sent divided by its weight, and the one that is furthest behind
 * sends next. A channel that was idle joins at the present, so it gains no credit
 * by waiting but goes before any that has just sent: a heartbeat overtakes a blob at the
 * next piece. No channel starves, because every piece sent puts its channel back. */
#ifndef NODE_CLUSTER_LINK_SCHED_H
#define NODE_CLUSTER_LINK_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "node/cluster/link.h"

struct link_sched {
    uint64_t present;                     /* virtual time of the last choice */
    uint64_t times[LINK_CHANNEL_MAX + 1]; /* of each channel's next piece */
    unsigned was_waiting;                 /* bit c: channel c waited at the last choice */
};

void link_sched_init(struct link_sched *s);

/* Chooses among the channels whose bits are set in `waiting`; at least one is. */
enum link_channel link_sched_pick(struct link_sched *s, unsigned waiting);

/* Accounts `len` bytes that `channel`, just picked, sent. */
void link_sched_charge(struct link_sched *s, enum link_channel channel, size_t len);

#endif /* NODE_CLUSTER_LINK_SCHED_H */
