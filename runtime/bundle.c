/* The bundle of a container: its root file system, the sources of its mounts, the files that are
 * mounted over /etc, and config.json. On a thread; launch.c says in which order. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "runtime/launch.h"
#include "runtime/rootfs.h"

#define USERDB_BYTES_MAX      (4 * MIB)
#define RESOLV_BYTES_MAX      (64 * KIB)
#define CONFIG_JSON_BYTES_MAX (32 * MIB)

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static const char *id_of(const struct container *c)
{
    return c->record.spec.id;
}

/* --- Root file system */

static int open_root(const struct container *c)
{
    struct path p = path_of("%s/rootfs", c->run_dir.text);
    int fd = open(p.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return fd;
}

static void read_in_root(int root_fd, const char *path, struct buf *out)
{
    int fd = file_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        (void)!file_read_fd(fd, out); /* beyond the bound: what fitted counts */
    close(fd);
}

int launch_user(const struct container *c, const char *user_text, const struct str_list *groups,
                struct user *out, struct fault *f)
{
    int root = open_root(c);
    struct buf passwd, group;
    int rc;

    if (root < 0)
        return fault_system(f, root, "container %s: root file system", id_of(c));
    buf_init(&passwd, USERDB_BYTES_MAX);
    buf_init(&group, USERDB_BYTES_MAX);
    read_in_root(root, "/etc/passwd", &passwd);
    read_in_root(root, "/etc/group", &group);
    rc = user_resolve(user_text, groups, buf_slice(&passwd), buf_slice(&group), out, f);
    buf_deinit(&passwd);
    buf_deinit(&group);
    close(root);
    return rc < 0 ? fault_prefix(f, rc, "container %s", id_of(c)) : 0;
}

/* As Docker, which makes a working directory that is missing. A read-only root has it or not. */
static int make_working_dir(const struct container *c, struct fault *f)
{
    int root = open_root(c);
    int rc;

    if (root < 0)
        return fault_system(f, root, "container %s: root file system", id_of(c));
    rc = dir_make_in_root(root, spec_working_dir(&c->record.spec, &c->image), 0755);
    close(root);
    return rc < 0 ? fault_system(f, rc, "container %s: working directory %s", id_of(c),
                                 spec_working_dir(&c->record.spec, &c->image))
                  : 0;
}

/* --- Sources of mounts */

struct sources {
    struct spec_source *items;
    struct path *paths;
    size_t count;
};

static int use_volume(struct container *c, const char *name, const struct container_mount *m,
                      const char *target, struct path *out, struct fault *f)
{
    int root = m != NULL && m->no_copy ? -1 : open_root(c);
    int image_fd = root < 0 ? -1 : file_open_in_root(root, target, O_RDONLY | O_DIRECTORY, 0);
    int volume_fd, fd, rc;

    rc = volume_use(&c->rt->volumes, name, image_fd < 0 ? -1 : image_fd, out, f);
    if (image_fd >= 0)
        close(image_fd);
    if (root >= 0)
        close(root);
    if (rc < 0 || m == NULL || text_of(m->subpath)[0] == '\0')
        return rc;
    volume_fd = open(out->text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = volume_fd < 0 ? -errno : file_open_in_root(volume_fd, m->subpath, O_PATH, 0);
    if (volume_fd >= 0)
        close(volume_fd);
    if (fd < 0)
        return fault_system(f, ERR_INVALID, "volume %s: subpath %s: %s", name, m->subpath,
                            err_text(fd));
    close(fd);
    *out = path_of("%s/%s", out->text, m->subpath);
    return 0;
}

static int find_bind(const struct container *c, const struct container_mount *m, struct path *out,
                     struct fault *f)
{
    struct stat st;
    int rc;

    *out = path_of("%s", m->source);
    if (stat(m->source, &st) == 0)
        return 0;
    if (errno == ENOENT && m->create_mountpoint) {
        rc = dir_make(m->source, 0755);
        return rc < 0 ? fault_system(f, rc, "bind source %s", m->source) : 0;
    }
    return fault_set(f, ERR_INVALID,
                     "container %s: bind source %s: %s on this host; create it first, or mount a "
                     "volume",
                     id_of(c), m->source, strerror(errno));
}

static int find_source(struct container *c, size_t i, struct spec_source *s, struct path *path,
                       struct fault *f)
{
    const struct container_mount *m = &c->record.spec.mounts.items[i];
    const char *name = text_of(m->source);
    int rc = 0;

    *s = (struct spec_source){ .target = m->target, .mount = m, .host_path = path->text };
    switch (m->kind) {
    case CONTAINER_MOUNT_TMPFS:
        s->host_path = NULL;
        break;
    case CONTAINER_MOUNT_BIND:
        rc = find_bind(c, m, path, f);
        break;
    case CONTAINER_MOUNT_VOLUME:
        if (name[0] == '\0')
            name = str_map_get(&c->record.volumes, m->target);
        rc = use_volume(c, name, m, m->target, path, f);
        break;
    }
    return rc;
}

void bundle_unuse_volumes(const struct container *c, size_t mount_count, size_t image_count)
{
    const struct container_spec *spec = &c->record.spec;
    size_t seen = 0;

    for (size_t i = 0; i < spec->mounts.count && i < mount_count; i++) {
        const struct container_mount *m = &spec->mounts.items[i];

        if (m->kind != CONTAINER_MOUNT_VOLUME)
            continue;
        volume_unuse(&c->rt->volumes, text_of(m->source)[0] != '\0'
                                          ? m->source
                                          : str_map_get(&c->record.volumes, m->target));
    }
    for (size_t i = 0; i < c->record.volumes.count && seen < image_count; i++) {
        if (!launch_is_mounted_over(spec, c->record.volumes.items[i].key)) {
            volume_unuse(&c->rt->volumes, c->record.volumes.items[i].value);
            seen++;
        }
    }
}

/* All sources, or none in use. The caller frees both arrays in any case. */
static int find_sources(struct container *c, struct sources *out, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    size_t max = spec->mounts.count + c->record.volumes.count, image_count = 0;
    int rc = 0;

    out->count = 0;
    out->items = calloc(max + 1, sizeof(*out->items));
    out->paths = calloc(max + 1, sizeof(*out->paths));
    if (out->items == NULL || out->paths == NULL)
        return fault_system(f, -ENOMEM, "container %s", id_of(c));
    for (size_t i = 0; rc == 0 && i < spec->mounts.count; i++) {
        rc = find_source(c, i, &out->items[i], &out->paths[i], f);
        out->count += rc == 0;
    }
    if (rc < 0) {
        bundle_unuse_volumes(c, out->count, 0);
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < c->record.volumes.count; i++) {
        const struct str_map_item *v = &c->record.volumes.items[i];
        struct path *path = &out->paths[out->count];

        if (launch_is_mounted_over(spec, v->key))
            continue;
        rc = use_volume(c, v->value, NULL, v->key, path, f);
        if (rc < 0) {
            bundle_unuse_volumes(c, spec->mounts.count, image_count);
            return rc;
        }
        out->items[out->count++] =
            (struct spec_source){ .target = v->key, .host_path = path->text };
        image_count++;
    }
    return 0;
}

/* --- Files of the bundle */

static int write_text(const struct container *c, const char *name, struct buf *text, int rc,
                      struct fault *f)
{
    struct path p = path_of("%s/%s", c->run_dir.text, name);

    if (rc == 0)
        rc = file_write(p.text, buf_slice(text), 0644);
    buf_clear(text);
    return rc < 0 ? fault_system(f, rc, "%s", p.text) : 0;
}

static int write_etc(const struct container *c, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    struct buf text, resolv;
    int rc;

    buf_init(&text, MIB);
    buf_init(&resolv, RESOLV_BYTES_MAX);
    rc = write_text(c, "hosts", &text, spec_hosts_text(spec, &text), f);
    if (rc == 0)
        rc = write_text(c, "hostname", &text, spec_hostname_text(spec, &text), f);
    (void)!file_read(AT_FDCWD, "/etc/resolv.conf",
                     &resolv); /* a host without one has no resolvers */
    if (rc == 0)
        rc = write_text(c, "resolv.conf", &text, spec_resolv_text(spec, buf_slice(&resolv), &text),
                        f);
    buf_deinit(&text);
    buf_deinit(&resolv);
    return rc;
}

static int write_configs(const struct container *c, struct fault *f)
{
    const struct container_file_list *configs = &c->record.spec.configs;

    for (size_t i = 0; i < configs->count; i++) {
        const struct container_file *file = &configs->items[i];
        struct path p = path_of("%s/config.%zu", c->run_dir.text, i);
        int rc = file_write(p.text, bytes_slice(&file->bytes), 0600);

        if (rc == 0 && (chown(p.text, file->uid, file->gid) < 0 ||
                        chmod(p.text, file->mode == 0 ? 0444 : file->mode) < 0))
            rc = -errno;
        if (rc < 0)
            return fault_system(f, rc, "%s", p.text);
    }
    return 0;
}

static int check_secrets(const struct container *c, struct fault *f)
{
    struct path dir = launch_secrets_dir(c);

    if (c->record.spec.secrets.count > 0 && access(dir.text, F_OK) < 0)
        return fault_set(f, ERR_INVALID,
                         "container %s: its secrets were only in memory and went with a reboot; "
                         "remove it and create it again",
                         id_of(c));
    return 0;
}

/* The namespace was made by a process that lives in the host's mounts; ours may be others. */
void launch_netns_path(const struct container *c, char out[PATH_TEXT_MAX])
{
    const char *path = text_of(c->record.spec.netns_path);
    bool prefix = c->rt->mountns.fd >= 0 && path[0] == '/' && strncmp(path, "/proc/", 6) != 0;

    if (prefix)
        (void)snprintf(out, PATH_TEXT_MAX, "/proc/%d/root%s", (int)c->rt->daemon_pid, path);
    else
        (void)snprintf(out, PATH_TEXT_MAX, "%s", path);
}

void launch_spec_input(const struct container *c, struct spec_input *in)
{
    *in = (struct spec_input){ .spec = &c->record.spec,
                               .image = &c->image,
                               .cgroup_path = c->cgroup_path,
                               .init_path = c->record.spec.init ? c->rt->init_path : NULL,
                               .cgroup_v2 = c->rt->cgroup.layout == CGROUP_V2,
                               .can_limit_swap = c->rt->cgroup.can_limit_swap,
                               .can_read_only_deep = c->rt->oci.is_crun };
}

/* Without the program the OCI runtime compiles the profile itself: slower, not less safe. */
static int find_seccomp_program(const struct container *c, struct buf *out, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    cap_set caps;
    int rc;

    if (!c->rt->oci.is_crun || spec->seccomp != CONTAINER_SECCOMP_DEFAULT)
        return 0;
    rc = spec_caps(spec, &caps, f);
    if (rc < 0)
        return rc;
    rc = seccomp_cache_get(&c->rt->seccomp, caps, out);
    if (rc < 0) {
        buf_clear(out);
        log_warn("runtime", "container %s: its system call filter is left to %s to compile: %s",
                 id_of(c), c->rt->oci.version, err_text(rc));
    }
    return 0;
}

/* Where the files of secrets lie, and behind them those of configs. */
struct file_paths {
    struct path *paths;
    const char **names;
};

static void free_file_paths(struct file_paths *p)
{
    free(p->paths);
    free(p->names);
}

static int find_file_paths(const struct container *c, struct file_paths *out)
{
    const struct container_spec *spec = &c->record.spec;
    struct path secrets = launch_secrets_dir(c);
    size_t count = spec->secrets.count + spec->configs.count;

    out->paths = calloc(count + 1, sizeof(*out->paths));
    out->names = calloc(count + 1, sizeof(*out->names));
    if (out->paths == NULL || out->names == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        out->paths[i] = i < spec->secrets.count
                            ? path_of("%s/%zu", secrets.text, i)
                            : path_of("%s/config.%zu", c->run_dir.text, i - spec->secrets.count);
        out->names[i] = out->paths[i].text;
    }
    return 0;
}

/* Of an input that is complete but for the seccomp program. */
static int write_input(struct container *c, struct spec_input *in, struct fault *f)
{
    struct path config = path_of("%s/config.json", c->run_dir.text);
    struct buf text, program;
    int rc;

    buf_init(&text, CONFIG_JSON_BYTES_MAX);
    buf_init(&program, 2 * SECCOMP_PROGRAM_BYTES_MAX);
    rc = find_seccomp_program(c, &program, f);
    in->seccomp_program = program.len > 0 ? (const char *)program.ptr : NULL;
    if (rc == 0)
        rc = spec_config_json(in, &text, f);
    if (rc == 0) {
        rc = file_write(config.text, buf_slice(&text), 0600);
        if (rc < 0)
            fault_system(f, rc, "%s", config.text);
    }
    buf_deinit(&text);
    buf_deinit(&program);
    return rc;
}

static int write_config_json(struct container *c, const struct sources *sources, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    struct path rootfs = path_of("%s/rootfs", c->run_dir.text);
    struct path hosts = path_of("%s/hosts", c->run_dir.text);
    struct path resolv = path_of("%s/resolv.conf", c->run_dir.text);
    struct path hostname = path_of("%s/hostname", c->run_dir.text);
    struct file_paths files = { 0 };
    struct user *user = calloc(1, sizeof(*user));
    int rc = find_file_paths(c, &files);
    char netns[PATH_TEXT_MAX];
    struct spec_input in;

    if (rc < 0 || user == NULL)
        rc = fault_system(f, -ENOMEM, "container %s", id_of(c));
    else
        rc = launch_user(c, spec_user_text(spec, &c->image), &spec->groups, user, f);
    if (rc == 0) {
        launch_spec_input(c, &in);
        launch_netns_path(c, netns);
        in.user = user;
        in.rootfs = rootfs.text;
        in.netns_path = netns;
        in.hosts_path = hosts.text;
        in.resolv_path = resolv.text;
        in.hostname_path = hostname.text;
        in.sources = sources->items;
        in.source_count = sources->count;
        in.secret_paths = files.names;
        in.config_paths = files.names + spec->secrets.count;
        rc = write_input(c, &in, f);
    }
    free_file_paths(&files);
    free(user);
    return rc;
}

int bundle_prepare(struct container *c, struct fault *f)
{
    struct sources sources = { 0 };
    int rc = rootfs_mount(c, f);

    if (rc == 0)
        rc = check_secrets(c, f);
    if (rc == 0)
        rc = make_working_dir(c, f);
    if (rc == 0)
        rc = write_etc(c, f);
    if (rc == 0)
        rc = write_configs(c, f);
    if (rc == 0)
        rc = find_sources(c, &sources, f);
    if (rc == 0) {
        rc = write_config_json(c, &sources, f);
        if (rc < 0)
            bundle_unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    }
    free(sources.items);
    free(sources.paths);
    return rc;
}
