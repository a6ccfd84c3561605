/* overlaynet/services.h - Names, virtual IPs and published ports on one host.
 *
 * Stands on overlay.h. The caller states services and their backends, network by network, in any
 * order and as often as it likes; what follows from them is kept up to date:
 *   - in every attached sandbox a resolver at 127.0.0.11: service names and aliases -> virtual IP
 *     (or the ready backends), tasks.<service>, <slot>.<service>, task names; the rest is asked
 *     of the host's resolvers;
 *   - connections of attached sandboxes to a virtual IP go to a ready backend, without
 *     NAT in the path;
 *   - the published ports of services on an ingress network are open on this host and lead to a
 *     backend, one of this host first; backends see the client's address. IPv4 and IPv6, also at
 *     127.0.0.1 and ::1.
 * A sandbox sees only names and virtual IPs of the networks that it is attached to. Only
 * ready backends get new connections; what is established goes on until its end.
 *
 * As with overlay.h: on the loop's thread; borrows arguments for the call; what was set up
 * outlives a restart and is adopted; overlay_services_settle() removes left-overs. */
#ifndef OVERLAYNET_SERVICES_H
#define OVERLAYNET_SERVICES_H

#include "overlaynet/overlay.h"

#define OVERLAY_RESOLVER_ADDRESS "127.0.0.11"
#define OVERLAY_ALIASES_MAX      64
#define OVERLAY_PORTS_MAX        256

struct overlay_services;

struct overlay_services_config {
    struct uv_loop_s *loop;
    struct overlay *overlay; /* borrowed until closed */
    const char *run_dir;     /* as of overlay_config */
    struct id node_id;
    bool no_ingress; /* never touch the host's own namespace (tests, labs) */
};

/* The caller owns *out: overlay_services_close().  On failure `why` has a sentence. */
NODISCARD int overlay_services_open(const struct overlay_services_config *cfg,
                                    struct overlay_services **out, char *why, size_t why_len);
void overlay_services_close(struct overlay_services *s, void (*done)(void *ctx), void *ctx);
void overlay_services_settle(struct overlay_services *s);

enum overlay_service_mode { OVERLAY_VIP, OVERLAY_DNSRR };

struct overlay_published {
    uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
    uint16_t published_port, target_port;
};

struct overlay_service {
    struct id network_id, service_id;
    const char *name;
    const char *const *aliases;
    size_t alias_count;
    enum overlay_service_mode mode;
    struct ip_addr vip;                    /* none = no virtual IP */
    const struct overlay_published *ports; /* on the ingress network only */
    size_t port_count;
};

/* Of two services with the same name or port the one that was stated first has it, until it is
 * removed or renamed: the end of one and the start of the other may arrive in any order.
 *   ERR_NOT_FOUND (network not stated), ERR_INVALID, ERR_FULL, -ENOMEM */
NODISCARD int overlay_service_set(struct overlay_services *s,
                                  const struct overlay_service *service);
void overlay_service_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *service_id); /* unknown is no error */

struct overlay_backend {
    struct id network_id, endpoint_id, service_id, node_id;
    struct ip_addr ip4, ip6;
    uint64_t slot;         /* 0 = none */
    const char *task_name; /* a DNS name of this backend alone; NULL = none */
    const char *const *aliases;
    size_t alias_count;
    bool ready;   /* may get new connections */
    bool gateway; /* a node's ingress leg: never a backend, but where replies return to */
    uint8_t mac[OVERLAY_MAC_LEN];
};

/* The service may be stated later.  ERR_NOT_FOUND (network), ERR_INVALID, ERR_FULL, -ENOMEM */
NODISCARD int overlay_backend_set(struct overlay_services *s,
                                  const struct overlay_backend *backend);
void overlay_backend_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *endpoint_id); /* unknown is no error */

/* Backends of a node that gossip holds for unreachable get no new connections meanwhile. */
void overlay_services_reachable(struct overlay_services *s, const struct id *node_id,
                                bool reachable);

/* Whether this kernel speaks IPv6. If not, legs on ingress networks are to be IPv4 only. */
bool overlay_services_ip6(void);

/* Gives a sandbox that overlay_sandbox_create made its resolver and virtual IPs; repeat it after
 * a restart, or when its attachments change. `done` as in overlay.h, always called, once. */
void overlay_services_attach(struct overlay_services *s, const struct overlay_sandbox *sandbox,
                             overlay_done done, void *ctx);
void overlay_services_detach(struct overlay_services *s, const struct id *sandbox_id);

#endif /* OVERLAYNET_SERVICES_H */
