/* Real sockets on loopback: three nodes in one loop, each with its own driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>
#include <uv.h>

#include "node/cluster/gossip_driver.h"
#include "node/cluster/gossip_driver_tcp.h"

#define NODES            3
#define GOSSIP_TEST_PORT 7946u /* and up; below the ports that the system hands out */

struct group;

struct node {
    struct group *group;
    unsigned index;
    bool running;
    struct gossip_driver *driver;
    struct gossip_tcp *tcp;
    unsigned closed;
    enum gossip_status seen[NODES];
};

struct group {
    uv_loop_t loop;
    struct node nodes[NODES];
    uint8_t public_keys[NODES][GOSSIP_PUBLIC_KEY_LEN];
    uint8_t secret_keys[NODES][GOSSIP_SECRET_KEY_LEN];
    struct id ids[NODES];
};

static unsigned index_of(struct group *g, const struct id *id)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (id_equal(&g->ids[i], id))
            return i;
    }
    fail_msg("a stranger");
    return 0;
}

static void on_notice(void *ctx, const struct gossip_notice *n)
{
    struct node *node = ctx;
    unsigned i = index_of(node->group, &n->id);

    if (n->kind == GOSSIP_NOTICE_CANDIDATE)
        gossip_driver_trust(node->driver, &n->id, node->group->public_keys[i]);
    else
        node->seen[i] = n->status;
}

static void on_closed(void *ctx)
{
    struct node *node = ctx;

    node->closed++;
}

static void start_node(struct group *g, unsigned i, const struct gossip_addr *contact)
{
    struct node *n = &g->nodes[i];
    struct gossip_config core;
    char bind[32];
    struct gossip_driver_config cfg = {
        .loop = &g->loop, .core = &core, .bind = bind, .ctx = n, .on_notice = on_notice
    };

    /* A loopback address of this process alone: UDP and TCP must have the same port. */
    (void)snprintf(bind, sizeof(bind), "127.%d.%d.%d:%u", 1 + (getpid() >> 16 & 63),
                   getpid() >> 8 & 255, getpid() & 255, GOSSIP_TEST_PORT + i);
    n->group = g;
    n->index = i;
    n->running = true;
    gossip_config_init(&core);
    core.id = g->ids[i];
    memset(core.cluster.text, 'c', ID_LEN);
    memcpy(core.secret_key, g->secret_keys[i], GOSSIP_SECRET_KEY_LEN);
    core.keys[0] = (struct gossip_key){ .epoch = 1, .bytes = { 9 } };
    core.key_count = 1;
    core.boot_epoch = 1;
    assert_int_equal(gossip_tcp_new(&g->loop, &n->tcp), 0);
    cfg.transport = gossip_tcp_transport(n->tcp);
    assert_int_equal(gossip_driver_open(&cfg, &n->driver), 0);
    assert_int_equal(gossip_tcp_attach(n->tcp, n->driver), 0);
    if (contact != NULL)
        gossip_driver_contacts(n->driver, &(struct gossip_contact){ .addr = *contact }, 1);
}

static int set_up(void **state)
{
    struct group *g = test_calloc(1, sizeof(*g));
    struct gossip_addr contact;

    assert_int_equal(uv_loop_init(&g->loop), 0);
    for (unsigned i = 0; i < NODES; i++) {
        uint8_t seed[32] = { (uint8_t)i };

        (void)crypto_sign_seed_keypair(g->public_keys[i], g->secret_keys[i], seed);
        g->ids[i] = id_from_random(seed);
    }
    start_node(g, 0, NULL);
    contact = gossip_driver_bound(g->nodes[0].driver);
    for (unsigned i = 1; i < NODES; i++)
        start_node(g, i, &contact);
    *state = g;
    return 0;
}

static void stop_node(struct node *n, enum gossip_farewell farewell)
{
    if (!n->running)
        return;
    n->running = false;
    gossip_tcp_close(n->tcp, on_closed, n);
    gossip_driver_close(n->driver, farewell, on_closed, n);
}

static int tear_down(void **state)
{
    struct group *g = *state;

    for (unsigned i = 0; i < NODES; i++)
        stop_node(&g->nodes[i], GOSSIP_VANISH);
    (void)uv_run(&g->loop, UV_RUN_DEFAULT); /* until the last handle is closed */
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(g->nodes[i].closed, 2);
        gossip_tcp_free(g->nodes[i].tcp);
    }
    assert_int_equal(uv_loop_close(&g->loop), 0);
    test_free(g);
    return 0;
}

static bool all_running_see(struct group *g, unsigned subject, enum gossip_status status)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (i != subject && g->nodes[i].running && g->nodes[i].seen[subject] != status)
            return false;
    }
    return true;
}

/* Runs the loop until the condition holds; the bound is far above what is expected. */
static mono_ns run_until_seen(struct group *g, unsigned subject, enum gossip_status status)
{
    mono_ns from = uv_hrtime();

    while (!all_running_see(g, subject, status)) {
        assert_true(uv_hrtime() - from < 30 * NS_PER_S);
        (void)uv_run(&g->loop, UV_RUN_ONCE);
    }
    return uv_hrtime() - from;
}

static void join(struct group *g)
{
    for (unsigned i = 0; i < NODES; i++)
        run_until_seen(g, i, GOSSIP_ALIVE);
}

static void test_three_nodes_find_each_other(void **state)
{
    struct group *g = *state;
    struct gossip_stats s;

    join(g);
    gossip_stats_get(gossip_driver_core(g->nodes[2].driver), &s);
    assert_int_equal(s.alive_count, NODES);
}

static void test_a_dead_node_is_known_in_seconds(void **state)
{
    struct group *g = *state;

    join(g);
    stop_node(&g->nodes[1], GOSSIP_VANISH);
    print_message("  %.2f s\n", (double)run_until_seen(g, 1, GOSSIP_UNREACHABLE) / 1e9);
}

static void test_a_node_that_leaves_says_so_and_closes(void **state)
{
    struct group *g = *state;

    join(g);
    stop_node(&g->nodes[2], GOSSIP_FAREWELL);
    run_until_seen(g, 2, GOSSIP_LEFT);
    while (g->nodes[2].closed < 2)
        (void)uv_run(&g->loop, UV_RUN_ONCE);
}

/* Garbage of every length costs nothing but a counter. */
static void test_noise_on_the_socket_is_refused(void **state)
{
    struct group *g = *state;
    uint8_t noise[1500] = { 1 };
    struct gossip_addr to = gossip_driver_bound(g->nodes[0].driver);
    struct sockaddr_in sa = { .sin_family = AF_INET };
    struct gossip_stats s = { 0 };
    uv_udp_t udp;

    join(g);
    memcpy(&sa.sin_addr, to.bytes, 4);
    memcpy(&sa.sin_port, to.bytes + 4, 2);
    assert_int_equal(uv_udp_init(&g->loop, &udp), 0);
    for (unsigned len = 0; len <= sizeof(noise); len += 100) {
        uv_buf_t buf = uv_buf_init((char *)noise, len);

        assert_int_equal(uv_udp_try_send(&udp, &buf, 1, (struct sockaddr *)&sa), (int)len);
    }
    while (s.refused_seal < 14) {
        (void)uv_run(&g->loop, UV_RUN_ONCE);
        gossip_stats_get(gossip_driver_core(g->nodes[0].driver), &s);
    }
    assert_int_equal(s.alive_count, NODES);
    uv_close((uv_handle_t *)&udp, NULL);
}

static void test_addresses_as_text(void **state)
{
    const char *const good[] = { "127.0.0.1:7946", "[fd00::1]:65535", "0.0.0.0:0" };
    const char *const bad[] = { "",          "127.0.0.1",    "host:1",     "127.0.0.1:",
                                "[fd00::1]", "fd00::1:7946", "1.2.3.4:x",  "1.2.3.4:65536",
                                "[]:1",      "1.2.3.4:-1",   "[1.2.3.4]:5" };
    char text[GOSSIP_ADDR_TEXT_LEN];
    struct gossip_addr a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(gossip_addr_parse(good[i], &a), 0);
        gossip_addr_format(&a, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(gossip_addr_parse(bad[i], &a) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_three_nodes_find_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_dead_node_is_known_in_seconds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_node_that_leaves_says_so_and_closes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_noise_on_the_socket_is_refused, set_up, tear_down),
        cmocka_unit_test(test_addresses_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
