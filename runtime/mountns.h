/* runtime/mountns.h - A mount namespace in which the OCI runtime sees a plain cgroup v1 host.
 *
 * crun refuses a hybrid host: v1 controllers, and a v2 tree at /sys/fs/cgroup/unified that has
 * controllers too. There the runtime's threads live in a mount namespace of their own without
 * that tree, and so do its children. It is pinned at RUN/ns/mnt, so that the next daemon finds
 * the same one with the containers' mounts in it. Mounts made on the host propagate into it
 * where the host shares them; its own stay inside. */
#ifndef RUNTIME_MOUNTNS_H
#define RUNTIME_MOUNTNS_H

#include "base/attr.h"
#include "runtime/fault.h"
#include "runtime/file.h"

struct mountns {
    struct path dir; /* RUN/ns, a mount of its own */
    int fd;          /* -1: not needed on this host */
};

/* Finds the pinned one or makes it. */
NODISCARD int mountns_open(struct mountns *ns, const char *run_dir, struct fault *f);

/* Moves the calling thread into it, for good. */
NODISCARD int mountns_enter(const struct mountns *ns);

/* Closes; `unpin` removes the namespace too, once no process is in it. */
enum mountns_pin { MOUNTNS_KEEP, MOUNTNS_UNPIN };
void mountns_close(struct mountns *ns, enum mountns_pin what);

#endif /* RUNTIME_MOUNTNS_H */
