#include "support_core.h"

#include <string.h>

#include <sodium.h>

struct id support_id(unsigned number)
{
    uint8_t random[ID_RANDOM_LEN] = { 0 };

    memcpy(random, &number, sizeof(number));
    return id_from_random(random);
}

struct id support_cluster(void)
{
    return support_id(1u << 30);
}

struct gossip_addr support_addr(unsigned number)
{
    return (struct gossip_addr){
        .len = 6, .bytes = { 10, 1, (uint8_t)(number >> 8), (uint8_t)number, 0x1f, 0x0a }
    };
}

void support_keys(unsigned number, uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN],
                  uint8_t secret_key[GOSSIP_SECRET_KEY_LEN])
{
    uint8_t seed[crypto_sign_SEEDBYTES] = { 3 };

    memcpy(seed + 1, &number, sizeof(number));
    assert_int_equal(crypto_sign_seed_keypair(public_key, secret_key, seed), 0);
}

struct gossip_key support_gossip_key(uint32_t epoch)
{
    return (struct gossip_key){ .epoch = epoch, .bytes = { (uint8_t)epoch, 99 } };
}

struct gossip_config support_config(unsigned number)
{
    struct gossip_config cfg;
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN];

    gossip_config_init(&cfg);
    cfg.id = support_id(number);
    cfg.cluster = support_cluster();
    support_keys(number, public_key, cfg.secret_key);
    cfg.addr = support_addr(number);
    cfg.keys[0] = support_gossip_key(1);
    cfg.key_count = 1;
    cfg.boot_epoch = 5;
    cfg.seed = cfg.salt = number;
    return cfg;
}

struct gossip *support_node(unsigned number)
{
    struct gossip_config cfg = support_config(number);
    struct gossip *g;

    assert_int_equal(gossip_new(&cfg, &g), 0);
    (void)support_plain(g, GOSSIP_START, 0);
    return g;
}

struct gossip_output support_step(struct gossip *g, const struct gossip_event *e, mono_ns now)
{
    struct gossip_output out;

    assert_int_equal(gossip_step(g, e, now, &out), 0);
    return out;
}

struct gossip_output support_plain(struct gossip *g, enum gossip_event_kind kind, mono_ns now)
{
    return support_step(g, &(struct gossip_event){ .kind = kind }, now);
}

struct gossip_output support_trust(struct gossip *g, unsigned number, mono_ns now)
{
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];

    support_keys(number, public_key, secret_key);
    return support_step(g,
                        &(struct gossip_event){ .kind = GOSSIP_TRUST,
                                                .id = support_id(number),
                                                .public_key = public_key },
                        now);
}

struct gossip_output support_packet(struct gossip *g, unsigned from, struct slice bytes,
                                    mono_ns now)
{
    return support_step(
        g,
        &(struct gossip_event){ .kind = GOSSIP_PACKET, .addr = support_addr(from), .bytes = bytes },
        now);
}

void support_forge_init(struct forge *f, unsigned from)
{
    memset(f, 0, sizeof(*f));
    f->sealer = (struct sealer){ .cluster = support_cluster(),
                                 .keys = { support_gossip_key(1) },
                                 .key_count = 1,
                                 .salt = from,
                                 .counter = 1 };
    f->boot_epoch = 5;
    support_forge_begin(f, from);
}

void support_forge_begin(struct forge *f, unsigned from)
{
    struct id id = support_id(from);

    f->body = writer_of(seal_body(f->buf), sizeof(f->buf) - GOSSIP_SEAL_LEN);
    write_u64(&f->body, node_ref_of(&id));
    write_u64(&f->body, 0);
}

struct slice support_forge_end(struct forge *f)
{
    assert_false(f->body.full);
    return slice_of(f->buf, seal_in_place(&f->sealer, f->boot_epoch, f->buf, f->body.len));
}

static struct slice take(struct gossip_pool *pool, struct blob *b, uint8_t *out)
{
    size_t len = b->len;

    memcpy(out, b->bytes, len);
    blob_unref(pool, b);
    gossip_pool_free(pool);
    return slice_of(out, len);
}

struct slice support_record(uint8_t out[RECORD_LEN_MAX], unsigned about, uint64_t epoch,
                            uint32_t counter, unsigned signer)
{
    return support_record_with(out, about, epoch, counter, signer, (struct slice){ 0 });
}

struct slice support_record_with(uint8_t out[RECORD_LEN_MAX], unsigned about, uint64_t epoch,
                                 uint32_t counter, unsigned signer, struct slice meta)
{
    struct record r = { .id = support_id(about),
                        .incarnation = { .epoch = epoch, .counter = counter },
                        .meta_len = (uint16_t)meta.len,
                        .addr = support_addr(about) };
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];
    struct id cluster = support_cluster();
    struct gossip_pool *pool;

    support_keys(signer, public_key, secret_key);
    meta_hash(meta, r.meta_hash);
    assert_int_equal(gossip_pool_new(&pool), 0);
    return take(pool, record_sign(pool, &cluster, &r, secret_key), out);
}

struct slice support_accusation(uint8_t out[ACCUSATION_LEN], unsigned subject, uint64_t epoch,
                                uint32_t counter, unsigned accuser, unsigned signer)
{
    struct id subject_id = support_id(subject), accuser_id = support_id(accuser);
    struct accusation a = { .subject = node_ref_of(&subject_id),
                            .incarnation = { .epoch = epoch, .counter = counter },
                            .accuser = node_ref_of(&accuser_id) };
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], secret_key[GOSSIP_SECRET_KEY_LEN];
    struct id cluster = support_cluster();
    struct gossip_pool *pool;

    support_keys(signer, public_key, secret_key);
    assert_int_equal(gossip_pool_new(&pool), 0);
    return take(pool, accusation_sign(pool, &cluster, &a, secret_key), out);
}

void support_meet(struct gossip *g, struct forge *f, unsigned number, mono_ns now)
{
    uint8_t bytes[RECORD_LEN_MAX];

    (void)support_trust(g, number, now);
    support_forge_init(f, number);
    (void)write_message(&f->body, MESSAGE_RECORD, support_record(bytes, number, 5, 0, number),
                        (struct slice){ 0 });
    (void)support_packet(g, number, support_forge_end(f), now);
    assert_int_equal(support_member_status(g, number), GOSSIP_ALIVE);
}

struct gossip_stats support_stats(const struct gossip *g)
{
    struct gossip_stats s;

    gossip_stats_get(g, &s);
    return s;
}

enum gossip_status support_member_status(const struct gossip *g, unsigned number)
{
    struct gossip_member_info info;
    struct id id = support_id(number);

    return gossip_member_get(g, &id, &info) < 0 ? GOSSIP_UNKNOWN : info.status;
}
