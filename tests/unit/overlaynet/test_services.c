/* Names, virtual IPs and published ports in real sandboxes of one host. All of it happens in a
 * network namespace and a mount namespace of the test's own, which go with it. */
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
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sodium.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/units.h"
#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"
#include "overlaynet/nft.h"
#include "overlaynet/services.h"
#include "overlaynet/vip.h"

#define PORT 8080

static char dir[] = "/tmp/shoal-services-XXXXXX";
static uv_loop_t loop;
static struct overlay *overlay;
static struct overlay_services *services;
static bool is_ready; /* namespaces could be made */

/* --- The host -------------------------------------------------------------------------------- */

static struct id make_id(const char *text)
{
    struct id id;

    assert_int_equal(id_parse(slice_of_str(text), &id), 0);
    return id;
}

static struct ip_addr make_ip(const char *text)
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

static struct id network_id, ingress_id, alice_id, bob_id, carol_id, service_id, node_id;

static void open_host(void)
{
    struct overlay_config cfg = { .loop = &loop,
                                  .state_dir = dir,
                                  .run_dir = dir,
                                  .node_id = node_id,
                                  .lanes = 1,
                                  .no_egress = true };
    struct overlay_services_config config = { .loop = &loop, .run_dir = dir, .node_id = node_id };
    struct overlay_network network = {
        .id = network_id, .vni = 5001, .name = "blue", .mtu = 1400, .encrypted = true
    };
    struct overlay_network ingress = { .id = ingress_id,
                                       .vni = 5002,
                                       .name = "ingress",
                                       .mtu = 1400,
                                       .encrypted = true,
                                       .ingress = true };
    char why[256] = "";

    memset(cfg.static_secret, 7, sizeof(cfg.static_secret));
    assert_int_equal(crypto_scalarmult_base(cfg.static_public, cfg.static_secret), 0);
    network.subnet4 = (struct ip_prefix){ .addr = make_ip("10.77.0.0"), .bits = 24 };
    network.gateway4 = make_ip("10.77.0.1");
    ingress.subnet4 = (struct ip_prefix){ .addr = make_ip("10.78.0.0"), .bits = 24 };
    ingress.gateway4 = make_ip("10.78.0.1");
    if (overlay_open(&cfg, &overlay, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    config.overlay = overlay;
    if (overlay_services_open(&config, &services, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    assert_int_equal(overlay_network_set(overlay, &network), 0);
    assert_int_equal(overlay_network_set(overlay, &ingress), 0);
}

/* In the mount namespace of the test. */
static void use_resolver_of_the_test(void)
{
    static const char text[] = "nameserver 127.0.0.1\n";
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/resolv.conf", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    (void)close(fd);
    assert_int_equal(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("skipped: network namespaces cannot be made here: %s\n", strerror(errno));
        return 0;
    }
    is_ready = true;
    assert_int_not_equal(sodium_init(), -1);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mount("none", dir, "tmpfs", 0, NULL), 0);
    bring_lo_up();
    assert_int_equal(uv_loop_init(&loop), 0);
    network_id = make_id("netnetnetnetnetnetnetnet1");
    ingress_id = make_id("ingressingressingress0001");
    carol_id = make_id("carolcarolcarolcarolcaro1");
    alice_id = make_id("alicealicealicealiceabc01");
    bob_id = make_id("bobbobbobbobbobbobbobbob1");
    service_id = make_id("webwebwebwebwebwebwebweb1");
    node_id = make_id("nodenodenodenodenodenode1");
    use_resolver_of_the_test();
    open_host();
    return 0;
}

static void count_down(void *ctx)
{
    --*(int *)ctx;
}

static int tear_down(void **state)
{
    int open = 1;

    (void)state;
    if (!is_ready)
        return 0;
    overlay_services_close(services, count_down, &open);
    while (open > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    open = 1;
    overlay_close(overlay, count_down, &open);
    while (open > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)umount2(dir, MNT_DETACH);
    (void)rmdir(dir);
    return 0;
}

/* --- Operations that end on the loop --------------------------------------------------------- */

struct outcome {
    bool is_done;
    int err;
    char why[256];
};

static void on_done(void *ctx, int err, const char *why)
{
    struct outcome *o = ctx;

    o->is_done = true;
    o->err = err;
    (void)snprintf(o->why, sizeof(o->why), "%s", why);
}

static void wait_for(struct outcome *o)
{
    while (!o->is_done)
        (void)uv_run(&loop, UV_RUN_ONCE);
    if (o->err < 0)
        fail_msg("%s: %s", err_name(o->err), o->why);
}

static struct overlay_attachment leg_of(const struct id *network, const struct id *id,
                                        const char *ip)
{
    struct overlay_attachment leg = { .network_id = *network,
                                      .endpoint_id = *id,
                                      .ip4 = make_ip(ip),
                                      .generation = 1,
                                      .ifname = "eth0" };

    overlay_mac(network, &leg.ip4, 1, leg.mac);
    return leg;
}

static void attach_to(const struct id *network, const struct id *id, const char *ip, bool create)
{
    struct overlay_attachment leg = leg_of(network, id, ip);
    struct overlay_sandbox sandbox = { .id = *id, .attachments = &leg, .attachment_count = 1 };
    struct outcome made = { 0 }, attached = { 0 };

    if (create) {
        overlay_sandbox_create(overlay, &sandbox, on_done, &made);
        wait_for(&made);
    }
    overlay_services_attach(services, &sandbox, on_done, &attached);
    wait_for(&attached);
}

static void attach(const struct id *id, const char *ip, bool create)
{
    attach_to(&network_id, id, ip, create);
}

static void state_bob(bool ready)
{
    struct overlay_backend backend = { .network_id = network_id,
                                       .endpoint_id = bob_id,
                                       .service_id = service_id,
                                       .node_id = node_id,
                                       .ip4 = make_ip("10.77.0.3"),
                                       .slot = 1,
                                       .task_name = "web.1.bob",
                                       .ready = ready };

    assert_int_equal(overlay_backend_set(services, &backend), 0);
}

/* --- A client inside a sandbox: a thread of its own, so that the loop can serve it ----------- */

struct client {
    char netns[OVERLAY_PATH_MAX];
    const char *name; /* asked of the resolver; NULL = do not ask */
    bool over_tcp;
    bool over_udp;    /* the connection */
    char address[32]; /* the answer, then where it connects to */
    int rcode;
    int err; /* of connect(2) */
    char peer_saw[32];
    uv_async_t finished;
    bool is_done;
};

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

static void connect_to(struct client *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    struct timeval limit = { .tv_sec = 5 };
    int fd = socket(AF_INET, (c->over_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    (void)inet_pton(AF_INET, c->address, &to.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    c->err = connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
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

static void run(struct client *c)
{
    uv_thread_t thread;

    assert_int_equal(uv_async_init(&loop, &c->finished, on_finished), 0);
    assert_int_equal(uv_thread_create(&thread, run_client, c), 0);
    while (!c->is_done)
        (void)uv_run(&loop, UV_RUN_ONCE);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* the handle closes */
    assert_int_equal(uv_thread_join(&thread), 0);
}

static void run_in(struct client *c, const struct id *sandbox)
{
    overlay_sandbox_netns(overlay, sandbox, c->netns);
    run(c);
}

/* The host's resolver: every name is 203.0.113.7. Ends with a datagram that is no query. */
static int upstream_fd;

static void be_upstream(void *arg)
{
    static const uint8_t answer[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7 };
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    uint8_t m[512];
    ssize_t n;

    (void)arg;
    while ((n = recvfrom(upstream_fd, m, sizeof(m) - sizeof(answer), 0, (struct sockaddr *)&from,
                         &len)) > 12) {
        m[2] |= 0x80;
        m[7] = 1;
        m[11] = 0;
        memcpy(m + n, answer, sizeof(answer));
        (void)!sendto(upstream_fd, m, (size_t)n + sizeof(answer), 0, (const struct sockaddr *)&from,
                      len);
    }
}

/* Tells every client the address that it sees; in the namespace of the sandbox. */
static int server_fd;

static void serve(void *arg)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    int fd;

    (void)arg;
    while ((fd = accept4(server_fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC)) >= 0) {
        char text[32];

        (void)inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text));
        (void)!write(fd, text, strlen(text));
        (void)close(fd);
    }
}

static int open_sandbox(const struct id *sandbox)
{
    char path[OVERLAY_PATH_MAX];
    int netns;

    overlay_sandbox_netns(overlay, sandbox, path);
    netns = netns_open_existing(path);
    assert_true(netns >= 0);
    return netns;
}

static int bind_in(const struct id *sandbox, int type)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    int netns = open_sandbox(sandbox), home, fd, yes = 1;

    assert_int_equal(netns_enter(netns, &home), 0);
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* an earlier test's port */
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    netns_leave(home);
    (void)close(netns);
    return fd;
}

static void listen_in(const struct id *sandbox)
{
    server_fd = bind_in(sandbox, SOCK_STREAM);
    assert_int_equal(listen(server_fd, 8), 0);
}

/* The same over UDP, from a socket that is bound to no address. Ends when it cannot answer. */
static void serve_datagrams(void *arg)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char text[32];

    (void)arg;
    while (recvfrom(server_fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len) > 0) {
        (void)inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text));
        if (sendto(server_fd, text, strlen(text), 0, (struct sockaddr *)&from, len) < 0)
            return;
    }
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void test_name_leads_through_the_virtual_ip_to_a_ready_backend(void **state)
{
    struct overlay_service web = { .network_id = network_id,
                                   .service_id = service_id,
                                   .name = "web" };
    struct client client = { .name = "web" }, itself = { .name = "WEB" };
    struct client over_tcp = { .name = "web", .over_tcp = true }, refused = { .name = "web" };
    uv_thread_t server;

    (void)state;
    if (!is_ready)
        skip();
    web.network_id = network_id;
    web.service_id = service_id;
    web.vip = make_ip("10.77.0.100");
    attach(&alice_id, "10.77.0.2", true);
    attach(&bob_id, "10.77.0.3", true);
    assert_int_equal(overlay_service_set(services, &web), 0);
    state_bob(true);
    listen_in(&bob_id);
    assert_int_equal(uv_thread_create(&server, serve, NULL), 0);
    attach(&alice_id, "10.77.0.2", false); /* done when the rules are there */
    attach(&bob_id, "10.77.0.3", false);

    run_in(&client, &alice_id);
    assert_string_equal(client.address, "10.77.0.100");
    assert_int_equal(client.err, 0);
    assert_string_equal(client.peer_saw, "10.77.0.2"); /* nothing in the path changes the source */
    run_in(&itself, &bob_id);                          /* a backend reaches its own service */
    assert_int_equal(itself.err, 0);

    run_in(&over_tcp, &alice_id);
    assert_int_equal(over_tcp.err, 0);

    state_bob(false);
    attach(&alice_id, "10.77.0.2", false);
    run_in(&refused, &alice_id);
    assert_int_equal(refused.err, ECONNREFUSED);

    (void)shutdown(server_fd, SHUT_RDWR);
    assert_int_equal(uv_thread_join(&server), 0);
    (void)close(server_fd);
}

/* Connects from alice to the virtual IP until it ends so, at most 10 s. */
static int connect_until(int err)
{
    uint64_t end = uv_hrtime() + 10 * NS_PER_S;
    struct client c;

    do {
        c = (struct client){ .address = "10.77.0.100" };
        run_in(&c, &alice_id);
    } while (c.err != err && uv_hrtime() < end);
    return c.err;
}

static void take_rules_away(const struct id *sandbox)
{
    int netns = open_sandbox(sandbox), home;
    struct nft_batch b;

    nft_batch_begin(&b, VIP_TABLE, 4096);
    nft_table_remove(&b, VIP_TABLE);
    assert_int_equal(nft_batch_end(&b), 0);
    assert_int_equal(netns_enter(netns, &home), 0);
    assert_int_equal(nft_send(&b), 0);
    netns_leave(home);
    (void)close(netns);
    nft_batch_deinit(&b);
}

/* The number of the last transaction, as nf_tables counts them in each namespace. */
static uint32_t generation_in(const struct id *sandbox)
{
    const struct {
        struct nlmsghdr h;
        struct nfgenmsg g;
    } ask = { .h = { .nlmsg_len = sizeof(ask),
                     .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                     .nlmsg_flags = NLM_F_REQUEST } };
    int netns = open_sandbox(sandbox), home, fd;
    uint8_t answer[512] = { 0 };

    assert_int_equal(netns_enter(netns, &home), 0);
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    netns_leave(home);
    (void)close(netns);
    assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
    assert_true(recv(fd, answer, sizeof(answer), 0) > 28);
    (void)close(fd);
    /* The first attribute is NFTA_GEN_ID, in network order. */
    return (uint32_t)answer[24] << 24 | (uint32_t)answer[25] << 16 | (uint32_t)answer[26] << 8 |
           answer[27];
}

/* Goes on where the test above ended: the rules are there, and bob is not ready. */
static void test_changes_reach_rules_that_are_there_and_repair_those_that_are_not(void **state)
{
    uv_thread_t server;

    (void)state;
    if (!is_ready)
        skip();
    listen_in(&bob_id);
    assert_int_equal(uv_thread_create(&server, serve, NULL), 0);
    state_bob(true);
    assert_int_equal(connect_until(0), 0);
    state_bob(false);
    assert_int_equal(connect_until(ECONNREFUSED), ECONNREFUSED);
    take_rules_away(&alice_id);
    state_bob(true);
    assert_int_equal(connect_until(0), 0);

    state_bob(false);
    (void)shutdown(server_fd, SHUT_RDWR);
    assert_int_equal(uv_thread_join(&server), 0);
    (void)close(server_fd);
}

/* In each sandbox, nf_tables counts its transactions. */
static void test_many_changes_are_few_transactions(void **state)
{
    uint32_t before, after;
    uint64_t end;

    (void)state;
    if (!is_ready)
        skip();
    assert_int_equal(connect_until(ECONNREFUSED), ECONNREFUSED);
    before = generation_in(&alice_id);
    end = uv_hrtime() + NS_PER_S / 2;
    for (int i = 0; uv_hrtime() < end; i++) { /* each in a turn of its own */
        state_bob(i % 2 == 0);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    attach(&alice_id, "10.77.0.2", false); /* done when all of them are */
    after = generation_in(&alice_id);
    assert_in_range(after - before, 1, 5);
}

static void test_other_names_are_asked_of_the_host_s_resolver(void **state)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(53) };
    struct client found = { .name = "example" }, silence = { .name = "example" };
    uv_thread_t upstream;

    (void)state;
    if (!is_ready)
        skip();
    (void)inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
    upstream_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(upstream_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(uv_thread_create(&upstream, be_upstream, NULL), 0);
    run_in(&found, &alice_id);
    assert_int_equal(found.rcode, 0);
    assert_string_equal(found.address, "203.0.113.7");

    assert_int_equal(sendto(upstream_fd, "end", 3, 0, (const struct sockaddr *)&addr, sizeof(addr)),
                     3);
    assert_int_equal(uv_thread_join(&upstream), 0);
    (void)close(upstream_fd);
    run_in(&silence, &alice_id); /* nobody is there any more */
    assert_int_equal(silence.rcode, 2);
}

/* A namespace that is no sandbox: the world outside, 192.0.2.10, beside the host's 192.0.2.1. */
static void make_world(char path[OVERLAY_PATH_MAX])
{
    const struct netlink_link near = { .name = "world", .mtu = 1500 };
    const struct netlink_link far = { .name = "eth0", .mtu = 1500 };
    const struct netlink_link up = { .up = true };
    struct ip_addr here = make_ip("192.0.2.1"), there = make_ip("192.0.2.10");
    struct netlink *nl, *inside;
    int netns, home;

    (void)snprintf(path, OVERLAY_PATH_MAX, "%s/world", dir);
    netns = netns_open(path, NULL);
    assert_true(netns >= 0);
    assert_int_equal(netlink_open(&nl), 0);
    assert_int_equal(netlink_add_veth(nl, &near, &far, netns), 0);
    assert_int_equal(netlink_set_link(nl, netlink_index(nl, "world"), &up), 0);
    assert_int_equal(netlink_set_addr(nl, netlink_index(nl, "world"), &here, 24), 0);
    assert_int_equal(netns_enter(netns, &home), 0);
    assert_int_equal(netlink_open(&inside), 0);
    netns_leave(home);
    assert_int_equal(netlink_set_link(inside, netlink_index(inside, "eth0"), &up), 0);
    assert_int_equal(netlink_set_addr(inside, netlink_index(inside, "eth0"), &there, 24), 0);
    netlink_close(inside);
    netlink_close(nl);
    (void)close(netns);
}

static void make_gateway(void)
{
    struct id id = make_id("gatewaygatewaygateway0001");
    struct overlay_attachment leg = leg_of(&ingress_id, &id, "10.78.0.2");
    struct overlay_sandbox sandbox = {
        .id = ingress_id, .in_host = true, .attachments = &leg, .attachment_count = 1
    };
    struct overlay_backend backend = { .network_id = ingress_id,
                                       .endpoint_id = id,
                                       .node_id = node_id,
                                       .ip4 = leg.ip4,
                                       .gateway = true };
    struct outcome made = { 0 };

    leg.gateway = true;
    memcpy(backend.mac, leg.mac, sizeof(backend.mac));
    (void)snprintf(leg.ifname, sizeof(leg.ifname), "sh-%.8s", ingress_id.text);
    overlay_sandbox_create(overlay, &sandbox, on_done, &made);
    wait_for(&made);
    assert_int_equal(overlay_backend_set(services, &backend), 0);
}

static void test_published_port_leads_to_a_backend_that_sees_the_client(void **state)
{
    const struct overlay_published port = { .protocol = IPPROTO_TCP,
                                            .published_port = PORT,
                                            .target_port = PORT };
    struct overlay_service web = { .network_id = ingress_id,
                                   .service_id = service_id,
                                   .name = "web",
                                   .ports = &port,
                                   .port_count = 1 };
    struct overlay_backend carol = { .network_id = ingress_id,
                                     .endpoint_id = carol_id,
                                     .service_id = service_id,
                                     .node_id = node_id,
                                     .ip4 = make_ip("10.78.0.9"),
                                     .ready = true };
    struct client outside = { .address = "192.0.2.1" }, local = { .address = "127.0.0.1" };
    struct client intruder = { .address = "10.78.0.2" };
    uv_thread_t server;

    (void)state;
    if (!is_ready)
        skip();
    make_world(outside.netns);
    make_gateway();
    assert_int_equal(overlay_service_set(services, &web), 0);
    assert_int_equal(overlay_backend_set(services, &carol), 0);
    attach_to(&ingress_id, &carol_id, "10.78.0.9", true);
    listen_in(&carol_id);
    assert_int_equal(uv_thread_create(&server, serve, NULL), 0);
    overlay_services_settle(services);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* hands the host's rules to the worker .. */
    attach_to(&ingress_id, &carol_id, "10.78.0.9", false); /* .. which does this after them */

    run(&outside);
    assert_int_equal(outside.err, 0);
    assert_string_equal(outside.peer_saw, "192.0.2.10");
    run(&local);
    assert_int_equal(local.err, 0);
    run_in(&intruder, &carol_id); /* the leg is no way into the host, nor around the rules */
    assert_int_not_equal(intruder.err, 0);

    (void)shutdown(server_fd, SHUT_RDWR);
    assert_int_equal(uv_thread_join(&server), 0);
    (void)close(server_fd);
}

/* A way out of its own, whose address an unconnected socket would answer from. */
static void give_a_way_out(const struct id *sandbox)
{
    const struct netlink_link near = { .name = "out0", .mtu = 1500 };
    const struct netlink_link far = { .name = "out1", .mtu = 1500 };
    const struct netlink_link up = { .up = true };
    const struct ip_prefix everywhere = { 0 };
    struct ip_addr own = make_ip("10.99.0.2"), gateway = make_ip("10.99.0.1");
    int netns = open_sandbox(sandbox), home;
    struct netlink *nl;

    assert_int_equal(netns_enter(netns, &home), 0);
    assert_int_equal(netlink_open(&nl), 0);
    netns_leave(home);
    assert_int_equal(netlink_add_veth(nl, &near, &far, netns), 0);
    assert_int_equal(netlink_set_link(nl, netlink_index(nl, "out0"), &up), 0);
    assert_int_equal(netlink_set_link(nl, netlink_index(nl, "out1"), &up), 0);
    assert_int_equal(netlink_set_addr(nl, netlink_index(nl, "out0"), &own, 24), 0);
    assert_int_equal(netlink_set_route(nl, &everywhere, &gateway, netlink_index(nl, "out0")), 0);
    netlink_close(nl);
    (void)close(netns);
}

/* Goes on where the test above ended. */
static void test_published_udp_port_keeps_the_client_s_address_too(void **state)
{
    const struct overlay_published port = { .protocol = IPPROTO_UDP,
                                            .published_port = PORT,
                                            .target_port = PORT };
    struct overlay_service web = { .network_id = ingress_id,
                                   .service_id = service_id,
                                   .name = "web",
                                   .ports = &port,
                                   .port_count = 1 };
    struct client outside = { .address = "192.0.2.1", .over_udp = true };
    struct client again = outside, local = { .address = "127.0.0.1", .over_udp = true };
    uv_thread_t server;

    (void)state;
    if (!is_ready)
        skip();
    (void)snprintf(outside.netns, OVERLAY_PATH_MAX, "%s/world", dir);
    memcpy(again.netns, outside.netns, sizeof(again.netns));
    assert_int_equal(overlay_service_set(services, &web), 0);
    server_fd = bind_in(&carol_id, SOCK_DGRAM);
    assert_int_equal(uv_thread_create(&server, serve_datagrams, NULL), 0);
    overlay_services_settle(services);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    attach_to(&ingress_id, &carol_id, "10.78.0.9", false);

    run(&outside);
    assert_int_equal(outside.err, 0);
    assert_string_equal(outside.peer_saw, "192.0.2.10");
    give_a_way_out(&carol_id);
    run(&again);
    assert_int_equal(again.err, 0);
    assert_string_equal(again.peer_saw, "192.0.2.10");
    run(&local);
    assert_int_equal(local.err, 0);
    assert_string_equal(local.peer_saw, "10.78.0.2");

    (void)shutdown(server_fd, SHUT_RDWR);
    assert_int_equal(uv_thread_join(&server), 0);
    (void)close(server_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_port_leads_to_a_backend_that_sees_the_client),
        cmocka_unit_test(test_published_udp_port_keeps_the_client_s_address_too),
        cmocka_unit_test(test_name_leads_through_the_virtual_ip_to_a_ready_backend),
        cmocka_unit_test(test_changes_reach_rules_that_are_there_and_repair_those_that_are_not),
        cmocka_unit_test(test_many_changes_are_few_transactions),
        cmocka_unit_test(test_other_names_are_asked_of_the_host_s_resolver),
    };

    return cmocka_run_group_tests_name("services", tests, set_up, tear_down);
}
