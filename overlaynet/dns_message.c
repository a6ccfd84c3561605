/* Header: id, flags, four counts. A name is labels with their lengths; in records it may end in a
 * pointer, which is never followed here: only its end is needed. */
#include "overlaynet/dns_message.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define FLAG_QR    0x8000u
#define FLAG_TC    0x0200u
#define FLAG_RD    0x0100u
#define FLAG_RA    0x0080u
#define OPCODE(f)  (((f) >> 11) & 15u)
#define LABEL_MAX  63
#define NAME_MAX_  255 /* as bytes, with lengths and the root */
#define OPT_LEN    11
#define RECORD_LEN 10 /* type, class, TTL, length of data */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

uint16_t dns_id(const uint8_t *message)
{
    return get16(message);
}

void dns_set_id(uint8_t *message, uint16_t id)
{
    put16(message, id);
}

static bool is_text(const uint8_t *label, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (label[i] <= ' ' || label[i] >= 0x7f || label[i] == '.')
            return false;
    return true;
}

/* The name of the question, which has no pointers. Returns its length in bytes. */
static int read_name(struct slice m, size_t at, struct dns_query *q)
{
    size_t start = at, text = 0;
    bool plain = true;

    for (;;) {
        size_t len;

        if (at >= m.len)
            return ERR_MALFORMED;
        len = m.ptr[at++];
        if (len > LABEL_MAX || len > m.len - at || at + len - start >= NAME_MAX_)
            return ERR_MALFORMED;
        if (len == 0)
            break;
        plain = plain && is_text(m.ptr + at, len);
        if (text > 0)
            q->name[text++] = '.';
        memcpy(q->name + text, m.ptr + at, len); /* fits: the name's bytes count one more each */
        text += len;
        at += len;
    }
    q->name[plain ? text : 0] = '\0';
    return (int)(at - start);
}

/* The end of a record's name; 0 = beyond the message. */
static size_t skip_name(struct slice m, size_t at)
{
    while (at < m.len) {
        size_t len = m.ptr[at];

        if (len >= 0xc0)
            return at + 2;
        if (len > LABEL_MAX)
            return 0;
        at += len + 1;
        if (len == 0)
            return at;
    }
    return 0;
}

static void read_edns(struct slice m, size_t at, unsigned records, struct dns_query *q)
{
    for (unsigned i = 0; i < records; i++) {
        size_t name = at;

        at = skip_name(m, at);
        if (at == 0 || at > m.len || m.len - at < RECORD_LEN)
            return;
        if (get16(m.ptr + at) == DNS_TYPE_OPT && m.ptr[name] == 0) {
            uint16_t size = get16(m.ptr + at + 2);

            q->has_edns = true;
            q->udp_size = size < DNS_UDP_DEFAULT_MAX ? DNS_UDP_DEFAULT_MAX : size;
            return;
        }
        at += RECORD_LEN + get16(m.ptr + at + 8);
    }
}

int dns_query_read(struct slice message, struct dns_query *out)
{
    unsigned records, flags;
    size_t at;
    int len;

    *out = (struct dns_query){ .udp_size = DNS_UDP_DEFAULT_MAX };
    if (message.len < DNS_HEADER_LEN || message.len > DNS_MESSAGE_MAX)
        return ERR_MALFORMED;
    flags = get16(message.ptr + 2);
    if ((flags & FLAG_QR) != 0)
        return ERR_MALFORMED; /* answering answers is how loops start */
    out->id = get16(message.ptr);
    out->opcode = (uint8_t)OPCODE(flags);
    if (get16(message.ptr + 4) != 1)
        return 0;
    len = read_name(message, DNS_HEADER_LEN, out);
    if (len < 0 || message.len - DNS_HEADER_LEN - (size_t)len < 4) {
        out->name[0] = '\0';
        return 0;
    }
    at = DNS_HEADER_LEN + (size_t)len;
    out->type = get16(message.ptr + at);
    out->class = get16(message.ptr + at + 2);
    out->question_len = (size_t)len + 4;
    out->has_question = true;
    records = (unsigned)get16(message.ptr + 6) + get16(message.ptr + 8) + get16(message.ptr + 10);
    read_edns(message, at + 4, records, out);
    return 0;
}

void dns_reply_start(struct dns_reply *r, struct slice query, const struct dns_query *q,
                     uint8_t *out, size_t max)
{
    unsigned flags = get16(query.ptr + 2);

    CHECK(max >= DNS_UDP_DEFAULT_MAX);
    *r = (struct dns_reply){ .out = out, .max = max, .has_edns = q->has_edns };
    if (q->has_edns)
        r->max -= OPT_LEN;
    memset(out, 0, DNS_HEADER_LEN);
    put16(out, q->id);
    put16(out + 2, (uint16_t)((flags & (FLAG_RD | 15u << 11)) | FLAG_QR | FLAG_RA));
    r->len = DNS_HEADER_LEN;
    if (!q->has_question)
        return;
    put16(out + 4, 1);
    memcpy(out + r->len, query.ptr + DNS_HEADER_LEN, q->question_len); /* <= 259 bytes */
    r->len += q->question_len;
}

void dns_reply_add(struct dns_reply *r, const struct ip_addr *addr, uint32_t ttl_s)
{
    uint8_t *p = r->out + r->len;
    size_t len = 2 + RECORD_LEN + addr->len;

    if (r->max - r->len < len || r->answers == UINT16_MAX) {
        r->is_truncated = true;
        return;
    }
    put16(p, 0xc000 | DNS_HEADER_LEN); /* the name is that of the question */
    put16(p + 2, addr->len == IP4_LEN ? DNS_TYPE_A : DNS_TYPE_AAAA);
    put16(p + 4, DNS_CLASS_IN);
    put16(p + 6, (uint16_t)(ttl_s >> 16));
    put16(p + 8, (uint16_t)ttl_s);
    put16(p + 10, addr->len);
    memcpy(p + 12, addr->bytes, addr->len);
    r->len += len;
    r->answers++;
}

size_t dns_reply_finish(struct dns_reply *r, enum dns_rcode rcode)
{
    unsigned flags = get16(r->out + 2);

    put16(r->out + 2, (uint16_t)(flags | (unsigned)rcode | (r->is_truncated ? FLAG_TC : 0)));
    put16(r->out + 6, r->answers);
    if (r->has_edns) {
        uint8_t *p = r->out + r->len;

        memset(p, 0, OPT_LEN);
        put16(p + 1, DNS_TYPE_OPT);
        put16(p + 3, DNS_UDP_MAX);
        put16(r->out + 10, 1);
        r->len += OPT_LEN;
    }
    return r->len;
}
