/* Datagrams: as they come, or sealed by a member that may say anything. Whatever is in them, the
 * core keeps its invariants (CHECK) and its bounds. First byte: bit 0 = sealed, bit 1 = by a
 * stranger. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "gossip/gossip.h"
#include "gossip/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gossip_key key = { .epoch = 1, .bytes = { 4 } };

static struct id id_of(uint8_t number)
{
    uint8_t random[ID_RANDOM_LEN] = { number };

    return id_from_random(random);
}

static struct gossip *make(uint8_t number)
{
    struct gossip_config cfg;
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], seed[32] = { number };
    struct gossip *g;

    gossip_config_init(&cfg);
    cfg.id = id_of(number);
    cfg.cluster = id_of(0);
    (void)crypto_sign_seed_keypair(public_key, cfg.secret_key, seed); /* cannot fail */
    cfg.addr = (struct gossip_addr){ .len = 6, .bytes = { 10, 0, 0, number } };
    cfg.keys[0] = key;
    cfg.key_count = 1;
    cfg.boot_epoch = 1;
    cfg.seed = number;
    CHECK(gossip_new(&cfg, &g) == 0);
    return g;
}

static void step(struct gossip *g, const struct gossip_event *e, mono_ns now,
                 struct gossip_output *out)
{
    CHECK(gossip_step(g, e, now, out) == 0);
    CHECK(out->packet_count <= GOSSIP_PACKETS_OUT_MAX);
    for (size_t i = 0; i < out->packet_count; i++)
        CHECK(out->packets[i].bytes.len <= GOSSIP_PACKET_LEN_MAX);
}

/* `a` has met `b`, so that packets of `b` are a member's. */
static void introduce(struct gossip *a, struct gossip *b)
{
    struct id ids[2] = { id_of(1), id_of(2) };
    uint8_t keys[2][GOSSIP_PUBLIC_KEY_LEN], secret[GOSSIP_SECRET_KEY_LEN];
    struct gossip_output out;
    struct gossip_contact contact = { .addr = { .len = 6, .bytes = { 10, 0, 0, 1 } } };

    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[32] = { (uint8_t)(i + 1) };
        struct gossip_event e = { .kind = GOSSIP_TRUST, .public_key = keys[i], .id = ids[i] };

        (void)crypto_sign_seed_keypair(keys[i], secret, seed); /* cannot fail */
        step(i == 0 ? b : a, &e, 0, &out);
    }
    step(a, &(struct gossip_event){ .kind = GOSSIP_START }, 0, &out);
    step(b, &(struct gossip_event){ .kind = GOSSIP_START }, 0, &out);
    step(b,
         &(struct gossip_event){
             .kind = GOSSIP_SET_CONTACTS, .contacts = &contact, .contact_count = 1 },
         0, &out);
    for (size_t i = 0; i < out.packet_count; i++) {
        struct gossip_output ignored;

        step(a,
             &(struct gossip_event){ .kind = GOSSIP_PACKET,
                                     .addr = { .len = 6, .bytes = { 10, 0, 0, 2 } },
                                     .bytes = out.packets[i].bytes },
             0, &ignored);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip *a = make(1), *b = make(2);
    struct sealer sealer = { .cluster = id_of(0), .keys = { key }, .key_count = 1, .counter = 100 };
    uint8_t buf[GOSSIP_PACKET_LEN_MAX] = { 0 };
    struct gossip_event e = { .kind = GOSSIP_PACKET,
                              .addr = { .len = 6, .bytes = { 10, 0, 0, 2 } } };
    struct gossip_output out;
    struct id sender = id_of(2);
    struct gossip_stats stats;

    introduce(a, b);
    if (size > 0 && (data[0] & 1) != 0) {
        size_t len = MIN(size - 1, sizeof(buf) - GOSSIP_SEAL_LEN - 16);
        struct writer w = writer_of(seal_body(buf), sizeof(buf) - GOSSIP_SEAL_LEN);

        write_u64(&w, (data[0] & 2) != 0 ? 12345 : node_ref_of(&sender));
        write_u64(&w, 1);
        write_bytes(&w, slice_of(data + 1, len));
        e.bytes = slice_of(buf, seal_in_place(&sealer, 1, buf, w.len));
    } else {
        e.bytes = slice_of(data, size);
    }
    step(a, &e, NS_PER_MS, &out);
    step(a, &(struct gossip_event){ .kind = GOSSIP_TIMEOUT }, NS_PER_S, &out);
    gossip_stats_get(a, &stats);
    CHECK(stats.member_count <= 2); /* nobody else was trusted */
    gossip_free(a);
    gossip_free(b);
    return 0;
}
