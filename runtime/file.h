/* runtime/file.h - Files and trees on this host, for threads that may block. */
#ifndef RUNTIME_FILE_H
#define RUNTIME_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

/* A path built from parts; CHECKs that it fits, so bound what goes in. */
#define PATH_TEXT_MAX 4352 /* the longest user's path plus our own prefix */
struct path {
    char text[PATH_TEXT_MAX];
};
struct path path_of(const char *format, ...) PRINTF_LIKE(1, 2);

/* Appends the whole file to `out`, whose limit bounds it. `dir_fd` may be AT_FDCWD.
 *   -ENOENT .., ERR_TOO_LARGE */
NODISCARD int file_read(int dir_fd, const char *path, struct buf *out);
NODISCARD int file_read_fd(int fd, struct buf *out); /* from its position to the end */

enum file_durability { FILE_CACHED, FILE_SYNCED }; /* synced: the file and its directory entry */

/* Replaces the file as a whole or not at all: a crash leaves the old one or the new one. */
NODISCARD int file_replace(const char *path, struct slice bytes, mode_t mode,
                           enum file_durability durability);
/* Writes in place; for what nobody reads before it is whole. */
NODISCARD int file_write(const char *path, struct slice bytes, mode_t mode);
NODISCARD int file_write_all(int fd, struct slice bytes);

NODISCARD int dir_make(const char *path, mode_t mode); /* with parents; existing is success */
NODISCARD int dir_sync(const char *path);

/* Calls `each` per entry, without . and ..; a negative result ends it and is returned. */
NODISCARD int dir_each(const char *path, int (*each)(void *arg, int dir_fd, const char *name),
                       void *arg);

/* Removes a file or a whole tree; never follows a link nor leaves the file system that the path
 * is on, so a mount that was left behind is not emptied but reported as -EBUSY. Not there is
 * success. */
NODISCARD int tree_remove(const char *path);
NODISCARD int dir_clear(const char *path); /* what is in the directory, as tree_remove() would */

/* Copies the contents of directory `from` into directory `to`, which gets its owner, mode and
 * times too: links, devices, xattrs, hard links within it; no other file systems. */
NODISCARD int tree_copy(int from_fd, int to_fd);

/* Opens below `root_fd` as if that were "/": no link leads out of it. */
NODISCARD int file_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Makes `path` and its parents as directories below `root_fd`, in the same confinement. */
NODISCARD int dir_make_in_root(int root_fd, const char *path, mode_t mode);

#endif /* RUNTIME_FILE_H */
