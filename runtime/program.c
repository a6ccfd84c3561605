#include "runtime/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

/* Exactly these are what crun and runc look for. */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int copy_bytes(int to, int from, off_t len)
{
    while (len > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)len);

        if (n == 0)
            return -EIO; /* it shrank: somebody writes to it */
        if (n < 0 && errno != EINTR)
            return -errno;
        len -= n > 0 ? n : 0;
    }
    return 0;
}

/* Nothing that is open for writing can be executed, so it is opened anew and the first closed. */
static int seal(int fd, int *out)
{
    char path[32];

    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *out = open(path, O_RDONLY | O_CLOEXEC);
    return *out < 0 ? -errno : 0;
}

int program_copy(struct program *p)
{
    int from = open(p->path, O_RDONLY | O_CLOEXEC);
    int to = memfd_create("shoal-program", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rc = from < 0 || to < 0 || fstat(from, &p->from) < 0 ? -errno : 0;

    if (rc == 0)
        rc = copy_bytes(to, from, p->from.st_size);
    if (rc == 0)
        rc = seal(to, &p->fd);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (rc == 0)
        (void)snprintf(p->copy, sizeof(p->copy), "/proc/%d/fd/%d", (int)getpid(), p->fd);
    return rc;
}

void program_drop_copy(struct program *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* Inodes are reused and clocks set back, so all that tells files apart must agree. */
static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

const char *program_to_run(const struct program *p)
{
    struct stat now;

    return p->fd >= 0 && stat(p->path, &now) == 0 && is_same_file(&now, &p->from) ? p->copy
                                                                                  : p->path;
}
