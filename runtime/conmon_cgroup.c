/* The roots are held open: on a hybrid host the runtime's threads live in mounts without the v2
 * tree (mountns.h), and a monitor has to leave the daemon's group there, too. */
#include "runtime/conmon_cgroup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/file.h"

#define ROOT         "/sys/fs/cgroup"
#define NAME         "_conmon"
#define ADD_ATTEMPTS 5 /* another daemon with the same parent may remove it meanwhile */

const char *const *conmon_cgroup_trees(enum cgroup_layout layout)
{
    static const char *const v2[] = { ".", NULL };
    /* Not cpuset: its groups take no members before they have processors, and systemd leaves
     * services in its root. "unified" is there on hybrid hosts, which otherwise are as v1. */
    static const char *const v1[] = { "systemd", "cpu",     "cpuacct", "memory", "pids",
                                      "blkio",   "devices", "unified", NULL };

    static_assert(ARRAY_LEN(v1) - 1 <= CONMON_CGROUP_TREES_MAX, "each can be open");
    return layout == CGROUP_V2 ? v2 : v1;
}

/* "cpu" and "cpuacct" may be two names of one. */
static bool has_tree(const struct conmon_cgroup *c, int fd)
{
    struct stat st, other;

    if (fstat(fd, &st) < 0)
        return false;
    for (size_t i = 0; i < c->tree_count; i++) {
        if (fstat(c->trees[i], &other) == 0 && other.st_dev == st.st_dev)
            return true;
    }
    return false;
}

int conmon_cgroup_open(struct conmon_cgroup *c, enum cgroup_layout layout, const char *parent,
                       struct fault *f)
{
    const char *const *names = conmon_cgroup_trees(layout);

    *c = (struct conmon_cgroup){ .parent = parent };
    for (size_t i = 0; names[i] != NULL; i++) {
        struct path p = path_of(ROOT "/%s", names[i]);
        int fd = open(p.text, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0) {
            int rc = fault_system(f, -errno, "%s", p.text);

            conmon_cgroup_close(c);
            return rc;
        }
        if (has_tree(c, fd))
            close(fd);
        else
            c->trees[c->tree_count++] = fd;
    }
    return 0;
}

void conmon_cgroup_close(struct conmon_cgroup *c)
{
    for (size_t i = 0; i < c->tree_count; i++)
        close(c->trees[i]);
    c->tree_count = 0;
}

/* Every directory on the way; what is there is success. */
static int make(int tree, const char *path)
{
    char part[PATH_TEXT_MAX];
    size_t len = 0;

    do {
        len += 1 + strcspn(path + len + 1, "/");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        if (mkdirat(tree, part, 0755) < 0 && errno != EEXIST)
            return -errno;
    } while (path[len] != '\0');
    return 0;
}

static int write_pid(int tree, const char *path, pid_t pid)
{
    struct path procs = path_of("%s/cgroup.procs", path);
    char text[32];
    int len = snprintf(text, sizeof(text), "%d", (int)pid);
    int fd = openat(tree, procs.text, O_WRONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return -errno;
    rc = write(fd, text, (size_t)len) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static struct path path_in_tree(const struct conmon_cgroup *c)
{
    return path_of(".%s/" NAME, c->parent); /* as the roots are descriptors */
}

int conmon_cgroup_add(const struct conmon_cgroup *c, pid_t pid, struct fault *f)
{
    struct path path = path_in_tree(c);

    for (size_t i = 0; i < c->tree_count; i++) {
        int rc = write_pid(c->trees[i], path.text, pid);

        for (int n = 0; n < ADD_ATTEMPTS && (rc == -ENOENT || rc == -ENODEV); n++) {
            rc = make(c->trees[i], path.text);
            if (rc == 0)
                rc = write_pid(c->trees[i], path.text, pid);
        }
        if (rc < 0)
            return fault_system(f, rc, "control group %s/" NAME ": cannot take the monitor in",
                                c->parent);
    }
    return 0;
}

void conmon_cgroup_remove(const struct conmon_cgroup *c)
{
    struct path path = path_in_tree(c), parent = path_of(".%s", c->parent);

    for (size_t i = 0; i < c->tree_count; i++) { /* both fail when somebody is in it */
        (void)unlinkat(c->trees[i], path.text, AT_REMOVEDIR);
        (void)unlinkat(c->trees[i], parent.text, AT_REMOVEDIR);
    }
}
