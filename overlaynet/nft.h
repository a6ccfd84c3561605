/* overlaynet/nft.h - Loading nftables rules by nft(8): its library is not ours to link. */
#ifndef OVERLAYNET_NFT_H
#define OVERLAYNET_NFT_H

#include <stddef.h>

#include "base/attr.h"

#define NFT_TIMEOUT_MS 20000
#define NFT_TEXT_MAX   (4 << 20)

/* Runs `nft -f -` with `text` in the thread's network namespace: one transaction. Waits for it. On
 * failure `why` (of `why_len`) has what nft said.
 *   -ENOENT (no nft), ERR_INVALID (refused), ERR_TIMEOUT, errors of posix_spawn and pipe */
NODISCARD int nft_load(const char *text, char *why, size_t why_len);

#endif /* OVERLAYNET_NFT_H */
