#include "support_sandboxes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sodium.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/slice.h"
#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"

struct sandboxes sandboxes = { .dir = "/tmp/shoal-services-XXXXXX" };

/* --- The host -------------------------------------------------------------------------------- */

struct id sandboxes_id(const char *text)
{
    struct id id;

    assert_int_equal(id_parse(slice_of_str(text), &id), 0);
    return id;
}

struct ip_addr sandboxes_ip(const char *text)
{
    struct ip_addr addr;

    assert_int_equal(ip_parse(slice_of_str(text), &addr), 0);
    return addr;
}

static void bring_lo_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    (void)close(fd);
}

static void open_host(void)
{
    struct overlay_config cfg = { .loop = &sandboxes.loop,
                                  .state_dir = sandboxes.dir,
                                  .run_dir = sandboxes.dir,
                                  .node_id = sandboxes.node_id,
                                  .lanes = 1,
                                  .no_egress = true };
    struct overlay_services_config config = { .loop = &sandboxes.loop,
                                              .run_dir = sandboxes.dir,
                                              .node_id = sandboxes.node_id };
    struct overlay_network network = {
        .id = sandboxes.network_id, .vni = 5001, .name = "blue", .mtu = 1400, .encrypted = true
    };
    struct overlay_network ingress = { .id = sandboxes.ingress_id,
                                       .vni = 5002,
                                       .name = "ingress",
                                       .mtu = 1400,
                                       .encrypted = true,
                                       .ingress = true };
    char why[256] = "";

    memset(cfg.static_secret, 7, sizeof(cfg.static_secret));
    assert_int_equal(crypto_scalarmult_base(cfg.static_public, cfg.static_secret), 0);
    network.subnet4 = (struct ip_prefix){ .addr = sandboxes_ip("10.77.0.0"), .bits = 24 };
    network.gateway4 = sandboxes_ip("10.77.0.1");
    ingress.subnet4 = (struct ip_prefix){ .addr = sandboxes_ip("10.78.0.0"), .bits = 24 };
    ingress.gateway4 = sandboxes_ip("10.78.0.1");
    ingress.subnet6 = (struct ip_prefix){ .addr = sandboxes_ip("fd78::"), .bits = 64 };
    ingress.gateway6 = sandboxes_ip("fd78::1");
    if (overlay_open(&cfg, &sandboxes.overlay, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    config.overlay = sandboxes.overlay;
    if (overlay_services_open(&config, &sandboxes.services, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    assert_int_equal(overlay_network_set(sandboxes.overlay, &network), 0);
    assert_int_equal(overlay_network_set(sandboxes.overlay, &ingress), 0);
}

/* In the mount namespace of the test. */
static void use_resolver_of_the_test(void)
{
    static const char text[] = "nameserver 127.0.0.1\n";
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/resolv.conf", sandboxes.dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    (void)close(fd);
    assert_int_equal(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
}

int sandboxes_set_up(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("skipped: network namespaces cannot be made here: %s\n", strerror(errno));
        return 0;
    }
    sandboxes.is_ready = true;
    assert_int_not_equal(sodium_init(), -1);
    assert_non_null(mkdtemp(sandboxes.dir));
    assert_int_equal(mount("none", sandboxes.dir, "tmpfs", 0, NULL), 0);
    bring_lo_up();
    assert_int_equal(uv_loop_init(&sandboxes.loop), 0);
    sandboxes.network_id = sandboxes_id("netnetnetnetnetnetnetnet1");
    sandboxes.ingress_id = sandboxes_id("ingressingressingress0001");
    sandboxes.carol_id = sandboxes_id("carolcarolcarolcarolcaro1");
    sandboxes.alice_id = sandboxes_id("alicealicealicealiceabc01");
    sandboxes.bob_id = sandboxes_id("bobbobbobbobbobbobbobbob1");
    sandboxes.service_id = sandboxes_id("webwebwebwebwebwebwebweb1");
    sandboxes.node_id = sandboxes_id("nodenodenodenodenodenode1");
    use_resolver_of_the_test();
    open_host();
    return 0;
}

static void count_down(void *ctx)
{
    --*(int *)ctx;
}

int sandboxes_tear_down(void **state)
{
    int open = 1;

    (void)state;
    if (!sandboxes.is_ready)
        return 0;
    overlay_services_close(sandboxes.services, count_down, &open);
    while (open > 0)
        (void)uv_run(&sandboxes.loop, UV_RUN_ONCE);
    open = 1;
    overlay_close(sandboxes.overlay, count_down, &open);
    while (open > 0)
        (void)uv_run(&sandboxes.loop, UV_RUN_ONCE);
    (void)uv_run(&sandboxes.loop, UV_RUN_NOWAIT);
    (void)umount2(sandboxes.dir, MNT_DETACH);
    (void)rmdir(sandboxes.dir);
    return 0;
}

/* --- Operations that end on the loop --------------------------------------------------------- */

void sandboxes_on_done(void *ctx, int err, const char *why)
{
    struct outcome *o = ctx;

    o->is_done = true;
    o->err = err;
    (void)snprintf(o->why, sizeof(o->why), "%s", why);
}

void sandboxes_wait(struct outcome *o)
{
    while (!o->is_done)
        (void)uv_run(&sandboxes.loop, UV_RUN_ONCE);
    if (o->err < 0)
        fail_msg("%s: %s", err_name(o->err), o->why);
}

struct overlay_attachment sandboxes_leg(const struct id *network, const struct id *id,
                                        const char *ip4, const char *ip6)
{
    struct overlay_attachment leg = { .network_id = *network,
                                      .endpoint_id = *id,
                                      .ip4 = sandboxes_ip(ip4),
                                      .generation = 1,
                                      .ifname = "eth0" };

    if (ip6 != NULL)
        leg.ip6 = sandboxes_ip(ip6);
    overlay_mac(network, &leg.ip4, 1, leg.mac);
    return leg;
}

void sandboxes_attach(const struct overlay_attachment *leg, const struct id *id, bool create)
{
    struct overlay_sandbox sandbox = { .id = *id, .attachments = leg, .attachment_count = 1 };
    struct outcome made = { 0 }, attached = { 0 };

    if (create) {
        overlay_sandbox_create(sandboxes.overlay, &sandbox, sandboxes_on_done, &made);
        sandboxes_wait(&made);
    }
    overlay_services_attach(sandboxes.services, &sandbox, sandboxes_on_done, &attached);
    sandboxes_wait(&attached);
}

int sandboxes_open_netns(const struct id *sandbox)
{
    char path[OVERLAY_PATH_MAX];
    int netns;

    overlay_sandbox_netns(sandboxes.overlay, sandbox, path);
    netns = netns_open_existing(path);
    assert_true(netns >= 0);
    return netns;
}

/* --- A client: what it asks and where it connects -------------------------------------------- */

static size_t make_query(const char *name, uint8_t m[512])
{
    static const uint8_t header[] = { 0x12, 0x34, 1, 0, 0, 1 };
    size_t len = strlen(name), at = 12;

    memset(m, 0, 512);
    memcpy(m, header, sizeof(header));
    m[at++] = (uint8_t)len;
    memcpy(m + at, name, len);
    at += len + 2;
    m[at] = 1;
    m[at + 2] = 1;
    return at + 3;
}

static void ask(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
    struct timeval limit = { .tv_sec = 10 };
    size_t prefix = c->over_tcp ? 2 : 0; /* the length, before a message over TCP */
    int fd = socket(AF_INET, (c->over_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    uint8_t room[514] = { 0 }, *m = room + prefix;
    size_t len = make_query(c->name, m);
    ssize_t n;

    if (c->over_tcp)
        room[1] = (uint8_t)len;
    (void)inet_pton(AF_INET, OVERLAY_RESOLVER_ADDRESS, &to.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    c->rcode = -1;
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, room, prefix + len, 0) > 0 &&
        (n = recv(fd, room, sizeof(room), 0)) > (ssize_t)(prefix + 12)) {
        c->rcode = m[3] & 15;
        if (m[7] > 0)
            (void)inet_ntop(AF_INET, room + n - 4, c->address, sizeof(c->address));
    }
    (void)close(fd);
}

static socklen_t address_of(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)out;
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;

    *out = (struct sockaddr_storage){ .ss_family = strchr(text, ':') ? AF_INET6 : AF_INET };
    if (out->ss_family == AF_INET6) {
        six->sin6_port = htons(SANDBOXES_PORT);
        (void)inet_pton(AF_INET6, text, &six->sin6_addr);
        return sizeof(*six);
    }
    four->sin_port = htons(SANDBOXES_PORT);
    (void)inet_pton(AF_INET, text, &four->sin_addr);
    return sizeof(*four);
}

static void connect_to(struct client *c)
{
    struct timeval limit = { .tv_sec = c->limit_s == 0 ? 5 : c->limit_s };
    struct sockaddr_storage to;
    socklen_t len = address_of(c->address, &to);
    int fd = socket(to.ss_family, (c->over_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    c->err = connect(fd, (const struct sockaddr *)&to, len) < 0 ? errno : 0;
    if (c->over_udp && c->err == 0 && send(fd, "who", 3, 0) != 3)
        c->err = errno;
    if (c->err == 0 && recv(fd, c->peer_saw, sizeof(c->peer_saw) - 1, 0) <= 0)
        c->err = EIO;
    (void)close(fd);
}

static void run_client(void *arg)
{
    struct client *c = arg;
    int netns = c->netns[0] == '\0' ? -1 : netns_open_existing(c->netns), home;

    if (c->netns[0] == '\0')
        connect_to(c); /* from the host itself */
    if (netns >= 0 && netns_enter(netns, &home) == 0) {
        if (c->name != NULL)
            ask(c);
        if (c->address[0] != '\0')
            connect_to(c);
        netns_leave(home);
        (void)close(netns);
    }
    (void)uv_async_send(&c->finished);
}

static void on_finished(uv_async_t *async)
{
    struct client *c = CONTAINER_OF(async, struct client, finished);

    c->is_done = true;
    uv_close((uv_handle_t *)async, NULL);
}

void sandboxes_run(struct client *c)
{
    uv_thread_t thread;

    assert_int_equal(uv_async_init(&sandboxes.loop, &c->finished, on_finished), 0);
    assert_int_equal(uv_thread_create(&thread, run_client, c), 0);
    while (!c->is_done)
        (void)uv_run(&sandboxes.loop, UV_RUN_ONCE);
    (void)uv_run(&sandboxes.loop, UV_RUN_NOWAIT); /* the handle closes */
    assert_int_equal(uv_thread_join(&thread), 0);
}

void sandboxes_run_in(struct client *c, const struct id *sandbox)
{
    overlay_sandbox_netns(sandboxes.overlay, sandbox, c->netns);
    sandboxes_run(c);
}

/* --- A server inside a sandbox --------------------------------------------------------------- */

static size_t text_of(const struct sockaddr_in6 *from, char text[INET6_ADDRSTRLEN])
{
    if (IN6_IS_ADDR_V4MAPPED(&from->sin6_addr))
        (void)inet_ntop(AF_INET, &from->sin6_addr.s6_addr[12], text, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, &from->sin6_addr, text, INET6_ADDRSTRLEN);
    return strlen(text);
}

static void serve_streams(void *arg)
{
    const struct server *s = arg;
    struct sockaddr_in6 from;
    socklen_t len = sizeof(from);
    int fd;

    while ((fd = accept4(s->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC)) >= 0) {
        char text[INET6_ADDRSTRLEN];
        size_t n = text_of(&from, text);

        (void)!write(fd, text, n);
        (void)close(fd);
    }
}

/* Ends when it cannot answer. */
static void serve_datagrams(void *arg)
{
    const struct server *s = arg;
    struct sockaddr_in6 from;
    socklen_t len = sizeof(from);
    char text[INET6_ADDRSTRLEN];

    while (recvfrom(s->fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) > 0) {
        size_t n = text_of(&from, text);

        if (sendto(s->fd, text, n, 0, (struct sockaddr *)&from, len) < 0)
            return;
    }
}

void sandboxes_serve(struct server *s, const struct id *sandbox, int type)
{
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(SANDBOXES_PORT) };
    int netns = sandboxes_open_netns(sandbox), home, off = 0, on = 1;

    assert_int_equal(netns_enter(netns, &home), 0);
    s->fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    netns_leave(home);
    (void)close(netns);
    assert_int_equal(setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
    assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(s->fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(
        uv_thread_create(&s->thread, type == SOCK_STREAM ? serve_streams : serve_datagrams, s), 0);
}

void sandboxes_stop(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(uv_thread_join(&s->thread), 0);
    (void)close(s->fd);
}
