/* Bytes as the life of a node: events of every kind, in any order, at any time. The core may refuse
 * them but must stay whole: its bounds hold and its next deadline is never in the past. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "gossip/gossip.h"
#include "gossip/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gossip *make(void)
{
    struct gossip_config cfg;
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN], seed[32] = { 1 };
    struct gossip *g;

    gossip_config_init(&cfg);
    cfg.id = id_from_random(seed);
    cfg.cluster = cfg.id;
    (void)crypto_sign_seed_keypair(public_key, cfg.secret_key, seed); /* cannot fail */
    cfg.addr = (struct gossip_addr){ .len = 6, .bytes = { 10, 0, 0, 1 } };
    cfg.key_count = 1;
    cfg.boot_epoch = 1;
    cfg.member_count_max = 8;
    CHECK(gossip_new(&cfg, &g) == 0);
    return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(slice_of(data, size));
    struct gossip *g = make();
    mono_ns now = 0;

    while (r.left > 0) {
        uint8_t random[ID_RANDOM_LEN] = { 0 };
        uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN] = { 7 };
        struct gossip_key keys[GOSSIP_KEYS_MAX] = { 0 };
        struct gossip_contact contacts[2] = { 0 };
        struct gossip_output out;
        struct gossip_stats stats;
        struct gossip_event e = { .kind = (enum gossip_event_kind)(read_u8(&r) %
                                                                   (GOSSIP_STREAM_CLOSED + 1)) };
        uint8_t arg = read_u8(&r);

        now += (mono_ns)read_u8(&r) * (arg % 4 == 0 ? NS_PER_S : NS_PER_MS);
        random[0] = arg % 16;
        e.id = id_from_random(random);
        e.addr = (struct gossip_addr){ .len = arg % 19, .bytes = { arg } };
        e.stream = arg % 8;
        e.public_key = public_key;
        keys[1].epoch = arg;
        e.keys = keys;
        e.key_count = arg % 4;
        contacts[0].addr = (struct gossip_addr){ .len = 6, .bytes = { 10, arg } };
        contacts[1] = contacts[0];
        e.contacts = contacts;
        e.contact_count = arg % 3;
        if (e.kind == GOSSIP_PACKET || e.kind == GOSSIP_STREAM_DATA || e.kind == GOSSIP_SET_META)
            e.bytes = read_bytes(&r, MIN(r.left, arg));
        (void)!gossip_step(g, &e, now, &out);
        CHECK(mono_after(out.deadline, NS_PER_S) >= now);
        gossip_stats_get(g, &stats);
        CHECK(stats.member_count <= 8);
        CHECK(stats.candidate_count <= GOSSIP_CANDIDATES_MAX);
        CHECK(stats.health <= GOSSIP_HEALTH_MAX);
    }
    gossip_free(g);
    return 0;
}
