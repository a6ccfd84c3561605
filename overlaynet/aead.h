/* overlaynet/aead.h - Sealing of data packets: one interface, two suites, two engines.
 *
 * AES-256-GCM (NIST SP 800-38D) by libipsec-mb where it was built in and the processor has AES
 * and carry-less multiplication, else by libsodium; ChaCha20-Poly1305 (RFC 8439) by libsodium. The
 * bytes on the wire do not depend on the engine. A key is used in one direction by one sender
 * thread; the 64-bit packet counter makes the nonce, so no nonce repeats under a key.
 *
 * aead_start() once before anything else; the rest is thread-safe and allocates nothing. */
#ifndef OVERLAYNET_AEAD_H
#define OVERLAYNET_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define AEAD_KEY_LEN 32
#define AEAD_TAG_LEN 16
#define AEAD_AD_LEN  16 /* always the packet header */

enum aead_suite {
    AEAD_AES256GCM = 1, /* bits of a set; the lowest bit that both sides have is preferred */
    AEAD_CHACHA20POLY1305 = 2,
};

/* A key prepared for use. Secret: aead_wipe(). */
struct aead_key {
    enum aead_suite suite;
    _Alignas(64) uint8_t schedule[1024];
};

/* Finds the engines.  ERR_UNAVAILABLE (libsodium does not start), -ENOMEM */
NODISCARD int aead_start(void);

/* The set of suites that run here; AES only in hardware: in software it leaks through the cache. */
uint8_t aead_suites(void);
const char *aead_engine(void); /* of AES: "libipsec-mb" or "libsodium"; "libsodium" without AES */
const char *aead_suite_name(enum aead_suite suite);

/* For tests: use libsodium for everything. */
void aead_force_sodium(bool on);

void aead_prepare(struct aead_key *k, enum aead_suite suite, const uint8_t key[AEAD_KEY_LEN]);
void aead_wipe(struct aead_key *k);

/* Writes len + AEAD_TAG_LEN bytes to `out`, which may be `plain` but not otherwise overlap it. */
void aead_seal(const struct aead_key *k, uint64_t counter, const uint8_t ad[AEAD_AD_LEN],
               const uint8_t *plain, size_t len, uint8_t *out);

/* Opens `sealed_len` >= AEAD_TAG_LEN bytes into `out`, which may be `sealed`. On false the content
 * of `out` is worthless. */
NODISCARD bool aead_open(const struct aead_key *k, uint64_t counter, const uint8_t ad[AEAD_AD_LEN],
                         const uint8_t *sealed, size_t sealed_len, uint8_t *out);

#endif /* OVERLAYNET_AEAD_H */
