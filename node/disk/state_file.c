/* node/disk/state_file.c - see state_file.h. */
#include "node/disk/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int state_dir_make(const char *dir)
{
    char path[PATH_MAX];
    size_t len = strlen(dir);

    if (len == 0 || len >= sizeof(path))
        return -ENAMETOOLONG;
    memcpy(path, dir, len + 1);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return fd;
}

/* Closes, and reports what a failed close means for what was written. */
static int close_written(int fd, int rc)
{
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            bytes = slice_of(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return 0;
}

static int write_synced(int dir_fd, const char *name, struct slice bytes)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    rc = fchmod(fd, 0600) < 0 ? -errno : 0; /* a leftover may have had another mode */
    if (rc == 0)
        rc = write_all(fd, bytes);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    return close_written(fd, rc);
}

int state_file_write(const char *dir, const char *name, struct slice bytes)
{
    char temp[NAME_MAX + 1];
    int dir_fd, rc;

    if (snprintf(temp, sizeof(temp), "%s.new", name) >= (int)sizeof(temp))
        return -ENAMETOOLONG;
    dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return dir_fd;
    rc = write_synced(dir_fd, temp, bytes);
    if (rc == 0 && renameat(dir_fd, temp, dir_fd, name) < 0)
        rc = -errno;
    if (rc < 0)
        (void)unlinkat(dir_fd, temp, 0); /* a half-written one is of no use; it may hold keys */
    if (rc == 0 && fsync(dir_fd) < 0)
        rc = -errno;
    return close_written(dir_fd, rc);
}

int state_file_read(const char *dir, const char *name, struct buf *out)
{
    int dir_fd = open_dir(dir), fd, rc = 0;

    if (dir_fd < 0)
        return dir_fd;
    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        rc = -errno;
        goto out;
    }
    while (rc == 0) {
        uint8_t chunk[4096];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n == 0)
            break;
        if (n > 0)
            rc = buf_append(out, chunk, (size_t)n);
        else if (errno != EINTR)
            rc = -errno;
        explicit_bzero(chunk, sizeof(chunk)); /* it may hold keys */
    }
    (void)close(fd); /* read only */
out:
    (void)close(dir_fd);
    return rc;
}

int state_file_remove(const char *dir, const char *name)
{
    int dir_fd = open_dir(dir);
    int rc;

    if (dir_fd < 0)
        return dir_fd;
    rc = unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    if (rc == 0 && fsync(dir_fd) < 0)
        rc = -errno;
    return close_written(dir_fd, rc);
}
