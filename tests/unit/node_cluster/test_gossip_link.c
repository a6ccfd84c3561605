/* Gossip over the nodes' own links: two nodes on loopback whose exchange runs on the GOSSIP
 * channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "node/cluster/gossip_driver_link.h"
#include "support_cluster.h"

#define NODES 2

struct speaker {
    struct pair *pair;
    struct test_node node;
    struct gossip_link *streams;
    struct gossip_driver *gossip;
    bool is_closed, sees_other;
};

struct pair {
    struct test_cluster cluster;
    struct speaker speakers[NODES];
};

static void on_notice(void *ctx, const struct gossip_notice *n)
{
    struct speaker *s = ctx;

    if (n->kind == GOSSIP_NOTICE_JOINED && n->status == GOSSIP_ALIVE)
        s->sees_other = true;
}

static void on_gossip_closed(void *ctx)
{
    struct speaker *s = ctx;

    s->is_closed = true;
}

static void open_gossip(struct speaker *s)
{
    const struct identity *self = &s->node.identity;
    struct gossip_config core;
    struct gossip_driver_config cfg = { .loop = s->node.loop,
                                        .core = &core,
                                        .bind = "127.0.0.1:0",
                                        .transport = gossip_link_transport(s->streams),
                                        .ctx = s,
                                        .on_notice = on_notice };

    gossip_config_init(&core);
    core.id = self->cert.node;
    core.cluster = self->cert.cluster;
    memcpy(core.secret_key, self->keys.identity_seed, CLUSTER_KEY_LEN);
    memcpy(core.secret_key + CLUSTER_KEY_LEN, self->keys.identity_key, CLUSTER_KEY_LEN);
    core.keys[0] = (struct gossip_key){ .epoch = 1, .bytes = { 9 } };
    core.key_count = 1;
    core.boot_epoch = 1;
    assert_int_equal(gossip_driver_open(&cfg, &s->gossip), 0);
    gossip_link_attach(s->streams, s->gossip);
}

static void close_gossip(struct speaker *s)
{
    if (s->gossip == NULL)
        return;
    gossip_link_attach(s->streams, NULL);
    gossip_driver_close(s->gossip, GOSSIP_VANISH, on_gossip_closed, s);
    s->gossip = NULL;
    RUN_UNTIL(s->node.loop, s->is_closed);
}

static int set_up(void **state)
{
    struct pair *p = test_calloc(1, sizeof(*p));

    cluster_init(&p->cluster, 71);
    for (size_t i = 0; i < NODES; i++) {
        struct speaker *s = &p->speakers[i];

        s->pair = p;
        node_init(&s->node, &p->cluster, ROLE_WORKER);
        node_start(&s->node);
        assert_int_equal(gossip_link_new(s->node.links, &s->streams), 0);
        open_gossip(s);
    }
    for (size_t i = 0; i < NODES; i++) {
        const struct test_node *other = &p->speakers[1 - i].node;

        node_knows(&p->speakers[i].node, other, LINK_ON_DEMAND);
        gossip_driver_trust(p->speakers[i].gossip, node_id(other),
                            other->identity.keys.identity_key);
    }
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    for (size_t i = 0; i < NODES; i++)
        close_gossip(&p->speakers[i]);
    for (size_t i = 0; i < NODES; i++) {
        if (p->speakers[i].node.links != NULL)
            node_stop(&p->speakers[i].node);
        gossip_link_free(p->speakers[i].streams);
    }
    cluster_deinit(&p->cluster);
    test_free(p);
    return 0;
}

/* Tells the first where the second is; whether with its id decides who can be dialled. */
static void point_at_second(struct pair *p, const struct id *id)
{
    struct gossip_contact contact = { .addr = gossip_driver_bound(p->speakers[1].gossip) };

    if (id != NULL)
        contact.id = *id;
    gossip_driver_contacts(p->speakers[0].gossip, &contact, 1);
}

static size_t open_streams(struct speaker *s, const struct speaker *to)
{
    struct link_info info;

    return link_get_info(s->node.links, node_id(&to->node), &info) == 0 ? info.streams : 0;
}

static uint64_t exchanges(const struct speaker *s)
{
    struct gossip_stats stats;

    gossip_stats_get(gossip_driver_core(s->gossip), &stats);
    return stats.exchanges;
}

static void test_an_exchange_runs_over_the_link_and_ends(void **state)
{
    struct pair *p = *state;
    struct speaker *a = &p->speakers[0], *b = &p->speakers[1];

    point_at_second(p, node_id(&b->node));
    RUN_UNTIL(&p->cluster.loop, node_has_link(&a->node, &b->node) && exchanges(a) > 0);
    RUN_UNTIL(&p->cluster.loop, a->sees_other && b->sees_other);
    RUN_UNTIL(&p->cluster.loop, open_streams(a, b) == 0 && open_streams(b, a) == 0);
}

/* Links dial nodes, not addresses: packets must do until the id is known. */
static void test_a_contact_without_an_id_opens_no_link(void **state)
{
    struct pair *p = *state;
    struct speaker *a = &p->speakers[0], *b = &p->speakers[1];

    point_at_second(p, NULL);
    RUN_UNTIL(&p->cluster.loop, a->sees_other && b->sees_other);
}

/* What is open when the links close is reported and freed: the sanitizers would see the rest. */
static void test_links_that_close_end_an_exchange(void **state)
{
    struct pair *p = *state;
    struct speaker *a = &p->speakers[0], *b = &p->speakers[1];

    point_at_second(p, node_id(&b->node));
    RUN_UNTIL(&p->cluster.loop, exchanges(a) > 0);
    node_stop(&b->node);
    assert_int_equal(open_streams(a, b), 0);
}

static void test_a_node_without_gossip_refuses_streams(void **state)
{
    struct pair *p = *state;
    struct speaker *a = &p->speakers[0], *b = &p->speakers[1];
    struct test_stream s;

    close_gossip(b);
    test_stream_open(&s, &a->node, node_id(&b->node), LINK_GOSSIP);
    RUN_UNTIL(&p->cluster.loop, s.is_closed);
    assert_int_equal(s.close_reason, ERR_UNAVAILABLE);
    test_stream_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_exchange_runs_over_the_link_and_ends, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_contact_without_an_id_opens_no_link, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_links_that_close_end_an_exchange, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_node_without_gossip_refuses_streams, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
