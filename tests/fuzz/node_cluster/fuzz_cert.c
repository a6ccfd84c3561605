/* Certificates: what is decoded encodes to something that decodes to the same, and only what an
 * authority signed is believed. */
#include <stdint.h>

#include "base/check.h"
#include "node/cluster/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct trust trust = { .root_count = 1 };
    struct cert c, again;
    struct buf bytes;

    if (cert_decode(slice_of(data, len), &c) < 0)
        return 0;
    buf_init(&bytes, CERT_LEN_MAX);
    CHECK(cert_encode(&c, &bytes) == 0);
    CHECK(cert_decode(buf_slice(&bytes), &again) == 0);
    CHECK(fields_equal(&cert_type, &c, &again));
    buf_deinit(&bytes);
    trust.cluster = c.cluster;
    CHECK(cert_check(&c, &trust, c.not_before, 0) < 0); /* the root of zeros signs nothing */
    return 0;
}
