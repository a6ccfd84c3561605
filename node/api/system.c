/* node/api/system.c - /_ping, /version, /info, /auth, /plugins. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "node/api/api_impl.h"
#include "node/api/list_json.h"

static const char *membership_text(enum api_membership m)
{
    static const char *const texts[] = { "inactive", "pending", "active", "locked", "error" };

    return texts[m];
}

void handle_ping(struct request *r)
{
    struct api_status st;
    char swarm[32];

    request_status(r, &st);
    if (st.membership == API_ACTIVE)
        (void)snprintf(swarm, sizeof(swarm), "active/%s", st.is_manager ? "manager" : "worker");
    else
        (void)snprintf(swarm, sizeof(swarm), "%s", membership_text(st.membership));
    reply_text(r, MHD_HTTP_OK, "text/plain; charset=utf-8", "OK");
    reply_header(r, "Swarm", swarm);
    reply_header(r, "Builder-Version", "1");
    reply_header(r, "Cache-Control", "no-cache, no-store, must-revalidate");
    reply_header(r, "Pragma", "no-cache");
}

/* Docker's names of machines are Go's. */
static const char *go_arch(const char *machine)
{
    return strcmp(machine, "x86_64") == 0    ? "amd64"
           : strcmp(machine, "aarch64") == 0 ? "arm64"
                                             : machine;
}

void handle_version(struct request *r)
{
    const char *version = r->api->cfg.version;
    struct utsname u;
    const char *arch;

    if (uname(&u) < 0) {
        reply_error(r, err_errno(), NULL);
        return;
    }
    arch = go_arch(u.machine);
    reply_json(
        r, MHD_HTTP_OK,
        json_pack("{s:{s:s},s:[{s:s,s:s,s:{s:s,s:s,s:s,s:s,s:s}}],s:s,s:s,s:s,s:s,s:s,s:s,s:s,"
                  "s:s}",
                  "Platform", "Name", "Shoal", "Components", "Name", "Engine", "Version", version,
                  "Details", "ApiVersion", API_VERSION, "MinAPIVersion", API_VERSION_MIN, "Arch",
                  arch, "Os", "linux", "KernelVersion", u.release, "Version", version, "ApiVersion",
                  API_VERSION, "MinAPIVersion", API_VERSION_MIN, "GitCommit", "", "GoVersion", "",
                  "Os", "linux", "Arch", arch, "KernelVersion", u.release));
}

/* There is nothing to log in to: credentials are checked when a registry is asked. */
void handle_auth(struct request *r)
{
    reply_json(r, MHD_HTTP_OK,
               json_pack("{s:s,s:s}", "Status", "Login Succeeded", "IdentityToken", ""));
}

/* There are none, but clients ask. */
void handle_plugin_list(struct request *r)
{
    reply_json(r, MHD_HTTP_OK, json_array());
}

/* --- /info ---------------------------------------------------------------------------------- */

struct host_counts {
    uint64_t all, running, paused;
};

static void count_container(void *owner, const struct container_info *info)
{
    struct host_counts *c = owner;

    c->all++;
    c->running += info->state == CONTAINER_RUNNING;
    c->paused += info->state == CONTAINER_PAUSED;
}

/* PRETTY_NAME of os-release(5). */
static void read_os_name(char *out, size_t len)
{
    FILE *f = fopen("/etc/os-release", "re");
    char line[512];

    (void)snprintf(out, len, "Linux");
    while (f != NULL && fgets(line, (int)sizeof(line), f) != NULL) {
        char *value = line + sizeof("PRETTY_NAME=") - 1;

        if (strncmp(line, "PRETTY_NAME=", sizeof("PRETTY_NAME=") - 1) != 0)
            continue;
        if (*value == '"')
            value++;
        value[strcspn(value, "\"\n")] = '\0';
        if (utf8_is_valid(slice_of_str(value)))
            (void)snprintf(out, len, "%s", value);
    }
    if (f != NULL)
        (void)fclose(f); /* was only read */
}

static json_t *remotes_json(const struct api_status *st)
{
    json_t *list = json_array();

    for (size_t i = 0; i < st->remote_count; i++)
        list_json_add(&list, json_pack("{s:s,s:s}", "NodeID", st->remotes[i].node_id.text, "Addr",
                                       st->remotes[i].addr));
    return list;
}

static json_t *swarm_info_json(const struct request *r, const struct api_status *st)
{
    const struct store *store = request_store(r);
    const struct cluster *cluster = store != NULL ? store_the_cluster(store) : NULL;
    json_t *json = json_pack("{s:s,s:s,s:s,s:b,s:s,s:o}", "NodeID", st->node_id.text, "NodeAddr",
                             st->addr, "LocalNodeState", membership_text(st->membership),
                             "ControlAvailable", st->is_manager && store != NULL, "Error",
                             st->error, "RemoteManagers", remotes_json(st));
    struct store_iter it;
    json_int_t managers = 0;

    if (cluster == NULL)
        return json;
    STORE_EACH(&it, store, OBJECT_NODE, struct node, n)
    managers += n->spec.role == ROLE_MANAGER;
    if (json_object_set_new(json, "Nodes",
                            json_integer((json_int_t)store_count(store, OBJECT_NODE))) < 0 ||
        json_object_set_new(json, "Managers", json_integer(managers)) < 0 ||
        json_object_set_new(json, "Cluster", swarm_json(r, cluster)) < 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* An answer under way that still needs the number of images. */
struct info {
    json_int_t images;
};

static void count_image(void *owner, const struct image_info *image)
{
    struct request *r = owner;

    (void)image;
    ((struct info *)r->state)->images++;
}

static json_t *info_json(struct request *r, json_int_t images)
{
    const struct api_config *cfg = &r->api->cfg;
    const struct node_description *d = cfg->backend.description(cfg->backend.ctx);
    const struct runtime_host *host = cfg->runtime != NULL ? runtime_host(cfg->runtime) : NULL;
    const char *oci = host != NULL && host->oci_runtime != NULL ? host->oci_runtime : "";
    struct host_counts c = { 0 };
    char os_name[256], now[TIME_TEXT_MAX], oci_name[64];
    struct api_status st;
    struct utsname u;

    if (cfg->runtime != NULL)
        runtime_container_list(cfg->runtime, count_container, &c);
    if (uname(&u) < 0)
        return NULL;
    request_status(r, &st);
    read_os_name(os_name, sizeof(os_name));
    time_format(api_wall_now(), now);
    (void)snprintf(oci_name, sizeof(oci_name), "%.*s", (int)strcspn(oci, " "), oci);
    return json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:[[ss]],s:{s:[s],s:[s],s:[s]},s:b,s:b,s:b,s:b,s:b,s:b,s:b,"
        "s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:[],s:s,s:{s:{s:s}},s:s,s:o,s:b,s:"
        "s,s:[s],s:s,s:b,s:n}",
        "ID", st.node_id.text, "Containers", (json_int_t)c.all, "ContainersRunning",
        (json_int_t)c.running, "ContainersPaused", (json_int_t)c.paused, "ContainersStopped",
        (json_int_t)(c.all - c.running - c.paused), "Images", images, "Driver", "overlayfs",
        "DriverStatus", "OCI Runtime", oci, "Plugins", "Volume", "local", "Network", "overlay",
        "Log", "json-file", "MemoryLimit", 1, "SwapLimit", 1, "CpuCfsPeriod", 1, "CpuCfsQuota", 1,
        "CPUShares", 1, "CPUSet", 1, "PidsLimit", 1, "IPv4Forwarding", 1, "SystemTime", now,
        "LoggingDriver", "json-file", "CgroupDriver", "cgroupfs", "CgroupVersion",
        host != NULL && host->cgroup_layout != NULL && strcmp(host->cgroup_layout, "v2") == 0 ? "2"
                                                                                              : "1",
        "KernelVersion", u.release, "OperatingSystem", os_name, "OSType", "linux", "Architecture",
        u.machine, "NCPU", (json_int_t)(d != NULL ? d->resources.nano_cpus / (int64_t)NS_PER_S : 0),
        "MemTotal", (json_int_t)(d != NULL ? d->resources.memory_bytes : 0), "DockerRootDir",
        cfg->state_dir, "Name", d != NULL && d->hostname != NULL ? d->hostname : u.nodename,
        "Labels", "ServerVersion", cfg->version, "Runtimes", oci_name, "path", oci_name,
        "DefaultRuntime", oci_name, "Swarm", swarm_info_json(r, &st), "LiveRestoreEnabled", 1,
        "Isolation", "", "SecurityOptions", "name=seccomp,profile=builtin", "IndexServerAddress",
        "", "ExperimentalBuild", 0, "Warnings");
}

static void on_images(void *owner, int err, const char *message)
{
    struct request *r = owner;
    const struct info *i = r->state;

    (void)message; /* a host whose images cannot be counted has still much to tell */
    if (!request_is_over(r))
        reply_json(r, MHD_HTTP_OK, info_json(r, err < 0 ? 0 : i->images));
    request_release(r);
}

void handle_info(struct request *r)
{
    if (r->api->cfg.runtime == NULL) {
        reply_json(r, MHD_HTTP_OK, info_json(r, 0));
        return;
    }
    if (request_state(r, sizeof(struct info)) == NULL)
        return;
    request_hold(r);
    runtime_image_list(r->api->cfg.runtime, count_image, on_images, r);
}
