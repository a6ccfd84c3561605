/* The parts whose rules can be read off one at a time: time-outs, samples, packets. */
#include "support_core.h"

#include <string.h>

#include "gossip/dissemination.h"
#include "gossip/suspicion.h"

/* [Lifeguard] IV-B: from max with one accuser to min with two confirmations, by the logarithm. */
static void test_suspicion_shortens_with_confirmations_and_grows_with_the_group(void **state)
{
    const struct {
        size_t n;
        unsigned accusers;
        unsigned expected_ms;
    } cases[] = {
        { 2, 1, 1083 },    { 3, 1, 4332 },     { 3, 2, 1083 },     { 5, 1, 4664 },
        { 5, 2, 2457 },    { 5, 3, 1166 },     { 100, 1, 5996 },   { 100, 3, 1499 },
        { 1000, 3, 1749 }, { 10000, 3, 1999 }, { 10000, 4, 1999 },
    };
    struct gossip_config cfg;

    (void)state;
    gossip_config_init(&cfg);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        mono_ns t = suspicion_timeout(&cfg, cases[i].n, cases[i].accusers);

        print_message("  n=%zu, %u accusers: %u ms\n", cases[i].n, cases[i].accusers,
                      (unsigned)(t / NS_PER_MS));
        assert_in_range(t / NS_PER_MS, cases[i].expected_ms - 5, cases[i].expected_ms + 5);
    }
}

/* memberlist until 2026-06: with three members the only other one was sometimes not chosen. */
static void test_samples_are_distinct_full_and_uniform(void **state)
{
    struct gossip_pool *pool;
    struct members t;
    struct member *all[12];
    struct prng prng;
    unsigned chosen[12] = { 0 };

    (void)state;
    assert_int_equal(gossip_pool_new(&pool), 0);
    members_init(&t, 100);
    prng_init(&prng, 1);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        struct id id = support_id(i);
        uint8_t key[GOSSIP_PUBLIC_KEY_LEN] = { 0 };
        struct blob *trust = member_trust(pool, &id, key);

        assert_int_equal(member_add(&t, node_ref_of(&id), trust, &all[i]), 0);
        blob_unref(pool, trust);
        member_set_live(&t, all[i], &prng);
        for (unsigned round = 0; round < 200; round++) {
            struct member *out[3];
            size_t count = members_sample(&t, &prng, all[0], 3, out);

            assert_int_equal(count, MIN(i, 3)); /* all but the excepted one, if fewer */
            for (size_t a = 0; a < count; a++) {
                assert_ptr_not_equal(out[a], all[0]);
                for (size_t b = 0; b < a; b++)
                    assert_ptr_not_equal(out[a], out[b]);
            }
        }
    }
    for (unsigned round = 0; round < 11000; round++) {
        struct member *out[1];

        assert_int_equal(members_sample(&t, &prng, all[0], 1, out), 1);
        chosen[out[0]->slot]++;
    }
    for (unsigned i = 1; i < ARRAY_LEN(all); i++)
        assert_in_range(chosen[i], 850, 1150); /* 1000 expected */
    members_deinit(&t, pool);
    gossip_pool_free(pool);
}

/* Records in the packets of one step, in order; the sender is the member that reads them. */
static size_t read_records(const struct gossip_output *out, size_t packet, struct id *ids)
{
    struct forge f;
    uint8_t body[GOSSIP_PACKET_LEN_MAX], type;
    struct sealed_by by;
    struct slice message;
    struct reader r;
    size_t count = 0;
    int len;

    support_forge_init(&f, 2);
    len = seal_open(&f.sealer, out->packets[packet].bytes, body, &by);
    assert_true(len >= 16);
    r = reader_of(slice_of(body + 16, (size_t)len - 16));
    while (read_message(&r, &type, &message)) {
        struct record record;

        if (type != MESSAGE_RECORD)
            continue;
        assert_true(record_read(message, &record) > 0);
        ids[count++] = record.id;
    }
    assert_false(r.bad);
    return count;
}

#define CROWD 40

/* A node that has just heard of CROWD members, all news to it. */
static struct gossip *node_with_news(void)
{
    struct gossip *g = support_node(1);

    for (unsigned i = 0; i < CROWD; i++) {
        struct forge f;

        support_meet(g, &f, 2 + i, 0);
    }
    return g;
}

static struct gossip_output ping(struct gossip *g, struct forge *f)
{
    support_forge_begin(f, 2);
    write_ping(&f->body, &(struct message_ping){ .seq = 1 });
    return support_packet(g, 2, support_forge_end(f), 0);
}

static void test_a_packet_is_filled_to_its_limit_and_not_beyond(void **state)
{
    struct gossip *g = node_with_news();
    struct gossip_output out;
    struct forge f;
    struct id ids[32];

    (void)state;
    support_forge_init(&f, 2);
    f.sealer.counter = 50;
    out = ping(g, &f);
    assert_true(out.packet_count >= 1);
    assert_true(out.packets[0].bytes.len <= GOSSIP_PACKET_LEN_MAX);
    assert_true(out.packets[0].bytes.len > GOSSIP_PACKET_LEN_MAX - RECORD_LEN_MAX);
    assert_in_range(read_records(&out, 0, ids), 9, 10);
    gossip_free(g);
}

/* moby 6ec6e0991a: a queue that serves the newest first never serves the oldest. */
static void test_own_news_go_first_and_old_news_are_not_starved(void **state)
{
    struct gossip *g = node_with_news();
    struct gossip_output out;
    struct forge f;
    bool told[CROWD + 2] = { false };
    unsigned packets = 0, count = 0;

    (void)state;
    support_forge_init(&f, 2);
    f.sealer.counter = 50;
    while (count < CROWD - 1 && packets < 8) {
        struct id ids[32], self = support_id(1);
        size_t n;

        (void)support_step(
            g, &(struct gossip_event){ .kind = GOSSIP_SET_META, .bytes = slice_of(&packets, 1) },
            0);
        out = ping(g, &f);
        packets++;
        n = read_records(&out, 0, ids);
        assert_true(n > 0);
        assert_true(id_equal(&ids[0], &self));
        for (size_t k = 1; k < n; k++) {
            for (unsigned i = 3; i < CROWD + 2; i++) {
                struct id id = support_id(i);

                if (id_equal(&ids[k], &id) && !told[i]) {
                    told[i] = true;
                    count++;
                }
            }
        }
    }
    print_message("  %u of %u told in %u packets\n", count, CROWD - 1, packets);
    assert_int_equal(count, CROWD - 1); /* everyone but the reader itself */
    gossip_free(g);
}

/* memberlist #242: the system says that nothing listens there; waiting would be in vain. */
static void test_a_failed_send_ends_the_direct_phase(void **state)
{
    struct gossip *g = support_node(1);
    struct gossip_event lost = { .kind = GOSSIP_LINK_LOST, .id = support_id(2) };
    struct gossip_event failed = { .kind = GOSSIP_SEND_FAILED, .addr = support_addr(2) };
    struct gossip_output out;
    struct forge f;

    (void)state;
    support_meet(g, &f, 2, 0);
    support_meet(g, &f, 3, 0);
    out = support_step(g, &lost, NS_PER_MS); /* a probe of 2 begins */
    out = support_step(g, &failed, NS_PER_MS);
    assert_int_equal(out.packet_count >= 2, 1); /* the helper is asked, and 2 once more */
    gossip_free(g);
}

/* Whose packets we cannot tell from replayed ones gets one answer a second, however many it sends.
 */
static void test_strangers_are_answered_once_a_second(void **state)
{
    struct gossip *g = support_node(1);
    unsigned answers = 0;
    struct forge f;

    (void)state;
    for (mono_ns t = 0; t < 3 * NS_PER_S; t += 10 * NS_PER_MS) {
        if (t == 0)
            support_forge_init(&f, 2);
        else
            support_forge_begin(&f, 2);
        answers += support_packet(g, 2, support_forge_end(&f), t).packet_count > 0;
    }
    assert_int_equal(answers, 3);
    assert_int_equal(support_stats(g).syncs, 3);
    gossip_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_answered_once_a_second),
        cmocka_unit_test(test_suspicion_shortens_with_confirmations_and_grows_with_the_group),
        cmocka_unit_test(test_samples_are_distinct_full_and_uniform),
        cmocka_unit_test(test_a_packet_is_filled_to_its_limit_and_not_beyond),
        cmocka_unit_test(test_own_news_go_first_and_old_news_are_not_starved),
        cmocka_unit_test(test_a_failed_send_ends_the_direct_phase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
