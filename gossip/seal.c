/* One key seals, all keys open: the middle of a rotation needs no agreement on the moment. */
#include "gossip/seal.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"

static_assert(GOSSIP_SEAL_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(GOSSIP_SEAL_TAG_LEN == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
static_assert(GOSSIP_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

#define ASSOCIATED_LEN (ID_LEN + GOSSIP_SEAL_HEADER_LEN)

static void associate(const struct id *cluster, const uint8_t *header, uint8_t out[ASSOCIATED_LEN])
{
    memcpy(out, cluster->text, ID_LEN);
    memcpy(out + ID_LEN, header, GOSSIP_SEAL_HEADER_LEN);
}

size_t seal_in_place(struct sealer *s, uint64_t boot_epoch, uint8_t *buf, size_t body_len)
{
    struct writer w = writer_of(buf, GOSSIP_SEAL_HEADER_LEN + GOSSIP_SEAL_NONCE_LEN);
    uint8_t associated[ASSOCIATED_LEN];
    unsigned long long len = 0;

    CHECK(s->key_count > 0);
    write_u8(&w, SEAL_VERSION);
    write_u32(&w, s->keys[0].epoch);
    write_u64(&w, boot_epoch);
    write_u64(&w, s->salt);
    write_u64(&w, s->counter++);
    associate(&s->cluster, buf, associated);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        seal_body(buf), &len, seal_body(buf), body_len, associated, sizeof(associated), NULL,
        buf + GOSSIP_SEAL_HEADER_LEN, s->keys[0].bytes); /* cannot fail for such lengths */
    return w.len + (size_t)len;
}

int seal_open(const struct sealer *s, struct slice bytes, uint8_t *body, struct sealed_by *out)
{
    struct reader r = reader_of(bytes);
    uint8_t version = read_u8(&r);
    uint32_t key_epoch = read_u32(&r);
    struct slice nonce = read_bytes(&r, GOSSIP_SEAL_NONCE_LEN);
    struct slice sealed = read_rest(&r);
    uint8_t associated[ASSOCIATED_LEN];
    unsigned long long len = 0;

    if (r.bad || version != SEAL_VERSION || sealed.len < GOSSIP_SEAL_TAG_LEN ||
        sealed.len > GOSSIP_FRAME_LEN_MAX)
        return -1;
    associate(&s->cluster, bytes.ptr, associated);
    for (size_t i = 0; i < s->key_count; i++) {
        if (s->keys[i].epoch != key_epoch)
            continue;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(body, &len, NULL, sealed.ptr, sealed.len,
                                                       associated, sizeof(associated), nonce.ptr,
                                                       s->keys[i].bytes) != 0)
            return -1;
        r = reader_of(nonce);
        out->key_epoch = key_epoch;
        out->boot_epoch = read_u64(&r);
        out->salt = read_u64(&r);
        out->counter = read_u64(&r);
        return (int)len;
    }
    return -1;
}
