/* node/cluster/token.c - see token.h.
 *
 * Base 36 has no power of two in it, so the numbers are converted as wholes: repeated division
 * of the big-endian bytes by 36, and back by multiplication. 36^50 > 2^256 and 36^25 > 2^128, so
 * some texts are too large for their number; those are refused. */
#include "node/cluster/token.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"

#define PREFIX      "SHTKN-1-"
#define PREFIX_LEN  8
#define DIGEST_TEXT 50
#define SECRET_TEXT 25

static_assert(PREFIX_LEN + DIGEST_TEXT + 1 + SECRET_TEXT == TOKEN_LEN, "the parts fill it");

/* Writes `text_len` digits, enough for any number of `len` bytes. */
static void to_base36(const uint8_t *bytes, size_t len, char *out, size_t text_len)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t number[CLUSTER_KEY_LEN];

    memcpy(number, bytes, len);
    for (size_t i = text_len; i-- > 0;) {
        unsigned rest = 0;

        for (size_t k = 0; k < len; k++) {
            rest = rest << 8 | number[k];
            number[k] = (uint8_t)(rest / 36);
            rest %= 36;
        }
        out[i] = digits[rest];
    }
    sodium_memzero(number, sizeof(number));
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

static int from_base36(const uint8_t *text, size_t text_len, uint8_t *out, size_t len)
{
    memset(out, 0, len);
    for (size_t i = 0; i < text_len; i++) {
        int digit = digit_of(text[i]);
        unsigned carry = (unsigned)digit;

        if (digit < 0)
            return ERR_MALFORMED;
        for (size_t k = len; k-- > 0;) {
            carry += out[k] * 36u;
            out[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0)
            return ERR_MALFORMED;
    }
    return 0;
}

static void digest_root(const uint8_t root[CLUSTER_KEY_LEN], uint8_t out[CLUSTER_KEY_LEN])
{
    static const char domain[] = "shoal root digest 1"; /* with its NUL */
    uint8_t bytes[sizeof(domain) + CLUSTER_KEY_LEN];

    memcpy(bytes, domain, sizeof(domain));
    memcpy(bytes + sizeof(domain), root, CLUSTER_KEY_LEN);
    (void)crypto_hash_sha256(out, bytes, sizeof(bytes)); /* always 0 */
}

void token_init(struct join_token *t, const uint8_t root[CLUSTER_KEY_LEN],
                const uint8_t secret[TOKEN_SECRET_LEN])
{
    digest_root(root, t->root_digest);
    memcpy(t->secret, secret, TOKEN_SECRET_LEN);
}

void token_format(const struct join_token *t, char out[TOKEN_LEN + 1])
{
    memcpy(out, PREFIX, PREFIX_LEN);
    to_base36(t->root_digest, CLUSTER_KEY_LEN, out + PREFIX_LEN, DIGEST_TEXT);
    out[PREFIX_LEN + DIGEST_TEXT] = '-';
    to_base36(t->secret, TOKEN_SECRET_LEN, out + PREFIX_LEN + DIGEST_TEXT + 1, SECRET_TEXT);
    out[TOKEN_LEN] = '\0';
}

int token_parse(struct slice text, struct join_token *out)
{
    struct join_token t;
    int rc = ERR_MALFORMED;

    if (text.len != TOKEN_LEN || memcmp(text.ptr, PREFIX, PREFIX_LEN) != 0 ||
        text.ptr[PREFIX_LEN + DIGEST_TEXT] != '-')
        return rc;
    rc = from_base36(text.ptr + PREFIX_LEN, DIGEST_TEXT, t.root_digest, CLUSTER_KEY_LEN);
    if (rc == 0)
        rc = from_base36(text.ptr + PREFIX_LEN + DIGEST_TEXT + 1, SECRET_TEXT, t.secret,
                         TOKEN_SECRET_LEN);
    if (rc == 0)
        *out = t;
    sodium_memzero(&t, sizeof(t));
    return rc;
}

bool token_is_for_root(const struct join_token *t, const uint8_t root[CLUSTER_KEY_LEN])
{
    uint8_t digest[CLUSTER_KEY_LEN];

    digest_root(root, digest);
    return sodium_memcmp(digest, t->root_digest, sizeof(digest)) == 0;
}

bool token_secret_equal(const uint8_t a[TOKEN_SECRET_LEN], const uint8_t b[TOKEN_SECRET_LEN])
{
    return sodium_memcmp(a, b, TOKEN_SECRET_LEN) == 0;
}
