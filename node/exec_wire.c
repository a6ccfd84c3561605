#include "node/exec_wire.h"

#include "base/err.h"
#include "base/fields_impl.h"

FIELDS_DEFINE(exec_request, EXEC_REQUEST_FIELDS);
FIELDS_DEFINE(exec_window, EXEC_WINDOW_FIELDS);
FIELDS_DEFINE(exec_result, EXEC_RESULT_FIELDS);

int exec_frame_put(struct buf *out, enum exec_frame_kind kind, struct slice bytes)
{
    const uint8_t header[EXEC_FRAME_HEADER_LEN] = { (uint8_t)kind, (uint8_t)bytes.len,
                                                    (uint8_t)(bytes.len >> 8),
                                                    (uint8_t)(bytes.len >> 16) };
    size_t before = out->len;
    int rc;

    if (bytes.len > EXEC_FRAME_LEN_MAX)
        return ERR_TOO_LARGE;
    rc = buf_append(out, header, sizeof(header));
    if (rc == 0)
        rc = buf_append_slice(out, bytes);
    if (rc < 0)
        out->len = before; /* all of it or nothing */
    return rc;
}

int exec_frame_put_message(struct buf *out, enum exec_frame_kind kind, const struct fields *type,
                           const void *message)
{
    struct buf bytes;
    int rc;

    buf_init(&bytes, EXEC_FRAME_LEN_MAX);
    rc = fields_encode(type, message, &bytes, NULL);
    if (rc == 0)
        rc = exec_frame_put(out, kind, buf_slice(&bytes));
    buf_deinit(&bytes);
    return rc;
}

int exec_frame_take(struct slice bytes, struct exec_frame *out)
{
    size_t len;

    if (bytes.len > 0 && (bytes.ptr[0] < EXEC_INPUT || bytes.ptr[0] > EXEC_RESULT))
        return ERR_MALFORMED;
    if (bytes.len < EXEC_FRAME_HEADER_LEN)
        return 0;
    len = (size_t)bytes.ptr[1] | (size_t)bytes.ptr[2] << 8 | (size_t)bytes.ptr[3] << 16;
    if (len > EXEC_FRAME_LEN_MAX)
        return ERR_MALFORMED;
    if (bytes.len - EXEC_FRAME_HEADER_LEN < len)
        return 0;
    *out = (struct exec_frame){ .kind = (enum exec_frame_kind)bytes.ptr[0],
                                .bytes = slice_of(bytes.ptr + EXEC_FRAME_HEADER_LEN, len) };
    return (int)(EXEC_FRAME_HEADER_LEN + len);
}
