/* overlaynet/pmtu.h - How large a packet reaches a peer. Pure.
 *
 * In the manner of RFC 8899: sealed probes of a size are sent with fragmentation forbidden and
 * answered by the peer; what the network says by ICMP is not needed and not believed. The search
 * begins at the interface's own size and goes down a ladder of sizes that tunnels make; it begins
 * again from the top now and then, because paths change. A size is given up after PMTU_TRIES
 * losses, and only while the peer is otherwise heard. */
#ifndef OVERLAYNET_PMTU_H
#define OVERLAYNET_PMTU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define PMTU_MIN      1280 /* RFC 8200: any path carries it */
#define PMTU_TRIES    3
#define PMTU_WAIT_NS  (500 * NS_PER_MS)
#define PMTU_CHECK_NS (60 * NS_PER_S)  /* the size in use is confirmed so often */
#define PMTU_RAISE_NS (600 * NS_PER_S) /* a larger one is tried again after so long */

struct pmtu {
    uint32_t top;  /* largest size worth trying: IP packets, as the next */
    uint32_t size; /* in use; the one being probed */
    unsigned losses;
    mono_ns next_at;  /* MONO_NEVER = at rest */
    mono_ns raise_at; /* when to begin again from the top */
};

void pmtu_init(struct pmtu *p, uint32_t top);

/* The peer came up, or moved: search again from the top. */
void pmtu_start(struct pmtu *p, mono_ns now);
void pmtu_stop(struct pmtu *p); /* it went down */

/* Call at pmtu_deadline(). Returns true when a probe of p->size is to be sent. p->size may have
 * become smaller: use it from now on. */
bool pmtu_on_timer(struct pmtu *p, mono_ns now);

/* An answer to a probe of `size` came. */
void pmtu_on_ack(struct pmtu *p, uint32_t size, mono_ns now);

static inline mono_ns pmtu_deadline(const struct pmtu *p)
{
    return p->next_at;
}

#endif /* OVERLAYNET_PMTU_H */
