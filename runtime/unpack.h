/* runtime/unpack.h - A layer's tar into a directory that overlayfs can use as a lower one.
 *
 * Whiteouts become overlayfs's: `.wh.NAME` a character device 0:0, `.wh..wh..opq` the xattr
 * trusted.overlay.opaque. Names are resolved as if the directory were "/": no entry, link or
 * rename reaches out of it, whatever links the archive makes on its way. */
#ifndef RUNTIME_UNPACK_H
#define RUNTIME_UNPACK_H

#include <stdatomic.h>

#include "base/omap.h"
#include "runtime/digest.h"
#include "runtime/fault.h"

struct unpack {
    int root_fd;               /* set by the caller: an empty directory; borrowed */
    const atomic_bool *cancel; /* may be NULL; true: stop with ERR_CLOSED */

    struct digest diff_id; /* of the uncompressed tar, when done */
    uint64_t bytes;        /* of file contents */
    uint64_t entries;
    struct omap implicit; /* directories that entries lie in but that have no entry of their own:
                             path -> "", their attributes are the lower layers' */
};

/* Reads a tar, packed or not (gzip, zstd, xz, bzip2), from `fd` to its end.
 *   ERR_MALFORMED  not a tar, or an entry that no honest image has: the message names it
 *   ERR_TOO_LARGE  a bound of limits.h
 *   -ENOSPC .. */
NODISCARD int unpack_tar(struct unpack *u, int fd, struct fault *f);

/* Gives each implicit directory the owner, mode and xattrs that it has in the highest of the
 * lower layers' roots (highest first) that has it. Without this a layer that says only
 * "tmp/x" would turn /tmp's mode 1777 into 755. */
NODISCARD int unpack_inherit(struct unpack *u, const int *lower_root_fds, size_t count,
                             struct fault *f);

void unpack_deinit(struct unpack *u);

#endif /* RUNTIME_UNPACK_H */
