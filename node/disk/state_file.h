/* node/disk/state_file.h - Small files that must survive a crash.
 *
 * A file is replaced in one step: written under another name, synced, renamed, and the directory
 * synced. After a crash there is the old file or the new one. Blocks: call it at start or
 * on a worker thread. */
#ifndef NODE_DISK_STATE_FILE_H
#define NODE_DISK_STATE_FILE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

/* Makes `dir` and its parents, mode 0700 each.  Negative errno */
NODISCARD int state_dir_make(const char *dir);

/* Replaces dir/name, mode 0600.  Negative errno */
NODISCARD int state_file_write(const char *dir, const char *name, struct slice bytes);

/* Appends the contents to `out`.  -ENOENT, ERR_TOO_LARGE (out's limit), negative errno */
NODISCARD int state_file_read(const char *dir, const char *name, struct buf *out);

/* Removes dir/name if it is there.  Negative errno */
NODISCARD int state_file_remove(const char *dir, const char *name);

#endif /* NODE_DISK_STATE_FILE_H */
