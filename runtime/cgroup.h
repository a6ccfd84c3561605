/* runtime/cgroup.h - Where this host keeps control groups, and what they count. */
#ifndef RUNTIME_CGROUP_H
#define RUNTIME_CGROUP_H

#include "base/attr.h"
#include "runtime/fault.h"
#include "runtime/runtime.h"

enum cgroup_layout {
    CGROUP_V1,
    CGROUP_V2,
    CGROUP_HYBRID, /* v1, and a v2 tree at unified/ that has controllers too: crun refuses it */
};

struct cgroup_host {
    enum cgroup_layout layout;
    bool can_limit_swap;
};

NODISCARD int cgroup_detect(struct cgroup_host *out, struct fault *f);
const char *cgroup_layout_name(enum cgroup_layout layout);

/* The functions below take the path as the OCI runtime got it, "/shoal/ID". */

/* Whether the kernel killed a process of it for want of memory. False when it is gone. */
bool cgroup_oom_killed(const struct cgroup_host *host, const char *path);

/* Fills in all but the network's counters.  ERR_NOT_FOUND: gone */
NODISCARD int cgroup_stats(const struct cgroup_host *host, const char *path,
                           struct container_stats *out);

/* Kills what is left in it and removes it with what is below, in all hierarchies. */
void cgroup_remove(const struct cgroup_host *host, const char *path);

/* Removes it where it has neither members nor children. */
void cgroup_remove_empty(const struct cgroup_host *host, const char *path);

#endif /* RUNTIME_CGROUP_H */
