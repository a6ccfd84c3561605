/* The "linux" object: limits, namespaces, kernel parameters, hidden paths and the filter of system
 * calls. Devices are denied here and allowed one by one by the OCI runtime's own list. */
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/seccomp.h"
#include "runtime/spec_builder.h"

#define CPU_PERIOD_US    100000
#define CPU_QUOTA_US_MIN 1000 /* the kernel's */

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static void add_cpu(struct spec_builder *b, json_t *resources, const struct container_limits *l)
{
    json_t *cpu;
    int64_t quota;

    if (l->nano_cpus == 0 && l->cpu_shares == 0)
        return;
    cpu = spec_checked(b, json_object());
    if (l->nano_cpus > 0) {
        quota = l->nano_cpus / (1000000000 / CPU_PERIOD_US);
        spec_set(b, cpu, "period", json_integer(CPU_PERIOD_US));
        spec_set(b, cpu, "quota",
                 json_integer(quota < CPU_QUOTA_US_MIN ? CPU_QUOTA_US_MIN : quota));
    }
    if (l->cpu_shares > 0)
        spec_set(b, cpu, "shares", json_integer((json_int_t)l->cpu_shares));
    spec_set(b, resources, "cpu", cpu);
}

static void add_memory(struct spec_builder *b, json_t *resources, const struct container_limits *l)
{
    json_t *memory;
    int64_t total;

    if (l->memory_bytes == 0 && l->memory_reservation_bytes == 0)
        return;
    memory = spec_checked(b, json_object());
    if (l->memory_bytes > 0) {
        spec_set(b, memory, "limit", json_integer(l->memory_bytes));
        total = l->memory_swap_bytes;
        if (total == 0) /* as much swap as memory */
            total = l->memory_bytes > INT64_MAX / 2 ? INT64_MAX : 2 * l->memory_bytes;
        if (b->in->can_limit_swap)
            spec_set(b, memory, "swap", json_integer(total));
    }
    if (l->memory_reservation_bytes > 0)
        spec_set(b, memory, "reservation", json_integer(l->memory_reservation_bytes));
    spec_set(b, resources, "memory", memory);
}

static json_t *resources_json(struct spec_builder *b)
{
    const struct container_limits *l = &b->in->spec->limits;
    json_t *r =
        spec_checked(b, json_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));

    add_cpu(b, r, l);
    add_memory(b, r, l);
    if (l->pids > 0)
        spec_set(b, r, "pids", json_pack("{s:I}", "limit", (json_int_t)l->pids));
    return r;
}

static bool is_host_network(const struct container_spec *spec)
{
    return strcmp(text_of(spec->netns_path), "host") == 0;
}

static json_t *namespaces_json(struct spec_builder *b)
{
    const struct spec_input *in = b->in;
    json_t *list = spec_checked(b, json_pack("[{s:s},{s:s},{s:s},{s:s}]", "type", "pid", "type",
                                             "mount", "type", "uts", "type", "ipc"));
    const char *netns = in->netns_path != NULL ? in->netns_path : text_of(in->spec->netns_path);

    if (in->cgroup_v2)
        spec_append(b, list, json_pack("{s:s}", "type", "cgroup"));
    if (is_host_network(in->spec))
        return list;
    if (netns[0] != '\0')
        spec_append(b, list, json_pack("{s:s, s:s}", "type", "network", "path", netns));
    else
        spec_append(b, list, json_pack("{s:s}", "type", "network"));
    return list;
}

/* Without them a server that is not root could not listen on port 80, nor ping be used. */
static json_t *sysctls_json(struct spec_builder *b)
{
    const struct container_spec *spec = b->in->spec;
    json_t *object = spec_checked(b, json_object());

    if (!is_host_network(spec)) {
        spec_set(b, object, "net.ipv4.ip_unprivileged_port_start", json_string("0"));
        spec_set(b, object, "net.ipv4.ping_group_range", json_string("0 2147483647"));
    }
    for (size_t i = 0; i < spec->sysctls.count; i++)
        spec_set(b, object, spec->sysctls.items[i].key, json_string(spec->sysctls.items[i].value));
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

static int add_seccomp(struct spec_builder *b, json_t *linux_object, cap_set caps)
{
    const struct container_spec *spec = b->in->spec;
    json_error_t error;
    json_t *profile;

    switch (spec->seccomp) {
    case CONTAINER_SECCOMP_UNCONFINED:
        return 0;
    case CONTAINER_SECCOMP_DEFAULT:
        spec_set(b, linux_object, "seccomp", seccomp_default(caps));
        return 0;
    case CONTAINER_SECCOMP_CUSTOM:
        break;
    }
    profile = json_loads(text_of(spec->seccomp_profile), JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(profile)) {
        json_decref(profile);
        return fault_set(b->f, ERR_INVALID, "seccomp profile: line %d: %s", error.line, error.text);
    }
    spec_set(b, linux_object, "seccomp", profile);
    return 0;
}

int spec_linux(struct spec_builder *b, cap_set caps, json_t **out)
{
    json_t *object =
        spec_checked(b, json_pack("{s:s, s:o, s:o, s:o}", "cgroupsPath", b->in->cgroup_path,
                                  "resources", resources_json(b), "namespaces", namespaces_json(b),
                                  "sysctl", sysctls_json(b)));
    const char *propagation = spec_root_propagation(b->in->spec);
    int rc;

    spec_set(b, object, "maskedPaths", spec_str_array(b, masked_paths, ARRAY_LEN(masked_paths)));
    spec_set(b, object, "readonlyPaths",
             spec_str_array(b, read_only_paths, ARRAY_LEN(read_only_paths)));
    if (propagation != NULL)
        spec_set(b, object, "rootfsPropagation", json_string(propagation));
    rc = add_seccomp(b, object, caps);
    if (rc < 0)
        json_decref(object);
    else
        *out = object;
    return rc;
}
