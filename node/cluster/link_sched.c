/* node/cluster/link_sched.c - see link_sched.h. */
#include "node/cluster/link_sched.h"

#include <string.h>

#include "base/attr.h"
#include "base/check.h"

/* Shares of a link on which all wait. Each divides WEIGHT_UNIT, so that times are exact. */
#define WEIGHT_UNIT 64
static const uint64_t weights[LINK_CHANNEL_MAX + 1] = {
    [LINK_RAFT] = 64, [LINK_GOSSIP] = 32, [LINK_DISPATCH] = 32, [LINK_FORWARD] = 16,
    [LINK_EXEC] = 16, [LINK_LOGS] = 4,    [LINK_BLOBS] = 4,
};

void link_sched_init(struct link_sched *s)
{
    memset(s, 0, sizeof(*s));
}

enum link_channel link_sched_pick(struct link_sched *s, unsigned waiting)
{
    unsigned best = 0;

    CHECK(waiting != 0 && (waiting & ~((2u << LINK_CHANNEL_MAX) - 2)) == 0);
    for (unsigned c = 1; c <= LINK_CHANNEL_MAX; c++) {
        if ((waiting >> c & 1) == 0)
            continue;
        if ((s->was_waiting >> c & 1) == 0)
            s->times[c] = MAX(s->times[c], s->present);
        if (best == 0 || s->times[c] < s->times[best])
            best = c; /* of equals the more urgent: channels are numbered in that order */
    }
    s->was_waiting = waiting;
    s->present = s->times[best];
    return (enum link_channel)best;
}

void link_sched_charge(struct link_sched *s, enum link_channel channel, size_t len)
{
    s->times[channel] += len * (WEIGHT_UNIT / weights[channel]);
}
