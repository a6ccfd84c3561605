/* node/cluster/link_handshake.c - see link_handshake.h. */
#include "node/cluster/link_handshake.h"

#include <string.h>

#include <sodium.h>
#include <uv.h>

#include "base/err.h"
#include "node/cluster/link_conn.h"
#include "node/cluster/link_hello.h"

static const char prologue[] = "shoal link";

int handshake_start(struct conn *c)
{
    uint8_t ephemeral[NOISE_KEY_LEN];
    const struct noise_config cfg = {
        .pattern = NOISE_XX,
        .role = c->is_dialler ? NOISE_INITIATOR : NOISE_RESPONDER,
        .prologue = slice_of_str(prologue),
        .static_secret = c->shared->identity->keys.static_secret,
        .ephemeral_secret = ephemeral,
    };
    int rc;

    randombytes_buf(ephemeral, sizeof(ephemeral));
    rc = noise_init(&c->noise, &cfg);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    return rc;
}

/* The next message as a record; returns its length. */
static int put_message(struct conn *c, struct slice payload, uint8_t *record)
{
    size_t len = 0;
    int rc = noise_write(&c->noise, payload, record + RECORD_HEAD_LEN, HANDSHAKE_LEN_MAX, &len);

    if (rc < 0)
        return rc;
    put_u16(record, (uint16_t)len);
    return (int)(RECORD_HEAD_LEN + len);
}

int handshake_put_offer(struct conn *c, uint8_t *record)
{
    struct buf payload;
    int rc;

    buf_init(&payload, HANDSHAKE_LEN_MAX);
    rc = offer_encode(&payload);
    if (rc == 0)
        rc = put_message(c, buf_slice(&payload), record);
    buf_deinit(&payload);
    return rc;
}

int handshake_put_hello(struct conn *c, enum link_purpose purpose, uint8_t *record)
{
    struct buf payload;
    int rc;

    buf_init(&payload, HANDSHAKE_LEN_MAX);
    rc = hello_encode(c->shared->identity, purpose, &payload);
    if (rc == 0)
        rc = put_message(c, buf_slice(&payload), record);
    buf_deinit(&payload);
    return rc;
}

int handshake_read_offer(struct conn *c, struct slice message)
{
    uint8_t payload[HANDSHAKE_LEN_MAX];
    size_t len = 0;
    int rc = handshake_start(c);

    if (rc == 0)
        rc = noise_read(&c->noise, message, payload, sizeof(payload), &len);
    return rc < 0 ? rc : offer_check(slice_of(payload, len));
}

int handshake_read_hello(struct conn *c, struct slice message, struct link_hello *out)
{
    uint8_t payload[HANDSHAKE_LEN_MAX];
    size_t len = 0;
    int rc = noise_read(&c->noise, message, payload, sizeof(payload), &len);

    if (rc < 0)
        return rc;
    memcpy(c->static_key, noise_remote_static(&c->noise), sizeof(c->static_key));
    return hello_decode(slice_of(payload, len), out);
}

int handshake_split(struct conn *c)
{
    memcpy(c->handshake_hash, noise_hash(&c->noise), sizeof(c->handshake_hash));
    c->rekeyed = uv_hrtime();
    return noise_split(&c->noise, &c->send, &c->receive);
}
