/* overlaynet/tap.h - The TAP device that leads from a network's bridge to the data path. */
#ifndef OVERLAYNET_TAP_H
#define OVERLAYNET_TAP_H

#include <stdbool.h>

#include "base/attr.h"

/* Creates the device in the thread's network namespace, or takes over the one that an earlier run
 * left, and opens `count` queues. It stays when they are closed. *out_uso: large UDP frames are
 * passed too. The caller closes fds.
 *   -EBUSY  another process has its queues */
NODISCARD int tap_open(const char *name, int fds[], unsigned count, bool *out_uso);

#endif /* OVERLAYNET_TAP_H */
