/* Signed statements as bytes. */
#include "gossip/record.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"

static_assert(SIGNATURE_LEN == crypto_sign_BYTES, "Ed25519");

#define CONTEXT_LEN 16
static const char record_context[CONTEXT_LEN + 1] = "shoal.record.v1\n";
static const char accusation_context[CONTEXT_LEN + 1] = "shoal.accuse.v1\n";

/* What is signed: context, cluster, statement. */
#define SIGNED_LEN_MAX (CONTEXT_LEN + ID_LEN + RECORD_LEN_MAX)

static struct slice signed_bytes(const char *context, const struct id *cluster, struct slice said,
                                 uint8_t out[SIGNED_LEN_MAX])
{
    struct writer w = writer_of(out, SIGNED_LEN_MAX);

    write_bytes(&w, slice_of(context, CONTEXT_LEN));
    write_bytes(&w, slice_of(cluster->text, ID_LEN));
    write_bytes(&w, said);
    CHECK(!w.full);
    return slice_of(out, w.len);
}

/* Appends the signature of what `w` holds and interns it all. */
static struct blob *sign_and_intern(struct gossip_pool *pool, const char *context,
                                    const struct id *cluster, struct writer *w,
                                    const uint8_t *secret_key)
{
    uint8_t message[SIGNED_LEN_MAX];
    uint8_t signature[SIGNATURE_LEN];
    struct slice m = signed_bytes(context, cluster, slice_of(w->ptr, w->len), message);
    struct blob *b;

    (void)crypto_sign_detached(signature, NULL, m.ptr, m.len, secret_key); /* cannot fail */
    write_bytes(w, slice_of(signature, sizeof(signature)));
    CHECK(!w->full);
    b = blob_intern(pool, slice_of(w->ptr, w->len));
    if (b != NULL) { /* our own word needs no check; the public key is the secret one's tail */
        b->verified = true;
        memcpy(b->verified_by, secret_key + GOSSIP_SECRET_KEY_LEN - GOSSIP_PUBLIC_KEY_LEN,
               GOSSIP_PUBLIC_KEY_LEN);
    }
    return b;
}

static bool verify_blob(struct blob *b, const char *context, const struct id *cluster,
                        const uint8_t *public_key)
{
    uint8_t message[SIGNED_LEN_MAX];
    size_t said = b->len - SIGNATURE_LEN;

    return blob_verify(b, signed_bytes(context, cluster, slice_of(b->bytes, said), message),
                       b->bytes + said, public_key);
}

static void write_record(struct writer *w, const struct record *r)
{
    write_u8(w, 1);
    write_bytes(w, slice_of(r->id.text, ID_LEN));
    write_u64(w, r->incarnation.epoch);
    write_u32(w, r->incarnation.counter);
    write_u8(w, r->left ? RECORD_LEFT : 0);
    write_u16(w, r->meta_len);
    write_bytes(w, slice_of(r->meta_hash, META_HASH_LEN));
    write_u8(w, r->addr.len);
    write_bytes(w, slice_of(r->addr.bytes, r->addr.len));
}

static bool is_addr_len(uint8_t len)
{
    return len == 4 + 2 || len == 16 + 2;
}

int record_read(struct slice bytes, struct record *out)
{
    struct reader r = reader_of(bytes);
    struct record rec = { 0 };
    uint8_t version = read_u8(&r);
    struct slice id = read_bytes(&r, ID_LEN);
    struct slice part;
    uint8_t flags;

    rec.incarnation.epoch = read_u64(&r);
    rec.incarnation.counter = read_u32(&r);
    flags = read_u8(&r);
    rec.left = (flags & RECORD_LEFT) != 0;
    rec.meta_len = read_u16(&r);
    part = read_bytes(&r, META_HASH_LEN);
    rec.addr.len = read_u8(&r);
    if (r.bad || version != 1 || (flags & ~RECORD_LEFT) != 0 || !is_addr_len(rec.addr.len) ||
        rec.meta_len > GOSSIP_META_LEN_MAX || rec.incarnation.epoch == 0 ||
        rec.incarnation.epoch > EPOCH_MAX || id_parse(id, &rec.id) < 0)
        return -1;
    memcpy(rec.meta_hash, part.ptr, META_HASH_LEN);
    part = read_bytes(&r, rec.addr.len);
    (void)read_bytes(&r, SIGNATURE_LEN); /* looked at by record_verify() */
    if (r.bad)
        return -1;
    memcpy(rec.addr.bytes, part.ptr, part.len);
    *out = rec;
    return (int)(bytes.len - r.left);
}

struct record record_of(const struct blob *blob)
{
    struct record r;

    CHECK(record_read(blob_slice(blob), &r) == (int)blob->len);
    return r;
}

struct blob *record_sign(struct gossip_pool *pool, const struct id *cluster,
                         const struct record *record, const uint8_t *secret_key)
{
    uint8_t bytes[RECORD_LEN_MAX];
    struct writer w = writer_of(bytes, sizeof(bytes));

    write_record(&w, record);
    return sign_and_intern(pool, record_context, cluster, &w, secret_key);
}

bool record_verify(struct blob *blob, const struct id *cluster, const uint8_t *public_key)
{
    return verify_blob(blob, record_context, cluster, public_key);
}

void meta_hash(struct slice meta, uint8_t out[META_HASH_LEN])
{
    (void)crypto_generichash(out, META_HASH_LEN, meta.ptr, meta.len, NULL, 0); /* cannot fail */
}

bool record_has_meta(const struct record *r, struct slice meta)
{
    uint8_t hash[META_HASH_LEN];

    if (meta.len != r->meta_len)
        return false;
    meta_hash(meta, hash);
    return memcmp(hash, r->meta_hash, sizeof(hash)) == 0;
}

bool accusation_read(struct slice bytes, struct accusation *out)
{
    struct reader r = reader_of(bytes);
    struct accusation a;

    a.subject = read_u64(&r);
    a.incarnation.epoch = read_u64(&r);
    a.incarnation.counter = read_u32(&r);
    a.accuser = read_u64(&r);
    if (r.bad || bytes.len != ACCUSATION_LEN || a.subject == a.accuser || a.subject == 0 ||
        a.accuser == 0 || a.incarnation.epoch == 0 || a.incarnation.epoch > EPOCH_MAX)
        return false;
    *out = a;
    return true;
}

struct blob *accusation_sign(struct gossip_pool *pool, const struct id *cluster,
                             const struct accusation *a, const uint8_t *secret_key)
{
    uint8_t bytes[ACCUSATION_LEN];
    struct writer w = writer_of(bytes, sizeof(bytes));

    write_u64(&w, a->subject);
    write_u64(&w, a->incarnation.epoch);
    write_u32(&w, a->incarnation.counter);
    write_u64(&w, a->accuser);
    return sign_and_intern(pool, accusation_context, cluster, &w, secret_key);
}

bool accusation_verify(struct blob *blob, const struct id *cluster, const uint8_t *public_key)
{
    return verify_blob(blob, accusation_context, cluster, public_key);
}
