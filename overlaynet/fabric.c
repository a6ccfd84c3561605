/* Keys of the address table. */
#include "overlaynet/fabric.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

uint64_t fabric_ip_key(const struct fabric *f, const struct ip_addr *a)
{
    uint64_t hash;

    static_assert(sizeof(hash) == crypto_shorthash_BYTES && sizeof(f->ip_secret) == 16,
                  "SipHash-2-4: 64 bits under a 128-bit key");
    if (a->len == IP4_LEN)
        return UINT64_C(1) << 32 | ip4_to_u32(a);
    (void)crypto_shorthash((uint8_t *)&hash, a->bytes, IP6_LEN, (const uint8_t *)f->ip_secret);
    return hash | UINT64_C(1) << 63;
}
