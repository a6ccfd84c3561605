/* runtime/conmon_cgroup.h - The control group that all monitors live in: PARENT/_conmon.
 *
 * A service manager ends, counts and limits a service by its control group. Containers outlive
 * the daemon, so neither they nor their monitors may be in the daemon's. Containers get one of
 * their own from the OCI runtime; monitors share this one, in every hierarchy in which service
 * managers put services. It is the parent's of all containers on purpose: whoever looks there
 * sees all that runs. Ids of containers have no underscore, so none gets this name. */
#ifndef RUNTIME_CONMON_CGROUP_H
#define RUNTIME_CONMON_CGROUP_H

#include <sys/types.h>

#include "runtime/cgroup.h"

#define CONMON_CGROUP_TREES_MAX 8

struct conmon_cgroup {
    const char *parent;                 /* borrowed until the end: "/shoal" */
    int trees[CONMON_CGROUP_TREES_MAX]; /* roots of the hierarchies */
    size_t tree_count;
};

/* Names below /sys/fs/cgroup of the hierarchies in which it has to be, NULL-terminated; "." is
 * that directory itself. Some of those of v1 may not be there. Pure. */
const char *const *conmon_cgroup_trees(enum cgroup_layout layout);

/* To be called where the hierarchies are mounted, which need not be where the rest is called. */
NODISCARD int conmon_cgroup_open(struct conmon_cgroup *c, enum cgroup_layout layout,
                                 const char *parent, struct fault *f);
void conmon_cgroup_close(struct conmon_cgroup *c);

/* Moves the process into it, and makes it first where it is not there. Its later children are born
 * there.  -ESRCH: there is no such process */
NODISCARD int conmon_cgroup_add(const struct conmon_cgroup *c, pid_t pid, struct fault *f);

/* Removes it unless it has members, and then the parent unless that has any. */
void conmon_cgroup_remove(const struct conmon_cgroup *c);

#endif /* RUNTIME_CONMON_CGROUP_H */
