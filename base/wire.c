/* base/wire.c - msgpack's format bytes, decoded by one table-like switch. */
#include "base/wire.h"

#include "base/err.h"

static uint64_t big_endian(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++)
        v = v << 8 | p[i];
    return v;
}

/* Takes `len` bytes of a number. */
static bool take_number(struct wire_reader *r, size_t len, uint64_t *out)
{
    if (wire_left(r) < len)
        return false;
    *out = big_endian(r->pos, len);
    r->pos += len;
    return true;
}

static bool take_bytes(struct wire_reader *r, enum wire_kind kind, uint64_t len,
                       struct wire_token *out)
{
    if (wire_left(r) < len)
        return false;
    out->kind = kind;
    out->bytes = slice_of(r->pos, (size_t)len);
    r->pos += len;
    return true;
}

/* Every element is at least one byte, every pair two. */
static bool take_count(struct wire_reader *r, enum wire_kind kind, uint64_t count,
                       struct wire_token *out)
{
    if (count > wire_left(r) / (kind == WIRE_MAP ? 2 : 1))
        return false;
    out->kind = kind;
    out->count = (size_t)count;
    return true;
}

static void set_signed(struct wire_token *out, int64_t v)
{
    if (v >= 0) {
        out->kind = WIRE_UINT;
        out->uint = (uint64_t)v;
    } else {
        out->kind = WIRE_INT;
        out->sint = v;
    }
}

/* From two's complement of `len` bytes. */
static int64_t sign_extend(uint64_t v, size_t len)
{
    unsigned shift = 64 - 8 * (unsigned)len;

    return (int64_t)(v << shift) >> shift; /* arithmetic in every compiler we build with */
}

static void set_float(struct wire_token *out, uint64_t bits, size_t len)
{
    out->kind = WIRE_FLOAT;
    if (len == 4) {
        uint32_t narrow = (uint32_t)bits;
        float f;

        memcpy(&f, &narrow, sizeof(f));
        out->real = (double)f;
    } else {
        memcpy(&out->real, &bits, sizeof(out->real));
    }
}

/* The formats whose first byte says only how wide the number after it is. */
static bool take_wide(struct wire_reader *r, uint8_t format, struct wire_token *out)
{
    uint64_t v;

    switch (format) {
    case 0xc4: /* bin 8, 16, 32 */
    case 0xc5:
    case 0xc6:
        return take_number(r, (size_t)1 << (format - 0xc4), &v) && take_bytes(r, WIRE_BIN, v, out);
    case 0xca: /* float 32, 64 */
    case 0xcb:
        if (!take_number(r, (size_t)4 << (format - 0xca), &v))
            return false;
        set_float(out, v, (size_t)4 << (format - 0xca));
        return true;
    case 0xcc: /* uint 8, 16, 32, 64 */
    case 0xcd:
    case 0xce:
    case 0xcf:
        out->kind = WIRE_UINT;
        return take_number(r, (size_t)1 << (format - 0xcc), &out->uint);
    case 0xd0: /* int 8, 16, 32, 64 */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        if (!take_number(r, (size_t)1 << (format - 0xd0), &v))
            return false;
        set_signed(out, sign_extend(v, (size_t)1 << (format - 0xd0)));
        return true;
    case 0xd9: /* str 8, 16, 32 */
    case 0xda:
    case 0xdb:
        return take_number(r, (size_t)1 << (format - 0xd9), &v) && take_bytes(r, WIRE_STR, v, out);
    case 0xdc: /* array 16, 32 */
    case 0xdd:
        return take_number(r, (size_t)2 << (format - 0xdc), &v) &&
               take_count(r, WIRE_ARRAY, v, out);
    case 0xde: /* map 16, 32 */
    case 0xdf:
        return take_number(r, (size_t)2 << (format - 0xde), &v) && take_count(r, WIRE_MAP, v, out);
    default: /* 0xc1 is never used; 0xc7 to 0xc9 and 0xd4 to 0xd8 are extensions */
        return false;
    }
}

static bool take_token(struct wire_reader *r, struct wire_token *out)
{
    uint8_t format;

    if (r->pos == r->end)
        return false;
    format = *r->pos++;
    if (format <= 0x7f) { /* positive fixint */
        out->kind = WIRE_UINT;
        out->uint = format;
        return true;
    }
    if (format >= 0xe0) { /* negative fixint */
        out->kind = WIRE_INT;
        out->sint = (int64_t)format - 0x100;
        return true;
    }
    if (format <= 0x8f)
        return take_count(r, WIRE_MAP, format & 0x0fu, out);
    if (format <= 0x9f)
        return take_count(r, WIRE_ARRAY, format & 0x0fu, out);
    if (format <= 0xbf)
        return take_bytes(r, WIRE_STR, format & 0x1fu, out);
    if (format == 0xc0) {
        out->kind = WIRE_NIL;
        return true;
    }
    if (format == 0xc2 || format == 0xc3) {
        out->kind = WIRE_BOOL;
        out->boolean = format == 0xc3;
        return true;
    }
    return take_wide(r, format, out);
}

int wire_next(struct wire_reader *r, struct wire_token *out)
{
    struct wire_reader at = *r;

    if (take_token(r, out))
        return 0;
    *r = at;
    return ERR_MALFORMED;
}

/* Iterative, so that hostile nesting costs no stack: open[d] is how many values are still to
 * come at depth d. */
int wire_skip(struct wire_reader *r)
{
    struct wire_reader at = *r;
    size_t open[WIRE_DEPTH_MAX + 1];
    size_t depth = 0;
    int rc = 0;

    open[0] = 1;
    for (;;) {
        struct wire_token token;

        while (depth > 0 && open[depth] == 0)
            depth--;
        if (open[depth] == 0)
            return 0;
        open[depth]--;
        rc = wire_next(r, &token);
        if (rc < 0)
            break;
        if (token.kind != WIRE_ARRAY && token.kind != WIRE_MAP)
            continue;
        if (depth == WIRE_DEPTH_MAX) {
            rc = ERR_TOO_LARGE;
            break;
        }
        open[++depth] = token.kind == WIRE_MAP ? 2 * token.count : token.count;
    }
    *r = at;
    return rc;
}

int wire_check(struct slice bytes)
{
    struct wire_reader r = wire_reader_of(bytes);
    int rc = wire_skip(&r);

    if (rc < 0)
        return rc;
    return wire_left(&r) == 0 ? 0 : ERR_MALFORMED;
}
