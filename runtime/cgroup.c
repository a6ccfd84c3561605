#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "runtime/file.h"

#define ROOT                  "/sys/fs/cgroup"
#define CGROUP_FILE_BYTES_MAX (256 * KIB)

/* Hierarchies that may be mounted, each a directory under ROOT in v1. */
static const char *const controllers[] = { "cpu",     "cpuacct", "cpuset",   "memory",
                                           "pids",    "freezer", "devices",  "blkio",
                                           "systemd", "net_cls", "net_prio", "perf_event",
                                           "hugetlb", "rdma",    "misc" };

const char *cgroup_layout_name(enum cgroup_layout layout)
{
    static const char *const names[] = { "v1", "v2", "hybrid" };

    return names[layout];
}

int cgroup_detect(struct cgroup_host *out, struct fault *f)
{
    struct statfs fs;
    struct stat st;

    if (statfs(ROOT, &fs) < 0)
        return fault_system(f, -errno, ROOT);
    if (fs.f_type == CGROUP2_SUPER_MAGIC) {
        out->layout = CGROUP_V2;
        out->can_limit_swap = true;
        return 0;
    }
    if (stat(ROOT "/memory/memory.limit_in_bytes", &st) < 0 || stat(ROOT "/pids", &st) < 0)
        return fault_set(f, ERR_UNSUPPORTED,
                         ROOT ": neither cgroup v2 nor v1 with the memory and pids controllers is "
                              "mounted; mount one, or boot with cgroup_enable=memory");
    out->layout = statfs(ROOT "/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC
                      ? CGROUP_HYBRID
                      : CGROUP_V1;
    out->can_limit_swap = stat(ROOT "/memory/memory.memsw.limit_in_bytes", &st) == 0;
    return 0;
}

/* --- Reading */

/* The file's text with a NUL, or "" when it cannot be read. `controller` is ignored in v2. */
static const char *read_text(const struct cgroup_host *host, const char *controller,
                             const char *path, const char *file, struct buf *text)
{
    struct path p = host->layout == CGROUP_V2 ? path_of(ROOT "%s/%s", path, file)
                                              : path_of(ROOT "/%s%s/%s", controller, path, file);

    buf_clear(text);
    if (file_read(AT_FDCWD, p.text, text) < 0 || buf_append_byte(text, '\0') < 0)
        return "";
    return (const char *)text->ptr;
}

/* "max" and nonsense read as 0. */
static uint64_t read_number(const struct cgroup_host *host, const char *controller,
                            const char *path, const char *file, struct buf *text)
{
    return strtoull(read_text(host, controller, path, file, text), NULL, 10);
}

/* The number behind `key` in lines of "key number". */
static uint64_t number_after(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line != NULL && *line != '\0';
         line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, key, len) == 0 && (line[len] == ' ' || line[len] == '='))
            return strtoull(line + len + 1, NULL, 10);
    }
    return 0;
}

bool cgroup_oom_killed(const struct cgroup_host *host, const char *path)
{
    struct buf text;
    uint64_t kills;

    buf_init(&text, CGROUP_FILE_BYTES_MAX);
    kills = number_after(
        read_text(host, "memory", path,
                  host->layout == CGROUP_V2 ? "memory.events" : "memory.oom_control", &text),
        "oom_kill");
    buf_deinit(&text);
    return kills > 0;
}

static void stats_v2(const struct cgroup_host *host, const char *path, struct container_stats *s,
                     struct buf *text)
{
    const char *t = read_text(host, "", path, "cpu.stat", text);

    s->cpu_ns = number_after(t, "usage_usec") * 1000;
    s->throttled_ns = number_after(t, "throttled_usec") * 1000;
    s->memory_bytes = read_number(host, "", path, "memory.current", text);
    s->memory_limit_bytes = read_number(host, "", path, "memory.max", text);
    s->memory_cache_bytes =
        number_after(read_text(host, "", path, "memory.stat", text), "inactive_file");
    s->pids = read_number(host, "", path, "pids.current", text);
    s->pids_limit = read_number(host, "", path, "pids.max", text);
    t = read_text(host, "", path, "io.stat", text);
    for (const char *p = t; (p = strstr(p, "bytes=")) != NULL; p += 6) {
        uint64_t n = strtoull(p + 6, NULL, 10);

        if (p > t && p[-1] == 'r')
            s->block_read_bytes += n;
        else if (p > t && p[-1] == 'w')
            s->block_write_bytes += n;
    }
}

static void stats_v1(const struct cgroup_host *host, const char *path, struct container_stats *s,
                     struct buf *text)
{
    const char *t;

    s->cpu_ns = read_number(host, "cpuacct", path, "cpuacct.usage", text);
    s->throttled_ns =
        number_after(read_text(host, "cpu", path, "cpu.stat", text), "throttled_time");
    s->memory_bytes = read_number(host, "memory", path, "memory.usage_in_bytes", text);
    s->memory_limit_bytes = read_number(host, "memory", path, "memory.limit_in_bytes", text);
    s->memory_cache_bytes =
        number_after(read_text(host, "memory", path, "memory.stat", text), "total_inactive_file");
    s->pids = read_number(host, "pids", path, "pids.current", text);
    s->pids_limit = read_number(host, "pids", path, "pids.max", text);
    t = read_text(host, "blkio", path, "blkio.throttle.io_service_bytes", text);
    for (const char *p = t; (p = strstr(p, " Read ")) != NULL; p += 6)
        s->block_read_bytes += strtoull(p + 6, NULL, 10);
    for (const char *p = t; (p = strstr(p, " Write ")) != NULL; p += 7)
        s->block_write_bytes += strtoull(p + 7, NULL, 10);
}

int cgroup_stats(const struct cgroup_host *host, const char *path, struct container_stats *out)
{
    struct container_stats s = { 0 };
    uint64_t host_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct path dir =
        host->layout == CGROUP_V2 ? path_of(ROOT "%s", path) : path_of(ROOT "/memory%s", path);
    struct timespec now;
    struct buf text;

    if (access(dir.text, F_OK) < 0)
        return ERR_NOT_FOUND;
    buf_init(&text, CGROUP_FILE_BYTES_MAX);
    if (host->layout == CGROUP_V2)
        stats_v2(host, path, &s, &text);
    else
        stats_v1(host, path, &s, &text);
    buf_deinit(&text);
    if (s.memory_limit_bytes == 0 || s.memory_limit_bytes > host_bytes)
        s.memory_limit_bytes = host_bytes;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    s.read_at = (wall_ns)now.tv_sec * (wall_ns)NS_PER_S + now.tv_nsec;
    *out = s;
    return 0;
}

/* --- Removing */

static void kill_members(const char *dir)
{
    struct path procs = path_of("%s/cgroup.procs", dir);
    struct buf text;

    buf_init(&text, CGROUP_FILE_BYTES_MAX);
    if (file_read(AT_FDCWD, procs.text, &text) == 0 && buf_append_byte(&text, '\0') == 0) {
        for (char *p = (char *)text.ptr, *end; *p != '\0'; p = end + (*end == '\n')) {
            long pid = strtol(p, &end, 10);

            if (end == p)
                break;
            if (pid > 1)
                (void)kill((pid_t)pid, SIGKILL); /* gone already is fine */
        }
    }
    buf_deinit(&text);
}

static int remove_below(void *arg, int dir_fd, const char *name)
{
    const char *parent = arg;
    struct path sub = path_of("%s/%s", parent, name);
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    kill_members(sub.text);
    (void)!dir_each(sub.text, remove_below, sub.text); /* best effort: the next start tries again */
    (void)rmdir(sub.text);
    return 0;
}

static void remove_dir(const char *dir)
{
    /* Usually it is empty or gone, and looking into it would list forty files. */
    if (rmdir(dir) == 0 || errno == ENOENT)
        return;
    /* What was killed leaves the group when it is reaped, a moment later. */
    for (int i = 0; i < 100; i++) {
        kill_members(dir);
        (void)!dir_each(dir, remove_below, (void *)(uintptr_t)dir);
        if (rmdir(dir) == 0 || errno == ENOENT)
            return;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

void cgroup_remove(const struct cgroup_host *host, const char *path)
{
    struct path dir = path_of(ROOT "%s", path);

    if (host->layout == CGROUP_V2) {
        remove_dir(dir.text);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
        dir = path_of(ROOT "/%s%s", controllers[i], path);
        remove_dir(dir.text);
    }
}

void cgroup_remove_empty(const struct cgroup_host *host, const char *path)
{
    struct path dir = path_of(ROOT "%s", path);

    if (host->layout == CGROUP_V2) {
        (void)rmdir(dir.text); /* fails when it is not empty: that is the point */
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
        dir = path_of(ROOT "/%s%s", controllers[i], path);
        (void)rmdir(dir.text);
    }
}
