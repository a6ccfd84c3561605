/* runtime/archive_in.h - Images from archives: `docker save`, OCI layouts, root file systems. */
#ifndef RUNTIME_ARCHIVE_IN_H
#define RUNTIME_ARCHIVE_IN_H

#include "runtime/image.h"

/* Called per image once it is unpacked and named; `name` "" for a nameless one. */
typedef void (*archive_on_image)(void *arg, const struct digest *config, const char *name);

/* Reads a tar (plain or packed) from `fd`, or the OCI layout in directory `dir` when fd is -1.
 * Images before a broken one stay.
 *   ERR_MALFORMED, ERR_CORRUPT, ERR_UNSUPPORTED (nothing for this platform) */
NODISCARD int archive_load(struct image_store *store, const char *dir, int fd,
                           const struct image_progress *progress, archive_on_image on_image,
                           void *arg, struct fault *f);

/* A tar of a root file system becomes an image of one layer. `config` is the JSON of its
 * "config" object or NULL; `name` a full reference or NULL. The caller image_deinit()s *out. */
NODISCARD int archive_import(struct image_store *store, int fd, const char *name,
                             const char *config, wall_ns now, const struct image_progress *progress,
                             struct image *out, struct fault *f);

#endif /* RUNTIME_ARCHIVE_IN_H */
