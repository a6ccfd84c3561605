/* unshare(2), bind mount, setns(2). */
#include "overlaynet/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/check.h"

static int open_self(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return fd;
}

int netns_enter(int fd, int *out_home)
{
    int home = open_self();

    if (home < 0)
        return home;
    if (setns(fd, CLONE_NEWNET) < 0) {
        int rc = -errno;

        (void)close(home); /* read only */
        return rc;
    }
    *out_home = home;
    return 0;
}

void netns_leave(int home)
{
    int rc = setns(home, CLONE_NEWNET);

    CHECK(rc == 0); /* going on in a container's namespace would configure the wrong host */
    (void)close(home);
}

int netns_open_existing(const char *path)
{
    struct statfs fs;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC)
        return fd;
    (void)close(fd);
    return -ENOENT; /* a plain file: the mount was lost or never made */
}

/* A new namespace, mounted on the file. */
static int create(const char *path)
{
    int home = open_self(), fd = -1, rc = 0;

    if (home < 0)
        return home;
    fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0) {
        rc = -errno;
        (void)close(home);
        return rc;
    }
    (void)close(fd);
    if (unshare(CLONE_NEWNET) < 0) {
        rc = -errno;
        (void)close(home);
        goto out;
    }
    if (mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0)
        rc = -errno;
    netns_leave(home);
out:
    if (rc < 0)
        (void)unlink(path); /* what we made; a file that stays does no harm */
    return rc;
}

int netns_open(const char *path, int *out_created)
{
    int fd = netns_open_existing(path);
    int rc;

    if (out_created != NULL)
        *out_created = 0;
    if (fd != -ENOENT)
        return fd;
    rc = create(path);
    if (rc < 0)
        return rc;
    if (out_created != NULL)
        *out_created = 1;
    return netns_open_existing(path);
}

int netns_delete(const char *path)
{
    if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        return -errno;
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int netns_sysctl(const char *name, const char *value)
{
    char path[256];
    int fd, rc = 0;

    (void)snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, value, strlen(value)) < 0)
        rc = -errno;
    (void)close(fd);
    return rc;
}
