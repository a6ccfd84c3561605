/* Published ports of a real host, in front of real sandboxes: who answers, and whose address it
 * sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"
#include "support_sandboxes.h"

#define WORLD4   "192.0.2.10"
#define WORLD6   "2001:db8::10"
#define GATEWAY4 "10.78.0.2"
#define GATEWAY6 "fd78::2"
#define CAROL4   "10.78.0.9"
#define CAROL6   "fd78::9"

static char world[OVERLAY_PATH_MAX]; /* its namespace */

/* --- The scene ------------------------------------------------------------------------------- */

static void bring_up(struct netlink *nl, const char *ifname, const char *ip4, const char *ip6)
{
    struct ip_addr four = sandboxes_ip(ip4), six = sandboxes_ip(ip6);
    uint32_t index = netlink_index(nl, ifname);

    assert_int_equal(netlink_set_link(nl, index, &(struct netlink_link){ .up = true }), 0);
    assert_int_equal(netlink_set_addr(nl, index, &four, 24), 0);
    assert_int_equal(netlink_set_addr(nl, index, &six, 64), 0);
}

/* A namespace that is no sandbox: the world outside, beside the host's 192.0.2.1 and 2001:db8::1.
 */
static void make_world(void)
{
    const struct netlink_link near = { .name = "world", .mtu = 1500 };
    const struct netlink_link far = { .name = "eth0", .mtu = 1500 };
    struct netlink *nl, *inside;
    int netns, home;

    (void)snprintf(world, sizeof(world), "%s/world", sandboxes.dir);
    netns = netns_open(world, NULL);
    assert_true(netns >= 0);
    assert_int_equal(netlink_open(&nl), 0);
    assert_int_equal(netlink_add_veth(nl, &near, &far, netns), 0);
    assert_int_equal(netns_enter(netns, &home), 0);
    assert_int_equal(netlink_open(&inside), 0);
    netns_leave(home);
    bring_up(nl, "world", "192.0.2.1", "2001:db8::1");
    bring_up(inside, "eth0", WORLD4, WORLD6);
    netlink_close(inside);
    netlink_close(nl);
    (void)close(netns);
}

static void make_gateway(void)
{
    struct id id = sandboxes_id("gatewaygatewaygateway0001");
    struct overlay_attachment leg = sandboxes_leg(&sandboxes.ingress_id, &id, GATEWAY4, GATEWAY6);
    struct overlay_sandbox sandbox = {
        .id = sandboxes.ingress_id, .in_host = true, .attachments = &leg, .attachment_count = 1
    };
    struct overlay_backend backend = { .network_id = sandboxes.ingress_id,
                                       .endpoint_id = id,
                                       .node_id = sandboxes.node_id,
                                       .ip4 = leg.ip4,
                                       .ip6 = leg.ip6,
                                       .gateway = true };
    struct outcome made = { 0 };

    leg.gateway = true;
    memcpy(backend.mac, leg.mac, sizeof(backend.mac));
    (void)snprintf(leg.ifname, sizeof(leg.ifname), "sh-%.8s", sandboxes.ingress_id.text);
    overlay_sandbox_create(sandboxes.overlay, &sandbox, sandboxes_on_done, &made);
    sandboxes_wait(&made);
    assert_int_equal(overlay_backend_set(sandboxes.services, &backend), 0);
}

static void attach_carol(bool create)
{
    struct overlay_attachment leg =
        sandboxes_leg(&sandboxes.ingress_id, &sandboxes.carol_id, CAROL4, CAROL6);

    sandboxes_attach(&leg, &sandboxes.carol_id, create);
}

static void make_carol(void)
{
    struct overlay_backend carol = { .network_id = sandboxes.ingress_id,
                                     .endpoint_id = sandboxes.carol_id,
                                     .service_id = sandboxes.service_id,
                                     .node_id = sandboxes.node_id,
                                     .ip4 = sandboxes_ip(CAROL4),
                                     .ip6 = sandboxes_ip(CAROL6),
                                     .ready = true };

    overlay_mac(&sandboxes.ingress_id, &carol.ip4, 1, carol.mac);
    assert_int_equal(overlay_backend_set(sandboxes.services, &carol), 0);
    attach_carol(true);
}

static int set_up(void **state)
{
    int rc = sandboxes_set_up(state);

    if (sandboxes.is_ready) {
        make_world();
        make_gateway();
        make_carol();
    }
    return rc;
}

/* The port of "web" leads to carol when it returns. */
static void publish(uint8_t protocol)
{
    const struct overlay_published port = { .protocol = protocol,
                                            .published_port = SANDBOXES_PORT,
                                            .target_port = SANDBOXES_PORT };
    struct overlay_service web = { .network_id = sandboxes.ingress_id,
                                   .service_id = sandboxes.service_id,
                                   .name = "web",
                                   .ports = &port,
                                   .port_count = 1 };

    assert_int_equal(overlay_service_set(sandboxes.services, &web), 0);
    overlay_services_settle(sandboxes.services);
    (void)uv_run(&sandboxes.loop, UV_RUN_NOWAIT); /* hands the host's rules to the worker .. */
    attach_carol(false);                          /* .. which does this after them */
}

/* A way out of its own, whose address an unconnected socket would answer from. */
static void give_a_way_out(const struct id *sandbox)
{
    const struct netlink_link near = { .name = "out0", .mtu = 1500 };
    const struct netlink_link far = { .name = "out1", .mtu = 1500 };
    const struct netlink_link up = { .up = true };
    const struct ip_prefix everywhere = { 0 };
    static const char *const addresses[][2] = { { "10.99.0.2", "10.99.0.1" },
                                                { "fd99::2", "fd99::1" } };
    int netns = sandboxes_open_netns(sandbox), home;
    struct netlink *nl;

    assert_int_equal(netns_enter(netns, &home), 0);
    assert_int_equal(netlink_open(&nl), 0);
    netns_leave(home);
    assert_int_equal(netlink_add_veth(nl, &near, &far, netns), 0);
    assert_int_equal(netlink_set_link(nl, netlink_index(nl, "out0"), &up), 0);
    assert_int_equal(netlink_set_link(nl, netlink_index(nl, "out1"), &up), 0);
    for (size_t i = 0; i < 2; i++) {
        struct ip_addr own = sandboxes_ip(addresses[i][0]), gateway = sandboxes_ip(addresses[i][1]);
        uint32_t out = netlink_index(nl, "out0");

        assert_int_equal(netlink_set_addr(nl, out, &own, i == 0 ? 24 : 64), 0);
        assert_int_equal(netlink_set_route(nl, &everywhere, &gateway, out), 0);
    }
    netlink_close(nl);
    (void)close(netns);
}

/* --- Tests ----------------------------------------------------------------------------------- */

/* `seen`: the address that carol sees; NULL = the connection must fail. */
static void check(struct client c, const char *seen)
{
    sandboxes_run(&c);
    if (seen == NULL) {
        assert_int_not_equal(c.err, 0);
        return;
    }
    if (c.err != 0)
        fail_msg("%s %s: %s", c.netns[0] == '\0' ? "from the host to" : "to", c.address,
                 strerror(c.err));
    assert_string_equal(c.peer_saw, seen);
}

/* From the world, and from the host itself by every address that a user would try. */
static void check_all(bool over_udp)
{
    static const struct {
        const char *to, *seen;
        bool from_world;
    } rows[] = {
        { "192.0.2.1", WORLD4, true },    { "2001:db8::1", WORLD6, true },
        { "127.0.0.1", GATEWAY4, false }, { "::1", GATEWAY6, false },
        { "192.0.2.1", GATEWAY4, false }, { "2001:db8::1", GATEWAY6, false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client c = { .over_udp = over_udp };

        (void)snprintf(c.address, sizeof(c.address), "%s", rows[i].to);
        if (rows[i].from_world)
            memcpy(c.netns, world, sizeof(world));
        check(c, rows[i].seen);
    }
}

static void test_published_port_leads_to_a_backend_that_sees_the_client(void **state)
{
    struct server server;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    publish(IPPROTO_TCP);
    sandboxes_serve(&server, &sandboxes.carol_id, SOCK_STREAM);
    check_all(false);
    sandboxes_stop(&server);
}

/* A container on the network reaches neither the host through its leg, nor what is behind it. */
static void test_the_leg_is_no_way_into_the_host(void **state)
{
    static const char *const to[] = { GATEWAY4, GATEWAY6 };
    struct server server;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    publish(IPPROTO_TCP);
    sandboxes_serve(&server, &sandboxes.carol_id, SOCK_STREAM);
    for (size_t i = 0; i < 2; i++) {
        struct client intruder = { .limit_s = 1 };

        (void)snprintf(intruder.address, sizeof(intruder.address), "%s", to[i]);
        overlay_sandbox_netns(sandboxes.overlay, &sandboxes.carol_id, intruder.netns);
        check(intruder, NULL);
    }
    sandboxes_stop(&server);
}

static void test_published_udp_port_keeps_the_client_s_address_too(void **state)
{
    struct server server;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    publish(IPPROTO_UDP);
    sandboxes_serve(&server, &sandboxes.carol_id, SOCK_DGRAM);
    check_all(true);
    give_a_way_out(&sandboxes.carol_id);
    check_all(true);
    sandboxes_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_port_leads_to_a_backend_that_sees_the_client),
        cmocka_unit_test(test_the_leg_is_no_way_into_the_host),
        cmocka_unit_test(test_published_udp_port_keeps_the_client_s_address_too),
    };

    return cmocka_run_group_tests_name("published", tests, set_up, sandboxes_tear_down);
}
