/* Owner, mode, xattrs and times: from the entry for what has one, from the layers below for
 * implicit directories. Of xattrs only users' own and file capabilities are taken: the others
 * steer the file system or belong to the machine on which the image was made. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "runtime/file.h"
#include "runtime/unpack_impl.h"

static bool is_wanted_xattr(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static int set_xattrs(struct unpacker *p, struct archive_entry *entry, int fd)
{
    const char *name;
    const void *value;
    size_t len;

    (void)archive_entry_xattr_reset(entry); /* counts them */
    while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
        if (strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0)
            return fault_set(p->f, ERR_MALFORMED, "xattr %s: would steer the file system itself",
                             name);
        if (is_wanted_xattr(name) && fsetxattr(fd, name, value, len, 0) < 0)
            return fault_system(p->f, -errno, "xattr %s", name);
    }
    return 0;
}

static int owner_of(struct archive_entry *entry, uid_t *uid, gid_t *gid)
{
    la_int64_t u = archive_entry_uid(entry), g = archive_entry_gid(entry);

    if (u < 0 || u >= UINT32_MAX || g < 0 || g >= UINT32_MAX)
        return ERR_MALFORMED;
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    return 0;
}

struct timespec unpack_mtime(struct archive_entry *entry)
{
    return (struct timespec){ .tv_sec = archive_entry_mtime(entry),
                              .tv_nsec = archive_entry_mtime_nsec(entry) };
}

/* Owner before mode, which changing the owner would clear in part; capabilities after both. */
int unpack_set_metadata(struct unpacker *p, struct archive_entry *entry, int fd)
{
    const struct timespec times[2] = { unpack_mtime(entry), unpack_mtime(entry) };
    uid_t uid;
    gid_t gid;
    int rc = owner_of(entry, &uid, &gid);

    if (rc < 0)
        return rc;
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, archive_entry_mode(entry) & 07777) < 0)
        return -errno;
    rc = set_xattrs(p, entry, fd);
    if (rc < 0)
        return rc;
    return futimens(fd, times) < 0 ? -errno : 0;
}

int unpack_set_metadata_at(struct archive_entry *entry, int dir, const char *base)
{
    const struct timespec times[2] = { unpack_mtime(entry), unpack_mtime(entry) };
    uid_t uid;
    gid_t gid;
    int rc = owner_of(entry, &uid, &gid);

    if (rc < 0)
        return rc;
    if (fchownat(dir, base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (archive_entry_filetype(entry) != AE_IFLNK &&
        fchmodat(dir, base, archive_entry_mode(entry) & 07777, 0) < 0)
        return -errno;
    return utimensat(dir, base, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int unpack_set_dir_times(struct unpacker *p)
{
    size_t at = 0;

    while (at < p->dir_times.len) {
        struct timespec times[2];
        const char *path = (const char *)p->dir_times.ptr + at + sizeof(times[0]);
        int fd;

        memcpy(&times[0], p->dir_times.ptr + at, sizeof(times[0]));
        times[1] = times[0];
        fd = file_open_in_root(p->u->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd >= 0) {                 /* gone when a later entry replaced it */
            (void)futimens(fd, times); /* times are a courtesy */
            close(fd);
        }
        at += sizeof(times[0]) + strlen(path) + 1;
    }
    return 0;
}

/* --- Implicit directories */

static int inherit(int to, int from)
{
    char names[4096], value[4096];
    struct stat st;
    ssize_t len;

    if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
        fchmod(to, st.st_mode & 07777) < 0)
        return -errno;
    len = flistxattr(from, names, sizeof(names));
    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        ssize_t n =
            is_wanted_xattr(names + i) ? fgetxattr(from, names + i, value, sizeof(value)) : -1;

        if (n >= 0 && fsetxattr(to, names + i, value, (size_t)n, 0) < 0)
            return -errno;
    }
    return 0;
}

int unpack_inherit(struct unpack *u, const int *lower_root_fds, size_t count, struct fault *f)
{
    for (const struct omap_node *n = omap_first(&u->implicit); n != NULL; n = omap_next(n)) {
        const char *path = (const char *)omap_key(n).ptr; /* with its NUL */
        int to = file_open_in_root(u->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        int from = -1, rc = 0;

        if (to < 0)
            continue; /* a later entry replaced it */
        for (size_t i = 0; i < count && from < 0; i++)
            from =
                file_open_in_root(lower_root_fds[i], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (from >= 0) {
            rc = inherit(to, from);
            close(from);
        }
        close(to);
        if (rc < 0)
            return fault_system(f, rc, "directory %s", path);
    }
    return 0;
}
