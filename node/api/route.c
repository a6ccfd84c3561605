/* node/api/route.c - The table of paths, and finding a request's row in it.
 *
 * The table is searched from the top: about a hundred string comparisons, a few microseconds. */
#include "node/api/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"

#define MINOR_MAX 47 /* API_VERSION */
#define MINOR_MIN 24 /* API_VERSION_MIN */

static const struct route routes[] = {
    { "GET", "_ping", ROUTE_LOCAL, handle_ping },
    { "HEAD", "_ping", ROUTE_LOCAL, handle_ping },
    { "GET", "version", ROUTE_LOCAL, handle_version },
    { "GET", "info", ROUTE_LOCAL, handle_info },
    { "GET", "events", ROUTE_LOCAL, handle_events },
    { "POST", "auth", ROUTE_LOCAL, handle_auth },
    { "GET", "plugins", ROUTE_LOCAL, handle_plugin_list },

    { "POST", "swarm/init", ROUTE_LOCAL, handle_swarm_init },
    { "POST", "swarm/join", ROUTE_LOCAL, handle_swarm_join },
    { "POST", "swarm/leave", ROUTE_LOCAL, handle_swarm_leave },
    { "GET", "swarm", ROUTE_MANAGER, handle_swarm_inspect },
    { "POST", "swarm/update", ROUTE_MANAGER, handle_swarm_update },
    { "POST", "swarm/unlock", ROUTE_LOCAL, handle_swarm_unlock },
    { "GET", "swarm/unlockkey", ROUTE_MANAGER, handle_swarm_unlock_key },

    { "GET", "nodes", ROUTE_MANAGER, handle_node_list },
    { "GET", "nodes/*", ROUTE_MANAGER, handle_node_inspect },
    { "POST", "nodes/*/update", ROUTE_MANAGER, handle_node_update },
    { "DELETE", "nodes/*", ROUTE_MANAGER, handle_node_remove },

    { "GET", "services", ROUTE_MANAGER, handle_service_list },
    { "POST", "services/create", ROUTE_MANAGER, handle_service_create },
    { "GET", "services/*", ROUTE_MANAGER, handle_service_inspect },
    { "POST", "services/*/update", ROUTE_MANAGER, handle_service_update },
    { "DELETE", "services/*", ROUTE_MANAGER, handle_service_remove },
    { "GET", "services/*/why", ROUTE_MANAGER, handle_service_why },
    { "GET", "services/*/logs", ROUTE_MANAGER, handle_service_logs },
    { "GET", "tasks/*/logs", ROUTE_MANAGER, handle_task_logs },
    { "GET", "tasks", ROUTE_MANAGER, handle_task_list },
    { "GET", "tasks/*", ROUTE_MANAGER, handle_task_inspect },

    { "GET", "networks", ROUTE_CLUSTER, handle_network_list },
    { "POST", "networks/create", ROUTE_MANAGER, handle_network_create },
    { "POST", "networks/prune", ROUTE_CLUSTER, handle_network_prune },
    { "GET", "networks/*", ROUTE_CLUSTER, handle_network_inspect },
    { "DELETE", "networks/*", ROUTE_MANAGER, handle_network_remove },

    { "GET", "secrets", ROUTE_MANAGER, handle_secret_list },
    { "POST", "secrets/create", ROUTE_MANAGER, handle_secret_create },
    { "GET", "secrets/*", ROUTE_MANAGER, handle_secret_inspect },
    { "POST", "secrets/*/update", ROUTE_MANAGER, handle_secret_update },
    { "DELETE", "secrets/*", ROUTE_MANAGER, handle_secret_remove },
    { "GET", "configs", ROUTE_MANAGER, handle_config_list },
    { "POST", "configs/create", ROUTE_MANAGER, handle_config_create },
    { "GET", "configs/*", ROUTE_MANAGER, handle_config_inspect },
    { "POST", "configs/*/update", ROUTE_MANAGER, handle_config_update },
    { "DELETE", "configs/*", ROUTE_MANAGER, handle_config_remove },

    { "GET", "images/json", ROUTE_LOCAL, handle_image_list },
    { "GET", "images/get", ROUTE_LOCAL, handle_image_save_many },
    { "POST", "images/load", ROUTE_UPLOAD, handle_image_load },
    { "POST", "images/create", ROUTE_UPLOAD, handle_image_create },
    { "POST", "images/prune", ROUTE_LOCAL, handle_image_prune },
    { "GET", "images/**/json", ROUTE_LOCAL, handle_image_inspect },
    { "GET", "images/**/history", ROUTE_LOCAL, handle_image_history },
    { "GET", "images/**/get", ROUTE_LOCAL, handle_image_save },
    { "POST", "images/**/tag", ROUTE_LOCAL, handle_image_tag },
    { "DELETE", "images/**", ROUTE_LOCAL, handle_image_remove },
    { "GET", "distribution/**/json", ROUTE_LOCAL, handle_distribution },

    { "GET", "containers/json", ROUTE_LOCAL, handle_container_list },
    { "POST", "containers/create", ROUTE_LOCAL, handle_container_create },
    { "POST", "containers/prune", ROUTE_LOCAL, handle_container_prune },
    { "GET", "containers/*/json", ROUTE_LOCAL, handle_container_inspect },
    { "GET", "containers/*/logs", ROUTE_LOCAL, handle_container_logs },
    { "GET", "containers/*/stats", ROUTE_LOCAL, handle_container_stats },
    { "POST", "containers/*/stop", ROUTE_LOCAL, handle_container_stop },
    { "POST", "containers/*/start", ROUTE_LOCAL, handle_container_start },
    { "POST", "containers/*/restart", ROUTE_LOCAL, handle_container_restart },
    { "POST", "containers/*/kill", ROUTE_LOCAL, handle_container_kill },
    { "POST", "containers/*/pause", ROUTE_LOCAL, handle_container_pause },
    { "POST", "containers/*/unpause", ROUTE_LOCAL, handle_container_unpause },
    { "POST", "containers/*/wait", ROUTE_LOCAL, handle_container_wait },
    { "POST", "containers/*/attach", ROUTE_LOCAL, handle_container_attach },
    { "POST", "containers/*/resize", ROUTE_LOCAL, handle_container_resize },
    { "POST", "containers/*/exec", ROUTE_LOCAL, handle_exec_create },
    { "DELETE", "containers/*", ROUTE_LOCAL, handle_container_remove },
    { "POST", "exec/*/start", ROUTE_LOCAL, handle_exec_start },
    { "GET", "exec/*/json", ROUTE_LOCAL, handle_exec_inspect },
    { "POST", "exec/*/resize", ROUTE_LOCAL, handle_exec_resize },

    { "GET", "volumes", ROUTE_LOCAL, handle_volume_list },
    { "POST", "volumes/create", ROUTE_LOCAL, handle_volume_create },
    { "POST", "volumes/prune", ROUTE_LOCAL, handle_volume_prune },
    { "GET", "volumes/*", ROUTE_LOCAL, handle_volume_inspect },
    { "DELETE", "volumes/*", ROUTE_LOCAL, handle_volume_remove },
    { "GET", "system/df", ROUTE_LOCAL, handle_df },
    { "POST", "build/prune", ROUTE_LOCAL, handle_build_prune },
};

int route_version(const char **path, unsigned *minor)
{
    const char *p = *path;
    char *end = NULL;
    unsigned long n;

    *minor = MINOR_MAX;
    if (strncmp(p, "/v", 2) != 0 || p[2] < '0' || p[2] > '9')
        return 0;
    if (strncmp(p, "/v1.", 4) != 0 || p[4] < '0' || p[4] > '9')
        return p[2] == '1' ? ERR_MALFORMED : ERR_UNSUPPORTED;
    n = strtoul(p + 4, &end, 10);
    if (*end != '/' || end - p > 7)
        return ERR_MALFORMED;
    *path = end;
    if (n < MINOR_MIN || n > MINOR_MAX)
        return ERR_UNSUPPORTED;
    *minor = (unsigned)n;
    return 0;
}

/* The end of the part of a path that starts at `p`. */
static const char *part_end(const char *p)
{
    const char *slash = strchr(p, '/');

    return slash != NULL ? slash : p + strlen(p);
}

static size_t part_count(const char *p)
{
    size_t n = 1;

    for (; *p != '\0'; p++)
        n += *p == '/';
    return n;
}

/* The end of `count` parts from `p`. */
static const char *parts_end(const char *p, size_t count)
{
    const char *end = part_end(p);

    while (--count > 0)
        end = part_end(end + 1);
    return end;
}

bool route_match(const char *pattern, char *path, char *args[ROUTE_ARGS_MAX])
{
    size_t want = part_count(pattern), have = part_count(path), arg_count = 0;
    struct {
        char *start;
        size_t len;
    } found[ROUTE_ARGS_MAX];
    bool many = strstr(pattern, "**") != NULL;

    if (many ? have < want : have != want)
        return false;
    for (char *p = path;;) {
        const char *pattern_end = part_end(pattern);
        size_t pattern_len = (size_t)(pattern_end - pattern);
        bool wild = pattern[0] == '*';
        /* There is one "**" at most, so what it stands for is what the others leave. */
        const char *end = parts_end(p, wild && pattern_len == 2 ? have - want + 1 : 1);
        size_t len = (size_t)(end - p);

        if (wild) {
            if (len == 0 || arg_count == ROUTE_ARGS_MAX)
                return false;
            found[arg_count].start = p;
            found[arg_count++].len = len;
        } else if (len != pattern_len || memcmp(p, pattern, len) != 0) {
            return false;
        }
        if (*pattern_end == '\0' || *end == '\0')
            break;
        pattern = pattern_end + 1;
        p += len + 1;
    }
    for (size_t i = 0; i < ROUTE_ARGS_MAX; i++)
        args[i] = NULL;
    for (size_t i = 0; i < arg_count; i++) {
        args[i] = found[i].start;
        found[i].start[found[i].len] = '\0';
    }
    return true;
}

const struct route *route_find(const char *method, char *path, char *args[ROUTE_ARGS_MAX],
                               bool *other_method)
{
    *other_method = false;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (strcmp(routes[i].method, method) == 0 && route_match(routes[i].pattern, path, args))
            return &routes[i];
    }
    /* Only for the right refusal, so it does not matter that this cuts the path. */
    for (size_t i = 0; i < ARRAY_LEN(routes) && !*other_method; i++)
        *other_method = route_match(routes[i].pattern, path, args);
    return NULL;
}

#define NO_BUILD \
    "images are not built here: build elsewhere, then load the image or push it to a registry"
#define NO_COPY "files are not copied: mount a volume, or run tar by exec"
#define NO_LINK "a container that runs does not change its networks: give them when it is created"
#define NO_TOP  "processes are not listed: run ps in the container by exec"

static const struct {
    const char *method; /* NULL: any */
    const char *pattern, *why;
} unserved[] = {
    { "POST", "build", NO_BUILD },
    { "POST", "session", NO_BUILD },
    { "POST", "grpc", NO_BUILD },
    { "POST", "commit", NO_BUILD },
    { NULL, "containers/*/archive", NO_COPY },
    { "GET", "containers/*/export", NO_COPY },
    { "GET", "containers/*/changes", "what a container has changed in its image is not listed" },
    { "GET", "containers/*/top", NO_TOP },
    { "POST", "containers/*/rename", "a container keeps its name: create another" },
    { "POST", "containers/*/update",
      "the limits of a container that runs do not change: create another, or update its service" },
    { "POST", "networks/*/connect", NO_LINK },
    { "POST", "networks/*/disconnect", NO_LINK },
    { "GET", "images/search", "registries are not searched: pull by name" },
    { "POST", "images/**/push", "images are not pushed: save the image, push it with other tools" },
    { NULL, "plugins/**", "there are no plugins" },
};

const char *route_unserved(const char *method, char *path)
{
    char *args[ROUTE_ARGS_MAX];

    for (size_t i = 0; i < ARRAY_LEN(unserved); i++) {
        if (unserved[i].method != NULL && strcmp(method, unserved[i].method) != 0)
            continue;
        if (route_match(unserved[i].pattern, path, args))
            return unserved[i].why;
    }
    return NULL;
}
