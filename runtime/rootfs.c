#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"

#define LOWEST_LAYER 0ULL /* no layer of an image has this number */

/* Containers that run may have it in their root file systems: what is there stays untouched. */
static int make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int rootfs_make_lowest(const struct runtime *rt, struct fault *f)
{
    static const char *const dirs[] = { "dev", "etc", "proc", "sys" };
    static const char *const files[] = { "etc/hostname", "etc/hosts", "etc/resolv.conf" };
    struct path root = path_of("%s/layers/%llu/root", rt->state_dir.text, LOWEST_LAYER);
    int rc = dir_make(root.text, 0755);

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dirs); i++)
        rc = dir_make(path_of("%s/%s", root.text, dirs[i]).text, 0755);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(files); i++)
        rc = make_file(path_of("%s/%s", root.text, files[i]).text);
    return rc < 0 ? fault_system(f, rc, "%s", root.text) : 0;
}

/* "a:b" in a path would be two lower directories; ours have numbers, and the state directory is
 * reached through a descriptor. */
static size_t write_options(const struct container *c, int state_fd, int layers_fd, char *out,
                            size_t cap)
{
    const char *id = c->record.spec.id;
    size_t len = (size_t)snprintf(out, cap,
                                  "upperdir=/proc/self/fd/%d/containers/%s/upper,"
                                  "workdir=/proc/self/fd/%d/containers/%s/work,lowerdir=",
                                  state_fd, id, state_fd, id);

    for (size_t i = c->layer_count; i-- > 0 && len < cap;)
        len += (size_t)snprintf(out + len, cap - len, "/proc/self/fd/%d/%llu/root:", layers_fd,
                                (unsigned long long)c->layers[i].number);
    if (len < cap)
        len += (size_t)snprintf(out + len, cap - len, "/proc/self/fd/%d/%llu/root", layers_fd,
                                LOWEST_LAYER);
    return len;
}

static int mount_at(const struct container *c, const char *target, int state_fd, int layers_fd,
                    struct fault *f)
{
    char options[4096]; /* the kernel takes no more */

    if (write_options(c, state_fd, layers_fd, options, sizeof(options)) >= sizeof(options))
        return fault_set(f, ERR_TOO_LARGE,
                         "container %s: its image has more layers than a mount takes",
                         c->record.spec.id);
    if (mount("overlay", target, "overlay", 0, options) < 0)
        return fault_system(f, -errno, "container %s: mounting its %zu layers", c->record.spec.id,
                            c->layer_count);
    return 0;
}

int rootfs_mount(const struct container *c, struct fault *f)
{
    struct path target = path_of("%s/rootfs", c->run_dir.text);
    const char *state = c->rt->state_dir.text;
    int rc = dir_make(target.text, 0755);
    int state_fd, layers_fd;

    if (rc < 0)
        return fault_system(f, rc, "%s", target.text);
    state_fd = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    layers_fd = state_fd < 0 ? -1 : openat(state_fd, "layers", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (layers_fd < 0)
        rc = fault_system(f, -errno, "%s/layers", state);
    else
        rc = mount_at(c, target.text, state_fd, layers_fd, f);
    if (layers_fd >= 0)
        close(layers_fd);
    if (state_fd >= 0)
        close(state_fd);
    return rc;
}
