#include "support_managers.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <sodium.h>

#include "base/err.h"
#include "tests/support/unit.h"

static struct id random_id(void)
{
    uint8_t bits[ID_RANDOM_LEN];

    randombytes_buf(bits, sizeof(bits));
    return id_from_random(bits);
}

const struct id *seat_id(const struct seat *s)
{
    return &s->identity.cert.node;
}

/* --- What managers say */

static void on_changed(void *ctx, const struct store_changes *changes)
{
    (void)ctx;
    (void)changes;
}

static void on_reset(void *ctx)
{
    (void)ctx;
}

static void on_leader(void *ctx, const struct id *leader)
{
    (void)ctx;
    (void)leader;
}

static void send_dispatch(void *ctx, const struct id *node, const struct dispatch *frame)
{
    struct seat *s = ctx;

    (void)node; /* there are no agents */
    s->redirects += frame->kind == DISPATCH_REDIRECT;
    s->acks += frame->kind == DISPATCH_ACK;
}

static void on_removed(void *ctx)
{
    ((struct seat *)ctx)->is_removed = true;
}

static void on_failed(void *ctx, int err, const char *why)
{
    print_message("  %d %s\n", err, why);
    ((struct seat *)ctx)->has_failed = true;
}

/* --- One seat */

static void open_manager(struct seat *s, bool bootstrap)
{
    struct manager_config cfg = { .loop = &s->seats->loop,
                                  .state_dir = s->dir,
                                  .data_key = { 7 },
                                  .cluster = s->seats->cluster,
                                  .node_id = *seat_id(s),
                                  .raft_id = s->raft_id,
                                  .bootstrap = bootstrap,
                                  .links = s->links,
                                  .ctx = s,
                                  .on_changed = on_changed,
                                  .on_reset = on_reset,
                                  .on_leader = on_leader,
                                  .send_dispatch = send_dispatch,
                                  .on_removed = on_removed,
                                  .on_failed = on_failed };
    char why[256] = "";

    if (manager_open(&cfg, &s->manager, why, sizeof(why)) < 0)
        fail_msg("%s", why);
}

void seat_open(struct seat *s)
{
    open_manager(s, false);
}

static void on_closed(void *ctx)
{
    ((struct seat *)ctx)->is_closed = true;
}

void seat_close(struct seat *s)
{
    if (s->manager == NULL)
        return;
    s->is_closed = false;
    manager_close(s->manager, on_closed, s);
    SEATS_UNTIL(s->seats, s->is_closed);
    s->manager = NULL;
}

static void make_identity(struct seat *s)
{
    uint8_t seed[NODE_KEYS_SEED_LEN];
    uv_timeval64_t tv;

    randombytes_buf(seed, sizeof(seed));
    node_keys_init(&s->identity.keys, seed);
    s->identity.is_member = true;
    s->identity.trust = (struct trust){ .cluster = s->seats->cluster,
                                        .root_count = 1,
                                        .roots = { ca_root(&s->seats->ca) } };
    s->identity.cert =
        (struct cert){ .cluster = s->seats->cluster, .node = random_id(), .role = ROLE_MANAGER };
    memcpy(s->identity.cert.identity_key, s->identity.keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(s->identity.cert.static_key, s->identity.keys.static_key, CLUSTER_KEY_LEN);
    assert_int_equal(uv_gettimeofday(&tv), 0);
    assert_int_equal(ca_issue(&s->seats->ca, &s->identity.cert, tv.tv_sec * (wall_ns)NS_PER_S), 0);
}

static void open_links(struct seat *s)
{
    assert_int_equal(
        links_new(&s->seats->loop, &(struct links_config){ .identity = &s->identity }, &s->links),
        0);
    assert_int_equal(links_listen(s->links, "127.0.0.1:0"), 0);
}

/* --- Proposals */

static void on_done(void *owner, int err, const struct field_error *why)
{
    struct seat *s = owner;

    assert_false(s->is_done); /* exactly once */
    s->is_done = true;
    s->err = err;
    s->why = *why;
}

static void propose(struct seat *s, struct transaction *t)
{
    s->is_done = false;
    s->why.text[0] = '\0';
    manager_propose(s->manager, t, on_done, s);
}

int seat_wait(struct seat *s)
{
    SEATS_UNTIL(s->seats, s->is_done);
    return s->err;
}

void seat_propose(struct seat *s, const char *name)
{
    struct network n = { .id = random_id() };
    struct transaction t = { 0 };

    assert_int_equal(str_set(&n.spec.name, name), 0);
    assert_int_equal(
        transaction_create(&t, OBJECT_NETWORK, (const struct object *)(const void *)&n), 0);
    fields_deinit(&network_type, &n);
    propose(s, &t);
}

int seat_set_role(struct seat *s, const struct seat *subject, enum node_role role)
{
    const struct node *n = store_node(manager_store(s->manager), seat_id(subject));
    struct transaction t = { 0 };
    struct node copy;

    assert_non_null(n);
    assert_int_equal(fields_copy(&node_type, n, &copy), 0);
    copy.spec.role = role;
    assert_int_equal(
        transaction_update(&t, OBJECT_NODE, (const struct object *)(const void *)&copy), 0);
    fields_deinit(&node_type, &copy);
    propose(s, &t);
    return seat_wait(s);
}

bool seat_has(const struct seat *s, const char *name)
{
    return store_find_name(manager_store(s->manager), OBJECT_NETWORK, name) != NULL;
}

/* --- The cluster */

static struct seat *find_leader(struct seats *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct manager *m = s->seats[i].manager;

        if (m != NULL && manager_is_leader(m))
            return &s->seats[i];
    }
    return NULL;
}

struct seat *seats_leader(struct seats *s)
{
    struct seat *leader = NULL;

    SEATS_UNTIL(s, (leader = find_leader(s)) != NULL);
    return leader;
}

struct seat *seat_next(struct seat *s)
{
    size_t i = (size_t)(s - s->seats->seats);

    return &s->seats->seats[(i + 1) % s->seats->count];
}

static void fill_node(const struct seat *s, struct node *n)
{
    *n = (struct node){ .id = *seat_id(s), .spec.role = ROLE_MANAGER, .role = ROLE_MANAGER };
    n->manager = calloc(1, sizeof(*n->manager));
    assert_non_null(n->manager);
    n->manager->raft_id = s->raft_id;
}

static void found_cluster(struct seats *s)
{
    struct seat *first = &s->seats[0];
    struct cluster cluster = { .id = s->cluster };
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct admit admit;
    struct node n;

    open_manager(first, true);
    SEATS_UNTIL(s, manager_is_leader(first->manager));
    fill_node(first, &n);
    manager_admit(first->manager, &admit, &t, &why);
    assert_int_equal(admit_cluster_init(&admit, &cluster, &n), 0);
    fields_deinit(&node_type, &n);
    propose(first, &t);
    assert_int_equal(seat_wait(first), 0);
}

static bool knows_node(const struct seat *s, const struct seat *subject)
{
    return store_node(manager_store(s->manager), seat_id(subject)) != NULL;
}

/* Once may not be enough: on a busy machine the leader changes meanwhile. */
static void propose_node(struct seat *s, const struct seat *added)
{
    struct transaction t = { 0 };
    struct node n;

    fill_node(added, &n);
    assert_int_equal(transaction_create(&t, OBJECT_NODE, (const struct object *)(const void *)&n),
                     0);
    fields_deinit(&node_type, &n);
    propose(s, &t);
    (void)seat_wait(s); /* the caller looks */
}

static void add_manager(struct seats *s, size_t i)
{
    struct seat *first = &s->seats[0], *added = &s->seats[i];

    open_manager(added, false);
    SEATS_UNTIL(s, knows_node(first, added) || (propose_node(first, added), false));
    SEATS_UNTIL(s, manager_voter_count(first->manager) == i + 1);
    SEATS_UNTIL(s, knows_node(added, added) && manager_leader(added->manager) != NULL);
}

static void make_acquainted(struct seats *s)
{
    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->count; k++) {
            const char *address = links_address(s->seats[k].links);
            struct link_peer_hint hint = { &address, 1, LINK_WANTED };

            if (k != i)
                assert_int_equal(link_set_peer(s->seats[i].links, seat_id(&s->seats[k]), &hint), 0);
        }
}

void seats_open(struct seats *s, size_t count)
{
    uint8_t seed[CLUSTER_KEY_LEN] = { 3 };

    memset(s, 0, sizeof(*s));
    assert_true(sodium_init() >= 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as the program does */
    assert_int_equal(uv_loop_init(&s->loop), 0);
    ca_init(&s->ca, seed);
    s->cluster = random_id();
    s->count = count;
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/shoal-managers-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    for (size_t i = 0; i < count; i++) {
        struct seat *seat = &s->seats[i];

        seat->seats = s;
        seat->raft_id = i + 1;
        (void)snprintf(seat->dir, sizeof(seat->dir), "%s/%zu", s->dir, i);
        assert_int_equal(mkdir(seat->dir, 0700), 0);
        make_identity(seat);
        open_links(seat);
    }
    make_acquainted(s);
    found_cluster(s);
    for (size_t i = 1; i < count; i++)
        add_manager(s, i);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void seats_close(struct seats *s)
{
    for (size_t i = 0; i < s->count; i++)
        seat_close(&s->seats[i]);
    for (size_t i = 0; i < s->count; i++) {
        s->seats[i].is_closed = false;
        links_close(s->seats[i].links, on_closed, &s->seats[i]);
        SEATS_UNTIL(s, s->seats[i].is_closed);
        links_free(s->seats[i].links);
    }
    loop_end(&s->loop);
    (void)nftw(s->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
