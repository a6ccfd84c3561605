/* The engine is chosen once, by what the processor has. */
#include "overlaynet/aead.h"

#include <assert.h>
#include <errno.h>

#include <sodium.h>
#include <string.h>

#ifdef SHOAL_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "base/check.h"
#include "base/err.h"

#define NONCE_LEN 12

static struct {
    bool has_aes;
    bool use_sodium;
#ifdef SHOAL_HAVE_IPSEC_MB
    IMB_MGR *ipsec; /* only its function pointers are used: they keep no state */
#endif
} engine;

int aead_start(void)
{
    if (sodium_init() < 0)
        return ERR_UNAVAILABLE;
    engine.has_aes = crypto_aead_aes256gcm_is_available() != 0;
#ifdef SHOAL_HAVE_IPSEC_MB
    static_assert(sizeof(struct gcm_key_data) <= sizeof(((struct aead_key *)0)->schedule),
                  "schedule holds an expanded key");
    if (engine.ipsec == NULL && engine.has_aes) {
        IMB_MGR *m = alloc_mb_mgr(0);

        if (m == NULL)
            return -ENOMEM;
        init_mb_mgr_auto(m, NULL);
        if (imb_get_errno(m) == 0 && m->gcm256_enc != NULL && m->gcm256_dec != NULL &&
            m->gcm256_pre != NULL)
            engine.ipsec = m;
        else
            free_mb_mgr(m);
    }
#endif
    return 0;
}

void aead_force_sodium(bool on)
{
    engine.use_sodium = on;
}

uint8_t aead_suites(void)
{
    return (uint8_t)(AEAD_CHACHA20POLY1305 | (engine.has_aes ? AEAD_AES256GCM : 0));
}

static bool uses_ipsec(void)
{
#ifdef SHOAL_HAVE_IPSEC_MB
    return engine.ipsec != NULL && !engine.use_sodium;
#else
    return false;
#endif
}

const char *aead_engine(void)
{
    return uses_ipsec() ? "libipsec-mb" : "libsodium";
}

const char *aead_suite_name(enum aead_suite suite)
{
    return suite == AEAD_AES256GCM ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

void aead_prepare(struct aead_key *k, enum aead_suite suite, const uint8_t key[AEAD_KEY_LEN])
{
    static_assert(sizeof(crypto_aead_aes256gcm_state) <= sizeof(k->schedule),
                  "schedule holds an expanded key");
    k->suite = suite;
    if (suite == AEAD_CHACHA20POLY1305) {
        memcpy(k->schedule, key, AEAD_KEY_LEN);
        return;
    }
    CHECK(suite == AEAD_AES256GCM && engine.has_aes);
#ifdef SHOAL_HAVE_IPSEC_MB
    if (uses_ipsec()) {
        IMB_AES256_GCM_PRE(engine.ipsec, key, (struct gcm_key_data *)(void *)k->schedule);
        return;
    }
#endif
    (void)crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)(void *)k->schedule, key);
}

void aead_wipe(struct aead_key *k)
{
    sodium_memzero(k, sizeof(*k));
}

static void put_nonce(uint64_t counter, uint8_t out[NONCE_LEN])
{
    memset(out, 0, NONCE_LEN - 8);
    for (int i = 0; i < 8; i++)
        out[NONCE_LEN - 8 + i] = (uint8_t)(counter >> (56 - 8 * i));
}

void aead_seal(const struct aead_key *k, uint64_t counter, const uint8_t ad[AEAD_AD_LEN],
               const uint8_t *plain, size_t len, uint8_t *out)
{
    const void *schedule = k->schedule;
    uint8_t nonce[NONCE_LEN];

    put_nonce(counter, nonce);
    if (k->suite == AEAD_CHACHA20POLY1305) {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad, AEAD_AD_LEN,
                                                        NULL, nonce, k->schedule);
        return;
    }
#ifdef SHOAL_HAVE_IPSEC_MB
    if (uses_ipsec()) {
        struct gcm_context_data ctx;

        IMB_AES256_GCM_ENC(engine.ipsec, schedule, &ctx, out, plain, len, nonce, ad, AEAD_AD_LEN,
                           out + len, AEAD_TAG_LEN);
        return;
    }
#endif
    (void)crypto_aead_aes256gcm_encrypt_afternm(out, NULL, plain, len, ad, AEAD_AD_LEN, NULL, nonce,
                                                schedule);
}

bool aead_open(const struct aead_key *k, uint64_t counter, const uint8_t ad[AEAD_AD_LEN],
               const uint8_t *sealed, size_t sealed_len, uint8_t *out)
{
    const void *schedule = k->schedule;
    size_t len = sealed_len - AEAD_TAG_LEN;
    uint8_t nonce[NONCE_LEN];

    CHECK(sealed_len >= AEAD_TAG_LEN);
    put_nonce(counter, nonce);
    if (k->suite == AEAD_CHACHA20POLY1305)
        return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, sealed_len, ad,
                                                         AEAD_AD_LEN, nonce, k->schedule) == 0;
#ifdef SHOAL_HAVE_IPSEC_MB
    if (uses_ipsec()) {
        struct gcm_context_data ctx;
        uint8_t tag[AEAD_TAG_LEN], theirs[AEAD_TAG_LEN];

        memcpy(theirs, sealed + len, AEAD_TAG_LEN); /* `out` may be `sealed` */
        IMB_AES256_GCM_DEC(engine.ipsec, schedule, &ctx, out, sealed, len, nonce, ad, AEAD_AD_LEN,
                           tag, AEAD_TAG_LEN);
        return sodium_memcmp(tag, theirs, AEAD_TAG_LEN) == 0;
    }
#endif
    return crypto_aead_aes256gcm_decrypt_afternm(out, NULL, NULL, sealed, sealed_len, ad,
                                                 AEAD_AD_LEN, nonce, schedule) == 0;
}
