/* The MAC of an endpoint. */
#include <sodium.h>
#include <string.h>

#include "overlaynet/overlay.h"

/* First octet: locally administered, unicast. The address alone must not decide it: a stale entry
 * for a reused address would then still match and send frames to the old node. */
void overlay_mac(const struct id *network_id, const struct ip_addr *addr, uint64_t generation,
                 uint8_t out[OVERLAY_MAC_LEN])
{
    static const char label[] = "shoal mac 1";
    uint8_t input[sizeof(label) + ID_LEN + 1 + IP6_LEN + 8];
    uint8_t digest[crypto_generichash_BYTES_MIN];
    size_t at = sizeof(label);

    memcpy(input, label, sizeof(label));
    memcpy(input + at, network_id->text, ID_LEN);
    at += ID_LEN;
    input[at++] = addr->len;
    memcpy(input + at, addr->bytes, IP6_LEN);
    at += IP6_LEN;
    for (int i = 0; i < 8; i++)
        input[at++] = (uint8_t)(generation >> (56 - 8 * i));
    (void)crypto_generichash(digest, sizeof(digest), input, at, NULL,
                             0); /* fails on bad sizes only */
    memcpy(out, digest, OVERLAY_MAC_LEN);
    out[0] = (uint8_t)((out[0] & 0xfc) | 0x02);
}
