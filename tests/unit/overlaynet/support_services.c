#include "support_services.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

struct id services_id(const char *name)
{
    struct id id = { "0000000000000000000000000" };

    memcpy(id.text, name, strlen(name));
    return id;
}

struct ip_addr services_ip(const char *text)
{
    struct ip_addr addr = { 0 };

    CHECK(text == NULL || ip_parse(slice_of_str(text), &addr) == 0);
    return addr;
}

void services_add_service(struct services_table *t, const char *network, const char *name,
                          enum overlay_service_mode mode, const char *vip)
{
    const char *alias = "www";
    struct overlay_service s = { .network_id = services_id(network),
                                 .service_id = services_id(name),
                                 .name = name,
                                 .aliases = &alias,
                                 .alias_count = strcmp(name, "web") == 0,
                                 .mode = mode,
                                 .vip = services_ip(vip) };

    CHECK(services_table_set(t, &s) == 1);
}

static void add(struct services_table *t, const char *network, const char *service,
                const char *name, struct overlay_backend b)
{
    b.network_id = services_id(network);
    b.endpoint_id = services_id(name);
    if (service != NULL)
        b.service_id = services_id(service);
    if (id_is_none(&b.node_id))
        b.node_id = services_id("near");
    CHECK(services_table_set_backend(t, &b) == 1);
}

void services_add_backend(struct services_table *t, const char *network, const char *service,
                          unsigned n, bool ready)
{
    char name[24];

    (void)snprintf(name, sizeof(name), "%.8s%u", service, n);
    add(t, network, service, name,
        (struct overlay_backend){ .ip4 = ip4_of_u32(0x0a000000u + n), .slot = n, .ready = ready });
}

void services_make(struct services_table *t)
{
    static const struct hash_seed seed;
    const char *fast = "fast";

    services_table_init(t, &seed);
    add(t, "blue", "web", "a",
        (struct overlay_backend){ .ip4 = services_ip("10.0.0.2"),
                                  .slot = 1,
                                  .task_name = "web.1.aaa",
                                  .aliases = &fast,
                                  .alias_count = 1,
                                  .ready = true });
    services_add_service(t, "blue", "web", OVERLAY_VIP, "10.0.0.100");
    add(t, "blue", "web", "b",
        (struct overlay_backend){ .ip4 = services_ip("10.0.0.3"),
                                  .node_id = services_id("far"),
                                  .slot = 2,
                                  .ready = true });
    add(t, "blue", "web", "c",
        (struct overlay_backend){ .ip4 = services_ip("10.0.0.4"), .slot = 3 });
    add(t, "blue", NULL, "gateway",
        (struct overlay_backend){ .ip4 = services_ip("10.0.0.250"),
                                  .task_name = NULL,
                                  .ready = true,
                                  .gateway = true,
                                  .mac = { 2, 0, 0, 0, 0, 0xfa } });
    services_add_service(t, "blue", "db", OVERLAY_DNSRR, NULL);
    add(t, "blue", "db", "d",
        (struct overlay_backend){
            .ip4 = services_ip("10.0.0.9"), .ip6 = services_ip("fd00::9"), .ready = true });
    services_add_service(t, "red", "web", OVERLAY_VIP, "10.9.0.100");
    services_add_service(t, "red", "secret", OVERLAY_VIP, "10.9.0.101");
}
