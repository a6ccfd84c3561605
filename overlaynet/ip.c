/* Addresses and prefixes, byte by byte: no socket headers, so pure code can use them. */
#include "overlaynet/ip.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

struct ip_addr ip4_of_u32(uint32_t host_order)
{
    struct ip_addr a = { .len = IP4_LEN };

    for (int i = 0; i < IP4_LEN; i++)
        a.bytes[i] = (uint8_t)(host_order >> (24 - 8 * i));
    return a;
}

uint32_t ip4_to_u32(const struct ip_addr *a)
{
    CHECK(a->len == IP4_LEN);
    return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
           a->bytes[3];
}

int ip_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return ip_cmp(a, b) == 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a)
{
    return p->addr.len != 0 && p->addr.len == a->len && same_bits(p->addr.bytes, a->bytes, p->bits);
}

bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->addr.len != 0 && a->addr.len == b->addr.len &&
           same_bits(a->addr.bytes, b->addr.bytes, MIN(a->bits, b->bits));
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->bits == b->bits && ip_equal(&a->addr, &b->addr);
}

uint64_t ip_prefix_size(const struct ip_prefix *p)
{
    unsigned host_bits = 8U * p->addr.len - p->bits;

    if (p->addr.len == 0)
        return 0;
    return host_bits >= 64 ? UINT64_MAX : UINT64_C(1) << host_bits;
}

struct ip_addr ip_prefix_at(const struct ip_prefix *p, uint64_t offset)
{
    struct ip_addr a = p->addr;

    if (p->addr.len == 0 || (offset >= ip_prefix_size(p) && offset != UINT64_MAX))
        return (struct ip_addr){ 0 };
    for (unsigned i = a.len; i-- > 0 && offset != 0;) {
        a.bytes[i] |= (uint8_t)offset; /* host bits of a prefix are zero */
        offset >>= 8;
    }
    return a;
}

uint64_t ip_prefix_offset(const struct ip_prefix *p, const struct ip_addr *a)
{
    unsigned first = p->bits / 8;
    uint64_t offset = 0;

    CHECK(ip_prefix_has(p, a));
    for (unsigned i = first; i < a->len; i++) {
        uint8_t byte = a->bytes[i] & (uint8_t)~p->addr.bytes[i];

        if (offset >> 56 != 0)
            return UINT64_MAX;
        offset = offset << 8 | byte;
    }
    return offset;
}

/* --- Text ------------------------------------------------------------------------------------ */

/* Digits of a decimal number up to `max` without leading zeros; returns how many, 0 = none. */
static size_t parse_decimal(struct slice text, unsigned max, unsigned *out)
{
    unsigned value = 0;
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
        value = value * 10 + (unsigned)(text.ptr[n] - '0');
        if (value > max || (n > 0 && text.ptr[0] == '0'))
            return 0;
        n++;
    }
    *out = value;
    return n;
}

static bool parse_ip4(struct slice text, uint8_t out[IP4_LEN])
{
    for (int i = 0; i < IP4_LEN; i++) {
        unsigned value = 0;
        size_t n;

        if (i > 0) {
            if (text.len == 0 || text.ptr[0] != '.')
                return false;
            text = slice_of(text.ptr + 1, text.len - 1);
        }
        n = parse_decimal(text, 255, &value);
        if (n == 0)
            return false;
        out[i] = (uint8_t)value;
        text = slice_of(text.ptr + n, text.len - n);
    }
    return text.len == 0;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 4291 section 2.2: groups of up to four hex digits, one "::", an IPv4 tail. */
static bool parse_ip6(struct slice text, uint8_t out[IP6_LEN])
{
    uint8_t bytes[IP6_LEN] = { 0 };
    size_t at = 0, gap = SIZE_MAX, i = 0;

    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        gap = 0;
        i = 2;
    }
    while (i < text.len) {
        unsigned group = 0;
        size_t start = i;

        while (i < text.len && i - start < 4 && hex_value(text.ptr[i]) >= 0)
            group = group << 4 | (unsigned)hex_value(text.ptr[i++]);
        if (i < text.len && text.ptr[i] == '.' && at <= IP6_LEN - IP4_LEN &&
            parse_ip4(slice_of(text.ptr + start, text.len - start), bytes + at)) {
            at += IP4_LEN;
            break;
        }
        if (i == start || at + 2 > IP6_LEN)
            return false;
        bytes[at++] = (uint8_t)(group >> 8);
        bytes[at++] = (uint8_t)group;
        if (i == text.len)
            break;
        if (text.ptr[i++] != ':' || i == text.len)
            return false; /* a strange character, or a single colon at the end */
        if (text.ptr[i] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = at;
            i++;
        }
    }
    if (gap == SIZE_MAX ? at != IP6_LEN : at > IP6_LEN - 2)
        return false;
    if (gap != SIZE_MAX) {
        size_t tail = at - gap;

        memmove(bytes + IP6_LEN - tail, bytes + gap, tail);
        memset(bytes + gap, 0, IP6_LEN - at);
    }
    memcpy(out, bytes, IP6_LEN);
    return true;
}

int ip_parse(struct slice text, struct ip_addr *out)
{
    struct ip_addr a = { 0 };

    if (text.len >= IP_TEXT_MAX)
        return ERR_MALFORMED;
    if (parse_ip4(text, a.bytes))
        a.len = IP4_LEN;
    else if (memset(a.bytes, 0, sizeof(a.bytes)), parse_ip6(text, a.bytes))
        a.len = IP6_LEN;
    else
        return ERR_MALFORMED;
    *out = a;
    return 0;
}

int ip_prefix_parse(struct slice text, struct ip_prefix *out)
{
    const uint8_t *cut = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    struct ip_prefix p;
    struct slice digits;
    unsigned bits = 0;

    if (cut == NULL)
        return ERR_MALFORMED;
    if (ip_parse(slice_of(text.ptr, (size_t)(cut - text.ptr)), &p.addr) < 0)
        return ERR_MALFORMED;
    digits = slice_of(cut + 1, text.len - (size_t)(cut + 1 - text.ptr));
    if (digits.len == 0 || parse_decimal(digits, 8U * p.addr.len, &bits) != digits.len)
        return ERR_MALFORMED;
    p.bits = (uint8_t)bits;
    for (unsigned i = bits; i < 8U * p.addr.len; i++)
        if ((p.addr.bytes[i / 8] >> (7 - i % 8) & 1) != 0)
            return ERR_MALFORMED;
    *out = p;
    return 0;
}

static void format_ip6(const uint8_t *bytes, char out[IP_TEXT_MAX])
{
    unsigned group[8];
    int best = -1, best_len = 1; /* RFC 5952: the longest run of two or more, the first of equals */
    size_t at = 0;

    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    for (int i = 0; i < 8; i++) {
        int len = 0;

        while (i + len < 8 && group[i + len] == 0)
            len++;
        if (len > best_len) {
            best = i;
            best_len = len;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            at += (size_t)snprintf(out + at, IP_TEXT_MAX - at, "::");
            i += best_len - 1;
            continue;
        }
        at += (size_t)snprintf(out + at, IP_TEXT_MAX - at, "%s%x",
                               i == 0 || i == best + best_len ? "" : ":", group[i]);
    }
}

const char *ip_format(const struct ip_addr *a, char out[IP_TEXT_MAX])
{
    if (a->len == IP4_LEN)
        (void)snprintf(out, IP_TEXT_MAX, "%u.%u.%u.%u", a->bytes[0], a->bytes[1], a->bytes[2],
                       a->bytes[3]);
    else if (a->len == IP6_LEN)
        format_ip6(a->bytes, out);
    else
        (void)snprintf(out, IP_TEXT_MAX, "-");
    return out;
}

const char *ip_prefix_format(const struct ip_prefix *p, char out[IP_PREFIX_TEXT_MAX])
{
    char addr[IP_TEXT_MAX];

    if (p->addr.len == 0)
        (void)snprintf(out, IP_PREFIX_TEXT_MAX, "-");
    else
        (void)snprintf(out, IP_PREFIX_TEXT_MAX, "%s/%u", ip_format(&p->addr, addr), p->bits);
    return out;
}
