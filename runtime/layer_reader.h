/* runtime/layer_reader.h - The plain bytes of a packed layer, hashed on their way. Blocks. */
#ifndef RUNTIME_LAYER_READER_H
#define RUNTIME_LAYER_READER_H

#include <stdint.h>

#include <archive.h>

#include "base/attr.h"
#include "runtime/digest.h"

struct layer_reader {
    struct archive *outer;
    struct digest_state hash;
    uint64_t packed_read; /* bytes of `fd` */
    int fd;
    uint8_t packed[65536];
    uint8_t plain[65536];
};

/* Reads from r->fd, which is set; gzip, zstd, xz, bzip2 or plain. Returns libarchive's codes and
 * leaves what is wrong in r->outer, which the caller frees in any case. */
NODISCARD int layer_reader_open(struct layer_reader *r);

/* The next bytes, borrowed until the next call; 0 at the end. A callback of libarchive: `arg` is
 * the reader, `a` is told what is wrong, also when the layer is a bomb (UNPACK_RATIO_MAX). */
la_ssize_t layer_reader_read(struct archive *a, void *arg, const void **out);

#endif /* RUNTIME_LAYER_READER_H */
