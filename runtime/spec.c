/* The config is built as a JSON tree. Every step that can run out of memory sets `failed` in the
 * builder instead of returning, and the end looks at it once. */
#include "runtime/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/caps.h"
#include "runtime/limits.h"
#include "runtime/seccomp.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* crun uses it instead of linux.seccomp, which it then ignores; others ignore the annotation. */
#define SECCOMP_ANNOTATION "run.oci.seccomp_bpf_data"
#define INIT_TARGET        "/sbin/docker-init" /* where programs look for it under Docker */
#define CPU_PERIOD_US      100000
#define CPU_QUOTA_US_MIN   1000 /* the kernel's */
#define SHM_BYTES          (64 * MIB)

struct builder {
    const struct spec_input *in;
    struct fault *f;
    bool failed; /* out of memory */
};

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static json_t *checked(struct builder *b, json_t *j)
{
    if (j == NULL)
        b->failed = true;
    return j;
}

static void append(struct builder *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0) /* takes it, NULL too */
        b->failed = true;
}

static void append_str(struct builder *b, json_t *array, const char *text)
{
    json_t *s = json_string(text);

    /* The one other reason is bytes that are not UTF-8, which JSON cannot carry. */
    append(b, array, s);
}

static void set(struct builder *b, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        b->failed = true;
}

static json_t *str_array(struct builder *b, const char *const *items, size_t count)
{
    json_t *array = checked(b, json_array());

    for (size_t i = 0; i < count; i++)
        append_str(b, array, items[i]);
    return array;
}

/* --- Process */

static size_t key_len(const char *assignment)
{
    return strcspn(assignment, "=");
}

/* Sets "K=V" in place of an earlier K; "K" alone takes it away. */
static void set_env(struct builder *b, json_t *env, const char *assignment)
{
    size_t len = key_len(assignment), i;
    const json_t *item;

    json_array_foreach(env, i, item)
    {
        const char *have = json_string_value(item);

        if (key_len(have) != len || memcmp(have, assignment, len) != 0)
            continue;
        if (assignment[len] == '\0')
            (void)json_array_remove(env, i); /* the index is right */
        else if (json_array_set_new(env, i, json_string(assignment)) < 0)
            b->failed = true;
        return;
    }
    if (assignment[len] != '\0')
        append_str(b, env, assignment);
}

static void set_env_pair(struct builder *b, json_t *env, const char *key, const char *value)
{
    char text[2048];

    if (snprintf(text, sizeof(text), "%s=%s", key, value) < (int)sizeof(text))
        set_env(b, env, text);
}

static bool has_env(const json_t *env, const char *key)
{
    const json_t *item;
    size_t i;

    json_array_foreach(env, i, item)
    {
        const char *have = json_string_value(item);

        if (key_len(have) == strlen(key) && memcmp(have, key, strlen(key)) == 0)
            return true;
    }
    return false;
}

const char *spec_hostname(const struct container_spec *spec, char buffer[64])
{
    if (text_of(spec->hostname)[0] != '\0')
        return spec->hostname;
    (void)snprintf(buffer, 64, "%.12s", spec->id);
    return buffer;
}

static json_t *env_of(struct builder *b, const struct user *user, bool tty)
{
    const struct spec_input *in = b->in;
    json_t *env = checked(b, json_array());
    char hostname[64];

    set_env(b, env, "PATH=" DEFAULT_PATH);
    set_env_pair(b, env, "HOSTNAME", spec_hostname(in->spec, hostname));
    if (tty)
        set_env(b, env, "TERM=xterm");
    for (size_t i = 0; i < in->image->config.env.count; i++)
        set_env(b, env, in->image->config.env.items[i]);
    for (size_t i = 0; i < in->spec->env.count; i++)
        set_env(b, env, in->spec->env.items[i]);
    if (!has_env(env, "HOME"))
        set_env_pair(b, env, "HOME", user->home);
    return env;
}

/* Command replaces the image's entrypoint, and then the image's cmd is not its arguments. */
static json_t *args_of(struct builder *b)
{
    const struct container_spec *spec = b->in->spec;
    const struct image_run *image = &b->in->image->config;
    const struct str_list *head = spec->command.count > 0 ? &spec->command : &image->entrypoint;
    const struct str_list *tail = &spec->args;
    json_t *args = checked(b, json_array());

    if (spec->args.count == 0 && spec->command.count == 0)
        tail = &image->cmd;
    if (b->in->init_path != NULL) {
        append_str(b, args, INIT_TARGET);
        append_str(b, args, "--");
    }
    for (size_t i = 0; i < head->count; i++)
        append_str(b, args, text_of(head->items[i]));
    for (size_t i = 0; i < tail->count; i++)
        append_str(b, args, text_of(tail->items[i]));
    return args;
}

static json_t *user_json(struct builder *b, const struct user *user)
{
    json_t *groups = checked(b, json_array());

    for (size_t i = 0; i < user->group_count; i++)
        append(b, groups, json_integer((json_int_t)user->groups[i]));
    return checked(b, json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)user->uid, "gid",
                                (json_int_t)user->gid, "additionalGids", groups));
}

/* Who is not root starts with none in effect: the bounding set is what set-uid programs can get. */
static json_t *caps_json(struct builder *b, cap_set caps, const struct user *user)
{
    json_t *list = checked(b, json_array());
    json_t *object = checked(b, json_object());

    for (unsigned i = 0; i < CAP_COUNT; i++) {
        if (cap_set_has(caps, i))
            append_str(b, list, cap_name(i));
    }
    set(b, object, "bounding", json_incref(list));
    if (user->uid == 0) {
        set(b, object, "effective", json_incref(list));
        set(b, object, "permitted", json_incref(list));
    }
    json_decref(list);
    return object;
}

static json_int_t rlimit_value(int64_t n)
{
    return n < 0 ? -1 : (json_int_t)n;
}

static json_t *rlimits_json(struct builder *b)
{
    const struct container_spec *spec = b->in->spec;
    json_t *list = checked(b, json_array());

    for (size_t i = 0; i < spec->ulimits.count; i++) {
        const struct container_ulimit *u = &spec->ulimits.items[i];
        char type[32] = "RLIMIT_";
        size_t at = strlen(type);

        for (const char *c = u->name; *c != '\0' && at + 1 < sizeof(type); c++)
            type[at++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        append(b, list,
               json_pack("{s:s, s:I, s:I}", "type", type, "soft", rlimit_value(u->soft), "hard",
                         rlimit_value(u->hard)));
    }
    return list;
}

static json_t *process_json(struct builder *b, cap_set caps, const struct user *user, bool tty,
                            const char *dir, json_t *args, json_t *env)
{
    const struct container_spec *spec = b->in->spec;
    json_t *p = checked(b, json_pack("{s:b, s:o, s:o, s:o, s:s, s:o, s:b}", "terminal", tty, "user",
                                     user_json(b, user), "args", args, "env", env, "cwd", dir,
                                     "capabilities", caps_json(b, caps, user), "noNewPrivileges",
                                     (int)spec->no_new_privileges));

    set(b, p, "rlimits", rlimits_json(b));
    set(b, p, "oomScoreAdj", json_integer((json_int_t)spec->oom_score_adj));
    return p;
}

/* --- Mounts */

static void add_mount(struct builder *b, json_t *mounts, const char *target, const char *type,
                      const char *source, json_t *options)
{
    append(b, mounts,
           json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type", type, "source", source,
                     "options", options));
}

/* `options` ends with NULL. */
static void add_fixed_mount(struct builder *b, json_t *mounts, const char *target, const char *type,
                            const char *source, const char *const *options)
{
    size_t count = 0;

    while (options[count] != NULL)
        count++;
    add_mount(b, mounts, target, type, source, str_array(b, options, count));
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void add_system_mounts(struct builder *b, json_t *mounts)
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

static void add_tmpfs(struct builder *b, json_t *mounts, const struct container_mount *m)
{
    json_t *options = str_array(b, OPTIONS("nosuid", "nodev", "noexec"), 3);
    char text[64];

    if (m->read_only)
        append_str(b, options, "ro");
    (void)snprintf(text, sizeof(text), "mode=%o", m->mode == 0 ? 01777U : m->mode);
    append_str(b, options, text);
    if (m->size_bytes > 0) {
        (void)snprintf(text, sizeof(text), "size=%llu", (unsigned long long)m->size_bytes);
        append_str(b, options, text);
    }
    for (size_t i = 0; i < m->options.count; i++)
        append_str(b, options, text_of(m->options.items[i]));
    add_mount(b, mounts, m->target, "tmpfs", "tmpfs", options);
}

static void add_bind(struct builder *b, json_t *mounts, const struct spec_source *s)
{
    const struct container_mount *m = s->mount;
    json_t *options = checked(b, json_array());

    append_str(b, options, m != NULL && m->non_recursive ? "bind" : "rbind");
    append_str(b, options,
               m == NULL ? "rprivate"
                         : enum_text(&container_propagation_names, (int)m->propagation));
    if (m != NULL && m->read_only) {
        append_str(b, options, "ro");
        /* Otherwise what is mounted below the source would stay writable. */
        if (b->in->can_read_only_deep && m->kind == CONTAINER_MOUNT_BIND && !m->non_recursive &&
            !m->read_only_non_recursive)
            append_str(b, options, "rro");
    } else {
        append_str(b, options, "rw");
    }
    add_mount(b, mounts, s->target, "bind", s->host_path, options);
}

static void add_file(struct builder *b, json_t *mounts, const char *target, const char *path,
                     bool read_only)
{
    add_mount(b, mounts, target, "bind", path,
              str_array(b, OPTIONS("rbind", "rprivate", read_only ? "ro" : "rw"), 3));
}

static size_t depth_of(const char *path)
{
    size_t depth = 0;

    for (; *path != '\0'; path++)
        depth += path[0] == '/' && path[1] != '/' && path[1] != '\0';
    return depth;
}

/* Outer mounts before those that lie in them; otherwise the order of the spec. */
static void add_user_mounts(struct builder *b, json_t *mounts)
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

static json_t *mounts_json(struct builder *b)
{
    const struct spec_input *in = b->in;
    json_t *mounts = checked(b, json_array());

    add_system_mounts(b, mounts);
    add_file(b, mounts, "/etc/resolv.conf", in->resolv_path, false);
    add_file(b, mounts, "/etc/hostname", in->hostname_path, false);
    add_file(b, mounts, "/etc/hosts", in->hosts_path, false);
    if (in->init_path != NULL)
        add_file(b, mounts, INIT_TARGET, in->init_path, true);
    add_user_mounts(b, mounts);
    for (size_t i = 0; i < in->spec->configs.count; i++)
        add_file(b, mounts, in->spec->configs.items[i].target, in->config_paths[i], true);
    for (size_t i = 0; i < in->spec->secrets.count; i++)
        add_file(b, mounts, in->spec->secrets.items[i].target, in->secret_paths[i], true);
    return mounts;
}

static const char *root_propagation(const struct container_spec *spec)
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

/* --- Limits, namespaces, paths */

static void add_cpu(struct builder *b, json_t *resources, const struct container_limits *l)
{
    json_t *cpu;
    int64_t quota;

    if (l->nano_cpus == 0 && l->cpu_shares == 0)
        return;
    cpu = checked(b, json_object());
    if (l->nano_cpus > 0) {
        quota = l->nano_cpus / (1000000000 / CPU_PERIOD_US);
        set(b, cpu, "period", json_integer(CPU_PERIOD_US));
        set(b, cpu, "quota", json_integer(quota < CPU_QUOTA_US_MIN ? CPU_QUOTA_US_MIN : quota));
    }
    if (l->cpu_shares > 0)
        set(b, cpu, "shares", json_integer((json_int_t)l->cpu_shares));
    set(b, resources, "cpu", cpu);
}

static void add_memory(struct builder *b, json_t *resources, const struct container_limits *l)
{
    json_t *memory;
    int64_t total;

    if (l->memory_bytes == 0 && l->memory_reservation_bytes == 0)
        return;
    memory = checked(b, json_object());
    if (l->memory_bytes > 0) {
        set(b, memory, "limit", json_integer(l->memory_bytes));
        total = l->memory_swap_bytes;
        if (total == 0) /* as much swap as memory */
            total = l->memory_bytes > INT64_MAX / 2 ? INT64_MAX : 2 * l->memory_bytes;
        if (b->in->can_limit_swap)
            set(b, memory, "swap", json_integer(total));
    }
    if (l->memory_reservation_bytes > 0)
        set(b, memory, "reservation", json_integer(l->memory_reservation_bytes));
    set(b, resources, "memory", memory);
}

static json_t *resources_json(struct builder *b)
{
    const struct container_limits *l = &b->in->spec->limits;
    json_t *r = checked(b, json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));

    add_cpu(b, r, l);
    add_memory(b, r, l);
    if (l->pids > 0)
        set(b, r, "pids", json_pack("{s:I}", "limit", (json_int_t)l->pids));
    return r;
}

static bool is_host_network(const struct container_spec *spec)
{
    return strcmp(text_of(spec->netns_path), "host") == 0;
}

static json_t *namespaces_json(struct builder *b)
{
    const struct spec_input *in = b->in;
    json_t *list = checked(b, json_pack("[{s:s},{s:s},{s:s},{s:s}]", "type", "pid", "type", "mount",
                                        "type", "uts", "type", "ipc"));
    const char *netns = in->netns_path != NULL ? in->netns_path : text_of(in->spec->netns_path);

    if (in->cgroup_v2)
        append(b, list, json_pack("{s:s}", "type", "cgroup"));
    if (is_host_network(in->spec))
        return list;
    if (netns[0] != '\0')
        append(b, list, json_pack("{s:s, s:s}", "type", "network", "path", netns));
    else
        append(b, list, json_pack("{s:s}", "type", "network"));
    return list;
}

/* Without them a server that is not root could not listen on port 80, nor ping be used. */
static json_t *sysctls_json(struct builder *b)
{
    const struct container_spec *spec = b->in->spec;
    json_t *object = checked(b, json_object());

    if (!is_host_network(spec)) {
        set(b, object, "net.ipv4.ip_unprivileged_port_start", json_string("0"));
        set(b, object, "net.ipv4.ping_group_range", json_string("0 2147483647"));
    }
    for (size_t i = 0; i < spec->sysctls.count; i++)
        set(b, object, spec->sysctls.items[i].key, json_string(spec->sysctls.items[i].value));
    return object;
}

/* What tells about the host or changes it through /proc and /sys. */
static const char *const masked_paths[] = {
    "/proc/acpi",        "/proc/asound",        "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};
static const char *const read_only_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static int add_seccomp(struct builder *b, json_t *linux_object, cap_set caps)
{
    const struct container_spec *spec = b->in->spec;
    json_error_t error;
    json_t *profile;

    switch (spec->seccomp) {
    case CONTAINER_SECCOMP_UNCONFINED:
        return 0;
    case CONTAINER_SECCOMP_DEFAULT:
        set(b, linux_object, "seccomp", seccomp_default(caps));
        return 0;
    case CONTAINER_SECCOMP_CUSTOM:
        break;
    }
    profile = json_loads(text_of(spec->seccomp_profile), JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(profile)) {
        json_decref(profile);
        return fault_set(b->f, ERR_INVALID, "seccomp profile: line %d: %s", error.line, error.text);
    }
    set(b, linux_object, "seccomp", profile);
    return 0;
}

static int linux_json(struct builder *b, cap_set caps, json_t **out)
{
    json_t *object = checked(b, json_pack("{s:s, s:o, s:o, s:o}", "cgroupsPath", b->in->cgroup_path,
                                          "resources", resources_json(b), "namespaces",
                                          namespaces_json(b), "sysctl", sysctls_json(b)));
    const char *propagation = root_propagation(b->in->spec);
    int rc;

    set(b, object, "maskedPaths", str_array(b, masked_paths, ARRAY_LEN(masked_paths)));
    set(b, object, "readonlyPaths", str_array(b, read_only_paths, ARRAY_LEN(read_only_paths)));
    if (propagation != NULL)
        set(b, object, "rootfsPropagation", json_string(propagation));
    rc = add_seccomp(b, object, caps);
    if (rc < 0)
        json_decref(object);
    else
        *out = object;
    return rc;
}

/* --- The whole */

int spec_caps(const struct container_spec *spec, cap_set *out, struct fault *f)
{
    const char *unknown = "";

    if (cap_set_of(&spec->cap_add, &spec->cap_drop, out, &unknown) < 0)
        return fault_set(f, ERR_INVALID,
                         "capability \"%.64s\": unknown; use names as in capabilities(7), or ALL",
                         unknown);
    return 0;
}

static int dump_buf(const char *bytes, size_t len, void *arg)
{
    return buf_append(arg, bytes, len) < 0 ? -1 : 0;
}

/* Takes `root`. */
static int finish(struct builder *b, json_t *root, struct buf *out)
{
    int rc = 0;

    if (b->failed || root == NULL)
        rc = fault_system(b->f, -ENOMEM, "container %s: OCI config", b->in->spec->id);
    else if (json_dump_callback(root, dump_buf, out, JSON_COMPACT) < 0)
        rc = fault_set(b->f, ERR_TOO_LARGE, "container %s: OCI config: larger than %zu bytes",
                       b->in->spec->id, out->limit);
    json_decref(root);
    return rc;
}

int spec_config_json(const struct spec_input *in, struct buf *out, struct fault *f)
{
    struct builder b = { .in = in, .f = f };
    const struct container_spec *spec = in->spec;
    json_t *linux_object = NULL, *args, *process, *root;
    char hostname[64];
    cap_set caps;
    int rc = spec_caps(in->spec, &caps, f);

    if (rc < 0)
        return rc;
    args = args_of(&b);
    if (json_array_size(args) <= (in->init_path != NULL ? 2 : 0)) {
        json_decref(args);
        return b.failed ? fault_system(f, -ENOMEM, "container %s", spec->id)
                        : fault_set(f, ERR_INVALID,
                                    "container %s: no command: image %s has neither entrypoint "
                                    "nor cmd; give one",
                                    spec->id, spec->image);
    }
    rc = linux_json(&b, caps, &linux_object);
    if (rc < 0) {
        json_decref(args);
        return rc;
    }
    process = process_json(&b, caps, in->user, spec->tty, spec_working_dir(spec, in->image), args,
                           env_of(&b, in->user, spec->tty));
    root = checked(&b, json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2",
                                 "process", process, "root", "path", in->rootfs, "readonly",
                                 (int)spec->read_only, "hostname", spec_hostname(spec, hostname),
                                 "mounts", mounts_json(&b), "linux", linux_object));
    if (text_of(spec->domainname)[0] != '\0' && root != NULL)
        set(&b, root, "domainname", json_string(spec->domainname));
    if (spec->seccomp == CONTAINER_SECCOMP_DEFAULT && in->seccomp_program != NULL && root != NULL)
        set(&b, root, "annotations", json_pack("{s:s}", SECCOMP_ANNOTATION, in->seccomp_program));
    return finish(&b, root, out);
}

int spec_exec_json(const struct spec_input *in, const struct spec_exec *exec, struct buf *out,
                   struct fault *f)
{
    struct builder b = { .in = in, .f = f };
    const char *dir = exec->dir != NULL ? exec->dir : spec_working_dir(in->spec, in->image);
    json_t *args = checked(&b, json_array());
    json_t *env = env_of(&b, exec->user, exec->tty);
    json_t *process;
    cap_set caps;
    int rc = spec_caps(in->spec, &caps, f);

    for (size_t i = 0; exec->argv[i] != NULL; i++)
        append_str(&b, args, exec->argv[i]);
    for (size_t i = 0; exec->env != NULL && exec->env[i] != NULL; i++)
        set_env(&b, env, exec->env[i]);
    if (rc < 0) {
        json_decref(args);
        json_decref(env);
        return rc;
    }
    process = process_json(&b, caps, exec->user, exec->tty, dir, args, env);
    if (exec->tty && exec->rows > 0 && exec->columns > 0)
        set(&b, process, "consoleSize",
            json_pack("{s:i, s:i}", "height", (int)exec->rows, "width", (int)exec->columns));
    return finish(&b, process, out);
}
