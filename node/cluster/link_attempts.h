/* node/cluster/link_attempts.h - Who has offered too many wrong tokens lately. Pure.
 *
 * A token's secret cannot be guessed; this keeps a confused or hostile host from filling
 * the log and the managers' time with attempts. */
#ifndef NODE_CLUSTER_LINK_ATTEMPTS_H
#define NODE_CLUSTER_LINK_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/units.h"
#include "node/cluster/link_limits.h"

struct link_attempts {
    struct {
        char host[LINK_ADDRESS_LEN]; /* "" = free */
        unsigned failures;
        mono_ns since;
    } rows[ENROLL_ADDRESSES_MAX];
};

bool attempts_may_try(const struct link_attempts *a, const char *host, mono_ns now);

/* When the table is full, the oldest entry makes room. */
void attempts_failed(struct link_attempts *a, const char *host, mono_ns now);

#endif /* NODE_CLUSTER_LINK_ATTEMPTS_H */
