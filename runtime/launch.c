/* Starting a container and clearing up after it, on a thread. In order, each step undone by
 * launch_clean_up() if a later one fails:
 *
 *     RUN/containers/ID/           bundle directory; `lock` in it is held by conmon from here on
 *     overlay at rootfs/           the image's layers below the container's own upper/
 *     volumes, files in /etc       sources of mounts
 *     config.json                  spec.c
 *     conmon -> crun create        record: starting, with both pids
 *     crun start                   record: running
 *
 * A daemon that died in between left a record from which launch_recover() knows where. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/process.h"
#include "runtime/runtime_impl.h"

#define USERDB_BYTES_MAX      (4 * MIB)
#define RESOLV_BYTES_MAX      (64 * KIB)
#define CONFIG_JSON_BYTES_MAX (32 * MIB)

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

wall_ns runtime_wall_now(void)
{
    struct timespec ts;

    CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return (wall_ns)ts.tv_sec * (wall_ns)NS_PER_S + ts.tv_nsec;
}

static const char *id_of(const struct container *c)
{
    return c->record.spec.id;
}

static struct path secrets_dir(const struct container *c)
{
    return path_of("%s/secrets/%s", c->rt->run_dir.text, id_of(c));
}

static struct path exit_path(const struct container *c)
{
    return path_of("%s/exits/%s", c->rt->state_dir.text, id_of(c));
}

/* --- Create */

static int write_secrets(struct container *c, struct fault *f)
{
    struct container_file_list *secrets = &c->record.spec.secrets;
    struct path dir = secrets_dir(c);
    int rc;

    if (secrets->count == 0)
        return 0;
    rc = dir_make(dir.text, 0700);
    for (size_t i = 0; rc == 0 && i < secrets->count; i++) {
        struct container_file *s = &secrets->items[i];
        struct path p = path_of("%s/%zu", dir.text, i);

        rc = file_write(p.text, bytes_slice(&s->bytes), 0600);
        if (rc == 0 &&
            (chown(p.text, s->uid, s->gid) < 0 || chmod(p.text, s->mode == 0 ? 0444 : s->mode) < 0))
            rc = -errno;
        sodium_memzero(s->bytes.ptr, s->bytes.len);
        bytes_clear(&s->bytes);
    }
    return rc < 0 ? fault_system(f, rc, "container %s: secrets", id_of(c)) : 0;
}

/* A volume for the mount, or for what the image declares at `target` when `m` is NULL. */
static int attach_volume(struct container *c, const struct container_mount *m, const char *target,
                         struct fault *f)
{
    struct volume_wish wish = { .now = c->record.created };
    char name[CONTAINER_NAME_LEN_MAX + 1];
    int rc;

    if (m != NULL) {
        wish.name = m->source;
        wish.labels = &m->labels;
        wish.options = &m->driver_options;
    }
    rc = volume_ensure(&c->rt->volumes, &wish, name, f);
    if (rc == 0)
        rc = volume_ref(&c->rt->volumes, name, f);
    if (rc == 0 && text_of(wish.name)[0] == '\0') {
        rc = str_map_set(&c->record.volumes, target, name);
        if (rc < 0)
            fault_system(f, rc, "container %s", id_of(c));
    }
    return rc;
}

static bool is_mounted_over(const struct container_spec *spec, const char *target)
{
    for (size_t i = 0; i < spec->mounts.count; i++) {
        if (strcmp(spec->mounts.items[i].target, target) == 0)
            return true;
    }
    return false;
}

static int attach_volumes(struct container *c, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < spec->mounts.count; i++) {
        if (spec->mounts.items[i].kind == CONTAINER_MOUNT_VOLUME)
            rc = attach_volume(c, &spec->mounts.items[i], spec->mounts.items[i].target, f);
    }
    for (size_t i = 0; rc == 0 && i < c->image.config.volumes.count; i++) {
        const char *target = c->image.config.volumes.items[i].key;

        if (target[0] == '/' && !is_mounted_over(spec, target))
            rc = attach_volume(c, NULL, target, f);
    }
    return rc;
}

static void detach_volumes(struct container *c, enum container_remove how)
{
    const struct container_spec *spec = &c->record.spec;
    struct fault ignored;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct container_mount *m = &spec->mounts.items[i];

        if (m->kind == CONTAINER_MOUNT_VOLUME && text_of(m->source)[0] != '\0')
            volume_unref(&c->rt->volumes, m->source);
    }
    for (size_t i = 0; i < c->record.volumes.count; i++) {
        volume_unref(&c->rt->volumes, c->record.volumes.items[i].value);
        if (how == REMOVE_FORCE_VOLUMES) /* one that a second container took by name stays */
            (void)!volume_remove(&c->rt->volumes, c->record.volumes.items[i].value, &ignored);
    }
}

int launch_load_image(struct container *c, struct fault *f)
{
    struct image *image = calloc(1, sizeof(*image));
    struct digest manifest;
    int rc;

    if (image == NULL)
        return fault_system(f, -ENOMEM, "container %s", id_of(c));
    rc = digest_parse(slice_of_str(c->record.manifest), &manifest);
    if (rc == 0)
        rc = image_open(&c->rt->images, &manifest, image, f);
    if (rc == 0) {
        rc = image_find_layers(&c->rt->images, image, f);
        if (rc == 0) {
            c->image = image->config;
            c->layer_count = image->layer_count;
            memcpy(c->layers, image->layers, sizeof(c->layers));
            c->manifest = image->manifest;
        } else {
            image_deinit(image);
        }
    }
    free(image);
    return rc;
}

static int find_image(struct container *c, struct fault *f)
{
    struct image *image = calloc(1, sizeof(*image));
    int rc;

    if (image == NULL)
        return fault_system(f, -ENOMEM, "container %s", id_of(c));
    rc = image_resolve(&c->rt->images, c->record.spec.image, image, f);
    if (rc == 0) {
        rc = str_set(&c->record.image_id, image->config_digest.text);
        if (rc == 0)
            rc = str_set(&c->record.manifest, image->manifest.text);
        if (rc < 0)
            fault_system(f, rc, "container %s", id_of(c));
        image_deinit(image);
    }
    free(image);
    return rc == 0 ? launch_load_image(c, f) : rc;
}

static int make_dirs(struct container *c, struct fault *f)
{
    struct path upper = path_of("%s/upper", c->state_dir.text);
    struct path work = path_of("%s/work", c->state_dir.text);
    struct path lower = path_of("%s/lower", c->state_dir.text);
    int rc = dir_make(upper.text, 0700);

    /* The upper directory's mode is that of the container's "/". */
    if (rc == 0 && chmod(upper.text, 0755) < 0)
        rc = -errno;
    if (rc == 0)
        rc = dir_make(work.text, 0700);
    if (rc == 0 && c->layer_count == 0) /* a mount needs something below */
        rc = dir_make(lower.text, 0755);
    return rc < 0 ? fault_system(f, rc, "%s", c->state_dir.text) : 0;
}

int launch_create(struct container *c, struct fault *f)
{
    struct blob_use use;
    int rc;

    blob_use_begin(&c->rt->images.blobs, &use);
    rc = find_image(c, f);
    if (rc == 0)
        rc = make_dirs(c, f);
    if (rc == 0)
        rc = write_secrets(c, f);
    if (rc == 0)
        rc = attach_volumes(c, f);
    if (rc == 0)
        rc = record_write_state(c->state_dir.text, &c->next, f);
    if (rc == 0) /* the last: a directory with a spec is a container */
        rc = record_write(c->state_dir.text, &c->record, f);
    blob_use_end(&c->rt->images.blobs, &use);
    if (rc < 0) {
        struct path secrets = secrets_dir(c);

        detach_volumes(c, REMOVE_FORCE_VOLUMES);
        (void)!tree_remove(secrets.text); /* else the next start does */
        (void)!tree_remove(c->state_dir.text);
    }
    return rc;
}

/* --- Root file system */

/* "a:b" in a path would be two lower directories; ours have numbers, and the state directory is
 * reached through a descriptor. */
static int mount_root(struct container *c, struct fault *f)
{
    struct path target = path_of("%s/rootfs", c->run_dir.text);
    char options[4096];
    size_t len;
    int state_fd, rc = 0;

    rc = dir_make(target.text, 0755);
    if (rc < 0)
        return fault_system(f, rc, "%s", target.text);
    state_fd = open(c->rt->state_dir.text, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0)
        return fault_system(f, -errno, "%s", c->rt->state_dir.text);
    len = (size_t)snprintf(options, sizeof(options),
                           "upperdir=/proc/self/fd/%d/containers/%s/upper,"
                           "workdir=/proc/self/fd/%d/containers/%s/work,lowerdir=",
                           state_fd, id_of(c), state_fd, id_of(c));
    for (size_t i = c->layer_count; i-- > 0 && len < sizeof(options);)
        len += (size_t)snprintf(options + len, sizeof(options) - len,
                                "/proc/self/fd/%d/layers/%llu/root%s", state_fd,
                                (unsigned long long)c->layers[i].number, i > 0 ? ":" : "");
    if (c->layer_count == 0) /* FROM scratch and nothing else */
        len += (size_t)snprintf(options + len, sizeof(options) - len,
                                "/proc/self/fd/%d/containers/%s/lower", state_fd, id_of(c));
    if (len >= sizeof(options))
        rc = fault_set(f, ERR_TOO_LARGE,
                       "container %s: its image has more layers than a mount takes", id_of(c));
    else if (mount("overlay", target.text, "overlay", 0, options) < 0)
        rc = fault_system(f, -errno, "container %s: mounting its %zu layers", id_of(c),
                          c->layer_count);
    close(state_fd);
    return rc;
}

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

static void unuse_volumes(const struct container *c, size_t mount_count, size_t image_count)
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
        if (!is_mounted_over(spec, c->record.volumes.items[i].key)) {
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
        unuse_volumes(c, out->count, 0);
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < c->record.volumes.count; i++) {
        const struct str_map_item *v = &c->record.volumes.items[i];
        struct path *path = &out->paths[out->count];

        if (is_mounted_over(spec, v->key))
            continue;
        rc = use_volume(c, v->value, NULL, v->key, path, f);
        if (rc < 0) {
            unuse_volumes(c, spec->mounts.count, image_count);
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
    struct path dir = secrets_dir(c);

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

static int write_config_json(struct container *c, const struct sources *sources, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    struct path config = path_of("%s/config.json", c->run_dir.text);
    struct path rootfs = path_of("%s/rootfs", c->run_dir.text);
    struct path hosts = path_of("%s/hosts", c->run_dir.text);
    struct path resolv = path_of("%s/resolv.conf", c->run_dir.text);
    struct path hostname = path_of("%s/hostname", c->run_dir.text);
    struct path secrets = secrets_dir(c);
    size_t file_count = spec->secrets.count + spec->configs.count;
    struct path *paths = calloc(file_count + 1, sizeof(*paths));
    const char **names = calloc(file_count + 1, sizeof(*names));
    struct user *user = calloc(1, sizeof(*user));
    char netns[PATH_TEXT_MAX];
    struct spec_input in;
    struct buf text;
    int rc;

    buf_init(&text, CONFIG_JSON_BYTES_MAX);
    if (paths == NULL || names == NULL || user == NULL) {
        rc = fault_system(f, -ENOMEM, "container %s", id_of(c));
        goto out;
    }
    for (size_t i = 0; i < file_count; i++) {
        paths[i] = i < spec->secrets.count
                       ? path_of("%s/%zu", secrets.text, i)
                       : path_of("%s/config.%zu", c->run_dir.text, i - spec->secrets.count);
        names[i] = paths[i].text;
    }
    rc = launch_user(c, spec_user_text(spec, &c->image), &spec->groups, user, f);
    if (rc < 0)
        goto out;
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
    in.secret_paths = names;
    in.config_paths = names + spec->secrets.count;
    rc = spec_config_json(&in, &text, f);
    if (rc == 0) {
        rc = file_write(config.text, buf_slice(&text), 0600);
        if (rc < 0)
            fault_system(f, rc, "%s", config.text);
    }
out:
    buf_deinit(&text);
    free(paths);
    free(names);
    free(user);
    return rc;
}

static int prepare_bundle(struct container *c, struct fault *f)
{
    struct sources sources = { 0 };
    int rc = mount_root(c, f);

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
            unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    }
    free(sources.items);
    free(sources.paths);
    return rc;
}

/* --- Start */

static int open_lock(const struct container *c)
{
    struct path p = path_of("%s/lock", c->run_dir.text);
    int fd = open(p.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int create_process(struct container *c, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    struct path log = path_of("%s/log", c->state_dir.text);
    struct path exits = path_of("%s/exits", c->rt->state_dir.text);
    struct oci_create args = { .id = id_of(c),
                               .bundle = c->run_dir.text,
                               .log_path = spec->log_none ? NULL : log.text,
                               .exit_dir = exits.text,
                               .tty = spec->tty,
                               .open_stdin = spec->open_stdin };
    struct oci_created created;
    int rc;

    args.lock_fd = open_lock(c);
    if (args.lock_fd < 0)
        return fault_system(f, args.lock_fd, "container %s: lock", id_of(c));
    rc = oci_create(&c->rt->oci, &args, &created, f);
    close(args.lock_fd);
    if (rc < 0)
        return fault_prefix(f, rc, "container %s", id_of(c));
    c->next.pid = (uint64_t)created.pid;
    c->next.conmon_pid = (uint64_t)created.conmon_pid;
    /* One that has ended already leaves ticks 0, which match nothing: it is collected. */
    (void)!process_start_ticks(created.pid, &c->next.pid_ticks);
    (void)!process_start_ticks(created.conmon_pid, &c->next.conmon_ticks);
    return 0;
}

static void mark_exited(struct container *c, uint32_t exit_code, const char *error)
{
    c->next.phase = PHASE_EXITED;
    c->next.exit_code = exit_code;
    c->next.paused = false;
    c->next.pid = c->next.pid_ticks = c->next.conmon_pid = c->next.conmon_ticks = 0;
    c->next.finished = runtime_wall_now();
    (void)!str_set(&c->next.error, error); /* without it the exit code must do */
}

static int run_start(struct container *c, struct fault *f)
{
    struct path exit_file = exit_path(c);
    int rc;

    (void)unlink(exit_file.text); /* of an earlier run */
    c->next.phase = PHASE_STARTING;
    c->next.exit_code = 0;
    c->next.oom_killed = c->next.paused = false;
    c->next.finished = 0;
    rc = str_set(&c->next.error, NULL);
    if (rc == 0)
        rc = str_set(&c->next.boot_id, c->rt->boot_id);
    if (rc < 0)
        return fault_system(f, rc, "container %s", id_of(c));
    rc = create_process(c, f);
    if (rc == 0)
        rc = record_write_state(c->state_dir.text, &c->next, f);
    if (rc == 0) {
        rc = oci_command(&c->rt->oci, "start", id_of(c), f);
        if (rc < 0)
            fault_prefix(f, rc, "container %s", id_of(c));
    }
    if (rc < 0)
        return rc;
    c->next.phase = PHASE_RUNNING;
    c->next.started = runtime_wall_now();
    return record_write_state(c->state_dir.text, &c->next, f);
}

int launch_start(struct container *c, struct fault *f)
{
    struct fault ignored;
    bool volumes_used = false;
    int rc;

    launch_clean_up(c); /* of whatever an earlier run could not */
    rc = dir_make(c->run_dir.text, 0711);
    if (rc < 0)
        fault_system(f, rc, "%s", c->run_dir.text);
    if (rc == 0)
        rc = prepare_bundle(c, f);
    if (rc == 0) {
        volumes_used = true;
        rc = run_start(c, f);
    }
    if (rc == 0)
        return 0;
    launch_clean_up(c);
    if (volumes_used)
        unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    mark_exited(c, strstr(f->text, "not found") != NULL ? 127 : 126, f->text);
    (void)!record_write_state(c->state_dir.text, &c->next, &ignored); /* the first fault counts */
    return rc;
}

/* --- The end */

static int read_exit_code(const struct container *c, uint32_t *out)
{
    struct path p = exit_path(c);
    struct buf text;
    int rc;

    buf_init(&text, 64);
    rc = file_read(AT_FDCWD, p.text, &text);
    if (rc == 0)
        rc = buf_append_byte(&text, '\0');
    if (rc == 0)
        *out = (uint32_t)strtoul((const char *)text.ptr, NULL, 10) & 0xff;
    buf_deinit(&text);
    return rc;
}

/* Whoever of conmon is left: found by the lock, ended by its pid. */
static void end_conmon(const struct container *c)
{
    struct path pid_file = path_of("%s/conmon.pid", c->run_dir.text);

    for (int i = 0; i < 200; i++) {
        int lock = open_lock(c), fd;
        uint64_t ticks;
        struct buf text;
        pid_t pid = 0;

        if (lock != -EWOULDBLOCK) {
            if (lock >= 0)
                close(lock);
            return;
        }
        buf_init(&text, 64);
        if (i > 20 && file_read(AT_FDCWD, pid_file.text, &text) == 0 &&
            buf_append_byte(&text, '\0') == 0)
            pid = (pid_t)strtol((const char *)text.ptr, NULL, 10);
        buf_deinit(&text);
        if (pid > 0 && process_start_ticks(pid, &ticks) == 0) {
            fd = process_open(pid, ticks);
            if (fd >= 0) {
                (void)!process_signal(fd, SIGKILL); /* gone is fine */
                close(fd);
            }
        }
        (void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
}

void launch_clean_up(struct container *c)
{
    struct path rootfs = path_of("%s/rootfs", c->run_dir.text);
    struct fault f;
    int rc;

    rc = oci_delete(&c->rt->oci, id_of(c), &f);
    if (rc < 0)
        log_warn("runtime", "container %s: %s; removing what is left of it", id_of(c), f.text);
    if (access(c->run_dir.text, F_OK) == 0) {
        end_conmon(c);
        (void)umount2(rootfs.text, MNT_DETACH); /* it may not be mounted */
        rc = tree_remove(c->run_dir.text);
        if (rc < 0)
            log_warn("runtime", "%s: %s; it stays until the next start", c->run_dir.text,
                     err_text(rc));
    }
    cgroup_remove(&c->rt->cgroup, c->cgroup_path);
}

/* conmon writes the status before it ends; without one somebody ended conmon, and the container
 * that nobody watches any more is ended too. */
void launch_collect(struct container *c)
{
    struct path exit_file = exit_path(c);
    struct fault f;
    uint32_t code = CONTAINER_EXIT_UNKNOWN;
    const char *error = "";

    if (read_exit_code(c, &code) < 0)
        error = c->next.boot_id != NULL && strcmp(c->next.boot_id, c->rt->boot_id) != 0
                    ? "the host went down while it ran"
                    : "its monitor, conmon, ended without an exit status";
    c->next.oom_killed = cgroup_oom_killed(&c->rt->cgroup, c->cgroup_path);
    mark_exited(c, code, error);
    launch_clean_up(c);
    unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    if (record_write_state(c->state_dir.text, &c->next, &f) < 0)
        log_error("runtime", "container %s: its exit code %u could not be stored: %s", id_of(c),
                  (unsigned)code, f.text);
    else
        (void)unlink(exit_file.text); /* now the record has it */
}

int launch_remove(struct container *c, enum container_remove how, struct fault *f)
{
    struct path spec = path_of("%s/spec", c->state_dir.text);
    struct path exit_file = exit_path(c);
    struct path secrets = secrets_dir(c);
    int rc;

    if (unlink(spec.text) < 0 && errno != ENOENT) /* from here on it is rubble */
        return fault_system(f, -errno, "container %s", id_of(c));
    launch_clean_up(c);
    (void)unlink(exit_file.text); /* usually taken already */
    rc = tree_remove(secrets.text);
    if (rc == 0)
        rc = tree_remove(c->state_dir.text);
    if (rc < 0)
        log_warn("runtime", "container %s: removing its files: %s; the next start tries again",
                 id_of(c), err_text(rc));
    detach_volumes(c, how);
    return 0;
}

/* --- After a restart of the daemon */

static void adopt_volume_refs(struct container *c, bool running)
{
    const struct container_spec *spec = &c->record.spec;
    struct fault ignored;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct container_mount *m = &spec->mounts.items[i];

        if (m->kind != CONTAINER_MOUNT_VOLUME || text_of(m->source)[0] == '\0')
            continue;
        (void)!volume_ref(&c->rt->volumes, m->source, &ignored); /* lost: a start will say so */
        if (running)
            volume_adopt_use(&c->rt->volumes, m->source);
    }
    for (size_t i = 0; i < c->record.volumes.count; i++) {
        (void)!volume_ref(&c->rt->volumes, c->record.volumes.items[i].value, &ignored);
        if (running)
            volume_adopt_use(&c->rt->volumes, c->record.volumes.items[i].value);
    }
}

/* A start that was cut off: it ran if the OCI runtime says so, else it never did. */
static void settle_start(struct container *c)
{
    enum oci_status status = oci_status(&c->rt->oci, id_of(c));
    uint32_t code;

    if (status == OCI_RUNNING || status == OCI_PAUSED || read_exit_code(c, &code) == 0) {
        c->next.phase = PHASE_RUNNING;
        c->next.started = runtime_wall_now();
        return;
    }
    mark_exited(c, CONTAINER_EXIT_UNKNOWN, "the daemon was ended while it started; start it again");
}

int launch_recover(struct container *c, enum recovered *out, struct fault *f)
{
    bool same_boot = strcmp(text_of(c->next.boot_id), c->rt->boot_id) == 0;
    uint32_t code;
    int conmon_fd = -1, rc;

    *out = RECOVERED_IDLE;
    if (c->next.phase == PHASE_STARTING) {
        if (same_boot)
            settle_start(c);
        else
            mark_exited(c, CONTAINER_EXIT_UNKNOWN, "the host went down while it started");
        rc = record_write_state(c->state_dir.text, &c->next, f);
        if (rc < 0)
            return rc;
    }
    if (c->next.phase == PHASE_RUNNING) {
        if (same_boot && read_exit_code(c, &code) < 0) /* else conmon is just leaving */
            conmon_fd = process_open((pid_t)c->next.conmon_pid, c->next.conmon_ticks);
        *out = conmon_fd >= 0 ? RECOVERED_RUNNING : RECOVERED_ENDED;
        if (conmon_fd >= 0)
            close(conmon_fd);
    }
    adopt_volume_refs(c, *out != RECOVERED_IDLE);
    if (*out == RECOVERED_IDLE)
        launch_clean_up(c);
    return 0;
}
