/* Names and virtual IPs in real sandboxes of one host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/units.h"
#include "overlaynet/netns.h"
#include "overlaynet/nft.h"
#include "overlaynet/vip.h"
#include "support_sandboxes.h"

static void attach(const struct id *id, const char *ip, bool create)
{
    struct overlay_attachment leg = sandboxes_leg(&sandboxes.network_id, id, ip, NULL);

    sandboxes_attach(&leg, id, create);
}

static void state_bob(bool ready)
{
    struct overlay_backend backend = { .network_id = sandboxes.network_id,
                                       .endpoint_id = sandboxes.bob_id,
                                       .service_id = sandboxes.service_id,
                                       .node_id = sandboxes.node_id,
                                       .ip4 = sandboxes_ip("10.77.0.3"),
                                       .slot = 1,
                                       .task_name = "web.1.bob",
                                       .ready = ready };

    assert_int_equal(overlay_backend_set(sandboxes.services, &backend), 0);
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

static void test_name_leads_through_the_virtual_ip_to_a_ready_backend(void **state)
{
    struct overlay_service web = { .network_id = sandboxes.network_id,
                                   .service_id = sandboxes.service_id,
                                   .name = "web" };
    struct client client = { .name = "web" }, itself = { .name = "WEB" };
    struct client over_tcp = { .name = "web", .over_tcp = true }, refused = { .name = "web" };
    struct server server;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    web.vip = sandboxes_ip("10.77.0.100");
    attach(&sandboxes.alice_id, "10.77.0.2", true);
    attach(&sandboxes.bob_id, "10.77.0.3", true);
    assert_int_equal(overlay_service_set(sandboxes.services, &web), 0);
    state_bob(true);
    sandboxes_serve(&server, &sandboxes.bob_id, SOCK_STREAM);
    attach(&sandboxes.alice_id, "10.77.0.2", false); /* done when the rules are there */
    attach(&sandboxes.bob_id, "10.77.0.3", false);

    sandboxes_run_in(&client, &sandboxes.alice_id);
    assert_string_equal(client.address, "10.77.0.100");
    assert_int_equal(client.err, 0);
    assert_string_equal(client.peer_saw, "10.77.0.2"); /* nothing in the path changes the source */
    sandboxes_run_in(&itself, &sandboxes.bob_id);      /* a backend reaches its own service */
    assert_int_equal(itself.err, 0);

    sandboxes_run_in(&over_tcp, &sandboxes.alice_id);
    assert_int_equal(over_tcp.err, 0);

    state_bob(false);
    attach(&sandboxes.alice_id, "10.77.0.2", false);
    sandboxes_run_in(&refused, &sandboxes.alice_id);
    assert_int_equal(refused.err, ECONNREFUSED);

    sandboxes_stop(&server);
}

/* Connects from alice to the virtual IP until it ends so, at most 10 s. */
static int connect_until(int err)
{
    uint64_t end = uv_hrtime() + 10 * NS_PER_S;
    struct client c;

    do {
        c = (struct client){ .address = "10.77.0.100" };
        sandboxes_run_in(&c, &sandboxes.alice_id);
    } while (c.err != err && uv_hrtime() < end);
    return c.err;
}

static void take_rules_away(const struct id *sandbox)
{
    int netns = sandboxes_open_netns(sandbox), home;
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
    int netns = sandboxes_open_netns(sandbox), home, fd;
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
    struct server server;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    sandboxes_serve(&server, &sandboxes.bob_id, SOCK_STREAM);
    state_bob(true);
    assert_int_equal(connect_until(0), 0);
    state_bob(false);
    assert_int_equal(connect_until(ECONNREFUSED), ECONNREFUSED);
    take_rules_away(&sandboxes.alice_id);
    state_bob(true);
    assert_int_equal(connect_until(0), 0);

    state_bob(false);
    sandboxes_stop(&server);
}

/* In each sandbox, nf_tables counts its transactions. */
static void test_many_changes_are_few_transactions(void **state)
{
    uint32_t before, after;
    uint64_t end;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    assert_int_equal(connect_until(ECONNREFUSED), ECONNREFUSED);
    before = generation_in(&sandboxes.alice_id);
    end = uv_hrtime() + NS_PER_S / 2;
    for (int i = 0; uv_hrtime() < end; i++) { /* each in a turn of its own */
        state_bob(i % 2 == 0);
        (void)uv_run(&sandboxes.loop, UV_RUN_NOWAIT);
    }
    attach(&sandboxes.alice_id, "10.77.0.2", false); /* done when all of them are */
    after = generation_in(&sandboxes.alice_id);
    assert_in_range(after - before, 1, 5);
}

static void test_other_names_are_asked_of_the_host_s_resolver(void **state)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(53) };
    struct client found = { .name = "example" }, silence = { .name = "example" };
    uv_thread_t upstream;

    (void)state;
    if (!sandboxes.is_ready)
        skip();
    (void)inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
    upstream_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(upstream_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(uv_thread_create(&upstream, be_upstream, NULL), 0);
    sandboxes_run_in(&found, &sandboxes.alice_id);
    assert_int_equal(found.rcode, 0);
    assert_string_equal(found.address, "203.0.113.7");

    assert_int_equal(sendto(upstream_fd, "end", 3, 0, (const struct sockaddr *)&addr, sizeof(addr)),
                     3);
    assert_int_equal(uv_thread_join(&upstream), 0);
    (void)close(upstream_fd);
    sandboxes_run_in(&silence, &sandboxes.alice_id); /* nobody is there any more */
    assert_int_equal(silence.rcode, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_leads_through_the_virtual_ip_to_a_ready_backend),
        cmocka_unit_test(test_changes_reach_rules_that_are_there_and_repair_those_that_are_not),
        cmocka_unit_test(test_many_changes_are_few_transactions),
        cmocka_unit_test(test_other_names_are_asked_of_the_host_s_resolver),
    };

    return cmocka_run_group_tests_name("services", tests, sandboxes_set_up, sandboxes_tear_down);
}
