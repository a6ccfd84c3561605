/* One entry of a layer becomes a directory, file, link, device or whiteout. All are made with *at()
 * calls in their parent's descriptor and never through a link, so that none reaches out of it.
 * What an earlier entry or a whiteout put at the same name is cleared away first, except for a
 * directory that stays one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/file.h"
#include "runtime/limits.h"
#include "runtime/unpack_impl.h"

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_NAME     ".wh..wh..opq"

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int set_opaque(int fd)
{
    return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

/* Clears the way for a new entry. A directory that is to be a directory stays.
 * *out_hid: a whiteout stood there. */
static int clear_way(int dir, const char *base, bool for_dir, bool *out_stays, bool *out_hid)
{
    struct stat st;
    struct path full;

    *out_stays = *out_hid = false;
    if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    *out_hid = is_whiteout(&st);
    if (S_ISDIR(st.st_mode)) {
        *out_stays = for_dir;
        if (for_dir)
            return 0;
        full = path_of("/proc/self/fd/%d/%s", dir, base);
        return tree_remove(full.text);
    }
    return unlinkat(dir, base, 0) < 0 ? -errno : 0;
}

static int make_whiteout(int dir, const char *hidden)
{
    struct stat st;
    int fd, rc;

    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return ERR_MALFORMED;
    if (strncmp(hidden, ".wh.", 4) == 0)
        return 0; /* bookkeeping of aufs */
    if (fstatat(dir, hidden, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return mknodat(dir, hidden, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
    if (!S_ISDIR(st.st_mode))
        return 0; /* this layer's own file hides the lower one already */
    fd = openat(dir, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = set_opaque(fd);
    close(fd);
    return rc;
}

static int make_dir(struct unpacker *p, struct archive_entry *entry, int dir, const char *base,
                    const char *path)
{
    struct timespec mtime = unpack_mtime(entry);
    bool stays, hid;
    int fd, rc;

    rc = clear_way(dir, base, true, &stays, &hid);
    if (rc < 0)
        return rc;
    if (!stays && mkdirat(dir, base, 0700) < 0)
        return -errno;
    fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = unpack_set_metadata(p, entry, fd);
    if (rc == 0 && hid)
        rc = set_opaque(fd);
    close(fd);
    (void)omap_remove(&p->u->implicit, slice_of(path, strlen(path) + 1)); /* if it was */
    if (rc == 0)
        rc = buf_append(&p->dir_times, &mtime, sizeof(mtime));
    if (rc == 0)
        rc = buf_append(&p->dir_times, path, strlen(path) + 1);
    return rc;
}

static int write_blocks(struct unpacker *p, int fd)
{
    const void *block;
    size_t len;
    la_int64_t offset;
    int got;

    while ((got = archive_read_data_block(p->tar, &block, &len, &offset)) == ARCHIVE_OK) {
        const uint8_t *from = block;

        if (len > UNPACKED_BYTES_MAX - p->u->bytes || offset < 0)
            return fault_set(p->f, ERR_TOO_LARGE, "the layer unpacks to more than %llu GiB",
                             (unsigned long long)(UNPACKED_BYTES_MAX / GIB));
        p->u->bytes += len;
        if (p->u->cancel != NULL && atomic_load(p->u->cancel))
            return ERR_CLOSED;
        while (len > 0) {
            ssize_t n = pwrite(fd, from, len, offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return -errno;
            from += n;
            offset += n;
            len -= (size_t)n;
        }
    }
    return got == ARCHIVE_EOF ? 0 : unpack_archive_fault(p, p->tar, "contents");
}

static int make_file(struct unpacker *p, struct archive_entry *entry, int dir, const char *base)
{
    int fd = openat(dir, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    la_int64_t size = archive_entry_size(entry);
    int rc;

    if (fd < 0)
        return -errno;
    rc = write_blocks(p, fd);
    /* A sparse file may end in a hole. */
    if (rc == 0 && size > 0 && ((uint64_t)size > UNPACKED_BYTES_MAX || ftruncate(fd, size) < 0))
        rc = ERR_TOO_LARGE;
    if (rc == 0)
        rc = unpack_set_metadata(p, entry, fd);
    close(fd);
    return rc;
}

static int make_hard_link(struct unpacker *p, const char *target, int dir, const char *base)
{
    char path[PATH_MAX];
    const char *slash;
    struct stat st;
    int from, rc;

    if (!unpack_normalize(target, path) || path[0] == '\0')
        return fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: leads out of the layer",
                         target);
    slash = strrchr(path, '/');
    if (slash == NULL) {
        from = file_open_in_root(p->u->root_fd, "/", O_PATH | O_DIRECTORY, 0);
    } else {
        struct path parent = path_of("%.*s", (int)(slash - path), path);

        from = file_open_in_root(p->u->root_fd, parent.text, O_PATH | O_DIRECTORY, 0);
    }
    if (from == -ENOENT || (from >= 0 && fstatat(from, slash == NULL ? path : slash + 1, &st,
                                                 AT_SYMLINK_NOFOLLOW) < 0)) {
        rc = fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: not in the same layer", target);
    } else if (from < 0) {
        rc = from;
    } else if (is_whiteout(&st) || S_ISDIR(st.st_mode)) {
        rc = fault_set(p->f, ERR_MALFORMED, "hard link to %.200s: not a file", target);
    } else {
        rc = linkat(from, slash == NULL ? path : slash + 1, dir, base, 0) < 0 ? -errno : 0;
    }
    if (from >= 0)
        close(from);
    return rc;
}

static int make_special(struct unpacker *p, struct archive_entry *entry, int dir, const char *base)
{
    const char *target = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    dev_t device =
        makedev((unsigned)archive_entry_rdevmajor(entry), (unsigned)archive_entry_rdevminor(entry));

    switch (type) {
    case AE_IFLNK:
        if (target == NULL || target[0] == '\0')
            return fault_set(p->f, ERR_MALFORMED, "symbolic link without a target");
        if (symlinkat(target, dir, base) < 0)
            return -errno;
        break;
    case AE_IFCHR:
        if (device == 0)
            return fault_set(p->f, ERR_MALFORMED,
                             "device 0:0: would hide what is below it; layers use .wh. for that");
        FALLTHROUGH;
    case AE_IFBLK:
    case AE_IFIFO:
        if (mknodat(dir, base, type | 0600, type == AE_IFIFO ? 0 : device) < 0)
            return -errno;
        break;
    default:
        return fault_set(p->f, ERR_MALFORMED, "type %o: not one that a layer can hold",
                         (unsigned)type);
    }
    return unpack_set_metadata_at(entry, dir, base);
}

int unpack_make_entry(struct unpacker *p, struct archive_entry *entry, const char *path)
{
    const char *link = archive_entry_hardlink(entry);
    const char *base;
    bool stays, hid;
    int dir, rc;

    rc = unpack_open_parent(p, path, &dir, &base);
    if (rc < 0)
        return rc;
    if (strcmp(base, OPAQUE_NAME) == 0)
        return set_opaque(dir);
    if (strncmp(base, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return make_whiteout(dir, base + strlen(WHITEOUT_PREFIX));
    if (link == NULL && archive_entry_filetype(entry) == AE_IFDIR)
        return make_dir(p, entry, dir, base, path);
    if (link != NULL) { /* a link to itself would remove what it links to */
        char target[PATH_MAX];

        if (unpack_normalize(link, target) && strcmp(target, path) == 0)
            return 0;
    }
    rc = clear_way(dir, base, false, &stays, &hid);
    if (rc < 0)
        return rc;
    if (link != NULL)
        return make_hard_link(p, link, dir, base);
    return archive_entry_filetype(entry) == AE_IFREG ? make_file(p, entry, dir, base)
                                                     : make_special(p, entry, dir, base);
}
