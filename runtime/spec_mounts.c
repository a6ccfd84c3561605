/* The "mounts" array, in the order in which they are made: those that every container has, the
 * three files of /etc, then the task's from the outermost to the innermost, then configs and
 * secrets, whose targets may lie in any of those. */
#include <stdio.h>
#include <string.h>

#include "runtime/limits.h"
#include "runtime/spec_builder.h"

#define SHM_BYTES (64 * MIB)

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static void add_mount(struct spec_builder *b, json_t *mounts, const char *target, const char *type,
                      const char *source, json_t *options)
{
    spec_append(b, mounts,
                json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type", type, "source",
                          source, "options", options));
}

/* `options` ends with NULL. */
static void add_fixed_mount(struct spec_builder *b, json_t *mounts, const char *target,
                            const char *type, const char *source, const char *const *options)
{
    size_t count = 0;

    while (options[count] != NULL)
        count++;
    add_mount(b, mounts, target, type, source, spec_str_array(b, options, count));
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void add_system_mounts(struct spec_builder *b, json_t *mounts)
{
    uint64_t shm = b->in->spec->shm_bytes;
    char shm_size[32];

    (void)snprintf(shm_size, sizeof(shm_size), "size=%llu",
                   (unsigned long long)(shm == 0 ? SHM_BYTES : shm));
    add_fixed_mount(b, mounts, "/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev"));
    add_fixed_mount(b, mounts, "/dev", "tmpfs", "tmpfs",
                    OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
    add_fixed_mount(
        b, mounts, "/dev/pts", "devpts", "devpts",
        OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
    add_fixed_mount(b, mounts, "/sys", "sysfs", "sysfs",
                    OPTIONS("nosuid", "noexec", "nodev", "ro"));
    add_fixed_mount(b, mounts, "/sys/fs/cgroup", "cgroup", "cgroup",
                    OPTIONS("ro", "nosuid", "noexec", "nodev"));
    add_fixed_mount(b, mounts, "/dev/mqueue", "mqueue", "mqueue",
                    OPTIONS("nosuid", "noexec", "nodev"));
    add_fixed_mount(b, mounts, "/dev/shm", "tmpfs", "shm",
                    OPTIONS("nosuid", "noexec", "nodev", "mode=1777", shm_size));
}

static void add_tmpfs(struct spec_builder *b, json_t *mounts, const struct container_mount *m)
{
    json_t *options = spec_str_array(b, OPTIONS("nosuid", "nodev", "noexec"), 3);
    char text[64];

    if (m->read_only)
        spec_append_str(b, options, "ro");
    (void)snprintf(text, sizeof(text), "mode=%o", m->mode == 0 ? 01777U : m->mode);
    spec_append_str(b, options, text);
    if (m->size_bytes > 0) {
        (void)snprintf(text, sizeof(text), "size=%llu", (unsigned long long)m->size_bytes);
        spec_append_str(b, options, text);
    }
    for (size_t i = 0; i < m->options.count; i++)
        spec_append_str(b, options, text_of(m->options.items[i]));
    add_mount(b, mounts, m->target, "tmpfs", "tmpfs", options);
}

static void add_bind(struct spec_builder *b, json_t *mounts, const struct spec_source *s)
{
    const struct container_mount *m = s->mount;
    json_t *options = spec_checked(b, json_array());

    spec_append_str(b, options, m != NULL && m->non_recursive ? "bind" : "rbind");
    spec_append_str(b, options,
                    m == NULL ? "rprivate"
                              : enum_text(&container_propagation_names, (int)m->propagation));
    if (m != NULL && m->read_only) {
        spec_append_str(b, options, "ro");
        /* Otherwise what is mounted below the source would stay writable. */
        if (b->in->can_read_only_deep && m->kind == CONTAINER_MOUNT_BIND && !m->non_recursive &&
            !m->read_only_non_recursive)
            spec_append_str(b, options, "rro");
    } else {
        spec_append_str(b, options, "rw");
    }
    add_mount(b, mounts, s->target, "bind", s->host_path, options);
}

static void add_file(struct spec_builder *b, json_t *mounts, const char *target, const char *path,
                     bool read_only)
{
    add_mount(b, mounts, target, "bind", path,
              spec_str_array(b, OPTIONS("rbind", "rprivate", read_only ? "ro" : "rw"), 3));
}

static size_t depth_of(const char *path)
{
    size_t depth = 0;

    for (; *path != '\0'; path++)
        depth += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    return depth;
}

/* Outer mounts before those that lie in them; otherwise the order of the spec. */
static void add_user_mounts(struct spec_builder *b, json_t *mounts)
{
    size_t deepest = 0;

    for (size_t i = 0; i < b->in->source_count; i++) {
        size_t depth = depth_of(b->in->sources[i].target);

        deepest = depth > deepest ? depth : deepest;
    }
    for (size_t depth = 0; depth <= deepest; depth++) {
        for (size_t i = 0; i < b->in->source_count; i++) {
            const struct spec_source *s = &b->in->sources[i];

            if (depth_of(s->target) != depth)
                continue;
            if (s->host_path == NULL)
                add_tmpfs(b, mounts, s->mount);
            else
                add_bind(b, mounts, s);
        }
    }
}

json_t *spec_mounts(struct spec_builder *b)
{
    const struct spec_input *in = b->in;
    json_t *mounts = spec_checked(b, json_array());

    add_system_mounts(b, mounts);
    add_file(b, mounts, "/etc/resolv.conf", in->resolv_path, false);
    add_file(b, mounts, "/etc/hostname", in->hostname_path, false);
    add_file(b, mounts, "/etc/hosts", in->hosts_path, false);
    if (in->init_path != NULL)
        add_file(b, mounts, SPEC_INIT_TARGET, in->init_path, true);
    add_user_mounts(b, mounts);
    for (size_t i = 0; i < in->spec->configs.count; i++)
        add_file(b, mounts, in->spec->configs.items[i].target, in->config_paths[i], true);
    for (size_t i = 0; i < in->spec->secrets.count; i++)
        add_file(b, mounts, in->spec->secrets.items[i].target, in->secret_paths[i], true);
    return mounts;
}

const char *spec_root_propagation(const struct container_spec *spec)
{
    const char *propagation = NULL;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        enum container_propagation p = spec->mounts.items[i].propagation;

        if (p == CONTAINER_RSHARED || p == CONTAINER_SHARED)
            return "rshared";
        if (p == CONTAINER_RSLAVE || p == CONTAINER_SLAVE)
            propagation = "rslave";
    }
    return propagation;
}
