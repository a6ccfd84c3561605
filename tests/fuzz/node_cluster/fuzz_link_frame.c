/* Frames of a peer: what is decoded encodes to the same bytes. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "node/cluster/link_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t again[FRAME_LEN_MAX];
    struct frame f;

    if (frame_decode(slice_of(data, len), &f) == 0) {
        CHECK(len <= FRAME_LEN_MAX);
        CHECK(frame_encode(&f, again) == len);
        CHECK(memcmp(again, data, len) == 0);
    }
    return 0;
}
