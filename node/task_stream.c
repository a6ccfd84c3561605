#include "node/task_stream.h"

#include "base/err.h"

bool task_stream_flush(struct link_stream *s, struct buf *waiting)
{
    while (waiting->len > 0) {
        /* A write that finds no room is what asks for on_writable: so at least one byte is tried.
         */
        size_t len = MIN(waiting->len, MAX(link_stream_room(s), (size_t)1));
        int rc = link_stream_write(s, slice_of(waiting->ptr, len));

        if (rc < 0)
            return rc == ERR_FULL;
        buf_consume(waiting, len);
    }
    return true;
}
