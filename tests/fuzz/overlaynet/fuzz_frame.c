/* Frames and offload requests of containers, and frames that came sealed: parsing, the guard, the
 * answers, cutting and joining. Input: a vnet header, then a frame. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlaynet/guard.h"
#include "overlaynet/neigh.h"
#include "overlaynet/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE_MAX 1440

static void cut_and_join(uint8_t *frame, const struct frame_view *view, const struct vnet_header *h)
{
    struct segment_join join = { 0 };
    struct segment_cut cut;
    struct vnet_header out;
    size_t len, total = 0;
    uint8_t *piece;

    if (segment_cut_start(&cut, frame, view, h, PIECE_MAX) < 0)
        return;
    while ((len = segment_cut_next(&cut, &piece)) != 0) {
        uint8_t *copy = malloc(len); /* bounds are then those of the packet */
        struct frame_view v;

        CHECK(copy != NULL);
        CHECK(len <= PIECE_MAX);
        memcpy(copy, piece, len);
        total += len;
        if (frame_parse(copy, len, &v) == 0 && v.payload != 0) {
            segment_join_start(&join, copy, &v);
            CHECK(!segment_join_append(&join, copy, &v) || v.protocol == FRAME_PROTO_UDP);
            segment_join_finish(&join, &out);
        }
        free(copy);
    }
    CHECK(total >= view->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct guard_identity who = {
        .mac = { 2, 0, 0, 0, 0, 1 }, .has_ip4 = true, .has_ip6 = true, .ip4 = { 10, 0, 9, 1 }
    };
    uint8_t reply[NEIGH_REPLY_LEN_MAX];
    struct guard_identity lenient = who;
    struct frame_view view;
    struct vnet_header h;
    uint8_t *frame;

    if (size < sizeof(h))
        return 0;
    memcpy(&h, data, sizeof(h));
    size -= sizeof(h);
    frame = malloc(size + 1);
    CHECK(frame != NULL);
    memcpy(frame, data + sizeof(h), size);
    if (frame_parse(frame, size, &view) == 0) {
        CHECK(view.len <= size);
        (void)guard_check(frame, &view, &who);
        memcpy(lenient.mac, frame_source(frame), FRAME_MAC_LEN);
        lenient.any_source = true;
        if (guard_check(frame, &view, &lenient) == GUARD_RESOLVE) {
            struct ip_addr asked = neigh_question(frame, &view);

            if (!ip_is_none(&asked))
                CHECK(neigh_answer(frame, &view, who.mac, reply) <= sizeof(reply));
        }
        cut_and_join(frame, &view, &h);
    }
    free(frame);
    return 0;
}
