/* node/exec_wire.h - Commands in tasks of other nodes, as bytes on the EXEC channel. Pure.
 *
 * A stream is one command. Its header is an EXEC_REQUEST; then both sides send frames:
 *
 *     kind (1 byte), length (3 bytes, little-endian), so many bytes
 *
 *     asker -> node    INPUT      bytes of its standard input
 *                      INPUT_END  its input has ended; empty
 *                      WINDOW     the terminal's size: EXEC_WINDOW
 *     node -> asker    OUTPUT     bytes of its standard output, or of its terminal
 *                      ERRORS     bytes of its standard error
 *                      RESULT     how it ended: EXEC_RESULT; the last one
 *
 * Whatever ends the stream before a RESULT ends the command, unless it was asked for detached.
 * Formats: docs/formats/links.md. */
#ifndef NODE_EXEC_WIRE_H
#define NODE_EXEC_WIRE_H

#include "base/buf.h"
#include "base/fields.h"
#include "base/slice.h"
#include "base/units.h"

#define EXEC_FRAME_HEADER_LEN 4
#define EXEC_FRAME_LEN_MAX    (64 * KIB) /* of what follows the header */

/* As on the wire: never renumbered. */
enum exec_frame_kind {
    EXEC_INPUT = 1,
    EXEC_INPUT_END = 2,
    EXEC_WINDOW = 3,
    EXEC_OUTPUT = 4,
    EXEC_ERRORS = 5,
    EXEC_RESULT = 6,
};

#define EXEC_REQUEST_FIELDS(X, S)                        \
    X(S, 1, ID, ANY, task_id, NULL, REQUIRED)            \
    X(S, 2, LIST_STR, COUNT(1024), argv, NULL, REQUIRED) \
    X(S, 3, LIST_STR, COUNT(1024), env, NULL, OPTIONAL)  \
    X(S, 4, STR, LEN(4096), dir, NULL, OPTIONAL)         \
    X(S, 5, STR, LEN(256), user, NULL, OPTIONAL)         \
    X(S, 6, BOOL, ANY, tty, NULL, OPTIONAL)              \
    X(S, 7, BOOL, ANY, open_stdin, NULL, OPTIONAL)       \
    X(S, 8, BOOL, ANY, detach, NULL, OPTIONAL)
FIELDS_STRUCT(exec_request, EXEC_REQUEST_FIELDS);

#define EXEC_WINDOW_FIELDS(X, S)                        \
    X(S, 1, U32, RANGE(1, 65535), rows, NULL, REQUIRED) \
    X(S, 2, U32, RANGE(1, 65535), columns, NULL, REQUIRED)
FIELDS_STRUCT(exec_window, EXEC_WINDOW_FIELDS);

#define EXEC_RESULT_FIELDS(X, S)                                                               \
    X(S, 1, I64, RANGE(-100000, 0), err, NULL, OPTIONAL) /* it could not be run: base/err.h */ \
    X(S, 2, I64, RANGE(0, 255), exit_code, NULL, OPTIONAL)                                     \
    X(S, 3, STR, LEN(1024), message, NULL, OPTIONAL) /* with err, for people */
FIELDS_STRUCT(exec_result, EXEC_RESULT_FIELDS);

struct exec_frame {
    enum exec_frame_kind kind;
    struct slice bytes; /* borrowed */
};

/* Appends one frame.  ERR_TOO_LARGE: more than EXEC_FRAME_LEN_MAX, or than `out` takes; -ENOMEM */
NODISCARD int exec_frame_put(struct buf *out, enum exec_frame_kind kind, struct slice bytes);
/* The same with a message in it. */
NODISCARD int exec_frame_put_message(struct buf *out, enum exec_frame_kind kind,
                                     const struct fields *type, const void *message);

/* The frame that `bytes` begins with: its length, 0 while it is not whole.  ERR_MALFORMED */
NODISCARD int exec_frame_take(struct slice bytes, struct exec_frame *out);

#endif /* NODE_EXEC_WIRE_H */
