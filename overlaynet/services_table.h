/* overlaynet/services_table.h - Services and their backends, network by network. Pure.
 *
 * What the caller stated, copied, and indexed by what the resolver is asked for. A backend may be
 * stated before its service: the service then exists as a group without a name. Names are compared
 * without case, as in the DNS, and may have several owners: the one that came first answers. */
#ifndef OVERLAYNET_SERVICES_TABLE_H
#define OVERLAYNET_SERVICES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/map.h"
#include "overlaynet/services.h"

#define SERVICES_NAME_MAX     253   /* of a name in the DNS, as text */
#define SERVICES_MAX          65536 /* in one network */
#define SERVICES_BACKENDS_MAX OVERLAY_ENDPOINTS_MAX

struct service_group;
struct backend;

/* A name and who answers to it. */
struct name_owner {
    struct list link;
    struct service_group *group; /* one of the two */
    struct backend *backend;
};

struct name_entry {
    struct list owners; /* struct name_owner, in the order in which they came */
    size_t owner_count;
};

struct names {
    char **texts; /* lower case; the first may be the own name */
    struct name_owner *owners;
    size_t count;
};

struct backend {
    struct list link; /* in its group */
    struct service_group *group;
    struct id endpoint_id, node_id;
    struct ip_addr ip4, ip6;
    uint64_t slot;
    bool ready, gateway;
    uint8_t mac[OVERLAY_MAC_LEN];
    struct names names;
};

struct service_group {
    struct service_net *net;
    struct id service_id;
    struct list backends; /* in the order in which they came */
    bool is_stated;       /* the rest is filled */
    enum overlay_service_mode mode;
    struct ip_addr vip;
    struct overlay_published *ports;
    size_t port_count;
    struct names names; /* its name, then aliases */
};

struct service_net {
    struct id id;
    struct map groups;   /* struct service_group, by service id */
    struct map backends; /* struct backend, by endpoint id; gateways too */
    struct map names;    /* struct name_entry, by lower-case name */
    size_t gateway_count;
};

struct services_table {
    struct hash_seed seed;
    struct map nets;        /* struct service_net, by id */
    struct map unreachable; /* node ids; the value is the table itself */
};

void services_table_init(struct services_table *t, const struct hash_seed *seed);
void services_table_deinit(struct services_table *t);

/* The four below return as those of overlay_services, and 1 when something changed. A refused
 * change leaves the table as it was. */
NODISCARD int services_table_set(struct services_table *t, const struct overlay_service *service);
int services_table_remove(struct services_table *t, const struct id *network_id,
                          const struct id *service_id);
NODISCARD int services_table_set_backend(struct services_table *t,
                                         const struct overlay_backend *backend);
int services_table_remove_backend(struct services_table *t, const struct id *network_id,
                                  const struct id *endpoint_id);
/* 1 when this is news.  ERR_FULL, -ENOMEM */
NODISCARD int services_table_reachable(struct services_table *t, const struct id *node_id,
                                       bool reachable);

/* NULL when nothing was stated there. */
struct service_net *services_table_net(const struct services_table *t, const struct id *network_id);

/* Whether new connections may go to it. */
bool services_table_takes(const struct services_table *t, const struct backend *b);

/* Who answers to a name, in any case; NULL = nobody. */
const struct name_entry *service_net_find(const struct service_net *net, struct slice name);

/* "web.example" and the like: labels of letters, digits, '-' and '_'. */
bool services_is_name(const char *name);

#endif /* OVERLAYNET_SERVICES_TABLE_H */
