/* Names of entries, and the directories that they lie in. A directory is found by
 * openat2(RESOLVE_IN_ROOT), so the kernel does the confinement; that of the last entry stays
 * open, because the next one mostly lies in it too. Those that no entry described are made with
 * plain attributes and noted as implicit. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/unpack_impl.h"

bool unpack_normalize(const char *name, char out[PATH_MAX])
{
    size_t len = 0;

    while (*name != '\0') {
        size_t part = strcspn(name, "/");

        if (part == 2 && memcmp(name, "..", 2) == 0)
            return false;
        if (part > 0 && !(part == 1 && name[0] == '.')) {
            if (part > NAME_MAX || len + part + 2 > PATH_MAX)
                return false;
            if (len > 0)
                out[len++] = '/';
            memcpy(out + len, name, part);
            len += part;
        }
        name += part;
        while (*name == '/')
            name++;
    }
    out[len] = '\0';
    return true;
}

void unpack_forget_parent(struct unpacker *p)
{
    if (p->parent_fd >= 0)
        close(p->parent_fd);
    p->parent_fd = -1;
}

/* Makes what is missing on the way and remembers it as implicit. */
static int make_parents(struct unpacker *p, const char *path)
{
    int root = p->u->root_fd;

    for (const char *slash = path; slash != NULL; slash++) {
        char prefix[PATH_MAX];
        size_t len;
        int fd, rc;

        slash = strchr(slash, '/');
        len = slash == NULL ? strlen(path) : (size_t)(slash - path);
        memcpy(prefix, path, len);
        prefix[len] = '\0';
        fd = file_open_in_root(root, prefix, O_PATH | O_DIRECTORY, 0);
        if (fd >= 0) {
            close(fd);
        } else {
            if (fd != -ENOENT)
                return fd;
            rc = dir_make_in_root(root, prefix, 0755);
            if (rc == 0)
                rc = omap_set(&p->u->implicit, slice_of(prefix, len + 1), p->u);
            if (rc < 0)
                return rc;
        }
        if (slash == NULL)
            break;
    }
    return 0;
}

int unpack_open_parent(struct unpacker *p, const char *path, int *out_fd, const char **out_base)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    int rc;

    *out_base = slash == NULL ? path : slash + 1;
    if (p->parent_fd < 0 || strlen(p->parent) != len || memcmp(p->parent, path, len) != 0) {
        unpack_forget_parent(p);
        memcpy(p->parent, path, len);
        p->parent[len] = '\0';
        p->parent_fd =
            file_open_in_root(p->u->root_fd, len == 0 ? "/" : p->parent, O_RDONLY | O_DIRECTORY, 0);
        if (p->parent_fd == -ENOENT) {
            rc = make_parents(p, p->parent);
            p->parent_fd =
                rc < 0 ? rc
                       : file_open_in_root(p->u->root_fd, p->parent, O_RDONLY | O_DIRECTORY, 0);
        }
        if (p->parent_fd < 0)
            return p->parent_fd;
    }
    *out_fd = p->parent_fd;
    return 0;
}
