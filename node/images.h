/* node/images.h - Images from and for the other nodes, by digest.
 *
 * On the BLOBS channel a stream's header asks one thing:
 *     "image <reference>"   the answer is the digest of its manifest here, as text
 *     "blob <digest>"       the answer is the blob's bytes
 * A node that lacks an image asks its peers for the reference, takes the blobs that it misses
 * from the first that has it, verifies every byte, and only then asks a registry. Fetches of the
 * same reference share one flow. */
#ifndef NODE_IMAGES_H
#define NODE_IMAGES_H

#include <uv.h>

#include "node/agent/host.h"
#include "node/cluster/link.h"

#define IMAGES_PEERS_MAX   1024
#define IMAGES_FETCHES_MAX 64

struct images;

struct images_config {
    uv_loop_t *loop;
    struct links *links;
    struct runtime *runtime;
    struct id self;
};

/* Handles the BLOBS channel of `links` until it is closed. -ENOMEM */
NODISCARD int images_open(const struct images_config *cfg, struct images **out);
void images_close(struct images *im); /* after links and runtime calls have ended; accepts NULL */

/* Who else may have images. */
void images_peer(struct images *im, const struct id *node, bool gone);

/* `done` exactly once, perhaps before it returns. */
void images_fetch(struct images *im, const char *reference, host_image_done done, void *owner);

#endif /* NODE_IMAGES_H */
