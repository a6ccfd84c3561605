/* overlaynet/probe.h - How large a packet reaches a peer. Pure.
 *
 * In the manner of RFC 8899: sealed probes of a size are sent with fragmentation forbidden and
 * answered by the peer; what the network says by ICMP is not needed and not believed. The search
 * begins at the interface's own size and goes down a ladder of sizes that tunnels make; it begins
 * again from the top now and then, because paths change. A size is given up after PROBE_TRIES
 * losses, and only while the peer is otherwise heard. */
#ifndef OVERLAYNET_PROBE_H
#define OVERLAYNET_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

#define PROBE_MTU_MIN  1280 /* RFC 8200: any path carries it */
#define PROBE_TRIES    3
#define PROBE_WAIT_NS  (500 * NS_PER_MS)
#define PROBE_CHECK_NS (60 * NS_PER_S)  /* the size in use is confirmed so often */
#define PROBE_RAISE_NS (600 * NS_PER_S) /* a larger one is tried again after so long */

struct probe {
    uint32_t top;  /* largest size worth trying: IP packets, as the next */
    uint32_t size; /* in use; the one being probed */
    unsigned losses;
    mono_ns next_at;  /* MONO_NEVER = at rest */
    mono_ns raise_at; /* when to begin again from the top */
};

void probe_init(struct probe *p, uint32_t top);

/* The peer came up, or moved: search again from the top. */
void probe_start(struct probe *p, mono_ns now);
void probe_stop(struct probe *p); /* it went down */

/* Call at probe_deadline(). Returns true when a probe of p->size is to be sent. p->size may have
 * become smaller: use it from now on. */
bool probe_on_timer(struct probe *p, mono_ns now);

/* An answer to a probe of `size` came. */
void probe_on_ack(struct probe *p, uint32_t size, mono_ns now);

static inline mono_ns probe_deadline(const struct probe *p)
{
    return p->next_at;
}

#endif /* OVERLAYNET_PROBE_H */
