/* Replacing is write to a temporary name, fsync, rename, fsync of the directory. */
#include "runtime/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

struct path path_of(const char *format, ...)
{
    struct path p;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(p.text, sizeof(p.text), format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof(p.text));
    return p;
}

int file_read_fd(int fd, struct buf *out)
{
    for (;;) {
        uint8_t chunk[16384];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        int rc;

        if (got == 0)
            return 0;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        rc = buf_append(out, chunk, (size_t)got);
        if (rc < 0)
            return rc;
    }
}

int file_read(int dir_fd, const char *path, struct buf *out)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    rc = file_read_fd(fd, out);
    close(fd);
    return rc;
}

int file_write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);

        if (put < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        bytes.ptr += put;
        bytes.len -= (size_t)put;
    }
    return 0;
}

static int write_new(const char *path, struct slice bytes, mode_t mode,
                     enum file_durability durability)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc;

    if (fd < 0)
        return -errno;
    rc = file_write_all(fd, bytes);
    if (rc == 0 && durability == FILE_SYNCED && fdatasync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

int file_write(const char *path, struct slice bytes, mode_t mode)
{
    return write_new(path, bytes, mode, FILE_CACHED);
}

int dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int file_replace(const char *path, struct slice bytes, mode_t mode, enum file_durability durability)
{
    struct path temporary = path_of("%s.new", path);
    struct path parent = path_of("%s", path);
    int rc = write_new(temporary.text, bytes, mode, durability);

    if (rc == 0 && rename(temporary.text, path) < 0)
        rc = -errno;
    if (rc < 0) {
        (void)unlink(temporary.text); /* it may not be there */
        return rc;
    }
    if (durability != FILE_SYNCED)
        return 0;
    *strrchr(parent.text, '/') = '\0';
    return dir_sync(parent.text);
}

int dir_make(const char *path, mode_t mode)
{
    struct path p = path_of("%s", path);

    for (char *slash = strchr(p.text + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(p.text, mode) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(p.text, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int each_entry(DIR *dir, int (*each)(void *arg, int dir_fd, const char *name), void *arg)
{
    struct dirent *entry;

    while ((errno = 0, entry = readdir(dir)) != NULL) {
        int rc;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = each(arg, dirfd(dir), entry->d_name);
        if (rc < 0)
            return rc;
    }
    return -errno;
}

static int each_entry_of_fd(int fd, int (*each)(void *arg, int dir_fd, const char *name), void *arg)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    int rc;

    if (dir == NULL) {
        rc = -errno;
        close(fd);
        return rc;
    }
    rc = each_entry(dir, each, arg);
    closedir(dir);
    return rc;
}

int dir_each(const char *path, int (*each)(void *arg, int dir_fd, const char *name), void *arg)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : each_entry_of_fd(fd, each, arg);
}

/* Depth is bounded by what the kernel lets a path be; the deepest tree that an unpacked layer
 * can hold is limited by PATH_MAX, so recursion is too. */
static int remove_entry(void *arg, int dir_fd, const char *name)
{
    const dev_t *device = arg;
    struct stat st;
    int fd, rc;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0 || st.st_dev != *device) {
        close(fd);
        return -EBUSY;
    }
    rc = each_entry_of_fd(fd, remove_entry, arg);
    if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = -errno;
    return rc;
}

int tree_remove(const char *path)
{
    struct path parent = path_of("%s", path);
    char *slash = strrchr(parent.text, '/');
    struct stat st;
    int fd, rc;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    CHECK(slash != NULL);
    *slash = '\0';
    fd = open(parent.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = fstat(fd, &st) < 0 ? -errno : remove_entry(&st.st_dev, fd, slash + 1);
    close(fd);
    return rc;
}

int dir_clear(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 ? -errno : dir_each(path, remove_entry, &st.st_dev);
}

int file_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                            .mode = mode,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    long fd;

    if ((flags & (O_CREAT | O_TMPFILE)) == 0)
        how.mode = 0;
    do { /* -EAGAIN: something was renamed below us meanwhile */
        fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd < 0 ? -errno : (int)fd;
}

int dir_make_in_root(int root_fd, const char *path, mode_t mode)
{
    struct path p = path_of("%s", path);
    int dir = file_open_in_root(root_fd, "/", O_PATH | O_DIRECTORY, 0);
    char *save = NULL;

    /* Opened from the root each time, so that a link in the middle is resolved inside it. */
    for (char *part = strtok_r(p.text, "/", &save); part != NULL && dir >= 0;
         part = strtok_r(NULL, "/", &save)) {
        size_t prefix_len = (size_t)(part - p.text) + strlen(part);
        struct path prefix = path_of("%.*s", (int)prefix_len, path);

        if (mkdirat(dir, part, mode) < 0 && errno != EEXIST) {
            int rc = -errno;

            close(dir);
            return rc;
        }
        close(dir);
        dir = file_open_in_root(root_fd, prefix.text, O_PATH | O_DIRECTORY, 0);
    }
    if (dir < 0)
        return dir;
    close(dir);
    return 0;
}
