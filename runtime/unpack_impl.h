/* runtime/unpack_impl.h - What the files of the unpacker share: for unpack*.c only. */
#ifndef RUNTIME_UNPACK_IMPL_H
#define RUNTIME_UNPACK_IMPL_H

#include <limits.h>
#include <time.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "runtime/layer_reader.h"
#include "runtime/unpack.h"

struct unpacker {
    struct unpack *u;
    struct layer_reader *r;
    struct archive *tar;
    struct fault *f;
    struct buf dir_times; /* of { struct timespec, path with NUL } */
    int parent_fd;        /* of the last entry, or -1 */
    char parent[PATH_MAX];
};

/* unpack.c: "`what`: what libarchive says". */
int unpack_archive_fault(struct unpacker *p, struct archive *a, const char *what);

/* unpack_path.c */

/* "./a//b/" -> "a/b"; "" is the root itself. False: "..", too long, or a NUL lost. */
bool unpack_normalize(const char *name, char out[PATH_MAX]);
/* The directory that holds `path`, borrowed until the next call, and its last part. */
NODISCARD int unpack_open_parent(struct unpacker *p, const char *path, int *out_fd,
                                 const char **out_base);
void unpack_forget_parent(struct unpacker *p);

/* unpack_entry.c: makes what the entry says at `path`, which is normalized and not "". On an error
 * `f` may be empty. */
NODISCARD int unpack_make_entry(struct unpacker *p, struct archive_entry *entry, const char *path);

/* unpack_metadata.c: owner, mode, xattrs and time as the entry says. */
struct timespec unpack_mtime(struct archive_entry *entry);
NODISCARD int unpack_set_metadata(struct unpacker *p, struct archive_entry *entry, int fd);
NODISCARD int unpack_set_metadata_at(struct archive_entry *entry, int dir, const char *base);
NODISCARD int unpack_set_dir_times(struct unpacker *p); /* last: entries change their directory's */

#endif /* RUNTIME_UNPACK_IMPL_H */
