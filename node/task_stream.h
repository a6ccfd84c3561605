/* node/task_stream.h - Bytes that wait for room on a stream between two nodes. */
#ifndef NODE_TASK_STREAM_H
#define NODE_TASK_STREAM_H

#include "base/buf.h"
#include "node/cluster/link.h"

/* Writes what there is room for and takes it out of `waiting`. When something is left, the stream's
 * on_writable comes. False: the stream takes no more at all. */
NODISCARD bool task_stream_flush(struct link_stream *s, struct buf *waiting);

#endif /* NODE_TASK_STREAM_H */
