/* base/wire_write.h - msgpack-c's packing routines, writing straight into memory.
 *
 * msgpack-c makes its packer from a template over "append these bytes". Here the template is
 * instantiated over a window of memory instead of a callback, so that appending a token is
 * a compare and a copy; the callback is left for a full window. Call the functions that the
 * template makes as wire_put_uint64(w, v), wire_put_str(w, len) and so on; see
 * msgpack/pack_template.h. All return 0 or the error of the flush. */
#ifndef BASE_WIRE_WRITE_H
#define BASE_WIRE_WRITE_H

#include <limits.h>
#include <msgpack/sysdep.h>
#include <msgpack/timestamp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_writer {
    uint8_t *pos; /* the next byte goes here ... */
    uint8_t *end; /* ... unless the window is full */
    /* Empties the window or makes a larger one, then takes the bytes that did not fit. */
    int (*flush)(struct wire_writer *w, const void *bytes, size_t len);
};

static inline int wire_append(struct wire_writer *w, const void *bytes, size_t len)
{
    if ((size_t)(w->end - w->pos) < len)
        return w->flush(w, bytes, len);
    if (len > 0) /* an empty window may be NULL */
        memcpy(w->pos, bytes, len);
    w->pos += len;
    return 0;
}

#define msgpack_pack_inline_func(name)            static inline int wire_put##name
#define msgpack_pack_inline_func_cint(name)       static inline int wire_put##name
#define msgpack_pack_inline_func_fixint(name)     static inline int wire_put_fix##name
#define msgpack_pack_user                         struct wire_writer *
#define msgpack_pack_append_buffer(w, bytes, len) return wire_append(w, bytes, len)
#include <msgpack/pack_template.h>

#endif /* BASE_WIRE_WRITE_H */
