/* runtime/digest.h - Content digests, "sha256:" and 64 lower-case hex digits.
 *
 * By OpenSSL, which knows the processor's instructions for it: five times as fast as libsodium, and
 * hashing is what loading an image is mostly about. Its older interface, because a state of that
 * can be left without being freed. */
#ifndef RUNTIME_DIGEST_H
#define RUNTIME_DIGEST_H

#include <stdbool.h>

#define OPENSSL_API_COMPAT 0x10101000L
#include <openssl/sha.h>
#include <sodium.h>

#include "base/attr.h"
#include "base/slice.h"

#define DIGEST_HEX_LEN  64
#define DIGEST_TEXT_LEN (7 + DIGEST_HEX_LEN)

struct digest {
    char text[DIGEST_TEXT_LEN + 1]; /* "" = none */
};

/* The only algorithm accepted: others would be names that we cannot verify.  ERR_MALFORMED */
NODISCARD int digest_parse(struct slice text, struct digest *out);

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->text, b->text, sizeof(a->text)) == 0;
}

static inline const char *digest_hex(const struct digest *d)
{
    return d->text + 7;
}

struct digest_state {
    SHA256_CTX sha256;
    uint64_t len; /* bytes taken in */
};
void digest_begin(struct digest_state *s);
void digest_update(struct digest_state *s, struct slice bytes);
struct digest digest_end(struct digest_state *s);
struct digest digest_of(struct slice bytes);

/* Identity of a stack of layers: of the lowest its diff id, above it sha256("chain diff_id"). */
struct digest digest_chain(const struct digest *parent, const struct digest *diff_id);

#endif /* RUNTIME_DIGEST_H */
