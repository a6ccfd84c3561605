/* Keys, certificates, roots and tokens: what is believed, and what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "node/cluster/ca.h"
#include "node/cluster/identity.h"
#include "node/cluster/token.h"
#include "node/disk/state_file.h"

#define NOW (INT64_C(1790000000) * (wall_ns)NS_PER_S)

static const uint8_t zero_seed[NODE_KEYS_SEED_LEN];

static struct id make_id(uint8_t n)
{
    const uint8_t random[ID_RANDOM_LEN] = { n };

    return id_from_random(random);
}

static struct ca make_ca(uint8_t n)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { n };
    struct ca ca;

    ca_init(&ca, seed);
    return ca;
}

static struct trust trust_of(const struct ca *ca)
{
    return (struct trust){ .cluster = make_id(1), .root_count = 1, .roots = { ca_root(ca) } };
}

static struct cert make_cert(const struct ca *ca)
{
    struct cert c = { .cluster = make_id(1), .node = make_id(2), .role = ROLE_WORKER };
    struct node_keys keys;

    node_keys_init(&keys, zero_seed);
    memcpy(c.identity_key, keys.identity_key, CLUSTER_KEY_LEN);
    memcpy(c.static_key, keys.static_key, CLUSTER_KEY_LEN);
    assert_int_equal(ca_issue(ca, &c, NOW), 0);
    return c;
}

static void test_a_certificate_survives_the_wire(void **state)
{
    struct ca ca = make_ca(1);
    struct cert c = make_cert(&ca), back;
    struct trust trust = trust_of(&ca);
    struct buf bytes;

    (void)state;
    buf_init(&bytes, CERT_LEN_MAX);
    assert_int_equal(cert_encode(&c, &bytes), 0);
    assert_int_equal(cert_decode(buf_slice(&bytes), &back), 0);
    assert_true(fields_equal(&cert_type, &c, &back));
    assert_int_equal(cert_check(&back, &trust, NOW, 0), 0);
    buf_deinit(&bytes);
}

/* Every bit of the encoding: the form breaks, or the signature does. */
static void test_no_bit_of_a_certificate_may_change(void **state)
{
    struct ca ca = make_ca(1);
    struct cert c = make_cert(&ca), back;
    struct trust trust = trust_of(&ca);
    struct buf bytes;

    (void)state;
    buf_init(&bytes, CERT_LEN_MAX);
    assert_int_equal(cert_encode(&c, &bytes), 0);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (cert_decode(buf_slice(&bytes), &back) == 0)
            assert_true(cert_check(&back, &trust, NOW, 0) < 0);
        bytes.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_deinit(&bytes);
}

static void test_who_is_believed_when(void **state)
{
    const wall_ns end = NOW + CERT_VALIDITY_NS, begin = NOW - CERT_BACKDATE_NS;
    struct ca ca = make_ca(1), other_ca = make_ca(2);
    const struct {
        const char *why;
        const struct ca *issuer;
        uint8_t cluster;
        wall_ns now, grace;
        int result;
    } cases[] = {
        { "a valid one", &ca, 1, NOW, 0, 0 },
        { "at its first moment: clocks differ", &ca, 1, begin, 0, 0 },
        { "before it", &ca, 1, begin - 1, 0, ERR_EXPIRED },
        { "at its last moment", &ca, 1, end, 0, 0 },
        { "after it", &ca, 1, end + 1, 0, ERR_EXPIRED },
        { "after it, to renew", &ca, 1, end + 1, CERT_RENEWAL_GRACE_NS, 0 },
        { "after the grace", &ca, 1, end + CERT_RENEWAL_GRACE_NS + 1, CERT_RENEWAL_GRACE_NS,
          ERR_EXPIRED },
        { "of another cluster", &ca, 9, NOW, 0, ERR_WRONG_CLUSTER },
        { "of another authority", &other_ca, 1, NOW, 0, ERR_UNAUTHENTICATED },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct trust trust = trust_of(&ca);
        struct cert c = make_cert(cases[i].issuer);

        print_message("  %s\n", cases[i].why);
        c.cluster = make_id(cases[i].cluster);
        assert_int_equal(ca_issue(cases[i].issuer, &c, NOW), 0);
        assert_int_equal(cert_check(&c, &trust, cases[i].now, cases[i].grace), cases[i].result);
    }
}

static void test_renewal_is_due_at_half_of_the_validity(void **state)
{
    struct ca ca = make_ca(1);
    struct cert c = make_cert(&ca);

    (void)state;
    assert_int_equal(ca_issue_for(&ca, &c, 100, 300), 0);
    assert_int_equal(cert_renew_at(&c), 200);
}

/* A node that was away while the root changed twice, 1 -> 2 -> 3. */
static void test_a_rotated_root_is_followed_by_its_signatures(void **state)
{
    struct ca first = make_ca(1), second = make_ca(2), third = make_ca(3), thief = make_ca(4);
    struct id cluster = make_id(1), other = make_id(9);
    struct trust t = trust_of(&first);
    struct trust shown = {
        .cluster = cluster,
        .root_count = 3,
        .roots = { ca_cross_sign(&second, &cluster, &third),
                   ca_cross_sign(&first, &cluster, &second),
                   ca_cross_sign(&thief, &cluster, &thief) },
    };
    struct cert c = make_cert(&third);

    (void)state;
    assert_int_equal(cert_check(&c, &t, NOW, 0), ERR_UNAUTHENTICATED);
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 3);
    assert_int_equal(cert_check(&c, &t, NOW, 0), 0);
    assert_false(trust_has_root(&t, thief.root));

    /* Whoever no longer believes the first root is not led on by it. */
    t = trust_of(&thief);
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 1);

    /* A succession of another cluster, and one that was altered. */
    t = trust_of(&first);
    shown.roots[0] = ca_cross_sign(&first, &other, &second);
    shown.roots[1] = ca_cross_sign(&first, &cluster, &second);
    shown.roots[1].key[0] ^= 1;
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 1);
}

/* The state keeps what the old root signed; nodes that slept through the rotation need it. */
static void test_roots_of_the_state_carry_their_signatures(void **state)
{
    struct trust known = { 0 }, asleep, shown;
    struct ca_root roots[2] = { 0 };
    struct trust_root crossed;
    struct ca old, new;

    (void)state;
    ca_init(&old, (const uint8_t[CLUSTER_KEY_LEN]){ 1 });
    ca_init(&new, (const uint8_t[CLUSTER_KEY_LEN]){ 2 });
    memset(known.cluster.text, 'c', ID_LEN);
    known.root_count = 1;
    known.roots[0] = ca_root(&old);
    asleep = known;
    crossed = ca_cross_sign(&old, &known.cluster, &new);
    memcpy(roots[0].public_key, new.root, CLUSTER_KEY_LEN);
    roots[0].cross_signature =
        (struct bytes){ .ptr = crossed.cross_signature, .len = CLUSTER_SIGNATURE_LEN };
    memcpy(roots[1].public_key, old.root, CLUSTER_KEY_LEN);

    shown = ca_trust(&known, roots, 2);
    assert_int_equal(shown.root_count, 2);
    trust_follow(&asleep, &shown);
    assert_true(trust_has_root(&asleep, new.root));

    asleep = known; /* the old root has gone from the state, its signature has not */
    shown = ca_trust(&shown, roots, 1);
    assert_int_equal(shown.root_count, 1);
    trust_follow(&asleep, &shown);
    assert_true(trust_has_root(&asleep, new.root));

    roots[0].cross_signature.len = 0; /* unsigned: nobody follows */
    asleep = known;
    shown = ca_trust(&known, roots, 2);
    trust_follow(&asleep, &shown);
    assert_false(trust_has_root(&asleep, new.root));
}

static void test_a_successor_for_the_state_is_signed_and_followed(void **state)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { 9 };
    struct ca old = make_ca(1), thief = make_ca(7);
    struct ca_root roots[2] = { 0 };
    struct id cluster = make_id(1), other = make_id(5);
    struct trust shown, t = trust_of(&old);

    (void)state;
    memcpy(roots[1].public_key, old.root, CLUSTER_KEY_LEN);
    assert_int_equal(ca_succeed(&roots[1], &cluster, seed, &roots[0]), ERR_UNAVAILABLE);
    assert_int_equal(bytes_set(&roots[1].secret_key, slice_of(old.seed, CLUSTER_KEY_LEN)), 0);
    assert_int_equal(ca_succeed(&roots[1], &cluster, seed, &roots[0]), 0);
    assert_memory_equal(roots[0].secret_key.ptr, seed, CLUSTER_KEY_LEN);
    shown = ca_trust(&t, roots, 2);
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 2);
    assert_true(trust_has_root(&t, roots[0].public_key));

    /* Once the old root is dropped, its holder leads nobody on: not to itself, not to another. */
    t = (struct trust){ .cluster = cluster, .root_count = 1, .roots = { shown.roots[0] } };
    shown = (struct trust){ .cluster = cluster,
                            .root_count = 2,
                            .roots = { ca_root(&old), ca_cross_sign(&old, &cluster, &thief) } };
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 1);
    fields_deinit(&ca_root_type, &roots[0]);

    /* What was signed for another cluster is no succession here. */
    assert_int_equal(ca_succeed(&roots[1], &other, seed, &roots[0]), 0);
    t = trust_of(&old);
    shown = ca_trust(&t, roots, 2);
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, 1);
    fields_deinit(&ca_root_type, &roots[0]);
    fields_deinit(&ca_root_type, &roots[1]);
}

static void test_following_stops_at_the_limit(void **state)
{
    struct id cluster = make_id(1);
    struct ca first = make_ca(1);
    struct trust t = trust_of(&first),
                 shown = { .cluster = cluster, .root_count = TRUST_ROOTS_MAX };

    (void)state;
    for (uint8_t i = 0; i < TRUST_ROOTS_MAX; i++) {
        struct ca next = make_ca((uint8_t)(10 + i));

        shown.roots[i] = ca_cross_sign(&first, &cluster, &next);
    }
    trust_follow(&t, &shown);
    assert_int_equal(t.root_count, TRUST_ROOTS_MAX);
}

static void test_a_token_names_its_root_and_carries_its_secret(void **state)
{
    uint8_t secret[TOKEN_SECRET_LEN];
    struct ca ca = make_ca(1), other = make_ca(2);
    struct join_token t, back;
    char text[TOKEN_LEN + 1];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        memset(secret, round == 0 ? 0 : round == 1 ? 0xff : 0x37, sizeof(secret));
        token_init(&t, ca.root, secret);
        token_format(&t, text);
        assert_int_equal(strlen(text), TOKEN_LEN);
        assert_memory_equal(text, "SHTKN-1-", 8);
        assert_int_equal(token_parse(slice_of_str(text), &back), 0);
        assert_memory_equal(&back, &t, sizeof(t));
        assert_true(token_is_for_root(&back, ca.root));
        assert_false(token_is_for_root(&back, other.root));
        assert_true(token_secret_equal(back.secret, secret));
        secret[TOKEN_SECRET_LEN - 1] ^= 1;
        assert_false(token_secret_equal(back.secret, secret));
    }
}

static void test_texts_that_are_no_tokens(void **state)
{
    struct ca ca = make_ca(1);
    const uint8_t secret[TOKEN_SECRET_LEN] = { 1, 2, 3 };
    struct join_token t, back;
    char good[TOKEN_LEN + 1], text[TOKEN_LEN + 2];
    const struct {
        const char *why;
        size_t at;
        char c;
    } cases[] = {
        { "another prefix", 0, 'X' },
        { "another version", 6, '2' },
        { "upper case", 10, 'A' },
        { "a character that is no digit", 60, '_' },
        { "no dash in the middle", 58, '0' },
    };

    (void)state;
    token_init(&t, ca.root, secret);
    token_format(&t, good);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        memcpy(text, good, TOKEN_LEN + 1);
        text[cases[i].at] = cases[i].c;
        assert_int_equal(token_parse(slice_of_str(text), &back), ERR_MALFORMED);
    }
    for (size_t len = 0; len < TOKEN_LEN; len++)
        assert_int_equal(token_parse(slice_of(good, len), &back), ERR_MALFORMED);
    memset(text + 8, 'z', 50); /* 36^50 - 1 does not fit into 256 bits */
    assert_int_equal(token_parse(slice_of(text, TOKEN_LEN), &back), ERR_MALFORMED);
}

static void test_a_signature_holds_for_its_domain_only(void **state)
{
    uint8_t signature[CLUSTER_SIGNATURE_LEN];
    struct node_keys keys;

    (void)state;
    node_keys_init(&keys, zero_seed);
    node_keys_sign(&keys, "one", slice_of_str("text"), signature);
    assert_true(identity_key_verify(keys.identity_key, "one", slice_of_str("text"), signature));
    assert_false(identity_key_verify(keys.identity_key, "two", slice_of_str("text"), signature));
    assert_false(identity_key_verify(keys.identity_key, "one", slice_of_str("tex"), signature));
    /* Where the domain ends and the text begins cannot be shifted. */
    assert_false(identity_key_verify(keys.identity_key, "on", slice_of_str("etext"), signature));
}

/* --- On disk --- */

static int make_dir(void **state)
{
    char *dir = strdup("/tmp/shoal-identity-XXXXXX");

    *state = mkdtemp(dir);
    return *state == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    char path[256];
    const char *names[] = { "a/b/keys", "a/b/membership", "a/b/keys.new", "a/b", "a", "" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", (char *)*state, names[i]);
        (void)remove(path); /* those that a test made */
    }
    free(*state);
    return 0;
}

static struct identity make_member(void)
{
    struct ca ca = make_ca(1), next = make_ca(2);
    struct identity id = { .is_member = true, .trust = trust_of(&ca) };

    node_keys_init(&id.keys, zero_seed);
    id.cert = make_cert(&ca);
    id.trust.roots[id.trust.root_count++] = ca_cross_sign(&ca, &id.trust.cluster, &next);
    return id;
}

static void test_an_identity_is_kept_on_disk(void **state)
{
    struct identity id = make_member(), back;
    struct stat st;
    char dir[256], path[300];

    (void)snprintf(dir, sizeof(dir), "%s/a/b", (char *)*state);
    assert_int_equal(identity_load(dir, &back), -ENOENT);
    assert_int_equal(identity_save(dir, &id), 0);
    assert_int_equal(identity_load(dir, &back), 0);
    assert_memory_equal(&back.keys, &id.keys, sizeof(id.keys));
    assert_true(fields_equal(&cert_type, &back.cert, &id.cert));
    assert_int_equal(back.trust.root_count, 2);
    assert_true(fields_equal(&trust_root_type, &back.trust.roots[1], &id.trust.roots[1]));
    (void)snprintf(path, sizeof(path), "%s/keys", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);

    id.is_member = false; /* it left the cluster */
    assert_int_equal(identity_save(dir, &id), 0);
    assert_int_equal(identity_load(dir, &back), 0);
    assert_false(back.is_member);
}

static void test_damaged_files_are_corrupt_not_empty(void **state)
{
    struct identity id = make_member(), other = make_member(), back;
    uint8_t big[5000] = { 0 };
    char dir[256];

    (void)snprintf(dir, sizeof(dir), "%s/a/b", (char *)*state);
    assert_int_equal(identity_save(dir, &id), 0);
    assert_int_equal(state_file_write(dir, "membership", slice_of("xyz", 3)), 0);
    assert_int_equal(identity_load(dir, &back), ERR_CORRUPT);
    assert_int_equal(state_file_write(dir, "membership", slice_of(big, sizeof(big))), 0);
    assert_int_equal(identity_load(dir, &back), ERR_CORRUPT);

    other.keys.identity_seed[0] ^= 1; /* keys of one node, certificate of another */
    assert_int_equal(identity_save(dir, &other), 0);
    assert_int_equal(identity_load(dir, &back), ERR_CORRUPT);
    assert_int_equal(state_file_write(dir, "keys", slice_of(NULL, 0)), 0);
    assert_int_equal(identity_load(dir, &back), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_survives_the_wire),
        cmocka_unit_test(test_no_bit_of_a_certificate_may_change),
        cmocka_unit_test(test_who_is_believed_when),
        cmocka_unit_test(test_renewal_is_due_at_half_of_the_validity),
        cmocka_unit_test(test_a_rotated_root_is_followed_by_its_signatures),
        cmocka_unit_test(test_roots_of_the_state_carry_their_signatures),
        cmocka_unit_test(test_a_successor_for_the_state_is_signed_and_followed),
        cmocka_unit_test(test_following_stops_at_the_limit),
        cmocka_unit_test(test_a_token_names_its_root_and_carries_its_secret),
        cmocka_unit_test(test_texts_that_are_no_tokens),
        cmocka_unit_test(test_a_signature_holds_for_its_domain_only),
        cmocka_unit_test_setup_teardown(test_an_identity_is_kept_on_disk, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_damaged_files_are_corrupt_not_empty, make_dir,
                                        remove_dir),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
