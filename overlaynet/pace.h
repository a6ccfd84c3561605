/* overlaynet/pace.h - How long a lane lets datagrams gather before it takes more of them. Pure.
 *
 * Waking a lane costs more than sealing or opening a datagram. A lane that takes each one as it
 * comes finds one to three together and is woken for every few, which makes a dense stream dear;
 * one that leaves them where they are for a moment handles many with one call. Network cards
 * moderate their interrupts for the same reason.
 *
 * Only streams of datagrams are paced, only dense ones, and only while they go one way and nothing
 * else passes the lane: TCP, or a question whose answer goes the other way, never meet the wait.
 * The lane of the sender leaves them in the TAP, the one of the receiver in the socket. */
#ifndef OVERLAYNET_PACE_H
#define OVERLAYNET_PACE_H

#include <stdbool.h>

#include "base/units.h"

#define PACE_WINDOW_NS (200 * NS_PER_US)
#define PACE_DENSE     16 /* datagrams in a window: 80 000 each second */
#define PACE_WAIT_NS   (100 * NS_PER_US)
#define PACE_HOLD_NS   (10 * NS_PER_MS) /* a sender that loses the processor comes back */

/* What a turn of the lane's loop has handled. */
struct pace_turn {
    unsigned sent;     /* datagrams from containers */
    unsigned received; /* datagrams from the wire */
    unsigned others;   /* whatever else, either way */
};

struct pace {
    bool receives; /* the way of what is counted */
    mono_ns since; /* start of the window */
    unsigned count;
    mono_ns dense_until; /* 0 = it is not */
};

/* After a turn: how long to wait for more datagrams of its way; 0 = not at all. All zero is a
 * valid start. */
mono_ns pace_after(struct pace *p, const struct pace_turn *turn, mono_ns now);

/* True when a turn without datagrams changes nothing. */
static inline bool pace_is_idle(const struct pace *p)
{
    return p->count == 0 && p->dense_until == 0;
}

#endif /* OVERLAYNET_PACE_H */
