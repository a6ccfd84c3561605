/* base/noise.c - see noise.h.
 *
 * Three layers, as in [Noise] 5: the cipher state (key and nonce), the symmetric state (chaining
 * key, running hash, cipher), the handshake state (keys and the list of tokens still to come).
 * Both sides walk the same token list; `e` and `s` are sent or received, the four Diffie-Hellman
 * tokens are computed alike. Everything that travels is mixed into the hash, and the hash is the
 * associated data of everything sealed, so the first altered bit makes all that follows fail. */
#include "base/noise.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"

static_assert(NOISE_KEY_LEN == crypto_scalarmult_BYTES, "25519");
static_assert(NOISE_KEY_LEN == crypto_scalarmult_SCALARBYTES, "25519");
static_assert(NOISE_KEY_LEN == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "ChaChaPoly");
static_assert(NOISE_TAG_LEN == crypto_aead_chacha20poly1305_ietf_ABYTES, "ChaChaPoly");
static_assert(NOISE_HASH_LEN == crypto_hash_sha256_BYTES, "SHA256");
static_assert(NOISE_HASH_LEN == crypto_auth_hmacsha256_BYTES, "SHA256");

/* --- Patterns: [Noise] 7.5 --- */

#define MESSAGES_MAX 3

enum token { END, E, S, EE, ES, SE, SS };

static const struct pattern {
    const char *name;
    unsigned message_count;
    bool knows_statics;
    enum token tokens[MESSAGES_MAX][5];
} patterns[] = {
    [NOISE_XX] = { .name = "Noise_XX_25519_ChaChaPoly_SHA256",
                   .message_count = 3,
                   .tokens = { { E, END }, { E, EE, S, ES, END }, { S, SE, END } } },
    [NOISE_KK] = { .name = "Noise_KK_25519_ChaChaPoly_SHA256",
                   .message_count = 2,
                   .knows_statics = true,
                   .tokens = { { E, ES, SS, END }, { E, EE, SE, END } } },
};

/* --- Cipher state --- */

/* [Noise] 12: 32 zero bits, then the nonce in little-endian. */
static void nonce_bytes(uint64_t nonce, uint8_t out[12])
{
    memset(out, 0, 4);
    for (size_t i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(nonce >> (8 * i));
}

int noise_seal(struct noise_cipher *c, struct slice ad, struct slice plain, uint8_t *out)
{
    uint8_t nonce[12];

    if (c->nonce > NOISE_NONCE_MAX)
        return ERR_EXHAUSTED;
    nonce_bytes(c->nonce, nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.ptr, plain.len, ad.ptr, ad.len,
                                                    NULL, nonce, c->key); /* always 0 */
    c->nonce++;
    return 0;
}

int noise_open(struct noise_cipher *c, struct slice ad, struct slice sealed, uint8_t *out)
{
    uint8_t nonce[12];

    if (sealed.len < NOISE_TAG_LEN)
        return ERR_MALFORMED;
    if (c->nonce > NOISE_NONCE_MAX)
        return ERR_EXHAUSTED;
    nonce_bytes(c->nonce, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.ptr, sealed.len, ad.ptr,
                                                  ad.len, nonce, c->key) != 0)
        return ERR_UNAUTHENTICATED;
    c->nonce++;
    return 0;
}

void noise_rekey(struct noise_cipher *c)
{
    static const uint8_t zeros[NOISE_KEY_LEN];
    uint8_t sealed[NOISE_KEY_LEN + NOISE_TAG_LEN], nonce[12];

    nonce_bytes(UINT64_MAX, nonce);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, zeros, sizeof(zeros), NULL, 0,
                                                    NULL, nonce, c->key); /* always 0 */
    memcpy(c->key, sealed, NOISE_KEY_LEN);
    sodium_memzero(sealed, sizeof(sealed));
}

void noise_cipher_deinit(struct noise_cipher *c)
{
    sodium_memzero(c, sizeof(*c));
}

/* --- Symmetric state --- */

static void mix_hash(struct noise_handshake *h, struct slice data)
{
    crypto_hash_sha256_state state;

    (void)crypto_hash_sha256_init(&state); /* these three always return 0 */
    (void)crypto_hash_sha256_update(&state, h->hash, sizeof(h->hash));
    (void)crypto_hash_sha256_update(&state, data.ptr, data.len);
    (void)crypto_hash_sha256_final(&state, h->hash);
}

/* HKDF with two outputs, in HMAC-SHA256: [Noise] 4.3. `chaining_key` may be `first`. */
static void derive_two(const uint8_t chaining_key[NOISE_HASH_LEN], struct slice input,
                       uint8_t first[NOISE_HASH_LEN], uint8_t second[NOISE_HASH_LEN])
{
    uint8_t temp[NOISE_HASH_LEN], block[NOISE_HASH_LEN + 1];
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, chaining_key, NOISE_HASH_LEN); /* all return 0 */
    (void)crypto_auth_hmacsha256_update(&state, input.ptr, input.len);
    (void)crypto_auth_hmacsha256_final(&state, temp);
    block[0] = 1;
    (void)crypto_auth_hmacsha256(first, block, 1, temp);
    memcpy(block, first, NOISE_HASH_LEN);
    block[NOISE_HASH_LEN] = 2;
    (void)crypto_auth_hmacsha256(second, block, sizeof(block), temp);
    sodium_memzero(temp, sizeof(temp));
    sodium_memzero(block, sizeof(block));
    sodium_memzero(&state, sizeof(state));
}

static void mix_key(struct noise_handshake *h, struct slice input)
{
    derive_two(h->chaining_key, input, h->chaining_key, h->cipher.key);
    h->cipher.nonce = 0;
    h->has_key = true;
}

/* Seals, or copies while there is no key yet. Returns the number of bytes written. */
static size_t encrypt_and_hash(struct noise_handshake *h, struct slice plain, uint8_t *out)
{
    size_t len = plain.len;

    if (h->has_key) {
        int rc = noise_seal(&h->cipher, slice_of(h->hash, sizeof(h->hash)), plain, out);

        CHECK(rc == 0); /* a handshake uses a handful of nonces */
        len += NOISE_TAG_LEN;
    } else if (len > 0) {
        memmove(out, plain.ptr, len);
    }
    mix_hash(h, slice_of(out, len));
    return len;
}

/* The inverse, for `len` bytes of plain text. Takes what it reads off the front of *in. */
static int decrypt_and_hash(struct noise_handshake *h, struct slice *in, size_t len, uint8_t *out)
{
    size_t sealed_len = len + (h->has_key ? NOISE_TAG_LEN : 0);
    struct slice sealed = slice_of(in->ptr, sealed_len);
    uint8_t hash[NOISE_HASH_LEN];

    if (in->len < sealed_len)
        return ERR_MALFORMED;
    memcpy(hash, h->hash, sizeof(hash));
    mix_hash(h, sealed); /* first: `out` may overlap the message */
    if (h->has_key) {
        int rc = noise_open(&h->cipher, slice_of(hash, sizeof(hash)), sealed, out);

        if (rc < 0)
            return rc;
    } else if (len > 0) {
        memmove(out, sealed.ptr, len);
    }
    *in = slice_of(in->ptr + sealed_len, in->len - sealed_len);
    return 0;
}

/* --- Handshake state --- */

static const struct pattern *pattern_of(const struct noise_handshake *h)
{
    return &patterns[h->pattern];
}

/* [Noise] 5.3: the protocol's name, the prologue, then the static keys known beforehand, the
 * initiator's first. */
int noise_init(struct noise_handshake *h, const struct noise_config *cfg)
{
    const struct pattern *p = &patterns[cfg->pattern];
    bool is_initiator = cfg->role == NOISE_INITIATOR;

    if (p->knows_statics != (cfg->remote_static != NULL))
        return ERR_INVALID;
    memset(h, 0, sizeof(*h));
    h->pattern = cfg->pattern;
    h->role = cfg->role;
    memcpy(h->static_secret, cfg->static_secret, NOISE_KEY_LEN);
    memcpy(h->ephemeral_secret, cfg->ephemeral_secret, NOISE_KEY_LEN);
    (void)crypto_scalarmult_base(h->static_public, h->static_secret); /* always 0 */
    (void)crypto_scalarmult_base(h->ephemeral_public, h->ephemeral_secret);

    CHECK(strlen(p->name) == NOISE_HASH_LEN); /* so it is taken as it is, unhashed */
    memcpy(h->hash, p->name, NOISE_HASH_LEN);
    memcpy(h->chaining_key, h->hash, NOISE_HASH_LEN);
    mix_hash(h, cfg->prologue);
    if (p->knows_statics) {
        memcpy(h->remote_static, cfg->remote_static, NOISE_KEY_LEN);
        h->has_remote_static = true;
        mix_hash(h, slice_of(is_initiator ? h->static_public : h->remote_static, NOISE_KEY_LEN));
        mix_hash(h, slice_of(is_initiator ? h->remote_static : h->static_public, NOISE_KEY_LEN));
    }
    return 0;
}

void noise_deinit(struct noise_handshake *h)
{
    sodium_memzero(h, sizeof(*h));
    h->is_failed = true;
}

/* Kills the handshake: nothing can be read from it any more. */
static int fail(struct noise_handshake *h, int rc)
{
    noise_deinit(h);
    return rc;
}

bool noise_is_done(const struct noise_handshake *h)
{
    return !h->is_failed && h->step == pattern_of(h)->message_count;
}

/* Messages alternate; the initiator writes the even ones. */
static bool is_own_turn(const struct noise_handshake *h)
{
    return (h->step % 2 == 0) == (h->role == NOISE_INITIATOR);
}

bool noise_may_write(const struct noise_handshake *h)
{
    return !h->is_failed && !noise_is_done(h) && is_own_turn(h);
}

static bool may_read(const struct noise_handshake *h)
{
    return !h->is_failed && !noise_is_done(h) && !is_own_turn(h);
}

/* One of the four Diffie-Hellman tokens: the first letter is the initiator's key, the second the
 * responder's. libsodium refuses a result of zero, which a key of low order would give. */
static int mix_dh(struct noise_handshake *h, enum token token)
{
    bool is_initiator = h->role == NOISE_INITIATOR;
    bool initiator_static = token == SE || token == SS;
    bool responder_static = token == ES || token == SS;
    bool local_static = is_initiator ? initiator_static : responder_static;
    bool remote_static = is_initiator ? responder_static : initiator_static;
    uint8_t shared[NOISE_KEY_LEN];
    int rc = 0;

    if (crypto_scalarmult(shared, local_static ? h->static_secret : h->ephemeral_secret,
                          remote_static ? h->remote_static : h->remote_ephemeral) != 0)
        rc = ERR_UNAUTHENTICATED;
    else
        mix_key(h, slice_of(shared, sizeof(shared)));
    sodium_memzero(shared, sizeof(shared));
    return rc;
}

static const enum token *next_tokens(const struct noise_handshake *h)
{
    return pattern_of(h)->tokens[h->step];
}

/* What the next message adds to its payload. */
static size_t next_overhead(const struct noise_handshake *h)
{
    size_t tag_len = h->has_key ? NOISE_TAG_LEN : 0, len = 0;

    for (const enum token *t = next_tokens(h); *t != END; t++) {
        if (*t == E)
            len += NOISE_KEY_LEN;
        else if (*t == S)
            len += NOISE_KEY_LEN + tag_len;
        else
            tag_len = NOISE_TAG_LEN;
    }
    return len + tag_len;
}

int noise_write(struct noise_handshake *h, struct slice payload, uint8_t *out, size_t cap,
                size_t *out_len)
{
    size_t len = 0;

    if (!noise_may_write(h))
        return ERR_INVALID;
    cap = MIN(cap, NOISE_MESSAGE_LEN_MAX);
    if (cap < next_overhead(h) || cap - next_overhead(h) < payload.len)
        return ERR_TOO_LARGE;
    for (const enum token *t = next_tokens(h); *t != END; t++) {
        if (*t == E) {
            memcpy(out + len, h->ephemeral_public, NOISE_KEY_LEN);
            mix_hash(h, slice_of(h->ephemeral_public, NOISE_KEY_LEN));
            len += NOISE_KEY_LEN;
        } else if (*t == S) {
            len += encrypt_and_hash(h, slice_of(h->static_public, NOISE_KEY_LEN), out + len);
        } else {
            int rc = mix_dh(h, *t);

            if (rc < 0)
                return fail(h, rc);
        }
    }
    len += encrypt_and_hash(h, payload, out + len);
    h->step++;
    *out_len = len;
    return 0;
}

/* One token of a message from the peer. */
static int read_token(struct noise_handshake *h, enum token token, struct slice *in)
{
    int rc;

    switch (token) {
    case E:
        if (in->len < NOISE_KEY_LEN)
            return ERR_MALFORMED;
        memcpy(h->remote_ephemeral, in->ptr, NOISE_KEY_LEN);
        mix_hash(h, slice_of(h->remote_ephemeral, NOISE_KEY_LEN));
        *in = slice_of(in->ptr + NOISE_KEY_LEN, in->len - NOISE_KEY_LEN);
        return 0;
    case S:
        rc = decrypt_and_hash(h, in, NOISE_KEY_LEN, h->remote_static);
        h->has_remote_static = rc == 0;
        return rc;
    case EE:
    case ES:
    case SE:
    case SS:
        return mix_dh(h, token);
    case END:
        break;
    }
    UNREACHABLE("END ends the list");
}

int noise_read(struct noise_handshake *h, struct slice message, uint8_t *out, size_t cap,
               size_t *out_len)
{
    struct slice in = message;
    size_t len;
    int rc;

    if (!may_read(h))
        return ERR_INVALID;
    if (message.len > NOISE_MESSAGE_LEN_MAX)
        return fail(h, ERR_TOO_LARGE);
    if (message.len < next_overhead(h))
        return fail(h, ERR_MALFORMED);
    len = message.len - next_overhead(h);
    if (len > cap)
        return fail(h, ERR_TOO_LARGE);
    for (const enum token *t = next_tokens(h); *t != END; t++) {
        rc = read_token(h, *t, &in);
        if (rc < 0)
            return fail(h, rc);
    }
    rc = decrypt_and_hash(h, &in, len, out);
    if (rc < 0)
        return fail(h, rc);
    h->step++;
    *out_len = len;
    return 0;
}

const uint8_t *noise_remote_static(const struct noise_handshake *h)
{
    return h->has_remote_static ? h->remote_static : NULL;
}

const uint8_t *noise_hash(const struct noise_handshake *h)
{
    return h->hash;
}

int noise_split(struct noise_handshake *h, struct noise_cipher *send, struct noise_cipher *receive)
{
    bool is_initiator = h->role == NOISE_INITIATOR;

    if (!noise_is_done(h))
        return ERR_INVALID;
    derive_two(h->chaining_key, slice_of(NULL, 0), is_initiator ? send->key : receive->key,
               is_initiator ? receive->key : send->key);
    send->nonce = 0;
    receive->nonce = 0;
    noise_deinit(h);
    return 0;
}
