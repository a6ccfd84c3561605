/* node/images_impl.h - Private to images*.c. */
#ifndef NODE_IMAGES_IMPL_H
#define NODE_IMAGES_IMPL_H

#include "base/list.h"
#include "node/images.h"

#define IMAGES_REFERENCE_MAX 4096
#define IMAGES_DIGEST_MAX    128

struct images {
    struct images_config cfg;
    struct id peers[IMAGES_PEERS_MAX];
    size_t peer_count;
    struct list fetches;
    size_t fetch_count;
};

/* images_serve.c */
int images_on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream);

/* images_blob.c: one blob of a peer into the content store. `done` exactly once, later. */
typedef void (*blob_done)(void *owner, int err);
NODISCARD int blob_fetch(struct images *im, const struct id *peer, const char *digest,
                         uint64_t size, blob_done done, void *owner);

#endif /* NODE_IMAGES_IMPL_H */
