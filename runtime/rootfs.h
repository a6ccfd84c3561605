/* runtime/rootfs.h - What a container sees as "/": an overlay of its image's layers, below a
 * directory of its own that it writes to and above a layer that all containers share.
 *
 * That lowest layer holds what mounts that every container has are put upon: /proc, /etc/hosts and
 * so on. What an image has of its own hides it. Without it the OCI runtime would make what is
 * missing in each container's own directory, at the cost of five new files and directories. */
#ifndef RUNTIME_ROOTFS_H
#define RUNTIME_ROOTFS_H

#include "runtime/runtime_impl.h"

/* Makes the lowest layer, or what a crash or an older version left out of it. */
NODISCARD int rootfs_make_lowest(const struct runtime *rt, struct fault *f);

/* At rootfs/ in the bundle. On a thread. */
NODISCARD int rootfs_mount(const struct container *c, struct fault *f);

#endif /* RUNTIME_ROOTFS_H */
