/* Bytes of the EXEC channel: a frame that is taken is put to the same bytes, and a message in it
 * that decodes encodes to one that decodes to the same. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "node/exec_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_message(const struct fields *type, struct slice bytes)
{
    union {
        struct exec_request request;
        struct exec_window window;
        struct exec_result result;
    } first, second;
    struct buf again;

    if (fields_decode(type, bytes, &first, NULL) < 0)
        return;
    buf_init(&again, 1 * MIB);
    CHECK(fields_encode(type, &first, &again, NULL) == 0);
    CHECK(fields_decode(type, buf_slice(&again), &second, NULL) == 0);
    CHECK(fields_equal(type, &first, &second));
    fields_deinit(type, &first);
    fields_deinit(type, &second);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t at = 0;
    struct buf again;

    check_message(&exec_request_type, slice_of(data, len));
    buf_init(&again, 1 * MIB);
    while (at < len && len <= 512 * KIB) {
        struct exec_frame f;
        int taken = exec_frame_take(slice_of(data + at, len - at), &f);

        if (taken <= 0)
            break;
        CHECK((size_t)taken <= len - at);
        buf_clear(&again);
        CHECK(exec_frame_put(&again, f.kind, f.bytes) == 0);
        CHECK(again.len == (size_t)taken && memcmp(again.ptr, data + at, again.len) == 0);
        if (f.kind == EXEC_WINDOW)
            check_message(&exec_window_type, f.bytes);
        if (f.kind == EXEC_RESULT)
            check_message(&exec_result_type, f.bytes);
        at += (size_t)taken;
    }
    buf_deinit(&again);
    return 0;
}
