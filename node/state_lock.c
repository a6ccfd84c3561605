#include "node/state_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "node/disk/state_file.h"
#include "node/options.h"

int state_lock_open(const char *state_dir)
{
    char path[OPTIONS_PATH_MAX + 16];
    int rc = state_dir_make(state_dir), lock;

    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof(path), "%s/lock", state_dir);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return -errno;
    return lock;
}

static int control(int lock, int command, struct flock *what)
{
    *what = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET }; /* all of the file */
    while (fcntl(lock, command, what) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int state_lock_take(int lock)
{
    struct flock what;
    int rc = control(lock, F_SETLK, &what);

    return rc == -EACCES || rc == -EAGAIN ? ERR_IN_USE : rc;
}

int state_lock_wait(int lock)
{
    struct flock what;

    return control(lock, F_SETLKW, &what);
}

/* 0: nobody, or somebody whom this process cannot see */
static pid_t holder(int lock)
{
    struct flock what;

    return control(lock, F_GETLK, &what) == 0 && what.l_type != F_UNLCK ? what.l_pid : 0;
}

int state_lock_signal(int lock, int signal)
{
    pid_t pid = holder(lock);
    int fd = pid <= 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    int rc = -ESRCH;

    if (fd < 0)
        return rc;
    /* Asked again: if the holder is the same, the descriptor is of it and of no later process. */
    if (holder(lock) == pid)
        rc = syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
    close(fd);
    return rc;
}
