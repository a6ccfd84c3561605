/* A stream of frames, to the side that was called and to the side that calls. Input: first byte:
 * bit 0 = the core is the opener, bit 1 = raw bytes instead of sealed frames, rest = size of the
 * cuts; then frames, each behind a length byte. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "gossip/gossip.h"
#include "gossip/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gossip_key key = { .epoch = 1, .bytes = { 4 } };

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
    cfg.keys[0] = key;
    cfg.key_count = 1;
    cfg.boot_epoch = 1;
    CHECK(gossip_new(&cfg, &g) == 0);
    return g;
}

static void step(struct gossip *g, const struct gossip_event *e)
{
    struct gossip_output out;

    CHECK(gossip_step(g, e, NS_PER_MS, &out) == 0);
    for (size_t i = 0; i < out.stream_count; i++)
        CHECK(out.streams[i].bytes.len <= 4 + GOSSIP_FRAME_LEN_MAX + GOSSIP_SEAL_LEN);
}

static void feed(struct gossip *g, uint64_t stream, struct slice bytes, size_t cut)
{
    while (bytes.len > 0) {
        size_t len = MIN(bytes.len, cut);

        step(g, &(struct gossip_event){ .kind = GOSSIP_STREAM_DATA,
                                        .stream = stream,
                                        .bytes = slice_of(bytes.ptr, len) });
        step(g, &(struct gossip_event){ .kind = GOSSIP_STREAM_WRITABLE, .stream = stream });
        bytes.ptr += len;
        bytes.len -= len;
    }
}

static void feed_frames(struct gossip *g, uint64_t stream, struct slice input, size_t cut)
{
    struct sealer sealer = { .keys = { key }, .key_count = 1 };
    uint8_t seed[32] = { 1 };

    sealer.cluster = id_from_random(seed);
    while (input.len > 0) {
        uint8_t buf[4 + 256 + 16 + GOSSIP_SEAL_LEN] = { 0 };
        size_t len = MIN(input.ptr[0], input.len - 1);
        struct writer w = writer_of(seal_body(buf + 4), 256 + 16);
        size_t sealed;

        write_u64(&w, 77);
        write_u64(&w, 1);
        write_bytes(&w, slice_of(input.ptr + 1, len));
        sealed = seal_in_place(&sealer, 1, buf + 4, w.len);
        w = writer_of(buf, 4);
        write_u32(&w, (uint32_t)sealed);
        feed(g, stream, slice_of(buf, 4 + sealed), cut);
        input.ptr += 1 + len;
        input.len -= 1 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip *g;
    bool opener;
    uint64_t stream;
    struct gossip_contact contact = { .addr = { .len = 6, .bytes = { 10, 0, 0, 9 } } };

    if (size == 0)
        return 0;
    g = make();
    opener = (data[0] & 1) != 0;
    stream = opener ? 1 : 2;
    step(g, &(struct gossip_event){ .kind = GOSSIP_START });
    if (opener) {
        step(g, &(struct gossip_event){
                    .kind = GOSSIP_SET_CONTACTS, .contacts = &contact, .contact_count = 1 });
        step(g, &(struct gossip_event){ .kind = GOSSIP_STREAM_WRITABLE, .stream = stream });
    } else {
        step(g, &(struct gossip_event){ .kind = GOSSIP_STREAM_INBOUND, .stream = stream });
    }
    if ((data[0] & 2) != 0)
        feed(g, stream, slice_of(data + 1, size - 1), (size_t)(data[0] >> 2) + 1);
    else
        feed_frames(g, stream, slice_of(data + 1, size - 1), (size_t)(data[0] >> 2) * 8 + 1);
    step(g, &(struct gossip_event){ .kind = GOSSIP_STREAM_CLOSED, .stream = stream });
    gossip_free(g);
    return 0;
}
