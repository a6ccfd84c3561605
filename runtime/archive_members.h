/* runtime/archive_members.h - The files in an archive, taken into the blob store as they pass: for
 * archive_in.c and archive_import.c only. */
#ifndef RUNTIME_ARCHIVE_MEMBERS_H
#define RUNTIME_ARCHIVE_MEMBERS_H

#include "base/map.h"
#include "runtime/image.h"

struct archive_member {
    struct digest digest;
    uint64_t size;
    char *link; /* a symbolic link to another member; then the two above are empty */
};

struct archive_members {
    struct image_store *store; /* these three are the caller's */
    const struct image_progress *progress;
    struct fault *f;    /* of all that fails */
    struct map by_name; /* normalised name -> struct archive_member */
};

void archive_members_init(struct archive_members *all, struct image_store *store,
                          const struct image_progress *progress, struct fault *f);
void archive_members_deinit(struct archive_members *all);

/* Takes every file of a tar, plain or packed, of a directory in OCI layout, or one file.
 *   ERR_MALFORMED, ERR_CLOSED, -ENOSPC .. */
NODISCARD int archive_take_tar(struct archive_members *all, int fd);
NODISCARD int archive_take_layout(struct archive_members *all, const char *dir);
NODISCARD int archive_take_fd(struct archive_members *all, const char *name, int fd);

/* The member behind the name, through at most a few links; NULL, or ERR_MALFORMED: none. */
const struct archive_member *archive_find_member(const struct archive_members *all,
                                                 const char *name);
NODISCARD int archive_require_member(struct archive_members *all, const char *name,
                                     const struct archive_member **out);

/* --- For a manifest that the archive does not have */

const char *archive_layer_media_type(struct archive_members *all, const struct digest *layer);
NODISCARD int archive_describe_member(struct descriptor *d, const char *media_type,
                                      const struct archive_member *m);
NODISCARD int archive_put_manifest(struct archive_members *all, const struct manifest *m,
                                   struct digest *out);

#endif /* RUNTIME_ARCHIVE_MEMBERS_H */
