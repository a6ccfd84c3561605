/* chaos/sim/net.h - A network between numbered endpoints that loses, delays, repeats and parts.
 *
 * Each direction of each pair is its own path. Packets are copied and arrive, if they do, after a
 * random delay of their own, so they also overtake each other. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <stddef.h>

#include "base/prng.h"
#include "base/slice.h"
#include "chaos/sim/clock.h"

enum { SIM_NET_MAX = 16 };

/* Bytes that arrived; borrowed for the call. */
typedef void sim_net_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes);

struct sim_net {
    struct sim_clock *clock;
    struct prng prng;
    sim_net_deliver *deliver;
    void *ctx;

    double loss;
    double repeat;
    mono_ns delay_min, delay_mean;

    bool cut[SIM_NET_MAX][SIM_NET_MAX];
    mono_ns clogged_until[SIM_NET_MAX][SIM_NET_MAX]; /* arrives then at the earliest */
    uint64_t sent, lost;
};

void sim_net_init(struct sim_net *n, struct sim_clock *clock, struct prng prng,
                  sim_net_deliver *deliver, void *ctx);
void sim_net_send(struct sim_net *n, unsigned from, unsigned to, struct slice bytes);

/* One direction, or both, between two endpoints. */
void sim_net_cut(struct sim_net *n, unsigned from, unsigned to);
void sim_net_cut_both(struct sim_net *n, unsigned a, unsigned b);
void sim_net_clog(struct sim_net *n, unsigned from, unsigned to, mono_ns until);

/* Endpoints below `count` that are in different groups hear nothing of each other. */
void sim_net_partition(struct sim_net *n, const unsigned *group, unsigned count);
void sim_net_heal(struct sim_net *n); /* no cut and no clog remains */

#endif /* SIM_NET_H */
