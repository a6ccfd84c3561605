#include "support_cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/err.h"

#define RECORD_MAX (64 * MIB)

static void fill(uint8_t *out, size_t len, unsigned seed)
{
    uint8_t key[randombytes_SEEDBYTES] = { 0 };

    memcpy(key, &seed, sizeof(seed));
    randombytes_buf_deterministic(out, len, key);
}

static struct id make_id(unsigned seed)
{
    uint8_t random[ID_RANDOM_LEN];

    fill(random, sizeof(random), seed);
    return id_from_random(random);
}

void cluster_init(struct test_cluster *c, unsigned seed)
{
    uint8_t key[CLUSTER_KEY_LEN];

    memset(c, 0, sizeof(*c));
    assert_true(sodium_init() >= 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as the program does */
    assert_int_equal(uv_loop_init(&c->loop), 0);
    c->seed = seed * 1000;
    fill(key, sizeof(key), c->seed++);
    ca_init(&c->ca, key);
    c->id = make_id(c->seed++);
}

void cluster_deinit(struct test_cluster *c)
{
    loop_end(&c->loop);
}

wall_ns test_now(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_REALTIME, &t), 0);
    return (wall_ns)t.tv_sec * (wall_ns)NS_PER_S + t.tv_nsec;
}

/* --- Nodes --- */

static int on_admit(void *ctx, const struct cert *cert, enum node_role *role)
{
    struct test_node *n = ctx;

    (void)cert;
    if (n->admits_workers)
        *role = ROLE_WORKER;
    return n->admit_status;
}

static void on_peer_up(void *ctx, const struct link_peer *peer)
{
    struct test_node *n = ctx;

    n->up_count++;
    n->last_up = *peer;
}

static void on_peer_down(void *ctx, const struct link_peer *peer, int reason)
{
    struct test_node *n = ctx;

    (void)peer;
    n->down_count++;
    n->last_down = reason;
}

static void on_refused(void *ctx, const char *address, int reason, const char *what)
{
    struct test_node *n = ctx;

    (void)address;
    (void)what;
    n->refused_count++;
    n->last_refused = reason;
}

static void on_message(void *ctx, const struct link_peer *from, enum link_channel channel,
                       struct slice message)
{
    struct test_node *n = ctx;

    n->message_count++;
    n->last_channel = channel;
    n->last_from = from->node;
    n->message_at = uv_hrtime();
    n->message_after = n->data.len;
    assert_int_equal(buf_append_slice(&n->messages, message), 0);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct test_node *n = ctx;

    assert_int_equal(buf_append_slice(&n->data, data), 0);
    if (n->echoes)
        assert_int_equal(link_stream_write(s, data), 0);
    if (!n->keeps)
        link_stream_consume(s, data.len);
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    struct test_node *n = ctx;

    n->is_finished = true;
    n->finish_status = status;
    if (n->echoes)
        link_stream_finish(s, status);
}

static void on_stream_closed(void *ctx, struct link_stream *s, int reason)
{
    struct test_node *n = ctx;

    (void)s;
    n->is_closed = true;
    n->close_reason = reason;
}

static int on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_data,
                                                            .on_finish = on_finish,
                                                            .on_closed = on_stream_closed };
    struct test_node *n = ctx;

    n->last_from = from->node;
    n->last_channel = channel;
    if (n->accept_status < 0)
        return n->accept_status;
    assert_true(header.len < sizeof(n->header));
    memcpy(n->header, header.ptr, header.len);
    n->stream = stream;
    link_stream_accept(stream, &callbacks, n);
    return 0;
}

void node_init(struct test_node *n, struct test_cluster *c, enum node_role role)
{
    uint8_t seed[NODE_KEYS_SEED_LEN];
    wall_ns now = test_now();

    memset(n, 0, sizeof(*n));
    n->cluster = c;
    n->loop = &c->loop;
    buf_init(&n->messages, RECORD_MAX);
    buf_init(&n->data, RECORD_MAX);
    fill(seed, sizeof(seed), c->seed++);
    node_keys_init(&n->identity.keys, seed);
    n->identity.is_member = true;
    n->identity.trust.cluster = c->id;
    n->identity.trust.root_count = 1;
    n->identity.trust.roots[0] = ca_root(&c->ca);
    n->identity.cert.cluster = c->id;
    n->identity.cert.node = make_id(c->seed++);
    n->identity.cert.role = role;
    memcpy(n->identity.cert.identity_key, n->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(n->identity.cert.static_key, n->identity.keys.static_key, CLUSTER_KEY_LEN);
    node_reissue(n, &c->ca, now - CERT_BACKDATE_NS, now + CERT_VALIDITY_NS);
    n->cfg.identity = &n->identity;
    n->cfg.events = (struct links_events){ .ctx = n,
                                           .admit = on_admit,
                                           .on_peer_up = on_peer_up,
                                           .on_peer_down = on_peer_down,
                                           .on_refused = on_refused };
}

void node_reissue(struct test_node *n, const struct ca *ca, wall_ns not_before, wall_ns not_after)
{
    assert_int_equal(ca_issue_for(ca, &n->identity.cert, not_before, not_after), 0);
}

void node_start(struct test_node *n)
{
    const struct link_handler handler = { .ctx = n,
                                          .on_message = on_message,
                                          .on_stream = on_stream };

    assert_int_equal(links_new(n->loop, &n->cfg, &n->links), 0);
    for (unsigned channel = 1; channel <= LINK_CHANNEL_MAX; channel++)
        links_handle(n->links, (enum link_channel)channel, &handler);
    assert_int_equal(links_listen(n->links, "127.0.0.1:0"), 0);
}

static void on_links_closed(void *ctx)
{
    struct test_node *n = ctx;

    n->is_down = true;
}

void node_stop(struct test_node *n)
{
    n->is_down = false;
    links_close(n->links, on_links_closed, n);
    RUN_UNTIL(n->loop, n->is_down);
    links_free(n->links);
    n->links = NULL;
    buf_deinit(&n->messages);
    buf_deinit(&n->data);
}

void node_knows(struct test_node *n, const struct test_node *other, enum link_want want)
{
    const char *addresses[] = { links_address(other->links) };
    const struct link_peer_hint hint = { addresses, 1, want };

    assert_int_equal(link_set_peer(n->links, node_id(other), &hint), 0);
}

bool node_has_link(const struct test_node *n, const struct test_node *other)
{
    return link_is_up(n->links, node_id(other));
}

const struct id *node_id(const struct test_node *n)
{
    return &n->identity.cert.node;
}

/* --- Streams opened by tests --- */

static void on_own_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct test_stream *t = ctx;

    assert_int_equal(buf_append_slice(&t->data, data), 0);
    link_stream_consume(s, data.len);
}

static void on_own_finish(void *ctx, struct link_stream *s, int status)
{
    struct test_stream *t = ctx;

    (void)s;
    t->is_finished = true;
    t->finish_status = status;
}

static void on_own_closed(void *ctx, struct link_stream *s, int reason)
{
    struct test_stream *t = ctx;

    (void)s;
    t->is_closed = true;
    t->close_reason = reason;
}

const struct link_stream_callbacks test_stream_callbacks = { .on_data = on_own_data,
                                                             .on_finish = on_own_finish,
                                                             .on_closed = on_own_closed };

void test_stream_open(struct test_stream *s, struct test_node *from, const struct id *to,
                      enum link_channel channel)
{
    memset(s, 0, sizeof(*s));
    buf_init(&s->data, RECORD_MAX);
    assert_int_equal(link_stream_open(from->links, to, channel, slice_of_str("header"),
                                      &test_stream_callbacks, s, &s->stream),
                     0);
}

void test_stream_deinit(struct test_stream *s)
{
    buf_deinit(&s->data);
}
