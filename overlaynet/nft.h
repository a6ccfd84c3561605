/* overlaynet/nft.h - Rules into the kernel, in the thread's network namespace.
 *
 * As text by nft(8), whose library is not ours to link: 10 ms, most of it the start of a process.
 * As a batch (nft_batch.h) over a socket of our own: less than one, for what is loaded often. */
#ifndef OVERLAYNET_NFT_H
#define OVERLAYNET_NFT_H

#include <stddef.h>

#include "base/attr.h"
#include "overlaynet/nft_batch.h"

#define NFT_TIMEOUT_MS 20000
#define NFT_TEXT_MAX   (4 << 20)

/* Runs `nft -f -` with `text` in the thread's network namespace: one transaction. Waits for it. On
 * failure `why` (of `why_len`) has what nft said.
 *   -ENOENT (no nft), ERR_INVALID (refused), ERR_TIMEOUT, errors of posix_spawn and pipe */
NODISCARD int nft_load(const char *text, char *why, size_t why_len);

/* Carries out a batch that has ended: all of it or nothing.
 *   -ENOENT (a name in it is not there), -EOPNOTSUPP (an expression that the kernel lacks), errors
 *   of the kernel and of socket(2) */
NODISCARD int nft_send(const struct nft_batch *b);

#endif /* OVERLAYNET_NFT_H */
