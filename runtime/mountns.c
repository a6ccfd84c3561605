/* A namespace can be pinned only by a thread outside it, on a mount that does not propagate into
 * it: so one thread makes the namespace and waits, while the opener binds its /proc entry. */
#include "runtime/mountns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uv.h>

#include "base/check.h"
#include "base/err.h"

#define CGROUP_ROOT  "/sys/fs/cgroup"
#define PIN_ATTEMPTS CPU_SETSIZE /* so that every processor has its turn */

struct maker {
    sem_t made, pinned;
    const char *view; /* a directory to build on */
    size_t attempt;
    pid_t tid;
    int err;
};

/* One controller's hierarchy, or a link such as "cpuacct -> cpu,cpuacct", into the view. */
static int show_entry(void *arg, int dir_fd, const char *name)
{
    const char *view = arg;
    struct path from = path_of(CGROUP_ROOT "/%s", name), to = path_of("%s/%s", view, name);
    char target[256];
    ssize_t len;

    if (strcmp(name, "unified") == 0)
        return 0;
    len = readlinkat(dir_fd, name, target, sizeof(target) - 1);
    if (len >= 0) {
        target[len] = '\0';
        return symlink(target, to.text) < 0 ? -errno : 0;
    }
    if (mkdir(to.text, 0755) < 0)
        return -errno;
    return mount(from.text, to.text, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

/* Unmounting the v2 tree is not enough: its directory would stay, and crun would take it for a
 * controller of v1. So /sys/fs/cgroup is covered by a copy without it. */
static int make(const char *view)
{
    int rc;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("cgroup", view, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
        return -errno;
    rc = dir_each(CGROUP_ROOT, show_entry, (void *)(uintptr_t)view);
    if (rc < 0)
        return rc;
    return mount(view, CGROUP_ROOT, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

/* Moves the calling thread to the n-th of the processors that it may run on, or leaves it where it
 * is. */
static void move_to_processor(size_t n)
{
    cpu_set_t may, one;

    if (sched_getaffinity(0, sizeof(may), &may) < 0)
        return;
    n %= (size_t)CPU_COUNT(&may);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &may) || n-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof(one), &one); /* best effort */
        return;
    }
}

static void maker_main(void *arg)
{
    struct maker *m = arg;

    move_to_processor(m->attempt);
    m->tid = (pid_t)syscall(SYS_gettid);
    m->err = make(m->view);
    CHECK(sem_post(&m->made) == 0);
    while (sem_wait(&m->pinned) < 0)
        CHECK(errno == EINTR);
}

/* Makes the directory a mount of its own that propagates nowhere. */
static int isolate_dir(const char *dir)
{
    return mount(dir, dir, NULL, MS_BIND, NULL) < 0 || mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0
               ? -errno
               : 0;
}

static int pin(const struct maker *m, const char *file)
{
    struct path source = path_of("/proc/self/task/%d/ns/mnt", (int)m->tid);
    int fd = open(file, O_RDONLY | O_CREAT | O_CLOEXEC, 0400);
    if (fd < 0)
        return -errno;
    close(fd);
    return mount(source.text, file, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int make_and_pin(const struct mountns *ns, const char *file, size_t attempt, struct fault *f)
{
    struct path view = path_of("%s/cgroup", ns->dir.text);
    struct maker m = { .view = view.text, .attempt = attempt };
    uv_thread_t thread;
    int rc;

    rc = dir_make(view.text, 0700);
    if (rc < 0)
        return fault_system(f, rc, "%s", view.text);
    CHECK(sem_init(&m.made, 0, 0) == 0);
    CHECK(sem_init(&m.pinned, 0, 0) == 0);
    rc = uv_thread_create(&thread, maker_main, &m);
    if (rc < 0)
        return fault_system(f, rc, "mount namespace");
    while (sem_wait(&m.made) < 0)
        CHECK(errno == EINTR);
    rc = m.err < 0 ? fault_system(f, m.err, "mount namespace without /sys/fs/cgroup/unified")
                   : pin(&m, file);
    if (rc < 0 && m.err == 0)
        fault_system(f, rc, "%s: cannot pin the mount namespace", file);
    CHECK(sem_post(&m.pinned) == 0);
    CHECK(uv_thread_join(&thread) == 0);
    sem_destroy(&m.made);
    sem_destroy(&m.pinned);
    return rc;
}

static int open_pinned(struct mountns *ns, const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    /* Only a namespace can answer this; a leftover empty file cannot. */
    if (syscall(SYS_ioctl, fd, 0xb703UL /* NS_GET_NSTYPE */) != CLONE_NEWNS) {
        close(fd);
        return -ENOENT;
    }
    ns->fd = fd;
    return 0;
}

int mountns_open(struct mountns *ns, const char *run_dir, struct fault *f)
{
    struct path file = path_of("%s/ns/mnt", run_dir);
    int rc;

    ns->fd = -1;
    ns->dir = path_of("%s/ns", run_dir);
    rc = dir_make(ns->dir.text, 0700);
    if (rc < 0)
        return fault_system(f, rc, "%s", ns->dir.text);
    rc = open_pinned(ns, file.text);
    if (rc == -ENOENT) {
        rc = isolate_dir(ns->dir.text);
        if (rc < 0)
            return fault_system(f, rc, "%s", ns->dir.text);
        /* The kernel refuses to pin a namespace that is older than ours, and since 6.18 it
         * numbers them per processor, from ranges of thousands: a new one may seem older, unless
         * it was made on the processor where ours was, or luckily on another one. */
        for (size_t attempt = 0; attempt < PIN_ATTEMPTS; attempt++) {
            rc = make_and_pin(ns, file.text, attempt, f);
            if (rc != -EINVAL)
                break;
        }
        if (rc < 0)
            return rc;
        rc = open_pinned(ns, file.text);
    }
    return rc < 0 ? fault_system(f, rc, "%s", file.text) : 0;
}

int mountns_enter(const struct mountns *ns)
{
    if (ns->fd < 0)
        return 0;
    /* The kernel moves only who shares root and working directory with nobody. */
    return unshare(CLONE_FS) < 0 || setns(ns->fd, CLONE_NEWNS) < 0 ? -errno : 0;
}

void mountns_close(struct mountns *ns, enum mountns_pin what)
{
    struct path file = path_of("%s/mnt", ns->dir.text);

    if (ns->fd < 0)
        return;
    close(ns->fd);
    ns->fd = -1;
    if (what != MOUNTNS_UNPIN)
        return;
    (void)umount2(file.text, MNT_DETACH); /* best effort: the next open copes with leftovers */
    (void)unlink(file.text);
    (void)umount2(ns->dir.text, MNT_DETACH);
    (void)unlink(file.text); /* below that mount, from a pin that failed */
    (void)rmdir(path_of("%s/cgroup", ns->dir.text).text);
    (void)rmdir(ns->dir.text);
}
