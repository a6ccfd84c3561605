#include "node/description.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <uv.h>

#include "base/err.h"

#define GOSSIP_PORT_DEFAULT "7946"
#define ENGINE_VERSION      "0.1.0"

/* "10.0.0.1" and "0.0.0.0:7946" -> "10.0.0.1:7946"; IPv6 addresses get brackets. */
static void join_port(const char *address, const char *bind, char *out, size_t len)
{
    const char *port = strrchr(bind, ':');
    bool is_v6 = strchr(address, ':') != NULL;

    (void)snprintf(out, len, "%s%s%s%s", is_v6 ? "[" : "", address, is_v6 ? "]" : "",
                   port == NULL ? ":" GOSSIP_PORT_DEFAULT : port);
}

static int describe_addresses(const struct options *o, const char *address,
                              struct node_description *out)
{
    char text[128], port[16];
    int rc;

    join_port(address, o->listen, text, sizeof(text));
    rc = str_list_append(&out->link_addrs, text);
    join_port(address, o->gossip, text, sizeof(text));
    if (rc == 0)
        rc = str_set(&out->gossip_addr, text);
    (void)snprintf(port, sizeof(port), ":%u", o->data_port);
    join_port(address, port, text, sizeof(text));
    if (rc == 0)
        rc = str_list_append(&out->data_addrs, text);
    return rc;
}

static int describe_engine(struct node_description *out)
{
    static const struct {
        const char *type, *name;
    } plugins[] = {
        { "Log", "json-file" }, { "Log", "none" }, { "Network", "overlay" }, { "Volume", "local" }
    };
    int rc = str_set(&out->engine.version, ENGINE_VERSION);

    for (size_t i = 0; i < ARRAY_LEN(plugins) && rc == 0; i++) {
        struct engine_plugin *p = LIST_ADD(&out->engine.plugins);

        if (p == NULL)
            return -ENOMEM;
        rc = str_set(&p->type, plugins[i].type);
        if (rc == 0)
            rc = str_set(&p->name, plugins[i].name);
    }
    return rc;
}

int description_of_machine(const struct options *o, const char *address,
                           struct node_description *out)
{
    struct utsname machine;
    int rc;

    *out = (struct node_description){ 0 };
    if (uname(&machine) < 0)
        return -errno;
    rc = str_set(&out->hostname, o->hostname != NULL ? o->hostname : machine.nodename);
    if (rc == 0)
        rc = str_set(&out->platform.architecture, machine.machine);
    if (rc == 0)
        rc = str_set(&out->platform.os, "linux");
    out->resources.nano_cpus = (int64_t)uv_available_parallelism() * INT64_C(1000000000);
    out->resources.memory_bytes = (int64_t)uv_get_total_memory();
    if (rc == 0)
        rc = describe_engine(out);
    if (rc == 0)
        rc = describe_addresses(o, address, out);
    if (rc < 0)
        fields_deinit(&node_description_type, out);
    return rc;
}

static bool is_candidate(const uv_interface_address_t *a, char *text, size_t len)
{
    if (a->is_internal || a->address.address4.sin_family != AF_INET)
        return false;
    return uv_ip4_name(&a->address.address4, text, len) == 0 && strncmp(text, "169.254.", 8) != 0;
}

int description_only_address(char *out, size_t len)
{
    uv_interface_address_t *all;
    int count, found = 0;
    size_t used = 0;

    if (uv_interface_addresses(&all, &count) < 0)
        return ERR_NOT_FOUND;
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        char text[64];

        if (!is_candidate(&all[i], text, sizeof(text)) || used + strlen(text) + 3 > len)
            continue;
        used += (size_t)snprintf(out + used, len - used, "%s%s", found > 0 ? ", " : "", text);
        found++;
    }
    uv_free_interface_addresses(all, count);
    return found == 1 ? 0 : found == 0 ? ERR_NOT_FOUND : ERR_CONFLICT;
}
