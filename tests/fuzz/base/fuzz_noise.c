/* Handshake messages of a peer without the right keys: none is ever accepted that seals something,
 * and whatever fails leaves a dead handshake. The first byte chooses pattern, side and step. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void start(struct noise_handshake *h, enum noise_pattern pattern, enum noise_role role)
{
    const uint8_t static_secret[NOISE_KEY_LEN] = { 1, (uint8_t)role };
    const uint8_t ephemeral_secret[NOISE_KEY_LEN] = { 2, (uint8_t)role };
    const uint8_t remote[NOISE_KEY_LEN] = { 9 };
    const struct noise_config cfg = {
        .pattern = pattern,
        .role = role,
        .static_secret = static_secret,
        .ephemeral_secret = ephemeral_secret,
        .remote_static = pattern == NOISE_KK ? remote : NULL,
    };

    CHECK(noise_init(h, &cfg) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t out[NOISE_MESSAGE_LEN_MAX];
    struct noise_handshake h;
    size_t out_len = 0;
    int rc;

    if (len == 0)
        return 0;
    start(&h, data[0] & 1 ? NOISE_KK : NOISE_XX, data[0] & 2 ? NOISE_INITIATOR : NOISE_RESPONDER);
    if (noise_may_write(&h))
        CHECK(noise_write(&h, slice_of(NULL, 0), out, sizeof(out), &out_len) == 0);
    rc = noise_read(&h, slice_of(data + 1, len - 1), out, sizeof(out), &out_len);
    /* Only the clear first message of XX can be made up. */
    CHECK(rc < 0 || (h.pattern == NOISE_XX && h.role == NOISE_RESPONDER));
    if (rc == 0 && noise_write(&h, slice_of(NULL, 0), out, sizeof(out), &out_len) == 0) {
        rc = noise_read(&h, slice_of(data + 1, len - 1), out, sizeof(out), &out_len);
        CHECK(rc < 0);
    }
    CHECK(!noise_is_done(&h) && !noise_may_write(&h));
    noise_deinit(&h);
    return 0;
}
