/* runtime/stream.h - Running a command in a container, and collecting what it says: for callers
 * inside this folder. The calls for everybody are in runtime.h. */
#ifndef RUNTIME_STREAM_H
#define RUNTIME_STREAM_H

#include "runtime/runtime_impl.h"

/* Like runtime_exec, for a container at hand; ends with ERR_TIMEOUT after `timeout_ms`, the
 * command being killed; 0 = no limit. */
struct runtime_stream *stream_exec(struct container *c, const struct exec_spec *spec,
                                   uint64_t timeout_ms, const struct stream_callbacks *callbacks);

#endif /* RUNTIME_STREAM_H */
