/* The merge is commutative, associative and idempotent: nodes that have seen the same statements,
 * in any order, any number of times, in any grouping, hold the same view. */
#include "support_core.h"

#include <string.h>

#include "base/prng.h"

#define MEMBERS    6
#define STATEMENTS 40

struct statement {
    enum message_type type;
    uint8_t bytes[RECORD_LEN_MAX];
    size_t len;
};

/* Records of incarnations 5.0 .. 5.3 and accusations against them, some contradicting others. */
static void make_statements(struct prng *prng, struct statement *list)
{
    for (size_t i = 0; i < STATEMENTS; i++) {
        struct statement *s = &list[i];
        unsigned about = 2 + (unsigned)prng_below(prng, MEMBERS);
        unsigned by = 2 + (unsigned)prng_below(prng, MEMBERS);
        uint32_t counter = (uint32_t)prng_below(prng, 4);
        struct slice bytes;

        if (prng_chance(prng, 0.4) || about == by) {
            s->type = MESSAGE_RECORD;
            bytes = support_record(s->bytes, about, 5, counter, about);
        } else {
            s->type = MESSAGE_ACCUSATION;
            bytes = support_accusation(s->bytes, about, 5, counter, by, by);
        }
        s->len = bytes.len;
    }
}

static void feed(struct gossip *g, struct forge *f, const struct statement *s)
{
    support_forge_begin(f, 2);
    (void)write_message(&f->body, s->type, slice_of(s->bytes, s->len), (struct slice){ 0 });
    (void)support_packet(g, 2, support_forge_end(f), NS_PER_MS);
}

/* Accusations that name an incarnation not yet known wait for the next telling, as in the protocol:
 * whatever the order, telling everything again until nothing changes ends in one view. */
static uint64_t view_after(const struct statement *list, struct prng *prng)
{
    struct gossip *g = support_node(1);
    struct forge f[MEMBERS];
    uint64_t digest;

    for (unsigned i = 0; i < MEMBERS; i++)
        support_meet(g, &f[i], 2 + i, 0);
    do {
        digest = gossip_digest(g);
        for (size_t n = 0; n < STATEMENTS; n++) { /* with repetitions and gaps .. */
            size_t i = prng_below(prng, STATEMENTS);

            feed(g, &f[0], &list[i]);
        }
        for (size_t i = 0; i < STATEMENTS; i++) /* .. and all of them */
            feed(g, &f[0], &list[i]);
    } while (gossip_digest(g) != digest);
    gossip_free(g);
    return digest;
}

/* The node's own record is in its digest; it is the same in each run. */
static void test_views_do_not_depend_on_order_or_repetition(void **state)
{
    struct prng prng;

    (void)state;
    prng_init(&prng, 99);
    for (int round = 0; round < 20; round++) {
        struct statement list[STATEMENTS];
        uint64_t first;

        make_statements(&prng, list);
        first = view_after(list, &prng);
        for (int again = 0; again < 4; again++)
            assert_true(view_after(list, &prng) == first);
    }
}

/* A node that signs two different things under one incarnation breaks the rules; all others still
 * end with the same one of them (moby 21d9109750). */
static void test_two_records_of_one_incarnation_do_not_divide_views(void **state)
{
    struct statement a = { .type = MESSAGE_RECORD }, b = { .type = MESSAGE_RECORD };
    uint64_t digests[2];
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];
    struct id cluster = support_cluster();
    struct record r = { .id = support_id(3), .incarnation = { 5, 1 }, .addr = support_addr(200) };
    struct gossip_pool *pool;
    struct blob *blob;

    (void)state;
    a.len = support_record(a.bytes, 3, 5, 1, 3).len;
    support_keys(3, public_key, secret_key);
    meta_hash((struct slice){ 0 }, r.meta_hash);
    assert_int_equal(gossip_pool_new(&pool), 0);
    blob = record_sign(pool, &cluster, &r, secret_key);
    memcpy(b.bytes, blob->bytes, blob->len);
    b.len = blob->len;
    blob_unref(pool, blob);
    gossip_pool_free(pool);
    for (int i = 0; i < 2; i++) {
        struct gossip *g = support_node(1);
        struct forge f, f3;

        support_meet(g, &f, 2, 0);
        support_meet(g, &f3, 3, 0);
        feed(g, &f, i == 0 ? &a : &b);
        feed(g, &f, i == 0 ? &b : &a);
        digests[i] = gossip_digest(g);
        gossip_free(g);
    }
    assert_true(digests[0] == digests[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_do_not_depend_on_order_or_repetition),
        cmocka_unit_test(test_two_records_of_one_incarnation_do_not_divide_views),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
