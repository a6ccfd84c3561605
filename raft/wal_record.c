/* Encoding, sealing and their inverses. Nothing here knows what a record means.
 *
 * header, 128 bytes:
 *   0 magic  4 payload_len  8 seq  16 synced_seq  24 first_index  32 last_index  40 last_term
 *   48 term  56 vote  64 nonce[24]  88 prev_tag[16]  104 tag[16]  120 check
 * payload: state[64], configuration, then per entry: term 8, type 4, length 4, session 8,
 * sequence 8, data; zeros up to a multiple of 16
 *
 * The associated data of the seal is the record's place (cluster, node, segment, offset) and the
 * header up to the tag; the check, a SipHash, covers the same and the tag. */
#include "raft/wal_record.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define RECORD_MAGIC        UINT32_C(0x31574853)         /* "SHW1" */
#define MANIFEST_MAGIC      UINT64_C(0x314e414d4c414853) /* "SHALMAN1" */
#define AD_PLACE_BYTES      (WAL_CLUSTER_BYTES + 24u)    /* cluster, node, segment, offset */
#define AD_HEADER_BYTES     104u                         /* the header before its tag */
#define AD_BYTES            (AD_PLACE_BYTES + AD_HEADER_BYTES)
#define MANIFEST_MAC_OFFSET 104u

static_assert(WAL_HEADER_BYTES == AD_HEADER_BYTES + WAL_TAG_BYTES + 8, "header layout");
static_assert(WAL_HEADER_BYTES % WAL_ALIGN_BYTES == 0 && WAL_STATE_BYTES % WAL_ALIGN_BYTES == 0,
              "every part of a record fills whole alignment units");

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

void wal_put64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v = 0;

    for (unsigned i = 4; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

uint64_t wal_get64(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 8; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

void wal_keys_derive(const struct wal_config *cfg, struct wal_keys *out)
{
    static const char context[crypto_kdf_CONTEXTBYTES] = { 's', 'h', 'o', 'a', 'l', 'w', 'a', 'l' };
    uint8_t identity[WAL_CLUSTER_BYTES + 8];
    uint8_t root[crypto_kdf_KEYBYTES];

    memcpy(out->cluster, cfg->cluster, WAL_CLUSTER_BYTES);
    out->node = cfg->node;
    memcpy(identity, cfg->cluster, WAL_CLUSTER_BYTES);
    wal_put64(identity + WAL_CLUSTER_BYTES, cfg->node);
    /* None of these can fail for lengths within their constant limits. */
    (void)crypto_generichash(root, sizeof(root), identity, sizeof(identity), cfg->key,
                             WAL_KEY_BYTES);
    (void)crypto_kdf_derive_from_key(out->record, sizeof(out->record), 1, context, root);
    (void)crypto_kdf_derive_from_key(out->check, sizeof(out->check), 2, context, root);
    (void)crypto_kdf_derive_from_key(out->manifest, sizeof(out->manifest), 3, context, root);
    (void)crypto_kdf_derive_from_key(out->snapshot, sizeof(out->snapshot), 4, context, root);
    sodium_memzero(root, sizeof(root));
}

void wal_keys_wipe(struct wal_keys *k)
{
    sodium_memzero(k, sizeof(*k));
}

uint64_t wal_next_offset(uint64_t offset)
{
    uint64_t aligned = (offset + WAL_ALIGN_BYTES - 1) / WAL_ALIGN_BYTES * WAL_ALIGN_BYTES;
    uint64_t in_sector = aligned % DISK_SECTOR_BYTES;

    if (in_sector > DISK_SECTOR_BYTES - WAL_HEADER_BYTES)
        aligned += DISK_SECTOR_BYTES - in_sector;
    return aligned;
}

static void write_associated_data(const struct wal_keys *k, struct wal_place at,
                                  const uint8_t *header, uint8_t *out)
{
    memcpy(out, k->cluster, WAL_CLUSTER_BYTES);
    wal_put64(out + 16, k->node);
    wal_put64(out + 24, at.segment);
    wal_put64(out + 32, at.offset);
    memcpy(out + AD_PLACE_BYTES, header, AD_HEADER_BYTES);
}

static void header_check(const struct wal_keys *k, const uint8_t ad[AD_BYTES],
                         const uint8_t tag[WAL_TAG_BYTES], uint8_t out[crypto_shorthash_BYTES])
{
    uint8_t all[AD_BYTES + WAL_TAG_BYTES];

    memcpy(all, ad, AD_BYTES);
    memcpy(all + AD_BYTES, tag, WAL_TAG_BYTES);
    (void)crypto_shorthash(out, all, sizeof(all), k->check); /* always 0 */
}

void wal_record_seal(const struct wal_keys *k, struct wal_place at, struct wal_header *h,
                     uint8_t *record)
{
    uint8_t ad[AD_BYTES];
    uint8_t *payload = record + WAL_HEADER_BYTES;

    CHECK(h->payload_len % WAL_ALIGN_BYTES == 0);
    put32(record, RECORD_MAGIC);
    put32(record + 4, h->payload_len);
    wal_put64(record + 8, h->seq);
    wal_put64(record + 16, h->synced_seq);
    wal_put64(record + 24, h->first_index);
    wal_put64(record + 32, h->last_index);
    wal_put64(record + 40, h->last_term);
    wal_put64(record + 48, h->term);
    wal_put64(record + 56, h->vote);
    memcpy(record + 64, h->nonce, WAL_NONCE_BYTES);
    memcpy(record + 88, h->prev_tag, WAL_TAG_BYTES);
    write_associated_data(k, at, record, ad);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
        payload, h->tag, NULL, payload, h->payload_len, ad, sizeof(ad), NULL, h->nonce, k->record);
    memcpy(record + 104, h->tag, WAL_TAG_BYTES);
    header_check(k, ad, h->tag, record + 120);
}

bool wal_header_read(const struct wal_keys *k, struct wal_place at, const uint8_t *bytes,
                     size_t len, struct wal_header *out)
{
    uint8_t ad[AD_BYTES];
    uint8_t check[crypto_shorthash_BYTES];

    if (len < WAL_HEADER_BYTES || get32(bytes) != RECORD_MAGIC)
        return false;
    write_associated_data(k, at, bytes, ad);
    header_check(k, ad, bytes + 104, check);
    if (sodium_memcmp(check, bytes + 120, sizeof(check)) != 0)
        return false;
    out->payload_len = get32(bytes + 4);
    out->seq = wal_get64(bytes + 8);
    out->synced_seq = wal_get64(bytes + 16);
    out->first_index = wal_get64(bytes + 24);
    out->last_index = wal_get64(bytes + 32);
    out->last_term = wal_get64(bytes + 40);
    out->term = wal_get64(bytes + 48);
    out->vote = wal_get64(bytes + 56);
    memcpy(out->nonce, bytes + 64, WAL_NONCE_BYTES);
    memcpy(out->prev_tag, bytes + 88, WAL_TAG_BYTES);
    memcpy(out->tag, bytes + 104, WAL_TAG_BYTES);
    return out->payload_len % WAL_ALIGN_BYTES == 0 && out->payload_len >= WAL_STATE_BYTES &&
           out->payload_len <= len - WAL_HEADER_BYTES;
}

bool wal_payload_open(const struct wal_keys *k, struct wal_place at, const struct wal_header *h,
                      const uint8_t *bytes, uint8_t *out)
{
    uint8_t ad[AD_BYTES];

    write_associated_data(k, at, bytes, ad);
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
               out, NULL, bytes + WAL_HEADER_BYTES, h->payload_len, h->tag, ad, sizeof(ad),
               h->nonce, k->record) == 0;
}

void wal_state_write(const struct wal_state *s, uint8_t out[WAL_STATE_BYTES])
{
    wal_put64(out, s->commit);
    wal_put64(out + 8, s->base.index);
    wal_put64(out + 16, s->base.term);
    wal_put64(out + 24, s->rewinds);
    wal_put64(out + 32, s->acknowledged.index);
    wal_put64(out + 40, s->acknowledged.term);
    wal_put64(out + 48, s->conf_len);
    wal_put64(out + 56, s->entry_count);
}

void wal_state_read(const uint8_t in[WAL_STATE_BYTES], struct wal_state *out)
{
    out->commit = wal_get64(in);
    out->base.index = wal_get64(in + 8);
    out->base.term = wal_get64(in + 16);
    out->rewinds = wal_get64(in + 24);
    out->acknowledged.index = wal_get64(in + 32);
    out->acknowledged.term = wal_get64(in + 40);
    out->conf_len = wal_get64(in + 48);
    out->entry_count = wal_get64(in + 56);
}

void wal_entry_write_head(const struct raft_entry *e, uint8_t out[WAL_ENTRY_OVERHEAD])
{
    wal_put64(out, e->id.term);
    put32(out + 8, (uint32_t)e->type);
    put32(out + 12, (uint32_t)e->data.len);
    wal_put64(out + 16, e->session);
    wal_put64(out + 24, e->sequence);
}

bool wal_entry_read(struct slice payload, size_t *cursor, struct raft_entry *out)
{
    const uint8_t *head;
    size_t left = payload.len - *cursor;
    uint32_t len;

    if (left < WAL_ENTRY_OVERHEAD)
        return false;
    head = payload.ptr + *cursor;
    len = get32(head + 12);
    if (len > left - WAL_ENTRY_OVERHEAD)
        return false;
    memset(out, 0, sizeof(*out));
    out->id.term = wal_get64(head);
    out->type = (enum raft_entry_type)get32(head + 8);
    out->session = wal_get64(head + 16);
    out->sequence = wal_get64(head + 24);
    out->data = slice_of(head + WAL_ENTRY_OVERHEAD, len);
    *cursor += WAL_ENTRY_OVERHEAD + (size_t)len;
    return true;
}

/* 0 magic  8 cluster  24 node  32 counter  40 synced_seq  48 term  56 vote  64 commit
 * 72 last index  80 last term  88 base index  96 base term  104 mac[32], rest zero */
void wal_manifest_write(const struct wal_keys *k, const struct wal_manifest *m,
                        uint8_t out[WAL_MANIFEST_SLOT_BYTES])
{
    memset(out, 0, WAL_MANIFEST_SLOT_BYTES);
    wal_put64(out, MANIFEST_MAGIC);
    memcpy(out + 8, k->cluster, WAL_CLUSTER_BYTES);
    wal_put64(out + 24, k->node);
    wal_put64(out + 32, m->counter);
    wal_put64(out + 40, m->synced_seq);
    wal_put64(out + 48, m->hard_state.term);
    wal_put64(out + 56, m->hard_state.vote);
    wal_put64(out + 64, m->hard_state.commit);
    wal_put64(out + 72, m->last.index);
    wal_put64(out + 80, m->last.term);
    wal_put64(out + 88, m->base.index);
    wal_put64(out + 96, m->base.term);
    (void)crypto_generichash(out + MANIFEST_MAC_OFFSET, 32, out, MANIFEST_MAC_OFFSET, k->manifest,
                             sizeof(k->manifest)); /* lengths are within its limits */
}

int wal_manifest_read(const struct wal_keys *k, const uint8_t in[WAL_MANIFEST_SLOT_BYTES],
                      struct wal_manifest *out)
{
    uint8_t mac[32];

    if (wal_get64(in) != MANIFEST_MAGIC)
        return ERR_NOT_FOUND;
    (void)crypto_generichash(mac, sizeof(mac), in, MANIFEST_MAC_OFFSET, k->manifest,
                             sizeof(k->manifest)); /* lengths are within its limits */
    if (sodium_memcmp(mac, in + MANIFEST_MAC_OFFSET, sizeof(mac)) != 0) {
        bool is_ours =
            memcmp(in + 8, k->cluster, WAL_CLUSTER_BYTES) == 0 && wal_get64(in + 24) == k->node;

        return is_ours ? ERR_NOT_FOUND : ERR_WRONG_CLUSTER;
    }
    out->counter = wal_get64(in + 32);
    out->synced_seq = wal_get64(in + 40);
    out->hard_state.term = wal_get64(in + 48);
    out->hard_state.vote = wal_get64(in + 56);
    out->hard_state.commit = wal_get64(in + 64);
    out->last.index = wal_get64(in + 72);
    out->last.term = wal_get64(in + 80);
    out->base.index = wal_get64(in + 88);
    out->base.term = wal_get64(in + 96);
    return 0;
}

void wal_segment_name(uint64_t segment, char out[DISK_NAME_CAP])
{
    (void)snprintf(out, DISK_NAME_CAP, "%020llu.wal",
                   (unsigned long long)segment); /* always fits */
}

bool wal_segment_of_name(const char *name, uint64_t *out)
{
    uint64_t segment = 0;
    char again[DISK_NAME_CAP];

    for (size_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' ||
            __builtin_mul_overflow(segment, UINT64_C(10), &segment) ||
            __builtin_add_overflow(segment, (uint64_t)(name[i] - '0'), &segment))
            return false;
    }
    wal_segment_name(segment, again);
    if (segment == 0 || strcmp(again, name) != 0)
        return false;
    *out = segment;
    return true;
}

bool wal_is_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}
