/* base/noise.h - Noise handshakes XX and KK with 25519, ChaChaPoly and SHA256.
 *
 * A state machine without I/O and without randomness: the caller carries the messages and
 * hands in a fresh ephemeral secret.
 *
 *     noise_init(&h, &cfg)
 *     until noise_is_done(&h):
 *         noise_may_write(&h) ? noise_write(&h, payload, ...) : noise_read(&h, message, ...)
 *     noise_split(&h, &send, &receive)
 *     noise_seal(&send, ad, plain, out) / noise_open(&receive, ad, sealed, out)
 *     noise_deinit(&h)
 *
 *     XX  -> e                KK  (both static keys known before)
 *         <- e, ee, s, es         -> e, es, ss
 *         -> s, se                <- e, ee, se
 *
 * Every message carries a payload, possibly empty. How well it is protected depends on the
 * message: the first of XX is clear, the first of KK can be replayed ([Noise] 7.7). After any
 * error the handshake is dead and its secrets are wiped.
 *
 * An ephemeral secret used twice breaks the protocol: take it from the system's generator.
 * The program calls sodium_init() before. Source: [Noise] The Noise Protocol Framework,
 * revision 34. */
#ifndef BASE_NOISE_H
#define BASE_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define NOISE_KEY_LEN         32
#define NOISE_HASH_LEN        32
#define NOISE_TAG_LEN         16
#define NOISE_MESSAGE_LEN_MAX 65535            /* any message, handshake or transport: [Noise] 3 */
#define NOISE_NONCE_MAX       (UINT64_MAX - 1) /* the last one is reserved for rekeying */

/* What each handshake message adds to its payload. */
#define NOISE_XX_OVERHEAD_1 (NOISE_KEY_LEN)
#define NOISE_XX_OVERHEAD_2 (2 * NOISE_KEY_LEN + 2 * NOISE_TAG_LEN)
#define NOISE_XX_OVERHEAD_3 (NOISE_KEY_LEN + 2 * NOISE_TAG_LEN)
#define NOISE_KK_OVERHEAD   (NOISE_KEY_LEN + NOISE_TAG_LEN) /* both messages */

enum noise_pattern { NOISE_XX, NOISE_KK };
enum noise_role { NOISE_INITIATOR, NOISE_RESPONDER };

/* One direction of a session: a key and the number of the next message. Secret. */
struct noise_cipher {
    uint8_t key[NOISE_KEY_LEN];
    uint64_t nonce; /* > NOISE_NONCE_MAX: used up */
};

struct noise_config {
    enum noise_pattern pattern;
    enum noise_role role;
    struct slice prologue;           /* what both sides must agree on before */
    const uint8_t *static_secret;    /* NOISE_KEY_LEN bytes each */
    const uint8_t *ephemeral_secret; /* random, for this handshake only */
    const uint8_t *remote_static;    /* KK only; else NULL */
};

/* Private, but visible so that it can be embedded. Secret. */
struct noise_handshake {
    enum noise_pattern pattern;
    enum noise_role role;
    unsigned step; /* messages written and read so far */
    bool is_failed;
    bool has_remote_static;
    bool has_key;
    struct noise_cipher cipher;
    uint8_t chaining_key[NOISE_HASH_LEN];
    uint8_t hash[NOISE_HASH_LEN];
    uint8_t static_secret[NOISE_KEY_LEN];
    uint8_t static_public[NOISE_KEY_LEN];
    uint8_t ephemeral_secret[NOISE_KEY_LEN];
    uint8_t ephemeral_public[NOISE_KEY_LEN];
    uint8_t remote_static[NOISE_KEY_LEN];
    uint8_t remote_ephemeral[NOISE_KEY_LEN];
};

/* Starts a handshake. Copies what `cfg` points to.
 *   ERR_INVALID  remote_static missing (KK) or present (XX) */
NODISCARD int noise_init(struct noise_handshake *h, const struct noise_config *cfg);
void noise_deinit(struct noise_handshake *h); /* wipes; also after errors */

bool noise_is_done(const struct noise_handshake *h);
bool noise_may_write(const struct noise_handshake *h); /* else it is the peer's turn, or done */

/* Writes the next message into `out`, which has room for `cap` bytes; *out_len on success.
 *   ERR_TOO_LARGE        payload and overhead exceed `cap` or NOISE_MESSAGE_LEN_MAX
 *   ERR_UNAUTHENTICATED  the peer's key is of low order: no secret would come of it
 *   ERR_INVALID          not our turn */
NODISCARD int noise_write(struct noise_handshake *h, struct slice payload, uint8_t *out, size_t cap,
                          size_t *out_len);

/* Reads the peer's next message, its payload into `out` (room for `cap`; message.len is enough).
 *   ERR_MALFORMED        too short
 *   ERR_TOO_LARGE        the payload exceeds `cap`, or the message NOISE_MESSAGE_LEN_MAX
 *   ERR_UNAUTHENTICATED  altered, not from the expected peer, or a key of low order
 *   ERR_INVALID          not the peer's turn */
NODISCARD int noise_read(struct noise_handshake *h, struct slice message, uint8_t *out, size_t cap,
                         size_t *out_len);

/* The peer's static key; NULL until it is known. In XX it is proven only once a message that the
 * peer wrote with it was read: for the initiator after message 2, for the responder after 3. */
const uint8_t *noise_remote_static(const struct noise_handshake *h);

/* Same on both sides of one finished handshake and of no other: sign it to bind something to it.
 * Read it before noise_split(). */
const uint8_t *noise_hash(const struct noise_handshake *h);

/* The two directions of the finished handshake, which is wiped.  ERR_INVALID (not done) */
NODISCARD int noise_split(struct noise_handshake *h, struct noise_cipher *send,
                          struct noise_cipher *receive);

/* Seals plain.len bytes into `out`, which has room for NOISE_TAG_LEN more; it may be `plain`
 * itself. ERR_EXHAUSTED  no nonce is left: rekeying does not help, a new handshake does */
NODISCARD int noise_seal(struct noise_cipher *c, struct slice ad, struct slice plain, uint8_t *out);

/* Opens `sealed` into `out` (sealed.len - NOISE_TAG_LEN bytes; may be `sealed` itself). The nonce
 * advances on success only.
 *   ERR_MALFORMED (shorter than a tag), ERR_UNAUTHENTICATED, ERR_EXHAUSTED */
NODISCARD int noise_open(struct noise_cipher *c, struct slice ad, struct slice sealed,
                         uint8_t *out);

/* Replaces the key by one derived from it, so that the old one can no longer be computed; the nonce
 * goes on: [Noise] 4.2, 11.3. Both sides at the same message. */
void noise_rekey(struct noise_cipher *c);

void noise_cipher_deinit(struct noise_cipher *c); /* wipes */

#endif /* BASE_NOISE_H */
