/* The published vectors of two other implementations, and what an attacker may try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/noise.h"

#define MESSAGES_MAX 6
#define BUFFER_LEN   512

/* Transport messages follow the handshake and alternate, beginning with the side whose turn it is.
 */
static const struct vector {
    const char *why;
    enum noise_pattern pattern;
    const char *prologue;
    const char *initiator_static, *initiator_ephemeral;
    const char *responder_static, *responder_ephemeral;
    const char *hash; /* NULL: not published */
    size_t message_count;
    struct {
        const char *payload, *ciphertext;
    } messages[MESSAGES_MAX];
} vectors[] = {
    {
        .why = "KK of cacophony",
        .pattern = NOISE_KK,
        .prologue = "4a6f686e2047616c74",
        .initiator_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        .initiator_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        .responder_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        .responder_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        .hash = "24c6b51ecb76277140ca018b5985bc9f03de321dae2d34dcae433dafef0131d9",
        .message_count = 6,
        .messages = {
            { "4c756477696720766f6e204d69736573",
              "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79440177015efc1fe7a3"
              "7c629af7120a96274e6ab7afcc9261901d0e09ae32a5bb96" },
            { "4d757272617920526f746862617264",
              "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843b274d3429adc47ca"
              "093ba63ef90f8da89fda108db471dccfa4894aa7b00003" },
            { "462e20412e20486179656b",
              "966b05bc69ec01b8454d3160a214e6f24a3d884eb31ec2408af63f" },
            { "4361726c204d656e676572",
              "0ad887fba4f611bbb4afe44ba3556b8164332ca7d5934634d63d80" },
            { "4a65616e2d426170746973746520536179",
              "012b28ae646ae7830e2c5472cb023eab071c1db3d8413ec69b513b83832f974c2d" },
            { "457567656e2042f6686d20766f6e2042617765726b",
              "bb3e6a48160d9c5971d37f975727294e0d868342db31832e54d07191ab0ca3c3703b5ed3d9" },
        },
    },
    {
        .why = "XX of cacophony",
        .pattern = NOISE_XX,
        .prologue = "4a6f686e2047616c74",
        .initiator_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        .initiator_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        .responder_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        .responder_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
        .hash = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e",
        .message_count = 6,
        .messages = {
            { "4c756477696720766f6e204d69736573",
              "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c75647769672076"
              "6f6e204d69736573" },
            { "4d757272617920526f746862617264",
              "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c"
              "48378ffce2b65285e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b781"
              "5528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad" },
            { "462e20412e20486179656b",
              "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169a"
              "e80a89be0865b57f58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030" },
            { "4361726c204d656e676572",
              "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df" },
            { "4a65616e2d426170746973746520536179",
              "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5" },
            { "457567656e2042f6686d20766f6e2042617765726b",
              "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f" },
        },
    },
    {
        .why = "XX of snow",
        .pattern = NOISE_XX,
        .prologue = "5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e6c"
                    "792066756e20616e6420626f72696e672e",
        .initiator_static = "7dec208517a3b81a2861d7a71266d5d6dc944c5a8816634a86fe63198a0148ee",
        .initiator_ephemeral = "a32daf21e93c0131495ce1d903181fde81cc46937daaeb990bae7c992709421e",
        .responder_static = "4d0aed5098e3b4ef20357e9f686ce66204c792b358da2e475017d6c485304881",
        .responder_ephemeral = "4eece0f195d026db035ff987597c429d3ad3bcc2944df37d649528951b2a27c5",
        .message_count = 5,
        .messages = {
            { "d03c489139e645d0711a3c9e810d776b46a84912463fafa87b884eebf242dc34",
              "f9fa868ba97ab8a2686deccfaad5a484ee10a5bb85e3d1dce015a84797f92818d03c489139e645d0"
              "711a3c9e810d776b46a84912463fafa87b884eebf242dc34" },
            { "d8190a92f7dc0c93dbea9118ba8055751fb7c6590c416ffbd419964132b99a85",
              "8c4e6fdb7d09d501a86f7eca5c234522751706ed409182c05cdf5f827d4dae47b81c6c5f43b02569"
              "2c24391eefee725c17d8cb0fbe3e4abb8aedf42c4fd2592d4ea48ac08989d6ae8b4adae08b2c3408"
              "7c808c7aa55a63c02b0fab9e930612336bd43eaea04d3c670a0a146691aa9cc9d357872320dc735d"
              "bc48580cffb553db" },
            { "77891b19dcb92ef7c055b672c4a5aa7fdf1c84146b8b303459022729473ce254",
              "933ca6b5ed60df3df66121f0ab49a09e49efa45c613a86a3cecbf4c535cef2f83f72b42837b18e35"
              "72f2fdc2b74c331e2368a545cef54bdca081678ab0e9dd5348122459e0c034c851984d88ce610963"
              "d43cde6cfe73a67fbd5a63e8bfca96d0" },
            { "d7efdf988072881941db045a42882433817555128fbf5663e56081712ec7d212",
              "54ef0ff0629e1aaa7685a2806ab111cba76b52331f2642276736f415868eacb69ab2577f3bda0cbf"
              "72f879685f6ed25f" },
            { "dd7bf01a588bafb52c6cfba952e5d8fe35cc2b3f92b4730ae2474615157345ce",
              "356be70f110306d5c699bb834bb9d58d909e325924dfbec972e406e6f294dc63e1daebefe8a62a33"
              "4facc8048ab4ad66" },
        },
    },
    {
        .why = "KK of snow",
        .pattern = NOISE_KK,
        .prologue = "5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e6c"
                    "792066756e20616e6420626f72696e672e",
        .initiator_static = "9ec880ae6e9dc37277b4b7cc43a9981a2a58428648536941c787f34c840ae4b4",
        .initiator_ephemeral = "09469832d23dbaa396cb1e8c42c74ea73e3f88eaf39a1b9e89cc6528bd163f9a",
        .responder_static = "2f292fe63d73808a2e5307a62428e243ba02ce8b70c949a58a4c70312fb038b5",
        .responder_ephemeral = "64fd9f17061c66df61f6e5c15ce85dbcd3aaee6e3a9f87989dc9147c6f5cb64a",
        .message_count = 4,
        .messages = {
            { "4d1f91e210b2c264713e73509808c3f6d99ca3bb115001388e630b1356a24693",
              "311304998133430ee0668c0c91cbdc445cbb3a526457b0c0b7d9dc6789be0904f7d451b7aba0f303"
              "1b46fca709b3eed813d6d1080447720cdf86bd9391c0359c717211fbcdda474c03ea5d8d03c33722" },
            { "914a3388cb8e5ef4e3d4b7ba0fc4bc0a0cbc7ff41eabdb7c9c501b4d92355fbf",
              "59028e838fa2ca7a3fc8d48b5c6379286b61507d4c91e30a0ad387164b0229060e30d119b6845417"
              "d128231555ee8666ff8beffe931b1d8296d92189472ec01cffdf25074a38a63a555bb43c749e8d05" },
            { "e3ecca19cd0e12b0607470b7b13780428e0bbe6deb02c91ecd1d5c832128258c",
              "9faaf3dc38e529089dfb9e3b830c4e014fa7204b7f52288b8f7aa6f5107e556246c2004d02369207"
              "39434810979eef50" },
            { "517c1116052039051444d2b76d00886bea074d1d730f1e3489457496cdf4d8ca",
              "007d8b6d59a12d95c335ccbd4d31486f86020b59889b8ea159b4fdaaee9334f2b9143498aeffa342"
              "19fa6c3136361b66" },
        },
    },
};

static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
    size_t len = 0;

    assert_int_equal(sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &len, NULL), 0);
    return len;
}

static void unhex_key(const char *hex, uint8_t out[NOISE_KEY_LEN])
{
    assert_int_equal(unhex(hex, out, NOISE_KEY_LEN), NOISE_KEY_LEN);
}

/* Both ends of one handshake; ends[0] initiates. */
struct pair {
    struct noise_handshake ends[2];
};

static void pair_init(struct pair *p, const struct vector *v)
{
    const char *statics[2] = { v->initiator_static, v->responder_static };
    const char *ephemerals[2] = { v->initiator_ephemeral, v->responder_ephemeral };
    uint8_t secrets[2][NOISE_KEY_LEN], publics[2][NOISE_KEY_LEN], prologue[BUFFER_LEN];
    size_t prologue_len = unhex(v->prologue, prologue, sizeof(prologue));

    for (size_t i = 0; i < 2; i++) {
        unhex_key(statics[i], secrets[i]);
        assert_int_equal(crypto_scalarmult_base(publics[i], secrets[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        uint8_t ephemeral[NOISE_KEY_LEN];
        const struct noise_config cfg = {
            .pattern = v->pattern,
            .role = i == 0 ? NOISE_INITIATOR : NOISE_RESPONDER,
            .prologue = slice_of(prologue, prologue_len),
            .static_secret = secrets[i],
            .ephemeral_secret = ephemeral,
            .remote_static = v->pattern == NOISE_KK ? publics[1 - i] : NULL,
        };

        unhex_key(ephemerals[i], ephemeral);
        assert_int_equal(noise_init(&p->ends[i], &cfg), 0);
    }
}

/* Carries one handshake message with an empty payload from one end to the other. */
static int carry(struct noise_handshake *from, struct noise_handshake *to)
{
    uint8_t message[BUFFER_LEN], payload[BUFFER_LEN];
    size_t len = 0;
    int rc;

    rc = noise_write(from, slice_of(NULL, 0), message, sizeof(message), &len);
    if (rc < 0)
        return rc;
    return noise_read(to, slice_of(message, len), payload, sizeof(payload), &len);
}

static void check_handshake_message(struct noise_handshake *from, struct noise_handshake *to,
                                    struct slice payload, struct slice wire)
{
    uint8_t out[BUFFER_LEN];
    size_t len = 0;

    assert_true(noise_may_write(from));
    assert_false(noise_may_write(to));
    assert_int_equal(noise_write(from, payload, out, sizeof(out), &len), 0);
    assert_int_equal(len, wire.len);
    assert_memory_equal(out, wire.ptr, wire.len);
    assert_int_equal(noise_read(to, wire, out, sizeof(out), &len), 0);
    assert_int_equal(len, payload.len);
    assert_memory_equal(out, payload.ptr, payload.len);
}

static void check_transport_message(struct noise_cipher *from, struct noise_cipher *to,
                                    struct slice payload, struct slice wire)
{
    uint8_t out[BUFFER_LEN];

    assert_int_equal(noise_seal(from, slice_of(NULL, 0), payload, out), 0);
    assert_int_equal(payload.len + NOISE_TAG_LEN, wire.len);
    assert_memory_equal(out, wire.ptr, wire.len);
    assert_int_equal(noise_open(to, slice_of(NULL, 0), wire, out), 0);
    assert_memory_equal(out, payload.ptr, payload.len);
}

static void check_vector(const struct vector *v)
{
    struct noise_cipher send[2], receive[2];
    bool is_split = false;
    struct pair p;

    pair_init(&p, v);
    for (size_t i = 0; i < v->message_count; i++) {
        uint8_t payload[BUFFER_LEN], wire[BUFFER_LEN];
        struct slice plain, sealed;
        size_t from = i % 2;

        plain = slice_of(payload, unhex(v->messages[i].payload, payload, sizeof(payload)));
        sealed = slice_of(wire, unhex(v->messages[i].ciphertext, wire, sizeof(wire)));
        if (!is_split && noise_is_done(&p.ends[0])) {
            uint8_t hash[NOISE_HASH_LEN];

            assert_true(noise_is_done(&p.ends[1]));
            assert_memory_equal(noise_hash(&p.ends[0]), noise_hash(&p.ends[1]), NOISE_HASH_LEN);
            if (v->hash != NULL) {
                unhex_key(v->hash, hash);
                assert_memory_equal(noise_hash(&p.ends[0]), hash, NOISE_HASH_LEN);
            }
            for (size_t k = 0; k < 2; k++)
                assert_int_equal(noise_split(&p.ends[k], &send[k], &receive[k]), 0);
            is_split = true;
        }
        if (is_split)
            check_transport_message(&send[from], &receive[1 - from], plain, sealed);
        else
            check_handshake_message(&p.ends[from], &p.ends[1 - from], plain, sealed);
    }
    assert_true(is_split);
}

static void test_published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        print_message("  %s\n", vectors[i].why);
        check_vector(&vectors[i]);
    }
}

/* Every bit of every message: the reader fails at once, or the next message does. */
static void test_an_altered_message_ends_the_handshake(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        for (size_t step = 0; step < (vectors[v].pattern == NOISE_XX ? 3u : 2u); step++) {
            for (size_t byte = 0; byte < 120; byte++) {
                uint8_t message[BUFFER_LEN], payload[BUFFER_LEN];
                size_t len = 0;
                struct pair p;
                int rc = 0;

                pair_init(&p, &vectors[v]);
                for (size_t i = 0; i < step; i++)
                    assert_int_equal(carry(&p.ends[i % 2], &p.ends[1 - i % 2]), 0);
                assert_int_equal(noise_write(&p.ends[step % 2], slice_of("x", 1), message,
                                             sizeof(message), &len),
                                 0);
                if (byte >= len)
                    break;
                message[byte] ^= 0x10;
                rc = noise_read(&p.ends[1 - step % 2], slice_of(message, len), payload,
                                sizeof(payload), &len);
                if (rc == 0) /* the clear first message of XX */
                    rc = carry(&p.ends[1 - step % 2], &p.ends[step % 2]);
                assert_int_equal(rc, ERR_UNAUTHENTICATED);
            }
        }
    }
}

static void test_a_truncated_message_is_malformed(void **state)
{
    uint8_t message[BUFFER_LEN], payload[BUFFER_LEN];
    size_t len = 0;

    (void)state;
    for (size_t v = 0; v < ARRAY_LEN(vectors); v++) {
        for (size_t keep = 0; keep < NOISE_KEY_LEN; keep++) {
            struct pair p;

            pair_init(&p, &vectors[v]);
            assert_int_equal(
                noise_write(&p.ends[0], slice_of(NULL, 0), message, sizeof(message), &len), 0);
            assert_int_equal(
                noise_read(&p.ends[1], slice_of(message, keep), payload, sizeof(payload), &len),
                ERR_MALFORMED);
        }
    }
}

/* 0, 1 and two points of order 8 (RFC 7748 s. 6.1 and s. 7). */
static void test_a_key_of_low_order_is_refused(void **state)
{
    static const char *const low[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(low); i++) {
        uint8_t message[BUFFER_LEN], payload[BUFFER_LEN];
        size_t len = 0;
        struct pair p;

        pair_init(&p, &vectors[1]);
        assert_int_equal(vectors[1].pattern, NOISE_XX);
        unhex_key(low[i], message);
        assert_int_equal(noise_read(&p.ends[1], slice_of(message, NOISE_KEY_LEN), payload,
                                    sizeof(payload), &len),
                         0); /* nothing is computed yet */
        assert_int_equal(noise_write(&p.ends[1], slice_of(NULL, 0), message, sizeof(message), &len),
                         ERR_UNAUTHENTICATED);
    }
}

static void test_different_prologues_do_not_match(void **state)
{
    struct vector other = vectors[0];
    struct pair a, b;

    (void)state;
    other.prologue = "00";
    pair_init(&a, &vectors[0]);
    pair_init(&b, &other);
    assert_int_equal(carry(&a.ends[0], &b.ends[1]), ERR_UNAUTHENTICATED);
}

static bool is_wiped(const struct noise_handshake *h)
{
    static const uint8_t zeros[NOISE_KEY_LEN];

    return memcmp(h->static_secret, zeros, NOISE_KEY_LEN) == 0 &&
           memcmp(h->ephemeral_secret, zeros, NOISE_KEY_LEN) == 0 &&
           memcmp(h->chaining_key, zeros, NOISE_HASH_LEN) == 0 &&
           memcmp(h->cipher.key, zeros, NOISE_KEY_LEN) == 0;
}

static void test_a_failed_handshake_is_wiped_and_stays_dead(void **state)
{
    uint8_t message[BUFFER_LEN] = { 9 }, payload[BUFFER_LEN];
    struct noise_cipher send, receive;
    size_t len = 0;
    struct pair p;

    (void)state;
    pair_init(&p, &vectors[0]);
    assert_int_equal(noise_read(&p.ends[1], slice_of(message, 64), payload, sizeof(payload), &len),
                     ERR_UNAUTHENTICATED);
    assert_true(is_wiped(&p.ends[1]));
    assert_false(noise_is_done(&p.ends[1]));
    assert_int_equal(carry(&p.ends[0], &p.ends[1]), ERR_INVALID);
    assert_int_equal(noise_split(&p.ends[1], &send, &receive), ERR_INVALID);
}

static void test_out_of_turn_is_refused(void **state)
{
    uint8_t buffer[BUFFER_LEN];
    struct noise_cipher send, receive;
    size_t len = 0;
    struct pair p;

    (void)state;
    pair_init(&p, &vectors[0]);
    assert_int_equal(noise_write(&p.ends[1], slice_of(NULL, 0), buffer, sizeof(buffer), &len),
                     ERR_INVALID);
    assert_int_equal(noise_read(&p.ends[0], slice_of(buffer, 64), buffer, sizeof(buffer), &len),
                     ERR_INVALID);
    assert_int_equal(noise_split(&p.ends[0], &send, &receive), ERR_INVALID);
}

static void test_no_output_beyond_the_room_given(void **state)
{
    uint8_t message[BUFFER_LEN], payload[BUFFER_LEN];
    size_t len = 0;
    struct pair p;

    (void)state;
    pair_init(&p, &vectors[1]);
    assert_int_equal(
        noise_write(&p.ends[0], slice_of("1234", 4), message, NOISE_XX_OVERHEAD_1 + 3, &len),
        ERR_TOO_LARGE);
    assert_int_equal(
        noise_write(&p.ends[0], slice_of("1234", 4), message, NOISE_XX_OVERHEAD_1 + 4, &len), 0);
    assert_int_equal(noise_read(&p.ends[1], slice_of(message, len), payload, 3, &len),
                     ERR_TOO_LARGE);
}

static void test_keys_known_beforehand_belong_to_KK_only(void **state)
{
    static const uint8_t key[NOISE_KEY_LEN] = { 1 };
    struct noise_config cfg = { .pattern = NOISE_KK,
                                .static_secret = key,
                                .ephemeral_secret = key };
    struct noise_handshake h;

    (void)state;
    assert_int_equal(noise_init(&h, &cfg), ERR_INVALID);
    cfg.remote_static = key;
    assert_int_equal(noise_init(&h, &cfg), 0);
    cfg.pattern = NOISE_XX;
    assert_int_equal(noise_init(&h, &cfg), ERR_INVALID);
}

static void test_nonces_run_out_before_they_repeat(void **state)
{
    struct noise_cipher c = { .key = { 7 }, .nonce = NOISE_NONCE_MAX };
    uint8_t out[NOISE_TAG_LEN];

    (void)state;
    assert_int_equal(noise_seal(&c, slice_of(NULL, 0), slice_of(NULL, 0), out), 0);
    assert_int_equal(noise_seal(&c, slice_of(NULL, 0), slice_of(NULL, 0), out), ERR_EXHAUSTED);
    assert_int_equal(noise_open(&c, slice_of(NULL, 0), slice_of(out, sizeof(out)), out),
                     ERR_EXHAUSTED);
}

static void test_a_replayed_or_reordered_message_does_not_open(void **state)
{
    struct noise_cipher send = { .key = { 7 } }, receive = send;
    uint8_t first[1 + NOISE_TAG_LEN], second[1 + NOISE_TAG_LEN], out[1];

    (void)state;
    assert_int_equal(noise_seal(&send, slice_of(NULL, 0), slice_of("a", 1), first), 0);
    assert_int_equal(noise_seal(&send, slice_of(NULL, 0), slice_of("b", 1), second), 0);
    assert_int_equal(noise_open(&receive, slice_of(NULL, 0), slice_of(second, sizeof(second)), out),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(noise_open(&receive, slice_of(NULL, 0), slice_of(first, sizeof(first)), out),
                     0);
    assert_int_equal(noise_open(&receive, slice_of(NULL, 0), slice_of(first, sizeof(first)), out),
                     ERR_UNAUTHENTICATED);
}

/* [Noise] 11.3: the key changes, the nonce goes on. */
static void test_rekeying_must_happen_on_both_sides(void **state)
{
    struct noise_cipher send = { .key = { 7 }, .nonce = 5 }, receive = send, late = send;
    uint8_t sealed[1 + NOISE_TAG_LEN], out[1];

    (void)state;
    noise_rekey(&send);
    noise_rekey(&receive);
    assert_int_equal(send.nonce, 5);
    assert_memory_not_equal(send.key, late.key, NOISE_KEY_LEN);
    assert_int_equal(noise_seal(&send, slice_of(NULL, 0), slice_of("a", 1), sealed), 0);
    assert_int_equal(noise_open(&late, slice_of(NULL, 0), slice_of(sealed, sizeof(sealed)), out),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(noise_open(&receive, slice_of(NULL, 0), slice_of(sealed, sizeof(sealed)), out),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_an_altered_message_ends_the_handshake),
        cmocka_unit_test(test_a_truncated_message_is_malformed),
        cmocka_unit_test(test_a_key_of_low_order_is_refused),
        cmocka_unit_test(test_different_prologues_do_not_match),
        cmocka_unit_test(test_a_failed_handshake_is_wiped_and_stays_dead),
        cmocka_unit_test(test_out_of_turn_is_refused),
        cmocka_unit_test(test_no_output_beyond_the_room_given),
        cmocka_unit_test(test_keys_known_beforehand_belong_to_KK_only),
        cmocka_unit_test(test_nonces_run_out_before_they_repeat),
        cmocka_unit_test(test_a_replayed_or_reordered_message_does_not_open),
        cmocka_unit_test(test_rekeying_must_happen_on_both_sides),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
