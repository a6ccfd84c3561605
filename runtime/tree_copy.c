/* tree_copy(): what `cp -a` of a directory's contents does. Hard links are found by inode in a
 * map; a file system boundary is not crossed. Contents go by copy_file_range, which shares
 * blocks where the file system can. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/map.h"
#include "runtime/file.h"
#include "runtime/limits.h"

struct copy {
    dev_t device;
    struct map links; /* inode -> path of its first copy, relative to root_fd */
    int root_fd;
    struct path path; /* of the directory being copied, relative to root_fd; "" = itself */
};

static int copy_xattrs(int from_fd, int to_fd)
{
    char *names = malloc(2 * XATTR_BYTES_MAX);
    char *value;
    ssize_t len;

    if (names == NULL)
        return -ENOMEM;
    value = names + XATTR_BYTES_MAX;
    len = flistxattr(from_fd, names, XATTR_BYTES_MAX);
    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        ssize_t got = fgetxattr(from_fd, names + i, value, XATTR_BYTES_MAX);

        if (strncmp(names + i, "trusted.overlay.", 16) == 0)
            continue; /* the mount's own bookkeeping */
        if (got < 0 || fsetxattr(to_fd, names + i, value, (size_t)got, 0) < 0) {
            if (errno != ENOTSUP && errno != ENODATA) {
                len = -1;
                break;
            }
        }
    }
    free(names);
    return len < 0 && errno != ENOTSUP ? -errno : 0;
}

static int copy_contents(int from_fd, int to_fd)
{
    for (;;) {
        ssize_t n = copy_file_range(from_fd, NULL, to_fd, NULL, 1 << 30, 0);

        if (n == 0)
            return 0;
        if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP))
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    for (;;) { /* file systems that cannot do it among themselves */
        uint8_t chunk[65536];
        ssize_t n = read(from_fd, chunk, sizeof(chunk));
        int rc;

        if (n == 0)
            return 0;
        if (n < 0)
            return -errno;
        rc = file_write_all(to_fd, slice_of(chunk, (size_t)n));
        if (rc < 0)
            return rc;
    }
}

/* Owner before mode: changing the owner clears set-id bits. */
static int set_metadata(int fd, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };

    if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0 ||
        futimens(fd, times) < 0)
        return -errno;
    return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    int from_fd = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int to_fd = -1;
    int rc;

    if (from_fd < 0)
        return -errno;
    to_fd = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    rc = to_fd < 0 ? -errno : copy_contents(from_fd, to_fd);
    if (rc == 0)
        rc = copy_xattrs(from_fd, to_fd);
    if (rc == 0)
        rc = set_metadata(to_fd, st);
    close(from_fd);
    if (to_fd >= 0)
        close(to_fd);
    return rc;
}

static int copy_special(int from_dir, int to_dir, const char *name, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };
    char target[PATH_TEXT_MAX];

    if (S_ISLNK(st->st_mode)) {
        ssize_t len = readlinkat(from_dir, name, target, sizeof(target) - 1);

        if (len < 0)
            return -errno;
        target[len] = '\0';
        if (symlinkat(target, to_dir, name) < 0)
            return -errno;
    } else if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
               fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0) {
        return -errno;
    }
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_dir(struct copy *c, int from_fd, int to_fd);

static int copy_subdir(struct copy *c, int from_dir, int to_dir, const char *name)
{
    size_t path_len = strlen(c->path.text);
    int from_fd, to_fd = -1, rc;

    if (path_len + strlen(name) + 2 > sizeof(c->path.text))
        return -ENAMETOOLONG;
    from_fd = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from_fd < 0)
        return -errno;
    if (mkdirat(to_dir, name, 0700) == 0 || errno == EEXIST)
        to_fd = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = to_fd < 0 ? -errno : 0;
    if (rc == 0) {
        (void)snprintf(c->path.text + path_len, sizeof(c->path.text) - path_len, "%s%s",
                       path_len > 0 ? "/" : "", name);
        rc = copy_dir(c, from_fd, to_fd);
        c->path.text[path_len] = '\0';
        close(to_fd);
    }
    close(from_fd);
    return rc;
}

static int remember_link(struct copy *c, ino_t inode, const char *name)
{
    size_t path_len = strlen(c->path.text);
    char *path = malloc(path_len + strlen(name) + 2);
    int rc;

    if (path == NULL)
        return -ENOMEM;
    (void)sprintf(path, "%s%s%s", c->path.text, path_len > 0 ? "/" : "", name);
    rc = map_set_u64(&c->links, inode, path);
    if (rc < 0)
        free(path);
    return rc;
}

static int copy_entry(struct copy *c, int from_dir, int to_dir, const char *name)
{
    const char *first;
    struct stat st;
    int rc;

    if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return st.st_dev == c->device ? copy_subdir(c, from_dir, to_dir, name) : 0;
    first = st.st_nlink > 1 ? map_get_u64(&c->links, st.st_ino) : NULL;
    if (first != NULL)
        return linkat(c->root_fd, first, to_dir, name, 0) < 0 ? -errno : 0;
    rc = S_ISREG(st.st_mode) ? copy_file(from_dir, to_dir, name, &st)
                             : copy_special(from_dir, to_dir, name, &st);
    return rc == 0 && st.st_nlink > 1 ? remember_link(c, st.st_ino, name) : rc;
}

static int copy_dir(struct copy *c, int from_fd, int to_fd)
{
    int list_fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    struct dirent *entry;
    struct stat st;
    int rc = 0;

    if (dir == NULL) {
        rc = -errno;
        if (list_fd >= 0)
            close(list_fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = copy_entry(c, from_fd, to_fd, entry->d_name);
    }
    if (rc == 0 && errno != 0)
        rc = -errno;
    closedir(dir);
    if (rc == 0)
        rc = copy_xattrs(from_fd, to_fd);
    if (rc == 0)
        rc = fstat(from_fd, &st) < 0 ? -errno : set_metadata(to_fd, &st);
    return rc;
}

int tree_copy(int from_fd, int to_fd)
{
    /* Inode numbers are the kernel's choice, so the seed need not be secret. */
    const struct hash_seed seed = { { 0 } };
    struct copy c = { .root_fd = to_fd, .path = { "" } };
    struct map_iter it = { 0 };
    struct stat st;
    int rc;

    if (fstat(from_fd, &st) < 0)
        return -errno;
    c.device = st.st_dev;
    map_init(&c.links, &seed, UNPACKED_ENTRIES_MAX);
    rc = copy_dir(&c, from_fd, to_fd);
    while (map_next(&c.links, &it))
        free(it.value);
    map_deinit(&c.links);
    return rc;
}
