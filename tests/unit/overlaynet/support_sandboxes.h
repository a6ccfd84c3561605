/* tests/unit/overlaynet/support_sandboxes.h - One host with real sandboxes, for tests of names,
 * virtual IPs and published ports: an encrypted network "blue" (10.77.0.0/24) and an ingress
 * network (10.78.0.0/24, fd78::/64). All of it happens in a network namespace and a mount namespace
 * of the test's own, which go with it. */
#ifndef TESTS_SUPPORT_SANDBOXES_H
#define TESTS_SUPPORT_SANDBOXES_H

#include <stdbool.h>

#include <uv.h>

#include "overlaynet/services.h"

#define SANDBOXES_PORT 8080 /* where servers listen */

struct sandboxes {
    bool is_ready; /* namespaces could be made; else tests skip */
    char dir[32];
    uv_loop_t loop;
    struct overlay *overlay;
    struct overlay_services *services;
    struct id node_id, network_id, ingress_id, service_id; /* the service "web" */
    struct id alice_id, bob_id, carol_id;                  /* sandboxes */
};
extern struct sandboxes sandboxes;

int sandboxes_set_up(void **state); /* of a group of tests */
int sandboxes_tear_down(void **state);

struct ip_addr sandboxes_ip(const char *text);
struct id sandboxes_id(const char *text);

/* An operation that ends on the loop. */
struct outcome {
    bool is_done;
    int err;
    char why[256];
};
void sandboxes_on_done(void *ctx, int err, const char *why); /* ctx: struct outcome */
void sandboxes_wait(struct outcome *o);                      /* fails the test on an error */

/* `ip6` NULL = none. */
struct overlay_attachment sandboxes_leg(const struct id *network, const struct id *id,
                                        const char *ip4, const char *ip6);
/* Attaches `id` to names and ports, after making the sandbox if `create`; done when its rules and
 * all that were handed to the worker before are in force. */
void sandboxes_attach(const struct overlay_attachment *leg, const struct id *id, bool create);
int sandboxes_open_netns(const struct id *sandbox); /* the caller closes it */

/* A client: a thread of its own, so that the loop can serve it. */
struct client {
    char netns[OVERLAY_PATH_MAX];   /* "" = the host itself */
    const char *name;               /* asked of the resolver; NULL = do not ask */
    bool over_tcp;                  /* the question */
    bool over_udp;                  /* the connection */
    char address[INET6_ADDRSTRLEN]; /* the answer, then where it connects to */
    int limit_s;                    /* 0 = 5 */
    int rcode;
    int err; /* of connect(2) */
    char peer_saw[INET6_ADDRSTRLEN];
    uv_async_t finished;
    bool is_done;
};
void sandboxes_run(struct client *c);
void sandboxes_run_in(struct client *c, const struct id *sandbox);

/* A server in a sandbox, which tells every client the address that it sees; of both families. Over
 * UDP it answers from a socket that is bound to no address. */
struct server {
    int fd;
    uv_thread_t thread;
};
void sandboxes_serve(struct server *s, const struct id *sandbox, int type);
void sandboxes_stop(struct server *s);

#endif /* TESTS_SUPPORT_SANDBOXES_H */
